/* base/err.h - what can go wrong, said once.
 *
 * Every code has one row in the table of err.c: the HTTP status a client sees, the
 * error_type of the JSON error, and whether sending the same request again can help.
 * Sources: DESIGN.md section 6 (one error shape), kilo-contract.md sections 8 and 35.
 *
 * Ownership: struct err is the caller's, holds everything by value, needs no end.
 * Threads:   no shared state.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#define MUST_CHECK        __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

struct buf;

enum err_code {
	ERR_OK = 0,
	/* the caller's doing */
	ERR_BAD_REQUEST,       /* 400: malformed or missing field */
	ERR_BAD_PATH,          /* 400: below a base path, but no endpoint has this name */
	ERR_DATA_COLLECTION,   /* 400: the model collects data, which policy or request forbid */
	ERR_UNSUPPORTED,       /* 400: a field or value that this provider cannot honour */
	ERR_CONTEXT_LENGTH,    /* 400: the conversation is too long for the model */
	ERR_UNAUTHENTICATED,   /* 401: the key is unknown, revoked or malformed */
	ERR_PAID_AUTH,         /* 401: a paid model asked for without a key */
	ERR_NO_CREDIT,         /* 402 */
	ERR_FORBIDDEN,         /* 403: the organisation or key does not allow the model */
	ERR_PROVIDER_DENIED,   /* 403: the organisation does not allow the provider */
	ERR_ACCESS_DENIED,     /* 403: not for this user, key, organisation or role */
	ERR_NOT_FOUND,         /* 404: also the plain "nothing there" inside the program */
	ERR_MODEL_NOT_FOUND,   /* 404: no such model */
	ERR_MODEL_UNAVAILABLE, /* 404: known model, no configured provider serves it */
	ERR_METHOD,            /* 405 */
	ERR_BODY_TIMEOUT,      /* 408: the request body did not arrive in time */
	ERR_TOO_LARGE,         /* 413 */
	ERR_MEDIA_TYPE,        /* 415 */
	ERR_RATE_LIMITED,      /* 429 */
	ERR_NOT_CACHED,        /* 504: only a remembered answer was wanted (RFC 9111 5.2.1.7) */
	ERR_CLIENT_GONE,       /* 499: log only */
	ERR_OVERTAKEN,         /* inside the program only: another attempt was faster */
	/* ours */
	ERR_INTERNAL,  /* 500 */
	ERR_NO_MEMORY, /* 503 */
	ERR_BUSY,      /* 503: too many requests at once, or the process is draining */
	ERR_STORE,     /* 503: the store cannot be read or written */
	ERR_CONF,      /* at start only: a setting is wrong */
	ERR_RANGE,     /* inside the program only: an argument outside its range */
	ERR_IO,        /* inside the program only: errno is in the message */
	/* the provider's */
	ERR_UPSTREAM_STATUS,    /* the provider's own status, in err.status */
	ERR_BYOK,               /* the provider's own status: it refuses the caller's own key */
	ERR_UPSTREAM_CONNECT,   /* 503: refused, no such host, unreachable, reset */
	ERR_UPSTREAM_TLS,       /* 502: certificate or handshake */
	ERR_UPSTREAM_TIMEOUT,   /* 504: connect, first byte, idle or total limit */
	ERR_UPSTREAM_CLOSED,    /* 502: the answer ended before its end */
	ERR_UPSTREAM_INVALID,   /* 502: not what the dialect allows */
	ERR_UPSTREAM_TOO_LARGE, /* 502: an answer or event above our limit */
	ERR_ALL_DOWN,           /* 503: none of several providers answers */
	ERR_COUNT
};

#define ERR_PARAM_SIZE 64 /* bytes, NUL included */

struct err {
	enum err_code code;
	int status;                 /* HTTP status instead of the table's; 0 = the table's */
	int upstream_status;        /* what the provider answered; 0 = no answer */
	int retry;                  /* 1 retry may help, -1 it will not, 0 = the table's word */
	int64_t retry_after_ms;     /* > 0: when a retry may succeed */
	char param[ERR_PARAM_SIZE]; /* the field or setting at fault; "" = none */
	char reason[48];        /* label for programs, e.g. "PAID_MODEL_AUTH_REQUIRED"; "" = none */
	char provider[32];      /* slug; "" = not about a provider */
	char provider_code[64]; /* the provider's own code, for metadata; "" = none */
	bool has_balance;       /* the money left is known: for ERR_NO_CREDIT */
	int64_t balance_microusd; /* it */
	const char *buy_url;      /* where to get more; lent for as long as the process runs; NULL =
				     nowhere */
	char message[512]; /* what happened and what to do next; never a secret or a prompt */
};

/* Fills *e (which may be NULL) and returns code, so that failing is one statement.
 * Everything but code and message is cleared. The message is cut to fit, at a UTF-8
 * boundary, and control bytes in it become spaces. */
MUST_CHECK enum err_code err_set(struct err *e, enum err_code code, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* The same with param (copied, cut to fit). */
MUST_CHECK enum err_code err_param(struct err *e, enum err_code code, const char *param,
	const char *format, ...) PRINTF_LIKE(4, 5);

/* As err_set, with ": " and the text of errno_value at the end; code is ERR_IO, and ERR_BUSY when
 * there is no descriptor left, which soon may be otherwise. */
MUST_CHECK enum err_code err_errno(struct err *e, int errno_value, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* The HTTP status to answer with: e->status, else the table's. 500 for codes that have none. */
int err_status(const struct err *e);

/* The error_type of the JSON error, e.g. "invalid_request". */
const char *err_type(const struct err *e);

/* May the same request succeed if sent again unchanged? */
bool err_may_retry(const struct err *e);

/* The name of a code in logs, e.g. "upstream_timeout". */
const char *err_name(enum err_code code);

/* Appends the one error shape of DESIGN.md section 6:
 * {"error":{"message","type","code","param","metadata"},"error_type"}.
 * request_id may be NULL; it goes into metadata. */
void err_write_json(const struct err *e, const char *request_id, struct buf *out);

/* Appends only the inner object {"message",…,"metadata":{…}}, for error events in a stream. */
void err_write_object(const struct err *e, const char *request_id, struct buf *out);

#endif
