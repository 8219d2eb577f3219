/* SPDX-License-Identifier: Apache-2.0
 *
 * Self-modifying code on one processor: a later instruction of the same block,
 * the very next one, its immediate only, a loop that patches itself, code in
 * another page through an alias. Intel SDM vol. 3A section 11.6.
 */
#include "map.h"

static u8 code[4096] __page;

static u32 run(void)
{
	u32 a;

	asm volatile("call *%1" : "=a"(a) : "r"(code) : "rcx", "memory");
	return a;
}

static void put_mov(u32 v)
{
	u8 mov[] = { 0xb8, v, v >> 8, v >> 16, v >> 24, 0xc3 };

	memcpy(code, mov, sizeof(mov));
}

void guest_main(void)
{
	u64 va = MAP_BASE;
	u32 v, n;

	for (v = 1; v < 50; v++) {
		put_mov(v);
		check("function written anew", run(), v);
	}
	for (v = 1; v < 50; v++) {
		*(volatile u32 *)(code + 1) = v;
		check("immediate written", run(), v);
	}
	map_page(va, 1, (ulong)code | PTE_P | PTE_W);
	for (v = 1; v < 50; v++) {
		*(volatile u32 *)(va + 1) = v << 8;
		check("immediate written through an alias", run(), v << 8);
	}
	/* the page is data and code at once */
	for (v = 0; v < 50; v++) {
		*(volatile u32 *)(code + 2048) = v;
		check("data beside the code", run(), 49 << 8);
	}

	/* the instruction right behind the store */
	asm volatile("movl $0x12345678, 1f + 1(%%rip)\n"
		     "1: mov $0x11111111, %%eax" : "=a"(v)::"memory");
	check("the next instruction's immediate", v, 0x12345678);
	/* inc %eax becomes dec %eax */
	asm volatile("movb $0xc8, 1f + 1(%%rip); mov $5, %%eax\n"
		     "1: .byte 0xff, 0xc0" : "=a"(v)::"memory", "cc");
	check("an opcode two instructions on", v, 4);

	/* a loop that counts through its own immediate */
	asm volatile("xor %%ecx, %%ecx; xor %1, %1\n"
		     "1: add $1, %%ecx\n" /* 83 c1 ib */
		     "	incb 1b + 2(%%rip); inc %1; cmp $10, %1; jb 1b"
		     : "=&c"(v), "=&r"(n)::"memory", "cc");
	check("sum of 1..10", v, 55);

	/* a string instruction that writes over what follows it */
	static const u8 two[] = { 0xb8, 2, 0, 0, 0 };

	asm volatile("rep movsb\n"
		     "1: mov $1, %%eax" : "=a"(v)
		     : "S"(two), "D"(0), "c"(0L) : "memory");
	check("nothing copied", v, 1);
	asm volatile("lea 1f(%%rip), %%rdi; mov $5, %%ecx; rep movsb\n"
		     "1: mov $1, %%eax" : "=a"(v)
		     : "S"(two) : "rdi", "rcx", "memory");
	check("copied over the next instruction", v, 2);
}
