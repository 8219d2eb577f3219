/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a PC's firmware leaves behind for a kernel: ACPI and SMBIOS tables in
 * the ROM area, words of the BIOS data area, memory types (MTRRs, Intel SDM
 * vol. 3, 12.11) of every processor, sizes in the NVRAM. BIOS calls, which
 * Xen makes even behind a boot loader, are all answered with "no such
 * function": carry set, 0x86 in AH, as INT 15h of a real BIOS has it.
 */
#include "board/acpi.h"
#include "board/layout.h"
#include "board/pc.h"
#include "vm/bytes.h"
#include "vm/error.h"

#define BDA_COM1	(LAYOUT_BDA + 0x00)
#define BDA_COM2	(LAYOUT_BDA + 0x02)
#define BDA_EBDA	(LAYOUT_BDA + 0x0e)
#define BDA_BASE_MEMORY (LAYOUT_BDA + 0x13)

#define SERVICE_FIRST 0x10u /* INT: video */
#define SERVICE_LAST  0x1au /* clock */

#define MTRR_ENABLE	 0x800u
#define MTRR_UNCACHEABLE 0u
#define MTRR_WRITE_BACK	 6u
#define MTRR_VALID	 0x800u

/* NVRAM of PC firmware */
#define NVRAM_FLOPPIES	0x10 /* types; the first one's in the upper half */
#define NVRAM_EQUIPMENT 0x14
#define NVRAM_BASE_KIB	0x15
#define NVRAM_EXT_KIB	0x17 /* from 1 MiB; 0xffff at most; and here: */
#define NVRAM_EXT_KIB_2 0x30
#define NVRAM_EXT_64K	0x34 /* from 16 MiB, in 64 KiB */
#define NVRAM_HIGH_64K	0x5b /* above 4 GiB, three bytes */
#define NVRAM_LAST_CPU	0x5f

static int write_word(struct board *board, uint64_t addr, uint16_t value)
{
	return memory_load(&board->vm.memory, gpa(addr), &value, sizeof(value));
}

static int write_low_memory(struct board *board)
{
	static const uint8_t ebda_kib = 1;
	uint8_t facs[ACPI_FACS_SIZE];
	struct memory *mem = &board->vm.memory;
	int err;

	acpi_build_facs(facs);
	err = memory_load(mem, gpa(LAYOUT_FACS), facs, sizeof(facs));
	if (!err)
		err = memory_load(mem, gpa(LAYOUT_EBDA), &ebda_kib, 1);
	if (!err)
		err = write_word(board, BDA_COM1, LAYOUT_COM1);
	if (!err)
		err = write_word(board, BDA_COM2, LAYOUT_COM2);
	if (!err)
		err = write_word(board, BDA_EBDA, LAYOUT_EBDA >> 4);
	if (!err)
		err = write_word(board, BDA_BASE_MEMORY, LAYOUT_EBDA >> 10);
	return err;
}

static int write_services(struct board *board)
{
	static const uint8_t refuse[] = {
		0x55,			/* push bp */
		0x89, 0xe5,		/* mov bp, sp */
		0x80, 0x4e, 0x06, 0x01, /* or byte [bp + 6], 1: carry */
		0x5d,			/* pop bp */
		0xb4, 0x86,		/* mov ah, 0x86 */
		0xcf,			/* iret */
	};
	const uint32_t far = (LAYOUT_BIOS & 0xf0000u) << 12 |
			     (LAYOUT_BIOS & 0xffffu);
	struct memory *mem = &board->vm.memory;
	int err = memory_load(mem, gpa(LAYOUT_BIOS), refuse, sizeof(refuse));

	for (unsigned int i = SERVICE_FIRST; i <= SERVICE_LAST && !err; i++)
		err = memory_load(mem, gpa(i * 4), &far, sizeof(far));
	return err;
}

struct smbios_machine board_smbios(struct board *board)
{
	const struct cpuid_regs cpu =
		cpuid_query(&board->cpuid, &board->vm.cpu[0]->state, 0, 1, 0);

	return (struct smbios_machine){
		.name = board->name,
		.cpus = board->cpus,
		.memory = board->memory,
		.cpu_signature = cpu.eax,
		.cpu_features = cpu.edx,
		.words = board->words,
		.word_count = board->word_count,
	};
}

static int write_tables(struct board *board, uint8_t *buffer)
{
	const struct acpi_machine acpi = {
		.cpus = board->cpus,
		.facs = LAYOUT_FACS,
		.hpet = hpet_id(&board->hpet),
		.display = board->display,
		.floppy = board->floppy_type[0],
		.pci = board->pci_layout,
	};
	const struct smbios_machine smbios = board_smbios(board);
	struct memory *mem = &board->vm.memory;
	struct table table;
	int err;

	table_init(&table, buffer, LAYOUT_SMBIOS - LAYOUT_TABLES,
		   LAYOUT_TABLES);
	bug_on(!acpi_build(&table, &acpi));
	err = memory_load(mem, gpa(table.base), table.data, table.used);
	if (err)
		return err;
	table_init(&table, buffer, LAYOUT_BIOS - LAYOUT_SMBIOS,
		   LAYOUT_SMBIOS);
	bug_on(!smbios_build(&table, &smbios));
	return memory_load(mem, gpa(table.base), table.data, table.used);
}

/* Everything is write-back but the hole for devices below 4 GiB. */
static void set_memory_types(struct board *board)
{
	uint64_t mask = (1ull << board->cpuid.physical_bits) - 1;

	for (unsigned int i = 0; i < board->cpus; i++) {
		struct x86_state *state = &board->vm.cpu[i]->state;

		state->mtrr_def_type = MTRR_ENABLE | MTRR_WRITE_BACK;
		state->mtrr_base[0] = MEMORY_LOW_MAX | MTRR_UNCACHEABLE;
		state->mtrr_mask[0] =
			(mask & ~(LAYOUT_4G - MEMORY_LOW_MAX - 1)) | MTRR_VALID;
	}
}

int firmware_write(struct board *board, uint64_t *rsdp)
{
	uint8_t *buffer = host_alloc(LAYOUT_SMBIOS - LAYOUT_TABLES);
	int err;

	if (!buffer)
		return -VM_ENOMEM;
	err = write_low_memory(board);
	if (!err)
		err = write_services(board);
	if (!err)
		err = write_tables(board, buffer);
	host_free(buffer);
	set_memory_types(board);
	*rsdp = LAYOUT_TABLES;
	return err;
}

#define EQUIPMENT_FLOPPY   0x01 /* bits 6, 7: how many besides one */
#define EQUIPMENT_FPU	   0x02
#define EQUIPMENT_KEYBOARD 0x04

static void set_equipment(struct board *board)
{
	const uint8_t *type = board->floppy_type;
	uint8_t value = EQUIPMENT_FPU | EQUIPMENT_KEYBOARD;

	if (type[0])
		value |= EQUIPMENT_FLOPPY;
	if (type[0] && type[1])
		value |= 1 << 6;
	rtc_set_nvram(&board->rtc, NVRAM_FLOPPIES,
		      (uint8_t)(type[0] << 4 | type[1]));
	rtc_set_nvram(&board->rtc, NVRAM_EQUIPMENT, value);
}

static void set_nvram_word(struct board *board, unsigned int index,
			   uint64_t value)
{
	if (value > 0xffff)
		value = 0xffff;
	rtc_set_nvram(&board->rtc, index, (uint8_t)value);
	rtc_set_nvram(&board->rtc, index + 1, (uint8_t)(value >> 8));
}

void firmware_set_nvram(struct board *board)
{
	uint64_t low =
		board->memory < MEMORY_LOW_MAX ? board->memory : MEMORY_LOW_MAX;
	uint64_t extended = low - LAYOUT_HIGH;
	uint64_t from_16m = low > 16 << 20 ? low - (16 << 20) : 0;
	uint64_t high = board->memory - low;

	set_equipment(board);
	set_nvram_word(board, NVRAM_BASE_KIB, LAYOUT_LOW_END >> 10);
	set_nvram_word(board, NVRAM_EXT_KIB, extended >> 10);
	set_nvram_word(board, NVRAM_EXT_KIB_2, extended >> 10);
	set_nvram_word(board, NVRAM_EXT_64K, from_16m >> 16);
	for (unsigned int i = 0; i < 3; i++)
		rtc_set_nvram(&board->rtc, NVRAM_HIGH_64K + i,
			      (uint8_t)(high >> (16 + 8 * i)));
	rtc_set_nvram(&board->rtc, NVRAM_LAST_CPU, (uint8_t)(board->cpus - 1));
}
