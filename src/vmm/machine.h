/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One machine from its configuration to its end: files mapped, board built,
 * a thread for each processor, the event loop on the calling thread.
 */
#ifndef LODGE_VMM_MACHINE_H
#define LODGE_VMM_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "board/board.h"
#include "disk/block.h"
#include "vmm/boot/rom.h"
#include "vmm/console/consoles.h"
#include "vmm/display/vnc_server.h"
#include "vmm/error.h"
#include "vmm/gdb/socket.h"
#include "vmm/nets.h"
#include "vmm/profile/profile.h"
#include "vmm/shares.h"

/* An image that the guest sees as a disk, or as a CD. */
#define MACHINE_SECRETS 8 /* of a disk */

#define MACHINE_FOLDERS 16 /* of a disk */

struct machine_disk {
	const char *path; /* NULL: a drive for media without one */
	bool readonly;
	const char *format; /* a driver's name; NULL: by the path's ending */
	const char *folder; /* where its backing file may lie; NULL: beside */
	/* More such folders, or addresses; NULL behind the last. */
	const char *more[MACHINE_FOLDERS];
	enum disk_cache cache;
	bool copy_on_read;
	bool shared_base; /* others stand on what it stands on, too */
	/* Its passphrase's file, or fd:N, and those of the encrypted images
	 * below; NULL behind the last. */
	const char *secret[MACHINE_SECRETS];
	struct disk_limits limits;
	unsigned int queues; /* 0: see struct board_disk */
	const char *serial;  /* NULL: none */
	enum board_bus bus;
	bool cd; /* on AHCI, readonly: an ISO 9660 image */
	/* See disk_live_on_move(): who keeps a record of the disk. Or NULL. */
	int (*moved)(void *ctx, const struct disk_node *to);
	void *moved_ctx;
};

/* What is done when the guest does not come to its watchdog in time. */
enum machine_watchdog {
	WATCHDOG_ABSENT,
	WATCHDOG_RESET,
	WATCHDOG_POWER_OFF,
	WATCHDOG_PAUSE,
	WATCHDOG_NONE, /* it is told, no more */
};

struct machine_config {
	const char *name;
	bool any_name; /* or one like it that no running machine has */
	const char *account; /* that was made in the guest; NULL: unknown */
	const char *kernel; /* NULL: firmware boots from a medium */
	const char *initrd; /* NULL: none */
	const char *append; /* NULL: empty */
	/* Multiboot modules after the initrd; see vmm/boot/modules.h. */
	const char *const *module;
	unsigned int module_count;
	const struct machine_disk *disk; /* BOARD_DISKS_MAX at most */
	unsigned int disk_count;
	const struct machine_disk *floppy; /* BOARD_FLOPPIES_MAX at most */
	unsigned int floppy_count;
	struct rom_config firmware;
	bool display; /* an adapter, keyboard and mouse */
	enum machine_watchdog watchdog;
	bool usb;     /* a USB controller with keyboard and tablet */
	struct vnc_config vnc; /* of a display */
	unsigned int cpus;
	uint64_t memory; /* bytes, a multiple of 1 MiB */
	const char *engine; /* "auto", "kvm" or "soft" */
	uint64_t soft_cache; /* bytes a processor; 0: engine's default */
	struct console_config serial;
	const struct machine_port *port; /* of the virtio console */
	unsigned int ports;
	uint32_t vsock_cid; /* of the guest, for sockets; 0: none */
	bool vsock_listens; /* at a socket, beside the control socket */
	const char *vsock_path; /* NULL: by the machine's name */
	const struct machine_net *net; /* BOARD_NICS_MAX at most */
	unsigned int nets;
	const struct machine_share *share; /* BOARD_SHARES_MAX at most */
	unsigned int shares;
	bool reboot; /* on a guest's reset; else it ends the run */
	bool testdev;
	const char *report; /* file; NULL: none */
	struct profile_config profile;
	struct gdb_config gdb;
	/* Lets the terminal go, when its console is elsewhere; NULL: cannot. */
	void (*leave)(const char *name);
	const char *identity; /* that status tells; NULL: none */
	const char *moves; /* see vmm/moves.h; NULL: no file for them */
	bool sandbox; /* see vmm/sandbox/isolate.h */
	const char *folder; /* its own, that it removes; NULL: none */
	const char *aside; /* how its path begins while it is removed; or NULL */
	uint64_t process_start; /* host_monotonic_ns() time */
};

/* Exit statuses of a run, and of the program. */
enum machine_status {
	MACHINE_OK = 0,	     /* the guest powered off or was stopped */
	MACHINE_FAILED = 1,  /* the host, or a file that was named */
	MACHINE_USAGE = 2,   /* the command line alone is wrong */
	MACHINE_CRASHED = 3, /* the guest: triple fault */
};

/*
 * Runs to the end; the exit status. With a test device, its exit code
 * decides. `error` is empty, or the line to show.
 */
int machine_run(const struct machine_config *config, struct vmm_error *error);

#endif
