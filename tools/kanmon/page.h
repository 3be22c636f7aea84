/*
 * Text on a terminal, so that nobody signs what they did not see: lines that are too long go on in the next one behind
 * a mark, nothing is cut, and it waits at each screen.
 */
#ifndef KANMON_TOOLS_PAGE_H
#define KANMON_TOOLS_PAGE_H

#include "kanmon/err.h"
#include "tools/kanmon/words.h"

#define KMN_PAGE_MARK "  > " /* begins what continues a line; no line that is signed begins with a blank */

/*
 * The text in lines of at most `columns` columns. What is left when each LF with a mark behind it is taken out again is
 * the text. *wrapped_out: free().
 */
kmn_err kmn_page_wrap(const char *text, unsigned columns, char **wrapped_out) KMN_MUST_CHECK;

/*
 * Prints text on standard output. Where that is a terminal its lines are wrapped, and where the reader is asked
 * afterwards (`stops`) it waits for Enter after each screen.
 */
void kmn_page(const char *text, bool stops, enum kmn_language language);

#endif
