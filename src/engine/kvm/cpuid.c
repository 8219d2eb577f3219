/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's CPUID on KVM. The policy says what lodge offers; what the host's
 * KVM has to support is taken from it only as far as it does. Speculation
 * control is the other way round: the software CPU needs none, so the policy
 * has none, and here the guest gets what the host's processor and KVM have.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "x86/cpuid_reg.h"
#include "x86/reg.h"

#define ENTRIES_MAX 256

/*
 * Feature words. Bits of the policy stay where KVM has them too, or where
 * they are `ours`: facts about the machine that need nothing of KVM. `extra`
 * are bits that KVM adds. Registers not named, and leaves not listed, are
 * the policy's.
 */
static const struct feature_word {
	uint32_t leaf, subleaf;
	size_t reg; /* offset in struct kvm_cpuid_entry2 */
	uint32_t ours, extra;
} feature_words[] = {
#define WORD(leaf_, subleaf_, reg_, ...)                              \
	{                                                             \
		.leaf = (leaf_), .subleaf = (subleaf_),               \
		.reg = offsetof(struct kvm_cpuid_entry2, reg_),       \
		__VA_ARGS__                                           \
	}
	WORD(1, 0, ecx, .ours = CPUID_HYPERVISOR | CPUID_X2APIC |
				CPUID_TSC_DEADLINE),
	WORD(1, 0, edx, .ours = CPUID_HTT | CPUID_APIC),
	WORD(7, 0, ebx, .ours = 0),
	WORD(7, 0, ecx, .ours = 0),
	/* MD_CLEAR, IBRS and IBPB, STIBP, L1D_FLUSH, SSBD */
	WORD(7, 0, edx, .extra = 1u << 10 | 1u << 26 | 1u << 27 | 1u << 28 |
				 1u << 31),
	WORD(7, 1, eax, .ours = 0),
	WORD(0xd, 1, eax, .ours = 0),
	WORD(0x40000001, 0, eax, .ours = 0),
	WORD(0x80000001, 0, ecx, .ours = CPUID_CMP_LEGACY | CPUID_TOPOEXT),
	WORD(0x80000001, 0, edx, .ours = CPUID_APIC),
	WORD(0x80000007, 0, edx, .ours = 0),
	/* IBPB, IBRS, STIBP, both always on, IBRS preferred, SSBD */
	WORD(0x80000008, 0, ebx, .extra = 1u << 12 | 1u << 14 | 1u << 15 |
					  1u << 16 | 1u << 17 | 1u << 18 |
					  1u << 24),
	WORD(0x80000021, 0, eax, .ours = 0),
#undef WORD
};

static const struct kvm_cpuid_entry2 *
find_supported(const struct kvm_cpuid2 *all, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < all->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &all->entries[i];
		bool indexed = e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;

		if (e->function == leaf && (!indexed || e->index == subleaf))
			return e;
	}
	return NULL;
}

static void merge_features(struct kvm_cpuid_entry2 *entry,
			   const struct kvm_cpuid_entry2 *can)
{
	const size_t count = sizeof(feature_words) / sizeof(feature_words[0]);

	for (size_t i = 0; i < count; i++) {
		const struct feature_word *word = &feature_words[i];
		uint32_t *bits = (uint32_t *)((uint8_t *)entry + word->reg);
		uint32_t have = 0;

		if (word->leaf != entry->function ||
		    word->subleaf != entry->index)
			continue;
		if (can)
			have = *(const uint32_t *)((const uint8_t *)can +
						   word->reg);
		*bits = (*bits & (have | word->ours)) | (have & word->extra);
	}
}

/*
 * Leaf 0xd: the host's instructions lay the area out. KVM itself keeps EBX of
 * subleaves 0 and 1 up to date with XCR0 and XSS.
 */
static void merge_xsave(const struct kvm_cpu *own,
			struct kvm_cpuid_entry2 *entry,
			const struct kvm_cpuid2 *all)
{
	const struct kvm_cpuid_entry2 *can =
		find_supported(all, 0xd, entry->index);

	if (!can)
		return;
	if (entry->index >= 1) {
		entry->ebx = can->ebx;
		if (entry->index >= 2)
			entry->ecx = can->ecx;
		return;
	}
	entry->eax = (uint32_t)own->xcr0;
	entry->edx = (uint32_t)(own->xcr0 >> 32);
	entry->ebx = entry->ecx = 576; /* legacy area and header */
	for (uint32_t i = 2; i < 63; i++) {
		can = find_supported(all, 0xd, i);
		if (own->xcr0 >> i & 1 && can &&
		    can->ebx + can->eax > entry->ecx)
			entry->ecx = can->ebx + can->eax;
	}
}

/* The extended state that this KVM gives guests on this host. */
static uint64_t supported_xcr0(const struct kvm_cpuid2 *all)
{
	const struct kvm_cpuid_entry2 *can = find_supported(all, 0xd, 0);

	return can ? can->eax | (uint64_t)can->edx << 32 :
		     X86_XCR0_X87 | X86_XCR0_SSE;
}

/* A subleaf of 0xd whose component the guest does not get here. */
static bool is_absent_component(const struct kvm_cpu *own,
				const struct cpuid_leaf *leaf)
{
	return leaf->leaf == 0xd && leaf->subleaf >= 2 &&
	       leaf->subleaf < 64 && !(own->xcr0 >> leaf->subleaf & 1);
}

static void fill_entry(const struct kvm_cpu *own, const struct cpuid_leaf *leaf,
		       const struct kvm_cpuid2 *all,
		       struct kvm_cpuid_entry2 *entry)
{
	bool indexed = leaf->subleaf != CPUID_ANY;
	uint32_t subleaf = indexed ? leaf->subleaf : 0;
	struct cpuid_regs regs =
		cpuid_query(own->kvm->cpuid, &own->cpu->state, own->cpu->id,
			    leaf->leaf, subleaf);

	*entry = (struct kvm_cpuid_entry2){
		.function = leaf->leaf,
		.index = subleaf,
		.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		.eax = regs.eax,
		.ebx = regs.ebx,
		.ecx = regs.ecx,
		.edx = regs.edx,
	};
	merge_features(entry, find_supported(all, leaf->leaf, subleaf));
	if (leaf->leaf == 0xd)
		merge_xsave(own, entry, all);
}

int kvm_set_cpuid(struct kvm_cpu *own)
{
	const size_t size = sizeof(struct kvm_cpuid2) +
			    ENTRIES_MAX * sizeof(struct kvm_cpuid_entry2);
	const struct cpuid_policy *policy = own->kvm->cpuid;
	struct kvm_cpuid2 *all = calloc(1, size), *mine = calloc(1, size);
	int err = 0;

	if (!all || !mine) {
		err = -ENOMEM;
		goto out;
	}
	all->nent = ENTRIES_MAX;
	if (ioctl(own->kvm->system, KVM_GET_SUPPORTED_CPUID, all)) {
		err = -errno;
		goto out;
	}
	own->xcr0 = policy->xcr0 & supported_xcr0(all);
	for (unsigned int i = 0; i < policy->count; i++)
		if (!is_absent_component(own, &policy->leaf[i]))
			fill_entry(own, &policy->leaf[i], all,
				   &mine->entries[mine->nent++]);
	if (ioctl(own->fd, KVM_SET_CPUID2, mine))
		err = -errno;
out:
	free(all);
	free(mine);
	return err;
}
