#include "gateway/byok_api.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"

#include <stdlib.h>

#define TAIL_FROM 20 /* characters: a secret of less has none to spare */

/* ---- answers ---- */

static void text(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, ",\"%s\":", name);
	buf_json_cstr(out, value[0] ? value : NULL);
}

void byok_api_item(const struct byok_info *i, struct buf *out)
{
	const struct byok_name *n = byok_name_find(slice_of(i->provider));
	char created[CLOCK_ISO_SIZE], updated[CLOCK_ISO_SIZE], masked[BYOK_TAIL_SIZE + 3] = "";

	clock_iso(i->created_ms, created);
	clock_iso(i->updated_ms, updated);
	if (i->tail[0]) {
		memcpy(masked, "...", 3);
		memcpy(masked + 3, i->tail, BYOK_TAIL_SIZE);
	}
	buf_str(out, "{\"id\":");
	buf_json_cstr(out, i->id);
	text(out, "provider_id", i->provider);
	text(out, "provider_name", n ? n->name : i->provider);
	text(out, "organization_id", i->owner.kind == BYOK_ORG ? i->owner.id : "");
	text(out, "created_at", created);
	text(out, "updated_at", updated);
	text(out, "created_by", i->created_by);
	buf_printf(out, ",\"is_enabled\":%s,\"allow_fallback\":%s", i->disabled ? "false" : "true",
		i->allow_fallback ? "true" : "false");
	text(out, "masked_key", masked);
	buf_char(out, '}');
}

void byok_api_tail(const struct byok_name *n, struct slice secret, char out[BYOK_TAIL_SIZE])
{
	memset(out, 0, BYOK_TAIL_SIZE);
	if (n->shape == BYOK_TEXT && secret.len >= TAIL_FROM)
		memcpy(out, secret.ptr + secret.len - (BYOK_TAIL_SIZE - 1), BYOK_TAIL_SIZE - 1);
}

/* ---- rights ---- */

static enum err_code owner_of(
	const struct identity *who, bool changes, struct byok_owner *owner, struct err *e)
{
	enum err_code rc;

	if (!byok_owner_of(who, owner))
		return err_set(e, ERR_UNAUTHENTICATED, "provider keys belong to who sends a key");
	if (!changes || !who->org || who->role == PEOPLE_OWNER ||
		who->role == PEOPLE_BILLING_MANAGER)
		return ERR_OK;
	rc = err_set(e, ERR_ACCESS_DENIED,
		"only an owner or a billing manager of the organisation %s may change its provider "
		"keys",
		who->org->slug);
	if (e)
		str_copy_cut(e->reason, sizeof(e->reason), "ROLE_MAY_NOT_CHANGE");
	return rc;
}

/* Who changed what, for the operator; never with a secret. */
static void note(const struct identity *who, const char *what, const struct byok_info *i)
{
	if (who->org)
		log_line(LOG_INFO,
			"organization.settings.change: provider key %s (%s) %s, organisation %s, "
			"user %s",
			i->id, i->provider, what, who->org->id, who->user.id);
	else
		log_line(LOG_INFO, "provider key %s (%s) %s, user %s", i->id, i->provider, what,
			who->user.id);
}

/* ---- requests ---- */

enum field { PROVIDER, API_KEY, ENABLED, FALLBACK, FIELDS };

static enum err_code read_body(struct slice body, struct json_member fields[FIELDS], struct err *e)
{
	const struct json_limits limits = { .max_depth = 16, .max_keys = 256 };
	static const char *const names[FIELDS] = { "provider_id", "api_key", "is_enabled",
		"allow_fallback" };

	for (int i = 0; i < FIELDS; i++)
		fields[i] = (struct json_member){ .name = names[i] };
	return json_scan(body, &limits, fields, FIELDS, e);
}

static bool is_there(const struct json_member *m)
{
	return m->value.kind > JSON_NULL;
}

static enum err_code read_switch(
	const struct json_member *m, unsigned bit, unsigned *set, bool *out, struct err *e)
{
	if (!is_there(m))
		return ERR_OK;
	if (m->value.kind != JSON_BOOL)
		return err_param(e, ERR_BAD_REQUEST, m->name, "%s is true or false", m->name);
	*set |= bit;
	*out = json_is_true(m->value);
	return ERR_OK;
}

/* What to[] and set say of the switches in fields. */
static enum err_code read_switches(
	const struct json_member fields[FIELDS], unsigned *set, struct byok_info *to, struct err *e)
{
	bool enabled = true;
	enum err_code rc = read_switch(&fields[ENABLED], BYOK_SET_DISABLED, set, &enabled, e);

	to->disabled = !enabled;
	return rc ? rc
		  : read_switch(&fields[FALLBACK], BYOK_SET_FALLBACK, set, &to->allow_fallback, e);
}

/* The secret in a request, which is wiped with it. */
static enum err_code read_secret(const struct byok_name *n, const struct json_member *m,
	struct byok_info *to, struct buf *secret, struct err *e)
{
	enum err_code rc;

	secret->max_bytes = BYOK_SECRET_MAX;
	/* Room for all at once: a buffer that moves leaves a copy behind. */
	if (m->value.raw.len > BYOK_SECRET_MAX || !buf_room(secret, m->value.raw.len + 1))
		return err_param(e, ERR_BAD_REQUEST, m->name, "api_key has at most %d bytes",
			BYOK_SECRET_MAX);
	if (m->value.kind == JSON_OBJECT)
		buf_slice_append(secret, m->value.raw);
	else if (!json_str_decode(m->value, secret))
		return err_param(e, ERR_BAD_REQUEST, m->name,
			"api_key is missing: the key that %s gave you, as a text", n->name);
	rc = byok_name_check(n, buf_slice(secret), e);
	if (!rc)
		byok_api_tail(n, buf_slice(secret), to->tail);
	return rc;
}

static void wipe(struct buf *secret)
{
	crypto_wipe(secret->data, secret->cap);
	buf_fini(secret);
}

enum err_code byok_api_list(
	struct byok *keys, const struct identity *who, struct buf *out, struct err *e)
{
	struct byok_owner owner;
	struct byok_info *list = NULL;
	size_t count = 0;
	enum err_code rc = owner_of(who, false, &owner, e);

	if (!rc)
		rc = byok_list(keys, &owner, &list, &count, e);
	if (rc)
		return rc;
	buf_char(out, '[');
	for (size_t i = 0; i < count; i++) {
		buf_str(out, i ? "," : "");
		byok_api_item(&list[i], out);
	}
	buf_str(out, "]\n");
	free(list);
	return ERR_OK;
}

static enum err_code read_provider(
	const struct json_member *m, const struct byok_name **n, struct err *e)
{
	char id[64];

	/* A name that is too long is as unknown as any other. */
	if (!json_str_copy(m->value, id, sizeof(id)))
		id[0] = '\0';
	return byok_name_read(slice_of(id), n, e);
}

enum err_code byok_api_add(struct byok *keys, const struct identity *who, struct slice body,
	int64_t now_ms, struct buf *out, struct err *e)
{
	struct json_member fields[FIELDS];
	const struct byok_name *n = NULL;
	struct byok_info want = { .id = "" }, made;
	struct buf secret = { 0 };
	unsigned set = 0;
	enum err_code rc = owner_of(who, true, &want.owner, e);

	if (!rc)
		rc = read_body(body, fields, e);
	if (!rc)
		rc = read_provider(&fields[PROVIDER], &n, e);
	if (!rc)
		rc = read_switches(fields, &set, &want, e);
	if (!rc)
		rc = read_secret(n, &fields[API_KEY], &want, &secret, e);
	if (!rc) {
		str_copy_cut(want.provider, sizeof(want.provider), n->id);
		str_copy_cut(want.created_by, sizeof(want.created_by), who->user.id);
		rc = byok_add(keys, &want, buf_slice(&secret), now_ms, &made, e);
	}
	wipe(&secret);
	if (rc)
		return rc;
	note(who, "added", &made);
	byok_api_item(&made, out);
	buf_char(out, '\n');
	return ERR_OK;
}

/* The owner's key of this id: whose provider says what a secret looks like. */
static enum err_code find(struct byok *keys, const struct byok_owner *owner, const char *id,
	const struct byok_name **n, struct err *e)
{
	struct byok_info *list = NULL;
	size_t count = 0;
	enum err_code rc = byok_list(keys, owner, &list, &count, e);

	*n = NULL;
	for (size_t i = 0; i < count && !*n; i++)
		if (strcmp(list[i].id, id) == 0 || strcmp(list[i].provider, id) == 0)
			*n = byok_name_find(slice_of(list[i].provider));
	free(list);
	if (!rc && !*n)
		rc = err_param(
			e, ERR_NOT_FOUND, "id", "there is no provider key \"%.64s\" here", id);
	return rc;
}

/* No id of a key is longer. */
static void copy_id(struct slice id, char out[PEOPLE_ORG_ID_SIZE])
{
	if (!slice_copy(id, out, PEOPLE_ORG_ID_SIZE))
		out[0] = '\0';
}

enum err_code byok_api_edit(struct byok *keys, const struct identity *who, struct slice id,
	struct slice body, int64_t now_ms, struct buf *out, struct err *e)
{
	struct json_member fields[FIELDS];
	const struct byok_name *n = NULL;
	struct byok_info to = { .id = "" }, made;
	struct byok_owner owner;
	struct buf secret = { 0 };
	char which[PEOPLE_ORG_ID_SIZE];
	unsigned set = 0;
	enum err_code rc = owner_of(who, true, &owner, e);

	copy_id(id, which);
	if (!rc)
		rc = find(keys, &owner, which, &n, e);
	if (!rc)
		rc = read_body(body, fields, e);
	if (!rc)
		rc = read_switches(fields, &set, &to, e);
	if (!rc && is_there(&fields[API_KEY])) {
		set |= BYOK_SET_SECRET;
		rc = read_secret(n, &fields[API_KEY], &to, &secret, e);
	}
	if (!rc && !set)
		rc = err_param(e, ERR_BAD_REQUEST, "api_key",
			"say what to change: api_key, is_enabled or allow_fallback");
	if (!rc)
		rc = byok_edit(keys, &owner, which, set, &to, buf_slice(&secret), now_ms, &made, e);
	wipe(&secret);
	if (rc)
		return rc;
	note(who, "changed", &made);
	byok_api_item(&made, out);
	buf_char(out, '\n');
	return ERR_OK;
}

enum err_code byok_api_remove(struct byok *keys, const struct identity *who, struct slice id,
	struct buf *out, struct err *e)
{
	struct byok_owner owner;
	struct byok_info gone;
	char which[PEOPLE_ORG_ID_SIZE];
	enum err_code rc = owner_of(who, true, &owner, e);

	copy_id(id, which);
	if (!rc)
		rc = byok_remove(keys, &owner, which, &gone, e);
	if (rc)
		return rc;
	note(who, "removed", &gone);
	buf_str(out, "{\"success\":true}\n");
	return ERR_OK;
}
