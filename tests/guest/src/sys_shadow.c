/* SPDX-License-Identifier: Apache-2.0
 *
 * Interrupt shadows: STI and MOV or POP to SS hold interrupts off for one
 * instruction, STI; CLI lets none in, STI; HLT wakes. Intel SDM vol. 3A
 * section 6.8.3, vol. 2 STI.
 */
#include "chips.h"

static volatile u32 count;
static volatile ulong last_ip;

static void interrupt(struct frame *f)
{
	count++;
	last_ip = f->ip;
	lapic_eoi();
}

static void pend(void)
{
	count = 0;
	lapic_write(LAPIC_ICR, 0x40000 | 0x40);
	while (!lapic_bit(LAPIC_IRR, 0x40))
		pause();
}

extern u8 sti_next[], ss_next[], ss_after[], hlt_next[];

void guest_main(void)
{
	lapic_init();
	trap_hook_set(0x40, interrupt);

	pend();
	asm volatile("sti; nop\n.globl sti_next\nsti_next: nop; cli");
	check("STI; NOP, interrupts", count, 1);
	check("it came behind the NOP", last_ip, (ulong)sti_next);

	pend();
	asm volatile("sti; cli; nop; nop");
	check("STI; CLI", count, 0);
	asm volatile("sti; nop; cli");
	check("still pending", count, 1);

	pend();
	asm volatile("pushf; orl $0x200, (%%rsp); popf\n"
		     ".globl ss_next\nss_next: cli" ::: "memory", "cc");
	check("POPF has no shadow: before CLI", count, 1);
	check("it came at once", last_ip, (ulong)ss_next);

	pend();
	asm volatile("mov %0, %%eax; sti; mov %%eax, %%ss; nop\n"
		     ".globl ss_after\nss_after: nop; cli" ::"i"(SEL_DATA)
		     : "eax");
	check("STI; MOV SS; NOP, interrupts", count, 1);
	check_range("behind MOV SS or the NOP", last_ip, (ulong)ss_after - 1,
		    (ulong)ss_after);

	pend();
	asm volatile("sti; hlt\n.globl hlt_next\nhlt_next: cli");
	check("STI; HLT, interrupts", count, 1);
	check("it came behind HLT", last_ip, (ulong)hlt_next);
}
