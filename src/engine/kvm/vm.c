/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM over /dev/kvm: memory slots, the in-kernel interrupt controllers,
 * dirty logging, and the engine's table.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "chip/irqchip.h"

/* Intel's VMX needs three pages and one page out of the guest's way. */
#define TSS_ADDRESS	 0xfffbd000ul
#define IDENTITY_ADDRESS 0xfffbc000ull

#define PIC_CASCADE 2 /* the master's input from the slave */

static struct kvm_irq_routing_entry route(uint32_t gsi, uint32_t chip,
					  uint32_t pin)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

/*
 * Lines to pins as chip/irqchip.h says. KVM's default differs: it takes its
 * PIT, line 0, to input 0 of the IOAPIC.
 */
static int set_routing(struct kvm_vm *kvm)
{
	struct kvm_irq_routing_entry *entry;
	struct kvm_irq_routing *table =
		calloc(1, sizeof(*table) + 2 * IRQ_LINES * sizeof(*entry));
	int err = 0;

	if (!table)
		return -ENOMEM;
	entry = table->entries;
	for (uint32_t i = 0; i < IRQ_LINES; i++) {
		if (i < 8 && i != PIC_CASCADE)
			*entry++ = route(i, KVM_IRQCHIP_PIC_MASTER, i);
		else if (i >= 8 && i < 16)
			*entry++ = route(i, KVM_IRQCHIP_PIC_SLAVE, i - 8);
		*entry++ = route(i, KVM_IRQCHIP_IOAPIC,
				 i == IRQ_PIT ? IRQ_PIT_GSI : i);
	}
	table->nr = (uint32_t)(entry - table->entries);
	if (ioctl(kvm->fd, KVM_SET_GSI_ROUTING, table))
		err = -errno;
	free(table);
	return err;
}

static int create_irqchip(struct kvm_vm *kvm)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	uint64_t identity = IDENTITY_ADDRESS;

	if (ioctl(kvm->fd, KVM_SET_TSS_ADDR, TSS_ADDRESS) ||
	    ioctl(kvm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) ||
	    ioctl(kvm->fd, KVM_CREATE_IRQCHIP, 0) ||
	    ioctl(kvm->fd, KVM_CREATE_PIT2, &pit))
		return -errno;
	return set_routing(kvm);
}

static int kvm_open(const struct engine_setup *setup, void **vm_engine)
{
	struct kvm_vm *kvm = calloc(1, sizeof(*kvm));
	int err = -ENOMEM;

	if (!kvm)
		return err;
	kvm->vm = setup->vm;
	pthread_mutex_init(&kvm->debug.lock, NULL);
	pthread_mutex_init(&kvm->held.lock, NULL);
	kvm->cpuid = setup->cpuid;
	kvm->system = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm->system < 0) {
		err = -errno;
		goto free_kvm;
	}
	kvm->fd = kvm_create(kvm->system);
	if (kvm->fd < 0) {
		err = -errno;
		goto close_system;
	}
	kvm->run_size = ioctl(kvm->system, KVM_GET_VCPU_MMAP_SIZE, 0);
	err = kvm->run_size > 0 ? create_irqchip(kvm) : -errno;
	if (!err)
		err = kvm_list_msrs(kvm);
	if (err)
		goto close_vm;
	*vm_engine = kvm;
	return 0;

close_vm:
	close(kvm->fd);
close_system:
	close(kvm->system);
free_kvm:
	free(kvm);
	return err;
}

static void kvm_close(void *vm_engine)
{
	struct kvm_vm *kvm = vm_engine;

	kvm->vm->memory.kind_changed = NULL;
	kvm->vm->memory.hooks = NULL;
	close(kvm->fd);
	close(kvm->system);
	free(kvm);
}

static int set_slot(struct kvm_vm *kvm, unsigned int slot)
{
	const struct memory_region *r =
		memory_seen(&kvm->vm->memory.region[slot]);
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = (r->kind == MEMORY_ROM ? KVM_MEM_READONLY : 0) |
			 (kvm->dirty_log ? KVM_MEM_LOG_DIRTY_PAGES : 0),
		.guest_phys_addr = r->base,
		.memory_size = r->size,
		.userspace_addr = (uintptr_t)r->host,
	};

	return ioctl(kvm->fd, KVM_SET_USER_MEMORY_REGION, &region) ? -errno :
								     0;
}

/*
 * KVM changes a slot's kind by taking it away for a moment; whoever runs code
 * there meanwhile would fail. Firmware does this with one processor, which is
 * here.
 */
static void kind_changed(void *ctx, unsigned int region)
{
	struct kvm_userspace_memory_region none = { .slot = region };
	struct kvm_vm *kvm = ctx;
	struct memory *mem = &kvm->vm->memory;
	const struct memory_region *r = &mem->region[region];

	/* Those after the log was read are lost with the slot. */
	if (kvm->dirty_log)
		memory_note_pages(mem, r->first_page, r->size >> PAGE_SHIFT);
	ioctl(kvm->fd, KVM_SET_USER_MEMORY_REGION, &none);
	set_slot(kvm, region);
}

/* Hands the pages that KVM saw written to the memory's own log. */
static int sync_slot(struct kvm_vm *kvm, unsigned int slot,
		     const struct memory_region *r)
{
	uint64_t words = (r->size / PAGE_SIZE + 63) / 64;
	uint64_t *bitmap = calloc(words, sizeof(*bitmap));
	struct kvm_dirty_log log = { .slot = slot };
	int err = 0;

	if (!bitmap)
		return -ENOMEM;
	log.dirty_bitmap = bitmap;
	if (ioctl(kvm->fd, KVM_GET_DIRTY_LOG, &log))
		err = -errno;
	for (uint64_t w = 0; w < words && !err; w++)
		for (uint64_t bits = bitmap[w]; bits; bits &= bits - 1) {
			uint64_t page = w * 64 +
					(uint64_t)__builtin_ctzll(bits);

			memory_note_pages(&kvm->vm->memory,
					  r->first_page + page, 1);
		}
	free(bitmap);
	return err;
}

/* --- views ------------------------------------------------------------------ */

static unsigned int view_slot(unsigned int view)
{
	return MEMORY_REGIONS_MAX + view;
}

/* Where KVM does not take the slot, accesses come out to the device. */
static void set_view(struct kvm_vm *kvm, unsigned int view,
		     const struct memory_region *r)
{
	struct kvm_userspace_memory_region region = {
		.slot = view_slot(view),
	};

	if (r) {
		region.flags = KVM_MEM_LOG_DIRTY_PAGES;
		region.guest_phys_addr = r->base;
		region.memory_size = r->size;
		region.userspace_addr = (uintptr_t)r->host;
	}
	ioctl(kvm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static void sync_view(void *vm_engine, unsigned int view)
{
	struct kvm_vm *kvm = vm_engine;
	const struct memory_region *r =
		atomic_load(&kvm->vm->memory.view[view]);

	if (r)
		sync_slot(kvm, view_slot(view), r);
}

/* KVM stops the processors for a moment: nothing is left to settle. */
static void view_changed(void *vm_engine, unsigned int view,
			 const struct memory_region *before)
{
	struct kvm_vm *kvm = vm_engine;
	const struct memory_region *now =
		atomic_load(&kvm->vm->memory.view[view]);

	if (before) {
		/* Those after the log was read are lost with the slot. */
		memory_note_pages(&kvm->vm->memory, before->first_page,
				  before->size >> PAGE_SHIFT);
		set_view(kvm, view, NULL);
	}
	if (now)
		set_view(kvm, view, now);
}

static const struct memory_hooks kvm_memory_hooks = {
	.view_changed = view_changed,
	.region_changed = kind_changed,
	.sync = sync_view,
};

static int kvm_map_memory(void *vm_engine)
{
	struct kvm_vm *kvm = vm_engine;
	int err = 0;

	/* Slots go by index: empty those that may have moved. */
	for (unsigned int i = 0; i < kvm->slots; i++) {
		struct kvm_userspace_memory_region none = { .slot = i };

		ioctl(kvm->fd, KVM_SET_USER_MEMORY_REGION, &none);
	}
	kvm->vm->memory.hooks = &kvm_memory_hooks;
	kvm->vm->memory.hooks_ctx = kvm;
	kvm->slots = kvm->vm->memory.region_count;
	kvm->vm->memory.kind_changed = kind_changed;
	kvm->vm->memory.kind_changed_ctx = kvm;
	for (unsigned int i = 0; i < kvm->slots && !err; i++)
		err = set_slot(kvm, i);
	return err;
}

/* --- devices in other processes ------------------------------------------- */

int kvm_ioeventfd(struct kvm_vm *kvm, uint64_t address, unsigned int size,
		  bool port, int fd, bool assign)
{
	struct kvm_ioeventfd event = {
		.addr = address,
		.len = size,
		.fd = fd,
		.flags = (port ? KVM_IOEVENTFD_FLAG_PIO : 0) |
			 (assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return ioctl(kvm->fd, KVM_IOEVENTFD, &event) ? -errno : 0;
}

int kvm_irqfd(struct kvm_vm *kvm, unsigned int line, int fd, bool assign)
{
	struct kvm_irqfd irq = {
		.fd = (uint32_t)fd,
		.gsi = line,
		.flags = assign ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
	};

	return ioctl(kvm->fd, KVM_IRQFD, &irq) ? -errno : 0;
}

/* --- dirty pages ---------------------------------------------------------- */

static int kvm_dirty_log(void *vm_engine, bool on)
{
	struct kvm_vm *kvm = vm_engine;
	int err = 0;

	kvm->dirty_log = on;
	for (unsigned int i = 0; i < kvm->slots && !err; i++)
		err = set_slot(kvm, i);
	return err;
}

static int kvm_dirty_sync(void *vm_engine)
{
	struct kvm_vm *kvm = vm_engine;
	int err = 0;

	for (unsigned int i = 0; i < kvm->slots && !err; i++)
		err = sync_slot(kvm, i, &kvm->vm->memory.region[i]);
	return err;
}

static void kvm_stats(struct x86_cpu *cpu, struct engine_stats *stats)
{
	const struct kvm_cpu *own = cpu->engine;

	*stats = own->stats;
}

const struct engine engine_kvm = {
	.name = "kvm",
	.probe = kvm_probe,
	.open = kvm_open,
	.close = kvm_close,
	.map_memory = kvm_map_memory,
	.cpu_open = kvm_cpu_open,
	.cpu_close = kvm_cpu_close,
	.run = kvm_cpu_run,
	.kick = kvm_cpu_kick,
	.put_state = kvm_put_state,
	.get_state = kvm_get_state,
	.stats = kvm_stats,
	.debug = kvm_debug,
	.debug_check = kvm_debug_check,
	.own_irqchip = true,
	.irq_line = kvm_irq_line,
	.send_msi = kvm_send_msi,
	.dirty_log = kvm_dirty_log,
	.dirty_sync = kvm_dirty_sync,
};
