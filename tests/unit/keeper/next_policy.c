#include "config.h"

#include "tests/unit/keeper/next_policy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/admin.h"
#include "kanmon/policy.h"
#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

static char *
replaced(char *text, const char *old, const char *new)
{
	char *at = strstr(text, old), *made = NULL;

	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	if (asprintf(&made, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old)) < 0)
		abort();
	free(text);
	return made;
}

char *
next_policy(const char *text, const char *const pairs[])
{
	struct kmn_policy_error error;
	struct kmn_policy *policy;
	char version[2][32], previous[80], b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1], *next = strdup(text), *at;

	CU_ASSERT_EQUAL_FATAL(kmn_policy_parse(text, strlen(text), &policy, &error), KMN_OK);
	(void)snprintf(version[0], sizeof(version[0]), "version %" PRIu64 "\n", kmn_policy_version(policy));
	(void)snprintf(version[1], sizeof(version[1]), "version %" PRIu64 "\n", kmn_policy_version(policy) + 1);
	kmn_b64(kmn_policy_sha256(policy), KMN_HASH_BYTES, b64);
	kmn_policy_free(policy);
	next = replaced(next, version[0], version[1]);
	at = strstr(next, "previous ");
	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	(void)snprintf(previous, sizeof(previous), "%.*s", (int)strcspn(at, "\n"), at);
	at = strdup(previous);
	(void)snprintf(previous, sizeof(previous), "previous %s", b64);
	next = replaced(next, at, previous);
	free(at);
	for (; pairs != NULL && *pairs != NULL; pairs += 2)
		next = replaced(next, pairs[0], pairs[1]);
	return next;
}

char *
rig_policy(const struct rig *rig)
{
	char path[96], *text = calloc(1, 65536);
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/policy", rig->dir);
	file = fopen(path, "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	CU_ASSERT_TRUE_FATAL(fread(text, 1, 65535, file) > 0);
	fclose(file);
	return text;
}

uint32_t
bring_note(struct rig *rig, uint32_t conn, uint16_t op, const char *note, char *answer, size_t size)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 65536);
	kmn_writer_u16(&w, op);
	kmn_writer_text(&w, note);
	return rig_admin(rig, conn, &w, answer, size);
}

uint32_t
submit_policy(struct rig *rig, uint32_t conn, const char *text, const char *names, char *answer, size_t size)
{
	char *note = world_sign(text, names);
	struct kmn_writer w;

	kmn_writer_init(&w, 65536);
	kmn_writer_u16(&w, KMN_ADMIN_POLICY_SUBMIT);
	kmn_writer_u8(&w, 0);
	kmn_writer_text(&w, note);
	free(note);
	return rig_admin(rig, conn, &w, answer, size);
}
