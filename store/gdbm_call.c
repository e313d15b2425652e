#include "store/gdbm_call.h"

#include <fcntl.h>
#include <gdbm.h>
#include <setjmp.h>
#include <unistd.h>

#define BLOCK  4096 /* bytes; of files that are made */
#define COMMON (GDBM_NOLOCK | GDBM_NOMMAP | GDBM_CLOEXEC)

static _Thread_local jmp_buf *way_out;

static void on_fatal(const char *text)
{
	(void)text;
	if (way_out)
		longjmp(*way_out, 1);
}

static datum datum_of(struct slice s)
{
	/* GDBM does not write through the pointer. */
	return (datum){ .dptr = (char *)(uintptr_t)s.ptr, .dsize = (int)s.len };
}

static bool open_with(struct gdbm_call *c, int flags)
{
	if (c->op != GDBM_OP_WRITE && c->op != GDBM_OP_CREATE)
		c->dbf = gdbm_fd_open(c->fd, c->path, BLOCK, flags, on_fatal);
	else
		c->dbf = gdbm_open(c->path, 0, flags, 0600, on_fatal);
	return c->dbf != NULL;
}

/* GDBM synchronises whatever it closes, which takes as long as the disk wants; what may be lost at
 * a power cut need not wait for it. So the file is closed before, under its number. */
static bool leave(struct gdbm_file_info *dbf)
{
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (nothing >= 0) {
		(void)dup3(nothing, gdbm_fdesc(dbf), O_CLOEXEC);
		close(nothing);
	}
	(void)gdbm_close(dbf); /* fails: there is nothing to synchronise */
	return true;
}

static bool find(struct gdbm_call *c, datum found)
{
	c->found = (struct slice){ found.dptr, found.dptr ? (size_t)found.dsize : 0 };
	return found.dptr != NULL;
}

static bool make(struct gdbm_call *c)
{
	switch (c->op) {
	case GDBM_OP_READ:
		return open_with(c, GDBM_READER | GDBM_CLOERROR | COMMON);
	case GDBM_OP_WRITE:
		return open_with(c, GDBM_WRITER | COMMON);
	case GDBM_OP_CREATE:
		return open_with(c, GDBM_NEWDB | COMMON);
	case GDBM_OP_ALTER:
		return open_with(c, GDBM_WRCREAT | GDBM_CLOERROR | COMMON);
	case GDBM_OP_LEAVE:
		return leave(c->dbf);
	case GDBM_OP_CLOSE:
		return gdbm_close(c->dbf) == 0;
	case GDBM_OP_SYNC:
		return gdbm_sync(c->dbf) == 0;
	case GDBM_OP_FETCH:
		return find(c, gdbm_fetch(c->dbf, datum_of(c->key)));
	case GDBM_OP_FIRST:
		return find(c, gdbm_firstkey(c->dbf));
	case GDBM_OP_NEXT:
		return find(c, gdbm_nextkey(c->dbf, datum_of(c->key)));
	case GDBM_OP_EXISTS:
		return gdbm_exists(c->dbf, datum_of(c->key)) != 0;
	case GDBM_OP_STORE:
		return gdbm_store(c->dbf, datum_of(c->key), datum_of(c->value), GDBM_REPLACE) == 0;
	case GDBM_OP_DELETE:
		return gdbm_delete(c->dbf, datum_of(c->key)) == 0;
	}
	return false;
}

bool gdbm_call(struct gdbm_call *c)
{
	jmp_buf here;
	bool worked;

	c->found = (struct slice){ NULL, 0 };
	if (setjmp(here)) {
		way_out = NULL;
		gdbm_errno = GDBM_NEED_RECOVERY;
		return false;
	}
	way_out = &here;
	gdbm_errno = GDBM_NO_ERROR;
	worked = make(c);
	way_out = NULL;
	return worked;
}

enum gdbm_why gdbm_call_why(void)
{
	if (gdbm_errno == GDBM_ITEM_NOT_FOUND)
		return GDBM_WHY_NOTHING;
	return gdbm_errno == GDBM_MALLOC_ERROR ? GDBM_WHY_MEMORY : GDBM_WHY_DAMAGE;
}

const char *gdbm_call_text(void)
{
	return gdbm_strerror(gdbm_errno);
}

int gdbm_call_fd(struct gdbm_file_info *dbf)
{
	return gdbm_fdesc(dbf);
}
