/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SMBIOS 3.0 (DMTF DSP0134 3.0.0): 64-bit entry point 5.2.2, structures 7.1,
 * 7.2, 7.4, 7.5, 7.12, 7.17, 7.18, 7.20, 7.33, 7.45. One socket with all cores, one
 * memory device. Left out: slots, ports, caches, the 32-bit entry point.
 */
#include "board/smbios.h"

#include "board/layout.h"
#include "vm/bytes.h"
#include "vm/memory.h"

#define ENTRY_SIZE 24
#define UNKNOWN	   2 /* the enumerations' common "unknown" */

enum handle {
	HANDLE_BIOS = 0x000,
	HANDLE_SYSTEM = 0x100,
	HANDLE_CHASSIS = 0x300,
	HANDLE_CPU = 0x400,
	HANDLE_WORDS = 0xb00,
	HANDLE_ARRAY = 0x1000,
	HANDLE_DEVICE = 0x1100,
	HANDLE_MAPPED_LOW = 0x1300,
	HANDLE_MAPPED_HIGH = 0x1301,
	HANDLE_BOOT = 0x2000,
	HANDLE_END = 0x7f00,
	HANDLE_NONE = 0xfffe,
};

struct writer {
	struct table *out;
	uint32_t start; /* of the open structure */
};

static void begin(struct writer *w, uint8_t type, uint16_t handle)
{
	w->start = w->out->used;
	table_u8(w->out, type);
	table_u8(w->out, 0);
	table_u16(w->out, handle);
}

/* Closes the formatted part; the strings follow (6.1.3). */
static void end(struct writer *w, const char *const *strings,
		unsigned int count)
{
	table_put_u8(w->out, w->start + 1, (uint8_t)(w->out->used - w->start));
	for (unsigned int i = 0; i < count; i++) {
		const char *s = strings[i];

		while (*s)
			table_u8(w->out, (uint8_t)*s++);
		table_u8(w->out, 0);
	}
	if (!count)
		table_u8(w->out, 0);
	table_u8(w->out, 0);
}

static void bios(struct writer *w)
{
	static const char *const text[] = { "lodge", "1", "01/01/2026" };
	struct table *out = w->out;

	begin(w, 0, HANDLE_BIOS);
	table_u8(out, 1);
	table_u8(out, 2);
	table_u16(out, LAYOUT_TABLES >> 4);
	table_u8(out, 3);
	table_u8(out, 1);    /* size: 128 KiB */
	table_u64(out, 0x8); /* no characteristics given */
	table_u8(out, 0x01); /* ACPI */
	table_u8(out, 0x1c); /* targeted content, UEFI: no, a virtual machine */
	table_u8(out, 1);    /* release */
	table_u8(out, 0);
	table_u16(out, 0xffff); /* no embedded controller */
	end(w, text, 3);
}

static void system_info(struct writer *w, const char *name)
{
	const char *const text[] = { "lodge", "PC", "1", name };

	begin(w, 1, HANDLE_SYSTEM);
	table_u8(w->out, 1);
	table_u8(w->out, 2);
	table_u8(w->out, 3);
	table_u8(w->out, 4);
	table_zero(w->out, 16); /* UUID: not present */
	table_u8(w->out, 6);	/* woken by the power switch */
	table_u8(w->out, 0);
	table_u8(w->out, 0);
	end(w, text, 4);
}

static void chassis(struct writer *w)
{
	static const char *const text[] = { "lodge" };
	struct table *out = w->out;

	begin(w, 3, HANDLE_CHASSIS);
	table_u8(out, 1);
	table_u8(out, 1); /* type: other */
	table_zero(out, 3);
	table_u8(out, 3); /* boot-up, power, thermal: safe */
	table_u8(out, 3);
	table_u8(out, 3);
	table_u8(out, UNKNOWN); /* security */
	table_u32(out, 0);
	table_zero(out, 5); /* height, cords, no elements, SKU */
	end(w, text, 1);
}

static void processor(struct writer *w, const struct smbios_machine *m)
{
	static const char *const text[] = { "CPU 0", "lodge" };
	uint8_t cores = (uint8_t)m->cpus;
	struct table *out = w->out;

	begin(w, 4, HANDLE_CPU);
	table_u8(out, 1);
	table_u8(out, 3);	/* central processor */
	table_u8(out, UNKNOWN); /* family */
	table_u8(out, 2);
	table_u32(out, m->cpu_signature);
	table_u32(out, m->cpu_features);
	table_u8(out, 0);
	table_u8(out, 0x80); /* voltage: 0 */
	table_u16(out, 0);
	table_u16(out, 0); /* speeds: unknown */
	table_u16(out, 0);
	table_u8(out, 0x41);	/* populated and enabled */
	table_u8(out, UNKNOWN); /* upgrade */
	for (unsigned int i = 0; i < 3; i++)
		table_u16(out, 0xffff); /* caches: not described */
	table_zero(out, 3);
	table_u8(out, cores);
	table_u8(out, cores);
	table_u8(out, cores); /* threads */
	table_u16(out, 0x04); /* 64-bit capable */
	table_u16(out, UNKNOWN);
	table_u16(out, cores);
	table_u16(out, cores);
	table_u16(out, cores);
	end(w, text, 2);
}

static void words(struct writer *w, const struct smbios_machine *m)
{
	begin(w, 11, HANDLE_WORDS);
	table_u8(w->out, (uint8_t)m->word_count);
	end(w, m->words, m->word_count);
}

static void memory_array(struct writer *w, uint64_t memory)
{
	uint64_t kib = memory >> 10;
	bool large = kib >= 0x80000000;

	begin(w, 16, HANDLE_ARRAY);
	table_u8(w->out, 1); /* location: other */
	table_u8(w->out, 3); /* system memory */
	table_u8(w->out, 6); /* multi-bit ECC */
	table_u32(w->out, large ? 0x80000000 : (uint32_t)kib);
	table_u16(w->out, HANDLE_NONE);
	table_u16(w->out, 1);
	table_u64(w->out, large ? memory : 0);
	end(w, NULL, 0);
}

static void memory_device(struct writer *w, uint64_t memory)
{
	static const char *const text[] = { "DIMM 0", "lodge" };
	uint64_t mib = memory >> 20;
	bool large = mib >= 0x7fff;
	struct table *out = w->out;

	begin(w, 17, HANDLE_DEVICE);
	table_u16(out, HANDLE_ARRAY);
	table_u16(out, HANDLE_NONE);
	table_u16(out, 0xffff); /* widths: unknown */
	table_u16(out, 0xffff);
	table_u16(out, large ? 0x7fff : (uint16_t)mib);
	table_u8(out, 9); /* DIMM */
	table_u8(out, 0);
	table_u8(out, 1);
	table_u8(out, 0);
	table_u8(out, 7);	/* RAM */
	table_u16(out, 1 << 1); /* detail: other */
	table_u16(out, 0);	/* speed */
	table_u8(out, 2);
	table_zero(out, 4); /* serial, tag, part, attributes */
	table_u32(out, large ? (uint32_t)mib : 0);
	table_zero(out, 8); /* configured speed, voltages */
	end(w, text, 2);
}

static void memory_mapped(struct writer *w, uint16_t handle, uint64_t base,
			  uint64_t size)
{
	uint64_t last = base + size - 1;
	bool wide = last >> 10 >= 0xffffffff;

	begin(w, 19, handle);
	table_u32(w->out, wide ? 0xffffffff : (uint32_t)(base >> 10));
	table_u32(w->out, wide ? 0xffffffff : (uint32_t)(last >> 10));
	table_u16(w->out, HANDLE_ARRAY);
	table_u8(w->out, 1);
	table_u64(w->out, wide ? base : 0);
	table_u64(w->out, wide ? last : 0);
	end(w, NULL, 0);
}

static void structures(struct writer *w, const struct smbios_machine *m)
{
	uint64_t low = m->memory < MEMORY_LOW_MAX ? m->memory : MEMORY_LOW_MAX;

	bios(w);
	system_info(w, m->name && *m->name ? m->name : "lodge");
	chassis(w);
	processor(w, m);
	if (m->word_count)
		words(w, m);
	memory_array(w, m->memory);
	memory_device(w, m->memory);
	memory_mapped(w, HANDLE_MAPPED_LOW, 0, low);
	if (m->memory > low)
		memory_mapped(w, HANDLE_MAPPED_HIGH, LAYOUT_4G,
			      m->memory - low);
	begin(w, 32, HANDLE_BOOT);
	table_zero(w->out, 7); /* reserved, no errors detected */
	end(w, NULL, 0);
	begin(w, 127, HANDLE_END);
	end(w, NULL, 0);
}

bool smbios_build_structures(struct table *out,
			     const struct smbios_machine *machine)
{
	struct writer w = { .out = out };

	structures(&w, machine);
	return !out->overflow;
}

void smbios_build_entry(struct table *out, uint64_t address, uint32_t size)
{
	uint32_t start = out->used;

	table_text(out, "_SM3_", 5, 0);
	table_u8(out, 0);
	table_u8(out, ENTRY_SIZE);
	table_u8(out, 3); /* version 3.0, docrev 0 */
	table_u8(out, 0);
	table_u8(out, 0);
	table_u8(out, 1); /* entry point revision */
	table_u8(out, 0);
	table_u32(out, size);
	table_u64(out, address);
	table_put_u8(out, start + 5, table_checksum(out, start, ENTRY_SIZE));
}

bool smbios_build(struct table *out, const struct smbios_machine *machine)
{
	uint32_t entry = out->used, first;
	struct table e;

	table_zero(out, ENTRY_SIZE);
	table_align(out, 16);
	first = out->used;
	if (!smbios_build_structures(out, machine))
		return false;
	table_init(&e, out->data + entry, ENTRY_SIZE, 0);
	smbios_build_entry(&e, out->base + first, out->used - first);
	return true;
}
