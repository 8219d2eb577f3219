/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A board with one processor for the KVM engine's tests, run on a thread of
 * its own while the test looks at the guest's memory.
 */
#ifndef KVM_MACHINE_H
#define KVM_MACHINE_H

#include <pthread.h>
#include <stdbool.h>

#include "board/pc.h"
#include "kvm_guests.h"

#define MACHINE_MEMORY (16u << 20)

struct kvm_machine {
	struct board *board;
	struct vm *vm;
	struct x86_cpu *cpu;
	const struct engine *engine;
	void *engine_vm;
	struct engine_exit exit; /* of the last run */
	pthread_t thread;
	_Atomic bool left; /* run() has come back */
	double cpu_seconds; /* that the thread used, when it ended */
};

/* Builds, loads (NULL: nothing) and gives the state to the engine. */
void machine_build(struct kvm_machine *m, const struct engine *engine,
		   const struct kvm_guest *guest);
void machine_load(struct kvm_machine *m, const struct kvm_guest *guest);
void machine_destroy(struct kvm_machine *m);

/* Starts the processor; and kicks it out of run(), and waits for that. */
void machine_start(struct kvm_machine *m);
void machine_stop(struct kvm_machine *m);

/* A word of the guest's memory. */
uint64_t machine_word(struct kvm_machine *m, uint64_t address);

/* While it runs: until the word is `least`; fails the test after 20 s. */
void machine_wait(struct kvm_machine *m, uint64_t address, uint64_t least);

/* Start, wait, stop. */
void machine_run(struct kvm_machine *m, uint64_t address, uint64_t least);

/* /dev/kvm can be used; else says why not. */
bool machine_has_kvm(void);

#endif
