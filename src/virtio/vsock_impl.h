/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of the socket device: vsock.c (queues, reset, saved
 * state), vsock_conn.c (connections and what becomes of them), vsock_packet.c
 * (what the guest sends and is sent). Held: the device's own lock.
 */
#ifndef LODGE_VIRTIO_VSOCK_IMPL_H
#define LODGE_VIRTIO_VSOCK_IMPL_H

#include "virtio/vsock.h"

#define VSOCK_HEADER	44u
#define VSOCK_CHAINS	256 /* of the table of connections */
#define VSOCK_REPLIES	256
#define VSOCK_PATIENCE	8000000000ull /* ns for the guest to end its side */

#define VSOCK_STREAM 1 /* type */

enum vsock_op {
	VSOCK_REQUEST = 1,
	VSOCK_RESPONSE,
	VSOCK_RST,
	VSOCK_SHUTDOWN,
	VSOCK_RW,
	VSOCK_CREDIT_UPDATE,
	VSOCK_CREDIT_REQUEST,
};

/* Flags of SHUTDOWN */
#define VSOCK_NO_RECEIVE 1u
#define VSOCK_NO_SEND	 2u
#define VSOCK_NO_MORE	 3u

struct vsock_header {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port;
	uint32_t len;
	uint16_t type, op;
	uint32_t flags;
	uint32_t buf_alloc, fwd_cnt;
} __attribute__((packed));

enum vsock_state {
	VSOCK_FREE,
	VSOCK_OFFERED, /* by the host; the guest is to answer */
	VSOCK_OPEN,
	VSOCK_ENDED,   /* the host's end is closed, the guest is to say RST */
	VSOCK_RESET,   /* the same, and RST is to be sent */
	VSOCK_LINGERS, /* the guest is done with it, the host still reads */
};

/* Packets to be sent when there is a buffer. */
#define VSOCK_DUE_REQUEST  0x01u
#define VSOCK_DUE_RESPONSE 0x02u
#define VSOCK_DUE_CREDIT   0x04u
#define VSOCK_DUE_ASK	   0x08u /* CREDIT_REQUEST */
#define VSOCK_DUE_SHUTDOWN 0x10u

struct vsock_connection {
	enum vsock_state state;
	struct vsock_stream *stream; /* NULL: closed */
	uint32_t host_port, guest_port;
	uint32_t due;
	uint32_t host_ended, guest_ended; /* VSOCK_NO_* */
	bool readable; /* the stream may have bytes */
	bool hung;     /* and takes none */

	/* The guest's buffer: its size, bytes read from it and sent to it. */
	uint32_t guest_alloc, guest_forwarded, sent;
	bool asked; /* no news since the last CREDIT_REQUEST */

	/*
	 * Ours: bytes taken from the guest, given to the host, and how many
	 * of these the guest knows of. The rest is in `ring`.
	 */
	uint32_t received, forwarded, told;
	uint8_t *ring; /* VSOCK_BUFFER bytes; NULL until needed */

	uint64_t deadline; /* VM ns, of VSOCK_ENDED */
	struct vsock_connection *next; /* of a chain, or free */
	struct vsock_connection *next_due;
	bool listed; /* in the list of those with something to send */
};

/* A RST for an address that has no connection. */
struct vsock_reply {
	uint64_t from_cid;
	uint32_t from_port, to_port;
	uint16_t type;
};

struct virtio_vsock {
	struct virtio_device virtio;
	struct virtio_pci pci;
	struct vsock_host *host;
	uint32_t cid;
	struct host_work events; /* takes the host's */

	struct host_lock lock; /* guards the rest */
	struct timer timer;    /* for connections in VSOCK_ENDED */
	bool event_due;	       /* TRANSPORT_RESET */
	bool tx_waits;	       /* for room in `reply` */
	uint32_t next_port; /* saved: of the next offer */
	struct vsock_connection *free;
	struct vsock_connection *chain[VSOCK_CHAINS];
	struct vsock_connection *first_due, *last_due;
	unsigned int reply_at, replies;
	struct vsock_reply reply[VSOCK_REPLIES];
	struct virtio_buffer rx_buffer, tx_buffer, event_buffer;
	struct span spans[VIRTIO_SPANS_MAX];
	struct vsock_connection connection[VSOCK_CONNECTIONS_MAX];
};

/* --- vsock_conn.c ------------------------------------------------------------ */

/* All connections free, their streams closed. */
void vsock_connections_reset(struct virtio_vsock *v);

/* By its address; NULL. */
struct vsock_connection *vsock_find(struct virtio_vsock *v, uint32_t host_port,
				    uint32_t guest_port);

/* A connection with this address, which none has. NULL: there are too many. */
struct vsock_connection *vsock_new(struct virtio_vsock *v, uint32_t host_port,
				   uint32_t guest_port);
void vsock_free(struct virtio_vsock *v, struct vsock_connection *c);

/* Behind those that have something to send; and the rx queue's turn comes. */
void vsock_list(struct virtio_vsock *v, struct vsock_connection *c);
void vsock_send_soon(struct virtio_vsock *v, struct vsock_connection *c);
void vsock_due(struct virtio_vsock *v, struct vsock_connection *c,
	       uint32_t due);

/* The host's events, all that there are. */
void vsock_take_events(struct virtio_vsock *v);

/* Bytes from the guest; false: more than it was allowed to send. */
bool vsock_take_data(struct virtio_vsock *v, struct vsock_connection *c,
		     const struct span *span, unsigned int spans,
		     uint32_t size);

/* What the guest says of its side. */
void vsock_guest_ends(struct virtio_vsock *v, struct vsock_connection *c,
		      uint32_t flags);
void vsock_guest_resets(struct virtio_vsock *v, struct vsock_connection *c);

/* Ends both sides: RST. */
void vsock_abort(struct virtio_vsock *v, struct vsock_connection *c);

/* The host's side: nothing more comes from it, or it is all over. */
void vsock_host_ends(struct virtio_vsock *v, struct vsock_connection *c);
void vsock_host_gone(struct virtio_vsock *v, struct vsock_connection *c);

/* Resets those whose guest has not ended them in time. */
void vsock_timer_fired(void *ctx);

/* --- vsock_packet.c ---------------------------------------------------------- */

/* A packet of the guest's; there is room for a reply. */
void vsock_receive(struct virtio_vsock *v, const struct virtio_buffer *buffer);

/* Whether there may be something to send. */
bool vsock_has_packet(const struct virtio_vsock *v);

/* Writes the next packet into a buffer of the rx queue; its size, or 0. */
uint32_t vsock_send(struct virtio_vsock *v, struct virtio_queue *queue,
		    struct virtio_buffer *buffer);

#endif
