/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual processor's life, the mode bits that decoding and execution
 * depend on, and the raising of exceptions. Intel SDM vol. 3, 2.2, 2.5, 9.1.
 */
#include "x86/cpu.h"

#include "x86/access.h"
#include "x86/msr.h"

struct x86_cpu *x86_cpu_create(struct vm *vm, unsigned int id,
			       const struct cpuid_policy *cpuid)
{
	struct x86_cpu *cpu = host_alloc(sizeof(*cpu));

	if (!cpu)
		return NULL;
	cpu->vm = vm;
	cpu->id = id;
	cpu->cpuid = cpuid;
	x86_tlb_init(cpu);
	x86_cpu_reset(cpu);
	return cpu;
}

void x86_cpu_destroy(struct x86_cpu *cpu)
{
	host_free(cpu);
}

void x86_cpu_reset(struct x86_cpu *cpu)
{
	struct x86_state *s = &cpu->state;

	x86_state_reset(s, cpu->id == 0);
	s->gpr[X86_RDX] = cpuid_query(cpu->cpuid, s, cpu->id, 1, 0).eax;
	/* One origin for all processors, so that their counters agree. */
	s->tsc_offset = 0 - cpu->cpuid->tsc_base;
	cpu->fault = (struct x86_fault){ 0 };
	cpu->debug_hits = 0;
	atomic_store(&cpu->request, 0);
	x86_cpu_state_changed(cpu);
	if (cpu->apic.ops)
		cpu->apic.ops->set_base(cpu->apic.object, s->apic_base);
}

void x86_cpu_state_changed(struct x86_cpu *cpu)
{
	cpu->lazy_bits = 0;
	cpu->upper = cpu->cpuid->avx512;
	x86_in_use(cpu);
	x86_update_mode(cpu);
	/* What the guest's tables say now; refused ones count as absent. */
	if (!x86_load_pdptes(cpu, cpu->state.cr3))
		memset(cpu->pdpte, 0, sizeof(cpu->pdpte));
	x86_tlb_flush(cpu);
	atomic_fetch_or(&cpu->request, X86_REQ_INTR);
}

void x86_cpu_request(struct x86_cpu *cpu, uint32_t bits)
{
	uint32_t before = atomic_fetch_or(&cpu->request, bits);

	if (before & bits & X86_REQ_NMI)
		atomic_fetch_or(&cpu->request, X86_REQ_NMI2);
	host_event_set(&cpu->wake);
	if (cpu->kicked)
		cpu->kicked(cpu);
}

static bool flat_segment(const struct x86_segment *seg, uint16_t want,
			 uint16_t mask)
{
	return !seg->base && seg->limit == UINT32_MAX &&
	       (seg->attr & mask) == want;
}

/* No access through CS, SS, DS or ES needs a check (but writes to CS). */
static bool flat(const struct x86_state *s)
{
	const uint16_t data = X86_ATTR_P | X86_ATTR_S | X86_TYPE_WRITE;
	const uint16_t data_mask = data | X86_TYPE_CODE | X86_TYPE_EXPAND;
	const uint16_t code =
		X86_ATTR_P | X86_ATTR_S | X86_TYPE_CODE | X86_TYPE_WRITE;

	return flat_segment(&s->seg[X86_CS], code, code) &&
	       flat_segment(&s->seg[X86_DS], data, data_mask) &&
	       flat_segment(&s->seg[X86_ES], data, data_mask) &&
	       flat_segment(&s->seg[X86_SS], data, data_mask);
}

static void set_reach(struct x86_cpu *cpu, uint32_t mode)
{
	for (unsigned int i = 0; i < 6; i++) {
		const struct x86_segment *s = &cpu->state.seg[i];
		bool code = s->attr & X86_TYPE_CODE;
		bool rw = s->attr & X86_TYPE_WRITE;
		bool prot = mode & X86_MODE_PROT;
		uint64_t reach = s->limit + 1ull;

		if ((prot && !(s->attr & X86_ATTR_P)) ||
		    (!code && s->attr & X86_TYPE_EXPAND))
			reach = 0;
		cpu->reach[i].read = prot && code && !rw ? 0 : reach;
		cpu->reach[i].write = prot && (code || !rw) ? 0 : reach;
	}
}

/* True when DR7 enables a breakpoint on instruction fetch (R/W = 0). */
static bool code_breakpoint(uint64_t dr7)
{
	for (unsigned int i = 0; i < 4; i++)
		if (dr7 >> (2 * i) & 3 && !(dr7 >> (16 + 4 * i) & 3))
			return true;
	return false;
}

static uint32_t mode_of_code(const struct x86_state *s)
{
	uint16_t cs = s->seg[X86_CS].attr;
	uint32_t mode = 0;

	if (s->efer & X86_EFER_LMA) {
		mode |= X86_MODE_LONG;
		if (cs & X86_ATTR_L)
			return mode | X86_MODE_CODE64 | X86_MODE_PROT;
	}
	if (cs & X86_ATTR_DB)
		mode |= X86_MODE_CODE32;
	if (s->seg[X86_SS].attr & X86_ATTR_DB)
		mode |= X86_MODE_STACK32;
	if (s->rflags & X86_FLAG_VM)
		mode |= X86_MODE_VM86;
	else if (s->cr0 & X86_CR0_PE)
		mode |= X86_MODE_PROT;
	if (flat(s))
		mode |= X86_MODE_FLAT;
	return mode;
}

static uint32_t mode_of_vectors(const struct x86_state *s)
{
	uint32_t mode = 0;

	if (s->cr0 & (X86_CR0_EM | X86_CR0_TS))
		mode |= X86_MODE_FPU_OFF;
	else if (s->cr4 & X86_CR4_OSFXSR)
		mode |= X86_MODE_SSE;
	if (!(s->cr4 & X86_CR4_OSXSAVE) || s->cr0 & X86_CR0_TS)
		return mode;
	if (s->xcr0 & X86_XCR0_AVX)
		mode |= X86_MODE_AVX;
	if ((s->xcr0 & X86_XCR0_AVX512) == X86_XCR0_AVX512)
		mode |= X86_MODE_AVX512;
	return mode;
}

/* What x86_load_real_segment() makes of attributes is there already, and no
 * base makes the segments flat ones. */
static bool steady(const struct x86_state *s, uint32_t mode)
{
	const unsigned int kept = X86_ATTR_G | X86_ATTR_DB | X86_ATTR_AVL;
	const unsigned int data = X86_ATTR_P | X86_ATTR_S | X86_TYPE_WRITE |
				  X86_TYPE_ACCESSED;
	unsigned int differ = 0;

	if (mode & (X86_MODE_PROT | X86_MODE_VM86 | X86_MODE_TRACE |
		    X86_MODE_SUPER_AC) ||
	    s->seg[X86_CS].limit == UINT32_MAX)
		return false;
	for (unsigned int i = 0; i < 6; i++)
		differ |= s->seg[i].attr ^
			  (i == X86_CS ? data | X86_TYPE_CODE : data);
	return !(differ & ~kept);
}

void x86_update_mode(struct x86_cpu *cpu)
{
	const struct x86_state *s = &cpu->state;
	uint32_t mode = mode_of_code(s) | mode_of_vectors(s);

	cpu->cpl = 0;
	if (mode & X86_MODE_VM86)
		cpu->cpl = 3;
	else if (mode & X86_MODE_PROT)
		cpu->cpl = (s->seg[X86_SS].attr & X86_ATTR_DPL) >>
			   X86_ATTR_DPL_SHIFT;

	cpu->tlb = &cpu->tlbs[X86_TLB_SUPER];
	if (cpu->cpl == 3) {
		mode |= X86_MODE_USER;
		cpu->tlb = &cpu->tlbs[X86_TLB_USER];
		if (s->rflags & X86_FLAG_AC && s->cr0 & X86_CR0_AM)
			mode |= X86_MODE_AC;
	} else if (s->rflags & X86_FLAG_AC && s->cr4 & X86_CR4_SMAP) {
		mode |= X86_MODE_SUPER_AC;
		cpu->tlb = &cpu->tlbs[X86_TLB_SUPER_AC];
	}
	if (cpu->cpl == 1 || cpu->cpl == 2)
		mode |= X86_MODE_INNER;
	if (s->rflags & X86_FLAG_TF || (s->dr[7] & 0xff &&
					code_breakpoint(s->dr[7])))
		mode |= X86_MODE_TRACE;
	if (!(mode & X86_MODE_CODE64))
		set_reach(cpu, mode);
	cpu->steady = steady(s, mode);
	cpu->mode = mode;
}

enum x86_result x86_raise(struct x86_cpu *cpu, uint8_t vector)
{
	cpu->fault = (struct x86_fault){ .vector = vector };
	return X86_FAULT;
}

enum x86_result x86_raise_error(struct x86_cpu *cpu, uint8_t vector,
				uint32_t error)
{
	cpu->fault = (struct x86_fault){
		.vector = vector,
		.has_error = true,
		.error = error,
	};
	return X86_FAULT;
}

enum x86_result x86_raise_page(struct x86_cpu *cpu, uint64_t address,
			       uint32_t error)
{
	cpu->fault = (struct x86_fault){
		.vector = X86_PF,
		.has_error = true,
		.error = error,
		.address = address,
	};
	return X86_FAULT;
}
