#include "config.h"

#include "tools/kanmon/audit_bundle_inner.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const topics[KMN_TOPICS] = {
    [KMN_ASK_PLACE] = "place",
    [KMN_ASK_WITNESSES] = "witnesses",
    [KMN_ASK_POLICY] = "policy",
    [KMN_ASK_INSTRUCTED] = "instructed",
    [KMN_ASK_SCREEN] = "screen",
    [KMN_ASK_SIGNED] = "signed",
    [KMN_ASK_DECIDED] = "decided",
    [KMN_ASK_HSM] = "HSM",
    [KMN_ASK_TIME] = "time",
};

static const char *const not_checked[] = {
    "use count not checked: that the approvals were used nowhere else only the whole ledger shows",
    "nor that nothing was left out of the bundle (a veto that came too late, a later policy)",
};

static const char *const answers[] = {"-", "ok", "short", "missing", "FAILED"};

void
kmn_judge_note(struct kmn_judging *j, enum kmn_topic topic, enum kmn_judged answer, const char *format, ...)
{
	va_list args;

	if (j->row[topic].text[0] != '\0' && answer <= j->row[topic].answer)
		return;
	j->row[topic].answer = answer;
	va_start(args, format);
	(void)vsnprintf(j->row[topic].text, sizeof(j->row[topic].text), format, args);
	va_end(args);
}

int
kmn_judged_exit(const struct kmn_judging *j)
{
	enum kmn_judged worst = KMN_SAYS_OK;

	for (unsigned n = 0; n < KMN_TOPICS; n++)
		worst = j->row[n].answer > worst ? j->row[n].answer : worst;
	return worst == KMN_SAYS_FAILED    ? KMN_AUDIT_FAILED
	       : worst == KMN_SAYS_MISSING ? KMN_AUDIT_INCOMPLETE
	       : worst == KMN_SAYS_SHORT   ? KMN_AUDIT_SHORT
					   : KMN_AUDIT_VERIFIED;
}

static const char *const verdicts[] = {
    [KMN_AUDIT_VERIFIED] = "AGREES: what was signed, what policy demanded and what the HSM returned are one",
    [KMN_AUDIT_FAILED] = "FAILED",
    [KMN_AUDIT_SHORT] = "AGREES, BUT SHORT of the witnesses or time stamps that the trust file asks for",
    [KMN_AUDIT_INCOMPLETE] = "INCOMPLETE: what a question needs is not in the bundle",
};

static void
print_human(const struct kmn_judging *j, FILE *out, int exit_code)
{
	(void)fprintf(out, "origin     ");
	kmn_audit_text(out, j->bundle->origin, 0);
	(void)fprintf(out, "\nrequest    %" PRIu64 "\nhead       %" PRIu64 "\n", j->bundle->request, j->head.size);
	for (unsigned n = 0; n < KMN_TOPICS; n++) {
		(void)fprintf(out, "%-10s %-8s ", topics[n], answers[j->row[n].answer]);
		kmn_audit_text(out, j->row[n].text, 0);
		(void)fprintf(out, "\n");
	}
	for (size_t n = 0; n < KMN_COUNT_OF(not_checked); n++)
		(void)fprintf(out, "%-10s %s\n", n == 0 ? "beyond" : "", not_checked[n]);
	(void)fprintf(out, "%s\n", verdicts[exit_code]);
}

static void
print_json(const struct kmn_judging *j, FILE *out, int exit_code)
{
	json_t *rows = json_array(), *beyond = json_array(), *all;

	for (unsigned n = 0; n < KMN_TOPICS; n++)
		(void)json_array_append_new(rows, json_pack("{s:s, s:s, s:s}", "topic", topics[n], "answer",
						      answers[j->row[n].answer], "text", j->row[n].text));
	for (size_t n = 0; n < KMN_COUNT_OF(not_checked); n++)
		(void)json_array_append_new(beyond, json_string(not_checked[n]));
	all = json_pack("{s:s, s:I, s:o, s:i, s:s, s:o, s:o}", "origin", j->bundle->origin, "request",
	    (json_int_t)j->bundle->request, "head", kmn_head_json(&j->head), "exit", exit_code, "verdict",
	    verdicts[exit_code], "answers", rows, "not_checked", beyond);
	(void)json_dumpf(all, out, JSON_INDENT(2) | JSON_SORT_KEYS);
	(void)fprintf(out, "\n");
	json_decref(all);
}

void
kmn_judged_print(const struct kmn_judging *j, FILE *out, int exit_code, bool json)
{
	(json ? print_json : print_human)(j, out, exit_code);
}
