/*
 * What a role's process gives up before it sees a byte from outside: its
 * user's rights, privileges to come, core dumps, being traced, and all system
 * calls that its part does not need (tables in confine.c).
 */
#ifndef KANMON_SERVER_CONFINE_H
#define KANMON_SERVER_CONFINE_H

#include <sys/types.h>

#include "kanmon/err.h"
#include "server/settings.h"

struct kmn_confine {
	enum kmn_role role;
	enum kmn_confinement how;
	bool drop; /* to uid and gid; otherwise they are what they are */
	uid_t uid;
	gid_t gid;
	pid_t parent;   /* the supervisor: its end is the end of this process */
	int ledger;     /* keeper: its folder, the only one that it may open files in; else -1 */
	uint32_t files; /* descriptors that may be open at once */
};

/* Everything that the table of the role says; for good. why_out: KMN_SETTINGS_WHY_BYTES of room. */
kmn_err kmn_confine(const struct kmn_confine *confine, char *why_out) KMN_MUST_CHECK;

/* The part that every process of kanmond has from its first line, the supervisor too: no core dump, no tracer. */
kmn_err kmn_confine_memory(void) KMN_MUST_CHECK;

/* Whether this build can be filtered (a sanitizer's runtime needs calls that the tables refuse). */
bool kmn_confine_can_filter(void);

#endif
