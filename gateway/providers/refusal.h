/* gateway/providers/refusal.h - makes an error of what a provider says when it will not answer, in
 * whatever shape it says it (providers.md section 4.2; gotchas 8 to 10 of openai-chat.md).
 *
 * The provider's words go to the client: markup is left out, and the gateway's key and whatever
 * looks like one is masked.
 * Pure.
 */
#ifndef GATEWAY_PROVIDERS_REFUSAL_H
#define GATEWAY_PROVIDERS_REFUSAL_H

#include "gateway/providers/tongue.h"

/* An answer with status >= 400; body may be JSON, HTML, text or empty. Always returns a code. */
enum err_code refusal_of_body(const struct target *t, int status, struct slice body, struct err *e);

/* An error found under status 200: tree holds it (validated), error is the member or element that
 * says so, whose numeric code counts as the status, else 502. Always returns a code. */
enum err_code refusal_of_tree(
	const struct target *t, struct json_value tree, struct json_value error, struct err *e);

#endif
