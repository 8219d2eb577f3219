/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What machines' processes count, of their disks and cards: each that runs is
 * asked by its control socket (`figures`, docs/control.md), all at once,
 * without waiting. What does not answer is left out.
 */
#ifndef LODGE_MANAGE_FIGURES_H
#define LODGE_MANAGE_FIGURES_H

#include <jansson.h>
#include <stdbool.h>

struct figures;
struct manager;
struct vm;

/*
 * Asks `vm`, or all machines (NULL). `done` is called when the last answer has
 * come, not from here; it may free what this gives. NULL: no memory.
 */
struct figures *figures_ask(struct manager *manager, const struct vm *vm,
			    void (*done)(void *ctx), void *ctx);

/* Whether `done` is still to be called. */
bool figures_wait(const struct figures *figures);

/* What the machine has answered, not to be kept; NULL: nothing. */
const json_t *figures_of(const struct figures *figures, const struct vm *vm);

/* Also while it waits; NULL is fine. */
void figures_free(struct figures *figures);

#endif
