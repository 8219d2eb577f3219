/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Console device: ports, their data, size and emergency writes; the control
 * queues are in console_control.c. Queues: 0 and 1 receive and transmit of
 * port 0, 2 and 3 control, from 4 on those of the other ports.
 *
 * What the outside does not take stays in the driver's buffer: that is put
 * back into the ring, and `tx_done` remembers how much of it is through. What
 * the guest does not take stays outside. So there is nothing of a port's data
 * in here, and nothing to save of it but `tx_done`.
 */
#include "virtio/console_impl.h"

#include "vm/bytes.h"
#include "vm/error.h"

#define QUEUE_SIZE 128
#define TX_AT_ONCE 64 /* buffers, before other devices have their turn */

/* Configuration space (5.3.4) */
#define CFG_COLS     0
#define CFG_ROWS     2
#define CFG_PORTS    4
#define CFG_EMERG_WR 8
#define CFG_SIZE     12

#define COLS 80 /* until the outside says otherwise */
#define ROWS 24

static unsigned int port_of(unsigned int queue)
{
	return queue < 2 ? 0 : queue / 2 - 1;
}

/* --- out of the machine --------------------------------------------------------- */

/* Held: the queue's lock, or the device lock. */
static unsigned int give(struct console_port *port, const uint8_t *data,
			 size_t count)
{
	unsigned int part = count < UINT32_MAX ? (unsigned int)count
					       : UINT32_MAX;
	unsigned int taken;

	host_lock(&port->write_lock);
	taken = port->stream.write(port->stream.ctx, data, part);
	host_unlock(&port->write_lock);
	return taken;
}

/* The rest of a buffer, from *done on; true: that was all. */
static bool give_buffer(struct console_port *port,
			const struct virtio_buffer *buffer, uint32_t *done)
{
	size_t skip = *done;

	for (unsigned int i = 0; i < buffer->out_spans; i++) {
		const struct span *span = &buffer->span[i];
		unsigned int taken;

		if (skip >= span->size) {
			skip -= span->size;
			continue;
		}
		taken = give(port, (const uint8_t *)span->data + skip,
			     span->size - skip);
		*done += taken;
		if (taken < span->size - skip)
			return false;
		skip = 0;
	}
	return true;
}

static void transmit(struct virtio_console *con, unsigned int index,
		     struct virtio_queue *q)
{
	struct console_port *port = &con->port[index];
	uint32_t *done = &con->saved.tx_done[index];

	for (unsigned int n = 0; virtio_queue_pop(q, &port->tx); n++) {
		if (n == TX_AT_ONCE) {
			virtio_queue_unpop(q, &port->tx);
			virtio_queue_kick(q);
			return;
		}
		if (!give_buffer(port, &port->tx, done)) {
			virtio_queue_unpop(q, &port->tx);
			return;
		}
		*done = 0;
		virtio_queue_push(q, &port->tx, 0);
	}
}

void virtio_console_room(struct virtio_console *con, unsigned int port)
{
	virtio_queue_kick(console_queue(con, port, true));
}

/* 5.3.5.1: whatever state the device is in. */
static void config_written(struct virtio_device *device, unsigned int at,
			   unsigned int size, uint32_t value)
{
	struct virtio_console *con = (struct virtio_console *)device;
	uint8_t byte = (uint8_t)value;

	if (at == CFG_EMERG_WR)
		give(&con->port[0], &byte, 1);
}

/* --- into the machine ------------------------------------------------------------ */

/* 5.3.6.2: what comes for a port that is not open would be thrown away. */
static bool guest_listens(struct virtio_console *con, unsigned int port)
{
	if (!virtio_has(&con->virtio, F_MULTIPORT))
		return !port;
	return atomic_load(&con->saved.guest_open[port]);
}

/* Held: the queue's lock. */
static unsigned int receive(struct virtio_console *con, unsigned int index,
			    struct virtio_queue *q, const uint8_t *data,
			    unsigned int count)
{
	struct virtio_buffer *rx = &con->port[index].rx;
	unsigned int done = 0;

	while (done < count && virtio_queue_pop(q, rx)) {
		uint32_t part = virtio_buffer_write(q, rx, 0, data + done,
						    count - done);

		if (!part)
			virtio_broken(q->device,
				      "a receive buffer without room");
		virtio_queue_push(q, rx, part);
		done += part;
	}
	return done;
}

unsigned int virtio_console_receive(struct virtio_console *con,
				    unsigned int index, const uint8_t *data,
				    unsigned int count)
{
	struct virtio_queue *q = console_queue(con, index, false);
	struct console_port *port = &con->port[index];
	unsigned int done = 0;

	host_lock(&q->lock);
	if (!con->held && guest_listens(con, index))
		done = receive(con, index, q, data, count);
	port->refused |= done < count;
	virtio_queue_signal(q);
	host_unlock(&q->lock);
	return done;
}

/* There are buffers, or somebody opened the port. Held: the queue's lock. */
static void ask_for_input(struct virtio_console *con, unsigned int index)
{
	struct console_port *port = &con->port[index];

	if (!port->refused || !guest_listens(con, index))
		return;
	port->refused = false;
	port->stream.ready(port->stream.ctx);
}

static void ready(struct virtio_device *device, struct virtio_queue *q)
{
	struct virtio_console *con = (struct virtio_console *)device;

	if (con->held || (q->index >= 2 && !virtio_has(device, F_MULTIPORT)))
		return;
	if (q->index == CONTROL_RECEIVE)
		console_control_send(con, q);
	else if (q->index == CONTROL_TRANSMIT)
		console_control_take(con, q);
	else if (q->index & 1)
		transmit(con, port_of(q->index), q);
	else
		ask_for_input(con, port_of(q->index));
}

/* --- size ------------------------------------------------------------------------- */

void virtio_console_resize(struct virtio_console *con, unsigned int cols,
			   unsigned int rows)
{
	struct virtio_device *dev = &con->virtio;

	host_lock(&dev->vm->device_lock);
	virtio_config_put(dev, CFG_COLS, 2, cols);
	virtio_config_put(dev, CFG_ROWS, 2, rows);
	host_unlock(&dev->vm->device_lock);
	host_lock(&con->lock);
	con->saved.cols = (uint16_t)cols;
	con->saved.rows = (uint16_t)rows;
	host_unlock(&con->lock);
	console_control_resized(con);
	virtio_config_changed(dev);
}

/* --- reset and saved state ---------------------------------------------------------- */

static void queue_reset(struct virtio_device *device, struct virtio_queue *q)
{
	struct virtio_console *con = (struct virtio_console *)device;

	con->saved.tx_done[port_of(q->index)] = 0;
}

static void reset(struct virtio_device *device)
{
	struct virtio_console *con = (struct virtio_console *)device;

	host_lock(&con->lock);
	for (unsigned int i = 0; i < con->ports; i++) {
		con->saved.tx_done[i] = 0;
		con->saved.pending[i] = 0;
		con->saved.added[i] = con->saved.ready[i] = false;
		atomic_store(&con->saved.guest_open[i], false);
	}
	host_unlock(&con->lock);
}

/* Nobody gives or takes any more; who is about to, is waited for. */
static void quiesce(void *object)
{
	struct virtio_console *con = object;

	con->held = true;
	for (unsigned int i = 0; i < con->ports && con->virtio.queue; i++) {
		struct virtio_queue *q = console_queue(con, i, false);

		host_lock(&q->lock);
		host_unlock(&q->lock);
	}
}

/* The queues are run by the virtio device, which comes after this one. */
static void resume(void *object)
{
	struct virtio_console *con = object;

	con->held = false;
}

static void saving(void *object)
{
	struct virtio_console *con = object;

	con->saved.ports = con->ports;
}

static int check(const void *object)
{
	const struct virtio_console *con = object;

	if (con->saved.ports != con->ports)
		return -VM_EBADMSG;
	for (unsigned int i = 0; i < VIRTIO_CONSOLE_PORTS_MAX; i++)
		if (con->saved.pending[i] & ~CONTROL_BITS)
			return -VM_EBADMSG;
	return 0;
}

#define SAVED(kind_, member_, count_)                                \
	{                                                            \
		.name = #member_, .type = (kind_),                   \
		.offset = offsetof(struct virtio_console, saved) +   \
			  offsetof(struct console_saved, member_),   \
		.count = (count_),                                   \
	}
#define PORTS VIRTIO_CONSOLE_PORTS_MAX

static const struct field console_fields[] = {
	SAVED(FIELD_U32, ports, 1),
	SAVED(FIELD_U16, cols, 1),
	SAVED(FIELD_U16, rows, 1),
	SAVED(FIELD_U32, tx_done, PORTS),
	SAVED(FIELD_U8, pending, PORTS),
	SAVED(FIELD_BOOL, added, PORTS),
	SAVED(FIELD_BOOL, ready, PORTS),
	SAVED(FIELD_BOOL, removed, PORTS),
	SAVED(FIELD_BOOL, host_open, PORTS),
	SAVED(FIELD_BOOL, guest_open, PORTS),
};

static const struct state_class console_state = {
	.name = "virtio-console",
	.version = 1,
	.size = sizeof(struct virtio_console),
	.fields = console_fields,
	.field_count = sizeof(console_fields) / sizeof(console_fields[0]),
	.check = check,
	.saving = saving,
};

/* --- making one ----------------------------------------------------------------------- */

static void fini(void *object)
{
	struct virtio_console *con = object;

	host_free(con->port);
	host_free(con);
}

/* Added before its parts, so that it ends after them. */
const struct device_class virtio_console_class = {
	.name = "virtio-console",
	.quiesce = quiesce,
	.resume = resume,
	.fini = fini,
	.state = &console_state,
};

static const struct virtio_class console_class = {
	.name = "console",
	.id = 3,
	.pci_class = 0x078000,
	.features = F_SIZE | F_MULTIPORT | F_EMERG_WRITE | VIRTIO_F_IN_ORDER,
	.config_size = CFG_SIZE,
	.ready = ready,
	.reset = reset,
	.queue_reset = queue_reset,
	.config_written = config_written,
};

static void take_config(struct virtio_console *con,
			const struct virtio_console_config *config)
{
	con->ports = config->ports;
	con->saved.cols = COLS;
	con->saved.rows = ROWS;
	for (unsigned int i = 0; i < config->ports; i++) {
		struct console_port *port = &con->port[i];
		const char *name = config->port[i].name;

		while (name[port->name_size] &&
		       port->name_size < VIRTIO_CONSOLE_NAME_MAX) {
			port->name[port->name_size] = name[port->name_size];
			port->name_size++;
		}
		port->stream = config->port[i].stream;
		con->saved.host_open[i] = config->port[i].open;
	}
}

int virtio_console_create(struct virtio_console **out, struct vm *vm,
			  const struct virtio_console_config *config)
{
	struct virtio_console *con = host_alloc(sizeof(*con));
	int err = -VM_ENOMEM;

	if (con)
		con->port = host_alloc(config->ports * sizeof(*con->port));
	if (con && con->port)
		err = vm_add_device(vm, &virtio_console_class, con);
	if (err) {
		if (con)
			host_free(con->port);
		host_free(con);
		return err;
	}
	take_config(con, config);
	err = virtio_init(&con->virtio, vm, &console_class,
			  2 * (config->ports + 1), QUEUE_SIZE);
	if (err)
		return err;
	virtio_config_put(&con->virtio, CFG_COLS, 2, COLS);
	virtio_config_put(&con->virtio, CFG_ROWS, 2, ROWS);
	virtio_config_put(&con->virtio, CFG_PORTS, 4, config->ports);
	err = virtio_pci_init(&con->pci, &con->virtio);
	if (!err)
		*out = con;
	return err;
}

struct pci_device *virtio_console_pci(struct virtio_console *con)
{
	return &con->pci.pci;
}
