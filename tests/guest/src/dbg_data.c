/* SPDX-License-Identifier: Apache-2.0
 *
 * Data breakpoints: write and read-write, lengths 1, 2, 4 and 8, accesses
 * that overlap, a trap behind the instruction. Intel SDM vol. 3B sections
 * 17.2.5 and 17.3.1.2.
 */
#include "lib.h"

static u8 data[32] __attribute__((aligned(32)));
static volatile u32 count;
static volatile ulong last_ip, last_dr6;

static void hit(struct frame *f)
{
	count++;
	last_ip = f->ip;
	last_dr6 = read_dr6();
	write_dr6(0xffff0ff0);
}

extern u8 behind[], held[];

static void set(u32 off, u32 type, u32 len)
{
	write_dr2((ulong)data + off);
	write_dr7(0x410 | type << 24 | len << 26);
	count = 0;
}

static void read1(u32 off)
{
	asm volatile("movb (%0), %%al" ::"r"(data + off) : "rax", "memory");
}

static void write1(u32 off)
{
	asm volatile("movb $1, (%0)" ::"r"(data + off) : "memory");
}

static void try(const char *what, u32 off, u32 bytes, u32 len, u32 type)
{
	set(off, type, len);
	for (u32 i = 0; i < 24; i++) {
		bool in = i >= off && i < off + bytes;
		u32 before = count;

		write1(i);
		check(what, count - before, in);
		before = count;
		read1(i);
		check(what, count - before, in && type == 3);
	}
	write_dr7(0x400);
}

void guest_main(void)
{
	trap_hook_set(DB, hit);
	write_dr6(0xffff0ff0);
	try("write, 1 byte", 5, 1, 0, 1);
	try("write, 2 bytes", 6, 2, 1, 1);
	try("write, 4 bytes", 8, 4, 3, 1);
	try("write, 8 bytes", 8, 8, 2, 1);
	try("access, 1 byte", 7, 1, 0, 3);
	try("access, 4 bytes", 12, 4, 3, 3);

	set(8, 1, 0);
	asm volatile("movq $0, -4(%0)\n.globl behind\nbehind: nop"
		     ::"r"(data + 8) : "memory");
	check("overlapping write", count, 1);
	check("RIP is behind", last_ip, (ulong)behind);
	check("DR6", last_dr6, 0xffff0ff4);
	count = 0;
	asm volatile("addb $1, (%0)" ::"r"(data + 8) : "memory", "cc");
	check("read-modify-write", count, 1);
	asm volatile("push %%rax; pop (%0)" ::"r"(data + 8) : "memory");
	check("POP to memory", count, 2);
	ulong c = 16, d = (ulong)data;

	asm volatile("rep stosb" : "+c"(c), "+D"(d) : "a"(0) : "memory");
	check("REP STOSB over it", count, 3);
	write_dr7(0x400);

	if (tcg_differs("forgets what MOV SS holds back"))
		return;
	*(u16 *)(data + 8) = SEL_DATA;
	set(8, 3, 1);
	count = 0;
	asm volatile("mov (%0), %%ss\n\tnop\n.globl held\nheld: nop"
		     ::"r"(data + 8) : "memory");
	check("read by MOV SS", count, 1);
	check("held back by one instruction", last_ip, (ulong)held);
	write_dr7(0x400);
}
