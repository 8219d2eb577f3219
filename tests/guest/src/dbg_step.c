/* SPDX-License-Identifier: Apache-2.0
 *
 * Single step: #DB after each instruction with BS in DR6, after each round of
 * REP, not inside INT's handler, one instruction late after MOV to SS; POPF
 * that sets TF counts from the next one. Intel SDM vol. 3B section 17.3.1.4.
 */
#include "lib.h"

static ulong ips[64], dr6s[64];
static volatile u32 count;

static void step(struct frame *f)
{
	if (count < array_size(ips)) {
		ips[count] = f->ip;
		dr6s[count] = read_dr6();
	}
	count++;
	write_dr6(0xffff0ff0);
}

static void nothing(struct frame *f)
{
	if (read_flags() & FL_TF)
		fail("TF set in a handler");
}

#define STEP(body, ...)                                                 \
	do {                                                            \
		count = 0;                                              \
		asm volatile("pushf; orl $0x100, (%%rsp); popf\n"       \
			     body                                       \
			     "\n\tpushf; andl $~0x100, (%%rsp); popf"   \
			     __VA_ARGS__);                              \
	} while (0)

extern u8 s0[], s1[], s2[], s3[], r0[], m0[], m1[], i0[];

void guest_main(void)
{
	ulong c = 3, d = (ulong)ips;
	static u8 buf[8];

	trap_hook_set(DB, step);
	trap_hook_set(0x40, nothing);
	write_dr6(0xffff0ff0);
	STEP("s0: nop\ns1: nop; s2: xor %%eax, %%eax; s3:", ::: "rax",
	     "memory", "cc");
	/* the three, then PUSHF, ANDL, POPF of the end */
	check("traps", count, 6);
	check("after the first", ips[0], (ulong)s1);
	check("after the second", ips[1], (ulong)s2);
	check("after the third", ips[2], (ulong)s3);
	for (int i = 0; i < 6; i++)
		check("DR6", dr6s[i], 0xffff4ff0);

	d = (ulong)buf;
	STEP("r0: rep stosb", : "+c"(c), "+D"(d) : "a"(1) : "memory", "cc");
	check("REP of 3", count, 6);
	check("in the middle", ips[0], (ulong)r0);
	check("in the middle", ips[1], (ulong)r0);
	check("behind", ips[2], (ulong)r0 + 2);

	STEP("i0: int $0x40", ::: "memory", "cc");
	check("INT", count - 3 <= 1, 1);
	check("first trap behind INT's handler", ips[0] >= (ulong)i0 + 2, 1);

	STEP("m0: mov %0, %%ss; nop; m1: nop", ::"r"(SEL_DATA)
	     : "memory", "cc");
	check("MOV to SS, traps", count, 5);
	check("first trap two instructions on", ips[0], (ulong)m1);

	STEP("ud2a_skip: cpuid", : "=a"(c), "=c"(d) : "0"(0), "1"(0)
	     : "rbx", "rdx", "memory", "cc");
	check("CPUID", count, 4);
	STEP("rdtsc", ::: "rax", "rdx", "memory", "cc");
	check("RDTSC", count, 4);
	if (tcg_differs("halts for ever when stepped"))
		return;
	irq_off();
	STEP("hlt", ::: "memory", "cc");
	check("HLT is ended by its trap", count, 4);
}
