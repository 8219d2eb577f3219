/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of the agent's protocol (docs/agent.md): a connection to the
 * agent in a running machine's guest. The guest is not believed: what it says
 * has limits, and its lines for people are made harmless.
 */
#ifndef LODGE_VMM_GUEST_AGENT_H
#define LODGE_VMM_GUEST_AGENT_H

#include "agent/frame.h"
#include "vmm/error.h"
#include "vmm/runtime.h"

struct agent {
	int fd; /* blocking; -1: none */
	char name[RUNTIME_NAME_MAX + 1];
	struct frame_in in;
};

/* How long to wait for a guest that does not answer yet. */
struct agent_patience {
	unsigned int seconds;
	/* Called once, after a second; may be NULL. */
	void (*waits)(const char *name);
};

/*
 * Connects to the agent of the machine `name` and takes its greeting. -1 with
 * `error`, a line that names the machine.
 */
int agent_open(struct agent *agent, const char *name,
	       const struct agent_patience *patience, struct vmm_error *error);
void agent_close(struct agent *agent);

/*
 * Sends a frame. -1 with `error`. An agent that has hung up is none: what it
 * said before is still to be received, and then that it is gone.
 */
int agent_send(struct agent *agent, uint8_t type, const void *data, size_t size,
	       struct vmm_error *error);

/* The next frame, waited for. -1 with `error`. */
int agent_receive(struct agent *agent, struct frame *frame,
		  struct vmm_error *error);

/* A request that DONE answers, with *count. -1 with `error`. */
int agent_call(struct agent *agent, uint8_t type, const void *data, size_t size,
	       uint32_t *count, struct vmm_error *error);

/*
 * What a frame of AGENT_FAILED says, printable: its errno (0: none); `text` is
 * empty when the frame makes no sense.
 */
int agent_failure(const struct frame *frame, char text[AGENT_TEXT_MAX]);

/* -1 with `error`, for a frame that was not to come: FAILED, or nonsense. */
int agent_refuse(const struct agent *agent, const struct frame *frame,
		 struct vmm_error *error);

/* Text of a guest's for a terminal: others than printable ones become '?'. */
void agent_printable(char *to, size_t room, const uint8_t *text, size_t size);

#endif
