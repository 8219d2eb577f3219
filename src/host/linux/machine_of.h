/* SPDX-License-Identifier: Apache-2.0 */
/* Whose process it is that has what somebody wants. */
#ifndef LODGE_HOST_LINUX_MACHINE_OF_H
#define LODGE_HOST_LINUX_MACHINE_OF_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The machine of a process that lodged has started (lodge-vm --name=NAME), of
 * which /proc has the command line. False: it is none such.
 */
bool machine_of_process(const char *pid, char *name, size_t size);

#endif
