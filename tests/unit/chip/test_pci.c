/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function on PCI: masks, BARs, interrupts, DMA, reset, saved state.
 */
#include "chip/pci_impl.h"
#include "pci_rig.h"

#define SLOT	PCI_DEVFN(3, 0)
#define VECTORS 3

static struct pci_rig rig;

/* A device with a BAR of each kind; each remembers its last access. */
static struct card {
	struct pci_device pci;
	struct pci_msix msix;
	uint64_t offset, value;
	unsigned int size, writes, resets, config_writes;
} card, second;

static uint64_t card_read(void *device, uint64_t offset, unsigned int size)
{
	struct card *c = device;

	c->offset = offset;
	c->size = size;
	return 0x1122334455667788;
}

static void card_write(void *device, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	struct card *c = device;

	c->offset = offset;
	c->size = size;
	c->value = value;
	c->writes++;
}

static const struct bus_ops card_bar = { .read = card_read,
					 .write = card_write };

static void card_config(struct pci_device *pci, unsigned int at,
			unsigned int size)
{
	((struct card *)pci->owner)->config_writes++;
}

static void card_reset(struct pci_device *pci)
{
	((struct card *)pci->owner)->resets++;
}

static const struct pci_ops card_ops = { .config_written = card_config,
					 .reset = card_reset };

static const struct pci_ident card_ident = {
	.name = "card",
	.vendor = 0x1234,
	.device = 0x5678,
	.class = 0x018000,
	.revision = 7,
	.subvendor = 0xaaaa,
	.subdevice = 0xbbbb,
	.pin = 1,
};

static void make_card(struct card *c, unsigned int devfn)
{
	static const struct pci_reg vendor_regs[] = {
		{ 4, 4, 0x12345678, 0x0000ff00, 0x000000ff, 0xff000000 },
	};

	memset(c, 0, sizeof(*c));
	assert_int_equal(pci_device_init(&c->pci, &rig.rig.vm, &card_ident,
					 &card_ops, c), 0);
	pci_bar_add(&c->pci, 0, PCI_IO, 32, &card_bar, c);
	pci_bar_add(&c->pci, 1, PCI_MEM32, 4096, &card_bar, c);
	pci_bar_add(&c->pci, 2, PCI_PREF64, 65536, &card_bar, c);
	pci_bar_add(&c->pci, PCI_BAR_ROM, PCI_MEM32, 2048, &card_bar, c);
	pci_cap_add(&c->pci, PCI_CAP_VENDOR, 8, vendor_regs, 1);
	pci_msi_add(&c->pci, 4);
	assert_int_equal(pci_msix_add(&c->pci, &c->msix, VECTORS, 4), 0);
	pci_express_add(&c->pci);
	assert_int_equal(pci_attach(&rig.host.root, &c->pci, devfn), 0);
}

static int setup(void **state)
{
	pci_rig_init(&rig);
	make_card(&card, SLOT);
	return 0;
}

static int teardown(void **state)
{
	pci_rig_fini(&rig);
	return 0;
}

static uint32_t get(unsigned int at, unsigned int size)
{
	return pci_rig_get(&rig, SLOT, at, size);
}

static void set(unsigned int at, unsigned int size, uint32_t value)
{
	pci_rig_set(&rig, SLOT, at, size, value);
}

static unsigned int find_cap(unsigned int id)
{
	unsigned int at = get(PCI_CAPS, 1);

	while (at && get(at, 1) != id)
		at = get(at + 1, 1);
	assert_true(at >= 0x40);
	return at;
}

static void header(void **state)
{
	assert_int_equal(get(0, 4), 0x56781234);
	assert_int_equal(get(PCI_REVISION, 4), 0x01800007);
	assert_int_equal(get(PCI_SUBVENDOR, 4), 0xbbbbaaaa);
	assert_int_equal(get(PCI_IRQ_LINE, 2), 0x0100);
	assert_int_equal(get(PCI_STATUS, 2) & PCI_STATUS_CAPS,
			 PCI_STATUS_CAPS);
	set(0, 4, 0); /* dropped */
	set(PCI_REVISION, 4, 0xffffffff);
	assert_int_equal(get(0, 4), 0x56781234);
	assert_int_equal(get(PCI_REVISION, 4), 0x01800007);
	set(PCI_COMMAND, 2, 0xffff);
	assert_int_equal(get(PCI_COMMAND, 2), 0x0547);
	assert_int_equal(pci_attach(&rig.host.root, &second.pci, SLOT),
			 -VM_EEXIST);
}

/* Bits that are written, cleared by ones, and the device's own. */
static void masks(void **state)
{
	unsigned int at = find_cap(PCI_CAP_VENDOR) + 4;

	assert_int_equal(get(at, 4), 0x12345678);
	set(at, 4, 0xffffffff);
	assert_int_equal(get(at, 4), 0x1234ff00);
	set(at, 4, 0);
	assert_int_equal(get(at, 4), 0x12340000);
	pci_set(&card.pci, at, 1, 0x0f);
	set(at, 1, 0x05);
	assert_int_equal(get(at, 1), 0x0a);
	set(at + 1, 1, 0x5a);
	assert_int_equal(get(at, 2), 0x5a0a);
	assert_true(card.config_writes >= 4);
}

static void sizing(void **state)
{
	static const struct {
		unsigned int at;
		uint32_t sized;
	} bars[] = {
		{ 0x10, 0xffffffe1 }, { 0x14, 0xfffff000 },
		{ 0x18, 0xffff000c }, { 0x1c, 0xffffffff },
		{ 0x20, 0xfffff000 }, { 0x24, 0 },
		{ 0x30, 0xfffff801 },
	};

	for (unsigned int i = 0; i < 7; i++) {
		set(bars[i].at, 4, 0xffffffff);
		assert_int_equal(get(bars[i].at, 4), bars[i].sized);
	}
	/* All at the top: nothing is decoded. */
	set(PCI_COMMAND, 2, 3);
	assert_int_equal(rig.host.memory.count + rig.host.io.count, 0);
}

static void decoding(void **state)
{
	struct bus *mmio = &rig.rig.vm.mmio, *pio = &rig.rig.vm.pio;

	set(0x10, 4, 0xc100);
	set(0x14, 4, 0xd0000000);
	set(0x18, 4, 0x80000000);
	set(0x1c, 4, 0x8);
	set(PCI_ROM, 4, 0xd1000001);
	assert_int_equal(bus_read(mmio, 0xd0000010, 4), 0xffffffff);
	set(PCI_COMMAND, 2, PCI_COMMAND_MEM);
	assert_int_equal(bus_read(mmio, 0xd0000010, 4), 0x55667788);
	assert_int_equal(card.offset, 0x10);
	assert_int_equal(card.size, 4);
	bus_write(mmio, 0x880010000, 2, 0xbeef); /* beyond the 64 KiB */
	assert_int_equal(card.writes, 0);
	bus_write(mmio, 0x880000abc, 8, 0xfeedbeeffeedbeef);
	assert_int_equal(card.offset, 0xabc);
	assert_true(card.value == 0xfeedbeeffeedbeef);
	assert_int_equal(bus_read(mmio, 0xd10007ff, 1), 0x88);
	assert_int_equal(bus_read(pio, 0xc104, 1), 0xff);
	set(PCI_COMMAND, 2, PCI_COMMAND_IO);
	assert_int_equal(bus_read(pio, 0xc104, 1), 0x88);
	assert_int_equal(bus_read(mmio, 0xd0000010, 4), 0xffffffff);

	/* Across the end, in bytes: only those inside are the card's. */
	card.writes = 0;
	bus_write(pio, 0xc11e, 4, 0x01020304);
	assert_int_equal(card.writes, 2);
	/* It moves. */
	set(0x10, 4, 0xd200);
	assert_int_equal(bus_read(pio, 0xc104, 1), 0xff);
	assert_int_equal(bus_read(pio, 0xd21f, 1), 0x88);
	/* Ports end at 64 Ki. */
	set(0x10, 4, 0x1d200);
	assert_int_equal(bus_read(pio, 0xd21f, 1), 0xff);
}

/* What chips claim is theirs; of two cards the lower one answers. */
static void overlaps(void **state)
{
	struct bus *pio = &rig.rig.vm.pio;

	make_card(&second, PCI_DEVFN(4, 0));
	set(0x10, 4, 0xce0);
	set(PCI_COMMAND, 2, PCI_COMMAND_IO);
	assert_int_equal(bus_read(pio, 0xcf4, 4), 0x55667788);
	assert_int_equal(bus_read(pio, 0xcf8, 4), 0x80001804);
	assert_int_equal(bus_read(pio, 0xcf6, 4), 0x00ff8888);
	pci_rig_set(&rig, PCI_DEVFN(4, 0), 0x10, 4, 0xce0);
	pci_rig_set(&rig, PCI_DEVFN(4, 0), PCI_COMMAND, 2, PCI_COMMAND_IO);
	card.writes = second.writes = 0;
	bus_write(pio, 0xce0, 4, 1);
	assert_int_equal(card.writes, 1);
	set(PCI_COMMAND, 2, 0);
	bus_write(pio, 0xce0, 4, 1);
	assert_int_equal(second.writes, 1);
	pci_detach(&second.pci);
	bus_write(pio, 0xce0, 4, 1);
	assert_int_equal(second.writes, 1);
	assert_int_equal(pci_rig_get(&rig, PCI_DEVFN(4, 0), 0, 4), 0xffffffff);
}

/* Devices 3 and 4 are at PIRQH and PIRQE: inputs 23 and 20. */
static void pins(void **state)
{
	pci_irq_set(&card.pci, true);
	assert_true(rig.rig.level[23]);
	assert_int_equal(get(PCI_STATUS, 2) & PCI_STATUS_INTX, PCI_STATUS_INTX);
	set(PCI_COMMAND, 2, PCI_COMMAND_NO_INTX);
	assert_false(rig.rig.level[23]);
	assert_int_equal(get(PCI_STATUS, 2) & PCI_STATUS_INTX, PCI_STATUS_INTX);
	set(PCI_COMMAND, 2, 0);
	assert_true(rig.rig.level[23]);
	/* Device 7 shares the line. */
	make_card(&second, PCI_DEVFN(7, 0));
	pci_irq_set(&second.pci, true);
	pci_irq_set(&card.pci, false);
	assert_true(rig.rig.level[23]);
	assert_int_equal(rig.rig.falls[23], 1);
	pci_detach(&second.pci);
	assert_false(rig.rig.level[23]);
	assert_int_equal(pci_root_pirq(4, 0), 4);
	assert_int_equal(pci_root_pirq(3, 1), 4);
	assert_int_equal(pci_root_pirq(31, 1), 1);
}

static void messages(void **state)
{
	unsigned int at = find_cap(PCI_CAP_MSI);

	set(at + MSI_ADDRESS, 4, 0xfee01000);
	set(at + MSI_DATA, 2, 0x4043);
	pci_msi_notify(&card.pci, 1);
	assert_int_equal(rig.sent_count, 0); /* not enabled */
	set(at + MSI_CONTROL, 2, MSI_ENABLE | 1 << 4); /* two vectors */
	assert_true(pci_msi_enabled(&card.pci));
	pci_msi_notify(&card.pci, 1);
	assert_int_equal(rig.sent_count, 0); /* no bus master */
	set(PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	pci_msi_notify(&card.pci, 0);
	assert_int_equal(rig.sent_count, 1);
	assert_int_equal(rig.sent[0].address, 0xfee01000);
	assert_int_equal(rig.sent[0].data, 0x4042);
	set(at + MSI_MASK, 4, 2);
	pci_msi_notify(&card.pci, 1);
	assert_int_equal(rig.sent_count, 1);
	assert_int_equal(get(at + MSI_PENDING, 4), 2);
	set(at + MSI_MASK, 4, 0);
	assert_int_equal(rig.sent_count, 2);
	assert_int_equal(rig.sent[1].data, 0x4043);
	assert_int_equal(get(at + MSI_PENDING, 4), 0);
}

static uint64_t table_get(uint64_t at)
{
	return bus_read(&rig.rig.vm.mmio, 0xd0000000 + at, 4);
}

static void table_set(uint64_t at, uint32_t value)
{
	bus_write(&rig.rig.vm.mmio, 0xd0000000 + at, 4, value);
}

static void vectors(void **state)
{
	unsigned int at = find_cap(PCI_CAP_MSIX);

	assert_int_equal(get(at + MSIX_CONTROL, 2), VECTORS - 1);
	assert_int_equal(get(at + MSIX_TABLE, 4), 4);
	assert_int_equal(get(at + MSIX_PENDING, 4), 0x804);
	set(0x20, 4, 0xd0000000);
	set(PCI_COMMAND, 2, PCI_COMMAND_MEM | PCI_COMMAND_MASTER);
	assert_int_equal(table_get(16 + 12), 1); /* masked at power-on */
	table_set(16, 0xfee02003);
	assert_int_equal(table_get(16), 0xfee02000);
	table_set(16 + 4, 1);
	table_set(16 + 8, 0x55);
	pci_msix_notify(&card.pci, 1);
	assert_int_equal(table_get(0x800), 0); /* off: nothing is kept */
	set(at + MSIX_CONTROL, 2, MSIX_ENABLE);
	assert_true(pci_msix_enabled(&card.pci));
	pci_msix_notify(&card.pci, 1);
	pci_msix_notify(&card.pci, VECTORS); /* nobody's */
	assert_int_equal(table_get(0x800), 2);
	assert_int_equal(rig.sent_count, 0);
	set(at + MSIX_CONTROL, 2, MSIX_ENABLE | MSIX_MASK_ALL);
	table_set(16 + 12, 0xfffffffe);
	assert_int_equal(table_get(16 + 12), 0);
	assert_int_equal(rig.sent_count, 0);
	set(at + MSIX_CONTROL, 2, MSIX_ENABLE);
	assert_int_equal(rig.sent_count, 1);
	assert_true(rig.sent[0].address == 0x1fee02000);
	assert_int_equal(rig.sent[0].data, 0x55);
	assert_int_equal(table_get(0x800), 0);
	pci_msix_notify(&card.pci, 1);
	assert_int_equal(rig.sent_count, 2);
	set(PCI_COMMAND, 2, PCI_COMMAND_MEM);
	pci_msix_notify(&card.pci, 1);
	assert_int_equal(rig.sent_count, 2);
	/* Pending bits are read-only, bytes mean nothing. */
	table_set(0x800, 7);
	bus_write(&rig.rig.vm.mmio, 0xd0000000 + 16 + 8, 1, 9);
	assert_int_equal(table_get(0x800), 0);
	assert_int_equal(table_get(16 + 8), 0x55);
	table_set(VECTORS * 16, 1);
	assert_int_equal(table_get(VECTORS * 16), 0);
}

static void dma(void **state)
{
	uint32_t word = 0x12345678;

	assert_int_equal(pci_dma_write(&card.pci, 0x1000, &word, 4),
			 -VM_EFAULT);
	assert_null(pci_dma_for_read(&card.pci, 0x1000, 4));
	set(PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_int_equal(pci_dma_write(&card.pci, 0x1000, &word, 4), 0);
	word = 0;
	assert_int_equal(pci_dma_read(&card.pci, 0x1000, &word, 4), 0);
	assert_int_equal(word, 0x12345678);
	assert_non_null(pci_dma_for_write(&card.pci, 0xffffc, 4));
	assert_null(pci_dma_for_write(&card.pci, 0xffffd, 4));
	assert_int_equal(pci_dma_read(&card.pci, 1 << 20, &word, 4),
			 -VM_EFAULT);
	assert_int_equal(pci_dma_read(&card.pci, UINT64_MAX, &word, 4),
			 -VM_EFAULT);
}

static void function_reset(void **state)
{
	unsigned int at = find_cap(PCI_CAP_EXPRESS);
	unsigned int msix = find_cap(PCI_CAP_MSIX);

	/* Integrated endpoint, no link. */
	assert_int_equal(get(at + EXP_FLAGS, 2), 0x92);
	assert_int_equal(get(at + EXP_LINK_CAP, 4), 0);
	set(0x14, 4, 0xd0000000);
	set(PCI_COMMAND, 2, PCI_COMMAND_MEM | PCI_COMMAND_MASTER);
	set(msix + MSIX_CONTROL, 2, MSIX_ENABLE);
	pci_irq_set(&card.pci, true);
	set(at + EXP_DEVICE_CTL, 2, 0x8000);
	assert_int_equal(card.resets, 1);
	assert_int_equal(get(at + EXP_DEVICE_CTL, 2), 0x2810);
	assert_int_equal(get(PCI_COMMAND, 2), 0);
	assert_int_equal(get(0x14, 4), 0);
	assert_false(pci_msix_enabled(&card.pci));
	assert_false(rig.rig.level[23]);
	assert_int_equal(rig.host.memory.count, 0);
	assert_int_equal(pci_dma_read(&card.pci, 0, &at, 4), -VM_EFAULT);
	vm_reset_devices(&rig.rig.vm);
	assert_int_equal(card.resets, 2);
}

static void hostile(void **state)
{
	pci_rig_set(&rig, 0, PCI_HOST_PCIEXBAR, 4, RIG_ECAM | 1);
	for (unsigned int i = 0; i < 40; i++) {
		rig_fuzz(&rig.rig, &rig.rig.vm.mmio, RIG_ECAM + (SLOT << 12),
			 0x100, 500);
		pci_msix_notify(&card.pci, i % VECTORS);
		pci_irq_set(&card.pci, i & 1);
		pci_msi_notify(&card.pci, i % 5);
		set(0x20, 4, 0xd0000000);
		set(PCI_COMMAND, 2, PCI_COMMAND_MEM | PCI_COMMAND_MASTER);
		rig_fuzz(&rig.rig, &rig.rig.vm.mmio, 0xd0000000, 0x1000, 500);
	}
}

/* A copy of what masks allow, as a saved state would hold it. */
static void valid(void *object)
{
	struct pci_device *pci = object;

	for (unsigned int i = 0; i < sizeof(pci->config); i++) {
		uint8_t may = pci->write[i] | pci->clear[i] | pci->status[i];

		pci->config[i] = (pci->initial[i] & (uint8_t)~may) |
				 (pci->config[i] & may);
	}
	pci->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTX;
	if (pci->intx)
		pci->config[PCI_STATUS] |= PCI_STATUS_INTX;
}

static void valid_msix(void *object)
{
	struct pci_msix *msix = object;

	for (unsigned int i = 0; i < VECTORS * 16; i += 16) {
		msix->table[i] &= 0xfc;
		memset(msix->table + i + 12, 0, 4);
	}
	memset(msix->pending, 0, sizeof(msix->pending));
}

static void round_trip(void **state)
{
	roundtrip_check(pci_class.state, &card.pci, valid);
	roundtrip_check(pci_msix_class.state, &card.msix, valid_msix);
}

/* What a guest cannot have written is refused. */
static void bad_state(void **state)
{
	struct pci_device copy = card.pci;

	assert_int_equal(pci_class.state->check(&copy), 0);
	copy.config[0] ^= 1;
	assert_int_equal(pci_class.state->check(&copy), -VM_EBADMSG);
	card.msix.pending[0] = 1ull << VECTORS;
	assert_int_equal(pci_msix_class.state->check(&card.msix), -VM_EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(header, setup, teardown),
		cmocka_unit_test_setup_teardown(masks, setup, teardown),
		cmocka_unit_test_setup_teardown(sizing, setup, teardown),
		cmocka_unit_test_setup_teardown(decoding, setup, teardown),
		cmocka_unit_test_setup_teardown(overlaps, setup, teardown),
		cmocka_unit_test_setup_teardown(pins, setup, teardown),
		cmocka_unit_test_setup_teardown(messages, setup, teardown),
		cmocka_unit_test_setup_teardown(vectors, setup, teardown),
		cmocka_unit_test_setup_teardown(dma, setup, teardown),
		cmocka_unit_test_setup_teardown(function_reset, setup,
						teardown),
		cmocka_unit_test_setup_teardown(hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_state, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
