#include "config.h"

#include "tools/kanmon/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW(name, function, arguments, help, teach) {name, arguments, help, teach},
static const struct {
	const char *name, *arguments, *help, *teach;
} rows[] = {KMN_COMMAND_ROWS(ROW)};
#undef ROW

int
kmn_usage(const char *command, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "kanmon %s: ", command);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nTry: kanmon %s --help\n", command);
	return KMN_EXIT_USAGE;
}

static void
print_help(const char *command, const struct kmn_option *options, size_t n_options)
{
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++) {
		if (strcmp(rows[i].name, command) != 0)
			continue;
		printf("Usage: kanmon %s %s\n\n%s.\n\n%s", command, rows[i].arguments, rows[i].help, rows[i].teach);
	}
	printf("\nOptions:\n");
	for (size_t i = 0; i < n_options; i++) {
		char left[64];

		snprintf(left, sizeof(left), "--%s%s%s", options[i].name, options[i].value != NULL ? " " : "",
		    options[i].value != NULL ? options[i].value : "");
		printf("  %-26s %s\n", left, options[i].help);
	}
	printf("  %-26s %s\n", "--help", "this text");
	if (strncmp(command, "audit ", 6) != 0) /* an auditor's exit codes are in the text of each */
		printf("\nExit: 0 done, 1 refused or failed, 2 the command line cannot be understood.\n");
}

static bool
take_number(const char *text, unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(text, &end, 10);
	return errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' && *out <= KMN_OPTION_NUMBER_MAX;
}

/* Puts one option's value where its row says; NULL or a complaint. */
static const char *
take_value(const struct kmn_option *option, const char *value)
{
	if (option->text != NULL)
		*option->text = value;
	else if (option->number != NULL && !take_number(value, option->number))
		return "wants a number";
	else if (option->list != NULL && option->list->n == KMN_OPTION_LIST_MAX)
		return "is given too often";
	else if (option->list != NULL)
		option->list->text[option->list->n++] = value;
	return NULL;
}

static const struct kmn_option *
find_option(const struct kmn_option *options, size_t n_options, const char *word, size_t len)
{
	for (size_t i = 0; i < n_options; i++)
		if (strlen(options[i].name) == len && strncmp(options[i].name, word, len) == 0)
			return &options[i];
	return NULL;
}

/* One word that begins with two dashes; moves *at over a value in the next word. */
static int
take_option(int argc, char **argv, int *at, const char *command, const struct kmn_option *options, size_t n_options)
{
	const char *word = argv[*at] + 2, *equals = strchr(word, '='), *value = NULL, *complaint;
	size_t len = equals != NULL ? (size_t)(equals - word) : strlen(word);
	const struct kmn_option *option = find_option(options, n_options, word, len);

	if (option == NULL)
		return kmn_usage(command, "there is no option --%.*s", (int)len, word);
	if (option->flag != NULL) {
		if (equals != NULL)
			return kmn_usage(command, "--%s takes no value", option->name);
		*option->flag = true;
		return KMN_GO_ON;
	}
	if (equals != NULL)
		value = equals + 1;
	else if (*at + 1 < argc)
		value = argv[++*at];
	if (value == NULL)
		return kmn_usage(command, "--%s wants %s", option->name, option->value);
	complaint = take_value(option, value);
	return complaint == NULL ? KMN_GO_ON : kmn_usage(command, "--%s %s", option->name, complaint);
}

int
kmn_options_parse(int argc, char **argv, const char *command, const struct kmn_option *options, size_t n_options,
    const char **words_out, size_t least, size_t most)
{
	bool only_words = false;
	size_t n = 0;

	for (size_t i = 0; i < most; i++)
		words_out[i] = NULL;
	for (int at = 1; at < argc; at++) {
		int verdict = KMN_GO_ON;

		if (!only_words && (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0)) {
			print_help(command, options, n_options);
			return KMN_EXIT_OK;
		}
		if (!only_words && strcmp(argv[at], "--") == 0)
			only_words = true;
		else if (!only_words && strncmp(argv[at], "--", 2) == 0)
			verdict = take_option(argc, argv, &at, command, options, n_options);
		else if (n == most)
			verdict = kmn_usage(command, "'%s' is one word too many", argv[at]);
		else
			words_out[n++] = argv[at];
		if (verdict != KMN_GO_ON)
			return verdict;
	}
	return n >= least ? KMN_GO_ON : kmn_usage(command, "something is missing");
}
