/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chooses the loader of a kernel file, names what is wrong with a file that
 * none of them knows, and writes to guest memory for them.
 */
#include "board/loader.h"

#include <stdarg.h>

#include "board/layout.h"
#include "vm/bytes.h"
#include "vm/error.h"

#define array_size(a) (sizeof(a) / sizeof((a)[0]))

struct text {
	char *out;
	uint32_t used, size;
};

static void put_char(struct text *text, char c)
{
	if (text->used + 1 < text->size)
		text->out[text->used++] = c;
}

static void put_string(struct text *text, const char *s)
{
	while (*s)
		put_char(text, *s++);
}

static void put_number(struct text *text, uint64_t value, unsigned int base)
{
	char digits[20];
	unsigned int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (n)
		put_char(text, digits[--n]);
}

int loader_fail(struct loader *loader, const char *format, ...)
{
	struct text text = { loader->error->text, 0,
			     sizeof(loader->error->text) };
	va_list args;

	va_start(args, format);
	for (; *format; format++) {
		bool wide = false;

		if (*format != '%') {
			put_char(&text, *format);
			continue;
		}
		format++;
		if (format[0] == 'l' && format[1] == 'l') {
			wide = true;
			format += 2;
		}
		if (*format == 's')
			put_string(&text, va_arg(args, const char *));
		else
			put_number(&text,
				   wide ? va_arg(args, unsigned long long)
					: va_arg(args, unsigned int),
				   *format == 'x' ? 16 : 10);
	}
	va_end(args);
	text.out[text.used] = 0;
	return -VM_EINVAL;
}

bool loader_in_file(uint64_t size, uint64_t offset, uint64_t length)
{
	return offset <= size && length <= size - offset;
}

uint16_t loader_u16(const uint8_t *data)
{
	return (uint16_t)(data[0] | data[1] << 8);
}

uint32_t loader_u32(const uint8_t *data)
{
	return loader_u16(data) | (uint32_t)loader_u16(data + 2) << 16;
}

uint64_t loader_u64(const uint8_t *data)
{
	return loader_u32(data) | (uint64_t)loader_u32(data + 4) << 32;
}

bool loader_may_use(const struct loader *loader, uint64_t base, uint64_t size)
{
	if (!size)
		return true;
	if (!e820_is_ram(&loader->map, base, size))
		return false;
	return base >= LAYOUT_LOW_END || base + size <= LAYOUT_BOOT;
}

/* Below this, copying is as quick as mapping. */
#define MAP_LEAST 65536u

/* Maps the whole pages at the front of the data; gives their size, or 0. */
static uint64_t map_pages(struct loader *loader, uint64_t addr,
			  const void *data, uint64_t size)
{
	const struct board_boot *boot = loader->boot;
	uint64_t whole = size & PAGE_MASK;
	void *to;

	if (!boot->map || whole < MAP_LEAST || addr % PAGE_SIZE ||
	    (uintptr_t)data % PAGE_SIZE)
		return 0;
	to = memory_for_write(loader->memory, gpa(addr), whole);
	return to && boot->map(boot->map_ctx, to, data, whole) ? whole : 0;
}

int loader_write(struct loader *loader, uint64_t addr, const void *data,
		 uint64_t size)
{
	uint64_t mapped = map_pages(loader, addr, data, size);

	addr += mapped;
	size -= mapped;
	if (size && memory_load(loader->memory, gpa(addr),
				(const uint8_t *)data + mapped, size))
		return loader_fail(loader,
				   "nothing can be loaded at address 0x%llx",
				   (unsigned long long)addr);
	return 0;
}

int loader_zero(struct loader *loader, uint64_t addr, uint64_t size)
{
	static const uint8_t zero[PAGE_SIZE];

	while (size) {
		uint64_t part = size < sizeof(zero) ? size : sizeof(zero);
		const uint8_t *old =
			memory_for_read(loader->memory, gpa(addr), part);
		int err = 0;

		/* Untouched memory stays so. */
		if (!old || memcmp(old, zero, part))
			err = loader_write(loader, addr, zero, part);
		if (err)
			return err;
		addr += part;
		size -= part;
	}
	return 0;
}

static uint32_t length_up_to(const char *s, uint32_t max)
{
	uint32_t length = 0;

	while (length <= max && s[length])
		length++;
	return length;
}

/* Length of the command line without NUL, at most `max` + 1. */
static uint32_t loader_append_length(const struct loader *loader, uint32_t max)
{
	return loader->boot->append ? length_up_to(loader->boot->append, max)
				    : 0;
}

int loader_write_cmdline(struct loader *loader, const char *first, uint32_t max)
{
	uint32_t head, tail, gap;
	int err;

	if (max > LAYOUT_CMDLINE_MAX - 1)
		max = LAYOUT_CMDLINE_MAX - 1;
	head = first ? length_up_to(first, max) : 0;
	tail = loader_append_length(loader, max);
	gap = head && tail ? 1 : 0;
	if (head + gap + tail > max)
		return loader_fail(loader,
				   "the command line is too long: "
				   "this kernel takes %u bytes",
				   max);
	err = loader_write(loader, LAYOUT_CMDLINE, first, head);
	if (!err)
		err = loader_write(loader, LAYOUT_CMDLINE + head, " ", gap);
	if (!err)
		err = loader_write(loader, LAYOUT_CMDLINE + head + gap,
				   loader->boot->append, tail);
	if (!err)
		err = loader_write(loader, LAYOUT_CMDLINE + head + gap + tail,
				   "", 1);
	return err;
}

unsigned int loader_module_count(const struct loader *loader)
{
	return (loader->boot->initrd ? 1 : 0) + loader->boot->module_count;
}

void loader_module(const struct loader *loader, unsigned int index,
		   struct boot_module *module)
{
	const struct board_boot *boot = loader->boot;

	if (boot->initrd && !index--)
		*module = (struct boot_module){
			.data = boot->initrd,
			.size = boot->initrd_size,
			.name = "initrd",
		};
	else
		*module = boot->module[index];
}

int loader_fail_module(struct loader *loader, unsigned int index)
{
	struct boot_module module;

	loader_module(loader, index, &module);
	return loader_fail(loader,
			   "the %s is too large: %llu MiB do not fit above the "
			   "kernel; give more --memory",
			   index ? "module" : "initrd",
			   (unsigned long long)(module.size + 0xfffff) >> 20);
}

int loader_refuse_modules(struct loader *loader)
{
	if (loader->boot->module_count)
		return loader_fail(loader, "this kernel takes no modules "
					   "besides the initrd");
	return 0;
}

uint64_t loader_find_high(const struct loader *loader, uint64_t bottom,
			  uint64_t top, uint64_t size)
{
	uint64_t end = e820_high_end(&loader->map), at;

	if (bottom < LAYOUT_HIGH)
		bottom = LAYOUT_HIGH;
	if (top > end)
		top = end;
	if (top < size)
		return 0;
	at = (top - size) & PAGE_MASK;
	return at >= bottom ? at : 0;
}

/* What people pass for a kernel by mistake, by the files' first bytes. */
static const struct sign {
	uint16_t offset;
	uint8_t length;
	const char *bytes;
	const char *what;
} signs[] = {
	{ 0, 2, "\x1f\x8b", "a gzip file (unpack it first)" },
	{ 0, 6,
	  "\xfd"
	  "7zXZ",
	  "an xz file (unpack it first)" },
	{ 0, 4, "\x28\xb5\x2f\xfd", "a zstd file (unpack it first)" },
	{ 0, 3, "BZh", "a bzip2 file (unpack it first)" },
	{ 0, 6, "070701", "a cpio archive (an initrd?)" },
	{ 0, 4, "QFI\xfb", "a qcow2 disk image" },
	{ 0x8001, 5, "CD001", "an ISO 9660 image" },
	{ 257, 5, "ustar", "a tar archive" },
	{ 56, 4, "ARMd", "an arm64 kernel" },
	{ 0, 2, "#!", "a script" },
	{ 0, 8, "!<arch>\n", "a Debian package or library" },
	{ 0, 4,
	  "\x7f"
	  "ELF",
	  "an ELF file without PVH note or multiboot header" },
	{ 0, 2, "MZ", "a Windows or EFI program" },
	{ 510, 2, "\x55\xaa", "a boot sector or disk image" },
};

static int fail_foreign(struct loader *loader)
{
	const struct board_boot *boot = loader->boot;
	const char *what = "no bzImage, PVH or multiboot kernel";

	for (unsigned int i = 0; i < array_size(signs); i++) {
		const struct sign *s = &signs[i];

		if (loader_in_file(boot->kernel_size, s->offset, s->length) &&
		    !memcmp(boot->kernel + s->offset, s->bytes, s->length)) {
			what = s->what;
			break;
		}
	}
	return loader_fail(loader, "not a kernel that lodge can boot: %s",
			   what);
}

int loader_run(struct loader *loader)
{
	static const struct loader_format *const formats[] = {
		&flat_format,
		&linux_format,
		&pvh_format,
		&multiboot_format,
	};
	const struct board_boot *boot = loader->boot;

	loader->error->text[0] = 0;
	if (!boot->kernel)
		return loader_fail(loader, "no kernel was given");
	if (!boot->kernel_size)
		return loader_fail(loader, "the kernel file is empty");
	if (boot->initrd && !boot->initrd_size)
		return loader_fail(loader, "the initrd file is empty");
	if (boot->module_count > BOOT_MODULES_MAX)
		return loader_fail(loader, "more than %u modules",
				   (unsigned int)BOOT_MODULES_MAX);
	for (unsigned int i = 0; i < array_size(formats); i++)
		if (formats[i]->claims(boot))
			return formats[i]->load(loader);
	return fail_foreign(loader);
}
