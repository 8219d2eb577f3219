/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console device on a bench; see ports.h.
 */
#include "ports.h"

#define AREA(queue) (DRIVER_DATA + 0x2000u * (queue))
#define SLOT	    0x100u /* bytes of a buffer's place, SIZE of them */

struct pci_rig rig;
struct virtio_console *con;
struct outside outside[PORTS];
struct driver driver;

static unsigned int place[QUEUES], taken[QUEUES]; /* of each queue's buffers */

static unsigned int write_out(void *ctx, const uint8_t *data,
			      unsigned int count)
{
	struct outside *o = ctx;

	if (count > o->room)
		count = o->room;
	assert_true(o->count + count <= sizeof(o->got));
	memcpy(o->got + o->count, data, count);
	o->count += count;
	o->room -= count;
	return count;
}

static void input_wanted(void *ctx)
{
	((struct outside *)ctx)->readies++;
}

int setup(void **state)
{
	static const char *const names[PORTS] = { "console", "agent", "log" };
	struct virtio_console_port port[PORTS];
	const struct virtio_console_config config = { port, PORTS };

	pci_rig_init(&rig);
	memset(outside, 0, sizeof(outside));
	for (unsigned int i = 0; i < PORTS; i++) {
		outside[i].room = 1000;
		port[i] = (struct virtio_console_port){
			.name = names[i],
			.stream = { write_out, input_wanted, &outside[i] },
			.open = i != 2,
		};
	}
	assert_int_equal(host_worker_create(&rig.rig.vm.worker, "devices"), 0);
	assert_int_equal(virtio_console_create(&con, &rig.rig.vm, &config), 0);
	assert_int_equal(pci_attach(&rig.host.root, virtio_console_pci(con),
				    DRIVER_DEVFN), 0);
	return 0;
}

int teardown(void **state)
{
	pci_rig_fini(&rig);
	assert_int_equal(fake_live(), 0);
	return 0;
}

void start(uint64_t features)
{
	memset(place, 0, sizeof(place));
	memset(taken, 0, sizeof(taken));
	driver_start(&driver, &rig, features,
		     features & F_MULTIPORT ? QUEUES : 2, SIZE);
	rig.sent_count = 0;
}

/* Takes what was said, and makes room for as much again. */
static void hear_all(void)
{
	uint32_t size;
	uint16_t id;

	do {
		listen(SIZE - (place[CONTROL_RECEIVE] -
			       taken[CONTROL_RECEIVE]));
		while (driver_take(&driver, CONTROL_RECEIVE, &id, &size))
			taken[CONTROL_RECEIVE]++;
	} while (place[CONTROL_RECEIVE] != taken[CONTROL_RECEIVE] + SIZE);
}

void start_ports(uint64_t features)
{
	start(features | F_MULTIPORT);
	say(0, DEVICE_READY, 1);
	hear_all();
	for (unsigned int i = 0; i < PORTS; i++) {
		say(i, PORT_READY, 1);
		say(i, PORT_OPEN, 1);
		hear_all();
	}
}

/* --- queues ------------------------------------------------------------------ */

static uint64_t next_place(unsigned int queue)
{
	return AREA(queue) + SLOT * (place[queue]++ % SIZE);
}

static uint64_t next_taken(unsigned int queue)
{
	return AREA(queue) + SLOT * (taken[queue]++ % SIZE);
}

static void send(unsigned int queue, const void *data, unsigned int size)
{
	const struct driver_desc desc = { next_place(queue), size, 0 };

	driver_poke(&driver, desc.addr, data, size);
	driver_offer(&driver, queue, &desc, 1);
}

static void offer_room(unsigned int queue, unsigned int size)
{
	const struct driver_desc desc = { next_place(queue), size,
					  VIRTQ_WRITE };

	driver_offer(&driver, queue, &desc, 1);
}

void say_bytes(const void *data, unsigned int size)
{
	uint32_t written;
	uint16_t id;

	send(CONTROL_TRANSMIT, data, size);
	driver_notify(&driver, CONTROL_TRANSMIT);
	assert_true(driver_take(&driver, CONTROL_TRANSMIT, &id, &written));
	assert_int_equal(written, 0);
}

void say(uint32_t id, uint16_t event, uint16_t value)
{
	const struct {
		uint32_t id;
		uint16_t event, value;
	} message = { id, event, value };

	say_bytes(&message, sizeof(message));
}

void listen(unsigned int buffers)
{
	while (buffers--)
		offer_room(CONTROL_RECEIVE, 64);
	driver_notify(&driver, CONTROL_RECEIVE);
}

void expect_said(uint32_t id, uint16_t event, uint16_t value, const void *more,
		 unsigned int size)
{
	struct {
		uint32_t id;
		uint16_t event, value;
		uint8_t more[56];
	} message;
	uint32_t written;
	uint16_t ring_id;

	assert_true(driver_take(&driver, CONTROL_RECEIVE, &ring_id, &written));
	driver_peek(&driver, next_taken(CONTROL_RECEIVE), &message,
		    sizeof(message));
	assert_int_equal(message.id, id);
	assert_int_equal(message.event, event);
	assert_int_equal(message.value, value);
	assert_int_equal(written, 8 + size);
	if (size)
		assert_memory_equal(message.more, more, size);
}

void expect_silence(void)
{
	uint32_t written;
	uint16_t id;

	assert_false(driver_take(&driver, CONTROL_RECEIVE, &id, &written));
}

/* --- data --------------------------------------------------------------------- */

void offer_out(unsigned int port, const char *text)
{
	send(TX(port), text, (unsigned int)strlen(text));
}

void offer_in(unsigned int port, unsigned int size)
{
	offer_room(RX(port), size);
}

void expect_in(unsigned int port, const char *text)
{
	char got[SLOT];
	uint32_t written;
	uint16_t id;

	assert_true(driver_take(&driver, RX(port), &id, &written));
	driver_peek(&driver, next_taken(RX(port)), got, sizeof(got));
	assert_int_equal(written, strlen(text));
	assert_memory_equal(got, text, written);
}

void expect_no_in(unsigned int port)
{
	uint32_t written;
	uint16_t id;

	assert_false(driver_take(&driver, RX(port), &id, &written));
}

void expect_out(unsigned int port, const char *text)
{
	struct outside *o = &outside[port];

	assert_int_equal(o->count, strlen(text));
	assert_memory_equal(o->got, text, o->count);
	o->count = 0;
}

unsigned int type(unsigned int port, const char *text)
{
	return virtio_console_receive(con, port, (const uint8_t *)text,
				      (unsigned int)strlen(text));
}
