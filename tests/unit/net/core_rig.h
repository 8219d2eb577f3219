/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A switch's core with the network "lab", and cards that are plugged in: what
 * the tests of a switch share.
 */
#ifndef LODGE_TEST_NET_CORE_RIG_H
#define LODGE_TEST_NET_CORE_RIG_H

#include "fake/test.h"
#include "net/switch/core.h"

extern struct network network;
extern struct core *core;

/*
 * The network has 10.1.0.0/24, and of `more` each name's value, which follows
 * it; NULL ends them. What is for its own port goes to give(ctx, ...).
 */
void core_rig_build(const char *const *more,
		    bool (*give)(void *ctx, const struct core_frame *frame),
		    void *ctx);
int core_rig_teardown(void **state);

/* The address of the tests' card `n`. */
void mac_of(uint8_t mac[NIC_MAC], unsigned int n);

/* Plugs that card in; its port. */
unsigned int core_rig_plug(unsigned int n, const char *machine,
			   bool (*give)(void *ctx,
					const struct core_frame *frame),
			   void *ctx);

#endif
