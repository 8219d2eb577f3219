/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI fixed hardware: PM1a event and control blocks, PM timer, GPE0 block
 * (ACPI 6.4, sections 4.8.3 and 4.8.4), laid out as in the ICH9 (datasheet
 * 13.8.3), and the SMI command port. The only sleep state is S5.
 *
 * SCI_EN is set at reset, so that the FADT may say SMI_CMD = 0; firmware
 * that hands over by SMI_CMD finds ACPI_PM_ENABLE and ACPI_PM_DISABLE at
 * ACPI_PM_SMI_CMD as well.
 */
#ifndef LODGE_CHIP_ACPI_PM_H
#define LODGE_CHIP_ACPI_PM_H

#include "vm/clock.h"
#include "vm/irq.h"
#include "vm/vm.h"

#define ACPI_PM_BASE	 0x600
#define ACPI_PM_PM1_EVT	 (ACPI_PM_BASE + 0x00) /* 4 bytes */
#define ACPI_PM_PM1_CNT	 (ACPI_PM_BASE + 0x04) /* 2 bytes */
#define ACPI_PM_TIMER	 (ACPI_PM_BASE + 0x08) /* 4 bytes */
#define ACPI_PM_GPE0	 (ACPI_PM_BASE + 0x20) /* 16 bytes */
#define ACPI_PM_GPE0_LEN 16

#define ACPI_PM_SMI_CMD 0xb2
#define ACPI_PM_ENABLE	0x02
#define ACPI_PM_DISABLE 0x03

/* First element of the DSDT's \_S5 package. */
#define ACPI_PM_S5_TYPE 0

#define ACPI_PM_TIMER_HZ 3579545u

struct acpi_pm {
	struct vm *vm;
	struct irq sci;
	uint16_t status, enable, control; /* PM1 */
	uint64_t gpe_status, gpe_enable;
	uint8_t apm[2]; /* ports 0xb2, 0xb3 */
	uint8_t timer_bits; /* 24 or 32 (the FADT's TMR_VAL_EXT) */
	uint64_t overflow; /* PM timer ticks of the next change of its MSB */
	struct timer timer;
};

extern const struct device_class acpi_pm_class;

/* Claims the blocks above and ports 0xb2, 0xb3. */
int acpi_pm_init(struct acpi_pm *pm, struct vm *vm, const struct irq *sci,
		 unsigned int timer_bits);

/* The power button was pressed. Held: the device lock. */
void acpi_pm_power_button(struct acpi_pm *pm);

/* Sets general-purpose event `event` (0-63). Held: the device lock. */
void acpi_pm_raise_gpe(struct acpi_pm *pm, unsigned int event);

#endif
