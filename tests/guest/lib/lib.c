/* SPDX-License-Identifier: Apache-2.0
 *
 * Output on COM1, checks, and the end of a run through the debug exit port.
 */
#include "lib.h"
#include "chips.h"

enum { COM1 = 0x3f8, DEBUG_EXIT = 0xf4, SKIPPED = 0x3f };

u32 mb_info;
u8 boot_stack[16384] __attribute__((aligned(16)));
asm(".globl boot_stack_top\n.set boot_stack_top, boot_stack + 16384");
static unsigned int failures;

void lib_main(void);
void trap_init(void);
void map_init(void);

void *memset(void *p, int c, size_t n)
{
	void *start = p;

	asm volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(c) : "memory");
	return start;
}

void *memcpy(void *to, const void *from, size_t n)
{
	void *start = to;

	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
	return start;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (; n; n--, x++, y++) {
		if (*x != *y)
			return *x - *y;
	}
	return 0;
}

static void put_char(char c)
{
	while (!(inb(COM1 + 5) & 0x20))
		;
	outb(COM1, c);
}

void put(const char *s)
{
	for (; *s; s++)
		put_char(*s);
}

void put_hex(u64 v)
{
	int digits = 1;

	put("0x");
	while (digits < 16 && v >> (4 * digits))
		digits++;
	while (digits--)
		put_char("0123456789abcdef"[v >> (4 * digits) & 15]);
}

static void report(const char *what, u64 seen)
{
	/* a flood would hide the first ones */
	if (++failures > 20)
		return;
	put("FAILED ");
	put(what);
	put(": observed ");
	put_hex(seen);
}

bool check(const char *what, u64 seen, u64 want)
{
	if (seen == want)
		return true;
	report(what, seen);
	if (failures > 20)
		return false;
	put(", expected ");
	put_hex(want);
	put("\n");
	return false;
}

bool check_range(const char *what, u64 seen, u64 low, u64 high)
{
	if (seen >= low && seen <= high)
		return true;
	report(what, seen);
	if (failures > 20)
		return false;
	put(", expected ");
	put_hex(low);
	put(" to ");
	put_hex(high);
	put("\n");
	return false;
}

static _Noreturn void end(u8 status)
{
	irq_off();
	/* let the last character leave before the machine stops */
	while (!(inb(COM1 + 5) & 0x40))
		;
	outb(DEBUG_EXIT, status);
	for (;;)
		asm volatile("cli; hlt");
}

_Noreturn void skip(const char *why)
{
	put("SKIP ");
	put(why);
	put("\n");
	end(SKIPPED);
}

_Noreturn void finish(void)
{
	put(failures ? "FAIL\n" : "PASS\n");
	end(failures ? 1 : 0);
}

_Noreturn void fail(const char *why)
{
	put("FAILED ");
	put(why);
	put("\n");
	failures++;
	finish();
}

void announce_end(void)
{
	if (failures)
		finish();
	put("READY\n");
	while (!(inb(COM1 + 5) & 0x40))
		;
}

bool cpu_has(u32 leaf, int reg, int bit)
{
	struct cpuid r;

	if (cpuid(leaf & 0x80000000, 0).a < leaf)
		return false;
	r = cpuid(leaf, 0);
	return (((u32[]){ r.a, r.b, r.c, r.d })[reg] >> bit) & 1;
}

void need(u32 leaf, int reg, int bit, const char *name)
{
	if (cpu_has(leaf, reg, bit))
		return;
	put("SKIP the processor lacks ");
	put(name);
	put("\n");
	end(SKIPPED);
}

bool cpu_is_amd(void)
{
	return cpuid(0, 0).b == 0x68747541;
}

bool tcg_differs(const char *how)
{
	struct cpuid r = cpuid(0x40000000, 0);

	if (!cpu_has(1, 2, 31) || r.b != 0x54474354)
		return false;
	put("note: TCG ");
	put(how);
	put("\n");
	return true;
}

/* Everything that can interrupt is off until a guest asks for it. */
void lib_main(void)
{
	/* 115200 8N1, no interrupts, FIFO on */
	outb(COM1 + 3, 0x80);
	outb(COM1, 1);
	outb(COM1 + 1, 0);
	outb(COM1 + 3, 3);
	outb(COM1 + 2, 7);
	outb(COM1 + 4, 3);
	outb(COM1 + 1, 0);
	pic_init(0xff, 0xff);
	/* after a reset every x87 exception is unmasked */
	asm volatile("fninit");
	trap_init();
	map_init();
	guest_main();
	finish();
}
