/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts from devices to the in-kernel controllers. Linux, api.rst,
 * KVM_IRQ_LINE, KVM_SIGNAL_MSI.
 */
#include "engine/kvm/kvm.h"

#include <sys/ioctl.h>

#include "chip/ioapic.h"
#include "chip/irqchip.h"
#include "chip/pic.h"

/* The structs keep the levels for a reset and for saving. */
static void note_level(struct kvm_vm *kvm, unsigned int line, bool level)
{
	uint32_t pin = 1u << (line == IRQ_PIT ? IRQ_PIT_GSI : line);
	uint8_t bit = (uint8_t)(1u << (line & 7));

	if (kvm->ioapic && level)
		kvm->ioapic->level |= pin;
	else if (kvm->ioapic)
		kvm->ioapic->level &= ~pin;
	if (line >= 16 || !kvm->pic)
		return;
	if (level)
		kvm->pic->half[line >> 3].lines |= bit;
	else
		kvm->pic->half[line >> 3].lines &= (uint8_t)~bit;
}

static void set_line(struct kvm_vm *kvm, unsigned int line, bool level)
{
	struct kvm_irq_level irq = { .irq = line, .level = level };

	note_level(kvm, line, level);
	ioctl(kvm->fd, KVM_IRQ_LINE, &irq);
}

static void signal_msi(struct kvm_vm *kvm, const struct msi *message)
{
	struct kvm_msi msi = {
		.address_lo = (uint32_t)message->address,
		.address_hi = (uint32_t)(message->address >> 32),
		.data = message->data,
	};

	ioctl(kvm->fd, KVM_SIGNAL_MSI, &msi);
}

/* Held: the device lock. */
void kvm_irq_line(void *vm_engine, unsigned int line, bool level)
{
	struct kvm_vm *kvm = vm_engine;
	struct kvm_held *held = &kvm->held;

	if (line >= IRQ_LINES)
		return;
	pthread_mutex_lock(&held->lock);
	if (held->out) {
		held->lines |= 1u << line;
		held->levels &= ~(1u << line);
		held->levels |= (uint32_t)level << line;
	} else {
		set_line(kvm, line, level);
	}
	pthread_mutex_unlock(&held->lock);
}

/* Held: the lock. False: no more can wait. One of a kind is enough. */
static bool hold_msi(struct kvm_held *held, const struct msi *message)
{
	for (unsigned int i = 0; i < held->msis; i++)
		if (held->msi[i].address == message->address &&
		    held->msi[i].data == message->data)
			return true;
	if (held->msis == KVM_HELD_MAX)
		return false;
	held->msi[held->msis++] = *message;
	return true;
}

void kvm_send_msi(void *vm_engine, const struct msi *message)
{
	struct kvm_vm *kvm = vm_engine;

	pthread_mutex_lock(&kvm->held.lock);
	if (!kvm->held.out || !hold_msi(&kvm->held, message))
		signal_msi(kvm, message);
	pthread_mutex_unlock(&kvm->held.lock);
}

void kvm_hold_interrupts(struct kvm_vm *kvm)
{
	pthread_mutex_lock(&kvm->held.lock);
	kvm->held.out = true;
	pthread_mutex_unlock(&kvm->held.lock);
}

void kvm_release_interrupts(struct kvm_vm *kvm)
{
	struct kvm_held *held = &kvm->held;

	pthread_mutex_lock(&held->lock);
	for (unsigned int i = 0; i < held->msis; i++)
		signal_msi(kvm, &held->msi[i]);
	for (unsigned int i = 0; i < IRQ_LINES; i++)
		if (held->lines >> i & 1)
			set_line(kvm, i, held->levels >> i & 1);
	held->msis = 0;
	held->lines = 0;
	held->out = false;
	pthread_mutex_unlock(&held->lock);
}
