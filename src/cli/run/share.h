/* SPDX-License-Identifier: Apache-2.0 */
/* --share, and what it names. */
#ifndef LODGE_CLI_RUN_SHARE_H
#define LODGE_CLI_RUN_SHARE_H

#include "vmm/shares.h"

struct cli_shares {
	struct machine_share share[BOARD_SHARES_MAX];
	unsigned int count;
};

/*
 * "FOLDER:GUESTFOLDER[,OPTION...]". -1 after cli_error(), which begins with
 * `what`. Without tag=, its tag is empty; its folder is to be freed.
 */
int share_parse(const char *what, const char *value,
		struct machine_share *share);

/* The same as one of several for lodge run. */
int share_take(struct cli_shares *shares, const char *value);

void share_free(struct cli_shares *shares);

#endif
