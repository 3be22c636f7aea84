/*
 * The main() of a fuzz target where no fuzzer drives it: gives each file of
 * the corpus to the target as it is, cut at each length, and with each bit
 * flipped in turn. One TAP case per file. Under libFuzzer (make fuzz) it is
 * empty.
 *
 * Without arguments the corpus is tests/fuzz/corpus/KMN_CORPUS in the source
 * tree; with arguments these are the files.
 */
#define _DEFAULT_SOURCE /* scandir */
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#ifndef KMN_LIBFUZZER
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES (1u << 16)
#define BENT_MAX_BYTES 2048u /* of a longer file only this beginning is cut and flipped */

/* A copy of exactly the right size, so that a sanitizer sees a read past its end. */
static void
run(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	if (copy == NULL)
		abort();
	memcpy(copy, bytes, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static void
replay(uint8_t *bytes, size_t len)
{
	size_t bent = len < BENT_MAX_BYTES ? len : BENT_MAX_BYTES;

	run(bytes, len);
	for (size_t cut = 0; cut < bent; cut++)
		run(bytes, cut);
	for (size_t bit = 0; bit < bent * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		run(bytes, len);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static int
replay_file(unsigned number, const char *path)
{
	static uint8_t bytes[FILE_MAX_BYTES];
	FILE *file = fopen(path, "rb");
	size_t len = file != NULL ? fread(bytes, 1, sizeof(bytes), file) : 0;

	if (file != NULL)
		fclose(file);
	if (file != NULL)
		replay(bytes, len);
	printf("%s %u - %s, whole, cut and bent\n", file != NULL ? "ok" : "not ok", number, path);
	return file != NULL ? 0 : 1;
}

static int
is_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int
replay_folder(const char *name)
{
	const char *srcdir = getenv("srcdir");
	struct dirent **entries;
	char folder[2048], path[4096];
	int n, failed = 0;

	snprintf(folder, sizeof(folder), "%s/tests/fuzz/corpus/%s", srcdir != NULL ? srcdir : ".", name);
	if ((n = scandir(folder, &entries, is_file, alphasort)) <= 0) {
		printf("Bail out! no corpus in %s\n", folder);
		return 1;
	}
	printf("1..%d\n", n);
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
		failed |= replay_file((unsigned)i + 1, path);
		free(entries[i]);
	}
	free(entries);
	return failed;
}

int
main(int argc, char **argv)
{
	int failed = 0;

	if (argc < 2)
		return replay_folder(KMN_CORPUS);
	printf("1..%d\n", argc - 1);
	for (int i = 1; i < argc; i++)
		failed |= replay_file((unsigned)i, argv[i]);
	return failed;
}
#endif
