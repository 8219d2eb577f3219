/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls and returns of hot code that do not pair: recursion deeper than any
 * return stack, returns that skip callers, to an address that was changed or
 * never called, on other stacks, in another ring; flags that are passed
 * through calls, returns and jumps; a callee that changes the code behind its
 * call.
 */
#include "map.h"

enum { ROUNDS = 400 };

u8 deep[5000 * 16 + 4096] __page;

/* 1 + 2 + ... + rdi, on a stack of its own */
asm(".text\n"
    "sum: mov %rsp, %rsi; mov $deep + 5000 * 16 + 4096, %rsp; call 1f\n"
    "mov %rsi, %rsp; ret\n"
    "1: push %rdi; xor %eax, %eax; test %rdi, %rdi; je 2f\n"
    "dec %rdi; call 1b; add (%rsp), %rax; 2: pop %rdi; ret\n");
extern u64 sum(u64 n);

static void recursion(void)
{
	for (int i = 0; i < 20; i++)
		for (u64 depth = 1; depth < 5000; depth = depth * 2 + 1)
			check("sum", sum(depth), depth * (depth + 1) / 2);
}

/*
 * dive(n) calls itself n times, then drops all those frames and returns from
 * the first one. rdi: n, rsi: stack pointer to go back to.
 */
asm(".text; .p2align 12\n"
    "dive: mov %rsp, %rsi\n"
    "1: dec %rdi; js 2f; call 1b; ud2\n"
    "2: mov %rsi, %rsp; lea 0x1234(%rdi), %rax; ret\n"
    /* Returns behind the instruction that its caller would go on with. */
    "skip_5: addq $5, (%rsp); ret\n"
    "skipper: call skip_5; .byte 0xb8; .long 1; lea 0x77(%rdi), %rax; ret\n"
    /* A jump made of PUSH and RET, a return made of POP and JMP. */
    "push_ret: lea 1f(%rip), %rax; push %rax; ret; ud2\n"
    "1: pop %rcx; lea 5(%rdi), %rax; jmp *%rcx\n"
    /* Its own address, by a call that never returns. */
    "own: call 1f; 1: pop %rax; lea 1b(%rip), %rcx; sub %rcx, %rax; ret\n"
    /* Two stacks: `other` is the idle one's pointer. */
    "swap: push %rbx; push %rbp; mov other, %rax; mov %rsp, other\n"
    "mov %rax, %rsp; pop %rbp; pop %rbx; ret\n"
    "worker: inc %rbx; call bump; call swap; jmp worker\n"
    "bump: incl bumps; call swap; ret\n"
    "ret_16: mov %rdi, %rax; ret $16\n"
    "call_16: push $1; push $2; call ret_16; ret\n");
extern ulong dive(ulong n), skipper(ulong x), push_ret(ulong x), own(void);
extern ulong call_16(ulong x);
extern void swap(void);
extern u8 worker[];
u64 other;
u32 bumps;
static u64 stack[512];

static void unpaired(void)
{
	for (ulong i = 0; i < ROUNDS; i++) {
		check("frames dropped", dive(i % 50), 0x1233);
		check("return moved on", skipper(i), i + 0x77);
		check("PUSH and RET", push_ret(i), i + 5);
		check("CALL and POP", own(), 0);
		check("RET 16", call_16(i), i);
	}
}

static void coroutines(void)
{
	stack[509] = 0; /* rbp, rbx, and where to go on */
	stack[510] = 0;
	stack[511] = (ulong)worker;
	other = (ulong)&stack[509];
	for (u32 i = 1; i < ROUNDS; i++) {
		swap();
		check("turns", bumps, (i + 1) / 2);
	}
}

/*
 * rdi: flags. Each passes them on to a place that reads them: behind a call,
 * behind a return to another place than the call's, behind jumps and calls of
 * all kinds. The result has bit n set when the n-th place saw CF.
 */
asm(".p2align 12\n"
    "flags: push %rbx; push %rdi; xor %ebx, %ebx; popf\n"
    "call f_same; jnc 1f; lea 1(%rbx), %ebx; 1:\n"
    "call f_other; jnc 1f; lea 2(%rbx), %ebx; 1:\n"
    "call f_moved; .byte 0xb8; .long 1; jnc 1f; lea 4(%rbx), %ebx; 1:\n"
    "lea 2f(%rip), %rax; jmp *%rax; ud2; 2: jnc 1f; lea 8(%rbx), %ebx; 1:\n"
    "jmp f_away; f_back: jnc 1f; lea 16(%rbx), %ebx; 1:\n"
    "lea f_reads(%rip), %rax; call *%rax\n"
    "mov %ebx, %eax; pop %rbx; ret\n"
    "f_same: ret\n"
    "f_moved: pop %rax; lea 5(%rax), %rax; push %rax; ret\n"
    ".p2align 12\n"
    "f_other: ret\n"
    "f_away: jmp f_back\n"
    "f_reads: jnc 1f; lea 32(%rbx), %ebx; 1: ret\n");
extern ulong flags(ulong rflags);

static void flags_pass(void)
{
	for (u32 i = 0; i < ROUNDS; i++) {
		check("CF seen", flags(3), 0x3f);
		check("CF clear", flags(2), 0);
	}
}

/* Stores its argument into the MOV behind the call: in its page, in another. */
asm(".section .data.patched, \"aw\"; .p2align 12\n"
    "near_site: call near_patch; 1: mov $0, %eax; ret\n"
    "near_patch: mov %edi, 1b+1(%rip); ret\n"
    "far_site: call far_patch; 2: mov $0, %eax; ret\n"
    ".p2align 12\n"
    "far_patch: cmp %edi, 2b+1(%rip); je 1f; mov %edi, 2b+1(%rip); 1: ret\n"
    ".text\n");
extern ulong near_site(u32 v), far_site(u32 v);

static void sites_change(void)
{
	for (u32 i = 0; i < ROUNDS; i++) {
		check("behind a call in the page", near_site(i), i);
		check("behind a call of another", far_site(i), i);
	}
	for (u32 i = 0; i < 20 * ROUNDS; i++)
		check("seldom changed", far_site(i / 512), i / 512);
}

/*
 * Ring 0 calls user_enter() from a page that ring 3 may run, too; ring 3 then
 * returns to behind that call, where a word is read that only ring 0 may.
 */
u32 secret = 0x5ec7e7;
__user_data u64 ring_stack[512];

static __user ulong return_to(ulong target)
{
	asm volatile("push %0; ret" ::"r"(target) : "memory");
	return 0;
}

asm(".section .user.text, \"ax\", @progbits\n"
    "ring: push %rbx; mov $ring_stack + 511 * 8, %edx; mov $2, %ecx\n"
    "mov $0x2b, %r8d; mov $0x23, %r9d; call user_enter\n"
    "ring_site: mov secret, %ecx; pop %rbx; ret\n"
    ".text\n");
extern ulong ring(ulong (*fn)(ulong), ulong arg);
extern u8 ring_site[];

static __user ulong nothing(ulong arg)
{
	return arg;
}

static void rings(void)
{
	ring_stack[511] = (ulong)user_exit;
	for (ulong i = 0; i < ROUNDS; i++) {
		check("by way of ring 3", ring(nothing, i), i);
		check("ring 3 faults", ring(return_to, (ulong)ring_site), ~0UL);
		check_vector("its fault", PF, PFE_P | PFE_U);
		check("where", caught.ip, (ulong)ring_site);
	}
}

void guest_main(void)
{
	recursion();
	unpaired();
	coroutines();
	flags_pass();
	sites_change();
	rings();
}
