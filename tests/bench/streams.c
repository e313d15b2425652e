/* tests/bench/streams.c - holds thousands of open event streams on one thread.
 *
 *     streams PORT COUNT <request
 *
 * Opens COUNT connections to 127.0.0.1:PORT, at most BURST of them waiting for an answer at a
 * time, sends each the request (whole, as read from standard input up to its end), and prints
 * "open N refused N" once every connection had its first event or was refused. From then on
 * SIGUSR1 prints "events N open N", counted since the start; it ends with SIGTERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define BURST       200
#define REQUEST_MAX 8192

static const char mark[] = "data: {";

struct stream {
	int fd;
	size_t matched; /* bytes of mark seen last */
	bool started;
};

static struct {
	int epoll;
	uint16_t port;
	char request[REQUEST_MAX];
	size_t request_len;
	size_t wanted, begun, started, refused, open;
	uint64_t events;
} all;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void begin(struct stream *s)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons(all.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = s };

	all.begun++;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		fail("socket");
	if (connect(s->fd, (struct sockaddr *)&to, sizeof(to)) ||
		send(s->fd, all.request, all.request_len, MSG_NOSIGNAL) < 0) {
		close(s->fd);
		all.refused++;
		return;
	}
	all.open++;
	if (epoll_ctl(all.epoll, EPOLL_CTL_ADD, s->fd, &ev))
		fail("epoll_ctl");
}

static void end(struct stream *s)
{
	close(s->fd);
	all.open--;
	if (!s->started)
		all.refused++;
}

static void take(struct stream *s)
{
	char bytes[16384];
	ssize_t n = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end(s);
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] == mark[s->matched])
			s->matched++;
		else
			s->matched = bytes[i] == mark[0];
		if (s->matched == sizeof(mark) - 1) {
			s->matched = 0;
			all.events++;
			all.started += !s->started;
			s->started = true;
		}
	}
}

static void run(struct stream *streams, int signals)
{
	struct epoll_event events[256];
	struct signalfd_siginfo info;
	bool told = false;

	for (;;) {
		int n;

		while (all.begun < all.wanted && all.begun < all.started + all.refused + BURST)
			begin(&streams[all.begun]);
		if (!told && all.started + all.refused == all.wanted) {
			printf("open %zu refused %zu\n", all.started, all.refused);
			told = true;
		}
		n = epoll_wait(all.epoll, events, 256, 1000);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr) {
				take(events[i].data.ptr);
				continue;
			}
			if (read(signals, &info, sizeof(info)) != sizeof(info))
				fail("signalfd");
			if (info.ssi_signo == SIGTERM)
				return;
			printf("events %llu open %zu\n", (unsigned long long)all.events, all.open);
		}
	}
}

int main(int argc, char **argv)
{
	struct rlimit files;
	struct epoll_event ev = { .events = EPOLLIN };
	struct stream *streams;
	sigset_t set;
	int signals;

	if (argc != 3) {
		fprintf(stderr, "usage: streams PORT COUNT <request\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	all.port = (uint16_t)strtoul(argv[1], NULL, 10);
	all.wanted = strtoul(argv[2], NULL, 10);
	all.request_len = fread(all.request, 1, sizeof(all.request), stdin);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	streams = calloc(all.wanted, sizeof(*streams));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	all.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!streams || signals < 0 || all.epoll < 0 ||
		epoll_ctl(all.epoll, EPOLL_CTL_ADD, signals, &ev))
		fail("streams");
	run(streams, signals);
	free(streams);
	return 0;
}
