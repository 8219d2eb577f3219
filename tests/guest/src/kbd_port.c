/* SPDX-License-Identifier: Apache-2.0
 *
 * 8042 with keyboard and mouse: self tests, command byte, both loops with
 * status and interrupts, translation, clocks held, and the devices' own
 * commands. IBM PS/2 technical reference, "Keyboard and auxiliary device
 * controller"; "Keyboards"; "Mouse".
 */
#include "chips.h"

enum { DATA = 0x60, STATUS = 0x64, FULL = 1, AUX = 0x20, ACK = 0xfa };

static volatile u32 irq1, irq12;

static void keyboard_hit(struct frame *f)
{
	irq1++;
	outb(PIC1, 0x20);
}

static void mouse_hit(struct frame *f)
{
	irq12++;
	outb(PIC2, 0x20);
	outb(PIC1, 0x20);
}

static void command(u8 v)
{
	while (inb(STATUS) & 2)
		;
	outb(STATUS, v);
}

static void data(u8 v)
{
	while (inb(STATUS) & 2)
		;
	outb(DATA, v);
}

static bool full(void)
{
	for (int i = 0; i < 2000; i++) {
		if (inb(STATUS) & FULL)
			return true;
		delay_us(50);
	}
	return false;
}

/* The next byte, with AUX in bit 8; 0xffff when none comes. */
static u32 next(void)
{
	u32 from;

	if (!full())
		return 0xffff;
	from = inb(STATUS) & AUX;
	return inb(DATA) | from << 3;
}

static void empty(void)
{
	for (int i = 0; i < 64 && inb(STATUS) & FULL; i++)
		inb(DATA);
}

static void command_byte(u8 v)
{
	command(0x60);
	data(v);
}

static void keyboard(u8 v, const char *what, u32 want)
{
	data(v);
	check(what, next(), want);
}

static void mouse(u8 v, const char *what, u32 want)
{
	command(0xd4);
	data(v);
	check(what, next(), 0x100 | want);
}

static void window(void)
{
	irq_on();
	delay_us(2000);
	irq_off();
}

static void controller(void)
{
	command(0xad);
	command(0xa7);
	empty();
	command(0xaa);
	check("self test", next(), 0x55);
	check("system flag", inb(STATUS) & 4, 4);
	command(0xab);
	check("keyboard line", next(), 0);
	command(0xa9);
	check("mouse line", next(), 0);
	command_byte(0x34);
	command(0x20);
	check("command byte", next(), 0x34);
	check("the last was a command", inb(STATUS) & 8, 8);
	command(0xd2);
	data(0x41);
	check("the last was data", inb(STATUS) & 8, 0);
	check("keyboard loop", next(), 0x41);
	command(0xd3);
	data(0x42);
	check("mouse loop", next(), 0x142);
	command(0xd0);
	check("output port, A20 and no reset", next() & 3, 3);
}

static void interrupts(void)
{
	command_byte(0x37);
	command(0xd2);
	data(0x11);
	window();
	check("interrupt 1", irq1, 1);
	check("its byte", next(), 0x11);
	command(0xd3);
	data(0x12);
	window();
	check("interrupt 12", irq12, 1);
	check("its byte", next(), 0x112);
	command_byte(0x34);
	command(0xd2);
	data(0x13);
	window();
	check("switched off", irq1, 1);
	empty();
}

static void keyboard_commands(void)
{
	command_byte(0x24);	/* keyboard's clock on, no translation */
	keyboard(0xff, "reset", ACK);
	check("passed", next(), 0xaa);
	keyboard(0xee, "echo", 0xee);
	keyboard(0xf2, "identify", ACK);
	check("identity", next(), 0xab);
	check("identity", next(), 0x83);
	keyboard(0xfe, "resend", 0x83);
	keyboard(0xed, "lights", ACK);
	keyboard(7, "which", ACK);
	keyboard(0xf3, "rate", ACK);
	keyboard(0x20, "which", ACK);
	keyboard(0xf0, "scan code set", ACK);
	keyboard(0, "which?", ACK);
	check("set 2", next(), 2);
	keyboard(0x03, "no such command", 0xfe);
	keyboard(0xf5, "off", ACK);
	keyboard(0xf4, "on", ACK);
	command_byte(0x64);	/* translated: 0x83 is 0x41 */
	keyboard(0xf2, "identify", ACK);
	check("identity", next(), 0xab);
	check("identity, translated", next(), 0x41);
	command_byte(0x34);
}

static void mouse_commands(void)
{
	command(0xa8);
	mouse(0xff, "reset", ACK);
	check("passed", next(), 0x1aa);
	check("a mouse", next(), 0x100);
	mouse(0xf2, "identify", ACK);
	check("without wheel", next(), 0x100);
	mouse(0xe9, "status", ACK);
	check("off, 1:1", next(), 0x100);
	check("resolution", next(), 0x102);
	check("rate", next(), 0x164);
	mouse(0xe8, "resolution", ACK);
	mouse(3, "which", ACK);
	mouse(0xe7, "2:1", ACK);
	mouse(0xe9, "status", ACK);
	check("off, 2:1", next(), 0x110);
	check("resolution", next(), 0x103);
	check("rate", next(), 0x164);
	mouse(0xeb, "read", ACK);
	check("no button", next() & 0x107, 0x100);
	check("not moved", next(), 0x100);
	check("not moved", next(), 0x100);
	mouse(0xee, "wrap", ACK);
	mouse(0x55, "comes back", 0x55);
	mouse(0xec, "no wrap", ACK);
	/* rates 200, 100, 80: a mouse with a wheel says so */
	for (u32 i = 0; i < 3; i++) {
		mouse(0xf3, "rate", ACK);
		mouse((u8[]){ 200, 100, 80 }[i], "which", ACK);
	}
	mouse(0xf2, "identify", ACK);
	check("with wheel", next(), 0x103);
	mouse(0xf6, "defaults", ACK);
	command(0xa7);
}

void guest_main(void)
{
	lapic_init();
	lapic_write(LAPIC_LVT_LINT0, 0x700);
	trap_hook_set(PIC_BASE + 1, keyboard_hit);
	trap_hook_set(PIC_BASE + 12, mouse_hit);
	pic_init(0xf9, 0xef);
	controller();
	interrupts();
	keyboard_commands();
	mouse_commands();
}
