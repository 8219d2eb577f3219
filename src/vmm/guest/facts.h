/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest's agent tells of the guest (docs/agent.md, FACTS), as JSON. Of
 * its words those are kept that we know, as printable text of some length.
 */
#ifndef LODGE_VMM_GUEST_FACTS_H
#define LODGE_VMM_GUEST_FACTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/frame.h"

struct fact {
	const char *name, *shown;
	bool bytes;   /* a number of them, else text */
	bool repeats; /* a list of texts */
};

extern const struct fact facts[];
extern const size_t fact_count;

/* An object without any. NULL: no memory. */
json_t *facts_new(void);

/* Adds what a frame of AGENT_FACT says, or nothing. */
void facts_keep(json_t *all, const struct frame *frame);

/*
 * Takes one address apart, "eth0 10.0.2.15/24". False: it makes no sense, or
 * is of its link alone (fe80::/10).
 */
#define FACTS_ADDRESS 48
bool facts_address(const char *text, char address[FACTS_ADDRESS]);

#endif
