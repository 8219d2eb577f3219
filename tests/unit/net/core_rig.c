/* SPDX-License-Identifier: Apache-2.0 */
#include "core_rig.h"

#include <stdlib.h>
#include <string.h>

struct network network;
struct core *core;

void core_rig_build(const char *const *more,
		    bool (*give)(void *ctx, const struct core_frame *frame),
		    void *ctx)
{
	struct network_change change = { 0 };
	struct net_error error;

	network_init(&network, "lab");
	assert_int_equal(network_set(&network, &change, "subnet",
				     "10.1.0.0/24", &error), 0);
	for (; *more; more += 2)
		assert_int_equal(network_set(&network, &change, more[0],
					     more[1], &error), 0);
	assert_int_equal(network_complete(&network, &change, &error), 0);
	core = calloc(1, sizeof(*core));
	core_init(core, &network);
	core->port[CORE_OWN].used = true;
	core->port[CORE_OWN].give = give;
	core->port[CORE_OWN].ctx = ctx;
}

int core_rig_teardown(void **state)
{
	core_end(core);
	free(core);
	return 0;
}

void mac_of(uint8_t mac[NIC_MAC], unsigned int n)
{
	memcpy(mac, (const uint8_t[]){ 0x52, 0x54, 0, 0, 0, (uint8_t)n }, 6);
}

unsigned int core_rig_plug(unsigned int n, const char *machine,
			   bool (*give)(void *ctx,
					const struct core_frame *frame),
			   void *ctx)
{
	uint8_t mac[NIC_MAC];
	const struct core_card card = { .mac = mac,
					.machine = machine,
					.give = give,
					.ctx = ctx };
	int port;

	mac_of(mac, n);
	port = core_plug(core, &card);
	assert_true(port > 0);
	return (unsigned int)port;
}
