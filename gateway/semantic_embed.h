/* gateway/semantic_embed.h - the vector of a question, from an embeddings model. For semantic.c.
 *
 * One provider is asked once. What it says about a failure is told to nobody: it may repeat the
 * question.
 *
 * Threads: as pump_run. Blocking: semantic_embed up to conf->timeout_ms.
 */
#ifndef GATEWAY_SEMANTIC_EMBED_H
#define GATEWAY_SEMANTIC_EMBED_H

#include "gateway/route.h"
#include "gateway/semantic.h"

struct embedder {
	struct buf body; /* of the request; req points into it */
	struct chat_req req;
	struct route route;
};

/* Who makes the vector of this text. ERR_MODEL_…, ERR_UNSUPPORTED: the setting names none that can;
 * ERR_NO_MEMORY. em is { 0 } before, and ended with semantic_embed_fini in any case. */
MUST_CHECK enum err_code semantic_embed_find(struct embedder *em, const struct catalog *catalog,
	const struct semantic_conf *conf, struct slice text, struct err *e);

/* Gives the vector, to be freed. Its numbers need not be finite. ERR_UPSTREAM_… and what else
 * pump_run can say. */
MUST_CHECK enum err_code semantic_embed(const struct embedder *em, struct pump *pump,
	const struct semantic_conf *conf, float **out, size_t *n, struct err *e);

void semantic_embed_fini(struct embedder *em);

#endif
