/* A sealed PIN: whoever wrote it, it is read or refused, and a made-up share does nothing to it. */
#include "kanmon/sealedpin.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const uint8_t zero[KMN_SHARE_BOX_BYTES];
	struct kmn_activation *activation = NULL;
	struct kmn_sealed_pin *pin;
	uint8_t *opened = NULL, box[KMN_SHARE_BOX_BYTES];
	size_t n = 0, opened_len;
	unsigned count;

	if ((kmn_sealed_pin_parse((const char *)bytes, len, &pin) == KMN_OK) != (pin != NULL))
		abort();
	if (pin == NULL)
		return 0;
	while (kmn_sealed_pin_share_at(pin, n) != NULL)
		n++;
	if (kmn_sealed_pin_least(pin) == 0 || kmn_sealed_pin_least(pin) > n || strlen(kmn_sealed_pin_token(pin)) == 0)
		abort();
	if (kmn_activation_new((const char *)bytes, len, &activation) != KMN_OK ||
	    kmn_sealed_pin_pass_on(pin, kmn_sealed_pin_share_at(pin, 0)->name, zero, zero,
		kmn_activation_key(activation), box) == KMN_OK ||
	    kmn_activation_take(activation, zero, sizeof(zero), &count) == KMN_OK || count != 0 ||
	    kmn_activation_open(activation, &opened, &opened_len) != KMN_E_AGAIN)
		abort();
	kmn_activation_free(activation);
	kmn_sealed_pin_free(pin);
	return 0;
}
