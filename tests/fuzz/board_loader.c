/* SPDX-License-Identifier: Apache-2.0 */
/* See board_loader.h. The fake host is below; guest memory is made once. */
#include "board_loader.h"

#include <stdlib.h>
#include <string.h>

#include "board/layout.h"

#define MEMORY_MIB 64u
#define OPTIONS	   4u

/* Options, the last bytes of an input: memory, then these bits, then sizes. */
#define WITH_INITRD 0x01
#define WITH_MODULE 0x02
#define WITH_APPEND 0x04
#define AS_FLAT	    0x08
#define FLAT_LONG   0x10

static struct memory *guest_memory(void)
{
	static struct memory memory;
	static bool made;

	if (made)
		return &memory;
	made = true;
	if (memory_init(&memory, (uint64_t)MEMORY_MIB << 20,
			LAYOUT_ROM_END - LAYOUT_ROM) ||
	    memory_add(&memory, MEMORY_RAM, gpa(0), LAYOUT_LOW_END, "low") ||
	    memory_add(&memory, MEMORY_ROM, gpa(LAYOUT_ROM),
		       LAYOUT_ROM_END - LAYOUT_ROM, "rom") ||
	    memory_add(&memory, MEMORY_RAM, gpa(LAYOUT_HIGH),
		       ((uint64_t)MEMORY_MIB << 20) - LAYOUT_HIGH, "high"))
		abort();
	return &memory;
}

/* What every load promises, whatever the file was. */
static void check(const struct loader *loader, int err)
{
	const char *text = loader->error->text;
	size_t length = strnlen(text, sizeof(loader->error->text));

	if (length == sizeof(loader->error->text) || strchr(text, '\n'))
		abort();
	if (err ? !length : length)
		abort();
	if (err || loader->boot->kind == BOOT_FLAT)
		return;
	/* The entry is in RAM, and the processor is in protected mode. */
	if (!e820_is_ram(&loader->map, loader->state->rip, 1) ||
	    !(loader->state->cr0 & X86_CR0_PE))
		abort();
}

void fuzz_board_loader(const struct loader_format *format, const uint8_t *data,
		       size_t size)
{
	static const uint8_t initrd[8192] = { 1 };
	static const struct boot_module module = { initrd, 4097, "module" };
	static char append[256];
	static struct x86_state state;
	struct boot_error error = { "" };
	struct board_boot boot = { .kind = BOOT_AUTO };
	struct loader loader = {
		.memory = guest_memory(),
		.rsdp = LAYOUT_TABLES,
		.boot = &boot,
		.state = &state,
		.error = &error,
	};
	const uint8_t *options;

	if (size < OPTIONS)
		return;
	options = data + size - OPTIONS;
	e820_build(&loader.map, (uint64_t)(options[0] % MEMORY_MIB + 1) << 20);
	memset(&state, 0, sizeof(state));
	boot.kernel = data;
	boot.kernel_size = size;
	if (options[1] & WITH_INITRD) {
		boot.initrd = initrd;
		boot.initrd_size = (uint64_t)options[2] * 32;
	}
	if (options[1] & WITH_MODULE) {
		boot.module = &module;
		boot.module_count = 1;
	}
	if (options[1] & WITH_APPEND) {
		memset(append, 'a', sizeof(append));
		append[options[3]] = 0;
		boot.append = append;
	}
	if (options[1] & AS_FLAT && !format) {
		boot.kind = BOOT_FLAT;
		boot.flat_long = options[1] & FLAT_LONG;
		boot.flat_address = (uint64_t)options[2] << 12;
		boot.flat_entry = options[3];
	}
	if (!format)
		check(&loader, loader_run(&loader));
	else if (format->claims(&boot))
		check(&loader, format->load(&loader));
}
