/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues of the NVMe controller (4.1, 4.6, 4.13.1, 7.2): commands out of
 * submission queues in turn, completions into their places, interrupts.
 *
 * A command is read once. What the guest has submitted while the worker is at
 * it is served too, but after some turns other devices come first.
 */
#include "device/nvme_impl.h"

#include "vm/bytes.h"

#define LITTLE_SECTORS 32u

#define TURNS 16 /* of all queues, before others may use the worker */

static bool running(const struct nvme *nvme)
{
	return (nvme->csts & (NVME_CSTS_RDY | NVME_CSTS_CFS |
			      NVME_CSTS_SHST)) == NVME_CSTS_RDY &&
	       !nvme->resetting;
}

/* --- completions ----------------------------------------------------------------- */

static uint32_t free_places(const struct nvme_cq *cq)
{
	return (cq->head + cq->size - cq->tail - 1) % cq->size;
}

bool nvme_admin_room(const struct nvme *nvme)
{
	const struct nvme_cq *cq = &nvme->cq[0];

	return cq->size && free_places(cq) > cq->reserved;
}

/* The second half, which has the phase, is seen last. */
static void put(struct nvme *nvme, struct nvme_cq *cq, uint32_t result,
		uint64_t rest)
{
	uint64_t at = cq->base + (uint64_t)cq->tail * NVME_COMPLETION;
	uint64_t *entry = pci_dma_for_write(&nvme->pci, at, NVME_COMPLETION);

	if (!entry) {
		nvme_fatal(nvme, "a completion queue is not in memory");
		return;
	}
	__atomic_store_n(&entry[0], (uint64_t)result, __ATOMIC_RELAXED);
	__atomic_store_n(&entry[1], rest | (uint64_t)cq->phase << 48,
			 __ATOMIC_RELEASE);
	memory_note_host(&nvme->vm->memory, entry, NVME_COMPLETION);
	if (++cq->tail == cq->size) {
		cq->tail = 0;
		cq->phase = !cq->phase;
	}
	cq->to_signal = true;
}

static void post(struct nvme *nvme, unsigned int sq, uint16_t command,
		 uint32_t status, uint32_t result)
{
	put(nvme, &nvme->cq[nvme->sq[sq].cq], result,
	    nvme->sq[sq].head | (uint64_t)sq << 16 | (uint64_t)command << 32 |
		    (uint64_t)status << 49);
}

void nvme_post_admin(struct nvme *nvme, uint16_t command, uint32_t status,
		     uint32_t result)
{
	post(nvme, 0, command, status, result);
}

/* Errors of the medium and aborts may pass when the guest tries again. */
static uint32_t decorate(struct nvme_request *r, uint32_t status)
{
	if (!status || status == NVME_ABORTED)
		return status;
	if (status != NVME_READ_ERROR && status != NVME_WRITE_FAULT &&
	    status != NVME_INTERNAL)
		status |= NVME_DO_NOT_RETRY;
	status |= NVME_MORE;
	nvme_log_error(r, status);
	return status;
}

void nvme_forget(struct nvme_request *r)
{
	struct nvme_sq *sq = &r->nvme->sq[r->sq];

	sq->under_way--;
	r->nvme->cq[sq->cq].reserved--;
}

bool nvme_end(struct nvme_request *r, uint32_t status)
{
	struct nvme *nvme = r->nvme;
	struct nvme_request *deleting;
	struct nvme_sq *sq;

	if (r->generation != nvme->generation)
		return false;
	sq = &nvme->sq[r->sq];
	nvme_forget(r);
	post(nvme, r->sq, (uint16_t)(r->dw[0] >> 16), decorate(r, status),
	     r->result);
	deleting = sq->deleting;
	if (deleting && !sq->under_way) {
		*sq = (struct nvme_sq){ 0 };
		nvme_release(deleting, NVME_OK);
	}
	return false;
}

/* --- interrupts --------------------------------------------------------------------- */

bool nvme_pin(const struct nvme *nvme)
{
	if (pci_msix_enabled(&nvme->pci))
		return false;
	for (unsigned int i = 0; i <= nvme->queues; i++) {
		const struct nvme_cq *cq = &nvme->cq[i];

		if (cq->size && cq->interrupts && cq->head != cq->tail &&
		    !(nvme->int_mask & 1u << (cq->vector & 31)))
			return true;
	}
	return false;
}

void nvme_signal(struct nvme *nvme)
{
	bool messages = pci_msix_enabled(&nvme->pci), pin = false;

	for (unsigned int i = 0; i <= nvme->queues; i++) {
		struct nvme_cq *cq = &nvme->cq[i];

		if (!cq->to_signal)
			continue;
		cq->to_signal = false;
		if (cq->interrupts && messages)
			pci_msix_notify(&nvme->pci, cq->vector);
		pin = true;
	}
	if (pin && !messages)
		host_work_queue(nvme->vm->worker, &nvme->pin);
}

/* --- requests ------------------------------------------------------------------------ */

static struct nvme_request *take_request(struct nvme *nvme, unsigned int sq)
{
	struct nvme_request *r = nvme->free;

	if (r) {
		nvme->free = r->next;
	} else if (nvme->requests < NVME_REQUESTS) {
		r = host_alloc(sizeof(*r));
		nvme->requests += !!r;
	}
	if (!r) {
		nvme->starved = true;
		return NULL;
	}
	r->nvme = nvme;
	r->generation = nvme->generation;
	r->sq = sq;
	r->held = r->then_flush = false;
	r->result = 0;
	r->spans = 0;
	r->io = (struct block_request){ .ctx = r };
	nvme->under_way++;
	return r;
}

static void free_request(struct nvme_request *r)
{
	struct nvme *nvme = r->nvme;

	host_free(r->bounce);
	r->bounce = NULL;
	r->next = nvme->free;
	nvme->free = r;
	if (nvme->starved)
		host_work_queue(nvme->vm->worker, &nvme->work);
	if (!--nvme->under_way)
		nvme_settle(nvme);
}

void nvme_release(struct nvme_request *r, uint32_t status)
{
	nvme_end(r, status);
	free_request(r);
}

static bool stepped(struct nvme_request *r)
{
	struct nvme *nvme = r->nvme;

	nvme_note_data(r);
	if (r->generation != nvme->generation)
		return false;
	if (r->sq != NVME_NO_QUEUE)
		return nvme_io_step(r);
	nvme->csts = (nvme->csts & ~NVME_CSTS_SHST) | NVME_CSTS_SHST_OVER;
	return false;
}

static void request_done(struct block_request *io);

/* The lock is given back while the block works. */
static void run(struct nvme_request *r, bool submit)
{
	struct nvme *nvme = r->nvme;

	while (submit) {
		r->io.done = request_done;
		host_unlock(&nvme->lock);
		submit = block_submit(nvme->block, &r->io);
		host_lock(&nvme->lock);
		if (!submit)
			return;
		submit = stepped(r);
	}
	if (!r->held)
		free_request(r);
}

/* Any thread, no lock held. */
static void request_done(struct block_request *io)
{
	struct nvme_request *r = io->ctx;
	struct nvme *nvme = r->nvme;

	host_lock(&nvme->lock);
	run(r, stepped(r));
	nvme_signal(nvme);
	host_unlock(&nvme->lock);
}

/* --- submissions ------------------------------------------------------------------------ */

/* Runs the next command of a queue; false: there is none to run now. */
static bool run_next(struct nvme *nvme, unsigned int id)
{
	struct nvme_sq *sq = &nvme->sq[id];
	struct nvme_cq *cq = &nvme->cq[sq->cq];
	struct nvme_request *r;

	if (!sq->size || sq->head == sq->tail || sq->deleting ||
	    nvme->still || !running(nvme))
		return false;
	if (free_places(cq) <= cq->reserved) {
		nvme->starved = true;
		return false;
	}
	r = take_request(nvme, id);
	if (!r)
		return false;
	sq->under_way++;
	cq->reserved++;
	if (pci_dma_read(&nvme->pci,
			 sq->base + (uint64_t)sq->head * NVME_COMMAND, r->dw,
			 sizeof(r->dw))) {
		nvme_fatal(nvme, "a submission queue is not in memory");
		free_request(r);
		return false;
	}
	sq->head = sq->head + 1 == sq->size ? 0 : sq->head + 1;
	run(r, id ? nvme_io(r) : nvme_admin(r));
	return true;
}

/* Arbitration burst: 2^n commands, or no limit (4.13.1). */
static unsigned int burst(const struct nvme *nvme)
{
	unsigned int exponent = nvme->feature[NVME_F_ARBITRATION] & 7;

	return exponent == 7 ? NVME_ENTRIES : 1u << exponent;
}

/* Each queue's turn; false: there was nothing to run. */
static bool turn(struct nvme *nvme)
{
	bool any = false;

	for (unsigned int n = 0; n <= nvme->queues; n++) {
		unsigned int left = burst(nvme);

		nvme->next_sq = nvme->next_sq >= nvme->queues
					? 0 : nvme->next_sq + 1;
		while (left && run_next(nvme, nvme->next_sq)) {
			any = true;
			left--;
		}
	}
	return any;
}

/* Shutdown (7.6.2): when all else is over, the block is flushed. */
static void run_shutdown(struct nvme *nvme)
{
	struct nvme_request *r;

	if ((nvme->csts & NVME_CSTS_SHST) != NVME_CSTS_SHST_BUSY ||
	    nvme->under_way || nvme->still || nvme->resetting)
		return;
	r = take_request(nvme, NVME_NO_QUEUE);
	if (!r)
		return;
	r->io.op = BLOCK_FLUSH;
	run(r, true);
}

void nvme_work(void *ctx)
{
	struct nvme *nvme = ctx;
	unsigned int turns = 0;

	host_lock(&nvme->lock);
	nvme->starved = false;
	while (turns < TURNS && turn(nvme)) {
		nvme_signal(nvme);
		turns++;
	}
	run_shutdown(nvme);
	nvme_signal(nvme);
	host_unlock(&nvme->lock);
	if (turns == TURNS)
		host_work_queue(nvme->vm->worker, &nvme->work);
}

/* --- doorbells ----------------------------------------------------------------------------- */

/* 5.2: what the guest did wrong, told by an event. */
static void wrong(struct nvme *nvme, unsigned int what)
{
	nvme_event(nvme, NVME_EVENT_ERROR, what, NVME_LOG_ERROR);
}

/*
 * Whether a queue's next command is a small read or write. Such a one, alone,
 * is begun on the processor's thread that submits it: whoever waits for it
 * would otherwise wait for two changes of threads more. Several are the
 * worker's, who works beside the processor. A guest that changes the command
 * before it is taken harms itself.
 */
static bool is_little(struct nvme *nvme, unsigned int id)
{
	const struct nvme_sq *sq = &nvme->sq[id];
	uint32_t dw[NVME_COMMAND / 4];

	return id &&
	       !pci_dma_read(&nvme->pci,
			     sq->base + (uint64_t)sq->head * NVME_COMMAND, dw,
			     sizeof(dw)) &&
	       ((dw[0] & 0xff) == NVME_READ || (dw[0] & 0xff) == NVME_WRITE) &&
	       (dw[12] & 0xffff) < LITTLE_SECTORS;
}

void nvme_sq_tail(struct nvme *nvme, unsigned int id, uint32_t tail)
{
	struct nvme_sq *sq;
	uint32_t used, added;

	if (!running(nvme))
		return;
	if (id > nvme->queues || !nvme->sq[id].size) {
		wrong(nvme, NVME_ERROR_DOORBELL);
		return;
	}
	sq = &nvme->sq[id];
	used = (sq->tail + sq->size - sq->head) % sq->size;
	added = (tail + sq->size - sq->tail) % sq->size;
	if (tail >= sq->size || used + added >= sq->size) {
		wrong(nvme, NVME_ERROR_DOORBELL_VALUE);
		return;
	}
	sq->tail = tail;
	/* One small command: see is_little(). */
	if (used || added != 1 || !is_little(nvme, id) ||
	    !run_next(nvme, id))
		host_work_queue(nvme->vm->worker, &nvme->work);
}

void nvme_cq_head(struct nvme *nvme, unsigned int id, uint32_t head)
{
	struct nvme_cq *cq;
	uint32_t used, taken;

	if (!running(nvme))
		return;
	if (id > nvme->queues || !nvme->cq[id].size) {
		wrong(nvme, NVME_ERROR_DOORBELL);
		return;
	}
	cq = &nvme->cq[id];
	used = (cq->tail + cq->size - cq->head) % cq->size;
	taken = (head + cq->size - cq->head) % cq->size;
	if (head >= cq->size || taken > used) {
		wrong(nvme, NVME_ERROR_DOORBELL_VALUE);
		return;
	}
	cq->head = head;
	if (nvme->starved)
		host_work_queue(nvme->vm->worker, &nvme->work);
	if (!id)
		nvme_event_flush(nvme);
}
