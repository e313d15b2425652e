/* gateway/providers/gemini_error.c - what Google says when it will not answer (gemini.md section
 * 14). */
#include "gateway/providers/gemini.h"
#include "gateway/providers/gemini_answer.h"
#include "gateway/providers/refusal.h"

#include <stdlib.h>

#define DELAY_MAX_S 86400.0 /* what is longer is as good as never */

/* What the details of an error say. */
struct details {
	bool bad_key;
	bool spent_for_today;
	int64_t delay_ms; /* 0 = not said */
};

/* "34.4s" */
static int64_t delay_of(struct json_value v)
{
	char text[32], *end;
	double seconds;

	if (!json_str_copy(v, text, sizeof(text)))
		return 0;
	seconds = strtod(text, &end);
	if (end == text || strcmp(end, "s") != 0 || !(seconds > 0))
		return 0;
	return (int64_t)((seconds < DELAY_MAX_S ? seconds : DELAY_MAX_S) * 1000 + 0.5);
}

static bool is_per_day(struct json_value violations)
{
	struct json_iter it;
	struct json_value v;
	struct slice none, id;

	json_iter_init(&it, violations);
	while (json_iter_next(&it, &none, &v)) {
		id = json_get(v, "quotaId").raw;
		if (id.len && memmem(id.ptr, id.len, "PerDay", 6))
			return true;
	}
	return false;
}

static struct details read_details(struct json_value list)
{
	struct details found = { .bad_key = false };
	struct json_iter it;
	struct json_value v;
	struct slice none;

	json_iter_init(&it, list);
	while (json_iter_next(&it, &none, &v)) {
		struct json_value delay = json_get(v, "retryDelay");

		found.bad_key |= json_str_is(json_get(v, "reason").raw, "API_KEY_INVALID");
		found.spent_for_today |= is_per_day(json_get(v, "violations"));
		if (delay.kind == JSON_STRING)
			found.delay_ms = delay_of(delay);
	}
	return found;
}

/* Google has no 401 for a key it does not know, and no 403 for a place it does not serve. */
static int meaning_of(int status, struct json_value error, const struct details *found)
{
	if (status != 400)
		return status;
	if (found->bad_key)
		return 401;
	return json_str_is(json_get(error, "status").raw, "FAILED_PRECONDITION") ? 403 : 400;
}

enum err_code gemini_decode_error(
	const struct target *t, int status, struct slice body, struct err *e)
{
	struct json_value tree = { JSON_ABSENT, slice_trim(body) }, error, word;
	struct details found;
	enum err_code rc;
	int meant;

	if (json_validate(tree.raw, &tongue_limits, &tree.kind, NULL))
		tree.kind = JSON_ABSENT;
	error = json_get(tree.kind == JSON_ARRAY ? json_at(tree, 0) : tree, "error");
	found = read_details(json_get(error, "details"));
	meant = meaning_of(status, error, &found);
	rc = refusal_of_body(t, meant, body, e);
	if (meant == 403 && status == 400 && rc == ERR_UPSTREAM_STATUS)
		e->retry = 1; /* elsewhere */
	if (status == 400 && !found.bad_key)
		e->upstream_status = status;
	if (status == 500 && rc == ERR_UPSTREAM_STATUS)
		e->status = 502; /* nothing of ours has failed */
	if (status == 429 && rc == ERR_UPSTREAM_STATUS) {
		e->retry = found.spent_for_today ? -1 : 1;
		e->retry_after_ms = found.spent_for_today ? 0 : found.delay_ms;
	}
	/* The word says more than the number, which the status repeats. */
	word = json_get(error, "status");
	if (word.kind == JSON_STRING &&
		!json_str_copy(word, e->provider_code, sizeof(e->provider_code)))
		e->provider_code[0] = '\0';
	return rc;
}

enum err_code gemini_refusal(
	const struct dialect *d, struct json_value error, struct slice text, struct err *e)
{
	int64_t code;
	enum err_code rc;
	bool told = json_int(json_get(error, "code"), &code) && code >= 400 && code <= 599;

	rc = gemini_decode_error(d->target, told ? (int)code : 502, text, e);
	if (!told)
		e->upstream_status = 200;
	return rc;
}

bool gemini_mend(struct target *t, const struct err *e)
{
	if (t->forgets_signatures || e->upstream_status != 400 ||
		!(strcasestr(e->message, "thought_signature") ||
			strcasestr(e->message, "thought signature") ||
			strcasestr(e->message, "thoughtSignature")))
		return false;
	t->forgets_signatures = true;
	return true;
}
