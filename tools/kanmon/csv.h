/*
 * CSV as RFC 4180 has it, and safe to open in a spreadsheet: a field that a
 * program would take for a formula gets an apostrophe in front. What people
 * chose (labels, purposes, reasons) stands in these files.
 */
#ifndef KANMON_TOOLS_CSV_H
#define KANMON_TOOLS_CSV_H

#include <stdio.h>

#include "kanmon/base.h"

/* One line: fields with commas between, CR LF at its end. NULL is an empty field. */
void kmn_csv_line(FILE *out, const char *const *fields, size_t count);

/* One field as it stands between commas; the caller's to free(), NULL: out of memory. */
char *kmn_csv_field(const char *text);

#endif
