/* gateway/limits.h - may this request be sent? What it may cost at most is reserved on every limit
 * that applies, on all or on none (DESIGN.md section 5).
 *
 * Which limits apply:
 *   every caller with a key    the key's requests and tokens per minute, requests at once, budget
 *   a key made for a user      that user's balance and daily limit
 *   a request for an org       the organisation's balance, the member's daily limit
 *   nobody                     GATEWAY_FREE_PER_HOUR requests in any hour from one address
 * A key that was made for nobody in particular is the operator's own: it has no balance, only its
 * budget. Money limits are left out for free models.
 *
 * Blocking: as ledger_reserve. Threads: any.
 */
#ifndef GATEWAY_LIMITS_H
#define GATEWAY_LIMITS_H

#include "base/ip.h"
#include "gateway/cost.h"
#include "store/ledger.h"
#include "store/people.h"

struct limits_conf {
	int64_t free_per_hour;    /* 0..65535; 0 = nothing for anonymous callers */
	int64_t ipv6_prefix_bits; /* an IPv6 caller is known by so many bits, 1..128 */
	const char *buy_url;      /* where credit can be bought; "" = nowhere */
};

struct limits_who {
	const struct identity *identity; /* key NULL = anonymous */
	const struct ip *address;        /* NULL = unknown: all unknown ones are one */
};

struct limits_what {
	struct ledger_id id;
	const struct cost_table *prices; /* NULL = unknown */
	bool free;
	struct cost_ask worst;    /* what it may use at most, for money */
	int64_t likely_tokens;    /* what it will use more likely, for tokens per minute */
	int64_t deadline_mono_ms; /* when the reservation is given back at the latest */
};

struct admission {
	struct ledger_lease lease;
	struct ledger_limit limits[LEDGER_LIMITS];
	size_t limits_n;
	int64_t microusd; /* reserved */
};

/* ERR_OK: admitted; the caller must settle or release *a. ERR_RATE_LIMITED with the time when it
 * will succeed, ERR_NO_CREDIT with the balance and the address for more, ERR_FORBIDDEN when
 * money is limited and the price unknown; ERR_STORE, ERR_BUSY. *a tells the state of the limits
 * in each case. */
MUST_CHECK enum err_code limits_admit(struct ledger *l, struct ledger_now now,
	const struct limits_conf *conf, const struct limits_who *who,
	const struct limits_what *what, struct admission *a, struct err *e);

/* An address as a number; IPv6 without the bits a caller can change at will. NULL = nobody knows.
 */
uint64_t limits_address_number(const struct ip *ip, int64_t prefix_bits);

/* Adds the limits that apply to a->limits without reserving anything: for ledger_look(). */
void limits_collect(const struct limits_conf *conf, const struct limits_who *who, bool free,
	struct admission *a);

/* Adds x-ratelimit-{limit,remaining,reset}-{requests,tokens} in OpenAI's form (openai-chat.md
 * section 10) for the limits there are. */
void limits_write_head(const struct admission *a, struct buf *head);

/* "6m0s", "1.5s", "120ms": a duration as OpenAI writes it. */
#define LIMITS_DURATION_SIZE 32
void limits_duration(int64_t ms, char out[LIMITS_DURATION_SIZE]);

#endif
