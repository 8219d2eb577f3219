/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes at an address, for test guests and firmware-like images: entered in
 * real mode, or in 64-bit mode with the first 4 GiB mapped one to one.
 */
#include "board/layout.h"
#include "board/loader.h"

static bool flat_claims(const struct board_boot *boot)
{
	return boot->kind == BOOT_FLAT;
}

static bool in_rom(uint64_t base, uint64_t size)
{
	return base >= LAYOUT_ROM && base < LAYOUT_ROM_END &&
	       size <= LAYOUT_ROM_END - base;
}

static int enter_real(struct loader *loader, uint32_t entry)
{
	struct x86_state *state = loader->state;
	struct x86_segment *cs = &state->seg[X86_CS];

	cs->selector = (uint16_t)(entry >> 16);
	cs->base = (uint64_t)cs->selector << 4;
	state->rip = entry & 0xffff;
	return 0;
}

static int flat_load(struct loader *loader)
{
	const struct board_boot *boot = loader->boot;
	uint64_t at = boot->flat_address, size = boot->kernel_size;
	bool fits = boot->flat_long ? loader_may_use(loader, at, size)
				    : e820_is_ram(&loader->map, at, size);
	int err;

	if (boot->initrd || boot->module_count)
		return loader_fail(loader, "a flat image takes no initrd");
	if (!fits && !in_rom(at, size))
		return loader_fail(loader,
				   "the flat image does not fit: 0x%llx "
				   "bytes at 0x%llx are not free memory",
				   (unsigned long long)size,
				   (unsigned long long)at);
	err = loader_write(loader, at, boot->kernel, size);
	if (err)
		return err;
	return boot->flat_long ? loader_enter_64(loader, boot->flat_entry)
			       : enter_real(loader, boot->flat_entry);
}

const struct loader_format flat_format = {
	.name = "flat",
	.claims = flat_claims,
	.load = flat_load,
};
