/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MC146818 real-time clock with 128 bytes of NVRAM (Motorola MC146818A
 * datasheet; century byte at 0x32 as in ACPI's FADT). The date is the host's
 * wall clock plus an offset: it follows the host through pauses and
 * restores, and a date that the guest writes becomes a new offset.
 */
#ifndef LODGE_CHIP_RTC_H
#define LODGE_CHIP_RTC_H

#include "vm/clock.h"
#include "vm/irq.h"
#include "vm/vm.h"

#define RTC_NVRAM_SIZE	128
#define RTC_NVRAM_FIRST 0x0e /* below: clock, alarm, control registers */
#define RTC_CENTURY	0x32

struct rtc {
	struct vm *vm;
	struct irq irq;
	uint8_t index;
	uint8_t nvram[RTC_NVRAM_SIZE]; /* registers included */
	uint64_t offset;   /* two's complement ns: date = host + offset */
	uint64_t periodic; /* periodic edges seen, of VM time */
	uint64_t second;   /* date in s up to which UF and AF are done */
	struct timer timer;
};

extern const struct device_class rtc_class;

/* Claims ports 0x70, 0x71. */
int rtc_init(struct rtc *rtc, struct vm *vm, const struct irq *irq);

/* For the board's set-up: NVRAM from RTC_NVRAM_FIRST on. */
void rtc_set_nvram(struct rtc *rtc, unsigned int index, uint8_t value);

#endif
