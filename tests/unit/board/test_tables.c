/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory map and the firmware tables: walked as an operating system walks
 * them, every checksum and length checked. With a file name as argument the
 * DSDT is written there instead, for a look with iasl.
 */
#include "fake/test.h"

#include <stdio.h>
#include <string.h>

#include "board/acpi.h"
#include "board/aml.h"
#include "board/e820.h"
#include "board/layout.h"
#include "chip/hpet.h"
#include "board/loader.h"
#include "board/smbios.h"
#include "chip/acpi_pm.h"
#include "fake/host.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static uint8_t buffer[0x10000];
static struct table out;

static uint32_t sum(uint32_t from, uint32_t count)
{
	uint8_t total = 0;

	for (uint32_t i = 0; i < count; i++)
		total += buffer[from + i];
	return total;
}

static uint32_t u32(uint32_t at)
{
	return loader_u32(buffer + at);
}

/* Offset of the table at guest address `addr`, its checksum verified. */
static uint32_t table_at(uint64_t addr, const char *signature)
{
	uint32_t at;

	assert_true(addr >= LAYOUT_TABLES);
	at = (uint32_t)(addr - LAYOUT_TABLES);
	assert_true(at + 36 <= out.used);
	assert_memory_equal(buffer + at, signature, 4);
	assert_true(u32(at + 4) <= out.used - at);
	assert_int_equal(sum(at, u32(at + 4)), 0);
	return at;
}

static void build(unsigned int cpus)
{
	struct acpi_machine machine = {
		.cpus = cpus,
		.facs = LAYOUT_FACS,
		.display = true,
		.floppy = true,
	};

	fake_host_reset();
	pci_layout_init(&machine.pci, 4 * GIB, 40);
	table_init(&out, buffer, sizeof(buffer), LAYOUT_TABLES);
	assert_true(acpi_build(&out, &machine));
}

/* --- ACPI ----------------------------------------------------------------- */

/* Gives the XSDT's offset. */
static uint32_t check_rsdp(void)
{
	assert_memory_equal(buffer, "RSD PTR ", 8);
	assert_int_equal(sum(0, 20), 0);
	assert_int_equal(sum(0, 36), 0);
	assert_int_equal(buffer[15], 2);
	assert_int_equal(u32(20), 36);
	return table_at(loader_u64(buffer + 24), "XSDT");
}

static void check_fadt(uint32_t fadt)
{
	assert_int_equal(u32(fadt + 4), 276);
	assert_int_equal(u32(fadt + 36), LAYOUT_FACS);
	assert_int_equal(u32(fadt + 40), u32(fadt + 140));
	assert_int_equal(loader_u16(buffer + fadt + 46), 9);
	assert_int_equal(u32(fadt + 48), 0);
	assert_int_equal(u32(fadt + 56), ACPI_PM_PM1_EVT);
	assert_int_equal(u32(fadt + 64), ACPI_PM_PM1_CNT);
	assert_int_equal(u32(fadt + 76), ACPI_PM_TIMER);
	assert_int_equal(buffer[fadt + 88], 4);
	assert_int_equal(buffer[fadt + 89], 2);
	assert_int_equal(buffer[fadt + 91], 4);
	assert_int_equal(buffer[fadt + 92], ACPI_PM_GPE0_LEN);
	assert_int_equal(buffer[fadt + 108], 0x32);
	/* reset register 0xcf9, a byte of I/O; supported */
	assert_int_equal(buffer[fadt + 116], 1);
	assert_int_equal(buffer[fadt + 117], 8);
	assert_int_equal(u32(fadt + 120), 0xcf9);
	assert_int_equal(buffer[fadt + 128], 6);
	assert_int_equal(u32(fadt + 112) & 1u << 10, 1u << 10);
	assert_int_equal(u32(fadt + 112) & 1u << 4, 0); /* fixed button */
	assert_int_equal(u32(fadt + 148 + 4), ACPI_PM_PM1_EVT);
	assert_int_equal(u32(fadt + 172 + 4), ACPI_PM_PM1_CNT);
	assert_int_equal(u32(fadt + 208 + 4), ACPI_PM_TIMER);
	assert_int_equal(u32(fadt + 220 + 4), ACPI_PM_GPE0);
}

static void check_madt(uint32_t madt, unsigned int cpus)
{
	uint32_t end = madt + u32(madt + 4), at = madt + 44;
	unsigned int lapics = 0, seen[5] = { 0 };

	assert_int_equal(u32(madt + 36), 0xfee00000);
	assert_int_equal(u32(madt + 40), 1);
	while (at < end) {
		assert_true(buffer[at] < 5 && buffer[at + 1] >= 6);
		seen[buffer[at]]++;
		if (buffer[at] == 0) {
			assert_int_equal(buffer[at + 3], lapics++);
			assert_int_equal(u32(at + 4), 1);
		} else if (buffer[at] == 1) {
			assert_int_equal(u32(at + 4), 0xfec00000);
		} else if (buffer[at] == 2 && buffer[at + 3] == 0) {
			assert_int_equal(u32(at + 4), 2);
		}
		at += buffer[at + 1];
	}
	assert_int_equal(at, end);
	assert_int_equal(lapics, cpus);
	assert_int_equal(seen[1], 1);
	assert_int_equal(seen[2], 2);
	assert_int_equal(seen[4], 1);
}

static void check_mcfg(uint32_t mcfg)
{
	assert_int_equal(u32(mcfg + 4), 60);
	assert_int_equal(loader_u64(buffer + mcfg + 44), LAYOUT_ECAM);
	assert_int_equal(u32(mcfg + 52), 0xff000000); /* buses 0 to 255 */
}

static void acpi_tables(void **state)
{
	static const unsigned int counts[] = { 1, 2, 4, 63, 64 };

	for (unsigned int i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		uint32_t xsdt, fadt;

		build(counts[i]);
		xsdt = check_rsdp();
		assert_int_equal(u32(xsdt + 4), 36 + 32);
		fadt = table_at(loader_u64(buffer + xsdt + 36), "FACP");
		check_fadt(fadt);
		table_at(u32(fadt + 40), "DSDT");
		check_madt(table_at(loader_u64(buffer + xsdt + 44), "APIC"),
			   counts[i]);
		check_mcfg(table_at(loader_u64(buffer + xsdt + 52), "MCFG"));
		assert_int_equal(loader_u64(buffer + 44 +
					    table_at(loader_u64(buffer + xsdt +
								60),
						     "HPET")),
				 HPET_BASE);
		assert_true(out.used <= LAYOUT_SMBIOS - LAYOUT_TABLES);
	}
}

static void acpi_no_room(void **state)
{
	struct acpi_machine machine = {
		.cpus = 64,
		.facs = LAYOUT_FACS,
		.display = true,
		.floppy = true,
	};
	uint32_t full;

	build(64);
	pci_layout_init(&machine.pci, 4 * GIB, 40);
	full = out.used;
	for (uint32_t size = 0; size < full; size++) {
		table_init(&out, buffer, size, LAYOUT_TABLES);
		assert_false(acpi_build(&out, &machine));
		assert_true(out.used <= size);
	}
}

static void facs(void **state)
{
	uint8_t bytes[ACPI_FACS_SIZE];

	acpi_build_facs(bytes);
	assert_memory_equal(bytes, "FACS\x40\0\0\0", 8);
	assert_int_equal(bytes[32], 2);
	assert_int_equal(LAYOUT_FACS % 64, 0);
}

/* The byte code of ACPI 6.4, 20.2, for a few lines of ASL. */
static void aml_bytes(void **state)
{
	static const uint64_t values[] = { 0, 1, 2, 0x1234, 0x12345678 };
	static const uint8_t want[] = {
		0x10, 0x2b, '\\', '_',	'S',  'B',  '_', /* Scope (\_SB) */
		0x5b, 0x82, 0x0f, 'D',	'E',  'V',  '0', /* Device (DEV0) */
		0x08, '_',  'H',  'I',	'D',  0x0c, 0x41, 0xd0, 0x05, 0x01,
		0x08, 'P',  'A',  'C',	'K',  0x12, 0x0e, 0x05, /* Package (5)
								 */
		0x00, 0x01, 0x0a, 0x02, 0x0b, 0x34, 0x12, 0x0c, 0x78, 0x56,
		0x34, 0x12,
	};
	struct aml aml;

	fake_host_reset();
	table_init(&out, buffer, sizeof(buffer), 0);
	aml_init(&aml, &out);
	aml_scope_begin(&aml, "\\_SB");
	aml_device_begin(&aml, "DEV0");
	aml_name_eisa_id(&aml, "_HID", "PNP0501");
	aml_end(&aml);
	aml_name_package(&aml, "PACK", values, 5);
	aml_end(&aml);
	assert_int_equal(out.used, sizeof(want));
	assert_memory_equal(buffer, want, sizeof(want));
	assert_true(fake_catches_bug(aml_device_begin(&aml, "TOOLONG")));
}

/* Package lengths of one, two and three bytes (20.2.4). */
static void aml_lengths(void **state)
{
	static const struct {
		uint32_t content, bytes;
	} cases[] = {
		{ 0x3e, 1 },
		{ 0x3f, 2 },
		{ 0xffd, 2 },
		{ 0xffe, 3 },
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t length = cases[i].content + cases[i].bytes, got;
		struct aml aml;

		table_init(&out, buffer, sizeof(buffer), 0);
		aml_init(&aml, &out);
		aml_scope_begin(&aml, "ABCD");
		table_zero(&out, cases[i].content - 4);
		aml_end(&aml);
		assert_int_equal(out.used, 1 + length);
		assert_int_equal(buffer[1] >> 6, cases[i].bytes - 1);
		got = buffer[1] & (cases[i].bytes == 1 ? 0x3f : 0xf);
		for (uint32_t k = 1; k < cases[i].bytes; k++)
			got |= (uint32_t)buffer[1 + k] << (8 * k - 4);
		assert_int_equal(got, length);
		assert_memory_equal(buffer + 1 + cases[i].bytes, "ABCD", 4);
	}
}

/* --- SMBIOS --------------------------------------------------------------- */

static void smbios_tables(void **state)
{
	static const uint64_t sizes[] = { 1 * MIB, 256 * MIB, 5 * GIB, 33 * GIB,
					  1024 * GIB };

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const struct smbios_machine machine = {
			.name = "guest",
			.cpus = 4,
			.memory = sizes[i],
		};
		unsigned int seen[128] = { 0 };
		uint32_t at, end;

		table_init(&out, buffer, sizeof(buffer), LAYOUT_SMBIOS);
		assert_true(smbios_build(&out, &machine));
		assert_memory_equal(buffer, "_SM3_", 5);
		assert_int_equal(sum(0, buffer[6]), 0);
		at = (uint32_t)(loader_u64(buffer + 16) - LAYOUT_SMBIOS);
		end = at + u32(12);
		assert_int_equal(end, out.used);
		while (at < end) {
			uint8_t type = buffer[at];

			assert_true(type < 128 && buffer[at + 1] >= 4);
			seen[type]++;
			at += buffer[at + 1];
			while (buffer[at] || buffer[at + 1])
				at++;
			at += 2;
		}
		assert_int_equal(at, end);
		assert_int_equal(seen[0] & seen[1] & seen[3] & seen[4], 1);
		assert_int_equal(seen[16] & seen[17] & seen[32], 1);
		assert_int_equal(seen[127], 1);
		assert_int_equal(seen[19], sizes[i] > 2 * GIB ? 2 : 1);
	}
}

/* DSP0134 7.1 to 7.45: lengths of the formatted parts, version 3.0. */
static void smbios_lengths(void **state)
{
	static const struct {
		uint8_t type, length;
	} want[] = {
		{ 0, 0x18 },  { 1, 0x1b },  { 3, 0x16 },
		{ 4, 0x30 },  { 16, 0x17 }, { 17, 0x28 },
		{ 19, 0x1f }, { 32, 0x0b }, { 127, 4 },
	};
	const struct smbios_machine machine = { .cpus = 1, .memory = MIB };
	uint32_t at = 32;

	table_init(&out, buffer, sizeof(buffer), LAYOUT_SMBIOS);
	assert_true(smbios_build(&out, &machine));
	for (unsigned int i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_int_equal(buffer[at], want[i].type);
		assert_int_equal(buffer[at + 1], want[i].length);
		at += buffer[at + 1];
		while (buffer[at] || buffer[at + 1])
			at++;
		at += 2;
	}
}

/* --- map ------------------------------------------------------------------ */

static void map(void **state)
{
	static const struct {
		uint64_t memory, high_end, above;
	} cases[] = {
		{ 1 * MIB, 1 * MIB, 0 },
		{ 2 * MIB, 2 * MIB, 0 },
		{ 256 * MIB, 256 * MIB, 0 },
		{ 2 * GIB, 2 * GIB, 0 },
		{ 2 * GIB + MIB, 2 * GIB, MIB },
		{ 5 * GIB, 2 * GIB, 3 * GIB },
		{ 1024 * GIB, 2 * GIB, 1022 * GIB },
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct e820 e820;
		uint64_t last = 0;

		e820_build(&e820, cases[i].memory);
		for (unsigned int k = 0; k < e820.count; k++) {
			assert_true(e820.entry[k].base >= last);
			assert_true(e820.entry[k].size);
			last = e820.entry[k].base + e820.entry[k].size;
		}
		assert_int_equal(e820_high_end(&e820), cases[i].high_end);
		assert_int_equal(e820_is_ram(&e820, 4 * GIB, 1),
				 cases[i].above != 0);
		if (cases[i].above)
			assert_true(
				e820_is_ram(&e820, 4 * GIB, cases[i].above));
		assert_false(e820_is_ram(&e820, 4 * GIB, cases[i].above + 1));
		assert_true(e820_is_ram(&e820, 0, LAYOUT_EBDA));
		assert_false(e820_is_ram(&e820, 0, LAYOUT_EBDA + 1));
		assert_false(e820_is_ram(&e820, LAYOUT_FACS, 1));
		assert_false(e820_is_ram(&e820, UINT64_MAX, 2));
		assert_false(e820_is_ram(&e820, 1, UINT64_MAX));
	}
}

static int write_dsdt(const char *path)
{
	FILE *f = fopen(path, "wb");
	uint32_t fadt, dsdt;

	if (!f)
		return 1;
	build(64);
	fadt = table_at(loader_u64(buffer + check_rsdp() + 36), "FACP");
	dsdt = table_at(u32(fadt + 40), "DSDT");
	fwrite(buffer + dsdt, 1, u32(dsdt + 4), f);
	return fclose(f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acpi_tables),
		cmocka_unit_test(acpi_no_room),
		cmocka_unit_test(facs),
		cmocka_unit_test(aml_bytes),
		cmocka_unit_test(aml_lengths),
		cmocka_unit_test(smbios_tables),
		cmocka_unit_test(smbios_lengths),
		cmocka_unit_test(map),
	};

	if (argc > 1)
		return write_dsdt(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
