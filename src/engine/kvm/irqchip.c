/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The in-kernel IOAPIC, PICs and PIT to and from the chips' structs, so that
 * both engines save and load one and the same state. The levels of the input
 * lines are not the kernel's: kvm_irq_line() keeps them in the structs.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "chip/ioapic.h"
#include "chip/lapic.h"
#include "chip/pic.h"
#include "chip/pit.h"
#include "chip/ticks.h"

static void *find_device(const struct vm *vm, const struct device_class *class)
{
	for (unsigned int i = 0; i < vm->device_count; i++)
		if (vm->device[i].class == class)
			return vm->device[i].object;
	return NULL;
}

void kvm_find_chips(struct kvm_vm *kvm)
{
	kvm->pic = find_device(kvm->vm, &pic_class);
	kvm->ioapic = find_device(kvm->vm, &ioapic_class);
	kvm->pit = find_device(kvm->vm, &pit_class);
}

/* --- PIC ------------------------------------------------------------------ */

/* KVM counts the initialisation words seen, we name the next one. */
static uint8_t step_to_kvm(uint8_t step)
{
	return step ? step - 1 : 0;
}

static uint8_t step_from_kvm(uint8_t step)
{
	return step ? step + 1 : 0;
}

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
		.init_state = step_to_kvm(h->init_step),
		.auto_eoi = h->aeoi,
		.rotate_on_auto_eoi = h->rotate_on_aeoi,
		.special_fully_nested_mode = h->special_nested,
		.init4 = h->expect_icw4,
		.elcr = h->elcr,
		.elcr_mask = k->elcr_mask, /* the chip's own */
	};
}

/* ICW1's SNGL and LTIM are not kept by KVM, which has neither. */
static void pic_from_kvm(const struct kvm_pic_state *k, struct pic_half *h)
{
	h->irr = k->irr;
	h->imr = k->imr;
	h->isr = k->isr;
	h->lowest = (k->priority_add + 7) & 7;
	h->base = k->irq_base;
	h->read_isr = k->read_reg_select;
	h->poll = k->poll;
	h->special_mask = k->special_mask;
	h->init_step = step_from_kvm(k->init_state);
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
	for (unsigned int i = 0; kvm->pic && i < 2; i++) {
		struct kvm_irqchip chip = { .chip_id = pic_chip[i] };

		if (ioctl(kvm->fd, KVM_GET_IRQCHIP, &chip))
			return -errno;
		pic_to_kvm(&kvm->pic->half[i], &chip.chip.pic);
		if (ioctl(kvm->fd, KVM_SET_IRQCHIP, &chip))
			return -errno;
	}
	return 0;
}

/* An interrupt on its way in waits again: from in service to requested. */
static void give_back(struct pic *pic, int vector)
{
	struct pic_half *half = &pic->half[0];
	const uint8_t cascade = 1u << 2;
	uint8_t bit;

	if (vector < 0)
		return;
	if ((vector & ~7) != half->base)
		half = &pic->half[1];
	bit = (uint8_t)(1u << (vector & 7));
	if ((vector & ~7) != half->base || !(half->isr & bit))
		return; /* came from the LAPIC */
	half->isr &= (uint8_t)~bit;
	half->irr |= bit;
	if (half == &pic->half[1]) {
		pic->half[0].isr &= (uint8_t)~cascade;
		pic->half[0].irr |= cascade;
	}
}

static int get_pic(struct kvm_cpu *bsp)
{
	struct lapic *lapic = bsp->cpu->apic.object;
	struct kvm_vm *kvm = bsp->kvm;

	for (unsigned int i = 0; kvm->pic && i < 2; i++) {
		struct kvm_irqchip chip = { .chip_id = pic_chip[i] };

		if (ioctl(kvm->fd, KVM_GET_IRQCHIP, &chip))
			return -errno;
		pic_from_kvm(&chip.chip.pic, &kvm->pic->half[i]);
	}
	if (kvm->pic)
		give_back(kvm->pic, bsp->taken);
	if (kvm->pic && lapic)
		lapic->extint = pic_output(kvm->pic);
	return 0;
}

/* --- IOAPIC --------------------------------------------------------------- */

/* Redirection entry, 82093AA section 3.2.4. */
#define ENTRY_STATUS ((uint64_t)1 << 12) /* being sent: never seen so here */
#define ENTRY_LEVEL  ((uint64_t)1 << 15)

static int put_ioapic(struct kvm_vm *kvm)
{
	const struct ioapic *ioapic = kvm->ioapic;
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct kvm_ioapic_state *k = &chip.chip.ioapic;

	if (!ioapic)
		return 0;
	if (ioctl(kvm->fd, KVM_GET_IRQCHIP, &chip))
		return -errno;
	k->ioregsel = ioapic->select;
	k->id = ioapic->id >> 24;
	k->irr = 0;
	for (unsigned int i = 0; i < IOAPIC_LINES; i++) {
		k->redirtbl[i].bits = ioapic->redirection[i];
		/* An edge of a line that is high now has been delivered. */
		if (ioapic->redirection[i] & ENTRY_LEVEL)
			k->irr |= ioapic->level & 1u << i;
	}
	return ioctl(kvm->fd, KVM_SET_IRQCHIP, &chip) ? -errno : 0;
}

static int get_ioapic(struct kvm_vm *kvm)
{
	struct ioapic *ioapic = kvm->ioapic;
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct kvm_ioapic_state *k = &chip.chip.ioapic;

	if (!ioapic)
		return 0;
	if (ioctl(kvm->fd, KVM_GET_IRQCHIP, &chip))
		return -errno;
	ioapic->select = k->ioregsel & 0xff;
	ioapic->id = (k->id & 0xf) << 24;
	for (unsigned int i = 0; i < IOAPIC_LINES; i++)
		ioapic->redirection[i] = k->redirtbl[i].bits & ~ENTRY_STATUS;
	return 0;
}

/* --- PIT ------------------------------------------------------------------ */

/* KVM's mode of a channel that no control word was written to. */
#define PIT_NO_MODE 0xff

/* Which byte comes next (KVM's RW_STATE_*). */
enum { RW_NONE, RW_LSB, RW_MSB, RW_WORD0, RW_WORD1 };

/* Next byte of a transfer in KVM's words. */
static uint8_t next_byte(uint8_t access, bool second)
{
	return access == RW_WORD0 && second ? RW_WORD1 : access;
}

static uint8_t latch_to_kvm(const struct pit_channel *ch)
{
	if (!ch->latch_left)
		return RW_NONE;
	if (ch->access == RW_WORD0)
		return ch->latch_left == 2 ? RW_WORD0 : RW_MSB;
	return ch->access;
}

static uint8_t latch_from_kvm(uint8_t latched)
{
	if (!latched)
		return 0;
	return latched == RW_WORD0 ? 2 : 1;
}

static void channel_to_kvm(const struct pit *pit, const struct pit_channel *ch,
			   struct kvm_pit_channel_state *k)
{
	uint64_t start = ticks_to_ns(ch->start, PIT_HZ);
	uint64_t age = clock_now(&pit->vm->clock) - start;

	*k = (struct kvm_pit_channel_state){
		.count = ch->count,
		.latched_count = ch->latch,
		.count_latched = latch_to_kvm(ch),
		.status_latched = ch->status_latched,
		.status = ch->status,
		.read_state = next_byte(ch->access, ch->read_second),
		.write_state = next_byte(ch->access, ch->write_second),
		.write_latch = ch->write_low,
		.rw_mode = ch->access,
		.mode = ch->loaded ? ch->mode : PIT_NO_MODE,
		.bcd = ch->bcd,
		.gate = ch->gate,
		.count_load_time = (int64_t)(host_monotonic_ns() - age),
	};
}

/*
 * KVM starts channel 0's sequence anew, and does not tell when the present
 * one began: its phase is lost both ways.
 */
static int put_pit(struct kvm_vm *kvm)
{
	struct pit *pit = kvm->pit;
	struct kvm_pit_state2 k = { 0 };

	if (!pit)
		return 0;
	for (unsigned int i = 0; i < PIT_CHANNELS; i++)
		channel_to_kvm(pit, &pit->channel[i], &k.channels[i]);
	timer_cancel(&kvm->vm->clock, &pit->timer);
	return ioctl(kvm->fd, KVM_SET_PIT2, &k) ? -errno : 0;
}

static void channel_from_kvm(const struct pit *pit,
			     const struct kvm_pit_channel_state *k,
			     struct pit_channel *ch)
{
	uint64_t now = clock_now(&pit->vm->clock);
	uint64_t age = host_monotonic_ns() - (uint64_t)k->count_load_time;

	if (!k->count_load_time || age > now)
		age = 0;
	*ch = (struct pit_channel){
		.count = k->count ? k->count : 65536,
		.start = ticks_from_ns(now - age, PIT_HZ),
		.mode = k->mode == PIT_NO_MODE ? 0 : k->mode & 7,
		.bcd = k->bcd & 1,
		.access = k->rw_mode & 3,
		.gate = k->gate & 1,
		.loaded = k->mode != PIT_NO_MODE,
		.write_low = k->write_latch,
		.write_second = k->write_state == RW_WORD1,
		.read_second = k->read_state == RW_WORD1,
		.latch = k->latched_count,
		.latch_left = latch_from_kvm(k->count_latched),
		.status = k->status,
		.status_latched = k->status_latched,
	};
	ch->next = ch->count;
	ch->triggered = ch->loaded && ch->gate;
}

static int get_pit(struct kvm_vm *kvm)
{
	struct pit *pit = kvm->pit;
	struct pit_channel *first;
	struct kvm_pit_state2 k;

	if (!pit)
		return 0;
	if (ioctl(kvm->fd, KVM_GET_PIT2, &k))
		return -errno;
	for (unsigned int i = 0; i < PIT_CHANNELS; i++)
		channel_from_kvm(pit, &k.channels[i], &pit->channel[i]);
	pit->port61 = (pit->port61 & ~1u) | pit->channel[2].gate;
	/* Saved, and armed by whoever loads it. */
	first = &pit->channel[0];
	pit->timer.deadline = TIMER_NEVER;
	if (first->loaded)
		pit->timer.deadline =
			ticks_to_ns(first->start + first->count, PIT_HZ);
	return 0;
}

int kvm_put_irqchip(struct kvm_cpu *bsp)
{
	int err = put_ioapic(bsp->kvm);

	if (!err)
		err = put_pic(bsp->kvm);
	return err ? err : put_pit(bsp->kvm);
}

int kvm_get_irqchip(struct kvm_cpu *bsp)
{
	int err = get_ioapic(bsp->kvm);

	if (!err)
		err = get_pic(bsp);
	return err ? err : get_pit(bsp->kvm);
}
