/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process of the machine that clients of the Firecracker API describe:
 * lodge-vm, a child, which is spoken to by its control socket.
 */
#ifndef LODGE_FIRECRACKER_MACHINE_H
#define LODGE_FIRECRACKER_MACHINE_H

#include <sys/types.h>

#include "firecracker/api.h"

struct fc_machine {
	char program[1024]; /* lodge-vm */
	char name[64];	    /* that it has at its control socket */
	pid_t pid;	    /* 0: none */
	int pidfd;	    /* readable at its end; -1: none */
	int words;	    /* what it says; -1: none */
	int control;	    /* -1: none */
	char said[256];	    /* the last line of that */
	size_t said_size;
	bool line_ended;
};

void fc_machine_init(struct fc_machine *machine, const char *program,
		     const char *name);

/* Of struct fc_machine. */
extern const struct fc_machine_ops fc_machine_ops;

/* `words` is readable: passes them on. False: there are no more. */
bool fc_machine_hear(struct fc_machine *machine);

/* Its end has come: the exit status. */
int fc_machine_end(struct fc_machine *machine);

/* Ends it in order, without waiting. */
void fc_machine_stop(struct fc_machine *machine);

#endif
