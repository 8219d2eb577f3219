/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake host of unit tests; see host.h.
 */
#include "fake/host.h"

#include <asm/prctl.h>
#include <sys/syscall.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define YEAR_2000_NS (UINT64_C(946684800) * 1000000000)
#define RANDOM_SEED  UINT64_C(0x9e3779b97f4a7c15)

static struct {
	uint64_t monotonic;
	uint64_t realtime;
	uint64_t tsc_hz;
	uint64_t random;
	unsigned int fail_alloc;
	unsigned int fail_ram;
	uint64_t discarded;
	unsigned int live;
	unsigned int yields;
	unsigned int lines[HOST_LOG_DEBUG + 1];
	char last[256];
} fake = { .realtime = YEAR_2000_NS,
	   .tsc_hz = 1000000000,
	   .random = RANDOM_SEED };

jmp_buf *fake_bug_jump;

void fake_host_reset(void)
{
	unsigned int live = fake.live;

	memset(&fake, 0, sizeof(fake));
	fake.realtime = YEAR_2000_NS;
	fake.tsc_hz = 1000000000;
	fake.random = RANDOM_SEED;
	fake.live = live;
	fake_bug_jump = NULL;
}

/* --- time ------------------------------------------------------------- */

void fake_time_set(uint64_t monotonic_ns)
{
	fake.monotonic = monotonic_ns;
}

void fake_time_advance(uint64_t ns)
{
	fake.monotonic += ns;
	fake.realtime += ns;
}

void fake_realtime_set(uint64_t ns)
{
	fake.realtime = ns;
}

void fake_tsc_hz_set(uint64_t hz)
{
	fake.tsc_hz = hz;
}

uint64_t host_monotonic_ns(void)
{
	return fake.monotonic;
}

uint64_t host_realtime_ns(void)
{
	return fake.realtime;
}

uint64_t host_tsc_hz(void)
{
	return fake.tsc_hz;
}

/* --- memory ----------------------------------------------------------- */

void fake_fail_alloc(unsigned int nth)
{
	fake.fail_alloc = nth;
}

void fake_fail_ram(unsigned int nth)
{
	fake.fail_ram = nth;
}

unsigned int fake_live(void)
{
	return fake.live;
}

static bool fails(unsigned int *countdown)
{
	return *countdown && !--*countdown;
}

void *host_alloc(size_t size)
{
	size_t rounded = (size + 63) & ~(size_t)63;
	void *p;

	if (fails(&fake.fail_alloc) || rounded < size)
		return NULL;
	p = aligned_alloc(64, rounded ? rounded : 64);
	if (!p)
		return NULL;
	memset(p, 0, rounded ? rounded : 64);
	fake.live++;
	return p;
}

void host_free(void *p)
{
	if (p)
		fake.live--;
	free(p);
}

int host_ram_create(struct host_ram *ram, uint64_t size)
{
	void *base;

	if (fails(&fake.fail_ram))
		return -ENOMEM;
	base = mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return -ENOMEM;
	*ram = (struct host_ram){ .base = base, .size = size, .fd = -1 };
	fake.live++;
	return 0;
}

void host_ram_destroy(struct host_ram *ram)
{
	if (!ram->base)
		return;
	munmap(ram->base, ram->size);
	*ram = (struct host_ram){ .fd = -1 };
	fake.live--;
}

uint64_t host_ram_touched_most(const struct host_ram *ram)
{
	return host_ram_touched(ram);
}

uint64_t host_ram_touched(const struct host_ram *ram)
{
	uint64_t pages = ram->size / 4096, touched = 0, i;
	unsigned char *in = malloc(pages);

	if (in && !mincore(ram->base, ram->size, in))
		for (i = 0; i < pages; i++)
			touched += (in[i] & 1) * 4096;
	free(in);
	return touched;
}

int host_ram_discard(struct host_ram *ram, uint64_t offset, uint64_t size)
{
	if (fails(&fake.fail_ram))
		return -ENOMEM;
	if (offset % 4096 || size % 4096 || offset >= ram->size ||
	    size > ram->size - offset)
		abort();
	memset(ram->base + offset, 0, size);
	madvise(ram->base + offset, size, MADV_DONTNEED);
	fake.discarded += size;
	return 0;
}

void host_ram_overlaid(struct host_ram *ram, uint64_t offset, uint64_t size)
{
}

uint64_t fake_discarded(void)
{
	return fake.discarded;
}

int host_code_create(struct host_code *code, size_t size)
{
	void *write = MAP_FAILED, *exec = MAP_FAILED;
	int fd;

	if (fails(&fake.fail_ram))
		return -ENOMEM;
	fd = memfd_create("code", MFD_CLOEXEC);
	if (fd >= 0 && !ftruncate(fd, (off_t)size)) {
		write = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			     0);
		exec = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, fd,
			    0);
	}
	if (fd >= 0)
		close(fd);
	if (write == MAP_FAILED || exec == MAP_FAILED) {
		if (write != MAP_FAILED)
			munmap(write, size);
		if (exec != MAP_FAILED)
			munmap(exec, size);
		return -ENOMEM;
	}
	*code = (struct host_code){ .write = write,
				    .exec = exec,
				    .size = size };
	fake.live++;
	return 0;
}

void host_code_destroy(struct host_code *code)
{
	if (!code->write)
		return;
	munmap(code->write, code->size);
	munmap((void *)code->exec, code->size);
	*code = (struct host_code){ 0 };
	fake.live--;
}

/* --- threads ---------------------------------------------------------- */

void host_lock(struct host_lock *lock)
{
	uint32_t self = (uint32_t)gettid(), holder = 0;

	while (!atomic_compare_exchange_weak(&lock->word, &holder, self)) {
		bug_on(holder == self); /* taken twice by one thread */
		holder = 0;
		usleep(10);
	}
}

bool host_trylock(struct host_lock *lock)
{
	uint32_t holder = 0;

	return atomic_compare_exchange_strong(&lock->word, &holder,
					      (uint32_t)gettid());
}

void host_unlock(struct host_lock *lock)
{
	bug_on(lock->word != (uint32_t)gettid()); /* not the holder */
	lock->word = 0;
}

void host_yield(void)
{
	fake.yields++;
}

unsigned int fake_yields(void)
{
	return fake.yields;
}

void host_event_set(struct host_event *event)
{
	event->word = 1;
}

void host_event_wait(struct host_event *event, uint64_t deadline_ns)
{
	if (atomic_exchange(&event->word, 0))
		return;
	bug_on(deadline_ns == UINT64_MAX); /* would sleep for ever */
	if (deadline_ns > fake.monotonic)
		fake_time_advance(deadline_ns - fake.monotonic);
}

bool host_can_watch(void)
{
	return true;
}

bool host_event_watch(struct host_event *event, const struct host_watch *watch)
{
	bool news = false;

	if (atomic_exchange(&event->word, 0))
		return true;
	for (unsigned int i = 0; i < watch->words; i++)
		news |= *watch->word[i] != watch->value;
	bug_on(!news); /* would sleep for ever */
	return false;
}

/* --- workers ---------------------------------------------------------- */

struct host_worker {
	struct host_worker *next;
	struct host_work *first;
};

static struct host_worker *workers;

int host_worker_create(struct host_worker **out, const char *name)
{
	struct host_worker *worker = host_alloc(sizeof(*worker));

	*out = worker;
	if (!worker)
		return -ENOMEM;
	worker->next = workers;
	workers = worker;
	return 0;
}

static unsigned int work_run(struct host_worker *worker)
{
	unsigned int count = 0;

	while (worker->first) {
		struct host_work *work = worker->first;

		worker->first = work->next;
		work->queued = false;
		work->run(work->ctx);
		count++;
	}
	return count;
}

unsigned int fake_work_run(void)
{
	struct host_worker *worker;
	unsigned int count, all = 0;

	do {
		count = 0;
		for (worker = workers; worker; worker = worker->next)
			count += work_run(worker);
		all += count;
	} while (count);
	return all;
}

void host_worker_wait(struct host_worker *worker)
{
	work_run(worker);
}

void host_worker_destroy(struct host_worker *worker)
{
	struct host_worker **at = &workers;

	if (!worker)
		return;
	work_run(worker);
	while (*at != worker)
		at = &(*at)->next;
	*at = worker->next;
	host_free(worker);
}

void host_work_queue(struct host_worker *worker, struct host_work *work)
{
	struct host_work **at = &worker->first;

	if (atomic_exchange(&work->queued, true))
		return;
	while (*at)
		at = &(*at)->next;
	work->next = NULL;
	*at = work;
}

/* --- words ------------------------------------------------------------ */

unsigned int fake_log_lines(enum host_log_level level)
{
	return fake.lines[level];
}

const char *fake_log_last(void)
{
	return fake.last;
}

void host_log(enum host_log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(fake.last, sizeof(fake.last), format, args);
	va_end(args);
	fake.lines[level]++;
}

void host_bug(const char *file, int line, const char *what)
{
	if (fake_bug_jump)
		longjmp(*fake_bug_jump, 1);
	fprintf(stderr, "%s:%d: bug: %s\n", file, line, what);
	abort();
}

void host_random(void *buf, size_t size)
{
	uint8_t *to = buf;

	while (size--) { /* xorshift64: the same bytes in every run */
		fake.random ^= fake.random << 13;
		fake.random ^= fake.random >> 7;
		fake.random ^= fake.random << 17;
		*to++ = (uint8_t)(fake.random >> 32);
	}
}

bool host_code_base(void *base)
{
	return syscall(SYS_arch_prctl, ARCH_SET_GS, base) == 0;
}
