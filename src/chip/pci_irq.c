/* SPDX-License-Identifier: Apache-2.0 */
/*
 * INTx pins and MSI (PCI 3.0, 2.2.6 and 6.8.1). A pin travels to the root as
 * PCI-to-PCI Bridge 1.2, 9.1 says; which of the eight PIRQ lines it ends at is
 * the ICH9's (datasheet 5.10 and the power-on values of its D25IR to D31IR):
 * devices 25 to 31 of bus 0 have INTA to INTD at PIRQA to PIRQD, the others
 * share PIRQE to PIRQH in turn.
 */
#include "chip/pci_host.h"
#include "chip/pci_impl.h"

unsigned int pci_root_pirq(unsigned int device, unsigned int pin)
{
	return device >= 25 ? pin : 4 + ((device + pin) & 3);
}

unsigned int pci_pirq(const struct pci_device *pci)
{
	unsigned int pin = pci->pin - 1u;

	for (; pci->bus->bridge; pci = pci->bus->bridge)
		pin = (pin + (pci->devfn >> 3)) & 3;
	return pci_root_pirq(pci->devfn >> 3, pin);
}

/* Drives the pin at the root; `driven` is what the lines know of it. */
static void drive(struct pci_device *pci, bool level)
{
	struct pci_host *host = pci->bus->host;
	unsigned int line = pci_pirq(pci);
	struct irq irq = host->pirq;

	if (level == pci->driven)
		return;
	pci->driven = level;
	host->pirq_count[line] =
		(uint16_t)(host->pirq_count[line] + (level ? 1 : -1));
	irq.line = line;
	/* Only the first one up and the last one down change the line. */
	if (host->pirq_count[line] == (level ? 1 : 0))
		irq_set(&irq, level);
}

void pci_irq_update(struct pci_device *pci)
{
	bool off = pci_get(pci, PCI_COMMAND, 2) & PCI_COMMAND_NO_INTX;

	pci->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTX;
	if (pci->intx)
		pci->config[PCI_STATUS] |= PCI_STATUS_INTX;
	if (pci->bus && pci->pin)
		drive(pci, pci->intx && !off);
}

void pci_irq_release(struct pci_device *pci)
{
	if (pci->bus && pci->pin)
		drive(pci, false);
}

void pci_irq_set(struct pci_device *pci, bool level)
{
	if (pci->intx == level)
		return;
	pci->intx = level;
	pci_irq_update(pci);
}

/* --- MSI -------------------------------------------------------------------- */

void pci_msi_add(struct pci_device *pci, unsigned int vectors)
{
	unsigned int log = (unsigned int)__builtin_ctz(vectors);
	uint32_t all = vectors < 32 ? (1u << vectors) - 1 : UINT32_MAX;
	const struct pci_reg regs[] = {
		{ MSI_CONTROL, 2, MSI_CAN_64 | MSI_CAN_MASK | log << 1, 0x71, 0,
		  0 },
		{ MSI_ADDRESS, 4, 0, 0xfffffffc, 0, 0 },
		{ MSI_ADDRESS + 4, 4, 0, 0xffffffff, 0, 0 },
		{ MSI_DATA, 2, 0, 0xffff, 0, 0 },
		{ MSI_MASK, 4, 0, all, 0, 0 },
		{ MSI_PENDING, 4, 0, 0, 0, all },
	};

	bug_on(!vectors || vectors > 32 || (vectors & (vectors - 1)));
	pci->msi = (uint8_t)pci_cap_add(pci, PCI_CAP_MSI, MSI_SIZE, regs,
					sizeof(regs) / sizeof(regs[0]));
}

bool pci_msi_enabled(const struct pci_device *pci)
{
	return pci->msi &&
	       (pci_get(pci, pci->msi + MSI_CONTROL, 2) & MSI_ENABLE);
}

static void msi_send_vector(struct pci_device *pci, unsigned int vector)
{
	unsigned int cap = pci->msi;
	uint32_t control = pci_get(pci, cap + MSI_CONTROL, 2);
	/* The driver may have taken fewer than there are (6.8.1.3). */
	unsigned int have = control >> 1 & 7, took = control >> 4 & 7;
	uint32_t low = (1u << (took < have ? took : have)) - 1;
	const struct msi msi = {
		.address = pci_get(pci, cap + MSI_ADDRESS, 4) |
			   (uint64_t)pci_get(pci, cap + MSI_ADDRESS + 4, 4)
				   << 32,
		.data = (pci_get(pci, cap + MSI_DATA, 2) & ~low) |
			(vector & low),
	};

	if (atomic_load(&pci->master))
		msi_send(&pci->vm->msi, &msi);
}

/* Sends what is pending and no longer masked. */
void pci_msi_changed(struct pci_device *pci)
{
	uint32_t mask = pci_get(pci, pci->msi + MSI_MASK, 4);
	uint32_t ready = pci->msi_pending & ~mask;

	if (!pci_msi_enabled(pci))
		ready = 0;
	pci->msi_pending &= ~ready;
	pci_set(pci, pci->msi + MSI_PENDING, 4, pci->msi_pending);
	for (unsigned int i = 0; ready >> i; i++)
		if (ready >> i & 1)
			msi_send_vector(pci, i);
}

void pci_msi_notify(struct pci_device *pci, unsigned int vector)
{
	if (!pci_msi_enabled(pci) || vector > 31)
		return;
	pci->msi_pending |= 1u << vector;
	pci_msi_changed(pci);
}
