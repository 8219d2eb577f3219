/* SPDX-License-Identifier: Apache-2.0
 *
 * #DF through a task gate: a new stack although the old one is gone, the
 * error code 0 on it, the state of the old task in its TSS. Intel SDM vol. 3A
 * sections 6.14.2 and 7.2.5.
 */
#include "lib.h"

static struct tss other;
static u8 stack[4096] __attribute__((aligned(16)));
u32 df_error, df_sp;
asm("df_task:\n"
    "	mov %esp, df_sp; pop df_error\n"
    "	push $0x55; call user_leave\n");
extern u8 df_task[];

static __user ulong user_int(ulong arg)
{
	asm volatile(".globl at_int\nat_int: int $0x80");
	return arg;
}
extern u8 at_int[];

void guest_main(void)
{
	other.cs = SEL_CODE;
	other.ds = other.es = other.ss = SEL_DATA;
	other.eip = (ulong)df_task;
	other.eflags = 2;
	other.esp = (ulong)stack + sizeof(stack);
	other.iomap = 0x68;
	gdt[SEL_FREE / 8] = seg_desc((ulong)&other, 0x67, 0x89, 0);
	idt_set(DF, 0, SEL_FREE, 0x85, 0);

	/* no stack for ring 0: #TS, whose delivery fails in the same way */
	tss[0].ss0 = 0x1000;
	check("left by the task", user_call(user_int, 0), 0x55);
	check("error code", df_error, 0);
	check("ESP there", df_sp, (ulong)stack + sizeof(stack) - 4);
	check("EIP saved", tss[0].eip, (ulong)at_int);
	check("CS saved", tss[0].cs & 0xffff, SEL_USER_CODE);
	check("link", other.link & 0xffff, SEL_TSS);
}
