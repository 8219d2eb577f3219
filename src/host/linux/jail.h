/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine's process may ask of the kernel. jail_enter() is called
 * once, when all is open and before the guest runs: an empty view of files, a
 * network and everything else that has a namespace for itself, no privileges,
 * and a filter of system calls (seccomp(2)) that is narrower in threads with
 * a role. Calls that need a name of the host's (a file, a socket) are not
 * made but told to a broker (see vmm/sandbox/broker.h).
 */
#ifndef LODGE_HOST_LINUX_JAIL_H
#define LODGE_HOST_LINUX_JAIL_H

#include <linux/filter.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Not blocked in any thread. */
#define JAIL_SIGNAL (SIGRTMIN + 1)

/* By the name of a thread; what has none is the loop's. */
enum jail_role {
	JAIL_LOOP,	 /* main: events, control, consoles, viewers */
	JAIL_CPU,	 /* vcpu-N */
	JAIL_DEVICES, /* devices: the worker */
	JAIL_DISK,	 /* disk, disk-ring, disk-wait */
	JAIL_NET,	 /* net-tap, net-switch */
	JAIL_ROLES,
};

struct jail_config {
	bool kvm;    /* its system calls are wanted */
	int control; /* a listening socket whose connections the broker takes;
		      * -1: none */
};

/* What the host did not let us have; a machine runs without. */
struct jail_lacks {
	bool view;     /* namespaces */
	bool landlock;
	int why;       /* errno of the first that failed */
};

/*
 * 0, with *listener, the descriptor that the broker hears of calls by
 * (seccomp_unotify(2)), or a negative errno.
 */
int jail_enter(const struct jail_config *config, int *listener,
		  struct jail_lacks *lacks);

/* Whether jail_enter() has been left with 0. */
bool jail_entered(void);

/* What it came to. */
struct jail_holds {
	struct jail_lacks lacks;
	int landlock;  /* its version; 0: none */
	bool own_user; /* that nobody else has */
};
struct jail_holds jail_holds(void);

/*
 * From inside: has the broker do `verb` for `subject`, which it was told of
 * (broker_grant_help()). 0 or a negative errno.
 */
#define JAIL_HELP "/lodge-broker/" /* VERB/SUBJECT: no file of the host's */
int jail_help(const char *verb, const char *subject);

/* The same; what comes is a descriptor, or a negative errno. */
int jail_ask(const char *verb, const char *subject);

/*
 * Before the process has threads: what unprivileged users need for namespaces,
 * a user namespace in which they are themselves.
 */
void jail_prepare(void);

/* Whether the calling thread may do less than the process. */
bool jail_narrow(void);

/*
 * Of this host: 0 when a machine gets an empty view and an own network, or the
 * negative errno that it has instead.
 */
int jail_probe(void);

enum jail_role jail_role(const char *name); /* of a thread */

/* First thing in each thread. */
void jail_thread(const char *name);

/* --- the filters (jail_filter.c) -------------------------------------------- */

#define JAIL_CODE_MAX 1024

/* The filter of a role; of JAIL_LOOP is the one of the whole process. */
size_t jail_filter(struct sock_filter code[JAIL_CODE_MAX],
		      const struct jail_config *config,
		      enum jail_role role);

#endif
