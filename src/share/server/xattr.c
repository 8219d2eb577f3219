/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes: those of users. Others (capabilities, labels, access
 * lists) mean something to this computer, so the guest neither sees nor sets
 * them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "share/server/server.h"

#define LIST_MAX 65536 /* XATTR_LIST_MAX */
#define PATH_SIZE 32

static bool is_users(const char *name)
{
	return !strncmp(name, "user.", 5);
}

/* Calls with a path are the only ones that take what O_PATH opened. */
static const char *path_of(char path[PATH_SIZE], int fd)
{
	snprintf(path, PATH_SIZE, "/proc/self/fd/%d", fd);
	return path;
}

static int with_node(struct call *call,
		     int (*work)(struct call *call, const char *path))
{
	struct nodes *nodes = &call->server->nodes;
	struct node_use node;
	char path[PATH_SIZE];
	int rc = node_use(nodes, call->head->nodeid, &node);

	if (rc)
		return rc;
	rc = work(call, path_of(path, node.fd));
	node_done(nodes, &node);
	return rc;
}

static int set(struct call *call, const char *path)
{
	const struct fuse_setxattr_in *in = call->in;

	return setxattr(path, call->name[0], call->data, in->size,
			(int)in->flags) ? -errno : 0;
}

int serve_setxattr(struct call *call)
{
	const struct fuse_setxattr_in *in = call->in;

	if (!is_users(call->name[0]))
		return -EOPNOTSUPP;
	return in->size > call->data_size ? -EINVAL : with_node(call, set);
}

/* `size` bytes are there, or, as the guest asked for that, only their number. */
static int answer(struct call *call, ssize_t size)
{
	const struct fuse_getxattr_in *in = call->in;
	struct fuse_getxattr_out out = { .size = (uint32_t)size };

	if (size < 0)
		return -errno;
	call->size = (uint32_t)size;
	if (in->size)
		return 0;
	if (call->room < sizeof(out))
		return -EINVAL;
	memcpy(call->out, &out, sizeof(out));
	call->size = sizeof(out);
	return 0;
}

static int get(struct call *call, const char *path)
{
	const struct fuse_getxattr_in *in = call->in;
	size_t room = in->size < call->room ? in->size : call->room;

	/* A room of 0 asks for the size. */
	if (in->size && !room)
		return -ERANGE;
	return answer(call, getxattr(path, call->name[0], call->out, room));
}

int serve_getxattr(struct call *call)
{
	return is_users(call->name[0]) ? with_node(call, get) : -ENODATA;
}

/* Those that the guest sees, in place; their size. */
static size_t filter(char *names, size_t size)
{
	size_t kept = 0;

	for (size_t i = 0; i < size;) {
		size_t length = strlen(names + i) + 1;

		if (is_users(names + i)) {
			memmove(names + kept, names + i, length);
			kept += length;
		}
		i += length;
	}
	return kept;
}

static int list(struct call *call, const char *path)
{
	const struct fuse_getxattr_in *in = call->in;
	char *names = malloc(LIST_MAX);
	ssize_t size;
	int rc = -ENOMEM;

	if (!names)
		return rc;
	size = listxattr(path, names, LIST_MAX);
	if (size > 0)
		size = (ssize_t)filter(names, (size_t)size);
	if (size > 0 && in->size && (size_t)size > call->room)
		rc = -ERANGE;
	else
		rc = answer(call, size);
	if (!rc && in->size)
		memcpy(call->out, names, (size_t)size);
	free(names);
	return rc;
}

int serve_listxattr(struct call *call)
{
	return with_node(call, list);
}

static int drop(struct call *call, const char *path)
{
	return removexattr(path, call->name[0]) ? -errno : 0;
}

int serve_removexattr(struct call *call)
{
	return is_users(call->name[0]) ? with_node(call, drop) : -EOPNOTSUPP;
}
