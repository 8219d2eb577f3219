/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that keeps buffers until it is told to give them back, its driver,
 * and the machine around them. Each test program has one.
 */
#ifndef LODGE_VIRTIO_BOX_H
#define LODGE_VIRTIO_BOX_H

#include <stdio.h>

#include "driver.h"
#include "virtio/ring.h"

#define SIZE	8
#define KEEP	16
#define PACKED	VIRTIO_F_RING_PACKED
#define EVENT	VIRTIO_F_EVENT_IDX
#define INDIRECT VIRTIO_F_INDIRECT_DESC

/* A device that copies what it reads to what it may write. */
struct box {
	struct virtio_device virtio;
	struct virtio_pci pci;
	struct virtio_buffer buffer[KEEP];
	unsigned int kept;
	bool keep; /* until box_give() */
	unsigned int readies, resets;
	unsigned int config_at;
	uint32_t config_value;
};

extern struct pci_rig rig;
extern struct box box;
extern struct driver driver;

int setup(void **state);
int teardown(void **state);

/* A driver with `features` and one queue of SIZE entries. */
void start(uint64_t features);

/* Gives the kept buffers back, the last first. */
void box_give(void);

/* A chain of `text` and then 64 writable bytes; the text comes back. */
uint16_t offer_text(const char *text);
void expect_text(uint16_t id, const char *text);
void expect_nothing(void);

/* Runs a test for each ring format, with and without event indexes. */
#define EACH_FORMAT(name_)                                                 \
	static void name_(void **state)                                    \
	{                                                                  \
		static const uint64_t formats[] = { 0, EVENT, PACKED,      \
						    PACKED | EVENT };      \
		for (unsigned int i_ = 0; i_ < 4; i_++) {                  \
			name_##_in(formats[i_]);                           \
			teardown(state);                                   \
			setup(state);                                      \
		}                                                          \
	}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
