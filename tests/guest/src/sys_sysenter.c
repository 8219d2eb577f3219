/* SPDX-License-Identifier: Apache-2.0
 *
 * SYSENTER and SYSEXIT in 32-bit protected mode: segments from the MSR, ESP
 * and EIP, IF cleared, #GP with a null CS. Intel SDM vol. 2.
 */
#include "lib.h"

u32 se_cs, se_ss, se_sp, se_flags, se_stack[64];
asm(".globl se_entry\nse_entry:\n"
    "	mov %esp, %ss:se_sp; pushf; popl %ss:se_flags\n"
    "	mov %cs, %ebx; mov %ebx, %ss:se_cs\n"
    "	mov %ss, %ebx; mov %ebx, %ss:se_ss\n"
    "	sysexit\n");
extern u8 se_entry[];

/* SYSEXIT wants ring 3 segments right behind those of ring 0. */
enum { BASE = 0xd0 };

static __user ulong user_sysenter(ulong arg)
{
	ulong cs, ss;

	asm volatile("push %%ebx; mov %%esp, %%ecx; mov $1f, %%edx\n"
		     ".globl at_se\nat_se: sysenter\n"
		     "1: pop %%ebx; mov %%cs, %0; mov %%ss, %1"
		     : "=&r"(cs), "=&r"(ss)::"ecx", "edx", "memory");
	return (cs & 0xffff) | ss << 16;
}
extern u8 at_se[];

void guest_main(void)
{
	ulong r;

	need(1, 3, 11, "SYSENTER");
	gdt[BASE / 8] = seg_desc(0, 0xfffff, 0x9a, 0xc);
	gdt[BASE / 8 + 1] = seg_desc(0, 0xfffff, 0x92, 0xc);
	gdt[BASE / 8 + 2] = seg_desc(0, 0xfffff, 0xfa, 0xc);
	gdt[BASE / 8 + 3] = seg_desc(0, 0xfffff, 0xf2, 0xc);
	wrmsr(MSR_SYSENTER_CS, BASE);
	wrmsr(MSR_SYSENTER_ESP, (u32)(se_stack + 60));
	wrmsr(MSR_SYSENTER_EIP, (u32)se_entry);
	check("MSR reads back", rdmsr(MSR_SYSENTER_ESP), (u32)(se_stack + 60));

	r = user_call_flags(user_sysenter, 0, FL_IF | 2);
	check_no_trap("SYSENTER and SYSEXIT");
	check("CS there", se_cs & 0xffff, BASE);
	check("SS there", se_ss & 0xffff, BASE + 8);
	check("ESP there", se_sp, (u32)(se_stack + 60));
	check("IF there", se_flags & FL_IF, 0);
	check("CS back", r & 0xffff, (BASE + 16) | 3);
	check("SS back", r >> 16, (BASE + 24) | 3);

	wrmsr(MSR_SYSENTER_CS, 0);
	user_call(user_sysenter, 0);
	check_vector("SYSENTER with a null CS", GP, 0);
	check("its EIP", caught.ip, (ulong)at_se);
	CATCH("sysexit", ::"c"(0), "d"(0) : "memory");
	check_trap("SYSEXIT with a null CS", GP, 0);
}
