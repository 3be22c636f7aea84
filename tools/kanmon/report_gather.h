/* What report_gather.c (the whole), report_records.c (each record) and report_persons.c (rights) share. */
#ifndef KANMON_TOOLS_REPORT_GATHER_H
#define KANMON_TOOLS_REPORT_GATHER_H

#include "tools/kanmon/audit_rows.h"
#include "kanmon/verify.h"

/* Maps are JSON objects: jansson keeps the order in which members came. */
struct kmn_gather {
	struct kmn_store *store;
	struct kmn_rows *rows;
	json_t *contents; /* index of a result -> what it signed */
	json_t *keys, *origins, *evidence, *clients, *votes, *open, *witnesses, *anchors, *hsms; /* maps */
	json_t *asked_windows, *windows;  /* maps by index of the request: what was asked, and those that were opened */
	json_t *attestations, *anomalies; /* lists */
	json_t *certificates, *policies, *refusals, *events; /* lists */
	uint64_t certificates_more, refusals_more, first_t, last_t;
	uint64_t refused; /* calls, requests, logins and channels; votes are not counted */
	char *policy;     /* text of the last policy, without its signatures */
};

/* Reads every record. KMN_E_CORRUPT: up to the damage. */
kmn_err kmn_gather_records(struct kmn_gather *g, struct kmn_why *why) KMN_MUST_CHECK;
/* Persons of the last policy with their groups, roles and rules, and what each did. */
json_t *kmn_gather_persons(const struct kmn_gather *g);

/* report_standing.c: an intent that asks for a window; what a decision makes of one (true: it is no refusal); the rest. */
void kmn_gather_intent_window(struct kmn_gather *g, const struct kmn_record *record);
bool kmn_gather_use_of_window(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row);
void kmn_gather_standing(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row);
/* Tokens of the last policy, with their level and who says so. */
json_t *kmn_gather_tokens(const struct kmn_gather *g);

void kmn_gather_operation(struct kmn_gather *g, const struct kmn_record *record, const struct kmn_row *row);
/* A record that bears on a requirement, under the name of its kind of evidence. */
void kmn_gather_evidence(struct kmn_gather *g, const char *name, uint64_t i);

json_t *kmn_gather_of(json_t *map, const char *key); /* made if it is not there; borrowed */
void kmn_gather_count(json_t *object, const char *name, json_int_t by);
void kmn_gather_index(json_t *object, const char *name, uint64_t i, size_t max);
void kmn_gather_text(json_t *object, const char *name, const char *text);
void kmn_gather_number(json_t *object, const char *name, uint64_t number);

#endif
