/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APICs: who gets which interrupt message.
 */
#include "lapic_rig.h"

#define VECTOR 0x62

/* A bit for each processor that has VECTOR pending; takes it. */
static uint32_t takers(void)
{
	uint32_t got = 0;
	unsigned int i;

	for (i = 0; i < LAPIC_CPUS; i++) {
		if (accept_vector(i) != VECTOR)
			continue;
		got |= 1u << i;
		if (bench.lapic[i].base & LAPIC_BASE_X2APIC)
			mput(i, 0x80b, 0);
		else
			xput(i, LAPIC_EOI, 0);
	}
	return got;
}

static uint32_t asked(uint32_t bit)
{
	uint32_t got = 0;
	unsigned int i;

	for (i = 0; i < LAPIC_CPUS; i++)
		if (requests(i) & bit)
			got |= 1u << i;
	return got;
}

static uint32_t msi(uint64_t address, uint32_t data)
{
	msi_send(&bench.rig.vm.msi, &(struct msi){ address, data });
	return takers();
}

static uint32_t ipi(unsigned int from, uint32_t dest, uint32_t low)
{
	if (bench.lapic[from].base & LAPIC_BASE_X2APIC) {
		assert_true(mput(from, 0x830, (uint64_t)dest << 32 | low));
	} else {
		xput(from, LAPIC_ICR_HIGH, dest << 24);
		xput(from, LAPIC_ICR, low);
	}
	return takers();
}

#define ALL ((1u << LAPIC_CPUS) - 1)

static int setup(void **state)
{
	unsigned int i;

	lapic_rig_setup(state);
	for (i = 0; i < LAPIC_CPUS; i++) {
		enable(i);
		xput(i, LAPIC_LDR, i < 8 ? 1u << (24 + i) : 0);
	}
	return 0;
}

static void physical(void **state)
{
	assert_int_equal(msi(0xfee05000, VECTOR), 1u << 5);
	assert_int_equal(msi(0xfee11000, VECTOR), 1u << 17);
	assert_int_equal(msi(0xfee80000, VECTOR), 0);
	assert_int_equal(msi(0xfeeff000, VECTOR), ALL);
	assert_int_equal(msi(0xfed05000, VECTOR), 0); /* not an APIC's */
	assert_int_equal(ipi(1, 2, VECTOR), 1u << 2);
	assert_int_equal(ipi(1, 0xff, VECTOR), ALL);
	assert_int_equal(xget(1, LAPIC_ICR), VECTOR);
	assert_int_equal(xget(1, LAPIC_ICR_HIGH), 0xff000000);
}

static void flat(void **state)
{
	assert_int_equal(msi(0xfee13004, VECTOR), 0x13);
	assert_int_equal(ipi(0, 0x82, VECTOR | 0x800), 0x82);
	assert_int_equal(ipi(0, 0xff, VECTOR | 0x800), ALL);
}

static void cluster(void **state)
{
	unsigned int i;

	for (i = 0; i < LAPIC_CPUS; i++) {
		xput(i, LAPIC_DFR, 0);
		xput(i, LAPIC_LDR, (i / 4) << 28 | 1u << (24 + i % 4));
	}
	assert_int_equal(xget(0, LAPIC_DFR), 0x0fffffff);
	assert_int_equal(ipi(0, 0x13, VECTOR | 0x800), 0x30);
	assert_int_equal(ipi(0, 0x41, VECTOR | 0x800), 1u << 16);
	assert_int_equal(ipi(0, 0xf1, VECTOR | 0x800), 0x11111);
	assert_int_equal(ipi(0, 0x20, VECTOR | 0x800), 0);
}

static void shorthands(void **state)
{
	assert_int_equal(ipi(3, 0, VECTOR | 0x40000), 1u << 3);
	assert_int_equal(ipi(3, 0, VECTOR | 0x80000), ALL);
	assert_int_equal(ipi(3, 0, VECTOR | 0xc0000), ALL & ~8u);
}

static void lowest_priority(void **state)
{
	unsigned int i;
	uint32_t seen = 0;

	for (i = 0; i < 8; i++)
		xput(i, LAPIC_TPR, i == 2 || i == 6 ? 0x10 : 0x40);
	for (i = 0; i < 4; i++) {
		uint32_t one = msi(0xfeeff00c, VECTOR | 0x100);

		/* Broadcast reaches 8..17 with priority 0 as well. */
		assert_int_equal(__builtin_popcount(one), 1);
		assert_true(one >= 1u << 8);
		seen |= one;
	}
	assert_int_equal(__builtin_popcount(seen), 4); /* they take turns */
	assert_int_equal(msi(0xfee04004, VECTOR | 0x100), 1u << 2);
	seen = msi(0xfee44004, VECTOR | 0x100);
	seen |= msi(0xfee44004, VECTOR | 0x100);
	assert_int_equal(seen, 0x44);
	/* Redirection hint: one of them, though the mode is fixed. */
	assert_int_equal(__builtin_popcount(msi(0xfee4400c, VECTOR)), 1);
	xput(2, LAPIC_SVR, 0xff);
	assert_int_equal(msi(0xfee0400c, VECTOR | 0x100), 0);
}

static void x2apic(void **state)
{
	unsigned int i;

	for (i = 0; i < LAPIC_CPUS; i++)
		use_x2apic(i);
	assert_int_equal(ipi(0, 17, VECTOR), 1u << 17);
	assert_int_equal(ipi(0, UINT32_MAX, VECTOR), ALL);
	assert_int_equal(ipi(0, 0xff, VECTOR), 0); /* a processor's id here */
	assert_int_equal(ipi(0, 0x00010003, VECTOR | 0x800), 3u << 16);
	assert_int_equal(ipi(0, 0x00000101, VECTOR | 0x800), 0x101);
	assert_int_equal(ipi(5, 0, VECTOR | 0xc0000), ALL & ~(1u << 5));
	assert_int_equal(msi(0xfee11000, VECTOR), 1u << 17);
	assert_int_equal(msi(0xfee03004, VECTOR), 3);
	assert_int_equal(msi(0xfeeff000, VECTOR), ALL);
}

static void start_up(void **state)
{
	asked(UINT32_MAX);
	ipi(0, 1, 0x4500);
	assert_int_equal(asked(X86_REQ_INIT), 1u << 1);
	ipi(0, 1, 0x8500); /* level de-assert */
	assert_int_equal(asked(UINT32_MAX), 0);
	ipi(0, 0, 0xc4500);
	assert_int_equal(asked(X86_REQ_INIT), ALL & ~1u);
	ipi(0, 3, 0x4699);
	assert_int_equal(bench.cpu[3]->state.sipi_vector, 0x99);
	assert_int_equal(asked(X86_REQ_SIPI), 1u << 3);
	ipi(0, 3, 0x4600); /* any vector is right for a SIPI */
	assert_int_equal(bench.cpu[3]->state.sipi_vector, 0);
	assert_int_equal(asked(X86_REQ_SIPI), 1u << 3);
}

static void other_modes(void **state)
{
	asked(UINT32_MAX);
	ipi(0, 2, 0x4400);
	assert_int_equal(asked(X86_REQ_NMI), 1u << 2);
	xput(2, LAPIC_SVR, 0xff); /* an NMI gets through all the same */
	ipi(0, 2, 0x4400);
	assert_int_equal(asked(X86_REQ_NMI), 1u << 2);
	lapic_ops.set_base(&bench.lapic[2], 0xfee00000);
	ipi(0, 2, 0x4400);
	ipi(0, 1, 0x4200); /* SMI, remote read, ExtINT: nothing */
	ipi(0, 1, 0x4300);
	ipi(0, 1, 0x4700);
	assert_int_equal(asked(UINT32_MAX), 0);
}

static void full_set(void **state)
{
	bench.set.count = VM_CPUS_MAX;
	assert_int_equal(lapic_init(&bench.lapic[0], &bench.rig.vm,
				    bench.cpu[0], &bench.set), -VM_ENOSPC);
	bench.set.count = 0;
	lapic_set_extint(&bench.set, 0, true);
	msi(0xfeeff000, VECTOR | 0x100);
}

#define TEST(f_) cmocka_unit_test_setup_teardown(f_, setup, lapic_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(physical),
		TEST(flat),
		TEST(cluster),
		TEST(shorthands),
		TEST(lowest_priority),
		TEST(x2apic),
		TEST(start_up),
		TEST(other_modes),
		TEST(full_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
