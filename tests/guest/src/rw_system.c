/* SPDX-License-Identifier: Apache-2.0
 *
 * Hot system calls and interrupt flags: SYSCALL and SYSRET under changing
 * masks, flags and enables, traps that SYSRET sets off, STI's shadow with and
 * without a waiting interrupt, STAC and CLAC, SWAPGS, RDTSC and CR4.TSD, RDPKRU
 * and CR4.PKE, PUSH from memory.
 */
#include "chips.h"
#include "map.h"

u64 sc_r11, sc_flags, sc_rsp, sc_stack[64];

asm(".globl sc_entry\nsc_entry:\n"
    "	mov %r11, sc_r11; mov %rsp, sc_rsp\n"
    "	lea sc_stack + 512(%rip), %rsp\n"
    "	pushfq; popq sc_flags\n"
    "	mov sc_rsp, %rsp\n"
    "	lea 1(%rdi), %rax\n"
    "	or %r12, %r11\n"
    "	sysretq\n");
extern u8 sc_entry[];

/* Sets CF, DF and ZF, calls, and gives the flags behind it, shifted, too. */
static __user ulong user_syscall(ulong or_flags)
{
	ulong r, fl;

	asm volatile("mov %2, %%r12; mov $41, %%edi; xor %%eax, %%eax\n"
		     "stc; std\n"
		     ".globl at_syscall\nat_syscall: syscall\n"
		     ".globl after_syscall\nafter_syscall:\n"
		     "pushfq; pop %1; cld"
		     : "=a"(r), "=&r"(fl)
		     : "r"(or_flags)
		     : "rcx", "rdi", "r11", "r12", "memory", "cc");
	return r | fl << 32;
}
extern u8 at_syscall[], after_syscall[];

static volatile u32 traps;
static volatile ulong trap_ip;

static void step(struct frame *f)
{
	traps++;
	trap_ip = f->ip;
	f->flags &= ~(ulong)FL_TF;
	write_dr6(0xffff0ff0);
}

static void system_calls(void)
{
	const ulong set = FL_CF | FL_DF | FL_ZF, mask = FL_DF | FL_TF;

	wrmsr(MSR_STAR, (u64)0x18 << 48 | (u64)SEL_CODE << 32);
	wrmsr(MSR_LSTAR, (ulong)sc_entry);
	trap_hook_set(DB, step);
	for (u32 i = 0; i < 900; i++) {
		ulong more = i % 3 ? 0 : FL_OF | FL_SF, r;
		ulong off = mask | (i & 1 ? FL_CF | FL_ZF : 0);
		bool trap = i > 600 && i % 50 == 0;

		wrmsr(MSR_SFMASK, off);
		traps = 0;
		r = user_call(user_syscall, more | (trap ? FL_TF : 0));
		check_no_trap("system call");
		check("RAX", r & 0xff, 42);
		check("R11", sc_r11 & (set | FL_OF), set);
		if (!tcg_differs("drops CF in SYSCALL"))
			check("flags there", sc_flags & set, set & ~off);
		check("flags back", r >> 32 & (set | FL_OF | FL_SF),
		      set | more);
		check("single steps", traps, trap);
		if (trap)
			check("where", trap_ip, (ulong)after_syscall);
	}
	trap_hook_set(DB, NULL);
	for (u32 i = 0; i < 3; i++) {
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~1ULL);
		user_call(user_syscall, 0);
		check_vector("hot SYSCALL without SCE", UD, 0);
		check("its RIP", caught.ip, (ulong)at_syscall);
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 1);
		check("SCE again", user_call(user_syscall, 0) & 0xff, 42);
	}
}

/* --- the interrupt flag --------------------------------------------------- */

static volatile u32 count;
static volatile ulong last_ip;

static void interrupt(struct frame *f)
{
	count++;
	last_ip = f->ip;
	lapic_eoi();
}

static void pend(void)
{
	lapic_write(LAPIC_ICR, 0x40000 | 0x40);
	while (!lapic_bit(LAPIC_IRR, 0x40))
		pause();
}

extern u8 hot_sti[], hot_hlt[];

static __attribute__((noinline)) void sti_nop(void)
{
	asm volatile("cmp $1, %%eax; sti; nop\n"
		     ".globl hot_sti\nhot_sti: nop; nop; cli; nop" ::: "cc");
}

static __attribute__((noinline)) void sti_cli(void)
{
	asm volatile("sti; cli; nop");
}

static __attribute__((noinline)) void sti_hlt(void)
{
	asm volatile("sti; hlt\n.globl hot_hlt\nhot_hlt: nop; cli");
}

static void interrupts(void)
{
	lapic_init();
	trap_hook_set(0x40, interrupt);
	for (u32 i = 0; i < 1200; i++) {
		bool waits = i % 7 == 0;

		count = 0;
		if (waits)
			pend();
		sti_cli();
		check("STI; CLI", count, 0);
		sti_nop();
		check("STI; NOP, interrupts", count, waits);
		if (waits)
			check("behind the NOP", last_ip, (ulong)hot_sti);
		if (i % 3)
			continue;
		count = 0;
		pend();
		sti_hlt();
		check("STI; HLT, interrupts", count, 1);
		check("behind HLT", last_ip, (ulong)hot_hlt);
	}
}

/* --- the others -------------------------------------------------------------- */

static u8 target[4096] __page;

static __attribute__((noinline)) u32 user_read(u64 va)
{
	u32 v;

	asm volatile("stc; stac; adc $4, %1; mov -5(%1), %0; clac"
		     : "=r"(v), "+r"(va)::"memory", "cc");
	return v;
}

static void access_control(void)
{
	u64 va = MAP_BASE;

	if (!(cpuid(7, 0).b >> 20 & 1))
		return;
	map_page(va, 1, (ulong)target | PTE_P | PTE_W | PTE_U);
	write_cr4(read_cr4() | 1UL << 21);
	for (u32 i = 0; i < 800; i++) {
		*(volatile u32 *)(target + i) = i * 77;
		check("between STAC and CLAC", user_read(va + i), i * 77);
		check("AC", read_flags() & FL_AC, 0);
		if (i % 40)
			continue;
		CATCH("mov (%0), %%eax", ::"r"(va) : "rax", "memory");
		check_pf("without", PFE_P, va);
	}
	write_cr4(read_cr4() & ~(1UL << 21));
	for (u32 i = 0; i < 10; i++) {
		asm volatile("stac" ::: "memory");
		check("AC without SMAP", read_flags() & FL_AC, FL_AC);
		asm volatile("clac" ::: "memory");
		check("and off", read_flags() & FL_AC, 0);
	}
}

static void swap(void)
{
	wrmsr(0xc0000101, 0x1000);
	wrmsr(0xc0000102, 0x2000);
	for (u32 i = 0; i < 600; i++) {
		asm volatile("swapgs" ::: "memory");
		if (i % 10)
			continue;
		check("GS base", rdmsr(0xc0000101), i & 1 ? 0x1000 : 0x2000);
		check("the other", rdmsr(0xc0000102), i & 1 ? 0x2000 : 0x1000);
	}
	wrmsr(0xc0000101, 0);
	wrmsr(0xc0000102, 0);
}

static __user ulong user_clock(ulong n)
{
	ulong low, high, last = 0, now;

	while (n--) {
		asm volatile("rdtsc" : "=a"(low), "=d"(high));
		now = low | high << 32;
		if (now < last || low >> 32 || high >> 32)
			return 1;
		last = now;
	}
	return 0;
}

static void clocks(void)
{
	for (u32 i = 0; i < 20; i++) {
		check("the clock in ring 3", user_call(user_clock, 300), 0);
		check_no_trap("RDTSC");
		write_cr4(read_cr4() | 4);
		check("hot RDTSC with TSD", user_call(user_clock, 300), ~0UL);
		check_vector("RDTSC with TSD", GP, 0);
		write_cr4(read_cr4() & ~4UL);
	}
}

/* Sums of what it gives, high halves and all; for both rings. */
static __user ulong user_keys(ulong rcx)
{
	ulong sum = 0, low, high;

	for (u32 i = 0; i < 300; i++) {
		asm volatile("mov $-1, %%rax; mov $-1, %%rdx; stc\n\t"
			     ".globl at_rdpkru\nat_rdpkru: rdpkru"
			     : "=a"(low), "=d"(high)
			     : "c"(rcx)
			     : "memory", "cc");
		sum += low + high;
	}
	return sum;
}
extern u8 at_rdpkru[];

static void keys(void)
{
	if (!(cpuid(7, 0).c >> 3 & 1))
		return;
	write_cr4(read_cr4() | 1UL << 22);
	for (u32 i = 0; i < 20; i++) {
		u32 v = 0x54545450 + i * 0x1000004;

		asm volatile("wrpkru" ::"a"(v), "c"(0), "d"(0) : "memory");
		check("PKRU", user_keys(1UL << 32), 300UL * v);
		check("PKRU in ring 3", user_call(user_keys, 0), 300UL * v);
		check_no_trap("RDPKRU");
		user_call(user_keys, 1);
		check_vector("hot RDPKRU with RCX", GP, 0);
		check("its RIP", caught.ip, (ulong)at_rdpkru);
		write_cr4(read_cr4() & ~(1UL << 22));
		user_call(user_keys, 0);
		check_vector("hot RDPKRU without PKE", UD, 0);
		write_cr4(read_cr4() | 1UL << 22);
	}
	write_cr4(read_cr4() & ~(1UL << 22));
}

static void pushes(void)
{
	static volatile u64 word;
	u64 got, top;

	for (u32 i = 0; i < 600; i++) {
		word = i * 0x123456789abcULL;
		asm volatile("push %2; push (%%rsp); pop %0; pop %1"
			     : "=&r"(got), "=&r"(top)
			     : "m"(word)
			     : "memory");
		check("pushed from memory", got, word);
		check("pushed again", top, word);
	}
}

void guest_main(void)
{
	system_calls();
	interrupts();
	access_control();
	swap();
	clocks();
	keys();
	pushes();
}
