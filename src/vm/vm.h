/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual machine as plain state: memory, buses, clock, the list of its
 * devices and of its vCPUs (known only by their handle). The board fills it,
 * an engine moves it forward.
 *
 * Lock order: split_lock, device_lock, clock.lock. The vCPU hot path takes none.
 */
#ifndef LODGE_VM_VM_H
#define LODGE_VM_VM_H

#include <stdatomic.h>
#include <stdint.h>

#include "vm/bus.h"
#include "vm/clock.h"
#include "vm/host.h"
#include "vm/irq.h"
#include "vm/memory.h"
#include "vm/state.h"

#define VM_CPUS_MAX    64
#define VM_DEVICES_MAX 512

struct x86_cpu;

/* What a device class gives the VM; the device's own header gives the rest. */
struct device_class {
	const char *name;
	void (*reset)(void *device); /* to power-on state; NULL: nothing */
	/*
	 * Optional. The processors have stopped: end or wait for what is
	 * under way elsewhere, so that nothing changes any more. And: they
	 * will run again. Called without the device lock.
	 */
	void (*quiesce)(void *device);
	void (*resume)(void *device);
	/*
	 * Optional. A processor halts, after vm.rest_awaited was set. On its
	 * thread, with the device lock held.
	 */
	void (*rested)(void *device);
	/*
	 * Optional. All devices that go together, and the engine, are still
	 * there: threads of the host's leave this one, for good. It may be
	 * called again. Without the device lock.
	 */
	void (*part)(void *device);
	void (*fini)(void *device);  /* NULL: nothing */
	const struct state_class *state; /* NULL: keeps no state */
};

struct device {
	const struct device_class *class;
	void *object;
	unsigned int instance;
	unsigned int unit; /* that it is a part of; 0: the machine */
};

/* What the guest or the user asked of the machine as a whole. */
enum vm_request {
	VM_RUN = 0,
	VM_POWER_OFF, /* ACPI S5, or the user */
	VM_RESET,     /* port 0xcf9, i8042, ACPI reset register */
	VM_CRASH,     /* triple fault */
	VM_STOP,      /* the monitor wants its vCPUs back */
	VM_FAIL,      /* the host or the engine failed */
};

struct vm {
	const char *name;
	struct memory memory;
	struct bus pio;
	struct bus mmio;
	struct clock clock;
	struct host_lock device_lock;
	/* Guest atomics that straddle pages; outside device_lock. */
	struct host_lock split_lock;
	struct msi_sink msi;
	struct host_worker *worker; /* where devices do their work */
	struct host_idle *idle;	    /* for processors that halt; NULL: none */

	/*
	 * Processors that are halted now, and how often one has been: 0 with
	 * an engine that does not tell (vm_rest_begin()). Who waits for the
	 * next time sets `rest_awaited`, and then looks at `rests` again.
	 */
	_Atomic uint32_t resting, rests;
	_Atomic bool rest_awaited;

	struct x86_cpu *cpu[VM_CPUS_MAX];
	unsigned int cpu_count;

	struct device device[VM_DEVICES_MAX];
	unsigned int device_count;
	unsigned int unit, units; /* being built; the last number given */

	/* First request wins; vm_ask() sets it. */
	_Atomic uint32_t request; /* enum vm_request */
	/* Of the test device: (value written << 1) | 1; else 0. */
	_Atomic uint32_t exit_code;

	/* Told of each request: kicks vCPUs and the event loop. Any thread. */
	void (*asked)(void *ctx, enum vm_request request);
	void *asked_ctx;
};

/* Buses, clock and lists; memory is the board's to size. */
void vm_init(struct vm *vm, const char *name);

/* Quiesces and finalises the devices, last added first, then memory. */
void vm_fini(struct vm *vm);

/*
 * Registers a device for reset, save and fini. Once processors run: the
 * caller holds the device lock. -ENOSPC.
 */
int vm_add_device(struct vm *vm, const struct device_class *class,
		  void *object);

/*
 * What is plugged in and out is a unit: devices that are added between the
 * two calls are its parts. Its number, never 0.
 */
unsigned int vm_begin_unit(struct vm *vm);
void vm_end_unit(struct vm *vm);

/*
 * Quiesces and finalises a unit's devices, last added first. The guest does
 * not reach them any more. On the thread that resets and saves, the device
 * lock not held.
 */
void vm_remove_unit(struct vm *vm, unsigned int unit);

/*
 * Brings what devices do on other threads to an end, and lets it go on. Each
 * reset, save and load happens between the two. No processor runs.
 */
void vm_quiesce_devices(struct vm *vm);

/*
 * The same for the last time: nothing of the host's comes to them any more.
 * Before the engine goes; vm_fini() does it where there is none.
 */
void vm_part_devices(struct vm *vm);
void vm_resume_devices(struct vm *vm);

/* Resets every device in the order added. vCPUs are their engine's. */
void vm_reset_devices(struct vm *vm);

/* By an engine: a processor halts, on its thread, and is about to go on. */
void vm_rest_begin(struct vm *vm);
void vm_rest_end(struct vm *vm);

/* Asks for an end of the run; a later, different request is dropped. */
void vm_ask(struct vm *vm, enum vm_request request);

#endif
