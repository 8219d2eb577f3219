/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/option.h"
#include "cli/run/limits.h"
#include "host/linux/extension.h"
#include "net/address.h"
#include "net/user.h"

/* --- options that every mode has -------------------------------------------------- */

static bool number(const char *value, unsigned int min, unsigned int max,
		   unsigned int *n)
{
	char *end;
	unsigned long long all;

	if (!value || !*value || strspn(value, "0123456789") != strlen(value))
		return false;
	all = strtoull(value, &end, 10);
	*n = (unsigned int)all;
	return all >= min && all <= max;
}

static int take_mac(struct machine_net *net, const char *value)
{
	if (!value || !address_parse_mac(value, net->config.mac)) {
		cli_error("run: --net: mac=%s: give the address of one card, "
			  "such as 52:54:00:12:34:56", value ? value : "");
		return -1;
	}
	net->config.mac_given = true;
	return 0;
}

static int take_mtu(struct machine_net *net, const char *value)
{
	unsigned int mtu;

	if (!number(value, NIC_MTU_MIN, NIC_MTU_MAX, &mtu)) {
		cli_error("run: --net: mtu=%s: give %u to %u",
			  value ? value : "", NIC_MTU_MIN, NIC_MTU_MAX);
		return -1;
	}
	net->config.mtu = (uint16_t)mtu;
	net->config.mtu_given = true;
	return 0;
}

static int take_queues(struct machine_net *net, const char *value)
{
	if (number(value, 1, NIC_QUEUES_MAX, &net->config.queues))
		return 0;
	cli_error("run: --net: queues=%s: give 1 to %u", value ? value : "",
		  NIC_QUEUES_MAX);
	return -1;
}

static int take_model(struct machine_net *net, const char *value)
{
	for (unsigned int i = 0; value && i < BOARD_NIC_MODELS; i++)
		if (!strcmp(nets_models[i], value)) {
			net->model = (enum board_nic_model)i;
			return 0;
		}
	cli_error("run: --net: model=%s: give virtio or e1000",
		  value ? value : "");
	return -1;
}

static int take_pcap(struct machine_net *net, const char *value)
{
	net->config.pcap = value;
	if (value && *value)
		return 0;
	cli_error("run: --net: pcap: give pcap=FILE");
	return -1;
}

static int take_pcap_limit(struct machine_net *net, const char *value)
{
	if (value && !strcmp(value, "none")) {
		net->config.pcap_limit = 0;
		return 0;
	}
	if (value && cli_parse_bytes(value, true, &net->config.pcap_limit) &&
	    net->config.pcap_limit)
		return 0;
	cli_error("run: --net: pcap-limit=%s: give a size such as 64M, or none",
		  value ? value : "");
	return -1;
}

static const struct {
	const char *name;
	int (*take)(struct machine_net *net, const char *value);
} common[] = {
	{ "mac", take_mac },	 { "mtu", take_mtu },
	{ "queues", take_queues }, { "model", take_model },
	{ "pcap", take_pcap },	 { "pcap-limit", take_pcap_limit },
};

#define COMMON (sizeof(common) / sizeof(common[0]))

/* --- one --net --------------------------------------------------------------------- */

static int take_own(struct machine_net *net, char *name, char *value)
{
	struct net_config *config = &net->config;
	const struct net_mode *mode = config->mode;

	for (unsigned int i = 0; i < mode->option_count; i++) {
		const struct net_option *option = &mode->options[i];

		if (strcmp(option->name, name))
			continue;
		if (!option->value == !!value || (value && !*value)) {
			cli_error("run: --net %s: give %s%s%s", mode->name,
				  name, option->value ? "=" : "",
				  option->value ? option->value : "");
			return -1;
		}
		if (net_word(config, name) ||
		    config->words == NET_WORDS_MAX) {
			cli_error("run: --net %s: %s is there twice",
				  mode->name, name);
			return -1;
		}
		config->word[config->words++] =
			(struct net_word){ option->name, value };
		return 0;
	}
	cli_error("run: --net %s: there is no option \"%s\"; see lodge-run(1)",
		  mode->name, name);
	return -1;
}

static int take_word(struct machine_net *net, char *word)
{
	int taken = limits_take_net("run: --net", &net->config.limits, word);
	char *value = strchr(word, '=');

	if (taken <= 0)
		return taken;

	if (value)
		*value++ = '\0';
	for (size_t i = 0; i < COMMON; i++)
		if (!strcmp(common[i].name, word))
			return common[i].take(net, value);
	return take_own(net, word, value);
}

static int bad_mode(const char *value, size_t length)
{
	char names[128] = "";

	if (length == 4 && !strncmp(value, "none", 4)) {
		cli_error("run: --net none: takes no options");
		return -1;
	}
	for (unsigned int i = 0; i < net_mode_count; i++)
		snprintf(names + strlen(names), sizeof(names) - strlen(names),
			 "%s%s", i ? ", " : "", net_modes[i]->name);
	cli_error("run: --net %.*s: give %s or none", (int)length, value,
		  names);
	return -1;
}

static int take_subject(struct machine_net *net, char *subject)
{
	const struct net_mode *mode = net->config.mode;

	net->config.subject = subject;
	if (mode->subject && !(subject ? *subject : mode->subject_optional))
		cli_error("run: --net %s: give %s=%s", mode->name, mode->name,
			  mode->subject);
	else if (!mode->subject && subject)
		cli_error("run: --net %s: takes no =%s", mode->name, subject);
	else
		return 0;
	return -1;
}

/* "MODE[=SUBJECT][,OPTION...]" */
static int take_mode(struct cli_nets *nets, const char *value)
{
	struct machine_net *net = &nets->net[nets->count];
	const size_t length = strcspn(value, ",=");
	char *word, *rest, *subject;

	*net = (struct machine_net){
		.config = {
			.mode = net_mode_find(value, length),
			.mtu = NIC_MTU_DEFAULT,
			.queues = 1,
			.pcap_limit = NET_PCAP_LIMIT,
		},
	};
	if (!net->config.mode)
		return bad_mode(value, length);
	rest = nets->words[nets->count] = strdup(value + length);
	if (!rest)
		return -1;
	nets->count++;
	word = strsep(&rest, ",");
	subject = strchr(word, '=');
	if (take_subject(net, subject ? subject + 1 : NULL))
		return -1;
	while ((word = strsep(&rest, ",")))
		if (*word && take_word(net, word))
			return -1;
	return 0;
}

int net_take(struct cli_nets *nets, const char *value)
{
	nets->given = true;
	if (!strcmp(value, "none")) {
		nets->none = true;
		return 0;
	}
	if (nets->count == BOARD_NICS_MAX) {
		cli_error("run: more than %d network cards", BOARD_NICS_MAX);
		return -1;
	}
	return take_mode(nets, value);
}

int net_take_publish(struct cli_nets *nets, const char *value)
{
	if (nets->publishes == NET_PUBLISH_MAX) {
		cli_error("run: more than %d published ports",
			  NET_PUBLISH_MAX);
		return -1;
	}
	if (address_parse_publish(value, &nets->publish[nets->publishes])) {
		nets->publishes++;
		return 0;
	}
	cli_error("run: --publish %s: give [HOST:]PORT:GUESTPORT[/udp], such "
		  "as 8080:80", value);
	return -1;
}

/* --- all of them -------------------------------------------------------------------- */

static int check_macs(const struct cli_nets *nets)
{
	char mac[ADDRESS_MAC];

	for (unsigned int i = 0; i < nets->count; i++)
		for (unsigned int k = 0; k < i; k++)
			if (nets->net[i].config.mac_given &&
			    nets->net[k].config.mac_given &&
			    !memcmp(nets->net[i].config.mac,
				    nets->net[k].config.mac, NIC_MAC)) {
				cli_error("run: --net: two cards have the "
					  "address %s; give each its own",
					  address_mac(mac,
						      nets->net[i].config.mac));
				return -1;
			}
	return 0;
}

/* The first card that can gets all ports; one of mode user before others. */
static int give_ports(struct cli_nets *nets)
{
	struct net_config *to = NULL;

	for (unsigned int i = 0; nets->publishes && i < nets->count; i++) {
		struct net_config *config = &nets->net[i].config;

		if (config->mode->can_publish &&
		    (!to || (config->mode == &net_user_mode &&
			     to->mode != &net_user_mode)))
			to = config;
	}
	if (to) {
		to->publish = nets->publish;
		to->publishes = nets->publishes;
	}
	if (to || !nets->publishes)
		return 0;
	cli_error("run: --publish: goes with --net user, network=NAME and "
		  "switch=NAME");
	return -1;
}

int net_complete(struct cli_nets *nets, bool unasked)
{
	struct net_error error;

	if (nets->none && nets->count) {
		cli_error("run: --net none: stands alone");
		return -1;
	}
	/* A lodge that was built without it has no network then. */
	if (!nets->given &&
	    (nets->publishes || (unasked && extension_present("user-net"))) &&
	    take_mode(nets, "user"))
		return -1;
	for (unsigned int i = 0; i < nets->count; i++) {
		struct net_config *config = &nets->net[i].config;

		if (nets->net[i].model == BOARD_NIC_E1000 &&
		    config->queues > 1) {
			cli_error("run: --net: queues=%u: model=e1000 has one "
				  "pair; give model=virtio", config->queues);
			return -1;
		}
		if (!config->mode->check || !config->mode->check(config, &error))
			continue;
		cli_error("run: --net %s: %s", config->mode->name, error.text);
		return -1;
	}
	return check_macs(nets) || give_ports(nets) ? -1 : 0;
}

void net_free(struct cli_nets *nets)
{
	for (unsigned int i = 0; i < BOARD_NICS_MAX; i++)
		free(nets->words[i]);
}
