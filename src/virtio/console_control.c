/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console device's control queues (virtio 1.2, 5.3.6.2). What is to be
 * told is kept as bits of each port until the driver has a buffer for it:
 * there is never more to keep than that, and what was overtaken is not told.
 * A close that an open follows is told, so that the guest sees a new peer.
 */
#include "virtio/console_impl.h"

#include "vm/bytes.h"

/* Events */
#define DEVICE_READY 0
#define PORT_ADD     1
#define PORT_REMOVE  2
#define PORT_READY   3
#define CONSOLE_PORT 4
#define RESIZE	     5
#define PORT_OPEN    6
#define PORT_NAME    7

#define TAKE_AT_ONCE 256 /* messages, before other devices have their turn */

struct message {
	uint32_t id;
	uint16_t event, value;
};

struct outgoing {
	struct message message;
	uint8_t more[VIRTIO_CONSOLE_NAME_MAX]; /* a size or a name */
};

/* --- to the driver ---------------------------------------------------------------- */

/* Held: the console's lock. */
static uint32_t write_message(const struct virtio_console *con,
			      unsigned int index, uint8_t bit,
			      struct outgoing *out)
{
	static const uint16_t event[] = { PORT_REMOVE, PORT_ADD, CONSOLE_PORT,
					  RESIZE,      PORT_NAME, PORT_OPEN,
					  PORT_OPEN };
	const struct console_port *port = &con->port[index];
	uint16_t size[2] = { con->saved.cols, con->saved.rows };

	out->message = (struct message){
		.id = index,
		.event = event[__builtin_ctz(bit)],
		.value = bit == CONTROL_OPEN || bit == CONTROL_CONSOLE,
	};
	if (bit == CONTROL_RESIZE) {
		memcpy(out->more, size, sizeof(size));
		return sizeof(out->message) + sizeof(size);
	}
	if (bit == CONTROL_NAME) {
		memcpy(out->more, port->name, port->name_size);
		return (uint32_t)sizeof(out->message) + port->name_size;
	}
	return sizeof(out->message);
}

/* The next message; its size, 0: none. */
static uint32_t next_message(struct virtio_console *con, struct outgoing *out)
{
	uint32_t size = 0;

	host_lock(&con->lock);
	for (unsigned int i = 0; i < con->ports && !size; i++) {
		uint8_t *pending = &con->saved.pending[i];
		uint8_t bit = *pending & (uint8_t)-*pending;

		if (!bit)
			continue;
		*pending &= (uint8_t)~bit;
		if (bit == CONTROL_ADD)
			con->saved.added[i] = true;
		size = write_message(con, i, bit, out);
	}
	host_unlock(&con->lock);
	return size;
}

static bool any_pending(struct virtio_console *con)
{
	uint8_t pending = 0;

	host_lock(&con->lock);
	for (unsigned int i = 0; i < con->ports; i++)
		pending |= con->saved.pending[i];
	host_unlock(&con->lock);
	return pending;
}

void console_control_send(struct virtio_console *con, struct virtio_queue *q)
{
	struct virtio_buffer *buffer = &con->control_rx;
	struct outgoing out;
	uint32_t size;

	while (any_pending(con) && virtio_queue_pop(q, buffer)) {
		size = next_message(con, &out);
		if (!size) { /* it is no more, just now */
			virtio_queue_unpop(q, buffer);
			return;
		}
		if (size > buffer->in_size)
			virtio_broken(q->device,
				      "a control buffer that is too small");
		else
			virtio_buffer_write(q, buffer, 0, &out, size);
		virtio_queue_push(q, buffer,
				  size > buffer->in_size ? 0 : size);
	}
}

static void kick_control(struct virtio_console *con)
{
	virtio_queue_kick(&con->virtio.queue[CONTROL_RECEIVE]);
}

/* --- from the driver --------------------------------------------------------------- */

/* 5.3.6.2.1: only ports that the driver does not have yet. */
static void add_ports(struct virtio_console *con)
{
	for (unsigned int i = 0; i < con->ports; i++)
		if (!con->saved.added[i] && !con->saved.removed[i])
			con->saved.pending[i] |= CONTROL_ADD;
}

static void port_ready(struct virtio_console *con, unsigned int index)
{
	if (!con->saved.added[index] || con->saved.ready[index])
		return;
	con->saved.ready[index] = true;
	if (!index)
		con->saved.pending[0] |= CONTROL_CONSOLE | CONTROL_RESIZE;
	if (con->port[index].name_size)
		con->saved.pending[index] |= CONTROL_NAME;
	if (con->saved.host_open[index])
		con->saved.pending[index] |= CONTROL_OPEN;
}

/* Whether the message was one for a port that was opened. */
static bool take(struct virtio_console *con, const struct message *message)
{
	bool there = message->id < con->ports &&
		     con->saved.added[message->id];

	if (message->event == DEVICE_READY && message->value)
		add_ports(con);
	else if (message->event == PORT_READY && message->value && there)
		port_ready(con, message->id);
	else if (message->event == PORT_OPEN && there)
		atomic_store(&con->saved.guest_open[message->id],
			     message->value & 1);
	else
		return false;
	return message->event == PORT_OPEN && message->value;
}

void console_control_take(struct virtio_console *con, struct virtio_queue *q)
{
	struct virtio_buffer *buffer = &con->control_tx;

	for (unsigned int n = 0; virtio_queue_pop(q, buffer); n++) {
		struct message message;
		bool opened = false;

		if (n == TAKE_AT_ONCE) {
			virtio_queue_unpop(q, buffer);
			virtio_queue_kick(q);
			break;
		}
		if (virtio_buffer_read(buffer, 0, &message, sizeof(message)) ==
		    sizeof(message)) {
			host_lock(&con->lock);
			opened = take(con, &message);
			host_unlock(&con->lock);
		}
		if (opened)
			virtio_queue_kick(
				console_queue(con, message.id, false));
		virtio_queue_push(q, buffer, 0);
	}
	kick_control(con);
}

/* --- from the outside ---------------------------------------------------------------- */

void console_control_resized(struct virtio_console *con)
{
	host_lock(&con->lock);
	if (con->saved.ready[0] && !con->saved.removed[0])
		con->saved.pending[0] |= CONTROL_RESIZE;
	host_unlock(&con->lock);
	kick_control(con);
}

void virtio_console_set_open(struct virtio_console *con, unsigned int index,
			     bool open)
{
	uint8_t *pending = &con->saved.pending[index];

	host_lock(&con->lock);
	if (con->saved.host_open[index] != open && con->saved.ready[index] &&
	    !con->saved.removed[index]) {
		if (open)
			*pending |= CONTROL_OPEN;
		else
			*pending = (uint8_t)((*pending & ~CONTROL_OPEN) |
					     CONTROL_CLOSE);
	}
	con->saved.host_open[index] = open;
	host_unlock(&con->lock);
	kick_control(con);
}

void virtio_console_remove(struct virtio_console *con, unsigned int index)
{
	host_lock(&con->lock);
	con->saved.removed[index] = true;
	con->saved.pending[index] = con->saved.added[index] ? CONTROL_REMOVE
							    : 0;
	con->saved.added[index] = con->saved.ready[index] = false;
	atomic_store(&con->saved.guest_open[index], false);
	host_unlock(&con->lock);
	kick_control(con);
}
