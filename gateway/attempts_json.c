#include "gateway/attempts_json.h"

#include "base/json_scan.h"

static const char *const ends[] = { [ATTEMPT_OK] = "ok",
	[ATTEMPT_FAILED] = "failed",
	[ATTEMPT_OVERTAKEN] = "overtaken",
	[ATTEMPT_CUT] = "cut" };

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
	buf_printf(out, ",\"outcome\":\"%s\",\"error\":", ends[a->end]);
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

/* How it ended, in a word: "503", "timeout", "ok". */
static void write_end(struct json_value attempt, struct buf *out)
{
	struct json_value error = json_get(attempt, "error");
	char word[48];
	int64_t status;

	if (!json_str_copy(json_get(attempt, "outcome"), word, sizeof(word)))
		return;
	if (strcmp(word, ends[ATTEMPT_FAILED]) == 0) {
		if (json_int(json_get(attempt, "status"), &status) && status >= 400) {
			buf_int(out, status);
			return;
		}
		if (json_str_copy(error, word, sizeof(word))) {
			buf_str(out, strncmp(word, "upstream_", 9) == 0 ? word + 9 : word);
			return;
		}
	}
	buf_str(out, word);
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
