/* store/attempts.h - what was tried for a request, when one attempt did not do: attempts.ring.
 *
 * A sparse file of ATTEMPTS_SLOTS slots, 16 MB at most, in GATEWAY_HOME. The ledger's id of the
 * request chooses a row of ATTEMPTS_WAYS slots, and the oldest of them gives way; so what is there
 * is of the last days, or hours, with failures, and nothing has to be cleared away. A slot is one
 * page with a checksum, written at once: a process that is killed leaves what was there before,
 * or what was to be there. Two that write into one row at the same moment may lose one of the two
 * texts, which says how an answer came about, not what it cost.
 *
 * The text is JSON made by the caller: no secret, no prompt.
 * Threads: any; no shared state. Blocking: one read and one write of a file.
 */
#ifndef STORE_ATTEMPTS_H
#define STORE_ATTEMPTS_H

#include "base/buf.h"
#include "store/ledger.h"

#define ATTEMPTS_FILE       "attempts.ring"
#define ATTEMPTS_SLOTS      4096
#define ATTEMPTS_WAYS       4
#define ATTEMPTS_SLOT_BYTES 4096
#define ATTEMPTS_JSON_MAX   (ATTEMPTS_SLOT_BYTES - 48) /* bytes of a text */

/* Keeps json (1..ATTEMPTS_JSON_MAX bytes) for the request, instead of what was kept for it before.
 * The folder must be there. ERR_RANGE, ERR_STORE: nothing has changed. */
MUST_CHECK enum err_code attempts_put(
	const char *home, struct ledger_id id, int64_t wall_ms, struct slice json, struct err *e);

/* Appends what is kept. ERR_NOT_FOUND, ERR_STORE: nothing was appended. */
MUST_CHECK enum err_code attempts_get(
	const char *home, struct ledger_id id, struct buf *json, struct err *e);

#endif
