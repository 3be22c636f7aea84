/* Axes `arguments`, `room` and `mix`: functions with arguments that are not right, and outputs of any room. */
#include "tests/conformance/axes.h"

#include <string.h>

/* ---- axis 1: one argument is not right ------------------------------------------------------------------------- */

#define VARIANTS_MAX 24
static const char *const variants[KMN_KIND_COUNT][VARIANTS_MAX] = {
    /* No numbers that could by chance be a handle: the gateway gives others than the module. */
    [KMN_KIND_SESSION] = {"0", "~0", "k:aes", "s9", "0x7ffffff1"},
    [KMN_KIND_SLOT] = {"slot2", "0", "~0", "0x7777777", "1"},
    [KMN_KIND_OBJECT] = {"0", "~0", "s0", "o9", "k:data", "k:cert", "k:rsa", "k:rsa-pub", "k:aes-secret", "k:ec"},
    [KMN_KIND_KEY] = {"0", "~0", "s0", "o9", "k:data", "k:cert", "k:rsa", "k:rsa-pub", "k:ec", "k:ec-pub",
	"k:aes-useless", "k:generic", "k:aes-secret", "k:dh", "k:dsa", "k:ed", "k:des"},
    [KMN_KIND_ULONG] = {"0", "2", "3", "4", "~0", "0x80000000"},
    [KMN_KIND_FLAGS] = {"0", "2", "4", "~0", "0x80000004", "1"},
    [KMN_KIND_MECH_TYPE] = {"0", "~0", "CKM_RSA_PKCS", "CKM_AES_CBC", "0x80000001", "CKM_SECURID"},
    [KMN_KIND_BOOL] = {"0", "2", "255"},
    [KMN_KIND_MECHANISM] = {"NULL", "CKM_SHA256", "CKM_RSA_PKCS", "0x80001234", "~0", "CKM_AES_CBC",
	"CKM_AES_CBC/NULL:16", "CKM_AES_CBC/[x:0011223344556677]", "CKM_AES_CBC/[r:1:24]", "CKM_ECDSA/[r:1:8]",
	"CKM_AES_GCM", "CKM_DES_ECB", "CKM_AES_ECB/[r:2:16]", "CKM_RSA_PKCS_PSS", "0x7fffffff",
	"CKM_RSA_PKCS_OAEP/NULL:40", "CKM_SHA256/[r:1:3]"},
    [KMN_KIND_DATA] = {"NULL", "NULL:5", "x:", "r:1:1", "r:1:15", "r:1:16", "r:1:17", "r:1:1000", "r:1:20000",
	"r:1:128", "r:1:129", "r:1:32"},
    [KMN_KIND_PIN] = {"NULL", "NULL:4", "x:", "s:wrong", "s:x", "r:1:300", "s:1234-use", "s:1234-userr", SO_PIN},
    [KMN_KIND_LABEL] = {"NULL", "s:other"},
    [KMN_KIND_TEMPLATE] = {"NULL", "NULL:1", "{}", "{CKA_CLASS=NULL}", "{CKA_CLASS=NULL:8}", "{CKA_CLASS=x:04}",
	"{CKA_CLASS=u:4}", "{CKA_CLASS=u:99}", "{CKA_LABEL=x:}", "{CKA_LABEL=NULL}", "{CKA_TOKEN=b:2,CKA_LABEL=s:x}",
	"{CKA_TOKEN=x:0100}", "{0x80000001=r:1:9}", "{CKA_MODIFIABLE=b:1,CKA_MODIFIABLE=b:0}",
	"{CKA_WRAP_TEMPLATE={CKA_LABEL=s:x}}", "{CKA_ALLOWED_MECHANISMS=U:CKM_RSA_PKCS;CKM_ECDSA}",
	"{CKA_START_DATE=s:20260101}", "{CKA_START_DATE=x:}", "{CKA_KEY_TYPE=u:~0}",
	"{CKA_PRIVATE=b:1,CKA_CLASS=u:0,CKA_VALUE=r:1:5}"},
    [KMN_KIND_VALUES] = {"NULL", "NULL:1", "{}", "{CKA_CLASS=q}", "{CKA_CLASS=c:0}", "{CKA_CLASS=c:4}",
	"{CKA_CLASS=c:9}", "{CKA_VALUE=q}", "{CKA_LABEL=c:1,CKA_CLASS=c:8}", "{0x80000001=q,CKA_LABEL=q}",
	"{CKA_LABEL=q:7}", "{CKA_WRAP_TEMPLATE=q}", "{CKA_CLASS=c:8,CKA_CLASS=c:8}"},
    [KMN_KIND_NOTIFY] = {"1"},
    [KMN_KIND_MESSAGE_PARAM] = {"NULL", "NULL:48", "[r:1:48]", "[p0,u:0,u:0,u:0,p0,u:0]",
	"[p[r:8:12],u:12,u:0,u:0,p[z:16]>b3,u:128]", "[p[r:8:12],u:12,u:0,u:0,p[z:16]>b3,u:128]-1",
	"[p[r:8:12],u:12,u:0,u:0,p[z:16]>b3,u:96]", "[p[z:12],u:12,u:0,u:3,p[z:16]>b3,u:128]",
	"[p[r:8:8],u:8,u:0,u:0,p[z:16],u:128]"},
    [KMN_KIND_AAD] = {"NULL", "x:", "NULL:4", "r:1:5000"},
    [KMN_KIND_USERNAME] = {"NULL", "x:", "s:other"},
    [KMN_KIND_MAYBE_ROOM] = {"q", "c:0", "c:1", "c:1000", "q/nolen"},
    [KMN_KIND_FLAGS_OUT] = {"NULL"},
    [KMN_KIND_SLOT_OUT] = {"NULL"},
    [KMN_KIND_LOCAL] = {"NULL", "."},
    [KMN_KIND_ROOM] = {"q", "q:5", "q:~0", "c:0", "c:1", "c:15", "c:16", "c:4096", "c:512!0x40000000", "c:64/nolen"},
    [KMN_KIND_FILL] = {"q:16", "q", "c:0", "c:1", "c:4096"},
    [KMN_KIND_SLOTS] = {"q", "q:1", "c:0", "c:1", "c:2", "c:500", "c:4/nolen"},
    [KMN_KIND_MECH_TYPES] = {"q", "q:1", "c:0", "c:1", "c:2", "c:1000", "c:4/nolen"},
    [KMN_KIND_OBJECTS] = {"c:0", "c:1", "c:2", "q:5", "q", "c:500", "c:4/nolen"},
    [KMN_KIND_NEW_SESSION] = {"NULL"},
    [KMN_KIND_NEW_OBJECT] = {"NULL"},
    [KMN_KIND_MAYBE_OBJECT] = {"NULL"},
    [KMN_KIND_ULONG_OUT] = {"NULL"},
    [KMN_KIND_INFO] = {"NULL"},
    [KMN_KIND_SLOT_INFO] = {"NULL"},
    [KMN_KIND_TOKEN_INFO] = {"NULL"},
    [KMN_KIND_MECH_INFO] = {"NULL"},
    [KMN_KIND_SESSION_INFO] = {"NULL"},
};

static size_t
variant_count(enum kmn_kind kind)
{
	size_t n = 0;

	while (n < VARIANTS_MAX && variants[kind][n] != NULL)
		n++;
	return n;
}

/* Functions that end what other cases of the same batch stand on. */
static bool
only_raw(const struct kmn_call *call)
{
	static const char *const names[] = {"C_Logout", "C_CloseAllSessions", "C_InitToken", "C_InitPIN", "C_SetPIN",
	    "C_Login", "C_Finalize", "C_Initialize"};

	for (size_t i = 0; i < KMN_COUNT_OF(names); i++)
		if (strcmp(call->name, names[i]) == 0)
			return true;
	return false;
}

/* Not generated: it blocks, or is about the process and tried by tests/unit/provider. */
static bool
left_out(const struct kmn_call *call, enum generate_kind kind)
{
	return call->policy == KMN_POLICY_LOCAL || strcmp(call->name, "C_WaitForSlotEvent") == 0 ||
	       (kind == GENERATE_USER && only_raw(call));
}

/* softokn and our own module read and write where NULL points to. */
static bool
ends_process(const struct subject *s, const char *variant)
{
	return s->loose && (strcmp(variant, "NULL") == 0 || strcmp(variant, "NULL:1") == 0 ||
			       strcmp(variant, "NULL:5") == 0 || strstr(variant, "nolen") != NULL);
}

/* They count sessions and objects each from 1: one kind's number is the other's too, but not behind the gateway. */
static bool
is_ambiguous(const struct subject *s, enum kmn_kind kind, const char *variant)
{
	return s->loose && ((kind == KMN_KIND_SESSION && variant[0] == 'k') || strcmp(variant, "s0") == 0);
}

/* All (call, argument, variant) there are; of those that only end a softokn's process some. */
static struct wrong {
	const struct kmn_call *call;
	size_t arg;
	const char *with;
} wrongs[2][8192];
static size_t wrong_count[2];

static void
list_wrongs(const struct subject *s, enum generate_kind kind)
{
	for (unsigned id = 0; id < KMN_CALL_COUNT; id++) {
		const struct kmn_call *call = kmn_call_row(id);

		if (left_out(call, kind) || call->since > s->version)
			continue;
		for (size_t i = 0; i < call->param_count; i++) {
			for (size_t v = 0; v < variant_count(call->param[i].kind); v++) {
				const char *with = variants[call->param[i].kind][v];

				if (is_ambiguous(s, call->param[i].kind, with))
					continue;
				if (call->param[i].kind != KMN_KIND_DATA && ends_process(s, with) &&
				    (id + i + v) % 8 != 0)
					continue;
				if (wrong_count[kind] < KMN_COUNT_OF(wrongs[kind]))
					wrongs[kind][wrong_count[kind]++] = (struct wrong){call, i, with};
			}
		}
	}
}

size_t
count_arguments(const struct subject *s, enum generate_kind kind)
{
	if (wrong_count[kind] == 0)
		list_wrongs(s, kind);
	return wrong_count[kind];
}

void
make_argument(struct text *t, const struct subject *s, enum generate_kind kind, size_t index)
{
	const struct kmn_call *call = wrongs[kind][index].call;
	const char *with = wrongs[kind][index].with;
	size_t arg = wrongs[kind][index].arg;
	const struct recipe *recipe;

	(void)s;
	put_begin(t, kind);
	if (strcmp(with, "s9") == 0)
		put(t, "C_OpenSession slot 6 0 >s9\nC_CloseSession s9\n");
	if (strcmp(with, "o9") == 0)
		put(t, "C_CreateObject s0 " USUAL_OBJECT " >o9\nC_DestroyObject s0 o9\n");
	recipe = put_before(t, call);
	put_call(t, call, recipe, arg, with);
	/* An output that must be there and is not: refused by the provider, who asks nobody; what the module would have
	 * done to its operation is not done. */
	if (strstr(with, "nolen") == NULL && (!kmn_kind_is_out(call->param[arg].kind) || strcmp(with, "NULL") != 0)) {
		if (chance(t, 2) == 0)
			put_call(t, call, recipe, NOTHING_VARIES, "");
		put_probe(t, call->operations);
	}
	if (chance(t, 4) == 0)
		put(t, "C_GetSessionInfo s0 .\n");
}

/* ---- axis 2: room for outputs ---------------------------------------------------------------------------------- */

static bool
has_room(const struct kmn_call *call, size_t *arg_out)
{
	for (size_t i = 0; i < call->param_count; i++) {
		enum kmn_kind kind = call->param[i].kind;

		*arg_out = i;
		if (kind == KMN_KIND_ROOM || kind == KMN_KIND_SLOTS || kind == KMN_KIND_MECH_TYPES ||
		    kind == KMN_KIND_OBJECTS)
			return true;
	}
	return false;
}

static const char *const rooms[] = {"q", "c:0", "c:e-1", "c:e", "c:e+1", "c:4096", "c:1", "q:1", "c:e+16", "c:e-8"};

/* Pairs of rooms, for each function that has one; the first call of some ends the operation, and the second says so. */
size_t
count_rooms(const struct subject *s, enum generate_kind kind)
{
	size_t n = 0, arg;

	(void)s;
	(void)kind;
	for (unsigned id = 0; id < KMN_CALL_COUNT; id++)
		n += has_room(kmn_call_row(id), &arg) && kmn_call_row(id)->since <= s->version;
	return n * KMN_COUNT_OF(rooms) * KMN_COUNT_OF(rooms);
}

void
make_room(struct text *t, const struct subject *s, enum generate_kind kind, size_t index)
{
	size_t pairs = KMN_COUNT_OF(rooms) * KMN_COUNT_OF(rooms), which = index / pairs, arg = 0;
	const struct recipe *recipe;
	const struct kmn_call *call = NULL;

	for (unsigned id = 0; id < KMN_CALL_COUNT; id++) {
		call = kmn_call_row(id);
		if (has_room(call, &arg) && call->since <= s->version && which-- == 0)
			break;
	}
	put_begin(t, kind);
	recipe = put_before(t, call);
	if (chance(t, 3) > 0)
		put_call(t, call, recipe, arg, "q");
	put_call(t, call, recipe, arg, rooms[index % pairs / KMN_COUNT_OF(rooms)]);
	put_call(t, call, recipe, arg, rooms[index % KMN_COUNT_OF(rooms)]);
	put_call(t, call, recipe, arg, "c:e");
	put_probe(t, call->operations);
}

/* ---- anything after anything ----------------------------------------------------------------------------------- */

size_t
count_mix(const struct subject *s, enum generate_kind kind)
{
	(void)s;
	return kind == GENERATE_RAW ? 500 : 2000;
}

void
make_mix(struct text *t, const struct subject *s, enum generate_kind kind, size_t index)
{
	unsigned calls = 4 + chance(t, 8);

	(void)index;
	put_begin(t, kind);
	put(t, "C_CreateObject s0 " USUAL_OBJECT " >o0\n");
	while (calls-- > 0) {
		const struct kmn_call *call = kmn_call_row(chance(t, KMN_CALL_COUNT));
		size_t vary = chance(t, (uint32_t)call->param_count + 1);
		const struct recipe *recipe = NULL;
		const char *with = "";

		if (left_out(call, kind) || call->since > s->version || only_raw(call))
			continue;
		for (unsigned bit = 1; bit != 0 && bit <= call->operations; bit <<= 1)
			if ((call->operations & bit) != 0)
				recipe = recipe_for(t, bit);
		if (vary < call->param_count && variant_count(call->param[vary].kind) > 0)
			with = variants[call->param[vary].kind]
				       [chance(t, (uint32_t)variant_count(call->param[vary].kind))];
		if (*with == '\0' || ends_process(s, with) || strstr(with, "nolen") != NULL ||
		    (vary < call->param_count && is_ambiguous(s, call->param[vary].kind, with)))
			vary = NOTHING_VARIES;
		put_call(t, call, recipe, vary, with);
	}
}
