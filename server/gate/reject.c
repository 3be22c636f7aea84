#include "server/gate/reject.h"

#include <stdio.h>
#include <string.h>

void
kmn_reject_book_init(struct kmn_reject_book *book, int64_t now_ms)
{
	memset(book, 0, sizeof(*book));
	book->period_end_ms = now_ms + KMN_REJECT_PERIOD_MS;
}

/* The row of this refusal, made if it is new; NULL when the book is full. */
static struct kmn_reject *
row_of(struct kmn_reject_book *book, const struct kmn_reject *one)
{
	struct kmn_reject *row;

	for (size_t i = 0; i < book->rows; i++) {
		row = &book->row[i];
		if (memcmp(row->spki, one->spki, sizeof(row->spki)) == 0 && strcmp(row->address, one->address) == 0 &&
		    strcmp(row->reason, one->reason) == 0)
			return row;
	}
	if (book->rows == KMN_REJECT_ROWS)
		return NULL;
	row = &book->row[book->rows++];
	*row = *one;
	row->count = 0;
	return row;
}

void
kmn_reject_note(struct kmn_reject_book *book, const uint8_t spki[KMN_HASH_BYTES], const char *address,
    const char *reason, kmn_reject_report *report, void *cookie)
{
	struct kmn_reject one = {.count = 1}, *row;

	memcpy(one.spki, spki, sizeof(one.spki));
	snprintf(one.address, sizeof(one.address), "%s", address);
	snprintf(one.reason, sizeof(one.reason), "%s", reason);
	row = row_of(book, &one);
	if (row != NULL && row->count >= KMN_REJECT_SINGLY) {
		row->count++;
	} else if (row == NULL || book->told >= KMN_REJECT_PER_PERIOD) {
		book->overflow++;
	} else {
		row->count++;
		book->told++;
		report(&one, cookie);
	}
}

void
kmn_reject_tick(struct kmn_reject_book *book, int64_t now_ms, kmn_reject_report *report, void *cookie)
{
	struct kmn_reject rest = {.address = "several", .reason = "more refusals than are told singly"};

	if (now_ms < book->period_end_ms)
		return;
	for (size_t i = 0; i < book->rows; i++) {
		struct kmn_reject *row = &book->row[i];

		if (row->count > KMN_REJECT_SINGLY) {
			row->count -= KMN_REJECT_SINGLY;
			report(row, cookie);
		}
	}
	rest.count = book->overflow;
	if (rest.count > 0)
		report(&rest, cookie);
	kmn_reject_book_init(book, now_ms);
}
