#include "kanmon/replay.h"
#include "tests/unit/run.h"

#include <stdlib.h>
#include <string.h>

/* The window said plainly: remember everything, look at distances. */
#define MODEL_NUMBERS 64
struct model {
	bool used[MODEL_NUMBERS];
	uint64_t highest;
};

static enum kmn_replay_verdict
model_judge(const struct model *m, uint32_t width, uint64_t number)
{
	if (number == 0 || (number <= m->highest && m->highest - number >= width))
		return KMN_REPLAY_BEHIND;
	if (number > m->highest + width)
		return KMN_REPLAY_TOO_FAR;
	return m->used[number] ? KMN_REPLAY_SEEN : KMN_REPLAY_NEW;
}

static void
model_commit(struct model *m, uint64_t number)
{
	m->used[number] = true;
	if (number > m->highest)
		m->highest = number;
}

static uint64_t compared, differed;

/* Every sequence of `steps` numbers from 0 to `most`, judged and committed in both. */
static void
walk(const struct kmn_replay *guard, const struct model *m, uint32_t width, unsigned steps, uint64_t most)
{
	for (uint64_t number = 0; number <= most; number++) {
		enum kmn_replay_verdict want = model_judge(m, width, number);
		struct kmn_replay next = *guard;
		struct model after = *m;
		kmn_err e = kmn_replay_commit(&next, number);

		compared++;
		differed += kmn_replay_judge(guard, number) != want;
		differed += (e == KMN_OK) != (want == KMN_REPLAY_NEW);
		differed += e != KMN_OK && memcmp(&next, guard, sizeof(next)) != 0;
		if (want == KMN_REPLAY_NEW)
			model_commit(&after, number);
		if (steps > 1)
			walk(&next, &after, width, steps - 1, most);
	}
}

static void
test_against_model(void)
{
	for (uint32_t width = 1; width <= 5; width++) {
		struct kmn_replay guard;
		struct model m = {0};

		kmn_replay_init(&guard, width);
		walk(&guard, &m, width, 5, 11);
	}
	CU_ASSERT_EQUAL(differed, 0);
	CU_ASSERT(compared > 1000000);
}

/* Long random walks at widths that are not powers of two, against the same model. */
static void
test_random_walks(void)
{
	uint64_t seed = 1;

	differed = 0;
	for (uint32_t width = 1; width <= 31; width++) {
		struct kmn_replay guard;
		struct model m = {0};

		kmn_replay_init(&guard, width);
		for (int i = 0; i < 2000; i++) {
			uint64_t number;

			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
			number = (seed >> 33) % MODEL_NUMBERS;
			differed += kmn_replay_judge(&guard, number) != model_judge(&m, width, number);
			if (kmn_replay_commit(&guard, number) == KMN_OK)
				model_commit(&m, number);
		}
	}
	CU_ASSERT_EQUAL(differed, 0);
}

static void
test_full_width(void)
{
	struct kmn_replay guard;

	kmn_replay_init(&guard, KMN_WINDOW_NUMBERS);
	for (uint64_t n = 1; n <= 3 * KMN_WINDOW_NUMBERS; n++) {
		CU_ASSERT_EQUAL_FATAL(kmn_replay_commit(&guard, n), KMN_OK);
		CU_ASSERT_EQUAL_FATAL(kmn_replay_judge(&guard, n), KMN_REPLAY_SEEN);
	}
	CU_ASSERT_EQUAL(kmn_replay_judge(&guard, 2 * KMN_WINDOW_NUMBERS), KMN_REPLAY_BEHIND);
	CU_ASSERT_EQUAL(kmn_replay_judge(&guard, 2 * KMN_WINDOW_NUMBERS + 1), KMN_REPLAY_SEEN);
	CU_ASSERT_EQUAL(kmn_replay_judge(&guard, 4 * KMN_WINDOW_NUMBERS), KMN_REPLAY_NEW);
	CU_ASSERT_EQUAL(kmn_replay_judge(&guard, 4 * KMN_WINDOW_NUMBERS + 1), KMN_REPLAY_TOO_FAR);
}

static void
test_end_of_numbers(void)
{
	struct kmn_replay guard;

	kmn_replay_init(&guard, KMN_WINDOW_NUMBERS);
	guard.highest = UINT64_MAX - 1;
	CU_ASSERT_EQUAL(kmn_replay_commit(&guard, UINT64_MAX), KMN_OK);
	CU_ASSERT_EQUAL(kmn_replay_judge(&guard, UINT64_MAX), KMN_REPLAY_SEEN);
	CU_ASSERT_EQUAL(kmn_replay_judge(&guard, 1), KMN_REPLAY_BEHIND);
	CU_ASSERT_EQUAL(kmn_replay_judge(&guard, 0), KMN_REPLAY_BEHIND);
}

static void
test_nonsense_width(void)
{
	struct kmn_replay guard;

	kmn_replay_init(&guard, 0);
	CU_ASSERT_EQUAL(guard.width, KMN_WINDOW_NUMBERS);
	kmn_replay_init(&guard, KMN_WINDOW_NUMBERS + 1);
	CU_ASSERT_EQUAL(guard.width, KMN_WINDOW_NUMBERS);
}

static CU_TestInfo tests[] = {
    {"every short sequence at small widths is judged as by the plain model", test_against_model},
    {"long random walks are judged as by the plain model", test_random_walks},
    {"at full width a number is seen until the window has passed it", test_full_width},
    {"numbers do not wrap", test_end_of_numbers},
    {"a width that cannot be is the full one", test_nonsense_width},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {{"transport/replay", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
