/* The forms that values of kanmond.conf have. */
#include "config.h"

#include "server/settings_forms.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The ledger's name goes into statements and note lines: no blank, no '+', no control byte (docs/ledger.md). */
bool
kmn_form_is_origin(const char *value)
{
	for (; *value != '\0'; value++)
		if ((unsigned char)*value <= ' ' || *value == 0x7f || *value == '+')
			return false;
	return true;
}

bool
kmn_form_is_number(const char *text, unsigned long least, unsigned long most)
{
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(text, &end, 10);
	return isdigit((unsigned char)text[0]) && *end == '\0' && errno == 0 && number >= least && number <= most;
}

/* A numeric address, so that start-up asks nobody: 192.0.2.1:7443, [::1]:7443. */
bool
kmn_form_is_listen(const char *value)
{
	char address[INET6_ADDRSTRLEN];
	const char *colon = strrchr(value, ':');
	bool six = value[0] == '[';
	size_t len;
	struct in6_addr into;

	if (colon == NULL || !kmn_form_is_number(colon + 1, 0, 65535))
		return false;
	len = (size_t)(colon - value);
	if (six && (len < 2 || value[len - 1] != ']'))
		return false;
	if (six) {
		value++;
		len -= 2;
	}
	if (len >= sizeof(address))
		return false;
	memcpy(address, value, len);
	address[len] = '\0';
	return inet_pton(six ? AF_INET6 : AF_INET, address, &into) == 1;
}

bool
kmn_form_is_assignment(const char *value)
{
	size_t name = strcspn(value, "=");

	if (name == 0 || value[name] != '=' || isdigit((unsigned char)value[0]))
		return false;
	for (size_t i = 0; i < name; i++)
		if (!isalnum((unsigned char)value[i]) && value[i] != '_')
			return false;
	/* The loader obeys these before any module is looked at. */
	return strncmp(value, "LD_", 3) != 0;
}

/* Printable, and of a scheme that the courier speaks. */
bool
kmn_form_is_url(const char *value)
{
	for (const char *at = value; *at != '\0'; at++)
		if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f)
			return false;
	return strncmp(value, "http://", 7) == 0 || strncmp(value, "https://", 8) == 0;
}

/* One address; nothing that a mailer could take for an option or for two. */
bool
kmn_form_is_mail(const char *value)
{
	for (const char *at = value; *at != '\0'; at++)
		if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f || strchr(",;<>()\"\\", *at) != NULL)
			return false;
	return value[0] != '-' && strchr(value, '@') != NULL;
}

/* Dotted: digits, single dots between them. */
bool
kmn_form_is_oid(const char *value)
{
	size_t len = strlen(value);

	return len >= 3 && strspn(value, "0123456789.") == len && value[0] != '.' && value[len - 1] != '.' &&
	       strstr(value, "..") == NULL && strchr(value, '.') != NULL;
}

/* What a browser calls a page's origin: https, a host in lower case, a port unless it is 443, and nothing behind it. */
bool
kmn_form_is_page_origin(const char *value)
{
	static const char scheme[] = "https://";
	const char *host = value + sizeof(scheme) - 1, *colon;
	size_t len;

	if (strncmp(value, scheme, sizeof(scheme) - 1) != 0)
		return false;
	colon = strrchr(host, ':');
	len = colon != NULL && strchr(colon, ']') == NULL ? (size_t)(colon - host) : strlen(host);
	if (host[len] == ':' && (!kmn_form_is_number(host + len + 1, 1, 65535) || strcmp(host + len, ":443") == 0))
		return false;
	if (host[0] == '[')
		return len > 4 && host[len - 1] == ']' && strspn(host + 1, "0123456789abcdef:.") == len - 2;
	return len > 0 && strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len && host[0] != '.' &&
	       host[0] != '-';
}

const char *
kmn_form_words(bool (*form)(const char *value))
{
	static const struct {
		bool (*form)(const char *value);
		const char *words;
	} words[] = {
	    {kmn_form_is_listen, "is not a numeric address and a port, as 127.0.0.1:7443 or [::1]:7443"},
	    {kmn_form_is_assignment, "is not NAME=VALUE, or is a name that is not allowed"},
	    {kmn_form_is_url, "is not http://.. or https://.. without blanks"},
	    {kmn_form_is_oid, "is not an OID, as 1.2.3"},
	    {kmn_form_is_mail, "is not one address"},
	    {kmn_form_is_page_origin, "is not what browsers call an origin, as https://console.example:8443"},
	};

	for (size_t i = 0; i < KMN_COUNT_OF(words); i++)
		if (words[i].form == form)
			return words[i].words;
	return "holds a blank, a '+' or a control byte";
}
