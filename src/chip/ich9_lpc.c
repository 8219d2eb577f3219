/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ICH9 LPC bridge; see ich9_lpc.h. A PIRQ line is wired to its IOAPIC input,
 * 16 to 23, and besides to the ISA interrupt that its route register names
 * (13.1.17, 13.1.20).
 */
#include "chip/ich9_lpc.h"

#include "chip/acpi_pm.h"
#include "chip/pci_host.h"
#include "chip/pci_impl.h"
#include "vm/bytes.h"

#define ROUTE_OFF 0x80u
#define ROUTE_ISA 0x0fu

/* ISA interrupts that may be shared: not 0, 1, 2, 8 and 13. */
#define ISA_ROUTABLE 0xdef8u

#define ROUTE_REG(at_) { (at_), 1, ROUTE_OFF, ROUTE_OFF | ROUTE_ISA, 0, 0 }

static const struct pci_reg lpc_regs[] = {
	{ PCI_COMMAND, 2, 0x0007, 0x0140, 0, 0 }, /* decoding is always on */
	{ PCI_STATUS, 2, 0x0200, 0, PCI_STATUS_ERRORS, 0 },
	{ ICH9_PMBASE, 4, ACPI_PM_BASE | 1, 0xff80, 0, 0 },
	{ ICH9_ACPI_CNTL, 1, 0x80, 0x87, 0, 0 },
	{ 0x48, 4, 0x1, 0xff80, 0, 0 }, /* GPIOBASE */
	{ 0x4c, 1, 0, 0x11, 0, 0 },	/* GPIO control */
	ROUTE_REG(ICH9_PIRQ_A + 0),
	ROUTE_REG(ICH9_PIRQ_A + 1),
	ROUTE_REG(ICH9_PIRQ_A + 2),
	ROUTE_REG(ICH9_PIRQ_A + 3),
	{ 0x64, 1, 0x10, 0xfb, 0, 0 }, /* serial interrupts */
	ROUTE_REG(ICH9_PIRQ_E + 0),
	ROUTE_REG(ICH9_PIRQ_E + 1),
	ROUTE_REG(ICH9_PIRQ_E + 2),
	ROUTE_REG(ICH9_PIRQ_E + 3),
	{ 0x80, 2, 0x0010, 0x1377, 0, 0 }, /* where serial ports decode */
	{ 0x82, 2, 0x0003, 0x3f0f, 0, 0 }, /* which legacy ports decode */
	{ 0xa0, 2, 0, 0x1214, 0, 0 },	   /* power management 1 to 3 */
	{ 0xa2, 1, 0, 0x83, 0, 0 },
	{ 0xa4, 1, 0, 0xfb, 0, 0 },
	{ 0xdc, 1, 0, 0x03, 0, 0 }, /* BIOS control */
	{ ICH9_RCBA, 4, 0, 0xffffc001, 0, 0 },
};

static uint8_t route(const struct ich9_lpc *lpc, unsigned int pirq)
{
	unsigned int at = pirq < 4 ? ICH9_PIRQ_A + pirq
				   : ICH9_PIRQ_E + pirq - 4;

	return lpc->pci.config[at];
}

/* ISA lines that asserted PIRQs are routed to, a bit each. */
static uint16_t isa_wanted(const struct ich9_lpc *lpc)
{
	uint16_t wanted = 0;

	for (unsigned int i = 0; i < 8; i++)
		if ((lpc->pirq >> i & 1) && !(route(lpc, i) & ROUTE_OFF))
			wanted |= (uint16_t)(1u << (route(lpc, i) & ROUTE_ISA));
	return wanted & ISA_ROUTABLE;
}

static void set_line(struct ich9_lpc *lpc, unsigned int line, bool level)
{
	struct irq irq = lpc->lines;

	irq.line = line;
	irq_set(&irq, level);
}

static void update_isa(struct ich9_lpc *lpc)
{
	uint16_t wanted = isa_wanted(lpc);
	uint16_t changed = wanted ^ lpc->isa;

	lpc->isa = wanted;
	for (unsigned int i = 0; changed >> i; i++)
		if (changed >> i & 1)
			set_line(lpc, i, wanted >> i & 1);
}

void ich9_lpc_set_pirq(void *object, unsigned int line, bool level)
{
	struct ich9_lpc *lpc = object;

	if (level)
		lpc->pirq |= (uint8_t)(1u << line);
	else
		lpc->pirq &= (uint8_t)~(1u << line);
	set_line(lpc, ICH9_GSI_FIRST + line, level);
	update_isa(lpc);
}

static void config_written(struct pci_device *pci, unsigned int at,
			   unsigned int size)
{
	if (pci_overlaps(at, size, ICH9_PIRQ_A, ICH9_PIRQ_E + 4))
		update_isa(pci->owner);
}

static void routes_changed(struct pci_device *pci)
{
	update_isa(pci->owner);
}

static const struct pci_ops lpc_ops = {
	.config_written = config_written,
	.reset = routes_changed,
	.loaded = routes_changed,
};

static const struct pci_ident lpc_ident = {
	.name = "LPC bridge",
	.vendor = 0x8086,
	.device = 0x2918,
	.class = 0x060100,
	.revision = 2,
	.subvendor = 0x1af4,
	.subdevice = 0x1100,
	.multifunction = true,
};

int ich9_lpc_init(struct ich9_lpc *lpc, struct pci_host *host,
		  const struct irq *lines)
{
	int err;

	memset(lpc, 0, sizeof(*lpc));
	lpc->lines = *lines;
	err = pci_device_init(&lpc->pci, host->vm, &lpc_ident, &lpc_ops, lpc);
	if (err)
		return err;
	pci_regs_add(&lpc->pci, 0, lpc_regs,
		     sizeof(lpc_regs) / sizeof(lpc_regs[0]));
	return pci_attach(&host->root, &lpc->pci, PCI_DEVFN(31, 0));
}
