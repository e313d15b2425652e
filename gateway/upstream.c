#include "gateway/upstream.h"

#include "base/clock.h"
#include "base/ip.h"
#include "base/log.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define SCAN_MS    100 /* deadlines are looked at this often at most */
#define LINGER_MS \
	1000 /* how long the end of a finished answer is awaited, to keep the connection */
#define LINGER_BYTES     (64 << 10)
#define HANDLES_KEPT     128
#define CONNECTIONS_KEPT 256
#define READ_BYTES       8192 /* curl's read buffer: one per stream */

/* What an epoll event belongs to stands in its data word: 0 is the wake descriptor, an odd word is
 * a descriptor of curl's (fd << 2 | 1), anything else points to a transfer, whose client stirred.
 */
#define EVENT_WAKE     UINT64_C(0)
#define EVENT_CURL(fd) ((uint64_t)(fd) << 2 | 1)
#define EVENT_FD(what) ((curl_socket_t)((what) >> 2))

/* One transfer: an easy handle and, until its job has ended, the job. A transfer whose job is
 * done lingers until the provider ends the body, so that the connection can be used again. */
struct transfer {
	struct pump *pump;
	CURL *easy;
	struct job *job; /* NULL while lingering */
	struct curl_slist *headers;
	struct transfer *prev, *next; /* all transfers of the pump; next also links dead ones */
	int64_t linger_until_ms;
	uint64_t linger_bytes;
	int64_t started_ms, last_byte_ms, last_write_ms, full_since_ms;
	uint32_t watching; /* epoll bits set on the client's descriptor, 0 = not in epoll */
	int client_fd;
	bool head_done, body_begun, full, paused;
	bool verdict; /* an operation has decided: JOB_FAIL is in job->err */
	bool dead;
	bool refused_address; /* dial_only forbade one */
	bool unusual;         /* its handle has options that the next one must not have */
	char curl_error[CURL_ERROR_SIZE];
	int socket_errno; /* why there was no socket; 0 = there was */
};

struct pump {
	CURLM *multi;
	int epoll, wake;
	pthread_t thread;
	int64_t now_ms;
	int64_t curl_due_ms; /* -1 = curl wants no timer */
	int64_t scan_due_ms; /* when the next deadline may pass; INT64_MAX without transfers */
	struct transfer all; /* head of the ring */
	struct transfer *dead;
	CURL *handles[HANDLES_KEPT];
	size_t handles_n;
	const char *ca_file, *proxy;
	bool http2;
	pthread_mutex_t lock; /* guards the three below */
	struct job *queue, **queue_end;
	int64_t drain_ms; /* INT64_MAX = not draining */
	bool stop;
};

static void finish(struct pump *p, struct transfer *t, enum err_code rc);

/* ---- the client's descriptor ---- */

static void watch_client(struct pump *p, struct transfer *t, uint32_t bits)
{
	struct epoll_event ev = { .events = bits, .data.ptr = t };

	if (t->client_fd < 0 || bits == t->watching)
		return;
	if (!bits)
		epoll_ctl(p->epoll, EPOLL_CTL_DEL, t->client_fd, NULL);
	else
		epoll_ctl(p->epoll, t->watching ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, t->client_fd, &ev);
	t->watching = bits;
}

static uint32_t wanted_bits(const struct transfer *t)
{
	/* By edges: mod_cgid half-closes its socket behind the body, which stays a hang-up for
	 * ever. */
	return (uint32_t)EPOLLET | EPOLLIN | EPOLLRDHUP | (t->full ? (uint32_t)EPOLLOUT : 0u);
}

/* ---- what operations decide ---- */

/* A limit may pass at this time: the next scan comes no later. */
static void look_by(struct pump *p, int64_t time_ms)
{
	if (p->scan_due_ms > time_ms)
		p->scan_due_ms = time_ms;
}

/* Takes note of an operation's word. Returns true when the job goes on. */
static bool goes_on(struct pump *p, struct transfer *t, enum job_next next)
{
	struct job *j = t->job;

	if (j->wrote) {
		j->wrote = false;
		t->last_write_ms = p->now_ms;
	}
	switch (next) {
	case JOB_FULL:
		if (!t->full) {
			t->full = true;
			t->full_since_ms = p->now_ms;
			look_by(p, p->now_ms + j->client_stall_ms);
			watch_client(p, t, wanted_bits(t));
		}
		return true;
	case JOB_MORE:
		return true;
	case JOB_FAIL:
		t->verdict = true;
		return false;
	case JOB_DONE:
		break;
	}
	return false;
}

/* ---- curl's callbacks ---- */

static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	struct pump *p = t->pump;
	struct job *j = t->job;
	enum job_next next;

	n *= size;
	if (!j) {
		t->linger_bytes += n;
		return t->linger_bytes > LINGER_BYTES ? 0 : n;
	}
	if (t->full) {
		t->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	t->body_begun = true;
	t->last_byte_ms = p->now_ms;
	j->bytes_in += n;
	next = j->ops->on_bytes(j, (struct slice){ bytes, n }, &j->err);
	/* The operation may have shortened the wait for what follows. */
	look_by(p, p->now_ms + j->idle_ms);
	if (goes_on(p, t, next))
		return n;
	if (next == JOB_FAIL)
		return 0;
	/* Done before the body has ended. The request body is the job's: only when all of it
	 * was sent may the transfer outlive the job. */
	curl_off_t sent = 0;

	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	t->linger_until_ms = p->now_ms + LINGER_MS;
	look_by(p, t->linger_until_ms);
	if ((size_t)sent < j->req->body.len)
		t->linger_bytes = LINGER_BYTES;
	finish(p, t, ERR_OK);
	return t->linger_bytes ? 0 : n;
}

/* Retry-After is whole seconds or an HTTP date (RFC 9110 section 10.2.3); OpenAI adds
 * retry-after-ms, and some send fractions (openai-chat.md section 10). */
static int64_t retry_after(struct slice value, int64_t unit_ms)
{
	char text[64];
	char *end;
	double n;
	time_t when;

	if (!slice_copy(value, text, sizeof(text)) || !text[0])
		return -1;
	n = strtod(text, &end);
	if (*end == '\0' && n >= 0 && n < 1e9)
		return (int64_t)(n * (double)unit_ms + 0.5);
	when = curl_getdate(text, NULL);
	if (when < 0)
		return -1;
	int64_t left_ms = (int64_t)when * 1000 - clock_wall_ms();
	return left_ms > 0 ? left_ms : 0;
}

static size_t on_header(char *bytes, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	struct job *j = t->job;
	struct slice value = { bytes, size * n }, name;
	long status = 0;
	int64_t ms;

	n *= size;
	if (!j || t->head_done)
		return n;                   /* trailers */
	if (slice_starts(value, "HTTP/")) { /* a new head: the one before was a 1xx */
		j->content_type[0] = '\0';
		j->error_type[0] = '\0';
		j->retry_after_ms = -1;
		return n;
	}
	if (slice_trim(value).len == 0) {
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
		if (status < 200)
			return n;
		t->head_done = true;
		j->status = (int)status;
		return goes_on(t->pump, t, j->ops->on_head(j, &j->err)) ? n : 0;
	}
	name = slice_cut(&value, ':');
	value = slice_trim(value);
	if (slice_is_nocase(name, "content-type")) {
		value = slice_trim(slice_cut(&value, ';'));
		if (!slice_copy(value, j->content_type, sizeof(j->content_type)))
			j->content_type[0] = '\0';
		for (char *c = j->content_type; *c; c++)
			if (*c >= 'A' && *c <= 'Z')
				*c = (char)(*c - 'A' + 'a');
	} else if (slice_is_nocase(name, "retry-after-ms")) {
		ms = retry_after(value, 1);
		if (ms >= 0)
			j->retry_after_ms = ms;
	} else if (slice_is_nocase(name, "retry-after") && j->retry_after_ms < 0) {
		j->retry_after_ms = retry_after(value, 1000);
	} else if (slice_is_nocase(name, "x-amzn-errortype")) {
		if (!slice_copy(value, j->error_type, sizeof(j->error_type)))
			j->error_type[0] = '\0';
	} else if (slice_is_nocase(name, "content-encoding") && value.len &&
		   !slice_is_nocase(value, "identity")) {
		/* None was asked for, and a bomb must not be unpacked. */
		t->verdict = true;
		(void)!err_set(&j->err, ERR_UPSTREAM_INVALID,
			"the provider sent a compressed answer that was not asked for");
		return 0;
	}
	return n;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
	struct pump *p = ctx;
	struct epoll_event ev = { .data.u64 = EVENT_CURL(fd) };

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(p->epoll, EPOLL_CTL_DEL, fd, NULL);
		curl_multi_assign(p->multi, fd, NULL);
		return 0;
	}
	ev.events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0u) |
		    (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0u);
	if (epoll_ctl(p->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) && errno == EEXIST)
		epoll_ctl(p->epoll, EPOLL_CTL_MOD, fd, &ev);
	curl_multi_assign(p->multi, fd, p);
	return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx)
{
	struct pump *p = ctx;

	(void)multi;
	p->curl_due_ms = timeout_ms < 0 ? -1 : clock_mono_ms() + timeout_ms;
	return 0;
}

/* ---- transfers ---- */

/* What never changes between transfers is set once per handle. */
static CURL *handle_new(struct pump *p)
{
	CURL *c = curl_easy_init();

	if (!c)
		return NULL;
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_PIPEWAIT, 1L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (p->ca_file[0])
		curl_easy_setopt(c, CURLOPT_CAINFO, p->ca_file);
	/* "" also switches off http_proxy and the like in the environment. */
	curl_easy_setopt(c, CURLOPT_PROXY, p->proxy);
	curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(c, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "tollgate/" TOLLGATE_VERSION);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)READ_BYTES);
	curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_POST, 1L);
	return c;
}

/* May a client choose this address? */
static bool may_dial(const struct curl_sockaddr *to, const char *also)
{
	struct ip ip = { .bytes = { [10] = 0xff, [11] = 0xff } };

	if (to->family == AF_INET)
		memcpy(ip.bytes + 12,
			&((const struct sockaddr_in *)(const void *)&to->addr)->sin_addr, 4);
	else if (to->family == AF_INET6)
		memcpy(ip.bytes, &((const struct sockaddr_in6 *)(const void *)&to->addr)->sin6_addr,
			16);
	else
		return false;
	return ip_is_public(&ip) || ip_in_list(&ip, also);
}

/* curl does not tell why it got no socket. This is the address that is dialled, whatever a name
 * meant before or will mean later. */
static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct transfer *t = ctx;
	int fd;

	(void)purpose;
	if (t->job && t->job->dial_only && !may_dial(to, t->job->dial_only)) {
		t->refused_address = true;
		return CURL_SOCKET_BAD;
	}
	fd = socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
	t->socket_errno = fd < 0 ? errno : 0;
	return fd;
}

static bool prepare(struct pump *p, struct transfer *t)
{
	struct job *j = t->job;
	const struct http_req *r = j->req;
	struct slice body = buf_slice(&r->body);
	struct curl_slist *more;
	CURL *c;

	c = t->easy = p->handles_n ? p->handles[--p->handles_n] : handle_new(p);
	if (!c)
		return false;
	for (const char *h = r->headers.data, *end = h + r->headers.len; h && h < end;
		h += strlen(h) + 1) {
		more = curl_slist_append(t->headers, h);
		if (!more)
			return false;
		t->headers = more;
	}
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, t->headers);
	curl_easy_setopt(c, CURLOPT_URL, r->url);
	/* Where HTTP/2 is thinkable curl holds a transfer back until the first one to this host
	 * knows; without TLS it would know with the first answer only. */
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION,
		p->http2 && slice_starts_nocase(slice_of(r->url), "https:")
			? (long)CURL_HTTP_VERSION_2TLS
			: (long)CURL_HTTP_VERSION_1_1);
	if (j->get) {
		curl_easy_setopt(c, CURLOPT_HTTPGET, 1L);
	} else {
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.ptr);
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
	}
	if (j->dial_only) {
		/* A kept connection was dialled by other rules, and a proxy dials for itself. */
		curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
		curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
		curl_easy_setopt(c, CURLOPT_PROXY, "");
	}
	t->unusual = j->get || j->dial_only;
	curl_easy_setopt(c, CURLOPT_ABSTRACT_UNIX_SOCKET, j->unix_socket);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)j->connect_ms);
	curl_easy_setopt(c, CURLOPT_PRIVATE, t);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, t);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->curl_error);
	return curl_multi_add_handle(p->multi, c) == CURLM_OK;
}

/* Unlinks t and keeps its handle for the next one. t itself is freed at the end of the round:
 * events of this round may still point to it. */
static void retire(struct pump *p, struct transfer *t)
{
	t->prev->next = t->next;
	t->next->prev = t->prev;
	if (t->easy) {
		curl_multi_remove_handle(p->multi, t->easy);
		/* The headers hold a key: the handle must not keep a pointer to them. */
		curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, NULL);
		curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, NULL);
		curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, NULL);
		if (p->handles_n < HANDLES_KEPT && !t->unusual)
			p->handles[p->handles_n++] = t->easy;
		else
			curl_easy_cleanup(t->easy);
	}
	for (struct curl_slist *h = t->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(t->headers);
	t->dead = true;
	t->next = p->dead;
	p->dead = t;
}

/* Gives the job back to its request thread. The transfer stays until retire(). */
static void finish(struct pump *p, struct transfer *t, enum err_code rc)
{
	struct job *j = t->job;

	watch_client(p, t, 0);
	t->job = NULL;
	j->rc = rc;
	sem_post(&j->ended); /* from here on j is not ours */
}

static void fail(struct pump *p, struct transfer *t, enum err_code rc)
{
	finish(p, t, rc);
	retire(p, t);
}

static void start(struct pump *p, struct job *j)
{
	struct transfer *t = calloc(1, sizeof(*t));

	if (!t) {
		j->rc = err_set(&j->err, ERR_NO_MEMORY, "out of memory");
		sem_post(&j->ended);
		return;
	}
	t->pump = p;
	t->job = j;
	t->client_fd = j->client ? sink_fd(j->client) : -1;
	t->started_ms = t->last_byte_ms = t->last_write_ms = p->now_ms;
	t->prev = p->all.prev;
	t->next = &p->all;
	t->prev->next = t->next->prev = t;
	look_by(p, p->now_ms + SCAN_MS);
	if (!prepare(p, t))
		fail(p, t, err_set(&j->err, ERR_NO_MEMORY, "the transfer could not be set up"));
}

/* ---- how a transfer ended ---- */

static enum err_code curl_failure(const struct transfer *t, CURLcode code, struct err *e)
{
	const char *why = t->curl_error[0] ? t->curl_error : curl_easy_strerror(code);

	switch (code) {
	case CURLE_OUT_OF_MEMORY:
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	case CURLE_OPERATION_TIMEDOUT:
		return err_set(e, ERR_UPSTREAM_TIMEOUT,
			"no connection to the provider within the limit (GATEWAY_CONNECT_TIMEOUT)");
	case CURLE_COULDNT_CONNECT:
		if (t->refused_address)
			return err_set(e, ERR_BAD_REQUEST,
				"the address of that host is not public (GATEWAY_FETCH_ALLOW)");
		if (t->socket_errno == EMFILE || t->socket_errno == ENFILE)
			return err_set(e, ERR_BUSY,
				"no file descriptor left for a connection to the provider");
		return err_set(e, ERR_UPSTREAM_CONNECT, "the provider cannot be reached: %s", why);
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return err_set(e, ERR_UPSTREAM_CONNECT,
			"the provider's host name has no address: %s", why);
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return err_set(e, ERR_UPSTREAM_TLS, "TLS with the provider failed: %s", why);
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_BAD_CONTENT_ENCODING:
		return err_set(e, ERR_UPSTREAM_INVALID,
			"the provider does not speak HTTP as it should: %s", why);
	default:
		if (!t->head_done)
			return err_set(e, ERR_UPSTREAM_CONNECT,
				"the provider closed the connection without an answer");
		return err_set(e, ERR_UPSTREAM_CLOSED, "the provider's answer broke off");
	}
}

static void on_transfer_end(struct pump *p, struct transfer *t, CURLcode code)
{
	struct job *j = t->job;
	enum err_code rc;
	enum job_next next;

	if (!j) {
		retire(p, t);
		return;
	}
	if (t->verdict) {
		fail(p, t, j->err.code);
		return;
	}
	rc = code == CURLE_OK ? ERR_OK : curl_failure(t, code, &j->err);
	if (t->head_done) {
		next = j->ops->on_end(j, code != CURLE_OK, &j->err);
		if (next == JOB_DONE || (next == JOB_MORE && code == CURLE_OK))
			rc = ERR_OK;
		else if (next == JOB_FAIL)
			rc = j->err.code;
	} else if (code == CURLE_OK) {
		rc = err_set(&j->err, ERR_UPSTREAM_CONNECT,
			"the provider closed the connection without an answer");
	}
	fail(p, t, rc);
}

static void reap(struct pump *p)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(p->multi, &left))) {
		struct transfer *t;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
		on_transfer_end(p, t, m->data.result);
	}
}

/* ---- time ---- */

/* The time when t next needs a look; acts on what is already due. INT64_MAX once it has ended. */
static int64_t look_at(struct pump *p, struct transfer *t, int64_t drain_ms)
{
	struct job *j = t->job;
	int64_t due, limit;
	enum job_next next;

	if (!j) {
		if (p->now_ms < t->linger_until_ms)
			return t->linger_until_ms;
		retire(p, t);
		return INT64_MAX;
	}
	/* The client is watched only from here on: a short request never pays for it. */
	if (!t->watching)
		watch_client(p, t, wanted_bits(t));
	if (p->now_ms >= drain_ms) {
		fail(p, t,
			err_set(&j->err, ERR_BUSY,
				"the gateway is being restarted: send the request again"));
		return INT64_MAX;
	}
	if (p->now_ms >= j->deadline_mono_ms) {
		fail(p, t,
			err_set(&j->err, ERR_UPSTREAM_TIMEOUT,
				"the answer took longer than allowed (GATEWAY_DEADLINE)"));
		return INT64_MAX;
	}
	due = drain_ms < j->deadline_mono_ms ? drain_ms : j->deadline_mono_ms;
	if (t->full) {
		limit = t->full_since_ms + j->client_stall_ms;
		if (p->now_ms >= limit) {
			fail(p, t,
				err_set(&j->err, ERR_CLIENT_GONE,
					"the client took nothing for too long "
					"(GATEWAY_CLIENT_STALL)"));
			return INT64_MAX;
		}
		return limit < due ? limit : due;
	}
	limit = t->body_begun ? t->last_byte_ms + j->idle_ms : t->started_ms + j->first_byte_ms;
	if (p->now_ms >= limit) {
		next = t->body_begun ? j->ops->on_idle(j, &j->err) : JOB_MORE;
		if (next == JOB_MORE)
			fail(p, t,
				t->body_begun
					? err_set(&j->err, ERR_UPSTREAM_TIMEOUT,
						  "the provider fell silent (GATEWAY_IDLE_TIMEOUT)")
					: err_set(&j->err, ERR_UPSTREAM_TIMEOUT,
						  "the provider sent nothing in time "
						  "(GATEWAY_FIRST_TOKEN_TIMEOUT)"));
		else
			fail(p, t, next == JOB_DONE ? ERR_OK : j->err.code);
		return INT64_MAX;
	}
	if (limit < due)
		due = limit;
	if (j->heartbeat_ms > 0) {
		limit = t->last_write_ms + j->heartbeat_ms;
		if (p->now_ms >= limit) {
			next = j->ops->on_beat(j, &j->err);
			t->last_write_ms = p->now_ms;
			if (!goes_on(p, t, next)) {
				fail(p, t, next == JOB_DONE ? ERR_OK : j->err.code);
				return INT64_MAX;
			}
			limit = p->now_ms + j->heartbeat_ms;
		}
		if (limit < due)
			due = limit;
	}
	return due;
}

static void scan(struct pump *p, int64_t drain_ms)
{
	int64_t soonest = INT64_MAX, due;

	for (struct transfer *t = p->all.next, *next; t != &p->all; t = next) {
		next = t->next;
		due = look_at(p, t, drain_ms);
		if (due < soonest)
			soonest = due;
	}
	if (soonest != INT64_MAX && soonest < p->now_ms + SCAN_MS)
		soonest = p->now_ms + SCAN_MS;
	p->scan_due_ms = soonest;
}

/* ---- the loop ---- */

static void on_client(struct pump *p, struct transfer *t, uint32_t bits)
{
	struct job *j = t->job;
	enum sink_state state;

	if (t->dead || !j)
		return;
	if (bits & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) && sink_is_gone(j->client)) {
		fail(p, t, err_set(&j->err, ERR_CLIENT_GONE, "the client has left"));
		return;
	}
	if (!(bits & EPOLLOUT) || !t->full)
		return;
	state = sink_flush(j->client);
	if (state == SINK_GONE) {
		fail(p, t, err_set(&j->err, ERR_CLIENT_GONE, "the client has left"));
		return;
	}
	if (state == SINK_FULL)
		return;
	t->full = false;
	t->last_byte_ms = t->last_write_ms = p->now_ms;
	watch_client(p, t, wanted_bits(t));
	look_by(p, p->now_ms + SCAN_MS); /* the other limits count again */
	if (t->paused) {
		t->paused = false;
		/* What was held back is delivered in this call; its failure ends the transfer. */
		CURLcode code = curl_easy_pause(t->easy, CURLPAUSE_CONT);

		if (code)
			on_transfer_end(p, t, code);
	}
}

static void take_jobs(struct pump *p, int64_t *drain_ms, bool *stop)
{
	struct job *j, *next;
	uint64_t n;

	if (read(p->wake, &n, sizeof(n)) < 0 && errno != EAGAIN)
		log_line(LOG_ERROR, "pump: cannot read its wake descriptor: %s", strerror(errno));
	pthread_mutex_lock(&p->lock);
	j = p->queue;
	p->queue = NULL;
	p->queue_end = &p->queue;
	if (p->drain_ms != *drain_ms) {
		*drain_ms = p->drain_ms;
		p->scan_due_ms = p->now_ms;
	}
	*stop = p->stop;
	pthread_mutex_unlock(&p->lock);
	for (; j; j = next) {
		next = j->next;
		start(p, j);
	}
}

static int wait_ms(const struct pump *p)
{
	int64_t due = p->scan_due_ms;

	if (p->curl_due_ms >= 0 && p->curl_due_ms < due)
		due = p->curl_due_ms;
	if (due == INT64_MAX)
		return -1;
	due -= clock_mono_ms();
	return due < 0 ? 0 : due > 60000 ? 60000 : (int)due;
}

static void *run(void *arg)
{
	struct pump *p = arg;
	struct epoll_event events[EVENTS_MAX];
	int64_t drain_ms = INT64_MAX;
	bool stop = false;
	int running;

	while (!stop) {
		int n = epoll_wait(p->epoll, events, EVENTS_MAX, wait_ms(p));

		p->now_ms = clock_mono_ms();
		for (int i = 0; i < n; i++) {
			uint64_t what = events[i].data.u64;
			uint32_t bits = events[i].events;
			int flags = 0;

			if (what == EVENT_WAKE) {
				take_jobs(p, &drain_ms, &stop);
				continue;
			}
			if (!(what & 1)) {
				on_client(p, events[i].data.ptr, bits);
				continue;
			}
			flags |= bits & EPOLLIN ? CURL_CSELECT_IN : 0;
			flags |= bits & EPOLLOUT ? CURL_CSELECT_OUT : 0;
			flags |= bits & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0;
			curl_multi_socket_action(p->multi, EVENT_FD(what), flags, &running);
		}
		if (p->curl_due_ms >= 0 && p->now_ms >= p->curl_due_ms) {
			p->curl_due_ms = -1;
			curl_multi_socket_action(p->multi, CURL_SOCKET_TIMEOUT, 0, &running);
		}
		reap(p);
		if (p->now_ms >= p->scan_due_ms)
			scan(p, drain_ms);
		while (p->dead) {
			struct transfer *t = p->dead;

			p->dead = t->next;
			free(t);
		}
	}
	return NULL;
}

/* ---- from outside ---- */

static void free_pump(struct pump *p)
{
	if (p->multi)
		curl_multi_cleanup(p->multi);
	if (p->epoll >= 0)
		close(p->epoll);
	if (p->wake >= 0)
		close(p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

enum err_code pump_start(const struct pump_conf *conf, struct pump **out, struct err *e)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = EVENT_WAKE };
	sigset_t all, before;
	struct pump *p;
	int rc;

	*out = NULL;
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return err_set(e, ERR_INTERNAL, "libcurl cannot be initialised");
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	p->ca_file = conf->ca_file;
	p->proxy = conf->proxy;
	p->http2 = conf->http2;
	p->curl_due_ms = -1;
	p->scan_due_ms = p->drain_ms = INT64_MAX;
	p->queue_end = &p->queue;
	p->all.prev = p->all.next = &p->all;
	pthread_mutex_init(&p->lock, NULL);
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->multi = curl_multi_init();
	if (p->epoll < 0 || p->wake < 0 || !p->multi ||
		epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->wake, &ev)) {
		rc = errno;
		free_pump(p);
		return err_errno(e, rc, "the pump cannot be set up");
	}
	curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p);
	curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p);
	curl_multi_setopt(p->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&p->thread, NULL, run, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc) {
		free_pump(p);
		return err_errno(e, rc, "the pump's thread cannot be started");
	}
	*out = p;
	return ERR_OK;
}

static void wake(struct pump *p)
{
	uint64_t one = 1;

	/* It can only fail when the counter is full, and then the pump is awake anyway. */
	if (write(p->wake, &one, sizeof(one)) < 0)
		return;
}

void pump_stop(struct pump *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_mutex_unlock(&p->lock);
	wake(p);
	pthread_join(p->thread, NULL);
	while (p->all.next != &p->all)
		retire(p, p->all.next);
	while (p->dead) {
		struct transfer *t = p->dead;

		p->dead = t->next;
		free(t);
	}
	while (p->handles_n)
		curl_easy_cleanup(p->handles[--p->handles_n]);
	free_pump(p);
}

void pump_drain(struct pump *p, int64_t deadline_mono_ms)
{
	pthread_mutex_lock(&p->lock);
	p->drain_ms = deadline_mono_ms;
	pthread_mutex_unlock(&p->lock);
	wake(p);
}

enum err_code pump_run(struct pump *p, struct job *j, struct err *e)
{
	bool first;

	j->status = 0;
	j->bytes_in = 0;
	j->content_type[0] = '\0';
	j->retry_after_ms = -1;
	j->err = (struct err){ 0 };
	j->next = NULL;
	sem_init(&j->ended, 0, 0);
	pthread_mutex_lock(&p->lock);
	first = !p->queue;
	*p->queue_end = j;
	p->queue_end = &j->next;
	pthread_mutex_unlock(&p->lock);
	if (first)
		wake(p);
	while (sem_wait(&j->ended) && errno == EINTR)
		;
	sem_destroy(&j->ended);
	if (j->rc && e)
		*e = j->err;
	return j->rc;
}
