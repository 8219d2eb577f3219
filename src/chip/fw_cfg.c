/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firmware configuration device; see fw_cfg.h. Reading behind an item's
 * end gives zeros, as does an absent item. The old write interface (data
 * port) does not exist; DMA writes reach only items that were added for it.
 */
#include "chip/fw_cfg.h"

#include "vm/bytes.h"
#include "vm/error.h"

#define SELECTOR_SIZE 2 /* selector at +0, data at +1 */
#define DMA_SIZE      8
#define KEY_MASK      0x3fffu /* 0x4000: old write flag, ignored */
#define KEY_LOCAL     0x8000u /* architecture's own keys */

#define ID_TRADITIONAL 0x01u
#define ID_DMA	       0x02u

#define DMA_SIGNATURE_HIGH 0x51454d55u /* "QEMU" */
#define DMA_SIGNATURE_LOW  0x20434647u /* " CFG" */

/* Control word of a DMA request. */
#define DMA_ERROR  0x01u
#define DMA_READ   0x02u
#define DMA_SKIP   0x04u
#define DMA_SELECT 0x08u
#define DMA_WRITE  0x10u
#define DMA_KEY_SHIFT 16

struct dma_request {
	uint32_t control, length; /* big-endian in memory */
	uint64_t address;
};

_Static_assert(sizeof(struct dma_request) == 16, "as the guest lays it out");

static uint16_t key_of(uint32_t value)
{
	return (uint16_t)(value & (KEY_MASK | KEY_LOCAL));
}

static const struct fw_cfg_item *find(const struct fw_cfg *cfg, uint16_t key)
{
	for (unsigned int i = 0; i < cfg->count; i++)
		if (cfg->item[i].key == key)
			return &cfg->item[i];
	return NULL;
}

/* The selected item, or NULL. Whoever writes it has been told. */
static const struct fw_cfg_item *selection(struct fw_cfg *cfg)
{
	const struct fw_cfg_item *item = find(cfg, cfg->key);

	if (item && cfg->selected && !cfg->told)
		cfg->selected(cfg->selected_ctx, item);
	cfg->told = true;
	return item;
}

static void select_item(struct fw_cfg *cfg, uint32_t key)
{
	cfg->key = key_of(key);
	cfg->offset = 0;
	cfg->told = false;
	selection(cfg);
}

/* Bytes of the selected item from the present offset on, `want` at most. */
static uint32_t left(const struct fw_cfg *cfg, const struct fw_cfg_item *item,
		     uint32_t want)
{
	uint32_t rest;

	if (!item || cfg->offset >= item->size)
		return 0;
	rest = item->size - cfg->offset;
	return want < rest ? want : rest;
}

static void advance(struct fw_cfg *cfg, uint32_t count)
{
	if (count > UINT32_MAX - cfg->offset)
		cfg->offset = UINT32_MAX;
	else
		cfg->offset += count;
}

/* --- DMA ------------------------------------------------------------------ */

static int write_zeros(struct memory *mem, uint64_t at, uint64_t count)
{
	static const uint8_t zeros[256];

	while (count) {
		uint64_t n = count < sizeof(zeros) ? count : sizeof(zeros);
		int err = memory_write(mem, gpa(at), zeros, n);

		if (err)
			return err;
		at += n;
		count -= n;
	}
	return 0;
}

static int dma_read(struct fw_cfg *cfg, const struct fw_cfg_item *item,
		    const struct dma_request *request)
{
	uint32_t have = left(cfg, item, request->length);
	struct memory *mem = &cfg->vm->memory;
	int err = 0;

	if (request->address + request->length < request->address)
		return -VM_EFAULT;
	if (have)
		err = memory_write(mem, gpa(request->address),
				   item->data + cfg->offset, have);
	if (!err)
		err = write_zeros(mem, request->address + have,
				  request->length - have);
	return err;
}

static int dma_write(struct fw_cfg *cfg, const struct fw_cfg_item *item,
		     const struct dma_request *request)
{
	if (!item || !item->writable ||
	    left(cfg, item, request->length) != request->length)
		return -VM_EINVAL;
	return memory_read(&cfg->vm->memory, gpa(request->address),
			   item->writable + cfg->offset, request->length);
}

static int transfer(struct fw_cfg *cfg, const struct dma_request *request)
{
	const struct fw_cfg_item *item;
	int err = 0;

	if (request->control & DMA_SELECT)
		select_item(cfg, request->control >> DMA_KEY_SHIFT);
	item = selection(cfg);
	if (!request->length)
		return 0;
	if (request->control & DMA_READ)
		err = dma_read(cfg, item, request);
	else if (request->control & DMA_WRITE)
		err = dma_write(cfg, item, request);
	else if (!(request->control & DMA_SKIP))
		return 0;
	if (!err)
		advance(cfg, request->length);
	return err;
}

/* The request lies in guest memory; its control word takes the outcome. */
static void run_dma(struct fw_cfg *cfg, uint64_t at)
{
	struct memory *mem = &cfg->vm->memory;
	struct dma_request request;
	uint32_t status;

	if (memory_read(mem, gpa(at), &request, sizeof(request)))
		return;
	request.control = __builtin_bswap32(request.control);
	request.length = __builtin_bswap32(request.length);
	request.address = __builtin_bswap64(request.address);
	status = transfer(cfg, &request) ? __builtin_bswap32(DMA_ERROR) : 0;
	memory_write(mem, gpa(at), &status, sizeof(status));
}

/* --- ports ---------------------------------------------------------------- */

static uint64_t read_data(void *device, uint64_t offset, unsigned int size)
{
	struct fw_cfg *cfg = device;
	const struct fw_cfg_item *item = selection(cfg);
	uint8_t value = 0;

	if (size != 1 || offset != 1)
		return UINT64_MAX;
	if (left(cfg, item, 1))
		value = item->data[cfg->offset];
	advance(cfg, 1);
	return value;
}

static void write_selector(void *device, uint64_t offset, unsigned int size,
			   uint64_t value)
{
	if (offset == 0 && size == 2)
		select_item(device, (uint32_t)value);
}

static uint64_t read_dma(void *device, uint64_t offset, unsigned int size)
{
	const uint32_t word = offset < 4 ? DMA_SIGNATURE_HIGH :
					   DMA_SIGNATURE_LOW;

	return __builtin_bswap32(word) >> (offset % 4 * 8);
}

static void write_dma(void *device, uint64_t offset, unsigned int size,
		      uint64_t value)
{
	struct fw_cfg *cfg = device;
	uint32_t word = __builtin_bswap32((uint32_t)value);

	if (size != 4)
		return;
	if (offset == 0) {
		cfg->dma_high = word;
	} else if (offset == 4) {
		uint64_t at = (uint64_t)cfg->dma_high << 32 | word;

		cfg->dma_high = 0;
		run_dma(cfg, at);
	}
}

static const struct bus_ops port_ops = {
	.read = read_data,
	.write = write_selector,
	.max_size = 2,
};

static const struct bus_ops dma_ops = {
	.read = read_dma,
	.write = write_dma,
	.max_size = 4,
};

/* --- items ---------------------------------------------------------------- */

static struct fw_cfg_item *new_item(struct fw_cfg *cfg, uint16_t key,
				    int *err)
{
	struct fw_cfg_item *item = &cfg->item[cfg->count];

	*err = 0;
	if (find(cfg, key))
		*err = -VM_EEXIST;
	else if (cfg->count == FW_CFG_ITEMS_MAX)
		*err = -VM_ENOSPC;
	if (*err)
		return NULL;
	memset(item, 0, sizeof(*item));
	item->key = key;
	cfg->count++;
	return item;
}

int fw_cfg_add(struct fw_cfg *cfg, uint16_t key, const void *data,
	       uint32_t size)
{
	int err;
	struct fw_cfg_item *item = new_item(cfg, key, &err);

	if (!item)
		return err;
	item->data = data;
	item->size = size;
	return 0;
}

int fw_cfg_add_number(struct fw_cfg *cfg, uint16_t key, uint64_t value,
		      unsigned int size)
{
	int err;
	struct fw_cfg_item *item = new_item(cfg, key, &err);

	if (!item)
		return err;
	memcpy(item->value, &value, sizeof(value));
	item->data = item->value;
	item->size = size;
	return 0;
}

static void put_be32(uint8_t *at, uint32_t value)
{
	value = __builtin_bswap32(value);
	memcpy(at, &value, sizeof(value));
}

/* Directory: their number, then size, key, two zero bytes and name of each. */
static void write_directory(struct fw_cfg *cfg)
{
	uint8_t *at = cfg->directory + 4;

	for (unsigned int i = 0; i < cfg->count; i++) {
		const struct fw_cfg_item *item = &cfg->item[i];

		if (!item->name[0])
			continue;
		put_be32(at, item->size);
		put_be32(at + 4, (uint32_t)item->key << 16);
		memcpy(at + 8, item->name, FW_CFG_NAME_SIZE);
		at += 8 + FW_CFG_NAME_SIZE;
	}
	put_be32(cfg->directory, cfg->files);
}

static int add_file(struct fw_cfg *cfg, const char *name, const uint8_t *data,
		    uint8_t *writable, uint32_t size)
{
	struct fw_cfg_item *item;
	unsigned int length = 0;
	int err;

	while (name[length])
		length++;
	if (!length || length >= FW_CFG_NAME_SIZE)
		return -VM_EINVAL;
	for (unsigned int i = 0; i < cfg->count; i++)
		if (!memcmp(cfg->item[i].name, name, length + 1))
			return -VM_EEXIST;
	item = new_item(cfg, (uint16_t)(FW_CFG_FILE + cfg->files), &err);
	if (!item)
		return err;
	memcpy(item->name, name, length);
	item->data = data;
	item->writable = writable;
	item->size = size;
	cfg->files++;
	write_directory(cfg);
	return 0;
}

int fw_cfg_add_file(struct fw_cfg *cfg, const char *name, const void *data,
		    uint32_t size)
{
	return add_file(cfg, name, data, NULL, size);
}

int fw_cfg_add_writable(struct fw_cfg *cfg, const char *name, void *data,
			uint32_t size)
{
	return add_file(cfg, name, data, data, size);
}

/* --- the device ----------------------------------------------------------- */

static void fw_cfg_reset(void *device)
{
	struct fw_cfg *cfg = device;

	select_item(cfg, FW_CFG_SIGNATURE);
	cfg->dma_high = 0;
}

/*
 * What the selected item was written with when it was selected is not saved.
 * Other devices may be loaded after this one: told at the next access.
 */
static void fw_cfg_loaded(void *object)
{
	struct fw_cfg *cfg = object;

	cfg->told = false;
}

static const struct field fw_cfg_fields[] = {
	FIELD(struct fw_cfg, FIELD_U16, key),
	FIELD(struct fw_cfg, FIELD_U32, offset),
	FIELD(struct fw_cfg, FIELD_U32, dma_high),
};

static const struct state_class fw_cfg_state = {
	.name = "fw_cfg",
	.version = 1,
	.size = sizeof(struct fw_cfg),
	.fields = fw_cfg_fields,
	.field_count = sizeof(fw_cfg_fields) / sizeof(fw_cfg_fields[0]),
	.loaded = fw_cfg_loaded,
};

const struct device_class fw_cfg_class = {
	.name = "fw_cfg",
	.reset = fw_cfg_reset,
	.state = &fw_cfg_state,
};

int fw_cfg_init(struct fw_cfg *cfg, struct vm *vm)
{
	static const uint8_t signature[4] = { 'Q', 'E', 'M', 'U' };
	int err;

	memset(cfg, 0, sizeof(*cfg));
	cfg->vm = vm;
	err = fw_cfg_add(cfg, FW_CFG_SIGNATURE, signature, sizeof(signature));
	if (!err)
		err = fw_cfg_add_number(cfg, FW_CFG_ID,
					ID_TRADITIONAL | ID_DMA, 4);
	if (!err)
		err = fw_cfg_add(cfg, FW_CFG_FILE_DIRECTORY, cfg->directory,
				 sizeof(cfg->directory));
	if (!err)
		err = bus_add(&vm->pio, FW_CFG_PORT, SELECTOR_SIZE, "fw_cfg",
			      &port_ops, cfg);
	if (!err)
		err = bus_add(&vm->pio, FW_CFG_DMA_PORT, DMA_SIZE,
			      "fw_cfg-dma", &dma_ops, cfg);
	if (err)
		return err;
	return vm_add_device(vm, &fw_cfg_class, cfg);
}
