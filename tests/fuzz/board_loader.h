/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzing the kernel loaders: one input is a kernel file whose last four
 * bytes choose the machine and what else is loaded.
 */
#ifndef LODGE_FUZZ_BOARD_LOADER_H
#define LODGE_FUZZ_BOARD_LOADER_H

#include <stddef.h>
#include <stdint.h>

#include "board/loader.h"

/*
 * Loads the file as `format`, when that claims it; NULL: as loader_run()
 * would. Aborts when a loader breaks its contract.
 */
void fuzz_board_loader(const struct loader_format *format, const uint8_t *data,
		       size_t size);

#endif
