/* SPDX-License-Identifier: Apache-2.0
 *
 * AVX-512: what XCR0 and CR0.TS keep back, every register through XSAVE,
 * XSAVEC and XSAVES, two tasks whose registers the timer switches while hot
 * loops compute with them, what SSE and AVX instructions leave of ZMM, and
 * masked accesses to pages that are absent. Intel SDM vol. 1 sections 13.5.3
 * and 15.5; vol. 2 sections 2.7.5 and 2.7.11.
 */
#include "chips.h"
#include "map.h"

enum { CR0_TS = 8, ALL = 0xe7, SWITCHES = 60, HOT = 1000, MEMORY = 0x800000 };

static u8 area[4096] __attribute__((aligned(64)));
static u8 in[32][64] __attribute__((aligned(64)));
static u8 out[32][64] __attribute__((aligned(64)));
static u64 k_in[8], k_out[8];

#define EACH(f)                                                          \
	f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11)    \
	f(12) f(13) f(14) f(15) f(16) f(17) f(18) f(19) f(20) f(21)      \
	f(22) f(23) f(24) f(25) f(26) f(27) f(28) f(29) f(30) f(31)
#define EACH_K(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7)
#define LOAD(n)	  "vmovdqu64 64*" #n "(%0), %%zmm" #n "\n\t"
#define STORE(n)  "vmovdqu64 %%zmm" #n ", 64*" #n "(%0)\n\t"
#define LOAD_K(n) "kmovq 8*" #n "(%1), %%k" #n "\n\t"
#define STORE_K(n) "kmovq %%k" #n ", 8*" #n "(%1)\n\t"

static void load_all(void)
{
	asm volatile(EACH(LOAD) EACH_K(LOAD_K)::"r"(in), "r"(k_in) : "memory");
}

static void store_all(void)
{
	asm volatile(EACH(STORE) EACH_K(STORE_K)::"r"(out), "r"(k_out)
		     : "memory");
}

static void clear_all(void)
{
#define CLEAR(n) "vpternlogd $0xff, %%zmm" #n ", %%zmm" #n ", %%zmm" #n "\n\t"
#define CLEAR_K(n) "kxnorq %%k" #n ", %%k" #n ", %%k" #n "\n\t"
	asm volatile(EACH(CLEAR) EACH_K(CLEAR_K)::: "memory");
}

static void check_all(const char *what)
{
	store_all();
	put(what);
	put("\n");
	check("ZMM", (u64)memcmp(in, out, sizeof(in)), 0);
	check("opmasks", (u64)memcmp(k_in, k_out, sizeof(k_in)), 0);
}

static void round_trips(void)
{
	u32 more = cpuid(13, 1).a;

	for (u32 i = 0; i < sizeof(in); i++)
		in[i / 64][i % 64] = (u8)(i * 7 + i / 64);
	for (u32 i = 0; i < 8; i++)
		k_in[i] = 0x0123456789abcdef * (i + 1);
	load_all();
	asm volatile("xsave64 (%0)" ::"r"(area), "a"(ALL), "d"(0) : "memory");
	check("XSTATE_BV", *(u64 *)(area + 512), ALL);
	clear_all();
	asm volatile("xrstor64 (%0)" ::"r"(area), "a"(ALL), "d"(0) : "memory");
	check_all("XSAVE");
	if (more & 2) {
		memset(area, 0, sizeof(area));
		asm volatile("xsavec64 (%0)" ::"r"(area), "a"(ALL), "d"(0)
			     : "memory");
		clear_all();
		asm volatile("xrstor64 (%0)" ::"r"(area), "a"(ALL), "d"(0)
			     : "memory");
		check_all("XSAVEC");
	}
	if (more & 8) {
		memset(area, 0, sizeof(area));
		asm volatile("xsaves64 (%0)" ::"r"(area), "a"(ALL), "d"(0)
			     : "memory");
		clear_all();
		asm volatile("xrstors64 (%0)" ::"r"(area), "a"(ALL), "d"(0)
			     : "memory");
		check_all("XSAVES");
	}
	/* The initial state of what AVX-512 has beyond AVX. */
	memset(area + 512, 0, 64);
	asm volatile("xrstor64 (%0)" ::"r"(area), "a"(0xe0), "d"(0)
		     : "memory");
	store_all();
	check("ZMM7, low", (u64)memcmp(in[7], out[7], 32), 0);
	check("ZMM7, high", *(u64 *)(out[7] + 56), 0);
	check("ZMM31", *(u64 *)out[31], 0);
	check("K5", k_out[5], 0);
}

/* --- what keeps an instruction back --------------------------------------- */

static void try(const char *what, u32 evex, u32 opmask, u32 vex)
{
	put(what);
	put("\n");
	CATCH("vpaddd %%zmm1, %%zmm2, %%zmm3", ::: "memory");
	check_trap("VPADDD ZMM", evex, 0);
	CATCH("vpaddd %%xmm17, %%xmm2, %%xmm3", ::: "memory");
	check_trap("VPADDD XMM17", evex, 0);
	CATCH("kxorw %%k1, %%k2, %%k3", ::: "memory");
	check_trap("KXORW", opmask, 0);
	CATCH("vpaddd %%ymm1, %%ymm2, %%ymm3", ::: "memory");
	check_trap("VPADDD YMM", vex, 0);
}

static void xsetbv(u64 v)
{
	CATCH("xsetbv", ::"c"(0), "a"((u32)v), "d"((u32)(v >> 32))
	      : "memory");
}

static void kept_back(void)
{
	try("CR4.OSXSAVE 0", UD, UD, UD);
	write_cr4(read_cr4() | 1UL << 18);
	xsetbv(7);
	try("XCR0 without AVX-512", UD, UD, NONE);
	xsetbv(0x67);
	check_trap("XCR0 without ZMM16-31", GP, 0);
	xsetbv(0xe3);
	check_trap("XCR0 without AVX", GP, 0);
	xsetbv(ALL);
	check_no_trap("XCR0 with AVX-512");
	check("size of all", cpuid(13, 0).b,
	      cpuid(13, 7).b + cpuid(13, 7).a);
	try("XCR0 with AVX-512", NONE, NONE, NONE);
	write_cr0(read_cr0() | CR0_TS);
	try("CR0.TS", NM, NM, NM);
	xsetbv(7);
	try("CR0.TS, XCR0 without AVX-512", UD, UD, NM);
	xsetbv(ALL);
	asm volatile("clts");
}

/* --- two tasks ------------------------------------------------------------ */

struct task {
	struct frame regs;
	u8 fpu[4096] __attribute__((aligned(64)));
	u64 step, rounds;
	u64 low, high, top, opmask, narrow;
	volatile bool over;
};

static struct task tasks[2] = { { .step = 3 }, { .step = 5 } };
static struct task *now;
static volatile u32 switches, stop;
static u8 stack[8192] __attribute__((aligned(16)));

static void timer(struct frame *f)
{
	struct task *next = now == tasks ? tasks + 1 : tasks;

	lapic_eoi();
	switches++;
	if (switches >= SWITCHES)
		stop = 1;
	now->regs = *f;
	*f = next->regs;
	asm volatile("xsave64 (%0)" ::"r"(now->fpu), "a"(ALL), "d"(0)
		     : "memory");
	asm volatile("xrstor64 (%0)" ::"r"(next->fpu), "a"(ALL), "d"(0)
		     : "memory");
	now = next;
}

/* Sums in ZMM0, ZMM31, K3 and, by a VEX instruction that clears what is
 * above, in YMM2. */
static void run(struct task *t)
{
	u64 n;

	asm volatile("vpbroadcastq %[step], %%zmm1\n\t"
		     "vpbroadcastq %[step], %%zmm17\n\t"
		     "kmovq %[step], %%k4\n\t"
		     "kxorq %%k3, %%k3, %%k3\n\t"
		     "vpxor %%xmm0, %%xmm0, %%xmm0\n\t"
		     "vpxorq %%zmm31, %%zmm31, %%zmm31\n\t"
		     "vmovdqa64 %%zmm1, %%zmm2\n\t"
		     "xor %[n], %[n]\n"
		     "1:\tinc %[n]\n\t"
		     "vpaddq %%zmm1, %%zmm0, %%zmm0\n\t"
		     "vpaddq %%ymm1, %%ymm2, %%ymm2\n\t"
		     "vpaddq %%zmm17, %%zmm31, %%zmm31\n\t"
		     "kaddq %%k4, %%k3, %%k3\n\t"
		     "cmpl $0, stop\n\t"
		     "je 1b\n\t"
		     "vmovq %%xmm0, %[low]\n\t"
		     "vextracti64x4 $1, %%zmm0, %%ymm5\n\t"
		     "vextracti128 $1, %%ymm5, %%xmm5\n\t"
		     "vpextrq $1, %%xmm5, %[high]\n\t"
		     "vextracti32x4 $3, %%zmm31, %%xmm31\n\t"
		     "vpextrq $1, %%xmm31, %[top]\n\t"
		     "vextracti32x4 $2, %%zmm2, %%xmm5\n\t"
		     "vmovq %%xmm5, %[narrow]\n\t"
		     "kmovq %%k3, %[opmask]"
		     : [n] "=&r"(n), [low] "=m"(t->low), [high] "=m"(t->high),
		       [top] "=m"(t->top), [narrow] "=m"(t->narrow),
		       [opmask] "=m"(t->opmask)
		     : [step] "m"(t->step)
		     : "memory");
	t->rounds = n;
	t->over = true;
}

static void second(void)
{
	run(&tasks[1]);
	for (;;)
		pause();
}

static void check_task(const char *name, const struct task *t)
{
	put(name);
	put("\n");
	check("ZMM0, lowest", t->low, t->rounds * t->step);
	check("ZMM0, highest", t->high, t->rounds * t->step);
	check("ZMM31", t->top, t->rounds * t->step);
	check("ZMM2 above YMM2", t->narrow, 0);
	check("K3", t->opmask, t->rounds * t->step);
}

static void two_tasks(void)
{
	now = tasks;
	memset(&tasks[1].regs, 0, sizeof(tasks[1].regs));
	tasks[1].regs.ip = (ulong)second;
	tasks[1].regs.cs = SEL_CODE;
	tasks[1].regs.ss = SEL_DATA;
	tasks[1].regs.flags = 2 | FL_IF;
	tasks[1].regs.sp = (ulong)stack + sizeof(stack) - 8;
	asm volatile("xsave64 (%0)" ::"r"(tasks[1].fpu), "a"(ALL), "d"(0)
		     : "memory");
	lapic_init();
	lapic_write(LAPIC_DIVIDE, 0xb);
	trap_hook_set(0x40, timer);
	lapic_write(LAPIC_LVT_TIMER, 0x20040);
	lapic_write(LAPIC_INIT, 200000);
	irq_on();
	run(&tasks[0]);
	while (!tasks[1].over)
		pause();
	irq_off();
	lapic_write(LAPIC_LVT_TIMER, 0x10040);
	lapic_write(LAPIC_INIT, 0);
	check_task("the first", &tasks[0]);
	check_task("the second", &tasks[1]);
}

/* --- memory --------------------------------------------------------------- */

static void store_masked(u64 at, u64 mask)
{
	CATCH("kmovq %1, %%k1; vmovdqu32 %%zmm1, (%0)%{%%k1%}",
	      ::"r"(at), "r"(mask) : "memory");
}

/* Hot, with the operand's second half in a page that is not there. */
static void masked(void)
{
	u64 at = MAP_BASE + 4096 - 32;
	volatile u64 *low = (u64 *)at;
	u64 bad = 0;

	map_page(MAP_BASE, 1, MEMORY | PTE_P | PTE_W);
	map_page(MAP_BASE + 4096, 1, 0);
	for (u64 i = 0; i < HOT; i++) {
		asm volatile("vpbroadcastq %0, %%zmm1" ::"r"(i));
		low[0] = low[3] = ~0ULL;
		store_masked(at, 0xc3);
		bad += caught.vector != NONE || low[0] != i || low[3] != i;
	}
	check("stores that went wrong", bad, 0);
	low[0] = 0;
	store_masked(at, 0x1c3);
	check_vector("an element that is not there", PF, PFE_W);
	check("its address", caught.cr2, MAP_BASE + 4096);
	check("the others", low[0], 0);
}

void guest_main(void)
{
	need(1, 2, 26, "XSAVE");
	need(7, 1, 16, "AVX512F");
	need(7, 1, 17, "AVX512DQ");
	need(7, 1, 30, "AVX512BW");
	need(7, 1, 31, "AVX512VL");
	kept_back();
	round_trips();
	two_tasks();
	masked();
}
