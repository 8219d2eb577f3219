/* SPDX-License-Identifier: Apache-2.0 */
#include "net_rig.h"

struct pci_rig rig;
struct fake_net net;
struct virtio_net *card;
struct driver driver;
uint64_t ring;
uint8_t frame[NIC_FRAME_MAX], back[NIC_FRAME_MAX + HEADER];
unsigned int offered;

const uint8_t own[NIC_MAC] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

int net_setup(void **state)
{
	struct virtio_net_config config = {
		.net = &net.net,
		.mtu = 9000,
		.queues = PAIRS,
	};

	ring = 0;
	memcpy(config.mac, own, NIC_MAC);
	fake_net_init(&net);
	pci_rig_init(&rig);
	assert_int_equal(host_worker_create(&rig.rig.vm.worker, "devices"), 0);
	assert_int_equal(virtio_net_create(&card, &rig.rig.vm, &config), 0);
	assert_int_equal(pci_attach(&rig.host.root, virtio_net_pci(card),
				    DRIVER_DEVFN), 0);
	for (unsigned int i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 7 + i / 256);
	memcpy(frame, own, NIC_MAC);
	frame[12] = 0x08;
	frame[13] = 0;
	return 0;
}

int net_setup_packed(void **state)
{
	net_setup(state);
	ring = PACKED | VIRTIO_F_EVENT_IDX;
	return 0;
}

int net_teardown(void **state)
{
	pci_rig_fini(&rig);
	assert_int_equal(net.parts, 1);
	assert_int_equal(fake_live(), 0);
	return 0;
}

void start(uint64_t features)
{
	driver_start(&driver, &rig, features | ring,
		     features & NET_F_MQ	     ? 2 * PAIRS + 1 :
		     features & NET_F_CTRL_VQ ? 3 :
						       2,
		     16);
	rig.sent_count = 0;
}

void offer_frame(const struct header *h, uint32_t size)
{
	const struct driver_desc descs[] = {
		{ TX_AT, HEADER, 0 },
		{ TX_AT + HEADER, size, 0 },
	};

	driver_poke(&driver, TX_AT, h, HEADER);
	driver_poke(&driver, TX_AT + HEADER, frame, size);
	driver_offer(&driver, 1, descs, 2);
	driver_notify(&driver, 1);
}

bool transmit(const struct header *h, uint32_t size)
{
	unsigned int before = net.sent;
	uint32_t written;
	uint16_t id;

	offer_frame(h, size);
	assert_true(driver_take(&driver, 1, &id, &written));
	assert_int_equal(written, 0);
	return net.sent > before;
}

void offer_room(unsigned int queue, uint32_t size)
{
	const struct driver_desc desc = { RX_AT + RX_STEP * (offered++ % 64),
					  size, VIRTQ_WRITE };

	driver_offer(&driver, queue, &desc, 1);
	driver_notify(&driver, queue);
}

uint32_t collect(unsigned int queue, unsigned int number, uint32_t at)
{
	uint32_t written;
	uint16_t id;

	assert_true(driver_take(&driver, queue, &id, &written));
	driver_peek(&driver, RX_AT + RX_STEP * (number % 64), back + at,
		    written);
	return written;
}

bool nothing(unsigned int queue)
{
	uint32_t written;
	uint16_t id;

	return !driver_take(&driver, queue, &id, &written);
}

unsigned int control_queue(void)
{
	return driver.features & NET_F_MQ ? 2 * PAIRS : 2;
}

uint8_t command(uint8_t class, uint8_t what, const void *data, uint32_t size)
{
	const struct driver_desc descs[] = {
		{ CT_AT, 2 + size, 0 },
		{ ACK_AT, 1, VIRTQ_WRITE },
	};
	const uint8_t word[2] = { class, what };
	uint32_t written;
	uint16_t id;

	driver_poke(&driver, CT_AT, word, 2);
	driver_poke(&driver, CT_AT + 2, data, size);
	driver_poke16(&driver, ACK_AT, 0x5555);
	driver_offer(&driver, control_queue(), descs, 2);
	driver_notify(&driver, control_queue());
	assert_true(driver_take(&driver, control_queue(), &id, &written));
	assert_int_equal(written, 1);
	return driver_peek16(&driver, ACK_AT) & 0xff;
}
