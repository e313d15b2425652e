/* gateway/attempts_json.h - the attempts of a request as people's programs read them: in
 * generation?id=, and kept by store/attempts.h.
 *
 * [{"provider","model","status","outcome","error","begun_ms","took_ms","ttft_ms","hedge",
 * "rescue"}]; status is the provider's, ttft_ms counts from the beginning of the attempt; both, and
 * error, are null when there was none. outcome is "ok", "failed", "overtaken", "cut" or "running".
 * Pure. Threads: any.
 */
#ifndef GATEWAY_ATTEMPTS_JSON_H
#define GATEWAY_ATTEMPTS_JSON_H

#include "gateway/attempts.h"

/* Appends the list, as at most max bytes; when it would be longer, those before the last are left
 * out that have no room. max >= 1024. */
void attempts_json_write(const struct attempt *at, size_t n, size_t max, struct buf *out);

/* Appends such a list in the words of the header X-Attempts: "openai:503, anthropic:ok". Nothing
 * for what is no such list. */
void attempts_json_words(struct slice json, struct buf *out);

#endif
