/* store/people_text.h - the texts by which people, organisations, models and providers are named.
 *
 * A list is kept as one text: entries in lower case, each once, separated by a comma, without
 * blanks. "" is the empty list.
 *
 * Ownership: everything is written into the caller's room. Threads: no shared state.
 */
#ifndef STORE_PEOPLE_TEXT_H
#define STORE_PEOPLE_TEXT_H

#include "base/str.h"

#define PEOPLE_NAME_MAX       64   /* printable bytes */
#define PEOPLE_ID_MAX         63   /* characters of a user's id */
#define PEOPLE_ID_SIZE        72   /* NUL included; the id of a key, for its implicit user, fits */
#define PEOPLE_ORG_ID_SIZE    37   /* a UUID and NUL */
#define PEOPLE_SLUG_SIZE      41   /* NUL included */
#define PEOPLE_LIST_MAX       1024 /* bytes of a list … */
#define PEOPLE_ORG_MODELS_MAX 4096 /* … and of the models of an organisation */

/* 1..64 printable ASCII characters, no blank at either end. */
bool people_name_is_valid(struct slice name);

/* 1..63 of [A-Za-z0-9._@+-], the first a letter or digit; "key_…" is not for users. */
bool people_id_is_valid(struct slice id);
/* 1..40 of [a-z0-9-], no '-' at either end, not of the form of a UUID. */
bool people_slug_is_valid(struct slice slug);

/* Writes the UUID in lower case; false when text is none. */
MUST_CHECK bool people_uuid_read(struct slice text, char out[PEOPLE_ORG_ID_SIZE]);
void people_uuid_make(char out[PEOPLE_ORG_ID_SIZE]); /* random, version 4 */

/* The number that stands for an id in the ledger: the first 64 bits of its SHA-256, never 0. */
uint64_t people_number(struct slice id);

/* Writes a list of model patterns ("provider/model", "provider/" and a star or a bare name) into
 * out, of which max bytes and a NUL are used at most; likewise of providers' short names.
 * ERR_BAD_REQUEST naming param and the entry: not a pattern, one that could never match (a ':' in
 * it), too many. */
MUST_CHECK enum err_code people_models_read(
	struct slice text, const char *param, char *out, size_t max, struct err *e);
MUST_CHECK enum err_code people_providers_read(
	struct slice text, const char *param, char *out, size_t max, struct err *e);

/* Is entry, in lower case, one of list? */
bool people_list_has(const char *list, struct slice entry);

#endif
