/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files: data in and out, where there is some, room for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "share/server/server.h"

#define COPY_MAX (16u << 20) /* bytes of one copy: others wait for us */

/* Whether what the guest has cached of the file's content is still it. */
static bool keeps(struct server *server, const struct node_use *node)
{
	struct statx status;
	struct timespec now;

	if (node_stat(&server->nodes, node->fd, NULL, &status) ||
	    clock_gettime(CLOCK_REALTIME_COARSE, &now))
		return false;
	return node_unchanged(&server->nodes, node->node, &status.stx_ctime,
			      now.tv_sec);
}

/*
 * Only what has been a regular file all along is opened: that of a descriptor
 * never becomes anything else.
 */
int file_open(struct call *call, const struct node_use *node, uint32_t flags,
	      uint64_t *id, uint32_t *open_flags)
{
	const int wanted = (int)flags & FILE_FLAGS;
	struct server *server = call->server;
	char name[FD_NAME];
	struct stat status;
	int fd;

	if (server->readonly && ((wanted & O_ACCMODE) != O_RDONLY ||
				 (wanted & O_TRUNC)))
		return -EROFS;
	if (fstat(node->fd, &status))
		return -errno;
	if (!S_ISREG(status.st_mode))
		return S_ISDIR(status.st_mode) ? -EISDIR : -EACCES;
	fd = openat(server->proc, fd_name(name, node->fd),
		    wanted | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	*open_flags = keeps(server, node) ? FOPEN_KEEP_CACHE : 0;
	return handle_add(&server->handles, fd, false, id);
}

int serve_open(struct call *call)
{
	const struct fuse_open_in *in = call->in;
	struct nodes *nodes = &call->server->nodes;
	struct fuse_open_out out = { 0 };
	struct node_use node;
	int rc = node_use(nodes, call->head->nodeid, &node);

	if (rc)
		return rc;
	rc = file_open(call, &node, in->flags, &out.fh, &out.open_flags);
	node_done(nodes, &node);
	if (rc)
		return rc;
	memcpy(call->out, &out, sizeof(out));
	call->size = sizeof(out);
	return 0;
}

int serve_read(struct call *call)
{
	const struct fuse_read_in *in = call->in;
	struct handles *handles = &call->server->handles;
	uint32_t size = in->size < call->room ? in->size : call->room;
	struct handle *handle;
	ssize_t n;
	int rc = handle_use(handles, in->fh, false, &handle);

	if (rc)
		return rc;
	do
		n = pread(handle->fd, call->out, size, (off_t)in->offset);
	while (n < 0 && errno == EINTR);
	rc = n < 0 ? -errno : 0;
	handle_done(handles, handle);
	call->size = rc ? 0 : (uint32_t)n;
	return rc;
}

int serve_write(struct call *call)
{
	const struct fuse_write_in *in = call->in;
	struct handles *handles = &call->server->handles;
	struct fuse_write_out out = { 0 };
	struct handle *handle;
	ssize_t n;
	int rc;

	if (in->size > call->data_size)
		return -EINVAL;
	rc = handle_use(handles, in->fh, false, &handle);
	if (rc)
		return rc;
	do
		n = pwrite(handle->fd, call->data, in->size,
			   (off_t)in->offset);
	while (n < 0 && errno == EINTR);
	rc = n < 0 ? -errno : 0;
	handle_done(handles, handle);
	if (rc)
		return rc;
	out.size = (uint32_t)n;
	memcpy(call->out, &out, sizeof(out));
	call->size = sizeof(out);
	return 0;
}

/*
 * Some file systems tell of failed writes when a descriptor is closed. For the
 * others, the guest is told that it need not ask.
 */
int serve_flush(struct call *call)
{
	const struct fuse_flush_in *in = call->in;
	struct handles *handles = &call->server->handles;
	struct handle *handle;
	int fd, rc;

	if (!call->server->flushes)
		return -ENOSYS;
	rc = handle_use(handles, in->fh, false, &handle);
	if (rc)
		return rc;
	fd = dup(handle->fd);
	if (fd < 0 || (close(fd) && errno != EINTR))
		rc = -errno;
	handle_done(handles, handle);
	return rc;
}

static int sync_handle(struct call *call, bool folder)
{
	const struct fuse_fsync_in *in = call->in;
	struct handles *handles = &call->server->handles;
	struct handle *handle;
	int rc = handle_use(handles, in->fh, folder, &handle);

	if (rc)
		return rc;
	if (in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(handle->fd) :
						     fsync(handle->fd))
		rc = -errno;
	handle_done(handles, handle);
	return rc;
}

int serve_fsync(struct call *call)
{
	return sync_handle(call, false);
}

int serve_fsyncdir(struct call *call)
{
	return sync_handle(call, true);
}

int serve_fallocate(struct call *call)
{
	const struct fuse_fallocate_in *in = call->in;
	struct handles *handles = &call->server->handles;
	struct handle *handle;
	int rc = handle_use(handles, in->fh, false, &handle);

	if (rc)
		return rc;
	if (fallocate(handle->fd, (int)in->mode, (off_t)in->offset,
		      (off_t)in->length))
		rc = -errno;
	handle_done(handles, handle);
	return rc;
}

int serve_lseek(struct call *call)
{
	const struct fuse_lseek_in *in = call->in;
	struct handles *handles = &call->server->handles;
	struct fuse_lseek_out out;
	struct handle *handle;
	off_t at;
	int rc;

	if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE)
		return -EINVAL;
	rc = handle_use(handles, in->fh, false, &handle);
	if (rc)
		return rc;
	at = lseek(handle->fd, (off_t)in->offset, (int)in->whence);
	rc = at < 0 ? -errno : 0;
	handle_done(handles, handle);
	if (rc)
		return rc;
	out.offset = (uint64_t)at;
	memcpy(call->out, &out, sizeof(out));
	call->size = sizeof(out);
	return 0;
}

static ssize_t copy(const struct fuse_copy_file_range_in *in, int from, int to)
{
	off_t from_at = (off_t)in->off_in, to_at = (off_t)in->off_out;
	size_t size = in->len < COPY_MAX ? (size_t)in->len : COPY_MAX;
	ssize_t n = copy_file_range(from, &from_at, to, &to_at, size, 0);

	return n < 0 ? -errno : n;
}

int serve_copy_file_range(struct call *call)
{
	const struct fuse_copy_file_range_in *in = call->in;
	struct handles *handles = &call->server->handles;
	struct fuse_write_out out = { 0 };
	struct handle *from, *to;
	ssize_t n;
	int rc = handle_use(handles, in->fh_in, false, &from);

	if (rc)
		return rc;
	rc = handle_use(handles, in->fh_out, false, &to);
	if (!rc) {
		n = copy(in, from->fd, to->fd);
		rc = n < 0 ? (int)n : 0;
		out.size = rc ? 0 : (uint32_t)n;
		handle_done(handles, to);
	}
	handle_done(handles, from);
	if (rc)
		return rc;
	memcpy(call->out, &out, sizeof(out));
	call->size = sizeof(out);
	return 0;
}

int serve_release(struct call *call)
{
	const struct fuse_release_in *in = call->in;

	handle_close(&call->server->handles, in->fh);
	return 0;
}
