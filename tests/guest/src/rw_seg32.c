/* SPDX-License-Identifier: Apache-2.0
 *
 * Hot 32-bit code and its segments: bases and limits that change under it,
 * limits met exactly, one piece of code run through two code segments, a jump
 * beyond the code segment's limit. Intel SDM vol. 3A, 5.3 and 6.15 (#GP).
 */
#include "lib.h"

#define HOT  600
#define IMAGE 0x100000 /* where guests are linked */
#define SEL_A SEL_FREE
#define SEL_B (SEL_FREE + 8)

static u8 data[2][4096] __page;
static volatile ulong fault_ip, fault_count;

/* Adds bytes of GS from 0 on until that faults, or all are added. */
asm("sum_gs:\n"
    "	push %ebp; mov %esp, %ebp; push %ebx\n"
    "	xor %eax, %eax; xor %ebx, %ebx\n"
    "1:	cmp %ebx, 8(%ebp); je 2f\n"
    "at_load: movzbl %gs:(%ebx), %ecx\n"
    "	add %ecx, %eax; inc %ebx; jmp 1b\n"
    "2:	mov %ebx, out_count; pop %ebx; leave; ret\n"
    /* Stores a byte to GS over and over. */
    "store_gs: mov $1000, %ecx\n"
    "1:	mov %ch, %gs:8; loop 1b\n"
    "	ret\n"
    "out_count: .long 0\n"
    /* By far call: its own offset, as CALL pushes it. */
    "where:	mov $40, %ecx\n"
    "1:	call 2f\n"
    "2:	pop %eax; dec %ecx; jnz 1b\n"
    "	lret\n"
    /* By far call: jumps beyond `far_end` when ECX is through. */
    "beyond: mov $1000, %ecx\n"
    "1:	dec %ecx\n"
    "at_jump: jz far_end\n"
    "	jmp 1b\n"
    "	.balign 16\n"
    "far_end: lret\n");
u32 sum_gs(u32 count);
void store_gs(void);
extern u8 at_load[], where[], beyond[], at_jump[], far_end[];
extern volatile u32 out_count;

static void on_gp(struct frame *f)
{
	fault_ip = f->ip;
	fault_count++;
	f->ip = catch_next;
	f->cs = SEL_CODE;
}

static void load_gs(u16 selector)
{
	asm volatile("mov %0, %%gs" : : "r"((u32)selector));
}

static u32 far_call(u8 *linear, u16 selector, u32 base)
{
	struct {
		u32 offset;
		u16 selector;
	} __packed to = { (u32)linear - base, selector };
	u32 ax;

	CATCH("lcall *%1", : "=a"(ax) : "m"(to) : "ecx", "memory");
	return ax;
}

static u32 expected(const u8 *p, u32 count)
{
	u32 sum = 0;

	while (count--)
		sum += *p++;
	return sum;
}

static void bases_and_limits(void)
{
	for (u32 i = 0; i < 4096; i++) {
		data[0][i] = (u8)(i * 7);
		data[1][i] = (u8)(i * 11 + 3);
	}
	gdt[SEL_A / 8] = seg_desc((u32)data[0], 0xfffff, 0x92, 0xc);
	gdt[SEL_B / 8] = seg_desc((u32)data[1] + 5, 2000, 0x92, 4);
	for (int i = 0; i < 4; i++) {
		load_gs(SEL_A);
		check("sum by base A", sum_gs(4096), expected(data[0], 4096));
		load_gs(SEL_B);
		check("sum by base B", sum_gs(2001),
		      expected(data[1] + 5, 2001));
	}
	/* one byte beyond; then the segment is moved, limit and all */
	fault_count = 0;
	CATCH("push $4000; call sum_gs; add $4, %%esp", : : : "eax", "ecx",
	      "edx", "memory");
	check("faults at the limit", fault_count, 1);
	check("where", fault_ip, (ulong)at_load);
	gdt[SEL_B / 8] = seg_desc((u32)data[1], 3000, 0x92, 4);
	load_gs(SEL_B);
	check("another limit", sum_gs(3001), expected(data[1], 3001));
	check("faults then", fault_count, 1);
}

static void read_only(void)
{
	gdt[SEL_A / 8] = seg_desc((u32)data[0], 0xfffff, 0x92, 0xc);
	load_gs(SEL_A);
	store_gs();
	check("last store", data[0][8], 0);
	gdt[SEL_A / 8] = seg_desc((u32)data[0], 0xfffff, 0x90, 0xc);
	load_gs(SEL_A);
	data[0][8] = 99;
	fault_count = 0;
	CATCH("call store_gs", : : : "eax", "ecx", "edx", "memory");
	check("store to a read-only segment", fault_count, 1);
	check("what is there", data[0][8], 99);
	load_gs(0);
}

static void code_segments(void)
{
	const u32 base = 0x1230;
	u32 here, there;

	gdt[SEL_A / 8] = seg_desc(base, 0xfffff, 0x9a, 0xc);
	gdt[SEL_B / 8] = seg_desc(IMAGE, (u32)far_end - 1 - IMAGE, 0x9a, 4);
	here = far_call(where, SEL_CODE, 0);
	for (int i = 0; i < HOT / 8; i++) {
		there = far_call(where, SEL_A, base);
		if (there != here - base)
			break;
		if (far_call(where, SEL_CODE, 0) != here)
			break;
	}
	check("offset in a segment with a base", there, here - base);
	check("and in the flat one", far_call(where, SEL_CODE, 0), here);
	far_call(beyond, SEL_CODE, 0);
	fault_count = 0;
	for (int i = 0; i < 3; i++)
		far_call(beyond, SEL_B, IMAGE);
	check("jumps beyond the code segment", fault_count, 3);
	check("where from", fault_ip, (ulong)at_jump - IMAGE);
}

void guest_main(void)
{
	trap_hook_set(GP, on_gp);
	bases_and_limits();
	read_only();
	code_segments();
}
