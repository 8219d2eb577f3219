/* SPDX-License-Identifier: Apache-2.0
 *
 * I/O breakpoints (CR4.DE): IN and OUT of the port and of a range that holds
 * it trap behind the instruction. Intel SDM vol. 3B sections 17.2.4 and 17.2.5.
 */
#include "lib.h"

static volatile u32 count;
static volatile ulong last_ip, last_dr6;

static void hit(struct frame *f)
{
	count++;
	last_ip = f->ip;
	last_dr6 = read_dr6();
	write_dr6(0xffff0ff0);
}

extern u8 behind_out[];

void guest_main(void)
{
	trap_hook_set(DB, hit);
	write_dr6(0xffff0ff0);
	write_cr4(read_cr4() | 8);
	write_dr1(0x80);
	write_dr7(0x404 | 2 << 20);
	asm volatile("outb %%al, $0x80\n.globl behind_out\nbehind_out: nop"
		     ::"a"(0));
	check("OUT", count, 1);
	check("RIP is behind", last_ip, (ulong)behind_out);
	check("DR6", last_dr6, 0xffff0ff2);
	inb(0x80);
	check("IN", count, 2);
	inb(0x84);
	check("another port", count, 2);
	write_dr7(0x404 | 14 << 20);
	inb(0x83);
	check("4 bytes long, IN of the last", count, 3);
	outb(0x84, 0);
	check("4 bytes long, OUT behind", count, 3);
	write_dr7(0x400);
	inb(0x80);
	check("off", count, 3);
}
