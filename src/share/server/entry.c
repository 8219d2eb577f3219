/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in folders: looking them up, making, linking, renaming and removing
 * what they stand for. Each works on the folder's descriptor and one component,
 * and none follows a link.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "share/server/server.h"

int entry_make(struct call *call, const struct node_use *parent,
	       const char *name, struct fuse_entry_out *out)
{
	struct nodes *nodes = &call->server->nodes;
	struct statx status;
	int rc = node_stat(nodes, parent->fd, name, &status);

	if (rc)
		return rc;
	*out = (struct fuse_entry_out){ 0 };
	entry_times(call->server, out);
	attr_fill(&out->attr, &status);
	return node_enter(nodes, parent->node, name, &status, &out->nodeid);
}

static int answer_entry(struct call *call, const struct node_use *parent,
			const char *name)
{
	struct fuse_entry_out out;
	int rc = entry_make(call, parent, name, &out);

	if (rc)
		return rc;
	memcpy(call->out, &out, sizeof(out));
	call->size = sizeof(out);
	return 0;
}

/* Calls `work` for the folder that the request is about. */
static int in_folder(struct call *call,
		     int (*work)(struct call *call,
				 const struct node_use *folder))
{
	struct nodes *nodes = &call->server->nodes;
	struct node_use folder;
	int rc = node_use(nodes, call->head->nodeid, &folder);

	if (rc)
		return rc;
	rc = work(call, &folder);
	node_done(nodes, &folder);
	return rc;
}

/* That there is nothing is worth knowing, too. */
static int lookup(struct call *call, const struct node_use *folder)
{
	struct fuse_entry_out nothing = { 0 };
	int rc = answer_entry(call, folder, call->name[0]);

	if (rc != -ENOENT)
		return rc;
	entry_times(call->server, &nothing);
	memcpy(call->out, &nothing, sizeof(nothing));
	call->size = sizeof(nothing);
	return 0;
}

int serve_lookup(struct call *call)
{
	return in_folder(call, lookup);
}

/* --- making --------------------------------------------------------------------- */

/* The owner that a file gets: of root's server, the guest's user. */
static gid_t group_for(const struct call *call, const struct node_use *folder)
{
	struct stat status;

	if (!fstat(folder->fd, &status) && (status.st_mode & S_ISGID))
		return (gid_t)-1; /* it has the folder's */
	return call->head->gid;
}

/*
 * Gives what was just made to the guest's user, if it is still that: ours,
 * without a second name, of that kind.
 */
static int give(struct call *call, const struct node_use *folder, mode_t kind)
{
	struct stat status;
	int fd, rc = 0;

	if (!call->server->root)
		return 0;
	fd = openat(folder->fd, call->name[0],
		    O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) || status.st_uid ||
	    (status.st_mode & S_IFMT) != kind ||
	    (kind != S_IFDIR && status.st_nlink != 1))
		rc = -ESTALE;
	else if (fchownat(fd, "", call->head->uid, group_for(call, folder),
			  AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		rc = -errno;
	close(fd);
	return rc;
}

static int answer_made(struct call *call, const struct node_use *folder,
		       mode_t kind)
{
	int rc = give(call, folder, kind);

	return rc ? rc : answer_entry(call, folder, call->name[0]);
}

static int make_folder(struct call *call, const struct node_use *folder)
{
	const struct fuse_mkdir_in *in = call->in;

	if (mkdirat(folder->fd, call->name[0], in->mode & 03777))
		return -errno;
	return answer_made(call, folder, S_IFDIR);
}

/* No devices: they would be this computer's. */
static int make_node(struct call *call, const struct node_use *folder)
{
	const struct fuse_mknod_in *in = call->in;
	mode_t kind = in->mode & S_IFMT;

	if (kind != S_IFREG && kind != S_IFIFO && kind != S_IFSOCK)
		return -EPERM;
	if (mknodat(folder->fd, call->name[0], kind | (in->mode & 01777), 0))
		return -errno;
	return answer_made(call, folder, kind);
}

/* Wherever it leads, only the guest follows it. */
static int make_link(struct call *call, const struct node_use *folder)
{
	if (symlinkat(call->name[1], folder->fd, call->name[0]))
		return -errno;
	return answer_made(call, folder, S_IFLNK);
}

int serve_mkdir(struct call *call)
{
	return in_folder(call, make_folder);
}

int serve_mknod(struct call *call)
{
	return in_folder(call, make_node);
}

int serve_symlink(struct call *call)
{
	return in_folder(call, make_link);
}

/* Opens what there is already, if the guest means that as well. */
static int open_present(struct call *call, const struct node_use *folder,
			struct fuse_entry_out *entry,
			struct fuse_open_out *opened)
{
	const struct fuse_create_in *in = call->in;
	struct nodes *nodes = &call->server->nodes;
	struct node_use node;
	int rc = in->flags & O_EXCL ? -EEXIST :
				      entry_make(call, folder, call->name[0],
						 entry);

	if (rc)
		return rc;
	rc = node_use(nodes, entry->nodeid, &node);
	if (!rc) {
		rc = file_open(call, &node, in->flags, &opened->fh,
			       &opened->open_flags);
		node_done(nodes, &node);
	}
	if (rc)
		node_forget(nodes, entry->nodeid, 1);
	return rc;
}

static int open_new(struct call *call, const struct node_use *folder, int fd,
		    struct fuse_entry_out *entry, struct fuse_open_out *opened)
{
	struct server *server = call->server;
	int rc = 0;

	if (server->root && fchown(fd, call->head->uid,
				   group_for(call, folder)))
		rc = -errno;
	if (!rc)
		rc = entry_make(call, folder, call->name[0], entry);
	if (rc) {
		close(fd);
		return rc;
	}
	rc = handle_add(&server->handles, fd, false, &opened->fh);
	if (rc)
		node_forget(&server->nodes, entry->nodeid, 1);
	return rc;
}

static int create(struct call *call, const struct node_use *folder)
{
	const struct fuse_create_in *in = call->in;
	struct fuse_open_out opened = { 0 };
	struct fuse_entry_out entry;
	int rc, fd = openat(folder->fd, call->name[0],
			    ((int)in->flags & FILE_FLAGS) | O_CREAT | O_EXCL |
				    O_NOFOLLOW | O_CLOEXEC,
			    in->mode & 01777);

	if (fd < 0 && errno != EEXIST)
		return -errno;
	rc = fd < 0 ? open_present(call, folder, &entry, &opened) :
		      open_new(call, folder, fd, &entry, &opened);
	if (rc)
		return rc;
	memcpy(call->out, &entry, sizeof(entry));
	memcpy(call->out + sizeof(entry), &opened, sizeof(opened));
	call->size = sizeof(entry) + sizeof(opened);
	return 0;
}

int serve_create(struct call *call)
{
	return in_folder(call, create);
}

/* --- links, new names, removal -------------------------------------------------- */

static int link_in(struct call *call, const struct node_use *folder)
{
	const struct fuse_link_in *in = call->in;
	struct server *server = call->server;
	struct node_use node;
	char name[FD_NAME];
	int rc = node_use(&server->nodes, in->oldnodeid, &node);

	if (rc)
		return rc;
	if (linkat(server->proc, fd_name(name, node.fd), folder->fd,
		   call->name[0], AT_SYMLINK_FOLLOW))
		rc = -errno;
	if (!rc)
		rc = answer_entry(call, folder, call->name[0]);
	node_done(&server->nodes, &node);
	return rc;
}

int serve_link(struct call *call)
{
	return in_folder(call, link_in);
}

/* What is there will be replaced; perhaps there is nothing. */
static int hold_target(struct nodes *nodes, const struct node_use *folder,
		       const char *name)
{
	int rc = node_hold(nodes, folder, name);

	return rc == -ENOENT ? 0 : rc;
}

/* What is replaced has no name afterwards; what is moved has another one. */
static int move(struct call *call, const struct node_use *from, uint64_t to_id,
		uint32_t flags)
{
	struct nodes *nodes = &call->server->nodes;
	const char *old = call->name[0], *new = call->name[1];
	struct statx moved, other = { 0 };
	struct node_use to;
	bool swapped;
	int rc;

	if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	rc = node_use(nodes, to_id, &to);
	if (rc)
		return rc;
	swapped = flags & RENAME_EXCHANGE;
	rc = node_stat(nodes, from->fd, old, &moved);
	if (!rc && swapped)
		rc = node_stat(nodes, to.fd, new, &other);
	else if (!rc)
		rc = hold_target(nodes, &to, new);
	if (!rc && renameat2(from->fd, old, to.fd, new, flags))
		rc = -errno;
	if (!rc)
		node_renamed(nodes, &moved, to.node, new);
	if (!rc && swapped)
		node_renamed(nodes, &other, from->node, old);
	node_done(nodes, &to);
	return rc;
}

static int rename_plain(struct call *call, const struct node_use *folder)
{
	const struct fuse_rename_in *in = call->in;

	return move(call, folder, in->newdir, 0);
}

static int rename_flags(struct call *call, const struct node_use *folder)
{
	const struct fuse_rename2_in *in = call->in;

	return move(call, folder, in->newdir, in->flags);
}

int serve_rename(struct call *call)
{
	return in_folder(call, rename_plain);
}

int serve_rename2(struct call *call)
{
	return in_folder(call, rename_flags);
}

static int remove_entry(struct call *call, const struct node_use *folder,
			int flags)
{
	int rc = node_hold(&call->server->nodes, folder, call->name[0]);

	if (!rc && unlinkat(folder->fd, call->name[0], flags))
		rc = -errno;
	return rc;
}

static int remove_file(struct call *call, const struct node_use *folder)
{
	return remove_entry(call, folder, 0);
}

static int remove_folder(struct call *call, const struct node_use *folder)
{
	return remove_entry(call, folder, AT_REMOVEDIR);
}

int serve_unlink(struct call *call)
{
	return in_folder(call, remove_file);
}

int serve_rmdir(struct call *call)
{
	return in_folder(call, remove_folder);
}
