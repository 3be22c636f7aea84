/* C2SP tlog-policy: what auditors, witnesses and gateways are configured with. */
#include <stdlib.h>

#include "kanmon/tlogpolicy.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct kmn_tlog_policy policy;
	struct kmn_why why = {""};

	if (kmn_tlog_policy_parse((const char *)bytes, len, 1, &policy, &why) != KMN_OK) {
		if (policy.witnesses != 0 || policy.groups != 0 || why.text[0] == '\0')
			abort();
		return 0;
	}
	/* All who are named are a quorum, nobody is one only where nobody is asked for, and more are never less. */
	if (!kmn_tlog_policy_is_met(&policy, UINT32_MAX) ||
	    kmn_tlog_policy_is_met(&policy, 0) != (policy.quorum == KMN_TLOG_NONE))
		abort();
	for (uint32_t few = 1; few != UINT32_MAX; few = few << 1 | 1)
		if (kmn_tlog_policy_is_met(&policy, few) && !kmn_tlog_policy_is_met(&policy, few << 1 | 1))
			abort();
	return 0;
}
