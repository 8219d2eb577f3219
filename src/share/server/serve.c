/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request's bytes to the function that serves it, and back. One table
 * says how each operation is laid out and what it needs; all lengths are
 * checked here.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "share/server/server.h"

/* Of file systems, as statfs(2) lists them. */
#define NFS_SUPER_MAGIC 0x6969u
#define CIFS_MAGIC	0xff534d42u
#define SMB2_MAGIC	0xfe534d42u
#define FUSE_MAGIC	0x65735546u
#define CEPH_MAGIC	0x00c36400u

/* Of what has two forms, the one that we agree on in serve_init(). */
#define SETXATTR_SIZE FUSE_COMPAT_SETXATTR_IN_SIZE

enum names {
	NAMES_NONE,
	NAMES_ENTRY,   /* a component */
	NAMES_ENTRIES, /* two of them */
	NAMES_LINK,    /* a component, and what it leads to */
	NAMES_WORD,    /* of an attribute */
};

struct operation {
	call_serve serve;
	uint32_t in;  /* bytes behind the head, before any names */
	uint32_t out; /* room that it needs behind the answer's head */
	enum names names;
	bool writes;  /* refused when the folder is for reading alone */
	bool silent;  /* has no answer */
	bool alone;   /* while nothing else is served */
};

#define SIZE(what) sizeof(struct what)
/* What is said behind the sizes is by member. */
#define OPERATION(opcode, function, in_size, out_size, ...)           \
	[opcode] = { .serve = function, .in = in_size, .out = out_size, \
		     ##__VA_ARGS__ }

static const struct operation operations[] = {
	OPERATION(FUSE_INIT, serve_init, 16, SIZE(fuse_init_out),
		  .alone = true),
	OPERATION(FUSE_DESTROY, serve_destroy, 0, 0, .alone = true),
	OPERATION(FUSE_LOOKUP, serve_lookup, 0, SIZE(fuse_entry_out),
		  .names = NAMES_ENTRY),
	OPERATION(FUSE_FORGET, serve_forget, SIZE(fuse_forget_in), 0,
		  .silent = true),
	OPERATION(FUSE_BATCH_FORGET, serve_batch_forget,
		  SIZE(fuse_batch_forget_in), 0, .silent = true),
	OPERATION(FUSE_INTERRUPT, serve_interrupt, 0, 0, .silent = true),
	OPERATION(FUSE_GETATTR, serve_getattr, SIZE(fuse_getattr_in),
		  SIZE(fuse_attr_out)),
	OPERATION(FUSE_SETATTR, serve_setattr, SIZE(fuse_setattr_in),
		  SIZE(fuse_attr_out), .writes = true),
	OPERATION(FUSE_READLINK, serve_readlink, 0, 0),
	OPERATION(FUSE_ACCESS, serve_access, SIZE(fuse_access_in), 0),
	OPERATION(FUSE_STATFS, serve_statfs, 0, SIZE(fuse_statfs_out)),
	OPERATION(FUSE_SYNCFS, serve_syncfs, SIZE(fuse_syncfs_in), 0),
	OPERATION(FUSE_SYMLINK, serve_symlink, 0, SIZE(fuse_entry_out),
		  .names = NAMES_LINK, .writes = true),
	OPERATION(FUSE_MKNOD, serve_mknod, SIZE(fuse_mknod_in),
		  SIZE(fuse_entry_out), .names = NAMES_ENTRY, .writes = true),
	OPERATION(FUSE_MKDIR, serve_mkdir, SIZE(fuse_mkdir_in),
		  SIZE(fuse_entry_out), .names = NAMES_ENTRY, .writes = true),
	OPERATION(FUSE_UNLINK, serve_unlink, 0, 0, .names = NAMES_ENTRY,
		  .writes = true),
	OPERATION(FUSE_RMDIR, serve_rmdir, 0, 0, .names = NAMES_ENTRY,
		  .writes = true),
	OPERATION(FUSE_RENAME, serve_rename, SIZE(fuse_rename_in), 0,
		  .names = NAMES_ENTRIES, .writes = true),
	OPERATION(FUSE_RENAME2, serve_rename2, SIZE(fuse_rename2_in), 0,
		  .names = NAMES_ENTRIES, .writes = true),
	OPERATION(FUSE_LINK, serve_link, SIZE(fuse_link_in),
		  SIZE(fuse_entry_out), .names = NAMES_ENTRY, .writes = true),
	OPERATION(FUSE_CREATE, serve_create, SIZE(fuse_create_in),
		  SIZE(fuse_entry_out) + SIZE(fuse_open_out),
		  .names = NAMES_ENTRY, .writes = true),
	OPERATION(FUSE_OPEN, serve_open, SIZE(fuse_open_in),
		  SIZE(fuse_open_out)),
	OPERATION(FUSE_READ, serve_read, SIZE(fuse_read_in), 0),
	OPERATION(FUSE_WRITE, serve_write, SIZE(fuse_write_in),
		  SIZE(fuse_write_out), .writes = true),
	OPERATION(FUSE_FLUSH, serve_flush, SIZE(fuse_flush_in), 0),
	OPERATION(FUSE_RELEASE, serve_release, SIZE(fuse_release_in), 0),
	OPERATION(FUSE_FSYNC, serve_fsync, SIZE(fuse_fsync_in), 0),
	OPERATION(FUSE_FALLOCATE, serve_fallocate, SIZE(fuse_fallocate_in), 0,
		  .writes = true),
	OPERATION(FUSE_LSEEK, serve_lseek, SIZE(fuse_lseek_in),
		  SIZE(fuse_lseek_out)),
	OPERATION(FUSE_COPY_FILE_RANGE, serve_copy_file_range,
		  SIZE(fuse_copy_file_range_in), SIZE(fuse_write_out),
		  .writes = true),
	OPERATION(FUSE_OPENDIR, serve_opendir, SIZE(fuse_open_in),
		  SIZE(fuse_open_out)),
	OPERATION(FUSE_READDIR, serve_readdir, SIZE(fuse_read_in), 0),
	OPERATION(FUSE_READDIRPLUS, serve_readdirplus, SIZE(fuse_read_in), 0),
	OPERATION(FUSE_RELEASEDIR, serve_releasedir, SIZE(fuse_release_in), 0),
	OPERATION(FUSE_FSYNCDIR, serve_fsyncdir, SIZE(fuse_fsync_in), 0),
	OPERATION(FUSE_SETXATTR, serve_setxattr, SETXATTR_SIZE, 0,
		  .names = NAMES_WORD, .writes = true),
	OPERATION(FUSE_GETXATTR, serve_getxattr, SIZE(fuse_getxattr_in), 0,
		  .names = NAMES_WORD),
	OPERATION(FUSE_LISTXATTR, serve_listxattr, SIZE(fuse_getxattr_in), 0),
	OPERATION(FUSE_REMOVEXATTR, serve_removexattr, 0, 0,
		  .names = NAMES_WORD, .writes = true),
};

#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

/* --- requests ------------------------------------------------------------------- */

/* A name that ends within what is left; NULL: none. */
static const char *take_name(struct call *call)
{
	const char *name = (const char *)call->data;
	const char *end = memchr(name, 0, call->data_size);

	if (!end)
		return NULL;
	call->data_size -= (uint32_t)(end + 1 - name);
	call->data = (const uint8_t *)end + 1;
	return name;
}

/* An entry of a folder by its own name, and no path. */
static int check_entry(const char *name)
{
	if (!name || !*name || strchr(name, '/') || !strcmp(name, ".") ||
	    !strcmp(name, ".."))
		return -EINVAL;
	return strlen(name) > NAME_MAX ? -ENAMETOOLONG : 0;
}

static int take_names(struct call *call, enum names names)
{
	bool two = names == NAMES_ENTRIES || names == NAMES_LINK;
	int rc = 0;

	if (names == NAMES_NONE)
		return 0;
	call->name[0] = take_name(call);
	if (two)
		call->name[1] = take_name(call);
	if (!call->name[0] || (two && !call->name[1]))
		return -EINVAL;
	if (names != NAMES_WORD)
		rc = check_entry(call->name[0]);
	if (!rc && names == NAMES_ENTRIES)
		rc = check_entry(call->name[1]);
	return rc;
}

static const struct operation *find(uint32_t opcode)
{
	if (opcode >= OPERATIONS || !operations[opcode].serve)
		return NULL;
	return &operations[opcode];
}

static int serve(struct call *call, const struct operation *op, uint32_t size)
{
	int rc;

	if (!op)
		return -ENOSYS;
	if (size < op->in || call->room < op->out)
		return -EINVAL;
	call->data = (const uint8_t *)call->in + op->in;
	call->data_size = size - op->in;
	rc = take_names(call, op->names);
	if (rc)
		return rc;
	if (op->writes && call->server->readonly)
		return -EROFS;
	if (op->alone)
		pthread_rwlock_wrlock(&call->server->session);
	else
		pthread_rwlock_rdlock(&call->server->session);
	rc = op->serve(call);
	pthread_rwlock_unlock(&call->server->session);
	return rc;
}

uint32_t server_answer(struct server *server, const void *in, uint32_t size,
		       void *out, uint32_t room)
{
	const struct fuse_in_header *head = in;
	const struct operation *op = find(head->opcode);
	struct fuse_out_header answer = { .unique = head->unique };
	struct call call = {
		.server = server,
		.head = head,
		.in = head + 1,
	};

	if (room >= sizeof(answer)) {
		call.out = (uint8_t *)out + sizeof(answer);
		call.room = room - (uint32_t)sizeof(answer);
	} else if (!op || !op->silent) {
		return 0;
	}
	answer.error = serve(&call, op, size - (uint32_t)sizeof(*head));
	if (op && op->silent)
		return 0;
	if (answer.error)
		call.size = 0;
	answer.len = (uint32_t)sizeof(answer) + call.size;
	memcpy(out, &answer, sizeof(answer));
	return answer.len;
}

/* --- making one ------------------------------------------------------------------- */

const char *fd_name(char name[FD_NAME], int fd)
{
	snprintf(name, FD_NAME, "%d", fd);
	return name;
}

static bool closing_may_fail(int fd)
{
	static const uint32_t systems[] = {
		NFS_SUPER_MAGIC, CIFS_MAGIC, SMB2_MAGIC, FUSE_MAGIC, CEPH_MAGIC,
	};
	struct statfs status;

	if (fstatfs(fd, &status))
		return true;
	for (size_t i = 0; i < sizeof(systems) / sizeof(systems[0]); i++)
		if ((uint32_t)status.f_type == systems[i])
			return true;
	return false;
}

int server_init(struct server *server, const struct server_config *config)
{
	unsigned int half = config->descriptors / 2;
	int rc;

	*server = (struct server){
		.readonly = config->readonly,
		.believe = config->believe,
		.root = !geteuid(),
		.flushes = closing_may_fail(config->folder),
		.folder = config->folder,
		.proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC),
	};
	if (server->proc < 0)
		return -errno;
	rc = nodes_init(&server->nodes, config->folder, half);
	if (rc) {
		close(server->proc);
		return rc;
	}
	handles_init(&server->handles, half);
	pthread_rwlock_init(&server->session, NULL);
	return 0;
}

void server_fini(struct server *server)
{
	handles_fini(&server->handles);
	nodes_fini(&server->nodes);
	pthread_rwlock_destroy(&server->session);
	close(server->proc);
}
