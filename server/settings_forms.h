/* The forms that values of kanmond.conf have: pure, one question each. */
#ifndef KANMON_SERVER_SETTINGS_FORMS_H
#define KANMON_SERVER_SETTINGS_FORMS_H

#include "kanmon/base.h"

bool kmn_form_is_origin(const char *value);
bool kmn_form_is_number(const char *text, unsigned long least, unsigned long most);
bool kmn_form_is_listen(const char *value);
bool kmn_form_is_assignment(const char *value);
bool kmn_form_is_url(const char *value);
bool kmn_form_is_mail(const char *value);
bool kmn_form_is_oid(const char *value);
bool kmn_form_is_page_origin(const char *value);

/* What is wrong with a value that a form refuses: words behind the setting's name; static. */
const char *kmn_form_words(bool (*form)(const char *value));

#endif
