/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical state to and from a KVM vCPU: registers, segments, events and
 * debug registers here, the rest in the files that it calls. Linux, api.rst,
 * KVM_GET_SREGS, KVM_GET_VCPU_EVENTS, KVM_GET_MP_STATE.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "chip/lapic.h"

/* --- registers ------------------------------------------------------------ */

/* Our GPR order is the encoding's; KVM's is its struct's. */
static int put_regs(struct kvm_cpu *own)
{
	const struct x86_state *s = &own->cpu->state;
	const struct kvm_regs k = {
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

	return ioctl(own->fd, KVM_SET_REGS, &k) ? -errno : 0;
}

static int get_regs(struct kvm_cpu *own)
{
	struct x86_state *s = &own->cpu->state;
	struct kvm_regs k;

	if (ioctl(own->fd, KVM_GET_REGS, &k))
		return -errno;
	const uint64_t gpr[16] = {
		k.rax, k.rcx, k.rdx, k.rbx, k.rsp, k.rbp, k.rsi, k.rdi,
		k.r8,  k.r9,  k.r10, k.r11, k.r12, k.r13, k.r14, k.r15,
	};

	memcpy(s->gpr, gpr, sizeof(gpr));
	s->rip = k.rip;
	s->rflags = k.rflags;
	return 0;
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
	const struct kvm_sregs k = {
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
		.cr0 = s->cr0,
		.cr2 = s->cr2,
		.cr3 = s->cr3,
		.cr4 = s->cr4,
		.cr8 = own->cr8,
		.efer = s->efer,
		.apic_base = s->apic_base,
	};

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
	own->cr8 = (uint8_t)k.cr8;
	return 0;
}

/* --- events --------------------------------------------------------------- */

static uint8_t shadow_to_kvm(uint8_t shadow)
{
	return (shadow & X86_SHADOW_STI ? KVM_X86_SHADOW_INT_STI : 0) |
	       (shadow & X86_SHADOW_SS ? KVM_X86_SHADOW_INT_MOV_SS : 0);
}

/* AMD's processors do not tell the two apart and report both. */
static uint8_t shadow_from_kvm(uint8_t shadow)
{
	if (shadow & KVM_X86_SHADOW_INT_STI)
		return X86_SHADOW_STI;
	return shadow & KVM_X86_SHADOW_INT_MOV_SS ? X86_SHADOW_SS : 0;
}

/* An interrupt that KVM has taken and not yet entered stays as it is. */
static int put_events(struct kvm_cpu *own, bool keep_interrupt)
{
	const struct x86_state *s = &own->cpu->state;
	struct kvm_vcpu_events e = { 0 }, now;

	if (ioctl(own->fd, KVM_GET_VCPU_EVENTS, &now))
		return -errno;
	if (keep_interrupt)
		e.interrupt = now.interrupt;
	e.exception.injected = s->fault_pending;
	e.exception.nr = s->fault_vector;
	e.exception.has_error_code = s->fault_has_error;
	e.exception.error_code = s->fault_error;
	e.interrupt.shadow = shadow_to_kvm(s->int_shadow);
	e.nmi.pending = s->nmi_pending;
	e.nmi.masked = s->nmi_blocked;
	e.sipi_vector = s->sipi_vector;
	e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING |
		  KVM_VCPUEVENT_VALID_SIPI_VECTOR |
		  KVM_VCPUEVENT_VALID_SHADOW;
	return ioctl(own->fd, KVM_SET_VCPU_EVENTS, &e) ? -errno : 0;
}

static int get_events(struct kvm_cpu *own)
{
	struct x86_state *s = &own->cpu->state;
	struct kvm_vcpu_events e;

	if (ioctl(own->fd, KVM_GET_VCPU_EVENTS, &e))
		return -errno;
	s->fault_pending = e.exception.injected;
	s->fault_vector = e.exception.nr & 31;
	s->fault_has_error = e.exception.has_error_code;
	s->fault_error = e.exception.error_code;
	s->int_shadow = shadow_from_kvm(e.interrupt.shadow);
	/* One that was on its way in has blocked further ones already. */
	s->nmi_pending = e.nmi.pending || e.nmi.injected;
	s->nmi_blocked = e.nmi.masked && !e.nmi.injected;
	s->sipi_vector = (uint8_t)e.sipi_vector;
	own->taken = e.interrupt.injected && !e.interrupt.soft
			     ? e.interrupt.nr : -1;
	return 0;
}

static int put_activity(struct kvm_cpu *own)
{
	static const uint32_t activity[] = {
		[X86_RUNNING] = KVM_MP_STATE_RUNNABLE,
		[X86_HALTED] = KVM_MP_STATE_HALTED,
		[X86_WAIT_SIPI] = KVM_MP_STATE_INIT_RECEIVED,
		[X86_SHUTDOWN] = KVM_MP_STATE_RUNNABLE,
	};
	struct kvm_mp_state mp = {
		.mp_state = activity[own->cpu->state.activity & 3],
	};

	return ioctl(own->fd, KVM_SET_MP_STATE, &mp) ? -errno : 0;
}

static int get_activity(struct kvm_cpu *own)
{
	struct x86_state *s = &own->cpu->state;
	struct kvm_mp_state mp;

	if (ioctl(own->fd, KVM_GET_MP_STATE, &mp))
		return -errno;
	if (mp.mp_state == KVM_MP_STATE_HALTED)
		s->activity = X86_HALTED;
	else if (mp.mp_state == KVM_MP_STATE_INIT_RECEIVED ||
		 mp.mp_state == KVM_MP_STATE_UNINITIALIZED)
		s->activity = X86_WAIT_SIPI;
	else
		s->activity = X86_RUNNING;
	return 0;
}

static int put_debug(struct kvm_cpu *own)
{
	const uint64_t *dr = own->cpu->state.dr;
	const struct kvm_debugregs k = { .db = { dr[0], dr[1], dr[2], dr[3] },
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

/* Moves one part; 0 or a negative errno. */
typedef int part_mover(struct kvm_cpu *own);

static int move_parts(struct kvm_cpu *own, part_mover *const *part)
{
	int err = 0;

	while (*part && !err)
		err = (*part++)(own);
	return err;
}

int kvm_put_registers(struct kvm_cpu *own)
{
	static part_mover *const parts[] = {
		put_sregs, put_regs, kvm_put_xsave, put_debug,
		put_activity, NULL,
	};
	int err = move_parts(own, parts);

	return err ? err : put_events(own, true);
}

int kvm_get_registers(struct kvm_cpu *own)
{
	static part_mover *const parts[] = {
		get_sregs, get_regs, kvm_get_xsave, get_debug,
		get_events, get_activity, NULL,
	};

	return move_parts(own, parts);
}

int kvm_put_state(struct x86_cpu *cpu)
{
	/* The LAPIC needs its base; its timer needs the TSC. */
	static part_mover *const parts[] = {
		put_sregs, put_regs, kvm_put_xsave, put_debug,
		kvm_put_msrs, kvm_put_lapic, put_activity, NULL,
	};
	struct kvm_cpu *own = cpu->engine;
	int err;

	own->cr8 = 0;
	if (cpu->apic.ops)
		own->cr8 = cpu->apic.ops->get_tpr(cpu->apic.object) >> 4;
	err = move_parts(own, parts);
	if (!err)
		err = put_events(own, false);
	if (!err && !cpu->id)
		err = kvm_put_irqchip(own);
	return err;
}

int kvm_get_state(struct x86_cpu *cpu)
{
	static part_mover *const parts[] = { kvm_get_registers, kvm_get_msrs,
					     kvm_get_lapic, NULL };
	struct kvm_cpu *own = cpu->engine;
	int err;

	kvm_hold_interrupts(own->kvm);
	err = move_parts(own, parts);
	if (!err && !cpu->id)
		err = kvm_get_irqchip(own);
	x86_cpu_state_changed(cpu);
	return err;
}
