/* Writes roots, proofs and a note of our making for tests/unit/ledger/oracle, which asks another implementation. */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/note.h"

#define MAX 130
#define ORIGIN "kanmon.example/gw1/2026"

static void
check(kmn_err e)
{
	if (e != KMN_OK) {
		(void)fprintf(stderr, "%s\n", kmn_err_text(e));
		exit(1);
	}
}

static void
print_b64(const void *bytes, size_t len)
{
	char *text = malloc(KMN_B64_LEN(len) + 1);

	if (text == NULL)
		abort();
	kmn_b64(bytes, len, text);
	(void)printf(" %s", text);
	free(text);
}

static void
print_path(const struct kmn_path *path)
{
	for (size_t n = 0; n < path->count; n++)
		print_b64(path->hash[n], KMN_HASH_BYTES);
	(void)printf("\n");
}

static void
print_note(const struct kmn_head *head)
{
	uint8_t seed[KMN_HASH_BYTES], pub[KMN_ED25519_PUBLIC_BYTES], secret[KMN_ED25519_SECRET_BYTES];
	char text[KMN_VKEY_MAX_BYTES], *note;
	struct kmn_vkey vkey;
	size_t len;

	kmn_sha256("oracle", 6, seed);
	(void)crypto_sign_seed_keypair(pub, secret, seed);
	check(kmn_vkey_make(ORIGIN, pub, &vkey));
	kmn_vkey_format(&vkey, text);
	(void)printf("vkey %s\nnote", text);
	check(kmn_checkpoint_sign(ORIGIN, head, &vkey, secret, &note, &len));
	print_b64(note, len);
	(void)printf("\n");
	free(note);
}

int
main(void)
{
	struct kmn_tree *tree = kmn_tree_new();
	uint8_t leaf[KMN_HASH_BYTES];
	struct kmn_head head;
	struct kmn_path path;
	char line[16];

	if (sodium_init() < 0 || tree == NULL)
		return 1;
	for (unsigned n = 0; n < MAX; n++) {
		(void)snprintf(line, sizeof(line), "leaf %u", n);
		kmn_leaf_hash(line, strlen(line), leaf);
		check(kmn_tree_add(tree, leaf));
		(void)printf("leaf");
		print_b64(line, strlen(line));
		(void)printf("\n");
	}
	for (uint64_t n = 1; n <= MAX; n++) {
		check(kmn_tree_head(tree, n, &head));
		(void)printf("root %" PRIu64, n);
		print_b64(head.root, KMN_HASH_BYTES);
		(void)printf("\n");
		for (uint64_t i = 0; i < n; i++) {
			check(kmn_tree_inclusion(tree, i, n, &path));
			(void)printf("inclusion %" PRIu64 " %" PRIu64, n, i);
			print_path(&path);
		}
		for (uint64_t m = 1; m <= n; m++) {
			check(kmn_tree_consistency(tree, m, n, &path));
			(void)printf("consistency %" PRIu64 " %" PRIu64, m, n);
			print_path(&path);
		}
	}
	print_note(&head);
	kmn_tree_free(tree);
	return 0;
}
