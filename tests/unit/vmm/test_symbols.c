/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Symbols of guests' kernels: text, ELF, and kallsyms tables in both orders,
 * made here by the description in kallsyms.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <elf.h>
#include <unistd.h>

#include "vmm/profile/symbols.h"

#define BASE 0xffffffff81000000u

static char path[] = "/tmp/lodge-symbols-XXXXXX";

static void write_file(const void *data, size_t size)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static void check_name(const struct symbols *s, uint64_t address,
		       const char *name, uint64_t offset)
{
	uint64_t at = 0;
	const char *found = symbols_find(s, address, &at);

	assert_non_null(found);
	assert_string_equal(found, name);
	assert_int_equal(at, offset);
}

static void text_is_read(void **state)
{
	static const char text[] =
		"0000000000000000 A fixed_percpu_data\n"
		"ffffffff81000200 t second\n"
		"ffffffff81000000 T first\r_is_odd\n"
		"ffffffff81000300 D data\n"
		"nonsense\n"
		"ffffffffc0001000 t call_me\t[module]\n"
		"ffffffff81000400 T last";
	struct vmm_error error = { "" };
	struct symbols *s;
	uint64_t offset;

	write_file(text, sizeof(text) - 1);
	s = symbols_load(path, &error);
	assert_non_null(s);
	check_name(s, BASE + 0x200, "second", 0);
	check_name(s, BASE + 0x3ff, "second", 0x1ff);
	check_name(s, BASE + 0x400, "last", 0);
	check_name(s, 0xffffffffc0001004u, "call_me\t[module]", 4);
	assert_null(symbols_find(s, BASE - 1, &offset));
	assert_null(symbols_find(s, 0x401000, &offset));
	assert_null(symbols_find(s, UINT64_MAX, &offset));
	assert_null(symbols_find(NULL, BASE, &offset));
	symbols_free(s);
}

static void what_has_none_is_refused(void **state)
{
	struct vmm_error error = { "" };

	write_file("hello\n", 6);
	assert_null(symbols_load(path, &error));
	assert_non_null(strstr(error.text, path));
	write_file("", 0);
	assert_null(symbols_load(path, &error));
	assert_null(symbols_load("/nowhere/at/all", &error));
	assert_non_null(strstr(error.text, "/nowhere/at/all"));
}

/* An ELF file of a header, two sections, a table and its strings. */
struct elf_file {
	Elf64_Ehdr head;
	Elf64_Shdr section[3];
	Elf64_Sym sym[3];
	char strings[32];
};

static void make_elf(struct elf_file *f)
{
	memset(f, 0, sizeof(*f));
	memcpy(f->head.e_ident, ELFMAG, SELFMAG);
	f->head.e_ident[EI_CLASS] = ELFCLASS64;
	f->head.e_shoff = offsetof(struct elf_file, section);
	f->head.e_shentsize = sizeof(Elf64_Shdr);
	f->head.e_shnum = 3;
	f->section[1] = (Elf64_Shdr){
		.sh_type = SHT_SYMTAB,
		.sh_offset = offsetof(struct elf_file, sym),
		.sh_size = sizeof(f->sym),
		.sh_link = 2,
	};
	f->section[2] = (Elf64_Shdr){
		.sh_type = SHT_STRTAB,
		.sh_offset = offsetof(struct elf_file, strings),
		.sh_size = sizeof(f->strings),
	};
	memcpy(f->strings, "\0start\0thing", 13);
	f->sym[1] = (Elf64_Sym){ .st_name = 1,
				 .st_info = STT_FUNC,
				 .st_value = BASE };
	f->sym[2] = (Elf64_Sym){ .st_name = 7,
				 .st_info = STT_OBJECT,
				 .st_value = BASE + 8 };
}

static void elf_is_read(void **state)
{
	struct vmm_error error = { "" };
	struct elf_file f;
	struct symbols *s;

	make_elf(&f);
	write_file(&f, sizeof(f));
	s = symbols_load(path, &error);
	assert_non_null(s);
	check_name(s, BASE + 9, "start", 9); /* data has no place in code */
	symbols_free(s);
}

static void damaged_elf_is_survived(void **state)
{
	struct vmm_error error;
	struct elf_file f;
	uint32_t r = 1;

	for (unsigned int i = 0; i < 3000; i++) {
		make_elf(&f);
		for (unsigned int j = 0; j < 3; j++) {
			r = r * 1664525 + 1013904223;
			((uint8_t *)&f)[EI_NIDENT + (r >> 8) %
					(sizeof(f) - EI_NIDENT)] =
				(uint8_t)(r >> 3);
		}
		write_file(&f, sizeof(f) - (r >> 20) % 200);
		symbols_free(symbols_load(path, &error));
	}
}

/* --- kallsyms --------------------------------------------------------------- */

#define COUNT 1500u

struct image {
	uint8_t data[1 << 17];
	size_t used;
};

static void put(struct image *image, const void *data, size_t size)
{
	assert_true(image->used + size <= sizeof(image->data));
	memcpy(image->data + image->used, data, size);
	image->used += size;
}

static void align(struct image *image)
{
	image->used = (image->used + 7) & ~(size_t)7;
}

static void put_offsets(struct image *image)
{
	const uint64_t base = BASE;

	for (uint32_t i = 0; i < COUNT; i++) {
		/* The first hundred are per processor. */
		int32_t offset = i < 100 ? (int32_t)i :
					   -1 - (int32_t)(i * 16);

		put(image, &offset, 4);
	}
	align(image);
	put(image, &base, 8);
}

/* "Tf" and four digits; token 1 is "Tf", token 2 a name beyond 127 bytes. */
static void put_names(struct image *image)
{
	uint32_t count = COUNT, marker[COUNT / 256 + 1];
	size_t start;

	put(image, &count, 4);
	align(image);
	start = image->used;
	for (unsigned int i = 0; i < COUNT; i++) {
		char digits[8];

		if (i % 256 == 0)
			marker[i / 256] = (uint32_t)(image->used - start);
		snprintf(digits, sizeof(digits), "%04u", i);
		if (i == 1000) {
			put(image, "\x86\x01\1", 3);
			for (unsigned int j = 0; j < 133; j++)
				put(image, "z", 1);
			continue;
		}
		put(image, i < 100 ? "\5A" : "\5\1", 2);
		put(image, digits, 4);
	}
	align(image);
	put(image, marker, sizeof(marker));
	align(image);
}

static void put_tokens(struct image *image)
{
	uint16_t index[256];
	size_t start = image->used;

	for (unsigned int i = 0; i < 256; i++) {
		const char token[2] = { (char)i, '\0' };

		index[i] = (uint16_t)(image->used - start);
		if (i == 1)
			put(image, "Tf", 3);
		else
			put(image, token, i ? 2 : 1);
	}
	align(image);
	put(image, index, sizeof(index));
}

static void kallsyms_are_read(bool new)
{
	static struct image image;
	struct vmm_error error = { "" };
	Elf64_Ehdr head = { .e_shnum = 0 };
	struct symbols *s;
	uint64_t offset;
	char name[140] = "f";

	memset(&image, 0, sizeof(image));
	memcpy(head.e_ident, ELFMAG, SELFMAG);
	head.e_ident[EI_CLASS] = ELFCLASS64;
	put(&image, &head, sizeof(head));
	image.used += 1 << 14;
	if (!new)
		put_offsets(&image);
	put_names(&image);
	put_tokens(&image);
	if (new)
		put_offsets(&image);
	image.used += 256;
	write_file(image.data, image.used);
	s = symbols_load(path, &error);
	assert_non_null(s);
	check_name(s, BASE + 100 * 16, "f0100", 0);
	check_name(s, BASE + 1499 * 16 + 3, "f1499", 3);
	memset(name + 1, 'z', 133);
	check_name(s, BASE + 1000 * 16, name, 0);
	assert_null(symbols_find(s, BASE + 99 * 16, &offset));
	symbols_free(s);
}

static void kallsyms_before_6_4(void **state)
{
	kallsyms_are_read(false);
}

static void kallsyms_since_6_4(void **state)
{
	kallsyms_are_read(true);
}

static int open_file(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int close_file(void **state)
{
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_read),
		cmocka_unit_test(what_has_none_is_refused),
		cmocka_unit_test(elf_is_read),
		cmocka_unit_test(damaged_elf_is_survived),
		cmocka_unit_test(kallsyms_before_6_4),
		cmocka_unit_test(kallsyms_since_6_4),
	};

	return cmocka_run_group_tests(tests, open_file, close_file);
}
