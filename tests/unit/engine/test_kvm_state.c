/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical state through KVM and back, field by field of the saved-state
 * tables; and guests that go on under another engine from a saved stream.
 */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvm_machine.h"
#include "x86/msr.h"
#include "x86/reg.h"

#define ITEMS_MAX 64

/* --- comparing ------------------------------------------------------------ */

static uint32_t field_size(const struct field *f)
{
	static const uint32_t size[] = {
		[FIELD_U8] = 1,	 [FIELD_U16] = 2,  [FIELD_U32] = 4,
		[FIELD_U64] = 8, [FIELD_BOOL] = 1, [FIELD_TIMER] = 8,
	};

	return size[f->type] * f->count;
}

static bool named(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (!strcmp(name, *names))
			return true;
	return false;
}

/* Fields of `class` that differ, but for those in `but`, are told. */
static unsigned int differing(const struct state_class *class, const void *a,
			      const void *b, const char *const *but)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < class->field_count; i++) {
		const struct field *f = &class->fields[i];

		if (named(f->name, but) ||
		    !memcmp((const char *)a + f->offset,
			    (const char *)b + f->offset, field_size(f)))
			continue;
		printf("%s.%s differs\n", class->name, f->name);
		count++;
	}
	return count;
}

/* --- the processor -------------------------------------------------------- */

static struct x86_segment segment(uint16_t selector, uint64_t base,
				  uint16_t type)
{
	return (struct x86_segment){
		.base = base,
		.limit = 0xffffffff,
		.selector = selector,
		.attr = X86_ATTR_P | X86_ATTR_S | X86_ATTR_G | type,
	};
}

/* 64-bit user code in the middle of something. */
static void fill_state(struct x86_state *s)
{
	const uint16_t data = X86_TYPE_WRITE | X86_TYPE_ACCESSED | X86_ATTR_DB;
	const uint16_t user = 3 << X86_ATTR_DPL_SHIFT;
	const uint16_t code = X86_TYPE_CODE | X86_TYPE_WRITE |
			      X86_TYPE_ACCESSED | X86_ATTR_L;

	for (unsigned int i = 0; i < 16; i++)
		s->gpr[i] = 0x0123456789abcdefull * (i + 1);
	s->rip = 0x7fff12345678;
	s->rflags = X86_FLAG_1 | 0x8d5 | 0x200;
	s->seg[X86_CS] = segment(0x33, 0, code | user);
	s->seg[X86_SS] = segment(0x2b, 0, data | user);
	s->seg[X86_DS] = segment(0x2b, 0, data | user);
	s->seg[X86_ES] = segment(0x2b, 0, data | user);
	s->seg[X86_FS] = segment(0x2b, 0x7f0011112222, data | user);
	s->seg[X86_GS] = segment(0x2b, 0x7f0033334444, data | user);
	s->ldtr = (struct x86_segment){ 0 };
	s->tr = (struct x86_segment){ 0xffff800000001000, 0x206f, 0x40,
				      X86_ATTR_P | 0xb };
	s->gdtr = (struct x86_table){ 0xffff800000002000, 0x7f };
	s->idtr = (struct x86_table){ 0xffff800000003000, 0xfff };
	s->cr0 = 0x80050033;
	s->cr2 = 0x7fff00001234;
	s->cr3 = 0x5000;
	s->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXSAVE | 0x80;
	s->efer = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
	s->dr[0] = 0x1000;
	s->dr[3] = 0x7fff00000000;
	s->dr[6] = 0xffff0ff1;
	s->dr[7] = 0x403;
}

static void fill_registers(struct x86_state *s, uint64_t xcr0)
{
	const uint16_t fcw = 0x27f, fsw = 0x3800;
	const uint32_t mxcsr = 0x3f80;

	s->star = 0x0023001000000000;
	s->lstar = 0xffffffff81000000;
	s->cstar = 0xffffffff82000000;
	s->sfmask = 0x47700;
	s->kernel_gs_base = 0xffff888000001000;
	s->sysenter_cs = 0x10;
	s->sysenter_esp = 0x88002000; /* AMD: 32 bits */
	s->sysenter_eip = 0x83000000;
	s->tsc_offset = 0 - (uint64_t)123456789;
	s->pat = 0x0407050600070106;
	s->mtrr_def_type = 0xc06;
	for (unsigned int i = 0; i < 11; i++)
		s->mtrr_fixed[i] = 0x0606060606060606;
	s->mtrr_base[1] = 0xc0000000;
	s->mtrr_mask[1] = 0xfc0000800;

	s->xcr0 = xcr0;
	for (unsigned int i = 32; i < 416; i++)
		s->xsave[i] = (uint8_t)(i * 7);
	/* Of the x87 registers' 16 bytes 10 count. */
	for (unsigned int i = 0; i < 8; i++)
		memset(s->xsave + 32 + 16 * i + 10, 0, 6);
	memcpy(s->xsave, &fcw, 2);
	memcpy(s->xsave + 2, &fsw, 2);
	memcpy(s->xsave + 24, &mxcsr, 4);
	s->xsave[4] = 0x81;
	if (xcr0 & X86_XCR0_AVX)
		for (unsigned int i = 0; i < 256; i++)
			s->xsave[X86_XSAVE_YMM + i] = (uint8_t)(i * 13 + 1);
}

static void processor_round_trip(void **state)
{
	/* A KVM that emulates has its host's TSC. */
	static const char *const tsc[] = { "tsc_offset", NULL };
	struct x86_state before, *s;
	char why[200];
	bool emulates = engine_kvm.probe(why, sizeof(why));
	struct kvm_machine m;

	machine_build(&m, &engine_kvm, NULL);
	s = &m.cpu->state;
	fill_state(s);
	/* Not every host gives KVM protection keys. */
	fill_registers(s, m.cpu->cpuid->xcr0 & ~(uint64_t)X86_XCR0_PKRU);
	before = *s;
	assert_int_equal(engine_kvm.put_state(m.cpu), 0);
	/* What KVM does not give keeps our value; wrong ones show. */
	memset(s->gpr, 0x55, sizeof(s->gpr));
	memset(s->seg, 0, sizeof(s->seg));
	memset(s->xsave, 0, 28);
	memset(s->xsave + 32, 0, X86_XSAVE_HEADER - 32);
	memset(s->xsave + X86_XSAVE_YMM, 0, 256);
	s->rip = s->cr2 = s->cr3 = s->lstar = s->star = s->pat = 0;
	s->tsc_offset = s->xcr0 = s->kernel_gs_base = 0;
	assert_int_equal(engine_kvm.get_state(m.cpu), 0);
	assert_int_equal(differing(&x86_state_class, &before, s,
				   emulates ? tsc : tsc + 1), 0);
	machine_destroy(&m);
}

static void events_round_trip(void **state)
{
	struct kvm_machine m;
	struct x86_state *s;

	machine_build(&m, &engine_kvm, &guest_waits);
	s = &m.cpu->state;
	s->fault_pending = 1;
	s->fault_vector = 13;
	s->fault_has_error = 1;
	s->fault_error = 0x18;
	s->int_shadow = X86_SHADOW_STI;
	s->nmi_pending = 1;
	s->nmi_blocked = 1;
	s->activity = X86_HALTED;
	assert_int_equal(engine_kvm.put_state(m.cpu), 0);
	s->fault_pending = s->fault_vector = s->fault_has_error = 0;
	s->fault_error = 0;
	s->int_shadow = s->nmi_pending = s->nmi_blocked = 0;
	s->activity = X86_RUNNING;
	assert_int_equal(engine_kvm.get_state(m.cpu), 0);
	assert_int_equal(s->fault_pending, 1);
	assert_int_equal(s->fault_vector, 13);
	assert_int_equal(s->fault_has_error, 1);
	assert_int_equal(s->fault_error, 0x18);
	assert_int_equal(s->int_shadow, X86_SHADOW_STI);
	assert_int_equal(s->nmi_pending, 1);
	assert_int_equal(s->nmi_blocked, 1);
	assert_int_equal(s->activity, X86_HALTED);
	s->activity = X86_WAIT_SIPI;
	assert_int_equal(engine_kvm.put_state(m.cpu), 0);
	s->activity = X86_RUNNING;
	assert_int_equal(engine_kvm.get_state(m.cpu), 0);
	assert_int_equal(s->activity, X86_WAIT_SIPI);
	machine_destroy(&m);
}

/* --- the chips ------------------------------------------------------------ */

static void fill_lapic(struct lapic *lapic)
{
	lapic->tpr = 0x20;
	lapic->ldr = 0x01000000;
	lapic->svr = 0x1ff;
	lapic->irr[2] = 0x10;
	lapic->irr[5] = 0x80000000;
	lapic->isr[1] = 0x4;
	lapic->tmr[5] = 0x80000000;
	lapic->icr = 0x02000000000c40f0;
	lapic->lvt[LAPIC_LVT_TIMER] = 0x20040;
	lapic->lvt[LAPIC_LVT_LINT0] = 0x10700;
	lapic->lvt[LAPIC_LVT_LINT1] = 0x400;
	lapic->lvt[LAPIC_LVT_ERROR] = 0xfe;
	lapic->timer_divide = 0xb;
}

static void fill_irqchip(struct board *board)
{
	struct pic_half *half = board->pic.half;

	board->ioapic.id = 0x05000000;
	board->ioapic.select = 0x11;
	board->ioapic.redirection[2] = 0x31;
	board->ioapic.redirection[4] = 0x0000000000010041;
	board->ioapic.redirection[9] = 0x000000000000a051;
	for (unsigned int i = 0; i < 2; i++) {
		half[i].base = (uint8_t)(0x20 + 8 * i);
		half[i].imr = (uint8_t)(0xfa - i);
		half[i].lowest = (uint8_t)(3 + i);
		half[i].read_isr = 1;
		half[i].special_mask = 1;
		half[i].isr = 2;
		half[i].irr = 0x40;
	}
	half[1].elcr = 0x0c;
	half[0].init_step = 3;
	half[0].expect_icw4 = 1;
	board->pit.channel[2] = (struct pit_channel){
		.count = 0x1234,
		.next = 0x1234,
		.mode = 3,
		.access = 3,
		.gate = 1,
		.loaded = 1,
		.triggered = 1,
		.write_second = 1,
		.write_low = 0x77,
		.latch = 0x4321,
		.latch_left = 2,
		.status = 0xb6,
		.status_latched = 1,
	};
}

static void chips_round_trip(void **state)
{
	/* Derived, or in the kernel's own time. */
	static const char *const but[] = {
		"timer_start",	    "timer_due",	"timer",
		"channel[0].start", "channel[1].start", "channel[2].start",
		"extint",	    "half[0].icw4",	"half[1].icw4",
		"port61",	    NULL,
	};
	struct board *board, *before = calloc(1, sizeof(*before));
	struct kvm_machine m;

	assert_non_null(before);
	machine_build(&m, &engine_kvm, NULL);
	board = m.board;
	fill_lapic(&board->lapic[0]);
	fill_irqchip(board);
	memcpy(before, board, sizeof(*before));
	assert_int_equal(engine_kvm.put_state(m.cpu), 0);
	memset(board->ioapic.redirection, 0,
	       sizeof(board->ioapic.redirection));
	memset((void *)board->lapic[0].irr, 0, sizeof(board->lapic[0].irr));
	memset((void *)board->lapic[0].lvt, 0, sizeof(board->lapic[0].lvt));
	board->ioapic.id = board->ioapic.select = 0;
	board->lapic[0].tpr = board->lapic[0].svr = 0;
	memset(board->pit.channel, 0, sizeof(board->pit.channel));
	board->pic.half[0].imr = board->pic.half[0].base = 0;
	board->pic.half[1].lowest = board->pic.half[1].isr = 0;
	assert_int_equal(engine_kvm.get_state(m.cpu), 0);
	assert_int_equal(differing(lapic_class.state, &before->lapic[0],
				   &board->lapic[0], but), 0);
	assert_int_equal(differing(ioapic_class.state, &before->ioapic,
				   &board->ioapic, but), 0);
	assert_int_equal(differing(pic_class.state, &before->pic, &board->pic,
				   but), 0);
	assert_int_equal(differing(pit_class.state, &before->pit, &board->pit,
				   but), 0);
	machine_destroy(&m);
	free(before);
}

static void timers_round_trip(void **state)
{
	struct kvm_machine m;
	struct lapic *lapic;
	uint64_t now;

	machine_build(&m, &engine_kvm, &guest_waits);
	lapic = &m.board->lapic[0];
	now = clock_now(&m.vm->clock);
	/* A third of a long one-shot count is over. */
	lapic->lvt[LAPIC_LVT_TIMER] = 0x40;
	lapic->timer_divide = 0;
	lapic->timer_initial = 3000000000u;
	lapic->timer_start = now - 2000000000u;
	lapic->timer_running = true;
	assert_int_equal(engine_kvm.put_state(m.cpu), 0);
	lapic->timer_initial = 0;
	lapic->timer_running = false;
	assert_int_equal(engine_kvm.get_state(m.cpu), 0);
	assert_true(lapic->timer_running);
	assert_int_equal(lapic->timer_initial, 3000000000u);
	/* Two ns a count; it went on for the time of two calls. */
	assert_in_range(lapic->timer_due, now + 3000000000u,
			now + 4000000000u);
	assert_int_equal(lapic->timer.deadline, lapic->timer_due);

	/* The same as a TSC deadline, a second from now. */
	lapic->lvt[LAPIC_LVT_TIMER] = 0x40040;
	lapic->timer_running = false;
	lapic->tsc_deadline = x86_tsc(m.cpu) + m.cpu->cpuid->tsc_hz;
	now = lapic->tsc_deadline;
	assert_int_equal(engine_kvm.put_state(m.cpu), 0);
	lapic->tsc_deadline = 0;
	assert_int_equal(engine_kvm.get_state(m.cpu), 0);
	assert_int_equal(lapic->tsc_deadline, now);
	assert_in_range(lapic->timer_due - clock_now(&m.vm->clock), 1,
			1000000000);
	machine_destroy(&m);
}

/* --- from one engine to another ------------------------------------------- */

static unsigned int items_of(struct kvm_machine *m, struct state_item *items)
{
	unsigned int count = board_state_items(m->board, items, ITEMS_MAX);

	assert_true(count < ITEMS_MAX);
	return count;
}

/* Takes over memory and state of a stopped machine. */
static void take_over(struct kvm_machine *to, const struct engine *engine,
		      struct kvm_machine *from)
{
	struct state_item items[ITEMS_MAX];
	struct state_buffer stream = { 0 };
	struct state_error error;

	assert_int_equal(from->engine->get_state(from->cpu), 0);
	assert_int_equal(state_save(items, items_of(from, items), &stream),
			 0);
	machine_build(to, engine, NULL);
	memcpy(to->vm->memory.ram.base, from->vm->memory.ram.base,
	       MACHINE_MEMORY);
	if (state_load(items, items_of(to, items), stream.data, stream.size,
		       &to->vm->clock, &error))
		fail_msg("%s", error.text);
	x86_cpu_state_changed(to->cpu);
	assert_int_equal(engine->put_state(to->cpu), 0);
	host_free(stream.data);
	machine_destroy(from);
}

static void goes_on(struct kvm_machine *m)
{
	uint64_t count = machine_word(m, GUEST_COUNT);
	uint64_t ticks = machine_word(m, GUEST_TICKS);

	machine_run(m, GUEST_TICKS, ticks + 5);
	assert_true(machine_word(m, GUEST_COUNT) > count);
	assert_int_equal(machine_word(m, GUEST_WRONG), 0);
}

static void other_engines_go_on(void **state)
{
	const struct kvm_guest *const guests[] = { &guest_counts,
						   &guest_deadline };
	struct kvm_machine m, next;

	for (unsigned int i = 0; i < 2; i++) {
		machine_build(&m, &engine_kvm, guests[i]);
		goes_on(&m);
		take_over(&next, &engine_soft, &m);
		goes_on(&next);
		take_over(&m, &engine_kvm, &next);
		goes_on(&m);
		take_over(&next, &engine_kvm, &m);
		goes_on(&next);
		machine_destroy(&next);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(processor_round_trip),
		cmocka_unit_test(events_round_trip),
		cmocka_unit_test(chips_round_trip),
		cmocka_unit_test(timers_round_trip),
		cmocka_unit_test(other_engines_go_on),
	};

	if (!machine_has_kvm())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
