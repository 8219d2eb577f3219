/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program lodge-firecracker, as lodge firecracker and lodge run --api-sock.
 */
#ifndef LODGE_CLI_FIRECRACKER_H
#define LODGE_CLI_FIRECRACKER_H

/* lodge run --api-sock PATH [--name NAME]: becomes it, or the exit status. */
int firecracker_run(int argc, char **argv);

#endif
