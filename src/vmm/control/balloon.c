/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command balloon of the control protocol: how much memory the guest has,
 * should have and holds, and what it tells of its use.
 */
#include "board/board.h"
#include "virtio/balloon.h"
#include "vmm/control/impl.h"

#define PAGE	 4096u
#define NS_PER_S 1e9

static const char *const stat_names[VIRTIO_BALLOON_STATS] = {
	"swapped_in",	"swapped_out", "major_faults",
	"minor_faults", "free",	       "total",
	"available",	"caches",      "hugepages_allocated",
	"hugepages_failed",
};

/* Hostile numbers stay numbers: JSON has no more than 63 bits for them. */
static json_int_t number(uint64_t value)
{
	return value > INT64_MAX ? INT64_MAX : (json_int_t)value;
}

static json_t *stats_json(const struct virtio_balloon_stats *stats)
{
	json_t *object;

	if (!stats->known)
		return json_null();
	object = json_object();
	for (unsigned int i = 0; i < VIRTIO_BALLOON_STATS; i++)
		if (stats->known & 1u << i)
			json_object_set_new(object, stat_names[i],
					    json_integer(number(
						    stats->value[i])));
	return object;
}

/* What is left of `memory` without a balloon of `bytes`. */
static json_int_t without(uint64_t memory, uint64_t bytes)
{
	return number(bytes < memory ? memory - bytes : 0);
}

json_t *control_balloon_json(const struct control_target *target)
{
	struct vm *vm = board_vm(target->board);
	struct virtio_balloon_info info;
	json_t *age = json_null();

	virtio_balloon_get(board_balloon(target->board), &info);
	if (info.stats.known)
		age = json_real((double)(clock_now(&vm->clock) -
					 info.stats.at) / NS_PER_S);
	return json_pack("{sbsIsIsIsoso}", "driver", (int)info.driver,
			 "target", without(target->memory, info.target),
			 "size", without(target->memory, info.actual),
			 "touched", number(host_ram_touched(&vm->memory.ram)),
			 "statistics", stats_json(&info.stats), "age", age);
}

/* False with a refusal. */
static bool set_target(struct control_machine *machine, const json_t *size,
		       struct control_reply *reply)
{
	const struct control_target *target = &machine->target;
	json_int_t bytes = json_integer_value(size);

	if (!json_is_integer(size) || bytes <= 0 || bytes % PAGE) {
		control_refuse(reply, "bad-request",
			       "\"size\" is a number of bytes, a multiple of "
			       "%u", PAGE);
		return false;
	}
	if ((uint64_t)bytes > target->memory) {
		control_refuse(reply, "bad-request",
			       "it has %llu MiB of memory; give a size up to "
			       "that",
			       (unsigned long long)target->memory >> 20);
		return false;
	}
	virtio_balloon_set_target(board_balloon(target->board),
				  target->memory - (uint64_t)bytes);
	return true;
}

void control_balloon(struct control_machine *machine, const json_t *request,
		     struct control_reply *reply)
{
	const json_t *size = json_object_get(request, "size");

	if (size && !set_target(machine, size, reply))
		return;
	if (balloon_wait_start(machine->balloon))
		reply->later = CONTROL_BALLOON;
	else
		reply->result = control_balloon_json(&machine->target);
}
