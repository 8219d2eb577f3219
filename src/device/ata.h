/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ATA drives, whatever controller they are on: disks (ATA8-ACS-2) and CD-ROM
 * drives that take packets (MMC-6). A controller takes a command's registers
 * from the guest, calls ata_command(), and carries the data by its struct
 * ata_ops. Held everywhere: the VM's device lock.
 */
#ifndef LODGE_DEVICE_ATA_H
#define LODGE_DEVICE_ATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/ata_reg.h"
#include "vm/block.h"
#include "vm/state.h"

#define ATA_SERIAL 20	 /* characters */
#define ATA_BUFFER 8192u /* bytes; the most that READ MULTIPLE asks for */
#define ATA_FIS	   20u
#define ATA_PACKET_SIZE 16u

struct ata_drive {
	bool present;	     /* a drive is plugged in */
	struct block *block; /* a CD drive's medium; NULL: none */
	bool cd;
	bool parallel; /* else serial, with queued commands */
	char serial[ATA_SERIAL];

	/* Saved. */
	bool cache_off; /* writes are followed by a flush */
	uint8_t multiple;
	uint8_t heads, track; /* geometry of addresses that are not LBA */
	uint8_t mode;	      /* transfer mode, as SET FEATURES has it */
	bool ncq_error;	      /* until its log is read */
	uint8_t log[16];
	uint8_t sense, asc, ascq;
	bool attention; /* a CD that was not talked to since its reset */
	bool changed;	/* nor since another medium came */
	bool locked;	/* the guest holds the medium */
	bool kept;	/* and wants to be asked: persistent prevention */
	bool open;	/* the tray; a medium may lie in it */
	uint8_t event;	/* enum ata_event, until it was polled */
};

/* What happened to a medium (MMC-6, media events). */
enum ata_event {
	ATA_EVENT_NONE,
	ATA_EVENT_REQUEST, /* the button was pressed, the guest holds it */
	ATA_EVENT_NEW,
	ATA_EVENT_REMOVAL,
	ATA_EVENTS,
};

enum ata_protocol {
	ATA_NO_DATA,
	ATA_DMA,
	ATA_PIO_IN,
	ATA_PIO_OUT,
	ATA_PACKET, /* data of a packet command by PIO */
	ATA_QUEUED,
	ATA_PROTOCOLS,
};

/*
 * A command on its way through a drive. Its registers are kept as the frame
 * that carries them on serial ATA (10.5.5): 2 command; 3 and 11 features; 4 to
 * 6 and 8 to 10 LBA; 7 device; 12 and 13 count. An answer is put there too.
 */
struct ata_request {
	struct block_request io;
	const struct ata_ops *ops;
	struct ata_drive *drive;
	enum ata_protocol protocol;
	uint8_t fis[ATA_FIS];
	uint8_t packet[ATA_PACKET_SIZE];
	unsigned int slot, tag; /* of queued commands */
	unsigned int at_once;	/* bytes that PIO moves between interrupts */
	uint64_t offset, left;	/* of the block */
	bool then_flush, trim;
	unsigned int trim_at, trim_size; /* in the buffer */
	uint8_t buffer[ATA_BUFFER];
};

/*
 * How a drive ends or begins what it was asked; each returns whether r->io is
 * to be given to the block now.
 */
struct ata_ops {
	bool (*end)(struct ata_request *r);
	bool (*fail)(struct ata_request *r, uint8_t error);
	/* Answers with the first `size` bytes of the buffer. */
	bool (*answer)(struct ata_request *r, uint32_t size);
	/* Moves bytes between the guest and the block. */
	bool (*transfer)(struct ata_request *r, bool write, uint64_t offset,
			 uint64_t size);
	/* A request without data of the guest's. */
	bool (*submit)(struct ata_request *r, enum block_op op);
	/* Fills the buffer from the guest, then calls ata_disk_fetched(). */
	bool (*fetch)(struct ata_request *r, uint32_t size);
};

static inline bool ata_end(struct ata_request *r)
{
	return r->ops->end(r);
}

static inline bool ata_fail(struct ata_request *r, uint8_t error)
{
	return r->ops->fail(r, error);
}

static inline bool ata_answer(struct ata_request *r, uint32_t size)
{
	return r->ops->answer(r, size);
}

static inline bool ata_transfer(struct ata_request *r, bool write,
				uint64_t offset, uint64_t size)
{
	return r->ops->transfer(r, write, offset, size);
}

static inline bool ata_submit(struct ata_request *r, enum block_op op)
{
	return r->ops->submit(r, op);
}

static inline bool ata_fetch(struct ata_request *r, uint32_t size)
{
	return r->ops->fetch(r, size);
}

/* --- ata.c: for controllers --------------------------------------------------- */

/* Plugs a drive in. `serial` is cut at ATA_SERIAL. */
void ata_drive_init(struct ata_drive *drive, struct block *block, bool cd,
		    const char *serial);
void ata_drive_remove(struct ata_drive *drive);
/* To power-on state; and what a software reset leaves. */
void ata_drive_reset(struct ata_drive *drive);
void ata_drive_soft_reset(struct ata_drive *drive);

/* A saved state was loaded: what no drive can have becomes as at power-on. */
void ata_drive_loaded(struct ata_drive *drive);

/* Runs the command in r->fis, and r->packet; as struct ata_ops. */
bool ata_command(struct ata_request *r);

/*
 * A request of the block is over that moved all of what transfer() was asked
 * for, or nothing, or failed; as struct ata_ops.
 */
bool ata_block_done(struct ata_request *r);

/* The registers that tell what kind of drive it is (ACS-2, 9.12). */
void ata_signature(const struct ata_drive *drive, uint8_t *fis);

/*
 * By hand: takes the medium out of a CD drive, whose tray stays open, or puts
 * another in and shuts it. -EBUSY: the guest holds the one that is there; it
 * is told, and `force` does it all the same. Nothing of the drive is under way
 * at the block.
 */
int ata_tray_change(struct ata_drive *drive, struct block *block, bool force);

/* The medium of a packet that is under way was taken out; as struct ata_ops. */
bool ata_tray_gone(struct ata_request *r);

/* Strings and words as ATA keeps them. */
void ata_put_word(uint8_t *to, unsigned int word, uint16_t value);
void ata_put_text(uint8_t *to, unsigned int word, const char *text,
		  unsigned int size);

/*
 * Entries of a saved-field table for the drive at `at_` of an object; what is
 * newer than its first version came with version `since_`, and trays with
 * `tray_`.
 */
#define ATA_DRIVE_FIELD(kind_, prefix_, at_, member_, count_, since_)        \
	{                                                                    \
		.name = prefix_ #member_, .type = (kind_),                   \
		.offset = (uint32_t)((at_) +                                 \
				     offsetof(struct ata_drive, member_)),   \
		.count = (count_), .since = (since_),                        \
	}
#define ATA_DRIVE_FIELDS(prefix_, at_, since_, tray_)                        \
	ATA_DRIVE_FIELD(FIELD_BOOL, prefix_, at_, cache_off, 1, 0),          \
	ATA_DRIVE_FIELD(FIELD_U8, prefix_, at_, multiple, 1, 0),             \
	ATA_DRIVE_FIELD(FIELD_BOOL, prefix_, at_, ncq_error, 1, 0),          \
	ATA_DRIVE_FIELD(FIELD_U8, prefix_, at_, log, 16, 0),                 \
	ATA_DRIVE_FIELD(FIELD_U8, prefix_, at_, sense, 1, 0),                \
	ATA_DRIVE_FIELD(FIELD_U8, prefix_, at_, asc, 1, 0),                  \
	ATA_DRIVE_FIELD(FIELD_U8, prefix_, at_, ascq, 1, 0),                 \
	ATA_DRIVE_FIELD(FIELD_BOOL, prefix_, at_, attention, 1, 0),          \
	ATA_DRIVE_FIELD(FIELD_BOOL, prefix_, at_, locked, 1, 0),             \
	ATA_DRIVE_FIELD(FIELD_U8, prefix_, at_, heads, 1, since_),           \
	ATA_DRIVE_FIELD(FIELD_U8, prefix_, at_, track, 1, since_),           \
	ATA_DRIVE_FIELD(FIELD_U8, prefix_, at_, mode, 1, since_),            \
	ATA_DRIVE_FIELD(FIELD_BOOL, prefix_, at_, changed, 1, tray_),        \
	ATA_DRIVE_FIELD(FIELD_BOOL, prefix_, at_, kept, 1, tray_),           \
	ATA_DRIVE_FIELD(FIELD_BOOL, prefix_, at_, open, 1, tray_),           \
	ATA_DRIVE_FIELD(FIELD_U8, prefix_, at_, event, 1, tray_)

/* --- drives: as struct ata_ops --------------------------------------------------- */

bool ata_disk_command(struct ata_request *r);
bool ata_disk_fetched(struct ata_request *r);
/* The next range of a TRIM. */
bool ata_disk_trim(struct ata_request *r);
void ata_disk_identify(const struct ata_drive *drive, uint8_t *to);
bool ata_disk_read_log(struct ata_request *r);
bool ata_disk_smart(struct ata_request *r);
bool ata_cd_command(struct ata_request *r);
/* A read of the medium failed: what the next REQUEST SENSE tells. */
void ata_cd_failed(struct ata_drive *drive);
/* SET FEATURES 03: how fast data goes, which matters on a parallel cable. */
bool ata_set_mode(struct ata_request *r);
/* Transfer modes that are on, for words 63 and 88 of an identification. */
uint16_t ata_multiword_modes(const struct ata_drive *drive);
uint16_t ata_ultra_modes(const struct ata_drive *drive);

#endif
