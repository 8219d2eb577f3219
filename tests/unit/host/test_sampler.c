/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples of a thread: they name code that it runs, come while it sleeps, and
 * end with the sampler.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <time.h>

#include "host/linux/sampler.h"

#define SKIPPED 77 /* to Meson */

/* There with the thread sanitizer, which puts signals off. */
void __tsan_init(void) __attribute__((weak));

struct seen {
	volatile unsigned int all, here;
	uintptr_t begin, end;
};

static void take(void *ctx, uintptr_t pc)
{
	struct seen *seen = ctx;

	seen->all++;
	if (pc >= seen->begin && pc < seen->end)
		seen->here++;
}

/* Loops between its two labels until something was seen there. */
static __attribute__((noinline)) void loop(struct seen *seen)
{
	while (seen->here < 5)
		__asm__ volatile("mov $10000, %%ecx\n"
				 "lea 1f(%%rip), %%rax\n"
				 "mov %%rax, %0\n"
				 "lea 2f(%%rip), %%rax\n"
				 "mov %%rax, %1\n"
				 "1: dec %%ecx\n"
				 "jnz 1b\n"
				 "2:\n"
				 : "=m"(seen->begin), "=m"(seen->end)
				 :
				 : "rax", "ecx", "cc", "memory");
}

static void samples_name_code(void **state)
{
	struct sampler sampler;
	struct seen seen = { 0 };
	unsigned int before;

	assert_int_equal(sampler_start(&sampler, 1000, take, &seen), 0);
	loop(&seen);
	sampler_stop(&sampler);
	before = seen.all;
	nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	assert_int_equal(seen.all, before);
}

static void sleepers_are_sampled(void **state)
{
	struct sampler sampler;
	struct seen seen = { 0 };

	assert_int_equal(sampler_start(&sampler, 1000, take, &seen), 0);
	while (seen.all < 5)
		nanosleep(&(struct timespec){ .tv_sec = 10 }, NULL);
	sampler_stop(&sampler);
}

static void strangers_signals_are_ignored(void **state)
{
	struct sampler sampler;
	struct seen seen = { 0 };

	assert_int_equal(sampler_start(&sampler, 1, take, &seen), 0);
	raise(SIGPROF);
	sampler_stop(&sampler);
	sampler_stop(&sampler); /* as after a failed start */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_name_code),
		cmocka_unit_test(sleepers_are_sampled),
		cmocka_unit_test(strangers_signals_are_ignored),
	};

	if (__tsan_init)
		return SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
