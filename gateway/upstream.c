#include "gateway/upstream_inside.h"

#include "base/clock.h"
#include "base/ip.h"
#include "gateway/curl_late.h"

#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CONNECTIONS_KEPT 256
#define READ_BYTES       8192 /* curl's read buffer: one per stream */

_Static_assert(WIRE_ERROR_SIZE >= CURL_ERROR_SIZE, "curl writes so much");

/* ---- curl's callbacks ---- */

static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	struct pump *p = t->pump;
	struct job *j = t->job;
	enum job_next next;

	n *= size;
	if (t->overtaken)
		return 0;
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
	pump_look_by(p, p->now_ms + j->idle_ms);
	if (pump_goes_on(p, t, next))
		return n;
	if (next == JOB_FAIL)
		return 0;
	/* Done before the body has ended. The request is the job's: only when all of it was sent
	 * may the transfer outlive the job. */
	curl_off_t sent = 0;

	curl_easy_getinfo(t->handle->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	t->linger_until_ms = p->now_ms + LINGER_MS;
	pump_look_by(p, t->linger_until_ms);
	if ((size_t)sent < j->req->body.len)
		t->linger_bytes = LINGER_BYTES;
	curl_easy_setopt(t->handle->easy, CURLOPT_HTTPHEADER, NULL);
	pump_finish(p, t, ERR_OK);
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
	if (t->overtaken)
		return 0;
	if (!j || t->head_done)
		return n;                   /* trailers */
	if (slice_starts(value, "HTTP/")) { /* a new head: the one before was a 1xx */
		j->content_type[0] = '\0';
		j->error_type[0] = '\0';
		j->kept[0] = '\0';
		j->retry_after_ms = -1;
		return n;
	}
	if (slice_trim(value).len == 0) {
		curl_easy_getinfo(t->handle->easy, CURLINFO_RESPONSE_CODE, &status);
		if (status < 200)
			return n;
		t->head_done = true;
		j->status = (int)status;
		return pump_goes_on(t->pump, t, j->ops->on_head(j, &j->err)) ? n : 0;
	}
	name = slice_cut(&value, ':');
	value = slice_trim(value);
	if (j->wanted && slice_is_nocase(name, j->wanted) &&
		!slice_copy(value, j->kept, sizeof(j->kept)))
		j->kept[0] = '\0';
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
static struct handle *handle_new(struct pump *p)
{
	struct handle *h = calloc(1, sizeof(*h));
	CURL *c = h ? curl_easy_init() : NULL;

	if (!c) {
		free(h);
		return NULL;
	}
	h->easy = c;
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_SHARE, p->share);
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
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)READ_BYTES);
	curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_POST, 1L);
	return h;
}

static void handle_free(struct handle *h)
{
	curl_easy_cleanup(h->easy);
	curl_url_cleanup(h->url);
	free(h->url_text);
	free(h);
}

/* One that was used for this URL before, if there is one. */
static struct handle *handle_take(struct pump *p, const char *url)
{
	struct handle *h;
	size_t i = p->handles_n;

	if (!i)
		return handle_new(p);
	while (i > 1 && strcmp(p->handles[i - 1]->url_text, url) != 0)
		i--;
	h = p->handles[i - 1];
	p->handles[i - 1] = p->handles[--p->handles_n];
	return h;
}

/* Left to itself curl takes the URL apart and puts it together again for each transfer. */
static bool handle_aim(struct handle *h, const struct pump *p, const char *url)
{
	if (h->url_text && !strcmp(h->url_text, url))
		return true;
	curl_url_cleanup(h->url);
	free(h->url_text);
	h->url = curl_url();
	h->url_text = strdup(url);
	if (!h->url || !h->url_text)
		return false;
	curl_easy_setopt(h->easy, CURLOPT_URL, url);
	/* What is wrong with a URL that cannot be read, the transfer says. */
	curl_easy_setopt(h->easy, CURLOPT_CURLU,
		curl_url_set(h->url, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) ? NULL : h->url);
	/* Where HTTP/2 is thinkable curl holds a transfer back until the first one to this host
	 * knows; without TLS it would know with the first answer only. */
	curl_easy_setopt(h->easy, CURLOPT_HTTP_VERSION,
		p->http2 && slice_starts_nocase(slice_of(url), "https:")
			? (long)CURL_HTTP_VERSION_2TLS
			: (long)CURL_HTTP_VERSION_1_1);
	return true;
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

/* The headers stay where they are, each with a NUL behind it. */
static bool list_headers(struct transfer *t, const struct buf *headers)
{
	static char agent[] = "User-Agent: tollgate/" TOLLGATE_VERSION;
	struct curl_slist *node;
	size_t n = 0;

	for (size_t i = 0; i < headers->len; i++)
		n += !headers->data[i];
	t->headers = node = calloc(n + 1, sizeof(*node));
	if (!node)
		return false;
	node->data = agent; /* as an option of curl's it would be written anew for each transfer */
	for (size_t i = 0; i < headers->len; i += strlen(node->data) + 1) {
		node->next = node + 1;
		node++;
		node->data = headers->data + i;
	}
	return true;
}

bool wire_begin(struct pump *p, struct transfer *t)
{
	struct job *j = t->job;
	const struct http_req *r = j->req;
	struct slice body = buf_slice(&r->body);
	CURL *c;

	t->handle = handle_take(p, r->url);
	if (!t->handle || !handle_aim(t->handle, p, r->url) || !list_headers(t, &r->headers)) {
		t->unusual = true;
		return false;
	}
	c = t->handle->easy;
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, t->headers);
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

void wire_end(struct pump *p, struct transfer *t)
{
	struct handle *h = t->handle;

	if (h) {
		curl_multi_remove_handle(p->multi, h->easy);
		curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, NULL);
		curl_easy_setopt(h->easy, CURLOPT_POSTFIELDS, NULL);
		curl_easy_setopt(h->easy, CURLOPT_ERRORBUFFER, NULL);
		if (p->handles_n < HANDLES_KEPT && !t->unusual)
			p->handles[p->handles_n++] = h;
		else
			handle_free(h);
	}
	free(t->headers);
}

int wire_resume(struct transfer *t)
{
	return (int)curl_easy_pause(t->handle->easy, CURLPAUSE_CONT);
}

void wire_event(struct pump *p, int fd, uint32_t bits)
{
	int flags = 0, running;

	flags |= bits & EPOLLIN ? CURL_CSELECT_IN : 0;
	flags |= bits & EPOLLOUT ? CURL_CSELECT_OUT : 0;
	flags |= bits & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0;
	curl_multi_socket_action(p->multi, fd, flags, &running);
}

void wire_timer(struct pump *p)
{
	int running;

	curl_multi_socket_action(p->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

/* ---- how a transfer ended ---- */

enum err_code wire_failure(const struct transfer *t, int failure, struct err *e)
{
	CURLcode code = (CURLcode)failure;
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

void wire_reap(struct pump *p)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(p->multi, &left))) {
		struct transfer *t;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
		pump_ended(p, t, (int)m->data.result);
	}
}

/* ---- all of it ---- */

enum err_code wire_open(struct pump *p, struct err *e)
{
	enum err_code rc = curl_late_load(e);

	if (rc)
		return rc;
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return err_set(e, ERR_INTERNAL, "libcurl cannot be initialised");
	p->multi = curl_multi_init();
	p->share = curl_share_init();
	if (!p->multi || !p->share)
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	curl_share_setopt(p->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p);
	curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p);
	curl_multi_setopt(p->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
	return ERR_OK;
}

void wire_close(struct pump *p)
{
	while (p->handles_n)
		handle_free(p->handles[--p->handles_n]);
	if (p->multi)
		curl_multi_cleanup(p->multi);
	if (p->share)
		curl_share_cleanup(p->share);
}
