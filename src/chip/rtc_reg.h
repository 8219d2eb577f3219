/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers of the MC146818A (datasheet, "Address map" and "Registers").
 */
#ifndef LODGE_CHIP_RTC_REG_H
#define LODGE_CHIP_RTC_REG_H

enum rtc_reg {
	RTC_SECOND,
	RTC_SECOND_ALARM,
	RTC_MINUTE,
	RTC_MINUTE_ALARM,
	RTC_HOUR,
	RTC_HOUR_ALARM,
	RTC_WEEKDAY,
	RTC_DAY,
	RTC_MONTH,
	RTC_YEAR,
	RTC_A,
	RTC_B,
	RTC_C,
	RTC_D,
};

#define RTC_A_UIP	0x80
#define RTC_A_DV_RESET	0x60 /* divider held: 11x */
#define RTC_A_DV_NORMAL 0x20
#define RTC_A_RATE	0x0f
#define RTC_A_RATE_1024 0x06

#define RTC_B_SET    0x80
#define RTC_B_PIE    0x40
#define RTC_B_AIE    0x20
#define RTC_B_UIE    0x10
#define RTC_B_SQWE   0x08
#define RTC_B_BINARY 0x04
#define RTC_B_24H    0x02

#define RTC_C_IRQF 0x80
#define RTC_C_PF   0x40
#define RTC_C_AF   0x20
#define RTC_C_UF   0x10

#define RTC_D_VALID 0x80

#define RTC_PM		0x80 /* in the hour, 12-hour form */
#define RTC_ANY		0xc0 /* an alarm byte that matches always */

#endif
