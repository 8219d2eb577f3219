/* SPDX-License-Identifier: Apache-2.0
 *
 * The multiboot information block: memory sizes and map agree with the memory
 * given (64 MiB), entries do not overlap, the guest lies inside. Multiboot
 * Specification 0.6.96, section 3.3.
 */
#include "lib.h"

struct info {
	u32 flags, lower, upper, boot_device, command, mods, mods_at, syms[4];
	u32 map_size, map_at;
} __packed;

struct entry {
	u32 size;
	u64 start, length;
	u32 type;
} __packed;

void guest_main(void)
{
	const struct info *info = (void *)(ulong)mb_info;
	u64 ram = 0, end = 0;
	bool inside = false;

	check("memory sizes and map", info->flags & 0x41, 0x41);
	check_range("lower memory in KiB", info->lower, 512, 640);
	check_range("upper memory in KiB", info->upper, 62 * 1024, 63 * 1024);
	for (u32 off = 0; off < info->map_size;) {
		const struct entry *e = (void *)(ulong)(info->map_at + off);

		check("entry size", e->size, 20);
		check("in order", e->start >= end, 1);
		end = e->start + e->length;
		if (e->type == 1) {
			ram += e->length;
			if (e->start <= 0x100000 && end >= 0x200000)
				inside = true;
		}
		off += e->size + 4;
	}
	check_range("memory in the map", ram, 63 << 20, 64 << 20);
	check("the guest is inside", inside, 1);
}
