/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "module.h"

/* The guest's own, in the network of the mode "user" of both machines. */
#define ADDRESS "10.0.2.15"
#define MASK	"255.255.255.0"
#define CARD	"eth0"

#define DATAGRAM  1400
#define DATAGRAMS 32
#define LOST_MS	  200 /* an answer that takes longer does not come */

static struct sockaddr_in peer;
static char piece[NET_PIECE];
static double first;

static const char *own = ADDRESS;

static _Noreturn void fail(const char *what)
{
	printf("bench: net: %s: %s\n", what, strerror(errno));
	abort();
}

static void send_all(int fd, const void *from, size_t size)
{
	const char *at = from;

	while (size) {
		ssize_t n = write(fd, at, size);

		if (n <= 0)
			fail("write");
		at += n;
		size -= (size_t)n;
	}
}

static void take_byte(int fd)
{
	char byte;

	if (read(fd, &byte, 1) != 1)
		fail("read");
}

static void no_delay(int fd)
{
	const int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int call(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&peer, sizeof(peer)))
		fail("connect");
	no_delay(fd);
	return fd;
}

/* --- the tests ----------------------------------------------------------------- */

void net_get(uint64_t n)
{
	const uint64_t all = n * NET_PIECE;
	int fd = call();

	send_all(fd, "g", 1);
	send_all(fd, &all, sizeof(all));
	for (uint64_t done = 0; done < all;) {
		ssize_t got = read(fd, piece, sizeof(piece));

		if (got <= 0)
			fail("read");
		done += (uint64_t)got;
	}
	close(fd);
}

void net_put(uint64_t n)
{
	int fd = call();

	send_all(fd, "p", 1);
	while (n--)
		send_all(fd, piece, sizeof(piece));
	shutdown(fd, SHUT_WR);
	take_byte(fd);
	close(fd);
}

void net_rr(uint64_t n)
{
	static int fd = -1;

	if (fd < 0) {
		fd = call();
		send_all(fd, "e", 1);
	}
	while (n--) {
		send_all(fd, "x", 1);
		take_byte(fd);
	}
}

/* The server ends it, so no port of the client's stays taken for a while. */
void net_conn(uint64_t n)
{
	while (n--) {
		int fd = call();
		char byte;

		send_all(fd, "c", 1);
		take_byte(fd);
		if (read(fd, &byte, 1))
			fail("end");
		close(fd);
	}
}

void net_udp(uint64_t n)
{
	struct pollfd fd = { socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
			     POLLIN, 0 };
	uint64_t sent = 0, lost = 0, came = 0;

	if (fd.fd < 0 ||
	    connect(fd.fd, (struct sockaddr *)&peer, sizeof(peer)))
		fail("connect");
	while (came < n) {
		while (sent - lost - came < DATAGRAMS &&
		       sent - lost < n)
			if (send(fd.fd, piece, DATAGRAM, 0) == DATAGRAM)
				sent++;
			else
				fail("send");
		if (poll(&fd, 1, LOST_MS) < 1)
			lost = sent - came;
		while (recv(fd.fd, piece, DATAGRAM, MSG_DONTWAIT) == DATAGRAM)
			came++;
	}
	close(fd.fd);
}

/* --- the guest's card ------------------------------------------------------------ */

static void set_address(int fd, unsigned long request, const char *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct ifreq r = { .ifr_name = CARD };

	inet_pton(AF_INET, address, &in.sin_addr);
	memcpy(&r.ifr_addr, &in, sizeof(in));
	if (ioctl(fd, request, &r))
		fail(CARD);
}

static void set_up(void)
{
	struct ifreq r = { .ifr_name = CARD };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	module_load_all();
	set_address(fd, SIOCSIFADDR, own);
	set_address(fd, SIOCSIFNETMASK, MASK);
	if (ioctl(fd, SIOCGIFFLAGS, &r))
		fail(CARD);
	r.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &r))
		fail(CARD);
	close(fd);
}

/* "ADDRESS:PORT" */
static void find(const char *text)
{
	char address[64];
	unsigned int port;

	if (sscanf(text, "%63[^:]:%u", address, &port) != 2 ||
	    inet_pton(AF_INET, address, &peer.sin_addr) != 1)
		fail(text);
	peer.sin_family = AF_INET;
	peer.sin_port = htons((uint16_t)port);
}

int net_there(const char *test, const char *at)
{
	static int ready;
	double began;
	struct timespec t;

	if (strncmp(test, "net_", 4) || !at)
		return 0;
	if (ready)
		return 1;
	ready = 1;
	signal(SIGPIPE, SIG_IGN);
	find(at);
	if (getpid() != 1)
		return 1;
	set_up();
	net_conn(1);
	clock_gettime(CLOCK_MONOTONIC, &t);
	began = module_began("virtio_net");
	if (began > 0)
		first = ((double)t.tv_sec + (double)t.tv_nsec * 1e-9 - began) *
			1e3;
	return 1;
}

double net_first(void)
{
	return first;
}

/* --- the server ------------------------------------------------------------------- */

static void serve_get(int fd)
{
	uint64_t left;

	if (recv(fd, &left, sizeof(left), MSG_WAITALL) != sizeof(left))
		return;
	while (left) {
		ssize_t n = write(fd, piece,
				  left < NET_PIECE ? left : NET_PIECE);

		if (n <= 0)
			return;
		left -= (uint64_t)n;
	}
}

static void serve_one(int fd, char what)
{
	ssize_t n;

	if (what == 'g') {
		serve_get(fd);
	} else if (what == 'p') {
		while (read(fd, piece, sizeof(piece)) > 0)
			;
		send_all(fd, "x", 1);
	} else if (what == 'e') {
		while ((n = read(fd, piece, sizeof(piece))) > 0)
			send_all(fd, piece, (size_t)n);
	}
}

static void serve_stream(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	char what;

	if (fd < 0)
		return;
	no_delay(fd);
	if (read(fd, &what, 1) == 1) {
		if (what == 'c')
			send_all(fd, "x", 1);
		else if (!fork()) {
			serve_one(fd, what);
			_exit(0);
		}
	}
	close(fd);
}

static void serve_datagrams(int fd)
{
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	ssize_t n;

	while ((n = recvfrom(fd, piece, sizeof(piece), MSG_DONTWAIT,
			     (struct sockaddr *)&from, &size)) >= 0)
		sendto(fd, piece, (size_t)n, 0, (struct sockaddr *)&from,
		       size);
}

/* A socket, and its address with the port; -1: somebody has that. */
static int bind_at(struct sockaddr_in *at, int type)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(*at);

	if (fd >= 0 && bind(fd, (struct sockaddr *)at, size) &&
	    errno == EADDRINUSE) {
		close(fd);
		return -1;
	}
	if (fd < 0 || getsockname(fd, (struct sockaddr *)at, &size) ||
	    !at->sin_port)
		fail("bind");
	return fd;
}

/* Of TCP and UDP at the same port of this computer's own address. */
static uint16_t bind_both(struct pollfd fd[2], const char *address,
			  uint16_t port)
{
	for (;;) {
		struct sockaddr_in at = {
			.sin_family = AF_INET,
			.sin_port = htons(port),
		};

		inet_pton(AF_INET, address, &at.sin_addr);

		fd[0].fd = bind_at(&at, SOCK_STREAM);
		fd[1].fd = fd[0].fd < 0 ? -1 : bind_at(&at, SOCK_DGRAM);
		if (fd[1].fd >= 0)
			return ntohs(at.sin_port);
		close(fd[0].fd);
	}
}

static _Noreturn void serve_at(const char *address, uint16_t port)
{
	struct pollfd fd[2] = { { .events = POLLIN }, { .events = POLLIN } };

	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	port = bind_both(fd, address, port);
	if (listen(fd[0].fd, 512))
		fail("listen");
	printf("serving %u\n", port);
	fflush(stdout);
	for (;;) {
		poll(fd, 2, -1);
		if (fd[0].revents)
			serve_stream(fd[0].fd);
		if (fd[1].revents)
			serve_datagrams(fd[1].fd);
	}
}

_Noreturn void net_serve(void)
{
	serve_at("127.0.0.1", 0);
}

void net_own(const char *address)
{
	own = address;
}

_Noreturn void net_serve_guest(const char *port)
{
	set_up();
	serve_at(own, (uint16_t)strtoul(port, NULL, 10));
}
