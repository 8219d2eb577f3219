/* SPDX-License-Identifier: Apache-2.0
 *
 * Long mode left and entered again: to compatibility mode, paging off, LME
 * off, 32-bit protected mode without paging, and back; LMA follows PG and
 * LME. Intel SDM vol. 3A section 9.8.5.
 */
#include "lib.h"
#include "map.h"

asm(".code32\n"
    "down:\n"
    "	mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
    "	mov $0xc0000080, %ecx; rdmsr; mov %eax, efer_off\n"
    "	and $~0x100, %eax; wrmsr\n"
    "	rdmsr; mov %eax, efer_none\n"
    "	mov %cr4, %eax; and $~0x20, %eax; mov %eax, %cr4\n"
    /* 0x40 is an instruction of its own here */
    "	xor %eax, %eax; .byte 0x40, 0x40; mov %eax, count\n"
    "	mov %cr4, %eax; or $0x20, %eax; mov %eax, %cr4\n"
    "	rdmsr; or $0x100, %eax; wrmsr\n"
    "	rdmsr; mov %eax, efer_lme\n"
    "	mov $boot_pml4, %eax; mov %eax, %cr3\n"
    "	mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0\n"
    "	rdmsr; mov %eax, efer_on\n"
    "	lret\n"
    ".code64\n");
extern u8 down[];
u32 efer_off, efer_none, efer_lme, efer_on, count;

void guest_main(void)
{
	static struct {
		u32 offset;
		u16 selector;
	} __packed far;

	far.offset = (u32)(ulong)down;
	far.selector = SEL_CODE32;
	for (int i = 0; i < 3; i++) {
		efer_off = efer_none = efer_lme = efer_on = count = 0;
		asm volatile("lcall *%0" ::"m"(far)
			     : "rax", "rcx", "rdx", "memory", "cc");
		check("EFER with paging off", efer_off & 0x500, 0x100);
		check("EFER without LME", efer_none & 0x500, 0);
		check("INC EAX twice", count, 2);
		check("EFER with LME", efer_lme & 0x500, 0x100);
		check("EFER with paging on", efer_on & 0x500, 0x500);
	}
	/* LME cannot change while paging is on */
	CATCH("wrmsr", ::"c"(MSR_EFER), "a"((u32)rdmsr(MSR_EFER) & ~0x100),
	      "d"(0) : "memory");
	if (!tcg_differs("lets LME change"))
		check_trap("LME off with paging on", GP, 0);
}
