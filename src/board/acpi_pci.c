/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI in the ACPI tables: the host bridge with its windows (_CRS), interrupt
 * routes (_PRT, ACPI 6.4 6.2.13) and the hand-over of PCI Express features
 * (_OSC, PCI Firmware 3.2, 4.5); the motherboard's own resources; MCFG (PCI
 * Firmware 4.1.2). Routes are those of chip/pci_irq.c to IOAPIC inputs, or,
 * for a system that has said by _PIC (5.8.1) that it uses the 8259A pair, to
 * the ISA interrupts that firmware sets.
 */
#include "board/acpi.h"
#include "board/aml.h"
#include "board/layout.h"
#include "chip/ich9_lpc.h"
#include "chip/pci_host.h"

/* Error bits of the first word that _OSC gives back. */
#define OSC_UNKNOWN_UUID     0x04
#define OSC_UNKNOWN_REVISION 0x08
#define OSC_MASKED	     0x10

/* What a system may control: hot-plug, power events, the capability. */
#define OSC_GRANTED 0x15

/* 33DB4D5B-1FF7-401C-9657-7441C03DD766: a PCI host bridge's _OSC. */
static const uint8_t osc_uuid[16] = {
	0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40,
	0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66,
};

static void windows(struct aml *aml, const struct pci_layout *pci)
{
	uint8_t bytes[256];
	struct table out;

	table_init(&out, bytes, sizeof(bytes), 0);
	aml_resource_window(&out, AML_BUS, 2, 0, 0x100);
	aml_resource_ports(&out, 0xcf8, 8);
	aml_resource_window(&out, AML_IO, 2, 0, 0xcf8);
	aml_resource_window(&out, AML_IO, 2, 0xd00, 0xf300);
	aml_resource_window(&out, AML_MEMORY, 4, LAYOUT_LOW_END,
			    LAYOUT_ROM - LAYOUT_LOW_END);
	aml_resource_window(&out, AML_MEMORY, 4, pci->low.base, pci->low.size);
	if (pci->high.size)
		aml_resource_window(&out, AML_MEMORY, 8, pci->high.base,
				    pci->high.size);
	aml_resource_end(&out);
	aml_name_begin(aml, "_CRS");
	aml_buffer(aml, bytes, out.used);
}

static void route(struct aml *aml, unsigned int device, unsigned int pin,
		  bool ioapic)
{
	unsigned int pirq = pci_root_pirq(device, pin);

	aml_package_begin(aml, 4);
	aml_integer(aml, device << 16 | 0xffff);
	aml_integer(aml, pin);
	aml_integer(aml, 0); /* no link device */
	aml_integer(aml, ioapic ? ICH9_GSI_FIRST + pirq
				: pci_layout_isa(pirq));
	aml_end(aml);
}

static void routes(struct aml *aml, const char *name, bool ioapic)
{
	aml_name_begin(aml, name);
	aml_package_begin(aml, 31 * 4);
	for (unsigned int device = 1; device < 32; device++)
		for (unsigned int pin = 0; pin < 4; pin++)
			route(aml, device, pin, ioapic);
	aml_end(aml);
}

static void choose_routes(struct aml *aml)
{
	routes(aml, "PRTP", false);
	routes(aml, "PRTA", true);
	aml_method_begin(aml, "_PRT", 0);
	aml_if_begin(aml);
	aml_reference(aml, "PICF");
	aml_op(aml, AML_RETURN);
	aml_reference(aml, "PRTA");
	aml_end(aml);
	aml_op(aml, AML_RETURN);
	aml_reference(aml, "PRTP");
	aml_end(aml);
}

/* A system tells which interrupt controllers it uses: 1 for APICs. */
static void pic_method(struct aml *aml)
{
	aml_name_integer(aml, "\\PICF", 0);
	aml_method_begin(aml, "\\_PIC", 1);
	aml_op(aml, AML_STORE);
	aml_op(aml, AML_ARG0);
	aml_reference(aml, "PICF");
	aml_end(aml);
}

/* Or (CDW1, bits, CDW1) */
static void osc_error(struct aml *aml, unsigned int bits)
{
	aml_op(aml, AML_OR);
	aml_reference(aml, "CDW1");
	aml_integer(aml, bits);
	aml_reference(aml, "CDW1");
}

static void field(struct aml *aml, unsigned int offset, const char *name)
{
	aml_op(aml, AML_DWORD_FIELD);
	aml_op(aml, AML_ARG0 + 3);
	aml_integer(aml, offset);
	aml_reference(aml, name);
}

/* If (LNot (LEqual (a, b))) { error } */
static void osc_control(struct aml *aml)
{
	field(aml, 8, "CDW3");
	aml_if_begin(aml);
	aml_op(aml, AML_NOT);
	aml_op(aml, AML_EQUAL);
	aml_op(aml, AML_ARG0 + 1);
	aml_integer(aml, 1);
	osc_error(aml, OSC_UNKNOWN_REVISION);
	aml_end(aml);
	aml_op(aml, AML_AND);
	aml_reference(aml, "CDW3");
	aml_integer(aml, OSC_GRANTED);
	aml_op(aml, AML_LOCAL0);
	aml_if_begin(aml);
	aml_op(aml, AML_NOT);
	aml_op(aml, AML_EQUAL);
	aml_reference(aml, "CDW3");
	aml_op(aml, AML_LOCAL0);
	osc_error(aml, OSC_MASKED);
	aml_end(aml);
	aml_op(aml, AML_STORE);
	aml_op(aml, AML_LOCAL0);
	aml_reference(aml, "CDW3");
}

static void osc(struct aml *aml)
{
	aml_method_begin(aml, "_OSC", 4);
	field(aml, 0, "CDW1");
	aml_if_begin(aml);
	aml_op(aml, AML_EQUAL);
	aml_op(aml, AML_ARG0);
	aml_buffer(aml, osc_uuid, sizeof(osc_uuid));
	osc_control(aml);
	aml_end(aml);
	aml_else_begin(aml);
	osc_error(aml, OSC_UNKNOWN_UUID);
	aml_end(aml);
	aml_op(aml, AML_RETURN);
	aml_op(aml, AML_ARG0 + 3);
	aml_end(aml);
}

/* What is no device's: a system must not give it to one. */
static void motherboard(struct aml *aml, const struct pci_layout *pci)
{
	uint8_t bytes[32];
	struct table out;

	table_init(&out, bytes, sizeof(bytes), 0);
	aml_resource_memory(&out, (uint32_t)pci->ecam.base,
			    (uint32_t)pci->ecam.size);
	aml_resource_end(&out);
	aml_device_begin(aml, "MBRD");
	aml_name_eisa_id(aml, "_HID", "PNP0C02");
	aml_name_integer(aml, "_UID", 0);
	aml_name_begin(aml, "_CRS");
	aml_buffer(aml, bytes, out.used);
	aml_end(aml);
}

void acpi_pci_devices(struct aml *aml, const struct pci_layout *pci)
{
	pic_method(aml);
	motherboard(aml, pci);
	aml_device_begin(aml, "PCI0");
	aml_name_eisa_id(aml, "_HID", "PNP0A08"); /* PCI Express */
	aml_name_eisa_id(aml, "_CID", "PNP0A03");
	aml_name_integer(aml, "_UID", 0);
	aml_name_integer(aml, "_SEG", 0);
	aml_name_integer(aml, "_BBN", 0);
	windows(aml, pci);
	choose_routes(aml);
	osc(aml);
	aml_end(aml);
}

uint32_t acpi_build_mcfg(struct table *out, const struct pci_layout *pci)
{
	uint32_t start = acpi_table_begin(out, "MCFG", 1);

	table_zero(out, 8);
	table_u64(out, pci->ecam.base);
	table_u16(out, 0); /* segment */
	table_u8(out, 0);  /* first and last bus */
	table_u8(out, (uint8_t)((pci->ecam.size >> 20) - 1));
	table_u32(out, 0);
	acpi_table_end(out, start);
	return start;
}
