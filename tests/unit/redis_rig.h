/* tests/unit/redis_rig.h - a real redis-server of one's own, in a temporary folder.
 *
 *	struct redis_rig rig = { .aof = "always" };
 *
 *	assert_true(redis_rig_start(&rig));
 *	… redis_open() with rig.url …
 *	redis_rig_kill(&rig);
 *	assert_true(redis_rig_restart(&rig));
 *	redis_rig_stop(&rig);
 *
 * A server always listens on a unix socket in its folder, and on a port of 127.0.0.1 if that is
 * wished for; the port stays reserved from start to stop. It dies with the thread that started it.
 * REDIS_SERVER in the environment names another program (valkey-server).
 * What fails says so on stderr and returns false.
 */
#ifndef UNIT_REDIS_RIG_H
#define UNIT_REDIS_RIG_H

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define RIG_WAIT_MS 20000 /* for what a machine may take under load */

struct redis_rig {
	/* what is wished for */
	bool tcp;             /* on a port; url then names it */
	bool tls;             /* on a port, with certificates of its own: ca_file */
	const char *password; /* NULL = none */
	const char *aof;      /* "always", "everysec"; NULL = nothing is kept */
	unsigned replica_of;  /* port of a master; 0 = none. Its password is this one's */
	bool cluster;         /* a node without slots; see redis_rig_cluster() */
	const char *more;     /* more lines of redis.conf */
	const char *sentinel; /* a Sentinel instead: "sentinel monitor …" and so on */
	const char *names;    /* of the certificate: default "DNS:localhost,IP:127.0.0.1" */

	/* what there is */
	char dir[64], path[108], ca_file[108];
	char url[256]; /* by port if there is one, else by path; with the password */
	unsigned port, bus_port;
	int reserved[2]; /* sockets that hold the ports */
	pid_t pid;
};

/* ---- ports and files ---- */

static inline int rig_reserve(unsigned *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	/* With this option another may listen where one that does not listen is bound. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0 ||
		getsockname(fd, (struct sockaddr *)&in, &size) < 0) {
		perror("redis_rig: a port");
		return -1;
	}
	*port = ntohs(in.sin_port);
	return fd;
}

static inline bool rig_run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline bool rig_run(const char *format, ...)
{
	char command[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) == 0) /* NOLINT(cert-env33-c): the test's own words */
		return true;
	fprintf(stderr, "redis_rig: failed: %s\n", command);
	return false;
}

/* A certificate authority, and a certificate of its making for these names. */
static inline bool rig_certificates(struct redis_rig *g)
{
	snprintf(g->ca_file, sizeof(g->ca_file), "%s/ca.pem", g->dir);
	return rig_run(
		"cd %s && exec >/dev/null 2>&1 </dev/null;"
		"new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes';"
		"openssl req -x509 $new -keyout ca.key -out ca.pem -days 2 -subj /CN=rig-ca &&"
		"openssl req $new -keyout key.pem -out req.pem -subj /CN=rig &&"
		"echo 'subjectAltName=%s' >ext &&"
		"openssl x509 -req -in req.pem -CA ca.pem -CAkey ca.key -CAcreateserial "
		"-days 2 -extfile ext -out cert.pem",
		g->dir, g->names ? g->names : "DNS:localhost,IP:127.0.0.1");
}

static inline bool rig_write_conf(const struct redis_rig *g)
{
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "%s/redis.conf", g->dir);
	f = fopen(path, "we");
	if (!f)
		return false;
	fprintf(f, "dir %s\nunixsocket %s\nunixsocketperm 700\nbind 127.0.0.1\nlogfile log\n",
		g->dir, g->path);
	fprintf(f, "%s %u\n", g->tls ? "port 0\ntls-port" : "port", g->port);
	if (g->tls)
		fprintf(f, "tls-cert-file cert.pem\ntls-key-file key.pem\ntls-ca-cert-file ca.pem\n"
			   "tls-auth-clients no\n");
	if (g->sentinel) {
		fprintf(f, "%s\n", g->sentinel);
	} else {
		fprintf(f, "save \"\"\nappendonly %s\n", g->aof ? "yes" : "no");
		if (g->aof)
			fprintf(f, "appendfsync %s\n", g->aof);
		if (g->cluster)
			fprintf(f,
				"cluster-enabled yes\ncluster-port %u\n"
				"cluster-node-timeout 2000\n",
				g->bus_port);
		if (g->replica_of)
			fprintf(f, "replicaof 127.0.0.1 %u\n", g->replica_of);
		if (g->password)
			fprintf(f, "masterauth %s\n", g->password);
	}
	if (g->password)
		fprintf(f, "requirepass %s\n", g->password);
	if (g->more)
		fprintf(f, "%s\n", g->more);
	return fclose(f) == 0;
}

static inline void rig_write_url(struct redis_rig *g)
{
	char who[80] = "";

	if (g->password)
		snprintf(who, sizeof(who), ":%s@", g->password);
	if (g->port)
		snprintf(g->url, sizeof(g->url), "%s://%s%s:%u/0", g->tls ? "rediss" : "redis", who,
			g->tls ? "localhost" : "127.0.0.1", g->port);
	else
		snprintf(g->url, sizeof(g->url), "unix://%s%s", who, g->path);
}

/* ---- talking to it ---- */

static inline int rig_connect(const struct redis_rig *g)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(un.sun_path, g->path, sizeof(un.sun_path));
	if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Sends lines and reads until the connection is quiet for a moment after lines_n answers' first
 * lines; enough for a test's own small questions. */
static inline bool rig_exchange(int fd, const char *text, char *out, size_t size)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0;

	out[0] = '\0';
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		return false;
	while (n + 1 < size && poll(&p, 1, n ? 20 : RIG_WAIT_MS) > 0) {
		ssize_t got = recv(fd, out + n, size - 1 - n, 0);

		if (got <= 0)
			break;
		n += (size_t)got;
		out[n] = '\0';
	}
	return n > 0;
}

/* One command, its words divided by blanks; its answer as it came ("+OK\r\n") in out. */
static inline bool redis_rig_ask(
	const struct redis_rig *g, const char *command, char *out, size_t size)
{
	char line[1024], welcome[64];
	int fd = rig_connect(g);
	bool good = fd >= 0;

	out[0] = '\0';
	if (good && g->password) {
		snprintf(line, sizeof(line), "AUTH %s\r\n", g->password);
		good = rig_exchange(fd, line, welcome, sizeof(welcome));
	}
	snprintf(line, sizeof(line), "%s\r\n", command);
	good = good && rig_exchange(fd, line, out, size);
	if (fd >= 0)
		close(fd);
	return good;
}

/* Asks until the answer holds these words. */
static inline bool redis_rig_await(
	const struct redis_rig *g, const char *command, const char *words)
{
	int64_t until = clock_mono_ms() + RIG_WAIT_MS;
	char out[16384] = "";

	do {
		if (redis_rig_ask(g, command, out, sizeof(out)) && strstr(out, words))
			return true;
		poll(NULL, 0, 20);
	} while (clock_mono_ms() < until);
	fprintf(stderr, "redis_rig: %s never said %s, but: %s\n", command, words, out);
	return false;
}

/* ---- its life ---- */

static inline bool redis_rig_restart(struct redis_rig *g)
{
	const char *program = getenv("REDIS_SERVER");
	char conf[96];

	snprintf(conf, sizeof(conf), "%s/redis.conf", g->dir);
	unlink(g->path);
	g->pid = fork();
	if (g->pid == 0) {
		sigset_t none;
		int null = open("/dev/null", O_RDWR);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		dup2(null, 0);
		dup2(null, 1);
		program = program ? program : "redis-server";
		execlp(program, program, conf, g->sentinel ? "--sentinel" : NULL, (char *)NULL);
		perror("redis_rig: redis-server");
		_exit(127);
	}
	return g->pid > 0 && redis_rig_await(g, "PING", "PONG");
}

static inline bool redis_rig_start(struct redis_rig *g)
{
	const char *top = getenv("TMPDIR");

	g->reserved[0] = g->reserved[1] = -1;
	snprintf(g->dir, sizeof(g->dir), "%s/tollgate-redis-XXXXXX",
		top && strlen(top) < 24 ? top : "/tmp");
	if (!mkdtemp(g->dir))
		return false;
	snprintf(g->path, sizeof(g->path), "%s/socket", g->dir);
	if ((g->tcp || g->tls || g->sentinel || g->cluster || g->replica_of) &&
		(g->reserved[0] = rig_reserve(&g->port)) < 0)
		return false;
	if (g->cluster && (g->reserved[1] = rig_reserve(&g->bus_port)) < 0)
		return false;
	if (g->tls && !rig_certificates(g))
		return false;
	rig_write_url(g);
	return rig_write_conf(g) && redis_rig_restart(g);
}

/* SIGKILL, as a machine that fails. */
static inline void redis_rig_kill(struct redis_rig *g)
{
	if (g->pid <= 0)
		return;
	kill(g->pid, SIGKILL);
	kill(g->pid, SIGCONT);
	waitpid(g->pid, NULL, 0);
	g->pid = 0;
}

/* Hangs: connections are taken by the kernel, and nobody answers. */
static inline void redis_rig_pause(const struct redis_rig *g)
{
	kill(g->pid, SIGSTOP);
}

static inline void redis_rig_resume(const struct redis_rig *g)
{
	kill(g->pid, SIGCONT);
}

/* Ends it and removes its folder; an empty or ended one is fine. */
static inline void redis_rig_stop(struct redis_rig *g)
{
	redis_rig_kill(g);
	if (!g->dir[0])
		return;
	for (size_t i = 0; i < 2; i++)
		if (g->reserved[i] >= 0)
			close(g->reserved[i]);
	(void)rig_run("rm -rf -- %s", g->dir);
	g->dir[0] = '\0';
}

/* Starts n nodes (their wishes set, cluster too) and shares the slots among them. url: of all. */
static inline bool redis_rig_cluster(struct redis_rig *nodes, size_t n, char *url, size_t size)
{
	char command[128], out[256];
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		nodes[i].cluster = true;
		if (!redis_rig_start(&nodes[i]))
			return false;
		snprintf(command, sizeof(command), "CLUSTER ADDSLOTSRANGE %zu %zu", 16384 * i / n,
			16384 * (i + 1) / n - 1);
		if (!redis_rig_await(&nodes[i], command, "OK"))
			return false;
		snprintf(command, sizeof(command), "CLUSTER MEET 127.0.0.1 %u %u", nodes[i].port,
			nodes[i].bus_port);
		if (i && !redis_rig_ask(&nodes[0], command, out, sizeof(out)))
			return false;
	}
	at += (size_t)snprintf(url, size, "%s://%s%s%s",
		nodes[0].tls ? "rediss+cluster" : "redis+cluster", nodes[0].password ? ":" : "",
		nodes[0].password ? nodes[0].password : "", nodes[0].password ? "@" : "");
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(
			url + at, size - at, "%s127.0.0.1:%u", i ? "," : "", nodes[i].port);
	snprintf(command, sizeof(command), "cluster_known_nodes:%zu", n);
	for (size_t i = 0; i < n; i++)
		if (!redis_rig_await(&nodes[i], "CLUSTER INFO", "cluster_state:ok") ||
			!redis_rig_await(&nodes[i], "CLUSTER INFO", command))
			return false;
	return true;
}

#endif
