/* SPDX-License-Identifier: Apache-2.0
 *
 * Canonical addresses: the first and last of both halves work, those between
 * give #GP; also when an access runs across the border. Jumps to the others
 * fault themselves, having changed nothing. Intel SDM vol. 1
 * section 3.3.7.1.
 */
#include "map.h"

static u8 target[4096] __page;

static void read8(const char *what, u64 va, u32 vector)
{
	CATCH("movq (%0), %%rax", ::"r"(va) : "rax", "memory");
	check_trap(what, vector, 0);
}

/* The way out is a #GP of the jump, before it has pushed or popped. */
static void jumps(void)
{
	u64 va = 0x0000800000000000;
	static u64 stack[8];
	u64 *sp = stack + 4;

	CATCH("jmp *%0", ::"r"(va));
	check_trap("JMP", GP, 0);
	CATCH("jmp *%0", ::"m"(va));
	check_trap("JMP by memory", GP, 0);
	CATCH("mov %0, %%rsp; call *%1", ::"r"(sp), "r"(va) : "memory");
	check_vector("CALL", GP, 0);
	check("RSP of CALL", caught.sp, (ulong)sp);
	sp[0] = va;
	CATCH("mov %0, %%rsp; 1: ret", ::"r"(sp) : "memory");
	check_vector("RET", GP, 0);
	check("RSP of RET", caught.sp, (ulong)sp);
	check("RIP of RET", caught.ip, catch_ip + 3);
}

void guest_main(void)
{
	u64 top = 0x00007ffffffff000, bottom = 0xffff800000000000;

	map_page(top, 1, (ulong)target | PTE_P | PTE_W);
	map_page(bottom, 1, (ulong)target | PTE_P | PTE_W);
	map_page(-4096ULL, 1, (ulong)target | PTE_P | PTE_W);
	target[0xff8] = 0x5a;
	check("top of the lower half", *(volatile u8 *)(top + 0xff8), 0x5a);
	check("bottom of the upper half", *(volatile u8 *)(bottom + 0xff8),
	      0x5a);
	check("the last page", *(volatile u8 *)(-8ULL), 0x5a);
	read8("last 8 bytes of the lower half", top + 0xff8, NONE);
	read8("0x0000800000000000", 0x0000800000000000, GP);
	read8("0xffff7fffffffffff", 0xffff7ffffffffff8, GP);
	read8("0x8000000000000000", 0x8000000000000000, GP);
	read8("bit 47 alone missing", 0xffff000000000000, GP);
	if (!tcg_differs("lets such a jump go through"))
		jumps();
	if (tcg_differs("gives #PF when an access runs out of the half"))
		return;
	read8("across the border", top + 0xffc, GP);
}
