/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NVMe controller (NVM Express 1.4c): its registers (3.1), enabling, reset and
 * shutdown (7.3, 7.6), its PCI function, saved state. Left out: the controller
 * memory buffer, boot partitions, NVM subsystem reset, weighted arbitration,
 * MSI (there are pins and MSI-X), pages of other sizes than 4 KiB.
 */
#include "device/nvme.h"

#include "device/nvme_impl.h"
#include "vm/bytes.h"
#include "vm/error.h"

#define BAR_REGS  0
#define BAR_MSIX  4
#define REGS_SIZE 0x4000u

#define TIMEOUT 20 /* half seconds, for a reset */

#define CAP_VALUE                                                       \
	(NVME_CAP_MQES(NVME_ENTRIES) | NVME_CAP_CQR |                   \
	 NVME_CAP_TO(TIMEOUT) | NVME_CAP_CSS_NVM)

/* --- enabling and reset ------------------------------------------------------------ */

void nvme_fatal(struct nvme *nvme, const char *why)
{
	if (nvme->csts & NVME_CSTS_CFS)
		return;
	host_log(HOST_LOG_INFO, "nvme: the driver is wrong: %s", why);
	nvme->csts |= NVME_CSTS_CFS;
}

static void enable(struct nvme *nvme)
{
	uint32_t sq = (nvme->aqa & 0xfff) + 1, cq = (nvme->aqa >> 16) + 1;

	nvme->csts = 0;
	if ((nvme->cc & (NVME_CC_CSS | NVME_CC_MPS | NVME_CC_AMS)) ||
	    sq < 2 || cq < 2) {
		nvme_fatal(nvme, "it asks for what the controller cannot do");
		return;
	}
	nvme->sq[0] = (struct nvme_sq){ .base = nvme->asq, .size = sq };
	nvme->cq[0] = (struct nvme_cq){
		.base = nvme->acq,
		.size = cq,
		.phase = true,
		.interrupts = true,
	};
	nvme->csts = NVME_CSTS_RDY;
}

/* What is under way is dropped; RDY reads as set until it is over. */
static void reset(struct nvme *nvme)
{
	struct nvme_request *held[NVME_QUEUES];

	nvme->generation++;
	for (unsigned int i = 0; i < NVME_QUEUES; i++)
		held[i] = nvme->sq[i].deleting;
	memset(nvme->sq, 0, sizeof(nvme->sq));
	memset(nvme->cq, 0, sizeof(nvme->cq));
	nvme->int_mask = 0;
	nvme->next_sq = 0;
	nvme_event_reset(nvme);
	nvme_features_reset(nvme);
	nvme->resetting = nvme->under_way;
	nvme->csts = nvme->resetting ? nvme->csts & NVME_CSTS_RDY : 0;
	for (unsigned int i = 0; i < NVME_QUEUES; i++)
		if (held[i])
			nvme_release(held[i], NVME_OK);
}

/* The machine's reset, or the function's: the registers as well. */
static void reset_all(struct nvme *nvme)
{
	nvme->cc = nvme->aqa = 0;
	nvme->asq = nvme->acq = 0;
	reset(nvme);
	nvme->csts = 0;
}

void nvme_settle(struct nvme *nvme)
{
	if (nvme->resetting) {
		nvme->resetting = false;
		nvme->csts = 0;
		if (nvme->cc & NVME_CC_EN)
			enable(nvme);
	}
	if ((nvme->csts & NVME_CSTS_SHST) == NVME_CSTS_SHST_BUSY)
		host_work_queue(nvme->vm->worker, &nvme->work);
	host_event_set(&nvme->idle);
}

static void write_cc(struct nvme *nvme, uint32_t value)
{
	uint32_t before = nvme->cc;

	nvme->cc = value & NVME_CC_MASK;
	if ((before & NVME_CC_EN) && !(value & NVME_CC_EN))
		reset(nvme);
	else if (!(before & NVME_CC_EN) && (value & NVME_CC_EN) &&
		 !nvme->resetting)
		enable(nvme);
	if ((value & NVME_CC_SHN) && !(before & NVME_CC_SHN)) {
		nvme->csts = (nvme->csts & ~NVME_CSTS_SHST) |
			     NVME_CSTS_SHST_BUSY;
		host_work_queue(nvme->vm->worker, &nvme->work);
	}
}

/* --- registers ---------------------------------------------------------------------- */

static uint32_t half(uint64_t value, unsigned int which)
{
	return (uint32_t)(value >> 32 * which);
}

static void set_half(uint64_t *to, unsigned int which, uint32_t value)
{
	*to = (*to & ~((uint64_t)UINT32_MAX << 32 * which)) |
	      (uint64_t)value << 32 * which;
}

static uint32_t read_register(const struct nvme *nvme, uint64_t at)
{
	switch (at) {
	case NVME_CAP:
	case NVME_CAP + 4:
		return half(CAP_VALUE, at == NVME_CAP + 4);
	case NVME_VS:
		return NVME_VERSION;
	case NVME_INTMS:
	case NVME_INTMC:
		return nvme->int_mask;
	case NVME_CC:
		return nvme->cc;
	case NVME_CSTS:
		return nvme->csts;
	case NVME_AQA:
		return nvme->aqa;
	case NVME_ASQ:
	case NVME_ASQ + 4:
		return half(nvme->asq, at == NVME_ASQ + 4);
	case NVME_ACQ:
	case NVME_ACQ + 4:
		return half(nvme->acq, at == NVME_ACQ + 4);
	default:
		return 0;
	}
}

static void write_register(struct nvme *nvme, uint64_t at, uint32_t value)
{
	switch (at) {
	case NVME_INTMS:
		nvme->int_mask |= value;
		break;
	case NVME_INTMC:
		nvme->int_mask &= ~value;
		break;
	case NVME_CC:
		write_cc(nvme, value);
		break;
	case NVME_AQA:
		nvme->aqa = value & NVME_AQA_MASK;
		break;
	case NVME_ASQ:
		value &= ~(NVME_PAGE - 1);
		set_half(&nvme->asq, 0, value);
		break;
	case NVME_ASQ + 4:
		set_half(&nvme->asq, 1, value);
		break;
	case NVME_ACQ:
		value &= ~(NVME_PAGE - 1);
		set_half(&nvme->acq, 0, value);
		break;
	case NVME_ACQ + 4:
		set_half(&nvme->acq, 1, value);
		break;
	default:
		break;
	}
}

static void ring(struct nvme *nvme, uint64_t index, uint32_t value)
{
	if (index & 1)
		nvme_cq_head(nvme, (unsigned int)index / 2, value & 0xffff);
	else
		nvme_sq_tail(nvme, (unsigned int)index / 2, value & 0xffff);
	nvme_signal(nvme);
}

static uint64_t mmio_read(void *device, uint64_t offset, unsigned int size)
{
	struct nvme *nvme = device;
	uint32_t value;

	host_lock(&nvme->lock);
	value = read_register(nvme, offset);
	host_unlock(&nvme->lock);
	return value;
}

static void mmio_write(void *device, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	struct nvme *nvme = device;
	bool level;

	host_lock(&nvme->lock);
	if (offset >= NVME_DOORBELLS)
		ring(nvme, (offset - NVME_DOORBELLS) / 4, (uint32_t)value);
	else
		write_register(nvme, offset, (uint32_t)value);
	level = nvme_pin(nvme);
	host_unlock(&nvme->lock);
	pci_irq_set(&nvme->pci, level);
}

static const struct bus_ops mmio_ops = {
	.read = mmio_read,
	.write = mmio_write,
	.min_size = 4,
	.max_size = 4,
	.exact = true,
};

/* --- PCI ------------------------------------------------------------------------------ */

/* Held: the device lock. */
static void update_pin(struct nvme *nvme)
{
	bool level;

	host_lock(&nvme->lock);
	level = nvme_pin(nvme);
	host_unlock(&nvme->lock);
	pci_irq_set(&nvme->pci, level);
}

static void pin_work(void *ctx)
{
	struct nvme *nvme = ctx;

	host_lock(&nvme->vm->device_lock);
	update_pin(nvme);
	host_unlock(&nvme->vm->device_lock);
}

static void pci_reset(struct pci_device *pci)
{
	struct nvme *nvme = pci->owner;

	host_lock(&nvme->lock);
	reset_all(nvme);
	host_unlock(&nvme->lock);
	update_pin(nvme);
}

/* MSI-X may have been turned on or off: the pin follows. */
static void config_written(struct pci_device *pci, unsigned int at,
			   unsigned int size)
{
	update_pin(pci->owner);
}

static const struct pci_ops nvme_pci_ops = {
	.reset = pci_reset,
	.config_written = config_written,
};

struct pci_device *nvme_pci(struct nvme *nvme)
{
	return &nvme->pci;
}

/* --- making one ----------------------------------------------------------------------- */

static void fini(void *object)
{
	struct nvme *nvme = object;

	while (nvme->free) {
		struct nvme_request *r = nvme->free;

		nvme->free = r->next;
		host_free(r);
	}
	host_free(nvme);
}

static bool busy(struct nvme *nvme)
{
	bool under_way;

	host_lock(&nvme->lock);
	nvme->still = true;
	under_way = nvme->under_way;
	host_unlock(&nvme->lock);
	return under_way;
}

static void quiesce(void *object)
{
	struct nvme *nvme = object;

	while (busy(nvme))
		host_event_wait(&nvme->idle, UINT64_MAX);
}

static void resume(void *object)
{
	struct nvme *nvme = object;

	host_lock(&nvme->lock);
	nvme->still = false;
	host_unlock(&nvme->lock);
	if (nvme->vm->worker)
		host_work_queue(nvme->vm->worker, &nvme->work);
}

/* FNV-1a over the serial number, twice; version 8: of our own making. */
static void make_uuid(struct nvme *nvme)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (unsigned int i = 0; i < sizeof(nvme->uuid); i++) {
		for (unsigned int k = 0; k < NVME_SERIAL; k++)
			hash = (hash ^ (uint8_t)nvme->serial[k]) *
			       0x100000001b3;
		nvme->uuid[i] = (uint8_t)(hash >> 24);
	}
	nvme->uuid[6] = (nvme->uuid[6] & 0x0f) | 0x80;
	nvme->uuid[8] = (nvme->uuid[8] & 0x3f) | 0x80;
}

static void name(struct nvme *nvme, const struct nvme_config *config)
{
	char own[] = "LODGE-NVME-00";
	const char *serial = config->serial ? config->serial : own;
	unsigned int i = 0;

	own[sizeof(own) - 3] = (char)('0' + config->index / 10 % 10);
	own[sizeof(own) - 2] = (char)('0' + config->index % 10);
	for (; i < NVME_SERIAL && serial[i]; i++)
		nvme->serial[i] = serial[i];
	for (; i < NVME_SERIAL; i++)
		nvme->serial[i] = ' ';
	make_uuid(nvme);
}

static int init_pci(struct nvme *nvme)
{
	/* A number that its owner leaves to anybody; drivers go by class. */
	static const struct pci_ident ident = {
		.name = "nvme",
		.vendor = 0x1af4,
		.device = 0x10f0,
		.class = 0x010802,
		.revision = 1,
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
		.pin = 1,
	};
	int err = pci_device_init(&nvme->pci, nvme->vm, &ident, &nvme_pci_ops,
				  nvme);

	if (err)
		return err;
	pci_bar_add(&nvme->pci, BAR_REGS, PCI_MEM64, REGS_SIZE, &mmio_ops,
		    nvme);
	err = pci_msix_add(&nvme->pci, &nvme->msix, nvme->queues + 1,
			   BAR_MSIX);
	if (!err)
		pci_express_add(&nvme->pci);
	return err;
}

int nvme_create(struct nvme **out, struct vm *vm,
		const struct nvme_config *config)
{
	struct nvme *nvme = host_alloc(sizeof(*nvme));
	int err;

	if (!nvme)
		return -VM_ENOMEM;
	bug_on(config->queues > NVME_QUEUES_MAX);
	nvme->vm = vm;
	nvme->block = config->block;
	nvme->queues = config->queues ? config->queues : NVME_QUEUES_MAX;
	nvme->work = (struct host_work){ .run = nvme_work, .ctx = nvme };
	nvme->pin = (struct host_work){ .run = pin_work, .ctx = nvme };
	name(nvme, config);
	nvme_features_reset(nvme);
	err = vm_add_device(vm, &nvme_class, nvme);
	if (err) {
		host_free(nvme);
		return err;
	}
	err = init_pci(nvme);
	if (!err)
		*out = nvme;
	return err;
}

/* --- saved state ------------------------------------------------------------------------ */

static void saving(void *object)
{
	struct nvme *nvme = object;
	struct nvme_saved *s = &nvme->saved;

	for (unsigned int i = 0; i < NVME_QUEUES; i++) {
		const struct nvme_sq *sq = &nvme->sq[i];
		const struct nvme_cq *cq = &nvme->cq[i];

		s->sq_base[i] = sq->base;
		s->sq_size[i] = sq->size;
		s->sq_head[i] = sq->head;
		s->sq_tail[i] = sq->tail;
		s->sq_cq[i] = sq->cq;
		s->cq_base[i] = cq->base;
		s->cq_size[i] = cq->size;
		s->cq_head[i] = cq->head;
		s->cq_tail[i] = cq->tail;
		s->cq_vector[i] = cq->vector;
		s->cq_phase[i] = cq->phase;
		s->cq_interrupts[i] = cq->interrupts;
	}
}

static bool queue_fits(const struct nvme *nvme, unsigned int i, uint64_t base,
		       uint32_t size, uint32_t head, uint32_t tail)
{
	uint32_t most = i ? NVME_ENTRIES : NVME_ADMIN_ENTRIES;

	if (!size)
		return !base && !head && !tail;
	return i <= nvme->queues && size >= 2 && size <= most && head < size &&
	       tail < size && !(base & (NVME_PAGE - 1));
}

static int check(const void *object)
{
	const struct nvme *nvme = object;
	const struct nvme_saved *s = &nvme->saved;

	for (unsigned int i = 0; i < NVME_QUEUES; i++)
		if (!queue_fits(nvme, i, s->sq_base[i], s->sq_size[i],
				s->sq_head[i], s->sq_tail[i]) ||
		    !queue_fits(nvme, i, s->cq_base[i], s->cq_size[i],
				s->cq_head[i], s->cq_tail[i]) ||
		    s->sq_cq[i] >= NVME_QUEUES || s->sq_cq[0] ||
		    (s->sq_size[i] && !s->cq_size[s->sq_cq[i]]) ||
		    s->cq_vector[i] >= nvme->msix.vectors)
			return -VM_EBADMSG;
	return nvme->waiting_count <= NVME_EVENTS ? 0 : -VM_EBADMSG;
}

static void loaded(void *object)
{
	struct nvme *nvme = object;
	const struct nvme_saved *s = &nvme->saved;

	nvme->generation++;
	nvme->next_sq = 0;
	nvme->resetting = false;
	for (unsigned int i = 0; i < NVME_QUEUES; i++) {
		nvme->sq[i] = (struct nvme_sq){
			.base = s->sq_base[i],
			.size = s->sq_size[i],
			.head = s->sq_head[i],
			.tail = s->sq_tail[i],
			.cq = s->sq_cq[i],
		};
		nvme->cq[i] = (struct nvme_cq){
			.base = s->cq_base[i],
			.size = s->cq_size[i],
			.head = s->cq_head[i],
			.tail = s->cq_tail[i],
			.vector = s->cq_vector[i],
			.phase = s->cq_phase[i],
			.interrupts = s->cq_interrupts[i],
		};
	}
}

#define QUEUES(kind_, member_)                                 \
	{                                                      \
		.name = #member_, .type = (kind_),             \
		.offset = offsetof(struct nvme, saved) +       \
			  offsetof(struct nvme_saved, member_), \
		.count = NVME_QUEUES,                          \
	}

static const struct field nvme_fields[] = {
	QUEUES(FIELD_U64, sq_base),
	QUEUES(FIELD_U32, sq_size),
	QUEUES(FIELD_U32, sq_head),
	QUEUES(FIELD_U32, sq_tail),
	QUEUES(FIELD_U32, sq_cq),
	QUEUES(FIELD_U64, cq_base),
	QUEUES(FIELD_U32, cq_size),
	QUEUES(FIELD_U32, cq_head),
	QUEUES(FIELD_U32, cq_tail),
	QUEUES(FIELD_U32, cq_vector),
	QUEUES(FIELD_BOOL, cq_phase),
	QUEUES(FIELD_BOOL, cq_interrupts),
	FIELD(struct nvme, FIELD_U32, cc),
	FIELD(struct nvme, FIELD_U32, csts),
	FIELD(struct nvme, FIELD_U32, aqa),
	FIELD(struct nvme, FIELD_U32, int_mask),
	FIELD(struct nvme, FIELD_U64, asq),
	FIELD(struct nvme, FIELD_U64, acq),
	FIELD_ARRAY(struct nvme, FIELD_U32, feature, NVME_FEATURES),
	FIELD_ARRAY(struct nvme, FIELD_U16, vector_config, NVME_QUEUES),
	FIELD_ARRAY(struct nvme, FIELD_U16, waiting, NVME_EVENTS),
	FIELD(struct nvme, FIELD_U32, waiting_count),
	FIELD_ARRAY(struct nvme, FIELD_U32, event, NVME_EVENT_TYPES),
	FIELD(struct nvme, FIELD_U8, event_pending),
	FIELD(struct nvme, FIELD_U8, event_masked),
	FIELD_ARRAY(struct nvme, FIELD_U8, errors,
		    NVME_ERRORS * NVME_ERROR_ENTRY),
	FIELD(struct nvme, FIELD_U64, error_count),
	FIELD(struct nvme, FIELD_U64, media_errors),
	FIELD(struct nvme, FIELD_U64, sectors_read),
	FIELD(struct nvme, FIELD_U64, sectors_written),
	FIELD(struct nvme, FIELD_U64, reads),
	FIELD(struct nvme, FIELD_U64, writes),
};

static const struct state_class nvme_state = {
	.name = "nvme",
	.version = 1,
	.size = sizeof(struct nvme),
	.fields = nvme_fields,
	.field_count = sizeof(nvme_fields) / sizeof(nvme_fields[0]),
	.check = check,
	.saving = saving,
	.loaded = loaded,
};

const struct device_class nvme_class = {
	.name = "nvme",
	.fini = fini,
	.quiesce = quiesce,
	.resume = resume,
	.state = &nvme_state,
};
