/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target: src/board/linux.c. */
#include "board_loader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_board_loader(&linux_format, data, size);
	return 0;
}
