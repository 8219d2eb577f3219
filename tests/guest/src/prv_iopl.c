/* SPDX-License-Identifier: Apache-2.0
 *
 * IOPL: CLI, STI and port access in ring 3, POPF that silently keeps IF and
 * IOPL, and what ring 3 must not do at all. Intel SDM vol. 3A section 5.9,
 * vol. 1 section 18.5, vol. 2 POPF.
 */
#include "lib.h"

#define USER(name, insn)                                                  \
	static __user ulong user_##name(ulong arg)                        \
	{                                                                 \
		asm volatile("at_" #name ": " insn ::"a"(arg)             \
			     : "rcx", "rdx", "memory");                   \
		return 1;                                                 \
	}                                                                 \
	extern u8 at_##name[]

USER(cli, "cli");
USER(sti, "sti");
USER(in, "in $0x61, %%al");
USER(hlt, "hlt");
USER(cr0, "mov %%cr0, %%rax");
USER(cr8, "mov %%cr8, %%rax");
USER(dr7, "mov %%dr7, %%rax");
USER(rdmsr, "mov $0x10, %%ecx; rdmsr");
USER(invlpg, "invlpg (%%rax)");
USER(wbinvd, "wbinvd");
USER(clts, "clts");
USER(lgdt, "lgdt (%%rsp)");
USER(ltr, "ltr %%ax");
USER(lldt, "lldt %%ax");
USER(swapgs, "swapgs");
USER(sysret, "sysretq");

static __user ulong user_popf(ulong arg)
{
	ulong v;

	asm volatile("push %1; popf; pushf; pop %0" : "=r"(v) : "r"(arg));
	return v;
}

#define PRIVILEGED(name)                                          \
	do {                                                      \
		user_call_flags(user_##name, 0, FL_IOPL | 2);     \
		check("vector of " #name, caught.vector, GP);     \
		check("error of " #name, caught.error, 0);        \
	} while (0)

void guest_main(void)
{
	for (ulong iopl = 0; iopl <= FL_IOPL; iopl += 0x1000) {
		u32 want = iopl == FL_IOPL ? NONE : GP;

		user_call_flags(user_cli, 0, iopl | 2);
		check_vector("CLI", want, 0);
		if (want == GP)
			check("its RIP", caught.ip, (ulong)at_cli);
		user_call_flags(user_sti, 0, iopl | 2);
		check_vector("STI", want, 0);
		user_call_flags(user_in, 0, iopl | 2);
		check_vector("IN", want, 0);
		check("POPF, IF", user_call_flags(user_popf, FL_IF | 2,
						  iopl | 2) & FL_IF,
		      iopl == FL_IOPL ? FL_IF : 0);
		check("POPF, IOPL", user_call_flags(user_popf, 2, iopl | 2) &
		      FL_IOPL, iopl);
	}
	PRIVILEGED(hlt);
	PRIVILEGED(cr0);
	PRIVILEGED(cr8);
	PRIVILEGED(dr7);
	PRIVILEGED(rdmsr);
	PRIVILEGED(invlpg);
	PRIVILEGED(wbinvd);
	PRIVILEGED(clts);
	PRIVILEGED(lgdt);
	PRIVILEGED(ltr);
	PRIVILEGED(lldt);
	PRIVILEGED(swapgs);
	PRIVILEGED(sysret);
}
