/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel files for tests; see kernels.h. */
#include "kernels.h"

#include <string.h>

#include "board/layout.h"

static void put(struct kernel_file *file, uint32_t at, uint64_t value,
		unsigned int size)
{
	for (unsigned int i = 0; i < size; i++)
		file->data[at + i] = (uint8_t)(value >> (8 * i));
	if (file->size < at + size)
		file->size = at + size;
}

void kernel_put16(struct kernel_file *file, uint32_t at, uint16_t value)
{
	put(file, at, value, 2);
}

void kernel_put32(struct kernel_file *file, uint32_t at, uint32_t value)
{
	put(file, at, value, 4);
}

void kernel_put64(struct kernel_file *file, uint32_t at, uint64_t value)
{
	put(file, at, value, 8);
}

static void pattern(struct kernel_file *file, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		file->data[i] = (uint8_t)(i * 7 + 1);
	if (file->size < to)
		file->size = to;
}

void kernel_linux(struct kernel_file *file)
{
	memset(file, 0, sizeof(*file));
	file->data[0x1f1] = 1;
	kernel_put32(file, 0x1f4, 0x1000 / 16);
	kernel_put16(file, 0x1fe, 0xaa55);
	file->data[0x200] = 0xeb;
	file->data[0x201] = 0x6a; /* header up to 0x26c */
	memcpy(file->data + 0x202, "HdrS", 4);
	kernel_put16(file, 0x206, 0x020f);
	file->data[0x211] = 1;
	kernel_put32(file, 0x22c, 0x7fffffff);
	kernel_put32(file, 0x230, 0x200000);
	file->data[0x234] = 1;
	kernel_put16(file, 0x236, 0x7f);
	kernel_put32(file, 0x238, 2047);
	kernel_put64(file, 0x258, 0x1000000);
	kernel_put32(file, 0x260, KERNEL_LINUX_INIT);
	pattern(file, KERNEL_LINUX_PAYLOAD, KERNEL_LINUX_PAYLOAD + 0x1000);
}

struct segment {
	uint32_t type, offset, file_size, memory_size, align;
	uint64_t address;
};

static void elf_segment_64(struct kernel_file *file, unsigned int index,
			   const struct segment *s)
{
	uint32_t at = 64 + 56 * index;

	kernel_put32(file, at, s->type);
	kernel_put32(file, at + 4, 7);
	kernel_put64(file, at + 8, s->offset);
	kernel_put64(file, at + 16, s->address | 0xffffffff80000000ull);
	kernel_put64(file, at + 24, s->address);
	kernel_put64(file, at + 32, s->file_size);
	kernel_put64(file, at + 40, s->memory_size);
	kernel_put64(file, at + 48, s->align);
}

static void elf64(struct kernel_file *file, uint64_t entry, uint16_t segments)
{
	memset(file, 0, sizeof(*file));
	memcpy(file->data,
	       "\x7f"
	       "ELF\2\1\1",
	       7);
	kernel_put16(file, 16, 2);
	kernel_put16(file, 18, 62);
	kernel_put32(file, 20, 1);
	kernel_put64(file, 24, entry);
	kernel_put64(file, 32, 64);
	kernel_put16(file, 52, 64);
	kernel_put16(file, 54, 56);
	kernel_put16(file, 56, segments);
}

void kernel_pvh(struct kernel_file *file)
{
	const struct segment load = {
		1, 0x1000, 0x800, 0x2800, 0x1000, 0x100000
	};
	const struct segment note = { 4, 0x200, 0x2c, 0x2c, 4, 0 };

	elf64(file, 0xffffffff80100000ull, 2);
	elf_segment_64(file, 0, &load);
	elf_segment_64(file, 1, &note);
	/* Another owner's note stands first. */
	kernel_put32(file, 0x200, 4);
	kernel_put32(file, 0x204, 4);
	kernel_put32(file, 0x208, 1);
	memcpy(file->data + 0x20c, "GNU", 4);
	kernel_put32(file, 0x214, 4);
	kernel_put32(file, 0x218, 8);
	kernel_put32(file, 0x21c, 18);
	memcpy(file->data + 0x220, "Xen", 4);
	kernel_put64(file, 0x224, 0x100010);
	pattern(file, 0x1000, 0x1800);
}

static void multiboot_header(struct kernel_file *file, uint32_t at,
			     uint32_t flags)
{
	kernel_put32(file, at, 0x1badb002);
	kernel_put32(file, at + 4, flags);
	kernel_put32(file, at + 8, -(0x1badb002 + flags));
}

void kernel_multiboot_elf64(struct kernel_file *file)
{
	const struct segment load = {
		1, 0x1000, 0x800, 0x2800, 0x1000, 0x100000
	};

	elf64(file, 0xffffffff80100020ull, 1);
	elf_segment_64(file, 0, &load);
	pattern(file, 0x1000, 0x1800);
	multiboot_header(file, 0x1000, 3);
}

void kernel_multiboot_elf32(struct kernel_file *file)
{
	memset(file, 0, sizeof(*file));
	memcpy(file->data,
	       "\x7f"
	       "ELF\1\1\1",
	       7);
	kernel_put16(file, 16, 2);
	kernel_put16(file, 18, 3);
	kernel_put32(file, 24, 0x100020);
	kernel_put32(file, 28, 52);
	kernel_put16(file, 42, 32);
	kernel_put16(file, 44, 1);
	kernel_put32(file, 52, 1);
	kernel_put32(file, 56, 0x1000);
	kernel_put32(file, 60, 0x100000);
	kernel_put32(file, 64, 0x100000);
	kernel_put32(file, 68, 0x800);
	kernel_put32(file, 72, 0x2800);
	kernel_put32(file, 80, 0x1000);
	pattern(file, 0x1000, 0x1800);
	multiboot_header(file, 0x1000, 3);
}

void kernel_multiboot_raw(struct kernel_file *file)
{
	memset(file, 0, sizeof(*file));
	pattern(file, 0, 0x800);
	multiboot_header(file, 0x40, 0x10003);
	kernel_put32(file, 0x4c, 0x100040); /* header */
	kernel_put32(file, 0x50, 0x100000); /* load from, to, zeroes to */
	kernel_put32(file, 0x54, 0x100800);
	kernel_put32(file, 0x58, 0x102800);
	kernel_put32(file, 0x5c, 0x100020);
}

void loader_machine_init(struct loader_machine *machine, uint64_t memory)
{
	uint64_t low = memory < MEMORY_LOW_MAX ? memory : MEMORY_LOW_MAX;
	struct memory *mem = &machine->memory;

	memset(machine, 0, sizeof(*machine));
	memory_init(mem, memory, LAYOUT_ROM_END - LAYOUT_ROM);
	memory_add(mem, MEMORY_RAM, gpa(0), LAYOUT_LOW_END, "low");
	memory_add(mem, MEMORY_ROM, gpa(LAYOUT_ROM),
		   LAYOUT_ROM_END - LAYOUT_ROM, "rom");
	if (low > LAYOUT_HIGH)
		memory_add(mem, MEMORY_RAM, gpa(LAYOUT_HIGH), low - LAYOUT_HIGH,
			   "high");
	if (memory > low)
		memory_add(mem, MEMORY_RAM, gpa(LAYOUT_4G), memory - low,
			   "above");
	e820_build(&machine->loader.map, memory);
	machine->loader.memory = mem;
	machine->loader.rsdp = LAYOUT_TABLES;
	machine->loader.boot = &machine->boot;
	machine->loader.state = &machine->state;
	machine->loader.error = &machine->error;
}

void loader_machine_fini(struct loader_machine *machine)
{
	memory_fini(&machine->memory);
}

uint64_t loader_machine_peek(struct loader_machine *machine, uint64_t addr,
			     unsigned int size)
{
	uint64_t value = 0;

	if (memory_read(&machine->memory, gpa(addr), &value, size))
		return UINT64_MAX;
	return value;
}
