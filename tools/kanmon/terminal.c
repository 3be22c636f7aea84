#include "config.h"

#include "tools/kanmon/terminal.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define FAIL_MAX_BYTES 4096

/* Reads to the first line end; the rest is left. False when there is no line or it is too long. */
static bool
read_line(int fd, char *line, size_t room)
{
	for (size_t n = 0; n < room; n++) {
		if (read(fd, line + n, 1) != 1 || line[n] == '\n' || line[n] == '\r') {
			line[n] = '\0';
			return n > 0;
		}
	}
	return false;
}

static bool
ask_hidden(int fd, const char *prompt, char *line)
{
	struct termios before, hidden;
	bool ok;

	if (tcgetattr(fd, &before) != 0)
		return false;
	hidden = before;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	dprintf(fd, "%s: ", prompt);
	tcsetattr(fd, TCSAFLUSH, &hidden);
	ok = read_line(fd, line, KMN_PASSPHRASE_MAX_BYTES);
	tcsetattr(fd, TCSAFLUSH, &before);
	dprintf(fd, "\n");
	return ok;
}

static kmn_err
passphrase_from_terminal(const char *prompt, bool twice, char *line, char *again)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	kmn_err e = KMN_OK;

	if (fd < 0) {
		kmn_fail("there is no terminal to ask for the passphrase; give --passphrase-file or "
			 "KANMON_PASSPHRASE_FILE");
		return KMN_E_PASSPHRASE;
	}
	if (!ask_hidden(fd, prompt, line)) {
		kmn_fail("no passphrase was given");
		e = KMN_E_PASSPHRASE;
	} else if (twice && (!ask_hidden(fd, "The same again", again) || strcmp(line, again) != 0)) {
		kmn_fail("the two passphrases differ");
		e = KMN_E_PASSPHRASE;
	}
	close(fd);
	return e;
}

static kmn_err
passphrase_from_file(const char *file, char *line)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && read_line(fd, line, KMN_PASSPHRASE_MAX_BYTES);

	if (fd >= 0)
		close(fd);
	if (!ok)
		kmn_fail("%s: there is no passphrase in it", file);
	return ok ? KMN_OK : KMN_E_PASSPHRASE;
}

kmn_err
kmn_passphrase_get(const char *prompt, const char *file, bool twice, char **passphrase_out)
{
	return kmn_secret_get(prompt, file != NULL ? file : getenv("KANMON_PASSPHRASE_FILE"), twice, passphrase_out);
}

kmn_err
kmn_secret_get(const char *prompt, const char *file, bool twice, char **passphrase_out)
{
	char *line = sodium_malloc(KMN_PASSPHRASE_MAX_BYTES), *again = sodium_malloc(KMN_PASSPHRASE_MAX_BYTES);
	kmn_err e = KMN_E_NO_MEMORY;

	*passphrase_out = NULL;
	if (line == NULL || again == NULL)
		goto done;
	e = file != NULL ? passphrase_from_file(file, line) : passphrase_from_terminal(prompt, twice, line, again);
	if (e != KMN_OK)
		goto done;
	*passphrase_out = line;
	line = NULL;
done:
	sodium_free(line);
	sodium_free(again);
	return e;
}

bool
kmn_terminal_confirm(const char *question)
{
	char prompt[256];

	(void)snprintf(prompt, sizeof(prompt), "%s (yes/no) ", question);
	return kmn_terminal_yes(prompt);
}

bool
kmn_terminal_yes(const char *prompt)
{
	char line[16];
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	bool yes;

	if (fd < 0) {
		kmn_fail("there is no terminal to ask on; --yes answers for one who read it");
		return false;
	}
	dprintf(fd, "%s", prompt);
	yes = read_line(fd, line, sizeof(line)) && strcmp(line, "yes") == 0;
	close(fd);
	return yes;
}

static bool
wants_bold(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL && term != NULL && strcmp(term, "dumb") != 0;
}

const char *
kmn_bold(void)
{
	return wants_bold() ? "\033[1m" : "";
}

const char *
kmn_plain(void)
{
	return wants_bold() ? "\033[0m" : "";
}

void
kmn_print_json(json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
	putchar('\n');
	json_decref(value);
}

static void
put_safe(FILE *to, const char *text)
{
	for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
		bool c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0; /* U+0080-009F: a terminal may obey them */

		if (*at == '\n' || (*at >= 0x20 && *at != 0x7f && !c1))
			putc(*at, to);
		else if (c1)
			fprintf(to, "\\x%02x", *++at);
		else
			fprintf(to, "\\x%02x", *at);
	}
}

int
kmn_fail(const char *format, ...)
{
	char line[FAIL_MAX_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fputs("kanmon: ", stderr);
	put_safe(stderr, line); /* it may quote a gateway */
	fputc('\n', stderr);
	return KMN_EXIT_FAILED;
}

void
kmn_print_safe(const char *text)
{
	put_safe(stdout, text);
}
