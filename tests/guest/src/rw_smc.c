/* SPDX-License-Identifier: Apache-2.0
 *
 * Hot code that changes: a loop that patches a function in its own page, in
 * another page, across two pages, after each number of rounds; an immediate
 * called again and again; the same code at two addresses; bytes that come in
 * by a string instruction.
 */
#include "map.h"

enum { ROUNDS = 200 };
static u8 code[3 * 4096] __page;

static u32 call(const void *at)
{
	u32 a;

	asm volatile("call *%1" : "=a"(a) : "r"(at) : "rcx", "rdx", "memory");
	return a;
}

static void put_mov(u8 *at, u32 v)
{
	u8 mov[] = { 0xb8, v, v >> 8, v >> 16, v >> 24, 0xc3 };

	memcpy(at, mov, sizeof(mov));
}

/* The value changes after so many calls. */
static void patched(const char *what, u8 *at, volatile u8 *write, u32 calls)
{
	put_mov(at, 0);
	for (u32 v = 1; v < 30; v++) {
		*(volatile u32 *)(write + 1) = v;
		for (u32 i = 0; i < calls; i++)
			check(what, call(at), v);
	}
}

/*
 * Stores its counter into the immediate of code that it then runs, and adds
 * up what that gives: `at` must be executable, 64 bytes.
 *   mov edi, rounds; xor edx, edx
 *   1: mov [rsi + 1], edi; call rsi; add edx, eax; dec edi; jnz 1b
 *   mov eax, edx; ret
 */
static void put_loop(u8 *at)
{
	static const u8 loop[] = {
		0xbf, ROUNDS, 0, 0, 0, 0x31, 0xd2, 0x89, 0x7e, 0x01, 0xff,
		0xd6, 0x01, 0xc2, 0xff, 0xcf, 0x75, 0xf5, 0x89, 0xd0, 0xc3,
	};

	memcpy(at, loop, sizeof(loop));
}

static u32 run_loop(u8 *at, u8 *function)
{
	u32 a;

	asm volatile("call *%1"
		     : "=a"(a)
		     : "r"(at), "S"(function)
		     : "rcx", "rdx", "rdi", "memory", "cc");
	return a;
}

static void loop_patches(const char *what, u8 *at, u8 *function)
{
	put_loop(at);
	put_mov(function, 0);
	for (int i = 0; i < 5; i++)
		check(what, run_loop(at, function),
		      ROUNDS * (ROUNDS + 1) / 2);
}

/* A loop that counts through its own immediate. */
static void own_immediate(void)
{
	u32 v, n;

	for (int i = 0; i < 20; i++) {
		asm volatile("xor %%ecx, %%ecx; xor %1, %1\n"
			     "movb $1, 1f + 2(%%rip)\n"
			     "1: add $1, %%ecx\n" /* 83 c1 ib */
			     "	incb 1b + 2(%%rip); inc %1; cmp $60, %1\n"
			     "	jb 1b"
			     : "=&c"(v), "=&r"(n)::"memory", "cc");
		check("sum of 1..60", v, 60 * 61 / 2);
	}
}

void guest_main(void)
{
	u8 other[6];

	patched("changed each time", code, code, 1);
	patched("changed while cold", code, code, 3);
	patched("changed when hot", code, code, 50);
	patched("changed across pages", code + 4096 - 3, code + 4096 - 3, 50);
	map_page(MAP_BASE, 1, (ulong)code | PTE_P | PTE_W);
	patched("changed through an alias", code, (u8 *)MAP_BASE, 50);
	patched("the alias called", (u8 *)MAP_BASE, code, 50);
	loop_patches("a loop that patches its page", code, code + 64);
	loop_patches("another page", code, code + 4096);
	loop_patches("across pages", code, code + 2 * 4096 - 3);
	loop_patches("a page whose loop lies across", code + 4096 - 9,
		     code + 4096 + 128);
	loop_patches("through an alias", (u8 *)MAP_BASE, code + 64);
	own_immediate();
	for (u32 v = 0; v < 100; v++) {
		void *to = code, *from = other;
		ulong n = sizeof(other);

		put_mov(other, v);
		asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)
			     :: "memory");
		check("copied by a string instruction", call(code), v);
	}
}
