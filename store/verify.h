/* store/verify.h - do the books agree? Journal, checkpoints and table, line by line.
 *
 * Blocking: holds fold.lock for its whole length and the mutex while it copies the table.
 */
#ifndef STORE_VERIFY_H
#define STORE_VERIFY_H

#include "store/ledger.h"

struct verify_report {
	uint64_t settles; /* lines, ever */
	uint64_t credits;
	int64_t cost_microusd;
	int64_t credited_microusd;
	uint64_t accounts;
	uint64_t unfolded;      /* lines in the journal behind the checkpoint */
	uint64_t skipped_bytes; /* of the segments that are there */
	uint64_t leases;
	uint64_t differences;
};

/* Receives each difference as a line of text. */
typedef void (*verify_on_difference)(void *ctx, const char *text);

/* Finishes a fold that was cut off, then compares. ERR_OK: it was done, report->differences says
 * whether they agree; ERR_STORE, ERR_BUSY: it could not be. */
MUST_CHECK enum err_code verify_run(struct ledger *l, struct ledger_now now,
	verify_on_difference on_difference, void *ctx, struct verify_report *report, struct err *e);

/* Builds the table anew from checkpoint and journal, with everybody attached. */
MUST_CHECK enum err_code verify_rebuild(struct ledger *l, struct err *e);

/* An open reservation, as operators see it. */
struct verify_lease {
	uint64_t id; /* first half of the request's */
	uint64_t pid;
	bool owner_is_alive;
	bool is_settling;
	int64_t left_ms; /* until its deadline; may be negative */
	int64_t microusd;
	int64_t tokens;
	uint64_t subjects[LEDGER_SUBJECTS]; /* on which it holds something; 0 = none */
};

typedef enum err_code (*verify_on_lease)(
	void *ctx, const struct verify_lease *lease, struct err *e);

MUST_CHECK enum err_code verify_leases(struct ledger *l, struct ledger_now now,
	verify_on_lease on_lease, void *ctx, struct err *e);

/* Receives a record; anything but ERR_OK stops. */
typedef enum err_code (*verify_on_record)(void *ctx, const struct record *r, struct err *e);

/* The records of one segment, in order. ERR_NOT_FOUND when it was dropped. */
MUST_CHECK enum err_code verify_segment(
	struct ledger *l, uint64_t segment, verify_on_record receive, void *ctx, struct err *e);

/* Every record that is kept, archived segments first, in order: for exports. */
MUST_CHECK enum err_code verify_export(
	struct ledger *l, verify_on_record receive, void *ctx, struct err *e);

#endif
