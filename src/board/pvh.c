/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF kernels with a PVH entry point (Xen, docs/misc/pvh.pandoc and
 * public/arch-x86/hvm/start_info.h): Linux vmlinux, FreeBSD, Xen itself and
 * small kernels. Entered in flat 32-bit mode with %ebx at the start info.
 */
#include "board/elf.h"
#include "board/layout.h"
#include "board/table.h"
#include "vm/bytes.h"

#define NOTE_PHYS32_ENTRY 18u
#define NOTE_HEADER	  12u
#define START_MAGIC	  0x336ec578u
#define START_SIZE	  56u
#define MAP_ENTRY_SIZE	  24u
#define MODULE_ENTRY_SIZE 32u
#define CMDLINE_MAX	  (LAYOUT_CMDLINE_MAX - 1)

/* Behind the start info, in the same pages. */
#define MAP_OFFSET    0x100u
#define MODULE_OFFSET 0x200u

static uint64_t align_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

/* Looks for the entry point among the notes of one segment. */
static bool find_in_notes(const uint8_t *notes, uint64_t size, uint64_t align,
			  uint32_t *entry)
{
	while (size >= NOTE_HEADER) {
		uint32_t name_size = loader_u32(notes);
		uint32_t desc_size = loader_u32(notes + 4);
		uint32_t type = loader_u32(notes + 8);
		uint64_t desc =
			align_up((uint64_t)NOTE_HEADER + name_size, align);
		uint64_t next = align_up(desc + desc_size, align);

		if (desc > size || desc_size > size - desc)
			return false;
		if (type == NOTE_PHYS32_ENTRY && name_size == 4 &&
		    desc_size >= 4 && !memcmp(notes + NOTE_HEADER, "Xen", 4)) {
			*entry = loader_u32(notes + desc);
			return true;
		}
		if (next > size)
			return false;
		notes += next;
		size -= next;
	}
	return false;
}

static bool find_entry(const struct elf *elf, uint32_t *entry)
{
	struct elf_segment s;

	for (unsigned int i = 0; i < elf->segment_count; i++) {
		elf_segment(elf, i, &s);
		if (s.type == ELF_NOTE &&
		    loader_in_file(elf->size, s.offset, s.file_size) &&
		    find_in_notes(elf->data + s.offset, s.file_size,
				  s.align == 8 ? 8 : 4, entry))
			return true;
	}
	return false;
}

/* A damaged ELF file is claimed too, unless it may be multiboot. */
static bool pvh_claims(const struct board_boot *boot)
{
	struct elf elf;
	uint32_t entry;

	if (!elf_claims(boot->kernel, boot->kernel_size))
		return false;
	if (elf_open(&elf, boot->kernel, boot->kernel_size))
		return !multiboot_format.claims(boot);
	return find_entry(&elf, &entry);
}

/* The modules, the initrd first, as high as they go. */
static int load_modules(struct loader *loader, uint64_t kernel_end,
			struct table *list)
{
	uint64_t top = LAYOUT_4G;

	for (unsigned int i = 0; i < loader_module_count(loader); i++) {
		struct boot_module module;
		uint64_t at;
		int err;

		loader_module(loader, i, &module);
		at = loader_find_high(loader, kernel_end, top, module.size);
		if (!at)
			return loader_fail_module(loader, i);
		err = loader_write(loader, at, module.data, module.size);
		if (err)
			return err;
		table_u64(list, at);
		table_u64(list, module.size);
		table_u64(list, 0); /* no command line */
		table_u64(list, 0);
		top = at;
	}
	return 0;
}

static void fill_map(const struct loader *loader, struct table *out)
{
	for (unsigned int i = 0; i < loader->map.count; i++) {
		table_u64(out, loader->map.entry[i].base);
		table_u64(out, loader->map.entry[i].size);
		table_u32(out, loader->map.entry[i].type);
		table_u32(out, 0);
	}
}

static void fill_start(const struct loader *loader, struct table *out)
{
	unsigned int modules = loader_module_count(loader);

	table_u32(out, START_MAGIC);
	table_u32(out, 1); /* version: with a memory map */
	table_u32(out, 0);
	table_u32(out, modules);
	table_u64(out, modules ? LAYOUT_PARAMS + MODULE_OFFSET : 0);
	table_u64(out, LAYOUT_CMDLINE);
	table_u64(out, loader->rsdp);
	table_u64(out, LAYOUT_PARAMS + MAP_OFFSET);
	table_u32(out, loader->map.count);
	table_u32(out, 0);
}

static int write_start(struct loader *loader, const struct table *modules)
{
	uint8_t start_data[START_SIZE];
	uint8_t map_data[E820_MAX * MAP_ENTRY_SIZE];
	struct table start, map;
	int err;

	table_init(&start, start_data, sizeof(start_data), LAYOUT_PARAMS);
	fill_start(loader, &start);
	table_init(&map, map_data, sizeof(map_data),
		   LAYOUT_PARAMS + MAP_OFFSET);
	fill_map(loader, &map);
	err = loader_write(loader, start.base, start.data, start.used);
	if (!err)
		err = loader_write(loader, map.base, map.data, map.used);
	if (!err)
		err = loader_write(loader, modules->base, modules->data,
				   modules->used);
	return err;
}

static int pvh_load(struct loader *loader)
{
	uint8_t module_data[(1 + BOOT_MODULES_MAX) * MODULE_ENTRY_SIZE];
	const struct board_boot *boot = loader->boot;
	const char *wrong;
	struct table modules;
	struct elf elf;
	uint64_t end;
	uint32_t entry = 0;
	int err;

	wrong = elf_open(&elf, boot->kernel, boot->kernel_size);
	if (wrong)
		return loader_fail(loader, "%s", wrong);
	find_entry(&elf, &entry);
	err = elf_load(loader, &elf, &end);
	if (err)
		return err;
	if (!loader_may_use(loader, entry, 1))
		return loader_fail(loader,
				   "the kernel is damaged: its PVH "
				   "entry 0x%x is outside the memory",
				   entry);
	table_init(&modules, module_data, sizeof(module_data),
		   LAYOUT_PARAMS + MODULE_OFFSET);
	err = load_modules(loader, end, &modules);
	if (!err)
		err = write_start(loader, &modules);
	if (!err)
		err = loader_write_cmdline(loader, NULL, CMDLINE_MAX);
	if (!err)
		err = loader_enter_32(loader, entry);
	loader->state->gpr[X86_RBX] = LAYOUT_PARAMS;
	return err;
}

const struct loader_format pvh_format = {
	.name = "PVH ELF",
	.claims = pvh_claims,
	.load = pvh_load,
};
