/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the NVMe controller share: queues, requests, and how a
 * command ends.
 *
 * Commands run on the VM's worker. nvme.lock guards everything here; it comes
 * after the VM's device lock and before that of MSI-X, and is given back only
 * while the block works on a request. A command is taken from its queue when
 * its completion has a place, so that none ever waits for one; asynchronous
 * event requests alone wait, as numbers. A reset drops what is under way: it
 * ends without a word to the guest, and the reset is over when it has.
 */
#ifndef LODGE_DEVICE_NVME_IMPL_H
#define LODGE_DEVICE_NVME_IMPL_H

#include "device/nvme.h"
#include "device/nvme_reg.h"
#include "vm/host.h"
#include "vm/span.h"

#define NVME_QUEUES	   (NVME_QUEUES_MAX + 1) /* the admin queues are 0 */
#define NVME_ENTRIES	   1024u /* of an I/O queue, at most */
#define NVME_ADMIN_ENTRIES 4096u
#define NVME_SECTOR	   512u
#define NVME_MDTS	   8u /* 1 MiB a command */
#define NVME_DATA_MAX	   (NVME_PAGE << NVME_MDTS)
#define NVME_SPANS	   (NVME_DATA_MAX / NVME_PAGE + 1)
#define NVME_EVENTS	   4u /* requests that may wait */
#define NVME_ABORTS	   4u
#define NVME_ERRORS	   16u /* entries of the log */
#define NVME_ERROR_ENTRY   64u
#define NVME_FEATURES	   12u /* numbered from 1 */
#define NVME_REQUESTS	   512u /* under way at a time */
#define NVME_NO_QUEUE	   0xffffu /* of the flush at shutdown */
#define NVME_TEMPERATURE   310u /* kelvins, always */
#define NVME_TEMPERATURE_WARN 343u
#define NVME_TEMPERATURE_MAX  373u

struct nvme_request;

struct nvme_sq {
	uint64_t base;
	uint32_t size; /* entries; 0: there is no such queue */
	uint32_t head, tail;
	uint32_t cq;
	uint32_t under_way;
	struct nvme_request *deleting; /* a command that waits for the rest */
};

struct nvme_cq {
	uint64_t base;
	uint32_t size;
	uint32_t head, tail;
	uint32_t vector;
	uint32_t reserved; /* places for what is under way */
	bool phase;
	bool interrupts;
	bool to_signal;
};

/* Queues as they are saved, a column each. */
struct nvme_saved {
	uint64_t sq_base[NVME_QUEUES], cq_base[NVME_QUEUES];
	uint32_t sq_size[NVME_QUEUES], cq_size[NVME_QUEUES];
	uint32_t sq_head[NVME_QUEUES], cq_head[NVME_QUEUES];
	uint32_t sq_tail[NVME_QUEUES], cq_tail[NVME_QUEUES];
	uint32_t sq_cq[NVME_QUEUES], cq_vector[NVME_QUEUES];
	bool cq_phase[NVME_QUEUES], cq_interrupts[NVME_QUEUES];
};

struct nvme {
	struct pci_device pci;
	struct pci_msix msix;
	struct vm *vm;
	struct block *block;
	unsigned int queues; /* pairs offered */
	char serial[NVME_SERIAL];
	uint8_t uuid[16]; /* of the namespace; the subsystem's is one off */
	struct host_work work, pin;
	struct host_event idle;
	struct host_lock lock;
	struct nvme_request *free;
	unsigned int under_way, requests;
	bool starved; /* a command waits for a place or for memory */
	uint32_t generation;  /* of requests; old ones are dropped */
	unsigned int next_sq; /* whose turn it is */
	bool still;	      /* quiesced: nothing is started */
	bool resetting;	      /* CSTS.RDY goes when nothing is under way */
	struct nvme_sq sq[NVME_QUEUES];
	struct nvme_cq cq[NVME_QUEUES];

	/* Saved. */
	struct nvme_saved saved;
	uint32_t cc, csts, aqa, int_mask;
	uint64_t asq, acq;
	uint32_t feature[NVME_FEATURES];
	uint16_t vector_config[NVME_QUEUES]; /* bit 0: no coalescing */
	uint16_t waiting[NVME_EVENTS]; /* requests for events: their ids */
	uint32_t waiting_count;
	uint32_t event[NVME_EVENT_TYPES]; /* one of each type, not told yet */
	uint8_t event_pending, event_masked; /* bits by type */
	uint8_t errors[NVME_ERRORS * NVME_ERROR_ENTRY]; /* newest first */
	uint64_t error_count, media_errors;
	uint64_t sectors_read, sectors_written, reads, writes;
};

struct nvme_request {
	struct block_request io;
	struct nvme *nvme;
	struct nvme_request *next;
	uint32_t generation;
	unsigned int sq; /* or NVME_NO_QUEUE */
	bool held;	 /* somebody else ends and frees it */
	uint32_t dw[NVME_COMMAND / 4]; /* the command */
	uint32_t result;	       /* dword 0 of its completion */
	bool then_flush;
	uint8_t *bounce;	       /* of compare: what the block holds */
	struct span bounce_span;
	unsigned int range, ranges;    /* of dataset management, in `buffer` */
	unsigned int spans;
	struct span span[NVME_SPANS]; /* the guest's data */
	uint8_t buffer[NVME_PAGE];
};

/* The worker's: runs what has been submitted. */
void nvme_work(void *ctx);

/* --- held from here on: the lock ----------------------------------------------- */

/* nvme.c: the controller cannot go on (9.5). */
void nvme_fatal(struct nvme *nvme, const char *why);
/* Nothing is under way any more: what waited for that. */
void nvme_settle(struct nvme *nvme);

/* --- nvme_queue.c -------------------------------------------------------------- */

/* A doorbell was written. */
void nvme_sq_tail(struct nvme *nvme, unsigned int id, uint32_t tail);
void nvme_cq_head(struct nvme *nvme, unsigned int id, uint32_t head);

/*
 * Puts a command's completion. Gives false, as whoever has no block request
 * to submit next.
 */
bool nvme_end(struct nvme_request *r, uint32_t status);
/* The command is taken note of; it has no completion of its own. */
void nvme_forget(struct nvme_request *r);
/* Ends a request that was held. */
void nvme_release(struct nvme_request *r, uint32_t status);

/* A completion in the admin queue for a command that was forgotten. */
void nvme_post_admin(struct nvme *nvme, uint16_t command, uint32_t status,
		     uint32_t result);
/* Whether there is a place for one. */
bool nvme_admin_room(const struct nvme *nvme);
/* Interrupts for all that was put since the last time. */
void nvme_signal(struct nvme *nvme);
/* The level that the interrupt pin should have. */
bool nvme_pin(const struct nvme *nvme);

/* --- nvme_data.c: the guest's data -------------------------------------------- */

/* Maps PRPs of `size` bytes to spans; a status. */
uint32_t nvme_map(struct nvme_request *r, uint32_t size, bool to_guest);
/* Copies; `size` is at most what is mapped. */
void nvme_copy_in(struct nvme_request *r, void *to, uint32_t size);
/* Maps and writes: a command that ends with `size` bytes out of `from`. */
bool nvme_answer(struct nvme_request *r, const void *from, uint32_t size);
void nvme_note_data(struct nvme_request *r);

/* --- commands: each begins one ------------------------------------------------- */

bool nvme_admin(struct nvme_request *r);
bool nvme_io(struct nvme_request *r);
/* A block request of an I/O command is over. */
bool nvme_io_step(struct nvme_request *r);
bool nvme_identify(struct nvme_request *r);
bool nvme_get_log(struct nvme_request *r);
bool nvme_features(struct nvme_request *r, bool set);
void nvme_features_reset(struct nvme *nvme);

/* --- nvme_event.c -------------------------------------------------------------- */

bool nvme_event_request(struct nvme_request *r);
/* True: it waited, and is answered as aborted. */
bool nvme_event_abort(struct nvme *nvme, uint16_t command);
void nvme_event(struct nvme *nvme, unsigned int type, unsigned int info,
		unsigned int log);
/* Its log was read: there may be another one. */
void nvme_event_unmask(struct nvme *nvme, unsigned int type);
/* Tells what can be told. */
void nvme_event_flush(struct nvme *nvme);
void nvme_event_reset(struct nvme *nvme);

/* nvme_log.c: keeps a command's error. */
void nvme_log_error(struct nvme_request *r, uint32_t status);
/* Critical warnings of the health log. */
uint8_t nvme_warnings(const struct nvme *nvme);

#endif
