#include "config.h"

#include "server/hsm/logins.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct kmn_logins {
	pthread_mutex_t lock;
	struct kmn_activation *at[KMN_LOGINS_MAX]; /* NULL: free */
};

kmn_err
kmn_logins_new(struct kmn_logins **logins_out)
{
	struct kmn_logins *logins = calloc(1, sizeof(*logins));

	*logins_out = logins;
	if (logins == NULL)
		return KMN_E_NO_MEMORY;
	pthread_mutex_init(&logins->lock, NULL);
	return KMN_OK;
}

void
kmn_logins_free(struct kmn_logins *logins)
{
	if (logins == NULL)
		return;
	for (size_t i = 0; i < KMN_LOGINS_MAX; i++)
		kmn_activation_free(logins->at[i]);
	pthread_mutex_destroy(&logins->lock);
	free(logins);
}

/* The place of a login (key NULL: a free one); NULL: there is none. The lock is taken. */
static struct kmn_activation **
find(struct kmn_logins *logins, const uint8_t *key)
{
	for (size_t i = 0; i < KMN_LOGINS_MAX; i++) {
		struct kmn_activation *a = logins->at[i];

		if (key == NULL ? a == NULL : a != NULL && memcmp(kmn_activation_key(a), key, KMN_SHARE_KEY_BYTES) == 0)
			return &logins->at[i];
	}
	return NULL;
}

kmn_err
kmn_logins_begin(struct kmn_logins *logins, const char *text, size_t len, uint8_t key_out[KMN_SHARE_KEY_BYTES])
{
	struct kmn_activation **place;
	kmn_err e = KMN_E_TOO_MANY;

	pthread_mutex_lock(&logins->lock);
	if ((place = find(logins, NULL)) != NULL && (e = kmn_activation_new(text, len, place)) == KMN_OK)
		memcpy(key_out, kmn_activation_key(*place), KMN_SHARE_KEY_BYTES);
	pthread_mutex_unlock(&logins->lock);
	return e;
}

kmn_err
kmn_logins_share(struct kmn_logins *logins, const uint8_t key[KMN_SHARE_KEY_BYTES], const uint8_t *box, size_t len,
    unsigned *count_out)
{
	struct kmn_activation **place;
	kmn_err e = KMN_E_NOT_FOUND;

	*count_out = 0;
	pthread_mutex_lock(&logins->lock);
	if ((place = find(logins, key)) != NULL)
		e = kmn_activation_take(*place, box, len, count_out);
	pthread_mutex_unlock(&logins->lock);
	return e;
}

/* Takes it out of the table; NULL: it is not there. */
static struct kmn_activation *
take(struct kmn_logins *logins, const uint8_t key[KMN_SHARE_KEY_BYTES])
{
	struct kmn_activation **place, *a = NULL;

	pthread_mutex_lock(&logins->lock);
	if ((place = find(logins, key)) != NULL) {
		a = *place;
		*place = NULL;
	}
	pthread_mutex_unlock(&logins->lock);
	return a;
}

kmn_err
kmn_logins_use(struct kmn_logins *logins, const uint8_t key[KMN_SHARE_KEY_BYTES], uint8_t **pin_out, size_t *len_out)
{
	struct kmn_activation *a = take(logins, key);
	kmn_err e = KMN_E_NOT_FOUND;

	*pin_out = NULL;
	*len_out = 0;
	if (a != NULL)
		e = kmn_activation_open(a, pin_out, len_out);
	kmn_activation_free(a);
	return e;
}

void
kmn_logins_forget(struct kmn_logins *logins, const uint8_t key[KMN_SHARE_KEY_BYTES])
{
	kmn_activation_free(take(logins, key));
}
