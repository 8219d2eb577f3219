/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI-X (PCI 3.0, 6.8.2): a BAR of its own with the table in its first half
 * and the pending bits in the second.
 *
 * Notifications come from any thread, so the table has a lock, which is the
 * innermost: messages are sent under it.
 */
#include "chip/pci_impl.h"
#include "vm/bytes.h"
#include "vm/error.h"

#define HALF_MIN 2048u

#define ENTRY_ADDRESS 0
#define ENTRY_DATA    8
#define ENTRY_CONTROL 12

static uint32_t half_size(unsigned int vectors)
{
	uint32_t half = HALF_MIN;

	while (half < vectors * MSIX_ENTRY)
		half *= 2;
	return half;
}

static uint32_t word(const struct pci_msix *msix, unsigned int at)
{
	uint32_t value;

	memcpy(&value, msix->table + at, sizeof(value));
	return value;
}

/* Held: the lock. Sends a pending vector unless something masks it. */
static void service(struct pci_msix *msix, unsigned int vector)
{
	unsigned int entry = vector * MSIX_ENTRY;
	uint64_t bit = (uint64_t)1 << (vector & 63);
	struct msi msi;

	if (!msix->enabled || msix->masked ||
	    !(msix->pending[vector / 64] & bit) ||
	    (word(msix, entry + ENTRY_CONTROL) & MSIX_MASKED))
		return;
	msix->pending[vector / 64] &= ~bit;
	if (!atomic_load(&msix->pci->master))
		return;
	msi.address = word(msix, entry + ENTRY_ADDRESS) |
		      (uint64_t)word(msix, entry + ENTRY_ADDRESS + 4) << 32;
	msi.data = word(msix, entry + ENTRY_DATA);
	msi_send(&msix->pci->vm->msi, &msi);
}

static void service_all(struct pci_msix *msix)
{
	for (unsigned int i = 0; i < msix->vectors; i++)
		service(msix, i);
}

void pci_msix_notify(struct pci_device *pci, unsigned int vector)
{
	struct pci_msix *msix = pci->msix;

	if (!msix || vector >= msix->vectors)
		return;
	host_lock(&msix->lock);
	if (msix->enabled) {
		msix->pending[vector / 64] |= (uint64_t)1 << (vector & 63);
		service(msix, vector);
	}
	host_unlock(&msix->lock);
}

bool pci_msix_enabled(const struct pci_device *pci)
{
	return pci->msix && (pci_get(pci, pci->msix->cap + MSIX_CONTROL, 2) &
			     MSIX_ENABLE);
}

void pci_msix_changed(struct pci_msix *msix)
{
	uint32_t control = pci_get(msix->pci, msix->cap + MSIX_CONTROL, 2);

	host_lock(&msix->lock);
	msix->enabled = control & MSIX_ENABLE;
	msix->masked = control & MSIX_MASK_ALL;
	service_all(msix);
	host_unlock(&msix->lock);
}

void pci_msix_reset(struct pci_msix *msix)
{
	host_lock(&msix->lock);
	memset(msix->table, 0, sizeof(msix->table));
	memset(msix->pending, 0, sizeof(msix->pending));
	for (unsigned int i = 0; i < msix->vectors; i++)
		msix->table[i * MSIX_ENTRY + ENTRY_CONTROL] = MSIX_MASKED;
	host_unlock(&msix->lock);
}

/* --- the BAR ----------------------------------------------------------------- */

static uint64_t read_bar(void *device, uint64_t offset, unsigned int size)
{
	struct pci_msix *msix = device;
	uint32_t half = half_size(msix->vectors);
	uint64_t value = 0;

	host_lock(&msix->lock);
	if (offset < msix->vectors * MSIX_ENTRY)
		memcpy(&value, msix->table + offset, size);
	else if (offset >= half && offset - half < sizeof(msix->pending))
		memcpy(&value, (uint8_t *)msix->pending + (offset - half),
		       size);
	host_unlock(&msix->lock);
	return value;
}

static void write_bar(void *device, uint64_t offset, unsigned int size,
		      uint64_t value)
{
	static const uint32_t writable[MSIX_ENTRY / 4] = {
		0xfffffffc, 0xffffffff, 0xffffffff, MSIX_MASKED
	};
	struct pci_msix *msix = device;
	uint32_t part = (uint32_t)value;

	if (offset >= msix->vectors * MSIX_ENTRY)
		return;
	host_lock(&msix->lock);
	part &= writable[offset / 4 % (MSIX_ENTRY / 4)];
	memcpy(msix->table + offset, &part, sizeof(part));
	service(msix, (unsigned int)(offset / MSIX_ENTRY));
	host_unlock(&msix->lock);
}

static const struct bus_ops bar_ops = {
	.read = read_bar,
	.write = write_bar,
	.min_size = 4,
	.max_size = 4,
	.exact = true,
};

int pci_msix_add(struct pci_device *pci, struct pci_msix *msix,
		 unsigned int vectors, unsigned int bar)
{
	uint32_t half = half_size(vectors);
	const struct pci_reg regs[] = {
		{ MSIX_CONTROL, 2, vectors - 1, MSIX_ENABLE | MSIX_MASK_ALL, 0,
		  0 },
		{ MSIX_TABLE, 4, bar, 0, 0, 0 },
		{ MSIX_PENDING, 4, half | bar, 0, 0, 0 },
	};

	bug_on(!vectors || vectors > PCI_MSIX_MAX);
	memset(msix, 0, sizeof(*msix));
	msix->pci = pci;
	msix->vectors = vectors;
	msix->cap = pci_cap_add(pci, PCI_CAP_MSIX, MSIX_CAP_SIZE, regs,
				sizeof(regs) / sizeof(regs[0]));
	pci->msix = msix;
	pci_msix_reset(msix);
	pci_bar_add(pci, bar, PCI_MEM32, 2 * half, &bar_ops, msix);
	return vm_add_device(pci->vm, &pci_msix_class, msix);
}

/* --- saved state --------------------------------------------------------------- */

/* Bits that a guest cannot write are zero, vectors beyond the last too. */
static int check(const void *object)
{
	const struct pci_msix *msix = object;

	for (unsigned int i = 0; i < PCI_MSIX_MAX; i++) {
		unsigned int entry = i * MSIX_ENTRY;
		bool pending = msix->pending[i / 64] >> (i & 63) & 1;

		if (i >= msix->vectors) {
			if (pending)
				return -VM_EBADMSG;
			continue;
		}
		if ((word(msix, entry) & 3) ||
		    (word(msix, entry + ENTRY_CONTROL) & ~MSIX_MASKED))
			return -VM_EBADMSG;
	}
	return 0;
}

static void loaded(void *object)
{
	pci_msix_changed(object);
}

static const struct field msix_fields[] = {
	FIELD_ARRAY(struct pci_msix, FIELD_U8, table,
		    PCI_MSIX_MAX * MSIX_ENTRY),
	FIELD_ARRAY(struct pci_msix, FIELD_U64, pending, PCI_MSIX_MAX / 64),
};

static const struct state_class msix_state = {
	.name = "pci-msix",
	.version = 1,
	.size = sizeof(struct pci_msix),
	.fields = msix_fields,
	.field_count = sizeof(msix_fields) / sizeof(msix_fields[0]),
	.check = check,
	.loaded = loaded,
};

const struct device_class pci_msix_class = {
	.name = "pci-msix",
	.state = &msix_state,
};
