#include "gateway/byok.h"

#include "base/crypto.h"

#include <stdio.h>

bool byok_owner_of(const struct identity *who, struct byok_owner *out)
{
	*out = (struct byok_owner){ .kind = who->org ? BYOK_ORG : BYOK_USER };
	if (!who->key)
		return false;
	str_copy_cut(out->id, sizeof(out->id), who->org ? who->org->id : who->user.id);
	return out->id[0];
}

/* ---- finding ---- */

static enum err_code cannot(struct err *e, const struct byok_name *n, const char *why)
{
	enum err_code rc = err_param(e, ERR_MODEL_UNAVAILABLE, "model",
		"[BYOK] your key for %s (%s) cannot be used: %s", n->name, n->id, why);

	if (e)
		str_copy_cut(e->reason, sizeof(e->reason), "BYOK_NOT_USABLE");
	return rc;
}

/* Does a list of providers, empty for all, have this one by slug or alias? */
static bool is_listed(const char *list, const struct catalog_provider *p)
{
	struct slice rest = slice_of(list);
	bool is_empty = true;

	while (rest.len) {
		struct slice slug = slice_trim(slice_cut(&rest, ','));

		if (!slug.len)
			continue;
		is_empty = false;
		if (slice_is_nocase(slug, p->slug))
			return true;
		for (const char *const *a = p->aliases; a && *a; a++)
			if (slice_is_nocase(slug, *a))
				return true;
	}
	return is_empty;
}

/* A member of a key that is JSON, one text behind the other in parts. */
static bool take_part(struct byok_use *u, struct json_value o, const char *name, size_t *at)
{
	*at = u->parts.len;
	if (!json_str_decode(json_get(o, name), &u->parts))
		return false;
	buf_char(&u->parts, '\0');
	return buf_ok(&u->parts);
}

/* What stands in a hole of an address, such as "{region}". */
struct place {
	const char *hole, *text;
};

/* Which places they are stands in the key, where they belong in the address is the operator's word.
 * An address without holes is the operator's altogether. */
static bool put_places(struct byok_use *u, struct route *r, const struct place *places, size_t n)
{
	const char *url =
		r->provider->url_template ? r->provider->url_template : r->target.base_url;
	char *text;

	u->base_url.max_bytes = URL_MAX_SIZE - 1;
	while (*url) {
		size_t i = 0;

		while (i < n && strncmp(url, places[i].hole, strlen(places[i].hole)) != 0)
			i++;
		if (i < n) {
			buf_str(&u->base_url, places[i].text);
			url += strlen(places[i].hole);
		} else {
			buf_char(&u->base_url, *url++);
		}
	}
	text = buf_cstr(&u->base_url);
	if (text)
		r->target.base_url = text;
	return text != NULL;
}

static enum err_code use_bedrock(
	struct byok_use *u, const struct byok_name *n, struct route *r, struct err *e)
{
	struct json_value o = { JSON_OBJECT, buf_slice(&u->secret) };
	size_t id, secret, region, token;

	if (!r->target.provider->sigv4_service)
		return cannot(e, n, "this gateway does not sign requests to it");
	/* Room for all at once: a buffer that moves leaves a copy behind. */
	if (!buf_room(&u->parts, u->secret.len + 8) || !take_part(u, o, "accessKeyId", &id) ||
		!take_part(u, o, "secretAccessKey", &secret) || !take_part(u, o, "region", &region))
		return cannot(e, n, "it is not {\"accessKeyId\",\"secretAccessKey\",\"region\"}");
	if (!take_part(u, o, "sessionToken", &token)) {
		token = u->parts.len;
		buf_char(&u->parts, '\0');
	}
	u->sigv4 = (struct sigv4_keys){ .id = u->parts.data + id,
		.secret = u->parts.data + secret,
		.session_token = u->parts.data + token,
		.region = u->parts.data + region };
	if (!buf_ok(&u->parts) ||
		!put_places(u, r, &(struct place){ "{region}", u->sigv4.region }, 1))
		return cannot(e, n, "its region does not fit into the address");
	r->target.sigv4 = &u->sigv4;
	r->target.auth = "sigv4";
	r->target.api_key = "";
	return ERR_OK;
}

/* A deployment of the caller's own may have another name than the model. */
static enum err_code use_azure(
	struct byok_use *u, const struct byok_name *n, struct route *r, struct err *e)
{
	struct json_value o = { JSON_OBJECT, buf_slice(&u->secret) };
	struct json_value deployment = json_get(json_get(o, "modelMappings"), r->target.native_id);
	size_t key, resource;

	if (!buf_room(&u->parts, u->secret.len + 8) || !take_part(u, o, "apiKey", &key) ||
		!take_part(u, o, "resourceName", &resource))
		return cannot(e, n, "it is not {\"apiKey\",\"resourceName\"}");
	if (!put_places(u, r, &(struct place){ "{resource}", u->parts.data + resource }, 1))
		return cannot(e, n, "its resource does not fit into the address");
	if (deployment.kind == JSON_STRING) {
		if (!json_str_copy(deployment, r->native_id, sizeof(r->native_id)))
			return cannot(
				e, n, "a deployment in its modelMappings has too long a name");
		r->target.native_id = r->native_id;
	}
	r->target.api_key = u->parts.data + key;
	return ERR_OK;
}

/* An account as its own file would describe it. Where its tokens come from is nobody's choice. */
static bool write_account(struct byok_use *u, struct json_value credentials, size_t *at)
{
	*at = u->parts.len;
	buf_str(&u->parts, "{\"type\":\"service_account\",\"token_uri\":"
			   "\"https://oauth2.googleapis.com/token\",\"client_email\":");
	buf_slice_append(&u->parts, json_get(credentials, "clientEmail").raw);
	buf_str(&u->parts, ",\"private_key\":");
	buf_slice_append(&u->parts, json_get(credentials, "privateKey").raw);
	buf_append(&u->parts, "}", 2); /* with its NUL */
	return buf_ok(&u->parts);
}

static enum err_code use_vertex(
	struct byok_use *u, const struct byok_name *n, struct route *r, struct err *e)
{
	struct json_value o = { JSON_OBJECT, buf_slice(&u->secret) };
	size_t project, location, account;
	char host[80];

	if (!buf_room(&u->parts, u->secret.len + 256) || !take_part(u, o, "project", &project) ||
		!take_part(u, o, "location", &location) ||
		!write_account(u, json_get(o, "googleCredentials"), &account))
		return cannot(e, n, "it is not {\"project\",\"location\",\"googleCredentials\"}");
	const char *where = u->parts.data + location;
	const struct place places[] = { { "{project}", u->parts.data + project },
		{ "{location}", where }, { "{location-}", host } };

	/* The world's endpoint has no name in front. */
	snprintf(host, sizeof(host), "%s%s", strcmp(where, "global") == 0 ? "" : where,
		strcmp(where, "global") == 0 ? "" : "-");
	if (!put_places(u, r, places, sizeof(places) / sizeof(places[0])))
		return cannot(e, n, "its project does not fit into the address");
	r->target.account_json = u->parts.data + account;
	r->target.auth = "service-account";
	r->target.api_key = "";
	return ERR_OK;
}

static enum err_code use(
	struct byok_use *u, const struct byok_name *n, struct route *r, struct err *e)
{
	r->target.sigv4 = NULL;
	r->target.account_file = NULL;
	r->free = false;
	if (n->shape == BYOK_BEDROCK)
		return use_bedrock(u, n, r, e);
	if (n->shape == BYOK_AZURE)
		return use_azure(u, n, r, e);
	if (n->shape == BYOK_VERTEX)
		return use_vertex(u, n, r, e);
	r->target.api_key = buf_cstr(&u->secret);
	if (!r->target.api_key)
		return err_set(e, ERR_NO_MEMORY, "no memory for a provider key");
	if (strcmp(r->target.auth, "none") == 0)
		r->target.auth = "bearer";
	return ERR_OK;
}

static enum err_code lead_to(struct byok_use *u, const struct catalog *c, const char *providers,
	const struct byok_candidate *by, const char *model, struct route *r, struct err *e)
{
	const struct catalog_provider *p = catalog_provider_find(c, slice_of(by->name->slug));
	struct slice name = slice_trim(slice_of(by->model));
	enum err_code rc;

	if (!p)
		return cannot(e, by->name, "the operator has not set up this provider");
	if (!is_listed(providers, p))
		return cannot(e, by->name, "the operator leaves this provider out");
	rc = route_at(c, model, p, name, by->is_native, r, e);
	return rc ? rc : use(u, by->name, r, e);
}

enum err_code byok_route(struct byok *keys, const struct catalog *c, const char *providers,
	const struct identity *who, const char *model, struct route *r, struct byok_use *u,
	struct err *e)
{
	struct byok_candidate by[BYOK_CANDIDATES];
	const char *names[BYOK_CANDIDATES];
	struct byok_owner owner;
	size_t n, which;
	enum err_code rc;

	*u = (struct byok_use){ .used = false };
	if (!byok_owner_of(who, &owner))
		return ERR_OK;
	n = byok_name_candidates(c, model, by);
	for (size_t i = 0; i < n; i++)
		names[i] = by[i].name->id;
	u->secret.max_bytes = BYOK_SECRET_MAX;
	rc = byok_secret(keys, &owner, names, n, &which, &u->info, &u->secret, e);
	if (rc)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	u->used = true;
	return lead_to(u, c, providers, &by[which], model, r, e);
}

void byok_use_fini(struct byok_use *u)
{
	crypto_wipe(u->secret.data, u->secret.len);
	crypto_wipe(u->parts.data, u->parts.len);
	buf_fini(&u->secret);
	buf_fini(&u->parts);
	buf_fini(&u->base_url);
	*u = (struct byok_use){ .used = false };
}

/* ---- refusals ---- */

void byok_explain(int upstream_status, struct err *e)
{
	const char *what = NULL;
	struct err said = *e;

	if (upstream_status == 401)
		what = "your own key is invalid there or was revoked: replace it";
	else if (upstream_status == 402)
		what = "your own account there is out of funds: add some with that provider";
	else if (upstream_status == 403)
		what = "your own key lacks the permission for this there";
	else if (upstream_status == 429)
		what = "your own key has reached the provider's rate limit: try again later";
	if (!what)
		return;
	/* For the operator's own keys the rest of the message says other things. */
	(void)!err_set(e, ERR_BYOK, "[BYOK] %s: %s", said.provider, what);
	e->status = upstream_status;
	e->upstream_status = upstream_status;
	e->retry = upstream_status == 429 ? 1 : -1;
	e->retry_after_ms = said.retry_after_ms;
	memcpy(e->provider, said.provider, sizeof(e->provider));
	memcpy(e->provider_code, said.provider_code, sizeof(e->provider_code));
}
