/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the 82540EM: what its files share. All of it is under the VM's
 * device lock; nic_ops take that.
 */
#ifndef LODGE_DEVICE_E1000_IMPL_H
#define LODGE_DEVICE_E1000_IMPL_H

#include "device/e1000.h"
#include "device/e1000_reg.h"

#define E1000_EEPROM_WORDS 64
#define E1000_HEAD_MAX	   320 /* of a frame: what the card may change */
#define E1000_SPANS_MAX	   130

/* A ring: as its registers say. */
struct e1000_ring {
	uint32_t base_low, base_high;
	uint32_t size; /* bytes, a multiple of 128, below 1 MiB */
	uint32_t head, tail;
};

/* Two words of a context descriptor, as it was last loaded. */
struct e1000_context {
	uint32_t ip, sum; /* start, place, end: 8, 8, 16 bits */
	uint32_t command, size; /* its second half */
};

/* The serial EEPROM's side of the four wires. */
struct e1000_wires {
	uint32_t pins; /* as EECD was written last */
	uint16_t in;
	uint8_t in_count, out_count;
	uint8_t address;
	bool reading;
};

struct e1000 {
	struct pci_device pci;
	struct vm *vm;
	struct nic nic;
	bool started; /* the net knows that a driver is there */
	bool quiet;   /* quiesced: no frame comes or goes */
	bool starved; /* a frame found no receive descriptor */

	/* Saved. */
	uint32_t ctrl, status, eerd, mdic;
	uint32_t cause, mask; /* interrupts: ICR, IMS */
	uint32_t itr;
	uint32_t rctl, tctl, rxcsum, vet;
	uint32_t plain[32]; /* registers that do nothing here */
	uint32_t mta[128], vfta[128], ra[32];
	uint32_t stat[E1000_STATS_COUNT];
	uint32_t io_address;
	uint16_t phy[PHY_REGS];
	uint16_t eeprom[E1000_EEPROM_WORDS];
	struct e1000_wires wires;
	struct e1000_ring rx, tx;
	struct e1000_context cut, plain_sum; /* for TSE, and for the rest */
	struct timer throttle; /* until then no interrupt */
};

/* e1000.c */

/* Raises causes; the pin follows when update is called. */
void e1000_update(struct e1000 *e);
void e1000_raise(struct e1000 *e, uint32_t causes);

/* Counts one, or a 64-bit number. */
void e1000_count(struct e1000 *e, unsigned int stat);
void e1000_count_bytes(struct e1000 *e, unsigned int stat, uint32_t bytes);
/* The histogram that begins at `first`. */
void e1000_count_size(struct e1000 *e, unsigned int first, uint32_t size);

/* Descriptors of a ring; 0: it is not usable. */
uint32_t e1000_ring_count(const struct e1000_ring *ring);
uint64_t e1000_ring_at(const struct e1000_ring *ring, uint32_t index);

/* e1000_send.c */

/* Sends what the transmit ring has. */
void e1000_send(struct e1000 *e);

/* e1000_receive.c */

extern const struct nic_ops e1000_nic_ops;
/* Descriptors came, or receiving was turned on. */
void e1000_receive_ready(struct e1000 *e);

/* e1000_phy.c */

void e1000_phy_reset(struct e1000 *e);
void e1000_set_link(struct e1000 *e, bool up);
void e1000_write_mdic(struct e1000 *e, uint32_t value);
void e1000_eeprom_init(struct e1000 *e, const uint8_t mac[NIC_MAC]);
uint32_t e1000_read_eecd(const struct e1000 *e);
void e1000_write_eecd(struct e1000 *e, uint32_t value);
void e1000_write_eerd(struct e1000 *e, uint32_t value);

#endif
