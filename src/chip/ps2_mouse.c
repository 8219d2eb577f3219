/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PS/2 mouse; see ps2_mouse.h. Movement is collected while the controller
 * does not take it, and reported in as many packets as it needs.
 */
#include "chip/ps2_mouse.h"

#include "vm/bytes.h"
#include "vm/error.h"

/* Commands */
#define CMD_SCALE_1TO1 0xe6
#define CMD_SCALE_2TO1 0xe7
#define CMD_RESOLUTION 0xe8
#define CMD_STATUS     0xe9
#define CMD_STREAM     0xea
#define CMD_READ       0xeb
#define CMD_WRAP_OFF   0xec
#define CMD_WRAP_ON    0xee
#define CMD_REMOTE     0xf0
#define CMD_IDENTIFY   0xf2
#define CMD_RATE       0xf3
#define CMD_ENABLE     0xf4
#define CMD_DISABLE    0xf5
#define CMD_DEFAULTS   0xf6
#define CMD_RESEND     0xfe
#define CMD_RESET      0xff

#define RATE_DEFAULT	   100
#define RESOLUTION_DEFAULT 2
#define ID_PLAIN	   0
#define ID_WHEEL	   3
#define ID_BUTTONS	   4
#define STEP_MAX	   255 /* of one packet */
#define WHEEL_MAX	   7
#define BACKLOG_MAX	   4096 /* counts; more is lost */
#define PACKET_MAX	   4

static int clamp(int value, int limit)
{
	if (value > limit)
		return limit;
	return value < -limit ? -limit : value;
}

static void forget_movement(struct ps2_mouse *mouse)
{
	mouse->x = 0;
	mouse->y = 0;
	mouse->wheel = 0;
	mouse->changed = false;
}

/* First byte: buttons, signs; then x, y, and the wheel or more buttons. */
static void put_packet(struct ps2_mouse *mouse)
{
	struct ps2_queue *q = &mouse->queue;
	int x = clamp(mouse->x, STEP_MAX), y = clamp(mouse->y, STEP_MAX);
	int wheel = clamp(mouse->wheel, WHEEL_MAX);

	mouse->x -= x;
	mouse->y -= y;
	mouse->changed = false;
	ps2_queue_put(q, (uint8_t)(0x08 | (mouse->buttons & 7) |
				   (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0)));
	ps2_queue_put(q, (uint8_t)x);
	ps2_queue_put(q, (uint8_t)y);
	if (mouse->id == ID_PLAIN) {
		mouse->wheel = 0;
		return;
	}
	mouse->wheel -= wheel;
	if (mouse->id == ID_WHEEL)
		ps2_queue_put(q, (uint8_t)wheel);
	else
		ps2_queue_put(q, (uint8_t)((wheel & 15) |
					   (mouse->buttons & 0x18) << 1));
}

static bool has_news(const struct ps2_mouse *mouse)
{
	return mouse->changed || mouse->x || mouse->y || mouse->wheel;
}

/* Reports what there is to report, as far as the queue has room. */
static void report(struct ps2_mouse *mouse)
{
	while (mouse->reporting && !mouse->remote && !mouse->wrap &&
	       has_news(mouse) &&
	       ps2_queue_room(&mouse->queue) >= PS2_QUEUE_SIZE / 2)
		put_packet(mouse);
	ps2_device_ready(&mouse->device);
}

void ps2_mouse_move(struct ps2_mouse *mouse, int x, int y, int wheel,
		    unsigned int buttons)
{
	mouse->x = clamp(mouse->x + clamp(x, BACKLOG_MAX), BACKLOG_MAX);
	mouse->y = clamp(mouse->y - clamp(y, BACKLOG_MAX), BACKLOG_MAX);
	mouse->wheel = clamp(mouse->wheel + clamp(wheel, BACKLOG_MAX),
			     BACKLOG_MAX);
	if (mouse->buttons != (buttons & 0x1f)) {
		mouse->buttons = buttons & 0x1f;
		mouse->changed = true;
	}
	report(mouse);
}

static void set_defaults(struct ps2_mouse *mouse)
{
	mouse->rates[0] = RATE_DEFAULT;
	mouse->resolution = RESOLUTION_DEFAULT;
	mouse->scale_2to1 = false;
	mouse->reporting = false;
	mouse->remote = false;
	mouse->wrap = false;
	ps2_queue_clear(&mouse->queue);
	forget_movement(mouse);
}

static void put_status(struct ps2_mouse *mouse)
{
	const unsigned int buttons = mouse->buttons;

	ps2_queue_put(&mouse->queue,
		      (uint8_t)((buttons & PS2_MOUSE_RIGHT ? 1 : 0) |
				(buttons & PS2_MOUSE_MIDDLE ? 2 : 0) |
				(buttons & PS2_MOUSE_LEFT ? 4 : 0) |
				(mouse->scale_2to1 ? 0x10 : 0) |
				(mouse->reporting ? 0x20 : 0) |
				(mouse->remote ? 0x40 : 0)));
	ps2_queue_put(&mouse->queue, mouse->resolution);
	ps2_queue_put(&mouse->queue, mouse->rates[0]);
}

/* Commands that only change how the mouse works. */
static bool set_mode(struct ps2_mouse *mouse, uint8_t byte)
{
	switch (byte) {
	case CMD_SCALE_1TO1:
	case CMD_SCALE_2TO1:
		mouse->scale_2to1 = byte == CMD_SCALE_2TO1;
		return true;
	case CMD_STREAM:
	case CMD_REMOTE:
		mouse->remote = byte == CMD_REMOTE;
		return true;
	case CMD_WRAP_OFF:
	case CMD_WRAP_ON:
		mouse->wrap = byte == CMD_WRAP_ON;
		return true;
	case CMD_ENABLE:
	case CMD_DISABLE:
		mouse->reporting = byte == CMD_ENABLE;
		forget_movement(mouse);
		return true;
	case CMD_DEFAULTS:
		set_defaults(mouse);
		return true;
	default:
		return false;
	}
}

static void command(struct ps2_mouse *mouse, uint8_t byte)
{
	struct ps2_queue *q = &mouse->queue;

	if (set_mode(mouse, byte)) {
		ps2_queue_put(q, PS2_ACK);
		return;
	}
	switch (byte) {
	case CMD_RESOLUTION:
	case CMD_RATE:
		mouse->pending = byte;
		ps2_queue_put(q, PS2_ACK);
		break;
	case CMD_STATUS:
		ps2_queue_put(q, PS2_ACK);
		put_status(mouse);
		break;
	case CMD_READ:
		ps2_queue_put(q, PS2_ACK);
		put_packet(mouse);
		break;
	case CMD_IDENTIFY:
		ps2_queue_put(q, PS2_ACK);
		ps2_queue_put(q, mouse->id);
		break;
	case CMD_RESEND:
		ps2_queue_put(q, q->last);
		break;
	case CMD_RESET:
		set_defaults(mouse);
		mouse->id = ID_PLAIN;
		ps2_queue_put(q, PS2_ACK);
		ps2_queue_put(q, PS2_PASSED);
		ps2_queue_put(q, mouse->id);
		break;
	default:
		ps2_queue_put(q, PS2_RESEND);
		break;
	}
}

/* Rates 200, 100, 80 ask for the wheel; 200, 200, 80 then for five buttons. */
static void set_rate(struct ps2_mouse *mouse, uint8_t rate)
{
	uint8_t *r = mouse->rates;

	r[2] = r[1];
	r[1] = r[0];
	r[0] = rate;
	if (r[2] == 200 && r[1] == 100 && r[0] == 80)
		mouse->id = ID_WHEEL;
	else if (r[2] == 200 && r[1] == 200 && r[0] == 80 &&
		 mouse->id == ID_WHEEL)
		mouse->id = ID_BUTTONS;
}

static void mouse_write(void *object, uint8_t byte)
{
	struct ps2_mouse *mouse = object;
	uint8_t pending = mouse->pending;

	mouse->pending = 0;
	ps2_queue_clear(&mouse->queue); /* the rest of a packet is void */
	if (mouse->wrap && byte != CMD_WRAP_OFF && byte != CMD_RESET) {
		ps2_queue_put(&mouse->queue, byte);
	} else if (pending) {
		if (pending == CMD_RATE)
			set_rate(mouse, byte);
		else
			mouse->resolution = byte & 3;
		ps2_queue_put(&mouse->queue, PS2_ACK);
	} else {
		command(mouse, byte);
	}
	ps2_device_ready(&mouse->device);
}

static void mouse_drained(void *object)
{
	report(object);
}

static void mouse_reset(void *object)
{
	struct ps2_mouse *mouse = object;

	set_defaults(mouse);
	mouse->rates[1] = 0;
	mouse->rates[2] = 0;
	mouse->id = ID_PLAIN;
	mouse->pending = 0;
	mouse->buttons = 0;
	mouse->queue.last = 0;
}

static int mouse_check(const void *object)
{
	const struct ps2_mouse *mouse = object;

	return mouse->queue.head < PS2_QUEUE_SIZE &&
			       mouse->queue.count <= PS2_QUEUE_SIZE &&
			       clamp(mouse->x, BACKLOG_MAX) == mouse->x &&
			       clamp(mouse->y, BACKLOG_MAX) == mouse->y &&
			       clamp(mouse->wheel, BACKLOG_MAX) == mouse->wheel
		       ? 0
		       : -VM_EBADMSG;
}

static const struct field mouse_fields[] = {
	FIELD_ARRAY(struct ps2_mouse, FIELD_U8, queue.data, PS2_QUEUE_SIZE),
	FIELD(struct ps2_mouse, FIELD_U8, queue.head),
	FIELD(struct ps2_mouse, FIELD_U8, queue.count),
	FIELD(struct ps2_mouse, FIELD_U8, queue.last),
	FIELD(struct ps2_mouse, FIELD_U8, pending),
	FIELD(struct ps2_mouse, FIELD_U8, id),
	FIELD_ARRAY(struct ps2_mouse, FIELD_U8, rates, 3),
	FIELD(struct ps2_mouse, FIELD_U8, resolution),
	FIELD(struct ps2_mouse, FIELD_BOOL, scale_2to1),
	FIELD(struct ps2_mouse, FIELD_BOOL, reporting),
	FIELD(struct ps2_mouse, FIELD_BOOL, remote),
	FIELD(struct ps2_mouse, FIELD_BOOL, wrap),
	FIELD(struct ps2_mouse, FIELD_U8, buttons),
	FIELD(struct ps2_mouse, FIELD_BOOL, changed),
	FIELD(struct ps2_mouse, FIELD_U32, x),
	FIELD(struct ps2_mouse, FIELD_U32, y),
	FIELD(struct ps2_mouse, FIELD_U32, wheel),
};

static const struct state_class mouse_state = {
	.name = "ps2-mouse",
	.version = 1,
	.size = sizeof(struct ps2_mouse),
	.fields = mouse_fields,
	.field_count = sizeof(mouse_fields) / sizeof(mouse_fields[0]),
	.check = mouse_check,
};

const struct device_class ps2_mouse_class = {
	.name = "ps2-mouse",
	.reset = mouse_reset,
	.state = &mouse_state,
};

int ps2_mouse_init(struct ps2_mouse *mouse, struct vm *vm)
{
	memset(mouse, 0, sizeof(*mouse));
	mouse->device.write = mouse_write;
	mouse->device.drained = mouse_drained;
	mouse->device.object = mouse;
	mouse->device.queue = &mouse->queue;
	mouse_reset(mouse);
	return vm_add_device(vm, &ps2_mouse_class, mouse);
}
