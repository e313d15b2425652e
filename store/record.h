/* store/record.h - one line of the journal: 256 bytes, aligned, checksummed.
 *
 * Why 256: what a line has to say takes 175 bytes with its head (a 128-bit request id, six subjects
 * and names, three amounts, six classes of tokens, four durations, the price version, state, the
 * reservation it ends). The size must divide 4096, because the kernel cuts the write of a
 * dying process between pages and nowhere else (store-lab.md section 2.1); so the next size is
 * 256. It costs 0.1 us of processor time per settle against 128 bytes (tests/bench), and
 * nothing in a compressed archive, where the unused bytes are zeros.
 *
 * Numbers are little endian, as in memory: the store does not move between machines of
 * different byte order. All-zero spare bytes leave room for fields that format 1 does not know.
 */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include "base/err.h"

#include <stddef.h>

#define RECORD_BYTES    256
#define RECORD_FORMAT   1
#define RECORD_MAGIC    UINT32_C(0x314C4754) /* "TGL1" */
#define RECORD_NAME_MAX 200                  /* bytes */

enum record_type {
	RECORD_HEAD = 1,   /* first of every segment */
	RECORD_SETTLE = 2, /* a request that ended */
	RECORD_CREDIT = 3, /* money put on or taken off a balance */
	RECORD_NAME = 4,   /* the text behind a 64-bit name */
	RECORD_SUM = 5,    /* what a subject was credited and spent elsewhere, brought here */
};

enum record_tokens {
	RECORD_PROMPT, /* all of the prompt, the cached part included */
	RECORD_CACHE_READ,
	RECORD_CACHE_WRITE_5M,
	RECORD_CACHE_WRITE_1H,
	RECORD_COMPLETION, /* reasoning included */
	RECORD_REASONING,
	RECORD_TOKENS
};

enum record_usage {
	RECORD_USAGE_NONE,      /* nothing was generated */
	RECORD_USAGE_REPORTED,  /* the provider's figures */
	RECORD_USAGE_ESTIMATED, /* nothing reported, ours */
	RECORD_USAGE_PARTIAL,   /* cut: the provider's figures if any, else of what was relayed */
};

enum record_flag {
	RECORD_STREAM = 1 << 0,
	RECORD_CACHE_HIT = 1 << 1,
	RECORD_BYOK = 1 << 2,
	RECORD_FREE = 1 << 3,
	RECORD_CLIENT_GONE = 1 << 4,
	RECORD_LATE = 1 << 5,  /* set by the ledger: its reservation had been reaped before */
	RECORD_ALONE = 1 << 6, /* set by the ledger: admitted while Redis was away */
};

/* Subjects are ids as the keys know them, 0 = none; names are 64-bit hashes, 0 = none. */
struct record_settle {
	uint64_t key;
	uint64_t user;
	uint64_t org;
	uint64_t provider;         /* name */
	uint64_t model;            /* name of what answered */
	uint64_t asked_model;      /* name of what was asked for */
	uint64_t app;              /* name of the calling program */
	int64_t cost_microusd;     /* charged, 0..LEDGER_MICROUSD_MAX */
	int64_t upstream_microusd; /* what the provider takes from us */
	int64_t reserved_microusd; /* what had been held; set by the ledger */
	uint32_t tokens[RECORD_TOKENS];
	uint32_t latency_ms;    /* request received to its end */
	uint32_t ttft_ms;       /* request received to first token; 0 = none */
	uint32_t generation_ms; /* first token to last */
	uint32_t price_version; /* of the catalogue the cost was made with */
	uint32_t lease_index;   /* set by the ledger */
	uint32_t lease_generation;
	uint16_t status;       /* HTTP */
	uint16_t flags;        /* RECORD_STREAM | … */
	uint8_t usage_state;   /* enum record_usage */
	uint8_t attempts;      /* upstream calls, failed ones included */
	uint8_t finish_reason; /* the caller's enumeration */
	uint8_t spare_byte;
	int64_t saved_microusd; /* of a hit: what the answer had cost */
	uint8_t spare[72];
};

struct record_credit {
	uint64_t subject;               /* as made by account_subject() */
	int64_t microusd;               /* may be negative */
	uint64_t actor;                 /* who did it: a user's id or 0 for the operator */
	char note[RECORD_NAME_MAX - 8]; /* NUL-padded text, shown in exports */
};

struct record_head {
	uint64_t segment;
	uint8_t store[16]; /* which store this segment belongs to */
	uint8_t spare[192];
};

struct record_name {
	uint64_t name;
	uint32_t length; /* 1..RECORD_NAME_MAX */
	uint32_t spare;
	char text[RECORD_NAME_MAX];
};

/* The words of struct account, to be added to it. */
struct record_sum {
	uint64_t subject;
	int64_t credited, charged, spent;
	int64_t day, day_spent, day_before_spent;
	int64_t month, month_spent, month_before_spent;
	int64_t requests, failed, prompt_tokens, completion_tokens;
	uint8_t spare[104];
};

struct record {
	uint32_t magic;
	uint32_t crc;   /* CRC32C of everything behind it */
	uint64_t id[2]; /* of the request, or what makes a credit unique */
	int64_t wall_ms;
	uint8_t type;
	uint8_t format;
	uint8_t spare[6];
	union {
		struct record_settle settle;
		struct record_credit credit;
		struct record_head head;
		struct record_name name;
		struct record_sum sum;
	};
};

/* Fills magic, format and checksum; everything else is set. */
void record_seal(struct record *r);

/* Is it a whole record, as it was sealed? */
bool record_is_whole(const struct record *r);

#endif
