/* gateway/providers/tool_repair.h - the calls of tools in a conversation, and what they gave, made
 * to fit each other before anybody is asked (kilo-contract.md sections 21.1 and 21.3).
 *
 * A group is an assistant's message and all up to the next one; ids count within it, as they read
 * once escapes are undone:
 *   - of calls with the same id in one message, the first stays;
 *   - a call without a result gets one, in front of all others, that says so;
 *   - of results for the same call, the first stays; one that nobody called for goes;
 *   - what a tool named "read" gave is told in words where it holds a NUL.
 * What has the wrong shape (tool_calls that are no array, an id that is no string) is not touched:
 * whoever it is sent to refuses it.
 *
 * Pure. The client's bytes are spliced: a conversation that is well is not copied.
 */
#ifndef GATEWAY_PROVIDERS_TOOL_REPAIR_H
#define GATEWAY_PROVIDERS_TOOL_REPAIR_H

#include "gateway/providers/tongue.h"

#define TOOL_REPAIR_NOTICE "Tool run interrupted; no result was produced."
#define TOOL_REPAIR_BINARY "Binary content; it cannot be shown as text."

/* Fills out, which must be empty, with the whole body as it must be; leaves it empty when there is
 * nothing to repair. ERR_BAD_REQUEST with param "messages" when they hold nothing but results that
 * nobody called for, or calls without results by the thousand; ERR_NO_MEMORY. The caller ends out.
 */
MUST_CHECK enum err_code tool_repair(const struct chat_req *req, struct buf *out, struct err *e);

#endif
