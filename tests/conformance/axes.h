/* What the axes of generate.c share: each is a pair of functions, how many traces it has and trace number `index`. */
#ifndef KANMON_TESTS_CONFORMANCE_AXES_H
#define KANMON_TESTS_CONFORMANCE_AXES_H

#include "kanmon/calls.h"
#include "kanmon/params.h"
#include "tests/conformance/generate.h"
#include "tests/conformance/text.h"

#define AES_IV "x:00112233445566778899aabbccddeeff"
#define USER_PIN "s:1234-user"
#define SO_PIN "s:12345678-so"
#define USUAL_OBJECT "{CKA_CLASS=u:0,CKA_TOKEN=b:0,CKA_PRIVATE=b:0,CKA_LABEL=s:made,CKA_VALUE=r:3:30}"
#define NOTHING_VARIES SIZE_MAX

/* Operations that work in most modules: the mechanism, the key that begins it and the one that undoes it. */
struct recipe {
	unsigned operation;
	const char *mechanism, *key;
	unsigned data_bytes;
	const char *message; /* the parameter of each message */
};

/* One of those for that operation; NULL: there is none. */
const struct recipe *recipe_for(struct text *t, unsigned operation);
/* How a trace begins. */
void put_begin(struct text *t, enum generate_kind kind);
/* A call with usual arguments, but for those that are given. */
void put_call(struct text *t, const struct kmn_call *call, const struct recipe *recipe, size_t vary, const char *with);
/* What a call needs to be there before it: its operations begun, an object to work on. */
const struct recipe *put_before(struct text *t, const struct kmn_call *call);
/* Whether an operation is still there, and what is left of it. */
void put_probe(struct text *t, unsigned operations);
/* The name of an object, of whatever kind, that objects.trace makes. */
void put_some_object(struct text *t);

enum parameter { PARAMETER_RIGHT, PARAMETER_NULL, PARAMETER_LESS, PARAMETER_MORE, PARAMETER_STRAY, PARAMETERS };

/* A mechanism with a parameter as its row says, or not quite. */
void put_mechanism(struct text *t, uint64_t type, enum parameter parameter);
/* The items of a block that is such a structure, padding included. */
void put_layout(struct text *t, const struct kmn_layout *layout);
void put_mechanism_name(struct text *t, uint64_t type);
bool name_has(uint64_t type, const char *part);

size_t count_arguments(const struct subject *s, enum generate_kind kind);
void make_argument(struct text *t, const struct subject *s, enum generate_kind kind, size_t index);
size_t count_rooms(const struct subject *s, enum generate_kind kind);
void make_room(struct text *t, const struct subject *s, enum generate_kind kind, size_t index);
size_t count_values(const struct subject *s, enum generate_kind kind);
void make_values(struct text *t, const struct subject *s, enum generate_kind kind, size_t index);
size_t count_mechanisms(const struct subject *s, enum generate_kind kind);
void make_mechanism(struct text *t, const struct subject *s, enum generate_kind kind, size_t index);
size_t count_table(const struct subject *s, enum generate_kind kind);
void make_table(struct text *t, const struct subject *s, enum generate_kind kind, size_t index);
size_t count_automata(const struct subject *s, enum generate_kind kind);
void make_automaton(struct text *t, const struct subject *s, enum generate_kind kind, size_t index);
size_t count_templates(const struct subject *s, enum generate_kind kind);
void make_template(struct text *t, const struct subject *s, enum generate_kind kind, size_t index);
size_t count_lattice(const struct subject *s, enum generate_kind kind);
void make_lattice(struct text *t, const struct subject *s, enum generate_kind kind, size_t index);
size_t count_mix(const struct subject *s, enum generate_kind kind);
void make_mix(struct text *t, const struct subject *s, enum generate_kind kind, size_t index);

#endif
