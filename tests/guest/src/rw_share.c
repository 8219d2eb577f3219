/* SPDX-License-Identifier: Apache-2.0
 *
 * Hot code with several accesses next to each other by one register: across
 * the end of a page at every distance, with a fault in the middle, with
 * accessed and dirty bits, on device registers, and over its own instructions.
 */
#include "chips.h"
#include "map.h"

#define VA (MAP_BASE + 0x600000)

enum { SPAN = 32, ROUNDS = 200 };

static u8 page[2][4096] __page;
static u8 code[4096] __page;

/* Reads 16 bytes, writes the next 16, moves the pointer, changes the second
 * word. */
asm(".text\n"
    "group:	mov (%rdi), %rax\n"
    "	mov 8(%rdi), %rcx\n"
    "	mov %rax, 16(%rdi)\n"
    "	add $8, %rdi\n"
    "	mov %rcx, 16(%rdi)\n"
    "	mov -8(%rdi), %rdx\n"
    "	add %rdx, (%rdi)\n"
    "	lea (%rax,%rcx), %rax\n"
    "	ret\n"
    "reads:	mov (%rdi), %rax\n"
    "	add 8(%rdi), %rax\n"
    "	add 16(%rdi), %rax\n"
    "	ret\n"
    /* device registers: the task priority is at 80h */
    "device:	mov 0x20(%rdi), %eax\n"
    "	mov %edx, 0x80(%rdi)\n"
    "	sub $-128, %rdi\n"
    "	mov (%rdi), %eax\n"
    "	ret\n"
    /* on the stack in rsi */
    "stack:	xchg %rsp, %rsi\n"
    "	push %rbx\n"
    "	push %rsi\n"
    "	sub $24, %rsp\n"
    "	mov %rdi, 8(%rsp)\n"
    "	mov 24(%rsp), %rsi\n"
    "	mov 8(%rsp), %rax\n"
    "	add $24, %rsp\n"
    "	pop %rbx\n"
    "	cmp %rbx, %rsi\n"
    "	pop %rbx\n"
    "	mov %rsi, %rsp\n"
    "	ret\n");
extern const u8 group[], reads[], device[], stack[];

static u64 call(const void *at, u64 di, u64 si, u64 dx)
{
	u64 a;

	asm volatile("call *%4"
		     : "=a"(a), "+D"(di), "+S"(si), "+d"(dx)
		     : "r"(at) : "rcx", "memory", "cc");
	return a;
}

static void map_both(u64 first, u64 second)
{
	map_page(VA, 1, first ? (ulong)page[1] | first : 0);
	map_page(VA + 4096, 1, second ? (ulong)page[0] | second : 0);
}

static void fill(u32 seed)
{
	for (u32 i = 0; i < 4096; i++) {
		page[0][i] = (u8)(i * 7 + seed);
		page[1][i] = (u8)(i * 13 + seed * 3);
	}
}

static u8 *byte(u64 at)
{
	return at < VA + 4096 ? &page[1][at - VA] : &page[0][at - VA - 4096];
}

static u64 peek(u64 at)
{
	u64 v = 0;

	for (u32 i = 0; i < 8; i++)
		v |= (u64)*byte(at + i) << i * 8;
	return v;
}

static void every_place(void)
{
	map_both(PTE_P | PTE_W, PTE_P | PTE_W);
	for (u32 i = 0; i < 8 * (SPAN + 24); i++) {
		u64 at = VA + 4096 - SPAN - 12 + i % (SPAN + 24);
		u64 a, c;

		fill(i);
		a = peek(at), c = peek(at + 8);
		check("sum", call(group, at, 0, 0), a + c);
		check("first", peek(at), a);
		check("second", peek(at + 8), a + c);
		check("third", peek(at + 16), a);
		check("fourth", peek(at + 24), c);
		check("stack", call(stack, i * 0x10001ul, at + 40, 0),
		      i * 0x10001ul);
	}
}

/* The second page is missing: what comes before it is done, no more. */
static void fault_in_the_middle(void)
{
	for (u32 i = 0; i < ROUNDS; i++) {
		u64 at = VA + 4096 - 18 - i % 6, a, c;

		map_both(PTE_P | PTE_W, 0);
		fill(i);
		a = peek(at), c = peek(at + 8);
		CATCH("call *%0", ::"r"(group), "D"(at)
		      : "rax", "rcx", "rdx", "memory");
		check_vector("third access", PF, PFE_W);
		check("address", caught.cr2, VA + 4096);
		check("instruction", caught.ip, (ulong)group + 7);
		check("rax", caught.regs.ax, a);
		check("rcx", caught.regs.cx, c);
		check("unwritten", peek(at + 8), c);
	}
}

static void read_only(void)
{
	for (u32 i = 0; i < ROUNDS; i++) {
		u64 at = VA + 64, a;

		map_both(PTE_P, 0);
		fill(i);
		a = peek(at);
		CATCH("call *%0", ::"r"(group), "D"(at)
		      : "rax", "rcx", "rdx", "memory");
		check_vector("write after read", PF, PFE_P | PFE_W);
		check("read", caught.regs.ax, a);
		check("bits", *pte_of(VA, 1) & (PTE_A | PTE_D), PTE_A);
	}
}

static void accessed_and_dirty(void)
{
	for (u32 i = 0; i < ROUNDS; i++) {
		map_both(PTE_P | PTE_W, 0);
		call(reads, VA + 128, 0, 0);
		check("read", *pte_of(VA, 1) & (PTE_A | PTE_D), PTE_A);
		call(group, VA + 128, 0, 0);
		check("written", *pte_of(VA, 1) & (PTE_A | PTE_D),
		      PTE_A | PTE_D);
	}
}

static void device_registers(void)
{
	static u32 memory[64];

	for (u32 i = 0; i < 2 * ROUNDS; i++) {
		u32 v = i * 16 & 0xf0;

		check("priority", call(device, LAPIC_ADDR, 0, v), v);
		check("memory", call(device, (ulong)memory, 0, i), i);
	}
}

/* mov rax, [rdi]; mov [rdi - 57], edx; mov ecx, imm; add ecx, [rdi + 4];
 * mov eax, ecx; ret: the constant is what was just written. */
static void own_instructions(void)
{
	static const u8 self[] = { 0x48, 0x8b, 0x07, 0x89, 0x57, 0xc7, 0xb9,
				   0, 0, 0, 0, 0x03, 0x4f, 0x04, 0x89, 0xc8,
				   0xc3 };

	memcpy(code, self, sizeof(self));
	*(volatile u32 *)(code + 68) = 5;
	for (u32 i = 0; i < 2 * ROUNDS; i++)
		check("new constant", call(code, (ulong)code + 64, 0, i),
		      i + 5);
}

void guest_main(void)
{
	lapic_init();
	every_place();
	fault_in_the_middle();
	read_only();
	accessed_and_dirty();
	device_registers();
	own_instructions();
}
