/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest's CPUID says: a policy computed once per VM from the host's
 * and from what lodge supports, then a table look-up per vCPU.
 */
#ifndef LODGE_X86_CPUID_H
#define LODGE_X86_CPUID_H

#include <stdbool.h>
#include <stdint.h>

struct cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};

struct cpuid_leaf {
	uint32_t leaf;
	uint32_t subleaf; /* CPUID_ANY: the leaf has none */
	struct cpuid_regs regs;
};

#define CPUID_ANY	 UINT32_MAX
#define CPUID_LEAVES_MAX 64

struct cpuid_policy {
	struct cpuid_leaf leaf[CPUID_LEAVES_MAX];
	unsigned int count;
	uint64_t xcr0;	      /* bits that the guest may set */
	uint64_t xss;	      /* the same for IA32_XSS */
	unsigned int cpus;
	uint8_t physical_bits; /* guest-physical address width */
	uint64_t tsc_hz;
	uint64_t tsc_base; /* host TSC that is the guests' zero */
	/* Features that handlers ask about often. */
	bool pcid, smep, smap, umip, fsgsbase, rdtscp, nx, page_1g, xsaves;
	bool rdpid, invpcid, rdrand, rdseed, xsave, xgetbv1, auto_ibrs;
	bool arch_caps, pku, pks;
	bool avx512; /* F with BW, CD, DQ and VL */
	bool amd; /* vendor AMD or Hygon; else taken for Intel */
};

/*
 * Fills `policy` for a VM of `cpus` processors and `memory` bytes on this
 * host's processor, offering what the host has and the software CPU
 * supports, and what it does without the host's help. Physical addresses are not wider than the machine needs:
 * firmware builds page tables for all of them.
 */
void cpuid_policy_init(struct cpuid_policy *policy, unsigned int cpus,
		       uint64_t memory);

/*
 * The guest's answer for processor `id` in its present state (OSXSAVE,
 * APIC id, enabled XSAVE size depend on it).
 */
struct x86_state;
struct cpuid_regs cpuid_query(const struct cpuid_policy *policy,
			      const struct x86_state *state, unsigned int id,
			      uint32_t leaf, uint32_t subleaf);

/* The host processor's CPUID. */
struct cpuid_regs cpuid_host(uint32_t leaf, uint32_t subleaf);

#endif
