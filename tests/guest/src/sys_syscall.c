/* SPDX-License-Identifier: Apache-2.0
 *
 * SYSCALL and SYSRET in 64-bit mode: RCX, R11, the flag mask, segments from
 * STAR, RF and TF on return, #UD without EFER.SCE. Intel SDM vol. 2 SYSCALL,
 * SYSRET.
 */
#include "lib.h"

u64 sc_rcx, sc_r11, sc_rsp, sc_flags, sc_stack[64];
u32 sc_cs, sc_ss;

asm(".globl sc_entry\nsc_entry:\n"
    "	mov %rcx, sc_rcx; mov %r11, sc_r11; mov %rsp, sc_rsp\n"
    "	lea sc_stack + 512(%rip), %rsp\n"
    "	pushfq; popq sc_flags\n"
    "	mov %cs, %eax; mov %eax, sc_cs; mov %ss, %eax; mov %eax, sc_ss\n"
    "	mov sc_rsp, %rsp\n"
    "	mov $0x1234, %eax\n"
    "	or %r12, %r11\n"
    "	sysretq\n");
extern u8 sc_entry[];

static __user ulong user_syscall(ulong or_flags)
{
	ulong r, cs, ss, fl;

	asm volatile("mov %4, %%r12; stc; std\n"
		     ".globl at_syscall\nat_syscall: syscall\n"
		     ".globl after_syscall\nafter_syscall:\n"
		     "pushfq; pop %3; cld; mov %%cs, %1; mov %%ss, %2"
		     : "=a"(r), "=&r"(cs), "=&r"(ss), "=&r"(fl)
		     : "r"(or_flags)
		     : "rcx", "r11", "r12", "memory", "cc");
	return r | (cs & 0xff) << 16 | (ss & 0xff) << 24 | fl << 32;
}
extern u8 at_syscall[], after_syscall[];

void guest_main(void)
{
	ulong r;

	wrmsr(MSR_STAR, (u64)0x18 << 48 | (u64)SEL_CODE << 32);
	wrmsr(MSR_LSTAR, (ulong)sc_entry);
	wrmsr(MSR_SFMASK, FL_DF | FL_TF);
	r = user_call(user_syscall, 0);
	check_no_trap("SYSCALL and back");
	check("RAX", r & 0xffff, 0x1234);
	check("RCX is the return address", sc_rcx, (ulong)after_syscall);
	check("R11 has the flags", sc_r11 & (FL_CF | FL_DF), FL_CF | FL_DF);
	check("masked flag", sc_flags & FL_DF, 0);
	if (!tcg_differs("drops CF in SYSCALL"))
		check("flag not masked", sc_flags & FL_CF, FL_CF);
	check("CS there", sc_cs, SEL_CODE);
	check("SS there", sc_ss, SEL_CODE + 8);
	check("RSP unchanged", sc_rsp >= (ulong)user_stack &&
	      sc_rsp < (ulong)user_stack + sizeof(user_stack), 1);
	check("CS back", r >> 16 & 0xff, SEL_USER64);
	check("SS back", r >> 24 & 0xff, SEL_USER_DATA);
	check("flags back", r >> 32 & (FL_CF | FL_DF), FL_CF | FL_DF);

	/* RF and VM are dropped, the rest comes from R11 */
	r = user_call(user_syscall, FL_RF | FL_VM | FL_OF);
	check("OF from R11", r >> 32 & FL_OF, FL_OF);
	if (!tcg_differs("lets SYSRET set RF and VM"))
		check("RF and VM dropped", r >> 32 & (FL_RF | FL_VM), 0);

	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~1ULL);
	user_call(user_syscall, 0);
	check_vector("SYSCALL without SCE", UD, 0);
	check("its RIP", caught.ip, (ulong)at_syscall);
	CATCH("sysretq", ::: "memory");
	check_trap("SYSRET without SCE", UD, 0);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 1);
}
