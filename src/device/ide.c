/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IDE function of PIIX4 (82371AB datasheet 290562, 7; Bus Master IDE 1.0): its
 * PCI registers, the fixed ports of its channels, bus master registers, saved
 * state. Left out: native mode, the timing registers' effect.
 */
#include "device/ide.h"

#include "device/ide_impl.h"
#include "vm/bytes.h"
#include "vm/error.h"

#define BM_SIZE 16 /* 8 a channel */

/* Primary and secondary timing; bit 15: the channel's ports are decoded */
#define TIMING 0x40
#define DECODE 0x8000u

/* Decoded from the start: not all firmware sets these registers. */
static const struct pci_reg piix4_regs[] = {
	{ TIMING + 0, 2, DECODE, 0xffff, 0, 0 },
	{ TIMING + 2, 2, DECODE, 0xffff, 0, 0 },
	{ 0x44, 1, 0, 0xff, 0, 0 }, /* drives 1 */
	{ 0x48, 1, 0, 0x0f, 0, 0 }, /* Ultra DMA: on, timing */
	{ 0x4a, 2, 0, 0x3333, 0, 0 },
};

static const struct {
	uint16_t command, control;
} ports[IDE_CHANNELS] = { { 0x1f0, 0x3f6 }, { 0x170, 0x376 } };

/* --- fixed ports ------------------------------------------------------------------ */

static bool decoded(struct ide_channel *ch)
{
	struct pci_device *pci = &ch->ide->pci;
	unsigned int index = (unsigned int)(ch - ch->ide->channel);

	return (pci_get(pci, PCI_COMMAND, 2) & PCI_COMMAND_IO) &&
	       (pci_get(pci, TIMING + 2 * index, 2) & DECODE);
}

static uint64_t read_command(void *device, uint64_t offset, unsigned int size)
{
	struct ide_channel *ch = device;

	if (!decoded(ch))
		return UINT64_MAX;
	return ide_read(ch, (unsigned int)offset, size);
}

static void write_command(void *device, uint64_t offset, unsigned int size,
			  uint64_t value)
{
	struct ide_channel *ch = device;

	if (decoded(ch))
		ide_write(ch, (unsigned int)offset, size, value);
}

static uint64_t read_control(void *device, uint64_t offset, unsigned int size)
{
	struct ide_channel *ch = device;

	return decoded(ch) ? ide_read_control(ch) : UINT64_MAX;
}

static void write_control(void *device, uint64_t offset, unsigned int size,
			  uint64_t value)
{
	struct ide_channel *ch = device;

	if (decoded(ch))
		ide_write_control(ch, (uint8_t)value);
}

static const struct bus_ops command_ops = {
	.read = read_command,
	.write = write_command,
	.max_size = 4,
};

static const struct bus_ops control_ops = {
	.read = read_control,
	.write = write_control,
	.max_size = 1,
};

/* --- bus master --------------------------------------------------------------------- */

static uint64_t bm_read(void *device, uint64_t offset, unsigned int size)
{
	struct ide *ide = device;
	const struct ide_channel *ch = &ide->channel[offset / 8];
	unsigned int reg = offset % 8;

	if (reg == IDE_BM_COMMAND)
		return ch->bm_command;
	if (reg == IDE_BM_STATUS)
		return ch->bm_status;
	if (reg >= IDE_BM_TABLE)
		return ch->bm_table >> 8 * (reg - IDE_BM_TABLE) & 0xff;
	return 0;
}

static void bm_write(void *device, uint64_t offset, unsigned int size,
		     uint64_t value)
{
	struct ide *ide = device;
	struct ide_channel *ch = &ide->channel[offset / 8];
	unsigned int reg = offset % 8, shift = 8 * (reg - IDE_BM_TABLE);
	uint8_t before = ch->bm_command;

	if (reg == IDE_BM_COMMAND) {
		ch->bm_command = value & (IDE_BM_START | IDE_BM_TO_HOST);
		if ((value & IDE_BM_START) && !(before & IDE_BM_START))
			ide_dma_start(ch);
		if (!(value & IDE_BM_START))
			ch->bm_status &= (uint8_t)~IDE_BM_ACTIVE;
	} else if (reg == IDE_BM_STATUS) {
		ch->bm_status &= (uint8_t)~(
			(value & (IDE_BM_ERROR | IDE_BM_IRQ)) | IDE_BM_DRIVES);
		ch->bm_status |= value & IDE_BM_DRIVES;
	} else if (reg >= IDE_BM_TABLE) {
		ch->bm_table &= ~(0xffu << shift);
		ch->bm_table |= ((uint32_t)value & 0xff) << shift;
		ch->bm_table &= ~3u;
	}
}

/* By bytes: the bus cuts what is larger. */
static const struct bus_ops bm_ops = {
	.read = bm_read,
	.write = bm_write,
	.max_size = 1,
};

/* --- PCI ------------------------------------------------------------------------------ */

static void reset_all(struct ide *ide)
{
	for (unsigned int i = 0; i < IDE_CHANNELS; i++)
		ide_channel_reset(&ide->channel[i], true);
}

static void pci_reset(struct pci_device *pci)
{
	reset_all(pci->owner);
}

static const struct pci_ops ide_pci_ops = {
	.reset = pci_reset,
};

struct pci_device *ide_pci(struct ide *ide)
{
	return &ide->pci;
}

/* --- making one ----------------------------------------------------------------------- */

static void fini(void *object)
{
	host_free(object);
}

static bool busy(struct ide *ide)
{
	bool under_way = false;

	host_lock(&ide->vm->device_lock);
	ide->still = true;
	for (unsigned int i = 0; i < IDE_CHANNELS; i++)
		under_way = under_way || ide->channel[i].under_way;
	host_unlock(&ide->vm->device_lock);
	return under_way;
}

static void quiesce(void *object)
{
	struct ide *ide = object;

	while (busy(ide))
		host_event_wait(&ide->idle, UINT64_MAX);
}

static void resume(void *object)
{
	struct ide *ide = object;

	host_lock(&ide->vm->device_lock);
	ide->still = false;
	host_unlock(&ide->vm->device_lock);
	if (ide->vm->worker)
		host_work_queue(ide->vm->worker, &ide->work);
}

static int add_ports(struct ide *ide, unsigned int index)
{
	struct ide_channel *ch = &ide->channel[index];
	struct bus *pio = &ide->vm->pio;
	int err = bus_add(pio, ports[index].command, 8, "ide", &command_ops,
			  ch);

	return err ? err : bus_add(pio, ports[index].control, 1, "ide",
				   &control_ops, ch);
}

int ide_create(struct ide **out, struct vm *vm,
	       const struct irq irq[IDE_CHANNELS])
{
	static const struct pci_ident ident = {
		.name = "ide",
		.vendor = 0x8086,
		.device = 0x7111,
		.class = 0x010180, /* fixed ports, bus master */
		.revision = 1,
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
	};
	struct ide *ide = host_alloc(sizeof(*ide));
	int err;

	if (!ide)
		return -VM_ENOMEM;
	ide->vm = vm;
	ide->work = (struct host_work){ .run = ide_work, .ctx = ide };
	for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
		ide->channel[i].ide = ide;
		ide->channel[i].irq = irq[i];
		ide->channel[i].drive[0].ata.parallel = true;
		ide->channel[i].drive[1].ata.parallel = true;
	}
	err = vm_add_device(vm, &ide_class, ide);
	if (err) {
		host_free(ide);
		return err;
	}
	err = pci_device_init(&ide->pci, vm, &ident, &ide_pci_ops, ide);
	if (err)
		return err;
	pci_regs_add(&ide->pci, 0, piix4_regs,
		     sizeof(piix4_regs) / sizeof(piix4_regs[0]));
	pci_bar_add(&ide->pci, 4, PCI_IO, BM_SIZE, &bm_ops, ide);
	for (unsigned int i = 0; i < IDE_CHANNELS && !err; i++)
		err = add_ports(ide, i);
	reset_all(ide);
	*out = ide;
	return err;
}

void ide_add(struct ide *ide, unsigned int place,
	     const struct ide_drive_config *config)
{
	struct ide_channel *ch = &ide->channel[place / 2];
	struct ata_drive *drive = &ch->drive[place % 2].ata;
	char own[] = "LODGE-IDE-0";

	bug_on(place >= IDE_DRIVES);
	own[sizeof(own) - 2] = (char)('0' + place);
	ata_drive_init(drive, config->block, config->cd,
		       config->serial ? config->serial : own);
	ide_channel_reset(ch, true);
}

int ide_change(struct ide *ide, unsigned int place, struct block *block,
	       bool force)
{
	struct ide_channel *ch = &ide->channel[place / 2];
	struct ide_drive *drive = &ch->drive[place % 2];
	int err;

	quiesce(ide);
	host_lock(&ide->vm->device_lock);
	err = ata_tray_change(&drive->ata, block, force);
	if (!err && ide_selected(ch) == drive)
		ide_medium_gone(ch);
	host_unlock(&ide->vm->device_lock);
	resume(ide);
	return err;
}

const struct ata_drive *ide_drive(const struct ide *ide, unsigned int place)
{
	return &ide->channel[place / 2].drive[place % 2].ata;
}

/* --- saved state ------------------------------------------------------------------------- */

static bool possible(const struct ide_channel *ch)
{
	const struct ata_request *r = &ch->request;
	bool moves = ch->op == BLOCK_READ || ch->op == BLOCK_WRITE;

	if (ch->phase >= IDE_PHASES || ch->protocol >= ATA_PROTOCOLS ||
	    ch->op > BLOCK_ZERO || ch->size > ATA_BUFFER ||
	    (ch->phase != IDE_IDLE && !r->at_once) ||
	    r->trim_size > ATA_BUFFER || r->trim_size % 8 || r->trim_at % 8)
		return false;
	switch (ch->phase) {
	case IDE_TAKE_PACKET:
		return ch->at < ch->size && ch->size == IDE_PACKET_SIZE;
	case IDE_TO_GUEST:
		return ch->at < ch->stop && ch->stop <= ch->size && ch->limit;
	case IDE_FROM_GUEST:
		return ch->at < ch->stop && ch->stop == ch->size &&
		       (ch->fetch || ch->size <= r->left);
	case IDE_BLOCK:
		return !moves || (ch->io_length == ch->size &&
				  ch->size <= r->left && ch->limit);
	default:
		return true;
	}
}

static int check(const void *object)
{
	const struct ide *ide = object;

	for (unsigned int i = 0; i < IDE_CHANNELS; i++)
		if (!possible(&ide->channel[i]))
			return -VM_EBADMSG;
	return 0;
}

static void loaded(void *object)
{
	struct ide *ide = object;

	for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &ide->channel[i];
		struct ide_drive *drive = ide_selected(ch);

		ch->generation++;
		ch->request.ops = &ide_ata_ops;
		ch->request.drive = &drive->ata;
		ch->request.protocol = (enum ata_protocol)ch->protocol;
		if (!drive->ata.present)
			ch->phase = IDE_IDLE;
		ata_drive_loaded(&ch->drive[0].ata);
		ata_drive_loaded(&ch->drive[1].ata);
	}
}

#define CHANNEL(kind_, n_, member_, count_)                            \
	{                                                              \
		.name = "channel" #n_ "_" #member_, .type = (kind_),   \
		.offset = offsetof(struct ide, channel[n_].member_),   \
		.count = (count_),                                     \
	}
#define DRIVE_FIELDS(n_, d_)                                           \
	CHANNEL(FIELD_U8, n_, drive[d_].regs, ATA_FIS),                \
	CHANNEL(FIELD_U8, n_, drive[d_].status, 1),                    \
	CHANNEL(FIELD_U8, n_, drive[d_].error, 1),                     \
	ATA_DRIVE_FIELDS("drive" #n_ #d_ "_",                          \
			 offsetof(struct ide, channel[n_].drive[d_].ata), 0, 2)
#define CHANNEL_FIELDS(n_)                                             \
	DRIVE_FIELDS(n_, 0), DRIVE_FIELDS(n_, 1),                      \
	CHANNEL(FIELD_U8, n_, control, 1),                             \
	CHANNEL(FIELD_BOOL, n_, second, 1),                            \
	CHANNEL(FIELD_BOOL, n_, interrupt, 1),                         \
	CHANNEL(FIELD_U8, n_, phase, 1),                               \
	CHANNEL(FIELD_U8, n_, protocol, 1),                            \
	CHANNEL(FIELD_BOOL, n_, answer, 1),                            \
	CHANNEL(FIELD_BOOL, n_, fetch, 1),                             \
	CHANNEL(FIELD_U8, n_, op, 1),                                  \
	CHANNEL(FIELD_U64, n_, io_offset, 1),                          \
	CHANNEL(FIELD_U64, n_, io_length, 1),                          \
	CHANNEL(FIELD_U32, n_, at, 1), CHANNEL(FIELD_U32, n_, stop, 1), \
	CHANNEL(FIELD_U32, n_, size, 1),                               \
	CHANNEL(FIELD_U32, n_, limit, 1),                              \
	CHANNEL(FIELD_U8, n_, bm_command, 1),                          \
	CHANNEL(FIELD_U8, n_, bm_status, 1),                           \
	CHANNEL(FIELD_U32, n_, bm_table, 1),                           \
	CHANNEL(FIELD_U32, n_, prd, 1), CHANNEL(FIELD_U32, n_, piece, 1), \
	CHANNEL(FIELD_U32, n_, piece_left, 1),                         \
	CHANNEL(FIELD_BOOL, n_, prd_last, 1),                          \
	CHANNEL(FIELD_U8, n_, request.fis, ATA_FIS),                   \
	CHANNEL(FIELD_U8, n_, request.packet, ATA_PACKET_SIZE),        \
	CHANNEL(FIELD_U32, n_, request.at_once, 1),                    \
	CHANNEL(FIELD_U64, n_, request.offset, 1),                     \
	CHANNEL(FIELD_U64, n_, request.left, 1),                       \
	CHANNEL(FIELD_BOOL, n_, request.then_flush, 1),                \
	CHANNEL(FIELD_BOOL, n_, request.trim, 1),                      \
	CHANNEL(FIELD_U32, n_, request.trim_at, 1),                    \
	CHANNEL(FIELD_U32, n_, request.trim_size, 1),                  \
	CHANNEL(FIELD_U8, n_, request.buffer, ATA_BUFFER)

static const struct field ide_fields[] = {
	CHANNEL_FIELDS(0),
	CHANNEL_FIELDS(1),
};

static const struct state_class ide_state = {
	.name = "ide",
	.version = 2,
	.size = sizeof(struct ide),
	.fields = ide_fields,
	.field_count = sizeof(ide_fields) / sizeof(ide_fields[0]),
	.check = check,
	.loaded = loaded,
};

const struct device_class ide_class = {
	.name = "ide",
	.fini = fini,
	.quiesce = quiesce,
	.resume = resume,
	.state = &ide_state,
};
