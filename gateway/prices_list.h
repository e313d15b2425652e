/* gateway/prices_list.h - a provider's own list of models, in whichever of the usual shapes.
 *
 * Known are the lists of OpenAI and all who copy it, OpenRouter, Vercel, Hugging Face, Together (a
 * bare array), xAI (/language-models), Ollama (also /api/tags), vLLM, Anthropic, Gemini and Cohere:
 * providers.md sections 5.5, 6 and 8. Their entries differ in the names of members only, so one
 * reader knows all the names; the unit of prices comes from providers.json.
 *
 * Prices are read from their decimal digits: no double is ever made of one.
 * Pure: no I/O. Threads: any.
 */
#ifndef GATEWAY_PRICES_LIST_H
#define GATEWAY_PRICES_LIST_H

#include "base/json.h"
#include "gateway/catalog_data.h"

struct prices_list {
	struct json_object *models; /* an array of objects with the members of models.json that are
				     * known: native_id always, prices both or none */
	struct json_object *names;  /* an object: every name that was listed, in lower case */
	bool is_partial;            /* there are more pages */
	size_t unpriced;            /* listed without a price where prices are listed */
};

/* Reads a list. ERR_UPSTREAM_INVALID when it is none, or empty. l is to be ended in any case. */
MUST_CHECK enum err_code prices_list_read(
	struct slice text, enum catalog_list_unit unit, struct prices_list *l, struct err *e);
void prices_list_fini(struct prices_list *l);

/* A decimal number of JSON, "0.15", "15" or "1.5e-7", times ten to the power of shift, rounded half
 * up to a whole. False for what is none, is negative or exceeds COST_PRICE_MAX. */
MUST_CHECK bool prices_list_scale(struct slice number, int shift, int64_t *out);

/* Was a model of this name listed, but for a day at the end? */
bool prices_list_has(const struct prices_list *l, struct slice name);

#endif
