/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI 6.4: RSDP 5.2.5, table header 5.2.6, XSDT 5.2.8, FADT 5.2.9, FACS
 * 5.2.10, DSDT 5.2.11.1, MADT 5.2.12. The machine is a PC with the fixed
 * hardware of chapter 4, always in ACPI mode (no SMI command port).
 * PCI's part is in acpi_pci.c. Left out: sleep states other than S5, HPET,
 * thermal zones.
 */
#include "board/acpi.h"

#include "board/aml.h"
#include "board/layout.h"
#include "chip/acpi_pm.h"
#include "chip/hpet.h"
#include "chip/i8042.h"
#include "chip/irqchip.h"
#include "chip/reset.h"
#include "chip/rtc.h"
#include "vm/bytes.h"

#define HEADER_SIZE	36
#define HEADER_LENGTH	4 /* offsets in the header */
#define HEADER_CHECKSUM 9

/* FADT flags (table 5.10) */
#define FADT_WBINVD	 (1u << 0)
#define FADT_PROC_C1	 (1u << 2)
#define FADT_SLP_BUTTON	 (1u << 5) /* set: not a fixed event */
#define FADT_FIX_RTC	 (1u << 6) /* set: the alarm wakes nothing */
#define FADT_TMR_VAL_EXT (1u << 8) /* the PM timer has 32 bits */
#define FADT_RESET_REG	 (1u << 10)

/* FADT boot architecture flags (table 5.11) */
#define BOOT_LEGACY_DEVICES (1u << 0)
#define BOOT_I8042	    (1u << 1)
#define BOOT_NO_VGA	    (1u << 2)

/* MADT (tables 5.21 to 5.26) */
#define MADT_PCAT_COMPAT 1u
#define MADT_LAPIC	 0
#define MADT_IOAPIC	 1
#define MADT_OVERRIDE	 2
#define MADT_LAPIC_NMI	 4
#define MPS_CONFORMS	 0x0u
#define MPS_HIGH_LEVEL	 0xdu /* active high, level-triggered */

uint32_t acpi_table_begin(struct table *out, const char *signature,
			  uint8_t revision)
{
	uint32_t start;

	table_align(out, 16);
	start = out->used;
	table_text(out, signature, 4, ' ');
	table_u32(out, 0);
	table_u8(out, revision);
	table_u8(out, 0);
	table_text(out, "LODGE", 6, ' ');
	table_text(out, "LODGEPC", 8, ' ');
	table_u32(out, 1);
	table_text(out, "LODG", 4, ' ');
	table_u32(out, 1);
	return start;
}

void acpi_table_end(struct table *out, uint32_t start)
{
	uint32_t length = out->used - start;

	table_put_u32(out, start + HEADER_LENGTH, length);
	table_sum(out, start + HEADER_CHECKSUM, start, length);
}

/* Three hexadecimal digits behind 'C': the name of a processor device. */
static void processor_name(char name[5], unsigned int id)
{
	static const char digits[] = "0123456789ABCDEF";

	name[0] = 'C';
	for (unsigned int i = 1; i < 4; i++)
		name[i] = digits[id >> (12 - 4 * i) & 0xf];
	name[4] = 0;
}

static void legacy_device(struct aml *aml, const char *name, const char *id,
			  unsigned int unit, const struct aml_resources *res)
{
	aml_device_begin(aml, name);
	aml_name_eisa_id(aml, "_HID", id);
	aml_name_integer(aml, "_UID", unit);
	aml_name_integer(aml, "_STA", 0xf);
	aml_name_resources(aml, res);
	aml_end(aml);
}

static const struct {
	const char *name, *id;
	unsigned int unit;
	struct aml_resources res;
	enum { ALWAYS, WITH_DISPLAY, WITH_FLOPPY } when;
} legacy_devices[] = {
	{ "RTC", "PNP0B00", 0, { 0x70, 2, IRQ_RTC, 0, 0 }, ALWAYS },
	{ "COM1", "PNP0501", 1, { LAYOUT_COM1, 8, IRQ_COM1, 0, 0 }, ALWAYS },
	{ "COM2", "PNP0501", 2, { LAYOUT_COM2, 8, LAYOUT_IRQ_COM2, 0, 0 },
	  ALWAYS },
	{ "KBD", "PNP0303", 0,
	  { I8042_DATA_PORT, 1, I8042_IRQ_KEYBOARD, I8042_COMMAND_PORT, 0 },
	  WITH_DISPLAY },
	{ "MOU", "PNP0F13", 0, { .irq = I8042_IRQ_MOUSE }, WITH_DISPLAY },
	{ "FDC0", "PNP0700", 0,
	  { 0x3f0, 6, LAYOUT_IRQ_FDC, 0x3f7, 1 << LAYOUT_DMA_FDC },
	  WITH_FLOPPY },
};

static bool is_there(const struct acpi_machine *machine, unsigned int i)
{
	switch (legacy_devices[i].when) {
	case WITH_DISPLAY:
		return machine->display;
	case WITH_FLOPPY:
		return machine->floppy;
	default:
		return true;
	}
}

static uint32_t build_dsdt(struct table *out,
			   const struct acpi_machine *machine)
{
	/* SLP_TYPa, SLP_TYPb, reserved (7.4.2) */
	static const uint64_t s5[4] = { ACPI_PM_S5_TYPE };
	uint32_t start = acpi_table_begin(out, "DSDT", 2);
	struct aml aml;
	char name[5];

	aml_init(&aml, out);
	aml_scope_begin(&aml, "\\_SB");
	for (unsigned int i = 0; i < machine->cpus; i++) {
		processor_name(name, i);
		aml_device_begin(&aml, name);
		aml_name_string(&aml, "_HID", "ACPI0007");
		aml_name_integer(&aml, "_UID", i);
		aml_end(&aml);
	}
	for (unsigned int i = 0;
	     i < sizeof(legacy_devices) / sizeof(legacy_devices[0]); i++)
		if (is_there(machine, i))
			legacy_device(&aml, legacy_devices[i].name,
				      legacy_devices[i].id,
				      legacy_devices[i].unit,
				      &legacy_devices[i].res);
	acpi_pci_devices(&aml, &machine->pci);
	aml_end(&aml);
	aml_name_package(&aml, "\\_S5", s5, 4);
	acpi_table_end(out, start);
	return start;
}

static uint32_t build_madt(struct table *out, unsigned int cpus)
{
	static const struct {
		uint8_t source, gsi;
		uint16_t flags;
	} overrides[] = {
		{ IRQ_PIT, IRQ_PIT_GSI, MPS_CONFORMS },
		{ IRQ_SCI, IRQ_SCI, MPS_HIGH_LEVEL },
	};
	uint32_t start = acpi_table_begin(out, "APIC", 5);

	table_u32(out, LAYOUT_LAPIC);
	table_u32(out, MADT_PCAT_COMPAT);
	for (unsigned int i = 0; i < cpus; i++) {
		table_u8(out, MADT_LAPIC);
		table_u8(out, 8);
		table_u8(out, (uint8_t)i); /* processor's _UID */
		table_u8(out, (uint8_t)i); /* APIC id */
		table_u32(out, 1);	   /* enabled */
	}
	table_u8(out, MADT_IOAPIC);
	table_u8(out, 12);
	table_u8(out, 0); /* id */
	table_u8(out, 0);
	table_u32(out, LAYOUT_IOAPIC);
	table_u32(out, 0); /* first interrupt */
	for (unsigned int i = 0; i < 2; i++) {
		table_u8(out, MADT_OVERRIDE);
		table_u8(out, 10);
		table_u8(out, 0); /* ISA */
		table_u8(out, overrides[i].source);
		table_u32(out, overrides[i].gsi);
		table_u16(out, overrides[i].flags);
	}
	table_u8(out, MADT_LAPIC_NMI);
	table_u8(out, 6);
	table_u8(out, 0xff); /* all processors */
	table_u16(out, MPS_CONFORMS);
	table_u8(out, 1); /* LINT1 */
	acpi_table_end(out, start);
	return start;
}

/* HPET description table (IA-PC HPET specification, 3.2.4). */
static uint32_t build_hpet(struct table *out, uint32_t id)
{
	uint32_t start = acpi_table_begin(out, "HPET", 1);

	table_u32(out, id);
	table_u8(out, 0); /* in memory, 64 bits */
	table_u8(out, 64);
	table_zero(out, 2);
	table_u64(out, HPET_BASE);
	table_u8(out, 0);   /* number */
	table_u16(out, 100); /* shortest period in ticks */
	table_u8(out, 0);   /* no page protection */
	acpi_table_end(out, start);
	return start;
}

/* Generic address (5.2.3.2) of an I/O port; length 0: none. */
static void io_address(struct table *out, uint16_t port, uint8_t length)
{
	table_u8(out, length ? 1 : 0);	      /* system I/O */
	table_u8(out, (uint8_t)(8 * length)); /* bits */
	table_u8(out, 0);
	/* access size: byte, word, dword; the GPE block goes by bytes */
	table_u8(out, length == 4 ? 3 : length > 4 ? 1 : length);
	table_u64(out, port);
}

/* The fields of revision 1, with 32-bit addresses. */
static void fadt_ports(struct table *out)
{
	table_u32(out, ACPI_PM_PM1_EVT);
	table_u32(out, 0);
	table_u32(out, ACPI_PM_PM1_CNT);
	table_u32(out, 0);
	table_u32(out, 0); /* PM2 control */
	table_u32(out, ACPI_PM_TIMER);
	table_u32(out, ACPI_PM_GPE0);
	table_u32(out, 0);
	table_u8(out, 4); /* lengths: PM1 event, PM1 control, PM2, timer */
	table_u8(out, 2);
	table_u8(out, 0);
	table_u8(out, 4);
	table_u8(out, ACPI_PM_GPE0_LEN);
	table_zero(out, 3);	/* GPE1, its base, _CST */
	table_u16(out, 0x0fff); /* C2 and C3 latencies: too high, no C2, C3 */
	table_u16(out, 0x0fff);
	table_zero(out, 6); /* flush size and stride, duty */
	table_u8(out, 0);   /* CMOS indices: day, month of the alarm: none */
	table_u8(out, 0);
	table_u8(out, RTC_CENTURY);
}

/* How to enter ACPI mode: firmware may have left it, a bare machine is in it. */
static void fadt_smi(struct table *out, bool firmware)
{
	table_u32(out, firmware ? ACPI_PM_SMI_CMD : 0);
	table_u8(out, firmware ? ACPI_PM_ENABLE : 0);
	table_u8(out, firmware ? ACPI_PM_DISABLE : 0);
	table_zero(out, 2); /* no S4 by firmware, no performance states */
}

static uint32_t build_fadt(struct table *out,
			   const struct acpi_machine *machine, uint32_t dsdt)
{
	uint32_t start = acpi_table_begin(out, "FACP", 6);

	if (machine->facs)
		table_u32(out, (uint32_t)machine->facs);
	else
		table_pointer(out, 4, 0);
	table_pointer(out, 4, dsdt);
	table_zero(out, 2); /* reserved, power profile unspecified */
	table_u16(out, IRQ_SCI);
	fadt_smi(out, !machine->facs);
	fadt_ports(out);
	table_u16(out, BOOT_LEGACY_DEVICES |
			       (machine->display ? BOOT_I8042 : BOOT_NO_VGA));
	table_u8(out, 0);
	table_u32(out, FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON |
			       FADT_FIX_RTC | FADT_TMR_VAL_EXT |
			       FADT_RESET_REG);
	io_address(out, RESET_CONTROL_PORT, 1);
	table_u8(out, RESET_CONTROL_VALUE);
	table_u16(out, 0); /* ARM */
	table_u8(out, 4);  /* minor version */
	/* ACPI 6.4: of the two FACS addresses only one may be non-zero. */
	table_u64(out, 0);
	table_pointer(out, 8, dsdt);
	io_address(out, ACPI_PM_PM1_EVT, 4);
	io_address(out, 0, 0);
	io_address(out, ACPI_PM_PM1_CNT, 2);
	io_address(out, 0, 0);
	io_address(out, 0, 0);
	io_address(out, ACPI_PM_TIMER, 4);
	io_address(out, ACPI_PM_GPE0, ACPI_PM_GPE0_LEN);
	for (unsigned int i = 0; i < 3; i++) /* GPE1, sleep registers */
		io_address(out, 0, 0);
	table_text(out, "LODGE", 8, 0); /* hypervisor vendor */
	acpi_table_end(out, start);
	return start;
}

void acpi_build_rsdp(uint8_t rsdp[ACPI_RSDP_SIZE], uint64_t xsdt)
{
	struct table out;

	table_init(&out, rsdp, ACPI_RSDP_SIZE, 0);
	table_text(&out, "RSD PTR ", 8, ' ');
	table_u8(&out, 0);
	table_text(&out, "LODGE", 6, ' ');
	table_u8(&out, 2);
	table_u32(&out, 0); /* no RSDT */
	table_u32(&out, ACPI_RSDP_SIZE);
	table_u64(&out, xsdt);
	table_u32(&out, 0);
	table_sum(&out, ACPI_RSDP_SUM_V1, 0, ACPI_RSDP_V1_SIZE);
	table_sum(&out, ACPI_RSDP_SUM, 0, ACPI_RSDP_SIZE);
}

static void put_facs(struct table *out)
{
	table_text(out, "FACS", 4, ' ');
	table_u32(out, ACPI_FACS_SIZE);
	table_zero(out, 24); /* signature, vectors, lock, flags */
	table_u8(out, 2);    /* version */
	table_zero(out, ACPI_FACS_SIZE - 33);
}

uint32_t acpi_build_tables(struct table *out,
			   const struct acpi_machine *machine)
{
	uint32_t dsdt, table[4], xsdt;

	if (!machine->facs)
		put_facs(out);
	dsdt = build_dsdt(out, machine);
	table[0] = build_fadt(out, machine, dsdt);
	table[1] = build_madt(out, machine->cpus);
	table[2] = acpi_build_mcfg(out, &machine->pci);
	table[3] = build_hpet(out, machine->hpet);
	xsdt = acpi_table_begin(out, "XSDT", 1);
	for (unsigned int i = 0; i < 4; i++)
		table_pointer(out, 8, table[i]);
	acpi_table_end(out, xsdt);
	return xsdt;
}

bool acpi_build(struct table *out, const struct acpi_machine *machine)
{
	uint32_t rsdp = out->used, xsdt;

	table_zero(out, ACPI_RSDP_SIZE);
	xsdt = acpi_build_tables(out, machine);
	if (!out->overflow)
		acpi_build_rsdp(out->data + rsdp, out->base + xsdt);
	return !out->overflow;
}

void acpi_build_facs(uint8_t facs[ACPI_FACS_SIZE])
{
	struct table out;

	table_init(&out, facs, ACPI_FACS_SIZE, 0);
	put_facs(&out);
}
