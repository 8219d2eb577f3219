/* SPDX-License-Identifier: Apache-2.0
 *
 * A hot instruction that begins in one page and ends in the next: the second
 * page is changed, exchanged and taken away while all else stays, by its own
 * processor, by the instruction itself, and by another processor.
 */
#include "chips.h"
#include "map.h"

enum { ROUNDS = 24, HOT = 300, VALUES = 60 };

static u64 va = MAP_BASE + 0x10000, next = MAP_BASE + 0x11000;
static u8 first[4096] __page, second[2][4096] __page;
static u8 data[16];
static volatile u32 seen, order_errors, quit, ended, flush, flushed;

/* Puts code so that `split` bytes of it are in the first page. */
static void place(const u8 *code, u32 size, u32 split, u8 *end)
{
	for (u32 i = 0; i < size; i++) {
		u32 at = 4096 - split + i;

		if (at < 4096)
			first[at] = code[i];
		else
			end[at - 4096] = code[i];
	}
}

static u32 call(u64 at, u32 dl, void *rdi)
{
	u32 a = 0;

	asm volatile("call *%3" : "+a"(a), "+d"(dl), "+D"(rdi) : "r"(at)
		     : "rcx", "memory", "cc");
	return a;
}

static void map_second(u32 i)
{
	map_page(next, 1, (ulong)second[i] | PTE_P | PTE_W);
}

/* mov eax, v; ret: the last byte of v is in the second page. */
static void put_mov(u32 split, u32 v, u8 *end)
{
	u8 mov[] = { 0xb8, v, v >> 8, v >> 16, v >> 24, 0xc3 };

	place(mov, sizeof(mov), split, end);
}

static void change(u32 split)
{
	u64 at = va + 4096 - split;

	for (u32 i = 0; i < ROUNDS; i++) {
		u8 *top = &second[0][4 - split];

		*top = (u8)i;
		for (u32 k = 0; k < (i < 3 ? HOT : 1 + i); k++)
			check("behind a change", call(at, 0, 0),
			      (i << 24) + 0x123456);
	}
	first[4096 - split] = 0xb9; /* mov ecx */
	check("the first half changed", call(at, 0, 0), 0);
	first[4096 - split] = 0xb8;
}

static void exchange(u32 split)
{
	u64 at = va + 4096 - split;

	put_mov(split, 0x11123456, second[0]);
	put_mov(split, 0x22123456, second[1]);
	for (u32 i = 0; i < ROUNDS; i++) {
		map_second(i & 1);
		for (u32 k = 0; k < (i < 4 ? HOT : 1 + i); k++)
			check("behind INVLPG", call(at, 0, 0),
			      (i & 1 ? 0x22123456 : 0x11123456));
	}
	map_second(0);
}

static void take_away(u32 split)
{
	u64 at = va + 4096 - split;

	for (u32 i = 0; i < 4; i++) {
		for (u32 k = 0; k < HOT; k++)
			check("before", call(at, 0, 0), 0x11123456);
		map_page(next, 1, i & 1 ? (ulong)second[0] | PTE_P | PTE_NX : 0);
		CATCH("mov $1f, %%edx; push %%rdx; jmp *%0; 1:", ::"r"(at)
		      : "rax", "rcx", "rdx", "memory", "cc");
		check_vector("second page gone", PF,
			     i & 1 ? PFE_P | PFE_I : PFE_I);
		check("its RIP", caught.ip, at);
		check("its CR2", caught.cr2, next);
		map_second(0);
	}
}

/*
 * A loop through it, with flags that live across: the jump back leads to the
 * first page, the way on falls from there.
 */
static void loop(void)
{
	static const u8 code[] = {
		0xf9,			/* 1: stc */
		0x15, 1, 0, 0, 0,	/* adc eax, 1 */
		0xff, 0xca,		/* dec edx */
		0x75, 0xf6, 0xc3,	/* jnz 1b; ret */
	};

	for (u32 split = 1; split < sizeof(code); split++) {
		place(code, sizeof(code), split, second[0]);
		check("a loop", call(va + 4096 - split, 1000, 0), 2000);
	}
}

static void put_jump(u32 split, u32 to, u8 *end)
{
	u8 jump[] = { 0xe9, 0x3b + split, 0xf0 + (to - 64) / 256, 0xff, 0xff };

	place(jump, sizeof(jump), split, end);
}

/*
 * A jump that leads back into the first page: nothing in the second runs by
 * itself. It is reached by a jump in the first page.
 */
static void jump_back(u32 split)
{
	static const u8 start[] = { 0x90, 0xe9 };
	static const u8 result[2][6] = { { 0xb8, 1, 0, 0, 0, 0xc3 },
					 { 0xb8, 2, 0, 0, 0, 0xc3 } };
	u32 away = 4096 - split - 6;

	memcpy(first, start, sizeof(start));
	memcpy(first + 2, &away, sizeof(away));
	memcpy(first + 64, result[0], sizeof(result[0]));
	memcpy(first + 64 + 1024, result[1], sizeof(result[1]));
	put_jump(split, 64, second[0]);
	put_jump(split, 64 + 1024, second[1]);
	for (u32 i = 0; i < ROUNDS; i++) {
		map_second(i & 1);
		for (u32 k = 0; k < HOT; k++)
			check("a jump behind INVLPG", call(va, 0, 0),
			      1 + (i & 1));
	}
	map_second(0);
	for (u32 i = 0; i < ROUNDS; i++) {
		second[0][2 - split] = i & 1 ? 0xf4 : 0xf0;
		for (u32 k = 0; k < HOT; k++)
			check("a jump behind a change", call(va, 0, 0),
			      1 + (i & 1));
	}
}

/* mov [rdi + 16], dl; mov eax, v; ret: it writes to what it is part of. */
static void write_behind(void)
{
	static const u8 code[] = { 0x88, 0x97, 16, 0, 0, 0,
				   0xb8, 0x55, 0, 0, 0, 0xc3 };

	for (u32 split = 1; split < 6; split++) {
		u64 at = va + 4096 - split;
		u64 value = next + 7 - split;

		place(code, sizeof(code), split, second[0]);
		for (u32 i = 0; i < ROUNDS; i++) {
			for (u32 k = 0; k < HOT / (1 + i); k++)
				call(at, 0, data - 16);
			check("its own page written",
			      call(at, i, (void *)(value - 16)), i);
		}
	}
}

static void other(int cpu)
{
	u32 last = 0;

	while (!quit) {
		u32 v = call(va + 4095, 0, 0);

		if (v < last)
			order_errors++;
		last = v;
		seen = v;
		if (flush != flushed) {
			invlpg((void *)next);
			last = 0;
			flushed = flush;
		}
	}
	ended = 1;
}

static void two_processors(void)
{
	put_mov(1, 0, second[0]);
	put_mov(1, 1000, second[1]);
	smp_start(2, other);
	for (u32 v = 1; v <= VALUES; v++) {
		for (u32 i = 0; i < 500; i++)
			pause();
		*(volatile u8 *)next = (u8)v;
		while (seen != v)
			pause();
	}
	check("values that went back", order_errors, 0);
	for (u32 i = 1; i <= ROUNDS; i++) {
		map_second(i & 1);
		flush = i;
		while (flushed != i)
			pause();
		while (seen == (i & 1 ? VALUES : 1000))
			pause();
		for (u32 k = 0; k < 500; k++)
			check("behind another's change", seen,
			      i & 1 ? 1000 : VALUES);
	}
	quit = 1;
	while (!ended)
		pause();
}

void guest_main(void)
{
	map_page(va, 1, (ulong)first | PTE_P | PTE_W);
	map_second(0);
	/* first, while nothing else has run in the second pages */
	jump_back(1);
	jump_back(2);
	for (u32 split = 1; split < 5; split++) {
		put_mov(split, 0x123456, second[0]);
		change(split);
		exchange(split);
		take_away(split);
	}
	loop();
	write_behind();
	two_processors();
}
