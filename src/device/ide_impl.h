/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the IDE controller share: channels, their drives, and the
 * command that is on its way on each.
 *
 * Everything is guarded by the VM's device lock, which is given back only
 * while a block works. A block has a buffer of its own, so that a reset, which
 * drops what it does, may be followed at once by another command; a little one
 * gets its request on the processor's thread, which keeps the lock. Data goes
 * through the request's buffer: from a block, or to it, and from there by PIO
 * or DMA to the guest, or from it.
 */
#ifndef LODGE_DEVICE_IDE_IMPL_H
#define LODGE_DEVICE_IDE_IMPL_H

#include "device/ata.h"
#include "device/ide.h"
#include "vm/host.h"

/* Registers of a channel */
#define IDE_DATA    0
#define IDE_ERROR   1 /* written: features */
#define IDE_COUNT   2 /* of a packet device: why it interrupts */
#define IDE_LOW	    3
#define IDE_MIDDLE  4
#define IDE_HIGH    5
#define IDE_DEVICE  6
#define IDE_STATUS  7 /* written: command */

#define IDE_SECOND 0x10 /* of the device register: drive 1 */

/* Device control */
#define IDE_NO_IRQ 0x02
#define IDE_SRST   0x04
#define IDE_HOB	   0x80 /* the bytes written before are read */

/* Why a packet device interrupts */
#define IDE_REASON_COMMAND 0x01 /* else data */
#define IDE_REASON_TO_HOST 0x02

#define IDE_PACKET_SIZE 12

/* Bus master registers of a channel */
#define IDE_BM_COMMAND 0
#define IDE_BM_STATUS  2
#define IDE_BM_TABLE   4

#define IDE_BM_START   0x01
#define IDE_BM_TO_HOST 0x08

#define IDE_BM_ACTIVE 0x01
#define IDE_BM_ERROR  0x02
#define IDE_BM_IRQ    0x04
#define IDE_BM_DRIVES 0x60 /* software's notes on what drives can */

enum ide_phase {
	IDE_IDLE,
	IDE_TAKE_PACKET, /* the guest writes a packet */
	IDE_TO_GUEST,	 /* it takes what is in the buffer */
	IDE_FROM_GUEST,	 /* it fills it */
	IDE_BLOCK,	 /* a request of the block is under way, or due */
	IDE_PHASES,
};

struct ide_drive {
	struct ata_drive ata;

	/* Saved. */
	uint8_t regs[ATA_FIS]; /* as in a request; see ata.h */
	uint8_t status, error;
};

struct ide_channel {
	struct ide *ide;
	struct irq irq;
	struct ide_drive drive[2];
	struct ata_request request;
	bool under_way; /* the block works on `io` */
	uint32_t generation, io_generation; /* of commands */
	struct block_request io;
	struct span span;
	uint8_t io_buffer[ATA_BUFFER];

	/* Saved. */
	uint8_t control; /* device control register */
	bool second;	 /* drive 1 is selected */
	bool interrupt;
	uint8_t phase, protocol; /* enum ata_protocol, of the request */
	bool answer;	 /* the buffer's content is all there is */
	bool fetch;	 /* it is for the command, not for the block */
	uint8_t op;	 /* enum block_op, of the transfer or due */
	uint64_t io_offset, io_length;
	/*
	 * The buffer holds `size` bytes, or has room for them; the guest is
	 * at `at` and interrupted at `stop`, at most `limit` bytes on where
	 * a packet's data goes by PIO.
	 */
	uint32_t at, stop, size, limit;
	uint8_t bm_command, bm_status;
	uint32_t bm_table;
	/* Of a DMA transfer: */
	uint32_t prd;	    /* where the next entry is */
	uint32_t piece, piece_left;
	bool prd_last;	    /* the entry that was read last ends the table */
};

struct ide {
	struct pci_device pci;
	struct vm *vm;
	struct host_work work;
	struct host_event idle;
	bool still; /* quiesced: nothing is started */
	struct ide_channel channel[IDE_CHANNELS];
};

/* --- ide_channel.c: registers and commands ----------------------------------- */

static inline struct ide_drive *ide_selected(struct ide_channel *ch)
{
	return &ch->drive[ch->second];
}

uint64_t ide_read(struct ide_channel *ch, unsigned int reg, unsigned int size);
void ide_write(struct ide_channel *ch, unsigned int reg, unsigned int size,
	       uint64_t value);
uint8_t ide_read_control(struct ide_channel *ch); /* alternate status */
void ide_write_control(struct ide_channel *ch, uint8_t value);
/* Both drives to power-on state, or as a software reset leaves them. */
void ide_channel_reset(struct ide_channel *ch, bool hard);
void ide_set_interrupt(struct ide_channel *ch, bool level);

/* --- ide_data.c: between blocks and the guest ----------------------------------- */

extern const struct ata_ops ide_ata_ops;

/* Bytes through the data register. */
uint32_t ide_data_read(struct ide_channel *ch, unsigned int size);
void ide_data_write(struct ide_channel *ch, unsigned int size,
		    uint32_t value);
/* The bus master was started: moves what waits for it. */
void ide_dma_start(struct ide_channel *ch);
/* A command of the selected drive that is at its medium fails. */
void ide_medium_gone(struct ide_channel *ch);
/* Gives the block what is due, or lets the worker. Of a processor's thread. */
void ide_kick(struct ide_channel *ch);
/* The worker's. */
void ide_work(void *ide);

#endif
