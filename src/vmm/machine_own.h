/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine while it runs, for machine*.c alone: machine.c runs it,
 * machine_setup.c makes it, machine_events.c answers what comes to it,
 * machine_end.c tells how it ended.
 */
#ifndef LODGE_VMM_MACHINE_OWN_H
#define LODGE_VMM_MACHINE_OWN_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "board/board.h"
#include "host/linux/loop.h"
#include "host/linux/thread.h"
#include "vmm/control/control.h"
#include "vmm/disks.h"
#include "vmm/drives.h"
#include "vmm/guest/guest_agent.h"
#include "vmm/hotplug.h"
#include "vmm/machine.h"
#include "vmm/media.h"
#include "vmm/outfile.h"
#include "vmm/pause.h"
#include "vmm/sandbox/isolate.h"
#include "vmm/stall.h"
#include "vmm/vsock_unix.h"

struct machine_cpu {
	struct machine *machine;
	struct x86_cpu *cpu;
	struct thread thread;
	struct engine_exit exit;
	struct sampler sampler;
};

struct machine {
	const struct machine_config *config;
	struct vmm_error *error;

	struct media media;
	const struct engine *engine;
	char engine_reason[200];
	struct control *control; /* NULL: none */
	struct hotplug *hotplug;
	struct drives drives;
	struct vsock_unix *vsock; /* NULL: none */
	struct guest_agent *agent;
	struct nets nets;
	struct shares shares;
	const char *name;
	struct consoles *consoles;
	struct loop *loop;
	struct board *board;
	struct vm *vm;

	int signals; /* signalfd, or -1 */
	sigset_t old_mask;
	struct profile profile;
	struct outfile report;
	struct isolate isolate;
	struct pause pause;
	_Atomic bool dog_pauses; /* the watchdog wants it */
	struct stall stall;
	struct disks disks;
	struct gdb_socket *gdb; /* NULL: nobody debugs */
	struct vnc_server *vnc; /* NULL: no viewers */
	uint64_t first_run; /* host_monotonic_ns(), 0: not yet */
	struct machine_cpu cpu[VM_CPUS_MAX];
};

/*
 * All of these: 0, or -1 with machine->error set, unless they say otherwise.
 */

/* Everything up to the guest's first instruction, but for the isolation. */
int machine_set_up(struct machine *machine);

/* Kernel and initrd into memory, and the processors to their start. */
int machine_load(struct machine *machine);

/* The guest's code runs in a process that can do little. */
int machine_isolate(struct machine *machine);

/* The reverse of what has been set up, however far that came; frees it. */
void machine_tear_down(struct machine *machine);

/* Makes the event loop, with the callbacks below. 0, or a negative errno. */
int machine_listen(struct machine *machine);

/* Signals are again as they were. */
void machine_unlisten(struct machine *machine);

/* Any thread; the device lock is held. `ctx`: the machine. */
void machine_watchdog_bites(void *ctx);

/* The event loop's; `ctx`: the machine. */
void machine_broker_ended(void *ctx, uint32_t events);

/* With the machine as their context. */
extern const struct consoles_ops machine_console_ops;

/* After the run; `request` ended it. The exit status. */
int machine_finish(struct machine *machine, enum vm_request request);

#endif
