/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages to the kernel's routing socket (rtnetlink(7)): built in place, sent
 * one at a time, their answer waited for. Interfaces, addresses, bridges.
 */
#ifndef LODGE_NET_RTNL_H
#define LODGE_NET_RTNL_H

#include <linux/netlink.h>
#include <net/if.h>
#include <stddef.h>
#include <stdint.h>

#define RTNL_MESSAGE 2048

struct rtnl {
	int fd; /* -1: not open */
	uint32_t sequence;
	int overflow; /* the message has not fitted */
	union {
		struct nlmsghdr head;
		uint8_t message[RTNL_MESSAGE];
	};
};

/* 0 or a negative errno. */
int rtnl_open(struct rtnl *r);

void rtnl_close(struct rtnl *r);

/*
 * Begins a message with its fixed part, which is cleared; NLM_F_REQUEST and
 * NLM_F_ACK are set anyway.
 */
void *rtnl_begin(struct rtnl *r, uint16_t type, uint16_t flags, size_t size);

void rtnl_put(struct rtnl *r, uint16_t type, const void *data, size_t size);
void rtnl_put_text(struct rtnl *r, uint16_t type, const char *text);
void rtnl_put_u8(struct rtnl *r, uint16_t type, uint8_t value);
void rtnl_put_u16(struct rtnl *r, uint16_t type, uint16_t value);
void rtnl_put_u32(struct rtnl *r, uint16_t type, uint32_t value);

/* Attributes between the two are one attribute's. */
struct nlattr *rtnl_nest(struct rtnl *r, uint16_t type);
void rtnl_nest_end(struct rtnl *r, struct nlattr *nest);

/* Sends it, and waits for what the kernel says: 0 or a negative errno. */
int rtnl_talk(struct rtnl *r);

/* --- what others do ---------------------------------------------------------- */

/*
 * A socket that tells of changes of interfaces, and does not wait; -1: none.
 * Of no interest which: who hears of one forgets them all and looks himself.
 */
int rtnl_watch_links(void);
void rtnl_forget(int links);

/* --- interfaces -------------------------------------------------------------- */

/* A change of an interface; 0 and NULL: as it is. */
struct rtnl_link {
	unsigned int mtu;
	const uint8_t *mac; /* 6 bytes */
	unsigned int bridge; /* index: becomes a port of it */
	int up;
};

/* 0 or a negative errno. */
int rtnl_change(struct rtnl *r, unsigned int index,
		const struct rtnl_link *change);

/*
 * The name of a bridge's port with that address (6 bytes). 0, -ENOENT for none,
 * or another negative errno.
 */
int rtnl_find_port(struct rtnl *r, unsigned int bridge, const uint8_t *mac,
		   char name[IFNAMSIZ]);

/* It makes itself no address of IPv6, once it is up. 0 or a negative errno. */
int rtnl_no_addresses(struct rtnl *r, unsigned int index);

#endif
