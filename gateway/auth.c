#include "gateway/auth.h"

#include "gateway/org_token.h"

static enum err_code refuse(struct err *e, const char *why)
{
	enum err_code rc = err_set(e, ERR_UNAUTHENTICATED, "%s", why);

	if (e)
		str_copy_cut(e->reason, sizeof(e->reason), "INVALID_TOKEN");
	return rc;
}

/* What counts as a key in text; len 0 = none. */
static struct slice key_in(struct slice text)
{
	text = slice_trim(text);
	return slice_is_nocase(text, "anonymous") ? SLICE("") : text;
}

/* The key in a credential. false when the scheme is another one. */
static bool bearer(const char *header, struct slice *key)
{
	struct slice rest = slice_trim(slice_of(header)), scheme = slice_cut(&rest, ' ');

	*key = key_in(rest);
	return scheme.len == 0 || slice_is_nocase(scheme, "bearer");
}

enum err_code auth_check(struct keys *keys, const struct credentials *c, int64_t now_ms,
	struct caller *out, struct err *e)
{
	const char *headers[] = { c->authorization, c->redirect_authorization };
	const char *bare[] = { c->x_api_key, c->api_key };
	struct slice key = { "", 0 };
	bool other_scheme = false;
	enum keys_verdict verdict;
	enum err_code rc;

	*out = (struct caller){ .anonymous = true };
	if (c->repeated)
		return refuse(e, "the request carries more than one credential of the same name");
	/* Another scheme may be the web server's own affair while the key is elsewhere. */
	for (size_t i = 0; i < 2 && !key.len; i++)
		if (headers[i] && !bearer(headers[i], &key)) {
			other_scheme = true;
			key.len = 0;
		}
	for (size_t i = 0; i < 2 && !key.len; i++)
		if (bare[i])
			key = key_in(slice_of(bare[i]));
	if (!key.len && other_scheme)
		return refuse(e, "Authorization must be \"Bearer\" and an API key");
	if (!key.len)
		return ERR_OK;
	/* Web servers join repeated headers with a comma. */
	if (memchr(key.ptr, ',', key.len))
		return refuse(e, "the request carries more than one API key");
	if (token_is_likely(key)) {
		rc = org_token_check(keys, key, now_ms, &out->key, out->org, e);
		out->anonymous = rc != ERR_OK;
		return rc;
	}
	rc = keys_check_at(keys, key, now_ms, &verdict, &out->key, e);
	if (rc)
		return rc;
	switch (verdict) {
	case KEYS_VALID:
		out->anonymous = false;
		return ERR_OK;
	case KEYS_MALFORMED:
		return refuse(e, "this is not an API key of this gateway: is it complete and "
				 "without typing errors?");
	case KEYS_UNKNOWN:
	case KEYS_REVOKED:
		break;
	}
	return refuse(e, "this API key is unknown, has expired or was revoked");
}

enum err_code auth_identify(struct keys *keys, const struct caller *c, struct slice named_org,
	struct identity *out, struct err *e)
{
	if (c->anonymous) {
		*out = (struct identity){ .key = NULL };
		return ERR_OK;
	}
	return people_identify(
		keys_people(keys), &c->key, c->org[0] ? slice_of(c->org) : named_org, out, e);
}

enum err_code auth_may_use(
	const struct caller *c, bool model_is_free, const char *server_hint, struct err *e)
{
	enum err_code rc;

	if (!c->anonymous || model_is_free)
		return ERR_OK;
	rc = err_set(e, ERR_PAID_AUTH,
		"this model needs an API key: send \"Authorization: Bearer <key>\"%s%s",
		server_hint[0] ? "; " : "", server_hint);
	if (e)
		str_copy_cut(e->reason, sizeof(e->reason), "PAID_MODEL_AUTH_REQUIRED");
	return rc;
}
