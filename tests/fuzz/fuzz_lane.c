/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the other side of a ring: positions and descriptions of all kinds,
 * between frames that are taken and put. The sanitizer, and the pages behind
 * the rings, tell of a byte too far.
 */
#include "fuzz_device.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/switch/lane.h"
#include "net/switch/wire.h"

static struct lane_pair pair;
static uint64_t sink;

static void make_pair(void)
{
	int fd = lane_memory();

	if (fd < 0 || lane_map(&pair, fd))
		abort();
	close(fd);
}

static uint32_t take32(const uint8_t **data, size_t *size)
{
	uint32_t value = 0;
	size_t part = *size < 4 ? *size : 4;

	memcpy(&value, *data, part);
	*data += part;
	*size -= part;
	return value;
}

static void take_frames(void)
{
	struct lane *lane = &pair.to_switch;
	struct nic_frame frame;
	const uint8_t *bytes;

	for (unsigned int i = 0;
	     i < 64 && lane_peek(lane, &frame, &bytes) == LANE_FRAME; i++) {
		if (frame.size < NIC_FRAME_MIN || frame.size > NIC_FRAME_MAX ||
		    (frame.cut && !frame.segment))
			abort();
		if (frame.sum == NIC_SUM_OPEN)
			sink += bytes[frame.sum_start + frame.sum_offset + 1];
		sink += bytes[0] + bytes[frame.size - 1];
		lane_take(lane, frame.size);
	}
}

static void put_frame(uint32_t size)
{
	struct lane *lane = &pair.to_machine;
	const struct nic_frame frame = {
		.size = NIC_FRAME_MIN + size % (NIC_FRAME_MAX - NIC_FRAME_MIN),
	};
	uint8_t *to = lane_place(lane, frame.size);

	if (!to)
		return;
	to[0] = to[frame.size - 1] = 1;
	lane_put(lane, &frame);
}

/* What the other may write: anywhere near where is looked, most of all. */
static void write_bytes(const uint8_t **data, size_t *size)
{
	uint32_t at = pair.to_switch.own & (WIRE_TO_SWITCH - 1);
	size_t part = *size < 16 ? *size : 16;

	memcpy(pair.to_switch.bytes + at, *data, part);
	*data += part;
	*size -= part;
}

static void begin(void)
{
	memset(pair.page, 0, WIRE_PAGE);
	pair.to_switch.own = pair.to_machine.own = 0;
	pair.to_switch.broken = pair.to_machine.broken = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!pair.page)
		make_pair();
	begin();
	while (size > 1) {
		uint8_t step = *data++;

		size--;
		switch (step % 6) {
		case 0:
			atomic_store(&pair.to_switch.shared->head,
				     take32(&data, &size));
			break;
		case 1:
			atomic_store(&pair.to_machine.shared->tail,
				     take32(&data, &size));
			break;
		case 2: /* one that can be */
			atomic_store(&pair.to_switch.shared->head,
				     pair.to_switch.own +
				     (take32(&data, &size) % WIRE_TO_SWITCH &
				      ~(LANE_ALIGN - 1)));
			break;
		case 3:
			write_bytes(&data, &size);
			break;
		case 4:
			put_frame(take32(&data, &size));
			break;
		default:
			take_frames();
			break;
		}
	}
	take_frames();
	return 0;
}
