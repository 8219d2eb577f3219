/* SPDX-License-Identifier: Apache-2.0
 *
 * Segment limits of 32-bit code: the last byte counts for each operand size,
 * #SS for the stack segment, granularity, null and execute-only segments,
 * writes to read-only ones. Intel SDM vol. 3A section 5.3.
 */
#include "lib.h"

static u8 data[8192] __page;

static void access(const char *what, u32 off, u32 size, u32 vector)
{
	switch (size) {
	case 1:
		CATCH("movb %%fs:(%0), %%al", ::"r"(off) : "eax", "memory");
		break;
	case 2:
		CATCH("movw %%fs:(%0), %%ax", ::"r"(off) : "eax", "memory");
		break;
	case 4:
		CATCH("movl %%fs:(%0), %%eax", ::"r"(off) : "eax", "memory");
		break;
	case 8:
		CATCH("fildll %%fs:(%0); fstp %%st", ::"r"(off) : "memory");
		break;
	case 16:
		CATCH("movups %%fs:(%0), %%xmm0", ::"r"(off) : "memory");
		break;
	}
	check_trap(what, vector, 0);
}

static void set_fs(u32 limit, u8 type, u8 flags)
{
	gdt[SEL_FREE / 8] = seg_desc((u32)data, limit, type, flags);
	asm volatile("mov %0, %%fs" ::"r"(SEL_FREE));
}

void guest_main(void)
{
	static const u8 sizes[] = { 1, 2, 4, 8, 16 };

	for (u32 i = 0; i < array_size(sizes); i++) {
		u32 n = sizes[i];

		set_fs(0xff, 0x92, 4);
		access("up to the limit", 0x100 - n, n, NONE);
		access("one byte too far", 0x101 - n, n, GP);
		access("behind it", 0x100, n, GP);
		access("far behind it", 0xfffffff0 + (16 - n), n, GP);
		if (n > 1)
			access("wrapping", 0xffffffff, n, GP);
		set_fs(0, 0x92, 0xc);
		access("page granular, up to the limit", 0x1000 - n, n, NONE);
		access("page granular, too far", 0x1001 - n, n, GP);
	}
	set_fs(0xff, 0x90, 4);
	CATCH("movb $1, %%fs:8", ::: "memory");
	check_trap("write to a read-only segment", GP, 0);
	set_fs(0xff, 0x9a, 4);
	CATCH("movb %%fs:8, %%al", ::: "eax", "memory");
	check_trap("read of readable code", NONE, 0);
	CATCH("movb $1, %%fs:8", ::: "memory");
	check_trap("write to code", GP, 0);
	asm volatile("mov %0, %%fs" ::"r"(3));
	CATCH("movb %%fs:8, %%al", ::: "eax", "memory");
	check_trap("null segment", GP, 0);

	gdt[SEL_FREE / 8] = seg_desc(0, 0x1ff, 0x92, 0xc);
	asm volatile("mov %0, %%ss" ::"r"(SEL_FREE));
	CATCH("movb %%ss:0x200000, %%al", ::: "eax", "memory");
	asm volatile("mov %0, %%ss" ::"r"(SEL_DATA));
	check_trap("behind the stack segment", SS, 0);
	gdt[SEL_FREE / 8] = seg_desc(0, (u32)guest_main + 0x1000, 0x9a, 4);
	CATCH("ljmp %0, $0x1fffff", ::"i"(SEL_FREE) : "memory");
	check_vector("far jump behind the limit", GP, 0);
}
