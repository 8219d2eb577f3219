/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's shared folders: opened before its board is built, closed after
 * it.
 */
#ifndef LODGE_VMM_SHARES_H
#define LODGE_VMM_SHARES_H

#include <jansson.h>

#include "board/board.h"
#include "share/share.h"
#include "vmm/error.h"

#define SHARES_AT_MAX 200 /* bytes of machine_share.at */

struct machine_share {
	const char *folder; /* of this computer */
	const char *at;	    /* where the guest's agent mounts it */
	bool readonly;
	uint64_t believe; /* see struct share_config */
	char tag[SHARE_TAG_MAX + 1];
};

struct shares {
	unsigned int count;
	struct machine_share given[BOARD_SHARES_MAX];
	struct share *share[BOARD_SHARES_MAX];
	/* For the guest's agent; see docs/shares.md. */
	char word[BOARD_SHARES_MAX][BOARD_WORD_MAX + 1];
	const char *words[BOARD_SHARES_MAX];
};

/* -1 with `error`; then none is open. */
int shares_open(struct shares *shares, const struct machine_share *given,
		unsigned int count, unsigned int cpus, struct vmm_error *error);

/* One alone, the caller's. -1 with `error`. */
int shares_open_one(struct share **share, const struct machine_share *given,
		    unsigned int cpus, struct vmm_error *error);

/* Devices for them, as many as there are. */
void shares_devices(const struct shares *shares, struct board_share *share);

/*
 * An object: a folder, its server, and whether it came while the machine ran;
 * and a list of those that have been there from the start.
 */
json_t *shares_json(const struct machine_share *given, struct share *share,
		    bool attached);
json_t *shares_inspect(const struct shares *shares);

/* When the board is gone. */
void shares_close(struct shares *shares);

#endif
