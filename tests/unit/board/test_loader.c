/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel loaders: what they write, where they enter, what they refuse. */
#include "fake/test.h"

#include <string.h>

#include "board/layout.h"
#include "fake/host.h"
#include "kernels.h"
#include "vm/error.h"

#define MIB (1ull << 20)

static struct kernel_file file;
static struct loader_machine m;

static void start(uint64_t memory)
{
	fake_host_reset();
	loader_machine_init(&m, memory);
	m.boot.kernel = file.data;
	m.boot.kernel_size = file.size;
}

static void finish(void)
{
	loader_machine_fini(&m);
	assert_int_equal(fake_live(), 0);
}

static uint64_t peek(uint64_t addr, unsigned int size)
{
	return loader_machine_peek(&m, addr, size);
}

/* The load is refused, with a one-line error that holds `word`. */
static void refused(const char *word)
{
	assert_int_equal(loader_run(&m.loader), -VM_EINVAL);
	assert_non_null(strstr(m.error.text, word));
	assert_null(strchr(m.error.text, '\n'));
	assert_true(strlen(m.error.text) < sizeof(m.error.text) - 1);
}

static void assert_segments(bool wide)
{
	const struct x86_segment *cs = &m.state.seg[X86_CS];

	assert_int_equal(cs->base, 0);
	assert_int_equal(cs->limit, 0xffffffff);
	assert_int_equal(cs->selector, 0x10);
	assert_int_equal(cs->attr, wide ? 0xa9b : 0xc9b);
	for (unsigned int i = X86_ES; i <= X86_GS; i++) {
		if (i == X86_CS)
			continue;
		assert_int_equal(m.state.seg[i].selector, 0x18);
		assert_int_equal(m.state.seg[i].attr, 0xc93);
		assert_int_equal(m.state.seg[i].limit, 0xffffffff);
	}
	assert_int_equal(m.state.tr.attr, 0x8b);
	assert_int_equal(m.state.gdtr.base, LAYOUT_GDT);
	/* The table says the same as the hidden parts. */
	assert_int_equal(peek(LAYOUT_GDT + 0x10, 8),
			 wide ? 0x00af9b000000ffff : 0x00cf9b000000ffff);
	assert_int_equal(peek(LAYOUT_GDT + 0x18, 8), 0x00cf93000000ffff);
	assert_int_equal(m.state.rflags, 2);
}

/* Walks the identity tables as the processor would. */
static void assert_identity(uint64_t addr)
{
	uint64_t entry = peek(m.state.cr3 + (addr >> 39 & 511) * 8, 8);

	assert_int_equal(entry & 0xfff, 3);
	entry = peek((entry & PAGE_MASK) + (addr >> 30 & 511) * 8, 8);
	assert_int_equal(entry & 0xfff, 3);
	entry = peek((entry & PAGE_MASK) + (addr >> 21 & 511) * 8, 8);
	assert_int_equal(entry & 0x1fffff, 0x83);
	assert_int_equal(entry & ~0x1fffffull, addr & ~0x1fffffull);
}

/* --- Linux ---------------------------------------------------------------- */

static void linux_boots(void **state)
{
	static const uint8_t initrd[5000] = { 1, 2, 3 };
	uint64_t at;

	kernel_linux(&file);
	start(64 * MIB);
	m.boot.initrd = initrd;
	m.boot.initrd_size = sizeof(initrd);
	m.boot.append = "console=ttyS0 quiet";
	assert_int_equal(loader_run(&m.loader), 0);

	assert_int_equal(m.state.rip, 0x1000200);
	assert_int_equal(m.state.gpr[X86_RSI], LAYOUT_PARAMS);
	assert_int_equal(m.state.cr0 & 0x80000001, 0x80000001);
	assert_int_equal(m.state.cr4, X86_CR4_PAE);
	assert_int_equal(m.state.efer, X86_EFER_LME | X86_EFER_LMA);
	assert_segments(true);
	assert_identity(0x1000200);
	assert_identity(LAYOUT_PARAMS);
	assert_identity(0xffffffff);

	assert_memory_equal(memory_for_read(&m.memory, gpa(0x1000000), 0x1000),
			    file.data + KERNEL_LINUX_PAYLOAD, 0x1000);
	/* boot_params: header, command line, tables, map */
	assert_int_equal(peek(LAYOUT_PARAMS + 0x202, 4), 0x53726448);
	assert_int_equal(peek(LAYOUT_PARAMS + 0x210, 1), 0xff);
	assert_int_equal(peek(LAYOUT_PARAMS + 0x260, 4), KERNEL_LINUX_INIT);
	assert_int_equal(peek(LAYOUT_PARAMS + 0x26c, 4), 0);
	assert_int_equal(peek(LAYOUT_PARAMS + 0x1ef, 1), 0);
	assert_int_equal(peek(LAYOUT_PARAMS + 0x70, 8), LAYOUT_TABLES);
	assert_int_equal(peek(LAYOUT_PARAMS + 0x228, 4), LAYOUT_CMDLINE);
	assert_string_equal(memory_for_read(&m.memory, gpa(LAYOUT_CMDLINE), 64),
			    "console=ttyS0 quiet");
	assert_int_equal(peek(LAYOUT_PARAMS + 0x1e8, 1), m.loader.map.count);
	assert_int_equal(peek(LAYOUT_PARAMS + 0x2d0, 8), 0);
	assert_int_equal(peek(LAYOUT_PARAMS + 0x2d8, 8), LAYOUT_EBDA);
	assert_int_equal(peek(LAYOUT_PARAMS + 0x2e0, 4), E820_RAM);
	at = peek(LAYOUT_PARAMS + 0x218, 4);
	assert_int_equal(at, 64 * MIB - 0x2000);
	assert_int_equal(peek(LAYOUT_PARAMS + 0x21c, 4), sizeof(initrd));
	assert_memory_equal(memory_for_read(&m.memory, gpa(at), 5000), initrd,
			    5000);
	finish();
}

static void linux_initrd_max(void **state)
{
	static const uint8_t initrd[4096] = { 7 };

	kernel_linux(&file);
	kernel_put32(&file, 0x22c, 0x17fffff);
	start(64 * MIB);
	m.boot.initrd = initrd;
	m.boot.initrd_size = sizeof(initrd);
	assert_int_equal(loader_run(&m.loader), 0);
	assert_int_equal(peek(LAYOUT_PARAMS + 0x218, 4), 0x17ff000);
	finish();
}

static void linux_truncated(void **state)
{
	uint32_t full;

	kernel_linux(&file);
	start(64 * MIB);
	full = file.size;
	for (uint32_t size = 0; size < full; size++) {
		/* Sizes are rounded up to 16; the file need not be. */
		bool whole = size >= full - 15;
		/* A copy of just that size, for the sanitizer to guard. */
		uint8_t *copy = test_malloc(size ? size : 1);

		memcpy(copy, file.data, size);
		m.boot.kernel = copy;
		m.boot.kernel_size = size;
		assert_int_equal(loader_run(&m.loader), whole ? 0 : -VM_EINVAL);
		test_free(copy);
		assert_true(whole || m.error.text[0]);
	}
	finish();
}

static void linux_spoilt(void **state)
{
	static const struct {
		uint32_t at, size, value;
		const char *word;
	} cases[] = {
		{ 0x206, 2, 0x020b, "too old" },
		{ 0x236, 2, 0x007e, "not a 64-bit" },
		{ 0x201, 1, 0x10, "too short" },
		{ 0x1f4, 4, 0xffffffff, "truncated" },
		{ 0x1f4, 4, 0x101, "truncated" },
		{ 0x258, 4, 0, "damaged" },
		{ 0x25c, 4, 0x1, "damaged" },
		{ 0x25c, 4, 0xffffffff, "damaged" },
		{ 0x258, 4, 0xfffff000, "too large for the memory" },
		{ 0x260, 4, 0xffffffff, "too large for the memory" },
		{ 0x260, 4, 48 * MIB + 1, "too large for the memory" },
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		kernel_linux(&file);
		memcpy(file.data + cases[i].at, &cases[i].value, cases[i].size);
		start(64 * MIB);
		refused(cases[i].word);
		finish();
	}
}

static void linux_too_large(void **state)
{
	static uint8_t initrd[4096];
	char append[2049];

	kernel_linux(&file);
	start(17 * MIB); /* ends below what the kernel needs */
	refused("it needs 18 MiB");
	finish();

	start(1 * MIB);
	refused("too large");
	finish();

	start(18 * MIB);
	assert_int_equal(loader_run(&m.loader), 0);
	m.boot.initrd = initrd;
	m.boot.initrd_size = 1;
	refused("initrd is too large");
	/* A size that would wrap is not read from. */
	m.boot.initrd_size = UINT64_MAX;
	refused("initrd is too large");
	m.boot.initrd_size = 0;
	refused("initrd file is empty");
	m.boot.initrd = NULL;
	memset(append, 'x', sizeof(append));
	append[2047] = 0;
	m.boot.append = append;
	assert_int_equal(loader_run(&m.loader), 0);
	append[2047] = 'x';
	append[2048] = 0;
	refused("command line is too long");
	m.boot.append = NULL;
	m.boot.module_count = 1;
	refused("no modules");
	finish();
}

/* --- PVH ------------------------------------------------------------------ */

static void pvh_boots(void **state)
{
	static const uint8_t initrd[100] = { 9 };
	static const uint8_t second[4097] = { 8 };
	const struct boot_module module = { second, sizeof(second), "second" };
	uint64_t list;

	kernel_pvh(&file);
	start(8 * MIB);
	m.boot.initrd = initrd;
	m.boot.initrd_size = sizeof(initrd);
	m.boot.module = &module;
	m.boot.module_count = 1;
	m.boot.append = "a b";
	/* What is behind the file's part must become zero. */
	assert_int_equal(memory_write(&m.memory, gpa(0x100800), "junk", 4), 0);
	assert_int_equal(loader_run(&m.loader), 0);
	assert_int_equal(m.state.rip, 0x100010);
	assert_int_equal(m.state.gpr[X86_RBX], LAYOUT_PARAMS);
	assert_int_equal(m.state.cr0, X86_CR0_PE | X86_CR0_ET);
	assert_int_equal(m.state.efer, 0);
	assert_segments(false);
	assert_memory_equal(memory_for_read(&m.memory, gpa(0x100000), 0x800),
			    file.data + 0x1000, 0x800);
	assert_int_equal(peek(0x100800, 4), 0);

	assert_int_equal(peek(LAYOUT_PARAMS, 4), 0x336ec578);
	assert_int_equal(peek(LAYOUT_PARAMS + 4, 4), 1);
	assert_int_equal(peek(LAYOUT_PARAMS + 12, 4), 2);
	list = peek(LAYOUT_PARAMS + 16, 8);
	assert_int_equal(peek(LAYOUT_PARAMS + 24, 8), LAYOUT_CMDLINE);
	assert_int_equal(peek(LAYOUT_PARAMS + 32, 8), LAYOUT_TABLES);
	assert_int_equal(peek(peek(LAYOUT_PARAMS + 40, 8) + 8, 8), LAYOUT_EBDA);
	assert_int_equal(peek(LAYOUT_PARAMS + 48, 4), m.loader.map.count);
	assert_int_equal(peek(list, 8), 8 * MIB - 0x1000);
	assert_int_equal(peek(list + 8, 8), 100);
	assert_int_equal(peek(list + 32, 8), 8 * MIB - 0x3000);
	assert_int_equal(peek(peek(list + 32, 8), 1), 8);
	assert_string_equal(memory_for_read(&m.memory, gpa(LAYOUT_CMDLINE), 8),
			    "a b");
	finish();
}

static void pvh_refused(void **state)
{
	static const struct {
		uint32_t at, size;
		uint64_t value;
		const char *word;
	} cases[] = {
		{ 18, 2, 183, "not for x86" },
		{ 16, 2, 1, "not an executable" },
		{ 5, 1, 2, "not for x86" },
		{ 4, 1, 3, "not for x86" },
		{ 54, 2, 55, "too small" },
		{ 56, 2, 0, "program headers" },
		{ 56, 2, 257, "program headers" },
		{ 32, 8, UINT64_MAX - 8, "truncated" },
		{ 64 + 8, 8, UINT64_MAX, "truncated" },
		{ 64 + 32, 8, UINT64_MAX, "truncated" },
		{ 64 + 40, 8, 0x10, "larger in the file" },
		{ 64 + 40, 8, UINT64_MAX, "too large for the memory" },
		{ 64 + 24, 8, UINT64_MAX - 0x100, "too large for the memory" },
		{ 64 + 24, 8, 0x90000, "too large for the memory" },
		{ 64 + 24, 8, 0x8f000, "too large for the memory" },
		{ 64 + 24, 8, 0xf0000, "too large for the memory" },
		{ 64, 4, 2, "nothing to load" },
		{ 0x21c, 4, 17, "without PVH note" },
		{ 0x204, 4, UINT32_MAX, "without PVH note" },
		{ 0x224, 4, 0xfffffff0, "entry" },
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		kernel_pvh(&file);
		memcpy(file.data + cases[i].at, &cases[i].value, cases[i].size);
		start(8 * MIB);
		refused(cases[i].word);
		finish();
	}
}

static void every_truncation(void (*make)(struct kernel_file *file))
{
	make(&file);
	start(8 * MIB);
	for (uint32_t size = 0; size < file.size; size++) {
		uint8_t *copy = test_malloc(size ? size : 1);

		memcpy(copy, file.data, size);
		m.boot.kernel = copy;
		m.boot.kernel_size = size;
		assert_int_equal(loader_run(&m.loader), -VM_EINVAL);
		assert_true(m.error.text[0]);
		test_free(copy);
	}
	m.boot.kernel = file.data;
	m.boot.kernel_size = file.size;
	assert_int_equal(loader_run(&m.loader), 0);
	finish();
}

static void elf_truncated(void **state)
{
	every_truncation(kernel_pvh);
	every_truncation(kernel_multiboot_elf32);
	every_truncation(kernel_multiboot_elf64);
	every_truncation(kernel_multiboot_raw);
}

/* --- multiboot ------------------------------------------------------------ */

static void multiboot_boots_one(void (*make)(struct kernel_file *file),
				uint32_t offset)
{
	static const uint8_t initrd[100] = { 9 };
	static const uint8_t second[10] = { 8 };
	const struct boot_module module = { second, sizeof(second), "second" };
	uint64_t list, map;

	make(&file);
	start(8 * MIB);
	m.boot.initrd = initrd;
	m.boot.initrd_size = sizeof(initrd);
	m.boot.module = &module;
	m.boot.module_count = 1;
	m.boot.append = "arg";
	assert_int_equal(loader_run(&m.loader), 0);
	assert_int_equal(m.state.rip, 0x100020);
	assert_int_equal(m.state.gpr[X86_RAX], 0x2badb002);
	assert_int_equal(m.state.gpr[X86_RBX], LAYOUT_PARAMS);
	assert_int_equal(m.state.cr0, X86_CR0_PE | X86_CR0_ET);
	assert_segments(false);
	assert_memory_equal(memory_for_read(&m.memory, gpa(0x100000), 0x800),
			    file.data + offset, 0x800);
	assert_int_equal(peek(LAYOUT_PARAMS, 4), 0x24d);
	assert_int_equal(peek(LAYOUT_PARAMS + 4, 4), 639);
	assert_int_equal(peek(LAYOUT_PARAMS + 8, 4), 7 * 1024);
	assert_string_equal(memory_for_read(&m.memory,
					    gpa(peek(LAYOUT_PARAMS + 16, 4)),
					    16),
			    "kernel arg");
	assert_int_equal(peek(LAYOUT_PARAMS + 20, 4), 2);
	list = peek(LAYOUT_PARAMS + 24, 4);
	assert_int_equal(peek(list, 4), 0x103000);
	assert_int_equal(peek(list + 4, 4), 0x103064);
	assert_int_equal(peek(list + 16, 4), 0x104000);
	assert_int_equal(peek(0x104000, 1), 8);
	assert_string_equal(
		memory_for_read(&m.memory, gpa(peek(list + 24, 4)), 16),
		"second");
	assert_int_equal(peek(LAYOUT_PARAMS + 44, 4), 24 * m.loader.map.count);
	map = peek(LAYOUT_PARAMS + 48, 4);
	assert_int_equal(peek(map, 4), 20);
	assert_int_equal(peek(map + 12, 8), LAYOUT_EBDA);
	assert_int_equal(peek(map + 20, 4), E820_RAM);
	assert_string_equal(
		memory_for_read(&m.memory, gpa(peek(LAYOUT_PARAMS + 64, 4)), 8),
		"lodge");
	finish();
}

static void multiboot_boots(void **state)
{
	multiboot_boots_one(kernel_multiboot_elf32, 0x1000);
	multiboot_boots_one(kernel_multiboot_elf64, 0x1000);
	multiboot_boots_one(kernel_multiboot_raw, 0);
}

static void multiboot_refused(void **state)
{
	static const struct {
		uint32_t at, value;
		const char *word;
	} cases[] = {
		{ 0x4c, 0x0fffff, "impossible addresses" },
		{ 0x4c, 0x100041, "impossible addresses" },
		{ 0x50, 0x100041, "impossible addresses" },
		{ 0x54, 0x0fffff, "impossible addresses" },
		{ 0x54, 0x100801, "truncated" },
		{ 0x54, 0xffffffff, "truncated" },
		{ 0x58, 0x800001, "too large for the memory" },
		{ 0x58, 0xffffffff, "too large for the memory" },
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		kernel_multiboot_raw(&file);
		kernel_put32(&file, cases[i].at, cases[i].value);
		start(8 * MIB);
		refused(cases[i].word);
		finish();
	}
	/* What the kernel insists on and we do not have. */
	kernel_multiboot_raw(&file);
	kernel_put32(&file, 0x44, 0x10008);
	kernel_put32(&file, 0x48, -(0x1badb002 + 0x10008));
	start(8 * MIB);
	refused("asks for");
	finish();
}

static void multiboot_modules_too_large(void **state)
{
	static const uint8_t data[4096];
	struct boot_module module = { data, UINT64_MAX - 5, "m" };

	kernel_multiboot_elf32(&file);
	start(2 * MIB);
	m.boot.initrd = data;
	m.boot.initrd_size = 1 * MIB;
	refused("initrd is too large");
	m.boot.initrd_size = sizeof(data);
	m.boot.module = &module;
	m.boot.module_count = 1;
	refused("module is too large");
	m.boot.module_count = BOOT_MODULES_MAX + 1;
	refused("more than 16 modules");
	finish();
}

/* --- flat ----------------------------------------------------------------- */

static void flat_real(void **state)
{
	memset(&file, 0xf4, sizeof(file));
	file.size = 512;
	start(1 * MIB);
	m.boot.kind = BOOT_FLAT;
	m.boot.flat_address = 0x7c00;
	m.boot.flat_entry = 0x07c00005;
	assert_int_equal(loader_run(&m.loader), 0);
	assert_int_equal(m.state.seg[X86_CS].selector, 0x7c0);
	assert_int_equal(m.state.seg[X86_CS].base, 0x7c00);
	assert_int_equal(m.state.rip, 5);
	assert_int_equal(m.state.cr0 & X86_CR0_PE, 0);
	assert_int_equal(peek(0x7c00, 1), 0xf4);
	/* Into ROM, as firmware. */
	m.boot.flat_address = 0x100000 - 512;
	assert_int_equal(loader_run(&m.loader), 0);
	assert_int_equal(peek(0xfffff, 1), 0xf4);
	finish();
}

static void flat_long(void **state)
{
	memset(&file, 0xf4, sizeof(file));
	file.size = 512;
	start(4 * MIB);
	m.boot.kind = BOOT_FLAT;
	m.boot.flat_long = true;
	m.boot.flat_address = 0x200000;
	m.boot.flat_entry = 0x200010;
	assert_int_equal(loader_run(&m.loader), 0);
	assert_int_equal(m.state.rip, 0x200010);
	assert_segments(true);
	assert_identity(0x200010);
	/* Not over the page tables. */
	m.boot.flat_address = LAYOUT_PAGE_TABLES - 100;
	refused("does not fit");
	finish();
}

static void flat_refused(void **state)
{
	static const uint64_t bad[] = { 0x9fc00,       0xa0000,	 0xbffff,
					0xfffff,       0x1fff00, 0x200000,
					UINT64_MAX - 5 };

	memset(&file, 0xf4, sizeof(file));
	file.size = 512;
	start(2 * MIB);
	m.boot.kind = BOOT_FLAT;
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		m.boot.flat_address = bad[i];
		refused("does not fit");
	}
	m.boot.flat_address = 0x1000;
	m.boot.initrd = file.data;
	m.boot.initrd_size = 1;
	refused("no initrd");
	finish();
}

/* --- foreign files -------------------------------------------------------- */

static void foreign(void **state)
{
	static const struct {
		const char *bytes;
		uint32_t size, at;
		const char *word;
	} cases[] = {
		{ "\x1f\x8b\x08", 3, 0, "gzip" },
		{ "#!/bin/sh\n", 10, 0, "script" },
		{ "CD001", 5, 0x8001 % KERNEL_FILE_MAX, "lodge can boot" },
		{ "hello", 5, 0, "lodge can boot: no bzImage" },
		{ "\x7f"
		  "ELF",
		  4, 0, "truncated" },
		{ "070701", 6, 0, "cpio" },
	};

	start(8 * MIB);
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&file, 0, sizeof(file));
		memcpy(file.data + cases[i].at, cases[i].bytes, cases[i].size);
		m.boot.kernel = file.data;
		m.boot.kernel_size = cases[i].at + cases[i].size;
		refused(cases[i].word);
	}
	m.boot.kernel_size = 0;
	refused("empty");
	m.boot.kernel = NULL;
	refused("no kernel");
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linux_boots),
		cmocka_unit_test(linux_initrd_max),
		cmocka_unit_test(linux_truncated),
		cmocka_unit_test(linux_spoilt),
		cmocka_unit_test(linux_too_large),
		cmocka_unit_test(pvh_boots),
		cmocka_unit_test(pvh_refused),
		cmocka_unit_test(elf_truncated),
		cmocka_unit_test(multiboot_boots),
		cmocka_unit_test(multiboot_refused),
		cmocka_unit_test(multiboot_modules_too_large),
		cmocka_unit_test(flat_real),
		cmocka_unit_test(flat_long),
		cmocka_unit_test(flat_refused),
		cmocka_unit_test(foreign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
