/* gateway/semantic.h - answers a question that means the same as a remembered one.
 *
 * Everything but the last question must be identical, by its hash (cache_key_context()); the
 * question's vector is made by an embeddings model and compared with those remembered for the
 * same tenant and context. What vectors do not tell apart is guarded by words: numbers, negations
 * and quoted texts must agree, and questions about now ("today", "latest", a date's words …) are
 * never answered so.
 *
 * An embedder that is slow, fails, or answers nonsense means a miss, never an error; who did so
 * three times in a row is left alone for ten seconds. It is the operator's expense. The words are
 * those of English, German, French and Spanish, with the negations of some more; of scripts that
 * are not Latin every word counts.
 * Blocking: semantic_find up to timeout_ms. Threads: any.
 */
#ifndef GATEWAY_SEMANTIC_H
#define GATEWAY_SEMANTIC_H

#include "gateway/cache_key.h"
#include "gateway/catalog.h"
#include "gateway/upstream.h"
#include "store/vectors.h"

struct semantic_conf {
	const char *model;  /* GATEWAY_EMBEDDING_MODEL */
	double threshold;   /* 0.5..1 */
	int64_t timeout_ms; /* for the vector */
	int64_t connect_ms;
};

/* A question on its way. { 0 } to begin with; semantic_fini ends it. */
struct semantic {
	struct vectors_row row; /* but key and expiry */
	float *vector;
	size_t dimensions; /* 0 = there is no vector: nothing to learn */
};

/* Is there a remembered question that means the same? True: *key is that one's. False otherwise,
 * with why in *e (for a line in the log; code ERR_OK when there is nothing to tell). */
MUST_CHECK bool semantic_find(struct semantic *s, struct vectors *v, struct pump *pump,
	const struct catalog *catalog, const struct semantic_conf *conf,
	const struct cache_ask *ask, int64_t now_ms, struct cache_key *key, double *similarity,
	struct err *e);

/* Remembers the question for the entry of this key. */
void semantic_learn(struct semantic *s, struct vectors *v, const struct cache_key *key,
	int64_t expires_ms, int64_t now_ms);

/* May such an answer be given to another question: no tool calls? */
bool semantic_answer_is_fine(const struct cache_entry *entry);

void semantic_fini(struct semantic *s);

/* ---- for tests: what guards ---- */

/* Do questions that agree in everything else differ in this number when they differ in digits,
 * number words, negations or quoted texts? */
uint64_t semantic_guard(struct slice question);
bool semantic_is_about_now(struct slice question);

#endif
