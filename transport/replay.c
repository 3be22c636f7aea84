#include "kanmon/replay.h"

#include <string.h>

static uint64_t *
word_of(struct kmn_replay *guard, uint64_t number)
{
	return &guard->seen[number % guard->width / 64];
}

static uint64_t
bit_of(const struct kmn_replay *guard, uint64_t number)
{
	return UINT64_C(1) << (number % guard->width % 64);
}

void
kmn_replay_init(struct kmn_replay *guard, uint32_t width)
{
	if (width < 1 || width > KMN_WINDOW_NUMBERS)
		width = KMN_WINDOW_NUMBERS;
	*guard = (struct kmn_replay){.width = width};
}

enum kmn_replay_verdict
kmn_replay_judge(const struct kmn_replay *guard, uint64_t number)
{
	if (number > guard->highest)
		return number - guard->highest > guard->width ? KMN_REPLAY_TOO_FAR : KMN_REPLAY_NEW;
	if (number == 0 || guard->highest - number >= guard->width)
		return KMN_REPLAY_BEHIND;
	return (guard->seen[number % guard->width / 64] & bit_of(guard, number)) != 0 ? KMN_REPLAY_SEEN
										      : KMN_REPLAY_NEW;
}

/* Moves the window's right edge to `number`; the numbers it jumps over were never seen. */
static void
slide(struct kmn_replay *guard, uint64_t number)
{
	while (guard->highest < number) {
		guard->highest++;
		*word_of(guard, guard->highest) &= ~bit_of(guard, guard->highest);
	}
}

kmn_err
kmn_replay_commit(struct kmn_replay *guard, uint64_t number)
{
	if (kmn_replay_judge(guard, number) != KMN_REPLAY_NEW)
		return KMN_E_REPLAY;
	if (number > guard->highest)
		slide(guard, number);
	*word_of(guard, number) |= bit_of(guard, number);
	return KMN_OK;
}
