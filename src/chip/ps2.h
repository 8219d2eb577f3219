/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PS/2 device as its controller sees it: bytes to it, bytes from it, and a
 * clock line that the controller can hold. The keyboard is in
 * ps2_keyboard.h, the mouse in ps2_mouse.h, the controller in i8042.h. All
 * of it is called with the device lock held.
 */
#ifndef LODGE_CHIP_PS2_H
#define LODGE_CHIP_PS2_H

#include <stdbool.h>
#include <stdint.h>

#define PS2_ACK	   0xfa
#define PS2_RESEND 0xfe
#define PS2_PASSED 0xaa /* self-test */

#define PS2_QUEUE_SIZE 64

/* Bytes on their way to the controller. */
struct ps2_queue {
	uint8_t data[PS2_QUEUE_SIZE];
	uint8_t head, count;
	uint8_t last; /* sent last, for "resend" */
};

/* What a device is to its controller. */
struct ps2_device {
	void (*write)(void *object, uint8_t byte);
	/* The last byte of `queue` was taken; may be NULL. */
	void (*drained)(void *object);
	void *object;
	struct ps2_queue *queue;
	/* The controller's: there is a byte in `queue`. */
	void (*ready)(void *controller);
	void *controller;
};

static inline void ps2_queue_clear(struct ps2_queue *q)
{
	q->head = 0;
	q->count = 0;
}

static inline unsigned int ps2_queue_room(const struct ps2_queue *q)
{
	return PS2_QUEUE_SIZE - q->count;
}

/* A byte that finds no room is dropped. */
static inline void ps2_queue_put(struct ps2_queue *q, uint8_t byte)
{
	if (q->count < PS2_QUEUE_SIZE)
		q->data[(q->head + q->count++) % PS2_QUEUE_SIZE] = byte;
}

/* Only when count is not 0. */
static inline uint8_t ps2_queue_take(struct ps2_queue *q)
{
	q->last = q->data[q->head];
	q->head = (q->head + 1) % PS2_QUEUE_SIZE;
	q->count--;
	return q->last;
}

static inline void ps2_device_ready(const struct ps2_device *device)
{
	if (device->queue->count && device->ready)
		device->ready(device->controller);
}

#endif
