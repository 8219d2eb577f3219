/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks and shares that are plugged in and out while the machine runs: into
 * slots of PCI Express, which are root ports, and into ports of the SATA
 * controller. What
 * was made for a slot is one unit of the VM, which ends when the guest has let
 * it go or it was pulled out.
 */
#include "board/layout.h"
#include "board/pc.h"
#include "device/ahci.h"
#include "vm/error.h"

static void let_go(void *ctx, struct pci_device *pci)
{
	struct board_slot *slot = ctx;
	struct board *board = slot->board;

	if (board->let_go)
		board->let_go(board->let_go_ctx,
			      (unsigned int)(slot - board->slot));
}

int slot_add(struct board *board)
{
	unsigned int index = board->slots;
	struct board_slot *slot = &board->slot[index];
	int err;

	if (index == BOARD_PORTS_MAX)
		return -VM_ENOSPC;
	slot->board = board;
	err = pci_port_init(&slot->port, &board->vm, index + 1);
	slot->port.released = let_go;
	slot->port.released_ctx = slot;
	if (!err)
		err = pci_attach(&board->pci.root, &slot->port.pci,
				 PCI_DEVFN(LAYOUT_SLOT_PORTS, index));
	if (!err)
		board->slots++;
	return err;
}

static struct board_slot *free_slot(struct board *board)
{
	for (unsigned int i = 0; i < board->slots; i++)
		if (!board->slot[i].unit)
			return &board->slot[i];
	return NULL;
}

static int create_disk(struct board *board, const void *what,
		       struct pci_device **pci)
{
	return board_disk_create(board, what, pci);
}

static int create_share(struct board *board, const void *what,
			struct pci_device **pci)
{
	return board_share_create(board, what, pci);
}

static int plug_function(struct board *board, const void *what,
			 int (*create)(struct board *board, const void *what,
				       struct pci_device **pci),
			 unsigned int *place)
{
	struct board_slot *slot = free_slot(board);
	struct vm *vm = &board->vm;
	struct pci_device *pci;
	unsigned int unit;
	int err;

	if (!slot)
		return -VM_ENOSPC;
	host_lock(&vm->device_lock);
	unit = vm_begin_unit(vm);
	err = create(board, what, &pci);
	vm_end_unit(vm);
	if (!err)
		err = pci_port_plug(&slot->port, pci);
	host_unlock(&vm->device_lock);
	if (err) {
		vm_remove_unit(vm, unit);
		return err;
	}
	slot->unit = unit;
	*place = (unsigned int)(slot - board->slot);
	return 0;
}

static int plug_drive(struct board *board, const struct board_disk *disk,
		      unsigned int *place)
{
	const struct ahci_drive drive = {
		.block = disk->block,
		.serial = disk->serial,
	};
	unsigned int port = 0;

	if (!board->ahci)
		return -VM_ENOENT;
	host_lock(&board->vm.device_lock);
	while (port < BOARD_SATA_MAX && ahci_has(board->ahci, port))
		port++;
	if (port < BOARD_SATA_MAX)
		ahci_plug(board->ahci, port, &drive);
	host_unlock(&board->vm.device_lock);
	*place = BOARD_PORTS_MAX + port;
	return port < BOARD_SATA_MAX ? 0 : -VM_ENOSPC;
}

int board_plug_disk(struct board *board, const struct board_disk *disk,
		    unsigned int *place)
{
	switch (disk->bus) {
	case BOARD_VIRTIO:
	case BOARD_NVME:
		return plug_function(board, disk, create_disk, place);
	case BOARD_AHCI:
		return plug_drive(board, disk, place);
	default:
		return -VM_EINVAL;
	}
}

int board_plug_share(struct board *board, const struct board_share *share,
		     unsigned int *place)
{
	return plug_function(board, share, create_share, place);
}

void board_ask(struct board *board, unsigned int place)
{
	if (place >= BOARD_PORTS_MAX) {
		board_pull(board, place);
		if (board->let_go)
			board->let_go(board->let_go_ctx, place);
		return;
	}
	host_lock(&board->vm.device_lock);
	pci_port_ask(&board->slot[place].port);
	host_unlock(&board->vm.device_lock);
}

void board_pull(struct board *board, unsigned int place)
{
	struct pci_device *pci;

	if (place >= BOARD_PORTS_MAX) {
		ahci_unplug(board->ahci, place - BOARD_PORTS_MAX);
		return;
	}
	host_lock(&board->vm.device_lock);
	pci = pci_port_pull(&board->slot[place].port);
	/* Off the bus: ends what is under way. */
	if (pci)
		pci_device_reset(pci);
	host_unlock(&board->vm.device_lock);
}

void board_clear(struct board *board, unsigned int place)
{
	if (place >= BOARD_PORTS_MAX || !board->slot[place].unit)
		return;
	vm_remove_unit(&board->vm, board->slot[place].unit);
	board->slot[place].unit = 0;
}
