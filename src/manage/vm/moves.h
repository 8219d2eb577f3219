/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks of running machines that were moved (lodge mirror): the machine's
 * process leaves a file of where they have gone (vmm/moves.h), and from then on
 * its configuration says so. That file stays until the next start, so whoever
 * is killed in between finds it again; to take it up twice changes nothing.
 */
#ifndef LODGE_MANAGE_VM_MOVES_H
#define LODGE_MANAGE_VM_MOVES_H

#include "manage/api/problem.h"

struct manager;
struct moves_watch;
struct vm;

/* The file's name in the machine's folder. */
#define MOVES_FILE "moves.json"

/* Looks at them as they come. NULL: then at the end of a run alone. */
struct moves_watch *moves_watch_open(struct manager *manager);
void moves_watch_close(struct moves_watch *watch);

/* The machine runs. */
void moves_follow(struct moves_watch *watch, struct vm *vm);

/* What is there: 0, or -1 with `problem`, when the registry does not take it. */
int moves_take_up(struct vm *vm, struct problem *problem);

/* A new run begins: all is taken up and forgotten. As moves_take_up(). */
int moves_begin(struct vm *vm, struct problem *problem);

#endif
