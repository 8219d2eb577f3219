/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine is made of; the contract for users is board.h. */
#ifndef LODGE_BOARD_PC_H
#define LODGE_BOARD_PC_H

#include "board/board.h"
#include "board/e820.h"
#include "board/pci_layout.h"
#include "board/smbios.h"
#include "chip/acpi_pm.h"
#include "chip/hpet.h"
#include "chip/i8042.h"
#include "chip/ich9_lpc.h"
#include "chip/ioapic.h"
#include "chip/irqchip.h"
#include "chip/isa_dma.h"
#include "chip/lapic.h"
#include "chip/pci_host.h"
#include "chip/pci_port.h"
#include "chip/pic.h"
#include "chip/pit.h"
#include "chip/ps2_keyboard.h"
#include "chip/ps2_mouse.h"
#include "chip/reset.h"
#include "chip/rtc.h"
#include "chip/testdev.h"
#include "chip/uart.h"
#include "virtio/balloon.h"
#include "virtio/console.h"
#include "virtio/rng.h"

#include "board/rom.h"
#include "device/i6300esb.h"
#include "device/vga_pci.h"

#define BOARD_NAME_MAX 64

/* What a saved state must agree on, and the VM's time. */
struct board_record {
	struct clock *clock;
	uint64_t memory_here;
	uint32_t cpus_here;
	uint64_t memory;
	uint32_t cpus;
	uint64_t time; /* VM ns */
};

/* A root port, and what was made to be plugged into it. */
struct board_slot {
	struct board *board;
	unsigned int unit; /* of the VM; 0: nothing */
	struct pci_port port;
};

enum drive_kind {
	DRIVE_AHCI,
	DRIVE_IDE,
	DRIVE_FLOPPY,
};

/* A drive whose medium can be changed. */
struct board_removable {
	enum drive_kind kind;
	unsigned int place; /* on its controller */
};

struct board {
	struct vm vm;
	char name[BOARD_NAME_MAX];
	uint64_t memory;
	unsigned int cpus;
	const char *const *words;
	unsigned int word_count;
	const struct engine *engine;
	void *engine_vm; /* NULL: not open */
	bool engine_open;
	unsigned int cpus_open;
	struct cpuid_policy cpuid;
	struct board_record record;
	const struct board_firmware *firmware; /* NULL: none */
	struct rom rom;

	struct gsi_router router;
	struct lapic_set lapics;
	struct lapic lapic[VM_CPUS_MAX];
	struct ioapic ioapic;
	struct pic pic;
	struct pit pit;
	struct rtc rtc;
	struct acpi_pm pm;
	struct hpet hpet;
	struct i8042 i8042;
	struct ps2_keyboard keyboard;
	struct ps2_mouse mouse;
	struct reset reset;
	struct isa_dma dma;
	uint8_t floppy_type[BOARD_FLOPPIES_MAX]; /* 0: no drive */
	struct fdc *fdc; /* NULL: none */
	struct pci_layout pci_layout;
	struct pci_host pci;
	struct ich9_lpc lpc;
	bool display;
	struct vga_pci vga;
	struct virtio_rng rng;
	struct virtio_balloon balloon;
	struct virtio_console *console; /* NULL: none */
	struct virtio_vsock *vsock; /* NULL: none */
	struct nic *nic[BOARD_NICS_MAX];
	struct board_slot slot[BOARD_PORTS_MAX];
	unsigned int slots;
	struct ahci *ahci; /* NULL: none */
	struct ide *ide;   /* likewise */
	struct board_removable drive[BOARD_DRIVES_MAX];
	unsigned int drives;
	struct i6300esb dog; /* watchdog, where one is wanted */
	struct xhci *xhci; /* NULL: none, nor the two on it */
	struct usb_keyboard *usb_keyboard;
	struct usb_tablet *usb_tablet;
	unsigned int nvmes; /* controllers made so far */
	void (*let_go)(void *ctx, unsigned int place);
	void *let_go_ctx;
	struct uart com1, com2;
	struct testdev testdev;
};

extern const struct state_class board_record_class;

/* Interrupt line `line` of the PC: to our controllers or the engine's. */
struct irq board_irq(struct board *board, unsigned int line);

/* pc_legacy.c: what PCs had before PCI. Negative vm/error.h. */
int legacy_add(struct board *board, const struct board_config *config);
int legacy_add_ide(struct board *board, const struct board_config *config);

/* input.c: a USB controller with keyboard and tablet. -ENOMEM, -ENOSPC. */
int input_add_usb(struct board *board);

/* firmware.c: what SMBIOS tells of the machine. */
struct smbios_machine board_smbios(struct board *board);

/*
 * What firmware would leave behind: tables in ROM, the BIOS data area, the
 * processors' memory types. *rsdp: where the RSDP is. -ENOMEM, -EFAULT.
 */
int firmware_write(struct board *board, uint64_t *rsdp);

/* Notes drives whose medium can be changed, and where they are. */
void drive_list(struct board *board, const struct board_config *config);

/* nic.c: the network cards. -ENOMEM, -ENOSPC. */
int nic_add_all(struct board *board, const struct board_config *config);

/* The next slot's root port, on bus 0. -ENOSPC. */
int slot_add(struct board *board);

/* A virtio or NVMe disk as a function of its own, on no bus. -ENOMEM, -ENOSPC. */
int board_disk_create(struct board *board, const struct board_disk *disk,
		      struct pci_device **pci);

/* The same for a shared folder. */
int board_share_create(struct board *board, const struct board_share *share,
		       struct pci_device **pci);

/* Memory sizes in the RTC's NVRAM, where PC firmware keeps them. */
void firmware_set_nvram(struct board *board);

#endif
