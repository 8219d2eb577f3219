/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts the bootstrap processor where boot protocols want it: flat 32-bit
 * protected mode, or 64-bit mode with the first 4 GiB mapped one to one by
 * 2 MiB pages. Descriptors: AMD64 APM vol. 2, 4.7, 4.8; paging 5.3.
 */
#include "board/layout.h"
#include "board/loader.h"
#include "vm/bytes.h"

/* GDT as Linux's boot protocol wants it: code at 0x10, data at 0x18. */
#define SELECTOR_CODE 0x10
#define SELECTOR_DATA 0x18
#define SELECTOR_TSS  0x20

#define GDT_CODE_64 0x00af9b000000ffffull
#define GDT_CODE_32 0x00cf9b000000ffffull
#define GDT_DATA    0x00cf93000000ffffull
#define GDT_TSS	    0x00008b0000000067ull /* base 0, never used */
#define GDT_ENTRIES 6

#define ATTR_CODE                                                              \
	(X86_ATTR_P | X86_ATTR_S | X86_ATTR_G | X86_TYPE_CODE |                \
	 X86_TYPE_WRITE | X86_TYPE_ACCESSED)
#define ATTR_DATA                                                              \
	(X86_ATTR_P | X86_ATTR_S | X86_ATTR_G | X86_ATTR_DB | X86_TYPE_WRITE | \
	 X86_TYPE_ACCESSED)
#define ATTR_TSS (X86_ATTR_P | 0xb) /* busy */

#define PTE_TABLE 0x03u /* present, writable */
#define PTE_LARGE 0x83u

static void set_segments(struct x86_state *state, uint16_t code_mode)
{
	for (unsigned int i = X86_ES; i <= X86_GS; i++)
		state->seg[i] = (struct x86_segment){
			.limit = 0xffffffff,
			.selector = SELECTOR_DATA,
			.attr = ATTR_DATA,
		};
	state->seg[X86_CS].selector = SELECTOR_CODE;
	state->seg[X86_CS].attr = ATTR_CODE | code_mode;
	state->ldtr = (struct x86_segment){ 0 };
	state->tr = (struct x86_segment){
		.limit = 0x67,
		.selector = SELECTOR_TSS,
		.attr = ATTR_TSS,
	};
	state->gdtr = (struct x86_table){ LAYOUT_GDT, 8 * GDT_ENTRIES - 1 };
	state->idtr = (struct x86_table){ 0, 0 };
	state->rflags = X86_FLAG_1;
}

static int write_gdt(struct loader *loader, uint64_t code)
{
	const uint64_t gdt[GDT_ENTRIES] = {
		[SELECTOR_CODE / 8] = code,
		[SELECTOR_DATA / 8] = GDT_DATA,
		[SELECTOR_TSS / 8] = GDT_TSS, /* 16 bytes in long mode */
	};

	return loader_write(loader, LAYOUT_GDT, gdt, sizeof(gdt));
}

static int write_page_tables(struct loader *loader)
{
	uint64_t page[PAGE_SIZE / 8] = { LAYOUT_PAGE_TABLES + PAGE_SIZE +
					 PTE_TABLE };
	uint64_t addr = LAYOUT_PAGE_TABLES;
	int err = loader_write(loader, addr, page, sizeof(page));

	memset(page, 0, sizeof(page));
	for (unsigned int i = 0; i < 4; i++)
		page[i] = addr + (2 + i) * PAGE_SIZE + PTE_TABLE;
	addr += PAGE_SIZE;
	if (!err)
		err = loader_write(loader, addr, page, sizeof(page));
	for (uint64_t gib = 0; gib < 4 && !err; gib++) {
		for (uint64_t i = 0; i < PAGE_SIZE / 8; i++)
			page[i] = (gib << 30 | i << 21) + PTE_LARGE;
		addr += PAGE_SIZE;
		err = loader_write(loader, addr, page, sizeof(page));
	}
	return err;
}

int loader_enter_32(struct loader *loader, uint32_t entry)
{
	struct x86_state *state = loader->state;

	set_segments(state, X86_ATTR_DB);
	state->cr0 = X86_CR0_PE | X86_CR0_ET;
	state->cr3 = 0;
	state->cr4 = 0;
	state->efer = 0;
	state->rip = entry;
	return write_gdt(loader, GDT_CODE_32);
}

int loader_enter_64(struct loader *loader, uint64_t entry)
{
	struct x86_state *state = loader->state;
	int err;

	set_segments(state, X86_ATTR_L);
	state->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_PG;
	state->cr3 = LAYOUT_PAGE_TABLES;
	state->cr4 = X86_CR4_PAE;
	state->efer = X86_EFER_LME | X86_EFER_LMA;
	state->rip = entry;
	err = write_gdt(loader, GDT_CODE_64);
	return err ? err : write_page_tables(loader);
}
