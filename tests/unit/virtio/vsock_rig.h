/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket device over streams of memory, and its driver: what the tests of
 * the device share.
 */
#ifndef LODGE_TEST_VIRTIO_VSOCK_RIG_H
#define LODGE_TEST_VIRTIO_VSOCK_RIG_H

#include "driver.h"
#include "fake_streams.h"
#include "virtio/vsock.h"
#include "virtio/vsock_impl.h"

#define CID   5u
#define PORT  1000u /* of the host */
#define OWN   77u   /* of the guest */
#define ROOM  65536u /* of the guest's socket */

#define RX_AT	(DRIVER_DATA)
#define RX_SIZE 4140u /* header and 4 KiB */
#define RX_STEP 0x1800u
#define RX_ALL	16u
#define TX_AT	(DRIVER_DATA + 0x20000u)
#define EV_AT	(DRIVER_DATA + 0x40000u)

extern struct pci_rig rig;
extern struct virtio_vsock *vsock;
extern struct fake_streams streams;
extern struct driver driver;
extern unsigned int rx_next; /* buffers offered so far */

/* A pattern, what a stream took, and the last packet's payload. */
extern uint8_t bytes[STREAM_BYTES], taken[STREAM_BYTES], data[65536];

int vsock_setup(void **state);
int vsock_setup_packed(void **state);
int vsock_teardown(void **state);

/* Lets the device do what the host gave it to do. */
void poke(void);

void send_header(const struct vsock_header *header, const void *payload,
		 uint32_t size);

/* Of the one connection of the tests. */
struct vsock_header header_of(uint16_t op);
void say(uint16_t op);
void say_shutdown(uint32_t flags);
void say_data(const void *payload, uint32_t size);

/* What the guest has read of what it was sent, and its room. */
void say_credit(uint32_t forwarded, uint32_t room);

/* A buffer for a packet, of `size` bytes. */
void offer_rx(uint32_t size);

/* The next packet, in a buffer that is offered for it; false: there is none. */
bool next(struct vsock_header *header);
void expect(uint16_t op);
void expect_nothing(void);

/* A stream that the guest has connected. */
struct vsock_stream *connected(void);

#define TEST(f) cmocka_unit_test_setup_teardown(f, vsock_setup, vsock_teardown)
#define BOTH(f)  \
	TEST(f), \
	cmocka_unit_test_setup_teardown(f, vsock_setup_packed, vsock_teardown)

#endif
