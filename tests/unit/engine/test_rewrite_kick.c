/* SPDX-License-Identifier: Apache-2.0
 *
 * A kick from another thread gets every kind of endless hot loop out of
 * soft_run() soon, again and again, with the loop's state in order.
 */
#include "fake/test.h"

#include "test_rewrite.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "engine/soft/soft.h"

#define KICKS	  20
#define LATEST_MS 1000
#define HOT_US	  3000

struct endless {
	const char *name;
	/* Where the bytes go: REWRITE_CODE, and a distance from there. */
	const char *first, *second;
	unsigned int first_size, second_size, away;
};

static const struct endless loops[] = {
	{ "jmp $", "\xeb\xfe", "", 2, 0, 0 },
	{ "dec rax; jnz", "\x48\xff\xc8\x75\xfb\xeb\xf9", "", 7, 0, 0 },
	{ "mov rax, [rsp]; cmp rax, rax; je",
	  "\x48\x8b\x04\x24\x48\x39\xc0\x74\xf7\xeb\xf5", "", 11, 0, 0 },
	{ "two pages", "\xe9\xfb\x0f\x00\x00", "\xe9\xfb\xef\xff\xff", 5, 5,
	  0x1000 },
	{ "call and ret", "\xe8\x1b\x00\x00\x00\xeb\xf9", "\xc3", 7, 1, 0x20 },
	{ "call and ret, other page", "\xe8\xfb\x0f\x00\x00\xeb\xf9", "\xc3",
	  7, 1, 0x1000 },
	{ "call rsi", "\xff\xd6\xeb\xfc", "\xc3", 4, 1, 0x1000 },
	{ "jmp rdi", "\xff\xe7", "", 2, 0, 0 },
	{ "jmp rsi and rdi", "\xff\xe6", "\xff\xe7", 2, 2, 0x1000 },
	{ "push and ret", "\x57\xc3", "", 2, 0, 0 },
	{ "forward only, indirect back", "\xeb\x1e", "\xff\xe7", 2, 2, 0x20 },
	{ "loop", "\xe2\xfe\xeb\xfc", "", 4, 0, 0 },
	{ "interpreted inside", "\x66\x50\x66\x58\xeb\xfa", "", 6, 0, 0 },
};

static struct x86_cpu *prepare(const struct endless *l)
{
	struct x86_cpu *cpu = rewrite_machine_cpu();
	struct memory *mem = &cpu->vm->memory;

	memory_load(mem, gpa(REWRITE_CODE), l->first, l->first_size);
	memory_load(mem, gpa(REWRITE_CODE + l->away), l->second,
		    l->second_size);
	memory_load(mem, gpa(REWRITE_CODE), l->first, l->first_size);
	cpu->state.rip = REWRITE_CODE;
	cpu->state.gpr[X86_RDI] = REWRITE_CODE;
	cpu->state.gpr[X86_RSI] = REWRITE_CODE + l->away;
	return cpu;
}

static _Atomic unsigned int returned;

static void *run(void *arg)
{
	struct x86_cpu *cpu = arg;
	struct engine_exit exit;

	for (unsigned int i = 0; i < KICKS; i++) {
		soft_run(cpu, &exit);
		returned++;
	}
	return NULL;
}

/* Kicks, and waits for the run to end. Gives the milliseconds that took. */
static unsigned int kick(struct x86_cpu *cpu, unsigned int before)
{
	unsigned int ms = 0;

	x86_cpu_request(cpu, X86_REQ_KICK);
	for (; returned == before && ms < LATEST_MS * 4; ms++)
		usleep(1000);
	return ms;
}

static void test_kicks(void **state)
{
	for (unsigned int i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
		struct x86_cpu *cpu = prepare(&loops[i]);
		pthread_t thread;

		returned = 0;
		assert_int_equal(pthread_create(&thread, NULL, run, cpu), 0);
		for (unsigned int k = 0; k < KICKS; k++) {
			unsigned int ms;

			usleep(HOT_US);
			ms = kick(cpu, k);
			if (ms >= LATEST_MS)
				fail_msg("%s: not back after %u ms",
					 loops[i].name, ms);
		}
		pthread_join(thread, NULL);
		assert_in_range(cpu->state.rip, REWRITE_CODE,
				REWRITE_CODE + loops[i].away + 16);
		assert_int_equal(cpu->state.gpr[X86_RDI], REWRITE_CODE);
		assert_int_equal(cpu->fault.vector, 0);
	}
}

/*
 * A hot function's page is given back to the host while it runs: the guest
 * falls through the zeros there, to the loop in the page behind.
 */
static void test_discarded_code(void **state)
{
	static const struct endless calls = {
		"", "\xe8\xfb\x0f\x00\x00\xeb\xf9", "\xc3", 7, 1, 0x1000,
	};
	struct x86_cpu *cpu = prepare(&calls);
	struct memory *mem = &cpu->vm->memory;
	pthread_t thread;

	memory_load(mem, gpa(REWRITE_CODE + 0x2000), "\xeb\xfe", 2);
	cpu->state.gpr[X86_RAX] = REWRITE_DATA;
	returned = 0;
	assert_int_equal(pthread_create(&thread, NULL, run, cpu), 0);
	usleep(HOT_US);
	kick(cpu, 0);
	assert_true(cpu->state.rip < REWRITE_CODE + 0x2000);
	assert_int_equal(memory_discard(mem, gpa(REWRITE_CODE + 0x1000),
					0x1000), 0);
	for (unsigned int k = 1; k < KICKS; k++) {
		usleep(HOT_US);
		kick(cpu, k);
	}
	pthread_join(thread, NULL);
	assert_int_equal(cpu->fault.vector, 0);
	assert_int_equal(cpu->state.rip, REWRITE_CODE + 0x2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kicks),
		cmocka_unit_test(test_discarded_code),
	};
	int failed;

	rewrite_machine_open();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rewrite_machine_close();
	return failed;
}
