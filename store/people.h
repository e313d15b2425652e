/* store/people.h - users, organisations, who is whose member; and who a caller is.
 *
 * key → user → organisation. A key without a user belongs to the implicit user of its own id. A
 * key that is bound to an organisation spends in its name; any other does so when the request
 * names an organisation of which the user is a member.
 *
 * Every change is one transaction and is in effect for the next request of every process.
 * Units:    microdollars, wall-clock milliseconds.
 * Blocking: reading reads files; a change waits up to 10 s for another change.
 * Threads:  any number.
 */
#ifndef STORE_PEOPLE_H
#define STORE_PEOPLE_H

#include "store/key_record.h"
#include "store/people_file.h"

/* ---- for a request ---- */

/* { 0 } is somebody anonymous. One belongs to one thread; its organisation is memory of its own,
 * because most requests have none and each waits with its identity. */
struct identity {
	const struct key_info *key; /* lent: what was passed in; NULL = anonymous */
	struct people_user user;    /* of the implicit one id and number alone */
	struct people_org *org;     /* NULL = none; what follows is of it */
	enum people_role role;
	struct people_limit member_daily; /* the member's own, else the organisation's */
};

/* Who is it? org is what the request names (X-KiloCode-OrganizationId, a UUID or slug), or empty.
 * ERR_BAD_REQUEST: that is neither. ERR_ACCESS_DENIED: no such organisation, not a member of it,
 * the key is bound to another one, or user or organisation is disabled. ERR_STORE, ERR_NO_MEMORY.
 * *out is set in any case, without looking at what it was, and is to be ended; after an error it
 * has no organisation. */
MUST_CHECK enum err_code people_identify(struct people_file *f, const struct key_info *key,
	struct slice org, struct identity *out, struct err *e);
/* Leaves somebody anonymous. */
void identity_fini(struct identity *who);

/* ---- for the operator: which members of a struct an edit sets ---- */

enum people_set {
	PEOPLE_SET_NAME = 1 << 0,
	PEOPLE_SET_DAILY = 1 << 1, /* daily, or member_daily */
	PEOPLE_SET_DISABLED = 1 << 2,
	PEOPLE_SET_SLUG = 1 << 3,
	PEOPLE_SET_MODELS = 1 << 4,
	PEOPLE_SET_PROVIDERS = 1 << 5,
	PEOPLE_SET_DENIED = 1 << 6, /* providers_denied */
	PEOPLE_SET_DATA = 1 << 7,
	PEOPLE_SET_ROLE = 1 << 8,
};

/* Makes a user: id "" = "user_" and 12 random characters; name "" = the id. Number and time are
 * set here. The home folder is made when it is missing. ERR_BAD_REQUEST (what is wrong, or
 * there is one already), ERR_BUSY, ERR_STORE. */
MUST_CHECK enum err_code people_user_create(struct people_file *f, const struct people_user *want,
	int64_t now_ms, struct people_user *out, struct err *e);
/* The same for an organisation, whose id is always made; a slug is needed. */
MUST_CHECK enum err_code people_org_create(struct people_file *f, const struct people_org *want,
	int64_t now_ms, struct people_org *out, struct err *e);

/* Sets what set (PEOPLE_SET_…) names to the values in to, which is not out. ERR_NOT_FOUND, and as
 * above. */
MUST_CHECK enum err_code people_user_edit(struct people_file *f, const char *id, unsigned set,
	const struct people_user *to, struct people_user *out, struct err *e);
/* which is an id or a slug, here and below. */
MUST_CHECK enum err_code people_org_edit(struct people_file *f, const char *which, unsigned set,
	const struct people_org *to, struct people_org *out, struct err *e);

/* Adds a member, by default of the role member, or edits what there is of one. */
MUST_CHECK enum err_code people_member_add(struct people_file *f, const char *which_org,
	const char *user, unsigned set, const struct people_member *to, int64_t now_ms,
	struct people_member *out, struct err *e);
MUST_CHECK enum err_code people_member_remove(
	struct people_file *f, const char *which_org, const char *user, struct err *e);

/* ERR_NOT_FOUND with words for people, ERR_STORE. */
MUST_CHECK enum err_code people_user_get(
	struct people_file *f, const char *id, struct people_user *out, struct err *e);
MUST_CHECK enum err_code people_org_get(
	struct people_file *f, const char *which, struct people_org *out, struct err *e);
MUST_CHECK enum err_code people_member_get(struct people_file *f, const struct people_org *org,
	const char *user, struct people_member *out, struct err *e);

struct people_membership {
	char org[PEOPLE_ORG_ID_SIZE];
	char user[PEOPLE_ID_SIZE];
	struct people_member member;
};

/* Give all, by id (organisations by slug); free(*list). */
MUST_CHECK enum err_code people_user_list(
	struct people_file *f, struct people_user **list, size_t *count, struct err *e);
MUST_CHECK enum err_code people_org_list(
	struct people_file *f, struct people_org **list, size_t *count, struct err *e);
/* Memberships of one organisation, or with org "" of all of them. */
MUST_CHECK enum err_code people_member_list(struct people_file *f, const char *org,
	struct people_membership **list, size_t *count, struct err *e);

#endif
