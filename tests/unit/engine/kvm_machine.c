/* SPDX-License-Identifier: Apache-2.0 */
/* See kvm_machine.h. */
#include "test.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kvm_machine.h"

#define WAIT_NS 20000000000ull

void machine_load(struct kvm_machine *m, const struct kvm_guest *guest)
{
	const struct board_boot boot = {
		.kind = BOOT_FLAT,
		.kernel = guest->begin,
		.kernel_size = (uint64_t)(guest->end - guest->begin),
		.flat_address = GUEST_ENTRY,
		.flat_entry = GUEST_ENTRY,
		.flat_long = true,
	};
	const uint64_t none[8] = { 0 };
	struct boot_error error;

	memory_write(&m->vm->memory, gpa(GUEST_COUNT), none, sizeof(none));
	assert_int_equal(board_load(m->board, &boot, &error), 0);
	assert_int_equal(m->engine->put_state(m->cpu), 0);
}

void machine_build(struct kvm_machine *m, const struct engine *engine,
		   const struct kvm_guest *guest)
{
	const struct board_config config = {
		.name = "test",
		.cpus = 1,
		.memory = MACHINE_MEMORY,
		.engine = engine,
	};

	*m = (struct kvm_machine){ .engine = engine };
	assert_int_equal(board_build(&config, &m->board), 0);
	m->vm = board_vm(m->board);
	m->cpu = m->vm->cpu[0];
	m->engine_vm = board_engine_vm(m->board);
	if (guest)
		machine_load(m, guest);
}

void machine_destroy(struct kvm_machine *m)
{
	board_destroy(m->board);
}

static void *run(void *arg)
{
	struct kvm_machine *m = arg;
	struct timespec used;

	m->engine->run(m->cpu, &m->exit);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	atomic_store(&m->left, true);
	m->cpu_seconds = (double)used.tv_sec + (double)used.tv_nsec / 1e9;
	return NULL;
}

void machine_start(struct kvm_machine *m)
{
	clock_start(&m->vm->clock);
	atomic_store(&m->left, false);
	assert_int_equal(pthread_create(&m->thread, NULL, run, m), 0);
}

void machine_stop(struct kvm_machine *m)
{
	m->engine->kick(m->cpu);
	pthread_join(m->thread, NULL);
	clock_stop(&m->vm->clock);
	assert_int_equal(m->exit.reason, ENGINE_KICKED);
}

uint64_t machine_word(struct kvm_machine *m, uint64_t address)
{
	const uint64_t *word =
		memory_for_read(&m->vm->memory, gpa(address), sizeof(*word));

	assert_non_null(word);
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

void machine_wait(struct kvm_machine *m, uint64_t address, uint64_t least)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	uint64_t end = host_monotonic_ns() + WAIT_NS;

	while (machine_word(m, address) < least) {
		if (atomic_load(&m->left))
			fail_msg("the processor left by %d: %s, %d at %llx",
				 (int)m->exit.reason,
				 m->exit.what ? m->exit.what : "",
				 m->exit.error,
				 (unsigned long long)m->cpu->state.rip);
		if (host_monotonic_ns() > end)
			fail_msg("the word at %llx stays %llu, below %llu",
				 (unsigned long long)address,
				 (unsigned long long)machine_word(m, address),
				 (unsigned long long)least);
		clock_run(&m->vm->clock);
		nanosleep(&ms, NULL);
	}
}

void machine_run(struct kvm_machine *m, uint64_t address, uint64_t least)
{
	machine_start(m);
	machine_wait(m, address, least);
	machine_stop(m);
}

bool machine_has_kvm(void)
{
	char why[200];

	if (engine_kvm.probe(why, sizeof(why)) >= 0)
		return true;
	printf("skipped: %s\n", why);
	return false;
}
