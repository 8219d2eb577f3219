/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge run at a terminal is two processes: the machine, which has the
 * terminal, and one in front that a shell waits for. So the machine can go on
 * when its user leaves it (Ctrl-A d), and the shell is back.
 *
 * Until then they are as one: the front passes on every signal that it gets,
 * stops with the machine and ends with its exit status; and the machine is
 * killed when the front is.
 */
#ifndef LODGE_CLI_RUN_FRONT_H
#define LODGE_CLI_RUN_FRONT_H

struct machine_config;

/*
 * -1 in the process of the machine, also when there can be only one; else the
 * exit status. To be called before there are threads, locks and sockets. Fills
 * config->leave when there are two.
 */
int front_split(struct machine_config *config);

#endif
