/*
 * bend_bundle BUNDLE TRUST: a bundle that agrees, changed in every byte and
 * every line. Whatever is changed, it must not agree any more. Prints how many
 * changes were tried, and those that went unseen.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/audit.h"
#include "tools/kanmon/audit_bundle_judge.h"

static struct kmn_trust trust;
static unsigned tried, unseen;

static int
judge(const char *text, size_t len)
{
	struct kmn_bundle *bundle;
	struct kmn_why why;
	int exit_code;

	if (kmn_bundle_parse(text, len, &bundle, &why) != KMN_OK)
		return KMN_AUDIT_FAILED;
	exit_code = kmn_bundle_judge(bundle, &trust, NULL, false);
	kmn_bundle_free(bundle);
	return exit_code;
}

static void
expect_seen(const char *text, size_t len, const char *how, size_t where)
{
	int exit_code = judge(text, len);

	tried++;
	if (exit_code == KMN_AUDIT_FAILED || exit_code == KMN_AUDIT_INCOMPLETE)
		return;
	unseen++;
	(void)printf("%s %zu: exit %d\n", how, where, exit_code);
}

static void
bend_bytes(const char *text, size_t len, size_t step)
{
	char *bent = malloc(len);

	if (bent == NULL)
		abort();
	for (size_t at = 0; at < len; at += step) {
		memcpy(bent, text, len);
		bent[at] = (char)(bent[at] ^ (1 << (at / step) % 8));
		expect_seen(bent, len, "byte", at);
	}
	free(bent);
}

/* Line `number` left out (times 0), written twice, or swapped with the next. */
static void
bend_line(const char *text, size_t len, size_t number, unsigned times, bool swap)
{
	const char *line = text, *end = text + len, *next, *after;
	char *bent = malloc(2 * len), *put = bent;

	if (bent == NULL)
		abort();
	for (size_t n = 0; n < number; n++)
		line = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1;
	next = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1;
	after = swap && next < end ? (const char *)memchr(next, '\n', (size_t)(end - next)) + 1 : next;
	put = (char *)memcpy(put, text, (size_t)(line - text)) + (line - text);
	put = (char *)memcpy(put, next, (size_t)(after - next)) + (after - next);
	for (unsigned n = 0; n < times; n++)
		put = (char *)memcpy(put, line, (size_t)(next - line)) + (next - line);
	put = (char *)memcpy(put, after, (size_t)(end - after)) + (end - after);
	if ((size_t)(put - bent) != len || memcmp(bent, text, len) != 0)
		expect_seen(bent, (size_t)(put - bent),
		    times == 0 ? "dropped"
		    : swap     ? "swapped"
			       : "twice",
		    number + 1);
	free(bent);
}

int
main(int argc, char **argv)
{
	size_t len, trust_len, lines = 0;
	char *text, *trust_text;
	struct kmn_why why;

	if (argc != 3 || sodium_init() < 0 || kmn_audit_file(argv[1], KMN_BUNDLE_MAX_BYTES, &text, &len) != KMN_OK ||
	    kmn_audit_file(argv[2], KMN_TRUST_MAX_BYTES, &trust_text, &trust_len) != KMN_OK ||
	    kmn_trust_parse(trust_text, trust_len, &trust, &why) != KMN_OK || judge(text, len) != KMN_AUDIT_VERIFIED)
		return 2;
	bend_bytes(text, len, getenv("KMN_TEST_LONG") != NULL ? 1 : 11);
	for (size_t n = 0; n < len; n++)
		lines += text[n] == '\n';
	for (size_t n = 0; n < lines; n++) {
		bend_line(text, len, n, 0, false);
		bend_line(text, len, n, 2, false);
		bend_line(text, len, n, 1, true);
	}
	(void)printf("%u changes tried, %u unseen\n", tried, unseen);
	free(trust_text);
	free(text);
	return unseen > 0 || tried < 100;
}
