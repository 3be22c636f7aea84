/*
 * Trust in logs and witnesses as c2sp.org/tlog-policy writes it: lines `log`,
 * `witness`, `group` and one `quorum`. Pure.
 */
#ifndef KANMON_TLOGPOLICY_H
#define KANMON_TLOGPOLICY_H

#include "kanmon/note.h"

#define KMN_TLOG_LOGS_MAX 32
#define KMN_TLOG_WITNESSES_MAX 32
#define KMN_TLOG_GROUPS_MAX 32
#define KMN_TLOG_NONE UINT32_MAX

/* Witnesses and groups by number: witness w is bit w, group g is bit KMN_TLOG_WITNESSES_MAX + g. */
struct kmn_tlog_policy {
	struct kmn_vkey log[KMN_TLOG_LOGS_MAX]; /* type 0x01; no two with one public key */
	uint32_t logs;
	struct kmn_vkey witness[KMN_TLOG_WITNESSES_MAX]; /* type 0x04; no two with one public key */
	uint32_t witnesses;
	struct {
		uint32_t need;    /* at least so many of its members */
		uint64_t members; /* bits, all of lines before it */
	} group[KMN_TLOG_GROUPS_MAX];
	uint32_t groups;
	uint32_t quorum; /* a bit's number, or KMN_TLOG_NONE */
};

/*
 * KMN_E_MALFORMED: `why` names the line, counted from `first_line`. More than
 * 32 logs, witnesses or groups is KMN_E_TOO_BIG.
 */
kmn_err kmn_tlog_policy_parse(const char *text, size_t len, unsigned first_line, struct kmn_tlog_policy *policy_out,
    struct kmn_why *why) KMN_MUST_CHECK;

/* Whether these witnesses (bit w for policy->witness[w]) are a quorum; with `quorum none` nobody is asked for. */
bool kmn_tlog_policy_is_met(const struct kmn_tlog_policy *policy, uint32_t witnesses);

/*
 * The largest size that a quorum vouches for, where witness w cosigned size[w] (0: none) of one and the same tree: who
 * cosigned a larger size has verified that it grew out of every smaller one. 0: none.
 */
uint64_t kmn_tlog_policy_size(const struct kmn_tlog_policy *policy, const uint64_t size[KMN_TLOG_WITNESSES_MAX]);

#endif
