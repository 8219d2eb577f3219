/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPUID policy on whatever processor the test runs: never more than the
 * host has, a topology that agrees with itself, sizes that follow XCR0.
 */
#include <string.h>

#include "fake/host.h"
#include "fake/test.h"
#include "x86/cpuid.h"
#include "x86/cpuid_reg.h"
#include "x86/reg.h"
#include "x86/state.h"

static struct cpuid_policy policy;
static struct x86_state cpu;

static struct cpuid_regs query(unsigned int id, uint32_t leaf, uint32_t sub)
{
	return cpuid_query(&policy, &cpu, id, leaf, sub);
}

static void start(unsigned int cpus)
{
	fake_host_reset();
	fake_tsc_hz_set(2500000000u);
	cpuid_policy_init(&policy, cpus, 1 << 20);
	x86_state_reset(&cpu, true);
}

static void identity_is_the_hosts(void **state)
{
	struct cpuid_regs host = cpuid_host(0, 0), r;

	start(1);
	r = query(0, 0, 0);
	assert_int_equal(r.ebx, host.ebx);
	assert_int_equal(r.ecx, host.ecx);
	assert_int_equal(r.edx, host.edx);
	assert_int_equal(query(0, 1, 0).eax, cpuid_host(1, 0).eax);
	for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; leaf++) {
		r = query(0, leaf, 0);
		host = cpuid_host(leaf, 0);
		assert_memory_equal(&r, &host, sizeof(r));
	}
}

static void no_more_than_the_host_has(void **state)
{
	const uint32_t always_ecx = CPUID_X2APIC | CPUID_TSC_DEADLINE |
				    CPUID_HYPERVISOR;
	struct cpuid_regs r, host;

	start(4);
	r = query(0, 1, 0);
	host = cpuid_host(1, 0);
	assert_int_equal(r.ecx & ~(host.ecx | always_ecx), 0);
	assert_int_equal(r.ecx & always_ecx, always_ecx);
	assert_int_equal(r.edx & ~(host.edx | CPUID_HTT | CPUID_APIC), 0);
	/* MONITOR, VMX, SMX, SDBG, PDCM, DCA */
	assert_int_equal(r.ecx & 0x48868, 0);
	r = query(0, 7, 0);
	host = cpuid_host(7, 0);
	assert_int_equal(r.ebx & ~(host.ebx | CPUID_TSC_ADJUST), 0);
	assert_int_equal(r.ecx & ~(host.ecx | CPUID_PKU | CPUID_PKS), 0);
	/* HLE, MPX, RTM; OSPKE, CET, LA57; FP16 */
	assert_int_equal(r.ebx & (1u << 4 | 1u << 11 | 1u << 14), 0);
	assert_int_equal(r.ecx & (1u << 4 | 1u << 7 | 1u << 16), 0);
	assert_int_equal(r.edx & 1u << 23, 0);
	assert_int_equal(query(0, 7, 1).eax & ~cpuid_host(7, 1).eax, 0);
	assert_in_range(r.eax, 0, host.eax);
	r = query(0, 0x80000001, 0);
	host = cpuid_host(0x80000001, 0);
	assert_int_equal(r.edx & ~(host.edx | CPUID_SYSCALL), 0);
	/* SVM, SSE4A, XOP, FMA4, TBM */
	assert_int_equal(r.ecx & (1u << 2 | 1u << 6 | 1u << 11 | 1u << 16 |
				  1u << 21), 0);
	assert_int_equal(query(0, 5, 0).eax, 0);
	assert_int_equal(query(0, 0xa, 0).eax, 0);
}

static void flags_agree_with_the_leaves(void **state)
{
	start(1);
	assert_int_equal(policy.nx, !!(query(0, 0x80000001, 0).edx & CPUID_NX));
	assert_int_equal(policy.pcid, !!(query(0, 1, 0).ecx & CPUID_PCID));
	assert_int_equal(policy.smap, !!(query(0, 7, 0).ebx & CPUID_SMAP));
	assert_int_equal(policy.umip, !!(query(0, 7, 0).ecx & CPUID_UMIP));
	assert_int_equal(policy.pku, !!(query(0, 7, 0).ecx & CPUID_PKU));
	assert_int_equal(policy.pks, !!(query(0, 7, 0).ecx & CPUID_PKS));
	assert_int_equal(policy.xsaves,
			 !!(query(0, 0xd, 1).eax & CPUID_XSAVES));
	assert_int_equal(policy.physical_bits,
			 query(0, 0x80000008, 0).eax & 0xff);
	assert_in_range(policy.physical_bits, 36, 40);
}

/* As wide as the memory needs, if the host goes that far. */
static void physical_addresses(void **state)
{
	unsigned int host = cpuid_host(0x80000008, 0).eax & 0xff;

	cpuid_policy_init(&policy, 1, (uint64_t)1 << 40);
	assert_int_equal(policy.physical_bits, host < 42 ? host : 42);
}

static void topology(void **state)
{
	start(6);
	assert_int_equal(query(5, 1, 0).ebx >> 24, 5);
	assert_int_equal(query(5, 1, 0).ebx >> 16 & 0xff, 8);
	assert_true(query(5, 1, 0).edx & CPUID_HTT);
	assert_int_equal(query(3, 0xb, 0).eax, 0);
	assert_int_equal(query(3, 0xb, 0).ebx, 1);
	assert_int_equal(query(3, 0xb, 0).ecx, 0x100);
	assert_int_equal(query(3, 0xb, 1).eax, 3);
	assert_int_equal(query(3, 0xb, 1).ebx, 6);
	assert_int_equal(query(3, 0xb, 1).ecx, 0x201);
	assert_int_equal(query(3, 0xb, 2).ebx, 0);
	assert_int_equal(query(3, 0xb, 2).ecx, 2);
	for (uint32_t sub = 0; sub < 3; sub++)
		assert_int_equal(query(3, 0xb, sub).edx, 3);
	if (!policy.amd)
		return;
	assert_int_equal(query(3, 0x8000001e, 0).eax, 3);
	assert_int_equal(query(3, 0x8000001e, 0).ebx, 3);
	assert_int_equal(query(3, 0x80000008, 0).ecx, 3 << 12 | 5);
}

static void one_processor_has_no_siblings(void **state)
{
	start(1);
	assert_false(query(0, 1, 0).edx & CPUID_HTT);
	assert_int_equal(query(0, 1, 0).ebx >> 16, 1);
	assert_int_equal(query(0, 0xb, 1).eax, 0);
}

static void state_shows(void **state)
{
	start(1);
	assert_false(query(0, 1, 0).ecx & CPUID_OSXSAVE);
	cpu.cr4 |= X86_CR4_OSXSAVE;
	assert_true(query(0, 1, 0).ecx & CPUID_OSXSAVE);
	assert_false(query(0, 7, 0).ecx & CPUID_OSPKE);
	cpu.cr4 |= X86_CR4_PKE;
	assert_true(query(0, 7, 0).ecx & CPUID_OSPKE);
	assert_true(query(0, 1, 0).edx & CPUID_APIC);
	cpu.apic_base &= ~(uint64_t)X86_APIC_BASE_ENABLE;
	assert_false(query(0, 1, 0).edx & CPUID_APIC);
}

static void xsave_sizes(void **state)
{
	start(1);
	if (!policy.xsave)
		skip();
	assert_int_equal(query(0, 0xd, 0).eax, policy.xcr0);
	cpu.xcr0 = 1;
	assert_int_equal(query(0, 0xd, 0).ebx, 576);
	assert_int_equal(query(0, 0xd, 0).ecx, X86_XSAVE_PKRU + 8);
	assert_int_equal(query(0, 0xd, 9).eax, 8);
	assert_int_equal(query(0, 0xd, 9).ebx, X86_XSAVE_PKRU);
	cpu.xcr0 = X86_XCR0_PKRU | 3;
	assert_int_equal(query(0, 0xd, 0).ebx, X86_XSAVE_PKRU + 8);
	if (policy.xsaves)
		assert_int_equal(query(0, 0xd, 1).ebx, 584);
	if (!(policy.xcr0 & X86_XCR0_AVX))
		return;
	cpu.xcr0 = 7;
	assert_int_equal(query(0, 0xd, 0).ebx, 832);
	assert_int_equal(query(0, 0xd, 1).ebx, 832);
	assert_int_equal(query(0, 0xd, 2).eax, 256);
	assert_int_equal(query(0, 0xd, 2).ebx, X86_XSAVE_YMM);
	assert_int_equal(query(0, 0xd, 3).eax, 0);
}

/* F, DQ, CD, BW and VL together, with their registers, or nothing of it. */
static void avx512_is_whole(void **state)
{
	const uint32_t base = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 |
			      1u << 31;
	const uint32_t more_ecx = 1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 |
				  1u << 14;
	struct cpuid_regs r;

	start(1);
	r = query(0, 7, 0);
	if (!policy.avx512) {
		assert_int_equal(r.ebx & (base | 1u << 21), 0);
		assert_int_equal(r.ecx & more_ecx, 0);
		assert_int_equal(r.edx & 1u << 8, 0);
		assert_int_equal(query(0, 7, 1).eax & 1u << 5, 0);
		assert_int_equal(policy.xcr0 & X86_XCR0_AVX512, 0);
		return;
	}
	assert_int_equal(r.ebx & base, base);
	assert_int_equal(policy.xcr0 & X86_XCR0_AVX512, X86_XCR0_AVX512);
	cpu.xcr0 = X86_XCR0_AVX512 | 7;
	assert_int_equal(query(0, 0xd, 0).ebx, X86_XSAVE_PKRU);
	assert_int_equal(query(0, 0xd, 1).ebx, 832 + 64 + 512 + 1024);
	assert_int_equal(query(0, 0xd, 7).eax, 1024);
	assert_int_equal(query(0, 0xd, 7).ebx, X86_XSAVE_HI16_ZMM);
}

static void hypervisor_leaves(void **state)
{
	struct cpuid_regs r;
	char name[13] = "";

	start(1);
	r = query(0, 0x40000000, 0);
	memcpy(name, &r.ebx, 12);
	assert_string_equal(name, "KVMKVMKVM");
	assert_true(r.eax >= 0x40000010);
	r = query(0, 0x40000001, 0);
	assert_int_equal(r.eax, 1u << 1 | 1u << 3 | 1u << 24);
	r = query(0, 0x40000010, 0);
	assert_int_equal(r.eax, 2500000);
	assert_int_equal(r.ebx, 1000000);
}

static void unknown_leaves_are_zero(void **state)
{
	const struct cpuid_regs zero = { 0 };
	const uint32_t leaves[] = { 0x12, 0x14, 0x1f, 0x20000000, 0x40000002,
				    0x8000000a, 0x8fffffff, 0xc0000000 };
	struct cpuid_regs r;

	start(1);
	for (unsigned int i = 0; i < sizeof(leaves) / 4; i++) {
		r = query(0, leaves[i], 0);
		assert_memory_equal(&r, &zero, sizeof(r));
	}
}

static void room_for_every_count(void **state)
{
	for (unsigned int cpus = 1; cpus <= 64; cpus++) {
		start(cpus);
		assert_true(policy.count < CPUID_LEAVES_MAX);
		assert_true(1u << query(0, 0xb, 1).eax >= cpus);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity_is_the_hosts),
		cmocka_unit_test(no_more_than_the_host_has),
		cmocka_unit_test(flags_agree_with_the_leaves),
		cmocka_unit_test(physical_addresses),
		cmocka_unit_test(topology),
		cmocka_unit_test(one_processor_has_no_siblings),
		cmocka_unit_test(state_shows),
		cmocka_unit_test(xsave_sizes),
		cmocka_unit_test(avx512_is_whole),
		cmocka_unit_test(hypervisor_leaves),
		cmocka_unit_test(unknown_leaves_are_zero),
		cmocka_unit_test(room_for_every_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
