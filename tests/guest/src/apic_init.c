/* SPDX-License-Identifier: Apache-2.0
 *
 * INIT and SIPI: three processors start in real mode with CS from the vector,
 * one SIPI is enough and further ones are ignored, INIT stops one that runs
 * and it can be started again. Intel SDM vol. 3A sections 8.4 and 9.1.4.
 */
#include "chips.h"

static volatile u32 alive[4], starts;

asm(".pushsection .low16, \"awx\"; .code16; .balign 4096\n"
    "probe:	call 1f\n"
    "1:	pop %ax\n"
    "	xor %bx, %bx; mov %bx, %ds\n"
    "	mov %ax, probe_ip\n"
    "	mov %cs, %ax; mov %ax, probe_cs\n"
    "	mov %edx, probe_dx\n"
    "	mov %cr0, %eax; mov %eax, probe_cr0\n"
    "	lock; incl probe_runs\n"
    "1:	cli; hlt; jmp 1b\n"
    ".balign 4\n"
    "probe_ip: .word 0\nprobe_cs: .word 0\nprobe_dx: .long 0\n"
    "probe_cr0: .long 0\nprobe_runs: .long 0\n"
    ".code64; .popsection");
extern u8 probe[];
extern u16 probe_ip, probe_cs;
extern u32 probe_dx, probe_cr0;
extern volatile u32 probe_runs;

static void other(int cpu)
{
	/* processors come in any order: count by APIC id */
	u32 id = lapic_read(LAPIC_ID) >> 24 & 3;

	__atomic_add_fetch(&starts, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		alive[id]++;
		pause();
	}
}

void guest_main(void)
{
	u32 before = 0, sipi = 0x4600 | (ulong)probe >> 12;

	smp_start(4, other);
	for (int cpu = 1; cpu < 4; cpu++)
		check("it runs", wait_count(&alive[cpu], 1, 2000), 1);
	check("starts", starts, 3);
	lapic_ipi(1, sipi);
	delay_us(10000);
	check("SIPI to a running one is ignored", probe_runs, 0);

	lapic_ipi(1, 0x4500);
	delay_us(10000);
	/* it may take a while on a busy host */
	for (int i = 0; i < 100; i++) {
		before = alive[1];
		wait_count(&alive[2], alive[2] + 1, 2000);
		wait_count(&alive[3], alive[3] + 1, 2000);
		delay_us(10000);
		if (alive[1] == before)
			break;
	}
	check("it stands still", alive[1], before);
	lapic_ipi(1, sipi);
	wait_count(&probe_runs, 1, 2000);
	check("started again", probe_runs, 1);
	check("CS", probe_cs, (ulong)probe >> 4);
	check("IP", probe_ip, 3);
	check("CR0", probe_cr0 & 0x9fffffff, 0x10);
	check("EDX has the family", probe_dx >> 8 & 15,
	      cpuid(1, 0).a >> 8 & 15);
	lapic_ipi(1, sipi);
	delay_us(5000);
	check("a second SIPI is ignored", probe_runs, 1);
	lapic_ipi(1, 0x4500);
	delay_us(5000);
	lapic_ipi(1, sipi);
	wait_count(&probe_runs, 2, 2000);
	check("and once more", probe_runs, 2);
}
