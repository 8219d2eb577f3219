/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MC146818 RTC; see rtc.h. Time registers are computed from the host's wall
 * clock when read, flags are brought up to date when looked at, and the
 * clock is armed only for interrupts that are enabled. The periodic rate
 * runs on VM time. The day of the week follows the date; a written one is
 * dropped. Left out: daylight saving, square wave, other crystals.
 */
#include "chip/rtc.h"

#include "chip/rtc_reg.h"
#include "chip/ticks.h"
#include "vm/bytes.h"
#include "vm/error.h"

#define NS_PER_SECOND	TICKS_NS_PER_SECOND
#define SECONDS_PER_DAY 86400u
#define RTC_CRYSTAL_HZ	32768u

/* UIP is set this long before an update (datasheet, "Update cycle"). */
#define RTC_UIP_NS 244000u

/* The host's wall clock may be set: look at an alarm this often. */
#define RTC_ALARM_LOOK_NS (60 * NS_PER_SECOND)

#define RTC_YEAR_FIRST 1970
#define RTC_YEAR_LAST  2399

struct rtc_date {
	unsigned int second, minute, hour; /* 0-59, 0-59, 0-23 */
	unsigned int day, month, year;	   /* from 1, from 1, in full */
	unsigned int weekday;		   /* 1: Sunday */
};

/* --- calendar ----------------------------------------------------------- */

static bool rtc_is_leap(unsigned int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned int rtc_month_days(unsigned int year, unsigned int month)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30,
					31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && rtc_is_leap(year));
}

static struct rtc_date rtc_to_date(uint64_t seconds)
{
	uint64_t days = seconds / SECONDS_PER_DAY;
	unsigned int rest = (unsigned int)(seconds % SECONDS_PER_DAY);
	struct rtc_date d = {
		.second = rest % 60,
		.minute = rest / 60 % 60,
		.hour = rest / 3600,
		.weekday = (unsigned int)((days + 4) % 7) + 1,
		.month = 1,
		.year = RTC_YEAR_FIRST,
	};

	while (days >= 365u + rtc_is_leap(d.year)) {
		days -= 365u + rtc_is_leap(d.year);
		d.year++;
	}
	while (days >= rtc_month_days(d.year, d.month)) {
		days -= rtc_month_days(d.year, d.month);
		d.month++;
	}
	d.day = (unsigned int)days + 1;
	return d;
}

static unsigned int rtc_clamp(unsigned int value, unsigned int low,
			      unsigned int high)
{
	if (value < low)
		return low;
	return value > high ? high : value;
}

/* Guests may write anything: fields are brought into their range. */
static uint64_t rtc_from_date(const struct rtc_date *d)
{
	unsigned int year = rtc_clamp(d->year, RTC_YEAR_FIRST, RTC_YEAR_LAST);
	unsigned int month = rtc_clamp(d->month, 1, 12);
	uint64_t days = rtc_clamp(d->day, 1, rtc_month_days(year, month)) - 1;
	unsigned int i;

	for (i = 1; i < month; i++)
		days += rtc_month_days(year, i);
	for (i = RTC_YEAR_FIRST; i < year; i++)
		days += 365u + rtc_is_leap(i);
	return days * SECONDS_PER_DAY + rtc_clamp(d->hour, 0, 23) * 3600u +
	       rtc_clamp(d->minute, 0, 59) * 60u + rtc_clamp(d->second, 0, 59);
}

/* --- registers and date ------------------------------------------------- */

static uint8_t rtc_encode(const struct rtc *rtc, unsigned int value)
{
	if (rtc->nvram[RTC_B] & RTC_B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 << 4 | value % 10);
}

static unsigned int rtc_decode(const struct rtc *rtc, uint8_t value)
{
	if (rtc->nvram[RTC_B] & RTC_B_BINARY)
		return value;
	return (value >> 4) * 10u + (value & 0xfu);
}

static uint8_t rtc_encode_hour(const struct rtc *rtc, unsigned int hour)
{
	if (rtc->nvram[RTC_B] & RTC_B_24H)
		return rtc_encode(rtc, hour);
	return rtc_encode(rtc, hour % 12 ? hour % 12 : 12) |
	       (hour >= 12 ? RTC_PM : 0);
}

static unsigned int rtc_decode_hour(const struct rtc *rtc, uint8_t value)
{
	unsigned int hour;

	if (rtc->nvram[RTC_B] & RTC_B_24H)
		return rtc_decode(rtc, value);
	hour = rtc_decode(rtc, value & (uint8_t)~RTC_PM) % 12;
	return value & RTC_PM ? hour + 12 : hour;
}

static uint64_t rtc_now(const struct rtc *rtc)
{
	return host_realtime_ns() + rtc->offset;
}

/* The date into the time registers. */
static void rtc_fill(struct rtc *rtc)
{
	struct rtc_date d = rtc_to_date(rtc_now(rtc) / NS_PER_SECOND);

	rtc->nvram[RTC_SECOND] = rtc_encode(rtc, d.second);
	rtc->nvram[RTC_MINUTE] = rtc_encode(rtc, d.minute);
	rtc->nvram[RTC_HOUR] = rtc_encode_hour(rtc, d.hour);
	rtc->nvram[RTC_WEEKDAY] = rtc_encode(rtc, d.weekday);
	rtc->nvram[RTC_DAY] = rtc_encode(rtc, d.day);
	rtc->nvram[RTC_MONTH] = rtc_encode(rtc, d.month);
	rtc->nvram[RTC_YEAR] = rtc_encode(rtc, d.year % 100);
	rtc->nvram[RTC_CENTURY] = rtc_encode(rtc, d.year / 100);
}

static void rtc_set_date(struct rtc *rtc, uint64_t seconds, uint64_t ns)
{
	rtc->offset = seconds * NS_PER_SECOND + ns - host_realtime_ns();
	rtc->second = seconds;
}

/* The time registers become the date; the phase of the second stays. */
static void rtc_commit(struct rtc *rtc)
{
	const uint8_t *reg = rtc->nvram;
	struct rtc_date d = {
		.second = rtc_decode(rtc, reg[RTC_SECOND]),
		.minute = rtc_decode(rtc, reg[RTC_MINUTE]),
		.hour = rtc_decode_hour(rtc, reg[RTC_HOUR]),
		.day = rtc_decode(rtc, reg[RTC_DAY]),
		.month = rtc_decode(rtc, reg[RTC_MONTH]),
		.year = rtc_decode(rtc, reg[RTC_CENTURY]) * 100 +
			rtc_decode(rtc, reg[RTC_YEAR]),
	};

	rtc_set_date(rtc, rtc_from_date(&d), rtc_now(rtc) % NS_PER_SECOND);
}

static bool rtc_divider_held(const struct rtc *rtc)
{
	return (rtc->nvram[RTC_A] & RTC_A_DV_RESET) == RTC_A_DV_RESET;
}

/* No update cycles happen. */
static bool rtc_is_halted(const struct rtc *rtc)
{
	return (rtc->nvram[RTC_B] & RTC_B_SET) || rtc_divider_held(rtc);
}

/* --- interrupts --------------------------------------------------------- */

static bool rtc_matches(const struct rtc *rtc, enum rtc_reg reg,
			unsigned int value)
{
	uint8_t alarm = rtc->nvram[reg];

	if ((alarm & RTC_ANY) == RTC_ANY)
		return true;
	if (reg == RTC_HOUR_ALARM)
		return rtc_decode_hour(rtc, alarm) == value;
	return rtc_decode(rtc, alarm) == value;
}

/* The first second after `second` that the alarm matches, or UINT64_MAX. */
static uint64_t rtc_next_alarm(const struct rtc *rtc, uint64_t second)
{
	uint64_t at = second + 1;

	while (at <= second + SECONDS_PER_DAY) {
		if (!rtc_matches(rtc, RTC_HOUR_ALARM, at / 3600 % 24))
			at += 3600 - at % 3600;
		else if (!rtc_matches(rtc, RTC_MINUTE_ALARM, at / 60 % 60))
			at += 60 - at % 60;
		else if (!rtc_matches(rtc, RTC_SECOND_ALARM, at % 60))
			at++;
		else
			return at;
	}
	return UINT64_MAX;
}

/* log2 of the crystal ticks between periodic edges; -1: there are none. */
static int rtc_rate_shift(const struct rtc *rtc)
{
	int rate = rtc->nvram[RTC_A] & RTC_A_RATE;

	if (!rate)
		return -1;
	/* Rates 1 and 2 are as 8 and 9 with a 32 kHz crystal. */
	return rate <= 2 ? rate + 6 : rate - 1;
}

static uint64_t rtc_edges(const struct rtc *rtc)
{
	int shift = rtc_rate_shift(rtc);

	if (shift < 0 || rtc_divider_held(rtc))
		return 0;
	return ticks_from_ns(clock_now(&rtc->vm->clock), RTC_CRYSTAL_HZ) >>
	       shift;
}

/* Sets the flags for what has happened since the last time. */
static void rtc_settle(struct rtc *rtc)
{
	uint64_t second = rtc_now(rtc) / NS_PER_SECOND;
	uint64_t edges = rtc_edges(rtc);
	uint8_t *c = &rtc->nvram[RTC_C];

	if (!rtc_is_halted(rtc) && second > rtc->second) {
		*c |= RTC_C_UF;
		if (rtc_next_alarm(rtc, rtc->second) <= second)
			*c |= RTC_C_AF;
	}
	rtc->second = second; /* also when the host's clock was set back */
	if (edges > rtc->periodic)
		*c |= RTC_C_PF;
	rtc->periodic = edges;
	if (*c & rtc->nvram[RTC_B] & (RTC_C_PF | RTC_C_AF | RTC_C_UF))
		*c |= RTC_C_IRQF;
	else
		*c &= (uint8_t)~RTC_C_IRQF;
	irq_set(&rtc->irq, *c & RTC_C_IRQF);
}

/* VM time of the next enabled interrupt, settled. */
static uint64_t rtc_deadline(const struct rtc *rtc)
{
	/* A flag that is up already raises nothing new. */
	uint8_t want = rtc->nvram[RTC_B] & (uint8_t)~rtc->nvram[RTC_C];
	uint64_t now = clock_now(&rtc->vm->clock), date = rtc_now(rtc);
	uint64_t deadline = TIMER_NEVER, at;

	if ((want & RTC_B_PIE) && rtc_rate_shift(rtc) >= 0 &&
	    !rtc_divider_held(rtc))
		deadline = ticks_to_ns((rtc->periodic + 1)
					       << rtc_rate_shift(rtc),
				       RTC_CRYSTAL_HZ);
	if (rtc_is_halted(rtc))
		return deadline;
	if (want & RTC_B_UIE) {
		at = now + NS_PER_SECOND - date % NS_PER_SECOND;
		deadline = at < deadline ? at : deadline;
	}
	if (want & RTC_B_AIE) {
		at = rtc_next_alarm(rtc, rtc->second);
		if (at == UINT64_MAX)
			return deadline;
		at = at * NS_PER_SECOND - date;
		at = now + (at < RTC_ALARM_LOOK_NS ? at : RTC_ALARM_LOOK_NS);
		deadline = at < deadline ? at : deadline;
	}
	return deadline;
}

static void rtc_update(struct rtc *rtc)
{
	rtc_settle(rtc);
	timer_arm(&rtc->vm->clock, &rtc->timer, rtc_deadline(rtc));
}

/* Held: the device lock. */
static void rtc_fire(void *ctx)
{
	rtc_update(ctx);
}

/* --- ports -------------------------------------------------------------- */

static bool rtc_is_time(unsigned int index)
{
	return index == RTC_CENTURY ||
	       (index < RTC_A && index != RTC_SECOND_ALARM &&
		index != RTC_MINUTE_ALARM && index != RTC_HOUR_ALARM);
}

static uint8_t rtc_read_a(const struct rtc *rtc)
{
	uint64_t into = rtc_now(rtc) % NS_PER_SECOND;

	if (!rtc_is_halted(rtc) && into >= NS_PER_SECOND - RTC_UIP_NS)
		return rtc->nvram[RTC_A] | RTC_A_UIP;
	return rtc->nvram[RTC_A];
}

static uint8_t rtc_read_c(struct rtc *rtc)
{
	uint8_t value;

	rtc_settle(rtc);
	value = rtc->nvram[RTC_C];
	rtc->nvram[RTC_C] = 0;
	rtc_update(rtc);
	return value;
}

static uint64_t rtc_read(void *device, uint64_t offset, unsigned int size)
{
	struct rtc *rtc = device;

	if (!offset)
		return 0xff;
	if (rtc->index == RTC_A)
		return rtc_read_a(rtc);
	if (rtc->index == RTC_C)
		return rtc_read_c(rtc);
	if (rtc_is_time(rtc->index) && !(rtc->nvram[RTC_B] & RTC_B_SET))
		rtc_fill(rtc);
	return rtc->nvram[rtc->index];
}

static void rtc_write_a(struct rtc *rtc, uint8_t value)
{
	bool held = rtc_divider_held(rtc);

	rtc->nvram[RTC_A] = value & (uint8_t)~RTC_A_UIP;
	rtc->periodic = rtc_edges(rtc);
	/* The first update comes half a second after the divider starts. */
	if (held && !rtc_divider_held(rtc))
		rtc_set_date(rtc, rtc_now(rtc) / NS_PER_SECOND,
			     NS_PER_SECOND / 2);
}

static void rtc_write_b(struct rtc *rtc, uint8_t value)
{
	uint8_t was = rtc->nvram[RTC_B];

	if (value & RTC_B_SET) {
		value &= (uint8_t)~RTC_B_UIE;
		if (!(was & RTC_B_SET))
			rtc_fill(rtc);
	}
	rtc->nvram[RTC_B] = value;
	if ((was & RTC_B_SET) && !(value & RTC_B_SET))
		rtc_commit(rtc);
}

static void rtc_write_data(struct rtc *rtc, uint8_t value)
{
	switch (rtc->index) {
	case RTC_A:
		rtc_write_a(rtc, value);
		return;
	case RTC_B:
		rtc_write_b(rtc, value);
		return;
	case RTC_C:
	case RTC_D:
		return;
	}
	if (!rtc_is_time(rtc->index) || (rtc->nvram[RTC_B] & RTC_B_SET)) {
		rtc->nvram[rtc->index] = value;
		return;
	}
	rtc_fill(rtc);
	rtc->nvram[rtc->index] = value;
	rtc_commit(rtc);
}

static void rtc_write(void *device, uint64_t offset, unsigned int size,
		      uint64_t value)
{
	struct rtc *rtc = device;

	if (!offset) {
		rtc->index = value & (RTC_NVRAM_SIZE - 1);
		return;
	}
	rtc_settle(rtc);
	rtc_write_data(rtc, (uint8_t)value);
	rtc_update(rtc);
}

void rtc_set_nvram(struct rtc *rtc, unsigned int index, uint8_t value)
{
	if (index >= RTC_NVRAM_FIRST && index < RTC_NVRAM_SIZE &&
	    index != RTC_CENTURY)
		rtc->nvram[index] = value;
}

/* The battery keeps date, NVRAM and rate; RESET ends interrupts. */
static void rtc_reset(void *device)
{
	struct rtc *rtc = device;

	rtc->index = 0;
	rtc->nvram[RTC_B] &= (uint8_t)~(RTC_B_PIE | RTC_B_AIE | RTC_B_UIE |
					RTC_B_SQWE);
	rtc->nvram[RTC_C] = 0;
	rtc_update(rtc);
}

static int rtc_check(const void *object)
{
	const struct rtc *rtc = object;

	return rtc->index < RTC_NVRAM_SIZE ? 0 : -VM_EBADMSG;
}

static const struct field rtc_fields[] = {
	FIELD(struct rtc, FIELD_U8, index),
	FIELD_ARRAY(struct rtc, FIELD_U8, nvram, RTC_NVRAM_SIZE),
	FIELD(struct rtc, FIELD_U64, offset),
	FIELD(struct rtc, FIELD_U64, periodic),
	FIELD(struct rtc, FIELD_U64, second),
	FIELD(struct rtc, FIELD_TIMER, timer),
};

static const struct state_class rtc_state = {
	.name = "rtc",
	.version = 1,
	.size = sizeof(struct rtc),
	.fields = rtc_fields,
	.field_count = sizeof(rtc_fields) / sizeof(rtc_fields[0]),
	.check = rtc_check,
};

const struct device_class rtc_class = {
	.name = "rtc",
	.reset = rtc_reset,
	.state = &rtc_state,
};

static const struct bus_ops rtc_ops = {
	.read = rtc_read,
	.write = rtc_write,
	.max_size = 1,
};

int rtc_init(struct rtc *rtc, struct vm *vm, const struct irq *irq)
{
	int err;

	memset(rtc, 0, sizeof(*rtc));
	rtc->vm = vm;
	rtc->irq = *irq;
	rtc->nvram[RTC_A] = RTC_A_DV_NORMAL | RTC_A_RATE_1024;
	rtc->nvram[RTC_B] = RTC_B_24H;
	rtc->nvram[RTC_D] = RTC_D_VALID;
	rtc->second = rtc_now(rtc) / NS_PER_SECOND;
	timer_init(&rtc->timer, rtc_fire, rtc);
	rtc_reset(rtc);
	err = bus_add(&vm->pio, 0x70, 2, "rtc", &rtc_ops, rtc);
	if (err)
		return err;
	return vm_add_device(vm, &rtc_class, rtc);
}
