/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks behind a machine's cards: `--net MODE[,OPTION...]`. A mode is one
 * entry of net_modes[]: it checks its words and makes a struct net (see
 * vm/nic.h). net_open() puts a net_link before it, which does what a mode
 * leaves out: offloads, capture.
 */
#ifndef LODGE_NET_NET_H
#define LODGE_NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/limiter.h"
#include "vm/nic.h"

#define NET_WORDS_MAX	8
#define NET_PUBLISH_MAX 64
#define NET_ADDRESS	46 /* of either family, as text */
#define NET_PCAP_LIMIT	((uint64_t)1 << 30) /* when nothing is said */

/* One line that names what is wrong, and what to do. */
struct net_error {
	char text[256];
};

/* Fills in the error; always -1. */
int net_error_set(struct net_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* An option of a mode: NAME=VALUE, or NAME alone (value NULL). */
struct net_word {
	const char *name, *value;
};

/* A port of the host that leads to one of the guest. */
struct net_publish {
	char host[NET_ADDRESS]; /* "": this computer's own; "*": any */
	uint16_t port, guest;
	bool udp;
};

struct net_config {
	const struct net_mode *mode;
	const char *subject; /* of MODE=SUBJECT; NULL: not given */
	/* That every mode has. */
	uint8_t mac[NIC_MAC];
	bool mac_given;
	uint16_t mtu;
	bool mtu_given;
	unsigned int queues; /* pairs */
	const char *pcap;    /* file; NULL: none */
	uint64_t pcap_limit; /* bytes; 0: any number */
	struct net_limits limits;
	/* The mode's own. */
	struct net_word word[NET_WORDS_MAX];
	unsigned int words;
	const struct net_publish *publish;
	unsigned int publishes;
	const char *machine; /* its name */
	bool guarded; /* another process mends its network */
};

struct net_option {
	const char *name;
	const char *value; /* what its value is, in words; NULL: it has none */
};

struct net_mode {
	const char *name;
	const char *subject; /* "NAME" of NAME in MODE=NAME; NULL: MODE alone */
	bool subject_optional; /* MODE alone as well */
	const struct net_option *options;
	unsigned int option_count;
	bool can_publish;
	/* Optional. Whether the words can be: 0, or -1 with the error. */
	int (*check)(const struct net_config *config, struct net_error *error);
	/* Optional. The mode that it comes to: asked before it is opened. */
	const struct net_mode *(*settle)(const struct net_config *config);
	/* -1 with the error. `config` stays until the net is closed. */
	int (*open)(struct net **net, const struct net_config *config,
		    struct net_error *error);
};

extern const struct net_mode *const net_modes[];
extern const unsigned int net_mode_count;

/* NULL: there is none of that name. */
const struct net_mode *net_mode_find(const char *name, size_t length);

/* The value of an option of the mode's, "" for one without; NULL: not given. */
const char *net_word(const struct net_config *config, const char *name);

/*
 * The net of `config`, with a link before it. It starts nothing before a card
 * asks for it. -1 with the error.
 */
int net_open(struct net **net, const struct net_config *config,
	     struct net_error *error);

/* What its card may do from now on: 0 or a negative errno; and what it may. */
int net_limit(struct net *net, const struct net_limits *limits);
void net_limits(struct net *net, struct net_limits *limits);

/* When its card is gone. NULL is fine. */
void net_close(struct net *net);

/*
 * An address for a card that was given none: always the same for that machine
 * and card, one that is locally administered.
 */
void net_make_mac(uint8_t mac[NIC_MAC], const char *machine,
		  unsigned int index);

#endif
