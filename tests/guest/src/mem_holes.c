/* SPDX-License-Identifier: Apache-2.0
 *
 * Nothing there: absent memory and ports read all ones in every size and
 * swallow writes, the end of the ROM keeps its bytes.
 */
#include "lib.h"

static void absent_port(u16 port)
{
	check("IN of 1 byte", inb(port), 0xff);
	check("IN of 2 bytes", inw(port), 0xffff);
	check("IN of 4 bytes", inl(port), 0xffffffff);
	outb(port, 0x12);
	outw(port, 0x1234);
	outl(port, 0x12345678);
	check("IN behind writes", inl(port), 0xffffffff);
}

static void absent_memory(ulong at)
{
	volatile u8 *a = (void *)at;
	u64 v;

	*(volatile u32 *)a = 0x12345678;
	check("1 byte", *a, 0xff);
	check("2 bytes", *(volatile u16 *)a, 0xffff);
	check("4 bytes", *(volatile u32 *)a, 0xffffffff);
	check("8 bytes", *(volatile u64 *)a, ~0ULL);
	check("unaligned", *(volatile u32 *)(a + 3), 0xffffffff);
	asm volatile("movups (%1), %%xmm0; movhlps %%xmm0, %%xmm0\n\t"
		     "movq %%xmm0, %0" : "=r"(v) : "r"(a) : "memory");
	check("SSE", v, ~0ULL);
	asm volatile("lock; addl $2, (%0)" ::"r"(a) : "memory", "cc");
	asm volatile("rep stosb" : "+D"(at) : "a"(0), "c"(16L) : "memory");
	check("still absent", *(volatile u32 *)a, 0xffffffff);
}

void guest_main(void)
{
	volatile u32 *rom = (void *)0xffffff00;
	u32 old = *rom;

	absent_port(0x5ff0);
	absent_port(0xe7f0);
	*rom = ~old;
	check("end of the ROM", *rom, old);
	if (tcg_differs("reads absent memory as 0"))
		return;
	/* behind 64 MiB of memory, and in the hole below 4 GiB */
	absent_memory(0x10000000);
	absent_memory(0xe8000000);
}
