#include "config.h"

#include "server/console/rates.h"

#include <netinet/in.h>
#include <string.h>

#define MINUTE_US UINT64_C(60000000)
#define NEAR 16u /* places that are looked at for one key */

void
kmn_rates_init(struct kmn_rates *r, uint32_t per_minute, uint32_t attempts, uint32_t lockout_ms)
{
	memset(r, 0, sizeof(*r));
	r->per_minute = per_minute;
	r->attempts = attempts;
	r->lockout_ms = lockout_ms;
}

static uint32_t
mix(const uint8_t key[KMN_RATES_KEY_BYTES])
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < KMN_RATES_KEY_BYTES; i++)
		h = (h ^ key[i]) * 16777619u;
	return h ^ h >> 15;
}

/* Whoever is shut out keeps its place while another can be had. */
static bool
gives_way(const struct kmn_rate *one, const struct kmn_rate *other, int64_t now_ms)
{
	bool one_locked = one->locked_until_ms > now_ms, other_locked = other->locked_until_ms > now_ms;

	if (one->used != other->used)
		return !one->used;
	if (one_locked != other_locked)
		return !one_locked;
	return one->seen_ms < other->seen_ms;
}

static struct kmn_rate *
place_of(struct kmn_rates *r, const uint8_t key[KMN_RATES_KEY_BYTES], int64_t now_ms)
{
	uint32_t first = mix(key);
	struct kmn_rate *place = &r->places[first % KMN_RATES_PLACES];

	for (uint32_t i = 0; i < NEAR; i++) {
		struct kmn_rate *here = &r->places[(first + i) % KMN_RATES_PLACES];

		if (here->used && memcmp(here->key, key, KMN_RATES_KEY_BYTES) == 0)
			return here;
		if (gives_way(here, place, now_ms))
			place = here;
	}
	memset(place, 0, sizeof(*place));
	memcpy(place->key, key, KMN_RATES_KEY_BYTES);
	place->used = true;
	place->seen_ms = now_ms;
	place->credit_us = MINUTE_US;
	return place;
}

bool
kmn_rates_take(struct kmn_rates *r, const uint8_t key[KMN_RATES_KEY_BYTES], int64_t now_ms)
{
	struct kmn_rate *place = place_of(r, key, now_ms);
	uint64_t cost = MINUTE_US / r->per_minute, idle_ms = (uint64_t)(now_ms - place->seen_ms);

	place->credit_us = idle_ms >= 60000 ? MINUTE_US : place->credit_us + idle_ms * 1000;
	if (place->credit_us > MINUTE_US)
		place->credit_us = MINUTE_US;
	place->seen_ms = now_ms;
	if (place->credit_us < cost)
		return false;
	place->credit_us -= cost;
	return true;
}

int64_t
kmn_rates_locked_ms(struct kmn_rates *r, const uint8_t key[KMN_RATES_KEY_BYTES], int64_t now_ms)
{
	const struct kmn_rate *place = place_of(r, key, now_ms);

	return place->locked_until_ms > now_ms ? place->locked_until_ms - now_ms : 0;
}

uint32_t
kmn_rates_refused(struct kmn_rates *r, const uint8_t key[KMN_RATES_KEY_BYTES], int64_t now_ms)
{
	struct kmn_rate *place = place_of(r, key, now_ms);
	uint32_t refused = ++place->refused;

	if (refused < r->attempts)
		return 0;
	place->refused = 0;
	place->locked_until_ms = now_ms + r->lockout_ms;
	return refused;
}

void
kmn_rates_welcome(struct kmn_rates *r, const uint8_t key[KMN_RATES_KEY_BYTES], int64_t now_ms)
{
	place_of(r, key, now_ms)->refused = 0;
}

void
kmn_rates_key(const void *address, uint8_t key_out[KMN_RATES_KEY_BYTES])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct sockaddr_in6 six;
	struct sockaddr_in four;
	sa_family_t family;

	memset(key_out, 0, KMN_RATES_KEY_BYTES);
	memcpy(&family, (const char *)address + offsetof(struct sockaddr_in, sin_family), sizeof(family));
	if (family == AF_INET) {
		memcpy(&four, address, sizeof(four));
		memcpy(key_out, mapped, sizeof(mapped));
		memcpy(key_out + sizeof(mapped), &four.sin_addr, 4);
	} else if (family == AF_INET6) {
		memcpy(&six, address, sizeof(six));
		memcpy(key_out, &six.sin6_addr, 8);
	}
}
