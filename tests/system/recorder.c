/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge and lodge-vm that tell which system calls their machines make in the
 * sandbox: each call that the filter allows goes by way of the broker, which
 * writes down the first of its kind and lets the kernel make it. Calls that the
 * filter refuses are refused here too. scripts/record_calls.py runs the system
 * tests with it.
 *
 * RECORDER names a folder. A file there for each machine has lines: the role,
 * the call's number and, of ioctl(2) and prctl(2), the request.
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/linux/jail.h"
#include "vmm/sandbox/broker_impl.h"

#define SEEN_MAX    4096
#define FILES_MAX   1024
#define THREADS_MAX 64

int __real_broker_start(struct broker **broker,
			const struct broker_helper *helpers);
int __wrap_broker_start(struct broker **broker,
			const struct broker_helper *helpers);
int __wrap_broker_confine(void);
void __real_calls_make(const struct calls *calls,
		       const struct seccomp_notif *note);
void __wrap_calls_make(const struct calls *calls,
		       const struct seccomp_notif *note);
int __real_jail_enter(const struct jail_config *config, int *listener,
		      struct jail_lacks *lacks);
int __wrap_jail_enter(const struct jail_config *config, int *listener,
		      struct jail_lacks *lacks);
size_t __real_jail_filter(struct sock_filter code[JAIL_CODE_MAX],
			  const struct jail_config *config,
			  enum jail_role role);
size_t __wrap_jail_filter(struct sock_filter code[JAIL_CODE_MAX],
			  const struct jail_config *config,
			  enum jail_role role);

/* The filter that the machine would have: it writes it, its broker reads it. */
static struct sock_filter *filter;

struct seen {
	int role, number;
	unsigned int request;
};

/* It opens its own files. */
int __wrap_broker_confine(void)
{
	return 0;
}

int __wrap_broker_start(struct broker **broker,
			const struct broker_helper *helpers)
{
	filter = mmap(NULL, JAIL_CODE_MAX * sizeof(*filter),
		      PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (filter == MAP_FAILED)
		abort();
	return __real_broker_start(broker, helpers);
}

size_t __wrap_jail_filter(struct sock_filter code[JAIL_CODE_MAX],
			  const struct jail_config *config,
			  enum jail_role role)
{
	size_t length = __real_jail_filter(code, config, role);

	if (role != JAIL_LOOP)
		return length;
	memcpy(filter, code, length * sizeof(*code));
	for (size_t i = 0; i < length; i++)
		if (code[i].code == (BPF_RET | BPF_K) &&
		    code[i].k == SECCOMP_RET_ALLOW)
			code[i].k = SECCOMP_RET_USER_NOTIF;
	return length;
}

/* What the filter says of a call; it has these instructions and no others. */
static uint32_t judge(const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (const struct sock_filter *insn = filter;; insn++) {
		switch (insn->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&a, (const char *)data + insn->k, sizeof(a));
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			insn += a == insn->k ? insn->jt : insn->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			insn += a >= insn->k ? insn->jt : insn->jf;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			insn += a & insn->k ? insn->jt : insn->jf;
			break;
		case BPF_ALU | BPF_RSH | BPF_K:
			a >>= insn->k;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= insn->k;
			break;
		case BPF_RET | BPF_K:
			return insn->k;
		default:
			abort();
		}
	}
}

/* Of a thread, which may change its name. */
static int role_of(const struct seccomp_notif *note)
{
	static struct {
		unsigned int thread;
		int role;
	} known[THREADS_MAX];
	const size_t place = note->pid % THREADS_MAX;
	const int number = note->data.nr;
	char path[64], name[17] = "";
	int fd, role;

	if (known[place].thread == note->pid) {
		if (number == SYS_prctl || number == SYS_exit)
			known[place].thread = 0;
		return known[place].role;
	}
	snprintf(path, sizeof(path), "/proc/%u/comm", note->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, name, sizeof(name) - 1) < 0)
		name[0] = '\0';
	if (fd >= 0)
		close(fd);
	role = (int)jail_role(name);
	if (number != SYS_prctl && number != SYS_exit) {
		known[place].thread = note->pid;
		known[place].role = role;
	}
	return role;
}

static void write_down(const struct seen *call)
{
	static const char *const roles[JAIL_ROLES] = {
		[JAIL_LOOP] = "loop", [JAIL_CPU] = "cpu",
		[JAIL_DEVICES] = "devices", [JAIL_DISK] = "disk",
		[JAIL_NET] = "net",
	};
	static int file = -1;
	const char *folder = getenv("RECORDER");
	char path[PATH_MAX];

	if (file < 0 && folder) {
		snprintf(path, sizeof(path), "%s/%d", folder, (int)getpid());
		file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
			    0600);
	}
	if (file >= 0)
		dprintf(file, "%s %d %#x\n", roles[call->role], call->number,
			call->request);
}

static void record(const struct seccomp_notif *note)
{
	static struct seen seen[SEEN_MAX];
	static size_t count;
	const int number = note->data.nr;
	struct seen call = { .role = role_of(note), .number = number };

	if (number == SYS_ioctl)
		call.request = (unsigned int)note->data.args[1];
	else if (number == SYS_prctl)
		call.request = (unsigned int)note->data.args[0];
	for (size_t i = 0; i < count; i++)
		if (!memcmp(&seen[i], &call, sizeof(call)))
			return;
	if (count == SEEN_MAX)
		return;
	seen[count++] = call;
	write_down(&call);
}

/* The broker's descriptor, as soon as the machine has one. */
static int find_listener(pid_t machine)
{
	char path[64], link[64];
	int process = (int)syscall(SYS_pidfd_open, machine, 0);

	while (getppid() == machine)
		for (int fd = 0; fd < FILES_MAX; fd++) {
			ssize_t n;

			snprintf(path, sizeof(path), "/proc/%d/fd/%d",
				 (int)machine, fd);
			n = readlink(path, link, sizeof(link) - 1);
			link[n > 0 ? n : 0] = '\0';
			if (strstr(link, "seccomp notify"))
				return (int)syscall(SYS_pidfd_getfd, process,
						    fd, 0);
		}
	_exit(0);
}

/*
 * Until the machine's first thread tells the broker of it, by sendmsg(2),
 * somebody else has to let its calls be made.
 */
static void bridge(pid_t machine)
{
	const int listener = find_listener(machine);
	struct seccomp_notif note;
	struct seccomp_notif_resp reply;

	do {
		memset(&note, 0, sizeof(note));
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &note))
			break;
		reply = (struct seccomp_notif_resp){
			.id = note.id,
			.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE,
		};
		record(&note);
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
	} while ((pid_t)note.pid != machine || note.data.nr != SYS_sendmsg);
	_exit(0);
}

int __wrap_jail_enter(const struct jail_config *config, int *listener,
		      struct jail_lacks *lacks)
{
	const pid_t machine = getpid();

	if (!fork())
		bridge(machine);
	return __real_jail_enter(config, listener, lacks);
}

void __wrap_calls_make(const struct calls *calls,
		       const struct seccomp_notif *note)
{
	struct seccomp_notif_resp reply = {
		.id = note->id,
		.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE,
	};

	record(note);
	if (judge(&note->data) == SECCOMP_RET_ALLOW)
		ioctl(calls->listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
	else
		__real_calls_make(calls, note);
}
