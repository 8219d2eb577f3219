/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The display adapter's PCI side; see vga_pci.h. BAR 0 is display memory,
 * BAR 2 the registers (legacy ports at 0x400, the Bochs interface at 0x500,
 * byte order of the frame buffer at 0x600), the ROM BAR a VGA BIOS.
 */
#include "device/vga_pci.h"

#include "vm/bytes.h"
#include "vm/error.h"

#define MEMORY_BAR    0
#define REGISTERS_BAR 2
#define REGISTERS_SIZE 0x1000u

#define REG_PORTS      0x400u /* 0x3c0 to 0x3df */
#define REG_PORTS_END  0x420u
#define REG_DISPI      0x500u
#define REG_DISPI_END  (REG_DISPI + 2 * DISPI_COUNT)
#define REG_EXTENSION  0x600u /* size of this block, then byte order */
#define EXTENSION_SIZE 8u
#define LITTLE_ENDIAN_MEMORY 0x1e1e1e1eu
#define FIRST_PORT     0x3c0u

static uint64_t memory_read_bar(void *device, uint64_t offset,
				unsigned int size)
{
	const struct vga *vga = device;
	uint64_t value = 0;

	memcpy(&value, vga->memory + offset, size);
	return value;
}

static void memory_write_bar(void *device, uint64_t offset, unsigned int size,
			     uint64_t value)
{
	struct vga *vga = device;

	memcpy(vga->memory + offset, &value, size);
	vga_note(vga, (uint32_t)offset, size);
	vga->fonts = true;
}

static uint64_t registers_read(void *device, uint64_t offset,
			       unsigned int size)
{
	struct vga *vga = device;
	unsigned int at = (unsigned int)offset;
	uint64_t value;

	if (at >= REG_PORTS && at < REG_PORTS_END) {
		value = vga_port_read(vga, at - REG_PORTS + FIRST_PORT);
		if (size == 2 && at + 1 < REG_PORTS_END)
			value |= (uint64_t)vga_port_read(vga, at + 1 -
							 REG_PORTS +
							 FIRST_PORT)
				 << 8;
		return value;
	}
	if (at >= REG_DISPI && at < REG_DISPI_END && size == 2)
		return vga_dispi_read(vga, (at - REG_DISPI) / 2);
	if (at == REG_EXTENSION)
		return EXTENSION_SIZE;
	if (at == REG_EXTENSION + 4)
		return LITTLE_ENDIAN_MEMORY;
	return 0;
}

static void registers_write(void *device, uint64_t offset, unsigned int size,
			    uint64_t value)
{
	struct vga *vga = device;
	unsigned int at = (unsigned int)offset;

	if (at >= REG_PORTS && at < REG_PORTS_END) {
		vga_port_write(vga, at - REG_PORTS + FIRST_PORT,
			       (uint8_t)value);
		if (size == 2 && at + 1 < REG_PORTS_END)
			vga_port_write(vga, at + 1 - REG_PORTS + FIRST_PORT,
				       (uint8_t)(value >> 8));
	} else if (at >= REG_DISPI && at < REG_DISPI_END && size == 2) {
		vga_dispi_write(vga, (at - REG_DISPI) / 2, (uint16_t)value);
	}
}

static uint64_t rom_read(void *device, uint64_t offset, unsigned int size)
{
	const struct vga_pci *card = device;
	uint64_t value = 0;

	for (unsigned int i = 0; i < size; i++)
		if (offset + i < card->rom_size)
			value |= (uint64_t)card->rom[offset + i] << (8 * i);
	return value;
}

static const struct bus_ops memory_ops = {
	.read = memory_read_bar,
	.write = memory_write_bar,
	.max_size = 8,
};

static const struct bus_ops registers_ops = {
	.read = registers_read,
	.write = registers_write,
	.max_size = 4,
};

static const struct bus_ops rom_ops = {
	.read = rom_read,
	.max_size = 8,
};

static const struct pci_ops vga_pci_ops = { 0 };

static uint32_t power_of_two(uint32_t size)
{
	uint32_t n = 0x1000;

	while (n < size)
		n *= 2;
	return n;
}

int vga_pci_init(struct vga_pci *card, struct vm *vm, struct pci_bus *bus,
		 unsigned int devfn, const uint8_t *rom, uint32_t rom_size)
{
	static const struct pci_ident ident = {
		.name = "vga",
		.vendor = VGA_PCI_VENDOR,
		.device = VGA_PCI_DEVICE,
		.class = 0x030000,
		.revision = 2,
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
	};
	int err;

	if (rom && (!rom_size || rom_size > VGA_ROM_MAX))
		return -VM_EINVAL;
	card->rom = rom;
	card->rom_size = rom_size;
	err = vga_init(&card->vga, vm);
	if (!err)
		err = pci_device_init(&card->pci, vm, &ident, &vga_pci_ops,
				      card);
	if (err)
		return err;
	pci_bar_add(&card->pci, MEMORY_BAR, PCI_MEM32, VGA_MEMORY_SIZE,
		    &memory_ops, &card->vga);
	err = pci_bar_show(&card->pci, MEMORY_BAR, card->vga.memory);
	if (err)
		return err;
	pci_bar_add(&card->pci, REGISTERS_BAR, PCI_MEM32, REGISTERS_SIZE,
		    &registers_ops, &card->vga);
	if (rom)
		pci_bar_add(&card->pci, PCI_BAR_ROM, PCI_MEM32,
			    power_of_two(rom_size), &rom_ops, card);
	return pci_attach(bus, &card->pci, devfn);
}
