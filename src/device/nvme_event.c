/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asynchronous events (5.2): requests wait until there is something to tell;
 * an event waits until there is a request. Of each type one event is kept,
 * and none while the one before has not been read from its log.
 */
#include "device/nvme_impl.h"

#include "vm/bytes.h"

void nvme_event_reset(struct nvme *nvme)
{
	nvme->waiting_count = 0;
	nvme->event_pending = nvme->event_masked = 0;
	memset(nvme->event, 0, sizeof(nvme->event));
}

/* The oldest request goes first. */
static uint16_t take(struct nvme *nvme, unsigned int index)
{
	uint16_t command = nvme->waiting[index];

	nvme->waiting_count--;
	for (unsigned int i = index; i < nvme->waiting_count; i++)
		nvme->waiting[i] = nvme->waiting[i + 1];
	return command;
}

void nvme_event_flush(struct nvme *nvme)
{
	while (nvme->event_pending && nvme->waiting_count &&
	       nvme_admin_room(nvme)) {
		unsigned int type =
			(unsigned int)__builtin_ctz(nvme->event_pending);

		nvme->event_pending &= (uint8_t)~(1u << type);
		nvme->event_masked |= (uint8_t)(1u << type);
		nvme_post_admin(nvme, take(nvme, 0), NVME_OK,
				nvme->event[type]);
	}
}

bool nvme_event_request(struct nvme_request *r)
{
	struct nvme *nvme = r->nvme;

	if (nvme->waiting_count == NVME_EVENTS)
		return nvme_end(r, NVME_EVENT_LIMIT);
	nvme->waiting[nvme->waiting_count++] = (uint16_t)(r->dw[0] >> 16);
	nvme_forget(r);
	nvme_event_flush(nvme);
	return false;
}

/* Its abort has a completion as well: two places are needed. */
bool nvme_event_abort(struct nvme *nvme, uint16_t command)
{
	for (unsigned int i = 0; i < nvme->waiting_count; i++) {
		if (nvme->waiting[i] != command || !nvme_admin_room(nvme))
			continue;
		nvme_post_admin(nvme, take(nvme, i), NVME_ABORTED, 0);
		return true;
	}
	return false;
}

void nvme_event(struct nvme *nvme, unsigned int type, unsigned int info,
		unsigned int log)
{
	uint8_t bit = (uint8_t)(1u << type);

	if ((nvme->event_masked | nvme->event_pending) & bit)
		return;
	nvme->event_pending |= bit;
	nvme->event[type] = NVME_EVENT(type, info, log);
	nvme_event_flush(nvme);
}

void nvme_event_unmask(struct nvme *nvme, unsigned int type)
{
	nvme->event_masked &= (uint8_t)~(1u << type);
	nvme_event_flush(nvme);
}
