/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults of a task switch that come in the new task, before its first
 * instruction: a bad segment (#TS), one that is not present (#NP), the T
 * flag (#DB with BT). Intel SDM vol. 3A sections 7.3 and 7.2.1, table 7-1.
 */
#include "lib.h"

static struct tss other;
static u8 stack[4096] __attribute__((aligned(16)));
static const u16 absent = SEL_FREE + 8;

asm(".globl task_code\ntask_code: nop; nop; ud2\n");
extern u8 task_code[];

static void prepare(void)
{
	memset(&other, 0, sizeof(other));
	other.cs = SEL_CODE;
	other.ds = other.es = other.ss = SEL_DATA;
	other.eip = (ulong)task_code;
	other.eflags = 2;
	other.esp = (ulong)stack + sizeof(stack);
	other.iomap = 0x68;
	gdt[SEL_FREE / 8] = seg_desc((ulong)&other, 0x67, 0x89, 0);
	gdt[absent / 8] = seg_desc(0, 0xfffff, 0x12, 0xc);
	gdt[SEL_TSS / 8] = seg_desc((ulong)&tss[0], 0x67, 0x89, 0);
	asm volatile("ltr %w0" ::"r"(SEL_TSS));
}

static void go(const char *what, u32 vector, u32 error)
{
	/* the handler goes on behind this, with the new task's registers */
	asm volatile("mov %%ebp, %0" : "=m"(other.ebp));
	CATCH("ljmp %0, $0", ::"i"(SEL_FREE)
	      : "eax", "ebx", "ecx", "edx", "esi", "edi", "memory", "cc");
	asm volatile("clts; mov %0, %%ds; mov %0, %%es; mov %0, %%ss" ::"r"(
			     SEL_DATA)
		     : "memory");
	check_vector(what, vector, error);
	check(what, caught.ip, (ulong)task_code);
}

void guest_main(void)
{
	prepare();
	other.ds = 0x1000;
	go("DS beyond the GDT", TS, 0x1000);
	prepare();
	other.fs = SEL_TSS;
	go("FS is a TSS", TS, SEL_TSS);
	prepare();
	other.gs = absent;
	go("GS not present", NP, absent);
	if (tcg_differs("knows no T flag"))
		return;
	prepare();
	other.trap = 1;
	write_dr6(0xffff0ff0);
	go("T flag", DB, 0);
	check("DR6 has BT", read_dr6() & 0x8000, 0x8000);
}
