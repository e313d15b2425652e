/* store/byok_record.h - what byok.gdbm says of one provider key of a user or an organisation:
 * bytes on disk and the struct.
 *
 * The frame is that of people_frame.h with the magic "TB", version 1: { created_ms, updated_ms i64;
 * version, kid u64; owner_kind u32; id 36, tail 4, iv 12, tag 16 }, the texts owner, provider and
 * created_by, then { length u32, the sealed secret }. Flags: 1 = disabled, 2 = may fall back to the
 * operator's key. What is newer, or holds an unknown flag, is refused.
 *
 * The secret is sealed with AES-256-GCM. What it is sealed with (its associated data) is the
 * text "tollgate byok 1", owner_kind, owner, provider, id and version, a line each: a sealed secret
 * that is moved to another owner or provider, or replaced by an older one, does not open.
 *
 * Units: wall-clock milliseconds. Threads: no shared state.
 */
#ifndef STORE_BYOK_RECORD_H
#define STORE_BYOK_RECORD_H

#include "store/byok_ring.h"
#include "store/people_frame.h"
#include "store/people_text.h"

#define BYOK_PROVIDER_SIZE 32   /* of a provider's id, NUL included */
#define BYOK_SECRET_MAX    8192 /* bytes of a secret */
#define BYOK_TAIL_SIZE     5    /* NUL included */
#define BYOK_RECORD_BYTES \
	(FRAME_HEADER + 32 + 4 + 36 + 4 + CRYPTO_IV_BYTES + CRYPTO_TAG_BYTES + \
		2 * (2 + PEOPLE_ID_SIZE) + 2 + BYOK_PROVIDER_SIZE + 4 + BYOK_SECRET_MAX)

enum byok_owner_kind {
	BYOK_USER = 1,
	BYOK_ORG = 2,
};

struct byok_owner {
	enum byok_owner_kind kind;
	char id[PEOPLE_ID_SIZE]; /* of a user, also the implicit one of a key, or of an organisation
				  */
};

/* What anybody who may see the record is told. */
struct byok_info {
	char id[PEOPLE_ORG_ID_SIZE]; /* a UUID, lower-case */
	struct byok_owner owner;
	char provider[BYOK_PROVIDER_SIZE]; /* lower-case */
	char created_by[PEOPLE_ID_SIZE];   /* a user; "" = the operator */
	char tail[BYOK_TAIL_SIZE];         /* the secret's last characters; "" = not shown */
	int64_t created_ms, updated_ms;
	uint64_t version; /* 1 at first, one more with each secret */
	uint64_t kid;     /* of the master key */
	bool disabled;
	bool allow_fallback; /* the operator's key may serve when this one fails */
};

struct byok_record {
	struct byok_info info;
	struct crypto_seal seal;
	size_t sealed_len;
	uint8_t sealed[BYOK_SECRET_MAX];
};

/* Seals a secret (1..BYOK_SECRET_MAX bytes) for what r->info says, and sets its kid. */
void byok_record_seal(struct byok_record *r, const struct byok_ring_key *with, struct slice secret);
/* Writes r->sealed_len bytes. ERR_STORE: the record was tampered with, or the key is another. */
MUST_CHECK enum err_code byok_record_open(const struct byok_record *r,
	const struct byok_ring_key *with, uint8_t secret[BYOK_SECRET_MAX], struct err *e);

/* Lends what lies in out. */
struct slice byok_record_write(const struct byok_record *r, uint8_t out[BYOK_RECORD_BYTES]);
/* ERR_IO: damaged. ERR_STORE: written by a newer version of this program. */
MUST_CHECK enum err_code byok_record_read(
	struct slice bytes, struct byok_record *out, struct err *e);

/* Opens what the form of other gateways holds (kilo-contract.md section 16.3), sealed without
 * associated data: {"iv","data","authTag"}, each in base64, with any key of the ring. Appends to
 * secret. ERR_BAD_REQUEST: not this form, or no master key opens it. */
MUST_CHECK enum err_code byok_record_import(
	struct slice json, const struct byok_ring *ring, struct buf *secret, struct err *e);

#endif
