/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM engine's own structures. Linux's Documentation/virt/kvm/api.rst
 * defines every call used here. Files: vm.c (machine, memory, interrupts),
 * vcpu.c (running), regs.c (canonical state), irqchip.c (the in-kernel
 * controllers' state), probe.c (is it there, and is it hardware).
 */
#ifndef LODGE_ENGINE_KVM_KVM_H
#define LODGE_ENGINE_KVM_KVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "engine/engine.h"

struct kvm_vm {
	struct vm *vm;
	const struct cpuid_policy *cpuid;
	int system; /* /dev/kvm */
	int fd;
	int run_size; /* of struct kvm_run and what follows it */
	unsigned int slots; /* memory regions that KVM knows */
	bool dirty_log;
};

struct kvm_cpu {
	struct kvm_vm *kvm;
	struct x86_cpu *cpu;
	int fd;
	struct kvm_run *run;
	pthread_t thread; /* in run(), while `running` */
	_Atomic bool running;
	bool native; /* cpu->native was opened for emulation */
	struct engine_stats stats;
};

/* regs.c; 0 or a negative errno. */
int kvm_put_state(struct x86_cpu *cpu);
int kvm_get_state(struct x86_cpu *cpu);

/* The guest's CPUID: the policy's, less what KVM does not support. */
int kvm_set_cpuid(struct kvm_cpu *own);

/* irqchip.c: between the chips' structs and the kernel's controllers. */
int kvm_put_lapic(struct kvm_cpu *own);
int kvm_get_lapic(struct kvm_cpu *own);
int kvm_put_irqchip(struct kvm_vm *kvm);
int kvm_get_irqchip(struct kvm_vm *kvm);

/* vcpu.c */
int kvm_cpu_open(void *vm_engine, struct x86_cpu *cpu);
void kvm_cpu_close(struct x86_cpu *cpu);
void kvm_cpu_run(struct x86_cpu *cpu, struct engine_exit *exit);
void kvm_cpu_kick(struct x86_cpu *cpu);

/* probe.c */
int kvm_probe(char *why, size_t size);

/*
 * Hooks for devices that live outside the vCPU threads: a guest write of
 * `size` bytes to `address` signals `fd` without an exit; a signal on `fd`
 * raises GSI `line`. `assign` false takes it back. Negative errno.
 */
int kvm_ioeventfd(struct kvm_vm *kvm, uint64_t address, unsigned int size,
		  bool port, int fd, bool assign);
int kvm_irqfd(struct kvm_vm *kvm, unsigned int line, int fd, bool assign);

#endif
