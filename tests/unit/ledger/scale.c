/*
 * How opening and proofs grow with the ledger; run by hand, no test depends on
 * time. Figures go to docs/performance.md.
 *
 *	scale make DIR RECORDS    a valid ledger: a policy, then class B calls; a snapshot as the keeper makes it
 *	scale whole DIR           open as an owner that replays everything
 *	scale short DIR           open as the keeper does
 *	scale prove DIR COUNT     open as an auditor's tool, COUNT proofs of records all over, each verified
 */
#include "config.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "kanmon/log.h"
#include "kanmon/tiles.h"
#include "server/quorum/policy.h"
#include "tests/unit/quorum/world.h"

#define ORIGIN "kanmon.example/gw1/2026"

static struct kmn_log_settings settings;
static struct kmn_quorum *quorum;
static uint64_t replayed;

static void
must(kmn_err e, const char *what, const char *why)
{
	if (e == KMN_OK)
		return;
	fprintf(stderr, "%s: %s %s\n", what, kmn_err_text(e), why);
	exit(1);
}

static double
now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static long
memory_kib(void)
{
	struct rusage usage;

	(void)getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

static kmn_err
no_blob(void *cookie, const uint8_t sha256[32], uint8_t **bytes_out, size_t *len_out)
{
	(void)cookie;
	(void)sha256;
	(void)bytes_out;
	*len_out = 0;
	return KMN_E_NOT_FOUND;
}

static kmn_err
take(void *cookie, const struct kmn_record *record)
{
	struct kmn_finding finding = {.text = ""};
	kmn_err e = kmn_quorum_apply(quorum, record, &finding);

	(void)cookie;
	replayed++;
	if (e != KMN_OK)
		fprintf(stderr, "record %" PRIu64 ": %s\n", record->i, finding.text);
	return e;
}

static kmn_err
resume(void *cookie, uint64_t size)
{
	(void)cookie;
	kmn_quorum_resume(quorum, size);
	return KMN_OK;
}

static struct kmn_log *
open_log(void)
{
	struct kmn_quorum_settings of = {.blob = no_blob};
	struct kmn_recovery recovery;
	struct kmn_why why = {""};
	struct kmn_log *log;

	must(kmn_quorum_new(&of, &quorum), "quorum", "");
	must(kmn_log_open(&settings, take, NULL, &recovery, &log, &why), "open", why.text);
	return log;
}

static json_t *
hash(const char *of)
{
	uint8_t out[KMN_HASH_BYTES];

	kmn_sha256(of, strlen(of), out);
	return kmn_json_b64(out, sizeof(out));
}

static json_t *
call(const struct kmn_policy *policy, uint64_t n)
{
	json_t *body = json_pack("{s:i, s:i, s:I, s:s, s:{}, s:s, s:{s:I, s:o}, s:i, s:s, s:{s:s, s:s}, s:i}", "chan",
	    1, "sess", 2, "seq", (json_int_t)n, "op", "C_GenerateRandom", "mech", "rule", "other", "policy", "version",
	    (json_int_t)1, "sha256", kmn_json_b64(policy->sha256, KMN_HASH_BYTES), "rv", 0, "rv_name", "CKR_OK", "hsm",
	    "serial", "42", "fw", "7.4", "dur_us", 250);

	(void)json_object_set_new(body, "req_sha256", hash("request"));
	(void)json_object_set_new(body, "resp_sha256", hash("response"));
	return body;
}

static void
make(const char *path, uint64_t records)
{
	char *text = world_policy(1, NULL, WORLD_RULES), *note = world_sign(text, "sato suzuki");
	char vkey[KMN_VKEY_MAX_BYTES];
	struct kmn_why why = {""};
	struct kmn_vkey key;
	struct kmn_log *log;
	uint64_t *index;
	size_t count;

	(void)mkdir(path, 0700);
	must(kmn_store_files(path, &settings.store), path, "");
	must(kmn_vkey_make(ORIGIN, settings.secret + 32, &key), "vkey", "");
	kmn_vkey_format(&key, vkey);
	must(kmn_log_create(&settings,
		 json_pack("{s:s,s:s,s:s,s:s,s:{},s:{}}", "origin", ORIGIN, "suite", "K1", "vkey", vkey, "policy", note,
		     "hsm", "limits"),
		 &why),
	    "create", why.text);
	log = open_log();
	for (uint64_t n = 1; n < records; n++) {
		must(kmn_log_append(log, KMN_R_OP, call(kmn_quorum_policy(quorum), n), NULL, NULL, &why), "append",
		    why.text);
		if (n % 500 == 0)
			must(kmn_log_wait(log), "wait", "");
		if (n % 4096 == 0 || n + 1 == records) {
			must(kmn_quorum_records(quorum, &index, &count), "records", "");
			must(kmn_log_snapshot(log, index, count), "snapshot", "");
			free(index);
		}
	}
	must(kmn_log_close(log), "close", "");
	free(text);
	free(note);
}

static void
prove(uint64_t count)
{
	struct kmn_head head;
	struct kmn_tiles *tiles;
	struct kmn_note note;
	struct kmn_why why = {""};
	char *bytes, *line;
	double begun = now_ms(), opened, worst = 0, all;
	size_t len;

	must(kmn_store_read(settings.store, "checkpoint", KMN_NOTE_MAX_BYTES, &bytes, &len), "checkpoint", "");
	must(kmn_note_parse(bytes, len, &note, &why), "checkpoint", why.text);
	must(kmn_checkpoint_parse(&note, ORIGIN, &head, &why), "checkpoint", why.text);
	must(kmn_tiles_open(settings.store, &head, &tiles, &why), "tiles", why.text);
	opened = now_ms();
	for (uint64_t n = 0; n < count; n++) {
		uint64_t i = (n * UINT64_C(11400714819323198485)) % head.size;
		uint8_t leaf[KMN_HASH_BYTES];
		struct kmn_path path;
		double from = now_ms(), took;

		must(kmn_tiles_line(tiles, i, &line, &len), "line", "");
		must(kmn_tiles_inclusion(tiles, i, head.size, &path), "inclusion", "");
		kmn_leaf_hash(line, len, leaf);
		must(kmn_inclusion_verify(leaf, i, &head, &path), "verify", "");
		took = now_ms() - from;
		worst = took > worst ? took : worst;
		free(line);
	}
	all = now_ms() - opened;
	printf("prove: size %" PRIu64 ", open %.2f ms, %" PRIu64 " proofs, mean %.3f ms, worst %.2f ms, %ld KiB\n",
	    head.size, opened - begun, count, all / (double)count, worst, memory_kib());
	kmn_tiles_free(tiles);
	free(bytes);
}

int
main(int argc, char **argv)
{
	static uint8_t secret[KMN_ED25519_SECRET_BYTES], seed[KMN_HASH_BYTES], pub[KMN_ED25519_PUBLIC_BYTES];
	bool shortly = argc > 1 && strcmp(argv[1], "short") == 0;
	double from;

	if (argc < 3 || sodium_init() < 0)
		return 2;
	(void)crypto_sign_ed25519_seed_keypair(pub, secret, seed);
	settings = (struct kmn_log_settings){.origin = ORIGIN, .secret = secret};
	kmn_log_sources_system(&settings.sources);
	if (strcmp(argv[1], "make") == 0 && argc == 4) {
		make(argv[2], strtoull(argv[3], NULL, 10));
		return 0;
	}
	must(kmn_store_files(argv[2], &settings.store), argv[2], "");
	if (strcmp(argv[1], "prove") == 0 && argc == 4) {
		prove(strtoull(argv[3], NULL, 10));
		return 0;
	}
	settings.resume = shortly ? resume : NULL;
	from = now_ms();
	struct kmn_log *log = open_log();
	printf("%s: size %" PRIu64 ", %.2f ms, %" PRIu64 " records replayed, %ld KiB\n", argv[1], kmn_log_size(log),
	    now_ms() - from, replayed, memory_kib());
	must(kmn_log_close(log), "close", "");
	return 0;
}
