/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console of three ports, its driver, and what is outside: streams that take
 * as much as a test lets them. Each test program has one.
 */
#ifndef LODGE_TEST_VIRTIO_PORTS_H
#define LODGE_TEST_VIRTIO_PORTS_H

#include "driver.h"
#include "virtio/console_impl.h"

#define PORTS	3
#define PACKED	VIRTIO_F_RING_PACKED
#define QUEUES	(2 * (PORTS + 1))
#define SIZE	8
#define RX(n)	((n) ? 2 * (n) + 2 : 0)
#define TX(n)	(RX(n) + 1)

#define DEVICE_READY 0
#define PORT_ADD     1
#define PORT_REMOVE  2
#define PORT_READY   3
#define CONSOLE_PORT 4
#define RESIZE	     5
#define PORT_OPEN    6
#define PORT_NAME    7

struct outside {
	char got[256];
	unsigned int count; /* of bytes */
	unsigned int room;  /* bytes that it still takes */
	unsigned int readies;
};

extern struct pci_rig rig;
extern struct virtio_console *con;
extern struct outside outside[PORTS];
extern struct driver driver;

int setup(void **state);
int teardown(void **state);

/* A driver with these features and all queues. */
void start(uint64_t features);
/* With MULTIPORT, all ports added, ready and opened by the guest. */
void start_ports(uint64_t features);

/* Messages from the driver; 64 bytes of room for one to it. */
void say(uint32_t id, uint16_t event, uint16_t value);
void say_bytes(const void *data, unsigned int size);
void listen(unsigned int buffers);

/* The next message to the driver is this one, `more` after its header. */
void expect_said(uint32_t id, uint16_t event, uint16_t value,
		 const void *more, unsigned int size);
void expect_silence(void);

/* Data of a port: offered to the device, not notified of. */
void offer_out(unsigned int port, const char *text);
void offer_in(unsigned int port, unsigned int size);
/* The next received buffer holds this. */
void expect_in(unsigned int port, const char *text);
void expect_no_in(unsigned int port);
/* What the outside got since the last time. */
void expect_out(unsigned int port, const char *text);

/* Gives a port input; how much it took. */
unsigned int type(unsigned int port, const char *text);

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
