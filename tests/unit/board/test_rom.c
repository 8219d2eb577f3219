/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine with firmware: where its image lies, and what a firmware gets
 * that asks fw_cfg as SeaBIOS and OVMF do: the memory map, and ACPI and
 * SMBIOS tables placed by the loader's script.
 */
#include "fake/test.h"

#include <stdlib.h>
#include <string.h>

#include "board/acpi.h"
#include "board/layout.h"
#include "board/pc.h"
#include "fake/host.h"
#include "fake/idle_engine.h"
#include "vm/error.h"

#define MIB	  (1ull << 20)
#define GIB	  (1ull << 30)
#define IMAGE	  (256u << 10)
#define VARS	  (64u << 10)
#define FILES_MAX 16
#define PLACE	  0x7000000u /* tables are put from here on */

/* --- the machine ------------------------------------------------------------ */

static uint8_t image[IMAGE], vars[VARS];
static struct board *board;

static void build(uint64_t memory, unsigned int cpus)
{
	static const struct board_firmware firmware = {
		.image = image,
		.size = IMAGE,
		.vars = vars,
		.vars_size = VARS,
		.boot_menu = true,
		.boot_order = "/rom@first\n",
		.boot_order_size = 12,
	};
	const struct board_config config = {
		.name = "rom",
		.cpus = cpus,
		.memory = memory,
		.engine = &engine_idle,
		.firmware = &firmware,
	};
	struct boot_error why;

	fake_host_reset();
	for (unsigned int i = 0; i < IMAGE; i++)
		image[i] = (uint8_t)(i ^ i >> 8);
	memset(vars, 0xff, sizeof(vars));
	assert_int_equal(board_build(&config, &board), 0);
	assert_int_equal(board_load(board, &(struct board_boot){ 0 }, &why),
			 0);
}

static void destroy(void)
{
	board_destroy(board);
}

static void peek(uint64_t at, void *to, uint64_t count)
{
	assert_int_equal(memory_read(&board->vm.memory, gpa(at), to, count),
			 0);
}

static void image_and_shadow(void **state)
{
	uint8_t bytes[16], value = 0x5a;

	build(64 * MIB, 1);
	peek(LAYOUT_4G - 16, bytes, 16);
	assert_memory_equal(bytes, image + IMAGE - 16, 16);
	peek(LAYOUT_4G - IMAGE, bytes, 16);
	assert_memory_equal(bytes, image, 16);
	peek(0xffff0, bytes, 16);
	assert_memory_equal(bytes, image + IMAGE - 16, 16);
	peek(0xe0000, bytes, 16);
	assert_memory_equal(bytes, image + IMAGE - 0x20000, 16);
	memory_write(&board->vm.memory, gpa(LAYOUT_4G - 16), &value, 1);
	peek(LAYOUT_4G - 16, bytes, 1);
	assert_int_equal(bytes[0], image[IMAGE - 16]);
	memory_write(&board->vm.memory, gpa(0xffff0), &value, 1);
	peek(0xffff0, bytes, 1);
	assert_int_equal(bytes[0], image[IMAGE - 16]);
	/* The processor starts at the reset vector. */
	assert_int_equal(board->vm.cpu[0]->state.rip, 0xfff0);
	assert_int_equal(board->vm.cpu[0]->state.seg[X86_CS].base, 0xffff0000);
	/* Its flash lies right below. */
	bus_write(&board->vm.mmio, LAYOUT_4G - IMAGE - VARS + 3, 1, 0x10);
	bus_write(&board->vm.mmio, LAYOUT_4G - IMAGE - VARS + 3, 1, 0x77);
	assert_int_equal(vars[3], 0x77);
	destroy();
}

/* Each segment opens with its own bits, and is shut and new after a reset. */
static void protected_segments(void **state)
{
	struct pci_device *host;

	build(64 * MIB, 1);
	host = &board->pci.pci;
	for (unsigned int open = 0; open < PCI_HOST_SEGMENTS; open++) {
		unsigned int last = open == PCI_HOST_SEGMENTS - 1;
		uint8_t bits = open % 2 || last ? 0x30 : 0x03;

		pci_config_write(host, last ? 0x90 : 0x91 + open / 2, 1, bits);
		for (unsigned int i = 0; i < PCI_HOST_SEGMENTS; i++) {
			uint32_t size, base = pci_host_segment(i, &size);
			uint8_t before, after;

			peek(base + size - 2, &before, 1);
			after = (uint8_t)~before;
			memory_write(&board->vm.memory, gpa(base + size - 2),
				     &after, 1);
			peek(base + size - 2, &after, 1);
			assert_int_equal(after != before, i == open);
		}
		pci_config_write(host, last ? 0x90 : 0x91 + open / 2, 1, 0x11);
	}
	pci_config_write(host, 0x90, 1, 0x30);
	board_reset(board);
	assert_int_equal(memory_find(&board->vm.memory, gpa(0xf0000))->kind,
			 MEMORY_ROM);
	destroy();
}

/* RE and WE of a segment, each by itself. */
static void segments_read_rom(void **state)
{
	const uint64_t at = 0xe8010; /* low half of PAM6 */
	uint8_t rom = image[IMAGE - 0x18000 + 0x10], value, byte;

	build(64 * MIB, 1);
	/* The ROM's end from 0xe0000 on; nothing before. */
	peek(at, &byte, 1);
	assert_int_equal(byte, rom);
	peek(0xdffff, &byte, 1);
	assert_int_equal(byte, 0xff);
	for (unsigned int bits = 0; bits < 16; bits++) {
		bool read = bits & 1, write = bits & 2;

		value = (uint8_t)(rom + 1 + bits);
		pci_config_write(&board->pci.pci, 0x96, 1, 0x03);
		memory_write(&board->vm.memory, gpa(at), "\x7e", 1);
		pci_config_write(&board->pci.pci, 0x96, 1, bits);
		memory_write(&board->vm.memory, gpa(at), &value, 1);
		peek(at, &byte, 1);
		assert_int_equal(byte, !read ? rom : write ? value : 0x7e);
		pci_config_write(&board->pci.pci, 0x96, 1, 0x01);
		peek(at, &byte, 1);
		assert_int_equal(byte, write ? value : 0x7e);
	}
	/* Its neighbour is not concerned, and a reset shows the ROM. */
	peek(at + 0x4000, &byte, 1);
	assert_int_equal(byte, image[IMAGE - 0x14000 + 0x10]);
	board_reset(board);
	peek(at, &byte, 1);
	assert_int_equal(byte, rom);
	destroy();
}

static void odd_images(void **state)
{
	struct board_firmware firmware = { .image = image, .size = IMAGE };
	struct board_config config = {
		.name = "rom",
		.cpus = 1,
		.memory = 64 * MIB,
		.engine = &engine_idle,
		.firmware = &firmware,
	};

	fake_host_reset();
	firmware.size = 0;
	assert_int_equal(board_build(&config, &board), -VM_EINVAL);
	firmware.size = IMAGE + 1;
	assert_int_equal(board_build(&config, &board), -VM_EINVAL);
	firmware.size = 32 * MIB;
	assert_int_equal(board_build(&config, &board), -VM_EINVAL);
	firmware.size = IMAGE;
	firmware.vars_size = 100;
	assert_int_equal(board_build(&config, &board), -VM_EINVAL);
}

/* --- a firmware that reads fw_cfg --------------------------------------------- */

struct file {
	char name[FW_CFG_NAME_SIZE];
	uint8_t *data;
	uint32_t size;
	uint32_t at; /* where it was placed; 0: nowhere */
};

static struct file files[FILES_MAX];
static unsigned int file_count;

static void get(void *to, uint32_t count)
{
	uint8_t *at = to;

	while (count--)
		*at++ = (uint8_t)bus_read(&board->vm.pio, FW_CFG_PORT + 1, 1);
}

static uint32_t be32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

static void read_files(void)
{
	uint8_t count[4], entry[64];
	uint16_t key[FILES_MAX];

	bus_write(&board->vm.pio, FW_CFG_PORT, 2, FW_CFG_FILE_DIRECTORY);
	get(count, 4);
	file_count = be32(count);
	assert_in_range(file_count, 1, FILES_MAX);
	for (unsigned int i = 0; i < file_count; i++) {
		get(entry, sizeof(entry));
		files[i].size = be32(entry);
		key[i] = (uint16_t)(entry[4] << 8 | entry[5]);
		memcpy(files[i].name, entry + 8, FW_CFG_NAME_SIZE);
		files[i].at = 0;
	}
	for (unsigned int i = 0; i < file_count; i++) {
		files[i].data = malloc(files[i].size);
		bus_write(&board->vm.pio, FW_CFG_PORT, 2, key[i]);
		get(files[i].data, files[i].size);
	}
}

static void free_files(void)
{
	for (unsigned int i = 0; i < file_count; i++)
		free(files[i].data);
}

static struct file *file(const char *name)
{
	for (unsigned int i = 0; i < file_count; i++)
		if (!strcmp(files[i].name, name))
			return &files[i];
	fail_msg("no file %s", name);
	return NULL;
}

static uint64_t number(const uint8_t *at, unsigned int size)
{
	uint64_t value = 0;

	memcpy(&value, at, size);
	return value;
}

static uint8_t sum(const uint8_t *at, uint32_t count)
{
	uint8_t total = 0;

	while (count--)
		total += *at++;
	return total;
}

static void add_pointer(const uint8_t *entry)
{
	struct file *in = file((const char *)entry + 4);
	const struct file *to = file((const char *)entry + 60);
	uint32_t at = (uint32_t)number(entry + 116, 4);
	uint8_t size = entry[120];
	uint64_t value;

	assert_true(size == 4 || size == 8);
	assert_true(at + size <= in->size && to->at);
	value = number(in->data + at, size) + to->at;
	memcpy(in->data + at, &value, size);
}

static void add_sum(const uint8_t *entry)
{
	struct file *in = file((const char *)entry + 4);
	uint32_t at = (uint32_t)number(entry + 60, 4);
	uint32_t from = (uint32_t)number(entry + 64, 4);
	uint32_t count = (uint32_t)number(entry + 68, 4);

	assert_true(from + count <= in->size && at < in->size);
	/* OVMF adds up what it finds there, SeaBIOS takes it off. */
	assert_int_equal(in->data[at], 0);
	in->data[at] = (uint8_t)-sum(in->data + from, count);
}

static void run_script(void)
{
	const struct file *script = file("etc/table-loader");
	uint32_t place = PLACE;

	for (uint32_t i = 0; i < script->size; i += 128) {
		const uint8_t *entry = script->data + i;
		struct file *in;

		switch (number(entry, 4)) {
		case 1:
			in = file((const char *)entry + 4);
			assert_int_equal(in->at, 0);
			in->at = place;
			assert_int_equal(place % number(entry + 60, 4), 0);
			place += (in->size + 4095) & ~4095u;
			break;
		case 2:
			add_pointer(entry);
			break;
		case 3:
			add_sum(entry);
			break;
		default:
			assert_int_equal(number(entry, 4), 0);
			break;
		}
	}
}

/* A table by its address in the placed file. */
static const uint8_t *table_at(uint64_t address)
{
	const struct file *acpi = file("etc/acpi/tables");

	assert_in_range(address, acpi->at, acpi->at + acpi->size - 36);
	return acpi->data + (address - acpi->at);
}

static const uint8_t *find_table(const uint8_t *xsdt, const char *signature)
{
	uint32_t length = (uint32_t)number(xsdt + 4, 4);

	for (uint32_t at = 36; at < length; at += 8) {
		const uint8_t *table = table_at(number(xsdt + at, 8));

		assert_int_equal(sum(table, (uint32_t)number(table + 4, 4)),
				 0);
		if (!memcmp(table, signature, 4))
			return table;
	}
	fail_msg("no table %s", signature);
	return NULL;
}

static void acpi_by_script(void **state)
{
	const uint8_t *rsdp, *xsdt, *fadt, *dsdt;

	build(64 * MIB, 3);
	/* Firmware has moved the ECAM before it asks. */
	host_lock(&board->vm.device_lock);
	pci_config_write(&board->pci.pci, PCI_HOST_PCIEXBAR, 4,
			 0xe0000000 | 1);
	host_unlock(&board->vm.device_lock);
	read_files();
	run_script();
	rsdp = file("etc/acpi/rsdp")->data;
	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, 36), 0);
	xsdt = table_at(number(rsdp + 24, 8));
	assert_memory_equal(xsdt, "XSDT", 4);
	assert_int_equal(sum(xsdt, (uint32_t)number(xsdt + 4, 4)), 0);
	fadt = find_table(xsdt, "FACP");
	dsdt = table_at(number(fadt + 40, 4));
	assert_memory_equal(dsdt, "DSDT", 4);
	assert_int_equal(sum(dsdt, (uint32_t)number(dsdt + 4, 4)), 0);
	assert_int_equal(number(fadt + 140, 8), number(fadt + 40, 4));
	assert_memory_equal(table_at(number(fadt + 36, 4)), "FACS", 4);
	assert_int_equal(number(fadt + 36, 4) % 64, 0);
	assert_int_equal(number(fadt + 48, 4), 0xb2); /* into ACPI mode */
	assert_int_equal(fadt[52], 0x02);
	assert_int_equal(number(find_table(xsdt, "MCFG") + 44, 8), 0xe0000000);
	assert_int_equal(number(find_table(xsdt, "HPET") + 44, 8), 0xfed00000);
	assert_int_equal(number(find_table(xsdt, "APIC") + 4, 4), 44 + 3 * 8 +
			 12 + 2 * 10 + 6);
	free_files();
	destroy();
}

static void memory_map(void **state)
{
	const struct file *map;

	build(3 * GIB, 1);
	read_files();
	map = file("etc/e820");
	assert_int_equal(map->size, 40);
	assert_int_equal(number(map->data, 8), 0);
	assert_int_equal(number(map->data + 8, 8), 2 * GIB);
	assert_int_equal(number(map->data + 16, 4), 1);
	assert_int_equal(number(map->data + 20, 8), 4 * GIB);
	assert_int_equal(number(map->data + 28, 8), GIB);
	assert_int_equal(file("etc/boot-menu-wait")->size, 2);
	assert_string_equal((char *)file("bootorder")->data, "/rom@first\n");
	free_files();
	destroy();
	build(64 * MIB, 1);
	read_files();
	assert_int_equal(file("etc/e820")->size, 20);
	free_files();
	destroy();
}

static void smbios(void **state)
{
	const struct file *anchor, *tables;

	build(64 * MIB, 1);
	read_files();
	anchor = file("etc/smbios/smbios-anchor");
	tables = file("etc/smbios/smbios-tables");
	assert_memory_equal(anchor->data, "_SM3_", 5);
	assert_int_equal(sum(anchor->data, 24), 0);
	assert_int_equal(number(anchor->data + 12, 4), tables->size);
	assert_int_equal(tables->data[0], 0); /* BIOS information first */
	free_files();
	destroy();
}

static void comes_back_after_a_reset(void **state)
{
	struct boot_error why;
	uint8_t value = 0;

	build(64 * MIB, 1);
	memory_write(&board->vm.memory, gpa(0xffff0), &value, 1);
	board->vm.cpu[0]->state.rip = 5;
	board_reset(board);
	assert_int_equal(board_load(board, &(struct board_boot){ 0 }, &why),
			 0);
	peek(0xffff0, &value, 1);
	assert_int_equal(value, image[IMAGE - 16]);
	assert_int_equal(board->vm.cpu[0]->state.rip, 0xfff0);
	destroy();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(image_and_shadow),
		cmocka_unit_test(segments_read_rom),
		cmocka_unit_test(protected_segments),
		cmocka_unit_test(odd_images),
		cmocka_unit_test(acpi_by_script),
		cmocka_unit_test(memory_map),
		cmocka_unit_test(smbios),
		cmocka_unit_test(comes_back_after_a_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
