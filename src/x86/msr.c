/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model-specific registers. Intel SDM vol. 4, chapter 2; AMD64 APM vol. 2,
 * appendix A; for the AMD ones that only firmware and kernels look at, the
 * Processor Programming References.
 *
 * Plain storage is one table; what has effects has a function. Machine-check
 * banks exist and never report. Left out: performance counters, last-branch
 * records, speculation control, P-states. Unknown registers raise #GP.
 */
#include "x86/msr.h"

#include "x86/access.h"

#define MCG_CAP_BANKS	10u
#define MCG_CAP		(0x100u | MCG_CAP_BANKS) /* with MCG_CTL */
#define MSR_MCG_CTL	0x17bu
#define MSR_MC0_CTL	0x400u
#define MSR_PATCH_LEVEL 0x8bu
#define MSR_SYSCFG	0xc0010010u
#define MSR_HWCR	0xc0010015u

#define MTRR_CAP	 (0x500u | X86_MTRR_VARIABLE) /* fixed, WC */
#define MTRR_DEF_BITS	 0xcffu
#define MTRR_MASK_VALID	 0x800u
#define HWCR_TSC_FREQ	 ((uint64_t)1 << 24) /* TSC runs at P0's rate */
#define DE_CFG_LFENCE	 2u /* LFENCE is dispatch-serialising */
#define DEBUGCTL_BITS	 3u /* LBR (records nothing), BTF */
#define SYSCFG_BITS	 0x7c0000u /* MtrrFix*, MtrrVarDram, Tom2 ... */

/* RDCL_NO, SKIP_L1DFL, SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO,
 * FBSDP_NO, PSDP_NO, BHI_NO, GDS_NO, RFDS_NO: none exists in software. */
#define ARCH_CAPS 0x0c10e179u

/* What a plainly stored register accepts. */
enum rule {
	RULE_ANY,
	RULE_CANONICAL,
	RULE_LOW32, /* upper half must be 0 */
	RULE_PAT,
	RULE_MTRR_TYPES, /* eight of them */
};

struct stored {
	uint32_t index;
	uint32_t offset; /* in struct x86_state */
	enum rule rule;
};

#define STORED(index_, member, rule_) \
	{ index_, offsetof(struct x86_state, member), rule_ }

static const struct stored stored[] = {
	STORED(X86_MSR_SYSENTER_CS, sysenter_cs, RULE_LOW32),
	STORED(X86_MSR_SYSENTER_ESP, sysenter_esp, RULE_CANONICAL),
	STORED(X86_MSR_SYSENTER_EIP, sysenter_eip, RULE_CANONICAL),
	STORED(X86_MSR_STAR, star, RULE_ANY),
	STORED(X86_MSR_LSTAR, lstar, RULE_CANONICAL),
	STORED(X86_MSR_CSTAR, cstar, RULE_CANONICAL),
	STORED(X86_MSR_SFMASK, sfmask, RULE_LOW32),
	STORED(X86_MSR_FS_BASE, seg[X86_FS].base, RULE_CANONICAL),
	STORED(X86_MSR_GS_BASE, seg[X86_GS].base, RULE_CANONICAL),
	STORED(X86_MSR_KERNEL_GS_BASE, kernel_gs_base, RULE_CANONICAL),
	STORED(X86_MSR_PAT, pat, RULE_PAT),
	STORED(X86_MSR_MISC_ENABLE, misc_enable, RULE_ANY),
	STORED(X86_MSR_MCG_STATUS, mcg_status, RULE_ANY),
	STORED(X86_MSR_MTRR_FIX64K, mtrr_fixed[0], RULE_MTRR_TYPES),
	STORED(X86_MSR_MTRR_FIX16K_8, mtrr_fixed[1], RULE_MTRR_TYPES),
	STORED(X86_MSR_MTRR_FIX16K_A, mtrr_fixed[2], RULE_MTRR_TYPES),
	STORED(X86_MSR_MTRR_FIX4K_C0 + 0, mtrr_fixed[3], RULE_MTRR_TYPES),
	STORED(X86_MSR_MTRR_FIX4K_C0 + 1, mtrr_fixed[4], RULE_MTRR_TYPES),
	STORED(X86_MSR_MTRR_FIX4K_C0 + 2, mtrr_fixed[5], RULE_MTRR_TYPES),
	STORED(X86_MSR_MTRR_FIX4K_C0 + 3, mtrr_fixed[6], RULE_MTRR_TYPES),
	STORED(X86_MSR_MTRR_FIX4K_C0 + 4, mtrr_fixed[7], RULE_MTRR_TYPES),
	STORED(X86_MSR_MTRR_FIX4K_C0 + 5, mtrr_fixed[8], RULE_MTRR_TYPES),
	STORED(X86_MSR_MTRR_FIX4K_C0 + 6, mtrr_fixed[9], RULE_MTRR_TYPES),
	STORED(X86_MSR_MTRR_FIX4K_C0 + 7, mtrr_fixed[10], RULE_MTRR_TYPES),
};

/* Registers that read a constant; writes are dropped. */
struct constant {
	uint32_t index;
	uint32_t count; /* consecutive registers */
	uint64_t value;
};

static const struct constant constants[] = {
	{ X86_MSR_MTRR_CAP, 1, MTRR_CAP },
	{ X86_MSR_MCG_CAP, 1, MCG_CAP },
};

/* Made by Intel alone, and by AMD alone. */
static const struct constant intel_constants[] = {
	{ 0x17, 1, 0 },			/* PLATFORM_ID */
	{ 0x2a, 1, 0 },			/* EBL_CR_POWERON */
	{ 0x34, 1, 0 },			/* SMI_COUNT */
	{ 0x3a, 1, 1 },			/* FEATURE_CONTROL: locked, no VMX */
	{ 0x79, 1, 0 },			/* BIOS_UPDT_TRIG */
	{ MSR_PATCH_LEVEL, 1, (uint64_t)1 << 32 },
	{ 0xcd, 1, 3 },			/* FSB_FREQ */
	{ 0xce, 1, 0 },			/* PLATFORM_INFO */
	{ 0x1c9, 1, 0 },		/* LASTBRANCH_TOS */
	{ 0x1db, 4, 0 },		/* LAST{BRANCH,INT}{FROM,TO}IP */
};

static const struct constant amd_constants[] = {
	{ MSR_PATCH_LEVEL, 1, 0x01000065 },
	{ 0x1db, 4, 0 },		/* LAST{BRANCH,INT}{FROM,TO}IP */
	{ 0xc0010000, 8, 0 },		/* PERF_CTL, PERF_CTR: count nothing */
	{ 0xc001001a, 1, 0 },		/* TOP_MEM */
	{ 0xc001001d, 1, 0 },		/* TOP_MEM2 */
	{ 0xc001001f, 1, 0 },		/* NB_CFG */
	{ 0xc0010020, 1, 0 },		/* PATCH_LOADER */
	{ 0xc0010055, 1, 0 },		/* INT_PENDING */
	{ 0xc0010058, 1, 0 },		/* MMIO_CFG_BASE: ACPI tells */
	{ 0xc0010112, 2, 0 },		/* SMM_ADDR, SMM_MASK */
	{ 0xc0011020, 4, 0 },		/* LS_CFG, IC_CFG, DC_CFG, BU_CFG */
	{ 0xc0011029, 1, DE_CFG_LFENCE }, /* DE_CFG */
	{ 0xc001102a, 3, 0 },		/* BU_CFG2, CU_CFG3 ... */
};

const uint32_t x86_msr_list[] = {
	X86_MSR_SYSENTER_CS,	X86_MSR_SYSENTER_ESP,
	X86_MSR_SYSENTER_EIP,	X86_MSR_STAR,
	X86_MSR_LSTAR,		X86_MSR_CSTAR,
	X86_MSR_SFMASK,		X86_MSR_KERNEL_GS_BASE,
	X86_MSR_TSC_AUX,	X86_MSR_PAT,
	X86_MSR_MISC_ENABLE,	X86_MSR_XSS,
	X86_MSR_DEBUGCTL,	X86_MSR_MCG_STATUS,
	X86_MSR_MTRR_FIX64K,	X86_MSR_MTRR_FIX16K_8,
	X86_MSR_MTRR_FIX16K_A,	X86_MSR_MTRR_FIX4K_C0,
	X86_MSR_MTRR_FIX4K_C0 + 1, X86_MSR_MTRR_FIX4K_C0 + 2,
	X86_MSR_MTRR_FIX4K_C0 + 3, X86_MSR_MTRR_FIX4K_C0 + 4,
	X86_MSR_MTRR_FIX4K_C0 + 5, X86_MSR_MTRR_FIX4K_C0 + 6,
	X86_MSR_MTRR_FIX4K_C0 + 7, X86_MSR_MTRR_BASE0,
	X86_MSR_MTRR_BASE0 + 1,	X86_MSR_MTRR_BASE0 + 2,
	X86_MSR_MTRR_BASE0 + 3,	X86_MSR_MTRR_BASE0 + 4,
	X86_MSR_MTRR_BASE0 + 5,	X86_MSR_MTRR_BASE0 + 6,
	X86_MSR_MTRR_BASE0 + 7,	X86_MSR_MTRR_BASE0 + 8,
	X86_MSR_MTRR_BASE0 + 9,	X86_MSR_MTRR_BASE0 + 10,
	X86_MSR_MTRR_BASE0 + 11, X86_MSR_MTRR_BASE0 + 12,
	X86_MSR_MTRR_BASE0 + 13, X86_MSR_MTRR_BASE0 + 14,
	X86_MSR_MTRR_BASE0 + 15, X86_MSR_MTRR_DEF_TYPE,
	X86_MSR_KVM_WALL,	X86_MSR_KVM_SYSTEM,
	X86_MSR_PKRS,
};
const unsigned int x86_msr_count =
	sizeof(x86_msr_list) / sizeof(x86_msr_list[0]);

static bool canonical(uint64_t v)
{
	return (uint64_t)((int64_t)(v << 16) >> 16) == v;
}

/* UC, WC, WT, WP, WB; PAT also UC-. */
static bool memory_type(uint64_t type, bool pat)
{
	return type <= 6 && type != 2 && type != 3 ? true : pat && type == 7;
}

static bool eight_types(uint64_t v, bool pat)
{
	for (unsigned int i = 0; i < 64; i += 8)
		if (!memory_type(v >> i & 0xff, pat))
			return false;
	return true;
}

static bool obeys(enum rule rule, uint64_t v)
{
	switch (rule) {
	case RULE_CANONICAL:
		return canonical(v);
	case RULE_LOW32:
		return !(v >> 32);
	case RULE_PAT:
		return eight_types(v, true);
	case RULE_MTRR_TYPES:
		return eight_types(v, false);
	default:
		return true;
	}
}

static uint64_t *find_stored(struct x86_state *s, uint32_t index,
			     enum rule *rule)
{
	for (unsigned int i = 0; i < sizeof(stored) / sizeof(*stored); i++) {
		if (stored[i].index != index)
			continue;
		*rule = stored[i].rule;
		return (uint64_t *)((uint8_t *)s + stored[i].offset);
	}
	return NULL;
}

static bool in_table(const struct constant *table, unsigned int count,
		     uint32_t index, uint64_t *value)
{
	for (unsigned int i = 0; i < count; i++) {
		if (index - table[i].index >= table[i].count)
			continue;
		*value = table[i].value;
		return true;
	}
	return false;
}

#define IN_TABLE(table, index, value) \
	in_table(table, sizeof(table) / sizeof(*(table)), index, value)

static bool constant(const struct x86_cpu *cpu, uint32_t index,
		     uint64_t *value)
{
	if (IN_TABLE(constants, index, value))
		return true;
	return cpu->cpuid->amd ? IN_TABLE(amd_constants, index, value) :
				 IN_TABLE(intel_constants, index, value);
}

/* --- registers with effects ----------------------------------------------- */

uint64_t x86_tsc(const struct x86_cpu *cpu)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (low | (uint64_t)high << 32) + cpu->state.tsc_offset;
}

/* EFER, with the rules of WRMSR; also keeps the TLB right. */
static bool x86_efer_write(struct x86_cpu *cpu, uint64_t value)
{
	struct x86_state *s = &cpu->state;
	uint64_t allowed = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA;

	if (cpu->cpuid->nx)
		allowed |= X86_EFER_NXE;
	if (cpu->cpuid->auto_ibrs)
		allowed |= X86_EFER_AIBRSE;
	if (value & ~allowed)
		return false;
	if ((value ^ s->efer) & X86_EFER_LME && s->cr0 & X86_CR0_PG)
		return false;
	/* LMA follows LME and PG; writes to it are ignored. */
	value = (value & ~(uint64_t)X86_EFER_LMA) | (s->efer & X86_EFER_LMA);
	if ((value ^ s->efer) & X86_EFER_NXE)
		x86_tlb_flush(cpu);
	s->efer = value;
	return true;
}

/* SDM vol. 3, 11.12.5: xAPIC and x2APIC are entered and left in order. */
static bool write_apic_base(struct x86_cpu *cpu, uint64_t value)
{
	const uint64_t mode = X86_APIC_BASE_ENABLE | X86_APIC_BASE_X2APIC;
	struct x86_state *s = &cpu->state;
	uint64_t allowed = (((uint64_t)1 << cpu->cpuid->physical_bits) -
			    PAGE_SIZE) | mode | X86_APIC_BASE_BSP;
	uint64_t from = s->apic_base & mode, to = value & mode;

	if (value & ~allowed || to == X86_APIC_BASE_X2APIC)
		return false;
	if (from == mode && to == X86_APIC_BASE_ENABLE)
		return false;
	if (!from && to == mode)
		return false;
	s->apic_base = value;
	if (cpu->apic.ops)
		cpu->apic.ops->set_base(cpu->apic.object, value);
	x86_tlb_flush(cpu);
	return true;
}

static bool write_tsc(struct x86_cpu *cpu, uint64_t value)
{
	uint64_t delta = value - x86_tsc(cpu);

	cpu->state.tsc_offset += delta;
	cpu->state.tsc_adjust += delta;
	return true;
}

static bool write_tsc_adjust(struct x86_cpu *cpu, uint64_t value)
{
	cpu->state.tsc_offset += value - cpu->state.tsc_adjust;
	cpu->state.tsc_adjust = value;
	return true;
}

static bool write_mtrr_default(struct x86_cpu *cpu, uint64_t value)
{
	if (value & ~(uint64_t)MTRR_DEF_BITS ||
	    !memory_type(value & 0xff, false))
		return false;
	cpu->state.mtrr_def_type = value;
	return true;
}

static bool write_mtrr_variable(struct x86_cpu *cpu, uint32_t index,
				uint64_t value)
{
	unsigned int i = (index - X86_MSR_MTRR_BASE0) / 2;
	uint64_t low = index & 1 ? MTRR_MASK_VALID : 0xff;
	uint64_t address = ((uint64_t)1 << cpu->cpuid->physical_bits) -
			   PAGE_SIZE;

	if (value & ~(address | low))
		return false;
	if (!(index & 1) && !memory_type(value & 0xff, false))
		return false;
	if (index & 1)
		cpu->state.mtrr_mask[i] = value;
	else
		cpu->state.mtrr_base[i] = value;
	return true;
}

/*
 * Banks never report: CTL is all ones or what was written matters to nobody,
 * STATUS accepts only zero (SDM vol. 3, 16.3.2).
 */
static bool write_bank(struct x86_cpu *cpu, uint32_t index, uint64_t value)
{
	return (index & 3) != 1 || !value || cpu->cpuid->amd;
}

static bool write_kvm_clock(struct x86_cpu *cpu, uint32_t index,
			    uint64_t value)
{
	if (index == X86_MSR_KVM_WALL) {
		cpu->state.kvmclock_wall = value;
		x86_kvmclock_wall(cpu, value);
	} else {
		cpu->state.kvmclock_system = value;
		x86_kvmclock_update(cpu);
	}
	return true;
}

static bool is_apic_msr(uint32_t index)
{
	return index == X86_MSR_TSC_DEADLINE ||
	       (index >= X86_MSR_X2APIC && index < X86_MSR_X2APIC + 0x100);
}

static bool is_mtrr_variable(uint32_t index)
{
	return index - X86_MSR_MTRR_BASE0 < 2 * X86_MTRR_VARIABLE;
}

static bool is_bank(uint32_t index)
{
	return index - MSR_MC0_CTL < 4 * MCG_CAP_BANKS;
}

/* --- reading and writing -------------------------------------------------- */

static bool read_special(struct x86_cpu *cpu, uint32_t index, uint64_t *value)
{
	const struct x86_state *s = &cpu->state;

	switch (index) {
	case X86_MSR_TSC:
		*value = x86_tsc(cpu);
		return true;
	case X86_MSR_TSC_ADJUST:
		*value = s->tsc_adjust;
		return true;
	case X86_MSR_TSC_AUX:
		*value = s->tsc_aux;
		return cpu->cpuid->rdtscp || cpu->cpuid->rdpid;
	case X86_MSR_APIC_BASE:
		*value = s->apic_base;
		return true;
	case X86_MSR_EFER:
		*value = s->efer;
		return true;
	case X86_MSR_DEBUGCTL:
		*value = s->debugctl;
		return true;
	case X86_MSR_MTRR_DEF_TYPE:
		*value = s->mtrr_def_type;
		return true;
	case X86_MSR_XSS:
		*value = s->xss;
		return cpu->cpuid->xsaves;
	case X86_MSR_PKRS:
		*value = s->pkrs;
		return cpu->cpuid->pks;
	case X86_MSR_ARCH_CAPS:
		*value = ARCH_CAPS;
		return cpu->cpuid->arch_caps;
	case MSR_MCG_CTL:
		*value = UINT64_MAX;
		return true;
	case X86_MSR_KVM_WALL:
		*value = s->kvmclock_wall;
		return true;
	case X86_MSR_KVM_SYSTEM:
		*value = s->kvmclock_system;
		return true;
	case MSR_SYSCFG:
		*value = s->syscfg;
		return cpu->cpuid->amd;
	case MSR_HWCR:
		*value = HWCR_TSC_FREQ;
		return cpu->cpuid->amd;
	default:
		return false;
	}
}

static bool write_special(struct x86_cpu *cpu, uint32_t index, uint64_t value)
{
	struct x86_state *s = &cpu->state;

	switch (index) {
	case X86_MSR_TSC:
		return write_tsc(cpu, value);
	case X86_MSR_TSC_ADJUST:
		return write_tsc_adjust(cpu, value);
	case X86_MSR_TSC_AUX:
		if (value >> 32 ||
		    !(cpu->cpuid->rdtscp || cpu->cpuid->rdpid))
			return false;
		s->tsc_aux = value;
		return true;
	case X86_MSR_APIC_BASE:
		return write_apic_base(cpu, value);
	case X86_MSR_EFER:
		return x86_efer_write(cpu, value);
	case X86_MSR_DEBUGCTL:
		if (value & ~(uint64_t)DEBUGCTL_BITS)
			return false;
		s->debugctl = value;
		return true;
	case X86_MSR_MTRR_DEF_TYPE:
		return write_mtrr_default(cpu, value);
	case X86_MSR_XSS:
		if (!cpu->cpuid->xsaves || value & ~cpu->cpuid->xss)
			return false;
		s->xss = value;
		return true;
	case X86_MSR_PKRS:
		if (!cpu->cpuid->pks || value >> 32)
			return false;
		x86_set_pkrs(cpu, (uint32_t)value);
		return true;
	case MSR_MCG_CTL:
		return true;
	case X86_MSR_KVM_WALL:
	case X86_MSR_KVM_SYSTEM:
		return write_kvm_clock(cpu, index, value);
	case MSR_SYSCFG:
		s->syscfg = value & SYSCFG_BITS;
		return cpu->cpuid->amd;
	case MSR_HWCR:
		return cpu->cpuid->amd;
	default:
		return false;
	}
}

static bool read_any(struct x86_cpu *cpu, uint32_t index, uint64_t *value)
{
	enum rule rule;
	const uint64_t *p = find_stored(&cpu->state, index, &rule);

	if (p) {
		*value = *p;
		return true;
	}
	if (is_apic_msr(index))
		return cpu->apic.ops &&
		       cpu->apic.ops->read_msr(cpu->apic.object, index, value);
	if (is_mtrr_variable(index)) {
		unsigned int i = (index - X86_MSR_MTRR_BASE0) / 2;

		*value = index & 1 ? cpu->state.mtrr_mask[i] :
				     cpu->state.mtrr_base[i];
		return true;
	}
	if (is_bank(index)) {
		*value = index & 3 ? 0 : UINT64_MAX;
		return true;
	}
	return read_special(cpu, index, value) ||
	       constant(cpu, index, value);
}

static bool write_any(struct x86_cpu *cpu, uint32_t index, uint64_t value)
{
	enum rule rule;
	uint64_t *p = find_stored(&cpu->state, index, &rule), old;

	if (p) {
		if (!obeys(rule, value))
			return false;
		*p = value;
		return true;
	}
	if (is_apic_msr(index))
		return cpu->apic.ops &&
		       cpu->apic.ops->write_msr(cpu->apic.object, index,
						value);
	if (is_mtrr_variable(index))
		return write_mtrr_variable(cpu, index, value);
	if (is_bank(index))
		return write_bank(cpu, index, value);
	if (write_special(cpu, index, value))
		return true;
	/* The capability registers are read-only; the rest is firmware's. */
	return !IN_TABLE(constants, index, &old) &&
	       constant(cpu, index, &old);
}

bool x86_msr_read(struct x86_cpu *cpu, uint32_t index, uint64_t *value)
{
	if (read_any(cpu, index, value))
		return true;
	host_log(HOST_LOG_DEBUG, "cpu %u: no MSR %x to read", cpu->id, index);
	return false;
}

bool x86_msr_write(struct x86_cpu *cpu, uint32_t index, uint64_t value)
{
	if (write_any(cpu, index, value))
		return true;
	host_log(HOST_LOG_DEBUG, "cpu %u: MSR %x refuses %llx", cpu->id,
		 index, (unsigned long long)value);
	return false;
}
