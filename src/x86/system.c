/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System instructions that are neither far transfers nor moves to control
 * registers: group 0F 01, the interrupt flag, PUSHF and POPF, HLT, MSRs,
 * CPUID, the time-stamp counter, TLB invalidation, random numbers. Intel SDM
 * vol. 2; AMD64 APM vol. 3. Left out (#UD, as CPUID says): MONITOR, MWAIT,
 * VMX, SVM, RTM, CLZERO; virtual interrupt flag (VME, PVI).
 */
#include "x86/access.h"
#include "x86/control.h"
#include "x86/handlers.h"
#include "x86/msr.h"
#include "x86/operand.h"

#define KVM_ENOSYS 1000

static enum x86_result refuse(struct x86_cpu *cpu)
{
	return x86_raise_error(cpu, X86_GP, 0);
}

static enum x86_result undefined(struct x86_cpu *cpu)
{
	return x86_raise(cpu, X86_UD);
}

static bool canonical(uint64_t v)
{
	return (uint64_t)((int64_t)(v << 16) >> 16) == v;
}

static unsigned int iopl(const struct x86_cpu *cpu)
{
	return (cpu->state.rflags & X86_FLAG_IOPL) >> 12;
}

static void set_edx_eax(struct x86_cpu *cpu, uint64_t v)
{
	cpu->state.gpr[X86_RAX] = (uint32_t)v;
	cpu->state.gpr[X86_RDX] = v >> 32;
}

static uint64_t get_edx_eax(const struct x86_cpu *cpu)
{
	return (uint32_t)cpu->state.gpr[X86_RAX] |
	       cpu->state.gpr[X86_RDX] << 32;
}

/* SGDT, SIDT, SMSW (SLDT, STR) are kept from user code by UMIP. */
static bool hidden(const struct x86_cpu *cpu)
{
	return cpu->cpl && cpu->state.cr4 & X86_CR4_UMIP;
}

/* --- group 0F 01, memory forms -------------------------------------------- */

static enum x86_result store_table(struct x86_cpu *cpu,
				   const struct x86_insn *insn,
				   const struct x86_table *table)
{
	unsigned int size = cpu->mode & X86_MODE_CODE64 ? 10 : 6;
	uint16_t limit = (uint16_t)table->limit;
	enum x86_result r;
	uint64_t linear;
	uint8_t buf[10];

	if (hidden(cpu))
		return refuse(cpu);
	r = x86_operand(cpu, insn, size, X86_WRITE, &linear);
	if (r)
		return r;
	memcpy(buf, &limit, 2);
	memcpy(buf + 2, &table->base, 8);
	return x86_write(cpu, linear, buf, size);
}

static enum x86_result load_table(struct x86_cpu *cpu,
				  const struct x86_insn *insn,
				  struct x86_table *table)
{
	unsigned int size = cpu->mode & X86_MODE_CODE64 ? 10 : 6;
	uint8_t buf[10] = { 0 };
	enum x86_result r;
	uint64_t linear, base;
	uint16_t limit;

	if (cpu->cpl)
		return refuse(cpu);
	r = x86_operand(cpu, insn, size, X86_READ, &linear);
	if (!r)
		r = x86_read(cpu, linear, buf, size);
	if (r)
		return r;
	memcpy(&limit, buf, 2);
	memcpy(&base, buf + 2, 8);
	if (size == 6 && insn->opsize == 2)
		base &= 0xffffff;
	if (!canonical(base))
		return refuse(cpu);
	*table = (struct x86_table){ .base = base, .limit = limit };
	return X86_NEXT;
}

static enum x86_result store_msw(struct x86_cpu *cpu,
				 const struct x86_insn *insn)
{
	if (hidden(cpu))
		return refuse(cpu);
	return write_rm(cpu, insn, insn->mem ? 2 : insn->opsize,
			cpu->state.cr0);
}

/* LMSW changes PE, MP, EM and TS; it cannot clear PE. */
static enum x86_result load_msw(struct x86_cpu *cpu,
				const struct x86_insn *insn)
{
	uint64_t v, cr0 = cpu->state.cr0;
	enum x86_result r;

	if (cpu->cpl)
		return refuse(cpu);
	r = read_rm(cpu, insn, 2, &v);
	if (r)
		return r;
	v = (v & 15) | (cr0 & X86_CR0_PE);
	return x86_set_cr0(cpu, (cr0 & ~(uint64_t)15) | v);
}

static enum x86_result invalidate_page(struct x86_cpu *cpu,
				       const struct x86_insn *insn)
{
	uint64_t linear = x86_effective(cpu, insn);

	if (cpu->cpl)
		return refuse(cpu);
	if (!(cpu->mode & X86_MODE_CODE64))
		linear = (uint32_t)(linear + cpu->state.seg[insn->seg].base);
	else if (insn->seg >= X86_FS)
		linear += cpu->state.seg[insn->seg].base;
	x86_tlb_flush_page(cpu, linear);
	return X86_NEXT;
}

/* --- group 0F 01, register forms ------------------------------------------ */

static enum x86_result hypercall(struct x86_cpu *cpu,
				 const struct x86_insn *insn)
{
	unsigned int size = cpu->mode & X86_MODE_CODE64 ? 8 : 4;

	if (cpu->cpl)
		return undefined(cpu);
	/* KVM's convention: there is none that we know. */
	set_register(cpu, insn, X86_RAX, size, (uint64_t)-KVM_ENOSYS);
	return X86_NEXT;
}

static enum x86_result set_ac(struct x86_cpu *cpu, bool on)
{
	if (!cpu->cpuid->smap || cpu->cpl)
		return undefined(cpu);
	cpu->state.rflags &= ~(uint64_t)X86_FLAG_AC;
	if (on)
		cpu->state.rflags |= X86_FLAG_AC;
	return X86_NEXT;
}

static enum x86_result get_xcr(struct x86_cpu *cpu)
{
	uint32_t index = (uint32_t)cpu->state.gpr[X86_RCX];
	uint64_t v = cpu->state.xcr0;

	if (!(cpu->state.cr4 & X86_CR4_OSXSAVE))
		return undefined(cpu);
	if (index > 1 || (index == 1 && !cpu->cpuid->xgetbv1))
		return refuse(cpu);
	if (index == 1)
		v &= x86_in_use(cpu);
	set_edx_eax(cpu, v);
	return X86_NEXT;
}

static enum x86_result set_xcr(struct x86_cpu *cpu)
{
	if (!(cpu->state.cr4 & X86_CR4_OSXSAVE))
		return undefined(cpu);
	if (cpu->cpl || (uint32_t)cpu->state.gpr[X86_RCX])
		return refuse(cpu);
	return x86_set_xcr0(cpu, get_edx_eax(cpu));
}

static enum x86_result read_pkru(struct x86_cpu *cpu)
{
	if (!(cpu->state.cr4 & X86_CR4_PKE))
		return undefined(cpu);
	if ((uint32_t)cpu->state.gpr[X86_RCX])
		return refuse(cpu);
	set_edx_eax(cpu, x86_pkru(&cpu->state));
	return X86_NEXT;
}

static enum x86_result write_pkru(struct x86_cpu *cpu)
{
	const uint64_t *gpr = cpu->state.gpr;

	if (!(cpu->state.cr4 & X86_CR4_PKE))
		return undefined(cpu);
	if ((uint32_t)gpr[X86_RCX] || (uint32_t)gpr[X86_RDX])
		return refuse(cpu);
	x86_set_pkru(cpu, (uint32_t)gpr[X86_RAX]);
	return X86_NEXT;
}

static enum x86_result read_tsc(struct x86_cpu *cpu)
{
	if (cpu->cpl && cpu->state.cr4 & X86_CR4_TSD)
		return refuse(cpu);
	set_edx_eax(cpu, x86_tsc(cpu));
	return X86_NEXT;
}

static enum x86_result read_tscp(struct x86_cpu *cpu)
{
	enum x86_result r;

	if (!cpu->cpuid->rdtscp)
		return undefined(cpu);
	r = read_tsc(cpu);
	if (!r)
		cpu->state.gpr[X86_RCX] = (uint32_t)cpu->state.tsc_aux;
	return r;
}

static enum x86_result register_form(struct x86_cpu *cpu,
				     const struct x86_insn *insn)
{
	if (insn->prefix & (X86_PFX_REP | X86_PFX_REPNE | X86_PFX_OPSIZE))
		return undefined(cpu);
	switch (insn->modrm) {
	case 0xc1: /* VMCALL */
	case 0xd9: /* VMMCALL */
		return hypercall(cpu, insn);
	case 0xca:
		return set_ac(cpu, false);
	case 0xcb:
		return set_ac(cpu, true);
	case 0xd0:
		return get_xcr(cpu);
	case 0xd1:
		return set_xcr(cpu);
	case 0xee:
		return read_pkru(cpu);
	case 0xef:
		return write_pkru(cpu);
	case 0xf8:
		return x86_swapgs(cpu, insn);
	case 0xf9:
		return read_tscp(cpu);
	default:
		return undefined(cpu);
	}
}

enum x86_result x86_group_0f01(struct x86_cpu *cpu,
			       const struct x86_insn *insn)
{
	unsigned int op = insn->modrm >> 3 & 7;

	if (op == 4)
		return store_msw(cpu, insn);
	if (op == 6)
		return load_msw(cpu, insn);
	if (!insn->mem)
		return register_form(cpu, insn);
	switch (op) {
	case 0:
		return store_table(cpu, insn, &cpu->state.gdtr);
	case 1:
		return store_table(cpu, insn, &cpu->state.idtr);
	case 2:
		return load_table(cpu, insn, &cpu->state.gdtr);
	case 3:
		return load_table(cpu, insn, &cpu->state.idtr);
	case 7:
		return invalidate_page(cpu, insn);
	default:
		return undefined(cpu);
	}
}

/* --- caches and TLB ------------------------------------------------------- */

enum x86_result x86_invd(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	/* Guest memory is coherent as it is. */
	return cpu->cpl ? refuse(cpu) : X86_NEXT;
}

/* INVPCID: 0 one address, 1 one PCID, 2 all, 3 all but global. */
enum x86_result x86_invpcid(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	unsigned int size = cpu->mode & X86_MODE_CODE64 ? 8 : 4;
	uint64_t type, linear, desc[2];
	enum x86_result r;

	if (!cpu->cpuid->invpcid || !insn->mem)
		return undefined(cpu);
	if (cpu->cpl)
		return refuse(cpu);
	type = get_register(cpu, insn, insn->reg, size);
	r = x86_operand(cpu, insn, 16, X86_READ, &linear);
	if (!r)
		r = x86_read(cpu, linear, desc, 16);
	if (r)
		return r;
	if (type > 3 || desc[0] >> 12)
		return refuse(cpu);
	if (type <= 1 && desc[0] && !(cpu->state.cr4 & X86_CR4_PCIDE))
		return refuse(cpu);
	if (type == 0 && !canonical(desc[1]))
		return refuse(cpu);
	if (type == 0)
		x86_tlb_flush_page(cpu, desc[1]);
	else if (type == 2)
		x86_tlb_flush(cpu);
	else
		x86_tlb_flush_local(cpu);
	return X86_NEXT;
}

/* --- MSRs, CPUID, counters, random numbers -------------------------------- */

enum x86_result x86_rdmsr(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	uint64_t v;

	if (cpu->cpl ||
	    !x86_msr_read(cpu, (uint32_t)cpu->state.gpr[X86_RCX], &v))
		return refuse(cpu);
	set_edx_eax(cpu, v);
	return X86_NEXT;
}

enum x86_result x86_wrmsr(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	if (cpu->cpl || !x86_msr_write(cpu,
				       (uint32_t)cpu->state.gpr[X86_RCX],
				       get_edx_eax(cpu)))
		return refuse(cpu);
	return X86_NEXT;
}

enum x86_result x86_rdtsc(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	return read_tsc(cpu);
}

/* There are no counters, so every index is a wrong one. */
enum x86_result x86_rdpmc(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	return refuse(cpu);
}

enum x86_result x86_cpuid(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	uint64_t *gpr = cpu->state.gpr;
	struct cpuid_regs r = cpuid_query(cpu->cpuid, &cpu->state, cpu->id,
					  (uint32_t)gpr[X86_RAX],
					  (uint32_t)gpr[X86_RCX]);

	gpr[X86_RAX] = r.eax;
	gpr[X86_RBX] = r.ebx;
	gpr[X86_RCX] = r.ecx;
	gpr[X86_RDX] = r.edx;
	return X86_NEXT;
}

enum x86_result x86_rdpid(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	unsigned int size = cpu->mode & X86_MODE_CODE64 ? 8 : 4;

	if (!cpu->cpuid->rdpid)
		return undefined(cpu);
	set_register(cpu, insn, insn->rm, size, cpu->state.tsc_aux);
	return X86_NEXT;
}

/* The host's own generator; CPUID offers it only where it exists. */
static bool host_rdrand(uint64_t *v)
{
	bool ok;

	__asm__ volatile("rdrand %0" : "=r"(*v), "=@ccc"(ok));
	return ok;
}

static bool host_rdseed(uint64_t *v)
{
	bool ok;

	__asm__ volatile("rdseed %0" : "=r"(*v), "=@ccc"(ok));
	return ok;
}

enum x86_result x86_rdrand(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	bool seed = (insn->modrm >> 3 & 7) == 7;
	uint64_t v;
	bool ok;

	if (!(seed ? cpu->cpuid->rdseed : cpu->cpuid->rdrand))
		return undefined(cpu);
	ok = seed ? host_rdseed(&v) : host_rdrand(&v);
	set_register(cpu, insn, insn->rm, insn->opsize, ok ? v : 0);
	x86_set_arith(cpu, ok ? X86_FLAG_CF : 0);
	return X86_NEXT;
}

/* --- interrupt flag, flags, halt ------------------------------------------ */

/* CLI and STI outside CPL 0 (no VME, no PVI). */
static bool may_change_if(const struct x86_cpu *cpu)
{
	return cpu->cpl <= iopl(cpu);
}

enum x86_result x86_cli(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	if (!may_change_if(cpu))
		return refuse(cpu);
	cpu->state.rflags &= ~(uint64_t)X86_FLAG_IF;
	return X86_NEXT;
}

enum x86_result x86_sti(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	if (!may_change_if(cpu))
		return refuse(cpu);
	/* Interrupts wait for the end of the next instruction. */
	if (!(cpu->state.rflags & X86_FLAG_IF))
		cpu->state.int_shadow = 1;
	cpu->state.rflags |= X86_FLAG_IF;
	return X86_NEXT;
}

enum x86_result x86_pushf(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	const uint64_t hide = X86_FLAG_VM | X86_FLAG_RF;

	if (cpu->mode & X86_MODE_VM86 && iopl(cpu) < 3)
		return refuse(cpu);
	return push_value(cpu, cpu->state.rflags & ~hide,
			  stack_size(cpu, insn));
}

enum x86_result x86_popf(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	uint64_t change = X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_DF |
			  X86_FLAG_NT;
	unsigned int size = stack_size(cpu, insn);
	uint64_t old = cpu->state.rflags, v;
	enum x86_result r;

	if (cpu->mode & X86_MODE_VM86 && iopl(cpu) < 3)
		return refuse(cpu);
	r = pop_value(cpu, size, &v);
	if (r)
		return r;
	if (size > 2)
		change |= X86_FLAG_AC | X86_FLAG_ID;
	if (may_change_if(cpu))
		change |= X86_FLAG_IF;
	if (cpu->cpl == 0) {
		change |= X86_FLAG_IOPL;
		if (size > 2) {
			change |= X86_FLAG_VIF | X86_FLAG_VIP;
			v &= ~(uint64_t)(X86_FLAG_VIF | X86_FLAG_VIP);
		}
	}
	cpu->state.rflags = (old & ~change & ~(uint64_t)X86_FLAG_RF) |
			    (v & change);
	return X86_NEXT;
}

enum x86_result x86_hlt(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	if (cpu->cpl)
		return refuse(cpu);
	cpu->state.activity = X86_HALTED;
	cpu->stat_halt++;
	return X86_STOP;
}
