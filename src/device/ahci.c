/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SATA controller of ICH9 in AHCI mode (AHCI 1.3.1; ICH9 datasheet, 14): the
 * controller's own registers, its PCI function, interrupts, saved state. Left
 * out: legacy IDE mode, the index and data ports of BAR 4, port multipliers,
 * command completion coalescing, enclosure management, staggered spin-up.
 */
#include "device/ahci.h"

#include "device/ahci_impl.h"
#include "vm/bytes.h"
#include "vm/error.h"

#define BAR_SIZE 4096

/* --- interrupts ------------------------------------------------------------- */

/* 10.7.2.1: one message for all ports, sent anew while some are pending. */
void ahci_update(struct ahci *ahci, bool event)
{
	bool level;

	for (unsigned int i = 0; i < AHCI_PORTS; i++)
		if (ahci_port_read(&ahci->port[i], AHCI_PIS) &
		    ahci->port[i].ie)
			ahci->is |= 1u << i;
	level = ahci->is && (ahci->ghc & AHCI_GHC_IE);
	pci_irq_set(&ahci->pci, level && !pci_msi_enabled(&ahci->pci));
	if (level && event && pci_msi_enabled(&ahci->pci))
		pci_msi_notify(&ahci->pci, 0);
}

/* --- registers ---------------------------------------------------------------- */

/* What is under way is dropped; HR reads as set until it is over. */
static void reset_all(struct ahci *ahci)
{
	ahci->ghc = AHCI_GHC_AE;
	ahci->is = 0;
	ahci->resetting = ahci->under_way;
	for (unsigned int i = 0; i < AHCI_PORTS; i++)
		ahci_port_reset(&ahci->port[i]);
	ahci_update(ahci, false);
}

static uint64_t mmio_read(void *device, uint64_t offset, unsigned int size)
{
	struct ahci *ahci = device;
	uint64_t port = (offset - AHCI_PORT0) / AHCI_PORT_SIZE;

	switch (offset) {
	case AHCI_CAP:
		return AHCI_CAP_VALUE;
	case AHCI_GHC:
		return ahci->ghc | (ahci->resetting ? AHCI_GHC_HR : 0);
	case AHCI_IS:
		return ahci->is;
	case AHCI_PI:
		return (1u << AHCI_PORTS) - 1;
	case AHCI_VS:
		return AHCI_VERSION;
	default:
		break;
	}
	if (offset >= AHCI_PORT0 && port < AHCI_PORTS)
		return ahci_port_read(&ahci->port[port],
				      offset % AHCI_PORT_SIZE);
	return 0;
}

static void mmio_write(void *device, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	struct ahci *ahci = device;
	uint64_t port = (offset - AHCI_PORT0) / AHCI_PORT_SIZE;

	if (offset == AHCI_GHC) {
		if (value & AHCI_GHC_HR)
			reset_all(ahci);
		else
			ahci->ghc = AHCI_GHC_AE |
				    ((uint32_t)value & AHCI_GHC_IE);
		ahci_update(ahci, true);
	} else if (offset == AHCI_IS) {
		ahci->is &= ~(uint32_t)value;
		ahci_update(ahci, true);
	} else if (offset >= AHCI_PORT0 && port < AHCI_PORTS) {
		ahci_port_write(&ahci->port[port], offset % AHCI_PORT_SIZE,
				(uint32_t)value);
	}
}

static const struct bus_ops mmio_ops = {
	.read = mmio_read,
	.write = mmio_write,
	.min_size = 4,
	.max_size = 4,
};

/* --- PCI ------------------------------------------------------------------------ */

static void pci_reset(struct pci_device *pci)
{
	reset_all(pci->owner);
}

/* MSI may have been turned on or off: INTx follows. */
static void config_written(struct pci_device *pci, unsigned int at,
			   unsigned int size)
{
	ahci_update(pci->owner, false);
}

static const struct pci_ops ahci_pci_ops = {
	.reset = pci_reset,
	.config_written = config_written,
};

struct pci_device *ahci_pci(struct ahci *ahci)
{
	return &ahci->pci;
}

/* ICH9 datasheet, 14.1.20 and on: which ports are turned on. */
static const struct pci_reg ich9_regs[] = {
	{ .at = 0, .size = 2, .value = 0x0060, .write = 0x03ff }, /* MAP: AHCI */
	{ .at = 2, .size = 2, .value = 0x003f, .write = 0x803f },
};

#define ICH9_MAP 0x90

/* --- making one ------------------------------------------------------------------- */

static void fini(void *object)
{
	struct ahci *ahci = object;

	while (ahci->free) {
		struct ahci_request *r = ahci->free;

		ahci->free = r->next;
		host_free(r);
	}
	host_free(ahci);
}

static bool busy(struct ahci *ahci)
{
	bool under_way;

	host_lock(&ahci->vm->device_lock);
	ahci->still = true;
	under_way = ahci->under_way;
	host_unlock(&ahci->vm->device_lock);
	return under_way;
}

static void quiesce(void *object)
{
	struct ahci *ahci = object;

	while (busy(ahci))
		host_event_wait(&ahci->idle, UINT64_MAX);
}

static void resume(void *object)
{
	struct ahci *ahci = object;

	host_lock(&ahci->vm->device_lock);
	ahci->still = false;
	host_unlock(&ahci->vm->device_lock);
	if (ahci->vm->worker)
		host_work_queue(ahci->vm->worker, &ahci->work);
}

int ahci_create(struct ahci **out, struct vm *vm)
{
	static const struct pci_ident ident = {
		.name = "ahci",
		.vendor = 0x8086,
		.device = 0x2922,
		.class = 0x010601,
		.revision = 2,
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
		.pin = 1,
	};
	struct ahci *ahci = host_alloc(sizeof(*ahci));
	int err;

	if (!ahci)
		return -VM_ENOMEM;
	ahci->vm = vm;
	ahci->work = (struct host_work){ .run = ahci_work, .ctx = ahci };
	for (unsigned int i = 0; i < AHCI_PORTS; i++) {
		ahci->port[i].ahci = ahci;
		ahci->port[i].index = i;
	}
	err = vm_add_device(vm, &ahci_class, ahci);
	if (err) {
		host_free(ahci);
		return err;
	}
	err = pci_device_init(&ahci->pci, vm, &ident, &ahci_pci_ops, ahci);
	if (err)
		return err;
	pci_regs_add(&ahci->pci, ICH9_MAP, ich9_regs, 2);
	pci_bar_add(&ahci->pci, 5, PCI_MEM32, BAR_SIZE, &mmio_ops, ahci);
	pci_msi_add(&ahci->pci, 1);
	reset_all(ahci);
	*out = ahci;
	return 0;
}

static void set_drive(struct ahci_port *port, const struct ahci_drive *drive)
{
	const char *serial = drive->serial;
	char own[] = "LODGE-SATA-0";

	own[sizeof(own) - 2] = (char)('0' + port->index);
	if (!serial)
		serial = own;
	ata_drive_init(&port->drive, drive->block, drive->cd, serial);
}

void ahci_add(struct ahci *ahci, unsigned int index,
	      const struct ahci_drive *drive)
{
	struct ahci_port *port = &ahci->port[index];

	bug_on(index >= AHCI_PORTS);
	set_drive(port, drive);
	ahci_port_reset(port);
}

bool ahci_has(const struct ahci *ahci, unsigned int port)
{
	return ahci->port[port].drive.present;
}

void ahci_plug(struct ahci *ahci, unsigned int index,
	       const struct ahci_drive *drive)
{
	bug_on(index >= AHCI_PORTS || ahci_has(ahci, index));
	set_drive(&ahci->port[index], drive);
	ahci_port_changed(&ahci->port[index]);
}

void ahci_unplug(struct ahci *ahci, unsigned int index)
{
	struct ahci_port *port = &ahci->port[index];

	quiesce(ahci);
	host_lock(&ahci->vm->device_lock);
	ata_drive_remove(&port->drive);
	ahci_port_changed(port);
	host_unlock(&ahci->vm->device_lock);
	resume(ahci);
}

int ahci_change(struct ahci *ahci, unsigned int index, struct block *block,
		bool force)
{
	struct ahci_port *port = &ahci->port[index];
	int err;

	quiesce(ahci);
	host_lock(&ahci->vm->device_lock);
	err = ata_tray_change(&port->drive, block, force);
	host_unlock(&ahci->vm->device_lock);
	resume(ahci);
	return err;
}

const struct ata_drive *ahci_drive(const struct ahci *ahci, unsigned int port)
{
	return &ahci->port[port].drive;
}

/* --- saved state ------------------------------------------------------------------- */

static void loaded(void *object)
{
	struct ahci *ahci = object;

	ahci->ghc = (ahci->ghc & AHCI_GHC_IE) | AHCI_GHC_AE;
	ahci->is &= (1u << AHCI_PORTS) - 1;
	for (unsigned int i = 0; i < AHCI_PORTS; i++) {
		struct ahci_port *port = &ahci->port[i];

		port->started = 0;
		port->generation++;
		ata_drive_loaded(&port->drive);
	}
}

#define PORT(kind_, n_, member_)                                      \
	{                                                             \
		.name = "port" #n_ "_" #member_, .type = (kind_),     \
		.offset = offsetof(struct ahci, port[n_].member_),    \
		.count = 1,                                           \
	}
#define PORT_FIELDS(n_)                                               \
	PORT(FIELD_U32, n_, clb), PORT(FIELD_U32, n_, clbu),          \
	PORT(FIELD_U32, n_, fb), PORT(FIELD_U32, n_, fbu),            \
	PORT(FIELD_U32, n_, is), PORT(FIELD_U32, n_, ie),             \
	PORT(FIELD_U32, n_, cmd), PORT(FIELD_U32, n_, tfd),           \
	PORT(FIELD_U32, n_, sig), PORT(FIELD_U32, n_, ssts),          \
	PORT(FIELD_U32, n_, sctl), PORT(FIELD_U32, n_, serr),         \
	PORT(FIELD_U32, n_, sact), PORT(FIELD_U32, n_, ci),           \
	PORT(FIELD_BOOL, n_, stopped), PORT(FIELD_BOOL, n_, signature), \
	PORT(FIELD_BOOL, n_, srst), ATA_DRIVE_FIELDS("port" #n_ "_",   \
		offsetof(struct ahci, port[n_].drive), 2, 3)

static const struct field ahci_fields[] = {
	FIELD(struct ahci, FIELD_U32, ghc),
	FIELD(struct ahci, FIELD_U32, is),
	PORT_FIELDS(0),
	PORT_FIELDS(1),
	PORT_FIELDS(2),
	PORT_FIELDS(3),
	PORT_FIELDS(4),
	PORT_FIELDS(5),
};

static const struct state_class ahci_state = {
	.name = "ahci",
	.version = 3,
	.size = sizeof(struct ahci),
	.fields = ahci_fields,
	.field_count = sizeof(ahci_fields) / sizeof(ahci_fields[0]),
	.loaded = loaded,
};

const struct device_class ahci_class = {
	.name = "ahci",
	.fini = fini,
	.quiesce = quiesce,
	.resume = resume,
	.state = &ahci_state,
};
