/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the AHCI controller share: ports, requests, and how a
 * drive answers a command.
 *
 * Commands run on the VM's worker. Everything here is guarded by the VM's
 * device lock, which is given back only while a block works on a request; the
 * request counts as under way until its memory is not used any more. What a
 * port's stop or reset left under way ends without a word to the guest. One
 * small command by itself runs on the thread of the processor that issued it,
 * which keeps the lock.
 */
#ifndef LODGE_DEVICE_AHCI_IMPL_H
#define LODGE_DEVICE_AHCI_IMPL_H

#include "device/ahci.h"
#include "device/ahci_reg.h"
#include "vm/host.h"
#include "vm/span.h"

/* A PRD may be two bytes long: a sector has to fit, with seams of memory. */
#define AHCI_SPANS  264
#define AHCI_BUFFER 4096u
#define AHCI_FIS    20u
#define AHCI_PACKET 16u
#define ATA_SECTOR  512u
#define CD_SECTOR   2048u

enum ahci_protocol {
	AHCI_NO_DATA, /* ends with a register frame; DMA too */
	AHCI_PIO_IN,
	AHCI_QUEUED,
};

struct ahci_port {
	struct ahci *ahci;
	unsigned int index;
	struct block *block; /* NULL: nothing plugged in */
	bool cd;
	char serial[AHCI_SERIAL];
	unsigned int under_way;
	uint32_t generation; /* of requests; old ones are dropped */
	uint32_t started;    /* slots under way */
	bool queued_now;     /* they are queued ones */

	/* Saved. */
	uint32_t clb, clbu, fb, fbu, is, ie, cmd, tfd, sig, ssts, sctl, serr,
		sact, ci;
	bool stopped;	/* after an error, until ST is cleared */
	bool signature; /* to be told as soon as frames may be received */
	bool srst;
	/* Drive: */
	bool cache_off; /* writes are followed by a flush */
	uint8_t multiple;
	bool ncq_error; /* until its log is read */
	uint8_t log[16];
	uint8_t sense, asc, ascq;
	bool attention; /* a CD that was not talked to since its reset */
	bool locked;
};

struct ahci_request {
	struct block_request io;
	struct ahci_port *port;
	struct ahci_request *next;
	uint32_t generation;
	unsigned int slot, tag;
	enum ahci_protocol protocol;
	uint8_t fis[AHCI_FIS];
	uint8_t packet[AHCI_PACKET];
	uint32_t flags; /* first word of the command's header */
	uint64_t header, prdt;
	unsigned int prds;

	/* Where in the PRD table the next byte goes. */
	unsigned int prd;
	uint32_t prd_at;

	uint64_t offset, left; /* of the block */
	uint32_t moved;	       /* bytes through the PRDs */
	bool then_flush, trim;
	bool quick; /* begun on a processor's thread, with its lock */
	unsigned int trim_at, trim_size; /* in the buffer */
	struct span span[AHCI_SPANS];
	uint8_t buffer[AHCI_BUFFER];
};

struct ahci {
	struct pci_device pci;
	struct vm *vm;
	struct host_work work;
	struct host_event idle;
	struct ahci_request *free;
	unsigned int under_way;
	bool still;	/* quiesced: nothing is started */
	bool resetting; /* until nothing is under way */
	struct ahci_port port[AHCI_PORTS];

	/* Saved. */
	uint32_t ghc, is;
};

/* --- ahci_port.c: frames and interrupts; held: the device lock ----------------- */

/* To power-on state, as a COMRESET leaves the drive. */
void ahci_port_reset(struct ahci_port *port);
/* Drops what is under way and what is issued. */
void ahci_port_stop(struct ahci_port *port);
/* The drive's signature, now or as soon as the port takes frames. */
void ahci_port_signature(struct ahci_port *port);
void ahci_port_raise(struct ahci_port *port, uint32_t bits);
void ahci_port_register_frame(struct ahci_port *port, const uint8_t *command,
			      uint8_t status, uint8_t error, bool interrupt);
void ahci_port_pio_frame(struct ahci_port *port, const uint8_t *command,
			 uint32_t size, bool interrupt);
void ahci_port_bits_frame(struct ahci_port *port, uint32_t done,
			  uint8_t status, uint8_t error);
uint32_t ahci_port_read(struct ahci_port *port, unsigned int at);
void ahci_port_write(struct ahci_port *port, unsigned int at, uint32_t value);

/* ahci.c: the level of the interrupt, or a message for it when `event`. */
void ahci_update(struct ahci *ahci, bool event);

/* --- ahci_command.c ------------------------------------------------------------ */

/* The worker's: runs what is issued. */
void ahci_work(void *ctx);

/* What was issued is served at once, if that is little; else false. */
bool ahci_quick(struct ahci_port *port);

/*
 * How a drive ends or begins what it was asked; each returns whether the
 * request is to be given to the block. Held: the device lock.
 */
bool ahci_end(struct ahci_request *r);
bool ahci_fail(struct ahci_request *r, uint8_t error);
/* Answers with the first `size` bytes of the buffer. */
bool ahci_answer(struct ahci_request *r, uint32_t size);
/* Moves bytes between the PRDs and the block. */
bool ahci_transfer(struct ahci_request *r, bool write, uint64_t offset,
		   uint64_t size);
/* A request without data of the guest's. */
bool ahci_submit(struct ahci_request *r, enum block_op op);
/* Fills the buffer from the PRDs; false: they are too short (failed). */
bool ahci_fetch(struct ahci_request *r, uint32_t size);

/* --- drives: as above ------------------------------------------------------------ */

bool ahci_disk_command(struct ahci_request *r);
/* The next range of a TRIM. */
bool ahci_disk_trim(struct ahci_request *r);
void ahci_disk_identify(const struct ahci_port *port, uint8_t *to);
bool ahci_disk_read_log(struct ahci_request *r);
bool ahci_disk_smart(struct ahci_request *r);
bool ahci_cd_command(struct ahci_request *r);
void ahci_cd_identify(const struct ahci_port *port, uint8_t *to);
/* A read of the medium failed: what the next REQUEST SENSE tells. */
void ahci_cd_failed(struct ahci_port *port);
/* Both: strings as ATA keeps them, and the serial number. */
void ahci_put_word(uint8_t *to, unsigned int word, uint16_t value);
void ahci_put_text(uint8_t *to, unsigned int word, const char *text,
		   unsigned int size);

#endif
