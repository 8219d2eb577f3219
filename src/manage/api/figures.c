/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one machine uses of the host and has done with its disks and cards.
 */
#include "host/linux/process_use.h"
#include "manage/api/impl.h"
#include "manage/figures.h"
#include "manage/limits/limiter.h"
#include "manage/vm/vm.h"

/* Of the host: its process and helpers, and what its group may have. */
static void add_use(json_t *answer, const struct vm *vm)
{
	struct cgroup_usage usage;
	struct process_use use;

	process_use(vm->process.pid, &use);
	if (vm->process.pidfd < 0 || !use.processes)
		return;
	json_object_set_new(answer, "pid", json_integer(vm->process.pid));
	json_object_set_new(answer, "processes", json_integer(use.processes));
	json_object_set_new(answer, "cpu_seconds",
			    json_real((double)use.cpu_ns / 1e9));
	json_object_set_new(answer, "memory",
			    json_integer((json_int_t)use.memory));
	if (limiter_usage(vm->manager->limiter, vm, &usage) &&
	    usage.memory_limit != UINT64_MAX)
		json_object_set_new(
			answer, "memory_limit",
			json_integer((json_int_t)usage.memory_limit));
	if (!use.has_io)
		return;
	json_object_set_new(answer, "read_bytes",
			    json_integer((json_int_t)use.read));
	json_object_set_new(answer, "written_bytes",
			    json_integer((json_int_t)use.written));
}

static void tell(struct api_call *call)
{
	struct problem problem;
	struct vm *vm = manager_find(call->api->manager, call->part[2],
				     &problem);
	const json_t *told;
	json_t *answer;

	/* It may have been deleted meanwhile. */
	if (!vm) {
		api_refuse(call, &problem);
		return;
	}
	told = figures_of(call->figures, vm);
	answer = json_pack("{ss ss ss sO* sO*}", "id", vm->row.id, "name",
			   vm->row.name, "state",
			   lifecycle_state_name(vm->state), "disks",
			   json_object_get(told, "disks"), "networks",
			   json_object_get(told, "nets"));
	add_use(answer, vm);
	api_answer(call, 200, answer);
}

static void get_figures(struct api_call *call)
{
	struct problem problem;
	struct vm *vm = manager_find(call->api->manager, call->part[2],
				     &problem);

	if (vm)
		api_wait_figures(call, vm, tell);
	else
		api_refuse(call, &problem);
}

const struct api_route api_figure_routes[] = {
	{ "GET", "/v1/vms/{vm}/figures", ROLE_VIEWER, get_figures },
	{ 0 },
};
