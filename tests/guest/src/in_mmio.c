/* SPDX-License-Identifier: Apache-2.0
 *
 * Instructions of many shapes against a register in memory, the LAPIC's TPR:
 * loads, stores, arithmetic, exchange, string copies, SSE. Intel SDM vol. 3A
 * section 10.4.1.
 */
#include "chips.h"

#define TPR ((volatile u32 *)(LAPIC_ADDR + LAPIC_TPR))

static void set(u32 v)
{
	*TPR = v;
}

void guest_main(void)
{
	u64 v = 0;
	u32 buf[4] = { 0x30, 0, 0, 0 };
	ulong c, s, d;
	bool flag;

	lapic_init();
	set(0x25);
	asm volatile("movslq (%1), %0" : "=r"(v) : "r"(TPR));
	check("MOVSX", v, 0x25);
	asm volatile("addl $0x11, (%0)" ::"r"(TPR) : "cc", "memory");
	check("ADD", *TPR, 0x36);
	asm volatile("lock; orl $0x40, (%0)" ::"r"(TPR) : "cc", "memory");
	check("locked OR", *TPR, 0x76);
	asm volatile("notl (%0); andl $0xff, (%0)" ::"r"(TPR) : "cc",
		     "memory");
	check("NOT and AND", *TPR & 0xf0, 0x80);
	v = 0x42;
	asm volatile("xchgl %k0, (%1)" : "+r"(v) : "r"(TPR) : "memory");
	check("XCHG", *TPR, 0x42);
	check("XCHG, old", v & 0xf0, 0x80);
	asm volatile("cmpl $0x42, (%1)" : "=@ccz"(flag) : "r"(TPR) : "memory");
	check("CMP", flag, 1);
	asm volatile("testl $0x40, (%1)" : "=@ccnz"(flag) : "r"(TPR)
		     : "memory");
	check("TEST", flag, 1);
	asm volatile("btsl $5, (%1)" : "=@ccc"(flag) : "r"(TPR) : "memory");
	check("BTS, old", flag, 0);
	check("BTS", *TPR, 0x62);
	asm volatile("shll $1, (%0)" ::"r"(TPR) : "cc", "memory");
	check("SHL", *TPR, 0xc4);
	c = 1, s = (ulong)buf, d = (ulong)TPR;
	asm volatile("rep movsl" : "+c"(c), "+S"(s), "+D"(d)::"memory");
	check("MOVS to it", *TPR, 0x30);
	c = 1, s = (ulong)TPR, d = (ulong)&buf[2];
	asm volatile("rep movsl" : "+c"(c), "+S"(s), "+D"(d)::"memory");
	check("MOVS from it", buf[2], 0x30);
	s = (ulong)TPR, d = (ulong)buf;
	asm volatile("cmpsl" : "+S"(s), "+D"(d), "=@ccz"(flag)::"memory");
	check("CMPS", flag, 1);
	asm volatile("cmp %%eax, %%eax; cmovel (%1), %k0"
		     : "=r"(v) : "r"(TPR), "0"(5L) : "cc");
	check("CMOV", v, 0x30);
	asm volatile("movd (%1), %%xmm0; movd %%xmm0, %k0" : "=r"(v)
		     : "r"(TPR));
	check("MOVD", v, 0x30);
	asm volatile("imull $3, (%1), %k0" : "=r"(v) : "r"(TPR) : "cc");
	check("IMUL", v, 0x90);
	asm volatile("movl $0x51, (%0)" ::"r"(TPR) : "memory");
	check("MOV of an immediate", *TPR, 0x51);
	asm volatile("cmpxchgl %2, (%1)" : "+a"(c) : "r"(TPR), "r"(0x60)
		     : "cc", "memory");
	check("CMPXCHG different", *TPR, 0x51);
	c = 0x51;
	asm volatile("cmpxchgl %2, (%1)" : "+a"(c) : "r"(TPR), "r"(0x60)
		     : "cc", "memory");
	check("CMPXCHG equal", *TPR, 0x60);
	v = 4;
	asm volatile("xaddl %k0, (%1)" : "+r"(v) : "r"(TPR) : "cc", "memory");
	check("XADD", *TPR, 0x64);
	check("XADD, old", v, 0x60);
	set(0);
}
