/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands of the floppy controller (82077AA, 5): which there are, and those
 * that move no data. Heads move in no time. Left out: the scan commands.
 */
#include "device/fdc_impl.h"

#include "vm/bytes.h"

#define VERSION_82077AA 0x90

#define SEEK_INWARDS   0x40 /* of a relative seek */
#define RECALIBRATE_STEPS 79

#define PERPENDICULAR_SET 0x80 /* bits for drives are meant as well */

static unsigned int unit_of(const struct fdc *fdc)
{
	return fdc->fifo[1] & FDC_DOR_UNIT;
}

/* --- heads ---------------------------------------------------------------------- */

/* Pulses reached the drive: it looks whether there is a disk. */
static void stepped(struct fdc_drive *drive)
{
	if (drive->block)
		drive->changed = false;
}

void fdc_step(struct fdc *fdc, unsigned int unit, unsigned int to)
{
	struct fdc_drive *drive = fdc_drive_of(fdc, unit);
	int by = (int)to - fdc->cylinder[unit], at;

	fdc->cylinder[unit] = (uint8_t)to;
	if (!drive || !by)
		return;
	stepped(drive);
	at = drive->cylinder + by;
	if (at < 0)
		at = 0;
	if (at >= FDC_CYLINDERS)
		at = FDC_CYLINDERS - 1;
	drive->cylinder = (uint8_t)at;
}

static void seek_over(struct fdc *fdc, unsigned int unit, uint8_t st0)
{
	fdc->seek_st0[unit] = (uint8_t)(FDC_ST0_SEEK_END | st0 | unit);
	fdc->seek_done |= (uint8_t)(1u << unit);
	fdc_set_interrupt(fdc, true);
}

static void seek(struct fdc *fdc)
{
	fdc_step(fdc, unit_of(fdc), fdc->fifo[2]);
	seek_over(fdc, unit_of(fdc), fdc->fifo[1] & 4);
}

static void relative_seek(struct fdc *fdc)
{
	unsigned int unit = unit_of(fdc), by = fdc->fifo[2];
	unsigned int from = fdc->cylinder[unit];

	if (fdc->fifo[0] & SEEK_INWARDS)
		fdc_step(fdc, unit, from + by > 0xff ? 0xff : from + by);
	else
		fdc_step(fdc, unit, from < by ? 0 : from - by);
	seek_over(fdc, unit, fdc->fifo[1] & 4);
}

/* Outwards until the drive says that it is at track 0, if there is one. */
static void recalibrate(struct fdc *fdc)
{
	unsigned int unit = unit_of(fdc);
	struct fdc_drive *drive = fdc_drive_of(fdc, unit);
	uint8_t st0 = FDC_ST0_ABNORMAL | FDC_ST0_CHECK;

	fdc->cylinder[unit] = 0;
	if (drive) {
		if (drive->cylinder)
			stepped(drive);
		if (drive->cylinder > RECALIBRATE_STEPS) {
			drive->cylinder -= RECALIBRATE_STEPS;
		} else {
			drive->cylinder = 0;
			st0 = 0;
		}
	}
	seek_over(fdc, unit, st0);
}

/* --- what it tells ----------------------------------------------------------------- */

static void sense_interrupt(struct fdc *fdc)
{
	unsigned int unit;

	if (fdc->senses) {
		unit = FDC_UNITS - fdc->senses--;
		fdc->fifo[0] = (uint8_t)(FDC_ST0_POLLED | unit);
	} else if (fdc->seek_done) {
		unit = (unsigned int)__builtin_ctz(fdc->seek_done);
		fdc->fifo[0] = fdc->seek_st0[unit];
		fdc->seek_done &= (uint8_t)(fdc->seek_done - 1);
	} else {
		fdc->fifo[0] = FDC_ST0_INVALID;
		fdc_result(fdc, 1);
		return;
	}
	fdc_set_interrupt(fdc, fdc->seek_done);
	fdc->fifo[1] = fdc->cylinder[unit];
	fdc_result(fdc, 2);
}

static void sense_drive(struct fdc *fdc)
{
	const struct fdc_drive *drive = fdc_drive_of(fdc, unit_of(fdc));
	uint8_t value = FDC_ST3_ONES | (fdc->fifo[1] & 7);

	if (drive && !drive->cylinder)
		value |= FDC_ST3_TRACK0;
	if (drive && drive->block && drive->block->readonly)
		value |= FDC_ST3_PROTECT;
	fdc->fifo[0] = value;
	fdc_result(fdc, 1);
}

static void version(struct fdc *fdc)
{
	fdc->fifo[0] = VERSION_82077AA;
	fdc_result(fdc, 1);
}

static void dump(struct fdc *fdc)
{
	memcpy(fdc->fifo, fdc->cylinder, FDC_UNITS);
	memcpy(fdc->fifo + 4, fdc->specify, 2);
	fdc->fifo[6] = fdc->last;
	fdc->fifo[7] = (uint8_t)(fdc->locked << 7 |
				 (fdc->perpendicular & 0x3f));
	fdc->fifo[8] = fdc->config;
	fdc->fifo[9] = fdc->precompensation;
	fdc_result(fdc, 10);
}

/* --- settings ---------------------------------------------------------------------- */

static void specify(struct fdc *fdc)
{
	memcpy(fdc->specify, fdc->fifo + 1, 2);
}

static void configure(struct fdc *fdc)
{
	fdc->config = fdc->fifo[2] & 0x7f;
	fdc->precompensation = fdc->fifo[3];
}

static void perpendicular(struct fdc *fdc)
{
	uint8_t value = fdc->fifo[1];

	if (value & PERPENDICULAR_SET)
		fdc->perpendicular = value & 0x3f;
	else
		fdc->perpendicular = (uint8_t)((fdc->perpendicular & 0x3c) |
					       (value & 0x03));
}

static void lock(struct fdc *fdc)
{
	fdc->locked = fdc->fifo[0] & 0x80;
	fdc->fifo[0] = (uint8_t)(fdc->locked << 4);
	fdc_result(fdc, 1);
}

/* --- the table ----------------------------------------------------------------------- */

static void read_data(struct fdc *fdc)
{
	fdc_transfer_start(fdc, FDC_READ, false);
}

static void read_deleted(struct fdc *fdc)
{
	fdc_transfer_start(fdc, FDC_READ, true);
}

/* From the index hole on, whatever the command says. */
static void read_track(struct fdc *fdc)
{
	fdc->fifo[4] = 1;
	fdc_transfer_start(fdc, FDC_READ, false);
}

/* Images keep no marks: deleted data is data. */
static void write_data(struct fdc *fdc)
{
	fdc_transfer_start(fdc, FDC_WRITE, false);
}

static void verify(struct fdc *fdc)
{
	fdc_transfer_start(fdc, FDC_VERIFY, false);
}

static const struct command {
	uint8_t mask, value, size;
	void (*run)(struct fdc *fdc);
} commands[] = {
	{ 0x1f, 0x06, 8, read_data },
	{ 0x1f, 0x0c, 8, read_deleted },
	{ 0x3f, 0x05, 8, write_data },
	{ 0x3f, 0x09, 8, write_data },
	{ 0x9f, 0x02, 8, read_track },
	{ 0x1f, 0x16, 8, verify },
	{ 0xbf, 0x0d, 5, fdc_format_start },
	{ 0xbf, 0x0a, 1, fdc_read_id },
	{ 0xff, 0x03, 2, specify },
	{ 0xff, 0x04, 1, sense_drive },
	{ 0xff, 0x07, 1, recalibrate },
	{ 0xff, 0x08, 0, sense_interrupt },
	{ 0xff, 0x0e, 0, dump },
	{ 0xff, 0x0f, 2, seek },
	{ 0xff, 0x10, 0, version },
	{ 0xff, 0x12, 1, perpendicular },
	{ 0xff, 0x13, 3, configure },
	{ 0x7f, 0x14, 0, lock },
	{ 0xbf, 0x8f, 2, relative_seek },
};

static const struct command *find(uint8_t value)
{
	for (unsigned int i = 0; i < sizeof(commands) / sizeof(commands[0]);
	     i++)
		if ((value & commands[i].mask) == commands[i].value)
			return &commands[i];
	return NULL;
}

unsigned int fdc_command_size(uint8_t value)
{
	const struct command *command = find(value);

	return command ? command->size : 0;
}

void fdc_command_run(struct fdc *fdc)
{
	const struct command *command = find(fdc->fifo[0]);

	if (command) {
		command->run(fdc);
		return;
	}
	fdc->fifo[0] = FDC_ST0_INVALID;
	fdc_result(fdc, 1);
}
