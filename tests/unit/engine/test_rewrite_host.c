/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs programs on this processor: in a child process that has nothing mapped
 * but the pages of the program, at the same addresses, driven by ptrace(2).
 * So a stray access strikes nobody, and registers and signal are seen at the
 * very instruction that faulted.
 */
#include "test_rewrite.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/elf.h>

#include "x86/cpu.h"
#include "x86/reg.h"

#define WINDOW	    REWRITE_CODE
#define WINDOW_END  (REWRITE_DATA + REWRITE_DATA_PAGES * PAGE_SIZE)
#define STUB	    (REWRITE_WORDS + PAGE_SIZE) /* mapped nowhere else */
#define USER_END    0x7ffffffff000
#define RSEQ_LENGTH 32
#define XSAVE_MAX   16384
#define XSAVE_USED  7 /* x87, SSE, AVX */
#define XSAVE_UPPER 0xe0 /* AVX-512 */
#define FSW_ES	    0x80
#define SKIPPED	    77 /* for Meson */

static pid_t child;
static uint8_t *window; /* our view of the pages */
static struct user_regs_struct clean;
static size_t xsave_size;

static void give_up(const char *what)
{
	perror(what);
	exit(1);
}

static void *at(uint64_t address)
{
	return window + (address - WINDOW);
}

/* --- the child ------------------------------------------------------------ */

static void put_call(uint8_t **to, uint64_t from, uint64_t end)
{
	const uint64_t values[] = { SYS_munmap, from, end - from };
	const uint8_t opcodes[] = { 0xb8, 0xbf, 0xbe }; /* rax rdi rsi */

	for (unsigned int i = 0; i < 3; i++) {
		*(*to)++ = 0x48;
		*(*to)++ = opcodes[i];
		memcpy(*to, &values[i], 8);
		*to += 8;
	}
	*(*to)++ = 0x0f;
	*(*to)++ = 0x05;
}

/* The kernel must not write to what will be gone. */
static void forget_rseq(void)
{
	uint8_t *area = (uint8_t *)__builtin_thread_pointer() + __rseq_offset;

	if (__rseq_size)
		syscall(SYS_rseq, area, RSEQ_LENGTH, RSEQ_FLAG_UNREGISTER,
			RSEQ_SIG);
}

static void map_pages(int fd, uint64_t address, unsigned int pages, int prot)
{
	if (mmap((void *)address, pages * PAGE_SIZE, prot,
		 MAP_SHARED | MAP_FIXED, fd, (off_t)(address - WINDOW)) ==
	    MAP_FAILED)
		_exit(1);
}

/* As rewrite_machine_like_host() has them in the guest. */
static void map_program(int fd)
{
	const int all = PROT_READ | PROT_WRITE;

	map_pages(fd, REWRITE_CODE, REWRITE_CODE_PAGES, PROT_READ | PROT_EXEC);
	map_pages(fd, REWRITE_WORDS, 1, all);
	map_pages(fd, REWRITE_DATA, REWRITE_DATA_PAGES, all);
	map_pages(fd, REWRITE_DATA + 2 * PAGE_SIZE, 1, PROT_READ);
	munmap((void *)(REWRITE_DATA + 4 * PAGE_SIZE), PAGE_SIZE);
	map_pages(fd, REWRITE_DATA + 8 * PAGE_SIZE, 1, PROT_NONE);
	map_pages(fd, STUB, 1, PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* Unmaps everything else; the last call faults behind itself. */
static void run_child(int fd)
{
	uint8_t *to = (uint8_t *)(uintptr_t)STUB;

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(SKIPPED);
	forget_rseq();
	map_program(fd);
	put_call(&to, WINDOW_END, USER_END);
	put_call(&to, STUB, STUB + PAGE_SIZE);
	((void (*)(void))(uintptr_t)STUB)();
	_exit(1);
}

/* Waits until the child stops; its signal. */
static int wait_stop(void)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			give_up("waitpid");
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
		puts("no ptrace(2) here");
		exit(SKIPPED);
	}
	if (!WIFSTOPPED(status)) {
		fprintf(stderr, "the child ended: status %x\n", status);
		exit(1);
	}
	return WSTOPSIG(status);
}

void rewrite_host_open(void)
{
	static uint8_t buffer[XSAVE_MAX];
	struct iovec io = { buffer, sizeof(buffer) };
	int fd = (int)syscall(SYS_memfd_create, "rewrite", 0);

	if (fd < 0 || ftruncate(fd, WINDOW_END - WINDOW))
		give_up("memfd");
	window = mmap(NULL, WINDOW_END - WINDOW, PROT_READ | PROT_WRITE,
		      MAP_SHARED, fd, 0);
	if (window == MAP_FAILED)
		give_up("mmap");
	child = fork();
	if (child < 0)
		give_up("fork");
	if (!child)
		run_child(fd);
	close(fd);
	if (wait_stop() != SIGSEGV ||
	    ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_EXITKILL) ||
	    ptrace(PTRACE_GETREGS, child, NULL, &clean) ||
	    clean.rip != STUB + 64 ||
	    ptrace(PTRACE_GETREGSET, child, NT_X86_XSTATE, &io))
		give_up("ptrace");
	xsave_size = io.iov_len;
}

void rewrite_host_close(void)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* --- one program ---------------------------------------------------------- */

/* Where each register is in struct user_regs_struct. */
#define REG(name) offsetof(struct user_regs_struct, name)
static const uint8_t places[16] = {
	REG(rax), REG(rcx), REG(rdx), REG(rbx), REG(rsp), REG(rbp),
	REG(rsi), REG(rdi), REG(r8),  REG(r9),	REG(r10), REG(r11),
	REG(r12), REG(r13), REG(r14), REG(r15),
};

/* Components of AVX-512, by number. */
static const struct {
	uint32_t number, offset, size;
} upper[] = {
	{ 5, X86_XSAVE_OPMASK, 64 },
	{ 6, X86_XSAVE_ZMM_HI256, 512 },
	{ 7, X86_XSAVE_HI16_ZMM, 1024 },
};

static void load_registers(const struct x86_state *s)
{
	static uint8_t buffer[XSAVE_MAX];
	const uint64_t used =
		XSAVE_USED | (rewrite_machine_avx512() ? XSAVE_UPPER : 0);
	struct user_regs_struct regs = clean;
	struct iovec io = { buffer, xsave_size };

	for (unsigned int i = 0; i < 16; i++)
		memcpy((uint8_t *)&regs + places[i], &s->gpr[i], 8);
	regs.rip = s->rip;
	regs.eflags = s->rflags;
	regs.fs_base = s->seg[X86_FS].base;
	regs.gs_base = s->seg[X86_GS].base;
	regs.orig_rax = ~0ull;
	memset(buffer, 0, sizeof(buffer));
	memcpy(buffer, s->xsave, X86_XSAVE_YMM + 256);
	for (unsigned int i = 0; i < 3 && used & XSAVE_UPPER; i++)
		memcpy(buffer + cpuid_host(0xd, upper[i].number).ebx,
		       s->xsave + upper[i].offset, upper[i].size);
	memcpy(buffer + X86_XSAVE_HEADER, &used, sizeof(used));
	memset(buffer + X86_XSAVE_HEADER + 8, 0, 56);
	if (ptrace(PTRACE_SETREGS, child, NULL, &regs) ||
	    ptrace(PTRACE_SETREGSET, child, NT_X86_XSTATE, &io))
		give_up("ptrace: registers");
}

/* The exception behind a signal; `fsw`: the x87 status. */
static unsigned int vector_of(int number, const siginfo_t *info, uint8_t fsw)
{
	switch (number) {
	case SIGSEGV:
		return info->si_code == SI_KERNEL ? X86_GP : X86_PF;
	case SIGBUS:
		return info->si_code == BUS_ADRALN ? X86_AC : X86_SSF;
	case SIGFPE:
		if (info->si_code == FPE_INTDIV)
			return X86_DE;
		return fsw & FSW_ES ? X86_MF : X86_XM;
	case SIGILL:
		return X86_UD;
	default:
		return X86_DB;
	}
}

static void take_registers(int number, struct outcome *out)
{
	static uint8_t buffer[XSAVE_MAX];
	struct iovec io = { buffer, sizeof(buffer) };
	struct user_regs_struct regs;
	siginfo_t info;
	uint64_t used;

	if (ptrace(PTRACE_GETREGS, child, NULL, &regs) ||
	    ptrace(PTRACE_GETSIGINFO, child, NULL, &info) ||
	    ptrace(PTRACE_GETREGSET, child, NT_X86_XSTATE, &io))
		give_up("ptrace: registers");
	for (unsigned int i = 0; i < 16; i++)
		memcpy(&out->gpr[i], (uint8_t *)&regs + places[i], 8);
	out->rip = regs.rip;
	out->rflags = regs.eflags;
	out->vector_number = vector_of(number, &info, buffer[2]);
	out->cr2 = out->vector_number == X86_PF ? (uintptr_t)info.si_addr : 0;
	memcpy(&used, buffer + X86_XSAVE_HEADER, sizeof(used));
	if (!(used & 2))
		memset(buffer + 160, 0, 256);
	if (!(used & 4))
		memset(buffer + X86_XSAVE_YMM, 0, 256);
	memset(out->vector, 0, sizeof(out->vector));
	memcpy(out->vector, buffer, X86_XSAVE_YMM + 256);
	for (unsigned int i = 0; i < 3; i++)
		if (used >> upper[i].number & 1)
			memcpy(out->vector + upper[i].offset,
			       buffer + cpuid_host(0xd, upper[i].number).ebx,
			       upper[i].size);
}

void rewrite_host_run(const struct program *p, struct outcome *out)
{
	const struct x86_state *s = rewrite_machine_start(p);
	const size_t data = REWRITE_DATA_PAGES * PAGE_SIZE;
	int number;

	memcpy(at(REWRITE_CODE), rewrite_machine_ram(REWRITE_CODE),
	       REWRITE_CODE_PAGES * PAGE_SIZE);
	memcpy(at(REWRITE_WORDS), rewrite_machine_ram(REWRITE_WORDS),
	       PAGE_SIZE);
	memcpy(at(REWRITE_DATA), rewrite_machine_ram(REWRITE_DATA), data);
	load_registers(s);
	do {
		if (ptrace(PTRACE_CONT, child, NULL, NULL))
			give_up("ptrace: go on");
		number = wait_stop();
	} while (number == SIGCHLD || number == SIGWINCH);
	take_registers(number, out);
	out->over = true;
	memcpy(out->page[1], at(REWRITE_WORDS), PAGE_SIZE);
	memcpy(out->page[2], at(REWRITE_DATA), data);
}
