/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network cards, whatever their model: the functions of one slot.
 */
#include "board/layout.h"
#include "board/pc.h"
#include "device/e1000.h"
#include "virtio/net.h"
#include "vm/bytes.h"

static int make_virtio(struct board *board, const struct board_nic *nic,
		       struct nic **out, struct pci_device **pci)
{
	struct virtio_net_config config = {
		.net = nic->net,
		.mtu = nic->mtu,
		.queues = nic->queues,
	};
	struct virtio_net *v;
	int err;

	memcpy(config.mac, nic->mac, NIC_MAC);
	err = virtio_net_create(&v, &board->vm, &config);
	if (err)
		return err;
	*out = virtio_net_nic(v);
	*pci = virtio_net_pci(v);
	return 0;
}

static int make_e1000(struct board *board, const struct board_nic *nic,
		      struct nic **out, struct pci_device **pci)
{
	struct e1000_config config = { .net = nic->net };
	struct e1000 *e;
	int err;

	memcpy(config.mac, nic->mac, NIC_MAC);
	err = e1000_create(&e, &board->vm, &config);
	if (err)
		return err;
	*out = e1000_nic(e);
	*pci = e1000_pci(e);
	return 0;
}

static int (*const make[])(struct board *board, const struct board_nic *nic,
			   struct nic **out, struct pci_device **pci) = {
	[BOARD_NIC_VIRTIO] = make_virtio,
	[BOARD_NIC_E1000] = make_e1000,
};

int nic_add_all(struct board *board, const struct board_config *config)
{
	int err = 0;

	for (unsigned int i = 0; i < config->nics && !err; i++) {
		const struct board_nic *nic = &config->nic[i];
		struct pci_device *pci;

		err = make[nic->model](board, nic, &board->nic[i], &pci);
		if (!err)
			err = pci_attach(&board->pci.root, pci,
					 PCI_DEVFN(LAYOUT_SLOT_NICS, i));
	}
	return err;
}

struct nic *board_nic(struct board *board, unsigned int index)
{
	return board->nic[index];
}
