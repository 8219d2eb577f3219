/* SPDX-License-Identifier: Apache-2.0
 *
 * The I/O permission bitmap: a clear bit for every byte of the access, two
 * bytes read at a time, the end of the TSS. Intel SDM vol. 1 section 18.5.2.
 */
#include "lib.h"

static __user ulong user_in1(ulong port)
{
	asm volatile("inb %%dx, %%al" ::"d"(port) : "rax");
	return 1;
}

static __user ulong user_in2(ulong port)
{
	asm volatile("inw %%dx, %%ax" ::"d"(port) : "rax");
	return 1;
}

static __user ulong user_in4(ulong port)
{
	asm volatile("inl %%dx, %%eax" ::"d"(port) : "rax");
	return 1;
}

static __user ulong user_outs(ulong port)
{
	asm volatile("lea -64(%%rsp), %%rsi; outsb" ::"d"(port)
		     : "rsi", "memory");
	return 1;
}

static void try(const char *what, ulong (*fn)(ulong), u16 port, bool ok)
{
	user_call(fn, port);
	check_vector(what, ok ? NONE : GP, 0);
}

static void set_limit(u32 limit)
{
	gdt[SEL_TSS / 8] = seg_desc((u32)(ulong)&tss[0], limit, 0x89, 0);
	asm volatile("ltr %w0" ::"r"(SEL_TSS));
}

void guest_main(void)
{
	u32 off = offsetof(struct tss, bitmap);

	try("no bitmap", user_in1, 0x80, false);
	tss[0].iomap = off;
	memset(tss[0].bitmap, 0, sizeof(tss[0].bitmap));
	try("all clear, 1 byte", user_in1, 0x80, true);
	try("all clear, 4 bytes", user_in4, 0x80, true);
	try("all clear, OUTS", user_outs, 0x80, true);
	for (int bit = 0; bit < 4; bit++) {
		tss[0].bitmap[0x10] = 1 << bit;
		try("one bit, 1 byte", user_in1, 0x80, bit != 0);
		try("one bit, 2 bytes", user_in2, 0x80, bit > 1);
		try("one bit, 4 bytes", user_in4, 0x80, false);
		try("the next port group", user_in4, 0x84, true);
	}
	tss[0].bitmap[0x10] = 0;
	/* across two bytes of the bitmap */
	tss[0].bitmap[0x11] = 1;
	try("2 bytes at 0x87", user_in2, 0x87, false);
	try("1 byte at 0x87", user_in1, 0x87, true);
	tss[0].bitmap[0x11] = 0;

	/* the byte behind must be inside the TSS, too */
	set_limit(off + 0x11);
	try("last byte and one more inside", user_in1, 0x80, true);
	set_limit(off + 0x10);
	try("one more outside", user_in1, 0x80, false);
	set_limit(off + 0xf);
	try("outside", user_in1, 0x80, false);
}
