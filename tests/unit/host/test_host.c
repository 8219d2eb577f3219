/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Linux host contract: time, memory, code, locks, events, log.
 */
#include "vm/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#include "fake/test.h"
#include "host/linux/input.h"
#include "host/linux/log.h"
#include "host/linux/thread.h"

#define MS  1000000u
#define MIB ((uint64_t)1 << 20)

static void tells_time(void **state)
{
	uint64_t a = host_monotonic_ns(), b = host_monotonic_ns();

	assert_true(b >= a);
	assert_true(host_realtime_ns() > UINT64_C(1600000000) * 1000000000);
}

static void knows_the_tsc(void **state)
{
	uint64_t start = host_monotonic_ns(), hz = host_tsc_hz(), tsc, ns;
	double ratio;

	/* Generous: the machine may be busy. Alone it takes 2 ms at most. */
	assert_true(host_monotonic_ns() - start < 100 * MS);
	assert_true(host_tsc_hz() == hz);
	start = host_monotonic_ns();
	tsc = __rdtsc();
	usleep(50000);
	ns = host_monotonic_ns() - start;
	tsc = __rdtsc() - tsc;
	ratio = (double)tsc * 1e9 / (double)ns / (double)hz;
	assert_true(ratio > 0.995 && ratio < 1.005);
}

static void allocates(void **state)
{
	uint8_t *p = host_alloc(1000);
	unsigned int i;

	assert_non_null(p);
	assert_int_equal((uintptr_t)p % 64, 0);
	for (i = 0; i < 1000; i++)
		assert_int_equal(p[i], 0);
	host_free(p);
	host_free(NULL);
	p = host_alloc(0);
	assert_non_null(p);
	host_free(p);
	assert_null(host_alloc(SIZE_MAX));
}

static void gives_ram_lazily(void **state)
{
	struct host_ram ram;
	uint8_t *again;

	assert_int_equal(host_ram_create(&ram, 1000), -EINVAL);
	assert_int_equal(host_ram_create(&ram, 0), -EINVAL);
	/* Far more than the machine has. */
	assert_int_equal(host_ram_create(&ram, (uint64_t)1 << 40), 0);
	assert_int_equal(host_ram_touched(&ram), 0);
	assert_int_equal((uintptr_t)ram.base % (2 * MIB), 0);
	assert_int_equal(ram.base[ram.size - 1], 0);
	ram.base[5] = 42;
	ram.base[3 * MIB] = 1;
	assert_in_range(host_ram_touched(&ram), 3 * 4096, 6 * MIB);

	again = mmap(NULL, 4096, PROT_READ, MAP_SHARED, ram.fd, 0);
	assert_ptr_not_equal(again, MAP_FAILED);
	assert_int_equal(again[5], 42);
	munmap(again, 4096);
	host_ram_destroy(&ram);
	host_ram_destroy(&ram);
}

static void takes_ram_back(void **state)
{
	FILE *file = tmpfile();
	struct host_ram ram;
	uint64_t before;

	assert_int_equal(host_ram_create(&ram, 8 * MIB), 0);
	memset(ram.base, 1, ram.size);
	before = host_ram_touched(&ram);
	assert_int_equal(host_ram_discard(&ram, 100, 4096), -EINVAL);
	assert_int_equal(host_ram_discard(&ram, 0, 100), -EINVAL);
	assert_int_equal(host_ram_discard(&ram, 4 * MIB, 5 * MIB), -EINVAL);
	assert_int_equal(host_ram_discard(&ram, 8 * MIB, 4096), -EINVAL);
	assert_int_equal(host_ram_touched(&ram), before);

	assert_int_equal(host_ram_discard(&ram, 2 * MIB, 4 * MIB), 0);
	assert_true(host_ram_touched(&ram) <= before - 4 * MIB);
	assert_int_equal(host_ram_touched_most(&ram), before);
	assert_int_equal(ram.base[2 * MIB - 1], 1);
	assert_int_equal(ram.base[2 * MIB], 0);
	assert_int_equal(ram.base[6 * MIB - 1], 0);
	assert_int_equal(ram.base[6 * MIB], 1);
	ram.base[3 * MIB] = 2;
	assert_int_equal(ram.base[3 * MIB], 2);

	/* A file mapped over some of it goes as well. */
	assert_non_null(file);
	for (unsigned int i = 0; i < 8192; i++)
		putc('f', file);
	fflush(file);
	assert_ptr_equal(mmap(ram.base + MIB, 8192, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_FIXED, fileno(file), 0),
			 ram.base + MIB);
	host_ram_overlaid(&ram, MIB, 8192);
	ram.base[MIB + 1] = 'g';
	assert_int_equal(host_ram_discard(&ram, MIB - 4096, 8192), 0);
	assert_int_equal(ram.base[MIB - 1], 0);
	assert_int_equal(ram.base[MIB], 0);
	assert_int_equal(ram.base[MIB + 1], 0);
	assert_int_equal(ram.base[MIB + 4096], 'f');
	host_ram_destroy(&ram);
	fclose(file);
}

/* More than are told apart: each is still found. */
static void many_overlays(void **state)
{
	struct host_ram ram;

	assert_int_equal(host_ram_create(&ram, 8 * MIB), 0);
	for (unsigned int i = 0; i < 40; i++) {
		uint8_t *at = ram.base + i * 65536;

		assert_ptr_equal(mmap(at, 4096, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				      -1, 0), at);
		*at = 1;
		host_ram_overlaid(&ram, i * 65536, 4096);
	}
	assert_int_equal(host_ram_discard(&ram, 0, 8 * MIB), 0);
	for (unsigned int i = 0; i < 40; i++)
		assert_int_equal(ram.base[i * 65536], 0);
	host_ram_destroy(&ram);
}

/* Runs `f` in a child; gives its wait status. */
static int in_child(void (*f)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		alarm(10);
		signal(SIGSEGV, SIG_DFL); /* cmocka catches it */
		close(STDERR_FILENO);
		f();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void write_past_ram(void)
{
	struct host_ram ram;

	if (!host_ram_create(&ram, MIB))
		ram.base[ram.size] = 1;
}

static void write_before_ram(void)
{
	struct host_ram ram;

	if (!host_ram_create(&ram, MIB))
		ram.base[-1] = 1;
}

static void guards_ram(void **state)
{
	/* By SIGSEGV, or by the status of a sanitizer that caught it. */
	assert_int_not_equal(in_child(write_past_ram), 0);
	assert_int_not_equal(in_child(write_before_ram), 0);
}

static void runs_code(void **state)
{
	/* mov $42, %eax; ret */
	static const uint8_t insns[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
	struct host_code code;
	int (*f)(void);

	assert_int_equal(host_code_create(&code, 0), -EINVAL);
	assert_int_equal(host_code_create(&code, 5000), 0);
	assert_true(code.size >= 5000);
	memcpy(code.write, insns, sizeof(insns));
	assert_memory_equal(code.exec, insns, sizeof(insns));
	f = (int (*)(void))(uintptr_t)code.exec;
	assert_int_equal(f(), 42);
	host_code_destroy(&code);
	host_code_destroy(&code);
}

static struct host_lock lock;
static struct host_event event;
static volatile unsigned int counter;

static void count(void *ctx)
{
	unsigned int i;

	for (i = 0; i < 20000; i++) {
		host_lock(&lock);
		counter++;
		host_unlock(&lock);
	}
}

static void excludes(void **state)
{
	struct thread threads[4];
	unsigned int i;

	for (i = 0; i < 4; i++)
		assert_int_equal(
			thread_start(&threads[i], "count", count, NULL), 0);
	for (i = 0; i < 4; i++)
		thread_join(&threads[i]);
	thread_join(&threads[0]);
	assert_int_equal(counter, 80000);
	assert_int_equal(lock.word, 0);
}

static void wake_later(void *ctx)
{
	usleep(20000);
	host_event_set(&event);
}

static void sleeps_and_wakes(void **state)
{
	struct thread thread;
	uint64_t start = host_monotonic_ns();

	host_event_set(&event);
	host_event_set(&event);
	host_event_wait(&event, UINT64_MAX); /* at once, both consumed */
	host_event_wait(&event, start + 10 * MS);
	assert_true(host_monotonic_ns() >= start + 10 * MS);
	host_event_wait(&event, 0);

	assert_int_equal(thread_start(&thread, "a name too long for Linux",
				      wake_later, NULL),
			 0);
	start = host_monotonic_ns();
	host_event_wait(&event, UINT64_MAX);
	assert_true(host_monotonic_ns() - start >= 10 * MS);
	thread_join(&thread);
	assert_int_equal(event.word, 0);
}

#define TURNS 3000

static struct host_event answer;

static void answers(void *ctx)
{
	for (unsigned int i = 0; i < TURNS; i++) {
		host_event_wait(&event, UINT64_MAX);
		counter++;
		host_event_set(&answer);
	}
}

/* Short waits, for which nobody sleeps after the first, and some longer. */
static void takes_turns(void **state)
{
	struct thread thread;

	counter = 0;
	answer.busy = 65535; /* nobody has as many: this one always sleeps */
	assert_int_equal(thread_start(&thread, "turns", answers, NULL), 0);
	for (unsigned int i = 0; i < TURNS; i++) {
		host_event_set(&event);
		host_event_wait(&answer, UINT64_MAX);
		assert_int_equal(counter, i + 1);
		if (i % 100 == 99)
			usleep(300);
	}
	thread_join(&thread);
	assert_false(answer.eager);
	assert_int_equal(event.word, 0);
}

static _Atomic uint32_t news;

/* Sets the event for each even turn, changes the word for each odd one. */
static void tells_two_ways(void *ctx)
{
	for (unsigned int i = 0; i < TURNS; i++) {
		host_event_wait(&answer, UINT64_MAX);
		if (i % 2) {
			atomic_store(&news, i);
			syscall(SYS_futex, &news, FUTEX_WAKE, 1, NULL, NULL, 0);
		} else {
			host_event_set(&event);
		}
	}
}

static void watches_a_word(void **state)
{
	struct thread thread;

	if (!host_can_watch())
		skip(); /* before Linux 5.16 */
	answer = (struct host_event){ 0 };
	assert_int_equal(thread_start(&thread, "news", tells_two_ways, NULL),
			 0);
	for (unsigned int i = 0; i < TURNS; i++) {
		const struct host_watch watch = {
			.word = (_Atomic uint32_t *const[]){ &news },
			.words = 1,
			.value = atomic_load(&news),
		};

		host_event_set(&answer);
		assert_int_equal(host_event_watch(&event, &watch), !(i % 2));
		assert_int_equal(news == watch.value, !(i % 2));
		assert_int_equal(event.word, 0);
		if (i % 100 > 97)
			usleep(300);
	}
	thread_join(&thread);
}

static int frames[2];
static struct host_input input;
static _Atomic int sleeper;

/* Sets the event for each even turn, has input for each odd one. */
static void tells_or_sends(void *ctx)
{
	for (unsigned int i = 0; i < TURNS; i++) {
		host_event_wait(&answer, UINT64_MAX);
		if (i % 2)
			assert_int_equal(send(frames[0], &i, sizeof(i), 0),
					 sizeof(i));
		else
			host_event_set(&event);
	}
}

static void watches_input(void **state)
{
	const struct host_watch watch = { .input = &input };
	struct thread thread;
	unsigned int frame;

	answer = (struct host_event){ 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, frames), 0);
	assert_int_equal(host_input_open(&input, frames[1]), 0);
	assert_int_equal(thread_start(&thread, "news", tells_or_sends, NULL),
			 0);
	for (unsigned int i = 0; i < TURNS; i++) {
		host_event_set(&answer);
		assert_int_equal(host_event_watch(&event, &watch), !(i % 2));
		assert_int_equal(event.word, 0);
		if (i % 2)
			assert_int_equal(recv(frames[1], &frame, sizeof(frame),
					      MSG_DONTWAIT), sizeof(frame));
	}
	thread_join(&thread);
	host_input_close(&input);
	close(frames[0]);
	close(frames[1]);
}

static void takes_one(void *ctx)
{
	const struct host_watch watch = { .input = &input };

	sleeper = gettid();
	assert_false(host_event_watch(&event, &watch));
}

static void await_sleep(void)
{
	char path[64], text[64];

	while (!sleeper)
		sched_yield();
	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", sleeper);
	do {
		int fd = open(path, O_RDONLY);
		ssize_t n = read(fd, text, sizeof(text) - 1);

		text[n > 0 ? n : 0] = '\0';
		close(fd);
	} while (atoi(text) != SYS_epoll_wait);
}

/* A sleeper is woken alone; without one the rest is. */
static void wakes_one_for_input(void **state)
{
	struct pollfd rest = { .events = POLLIN };
	struct thread thread;

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, frames), 0);
	assert_int_equal(host_input_open(&input, frames[1]), 0);
	rest.fd = input.rest;
	assert_int_equal(thread_start(&thread, "one", takes_one, NULL), 0);
	await_sleep();
	assert_int_equal(send(frames[0], "a", 1, 0), 1);
	thread_join(&thread);
	assert_int_equal(poll(&rest, 1, 0), 0);
	assert_int_equal(send(frames[0], "b", 1, 0), 1);
	assert_int_equal(poll(&rest, 1, 0), 1);
	host_input_clear(&input);
	assert_int_equal(poll(&rest, 1, 0), 0);
	host_input_close(&input);
	close(frames[0]);
	close(frames[1]);
}

static unsigned int looks, looks_until;

static bool looks_a_while(void *ctx)
{
	return ++looks == looks_until;
}

static bool looks_and_is_told(void *ctx)
{
	host_event_set(&event);
	return ++looks == looks_until;
}

/* Only after a short wait; and it sleeps when that was not enough. */
static void looks_for_input(void **state)
{
	struct host_watch watch = { .input = &input, .look = looks_a_while };

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, frames), 0);
	assert_int_equal(host_input_open(&input, frames[1]), 0);
	event = (struct host_event){ .eager = true };
	looks_until = 3;
	assert_false(host_event_watch(&event, &watch));
	assert_int_equal(looks, 3);

	watch.look = looks_and_is_told;
	event.eager = true;
	looks_until = 0;
	assert_true(host_event_watch(&event, &watch));
	assert_int_equal(event.word, 0);
	assert_int_equal(looks, 4);

	/* Here it would sleep for ever, but for the input. */
	assert_int_equal(send(frames[0], "a", 1, 0), 1);
	watch.look = looks_a_while;
	event.eager = true;
	assert_false(host_event_watch(&event, &watch));
	assert_true(looks > 4);
	looks = 0;
	event.eager = false;
	assert_false(host_event_watch(&event, &watch));
	assert_int_equal(looks, 0);
	host_input_close(&input);
	close(frames[0]);
	close(frames[1]);
}

/* Standard error into a pipe while `f` runs; what it wrote. */
static size_t captured(void (*f)(void), char *text, size_t size)
{
	int ends[2], before = dup(STDERR_FILENO);
	size_t at = 0;
	ssize_t n;

	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	f();
	dup2(before, STDERR_FILENO);
	close(before);
	while ((n = read(ends[0], text + at, size - 1 - at)) > 0)
		at += (size_t)n;
	close(ends[0]);
	text[at] = '\0';
	return at;
}

static void say_some(void)
{
	host_log(HOST_LOG_DEBUG, "not shown");
	host_log(HOST_LOG_WARN, "port %#x", 0x80);
	log_set_level(HOST_LOG_DEBUG);
	host_log(HOST_LOG_DEBUG, "shown");
	log_set_level(HOST_LOG_WARN);
}

static void say_much(void)
{
	int i;

	for (i = 0; i < 2000; i++)
		host_log(HOST_LOG_WARN, "line %d", i);
	usleep(250000);
	host_log(HOST_LOG_WARN, "last");
}

static void say_long(void)
{
	char text[5000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	host_log(HOST_LOG_ERROR, "%s", text);
}

/* Standard error is a file with more than a log may have, of which we see the
 * rest. */
static void fills_a_log(void **state)
{
	FILE *file = tmpfile();
	const int fd = fileno(file);
	char text[200] = "";
	int status;
	pid_t child;

	assert_int_equal(ftruncate(fd, LOG_FILE_MAX), 0);
	child = fork();
	if (!child) {
		lseek(fd, 0, SEEK_END);
		dup2(fd, STDERR_FILENO);
		host_log(HOST_LOG_WARN, "one");
		host_log(HOST_LOG_WARN, "two");
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(pread(fd, text, sizeof(text) - 1, LOG_FILE_MAX) > 0);
	assert_string_equal(text, "lodge: the log is full: nothing more is "
				  "said here\n");
	fclose(file);
}

static void logs_lines(void **state)
{
	static char text[65536];

	captured(say_some, text, sizeof(text));
	assert_string_equal(text, "lodge: port 0x80\nlodge: shown\n");
	assert_true(captured(say_much, text, sizeof(text)) < 2000);
	assert_non_null(strstr(text, "lines left out)\nlodge: last\n"));
	usleep(250000);
	captured(say_long, text, sizeof(text));
	assert_in_range(strlen(text), 1000, 1025);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

static void find_a_bug(void)
{
	bug_on(1 + 1 == 2);
}

static void stops_at_bugs(void **state)
{
	int status = in_child(find_a_bug);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void gives_random_bytes(void **state)
{
	uint8_t a[600] = { 0 }, b[600] = { 0 };

	host_random(a, sizeof(a));
	host_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	assert_memory_not_equal(a + 584, (uint8_t[16]){ 0 }, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_time),
		cmocka_unit_test(knows_the_tsc),
		cmocka_unit_test(allocates),
		cmocka_unit_test(gives_ram_lazily),
		cmocka_unit_test(takes_ram_back),
		cmocka_unit_test(many_overlays),
		cmocka_unit_test(guards_ram),
		cmocka_unit_test(runs_code),
		cmocka_unit_test(excludes),
		cmocka_unit_test(sleeps_and_wakes),
		cmocka_unit_test(takes_turns),
		cmocka_unit_test(watches_a_word),
		cmocka_unit_test(watches_input),
		cmocka_unit_test(wakes_one_for_input),
		cmocka_unit_test(looks_for_input),
		cmocka_unit_test(logs_lines),
		cmocka_unit_test(fills_a_log),
		cmocka_unit_test(stops_at_bugs),
		cmocka_unit_test(gives_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
