/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Symbols of a guest's kernel. The files are not trusted: every offset in an
 * ELF file (System V ABI, chapter 4) is checked against its size.
 */
#include "vmm/profile/symbols.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((off_t)1 << 30)
/* What lies further behind its symbol is not part of it. */
#define REACH ((uint64_t)1 << 20)

struct symbol {
	uint64_t address;
	size_t name; /* offset */
};

struct symbols {
	struct symbol *symbol;
	size_t count, room;
	char *names;
	size_t names_size, names_room;
};

/* --- the table -------------------------------------------------------------- */

/* Room for `need` elements in a growing array. */
static bool grow(void **array, size_t *room, size_t need, size_t element)
{
	size_t wanted = *room ? *room : 1024;
	void *bigger;

	while (wanted < need)
		wanted *= 2;
	if (wanted == *room)
		return true;
	bigger = realloc(*array, wanted * element);
	if (!bigger)
		return false;
	*array = bigger;
	*room = wanted;
	return true;
}

int symbols_add(struct symbols *s, uint64_t address, const char *name,
		size_t length)
{
	void *symbol = s->symbol, *names = s->names;
	bool fits = grow(&symbol, &s->room, s->count + 1, sizeof(*s->symbol));

	s->symbol = symbol;
	if (!fits)
		return -1;
	fits = grow(&names, &s->names_room, s->names_size + length + 1, 1);
	s->names = names;
	if (!fits)
		return -1;
	s->symbol[s->count++] = (struct symbol){ address, s->names_size };
	memcpy(s->names + s->names_size, name, length);
	s->names[s->names_size + length] = '\0';
	s->names_size += length + 1;
	return 0;
}

static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	return (x->name > y->name) - (x->name < y->name);
}

const char *symbols_find(const struct symbols *s, uint64_t address,
			 uint64_t *offset)
{
	size_t low = 0, high = s ? s->count : 0;

	/* The first symbol beyond the address. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->symbol[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || address - s->symbol[low - 1].address > REACH)
		return NULL;
	/* Of several at one address the first. */
	for (low--; low && s->symbol[low - 1].address == s->symbol[low].address;)
		low--;
	*offset = address - s->symbol[low].address;
	return s->names + s->symbol[low].name;
}

void symbols_free(struct symbols *s)
{
	if (!s)
		return;
	free(s->symbol);
	free(s->names);
	free(s);
}

/* --- text ------------------------------------------------------------------- */

/* One line, "ffffffff81000000 T name" and perhaps "\t[module]". */
static int take_line(struct symbols *s, const char *line, size_t length)
{
	const char *end = line + length, *p = line;
	uint64_t address = 0;

	for (; p < end && p - line < 16; p++) {
		const char *digits = "0123456789abcdef";
		const char *digit = *p ? strchr(digits, *p | 0x20) : NULL;

		if (!digit)
			break;
		address = address << 4 | (uint64_t)(digit - digits);
	}
	if (p - line < 8 || end - p < 4 || p[0] != ' ' || p[2] != ' ')
		return 0;
	/* Code, and symbols of assembly that tell no type. */
	if (!address || !strchr("tTwW", p[1]))
		return 0;
	return symbols_add(s, address, p + 3, (size_t)(end - p - 3));
}

static int read_text(struct symbols *s, const char *text, size_t size)
{
	const char *end = text + size;

	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));

		if (!stop)
			stop = end;
		if (take_line(s, text, (size_t)(stop - text)))
			return -1;
		text = stop + 1;
	}
	return 0;
}

/* --- ELF -------------------------------------------------------------------- */

struct elf {
	const uint8_t *data;
	size_t size;
};

static bool inside(const struct elf *elf, uint64_t offset, uint64_t size)
{
	return offset <= elf->size && size <= elf->size - offset;
}

static bool section(const struct elf *elf, const Elf64_Ehdr *head,
		    unsigned int index, Elf64_Shdr *out)
{
	if (index >= head->e_shnum || head->e_shentsize != sizeof(*out) ||
	    !inside(elf, head->e_shoff,
		    (uint64_t)head->e_shnum * sizeof(*out)))
		return false;
	memcpy(out, elf->data + head->e_shoff + index * sizeof(*out),
	       sizeof(*out));
	return out->sh_type == SHT_NOBITS ||
	       inside(elf, out->sh_offset, out->sh_size);
}

static int take_table(struct symbols *s, const struct elf *elf,
		      const Elf64_Shdr *table, const Elf64_Shdr *strings)
{
	const char *text = (const char *)elf->data + strings->sh_offset;

	for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= table->sh_size;
	     at += sizeof(Elf64_Sym)) {
		Elf64_Sym sym;
		size_t room, length;

		memcpy(&sym, elf->data + table->sh_offset + at, sizeof(sym));
		if (sym.st_name >= strings->sh_size || !sym.st_value ||
		    ELF64_ST_TYPE(sym.st_info) > STT_FUNC ||
		    ELF64_ST_TYPE(sym.st_info) == STT_OBJECT)
			continue;
		room = strings->sh_size - sym.st_name;
		length = strnlen(text + sym.st_name, room);
		if (length && length < room &&
		    symbols_add(s, sym.st_value, text + sym.st_name, length))
			return -1;
	}
	return 0;
}

static int read_elf(struct symbols *s, const struct elf *elf)
{
	Elf64_Shdr table, strings;
	Elf64_Ehdr head;

	memcpy(&head, elf->data, sizeof(head));
	for (unsigned int i = 0; i < head.e_shnum; i++)
		if (section(elf, &head, i, &table) &&
		    table.sh_type == SHT_SYMTAB &&
		    section(elf, &head, table.sh_link, &strings) &&
		    strings.sh_type == SHT_STRTAB &&
		    take_table(s, elf, &table, &strings))
			return -1;
	if (s->count)
		return 0;
	return kallsyms_read(elf->data, elf->size, s) < 0 ? -1 : 0;
}

/* --- files ------------------------------------------------------------------ */

/* All of a regular file, or an empty `elf` with errno. */
static struct elf read_file(const char *path)
{
	struct elf file = { 0 };
	struct stat status;
	uint8_t *data = NULL;
	ssize_t n = 1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return file;
	/* A file of /proc tells no size. */
	if (fstat(fd, &status) || status.st_size > FILE_MAX) {
		errno = EFBIG;
	} else {
		size_t room = (size_t)status.st_size + (16u << 20);

		data = malloc(room);
		while (data && n > 0 && file.size < room) {
			n = read(fd, data + file.size, room - file.size);
			if (n > 0)
				file.size += (size_t)n;
		}
	}
	close(fd);
	if (n < 0) {
		free(data);
		data = NULL;
	}
	file.data = data;
	return file;
}

struct symbols *symbols_load(const char *path, struct vmm_error *error)
{
	struct symbols *s = calloc(1, sizeof(*s));
	struct elf file = read_file(path);
	int rc;

	if (!s || !file.data) {
		vmm_error_set(error, "symbols %s: %s", path, strerror(errno));
		goto fail;
	}
	if (file.size > sizeof(Elf64_Ehdr) &&
	    !memcmp(file.data, ELFMAG, SELFMAG) &&
	    file.data[EI_CLASS] == ELFCLASS64)
		rc = read_elf(s, &file);
	else
		rc = read_text(s, (const char *)file.data, file.size);
	if (rc < 0) {
		vmm_error_set(error, "symbols %s: out of memory", path);
		goto fail;
	}
	if (!s->count) {
		vmm_error_set(error, "symbols %s: neither a System.map nor an "
			      "ELF file with symbols; as root in the guest, "
			      "cat /proc/kallsyms gives the former", path);
		goto fail;
	}
	free((void *)file.data);
	qsort(s->symbol, s->count, sizeof(*s->symbol), by_address);
	return s;

fail:
	free((void *)file.data);
	symbols_free(s);
	return NULL;
}
