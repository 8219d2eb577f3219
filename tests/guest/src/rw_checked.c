/* SPDX-License-Identifier: Apache-2.0
 *
 * Code in pages that are written all the time, cold and hot: a block that
 * changes its own next instruction by each kind of store, data beside code,
 * flags that live over stores, pages that change, rest and change again.
 */
#include "map.h"

enum { ROUNDS = 600 };
static u8 code[4096] __page;

/* Runs `at` with the value in edi (and eax), the code's address in rsi. */
static u32 run(const u8 *at, u32 value)
{
	u32 a = value;
	ulong d = value, s = (ulong)at, c = 1;

	asm volatile("call *%4"
		     : "+a"(a), "+D"(d), "+S"(s), "+c"(c)
		     : "r"(at)
		     : "rdx", "rbx", "r8", "r9", "memory", "cc");
	return a;
}

/* Each stores edi at [rsi + 32], where an immediate follows: see below. */
static const struct {
	const char *what;
	u8 size, bytes[20];
} stores[] = {
	{ "mov", 3, { 0x89, 0x7e, 0x20 } },
	{ "xchg", 5, { 0x89, 0xf8, 0x87, 0x46, 0x20 } },
	/* mov [rsi+32], 0; or/add/lock xadd [rsi+32], edi */
	{ "or", 10, { 0xc7, 0x46, 0x20, 0, 0, 0, 0, 0x09, 0x7e, 0x20 } },
	{ "add", 10, { 0xc7, 0x46, 0x20, 0, 0, 0, 0, 0x01, 0x7e, 0x20 } },
	{ "xadd", 14, { 0xc7, 0x46, 0x20, 0, 0, 0, 0, 0x89, 0xf8, 0xf0, 0x0f,
			0xc1, 0x46, 0x20 } },
	/* mov eax, edi; lea rdi, [rsi+32]; stosd */
	{ "stos", 7, { 0x89, 0xf8, 0x48, 0x8d, 0x7e, 0x20, 0xab } },
	/* mov rbx, rsp; lea rsp, [rsi+34]; push di; mov rsp, rbx */
	{ "push", 12, { 0x48, 0x89, 0xe3, 0x48, 0x8d, 0x66, 0x22, 0x66, 0x57,
			0x48, 0x89, 0xdc } },
	/* movd xmm0, edi; movd [rsi+32], xmm0 */
	{ "movd", 9, { 0x66, 0x0f, 0x6e, 0xc7, 0x66, 0x0f, 0x7e, 0x46,
		       0x20 } },
};

/* `bytes`, NOPs up to [32 - 1], then mov eax, imm32; nops; ret. */
static void put_stores(u8 *at, const u8 *bytes, u32 size)
{
	memset(at, 0x90, 48);
	memcpy(at, bytes, size);
	at[31] = 0xb8;
	at[40] = 0xc3;
}

static void next_instruction(u8 *at, const u8 *run_at)
{
	for (u32 k = 0; k < sizeof(stores) / sizeof(stores[0]); k++) {
		put_stores(at, stores[k].bytes, stores[k].size);
		for (u32 i = 0; i < ROUNDS; i++) {
			u32 v = 0x01020304 * (i & 31) + i;

			/* PUSH changes the lower half of the NOPs there */
			if (stores[k].bytes[7] == 0x66)
				v = (v & 0xffff) | 0x90900000;
			check(stores[k].what, run(run_at, v), v);
		}
	}
}

/* xor eax, eax; 1: add eax, edi; adc [rsi+64], eax; adc eax, 0; dec edi;
 * jnz 1b; ret: the flags of the second live over a store. */
static void flags_live(void)
{
	static const u8 loop[] = {
		0x31, 0xc0, 0x01, 0xf8, 0x11, 0x46, 0x40, 0x83, 0xd0, 0x00,
		0xff, 0xcf, 0x75, 0xf4, 0xc3,
	};
	u32 want = 0, memory = 0;

	memcpy(code + 512, loop, sizeof(loop));
	*(volatile u32 *)(code + 512 + 64) = 0;
	for (u32 n = 1; n < 60; n++) {
		want = 0;
		for (u32 d = n * 50; d; d--) {
			u64 sum = (u64)want + d;
			u32 carry = (u32)(sum >> 32);

			want = (u32)sum;
			sum = (u64)memory + want + carry;
			memory = (u32)sum;
			want += (u32)(sum >> 32);
		}
		check("eax", run(code + 512, n * 50), want);
		check("memory", *(volatile u32 *)(code + 512 + 64), memory);
	}
}

/* clc; mov [rsi+64], edi; then what needs no flags, or setc al; ... ret */
static void flags_wanted(void)
{
	static const u8 before[] = { 0xf8, 0x89, 0x7e, 0x40 };
	static const u8 without[] = { 0x31, 0xc0, 0x90, 0x90, 0x90, 0x90,
				      0xc3 };
	static const u8 with[] = { 0x0f, 0x92, 0xc0, 0x0f, 0xb6, 0xc0, 0xc3 };

	memcpy(code + 3072, before, sizeof(before));
	for (u32 i = 0; i < 40; i++) {
		memcpy(code + 3076, without, sizeof(without));
		for (u32 k = 0; k < ROUNDS; k++)
			check("eax without", run(code + 3072, k), 0);
		memcpy(code + 3076, with, sizeof(with));
		check("carry", run(code + 3072, i), 0);
	}
}

/* lea eax, [rdi + imm8]; ret */
static void put_lea(u8 *at, u8 n)
{
	u8 lea[] = { 0x8d, 0x47, n, 0xc3 };

	memcpy(at, lea, sizeof(lea));
}

/* Changes often, rests until it is hot, changes again. */
static void rests(void)
{
	for (u32 i = 0; i < 100; i++) {
		put_lea(code + 1024, i);
		for (u32 k = 0; k < (i % 10 ? 1 : 700); k++)
			check("after a change", run(code + 1024, 1000 + k),
			      1000 + k + i);
	}
}

/* inc dword [rsi + 256]; mov eax, [rsi + 256]; ret */
static void data_beside_code(void)
{
	static const u8 count[] = { 0xff, 0x86, 0, 1, 0, 0,
				    0x8b, 0x86, 0, 1, 0, 0, 0xc3 };

	memcpy(code + 2048, count, sizeof(count));
	*(volatile u32 *)(code + 2048 + 256) = 0;
	for (u32 i = 1; i < 20000; i++)
		check("counted", run(code + 2048, 0), i);
}

void guest_main(void)
{
	write_cr4(read_cr4() | 3UL << 9); /* SSE */
	data_beside_code();
	next_instruction(code, code);
	rests();
	map_page(MAP_BASE, 1, (ulong)code | PTE_P | PTE_W);
	next_instruction((u8 *)MAP_BASE, code);
	next_instruction(code, (u8 *)MAP_BASE);
	flags_live();
	flags_wanted();
	data_beside_code();
}
