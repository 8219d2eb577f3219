/* SPDX-License-Identifier: Apache-2.0
 *
 * #BR: BOUND with 32-bit and 16-bit signed bounds, both inclusive; a fault
 * that points at the instruction. Intel SDM vol. 2 BOUND, vol. 3A section
 * 6.15 (interrupt 5).
 */
#include "lib.h"

static const struct {
	s32 index, low, high;
	bool traps;
} rows[] = {
	{ 0, 0, 0, false },	      { 5, 0, 10, false },
	{ 10, 0, 10, false },	      { 11, 0, 10, true },
	{ -1, 0, 10, true },	      { -5, -5, 5, false },
	{ -6, -5, 5, true },	      { 0x7fff, -1, 0x7fff, false },
	{ 0, 1, -1, true },
};

static void bound(int row)
{
	s32 wide[2] = { rows[row].low, rows[row].high };
	s16 narrow[2] = { rows[row].low, rows[row].high };
	u32 vector = rows[row].traps ? BR : NONE;

	CATCH("boundl %0, %1", ::"r"(rows[row].index), "m"(wide) : "memory");
	check_trap("BOUND, 32 bits", vector, 0);
	CATCH("boundw %w0, %1", ::"r"(rows[row].index), "m"(narrow)
	      : "memory");
	check_trap("BOUND, 16 bits", vector, 0);
}

void guest_main(void)
{
	for (u32 i = 0; i < array_size(rows); i++)
		bound(i);
	CATCH(".byte 0x62, 0xc0", ::: "memory");
	check_trap("BOUND with a register operand", UD, 0);
}
