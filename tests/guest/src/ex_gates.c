/* SPDX-License-Identifier: Apache-2.0
 *
 * Interrupt gates clear IF, trap gates keep it; INT n from ring 3 needs the
 * gate's DPL; the pushed flags are those before. Intel SDM vol. 3A sections
 * 6.12.1.1 and 6.12.1.3.
 */
#include "lib.h"

static volatile ulong pushed, inside;

static void look(struct frame *f)
{
	pushed = f->flags;
	inside = read_flags();
}

static __user ulong user_int(ulong arg)
{
	asm volatile(".globl at_int\nat_int: int $0x41");
	return arg;
}
extern u8 at_int[];

void guest_main(void)
{
	trap_hook_set(0x40, look);

	asm volatile("sti; int $0x40; cli" ::: "memory");
	check("interrupt gate, IF pushed", pushed & FL_IF, FL_IF);
	check("interrupt gate, IF inside", inside & FL_IF, 0);
	idt_set(0x40, (ulong)trap_stubs[0x40], SEL_CODE, 0x8f, 0);
	asm volatile("sti; int $0x40; cli" ::: "memory");
	check("trap gate, IF pushed", pushed & FL_IF, FL_IF);
	check("trap gate, IF inside", inside & FL_IF, FL_IF);
	asm volatile("cli; int $0x40" ::: "memory");
	check("trap gate, IF inside when off", inside & FL_IF, 0);

	idt_set(0x41, (ulong)trap_stubs[0x41], SEL_CODE, 0xee, 0);
	trap_hook_set(0x41, look);
	check("INT with DPL 3", user_call_flags(user_int, 5, FL_IF | 2), 5);
	check("its IF pushed", pushed & FL_IF, FL_IF);
	trap_hook_set(0x41, NULL);
	idt_set(0x41, (ulong)trap_stubs[0x41], SEL_CODE, 0x8e, 0);
	user_call(user_int, 5);
	check("INT with DPL 0", caught.vector, GP);
	check("its RIP", caught.ip, (ulong)at_int);
	if (tcg_differs("doubles the vector in error codes of long mode"))
		return;
	check("its error code", caught.error, 0x41 * 8 + 2);
}
