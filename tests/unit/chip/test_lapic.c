/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APIC: registers, priorities, EOI, local vectors, modes.
 */
#include "lapic_rig.h"

static void fixed(unsigned int n, uint8_t vector)
{
	struct msi msi = { 0xfee00000 | n << 12, vector };

	msi_send(&bench.rig.vm.msi, &msi);
}

static void reset_values(void **state)
{
	uint64_t value;

	assert_int_equal(xget(3, LAPIC_ID), 3u << 24);
	assert_int_equal(xget(3, LAPIC_VERSION), LAPIC_VERSION_VALUE);
	assert_int_equal(xget(3, LAPIC_SVR), 0xff);
	assert_int_equal(xget(3, LAPIC_DFR), UINT32_MAX);
	assert_int_equal(xget(3, LAPIC_LVT_FIRST), 0x10000);
	assert_int_equal(xget(3, 0x35), 0x10000);
	assert_int_equal(xget(0, 0x35), 0x700); /* ExtINT on the BSP */
	assert_int_equal(bench.lapic[0].base, 0xfee00900);
	assert_int_equal(bench.lapic[1].base, 0xfee00800);
	assert_false(mget(0, 0x802, &value)); /* not x2APIC */
	assert_false(mput(0, 0x80b, 0));
	xput(3, LAPIC_ID, 0);
	assert_int_equal(xget(3, LAPIC_ID), 3u << 24);
}

static void delivers_and_ends(void **state)
{
	enable(1);
	fixed(1, 0x41);
	assert_int_equal(requests(1), X86_REQ_INTR);
	assert_int_equal(requests(0), 0);
	assert_int_equal(xget(1, LAPIC_IRR + 2), 0x2);
	assert_true(is_pending(1));
	assert_int_equal(accept_vector(1), 0x41);
	assert_int_equal(xget(1, LAPIC_IRR + 2), 0);
	assert_int_equal(xget(1, LAPIC_ISR + 2), 0x2);
	assert_int_equal(xget(1, LAPIC_PPR), 0x40);
	fixed(1, 0x4f); /* same class: waits */
	assert_false(is_pending(1));
	fixed(1, 0x50);
	assert_int_equal(accept_vector(1), 0x50);
	assert_int_equal(accept_vector(1), -1);
	requests(1);
	xput(1, LAPIC_EOI, 0);
	assert_int_equal(requests(1), 0);
	xput(1, LAPIC_EOI, 0);
	assert_int_equal(requests(1), X86_REQ_INTR); /* 0x4f may come now */
	assert_int_equal(accept_vector(1), 0x4f);
	xput(1, LAPIC_EOI, 0);
	xput(1, LAPIC_EOI, 0); /* nothing in service: nothing */
	assert_int_equal(accept_vector(1), -1);
}

static void task_priority(void **state)
{
	enable(0);
	xput(0, LAPIC_TPR, 0x55);
	assert_int_equal(xget(0, LAPIC_PPR), 0x55);
	fixed(0, 0x5f);
	assert_false(is_pending(0));
	requests(0);
	lapic_ops.set_tpr(&bench.lapic[0], 0x40);
	assert_int_equal(requests(0), X86_REQ_INTR);
	assert_int_equal(lapic_ops.get_tpr(&bench.lapic[0]), 0x40);
	assert_int_equal(accept_vector(0), 0x5f);
}

static void software_disabled(void **state)
{
	fixed(1, 0x41);
	assert_int_equal(requests(1), 0);
	enable(1);
	xput(1, 0x36, 0x45);
	assert_int_equal(xget(1, 0x36), 0x45);
	xput(1, LAPIC_SVR, 0xff);
	assert_int_equal(xget(1, 0x36), 0x10045);
	xput(1, 0x36, 0x45); /* cannot be unmasked now */
	assert_int_equal(xget(1, 0x36), 0x10045);
}

static void errors(void **state)
{
	enable(0);
	xput(0, 0x37, 0x99);
	xput(0, LAPIC_ICR, 0x0000000f); /* illegal vector sent */
	assert_int_equal(xget(0, LAPIC_ESR), 0);
	assert_int_equal(accept_vector(0), 0x99);
	xput(0, LAPIC_EOI, 0);
	xput(0, LAPIC_ESR, 0);
	assert_int_equal(xget(0, LAPIC_ESR), LAPIC_ESR_SEND_VECTOR);
	fixed(0, 3); /* received */
	assert_int_equal(accept_vector(0), 0x99);
	xput(0, LAPIC_EOI, 0);
	assert_int_equal(xget(0, 0), 0); /* no such register */
	assert_int_equal(accept_vector(0), 0x99);
	xput(0, LAPIC_ESR, 1);
	assert_int_equal(xget(0, LAPIC_ESR),
			 LAPIC_ESR_RECEIVE_VECTOR | LAPIC_ESR_REGISTER);
	xput(0, LAPIC_ESR, 0);
	assert_int_equal(xget(0, LAPIC_ESR), 0);
	xput(0, 0x37, 0x05); /* an illegal vector of its own */
	xput(0, LAPIC_SELF_IPI, 0x40);
	assert_int_equal(bench.lapic[0].esr_pending, LAPIC_ESR_REGISTER);
	lapic_ops.read(&bench.lapic[0], 0x84);
	lapic_ops.read(&bench.lapic[0], 0xff0);
	lapic_ops.write(&bench.lapic[0], 0x404, 1);
}

static void extint(void **state)
{
	rig_out(&bench.rig, 0x20, 0x11);
	rig_out(&bench.rig, 0x21, 0x30);
	rig_out(&bench.rig, 0x21, 0x04);
	rig_out(&bench.rig, 0x21, 0x01);
	pic_set_line(&bench.pic, 1, true);
	assert_int_equal(requests(0), X86_REQ_INTR);
	assert_true(is_pending(0));
	assert_false(is_pending(1));
	assert_int_equal(accept_vector(0), 0x31);
	assert_false(is_pending(0));
	assert_int_equal(accept_vector(0), -1);
	rig_out(&bench.rig, 0x20, 0x20);
	enable(0);
	xput(0, 0x35, 0x10700);
	pic_set_line(&bench.pic, 3, true);
	assert_false(is_pending(0));
	requests(0);
	xput(0, 0x35, 0x700);
	assert_int_equal(requests(0), X86_REQ_INTR);
	lapic_ops.set_base(&bench.lapic[0], 0xfee00100); /* no APIC at all */
	assert_int_equal(accept_vector(0), 0x33);
}

static void lint0_without_extint(void **state)
{
	struct irq intr = { lapic_set_extint, &bench.set, 0 };

	enable(0);
	xput(0, 0x35, 0x61); /* fixed: virtual wire */
	irq_set(&intr, true);
	assert_int_equal(accept_vector(0), 0x61);
	irq_set(&intr, true);
	assert_int_equal(accept_vector(0), -1);
	xput(0, LAPIC_EOI, 0);
	irq_set(&intr, false);
	xput(0, 0x35, 0x400); /* NMI */
	requests(0);
	irq_set(&intr, true);
	assert_int_equal(requests(0), X86_REQ_NMI);
	irq_set(&intr, false);
	xput(0, 0x35, 0x10400);
	irq_set(&intr, true);
	assert_int_equal(requests(0), 0);
}

static void level_eoi_reaches_ioapic(void **state)
{
	uint64_t *entry = &bench.ioapic.redirection[9];

	enable(0);
	*entry = 0x8052;
	ioapic_set_line(&bench.ioapic, 9, true);
	assert_int_equal(xget(0, LAPIC_TMR + 2), 1u << 18);
	assert_int_equal(accept_vector(0), 0x52);
	xput(0, LAPIC_EOI, 0); /* still asserted: comes again */
	assert_int_equal(accept_vector(0), 0x52);
	ioapic_set_line(&bench.ioapic, 9, false);
	xput(0, LAPIC_EOI, 0);
	assert_int_equal(*entry, 0x8052);
	fixed(0, 0x52); /* as an edge now */
	assert_int_equal(xget(0, LAPIC_TMR + 2), 0);
	accept_vector(0);
	xput(0, LAPIC_EOI, 0);
	/* With EOI broadcast off, remote IRR stays. */
	xput(0, LAPIC_SVR, 0x11ff);
	ioapic_set_line(&bench.ioapic, 9, true);
	accept_vector(0);
	xput(0, LAPIC_EOI, 0);
	assert_int_equal(*entry, 0xc052);
	assert_int_equal(bench.rig.vm.device_lock.word, 0);
}

static void x2apic_registers(void **state)
{
	uint64_t value = 0;

	use_x2apic(17);
	assert_true(mget(17, 0x802, &value));
	assert_int_equal(value, 17);
	assert_true(mget(17, 0x80d, &value));
	assert_int_equal(value, 0x10002);
	assert_true(mget(17, 0x803, &value));
	assert_false(mget(17, 0x80e, &value)); /* DFR */
	assert_false(mget(17, 0x831, &value)); /* ICR high */
	assert_false(mget(17, 0x80b, &value)); /* EOI: write-only */
	assert_false(mget(17, 0x840, &value));
	assert_false(mget(17, 0x8ff, &value));
	assert_false(mput(17, 0x802, 1));
	assert_false(mput(17, 0x80d, 1));
	assert_false(mput(17, 0x80b, 1));
	assert_true(mput(17, 0x80b, 0));
	assert_false(mput(17, 0x808, 0x100));
	assert_true(mput(17, 0x808, 0x20));
	assert_false(mput(17, 0x828, 1));
	assert_true(mput(17, 0x828, 0));
	assert_false(mput(17, 0x80f, 0x2000));
	assert_false(mput(17, 0x80f, 1ull << 32));
	assert_false(mput(17, 0x832, 0x80000));
	assert_true(mput(17, 0x832, 0x10020));
	assert_false(mput(17, 0x83e, 4));
	assert_false(mput(17, 0x839, 0)); /* current count */
	assert_false(mput(17, 0x830, 0x100000));
	assert_int_equal(xget(17, LAPIC_ID), 0); /* the page is off */
	enable(17);
	assert_true(mput(17, 0x83f, 0x77));
	assert_int_equal(accept_vector(17), 0x77);
}

static void base_transitions(void **state)
{
	struct lapic *lapic = &bench.lapic[2];

	enable(2);
	xput(2, LAPIC_TPR, 0x20);
	fixed(2, 0x44);
	lapic_ops.set_base(lapic, 0xfee00c00);
	assert_int_equal(lapic->tpr, 0x20); /* kept into x2APIC */
	assert_int_equal(accept_vector(2), 0x44);
	lapic_ops.set_base(lapic, 0xfee00000);
	assert_int_equal(lapic->tpr, 0);
	assert_int_equal(lapic->svr, 0xff);
	fixed(2, 0x44);
	assert_int_equal(accept_vector(2), -1);
	lapic_ops.set_base(lapic, 0xfee00800);
	assert_int_equal(xget(2, LAPIC_ID), 2u << 24);
	assert_int_equal(xget(2, LAPIC_LDR), 0);
}

static void init_keeps_mode(void **state)
{
	struct lapic *lapic = &bench.lapic[2];

	use_x2apic(2);
	enable(2);
	fixed(2, 0x44);
	lapic_ops.init(lapic);
	assert_false(is_pending(2));
	assert_int_equal(lapic->base, 0xfee00c00);
	assert_int_equal(lapic->ldr, 4);
	lapic_class.reset(lapic);
	assert_int_equal(lapic->base, 0xfee00800);
	assert_int_equal(lapic->ldr, 0);
}

static void hostile(void **state)
{
	uint64_t seed = 7, value;
	unsigned int i;

	for (i = 0; i < 40000; i++) {
		unsigned int n = rig_random(&seed) % 4;
		uint32_t at = rig_random(&seed) % 0x420;
		uint64_t v = (uint64_t)rig_random(&seed) << 32 |
			     rig_random(&seed);

		switch (rig_random(&seed) % 8) {
		case 0:
			lapic_ops.read(&bench.lapic[n], at);
			break;
		case 1:
			lapic_ops.write(&bench.lapic[n], at & ~0xfu,
					(uint32_t)v);
			break;
		case 2:
			mget(n, 0x800 + at % 0x110, &value);
			break;
		case 3:
			mput(n, 0x800 + at % 0x110, v & 0x7ffff);
			break;
		case 4:
			mput(n, LAPIC_MSR_TSC_DEADLINE, v);
			break;
		case 5:
			msi_send(&bench.rig.vm.msi,
				 &(struct msi){ 0xfee00000 | (v & 0xfffff),
						(uint32_t)(v >> 32) });
			break;
		case 6:
			accept_vector(n);
			break;
		case 7:
			if (v % 16 == 0)
				lapic_ops.set_base(&bench.lapic[n],
						   0xfee00000 |
							   (v >> 8 & 0xc00));
			rig_run(&bench.rig, v % 300000);
			break;
		}
		assert_int_equal(bench.rig.vm.device_lock.word, 0);
		assert_int_equal(bench.lapic[n].timer_lock.word, 0);
	}
}

static void valid(void *object)
{
	struct lapic *lapic = object;

	lapic->id %= VM_CPUS_MAX;
	lapic->timer_divide &= 0xb;
	lapic->timer_running &= lapic->timer_initial != 0;
}

static void round_trip(void **state)
{
	roundtrip_check(lapic_class.state, &bench.lapic[1], valid);
}

static void refuses_impossible_state(void **state)
{
	struct lapic *lapic = &bench.lapic[1];

	assert_int_equal(lapic_class.state->check(lapic), 0);
	lapic->timer_running = true;
	assert_int_equal(lapic_class.state->check(lapic), -VM_EBADMSG);
	lapic->timer_running = false;
	lapic->id = VM_CPUS_MAX;
	assert_int_equal(lapic_class.state->check(lapic), -VM_EBADMSG);
}

#define TEST(f_) \
	cmocka_unit_test_setup_teardown(f_, lapic_rig_setup, lapic_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reset_values),
		TEST(delivers_and_ends),
		TEST(task_priority),
		TEST(software_disabled),
		TEST(errors),
		TEST(extint),
		TEST(lint0_without_extint),
		TEST(level_eoi_reaches_ioapic),
		TEST(x2apic_registers),
		TEST(base_transitions),
		TEST(init_keeps_mode),
		TEST(hostile),
		TEST(round_trip),
		TEST(refuses_impossible_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
