/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of a network, for tests and benchmarks: runs in the guest and on
 * the host.
 *
 *   peer serve PORT              answers on TCP and UDP, both families
 *   peer get ADDRESS PORT BYTES  receives them, checks each
 *   peer put ADDRESS PORT BYTES  sends them; the other side checks
 *   peer rr ADDRESS PORT COUNT   one byte there and back, COUNT times
 *   peer conn ADDRESS PORT COUNT as many connections, a byte each way
 *   peer udp ADDRESS PORT COUNT SIZE   datagrams there and back, checked
 *   peer pour ADDRESS PORT COUNT SIZE  datagrams there, whatever comes of them
 *   peer run ADDRESS PORT COUNT SIZE   the same, 32 of them on their way
 *   peer refused ADDRESS PORT COUNT    so many at most, until it is told that
 *                                      nobody takes them
 *
 * A connection's first byte says what it is for: 'g' and 8 bytes of a number,
 * 'p', 'e' (echo), 'c': the byte after it comes back, and that was all, so that
 * nothing of the connection stays at the client. A client prints "COUNT SECONDS" and is content, or says
 * what is wrong and gives 1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PERIOD 65521u /* of the pattern; a prime */
#define PIECE  (4 * 65536u)

static uint8_t pattern[PERIOD + PIECE], data[PIECE];

static void fail(const char *what)
{
	printf("peer: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int send_all(int fd, const void *from, size_t size)
{
	const char *at = from;

	while (size) {
		ssize_t n = write(fd, at, size);

		if (n <= 0)
			return -1;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

static int take_all(int fd, void *to, size_t size)
{
	char *at = to;

	while (size) {
		ssize_t n = read(fd, at, size);

		if (n <= 0)
			return -1;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

static int send_pattern(int fd, uint64_t count)
{
	for (uint64_t done = 0; done < count;) {
		uint64_t part = count - done < PIECE ? count - done : PIECE;

		if (send_all(fd, pattern + done % PERIOD, part))
			return -1;
		done += part;
	}
	return 0;
}

/* As many bytes of the pattern as come; *bad: others. */
static uint64_t take_pattern(int fd, uint64_t most, uint64_t *bad)
{
	uint64_t done = 0;

	*bad = 0;
	while (done < most) {
		ssize_t n = read(fd, data, PIECE);

		if (n <= 0)
			break;
		*bad += !!memcmp(data, pattern + done % PERIOD, (size_t)n);
		done += (uint64_t)n;
	}
	return done;
}

/* --- the server ---------------------------------------------------------------- */

static void serve_one(int fd)
{
	uint64_t count = 0, answer[2];
	char what;
	ssize_t n;

	if (take_all(fd, &what, 1))
		return;
	if (what == 'g' && !take_all(fd, &count, sizeof(count))) {
		send_pattern(fd, count);
	} else if (what == 'p') {
		answer[0] = take_pattern(fd, UINT64_MAX, &answer[1]);
		send_all(fd, answer, sizeof(answer));
	} else if (what == 'c' && !take_all(fd, &what, 1)) {
		send_all(fd, &what, 1);
	} else if (what == 'e') {
		while ((n = read(fd, data, PIECE)) > 0)
			if (send_all(fd, data, (size_t)n))
				return;
	}
}

static int listen_at(uint16_t port, int type)
{
	struct sockaddr_in6 any = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(port),
	};
	int fd = socket(AF_INET6, type, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) ||
	    (type == SOCK_STREAM && listen(fd, 512)))
		fail("listen");
	return fd;
}

static void no_delay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void serve(uint16_t port)
{
	struct pollfd fd[2] = {
		{ listen_at(port, SOCK_STREAM), POLLIN, 0 },
		{ listen_at(port, SOCK_DGRAM), POLLIN, 0 },
	};

	signal(SIGCHLD, SIG_IGN);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		poll(fd, 2, -1);
		if (fd[0].revents) {
			int one = accept(fd[0].fd, NULL, NULL);

			if (one >= 0 && !fork()) {
				no_delay(one);
				serve_one(one);
				_exit(0);
			}
			close(one);
		}
		if (fd[1].revents) {
			struct sockaddr_storage from;
			socklen_t size = sizeof(from);
			ssize_t n = recvfrom(fd[1].fd, data, PIECE, 0,
					     (struct sockaddr *)&from, &size);

			if (n > 0)
				sendto(fd[1].fd, data, (size_t)n, 0,
				       (struct sockaddr *)&from, size);
		}
	}
}

/* --- clients --------------------------------------------------------------------- */

static struct sockaddr_storage to;

static void find(const char *address, const char *port)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&to;
	struct sockaddr_in *in = (struct sockaddr_in *)&to;

	if (inet_pton(AF_INET6, address, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)atoi(port));
	} else if (inet_pton(AF_INET, address, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)atoi(port));
	} else {
		fail(address);
	}
}

static int call(int type)
{
	int fd = socket(to.ss_family, type, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		fail("connect");
	if (type == SOCK_STREAM)
		no_delay(fd);
	return fd;
}

static void get(uint64_t count)
{
	int fd = call(SOCK_STREAM);
	uint64_t bad;

	if (send_all(fd, "g", 1) || send_all(fd, &count, sizeof(count)))
		fail("send");
	if (take_pattern(fd, count, &bad) != count || bad)
		fail("other bytes came");
}

static void put(uint64_t count)
{
	int fd = call(SOCK_STREAM);
	uint64_t answer[2];

	if (send_all(fd, "p", 1) || send_pattern(fd, count) ||
	    shutdown(fd, SHUT_WR))
		fail("send");
	if (take_all(fd, answer, sizeof(answer)) || answer[0] != count ||
	    answer[1])
		fail("other bytes arrived");
}

static void echo(int fd)
{
	char byte = 'x';

	if (send_all(fd, &byte, 1) || take_all(fd, &byte, 1) || byte != 'x')
		fail("no echo");
}

static void rr(uint64_t count)
{
	int fd = call(SOCK_STREAM);

	if (send_all(fd, "e", 1))
		fail("send");
	while (count--)
		echo(fd);
}

static void conn(uint64_t count)
{
	while (count--) {
		int fd = call(SOCK_STREAM);
		char byte;

		if (send_all(fd, "c", 1))
			fail("send");
		echo(fd);
		if (read(fd, &byte, 1))
			fail("no end");
		close(fd);
	}
}

/* A datagram that is lost is sent again, some times. */
static void udp(uint64_t count, size_t size)
{
	struct pollfd fd = { call(SOCK_DGRAM), POLLIN, 0 };
	unsigned int lost = 0;

	for (uint64_t i = 0; i < count;) {
		if (send(fd.fd, pattern + i, size, 0) != (ssize_t)size)
			fail("send");
		if (poll(&fd, 1, 1000) < 1) {
			if (++lost > 20)
				fail("no answer");
			continue;
		}
		if (recv(fd.fd, data, PIECE, 0) != (ssize_t)size ||
		    memcmp(data, pattern + i, size))
			fail("another datagram came");
		i++;
	}
}

static void pour(uint64_t count, size_t size)
{
	int fd = call(SOCK_DGRAM);

	while (count--)
		if (send(fd, pattern, size, 0) != (ssize_t)size &&
		    errno != ECONNREFUSED)
			fail("send");
}

#define ON_WAY 32

/* Of several sizes; they come as they went, and in their order. */
static size_t size_of(uint64_t number, size_t size)
{
	return number % 13 ? size : size / 2 + 1;
}

static void run(uint64_t count, size_t size)
{
	struct pollfd fd = { call(SOCK_DGRAM), POLLIN, 0 };
	uint64_t sent = 0;
	size_t part;

	for (uint64_t came = 0; came < count; came++) {
		for (; sent < count && sent < came + ON_WAY; sent++) {
			part = size_of(sent, size);
			if (send(fd.fd, pattern + sent % PERIOD, part, 0) !=
			    (ssize_t)part)
				fail("send");
		}
		if (poll(&fd, 1, 20000) < 1)
			fail("no answer");
		part = size_of(came, size);
		if (recv(fd.fd, data, PIECE, 0) != (ssize_t)part ||
		    memcmp(data, pattern + came % PERIOD, part))
			fail("another datagram came");
	}
}

static void refused(uint64_t count)
{
	struct pollfd fd = { call(SOCK_DGRAM), POLLIN, 0 };

	while (count--) {
		if (send(fd.fd, pattern, 100, 0) < 0 && errno == ECONNREFUSED)
			return;
		if (poll(&fd, 1, 1000) == 1 && recv(fd.fd, data, 1, 0) < 0 &&
		    errno == ECONNREFUSED)
			return;
	}
	fail("nobody said no");
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	uint64_t count = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
	double start;

	for (uint32_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)((i % PERIOD) * 2654435761u >> 24);
	if (!strcmp(what, "serve"))
		serve((uint16_t)atoi(argv[2]));
	if (argc < 5)
		return 2;
	find(argv[2], argv[3]);
	start = now();
	if (!strcmp(what, "get"))
		get(count);
	else if (!strcmp(what, "put"))
		put(count);
	else if (!strcmp(what, "rr"))
		rr(count);
	else if (!strcmp(what, "conn"))
		conn(count);
	else if (!strcmp(what, "udp") && argc > 5)
		udp(count, (size_t)atoi(argv[5]));
	else if (!strcmp(what, "pour") && argc > 5)
		pour(count, (size_t)atoi(argv[5]));
	else if (!strcmp(what, "refused"))
		refused(count);
	else if (!strcmp(what, "run") && argc > 5)
		run(count, (size_t)atoi(argv[5]));
	else
		return 2;
	printf("%llu %.6f\n", (unsigned long long)count, now() - start);
	return 0;
}
