/* store/usage.h - what was used on one UTC day by one key with one model of one provider.
 *
 * Rows of HOME/usage.YYYYMMDD.gdbm. Plain arithmetic, like account.h. The row is as wide as
 * reports need: any grouping (by user, organisation, model, …) is a sum of rows.
 */
#ifndef STORE_USAGE_H
#define STORE_USAGE_H

#include "store/record.h"

#define USAGE_TTFT 40 /* classes of time to first token, each wider by the root of 2 */

struct usage_key {
	uint64_t key;
	uint64_t user;
	uint64_t org;
	uint64_t model;    /* name */
	uint64_t provider; /* name */
};

struct usage_row {
	int64_t requests;
	int64_t failed;    /* status 400 and above */
	int64_t estimated; /* the figures are ours, in part or whole */
	int64_t cached;    /* answered from the cache */
	int64_t cost_microusd;
	int64_t upstream_microusd;
	int64_t tokens[RECORD_TOKENS];
	int64_t latency_ms; /* sum */
	int64_t attempts;   /* sum */
	uint32_t ttft[USAGE_TTFT];
};

struct usage_key usage_key_of(const struct record_settle *s);
void usage_apply(struct usage_row *u, const struct record *r);
void usage_add(struct usage_row *sum, const struct usage_row *u);

/* The time to first token that percent (1..100) of the requests did not exceed, to the width of
 * a class, in ms; 0 = none had one. */
int64_t usage_ttft_ms(const struct usage_row *u, int percent);

/* "usage.20261121.gdbm" of a day since 1970. */
#define USAGE_FILE_SIZE 24
void usage_file(int64_t day, char out[USAGE_FILE_SIZE]);

#endif
