/* SPDX-License-Identifier: Apache-2.0
 *
 * Virtual-8086 mode with IOPL below 3: CLI, STI, PUSHF, POPF, INT n and IRET
 * give #GP(0), INT3 does not; IN and OUT ask the bitmap alone; privileged
 * instructions fault. Intel SDM vol. 3A sections 20.2.7 and 20.2.8.
 */
#include "lib.h"

#define CODE(name, insn)                                       \
	asm(".pushsection .low16, \"awx\"; .code16\n" #name ": " \
	    insn "; hlt\n.code32; .popsection");               \
	extern u8 name[]
CODE(vm_cli, "cli");
CODE(vm_sti, "sti");
CODE(vm_pushf, "pushf");
CODE(vm_popf, "popf");
CODE(vm_int, "int $0x80");
CODE(vm_iret, "iret");
CODE(vm_int3, "int3");
CODE(vm_hlt, "hlt");
CODE(vm_in, "inb $0x61, %al");
CODE(vm_lgdt, "lgdt 0");
CODE(vm_ltr, "ltr %ax");
CODE(vm_cr0, "mov %cr0, %eax");

static void try(const char *what, u8 *code, ulong flags, u32 vector, int skip)
{
	caught.vector = NONE;
	vm86_enter((ulong)code, 0, 0x7c00, 0, flags | FL_VM | 2);
	check_vector(what, vector, 0);
	check(what, caught.ip, (ulong)code + skip);
}

void guest_main(void)
{
	try("CLI", vm_cli, 0, GP, 0);
	try("STI", vm_sti, 0, GP, 0);
	try("PUSHF", vm_pushf, 0, GP, 0);
	try("POPF", vm_popf, 0, GP, 0);
	try("INT n", vm_int, 0, GP, 0);
	try("IRET", vm_iret, 0, GP, 0);
	try("CLI, IOPL 2", vm_cli, 0x2000, GP, 0);
	try("CLI, IOPL 3, then HLT", vm_cli, FL_IOPL, GP, 1);
	try("INT3", vm_int3, 0, BP, 1);
	try("HLT", vm_hlt, FL_IOPL, GP, 0);
	try("MOV from CR0", vm_cr0, FL_IOPL, GP, 0);
	try("LGDT", vm_lgdt, FL_IOPL, GP, 0);
	try("LTR", vm_ltr, FL_IOPL, UD, 0);
	try("IN, no bitmap, IOPL 3", vm_in, FL_IOPL, GP, 0);
	tss[0].iomap = offsetof(struct tss, bitmap);
	try("IN, bitmap 0, IOPL 0", vm_in, 0, GP, 2);
	tss[0].bitmap[0x61 / 8] = 1 << (0x61 % 8);
	try("IN, bitmap 1, IOPL 3", vm_in, FL_IOPL, GP, 0);
}
