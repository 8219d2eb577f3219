/* SPDX-License-Identifier: Apache-2.0
 *
 * Vector, x87 and MMX registers of two tasks that the timer switches while
 * they compute in hot loops: with FXSAVE at each switch, with XSAVE, and
 * lazily by #NM. Then a task of ring 3 whose registers the kernel uses
 * between; then hot instructions with exceptions masked and not. Intel SDM
 * vol. 3A sections 2.5 and 13.4; vol. 1 sections 8.5 and 11.5.
 */
#include "chips.h"

enum { CR0_TS = 8, SWITCHES = 60, HOT = 1000, CALL = 0x81 };
enum way { FXSAVE, XSAVE, LAZY };

struct task {
	struct frame regs;
	u8 fpu[1024] __attribute__((aligned(64)));
	/* what the loop ends with */
	u64 rounds, low, high, rounded, stack;
	u64 step;
	u32 mxcsr;
	volatile bool over;
};

static struct task tasks[2] = {
	{ .step = 3, .mxcsr = 0x1f80 | 2 << 13 }, /* up: 2.5 is 3 */
	{ .step = 5, .mxcsr = 0x1f80 | 1 << 13 }, /* down: 2 */
};
static struct task *now = tasks, *owner = tasks;
static enum way way;
static volatile u32 switches, stop;
static u8 stack[8192] __attribute__((aligned(16)));
static u64 half_bits = 0x4004000000000000;

static void fpu_out(struct task *t)
{
	if (way == XSAVE)
		asm volatile("xsave64 (%0)" ::"r"(t->fpu), "a"(7), "d"(0)
			     : "memory");
	else
		asm volatile("fxsave64 (%0)" ::"r"(t->fpu) : "memory");
}

static void fpu_in(struct task *t)
{
	if (way == XSAVE)
		asm volatile("xrstor64 (%0)" ::"r"(t->fpu), "a"(7), "d"(0)
			     : "memory");
	else
		asm volatile("fxrstor64 (%0)" ::"r"(t->fpu) : "memory");
}

static void timer(struct frame *f)
{
	struct task *next = now == tasks ? tasks + 1 : tasks;

	lapic_eoi();
	switches++;
	if (switches >= SWITCHES)
		stop = 1;
	now->regs = *f;
	*f = next->regs;
	if (way == LAZY) {
		write_cr0(read_cr0() | CR0_TS);
	} else {
		fpu_out(now);
		fpu_in(next);
	}
	now = next;
}

static void not_available(struct frame *f)
{
	asm volatile("clts");
	if (owner != now) {
		fpu_out(owner);
		fpu_in(now);
	}
	owner = now;
}

#define LOOP(add)                                                   \
	asm volatile("ldmxcsr %[mxcsr]\n\t"                         \
		     "movq %[step], %%xmm1\n\t"                     \
		     "movq %[step], %%xmm14\n\t"                    \
		     "pxor %%xmm0, %%xmm0\n\t"                      \
		     "pxor %%xmm15, %%xmm15\n\t"                    \
		     "movq %[half], %%xmm2\n\t"                     \
		     "xor %[n], %[n]\n\t"                           \
		     "xor %[rounded], %[rounded]\n"                 \
		     "1:\tinc %[n]\n\t"                             \
		     "paddq %%xmm1, %%xmm0\n\t" add "\n\t"          \
		     "cvtsd2si %%xmm2, %%rdx\n\t"                   \
		     "add %%rdx, %[rounded]\n\t"                    \
		     "paddq %%xmm14, %%xmm15\n\t"                   \
		     "cmpl $0, stop\n\t"                            \
		     "je 1b\n\t"                                    \
		     "movq %%xmm0, %[low]\n\t"                      \
		     "movq %%xmm15, %[high]"                        \
		     : [n] "=&r"(n), [rounded] "=&r"(rounded),      \
		       [low] "=m"(t->low), [high] "=m"(t->high)     \
		     : [step] "m"(t->step), [mxcsr] "m"(t->mxcsr),  \
		       [half] "m"(half_bits)                        \
		     : "rdx", "memory")

/* The first: x87. Two values on its stack, one added to the other. */
static void run_x87(struct task *t)
{
	u64 n, rounded;

	asm volatile("fninit; fildll %0; fldz" ::"m"(t->step));
	LOOP("fadd %%st(1), %%st");
	asm volatile("fistpll %0; fstp %%st" : "=m"(t->stack));
	t->rounds = n;
	t->rounded = rounded;
	t->over = true;
}

/* The second: MMX, eight counters of 16 bits in mm7. */
static void run_mmx(struct task *t)
{
	u64 n, rounded;

	asm volatile("fninit; movq %0, %%mm3; pxor %%mm7, %%mm7"
		     ::"m"(t->step));
	LOOP("paddq %%mm3, %%mm7");
	asm volatile("movq %%mm7, %0; emms" : "=m"(t->stack));
	t->rounds = n;
	t->rounded = rounded;
	t->over = true;
}

static void second(void)
{
	run_mmx(&tasks[1]);
	for (;;)
		pause();
}

static void check_task(const char *name, const struct task *t, u32 rounded)
{
	put(name);
	put("\n");
	check("XMM0", t->low, t->rounds * t->step);
	check("XMM15", t->high, t->rounds * t->step);
	check("MXCSR's rounding", t->rounded, t->rounds * rounded);
	check("x87 or MMX", t->stack, t->rounds * t->step);
}

static void two_tasks(enum way w)
{
	way = w;
	switches = stop = 0;
	now = owner = tasks;
	tasks[0].over = tasks[1].over = false;
	memset(&tasks[1].regs, 0, sizeof(tasks[1].regs));
	tasks[1].regs.ip = (ulong)second;
	tasks[1].regs.cs = SEL_CODE;
	tasks[1].regs.ss = SEL_DATA;
	tasks[1].regs.flags = 2 | FL_IF;
	tasks[1].regs.sp = (ulong)stack + sizeof(stack) - 8;
	memset(tasks[1].fpu, 0, sizeof(tasks[1].fpu));
	fpu_out(&tasks[1]);
	lapic_write(LAPIC_LVT_TIMER, 0x20040);
	lapic_write(LAPIC_INIT, 200000);
	irq_on();
	run_x87(&tasks[0]);
	while (!tasks[1].over)
		pause();
	irq_off();
	lapic_write(LAPIC_LVT_TIMER, 0x10040);
	lapic_write(LAPIC_INIT, 0);
	asm volatile("clts");
	check_task("the first", &tasks[0], 3);
	check_task("the second", &tasks[1], 2);
}

/* --- ring 3, and a kernel that uses the registers ------------------------- */

static u8 kernel_area[512] __attribute__((aligned(16)));

static void kernel_call(struct frame *f)
{
	u32 mxcsr = 0x1f80 | 3 << 13;

	asm volatile("fxsave64 %0\n\t"
		     "fninit; fldpi; fldpi\n\t"
		     "pcmpeqd %%xmm0, %%xmm0\n\t"
		     "pcmpeqd %%xmm15, %%xmm15\n\t"
		     "ldmxcsr %1\n\t"
		     "fxrstor64 %0"
		     : "+m"(kernel_area)
		     : "m"(mxcsr));
}

static __user ulong user_sum(ulong n)
{
	u64 steps[2] = { 1, 0 };
	u64 sum;

	asm volatile("fninit; fld1; fldz\n\t"
		     "movq %2, %%xmm15\n\t"
		     "pxor %%xmm0, %%xmm0\n"
		     "1:\tpaddq %%xmm15, %%xmm0\n\t"
		     "fadd %%st(1), %%st\n\t"
		     "int $0x81\n\t"
		     "paddq %%xmm15, %%xmm0\n\t"
		     "dec %0\n\t"
		     "jnz 1b\n\t"
		     "fistpll %1\n\t"
		     "fstp %%st\n\t"
		     "movq %%xmm0, %0"
		     : "+r"(n), "=m"(steps[1])
		     : "m"(steps[0]));
	sum = steps[1];
	return n << 32 | sum;
}

/* --- exceptions ---------------------------------------------------------- */

/* The same instruction, hot, divides by zero with that masked and not. */
static void divide_sse(u32 mxcsr, bool traps)
{
	const u32 quiet = 0x1f80;

	for (int i = 0; i < HOT; i++) {
		bool last = traps && i == HOT - 1;

		asm volatile("ldmxcsr %0\n\t"
			     "movq %1, %%xmm3\n\t"
			     "pxor %%xmm4, %%xmm4"
			     ::"m"(last ? mxcsr : quiet), "m"(half_bits));
		CATCH("divsd %%xmm4, %%xmm3", ::: "memory");
		if (last)
			check_trap("divsd", XM, 0);
		else if (caught.vector != NONE)
			check_no_trap("divsd, masked");
	}
	asm volatile("ldmxcsr %0" ::"m"(quiet));
}

static void divide_x87(u16 fcw, bool traps)
{
	const u16 quiet = 0x37f;

	for (int i = 0; i < HOT; i++) {
		bool last = traps && i == HOT - 1;

		asm volatile("fninit; fldcw %0; fldz; fld1"
			     ::"m"(last ? fcw : quiet));
		CATCH("fdiv %%st(1), %%st; fwait", ::: "memory");
		if (last)
			check_vector("fdiv", MF, 0);
		else if (caught.vector != NONE)
			check_no_trap("fdiv, masked");
	}
	asm volatile("fninit");
}

void guest_main(void)
{
	write_cr0((read_cr0() & ~(ulong)CR0_TS) | 0x22); /* MP, NE */
	lapic_init();
	lapic_write(LAPIC_DIVIDE, 0xb);
	trap_hook_set(0x40, timer);
	trap_hook_set(NM, not_available);
	two_tasks(FXSAVE);
	two_tasks(LAZY);
	if (cpuid(1, 0).c >> 26 & 1) {
		write_cr4(read_cr4() | 1UL << 18);
		asm volatile("xsetbv" ::"c"(0), "a"(cpuid(13, 0).a & 7),
			     "d"(0));
		two_tasks(XSAVE);
	}

	trap_hook_set(CALL, kernel_call);
	idt_set(CALL, (ulong)trap_stubs[CALL], SEL_CODE, 0xee, 0);
	check("ring 3", user_call(user_sum, HOT), HOT * 2ULL << 32 | HOT);

	divide_sse(0x1f80, false);
	if (!tcg_differs("does not raise #XM"))
		divide_sse(0x1f80 & ~0x200, true);
	divide_sse(0x1f80, false);
	divide_x87(0x37f, false);
	divide_x87(0x37f & ~4, true);
	divide_x87(0x37f, false);
}
