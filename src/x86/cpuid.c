/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPUID policy: the host processor's identity, the features that it has
 * and the software CPU supports, and a topology of N single-thread cores in
 * one package. Intel SDM vol. 2, CPUID; AMD64 APM vol. 3, appendix E;
 * Documentation/virt/kvm/x86/cpuid.rst of Linux for leaves 0x40000000.
 *
 * AVX-512 is offered only with BW, CD, DQ and VL, which code takes for granted
 * beside it.
 *
 * Not offered: AVX512-FP16, AVX10, MPX, CET, RTM, MONITOR, SVM, VMX, SGX, AMX,
 * 5-level paging, VME, performance counters, speculation control by MSR.
 */
#include "x86/cpuid.h"

#include "vm/bytes.h"
#include "vm/host.h"
#include "x86/cpuid_reg.h"
#include "x86/reg.h"
#include "x86/state.h"

#define PHYSICAL_BITS_USUAL 40
#define OFFERED_XCR0 \
	(X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX | X86_XCR0_AVX512)

#define LAPIC_HZ 1000000000u

/* Leaf 1 on either maker, and 80000001 on AMD. */
#define COMMON_EDX                                                        \
	(CPUID_FPU | CPUID_DE | CPUID_PSE | CPUID_TSC | CPUID_MSR |       \
	 CPUID_PAE | CPUID_MCE | CPUID_CX8 | CPUID_APIC | CPUID_MTRR |    \
	 CPUID_PGE | CPUID_MCA | CPUID_CMOV | CPUID_PAT | CPUID_PSE36 |   \
	 CPUID_MMX | CPUID_FXSR)

#define LEAF_1_EDX \
	(COMMON_EDX | CPUID_SEP | CPUID_CLFLUSH | CPUID_SSE | CPUID_SSE2)

#define LEAF_1_ECX                                                        \
	(CPUID_SSE3 | CPUID_PCLMULQDQ | CPUID_SSSE3 | CPUID_FMA |         \
	 CPUID_CX16 | CPUID_PCID | CPUID_SSE4_1 | CPUID_SSE4_2 |          \
	 CPUID_MOVBE | CPUID_POPCNT | CPUID_AES | CPUID_XSAVE |           \
	 CPUID_AVX | CPUID_F16C | CPUID_RDRAND)

/* Made by the LAPIC and the clock alone, whatever the host has. */
#define LEAF_1_ECX_ALWAYS \
	(CPUID_X2APIC | CPUID_TSC_DEADLINE | CPUID_HYPERVISOR)

#define AVX512_WANTED                                           \
	(CPUID_AVX512F | CPUID_AVX512DQ | CPUID_AVX512CD |      \
	 CPUID_AVX512BW | CPUID_AVX512VL)
#define AVX512_EBX (AVX512_WANTED | CPUID_AVX512_IFMA)
#define AVX512_ECX                                                   \
	(CPUID_AVX512_VBMI | CPUID_AVX512_VBMI2 | CPUID_AVX512_VNNI | \
	 CPUID_AVX512_BITALG | CPUID_AVX512_VPOPCNTDQ)

#define LEAF_7_EBX                                                        \
	(CPUID_FSGSBASE | CPUID_BMI1 | CPUID_AVX2 | CPUID_FDP_EXCPTN |    \
	 CPUID_SMEP | CPUID_BMI2 | CPUID_ERMS | CPUID_INVPCID |           \
	 CPUID_ZERO_FCS_FDS | CPUID_RDSEED | CPUID_ADX | CPUID_SMAP |     \
	 CPUID_CLFLUSHOPT | CPUID_CLWB | CPUID_SHA | AVX512_EBX)
#define LEAF_7_ECX                                                   \
	(CPUID_UMIP | CPUID_GFNI | CPUID_VAES | CPUID_VPCLMULQDQ | \
	 CPUID_RDPID | AVX512_ECX)
#define LEAF_7_EDX  (CPUID_FSRM | CPUID_AVX512_VP2INTERSECT)
#define LEAF_71_EAX (CPUID_AVX_VNNI | CPUID_AVX512_BF16)

#define LEAF_D1_EAX \
	(CPUID_XSAVEOPT | CPUID_XSAVEC | CPUID_XGETBV1 | CPUID_XSAVES)

#define EXT_1_ECX (CPUID_LAHF64 | CPUID_ABM | CPUID_PREFETCHW)
#define EXT_1_EDX \
	(CPUID_SYSCALL | CPUID_NX | CPUID_PAGE_1G | CPUID_RDTSCP | CPUID_LM)

/* Made by page walks alone. */
#define LEAF_7_ECX_ALWAYS (CPUID_PKU | CPUID_PKS)

/* Components of the XSAVE area beyond x87 and SSE, by XCR0 bit. */
static const struct {
	uint16_t offset, size;
} xsave_component[] = {
	[2] = { X86_XSAVE_YMM, 256 },
	[5] = { X86_XSAVE_OPMASK, 64 },
	[6] = { X86_XSAVE_ZMM_HI256, 512 },
	[7] = { X86_XSAVE_HI16_ZMM, 1024 },
	[9] = { X86_XSAVE_PKRU, 8 },
};

#define XSAVE_COMPONENTS 10

struct cpuid_regs cpuid_host(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

/* The host's leaf, or zeros above its highest one. */
static struct cpuid_regs host_leaf(uint32_t leaf, uint32_t subleaf)
{
	if (leaf > cpuid_host(leaf & 0x80000000u, 0).eax)
		return (struct cpuid_regs){ 0 };
	return cpuid_host(leaf, subleaf);
}

/* What the host's OS has enabled of the extended state. */
static uint64_t host_xcr0(void)
{
	uint32_t low, high;

	if (!(cpuid_host(1, 0).ecx & CPUID_OSXSAVE))
		return X86_XCR0_X87 | X86_XCR0_SSE;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return low | (uint64_t)high << 32;
}

static uint64_t host_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return low | (uint64_t)high << 32;
}

static void add(struct cpuid_policy *p, uint32_t leaf, uint32_t subleaf,
		struct cpuid_regs regs)
{
	bug_on(p->count == CPUID_LEAVES_MAX);
	p->leaf[p->count++] = (struct cpuid_leaf){ leaf, subleaf, regs };
}

static struct cpuid_regs regs(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	return (struct cpuid_regs){ a, b, c, d };
}

/* log2 of `n`, rounded up. */
static unsigned int bits_for(unsigned int n)
{
	return n <= 1 ? 0 : 32 - (unsigned int)__builtin_clz(n - 1);
}

/* Cache sharing field: as many sharers as the package has cores, or one. */
static uint32_t cache_sharing(const struct cpuid_policy *p, uint32_t eax)
{
	unsigned int level = eax >> 5 & 7;
	uint32_t sharers = level >= 3 ? 1u << bits_for(p->cpus) : 1;

	return (eax & ~(0xfffu << 14)) | (sharers - 1) << 14;
}

static void add_caches(struct cpuid_policy *p, uint32_t leaf)
{
	for (uint32_t i = 0; i < 6; i++) {
		struct cpuid_regs r = host_leaf(leaf, i);

		if (!(r.eax & 31))
			break;
		r.eax = cache_sharing(p, r.eax);
		if (leaf == 4)
			r.eax = (r.eax & 0x03ffffffu) |
				((1u << bits_for(p->cpus)) - 1) << 26;
		add(p, leaf, i, r);
	}
}

static void add_features_7(struct cpuid_policy *p)
{
	struct cpuid_regs r = host_leaf(7, 0), r1 = { 0 };

	if (r.eax)
		r1 = host_leaf(7, 1);
	r1 = regs(r1.eax & LEAF_71_EAX, 0, 0, 0);
	r.ebx = (r.ebx & LEAF_7_EBX) | CPUID_TSC_ADJUST;
	r.ecx = (r.ecx & LEAF_7_ECX) | LEAF_7_ECX_ALWAYS;
	r.edx &= LEAF_7_EDX;
	if (!p->amd)
		r.edx |= CPUID_ARCH_CAPS;
	if (!(p->xcr0 & X86_XCR0_AVX)) {
		r.ebx &= ~CPUID_AVX2;
		r.ecx &= ~(CPUID_VAES | CPUID_VPCLMULQDQ);
		r1.eax &= ~CPUID_AVX_VNNI;
	}
	if (!p->avx512) {
		r.ebx &= ~AVX512_EBX;
		r.ecx &= ~AVX512_ECX;
		r.edx &= ~CPUID_AVX512_VP2INTERSECT;
		r1.eax &= ~CPUID_AVX512_BF16;
	}
	r.eax = r1.eax ? 1 : 0;
	p->fsgsbase = r.ebx & CPUID_FSGSBASE;
	p->smep = r.ebx & CPUID_SMEP;
	p->smap = r.ebx & CPUID_SMAP;
	p->invpcid = r.ebx & CPUID_INVPCID;
	p->rdseed = r.ebx & CPUID_RDSEED;
	p->umip = r.ecx & CPUID_UMIP;
	p->rdpid = r.ecx & CPUID_RDPID;
	p->pku = r.ecx & CPUID_PKU;
	p->pks = r.ecx & CPUID_PKS;
	p->arch_caps = r.edx & CPUID_ARCH_CAPS;
	add(p, 7, 0, r);
	if (r.eax)
		add(p, 7, 1, r1);
}

static void add_features(struct cpuid_policy *p)
{
	struct cpuid_regs r = host_leaf(1, 0);
	uint32_t logical = p->cpus > 1 ? 1u << bits_for(p->cpus) : 1;

	if (logical > 255)
		logical = 255;
	r.ebx = (r.ebx & 0xff00) | logical << 16;
	r.ecx = (r.ecx & LEAF_1_ECX) | LEAF_1_ECX_ALWAYS;
	r.edx = (r.edx & LEAF_1_EDX) | CPUID_APIC;
	if (p->cpus > 1)
		r.edx |= CPUID_HTT;
	if (!(p->xcr0 & X86_XCR0_AVX))
		r.ecx &= ~(CPUID_AVX | CPUID_FMA | CPUID_F16C);
	p->xsave = r.ecx & CPUID_XSAVE;
	p->pcid = r.ecx & CPUID_PCID;
	p->rdrand = r.ecx & CPUID_RDRAND;
	add(p, 1, CPUID_ANY, r);

	add(p, 6, CPUID_ANY, regs(CPUID_ARAT, 0, 0, 0));

	add_features_7(p);
}

/* Size of the area for `components`, standard or compacted format. */
static uint32_t xsave_size(uint64_t components, bool compact)
{
	uint32_t size = X86_XSAVE_YMM;

	for (unsigned int i = 2; i < XSAVE_COMPONENTS; i++) {
		uint32_t end = xsave_component[i].offset;

		if (!(components >> i & 1) || !xsave_component[i].size)
			continue;
		if (compact)
			size += xsave_component[i].size;
		else if (end + xsave_component[i].size > size)
			size = end + xsave_component[i].size;
	}
	return size;
}

static void add_xsave(struct cpuid_policy *p)
{
	uint32_t features = host_leaf(0xd, 1).eax & LEAF_D1_EAX;

	if (!p->xsave)
		return;
	p->xsaves = features & CPUID_XSAVES;
	p->xgetbv1 = features & CPUID_XGETBV1;
	/* EBX of both depends on XCR0 and XSS: cpuid_query(). */
	add(p, 0xd, 0,
	    regs((uint32_t)p->xcr0, 0, xsave_size(p->xcr0, false),
		 (uint32_t)(p->xcr0 >> 32)));
	add(p, 0xd, 1, regs(features, 0, (uint32_t)p->xss, 0));
	for (unsigned int i = 2; i < XSAVE_COMPONENTS; i++)
		if (p->xcr0 >> i & 1)
			add(p, 0xd, i,
			    regs(xsave_component[i].size,
				 xsave_component[i].offset, 0, 0));
}

/* Leaf 0xb: threads, then cores. EDX (x2APIC id): cpuid_query(). */
static void add_topology(struct cpuid_policy *p)
{
	add(p, 0xb, 0, regs(0, 1, 0x100, 0));
	add(p, 0xb, 1, regs(bits_for(p->cpus), p->cpus, 0x201, 0));
}

static void add_hypervisor(struct cpuid_policy *p)
{
	/* "KVMKVMKVM\0\0\0": we have KVM's clock and nothing else of it. */
	add(p, 0x40000000, CPUID_ANY,
	    regs(0x40000010, 0x4b4d564b, 0x564b4d56, 0x4d));
	add(p, 0x40000001, CPUID_ANY,
	    regs(CPUID_KVM_NOP_IO_DELAY | CPUID_KVM_CLOCK |
			 CPUID_KVM_CLOCK_STABLE,
		 0, 0, 0));
	add(p, 0x40000010, CPUID_ANY,
	    regs((uint32_t)(p->tsc_hz / 1000), LAPIC_HZ / 1000, 0, 0));
}

static void add_ext_features(struct cpuid_policy *p)
{
	struct cpuid_regs r = host_leaf(0x80000001, 0);
	uint32_t edx = r.edx & EXT_1_EDX;

	r.ecx &= EXT_1_ECX;
	if (p->amd) {
		edx |= r.edx & (COMMON_EDX | CPUID_MMXEXT);
		edx |= CPUID_APIC;
		r.ecx |= CPUID_TOPOEXT;
		if (p->cpus > 1)
			r.ecx |= CPUID_CMP_LEGACY;
	} else {
		r.eax = 0;
	}
	/* Intel reports SYSCALL in 64-bit code only. */
	edx |= CPUID_SYSCALL;
	p->nx = edx & CPUID_NX;
	p->page_1g = edx & CPUID_PAGE_1G;
	p->rdtscp = edx & CPUID_RDTSCP;
	add(p, 0x80000001, CPUID_ANY, regs(r.eax, 0, r.ecx, edx));
}

/*
 * The claims of 80000008 and 80000021 about speculation are the software
 * CPU's own: no guest code trains what predicts its branches. They spare the
 * guest its thunks.
 */
static void add_ext_amd(struct cpuid_policy *p)
{
	uint32_t id = bits_for(p->cpus);
	uint32_t serial = host_leaf(0x80000021, 0).eax &
			  (CPUID_LFENCE_SERIAL | CPUID_NULL_SEL_BASE);

	add(p, 0x80000008, CPUID_ANY,
	    regs(p->physical_bits | 48u << 8, CPUID_BTC_NO,
		 id << 12 | (p->cpus - 1), 0));
	add(p, 0x80000019, CPUID_ANY, host_leaf(0x80000019, 0));
	add_caches(p, 0x8000001d);
	/* EAX (APIC id) and EBX (core id): cpuid_query(). */
	add(p, 0x8000001e, CPUID_ANY, regs(0, 0, 0, 0));
	add(p, 0x80000021, CPUID_ANY,
	    regs(serial | CPUID_AUTO_IBRS | CPUID_SRSO_NO, 0, 0, 0));
	p->auto_ibrs = true;
}

static void add_extended(struct cpuid_policy *p)
{
	struct cpuid_regs vendor = host_leaf(0, 0);

	vendor.eax = p->amd ? 0x80000021 : 0x80000008;
	if (!p->amd)
		vendor.ebx = vendor.ecx = vendor.edx = 0;
	add(p, 0x80000000, CPUID_ANY, vendor);
	add_ext_features(p);
	for (uint32_t leaf = 0x80000002; leaf <= 0x80000006; leaf++)
		add(p, leaf, CPUID_ANY, host_leaf(leaf, 0));
	add(p, 0x80000007, CPUID_ANY,
	    regs(0, 0, 0, host_leaf(0x80000007, 0).edx & CPUID_INVARIANT_TSC));
	if (p->amd)
		add_ext_amd(p);
	else
		add(p, 0x80000008, CPUID_ANY,
		    regs(p->physical_bits | 48u << 8, 0, 0, 0));
}

static void add_basic(struct cpuid_policy *p, struct cpuid_regs vendor)
{
	uint32_t mhz = (uint32_t)(p->tsc_hz / 1000000);

	vendor.eax = p->amd ? 0xd : 0x16;
	add(p, 0, CPUID_ANY, vendor);
	add_features(p);
	if (!p->amd) {
		add(p, 2, CPUID_ANY, host_leaf(2, 0));
		add_caches(p, 4);
		/*
		 * Leaf 0x15 stays empty: it ties the APIC timer's rate to a
		 * fraction of the TSC's, which is not so here.
		 */
		add(p, 0x16, CPUID_ANY, regs(mhz, mhz, 100, 0));
	}
	add_topology(p);
	add_xsave(p);
}

/* Room for RAM and three times as much for devices, 1 TiB at least; not
 * more than the host has. */
static uint8_t physical_bits(uint64_t memory)
{
	uint32_t host = host_leaf(0x80000008, 0).eax & 0xff;
	uint32_t bits = PHYSICAL_BITS_USUAL;

	while (bits < 52 && memory > (uint64_t)1 << (bits - 2))
		bits++;
	if (bits > host)
		bits = host;
	return (uint8_t)(bits < 36 ? 36 : bits);
}

void cpuid_policy_init(struct cpuid_policy *p, unsigned int cpus,
		       uint64_t memory)
{
	struct cpuid_regs vendor = host_leaf(0, 0);

	memset(p, 0, sizeof(*p));
	p->cpus = cpus;
	p->tsc_hz = host_tsc_hz();
	p->tsc_base = host_tsc();
	p->xcr0 = (OFFERED_XCR0 & host_xcr0()) | X86_XCR0_PKRU;
	p->avx512 = (p->xcr0 & X86_XCR0_AVX512) == X86_XCR0_AVX512 &&
		    p->xcr0 & X86_XCR0_AVX &&
		    (host_leaf(7, 0).ebx & AVX512_WANTED) == AVX512_WANTED;
	if (!p->avx512)
		p->xcr0 &= ~(uint64_t)X86_XCR0_AVX512;
	p->physical_bits = physical_bits(memory);
	/* "AuthenticAMD", "HygonGenuine" */
	p->amd = vendor.ebx == 0x68747541 || vendor.ebx == 0x6f677948;
	add_basic(p, vendor);
	add_hypervisor(p);
	add_extended(p);
}

/* What depends on the processor and its state. */
static void adjust(const struct cpuid_policy *p,
		   const struct x86_state *state, unsigned int id,
		   uint32_t leaf, uint32_t subleaf, struct cpuid_regs *r)
{
	bool no_apic = !(state->apic_base & X86_APIC_BASE_ENABLE);

	switch (leaf) {
	case 1:
		r->ebx |= id << 24;
		if (state->cr4 & X86_CR4_OSXSAVE)
			r->ecx |= CPUID_OSXSAVE;
		if (no_apic)
			r->edx &= ~CPUID_APIC;
		break;
	case 7:
		if (subleaf == 0 && state->cr4 & X86_CR4_PKE)
			r->ecx |= CPUID_OSPKE;
		break;
	case 0xb:
		r->edx = id;
		break;
	case 0xd:
		if (subleaf == 0)
			r->ebx = xsave_size(state->xcr0, false);
		else if (subleaf == 1 && r->eax & CPUID_XSAVEC)
			r->ebx = xsave_size(state->xcr0 | state->xss, true);
		break;
	case 0x80000001:
		if (no_apic && p->amd)
			r->edx &= ~CPUID_APIC;
		break;
	case 0x8000001e:
		r->eax = id;
		r->ebx = id & 0xff;
		break;
	default:
		break;
	}
}

struct cpuid_regs cpuid_query(const struct cpuid_policy *p,
			      const struct x86_state *state, unsigned int id,
			      uint32_t leaf, uint32_t subleaf)
{
	for (unsigned int i = 0; i < p->count; i++) {
		const struct cpuid_leaf *l = &p->leaf[i];
		struct cpuid_regs r = l->regs;

		if (l->leaf != leaf ||
		    (l->subleaf != CPUID_ANY && l->subleaf != subleaf))
			continue;
		adjust(p, state, id, leaf, subleaf, &r);
		return r;
	}
	/* Above the last level of the topology: its number, and the id. */
	if (leaf == 0xb)
		return regs(0, 0, subleaf & 0xff, id);
	return regs(0, 0, 0, 0);
}
