/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a run of a machine ended: by its report, else by its log and by what its
 * process left.
 */
#ifndef LODGE_MANAGE_VM_ENDING_H
#define LODGE_MANAGE_VM_ENDING_H

#include <stdbool.h>

#define ENDING_REPORT "report-%s.json" /* with the run's name */

struct ending {
	const char *kind; /* of the event: "stopped", "crashed", "failed" */
	char text[300];	  /* "power-off" */
	bool failed;	  /* not as guest and user wanted */
	bool asked;	  /* a user ended it past lodged */
	bool ran;	  /* the guest had its turn */
};

/*
 * `status` is that of wait(2), -1 when it is not known; `folder` the
 * machine's, open.
 */
void ending_find(struct ending *ending, int folder, const char *run,
		 int status);

#endif
