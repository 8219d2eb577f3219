/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PS/2 keyboard; see ps2_keyboard.h. Left out: scan code sets 1 and 3 as the
 * keyboard's own (no system asks for them since the controller translates)
 * and typematic repetition, which whoever presses the keys does.
 */
#include "chip/ps2_keyboard.h"

#include "vm/bytes.h"
#include "vm/error.h"

/* Commands */
#define CMD_LEDS       0xed
#define CMD_ECHO       0xee
#define CMD_SCAN_CODES 0xf0
#define CMD_IDENTIFY   0xf2
#define CMD_RATE       0xf3
#define CMD_ENABLE     0xf4
#define CMD_DISABLE    0xf5
#define CMD_DEFAULTS   0xf6
#define CMD_SET3_FIRST 0xf7 /* all keys typematic, make/break, ... */
#define CMD_SET3_LAST  0xfd
#define CMD_RESEND     0xfe
#define CMD_RESET      0xff

#define SCAN_CODE_SET 2
#define RATE_DEFAULT  0x2b
#define BREAK	      0xf0
#define EXTENDED      0xe0

/* Longest sequence of a key: Pause. */
#define SEQUENCE_MAX 8

/*
 * Scan code set 2 by key, 0: no such key. E000 marks the prefix E0. Print
 * Screen and Pause have sequences of their own.
 */
static const uint16_t codes[KEY_COUNT] = {
	/* A to Z */
	[0x04] = 0x1c, 0x32, 0x21, 0x23, 0x24, 0x2b, 0x34, 0x33, 0x43, 0x3b,
	0x42, 0x4b, 0x3a, 0x31, 0x44, 0x4d, 0x15, 0x2d, 0x1b, 0x2c, 0x3c,
	0x2a, 0x1d, 0x22, 0x35, 0x1a,
	/* 1 to 9, 0 */
	[KEY_1] = 0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45,
	/* Enter to slash */
	[KEY_ENTER] = 0x5a, 0x76, 0x66, 0x0d, 0x29, 0x4e, 0x55, 0x54, 0x5b,
	0x5d, 0x5d, 0x4c, 0x52, 0x0e, 0x41, 0x49, 0x4a,
	[KEY_CAPS_LOCK] = 0x58,
	/* F1 to F12 */
	[KEY_F1] = 0x05, 0x06, 0x04, 0x0c, 0x03, 0x0b, 0x83, 0x0a, 0x01, 0x09,
	0x78, 0x07,
	[KEY_SCROLL_LOCK] = 0x7e,
	/* Insert to the arrows */
	[KEY_INSERT] = 0xe070, 0xe06c, 0xe07d, 0xe071, 0xe069, 0xe07a, 0xe074,
	0xe06b, 0xe072, 0xe075,
	/* the number pad */
	[KEY_NUM_LOCK] = 0x77, 0xe04a, 0x7c, 0x7b, 0x79, 0xe05a, 0x69, 0x72,
	0x7a, 0x6b, 0x73, 0x74, 0x6c, 0x75, 0x7d, 0x70, 0x71,
	[KEY_102ND] = 0x61, 0xe02f, 0xe037, 0x0f,
	/* F13 to F24 */
	[0x68] = 0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38, 0x40, 0x48, 0x50,
	0x57, 0x5f,
	/* keys of Brazil and Japan */
	[0x85] = 0x6d, [0x87] = 0x51, 0x13, 0x6a, 0x64, 0x67,
	[KEY_LEFT_CTRL] = 0x14, 0x12, 0x11, 0xe01f, 0xe014, 0x59, 0xe011,
	0xe027,
};

static const uint8_t print_screen_down[] = { 0xe0, 0x12, 0xe0, 0x7c };
static const uint8_t print_screen_up[] = { 0xe0, 0xf0, 0x7c,
					   0xe0, 0xf0, 0x12 };
/* Pause has no release. */
static const uint8_t pause[] = { 0xe1, 0x14, 0x77, 0xe1,
				 0xf0, 0x14, 0xf0, 0x77 };

static void put_all(struct ps2_keyboard *kbd, const uint8_t *bytes,
		    unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		ps2_queue_put(&kbd->queue, bytes[i]);
}

static void put_code(struct ps2_keyboard *kbd, unsigned int code, bool down)
{
	if (code >> 8)
		ps2_queue_put(&kbd->queue, EXTENDED);
	if (!down)
		ps2_queue_put(&kbd->queue, BREAK);
	ps2_queue_put(&kbd->queue, (uint8_t)code);
}

void ps2_keyboard_key(struct ps2_keyboard *kbd, unsigned int key, bool down)
{
	const uint8_t bit = (uint8_t)(1u << (key & 7));

	if (key >= KEY_COUNT || !kbd->scanning ||
	    ps2_queue_room(&kbd->queue) < SEQUENCE_MAX)
		return;
	/* A release without a press may come when the window got focus. */
	if (!down && !(kbd->down[key / 8] & bit))
		return;
	if (down)
		kbd->down[key / 8] |= bit;
	else
		kbd->down[key / 8] &= (uint8_t)~bit;
	if (key == KEY_PRINT_SCREEN && down)
		put_all(kbd, print_screen_down, sizeof(print_screen_down));
	else if (key == KEY_PRINT_SCREEN)
		put_all(kbd, print_screen_up, sizeof(print_screen_up));
	else if (key == KEY_PAUSE && down)
		put_all(kbd, pause, sizeof(pause));
	else if (codes[key])
		put_code(kbd, codes[key], down);
	ps2_device_ready(&kbd->device);
}

static void set_defaults(struct ps2_keyboard *kbd)
{
	kbd->rate = RATE_DEFAULT;
	memset(kbd->down, 0, sizeof(kbd->down));
	ps2_queue_clear(&kbd->queue);
}

static void command(struct ps2_keyboard *kbd, uint8_t byte)
{
	struct ps2_queue *q = &kbd->queue;

	switch (byte) {
	case CMD_LEDS:
	case CMD_SCAN_CODES:
	case CMD_RATE:
		kbd->pending = byte;
		ps2_queue_put(q, PS2_ACK);
		break;
	case CMD_ECHO:
		ps2_queue_put(q, CMD_ECHO);
		break;
	case CMD_IDENTIFY:
		ps2_queue_put(q, PS2_ACK);
		ps2_queue_put(q, 0xab);
		ps2_queue_put(q, 0x83);
		break;
	case CMD_ENABLE:
		ps2_queue_clear(q);
		kbd->scanning = true;
		ps2_queue_put(q, PS2_ACK);
		break;
	case CMD_DISABLE:
	case CMD_DEFAULTS:
		set_defaults(kbd);
		kbd->scanning = byte == CMD_DEFAULTS && kbd->scanning;
		ps2_queue_put(q, PS2_ACK);
		break;
	case CMD_SET3_FIRST ... CMD_SET3_LAST:
		ps2_queue_put(q, PS2_ACK);
		break;
	case CMD_RESEND:
		ps2_queue_put(q, q->last);
		break;
	case CMD_RESET:
		set_defaults(kbd);
		kbd->leds = 0;
		kbd->scanning = true;
		ps2_queue_put(q, PS2_ACK);
		ps2_queue_put(q, PS2_PASSED);
		break;
	default:
		ps2_queue_put(q, PS2_RESEND);
		break;
	}
}

/* The byte that a command waits for. */
static void argument(struct ps2_keyboard *kbd, uint8_t to, uint8_t byte)
{
	struct ps2_queue *q = &kbd->queue;

	if (to == CMD_LEDS)
		kbd->leds = byte & 7;
	else if (to == CMD_RATE)
		kbd->rate = byte & 0x7f;
	if (to == CMD_SCAN_CODES && byte && byte != SCAN_CODE_SET) {
		ps2_queue_put(q, PS2_RESEND);
		return;
	}
	ps2_queue_put(q, PS2_ACK);
	if (to == CMD_SCAN_CODES && !byte)
		ps2_queue_put(q, SCAN_CODE_SET);
}

static void keyboard_write(void *object, uint8_t byte)
{
	struct ps2_keyboard *kbd = object;
	uint8_t pending = kbd->pending;

	kbd->pending = 0;
	/* A command's number instead of its byte starts that command. */
	if (pending && byte < CMD_LEDS)
		argument(kbd, pending, byte);
	else
		command(kbd, byte);
	ps2_device_ready(&kbd->device);
}

static void keyboard_reset(void *object)
{
	struct ps2_keyboard *kbd = object;

	set_defaults(kbd);
	kbd->pending = 0;
	kbd->leds = 0;
	kbd->scanning = true;
	kbd->queue.last = 0;
}

static int keyboard_check(const void *object)
{
	const struct ps2_keyboard *kbd = object;

	return kbd->queue.head < PS2_QUEUE_SIZE &&
			       kbd->queue.count <= PS2_QUEUE_SIZE
		       ? 0
		       : -VM_EBADMSG;
}

static const struct field keyboard_fields[] = {
	FIELD_ARRAY(struct ps2_keyboard, FIELD_U8, queue.data, PS2_QUEUE_SIZE),
	FIELD(struct ps2_keyboard, FIELD_U8, queue.head),
	FIELD(struct ps2_keyboard, FIELD_U8, queue.count),
	FIELD(struct ps2_keyboard, FIELD_U8, queue.last),
	FIELD(struct ps2_keyboard, FIELD_U8, pending),
	FIELD(struct ps2_keyboard, FIELD_U8, leds),
	FIELD(struct ps2_keyboard, FIELD_U8, rate),
	FIELD(struct ps2_keyboard, FIELD_BOOL, scanning),
	FIELD_ARRAY(struct ps2_keyboard, FIELD_U8, down, (KEY_COUNT + 7) / 8),
};

static const struct state_class keyboard_state = {
	.name = "ps2-keyboard",
	.version = 1,
	.size = sizeof(struct ps2_keyboard),
	.fields = keyboard_fields,
	.field_count = sizeof(keyboard_fields) / sizeof(keyboard_fields[0]),
	.check = keyboard_check,
};

const struct device_class ps2_keyboard_class = {
	.name = "ps2-keyboard",
	.reset = keyboard_reset,
	.state = &keyboard_state,
};

int ps2_keyboard_init(struct ps2_keyboard *kbd, struct vm *vm)
{
	memset(kbd, 0, sizeof(*kbd));
	kbd->device.write = keyboard_write;
	kbd->device.object = kbd;
	kbd->device.queue = &kbd->queue;
	keyboard_reset(kbd);
	return vm_add_device(vm, &ps2_keyboard_class, kbd);
}
