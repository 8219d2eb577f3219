/* SPDX-License-Identifier: Apache-2.0
 *
 * IRETQ: to ring 3 of 64 and 32 bits, to ring 0 with null SS, the checks of
 * CS, SS and NT with their error codes, the flags it may change. Intel SDM
 * vol. 2 IRET.
 */
#include "lib.h"

static struct {
	ulong ip, cs, flags, sp, ss;
} to;

static void iret(void)
{
	CATCH("pushq 32(%0); pushq 24(%0); pushq 16(%0); pushq 8(%0);"
	      "pushq (%0); iretq", ::"r"(&to) : "memory", "cc");
}

extern u8 iret_back[];
asm("iret_back: jmp *catch_next\n");

static void set(ulong cs, ulong ss)
{
	to.ip = (ulong)iret_back;
	to.cs = cs;
	to.flags = 2;
	to.sp = (ulong)ring0_stack[0] + 1024;
	to.ss = ss;
}

static __user ulong user_flags(ulong arg)
{
	ulong v;

	asm volatile("pushfq; pop %0" : "=r"(v));
	return v;
}

static u64 there __user_data = 0x1234;

static __user ulong read_gs(ulong arg)
{
	ulong v;

	asm volatile("mov %%gs:(%1), %0" : "=r"(v) : "r"(arg));
	return v;
}

/* GS of DPL 0 becomes null in ring 3; its base stays. */
static void nulled_gs(void)
{
	const ulong base = 0x100000;
	ulong v;

	asm volatile("mov %0, %%gs" ::"r"(SEL_DATA));
	wrmsr(0xc0000101, base);
	check("base of a nulled GS", user_call(read_gs, (ulong)&there - base),
	      0x1234);
	asm volatile("mov %%gs, %0" : "=r"(v));
	check("GS", v, 0);
	wrmsr(0xc0000101, 0);
}

void guest_main(void)
{
	nulled_gs();
	set(SEL_CODE, SEL_DATA);
	iret();
	check_no_trap("to ring 0");
	set(SEL_CODE, 0);
	iret();
	check_no_trap("to ring 0 with a null SS");
	asm volatile("mov %0, %%ss" ::"r"(SEL_DATA));
	set(0, SEL_DATA);
	iret();
	check_vector("null CS", GP, 0);
	set(SEL_DATA, SEL_DATA);
	iret();
	check_vector("CS is data", GP, SEL_DATA);
	set(SEL_USER64 & ~3, SEL_USER_DATA);
	iret();
	check_vector("CS of DPL 3 with RPL 0", GP, SEL_USER64 & ~3);
	set(SEL_USER64, SEL_DATA);
	iret();
	check_vector("SS of DPL 0 for ring 3", GP, SEL_DATA);
	set(SEL_USER64, 0);
	iret();
	check_vector("null SS for ring 3", GP, 0);
	set(SEL_CODE, SEL_DATA);
	to.ip = 1UL << 63;
	iret();
	check("non-canonical RIP", caught.vector, GP);
	set(SEL_CODE, SEL_DATA);
	asm volatile("pushfq; orl $0x4000, (%%rsp); popfq" ::: "cc", "memory");
	iret();
	asm volatile("pushfq; andl $~0x4000, (%%rsp); popfq" ::: "cc",
		     "memory");
	check_vector("NT in long mode", GP, 0);

	check("IF and IOPL for ring 3",
	      user_call_flags(user_flags, 0, FL_IF | FL_IOPL | FL_CF | 2) &
	      (FL_IF | FL_IOPL | FL_CF), FL_IF | FL_IOPL | FL_CF);
	check("AC and ID for ring 3",
	      user_call_flags(user_flags, 0, FL_AC | FL_ID | 2) &
	      (FL_AC | FL_ID), FL_AC | FL_ID);
	check("a fixed bit", user_call_flags(user_flags, 0, 0x8008) & 0x802a,
	      2);
}
