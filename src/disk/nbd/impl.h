/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the NBD server share: the wire's numbers and a client.
 */
#ifndef LODGE_DISK_NBD_IMPL_H
#define LODGE_DISK_NBD_IMPL_H

#include "disk/nbd/nbd.h"
#include "disk/wire.h"
#include "host/linux/thread.h"

/* --- handshake ---------------------------------------------------------------- */
#define NBD_MAGIC	 0x4e42444d41474943u /* "NBDMAGIC" */
#define NBD_OPTION_MAGIC 0x49484156454f5054u /* "IHAVEOPT" */
#define NBD_REPLY_MAGIC	 0x0003e889045565a9u

#define NBD_FIXED_NEWSTYLE 0x1u
#define NBD_NO_ZEROES	   0x2u

enum nbd_option {
	NBD_OPT_EXPORT_NAME = 1,
	NBD_OPT_ABORT = 2,
	NBD_OPT_LIST = 3,
	NBD_OPT_INFO = 6,
	NBD_OPT_GO = 7,
	NBD_OPT_STRUCTURED_REPLY = 8,
	NBD_OPT_LIST_META_CONTEXT = 9,
	NBD_OPT_SET_META_CONTEXT = 10,
};

enum nbd_option_reply {
	NBD_REP_ACK = 1,
	NBD_REP_SERVER = 2,
	NBD_REP_INFO = 3,
	NBD_REP_META_CONTEXT = 4,
};
#define NBD_REP_ERR_UNSUP   0x80000001u
#define NBD_REP_ERR_INVALID 0x80000003u
#define NBD_REP_ERR_UNKNOWN 0x80000006u
#define NBD_REP_ERR_TOO_BIG 0x80000009u

#define NBD_INFO_EXPORT	     0u
#define NBD_INFO_DESCRIPTION 2u
#define NBD_INFO_BLOCK_SIZE  3u

#define NBD_FLAG_HAS_FLAGS	   0x001u
#define NBD_FLAG_READ_ONLY	   0x002u
#define NBD_FLAG_SEND_FLUSH	   0x004u
#define NBD_FLAG_SEND_FUA	   0x008u
#define NBD_FLAG_SEND_TRIM	   0x020u
#define NBD_FLAG_SEND_WRITE_ZEROES 0x040u
#define NBD_FLAG_SEND_DF	   0x080u
#define NBD_FLAG_CAN_MULTI_CONN	   0x100u

/* --- transmission ---------------------------------------------------------------- */
#define NBD_REQUEST_MAGIC    0x25609513u
#define NBD_SIMPLE_MAGIC     0x67446698u
#define NBD_STRUCTURED_MAGIC 0x668e33efu

enum nbd_command {
	NBD_CMD_READ = 0,
	NBD_CMD_WRITE = 1,
	NBD_CMD_DISC = 2,
	NBD_CMD_FLUSH = 3,
	NBD_CMD_TRIM = 4,
	NBD_CMD_WRITE_ZEROES = 6,
	NBD_CMD_BLOCK_STATUS = 7,
};

#define NBD_CMD_FLAG_FUA     0x01u
#define NBD_CMD_FLAG_NO_HOLE 0x02u
#define NBD_CMD_FLAG_DF	     0x04u
#define NBD_CMD_FLAG_REQ_ONE 0x08u

#define NBD_CHUNK_DONE	      1u /* flag: no more for this request */
#define NBD_CHUNK_NONE	      0u
#define NBD_CHUNK_DATA	      1u
#define NBD_CHUNK_HOLE	      2u
#define NBD_CHUNK_STATUS      5u
#define NBD_CHUNK_ERROR	      0x8001u

#define NBD_STATE_HOLE 1u
#define NBD_STATE_ZERO 2u

#define NBD_PAYLOAD_MAX (32u << 20) /* bytes of a read or write */
#define NBD_STRING_MAX	4096u
#define NBD_CONTEXT	"base:allocation"
#define NBD_CONTEXT_ID	1u

#define NBD_THREADS 4 /* requests of one client under way at once */
#define NBD_CLIENTS 16

/* One connection. A thread takes a request off the socket, does it and sends
 * the reply, while another takes the next. */
struct nbd_client {
	struct nbd_server *server;
	int fd; /* -1: the place is free */
	bool structured, allocation, no_zeroes;
	_Atomic bool dead;
	pthread_mutex_t receiving, sending;
	struct thread thread[NBD_THREADS];
	struct thread main;
	bool over; /* its threads have ended; guarded by the server's mutex */
};

struct nbd_server {
	struct nbd_export export;
	int listener, quit[2];
	struct thread accepting;
	pthread_mutex_t mutex;
	struct nbd_client client[NBD_CLIENTS];
};

/* All of it; false: the connection is over. */
bool nbd_receive(struct nbd_client *client, void *buf, size_t size);
bool nbd_send(struct nbd_client *client, const void *buf, size_t size,
	      bool more);

/* option.c: true when the client wants the export now. */
bool nbd_negotiate(struct nbd_client *client);

/* request.c: requests, one after the other, until the connection ends. */
void nbd_serve(struct nbd_client *client);

#endif
