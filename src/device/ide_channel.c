/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel's registers (ATA/ATAPI-7, volume 2, 6 and 9): the command block,
 * device control, resets, commands on their way to a drive. Both drives keep
 * what is written; the selected one answers. A drive that is not there reads
 * as zeros.
 */
#include "device/ide_impl.h"

#include "vm/bytes.h"

/* Where a register is in a frame: now, and what was written before. */
static const uint8_t now_at[8] = { 0, 3, 12, 4, 5, 6, 7, 2 };
static const uint8_t before_at[8] = { 0, 11, 13, 8, 9, 10, 0, 0 };

#define COMMAND_DEVICE_RESET 0x08
#define COMMAND_DIAGNOSE     0x90
#define COMMAND_PACKET	     0xa0

void ide_set_interrupt(struct ide_channel *ch, bool level)
{
	if (level && !ch->interrupt && !(ch->control & IDE_NO_IRQ))
		ch->bm_status |= IDE_BM_IRQ;
	ch->interrupt = level;
	irq_set(&ch->irq, level && !(ch->control & IDE_NO_IRQ));
}

/* --- resets ------------------------------------------------------------------- */

/* What is under way is dropped. */
static void drop(struct ide_channel *ch)
{
	ch->generation++;
	ch->phase = IDE_IDLE;
	ide_set_interrupt(ch, false);
}

static void show_signature(struct ide_drive *drive)
{
	if (!drive->ata.present)
		return;
	ata_signature(&drive->ata, drive->regs);
	drive->error = 1; /* passed */
	drive->status = drive->ata.cd ? 0 : ATA_DRDY | ATA_DSC;
}

void ide_channel_reset(struct ide_channel *ch, bool hard)
{
	drop(ch);
	ch->second = false;
	for (unsigned int i = 0; i < 2; i++) {
		struct ide_drive *drive = &ch->drive[i];

		if (hard) {
			ata_drive_reset(&drive->ata);
			memset(drive->regs, 0, sizeof(drive->regs));
			drive->status = 0;
		} else {
			ata_drive_soft_reset(&drive->ata);
		}
		show_signature(drive);
	}
	if (!hard)
		return;
	ch->control = 0;
	ch->bm_command = ch->bm_status = 0;
	ch->bm_table = 0;
	ch->prd_last = true;
	ch->piece_left = 0;
}

uint8_t ide_read_control(struct ide_channel *ch)
{
	return ide_selected(ch)->status;
}

void ide_write_control(struct ide_channel *ch, uint8_t value)
{
	uint8_t before = ch->control;

	ch->control = value & (IDE_NO_IRQ | IDE_SRST | IDE_HOB);
	if ((value & IDE_SRST) && !(before & IDE_SRST)) {
		drop(ch);
		for (unsigned int i = 0; i < 2; i++)
			if (ch->drive[i].ata.present)
				ch->drive[i].status = ATA_BSY;
	}
	if ((before & IDE_SRST) && !(value & IDE_SRST))
		ide_channel_reset(ch, false);
	irq_set(&ch->irq, ch->interrupt && !(value & IDE_NO_IRQ));
}

/* --- commands ------------------------------------------------------------------- */

static void begin(struct ide_channel *ch)
{
	struct ide_drive *drive = ide_selected(ch);
	struct ata_request *r = &ch->request;

	memcpy(r->fis, drive->regs, sizeof(r->fis));
	r->ops = &ide_ata_ops;
	r->drive = &drive->ata;
	r->protocol = ATA_NO_DATA;
	r->at_once = ATA_SECTOR;
	r->left = 0;
	r->then_flush = r->trim = false;
	r->io.error = 0;
	ch->answer = ch->fetch = false;
	ch->protocol = ATA_NO_DATA;
	ch->limit = ATA_BUFFER;
	drive->error = 0;
}

static void begin_packet(struct ide_channel *ch)
{
	struct ide_drive *drive = ide_selected(ch);

	begin(ch);
	ch->phase = IDE_TAKE_PACKET;
	ch->at = 0;
	ch->size = IDE_PACKET_SIZE;
	drive->regs[now_at[IDE_COUNT]] = IDE_REASON_COMMAND;
	drive->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
}

/* Both drives look at themselves; the first one tells. */
static void diagnose(struct ide_channel *ch)
{
	drop(ch);
	ch->second = false;
	show_signature(&ch->drive[0]);
	show_signature(&ch->drive[1]);
	ide_set_interrupt(ch, true);
}

/* A packet device alone, at any time. */
static void device_reset(struct ide_channel *ch)
{
	drop(ch);
	ata_drive_soft_reset(&ide_selected(ch)->ata);
	show_signature(ide_selected(ch));
}

static void command(struct ide_channel *ch, uint8_t value)
{
	struct ide_drive *drive = ide_selected(ch);

	if (value == COMMAND_DIAGNOSE && ch->phase == IDE_IDLE) {
		diagnose(ch);
		return;
	}
	if (!drive->ata.present)
		return;
	if (value == COMMAND_DEVICE_RESET && drive->ata.cd) {
		device_reset(ch);
		return;
	}
	if (ch->phase != IDE_IDLE || (ch->control & IDE_SRST))
		return;
	ide_set_interrupt(ch, false);
	drive->regs[now_at[IDE_STATUS]] = value;
	if (value == COMMAND_PACKET && drive->ata.cd) {
		begin_packet(ch);
		return;
	}
	drive->status = ATA_BSY;
	begin(ch);
	ata_command(&ch->request);
	ide_kick(ch);
}

/* --- the command block -------------------------------------------------------------- */

static uint8_t read_register(struct ide_channel *ch, unsigned int reg)
{
	struct ide_drive *drive = ide_selected(ch);
	bool before = (ch->control & IDE_HOB) && before_at[reg];

	if (!drive->ata.present)
		return 0;
	switch (reg) {
	case IDE_ERROR:
		return drive->error;
	case IDE_STATUS:
		ide_set_interrupt(ch, false);
		return drive->status;
	case IDE_DEVICE:
		return (uint8_t)((drive->regs[now_at[reg]] & ~IDE_SECOND) |
				 (ch->second ? IDE_SECOND : 0));
	default:
		return drive->regs[before ? before_at[reg] : now_at[reg]];
	}
}

static void write_register(struct ide_channel *ch, unsigned int reg,
			   uint8_t value)
{
	ch->control &= (uint8_t)~IDE_HOB;
	if (reg == IDE_STATUS) {
		command(ch, value);
		return;
	}
	if (ch->phase != IDE_IDLE || (ch->control & IDE_SRST))
		return;
	if (reg == IDE_DEVICE)
		ch->second = value & IDE_SECOND;
	for (unsigned int i = 0; i < 2; i++) {
		uint8_t *regs = ch->drive[i].regs;

		if (before_at[reg])
			regs[before_at[reg]] = regs[now_at[reg]];
		regs[now_at[reg]] = value;
	}
}

uint64_t ide_read(struct ide_channel *ch, unsigned int reg, unsigned int size)
{
	uint64_t value = 0;

	if (reg == IDE_DATA)
		return ide_data_read(ch, size);
	for (unsigned int i = 0; i < size; i++)
		value |= (uint64_t)read_register(ch, reg + i) << 8 * i;
	return value;
}

void ide_write(struct ide_channel *ch, unsigned int reg, unsigned int size,
	       uint64_t value)
{
	if (reg == IDE_DATA) {
		ide_data_write(ch, size, (uint32_t)value);
		return;
	}
	for (unsigned int i = 0; i < size; i++)
		write_register(ch, reg + i, (uint8_t)(value >> 8 * i));
}
