/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APIC: registers, priorities, acknowledge and EOI. Intel SDM vol. 3,
 * 11.4 (registers, state), 11.5 (local vector table, errors), 11.8
 * (priorities, IRR, ISR, TMR, EOI), 11.9 (spurious), 11.12 (x2APIC).
 *
 * The APIC id is the processor's index and cannot be written. LINT0 of the
 * bootstrap processor is ExtINT after reset, as firmware would leave it, so
 * that a kernel started without firmware has its PIC. Left out: focus
 * processor, arbitration priority, remote read, SMI.
 */
#include "chip/lapic.h"

#include "chip/ioapic.h"
#include "chip/lapic_impl.h"
#include "chip/pic.h"
#include "vm/error.h"

/* --- vectors ------------------------------------------------------------ */

static int lapic_highest_irr(const struct lapic *lapic)
{
	int i;

	for (i = 7; i >= 0; i--) {
		uint32_t word = atomic_load_explicit(&lapic->irr[i],
						     memory_order_acquire);

		if (word)
			return i * 32 + 31 - __builtin_clz(word);
	}
	return -1;
}

static int lapic_highest_isr(const struct lapic *lapic)
{
	int i;

	for (i = 7; i >= 0; i--)
		if (lapic->isr[i])
			return i * 32 + 31 - __builtin_clz(lapic->isr[i]);
	return -1;
}

/* SDM 11.8.3.1 */
static uint32_t lapic_ppr(const struct lapic *lapic)
{
	uint32_t tpr = lapic_get(&lapic->tpr);
	int isr = lapic_highest_isr(lapic);
	uint32_t in_service = isr < 0 ? 0 : (uint32_t)isr & 0xf0;

	return (tpr & 0xf0) >= in_service ? tpr : in_service;
}

/* The vector that IRR offers above the processor's priority, or -1. */
static int lapic_candidate(const struct lapic *lapic)
{
	int vector;

	if (!lapic_on(lapic))
		return -1;
	vector = lapic_highest_irr(lapic);
	if (vector < 0 || (vector & 0xf0) <= (int)(lapic_ppr(lapic) & 0xf0))
		return -1;
	return vector;
}

/* INTR of the PIC reaches the processor: LINT0 is ExtINT, or no APIC. */
static bool lapic_extint_ready(const struct lapic *lapic)
{
	uint32_t lint0 = lapic_get(&lapic->lvt[LAPIC_LVT_LINT0]);

	if (!atomic_load_explicit(&lapic->extint, memory_order_acquire))
		return false;
	if (!lapic_on(lapic))
		return true;
	return !(lint0 & LAPIC_LVT_MASKED) &&
	       LAPIC_LVT_MODE(lint0) == LAPIC_EXTINT;
}

static bool lapic_pending(void *apic)
{
	const struct lapic *lapic = apic;

	return lapic_extint_ready(lapic) || lapic_candidate(lapic) >= 0;
}

/* After a change that may let a waiting interrupt through. */
static void lapic_recheck(struct lapic *lapic)
{
	if (lapic_pending(lapic))
		x86_cpu_request(lapic->cpu, X86_REQ_INTR);
}

static int lapic_accept_extint(struct lapic *lapic)
{
	int vector = -1;

	host_lock(&lapic->vm->device_lock);
	if (lapic->set->pic && lapic_extint_ready(lapic))
		vector = pic_acknowledge(lapic->set->pic);
	host_unlock(&lapic->vm->device_lock);
	return vector;
}

static int lapic_accept(void *apic)
{
	struct lapic *lapic = apic;
	int vector = -1;
	uint32_t bit;

	if (lapic_extint_ready(lapic))
		vector = lapic_accept_extint(lapic);
	if (vector >= 0)
		return vector;
	vector = lapic_candidate(lapic);
	if (vector < 0)
		return -1;
	bit = 1u << (vector & 31);
	atomic_fetch_and(&lapic->irr[vector >> 5], ~bit);
	lapic->isr[vector >> 5] |= bit;
	return vector;
}

void lapic_inject(struct lapic *lapic, uint8_t vector, bool level)
{
	uint32_t bit = 1u << (vector & 31);

	if (vector < 16) {
		lapic_error(lapic, LAPIC_ESR_RECEIVE_VECTOR);
		return;
	}
	if (level)
		atomic_fetch_or(&lapic->tmr[vector >> 5], bit);
	else
		atomic_fetch_and(&lapic->tmr[vector >> 5], ~bit);
	atomic_fetch_or(&lapic->irr[vector >> 5], bit);
	x86_cpu_request(lapic->cpu, X86_REQ_INTR);
}

void lapic_error(struct lapic *lapic, uint32_t bit)
{
	uint32_t lvt = lapic_get(&lapic->lvt[LAPIC_LVT_ERROR]);

	if (atomic_fetch_or(&lapic->esr_pending, bit) & bit)
		return;
	/* An illegal vector in LVT error must not report itself. */
	if ((lvt & 0xff) >= 16)
		lapic_raise_local(lapic, LAPIC_LVT_ERROR);
}

void lapic_raise_local(struct lapic *lapic, enum lapic_lvt entry)
{
	uint32_t lvt = lapic_get(&lapic->lvt[entry]);

	if (!lapic_on(lapic) || (lvt & LAPIC_LVT_MASKED))
		return;
	switch (LAPIC_LVT_MODE(lvt)) {
	case LAPIC_FIXED:
		lapic_inject(lapic, (uint8_t)lvt, false);
		break;
	case LAPIC_NMI:
		x86_cpu_request(lapic->cpu, X86_REQ_NMI);
		break;
	case LAPIC_INIT:
		x86_cpu_request(lapic->cpu, X86_REQ_INIT);
		break;
	default:
		break;
	}
}

/* SDM 11.8.5. Takes the device lock for a level-triggered vector. */
static void lapic_eoi(struct lapic *lapic)
{
	int vector = lapic_highest_isr(lapic);
	uint32_t bit;

	if (vector < 0)
		return;
	bit = 1u << (vector & 31);
	lapic->isr[vector >> 5] &= ~bit;
	if ((lapic_get(&lapic->tmr[vector >> 5]) & bit) &&
	    !(lapic_get(&lapic->svr) & LAPIC_SVR_NO_EOI_CAST) &&
	    lapic->set->ioapic) {
		host_lock(&lapic->vm->device_lock);
		ioapic_eoi(lapic->set->ioapic, (uint8_t)vector);
		host_unlock(&lapic->vm->device_lock);
	}
	lapic_recheck(lapic);
}

/* --- interprocessor interrupts ------------------------------------------ */

static void lapic_send_ipi(struct lapic *lapic)
{
	uint32_t low = (uint32_t)lapic->icr;
	uint32_t high = (uint32_t)(lapic->icr >> 32);
	bool wide = lapic_x2apic(lapic);
	struct lapic_message message = {
		.dest = wide ? high : high >> 24,
		.wide = wide,
		.logical = low & LAPIC_ICR_LOGICAL,
		.mode = (low >> 8) & 7,
		.vector = (uint8_t)low,
		.shorthand = LAPIC_ICR_SHORTHAND(low),
	};

	/* The level de-assert of the INIT protocol does nothing any more. */
	if (message.mode == LAPIC_INIT && !(low & LAPIC_ICR_ASSERT) &&
	    (low & LAPIC_ICR_LEVEL))
		return;
	if (message.mode <= LAPIC_LOWEST && message.vector < 16) {
		lapic_error(lapic, LAPIC_ESR_SEND_VECTOR);
		return;
	}
	lapic_route(lapic->set, lapic, &message);
}

/* --- registers ---------------------------------------------------------- */

/* Bits of each LVT entry that are kept, SDM figure 11-8. */
static const uint32_t lapic_lvt_bits[LAPIC_LVTS] = {
	[LAPIC_LVT_CMCI] = 0x107ff,
	[LAPIC_LVT_TIMER] = 0x700ff,
	[LAPIC_LVT_THERMAL] = 0x107ff,
	[LAPIC_LVT_PMC] = 0x107ff,
	[LAPIC_LVT_LINT0] = 0x1a7ff,
	[LAPIC_LVT_LINT1] = 0x1a7ff,
	[LAPIC_LVT_ERROR] = 0x100ff,
};

/* Status bits of LVT entries: read-only, but not reserved. */
#define LAPIC_LVT_STATUS 0x5000u

#define REG_READ  0x1 /* exists for reading */
#define REG_WRITE 0x2
#define REG_X1	  0x4 /* not in x2APIC mode */
#define REG_X2	  0x8 /* only there */
#define REG_X2_RO 0x10 /* not writable there */

struct lapic_access {
	uint8_t flags;
	uint32_t x2_bits; /* others must be 0 in WRMSR */
};

static const struct lapic_access lapic_access[LAPIC_REGS] = {
	[LAPIC_ID] = { REG_READ, 0 },
	[LAPIC_VERSION] = { REG_READ, 0 },
	[LAPIC_TPR] = { REG_READ | REG_WRITE, 0xff },
	[LAPIC_APR] = { REG_READ | REG_X1, 0 },
	[LAPIC_PPR] = { REG_READ, 0 },
	[LAPIC_EOI] = { REG_WRITE, 0 },
	[LAPIC_RRD] = { REG_READ | REG_X1, 0 },
	[LAPIC_LDR] = { REG_READ | REG_WRITE | REG_X2_RO, 0 },
	[LAPIC_DFR] = { REG_READ | REG_WRITE | REG_X1, 0 },
	[LAPIC_SVR] = { REG_READ | REG_WRITE, LAPIC_SVR_BITS },
	[LAPIC_ISR ... LAPIC_IRR + 7] = { REG_READ, 0 },
	[LAPIC_ESR] = { REG_READ | REG_WRITE, 0 },
	[LAPIC_CMCI] = { REG_READ | REG_WRITE, 0 /* as the LVT */ },
	[LAPIC_ICR] = { REG_READ | REG_WRITE, 0 /* 64 bits */ },
	[LAPIC_ICR_HIGH] = { REG_READ | REG_WRITE | REG_X1, 0 },
	[LAPIC_LVT_FIRST ... LAPIC_LVT_LAST] = { REG_READ | REG_WRITE, 0 },
	[LAPIC_TIMER_INITIAL] = { REG_READ | REG_WRITE, UINT32_MAX },
	[LAPIC_TIMER_CURRENT] = { REG_READ, 0 },
	[LAPIC_TIMER_DIVIDE] = { REG_READ | REG_WRITE, 0xb },
	[LAPIC_SELF_IPI] = { REG_WRITE | REG_X2, 0xff },
};

/* Index into lvt[] of a register, or -1. */
static int lapic_lvt_index(unsigned int reg)
{
	if (reg == LAPIC_CMCI)
		return LAPIC_LVT_CMCI;
	if (reg >= LAPIC_LVT_FIRST && reg <= LAPIC_LVT_LAST)
		return (int)(reg - LAPIC_LVT_FIRST) + LAPIC_LVT_TIMER;
	return -1;
}

static uint32_t lapic_read_reg(struct lapic *lapic, unsigned int reg)
{
	int lvt = lapic_lvt_index(reg);

	if (lvt >= 0)
		return lapic_get(&lapic->lvt[lvt]);
	switch (reg) {
	case LAPIC_ID:
		return lapic_x2apic(lapic) ? lapic->id : lapic->id << 24;
	case LAPIC_VERSION:
		return LAPIC_VERSION_VALUE;
	case LAPIC_TPR:
		return lapic_get(&lapic->tpr);
	case LAPIC_PPR:
		return lapic_ppr(lapic);
	case LAPIC_LDR:
		return lapic_get(&lapic->ldr);
	case LAPIC_DFR:
		return lapic_get(&lapic->dfr);
	case LAPIC_SVR:
		return lapic_get(&lapic->svr);
	case LAPIC_ISR ... LAPIC_ISR + 7:
		return lapic->isr[reg - LAPIC_ISR];
	case LAPIC_TMR ... LAPIC_TMR + 7:
		return lapic_get(&lapic->tmr[reg - LAPIC_TMR]);
	case LAPIC_IRR ... LAPIC_IRR + 7:
		return lapic_get(&lapic->irr[reg - LAPIC_IRR]);
	case LAPIC_ESR:
		return lapic->esr;
	case LAPIC_ICR:
		return (uint32_t)lapic->icr;
	case LAPIC_ICR_HIGH:
		return (uint32_t)(lapic->icr >> 32);
	case LAPIC_TIMER_INITIAL:
		return lapic->timer_initial;
	case LAPIC_TIMER_CURRENT:
		return lapic_timer_current(lapic);
	case LAPIC_TIMER_DIVIDE:
		return lapic->timer_divide;
	}
	return 0;
}

static void lapic_write_lvt(struct lapic *lapic, enum lapic_lvt entry,
			    uint32_t value)
{
	value &= lapic_lvt_bits[entry];
	if (!(lapic_get(&lapic->svr) & LAPIC_SVR_ENABLE))
		value |= LAPIC_LVT_MASKED;
	if (entry == LAPIC_LVT_TIMER)
		lapic_timer_set_lvt(lapic, value);
	else
		lapic_put(&lapic->lvt[entry], value);
	lapic_recheck(lapic); /* LINT0 may have become ExtINT */
}

/* SDM 11.4.7.2: a software-disabled APIC has every LVT entry masked. */
static void lapic_write_svr(struct lapic *lapic, uint32_t value)
{
	int i;

	lapic_put(&lapic->svr, value & LAPIC_SVR_BITS);
	if (value & LAPIC_SVR_ENABLE)
		return;
	for (i = 0; i < LAPIC_LVTS; i++)
		lapic_write_lvt(lapic, i, lapic_get(&lapic->lvt[i]));
}

static void lapic_set_tpr(void *apic, uint8_t tpr)
{
	struct lapic *lapic = apic;

	lapic_put(&lapic->tpr, tpr);
	lapic_recheck(lapic);
}

static void lapic_write_reg(struct lapic *lapic, unsigned int reg,
			    uint32_t value)
{
	int lvt = lapic_lvt_index(reg);

	if (lvt >= 0) {
		lapic_write_lvt(lapic, lvt, value);
		return;
	}
	switch (reg) {
	case LAPIC_TPR:
		lapic_set_tpr(lapic, (uint8_t)value);
		break;
	case LAPIC_EOI:
		lapic_eoi(lapic);
		break;
	case LAPIC_LDR:
		lapic_put(&lapic->ldr, value & 0xff000000);
		break;
	case LAPIC_DFR:
		lapic_put(&lapic->dfr, value | 0x0fffffff);
		break;
	case LAPIC_SVR:
		lapic_write_svr(lapic, value);
		break;
	case LAPIC_ESR:
		lapic->esr = atomic_exchange(&lapic->esr_pending, 0);
		break;
	case LAPIC_ICR:
		lapic->icr = (lapic->icr & ~(uint64_t)UINT32_MAX) |
			     (value & LAPIC_ICR_BITS);
		lapic_send_ipi(lapic);
		break;
	case LAPIC_ICR_HIGH:
		lapic->icr = (uint32_t)lapic->icr |
			     (uint64_t)(value & 0xff000000) << 32;
		break;
	case LAPIC_TIMER_INITIAL:
		lapic_timer_set_initial(lapic, value);
		break;
	case LAPIC_TIMER_DIVIDE:
		lapic_timer_set_divide(lapic, value);
		break;
	}
}

/* --- the processor's side ----------------------------------------------- */

/* The register at an offset of the page; LAPIC_REGS when there is none. */
static unsigned int lapic_mmio_reg(const struct lapic *lapic, uint32_t offset,
				   uint8_t need)
{
	unsigned int reg = offset >> 4;

	if ((offset & 0xf) || reg >= LAPIC_REGS || lapic_x2apic(lapic))
		return LAPIC_REGS;
	if ((lapic_access[reg].flags & (need | REG_X2)) != need)
		return LAPIC_REGS;
	return reg;
}

static uint32_t lapic_read(void *apic, uint32_t offset)
{
	struct lapic *lapic = apic;
	unsigned int reg = lapic_mmio_reg(lapic, offset, REG_READ);

	if (reg < LAPIC_REGS)
		return lapic_read_reg(lapic, reg);
	lapic_error(lapic, LAPIC_ESR_REGISTER);
	return 0;
}

static void lapic_write(void *apic, uint32_t offset, uint32_t value)
{
	struct lapic *lapic = apic;
	unsigned int reg = lapic_mmio_reg(lapic, offset, REG_WRITE);

	if (reg < LAPIC_REGS)
		lapic_write_reg(lapic, reg, value);
	else
		lapic_error(lapic, LAPIC_ESR_REGISTER);
}

/* The access rules of an x2APIC MSR, or NULL when it faults. */
static const struct lapic_access *
lapic_msr_access(const struct lapic *lapic, uint32_t index, uint8_t need)
{
	uint32_t reg = index - LAPIC_MSR_FIRST;
	const struct lapic_access *access;

	if (!lapic_x2apic(lapic) || reg >= LAPIC_REGS)
		return NULL;
	access = &lapic_access[reg];
	if ((access->flags & (need | REG_X1)) != need)
		return NULL;
	return access;
}

static bool lapic_read_msr(void *apic, uint32_t index, uint64_t *value)
{
	struct lapic *lapic = apic;

	if (index == LAPIC_MSR_TSC_DEADLINE) {
		*value = lapic_timer_deadline(lapic);
		return true;
	}
	if (!lapic_msr_access(lapic, index, REG_READ))
		return false;
	if (index == LAPIC_MSR_FIRST + LAPIC_ICR)
		*value = lapic->icr;
	else
		*value = lapic_read_reg(lapic, index - LAPIC_MSR_FIRST);
	return true;
}

static bool lapic_write_msr(void *apic, uint32_t index, uint64_t value)
{
	struct lapic *lapic = apic;
	uint32_t reg = index - LAPIC_MSR_FIRST;
	const struct lapic_access *access;
	uint64_t bits;
	int lvt;

	if (index == LAPIC_MSR_TSC_DEADLINE) {
		lapic_timer_set_deadline(lapic, value);
		return true;
	}
	access = lapic_msr_access(lapic, index, REG_WRITE);
	if (!access || (access->flags & REG_X2_RO))
		return false;
	lvt = lapic_lvt_index(reg);
	bits = access->x2_bits;
	if (reg == LAPIC_ICR)
		bits = LAPIC_ICR_X2_BITS;
	else if (lvt >= 0)
		bits = lapic_lvt_bits[lvt] | LAPIC_LVT_STATUS;
	if (value & ~bits)
		return false;
	if (reg == LAPIC_ICR) {
		lapic->icr = value & ~(uint64_t)LAPIC_ICR_STATUS;
		lapic_send_ipi(lapic);
	} else if (reg == LAPIC_SELF_IPI) {
		lapic_route(lapic->set, lapic,
			    &(struct lapic_message){
				    .mode = LAPIC_FIXED,
				    .vector = (uint8_t)value,
				    .shorthand = LAPIC_TO_SELF,
			    });
	} else {
		lapic_write_reg(lapic, reg, (uint32_t)value);
	}
	return true;
}

static uint8_t lapic_get_tpr(void *apic)
{
	const struct lapic *lapic = apic;

	return (uint8_t)lapic_get(&lapic->tpr);
}

/* --- state -------------------------------------------------------------- */

/* SDM 11.4.7.3: registers after INIT; IA32_APIC_BASE and the id stay. */
static void lapic_init_registers(void *apic)
{
	struct lapic *lapic = apic;
	int i;

	lapic_timer_reset(lapic);
	for (i = 0; i < 8; i++) {
		lapic->isr[i] = 0;
		lapic_put(&lapic->irr[i], 0);
		lapic_put(&lapic->tmr[i], 0);
	}
	for (i = 0; i < LAPIC_LVTS; i++)
		lapic_put(&lapic->lvt[i], LAPIC_LVT_MASKED);
	if (lapic->base & LAPIC_BASE_BSP)
		lapic_put(&lapic->lvt[LAPIC_LVT_LINT0], LAPIC_LVT_EXTINT);
	lapic_put(&lapic->tpr, 0);
	lapic_put(&lapic->dfr, UINT32_MAX);
	lapic_put(&lapic->svr, 0xff);
	lapic_put(&lapic->esr_pending, 0);
	lapic->esr = 0;
	lapic->icr = 0;
	lapic_put(&lapic->ldr, 0);
	if (lapic_x2apic(lapic)) /* SDM 11.12.10.2 */
		lapic_put(&lapic->ldr, (lapic->id >> 4) << 16 |
					       1u << (lapic->id & 0xf));
}

static void lapic_set_base(void *apic, uint64_t base)
{
	struct lapic *lapic = apic;
	bool was_on = lapic_on(lapic), was_x2 = lapic_x2apic(lapic);

	atomic_store_explicit(&lapic->base, base, memory_order_relaxed);
	if (was_on && !lapic_on(lapic)) {
		lapic_init_registers(lapic);
	} else if (!was_x2 && lapic_x2apic(lapic)) {
		lapic->icr = (uint32_t)lapic->icr;
		lapic_put(&lapic->ldr, (lapic->id >> 4) << 16 |
					       1u << (lapic->id & 0xf));
	}
	lapic_recheck(lapic);
}

void lapic_reset(struct lapic *lapic)
{
	uint64_t base = LAPIC_BASE | LAPIC_BASE_ENABLE;

	if (lapic->id == 0)
		base |= LAPIC_BASE_BSP;
	atomic_store(&lapic->base, base);
	atomic_store(&lapic->extint, false);
	lapic_init_registers(lapic);
}

static void lapic_class_reset(void *device)
{
	lapic_reset(device);
}

static int lapic_check(const void *object)
{
	const struct lapic *lapic = object;

	if (lapic->id >= VM_CPUS_MAX || (lapic->timer_divide & ~0xbu) ||
	    (lapic->timer_running && !lapic->timer_initial))
		return -VM_EBADMSG;
	return 0;
}

/* The processor looks at what came with the state. */
static void lapic_loaded(void *object)
{
	lapic_recheck(object);
}

static const struct field lapic_fields[] = {
	FIELD(struct lapic, FIELD_U64, base),
	FIELD(struct lapic, FIELD_U32, id),
	FIELD(struct lapic, FIELD_U32, tpr),
	FIELD(struct lapic, FIELD_U32, ldr),
	FIELD(struct lapic, FIELD_U32, dfr),
	FIELD(struct lapic, FIELD_U32, svr),
	FIELD(struct lapic, FIELD_U32, esr),
	FIELD(struct lapic, FIELD_U32, esr_pending),
	FIELD_ARRAY(struct lapic, FIELD_U32, isr, 8),
	FIELD_ARRAY(struct lapic, FIELD_U32, tmr, 8),
	FIELD_ARRAY(struct lapic, FIELD_U32, irr, 8),
	FIELD(struct lapic, FIELD_U64, icr),
	FIELD_ARRAY(struct lapic, FIELD_U32, lvt, LAPIC_LVTS),
	FIELD(struct lapic, FIELD_U32, timer_initial),
	FIELD(struct lapic, FIELD_U32, timer_divide),
	FIELD(struct lapic, FIELD_U64, timer_start),
	FIELD(struct lapic, FIELD_U64, timer_due),
	FIELD(struct lapic, FIELD_BOOL, timer_running),
	FIELD(struct lapic, FIELD_U64, tsc_deadline),
	FIELD(struct lapic, FIELD_TIMER, timer),
	FIELD(struct lapic, FIELD_BOOL, extint),
};

static const struct state_class lapic_state = {
	.name = "lapic",
	.version = 1,
	.size = sizeof(struct lapic),
	.fields = lapic_fields,
	.field_count = sizeof(lapic_fields) / sizeof(lapic_fields[0]),
	.check = lapic_check,
	.loaded = lapic_loaded,
};

const struct device_class lapic_class = {
	.name = "lapic",
	.reset = lapic_class_reset,
	.state = &lapic_state,
};

const struct x86_apic_ops lapic_ops = {
	.accept = lapic_accept,
	.pending = lapic_pending,
	.get_tpr = lapic_get_tpr,
	.set_tpr = lapic_set_tpr,
	.read_msr = lapic_read_msr,
	.write_msr = lapic_write_msr,
	.read = lapic_read,
	.write = lapic_write,
	.set_base = lapic_set_base,
	.init = lapic_init_registers,
};

int lapic_init(struct lapic *lapic, struct vm *vm, struct x86_cpu *cpu,
	       struct lapic_set *set)
{
	if (set->count >= VM_CPUS_MAX)
		return -VM_ENOSPC;
	lapic->vm = vm;
	lapic->cpu = cpu;
	lapic->set = set;
	lapic->id = cpu->id;
	lapic_timer_init(lapic);
	lapic_reset(lapic);
	cpu->apic.ops = &lapic_ops;
	cpu->apic.object = lapic;
	set->lapic[set->count++] = lapic;
	return vm_add_device(vm, &lapic_class, lapic);
}
