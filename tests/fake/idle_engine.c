/* SPDX-License-Identifier: Apache-2.0 */
#include "fake/idle_engine.h"

static int idle_open(const struct engine_setup *setup, void **vm_engine)
{
	*vm_engine = NULL;
	return 0;
}

static void idle_close(void *vm_engine)
{
}

static int idle_map(void *vm_engine)
{
	return 0;
}

static int idle_cpu_open(void *vm_engine, struct x86_cpu *cpu)
{
	return 0;
}

static void idle_cpu_close(struct x86_cpu *cpu)
{
}

static void idle_kick(struct x86_cpu *cpu)
{
}

static int idle_state(struct x86_cpu *cpu)
{
	return 0;
}

const struct engine engine_idle = {
	.name = "idle",
	.open = idle_open,
	.close = idle_close,
	.map_memory = idle_map,
	.cpu_open = idle_cpu_open,
	.cpu_close = idle_cpu_close,
	.kick = idle_kick,
	.put_state = idle_state,
	.get_state = idle_state,
};
