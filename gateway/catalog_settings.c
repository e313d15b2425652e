#include "gateway/catalog_data.h"

#define KEY_MAX 8192 /* bytes of a provider's key */

void catalog_variable(const char *slug, const char *ending, char out[CATALOG_VARIABLE_MAX])
{
	size_t n = 0;

	for (; n < SLUG_MAX && slug[n]; n++) {
		char ch = slug[n];

		if (ch >= 'a' && ch <= 'z')
			ch = (char)(ch - 'a' + 'A');
		out[n] = (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ? ch : '_';
	}
	str_copy_cut(out + n, CATALOG_VARIABLE_MAX - n, ending);
}

/* ---- addresses ---- */

static bool port_is_good(struct slice port)
{
	int64_t n;

	return str_int(port, 1, 65535, &n);
}

/* host, host:port, [address] or [address]:port */
static bool authority_is_good(struct slice a)
{
	struct slice host, rest = { 0 };

	if (a.len && a.ptr[0] == '[') {
		const char *end = memchr(a.ptr, ']', a.len);

		if (!end || end == a.ptr + 1)
			return false;
		rest = slice_from(a, (size_t)(end - a.ptr) + 1);
		if (rest.len == 0)
			return true;
		return rest.ptr[0] == ':' && port_is_good(slice_from(rest, 1));
	}
	rest = a;
	host = slice_cut(&rest, ':');
	return host.len > 0 && (!rest.ptr || port_is_good(rest));
}

bool catalog_url_is_good(struct slice url, const char **why)
{
	struct slice rest;

	*why = "must begin with http:// or https://";
	if (slice_starts_nocase(url, "http://"))
		rest = slice_from(url, strlen("http://"));
	else if (slice_starts_nocase(url, "https://"))
		rest = slice_from(url, strlen("https://"));
	else
		return false;
	*why = "is too long: 512 bytes are accepted";
	if (url.len > CATALOG_URL_MAX)
		return false;
	*why = "holds a blank, a control character or a byte that is not ASCII";
	for (size_t i = 0; i < url.len; i++)
		if (url.ptr[i] <= 0x20 || url.ptr[i] >= 0x7f)
			return false;
	*why = "must have no query, fragment or backslash";
	for (size_t i = 0; i < url.len; i++)
		if (strchr("?#\\", url.ptr[i]))
			return false;
	rest = slice_cut(&rest, '/');
	*why = "must have no user name or password";
	if (memchr(rest.ptr ? rest.ptr : "", '@', rest.len))
		return false;
	*why = "has no host, or a port that is not 1 to 65535";
	return authority_is_good(rest);
}

/* The part of a URL from the path's slash; empty when there is none. */
static struct slice path_of(struct slice url)
{
	const char *host = memmem(url.ptr, url.len, "://", 3);
	struct slice rest = host ? slice_from(url, (size_t)(host - url.ptr) + 3) : url;
	const char *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;

	return slash ? slice_from(rest, (size_t)(slash - rest.ptr)) : slice_from(url, url.len);
}

static struct slice without_slashes(struct slice url)
{
	while (url.len && url.ptr[url.len - 1] == '/')
		url.len--;
	return url;
}

static enum err_code set_url(struct catalog *c, struct catalog_provider *p, const char *variable,
	struct slice url, struct err *e)
{
	const char *why;

	if (!catalog_url_is_good(url, &why))
		return err_param(e, ERR_CONF, variable, "%s: the address %s", variable, why);
	p->base_url = catalog_keep_text(c, without_slashes(url));
	if (!p->base_url)
		return err_set(e, ERR_NO_MEMORY, "no memory for the providers' addresses");
	return ERR_OK;
}

/* A server's own host variable ("OLLAMA_HOST") is laxer than a URL: scheme, port and path may
 * be missing, and the address to listen on stands for the address to dial. What is missing
 * comes from the file's URL. */
static enum err_code set_host(struct catalog *c, struct catalog_provider *p,
	const struct catalog_provider_more *more, const char *value, struct err *e)
{
	struct buf url = { .max_bytes = 2 * CATALOG_URL_MAX };
	struct slice text = slice_trim(slice_of(value)), rest, host,
		     file = slice_of(more->file_url);
	bool has_scheme =
		slice_starts_nocase(text, "http://") || slice_starts_nocase(text, "https://");
	struct slice path = path_of(text), file_path = path_of(file), authority;
	enum err_code rc;

	path = without_slashes(path);
	authority = slice_first(text, text.len - path_of(text).len);
	if (!has_scheme) {
		bool bracket = authority.len && authority.ptr[0] == '[';

		buf_str(&url, "http://");
		rest = authority;
		host = bracket ? authority : slice_cut(&rest, ':');
		if (host.len == 0 || slice_is(host, "0.0.0.0"))
			host = SLICE("127.0.0.1");
		buf_slice_append(&url, host);
		if (!bracket && rest.ptr) {
			buf_char(&url, ':');
			buf_slice_append(&url, rest);
		} else if (!bracket || authority.ptr[authority.len - 1] == ']') {
			struct slice port = slice_first(file, file.len - file_path.len);

			for (int i = 0; i < 2; i++)
				slice_cut(&port, ':'); /* "http:" and "//localhost:" */
			buf_char(&url, ':');
			buf_slice_append(&url, port);
		}
	} else {
		buf_slice_append(&url, authority);
	}
	buf_slice_append(&url, path.len ? path : file_path);
	rc = buf_ok(&url) ? set_url(c, p, more->host_variable, buf_slice(&url), e)
			  : err_param(e, ERR_CONF, more->host_variable,
				    "%s: the address is too long", more->host_variable);
	buf_fini(&url);
	return rc;
}

static enum err_code apply_address(
	struct catalog *c, const struct conf *conf, size_t i, bool *is_named, struct err *e)
{
	struct catalog_provider *p = &c->providers[i];
	const struct catalog_provider_more *more = &c->providers_more[i];
	char variable[CATALOG_VARIABLE_MAX];
	const char *value;

	*is_named = true;
	catalog_variable(p->slug, "_BASE_URL", variable);
	value = conf_text(conf, variable);
	if (value && more->host_variable) {
		const char *why;

		/* As people write it for the server's own clients: without the path. */
		if (!catalog_url_is_good(slice_of(value), &why))
			return err_param(
				e, ERR_CONF, variable, "%s: the address %s", variable, why);
		return set_host(c, p, more, value, e);
	}
	if (value)
		return set_url(c, p, variable, slice_of(value), e);
	value = more->host_variable ? conf_text(conf, more->host_variable) : NULL;
	if (value)
		return set_host(c, p, more, value, e);
	*is_named = false;
	return ERR_OK;
}

/* ---- keys and dialects ---- */

enum err_code catalog_check_key(const char *variable, const char *key, struct err *e)
{
	size_t n = strlen(key);

	for (size_t i = 0; i < n; i++)
		if (key[i] <= 0x20 || key[i] >= 0x7f)
			return err_param(e, ERR_CONF, variable,
				"%s: a key has printable ASCII without blanks only", variable);
	if (n > KEY_MAX)
		return err_param(
			e, ERR_CONF, variable, "%s: a key has at most %d bytes", variable, KEY_MAX);
	return ERR_OK;
}

static enum err_code take_key(
	const struct conf *conf, struct catalog_provider *p, const char *variable, struct err *e)
{
	const char *key = conf_text(conf, variable);

	if (!key || p->api_key[0])
		return ERR_OK;
	p->api_key = key;
	return catalog_check_key(variable, key, e);
}

/* A provider of the file without authentication reads only the names of its row: OLLAMA_API_KEY is
 * the key of Ollama's cloud and must not go to a machine in the house. */
static enum err_code apply_key(struct catalog *c, const struct conf *conf, size_t i, struct err *e)
{
	struct catalog_provider *p = &c->providers[i];
	const char *const *name = c->providers_more[i].keys;
	char variable[CATALOG_VARIABLE_MAX];
	enum err_code rc = ERR_OK;

	catalog_variable(p->slug, "_API_KEY", variable);
	if (!name || !c->providers_more[i].keyless)
		rc = take_key(conf, p, variable, e);
	for (; !rc && name && *name; name++)
		rc = take_key(conf, p, *name, e);
	if (!rc && p->api_key[0] && strcmp(p->auth, "none") == 0)
		p->auth = "bearer";
	return rc;
}

/* Where and how a dialect is spoken, unless a provider's row knows better. */
static const struct way {
	const char *dialect, *chat_path, *models_path, *auth;
} ways[] = { { "openai", "/chat/completions", "/models", "bearer" },
	{ "anthropic", "/messages", "/models", "x-api-key" },
	{ "gemini", "/models/{id}:generateContent", "/models", "x-goog-api-key" },
	{ "bedrock", "/model/{id}/converse", "", "bearer" } };

/* The settings say another dialect than the row, or there is no row. */
static void take_way(struct catalog_provider *p, struct catalog_provider_more *more)
{
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (strcmp(ways[i].dialect, p->dialect) == 0) {
			p->chat_path = ways[i].chat_path;
			more->list_path = p->models_path = ways[i].models_path;
			if (p->api_key[0])
				p->auth = ways[i].auth;
		}
}

static enum err_code apply_dialect(
	struct catalog *c, const struct conf *conf, size_t i, struct err *e)
{
	struct catalog_provider *p = &c->providers[i];
	const char *dialect = p->dialect, *value;
	char variable[CATALOG_VARIABLE_MAX];

	catalog_variable(p->slug, "_DIALECT", variable);
	value = conf_text(conf, variable);
	if (value)
		p->dialect = value;
	p->provider = provider_named(p->dialect);
	if (value && !p->provider)
		return err_param(e, ERR_CONF, variable,
			"%s: this build does not speak \"%.40s\"; openai, anthropic, gemini and "
			"bedrock are dialects",
			variable, value);
	if (strcmp(p->dialect, dialect) != 0)
		take_way(p, &c->providers_more[i]);
	return ERR_OK;
}

/* The names of a provider's key, for messages. */
static enum err_code name_keys(struct catalog *c, size_t i, struct err *e)
{
	struct catalog_provider *p = &c->providers[i];
	const char *const *names = c->providers_more[i].keys;
	char variable[CATALOG_VARIABLE_MAX];
	struct buf text = { .max_bytes = 4096 };
	size_t n = 0;

	for (; names && names[n]; n++) {
		buf_str(&text, n ? "," : "");
		buf_str(&text, names[n]);
	}
	if (n == 1) {
		p->key_names = names[0];
	} else if (n == 0) {
		catalog_variable(p->slug, "_API_KEY", variable);
		p->key_names = catalog_keep_text(c, slice_of(variable));
	} else {
		p->key_names = buf_ok(&text) ? catalog_keep_text(c, buf_slice(&text)) : NULL;
	}
	buf_fini(&text);
	if (!p->key_names)
		return err_set(e, ERR_NO_MEMORY, "no memory for the names of keys");
	return ERR_OK;
}

/* ---- GATEWAY_PROVIDERS ---- */

static bool slug_is_good(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", s.ptr[i]) || !s.ptr[i])
			return false;
	return s.len > 0 && s.len < SLUG_MAX;
}

static enum err_code add_provider(
	struct catalog *c, const struct conf *conf, struct slice slug, struct err *e)
{
	struct catalog_provider *p = &c->providers[c->provider_count];
	char variable[CATALOG_VARIABLE_MAX];

	if (!slug_is_good(slug))
		return err_param(e, ERR_CONF, "GATEWAY_PROVIDERS",
			"GATEWAY_PROVIDERS: \"%.*s\" is no name of a provider: 1 to %d of a-z 0-9 "
			"- _ .",
			(int)(slug.len > 40 ? 40 : slug.len), slug.ptr, SLUG_MAX - 1);
	if (c->provider_count == CATALOG_PROVIDERS_MAX)
		return err_param(e, ERR_CONF, "GATEWAY_PROVIDERS",
			"GATEWAY_PROVIDERS: more than %d providers", CATALOG_PROVIDERS_MAX);
	p->slug = catalog_keep_text(c, slug);
	if (!p->slug)
		return err_set(e, ERR_NO_MEMORY, "no memory for GATEWAY_PROVIDERS");
	catalog_variable(p->slug, "_BASE_URL", variable);
	if (!conf_text(conf, variable))
		return err_param(e, ERR_CONF, variable,
			"GATEWAY_PROVIDERS: \"%s\" is not in the catalogue: set %s to its address",
			p->slug, variable);
	p->name = p->slug;
	p->base_url = "";
	p->chat_path = "/chat/completions";
	p->models_path = "/models";
	p->auth = "none";
	p->dialect = "openai";
	p->api_key = "";
	c->providers_more[c->provider_count] = (struct catalog_provider_more){
		.file_url = "", .keyless = true, .list_path = p->models_path, .list_url = ""
	};
	c->provider_count++;
	return ERR_OK;
}

static enum err_code read_list(
	struct catalog *c, const struct conf *conf, bool *is_listed, bool *restricts, struct err *e)
{
	struct slice rest = slice_of(conf_str(conf, CONF_PROVIDERS));
	enum err_code rc = ERR_OK;

	*restricts = false;
	while (!rc && rest.len) {
		struct slice slug = slice_trim(slice_cut(&rest, ','));
		const struct catalog_provider *p;

		if (slug.len == 0)
			continue;
		*restricts = true;
		p = catalog_provider_find(c, slug);
		if (!p) {
			rc = add_provider(c, conf, slug, e);
			p = &c->providers[c->provider_count - 1];
		}
		if (!rc)
			is_listed[p - c->providers] = true;
	}
	return rc;
}

static enum err_code apply(
	struct catalog *c, const struct conf *conf, size_t i, bool is_listed, struct err *e)
{
	struct catalog_provider *p = &c->providers[i];
	bool has_address = false, complete = false;
	enum err_code rc = apply_address(c, conf, i, &has_address, e);

	if (!rc)
		rc = apply_key(c, conf, i, e);
	if (!rc)
		rc = apply_dialect(c, conf, i, e);
	if (!rc)
		rc = catalog_apply_cloud(c, conf, i, &complete, e);
	if (rc)
		return rc;
	if (is_listed && !p->provider)
		return err_param(e, ERR_CONF, "GATEWAY_PROVIDERS",
			"GATEWAY_PROVIDERS: this build does not speak the dialect \"%s\" of \"%s\"",
			p->dialect, p->slug);
	/* What is keyless by its row needs the operator's word that it is there. */
	if (c->providers_more[i].keyless)
		p->configured = has_address || is_listed;
	else
		p->configured = p->api_key[0] || p->sigv4 || p->account_file;
	p->configured = p->configured && complete && p->provider;
	return ERR_OK;
}

enum err_code catalog_apply_settings(struct catalog *c, const struct conf *conf, struct err *e)
{
	bool is_listed[CATALOG_PROVIDERS_MAX] = { false }, restricts, any = false;
	enum err_code rc = read_list(c, conf, is_listed, &restricts, e);
	int64_t demo = conf_int(conf, CONF_DEMO);

	for (size_t i = 0; !rc && i < c->provider_count; i++) {
		struct catalog_provider *p = &c->providers[i];

		p->quirks = quirks_of(p->slug);
		rc = name_keys(c, i, e);
		if (p->demo || rc) {
			p->provider = provider_named(p->dialect);
			continue;
		}
		if (!restricts || is_listed[i])
			rc = apply(c, conf, i, is_listed[i], e);
		else
			p->provider = provider_named(p->dialect);
		any = any || p->configured;
	}
	if (rc)
		return rc;
	c->demo_on = demo > 0 || (demo < 0 && !any);
	for (size_t i = 0; i < c->provider_count; i++)
		if (c->providers[i].demo)
			c->providers[i].configured = c->demo_on && c->providers[i].provider;
	return ERR_OK;
}
