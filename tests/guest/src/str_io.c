/* SPDX-License-Identifier: Apache-2.0
 *
 * INS and OUTS with REP: counts, direction, a fault in the middle. The ports
 * are COM1's scratch register and absent ones. Intel SDM vol. 2 INS, OUTS.
 */
#include "map.h"

enum { SCRATCH = 0x3ff };

void guest_main(void)
{
	u8 buf[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, in[8] = { 0 };
	ulong c = 8, s = (ulong)buf, d = (ulong)in;
	u64 va = MAP_BASE;
	u8 *page = page_alloc();

	asm volatile("rep outsb" : "+c"(c), "+S"(s) : "d"(SCRATCH) : "memory");
	check("REP OUTSB, RCX", c, 0);
	check("REP OUTSB, RSI", s, (ulong)buf + 8);
	check("the last one written", inb(SCRATCH), 8);
	c = 4;
	asm volatile("rep insb" : "+c"(c), "+D"(d) : "d"(SCRATCH) : "memory");
	check("REP INSB", *(u64 *)in, 0x08080808);
	check("REP INSB, RDI", d, (ulong)in + 4);
	d = (ulong)in + 4;
	c = 2;
	asm volatile("std; rep insw; cld" : "+c"(c), "+D"(d) : "d"(0x5ff0)
		     : "memory");
	check("INSW of an absent port, going down", *(u64 *)in,
	      0x0000ffffffff0808);
	d = (ulong)in;
	asm volatile("insl" : "+D"(d) : "d"(0x5ff0) : "memory");
	check("INSL of an absent port", *(u32 *)in, 0xffffffff);

	map_page(va, 1, (ulong)page | PTE_P | PTE_W);
	c = 10;
	d = va + 0xffd;
	outb(SCRATCH, 0x5a);
	CATCH("rep insb", : "+c"(c), "+D"(d) : "d"(SCRATCH) : "memory");
	check_pf("REP INSB into no page", PFE_W, va + 0x1000);
	check("RCX", caught.regs.cx, 7);
	check("stored before it", page[0xfff], 0x5a);
	c = 10;
	s = va + 0xffd;
	memset(page + 0xffd, 0x31, 3);
	CATCH("rep outsb", : "+c"(c), "+S"(s) : "d"(SCRATCH) : "memory");
	check_pf("REP OUTSB from no page", 0, va + 0x1000);
	check("RCX", caught.regs.cx, 7);
	check("written before it", inb(SCRATCH), 0x31);
}
