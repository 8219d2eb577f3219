/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command's data in guest memory: PRP entries and lists (4.3). Each entry is
 * read once. A page of 4 KiB lies in one piece of guest memory or in none;
 * pages that follow each other become one span. Left out: SGLs.
 */
#include "device/nvme_impl.h"

#include "vm/bytes.h"

#define OFFSET(addr) ((uint32_t)((addr) & (NVME_PAGE - 1)))

static uint64_t prp(const struct nvme_request *r, unsigned int which)
{
	return r->dw[6 + 2 * which] | (uint64_t)r->dw[7 + 2 * which] << 32;
}

static uint32_t add(struct nvme_request *r, uint64_t addr, uint32_t size,
		    bool to_guest)
{
	struct pci_device *pci = &r->nvme->pci;
	struct span *last = r->spans ? &r->span[r->spans - 1] : NULL;
	void *data = to_guest ? pci_dma_for_write(pci, addr, size)
			      : (void *)pci_dma_for_read(pci, addr, size);

	if (!data)
		return NVME_DATA_TRANSFER;
	if (last && (char *)last->data + last->size == data) {
		last->size += size;
		return NVME_OK;
	}
	bug_on(r->spans == NVME_SPANS);
	r->span[r->spans++] = (struct span){ data, size };
	return NVME_OK;
}

/* The last entry of a page of entries leads on when more are needed. */
static uint32_t add_list(struct nvme_request *r, uint64_t at, uint32_t left,
			 bool to_guest)
{
	uint32_t status = NVME_OK;
	uint64_t entry;

	while (left && !status) {
		bool leads_on = OFFSET(at) == NVME_PAGE - sizeof(entry) &&
				left > NVME_PAGE;
		uint32_t part = left < NVME_PAGE ? left : NVME_PAGE;

		if (at & (sizeof(entry) - 1))
			return NVME_PRP_OFFSET;
		if (pci_dma_read(&r->nvme->pci, at, &entry, sizeof(entry)))
			return NVME_DATA_TRANSFER;
		at += sizeof(entry);
		if (OFFSET(entry))
			return NVME_PRP_OFFSET;
		if (leads_on) {
			at = entry;
			continue;
		}
		status = add(r, entry, part, to_guest);
		left -= part;
	}
	return status;
}

uint32_t nvme_map(struct nvme_request *r, uint32_t size, bool to_guest)
{
	uint64_t first = prp(r, 0), second = prp(r, 1);
	uint32_t part = NVME_PAGE - OFFSET(first), status;

	bug_on(size > NVME_DATA_MAX);
	r->spans = 0;
	if (!size)
		return NVME_OK;
	if (first & 3)
		return NVME_PRP_OFFSET;
	if (part > size)
		part = size;
	status = add(r, first, part, to_guest);
	size -= part;
	if (status || !size)
		return status;
	if (size > NVME_PAGE)
		return add_list(r, second, size, to_guest);
	return OFFSET(second) ? NVME_PRP_OFFSET
			      : add(r, second, size, to_guest);
}

void nvme_copy_in(struct nvme_request *r, void *to, uint32_t size)
{
	uint8_t *at = to;

	for (unsigned int i = 0; i < r->spans && size; i++) {
		uint32_t part = (uint32_t)r->span[i].size;

		if (part > size)
			part = size;
		memcpy(at, r->span[i].data, part);
		at += part;
		size -= part;
	}
}

bool nvme_answer(struct nvme_request *r, const void *from, uint32_t size)
{
	uint32_t status = nvme_map(r, size, true);
	const uint8_t *at = from;

	for (unsigned int i = 0; i < r->spans && !status; i++) {
		memcpy(r->span[i].data, at, r->span[i].size);
		at += r->span[i].size;
	}
	r->io.op = BLOCK_READ;
	r->io.span = r->span;
	r->io.spans = r->spans;
	nvme_note_data(r);
	return nvme_end(r, status);
}

void nvme_note_data(struct nvme_request *r)
{
	for (unsigned int i = 0; r->io.op == BLOCK_READ && i < r->io.spans;
	     i++)
		memory_note_host(&r->nvme->vm->memory, r->io.span[i].data,
				 r->io.span[i].size);
}
