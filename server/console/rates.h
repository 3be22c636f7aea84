/*
 * How often somebody may ask, and who is shut out: pure, the clock is handed in. A fixed number of places; where all are
 * taken the one that was asked longest ago gives way, so that a crowd of addresses costs no memory.
 */
#ifndef KANMON_SERVER_CONSOLE_RATES_H
#define KANMON_SERVER_CONSOLE_RATES_H

#include "kanmon/base.h"

#define KMN_RATES_KEY_BYTES 16u
#define KMN_RATES_PLACES 2048u

struct kmn_rates {
	uint32_t per_minute, attempts, lockout_ms; /* set once */
	struct kmn_rate {
		uint8_t key[KMN_RATES_KEY_BYTES];
		bool used;
		int64_t seen_ms, locked_until_ms;
		uint32_t refused;   /* since the last sign-in or lockout */
		uint64_t credit_us; /* of a minute's 60,000,000: what is left to ask with */
	} places[KMN_RATES_PLACES];
};

void kmn_rates_init(struct kmn_rates *r, uint32_t per_minute, uint32_t attempts, uint32_t lockout_ms);

/* One question more; false: too many. */
bool kmn_rates_take(struct kmn_rates *r, const uint8_t key[KMN_RATES_KEY_BYTES], int64_t now_ms) KMN_MUST_CHECK;

/* How long the key is still shut out; 0: it is not. */
int64_t kmn_rates_locked_ms(struct kmn_rates *r, const uint8_t key[KMN_RATES_KEY_BYTES], int64_t now_ms);

/* A sign-in was refused: the number of them if the key is shut out from now on, else 0. */
uint32_t kmn_rates_refused(struct kmn_rates *r, const uint8_t key[KMN_RATES_KEY_BYTES], int64_t now_ms);

/* One was not: those before it are forgotten. */
void kmn_rates_welcome(struct kmn_rates *r, const uint8_t key[KMN_RATES_KEY_BYTES], int64_t now_ms);

/* The key of an address: an IPv4 address whole, of an IPv6 address the network (64 bits). `address`: struct sockaddr. */
void kmn_rates_key(const void *address, uint8_t key_out[KMN_RATES_KEY_BYTES]);

#endif
