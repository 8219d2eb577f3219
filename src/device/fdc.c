/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 82077AA in its AT mode (datasheet 290166; 2.1 registers, 4 resets): what the
 * ports do, the phases of a command, disks and drives, saved state. Left out:
 * status registers A and B (PS/2), power down, tape drives, units 2 and 3.
 */
#include "device/fdc.h"

#include "device/fdc_impl.h"
#include "vm/bytes.h"
#include "vm/error.h"

#define PORT_BASE 0x3f0
#define PORT_DOR  2
#define PORT_TAPE 3
#define PORT_DSR  4 /* read: main status */
#define PORT_FIFO 5
#define PORT_RATE 0x3f7 /* read: disk change line */

#define DSR_RESET 0x80
#define DSR_RATE  0x03

#define STATUS_READY   0x80
#define STATUS_TO_HOST 0x40
#define STATUS_NO_DMA  0x20
#define STATUS_BUSY    0x10

#define CHANGED 0x80

/* --- disks ------------------------------------------------------------------ */

#define RATE_500K 0x1
#define RATE_300K 0x2
#define RATE_250K 0x4
#define RATE_1M	  0x8
#define RATE_DD	  (RATE_300K | RATE_250K) /* whichever speed a drive has */

static const struct floppy_format formats[] = {
	{ 160 << 10, 40, 1, 8, RATE_DD, FLOPPY_360K },
	{ 180 << 10, 40, 1, 9, RATE_DD, FLOPPY_360K },
	{ 320 << 10, 40, 2, 8, RATE_DD, FLOPPY_360K },
	{ 360 << 10, 40, 2, 9, RATE_DD, FLOPPY_360K },
	{ 720 << 10, 80, 2, 9, RATE_DD, FLOPPY_720K },
	{ 1200 << 10, 80, 2, 15, RATE_500K, FLOPPY_1200K },
	{ 1440 << 10, 80, 2, 18, RATE_500K, FLOPPY_1440K },
	{ 2880 << 10, 80, 2, 36, RATE_1M, FLOPPY_2880K },
};

const struct floppy_format *floppy_format_of(uint64_t size)
{
	for (unsigned int i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (formats[i].size == size)
			return &formats[i];
	return NULL;
}

/* 5.25 inch drives would have to step twice for disks of fewer tracks. */
bool floppy_fits(enum floppy_drive type, const struct floppy_format *format)
{
	if (!format)
		return false;
	if (type == FLOPPY_1440K || type == FLOPPY_2880K)
		return format->drive <= type && format->drive >= FLOPPY_720K;
	return format->drive == type;
}

struct fdc_drive *fdc_drive_of(struct fdc *fdc, unsigned int unit)
{
	if (unit >= FDC_DRIVES || fdc->drive[unit].type == FLOPPY_NONE)
		return NULL;
	return &fdc->drive[unit];
}

unsigned int fdc_rate(const struct fdc *fdc)
{
	return fdc->dsr & DSR_RATE;
}

/* --- interrupt, results ------------------------------------------------------- */

static void update_interrupt(struct fdc *fdc)
{
	const uint8_t open = FDC_DOR_ON | FDC_DOR_GATE;

	irq_set(&fdc->irq, fdc->interrupt && (fdc->dor & open) == open);
}

void fdc_set_interrupt(struct fdc *fdc, bool level)
{
	fdc->interrupt = level;
	update_interrupt(fdc);
}

void fdc_result(struct fdc *fdc, unsigned int size)
{
	fdc->phase = FDC_RESULT;
	fdc->at = 0;
	fdc->size = (uint8_t)size;
}

/* --- resets ------------------------------------------------------------------- */

/* By the DOR or the DSR; what is under way is dropped. */
static void begin_reset(struct fdc *fdc)
{
	fdc->generation++;
	fdc->phase = FDC_COMMAND;
	fdc->at = fdc->size = 0;
	fdc->seek_done = fdc->senses = 0;
	fdc->perpendicular &= 0x3c;
	if (!fdc->locked) {
		fdc->config = FDC_CONFIG_NO_FIFO;
		fdc->precompensation = 0;
	}
	fdc_set_interrupt(fdc, false);
}

/* The controller polls the drives and finds that all have changed. */
static void end_reset(struct fdc *fdc)
{
	if (fdc->config & FDC_CONFIG_NO_POLL)
		return;
	fdc->senses = FDC_UNITS;
	fdc_set_interrupt(fdc, true);
}

static void reset(void *device)
{
	struct fdc *fdc = device;

	fdc->dor = fdc->tape = 0;
	fdc->dsr = 2;
	fdc->locked = false;
	fdc->perpendicular = 0;
	memset(fdc->specify, 0, sizeof(fdc->specify));
	memset(fdc->cylinder, 0, sizeof(fdc->cylinder));
	begin_reset(fdc);
	for (unsigned int i = 0; i < FDC_DRIVES; i++) {
		fdc->drive[i].cylinder = 0;
		fdc->drive[i].changed = true;
	}
}

/* --- ports -------------------------------------------------------------------- */

static void write_dor(struct fdc *fdc, uint8_t value)
{
	uint8_t before = fdc->dor;

	fdc->dor = value;
	if ((before & FDC_DOR_ON) && !(value & FDC_DOR_ON))
		begin_reset(fdc);
	if (!(before & FDC_DOR_ON) && (value & FDC_DOR_ON))
		end_reset(fdc);
	update_interrupt(fdc);
	fdc_pump(fdc);
}

static void write_dsr(struct fdc *fdc, uint8_t value)
{
	fdc->dsr = value & (uint8_t)~DSR_RESET;
	if (!(value & DSR_RESET) || !(fdc->dor & FDC_DOR_ON))
		return;
	begin_reset(fdc);
	end_reset(fdc);
}

static uint8_t main_status(const struct fdc *fdc)
{
	uint8_t value = fdc->seek_done;

	if (!(fdc->dor & FDC_DOR_ON))
		return 0;
	if (fdc->phase != FDC_COMMAND || fdc->at)
		value |= STATUS_BUSY;
	switch (fdc->phase) {
	case FDC_COMMAND:
		return value | STATUS_READY;
	case FDC_RESULT:
		return value | STATUS_READY | STATUS_TO_HOST;
	default:
		break;
	}
	if (!fdc_no_dma(fdc))
		return value;
	if (fdc->phase == FDC_DATA)
		value |= STATUS_READY;
	if (fdc->kind == FDC_READ)
		value |= STATUS_TO_HOST;
	return value | STATUS_NO_DMA;
}

static uint8_t read_fifo(struct fdc *fdc)
{
	uint8_t value;

	if (fdc->phase == FDC_DATA && fdc_no_dma(fdc) && fdc->kind == FDC_READ)
		return fdc_data_read(fdc);
	if (fdc->phase != FDC_RESULT)
		return 0;
	value = fdc->fifo[fdc->at++];
	fdc_set_interrupt(fdc, fdc->seek_done);
	if (fdc->at == fdc->size) {
		fdc->phase = FDC_COMMAND;
		fdc->at = 0;
	}
	return value;
}

static void write_fifo(struct fdc *fdc, uint8_t value)
{
	if (!(fdc->dor & FDC_DOR_ON))
		return;
	if (fdc->phase == FDC_DATA && fdc_no_dma(fdc) &&
	    fdc->kind != FDC_READ) {
		fdc_data_write(fdc, value);
		return;
	}
	if (fdc->phase != FDC_COMMAND)
		return;
	if (!fdc->at)
		fdc->size = (uint8_t)(1 + fdc_command_size(value));
	fdc->fifo[fdc->at++] = value;
	if (fdc->at < fdc->size)
		return;
	fdc->at = 0;
	fdc_command_run(fdc);
}

static uint64_t read_port(void *device, uint64_t offset, unsigned int size)
{
	struct fdc *fdc = device;

	switch (offset) {
	case PORT_DOR:
		return fdc->dor;
	case PORT_TAPE:
		return 0xfc | fdc->tape;
	case PORT_DSR:
		return main_status(fdc);
	case PORT_FIFO:
		return read_fifo(fdc);
	default:
		return 0xff;
	}
}

static void write_port(void *device, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	struct fdc *fdc = device;

	switch (offset) {
	case PORT_DOR:
		write_dor(fdc, (uint8_t)value);
		break;
	case PORT_TAPE:
		fdc->tape = value & 3;
		break;
	case PORT_DSR:
		write_dsr(fdc, (uint8_t)value);
		break;
	case PORT_FIFO:
		write_fifo(fdc, (uint8_t)value);
		break;
	default:
		break;
	}
}

/* A drive shows its line while it is selected and turns. */
static uint64_t read_change(void *device, uint64_t offset, unsigned int size)
{
	struct fdc *fdc = device;
	unsigned int unit = fdc->dor & FDC_DOR_UNIT;
	const struct fdc_drive *drive = fdc_drive_of(fdc, unit);
	bool turns = fdc->dor & FDC_DOR_MOTOR << unit;

	return drive && turns && drive->changed ? CHANGED : 0;
}

static void write_rate(void *device, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	struct fdc *fdc = device;

	fdc->dsr = (uint8_t)((fdc->dsr & ~DSR_RATE) | (value & DSR_RATE));
}

/* --- saved state ---------------------------------------------------------------- */

static int check(const void *object)
{
	const struct fdc *fdc = object;
	unsigned int unit = fdc->kind == FDC_FORMAT ? 4 : FDC_SECTOR;
	bool bytes = fdc->phase == FDC_RESULT || fdc->at;
	bool moving = fdc->phase == FDC_DATA || fdc->phase == FDC_DISK;

	if (fdc->phase >= FDC_PHASES || fdc->kind >= FDC_KINDS ||
	    fdc->size > FDC_FIFO || (bytes && fdc->at >= fdc->size) ||
	    (fdc->phase == FDC_DATA && fdc->moved >= unit) ||
	    (moving && fdc->kind == FDC_VERIFY) ||
	    fdc->moved > FDC_SECTOR || fdc->senses > FDC_UNITS ||
	    fdc->head > 1 || fdc->seek_done >> FDC_UNITS)
		return -VM_EBADMSG;
	for (unsigned int i = 0; i < FDC_DRIVES; i++)
		if (fdc->drive[i].cylinder >= FDC_CYLINDERS)
			return -VM_EBADMSG;
	return 0;
}

static void loaded(void *object)
{
	struct fdc *fdc = object;

	fdc->generation++;
}

static const struct field fdc_fields[] = {
	FIELD(struct fdc, FIELD_U8, dor),
	FIELD(struct fdc, FIELD_U8, tape),
	FIELD(struct fdc, FIELD_U8, dsr),
	FIELD_ARRAY(struct fdc, FIELD_U8, specify, 2),
	FIELD(struct fdc, FIELD_U8, config),
	FIELD(struct fdc, FIELD_U8, precompensation),
	FIELD(struct fdc, FIELD_U8, perpendicular),
	FIELD(struct fdc, FIELD_BOOL, locked),
	FIELD_ARRAY(struct fdc, FIELD_U8, cylinder, FDC_UNITS),
	FIELD(struct fdc, FIELD_U8, seek_done),
	FIELD_ARRAY(struct fdc, FIELD_U8, seek_st0, FDC_UNITS),
	FIELD(struct fdc, FIELD_U8, senses),
	FIELD(struct fdc, FIELD_BOOL, interrupt),
	FIELD(struct fdc, FIELD_U8, phase),
	FIELD(struct fdc, FIELD_U8, kind),
	FIELD_ARRAY(struct fdc, FIELD_U8, fifo, FDC_FIFO),
	FIELD(struct fdc, FIELD_U8, at),
	FIELD(struct fdc, FIELD_U8, size),
	FIELD(struct fdc, FIELD_U8, c),
	FIELD(struct fdc, FIELD_U8, h),
	FIELD(struct fdc, FIELD_U8, r),
	FIELD(struct fdc, FIELD_U8, n),
	FIELD(struct fdc, FIELD_U8, last),
	FIELD(struct fdc, FIELD_U8, head),
	FIELD(struct fdc, FIELD_U8, left),
	FIELD(struct fdc, FIELD_BOOL, ended),
	FIELD(struct fdc, FIELD_BOOL, deleted),
	FIELD(struct fdc, FIELD_U16, moved),
	FIELD(struct fdc, FIELD_U32, sector),
	FIELD_ARRAY(struct fdc, FIELD_U8, buffer, FDC_SECTOR),
	FIELD(struct fdc, FIELD_U8, drive[0].cylinder),
	FIELD(struct fdc, FIELD_BOOL, drive[0].changed),
	FIELD(struct fdc, FIELD_U8, drive[1].cylinder),
	FIELD(struct fdc, FIELD_BOOL, drive[1].changed),
};

static const struct state_class fdc_state = {
	.name = "fdc",
	.version = 1,
	.size = sizeof(struct fdc),
	.fields = fdc_fields,
	.field_count = sizeof(fdc_fields) / sizeof(fdc_fields[0]),
	.check = check,
	.loaded = loaded,
};

/* --- making one ------------------------------------------------------------------- */

static bool busy(struct fdc *fdc)
{
	bool under_way;

	host_lock(&fdc->vm->device_lock);
	fdc->still = true;
	under_way = fdc->under_way;
	host_unlock(&fdc->vm->device_lock);
	return under_way;
}

static void quiesce(void *object)
{
	struct fdc *fdc = object;

	while (busy(fdc))
		host_event_wait(&fdc->idle, UINT64_MAX);
}

static void resume(void *object)
{
	struct fdc *fdc = object;

	host_lock(&fdc->vm->device_lock);
	fdc->still = false;
	host_unlock(&fdc->vm->device_lock);
	if (fdc->vm->worker)
		host_work_queue(fdc->vm->worker, &fdc->work);
}

static void fini(void *object)
{
	host_free(object);
}

const struct device_class fdc_class = {
	.name = "fdc",
	.reset = reset,
	.quiesce = quiesce,
	.resume = resume,
	.fini = fini,
	.state = &fdc_state,
};

static const struct bus_ops port_ops = {
	.read = read_port,
	.write = write_port,
	.max_size = 1,
};

static const struct bus_ops rate_ops = {
	.read = read_change,
	.write = write_rate,
	.max_size = 1,
};

int fdc_create(struct fdc **out, struct vm *vm, const struct irq *irq,
	       struct isa_dma *dma)
{
	struct fdc *fdc = host_alloc(sizeof(*fdc));
	int err;

	if (!fdc)
		return -VM_ENOMEM;
	fdc->vm = vm;
	fdc->irq = *irq;
	fdc->dma = dma;
	fdc->work = (struct host_work){ .run = fdc_work, .ctx = fdc };
	err = vm_add_device(vm, &fdc_class, fdc);
	if (err) {
		host_free(fdc);
		return err;
	}
	reset(fdc);
	isa_dma_connect(dma, FDC_DMA, fdc_pump, fdc);
	err = bus_add(&vm->pio, PORT_BASE, 6, "fdc", &port_ops, fdc);
	if (!err)
		err = bus_add(&vm->pio, PORT_RATE, 1, "fdc", &rate_ops, fdc);
	*out = fdc;
	return err;
}

static int set_disk(struct fdc_drive *drive, struct block *block)
{
	const struct floppy_format *format =
		block ? floppy_format_of(block->size) : NULL;

	if (block && !floppy_fits(drive->type, format))
		return -VM_EINVAL;
	drive->block = block;
	drive->format = format;
	return 0;
}

int fdc_add(struct fdc *fdc, unsigned int index, enum floppy_drive type,
	    struct block *block)
{
	struct fdc_drive *drive = &fdc->drive[index];

	bug_on(index >= FDC_DRIVES);
	drive->type = type;
	return set_disk(drive, block);
}

int fdc_change(struct fdc *fdc, unsigned int index, struct block *block)
{
	struct fdc_drive *drive = &fdc->drive[index];
	int err;

	bug_on(index >= FDC_DRIVES);
	quiesce(fdc);
	host_lock(&fdc->vm->device_lock);
	err = set_disk(drive, block);
	if (!err) {
		drive->changed = true;
		fdc_disk_gone(fdc, index);
	}
	host_unlock(&fdc->vm->device_lock);
	resume(fdc);
	return err;
}
