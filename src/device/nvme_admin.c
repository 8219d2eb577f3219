/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Admin commands (5): queues made and taken away, abort; the others are in
 * files of their own. Left out: namespace management, firmware download,
 * security, format, sanitize, self-test, directives, virtualization.
 */
#include "device/nvme_impl.h"

/* What both kinds of queue have: a free number, a size, a place; a status. */
static uint32_t check_queue(struct nvme_request *r, bool exists)
{
	struct nvme *nvme = r->nvme;
	unsigned int id = r->dw[10] & 0xffff;
	uint32_t size = (r->dw[10] >> 16) + 1;

	if (!id || id > nvme->queues || exists)
		return NVME_QUEUE_ID;
	if (size < 2 || size > NVME_ENTRIES ||
	    (nvme->cc & (NVME_CC_IOSQES | NVME_CC_IOCQES)) != NVME_CC_SIZES)
		return NVME_QUEUE_SIZE;
	if (!(r->dw[11] & NVME_QUEUE_PC))
		return NVME_INVALID_FIELD;
	return r->dw[6] & (NVME_PAGE - 1) ? NVME_PRP_OFFSET : NVME_OK;
}

static bool exists(const struct nvme *nvme, unsigned int id, bool completion)
{
	if (!id || id > nvme->queues)
		return false;
	return completion ? nvme->cq[id].size : nvme->sq[id].size;
}

static uint32_t create_cq(struct nvme_request *r)
{
	struct nvme *nvme = r->nvme;
	unsigned int id = r->dw[10] & 0xffff;
	unsigned int vector = r->dw[11] >> 16;
	uint32_t status = check_queue(r, exists(nvme, id, true));

	if (status)
		return status;
	if (vector >= nvme->msix.vectors ||
	    (vector && !pci_msix_enabled(&nvme->pci)))
		return NVME_VECTOR;
	nvme->cq[id] = (struct nvme_cq){
		.base = r->dw[6] | (uint64_t)r->dw[7] << 32,
		.size = (r->dw[10] >> 16) + 1,
		.vector = vector,
		.phase = true,
		.interrupts = r->dw[11] & NVME_QUEUE_IEN,
	};
	return NVME_OK;
}

static uint32_t create_sq(struct nvme_request *r)
{
	struct nvme *nvme = r->nvme;
	unsigned int id = r->dw[10] & 0xffff, cq = r->dw[11] >> 16;
	uint32_t status = check_queue(r, exists(nvme, id, false));

	if (status)
		return status;
	if (!exists(nvme, cq, true))
		return !cq || cq > nvme->queues ? NVME_QUEUE_ID
						: NVME_CQ_INVALID;
	nvme->sq[id] = (struct nvme_sq){
		.base = r->dw[6] | (uint64_t)r->dw[7] << 32,
		.size = (r->dw[10] >> 16) + 1,
		.cq = cq,
	};
	return NVME_OK;
}

/* Ends when what is under way has: its completions come first. */
static bool delete_sq(struct nvme_request *r)
{
	struct nvme *nvme = r->nvme;
	unsigned int id = r->dw[10] & 0xffff;
	struct nvme_sq *sq = &nvme->sq[id <= nvme->queues ? id : 0];

	if (!exists(nvme, id, false) || sq->deleting)
		return nvme_end(r, NVME_QUEUE_ID);
	if (sq->under_way) {
		sq->deleting = r;
		r->held = true;
		return false;
	}
	*sq = (struct nvme_sq){ 0 };
	return nvme_end(r, NVME_OK);
}

static uint32_t delete_cq(struct nvme_request *r)
{
	struct nvme *nvme = r->nvme;
	unsigned int id = r->dw[10] & 0xffff;

	if (!exists(nvme, id, true))
		return NVME_QUEUE_ID;
	for (unsigned int i = 1; i <= nvme->queues; i++)
		if (nvme->sq[i].size && nvme->sq[i].cq == id)
			return NVME_QUEUE_DELETION;
	nvme->cq[id] = (struct nvme_cq){ 0 };
	host_work_queue(nvme->vm->worker, &nvme->pin);
	return NVME_OK;
}

/*
 * Requests for events can be aborted, what the block works on cannot: bit 0
 * of the result says so (5.1).
 */
static uint32_t abort_command(struct nvme_request *r)
{
	unsigned int sq = r->dw[10] & 0xffff;

	if (sq && !exists(r->nvme, sq, false))
		return NVME_QUEUE_ID;
	r->result = sq || !nvme_event_abort(r->nvme,
					    (uint16_t)(r->dw[10] >> 16));
	return NVME_OK;
}

bool nvme_admin(struct nvme_request *r)
{
	if (r->dw[0] & 0xff00) /* fused, SGL, reserved */
		return nvme_end(r, NVME_INVALID_FIELD);
	switch (r->dw[0] & 0xff) {
	case NVME_DELETE_SQ:
		return delete_sq(r);
	case NVME_CREATE_SQ:
		return nvme_end(r, create_sq(r));
	case NVME_GET_LOG:
		return nvme_get_log(r);
	case NVME_DELETE_CQ:
		return nvme_end(r, delete_cq(r));
	case NVME_CREATE_CQ:
		return nvme_end(r, create_cq(r));
	case NVME_IDENTIFY_OP:
		return nvme_identify(r);
	case NVME_ABORT:
		return nvme_end(r, abort_command(r));
	case NVME_SET_FEATURES:
		return nvme_features(r, true);
	case NVME_GET_FEATURES:
		return nvme_features(r, false);
	case NVME_ASYNC_EVENT:
		return nvme_event_request(r);
	default:
		return nvme_end(r, NVME_INVALID_OPCODE);
	}
}
