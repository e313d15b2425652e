/* gateway/policy.h - what a caller may use, by the policies of key and organisation.
 *
 * Models: allowed when both lists allow it, the key's and the organisation's; an empty list allows
 * all. Compared is the id in lower case up to the first ':' (kilo-contract.md section 17.3): an
 * entry is the whole id, or "provider/" and a star for everything with that prefix. The prefix is
 * what stands before the first '/'; a "kilocode/" in front has been taken off by the caller.
 *
 * Providers: not on the organisation's deny list, which wins, and on its allow list unless that
 * is empty.
 *
 * The models of a self-test (selftest.h) are for keys only whose own list allows them: an empty one
 * does not.
 *
 * Pure: no I/O, no clock, no memory. An identity of { 0 } (anonymous) has no policies.
 */
#ifndef GATEWAY_POLICY_H
#define GATEWAY_POLICY_H

#include "store/people.h"

/* Does a list of store/people_text.h allow a model? */
bool policy_list_allows(const char *list, struct slice model);

/* ERR_FORBIDDEN (model_not_allowed), saying whose list refuses. */
MUST_CHECK enum err_code policy_model(
	const struct identity *who, struct slice model, struct err *e);

bool policy_provider_is_allowed(const struct identity *who, struct slice provider);
/* The same as an answer: ERR_PROVIDER_DENIED (provider_not_allowed). */
MUST_CHECK enum err_code policy_provider(
	const struct identity *who, struct slice provider, struct err *e);

/* For what costs: ERR_ACCESS_DENIED when the role in the organisation is one that administers but
 * does not spend. Not 402: no credit would help. */
MUST_CHECK enum err_code policy_may_spend(const struct identity *who, struct err *e);

/* Must prompts be kept from who would collect them? Deny wins: the organisation's word, else the
 * request's (provider.data_collection, provider.zdr). */
bool policy_denies_collection(const struct identity *who, bool request_denies);
/* ERR_DATA_COLLECTION when that is so and the model's provider collects. */
MUST_CHECK enum err_code policy_collection(
	const struct identity *who, bool request_denies, bool collects, struct err *e);

#endif
