/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data of an IDE command: between a block and the buffer by the VM's
 * worker, between the buffer and the guest through the data register or, as
 * the PRD table says, by bus master DMA (Bus Master IDE 1.0). A DMA command
 * that finds the bus master stopped waits for its start.
 */
#include "device/ide_impl.h"

#include "vm/bytes.h"

/*
 * A transfer with this much to go, or less, is the processor's thread's that
 * asked for it: it would wait longer for two changes of threads.
 */
#define LITTLE 16384u

#define PRD_SIZE 8
#define PRD_LAST 0x80000000u

static struct ide_channel *channel_of(struct ata_request *r)
{
	return (struct ide_channel *)((uint8_t *)r -
				      offsetof(struct ide_channel, request));
}

/* --- the end of a command ----------------------------------------------------------- */

static void show(struct ide_channel *ch, uint8_t status, uint8_t error)
{
	struct ide_drive *drive = ide_selected(ch);
	uint8_t features = drive->regs[3], before = drive->regs[11];

	memcpy(drive->regs, ch->request.fis, sizeof(drive->regs));
	drive->regs[3] = features;
	drive->regs[11] = before;
	drive->status = status;
	drive->error = error;
	ch->phase = IDE_IDLE;
}

static bool op_end(struct ata_request *r)
{
	struct ide_channel *ch = channel_of(r);

	if (ch->prd_last && !ch->piece_left)
		ch->bm_status &= (uint8_t)~IDE_BM_ACTIVE;
	show(ch, ATA_DRDY | ATA_DSC, 0);
	ide_set_interrupt(ch, true);
	return false;
}

static bool op_fail(struct ata_request *r, uint8_t error)
{
	struct ide_channel *ch = channel_of(r);

	show(ch, ATA_DRDY | ATA_DSC | ATA_ERR, error);
	ide_set_interrupt(ch, true);
	return false;
}

/* --- DMA -------------------------------------------------------------------------------- */

/* A piece of guest memory to move next; false: the table ends, or is bad. */
static bool next_piece(struct ide_channel *ch)
{
	uint8_t entry[PRD_SIZE];
	uint32_t word[2];

	if (ch->prd_last)
		return false;
	if (pci_dma_read(&ch->ide->pci, ch->prd, entry, sizeof(entry))) {
		ch->bm_status |= IDE_BM_ERROR;
		return false;
	}
	memcpy(word, entry, sizeof(word));
	ch->prd += PRD_SIZE;
	ch->piece = word[0] & ~1u;
	ch->piece_left = word[1] & 0xfffe ? word[1] & 0xfffe : 0x10000;
	ch->prd_last = word[1] & PRD_LAST;
	return true;
}

/* The rest of the buffer to guest memory or from there. */
static bool dma_move(struct ide_channel *ch)
{
	struct pci_device *pci = &ch->ide->pci;

	while (ch->at < ch->size) {
		uint8_t *data = ch->request.buffer + ch->at;
		uint32_t part = ch->size - ch->at;
		int err;

		if (!ch->piece_left && !next_piece(ch))
			return false;
		if (part > ch->piece_left)
			part = ch->piece_left;
		if (ch->phase == IDE_TO_GUEST)
			err = pci_dma_write(pci, ch->piece, data, part);
		else
			err = pci_dma_read(pci, ch->piece, data, part);
		if (err) {
			ch->bm_status |= IDE_BM_ERROR;
			return false;
		}
		ch->piece += part;
		ch->piece_left -= part;
		ch->at += part;
	}
	return true;
}

/* --- chunks: what the buffer takes at a time --------------------------------------------- */

static bool by_dma(const struct ide_channel *ch)
{
	return ch->protocol == ATA_DMA;
}

static uint32_t chunk(const struct ide_channel *ch)
{
	uint64_t most = ATA_BUFFER;

	if (ch->protocol == ATA_PIO_IN || ch->protocol == ATA_PIO_OUT)
		most = ch->request.at_once;
	if (most > ATA_BUFFER)
		most = ATA_BUFFER;
	if (most > ch->request.left)
		most = ch->request.left;
	return (uint32_t)most;
}

static void use_block(struct ide_channel *ch, enum block_op op,
		      uint64_t offset, uint64_t length)
{
	ch->phase = IDE_BLOCK;
	ch->op = (uint8_t)op;
	ch->io_offset = offset;
	ch->io_length = length;
	ide_selected(ch)->status = ATA_BSY;
}

static void buffer_done(struct ide_channel *ch);

/* Moves by DMA if the bus master runs; a bad table fails the command. */
static void dma_try(struct ide_channel *ch)
{
	if (!(ch->bm_status & IDE_BM_ACTIVE))
		return;
	if (dma_move(ch)) {
		buffer_done(ch);
		return;
	}
	ch->bm_status &= (uint8_t)~IDE_BM_ACTIVE;
	op_fail(&ch->request, ATA_ABRT);
}

/* The next bytes of the buffer go through the data register. */
static void offer(struct ide_channel *ch, bool interrupt)
{
	struct ide_drive *drive = ide_selected(ch);
	uint32_t size = ch->size - ch->at;

	if (ch->protocol == ATA_PACKET) {
		if (size > ch->limit)
			size = ch->limit;
		drive->regs[12] = IDE_REASON_TO_HOST;
		drive->regs[5] = (uint8_t)size;
		drive->regs[6] = (uint8_t)(size >> 8);
	}
	ch->stop = ch->at + size;
	drive->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
	if (interrupt)
		ide_set_interrupt(ch, true);
}

/* The guest is to move `size` bytes of the buffer. */
static void use_guest(struct ide_channel *ch, enum ide_phase phase,
		      uint32_t size, bool interrupt)
{
	ch->phase = (uint8_t)phase;
	ch->at = 0;
	ch->stop = ch->size = size;
	if (by_dma(ch)) {
		ide_selected(ch)->status = ATA_BSY;
		dma_try(ch);
	} else {
		offer(ch, interrupt);
	}
}

/* The next part of a read or a write of the block. */
static void next_chunk(struct ide_channel *ch, bool first)
{
	const struct ata_request *r = &ch->request;

	if (ch->op == BLOCK_READ) {
		ch->size = chunk(ch);
		use_block(ch, BLOCK_READ, r->offset, ch->size);
	} else {
		use_guest(ch, IDE_FROM_GUEST, chunk(ch), !first);
	}
}

/* Data register reads of a disk end without a further interrupt. */
static void all_taken(struct ide_channel *ch)
{
	if (ch->protocol == ATA_PIO_IN)
		show(ch, ATA_DRDY | ATA_DSC, 0);
	else
		op_end(&ch->request);
}

/* The guest has taken the buffer, or filled it. */
static void buffer_done(struct ide_channel *ch)
{
	struct ata_request *r = &ch->request;

	if (ch->phase == IDE_FROM_GUEST && ch->fetch) {
		ch->fetch = false;
		ata_disk_fetched(r);
	} else if (ch->phase == IDE_FROM_GUEST) {
		use_block(ch, BLOCK_WRITE, r->offset, ch->size);
	} else if (ch->answer || !r->left) {
		all_taken(ch);
	} else {
		next_chunk(ch, false);
	}
}

/* --- what a drive asks for -------------------------------------------------------------- */

static bool op_answer(struct ata_request *r, uint32_t size)
{
	struct ide_channel *ch = channel_of(r);

	ch->protocol = (uint8_t)r->protocol;
	ch->answer = true;
	use_guest(ch, IDE_TO_GUEST, size, true);
	return false;
}

static bool op_transfer(struct ata_request *r, bool write, uint64_t offset,
			uint64_t size)
{
	struct ide_channel *ch = channel_of(r);

	ch->protocol = (uint8_t)r->protocol;
	ch->op = write ? BLOCK_WRITE : BLOCK_READ;
	r->offset = offset;
	r->left = size;
	if (write && r->drive->block->readonly)
		return op_fail(r, ATA_ABRT);
	next_chunk(ch, true);
	return false;
}

static bool op_submit(struct ata_request *r, enum block_op op)
{
	struct ide_channel *ch = channel_of(r);

	use_block(ch, op, r->io.offset, r->io.length);
	return false;
}

static bool op_fetch(struct ata_request *r, uint32_t size)
{
	struct ide_channel *ch = channel_of(r);

	ch->protocol = (uint8_t)r->protocol;
	ch->fetch = true;
	use_guest(ch, IDE_FROM_GUEST, size, true);
	return false;
}

const struct ata_ops ide_ata_ops = {
	.end = op_end,
	.fail = op_fail,
	.answer = op_answer,
	.transfer = op_transfer,
	.submit = op_submit,
	.fetch = op_fetch,
};

/* --- the guest's side ---------------------------------------------------------------------- */

uint32_t ide_data_read(struct ide_channel *ch, unsigned int size)
{
	uint32_t value = 0;

	if (ch->phase != IDE_TO_GUEST || by_dma(ch))
		return 0;
	for (unsigned int i = 0; i < size && ch->at < ch->stop; i++)
		value |= (uint32_t)ch->request.buffer[ch->at++] << 8 * i;
	if (ch->at == ch->size) {
		buffer_done(ch);
		ide_kick(ch);
	} else if (ch->at == ch->stop) {
		offer(ch, true);
	}
	return value;
}

/* All of a packet is there: the command begins. */
static void packet_taken(struct ide_channel *ch)
{
	struct ide_drive *drive = ide_selected(ch);
	struct ata_request *r = &ch->request;
	uint32_t limit = (uint32_t)drive->regs[6] << 8 | drive->regs[5];

	/* An odd number but the last would leave half a word over. */
	ch->limit = limit && limit < 0xffff ? limit & 0xfffe : 0xfffe;
	if (!ch->limit)
		ch->limit = 2;
	r->protocol = drive->regs[3] & 1 ? ATA_DMA : ATA_PACKET;
	drive->status = ATA_BSY;
	ata_command(r);
	ide_kick(ch);
}

void ide_data_write(struct ide_channel *ch, unsigned int size, uint32_t value)
{
	uint8_t *to = ch->phase == IDE_TAKE_PACKET ? ch->request.packet
						   : ch->request.buffer;

	if (ch->phase != IDE_TAKE_PACKET &&
	    (ch->phase != IDE_FROM_GUEST || by_dma(ch)))
		return;
	for (unsigned int i = 0; i < size && ch->at < ch->size; i++)
		to[ch->at++] = (uint8_t)(value >> 8 * i);
	if (ch->at < ch->size)
		return;
	if (ch->phase == IDE_TAKE_PACKET) {
		packet_taken(ch);
	} else {
		buffer_done(ch);
		ide_kick(ch);
	}
}

void ide_dma_start(struct ide_channel *ch)
{
	ch->bm_status |= IDE_BM_ACTIVE;
	ch->prd = ch->bm_table;
	ch->piece_left = 0;
	ch->prd_last = false;
	if (by_dma(ch) && (ch->phase == IDE_TO_GUEST ||
			   ch->phase == IDE_FROM_GUEST)) {
		dma_try(ch);
		ide_kick(ch);
	}
}

/* --- the block's side ------------------------------------------------------------------------ */

/* A request has ended that was not dropped meanwhile. */
static void block_ended(struct ide_channel *ch)
{
	struct ata_request *r = &ch->request;
	bool moved = ch->op == BLOCK_READ || ch->op == BLOCK_WRITE;

	r->io.op = (enum block_op)ch->op;
	r->io.error = ch->io.error;
	if (moved && !r->io.error) {
		r->offset += ch->size;
		r->left -= ch->size;
		if (ch->op == BLOCK_READ) {
			memcpy(r->buffer, ch->io_buffer, ch->size);
			use_guest(ch, IDE_TO_GUEST, ch->size, true);
			return;
		}
		if (r->left) {
			next_chunk(ch, false);
			return;
		}
	}
	ata_block_done(r);
}

void ide_medium_gone(struct ide_channel *ch)
{
	bool more = ch->phase == IDE_TO_GUEST && !ch->answer &&
		    ch->request.left;

	if (more || ch->phase == IDE_BLOCK)
		ata_tray_gone(&ch->request);
}

static void io_over(struct ide_channel *ch)
{
	ch->under_way = false;
	host_event_set(&ch->ide->idle);
	if (ch->io_generation == ch->generation)
		block_ended(ch);
}

/* Any thread, no lock held. */
static void io_done(struct block_request *io)
{
	struct ide_channel *ch = io->ctx;
	struct host_lock *lock = &ch->ide->vm->device_lock;

	host_lock(lock);
	io_over(ch);
	if (ch->phase == IDE_BLOCK)
		host_work_queue(ch->ide->vm->worker, &ch->ide->work);
	host_unlock(lock);
}

/* Held: the device lock, which is given back meanwhile unless `quick`. */
static void submit(struct ide_channel *ch, bool quick)
{
	struct host_lock *lock = &ch->ide->vm->device_lock;
	struct block *block = ide_selected(ch)->ata.block;
	bool moves = ch->op == BLOCK_READ || ch->op == BLOCK_WRITE, over;

	if (!block) { /* a saved state of another machine */
		ata_tray_gone(&ch->request);
		return;
	}
	if (ch->op == BLOCK_WRITE)
		memcpy(ch->io_buffer, ch->request.buffer, ch->size);
	ch->span = (struct span){ ch->io_buffer, ch->size };
	ch->io = (struct block_request){
		.op = (enum block_op)ch->op,
		.offset = ch->io_offset,
		.length = ch->io_length,
		.span = moves ? &ch->span : NULL,
		.spans = moves,
		.done = io_done,
		.ctx = ch,
	};
	ch->io_generation = ch->generation;
	ch->under_way = true;
	if (!quick)
		host_unlock(lock);
	over = block_submit(block, &ch->io);
	if (!quick)
		host_lock(lock);
	if (over)
		io_over(ch);
}

static bool is_due(const struct ide_channel *ch)
{
	return ch->phase == IDE_BLOCK && !ch->under_way && !ch->ide->still;
}

/* Of a transfer by PIO the guest takes what was read before more follows. */
static bool is_little(const struct ide_channel *ch)
{
	return (ch->op == BLOCK_READ || ch->op == BLOCK_WRITE) &&
	       (!by_dma(ch) || ch->request.left <= LITTLE);
}

void ide_kick(struct ide_channel *ch)
{
	while (is_due(ch) && is_little(ch))
		submit(ch, true);
	if (ch->phase == IDE_BLOCK)
		host_work_queue(ch->ide->vm->worker, &ch->ide->work);
}

void ide_work(void *ctx)
{
	struct ide *ide = ctx;

	host_lock(&ide->vm->device_lock);
	for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &ide->channel[i];

		while (is_due(ch))
			submit(ch, false);
	}
	host_unlock(&ide->vm->device_lock);
}
