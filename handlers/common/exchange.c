#include "handlers/common/exchange.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/ip.h"
#include "base/log_seldom.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define LISTING_AGE "public, max-age=60"

/* ---- the request's name ---- */

static bool is_request_id(const char *id)
{
	size_t n = id ? strlen(id) : 0;

	return n >= 1 && n <= 128 &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-") ==
		       n;
}

/* A name is a random number of the process and a count: unique without asking for randomness each
 * time. It is a name, not a secret. */
static struct {
	pthread_once_t once;
	uint8_t process[8];
	atomic_uint next;
} names = { .once = PTHREAD_ONCE_INIT };

static void seed_names(void)
{
	uint32_t first;

	crypto_random(names.process, sizeof(names.process));
	crypto_random(&first, sizeof(first));
	atomic_store(&names.next, first);
}

static void name_request(struct exchange *x)
{
	const char *theirs = request_header(x->rq, "X-Request-Id");
	uint8_t name[12];
	uint32_t n;

	pthread_once(&names.once, seed_names);
	n = atomic_fetch_add(&names.next, 1);
	memcpy(name, names.process, 8);
	memcpy(name + 8, &n, 4);
	memcpy(x->ledger_id, "req_", 4);
	crypto_hex(name, sizeof(name), x->ledger_id + 4);
	str_copy_cut(x->request_id, sizeof(x->request_id),
		is_request_id(theirs) ? theirs : x->ledger_id);
}

void exchange_init(struct exchange *x, const struct front *front, struct request *rq)
{
	*x = (struct exchange){
		.front = front,
		.rq = rq,
		.started_us = clock_mono_us(),
		.head = { .max_bytes = 3072 },
		.attempts = { .max_bytes = 1024 },
		.caller = { .anonymous = true },
	};
	if (front->catalogs) {
		x->copy = catalog_live_take(front->catalogs, x->started_us / 1000);
		x->catalog = x->copy->catalog;
	}
	x->has_address = ip_of_client(request_param(rq, "REMOTE_ADDR"),
		request_header(rq, "X-Forwarded-For"), conf_str(front->conf, CONF_TRUSTED_PROXIES),
		&x->address);
	name_request(x);
	head_add(&x->head, "X-Request-Id", x->request_id);
	if (front->spec->no_store)
		head_add(&x->head, "Cache-Control", "no-store");
}

/* ---- the log ---- */

static void log_name(struct buf *b, const char *name)
{
	buf_str(b, ",\"");
	buf_str(b, name);
	buf_str(b, "\":");
}

static void log_str(struct buf *b, const char *name, const char *value)
{
	log_name(b, name);
	buf_json_cstr(b, value && *value ? value : NULL);
}

static void log_int(struct buf *b, const char *name, int64_t value)
{
	log_name(b, name);
	buf_int(b, value);
}

void exchange_fini(struct exchange *x)
{
	struct buf line = { .max_bytes = 4096 };
	char client[IP_TEXT_SIZE], method[24];
	int64_t now_us = clock_mono_us();

	client[0] = '\0';
	if (x->has_address)
		ip_text(&x->address, client);
	(void)!buf_room(&line, 1024); /* all of it, most times */
	buf_str(&line, "\"request_id\":");
	buf_json_cstr(&line, x->request_id);
	log_str(&line, "key_id", x->caller.anonymous ? "anonymous" : x->caller.key.id);
	str_copy_cut(method, sizeof(method), request_method(x->rq)); /* the client's own words */
	log_str(&line, "method", method);
	log_str(&line, "model", x->model);
	if (x->auto_model.id)
		log_str(&line, "auto_model", x->auto_model.id);
	log_str(&line, "provider", x->provider);
	log_int(&line, "status", x->status);
	log_str(&line, "error", x->error ? err_name(x->error) : NULL);
	log_int(&line, "latency_ms", (now_us - x->started_us) / 1000);
	if (x->ttft_us)
		log_int(&line, "ttft_ms", (x->ttft_us - x->started_us) / 1000);
	else
		buf_str(&line, ",\"ttft_ms\":null");
	log_int(&line, "prompt_tokens", x->usage.prompt_tokens);
	log_int(&line, "completion_tokens", x->usage.completion_tokens);
	log_int(&line, "cost_microusd", x->cost_microusd);
	log_int(&line, "bytes_in", (int64_t)x->bytes_in);
	log_int(&line, "bytes_out", (int64_t)request_bytes_out(x->rq));
	buf_str(&line, x->stream ? ",\"stream\":true" : ",\"stream\":false");
	log_str(&line, "cache", x->cache);
	if (x->attempts.len) {
		log_name(&line, "attempts");
		buf_json_str(&line, buf_slice(&x->attempts));
	}
	log_str(&line, "client", client);
	log_object(x->status >= 500 ? LOG_WARN : LOG_INFO, buf_slice(&line));
	buf_fini(&line);
	buf_fini(&x->attempts);
	buf_fini(&x->head);
	identity_fini(&x->who);
	if (x->copy)
		catalog_live_drop(x->front->catalogs, x->copy);
}

void exchange_note(struct exchange *x, int status, enum err_code error)
{
	x->status = status;
	x->error = error;
}

/* ---- answers ---- */

int64_t exchange_patience_ms(const struct exchange *x)
{
	return conf_int(x->front->conf, CONF_CLIENT_STALL);
}

void exchange_text(struct exchange *x, int status, const char *content_type, struct slice text)
{
	struct sink_head head = {
		.status = status,
		.content_type = content_type,
		.extra = buf_slice(&x->head),
		.length = status == 204 || status == 304 ? -1 : (int64_t)text.len,
	};
	struct err e;
	enum err_code rc;

	request_done_reading(x->rq);
	rc = request_finish(x->rq, &head, &text, exchange_patience_ms(x), &e);
	exchange_note(x, status, rc ? rc : x->error);
}

void exchange_json(struct exchange *x, int status, struct slice json)
{
	exchange_text(x, status, "application/json", json);
}

/* What is wrong inside is the operator's to read: it names files. The client is told what it means.
 */
static bool is_internal(enum err_code code)
{
	return code == ERR_STORE || code == ERR_IO || code == ERR_CONF || code == ERR_RANGE;
}

static void hide(const struct exchange *x, const struct err *e, struct err *shown)
{
	log_seldom(LOG_ERROR, x->request_id, e->message, clock_mono_ms());
	*shown = *e;
	shown->param[0] = '\0';
	str_copy_cut(shown->message, sizeof(shown->message),
		e->code == ERR_STORE
			? "the gateway cannot read or write its books at present; its log says why"
			: "the gateway failed; its log says why");
}

void exchange_error(struct exchange *x, const struct err *e)
{
	struct err shown;
	struct buf json = { .max_bytes = 8192 };
	int status = err_status(e);
	int64_t wait_ms = e->retry_after_ms;
	char text[24];

	if (is_internal(e->code)) {
		hide(x, e, &shown);
		e = &shown;
	}
	if (!wait_ms && (e->code == ERR_BUSY || e->code == ERR_STORE))
		wait_ms = 1000;
	if (wait_ms > 0) {
		snprintf(text, sizeof(text), "%lld", (long long)((wait_ms + 999) / 1000));
		head_add(&x->head, "Retry-After", text);
		snprintf(text, sizeof(text), "%lld", (long long)wait_ms);
		head_add(&x->head, "retry-after-ms", text);
	}
	/* SDKs retry these by themselves unless told better (openai-chat.md section 10). */
	if (status == 408 || status == 409 || status == 429 || status >= 500)
		head_add(&x->head, "x-should-retry", err_may_retry(e) ? "true" : "false");
	if (e->code == ERR_UNAUTHENTICATED)
		head_add(&x->head, "WWW-Authenticate", "Bearer error=\"invalid_token\"");
	else if (e->code == ERR_PAID_AUTH)
		head_add(&x->head, "WWW-Authenticate", "Bearer");
	if (!x->front->spec->no_store)
		head_add(&x->head, "Cache-Control", "no-store");
	err_write_json(e, x->request_id, &json);
	buf_char(&json, '\n');
	x->error = e->code;
	exchange_json(x, status, buf_slice(&json));
	buf_fini(&json);
}

/* Does the header name this tag? RFC 9110 section 13.1.2: a list, weak comparison, or "*". */
static bool names_tag(const char *header, const char *tag)
{
	struct slice rest = slice_of(header ? header : "");

	while (rest.len) {
		struct slice entry = slice_trim(slice_cut(&rest, ','));

		if (slice_starts(entry, "W/"))
			entry = slice_from(entry, 2);
		if (slice_is(entry, tag) || slice_is(entry, "*"))
			return true;
	}
	return false;
}

void exchange_listing(struct exchange *x, struct slice json)
{
	uint8_t hash[SHA256_BYTES];
	char hex[33], tag[40];

	crypto_sha256(json, hash);
	crypto_hex(hash, 16, hex);
	(void)snprintf(tag, sizeof(tag), "\"%s\"", hex);
	head_add(&x->head, "ETag", tag);
	head_add(&x->head, "Cache-Control", LISTING_AGE);
	if (names_tag(request_header(x->rq, "If-None-Match"), tag))
		exchange_text(x, 304, NULL, SLICE(""));
	else
		exchange_json(x, 200, json);
}

/* ---- who is calling ---- */

enum err_code exchange_auth(struct exchange *x, struct err *e)
{
	static const char *const variables[] = { "HTTP_AUTHORIZATION", "HTTP_X_API_KEY",
		"HTTP_API_KEY" };
	struct credentials c = {
		.authorization = request_param(x->rq, "HTTP_AUTHORIZATION"),
		.redirect_authorization = request_param(x->rq, "REDIRECT_HTTP_AUTHORIZATION"),
		.x_api_key = request_param(x->rq, "HTTP_X_API_KEY"),
		.api_key = request_param(x->rq, "HTTP_API_KEY"),
	};

	const char *org = request_header(x->rq, "X-KiloCode-OrganizationId");
	enum err_code rc;

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		c.repeated |= request_param_count(x->rq, variables[i]) > 1;
	rc = auth_check(x->front->keys, &c, clock_wall_ms(), &x->caller, e);
	if (rc)
		return rc;
	return auth_identify(x->front->keys, &x->caller, slice_of(org ? org : ""), &x->who, e);
}

const char *exchange_server_hint(const struct exchange *x)
{
	const char *server = request_param(x->rq, "SERVER_SOFTWARE");

	if (!server || !strstr(server, "Apache") || request_param(x->rq, "HTTP_AUTHORIZATION") ||
		request_param(x->rq, "REDIRECT_HTTP_AUTHORIZATION"))
		return "";
	return "if one was sent, Apache hides it: add SetEnvIf Authorization \"(.+)\" "
	       "HTTP_AUTHORIZATION=$1 to its configuration or .htaccess";
}

/* ---- methods and browsers ---- */

bool exchange_method_is(const struct exchange *x, const char *methods)
{
	struct slice rest = slice_of(methods);

	while (rest.len)
		if (slice_is(slice_trim(slice_cut(&rest, ',')), request_method(x->rq)))
			return true;
	return false;
}

static bool origin_is_allowed(const struct exchange *x, const char *origin)
{
	struct slice rest = slice_of(conf_str(x->front->conf, CONF_CORS_ORIGINS));

	while (rest.len) {
		struct slice entry = slice_trim(slice_cut(&rest, ','));

		if (slice_is(entry, "*") || slice_is_nocase(entry, origin))
			return true;
	}
	return false;
}

bool exchange_cors(struct exchange *x)
{
	const char *origin, *wanted;

	if (!conf_str(x->front->conf, CONF_CORS_ORIGINS)[0])
		return false;
	origin = request_header(x->rq, "Origin");
	head_add(&x->head, "Vary", "Origin");
	if (!origin || !origin_is_allowed(x, origin))
		return false;
	if (!head_add(&x->head, "Access-Control-Allow-Origin", origin))
		return false;
	if (strcmp(request_method(x->rq), "OPTIONS") != 0 ||
		!request_header(x->rq, "Access-Control-Request-Method")) {
		head_add(&x->head, "Access-Control-Expose-Headers",
			"X-Request-Id, X-Provider, X-Model, X-Attempts, X-Cache, X-Cache-TTL, "
			"X-Cache-Key, X-Cache-Similarity, Age, Retry-After, "
			"retry-after-ms, x-should-retry");
		return false;
	}
	wanted = request_header(x->rq, "Access-Control-Request-Headers");
	head_add(&x->head, "Access-Control-Allow-Methods", x->front->spec->methods);
	if (!wanted || strlen(wanted) > 1024 ||
		!head_add(&x->head, "Access-Control-Allow-Headers", wanted))
		head_add(&x->head, "Access-Control-Allow-Headers", "Authorization, Content-Type");
	head_add(&x->head, "Access-Control-Max-Age", "600");
	exchange_text(x, 204, NULL, SLICE(""));
	return true;
}
