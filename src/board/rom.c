/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firmware that runs in the guest; see rom.h. The image ends at 4 GiB, where
 * the reset vector is; its last 128 KiB are seen below 1 MiB as well, where
 * real mode finds them, until the host bridge (PAM) shows the RAM there that
 * firmware copies itself to.
 *
 * ACPI tables tell where firmware put PCI's windows, so they are written
 * when firmware asks for them, after it has done that.
 */
#include "board/rom.h"

#include "board/acpi.h"
#include "board/layout.h"
#include "board/pc.h"
#include "board/table_loader.h"
#include "vm/bytes.h"
#include "vm/error.h"

#define IMAGE_MIN 0x10000u
#define IMAGE_MAX 0x1000000u
#define MENU_KEY_WAIT_MS 2500u

#define FILE_ACPI   "etc/acpi/tables"
#define FILE_RSDP   "etc/acpi/rsdp"
#define FILE_LOADER "etc/table-loader"
#define FILE_SMBIOS "etc/smbios/smbios-tables"
#define FILE_ANCHOR "etc/smbios/smbios-anchor"

int rom_check(const struct board_firmware *firmware)
{
	if (firmware->size < IMAGE_MIN || firmware->size > IMAGE_MAX ||
	    firmware->size % PAGE_SIZE)
		return -VM_EINVAL;
	if (firmware->vars_size % FLASH_BLOCK ||
	    firmware->vars_size > FLASH_SIZE_MAX)
		return -VM_EINVAL;
	return 0;
}

/* --- tables --------------------------------------------------------------- */

static void widen(struct pci_window *window, uint64_t base, uint64_t size)
{
	uint64_t end = window->base + window->size;

	if (base + size > end)
		end = base + size;
	if (!window->size || base < window->base)
		window->base = base;
	window->size = end - window->base;
}

/* Windows above 4 GiB reach as far as firmware has put BARs there. */
static void note_bars(void *ctx, struct pci_device *pci)
{
	struct pci_layout *layout = ctx;

	for (unsigned int i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *bar = &pci->bar[i];

		if (bar->mapped && bar->kind != PCI_IO &&
		    bar->range.base >= LAYOUT_4G)
			widen(&layout->high, bar->range.base,
			      bar->range.size);
	}
}

static struct pci_layout layout_now(const struct rom *rom)
{
	struct board *board = rom->board;
	struct pci_layout layout = board->pci_layout;
	struct pci_host *host = &board->pci;
	uint64_t end = host->ecam + host->ecam_size;

	if (host->ecam_size)
		layout.ecam = (struct pci_window){ host->ecam,
						   host->ecam_size };
	/* The larger part of the hole that the ECAM leaves. */
	if (host->ecam_size && host->ecam < LAYOUT_IOAPIC) {
		uint64_t low = MEMORY_LOW_MAX;

		if (host->ecam - low > LAYOUT_IOAPIC - end)
			layout.low = (struct pci_window){ low,
							  host->ecam - low };
		else
			layout.low = (struct pci_window){
				end, LAYOUT_IOAPIC - end
			};
	}
	pci_host_each(host, note_bars, &layout);
	return layout;
}

static void build_acpi(struct rom *rom)
{
	const struct acpi_machine machine = {
		.cpus = rom->board->cpus,
		.hpet = hpet_id(&rom->board->hpet),
		.display = rom->board->display,
		.floppy = rom->board->floppy_type[0],
		.pci = layout_now(rom),
	};
	struct table_links links = { 0 };
	struct table tables, script;
	uint32_t xsdt;

	memset(rom->acpi, 0, sizeof(rom->acpi));
	memset(rom->loader, 0, sizeof(rom->loader));
	table_init(&tables, rom->acpi, sizeof(rom->acpi), 0);
	tables.links = &links;
	xsdt = acpi_build_tables(&tables, &machine);
	acpi_build_rsdp(rom->rsdp, xsdt);
	rom->rsdp[ACPI_RSDP_SUM_V1] = rom->rsdp[ACPI_RSDP_SUM] = 0;
	table_init(&script, rom->loader, sizeof(rom->loader), 0);
	table_loader_allocate(&script, FILE_ACPI, 64, TABLE_ZONE_HIGH);
	table_loader_links(&script, FILE_ACPI, &links);
	table_loader_allocate(&script, FILE_RSDP, 16, TABLE_ZONE_FSEG);
	table_loader_pointer(&script, FILE_RSDP, FILE_ACPI, ACPI_RSDP_XSDT, 8);
	table_loader_sum(&script, FILE_RSDP, ACPI_RSDP_SUM_V1, 0,
			 ACPI_RSDP_V1_SIZE);
	table_loader_sum(&script, FILE_RSDP, ACPI_RSDP_SUM, 0, ACPI_RSDP_SIZE);
	bug_on(tables.overflow || script.overflow);
}

/* fw_cfg's `selected`: firmware is about to read the script. */
static void item_selected(void *ctx, const struct fw_cfg_item *item)
{
	struct rom *rom = ctx;

	if (item->data == rom->loader || item->data == rom->acpi ||
	    item->data == rom->rsdp)
		build_acpi(rom);
}

static uint32_t build_smbios(struct rom *rom)
{
	const struct smbios_machine machine = board_smbios(rom->board);
	struct table anchor, tables;

	table_init(&anchor, rom->smbios_anchor, sizeof(rom->smbios_anchor), 0);
	table_init(&tables, rom->smbios, sizeof(rom->smbios), 0);
	bug_on(!smbios_build_structures(&tables, &machine));
	smbios_build_entry(&anchor, 0, tables.used);
	return tables.used;
}

/* RAM alone: firmware adds what it takes of it. */
static uint32_t build_e820(struct rom *rom)
{
	uint64_t memory = rom->board->memory;
	uint64_t low = memory < MEMORY_LOW_MAX ? memory : MEMORY_LOW_MAX;
	struct table map;

	table_init(&map, rom->e820, sizeof(rom->e820), 0);
	table_u64(&map, 0);
	table_u64(&map, low);
	table_u32(&map, E820_RAM);
	if (memory > low) {
		table_u64(&map, LAYOUT_4G);
		table_u64(&map, memory - low);
		table_u32(&map, E820_RAM);
	}
	return map.used;
}

/* --- fw_cfg ---------------------------------------------------------------- */

static void put_u16(uint8_t at[2], unsigned int value)
{
	at[0] = (uint8_t)value;
	at[1] = (uint8_t)(value >> 8);
}

static int add_numbers(struct rom *rom)
{
	const struct board *board = rom->board;
	struct fw_cfg *cfg = &rom->fw_cfg;
	int err = fw_cfg_add_number(cfg, FW_CFG_RAM_SIZE, board->memory, 8);

	if (!err)
		err = fw_cfg_add_number(cfg, FW_CFG_CPUS, board->cpus, 2);
	if (!err)
		err = fw_cfg_add_number(cfg, FW_CFG_CPUS_MAX, board->cpus, 2);
	if (!err)
		err = fw_cfg_add_number(cfg, FW_CFG_BOOT_MENU,
					rom->firmware->boot_menu, 2);
	return err;
}

static int add_files(struct rom *rom)
{
	const struct board_firmware *firmware = rom->firmware;
	struct fw_cfg *cfg = &rom->fw_cfg;
	uint32_t smbios = build_smbios(rom);
	int err = fw_cfg_add_file(cfg, "etc/e820", rom->e820, build_e820(rom));

	if (!err)
		err = fw_cfg_add_file(cfg, FILE_ACPI, rom->acpi,
				      sizeof(rom->acpi));
	if (!err)
		err = fw_cfg_add_file(cfg, FILE_RSDP, rom->rsdp,
				      sizeof(rom->rsdp));
	if (!err)
		err = fw_cfg_add_file(cfg, FILE_LOADER, rom->loader,
				      sizeof(rom->loader));
	if (!err)
		err = fw_cfg_add_file(cfg, FILE_ANCHOR, rom->smbios_anchor,
				      sizeof(rom->smbios_anchor));
	if (!err)
		err = fw_cfg_add_file(cfg, FILE_SMBIOS, rom->smbios, smbios);
	/* SeaBIOS writes its screen to this port as well. */
	put_u16(rom->serial, LAYOUT_COM1);
	if (!err && firmware->serial_console)
		err = fw_cfg_add_file(cfg, "etc/sercon-port", rom->serial, 2);
	put_u16(rom->menu_wait, MENU_KEY_WAIT_MS);
	if (!err && firmware->boot_menu)
		err = fw_cfg_add_file(cfg, "etc/boot-menu-wait",
				      rom->menu_wait, 2);
	if (!err && firmware->boot_order_size)
		err = fw_cfg_add_file(cfg, "bootorder", firmware->boot_order,
				      firmware->boot_order_size);
	return err;
}

/* --- the whole -------------------------------------------------------------- */

int rom_init(struct rom *rom, struct board *board)
{
	const struct board_firmware *firmware = board->firmware;
	uint64_t image = LAYOUT_4G - firmware->size;
	int err;

	rom->board = board;
	rom->firmware = firmware;
	err = fw_cfg_init(&rom->fw_cfg, &board->vm);
	rom->fw_cfg.selected = item_selected;
	rom->fw_cfg.selected_ctx = rom;
	if (!err)
		err = add_numbers(rom);
	if (!err)
		err = add_files(rom);
	if (!err && firmware->vars_size)
		err = flash_init(&rom->flash, &board->vm,
				 image - firmware->vars_size, firmware->vars,
				 firmware->vars_size);
	return err;
}

int rom_load(struct rom *rom)
{
	const struct board_firmware *firmware = rom->firmware;
	struct memory *mem = &rom->board->vm.memory;

	return memory_load(mem, gpa(LAYOUT_4G - firmware->size),
			   firmware->image, firmware->size);
}
