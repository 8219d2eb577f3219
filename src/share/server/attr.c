/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes of files: status, mode, owner, size, times; what a link leads to.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "share/server/server.h"

#define SECTOR 512u

void attr_fill(struct fuse_attr *attr, const struct statx *s)
{
	*attr = (struct fuse_attr){
		.ino = s->stx_ino,
		.size = s->stx_size,
		.blocks = s->stx_blocks,
		.atime = (uint64_t)s->stx_atime.tv_sec,
		.mtime = (uint64_t)s->stx_mtime.tv_sec,
		.ctime = (uint64_t)s->stx_ctime.tv_sec,
		.atimensec = s->stx_atime.tv_nsec,
		.mtimensec = s->stx_mtime.tv_nsec,
		.ctimensec = s->stx_ctime.tv_nsec,
		.mode = s->stx_mode,
		.nlink = s->stx_nlink,
		.uid = s->stx_uid,
		.gid = s->stx_gid,
		.rdev = s->stx_rdev_major << 8 | (s->stx_rdev_minor & 0xff) |
			(s->stx_rdev_minor & ~0xffu) << 12,
		.blksize = s->stx_blksize,
	};
}

#define SECOND	   1000000000u
#define ATTR_NS_MIN 1u

void entry_times(const struct server *server, struct fuse_entry_out *out)
{
	uint64_t attr = server->believe ? server->believe : ATTR_NS_MIN;

	out->entry_valid = server->believe / SECOND;
	out->entry_valid_nsec = (uint32_t)(server->believe % SECOND);
	out->attr_valid = attr / SECOND;
	out->attr_valid_nsec = (uint32_t)(attr % SECOND);
}

static void attr_times(const struct server *server, struct fuse_attr_out *out)
{
	struct fuse_entry_out entry;

	entry_times(server, &entry);
	out->attr_valid = entry.attr_valid;
	out->attr_valid_nsec = entry.attr_valid_nsec;
}

/* The answer to both kinds: what the file of `fd` is like. */
static int answer_attr(struct call *call, int fd)
{
	struct fuse_attr_out out = { 0 };
	struct statx status;
	int rc = node_stat(&call->server->nodes, fd, NULL, &status);

	if (rc)
		return rc;
	attr_times(call->server, &out);
	attr_fill(&out.attr, &status);
	memcpy(call->out, &out, sizeof(out));
	call->size = sizeof(out);
	return 0;
}

int serve_getattr(struct call *call)
{
	const struct fuse_getattr_in *in = call->in;
	struct server *server = call->server;
	struct node_use node;
	struct handle *handle;
	int rc;

	if ((in->getattr_flags & FUSE_GETATTR_FH) &&
	    !handle_use(&server->handles, in->fh, false, &handle)) {
		rc = answer_attr(call, handle->fd);
		handle_done(&server->handles, handle);
		return rc;
	}
	rc = node_use(&server->nodes, call->head->nodeid, &node);
	if (rc)
		return rc;
	rc = answer_attr(call, node.fd);
	node_done(&server->nodes, &node);
	return rc;
}

/* --- changes ---------------------------------------------------------------------- */

/* Of a file, no set-user-id and the like: it would be this computer's. */
static int set_mode(struct call *call, int fd, uint32_t mode)
{
	struct stat status;
	char name[FD_NAME];

	if (fstat(fd, &status))
		return -errno;
	mode &= S_ISDIR(status.st_mode) ? 03777 : 01777;
	return fchmodat(call->server->proc, fd_name(name, fd), mode, 0) ?
		       -errno : 0;
}

static int set_size(struct call *call, const struct fuse_setattr_in *in,
		    const struct node_use *node)
{
	struct server *server = call->server;
	struct handle *handle;
	struct stat status;
	char name[FD_NAME];
	int fd, rc;

	if (in->size > INT64_MAX)
		return -EFBIG;
	if ((in->valid & FATTR_FH) &&
	    !handle_use(&server->handles, in->fh, false, &handle)) {
		rc = ftruncate(handle->fd, (off_t)in->size) ? -errno : 0;
		handle_done(&server->handles, handle);
		return rc;
	}
	if (fstat(node->fd, &status))
		return -errno;
	if (!S_ISREG(status.st_mode))
		return S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
	fd = openat(server->proc, fd_name(name, node->fd),
		    O_WRONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	rc = ftruncate(fd, (off_t)in->size) ? -errno : 0;
	close(fd);
	return rc;
}

static struct timespec time_of(uint32_t valid, uint32_t set, uint32_t now,
			       uint64_t seconds, uint32_t ns)
{
	struct timespec time = { .tv_nsec = UTIME_OMIT };

	if (valid & now)
		time.tv_nsec = UTIME_NOW;
	else if (valid & set)
		time = (struct timespec){ .tv_sec = (time_t)seconds,
					  .tv_nsec = ns };
	return time;
}

static int set_times(struct call *call, const struct fuse_setattr_in *in,
		     int fd)
{
	const struct timespec times[2] = {
		time_of(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime,
			in->atimensec),
		time_of(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime,
			in->mtimensec),
	};
	char name[FD_NAME];

	return utimensat(call->server->proc, fd_name(name, fd), times, 0) ?
		       -errno : 0;
}

static int set_owner(const struct fuse_setattr_in *in, int fd)
{
	uid_t uid = in->valid & FATTR_UID ? in->uid : (uid_t)-1;
	gid_t gid = in->valid & FATTR_GID ? in->gid : (gid_t)-1;

	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) ?
		       -errno : 0;
}

/* The order counts: a new owner takes away what a mode has given. */
int serve_setattr(struct call *call)
{
	const struct fuse_setattr_in *in = call->in;
	struct nodes *nodes = &call->server->nodes;
	struct node_use node;
	int rc = node_use(nodes, call->head->nodeid, &node);

	if (rc)
		return rc;
	if (in->valid & (FATTR_UID | FATTR_GID))
		rc = set_owner(in, node.fd);
	if (!rc && (in->valid & FATTR_MODE))
		rc = set_mode(call, node.fd, in->mode);
	if (!rc && (in->valid & FATTR_SIZE))
		rc = set_size(call, in, &node);
	if (!rc && (in->valid & (FATTR_ATIME | FATTR_MTIME |
				 FATTR_ATIME_NOW | FATTR_MTIME_NOW)))
		rc = set_times(call, in, node.fd);
	if (!rc)
		rc = answer_attr(call, node.fd);
	node_done(nodes, &node);
	return rc;
}

/* --- others --------------------------------------------------------------------- */

int serve_readlink(struct call *call)
{
	struct nodes *nodes = &call->server->nodes;
	struct node_use node;
	int rc = node_use(nodes, call->head->nodeid, &node);
	ssize_t size;

	if (rc)
		return rc;
	size = readlinkat(node.fd, "", (char *)call->out, call->room);
	rc = size < 0 ? -errno : 0;
	node_done(nodes, &node);
	call->size = rc ? 0 : (uint32_t)size;
	return rc;
}

int serve_access(struct call *call)
{
	const struct fuse_access_in *in = call->in;
	struct server *server = call->server;
	struct node_use node;
	char name[FD_NAME];
	int rc = node_use(&server->nodes, call->head->nodeid, &node);

	if (rc)
		return rc;
	if (server->readonly && (in->mask & W_OK))
		rc = -EROFS;
	else if (faccessat(server->proc, fd_name(name, node.fd),
			   (int)in->mask & (R_OK | W_OK | X_OK), 0))
		rc = -errno;
	node_done(&server->nodes, &node);
	return rc;
}
