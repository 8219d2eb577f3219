/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiboot 1 (Multiboot Specification 0.6.96): header 3.1, machine state
 * 3.2, information structure 3.3. ELF32 and ELF64 files, and files that give
 * their own addresses. Modules follow the kernel, page-aligned. Left out:
 * video modes (a wish for one is passed over), drives, APM, symbols.
 */
#include "board/elf.h"
#include "board/layout.h"
#include "board/table.h"
#include "vm/bytes.h"

#define SEARCH_SIZE   8192u
#define HEADER_SIZE   12u
#define ADDRESSES_END 32u
#define HEADER_MAGIC  0x1badb002u
#define BOOT_MAGIC    0x2badb002u

#define WANT_KNOWN     0x00000007u /* of the bits that must be honoured */
#define WANT_MUST      0x0000ffffu
#define WANT_ADDRESSES 0x00010000u

#define INFO_MEMORY  0x001u
#define INFO_CMDLINE 0x004u
#define INFO_MODULES 0x008u
#define INFO_MAP     0x040u
#define INFO_LOADER  0x200u
#define INFO_SIZE    116u

/* Behind the information structure, in the same pages. */
#define MAP_OFFSET	  0x100u
#define MAP_ENTRY_SIZE	  24u
#define MODULE_OFFSET	  0x200u
#define MODULE_ENTRY_SIZE 16u
#define LOADER_OFFSET	  0x400u
#define NAMES_OFFSET	  0x480u
#define NAME_SIZE	  128u
#define AREA_SIZE	  0x2000u

/* Where the header is, or `size` when there is none. */
static uint64_t find_header(const uint8_t *data, uint64_t size)
{
	uint64_t end = size < SEARCH_SIZE ? size : SEARCH_SIZE;

	for (uint64_t i = 0; i + HEADER_SIZE <= end; i += 4)
		if (loader_u32(data + i) == HEADER_MAGIC &&
		    !(HEADER_MAGIC + loader_u32(data + i + 4) +
		      loader_u32(data + i + 8)))
			return i;
	return size;
}

static bool multiboot_claims(const struct board_boot *boot)
{
	return find_header(boot->kernel, boot->kernel_size) < boot->kernel_size;
}

struct placement {
	uint64_t end; /* behind the kernel */
	uint64_t entry;
};

/* The header's own addresses (3.1.3). */
static int load_by_addresses(struct loader *loader, uint64_t header,
			     struct placement *place)
{
	const uint8_t *data = loader->boot->kernel;
	uint64_t size = loader->boot->kernel_size, offset, load_size;
	uint32_t header_addr, load_addr, load_end, bss_end;
	int err;

	if (!loader_in_file(size, header, ADDRESSES_END))
		return loader_fail(loader, "the kernel file is truncated");
	header_addr = loader_u32(data + header + 12);
	load_addr = loader_u32(data + header + 16);
	load_end = loader_u32(data + header + 20);
	bss_end = loader_u32(data + header + 24);
	place->entry = loader_u32(data + header + 28);
	if (load_addr > header_addr || header_addr - load_addr > header)
		return loader_fail(loader, "the kernel is damaged: impossible "
					   "addresses in its multiboot header");
	offset = header - (header_addr - load_addr);
	load_size = load_end ? (uint64_t)load_end - load_addr : size - offset;
	if (load_end && load_end < load_addr)
		return loader_fail(loader, "the kernel is damaged: impossible "
					   "addresses in its multiboot header");
	if (!loader_in_file(size, offset, load_size))
		return loader_fail(loader, "the kernel file is truncated");
	place->end = load_addr + load_size;
	if (bss_end > place->end)
		place->end = bss_end;
	if (!loader_may_use(loader, load_addr, place->end - load_addr))
		return loader_fail(loader,
				   "the kernel is too large for the "
				   "memory: it wants 0x%llx bytes at 0x%x",
				   (unsigned long long)place->end - load_addr,
				   load_addr);
	err = loader_write(loader, load_addr, data + offset, load_size);
	return err ? err
		   : loader_zero(loader, load_addr + load_size,
				 place->end - load_addr - load_size);
}

/*
 * An ELF entry is a virtual address; where a kernel is linked high, it means
 * the physical address of the same byte.
 */
static uint64_t physical_entry(const struct elf *elf)
{
	struct elf_segment s;

	for (unsigned int i = 0; i < elf->segment_count; i++) {
		elf_segment(elf, i, &s);
		if (s.type == ELF_LOAD && elf->entry >= s.virtual &&
		    elf->entry - s.virtual < s.memory_size)
			return s.address + (elf->entry - s.virtual);
	}
	return elf->entry;
}

static int load_kernel(struct loader *loader, struct placement *place)
{
	const struct board_boot *boot = loader->boot;
	uint64_t header = find_header(boot->kernel, boot->kernel_size);
	uint32_t want = loader_u32(boot->kernel + header + 4);
	const char *wrong;
	struct elf elf;
	int err;

	if (want & WANT_MUST & ~WANT_KNOWN)
		return loader_fail(loader,
				   "the multiboot kernel asks for what "
				   "lodge does not have: flags 0x%x",
				   want);
	if (want & WANT_ADDRESSES)
		return load_by_addresses(loader, header, place);
	if (!elf_claims(boot->kernel, boot->kernel_size))
		return loader_fail(loader, "the multiboot kernel is no ELF "
					   "file and gives no addresses");
	wrong = elf_open(&elf, boot->kernel, boot->kernel_size);
	if (wrong)
		return loader_fail(loader, "%s", wrong);
	err = elf_load(loader, &elf, &place->end);
	if (err)
		return err;
	place->entry = physical_entry(&elf);
	return 0;
}

static int load_modules(struct loader *loader, uint64_t at, struct table *list,
			struct table *names)
{
	for (unsigned int i = 0; i < loader_module_count(loader); i++) {
		uint64_t end = e820_high_end(&loader->map);
		struct boot_module module;
		int err;

		loader_module(loader, i, &module);
		at = (at + PAGE_SIZE - 1) & PAGE_MASK;
		if (at < LAYOUT_HIGH)
			at = LAYOUT_HIGH;
		if (at > end || module.size > end - at)
			return loader_fail_module(loader, i);
		err = loader_write(loader, at, module.data, module.size);
		if (err)
			return err;
		table_u32(list, (uint32_t)at);
		table_u32(list, (uint32_t)(at + module.size));
		table_u32(list, (uint32_t)names->base + names->used);
		table_u32(list, 0);
		table_text(names, module.name ? module.name : "", NAME_SIZE - 1,
			   0);
		table_u8(names, 0);
		at += module.size;
	}
	return 0;
}

static void fill_map(const struct loader *loader, struct table *out)
{
	for (unsigned int i = 0; i < loader->map.count; i++) {
		table_u32(out, MAP_ENTRY_SIZE - 4); /* without itself */
		table_u64(out, loader->map.entry[i].base);
		table_u64(out, loader->map.entry[i].size);
		table_u32(out, loader->map.entry[i].type);
	}
}

static void fill_info(const struct loader *loader, struct table *out)
{
	uint64_t end = e820_high_end(&loader->map);
	unsigned int modules = loader_module_count(loader);

	table_u32(out, INFO_MEMORY | INFO_CMDLINE | INFO_MAP | INFO_LOADER |
			       (modules ? INFO_MODULES : 0));
	table_u32(out, LAYOUT_EBDA >> 10);
	table_u32(out, (uint32_t)((end - LAYOUT_HIGH) >> 10));
	table_u32(out, 0); /* boot device */
	table_u32(out, LAYOUT_CMDLINE);
	table_u32(out, modules);
	table_u32(out, LAYOUT_PARAMS + MODULE_OFFSET);
	table_zero(out, 16); /* symbols */
	table_u32(out, loader->map.count * MAP_ENTRY_SIZE);
	table_u32(out, LAYOUT_PARAMS + MAP_OFFSET);
	table_zero(out, 12); /* drives, configuration table */
	table_u32(out, LAYOUT_PARAMS + LOADER_OFFSET);
	table_zero(out, INFO_SIZE - out->used);
}

/* One part of the area at LAYOUT_PARAMS, from `from` to `to`. */
static void part(struct table *out, uint8_t *area, uint32_t from, uint32_t to)
{
	table_init(out, area + from, to - from, LAYOUT_PARAMS + from);
}

static int write_info(struct loader *loader, uint64_t kernel_end)
{
	uint8_t area[AREA_SIZE] = { 0 };
	struct table info, map, modules, name, names;
	int err;

	part(&info, area, 0, MAP_OFFSET);
	part(&map, area, MAP_OFFSET, MODULE_OFFSET);
	part(&modules, area, MODULE_OFFSET, LOADER_OFFSET);
	part(&name, area, LOADER_OFFSET, NAMES_OFFSET);
	part(&names, area, NAMES_OFFSET, AREA_SIZE);
	fill_info(loader, &info);
	fill_map(loader, &map);
	table_text(&name, "lodge", 6, 0);
	err = load_modules(loader, kernel_end, &modules, &names);
	if (err)
		return err;
	return loader_write(loader, LAYOUT_PARAMS, area, sizeof(area));
}

static int multiboot_load(struct loader *loader)
{
	const char *name = loader->boot->kernel_name;
	struct placement place = { 0 };
	int err = load_kernel(loader, &place);

	if (err)
		return err;
	if (!loader_may_use(loader, place.entry, 1) || place.entry >= LAYOUT_4G)
		return loader_fail(loader,
				   "the kernel is damaged: its entry "
				   "0x%llx is outside the memory",
				   (unsigned long long)place.entry);
	err = write_info(loader, place.end);
	if (!err)
		err = loader_write_cmdline(loader, name ? name : "kernel",
					   LAYOUT_CMDLINE_MAX - 1);
	if (err)
		return err;
	loader->state->gpr[X86_RAX] = BOOT_MAGIC;
	loader->state->gpr[X86_RBX] = LAYOUT_PARAMS;
	return loader_enter_32(loader, (uint32_t)place.entry);
}

const struct loader_format multiboot_format = {
	.name = "multiboot",
	.claims = multiboot_claims,
	.load = multiboot_load,
};
