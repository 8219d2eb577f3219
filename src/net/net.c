/* SPDX-License-Identifier: Apache-2.0 */
#include "net/net.h"

#include <string.h>

#include "net/link.h"
#include "net/socket.h"
#include "net/switch/mode.h"
#include "net/tap.h"
#include "net/user.h"
#include "net/vhost/mode.h"

const struct net_mode *const net_modes[] = {
	&net_user_mode,
	&net_tap_mode,
	&net_bridge_mode,
	&net_socket_mode,
	&net_vhost_user_mode,
	&net_switch_mode,
	&net_network_mode,
};

const unsigned int net_mode_count = sizeof(net_modes) / sizeof(net_modes[0]);

const struct net_mode *net_mode_find(const char *name, size_t length)
{
	for (unsigned int i = 0; i < net_mode_count; i++)
		if (!strncmp(net_modes[i]->name, name, length) &&
		    !net_modes[i]->name[length])
			return net_modes[i];
	return NULL;
}

const char *net_word(const struct net_config *config, const char *name)
{
	for (unsigned int i = 0; i < config->words; i++)
		if (!strcmp(config->word[i].name, name))
			return config->word[i].value ? config->word[i].value
						     : "";
	return NULL;
}

int net_open(struct net **out, const struct net_config *config,
	     struct net_error *error)
{
	struct capture *capture = NULL;
	struct net *backend;

	*out = NULL;
	if (config->pcap &&
	    capture_open(&capture, config->pcap, config->pcap_limit, error))
		return -1;
	if (config->mode->open(&backend, config, error)) {
		capture_close(capture);
		return -1;
	}
	*out = net_link_create(backend, capture);
	if (*out) {
		net_limit(*out, &config->limits); /* starts nothing yet */
		return 0;
	}
	backend->ops->close(backend);
	capture_close(capture);
	return net_error_set(error, "out of memory");
}

int net_limit(struct net *net, const struct net_limits *limits)
{
	return limiter_set(net_link_limiter(net), limits);
}

void net_limits(struct net *net, struct net_limits *limits)
{
	limiter_get(net_link_limiter(net), limits);
}

void net_close(struct net *net)
{
	if (net)
		net->ops->close(net);
}

/* FNV-1a, 64 bits: enough of it for five bytes. */
void net_make_mac(uint8_t mac[NIC_MAC], const char *machine,
		  unsigned int index)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (; *machine; machine++)
		hash = (hash ^ (uint8_t)*machine) * 0x100000001b3;
	hash = (hash ^ (index + 0x100)) * 0x100000001b3;
	hash ^= hash >> 32;
	mac[0] = 0x52;
	for (unsigned int i = 1; i < NIC_MAC; i++)
		mac[i] = (uint8_t)(hash >> 8 * (i - 1));
}
