/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's networks: opened before its board is built, closed after it.
 */
#ifndef LODGE_VMM_NETS_H
#define LODGE_VMM_NETS_H

#include <jansson.h>

#include "board/board.h"
#include "net/net.h"
#include "vmm/error.h"

/* A card and what is behind it. */
struct machine_net {
	struct net_config config;
	enum board_nic_model model;
};

/* What the models are called, as in model=NAME. */
extern const char *const nets_models[BOARD_NIC_MODELS];

struct nets {
	bool guarded; /* see struct net_config */
	unsigned int count;
	struct machine_net given[BOARD_NICS_MAX]; /* with all filled in */
	struct net *net[BOARD_NICS_MAX];
};

/* The networks of machine `name`. -1 with `error`; then none is open. */
int nets_open(struct nets *nets, const struct machine_net *given,
	      unsigned int count, const char *name, struct vmm_error *error);

/* Cards for them, as many as there are networks. */
void nets_cards(const struct nets *nets, struct board_nic *nic);

/* What halted processors can do for one of them; NULL: nothing. */
struct host_idle *nets_idle(const struct nets *nets);

/* A list of objects: the cards, what they sent and received. */
json_t *nets_inspect(const struct nets *nets, struct board *board);

/* When the board is gone. */
void nets_close(struct nets *nets);

#endif
