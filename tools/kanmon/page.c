#include "config.h"

#include "tools/kanmon/page.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_LEAST 16 /* narrower terminals wrap by themselves */

kmn_err
kmn_page_wrap(const char *text, unsigned columns, char **wrapped_out)
{
	const unsigned mark = sizeof(KMN_PAGE_MARK) - 1;
	unsigned at = 0;
	size_t len;
	FILE *to;

	*wrapped_out = NULL;
	if ((to = open_memstream(wrapped_out, &len)) == NULL)
		return KMN_E_NO_MEMORY;
	while (*text != '\0') {
		unsigned takes = kmn_columns_of(text, &len);

		if (*text == '\n') {
			at = 0;
		} else if (columns >= COLUMNS_LEAST && at + takes > columns) {
			fputs("\n" KMN_PAGE_MARK, to);
			at = mark + takes;
		} else {
			at += takes;
		}
		fwrite(text, 1, len, to);
		text += len;
	}
	if (fclose(to) == 0)
		return KMN_OK;
	free(*wrapped_out);
	*wrapped_out = NULL;
	return KMN_E_NO_MEMORY;
}

/* Waits for Enter; the prompt goes away again. False when nobody is there to be waited for. */
static bool
wait_for_enter(const char *prompt)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	char key = 0;

	if (fd < 0)
		return false;
	dprintf(fd, "%s", prompt);
	while (key != '\n' && read(fd, &key, 1) == 1)
		continue;
	dprintf(fd, "\033[A\r\033[K");
	close(fd);
	return key == '\n';
}

static void
print_lines(const char *text, unsigned rows, enum kmn_language language)
{
	unsigned shown = 0;

	for (const char *line = text; *line != '\0'; shown++) {
		size_t len = strcspn(line, "\n");

		if (rows > 0 && shown == rows - 1) {
			fflush(stdout);
			rows = wait_for_enter(kmn_word_text(language, KMN_W_MORE)) ? rows : 0;
			shown = 0;
		}
		printf("%.*s\n", (int)len, line);
		line += len + (line[len] == '\n');
	}
	fflush(stdout);
}

void
kmn_page(const char *text, bool stops, enum kmn_language language)
{
	struct winsize size = {0};
	char *wrapped = NULL;
	bool terminal = isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;

	if (terminal && kmn_page_wrap(text, size.ws_col, &wrapped) == KMN_OK)
		text = wrapped;
	print_lines(text, terminal && stops && size.ws_row > 3 ? size.ws_row : 0, language);
	free(wrapped);
}
