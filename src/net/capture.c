/* SPDX-License-Identifier: Apache-2.0 */
#include "net/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vm/host.h"

#define NS_PER_S 1000000000u
#define VECTORS	 64

struct capture {
	pthread_mutex_t lock;
	int fd; /* -1: no more */
	bool limited;
	uint64_t left; /* bytes that the file still gets */
	char *path;
};

struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, figures, snap, link;
};

struct frame_header {
	uint32_t seconds, nanoseconds, stored, size;
};

static int write_header(int fd)
{
	const struct file_header header = {
		.magic = 0xa1b23c4d,
		.major = 2,
		.minor = 4,
		.snap = NIC_FRAME_MAX,
		.link = 1, /* Ethernet */
	};

	return write(fd, &header, sizeof(header)) == sizeof(header) ? 0 : -1;
}

/* A pipe to a program that looks on keeps nothing. */
static void set_limit(struct capture *capture, uint64_t limit)
{
	struct stat status;

	capture->limited = limit && !fstat(capture->fd, &status) &&
			   S_ISREG(status.st_mode);
	capture->left = limit > sizeof(struct file_header) ?
				limit - sizeof(struct file_header) : 0;
}

int capture_open(struct capture **out, const char *path, uint64_t limit,
		 struct net_error *error)
{
	struct capture *capture = calloc(1, sizeof(*capture));

	*out = NULL;
	if (!capture)
		return net_error_set(error, "out of memory");
	pthread_mutex_init(&capture->lock, NULL);
	capture->path = strdup(path);
	capture->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			   0644);
	if (!capture->path || capture->fd < 0 || write_header(capture->fd)) {
		net_error_set(error, "pcap=%s: %s; name a file that can be "
			      "written", path, strerror(errno));
		capture_close(capture);
		return -1;
	}
	set_limit(capture, limit);
	*out = capture;
	return 0;
}

static void stop(struct capture *capture, const char *why)
{
	host_log(HOST_LOG_WARN, "pcap=%s: %s; the capture ends here",
		 capture->path, why);
	close(capture->fd);
	capture->fd = -1;
}

/* Held: the lock. */
static void add(struct capture *capture, const struct iovec *vector,
		unsigned int count, size_t size)
{
	ssize_t done;

	if (capture->limited && size > capture->left) {
		stop(capture, "it has reached its limit (pcap-limit=)");
		return;
	}
	capture->left -= size;
	do
		done = writev(capture->fd, vector, (int)count);
	while (done < 0 && errno == EINTR);
	if (done < 0)
		stop(capture, strerror(errno));
	else if ((size_t)done != size)
		stop(capture, "no space left");
}

void capture_frame(struct capture *capture, const struct nic_frame *frame)
{
	uint64_t now = host_realtime_ns();
	struct frame_header header = {
		.seconds = (uint32_t)(now / NS_PER_S),
		.nanoseconds = (uint32_t)(now % NS_PER_S),
		.stored = frame->size,
		.size = frame->size,
	};
	struct iovec vector[VECTORS] = { { &header, sizeof(header) } };
	unsigned int count = 1;
	uint8_t *copy = NULL;

	for (unsigned int i = 0; i < frame->spans && count < VECTORS; i++)
		vector[count++] = (struct iovec){ frame->span[i].data,
						  frame->span[i].size };
	if (frame->spans >= VECTORS) {
		copy = malloc(frame->size);
		if (!copy)
			return;
		nic_frame_read(frame, 0, copy, frame->size);
		vector[1] = (struct iovec){ copy, frame->size };
		count = 2;
	}
	pthread_mutex_lock(&capture->lock);
	if (capture->fd >= 0)
		add(capture, vector, count, sizeof(header) + frame->size);
	pthread_mutex_unlock(&capture->lock);
	free(copy);
}

void capture_close(struct capture *capture)
{
	if (!capture)
		return;
	if (capture->fd >= 0)
		close(capture->fd);
	pthread_mutex_destroy(&capture->lock);
	free(capture->path);
	free(capture);
}
