/*
 * The provider's configuration in this process: not a file of a client host,
 * but what the supervisor handed over. Here are the functions of
 * kanmon/client_settings.h that the provider's library calls, in place of
 * provider/settings.c, which is not linked.
 */
#include "config.h"

#include "server/runner/runner.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/client_settings.h"
#include "kanmon/note.h"
#include "kanmon/say.h"
#include "kanmon/tls.h"

#define INIT_WAIT_S 30u
#define CONNECTIONS 4u

static struct kmn_client_settings ours; /* its texts are borrowed: of the setup, and `vkey` */
static char vkey[KMN_VKEY_MAX_BYTES], gateway[80];

static kmn_err
pin_of(const char *pem, uint8_t pin_out[KMN_HASH_BYTES])
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *certificate = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
	kmn_err e = certificate == NULL ? KMN_E_CONFIG : kmn_tls_spki_sha256(certificate, pin_out);

	X509_free(certificate);
	BIO_free(bio);
	ERR_clear_error();
	return e;
}

bool
runner_settings_take(const struct kmn_runner_setup *setup)
{
	struct kmn_vkey key;
	kmn_err e;

	if ((e = kmn_vkey_make(setup->origin, setup->log_key, &key)) != KMN_OK ||
	    (e = pin_of(setup->gate_certificate, ours.gateway_spki)) != KMN_OK) {
		kmn_say(KMN_SAY_ERROR, "the gateway's own keys cannot be read: %s", kmn_err_text(e));
		return false;
	}
	kmn_vkey_format(&key, vkey);
	(void)snprintf(gateway, sizeof(gateway), "%s", setup->gateway);
	ours.gateways[0] = gateway;
	ours.gateway_count = 1;
	ours.log_keys[0] = vkey;
	ours.log_key_count = 1;
	ours.origin = (char *)(uintptr_t)setup->origin;
	ours.certificate_pem = setup->certificate;
	ours.key_pem = setup->key;
	ours.stateless = true; /* the ledger is beside it: a head that it kept would be kept in the same place */
	ours.init_wait_s = INIT_WAIT_S;
	ours.connections = CONNECTIONS;
	ours.receipts = KMN_CLIENT_RECEIPTS_EACH;
	ours.savings = 0;
	return true;
}

void
runner_settings_wait(uint32_t seconds)
{
	ours.quorum_wait_s = seconds;
}

kmn_err
kmn_client_settings_load(
    const char *path, const char *profile, char *why_out, struct kmn_client_settings **settings_out)
{
	struct kmn_client_settings *copy = malloc(sizeof(*copy));

	(void)path;
	(void)profile;
	if (why_out != NULL)
		why_out[0] = '\0';
	*settings_out = copy;
	if (copy == NULL)
		return KMN_E_NO_MEMORY;
	*copy = ours;
	if ((copy->path = strdup("the gateway's own settings")) != NULL)
		return KMN_OK;
	free(copy);
	*settings_out = NULL;
	return KMN_E_NO_MEMORY;
}

void
kmn_client_settings_free(struct kmn_client_settings *settings)
{
	if (settings != NULL)
		free(settings->path);
	free(settings);
}

void
kmn_client_settings_after_fork(void)
{
}
