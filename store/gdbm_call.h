/* store/gdbm_call.h - the one file that calls GDBM.
 *
 * On some kinds of damage GDBM 1.23 calls its "fatal" function and then exit(1), which would take
 * every stream of the process along. So that function leaves by longjmp, the only way out it has,
 * and the call counts as failed. GDBM has freed what it was reading by then; the handle is good
 * for closing.
 *
 * Everything is opened without GDBM's own lock (store-lab.md section 1.1) and without mmap: a
 * file that is cut while open then gives errors, not SIGBUS.
 * Threads: one at a time for a handle.
 */
#ifndef STORE_GDBM_CALL_H
#define STORE_GDBM_CALL_H

#include "base/str.h"

struct gdbm_file_info; /* GDBM's handle */

enum gdbm_op {
	GDBM_OP_READ,   /* opens fd, which is closed with the handle, or when it fails */
	GDBM_OP_WRITE,  /* opens path */
	GDBM_OP_CREATE, /* empties and opens path */
	GDBM_OP_ALTER,  /* opens fd as GDBM_OP_READ does, but to change it; an empty file is made a
			 * database */
	GDBM_OP_CLOSE,
	GDBM_OP_LEAVE, /* closes without waiting for the disk */
	GDBM_OP_SYNC,
	GDBM_OP_FETCH, /* key → found */
	GDBM_OP_FIRST, /* → found, a key */
	GDBM_OP_NEXT,  /* key → found, the key after it */
	GDBM_OP_EXISTS,
	GDBM_OP_STORE, /* key, value; replaces */
	GDBM_OP_DELETE,
};

struct gdbm_call {
	enum gdbm_op op;
	struct gdbm_file_info *dbf; /* set by the opening ones, else the caller's */
	const char *path;
	int fd;
	struct slice key, value;
	struct slice found; /* the caller frees its ptr */
};

enum gdbm_why {
	GDBM_WHY_DAMAGE,
	GDBM_WHY_NOTHING, /* there is no such record, or none after it */
	GDBM_WHY_MEMORY,
};

/* Makes the call; false when it failed, or found nothing. */
MUST_CHECK bool gdbm_call(struct gdbm_call *c);

/* Why this thread's last call was false, and in words (lent for good). */
enum gdbm_why gdbm_call_why(void);
const char *gdbm_call_text(void);

/* The descriptor of a handle; lent. */
int gdbm_call_fd(struct gdbm_file_info *dbf);

#endif
