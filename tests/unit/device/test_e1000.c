/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 82540EM as a driver talks to it: EEPROM, PHY, rings, checksums,
 * segmentation, VLANs, filters, interrupts; and as one would that means harm.
 */
#include "device/e1000.h"

#include "device/e1000_impl.h"
#include "fake_net.h"
#include "pci_rig.h"
#include "vm/error.h"

#define DEVFN PCI_DEVFN(3, 0)
#define BAR   0xd0000000ull
#define PORT  0xc000u

/* Where the driver keeps things in guest memory. */
#define TX_RING	 0x10000u
#define RX_RING	 0x12000u
#define TX_DATA	 0x20000u
#define RX_DATA	 0x40000u
#define RING	 16u
#define BUFFER	 2048u

static const uint8_t mac[NIC_MAC] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };

static struct fake_net fake;
static struct pci_rig rig;
static struct e1000 *card;
static uint32_t tx_tail, rx_head;

static uint32_t get(uint32_t at)
{
	return (uint32_t)bus_read(&rig.rig.vm.mmio, BAR + at, 4);
}

static void set(uint32_t at, uint32_t value)
{
	bus_write(&rig.rig.vm.mmio, BAR + at, 4, value);
}

static void poke(uint64_t at, const void *data, size_t size)
{
	assert_int_equal(memory_write(&rig.rig.vm.memory, gpa(at), data,
				      size), 0);
}

static void peek(uint64_t at, void *data, size_t size)
{
	assert_int_equal(memory_read(&rig.rig.vm.memory, gpa(at), data, size),
			 0);
}


static void start(void)
{
	static const uint8_t none[RING * E1000_DESC];

	poke(RX_RING, none, sizeof(none));
	for (uint64_t i = 0; i < RING; i++) {
		uint64_t addr = RX_DATA + i * BUFFER;

		poke(RX_RING + i * E1000_DESC, &addr, sizeof(addr));
	}
	set(E1000_RDBAL, RX_RING);
	set(E1000_RDBAH, 0);
	set(E1000_RDLEN, RING * E1000_DESC);
	set(E1000_RDH, 0);
	set(E1000_RDT, RING - 1);
	set(E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_BAM | E1000_RCTL_SECRC);
	set(E1000_TDBAL, TX_RING);
	set(E1000_TDBAH, 0);
	set(E1000_TDLEN, RING * E1000_DESC);
	set(E1000_TDH, 0);
	set(E1000_TDT, 0);
	set(E1000_TCTL, E1000_TCTL_EN | E1000_TCTL_PSP);
	tx_tail = rx_head = 0;
}

static int setup(void **state)
{
	struct e1000_config config = { .net = &fake.net };

	fake_net_init(&fake);
	memcpy(config.mac, mac, sizeof(mac));
	pci_rig_init(&rig);
	assert_int_equal(e1000_create(&card, &rig.rig.vm, &config), 0);
	assert_int_equal(pci_attach(&rig.host.root, e1000_pci(card), DEVFN), 0);
	pci_rig_set(&rig, DEVFN, PCI_BAR0, 4, (uint32_t)BAR);
	pci_rig_set(&rig, DEVFN, PCI_BAR0 + 4, 4, PORT);
	pci_rig_set(&rig, DEVFN, PCI_COMMAND, 2,
		    PCI_COMMAND_IO | PCI_COMMAND_MEM | PCI_COMMAND_MASTER);
	start();
	return 0;
}

static int teardown(void **state)
{
	pci_rig_fini(&rig);
	assert_int_equal(fake_live(), 0);
	return 0;
}

/* --- registers, EEPROM, PHY ---------------------------------------------------- */

static void registers(void **state)
{
	assert_int_equal(pci_rig_get(&rig, DEVFN, 0, 4), 0x100e8086);
	assert_int_equal(pci_rig_get(&rig, DEVFN, 8, 4) >> 8, 0x020000);
	assert_int_equal(get(E1000_STATUS), 0x83);
	assert_int_equal(get(E1000_RA), 0x12005452);
	assert_int_equal(get(E1000_RA + 4), 0x80005634);
	set(E1000_VFTA + 4 * 127, 0x12345678);
	assert_int_equal(get(E1000_VFTA + 4 * 127), 0x12345678);
	set(E1000_TIPG, 0x00602008);
	assert_int_equal(get(E1000_TIPG), 0x00602008);
	assert_int_equal(get(0x1fffc), 0); /* nothing is there */
	set(0x1fffc, 1);
	/* The same through two ports. */
	bus_write(&rig.rig.vm.pio, PORT, 4, E1000_TIPG);
	assert_int_equal(bus_read(&rig.rig.vm.pio, PORT + 4, 4), 0x00602008);
	bus_write(&rig.rig.vm.pio, PORT + 4, 4, 0x00702008);
	assert_int_equal(get(E1000_TIPG), 0x00702008);
	assert_int_equal(fake.starts, 1);
	set(E1000_CTRL, E1000_CTRL_RST);
	assert_int_equal(fake.stops, 1);
	assert_int_equal(get(E1000_RCTL), 0);
	assert_int_equal(get(E1000_VFTA + 4 * 127), 0);
	assert_int_equal(get(E1000_STATUS), 0x83);
}

static uint16_t eerd(uint32_t word)
{
	set(E1000_EERD, word << 8 | E1000_EERD_START);
	assert_true(get(E1000_EERD) & E1000_EERD_DONE);
	return (uint16_t)(get(E1000_EERD) >> 16);
}

static void clock_bit(uint32_t bit)
{
	uint32_t pins = E1000_EECD_REQ | E1000_EECD_CS |
			(bit ? E1000_EECD_DI : 0);

	set(E1000_EECD, pins);
	set(E1000_EECD, pins | E1000_EECD_SK);
}

static uint16_t by_wires(uint32_t word)
{
	uint32_t instruction = 6 << 6 | word;
	uint16_t value = 0;

	set(E1000_EECD, E1000_EECD_REQ);
	assert_true(get(E1000_EECD) & E1000_EECD_GNT);
	clock_bit(0); /* before the start bit: no matter */
	for (int i = 8; i >= 0; i--)
		clock_bit(instruction >> i & 1);
	assert_false(get(E1000_EECD) & E1000_EECD_DO);
	for (int i = 0; i < 16; i++) {
		clock_bit(0);
		value = (uint16_t)(value << 1 |
				   !!(get(E1000_EECD) & E1000_EECD_DO));
	}
	set(E1000_EECD, 0);
	return value;
}

static void eeprom(void **state)
{
	uint16_t sum = 0;

	for (uint32_t i = 0; i < 64; i++) {
		sum = (uint16_t)(sum + eerd(i));
		assert_int_equal(by_wires(i), eerd(i));
	}
	assert_int_equal(sum, 0xbaba);
	assert_int_equal(eerd(0), 0x5452);
	assert_int_equal(eerd(2), 0x5634);
	assert_int_equal(eerd(200), 0);
}

static uint16_t phy(uint32_t reg)
{
	set(E1000_MDIC, E1000_MDIC_READ | 1 << 21 | reg << 16);
	assert_true(get(E1000_MDIC) & E1000_MDIC_READY);
	return (uint16_t)get(E1000_MDIC);
}

static void physical(void **state)
{
	assert_int_equal(phy(PHY_ID1), 0x0141);
	assert_int_equal(phy(PHY_STATUS) & 0x24, 0x24);
	set(E1000_MDIC, E1000_MDIC_READ | 2 << 21);
	assert_true(get(E1000_MDIC) & E1000_MDIC_ERROR);
	set(E1000_MDIC, E1000_MDIC_WRITE | 1 << 21 | PHY_ID1 << 16);
	assert_int_equal(phy(PHY_ID1), 0x0141);
	set(E1000_MDIC, E1000_MDIC_WRITE | 1 << 21 | PHY_ADVERTISE << 16 |
				0x1e1);
	assert_int_equal(phy(PHY_ADVERTISE), 0x1e1);
	set(E1000_MDIC, E1000_MDIC_WRITE | 1 << 21 | PHY_CONTROL_RESET);
	assert_int_equal(phy(PHY_ADVERTISE), 0xde1);
}

static void link_changes(void **state)
{
	struct nic *nic = e1000_nic(card);

	get(E1000_ICR);
	nic->ops->link(nic, false);
	assert_int_equal(get(E1000_STATUS) & E1000_STATUS_LU, 0);
	assert_int_equal(phy(PHY_STATUS) & PHY_STATUS_LINK, 0);
	assert_int_equal(get(E1000_ICR), E1000_INT_LSC);
	nic->ops->link(nic, false);
	assert_int_equal(get(E1000_ICR), 0);
	nic->ops->link(nic, true);
	assert_int_equal(get(E1000_ICR), E1000_INT_LSC);
	nic->ops->announce(nic);
	assert_int_equal(get(E1000_ICR), E1000_INT_LSC);
}

/* --- sending -------------------------------------------------------------------- */

static void descriptor(uint64_t addr, uint32_t command, uint32_t status)
{
	struct {
		uint64_t addr;
		uint32_t command, status;
	} d = { addr, command, status };

	poke(TX_RING + tx_tail * E1000_DESC, &d, sizeof(d));
	tx_tail = (tx_tail + 1) % RING;
}

static uint32_t written_back(uint32_t index)
{
	uint32_t status;

	peek(TX_RING + index * E1000_DESC + 12, &status, 4);
	return status;
}

static void go(void)
{
	set(E1000_TDT, tx_tail);
}

static uint16_t be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put_be16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint16_t sum_of(const uint8_t *at, uint32_t size, uint32_t sum)
{
	for (uint32_t i = 0; i < size; i += 2)
		sum += be16(at + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* A TCP segment in IPv4, its sums and lengths as a driver leaves them. */
static void make_tcp(uint8_t *frame, uint32_t payload)
{
	memset(frame, 0, 54);
	memset(frame, 0xff, 6);
	memcpy(frame + 6, mac, 6);
	put_be16(frame + 12, 0x0800);
	frame[14] = 0x45;
	frame[23] = 6;
	memcpy(frame + 26, (uint8_t[]){ 10, 0, 2, 15, 10, 0, 2, 2 }, 8);
	frame[46] = 0x50;
	for (uint32_t i = 0; i < payload; i++)
		frame[54 + i] = (uint8_t)i;
}

static void legacy_frame(void **state)
{
	uint8_t frame[100];

	for (unsigned int i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)i;
	poke(TX_DATA, frame, sizeof(frame));
	set(E1000_IMS, E1000_INT_TXDW);
	descriptor(TX_DATA, 40, 0);
	descriptor(TX_DATA + 40, 60 | E1000_TX_EOP | E1000_TX_RS, 0);
	go();
	assert_int_equal(fake.sent, 1);
	assert_int_equal(fake.frame[0].frame.size, 100);
	assert_memory_equal(fake.frame[0].data, frame, 100);
	assert_int_equal(fake.frame[0].frame.sum, NIC_SUM_IN);
	assert_int_equal(written_back(0) & E1000_TX_DD, 0);
	assert_int_equal(written_back(1) & E1000_TX_DD, E1000_TX_DD);
	assert_int_equal(get(E1000_TDH), 2);
	assert_int_equal(get(E1000_ICR), E1000_INT_TXDW | E1000_INT_TXQE);
	assert_int_equal(get(E1000_STATS + 4 * E1000_GPTC), 1);
	assert_int_equal(get(E1000_STATS + 4 * E1000_GPTC), 0);
	assert_int_equal(get(E1000_STATS + 4 * E1000_TOTC), 104);
	/* A short one is padded. */
	descriptor(TX_DATA, 20 | E1000_TX_EOP, 0);
	go();
	assert_int_equal(fake.frame[1].frame.size, 60);
	assert_memory_equal(fake.frame[1].data, frame, 20);
	assert_int_equal(fake.frame[1].data[20], 0);
}

static void unfinished(void **state)
{
	descriptor(TX_DATA, 40, 0);
	go();
	assert_int_equal(fake.sent, 0);
	assert_int_equal(get(E1000_TDH), 0);
	descriptor(TX_DATA, 40 | E1000_TX_EOP, 0);
	go();
	assert_int_equal(fake.sent, 1);
	assert_int_equal(fake.frame[0].frame.size, 80);
}

static void later(void **state)
{
	struct nic *nic = e1000_nic(card);

	fake.later = true;
	for (unsigned int i = 0; i < 3; i++)
		descriptor(TX_DATA, 64 | E1000_TX_EOP | E1000_TX_RS, 0);
	go();
	assert_int_equal(get(E1000_TDH), 0);
	assert_int_equal(written_back(0), 0);
	fake.later = false;
	nic->ops->again(nic);
	assert_int_equal(fake.sent, 3);
	assert_int_equal(get(E1000_TDH), 3);
	assert_int_equal(written_back(2), E1000_TX_DD);
}

static void context(uint32_t command, uint32_t header, uint32_t segment)
{
	uint64_t ip = 14 | 24 << 8 | 33 << 16, sum = 34 | 50 << 8;

	descriptor(sum << 32 | ip, command | E1000_TX_EXT,
		   header << 8 | segment << 16);
}

static void checksums(void **state)
{
	uint8_t frame[154];

	make_tcp(frame, 100);
	put_be16(frame + 16, 140);
	put_be16(frame + 50, 0x1234);
	poke(TX_DATA, frame, sizeof(frame));
	context(E1000_TX_TCP | E1000_TX_IPV4 | E1000_TX_RS, 0, 0);
	descriptor(TX_DATA, 154 | E1000_TX_EXT | E1000_TX_DATA | E1000_TX_EOP,
		   E1000_TX_IXSM | E1000_TX_TXSM);
	go();
	assert_int_equal(fake.sent, 1);
	assert_int_equal(written_back(0) & E1000_TX_DD, E1000_TX_DD);
	assert_int_equal(sum_of(fake.frame[0].data + 14, 20, 0), 0xffff);
	assert_int_equal(fake.frame[0].frame.sum, NIC_SUM_OPEN);
	assert_int_equal(fake.frame[0].frame.sum_start, 34);
	assert_int_equal(fake.frame[0].frame.sum_offset, 16);
	assert_int_equal(be16(fake.frame[0].data + 50), 0x1234);
	assert_int_equal(fake.frame[0].frame.cut, NIC_WHOLE);
	/* Guest memory is as it was. */
	peek(TX_DATA, frame, sizeof(frame));
	assert_int_equal(be16(frame + 24), 0);
	/* A legacy one: CSO in the command, CSS in the status. */
	descriptor(TX_DATA, 154 | E1000_TX_EOP | E1000_TX_IC | 50 << 16,
		   34 << 8);
	go();
	assert_int_equal(fake.frame[1].frame.sum, NIC_SUM_OPEN);
	assert_int_equal(fake.frame[1].frame.sum_start, 34);
	assert_int_equal(fake.frame[1].frame.sum_offset, 16);
}

static void segmentation(void **state)
{
	static uint8_t frame[54 + 5000];
	uint32_t whole = 20 + 20 + 5000;

	make_tcp(frame, 5000);
	poke(TX_DATA, frame, sizeof(frame));
	context(E1000_TX_TCP | E1000_TX_IPV4 | E1000_TX_TSE, 54, 1460);
	descriptor(TX_DATA, 54 | E1000_TX_EXT | E1000_TX_DATA | E1000_TX_TSE,
		   E1000_TX_IXSM | E1000_TX_TXSM);
	descriptor(TX_DATA + 54, 5000 | E1000_TX_EXT | E1000_TX_DATA |
				     E1000_TX_TSE | E1000_TX_EOP,
		   0);
	go();
	assert_int_equal(fake.sent, 1);
	assert_int_equal(fake.frame[0].frame.cut, NIC_CUT_TCP4);
	assert_int_equal(fake.frame[0].frame.header, 54);
	assert_int_equal(fake.frame[0].frame.segment, 1460);
	assert_int_equal(fake.frame[0].frame.size, 5054);
	assert_int_equal(be16(fake.frame[0].data + 16), whole);
	assert_int_equal(sum_of(fake.frame[0].data + 14, 20, 0), 0xffff);
	/* The pseudo header, with the length that the driver left out. */
	assert_int_equal(be16(fake.frame[0].data + 50),
			 sum_of(fake.frame[0].data + 26, 8, 6 + 5020));
	assert_memory_equal(fake.frame[0].data + 54, frame + 54, 5000);
	/* UDP cannot be cut, nor a header beyond the frame. */
	context(E1000_TX_IPV4 | E1000_TX_TSE, 54, 1460);
	descriptor(TX_DATA, 54 | E1000_TX_EXT | E1000_TX_DATA | E1000_TX_TSE |
				    E1000_TX_EOP, 0);
	context(E1000_TX_TCP | E1000_TX_IPV4 | E1000_TX_TSE, 54, 1460);
	descriptor(TX_DATA, 40 | E1000_TX_EXT | E1000_TX_DATA | E1000_TX_TSE |
				    E1000_TX_EOP, 0);
	go();
	assert_int_equal(fake.sent, 1);
	assert_int_equal(get(E1000_TDH), tx_tail);
	assert_int_equal(e1000_nic(card)->sent.refused, 2);
}

static void vlan_sent(void **state)
{
	uint8_t frame[100];

	memset(frame, 7, sizeof(frame));
	poke(TX_DATA, frame, sizeof(frame));
	set(E1000_CTRL, get(E1000_CTRL) | E1000_CTRL_VME);
	descriptor(TX_DATA, 100 | E1000_TX_EOP | E1000_TX_VLE, 0x0123u << 16);
	go();
	assert_int_equal(fake.frame[0].frame.size, 104);
	assert_int_equal(be16(fake.frame[0].data + 12), 0x8100);
	assert_int_equal(be16(fake.frame[0].data + 14), 0x0123);
	assert_int_equal(fake.frame[0].data[16], 7);
	assert_int_equal(fake.frame[0].data[103], 7);
}

static void nonsense_sent(void **state)
{
	/* No such memory, too long, too many, too short. */
	descriptor(0xffffffff00000000, 100 | E1000_TX_EOP | E1000_TX_RS, 0);
	go();
	assert_int_equal(fake.sent, 0);
	assert_int_equal(written_back(0), E1000_TX_DD);
	descriptor(TX_DATA, 65535 | E1000_TX_EXT | E1000_TX_DATA, 0);
	descriptor(TX_DATA, 65535 | E1000_TX_EXT | E1000_TX_DATA |
				    E1000_TX_EOP, 0);
	set(E1000_TCTL, E1000_TCTL_EN);
	descriptor(TX_DATA, 13 | E1000_TX_EOP, 0);
	go();
	assert_int_equal(fake.sent, 0);
	assert_int_equal(get(E1000_TDH), 4);
	assert_int_equal(e1000_nic(card)->sent.refused, 3);
	/* A head or tail beyond the ring: nothing until they are right. */
	set(E1000_TDT, 0xffff);
	set(E1000_TDH, 0x8000);
	assert_int_equal(fake.sent, 0);
}

/* --- receiving ------------------------------------------------------------------ */

struct received {
	uint64_t addr;
	uint16_t length, sum;
	uint8_t status, errors;
	uint16_t special;
};

static bool receive_as(const void *data, uint32_t size, enum nic_sum sum)
{
	struct nic *nic = e1000_nic(card);
	const struct span span = { (void *)(uintptr_t)data, size };
	const struct nic_frame frame = {
		.span = &span, .spans = 1, .size = size, .sum = sum,
	};
	bool over = nic->ops->receive(nic, &frame);

	nic->ops->flush(nic);
	return over;
}

static bool receive(const void *data, uint32_t size)
{
	return receive_as(data, size, NIC_SUM_IN);
}

static struct received next(void)
{
	struct received d;

	peek(RX_RING + rx_head * E1000_DESC, &d, sizeof(d));
	rx_head = (rx_head + 1) % RING;
	return d;
}

static void to_us(uint8_t *frame, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		frame[i] = (uint8_t)(i * 3);
	memcpy(frame, mac, 6);
}

static void received(void **state)
{
	uint8_t frame[100], seen[100];
	struct received d;

	to_us(frame, sizeof(frame));
	set(E1000_IMS, E1000_INT_RXT0);
	assert_true(receive(frame, sizeof(frame)));
	d = next();
	assert_int_equal(d.length, 100);
	assert_int_equal(d.status, E1000_RX_DD | E1000_RX_EOP | E1000_RX_IXSM);
	peek(RX_DATA, seen, 100);
	assert_memory_equal(seen, frame, 100);
	assert_true(get(E1000_ICR) & E1000_INT_RXT0);
	/* Padded; and with room for the checksum where that is not cut. */
	assert_true(receive(frame, 20));
	d = next();
	assert_int_equal(d.length, 60);
	set(E1000_RCTL, E1000_RCTL_EN);
	assert_true(receive_as(frame, 100, NIC_SUM_GOOD));
	d = next();
	assert_int_equal(d.length, 104);
	/* Checksums only where they are asked for. */
	assert_true(d.status & E1000_RX_IXSM);
	set(E1000_RXCSUM, E1000_RXCSUM_IP | E1000_RXCSUM_TCP);
	assert_true(receive_as(frame, 100, NIC_SUM_GOOD));
	assert_int_equal(next().status, E1000_RX_DD | E1000_RX_EOP |
						E1000_RX_TCPCS | E1000_RX_IPCS);
	assert_true(receive(frame, 100));
	assert_true(next().status & E1000_RX_IXSM);
	assert_int_equal(get(E1000_STATS + 4 * E1000_GPRC), 5);
}

static void many_buffers(void **state)
{
	static uint8_t frame[9000];
	uint8_t seen[BUFFER];
	struct received d;

	to_us(frame, sizeof(frame));
	assert_true(receive(frame, 9000)); /* too long: dropped */
	assert_int_equal(get(E1000_RDH), 0);
	assert_int_equal(get(E1000_STATS + 4 * E1000_ROC), 1);
	set(E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_LPE | E1000_RCTL_SECRC);
	assert_true(receive(frame, 9000));
	assert_int_equal(get(E1000_RDH), 5);
	for (unsigned int i = 0; i < 5; i++) {
		d = next();
		assert_int_equal(d.length, i < 4 ? BUFFER : 9000 - 4 * BUFFER);
		assert_int_equal(d.status & E1000_RX_EOP,
				 i < 4 ? 0 : E1000_RX_EOP);
		peek(RX_DATA + i * BUFFER, seen, d.length);
		assert_memory_equal(seen, frame + i * BUFFER, d.length);
	}
}

static void no_room(void **state)
{
	uint8_t frame[100];

	to_us(frame, sizeof(frame));
	for (unsigned int i = 0; i < RING - 1; i++)
		assert_true(receive(frame, sizeof(frame)));
	assert_false(receive(frame, sizeof(frame)));
	assert_int_equal(fake.rooms, 0);
	assert_true(get(E1000_ICR) & E1000_INT_RXDMT0);
	set(E1000_RDT, 3);
	assert_int_equal(fake.rooms, 1);
	assert_true(receive(frame, sizeof(frame)));
	set(E1000_RDT, 4);
	assert_int_equal(fake.rooms, 1);
	/* Turned off, or without a cable: it is dropped. */
	set(E1000_RCTL, 0);
	assert_true(receive(frame, sizeof(frame)));
	set(E1000_RCTL, E1000_RCTL_EN);
	e1000_nic(card)->ops->link(e1000_nic(card), false);
	assert_true(receive(frame, sizeof(frame)));
	assert_int_equal(e1000_nic(card)->received.dropped, 2);
}

static bool is_taken(const uint8_t *to)
{
	uint8_t frame[64] = { 0 };
	uint32_t before = get(E1000_RDH);

	set(E1000_RDT, (before + RING - 1) % RING);
	memcpy(frame, to, 6);
	assert_true(receive(frame, sizeof(frame)));
	return get(E1000_RDH) != before;
}

static void filters(void **state)
{
	static const uint8_t all[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	static const uint8_t many[] = { 0x33, 0x33, 0, 0, 0xab, 0xcd };
	static const uint8_t other[] = { 0x52, 0x54, 0, 1, 2, 3 };
	uint32_t hash = 0xcdab >> 4 & 0xfff;

	assert_true(is_taken(all));
	assert_true(is_taken(mac));
	assert_false(is_taken(many));
	assert_false(is_taken(other));
	set(E1000_MTA + 4 * (hash / 32), 1u << hash % 32);
	assert_true(is_taken(many));
	set(E1000_RA + 8, 0x01005452);
	set(E1000_RA + 12, 0x80000302);
	assert_true(is_taken(other));
	set(E1000_RA + 12, 0x00000302);
	assert_false(is_taken(other));
	set(E1000_RCTL, E1000_RCTL_EN);
	assert_false(is_taken(all));
	set(E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_UPE);
	assert_true(is_taken(other));
	assert_false(is_taken(all));
	set(E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_MPE);
	assert_true(is_taken(all));
}

static void vlan_received(void **state)
{
	uint8_t frame[100], seen[96];
	struct received d;

	to_us(frame, sizeof(frame));
	put_be16(frame + 12, 0x8100);
	put_be16(frame + 14, 0x2123);
	set(E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_VFE | E1000_RCTL_SECRC);
	assert_true(receive(frame, sizeof(frame)));
	assert_int_equal(get(E1000_RDH), 0);
	set(E1000_VFTA + 4 * (0x123 / 32), 1u << 0x123 % 32);
	assert_true(receive(frame, sizeof(frame)));
	d = next();
	assert_int_equal(d.length, 100);
	assert_int_equal(d.status & E1000_RX_VP, 0);
	set(E1000_CTRL, get(E1000_CTRL) | E1000_CTRL_VME);
	assert_true(receive(frame, sizeof(frame)));
	d = next();
	assert_int_equal(d.length, 96);
	assert_true(d.status & E1000_RX_VP);
	assert_int_equal(d.special, 0x2123);
	peek(RX_DATA + BUFFER, seen, sizeof(seen));
	assert_memory_equal(seen, frame, 12);
	assert_memory_equal(seen + 12, frame + 16, 84);
}

static void throttled(void **state)
{
	uint8_t frame[100];

	to_us(frame, sizeof(frame));
	set(E1000_IMS, E1000_INT_RXT0);
	set(E1000_ITR, 1000); /* 256 us */
	assert_true(receive(frame, sizeof(frame)));
	assert_true(e1000_pci(card)->intx);
	get(E1000_ICR);
	assert_false(e1000_pci(card)->intx);
	assert_true(receive(frame, sizeof(frame)));
	assert_false(e1000_pci(card)->intx);
	rig_run(&rig.rig, 200000);
	assert_false(e1000_pci(card)->intx);
	rig_run(&rig.rig, 100000);
	assert_true(e1000_pci(card)->intx);
	set(E1000_IMC, E1000_INT_RXT0);
	assert_false(e1000_pci(card)->intx);
	set(E1000_ICS, E1000_INT_LSC);
	set(E1000_IMS, E1000_INT_LSC);
	rig_run(&rig.rig, MS);
	assert_true(e1000_pci(card)->intx);
}

/* --- saved state ----------------------------------------------------------------- */

static void held(void **state)
{
	struct nic *nic = e1000_nic(card);
	uint8_t frame[100];

	to_us(frame, sizeof(frame));
	fake.later = true;
	descriptor(TX_DATA, 64 | E1000_TX_EOP, 0);
	go();
	fake.later = false;
	e1000_class.quiesce(card);
	nic->ops->again(nic);
	assert_int_equal(fake.sent, 0);
	assert_false(receive(frame, sizeof(frame)));
	assert_int_equal(get(E1000_RDH), 0);
	e1000_class.resume(card);
	assert_int_equal(fake.sent, 1);
	assert_int_equal(fake.rooms, 1);
}

/* Rings that a driver could have made, wires in the middle of a word. */
static void valid(void *object)
{
	struct e1000 *e = object;

	e->rx.size = e->tx.size = 0x1000;
	e->rx.head &= 0xff;
	e->rx.tail &= 0xff;
	e->tx.head &= 0xff;
	e->tx.tail &= 0xff;
	e->io_address &= 0x1fffc;
	e->wires.in_count = 9;
	e->wires.out_count = 7;
	e->wires.address &= 63;
	e->status |= E1000_STATUS_LU;
}

static void roundtrip(void **state)
{
	roundtrip_check(e1000_class.state, card, valid);
	pci_device_reset(e1000_pci(card));
	assert_int_equal(card->tx.head, 0);
}

static void fuzz(void **state)
{
	uint64_t seed = 5;
	uint8_t frame[200];

	for (unsigned int i = 0; i < 30000; i++) {
		uint32_t what = rig_random(&seed), v = rig_random(&seed);

		to_us(frame, sizeof(frame));
		switch (what % 5) {
		case 0:
			receive(frame, 14 + v % 180);
			break;
		case 1:
			descriptor(TX_DATA + v % 512, rig_random(&seed),
				   rig_random(&seed));
			go();
			break;
		case 2:
			set((v & 1 ? E1000_RDBAL : E1000_TDBAL) +
				    (v >> 1 & 7) * 4, rig_random(&seed) & 0x1ff);
			break;
		case 3:
			set(v & 0x5ffc, rig_random(&seed));
			break;
		default:
			start();
			break;
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(registers),
		TEST(eeprom),
		TEST(physical),
		TEST(link_changes),
		TEST(legacy_frame),
		TEST(unfinished),
		TEST(later),
		TEST(checksums),
		TEST(segmentation),
		TEST(vlan_sent),
		TEST(nonsense_sent),
		TEST(received),
		TEST(many_buffers),
		TEST(no_room),
		TEST(filters),
		TEST(vlan_received),
		TEST(throttled),
		TEST(held),
		TEST(roundtrip),
		TEST(fuzz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
