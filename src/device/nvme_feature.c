/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Features (5.9, 5.21). None is kept over a reset of the controller. What has
 * no meaning for a virtual disk is kept and told again.
 */
#include "device/nvme_impl.h"

#define SELECT_CURRENT	    0u
#define SELECT_DEFAULT	    1u
#define SELECT_SAVED	    2u /* the default: nothing is saved */
#define SELECT_CAPABILITIES 3u

#define CAN_CHANGE    0x4u
#define FOR_NAMESPACE 0x2u

static const struct feature {
	bool exists, namespace;
	uint32_t mask; /* bits that can be set; others are refused */
	uint32_t initial;
} features[NVME_FEATURES] = {
	[NVME_F_ARBITRATION] = { true, false, 0xffffff07, 3 },
	[NVME_F_POWER] = { true, false, 0x000000e0, 0 },
	[NVME_F_TEMPERATURE] = { true, false, 0x003fffff,
				 NVME_TEMPERATURE_WARN },
	[NVME_F_RECOVERY] = { true, true, 0x0000ffff, 0 },
	[NVME_F_CACHE] = { true, false, 0x00000001, 1 },
	[NVME_F_QUEUES] = { true, false, UINT32_MAX, 0 },
	[NVME_F_COALESCING] = { true, false, 0x0000ffff, 0 },
	[NVME_F_VECTOR] = { true, false, 0x0001ffff, 0 },
	[NVME_F_ATOMICITY] = { true, false, 0x00000001, 0 },
	[NVME_F_EVENTS] = { true, false, 0x000000ff, 0 },
};

void nvme_features_reset(struct nvme *nvme)
{
	for (unsigned int i = 0; i < NVME_FEATURES; i++)
		nvme->feature[i] = features[i].initial;
	for (unsigned int i = 0; i < NVME_QUEUES; i++)
		nvme->vector_config[i] = 0;
}

static bool any_queue(const struct nvme *nvme)
{
	for (unsigned int i = 1; i <= nvme->queues; i++)
		if (nvme->sq[i].size || nvme->cq[i].size)
			return true;
	return false;
}

/* --- those with a meaning of their own ------------------------------------------- */

static uint32_t queues(struct nvme_request *r, bool set)
{
	struct nvme *nvme = r->nvme;

	if (set && any_queue(nvme))
		return NVME_SEQUENCE;
	if (set && ((r->dw[11] & 0xffff) == 0xffff ||
		    r->dw[11] >> 16 == 0xffff))
		return NVME_INVALID_FIELD;
	r->result = (nvme->queues - 1) | (nvme->queues - 1) << 16;
	return NVME_OK;
}

static uint32_t vector(struct nvme_request *r, bool set)
{
	struct nvme *nvme = r->nvme;
	uint32_t which = r->dw[11] & 0xffff;

	if (which >= nvme->msix.vectors)
		return NVME_INVALID_FIELD;
	if (set)
		nvme->vector_config[which] = r->dw[11] >> 16 & 1;
	r->result = which | (uint32_t)nvme->vector_config[which] << 16;
	return NVME_OK;
}

/* 5.21.1.4: composite temperature only; over and under in one word of ours. */
static uint32_t temperature(struct nvme_request *r, bool set)
{
	uint32_t sensor = r->dw[11] >> 16 & 0xf, kind = r->dw[11] >> 20 & 3;
	uint32_t *value = &r->nvme->feature[NVME_F_TEMPERATURE];

	if ((sensor && !(set && sensor == 0xf)) || kind > 1)
		return NVME_INVALID_FIELD;
	if (set)
		*value = kind ? (*value & 0xffff) | r->dw[11] << 16
			      : (*value & 0xffff0000) |
					(r->dw[11] & 0xffff);
	r->result = kind ? *value >> 16 : *value & 0xffff;
	if (set && (nvme_warnings(r->nvme) & NVME_WARN_TEMPERATURE &
		    r->nvme->feature[NVME_F_EVENTS]))
		nvme_event(r->nvme, NVME_EVENT_HEALTH, NVME_HEALTH_TEMPERATURE,
			   NVME_LOG_HEALTH);
	return NVME_OK;
}

/* --- all --------------------------------------------------------------------------- */

static uint32_t current(struct nvme_request *r, unsigned int id, bool set)
{
	switch (id) {
	case NVME_F_QUEUES:
		return queues(r, set);
	case NVME_F_VECTOR:
		return vector(r, set);
	case NVME_F_TEMPERATURE:
		return temperature(r, set);
	}
	if (set)
		r->nvme->feature[id] = r->dw[11];
	r->result = r->nvme->feature[id];
	return NVME_OK;
}

static uint32_t get(struct nvme_request *r, unsigned int id)
{
	const struct feature *f = &features[id];

	switch (r->dw[10] >> 8 & 7) {
	case SELECT_CURRENT:
		return current(r, id, false);
	case SELECT_DEFAULT:
	case SELECT_SAVED:
		if (id == NVME_F_QUEUES)
			return current(r, id, false);
		r->result = f->initial;
		return NVME_OK;
	case SELECT_CAPABILITIES:
		r->result = CAN_CHANGE | (f->namespace ? FOR_NAMESPACE : 0);
		return NVME_OK;
	default:
		return NVME_INVALID_FIELD;
	}
}

static uint32_t set_value(struct nvme_request *r, unsigned int id)
{
	uint32_t status;

	if (r->dw[10] & NVME_FEATURE_SAVE)
		return NVME_NOT_SAVEABLE;
	if (r->dw[11] & ~features[id].mask)
		return NVME_INVALID_FIELD;
	status = current(r, id, true);
	if (id != NVME_F_QUEUES)
		r->result = 0;
	return status;
}

bool nvme_features(struct nvme_request *r, bool set)
{
	unsigned int id = r->dw[10] & 0xff;
	uint32_t space = r->dw[1];

	if (id >= NVME_FEATURES || !features[id].exists)
		return nvme_end(r, NVME_INVALID_FIELD);
	if (space > 1 && space != UINT32_MAX)
		return nvme_end(r, NVME_INVALID_NAMESPACE);
	if (features[id].namespace && !space)
		return nvme_end(r, NVME_INVALID_NAMESPACE);
	return nvme_end(r, set ? set_value(r, id) : get(r, id));
}
