/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What PCs had before PCI, for systems of that time: DMA controllers and the
 * floppy controller with its drives, whose types are those of the disks in
 * them; and IDE, which lies on PCI and where it was before.
 */
#include "board/layout.h"
#include "board/pc.h"
#include "device/fdc.h"
#include "device/ide.h"
#include "vm/error.h"

unsigned int board_floppy_type(uint64_t size)
{
	const struct floppy_format *format = floppy_format_of(size);

	return format ? format->drive : FLOPPY_NONE;
}

/* A controller for the drives; with none there is none. */
static int add_floppies(struct board *board, const struct board_config *config)
{
	const struct irq irq = board_irq(board, LAYOUT_IRQ_FDC);
	int err;

	if (!config->floppies)
		return 0;
	if (config->floppies > BOARD_FLOPPIES_MAX)
		return -VM_EINVAL;
	err = fdc_create(&board->fdc, &board->vm, &irq, &board->dma);
	for (unsigned int i = 0; i < config->floppies && !err; i++) {
		struct block *block = config->floppy[i];
		unsigned int type = block ? board_floppy_type(block->size)
					  : FLOPPY_1440K;

		board->floppy_type[i] = (uint8_t)type;
		err = fdc_add(board->fdc, i, (enum floppy_drive)type, block);
	}
	return err;
}

int legacy_add(struct board *board, const struct board_config *config)
{
	int err = isa_dma_init(&board->dma, &board->vm);

	return err ? err : add_floppies(board, config);
}

/* A controller for the drives that want one; with none there is none. */
int legacy_add_ide(struct board *board, const struct board_config *config)
{
	const struct irq irq[IDE_CHANNELS] = {
		board_irq(board, LAYOUT_IRQ_IDE),
		board_irq(board, LAYOUT_IRQ_IDE + 1),
	};
	unsigned int count = 0;
	int err;

	for (unsigned int i = 0; i < config->disks; i++)
		count += config->disk[i].bus == BOARD_IDE;
	if (!count)
		return 0;
	if (count > BOARD_IDE_MAX)
		return -VM_EINVAL;
	err = ide_create(&board->ide, &board->vm, irq);
	if (err)
		return err;
	count = 0;
	for (unsigned int i = 0; i < config->disks; i++) {
		const struct board_disk *disk = &config->disk[i];
		const struct ide_drive_config drive = {
			.block = disk->block,
			.serial = disk->serial,
			.cd = disk->cd,
		};

		if (disk->bus == BOARD_IDE)
			ide_add(board->ide, count++, &drive);
	}
	return pci_attach(&board->pci.root, ide_pci(board->ide),
			  PCI_DEVFN(LAYOUT_SLOT_IDE, 1));
}
