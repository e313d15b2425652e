#include "gateway/retry.h"

#include "base/err.h"

#include <string.h>

enum failure {
	OURS,        /* of this program, or of the client's doing */
	REQUEST,     /* refused for what it is */
	FILTERED,    /* refused for what it says */
	PARAMETER,   /* refused for a field that others may know */
	UNSUPPORTED, /* not even sent, for such a field: so it costs nothing to try them all */
	TOO_LONG,    /* for this model */
	OWN_KEY,     /* the caller's own key was refused */
	KEY,         /* the gateway's key was refused */
	MONEY,       /* the gateway's account is empty */
	RATE,        /* too much at the moment */
	QUOTA,       /* too much for longer */
	CANNOT,      /* it has no such model, or is set up wrongly here */
	SERVER,      /* 500 */
	OVERLOAD,    /* 502, 503, 529 and what else may be over in a moment */
	BROKEN,      /* no connection, or one that ended before the answer; garbage */
	SILENT,      /* nothing came in time */
	FLOOD,       /* more came than fits */
	FAILURES
};

static const struct row {
	unsigned again;   /* how often it is asked once more */
	int64_t wait_ms;  /* before the first time, by half more or less; then doubled */
	bool first;       /* the same once more even where others could be asked */
	bool elsewhere;   /* others may do better */
	bool once;        /* but they are asked once */
	bool other_model; /* of another model, that is */
	bool not_own_key; /* nothing of this helps a caller with a key of their own */
	enum health_outcome says;
} table[FAILURES] = {
	[OURS] = { .says = HEALTH_NOTHING },
	[REQUEST] = { .says = HEALTH_NOTHING },
	[FILTERED] = { .says = HEALTH_NOTHING },
	[PARAMETER] = { .elsewhere = true, .once = true, .says = HEALTH_NOTHING },
	[UNSUPPORTED] = { .elsewhere = true, .says = HEALTH_NOTHING },
	[TOO_LONG] = { .elsewhere = true, .other_model = true, .says = HEALTH_NOTHING },
	[OWN_KEY] = { .says = HEALTH_NOTHING },
	[KEY] = { .elsewhere = true, .not_own_key = true, .says = HEALTH_FAILED },
	[MONEY] = { .elsewhere = true, .not_own_key = true, .says = HEALTH_FAILED },
	[RATE] = { .again = 3,
		.wait_ms = 500,
		.elsewhere = true,
		.not_own_key = true,
		.says = HEALTH_REFUSED },
	[QUOTA] = { .elsewhere = true, .not_own_key = true, .says = HEALTH_REFUSED },
	[CANNOT] = { .elsewhere = true, .says = HEALTH_NOTHING },
	[SERVER] = { .again = 1,
		.wait_ms = 200,
		.first = true,
		.elsewhere = true,
		.says = HEALTH_FAILED },
	[OVERLOAD] = { .again = 1, .wait_ms = 500, .elsewhere = true, .says = HEALTH_FAILED },
	[BROKEN] = { .again = 1, .wait_ms = 100, .elsewhere = true, .says = HEALTH_FAILED },
	[SILENT] = { .elsewhere = true, .says = HEALTH_FAILED },
	[FLOOD] = { .elsewhere = true, .says = HEALTH_FAILED },
};

/* Codes that are not here are OURS. */
static const enum failure of_code[ERR_COUNT] = {
	[ERR_BAD_REQUEST] = REQUEST,
	[ERR_UNSUPPORTED] = UNSUPPORTED,
	[ERR_CONTEXT_LENGTH] = TOO_LONG,
	[ERR_MODEL_NOT_FOUND] = CANNOT,
	[ERR_MODEL_UNAVAILABLE] = CANNOT,
	[ERR_CONF] = CANNOT,
	[ERR_BYOK] = OWN_KEY,
	[ERR_UPSTREAM_CONNECT] = BROKEN,
	[ERR_UPSTREAM_TLS] = BROKEN,
	[ERR_UPSTREAM_CLOSED] = BROKEN,
	[ERR_UPSTREAM_INVALID] = BROKEN,
	[ERR_UPSTREAM_TIMEOUT] = SILENT,
	[ERR_UPSTREAM_TOO_LARGE] = FLOOD,
};

/* ---- what kind of failure it was ---- */

static bool says_any(const struct err *e, const char *const *words)
{
	for (; *words; words++)
		if (strcasestr(e->provider_code, *words) || strcasestr(e->message, *words))
			return true;
	return false;
}

/* Some answer so with the status of a refused key; what one client says must not look like a
 * fault of the provider. */
static bool is_filtered(const struct err *e)
{
	static const char *const words[] = { "content_filter", "content_policy", "content filter",
		"content policy", "content management policy", "input was flagged",
		"prompt was flagged", "content was flagged", "requires moderation",
		"data_inspection_failed", NULL };

	return says_any(e, words);
}

static bool is_parameter(const struct err *e)
{
	static const char *const words[] = { "unsupported_parameter", "unsupported_value",
		"unknown_parameter", "unrecognized request argument", "unsupported parameter",
		"unknown parameter", "unknown field", "unknown name",
		"extra inputs are not permitted", "argument not supported", "does not support",
		"is not supported", NULL };

	return says_any(e, words);
}

/* refusal.c hides the provider's words about the gateway's account. */
static bool is_money(const struct err *e)
{
	return e->retry < 0 && slice_ends(slice_of(e->message), "(account)");
}

static enum failure of_status(const struct err *e)
{
	int status = err_status(e);

	if (status == 402 || is_money(e))
		return MONEY;
	/* Bedrock has a name for what is used up, and calls it a bad request. */
	if (status == 429 || strstr(e->provider_code, "QuotaExceeded"))
		return e->retry < 0 ? QUOTA : RATE;
	if (status < 500 && is_filtered(e))
		return FILTERED;
	if (status == 401 || status == 403 || status == 407)
		return KEY;
	if (status == 404 || status == 410)
		return CANNOT;
	/* Dialects show the client another status for it. */
	if (e->upstream_status == 500)
		return SERVER;
	if (status >= 500 || status == 408 || status == 409 || status == 425 || e->retry > 0)
		return OVERLOAD;
	return (status == 400 || status == 422) && is_parameter(e) ? PARAMETER : REQUEST;
}

static enum failure failure_of(const struct err *e)
{
	if (e->code == ERR_UPSTREAM_STATUS)
		return of_status(e);
	return e->code > 0 && e->code < ERR_COUNT ? of_code[e->code] : OURS;
}

/* ---- what to do ---- */

/* By half more or less, so that many who failed at once do not come back at once. */
static int64_t wait_of(const struct row *row, const struct retry_facts *f)
{
	int64_t wait_ms = row->wait_ms << (f->tried_here > 1 ? f->tried_here - 1 : 0);

	if (f->e->retry_after_ms > 0)
		return f->e->retry_after_ms + (int64_t)(f->dice % 50);
	return wait_ms / 2 + (int64_t)(f->dice % (uint64_t)(wait_ms + 1));
}

/* INT64_MAX: there is none, or too late. */
static int64_t until_other(const struct row *row, const struct retry_facts *f)
{
	if (!row->elsewhere || (row->other_model && f->same_model_only) ||
		(row->once && f->tried > 1))
		return INT64_MAX;
	if (f->other_now)
		return 0;
	return f->other_wait_ms <= RETRY_WAIT_MS && f->other_wait_ms < f->left_ms ? f->other_wait_ms
										  : INT64_MAX;
}

static int64_t until_same(const struct row *row, const struct retry_facts *f)
{
	int64_t wait_ms;

	if (f->tried_here > row->again || f->e->retry_after_ms > RETRY_WAIT_MS)
		return INT64_MAX;
	wait_ms = wait_of(row, f);
	return wait_ms < f->left_ms ? wait_ms : INT64_MAX;
}

struct retry_plan retry_decide(const struct retry_facts *f)
{
	const struct row *row = &table[failure_of(f->e)];
	int64_t same, other;

	if (f->tried >= f->most || f->left_ms <= 0 || (f->byok && row->not_own_key))
		return (struct retry_plan){ RETRY_BACK, 0, false };
	other = until_other(row, f);
	same = until_same(row, f);
	/* Told when to come back, it is not asked first. */
	if (same != INT64_MAX && (same <= other || (row->first && f->e->retry_after_ms <= 0)))
		return (struct retry_plan){ RETRY_SAME, same, false };
	if (other != INT64_MAX)
		return (struct retry_plan){ RETRY_ELSE, other, row->other_model };
	return (struct retry_plan){ RETRY_BACK, 0, false };
}

enum health_outcome retry_outcome(const struct err *e)
{
	return table[failure_of(e)].says;
}
