/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model-specific registers: what each accepts, what it keeps, what it does.
 */
#include "rig.h"
#include "x86/msr.h"

static struct cpuid_policy policy;

static uint64_t apic_base_told;
static uint32_t apic_msr;
static uint64_t apic_value;

static void set_base(void *apic, uint64_t base)
{
	apic_base_told = base;
}

static bool read_msr(void *apic, uint32_t index, uint64_t *value)
{
	*value = index * 2;
	return index != 0x801;
}

static bool write_msr(void *apic, uint32_t index, uint64_t value)
{
	apic_msr = index;
	apic_value = value;
	return index != 0x802;
}

static const struct x86_apic_ops apic_ops = {
	.set_base = set_base,
	.read_msr = read_msr,
	.write_msr = write_msr,
};

/* A processor with everything that a policy can offer. */
static struct x86_cpu *start(void **state)
{
	struct x86_cpu *cpu = rig_real(state);

	policy = (struct cpuid_policy){
		.physical_bits = 40,
		.nx = true,
		.rdtscp = true,
		.xsaves = true,
		.pks = true,
		.tsc_hz = 2000000000,
	};
	cpu->cpuid = &policy;
	return cpu;
}

static uint64_t get(struct x86_cpu *cpu, uint32_t index)
{
	uint64_t v = 0;

	assert_true(x86_msr_read(cpu, index, &v));
	return v;
}

static bool set(struct x86_cpu *cpu, uint32_t index, uint64_t v)
{
	return x86_msr_write(cpu, index, v);
}

static void plain_registers_keep_values(void **state)
{
	struct x86_cpu *cpu = start(state);
	/* 0x0604.. is a valid memory-type pattern and canonical. */
	const uint64_t v = 0x0000060406040604;

	for (unsigned int i = 0; i < x86_msr_count; i++) {
		uint32_t index = x86_msr_list[i];
		uint64_t value = v, old = get(cpu, index);

		if (index == X86_MSR_XSS)
			value = 0;
		else if (index == X86_MSR_DEBUGCTL)
			value = 1;
		else if (index == X86_MSR_TSC_AUX ||
			 index == X86_MSR_SFMASK ||
			 index == X86_MSR_PKRS ||
			 index == X86_MSR_SYSENTER_CS)
			value = 0x1234;
		else if (index == X86_MSR_MTRR_DEF_TYPE)
			value = 0xc06;
		else if (index >= X86_MSR_MTRR_BASE0 &&
			 index < X86_MSR_MTRR_BASE0 + 16)
			value = index & 1 ? 0xff00000800 : 0x1000006;
		assert_true(set(cpu, index, value));
		assert_int_equal(get(cpu, index), value);
		assert_true(set(cpu, index, old) || !old);
	}
}

static void rights_of_keys_have_32_bits(void **state)
{
	struct x86_cpu *cpu = start(state);
	uint64_t v;

	assert_true(set(cpu, X86_MSR_PKRS, UINT32_MAX));
	assert_false(set(cpu, X86_MSR_PKRS, (uint64_t)1 << 32));
	assert_int_equal(get(cpu, X86_MSR_PKRS), UINT32_MAX);
	policy.pks = false;
	assert_false(x86_msr_read(cpu, X86_MSR_PKRS, &v));
	assert_false(set(cpu, X86_MSR_PKRS, 0));
}

static void bases_must_be_canonical(void **state)
{
	const uint32_t index[] = {
		X86_MSR_FS_BASE, X86_MSR_GS_BASE, X86_MSR_KERNEL_GS_BASE,
		X86_MSR_LSTAR, X86_MSR_CSTAR, X86_MSR_SYSENTER_ESP,
		X86_MSR_SYSENTER_EIP,
	};
	struct x86_cpu *cpu = start(state);

	for (unsigned int i = 0; i < sizeof(index) / sizeof(*index); i++) {
		assert_true(set(cpu, index[i], 0xffff800000000000));
		assert_false(set(cpu, index[i], 0x0000800000000000));
		assert_int_equal(get(cpu, index[i]), 0xffff800000000000);
	}
	assert_int_equal(cpu->state.seg[X86_FS].base, 0xffff800000000000);
}

static void memory_types(void **state)
{
	struct x86_cpu *cpu = start(state);

	assert_true(set(cpu, X86_MSR_PAT, 0x0007010604050007));
	assert_false(set(cpu, X86_MSR_PAT, 0x0002010604050007));
	assert_false(set(cpu, X86_MSR_PAT, 0x0800010604050007));
	assert_false(set(cpu, X86_MSR_MTRR_FIX64K, 0x07));
	assert_true(set(cpu, X86_MSR_MTRR_FIX64K, 0x06));
	assert_false(set(cpu, X86_MSR_MTRR_DEF_TYPE, 0xc02));
	assert_false(set(cpu, X86_MSR_MTRR_DEF_TYPE, 0x1c06));
	assert_false(set(cpu, X86_MSR_MTRR_BASE0, 0x10000000006));
	assert_false(set(cpu, X86_MSR_MTRR_BASE0 + 1, 0x801));
	assert_int_equal(get(cpu, X86_MSR_MTRR_CAP), 0x508);
	assert_false(set(cpu, X86_MSR_MTRR_CAP, 0));
}

static void efer_rules(void **state)
{
	struct x86_cpu *cpu = start(state);
	struct x86_state *s = &cpu->state;

	assert_true(set(cpu, X86_MSR_EFER, X86_EFER_SCE | X86_EFER_NXE));
	assert_false(set(cpu, X86_MSR_EFER, 1 << 12)); /* SVME */
	assert_false(set(cpu, X86_MSR_EFER, X86_EFER_AIBRSE));
	policy.auto_ibrs = true;
	assert_true(set(cpu, X86_MSR_EFER, X86_EFER_AIBRSE));
	policy.nx = false;
	assert_false(set(cpu, X86_MSR_EFER, X86_EFER_NXE));
	/* LMA is not the guest's to set, nor to clear. */
	assert_true(set(cpu, X86_MSR_EFER, X86_EFER_LMA | X86_EFER_LME));
	assert_int_equal(s->efer, X86_EFER_LME);
	s->efer |= X86_EFER_LMA;
	s->cr0 |= X86_CR0_PE | X86_CR0_PG;
	assert_true(set(cpu, X86_MSR_EFER, X86_EFER_LME | X86_EFER_SCE));
	assert_int_equal(s->efer, X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE);
	assert_false(set(cpu, X86_MSR_EFER, X86_EFER_SCE));
}

static void apic_base_transitions(void **state)
{
	const uint64_t off = X86_APIC_ADDRESS, on = off | X86_APIC_BASE_ENABLE;
	const uint64_t x2 = on | X86_APIC_BASE_X2APIC;
	struct x86_cpu *cpu = start(state);

	cpu->apic.ops = &apic_ops;
	assert_int_equal(get(cpu, X86_MSR_APIC_BASE),
			 on | X86_APIC_BASE_BSP);
	assert_true(set(cpu, X86_MSR_APIC_BASE, x2));
	assert_int_equal(apic_base_told, x2);
	assert_false(set(cpu, X86_MSR_APIC_BASE, on));
	assert_true(set(cpu, X86_MSR_APIC_BASE, off));
	assert_false(set(cpu, X86_MSR_APIC_BASE, x2));
	assert_false(set(cpu, X86_MSR_APIC_BASE, off | X86_APIC_BASE_X2APIC));
	assert_true(set(cpu, X86_MSR_APIC_BASE, on));
	assert_false(set(cpu, X86_MSR_APIC_BASE, on | 1));
	assert_false(set(cpu, X86_MSR_APIC_BASE, on | (uint64_t)1 << 40));
	cpu->apic.ops = NULL;
}

static void apic_registers_are_the_apics(void **state)
{
	struct x86_cpu *cpu = start(state);
	uint64_t v;

	assert_false(x86_msr_read(cpu, 0x802, &v)); /* no APIC */
	assert_false(set(cpu, X86_MSR_TSC_DEADLINE, 1));
	cpu->apic.ops = &apic_ops;
	assert_int_equal(get(cpu, 0x830), 0x1060);
	assert_false(x86_msr_read(cpu, 0x801, &v));
	assert_true(set(cpu, X86_MSR_TSC_DEADLINE, 99));
	assert_int_equal(apic_msr, X86_MSR_TSC_DEADLINE);
	assert_int_equal(apic_value, 99);
	assert_false(set(cpu, 0x802, 1));
	cpu->apic.ops = NULL;
}

static void time_stamp_counter(void **state)
{
	struct x86_cpu *cpu = start(state);
	const uint64_t far = (uint64_t)1 << 60, slack = (uint64_t)1 << 40;
	uint64_t before = x86_tsc(cpu);

	assert_true(get(cpu, X86_MSR_TSC) >= before);
	assert_true(set(cpu, X86_MSR_TSC, far));
	assert_true(x86_tsc(cpu) - far < slack);
	/* The write shows in TSC_ADJUST; undoing that restores the count. */
	assert_true(get(cpu, X86_MSR_TSC_ADJUST) > far - before - slack);
	assert_true(set(cpu, X86_MSR_TSC_ADJUST, 0));
	assert_true(x86_tsc(cpu) - before < slack);
	assert_true(set(cpu, X86_MSR_TSC_AUX, 5));
	assert_false(set(cpu, X86_MSR_TSC_AUX, (uint64_t)1 << 32));
	policy.rdtscp = false;
	assert_false(set(cpu, X86_MSR_TSC_AUX, 5));
}

static void machine_check_banks_are_empty(void **state)
{
	struct x86_cpu *cpu = start(state);
	unsigned int banks = get(cpu, X86_MSR_MCG_CAP) & 0xff;
	uint64_t v;

	assert_int_equal(banks, 10);
	for (unsigned int i = 0; i < banks; i++) {
		assert_int_equal(get(cpu, 0x401 + i * 4), 0);
		assert_true(set(cpu, 0x400 + i * 4, UINT64_MAX));
		assert_true(set(cpu, 0x401 + i * 4, 0));
	}
	assert_false(set(cpu, 0x401, 1));
	assert_false(x86_msr_read(cpu, 0x400 + banks * 4, &v));
}

static void makers_own(void **state)
{
	struct x86_cpu *cpu = start(state);
	uint64_t v;

	policy.arch_caps = true;
	assert_false(x86_msr_read(cpu, 0xc0010015, &v));
	assert_true(get(cpu, X86_MSR_ARCH_CAPS) & 1);
	policy.amd = true;
	policy.arch_caps = false;
	assert_int_equal(get(cpu, 0xc0010015), 1 << 24);
	assert_true(set(cpu, 0xc0010015, 0x40000000));
	assert_true(set(cpu, 0xc0010010, 0x200000));
	assert_int_equal(get(cpu, 0xc0010010), 0x200000);
	assert_int_equal(get(cpu, 0xc0011029), 2);
	assert_false(x86_msr_read(cpu, X86_MSR_ARCH_CAPS, &v));
	/* Nobody's. */
	assert_false(x86_msr_read(cpu, 0xdeadbeef, &v));
	assert_false(set(cpu, X86_MSR_SPEC_CTRL, 1));
	assert_false(set(cpu, X86_MSR_PRED_CMD, 1));
	assert_false(set(cpu, X86_MSR_XSS, 1));
}

/* --- the paravirtual clock ------------------------------------------------ */

static uint64_t guest_time(struct x86_cpu *cpu, uint64_t at, uint64_t tsc)
{
	uint32_t mul = (uint32_t)rig_peek(cpu, at + 24, 4);
	int8_t shift = (int8_t)rig_peek(cpu, at + 28, 1);
	uint64_t delta = tsc - rig_peek(cpu, at + 8, 8);

	delta = shift < 0 ? delta >> -shift : delta << shift;
	return rig_peek(cpu, at + 16, 8) +
	       (uint64_t)((unsigned __int128)delta * mul >> 32);
}

static void clock_page(void **state)
{
	const uint64_t rates[] = { 800000000, 1000000000, 2445123000,
				   5000000000 };
	struct x86_cpu *cpu = start(state);
	const uint64_t at = 0x8040;

	clock_start(&cpu->vm->clock);
	fake_time_advance(123456789);
	for (unsigned int i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		uint64_t begin, ns;

		policy.tsc_hz = rates[i];
		assert_true(set(cpu, X86_MSR_KVM_SYSTEM, at | 1));
		assert_int_equal(rig_peek(cpu, at, 4), 2 * i + 2);
		assert_int_equal(rig_peek(cpu, at + 29, 1), 1);
		assert_int_equal(rig_peek(cpu, at + 16, 8), 123456789);
		begin = rig_peek(cpu, at + 8, 8);
		/* A hundred seconds later, to a microsecond. */
		ns = guest_time(cpu, at, begin + 100 * rates[i]) - 123456789;
		assert_in_range(ns, 99999999000, 100000001000);
	}
	/* Switched off: nothing is written. */
	assert_true(set(cpu, X86_MSR_KVM_SYSTEM, at));
	assert_int_equal(rig_peek(cpu, at, 4), 8);
	/* Nowhere: nothing happens. */
	assert_true(set(cpu, X86_MSR_KVM_SYSTEM, 0xfffffffffff1));
}

static void wall_clock(void **state)
{
	struct x86_cpu *cpu = start(state);

	clock_start(&cpu->vm->clock);
	fake_time_advance(5000000000);
	fake_realtime_set(1700000005123456789);
	assert_true(set(cpu, X86_MSR_KVM_WALL, 0x8000));
	assert_int_equal(rig_peek(cpu, 0x8000, 4), 2);
	assert_int_equal(rig_peek(cpu, 0x8004, 4), 1700000000);
	assert_int_equal(rig_peek(cpu, 0x8008, 4), 123456789);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(plain_registers_keep_values),
		TEST(rights_of_keys_have_32_bits),
		TEST(bases_must_be_canonical),
		TEST(memory_types),
		TEST(efer_rules),
		TEST(apic_base_transitions),
		TEST(apic_registers_are_the_apics),
		TEST(time_stamp_counter),
		TEST(machine_check_banks_are_empty),
		TEST(makers_own),
		TEST(clock_page),
		TEST(wall_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
