/* judge_lines: for each line of standard input "yes" if it is a record in canonical form, "no" if not; twice over. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/scan.h"

int
main(void)
{
	static struct kmn_scan scan;
	struct kmn_record record;
	char *line = NULL;
	size_t room = 0;
	ssize_t len;

	while ((len = getline(&line, &room, stdin)) > 0) {
		bool parsed, scanned;

		len -= line[len - 1] == '\n';
		parsed = kmn_record_parse(line, (size_t)len, &record, NULL) == KMN_OK;
		scanned = kmn_scan_line(line, (size_t)len, &scan);
		kmn_record_clear(&record);
		if (parsed != scanned) {
			(void)printf("the scanner and the parser differ\n");
			return 1;
		}
		(void)puts(parsed ? "yes" : "no");
	}
	free(line);
	return 0;
}
