#include "fcgi/lib.h"

#include <errno.h>
#include <fcgiapp.h>
#include <fastcgi.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define IS_INT(member) _Generic(((FCGX_Request *)0)->member, int : 1, default : 0)
_Static_assert(IS_INT(ipcFd) && IS_INT(keepConnection) && IS_INT(listen_sock) && IS_INT(detached),
	"libfcgi's request has changed: read fcgi/lib.h");
_Static_assert(_Generic(((FCGX_Request *)0)->paramsPtr, struct Params * : 1, default : 0),
	"libfcgi's request has changed: read fcgi/lib.h");

struct lib {
	FCGX_Request req;
	struct Params *params; /* set aside while the streams are freed without them */
	char **envp;
};

bool lib_init(void)
{
	return FCGX_Init() == 0;
}

struct lib *lib_accept(int fd)
{
	struct lib *l = calloc(1, sizeof(*l));

	if (!l)
		goto fail;
	/* No socket to listen on: when the request is broken, libfcgi closes the connection and
	 * returns instead of waiting for another. Kept, so that it is not closed at once;
	 * detached, so that closing does not wait 2 s for the peer. */
	FCGX_InitRequest(&l->req, -1, 0);
	l->req.ipcFd = fd;
	l->req.keepConnection = 1;
	l->req.detached = 1;
	if (FCGX_Accept_r(&l->req) < 0) {
		free(l);
		return NULL;
	}
	l->params = l->req.paramsPtr;
	/* libfcgi takes an error between two parameters for their proper end. */
	if (FCGX_GetError(l->req.in)) {
		lib_free(l);
		close(fd);
		return NULL;
	}
	/* The first one, FCGI_ROLE, was made up by libfcgi. */
	l->envp = l->req.envp + 1;
	return l;
fail:
	close(fd);
	return NULL;
}

void lib_free(struct lib *l)
{
	if (!l)
		return;
	l->req.paramsPtr = l->params;
	FCGX_Free(&l->req, 0);
	free(l);
}

unsigned lib_request_id(const struct lib *l)
{
	return (unsigned)l->req.requestId & 0xffff;
}

bool lib_is_responder(const struct lib *l)
{
	return l->req.role == FCGI_RESPONDER;
}

char **lib_params(const struct lib *l)
{
	return l->envp;
}

enum lib_read lib_read(struct lib *l, struct slice *piece)
{
	FCGX_Stream *in = l->req.in;

	if (!in)
		return LIB_END;
	if (in->rdNext == in->stop) {
		int c = FCGX_GetChar(in); /* fills the buffer */

		if (c == EOF) {
			int error = FCGX_GetError(in);

			if (error == EAGAIN || error == EWOULDBLOCK)
				return LIB_TIMEOUT;
			return error ? LIB_BROKEN : LIB_END;
		}
		FCGX_UnGetChar(c, in);
	}
	*piece = (struct slice){ (const char *)in->rdNext, (size_t)(in->stop - in->rdNext) };
	in->rdNext = in->stop;
	return LIB_BYTES;
}

void lib_release(struct lib *l)
{
	l->req.paramsPtr = NULL;
	FCGX_Free(&l->req, 0);
}
