/*
 * One line for the gateway's operator: time, role, process and text, to the
 * descriptor that was inherited for it (stderr at first). Not evidence: that
 * is the ledger's part. No secret goes here: there is no conversion for one,
 * and PINs, keys and payloads are not to be formatted at all.
 *
 *	2026-11-23T12:00:00.123Z keeper[4711] warning: worker 3: killed by signal 9
 *
 * Control bytes become '?', a line ends at 1000 bytes. Safe in threads; errno stays.
 */
#ifndef KANMON_SAY_H
#define KANMON_SAY_H

#include "kanmon/base.h"

enum kmn_say_level { KMN_SAY_ERROR, KMN_SAY_WARNING, KMN_SAY_INFO, KMN_SAY_DEBUG };

/* One line, unless `level` is less urgent than kmn_say_init() asked for. */
void kmn_say(enum kmn_say_level level, const char *format, ...) KMN_PRINTF(2, 3);

/* Once, before there are threads: the role's name (static), the descriptor, and the least urgent level still said. */
void kmn_say_init(const char *role, int fd, enum kmn_say_level most);

#endif
