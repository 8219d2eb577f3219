/* SPDX-License-Identifier: Apache-2.0
 *
 * Compatibility mode: 32-bit and 16-bit code segments below long mode, their
 * operand sizes, segment bases and limits, the upper halves of registers
 * untouched by far calls. Intel SDM vol. 1 section 3.1, vol. 3A 5.2.1.
 */
#include "lib.h"

asm(".code32\n"
    "compat32:\n"
    "	.byte 0x40\n" /* inc eax there, REX in 64-bit mode */
    "	nop\n"
    "	mov %ds, %dx; push %edx\n"
    "	mov $0x50, %edx; mov %edx, %ds\n"
    "	mov 4, %ecx\n"
    "	pop %edx; mov %edx, %ds\n"
    "	lret\n"
    "compat_limit:\n"
    "	mov $0x50, %edx; mov %edx, %es\n"
    "	.globl at_limit\nat_limit: mov %es:0xffd, %ecx\n"
    "	lret\n"
    ".code64\n"
    ".pushsection .low16, \"awx\"; .code16\n"
    "compat16:\n"
    "	.byte 0xb8; .word 0x1234\n" /* mov ax, 0x1234 */
    "	lretl\n"
    ".code64; .popsection");
extern u8 compat32[], compat16[], compat_limit[], at_limit[];

static u32 data[1024] __page;

static struct {
	u32 offset;
	u16 selector;
} __packed far;

static ulong far_call(void *fn, u16 sel, ulong ax, ulong *cx)
{
	far.offset = (u32)(ulong)fn;
	far.selector = sel;
	CATCH("lcall *%2", : "+a"(ax), "=c"(*cx) : "m"(far)
	      : "rdx", "memory");
	asm volatile("mov %0, %%ds; mov %0, %%es" ::"r"(SEL_DATA));
	return ax;
}

void guest_main(void)
{
	ulong cx, low_sp;

	/* the whole guest runs below 4 GiB, so ESP is enough */
	asm volatile("mov %%rsp, %0" : "=r"(low_sp));
	check("stack below 4 GiB", low_sp >> 32, 0);

	data[1] = 0x13579bdf;
	gdt[SEL_FREE / 8] = seg_desc((u32)(ulong)data, 0xfff, 0x92, 4);
	check("0x40 is INC in 32-bit code",
	      far_call(compat32, SEL_CODE32, 0x1fffffff, &cx), 0x20000000);
	check_no_trap("far call to 32-bit code");
	check("read through a segment base", cx, 0x13579bdf);
	check("16-bit code", far_call(compat16, SEL_CODE16, 0x55550000, &cx),
	      0x55551234);
	check_no_trap("far call to 16-bit code");

	if (tcg_differs("checks neither segment limits nor L with D"))
		return;
	far_call(compat_limit, SEL_CODE32, 0, &cx);
	check_vector("beyond the limit", GP, 0);
	check("its RIP", caught.ip, (ulong)at_limit);
	check("its CS", caught.cs, SEL_CODE32);
	/* L and D together is reserved */
	gdt[SEL_FREE / 8] = seg_desc(0, 0xfffff, 0x9a, 0xe);
	far_call(compat32, SEL_FREE, 0, &cx);
	check_vector("code segment with L and D", GP, SEL_FREE);
}
