/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders, read. An offset of the guest's is one of the host's file system; who
 * goes on where it stopped needs no seek.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "share/server/server.h"

#define CHUNK 32768u

/* As getdents64(2) has them. */
struct linux_entry {
	uint64_t ino;
	int64_t next;
	uint16_t size;
	uint8_t type;
	char name[];
};

/* A folder that is being read into an answer. */
struct listing {
	struct call *call;
	struct handle *handle;
	const struct node_use *folder; /* of entries with attributes; or NULL */
	uint32_t room;
};

int serve_opendir(struct call *call)
{
	struct server *server = call->server;
	struct fuse_open_out out = { 0 };
	struct node_use node;
	char name[FD_NAME];
	int fd, rc = node_use(&server->nodes, call->head->nodeid, &node);

	if (rc)
		return rc;
	fd = openat(server->proc, fd_name(name, node.fd),
		    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = fd < 0 ? -errno : 0;
	node_done(&server->nodes, &node);
	if (!rc)
		rc = handle_add(&server->handles, fd, true, &out.fh);
	if (rc)
		return rc;
	memcpy(call->out, &out, sizeof(out));
	call->size = sizeof(out);
	return 0;
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* False: there is no room for it. */
static bool put(struct listing *l, const struct linux_entry *e)
{
	struct call *call = l->call;
	size_t length = strlen(e->name);
	uint32_t head = l->folder ? (uint32_t)sizeof(struct fuse_entry_out) : 0;
	uint32_t size = head + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + length);
	struct fuse_entry_out entry = { 0 };
	struct fuse_dirent dirent = {
		.ino = e->ino,
		.off = (uint64_t)e->next,
		.namelen = (uint32_t)length,
		.type = e->type,
	};
	uint8_t *to = call->out + call->size;

	if (size > l->room - call->size)
		return false;
	memset(to, 0, size);
	/* What cannot be told now is looked up when somebody asks. */
	if (head && !is_dots(e->name) &&
	    entry_make(call, l->folder, e->name, &entry))
		entry = (struct fuse_entry_out){ 0 };
	memcpy(to, &entry, head);
	memcpy(to + head, &dirent, FUSE_NAME_OFFSET);
	memcpy(to + head + FUSE_NAME_OFFSET, e->name, length);
	call->size += size;
	return true;
}

/* Puts entries until there is no room; where the next one is comes back. */
static int put_chunk(struct listing *l, const uint8_t *chunk, long size,
		     int64_t *at, bool *full)
{
	for (long i = 0; i < size;) {
		const struct linux_entry *e = (const void *)(chunk + i);

		*full = !put(l, e);
		if (*full)
			return 0;
		*at = e->next;
		i += e->size;
	}
	return 0;
}

/* Held: the handle's lock. */
static int list(struct listing *l, int64_t at)
{
	_Alignas(8) uint8_t chunk[CHUNK];
	struct handle *handle = l->handle;
	bool full = false;
	int rc = 0;

	if (handle->at != at && lseek(handle->fd, at, SEEK_SET) < 0)
		return -errno;
	while (!full && !rc) {
		long size = syscall(SYS_getdents64, handle->fd, chunk,
				    sizeof(chunk));

		handle->at = -1;
		if (size < 0)
			rc = l->call->size ? 0 : -errno;
		if (size <= 0)
			break;
		rc = put_chunk(l, chunk, size, &at, &full);
		if (!full)
			handle->at = at;
	}
	/* Not even one fits. */
	return !rc && full && !l->call->size ? -EINVAL : rc;
}

static int read_folder(struct call *call, const struct node_use *folder)
{
	const struct fuse_read_in *in = call->in;
	struct handles *handles = &call->server->handles;
	struct listing listing = {
		.call = call,
		.folder = folder,
		.room = in->size < call->room ? in->size : call->room,
	};
	int rc = handle_use(handles, in->fh, true, &listing.handle);

	if (rc)
		return rc;
	pthread_mutex_lock(&listing.handle->mutex);
	rc = list(&listing, (int64_t)in->offset);
	pthread_mutex_unlock(&listing.handle->mutex);
	handle_done(handles, listing.handle);
	return rc;
}

int serve_readdir(struct call *call)
{
	return read_folder(call, NULL);
}

int serve_readdirplus(struct call *call)
{
	struct nodes *nodes = &call->server->nodes;
	struct node_use folder;
	int rc = node_use(nodes, call->head->nodeid, &folder);

	if (rc)
		return rc;
	rc = read_folder(call, &folder);
	node_done(nodes, &folder);
	return rc;
}

int serve_releasedir(struct call *call)
{
	const struct fuse_release_in *in = call->in;

	handle_close(&call->server->handles, in->fh);
	return 0;
}
