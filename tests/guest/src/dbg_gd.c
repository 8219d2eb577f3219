/* SPDX-License-Identifier: Apache-2.0
 *
 * Debug registers: GD faults every access with BD and clears itself, DR4 and
 * DR5 by CR4.DE, reserved and fixed bits, 64-bit checks. Intel SDM vol. 3B
 * section 17.2.
 */
#include "lib.h"

void guest_main(void)
{
	check("DR6 at the start", read_dr6(), 0xffff0ff0);
	check("DR7 at the start", read_dr7(), 0x400);
	write_dr0(0x123456789abc);
	check("DR0", read_dr0(), 0x123456789abc);
	write_dr7(0x400);
	write_dr6(0xffff0fff);
	check("DR6 written", read_dr6(), 0xffff0fff);
	write_dr6(0xffff0ff0);

	CATCH("mov %0, %%db4; mov %%db4, %0", ::"r"(0xffff0ff1UL) : "memory");
	check_no_trap("DR4 without DE");
	check("DR4 is DR6", read_dr6() & 15, 1);
	write_cr4(read_cr4() | 8);
	CATCH("mov %%db4, %%rax", ::: "rax", "memory");
	check_trap("DR4 with DE", UD, 0);
	CATCH("mov %0, %%db5", ::"r"(0x400UL) : "memory");
	check_trap("DR5 with DE", UD, 0);
	write_cr4(read_cr4() & ~8UL);
	write_dr6(0xffff0ff0);

	if (!tcg_differs("takes wide DR6 and DR7")) {
		CATCH("mov %0, %%db7", ::"r"(1UL << 32) : "memory");
		check_trap("DR7 bit 32", GP, 0);
		CATCH("mov %0, %%db6", ::"r"(1UL << 63) : "memory");
		check_trap("DR6 bit 63", GP, 0);
	}
	if (tcg_differs("has no GD"))
		return;
	write_dr7(0x2400);
	CATCH("mov %%db0, %%rax", ::: "rax", "memory");
	check_trap("reading DR0 with GD", DB, 0);
	check("DR6 has BD", read_dr6(), 0xffff2ff0);
	check("GD is off in the handler", read_dr7(), 0x400);
	write_dr6(0xffff0ff0);
	write_dr7(0x2400);
	CATCH("mov %0, %%db7", ::"r"(0x400UL) : "memory");
	check_trap("writing DR7 with GD", DB, 0);
}
