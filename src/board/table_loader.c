/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of the table loader's script; see table_loader.h. */
#include "board/table_loader.h"

#define COMMAND_ALLOCATE 1u
#define COMMAND_POINTER	 2u
#define COMMAND_SUM	 3u
#define FILE_NAME	 56u

static void name(struct table *script, const char *file)
{
	table_text(script, file, FILE_NAME, 0);
}

/* Fills the entry up; `used` bytes of it are written. */
static void pad(struct table *script, uint32_t used)
{
	table_zero(script, TABLE_LOADER_ENTRY - used);
}

void table_loader_allocate(struct table *script, const char *file,
			   uint32_t align, enum table_zone zone)
{
	table_u32(script, COMMAND_ALLOCATE);
	name(script, file);
	table_u32(script, align);
	table_u8(script, (uint8_t)zone);
	pad(script, 4 + FILE_NAME + 5);
}

void table_loader_pointer(struct table *script, const char *file,
			  const char *target, uint32_t at, uint8_t size)
{
	table_u32(script, COMMAND_POINTER);
	name(script, file);
	name(script, target);
	table_u32(script, at);
	table_u8(script, size);
	pad(script, 4 + 2 * FILE_NAME + 5);
}

void table_loader_sum(struct table *script, const char *file, uint32_t at,
		      uint32_t from, uint32_t count)
{
	table_u32(script, COMMAND_SUM);
	name(script, file);
	table_u32(script, at);
	table_u32(script, from);
	table_u32(script, count);
	pad(script, 4 + FILE_NAME + 12);
}

void table_loader_links(struct table *script, const char *file,
			const struct table_links *links)
{
	for (unsigned int i = 0; i < links->pointers; i++)
		table_loader_pointer(script, file, file, links->pointer[i].at,
				     (uint8_t)links->pointer[i].size);
	for (unsigned int i = 0; i < links->sums; i++)
		table_loader_sum(script, file, links->sum[i].at,
				 links->sum[i].from, links->sum[i].count);
}
