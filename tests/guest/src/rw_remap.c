/* SPDX-License-Identifier: Apache-2.0
 *
 * Hot code whose page is exchanged through INVLPG and through CR3, which is
 * called at two addresses, whose data page comes and goes (a fault in the hot
 * loop, which goes on), and which loses its permissions.
 */
#include "map.h"

static u64 va = MAP_BASE + 0x200000, data = MAP_BASE + 0x400000;
static u8 page[2][4096] __page;
static u64 second_pml4[512] __page;
static volatile u32 faults;

static u32 call(u64 at)
{
	u32 a;

	asm volatile("call *%1" : "=a"(a) : "r"(at) : "memory");
	return a;
}

static void put_mov(u8 *at, u32 v)
{
	u8 mov[] = { 0xb8, v, v >> 8, v >> 16, v >> 24, 0xc3 };

	memcpy(at, mov, sizeof(mov));
}

static void exchange_by_invlpg(void)
{
	for (u32 i = 0; i < 60; i++) {
		map_page(va, 1, (ulong)page[i & 1] | PTE_P);
		for (u32 k = 0; k < 1 + i % 40; k++)
			check("behind INVLPG", call(va), 100 + (i & 1));
	}
}

static void exchange_by_cr3(void)
{
	ulong cr3[2] = { read_cr3(), (ulong)second_pml4 };
	u64 *here = boot_pml4;

	map_page(va, 1, (ulong)page[0] | PTE_P);
	memcpy(second_pml4, here, sizeof(second_pml4));
	second_pml4[va >> 39 & 511] = 0;
	/* its own tables for the one address */
	u64 *l3 = page_alloc(), *l2 = page_alloc(), *l1 = page_alloc();

	second_pml4[va >> 39 & 511] = (ulong)l3 | PTE_P | PTE_W;
	l3[va >> 30 & 511] = (ulong)l2 | PTE_P | PTE_W;
	l2[va >> 21 & 511] = (ulong)l1 | PTE_P | PTE_W;
	l1[va >> 12 & 511] = (ulong)page[1] | PTE_P;
	for (u32 i = 0; i < 60; i++) {
		write_cr3(cr3[i & 1]);
		for (u32 k = 0; k < 1 + i % 40; k++)
			check("behind CR3", call(va), 100 + (i & 1));
	}
	write_cr3(cr3[0]);
}

static void two_addresses(void)
{
	map_page(va, 1, (ulong)page[0] | PTE_P);
	map_page(va + 4096, 1, (ulong)page[0] | PTE_P);
	/* lea rax, [rip]; ret */
	memcpy(page[0] + 64, "\x48\x8d\x05\0\0\0\0\xc3", 8);
	for (u32 i = 0; i < 100; i++) {
		ulong a, b;

		asm volatile("call *%1" : "=a"(a) : "r"(va + 64));
		asm volatile("call *%1" : "=a"(b) : "r"(va + 4096 + 64));
		check("rip at the first", a, va + 64 + 7);
		check("rip at the second", b, va + 4096 + 64 + 7);
	}
}

static void page_fault(struct frame *f)
{
	faults++;
	map_page(read_cr2() & ~4095UL, 1, (ulong)page[1] | PTE_P | PTE_W);
}

/* The data page vanishes every so many rounds; registers must survive. */
static void fault_in_loop(void)
{
	u64 *pte, sum;

	map_page(data, 1, (ulong)page[1] | PTE_P | PTE_W);
	pte = pte_of(data, 1);
	trap_hook_set(PF, page_fault);
	faults = 0;
	*(volatile u64 *)(data + 2048) = 0;
	asm volatile("mov $4000, %%r9d; xor %%r10d, %%r10d; mov %1, %%r11\n"
		     "1: mov %%r9d, %%eax; and $63, %%eax; jnz 2f\n"
		     "	movq $0, (%2); invlpg (%1)\n"
		     "2: cmp $1000, %%r9d\n" /* flags across the fault */
		     "	mov 2048(%%r11), %%r8\n"
		     "	adc $0, %%r10\n"
		     "	lea 1(%%r8), %%r8\n"
		     "	mov %%r8, 2048(%%r11)\n"
		     "	dec %%r9d; jnz 1b\n"
		     "	mov %%r10, %0"
		     : "=r"(sum) : "r"(data), "r"(pte)
		     : "rax", "r8", "r9", "r10", "r11", "memory", "cc");
	check("rounds below 1000", sum, 999);
	check("rounds counted in memory", *(volatile u64 *)(data + 2048), 4000);
	check("faults", faults, 4000 / 64);
	trap_hook_set(PF, NULL);
}

static void no_longer_executable(void)
{
	for (u32 i = 0; i < 40; i++) {
		map_page(va, 1, (ulong)page[0] | PTE_P);
		for (u32 k = 0; k < 30; k++)
			check("before", call(va), 100);
		map_page(va, 1, 0);
		CATCH("call *%0", ::"r"(va) : "rax", "memory");
		check_vector("unmapped when hot", PF, PFE_I);
		check("its address", caught.cr2, va);
	}
}

void guest_main(void)
{
	put_mov(page[0], 100);
	put_mov(page[1], 101);
	exchange_by_invlpg();
	exchange_by_cr3();
	two_addresses();
	fault_in_loop();
	no_longer_executable();
}
