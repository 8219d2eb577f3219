/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The in-kernel LAPICs, IOAPIC, PICs and PIT to and from the chips' structs,
 * so that both engines save and load one and the same state.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "chip/ioapic.h"
#include "chip/lapic.h"
#include "chip/pic.h"
#include "chip/pit.h"

/* The n-th device of a class, or NULL. */
static void *find_device(const struct vm *vm, const struct device_class *class,
			 unsigned int instance)
{
	for (unsigned int i = 0; i < vm->device_count; i++)
		if (vm->device[i].class == class &&
		    vm->device[i].instance == instance)
			return vm->device[i].object;
	return NULL;
}

/* --- LAPIC: register offsets of the xAPIC page (SDM vol. 3, table 11-1) --- */

enum {
	APIC_ID = 0x20, APIC_TPR = 0x80, APIC_LDR = 0xd0, APIC_DFR = 0xe0,
	APIC_SVR = 0xf0, APIC_ISR = 0x100, APIC_TMR = 0x180, APIC_IRR = 0x200,
	APIC_ESR = 0x280, APIC_ICR = 0x300, APIC_ICR_HIGH = 0x310,
	APIC_TIMER_INITIAL = 0x380, APIC_TIMER_CURRENT = 0x390,
	APIC_TIMER_DIVIDE = 0x3e0,
};

static const uint16_t lvt_offset[LAPIC_LVTS] = {
	[LAPIC_LVT_CMCI] = 0x2f0,  [LAPIC_LVT_TIMER] = 0x320,
	[LAPIC_LVT_THERMAL] = 0x330, [LAPIC_LVT_PMC] = 0x340,
	[LAPIC_LVT_LINT0] = 0x350, [LAPIC_LVT_LINT1] = 0x360,
	[LAPIC_LVT_ERROR] = 0x370,
};

static uint32_t get_reg(const struct kvm_lapic_state *k, unsigned int offset)
{
	uint32_t v;

	memcpy(&v, k->regs + offset, sizeof(v));
	return v;
}

static void set_reg(struct kvm_lapic_state *k, unsigned int offset, uint32_t v)
{
	memcpy(k->regs + offset, &v, sizeof(v));
}

/* What our own registers read as; the id register's shape depends on mode. */
static uint32_t our_reg(struct lapic *lapic, unsigned int offset)
{
	return lapic_ops.read(lapic, offset);
}

int kvm_put_lapic(struct kvm_cpu *own)
{
	struct lapic *lapic = own->cpu->apic.object;
	bool x2apic = own->cpu->state.apic_base & X86_APIC_BASE_X2APIC;
	struct kvm_lapic_state k;

	if (!lapic)
		return 0;
	/* Version and what else the kernel fixes stays as it is. */
	if (ioctl(own->fd, KVM_GET_LAPIC, &k))
		return -errno;
	set_reg(&k, APIC_ID, x2apic ? own->cpu->id : own->cpu->id << 24);
	set_reg(&k, APIC_TPR, lapic->tpr);
	set_reg(&k, APIC_LDR, lapic->ldr);
	set_reg(&k, APIC_DFR, lapic->dfr);
	set_reg(&k, APIC_SVR, lapic->svr);
	for (unsigned int i = 0; i < 8; i++) {
		set_reg(&k, APIC_ISR + i * 16, lapic->isr[i]);
		set_reg(&k, APIC_TMR + i * 16, lapic->tmr[i]);
		set_reg(&k, APIC_IRR + i * 16, lapic->irr[i]);
	}
	for (unsigned int i = 0; i < LAPIC_LVTS; i++)
		set_reg(&k, lvt_offset[i], lapic->lvt[i]);
	set_reg(&k, APIC_ESR, lapic->esr);
	set_reg(&k, APIC_ICR, (uint32_t)lapic->icr);
	set_reg(&k, APIC_ICR_HIGH, (uint32_t)(lapic->icr >> 32));
	set_reg(&k, APIC_TIMER_INITIAL, lapic->timer_initial);
	set_reg(&k, APIC_TIMER_CURRENT, our_reg(lapic, APIC_TIMER_CURRENT));
	set_reg(&k, APIC_TIMER_DIVIDE, lapic->timer_divide);
	return ioctl(own->fd, KVM_SET_LAPIC, &k) ? -errno : 0;
}

/* Nanoseconds of one timer count (bus: 1 GHz; SDM vol. 3, 11.5.4). */
static uint64_t count_ns(uint32_t divide)
{
	unsigned int code = (divide & 3) | (divide >> 1 & 4);

	return code == 7 ? 1 : 2ull << code;
}

int kvm_get_lapic(struct kvm_cpu *own)
{
	struct lapic *lapic = own->cpu->apic.object;
	struct kvm_lapic_state k;
	uint32_t left;

	if (!lapic)
		return 0;
	if (ioctl(own->fd, KVM_GET_LAPIC, &k))
		return -errno;
	lapic->base = own->cpu->state.apic_base;
	lapic->id = own->cpu->id;
	lapic->tpr = get_reg(&k, APIC_TPR);
	lapic->ldr = get_reg(&k, APIC_LDR);
	lapic->dfr = get_reg(&k, APIC_DFR);
	lapic->svr = get_reg(&k, APIC_SVR);
	for (unsigned int i = 0; i < 8; i++) {
		lapic->isr[i] = get_reg(&k, APIC_ISR + i * 16);
		lapic->tmr[i] = get_reg(&k, APIC_TMR + i * 16);
		lapic->irr[i] = get_reg(&k, APIC_IRR + i * 16);
	}
	for (unsigned int i = 0; i < LAPIC_LVTS; i++)
		lapic->lvt[i] = get_reg(&k, lvt_offset[i]);
	lapic->esr = get_reg(&k, APIC_ESR);
	lapic->icr = get_reg(&k, APIC_ICR) |
		     (uint64_t)get_reg(&k, APIC_ICR_HIGH) << 32;
	lapic->timer_initial = get_reg(&k, APIC_TIMER_INITIAL);
	lapic->timer_divide = get_reg(&k, APIC_TIMER_DIVIDE);
	left = get_reg(&k, APIC_TIMER_CURRENT);
	lapic->timer_running = left != 0;
	lapic->timer_start = clock_now(&own->kvm->vm->clock) -
			     (lapic->timer_initial - left) *
				     count_ns(lapic->timer_divide);
	return 0;
}

/* --- PIC ------------------------------------------------------------------ */

static void pic_to_kvm(const struct pic_half *h, struct kvm_pic_state *k)
{
	*k = (struct kvm_pic_state){
		.last_irr = h->lines,
		.irr = h->irr,
		.imr = h->imr,
		.isr = h->isr,
		.priority_add = (h->lowest + 1) & 7,
		.irq_base = h->base,
		.read_reg_select = h->read_isr,
		.poll = h->poll,
		.special_mask = h->special_mask,
		.init_state = h->init_step,
		.auto_eoi = h->aeoi,
		.rotate_on_auto_eoi = h->rotate_on_aeoi,
		.special_fully_nested_mode = h->special_nested,
		.init4 = h->expect_icw4,
		.elcr = h->elcr,
	};
}

static void pic_from_kvm(const struct kvm_pic_state *k, struct pic_half *h)
{
	h->lines = k->last_irr;
	h->irr = k->irr;
	h->imr = k->imr;
	h->isr = k->isr;
	h->lowest = (k->priority_add + 7) & 7;
	h->base = k->irq_base;
	h->read_isr = k->read_reg_select;
	h->poll = k->poll;
	h->special_mask = k->special_mask;
	h->init_step = k->init_state;
	h->aeoi = k->auto_eoi;
	h->rotate_on_aeoi = k->rotate_on_auto_eoi;
	h->special_nested = k->special_fully_nested_mode;
	h->expect_icw4 = k->init4;
	h->elcr = k->elcr;
}

static const uint32_t pic_chip[2] = { KVM_IRQCHIP_PIC_MASTER,
				      KVM_IRQCHIP_PIC_SLAVE };

static int put_pic(struct kvm_vm *kvm)
{
	const struct pic *pic = find_device(kvm->vm, &pic_class, 0);

	for (unsigned int i = 0; pic && i < 2; i++) {
		struct kvm_irqchip chip = { .chip_id = pic_chip[i] };

		if (ioctl(kvm->fd, KVM_GET_IRQCHIP, &chip))
			return -errno;
		uint8_t mask = chip.chip.pic.elcr_mask;

		pic_to_kvm(&pic->half[i], &chip.chip.pic);
		chip.chip.pic.elcr_mask = mask;
		if (ioctl(kvm->fd, KVM_SET_IRQCHIP, &chip))
			return -errno;
	}
	return 0;
}

static int get_pic(struct kvm_vm *kvm)
{
	struct pic *pic = find_device(kvm->vm, &pic_class, 0);

	for (unsigned int i = 0; pic && i < 2; i++) {
		struct kvm_irqchip chip = { .chip_id = pic_chip[i] };

		if (ioctl(kvm->fd, KVM_GET_IRQCHIP, &chip))
			return -errno;
		pic_from_kvm(&chip.chip.pic, &pic->half[i]);
	}
	return 0;
}

/* --- IOAPIC --------------------------------------------------------------- */

static int put_ioapic(struct kvm_vm *kvm)
{
	const struct ioapic *ioapic = find_device(kvm->vm, &ioapic_class, 0);
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	if (!ioapic)
		return 0;
	if (ioctl(kvm->fd, KVM_GET_IRQCHIP, &chip))
		return -errno;
	chip.chip.ioapic.ioregsel = ioapic->select;
	chip.chip.ioapic.id = ioapic->id;
	chip.chip.ioapic.irr = ioapic->level;
	for (unsigned int i = 0; i < IOAPIC_LINES; i++)
		chip.chip.ioapic.redirtbl[i].bits = ioapic->redirection[i];
	return ioctl(kvm->fd, KVM_SET_IRQCHIP, &chip) ? -errno : 0;
}

static int get_ioapic(struct kvm_vm *kvm)
{
	struct ioapic *ioapic = find_device(kvm->vm, &ioapic_class, 0);
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	if (!ioapic)
		return 0;
	if (ioctl(kvm->fd, KVM_GET_IRQCHIP, &chip))
		return -errno;
	ioapic->select = chip.chip.ioapic.ioregsel;
	ioapic->id = chip.chip.ioapic.id;
	ioapic->level = chip.chip.ioapic.irr;
	for (unsigned int i = 0; i < IOAPIC_LINES; i++)
		ioapic->redirection[i] = chip.chip.ioapic.redirtbl[i].bits;
	return 0;
}

/* --- PIT ------------------------------------------------------------------ */

static uint64_t ticks_ns(uint64_t ticks)
{
	return ticks * 1000000000u / PIT_HZ;
}

static int put_pit(struct kvm_vm *kvm)
{
	const struct pit *pit = find_device(kvm->vm, &pit_class, 0);
	struct kvm_pit_state2 k = { .flags = 0 };

	if (!pit)
		return 0;
	for (unsigned int i = 0; i < PIT_CHANNELS; i++) {
		const struct pit_channel *ch = &pit->channel[i];
		int64_t age = (int64_t)(clock_now(&kvm->vm->clock) -
					ticks_ns(ch->start));

		k.channels[i] = (struct kvm_pit_channel_state){
			.count = ch->loaded ? ch->count : 0,
			.latched_count = ch->latch,
			.count_latched = ch->latch_left,
			.status_latched = ch->status_latched,
			.status = ch->status,
			.read_state = ch->access,
			.write_state = ch->access,
			.write_latch = ch->write_low,
			.rw_mode = ch->access,
			.mode = ch->mode,
			.bcd = ch->bcd,
			.gate = ch->gate,
			.count_load_time = (int64_t)host_monotonic_ns() - age,
		};
	}
	return ioctl(kvm->fd, KVM_SET_PIT2, &k) ? -errno : 0;
}

static int get_pit(struct kvm_vm *kvm)
{
	struct pit *pit = find_device(kvm->vm, &pit_class, 0);
	struct kvm_pit_state2 k;

	if (!pit)
		return 0;
	if (ioctl(kvm->fd, KVM_GET_PIT2, &k))
		return -errno;
	for (unsigned int i = 0; i < PIT_CHANNELS; i++) {
		const struct kvm_pit_channel_state *from = &k.channels[i];
		struct pit_channel *ch = &pit->channel[i];
		uint64_t age = host_monotonic_ns() -
			       (uint64_t)from->count_load_time;
		uint64_t start = clock_now(&kvm->vm->clock) - age;

		ch->count = from->count ? from->count : 65536;
		ch->next = ch->count;
		ch->loaded = from->count != 0;
		ch->start = (uint64_t)((unsigned __int128)start * PIT_HZ /
				       1000000000u);
		ch->latch = from->latched_count;
		ch->latch_left = from->count_latched;
		ch->status_latched = from->status_latched;
		ch->status = from->status;
		ch->access = from->rw_mode;
		ch->write_low = from->write_latch;
		ch->mode = from->mode;
		ch->bcd = from->bcd;
		ch->gate = from->gate;
	}
	return 0;
}

int kvm_put_irqchip(struct kvm_vm *kvm)
{
	int err = put_ioapic(kvm);

	if (!err)
		err = put_pic(kvm);
	return err ? err : put_pit(kvm);
}

int kvm_get_irqchip(struct kvm_vm *kvm)
{
	int err = get_ioapic(kvm);

	if (!err)
		err = get_pic(kvm);
	return err ? err : get_pit(kvm);
}
