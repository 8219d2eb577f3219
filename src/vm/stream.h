/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream contract: what a device may ask of the outer end of a byte
 * stream (a terminal, a file, ...), whoever keeps that. Both sides say how
 * much they took, and tell when they can take more: nothing is dropped and
 * nobody asks again and again.
 *
 * The device calls these on any thread, with locks of its own held: they must
 * neither wait nor call the device.
 */
#ifndef LODGE_VM_STREAM_H
#define LODGE_VM_STREAM_H

#include <stdint.h>

struct stream {
	/*
	 * Bytes out of the machine; how many were taken. After fewer than
	 * `count` the device is told when there is room again.
	 */
	unsigned int (*write)(void *ctx, const uint8_t *data,
			      unsigned int count);
	/* The device takes input again, having taken less than it was given. */
	void (*ready)(void *ctx);
	void *ctx;
};

#endif
