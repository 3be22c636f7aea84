/*
 * Options of a subcommand, as rows: what is parsed and what --help shows are
 * the same rows. Options may stand before or after the other words.
 */
#ifndef KANMON_TOOLS_OPTIONS_H
#define KANMON_TOOLS_OPTIONS_H

#include "tools/kanmon/commands.h"

#define KMN_OPTION_LIST_MAX 32
#define KMN_OPTION_NUMBER_MAX 1000000000ul

struct kmn_option_list {
	const char *text[KMN_OPTION_LIST_MAX];
	size_t n;
};

/* Exactly one of the last four says where the value goes. */
struct kmn_option {
	const char *name;  /* without its dashes */
	const char *value; /* what the value is called; NULL for a flag */
	const char *help;
	const char **text;
	unsigned long *number; /* decimal, at most KMN_OPTION_NUMBER_MAX */
	struct kmn_option_list *list;
	bool *flag;
};

/* clang-format off */
#define KMN_OPTION_TEXT(name, value, help, where)   { (name), (value), (help), (where), NULL, NULL, NULL }
#define KMN_OPTION_NUMBER(name, value, help, where) { (name), (value), (help), NULL, (where), NULL, NULL }
#define KMN_OPTION_LIST(name, value, help, where)   { (name), (value), (help), NULL, NULL, (where), NULL }
#define KMN_OPTION_FLAG(name, help, where)          { (name), NULL, (help), NULL, NULL, NULL, (where) }
#define KMN_OPTION_JSON(where)                      KMN_OPTION_FLAG("json", "print JSON", (where))
/* clang-format on */

#define KMN_GO_ON (-1)

/*
 * Parses the words after argv[0] for the subcommand `command` (its name in
 * the table). The words that are no options go to words_out[0..least..most);
 * those not given are NULL.
 *
 * KMN_GO_ON, or what to return from the subcommand at once: KMN_EXIT_OK after
 * --help was printed, KMN_EXIT_USAGE after a complaint.
 */
int kmn_options_parse(int argc, char **argv, const char *command, const struct kmn_option *options, size_t n_options,
    const char **words_out, size_t least, size_t most);

/* Says what is wrong with the command line and how to get help; KMN_EXIT_USAGE. */
int kmn_usage(const char *command, const char *format, ...) KMN_PRINTF(2, 3);

#endif
