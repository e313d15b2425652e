#include "gateway/cache_key.h"
#include "gateway/providers/patch.h"

#include <inttypes.h>
#include <stdio.h>

/* RFC 9111 section 1.2.2: what is larger than can be represented counts as this. */
#define AGE_MAX_S (INT64_C(1) << 31)

/* The younger wish of two: what is asked for most cautiously counts. */
static void take_least(int64_t *wish_ms, int64_t ms)
{
	if (*wish_ms < 0 || ms < *wish_ms)
		*wish_ms = ms;
}

static enum err_code take_ttl(
	struct cache_wish *w, const char *param, int64_t ms, int64_t max_ttl_ms, struct err *e)
{
	if (ms < 0 || ms > max_ttl_ms)
		return err_param(e, ERR_BAD_REQUEST, param,
			"%s: a ttl is from 0 to %" PRId64
			" seconds, the longest that GATEWAY_CACHE_TTL may be",
			param, max_ttl_ms / 1000);
	take_least(&w->ttl_ms, ms);
	w->no_store |= ms == 0;
	return ERR_OK;
}

/* ---- Cache-Control ---- */

/* The next of several directives, parted by commas outside of quotes; name is then trimmed, value
 * without its quotes. RFC 9110 section 5.6.1: empty ones are passed over. */
static bool next_directive(struct slice *rest, struct slice *name, struct slice *value)
{
	while (rest->len) {
		struct slice one;
		bool quoted = false;
		size_t n = 0;

		for (; n < rest->len && (quoted || rest->ptr[n] != ','); n++) {
			if (rest->ptr[n] == '"')
				quoted = !quoted;
			else if (quoted && rest->ptr[n] == '\\' && n + 1 < rest->len)
				n++;
		}
		one = slice_first(*rest, n);
		*rest = slice_from(*rest, n + 1);
		*name = slice_trim(slice_cut(&one, '='));
		*value = slice_trim(one);
		if (value->len >= 2 && value->ptr[0] == '"' && value->ptr[value->len - 1] == '"')
			*value = (struct slice){ value->ptr + 1, value->len - 2 };
		if (name->len)
			return true;
	}
	return false;
}

/* Whole seconds; more than there can be counts as the most. */
static bool read_age(struct slice text, int64_t *ms)
{
	int64_t seconds = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
		seconds = seconds * 10 + (text.ptr[i] - '0');
		if (seconds > AGE_MAX_S)
			seconds = AGE_MAX_S;
	}
	*ms = seconds * 1000;
	return text.len > 0;
}

static enum err_code read_control(struct slice rest, struct cache_wish *w, struct err *e)
{
	struct slice name, value;
	int64_t ms;

	while (next_directive(&rest, &name, &value)) {
		if (slice_is_nocase(name, "no-cache")) {
			w->refresh = true;
		} else if (slice_is_nocase(name, "no-store")) {
			w->no_store = true;
		} else if (slice_is_nocase(name, "only-if-cached")) {
			w->only_if_cached = true;
		} else if (slice_is_nocase(name, "max-age")) {
			if (!read_age(value, &ms))
				return err_param(e, ERR_BAD_REQUEST, "Cache-Control",
					"Cache-Control: max-age needs a number of seconds, as in "
					"max-age=60");
			take_least(&w->max_age_ms, ms);
		}
	}
	return ERR_OK;
}

/* ---- x-gateway-cache ---- */

static enum err_code read_own(
	struct slice rest, int64_t max_ttl_ms, struct cache_wish *w, struct err *e)
{
	static const char header[] = "x-gateway-cache";
	struct slice name, value;
	enum err_code rc = ERR_OK;
	int64_t ms;

	while (!rc && next_directive(&rest, &name, &value)) {
		bool is_ttl = slice_is_nocase(name, "ttl");

		if (is_ttl && str_duration(value, &ms))
			rc = take_ttl(w, header, ms, max_ttl_ms, e);
		else if (!is_ttl && !value.len && slice_is_nocase(name, "skip"))
			w->skip = true;
		else if (!is_ttl && !value.len && slice_is_nocase(name, "refresh"))
			w->refresh = true;
		else
			rc = err_param(e, ERR_BAD_REQUEST, header,
				"%s takes skip, refresh and ttl=DURATION (as ttl=90s or ttl=2h), "
				"several by commas",
				header);
	}
	return rc;
}

/* ---- the body's member of peers ---- */

static const char accepted[] =
	"cache takes true, false, or an object of no-cache, no-store and use-cache (true or "
	"false), "
	"ttl, s-maxage and max_age (seconds), and mode (\"simple\" or \"semantic\")";

static enum err_code refuse(struct slice key, struct err *e)
{
	char name[32], param[ERR_PARAM_SIZE] = "cache";

	if (json_str_copy((struct json_value){ JSON_STRING, key }, name, sizeof(name)) && name[0])
		snprintf(param, sizeof(param), "cache.%s", name);
	return err_param(e, ERR_BAD_REQUEST, param, "%s", accepted);
}

static bool read_seconds(struct json_value v, int64_t *ms)
{
	int64_t seconds;

	if (!json_int(v, &seconds) || seconds < 0)
		return false;
	*ms = (seconds < AGE_MAX_S ? seconds : AGE_MAX_S) * 1000;
	return true;
}

static enum err_code read_member(struct slice key, struct json_value v, int64_t max_ttl_ms,
	struct cache_wish *w, struct err *e)
{
	int64_t ms;

	if (v.kind == JSON_NULL)
		return ERR_OK;
	if (json_str_is(key, "no-cache") && v.kind == JSON_BOOL)
		w->refresh |= json_is_true(v);
	else if (json_str_is(key, "no-store") && v.kind == JSON_BOOL)
		w->no_store |= json_is_true(v);
	else if (json_str_is(key, "use-cache") && v.kind == JSON_BOOL)
		w->skip |= !json_is_true(v);
	else if (json_str_is(key, "ttl") && read_seconds(v, &ms))
		return take_ttl(w, "cache.ttl", ms, max_ttl_ms, e);
	else if ((json_str_is(key, "s-maxage") || json_str_is(key, "max_age")) &&
		 read_seconds(v, &ms))
		take_least(&w->max_age_ms, ms);
	else if (json_str_is(key, "mode") && json_str_is(v.raw, "simple"))
		w->no_semantic = true;
	else if (!json_str_is(key, "mode") || !json_str_is(v.raw, "semantic"))
		return refuse(key, e);
	return ERR_OK;
}

static enum err_code read_field(
	struct json_value cache, int64_t max_ttl_ms, struct cache_wish *w, struct err *e)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;
	enum err_code rc = ERR_OK;

	if (cache.kind == JSON_ABSENT || cache.kind == JSON_NULL)
		return ERR_OK;
	if (cache.kind == JSON_BOOL) {
		w->skip |= !json_is_true(cache);
		return ERR_OK;
	}
	if (cache.kind != JSON_OBJECT)
		return refuse(SLICE(""), e);
	json_iter_init(&it, cache);
	while (!rc && json_iter_next(&it, &key, &v))
		rc = read_member(key, v, max_ttl_ms, w, e);
	return rc;
}

enum err_code cache_wish_read(const char *cache_control, const char *x_gateway_cache,
	struct json_value cache, int64_t max_ttl_ms, struct cache_wish *out, struct err *e)
{
	struct cache_wish w = { .max_age_ms = -1, .ttl_ms = -1 };
	enum err_code rc = read_control(slice_of(cache_control), &w, e);

	if (!rc)
		rc = read_own(slice_of(x_gateway_cache), max_ttl_ms, &w, e);
	if (!rc)
		rc = read_field(cache, max_ttl_ms, &w, e);
	*out = rc ? (struct cache_wish){ .max_age_ms = -1, .ttl_ms = -1 } : w;
	return rc;
}

void cache_wish_remove(const struct chat_req *req, struct buf *out)
{
	const struct json_value body = { JSON_OBJECT, req->body };
	struct patch p = { .out = out, .done = req->body.ptr };
	struct patch_list list;
	struct json_iter it;
	struct json_value v;
	struct slice key;

	patch_list_begin(&list, body);
	json_iter_init(&it, body);
	while (json_iter_next(&it, &key, &v)) {
		if (json_str_is(key, "cache"))
			patch_list_drop(&list);
		else
			patch_list_keep(&p, &list, key, v);
	}
	patch_list_end(&p, &list);
	patch_end(&p, req->body);
}
