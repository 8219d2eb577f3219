/* SPDX-License-Identifier: Apache-2.0
 *
 * String instructions with DF, overlapping copies, address sizes, segment
 * prefixes, ends by ZF, REP with a fault going down. Intel SDM vol. 2.
 */
#include "map.h"

static u8 buf[64];

static void fill(void)
{
	for (u32 i = 0; i < sizeof(buf); i++)
		buf[i] = i;
}

void guest_main(void)
{
	ulong c, s, d;
	u64 va = MAP_BASE;
	bool zf;

	fill();
	c = 4, s = (ulong)buf + 12, d = (ulong)buf + 44;
	asm volatile("std; rep movsl; cld" : "+c"(c), "+S"(s), "+D"(d)
		     ::"memory");
	check("down: first moved last", *(u32 *)(buf + 32), 0x03020100);
	check("down: RSI", s, (ulong)buf - 4);
	check("down: RDI", d, (ulong)buf + 28);
	check("down: not below", buf[31], 31);

	fill();
	c = 16, s = (ulong)buf, d = (ulong)buf + 1;
	asm volatile("rep movsb" : "+c"(c), "+S"(s), "+D"(d)::"memory");
	for (int i = 0; i < 17; i++)
		check("overlap of one byte repeats it", buf[i], 0);
	fill();
	c = 16, s = (ulong)buf + 15, d = (ulong)buf + 16;
	asm volatile("std; rep movsb; cld" : "+c"(c), "+S"(s), "+D"(d)
		     ::"memory");
	for (int i = 1; i < 17; i++)
		check("overlap going down moves", buf[i], i - 1);
	fill();
	c = 2, s = (ulong)buf, d = (ulong)buf + 4;
	asm volatile("rep movsq" : "+c"(c), "+S"(s), "+D"(d)::"memory");
	check("overlap of half an element", *(u64 *)(buf + 12),
	      0x0f0e0d0c07060504);

	fill();
	c = 64, d = (ulong)buf;
	asm volatile("repne scasb" : "+c"(c), "+D"(d), "=@ccz"(zf) : "a"(20));
	check("REPNE SCASB found", zf, 1);
	check("RCX", c, 64 - 21);
	check("RDI", d, (ulong)buf + 21);
	c = 5, s = (ulong)buf, d = (ulong)buf;
	asm volatile("repe cmpsb" : "+c"(c), "+S"(s), "+D"(d), "=@ccz"(zf));
	check("REPE CMPSB to the end", c, 0);
	check("its ZF", zf, 1);
	c = 0, zf = false;
	asm volatile("cmp $1, %2; repe cmpsb"
		     : "+c"(c), "=@ccz"(zf) : "r"(0L), "S"(buf), "D"(buf));
	check("REPE CMPSB of nothing leaves ZF", zf, 0);

	/* ECX, ESI, EDI: upper halves count for nothing and are cleared */
	fill();
	c = 0x100000002, s = (ulong)buf, d = (ulong)buf + 32;
	asm volatile("addr32 rep movsb" : "+c"(c), "+S"(s), "+D"(d)::"memory");
	check("addr32 REP MOVSB, RCX", c & 0xffffffff, 0);
	check("addr32 REP MOVSB, moved", buf[33], 1);
	check("addr32 REP MOVSB, behind", buf[34], 34);
	wrmsr(MSR_GS_BASE, 8);
	c = 1, s = (ulong)buf, d = (ulong)buf + 40;
	asm volatile("rep; movsb %%gs:(%%rsi), (%%rdi)"
		     : "+c"(c), "+S"(s), "+D"(d)::"memory");
	check("MOVSB with GS", buf[40], 8);
	wrmsr(MSR_GS_BASE, 0);

	map_page(va + 0x1000, 1, (ulong)page_alloc() | PTE_P | PTE_W);
	c = 10, d = va + 0x1004;
	CATCH("std; rep stosb; cld", : "+c"(c), "+D"(d) : "a"(1) : "memory");
	asm volatile("cld");
	check_vector("going down into no page", PF, PFE_W);
	check("RCX", caught.regs.cx, 5);
	check("RDI", caught.regs.di, va + 0xfff);
	check("CR2", caught.cr2, va + 0xfff);
}
