/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network card before a net that keeps frames, and its driver: what the
 * tests of the card share.
 */
#ifndef LODGE_TEST_VIRTIO_NET_RIG_H
#define LODGE_TEST_VIRTIO_NET_RIG_H

#include "driver.h"
#include "fake_net.h"
#include "virtio/net.h"
#include "virtio/net_impl.h"

#define PAIRS 2
#define PACKED VIRTIO_F_RING_PACKED
#define CTRL   (NET_F_CTRL_VQ | NET_F_CTRL_RX | NET_F_CTRL_RX_EXTRA)

#define TX_AT	(DRIVER_DATA)
#define RX_AT	(DRIVER_DATA + 0x20000u)
#define RX_STEP 0x1000u
#define CT_AT	(DRIVER_DATA + 0x60000u)
#define ACK_AT	(DRIVER_DATA + 0x6f000u)
#define HEADER	12u

extern struct pci_rig rig;
extern struct fake_net net;
extern struct virtio_net *card;
extern struct driver driver;
extern uint64_t ring; /* feature */
extern uint8_t frame[NIC_FRAME_MAX], back[NIC_FRAME_MAX + HEADER];
extern const uint8_t own[NIC_MAC];
extern unsigned int offered; /* buffers to receive in, so far */

struct header {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, buffers;
};

int net_setup(void **state);
int net_setup_packed(void **state);
int net_teardown(void **state);

/* With the control queue: all five, else receive and transmit alone. */
void start(uint64_t features);

/* frame[] is offered; and whether it was given to the net. It is used in any
 * case. */
void offer_frame(const struct header *h, uint32_t size);
bool transmit(const struct header *h, uint32_t size);

/* A buffer of `size` bytes to receive in. */
void offer_room(unsigned int queue, uint32_t size);

/* The next used buffer's bytes, behind `at` of back[]; how many. */
uint32_t collect(unsigned int queue, unsigned int number, uint32_t at);

/* No buffer has been used. */
bool nothing(unsigned int queue);

unsigned int control_queue(void);

/* A command with its data; the answer. */
uint8_t command(uint8_t class, uint8_t what, const void *data, uint32_t size);

#define TEST(f) cmocka_unit_test_setup_teardown(f, net_setup, net_teardown)
#define BOTH(f)                                                           \
	TEST(f), cmocka_unit_test_setup_teardown(f, net_setup_packed,     \
						 net_teardown)

#endif
