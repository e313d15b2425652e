#include "base/err.h"

#include "base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct row {
	const char *name;
	int status;
	const char *type; /* error_type, kilo-contract.md section 8.2 */
	bool retry;       /* may help, when nothing better is known */
} table[ERR_COUNT] = {
	[ERR_OK] = { "ok", 200, "", false },
	[ERR_BAD_REQUEST] = { "bad_request", 400, "invalid_request", false },
	[ERR_BAD_PATH] = { "bad_path", 400, "invalid_path", false },
	[ERR_DATA_COLLECTION] = { "data_collection", 400, "data_collection_required", false },
	[ERR_UNSUPPORTED] = { "unsupported", 400, "unsupported_field", false },
	[ERR_CONTEXT_LENGTH] = { "context_length", 400, "context_length_exceeded", false },
	[ERR_UNAUTHENTICATED] = { "unauthenticated", 401, "authentication_required", false },
	[ERR_PAID_AUTH] = { "paid_auth", 401, "paid_model_auth_required", false },
	[ERR_NO_CREDIT] = { "no_credit", 402, "usage_limit_exceeded", false },
	[ERR_FORBIDDEN] = { "forbidden", 403, "model_not_allowed", false },
	[ERR_PROVIDER_DENIED] = { "provider_denied", 403, "provider_not_allowed", false },
	[ERR_ACCESS_DENIED] = { "access_denied", 403, "account_restricted", false },
	[ERR_NOT_FOUND] = { "not_found", 404, "not_found", false },
	[ERR_MODEL_NOT_FOUND] = { "model_not_found", 404, "model_not_found", false },
	[ERR_MODEL_UNAVAILABLE] = { "model_unavailable", 404, "unavailable_model", false },
	[ERR_METHOD] = { "method", 405, "method_not_allowed", false },
	[ERR_BODY_TIMEOUT] = { "body_timeout", 408, "invalid_request", true },
	[ERR_TOO_LARGE] = { "too_large", 413, "request_too_large", false },
	[ERR_MEDIA_TYPE] = { "media_type", 415, "unsupported_media_type", false },
	[ERR_RATE_LIMITED] = { "rate_limited", 429, "rate_limit_exceeded", true },
	[ERR_NOT_CACHED] = { "not_cached", 504, "not_cached", false },
	[ERR_CLIENT_GONE] = { "client_gone", 499, "client_disconnect", false },
	[ERR_OVERTAKEN] = { "overtaken", 500, "internal_error", false },
	[ERR_INTERNAL] = { "internal", 500, "internal_error", true },
	[ERR_NO_MEMORY] = { "no_memory", 503, "temporarily_unavailable", true },
	[ERR_BUSY] = { "busy", 503, "temporarily_unavailable", true },
	[ERR_STORE] = { "store", 503, "temporarily_unavailable", true },
	[ERR_CONF] = { "conf", 503, "temporarily_unavailable", false },
	[ERR_RANGE] = { "range", 500, "internal_error", false },
	[ERR_IO] = { "io", 500, "internal_error", false },
	[ERR_UPSTREAM_STATUS] = { "upstream_status", 502, "upstream_error", false },
	[ERR_BYOK] = { "byok", 502, "byok_error", false },
	[ERR_UPSTREAM_CONNECT] = { "upstream_connect", 503, "upstream_disconnect", true },
	[ERR_UPSTREAM_TLS] = { "upstream_tls", 502, "upstream_error", false },
	[ERR_UPSTREAM_TIMEOUT] = { "upstream_timeout", 504, "timeout", true },
	[ERR_UPSTREAM_CLOSED] = { "upstream_closed", 502, "upstream_disconnect", true },
	[ERR_UPSTREAM_INVALID] = { "upstream_invalid", 502, "invalid_response", true },
	[ERR_ALL_DOWN] = { "all_down", 503, "temporarily_unavailable", true },
	[ERR_UPSTREAM_TOO_LARGE] = { "upstream_too_large", 502, "invalid_response", false },
};

static const struct row *row(const struct err *e)
{
	return &table[e->code > 0 && e->code < ERR_COUNT ? e->code : ERR_INTERNAL];
}

/* One line of plain text: what a provider or a file said may hold anything. */
static void tidy(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = ' ';
}

PRINTF_LIKE(3, 0)
static void fill(struct err *e, enum err_code code, const char *format, va_list args)
{
	char text[1024];

	/* Before *e is cleared: an argument may be e's own message. */
	if (vsnprintf(text, sizeof(text), format, args) < 0)
		text[0] = '\0';
	*e = (struct err){ .code = code };
	str_copy_cut(e->message, sizeof(e->message), text);
	tidy(e->message);
}

enum err_code err_set(struct err *e, enum err_code code, const char *format, ...)
{
	va_list args;

	if (!e)
		return code;
	va_start(args, format);
	fill(e, code, format, args);
	va_end(args);
	return code;
}

enum err_code err_param(
	struct err *e, enum err_code code, const char *param, const char *format, ...)
{
	char own[ERR_PARAM_SIZE];
	va_list args;

	if (!e)
		return code;
	str_copy_cut(own, sizeof(own), param); /* it may be e->param */
	va_start(args, format);
	fill(e, code, format, args);
	va_end(args);
	memcpy(e->param, own, sizeof(own));
	return code;
}

enum err_code err_errno(struct err *e, int errno_value, const char *format, ...)
{
	char whole[1024], text[256];
	enum err_code code;
	va_list args;

	va_start(args, format);
	if (vsnprintf(whole, sizeof(whole), format, args) < 0)
		whole[0] = '\0';
	va_end(args);
	str_copy_cut(text, sizeof(text), whole);
	code = errno_value == EMFILE || errno_value == ENFILE ? ERR_BUSY : ERR_IO;
	return err_set(e, code, "%s: %s", text, strerror(errno_value));
}

int err_status(const struct err *e)
{
	return e->status ? e->status : row(e)->status;
}

const char *err_type(const struct err *e)
{
	if (e->code == ERR_UPSTREAM_STATUS && err_status(e) == 429)
		return table[ERR_RATE_LIMITED].type;
	return row(e)->type;
}

bool err_may_retry(const struct err *e)
{
	if (e->retry)
		return e->retry > 0;
	return row(e)->retry;
}

const char *err_name(enum err_code code)
{
	return code >= 0 && code < ERR_COUNT ? table[code].name : "unknown";
}

void err_write_object(const struct err *e, const char *request_id, struct buf *out)
{
	bool first = true;

	buf_str(out, "{\"message\":");
	buf_json_cstr(out, e->message);
	buf_printf(out, ",\"type\":\"%s\",\"code\":%d,\"param\":", err_type(e), err_status(e));
	buf_json_cstr(out, e->param[0] ? e->param : NULL);
	buf_str(out, ",\"metadata\":{");
	const struct {
		const char *name, *value;
	} metadata[] = {
		{ "reason", e->reason },
		{ "provider", e->provider },
		{ "provider_code", e->provider_code },
		{ "request_id", request_id ? request_id : "" },
	};
	for (size_t i = 0; i < sizeof(metadata) / sizeof(metadata[0]); i++) {
		if (!metadata[i].value[0])
			continue;
		buf_printf(out, "%s\"%s\":", first ? "" : ",", metadata[i].name);
		buf_json_cstr(out, metadata[i].value);
		first = false;
	}
	if (e->has_balance) { /* USD, a JSON number; kilo-contract.md section 8.3 */
		buf_printf(out, "%s\"balance\":%s%lld.%06lld", first ? "" : ",",
			e->balance_microusd < 0 ? "-" : "",
			llabs((long long)e->balance_microusd) / 1000000,
			llabs((long long)e->balance_microusd) % 1000000);
		first = false;
	}
	if (e->buy_url && *e->buy_url) {
		buf_printf(out, "%s\"buyCreditsUrl\":", first ? "" : ",");
		buf_json_cstr(out, e->buy_url);
		first = false;
	}
	if (e->upstream_status)
		buf_printf(out, "%s\"provider_status\":%d", first ? "" : ",", e->upstream_status);
	buf_str(out, "}}");
}

void err_write_json(const struct err *e, const char *request_id, struct buf *out)
{
	buf_str(out, "{\"error\":");
	err_write_object(e, request_id, out);
	buf_printf(out, ",\"error_type\":\"%s\"}", err_type(e));
}
