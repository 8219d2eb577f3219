/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_net.h"

static bool send_frame(struct net *net, unsigned int queue,
		       const struct nic_frame *frame)
{
	struct fake_net *fake = (struct fake_net *)net;
	struct fake_sent *sent = &fake->frame[fake->sent % FAKE_NET_FRAMES];

	if (fake->later)
		return false;
	sent->frame = *frame;
	sent->frame.span = NULL;
	sent->queue = queue;
	nic_frame_read(frame, 0, sent->data, frame->size);
	fake->sent++;
	return true;
}

static void flush(struct net *net, unsigned int queue)
{
	((struct fake_net *)net)->flushes++;
}

static void room(struct net *net)
{
	((struct fake_net *)net)->rooms++;
}

static void start(struct net *net)
{
	((struct fake_net *)net)->starts++;
}

static void stop(struct net *net)
{
	((struct fake_net *)net)->stops++;
}

static void part(struct net *net)
{
	static const uint8_t broadcast[NIC_FRAME_MIN] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	};
	struct fake_net *fake = (struct fake_net *)net;

	fake->parts++;
	if (fake->last)
		fake_net_give(fake, broadcast, sizeof(broadcast));
}

static void close_net(struct net *net)
{
}

static const struct net_ops fake_ops = {
	.send = send_frame,
	.flush = flush,
	.room = room,
	.start = start,
	.stop = stop,
	.part = part,
	.close = close_net,
};

void fake_net_init(struct fake_net *fake)
{
	memset(fake, 0, sizeof(*fake));
	fake->net.ops = &fake_ops;
	fake->net.can = NIC_CAN_ALL;
	fake->net.link = true;
}

bool fake_net_give(struct fake_net *fake, const void *data, uint32_t size)
{
	const struct span span = { (void *)data, size };
	const struct nic_frame frame = { .span = &span, .spans = 1,
					 .size = size };
	struct nic *nic = fake->net.nic;
	bool over = nic->ops->receive(nic, &frame);

	nic->ops->flush(nic);
	return over;
}

const struct fake_sent *fake_net_last(const struct fake_net *fake)
{
	return &fake->frame[(fake->sent - 1) % FAKE_NET_FRAMES];
}
