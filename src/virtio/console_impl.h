/* SPDX-License-Identifier: Apache-2.0 */
/* Between the console device's data and its control queues. */
#ifndef LODGE_VIRTIO_CONSOLE_IMPL_H
#define LODGE_VIRTIO_CONSOLE_IMPL_H

#include "virtio/console.h"

#define F_SIZE	      VIRTIO_F(0)
#define F_MULTIPORT   VIRTIO_F(1)
#define F_EMERG_WRITE VIRTIO_F(2)

#define CONTROL_RECEIVE	 2 /* queues; named from the driver's side */
#define CONTROL_TRANSMIT 3

/* Messages that a port has to send, in this order. */
#define CONTROL_REMOVE	0x01u
#define CONTROL_ADD	0x02u
#define CONTROL_CONSOLE 0x04u
#define CONTROL_RESIZE	0x08u
#define CONTROL_NAME	0x10u
#define CONTROL_CLOSE	0x20u
#define CONTROL_OPEN	0x40u
#define CONTROL_BITS	0x7fu

struct console_port {
	char name[VIRTIO_CONSOLE_NAME_MAX];
	unsigned int name_size;
	struct stream stream;
	struct host_lock write_lock; /* around stream.write(); innermost */
	struct virtio_buffer rx, tx; /* their queues' locks */
	bool refused; /* input is waiting outside; receive queue's lock */
};

/* Of each port; the console's lock guards it but where another is named. */
struct console_saved {
	uint32_t ports;
	uint16_t cols, rows;
	/* Bytes of the oldest transmit buffer that are out; its queue's lock. */
	uint32_t tx_done[VIRTIO_CONSOLE_PORTS_MAX];
	uint8_t pending[VIRTIO_CONSOLE_PORTS_MAX]; /* CONTROL_... */
	bool added[VIRTIO_CONSOLE_PORTS_MAX];	   /* the driver was told */
	bool ready[VIRTIO_CONSOLE_PORTS_MAX];	   /* and agreed */
	bool removed[VIRTIO_CONSOLE_PORTS_MAX];
	bool host_open[VIRTIO_CONSOLE_PORTS_MAX];
	_Atomic bool guest_open[VIRTIO_CONSOLE_PORTS_MAX];
};

struct virtio_console {
	struct virtio_device virtio;
	struct virtio_pci pci;
	struct console_port *port;
	unsigned int ports;
	_Atomic bool held;	 /* quiesced */
	struct host_lock lock;	 /* taken under queues' locks */
	struct virtio_buffer control_rx, control_tx;
	struct console_saved saved;
};

extern const struct device_class virtio_console_class;

static inline struct virtio_queue *console_queue(struct virtio_console *con,
						 unsigned int port, bool out)
{
	return &con->virtio.queue[(port ? 2 * port + 2 : 0) + out];
}

/* The control queues' work; held: the queue's lock. */
void console_control_send(struct virtio_console *con, struct virtio_queue *q);
void console_control_take(struct virtio_console *con, struct virtio_queue *q);

/* The size of port 0 has changed. No lock held. */
void console_control_resized(struct virtio_console *con);

#endif
