/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two cascaded 8259As; see pic.h. The slave's output is input 2 of the
 * master whatever ICW3 says. An edge stays latched when its line falls
 * before the acknowledge. Left out: MCS-80 mode, buffered mode.
 */
#include "chip/pic.h"

#include "vm/bytes.h"
#include "vm/error.h"

#define PIC_BASE_MASTER 0x08
#define PIC_BASE_SLAVE	0x70

#define PIC_CASCADE 2
#define PIC_SLAVE_BIT (1u << PIC_CASCADE)

/* ICW1 */
#define ICW1_INIT   0x10
#define ICW1_LEVEL  0x08
#define ICW1_SINGLE 0x02
#define ICW1_ICW4   0x01
/* ICW4 */
#define ICW4_AEOI    0x02
#define ICW4_SPECIAL 0x10
/* OCW2 */
#define OCW2_ROTATE 0x80
#define OCW2_LEVEL  0x40
#define OCW2_EOI    0x20
/* OCW3 */
#define OCW3	      0x08
#define OCW3_MASK_SET 0x40
#define OCW3_MASK     0x20
#define OCW3_POLL     0x04
#define OCW3_READ     0x02
#define OCW3_READ_ISR 0x01

/* Inputs whose mode is fixed to edge: 0, 1, 2 and 8, 13 (ICH9 13.4.10). */
static const uint8_t pic_elcr_bits[2] = { 0xf8, 0xde };

/*
 * The input of `bits` with the highest priority, counted from the top
 * (0: highest .. 7), or 8 when there is none.
 */
static unsigned int pic_rank(const struct pic_half *half, unsigned int bits)
{
	unsigned int rank;

	for (rank = 0; rank < 8; rank++)
		if (bits & (1u << ((half->lowest + 1 + rank) & 7)))
			break;
	return rank;
}

static unsigned int pic_input(const struct pic_half *half, unsigned int rank)
{
	return (half->lowest + 1 + rank) & 7;
}

static bool pic_is_master(const struct pic *pic, const struct pic_half *half)
{
	return half == &pic->half[0];
}

/* The input to be served now, or -1. */
static int pic_request(const struct pic *pic, const struct pic_half *half)
{
	unsigned int busy = half->isr;
	unsigned int wanted = pic_rank(half, half->irr & ~half->imr);

	if (half->init_step || wanted == 8)
		return -1;
	/* Special mask mode: a masked input in service blocks nothing. */
	if (half->special_mask)
		busy &= ~(unsigned int)half->imr;
	/* Special fully nested: the slave's input may interrupt itself. */
	if (half->special_nested && pic_is_master(pic, half))
		busy &= ~PIC_SLAVE_BIT;
	if (wanted >= pic_rank(half, busy))
		return -1;
	return (int)pic_input(half, wanted);
}

static void pic_set_input(struct pic_half *half, unsigned int input,
			  bool level)
{
	uint8_t bit = (uint8_t)(1u << input);
	bool level_mode = half->level_mode || (half->elcr & bit);

	if (level_mode ? level : level && !(half->lines & bit))
		half->irr |= bit;
	else if (level_mode)
		half->irr &= (uint8_t)~bit;
	if (level)
		half->lines |= bit;
	else
		half->lines &= (uint8_t)~bit;
}

bool pic_output(const struct pic *pic)
{
	return pic_request(pic, &pic->half[0]) >= 0;
}

static void pic_update(struct pic *pic)
{
	struct pic_half *master = &pic->half[0];
	bool slave = pic_request(pic, &pic->half[1]) >= 0;

	/* The slave's output falls for each acknowledge: always an edge. */
	if (slave)
		master->irr |= PIC_SLAVE_BIT;
	else
		master->irr &= (uint8_t)~PIC_SLAVE_BIT;
	irq_set(&pic->out, pic_output(pic));
}

void pic_set_line(void *object, unsigned int line, bool level)
{
	struct pic *pic = object;

	if (line >= 16 || line == PIC_CASCADE)
		return;
	pic_set_input(&pic->half[line >> 3], line & 7, level);
	pic_update(pic);
}

/* The acknowledge of one half: moves IRR to ISR. */
static void pic_serve(struct pic_half *half, unsigned int input)
{
	uint8_t bit = (uint8_t)(1u << input);

	if (!half->level_mode && !(half->elcr & bit))
		half->irr &= (uint8_t)~bit;
	if (!half->aeoi)
		half->isr |= bit;
	else if (half->rotate_on_aeoi)
		half->lowest = (uint8_t)input;
}

uint8_t pic_acknowledge(struct pic *pic)
{
	struct pic_half *master = &pic->half[0], *slave = &pic->half[1];
	int input = pic_request(pic, master);
	uint8_t vector = (uint8_t)(master->base + 7);

	if (input >= 0) {
		vector = (uint8_t)(master->base + input);
		pic_serve(master, (unsigned int)input);
	}
	if (input == PIC_CASCADE) {
		input = pic_request(pic, slave);
		vector = (uint8_t)(slave->base + 7);
		if (input >= 0) {
			vector = (uint8_t)(slave->base + input);
			pic_serve(slave, (unsigned int)input);
		}
	}
	pic_update(pic);
	return vector;
}

/* 8259A, "Poll command": the next read is an acknowledge. */
static uint8_t pic_poll(struct pic *pic, struct pic_half *half)
{
	int input = pic_request(pic, half);

	half->poll = 0;
	if (input < 0)
		return 0;
	pic_serve(half, (unsigned int)input);
	pic_update(pic);
	return (uint8_t)(0x80 | input);
}

static void pic_icw1(struct pic_half *half, uint8_t value)
{
	half->isr = 0;
	half->imr = 0;
	half->lowest = 7;
	half->read_isr = 0;
	half->special_mask = 0;
	half->special_nested = 0;
	half->aeoi = 0;
	half->rotate_on_aeoi = 0;
	half->poll = 0;
	half->icw4 = 0;
	half->single = value & ICW1_SINGLE;
	half->level_mode = value & ICW1_LEVEL;
	/* Latched edges are forgotten; levels are as they are. */
	half->irr = half->level_mode ? half->lines : half->lines & half->elcr;
	half->expect_icw4 = value & ICW1_ICW4;
	half->init_step = 2;
}

/* ICW2 to ICW4, in turn. */
static void pic_icw(struct pic_half *half, uint8_t value)
{
	switch (half->init_step) {
	case 2:
		half->base = value & 0xf8;
		half->init_step = 3;
		if (half->single)
			half->init_step = half->expect_icw4 ? 4 : 0;
		break;
	case 3: /* the cascade is wired as it is */
		half->init_step = half->expect_icw4 ? 4 : 0;
		break;
	default:
		half->icw4 = value;
		half->aeoi = value & ICW4_AEOI;
		half->special_nested = value & ICW4_SPECIAL;
		half->init_step = 0;
		break;
	}
}

static void pic_ocw2(struct pic_half *half, uint8_t value)
{
	unsigned int input = value & 7;
	unsigned int busy = half->isr, rank;

	switch (value & (OCW2_ROTATE | OCW2_LEVEL | OCW2_EOI)) {
	case OCW2_ROTATE:
	case 0:
		half->rotate_on_aeoi = value & OCW2_ROTATE;
		return;
	case OCW2_ROTATE | OCW2_LEVEL:
		half->lowest = (uint8_t)input;
		return;
	case OCW2_LEVEL:
		return; /* no operation */
	}
	if (!(value & OCW2_LEVEL)) {
		/* Special mask mode: masked inputs are not ended like this. */
		if (half->special_mask)
			busy &= ~(unsigned int)half->imr;
		rank = pic_rank(half, busy);
		if (rank == 8)
			return;
		input = pic_input(half, rank);
	}
	half->isr &= (uint8_t)~(1u << input);
	if (value & OCW2_ROTATE)
		half->lowest = (uint8_t)input;
}

static void pic_ocw3(struct pic_half *half, uint8_t value)
{
	if (value & OCW3_POLL)
		half->poll = 1;
	if (value & OCW3_READ)
		half->read_isr = value & OCW3_READ_ISR;
	if (value & OCW3_MASK_SET)
		half->special_mask = value & OCW3_MASK;
}

static uint64_t pic_read_half(struct pic *pic, struct pic_half *half,
			      uint64_t offset)
{
	if (half->poll)
		return pic_poll(pic, half);
	if (offset)
		return half->imr;
	return half->read_isr ? half->isr : half->irr;
}

static void pic_write_half(struct pic *pic, struct pic_half *half,
			   uint64_t offset, uint8_t value)
{
	if (offset && half->init_step)
		pic_icw(half, value);
	else if (offset)
		half->imr = value;
	else if (value & ICW1_INIT)
		pic_icw1(half, value);
	else if (value & OCW3)
		pic_ocw3(half, value);
	else
		pic_ocw2(half, value);
	pic_update(pic);
}

static uint64_t pic_read_master(void *device, uint64_t offset,
				unsigned int size)
{
	struct pic *pic = device;

	return pic_read_half(pic, &pic->half[0], offset);
}

static uint64_t pic_read_slave(void *device, uint64_t offset,
			       unsigned int size)
{
	struct pic *pic = device;

	return pic_read_half(pic, &pic->half[1], offset);
}

static void pic_write_master(void *device, uint64_t offset, unsigned int size,
			     uint64_t value)
{
	struct pic *pic = device;

	pic_write_half(pic, &pic->half[0], offset, (uint8_t)value);
}

static void pic_write_slave(void *device, uint64_t offset, unsigned int size,
			    uint64_t value)
{
	struct pic *pic = device;

	pic_write_half(pic, &pic->half[1], offset, (uint8_t)value);
}

static uint64_t pic_read_elcr(void *device, uint64_t offset,
			      unsigned int size)
{
	const struct pic *pic = device;

	return pic->half[offset].elcr;
}

static void pic_write_elcr(void *device, uint64_t offset, unsigned int size,
			   uint64_t value)
{
	struct pic *pic = device;
	struct pic_half *half = &pic->half[offset];

	half->elcr = (uint8_t)value & pic_elcr_bits[offset];
	/* A level input is requested exactly while its line is high. */
	half->irr = (uint8_t)((half->irr & ~half->elcr) |
			      (half->lines & half->elcr));
	pic_update(pic);
}

/*
 * The levels of the inputs are their devices' and stay. The vectors are those
 * that PC firmware leaves behind.
 */
static void pic_reset(void *device)
{
	struct pic *pic = device;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		struct pic_half *half = &pic->half[i];
		uint8_t lines = half->lines;

		memset(half, 0, sizeof(*half));
		half->lines = lines;
		half->lowest = 7;
		half->base = i ? PIC_BASE_SLAVE : PIC_BASE_MASTER;
	}
	pic_update(pic);
}

static int pic_check(const void *object)
{
	const struct pic *pic = object;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		const struct pic_half *half = &pic->half[i];

		if (half->lowest > 7 || half->init_step > 4 ||
		    (half->base & 7) || (half->elcr & ~pic_elcr_bits[i]))
			return -VM_EBADMSG;
	}
	return 0;
}

#define PIC_FIELDS(n_)                                        \
	FIELD(struct pic, FIELD_U8, half[n_].irr),            \
	FIELD(struct pic, FIELD_U8, half[n_].isr),            \
	FIELD(struct pic, FIELD_U8, half[n_].imr),            \
	FIELD(struct pic, FIELD_U8, half[n_].elcr),           \
	FIELD(struct pic, FIELD_U8, half[n_].lines),          \
	FIELD(struct pic, FIELD_U8, half[n_].base),           \
	FIELD(struct pic, FIELD_U8, half[n_].icw4),           \
	FIELD(struct pic, FIELD_U8, half[n_].init_step),      \
	FIELD(struct pic, FIELD_U8, half[n_].read_isr),       \
	FIELD(struct pic, FIELD_U8, half[n_].poll),           \
	FIELD(struct pic, FIELD_U8, half[n_].rotate_on_aeoi), \
	FIELD(struct pic, FIELD_U8, half[n_].special_mask),   \
	FIELD(struct pic, FIELD_U8, half[n_].lowest),         \
	FIELD(struct pic, FIELD_U8, half[n_].special_nested), \
	FIELD(struct pic, FIELD_U8, half[n_].expect_icw4),    \
	FIELD(struct pic, FIELD_U8, half[n_].aeoi),           \
	FIELD(struct pic, FIELD_U8, half[n_].single),         \
	FIELD(struct pic, FIELD_U8, half[n_].level_mode)

static const struct field pic_fields[] = {
	PIC_FIELDS(0),
	PIC_FIELDS(1),
};

static const struct state_class pic_state = {
	.name = "pic",
	.version = 1,
	.size = sizeof(struct pic),
	.fields = pic_fields,
	.field_count = sizeof(pic_fields) / sizeof(pic_fields[0]),
	.check = pic_check,
};

const struct device_class pic_class = {
	.name = "pic",
	.reset = pic_reset,
	.state = &pic_state,
};

static const struct bus_ops pic_master_ops = {
	.read = pic_read_master,
	.write = pic_write_master,
	.max_size = 1,
};

static const struct bus_ops pic_slave_ops = {
	.read = pic_read_slave,
	.write = pic_write_slave,
	.max_size = 1,
};

static const struct bus_ops pic_elcr_ops = {
	.read = pic_read_elcr,
	.write = pic_write_elcr,
	.max_size = 1,
};

int pic_init(struct pic *pic, struct vm *vm, const struct irq *out)
{
	int err;

	memset(pic, 0, sizeof(*pic));
	pic->vm = vm;
	pic->out = *out;
	pic_reset(pic);
	err = bus_add(&vm->pio, 0x20, 2, "pic", &pic_master_ops, pic);
	if (!err)
		err = bus_add(&vm->pio, 0xa0, 2, "pic", &pic_slave_ops, pic);
	if (!err)
		err = bus_add(&vm->pio, 0x4d0, 2, "elcr", &pic_elcr_ops, pic);
	if (err)
		return err;
	return vm_add_device(vm, &pic_class, pic);
}
