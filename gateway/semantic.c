#include "gateway/semantic_embed.h"

#include "base/crypto.h"
#include "base/log.h"

#include <stdatomic.h>
#include <stdlib.h>

#define QUESTION_MAX 8192 /* bytes; a longer one is not embedded */
#define FAILURES     3    /* in a row, and the embedder is left alone */
#define REST_MS      10000
#define LOG_EVERY_MS 60000

/* How the embedder fares, in this process. */
static atomic_uint failures;
static _Atomic int64_t rests_until_ms; /* wall clock */

/* What was told to the operator. */
static atomic_bool told_of_model;
static _Atomic int64_t tell_again_ms;

static bool rests(int64_t now_ms)
{
	int64_t left_ms = rests_until_ms - now_ms;

	return left_ms > 0 && left_ms <= REST_MS; /* longer: the clock was set back */
}

static void note(enum err_code rc, int64_t now_ms)
{
	if (!rc)
		failures = 0;
	else if (++failures >= FAILURES)
		rests_until_ms = now_ms + REST_MS;
}

/* The question, if it is one that may be answered by another's answer. */
static bool read_question(
	const struct cache_ask *ask, struct cache_key *context, struct buf *question)
{
	struct err e;

	/* That it does not fit, and that there is none, is no trouble. */
	return !cache_key_context(ask, context, question, &e) && buf_ok(question) &&
	       slice_trim(buf_slice(question)).len && question->len <= QUESTION_MAX &&
	       !semantic_is_about_now(buf_slice(question));
}

/* Only vectors of one model can be compared. */
static void make_group(
	const struct cache_key *context, const struct route *r, uint8_t group[SHA256_BYTES])
{
	struct crypto_hash h;

	crypto_hash_begin(&h);
	crypto_hash_add(&h, (struct slice){ (const char *)context->hash, sizeof(context->hash) });
	crypto_hash_add(&h, slice_of(r->target.slug));
	crypto_hash_add(&h, SLICE("\n"));
	crypto_hash_add(&h, slice_of(r->target.native_id));
	crypto_hash_end(&h, group);
}

/* The setting names no embeddings model: said once, until it does. */
static enum err_code find_embedder(struct embedder *em, const struct catalog *catalog,
	const struct semantic_conf *conf, struct slice question)
{
	struct err e = { 0 };
	enum err_code rc = semantic_embed_find(em, catalog, conf, question, &e);

	if (!rc)
		told_of_model = false;
	else if (!atomic_exchange(&told_of_model, true))
		log_line(LOG_WARN, "semantic cache: GATEWAY_EMBEDDING_MODEL: %s", e.message);
	return rc;
}

static enum err_code embed(struct semantic *s, const struct embedder *em, struct pump *pump,
	const struct semantic_conf *conf, struct err *e)
{
	enum err_code rc = semantic_embed(em, pump, conf, &s->vector, &s->dimensions, e);

	if (!rc)
		return ERR_OK;
	s->dimensions = 0;
	return rc;
}

bool semantic_find(struct semantic *s, struct vectors *v, struct pump *pump,
	const struct catalog *catalog, const struct semantic_conf *conf,
	const struct cache_ask *ask, int64_t now_ms, struct cache_key *key, double *similarity,
	struct err *e)
{
	struct buf question = { .max_bytes = QUESTION_MAX };
	struct embedder em = { .body = { .data = NULL } };
	struct cache_key context;
	enum err_code rc = ERR_NOT_FOUND;

	*e = (struct err){ .code = ERR_OK };
	if (rests(now_ms) || !read_question(ask, &context, &question) ||
		find_embedder(&em, catalog, conf, buf_slice(&question)))
		goto out;
	make_group(&context, &em.route, s->row.group);
	s->row.guard = semantic_guard(buf_slice(&question));
	rc = embed(s, &em, pump, conf, e);
	if (!rc)
		rc = vectors_find(v, s->row.group, s->row.guard, s->vector, s->dimensions, now_ms,
			conf->threshold, key, similarity, e);
	if (rc == ERR_RANGE) {
		s->dimensions = 0;
		rc = err_set(e, ERR_UPSTREAM_INVALID, "%s sent no embedding that can be used: %s",
			em.route.target.slug, "it is not finite, or nothing but zeros");
	}
	note(s->dimensions ? ERR_OK : rc, now_ms);
out:
	semantic_embed_fini(&em);
	buf_fini(&question);
	return rc == ERR_OK;
}

void semantic_learn(struct semantic *s, struct vectors *v, const struct cache_key *key,
	int64_t expires_ms, int64_t now_ms)
{
	struct err e;
	enum err_code rc;

	if (!s->dimensions)
		return;
	s->row.key = *key;
	s->row.expires_ms = expires_ms;
	rc = vectors_put(v, &s->row, s->vector, s->dimensions, now_ms, &e);
	if (rc == ERR_STORE && now_ms >= tell_again_ms) {
		tell_again_ms = now_ms + LOG_EVERY_MS;
		log_line(LOG_WARN, "semantic cache: %s", e.message);
	}
}

/* Has the text a member of this name (with its quotes; within a string they would be escaped) that
 * is neither null nor empty? */
static bool has_member(struct slice text, struct slice name)
{
	const char *at;

	while ((at = memmem(text.ptr, text.len, name.ptr, name.len))) {
		text = slice_trim(slice_from(text, (size_t)(at - text.ptr) + name.len));
		if (!slice_starts(text, ":"))
			continue;
		text = slice_trim(slice_from(text, 1));
		if (!slice_starts(text, "null") && !slice_starts(text, "[]"))
			return true;
	}
	return false;
}

bool semantic_answer_is_fine(const struct cache_entry *entry)
{
	return strcmp(entry->finish_reason, "tool_calls") != 0 &&
	       strcmp(entry->finish_reason, "function_call") != 0 &&
	       !has_member(entry->body, SLICE("\"tool_calls\"")) &&
	       !has_member(entry->body, SLICE("\"function_call\""));
}

void semantic_fini(struct semantic *s)
{
	free(s->vector);
	*s = (struct semantic){ .dimensions = 0 };
}
