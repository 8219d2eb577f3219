/* SPDX-License-Identifier: Apache-2.0
 *
 * LOCK before an instruction that does not take it is #UD, in code that has
 * become hot too. AMD64 APM vol. 3, 1.2.5.
 */
#include "lib.h"

#define ROUNDS 1000

static u32 word;
static u32 seen;
static ulong at;

extern u8 lock_mov[], lock_mov_end[], lock_imm[], lock_imm_end[];
extern u8 lock_shift[], lock_shift_end[], lock_setcc[], lock_setcc_end[];
extern u8 lock_cmp[], lock_cmp_end[];

static void on_ud(struct frame *f)
{
	seen += f->ip == at;
	f->ip = catch_next;
}

#define TRY(label, insn)                                           \
	do {                                                       \
		at = (ulong)label;                                 \
		catch_next = (ulong)label##_end;                   \
		seen = 0;                                          \
		for (int i = 0; i < ROUNDS; i++)                   \
			asm volatile(#label ": .byte 0xf0; " insn  \
				     "\n" #label "_end:"           \
				     : : "b"(&word), "a"(i)        \
				     : "memory", "cc");            \
		check(#label, seen, ROUNDS);                       \
		check("memory", word, 5);                          \
	} while (0)

void guest_main(void)
{
	word = 5;
	trap_hook_set(UD, on_ud);
	TRY(lock_mov, "mov %%eax, (%%rbx)");
	TRY(lock_imm, "movl $1, (%%rbx)");
	TRY(lock_shift, "shll $1, (%%rbx)");
	TRY(lock_setcc, "setc (%%rbx)");
	TRY(lock_cmp, "cmp %%eax, (%%rbx)");
}
