/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM engine's own structures. Linux's Documentation/virt/kvm/api.rst
 * defines every call used here. Files: vm.c (machine, memory, interrupts),
 * vcpu.c (running), emulate.c (instructions that KVM leaves to us), debug.c
 * (a debugger), regs.c, xsave.c, msr.c and cpuid.c (the processor's canonical
 * state), lapic.c and irqchip.c (the in-kernel controllers' state), line.c
 * (interrupts from devices), probe.c (is it there, and is it hardware).
 */
#ifndef LODGE_ENGINE_KVM_KVM_H
#define LODGE_ENGINE_KVM_KVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "engine/engine.h"

struct ioapic;
struct pic;
struct pit;

#define KVM_MSRS_MAX 64

#define KVM_SLOTS 4u /* debug registers of a processor */

/* INT3 in place of the byte at `at`. */
struct kvm_mark {
	gpa_t at;
	uint8_t byte;
	bool set;
	unsigned int lifted; /* processors that step over it */
};

/* What debug registers hold: SDM vol. 3, 17.2. */
struct kvm_slots {
	unsigned int count;
	uint64_t at[KVM_SLOTS];
	uint64_t dr7;
	const struct x86_watch *watch[KVM_SLOTS]; /* NULL: code */
};

/* Of a debugger: debug.c. */
struct kvm_debug {
	pthread_mutex_t lock;
	unsigned int inside; /* processors in run() */
	unsigned int marks;
	struct kvm_mark mark[X86_BREAKS_MAX];
	bool known;
	unsigned int can; /* KVM_CAN_* */
};

/*
 * Interrupts from devices while a processor's state is out, in x86_cpu.state
 * and the chips: putting that back would undo them in the kernel, so they
 * wait until a processor runs. line.c.
 */
#define KVM_HELD_MAX 256u
struct kvm_held {
	pthread_mutex_t lock;
	bool out;
	unsigned int msis;
	struct msi msi[KVM_HELD_MAX];
	uint32_t lines, levels; /* that changed; and to what, last */
};

struct kvm_vm {
	struct vm *vm;
	const struct cpuid_policy *cpuid;
	int system; /* /dev/kvm */
	int fd;
	int run_size; /* of struct kvm_run and what follows it */
	unsigned int slots; /* memory regions that KVM knows */
	bool dirty_log;

	/* Of x86_msr_list, those that this KVM has. */
	uint32_t msr[KVM_MSRS_MAX];
	unsigned int msr_count;
	bool spec_ctrl; /* IA32_SPEC_CTRL exists */
	struct kvm_debug debug;
	struct kvm_held held;

	/* The board's chips whose work the kernel does; NULL until the first
	 * processor is opened, or where the board has none. */
	struct pic *pic;
	struct ioapic *ioapic;
	struct pit *pit;
};

struct kvm_cpu {
	struct kvm_vm *kvm;
	struct x86_cpu *cpu;
	int fd;
	struct kvm_run *run;
	_Atomic pid_t thread; /* that is in run(), or 0 */
	uint64_t xcr0; /* components that the guest may use: cpuid.c */
	bool native; /* cpu->native was opened for emulation */
	uint8_t cr8; /* travels with the registers; the LAPIC holds it */
	int taken; /* vector that KVM has accepted and not delivered; or -1 */
	bool step; /* a debugger waits for the next instruction */
	uint64_t step_from; /* its linear address */
	uint32_t traps; /* KVM_GUESTDBG_SINGLESTEP while KVM does it, or 0 */
	bool inside; /* counted in kvm_debug.inside */
	struct kvm_mark *lifted; /* its own, or NULL */
	struct kvm_slots slots;
	struct engine_stats stats;
};

/* regs.c; 0 or a negative errno. */
int kvm_put_state(struct x86_cpu *cpu);
int kvm_get_state(struct x86_cpu *cpu);
/* The same without MSRs, clocks and interrupt controllers. */
int kvm_put_registers(struct kvm_cpu *own);
int kvm_get_registers(struct kvm_cpu *own);

/* xsave.c */
int kvm_put_xsave(struct kvm_cpu *own);
int kvm_get_xsave(struct kvm_cpu *own);

/* msr.c */
int kvm_list_msrs(struct kvm_vm *kvm);
int kvm_put_msrs(struct kvm_cpu *own);
int kvm_get_msrs(struct kvm_cpu *own);
/* False: this KVM or processor lacks it, or refuses the value. */
bool kvm_put_msr(struct kvm_cpu *own, uint32_t index, uint64_t value);
bool kvm_get_msr(struct kvm_cpu *own, uint32_t index, uint64_t *value);

/* cpuid.c: the guest's CPUID, the policy's less what KVM cannot do. */
int kvm_set_cpuid(struct kvm_cpu *own);

/* lapic.c, irqchip.c: between the chips' structs and the kernel's. */
int kvm_put_lapic(struct kvm_cpu *own);
int kvm_get_lapic(struct kvm_cpu *own);
void kvm_find_chips(struct kvm_vm *kvm);
int kvm_put_irqchip(struct kvm_cpu *bsp);
int kvm_get_irqchip(struct kvm_cpu *bsp);

/* emulate.c: one instruction on the software CPU. False: leave run(). */
bool kvm_emulate(struct kvm_cpu *own, struct engine_exit *exit);

/*
 * debug.c: engine.debug and engine.debug_check; around run(), where false
 * means that it is over already; KVM_EXIT_DEBUG; behind an access of a step,
 * which ends if RIP has moved; and, under a debugger, around an instruction of
 * the software CPU, with registers in x86_cpu.state. False: leave run().
 */
void kvm_debug(struct x86_cpu *cpu, const struct x86_debug *debug, bool step);
int kvm_debug_check(struct x86_cpu *cpu, const struct x86_debug *debug,
		    char *why, size_t size);
bool kvm_debug_enter(struct kvm_cpu *own, struct engine_exit *exit);
void kvm_debug_leave(struct kvm_cpu *own);
bool kvm_debug_exit(struct kvm_cpu *own, struct engine_exit *exit);
bool kvm_debug_moved(struct kvm_cpu *own, struct engine_exit *exit);
bool kvm_debug_before(struct kvm_cpu *own, struct engine_exit *exit);
bool kvm_debug_after(struct kvm_cpu *own, struct engine_exit *exit);

/* line.c: engine.irq_line, engine.send_msi. */
void kvm_irq_line(void *vm_engine, unsigned int line, bool level);
void kvm_send_msi(void *vm_engine, const struct msi *message);
/* From now on they wait; those that waited reach the kernel. */
void kvm_hold_interrupts(struct kvm_vm *kvm);
void kvm_release_interrupts(struct kvm_vm *kvm);

/* vcpu.c */
int kvm_cpu_open(void *vm_engine, struct x86_cpu *cpu);
void kvm_cpu_close(struct x86_cpu *cpu);
void kvm_cpu_run(struct x86_cpu *cpu, struct engine_exit *exit);
void kvm_cpu_kick(struct x86_cpu *cpu);

/* probe.c: KVM_CREATE_VM, which starts a thread and so is interrupted by work
 * for this one (of io_uring, say). A descriptor; or -1, and errno. */
int kvm_create(int system);
/* The device has to be /dev/kvm but in tests. */
int kvm_probe(char *why, size_t size);
int kvm_probe_device(const char *path, char *why, size_t size);

/* What stops a guest for a debugger: INT3, debug registers at code and at
 * data. All on hardware; emulations of it lack one or the other. */
#define KVM_CAN_MARK  1u
#define KVM_CAN_BREAK 2u
#define KVM_CAN_WATCH 4u
unsigned int kvm_probe_debug(int system);

/*
 * Hooks for devices that live outside the vCPU threads: a guest write of
 * `size` bytes to `address` signals `fd` without an exit; a signal on `fd`
 * is a pulse of line `line`. `assign` false takes it back. Negative errno.
 */
int kvm_ioeventfd(struct kvm_vm *kvm, uint64_t address, unsigned int size,
		  bool port, int fd, bool assign);
int kvm_irqfd(struct kvm_vm *kvm, unsigned int line, int fd, bool assign);

#endif
