/* Appendix B of docs/ledger.md: the vectors that an independent implementation made. */
#include "kanmon/note.h"
#include "kanmon/record.h"
#include "tests/unit/run.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const char record_0[] =
    "{\"body\":{\"origin\":\"kanmon.example/gw1/2026\",\"suite\":\"K1\",\"vkey\":\"kanmon.example/gw1/2026+c6899459+Adotl8f8wfRKzxrWuO55NaCNpmd8xKugfDZUWsE0rpQ7\"},\"i\":0,\"m\":1000,\"nonce\":\"ZI+OGToGwwdn5x+zKkqyqw==\",\"prev\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"t\":1790000000000,\"type\":\"genesis\",\"v\":1}";
static const char record_5[] =
    "{\"body\":{\"decision\":4,\"intent\":2,\"rv\":0},\"i\":5,\"m\":1050,\"nonce\":\"CpnN9SRP8Wpz9Npic6jj0g==\",\"prev\":\"79YgXd3G5VrvJplrmcpnDGaeISlI8s7rzUHQFsNCHW0=\",\"t\":1790000000050,\"type\":\"result\",\"v\":1}";
static const char checkpoint[] =
    "kanmon.example/gw1/2026\n"
    "6\n"
    "6YkPDycU0WvP4mPAFG9ObZVwI3cb5jTaDDYlJHGbieI=\n"
    "\n"
    "— kanmon.example/gw1/2026 xomUWfNEVQiO0mq76MHZAupTTXWk3sOht6QLi9iFgQWInb5oVWQABgY9rOoxciJSFCbpJg5x18V8TVIfay8BKWerfQY=\n";
static const char approval[] =
    "kanmon/approval/v1\n"
    "origin kanmon.example/gw1/2026\n"
    "request 2\n"
    "request-leaf 3NWXHDOViaFsRsOVcpcwK59lkuu3gLZKsTX0dVQJQF8=\n"
    "head 3 XSyIEyRPsxIZ9qOMSnIa6q64jR/T03yTbfNXRF+DjjE=\n"
    "decision approve\n"
    "nonce Gxax31OLoS3D+X7buFyqcFDUbBSBNCkP66gPgjbIPbk=\n"
    "\n"
    "— cust.example/alice pr6GhLDdPxvm2bn51oeX0rw15skW6pFTgiwbHndEiYZk+xQPcXDDBYi/WkJa2sGK/rjmVweNmiLfKcW9ZWS9BCPiBwk=\n"
    "— cust.example/carol yk/9ujdCDWUkXQAkUMtUIpzM4ERlTLWlncjOzFWixPWjaqP88nO+sk68Aws4UdevKlWsiAHMK+BtUA90+eoz7lpKJvM=\n"
    "— cust.example/bob N5G5HAAlvZmyirb3IjT3FV0b+z5b/eK+7PKWP6U1IQryP1IpUjMFAAAAKQCIeyJ0eXBlIjoid2ViYXV0aG4uZ2V0IiwiY2hhbGxlbmdlIjoiN25jWHpET2hETnpld2xtMGo4MDdPcVJYaGhDSERqbDBoUm5zRjNXck5FRSIsIm9yaWdpbiI6Imh0dHBzOi8vYXBwcm92ZS5leGFtcGxlIiwiY3Jvc3NPcmlnaW4iOmZhbHNlfQBIMEYCIQDSmBUqAj2wHNq2suLzJhBkOYMHT51+/+NDfXTosu9KKQIhAKcuF2qnC90BNE7j2A211UN+L3+YOYHaHxXduCYIrZbW\n";
/* clang-format on */

static void
key_of(const char *phrase, uint8_t pub[KMN_ED25519_PUBLIC_BYTES], uint8_t secret[KMN_ED25519_SECRET_BYTES])
{
	uint8_t seed[KMN_HASH_BYTES];

	kmn_sha256(phrase, strlen(phrase), seed);
	(void)crypto_sign_ed25519_seed_keypair(pub, secret, seed);
}

static void
hash_of(const char *b64, uint8_t out[KMN_HASH_BYTES])
{
	size_t len;

	CU_ASSERT_EQUAL(kmn_b64_parse(b64, strlen(b64), out, KMN_HASH_BYTES, &len), KMN_OK);
	CU_ASSERT_EQUAL(len, KMN_HASH_BYTES);
}

static void
test_record_lines(void)
{
	static const struct {
		const char *line, *leaf, *type;
		uint64_t i, t, m;
	} cases[] = {
	    {record_0, "gKD8GdoR1CmV8OWb7vZIxqznnZrAMgA8vqqnhJXUI28=", "genesis", 0, 1790000000000, 1000},
	    {record_5, "ZYlqKxq6r3shqJD6w/L4NTEgacApHGsRRvP59p7I5rk=", "result", 5, 1790000000050, 1050},
	};

	for (size_t n = 0; n < KMN_COUNT_OF(cases); n++) {
		uint8_t leaf[KMN_HASH_BYTES];
		struct kmn_record record;
		char *line;
		size_t len;

		hash_of(cases[n].leaf, leaf);
		CU_ASSERT_EQUAL_FATAL(kmn_record_parse(cases[n].line, strlen(cases[n].line), &record, NULL), KMN_OK);
		CU_ASSERT_EQUAL(memcmp(record.leaf, leaf, sizeof(leaf)), 0);
		CU_ASSERT_EQUAL(record.i, cases[n].i);
		CU_ASSERT_EQUAL(record.t, cases[n].t);
		CU_ASSERT_EQUAL(record.m, cases[n].m);
		CU_ASSERT_STRING_EQUAL(record.type, cases[n].type);
		CU_ASSERT_EQUAL_FATAL(kmn_record_emit(&record, &line, &len, NULL), KMN_OK);
		CU_ASSERT_STRING_EQUAL(line, cases[n].line);
		free(line);
		kmn_record_clear(&record);
	}
}

static void
test_nonce_and_log_key(void)
{
	uint8_t pub[KMN_ED25519_PUBLIC_BYTES], secret[KMN_ED25519_SECRET_BYTES], nonce[KMN_HASH_BYTES];
	char text[KMN_VKEY_MAX_BYTES];
	const char *written;
	struct kmn_record record;
	struct kmn_vkey vkey, again;

	CU_ASSERT_EQUAL_FATAL(kmn_record_parse(record_0, strlen(record_0), &record, NULL), KMN_OK);
	kmn_sha256("nonce0", 6, nonce);
	CU_ASSERT_EQUAL(memcmp(nonce, record.nonce, KMN_NONCE_BYTES), 0);
	key_of("kanmon test vector: log key", pub, secret);
	CU_ASSERT_EQUAL(kmn_vkey_make("kanmon.example/gw1/2026", pub, &vkey), KMN_OK);
	kmn_vkey_format(&vkey, text);
	CU_ASSERT_TRUE(kmn_json_get_text(record.body, "vkey", &written));
	CU_ASSERT_STRING_EQUAL(text, written);
	CU_ASSERT_EQUAL(kmn_vkey_parse(text, strlen(text), &again), KMN_OK);
	CU_ASSERT_EQUAL(memcmp(&vkey, &again, sizeof(vkey)), 0);
	kmn_record_clear(&record);
}

static void
test_inclusion(void)
{
	struct kmn_head head = {.size = 6};
	struct kmn_path path = {.count = 2};
	uint8_t leaf[KMN_HASH_BYTES];

	kmn_leaf_hash(record_5, strlen(record_5), leaf);
	hash_of("6YkPDycU0WvP4mPAFG9ObZVwI3cb5jTaDDYlJHGbieI=", head.root);
	hash_of("79YgXd3G5VrvJplrmcpnDGaeISlI8s7rzUHQFsNCHW0=", path.hash[0]);
	hash_of("9vHDzcCPJArOijmo1Nle5EEBY+wmXJmVbNfcL72tUQQ=", path.hash[1]);
	CU_ASSERT_EQUAL(kmn_inclusion_verify(leaf, 5, &head, &path), KMN_OK);
	CU_ASSERT_EQUAL(kmn_inclusion_verify(leaf, 4, &head, &path), KMN_E_SIGNATURE);
	CU_ASSERT_EQUAL(kmn_inclusion_verify(leaf, 6, &head, &path), KMN_E_SIGNATURE);
	path.count = 1;
	CU_ASSERT_EQUAL(kmn_inclusion_verify(leaf, 5, &head, &path), KMN_E_SIGNATURE);
}

static void
test_checkpoint(void)
{
	uint8_t pub[KMN_ED25519_PUBLIC_BYTES], secret[KMN_ED25519_SECRET_BYTES];
	struct kmn_head head;
	struct kmn_vkey vkey;
	struct kmn_note note;
	size_t count, len;
	bool verified;
	char *again;

	key_of("kanmon test vector: log key", pub, secret);
	CU_ASSERT_EQUAL_FATAL(kmn_vkey_make("kanmon.example/gw1/2026", pub, &vkey), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_note_parse(checkpoint, strlen(checkpoint), &note, NULL), KMN_OK);
	CU_ASSERT_EQUAL(kmn_note_verify(&note, &vkey, 1, &verified, &count, NULL), KMN_OK);
	CU_ASSERT_EQUAL(count, 1);
	CU_ASSERT_TRUE(verified);
	CU_ASSERT_EQUAL_FATAL(kmn_checkpoint_parse(&note, vkey.name, &head, NULL), KMN_OK);
	CU_ASSERT_EQUAL(head.size, 6);
	CU_ASSERT_EQUAL_FATAL(kmn_checkpoint_sign(vkey.name, &head, &vkey, secret, &again, &len), KMN_OK);
	CU_ASSERT_EQUAL(len, strlen(checkpoint));
	CU_ASSERT_STRING_EQUAL(again, checkpoint);
	free(again);
}

static void
test_approval(void)
{
	uint8_t pub[KMN_ED25519_PUBLIC_BYTES], secret[KMN_ED25519_SECRET_BYTES], hash[KMN_HASH_BYTES],
	    want[KMN_HASH_BYTES];
	struct kmn_vkey vkey;
	struct kmn_note note;
	size_t count;
	bool verified;

	key_of("alice", pub, secret);
	CU_ASSERT_EQUAL_FATAL(kmn_vkey_make("cust.example/alice", pub, &vkey), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_note_parse(approval, strlen(approval), &note, NULL), KMN_OK);
	CU_ASSERT_EQUAL(note.count, 3);
	CU_ASSERT_EQUAL(kmn_note_verify(&note, &vkey, 1, &verified, &count, NULL), KMN_OK);
	CU_ASSERT_EQUAL(count, 1);
	kmn_sha256(note.text, note.text_len, hash);
	hash_of("nQ/8qGxxnQXZwrp/ROZ5kIIymjBfdv2obGacFkCbfHE=", want);
	CU_ASSERT_EQUAL(memcmp(hash, want, sizeof(hash)), 0);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"record lines and their leaf hashes", test_record_lines},
	    {"nonce and the log's key", test_nonce_and_log_key},
	    {"inclusion of record 5 in the tree of 6", test_inclusion},
	    {"checkpoint verifies and is made again byte for byte", test_checkpoint},
	    {"approval: the known line counts, unknown evidence is ignored", test_approval},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"ledger/vectors", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
