/* SPDX-License-Identifier: Apache-2.0
 *
 * Call gates of long mode: 16 bytes, 64-bit code only, SS null in ring 0
 * from ring 3, nothing copied. Intel SDM vol. 3A section 5.8.3.1.
 */
#include "lib.h"

u64 gate_frame[4];
u32 gate_cs, gate_ss;
asm(".globl gate_code\ngate_code:\n"
    "	mov %cs, %eax; mov %eax, gate_cs\n"
    "	mov %ss, %eax; mov %eax, gate_ss\n"
    "	mov (%rsp), %rax; mov %rax, gate_frame\n"
    "	mov 8(%rsp), %rax; mov %rax, gate_frame + 8\n"
    "	mov 16(%rsp), %rax; mov %rax, gate_frame + 16\n"
    "	mov 24(%rsp), %rax; mov %rax, gate_frame + 24\n"
    "	lretq\n");
extern u8 gate_code[];

static __user_data struct {
	u32 offset;
	u16 selector;
} __packed far = { 0, SEL_FREE };

static __user ulong user_gate(ulong arg)
{
	asm volatile("lcall *%0\n.globl after_gate\nafter_gate:" ::"m"(far)
		     : "rax", "memory");
	return 7;
}
extern u8 after_gate[];

static void set_gate(u16 sel, u8 type, u64 high)
{
	u64 to = (ulong)gate_code;

	gdt[SEL_FREE / 8] = (to & 0xffff) | (u64)sel << 16 |
			    (u64)type << 40 | (to >> 16 & 0xffff) << 48;
	gdt[SEL_FREE / 8 + 1] = to >> 32 | high;
}

void guest_main(void)
{
	set_gate(SEL_CODE, 0x8c, 0);
	CATCH("lcall *%0", ::"m"(far) : "rax", "memory");
	check_no_trap("same level");
	check("CS pushed", gate_frame[1], SEL_CODE);

	set_gate(SEL_CODE, 0xec, 0);
	check("ring 3 comes back", user_call(user_gate, 0), 7);
	check_no_trap("ring 3 to 0");
	check("CS there", gate_cs, SEL_CODE);
	check("SS there", gate_ss, 0);
	check("RIP pushed", gate_frame[0], (u64)after_gate);
	check("CS pushed", gate_frame[1], SEL_USER_CODE);
	check_range("RSP pushed", gate_frame[2], (u64)user_stack,
		    (u64)user_stack + sizeof(user_stack));
	check("SS pushed", gate_frame[3], SEL_USER_DATA);

	set_gate(SEL_CODE32, 0xec, 0);
	CATCH("lcall *%0", ::"m"(far) : "rax", "memory");
	check_trap("gate to 32-bit code", GP, SEL_CODE32);
	set_gate(SEL_CODE, 0xec, 1ULL << 40);
	if (!tcg_differs("looks at the first half of a gate only")) {
		CATCH("lcall *%0", ::"m"(far) : "rax", "memory");
		check_trap("type bits in the second half", GP, SEL_FREE);
	}
	set_gate(SEL_CODE, 0x84, 0);
	CATCH("lcall *%0", ::"m"(far) : "rax", "memory");
	check_trap("16-bit call gate", GP, SEL_FREE);
}
