#include "base/sigv4.h"
#include "gateway/catalog_data.h"
#include "gateway/vertex.h"

#define NAMES_MAX 1024 /* bytes of what is missing, in words */

/* ---- addresses with places ---- */

static bool is_value(struct slice value)
{
	for (size_t i = 0; i < value.len; i++) {
		char c = value.ptr[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
			(!c || !strchr("._:-", c)))
			return false;
	}
	return value.len > 0 && value.len <= 128;
}

bool catalog_fill_url(const char *url, const char *place, struct slice value, struct buf *out)
{
	struct slice rest = slice_of(url), name;

	if (!is_value(value))
		return false;
	while (rest.len) {
		const char *open = memchr(rest.ptr, '{', rest.len);
		const char *close = open ? strchr(open, '}') : NULL;

		if (!close) {
			buf_slice_append(out, rest);
			break;
		}
		name = (struct slice){ open + 1, (size_t)(close - open) - 1 };
		buf_append(out, rest.ptr, (size_t)(open - rest.ptr));
		rest = slice_from(rest, (size_t)(close - rest.ptr) + 1);
		if (slice_is(name, place)) {
			buf_slice_append(out, value);
		} else if (slice_ends(name, "-") &&
			   slice_is(slice_first(name, name.len - 1), place)) {
			if (!slice_is(value, "global")) {
				buf_slice_append(out, value);
				buf_char(out, '-');
			}
		} else {
			buf_append(out, open, (size_t)(close - open) + 1);
		}
	}
	return true;
}

/* The first of these variables that is set; *variable is then its name, else the first name. */
static const char *value_of(
	const struct conf *conf, const char *const *names, const char **variable)
{
	for (const char *const *name = names; *name; name++) {
		const char *value = conf_text(conf, *name);

		*variable = *name;
		if (value)
			return value;
	}
	*variable = names[0];
	return NULL;
}

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for the providers' addresses");
}

/* Names one more thing that is missing. */
static void add_name(struct buf *missing, const char *name)
{
	buf_str(missing, missing->len ? " and " : "");
	buf_str(missing, name);
}

static enum err_code fill_place(struct catalog *c, struct catalog_provider *p, const char *place,
	const char *variable, const char *value, struct err *e)
{
	struct buf url = { .max_bytes = 2 * CATALOG_URL_MAX };
	bool good = catalog_fill_url(p->base_url, place, slice_trim(slice_of(value)), &url);
	char *text = good && buf_ok(&url) ? catalog_keep_text(c, buf_slice(&url)) : NULL;

	buf_fini(&url);
	if (!good)
		return err_param(e, ERR_CONF, variable,
			"%s: 1 to 128 letters, digits and . _ : - are accepted", variable);
	if (!text)
		return no_memory(e);
	p->base_url = text;
	return ERR_OK;
}

static enum err_code fill_places(
	struct catalog *c, const struct conf *conf, size_t i, struct buf *missing, struct err *e)
{
	struct catalog_provider *p = &c->providers[i];
	const struct catalog_provider_more *more = &c->providers_more[i];
	enum err_code rc = ERR_OK;
	const char *why;

	if (!more->place_count || !strchr(p->base_url, '{'))
		return ERR_OK;
	p->url_template = p->base_url;
	for (size_t k = 0; k < more->place_count; k++) {
		const struct catalog_place *place = &more->places[k];
		const char *variable, *value = value_of(conf, place->variables, &variable);

		if (!value)
			add_name(missing, variable);
		else if (!rc)
			rc = fill_place(c, p, place->name, variable, value, e);
	}
	if (!rc && !missing->len && !catalog_url_is_good(slice_of(p->base_url), &why))
		return err_set(e, ERR_CONF, "%s: the address %s", p->slug, why);
	return rc;
}

/* ---- credentials ---- */

static const char *region_of(const struct catalog *c, const struct conf *conf, size_t i)
{
	const struct catalog_provider_more *more = &c->providers_more[i];
	const char *variable, *value = NULL;

	for (size_t k = 0; k < more->place_count; k++)
		if (strcmp(more->places[k].name, "region") == 0)
			value = value_of(conf, more->places[k].variables, &variable);
	return value && is_value(slice_of(value)) ? value : NULL;
}

/* The customary names of Amazon's tools. */
static enum err_code find_sigv4(
	struct catalog *c, const struct conf *conf, size_t i, struct buf *missing, struct err *e)
{
	enum { ID, SECRET, SESSION };
	static const char *const names[] = { "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
		"AWS_SESSION_TOKEN" };
	struct catalog_provider *p = &c->providers[i];
	const char *region = region_of(c, conf, i), *v[3];
	struct sigv4_keys *keys;
	enum err_code rc = ERR_OK;

	for (size_t k = 0; !rc && k < 3; k++) {
		v[k] = conf_text(conf, names[k]);
		rc = v[k] ? catalog_check_key(names[k], v[k], e) : ERR_OK;
	}
	if (rc)
		return rc;
	if (!v[ID] && !v[SECRET]) {
		buf_printf(missing, "%s%s (or %s and %s)", missing->len ? " and " : "",
			p->key_names, names[ID], names[SECRET]);
		return ERR_OK;
	}
	if (!v[ID] || !v[SECRET])
		add_name(missing, names[v[ID] ? SECRET : ID]);
	/* Where the URL has a place for it, it is missing there already. */
	if (!region && !p->url_template)
		add_name(missing, "AWS_REGION");
	if (missing->len)
		return ERR_OK;
	keys = catalog_keep(c, sizeof(*keys));
	if (!keys)
		return no_memory(e);
	*keys = (struct sigv4_keys){ v[ID], v[SECRET], v[SESSION] ? v[SESSION] : "", region };
	p->sigv4 = keys;
	return ERR_OK;
}

static void find_account(struct catalog_provider *p, const struct conf *conf, struct buf *missing)
{
	p->account_file = conf_text(conf, VERTEX_VARIABLE);
	if (!p->account_file)
		buf_printf(missing, "%s%s (or %s)", missing->len ? " and " : "", VERTEX_VARIABLE,
			p->key_names);
}

enum err_code catalog_apply_cloud(
	struct catalog *c, const struct conf *conf, size_t i, bool *complete, struct err *e)
{
	struct catalog_provider *p = &c->providers[i];
	struct buf missing = { .max_bytes = NAMES_MAX };
	bool by_account = strcmp(p->auth, "service-account") == 0;
	enum err_code rc = fill_places(c, conf, i, &missing, e);

	if (!rc && p->api_key[0] && (by_account || strcmp(p->auth, "sigv4") == 0))
		p->auth = "bearer"; /* the easy way, where there is one */
	else if (!rc && strcmp(p->auth, "sigv4") == 0)
		rc = find_sigv4(c, conf, i, &missing, e);
	else if (!rc && by_account)
		find_account(p, conf, &missing);
	if (by_account) /* a token is sent like a key */
		p->auth = "bearer";
	*complete = !missing.len;
	if (!rc && missing.len) {
		const char *names = catalog_keep_text(c, buf_slice(&missing));

		p->key_names = names ? names : p->key_names;
	}
	buf_fini(&missing);
	return rc;
}
