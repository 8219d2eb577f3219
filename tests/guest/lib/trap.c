/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptor tables and traps of the test guests: each vector enters trap(),
 * which hands it to its hook, goes on behind CATCH(), or leaves ring 3.
 */
#include "lib.h"

struct caught caught;
ulong catch_ip, catch_next, catch_sp;
struct tss tss[MAX_CPUS];
u8 ring0_stack[MAX_CPUS][4096] __attribute__((aligned(16)));
u8 ist_stack[8][4096] __attribute__((aligned(16)));
u8 user_stack[8192] __user_data __attribute__((aligned(16)));
u64 idt[512] __attribute__((aligned(16)));
struct desc_ptr idt_ptr = { sizeof(void *) == 8 ? 4095 : 2047, (ulong)idt };
static trap_hook hooks[256];

u64 gdt[32] __attribute__((aligned(16))) = {
#ifdef __x86_64__
	[SEL_CODE / 8] = 0x00af9a000000ffff,
#else
	[SEL_CODE / 8] = 0x00cf9a000000ffff,
#endif
	[SEL_DATA / 8] = 0x00cf92000000ffff,
	[SEL_USER32 / 8] = 0x00cffa000000ffff,
	[SEL_USER_DATA / 8] = 0x00cff2000000ffff,
	[SEL_USER64 / 8] = 0x00affa000000ffff,
	[SEL_CODE32 / 8] = 0x00cf9a000000ffff,
	[SEL_CODE16 / 8] = 0x00009a000000ffff,
	[SEL_DATA16 / 8] = 0x000092000000ffff,
};
struct desc_ptr gdt_ptr = { sizeof(gdt) - 1, (ulong)gdt };

void trap_init(void);
void trap_cpu_init(int cpu);
void trap(struct frame *f);

u64 seg_desc(u32 base, u32 limit, u8 access, u8 flags)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 |
	       (u64)access << 40 | (u64)(limit >> 16 & 15) << 48 |
	       (u64)flags << 52 | (u64)(base >> 24) << 56;
}

void idt_set(int vector, ulong entry, u16 selector, u8 type_dpl, u8 ist)
{
	u64 low = (entry & 0xffff) | (u64)selector << 16 | (u64)ist << 32 |
		  (u64)type_dpl << 40 | (u64)(entry >> 16 & 0xffff) << 48;

#ifdef __x86_64__
	idt[2 * vector] = low;
	idt[2 * vector + 1] = entry >> 32;
#else
	idt[vector] = low;
#endif
}

void trap_default_ist(int vector, u8 ist)
{
	bool user = vector == BP || vector == OF || vector == 0x80;

	idt_set(vector, (ulong)trap_stubs[vector], SEL_CODE,
		user ? 0xee : 0x8e, ist);
}

void trap_stub_restore(int vector)
{
	trap_default_ist(vector, 0);
}

void trap_cpu_init(int cpu)
{
	struct tss *t = &tss[cpu];
	int slot = SEL_TSS / 8 + 2 * cpu;

	t->iomap = sizeof(*t);
#ifdef __x86_64__
	t->rsp[0] = (ulong)ring0_stack[cpu] + sizeof(ring0_stack[0]);
	for (int i = 1; i < 8; i++)
		t->ist[i] = (ulong)ist_stack[i] + sizeof(ist_stack[0]);
	gdt[slot + 1] = (ulong)t >> 32;
#else
	t->esp0 = (ulong)ring0_stack[cpu] + sizeof(ring0_stack[0]);
	t->ss0 = SEL_DATA;
#endif
	gdt[slot] = seg_desc((u32)(ulong)t, sizeof(*t) - 1, 0x89, 0);
	asm volatile("lidt %0" ::"m"(idt_ptr));
	asm volatile("ltr %w0" ::"r"(SEL_TSS + 16 * cpu));
}

void trap_init(void)
{
	for (int i = 0; i < 256; i++)
		trap_stub_restore(i);
	trap_cpu_init(0);
}

void trap_hook_set(int vector, trap_hook fn)
{
	hooks[vector] = fn;
}

static void record(struct frame *f)
{
	caught.vector = f->vector;
	caught.error = f->error;
	caught.ip = f->ip;
	caught.cs = f->cs;
	caught.flags = f->flags;
	caught.cr2 = read_cr2();
#ifndef __x86_64__
	if (!(f->cs & 3) && !(f->flags & FL_VM)) {
		/* no stack switch: no sp and ss in the frame */
		caught.sp = caught.frame_top = (ulong)&f->sp;
		caught.ss = SEL_DATA;
		memcpy(&caught.regs, f, offsetof(struct frame, sp));
		return;
	}
#endif
	caught.sp = f->sp;
	caught.ss = f->ss;
	caught.frame_top = (ulong)(&f->ss + 1);
	caught.regs = *f;
}

static _Noreturn void unexpected(struct frame *f)
{
	put("FAILED unexpected trap ");
	put_hex(f->vector);
	put(" error ");
	put_hex(f->error);
	put(" at ");
	put_hex(f->cs);
	put(":");
	put_hex(f->ip);
	put(" cr2 ");
	put_hex(read_cr2());
	put("\n");
	fail("the guest stopped there");
}

/* What caused the trap may have left segments that cannot be used. */
static void use_flat(struct frame *f)
{
	f->cs = SEL_CODE;
#ifndef __x86_64__
	f->ds = f->es = SEL_DATA;
	if (f->vector == TS || f->vector == NP)
		f->fs = f->gs = 0;
#endif
}

void trap(struct frame *f)
{
	bool user = (f->cs & 3) || f->flags & FL_VM;

	if (hooks[f->vector & 0xff]) {
		hooks[f->vector & 0xff](f);
		return;
	}
	if (f->vector == 0x80 && user)
		user_leave(f->ax);
	record(f);
	if (catch_next) {
		f->ip = catch_next;
		if (!user)
			use_flat(f);
		f->flags &= ~(ulong)(FL_TF | FL_RF);
		catch_next = 0;
		return;
	}
	if (user)
		user_leave(-1UL);
	unexpected(f);
}

ulong user_call_flags(ulong (*fn)(ulong), ulong arg, ulong flags)
{
	ulong *sp = (ulong *)(user_stack + sizeof(user_stack));

#ifndef __x86_64__
	sp -= 3;
	*--sp = arg;
#endif
	*--sp = (ulong)user_exit;
	caught.vector = NONE;
	return user_enter((ulong)fn, arg, (ulong)sp, flags, SEL_USER_CODE,
			  SEL_USER_DATA);
}

ulong user_call(ulong (*fn)(ulong), ulong arg)
{
	return user_call_flags(fn, arg, 2);
}

void check_vector(const char *what, u32 vector, u64 error)
{
	if (check(what, caught.vector, vector) && vector != NONE)
		check(what, caught.error, error);
}

void check_trap(const char *what, u32 vector, u64 error)
{
	check_vector(what, vector, error);
	if (vector != NONE && caught.vector == vector)
		check(what, caught.ip, catch_ip);
}

void check_no_trap(const char *what)
{
	check(what, caught.vector, NONE);
}

void check_pf(const char *what, u64 error, u64 address)
{
	check_trap(what, PF, error);
	if (caught.vector == PF)
		check(what, caught.cr2, address);
}
