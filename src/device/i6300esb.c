/* SPDX-License-Identifier: Apache-2.0 */
#include "device/i6300esb.h"

#include "vm/bytes.h"
#include "vm/error.h"

/* Configuration space. */
#define CONFIG	      0x60 /* 16 bits */
#define CONFIG_FAST   0x04 /* ticks of 2^5 PCI clocks, not of 2^15 */
#define CONFIG_NO_OUT 0x20 /* nothing happens behind the second stage */
#define LOCK	      0x68 /* 8 bits */
#define LOCK_LOCKED   0x01 /* kept, and not heeded */
#define LOCK_ENABLE   0x02
#define LOCK_FREE     0x04 /* counts for ever, and does nothing else */

/* Memory. */
#define PRELOAD_1   0x00
#define PRELOAD_2   0x04
#define RELOAD	    0x0c
#define RELOAD_PING 0x100
#define RELOAD_TIMEOUT 0x200

#define PRELOAD_BITS 0xfffffu
#define UNLOCK_1     0x80
#define UNLOCK_2     0x86

#define PCI_HZ	  33000000u
#define NS_PER_S  1000000000u

static bool is_on(const struct i6300esb *dog)
{
	return pci_get(&dog->pci, LOCK, 1) & LOCK_ENABLE;
}

/* How long a stage takes. */
static uint64_t stage_ns(const struct i6300esb *dog, unsigned int stage)
{
	bool fast = pci_get(&dog->pci, CONFIG, 2) & CONFIG_FAST;
	uint64_t clocks = (uint64_t)(dog->preload[stage] + 1)
			  << (fast ? 5 : 15);

	return clocks * (NS_PER_S / 1000000) / (PCI_HZ / 1000000);
}

static void begin_stage(struct i6300esb *dog, bool second)
{
	dog->second = second;
	timer_arm(&dog->vm->clock, &dog->timer,
		  clock_now(&dog->vm->clock) + stage_ns(dog, second));
}

static void stage_over(void *ctx)
{
	struct i6300esb *dog = ctx;

	if (!is_on(dog))
		return;
	if (!dog->second) {
		begin_stage(dog, true);
		return;
	}
	if (pci_get(&dog->pci, LOCK, 1) & LOCK_FREE) {
		begin_stage(dog, false);
		return;
	}
	dog->timed_out = true;
	if (!(pci_get(&dog->pci, CONFIG, 2) & CONFIG_NO_OUT))
		dog->bite(dog->ctx);
}

/* --- registers ----------------------------------------------------------------- */

static uint64_t read_register(void *device, uint64_t offset, unsigned int size)
{
	const struct i6300esb *dog = device;

	return offset == RELOAD && dog->timed_out ? RELOAD_TIMEOUT : 0;
}

/* Each write but those of the two words needs them right before it. */
static void write_register(void *device, uint64_t offset, unsigned int size,
			   uint64_t value)
{
	struct i6300esb *dog = device;
	bool open = dog->unlock == 2;

	if (offset == RELOAD && value == UNLOCK_1) {
		dog->unlock = 1;
		return;
	}
	if (offset == RELOAD && value == UNLOCK_2 && dog->unlock == 1) {
		dog->unlock = 2;
		return;
	}
	dog->unlock = 0;
	if (!open)
		return;
	if (offset == PRELOAD_1 || offset == PRELOAD_2) {
		dog->preload[offset / 4] = (uint32_t)value & PRELOAD_BITS;
	} else if (offset == RELOAD) {
		if (value & RELOAD_TIMEOUT)
			dog->timed_out = false;
		if (value & RELOAD_PING && is_on(dog))
			begin_stage(dog, false);
	}
}

static const struct bus_ops register_ops = {
	.read = read_register,
	.write = write_register,
	.max_size = 4,
};

/* The guest has turned it on or off. */
static void config_written(struct pci_device *pci, unsigned int at,
			   unsigned int size)
{
	struct i6300esb *dog = pci->owner;

	if (at > LOCK || at + size <= LOCK)
		return;
	if (!is_on(dog))
		timer_cancel(&dog->vm->clock, &dog->timer);
	else if (!dog->timer.armed)
		begin_stage(dog, false);
}

static void reset(struct pci_device *pci)
{
	struct i6300esb *dog = pci->owner;

	timer_cancel(&dog->vm->clock, &dog->timer);
	dog->preload[0] = dog->preload[1] = PRELOAD_BITS;
	dog->second = false;
	dog->unlock = 0;
	/* timed_out outlives the reset that it made. */
}

static const struct pci_ops pci_ops = {
	.config_written = config_written,
	.reset = reset,
};

static const struct pci_ident ident = {
	.name = "i6300esb",
	.vendor = 0x8086,
	.device = 0x25ab,
	.class = 0x088000,
	.revision = 0,
	.subvendor = 0x1af4,
	.subdevice = 0x1100,
};

static const struct pci_reg config_registers[] = {
	{ .at = CONFIG, .size = 2,
	  .write = 0x03 | CONFIG_FAST | CONFIG_NO_OUT },
	{ .at = LOCK, .size = 1,
	  .write = LOCK_LOCKED | LOCK_ENABLE | LOCK_FREE },
};

/* --- the device ---------------------------------------------------------------- */

static int check(const void *object)
{
	const struct i6300esb *dog = object;

	if ((dog->preload[0] | dog->preload[1]) & ~PRELOAD_BITS ||
	    dog->unlock > 2)
		return -VM_EBADMSG;
	return 0;
}

static const struct field fields[] = {
	FIELD_ARRAY(struct i6300esb, FIELD_U32, preload, 2),
	FIELD(struct i6300esb, FIELD_BOOL, second),
	FIELD(struct i6300esb, FIELD_BOOL, timed_out),
	FIELD(struct i6300esb, FIELD_U8, unlock),
	FIELD(struct i6300esb, FIELD_TIMER, timer),
};

static const struct state_class state = {
	.name = "i6300esb",
	.version = 1,
	.size = sizeof(struct i6300esb),
	.fields = fields,
	.field_count = sizeof(fields) / sizeof(fields[0]),
	.check = check,
};

const struct device_class i6300esb_class = {
	.name = "i6300esb",
	.state = &state,
};

int i6300esb_init(struct i6300esb *dog, struct vm *vm,
		  void (*bite)(void *ctx), void *ctx)
{
	int err;

	memset(dog, 0, sizeof(*dog));
	dog->vm = vm;
	dog->bite = bite;
	dog->ctx = ctx;
	dog->preload[0] = dog->preload[1] = PRELOAD_BITS;
	timer_init(&dog->timer, stage_over, dog);
	err = vm_add_device(vm, &i6300esb_class, dog);
	if (!err)
		err = pci_device_init(&dog->pci, vm, &ident, &pci_ops, dog);
	if (err)
		return err;
	pci_regs_add(&dog->pci, 0, config_registers, 2);
	pci_bar_add(&dog->pci, 0, PCI_MEM32, I6300ESB_BAR, &register_ops, dog);
	return 0;
}
