/* The digests of a story side by side. */
#include "config.h"

#include "tools/kanmon/audit_story.h"

#include <stdio.h>
#include <string.h>

static json_t *
add_row(struct kmn_compared *c, const char *what, uint64_t where, const char *value, const char *is)
{
	json_t *row = json_pack("{s:s, s:s, s:s}", "what", what, "value", value != NULL ? value : "", "is", is);

	if (row == NULL)
		KMN_BUG("out of memory");
	if (where != KMN_NOWHERE)
		(void)json_object_set_new(row, "where", json_integer((json_int_t)where));
	(void)json_array_append_new(c->rows, row);
	return row;
}

void
kmn_compare_begin(struct kmn_compared *c, const char *name)
{
	json_t *group = json_pack("{s:s, s:[]}", "name", name, "rows");

	if (group == NULL)
		KMN_BUG("out of memory");
	c->rows = json_object_get(group, "rows");
	c->first[0] = '\0';
	(void)json_array_append_new(c->groups, group);
}

void
kmn_compare(struct kmn_compared *c, const char *what, uint64_t where, const char *value)
{
	bool same;

	if (value == NULL) {
		(void)add_row(c, what, where, NULL, "not kept");
		return;
	}
	if (c->first[0] == '\0') {
		(void)snprintf(c->first, sizeof(c->first), "%s", value);
		(void)add_row(c, what, where, value, "reference");
		return;
	}
	same = strcmp(c->first, value) == 0;
	c->different += !same;
	(void)add_row(c, what, where, value, same ? "equal" : "DIFFERENT");
}

void
kmn_compare_hash(struct kmn_compared *c, const char *what, uint64_t where, const void *hash, size_t len)
{
	char b64[KMN_B64_LEN(64) + 1];

	if (len > 64)
		KMN_BUG("no hash is that long");
	kmn_b64(hash, len, b64);
	kmn_compare(c, what, where, b64);
}

void
kmn_compare_holds(struct kmn_compared *c, const char *what, uint64_t where, bool holds, const char *says)
{
	c->different += !holds;
	(void)add_row(c, what, where, says, holds ? "equal" : "DIFFERENT");
}
