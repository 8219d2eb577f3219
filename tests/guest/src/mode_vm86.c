/* SPDX-License-Identifier: Apache-2.0
 *
 * Virtual-8086 mode with IOPL 3: segments are paragraphs, INT n leaves through
 * the gate with the segment registers saved and zeroed, CLI, PUSHF and POPF
 * work. Intel SDM vol. 3A sections 20.2 and 20.3.
 */
#include "lib.h"

asm(".pushsection .low16, \"awx\"; .code16\n"
    "vm_main:\n"
    "	mov $0x7e0, %ax; mov %ax, %es\n"
    "	movw $0x4321, %es:vm_word - 0x7e00\n"
    "	cli; pushf; pop vm_flags; sti\n"
    "	mov $0x3202, %ax; push %ax; popf\n"
    "	mov $0x1111, %ax; mov %ax, %ds\n"
    "	mov $0x2222, %ax; mov %ax, %fs\n"
    "	mov $0x3333, %ax; mov %ax, %gs\n"
    "	mov $0x5555, %ax\n"
    "	int $0x80\n"
    "vm_after: hlt\n"
    "vm_word: .word 0\nvm_flags: .word 0xffff\n"
    ".code32; .popsection");
extern u8 vm_main[], vm_after[];
extern u16 vm_word, vm_flags;

static struct frame seen;
static u16 live_ds, live_gs;

static void leave(struct frame *f)
{
	seen = *f;
	live_ds = f->ds;
	live_gs = f->gs;
	user_leave(f->ax);
}

void guest_main(void)
{
	trap_hook_set(0x80, leave);
	check("AX there", vm86_enter((ulong)vm_main, 0, 0x7c00, 0,
				     FL_VM | FL_IOPL | FL_IF | 2) & 0xffff,
	      0x5555);
	check("write through ES", vm_word, 0x4321);
	check("IF after CLI", vm_flags & FL_IF, 0);
	check("IP in the frame", seen.ip, (ulong)vm_after);
	check("CS in the frame", seen.cs, 0);
	check("VM in the frame", seen.flags & FL_VM, FL_VM);
	check("SP in the frame", seen.sp, 0x7c00);
	check("DS in the frame", seen.v86_ds, 0x1111);
	check("ES in the frame", seen.v86_es, 0x7e0);
	check("FS in the frame", seen.v86_fs, 0x2222);
	check("GS in the frame", seen.v86_gs, 0x3333);
	check("DS on entry", live_ds, 0);
	check("GS on entry", live_gs, 0);
	check("frame on ESP0", (ulong)(&seen.v86_gs + 1) - (ulong)&seen,
	      sizeof(seen));
	check("VM in ring 0", read_flags() & FL_VM, 0);
}
