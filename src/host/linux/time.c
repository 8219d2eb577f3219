/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time of the host: the clocks, and the rate of the time-stamp counter.
 *
 * The rate comes from whoever knows it best: the hypervisor that we run on
 * (CPUID leaf 0x40000010, in kHz; a convention of VMware and KVM), the
 * processor (leaf 0x15; Intel SDM vol. 2, CPUID), and else from two looks at
 * both clocks a millisecond and a half apart, which is good to some 20 ppm.
 * The kernel's own figure is on its perf clock's page, but there and back
 * takes longer (some machines: 15 ms).
 */
#include "vm/host.h"

#include <cpuid.h>
#include <time.h>
#include <x86intrin.h>

#define NS_PER_S       1000000000u
#define CALIBRATION_NS 1500000u
#define TSC_HZ_MIN     100000000u /* anything lower is a misreading */

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t host_monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t host_realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

static uint64_t hz_from_hypervisor(void)
{
	unsigned int a, b, c, d;

	__cpuid(1, a, b, c, d);
	if (!(c >> 31)) /* no hypervisor */
		return 0;
	__cpuid(0x40000000, a, b, c, d);
	if (a < 0x40000010 || a > 0x4000ffff)
		return 0;
	__cpuid(0x40000010, a, b, c, d);
	return (uint64_t)a * 1000;
}

static uint64_t hz_from_processor(void)
{
	unsigned int a, b, c, d;

	if (__get_cpuid_max(0, NULL) < 0x15)
		return 0;
	__cpuid_count(0x15, 0, a, b, c, d);
	if (!a || !b || !c)
		return 0;
	return (uint64_t)c * b / a;
}

/* Both clocks at one moment: the closest of some looks. */
static void look(uint64_t *ns, uint64_t *tsc)
{
	uint64_t best = UINT64_MAX;
	int i;

	for (i = 0; i < 16; i++) {
		uint64_t before = __rdtsc();
		uint64_t now = clock_ns(CLOCK_MONOTONIC_RAW);
		uint64_t after = __rdtsc();

		if (after - before >= best)
			continue;
		best = after - before;
		*ns = now;
		*tsc = before + best / 2;
	}
}

static uint64_t hz_from_calibration(void)
{
	const struct timespec pause = { .tv_nsec = CALIBRATION_NS };
	uint64_t ns0 = 0, ns1 = 0, tsc0 = 0, tsc1 = 0;

	look(&ns0, &tsc0);
	nanosleep(&pause, NULL);
	look(&ns1, &tsc1);
	if (ns1 <= ns0)
		return 0;
	return (uint64_t)((unsigned __int128)(tsc1 - tsc0) * NS_PER_S /
			  (ns1 - ns0));
}

uint64_t host_tsc_hz(void)
{
	static uint64_t (*const sources[])(void) = {
		hz_from_hypervisor,
		hz_from_processor,
		hz_from_calibration,
	};
	/* Asked of the machine once: every caller has to get one answer. */
	static _Atomic uint64_t known;
	uint64_t hz = atomic_load(&known), none = 0;
	unsigned int i;

	for (i = 0; hz < TSC_HZ_MIN && i < 3; i++)
		hz = sources[i]();
	if (hz < TSC_HZ_MIN)
		hz = NS_PER_S;
	atomic_compare_exchange_strong(&known, &none, hz);
	return atomic_load(&known);
}
