/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads, writes and formats of the floppy controller (82077AA, 5.1): a sector
 * at a time between the block and a buffer, and between that and the host, by
 * DMA or, told so by SPECIFY, byte by byte. There is no overrun: the disk
 * waits for the host. A drive without a disk in it reads like a disk that was
 * never formatted.
 */
#include "device/fdc_impl.h"

#include "vm/bytes.h"

#define FORMAT_UNIT 4 /* bytes: C, H, R, N of a sector */
#define TURN_NS	    200000000ull

/* --- the end of a command --------------------------------------------------------- */

static void finish(struct fdc *fdc, uint8_t st0, uint8_t st1, uint8_t st2)
{
	uint8_t unit = fdc->fifo[1] & FDC_DOR_UNIT;

	fdc->fifo[0] = (uint8_t)(st0 | fdc->head << 2 | unit);
	fdc->fifo[1] = st1;
	fdc->fifo[2] = st2;
	fdc->fifo[3] = fdc->c;
	fdc->fifo[4] = fdc->h;
	fdc->fifo[5] = fdc->r;
	fdc->fifo[6] = fdc->n;
	fdc_result(fdc, 7);
	fdc_set_interrupt(fdc, true);
}

static void fail(struct fdc *fdc, uint8_t st1, uint8_t st2)
{
	finish(fdc, FDC_ST0_ABNORMAL, st1, st2);
}

void fdc_disk_gone(struct fdc *fdc, unsigned int unit)
{
	bool moving = fdc->phase == FDC_DATA || fdc->phase == FDC_DISK;

	if (moving && (fdc->fifo[1] & FDC_DOR_UNIT) == unit)
		fail(fdc, FDC_ST1_NO_MARK, 0);
}

/* --- where on the disk -------------------------------------------------------------- */

/* The drive, if there are sectors under the head that it can tell apart. */
static struct fdc_drive *readable(struct fdc *fdc)
{
	unsigned int unit = fdc->fifo[1] & FDC_DOR_UNIT;
	struct fdc_drive *drive = fdc_drive_of(fdc, unit);
	const struct floppy_format *format = drive ? drive->format : NULL;

	if (!format || !(format->rates >> fdc_rate(fdc) & 1) ||
	    !(fdc->fifo[0] & FDC_MFM) || fdc->head >= format->heads ||
	    drive->cylinder >= format->cylinders)
		return NULL;
	return drive;
}

static uint32_t sector_at(const struct fdc_drive *drive, unsigned int head,
			  unsigned int r)
{
	const struct floppy_format *format = drive->format;
	uint32_t track = (uint32_t)drive->cylinder * format->heads + head;

	return track * format->sectors + r - 1;
}

/* The sector after this one. False: the command's last track has ended. */
static bool next_id(struct fdc *fdc)
{
	if (fdc->r != fdc->last) {
		fdc->r++;
		return true;
	}
	fdc->r = 1;
	if (fdc->fifo[0] & FDC_MULTITRACK) {
		fdc->h ^= 1;
		fdc->head ^= 1;
		if (fdc->head)
			return true;
	}
	fdc->c++;
	return false;
}

void fdc_read_id(struct fdc *fdc)
{
	const struct fdc_drive *drive;
	uint64_t now = clock_now(&fdc->vm->clock);

	fdc->head = fdc->fifo[1] >> 2 & 1;
	drive = readable(fdc);
	if (!drive) {
		fail(fdc, FDC_ST1_NO_MARK, 0);
		return;
	}
	fdc->c = drive->cylinder;
	fdc->h = fdc->head;
	fdc->r = (uint8_t)(1 + now % TURN_NS * drive->format->sectors /
				       TURN_NS);
	fdc->n = FDC_SIZE_CODE;
	finish(fdc, 0, 0, 0);
}

/* --- sectors ------------------------------------------------------------------------- */

static unsigned int unit_size(const struct fdc *fdc)
{
	return fdc->kind == FDC_FORMAT ? FORMAT_UNIT : FDC_SECTOR;
}

/* The buffer wants bytes, or has some. */
static void data_ready(struct fdc *fdc)
{
	fdc->phase = FDC_DATA;
	fdc->moved = 0;
	if (fdc_no_dma(fdc))
		fdc_set_interrupt(fdc, true);
}

static void use_disk(struct fdc *fdc)
{
	fdc->phase = FDC_DISK;
	host_work_queue(fdc->vm->worker, &fdc->work);
}

/* Finds the next sector; false: the command failed for it. */
static bool find_sector(struct fdc *fdc)
{
	struct fdc_drive *drive = readable(fdc);
	bool skipped = fdc->deleted && (fdc->fifo[0] & FDC_SKIP);

	if (!drive) {
		fail(fdc, FDC_ST1_NO_MARK, 0);
	} else if (fdc->kind == FDC_WRITE && drive->block->readonly) {
		fail(fdc, FDC_ST1_PROTECT, 0);
	} else if (fdc->c != drive->cylinder) {
		fail(fdc, FDC_ST1_NO_DATA, FDC_ST2_CYLINDER);
	} else if (fdc->h != fdc->head || fdc->n != FDC_SIZE_CODE ||
		   !fdc->r || fdc->r > drive->format->sectors || skipped) {
		fail(fdc, FDC_ST1_NO_DATA, 0);
	} else {
		fdc->sector = sector_at(drive, fdc->head, fdc->r);
		return true;
	}
	return false;
}

static void begin_sector(struct fdc *fdc)
{
	if (!find_sector(fdc))
		return;
	if (fdc->kind == FDC_READ)
		use_disk(fdc);
	else
		data_ready(fdc);
}

/* A sector was read and taken, or given and written. */
static void sector_done(struct fdc *fdc)
{
	bool more = next_id(fdc);

	if (fdc->ended || fdc->deleted)
		finish(fdc, 0, 0, fdc->deleted ? FDC_ST2_CONTROL : 0);
	else if (!more)
		fail(fdc, FDC_ST1_END, 0);
	else
		begin_sector(fdc);
}

static void verify_sectors(struct fdc *fdc)
{
	/* Bit 7 here: as many as the last byte says. */
	unsigned int left = fdc->fifo[1] & 0x80 ? fdc->fifo[8] : 0x200;

	while (find_sector(fdc)) {
		if (!next_id(fdc) || !--left) {
			finish(fdc, 0, 0, 0);
			return;
		}
	}
}

void fdc_transfer_start(struct fdc *fdc, enum fdc_kind kind, bool deleted)
{
	fdc->kind = (uint8_t)kind;
	fdc->deleted = deleted;
	fdc->ended = false;
	fdc->head = fdc->fifo[1] >> 2 & 1;
	fdc->c = fdc->fifo[2];
	fdc->h = fdc->fifo[3];
	fdc->r = fdc->fifo[4];
	fdc->n = fdc->fifo[5];
	fdc->last = fdc->fifo[6];
	if (fdc->config & FDC_CONFIG_SEEK)
		fdc_step(fdc, fdc->fifo[1] & FDC_DOR_UNIT, fdc->c);
	if (kind == FDC_VERIFY)
		verify_sectors(fdc);
	else
		begin_sector(fdc);
	fdc_pump(fdc);
}

/* --- formatting ------------------------------------------------------------------------ */

static void format_next(struct fdc *fdc)
{
	if (!fdc->left || fdc->ended) {
		finish(fdc, 0, 0, 0);
		return;
	}
	fdc->left--;
	data_ready(fdc);
}

/* What the image has no place for is not there afterwards. */
static void format_sector(struct fdc *fdc)
{
	struct fdc_drive *drive = readable(fdc);

	fdc->c = fdc->buffer[0];
	fdc->h = fdc->buffer[1];
	fdc->r = fdc->buffer[2];
	fdc->n = fdc->buffer[3];
	if (!drive || fdc->c != drive->cylinder || fdc->h != fdc->head ||
	    !fdc->r || fdc->r > drive->format->sectors ||
	    fdc->n != FDC_SIZE_CODE) {
		format_next(fdc);
		return;
	}
	memset(fdc->buffer, fdc->fifo[5], FDC_SECTOR);
	fdc->sector = sector_at(drive, fdc->head, fdc->r);
	use_disk(fdc);
}

void fdc_format_start(struct fdc *fdc)
{
	const struct fdc_drive *drive;

	fdc->kind = FDC_FORMAT;
	fdc->ended = fdc->deleted = false;
	fdc->head = fdc->fifo[1] >> 2 & 1;
	fdc->left = fdc->last = fdc->fifo[3];
	drive = readable(fdc);
	if (!drive)
		fail(fdc, FDC_ST1_NO_MARK, 0);
	else if (drive->block->readonly)
		fail(fdc, FDC_ST1_PROTECT, 0);
	else
		format_next(fdc);
	fdc_pump(fdc);
}

/* --- to and from the host ----------------------------------------------------------------- */

/* All bytes of a unit were moved, or the host wants no more. */
static void unit_done(struct fdc *fdc)
{
	if (fdc_no_dma(fdc))
		fdc_set_interrupt(fdc, false);
	switch (fdc->kind) {
	case FDC_READ:
		sector_done(fdc);
		break;
	case FDC_FORMAT:
		if (fdc->moved < FORMAT_UNIT)
			finish(fdc, 0, 0, 0);
		else
			format_sector(fdc);
		break;
	default:
		memset(fdc->buffer + fdc->moved, 0, FDC_SECTOR - fdc->moved);
		use_disk(fdc);
		break;
	}
}

void fdc_pump(void *ctx)
{
	struct fdc *fdc = ctx;

	while (fdc->phase == FDC_DATA && !fdc_no_dma(fdc) &&
	       (fdc->dor & FDC_DOR_GATE)) {
		unsigned int size = unit_size(fdc) - fdc->moved, moved;
		uint8_t *at = fdc->buffer + fdc->moved;

		if (fdc->kind == FDC_READ)
			moved = isa_dma_to_memory(fdc->dma, FDC_DMA, at, size,
						  &fdc->ended);
		else
			moved = isa_dma_from_memory(fdc->dma, FDC_DMA, at,
						    size, &fdc->ended);
		if (!moved)
			return;
		fdc->moved = (uint16_t)(fdc->moved + moved);
		if (moved == size || fdc->ended)
			unit_done(fdc);
	}
}

uint8_t fdc_data_read(struct fdc *fdc)
{
	uint8_t value = fdc->buffer[fdc->moved++];

	if (fdc->moved == FDC_SECTOR)
		unit_done(fdc);
	return value;
}

void fdc_data_write(struct fdc *fdc, uint8_t value)
{
	fdc->buffer[fdc->moved++] = value;
	if (fdc->moved == unit_size(fdc))
		unit_done(fdc);
}

/* --- to and from the disk ------------------------------------------------------------------ */

static void io_over(struct fdc *fdc)
{
	fdc->under_way = false;
	host_event_set(&fdc->idle);
	if (fdc->io_generation != fdc->generation)
		return;
	if (fdc->io.error) {
		fail(fdc, FDC_ST1_CRC, FDC_ST2_CRC);
	} else if (fdc->kind == FDC_READ) {
		memcpy(fdc->buffer, fdc->io_buffer, FDC_SECTOR);
		data_ready(fdc);
	} else if (fdc->kind == FDC_FORMAT) {
		format_next(fdc);
	} else {
		sector_done(fdc);
	}
	fdc_pump(fdc);
}

/* Any thread, no lock held. */
static void io_done(struct block_request *io)
{
	struct fdc *fdc = io->ctx;

	host_lock(&fdc->vm->device_lock);
	io_over(fdc);
	if (fdc->phase == FDC_DISK)
		host_work_queue(fdc->vm->worker, &fdc->work);
	host_unlock(&fdc->vm->device_lock);
}

/* Held: the device lock, which is given back meanwhile. */
static void submit(struct fdc *fdc, struct block *block)
{
	struct host_lock *lock = &fdc->vm->device_lock;
	bool over;

	memcpy(fdc->io_buffer, fdc->buffer, FDC_SECTOR);
	fdc->span = (struct span){ fdc->io_buffer, FDC_SECTOR };
	fdc->io = (struct block_request){
		.op = fdc->kind == FDC_READ ? BLOCK_READ : BLOCK_WRITE,
		.offset = (uint64_t)fdc->sector * FDC_SECTOR,
		.length = FDC_SECTOR,
		.span = &fdc->span,
		.spans = 1,
		.done = io_done,
		.ctx = fdc,
	};
	fdc->io_generation = fdc->generation;
	fdc->under_way = true;
	host_unlock(lock);
	over = block_submit(block, &fdc->io);
	host_lock(lock);
	if (over)
		io_over(fdc);
}

void fdc_work(void *ctx)
{
	struct fdc *fdc = ctx;

	host_lock(&fdc->vm->device_lock);
	while (fdc->phase == FDC_DISK && !fdc->under_way && !fdc->still) {
		unsigned int unit = fdc->fifo[1] & FDC_DOR_UNIT;
		struct fdc_drive *drive = fdc_drive_of(fdc, unit);

		if (drive && drive->block)
			submit(fdc, drive->block);
		else /* a saved state of another machine */
			fail(fdc, FDC_ST1_NO_MARK, 0);
	}
	host_unlock(&fdc->vm->device_lock);
}
