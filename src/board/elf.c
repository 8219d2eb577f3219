/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF executables (System V gABI: ELF header, chapter 4; program header,
 * chapter 5). Only what loading needs: segments by physical address. Sections,
 * relocation and dynamic linking are left out.
 */
#include "board/elf.h"

#include "board/layout.h"
#include "vm/bytes.h"
#include "vm/error.h"

#define SEGMENTS_MAX 256

enum {
	ELF_CLASS = 4, /* offsets */
	ELF_DATA = 5,
	ELF_TYPE = 16,
	ELF_MACHINE = 18,
	ELF_ENTRY = 24,
	CLASS_32 = 1,
	CLASS_64 = 2,
	DATA_LITTLE = 1,
	TYPE_EXEC = 2,
	TYPE_DYN = 3,
	MACHINE_386 = 3,
	MACHINE_X86_64 = 62,
	HEADER_32 = 52,
	HEADER_64 = 64,
	SEGMENT_32 = 32,
	SEGMENT_64 = 56,
};

bool elf_claims(const uint8_t *data, uint64_t size)
{
	return size >= 4 && !memcmp(data,
				    "\x7f"
				    "ELF",
				    4);
}

static const char *check_header(const uint8_t *data, uint64_t size)
{
	unsigned int type, machine;

	if (size < HEADER_32 ||
	    (data[ELF_CLASS] == CLASS_64 && size < HEADER_64))
		return "the kernel file is truncated";
	if (data[ELF_DATA] != DATA_LITTLE ||
	    (data[ELF_CLASS] != CLASS_32 && data[ELF_CLASS] != CLASS_64))
		return "the ELF file is not for x86 processors";
	type = loader_u16(data + ELF_TYPE);
	machine = loader_u16(data + ELF_MACHINE);
	if (machine != MACHINE_386 && machine != MACHINE_X86_64)
		return "the ELF file is not for x86 processors";
	if (type != TYPE_EXEC && type != TYPE_DYN)
		return "the ELF file is not an executable";
	return NULL;
}

const char *elf_open(struct elf *elf, const uint8_t *data, uint64_t size)
{
	const char *wrong = check_header(data, size);

	if (wrong)
		return wrong;
	elf->data = data;
	elf->size = size;
	elf->wide = data[ELF_CLASS] == CLASS_64;
	if (elf->wide) {
		elf->entry = loader_u64(data + ELF_ENTRY);
		elf->segments = loader_u64(data + 32);
		elf->segment_size = loader_u16(data + 54);
		elf->segment_count = loader_u16(data + 56);
	} else {
		elf->entry = loader_u32(data + ELF_ENTRY);
		elf->segments = loader_u32(data + 28);
		elf->segment_size = loader_u16(data + 42);
		elf->segment_count = loader_u16(data + 44);
	}
	if (!elf->segment_count || elf->segment_count > SEGMENTS_MAX)
		return "the ELF file has no or too many program headers";
	if (elf->segment_size < (elf->wide ? SEGMENT_64 : SEGMENT_32))
		return "the ELF file is damaged: program headers too small";
	if (!loader_in_file(size, elf->segments,
			    (uint64_t)elf->segment_size * elf->segment_count))
		return "the kernel file is truncated";
	return NULL;
}

void elf_segment(const struct elf *elf, unsigned int index,
		 struct elf_segment *segment)
{
	const uint8_t *p =
		elf->data + elf->segments + (uint64_t)index * elf->segment_size;

	if (elf->wide)
		*segment = (struct elf_segment){
			.type = loader_u32(p),
			.offset = loader_u64(p + 8),
			.virtual = loader_u64(p + 16),
			.address = loader_u64(p + 24),
			.file_size = loader_u64(p + 32),
			.memory_size = loader_u64(p + 40),
			.align = loader_u64(p + 48),
		};
	else
		*segment = (struct elf_segment){
			.type = loader_u32(p),
			.offset = loader_u32(p + 4),
			.virtual = loader_u32(p + 8),
			.address = loader_u32(p + 12),
			.file_size = loader_u32(p + 16),
			.memory_size = loader_u32(p + 20),
			.align = loader_u32(p + 28),
		};
}

static int load_segment(struct loader *loader, const struct elf *elf,
			const struct elf_segment *s)
{
	int err;

	if (!loader_in_file(elf->size, s->offset, s->file_size))
		return loader_fail(loader, "the kernel file is truncated");
	if (s->file_size > s->memory_size)
		return loader_fail(loader,
				   "the ELF file is damaged: a segment "
				   "is larger in the file than in memory");
	if (!loader_may_use(loader, s->address, s->memory_size))
		return loader_fail(
			loader,
			"the kernel is too large for the "
			"memory: it wants 0x%llx bytes at 0x%llx, "
			"the machine has %llu MiB",
			(unsigned long long)s->memory_size,
			(unsigned long long)s->address,
			(unsigned long long)e820_high_end(&loader->map) >> 20);
	err = loader_write(loader, s->address, elf->data + s->offset,
			   s->file_size);
	return err ? err
		   : loader_zero(loader, s->address + s->file_size,
				 s->memory_size - s->file_size);
}

int elf_load(struct loader *loader, const struct elf *elf, uint64_t *end)
{
	struct elf_segment s;

	*end = 0;
	for (unsigned int i = 0; i < elf->segment_count; i++) {
		int err;

		elf_segment(elf, i, &s);
		if (s.type != ELF_LOAD || !s.memory_size)
			continue;
		err = load_segment(loader, elf, &s);
		if (err)
			return err;
		if (*end < s.address + s.memory_size)
			*end = s.address + s.memory_size;
	}
	if (!*end)
		return loader_fail(loader, "the ELF file has nothing to load");
	return 0;
}
