/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Most of this is a thread's own in Linux: namespaces, capabilities, Landlock.
 * So each thread that runs already is interrupted by a signal and does it for
 * itself; those that start later inherit it.
 */
#include "host/linux/jail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host/linux/confine.h"

#define SPACES	     (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
#define UID_BASE     0x70000000u /* and the process's number: nobody's */
#define THREADS_MAX  4096
#define PATIENCE_NS  10000000000ull
#define POLL_NS	     50000
#define FILES_MAX    65536u

struct filter {
	struct sock_filter code[JAIL_CODE_MAX];
	size_t length;
};

/* One a process, and so are these. */
static struct {
	_Atomic bool entered;
	struct filter *role; /* of each but JAIL_LOOP */
	int spaces, rules;   /* to join; -1: none */
	bool own_user, lacks_user;
	struct jail_lacks lacks;
	int landlock; /* version */
	void (*step)(void);
	_Atomic unsigned int done;
	_Atomic int failed;
} jail;

static _Thread_local enum jail_role own_role;
static _Thread_local unsigned int own_steps;

bool jail_entered(void)
{
	return atomic_load(&jail.entered);
}

struct jail_holds jail_holds(void)
{
	return (struct jail_holds){
		.lacks = jail.lacks,
		.landlock = jail.landlock,
		.own_user = jail.own_user,
	};
}

bool jail_narrow(void)
{
	return jail_entered() && own_role != JAIL_LOOP;
}

/* --- what each thread does ----------------------------------------------------- */

static int drop_privileges(void)
{
	const unsigned int id = UID_BASE + (unsigned int)getpid();

	if (jail.own_user &&
	    (syscall(SYS_setgroups, 0, NULL) ||
	     syscall(SYS_setresgid, id, id, id) ||
	     syscall(SYS_setresuid, id, id, id)))
		return -errno;
	return confine_privileges(0);
}

/* Whether the user namespace has that user, or group. */
static bool has_id(const char *map, unsigned int id)
{
	unsigned int first, outside, count;
	bool found = false;
	FILE *file = fopen(map, "re");

	while (file && !found &&
	       fscanf(file, "%u %u %u", &first, &outside, &count) == 3)
		found = id >= first && id - first < count;
	if (file)
		fclose(file);
	return found;
}

/* Root of a container, or of a user namespace, may not have nobody's users. */
static bool may_change_user(void)
{
	const uint32_t wanted = 1u << CAP_SETUID | 1u << CAP_SETGID;
	const unsigned int id = UID_BASE + (unsigned int)getpid();
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct have[2];

	return !geteuid() && !syscall(SYS_capget, &head, have) &&
	       (have[0].effective & wanted) == wanted &&
	       has_id("/proc/self/uid_map", id) &&
	       has_id("/proc/self/gid_map", id);
}

/* Namespaces, Landlock, privileges: of the calling thread. */
static int confine(void)
{
	int rc = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	if (jail.rules >= 0)
		rc = confine_files(jail.rules);
	return rc ? rc : drop_privileges();
}

/* A thread that is not the first, which has made the namespaces. */
static void step_confine(void)
{
	int rc = 0;

	if (jail.spaces >= 0 &&
	    (unshare(CLONE_FS) || setns(jail.spaces, SPACES)))
		rc = -errno;
	if (!rc)
		rc = confine();
	if (rc)
		atomic_store(&jail.failed, rc);
}

static int install(const struct filter *filter, unsigned int flags)
{
	const struct sock_fprog program = {
		.len = (unsigned short)filter->length,
		.filter = (struct sock_filter *)filter->code,
	};
	long rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags,
			  &program);

	return rc < 0 ? -errno : (int)rc;
}

static void step_filter(void)
{
	int rc = 0;

	if (own_role != JAIL_LOOP)
		rc = install(&jail.role[own_role], 0);
	if (rc < 0)
		atomic_store(&jail.failed, rc);
}

/* --- all threads ---------------------------------------------------------------- */

static void on_signal(int number)
{
	int saved = errno;

	jail.step();
	own_steps++;
	atomic_fetch_add(&jail.done, 1);
	errno = saved;
}

/* Threads of the kernel's own (io_uring, KVM) hear no signals. */
static bool is_kernels(int tasks, const char *name)
{
	char path[300], text[8] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/comm", name);
	fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true; /* it has ended */
	if (read(fd, text, 4) < 0)
		text[0] = '\0';
	close(fd);
	return !strncmp(text, "iou-", 4) || !strncmp(text, "kvm-", 4) ||
	       !strncmp(text, "vhos", 4);
}

/* Numbers of the other threads. -1: cannot be told. */
static int list_threads(int *thread)
{
	int tasks = open("/proc/self/task",
			 O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const pid_t own = (pid_t)syscall(SYS_gettid);
	DIR *folder = tasks < 0 ? NULL : fdopendir(dup(tasks));
	struct dirent *entry;
	int count = 0;

	while (folder && (entry = readdir(folder))) {
		int id = atoi(entry->d_name);

		if (id > 0 && id != own && count < THREADS_MAX &&
		    !is_kernels(tasks, entry->d_name))
			thread[count++] = id;
	}
	if (folder)
		closedir(folder);
	if (tasks >= 0)
		close(tasks);
	return folder ? count : -1;
}

/* Until as many have answered; a thread that ends meanwhile is not waited for. */
static int await(const int *thread, int count)
{
	const struct timespec pause = { .tv_nsec = POLL_NS };

	for (uint64_t ns = 0; ns < PATIENCE_NS; ns += POLL_NS) {
		int living = 0;

		if ((int)atomic_load(&jail.done) >= count)
			return 0;
		for (int i = 0; i < count && ns; i++)
			living += !syscall(SYS_tgkill, getpid(), thread[i], 0);
		if (ns && (int)atomic_load(&jail.done) >= living)
			return 0;
		nanosleep(&pause, NULL);
	}
	return -ETIMEDOUT;
}

/* Every other thread does `step`. */
static int each_thread(const int *thread, int count, void (*step)(void))
{
	const struct sigaction act = { .sa_handler = on_signal,
				       .sa_flags = SA_RESTART };
	int rc;

	jail.step = step;
	atomic_store(&jail.done, 0);
	if (!count)
		return 0;
	if (sigaction(JAIL_SIGNAL, &act, NULL))
		return -errno;
	for (int i = 0; i < count; i++)
		syscall(SYS_tgkill, getpid(), thread[i], JAIL_SIGNAL);
	rc = await(thread, count);
	return rc ? rc : atomic_load(&jail.failed);
}

/* --- help from outside ------------------------------------------------------------ */

int jail_ask(const char *verb, const char *subject)
{
	char path[PATH_MAX];
	int fd;

	if ((size_t)snprintf(path, sizeof(path), JAIL_HELP "%s/%s", verb,
			     subject) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int jail_help(const char *verb, const char *subject)
{
	int rc = jail_ask(verb, subject);

	/* Nothing comes: the error tells how it went. */
	if (rc >= 0)
		close(rc);
	return rc >= 0 ? -EIO : rc == -EALREADY ? 0 : rc;
}

/* --- namespaces ------------------------------------------------------------------ */

/* An empty folder, that nothing can be written to, as the root. */
static int empty_view(void)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("lodge", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "size=4k,nr_inodes=2,mode=0") ||
	    chdir("/tmp") || syscall(SYS_pivot_root, ".", ".") ||
	    umount2(".", MNT_DETACH) ||
	    mount(NULL, ".", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY |
		  MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) || chdir("/"))
		return -errno;
	return 0;
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	/* What fails shows when the namespaces are made. */
	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		jail.lacks_user = true;
	if (fd >= 0)
		close(fd);
}

void jail_prepare(void)
{
	const unsigned int user = geteuid(), group = getegid();
	char map[40];

	if (!user || unshare(CLONE_NEWUSER))
		return;
	write_text("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1", user, user);
	write_text("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "%u %u 1", group, group);
	write_text("/proc/self/gid_map", map);
}

static int make_spaces(void)
{
	if (jail.lacks_user)
		return -EPERM;
	if (unshare(SPACES))
		return -errno;
	jail.spaces = (int)syscall(SYS_pidfd_open, getpid(), 0);
	return jail.spaces < 0 ? -errno : empty_view();
}

int jail_probe(void)
{
	pid_t child = fork();
	int status = 0;

	if (!child) {
		jail_prepare();
		_exit(-make_spaces() & 0x7f);
	}
	if (child < 0)
		return -errno;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EPERM;
}

/* --- the whole --------------------------------------------------------------------- */

static void set_limits(void)
{
	const struct rlimit none = { 0 };
	struct rlimit files;

	setrlimit(RLIMIT_CORE, &none);
	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	if (files.rlim_max > FILES_MAX)
		files.rlim_max = FILES_MAX;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

static int make_filters(const struct jail_config *config)
{
	jail.role = calloc(JAIL_ROLES, sizeof(*jail.role));
	if (!jail.role)
		return -ENOMEM;
	for (unsigned int i = 0; i < JAIL_ROLES; i++)
		jail.role[i].length =
			jail_filter(jail.role[i].code, config,
				       (enum jail_role)i);
	return 0;
}

static int confine_all(const int *thread, int count,
		       struct jail_lacks *lacks)
{
	int rc;

	jail.own_user = may_change_user();
	jail.spaces = -1;
	/* No file at all; signals are the filter's. */
	jail.rules = confine_rules(false, CONFINE_ABSTRACT);
	lacks->landlock = jail.rules < 0;
	jail.landlock = jail.rules < 0 ? 0 : confine_landlock();
	rc = make_spaces();
	if (rc) {
		lacks->view = true;
		lacks->why = -rc;
		if (jail.spaces >= 0)
			close(jail.spaces);
		jail.spaces = -1;
	}
	rc = each_thread(thread, count, step_confine);
	if (!rc)
		rc = confine();
	if (jail.rules >= 0)
		close(jail.rules);
	if (jail.spaces >= 0)
		close(jail.spaces);
	return rc;
}

int jail_enter(const struct jail_config *config, int *listener,
		  struct jail_lacks *lacks)
{
	int thread[THREADS_MAX], count, rc;

	*lacks = (struct jail_lacks){ 0 };
	*listener = -1;
	set_limits();
	rc = make_filters(config);
	if (rc)
		return rc;
	count = list_threads(thread);
	if (count < 0)
		return -errno;
	rc = confine_all(thread, count, lacks);
	if (rc)
		return rc;
	rc = install(&jail.role[JAIL_LOOP],
		     SECCOMP_FILTER_FLAG_TSYNC |
			     SECCOMP_FILTER_FLAG_TSYNC_ESRCH |
			     SECCOMP_FILTER_FLAG_NEW_LISTENER);
	if (rc < 0)
		return rc;
	*listener = rc;
	rc = each_thread(thread, count, step_filter);
	jail.lacks = *lacks;
	if (!rc)
		atomic_store(&jail.entered, true);
	return rc;
}

enum jail_role jail_role(const char *name)
{
	static const struct {
		const char *begin;
		enum jail_role role;
	} roles[] = {
		{ "vcpu-", JAIL_CPU },     { "devices", JAIL_DEVICES },
		{ "disk", JAIL_DISK },     { "net-tap", JAIL_NET },
		{ "net-switch", JAIL_NET },
	};

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (!strncmp(name, roles[i].begin, strlen(roles[i].begin)))
			return roles[i].role;
	return JAIL_LOOP;
}

void jail_thread(const char *name)
{
	own_role = jail_role(name);
	if (jail_entered())
		step_filter();
}
