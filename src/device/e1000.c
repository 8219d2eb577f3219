/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 82540EM's registers and interrupts; see e1000.h. Left out: loopback,
 * wake-up, flow control and the delay timers: frames and descriptors are told
 * at once, the interrupt throttle (ITR) alone makes several out of one.
 */
#include "device/e1000_impl.h"

#include "vm/bytes.h"
#include "vm/error.h"

#define THROTTLE_NS 256u /* a unit of ITR */
#define RING_SIZE   0xfff80u
#define RING_INDEX  0xffffu

/* Registers that keep what is written, and nothing more. */
static const struct {
	uint16_t at;
	uint32_t mask, reset;
} plain[] = {
	{ E1000_CTRL_EXT, 0xffffffff, 0 },
	{ E1000_FCAL, 0xffffffff, 0 },
	{ E1000_FCAH, 0xffff, 0 },
	{ E1000_FCT, 0xffff, 0 },
	{ E1000_FCTTV, 0xffff, 0 },
	{ E1000_TXCW, 0xffffffff, 0 },
	{ E1000_TIPG, 0x3fffffff, 0 },
	{ E1000_AIT, 0xffff, 0 },
	{ E1000_LEDCTL, 0xffffffff, 0x07061302 },
	{ E1000_PBA, 0xffff, 0x00100030 },
	{ E1000_FCRTL, 0x8000fff8, 0 },
	{ E1000_FCRTH, 0xfff8, 0 },
	{ E1000_RDTR, 0xffff, 0 },
	{ E1000_RXDCTL, 0xffffffff, 0x00010000 },
	{ E1000_RADV, 0xffff, 0 },
	{ E1000_RSRPD, 0xfff, 0 },
	{ E1000_TIDV, 0xffff, 0 },
	{ E1000_TXDCTL, 0xffffffff, 0 },
	{ E1000_TADV, 0xffff, 0 },
	{ E1000_TSPMT, 0xffffffff, 0x01000400 },
	{ E1000_WUC, 0xffff, 0 },
	{ E1000_WUFC, 0xffff, 0 },
	{ E1000_MANC, 0xffffffff, 0 },
};

#define PLAIN (sizeof(plain) / sizeof(plain[0]))

_Static_assert(PLAIN <= sizeof(((struct e1000 *)0)->plain) / 4, "all fit");

/* --- rings ------------------------------------------------------------------- */

uint32_t e1000_ring_count(const struct e1000_ring *ring)
{
	uint32_t count = ring->size / E1000_DESC;

	return ring->head < count && ring->tail < count ? count : 0;
}

uint64_t e1000_ring_at(const struct e1000_ring *ring, uint32_t index)
{
	return ((uint64_t)ring->base_high << 32 | ring->base_low) +
	       (uint64_t)index * E1000_DESC;
}

/* --- counters ---------------------------------------------------------------- */

void e1000_count(struct e1000 *e, unsigned int stat)
{
	if (e->stat[stat] != UINT32_MAX)
		e->stat[stat]++;
}

void e1000_count_bytes(struct e1000 *e, unsigned int stat, uint32_t bytes)
{
	e->stat[stat] += bytes;
	if (e->stat[stat] < bytes)
		e->stat[stat + 1]++;
}

void e1000_count_size(struct e1000 *e, unsigned int first, uint32_t size)
{
	static const uint16_t limit[] = { 64, 127, 255, 511, 1023 };
	unsigned int i = 0;

	while (i < 5 && size > limit[i])
		i++;
	e1000_count(e, first + i);
}

/* They are cleared when read; of a pair, when its upper word is. */
static uint32_t read_stat(struct e1000 *e, unsigned int i)
{
	uint32_t value = e->stat[i];

	switch (i) {
	case E1000_GORC:
	case E1000_GOTC:
	case E1000_TORC:
	case E1000_TOTC:
		return value;
	case E1000_GORC + 1:
	case E1000_GOTC + 1:
	case E1000_TORC + 1:
	case E1000_TOTC + 1:
		e->stat[i - 1] = 0;
		break;
	}
	e->stat[i] = 0;
	return value;
}

/* --- interrupts -------------------------------------------------------------- */

/* The pin follows; not sooner after its last fall than ITR says. */
void e1000_update(struct e1000 *e)
{
	struct clock *clock = &e->vm->clock;
	bool level = e->cause & e->mask;

	if (!level) {
		pci_irq_set(&e->pci, false);
		return;
	}
	if (e->throttle.armed)
		return;
	if (!e->pci.intx && (e->itr & 0xffff))
		timer_arm(clock, &e->throttle,
			  clock_now(clock) +
				  (uint64_t)(e->itr & 0xffff) * THROTTLE_NS);
	pci_irq_set(&e->pci, true);
}

/* Held: the device lock. */
static void throttle_over(void *ctx)
{
	e1000_update(ctx);
}

void e1000_raise(struct e1000 *e, uint32_t causes)
{
	e->cause |= causes;
	e1000_update(e);
}

static uint32_t read_cause(struct e1000 *e)
{
	uint32_t cause = e->cause;

	e->cause = 0;
	e1000_update(e);
	return cause;
}

/* --- control ----------------------------------------------------------------- */

static void tell_started(struct e1000 *e)
{
	bool on = (e->rctl & E1000_RCTL_EN) || (e->tctl & E1000_TCTL_EN);
	struct net *net = e->nic.net;

	if (on == e->started)
		return;
	e->started = on;
	if (on && net->ops->start)
		net->ops->start(net);
	if (!on && net->ops->stop)
		net->ops->stop(net);
}

/* What the software reset (CTRL.RST) resets; the cable stays. */
static void reset_registers(struct e1000 *e)
{
	e->ctrl = E1000_CTRL_FD | E1000_CTRL_1000 | E1000_CTRL_SLU;
	e->status = (e->status & E1000_STATUS_LU) | E1000_STATUS_FD |
		    E1000_STATUS_1000;
	e->eerd = 0;
	e->mdic = E1000_MDIC_READY;
	e->cause = 0;
	e->mask = 0;
	e->itr = 0;
	e->rctl = 0;
	e->tctl = 0;
	e->rxcsum = 0;
	e->vet = 0x8100;
	e->io_address = 0;
	for (unsigned int i = 0; i < PLAIN; i++)
		e->plain[i] = plain[i].reset;
	memset(e->mta, 0, sizeof(e->mta));
	memset(e->vfta, 0, sizeof(e->vfta));
	memset(e->ra, 0, sizeof(e->ra));
	memset(e->stat, 0, sizeof(e->stat));
	memset(&e->wires, 0, sizeof(e->wires));
	memset(&e->rx, 0, sizeof(e->rx));
	memset(&e->tx, 0, sizeof(e->tx));
	memset(&e->cut, 0, sizeof(e->cut));
	memset(&e->plain_sum, 0, sizeof(e->plain_sum));
	e->ra[0] = e->eeprom[0] | (uint32_t)e->eeprom[1] << 16;
	e->ra[1] = e->eeprom[2] | E1000_RAH_VALID;
	e->starved = false;
	timer_cancel(&e->vm->clock, &e->throttle);
	e1000_update(e);
	tell_started(e);
}

static void write_ctrl(struct e1000 *e, uint32_t value)
{
	if (value & E1000_CTRL_RST) {
		reset_registers(e);
		return;
	}
	if (value & E1000_CTRL_PHY_RST)
		e1000_phy_reset(e);
	e->ctrl = value & ~(E1000_CTRL_RST | E1000_CTRL_PHY_RST);
}

/* --- registers --------------------------------------------------------------- */

static uint32_t *plain_register(struct e1000 *e, uint32_t at, uint32_t *mask)
{
	for (unsigned int i = 0; i < PLAIN; i++)
		if (plain[i].at == at) {
			*mask = plain[i].mask;
			return &e->plain[i];
		}
	return NULL;
}

/* A word of one of the tables, or NULL. */
static uint32_t *table_word(struct e1000 *e, uint32_t at)
{
	if (at - E1000_MTA < sizeof(e->mta))
		return &e->mta[(at - E1000_MTA) / 4];
	if (at - E1000_RA < sizeof(e->ra))
		return &e->ra[(at - E1000_RA) / 4];
	if (at - E1000_VFTA < sizeof(e->vfta))
		return &e->vfta[(at - E1000_VFTA) / 4];
	return NULL;
}

/* A register of a ring, its bits that can be written, or NULL. */
static uint32_t *ring_word(struct e1000 *e, uint32_t at, uint32_t *mask)
{
	struct e1000_ring *ring = at < E1000_TDBAL ? &e->rx : &e->tx;

	*mask = RING_INDEX;
	switch (at) {
	case E1000_RDBAL:
	case E1000_TDBAL:
		*mask = 0xfffffff0;
		return &ring->base_low;
	case E1000_RDBAH:
	case E1000_TDBAH:
		*mask = UINT32_MAX;
		return &ring->base_high;
	case E1000_RDLEN:
	case E1000_TDLEN:
		*mask = RING_SIZE;
		return &ring->size;
	case E1000_RDH:
	case E1000_TDH:
		return &ring->head;
	case E1000_RDT:
	case E1000_TDT:
		return &ring->tail;
	}
	return NULL;
}

static uint32_t read_other(struct e1000 *e, uint32_t at)
{
	const uint32_t *word;
	uint32_t mask;

	if (at - E1000_STATS < sizeof(e->stat))
		return read_stat(e, (at - E1000_STATS) / 4);
	word = ring_word(e, at, &mask);
	if (!word)
		word = table_word(e, at);
	if (!word)
		word = plain_register(e, at, &mask);
	return word ? *word : 0;
}

static uint32_t read_register(struct e1000 *e, uint32_t at)
{
	switch (at) {
	case E1000_CTRL:
	case E1000_CTRL_DUP:
		return e->ctrl;
	case E1000_STATUS:
		return e->status;
	case E1000_EECD:
		return e1000_read_eecd(e);
	case E1000_EERD:
		return e->eerd;
	case E1000_MDIC:
		return e->mdic;
	case E1000_VET:
		return e->vet;
	case E1000_ICR:
		return read_cause(e);
	case E1000_ITR:
		return e->itr;
	case E1000_ICS:
		return e->cause;
	case E1000_IMS:
		return e->mask;
	case E1000_RCTL:
		return e->rctl;
	case E1000_TCTL:
		return e->tctl;
	case E1000_RXCSUM:
		return e->rxcsum;
	}
	return read_other(e, at);
}

static void write_other(struct e1000 *e, uint32_t at, uint32_t value)
{
	uint32_t mask, *word = ring_word(e, at, &mask);

	if (!word) {
		mask = UINT32_MAX;
		word = table_word(e, at);
	}
	if (!word)
		word = plain_register(e, at, &mask);
	if (!word)
		return;
	*word = value & mask;
	if (at == E1000_TDT)
		e1000_send(e);
	else if (at == E1000_RDT)
		e1000_receive_ready(e);
}

static void write_interrupts(struct e1000 *e, uint32_t at, uint32_t value)
{
	switch (at) {
	case E1000_ICR:
		e->cause &= ~value;
		break;
	case E1000_ICS:
		e->cause |= value & E1000_INT_ALL;
		break;
	case E1000_IMS:
		e->mask |= value & E1000_INT_ALL;
		break;
	default:
		e->mask &= ~value;
		break;
	}
	e1000_update(e);
}

static void write_register(struct e1000 *e, uint32_t at, uint32_t value)
{
	switch (at) {
	case E1000_CTRL:
	case E1000_CTRL_DUP:
		write_ctrl(e, value);
		break;
	case E1000_EECD:
		e1000_write_eecd(e, value);
		break;
	case E1000_EERD:
		e1000_write_eerd(e, value);
		break;
	case E1000_MDIC:
		e1000_write_mdic(e, value);
		break;
	case E1000_VET:
		e->vet = value & 0xffff;
		break;
	case E1000_ITR:
		e->itr = value & 0xffff;
		break;
	case E1000_ICR:
	case E1000_ICS:
	case E1000_IMS:
	case E1000_IMC:
		write_interrupts(e, at, value);
		break;
	case E1000_RCTL:
		e->rctl = value;
		tell_started(e);
		e1000_receive_ready(e);
		break;
	case E1000_TCTL:
		e->tctl = value;
		tell_started(e);
		e1000_send(e);
		break;
	case E1000_RXCSUM:
		e->rxcsum = value & 0x7ff;
		break;
	default:
		write_other(e, at, value);
		break;
	}
}

static uint64_t mmio_read(void *device, uint64_t offset, unsigned int size)
{
	return read_register(device, (uint32_t)offset);
}

static void mmio_write(void *device, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	write_register(device, (uint32_t)offset, (uint32_t)value);
}

static const struct bus_ops mmio_ops = {
	.read = mmio_read,
	.write = mmio_write,
	.min_size = 4,
	.max_size = 4,
};

/* Any register through two ports (317453, 13.3). */
static uint64_t io_read(void *device, uint64_t offset, unsigned int size)
{
	struct e1000 *e = device;

	if (offset == E1000_IO_ADDR)
		return e->io_address;
	return offset == E1000_IO_DATA ? read_register(e, e->io_address) : 0;
}

static void io_write(void *device, uint64_t offset, unsigned int size,
		     uint64_t value)
{
	struct e1000 *e = device;

	if (offset == E1000_IO_ADDR)
		e->io_address = (uint32_t)value & (E1000_BAR_SIZE - 4);
	else if (offset == E1000_IO_DATA)
		write_register(e, e->io_address, (uint32_t)value);
}

static const struct bus_ops io_ops = {
	.read = io_read,
	.write = io_write,
	.min_size = 4,
	.max_size = 4,
};

/* --- the device -------------------------------------------------------------- */

static void pci_reset(struct pci_device *pci)
{
	struct e1000 *e = pci->owner;

	reset_registers(e);
	e1000_phy_reset(e);
}

static const struct pci_ops e1000_pci_ops = {
	.reset = pci_reset,
};

static const struct pci_ident ident = {
	.name = "e1000",
	.vendor = 0x8086,
	.device = 0x100e,
	.class = 0x020000,
	.revision = 2,
	.subvendor = 0x8086,
	.subdevice = 0x001e,
	.pin = 1,
};

static void quiesce(void *device)
{
	struct e1000 *e = device;

	host_lock(&e->vm->device_lock);
	e->quiet = true;
	host_unlock(&e->vm->device_lock);
}

static void resume(void *device)
{
	struct e1000 *e = device;

	host_lock(&e->vm->device_lock);
	e->quiet = false;
	e1000_send(e);
	e1000_receive_ready(e);
	host_unlock(&e->vm->device_lock);
}

static void part(void *device)
{
	nic_part(&((struct e1000 *)device)->nic);
}

static void fini(void *device)
{
	struct e1000 *e = device;

	timer_cancel(&e->vm->clock, &e->throttle);
	host_free(e);
}

static int check(const void *object)
{
	const struct e1000 *e = object;

	if ((e->rx.size | e->tx.size) & ~RING_SIZE ||
	    (e->rx.head | e->rx.tail | e->tx.head | e->tx.tail) & ~RING_INDEX ||
	    e->io_address & ~(E1000_BAR_SIZE - 4) || e->wires.in_count > 9 ||
	    e->wires.out_count > 16 || e->wires.address >= E1000_EEPROM_WORDS)
		return -VM_EBADMSG;
	return 0;
}

/* The cable is that of this machine, whatever it was. */
static void loaded(void *object)
{
	struct e1000 *e = object;
	bool up = e->nic.net->link;

	tell_started(e);
	if (up != !!(e->status & E1000_STATUS_LU))
		e1000_set_link(e, up);
}

#define RING_FIELDS(name_)                                    \
	FIELD(struct e1000, FIELD_U32, name_.base_low),       \
	FIELD(struct e1000, FIELD_U32, name_.base_high),      \
	FIELD(struct e1000, FIELD_U32, name_.size),           \
	FIELD(struct e1000, FIELD_U32, name_.head),           \
	FIELD(struct e1000, FIELD_U32, name_.tail)

#define CONTEXT_FIELDS(name_)                                 \
	FIELD(struct e1000, FIELD_U32, name_.ip),             \
	FIELD(struct e1000, FIELD_U32, name_.sum),            \
	FIELD(struct e1000, FIELD_U32, name_.command),        \
	FIELD(struct e1000, FIELD_U32, name_.size)

static const struct field fields[] = {
	FIELD(struct e1000, FIELD_U32, ctrl),
	FIELD(struct e1000, FIELD_U32, status),
	FIELD(struct e1000, FIELD_U32, eerd),
	FIELD(struct e1000, FIELD_U32, mdic),
	FIELD(struct e1000, FIELD_U32, cause),
	FIELD(struct e1000, FIELD_U32, mask),
	FIELD(struct e1000, FIELD_U32, itr),
	FIELD(struct e1000, FIELD_U32, rctl),
	FIELD(struct e1000, FIELD_U32, tctl),
	FIELD(struct e1000, FIELD_U32, rxcsum),
	FIELD(struct e1000, FIELD_U32, vet),
	FIELD_ARRAY(struct e1000, FIELD_U32, plain, 32),
	FIELD_ARRAY(struct e1000, FIELD_U32, mta, 128),
	FIELD_ARRAY(struct e1000, FIELD_U32, vfta, 128),
	FIELD_ARRAY(struct e1000, FIELD_U32, ra, 32),
	FIELD_ARRAY(struct e1000, FIELD_U32, stat, E1000_STATS_COUNT),
	FIELD(struct e1000, FIELD_U32, io_address),
	FIELD_ARRAY(struct e1000, FIELD_U16, phy, PHY_REGS),
	FIELD_ARRAY(struct e1000, FIELD_U16, eeprom, E1000_EEPROM_WORDS),
	FIELD(struct e1000, FIELD_U32, wires.pins),
	FIELD(struct e1000, FIELD_U16, wires.in),
	FIELD(struct e1000, FIELD_U8, wires.in_count),
	FIELD(struct e1000, FIELD_U8, wires.out_count),
	FIELD(struct e1000, FIELD_U8, wires.address),
	FIELD(struct e1000, FIELD_BOOL, wires.reading),
	RING_FIELDS(rx),
	RING_FIELDS(tx),
	CONTEXT_FIELDS(cut),
	CONTEXT_FIELDS(plain_sum),
	FIELD(struct e1000, FIELD_TIMER, throttle),
};

static const struct state_class e1000_state = {
	.name = "e1000",
	.version = 1,
	.size = sizeof(struct e1000),
	.fields = fields,
	.field_count = sizeof(fields) / sizeof(fields[0]),
	.check = check,
	.loaded = loaded,
};

const struct device_class e1000_class = {
	.name = "e1000",
	.quiesce = quiesce,
	.resume = resume,
	.part = part,
	.fini = fini,
	.state = &e1000_state,
};

struct pci_device *e1000_pci(struct e1000 *e)
{
	return &e->pci;
}

struct nic *e1000_nic(struct e1000 *e)
{
	return &e->nic;
}

int e1000_create(struct e1000 **out, struct vm *vm,
		 const struct e1000_config *config)
{
	struct e1000 *e = host_alloc(sizeof(*e));
	int err;

	if (!e)
		return -VM_ENOMEM;
	e->vm = vm;
	e->nic.ops = &e1000_nic_ops;
	memcpy(e->nic.mac, config->mac, NIC_MAC);
	nic_connect(&e->nic, config->net);
	timer_init(&e->throttle, throttle_over, e);
	if (config->net->link)
		e->status = E1000_STATUS_LU;
	e1000_eeprom_init(e, config->mac);
	reset_registers(e);
	e1000_phy_reset(e);
	err = vm_add_device(vm, &e1000_class, e);
	if (err) {
		nic_part(&e->nic);
		host_free(e);
		return err;
	}
	err = pci_device_init(&e->pci, vm, &ident, &e1000_pci_ops, e);
	if (err)
		return err;
	pci_bar_add(&e->pci, 0, PCI_MEM32, E1000_BAR_SIZE, &mmio_ops, e);
	pci_bar_add(&e->pci, 1, PCI_IO, E1000_IO_SIZE, &io_ops, e);
	*out = e;
	return 0;
}
