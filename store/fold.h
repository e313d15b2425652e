/* store/fold.h - turns closed segments into new checkpoints.
 *
 * One process at a time, by fold.lock: it names the next segment, waits until nobody can be in
 * the old one, adds up what is closed, and replaces the files of the days concerned, then
 * ledger.gdbm. Each file says up to which segment it was folded, so a fold that is killed
 * anywhere is simply repeated. A segment is removed (or compressed into HOME/archive) when
 * neither ledger.gdbm nor the one before it needs it.
 *
 * Blocking: copies, syncs and renames the checkpoints; the mutex is held for moments only.
 */
#ifndef STORE_FOLD_H
#define STORE_FOLD_H

#include "store/books.h"

/* Is the segment large or old enough, and the last fold long enough ago (at least 2 s, and 50
 * times as long as it took)? */
bool fold_is_due(struct ledger *l, struct ledger_now now);

/* Folds everything written so far. ERR_BUSY: another folds (after wait_ms), or a process is
 * stopped in the middle of an append; ERR_STORE: a segment is missing, a file is bad, the disk is
 * full. Nothing is lost by failing. */
MUST_CHECK enum err_code fold_run(
	struct ledger *l, struct ledger_now now, int64_t wait_ms, struct err *e);

/* Makes all checkpoints anew from the journal, of which every segment since the first must be
 * there (GATEWAY_JOURNAL_KEEP), and the table from them. The old files stay as NAME.replaced.
 * Errors as above; before anything is moved, ERR_STORE names the segment that is missing. */
MUST_CHECK enum err_code fold_replay(struct ledger *l, struct ledger_now now, struct err *e);

#endif
