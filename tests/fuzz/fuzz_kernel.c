/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target: the choice of a loader, and flat images. */
#include "board_loader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_board_loader(NULL, data, size);
	return 0;
}
