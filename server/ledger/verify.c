/* The offline verifier: V1-V4, and from case.c V8. */
#include "config.h"

#include "kanmon/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/case.h"
#include "server/ledger/chain.h"

/* One verification, while it lasts. */
struct verify {
	const struct kmn_verify_settings *settings;
	struct kmn_verify_report *report;
	struct kmn_verify_sink sink; /* counts, then tells the caller's */
	struct kmn_walk walk;
	struct kmn_tree *tree;
	struct kmn_cases *cases;
	char file[KMN_SEGMENT_NAME_BYTES]; /* the segment being read */
	uint8_t *off;                      /* its .off as it should be */
	size_t off_len, off_room;
	struct {
		bool there, met;
		char segment[KMN_SEGMENT_NAME_BYTES];
		uint64_t offset;
		struct kmn_head head;
	} state; /* state/head: where a commit must have ended */
	struct {
		char *bytes;
		size_t len;
		kmn_err e;
	} checkpoint; /* read before the segments: those may grow meanwhile, it may not */
	bool fatal;
};

static void
count_and_tell(
    void *cookie, enum kmn_check check, enum kmn_severity severity, const struct kmn_place *place, const char *text)
{
	struct verify *v = cookie;

	if (severity == KMN_FINDING || severity == KMN_FATAL) {
		v->report->count[check]++;
		v->report->failed = true;
	}
	v->fatal = v->fatal || severity == KMN_FATAL;
	v->report->missing = v->report->missing || severity == KMN_MISSING;
	if (v->settings->sink.say != NULL)
		v->settings->sink.say(v->settings->sink.cookie, check, severity, place, text);
}

static void say(struct verify *v, enum kmn_check check, enum kmn_severity severity, const char *file, uint64_t line,
    uint64_t index, const char *format, ...) KMN_PRINTF(7, 8);

static void
say(struct verify *v, enum kmn_check check, enum kmn_severity severity, const char *file, uint64_t line, uint64_t index,
    const char *format, ...)
{
	struct kmn_place place = {file, line, index};
	char text[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	v->sink.say(v->sink.cookie, check, severity, &place, text);
}

/* A head that somebody signed, or that a record states, against the tree: the one question of V3. */
static void
check_head(struct verify *v, const char *file, uint64_t line, uint64_t index, const struct kmn_head *head)
{
	struct kmn_head here;

	if (kmn_tree_head(v->tree, head->size, &here) != KMN_OK)
		say(v, KMN_V3, KMN_FINDING, file, line, index,
		    "a head of %" PRIu64 " records, but there are only %" PRIu64 ": the ledger was cut off", head->size,
		    kmn_tree_size(v->tree));
	else if (memcmp(here.root, head->root, KMN_HASH_BYTES) != 0)
		say(v, KMN_V3, KMN_FINDING, file, line, index,
		    "another root at size %" PRIu64 ": this is not the ledger that was signed", head->size);
}

/* A checkpoint note by the pinned log key; false (and said) if it is none. */
static bool
open_checkpoint(struct verify *v, enum kmn_check check, const char *file, uint64_t line, uint64_t index,
    const char *bytes, size_t len, struct kmn_head *head_out)
{
	const struct kmn_trust *trust = v->settings->trust;
	struct kmn_note note;
	struct kmn_why why = {""};
	size_t count;
	bool verified;
	kmn_err e;

	if ((e = kmn_note_parse(bytes, len, &note, &why)) == KMN_OK &&
	    (e = kmn_note_verify(&note, &trust->log, 1, &verified, &count, &why)) == KMN_OK)
		e = kmn_checkpoint_parse(&note, trust->origin, head_out, &why);
	if (e == KMN_OK && count == 1)
		return true;
	say(v, check, KMN_FINDING, file, line, index, "not a checkpoint signed by the pinned log key: %s",
	    e == KMN_OK ? "its line is not there" : why.text);
	return false;
}

static void
check_genesis(struct verify *v, const struct kmn_record *record, uint64_t line)
{
	char vkey[KMN_VKEY_MAX_BYTES];
	const char *text;

	kmn_vkey_format(&v->settings->trust->log, vkey);
	if (!kmn_json_get_text(record->body, "vkey", &text) || strcmp(text, vkey) != 0)
		say(v, KMN_V4, KMN_FINDING, v->file, line, 0, "genesis names another log key than the trust file");
	if (!kmn_json_get_text(record->body, "suite", &text) || strcmp(text, "K1") != 0)
		say(v, KMN_V2, KMN_FINDING, v->file, line, 0, "genesis names a suite other than K1");
}

/* What a recovery moved aside, where it is still kept: the bytes that it describes. */
static void
check_dropped(struct verify *v, const struct kmn_record *record, uint64_t line)
{
	const json_t *dropped = json_object_get(record->body, "dropped");
	uint8_t said[KMN_HASH_BYTES], is[KMN_HASH_BYTES];
	const char *name;
	char *bytes;
	size_t len;
	kmn_err e;

	if (dropped == NULL)
		return;
	if (!kmn_json_get_text(dropped, "quarantine", &name) || strncmp(name, "quarantine/", 11) != 0 ||
	    strchr(name + 11, '/') != NULL || !kmn_json_get_b64(dropped, "sha256", said, sizeof(said))) {
		say(v, KMN_V2, KMN_FINDING, v->file, line, record->i, "dropped does not say which bytes are where");
		return;
	}
	if ((e = kmn_store_read(v->settings->store, name, SIZE_MAX / 2, &bytes, &len)) == KMN_E_NOT_FOUND)
		return;
	if (e == KMN_OK)
		kmn_sha256(bytes, len, is);
	if (e != KMN_OK || memcmp(said, is, sizeof(is)) != 0)
		say(v, KMN_V1, KMN_FINDING, name, 0, record->i, "not the bytes that the recovery describes");
	free(bytes);
}

/* Records that state a head of this ledger. */
static void
check_stated_heads(struct verify *v, const struct kmn_record *record, uint64_t line)
{
	struct kmn_head head = {0};
	const char *note;

	switch (record->kind) {
	case KMN_R_CHECKPOINT:
	case KMN_R_ANCHOR:
		if (!kmn_json_get_text(record->body, "note", &note) ||
		    !open_checkpoint(v, KMN_V3, v->file, line, record->i, note, strlen(note), &head))
			return;
		break;
	case KMN_R_COSIGN:
		if (!kmn_json_get_number(record->body, "size", &head.size) ||
		    !kmn_json_get_b64(record->body, "root", head.root, KMN_HASH_BYTES))
			return;
		break;
	case KMN_R_RECOVERY:
		check_dropped(v, record, line);
		if (!kmn_head_get(record->body, "last_commit", &head)) {
			say(v, KMN_V3, KMN_FINDING, v->file, line, record->i, "last_commit is not a size and a root");
			return;
		}
		break;
	default:
		return;
	}
	check_head(v, v->file, line, record->i, &head);
}

static kmn_err
note_offset(struct verify *v, uint64_t offset)
{
	uint8_t *grown;

	if (v->off_len == v->off_room) {
		v->off_room = v->off_room * 2 + 4096;
		if ((grown = realloc(v->off, v->off_room)) == NULL)
			return KMN_E_NO_MEMORY;
		v->off = grown;
	}
	for (unsigned n = 0; n < 4; n++)
		v->off[v->off_len++] = (uint8_t)(offset >> (24 - 8 * n));
	return KMN_OK;
}

static kmn_err
each_record(
    void *cookie, const struct kmn_record *record, kmn_err body, uint64_t line, uint64_t offset, struct kmn_why *why)
{
	struct verify *v = cookie;
	struct kmn_place place = {v->file, line, record->i};
	kmn_err e;

	if ((e = kmn_tree_add(v->tree, record->leaf)) != KMN_OK || (e = note_offset(v, offset)) != KMN_OK)
		return e;
	v->report->records++;
	if (body == KMN_E_NOT_FOUND)
		say(v, KMN_V2, KMN_FINDING, v->file, line, record->i, "unknown type \"%.100s\"", record->type);
	else if (body != KMN_OK)
		say(v, KMN_V2, KMN_FINDING, v->file, line, record->i, "%s", why->text);
	if (record->i == 0)
		check_genesis(v, record, line);
	check_stated_heads(v, record, line);
	if ((e = kmn_cases_record(v->cases, record, &place, v->tree, &v->sink)) != KMN_OK)
		return e;
	if (v->settings->record != NULL)
		v->settings->record(v->settings->cookie, record, &place, v->tree, &v->sink);
	return KMN_OK;
}

static void
each_commit(void *cookie, const struct kmn_head *head, uint64_t offset)
{
	struct verify *v = cookie;

	v->report->head = *head;
	if (v->state.there && v->state.head.size == head->size)
		v->state.met = strcmp(v->state.segment, v->file) == 0 && v->state.offset == offset &&
			       memcmp(v->state.head.root, head->root, KMN_HASH_BYTES) == 0;
}

/* "segment offset size root": read, written again and compared, as all that is derived. */
static void
read_state(struct verify *v)
{
	char *bytes, again[160], b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	struct kmn_head *head = &v->state.head;
	size_t len, root_len;
	bool ok;
	kmn_err e = kmn_store_read(v->settings->store, "state/head", sizeof(again), &bytes, &len);

	if (e == KMN_E_NOT_FOUND)
		return;
	ok = e == KMN_OK &&
	     sscanf(bytes, "%27s %20" SCNu64 " %20" SCNu64 " %44s\n", v->state.segment, &v->state.offset, &head->size,
		 b64) == 4 &&
	     kmn_b64_parse(b64, strlen(b64), head->root, KMN_HASH_BYTES, &root_len) == KMN_OK &&
	     root_len == KMN_HASH_BYTES &&
	     snprintf(again, sizeof(again), "%s %" PRIu64 " %" PRIu64 " %s\n", v->state.segment, v->state.offset,
		 head->size, b64) == (int)len &&
	     memcmp(again, bytes, len) == 0;
	free(bytes);
	v->state.there = ok;
	if (!ok)
		say(v, KMN_V1, KMN_FINDING, "state/head", 1, UINT64_MAX, "not the form of state/head");
}

static void
check_offsets(struct verify *v)
{
	char name[KMN_SEGMENT_NAME_BYTES + 4], *bytes;
	size_t len;
	kmn_err e;

	(void)snprintf(name, sizeof(name), "%s.off", v->file);
	if ((e = kmn_store_read(v->settings->store, name, 1u << 30, &bytes, &len)) == KMN_E_NOT_FOUND)
		return;
	if (e != KMN_OK || len != v->off_len || memcmp(bytes, v->off, len) != 0)
		say(v, KMN_V1, KMN_FINDING, name, 0, UINT64_MAX,
		    "the derived offsets are not those of the segment's records: one of the two was changed");
	free(bytes);
}

static void
say_bad_line(struct verify *v)
{
	static const enum kmn_check checks[] = {[KMN_LINE_HEADER] = KMN_V1,
	    [KMN_LINE_RECORD] = KMN_V2,
	    [KMN_LINE_MARK] = KMN_V1,
	    [KMN_LINE_COMMIT] = KMN_V3};

	say(v, checks[v->walk.kind], KMN_FATAL, v->file, v->walk.line, v->walk.chain.front.size, "%s",
	    v->walk.why.text);
}

/* Whether a gateway has this ledger open now. Asked only about a tail, and the lock is let go of at once. */
static bool
is_being_written(struct kmn_store *store)
{
	int fd = store->open(store, "lock", O_RDONLY), locked;

	if (fd < 0)
		return false;
	locked = store->lock(store, fd);
	(void)store->close(store, fd);
	return locked == -EWOULDBLOCK;
}

/* What stands after the last commit was never released; a gateway that starts moves it aside and says so. */
static void
say_tail(struct verify *v, bool last)
{
	struct kmn_walk *walk = &v->walk;

	if (!last)
		say(v, KMN_V1, KMN_FATAL, v->file, walk->line, walk->good.front.size,
		    "the segment does not end with a commit, and another follows");
	else if (walk->good.front.size == 0)
		say(v, KMN_V1, KMN_FATAL, v->file, walk->line, UINT64_MAX, "no committed record at all");
	else if (is_being_written(v->settings->store))
		say(v, KMN_V1, KMN_INFO, v->file, walk->line, walk->good.front.size,
		    "a gateway is writing here: %" PRIu64 " bytes after the last commit are not judged",
		    walk->size - walk->good.bytes);
	else
		say(v, KMN_V1, KMN_FINDING, v->file, walk->line, walk->good.front.size,
		    "unrecovered tail: %" PRIu64 " bytes after the last commit, from offset %" PRIu64,
		    walk->size - walk->good.bytes, walk->good.bytes);
}

static kmn_err
verify_segment(struct verify *v, uint64_t first, bool begins, bool last)
{
	struct kmn_walk *walk = &v->walk;
	kmn_err e;

	(void)snprintf(v->file, sizeof(v->file), KMN_SEGMENT_NAME, first);
	if (first != walk->chain.front.size || (!begins && !kmn_chain_full(&walk->chain))) {
		say(v, KMN_V1, KMN_FATAL, v->file, 0, walk->chain.front.size,
		    "the segments before end with record %" PRIu64 ": one is missing, repeated or cut off",
		    walk->chain.front.size);
		return KMN_OK;
	}
	kmn_chain_turn(&walk->chain);
	v->off_len = 0;
	if ((e = kmn_walk_file(walk, first, 0)) != KMN_OK) {
		say(v, KMN_V1, KMN_MISSING, v->file, 0, first, "cannot be read");
		return e;
	}
	if (walk->end == KMN_WALK_STOPPED)
		return walk->error;
	if (walk->end == KMN_WALK_BAD)
		say_bad_line(v);
	else if (walk->end == KMN_WALK_TAIL)
		say_tail(v, last);
	/* only a full segment has offsets; one that fills while it is read may get them meanwhile */
	if (!v->fatal && kmn_chain_full(&walk->good))
		check_offsets(v);
	walk->chain = walk->good;
	return KMN_OK;
}

static kmn_err
verify_segments(struct verify *v)
{
	struct kmn_why why = {""};
	uint64_t *first;
	size_t count;
	kmn_err e = kmn_segments(v->settings->store, &first, &count, &why);

	if (e == KMN_E_CORRUPT) {
		say(v, KMN_V1, KMN_FATAL, NULL, 0, UINT64_MAX, "%s", why.text);
		return KMN_OK;
	}
	if (e != KMN_OK) {
		say(v, KMN_V1, KMN_MISSING, "seg", 0, UINT64_MAX, "no segments: %s", kmn_err_text(e));
		return e;
	}
	for (size_t n = 0; e == KMN_OK && !v->fatal && n < count; n++, v->report->segments += !v->fatal)
		e = verify_segment(v, first[n], n == 0, n + 1 == count);
	free(first);
	if (e == KMN_OK && !v->fatal && v->state.there && !v->state.met)
		say(v, KMN_V1, KMN_FINDING, "state/head", 1, UINT64_MAX,
		    "no commit of size %" PRIu64 " ends at offset %" PRIu64
		    " of %s: lines were dropped, or this file changed",
		    v->state.head.size, v->state.offset, v->state.segment);
	return e;
}

static int
each_blob(void *cookie, const char *name)
{
	struct verify *v = cookie;
	char path[6 + 2 * KMN_HASH_BYTES + 1], is[2 * KMN_HASH_BYTES + 1], *bytes;
	uint8_t hash[KMN_HASH_BYTES];
	size_t len, name_len = strlen(name);
	kmn_err e;

	if (name_len > 4 && strcmp(name + name_len - 4, ".tmp") == 0) /* a crash while it was written */
		return 0;
	if (name_len != 2 * KMN_HASH_BYTES) {
		say(v, KMN_V1, KMN_FINDING, "blobs", 0, UINT64_MAX, "%.100s is not the name of a blob", name);
		return 0;
	}
	(void)snprintf(path, sizeof(path), "blobs/%s", name);
	if ((e = kmn_store_read(v->settings->store, path, KMN_BLOB_MAX_BYTES, &bytes, &len)) != KMN_OK) {
		say(v, KMN_V1, KMN_FINDING, path, 0, UINT64_MAX, "%s", kmn_err_text(e));
		return 0;
	}
	kmn_sha256(bytes, len, hash);
	free(bytes);
	(void)sodium_bin2hex(is, sizeof(is), hash, sizeof(hash));
	if (strcmp(is, name) != 0)
		say(v, KMN_V1, KMN_FINDING, path, 0, UINT64_MAX, "its bytes do not have the hash that is its name");
	v->report->blobs++;
	return 0;
}

static void
verify_blobs(struct verify *v)
{
	int failed = v->settings->store->list(v->settings->store, "blobs", each_blob, v);

	if (failed != 0 && failed != -ENOENT)
		say(v, KMN_V1, KMN_MISSING, "blobs", 0, UINT64_MAX, "cannot be read");
}

/* V4: a signed head that the segments must reach. Without any, nobody can say that nothing was cut off. */
static void
verify_heads(struct verify *v)
{
	const struct kmn_verify_settings *s = v->settings;
	kmn_err e = v->checkpoint.e;
	struct kmn_head head;

	if (e == KMN_OK &&
	    open_checkpoint(v, KMN_V4, "checkpoint", 0, UINT64_MAX, v->checkpoint.bytes, v->checkpoint.len, &head)) {
		check_head(v, "checkpoint", 2, UINT64_MAX, &head);
		v->report->signed_size = head.size;
	} else if (e != KMN_OK && e != KMN_E_NOT_FOUND) {
		say(v, KMN_V4, KMN_FINDING, "checkpoint", 0, UINT64_MAX, "%s", kmn_err_text(e));
	}
	if (s->head != NULL && open_checkpoint(v, KMN_V4, "--head", 0, UINT64_MAX, s->head, s->head_len, &head)) {
		check_head(v, "--head", 2, UINT64_MAX, &head);
		if (head.size > v->report->signed_size)
			v->report->signed_size = head.size;
	}
	if (e == KMN_E_NOT_FOUND && s->head == NULL)
		say(v, KMN_V4, KMN_MISSING, "checkpoint", 0, UINT64_MAX,
		    "not there, and no --head NOTE was given: nothing says how long the ledger must be");
	if (s->trust->witnessed) {
		v->report->unwitnessed = true;
		say(v, KMN_V4, KMN_INFO, NULL, 0, UINT64_MAX,
		    "the trust file asks for witnesses; none are checked yet");
	}
}

static kmn_err
verify_all(struct verify *v)
{
	bool *done = v->report->done;
	kmn_err e;

	v->checkpoint.e = kmn_store_read(
	    v->settings->store, "checkpoint", KMN_NOTE_MAX_BYTES, &v->checkpoint.bytes, &v->checkpoint.len);
	read_state(v);
	if ((e = verify_segments(v)) != KMN_OK || v->fatal)
		return e;
	verify_blobs(v);
	done[KMN_V1] = done[KMN_V2] = done[KMN_V3] = true;
	verify_heads(v);
	done[KMN_V4] = true;
	kmn_cases_end(v->cases, &v->sink, &v->report->open_requests);
	done[KMN_V8] = true;
	return KMN_OK;
}

kmn_err
kmn_verify(const struct kmn_verify_settings *settings, struct kmn_verify_report *report_out)
{
	struct verify v = {.settings = settings, .report = report_out};
	struct kmn_verify_report *r = report_out;
	kmn_err e = KMN_E_NO_MEMORY;

	memset(r, 0, sizeof(*r));
	v.sink = (struct kmn_verify_sink){count_and_tell, &v};
	v.walk =
	    (struct kmn_walk){.store = settings->store, .record = each_record, .commit = each_commit, .cookie = &v};
	kmn_chain_init(&v.walk.chain, settings->trust->origin, settings->segment_records, settings->segment_bytes);
	if ((v.tree = kmn_tree_new()) != NULL && (v.cases = kmn_cases_new()) != NULL)
		e = verify_all(&v);
	r->exit_code = r->failed ? 1 : r->missing || e != KMN_OK ? 3 : r->unwitnessed ? 2 : 0;
	kmn_walk_clear(&v.walk);
	kmn_cases_free(v.cases);
	kmn_tree_free(v.tree);
	free(v.off);
	free(v.checkpoint.bytes);
	return e == KMN_E_NO_MEMORY || e == KMN_E_INTERNAL ? e : KMN_OK;
}
