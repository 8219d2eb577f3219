/* SPDX-License-Identifier: Apache-2.0
 *
 * SYSRET to 32-bit code loads STAR's own segment and clears the upper half of
 * RIP; SYSRET with TF in R11 traps before the first instruction there;
 * SYSCALL with TF not masked traps before the first one in ring 0. Intel SDM
 * vol. 2 SYSRET, SYSCALL.
 */
#include "lib.h"

static volatile u32 traps;
static volatile ulong trap_ip, trap_cs;

asm(".pushsection .user.text, \"ax\"\n"
    ".code32\n"
    "compat_user: mov %cs, %edi; mov $0x40, %eax; int $0x80\n"
    ".code64\n"
    "step_user: nop\n"
    "	mov $0x41, %eax; int $0x80\n"
    "sys_user: pushfq; orl $0x100, (%rsp); popfq; syscall\n"
    ".popsection\n");
extern u8 compat_user[], step_user[], sys_user[];

static volatile ulong user_cs;

static void leave(struct frame *f)
{
	user_cs = f->di;
	user_leave(f->ax);
}

static void step(struct frame *f)
{
	traps++;
	trap_ip = f->ip;
	trap_cs = f->cs;
	f->flags &= ~(ulong)FL_TF;
	write_dr6(0xffff0ff0);
}

/* user_enter() keeps the way back; this entry goes to ring 3 by SYSRET. */
asm(".globl by_sysret\nby_sysret:\n"
    "	mov %rdi, %rcx; mov %rsi, %r11\n"
    "	test %edx, %edx; jnz 1f\n"
    "	sysretq\n"
    "1:	sysretl\n");
extern u8 by_sysret[];

static ulong target_ip, target_flags, target_small;

static void via_int(struct frame *f)
{
	f->di = target_ip;
	f->si = target_flags;
	f->dx = target_small;
	f->ip = (ulong)by_sysret;
	f->cs = SEL_CODE;
	f->ss = SEL_DATA;
	f->flags = 2;
	f->sp = (ulong)user_stack + sizeof(user_stack);
}

static __user ulong user_start_it(ulong arg)
{
	asm volatile("int $0x41");
	return arg;
}

static ulong go(u8 *ip, ulong flags, bool small)
{
	target_ip = (ulong)ip;
	target_flags = flags;
	target_small = small;
	traps = 0;
	return user_call(user_start_it, 0);
}

extern u8 entry64[];
asm(".globl entry64\nentry64: nop; mov $0x42, %edi; jmp leave42\n");

_Noreturn void leave42(ulong v);
_Noreturn void leave42(ulong v)
{
	user_leave(v);
}

void guest_main(void)
{
	wrmsr(MSR_STAR, (u64)0x18 << 48 | (u64)SEL_CODE << 32);
	wrmsr(MSR_LSTAR, (ulong)entry64);
	wrmsr(MSR_SFMASK, 0);
	idt_set(0x41, (ulong)trap_stubs[0x41], SEL_CODE, 0xee, 0);
	trap_hook_set(0x41, via_int);
	trap_hook_set(0x80, leave);
	trap_hook_set(DB, step);

	check("SYSRET to 32 bits", go(compat_user, 2, true), 0x40);
	check("CS there", user_cs, SEL_USER32);

	check("SYSRET with TF", go(step_user, 2 | FL_TF, false), 0x41);
	check("traps", traps, 1);
	check("before the first instruction", trap_ip, (ulong)step_user);
	check("in ring 3", trap_cs, SEL_USER64);

	check("SYSCALL with TF", go(sys_user, 2, false), 0x42);
	check("traps", traps, 1);
	check("before the first instruction", trap_ip, (ulong)entry64);
	check("in ring 0", trap_cs, SEL_CODE);
}
