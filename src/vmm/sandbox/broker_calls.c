/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's system calls that have a name of the host's, made for it. Their
 * arguments lie in its memory and are copied once; what is done is decided by
 * the copy. What it may not have is -EACCES.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "disk/lock.h"
#include "share/start.h"
#include "vmm/sandbox/broker_impl.h"

#define OWN_PROC "/proc/self/"

struct call {
	const struct calls *calls;
	uint64_t id;
	pid_t thread;
	const uint64_t *arg;
	int fd;	       /* the answer is a copy of that one; -1: none */
	bool own_exec; /* whether it is to be closed by execve(2) */
	bool go_on;    /* the kernel makes the call itself */
};

/* --- the machine's memory and descriptors ----------------------------------------- */

static bool read_memory(const struct call *call, uint64_t at, void *to,
			size_t size)
{
	const struct iovec here = { to, size }, there = { (void *)at, size };

	return process_vm_readv(call->thread, &here, 1, &there, 1, 0) ==
	       (ssize_t)size;
}

static int write_memory(const struct call *call, uint64_t at,
			const void *from, size_t size)
{
	const struct iovec here = { (void *)from, size },
			   there = { (void *)at, size };

	return process_vm_writev(call->thread, &here, 1, &there, 1, 0) ==
			       (ssize_t)size ? 0 : -EFAULT;
}

/* A text of the machine's, page by page. */
static int read_text(const struct call *call, uint64_t at,
		     char text[PATH_MAX])
{
	size_t have = 0;

	while (have < PATH_MAX) {
		size_t piece = 256 - (at + have) % 256;

		if (piece > PATH_MAX - have)
			piece = PATH_MAX - have;
		if (!read_memory(call, at + have, text + have, piece))
			return -EFAULT;
		if (memchr(text + have, '\0', piece))
			return 0;
		have += piece;
	}
	return -ENAMETOOLONG;
}

/* What its descriptor is of, or a negative errno. */
static int name_of(const struct call *call, int fd, char path[PATH_MAX])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)call->thread, fd);
	n = readlink(link, path, PATH_MAX - 1);
	if (n < 0)
		return -EBADF;
	path[n] = '\0';
	return *path == '/' ? 0 : -ENOTDIR;
}

/* A copy of its descriptor, ours. */
static int copy_of(const struct call *call, int fd)
{
	int process = (int)syscall(SYS_pidfd_open, call->thread, O_EXCL), copy;

	if (process < 0) /* of a thread that is not the first */
		process = (int)syscall(SYS_pidfd_open, getppid(), 0);
	if (process < 0)
		return -errno;
	copy = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
	if (copy < 0)
		copy = -errno;
	close(process);
	return copy;
}

static int join(char path[PATH_MAX], const char *folder, const char *name)
{
	int length = snprintf(path, PATH_MAX, "%s%s%s", folder,
			      *name ? "/" : "", name);

	return length < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/*
 * The absolute path that text names: beside `folder`, by way of its own
 * /proc/self/fd, or from our working folder, which was its.
 */
static int resolve(const struct call *call, int folder, const char *text,
		   char path[PATH_MAX])
{
	char base[PATH_MAX];
	int rc = 0, fd, used = 0;

	if (sscanf(text, OWN_PROC "fd/%d%n", &fd, &used) == 1 && used &&
	    (text[used] == '/' || !text[used])) {
		rc = name_of(call, fd, base);
		return rc ? rc : join(path, base,
				      text + used + (text[used] == '/'));
	}
	if (*text == '/')
		return join(path, text, "");
	if (folder == AT_FDCWD)
		rc = getcwd(base, sizeof(base)) ? 0 : -errno;
	else
		rc = name_of(call, folder, base);
	return rc ? rc : join(path, base, text);
}

static int path_of(const struct call *call, int folder, uint64_t at,
		   char path[PATH_MAX])
{
	char text[PATH_MAX];
	int rc = read_text(call, at, text);

	return rc ? rc : resolve(call, folder, text, path);
}

static unsigned int may(const struct call *call, const char *path)
{
	char real[PATH_MAX];
	unsigned int what = grants_of(call->calls->grants, path);

	if (!what && realpath(path, real))
		what = grants_of(call->calls->grants, real);
	return what;
}

/* --- files ------------------------------------------------------------------------- */

/*
 * The server of a folder that a user has named; its process, to wait for the
 * end of. Its other descriptors are the machine's.
 */
static int serve_folder(struct call *call, const char *subject)
{
	struct start_wish wish;
	int fd[3] = { -1, -1, -1 }, rc = 0;
	unsigned int wanted = BROKER_SHARE;
	pid_t child;

	if (!start_read_wish(&wish, subject))
		return -EINVAL;
	wanted |= wish.config.readonly ? 0 : BROKER_SHARE_WRITE;
	if ((grants_of(call->calls->grants, wish.config.folder) & wanted) !=
	    wanted)
		return -EACCES;
	fd[0] = open(wish.config.folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd[0] < 0)
		return -errno;
	fd[1] = copy_of(call, wish.memory);
	fd[2] = copy_of(call, wish.life);
	for (int i = 0; i < 3 && !rc; i++)
		rc = fd[i] < 0 ? -fd[i] : 0;
	if (!rc)
		rc = start_program(&wish.config, fd, &child);
	if (!rc) {
		call->fd = (int)syscall(SYS_pidfd_open, child, 0);
		call->own_exec = true;
		rc = call->fd < 0 ? errno : 0;
	}
	for (int i = 0; i < 3; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	return -rc;
}

/* Who has the machine's open file locked. */
static int tell_holder(struct call *call, const char *subject)
{
	const int fd = copy_of(call, atoi(subject));
	char words[LOCK_WORDS] = "";
	struct stat file;
	pid_t holder = 0;
	bool known;

	if (fd < 0)
		return fd;
	known = !fstat(fd, &file);
	close(fd); /* or it is ours */
	if (known)
		holder = lock_find_holder(&file, getppid(), words);
	call->fd = memfd_create("holder", MFD_CLOEXEC);
	call->own_exec = true;
	if (call->fd < 0)
		return -errno;
	return dprintf(call->fd, "%d %s", (int)holder, words) < 0 ? -EIO : 0;
}

static int help(struct call *call, const char *path)
{
	static const char share[] = JAIL_HELP START_VERB "/";
	static const char holder[] = JAIL_HELP LOCK_VERB "/";

	if (!strncmp(path, holder, strlen(holder)))
		return tell_holder(call, path + strlen(holder));
	if (!strncmp(path, share, strlen(share)))
		return serve_folder(call, path + strlen(share));
	return may(call, path) ? broker_help(call->calls, path) : -EACCES;
}

/*
 * What the machine has already, by the names of its own: a copy of an open
 * descriptor (a report to /dev/stdout), and what the kernel tells of its own
 * process. 1: that path is something else.
 */
static int open_own(struct call *call, const char *path, int flags)
{
	static const char *const streams[] = { "stdin", "stdout", "stderr" };
	char own[PATH_MAX + 32];
	int fd = -1, used = 0;

	if (!strcmp(path, OWN_PROC "status") ||
	    !strcmp(path, OWN_PROC "smaps") ||
	    (sscanf(path, OWN_PROC "fdinfo/%d%n", &fd, &used) == 1 &&
	     !path[used])) {
		if ((flags & O_ACCMODE) != O_RDONLY)
			return -EACCES;
		snprintf(own, sizeof(own), "/proc/%d/%s", (int)getppid(),
			 path + strlen(OWN_PROC));
		call->fd = open(own, O_RDONLY | O_CLOEXEC);
		call->own_exec = true;
		return call->fd < 0 ? -errno : 0;
	}
	if (strncmp(path, "/dev/", 5))
		return 1;
	fd = -1;
	for (int i = 0; i < 3; i++)
		if (!strcmp(path + 5, streams[i]))
			fd = i;
	if (fd < 0)
		return 1;
	call->fd = copy_of(call, fd);
	call->own_exec = flags & O_CLOEXEC;
	return call->fd < 0 ? call->fd : 0;
}

static int open_file(struct call *call, int folder, uint64_t at, int flags,
		     mode_t mode)
{
	const bool reads = (flags & O_ACCMODE) == O_RDONLY;
	unsigned int what, wanted = reads ? BROKER_READ : BROKER_WRITE;
	char path[PATH_MAX];
	struct stat st;
	int rc = path_of(call, folder, at, path);

	if (rc)
		return rc;
	if (!strncmp(path, JAIL_HELP, strlen(JAIL_HELP)))
		return help(call, path);
	rc = open_own(call, path, flags);
	if (rc <= 0)
		return rc;
	if ((flags & O_TMPFILE) == O_TMPFILE)
		return -EOPNOTSUPP;
	what = may(call, path);
	/* The folder that something is in, to be synced or looked through. */
	if (reads && !stat(path, &st) && S_ISDIR(st.st_mode) &&
	    grants_lead(call->calls->grants, path, true))
		what |= BROKER_READ;
	if (flags & O_CREAT && !(what & BROKER_MAKE)) {
		if (flags & O_EXCL)
			return -EACCES;
		flags &= ~O_CREAT; /* it is there, or cannot be */
	}
	if (!(what & wanted) && !(what & BROKER_MAKE && flags & O_CREAT))
		return stat(path, &st) ? -errno : -EACCES;
	call->fd = open(path, flags | O_CLOEXEC | O_NOCTTY, mode);
	call->own_exec = flags & O_CLOEXEC;
	return call->fd < 0 ? -errno : 0;
}

/* Whether what it is may be asked. */
static int may_look(const struct call *call, const char *path)
{
	return may(call, path) || grants_lead(call->calls->grants, path, false) ?
		       0 : -EACCES;
}

static int tell_stat(const struct call *call, int folder, uint64_t at,
		     uint64_t to, int flags)
{
	char path[PATH_MAX];
	struct stat st;
	int rc = path_of(call, folder, at, path);

	if (!rc)
		rc = may_look(call, path);
	if (!rc && fstatat(AT_FDCWD, path, &st, flags & AT_SYMLINK_NOFOLLOW))
		rc = -errno;
	return rc ? rc : write_memory(call, to, &st, sizeof(st));
}

static int tell_statx(const struct call *call, const uint64_t *arg)
{
	char path[PATH_MAX];
	struct statx st;
	int rc = path_of(call, (int)arg[0], arg[1], path);

	if (!rc)
		rc = may_look(call, path);
	if (!rc && syscall(SYS_statx, AT_FDCWD, path,
			   (int)arg[2] & AT_SYMLINK_NOFOLLOW,
			   (unsigned int)arg[3], &st))
		rc = -errno;
	return rc ? rc : write_memory(call, arg[4], &st, sizeof(st));
}

static int tell_access(const struct call *call, uint64_t at, int mode)
{
	char path[PATH_MAX];
	int rc = path_of(call, AT_FDCWD, at, path);

	if (!rc)
		rc = may_look(call, path);
	return !rc && faccessat(AT_FDCWD, path, mode, 0) ? -errno : rc;
}

static int tell_link(const struct call *call, int folder, uint64_t at,
		     uint64_t to, uint64_t size)
{
	char path[PATH_MAX], link[PATH_MAX];
	int rc = path_of(call, folder, at, path);
	ssize_t n;

	if (!rc && !strcmp(path, OWN_PROC "exe"))
		snprintf(path, sizeof(path), "/proc/%d/exe",
			 (int)call->thread);
	else if (!rc)
		rc = may_look(call, path);
	if (rc)
		return rc;
	n = readlink(path, link, size < sizeof(link) ? size : sizeof(link));
	if (n < 0)
		return -errno;
	rc = write_memory(call, to, link, (size_t)n);
	return rc ? rc : (int)n;
}

static int remove_name(const struct call *call, int folder, uint64_t at,
		       int flags)
{
	char path[PATH_MAX];
	int rc = path_of(call, folder, at, path);

	if (!rc && !(may(call, path) & BROKER_MAKE))
		rc = -EACCES;
	return !rc && unlinkat(AT_FDCWD, path, flags) ? -errno : rc;
}

static int make_folder(const struct call *call, uint64_t at, mode_t mode)
{
	char path[PATH_MAX];
	struct stat st;
	int rc = path_of(call, AT_FDCWD, at, path);

	if (!rc && !stat(path, &st))
		rc = -EEXIST;
	if (!rc && !(may(call, path) & BROKER_MAKE))
		rc = -EACCES;
	return !rc && mkdir(path, mode) ? -errno : rc;
}

static int rename_file(const struct call *call, int from_folder,
		       uint64_t from_at, int to_folder, uint64_t to_at)
{
	char from[PATH_MAX], to[PATH_MAX];
	int rc = path_of(call, from_folder, from_at, from);

	if (!rc)
		rc = path_of(call, to_folder, to_at, to);
	if (!rc && !(may(call, from) & may(call, to) & BROKER_MAKE))
		rc = -EACCES;
	return !rc && rename(from, to) ?
		       -errno : rc;
}

/* --- sockets ------------------------------------------------------------------------ */

/* Of the host's network; those of Unix the machine makes itself. */
static int make_socket(struct call *call, const uint64_t *arg)
{
	const int family = (int)arg[0], type = (int)arg[1] & 0xf;

	if (!call->calls->grants->internet)
		return -EACCES;
	if ((family != AF_INET && family != AF_INET6) ||
	    (type != SOCK_STREAM && type != SOCK_DGRAM))
		return -EAFNOSUPPORT;
	call->fd = socket(family, (int)arg[1] | SOCK_CLOEXEC, (int)arg[2]);
	call->own_exec = (int)arg[1] & SOCK_CLOEXEC;
	return call->fd < 0 ? -errno : 0;
}

/* The file is its user's alone, as unix_socket_listen() makes it. */
static int bind_own(int fd, const struct sockaddr_un *address)
{
	const mode_t mask = umask(077);
	int rc = bind(fd, (const struct sockaddr *)address, sizeof(*address)) ?
			 -errno : 0;

	umask(mask);
	return rc;
}

/* `fd` at the socket of that path; names that are too long go by way of an
 * open folder. */
static int at_path(int fd, const char *path, bool binds)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int place, rc;

	snprintf(folder, sizeof(folder), "%.*s/", (int)(slash - path), path);
	place = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (place < 0)
		return -errno;
	if ((size_t)snprintf(address.sun_path, sizeof(address.sun_path),
			     "/proc/self/fd/%d/%s", place, slash + 1) >=
	    sizeof(address.sun_path))
		rc = -ENAMETOOLONG;
	else if (binds)
		rc = bind_own(fd, &address);
	else
		rc = connect(fd, (struct sockaddr *)&address,
			     sizeof(address)) ? -errno : 0;
	close(place);
	return rc;
}

/*
 * Without namespaces: by our copy of the address, lest another one stands there
 * when the kernel looks. Sockets of Unix without a path would be the host's.
 */
static int name_by_copy(const struct call *call, int socket,
			const struct sockaddr *address, socklen_t size,
			bool binds)
{
	int fd, rc;

	if (address->sa_family == AF_UNIX)
		return -EACCES;
	fd = copy_of(call, socket);
	if (fd < 0)
		return fd;
	rc = binds ? bind(fd, address, size) : connect(fd, address, size);
	rc = rc ? -errno : 0;
	close(fd);
	return rc;
}

/*
 * The kernel makes the call itself for addresses that are no paths: whatever
 * the machine may put there instead meanwhile, a path leads to nothing in its
 * empty view, and sockets of Unix are of its own network.
 */
static int name_socket(struct call *call, const uint64_t *arg, bool binds)
{
	struct sockaddr_un address = { 0 };
	const unsigned int wanted = binds ? BROKER_MAKE : BROKER_CONNECT;
	char text[sizeof(address.sun_path) + 1] = "", path[PATH_MAX];
	size_t size = arg[2];
	int rc, fd;

	if (size > sizeof(address))
		return -EINVAL;
	if (!read_memory(call, arg[1], &address, size))
		return -EFAULT;
	if (address.sun_family != AF_UNIX || !address.sun_path[0]) {
		if (call->calls->grants->bare)
			return name_by_copy(call, (int)arg[0],
					    (struct sockaddr *)&address,
					    (socklen_t)size, binds);
		call->go_on = true;
		return 0;
	}
	memcpy(text, address.sun_path, sizeof(address.sun_path));
	rc = resolve(call, AT_FDCWD, text, path);
	if (!rc && !(may(call, path) & wanted))
		rc = -EACCES;
	if (rc)
		return rc;
	fd = copy_of(call, (int)arg[0]);
	if (fd < 0)
		return fd;
	rc = at_path(fd, path, binds);
	close(fd);
	return rc;
}

/* A client of the control socket, which the relay goes between. */
static int take_client(struct call *call, int socket)
{
	int listener = call->calls->relay ? copy_of(call, socket) : -ENOMEM;

	if (listener < 0)
		return listener;
	call->fd = relay_accept(call->calls->relay, listener);
	call->own_exec = true;
	close(listener);
	return call->fd < 0 ? call->fd : 0;
}

/* --- code ------------------------------------------------------------------------------ */

/*
 * Libraries that are loaded late: a file of the system's, or an extension of
 * ours, that cannot be written to by that mapping.
 */
static int map_code(struct call *call, const uint64_t *arg)
{
	char path[PATH_MAX];

	if (arg[2] & PROT_WRITE || arg[3] & (MAP_SHARED | MAP_ANONYMOUS) ||
	    name_of(call, (int)arg[4], path) ||
	    (may(call, path) & (BROKER_READ | BROKER_WRITE | BROKER_MAKE)) !=
		    BROKER_READ)
		return -EACCES;
	call->go_on = true;
	return 0;
}

/* --- the whole ------------------------------------------------------------------------- */

static int make_call(struct call *call, int number)
{
	const uint64_t *arg = call->arg;

	switch (number) {
	case SYS_openat:
		return open_file(call, (int)arg[0], arg[1], (int)arg[2],
				 (mode_t)arg[3]);
	case SYS_open:
		return open_file(call, AT_FDCWD, arg[0], (int)arg[1],
				 (mode_t)arg[2]);
	case SYS_newfstatat:
		return tell_stat(call, (int)arg[0], arg[1], arg[2],
				 (int)arg[3]);
	case SYS_stat:
		return tell_stat(call, AT_FDCWD, arg[0], arg[1], 0);
	case SYS_lstat:
		return tell_stat(call, AT_FDCWD, arg[0], arg[1],
				 AT_SYMLINK_NOFOLLOW);
	case SYS_statx:
		return tell_statx(call, arg);
	case SYS_access:
		return tell_access(call, arg[0], (int)arg[1]);
	case SYS_readlink:
		return tell_link(call, AT_FDCWD, arg[0], arg[1], arg[2]);
	case SYS_unlink:
		return remove_name(call, AT_FDCWD, arg[0], 0);
	case SYS_unlinkat:
		return remove_name(call, (int)arg[0], arg[1], (int)arg[2]);
	case SYS_mkdir:
		return make_folder(call, arg[0], (mode_t)arg[1]);
	case SYS_rename:
		return rename_file(call, AT_FDCWD, arg[0], AT_FDCWD, arg[1]);
	case SYS_renameat:
		return rename_file(call, (int)arg[0], arg[1], (int)arg[2],
				   arg[3]);
	case SYS_socket:
		return make_socket(call, arg);
	case SYS_connect:
		return name_socket(call, arg, false);
	case SYS_bind:
		return name_socket(call, arg, true);
	case SYS_mmap:
		return map_code(call, arg);
	case SYS_accept:
	case SYS_accept4:
		return take_client(call, (int)arg[0]);
	default:
		return -ENOSYS;
	}
}

/* The connection's end is set not to wait by whoever accepts it. */
static void answer(const struct calls *calls, struct call *call, int rc)
{
	struct seccomp_notif_resp reply = { .id = call->id };
	struct seccomp_notif_addfd add = { .id = call->id };

	if (call->fd >= 0) {
		add.srcfd = (unsigned int)call->fd;
		add.newfd_flags = call->own_exec ? O_CLOEXEC : 0;
		add.flags = SECCOMP_ADDFD_FLAG_SEND;
		if (ioctl(calls->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) <
			    0 && errno != ENOENT)
			rc = -errno;
		close(call->fd);
		if (rc >= 0)
			return;
	}
	if (call->go_on)
		reply.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	else if (rc < 0)
		reply.error = rc;
	else
		reply.val = rc;
	ioctl(calls->listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
}

void calls_make(const struct calls *calls, const struct seccomp_notif *note)
{
	struct call call = {
		.calls = calls,
		.id = note->id,
		.thread = (pid_t)note->pid,
		.arg = (const uint64_t *)note->data.args,
		.fd = -1,
	};

	answer(calls, &call, make_call(&call, note->data.nr));
}
