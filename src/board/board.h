/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PC: memory layout, chips, tables and loaders. board_build() makes a
 * machine for a cold start and for a restore alike.
 *
 * Guest-physical layout:
 *   0x00000000 - 0x7fffffff  RAM (2 GiB at most, less the hole from 640K on)
 *   0x000a0000 - 0x000bffff  VGA window (nothing without a display)
 *   0x000c0000 - 0x000fffff  ROM area: option ROMs, tables, SMBIOS
 *   0xb0000000 - 0xbfffffff  PCI configuration space (ECAM)
 *   0xc0000000 - 0xfebfffff  PCI devices
 *   0xfec00000, 0xfee00000   IOAPIC, LAPIC
 *   0x100000000 -            RAM above 4 GiB, then PCI devices again
 */
#ifndef LODGE_BOARD_BOARD_H
#define LODGE_BOARD_BOARD_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "vm/nic.h"
#include "vm/vm.h"
#include "x86/cpuid.h"

struct block;
struct frame;
struct frame_text;
struct share;
struct uart_sink;
struct virtio_balloon;
struct virtio_console;
struct virtio_console_config;
struct virtio_vsock;
struct vsock_host;

#define BOARD_DISKS_MAX 18
#define BOARD_SATA_MAX  6
#define BOARD_IDE_MAX   4
#define BOARD_PORTS_MAX 8
#define BOARD_FLOPPIES_MAX 2
#define BOARD_NICS_MAX	8
#define BOARD_SHARES_MAX 8
#define BOARD_WORDS_MAX	8
#define BOARD_WORD_MAX	255

enum board_bus {
	BOARD_VIRTIO, /* a controller of its own */
	BOARD_AHCI,   /* on the next port of the SATA controller */
	BOARD_NVME,   /* a controller of its own */
	BOARD_IDE,    /* on the IDE controller: its channels in order */
};

/* A disk, or a CD on AHCI or IDE. */
struct board_disk {
	struct block *block; /* stays the caller's, longer than the board */
	unsigned int queues; /* 0: one for each processor; NVMe: all it has */
	const char *serial;  /* NULL: none */
	enum board_bus bus;
	bool cd; /* a CD-ROM drive with this medium; block NULL: none */
};

enum board_nic_model {
	BOARD_NIC_VIRTIO,
	BOARD_NIC_E1000, /* one pair of queues; guests do not learn the MTU */
	BOARD_NIC_MODELS,
};

/* A network card. */
struct board_nic {
	struct net *net; /* stays the caller's, longer than the board */
	enum board_nic_model model;
	uint8_t mac[NIC_MAC];
	uint16_t mtu;
	unsigned int queues; /* pairs, as many as the model has at most */
};

/* A folder of the host's, which guests mount by its tag. */
struct board_share {
	struct share *share; /* stays the caller's, longer than the board */
	const char *tag;     /* 1 to SHARE_TAG_MAX bytes */
};

/*
 * Firmware to run instead of loading a kernel. The caller keeps all of it
 * while the board lives; `vars` is written when the guest writes its flash.
 */
struct board_firmware {
	const uint8_t *image; /* ends at 4 GiB */
	uint64_t size;	      /* 64 KiB to 16 MiB, whole pages */
	uint8_t *vars;	      /* flash below the image; size 0: none */
	uint32_t vars_size;   /* whole blocks of 4 KiB */
	bool boot_menu;	      /* offered at start */
	bool serial_console;  /* BIOS: the screen on COM1 as well */
	/* Device paths in the order to try, a line each. */
	const char *boot_order;
	uint32_t boot_order_size;
};

struct board_config {
	const char *name;
	unsigned int cpus;     /* 1 .. VM_CPUS_MAX */
	uint64_t memory;       /* bytes, multiple of 1 MiB */
	bool testdev;	       /* debug exit at 0xf4 and friends */
	const struct engine *engine;
	uint64_t engine_cache; /* engine_setup.cache */
	const struct board_firmware *firmware; /* NULL: none */
	/* A display adapter, with keyboard and mouse told to the system. */
	bool display;
	bool usb; /* a controller with keyboard and tablet */
	/*
	 * A watchdog: told when the guest has not come to it in time. The
	 * device lock is held. NULL: none.
	 */
	void (*watchdog)(void *ctx);
	void *watchdog_ctx;
	const uint8_t *vga_rom; /* its BIOS; NULL: none */
	uint32_t vga_rom_size;
	/* COM1: where its bytes go; NULL: nowhere. See chip/uart.h. */
	const struct uart_sink *serial;
	const struct virtio_console_config *console; /* NULL: none */
	/* In the order of their slots; BOARD_SATA_MAX of them on AHCI. */
	const struct board_disk *disk;
	unsigned int disks;
	/* Sockets between guest and host: see virtio/vsock.h; NULL: none. */
	struct vsock_host *vsock;
	uint32_t vsock_cid;
	const struct board_nic *nic; /* BOARD_NICS_MAX at most */
	unsigned int nics;
	const struct board_share *share; /* BOARD_SHARES_MAX at most */
	unsigned int shares;
	/*
	 * Told to the guest's programs, as SMBIOS's OEM strings; each has
	 * BOARD_WORD_MAX bytes at most. The caller keeps them.
	 */
	const char *const *words; /* BOARD_WORDS_MAX at most */
	unsigned int word_count;
	unsigned int ports; /* PCI Express slots to plug devices into */
	/*
	 * Optional. What was in a place has been let go: board_clear() is
	 * due. Any thread; the device lock may be held.
	 */
	void (*let_go)(void *ctx, unsigned int place);
	void *let_go_ctx;
	/*
	 * Disks in floppy drives; sizes as board_floppy_type() knows them.
	 * NULL: a drive for 1440K without a disk.
	 */
	struct block *floppy[BOARD_FLOPPIES_MAX];
	unsigned int floppies;
};

/*
 * The type of drive, as the NVRAM has it, for a floppy disk of this many
 * bytes; 0: there are no such disks.
 */
unsigned int board_floppy_type(uint64_t size);

struct board; /* everything of one machine, in one allocation */

/* -ENOMEM, -EINVAL; the engine's open() errors. On error nothing stays. */
int board_build(const struct board_config *config, struct board **board);
void board_destroy(struct board *board);

struct vm *board_vm(struct board *board);
void *board_engine_vm(struct board *board);

/* The socket device, for vsock_poke(); NULL: none. */
struct virtio_vsock *board_vsock(struct board *board);

/* The card of board_config.nic[index], as its net sees it. */
struct nic *board_nic(struct board *board, unsigned int index);

/* Bytes from the outside world to COM1; gives how many were taken. */
unsigned int board_serial_receive(struct board *board, const uint8_t *data,
				  unsigned int count);

/* The memory balloon. */
struct virtio_balloon *board_balloon(struct board *board);

/* The virtio console; NULL: none. */
struct virtio_console *board_console(struct board *board);

/*
 * Brings the picture up to date and gives it to `use`. The device lock is
 * held: be quick. False: no display, or no memory for the picture.
 */
bool board_draw(struct board *board,
		void (*use)(void *ctx, const struct frame *frame), void *ctx);

/* What the display shows as text; false without one. */
bool board_text(struct board *board, struct frame_text *text);

/*
 * A key (chip/key.h) goes down or up: of the USB keyboard once the guest has
 * it polled, else of the PS/2 one.
 */
void board_key(struct board *board, unsigned int key, bool down);

/* What of that keyboard the guest has not read yet. */
unsigned int board_keys_unread(struct board *board);

/* Whether the guest has the USB tablet polled: its pointer can be put. */
bool board_points(struct board *board);

/*
 * Puts the pointer at x, y of a screen of that size; wheel and buttons as for
 * board_mouse(). False, and nothing done: there is none to put.
 */
bool board_point(struct board *board, uint32_t x, uint32_t y, uint32_t width,
		 uint32_t height, int wheel, unsigned int buttons);

/* See ps2_mouse_move(). */
void board_mouse(struct board *board, int x, int y, int wheel,
		 unsigned int buttons);

/* Power button (ACPI fixed event). */
void board_power_button(struct board *board);

/*
 * Places that disks and shares are plugged into while the machine runs: slots of PCI
 * Express, then ports of the SATA controller.
 */
#define BOARD_PLACES_MAX (BOARD_PORTS_MAX + BOARD_SATA_MAX)

/*
 * Plugs a disk in; where is in *place. -ENOSPC: every place is taken;
 * -ENOENT: no SATA controller; -EINVAL: the disk's bus has no places;
 * -ENOMEM. These five on the thread that resets and saves.
 */
int board_plug_disk(struct board *board, const struct board_disk *disk,
		    unsigned int *place);

/* The same for a shared folder: -ENOSPC, -ENOMEM. */
int board_plug_share(struct board *board, const struct board_share *share,
		     unsigned int *place);

/* Asks the guest to let go what is there. SATA knows no asking: it is gone. */
void board_ask(struct board *board, unsigned int place);

/* Takes it out without asking; board_clear() is due. */
void board_pull(struct board *board, unsigned int place);

/*
 * Ends the device that was let go or pulled; then its block or share is the
 * caller's alone. Waits for requests that are under way.
 */
void board_clear(struct board *board, unsigned int place);

/*
 * Drives whose medium can be changed while the machine runs: those for CDs in
 * the order of board_config.disk, then those for floppy disks.
 */
#define BOARD_DRIVES_MAX (BOARD_SATA_MAX + BOARD_IDE_MAX + BOARD_FLOPPIES_MAX)

struct board_drive {
	bool open;   /* the tray, with the medium in it if there is one */
	bool locked; /* the guest holds the medium */
};

void board_drive(struct board *board, unsigned int index,
		 struct board_drive *drive);

/*
 * Takes out the medium that is there and, unless `block` is NULL, puts another
 * in; the old one is not used any more then. -EBUSY: the guest holds it, and
 * has been told; `force` does it all the same. -EINVAL: no disk that the
 * floppy drive reads. On the thread that resets and saves.
 */
int board_change(struct board *board, unsigned int index, struct block *block,
		 bool force);

/*
 * What to boot. The caller keeps the buffers while the board lives (a guest
 * reset loads them again).
 */
enum boot_kind {
	BOOT_AUTO,  /* by the file's own signs: bzImage, PVH or multiboot ELF */
	BOOT_FLAT,  /* bytes at `flat_address`, entered in real mode at
		     * flat_entry (segment:offset in its upper and lower half)
		     * or, with flat_long set, at that linear address in 64-bit
		     * mode with 4 GiB mapped one to one */
};

#define BOOT_MODULES_MAX 16

struct boot_module {
	const uint8_t *data;
	uint64_t size;
	const char *name;
};

struct board_boot {
	enum boot_kind kind; /* without firmware; the rest likewise */
	const uint8_t *kernel;
	uint64_t kernel_size;
	const uint8_t *initrd; /* NULL: none; multiboot: the first module */
	uint64_t initrd_size;
	const struct boot_module *module; /* multiboot, PVH: after the initrd */
	unsigned int module_count;
	const char *append; /* command line; NULL: empty */
	uint64_t flat_address;
	uint32_t flat_entry;
	bool flat_long;
	/* First word of a multiboot command line; NULL: "kernel". */
	const char *kernel_name;

	/*
	 * Optional. Makes whole pages of guest memory at host address `to`
	 * read as those of the buffer at `from` (both page-aligned), copied
	 * only when written. False: not possible, they are copied now.
	 */
	bool (*map)(void *ctx, void *to, const void *from, uint64_t size);
	void *map_ctx;
};

/* One line that names what is wrong with the kernel or initrd. */
struct boot_error {
	char text[160];
};

/*
 * Writes kernel, initrd and tables into guest memory and sets the bootstrap
 * processor's state; the other processors wait for SIPI. The caller then
 * gives the states to the engine (put_state). -EINVAL (with `error`): no
 * kernel that we know, truncated, too large for the memory. Other errors
 * leave `error` empty. Only while the vCPUs do not run.
 */
int board_load(struct board *board, const struct board_boot *boot,
	       struct boot_error *error);

/*
 * Power-on state of devices and processors; then board_load() again. Memory
 * keeps its content. Only while the vCPUs do not run.
 */
void board_reset(struct board *board);

/* Everything that makes up the machine's state, for save and load. */
unsigned int board_state_items(struct board *board, struct state_item *items,
			       unsigned int max);

#endif
