/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine contract: what moves a VM's processors forward. Engines reach
 * devices only through the VM's buses, and speak the canonical state of
 * x86/state.h.
 */
#ifndef LODGE_ENGINE_ENGINE_H
#define LODGE_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/profile.h"
#include "vm/vm.h"
#include "x86/cpu.h"

/* Why run() came back. */
enum engine_exit_reason {
	ENGINE_KICKED,	/* X86_REQ_KICK or vm->request */
	ENGINE_CRASHED, /* triple fault */
	ENGINE_FAILED,	/* the host or the engine: `error`, `what` */
	ENGINE_DEBUG,	/* what a debugger waits for: `stop`, `address` */
};

/* Why a processor under a debugger stopped. */
enum engine_stop {
	ENGINE_STOP_BREAK, /* at one of x86_debug.at, before it */
	ENGINE_STOP_WATCH, /* behind an access to `address` */
	ENGINE_STOP_STEP,  /* its one instruction is done */
};

struct engine_exit {
	enum engine_exit_reason reason;
	int error;	  /* negative errno for ENGINE_FAILED */
	const char *what; /* static text */
	enum engine_stop stop;
	uint64_t address;
};

/* Reason counters of one vCPU, for reports. */
struct engine_stats {
	uint64_t instructions; /* 0 where the engine does not know */
	uint64_t pio, mmio, halt, interrupt, fault, emulated, kick;
};

/* What a processor's share of engine_setup.cache may be. */
#define ENGINE_CACHE_MIN     ((uint64_t)1 << 20)
#define ENGINE_CACHE_DEFAULT ((uint64_t)64 << 20)
#define ENGINE_CACHE_MAX     ((uint64_t)1 << 30)

struct engine_setup {
	struct vm *vm;
	const struct cpuid_policy *cpuid;
	/* Bytes of decoded and rewritten code that each processor may keep,
	 * within the bounds above; 0: ENGINE_CACHE_DEFAULT. For engines that
	 * keep any. */
	uint64_t cache;
};

struct engine {
	const char *name;

	/*
	 * Whether the host can run this engine: 0; 1 when it can, but not
	 * well enough to be chosen by itself; or a negative errno. `why`
	 * tells the reason in one line, with the mend. Some ms.
	 */
	int (*probe)(char *why, size_t size);

	/* Prepares the VM's engine side; *vm_engine is the engine's own. */
	int (*open)(const struct engine_setup *setup, void **vm_engine);
	void (*close)(void *vm_engine);

	/* Regions of vm->memory were added; called once before the first
	 * run and after each change, with no vCPU running. */
	int (*map_memory)(void *vm_engine);

	int (*cpu_open)(void *vm_engine, struct x86_cpu *cpu);
	void (*cpu_close)(struct x86_cpu *cpu);

	/* Runs on the calling thread until something outside is needed. */
	void (*run)(struct x86_cpu *cpu, struct engine_exit *exit);

	/* Makes run() return soon. Any thread, signal-safe. */
	void (*kick)(struct x86_cpu *cpu);

	/* cpu->state -> engine, and back; while the vCPU does not run. */
	int (*put_state)(struct x86_cpu *cpu);
	int (*get_state)(struct x86_cpu *cpu);

	void (*stats)(struct x86_cpu *cpu, struct engine_stats *stats);

	/*
	 * What a debugger waits for from now on, and whether the processor
	 * executes one instruction only. `debug` stays in place, and changes
	 * only before another call; NULL: no debugger any more. While no
	 * vCPU runs.
	 */
	void (*debug)(struct x86_cpu *cpu, const struct x86_debug *debug,
		      bool step);

	/*
	 * Whether debug() may be asked for this: 0, or a negative errno,
	 * with the reason in `why`. NULL: for anything.
	 */
	int (*debug_check)(struct x86_cpu *cpu, const struct x86_debug *debug,
			   char *why, size_t size);

	/* NULL: the engine has no profile. */
	const struct engine_profile_ops *profile;

	/*
	 * Engines with their own interrupt controllers (KVM): sets GSI
	 * `line`, sends MSIs, and moves the controllers' state from and to
	 * the chips' structs before saving and after loading. NULL: the
	 * chips of the board do it all. Lines are wired as chip/irqchip.h
	 * says: 0-15 are ISA interrupts, at the PIC and the IOAPIC alike,
	 * line 0 and the engine's own PIT at IOAPIC input 2.
	 */
	bool own_irqchip;
	void (*irq_line)(void *vm_engine, unsigned int line, bool level);
	void (*send_msi)(void *vm_engine, const struct msi *msi);

	/* Dirty logging beyond memory_dirty_log(); may be NULL. */
	int (*dirty_log)(void *vm_engine, bool on);
	int (*dirty_sync)(void *vm_engine);
};

/* In order of preference; ends with NULL. */
extern const struct engine *const engines[];

/*
 * Picks by name ("auto", "kvm", "soft"). NULL when unknown or unusable;
 * `why` tells the reason of the choice or of the refusal.
 */
const struct engine *engine_choose(const char *name, char *why, size_t size);

extern const struct engine engine_soft;
extern const struct engine engine_kvm;

#endif
