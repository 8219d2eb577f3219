/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what a debugger may send to the GDB stub: raw bytes, and lines that
 * are made into packets with right sums. The machine has two processors that
 * never run.
 */
#include "fuzz_gdb.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/gdb/gdb.h"
#include "x86/cpu.h"

#define RAM_SIZE 0x200000u
#define CPUS	 2u

static struct vm vm;
static struct cpuid_policy policy;
static struct pause pause_state;
static struct gdb *gdb;
static bool closed;

static void ignore_kick(struct x86_cpu *cpu)
{
}

static int keep_state(struct x86_cpu *cpu)
{
	x86_cpu_state_changed(cpu);
	return 0;
}

static void keep_debug(struct x86_cpu *cpu, const struct x86_debug *debug,
		       bool step)
{
	cpu->debug = debug;
}

static const struct engine idle_engine = {
	.name = "idle",
	.kick = ignore_kick,
	.put_state = keep_state,
	.get_state = keep_state,
	.debug = keep_debug,
};

static void take_bytes(void *ctx, const char *data, size_t size)
{
}

static void take_close(void *ctx)
{
	closed = true;
}

static void open_machine(void)
{
	const struct gdb_send send = { take_bytes, take_close, NULL };

	vm_init(&vm, "fuzz");
	if (memory_init(&vm.memory, RAM_SIZE, 0) ||
	    memory_add(&vm.memory, MEMORY_RAM, gpa(0), RAM_SIZE, "ram"))
		abort();
	cpuid_policy_init(&policy, CPUS, 1 << 20);
	for (vm.cpu_count = 0; vm.cpu_count < CPUS; vm.cpu_count++) {
		vm.cpu[vm.cpu_count] =
			x86_cpu_create(&vm, vm.cpu_count, &policy);
		if (!vm.cpu[vm.cpu_count])
			abort();
	}
	pause_init(&pause_state);
	pause_begin(&pause_state, &vm, &idle_engine);
	gdb = gdb_create(&send);
	if (!gdb)
		abort();
	gdb_set_machine(gdb, &vm, &idle_engine, &pause_state);
}

/* The bytes as they are, then each of their lines in a frame. */
static void send_lines(const char *data, size_t size)
{
	uint8_t sum = 0;
	char end[3];

	gdb_receive(gdb, data, size);
	gdb_receive(gdb, "#00", 3);
	for (size_t at = 0, next; at < size && !closed; at = next + 1) {
		for (next = at, sum = 0; next < size && data[next] != '\n';)
			sum += (uint8_t)data[next++];
		gdb_receive(gdb, "$", 1);
		gdb_receive(gdb, data + at, next - at);
		end[0] = '#';
		end[1] = "0123456789abcdef"[sum >> 4];
		end[2] = "0123456789abcdef"[sum & 15];
		gdb_receive(gdb, end, sizeof(end));
		/* What runs is stopped. */
		gdb_receive(gdb, "\x03", 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!gdb)
		open_machine();
	atomic_store(&vm.request, VM_RUN);
	closed = false;
	gdb_connected(gdb);
	send_lines((const char *)data, size);
	gdb_disconnected(gdb);
	return 0;
}
