/* store/byok_ring.h - the master keys that users' own provider keys are encrypted with.
 *
 * They come from GATEWAY_MASTER_KEY (32 bytes each, in base64, separated by commas) and from
 * GATEWAY_HOME/byok.master, a file with such a text on each line. The first of all encrypts, and
 * every one opens what it closed. Records name their key by its kid, which is made from the key
 * itself: nobody has to number them.
 *
 * The file is replaced whole, under the lock of byok.gdbm.
 * Ownership: { 0 } is an empty ring; byok_ring_fini() wipes it. Threads: no shared state.
 */
#ifndef STORE_BYOK_RING_H
#define STORE_BYOK_RING_H

#include "base/crypto.h"

#define BYOK_RING_SETTING "GATEWAY_MASTER_KEY"
#define BYOK_RING_FILE    "byok.master"
#define BYOK_RING_MAX     8

struct byok_ring_key {
	uint64_t kid; /* never 0 */
	uint8_t key[CRYPTO_KEY_BYTES];
};

struct byok_ring {
	struct byok_ring_key keys[BYOK_RING_MAX];
	size_t n;
	size_t from_setting; /* the first so many; the others stood in the file */
};

/* Reads both places; setting is the value of GATEWAY_MASTER_KEY, "" = not set. A ring may be empty.
 * ERR_CONF when the setting is wrong (never with its text), ERR_STORE when the file is wrong, or
 * open to others. r is set in any case. */
MUST_CHECK enum err_code byok_ring_read(
	struct byok_ring *r, const char *home, const char *setting, struct err *e);
void byok_ring_fini(struct byok_ring *r);

/* The key of this kid, lent, or NULL. */
const struct byok_ring_key *byok_ring_find(const struct byok_ring *r, uint64_t kid);

/* Puts a new random key in front of those of the file. The setting has none, and there is room. */
void byok_ring_renew(struct byok_ring *r);

/* Writes the keys that stood in the file, or keep of them at most; with none left there is no
 * file. The home folder exists and the lock is held. Durable on ERR_OK. ERR_STORE. */
MUST_CHECK enum err_code byok_ring_write(
	const struct byok_ring *r, size_t keep, const char *home, struct err *e);

#endif
