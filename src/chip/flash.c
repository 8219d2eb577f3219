/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NOR flash; see flash.h. Programming and erasing take no time. Left out:
 * locking (block locks are accepted and do nothing), suspension, the
 * protection registers.
 */
#include "chip/flash.h"

#include "vm/bytes.h"
#include "vm/error.h"

/* Commands; written to any address unless they say where. */
#define CMD_PROGRAM	  0x10
#define CMD_ERASE	  0x20
#define CMD_PROGRAM_2	  0x40
#define CMD_CLEAR_STATUS  0x50
#define CMD_LOCK	  0x60
#define CMD_READ_STATUS	  0x70
#define CMD_READ_ID	  0x90
#define CMD_QUERY	  0x98
#define CMD_CONFIRM	  0xd0
#define CMD_WRITE_BUFFER  0xe8
#define CMD_READ_ARRAY_2  0xf0
#define CMD_READ_ARRAY	  0xff

#define STATUS_READY	     0x80u
#define STATUS_ERASE_FAILED  0x20u
#define STATUS_PROGRAM_FAILED 0x10u

#define ID_MAKER  0x89 /* Intel */
#define ID_DEVICE 0x18
#define ERASED	  0xff

enum flash_mode {
	MODE_ARRAY,
	MODE_STATUS,
	MODE_ID,
	MODE_QUERY,
	MODE_PROGRAM,	   /* the next write is the byte */
	MODE_ERASE,	   /* the next write confirms */
	MODE_LOCK,	   /* the next write says what */
	MODE_BUFFER_COUNT, /* the next write is the number of bytes, less 1 */
	MODE_BUFFER_DATA,
	MODE_BUFFER_CONFIRM,
	MODES,
};

/* log2 of a power of two, or of the next one above. */
static uint8_t log2_up(uint32_t n)
{
	return (uint8_t)(n <= 1 ? 0 : 32 - __builtin_clz(n - 1));
}

/* The query structure (JESD68.01, 4.3; Intel's extension is absent). */
static uint8_t query(const struct flash *flash, uint32_t at)
{
	const uint32_t blocks = flash->size / FLASH_BLOCK - 1;
	const uint8_t table[] = {
		'Q', 'R', 'Y', 0x01, 0x00, /* command set 1 */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x45, 0x55, 0x00, 0x00, /* 4.5 to 5.5 V */
		0x07, 0x07, 0x0a, 0x00, /* times: program, buffer, erase */
		0x04, 0x04, 0x04, 0x00, /* at most */
		log2_up(flash->size), 0x00, 0x00, /* size, eight bits wide */
		log2_up(FLASH_BUFFER), 0x00, 0x01, /* buffer; one region */
		(uint8_t)blocks, (uint8_t)(blocks >> 8),
		(uint8_t)(FLASH_BLOCK >> 8), (uint8_t)(FLASH_BLOCK >> 16),
	};

	return at >= 0x10 && at - 0x10 < sizeof(table) ? table[at - 0x10] : 0;
}

static uint8_t read_byte(const struct flash *flash, uint32_t at)
{
	switch (flash->mode) {
	case MODE_ARRAY:
		return flash->array[at];
	case MODE_ID:
		at &= 0xff;
		return at == 0 ? ID_MAKER : at == 1 ? ID_DEVICE : 0;
	case MODE_QUERY:
		return query(flash, at & 0xff);
	default:
		return flash->status;
	}
}

/* Programming only turns ones into zeros. */
static void program(struct flash *flash, uint32_t at, uint8_t value)
{
	flash->array[at] &= value;
}

static void fail(struct flash *flash, uint8_t why)
{
	flash->status |= STATUS_READY | why;
	flash->mode = MODE_STATUS;
}

static void done(struct flash *flash)
{
	fail(flash, 0);
}

static void begin(struct flash *flash, uint8_t command)
{
	static const struct {
		uint8_t command, mode;
	} modes[] = {
		{ CMD_PROGRAM, MODE_PROGRAM },
		{ CMD_PROGRAM_2, MODE_PROGRAM },
		{ CMD_ERASE, MODE_ERASE },
		{ CMD_LOCK, MODE_LOCK },
		{ CMD_READ_STATUS, MODE_STATUS },
		{ CMD_READ_ID, MODE_ID },
		{ CMD_QUERY, MODE_QUERY },
		{ CMD_WRITE_BUFFER, MODE_BUFFER_COUNT },
		{ CMD_READ_ARRAY, MODE_ARRAY },
		{ CMD_READ_ARRAY_2, MODE_ARRAY },
		{ CMD_CLEAR_STATUS, MODE_ARRAY },
	};

	if (command == CMD_CLEAR_STATUS)
		flash->status = 0;
	if (command == CMD_WRITE_BUFFER)
		flash->status |= STATUS_READY;
	flash->mode = MODE_ARRAY;
	for (unsigned int i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (modes[i].command == command)
			flash->mode = modes[i].mode;
}

static void erase(struct flash *flash, uint32_t at, uint8_t confirm)
{
	if (confirm != CMD_CONFIRM) {
		fail(flash, STATUS_ERASE_FAILED | STATUS_PROGRAM_FAILED);
		return;
	}
	memset(flash->array + at / FLASH_BLOCK * FLASH_BLOCK, ERASED,
	       FLASH_BLOCK);
	done(flash);
}

/* The first byte says where the buffer goes; the others follow it. */
static void fill_buffer(struct flash *flash, uint32_t at, uint8_t value)
{
	if (!flash->fill)
		flash->start = at;
	if (at < flash->start || at - flash->start >= FLASH_BUFFER) {
		fail(flash, STATUS_PROGRAM_FAILED);
		return;
	}
	flash->buffer[at - flash->start] = value;
	flash->fill++;
	if (!flash->left)
		flash->mode = MODE_BUFFER_CONFIRM;
	else
		flash->left--;
}

static void write_buffer(struct flash *flash, uint8_t confirm)
{
	if (confirm != CMD_CONFIRM ||
	    flash->fill > flash->size - flash->start) {
		fail(flash, STATUS_PROGRAM_FAILED);
		return;
	}
	for (uint32_t i = 0; i < flash->fill; i++)
		program(flash, flash->start + i, flash->buffer[i]);
	done(flash);
}

static void write_byte(struct flash *flash, uint32_t at, uint8_t value)
{
	switch (flash->mode) {
	case MODE_PROGRAM:
		program(flash, at, value);
		done(flash);
		break;
	case MODE_ERASE:
		erase(flash, at, value);
		break;
	case MODE_LOCK:
		done(flash);
		break;
	case MODE_BUFFER_COUNT:
		flash->left = value;
		flash->fill = 0;
		flash->start = 0;
		memset(flash->buffer, ERASED, sizeof(flash->buffer));
		flash->mode = MODE_BUFFER_DATA;
		break;
	case MODE_BUFFER_DATA:
		fill_buffer(flash, at, value);
		break;
	case MODE_BUFFER_CONFIRM:
		write_buffer(flash, value);
		break;
	default:
		begin(flash, value);
		break;
	}
}

/* --- the device ----------------------------------------------------------- */

static uint64_t flash_read(void *device, uint64_t offset, unsigned int size)
{
	const struct flash *flash = device;
	uint64_t value = 0;

	for (unsigned int i = 0; i < size; i++)
		value |= (uint64_t)read_byte(flash, (uint32_t)offset + i)
			 << (8 * i);
	return value;
}

/* Bytes written at once are a command, or data, in order. */
static void flash_write(void *device, uint64_t offset, unsigned int size,
			uint64_t value)
{
	struct flash *flash = device;

	if (flash->mode != MODE_BUFFER_DATA)
		size = 1;
	for (unsigned int i = 0; i < size; i++)
		write_byte(flash, (uint32_t)offset + i,
			   (uint8_t)(value >> (8 * i)));
}

static const struct bus_ops flash_ops = {
	.read = flash_read,
	.write = flash_write,
	.max_size = 8,
};

static void flash_reset(void *device)
{
	struct flash *flash = device;

	flash->mode = MODE_ARRAY;
	flash->status = 0;
	flash->left = 0;
	flash->start = 0;
	flash->fill = 0;
	memset(flash->buffer, ERASED, sizeof(flash->buffer));
}

static int flash_check(const void *object)
{
	const struct flash *flash = object;

	return flash->mode < MODES && flash->start < flash->size &&
			       flash->fill <= FLASH_BUFFER &&
			       flash->left < FLASH_BUFFER &&
			       flash->fill + flash->left <= FLASH_BUFFER
		       ? 0
		       : -VM_EBADMSG;
}

static const struct field flash_fields[] = {
	FIELD(struct flash, FIELD_U8, mode),
	FIELD(struct flash, FIELD_U8, status),
	FIELD(struct flash, FIELD_U32, left),
	FIELD(struct flash, FIELD_U32, start),
	FIELD(struct flash, FIELD_U32, fill),
	FIELD_ARRAY(struct flash, FIELD_U8, buffer, FLASH_BUFFER),
};

static const struct state_class flash_state = {
	.name = "flash",
	.version = 1,
	.size = sizeof(struct flash),
	.fields = flash_fields,
	.field_count = sizeof(flash_fields) / sizeof(flash_fields[0]),
	.check = flash_check,
};

const struct device_class flash_class = {
	.name = "flash",
	.reset = flash_reset,
	.state = &flash_state,
};

int flash_init(struct flash *flash, struct vm *vm, uint64_t base,
	       uint8_t *array, uint32_t size)
{
	int err;

	if (!size || size % FLASH_BLOCK || size > FLASH_SIZE_MAX)
		return -VM_EINVAL;
	memset(flash, 0, sizeof(*flash));
	flash->vm = vm;
	flash->array = array;
	flash->size = size;
	flash_reset(flash);
	err = bus_add(&vm->mmio, base, size, "flash", &flash_ops, flash);
	if (err)
		return err;
	return vm_add_device(vm, &flash_class, flash);
}
