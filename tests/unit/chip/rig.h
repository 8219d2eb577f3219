/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bench for one chip: a VM without processors or memory on the fake host,
 * its clock running, and interrupt lines that are recorded.
 */
#ifndef LODGE_TEST_CHIP_RIG_H
#define LODGE_TEST_CHIP_RIG_H

#include <stdlib.h>
#include <string.h>

#include "fake/host.h"
#include "fake/roundtrip.h"
#include "fake/test.h"
#include "vm/error.h"
#include "vm/vm.h"

#define RIG_LINES 32
#define MS	  1000000ull
#define SECOND	  1000000000ull

struct rig {
	struct vm vm;
	bool level[RIG_LINES];
	unsigned int rises[RIG_LINES];
	unsigned int falls[RIG_LINES];
};

void rig_init(struct rig *rig);

/* A line that the rig records. */
struct irq rig_line(struct rig *rig, unsigned int line);

/* Lets time pass, each timer firing at its own time. */
void rig_run(struct rig *rig, uint64_t ns);

/*
 * Saves `items`, builds the bench and its chips anew by `setup`, loads the
 * items and goes on. VM time, the wall clock and the lines' levels (which
 * interrupt controllers keep) are as they were; edges are counted from 0, so
 * that one made by the loading itself is seen.
 */
void rig_restore(struct rig *rig, const struct state_item *items,
		 unsigned int count, int (*setup)(void **state));

uint8_t rig_in(struct rig *rig, uint16_t port);
void rig_out(struct rig *rig, uint16_t port, uint8_t value);

/* A random number of a fixed sequence. */
uint32_t rig_random(uint64_t *seed);

/*
 * Hostile guest: accesses of all sizes at random places of
 * [base, base + size) and just outside, with time passing.
 */
void rig_fuzz(struct rig *rig, struct bus *bus, uint64_t base, uint64_t size,
	      unsigned int rounds);

#endif
