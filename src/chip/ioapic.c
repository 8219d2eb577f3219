/* SPDX-License-Identifier: Apache-2.0 */
/*
 * I/O APIC; see ioapic.h. A line's level is "asserted or not": the polarity
 * bit is kept but means nothing here. Edges on a masked input are lost
 * (82093AA 3.2.4). Left out: arbitration, ExtINT and SMI delivery.
 */
#include "chip/ioapic.h"

#include "vm/bytes.h"
#include "vm/error.h"

/* Direct registers (ICH9 13.5.1) */
#define IOAPIC_SELECT 0x00
#define IOAPIC_WINDOW 0x10
#define IOAPIC_EOI    0x40

/* Indirect registers */
#define IOAPIC_ID	0x00
#define IOAPIC_VERSION	0x01
#define IOAPIC_ARB	0x02
#define IOAPIC_REDIRECT 0x10

#define IOAPIC_VERSION_VALUE (0x20 | (IOAPIC_LINES - 1) << 16)

/* Redirection entry (ICH9 13.5.7) */
#define REDIRECT_MODE(e)     (((e) >> 8) & 7)
#define REDIRECT_LOGICAL     0x800u
#define REDIRECT_REMOTE_IRR  0x4000u
#define REDIRECT_LEVEL	     0x8000u
#define REDIRECT_MASKED	     0x10000u
#define REDIRECT_WRITABLE    0xff0000000001afffull
#define REDIRECT_BITS	     (REDIRECT_WRITABLE | REDIRECT_REMOTE_IRR)

static void ioapic_send(struct ioapic *ioapic, uint64_t entry)
{
	struct msi msi = {
		.address = 0xfee00000u | (entry >> 56) << 12 |
			   (entry & REDIRECT_LOGICAL ? 4 : 0),
		.data = (uint32_t)entry & 0x87ff,
	};

	if (entry & REDIRECT_LEVEL)
		msi.data |= 0x4000; /* assert */
	msi_send(&ioapic->vm->msi, &msi);
}

/* Fixed and lowest-priority interrupts alone are ended by an EOI. */
static bool ioapic_is_level(uint64_t entry)
{
	return (entry & REDIRECT_LEVEL) && REDIRECT_MODE(entry) <= 1;
}

/* Sends a level interrupt that is asserted and not yet sent. */
static void ioapic_service(struct ioapic *ioapic, unsigned int line)
{
	uint64_t *entry = &ioapic->redirection[line];

	if (!(ioapic->level & (1u << line)) || !ioapic_is_level(*entry) ||
	    (*entry & (REDIRECT_MASKED | REDIRECT_REMOTE_IRR)))
		return;
	*entry |= REDIRECT_REMOTE_IRR;
	ioapic_send(ioapic, *entry);
}

void ioapic_set_line(void *object, unsigned int line, bool level)
{
	struct ioapic *ioapic = object;
	uint64_t entry;

	if (line >= IOAPIC_LINES || (ioapic->level >> line & 1) == level)
		return;
	ioapic->level ^= 1u << line;
	if (!level)
		return;
	entry = ioapic->redirection[line];
	if (ioapic_is_level(entry))
		ioapic_service(ioapic, line);
	else if (!(entry & REDIRECT_MASKED))
		ioapic_send(ioapic, entry);
}

void ioapic_eoi(struct ioapic *ioapic, uint8_t vector)
{
	unsigned int i;

	for (i = 0; i < IOAPIC_LINES; i++) {
		uint64_t *entry = &ioapic->redirection[i];

		if ((uint8_t)*entry != vector ||
		    !(*entry & REDIRECT_REMOTE_IRR))
			continue;
		*entry &= ~(uint64_t)REDIRECT_REMOTE_IRR;
		ioapic_service(ioapic, i);
	}
}

static void ioapic_write_entry(struct ioapic *ioapic, unsigned int index,
			       uint32_t value)
{
	unsigned int line = index / 2;
	uint64_t *entry = &ioapic->redirection[line];
	uint64_t bits = REDIRECT_WRITABLE;
	uint64_t wide = value;

	if (index & 1) {
		wide <<= 32;
		bits &= ~(uint64_t)UINT32_MAX;
	} else {
		bits &= UINT32_MAX;
	}
	*entry = (*entry & ~bits) | (wide & bits);
	/* Software ends a level interrupt by a moment of edge mode, too. */
	if (!ioapic_is_level(*entry))
		*entry &= ~(uint64_t)REDIRECT_REMOTE_IRR;
	ioapic_service(ioapic, line);
}

static uint32_t ioapic_read_window(const struct ioapic *ioapic)
{
	unsigned int index = ioapic->select - IOAPIC_REDIRECT;

	switch (ioapic->select) {
	case IOAPIC_ID:
	case IOAPIC_ARB:
		return ioapic->id;
	case IOAPIC_VERSION:
		return IOAPIC_VERSION_VALUE;
	}
	if (index >= 2 * IOAPIC_LINES)
		return 0;
	return (uint32_t)(ioapic->redirection[index / 2] >>
			  (index & 1 ? 32 : 0));
}

static uint64_t ioapic_read(void *device, uint64_t offset, unsigned int size)
{
	const struct ioapic *ioapic = device;

	switch (offset) {
	case IOAPIC_SELECT:
		return ioapic->select;
	case IOAPIC_WINDOW:
		return ioapic_read_window(ioapic);
	}
	return 0;
}

static void ioapic_write(void *device, uint64_t offset, unsigned int size,
			 uint64_t value)
{
	struct ioapic *ioapic = device;
	unsigned int index = ioapic->select - IOAPIC_REDIRECT;

	switch (offset) {
	case IOAPIC_SELECT:
		ioapic->select = (uint8_t)value;
		break;
	case IOAPIC_WINDOW:
		if (ioapic->select == IOAPIC_ID)
			ioapic->id = value & 0x0f000000;
		else if (index < 2 * IOAPIC_LINES)
			ioapic_write_entry(ioapic, index, (uint32_t)value);
		break;
	case IOAPIC_EOI:
		ioapic_eoi(ioapic, (uint8_t)value);
		break;
	}
}

/* The levels of the inputs are their devices' and stay. */
static void ioapic_reset(void *device)
{
	struct ioapic *ioapic = device;
	unsigned int i;

	ioapic->id = 0;
	ioapic->select = 0;
	for (i = 0; i < IOAPIC_LINES; i++)
		ioapic->redirection[i] = REDIRECT_MASKED;
}

static int ioapic_check(const void *object)
{
	const struct ioapic *ioapic = object;
	unsigned int i;

	if (ioapic->select > 0xff || (ioapic->level >> IOAPIC_LINES))
		return -VM_EBADMSG;
	for (i = 0; i < IOAPIC_LINES; i++)
		if (ioapic->redirection[i] & ~REDIRECT_BITS)
			return -VM_EBADMSG;
	return 0;
}

static const struct field ioapic_fields[] = {
	FIELD(struct ioapic, FIELD_U32, id),
	FIELD(struct ioapic, FIELD_U32, select),
	FIELD(struct ioapic, FIELD_U32, level),
	FIELD_ARRAY(struct ioapic, FIELD_U64, redirection, IOAPIC_LINES),
};

static const struct state_class ioapic_state = {
	.name = "ioapic",
	.version = 1,
	.size = sizeof(struct ioapic),
	.fields = ioapic_fields,
	.field_count = sizeof(ioapic_fields) / sizeof(ioapic_fields[0]),
	.check = ioapic_check,
};

const struct device_class ioapic_class = {
	.name = "ioapic",
	.reset = ioapic_reset,
	.state = &ioapic_state,
};

static const struct bus_ops ioapic_ops = {
	.read = ioapic_read,
	.write = ioapic_write,
	.min_size = 4,
	.max_size = 4,
};

int ioapic_init(struct ioapic *ioapic, struct vm *vm)
{
	int err;

	memset(ioapic, 0, sizeof(*ioapic));
	ioapic->vm = vm;
	ioapic_reset(ioapic);
	err = bus_add(&vm->mmio, IOAPIC_BASE, PAGE_SIZE, "ioapic", &ioapic_ops,
		      ioapic);
	if (err)
		return err;
	return vm_add_device(vm, &ioapic_class, ioapic);
}
