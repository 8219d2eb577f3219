/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what an NBD client may send: the handshake, or with an odd first
 * byte of the input the requests behind one, to an image in memory.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "disk/file.h"
#include "disk/nbd/impl.h"
#include "fuzz_device.h"

#define DISK_SIZE (1u << 20)
#define INPUT_MAX 60000u /* a socket takes it at once */

/* A new image for each input: none is to depend on another's writes. */
static struct disk_node *make_disk(void)
{
	const struct disk_open how = { .path = "memory", .format = "raw" };
	struct disk_node *file, *node;

	if (disk_memory_open(&file, NULL) ||
	    disk_resize(file, DISK_SIZE, DISK_PREALLOC_OFF, NULL) ||
	    disk_open_on(&node, file, &how, NULL))
		abort();
	return node;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Nobody reads the answers: what does not fit ends the connection. */
	const struct timeval soon = { .tv_usec = 1 };
	struct nbd_server server = { .export = { .name = "disk" } };
	struct nbd_client client = { .server = &server };
	int fd[2];

	if (!size || size > INPUT_MAX || socketpair(AF_UNIX, SOCK_STREAM, 0, fd))
		return 0;
	server.export.node = make_disk();
	server.export.readonly = data[0] & 2;
	client.fd = fd[0];
	pthread_mutex_init(&client.receiving, NULL);
	pthread_mutex_init(&client.sending, NULL);
	setsockopt(fd[0], SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon));
	if (write(fd[1], data + 1, size - 1) != (ssize_t)size - 1)
		abort();
	shutdown(fd[1], SHUT_WR);
	client.structured = client.allocation = data[0] & 4;
	if (data[0] & 1 || nbd_negotiate(&client))
		nbd_serve(&client);
	close(fd[0]);
	close(fd[1]);
	pthread_mutex_destroy(&client.receiving);
	pthread_mutex_destroy(&client.sending);
	disk_close(server.export.node);
	return 0;
}
