/*
 * What the tool says and asks. Questions are asked on a terminal only: a
 * script that forgot an answer fails at once instead of waiting for ever.
 */
#ifndef KANMON_TOOLS_TERMINAL_H
#define KANMON_TOOLS_TERMINAL_H

#include <jansson.h>

#include "kanmon/err.h"
#include "tools/kanmon/commands.h"

#define KMN_PASSPHRASE_MAX_BYTES 1024

/*
 * The passphrase from `file`, or the file that KANMON_PASSPHRASE_FILE names,
 * or else asked on the terminal (twice when it is a new one). The first line
 * counts, without its end. *passphrase_out is NUL-terminated sodium_malloc
 * memory, the caller's to sodium_free. Failures are said on stderr.
 */
kmn_err kmn_passphrase_get(const char *prompt, const char *file, bool twice, char **passphrase_out) KMN_MUST_CHECK;

/* The same, but for a secret that no environment names: from `file`, or asked. */
kmn_err kmn_secret_get(const char *prompt, const char *file, bool twice, char **secret_out) KMN_MUST_CHECK;

/* Asks on the terminal; only the full word "yes" is a yes. No terminal: false, and says so. */
bool kmn_terminal_confirm(const char *question);
/* The same with the whole prompt. */
bool kmn_terminal_yes(const char *prompt);

/* Bold on, bold off; "" unless standard output is a terminal that wants it (NO_COLOR, TERM=dumb). */
const char *kmn_bold(void);
const char *kmn_plain(void);

/* Prints one JSON value and a line end on standard output; takes the reference. */
void kmn_print_json(json_t *value);

/* "kanmon: ..." on stderr; KMN_EXIT_FAILED. */
int kmn_fail(const char *format, ...) KMN_PRINTF(1, 2);

/* Text that came from elsewhere, with control bytes as \xNN, so that it cannot move the cursor. */
void kmn_print_safe(const char *text);

#endif
