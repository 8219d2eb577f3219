/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The drivers of a benchmark guest, as modules beside the program.
 */
#ifndef LODGE_BENCH_MODULE_H
#define LODGE_BENCH_MODULE_H

/* Loads those of /lib/modules/order, once. */
void module_load_all(void);

/* When the loading of `name` began, of CLOCK_MONOTONIC; 0: never. */
double module_began(const char *name);

#endif
