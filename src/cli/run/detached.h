/* SPDX-License-Identifier: Apache-2.0 */
/* lodge run --detach. */
#ifndef LODGE_CLI_RUN_DETACHED_H
#define LODGE_CLI_RUN_DETACHED_H

/* With the arguments of lodge run; the exit status. */
int detached_run(int argc, char **argv);

#endif
