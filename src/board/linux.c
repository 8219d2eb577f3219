/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux bzImage by the 64-bit boot protocol (Linux, Documentation/arch/x86:
 * boot.rst 1.1 to 1.5 and 1.13, zero-page.rst): protocol 2.12 or later with
 * a 64-bit entry. No real-mode code of the kernel runs; what it would find
 * out from a BIOS stands in the boot_params page.
 * Left out: initrds above 4 GiB, setup_data, older kernels' 16 and 32-bit
 * entries.
 */
#include "board/layout.h"
#include "board/loader.h"
#include "vm/bytes.h"

/* Offsets, the same in the file and in boot_params. */
enum {
	HDR_START = 0x1f1,
	HDR_SETUP_SECTS = 0x1f1,
	HDR_SYSSIZE = 0x1f4, /* in 16 bytes */
	HDR_BOOT_FLAG = 0x1fe,
	HDR_JUMP = 0x201, /* the header ends that far behind 0x202 */
	HDR_MAGIC = 0x202,
	HDR_VERSION = 0x206,
	HDR_LOADER = 0x210,
	HDR_RAMDISK_IMAGE = 0x218,
	HDR_RAMDISK_SIZE = 0x21c,
	HDR_CMDLINE = 0x228,
	HDR_INITRD_MAX = 0x22c,
	HDR_XLOADFLAGS = 0x236,
	HDR_CMDLINE_SIZE = 0x238,
	HDR_PREF_ADDRESS = 0x258,
	HDR_INIT_SIZE = 0x260,
	HDR_MINIMUM = 0x264, /* end of what version 2.12 has and we read */
	HDR_MAXIMUM = 0x290, /* in boot_params, something else follows */
};

/* boot_params only */
enum {
	PARAM_RSDP = 0x070,
	PARAM_E820_COUNT = 0x1e8,
	PARAM_E820 = 0x2d0,
	PARAM_E820_ENTRY = 20,
};

#define VERSION_MIN	 0x020c
#define XLF_KERNEL_64	 0x0001u
#define ENTRY_64	 0x200 /* from the start of the kernel proper */
#define LOADER_UNDEFINED 0xff
#define CMDLINE_DEFAULT	 255u
#define SECTOR		 512u

/* What we need of a checked header. */
struct image {
	const uint8_t *payload; /* the kernel proper */
	uint64_t payload_size;
	uint64_t address;
	uint64_t end; /* of the memory that it needs at first */
	uint64_t initrd_max;
	uint32_t cmdline_size;
	uint32_t header_end;
};

static void put_u32(uint8_t *to, uint32_t value)
{
	for (unsigned int i = 0; i < 4; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

static void put_u64(uint8_t *to, uint64_t value)
{
	put_u32(to, (uint32_t)value);
	put_u32(to + 4, (uint32_t)(value >> 32));
}

static bool linux_claims(const struct board_boot *boot)
{
	return boot->kernel_size >= HDR_VERSION + 2 &&
	       boot->kernel[HDR_BOOT_FLAG] == 0x55 &&
	       boot->kernel[HDR_BOOT_FLAG + 1] == 0xaa &&
	       !memcmp(boot->kernel + HDR_MAGIC, "HdrS", 4);
}

static int check_place(struct loader *loader, const struct image *image,
		       uint64_t need)
{
	uint64_t memory = e820_high_end(&loader->map);

	if (image->address < LAYOUT_HIGH || image->address >= LAYOUT_4G ||
	    need < ENTRY_64)
		return loader_fail(loader,
				   "the kernel is damaged: impossible "
				   "load address 0x%llx",
				   (unsigned long long)image->address);
	if (need > memory || image->address > memory - need)
		return loader_fail(
			loader,
			"the kernel is too large for the "
			"memory: it needs %llu MiB to start, the "
			"machine has %llu MiB; give it more",
			(unsigned long long)(image->address + need + 0xfffff) >>
				20,
			(unsigned long long)memory >> 20);
	return 0;
}

static int parse(struct loader *loader, struct image *image)
{
	const uint8_t *file = loader->boot->kernel;
	uint64_t size = loader->boot->kernel_size, setup, need;
	unsigned int version = loader_u16(file + HDR_VERSION);
	unsigned int sectors = file[HDR_SETUP_SECTS];

	if (version < VERSION_MIN)
		return loader_fail(loader,
				   "this Linux kernel is too old: boot "
				   "protocol %u.%u, needed is 2.12",
				   version >> 8, version & 0xff);
	if (size < HDR_MINIMUM)
		return loader_fail(loader, "the kernel file is truncated");
	if (!(loader_u16(file + HDR_XLOADFLAGS) & XLF_KERNEL_64))
		return loader_fail(loader,
				   "this Linux kernel is not a 64-bit one");
	image->header_end = HDR_MAGIC + file[HDR_JUMP];
	if (image->header_end < HDR_MINIMUM)
		return loader_fail(loader, "the kernel is damaged: its setup "
					   "header is too short");
	if (image->header_end > HDR_MAXIMUM)
		image->header_end = HDR_MAXIMUM;
	setup = (uint64_t)SECTOR * (1 + (sectors ? sectors : 4));
	image->payload_size = (uint64_t)loader_u32(file + HDR_SYSSIZE) * 16;
	/* The size is rounded up to 16 bytes, the file need not be. */
	if (size < setup || size < image->header_end ||
	    image->payload_size > size - setup + 15)
		return loader_fail(loader, "the kernel file is truncated");
	if (image->payload_size > size - setup)
		image->payload_size = size - setup;
	image->payload = file + setup;
	image->address = loader_u64(file + HDR_PREF_ADDRESS);
	need = loader_u32(file + HDR_INIT_SIZE);
	if (need < image->payload_size)
		need = image->payload_size;
	image->end = image->address + need;
	image->initrd_max = loader_u32(file + HDR_INITRD_MAX);
	image->cmdline_size = loader_u32(file + HDR_CMDLINE_SIZE);
	if (!image->cmdline_size)
		image->cmdline_size = CMDLINE_DEFAULT;
	return check_place(loader, image, need);
}

static int load_initrd(struct loader *loader, const struct image *image,
		       uint8_t *params)
{
	uint64_t size = loader->boot->initrd_size, at;

	if (!loader->boot->initrd)
		return 0;
	at = loader_find_high(loader, image->end, image->initrd_max + 1, size);
	if (!at)
		return loader_fail(
			loader,
			"the initrd is too large: %llu MiB "
			"do not fit above the kernel into %llu MiB; "
			"give more --memory",
			(unsigned long long)(size + 0xfffff) >> 20,
			(unsigned long long)e820_high_end(&loader->map) >> 20);
	put_u32(params + HDR_RAMDISK_IMAGE, (uint32_t)at);
	put_u32(params + HDR_RAMDISK_SIZE, (uint32_t)size);
	return loader_write(loader, at, loader->boot->initrd, size);
}

static void fill_params(const struct loader *loader, const struct image *image,
			uint8_t *params)
{
	uint8_t *e = params + PARAM_E820;

	memcpy(params + HDR_START, loader->boot->kernel + HDR_START,
	       image->header_end - HDR_START);
	params[HDR_LOADER] = LOADER_UNDEFINED;
	put_u32(params + HDR_CMDLINE, LAYOUT_CMDLINE);
	put_u64(params + PARAM_RSDP, loader->rsdp);
	params[PARAM_E820_COUNT] = (uint8_t)loader->map.count;
	for (unsigned int i = 0; i < loader->map.count; i++) {
		put_u64(e, loader->map.entry[i].base);
		put_u64(e + 8, loader->map.entry[i].size);
		put_u32(e + 16, loader->map.entry[i].type);
		e += PARAM_E820_ENTRY;
	}
}

static int linux_load(struct loader *loader)
{
	uint8_t params[PAGE_SIZE] = { 0 };
	struct image image = { 0 };
	int err = loader_refuse_modules(loader);

	if (!err)
		err = parse(loader, &image);
	if (err)
		return err;
	fill_params(loader, &image, params);
	err = load_initrd(loader, &image, params);
	if (!err)
		err = loader_write(loader, image.address, image.payload,
				   image.payload_size);
	if (!err)
		err = loader_write_cmdline(loader, NULL, image.cmdline_size);
	if (!err)
		err = loader_write(loader, LAYOUT_PARAMS, params,
				   sizeof(params));
	if (!err)
		err = loader_enter_64(loader, image.address + ENTRY_64);
	loader->state->gpr[X86_RSI] = LAYOUT_PARAMS;
	return err;
}

const struct loader_format linux_format = {
	.name = "Linux bzImage",
	.claims = linux_claims,
	.load = linux_load,
};
