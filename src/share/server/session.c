/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest agrees on with us when it mounts the folder, what it forgets,
 * and the file system as a whole.
 *
 * Locks are left to the guest: its programs see each other's, not those of this
 * computer. Nobody could end a wait here, for no driver of the device sends
 * FUSE's interrupts.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "share/channel.h"
#include "share/server/server.h"

#define MINOR_MIN  31
#define MINOR_MAX  38 /* that we know */
#define PAGE	   4096u
#define BACKGROUND 64

#define WANTED                                                         \
	(FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC |   \
	 FUSE_AUTO_INVAL_DATA | FUSE_ASYNC_DIO |                     \
	 FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_HANDLE_KILLPRIV_V2)
/* Attributes with a folder's names: of use if they hold until asked for. */
#define WITH_ATTRIBUTES (FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO)

int serve_init(struct call *call)
{
	const struct fuse_init_in *in = call->in;
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = in->minor < MINOR_MAX ? in->minor : MINOR_MAX,
		.max_readahead = in->max_readahead,
		.flags = in->flags & WANTED,
		.max_background = BACKGROUND,
		.congestion_threshold = BACKGROUND * 3 / 4,
		.max_write = CHANNEL_DATA_MAX,
		.time_gran = 1,
		.max_pages = CHANNEL_DATA_MAX / PAGE,
	};

	if (call->server->believe)
		out.flags |= in->flags & WITH_ATTRIBUTES;
	handles_reset(&call->server->handles);
	nodes_reset(&call->server->nodes);
	/* A newer one comes again with our version. */
	if (in->major < FUSE_KERNEL_VERSION ||
	    (in->major == FUSE_KERNEL_VERSION && in->minor < MINOR_MIN))
		return -EPROTO;
	memcpy(call->out, &out, sizeof(out));
	call->size = sizeof(out);
	return 0;
}

int serve_destroy(struct call *call)
{
	handles_reset(&call->server->handles);
	nodes_reset(&call->server->nodes);
	return 0;
}

int serve_interrupt(struct call *call)
{
	return 0;
}

int serve_forget(struct call *call)
{
	const struct fuse_forget_in *in = call->in;

	node_forget(&call->server->nodes, call->head->nodeid, in->nlookup);
	return 0;
}

int serve_batch_forget(struct call *call)
{
	const struct fuse_batch_forget_in *in = call->in;
	const struct fuse_forget_one *one = (const void *)call->data;
	uint32_t room = call->data_size / (uint32_t)sizeof(*one);

	for (uint32_t i = 0; i < in->count && i < room; i++)
		node_forget(&call->server->nodes, one[i].nodeid,
			    one[i].nlookup);
	return 0;
}

int serve_statfs(struct call *call)
{
	struct fuse_statfs_out out = { 0 };
	struct statfs status;
	struct node_use node;
	int rc = node_use(&call->server->nodes, call->head->nodeid, &node);

	if (rc)
		return rc;
	rc = fstatfs(node.fd, &status) ? -errno : 0;
	node_done(&call->server->nodes, &node);
	if (rc)
		return rc;
	out.st.blocks = status.f_blocks;
	out.st.bfree = status.f_bfree;
	out.st.bavail = status.f_bavail;
	out.st.files = status.f_files;
	out.st.ffree = status.f_ffree;
	out.st.bsize = (uint32_t)status.f_bsize;
	out.st.namelen = (uint32_t)status.f_namelen;
	out.st.frsize = (uint32_t)status.f_frsize;
	memcpy(call->out, &out, sizeof(out));
	call->size = sizeof(out);
	return 0;
}

/* All that the guest has written, and what others have on that file system. */
int serve_syncfs(struct call *call)
{
	struct server *server = call->server;
	int fd = openat(server->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	rc = syncfs(fd) ? -errno : 0;
	close(fd);
	return rc;
}
