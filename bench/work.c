/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compute tests of the benchmark program.
 */
#define _GNU_SOURCE
#include "work.h"

#include <immintrin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SMALL  (16u << 10)
#define LARGE  (16u << 20)
#define RANDOM (64u << 20)
#define BLOCK  (64u << 10)
#define FRESH  (256u << 10)

/* A power of two that no TLB index reaches: pages this far apart are found in
 * the same place of any direct-mapped TLB. */
#define ALIAS ((size_t)1 << 30)

/* Results end here, so that no compiler drops the work. */
static volatile uint64_t sink;
static volatile double sink_double;

static uint64_t xorshift(uint64_t x)
{
	x ^= x << 13;
	x ^= x >> 7;
	return x ^ x << 17;
}

void work_integer(uint64_t n)
{
	uint64_t x = n | 1;

	while (n--)
		x = xorshift(x);
	sink = x;
}

void work_muldiv(uint64_t n)
{
	uint64_t x = 88172645463325252u, y = n | 1;

	while (n--)
		x = (x * 6364136223846793005u + 1) / (y | 3) + x % 1000003;
	sink = x;
}

static __attribute__((noinline)) uint64_t fib(uint64_t n)
{
	__asm__ volatile("" : "+r"(n));
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

void work_calls(uint64_t n)
{
	/* fib(16) makes 3193 calls. */
	for (uint64_t i = 0; i < n; i += 3193)
		sink = fib(16);
}

#define TARGET(name, op)                                        \
	static __attribute__((noinline)) uint64_t name(uint64_t x) \
	{                                                       \
		return x op;                                    \
	}
TARGET(target0, +1)
TARGET(target1, ^0x55)
TARGET(target2, *3)
TARGET(target3, -7)
TARGET(target4, | 8)
TARGET(target5, +(x >> 3))
TARGET(target6, ^(x << 2))
TARGET(target7, &~16ull)

void work_indirect(uint64_t n)
{
	static uint64_t (*const volatile table[8])(uint64_t) = {
		target0, target1, target2, target3,
		target4, target5, target6, target7,
	};
	uint64_t x = 1, r = 12345;

	while (n--) {
		r = xorshift(r);
		x = table[r & 7](x);
	}
	sink = x;
}

void work_bytecode(uint64_t n)
{
	enum { PUSH, ADD, MUL, DUP, SWAP, DROP, JNZ, DEC };
	static const uint8_t code[] = { PUSH, 3, PUSH, 5, ADD, DUP, MUL, PUSH,
					7,    SWAP, DROP, DROP, DEC, JNZ };
	uint64_t stack[16] = { 0 }, counter = n / 11 + 1;
	unsigned int sp = 0, pc = 0;

	for (;;) {
		switch (code[pc++]) {
		case PUSH:
			stack[sp++ & 15] = code[pc++];
			break;
		case ADD:
			sp--;
			stack[(sp - 1) & 15] += stack[sp & 15];
			break;
		case MUL:
			sp--;
			stack[(sp - 1) & 15] *= stack[sp & 15];
			break;
		case DUP:
			stack[sp & 15] = stack[(sp - 1) & 15];
			sp++;
			break;
		case SWAP: {
			uint64_t t = stack[(sp - 1) & 15];

			stack[(sp - 1) & 15] = stack[(sp - 2) & 15];
			stack[(sp - 2) & 15] = t;
			break;
		}
		case DROP:
			sp--;
			break;
		case DEC:
			counter--;
			break;
		case JNZ:
			if (!counter) {
				sink = stack[0];
				return;
			}
			pc = 0;
			break;
		}
	}
}

static uint64_t small[2][SMALL / 8] __attribute__((aligned(4096)));

/* Two buffers of 64 KiB that lie ALIAS apart. */
static char *aliases(void)
{
	static char *base;

	if (base)
		return base;
	base = mmap(NULL, ALIAS + BLOCK, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED ||
	    mprotect(base, BLOCK, PROT_READ | PROT_WRITE) ||
	    mprotect(base + ALIAS, BLOCK, PROT_READ | PROT_WRITE))
		abort();
	return base;
}

void work_loads(uint64_t n)
{
	uint64_t a = 0, b = 0;

	for (uint64_t i = 0; i < n; i += 8) {
		const volatile uint64_t *p = &small[0][i % (SMALL / 8)];

		a += p[0] + p[2] + p[4] + p[6];
		b += p[1] + p[3] + p[5] + p[7];
	}
	sink = a + b;
}

void work_stores(uint64_t n)
{
	for (uint64_t i = 0; i < n; i += 8) {
		volatile uint64_t *p = &small[0][i % (SMALL / 8)];

		for (unsigned int j = 0; j < 8; j++)
			p[j] = i;
	}
}

/* Links `count` cells of `stride` words into one random cycle. */
static void link_cells(uint64_t *cell, uint64_t count, uint64_t stride)
{
	uint64_t r = 42, *order = malloc(count * sizeof(*order));

	for (uint64_t i = 0; i < count; i++)
		order[i] = i;
	for (uint64_t i = count - 1; i; i--) {
		uint64_t j, t = order[i];

		r = xorshift(r);
		j = r % i;
		order[i] = order[j];
		order[j] = t;
	}
	for (uint64_t i = 0; i < count; i++)
		cell[order[i] * stride] =
			(uint64_t)&cell[order[(i + 1) % count] * stride];
	free(order);
}

static void chase(const uint64_t *cell, uint64_t n)
{
	while (n--)
		cell = (const uint64_t *)*(const volatile uint64_t *)cell;
	sink = (uint64_t)cell;
}

void work_chase_small(uint64_t n)
{
	static uint64_t *cell;

	if (!cell) {
		cell = aligned_alloc(4096, SMALL);
		link_cells(cell, SMALL / 64, 8);
	}
	chase(cell, n);
}

void work_chase_large(uint64_t n)
{
	static uint64_t *cell;

	if (!cell) {
		cell = aligned_alloc(4096, RANDOM);
		link_cells(cell, RANDOM / 64, 8);
	}
	chase(cell, n);
}

void work_memcpy_small(uint64_t n)
{
	while (n--) {
		memcpy(small[1], small[0], SMALL);
		__asm__ volatile("" ::: "memory");
	}
}

void work_memcpy_alias(uint64_t n)
{
	char *p = aliases();

	while (n--) {
		memcpy(p + ALIAS, p, SMALL);
		__asm__ volatile("" ::: "memory");
	}
}

void work_memcpy_large(uint64_t n)
{
	static char *from, *to;

	if (!from) {
		from = malloc(LARGE);
		to = malloc(LARGE);
		memset(from, 1, LARGE);
		memset(to, 2, LARGE);
	}
	while (n--) {
		memcpy(to, from, LARGE);
		__asm__ volatile("" ::: "memory");
	}
}

static void repmovsb(char *to, const char *from, uint64_t n)
{
	while (n--) {
		const void *s = from;
		void *d = to;
		size_t count = BLOCK;

		__asm__ volatile("rep movsb"
				 : "+S"(s), "+D"(d), "+c"(count)
				 :
				 : "memory");
	}
}

void work_repmovsb(uint64_t n)
{
	static char from[BLOCK], to[BLOCK];

	repmovsb(to, from, n);
}

void work_repmovsb_alias(uint64_t n)
{
	repmovsb(aliases() + ALIAS, aliases(), n);
}

void work_double(uint64_t n)
{
	double sum = 0;

	for (uint64_t i = 0; i < n; i++) {
		double cr = (double)(i % 640) / 320 - 1.5;
		double ci = (double)(i % 480) / 240 - 1;
		double zr = 0, zi = 0;

		for (int k = 0; k < 16 && zr * zr + zi * zi < 4; k++) {
			double t = zr * zr - zi * zi + cr;

			zi = 2 * zr * zi + ci;
			zr = t;
		}
		sum += zr;
	}
	sink_double = sum;
}

void work_libm(uint64_t n)
{
	double x = 0.5;

	while (n--)
		x = sin(x) + exp(-x);
	sink_double = x;
}

void work_x87(uint64_t n)
{
	long double x = 1.5L;

	while (n--)
		x = x * 1.0000001L + 0.25L / x;
	sink_double = (double)x;
}

static void sse_copy(void *to, const void *from, uint64_t n)
{
	while (n--)
		for (unsigned int i = 0; i < SMALL / 16; i++) {
			__m128i v = _mm_load_si128((const __m128i *)from + i);

			__asm__ volatile("" : "+x"(v));
			_mm_store_si128((__m128i *)to + i, v);
		}
}

void work_sse_copy(uint64_t n)
{
	sse_copy(small[1], small[0], n);
}

void work_sse_copy_alias(uint64_t n)
{
	sse_copy(aliases() + ALIAS, aliases(), n);
}

__attribute__((target("avx2"))) static void avx2_copy(void *to,
						      const void *from,
						      uint64_t n)
{
	while (n--)
		for (unsigned int i = 0; i < SMALL / 32; i++) {
			__m256i v =
				_mm256_load_si256((const __m256i *)from + i);

			__asm__ volatile("" : "+x"(v));
			_mm256_store_si256((__m256i *)to + i, v);
		}
}

void work_avx2_copy(uint64_t n)
{
	avx2_copy(small[1], small[0], n);
}

void work_avx2_copy_alias(uint64_t n)
{
	avx2_copy(aliases() + ALIAS, aliases(), n);
}

__attribute__((target("avx2,fma"))) void work_avx2_fma(uint64_t n)
{
	__m256 a = _mm256_set1_ps(1.5f), b = _mm256_set1_ps(0.999f);
	__m256 c = _mm256_set1_ps(0.001f), d = a;

	for (uint64_t i = 0; i < n; i += 2) {
		a = _mm256_fmadd_ps(a, b, c);
		d = _mm256_fmadd_ps(d, b, c);
	}
	sink_double = _mm256_cvtss_f32(_mm256_add_ps(a, d));
}

void work_strlen(uint64_t n)
{
	char *text = (char *)small[0];

	memset(text, 'x', SMALL);
	text[SMALL - 1] = '\0';
	while (n--) {
		__asm__ volatile("" ::: "memory");
		sink = strlen(text);
	}
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

void work_sort(uint64_t n)
{
	static uint32_t data[100000];
	uint64_t r = 7;

	while (n--) {
		for (unsigned int i = 0; i < 100000; i++) {
			r = xorshift(r);
			data[i] = (uint32_t)r;
		}
		qsort(data, 100000, sizeof(data[0]), compare);
	}
	sink = data[0];
}

static uint32_t rotate(uint32_t x, unsigned int by)
{
	return x >> by | x << (32 - by);
}

/* FIPS 180-4, 6.2.2, with constants computed from primes (4.2.2). */
static void sha256_block(uint32_t state[8], const uint8_t *p,
			 const uint32_t k[64])
{
	uint32_t w[64], s[8];

	for (int i = 0; i < 16; i++) {
		memcpy(&w[i], p + i * 4, 4);
		w[i] = __builtin_bswap32(w[i]);
	}
	for (int i = 16; i < 64; i++) {
		uint32_t a = w[i - 15], b = w[i - 2];

		w[i] = w[i - 16] + w[i - 7] +
		       (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) +
		       (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
	}
	memcpy(s, state, sizeof(s));
	for (int i = 0; i < 64; i++) {
		uint32_t e = s[4], a = s[0];
		uint32_t t1 = s[7] + k[i] + w[i] +
			      (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
			      ((e & s[5]) ^ (~e & s[6]));
		uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
			      ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));

		memmove(&s[1], &s[0], 7 * sizeof(s[0]));
		s[4] += t1;
		s[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		state[i] += s[i];
}

static void sha256_constants(uint32_t k[64])
{
	unsigned int found = 0;

	for (unsigned int n = 2; found < 64; n++) {
		double root = cbrt(n);
		int prime = 1;

		for (unsigned int d = 2; d * d <= n; d++)
			prime &= n % d != 0;
		if (prime)
			k[found++] = (uint32_t)((root - floor(root)) *
						4294967296.0);
	}
}

void work_sha256(uint64_t n)
{
	static uint8_t data[64 << 10];
	static uint32_t k[64];
	uint32_t state[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	if (!k[0])
		sha256_constants(k);
	while (n--)
		for (size_t i = 0; i < sizeof(data); i += 64)
			sha256_block(state, data + i, k);
	sink = state[0];
}

/* mov eax, imm32; ret */
void work_patch_code(uint64_t n)
{
	static uint8_t *code;
	uint32_t sum = 0;

	if (!code) {
		code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		code[0] = 0xb8;
		code[5] = 0xc3;
	}
	while (n--) {
		uint32_t value = (uint32_t)n;

		memcpy(code + 1, &value, 4);
		__asm__ volatile("" ::: "memory");
		sum += ((uint32_t(*)(void))(uintptr_t)code)();
	}
	sink = sum;
}

/*
 * Fills a buffer with functions of 16 bytes whose constants are new each time,
 * then calls every one of them once:
 *     mov eax, imm32; xor edx, imm32; add eax, edx; nop; ret
 */
void work_fresh_code(uint64_t n)
{
	static const uint8_t shape[16] = { 0xb8, 0,    0,    0, 0, 0x81,
					   0xf2, 0,    0,    0, 0, 0x01,
					   0xd0, 0x66, 0x90, 0xc3 };
	static uint8_t *code;
	static uint32_t value;
	uint32_t sum = 0;

	if (!code)
		code = mmap(NULL, FRESH, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	while (n--) {
		for (uint8_t *p = code; p < code + FRESH; p += sizeof(shape)) {
			memcpy(p, shape, sizeof(shape));
			value += 0x9e3779b9;
			memcpy(p + 1, &value, 4);
			memcpy(p + 7, &value, 4);
		}
		__asm__ volatile("" ::: "memory");
		for (uint8_t *p = code; p < code + FRESH; p += sizeof(shape))
			sum += ((uint32_t(*)(void))(uintptr_t)p)();
	}
	sink = sum;
}
