/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery of exceptions and interrupts through the real-mode vector table,
 * the protected-mode IDT and the long-mode IDT, and the events that a
 * processor looks for between instructions. Intel SDM vol. 3, chapter 6,
 * 20.2.7, 20.3; AMD64 APM vol. 2, chapter 8. An IRET that faults leaves NMIs
 * blocked.
 */
#include "x86/event.h"

#include "x86/access.h"
#include "x86/reg.h"
#include "x86/segment.h"
#include "x86/stack.h"

struct event {
	uint8_t vector;
	bool software; /* INT n, INT3, INTO: gate's DPL counts, EXT clear */
	bool has_error;
	uint32_t error;
	uint64_t rip;	/* pushed */
	uint64_t flags; /* pushed */
};

/* A gate of either size, unpacked. */
struct gate {
	uint8_t type; /* enum x86_system_type */
	uint8_t ist;
	uint16_t selector;
	uint64_t offset;
};

/* Where an event goes, checked. */
struct handler {
	struct x86_segment cs;
	struct x86_stack stack;
	uint64_t rip;
	unsigned int cpl;
	bool masks; /* interrupt gate: clears IF */
};

/* Error codes that name a selector or a gate (SDM vol. 3, 6.13). */
#define ERROR_EXT 1u /* an event from outside the program */
#define ERROR_IDT 2u

static uint32_t gate_error(const struct event *ev)
{
	return ev->vector * 8u + ERROR_IDT;
}

static bool has_selector_error(uint8_t vector)
{
	return vector >= X86_TS && vector <= X86_GP;
}

/* Checks that long, 16- and 32-bit gates have in common. */
static enum x86_result unpack_gate(struct x86_cpu *cpu,
				   const struct event *ev,
				   const struct x86_descriptor *desc,
				   unsigned int types, struct gate *gate)
{
	uint16_t attr = x86_descriptor_attr(desc);
	uint64_t low = desc->low;

	gate->type = attr & (X86_ATTR_S | X86_ATTR_TYPE);
	gate->ist = low >> 32 & 7;
	gate->selector = (uint16_t)(low >> 16);
	gate->offset = (low & 0xffff) | (low >> 32 & 0xffff0000) |
		       desc->high << 32;
	if (!(types >> gate->type & 1) ||
	    (ev->software && x86_attr_dpl(attr) < cpu->cpl))
		return x86_raise_error(cpu, X86_GP, gate_error(ev));
	if (!(attr & X86_ATTR_P))
		return x86_raise_error(cpu, X86_NP, gate_error(ev));
	return X86_NEXT;
}

/* The code segment that a gate names, and the privilege that it gives. */
static enum x86_result gate_code(struct x86_cpu *cpu, const struct gate *gate,
				 struct handler *to)
{
	uint32_t error = gate->selector & ~3u;
	struct x86_segment *cs = &to->cs;
	struct x86_descriptor desc;
	enum x86_result r;
	bool bad;

	if (x86_selector_null(gate->selector))
		return x86_raise_error(cpu, X86_GP, 0);
	r = x86_read_descriptor(cpu, gate->selector, false, X86_GP, 0, &desc);
	if (r)
		return r;
	x86_unpack_descriptor(&desc, gate->selector, cs);
	to->cpl = x86_attr_dpl(cs->attr);
	bad = !x86_attr_code(cs->attr) || to->cpl > cpu->cpl;
	if (cpu->mode & X86_MODE_LONG)
		bad |= (cs->attr & (X86_ATTR_L | X86_ATTR_DB)) != X86_ATTR_L;
	if (x86_attr_conforming(cs->attr))
		to->cpl = cpu->cpl;
	if (cpu->mode & X86_MODE_VM86)
		bad |= to->cpl != 0;
	if (bad)
		return x86_raise_error(cpu, X86_GP, error);
	if (!(cs->attr & X86_ATTR_P))
		return x86_raise_error(cpu, X86_NP, error);
	r = x86_mark_accessed(cpu, cs);
	cs->selector = (uint16_t)(error | to->cpl);
	to->rip = gate->offset;
	to->masks = gate->type == X86_SYS_INT16 || gate->type == X86_SYS_INT32;
	return r ? r : x86_check_rip(cpu, cs, to->rip);
}

/* The point of no return: enters the handler. */
static void enter(struct x86_cpu *cpu, const struct handler *to)
{
	uint64_t clear = X86_FLAG_TF | X86_FLAG_NT | X86_FLAG_RF | X86_FLAG_VM;

	cpu->state.seg[X86_CS] = to->cs;
	cpu->state.seg[X86_SS] = to->stack.ss;
	cpu->state.gpr[X86_RSP] = to->stack.sp;
	if (to->masks)
		clear |= X86_FLAG_IF;
	cpu->state.rflags &= ~clear;
	cpu->state.rip = to->rip;
	cpu->next_rip = to->rip;
	x86_update_mode(cpu);
}

static enum x86_result deliver_long(struct x86_cpu *cpu,
				    const struct event *ev)
{
	const unsigned int types = 1u << X86_SYS_INT32 | 1u << X86_SYS_TRAP32;
	const struct x86_state *st = &cpu->state;
	uint32_t offset = ev->vector * 16u;
	struct x86_descriptor desc;
	struct handler to;
	struct gate gate;
	uint64_t frame[6];
	enum x86_result r;

	if (offset + 15 > st->idtr.limit)
		return x86_raise_error(cpu, X86_GP, gate_error(ev));
	r = x86_read_table(cpu, st->idtr.base + offset, &desc, 16);
	if (!r)
		r = unpack_gate(cpu, ev, &desc, types, &gate);
	if (!r)
		r = gate_code(cpu, &gate, &to);
	if (r)
		return r;
	if (to.cpl != cpu->cpl) {
		r = x86_stack_inner(cpu, to.cpl, &to.stack);
	} else {
		x86_stack_current(cpu, &to.stack);
		to.stack.width = 8;
	}
	if (gate.ist && !r)
		r = x86_stack_ist(cpu, gate.ist, &to.stack.sp);
	if (r)
		return r;
	to.stack.sp &= ~15ull;
	frame[0] = st->seg[X86_SS].selector;
	frame[1] = st->gpr[X86_RSP];
	frame[2] = ev->flags;
	frame[3] = st->seg[X86_CS].selector;
	frame[4] = ev->rip;
	frame[5] = ev->error;
	r = x86_stack_push(cpu, &to.stack, frame, 5 + ev->has_error, 8);
	if (!r)
		enter(cpu, &to);
	return r;
}

/* Out of virtual-8086 mode the data segments go onto the stack, too. */
static enum x86_result push_protected(struct x86_cpu *cpu,
				      const struct event *ev,
				      struct handler *to, unsigned int size)
{
	const struct x86_state *st = &cpu->state;
	uint64_t frame[10];
	unsigned int n = 0;

	if (cpu->mode & X86_MODE_VM86) {
		frame[n++] = st->seg[X86_GS].selector;
		frame[n++] = st->seg[X86_FS].selector;
		frame[n++] = st->seg[X86_DS].selector;
		frame[n++] = st->seg[X86_ES].selector;
	}
	if (to->cpl != cpu->cpl) {
		frame[n++] = st->seg[X86_SS].selector;
		frame[n++] = st->gpr[X86_RSP];
	}
	frame[n++] = ev->flags;
	frame[n++] = st->seg[X86_CS].selector;
	frame[n++] = ev->rip;
	if (ev->has_error)
		frame[n++] = ev->error;
	return x86_stack_push(cpu, &to->stack, frame, n, size);
}

static enum x86_result deliver_task(struct x86_cpu *cpu,
				    const struct event *ev, uint16_t selector)
{
	enum x86_result r;

	cpu->next_rip = ev->rip;
	r = x86_task_switch(cpu, selector, X86_TASK_INT, ev->has_error,
			    ev->error);
	if (!r && cpu->state.fault_pending && !ev->software &&
	    has_selector_error(cpu->state.fault_vector))
		cpu->state.fault_error |= ERROR_EXT;
	return r;
}

static enum x86_result deliver_protected(struct x86_cpu *cpu,
					 const struct event *ev)
{
	const unsigned int types = 1u << X86_SYS_TASK | 1u << X86_SYS_INT16 |
				   1u << X86_SYS_TRAP16 | 1u << X86_SYS_INT32 |
				   1u << X86_SYS_TRAP32;
	bool vm86 = cpu->mode & X86_MODE_VM86;
	struct x86_descriptor desc = { 0 };
	uint32_t offset = ev->vector * 8u;
	struct handler to;
	struct gate gate;
	enum x86_result r;
	bool wide;

	if (offset + 7 > cpu->state.idtr.limit)
		return x86_raise_error(cpu, X86_GP, gate_error(ev));
	r = x86_read_table(cpu, (uint32_t)(cpu->state.idtr.base + offset),
			   &desc.low, 8);
	if (!r)
		r = unpack_gate(cpu, ev, &desc, types, &gate);
	if (r)
		return r;
	if (gate.type == X86_SYS_TASK)
		return deliver_task(cpu, ev, gate.selector);
	wide = gate.type >= X86_SYS_INT32;
	if (!wide)
		gate.offset &= 0xffff;
	r = gate_code(cpu, &gate, &to);
	if (r)
		return r;
	if (to.cpl != cpu->cpl)
		r = x86_stack_inner(cpu, to.cpl, &to.stack);
	else
		x86_stack_current(cpu, &to.stack);
	if (!r)
		r = push_protected(cpu, ev, &to, wide ? 4 : 2);
	if (r)
		return r;
	enter(cpu, &to);
	for (unsigned int i = 0; vm86 && i <= X86_GS; i++) {
		if (i != X86_CS && i != X86_SS)
			x86_null_segment(&cpu->state.seg[i], 0);
	}
	return X86_NEXT;
}

/*
 * Real mode, and what virtual-8086 extensions redirect: a far pointer from
 * the vector table at `table`.
 */
static enum x86_result deliver_real(struct x86_cpu *cpu,
				    const struct event *ev, uint64_t table,
				    uint64_t clear)
{
	uint64_t frame[3] = { ev->flags, cpu->state.seg[X86_CS].selector,
			      ev->rip };
	struct x86_stack stack;
	uint16_t to[2];
	enum x86_result r;

	r = x86_read_table(cpu, table + ev->vector * 4u, to, sizeof(to));
	if (r)
		return r;
	if (to[0] > cpu->state.seg[X86_CS].limit)
		return x86_raise_error(cpu, X86_GP, 0);
	x86_stack_current(cpu, &stack);
	r = x86_stack_push(cpu, &stack, frame, 3, 2);
	if (r)
		return r;
	cpu->state.gpr[X86_RSP] = stack.sp;
	x86_load_real_segment(cpu, X86_CS, to[1]);
	cpu->state.rflags &= ~clear;
	cpu->state.rip = to[0];
	cpu->next_rip = to[0];
	if (!x86_mode_stays(cpu))
		x86_update_mode(cpu);
	return X86_NEXT;
}

static enum x86_result deliver(struct x86_cpu *cpu, const struct event *ev)
{
	const uint64_t clear =
		X86_FLAG_IF | X86_FLAG_TF | X86_FLAG_RF | X86_FLAG_AC;
	enum x86_result r;

	if (cpu->mode & X86_MODE_LONG)
		r = deliver_long(cpu, ev);
	else if (cpu->state.cr0 & X86_CR0_PE)
		r = deliver_protected(cpu, ev);
	else if (ev->vector * 4u + 3 > cpu->state.idtr.limit)
		r = x86_raise_error(cpu, X86_GP, gate_error(ev));
	else
		r = deliver_real(cpu, ev, cpu->state.idtr.base, clear);
	if (r == X86_FAULT && !ev->software &&
	    has_selector_error(cpu->fault.vector))
		cpu->fault.error |= ERROR_EXT;
	return r;
}

/* --- exceptions --------------------------------------------------------- */

enum fault_class {
	BENIGN,
	CONTRIBUTORY,
	PAGE,
	DOUBLE,
};

static enum fault_class fault_class(uint8_t vector)
{
	switch (vector) {
	case X86_DE:
	case X86_TS:
	case X86_NP:
	case X86_SSF:
	case X86_GP:
		return CONTRIBUTORY;
	case X86_PF:
		return PAGE;
	case X86_DF:
		return DOUBLE;
	default:
		return BENIGN;
	}
}

/* True when a fault of class `second` while delivering `first` doubles. */
static bool doubles(enum fault_class first, enum fault_class second)
{
	if (first == CONTRIBUTORY)
		return second == CONTRIBUTORY;
	return first == PAGE && (second == CONTRIBUTORY || second == PAGE);
}

#define DR6_HIT	 0x0000000full /* of breakpoints 0 .. 3 */
#define DR6_BD	 0x00002000ull
#define DR6_BITS 0x0000e00full
#define DR7_GD	 0x00002000ull
#define DR7_ENABLED 0xffull

/* What an exception leaves in registers before its handler runs. */
static void note_fault(struct x86_cpu *cpu)
{
	struct x86_state *st = &cpu->state;

	if (cpu->fault.vector == X86_PF) {
		st->cr2 = cpu->fault.address;
	} else if (cpu->fault.vector == X86_DB) {
		st->dr[6] = (st->dr[6] & ~DR6_HIT) |
			    (cpu->fault.address & DR6_BITS);
		st->dr[7] &= ~DR7_GD;
	}
}

/*
 * The flags behind a completed instruction, for events that are no faults.
 * Instructions clear RF only where breakpoints make it count, so without
 * them a stale RF is hidden here.
 */
static uint64_t plain_flags(const struct x86_cpu *cpu)
{
	uint64_t flags = cpu->state.rflags;

	return cpu->state.dr[7] & DR7_ENABLED ? flags
					      : flags & ~(uint64_t)X86_FLAG_RF;
}

/*
 * Faults are pushed with RF set, so that their instruction does not hit its
 * own breakpoint again; traps, #DF, #MC and breakpoints themselves are not.
 */
static bool pushes_rf(const struct x86_fault *fault)
{
	switch (fault->vector) {
	case X86_DB:
		return fault->address & DR6_BD;
	case X86_NMI:
	case X86_BP:
	case X86_OF:
	case X86_DF:
	case X86_MC:
		return false;
	default:
		return true;
	}
}

static enum x86_result deliver_exception(struct x86_cpu *cpu)
{
	struct event ev = {
		.vector = cpu->fault.vector,
		.has_error = cpu->fault.has_error,
		.error = cpu->fault.error,
		.rip = cpu->state.rip,
		.flags = plain_flags(cpu),
	};

	if (pushes_rf(&cpu->fault))
		ev.flags |= X86_FLAG_RF;
	return deliver(cpu, &ev);
}

static enum x86_result shut_down(struct x86_cpu *cpu)
{
	cpu->state.activity = X86_SHUTDOWN;
	vm_ask(cpu->vm, VM_CRASH);
	return X86_STOP;
}

/* Delivers cpu->fault without a look at CR2 and the debug registers. */
static enum x86_result deliver_pending(struct x86_cpu *cpu)
{
	enum fault_class first = fault_class(cpu->fault.vector), second;

	cpu->stat_fault++;
	cpu->state.int_shadow = 0;
	while (deliver_exception(cpu) == X86_FAULT) {
		second = fault_class(cpu->fault.vector);
		if (first == DOUBLE)
			return shut_down(cpu);
		note_fault(cpu);
		if (doubles(first, second)) {
			x86_raise_error(cpu, X86_DF, 0);
			second = DOUBLE;
		}
		first = second;
	}
	return X86_BRANCH;
}

enum x86_result x86_deliver_fault(struct x86_cpu *cpu)
{
	note_fault(cpu);
	return deliver_pending(cpu);
}

/* --- software interrupts ------------------------------------------------ */

/*
 * INT n in virtual-8086 mode. True when the TSS's redirection bitmap sends
 * it to the 8086 program's own vector table.
 */
static enum x86_result redirected(struct x86_cpu *cpu, uint8_t vector,
				  bool *yes)
{
	const struct x86_segment *tr = &cpu->state.tr;
	enum x86_result r;
	uint16_t io_map;
	uint32_t at;
	uint8_t byte;

	*yes = false;
	if (!(cpu->state.cr4 & X86_CR4_VME))
		return X86_NEXT;
	if (tr->limit < 0x67)
		return x86_raise_error(cpu, X86_GP, 0);
	r = x86_read_table(cpu, tr->base + 0x66, &io_map, 2);
	if (r)
		return r;
	/* The 32 bytes below the I/O permission map. */
	at = io_map - 32u + vector / 8;
	if (io_map < 32 || at > tr->limit)
		return x86_raise_error(cpu, X86_GP, 0);
	r = x86_read_table(cpu, tr->base + at, &byte, 1);
	*yes = !r && !(byte >> (vector & 7) & 1);
	return r;
}

static enum x86_result interrupt_vm86(struct x86_cpu *cpu, struct event *ev)
{
	uint64_t flags = ev->flags;
	bool trusted = (flags & X86_FLAG_IOPL) == X86_FLAG_IOPL;
	uint64_t clear = X86_FLAG_TF | X86_FLAG_RF;
	enum x86_result r;
	bool own;

	r = redirected(cpu, ev->vector, &own);
	if (r)
		return r;
	if (!own)
		return trusted ? deliver(cpu, ev)
			       : x86_raise_error(cpu, X86_GP, 0);
	if (trusted) {
		clear |= X86_FLAG_IF;
	} else {
		/* The program sees the virtual IF, and IOPL 3. */
		ev->flags = (flags & ~(uint64_t)X86_FLAG_IF) | X86_FLAG_IOPL;
		if (flags & X86_FLAG_VIF)
			ev->flags |= X86_FLAG_IF;
		clear |= X86_FLAG_VIF;
	}
	return deliver_real(cpu, ev, 0, clear);
}

enum x86_result x86_software_interrupt(struct x86_cpu *cpu, uint8_t vector,
				       bool int3_or_into)
{
	struct event ev = {
		.vector = vector,
		.software = true,
		.rip = cpu->next_rip,
		.flags = plain_flags(cpu),
	};

	if (cpu->mode & X86_MODE_VM86 && !int3_or_into)
		return interrupt_vm86(cpu, &ev);
	return deliver(cpu, &ev);
}

enum x86_result x86_int1(struct x86_cpu *cpu)
{
	struct event ev = {
		.vector = X86_DB,
		.rip = cpu->next_rip,
		.flags = plain_flags(cpu),
	};

	return deliver(cpu, &ev);
}

/* --- events between instructions ---------------------------------------- */

static enum x86_result deliver_interrupt(struct x86_cpu *cpu, uint8_t vector)
{
	struct event ev = {
		.vector = vector,
		.rip = cpu->state.rip,
		.flags = plain_flags(cpu),
	};

	cpu->stat_interrupt++;
	cpu->state.activity = X86_RUNNING;
	cpu->state.int_shadow = 0;
	if (deliver(cpu, &ev) == X86_FAULT)
		return x86_deliver_fault(cpu);
	return X86_BRANCH;
}

/* Takes a request bit; true when it was set. */
static bool take_request(struct x86_cpu *cpu, uint32_t bit)
{
	return atomic_fetch_and(&cpu->request, ~bit) & bit;
}

static bool requested(const struct x86_cpu *cpu, uint32_t bits)
{
	return atomic_load(&cpu->request) & bits;
}

static void take_init(struct x86_cpu *cpu)
{
	bool bsp = cpu->state.apic_base & X86_APIC_BASE_BSP;

	x86_state_init(&cpu->state, bsp);
	cpu->state.gpr[X86_RDX] =
		cpuid_query(cpu->cpuid, &cpu->state, cpu->id, 1, 0).eax;
	if (cpu->apic.ops)
		cpu->apic.ops->init(cpu->apic.object);
	x86_cpu_state_changed(cpu);
}

static void take_sipi(struct x86_cpu *cpu)
{
	if (cpu->state.activity != X86_WAIT_SIPI)
		return;
	x86_load_real_segment(cpu, X86_CS,
			      (uint16_t)(cpu->state.sipi_vector << 8));
	cpu->state.rip = 0;
	cpu->state.activity = X86_RUNNING;
	x86_cpu_state_changed(cpu);
}

static enum x86_result take_fault(struct x86_cpu *cpu)
{
	cpu->fault = (struct x86_fault){
		.vector = cpu->state.fault_vector,
		.has_error = cpu->state.fault_has_error,
		.error = cpu->state.fault_error,
	};
	cpu->state.fault_pending = 0;
	return deliver_pending(cpu);
}

/*
 * One NMI is kept while another is being handled. Hardware begins to handle
 * the first before the second can arrive, so without one two are kept.
 */
static void note_nmi(struct x86_cpu *cpu)
{
	unsigned int most = cpu->state.nmi_blocked ? 1 : 2;
	unsigned int count = cpu->state.nmi_pending;

	count += take_request(cpu, X86_REQ_NMI);
	count += take_request(cpu, X86_REQ_NMI2);
	cpu->state.nmi_pending = (uint8_t)(count < most ? count : most);
}

static bool nmi_ready(struct x86_cpu *cpu)
{
	if (requested(cpu, X86_REQ_NMI | X86_REQ_NMI2))
		note_nmi(cpu);
	return cpu->state.nmi_pending && !cpu->state.nmi_blocked &&
	       !cpu->state.int_shadow;
}

static bool accepts_interrupts(const struct x86_cpu *cpu)
{
	return cpu->state.rflags & X86_FLAG_IF && !cpu->state.int_shadow &&
	       cpu->apic.ops;
}

/*
 * X86_REQ_INTR stays while interrupts are disabled, so that nothing has to
 * look for them when IF or the shadow changes.
 */
static enum x86_result take_interrupt(struct x86_cpu *cpu)
{
	const struct x86_apic *apic = &cpu->apic;
	int vector;

	take_request(cpu, X86_REQ_INTR);
	vector = apic->ops->accept(apic->object);
	if (vector < 0)
		return X86_NEXT;
	if (apic->ops->pending(apic->object))
		atomic_fetch_or(&cpu->request, X86_REQ_INTR);
	return deliver_interrupt(cpu, (uint8_t)vector);
}

static enum x86_result take_external(struct x86_cpu *cpu)
{
	bool halted = cpu->state.activity == X86_HALTED;

	if (halted)
		cpu->state.int_shadow = 0; /* of the STI before HLT */
	if (nmi_ready(cpu)) {
		cpu->state.nmi_pending--;
		cpu->state.nmi_blocked = 1;
		return deliver_interrupt(cpu, X86_NMI);
	}
	/* Halted, it looks as x86_can_wake() does, or would spin. */
	if ((halted || requested(cpu, X86_REQ_INTR)) && accepts_interrupts(cpu))
		return take_interrupt(cpu);
	return X86_NEXT;
}

enum x86_result x86_take_events(struct x86_cpu *cpu)
{
	enum x86_result r = X86_NEXT;

	if (requested(cpu, X86_REQ_INIT | X86_REQ_SIPI)) {
		if (take_request(cpu, X86_REQ_INIT)) {
			take_init(cpu);
			r = X86_BRANCH;
		}
		if (take_request(cpu, X86_REQ_SIPI)) {
			take_sipi(cpu);
			r = X86_BRANCH;
		}
	}
	if (cpu->state.activity == X86_RUNNING && cpu->state.fault_pending)
		r = take_fault(cpu);
	else if (cpu->state.activity <= X86_HALTED && r == X86_NEXT)
		r = take_external(cpu);
	if (cpu->state.activity != X86_RUNNING || requested(cpu, X86_REQ_KICK))
		return X86_STOP;
	return r;
}

bool x86_can_wake(struct x86_cpu *cpu)
{
	const struct x86_state *st = &cpu->state;

	if (requested(cpu, X86_REQ_INIT))
		return true;
	if (st->activity == X86_WAIT_SIPI)
		return requested(cpu, X86_REQ_SIPI);
	if (st->activity != X86_HALTED)
		return st->activity == X86_RUNNING;
	if ((st->nmi_pending || requested(cpu, X86_REQ_NMI | X86_REQ_NMI2)) &&
	    !st->nmi_blocked)
		return true;
	return st->rflags & X86_FLAG_IF && cpu->apic.ops &&
	       cpu->apic.ops->pending(cpu->apic.object);
}
