/*
 * Which refusals the gate tells the keeper, and which it only counts: the
 * ledger must show an attack without being filled by it. Pure: the clock is
 * handed in, reports go to a callback.
 *
 * Of each (key, address, reason) the first KMN_REJECT_SINGLY in a period are
 * told singly, the others as one count at its end. Where the book is full or
 * more than KMN_REJECT_PER_PERIOD were told, the rest is counted in one row
 * whose address is "several".
 */
#ifndef KANMON_GATE_REJECT_H
#define KANMON_GATE_REJECT_H

#include "kanmon/base.h"

#define KMN_REJECT_ROWS 64
#define KMN_REJECT_SINGLY 3u
#define KMN_REJECT_PER_PERIOD 100u
#define KMN_REJECT_PERIOD_MS 10000
#define KMN_REJECT_ADDRESS_BYTES 64
#define KMN_REJECT_REASON_BYTES 128

struct kmn_reject {
	uint8_t spki[KMN_HASH_BYTES]; /* zeros where no certificate was shown */
	char address[KMN_REJECT_ADDRESS_BYTES];
	char reason[KMN_REJECT_REASON_BYTES];
	uint32_t count; /* in a report: how many; in the book: seen in this period */
};

typedef void kmn_reject_report(const struct kmn_reject *reject, void *cookie);

struct kmn_reject_book {
	struct kmn_reject row[KMN_REJECT_ROWS];
	size_t rows;
	uint32_t told;     /* in this period */
	uint32_t overflow; /* neither told nor in a row */
	int64_t period_end_ms;
};

void kmn_reject_book_init(struct kmn_reject_book *book, int64_t now_ms);

/* Notes one refusal; calls `report` at once if it is to be told singly. `address` without its port. */
void kmn_reject_note(struct kmn_reject_book *book, const uint8_t spki[KMN_HASH_BYTES], const char *address,
    const char *reason, kmn_reject_report *report, void *cookie);

/* To be called now and then: at the end of a period reports the counts and starts the next. */
void kmn_reject_tick(struct kmn_reject_book *book, int64_t now_ms, kmn_reject_report *report, void *cookie);

#endif
