/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the AHCI controller share: ports and requests.
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
#include "device/ata.h"
#include "vm/host.h"
#include "vm/span.h"

/* A PRD may be two bytes long: a sector has to fit, with seams of memory. */
#define AHCI_SPANS  264

struct ahci_port {
	struct ahci *ahci;
	unsigned int index;
	struct ata_drive drive;
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
};

struct ahci_request {
	struct ata_request ata; /* comes first */
	struct ahci_port *port;
	struct ahci_request *next;
	uint32_t generation;
	uint32_t flags; /* first word of the command's header */
	uint64_t header, prdt;
	unsigned int prds;

	/* Where in the PRD table the next byte goes. */
	unsigned int prd;
	uint32_t prd_at;
	uint32_t moved; /* bytes through the PRDs */
	bool quick; /* begun on a processor's thread, with its lock */
	struct span span[AHCI_SPANS];
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
/* A drive was plugged in, or taken out. */
void ahci_port_changed(struct ahci_port *port);
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

#endif
