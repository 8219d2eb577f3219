/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI fixed hardware; see acpi_pm.h. Registers are reached by bytes, so
 * that any access width works; the PM timer is a block of its own that needs
 * no lock, for guests that read it all the time. Left out: S1 to S4, SMI,
 * global and bus-master events.
 */
#include "chip/acpi_pm.h"

#include "chip/ticks.h"
#include "vm/bytes.h"
#include "vm/error.h"

/* PM1 status and enable (ACPI 6.4, tables 4.12 and 4.13) */
#define PM1_TMR	   0x0001
#define PM1_GBL	   0x0020
#define PM1_PWRBTN 0x0100
#define PM1_SLPBTN 0x0200
#define PM1_RTC	   0x0400
#define PM1_EVENTS (PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_SLPBTN | PM1_RTC)

/* PM1 control (table 4.14) */
#define PM1_SCI_EN     0x0001
#define PM1_BM_RLD     0x0002
#define PM1_SLP_TYP(v) (((v) >> 10) & 7)
#define PM1_SLP_TYPS   0x1c00
#define PM1_SLP_EN     0x2000

/* Byte offsets in the PM1 block */
#define PM1_STATUS_AT  0
#define PM1_ENABLE_AT  2
#define PM1_CONTROL_AT 4
#define PM1_SIZE       8

/* --- timer -------------------------------------------------------------- */

static uint64_t acpi_pm_ticks(const struct acpi_pm *pm)
{
	return ticks_from_ns(clock_now(&pm->vm->clock), ACPI_PM_TIMER_HZ);
}

/* TMR_STS is set each time the counter's highest bit changes. */
static void acpi_pm_settle(struct acpi_pm *pm)
{
	uint64_t half = (uint64_t)1 << (pm->timer_bits - 1);
	uint64_t ticks = acpi_pm_ticks(pm);

	if (ticks >= pm->overflow)
		pm->status |= PM1_TMR;
	pm->overflow = (ticks / half + 1) * half;
}

static uint64_t acpi_pm_read_timer(void *device, uint64_t offset,
				   unsigned int size)
{
	const struct acpi_pm *pm = device;

	return acpi_pm_ticks(pm) & (((uint64_t)1 << pm->timer_bits) - 1);
}

/* --- events ------------------------------------------------------------- */

static void acpi_pm_update(struct acpi_pm *pm)
{
	bool event = (pm->status & pm->enable & PM1_EVENTS) ||
		     (pm->gpe_status & pm->gpe_enable);

	irq_set(&pm->sci, event && (pm->control & PM1_SCI_EN));
	if ((pm->enable & PM1_TMR) && !(pm->status & PM1_TMR))
		timer_arm(&pm->vm->clock, &pm->timer,
			  ticks_to_ns(pm->overflow, ACPI_PM_TIMER_HZ));
	else if (pm->timer.armed)
		timer_cancel(&pm->vm->clock, &pm->timer);
}

/* Held: the device lock. */
static void acpi_pm_fire(void *ctx)
{
	struct acpi_pm *pm = ctx;

	acpi_pm_settle(pm);
	acpi_pm_update(pm);
}

void acpi_pm_power_button(struct acpi_pm *pm)
{
	pm->status |= PM1_PWRBTN;
	acpi_pm_update(pm);
}

void acpi_pm_raise_gpe(struct acpi_pm *pm, unsigned int event)
{
	if (event >= 64)
		return;
	pm->gpe_status |= (uint64_t)1 << event;
	acpi_pm_update(pm);
}

/* --- registers ---------------------------------------------------------- */

/* The register that holds byte `offset` of the PM1 block, or NULL. */
static uint16_t *acpi_pm_reg(struct acpi_pm *pm, uint64_t offset)
{
	switch (offset & ~1ull) {
	case PM1_STATUS_AT:
		return &pm->status;
	case PM1_ENABLE_AT:
		return &pm->enable;
	case PM1_CONTROL_AT:
		return &pm->control;
	}
	return NULL;
}

static uint64_t acpi_pm_read(void *device, uint64_t offset, unsigned int size)
{
	struct acpi_pm *pm = device;
	const uint16_t *reg = acpi_pm_reg(pm, offset);

	acpi_pm_settle(pm);
	return reg ? *reg >> (offset & 1) * 8 : 0;
}

static void acpi_pm_write_control(struct acpi_pm *pm, uint16_t value)
{
	pm->control = (pm->control & PM1_SCI_EN) |
		      (value & (PM1_BM_RLD | PM1_SLP_TYPS));
	if ((value & PM1_SLP_EN) && PM1_SLP_TYP(value) == ACPI_PM_S5_TYPE)
		vm_ask(pm->vm, VM_POWER_OFF);
}

static void acpi_pm_write(void *device, uint64_t offset, unsigned int size,
			  uint64_t value)
{
	struct acpi_pm *pm = device;
	const uint16_t *reg = acpi_pm_reg(pm, offset);
	unsigned int shift = (offset & 1) * 8;
	uint16_t bits = (uint16_t)((value & 0xff) << shift), merged;

	if (!reg)
		return;
	merged = (*reg & (uint16_t)~(0xffu << shift)) | bits;
	acpi_pm_settle(pm);
	if (reg == &pm->status)
		pm->status &= (uint16_t)~bits;
	else if (reg == &pm->enable)
		pm->enable = merged & PM1_EVENTS;
	else
		acpi_pm_write_control(pm, merged);
	acpi_pm_update(pm);
}

/* GPE0: status in the first half of the block, enable in the second. */
static uint64_t acpi_pm_read_gpe(void *device, uint64_t offset,
				 unsigned int size)
{
	const struct acpi_pm *pm = device;
	uint64_t reg = offset < 8 ? pm->gpe_status : pm->gpe_enable;

	return (reg >> (offset & 7) * 8) & 0xff;
}

static void acpi_pm_write_gpe(void *device, uint64_t offset,
			      unsigned int size, uint64_t value)
{
	struct acpi_pm *pm = device;
	unsigned int shift = (offset & 7) * 8;

	if (offset < 8)
		pm->gpe_status &= ~(value << shift);
	else
		pm->gpe_enable = (pm->gpe_enable & ~(0xffull << shift)) |
				 value << shift;
	acpi_pm_update(pm);
}

static uint64_t acpi_pm_read_smi(void *device, uint64_t offset,
				 unsigned int size)
{
	const struct acpi_pm *pm = device;

	return pm->apm[offset];
}

static void acpi_pm_write_smi(void *device, uint64_t offset,
			      unsigned int size, uint64_t value)
{
	struct acpi_pm *pm = device;

	pm->apm[offset] = (uint8_t)value;
	if (offset)
		return;
	if (value == ACPI_PM_ENABLE)
		pm->control |= PM1_SCI_EN;
	else if (value == ACPI_PM_DISABLE)
		pm->control &= (uint16_t)~PM1_SCI_EN;
	acpi_pm_update(pm);
}

static void acpi_pm_reset(void *device)
{
	struct acpi_pm *pm = device;

	acpi_pm_settle(pm);
	pm->status = 0;
	pm->enable = 0;
	pm->control = PM1_SCI_EN;
	pm->gpe_status = 0;
	pm->gpe_enable = 0;
	pm->apm[0] = 0;
	pm->apm[1] = 0;
	acpi_pm_update(pm);
}

static const struct field acpi_pm_fields[] = {
	FIELD(struct acpi_pm, FIELD_U16, status),
	FIELD(struct acpi_pm, FIELD_U16, enable),
	FIELD(struct acpi_pm, FIELD_U16, control),
	FIELD(struct acpi_pm, FIELD_U64, gpe_status),
	FIELD(struct acpi_pm, FIELD_U64, gpe_enable),
	FIELD_ARRAY(struct acpi_pm, FIELD_U8, apm, 2),
	FIELD(struct acpi_pm, FIELD_U64, overflow),
	FIELD(struct acpi_pm, FIELD_TIMER, timer),
};

static const struct state_class acpi_pm_state = {
	.name = "acpi-pm",
	.version = 1,
	.size = sizeof(struct acpi_pm),
	.fields = acpi_pm_fields,
	.field_count = sizeof(acpi_pm_fields) / sizeof(acpi_pm_fields[0]),
};

const struct device_class acpi_pm_class = {
	.name = "acpi-pm",
	.reset = acpi_pm_reset,
	.state = &acpi_pm_state,
};

static const struct bus_ops acpi_pm1_ops = {
	.read = acpi_pm_read,
	.write = acpi_pm_write,
	.max_size = 1,
};

static const struct bus_ops acpi_pm_timer_ops = {
	.read = acpi_pm_read_timer,
	.min_size = 4,
	.max_size = 4,
	.lockless = true,
};

static const struct bus_ops acpi_pm_gpe_ops = {
	.read = acpi_pm_read_gpe,
	.write = acpi_pm_write_gpe,
	.max_size = 1,
};

static const struct bus_ops acpi_pm_smi_ops = {
	.read = acpi_pm_read_smi,
	.write = acpi_pm_write_smi,
	.max_size = 1,
};

int acpi_pm_init(struct acpi_pm *pm, struct vm *vm, const struct irq *sci,
		 unsigned int timer_bits)
{
	int err;

	if (timer_bits != 24 && timer_bits != 32)
		return -VM_EINVAL;
	memset(pm, 0, sizeof(*pm));
	pm->vm = vm;
	pm->sci = *sci;
	pm->timer_bits = (uint8_t)timer_bits;
	timer_init(&pm->timer, acpi_pm_fire, pm);
	acpi_pm_reset(pm);
	err = bus_add(&vm->pio, ACPI_PM_PM1_EVT, PM1_SIZE, "acpi-pm1",
		      &acpi_pm1_ops, pm);
	if (!err)
		err = bus_add(&vm->pio, ACPI_PM_TIMER, 4, "acpi-timer",
			      &acpi_pm_timer_ops, pm);
	if (!err)
		err = bus_add(&vm->pio, ACPI_PM_GPE0, ACPI_PM_GPE0_LEN,
			      "acpi-gpe0", &acpi_pm_gpe_ops, pm);
	if (!err)
		err = bus_add(&vm->pio, ACPI_PM_SMI_CMD, 2, "acpi-smi",
			      &acpi_pm_smi_ops, pm);
	if (err)
		return err;
	return vm_add_device(vm, &acpi_pm_class, pm);
}
