/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical state to and from a KVM vCPU. KVM's XSAVE area has the host
 * processor's layout (CPUID leaf 0xd), ours is fixed: components are moved
 * one by one.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "x86/msr.h"

/* --- CPUID ---------------------------------------------------------------- */

/* Leaves whose content is no feature mask: KVM's answer or ours, whole. */
static bool take_policy(uint32_t leaf)
{
	return (leaf >= 2 && leaf <= 6) || leaf == 0 || leaf == 0xb ||
	       leaf == 0x15 || leaf == 0x16 || leaf == 0x40000000 ||
	       leaf == 0x40000010 || leaf == 0x80000000 ||
	       (leaf >= 0x80000002 && leaf <= 0x80000006) ||
	       leaf >= 0x8000001d || leaf == 0x80000008;
}

static const struct kvm_cpuid_entry2 *
find_supported(const struct kvm_cpuid2 *all, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < all->nent; i++)
		if (all->entries[i].function == leaf &&
		    (!(all->entries[i].flags &
		       KVM_CPUID_FLAG_SIGNIFCANT_INDEX) ||
		     all->entries[i].index == subleaf))
			return &all->entries[i];
	return NULL;
}

/* The policy's leaf, less what KVM cannot do; leaf 0xd as the host lays it
 * out, since the host's XSAVE instructions run. */
static void merge_leaf(struct kvm_cpuid_entry2 *entry,
		       const struct kvm_cpuid2 *all)
{
	const struct kvm_cpuid_entry2 *can =
		find_supported(all, entry->function, entry->index);
	const uint32_t keep_ecx = 1u << 31; /* hypervisor */

	if (take_policy(entry->function))
		return;
	if (!can) {
		entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
		return;
	}
	if (entry->function == 0xd) {
		entry->ebx = can->ebx;
		entry->ecx = can->ecx;
		if (entry->index == 1)
			entry->eax &= can->eax;
		return;
	}
	if (entry->function == 1) {
		entry->ecx &= can->ecx | keep_ecx | 1u << 24 | 1u << 21;
		entry->edx &= can->edx;
		return;
	}
	if (entry->function != 7 && entry->function != 0x80000001)
		entry->eax &= can->eax;
	entry->ebx &= entry->function == 0x80000001 ? UINT32_MAX : can->ebx;
	entry->ecx &= can->ecx;
	entry->edx &= can->edx;
}

int kvm_set_cpuid(struct kvm_cpu *own)
{
	const size_t most = 256;
	const size_t size = sizeof(struct kvm_cpuid2) +
			    most * sizeof(struct kvm_cpuid_entry2);
	const struct cpuid_policy *policy = own->kvm->cpuid;
	struct kvm_cpuid2 *all = calloc(1, size), *mine = calloc(1, size);
	int err = 0;

	if (!all || !mine) {
		err = -ENOMEM;
		goto out;
	}
	all->nent = most;
	if (ioctl(own->kvm->system, KVM_GET_SUPPORTED_CPUID, all)) {
		err = -errno;
		goto out;
	}
	for (unsigned int i = 0; i < policy->count; i++) {
		const struct cpuid_leaf *leaf = &policy->leaf[i];
		struct kvm_cpuid_entry2 *entry = &mine->entries[i];
		bool indexed = leaf->subleaf != CPUID_ANY;
		uint32_t subleaf = indexed ? leaf->subleaf : 0;
		struct cpuid_regs regs = cpuid_query(policy, &own->cpu->state,
						     own->cpu->id, leaf->leaf,
						     subleaf);

		*entry = (struct kvm_cpuid_entry2){
			.function = leaf->leaf,
			.index = subleaf,
			.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
			.eax = regs.eax,
			.ebx = regs.ebx,
			.ecx = regs.ecx,
			.edx = regs.edx,
		};
		merge_leaf(entry, all);
	}
	mine->nent = policy->count;
	if (ioctl(own->fd, KVM_SET_CPUID2, mine))
		err = -errno;
out:
	free(all);
	free(mine);
	return err;
}

/* --- registers ------------------------------------------------------------ */

/* Our GPR order is the encoding's; KVM's is its struct's. */
static void regs_to_kvm(const struct x86_state *s, struct kvm_regs *k)
{
	*k = (struct kvm_regs){
		.rax = s->gpr[X86_RAX], .rbx = s->gpr[X86_RBX],
		.rcx = s->gpr[X86_RCX], .rdx = s->gpr[X86_RDX],
		.rsi = s->gpr[X86_RSI], .rdi = s->gpr[X86_RDI],
		.rsp = s->gpr[X86_RSP], .rbp = s->gpr[X86_RBP],
		.r8 = s->gpr[X86_R8],	.r9 = s->gpr[X86_R9],
		.r10 = s->gpr[X86_R10], .r11 = s->gpr[X86_R11],
		.r12 = s->gpr[X86_R12], .r13 = s->gpr[X86_R13],
		.r14 = s->gpr[X86_R14], .r15 = s->gpr[X86_R15],
		.rip = s->rip,		.rflags = s->rflags,
	};
}

static void regs_from_kvm(const struct kvm_regs *k, struct x86_state *s)
{
	const uint64_t gpr[16] = {
		k->rax, k->rcx, k->rdx, k->rbx, k->rsp, k->rbp, k->rsi, k->rdi,
		k->r8,	k->r9,	k->r10, k->r11, k->r12, k->r13, k->r14, k->r15,
	};

	memcpy(s->gpr, gpr, sizeof(gpr));
	s->rip = k->rip;
	s->rflags = k->rflags;
}

static struct kvm_segment segment_to_kvm(const struct x86_segment *s)
{
	return (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = s->attr & X86_ATTR_TYPE,
		.s = !!(s->attr & X86_ATTR_S),
		.dpl = (s->attr & X86_ATTR_DPL) >> X86_ATTR_DPL_SHIFT,
		.present = !!(s->attr & X86_ATTR_P),
		.avl = !!(s->attr & X86_ATTR_AVL),
		.l = !!(s->attr & X86_ATTR_L),
		.db = !!(s->attr & X86_ATTR_DB),
		.g = !!(s->attr & X86_ATTR_G),
		.unusable = !(s->attr & X86_ATTR_P),
	};
}

static struct x86_segment segment_from_kvm(const struct kvm_segment *k)
{
	unsigned int attr = k->type | (k->s ? X86_ATTR_S : 0) |
			    (unsigned int)k->dpl << X86_ATTR_DPL_SHIFT |
			    (k->present ? X86_ATTR_P : 0) |
			    (k->avl ? X86_ATTR_AVL : 0) |
			    (k->l ? X86_ATTR_L : 0) |
			    (k->db ? X86_ATTR_DB : 0) |
			    (k->g ? X86_ATTR_G : 0);

	return (struct x86_segment){
		.base = k->base,
		.limit = k->limit,
		.selector = k->selector,
		.attr = k->unusable ? 0 : (uint16_t)attr,
	};
}

static int put_sregs(struct kvm_cpu *own)
{
	const struct x86_state *s = &own->cpu->state;
	struct kvm_sregs k = {
		.cs = segment_to_kvm(&s->seg[X86_CS]),
		.ds = segment_to_kvm(&s->seg[X86_DS]),
		.es = segment_to_kvm(&s->seg[X86_ES]),
		.fs = segment_to_kvm(&s->seg[X86_FS]),
		.gs = segment_to_kvm(&s->seg[X86_GS]),
		.ss = segment_to_kvm(&s->seg[X86_SS]),
		.tr = segment_to_kvm(&s->tr),
		.ldt = segment_to_kvm(&s->ldtr),
		.gdt = { .base = s->gdtr.base,
			 .limit = (uint16_t)s->gdtr.limit },
		.idt = { .base = s->idtr.base,
			 .limit = (uint16_t)s->idtr.limit },
		.cr0 = s->cr0, .cr2 = s->cr2, .cr3 = s->cr3, .cr4 = s->cr4,
		.efer = s->efer,
		.apic_base = s->apic_base,
	};

	if (own->cpu->apic.ops)
		k.cr8 = own->cpu->apic.ops->get_tpr(own->cpu->apic.object) >>
			4;
	return ioctl(own->fd, KVM_SET_SREGS, &k) ? -errno : 0;
}

static int get_sregs(struct kvm_cpu *own)
{
	struct x86_state *s = &own->cpu->state;
	struct kvm_sregs k;

	if (ioctl(own->fd, KVM_GET_SREGS, &k))
		return -errno;
	s->seg[X86_CS] = segment_from_kvm(&k.cs);
	s->seg[X86_DS] = segment_from_kvm(&k.ds);
	s->seg[X86_ES] = segment_from_kvm(&k.es);
	s->seg[X86_FS] = segment_from_kvm(&k.fs);
	s->seg[X86_GS] = segment_from_kvm(&k.gs);
	s->seg[X86_SS] = segment_from_kvm(&k.ss);
	s->tr = segment_from_kvm(&k.tr);
	s->ldtr = segment_from_kvm(&k.ldt);
	s->gdtr = (struct x86_table){ k.gdt.base, k.gdt.limit };
	s->idtr = (struct x86_table){ k.idt.base, k.idt.limit };
	s->cr0 = k.cr0;
	s->cr2 = k.cr2;
	s->cr3 = k.cr3;
	s->cr4 = k.cr4;
	s->efer = k.efer;
	s->apic_base = k.apic_base;
	return 0;
}

/* --- extended state ------------------------------------------------------- */

/* Components behind the legacy area and the header, by their number. */
static const struct {
	unsigned int number;
	uint32_t offset, size; /* in x86_state.xsave */
} components[] = {
	{ 2, X86_XSAVE_YMM, 256 },
	{ 5, X86_XSAVE_OPMASK, 64 },
	{ 6, X86_XSAVE_ZMM_HI256, 512 },
	{ 7, X86_XSAVE_HI16_ZMM, 1024 },
};

#define LEGACY_AND_HEADER 576u

static void move_components(const struct kvm_cpu *own, uint8_t *ours,
			    uint8_t *theirs, bool to_kvm)
{
	for (unsigned int i = 0;
	     i < sizeof(components) / sizeof(components[0]); i++) {
		struct cpuid_regs host = cpuid_host(0xd, components[i].number);
		uint8_t *mine = ours + components[i].offset;

		if (!(own->kvm->cpuid->xcr0 >> components[i].number & 1) ||
		    host.ebx + components[i].size > sizeof(struct kvm_xsave))
			continue;
		if (to_kvm)
			memcpy(theirs + host.ebx, mine, components[i].size);
		else
			memcpy(mine, theirs + host.ebx, components[i].size);
	}
}

static int put_xsave(struct kvm_cpu *own)
{
	struct x86_state *s = &own->cpu->state;
	struct kvm_xcrs xcrs = { .nr_xcrs = 1,
				 .xcrs[0] = { .xcr = 0, .value = s->xcr0 } };
	struct kvm_xsave *area = calloc(1, sizeof(*area));
	uint64_t in_use = own->kvm->cpuid->xcr0;
	int err = 0;

	if (!area)
		return -ENOMEM;
	memcpy(area, s->xsave, X86_XSAVE_HEADER);
	memcpy((uint8_t *)area + X86_XSAVE_HEADER, &in_use, sizeof(in_use));
	move_components(own, s->xsave, (uint8_t *)area, true);
	if (ioctl(own->fd, KVM_SET_XSAVE, area) ||
	    ioctl(own->fd, KVM_SET_XCRS, &xcrs))
		err = -errno;
	free(area);
	return err;
}

/* Components that the processor reports as unused are in initial state. */
static void clear_unused(struct x86_state *s, uint64_t in_use)
{
	for (unsigned int i = 0;
	     i < sizeof(components) / sizeof(components[0]); i++)
		if (!(in_use >> components[i].number & 1))
			memset(s->xsave + components[i].offset, 0,
			       components[i].size);
	if (!(in_use & X86_XCR0_SSE))
		memset(s->xsave + 160, 0, 256);
	if (!(in_use & X86_XCR0_X87)) {
		uint16_t fcw = 0x37f;

		memset(s->xsave, 0, 24);
		memcpy(s->xsave, &fcw, sizeof(fcw));
		memset(s->xsave + 32, 0, 128);
	}
}

static int get_xsave(struct kvm_cpu *own)
{
	struct x86_state *s = &own->cpu->state;
	struct kvm_xsave *area = calloc(1, sizeof(*area));
	struct kvm_xcrs xcrs = { 0 };
	uint64_t in_use;
	int err = 0;

	if (!area)
		return -ENOMEM;
	if (ioctl(own->fd, KVM_GET_XSAVE, area) ||
	    ioctl(own->fd, KVM_GET_XCRS, &xcrs)) {
		err = -errno;
		goto out;
	}
	memcpy(&in_use, (uint8_t *)area + X86_XSAVE_HEADER, sizeof(in_use));
	memcpy(s->xsave, area, X86_XSAVE_HEADER);
	move_components(own, s->xsave, (uint8_t *)area, false);
	clear_unused(s, in_use);
	for (uint32_t i = 0; i < xcrs.nr_xcrs; i++)
		if (!xcrs.xcrs[i].xcr)
			s->xcr0 = xcrs.xcrs[i].value;
out:
	free(area);
	return err;
}

/* --- MSRs ----------------------------------------------------------------- */

/* struct kvm_msrs with its array of one. */
struct one_msr {
	struct {
		uint32_t nmsrs, pad;
	} head;
	struct kvm_msr_entry entry;
};

/* Registers that this KVM or processor lacks are left out. */
static void put_msr(struct kvm_cpu *own, uint32_t index, uint64_t value)
{
	struct one_msr m = { .head.nmsrs = 1,
			     .entry = { .index = index, .data = value } };

	ioctl(own->fd, KVM_SET_MSRS, &m);
}

static bool get_msr(struct kvm_cpu *own, uint32_t index, uint64_t *value)
{
	struct one_msr m = { .head.nmsrs = 1, .entry.index = index };

	if (ioctl(own->fd, KVM_GET_MSRS, &m) != 1)
		return false;
	*value = m.entry.data;
	return true;
}

static bool is_kvm_clock(uint32_t index)
{
	return index == X86_MSR_KVM_WALL || index == X86_MSR_KVM_SYSTEM;
}

static void put_msrs(struct kvm_cpu *own)
{
	struct x86_cpu *cpu = own->cpu;
	uint64_t value;

	for (unsigned int i = 0; i < x86_msr_count; i++)
		if (x86_msr_read(cpu, x86_msr_list[i], &value))
			put_msr(own, x86_msr_list[i], value);
	put_msr(own, X86_MSR_TSC, x86_tsc(cpu));
	put_msr(own, X86_MSR_TSC_ADJUST, cpu->state.tsc_adjust);
}

static void get_msrs(struct kvm_cpu *own)
{
	struct x86_cpu *cpu = own->cpu;
	struct x86_state *s = &cpu->state;
	uint64_t value;

	for (unsigned int i = 0; i < x86_msr_count; i++)
		/* Ours would write the clock's page: KVM has done that. */
		if (!is_kvm_clock(x86_msr_list[i]) &&
		    get_msr(own, x86_msr_list[i], &value))
			x86_msr_write(cpu, x86_msr_list[i], value);
	get_msr(own, X86_MSR_KVM_WALL, &s->kvmclock_wall);
	get_msr(own, X86_MSR_KVM_SYSTEM, &s->kvmclock_system);
	if (get_msr(own, X86_MSR_TSC, &value))
		s->tsc_offset += value - x86_tsc(cpu);
	get_msr(own, X86_MSR_TSC_ADJUST, &s->tsc_adjust);
}

/* --- events and debug registers ------------------------------------------- */

static int put_events(struct kvm_cpu *own)
{
	const struct x86_state *s = &own->cpu->state;
	static const uint32_t activity[] = {
		[X86_RUNNING] = KVM_MP_STATE_RUNNABLE,
		[X86_HALTED] = KVM_MP_STATE_HALTED,
		[X86_WAIT_SIPI] = KVM_MP_STATE_INIT_RECEIVED,
		[X86_SHUTDOWN] = KVM_MP_STATE_RUNNABLE,
	};
	struct kvm_mp_state mp = { .mp_state = activity[s->activity & 3] };
	struct kvm_vcpu_events e = {
		.exception = { .injected = s->fault_pending,
			       .nr = s->fault_vector,
			       .has_error_code = s->fault_has_error,
			       .error_code = s->fault_error },
		.interrupt.shadow = s->int_shadow,
		.nmi = { .pending = s->nmi_pending, .masked = s->nmi_blocked },
		.sipi_vector = s->sipi_vector,
		.flags = KVM_VCPUEVENT_VALID_NMI_PENDING |
			 KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			 KVM_VCPUEVENT_VALID_SHADOW,
	};

	if (ioctl(own->fd, KVM_SET_VCPU_EVENTS, &e) ||
	    ioctl(own->fd, KVM_SET_MP_STATE, &mp))
		return -errno;
	return 0;
}

static int get_events(struct kvm_cpu *own)
{
	struct x86_state *s = &own->cpu->state;
	struct kvm_vcpu_events e;
	struct kvm_mp_state mp;

	if (ioctl(own->fd, KVM_GET_VCPU_EVENTS, &e) ||
	    ioctl(own->fd, KVM_GET_MP_STATE, &mp))
		return -errno;
	s->fault_pending = e.exception.injected;
	s->fault_vector = e.exception.nr;
	s->fault_has_error = e.exception.has_error_code;
	s->fault_error = e.exception.error_code;
	s->int_shadow = e.interrupt.shadow != 0;
	s->nmi_pending = e.nmi.pending;
	s->nmi_blocked = e.nmi.masked;
	s->sipi_vector = (uint8_t)e.sipi_vector;
	s->activity = X86_RUNNING;
	if (mp.mp_state == KVM_MP_STATE_HALTED)
		s->activity = X86_HALTED;
	else if (mp.mp_state != KVM_MP_STATE_RUNNABLE)
		s->activity = X86_WAIT_SIPI;
	return 0;
}

static int put_debug(struct kvm_cpu *own)
{
	const uint64_t *dr = own->cpu->state.dr;
	struct kvm_debugregs k = { .db = { dr[0], dr[1], dr[2], dr[3] },
				   .dr6 = dr[6],
				   .dr7 = dr[7] };

	return ioctl(own->fd, KVM_SET_DEBUGREGS, &k) ? -errno : 0;
}

static int get_debug(struct kvm_cpu *own)
{
	uint64_t *dr = own->cpu->state.dr;
	struct kvm_debugregs k;

	if (ioctl(own->fd, KVM_GET_DEBUGREGS, &k))
		return -errno;
	memcpy(dr, k.db, sizeof(k.db));
	dr[6] = k.dr6;
	dr[7] = k.dr7;
	return 0;
}

/* --- the whole ------------------------------------------------------------ */

int kvm_put_state(struct x86_cpu *cpu)
{
	struct kvm_cpu *own = cpu->engine;
	struct kvm_regs regs;
	int err;

	regs_to_kvm(&cpu->state, &regs);
	err = put_sregs(own);
	if (!err && ioctl(own->fd, KVM_SET_REGS, &regs))
		err = -errno;
	if (!err)
		err = put_xsave(own);
	if (!err)
		err = put_debug(own);
	if (!err)
		put_msrs(own);
	if (!err)
		err = kvm_put_lapic(own);
	if (!err)
		err = put_events(own);
	if (!err && !cpu->id)
		err = kvm_put_irqchip(own->kvm);
	return err;
}

int kvm_get_state(struct x86_cpu *cpu)
{
	struct kvm_cpu *own = cpu->engine;
	struct kvm_regs regs;
	int err = get_sregs(own);

	if (!err && ioctl(own->fd, KVM_GET_REGS, &regs))
		err = -errno;
	if (err)
		return err;
	regs_from_kvm(&regs, &cpu->state);
	err = get_xsave(own);
	if (!err)
		err = get_debug(own);
	if (!err)
		get_msrs(own);
	if (!err)
		err = kvm_get_lapic(own);
	if (!err)
		err = get_events(own);
	if (!err && !cpu->id)
		err = kvm_get_irqchip(own->kvm);
	cpu->lazy_bits = 0;
	x86_update_mode(cpu);
	return err;
}
