/* SPDX-License-Identifier: Apache-2.0
 *
 * The ACPI PM timer, found through RSDP, RSDT or XSDT, and FADT: it never
 * goes back, and runs at three times the 8254's rate. ACPI 6.5 sections
 * 4.8.3.3 and 5.2.
 */
#include "chips.h"

struct header {
	char signature[4];
	u32 length;
	u8 rest[28];
} __packed;

static bool sums_to_zero(const u8 *p, u32 n)
{
	u8 sum = 0;

	while (n--)
		sum += *p++;
	return !sum;
}

static const u8 *find_rsdp(void)
{
	for (ulong a = 0xe0000; a < 0x100000; a += 16) {
		if (!memcmp((u8 *)a, "RSD PTR ", 8) &&
		    sums_to_zero((u8 *)a, 20))
			return (u8 *)a;
	}
	return NULL;
}

static const u8 *find_fadt(const u8 *rsdp)
{
	bool wide = rsdp[15] >= 2 && *(u64 *)(rsdp + 24);
	const struct header *root;
	u32 step = wide ? 8 : 4;

	root = wide ? (void *)*(u64 *)(rsdp + 24)
		    : (void *)(ulong)*(u32 *)(rsdp + 16);
	check("sum of the root table",
	      sums_to_zero((const u8 *)root, root->length), 1);
	for (u32 off = 36; off + step <= root->length; off += step) {
		const u8 *e = (const u8 *)root + off;
		const struct header *t;

		t = wide ? (void *)*(u64 *)e : (void *)(ulong)*(u32 *)e;
		check("sum of a table", sums_to_zero((u8 *)t, t->length), 1);
		if (!memcmp(t->signature, "FACP", 4))
			return (const u8 *)t;
	}
	return NULL;
}

/* Both timers at about one time: the PIT's ticks, the PM timer. */
static u64 sample(u32 port, u32 *now)
{
	u64 before, after;

	do {
		before = pit_ticks();
		*now = inl(port);
		after = pit_ticks();
	} while (after - before > 60);
	return before;
}

void guest_main(void)
{
	const u8 *rsdp = find_rsdp(), *fadt;
	u32 port, mask, last, now, percent;
	u64 start, ticks;

	if (!rsdp)
		fail("no RSDP");
	fadt = find_fadt(rsdp);
	if (!fadt)
		fail("no FADT");
	port = *(u32 *)(fadt + 76);
	mask = *(u32 *)(fadt + 112) & 0x100 ? 0xffffffff : 0xffffff;
	check_range("port", port, 1, 0xfffc);
	last = inl(port) & mask;
	for (int i = 0; i < 2000; i++) {
		now = inl(port) & mask;
		if (((now - last) & mask) > mask / 2)
			fail("the PM timer went back");
		last = now;
	}
	pit_start();
	start = sample(port, &last);
	do {
		ticks = sample(port, &now);
	} while (ticks - start < 11932);
	now = (now - last) & mask;
	percent = now * 100 / (3 * (u32)(ticks - start));
	check_range("rate, in percent", percent, 90, 115);
}
