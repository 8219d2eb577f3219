/* SPDX-License-Identifier: Apache-2.0
 *
 * UMIP: SGDT, SIDT, SLDT, STR and SMSW in ring 3 give #GP with it and work
 * without; ring 0 is not concerned; what they store. Intel SDM vol. 3A
 * section 2.5, vol. 2.
 */
#include "lib.h"

#define USER(name, insn)                                            \
	static __user ulong user_##name(ulong arg)                  \
	{                                                           \
		u8 buf[16];                                         \
		asm volatile(insn " %0" : "=m"(buf)::"memory");     \
		return 1;                                           \
	}
USER(sgdt, "sgdt")
USER(sidt, "sidt")
USER(sldt, "sldt")
USER(str, "str")
USER(smsw, "smsw")

static ulong (*const fns[])(ulong) = { user_sgdt, user_sidt, user_sldt,
				       user_str, user_smsw };
static const char *const names[] = { "SGDT", "SIDT", "SLDT", "STR", "SMSW" };

void guest_main(void)
{
	struct desc_ptr p = { 0, 0 };
	ulong v;

	asm volatile("sgdt %0" : "=m"(p));
	check("SGDT, limit", p.limit, gdt_ptr.limit);
	check("SGDT, base", p.base, gdt_ptr.base);
	asm volatile("sidt %0" : "=m"(p));
	check("SIDT, limit", p.limit, idt_ptr.limit);
	check("SIDT, base", p.base, idt_ptr.base);
	asm volatile("str %0" : "=r"(v));
	check("STR to a register is zero-extended", v, SEL_TSS);
	asm volatile("smsw %0" : "=r"(v));
	check("SMSW of 64 bits", v, read_cr0());
	for (u32 i = 0; i < array_size(fns); i++) {
		user_call(fns[i], 0);
		check_vector(names[i], NONE, 0);
	}
	need(7, 2, 2, "UMIP");
	write_cr4(read_cr4() | 1UL << 11);
	for (u32 i = 0; i < array_size(fns); i++) {
		user_call(fns[i], 0);
		check_vector(names[i], GP, 0);
	}
	CATCH("str %%ax", ::: "rax", "memory");
	check_no_trap("STR in ring 0");
	write_cr4(read_cr4() & ~(1UL << 11));
}
