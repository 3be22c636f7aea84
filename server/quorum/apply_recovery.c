/* What the start after a crash says of the ledger and of what was left open. */
#include "config.h"

#include "server/quorum/apply.h"

#include "kanmon/rescue.h"

#include <string.h>

/* A guard that was overruled stands, with its head, in a note of the quorum about this very ledger. */
static void
check_overruled(struct step *s, const struct kmn_rescue *rescue, const json_t *guard)
{
	const char *name, *verdict;
	struct kmn_head head;
	bool named = false;

	if (!kmn_json_get_text(guard, "verdict", &verdict) || !kmn_json_get_text(guard, "name", &name) ||
	    !kmn_json_get_number(guard, "size", &head.size) ||
	    !kmn_json_get_b64(guard, "root", head.root, KMN_HASH_BYTES)) {
		apply_found(s, "V10", "recovery: a guard without name, verdict, size or root");
		return;
	}
	if (strcmp(verdict, "overruled") != 0)
		return;
	for (unsigned i = 0; i < rescue->guards; i++)
		named = named || (strcmp(rescue->guard[i].name, name) == 0 && rescue->guard[i].head.size == head.size &&
				     memcmp(rescue->guard[i].head.root, head.root, KMN_HASH_BYTES) == 0);
	if (!named)
		apply_found(s, "V10", "recovery overrules guard '%.64s' with %llu records, and nobody authorised that",
		    name, (unsigned long long)head.size);
}

/* The ledger goes on though a guard held another head: only by the policy's quorum. */
static void
check_authorised(struct step *s)
{
	const json_t *guards = json_object_get(s->record->body, "guards"), *guard;
	struct kmn_rescue rescue = {.guards = 0};
	struct kmn_why why = {""};
	const char *note = NULL;
	size_t n;

	if (json_object_get(s->record->body, "authorised") != NULL) {
		if (!kmn_json_get_text(s->record->body, "authorised", &note) || kmn_quorum_policy(s->q) == NULL ||
		    kmn_rescue_accept(kmn_quorum_policy(s->q), note, strlen(note), &rescue, &why) != KMN_OK) {
			apply_found(s, "V10", "recovery: the note that authorises it does not count: %.200s", why.text);
			return;
		}
		if (rescue.ledger.size > s->record->i ||
		    (s->q->settings.head != NULL && !s->q->settings.head(s->q->settings.cookie, &rescue.ledger)))
			apply_found(s, "V10", "recovery: the note that authorises it is about another ledger");
	}
	json_array_foreach(guards, n, guard) check_overruled(s, &rescue, guard);
}

void
apply_recovery(struct step *s)
{
	const json_t *list = json_object_get(s->record->body, "open_requests");
	json_t *item;
	size_t n;

	check_authorised(s);
	json_array_foreach(list, n, item)
	{
		struct kmn_ref ref = {.i = 0};
		struct request *r = NULL;
		const char *state = "";
		json_t *bare = json_copy(item);
		bool unknown;

		json_object_del(bare, "state");
		if (kmn_ref_parse(bare, &ref))
			r = quorum_request(s->q, ref.i);
		json_decref(bare);
		if (r == NULL && s->record->i < s->q->resumed) /* ended since, and forgotten when the choice was made */
			continue;
		unknown = kmn_json_get_text(item, "state", &state) && strcmp(state, "unknown") == 0;
		if (r == NULL || memcmp(ref.leaf, r->seen.leaf, sizeof(ref.leaf)) != 0 ||
		    (!unknown && strcmp(state, "not-started") != 0) ||
		    (r->seen.state != (unknown ? KMN_REQUEST_RUNNING : KMN_REQUEST_OPEN))) {
			apply_found(s, "V8", "recovery calls record %llu '%.20s', and it is not",
			    (unsigned long long)ref.i, state);
			continue;
		}
		apply_end_request(s, r, unknown ? KMN_REQUEST_UNDECIDED : KMN_REQUEST_UNSTARTED);
	}
}
