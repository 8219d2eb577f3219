/* SPDX-License-Identifier: Apache-2.0
 *
 * #AC: with CR0.AM and EFLAGS.AC a misaligned access in ring 3 faults with
 * error code 0, in ring 0 never. Intel SDM vol. 3A section 6.15 (interrupt
 * 17), table 6-7.
 */
#include "lib.h"

static u8 data[32] __user_data __attribute__((aligned(16)));

#define READER(name, insn)                                              \
	static __user ulong name(ulong off)                             \
	{                                                               \
		asm volatile(insn ::"r"(data + off) : "rax", "memory"); \
		return 0;                                               \
	}
READER(read1, "movb (%0), %%al")
READER(read2, "movw (%0), %%ax")
READER(read4, "movl (%0), %%eax")
READER(read8, "movq (%0), %%rax")
READER(write4, "movl %%eax, (%0)")

static const struct {
	const char *what;
	ulong (*fn)(ulong);
	u32 size;
} rows[] = {
	{ "1 byte", read1, 1 },	  { "2 bytes", read2, 2 },
	{ "4 bytes", read4, 4 },  { "8 bytes", read8, 8 },
	{ "4 written", write4, 4 },
};

static void try(ulong cr0_am, ulong ac)
{
	write_cr0((read_cr0() & ~(1UL << 18)) | cr0_am);
	for (u32 i = 0; i < array_size(rows); i++) {
		for (ulong off = 0; off < 9; off++) {
			bool odd = off % rows[i].size && cr0_am && ac;

			user_call_flags(rows[i].fn, off, ac | 2);
			check_vector(rows[i].what, odd ? AC : NONE, 0);
		}
	}
}

void guest_main(void)
{
	try(0, 0);
	try(0, FL_AC);
	try(1UL << 18, 0);
	asm volatile("mov %0, %%rcx; pushf; orl $0x40000, (%%rsp); popf\n\t"
		     "movl (%%rcx), %%eax\n\t"
		     "pushf; andl $~0x40000, (%%rsp); popf" ::"r"(data + 1)
		     : "rax", "rcx", "memory");
	if (tcg_differs("does not check alignment"))
		return;
	try(1UL << 18, FL_AC);
}
