/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loaders' fuzz entry over a small, always equal corpus: kernels of each
 * kind, with bytes and words of their headers spoilt one after the other.
 * With a folder as argument the kernels are written there, as a corpus.
 */
#include "fake/test.h"

#include <stdio.h>
#include <string.h>

#include "../../fuzz/board_loader.h"
#include "kernels.h"

static const struct {
	const char *name;
	void (*make)(struct kernel_file *file);
	const struct loader_format *format;
	uint32_t from, to; /* the header */
} kinds[] = {
	{ "linux", kernel_linux, &linux_format, 0x1f0, 0x270 },
	{ "pvh", kernel_pvh, &pvh_format, 0, 0x230 },
	{ "multiboot-elf32", kernel_multiboot_elf32, &multiboot_format, 0,
	  0x60 },
	{ "multiboot-elf64", kernel_multiboot_elf64, &multiboot_format, 0,
	  0x80 },
	{ "multiboot-raw", kernel_multiboot_raw, &multiboot_format, 0x40,
	  0x60 },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void run(const struct loader_format *format,
		const struct kernel_file *file)
{
	fuzz_board_loader(format, file->data, file->size);
	fuzz_board_loader(NULL, file->data, file->size);
}

/* 64 MiB, initrd, module where it may be, a short command line. */
static void put_options(struct kernel_file *file, uint8_t bits)
{
	const uint8_t options[] = { 63, bits, 100, 20 };

	memcpy(file->data + file->size - 4, options, 4);
}

static void spoilt_bytes(void **state)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	static struct kernel_file file;

	for (unsigned int k = 0; k < KINDS; k++) {
		for (uint32_t at = kinds[k].from; at < kinds[k].to; at++) {
			for (unsigned int v = 0; v < sizeof(values); v++) {
				kinds[k].make(&file);
				put_options(&file, (uint8_t)(at + v));
				file.data[at] = values[v];
				run(kinds[k].format, &file);
			}
		}
	}
}

static void spoilt_words(void **state)
{
	static const uint64_t values[] = { 0, UINT64_MAX, UINT64_MAX - 0xfff,
					   0x7fffffffffffffff, 0xfffff000 };
	static struct kernel_file file;

	for (unsigned int k = 0; k < KINDS; k++) {
		for (uint32_t at = kinds[k].from; at + 8 <= kinds[k].to;
		     at += 4) {
			for (unsigned int v = 0; v < 10; v++) {
				kinds[k].make(&file);
				put_options(&file, 7);
				memcpy(file.data + at, &values[v / 2],
				       v & 1 ? 8 : 4);
				run(kinds[k].format, &file);
			}
		}
	}
}

static int write_corpus(const char *folder)
{
	static struct kernel_file file;

	for (unsigned int k = 0; k < KINDS; k++) {
		char path[512];
		FILE *f;

		kinds[k].make(&file);
		put_options(&file, 7);
		snprintf(path, sizeof(path), "%s/%s", folder, kinds[k].name);
		f = fopen(path, "wb");
		if (!f || fwrite(file.data, file.size, 1, f) != 1 || fclose(f))
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spoilt_bytes),
		cmocka_unit_test(spoilt_words),
	};

	if (argc > 1)
		return write_corpus(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
