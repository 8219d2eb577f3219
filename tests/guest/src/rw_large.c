/* SPDX-License-Identifier: Apache-2.0
 *
 * More hot code than any cache of translations holds: 8 MiB of functions,
 * each called until it is hot, in several sweeps, some changed in between.
 */
#include "lib.h"

enum { BASE = 0x1000000, SIZE = 8 << 20, STEP = 64 };

/*
 * mov eax, v; add eax, ecx; xor edx, eax; test [rsp], rdx; jz 1f; 1: ror edx;
 * mov eax, eax; sub eax, ecx; ret
 */
static void put_function(u8 *at, u32 v)
{
	u8 f[] = {
		0xb8, v, v >> 8, v >> 16, v >> 24, 0x01, 0xc8, 0x31, 0xc2,
		0x48, 0x85, 0x14, 0x24, 0x74, 0x00, 0xd1, 0xca, 0x89, 0xc0,
		0x29, 0xc8, 0xc3,
	};

	memcpy(at, f, sizeof(f));
}

void guest_main(void)
{
	u8 *base = (u8 *)(ulong)BASE;

	for (u32 i = 0; i < SIZE / STEP; i++)
		put_function(base + i * STEP, i * 3);
	for (u32 sweep = 0; sweep < 2; sweep++) {
		u32 wrong = 0;

		for (u32 i = 0; i < SIZE / STEP; i++) {
			for (u32 k = 0; k < 20; k++) {
				u32 a;

				asm volatile("call *%1" : "=a"(a)
					     : "r"(base + i * STEP), "c"(k)
					     : "rdx", "memory", "cc");
				wrong += a != i * 3 + sweep * (i % 7 == 0);
			}
		}
		check("functions gone wrong", wrong, 0);
		for (u32 i = 0; i < SIZE / STEP; i += 7)
			put_function(base + i * STEP, i * 3 + 1);
	}
}
