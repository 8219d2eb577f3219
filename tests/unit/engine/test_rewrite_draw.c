/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws programs: up to six blocks of random instructions, scattered over
 * four pages, each leading to a later one (or to itself, counted) by a random
 * kind of branch. Some registers point into the data, some hold small numbers
 * and serve as index, the rest hold anything. A block has a favourite operand,
 * whose neighbourhood it accesses often, moving the pointer in between.
 *
 * No instruction reads a flag that the manuals leave undefined.
 */
#include "test_rewrite_draw.h"

#include <stdlib.h>
#include <string.h>

#include "engine/soft/rewrite.h"

#define SLOT	     512u
#define SLOTS	     (PAGE_SIZE / SLOT * (REWRITE_CODE_PAGES - 1))
#define TRIES_MAX    400u
#define FUNCTIONS    (REWRITE_CODE + (REWRITE_CODE_PAGES - 1) * PAGE_SIZE)

/* --- encoding --------------------------------------------------------- */

void draw_put(struct code *c, unsigned int byte)
{
	c->bytes[c->length++] = (uint8_t)byte;
}

void draw_put_value(struct code *c, uint64_t v, unsigned int size)
{
	memcpy(c->bytes + c->length, &v, size);
	c->length += size;
}

unsigned int draw_pointer(const struct drawing *d)
{
	return d->pointers[random_below(5)];
}

unsigned int draw_small(const struct drawing *d)
{
	return d->smalls[random_below(3)];
}

/* A register to change: seldom one that addresses hang on. */
unsigned int draw_register(const struct drawing *d)
{
	unsigned int count = d->p->bits == 64 ? 16 : 8;
	unsigned int r = random_below(count);

	for (int i = 0; i < 4 && (d->precious >> r & 1); i++)
		r = random_below(count);
	return r;
}

uint32_t draw_data_address(void)
{
	uint32_t page = REWRITE_DATA +
			random_below(REWRITE_DATA_PAGES) * (uint32_t)PAGE_SIZE;

	if (random_below(3))
		page = REWRITE_DATA + random_below(2) * (uint32_t)PAGE_SIZE;
	return random_below(4) ? page + random_below(PAGE_SIZE) :
				 page + PAGE_SIZE - random_below(17);
}

static struct draw_address near_favourite(const struct drawing *d)
{
	bool sib = (d->favourite & 7) == 4 || d->favourite_index != 4;

	return (struct draw_address){
		.base = d->favourite,
		.mod = 1,
		.disp_size = 1,
		.disp = (int32_t)random_below(64) - 32,
		.sib = sib,
		.rm = sib ? 4 : d->favourite & 7,
		.index = d->favourite_index,
		.scale = d->favourite_scale,
	};
}

uint32_t draw_offset(const struct drawing *d)
{
	return draw_data_address() - d->p->seg[X86_DS].base;
}

static struct draw_address draw_address(const struct drawing *d)
{
	struct draw_address a = { .base = draw_pointer(d) };

	if (random_below(2))
		return near_favourite(d);
	switch (random_below(16)) {
	case 0 ... 1:
		return (struct draw_address){ .rm = 5, .disp_size = 4,
					      .rip = true,
					      .disp = (int32_t)draw_offset(d) };
	case 2: /* absolute, or index alone */
		a = (struct draw_address){ .rm = 4, .sib = true, .base = 5,
				      .index = 4, .disp_size = 4,
				      .disp = (int32_t)draw_offset(d) };
		if (random_below(3) == 0 && !d->p->host)
			a.disp -= 0x200000;
		if (random_below(2)) {
			a.index = draw_small(d);
			a.scale = random_below(4);
		}
		return a;
	case 3:
		a.base = random_below(d->p->bits == 64 ? 16 : 8);
		break;
	default:
		break;
	}
	a.mod = random_below(3);
	if (a.mod == 0 && (a.base & 7) == 5)
		a.mod = 1;
	a.disp_size = a.mod == 0 ? 0 : a.mod == 1 ? 1 : 4;
	a.disp = a.mod == 1 ? (int8_t)random64() :
		 a.mod == 2 ? (int32_t)random_below(0x400) - 0x200 : 0;
	a.sib = (a.base & 7) == 4 || random_below(3) == 0;
	a.rm = a.sib ? 4 : a.base & 7;
	a.index = a.sib && random_below(4) ? draw_small(d) : 4;
	a.scale = random_below(4);
	return a;
}

static void put_modrm(struct code *c, const struct draw_address *a,
		      unsigned int reg, unsigned int rm, bool memory)
{
	if (!memory) {
		draw_put(c, 0xc0 | (reg & 7) << 3 | (rm & 7));
		return;
	}
	draw_put(c, a->mod << 6 | (reg & 7) << 3 | a->rm);
	if (a->sib)
		draw_put(c, a->scale << 6 | (a->index & 7) << 3 | (a->base & 7));
	draw_put_value(c, (uint32_t)a->disp, a->disp_size);
}

static void put_legacy_prefixes(struct code *c)
{
	if (random_below(6) == 0)
		draw_put(c, 0x66);
	if (random_below(12) == 0)
		draw_put(c, 0xf2 + random_below(2));
	c->adsize_prefix = random_below(12) == 0;
	if (c->adsize_prefix)
		draw_put(c, 0x67);
	if (random_below(10) == 0)
		draw_put(c, 0x64 + random_below(2));
	if (random_below(16) == 0)
		draw_put(c, 0x26 + random_below(4) * 8); /* ES CS SS DS */
	if (random_below(12) == 0)
		draw_put(c, 0xf0);
}

static const uint8_t map_0f[] = {
	0x0d, 0x10, 0x11, 0x18, 0x1f, 0x28, 0x29, 0x2a, 0x2c, 0x2e, 0x40, 0x41,
	0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d,
	0x4e, 0x4f, 0x54, 0x58, 0x59, 0x60, 0x6e, 0x6f, 0x70, 0x7e, 0x7f, 0x90,
	0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c,
	0x9d, 0x9e, 0x9f, 0xa3, 0xa4, 0xa5, 0xab, 0xac, 0xad, 0xaf, 0xb0, 0xb1,
	0xb3, 0xb6, 0xb7, 0xb8, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf, 0xc0, 0xc1,
	0xc3, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd4,
	0xd6, 0xd7, 0xef, 0xfe,
};

static void put_legacy(const struct drawing *d, struct code *c,
		       const struct draw_address *a, unsigned int reg,
		       unsigned int rm, bool memory)
{
	unsigned int rxb = (reg >> 3) << 2;

	rxb |= memory ? (a->sib ? (a->index >> 3) << 1 : 0) |
				(a->rip || a->mod == 0 ? 0 : 0) :
			rm >> 3;
	if (memory && !a->rip && !(a->sib && a->mod == 0 && a->base == 5))
		rxb |= a->base >> 3;
	put_legacy_prefixes(c);
	if (d->p->bits == 64 && (rxb || random_below(2)))
		draw_put(c, 0x40 | random_below(2) << 3 | rxb);
	if (d->x87 && random_below(2)) {
		draw_put(c, 0xd8 + random_below(8));
		return;
	}
	switch (random_below(40)) {
	case 0:
		draw_put_value(c, 0x380f, 2);
		draw_put(c, random_below(2) ? 0xf0 + random_below(7) :
					 random_below(256));
		break;
	case 1 ... 3:
		draw_put_value(c, 0x0f, 1);
		draw_put(c, random_below(256));
		break;
	case 4 ... 12:
		draw_put(c, 0x0f);
		draw_put(c, map_0f[random_below(sizeof(map_0f))]);
		break;
	case 13: /* PUSH, POP, MOV, XCHG of a register */
		draw_put(c, (random_below(2) ? 0x50 : random_below(2) ? 0x90 : 0xb0)
			+ random_below(16));
		break;
	case 14: /* PUSHF, JCXZ, CMPXCHG16B, BT and its kin */
		if (random_below(2))
			draw_put_value(c, 0xa30f + random_below(4) * 0x800, 2);
		else if (random_below(3))
			draw_put_value(c, 0xc70f, 2);
		else
			draw_put(c, random_below(2) ? 0x9c : 0xe3);
		break;
	default:
		draw_put(c, random_below(256));
	}
}

static void put_vex(struct code *c, const struct draw_address *a, unsigned int reg,
		    unsigned int rm, bool memory)
{
	static const uint8_t bmi[] = { 0xf2, 0xf3, 0xf5, 0xf6, 0xf7 };
	unsigned int map = 1 + random_below(3);
	unsigned int x = memory && a->sib ? a->index >> 3 : 0;
	unsigned int b = memory ? a->base >> 3 : rm >> 3;

	if (memory && (a->rip || (a->sib && a->mod == 0 && a->base == 5)))
		b = 0;
	draw_put(c, 0xc4);
	draw_put(c, (!(reg >> 3) << 7) | (!x << 6) | (!b << 5) | map);
	draw_put(c, random_below(2) << 7 | random_below(16) << 3 | random_below(8));
	draw_put(c, map == 2 && random_below(2) ? bmi[random_below(5)] :
	       map == 3 && random_below(2) ? 0xf0 :
					     random_below(256));
}

/* Random bits in all places, but for the GPRs of an address. */
static void put_evex(const struct drawing *d, struct code *c,
		     const struct draw_address *a, unsigned int reg,
		     unsigned int rm, bool memory)
{
	unsigned int b = memory ? a->base >> 3 : rm >> 3;
	unsigned int x = memory ? (a->sib ? a->index >> 3 : 0) :
				  random_below(2);
	unsigned int high = random_below(4);
	bool masked = random_below(2);

	if (memory && (a->rip || (a->sib && a->mod == 0 && a->base == 5)))
		b = 0;
	if (d->p->bits != 64)
		x = 0;
	if (d->p->bits != 64 && random_below(4))
		high = 0;
	draw_put(c, 0x62);
	draw_put(c, (!(reg >> 3) << 7) | (!x << 6) | (!b << 5) |
			    (~high & 1) << 4 | (1 + random_below(3)));
	draw_put(c, random_below(2) << 7 | random_below(16) << 3 | 4 |
			    random_below(4));
	draw_put(c, (masked ? random_below(2) << 7 : 0) |
			    random_below(random_below(4) ? 3 : 4) << 5 |
			    (random_below(4) == 0) << 4 | (~high & 2) << 2 |
			    (masked ? random_below(8) : 0));
	draw_put(c, random_below(256));
}

/* --- choosing ----------------------------------------------------------- */

static bool category_allowed(const ZydisDecodedInstruction *zi)
{
	/* Whatever the guest is not offered, no host of ours has. */
	if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
		return zi->meta.isa_set != ZYDIS_ISA_SET_AVX512PF_512;
	if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_MVEX)
		return false;
	switch (zi->meta.category) {
	case ZYDIS_CATEGORY_ADOX_ADCX:
	case ZYDIS_CATEGORY_AES:
	case ZYDIS_CATEGORY_AVX:
	case ZYDIS_CATEGORY_AVX2:
	case ZYDIS_CATEGORY_BINARY:
	case ZYDIS_CATEGORY_BITBYTE:
	case ZYDIS_CATEGORY_BMI1:
	case ZYDIS_CATEGORY_BMI2:
	case ZYDIS_CATEGORY_BROADCAST:
	case ZYDIS_CATEGORY_CMOV:
	case ZYDIS_CATEGORY_FCMOV:
	case ZYDIS_CATEGORY_KMASK:
	case ZYDIS_CATEGORY_CONVERT:
	case ZYDIS_CATEGORY_DECIMAL:
	case ZYDIS_CATEGORY_DATAXFER:
	case ZYDIS_CATEGORY_GFNI:
	case ZYDIS_CATEGORY_LOGICAL:
	case ZYDIS_CATEGORY_LOGICAL_FP:
	case ZYDIS_CATEGORY_LZCNT:
	case ZYDIS_CATEGORY_MISC:
	case ZYDIS_CATEGORY_MMX:
	case ZYDIS_CATEGORY_NOP:
	case ZYDIS_CATEGORY_PCLMULQDQ:
	case ZYDIS_CATEGORY_POP:
	case ZYDIS_CATEGORY_PREFETCH:
	case ZYDIS_CATEGORY_PUSH:
	case ZYDIS_CATEGORY_ROTATE:
	case ZYDIS_CATEGORY_SEMAPHORE:
	case ZYDIS_CATEGORY_SETCC:
	case ZYDIS_CATEGORY_SHA:
	case ZYDIS_CATEGORY_SHIFT:
	case ZYDIS_CATEGORY_SSE:
	case ZYDIS_CATEGORY_STTNI:
	case ZYDIS_CATEGORY_STRINGOP:
	case ZYDIS_CATEGORY_TBM:
	case ZYDIS_CATEGORY_VAES:
	case ZYDIS_CATEGORY_VFMA:
	case ZYDIS_CATEGORY_VPCLMULQDQ:
	case ZYDIS_CATEGORY_WIDENOP:
	case ZYDIS_CATEGORY_X87_ALU:
		return true;
	case ZYDIS_CATEGORY_FLAGOP:
		return zi->mnemonic != ZYDIS_MNEMONIC_STI &&
		       zi->mnemonic != ZYDIS_MNEMONIC_CLI &&
		       zi->mnemonic != ZYDIS_MNEMONIC_STAC &&
		       zi->mnemonic != ZYDIS_MNEMONIC_CLAC;
	default:
		return false;
	}
}

static bool mnemonic_allowed(const ZydisDecodedInstruction *zi, bool host)
{
	switch (zi->mnemonic) {
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_ENCLU:
	case ZYDIS_MNEMONIC_MONITOR:
	case ZYDIS_MNEMONIC_MWAIT:
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_POPFQ:
	case ZYDIS_MNEMONIC_PAUSE:
	case ZYDIS_MNEMONIC_RDPID:
	case ZYDIS_MNEMONIC_LDS:
	case ZYDIS_MNEMONIC_LES:
	case ZYDIS_MNEMONIC_LFS:
	case ZYDIS_MNEMONIC_LGS:
	case ZYDIS_MNEMONIC_LSS:
		return false;
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
		return !host; /* may fault with a mask of zero, or not */
	case ZYDIS_MNEMONIC_CLZERO: /* the host's, but not the guest's */
	case ZYDIS_MNEMONIC_EXTRQ:
	case ZYDIS_MNEMONIC_FLDENV: /* CR2, selectors, mask: each model's */
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_INSERTQ:
	case ZYDIS_MNEMONIC_MONITORX:
	case ZYDIS_MNEMONIC_MOVNTSD:
	case ZYDIS_MNEMONIC_MOVNTSS:
	case ZYDIS_MNEMONIC_MWAITX:
	case ZYDIS_MNEMONIC_RDPRU:
		return !host;
	case ZYDIS_MNEMONIC_SHLD:
	case ZYDIS_MNEMONIC_SHRD:
		/* 16 bits by more than that many give anything. */
		return zi->operand_width != 16;
	default:
		return true;
	}
}

/* Segment and system registers are kept, and mostly those of addresses. */
static bool operands_allowed(const struct drawing *d,
			     const ZydisDecodedInstruction *zi,
			     const ZydisDecodedOperand *zo)
{
	for (unsigned int i = 0; i < zi->operand_count; i++) {
		ZydisRegister large;
		unsigned int id;

		if (zo[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		switch (ZydisRegisterGetClass(zo[i].reg.value)) {
		case ZYDIS_REGCLASS_SEGMENT:
		case ZYDIS_REGCLASS_CONTROL:
		case ZYDIS_REGCLASS_DEBUG:
			return false;
		default:
			break;
		}
		if (!(zo[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		large = ZydisRegisterGetLargestEnclosing(
			ZYDIS_MACHINE_MODE_LONG_64, zo[i].reg.value);
		if (ZydisRegisterGetClass(large) != ZYDIS_REGCLASS_GPR64)
			continue;
		id = (unsigned int)ZydisRegisterGetId(large);
		if (id == X86_RSP &&
		    zo[i].visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN)
			continue;
		if ((d->precious >> id & 1) && random_below(8))
			return false;
	}
	return true;
}

/* Points operands that are relative to RIP, or a mere offset, into the data. */
static void settle(const struct drawing *d, struct code *c,
		   const struct x86_insn *insn)
{
	uint32_t offset = draw_offset(d);

	if (insn->rip_relative) {
		offset -= d->at + insn->length;
		memcpy(c->bytes + insn->length - insn->imm_size - 4, &offset,
		       4);
	} else if (insn->map == X86_MAP_ONE && (insn->opcode & 0xfc) == 0xa0 &&
		   insn->imm_size < 8) {
		memcpy(c->bytes + insn->length - insn->imm_size, &offset,
		       insn->imm_size);
	}
}

static bool draw_bytes(struct drawing *d, struct code *c, uint32_t undefined)
{
	ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
	struct draw_address a = draw_address(d);
	unsigned int reg = draw_register(d), rm = draw_register(d);
	bool memory = random_below(2), vex = random_below(4) == 0;
	ZydisDecodedInstruction zi;
	struct x86_insn insn;

	c->length = 0;
	c->adsize_prefix = false;
	if (vex && rewrite_machine_avx512() && random_below(2))
		put_evex(d, c, &a, reg, rm, memory);
	else if (vex)
		put_vex(c, &a, reg, rm, memory);
	else
		put_legacy(d, c, &a, reg, rm, memory);
	if (memory && draw_adsize(d, c) == 2)
		draw_narrow_modrm(d, c, reg);
	else
		put_modrm(c, &a, reg, rm, memory);
	while (c->length < 30)
		draw_put(c, random_below(3) ? random_below(256) : random_below(9));
	if (!draw_decode(c->bytes, d->p->bits, &zi, zo) ||
	    x86_decode(&insn, c->bytes, 15, rewrite_mode(d->p)) != zi.length ||
	    !category_allowed(&zi) || !mnemonic_allowed(&zi, d->p->host) ||
	    !operands_allowed(d, &zi, zo) || !draw_follow_flags(&zi, &undefined))
		return false;
	/* Of an eighth of all opcodes, enough. */
	if (zi.meta.category == ZYDIS_CATEGORY_X87_ALU && !d->x87 &&
	    random_below(8))
		return false;
	/* The interpreter's own are wanted, but fewer. */
	if (insn.encoding == X86_LEGACY &&
	    rewrite_classify(&insn, rewrite_mode(d->p)).kind == REWRITE_NOT &&
	    random_below(2))
		return false;
	c->length = zi.length;
	settle(d, c, &insn);
	return true;
}

void draw_add_piece(struct drawing *d, const struct code *c)
{
	struct piece *piece = &d->p->piece[d->p->count++];

	piece->at = d->at;
	piece->block = (uint8_t)d->block;
	piece->length = (uint8_t)c->length;
	memcpy(piece->bytes, c->bytes, c->length);
	d->at += c->length;
}

static void add_insn(struct drawing *d)
{
	uint32_t undefined = draw_undefined_now(d);
	struct code c;

	if (random_below(32) == 0) {
		draw_control(d);
		return;
	}
	if (random_below(32) == 0) {
		draw_special(d);
		return;
	}
	if (random_below(d->on_stack ? 2 : 40) == 0) {
		draw_on_stack(d);
		return;
	}
	if (random_below(8) == 0) {
		draw_favourite_move(d);
		return;
	}
	for (unsigned int i = 0; i < TRIES_MAX; i++)
		if (draw_bytes(d, &c, undefined)) {
			draw_add_piece(d, &c);
			return;
		}
}

void draw_add_bytes(struct drawing *d, uint64_t bytes, unsigned int count)
{
	struct code c = { .length = 0 };

	draw_put_value(&c, bytes, count);
	draw_add_piece(d, &c);
}

/* --- the program ---------------------------------------------------------- */

static void draw_registers(struct drawing *d)
{
	struct program *p = d->p;
	unsigned int i;

	for (i = 0; i < 16; i++)
		p->gpr[i] = random_below(3) ? random64() :
			    random_below(2) ? random64() >> random_below(64) :
					      1ull << random_below(64);
	d->precious = 0;
	for (i = 0; i < 3; i++) {
		do
			d->smalls[i] = (uint8_t)random_below(16);
		while (d->smalls[i] == X86_RSP);
		d->precious |= 1u << d->smalls[i];
		p->gpr[d->smalls[i]] = random_below(64) - 16ull *
						(random_below(4) == 0);
	}
	for (i = 0; i < 5; i++) {
		do
			d->pointers[i] = i ? (uint8_t)random_below(16) :
					     X86_RSP;
		while (i && (d->precious >> d->pointers[i] & 1));
		d->precious |= 1u << d->pointers[i];
		p->gpr[d->pointers[i]] = draw_data_address();
		if (random_below(4) == 0 && !p->host)
			p->gpr[d->pointers[i]] |= REWRITE_HIGH;
	}
	if (random_below(8))
		p->gpr[X86_RSP] = (REWRITE_DATA + 0x1000 +
				   random_below(0x800)) & ~7u;
}

static void draw_places(struct drawing *d)
{
	bool used[SLOTS + 1] = { false };
	unsigned int slot;

	for (unsigned int i = 0; i < d->blocks; i++) {
		bool across;

		do {
			across = random_below(4) == 0;
			slot = random_below(SLOTS);
			if (across)
				slot |= PAGE_SIZE / SLOT - 1;
		} while (used[slot] || (across && used[slot + 1]));
		used[slot] = true;
		d->start[i] = REWRITE_CODE + slot * SLOT + random_below(100);
		if (across && slot + 1 < SLOTS) {
			used[slot + 1] = true;
			d->start[i] = REWRITE_CODE + (slot + 1) * SLOT -
				      random_below(80);
		}
	}
	d->start[d->blocks] = REWRITE_STOP;
}

void rewrite_draw(struct program *p, bool host)
{
	struct drawing d = { .p = p };
	unsigned int left = 1 + random_below(random_below(3) ? 20 : 48);

	memset(p, 0, sizeof(*p));
	p->host = host;
	d.blocks = 1 + random_below(DRAW_BLOCKS_MAX);
	d.x87 = random_below(4) == 0;
	p->bits = 64;
	if (!host && random_below(2)) {
		draw_narrow_segments(&d);
		draw_narrow_registers(&d);
	} else {
		draw_registers(&d);
	}
	draw_places(&d);
	for (d.block = 0; d.block < d.blocks; d.block++) {
		unsigned int n = 1 + random_below(left / 2 + 1);

		d.at = d.start[d.block];
		d.favourite = draw_pointer(&d);
		d.favourite_index = random_below(4) ? 4 : draw_small(&d);
		d.favourite_scale = random_below(4);
		d.on_stack = random_below(5) == 0;
		if (d.on_stack) {
			d.favourite = X86_RSP;
			d.favourite_index = 4;
		}
		d.streams = p->bits == 64 && random_below(5) == 0;
		if (d.streams)
			draw_stream(&d);
		while (n-- && !d.streams) {
			if (random_below(16))
				add_insn(&d);
			else
				draw_division(&d);
			left -= left > 0;
		}
		draw_end(&d);
	}
	rewrite_analyse(p);
	p->rip = d.start[0];
	p->rflags = random64() & X86_FLAGS_ARITH;
	if (random_below(16) == 0)
		p->rflags |= X86_FLAG_DF;
	p->user = host || random_below(3) == 0;
	p->smap = !p->user && random_below(4) == 0;
	if (random_below(3) == 0 || p->smap)
		p->rflags |= X86_FLAG_AC;
	p->fs = random_below(4) ? random_below(64) : 0 - 0x1000ull;
	p->gs = random_below(64);
	p->seed = random64() | 1ull << 63;
	if (host) {
		p->rflags = (p->rflags & ~X86_FLAG_AC) | X86_FLAG_IF;
		p->fs %= REWRITE_DATA;
	}
}
