/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory for GDB: by linear address, through the page tables of the
 * processor that is looked at, or guest-physical. Nothing is marked as
 * accessed; memory that devices answer for is not touched, since reading it
 * may change them.
 */
#include <string.h>

#include "vmm/gdb/impl.h"
#include "x86/access.h"

/* The guest-physical address behind `at`; false where nothing is mapped. */
static bool find(struct gdb *gdb, uint64_t at, gpa_t *address)
{
	if (gdb->physical) {
		*address = gpa(at);
		return true;
	}
	return x86_translate(gdb_cpu(gdb), (gva_t){ at }, address);
}

/* How many of `size` bytes at `at` lie in its page. */
static unsigned int in_page(uint64_t at, uint64_t size)
{
	uint64_t room = PAGE_SIZE - (at & (PAGE_SIZE - 1));

	return (unsigned int)(size < room ? size : room);
}

void gdb_read_memory(struct gdb *gdb, const char *text)
{
	uint64_t at, size, done = 0;
	uint8_t page[PAGE_SIZE];

	if (!gdb_number(&text, &at) || !gdb_skip(&text, ',') ||
	    !gdb_number(&text, &size) || *text) {
		gdb_put(&gdb->answer, GDB_BAD_ARGUMENT);
		return;
	}
	if (size > GDB_PACKET_MAX / 2)
		size = GDB_PACKET_MAX / 2;
	while (done < size) {
		unsigned int n = in_page(at + done, size - done);
		gpa_t address;

		if (!find(gdb, at + done, &address) ||
		    memory_read(&gdb->vm->memory, address, page, n))
			break;
		gdb_put_hex(&gdb->answer, page, n);
		done += n;
	}
	if (!done && size)
		gdb_put(&gdb->answer, GDB_BAD_MEMORY);
}

/* True when every byte lies in RAM. */
static bool may_write(struct gdb *gdb, uint64_t at, uint64_t size)
{
	const struct memory_region *region;
	gpa_t address;

	for (uint64_t done = 0; done < size;
	     done += in_page(at + done, size - done)) {
		if (!find(gdb, at + done, &address))
			return false;
		region = memory_find(&gdb->vm->memory, address);
		if (!region || region->kind != MEMORY_RAM)
			return false;
	}
	return true;
}

void gdb_write_memory(struct gdb *gdb, const char *text)
{
	static const char bad[] = GDB_BAD_ARGUMENT;
	uint8_t data[GDB_PACKET_MAX / 2];
	uint64_t at, size;
	gpa_t address;

	if (!gdb_number(&text, &at) || !gdb_skip(&text, ',') ||
	    !gdb_number(&text, &size) || !gdb_skip(&text, ':') ||
	    size > sizeof(data) || !gdb_bytes(&text, data, size) || *text) {
		gdb_put(&gdb->answer, bad);
		return;
	}
	if (!may_write(gdb, at, size)) {
		gdb_put(&gdb->answer, GDB_BAD_MEMORY);
		return;
	}
	for (uint64_t done = 0; done < size;) {
		unsigned int n = in_page(at + done, size - done);

		if (find(gdb, at + done, &address))
			memory_write(&gdb->vm->memory, address, data + done,
				     n);
		done += n;
	}
	gdb_put(&gdb->answer, "OK");
}
