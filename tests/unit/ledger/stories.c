#include "tests/unit/ledger/stories.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/run.h"

static json_t *
hash(const char *of)
{
	uint8_t out[KMN_HASH_BYTES];

	kmn_sha256(of, strlen(of), out);
	return kmn_json_b64(out, sizeof(out));
}

json_t *
story_start(void)
{
	return json_pack(
	    "{s:s, s:s, s:o, s:[]}", "build", "test", "boot_id", "boot", "config_sha256", hash("config"), "guards");
}

json_t *
story_stop(void)
{
	return json_pack("{s:s}", "reason", "told to");
}

json_t *
story_intent(uint64_t expires)
{
	json_t *body = json_pack("{s:i, s:i, s:i, s:s, s:{s:s}, s:{s:s, s:s}, s:{s:o, s:i}}", "chan", 1, "sess", 2,
	    "seq", 3, "op", "C_Sign", "mech", "name", "CKM_SHA384_RSA_PKCS", "key", "label", "root-ca", "token", "root",
	    "in", "sha256", hash("data"), "len", 4);

	(void)json_object_set_new(body, "req_sha256", hash("request"));
	(void)json_object_set_new(body, "nonce_req", hash("nonce"));
	(void)json_object_set_new(
	    body, "requester", json_pack("{s:s, s:o}", "name", "ca-prod", "spki_sha256", hash("key")));
	(void)json_object_set_new(body, "expires", json_integer((json_int_t)expires));
	return body;
}

json_t *
story_decision(const struct kmn_ref *request, const char *verdict)
{
	return json_pack("{s:o, s:s, s:s, s:{s:i, s:o}, s:[], s:[], s:[], s:i, s:i}", "request", kmn_ref_json(request),
	    "verdict", verdict, "rule", "all", "policy", "version", 1, "sha256", hash("policy"), "approvals",
	    "rejections", "vetoes", "use", 1, "not_after", 0);
}

json_t *
story_result(const struct kmn_ref *request, const struct kmn_ref *decision)
{
	json_t *body = json_pack("{s:i, s:i, s:i, s:o, s:o, s:i, s:s, s:{s:s}, s:i}", "chan", 1, "sess", 2, "seq", 3,
	    "request", kmn_ref_json(request), "decision", kmn_ref_json(decision), "rv", 0, "rv_name", "CKR_OK", "hsm",
	    "serial", "1", "dur_us", 250);

	(void)json_object_set_new(body, "req_sha256", hash("request"));
	(void)json_object_set_new(body, "resp_sha256", hash("response"));
	return body;
}

json_t *
story_recovery(const struct kmn_head *last, const struct kmn_ref *open, const char *state)
{
	json_t *body = json_pack(
	    "{s:s, s:o, s:[], s:[]}", "reason", "crash", "last_commit", kmn_head_json(last), "open_requests", "guards");

	if (state != NULL) {
		json_t *entry = kmn_ref_json(open);

		(void)json_object_set_new(entry, "state", json_string(state));
		(void)json_array_append_new(json_object_get(body, "open_requests"), entry);
	}
	return body;
}

json_t *
story_checkpoint(const char *note)
{
	return json_pack("{s:s}", "note", note);
}

struct kmn_ref
story_append(struct kmn_log *log, enum kmn_record_kind kind, json_t *body)
{
	struct kmn_why why = {""};
	struct kmn_ref ref;
	kmn_err e = kmn_log_append(log, kind, body, &ref, NULL, &why);

	if (e != KMN_OK)
		(void)fprintf(stderr, "# %s: %s\n", kmn_err_name(e), why.text);
	CU_ASSERT_EQUAL(e, KMN_OK);
	return ref;
}
