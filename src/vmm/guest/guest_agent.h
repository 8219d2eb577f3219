/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine's own process asks of the agent in its guest: facts, for
 * whoever asks about the machine, and that it sets its clock, which has stood
 * still while the machine was paused or this computer slept. On the loop's
 * thread, which waits for no guest.
 */
#ifndef LODGE_VMM_GUEST_GUEST_AGENT_H
#define LODGE_VMM_GUEST_GUEST_AGENT_H

#include <jansson.h>
#include <stdbool.h>

#include "host/linux/loop.h"

struct guest_agent;
struct vsock_unix;

/* `vsock` NULL: none, and no agent. 0 or a negative errno. */
int guest_agent_open(struct guest_agent **agent, struct loop *loop,
		     struct vsock_unix *vsock);
void guest_agent_close(struct guest_agent *agent);

/* What to call when facts that were asked for came, or a moment passed. */
void guest_agent_on_answer(struct guest_agent *agent, void (*answered)(void *),
			   void *ctx);

/*
 * Asks for facts, unless those that are there are new. True: answered() is
 * called soon. False: there is nothing to wait for.
 */
bool guest_agent_ask(struct guest_agent *agent);

/* What is known, and "age" in seconds; null: nothing yet. */
json_t *guest_agent_json(const struct guest_agent *agent);

/* Has the guest's clock set to ours, when an agent answers in some time. */
void guest_agent_set_time(struct guest_agent *agent);

/*
 * Whether this computer slept between two looks at its clocks: nanoseconds of
 * CLOCK_BOOTTIME and CLOCK_MONOTONIC, which alone stands still then.
 */
struct guest_agent_clocks {
	int64_t boot, monotonic;
};
bool guest_agent_slept(const struct guest_agent_clocks *before,
		       const struct guest_agent_clocks *now);

#endif
