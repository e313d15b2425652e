#include "store/people.h"

#include "store/home.h"
#include "store/key_text.h"

#include <stdio.h>
#include <stdlib.h>

#define NOTHING   ((struct slice){ "", 0 })
#define ID_RANDOM 12

/* A damaged record is, to who asks, a store that cannot be read. */
static enum err_code outward(enum err_code rc)
{
	return rc == ERR_IO ? ERR_STORE : rc;
}

/* ---- reading ---- */

/* The id behind a UUID or slug. ERR_BAD_REQUEST, ERR_NOT_FOUND: without words. */
static enum err_code org_id(struct people_file *f, struct slice which, struct buf *value,
	char id[PEOPLE_ORG_ID_SIZE], struct err *e)
{
	enum err_code rc;

	if (people_uuid_read(which, id))
		return ERR_OK;
	if (!people_slug_is_valid(which))
		return ERR_BAD_REQUEST;
	rc = people_file_fetch(f, 'G', which, NOTHING, value, e);
	if (!rc && !people_uuid_read(buf_slice(value), id))
		rc = err_set(e, ERR_STORE, "the record of a slug is damaged");
	return rc;
}

static enum err_code fetch_user(struct people_file *f, struct slice id, struct buf *value,
	struct people_user *out, struct err *e)
{
	enum err_code rc = people_file_fetch(f, 'U', id, NOTHING, value, e);

	return rc ? rc : outward(people_user_read(buf_slice(value), out, e));
}

static enum err_code fetch_org(struct people_file *f, struct slice id, struct buf *value,
	struct people_org *out, struct err *e)
{
	enum err_code rc = people_file_fetch(f, 'O', id, NOTHING, value, e);

	return rc ? rc : outward(people_org_read(buf_slice(value), out, e));
}

static enum err_code fetch_member(struct people_file *f, struct slice org, struct slice user,
	struct buf *value, struct people_member *out, struct err *e)
{
	enum err_code rc = people_file_fetch(f, 'M', org, user, value, e);

	return rc ? rc : outward(people_member_read(buf_slice(value), out, e));
}

enum err_code people_user_get(
	struct people_file *f, const char *id, struct people_user *out, struct err *e)
{
	struct buf value = { 0 };
	enum err_code rc = fetch_user(f, slice_of(id), &value, out, e);

	buf_fini(&value);
	if (rc == ERR_NOT_FOUND)
		rc = err_param(e, ERR_NOT_FOUND, "user",
			"there is no user \"%.80s\": tollgate users list", id);
	return rc;
}

enum err_code people_org_get(
	struct people_file *f, const char *which, struct people_org *out, struct err *e)
{
	char id[PEOPLE_ORG_ID_SIZE];
	struct buf value = { 0 };
	enum err_code rc = org_id(f, slice_of(which), &value, id, e);

	if (!rc)
		rc = fetch_org(f, slice_of(id), &value, out, e);
	buf_fini(&value);
	if (rc == ERR_NOT_FOUND || rc == ERR_BAD_REQUEST)
		rc = err_param(e, ERR_NOT_FOUND, "org",
			"there is no organisation \"%.80s\": tollgate orgs list", which);
	return rc;
}

enum err_code people_member_get(struct people_file *f, const struct people_org *org,
	const char *user, struct people_member *out, struct err *e)
{
	struct buf value = { 0 };
	enum err_code rc = fetch_member(f, slice_of(org->id), slice_of(user), &value, out, e);

	buf_fini(&value);
	if (rc == ERR_NOT_FOUND)
		rc = err_param(e, ERR_NOT_FOUND, "user",
			"%.80s is not a member of %s: tollgate orgs add-member %s %.80s", user,
			org->slug, org->slug, user);
	return rc;
}

/* ---- for a request ---- */

static enum err_code deny(struct err *e, const char *reason, const char *text)
{
	enum err_code rc = err_set(e, ERR_ACCESS_DENIED, "%s", text);

	if (e)
		str_copy_cut(e->reason, sizeof(e->reason), reason);
	return rc;
}

/* One answer for what is not there and what is not the caller's: it tells nobody which exist. */
static enum err_code deny_org(struct err *e)
{
	return deny(e, "NOT_A_MEMBER",
		"this key may not act for the organisation that X-KiloCode-OrganizationId names");
}

static enum err_code find_user(
	struct people_file *f, struct buf *value, struct identity *out, struct err *e)
{
	const struct key_info *key = out->key;
	enum err_code rc;

	if (!key->user[0]) {
		memcpy(out->user.id, key->id, sizeof(key->id));
		out->user.number = key->number;
		return ERR_OK;
	}
	rc = fetch_user(f, slice_of(key->user), value, &out->user, e);
	if (rc == ERR_NOT_FOUND)
		return err_set(e, ERR_STORE, "the user of the key %s has no record", key->id);
	if (!rc && out->user.disabled)
		return deny(e, "USER_DISABLED", "this user has been disabled by the operator");
	return rc;
}

/* Into *org, which is to be freed in any case. */
static enum err_code find_org(struct people_file *f, struct slice which, struct buf *value,
	struct identity *out, struct people_org **org, struct err *e)
{
	const struct key_info *key = out->key;
	struct people_member member = { .role = PEOPLE_MEMBER };
	char id[PEOPLE_ORG_ID_SIZE];
	enum err_code rc = ERR_OK;

	if (which.len)
		rc = org_id(f, which, value, id, e);
	else
		memcpy(id, key->org, sizeof(id));
	if (rc == ERR_BAD_REQUEST)
		return err_param(e, rc, "X-KiloCode-OrganizationId",
			"X-KiloCode-OrganizationId must be the id (a UUID) or the short name of an "
			"organisation");
	if (rc == ERR_NOT_FOUND || (!rc && key->org[0] && strcmp(key->org, id) != 0))
		return deny_org(e);
	/* The operator bound the key: its implicit user needs no membership. */
	if (!rc && !(key->org[0] && !key->user[0]))
		rc = fetch_member(f, slice_of(id), slice_of(out->user.id), value, &member, e);
	if (!rc && !(*org = malloc(sizeof(**org))))
		rc = err_set(e, ERR_NO_MEMORY, "no memory for the organisation");
	if (!rc)
		rc = fetch_org(f, slice_of(id), value, *org, e);
	if (rc == ERR_NOT_FOUND)
		return deny_org(e);
	if (!rc && (*org)->disabled)
		return deny(e, "ORGANIZATION_DISABLED",
			"this organisation has been disabled by the operator");
	if (rc)
		return rc;
	out->role = member.role;
	out->member_daily = member.daily.is_set ? member.daily : (*org)->member_daily;
	return ERR_OK;
}

enum err_code people_identify(struct people_file *f, const struct key_info *key, struct slice org,
	struct identity *out, struct err *e)
{
	struct buf value = { 0 };
	struct slice which = slice_trim(org);
	struct people_org *found = NULL;
	enum err_code rc;

	*out = (struct identity){ .key = key };
	rc = find_user(f, &value, out, e);
	if (!rc && (which.len || key->org[0]))
		rc = find_org(f, which, &value, out, &found, e);
	if (rc)
		free(found);
	else
		out->org = found;
	buf_fini(&value);
	return rc;
}

void identity_fini(struct identity *who)
{
	free(who->org);
	*who = (struct identity){ .key = NULL };
}

/* ---- changing ---- */

static enum err_code check_name(const char *name, struct err *e)
{
	if (people_name_is_valid(slice_of(name)))
		return ERR_OK;
	return err_param(e, ERR_BAD_REQUEST, "name",
		"a name has 1 to %d printable ASCII characters and no blank at either end",
		PEOPLE_NAME_MAX);
}

static enum err_code check_limit(struct people_limit limit, struct err *e)
{
	if (!limit.is_set || (limit.microusd >= 0 && limit.microusd <= PEOPLE_MICROUSD_MAX))
		return ERR_OK;
	return err_param(e, ERR_BAD_REQUEST, "daily", "a daily limit is 0 to %lld US dollars",
		(long long)(PEOPLE_MICROUSD_MAX / 1000000));
}

static enum err_code check_slug(const char *slug, struct err *e)
{
	if (people_slug_is_valid(slice_of(slug)))
		return ERR_OK;
	return err_param(e, ERR_BAD_REQUEST, "slug",
		"an organisation's short name has 1 to %d of a-z, 0-9 and -, and no - at either "
		"end",
		PEOPLE_SLUG_SIZE - 1);
}

static enum err_code put_user(struct people_change *c, const struct people_user *u, struct err *e)
{
	uint8_t record[PEOPLE_USER_BYTES];

	return people_change_put(c, 'U', slice_of(u->id), NOTHING, people_user_write(u, record), e);
}

static enum err_code put_org(struct people_change *c, const struct people_org *o, struct err *e)
{
	uint8_t record[PEOPLE_ORG_BYTES];

	return people_change_put(c, 'O', slice_of(o->id), NOTHING, people_org_write(o, record), e);
}

/* ERR_BAD_REQUEST when there is such a record already. */
static enum err_code refuse_second(
	struct people_change *c, char letter, const char *id, const char *param, struct err *e)
{
	struct buf value = { 0 };
	enum err_code rc = people_change_fetch(c, letter, slice_of(id), NOTHING, &value, e);

	buf_fini(&value);
	if (!rc)
		rc = err_param(e, ERR_BAD_REQUEST, param, "\"%s\" is taken already", id);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

enum err_code people_user_create(struct people_file *f, const struct people_user *want,
	int64_t now_ms, struct people_user *out, struct err *e)
{
	struct people_change c = { 0 };
	enum err_code rc = ERR_OK;

	*out = *want;
	out->created_ms = now_ms;
	if (!out->id[0]) {
		memcpy(out->id, "user_", 5);
		key_text_random(out->id + 5, ID_RANDOM);
	}
	if (!out->name[0])
		memcpy(out->name, out->id, PEOPLE_ID_MAX + 1);
	out->number = people_number(slice_of(out->id));
	if (!people_id_is_valid(slice_of(out->id)))
		rc = err_param(e, ERR_BAD_REQUEST, "id",
			"a user's id has 1 to %d of A-Z a-z 0-9 . _ @ + -, begins with a letter or "
			"digit, and not with key_",
			PEOPLE_ID_MAX);
	if (!rc)
		rc = check_name(out->name, e);
	if (!rc)
		rc = check_limit(out->daily, e);
	if (!rc)
		rc = home_make(people_file_home(f), e);
	if (!rc)
		rc = people_change_begin(&c, f, e);
	if (!rc)
		rc = refuse_second(&c, 'U', out->id, "id", e);
	if (!rc)
		rc = put_user(&c, out, e);
	return people_change_end(&c, rc, e);
}

enum err_code people_user_edit(struct people_file *f, const char *id, unsigned set,
	const struct people_user *to, struct people_user *out, struct err *e)
{
	struct people_change c = { 0 };
	enum err_code rc = people_user_get(f, id, out, e);

	if (!rc && set & PEOPLE_SET_NAME)
		rc = check_name(to->name, e);
	if (!rc && set & PEOPLE_SET_DAILY)
		rc = check_limit(to->daily, e);
	if (!rc)
		rc = people_change_begin(&c, f, e);
	/* Again, now that nobody else changes it. */
	if (!rc)
		rc = people_user_get(f, id, out, e);
	if (!rc) {
		if (set & PEOPLE_SET_NAME)
			memcpy(out->name, to->name, sizeof(out->name));
		if (set & PEOPLE_SET_DAILY)
			out->daily = to->daily;
		if (set & PEOPLE_SET_DISABLED)
			out->disabled = to->disabled;
		rc = put_user(&c, out, e);
	}
	return people_change_end(&c, rc, e);
}

static enum err_code put_slug(struct people_change *c, const struct people_org *o, struct err *e)
{
	enum err_code rc = refuse_second(c, 'G', o->slug, "slug", e);

	return rc ? rc : people_change_put(c, 'G', slice_of(o->slug), NOTHING, slice_of(o->id), e);
}

enum err_code people_org_create(struct people_file *f, const struct people_org *want,
	int64_t now_ms, struct people_org *out, struct err *e)
{
	struct people_change c = { 0 };
	enum err_code rc;

	*out = *want;
	out->created_ms = now_ms;
	people_uuid_make(out->id);
	out->number = people_number(slice_of(out->id));
	if (!out->name[0])
		memcpy(out->name, out->slug, sizeof(out->slug));
	rc = check_slug(out->slug, e);
	if (!rc)
		rc = check_name(out->name, e);
	if (!rc)
		rc = check_limit(out->member_daily, e);
	if (!rc)
		rc = home_make(people_file_home(f), e);
	if (!rc)
		rc = people_change_begin(&c, f, e);
	if (!rc)
		rc = put_slug(&c, out, e);
	if (!rc)
		rc = put_org(&c, out, e);
	return people_change_end(&c, rc, e);
}

static enum err_code change_slug(
	struct people_change *c, struct people_org *o, const char *slug, struct err *e)
{
	enum err_code rc;

	if (strcmp(o->slug, slug) == 0)
		return ERR_OK;
	rc = people_change_remove(c, 'G', slice_of(o->slug), NOTHING, e);
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	memcpy(o->slug, slug, sizeof(o->slug));
	return put_slug(c, o, e);
}

static void set_org(struct people_org *o, unsigned set, const struct people_org *to)
{
	if (set & PEOPLE_SET_NAME)
		memcpy(o->name, to->name, sizeof(o->name));
	if (set & PEOPLE_SET_DAILY)
		o->member_daily = to->member_daily;
	if (set & PEOPLE_SET_DISABLED)
		o->disabled = to->disabled;
	if (set & PEOPLE_SET_MODELS)
		memcpy(o->models, to->models, sizeof(o->models));
	if (set & PEOPLE_SET_PROVIDERS)
		memcpy(o->providers, to->providers, sizeof(o->providers));
	if (set & PEOPLE_SET_DENIED)
		memcpy(o->providers_denied, to->providers_denied, sizeof(o->providers_denied));
	if (set & PEOPLE_SET_DATA)
		o->data_collection = to->data_collection;
}

enum err_code people_org_edit(struct people_file *f, const char *which, unsigned set,
	const struct people_org *to, struct people_org *out, struct err *e)
{
	struct people_change c = { 0 };
	enum err_code rc = people_org_get(f, which, out, e);

	if (!rc && set & PEOPLE_SET_NAME)
		rc = check_name(to->name, e);
	if (!rc && set & PEOPLE_SET_SLUG)
		rc = check_slug(to->slug, e);
	if (!rc && set & PEOPLE_SET_DAILY)
		rc = check_limit(to->member_daily, e);
	if (!rc)
		rc = people_change_begin(&c, f, e);
	if (!rc)
		rc = people_org_get(f, which, out, e);
	if (!rc && set & PEOPLE_SET_SLUG)
		rc = change_slug(&c, out, to->slug, e);
	if (!rc) {
		set_org(out, set, to);
		rc = put_org(&c, out, e);
	}
	return people_change_end(&c, rc, e);
}

enum err_code people_member_add(struct people_file *f, const char *which_org, const char *user,
	unsigned set, const struct people_member *to, int64_t now_ms, struct people_member *out,
	struct err *e)
{
	uint8_t record[PEOPLE_MEMBER_BYTES];
	struct people_change c = { 0 };
	struct people_user somebody;
	struct people_org org;
	enum err_code rc = people_org_get(f, which_org, &org, e);

	*out = (struct people_member){ .role = PEOPLE_NO_MEMBER };
	if (!rc)
		rc = people_user_get(f, user, &somebody, e);
	if (!rc && set & PEOPLE_SET_DAILY)
		rc = check_limit(to->daily, e);
	if (!rc)
		rc = people_change_begin(&c, f, e);
	if (!rc)
		rc = people_member_get(f, &org, user, out, NULL);
	if (rc == ERR_NOT_FOUND && c.change) {
		*out = (struct people_member){ .role = PEOPLE_MEMBER, .added_ms = now_ms };
		rc = ERR_OK;
	}
	if (!rc) {
		if (set & PEOPLE_SET_ROLE)
			out->role = to->role;
		if (set & PEOPLE_SET_DAILY)
			out->daily = to->daily;
		rc = people_change_put(&c, 'M', slice_of(org.id), slice_of(user),
			people_member_write(out, record), e);
	} else if (rc != ERR_NOT_FOUND && c.change) {
		rc = err_set(e, rc, "the record of the member %.80s cannot be read", user);
	}
	return people_change_end(&c, rc, e);
}

enum err_code people_member_remove(
	struct people_file *f, const char *which_org, const char *user, struct err *e)
{
	struct people_change c = { 0 };
	struct people_member member;
	struct people_org org;
	enum err_code rc = people_org_get(f, which_org, &org, e);

	if (!rc)
		rc = people_member_get(f, &org, user, &member, e);
	if (!rc)
		rc = people_change_begin(&c, f, e);
	if (!rc)
		rc = people_change_remove(&c, 'M', slice_of(org.id), slice_of(user), e);
	if (rc == ERR_NOT_FOUND && c.change)
		rc = err_param(
			e, rc, "user", "%.80s is not a member of %s any more", user, org.slug);
	return people_change_end(&c, rc, e);
}
