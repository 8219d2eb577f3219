/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control and debug registers: the transitions between modes, and MOV to and
 * from CRx and DRx. Intel SDM vol. 3, 2.5, 4.1, 9.8, 17.2; AMD64 APM vol. 2,
 * 3.1, 14.6. LOCK MOV CR0 as CR8 is not offered.
 */
#include "x86/control.h"

#include "x86/access.h"
#include "x86/handlers.h"
#include "x86/operand.h"

#define CR0_DEFINED                                                      \
	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | \
	 X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | \
	 X86_CR0_PG)

/* Changes that make translations stale. */
#define CR0_PAGING (X86_CR0_PG | X86_CR0_PE | X86_CR0_WP)
#define CR4_PAGING                                                      \
	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE |      \
	 X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE | X86_CR4_PKS)

#define DR6_FIXED    0xffff0ff0u
#define DR6_WRITABLE 0x0000e00fu
#define DR6_BD	     0x2000u
#define DR7_FIXED    0x400u
#define DR7_WRITABLE 0xffff23ffu
#define DR7_GD	     0x2000u
#define DR7_ENABLED  0xffu

static enum x86_result refuse(struct x86_cpu *cpu)
{
	return x86_raise_error(cpu, X86_GP, 0);
}

/* May paging be switched on? LMA is set where it starts long mode. */
static bool start_paging(struct x86_cpu *cpu)
{
	struct x86_state *s = &cpu->state;
	unsigned int tss = s->tr.attr & X86_ATTR_TYPE;

	if (!(s->efer & X86_EFER_LME))
		return true;
	/* A 16-bit TSS cannot serve long mode. */
	if (!(s->cr4 & X86_CR4_PAE) || s->seg[X86_CS].attr & X86_ATTR_L ||
	    tss == 1 || tss == 3)
		return false;
	s->efer |= X86_EFER_LMA;
	return true;
}

static bool stop_paging(struct x86_cpu *cpu)
{
	struct x86_state *s = &cpu->state;

	if (cpu->mode & X86_MODE_CODE64 || s->cr4 & X86_CR4_PCIDE)
		return false;
	s->efer &= ~(uint64_t)X86_EFER_LMA;
	return true;
}

enum x86_result x86_set_cr0(struct x86_cpu *cpu, uint64_t value)
{
	struct x86_state *s = &cpu->state;
	uint64_t old = s->cr0, efer = s->efer, changed;
	bool ok = true;

	if (value >> 32)
		return refuse(cpu);
	value = (value & CR0_DEFINED) | X86_CR0_ET;
	changed = value ^ old;
	if ((value & X86_CR0_PG && !(value & X86_CR0_PE)) ||
	    (value & X86_CR0_NW && !(value & X86_CR0_CD)))
		return refuse(cpu);
	if (changed & X86_CR0_PG)
		ok = value & X86_CR0_PG ? start_paging(cpu) :
					  stop_paging(cpu);
	if (!ok)
		return refuse(cpu);
	s->cr0 = value;
	if (changed & (X86_CR0_PG | X86_CR0_CD | X86_CR0_NW) &&
	    !x86_load_pdptes(cpu, s->cr3)) {
		s->cr0 = old;
		s->efer = efer;
		return refuse(cpu);
	}
	if (changed & CR0_PAGING)
		x86_tlb_flush(cpu);
	return X86_NEXT;
}

static uint64_t cr4_allowed(const struct cpuid_policy *p)
{
	uint64_t bits = X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE |
			X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE |
			X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;

	bits |= p->umip ? X86_CR4_UMIP : 0;
	bits |= p->fsgsbase ? X86_CR4_FSGSBASE : 0;
	bits |= p->pcid ? X86_CR4_PCIDE : 0;
	bits |= p->xsave ? X86_CR4_OSXSAVE : 0;
	bits |= p->smep ? X86_CR4_SMEP : 0;
	bits |= p->smap ? X86_CR4_SMAP : 0;
	bits |= p->pku ? X86_CR4_PKE : 0;
	bits |= p->pks ? X86_CR4_PKS : 0;
	return bits;
}

static enum x86_result x86_set_cr4(struct x86_cpu *cpu, uint64_t value)
{
	struct x86_state *s = &cpu->state;
	uint64_t old = s->cr4, changed = value ^ old;
	const uint64_t pdpte_bits = X86_CR4_PAE | X86_CR4_PSE | X86_CR4_PGE |
				    X86_CR4_SMEP;

	if (value & ~cr4_allowed(cpu->cpuid))
		return refuse(cpu);
	if (s->efer & X86_EFER_LMA && !(value & X86_CR4_PAE))
		return refuse(cpu);
	if (changed & value & X86_CR4_PCIDE &&
	    (!(s->efer & X86_EFER_LMA) || s->cr3 & 0xfff))
		return refuse(cpu);
	s->cr4 = value;
	if (changed & pdpte_bits && !x86_load_pdptes(cpu, s->cr3)) {
		s->cr4 = old;
		return refuse(cpu);
	}
	if (changed & CR4_PAGING)
		x86_tlb_flush(cpu);
	return X86_NEXT;
}

static enum x86_result x86_set_cr8(struct x86_cpu *cpu, uint64_t value)
{
	const struct x86_apic *apic = &cpu->apic;
	uint8_t tpr = (uint8_t)(value << 4);

	if (value >> 4)
		return refuse(cpu);
	if (!apic->ops)
		return X86_NEXT;
	if (tpr < apic->ops->get_tpr(apic->object))
		atomic_fetch_or(&cpu->request, X86_REQ_INTR);
	apic->ops->set_tpr(apic->object, tpr);
	return X86_NEXT;
}

enum x86_result x86_set_xcr0(struct x86_cpu *cpu, uint64_t value)
{
	uint64_t wide = value & X86_XCR0_AVX512;

	if (value & ~cpu->cpuid->xcr0 || !(value & X86_XCR0_X87))
		return refuse(cpu);
	if (value & X86_XCR0_AVX && !(value & X86_XCR0_SSE))
		return refuse(cpu);
	if (wide && (wide != X86_XCR0_AVX512 || !(value & X86_XCR0_AVX)))
		return refuse(cpu);
	cpu->state.xcr0 = value;
	return X86_NEXT;
}

static uint64_t get_cr8(const struct x86_cpu *cpu)
{
	const struct x86_apic *apic = &cpu->apic;

	return apic->ops ? apic->ops->get_tpr(apic->object) >> 4 : 0;
}

static enum x86_result read_cr(struct x86_cpu *cpu,
			       const struct x86_insn *insn, unsigned int size)
{
	const struct x86_state *s = &cpu->state;
	uint64_t v;

	switch (insn->reg) {
	case 0:
		v = s->cr0;
		break;
	case 2:
		v = s->cr2;
		break;
	case 3:
		v = s->cr3;
		break;
	case 4:
		v = s->cr4;
		break;
	default:
		v = get_cr8(cpu);
		break;
	}
	set_register(cpu, insn, insn->rm, size, v);
	return X86_NEXT;
}

static enum x86_result write_cr(struct x86_cpu *cpu, unsigned int reg,
				uint64_t v)
{
	switch (reg) {
	case 0:
		return x86_set_cr0(cpu, v);
	case 2:
		cpu->state.cr2 = v;
		return X86_NEXT;
	case 3:
		return x86_load_cr3(cpu, v) ? X86_NEXT : refuse(cpu);
	case 4:
		return x86_set_cr4(cpu, v);
	default:
		return x86_set_cr8(cpu, v);
	}
}

enum x86_result x86_mov_cr(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	const unsigned int exist = 1u << 0 | 1u << 2 | 1u << 3 | 1u << 4 |
				   1u << 8;
	unsigned int size = cpu->mode & X86_MODE_CODE64 ? 8 : 4;

	if (!(exist >> insn->reg & 1))
		return x86_raise(cpu, X86_UD);
	if (cpu->cpl)
		return refuse(cpu);
	if (insn->opcode == 0x20)
		return read_cr(cpu, insn, size);
	return write_cr(cpu, insn->reg,
			get_register(cpu, insn, insn->rm, size));
}

static void write_dr(struct x86_cpu *cpu, unsigned int reg, uint64_t v)
{
	struct x86_state *s = &cpu->state;
	uint64_t enabled = s->dr[7] & DR7_ENABLED;

	if (reg == 6)
		v = (v & DR6_WRITABLE) | DR6_FIXED;
	else if (reg == 7)
		v = (v & DR7_WRITABLE) | DR7_FIXED;
	s->dr[reg] = v;
	/* Watched pages have no TLB tags. */
	if (reg != 6 && (enabled || s->dr[7] & DR7_ENABLED))
		x86_tlb_flush(cpu);
}

enum x86_result x86_mov_dr(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	unsigned int size = cpu->mode & X86_MODE_CODE64 ? 8 : 4;
	struct x86_state *s = &cpu->state;
	unsigned int reg = insn->reg;
	enum x86_result r;
	uint64_t v;

	if (reg > 7 || ((reg & 6) == 4 && s->cr4 & X86_CR4_DE))
		return x86_raise(cpu, X86_UD);
	if (cpu->cpl)
		return refuse(cpu);
	if (s->dr[7] & DR7_GD) {
		r = x86_raise(cpu, X86_DB);
		cpu->fault.address = DR6_BD;
		return r;
	}
	if ((reg & 6) == 4)
		reg += 2;
	if (insn->opcode == 0x21) {
		set_register(cpu, insn, insn->rm, size, s->dr[reg]);
		return X86_NEXT;
	}
	v = get_register(cpu, insn, insn->rm, size);
	if (reg >= 6 && v >> 32)
		return refuse(cpu);
	write_dr(cpu, reg, v);
	return X86_NEXT;
}

enum x86_result x86_clts(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	if (cpu->cpl)
		return refuse(cpu);
	cpu->state.cr0 &= ~(uint64_t)X86_CR0_TS;
	return X86_NEXT;
}
