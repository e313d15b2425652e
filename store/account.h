/* store/account.h - what one subject has been credited and has spent.
 *
 * Plain arithmetic on one struct: no clock, no file, no lock. The hot table, the fold, the
 * rebuild and the verification all call account_apply(), so they cannot disagree on rules.
 *
 * A line of the journal touches up to ACCOUNT_TARGETS subjects: key, user, organisation, member
 * (a user inside an organisation) and provider. The balance that pays is the organisation's if
 * there is one, else the user's.
 *
 * Days and months are UTC and belong to the time in the record. The latest window and the one
 * before it are kept, so the order in which records of two windows arrive does not matter, and
 * a clock that goes back over midnight counts where it counted before. A record more than one
 * window older than the latest (a clock that had been far ahead) starts the windows afresh.
 *
 * Sixteen words, all changed by words, because the hot table undoes by words.
 * Units: microdollars. Sums stop at INT64_MAX / INT64_MIN instead of wrapping.
 */
#ifndef STORE_ACCOUNT_H
#define STORE_ACCOUNT_H

#include "store/record.h"

#define ACCOUNT_WORDS   16
#define ACCOUNT_TARGETS 5

enum account_kind {
	ACCOUNT_KEY = 1,
	ACCOUNT_USER,
	ACCOUNT_ORG,
	ACCOUNT_MEMBER,
	ACCOUNT_PROVIDER,
	ACCOUNT_ADDRESS, /* only ever limited, never in a record */
	ACCOUNT_KINDS
};

struct account {
	uint64_t subject; /* 0 = an empty slot */
	int64_t credited; /* sum of credits, may be negative */
	int64_t charged;  /* sum of costs that this balance paid */
	int64_t spent;    /* sum of costs, whoever paid */
	int64_t day;      /* latest day with a record, days since 1970; 0 = none */
	int64_t day_spent;
	int64_t day_before_spent; /* of day - 1 */
	int64_t month;            /* months since year 0; 0 = none */
	int64_t month_spent;
	int64_t month_before_spent;
	int64_t requests;
	int64_t failed; /* of them with a status of 400 and above */
	int64_t prompt_tokens;
	int64_t completion_tokens;
	int64_t reserved; /* held by open reservations; only in the hot table */
	int64_t holds;    /* how many; only in the hot table */
};

/* A subject: its kind in the top byte, the low 56 bits of its id below. 0 for id 0. */
uint64_t account_subject(enum account_kind kind, uint64_t id);
/* The member: 0 if one of them is 0. */
uint64_t account_member(uint64_t org, uint64_t user);

enum account_kind account_kind_of(uint64_t subject);
const char *account_kind_name(uint64_t subject); /* "key", "user", … */

/* The subjects that r touches, without zeros and doubles; returns how many. *payer is the one
 * whose balance it charges, 0 = none. */
unsigned account_targets(const struct record *r, uint64_t out[ACCOUNT_TARGETS], uint64_t *payer);

/* What has to be added to have so that it shows what want shows; false when nothing has to. Both
 * are of one subject. */
bool account_difference(
	const struct account *have, const struct account *want, struct record_sum *out);

/* Adds r (a settle, a credit or sums) to a, one of r's targets. */
void account_apply(struct account *a, const struct record *r, uint64_t payer);

int64_t account_balance(const struct account *a); /* credited - charged */
int64_t account_spent_on_day(const struct account *a, int64_t wall_ms);
int64_t account_spent_in_month(const struct account *a, int64_t wall_ms);

int64_t account_day(int64_t wall_ms);
int64_t account_month(int64_t wall_ms);
int64_t account_day_end_ms(int64_t wall_ms); /* the first moment of the next day */
int64_t account_month_end_ms(int64_t wall_ms);

/* a + b, stopping at the ends of the range. */
int64_t account_add(int64_t a, int64_t b);

#endif
