/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's program for sockets to the host (AF_VSOCK, vsock(7)):
 *
 *	vsock connect PORT    standard input to the host, its answer to
 *	vsock listen PORT     standard output, until both have ended
 *	vsock echo PORT       sends back what comes, to any number of clients
 *	vsock cid             prints the guest's own
 *
 * With "end" as the last word of the first two, it ends with its input.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static int fail(const char *what)
{
	fprintf(stderr, "vsock: %s: %s\n", what, strerror(errno));
	return 1;
}

static int write_all(int fd, const char *data, ssize_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, (size_t)size);

		if (n < 0)
			return -1;
		data += n;
		size -= n;
	}
	return 0;
}

/* Both directions, until both have ended; in turn, as fits short messages
 * and long streams of one direction. */
static int copy(int fd, int in, int out, int leave)
{
	static char data[65536];
	struct pollfd wait[2] = {
		{ .fd = in, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};

	while (wait[0].fd >= 0 || wait[1].fd >= 0) {
		ssize_t n;

		if (poll(wait, 2, -1) < 0)
			return fail("poll");
		if (wait[0].revents) {
			n = read(in, data, sizeof(data));
			if (n > 0 && write_all(fd, data, n))
				return fail("send");
			if (n <= 0 && leave)
				return 0;
			if (n <= 0) {
				shutdown(fd, SHUT_WR);
				wait[0].fd = -1;
			}
		}
		if (wait[1].revents) {
			n = read(fd, data, sizeof(data));
			if (n < 0)
				return fail("receive");
			if (n > 0 && write_all(out, data, n))
				return fail("output");
			if (!n)
				wait[1].fd = -1;
		}
	}
	return 0;
}

static int start_listening(unsigned int port)
{
	const struct sockaddr_vm own = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_ANY,
		.svm_port = port,
	};
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&own, sizeof(own)) ||
	    listen(fd, 64))
		return -1;
	return fd;
}

static int connect_to_host(unsigned int port)
{
	const struct sockaddr_vm host = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_HOST,
		.svm_port = port,
	};
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (fd < 0 ||
	    connect(fd, (const struct sockaddr *)&host, sizeof(host)))
		return -1;
	return fd;
}

static int print_cid(void)
{
	unsigned int cid;
	int fd = open("/dev/vsock", O_RDONLY);

	if (fd < 0 || ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid))
		return fail("/dev/vsock");
	printf("%u\n", cid);
	return 0;
}

static int echo(unsigned int port)
{
	int listener = start_listening(port), fd;

	if (listener < 0)
		return fail("listen");
	signal(SIGCHLD, SIG_IGN);
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		if (!fork()) {
			char data[65536];
			ssize_t n;

			while ((n = read(fd, data, sizeof(data))) > 0)
				if (write_all(fd, data, n))
					return 1;
			return 0;
		}
		close(fd);
	}
	return fail("accept");
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	unsigned int port =
		argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 10) : 0;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(what, "cid"))
		return print_cid();
	if (!strcmp(what, "echo"))
		return echo(port);
	if (!strcmp(what, "connect")) {
		fd = connect_to_host(port);
	} else {
		fd = start_listening(port);
		if (fd >= 0)
			fd = accept(fd, NULL, NULL);
	}
	if (fd < 0)
		return fail(what);
	return copy(fd, STDIN_FILENO, STDOUT_FILENO, argc > 3);
}
