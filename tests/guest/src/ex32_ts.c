/* SPDX-License-Identifier: Apache-2.0
 *
 * #TS: a bad ring 0 stack in the TSS, a TSS that is too short, a task gate to
 * a TSS with bad segments; error codes. Intel SDM vol. 3A section 6.15
 * (interrupt 10), table 6-6.
 */
#include "lib.h"

static __user ulong user_int(ulong arg)
{
	asm volatile("int $0x80");
	return arg;
}

/* #TS of the change to ring 0 cannot be served there: a task serves it. */
static struct tss other;
static u8 stack[4096] __attribute__((aligned(16)));
static volatile u32 seen;
static volatile ulong seen_error;

asm("ts_task:\n"
    "	pop seen_error\n"
    "	movl $10, seen\n"
    "	push $0; call user_leave");
extern u8 ts_task[];

static void bad_stack(const char *what, u32 ss0, u32 error)
{
	tss[0].ss0 = ss0;
	memset(&other, 0, sizeof(other));
	other.cs = SEL_CODE;
	other.ds = other.es = other.ss = SEL_DATA;
	other.eip = (ulong)ts_task;
	other.eflags = 2;
	other.esp = (ulong)stack + sizeof(stack);
	other.iomap = sizeof(other);
	gdt[SEL_FREE / 8] = seg_desc((ulong)&other, 0x67, 0x89, 0);
	gdt[SEL_TSS / 8] = seg_desc((ulong)&tss[0], 0x67, 0x89, 0);
	asm volatile("ltr %w0" ::"r"(SEL_TSS));
	idt_set(TS, 0, SEL_FREE, 0x85, 0);
	seen = 0;
	user_call(user_int, 0);
	check(what, seen, TS);
	check(what, seen_error, error);
	trap_stub_restore(TS);
	tss[0].ss0 = SEL_DATA;
}

void guest_main(void)
{
	bad_stack("SS0 beyond the GDT", 0x1000, 0x1000);
	bad_stack("SS0 null", 0, 0);
	bad_stack("SS0 of DPL 3", SEL_USER_DATA, SEL_USER_DATA & ~3);
	bad_stack("SS0 is code", SEL_CODE, SEL_CODE);

	/* back in the first task for the rest */
	gdt[SEL_TSS / 8] = seg_desc((ulong)&tss[0], 0x67, 0x89, 0);
	asm volatile("ltr %w0" ::"r"(SEL_TSS));
	asm volatile("pushf; andl $~0x4000, (%%esp); popf" ::: "memory");
	gdt[SEL_FREE / 8] = seg_desc((ulong)&other, 0x66, 0x89, 0);
	CATCH("lcall %0, $0", ::"i"(SEL_FREE) : "memory");
	check_trap("TSS too short", TS, SEL_FREE);
	gdt[SEL_FREE / 8] = seg_desc((ulong)&other, 0x67, 0x09, 0);
	CATCH("lcall %0, $0", ::"i"(SEL_FREE) : "memory");
	check_trap("TSS not present", NP, SEL_FREE);
	gdt[SEL_FREE / 8] = seg_desc((ulong)&other, 0x67, 0x8b, 0);
	CATCH("lcall %0, $0", ::"i"(SEL_FREE) : "memory");
	check_trap("TSS busy", GP, SEL_FREE);
}
