/* Signed notes, checkpoints and verifier keys from anybody. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/note.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* A key that reads must write itself back byte for byte. */
static void
look_at_vkey(const char *text, size_t len)
{
	char again[KMN_VKEY_MAX_BYTES];
	struct kmn_vkey vkey;

	if (kmn_vkey_parse(text, len, &vkey) != KMN_OK)
		return;
	kmn_vkey_format(&vkey, again);
	if (strlen(again) != len || memcmp(again, text, len) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct kmn_vkey known;
	struct kmn_note note;
	struct kmn_head head;
	struct kmn_why why;
	size_t count;
	bool verified;

	if (known.type == 0) {
		uint8_t seed[KMN_HASH_BYTES], pub[KMN_ED25519_PUBLIC_BYTES], secret[KMN_ED25519_SECRET_BYTES];

		kmn_sha256("kanmon test vector: log key", 27, seed);
		(void)crypto_sign_seed_keypair(pub, secret, seed);
		if (kmn_vkey_make("kanmon.example/gw1/2026", pub, &known) != KMN_OK)
			abort();
	}
	look_at_vkey((const char *)bytes, len);
	if (kmn_note_parse((const char *)bytes, len, &note, &why) != KMN_OK) {
		if (note.text != NULL || note.count != 0)
			abort();
		return 0;
	}
	if (note.count == 0 || note.count > KMN_NOTE_LINES_MAX || note.text_len >= len ||
	    note.text[note.text_len - 1] != '\n')
		abort();
	if (kmn_note_verify(&note, &known, 1, &verified, &count, &why) != KMN_OK && count != 0)
		abort();
	if (kmn_checkpoint_parse(&note, known.name, &head, &why) != KMN_OK && head.size != 0)
		abort();
	return 0;
}
