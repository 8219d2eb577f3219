/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floppy disk controller 82077AA (Intel datasheet 290166) as wired in a PC:
 * ports 0x3f0-0x3f5 and 0x3f7, two drives over struct blocks, DMA channel 2.
 */
#ifndef LODGE_DEVICE_FDC_H
#define LODGE_DEVICE_FDC_H

#include <stdbool.h>
#include <stdint.h>

#include "chip/isa_dma.h"
#include "vm/block.h"
#include "vm/irq.h"
#include "vm/vm.h"

#define FDC_DRIVES 2
#define FDC_DMA	   2 /* channel */

/* Drives, numbered as in a PC's NVRAM. */
enum floppy_drive {
	FLOPPY_NONE,
	FLOPPY_360K,
	FLOPPY_1200K,
	FLOPPY_720K,
	FLOPPY_1440K,
	FLOPPY_2880K,
};

/* A disk with sectors of 512 bytes, as its image's size tells. */
struct floppy_format {
	uint32_t size;
	uint8_t cylinders, heads, sectors;
	uint8_t rates; /* a bit for each value of the data rate register */
	enum floppy_drive drive; /* that it belongs in */
};

/* NULL: no disk has this size. */
const struct floppy_format *floppy_format_of(uint64_t size);

/* Whether a drive of that type reads such disks. */
bool floppy_fits(enum floppy_drive type, const struct floppy_format *format);

struct fdc;

/* `irq` is kept. -ENOMEM, -ENOSPC, -EEXIST. The VM's end frees it. */
int fdc_create(struct fdc **fdc, struct vm *vm, const struct irq *irq,
	       struct isa_dma *dma);

/*
 * A drive, with a disk in it or, `block` NULL, without. Only while the
 * machine is being built; the block stays the caller's. -EINVAL: it has no
 * size of a disk that the drive reads.
 */
int fdc_add(struct fdc *fdc, unsigned int drive, enum floppy_drive type,
	    struct block *block);

/*
 * Changes a drive's disk; `block` NULL: there is none then. The old one is not
 * used any more; a command that was at it has failed. On the thread that
 * resets and saves, the device lock not held. -EINVAL: as above.
 */
int fdc_change(struct fdc *fdc, unsigned int drive, struct block *block);

extern const struct device_class fdc_class;

#endif
