/* SPDX-License-Identifier: Apache-2.0
 *
 * Far return to ring 3 in 32-bit mode: the stack it takes, the count released
 * on both, segment registers of DPL 0 nulled, its checks. Intel SDM vol. 2
 * RET, vol. 3A section 5.8.6.
 */
#include "lib.h"

u32 rf_sp, rf_cs, rf_seg[4];
asm(".pushsection .user.text, \"ax\"\n"
    "rf_user: mov %cs, %edi; mov %esp, %esi\n"
    "	mov %ds, %eax; shl $16, %eax; mov %fs, %ax\n"
    "	mov %gs, %ebx; int $0x80\n"
    ".popsection");
extern u8 rf_user[];

static void leave(struct frame *f)
{
	rf_cs = f->di;
	rf_sp = f->si;
	rf_seg[0] = f->ax >> 16;
	rf_seg[1] = f->ax & 0xffff;
	rf_seg[2] = f->bx & 0xffff;
	user_leave(1);
}

/* user_enter() keeps the way back; ring 0 code is as good for it. */
asm(".globl rf_go\nrf_go:\n"
    "	mov $0x10, %eax; mov %eax, %ds; mov %eax, %fs\n"
    "	mov $0x23, %eax; mov %eax, %gs\n"
    "	push $0x23; push $user_stack + 4096; push $7; push $8\n"
    "	push $0x1b; push $rf_user\n"
    "	lret $8\n");
extern u8 rf_go[];

static void bad(const char *what, ulong cs, ulong ss, u32 error)
{
	CATCH("push %0; push $user_stack + 4096; push %1; push $rf_user; lret",
	      ::"r"(ss), "r"(cs) : "memory");
	check_vector(what, GP, error);
}

static __user ulong user_start_it(ulong arg)
{
	asm volatile("int $0x41");
	return arg;
}

/* The frame of a ring 3 trap, turned into a jump within ring 0. */
static void to_ring0(struct frame *f)
{
	asm volatile("mov %0, %%esp; jmp rf_go" ::"r"(ring0_stack[0] + 2048));
}

void guest_main(void)
{
	idt_set(0x41, (ulong)trap_stubs[0x41], SEL_CODE, 0xee, 0);
	trap_hook_set(0x41, to_ring0);
	trap_hook_set(0x80, leave);
	user_call(user_start_it, 0);
	check("CS there", rf_cs & 0xffff, SEL_USER32);
	check("ESP there, count released", rf_sp, (u32)user_stack + 4096 + 8);
	check("DS of DPL 0 is null", rf_seg[0], 0);
	check("FS of DPL 0 is null", rf_seg[1], 0);
	check("GS of DPL 3 stays", rf_seg[2], SEL_USER_DATA);
	trap_hook_set(0x80, NULL);

	bad("CS of DPL 0 with RPL 3", SEL_CODE | 3, SEL_USER_DATA, SEL_CODE);
	bad("SS of DPL 0", SEL_USER32, SEL_DATA, SEL_DATA);
	bad("SS null", SEL_USER32, 0, 0);
	bad("CS null", 0, SEL_USER_DATA, 0);
	bad("CS is data", SEL_USER_DATA, SEL_USER_DATA, SEL_USER_DATA & ~3);
}
