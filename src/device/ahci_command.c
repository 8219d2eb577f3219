/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a command through a port (AHCI 1.3.1, 4.2.2, 5.3, 5.5, 6.2): its
 * header, frame and PRD table out of guest memory, its data, its end. Each
 * word of those is read once and checked before it is used. Out of the table
 * a request takes as many pieces at a time as it has spans; the rest follows
 * when those are through.
 */
#include "device/ahci_impl.h"

#include "vm/bytes.h"
#include "vm/error.h"

#define PRD_SIZE_MASK  0x3fffffu
#define LITTLE_SECTORS 32u

static uint32_t get32(const uint8_t *from)
{
	return (uint32_t)from[0] | (uint32_t)from[1] << 8 |
	       (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static bool current(const struct ahci_request *r)
{
	return r->generation == r->port->generation;
}

/* What a drive works on is the first part of a request. */
static struct ahci_request *ahci_request_of(struct ata_request *ata)
{
	return (struct ahci_request *)ata;
}

/* --- the PRD table ---------------------------------------------------------------- */

/* One piece of at most `size` bytes at the cursor; 0: the table ends. */
static uint32_t next_piece(struct ahci_request *r, uint64_t size,
			   uint64_t *addr)
{
	while (r->prd < r->prds) {
		uint8_t entry[AHCI_PRD];
		uint32_t bytes;

		if (pci_dma_read(&r->port->ahci->pci,
				 r->prdt + (uint64_t)r->prd * AHCI_PRD, entry,
				 sizeof(entry)))
			return 0;
		bytes = (get32(entry + 12) & PRD_SIZE_MASK) | 1;
		bytes++;
		/* The guest may change the table meanwhile. */
		if (r->prd_at < bytes) {
			*addr = ((uint64_t)get32(entry + 4) << 32 |
				 (get32(entry) & ~1u)) + r->prd_at;
			bytes -= r->prd_at;
			return bytes < size ? bytes : (uint32_t)size;
		}
		r->prd++;
		r->prd_at = 0;
	}
	return 0;
}

/*
 * Maps a piece; a piece that lies over a seam of guest memory is cut there.
 * How much was mapped; 0: it is nowhere.
 */
static uint32_t map_piece(struct ahci_request *r, uint64_t addr,
			  uint32_t size, bool to_guest, struct span *span)
{
	struct pci_device *pci = &r->port->ahci->pci;

	for (;;) {
		void *data = to_guest ?
			pci_dma_for_write(pci, addr, size) :
			(void *)pci_dma_for_read(pci, addr, size);

		if (data) {
			*span = (struct span){ data, size };
			return size;
		}
		/* At most a page's end away from a seam. */
		if ((addr & 0xfff) + size <= 0x1000)
			return 0;
		if ((addr ^ (addr + size - 1)) >> 20)
			size = 0x100000 - (uint32_t)(addr & 0xfffff);
		else
			size = 0x1000 - (uint32_t)(addr & 0xfff);
	}
}

/* Takes back what is over a whole number of sectors. */
static void give_back(struct ahci_request *r, unsigned int excess)
{
	while (excess) {
		struct span *last = &r->span[r->ata.io.spans - 1];
		unsigned int part = last->size < excess ?
					    (unsigned int)last->size : excess;

		last->size -= part;
		excess -= part;
		r->ata.io.length -= part;
		r->moved -= part;
		if (!last->size)
			r->ata.io.spans--;
	}
}

/* The next part of the transfer as spans; false: nowhere to put it. */
static bool gather(struct ahci_request *r)
{
	bool to_guest = r->ata.io.op == BLOCK_READ;
	unsigned int prd = r->prd, excess;
	uint32_t prd_at = r->prd_at, got;
	uint64_t addr;

	r->ata.io.span = r->span;
	r->ata.io.spans = 0;
	r->ata.io.length = 0;
	while (r->ata.io.length < r->ata.left && r->ata.io.spans < AHCI_SPANS) {
		got = next_piece(r, r->ata.left - r->ata.io.length, &addr);
		if (got)
			got = map_piece(r, addr, got, to_guest,
					&r->span[r->ata.io.spans]);
		if (!got)
			return false;
		r->prd_at += got;
		r->ata.io.length += got;
		r->moved += got;
		r->ata.io.spans++;
		/* Where a whole number of sectors ended last. */
		excess = r->ata.io.length % ATA_SECTOR;
		if (r->prd_at >= excess) {
			prd = r->prd;
			prd_at = r->prd_at - excess;
		}
	}
	excess = r->ata.io.length % ATA_SECTOR;
	if (excess) {
		r->prd = prd;
		r->prd_at = prd_at;
		give_back(r, excess);
	}
	return r->ata.io.length;
}

static bool op_fetch(struct ata_request *ata, uint32_t size)
{
	struct ahci_request *r = ahci_request_of(ata);

	for (uint32_t at = 0, part; at < size; at += part) {
		uint64_t addr;

		part = next_piece(r, size - at, &addr);
		if (!part || pci_dma_read(&r->port->ahci->pci, addr,
					  r->ata.buffer + at, part)) {
			ahci_port_raise(r->port, part ? AHCI_IS_HBFS
						      : AHCI_IS_OFS);
			return false;
		}
		r->prd_at += part;
		r->moved += part;
	}
	return ata_disk_fetched(ata);
}

/* --- the end of a command ------------------------------------------------------------ */

static void put_moved(struct ahci_request *r)
{
	uint8_t count[4];

	for (unsigned int i = 0; i < 4; i++)
		count[i] = (uint8_t)(r->moved >> 8 * i);
	pci_dma_write(&r->port->ahci->pci, r->header + 4, count,
		      sizeof(count));
}

static void over(struct ahci_request *r)
{
	struct ahci_port *port = r->port;

	port->started &= ~(1u << r->ata.slot);
	port->queued_now = port->queued_now && port->started;
}

static bool op_end(struct ata_request *ata)
{
	struct ahci_request *r = ahci_request_of(ata);
	struct ahci_port *port = r->port;

	over(r);
	if (r->ata.protocol == ATA_QUEUED) {
		ahci_port_bits_frame(port, 1u << r->ata.tag, ATA_DRDY, 0);
		return false;
	}
	put_moved(r);
	port->ci &= ~(1u << r->ata.slot);
	if (r->ata.protocol == ATA_PIO_IN)
		ahci_port_pio_frame(port, r->ata.fis, ATA_SECTOR, true);
	else
		ahci_port_register_frame(port, r->ata.fis,
					 ATA_DRDY | ATA_DSC, 0, true);
	return false;
}

/* ACS-2, A.14: what the log of queued errors tells. */
static void log_queued(struct ahci_request *r, uint8_t error)
{
	struct ata_drive *drive = &r->port->drive;

	drive->ncq_error = true;
	memset(drive->log, 0, sizeof(drive->log));
	drive->log[0] = r->ata.protocol == ATA_QUEUED ? (uint8_t)r->ata.tag
						      : 0x80;
	drive->log[2] = ATA_DRDY | ATA_ERR;
	drive->log[3] = error;
	memcpy(drive->log + 4, r->ata.fis + 4, 10);
}

static bool op_fail(struct ata_request *ata, uint8_t error)
{
	struct ahci_request *r = ahci_request_of(ata);
	struct ahci_port *port = r->port;

	over(r);
	if (r->ata.protocol == ATA_QUEUED) {
		log_queued(r, error);
		ahci_port_bits_frame(port, 0, ATA_DRDY | ATA_ERR, error);
		return false;
	}
	ahci_port_register_frame(port, r->ata.fis,
				 ATA_DRDY | ATA_DSC | ATA_ERR, error, true);
	return false;
}

static bool op_answer(struct ata_request *ata, uint32_t size)
{
	struct ahci_request *r = ahci_request_of(ata);

	for (uint32_t at = 0, part; at < size; at += part) {
		uint64_t addr;

		part = next_piece(r, size - at, &addr);
		if (!part)
			break; /* shorter than the answer: cut */
		if (pci_dma_write(&r->port->ahci->pci, addr,
				  r->ata.buffer + at, part)) {
			over(r);
			ahci_port_raise(r->port, AHCI_IS_HBFS);
			return false;
		}
		r->prd_at += part;
		r->moved += part;
	}
	return ata_end(&r->ata);
}

/* --- data ------------------------------------------------------------------------------ */

static bool next_part(struct ahci_request *r)
{
	if (!gather(r)) {
		over(r);
		ahci_port_raise(r->port, r->prd < r->prds ? AHCI_IS_HBFS
							  : AHCI_IS_OFS);
		return false;
	}
	r->ata.io.offset = r->ata.offset;
	r->ata.offset += r->ata.io.length;
	r->ata.left -= r->ata.io.length;
	return true;
}

static bool op_transfer(struct ata_request *ata, bool write, uint64_t offset,
			uint64_t size)
{
	struct ahci_request *r = ahci_request_of(ata);

	r->ata.io.op = write ? BLOCK_WRITE : BLOCK_READ;
	r->ata.offset = offset;
	r->ata.left = size;
	if (write && r->port->drive.block->readonly)
		return ata_fail(ata, ATA_ABRT);
	return next_part(r);
}

static bool op_submit(struct ata_request *ata, enum block_op op)
{
	struct ahci_request *r = ahci_request_of(ata);

	r->ata.io.op = op;
	r->ata.io.span = NULL;
	r->ata.io.spans = 0;
	return true;
}

static void note_data(struct ahci_request *r)
{
	struct memory *mem = &r->port->ahci->vm->memory;

	if (r->ata.io.op != BLOCK_READ)
		return;
	for (unsigned int i = 0; i < r->ata.io.spans; i++)
		memory_note_host(mem, r->span[i].data, r->span[i].size);
}

/* A step of the request is over; true: the next one is to be submitted. */
static bool stepped(struct ahci_request *r)
{
	note_data(r);
	if (!current(r) || r->port->stopped)
		return false;
	if (!r->ata.io.error && !r->ata.trim && r->ata.left)
		return next_part(r);
	return ata_block_done(&r->ata);
}

static const struct ata_ops ata_ops = {
	.end = op_end,
	.fail = op_fail,
	.answer = op_answer,
	.transfer = op_transfer,
	.submit = op_submit,
	.fetch = op_fetch,
};

/* --- requests --------------------------------------------------------------------------- */

static struct ahci_request *take_request(struct ahci_port *port)
{
	struct ahci *ahci = port->ahci;
	struct ahci_request *r = ahci->free;

	if (r)
		ahci->free = r->next;
	else
		r = host_alloc(sizeof(*r));
	if (!r)
		return NULL;
	r->port = port;
	r->ata.ops = &ata_ops;
	r->ata.drive = &port->drive;
	r->generation = port->generation;
	r->ata.protocol = ATA_NO_DATA;
	r->prd = 0;
	r->prd_at = r->moved = 0;
	r->ata.left = 0;
	r->ata.trim = r->ata.then_flush = false;
	r->ata.io = (struct block_request){ .ctx = r };
	port->under_way++;
	ahci->under_way++;
	return r;
}

static void free_request(struct ahci_request *r)
{
	struct ahci *ahci = r->port->ahci;

	r->port->under_way--;
	r->next = ahci->free;
	ahci->free = r;
	if (r->port->ci)
		host_work_queue(ahci->vm->worker, &ahci->work);
	if (!--ahci->under_way) {
		ahci->resetting = false;
		host_event_set(&ahci->idle);
	}
}

static void request_done(struct block_request *io);

/* Held: the device lock, which is given back meanwhile unless `quick`. */
static void run(struct ahci_request *r, bool submit)
{
	struct host_lock *lock = &r->port->ahci->vm->device_lock;

	while (submit) {
		r->ata.io.done = request_done;
		if (!r->quick)
			host_unlock(lock);
		submit = block_submit(r->port->drive.block, &r->ata.io);
		if (!r->quick)
			host_lock(lock);
		if (!submit)
			return;
		submit = stepped(r);
	}
	free_request(r);
}

/* Any thread, no lock held. */
static void request_done(struct block_request *io)
{
	struct ahci_request *r = io->ctx;
	struct host_lock *lock = &r->port->ahci->vm->device_lock;

	host_lock(lock);
	r->quick = false;
	run(r, stepped(r));
	host_unlock(lock);
}

/* --- the command list ---------------------------------------------------------------------- */

/* Copies header and table's head; false: they are nowhere. */
static bool fetch_command(struct ahci_request *r)
{
	struct ahci_port *port = r->port;
	const struct pci_device *pci = &port->ahci->pci;
	uint8_t header[16];
	uint64_t table;

	r->header = ((uint64_t)port->clbu << 32 | port->clb) +
		    r->ata.slot * AHCI_HEADER;
	if (pci_dma_read(pci, r->header, header, sizeof(header)))
		return false;
	r->flags = get32(header);
	r->prds = r->flags >> 16;
	table = (uint64_t)get32(header + 12) << 32 |
		(get32(header + 8) & ~0x7fu);
	r->prdt = table + AHCI_TABLE_PRDT;
	return !pci_dma_read(pci, table, r->ata.fis, sizeof(r->ata.fis)) &&
	       !pci_dma_read(pci, table + AHCI_TABLE_PACKET, r->ata.packet,
			     sizeof(r->ata.packet));
}

/* A frame that writes the control register: software reset. */
static bool control_frame(struct ahci_request *r)
{
	struct ahci_port *port = r->port;
	bool srst = r->ata.fis[15] & 4;

	over(r);
	port->ci &= ~(1u << r->ata.slot);
	if (port->srst && !srst) {
		ata_drive_soft_reset(&port->drive);
		ahci_port_signature(port);
	}
	port->srst = srst;
	return false;
}

static bool is_queued(const uint8_t *fis)
{
	return fis[2] == 0x60 || fis[2] == 0x61;
}

/* Whether a slot is one to start now; it is under way then. */
static bool start(struct ahci_port *port, unsigned int slot, bool quick)
{
	struct ahci_request *r = take_request(port);
	bool queued, submit;

	if (!r)
		return false;
	r->ata.slot = slot;
	r->quick = quick;
	port->started |= 1u << slot;
	if (!fetch_command(r) || r->ata.fis[0] != FIS_H2D ||
	    !port->drive.present) {
		over(r);
		ahci_port_raise(port, AHCI_IS_HBFS);
		run(r, false);
		return false;
	}
	queued = (r->ata.fis[1] & 0x80) && is_queued(r->ata.fis) &&
		 !port->drive.cd;
	if (!queued && port->queued_now && (r->ata.fis[1] & 0x80)) {
		log_queued(r, ATA_ABRT);
		submit = ata_fail(&r->ata, ATA_ABRT);
	} else if (!(r->ata.fis[1] & 0x80)) {
		submit = control_frame(r);
	} else if (queued) {
		port->queued_now = true;
		port->ci &= ~(1u << slot);
		submit = ata_command(&r->ata);
	} else {
		port->tfd |= ATA_BSY;
		submit = ata_command(&r->ata);
	}
	run(r, submit);
	return true;
}

/* The next slot to start, or -1. Others wait for one that is not queued. */
static int next_slot(const struct ahci_port *port)
{
	uint32_t waiting = port->ci & ~port->started;

	if (!(port->cmd & AHCI_CMD_ST) || port->stopped || !waiting ||
	    (port->ssts & 0xf) != 3 || (port->started && !port->queued_now))
		return -1;
	return __builtin_ctz(waiting);
}

void ahci_work(void *ctx)
{
	struct ahci *ahci = ctx;

	host_lock(&ahci->vm->device_lock);
	for (unsigned int i = 0; i < AHCI_PORTS; i++) {
		struct ahci_port *port = &ahci->port[i];
		int slot;

		while (!ahci->still && (slot = next_slot(port)) >= 0 &&
		       start(port, (unsigned int)slot, false))
			;
	}
	host_unlock(&ahci->vm->device_lock);
}

/* A disk's read or write of at most LITTLE_SECTORS; read twice, no harm. */
static bool is_little(const struct ahci_port *port, unsigned int slot)
{
	const struct pci_device *pci = &port->ahci->pci;
	uint64_t list = (uint64_t)port->clbu << 32 | port->clb;
	uint8_t at[8], fis[ATA_FIS];
	unsigned int count;

	if (pci_dma_read(pci, list + slot * AHCI_HEADER + 8, at, sizeof(at)) ||
	    pci_dma_read(pci, (uint64_t)get32(at + 4) << 32 |
				      (get32(at) & ~0x7fu),
			 fis, sizeof(fis)))
		return false;
	switch (fis[2]) {
	case 0x25: /* DMA */
	case 0x35:
		count = (unsigned int)fis[13] << 8 | fis[12];
		break;
	case 0x60: /* queued */
	case 0x61:
		count = (unsigned int)fis[11] << 8 | fis[3];
		break;
	default:
		return false;
	}
	return count && count <= LITTLE_SECTORS;
}

bool ahci_quick(struct ahci_port *port)
{
	uint32_t waiting = port->ci & ~port->started;
	int slot = next_slot(port);

	return slot >= 0 && !port->ahci->still && !port->under_way &&
	       !port->drive.cd && port->drive.block && !(waiting & (waiting - 1)) &&
	       is_little(port, (unsigned int)slot) &&
	       start(port, (unsigned int)slot, true);
}
