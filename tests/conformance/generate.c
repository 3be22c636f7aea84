/* All axes: whose turn it is, and which of its traces. */
#include "tests/conformance/generate.h"

#include "kanmon/calls.h"
#include "tests/conformance/axes.h"

static const struct axis {
	const char *name;
	unsigned share; /* of the cases of a run, beside the others */
	size_t (*count)(const struct subject *s, enum generate_kind kind);
	void (*make)(struct text *t, const struct subject *s, enum generate_kind kind, size_t index);
} axes[] = {
    {"arguments", 5, count_arguments, make_argument},
    {"room", 5, count_rooms, make_room},
    {"values", 3, count_values, make_values},
    {"mechanisms", 6, count_mechanisms, make_mechanism},
    {"table", 3, count_table, make_table},
    {"automata", 6, count_automata, make_automaton},
    {"templates", 2, count_templates, make_template},
    {"lattice", 8, count_lattice, make_lattice},
    {"mix", 3, count_mix, make_mix},
};

/* Axis by turns, each as often as its share; in an axis a stride that meets every index before one comes twice. */
static const struct axis *
axis_of(const struct subject *s, enum generate_kind kind, uint64_t index, uint64_t *nth_out)
{
	unsigned total = 0, at;

	for (size_t i = 0; i < KMN_COUNT_OF(axes); i++)
		total += axes[i].count(s, kind) > 0 ? axes[i].share : 0;
	at = (unsigned)(index % total);
	for (size_t i = 0; i < KMN_COUNT_OF(axes); i++) {
		unsigned share = axes[i].count(s, kind) > 0 ? axes[i].share : 0;

		if (at < share) {
			*nth_out = index / total * share + at;
			return &axes[i];
		}
		at -= share;
	}
	return NULL;
}

static size_t
common_divisor(size_t a, size_t b)
{
	return b == 0 ? a : common_divisor(b, a % b);
}

static size_t
spread(uint64_t nth, size_t count, uint64_t seed)
{
	size_t stride = count / 8 * 5 | 1;

	while (common_divisor(stride, count) != 1)
		stride++;
	return (size_t)((nth % count * stride + seed * 7919) % count);
}

size_t
generate_count(const struct subject *s, enum generate_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < KMN_COUNT_OF(axes); i++)
		n += axes[i].count(s, kind);
	return n;
}

const char *
generate_axis(const struct subject *s, enum generate_kind kind, uint64_t seed, uint64_t index)
{
	uint64_t nth;

	(void)seed;
	return axis_of(s, kind, index, &nth)->name;
}

void
generate(const struct subject *s, enum generate_kind kind, uint64_t seed, uint64_t index, char *text, size_t max)
{
	struct text t;
	uint64_t nth;
	const struct axis *axis = axis_of(s, kind, index, &nth);

	text_begin(&t, text, max, seed * 1000003 + index * 2 + kind);
	axis->make(&t, s, kind, spread(nth, axis->count(s, kind), seed));
}
