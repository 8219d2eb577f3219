/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the floppy controller share.
 *
 * Everything is guarded by the VM's device lock, which is given back only
 * while a block works on a sector. That sector has a buffer of its own, so
 * that a reset, which drops it, may be followed at once by another command.
 */
#ifndef LODGE_DEVICE_FDC_IMPL_H
#define LODGE_DEVICE_FDC_IMPL_H

#include "device/fdc.h"
#include "vm/host.h"

#define FDC_SECTOR     512u
#define FDC_SIZE_CODE  2 /* of such sectors: 128 << 2 bytes */
#define FDC_CYLINDERS  84 /* that heads can be moved to */
#define FDC_UNITS      4 /* that the controller counts for */
#define FDC_FIFO       16

/* Digital output register */
#define FDC_DOR_UNIT   0x03
#define FDC_DOR_ON     0x04 /* not in reset */
#define FDC_DOR_GATE   0x08 /* interrupt and DMA reach the bus */
#define FDC_DOR_MOTOR  0x10 /* of unit 0; others above */

/* First byte of a command, beside its number */
#define FDC_MULTITRACK 0x80
#define FDC_MFM	       0x40
#define FDC_SKIP       0x20

/* Status registers (6.1.1 and on) */
#define FDC_ST0_ABNORMAL 0x40
#define FDC_ST0_INVALID	 0x80
#define FDC_ST0_POLLED	 0xc0
#define FDC_ST0_SEEK_END 0x20
#define FDC_ST0_CHECK	 0x10
#define FDC_ST1_END	 0x80 /* of cylinder */
#define FDC_ST1_CRC	 0x20
#define FDC_ST1_NO_DATA	 0x04
#define FDC_ST1_PROTECT	 0x02
#define FDC_ST1_NO_MARK	 0x01
#define FDC_ST2_CONTROL	 0x40 /* mark is of the other kind */
#define FDC_ST2_CRC	 0x20
#define FDC_ST2_CYLINDER 0x10
#define FDC_ST3_PROTECT	 0x40
#define FDC_ST3_TRACK0	 0x10
#define FDC_ST3_ONES	 0x28

/* Configuration */
#define FDC_CONFIG_SEEK	   0x40 /* implied by transfers */
#define FDC_CONFIG_NO_FIFO 0x20
#define FDC_CONFIG_NO_POLL 0x10

enum fdc_phase {
	FDC_COMMAND, /* bytes of a command are taken */
	FDC_DATA,    /* bytes go between the buffer and the host */
	FDC_DISK,    /* a sector is read or written, or is to be */
	FDC_RESULT,
	FDC_PHASES,
};

enum fdc_kind {
	FDC_READ,
	FDC_WRITE,
	FDC_FORMAT,
	FDC_VERIFY,
	FDC_KINDS,
};

struct fdc_drive {
	enum floppy_drive type;
	struct block *block;		    /* NULL: no disk in it */
	const struct floppy_format *format; /* of the disk */

	/* Saved. */
	uint8_t cylinder; /* that the heads are at */
	bool changed;	  /* disk, since the heads were last moved */
};

struct fdc {
	struct vm *vm;
	struct irq irq;
	struct isa_dma *dma;
	struct host_work work;
	struct host_event idle;
	bool still;	/* quiesced: nothing is started */
	bool under_way; /* a request of a block */
	uint32_t generation, io_generation; /* of commands */
	struct block_request io;
	struct span span;
	uint8_t io_buffer[FDC_SECTOR];
	struct fdc_drive drive[FDC_DRIVES];

	/* Saved. */
	uint8_t dor, tape, dsr;
	uint8_t specify[2], config, precompensation, perpendicular;
	bool locked;
	uint8_t cylinder[FDC_UNITS]; /* as the controller counts */
	uint8_t seek_done, seek_st0[FDC_UNITS];
	uint8_t senses; /* left to be asked for after a reset */
	bool interrupt;
	uint8_t phase, kind;
	uint8_t fifo[FDC_FIFO]; /* command, then result */
	uint8_t at, size;	/* in it */
	/* Of a transfer: the next sector, from the command's bytes. */
	uint8_t c, h, r, n, last; /* r of its track's last one */
	uint8_t head, left; /* sectors to go, of format and verify */
	bool ended;	    /* the DMA controller has counted to its end */
	bool deleted;	    /* marks of this kind are wanted */
	uint16_t moved;	    /* bytes, of the buffer */
	uint32_t sector;    /* of the disk that is read or written */
	uint8_t buffer[FDC_SECTOR];
};

/* --- fdc.c ------------------------------------------------------------------ */

void fdc_set_interrupt(struct fdc *fdc, bool level);
/* Ends a command's execution: `size` bytes of the FIFO are its result. */
void fdc_result(struct fdc *fdc, unsigned int size);
/* The drive of a unit; NULL: none. */
struct fdc_drive *fdc_drive_of(struct fdc *fdc, unsigned int unit);
unsigned int fdc_rate(const struct fdc *fdc);

/* --- fdc_command.c ------------------------------------------------------------ */

/* How many bytes follow a command's first; any value has an answer. */
unsigned int fdc_command_size(uint8_t command);
/* All of its bytes are in the FIFO. */
void fdc_command_run(struct fdc *fdc);

/* --- fdc_transfer.c ----------------------------------------------------------- */

void fdc_transfer_start(struct fdc *fdc, enum fdc_kind kind, bool deleted);
void fdc_read_id(struct fdc *fdc);
void fdc_format_start(struct fdc *fdc);
/* Moves heads as a seek does: by what the controller believes. */
void fdc_step(struct fdc *fdc, unsigned int unit, unsigned int to);
/* A byte of a transfer without DMA. */
uint8_t fdc_data_read(struct fdc *fdc);
void fdc_data_write(struct fdc *fdc, uint8_t value);
/* A transfer from or to a drive's disk fails: it is out. */
void fdc_disk_gone(struct fdc *fdc, unsigned int unit);
/* Moves what the DMA channel takes now. */
void fdc_pump(void *fdc);
/* The worker's: gives the sector to the block. */
void fdc_work(void *fdc);
static inline bool fdc_no_dma(const struct fdc *fdc)
{
	return fdc->specify[1] & 1;
}

#endif
