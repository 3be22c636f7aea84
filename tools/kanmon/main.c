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
	const char *name = command->name;
	int words = 0;

	for (;;) {
		size_t len = strcspn(name, " ");

		if (words + 1 >= argc || strlen(argv[words + 1]) != len || strncmp(argv[words + 1], name, len) != 0)
			return 0;
		words++;
		if (name[len] == '\0')
			return words;
		name += len + 1;
	}
}

/* The longest name wins: `audit bundle verify` is not `audit bundle` of something called verify. */
static const struct command *
find_command(int argc, char **argv, int *words_out)
{
	const struct command *found = NULL;

	*words_out = 0;
	for (size_t i = 0; i < KMN_COUNT_OF(commands); i++) {
		int words = words_matched(&commands[i], argc, argv);

		if (words > *words_out) {
			*words_out = words;
			found = &commands[i];
		}
	}
	return found;
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
	const struct command *command;
	int words;

	if (sodium_init() < 0) {
		fprintf(stderr, "kanmon: libsodium cannot be initialised\n");
		return KMN_EXIT_FAILED;
	}
	if (argc < 2 || (argc == 2 && asks_for_help(argv[1]))) {
		print_help();
		return argc < 2 ? KMN_EXIT_USAGE : KMN_EXIT_OK;
	}
	if ((command = find_command(argc, argv, &words)) != NULL)
		return command->run(argc - words, argv + words);
	if (argc == 3 && asks_for_help(argv[2]) && list_commands(stdout, argv[1]))
		return KMN_EXIT_OK;
	return complain(argv[1]);
}
