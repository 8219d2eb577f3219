/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proof that a VM needs no operating system: every object of the rooms
 * vm, x86, chip and board, compiled without any header but the compiler's and
 * ours, linked with this file and nothing else. It is also the smallest host:
 * memory from one array, time that counts its questions, a system call to end.
 *
 * The program builds a PC with an engine that does nothing, resets it, and
 * takes it apart; its status is 0 when each step went well.
 */
#include "vm/host.h"

#include "board/board.h"
#include "fake/idle_engine.h"
#include "vm/bytes.h"
#include "vm/error.h"
#include "vm/vm.h"
#include "x86/cpu.h"

#define MIB	   ((uint64_t)1 << 20)
#define ARENA_SIZE (64 * MIB)
#define SYS_EXIT   60 /* Linux, x86-64 */

static _Alignas(4096) uint8_t arena[ARENA_SIZE];
static uint64_t arena_used;
static uint64_t now;

int main(void);

__asm__(".globl _start\n"
	"_start:\n"
	"	xorl %ebp, %ebp\n"
	"	andq $-16, %rsp\n"
	"	call main\n"
	"	movl %eax, %edi\n"
	"	call leave_program\n");

_Noreturn void leave_program(int status);

_Noreturn void leave_program(int status)
{
	for (;;)
		__asm__ volatile("syscall"
				 :
				 : "a"(SYS_EXIT), "D"(status)
				 : "rcx", "r11", "memory");
}

/* --- what a compiler asks for ----------------------------------------- */

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	void *at = to;

	__asm__ volatile("rep movsb"
			 : "+D"(at), "+S"(from), "+c"(size)
			 :
			 : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	uint8_t *t = to;
	const uint8_t *f = from;

	if (t <= f || t >= f + size)
		return memcpy(to, from, size);
	t += size - 1;
	f += size - 1;
	__asm__ volatile("std; rep movsb; cld"
			 : "+D"(t), "+S"(f), "+c"(size)
			 :
			 : "memory");
	return to;
}

void *memset(void *to, int byte, size_t size)
{
	void *at = to;

	__asm__ volatile("rep stosb"
			 : "+D"(at), "+c"(size)
			 : "a"(byte)
			 : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const uint8_t *x = a, *y = b;

	for (; size; x++, y++, size--)
		if (*x != *y)
			return *x - *y;
	return 0;
}

/* --- the host contract ------------------------------------------------ */

uint64_t host_monotonic_ns(void)
{
	return ++now;
}

uint64_t host_realtime_ns(void)
{
	return ++now;
}

uint64_t host_tsc_hz(void)
{
	return 1000000000;
}

static void *take(uint64_t size)
{
	uint64_t at = (arena_used + 4095) & ~(uint64_t)4095;

	if (size > ARENA_SIZE || at > ARENA_SIZE - size)
		return NULL;
	arena_used = at + size;
	return arena + at;
}

void *host_alloc(size_t size)
{
	return take(size);
}

void host_free(void *p)
{
}

int host_ram_create(struct host_ram *ram, uint64_t size)
{
	*ram = (struct host_ram){ .base = take(size), .size = size, .fd = -1 };
	return ram->base ? 0 : -VM_ENOMEM;
}

void host_ram_destroy(struct host_ram *ram)
{
	ram->base = NULL;
}

uint64_t host_ram_touched_most(const struct host_ram *ram)
{
	return host_ram_touched(ram);
}

uint64_t host_ram_touched(const struct host_ram *ram)
{
	return ram->size;
}

int host_ram_discard(struct host_ram *ram, uint64_t offset, uint64_t size)
{
	memset(ram->base + offset, 0, size);
	return 0;
}

void host_ram_overlaid(struct host_ram *ram, uint64_t offset, uint64_t size)
{
}

int host_code_create(struct host_code *code, size_t size)
{
	return -VM_ENOTSUP;
}

void host_code_destroy(struct host_code *code)
{
}

void host_lock(struct host_lock *lock)
{
	if (atomic_exchange(&lock->word, 1))
		host_bug(__FILE__, __LINE__, "a lock taken twice");
}

bool host_trylock(struct host_lock *lock)
{
	return !atomic_exchange(&lock->word, 1);
}

void host_unlock(struct host_lock *lock)
{
	atomic_store(&lock->word, 0);
}

void host_yield(void)
{
}

void host_event_set(struct host_event *event)
{
	atomic_store(&event->word, 1);
}

void host_event_wait(struct host_event *event, uint64_t deadline_ns)
{
	atomic_store(&event->word, 0);
}

bool host_can_watch(void)
{
	return false;
}

bool host_event_watch(struct host_event *event, const struct host_watch *watch)
{
	return true;
}

/* Work is done where it is queued: nothing here has two threads. */
int host_worker_create(struct host_worker **worker, const char *name)
{
	static uint8_t one;

	*worker = (void *)&one;
	return 0;
}

void host_worker_destroy(struct host_worker *worker)
{
}

void host_work_queue(struct host_worker *worker, struct host_work *work)
{
	work->run(work->ctx);
}

void host_worker_wait(struct host_worker *worker)
{
}

void host_log(enum host_log_level level, const char *format, ...)
{
}

_Noreturn void host_bug(const char *file, int line, const char *what)
{
	leave_program(99);
}

void host_random(void *buf, size_t size)
{
	memset(buf, 4, size);
}

int main(void)
{
	static const uint8_t halt[] = { 0xf4 };
	const struct board_config config = {
		.name = "freestanding",
		.cpus = 2,
		.memory = 16 * MIB,
		.testdev = true,
		.engine = &engine_idle,
	};
	const struct board_boot boot = {
		.kind = BOOT_FLAT,
		.kernel = halt,
		.kernel_size = sizeof(halt),
		.flat_address = 0x7c00,
		.flat_entry = 0x7c00,
	};
	struct boot_error error;
	struct board *board;

	if (board_build(&config, &board))
		return 1;
	if (board_load(board, &boot, &error))
		return 2;
	board_reset(board);
	if (bus_read(&board_vm(board)->pio, 0x21, 1) > 0xff)
		return 3;
	board_destroy(board);
	return 0;
}

bool host_code_base(void *base)
{
	return false;
}
