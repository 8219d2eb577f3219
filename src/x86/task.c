/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hardware task switches, 16- and 32-bit. Intel SDM vol. 3, 7.2-7.4, 7.6;
 * AMD64 APM vol. 2, 12.4. Everything that can fault in the old task is
 * looked at before the first change; what faults later faults in the new
 * task.
 */
#include "x86/segment.h"

#include "x86/access.h"
#include "x86/reg.h"
#include "x86/stack.h"

/* Offsets in a TSS; the registers stand in the order of enum x86_gpr. */
struct layout {
	unsigned int size; /* at least */
	unsigned int word; /* of a register, in bytes */
	unsigned int rip, flags, gpr, seg, ldt;
	unsigned int seg_stride, seg_count;
	unsigned int save, save_size; /* what a switch away writes */
};

static const struct layout layout16 = {
	.size = 0x2c,
	.word = 2,
	.rip = 0x0e,
	.flags = 0x10,
	.gpr = 0x12,
	.seg = 0x22,
	.seg_stride = 2,
	.seg_count = 4,
	.ldt = 0x2a,
	.save = 0x0e,
	.save_size = 0x2a - 0x0e,
};

static const struct layout layout32 = {
	.size = 0x68,
	.word = 4,
	.rip = 0x20,
	.flags = 0x24,
	.gpr = 0x28,
	.seg = 0x48,
	.seg_stride = 4,
	.seg_count = 6,
	.ldt = 0x60,
	.save = 0x20,
	.save_size = 0x60 - 0x20,
};

#define TSS_CR3	 0x1c
#define TSS_TRAP 0x64 /* bit 0: debug trap on entry */
#define TSS_MAX	 0x68

#define DR6_BT	    0x8000u /* task switch */
#define DR7_LOCAL   0x155ull /* L0 .. L3, LE */

static const struct layout *layout_of(const struct x86_segment *tr)
{
	return tr->attr & 8 ? &layout32 : &layout16;
}

static uint64_t field(const uint8_t *tss, unsigned int offset,
		      unsigned int size)
{
	uint64_t v = 0;

	memcpy(&v, tss + offset, size);
	return v;
}

/* Checks the TSS that `selector` names and unpacks it. */
static enum x86_result check_tss(struct x86_cpu *cpu, uint16_t selector,
				 enum x86_task_source source,
				 struct x86_segment *tr)
{
	uint8_t vector = source == X86_TASK_IRET ? X86_TS : X86_GP;
	uint32_t error = selector & ~3u;
	struct x86_descriptor desc;
	unsigned int type;
	enum x86_result r;
	bool busy;

	if (selector & 4 || x86_selector_null(selector))
		return x86_raise_error(cpu, vector, error);
	r = x86_read_descriptor(cpu, selector, false, vector, 0, &desc);
	if (r)
		return r;
	x86_unpack_descriptor(&desc, selector, tr);
	type = tr->attr & (X86_ATTR_S | X86_ATTR_TYPE);
	busy = type & X86_TSS_BUSY;
	type &= ~(unsigned int)X86_TSS_BUSY;
	if ((type != X86_SYS_TSS16 && type != X86_SYS_TSS32) ||
	    busy != (source == X86_TASK_IRET))
		return x86_raise_error(cpu, vector, error);
	if (!(tr->attr & X86_ATTR_P))
		return x86_raise_error(cpu, X86_NP, error);
	if (tr->limit < layout_of(tr)->size - 1)
		return x86_raise_error(cpu, X86_TS, error);
	return X86_NEXT;
}

/* What the old task's TSS is to hold from layout->save on. */
static void build_image(const struct x86_cpu *cpu, const struct layout *l,
			uint64_t flags, uint8_t *tss)
{
	memcpy(tss + l->rip, &cpu->next_rip, l->word);
	memcpy(tss + l->flags, &flags, l->word);
	for (unsigned int i = 0; i < 8; i++)
		memcpy(tss + l->gpr + i * l->word, &cpu->state.gpr[i],
		       l->word);
	for (unsigned int i = 0; i < l->seg_count; i++)
		memcpy(tss + l->seg + i * l->seg_stride,
		       &cpu->state.seg[i].selector, 2);
}

/*
 * Everything that touches memory and may fault in the old task: reads the new
 * TSS, checks that the old can be written, then writes it, the link and the
 * busy bits.
 */
static enum x86_result save_old(struct x86_cpu *cpu,
				const struct x86_segment *tr,
				enum x86_task_source source, uint8_t *new)
{
	const struct x86_segment *old = &cpu->state.tr;
	const struct layout *l = layout_of(old);
	unsigned int size = layout_of(tr)->size;
	bool nests = source == X86_TASK_CALL || source == X86_TASK_INT;
	uint64_t flags = cpu->state.rflags;
	uint8_t image[TSS_MAX] = { 0 };
	enum x86_result r;

	if (!(old->attr & X86_ATTR_P) || old->limit < l->size - 1)
		return x86_raise_error(cpu, X86_TS, old->selector & ~3u);
	r = x86_read_system(cpu, tr->base, new, size < 64 ? size : 64);
	if (!r && size > 64)
		r = x86_read_system(cpu, tr->base + 64, new + 64, size - 64);
	if (!r)
		r = x86_probe(cpu, old->base + l->save, l->save_size,
			      X86_WRITE | X86_SYSTEM);
	if (!r && nests)
		r = x86_probe(cpu, tr->base, 2, X86_WRITE | X86_SYSTEM);
	if (!r && !nests)
		r = x86_mark_busy(cpu, old->selector, false);
	if (!r && source != X86_TASK_IRET)
		r = x86_mark_busy(cpu, tr->selector, true);
	if (r)
		return r;
	if (source == X86_TASK_IRET)
		flags &= ~(uint64_t)X86_FLAG_NT;
	build_image(cpu, l, flags, image);
	r = x86_write_system(cpu, old->base + l->save, image + l->save,
			     l->save_size);
	if (!r && nests)
		r = x86_write_system(cpu, tr->base, &old->selector, 2);
	return r;
}

/*
 * The registers of the new task; segments hold selectors only, unusable.
 * False when CR3 was refused.
 */
static bool load_registers(struct x86_cpu *cpu, const struct x86_segment *tr,
			   enum x86_task_source source, const uint8_t *tss)
{
	const struct layout *l = layout_of(tr);
	struct x86_state *st = &cpu->state;
	bool ok = true;

	st->tr = *tr;
	st->tr.attr |= X86_TSS_BUSY;
	st->cr0 |= X86_CR0_TS;
	st->dr[7] &= ~DR7_LOCAL;
	if (l == &layout32 && st->cr0 & X86_CR0_PG)
		ok = x86_load_cr3(cpu, field(tss, TSS_CR3, 4));
	st->rip = field(tss, l->rip, l->word);
	cpu->next_rip = st->rip;
	st->rflags = field(tss, l->flags, l->word) & 0x3f7fd5;
	st->rflags |= X86_FLAG_1;
	if (source == X86_TASK_CALL || source == X86_TASK_INT)
		st->rflags |= X86_FLAG_NT;
	for (unsigned int i = 0; i < 8; i++)
		st->gpr[i] = field(tss, l->gpr + i * l->word, l->word);
	for (unsigned int i = 0; i <= X86_GS; i++) {
		uint64_t selector =
			i < l->seg_count
				? field(tss, l->seg + i * l->seg_stride, 2)
				: 0;

		x86_null_segment(&st->seg[i], (uint16_t)selector);
	}
	x86_null_segment(&st->ldtr, (uint16_t)field(tss, l->ldt, 2));
	return ok;
}

static enum x86_result load_code(struct x86_cpu *cpu)
{
	uint16_t selector = cpu->state.seg[X86_CS].selector;
	uint32_t error = selector & ~3u;
	struct x86_descriptor desc;
	struct x86_segment cs;
	unsigned int dpl, rpl = selector & 3u;
	enum x86_result r;
	bool bad;

	if (x86_selector_null(selector))
		return x86_raise_error(cpu, X86_TS, 0);
	r = x86_read_descriptor(cpu, selector, false, X86_TS, 0, &desc);
	if (r)
		return r;
	x86_unpack_descriptor(&desc, selector, &cs);
	dpl = x86_attr_dpl(cs.attr);
	bad = x86_attr_conforming(cs.attr) ? dpl > rpl : dpl != rpl;
	if (!x86_attr_code(cs.attr) || bad)
		return x86_raise_error(cpu, X86_TS, error);
	if (!(cs.attr & X86_ATTR_P))
		return x86_raise_error(cpu, X86_NP, error);
	r = x86_mark_accessed(cpu, &cs);
	if (!r)
		cpu->state.seg[X86_CS] = cs;
	return r;
}

/* A data segment register; what a load would call #GP is #TS here. */
static enum x86_result load_data(struct x86_cpu *cpu, unsigned int seg)
{
	uint16_t selector = cpu->state.seg[seg].selector;
	enum x86_result r = x86_load_segment(cpu, seg, selector);

	if (r == X86_FAULT && cpu->fault.vector == X86_GP)
		cpu->fault.vector = X86_TS;
	return r;
}

/* Loads the segments whose selectors load_registers() left. */
static enum x86_result load_segments(struct x86_cpu *cpu)
{
	static const uint8_t data[] = { X86_ES, X86_DS, X86_FS, X86_GS };
	struct x86_segment *ss = &cpu->state.seg[X86_SS];
	unsigned int cpl = cpu->state.seg[X86_CS].selector & 3u;
	enum x86_result r;

	r = x86_load_ldtr(cpu, cpu->state.ldtr.selector, X86_TS);
	if (r)
		return r;
	if (cpu->state.rflags & X86_FLAG_VM) {
		for (unsigned int i = 0; i <= X86_GS; i++)
			x86_load_real_segment(cpu, i,
					      cpu->state.seg[i].selector);
		x86_update_mode(cpu);
		return X86_NEXT;
	}
	r = load_code(cpu);
	if (!r) {
		struct x86_segment loaded;

		r = x86_check_stack_segment(cpu, ss->selector, cpl, X86_TS,
					    &loaded);
		if (!r)
			*ss = loaded;
	}
	x86_update_mode(cpu);
	for (unsigned int i = 0; i < sizeof(data) && !r; i++)
		r = load_data(cpu, data[i]);
	return r;
}

static enum x86_result push_error(struct x86_cpu *cpu, unsigned int size,
				  uint32_t error)
{
	uint64_t value = error;
	struct x86_stack stack;
	enum x86_result r;

	x86_stack_current(cpu, &stack);
	r = x86_stack_push(cpu, &stack, &value, 1, size);
	if (!r)
		cpu->state.gpr[X86_RSP] = stack.sp;
	return r;
}

/*
 * A fault of the new task: kept pending, to be delivered before its first
 * instruction.
 */
static void keep_fault(struct x86_cpu *cpu)
{
	struct x86_state *st = &cpu->state;

	st->fault_pending = 1;
	st->fault_vector = cpu->fault.vector;
	st->fault_has_error = cpu->fault.has_error;
	st->fault_error = cpu->fault.error;
	if (cpu->fault.vector == X86_PF)
		st->cr2 = cpu->fault.address;
	else if (cpu->fault.vector == X86_DB)
		st->dr[6] |= cpu->fault.address;
	/* Makes the run loop look. */
	atomic_fetch_or(&cpu->request, X86_REQ_INTR);
}

enum x86_result x86_task_switch(struct x86_cpu *cpu, uint16_t selector,
				enum x86_task_source source, bool has_error,
				uint32_t error)
{
	uint8_t tss[TSS_MAX];
	struct x86_segment tr;
	enum x86_result r;

	r = check_tss(cpu, selector, source, &tr);
	if (!r)
		r = save_old(cpu, &tr, source, tss);
	if (r)
		return r;
	if (!load_registers(cpu, &tr, source, tss))
		r = x86_raise_error(cpu, X86_GP, 0);
	x86_update_mode(cpu);
	if (!r)
		r = load_segments(cpu);
	if (!r)
		r = x86_check_rip(cpu, &cpu->state.seg[X86_CS],
				  cpu->state.rip);
	if (!r && has_error)
		r = push_error(cpu, layout_of(&tr)->word, error);
	if (!r && tr.attr & 8 && tss[TSS_TRAP] & 1) {
		r = x86_raise(cpu, X86_DB);
		cpu->fault.address = DR6_BT;
	}
	if (r)
		keep_fault(cpu);
	return X86_NEXT;
}
