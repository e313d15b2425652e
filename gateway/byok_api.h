/* gateway/byok_api.h - how users and organisations look after their own provider keys over HTTP
 * (kilo-contract.md section 16.4).
 *
 * Whose keys they are is what byok_owner_of() says. Of an organisation every member sees them, and
 * an owner or billing manager changes them. No answer ever holds a secret, only its last
 * characters.
 *
 * Ownership: answers are appended to out. Blocking: as store/byok.h. Threads: any.
 */
#ifndef GATEWAY_BYOK_API_H
#define GATEWAY_BYOK_API_H

#include "gateway/byok.h"

#define BYOK_BODY_MAX ((size_t)64 << 10) /* bytes of a request */

/* One key as JSON: {"id","provider_id","provider_name","organization_id","created_at","updated_at",
 * "created_by","is_enabled","allow_fallback","masked_key"}. */
void byok_api_item(const struct byok_info *i, struct buf *out);

/* The secret's last characters, as far as they tell nothing: "" for short ones and for JSON. */
void byok_api_tail(const struct byok_name *n, struct slice secret, char out[BYOK_TAIL_SIZE]);

/* An array of items. */
MUST_CHECK enum err_code byok_api_list(
	struct byok *keys, const struct identity *who, struct buf *out, struct err *e);

/* body: {"provider_id","api_key","is_enabled"?,"allow_fallback"?}; api_key is a text or, for
 * providers whose secret is JSON, an object. Answers with the item. ERR_BAD_REQUEST with the member
 * at fault (status 409: there is one), ERR_ACCESS_DENIED. */
MUST_CHECK enum err_code byok_api_add(struct byok *keys, const struct identity *who,
	struct slice body, int64_t now_ms, struct buf *out, struct err *e);

/* body: {"api_key"?,"is_enabled"?,"allow_fallback"?}; id may be a provider's. ERR_NOT_FOUND also
 * for a key of somebody else's. */
MUST_CHECK enum err_code byok_api_edit(struct byok *keys, const struct identity *who,
	struct slice id, struct slice body, int64_t now_ms, struct buf *out, struct err *e);

/* Answers {"success":true}. */
MUST_CHECK enum err_code byok_api_remove(struct byok *keys, const struct identity *who,
	struct slice id, struct buf *out, struct err *e);

#endif
