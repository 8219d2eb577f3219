/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random register contents, with the values that tend to break things:
 * zeros, ones, limits, denormals, infinities and NaNs.
 */
#include "compare.h"

#include <string.h>

static uint64_t random_integer(void)
{
	switch (random_below(6)) {
	case 0:
		return random_below(256) - 128ull;
	case 1:
		return 1ull << random_below(64);
	case 2:
		return (1ull << random_below(64)) - 1;
	case 3:
		return (uint32_t)random64();
	default:
		return random64();
	}
}

static uint32_t random_float(void)
{
	static const uint32_t special[] = {
		0,	    0x80000000, 0x3f800000, 0xbf800000, 0x7f800000,
		0xff800000, 0x7fc00000, 0x7f800001, 0x00000001, 0x007fffff,
		0x00800000, 0x7f7fffff, 0x4f000000, 0xcf000000, 0x4b000001,
	};

	if (random_below(3))
		return special[random_below(15)];
	return (uint32_t)random64();
}

static uint64_t random_double(void)
{
	static const uint64_t special[] = {
		0,
		0x8000000000000000,
		0x3ff0000000000000,
		0xbff8000000000000,
		0x7ff0000000000000,
		0xfff0000000000000,
		0x7ff8000000000000,
		0x7ff0000000000001,
		0x0000000000000001,
		0x000fffffffffffff,
		0x0010000000000000,
		0x7fefffffffffffff,
		0x43e0000000000000,
		0x41dfffffffc00000,
	};

	if (random_below(3))
		return special[random_below(14)];
	return random64();
}

/* Eight bytes for a vector register or memory. */
static uint64_t random_lane(unsigned int kind)
{
	switch (kind) {
	case 0:
		return random_float() | (uint64_t)random_float() << 32;
	case 1:
		return random_double();
	case 2:
		return random_integer();
	default:
		return random64();
	}
}

static void random_lanes(uint8_t *to, unsigned int bytes)
{
	unsigned int i, kind = random_below(4);

	for (i = 0; i < bytes; i += 8) {
		uint64_t v = random_lane(kind);

		memcpy(to + i, &v, 8);
	}
}

/* An 80-bit number: mostly proper ones. */
static void random_extended(uint8_t *to)
{
	static const uint16_t exponents[] = { 0,      1,      0x3fff, 0x4000,
					      0x3ffe, 0x403e, 0x7ffe, 0x7fff };
	uint64_t mantissa = random64() | 1ull << 63;
	uint16_t exponent = exponents[random_below(8)];

	if (!random_below(3))
		exponent = (uint16_t)(0x3fe0 + random_below(64));
	if (!random_below(4))
		mantissa = random_below(2) ? 1ull << 63 : 0;
	if (!random_below(16))
		mantissa = random64();
	if (!mantissa)
		exponent = 0;
	exponent |= (uint16_t)(random_below(2) << 15);
	memcpy(to, &mantissa, 8);
	memcpy(to + 8, &exponent, 2);
}

static void random_x87(uint8_t *xsave)
{
	uint16_t fcw = (uint16_t)(0x7f | random_below(16) << 8);
	uint16_t fsw = (uint16_t)(random_below(8) << 11 | random_below(8) << 8);
	unsigned int i;

	if (!random_below(4))
		fcw &= (uint16_t)~random_below(64); /* unmasks some */
	if (!random_below(4))
		fsw |= (uint16_t)(random_below(64) & fcw);
	if (!random_below(16))
		fsw |= (uint16_t)random_below(64); /* may be pending */
	if (fsw & ~fcw & 0x3f)
		fsw |= 0x8080;
	memcpy(xsave, &fcw, 2);
	memcpy(xsave + 2, &fsw, 2);
	xsave[4] = random_below(2) ? 0xff : (uint8_t)random64();
	for (i = 0; i < 8; i++) {
		if (random_below(4)) {
			random_extended(xsave + 32 + 16 * i);
			continue;
		}
		random_lanes(xsave + 32 + 16 * i, 8); /* an MMX value */
		memset(xsave + 40 + 16 * i, 0xff, 2);
	}
}

static uint32_t random_mxcsr(void)
{
	uint32_t mxcsr = 0x1f80;

	if (random_below(2))
		mxcsr |= random_below(4) << 13; /* rounding */
	if (!random_below(4))
		mxcsr |= random_below(2) << 6 | random_below(2) << 15;
	if (!random_below(4))
		mxcsr |= random_below(64);
	if (!random_below(4))
		mxcsr &= ~(random_below(64) << 7);
	return mxcsr;
}

const struct component avx512_components[3] = {
	{ 5, X86_XSAVE_OPMASK, 64 },
	{ 6, X86_XSAVE_ZMM_HI256, 512 },
	{ 7, X86_XSAVE_HI16_ZMM, 1024 },
};

static void random_avx512(struct machine *m)
{
	unsigned int i;

	for (i = 0; i < 8; i++) {
		uint64_t v = random_below(3) ? random64() : random_integer();

		memcpy(m->xsave + X86_XSAVE_OPMASK + 8 * i, &v, 8);
	}
	for (i = 0; i < 16; i++) {
		random_lanes(m->xsave + X86_XSAVE_ZMM_HI256 + 32 * i, 32);
		random_lanes(m->xsave + X86_XSAVE_HI16_ZMM + 64 * i, 64);
	}
}

void machine_randomise(struct machine *m)
{
	const uint64_t components = on_host_avx512() ? 0xe7 : 7;
	uint32_t mxcsr = random_mxcsr();
	unsigned int i;

	memset(m->xsave, 0, sizeof(m->xsave));
	random_x87(m->xsave);
	memcpy(m->xsave + 24, &mxcsr, 4);
	memcpy(m->xsave + 512, &components, 8);
	for (i = 0; i < 16; i++) {
		random_lanes(m->xsave + 160 + 16 * i, 16);
		random_lanes(m->xsave + 576 + 16 * i, 16);
		m->gpr[i] = random_integer();
	}
	if (on_host_avx512())
		random_avx512(m);
	m->flags = 0x202 | (random64() & FLAGS_SEEN);
	if (random_below(4))
		m->flags &= ~0x400ull;
	m->vector = NO_VECTOR;
	for (i = 0; i < DATA_SIZE; i += 64)
		random_lanes(m->data + i, 64);
}
