/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the instruction decoder and the execution of what it decodes. The
 * first byte picks the processor's mode, the next 32 seed registers, the
 * rest is code. The length must be the one that Zydis finds, however the
 * bytes are cut; one step of the instruction must leave the process alive
 * and the state loadable.
 */
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "engine/soft/native.h"
#include "fuzz_decode.h"
#include "vm/vm.h"
#include "x86/cpu.h"
#include "x86/fpu.h"
#include "x86/insn.h"

#define RAM_SIZE  0x200000u
#define CODE_AT	  0x1000u
#define TABLE_TOP 0x3000u
#define TABLE_MID 0x4000u
#define TABLE_LOW 0x5000u
#define SEED_SIZE 32u

struct mode {
	ZydisMachineMode machine;
	ZydisStackWidth stack;
	uint64_t cr0, efer, rflags;
	uint16_t code; /* attributes of CS */
	uint16_t dpl;
};

#define PAGED (X86_CR0_PE | X86_CR0_PG)
#define LONG  (X86_EFER_LME | X86_EFER_LMA)

static const struct mode modes[] = {
	{ ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64, PAGED, LONG, 0,
	  X86_ATTR_L, 3 },
	{ ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64, PAGED, LONG, 0,
	  X86_ATTR_L, 0 },
	{ ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32, PAGED, LONG,
	  0, X86_ATTR_DB, 3 },
	{ ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_32, PAGED, LONG,
	  0, 0, 3 },
	{ ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32, X86_CR0_PE, 0, 0,
	  X86_ATTR_DB, 0 },
	{ ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_32, X86_CR0_PE, 0, 0,
	  0, 0 },
	{ ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16, 0, 0, 0, 0, 0 },
	{ ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16, X86_CR0_PE, 0,
	  X86_FLAG_VM, 0, 3 },
};

#define MODE_COUNT (sizeof(modes) / sizeof(modes[0]))

static struct vm vm;
static struct cpuid_policy policy;
static struct x86_cpu *cpu;

static void store64(uint64_t at, uint64_t v)
{
	memory_load(&vm.memory, gpa(at), &v, sizeof(v));
}

void fuzz_decode_open(void)
{
	vm_init(&vm, "fuzz");
	if (memory_init(&vm.memory, RAM_SIZE, 0) ||
	    memory_add(&vm.memory, MEMORY_RAM, gpa(0), RAM_SIZE, "ram"))
		abort();
	cpuid_policy_init(&policy, 1, 1 << 20);
	cpu = x86_cpu_create(&vm, 0, &policy);
	if (!cpu || native_open(cpu))
		abort();
}

void fuzz_decode_close(void)
{
	native_close(cpu);
	x86_cpu_destroy(cpu);
	vm_fini(&vm);
}

static void set_segments(struct x86_state *s, const struct mode *m)
{
	const uint16_t attr = X86_ATTR_S | X86_ATTR_P |
			      (uint16_t)(m->dpl << X86_ATTR_DPL_SHIFT);
	const bool real = !(m->cr0 & X86_CR0_PE) || m->rflags & X86_FLAG_VM;
	unsigned int i;

	for (i = 0; i < 6; i++)
		s->seg[i] = (struct x86_segment){
			.limit = real ? 0xffff : UINT32_MAX,
			.attr = attr | X86_TYPE_WRITE | X86_TYPE_ACCESSED |
				(real ? 0 : X86_ATTR_DB),
		};
	s->seg[X86_CS].attr = attr | X86_TYPE_CODE | X86_TYPE_WRITE |
			      X86_TYPE_ACCESSED | m->code;
	if (real)
		s->seg[X86_CS].attr &= (uint16_t)~X86_TYPE_CODE;
}

/* One 2 MiB page maps everything, at linear 0. */
static void set_tables(void)
{
	store64(TABLE_TOP, TABLE_MID | 7);
	store64(TABLE_MID, TABLE_LOW | 7);
	store64(TABLE_LOW, 0x87);
}

static void set_state(const struct mode *m, const uint8_t *seed)
{
	struct x86_state *s = &cpu->state;
	unsigned int i;

	x86_cpu_reset(cpu);
	s->cr0 = m->cr0 | X86_CR0_NE | X86_CR0_ET;
	s->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT |
		 X86_CR4_OSXSAVE;
	s->cr3 = TABLE_TOP;
	s->efer = m->efer | X86_EFER_SCE;
	s->xcr0 = policy.xcr0;
	s->rflags = m->rflags | X86_FLAG_1 | (seed[0] & 0xd5);
	s->rip = CODE_AT;
	set_segments(s, m);
	for (i = 0; i < 16; i++)
		s->gpr[i] = (uint64_t)seed[i] << (seed[16 + i] & 15);
	memcpy(s->xsave + FPU_ST, seed, 16);
	memcpy(s->xsave + FPU_XMM, seed, SEED_SIZE);
	memcpy(s->xsave + X86_XSAVE_YMM, seed, SEED_SIZE);
	x86_cpu_state_changed(cpu);
}

/* The length by Zydis; 0 when it refuses the bytes. */
static unsigned int zydis_length(const struct mode *m, const uint8_t *code)
{
	ZydisDecodedInstruction zi;
	ZydisDecoder decoder;

	ZydisDecoderInit(&decoder, m->machine, m->stack);
	if (ZYAN_FAILED(ZydisDecoderDecodeInstruction(&decoder, NULL, code,
						      X86_INSN_MAX, &zi)))
		return 0;
	/* Encodings that are not offered, and need not be measured. */
	if (zi.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	    zi.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX &&
	    zi.encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX)
		return 0;
	switch (zi.meta.isa_set) {
	case ZYDIS_ISA_SET_SSE4A:
	case ZYDIS_ISA_SET_KNCE: /* a coprocessor's use of VEX */
	case ZYDIS_ISA_SET_KNCJKBR:
	case ZYDIS_ISA_SET_KNCSTREAM:
	case ZYDIS_ISA_SET_KNCV:
	case ZYDIS_ISA_SET_KNC_MISC:
	case ZYDIS_ISA_SET_KNC_PF_HINT:
		return 0;
	default:
		return zi.length;
	}
}

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_decode(const struct mode *m, const uint8_t *code)
{
	unsigned int expected = zydis_length(m, code), i;
	struct x86_insn whole, cut;
	int length = x86_decode(&whole, code, X86_INSN_MAX, cpu->mode);

	check(length <= X86_INSN_MAX);
	check(!expected || length == (int)expected);
	for (i = 0; length > 0 && i <= X86_INSN_MAX; i++) {
		uint8_t bytes[X86_INSN_MAX] = { 0 };
		int got;

		memcpy(bytes, code, i);
		got = x86_decode(&cut, bytes, i, cpu->mode);
		check(got == ((int)i < length ? 0 : length));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t code[2 * X86_INSN_MAX] = { 0 };
	const struct mode *m;

	if (size < 1 + SEED_SIZE + 1)
		return 0;
	if (!cpu)
		fuzz_decode_open();
	m = &modes[data[0] % MODE_COUNT];
	size -= 1 + SEED_SIZE;
	memcpy(code, data + 1 + SEED_SIZE,
	       size < sizeof(code) ? size : sizeof(code));
	set_tables();
	set_state(m, data + 1);
	check_decode(m, code);
	memory_load(&vm.memory, gpa(CODE_AT), code, sizeof(code));
	x86_step(cpu);
	check(!(fpu_get32(&cpu->state, FPU_MXCSR) & ~FPU_MXCSR_USED));
	return 0;
}
