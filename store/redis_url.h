/* store/redis_url.h - where Redis is, read from a URL: for redis.c and the files beside it.
 *
 * Ownership: all by value; it holds a password, so redis_target_fini() wipes it.
 */
#ifndef STORE_REDIS_URL_H
#define STORE_REDIS_URL_H

#include "base/buf.h"

#define REDIS_HOST_SIZE  256
#define REDIS_HOSTS_MAX  16
#define REDIS_SECRET_MAX 512 /* bytes of user or password, NUL included */

enum redis_mode { REDIS_SINGLE, REDIS_SENTINEL, REDIS_CLUSTER };

/* path: of a unix socket; then host is "" and port 0. */
struct redis_address {
	char host[REDIS_HOST_SIZE];
	char path[108]; /* as sun_path */
	uint16_t port;
};

struct redis_target {
	enum redis_mode mode;
	bool tls; /* to the nodes that hold data */
	bool has_user, has_password;
	char user[REDIS_SECRET_MAX], password[REDIS_SECRET_MAX];
	struct redis_address
		at[REDIS_HOSTS_MAX]; /* one; or the Sentinels, or nodes to begin with */
	size_t at_n;
	char master[128]; /* what the Sentinels call it */
	int64_t db;
	char where[600]; /* for messages: hosts, ports or path; no user, no password */
};

/* ERR_CONF, with what is accepted, and never a part of the URL: it holds a password. */
MUST_CHECK enum err_code redis_url_read(const char *url, struct redis_target *out, struct err *e);
void redis_target_fini(struct redis_target *t);

/* "host:port", "[v6]:port" or the path. */
void redis_address_text(const struct redis_address *a, char *out, size_t size);

#endif
