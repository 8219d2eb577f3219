/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine that runs programs of test_rewrite.h block by block: through
 * the interpreter's handlers, or as host code. Exceptions end in a frame on
 * the IST stack with rip at a handler, where the run stops.
 */
#include "test_rewrite.h"

#include <stdlib.h>
#include <string.h>

#include "engine/soft/rewrite_impl.h"
#include "engine/soft/soft.h"
#include "x86/access.h"
#include "x86/event.h"
#include "x86/flags.h"

#define RAM_SIZE 0x100000u
#define ROM_AT	 0x300000u
#define MMIO_AT	 0x400000u
#define GDT	 0x5000u
#define IDT	 0x6000u
#define TSS	 0x7000u
#define PAGE_ALL 0x67u /* present, writable, user, accessed, dirty */
#define RUNS_MAX 4000u

static struct vm vm;
static struct cpuid_policy policy;
static struct x86_cpu *cpu;
static void *vm_engine;
static uint8_t *ram;
static uint32_t program_mode;
static bool drawn; /* the program: what is seldom, is often */

static struct {
	uint8_t byte[PAGE_SIZE];
	uint64_t digest;
} device;

static void digest(uint64_t v)
{
	device.digest = (device.digest ^ v) * 0x9e3779b97f4a7c15u;
	device.digest ^= device.digest >> 29;
}

static uint64_t device_read(void *object, uint64_t offset, unsigned int size)
{
	uint64_t v = 0;

	memcpy(&v, device.byte + offset, size);
	digest(offset << 8 | size);
	return v;
}

static void device_write(void *object, uint64_t offset, unsigned int size,
			 uint64_t value)
{
	memcpy(device.byte + offset, &value, size);
	digest(offset << 8 | size | 0x80);
	digest(value);
}

static const struct bus_ops device_ops = {
	.read = device_read,
	.write = device_write,
};

static void put64(uint64_t address, uint64_t value)
{
	memcpy(ram + address, &value, sizeof(value));
}

static uint64_t data_page(unsigned int n)
{
	const uint64_t ram_page = REWRITE_DATA + n * PAGE_SIZE;

	switch (n) {
	case 2:
		return ram_page | (PAGE_ALL & ~2u);
	case 4:
		return 0;
	case 6:
		return MMIO_AT | PAGE_ALL;
	case 7:
		return ROM_AT | PAGE_ALL;
	case 8:
		return ram_page | (PAGE_ALL & ~4u);
	default:
		return ram_page | PAGE_ALL;
	}
}

static void make_tables(void)
{
	unsigned int i;

	put64(0x1000, 0x2000 | PAGE_ALL);
	put64(0x1000 + 256 * 8, 0x2000 | PAGE_ALL);
	put64(0x1000 + 511 * 8, 0x2000 | PAGE_ALL);
	put64(0x2000, 0x3000 | PAGE_ALL);
	put64(0x2000 + 511 * 8, 0x3000 | PAGE_ALL);
	put64(0x3000, 0x4000 | PAGE_ALL);
	put64(0x3000 + 511 * 8, 0x4000 | PAGE_ALL);
	for (i = 5; i < 10; i++)
		put64(0x4000 + i * 8,
		      i * PAGE_SIZE | (PAGE_ALL & ~6u) |
			      (i == REWRITE_IST / PAGE_SIZE ? 2 : 0));
	for (i = 0; i < REWRITE_CODE_PAGES; i++)
		put64(0x4000 + (REWRITE_CODE / PAGE_SIZE + i) * 8,
		      (REWRITE_CODE + i * PAGE_SIZE) | (PAGE_ALL & ~2u));
	put64(0x4000 + REWRITE_WORDS / PAGE_SIZE * 8,
	      REWRITE_WORDS | PAGE_ALL);
	for (i = 0; i < REWRITE_DATA_PAGES; i++)
		put64(0x4000 + (REWRITE_DATA / PAGE_SIZE + i) * 8,
		      data_page(i));
}

/* 64-bit interrupt gates to their handlers, all on IST 1. */
static void make_gates(void)
{
	put64(GDT + 8, 0x00af9b000000ffff);
	put64(GDT + 16, 0x00cf93000000ffff);
	for (unsigned int v = 0; v < 256; v++) {
		put64(IDT + v * 16, (REWRITE_HANDLERS + v * 16) |
					    0x8e0100080000);
		put64(IDT + v * 16 + 8, 0);
	}
	put64(TSS + 36, REWRITE_IST + PAGE_SIZE);
}

static struct x86_segment flat(uint16_t selector, uint16_t attr)
{
	return (struct x86_segment){
		.limit = UINT32_MAX,
		.selector = selector,
		.attr = attr | X86_ATTR_S | X86_ATTR_P | X86_ATTR_G |
			(selector & 3) << X86_ATTR_DPL_SHIFT,
	};
}

static void enter_long_mode(void)
{
	struct x86_state *s = &cpu->state;

	s->cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_NE | X86_CR0_WP |
		 X86_CR0_PG | X86_CR0_ET;
	s->cr3 = 0x1000;
	s->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT |
		 X86_CR4_OSXSAVE;
	s->efer = X86_EFER_LME | X86_EFER_LMA;
	s->xcr0 = X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX;
	if (policy.avx512)
		s->xcr0 |= X86_XCR0_AVX512;
	s->gdtr = (struct x86_table){ GDT, 0xff };
	s->idtr = (struct x86_table){ IDT, 0xfff };
	s->tr = (struct x86_segment){ .base = TSS, .limit = 0x67,
				      .selector = 0x80, .attr = 0x8b };
	s->activity = X86_RUNNING;
}

void rewrite_machine_open(void)
{
	struct engine_setup setup = { .vm = &vm, .cpuid = &policy };

	vm_init(&vm, "rewrite");
	if (memory_init(&vm.memory, RAM_SIZE, PAGE_SIZE) ||
	    memory_add(&vm.memory, MEMORY_RAM, gpa(0), RAM_SIZE, "ram") ||
	    memory_add(&vm.memory, MEMORY_ROM, gpa(ROM_AT), PAGE_SIZE, "rom") ||
	    bus_add(&vm.mmio, MMIO_AT, PAGE_SIZE, "device", &device_ops, NULL))
		abort();
	cpuid_policy_init(&policy, 1, 1 << 20);
	cpu = x86_cpu_create(&vm, 0, &policy);
	vm.cpu[0] = cpu;
	vm.cpu_count = 1;
	if (!cpu || engine_soft.open(&setup, &vm_engine) ||
	    engine_soft.map_memory(vm_engine) ||
	    engine_soft.cpu_open(vm_engine, cpu) || !host_code_base(cpu))
		abort();
	ram = memory_for_write(&vm.memory, gpa(0), RAM_SIZE);
	make_tables();
	make_gates();
	enter_long_mode();
}

void rewrite_machine_like_host(void)
{
	const uint64_t at = 0x4000 + REWRITE_DATA / PAGE_SIZE * 8;

	put64(0x1000 + 256 * 8, 0);
	put64(0x1000 + 511 * 8, 0);
	put64(0x2000 + 511 * 8, 0);
	put64(0x3000 + 511 * 8, 0);
	for (unsigned int i = 6; i <= 7; i++)
		put64(at + i * 8, (REWRITE_DATA + i * PAGE_SIZE) | PAGE_ALL);
}

void rewrite_machine_close(void)
{
	engine_soft.cpu_close(cpu);
	x86_cpu_destroy(cpu);
	engine_soft.close(vm_engine);
	vm_fini(&vm);
}

void rewrite_machine_stats(uint64_t *blocks, uint64_t *insns)
{
	struct soft_cpu *soft = cpu->engine;

	*blocks = soft->rewriter.blocks;
	*insns = soft->rewriter.insns;
}

static void serve_requests(void)
{
	soft_notice_code(cpu->engine);
	atomic_store(&cpu->request, 0);
}

/*
 * Pages where programs were loaded again and again end their blocks behind
 * each write, and compare them. Takes that from them: soft_vm.page[] counts
 * changes in its low bits.
 */
static void forget_changes(void)
{
	const struct soft_cpu *soft = cpu->engine;

	for (unsigned int i = 0; i < REWRITE_CODE_PAGES; i++) {
		_Atomic uint64_t *state =
			&soft->soft->page[REWRITE_CODE / PAGE_SIZE + i];

		atomic_store(state, (atomic_load(state) + 1) & 0xffffffffff);
	}
}

void rewrite_machine_load(const struct program *p)
{
	for (unsigned int i = 0; i < p->count; i++)
		memcpy(ram + p->piece[i].at, p->piece[i].bytes,
		       p->piece[i].length);
	memory_note_write(&vm.memory, gpa(REWRITE_CODE),
			  REWRITE_CODE_PAGES * PAGE_SIZE);
	serve_requests();
	if (p->seed / 8 % 4)
		forget_changes();
}

static uint8_t *seen_page(unsigned int n)
{
	if (n == 0)
		return ram + REWRITE_IST;
	if (n == 1)
		return ram + REWRITE_WORDS;
	return ram + REWRITE_DATA + (n - 2) * PAGE_SIZE;
}

static void fill(uint8_t *to, size_t size)
{
	for (size_t i = 0; i < size; i += 8) {
		uint64_t v = random64();

		memcpy(to + i, &v, 8);
	}
}

static uint32_t draw_mxcsr(void)
{
	uint32_t v = (uint32_t)random64() & 0xffff;

	return random_below(16) ? v | 0x1f80 : v;
}

static uint16_t draw_fcw(void)
{
	uint16_t v = random64() & 0xf3f;

	return (random_below(16) ? v | 0x3f : v) | 0x40;
}

bool rewrite_machine_avx512(void)
{
	return policy.avx512;
}

/* What of AVX-512 is beyond YMM: nothing, opmasks, or all of it. */
static void start_upper(struct x86_state *s, unsigned int how_much)
{
	memset(s->xsave + X86_XSAVE_OPMASK, 0,
	       X86_XSAVE_PKRU - X86_XSAVE_OPMASK);
	cpu->upper = policy.avx512 && how_much;
	if (!cpu->upper)
		return;
	fill(s->xsave + X86_XSAVE_OPMASK, 64);
	if (how_much > 1)
		fill(s->xsave + X86_XSAVE_ZMM_HI256, 512 + 1024);
}

/* x87 with anything in its registers, no exception pending; some programs
 * start with vectors and x87 as they are after a reset. */
static void start_registers(struct x86_state *s, bool plain)
{
	uint16_t fcw = plain ? 0x37f : draw_fcw();
	uint32_t mxcsr = plain ? 0x1f80 : draw_mxcsr(), mask = 0xffff;
	unsigned int i;

	memset(s->xsave, 0, 32);
	memcpy(s->xsave, &fcw, 2);
	memcpy(s->xsave + 24, &mxcsr, 4);
	memcpy(s->xsave + 28, &mask, 4);
	if (plain) {
		memset(s->xsave + 32, 0, 128);
		memset(s->xsave + X86_XSAVE_YMM, 0, 256);
		return;
	}
	s->xsave[3] = random64() & 0x7f;
	s->xsave[4] = (uint8_t)random64();
	for (i = 0; i < 8; i++) {
		uint16_t exponent = (uint16_t)(0x3fff - 16 + random_below(32));

		if (random_below(8) == 0)
			exponent = (uint16_t)random64();
		memset(s->xsave + 32 + i * 16, 0, 16);
		fill(s->xsave + 32 + i * 16, 8);
		s->xsave[39 + i * 16] |= 0x80;
		memcpy(s->xsave + 40 + i * 16, &exponent, 2);
	}
}

/* Memory: random, but the loops' counters and control words. */
static void start(const struct program *p)
{
	struct x86_state *s = &cpu->state;
	uint64_t keep = random_state;

	random_state = p->seed;
	for (unsigned int i = 0; i < REWRITE_SEEN; i++)
		fill(seen_page(i), PAGE_SIZE);
	for (unsigned int i = 0; i < 8; i++)
		put64(REWRITE_WORDS + i * 8,
		      1 + random_below(random_below(4) ? 5 : 60));
	fill(device.byte, sizeof(device.byte));
	device.digest = 0;
	fill(s->xsave + 160, 256);
	fill(s->xsave + X86_XSAVE_YMM, 256);
	start_registers(s, p->seed % 4 == 0);
	start_upper(s, random_below(3));
	for (unsigned int i = 0; i < 16; i++) {
		uint32_t mxcsr = draw_mxcsr();
		uint16_t fcw = draw_fcw();

		memcpy(ram + REWRITE_CONTROL + i * 4, &mxcsr, 4);
		memcpy(ram + REWRITE_CONTROL + 64 + i * 4, &fcw, 2);
	}
	random_state = keep;
	memcpy(s->gpr, p->gpr, sizeof(s->gpr));
	s->rflags = p->rflags | 2;
	s->rip = p->rip - p->seg[X86_CS].base;
	s->cr2 = 0;
}

static struct x86_segment narrow_segment(const struct program *p,
					 unsigned int i, uint16_t selector)
{
	uint16_t attr = p->seg[i].attr;

	if (attr)
		attr |= (selector & 3) << X86_ATTR_DPL_SHIFT;
	return (struct x86_segment){
		.base = p->seg[i].base,
		.limit = p->seg[i].limit,
		.selector = selector,
		.attr = attr,
	};
}

static void start_mode(const struct program *p)
{
	struct x86_state *s = &cpu->state;
	uint16_t data = p->user ? 0x23 : 0x10;

	for (unsigned int i = 0; i < 6; i++)
		s->seg[i] = flat(data, 3 | X86_ATTR_DB);
	s->seg[X86_CS] = flat(p->user ? 0x2b : 8, 0xb | X86_ATTR_L);
	s->seg[X86_FS].base = p->fs;
	s->seg[X86_GS].base = p->gs;
	for (unsigned int i = 0; i < 6 && p->bits && p->bits < 64; i++)
		s->seg[i] = narrow_segment(p, i, s->seg[i].selector);
	s->cr4 &= ~(uint64_t)X86_CR4_SMAP;
	if (p->smap)
		s->cr4 |= X86_CR4_SMAP;
	cpu->lazy_bits = 0;
	cpu->block_page = UINT64_MAX;
	x86_update_mode(cpu);
	program_mode = cpu->mode;
}

const struct x86_state *rewrite_machine_start(const struct program *p)
{
	start(p);
	start_mode(p);
	return &cpu->state;
}

const uint8_t *rewrite_machine_ram(uint64_t address)
{
	return ram + address;
}

struct x86_cpu *rewrite_machine_cpu(void)
{
	const struct program nothing = { .gpr[X86_RSP] = REWRITE_DATA + 0x800 };

	start(&nothing);
	start_mode(&nothing);
	return cpu;
}

static void interpret(struct soft_cpu *soft, struct block *block)
{
	const struct x86_insn *insn = block->insn;
	enum x86_result r;

	cpu->block_rip = cpu->state.rip;
	cpu->block_page = block->address >> PAGE_SHIFT;
	soft->cache.running = block;
	do {
		r = insn->handler(cpu, insn);
		insn++;
	} while (r == X86_NEXT);
	soft->cache.running = NULL;
	if (r != X86_FAULT)
		return;
	cpu->state.rip = cpu->block_rip + insn[-1].offset;
	if (!(cpu->mode & X86_MODE_CODE64))
		cpu->state.rip = (uint32_t)cpu->state.rip;
	x86_flags(cpu);
	x86_deliver_fault(cpu);
}

/* As if an access had changed pages too often: its block is made anew. */
static void tire(struct soft_cpu *soft)
{
	unsigned int entry = random_below(X86_LAST_SIZE);

	if (!random_below(4))
		atomic_store(&cpu->fast.word[WORD_CHECKS],
			     1 + random_below(4));
	if (random_below(8))
		return;
	soft->rewriter.tired_at = __builtin_ia32_rdtsc();
	atomic_store(&cpu->fast.word[WORD_TIRED],
		     (uintptr_t)&cpu->last.entry[random_below(2)][entry] -
			     (uintptr_t)cpu);
}

static void run_rewritten(struct soft_cpu *soft, struct block *block)
{
	uint64_t of = block_key(&soft->cache, cpu);

	if (!block->code) {
		block = block_keep(&soft->cache, cpu, block);
		if (block && drawn && random_below(2))
			rewrite_want_apart(&soft->rewriter, block);
		if (!block || !rewrite_block(&soft->rewriter, cpu, block)) {
			soft_flush(soft);
			memset(soft->rewriter.hot, 0,
			       sizeof(soft->rewriter.hot));
			return;
		}
		soft_page_is_hot(soft, block);
	}
	rewrite_set_key(&soft->rewriter, cpu, of);
	if (rewrite_run(&soft->rewriter, cpu, block, of) == X86_NEXT)
		interpret(soft, block);
}

static void run_one(struct soft_cpu *soft, enum way way)
{
	struct block *block;

	if (block_find(soft, cpu, &block) == X86_FAULT) {
		x86_flags(cpu);
		x86_deliver_fault(cpu);
		return;
	}
	if (!block)
		x86_step(cpu);
	else if (way == REWRITTEN || (way == MIXED && random_below(2)))
		run_rewritten(soft, block);
	else if (block->rows == BLOCK_ROWS_ALL)
		interpret(soft, block);
	else
		x86_step(cpu);
}

/* Outside the code nothing is run. */
static bool is_over(void)
{
	uint64_t rip = block_linear(cpu);

	return rip - REWRITE_CODE >= REWRITE_CODE_PAGES * PAGE_SIZE ||
	       cpu->state.activity != X86_RUNNING;
}

void rewrite_machine_run(const struct program *p, enum way way, bool cold,
			 struct outcome *out)
{
	struct x86_state *s = &cpu->state;
	unsigned int runs;

	drawn = p->seed >> 63;
	rewrite_machine_start(p);
	if (cold)
		x86_tlb_flush(cpu);
	for (runs = 0; runs < RUNS_MAX && !is_over(); runs++) {
		if (drawn)
			tire(cpu->engine);
		run_one(cpu->engine, way);
		if (atomic_load(&cpu->request))
			serve_requests();
	}
	x86_flags(cpu);
	s->activity = X86_RUNNING;
	out->over = runs < RUNS_MAX;
	memcpy(out->gpr, s->gpr, sizeof(out->gpr));
	out->rflags = s->rflags;
	out->rip = block_linear(cpu);
	out->cr2 = s->cr2;
	out->mmio = device.digest;
	memcpy(out->vector, s->xsave, sizeof(out->vector));
	for (unsigned int i = 0; i < REWRITE_SEEN; i++)
		memcpy(out->page[i], seen_page(i), PAGE_SIZE);
}

static struct rewrite_class classify(const struct piece *piece)
{
	const struct block block = { .mode = program_mode };
	uint32_t mode = cpu->mode;
	struct rewrite_class class;
	struct x86_insn insn;

	x86_decode(&insn, piece->bytes, piece->length, program_mode);
	cpu->mode = program_mode;
	x86_bind(cpu, &insn);
	cpu->mode = mode;
	class = rewrite_classify(&insn, program_mode);
	return class.kind == REWRITE_NOT ? rewrite_vector_class(&block, &insn) :
					   class;
}

uint32_t rewrite_machine_open_flags(const struct program *p, uint64_t rip)
{
	uint32_t live = X86_FLAGS_ARITH;
	unsigned int at, i;

	rip += p->seg[X86_CS].base;
	for (at = 0; at < p->count && p->piece[at].at != rip; at++)
		;
	if (at == p->count || !p->all_live[p->piece[at].block])
		return X86_FLAGS_ARITH;
	for (i = at; i < p->count && p->piece[i].block == p->piece[at].block;
	     i++)
		;
	while (i-- > at) {
		struct rewrite_class class = classify(&p->piece[i]);

		live = (live & ~(uint32_t)class.flags_killed) |
		       class.flags_read;
	}
	return (X86_FLAGS_ARITH & ~live) | p->piece[at].undefined;
}
