/* SPDX-License-Identifier: Apache-2.0
 *
 * Task switches: CALL to a TSS and IRET back, JMP, a task gate; link, NT,
 * busy bits, registers saved and loaded, CR0.TS. Intel SDM vol. 3A sections
 * 7.2 and 7.3.
 */
#include "lib.h"

struct tss other;
static u8 stack[4096] __attribute__((aligned(16)));
u32 task_regs[4], task_flags, task_cr0, task_runs;

asm("task_code:\n"
    "	mov %eax, task_regs; mov %ecx, task_regs + 4\n"
    "	mov %esp, task_regs + 8; mov %fs, task_regs + 12\n"
    "	pushf; pop task_flags\n"
    "	mov %cr0, %eax; mov %eax, task_cr0; clts\n"
    "	incl task_runs\n"
    "	mov $0x77777777, %ecx\n"
    "	iret\n"
    "	.globl task_again\ntask_again: jmp task_code\n");
u32 jump_state[3];
asm("task_jump:\n"
    "	mov other, %eax; mov %eax, jump_state\n"
    "	pushf; pop jump_state + 4\n"
    "	mov gdt + 0x85, %ah; mov gdt + 0x55, %al\n"
    "	movzwl %ax, %eax; mov %eax, jump_state + 8\n"
    "	ljmp $0x80, $0\n");
extern u8 task_jump[];
extern u8 task_code[], task_again[];

static u32 type_of(u16 sel)
{
	return gdt[sel / 8] >> 40 & 0xff;
}

static void prepare(u32 flags)
{
	memset(&other, 0, sizeof(other));
	other.cs = SEL_CODE;
	other.ds = other.es = other.ss = SEL_DATA;
	other.fs = SEL_USER_DATA & ~3;
	other.eip = (ulong)task_code;
	other.eflags = flags;
	other.eax = 0x12345678;
	other.ecx = 0x9abcdef0;
	other.esp = (ulong)stack + sizeof(stack);
	other.iomap = 0x68;
	gdt[SEL_FREE / 8] = seg_desc((ulong)&other, 0x67, 0x89, 0);
}

void guest_main(void)
{
	ulong bx = 0x1357;

	prepare(2 | FL_CF);
	CATCH("lcall %1, $0", : "+b"(bx) : "i"(SEL_FREE) : "memory", "cc");
	check_no_trap("CALL to a TSS and back");
	check("it ran", task_runs, 1);
	check("EAX loaded", task_regs[0], 0x12345678);
	check("ECX loaded", task_regs[1], 0x9abcdef0);
	check("ESP loaded", task_regs[2], (ulong)stack + sizeof(stack));
	check("FS loaded", task_regs[3] & 0xffff, SEL_USER_DATA & ~3);
	check("NT and CF there", task_flags & (FL_NT | FL_CF), FL_NT | FL_CF);
	check("CR0.TS there", task_cr0 & 8, 8);
	check("link", other.link & 0xffff, SEL_TSS);
	check("EBX here", bx, 0x1357);
	check("NT here", read_flags() & FL_NT, 0);
	check("TS here", read_cr0() & 8, 8);
	check("our TSS is busy", type_of(SEL_TSS), 0x8b);
	check("the other is not", type_of(SEL_FREE), 0x89);
	check("its ECX was saved", other.ecx, 0x77777777);
	check("its EIP was saved", other.eip, (ulong)task_again);
	check("its NT was cleared", other.eflags & FL_NT, 0);

	/* through a task gate in the IDT */
	prepare(2);
	idt_set(0x40, 0, SEL_FREE, 0x85, 0);
	CATCH("int $0x40", ::: "memory", "cc");
	check_no_trap("INT through a task gate");
	check("it ran", task_runs, 2);
	check("link", other.link & 0xffff, SEL_TSS);

	/* JMP leaves no link, and clears the busy bit of the one it leaves */
	prepare(2);
	other.eip = (ulong)task_jump;
	CATCH("ljmp %0, $0", ::"i"(SEL_FREE) : "memory", "cc");
	check_no_trap("JMP to a TSS and back");
	check("link", jump_state[0] & 0xffff, 0);
	check("NT there", jump_state[1] & FL_NT, 0);
	check("busy bits there", jump_state[2], 0x898b);
	check("our TSS is busy", type_of(SEL_TSS), 0x8b);
}
