/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model-specific registers to and from a KVM vCPU, the time-stamp counter and
 * the paravirtual clock. Only registers that KVM lists are written: it takes
 * others with a warning in the host's log. MTRRs are the exception, which it
 * has and does not list.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "x86/msr.h"
#include "x86/reg.h"

#define LISTED_MAX 1024

/* struct kvm_msrs with its array. */
struct msr_batch {
	struct {
		uint32_t nmsrs, pad;
	} head;
	struct kvm_msr_entry entry[KVM_MSRS_MAX];
};

static bool is_mtrr(uint32_t index)
{
	return index == X86_MSR_MTRR_DEF_TYPE ||
	       index == X86_MSR_MTRR_FIX64K ||
	       index == X86_MSR_MTRR_FIX16K_8 ||
	       index == X86_MSR_MTRR_FIX16K_A ||
	       index - X86_MSR_MTRR_FIX4K_C0 < 8 ||
	       index - X86_MSR_MTRR_BASE0 < 2 * X86_MTRR_VARIABLE;
}

static bool listed(const struct kvm_msr_list *list, uint32_t index)
{
	for (uint32_t i = 0; i < list->nmsrs; i++)
		if (list->indices[i] == index)
			return true;
	return false;
}

int kvm_list_msrs(struct kvm_vm *kvm)
{
	struct kvm_msr_list *list =
		calloc(1, sizeof(*list) + LISTED_MAX * sizeof(uint32_t));
	int err = 0;

	if (!list)
		return -ENOMEM;
	list->nmsrs = LISTED_MAX;
	if (ioctl(kvm->system, KVM_GET_MSR_INDEX_LIST, list)) {
		err = -errno;
		goto out;
	}
	bug_on(x86_msr_count > KVM_MSRS_MAX);
	for (unsigned int i = 0; i < x86_msr_count; i++)
		if (listed(list, x86_msr_list[i]) || is_mtrr(x86_msr_list[i]))
			kvm->msr[kvm->msr_count++] = x86_msr_list[i];
	kvm->spec_ctrl = listed(list, X86_MSR_SPEC_CTRL);
out:
	free(list);
	return err;
}

bool kvm_put_msr(struct kvm_cpu *own, uint32_t index, uint64_t value)
{
	struct msr_batch m = { .head.nmsrs = 1,
			       .entry[0] = { .index = index, .data = value } };

	return ioctl(own->fd, KVM_SET_MSRS, &m) == 1;
}

bool kvm_get_msr(struct kvm_cpu *own, uint32_t index, uint64_t *value)
{
	struct msr_batch m = { .head.nmsrs = 1, .entry[0].index = index };

	if (ioctl(own->fd, KVM_GET_MSRS, &m) != 1)
		return false;
	*value = m.entry[0].data;
	return true;
}

/*
 * Hands all entries to KVM, which stops at one that this processor lacks or
 * that it refuses: that one is left out (its index becomes 0).
 */
static int move_batch(struct kvm_cpu *own, unsigned long request,
		      struct msr_batch *all)
{
	uint32_t done = 0;

	while (done < all->head.nmsrs) {
		struct msr_batch part = { .head.nmsrs =
						  all->head.nmsrs - done };
		size_t size = part.head.nmsrs * sizeof(part.entry[0]);
		int n;

		memcpy(part.entry, all->entry + done, size);
		n = ioctl(own->fd, request, &part);
		if (n < 0)
			return -errno;
		memcpy(all->entry + done, part.entry, size);
		done += (uint32_t)n;
		if (done < all->head.nmsrs)
			all->entry[done++].index = 0;
	}
	return 0;
}

/* --- the time-stamp counter ----------------------------------------------- */

/* Newer kernels take the offset itself, older ones the counter's value. */
static void put_tsc(struct kvm_cpu *own)
{
	uint64_t offset = own->cpu->state.tsc_offset;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	if (ioctl(own->fd, KVM_SET_DEVICE_ATTR, &attr))
		kvm_put_msr(own, X86_MSR_TSC, x86_tsc(own->cpu));
	kvm_put_msr(own, X86_MSR_TSC_ADJUST, own->cpu->state.tsc_adjust);
}

static void get_tsc(struct kvm_cpu *own)
{
	struct x86_state *s = &own->cpu->state;
	uint64_t offset = 0, value;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	if (!ioctl(own->fd, KVM_GET_DEVICE_ATTR, &attr))
		s->tsc_offset = offset;
	else if (kvm_get_msr(own, X86_MSR_TSC, &value))
		s->tsc_offset += value - x86_tsc(own->cpu);
	kvm_get_msr(own, X86_MSR_TSC_ADJUST, &s->tsc_adjust);
}

/* --- all of them ---------------------------------------------------------- */

int kvm_put_msrs(struct kvm_cpu *own)
{
	struct kvm_vm *kvm = own->kvm;
	struct x86_cpu *cpu = own->cpu;
	struct msr_batch all = { 0 };
	struct kvm_clock_data clock = { .clock = clock_now(&kvm->vm->clock) };
	uint64_t value;

	put_tsc(own);
	/* Before the MSR that makes KVM write the guest's clock page. */
	if (!cpu->id)
		ioctl(kvm->fd, KVM_SET_CLOCK, &clock);
	for (unsigned int i = 0; i < kvm->msr_count; i++)
		if (x86_msr_read(cpu, kvm->msr[i], &value))
			all.entry[all.head.nmsrs++] = (struct kvm_msr_entry){
				.index = kvm->msr[i],
				.data = value,
			};
	if (kvm->spec_ctrl)
		kvm_put_msr(own, X86_MSR_SPEC_CTRL, cpu->state.spec_ctrl);
	return move_batch(own, KVM_SET_MSRS, &all);
}

int kvm_get_msrs(struct kvm_cpu *own)
{
	struct kvm_vm *kvm = own->kvm;
	struct x86_cpu *cpu = own->cpu;
	struct x86_state *s = &cpu->state;
	struct msr_batch all = { .head.nmsrs = kvm->msr_count };
	int err;

	for (unsigned int i = 0; i < kvm->msr_count; i++)
		all.entry[i].index = kvm->msr[i];
	err = move_batch(own, KVM_GET_MSRS, &all);
	if (err)
		return err;
	for (unsigned int i = 0; i < kvm->msr_count; i++) {
		const struct kvm_msr_entry *entry = &all.entry[i];

		/* Ours would write the clock's page: KVM has done that. */
		if (entry->index == X86_MSR_KVM_WALL)
			s->kvmclock_wall = entry->data;
		else if (entry->index == X86_MSR_KVM_SYSTEM)
			s->kvmclock_system = entry->data;
		else if (entry->index)
			x86_msr_write(cpu, entry->index, entry->data);
	}
	if (kvm->spec_ctrl)
		kvm_get_msr(own, X86_MSR_SPEC_CTRL, &s->spec_ctrl);
	get_tsc(own);
	return 0;
}
