/* The command `kanmon`: finds the row of the subcommand and calls its function. */
#include "config.h"

#include "tools/kanmon/options.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

struct command {
	const char *name, *arguments, *help;
	int (*run)(int argc, char **argv);
};

#define ROW(name, function, arguments, help, teach) {name, arguments, help, kmn_cmd_##function},
static const struct command commands[] = {KMN_COMMAND_ROWS(ROW)};
#undef ROW

/* Lists the subcommands, or those whose name begins with the word `group`. */
static bool
list_commands(FILE *to, const char *group)
{
	bool any = false;

	for (size_t i = 0; i < KMN_COUNT_OF(commands); i++) {
		size_t len = group != NULL ? strlen(group) : 0;

		if (group != NULL && (strncmp(commands[i].name, group, len) != 0 || commands[i].name[len] != ' '))
			continue;
		fprintf(to, "  %-17s %s\n", commands[i].name, commands[i].help);
		any = true;
	}
	return any;
}

static int
print_help(void)
{
	printf("kanmon: ask, approve, administer and audit a kanmon gateway.\n\n");
	list_commands(stdout, NULL);
	printf("\n'kanmon COMMAND --help' explains a command with an example. --json makes every answer JSON.\n"
	       "Exit: 0 done, 1 refused or failed, 2 the command line cannot be understood\n"
	       "      (kanmon audit has its own, see its help).\n");
	return KMN_EXIT_OK;
}

/* How many words of the command line are the command's name; 0 if they are not. */
static int
words_matched(const struct command *command, int argc, char **argv)
{
	const char *space = strchr(command->name, ' ');
	size_t first = space != NULL ? (size_t)(space - command->name) : strlen(command->name);

	if (argc < 2 || strlen(argv[1]) != first || strncmp(argv[1], command->name, first) != 0)
		return 0;
	if (space == NULL)
		return 1;
	return argc > 2 && strcmp(argv[2], space + 1) == 0 ? 2 : 0;
}

static int
complain(const char *word)
{
	fprintf(stderr, "kanmon: there is no command '%s'. These are:\n", word);
	if (!list_commands(stderr, word))
		list_commands(stderr, NULL);
	return KMN_EXIT_USAGE;
}

static bool
asks_for_help(const char *word)
{
	return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int
main(int argc, char **argv)
{
	if (sodium_init() < 0) {
		fprintf(stderr, "kanmon: libsodium cannot be initialised\n");
		return KMN_EXIT_FAILED;
	}
	if (argc < 2 || (argc == 2 && asks_for_help(argv[1]))) {
		print_help();
		return argc < 2 ? KMN_EXIT_USAGE : KMN_EXIT_OK;
	}
	for (size_t i = 0; i < KMN_COUNT_OF(commands); i++) {
		int words = words_matched(&commands[i], argc, argv);

		if (words > 0)
			return commands[i].run(argc - words, argv + words);
	}
	if (argc == 3 && asks_for_help(argv[2]) && list_commands(stdout, argv[1]))
		return KMN_EXIT_OK;
	return complain(argv[1]);
}
