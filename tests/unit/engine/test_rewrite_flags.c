/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which flags are undefined where in a program. Which instructions leave which
 * so is Zydis's knowledge, which is the manuals'.
 */
#include "test_rewrite_draw.h"

#include <string.h>

#include "x86/reg.h"

static bool shifts(const ZydisDecodedInstruction *zi)
{
	return zi->meta.category == ZYDIS_CATEGORY_SHIFT ||
	       zi->meta.category == ZYDIS_CATEGORY_ROTATE;
}

/* A count of zero leaves all flags; one beyond the operand gives any CF. */
bool draw_follow_flags(const ZydisDecodedInstruction *zi, uint32_t *undefined)
{
	const ZydisAccessedFlags *f = zi->cpu_flags;

	if (!f)
		return true;
	if (f->tested & *undefined)
		return false;
	if (shifts(zi) || zi->attributes & ZYDIS_ATTRIB_HAS_REP ||
	    zi->attributes & ZYDIS_ATTRIB_HAS_REPNE ||
	    zi->meta.category == ZYDIS_CATEGORY_STRINGOP)
		*undefined |= f->undefined | (shifts(zi) ? 1 : 0);
	else
		*undefined = (*undefined &
			      ~(f->modified | f->set_0 | f->set_1)) |
			     f->undefined;
	*undefined &= X86_FLAGS_ARITH;
	return true;
}

bool draw_decode(const uint8_t *bytes, unsigned int bits,
		 ZydisDecodedInstruction *zi, ZydisDecodedOperand *zo)
{
	ZydisDecoder decoder;

	ZydisDecoderInit(&decoder,
			 bits == 64 ? ZYDIS_MACHINE_MODE_LONG_64 :
			 bits == 32 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32 :
				      ZYDIS_MACHINE_MODE_LONG_COMPAT_16,
			 bits == 64 ? ZYDIS_STACK_WIDTH_64 :
			 bits == 32 ? ZYDIS_STACK_WIDTH_32 :
				      ZYDIS_STACK_WIDTH_16);
	return ZYAN_SUCCESS(
		ZydisDecoderDecodeFull(&decoder, bytes, 15, zi, zo));
}

/* A NOPped piece is many instructions that do nothing. */
static bool follow_piece(const struct piece *piece, unsigned int bits,
			 uint32_t *undefined)
{
	ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction zi;
	uint8_t bytes[16] = { 0 };

	memcpy(bytes, piece->bytes, piece->length);
	if (bytes[0] == 0x90)
		return true;
	return draw_decode(bytes, bits, &zi, zo) && draw_follow_flags(&zi, undefined);
}

/*
 * Blocks lead to later ones only, or to themselves with all flags defined;
 * what is undefined at the end of one counts for all that follow.
 */
bool rewrite_analyse(struct program *p)
{
	uint32_t undefined = 0, seen = 0;

	for (unsigned int i = 0; i < p->count; i++) {
		if (i && p->piece[i].block != p->piece[i - 1].block)
			undefined |= seen;
		p->piece[i].undefined = (uint16_t)undefined;
		if (!follow_piece(&p->piece[i], p->bits, &undefined))
			return false;
		if (i + 1 == p->count ||
		    p->piece[i].block != p->piece[i + 1].block)
			seen |= undefined;
	}
	p->undefined_out = undefined | seen;
	return true;
}

uint32_t draw_undefined_now(struct drawing *d)
{
	rewrite_analyse(d->p);
	return d->p->undefined_out;
}
