#include "handlers/cli/selftest_provider.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/json.h"
#include "handlers/cli/selftest_acts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAULTS_MAX      SELFTEST_MODELS_MAX
#define CONNECTIONS_MAX 64
#define REQUEST_MAX     ((size_t)1 << 20)
#define REQUEST_MS      10000
#define STEP_MS         50
#define STACK_BYTES     ((size_t)256 << 10)

struct selftest_provider {
	int listening, closed; /* sockets */
	uint16_t port, closed_port;
	const char *secret;
	pthread_t thread;
	atomic_bool ends;
	atomic_uint connections;
	atomic_uint asked[FAULTS_MAX][SELFTEST_PLACES], left[FAULTS_MAX][SELFTEST_PLACES];
};

struct connection {
	struct selftest_provider *p;
	int fd;
	struct buf in;
	struct slice body; /* of the request, in in */
	size_t fault, place;
	struct selftest_asked asked;
};

/* ---- the request ---- */

/* The length of the body that a head announces. */
static int64_t body_bytes(struct slice head)
{
	int64_t n = 0;

	while (head.len) {
		struct slice line = slice_cut(&head, '\n'), name = slice_cut(&line, ':');

		if (slice_is_nocase(name, "content-length") &&
			!str_int(slice_trim(line), 0, REQUEST_MAX, &n))
			return -1;
	}
	return n;
}

/* Reads a whole request; *head becomes its head. */
static bool read_request(struct connection *c, struct slice *head)
{
	int64_t until_ms = clock_mono_ms() + REQUEST_MS, body = 0;
	const char *end = NULL;

	while (!end || c->in.len < head->len + 4 + (size_t)body) {
		char *room = buf_room(&c->in, 16384);
		ssize_t n;

		if (!room || !selftest_await(c->fd, &c->p->ends, until_ms))
			return false;
		n = recv(c->fd, room, 16384, 0);
		if (n <= 0)
			return false;
		buf_commit(&c->in, (size_t)n);
		end = memmem(c->in.data, c->in.len, "\r\n\r\n", 4);
		if (!end)
			continue;
		*head = (struct slice){ c->in.data, (size_t)(end - c->in.data) };
		body = body_bytes(*head);
		if (body < 0)
			return false;
	}
	c->body = (struct slice){ c->in.data + head->len + 4, (size_t)body };
	return true;
}

/* ---- a connection ---- */

static bool brings_secret(const struct connection *c, struct slice head)
{
	while (head.len) {
		struct slice line = slice_cut(&head, '\n'), name = slice_cut(&line, ':');
		size_t n = strlen(c->p->secret);

		line = slice_trim(line);
		if (slice_is_nocase(name, "authorization"))
			return slice_starts_nocase(line, "bearer ") && line.len == 7 + n &&
			       crypto_equal(line.ptr + 7, c->p->secret, n);
	}
	return false;
}

/* How many words of the answer are the assistant's message that comes last? */
static unsigned words_had(struct json_object *request)
{
	struct json_object *list = NULL, *last;
	struct slice text;
	unsigned n = 0;

	if (!json_object_object_get_ex(request, "messages", &list) ||
		!json_object_is_type(list, json_type_array) || !json_object_array_length(list))
		return 0;
	last = json_object_array_get_idx(list, json_object_array_length(list) - 1);
	if (strcmp(json_member_str(last, "role", ""), "assistant") != 0)
		return 0;
	text = slice_of(json_member_str(last, "content", ""));
	while (text.len && n < SELFTEST_WORDS) {
		char word[8];

		selftest_word(false, n, word);
		if (!slice_starts(text, word))
			return 0;
		text = slice_from(text, strlen(word));
		n++;
	}
	return n;
}

/* Which provider is asked for which fault? */
static bool understand(struct connection *c, struct slice head)
{
	struct slice path = head;
	struct json_object *tree = NULL;
	const char *model;
	struct err e;
	bool known = false;

	slice_cut(&path, '/');
	if (json_read(c->body, 100, &tree, &e))
		return false;
	c->asked.has = words_had(tree);
	model = json_member_str(tree, "model", "");
	c->asked.stream = json_member_bool(tree, "stream", false);
	for (size_t i = 0; i < selftest_fault_count; i++)
		if (strcmp(selftest_faults[i].name, model) == 0) {
			c->fault = i;
			c->asked.fault = &selftest_faults[i];
			known = true;
		}
	json_object_put(tree);
	for (c->place = 0; known && selftest_faults[c->fault].at[c->place]; c->place++)
		if (path.len &&
			path.ptr[0] == '0' + selftest_place(selftest_faults[c->fault].at[c->place]))
			return true;
	return false;
}

static enum selftest_act next_act(struct connection *c)
{
	const struct selftest_fault *f = &selftest_faults[c->fault];
	const uint8_t *acts = f->acts[c->place];
	unsigned n = atomic_fetch_add(&c->p->asked[c->fault][c->place], 1), count = 0;

	while (count < SELFTEST_ACTS && acts[count] != ACT_SAME)
		count++;
	if (!count)
		return ACT_SAME;
	if (f->cycles)
		n %= count;
	return (enum selftest_act)acts[n < count ? n : count - 1];
}

static void *serve(void *ctx)
{
	struct connection *c = ctx;
	struct slice head = { "", 0 };

	if (read_request(c, &head)) {
		if (!brings_secret(c, head))
			(void)selftest_refuse(
				&c->asked, 401, "", "invalid_api_key", "No key of this test");
		else if (!understand(c, head))
			(void)selftest_refuse(
				&c->asked, 404, "", "model_not_found", "No fault of this test");
		else if (selftest_act(&c->asked, next_act(c)))
			atomic_fetch_add(&c->p->left[c->fault][c->place], 1);
	}
	close(c->fd);
	buf_fini(&c->in);
	atomic_fetch_sub(&c->p->connections, 1);
	free(c);
	return NULL;
}

static void take(struct selftest_provider *p, int fd)
{
	const struct timeval patience = { .tv_sec = REQUEST_MS / 1000 };
	struct connection *c = calloc(1, sizeof(*c));
	pthread_attr_t attributes;
	pthread_t thread;

	if (!c || atomic_load(&p->connections) >= CONNECTIONS_MAX) {
		free(c);
		close(fd);
		return;
	}
	*c = (struct connection){ .p = p,
		.fd = fd,
		.asked = { .fd = fd, .ends = &p->ends },
		.in = { .max_bytes = REQUEST_MAX + 65536 } };
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	atomic_fetch_add(&p->connections, 1);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	if (pthread_create(&thread, &attributes, serve, c) != 0) {
		atomic_fetch_sub(&p->connections, 1);
		close(fd);
		free(c);
	}
	pthread_attr_destroy(&attributes);
}

static void *listen_to(void *ctx)
{
	struct selftest_provider *p = ctx;
	struct pollfd fd = { .fd = p->listening, .events = POLLIN };

	while (!atomic_load(&p->ends)) {
		int taken = poll(&fd, 1, STEP_MS) > 0
				    ? accept4(p->listening, NULL, NULL, SOCK_CLOEXEC)
				    : -1;

		if (taken >= 0)
			take(p, taken);
	}
	return NULL;
}

/* ---- all of it ---- */

static int bind_somewhere(uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (bind(fd, (const struct sockaddr *)(const void *)&address, n) != 0 ||
		getsockname(fd, (struct sockaddr *)(void *)&address, &n) != 0) {
		close(fd);
		return -1;
	}
	*port = ntohs(address.sin_port);
	return fd;
}

enum err_code selftest_provider_start(
	const char *secret, struct selftest_provider **out, struct err *e)
{
	struct selftest_provider *p = calloc(1, sizeof(*p));
	int failed;

	*out = NULL;
	if (!p)
		return err_set(e, ERR_NO_MEMORY, "no memory for the providers of the test");
	p->secret = secret;
	p->listening = bind_somewhere(&p->port);
	/* Bound, so that nobody else gets it, but not listening: connections are refused. */
	p->closed = bind_somewhere(&p->closed_port);
	failed = p->listening < 0 || p->closed < 0 || listen(p->listening, 128) != 0 ? errno : 0;
	if (!failed)
		failed = pthread_create(&p->thread, NULL, listen_to, p);
	if (!failed) {
		*out = p;
		return ERR_OK;
	}
	if (p->listening >= 0)
		close(p->listening);
	if (p->closed >= 0)
		close(p->closed);
	free(p);
	return err_errno(e, failed, "no port of 127.0.0.1 can be had");
}

void selftest_provider_stop(struct selftest_provider *p)
{
	if (!p)
		return;
	atomic_store(&p->ends, true);
	pthread_join(p->thread, NULL);
	while (atomic_load(&p->connections))
		poll(NULL, 0, STEP_MS);
	close(p->listening);
	close(p->closed);
	free(p);
}

uint16_t selftest_provider_port(const struct selftest_provider *p)
{
	return p->port;
}

uint16_t selftest_provider_closed_port(const struct selftest_provider *p)
{
	return p->closed_port;
}

unsigned selftest_provider_asked(const struct selftest_provider *p, size_t fault, size_t place)
{
	return atomic_load(&p->asked[fault][place]);
}

unsigned selftest_provider_left(const struct selftest_provider *p, size_t fault, size_t place)
{
	return atomic_load(&p->left[fault][place]);
}
