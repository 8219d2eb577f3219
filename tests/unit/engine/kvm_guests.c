/* SPDX-License-Identifier: Apache-2.0 */
/* See kvm_guests.h. */
#include "kvm_guests.h"

#define STRING(x)  #x
#define NUMBER(x)  STRING(x)
#define GUEST(name_, code_)                                              \
	__asm__(".pushsection .rodata\n"                                 \
		"image_" #name_ "_begin:\n" code_                        \
		"\nimage_" #name_ "_end:\n.popsection\n");               \
	extern const uint8_t image_##name_##_begin[],                    \
		image_##name_##_end[];                                   \
	const struct kvm_guest guest_##name_ = { image_##name_##_begin, \
						 image_##name_##_end }

/* A gate of the table at 0x301000, for the vector to the label. */
#define GATE(vector_, label_)                              \
	"	lea " label_ "(%rip), %rax\n"              \
	"	mov $0x301000 + 16 * " vector_ ", %edi\n"  \
	"	mov %ax, (%rdi)\n"                         \
	"	movw $0x10, 2(%rdi)\n"                     \
	"	movw $0x8e00, 4(%rdi)\n"                   \
	"	shr $16, %rax\n"                           \
	"	mov %ax, 6(%rdi)\n"                        \
	"	movq $0, 8(%rdi)\n"

/* Stack, SSE, and a gate for the vector to `handler`; LAPIC enabled. */
#define SET_UP                                             \
	"	mov $0x300000, %esp\n"                     \
	"	mov %cr4, %rax\n"                          \
	"	or $0x200, %rax\n"                         \
	"	mov %rax, %cr4\n"                          \
	GATE("0x40", "90f")                                \
	"	lidt 91f(%rip)\n"                          \
	"	xor %ebx, %ebx\n"                          \
	"	mov %rbx, 0x302000\n"                      \
	"	mov %rbx, 0x302008\n"                      \
	"	mov %rbx, 0x302010\n"                      \
	"	mov %rbx, 0x302018\n"                      \
	"	mov $0xfee00000, %edi\n"                   \
	"	movl $0x1ff, 0xf0(%rdi)\n"

/* Each step compares a register, memory and XMM0 with the step before. */
#define COUNT                                              \
	"1:	mov 0x302000, %rcx\n"                      \
	"	movq %xmm0, %rdx\n"                        \
	"	cmp %rbx, %rcx\n"                          \
	"	jne 2f\n"                                  \
	"	cmp %rbx, %rdx\n"                          \
	"	je 3f\n"                                   \
	"2:	incq 0x302018\n"                           \
	"3:	inc %rbx\n"                                \
	"	movq %rbx, %xmm0\n"                        \
	"	mov %rbx, 0x302000\n"                      \
	"	movq %xmm0, 0x302010\n"                    \
	"	jmp 1b\n"

#define HANDLER(more_)                                     \
	"90:	push %rax\n"                               \
	"	push %rcx\n"                               \
	"	push %rdx\n"                               \
	"	incq 0x302008\n"                           \
	"	mov $0xfee00000, %eax\n"                   \
	"	movl $0, 0xb0(%rax)\n" more_               \
	"	pop %rdx\n"                                \
	"	pop %rcx\n"                                \
	"	pop %rax\n"                                \
	"	iretq\n"                                   \
	"91:	.word 0x40f\n"                             \
	"	.quad 0x301000\n"

/* Two million ticks of the TSC from now. */
#define ARM_DEADLINE                                       \
	"	rdtsc\n"                                   \
	"	add $2000000, %eax\n"                      \
	"	adc $0, %edx\n"                            \
	"	mov $0x6e0, %ecx\n"                        \
	"	wrmsr\n"

GUEST(counts, SET_UP
      "	movl $0x20040, 0x320(%rdi)\n" /* periodic */
      "	movl $0xb, 0x3e0(%rdi)\n"
      "	movl $2000000, 0x380(%rdi)\n"
      "	pxor %xmm0, %xmm0\n"
      "	sti\n" COUNT HANDLER(""));

GUEST(deadline, SET_UP
      "	movl $0x40040, 0x320(%rdi)\n" ARM_DEADLINE
      "	pxor %xmm0, %xmm0\n"
      "	sti\n" COUNT HANDLER(ARM_DEADLINE));

GUEST(waits, SET_UP
      "	pxor %xmm0, %xmm0\n"
      "	sti\n" COUNT HANDLER(""));

GUEST(sleeps, SET_UP
      "	mov $0xff, %al\n" /* the PIC would interrupt, too */
      "	out %al, $0x21\n"
      "	out %al, $0xa1\n"
      "	movq $1, 0x302020\n"
      "	sti\n"
      "1:	hlt\n"
      "	incq 0x302000\n"
      "	jmp 1b\n" HANDLER(""));

GUEST(signals, SET_UP
      "1:	mov $" NUMBER(GUEST_PORT) ", %edx\n"
      "	out %al, %dx\n"
      "	mov $0xfed80000, %edx\n"
      "	movl $1, (%rdx)\n"
      "	incq 0x302000\n"
      "	jmp 1b\n" HANDLER(""));

GUEST(writes, SET_UP
      "1:	incq 0x400000\n"
      "	incq 0x403ff8\n"
      "	incq 0x302000\n"
      "	jmp 1b\n" HANDLER(""));

GUEST(odd, SET_UP
      /* CMPXCHG16B of a pair that is equal. */
      "	movq $5, 0x302040\n"
      "	movq $6, 0x302048\n"
      "	mov $5, %eax\n"
      "	mov $6, %edx\n"
      "	mov $7, %ebx\n"
      "	mov $8, %ecx\n"
      "	lock cmpxchg16b 0x302040\n"
      "	jz 1f\n"
      "	incq 0x302018\n"
      "1:	cmpq $7, 0x302040\n"
      "	je 2f\n"
      "	incq 0x302018\n"
      /* XRSTOR of what XSAVE saved, with SSE alone. */
      "2:	mov %cr4, %rax\n"
      "	or $0x40000, %rax\n"
      "	mov %rax, %cr4\n"
      "	xor %ecx, %ecx\n"
      "	xor %edx, %edx\n"
      "	mov $3, %eax\n"
      "	xsetbv\n"
      "	mov $0x1234567, %ebx\n"
      "	movq %rbx, %xmm1\n"
      "	mov $3, %eax\n"
      "	mov $0x304000, %edi\n"
      "	xsave (%rdi)\n"
      "	pxor %xmm1, %xmm1\n"
      "	mov $3, %eax\n"
      "	xor %edx, %edx\n"
      "	xrstor (%rdi)\n"
      "	movq %xmm1, %rdx\n"
      "	cmp %rbx, %rdx\n"
      "	je 3f\n"
      "	incq 0x302018\n"
      /* All ones are minus one in each lane. */
      "3:	mov $0xfed80000, %edi\n"
      "	pxor %xmm2, %xmm2\n"
      "	paddd (%rdi), %xmm2\n"
      "	movdqu %xmm2, 0x302040\n"
      "	movq $1, 0x302020\n"
      "4:	incq 0x302000\n"
      "	jmp 4b\n" HANDLER(""));

GUEST(halts, SET_UP
      "	movq $1, 0x302020\n"
      "1:	hlt\n"
      "	jmp 1b\n" HANDLER(""));

/* The addresses of four labels; then the loop. */
GUEST(steps, SET_UP
      "	xor %ecx, %ecx\n"
      "	lea 1f(%rip), %rax\n"
      "	mov %rax, 0x302040\n"
      "	lea 2f(%rip), %rax\n"
      "	mov %rax, 0x302048\n"
      "	lea 3f(%rip), %rax\n"
      "	mov %rax, 0x302050\n"
      "	lea 4f(%rip), %rax\n"
      "	mov %rax, 0x302058\n"
      "1:	inc %rbx\n"
      "2:	mov %rbx, 0x302000\n"
      "3:	out %al, $0xed\n"
      "4:	pushf\n"
      "	pop %rcx\n"
      "	jmp 1b\n" HANDLER(""));

/* INT3, and a trap behind an instruction of its own. */
GUEST(traps, SET_UP GATE("1", "6f") GATE("3", "5f")
      "1:	int3\n"
      "	cmpq $0, 0x302020\n" /* the trap only where asked for */
      "	jne 2f\n"
      "	pushf\n"
      "	orl $0x100, (%rsp)\n"
      "	popf\n"
      "	nop\n"
      "2:	incq 0x302000\n"
      "	jmp 1b\n"
      "5:	incq 0x302028\n"
      "	iretq\n"
      "6:	push %rax\n"
      "	mov %dr6, %rax\n"
      "	mov %rax, 0x302030\n"
      "	incq 0x302038\n"
      "	andl $~0x100, 24(%rsp)\n"
      "	pop %rax\n"
      "	iretq\n" HANDLER(""));

GUEST(crashes, "	lidt 1f(%rip)\n"
	       "	ud2\n"
	       "1:	.word 0\n"
	       "	.quad 0\n");
