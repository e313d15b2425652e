#include "gateway/attempts_json.h"

#include "base/json_scan.h"

/* The outcome in JSON, and in the header where nothing says more. */
static const struct {
	const char *outcome, *word;
} ends[] = { [ATTEMPT_RUNNING] = { "running", "slow" },
	[ATTEMPT_OK] = { "ok", "ok" },
	[ATTEMPT_FAILED] = { "failed", "failed" },
	[ATTEMPT_OVERTAKEN] = { "overtaken", "slow" },
	[ATTEMPT_CUT] = { "cut", "cut" } };

#define ENDS (sizeof(ends) / sizeof(ends[0]))

static void number(struct buf *out, const char *name, int64_t n, bool is_known)
{
	buf_printf(out, ",\"%s\":", name);
	if (is_known)
		buf_int(out, n);
	else
		buf_str(out, "null");
}

static void write_one(const struct attempt *a, struct buf *out)
{
	buf_str(out, "{\"provider\":");
	buf_json_cstr(out, a->slug);
	buf_str(out, ",\"model\":");
	buf_json_cstr(out, a->model);
	number(out, "status", a->status, a->status != 0);
	buf_printf(out, ",\"outcome\":\"%s\",\"error\":", ends[a->end].outcome);
	buf_json_cstr(out, a->error ? err_name(a->error) : NULL);
	number(out, "begun_ms", a->begun_ms, true);
	number(out, "took_ms", a->took_ms, true);
	number(out, "ttft_ms", a->ttft_ms, a->ttft_ms != 0);
	buf_printf(out, ",\"hedge\":%s,\"rescue\":%s}", a->hedge ? "true" : "false",
		a->rescue ? "true" : "false");
}

void attempts_json_write(const struct attempt *at, size_t n, size_t max, struct buf *out)
{
	struct buf one = { 0 }, last = { 0 };
	size_t from = out->len;
	bool any = false;

	if (n)
		write_one(&at[n - 1], &last);
	buf_char(out, '[');
	for (size_t i = 0; i + 1 < n; i++) {
		buf_reset(&one);
		write_one(&at[i], &one);
		/* Two commas and the bracket belong to it, too. */
		if (out->len - from + one.len + last.len + 3 > max)
			continue;
		buf_str(out, any ? "," : "");
		buf_slice_append(out, buf_slice(&one));
		any = true;
	}
	if (n)
		buf_str(out, any ? "," : "");
	buf_slice_append(out, buf_slice(&last));
	buf_char(out, ']');
	out->failed = out->failed || !buf_ok(&one) || !buf_ok(&last);
	buf_fini(&one);
	buf_fini(&last);
}

/* What failed without a status is named by its error, as attempts_write() does. */
static void write_error(struct json_value error, struct buf *out)
{
	const char *too_large = err_name(ERR_UPSTREAM_TOO_LARGE);
	char name[48];

	if (!json_str_copy(error, name, sizeof(name)))
		str_copy_cut(name, sizeof(name), ends[ATTEMPT_FAILED].word);
	if (strcmp(name, too_large) == 0)
		str_copy_cut(name, sizeof(name), err_name(ERR_UPSTREAM_INVALID));
	buf_str(out, strncmp(name, "upstream_", 9) == 0 ? name + 9 : name);
}

/* How it ended, in a word: "503", "timeout", "ok". */
static void write_end(struct json_value attempt, struct buf *out)
{
	struct json_value outcome = json_get(attempt, "outcome");
	int64_t status;

	if (!json_str_is(outcome.raw, ends[ATTEMPT_FAILED].outcome)) {
		for (size_t i = 0; i < ENDS; i++)
			if (json_str_is(outcome.raw, ends[i].outcome))
				buf_str(out, ends[i].word);
	} else if (json_int(json_get(attempt, "status"), &status) && status >= 400) {
		buf_int(out, status);
	} else {
		write_error(json_get(attempt, "error"), out);
	}
}

void attempts_json_words(struct slice json, struct buf *out)
{
	const struct json_limits limits = { .max_depth = 4, .max_keys = 1024 };
	enum json_kind kind = JSON_ABSENT;
	struct json_value one;
	struct json_iter it;
	struct slice key;
	bool any = false;

	if (json_validate(json, &limits, &kind, NULL) || kind != JSON_ARRAY)
		return;
	json_iter_init(&it, (struct json_value){ kind, json });
	while (json_iter_next(&it, &key, &one)) {
		buf_str(out, any ? ", " : "");
		if (!json_str_decode(json_get(one, "provider"), out))
			continue;
		buf_char(out, ':');
		write_end(one, out);
		any = true;
	}
}
