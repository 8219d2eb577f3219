/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 8237A pair; see isa_dma.h. A device asks when it has data or room; the
 * transfer then happens at once, so that no channel is ever busy. What falls
 * where no memory is, is lost, and reads from there as ones.
 */
#include "chip/isa_dma.h"

#include "vm/bytes.h"

/* Registers behind the channels' own */
#define REG_COMMAND    0x8 /* read: status */
#define REG_REQUEST    0x9
#define REG_MASK_ONE   0xa
#define REG_MODE       0xb
#define REG_CLEAR_BYTE 0xc
#define REG_CLEAR      0xd
#define REG_MASK_NONE  0xe
#define REG_MASK_ALL   0xf

#define COMMAND_OFF 0x04

#define MODE_KIND     0x0c
#define MODE_VERIFY   0x00
#define MODE_TO_MEM   0x04
#define MODE_FROM_MEM 0x08
#define MODE_AUTO     0x10
#define MODE_DOWN     0x20
#define MODE_CASCADE  0xc0

/* Which page register a channel has (ICH9, table 13-2). */
static const uint8_t page_of[ISA_DMA_CHANNELS] = {
	0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa,
};

/* --- transfers -------------------------------------------------------------- */

/* Guest-physical address of the channel's next unit. */
static uint64_t place(const struct isa_dma *dma, unsigned int index)
{
	const struct isa_dma_channel *ch = &dma->channel[index];
	uint64_t page = dma->page[page_of[index]];

	if (index < 4)
		return page << 16 | ch->address;
	return (page & 0xfe) << 16 | (uint64_t)ch->address << 1;
}

static bool is_open(const struct isa_dma *dma, unsigned int index)
{
	const struct isa_dma_half *half = &dma->half[index / 4];

	return !(half->command & COMMAND_OFF) &&
	       !(half->mask >> index % 4 & 1) &&
	       (dma->channel[index].mode & MODE_CASCADE) != MODE_CASCADE;
}

static void move(struct isa_dma *dma, uint64_t addr, uint8_t *data,
		 unsigned int size, uint8_t kind)
{
	struct memory *mem = &dma->vm->memory;

	if (kind == MODE_TO_MEM)
		memory_write(mem, gpa(addr), data, size);
	else if (memory_read(mem, gpa(addr), data, size))
		memset(data, 0xff, size);
}

static void ended(struct isa_dma *dma, unsigned int index)
{
	struct isa_dma_channel *ch = &dma->channel[index];
	struct isa_dma_half *half = &dma->half[index / 4];

	half->ended |= (uint8_t)(1u << index % 4);
	if (ch->mode & MODE_AUTO) {
		ch->address = ch->base_address;
		ch->count = ch->base_count;
	} else {
		half->mask |= (uint8_t)(1u << index % 4);
		ch->count = 0xffff;
	}
}

/* `kind` is the direction that the device needs; verify goes with both. */
static unsigned int transfer(struct isa_dma *dma, unsigned int index,
			     uint8_t *data, unsigned int size, uint8_t kind,
			     bool *end)
{
	struct isa_dma_channel *ch = &dma->channel[index];
	unsigned int shift = index / 4, units = size >> shift, moved = 0;
	uint8_t mode = ch->mode & MODE_KIND;

	*end = false;
	if (!is_open(dma, index) || (mode != kind && mode != MODE_VERIFY))
		return 0;
	while (moved < units && !*end) {
		unsigned int part = units - moved;

		/* Addresses wrap within the page. */
		if (part > 0x10000u - ch->address)
			part = 0x10000u - ch->address;
		if (part > ch->count + 1u)
			part = ch->count + 1u;
		if (ch->mode & MODE_DOWN)
			part = 1;
		if (mode != MODE_VERIFY)
			move(dma, place(dma, index), data + (moved << shift),
			     part << shift, kind);
		moved += part;
		*end = part == ch->count + 1u;
		ch->count = (uint16_t)(ch->count - part);
		if (ch->mode & MODE_DOWN)
			ch->address--;
		else
			ch->address = (uint16_t)(ch->address + part);
	}
	if (*end)
		ended(dma, index);
	return moved << shift;
}

unsigned int isa_dma_to_memory(struct isa_dma *dma, unsigned int channel,
			       const void *from, unsigned int size, bool *end)
{
	return transfer(dma, channel, (uint8_t *)(uintptr_t)from, size,
			MODE_TO_MEM, end);
}

unsigned int isa_dma_from_memory(struct isa_dma *dma, unsigned int channel,
				 void *to, unsigned int size, bool *end)
{
	return transfer(dma, channel, to, size, MODE_FROM_MEM, end);
}

void isa_dma_connect(struct isa_dma *dma, unsigned int channel,
		     void (*ready)(void *ctx), void *ctx)
{
	bug_on(channel >= ISA_DMA_CHANNELS);
	dma->channel[channel].ready = ready;
	dma->channel[channel].ctx = ctx;
}

/* Devices behind channels that are open now go on. */
static void tell_ready(struct isa_dma *dma, unsigned int which)
{
	for (unsigned int i = 4 * which; i < 4 * which + 4; i++)
		if (dma->channel[i].ready && is_open(dma, i))
			dma->channel[i].ready(dma->channel[i].ctx);
}

/* --- registers -------------------------------------------------------------- */

static void half_reset(struct isa_dma_half *half)
{
	*half = (struct isa_dma_half){ .mask = 0xf };
}

static uint8_t read_half(struct isa_dma *dma, unsigned int which,
			 unsigned int reg)
{
	struct isa_dma_half *half = &dma->half[which];
	const struct isa_dma_channel *ch = &dma->channel[4 * which + reg / 2];
	uint8_t value = 0;
	uint16_t word;

	if (reg < 8) {
		word = reg & 1 ? ch->count : ch->address;
		value = (uint8_t)(half->second ? word >> 8 : word);
		half->second = !half->second;
	} else if (reg == REG_COMMAND) {
		value = half->ended;
		half->ended = 0;
	} else if (reg == REG_MASK_ALL) {
		value = 0xf0 | half->mask;
	}
	return value;
}

static void put_byte(uint16_t *word, bool second, uint8_t value)
{
	*word = second ? (uint16_t)((*word & 0xff) | value << 8)
		       : (uint16_t)((*word & 0xff00) | value);
}

static void write_channel(struct isa_dma *dma, unsigned int which,
			  unsigned int reg, uint8_t value)
{
	struct isa_dma_half *half = &dma->half[which];
	struct isa_dma_channel *ch = &dma->channel[4 * which + reg / 2];

	if (reg & 1) {
		put_byte(&ch->base_count, half->second, value);
		ch->count = ch->base_count;
	} else {
		put_byte(&ch->base_address, half->second, value);
		ch->address = ch->base_address;
	}
	half->second = !half->second;
}

static void write_half(struct isa_dma *dma, unsigned int which,
		       unsigned int reg, uint8_t value)
{
	struct isa_dma_half *half = &dma->half[which];
	uint8_t bit = (uint8_t)(1u << (value & 3));

	switch (reg) {
	case REG_COMMAND:
		half->command = value;
		break;
	case REG_MASK_ONE:
		half->mask = value & 4 ? half->mask | bit
				       : (uint8_t)(half->mask & ~bit);
		break;
	case REG_MODE:
		dma->channel[4 * which + (value & 3)].mode = value & 0xfc;
		break;
	case REG_CLEAR_BYTE:
		half->second = false;
		return;
	case REG_CLEAR:
		half_reset(half);
		return;
	case REG_MASK_NONE:
		half->mask = 0;
		break;
	case REG_MASK_ALL:
		half->mask = value & 0xf;
		break;
	case REG_REQUEST:
		return;
	default:
		write_channel(dma, which, reg, value);
		return;
	}
	tell_ready(dma, which);
}

static uint64_t read_low(void *device, uint64_t offset, unsigned int size)
{
	return read_half(device, 0, (unsigned int)offset);
}

static void write_low(void *device, uint64_t offset, unsigned int size,
		      uint64_t value)
{
	write_half(device, 0, (unsigned int)offset, (uint8_t)value);
}

/* Its registers are at even ports. */
static uint64_t read_high(void *device, uint64_t offset, unsigned int size)
{
	return read_half(device, 1, (unsigned int)offset / 2);
}

static void write_high(void *device, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	write_half(device, 1, (unsigned int)offset / 2, (uint8_t)value);
}

static uint64_t read_page(void *device, uint64_t offset, unsigned int size)
{
	const struct isa_dma *dma = device;

	return dma->page[offset];
}

static void write_page(void *device, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	struct isa_dma *dma = device;

	dma->page[offset] = (uint8_t)value;
}

/* --- making one --------------------------------------------------------------- */

static void reset(void *device)
{
	struct isa_dma *dma = device;

	for (unsigned int i = 0; i < 2; i++)
		half_reset(&dma->half[i]);
	for (unsigned int i = 0; i < ISA_DMA_CHANNELS; i++) {
		struct isa_dma_channel *ch = &dma->channel[i];

		ch->base_address = ch->base_count = 0;
		ch->address = ch->count = 0;
		ch->mode = 0;
	}
	memset(dma->page, 0, sizeof(dma->page));
}

#define CHANNEL_FIELDS(n_)                                              \
	FIELD(struct isa_dma, FIELD_U16, channel[n_].base_address),     \
	FIELD(struct isa_dma, FIELD_U16, channel[n_].base_count),       \
	FIELD(struct isa_dma, FIELD_U16, channel[n_].address),          \
	FIELD(struct isa_dma, FIELD_U16, channel[n_].count),            \
	FIELD(struct isa_dma, FIELD_U8, channel[n_].mode)

#define HALF_FIELDS(n_)                                                 \
	FIELD(struct isa_dma, FIELD_U8, half[n_].command),              \
	FIELD(struct isa_dma, FIELD_U8, half[n_].mask),                 \
	FIELD(struct isa_dma, FIELD_U8, half[n_].ended),                \
	FIELD(struct isa_dma, FIELD_BOOL, half[n_].second)

static const struct field isa_dma_fields[] = {
	CHANNEL_FIELDS(0),
	CHANNEL_FIELDS(1),
	CHANNEL_FIELDS(2),
	CHANNEL_FIELDS(3),
	CHANNEL_FIELDS(4),
	CHANNEL_FIELDS(5),
	CHANNEL_FIELDS(6),
	CHANNEL_FIELDS(7),
	HALF_FIELDS(0),
	HALF_FIELDS(1),
	FIELD_ARRAY(struct isa_dma, FIELD_U8, page, ISA_DMA_PAGES),
};

static const struct state_class isa_dma_state = {
	.name = "isa-dma",
	.version = 1,
	.size = sizeof(struct isa_dma),
	.fields = isa_dma_fields,
	.field_count = sizeof(isa_dma_fields) / sizeof(isa_dma_fields[0]),
};

const struct device_class isa_dma_class = {
	.name = "isa-dma",
	.reset = reset,
	.state = &isa_dma_state,
};

static const struct bus_ops low_ops = {
	.read = read_low,
	.write = write_low,
	.max_size = 1,
};

static const struct bus_ops high_ops = {
	.read = read_high,
	.write = write_high,
	.max_size = 1,
};

static const struct bus_ops page_ops = {
	.read = read_page,
	.write = write_page,
	.max_size = 1,
};

int isa_dma_init(struct isa_dma *dma, struct vm *vm)
{
	int err;

	memset(dma, 0, sizeof(*dma));
	dma->vm = vm;
	reset(dma);
	err = bus_add(&vm->pio, 0x00, 0x10, "dma", &low_ops, dma);
	if (!err)
		err = bus_add(&vm->pio, 0xc0, 0x20, "dma2", &high_ops, dma);
	if (!err)
		err = bus_add(&vm->pio, 0x80, 0x10, "dma-page", &page_ops,
			      dma);
	if (err)
		return err;
	return vm_add_device(vm, &isa_dma_class, dma);
}
