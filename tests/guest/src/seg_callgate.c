/* SPDX-License-Identifier: Apache-2.0
 *
 * Call gates of 32-bit mode: same level, to ring 0 with the stack switched
 * and parameters copied, RETF back, and the checks of DPL, type and presence.
 * Intel SDM vol. 3A sections 5.8.3 to 5.8.5.
 */
#include "lib.h"

u32 gate_cs, gate_sp, gate_frame[6];
asm(".globl gate_code\ngate_code:\n"
    "	mov %cs, %eax; mov %eax, %ss:gate_cs\n"
    "	mov %esp, %ss:gate_sp\n"
    "	mov (%esp), %eax; mov %eax, %ss:gate_frame\n"
    "	mov 4(%esp), %eax; mov %eax, %ss:gate_frame + 4\n"
    "	mov 8(%esp), %eax; mov %eax, %ss:gate_frame + 8\n"
    "	mov 12(%esp), %eax; mov %eax, %ss:gate_frame + 12\n"
    "	mov 16(%esp), %eax; mov %eax, %ss:gate_frame + 16\n"
    "	mov 20(%esp), %eax; mov %eax, %ss:gate_frame + 20\n"
    "	lret $8\n");
extern u8 gate_code[];

static __user ulong user_gate(ulong arg)
{
	ulong before, after;

	asm volatile("mov %%esp, %0; push $0x1111; push $0x2222\n"
		     ".globl at_gate\nat_gate: lcall $0x50, $0\n"
		     ".globl after_gate\nafter_gate: mov %%esp, %1"
		     : "=&r"(before), "=&r"(after)::"eax", "memory");
	return before - after;
}
extern u8 at_gate[], after_gate[];

static void set_gate(u16 sel, u8 type, u8 count)
{
	u32 to = (u32)gate_code;

	gdt[SEL_FREE / 8] = (to & 0xffff) | (u64)sel << 16 |
			    (u64)count << 32 | (u64)type << 40 |
			    (u64)(to >> 16) << 48;
}

void guest_main(void)
{
	set_gate(SEL_CODE, 0x8c, 2);
	CATCH("push $3; push $4; lcall %0, $0", ::"i"(SEL_FREE)
	      : "eax", "memory");
	check_no_trap("same level");
	check("CS there", gate_cs, SEL_CODE);
	check("CS pushed", gate_frame[1], SEL_CODE);
	check("no copy of parameters", gate_frame[2], 4);

	set_gate(SEL_CODE, 0xec, 2);
	check("ESP behind RETF 8", user_call(user_gate, 0), 0);
	check_no_trap("ring 3 to 0");
	check("CS there", gate_cs, SEL_CODE);
	check("stack there", gate_sp,
	      (u32)ring0_stack[0] + sizeof(ring0_stack[0]) - 24);
	check("EIP pushed", gate_frame[0], (u32)after_gate);
	check("CS pushed", gate_frame[1], SEL_USER_CODE);
	check("second parameter", gate_frame[2], 0x2222);
	check("first parameter", gate_frame[3], 0x1111);
	check_range("ESP pushed", gate_frame[4], (u32)user_stack,
		    (u32)user_stack + sizeof(user_stack));
	check("SS pushed", gate_frame[5], SEL_USER_DATA);

	set_gate(SEL_CODE, 0x8c, 0);
	user_call(user_gate, 0);
	check_vector("gate of DPL 0 in ring 3", GP, SEL_FREE);
	check("its EIP", caught.ip, (ulong)at_gate);
	set_gate(SEL_CODE, 0x6c, 0);
	user_call(user_gate, 0);
	check_vector("gate not present", NP, SEL_FREE);
	set_gate(SEL_DATA, 0xec, 0);
	user_call(user_gate, 0);
	check_vector("gate to data", GP, SEL_DATA);
	set_gate(0, 0xec, 0);
	user_call(user_gate, 0);
	check_vector("gate to null", GP, 0);
	set_gate(SEL_CODE, 0xee, 0);
	user_call(user_gate, 0);
	check_vector("an interrupt gate", GP, SEL_FREE);
}
