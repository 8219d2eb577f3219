/* SPDX-License-Identifier: Apache-2.0
 *
 * REP under interrupts: a long one is interrupted between elements with RIP
 * at it and registers that tell how far it came, and goes on to the exact
 * result. Intel SDM vol. 1 section 7.3.9.3.
 */
#include "chips.h"

enum { BUFFER = 0x800000, SIZE = 0x200000 };
static volatile u32 count, inside, wrong;
extern u8 at_rep[];

static void timer(struct frame *f)
{
	count++;
	if (f->ip == (ulong)at_rep) {
		inside++;
		if (f->cx + (f->di - BUFFER) != SIZE)
			wrong++;
		if (f->cx && *(volatile u8 *)(f->di - 1) != (f->ax & 0xff) &&
		    f->di > BUFFER)
			wrong++;
	}
	lapic_eoi();
	lapic_write(LAPIC_INIT, 20000);
}

static void fill(u8 v)
{
	ulong c = SIZE, d = BUFFER;

	asm volatile(".globl at_rep\nat_rep: rep stosb"
		     : "+c"(c), "+D"(d) : "a"(v) : "memory");
	check("RCX", c, 0);
	check("RDI", d, BUFFER + SIZE);
}

void guest_main(void)
{
	volatile u64 *p = (void *)BUFFER;

	lapic_init();
	trap_hook_set(0x40, timer);
	lapic_write(LAPIC_DIVIDE, 0xb);
	lapic_write(LAPIC_LVT_TIMER, 0x40);
	lapic_write(LAPIC_INIT, 20000);
	irq_on();
	for (u32 v = 1; v < 200 && (inside < 3 || v < 5); v++)
		fill(v);
	fill(0x5a);
	irq_off();
	check("interrupts came", count != 0, 1);
	check("registers at an interrupt", wrong, 0);
	for (u32 i = 0; i < SIZE / 8; i += 512)
		check("memory", p[i], 0x5a5a5a5a5a5a5a5a);
	check("the last one", p[SIZE / 8 - 1], 0x5a5a5a5a5a5a5a5a);
}
