/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one instruction on this processor with every register loaded, and
 * catches the exception it raises. The code and the registers lie below
 * 2 GiB, so that they are reachable by absolute address when no register is
 * free.
 */
#include "compare.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "x86/cpuid.h"

#define ARENA_BASE 0x59a70000u /* at no power of two from the data */
#define ARENA_SIZE 0x10000u
#define CODE_BASE  (ARENA_BASE + 0xa000u)

#define AREA_SIZE 0x1000u

struct arena {
	struct machine in, out;
	/* XSAVE areas in this processor's layout. */
	_Alignas(64) uint8_t area_in[AREA_SIZE], area_out[AREA_SIZE];
	uint64_t host_rsp;
	uint64_t fault_rip; /* where a fault continues */
};

static struct arena *const arena = (struct arena *)ARENA_BASE;

#define AT(member) (ARENA_BASE + (uint32_t)offsetof(struct arena, member))

static uint8_t *emit_at;

static void emit(const void *bytes, unsigned int count)
{
	memcpy(emit_at, bytes, count);
	emit_at += count;
}

#define EMIT(...)                                                              \
	emit((const uint8_t[]){ __VA_ARGS__ },                                 \
	     sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void emit32(uint32_t v)
{
	emit(&v, 4);
}

/* opcode with a 64-bit register and [absolute] */
static void emit_absolute(uint8_t opcode, unsigned int reg, uint32_t address)
{
	EMIT((uint8_t)(0x48 | (reg >> 3) << 2), opcode,
	     (uint8_t)(4 | (reg & 7) << 3), 0x25);
	emit32(address);
}

static bool avx512;

bool on_host_avx512(void)
{
	return avx512;
}

/* XSAVE64 (/4) or XRSTOR64 (/5) of x87, SSE, AVX and AVX-512 */
static void emit_xsave(unsigned int op, uint32_t address)
{
	/* mov eax, 7 or 0xe7; xor edx, edx */
	EMIT(0xb8, avx512 ? 0xe7 : 7, 0, 0, 0, 0x31, 0xd2);
	EMIT(0x48, 0x0f, 0xae, (uint8_t)(4 | op << 3), 0x25);
	emit32(address);
}

static const uint8_t pushes[] = { 0x53, 0x55, 0x41, 0x54, 0x41,
				  0x55, 0x41, 0x56, 0x41, 0x57 };
static const uint8_t pops[] = { 0x41, 0x5f, 0x41, 0x5e, 0x41,
				0x5d, 0x41, 0x5c, 0x5d, 0x5b };

static void emit_entry(void)
{
	unsigned int i;

	emit(pushes, sizeof(pushes));
	emit_absolute(0x89, 4, AT(host_rsp));
	emit_xsave(5, AT(area_in));
	EMIT(0xff, 0x34, 0x25); /* push qword [flags]; popfq */
	emit32(AT(in.flags));
	EMIT(0x9d);
	for (i = 0; i < 16; i++)
		emit_absolute(0x8b, i, AT(in.gpr) + 8 * i);
}

static void emit_exit(void)
{
	unsigned int i;

	for (i = 0; i < 16; i++)
		emit_absolute(0x89, i, AT(out.gpr) + 8 * i);
	emit_absolute(0x8b, 4, AT(host_rsp));
	EMIT(0x9c, 0x8f, 0x04, 0x25); /* pushfq; pop [flags] */
	emit32(AT(out.flags));
	emit_xsave(4, AT(area_out));
	arena->fault_rip = (uint64_t)emit_at;
	EMIT(0xfc, 0xdb, 0xe3);	      /* cld; fninit */
	EMIT(0xc5, 0xf8, 0x77);	      /* vzeroupper */
	EMIT(0x0f, 0xae, 0x14, 0x25); /* ldmxcsr */
	emit32(CODE_BASE);
	emit(pops, sizeof(pops));
	EMIT(0xc3);
}

/* Takes the registers at the fault from the signal's frame. */
static void take_fault(int signal, siginfo_t *info, void *context)
{
	static const uint8_t order[16] = {
		REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
		REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
		REG_R12, REG_R13, REG_R14, REG_R15,
	};
	ucontext_t *uc = context;
	greg_t *g = uc->uc_mcontext.gregs;
	unsigned int i;

	(void)info;
	if ((uint64_t)g[REG_RIP] - CODE_BASE > ARENA_SIZE) {
		fprintf(stderr, "signal %d at %llx\n", signal,
			(unsigned long long)g[REG_RIP]);
		abort();
	}
	arena->out.vector = (int)g[REG_TRAPNO];
	arena->out.flags = (uint64_t)g[REG_EFL];
	for (i = 0; i < 16; i++)
		arena->out.gpr[i] = (uint64_t)g[order[i]];
	memcpy(arena->area_out, uc->uc_mcontext.fpregs,
	       cpuid_host(0xd, 0).ebx);
	g[REG_RSP] = (greg_t)arena->host_rsp;
	g[REG_RIP] = (greg_t)arena->fault_rip;
	g[REG_EFL] &= ~0x40cd5ll; /* AC and what the guest set */
}

static void *map(uint64_t address, size_t size, int protection)
{
	void *p =
		mmap((void *)address, size, protection,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}

void on_host_open(void)
{
	static struct cpuid_policy policy;
	static const int signals[] = { SIGSEGV, SIGFPE, SIGILL, SIGBUS,
				       SIGTRAP };
	static const uint32_t mxcsr = 0x1f80;
	struct sigaction action = {
		.sa_sigaction = take_fault,
		.sa_flags = SA_SIGINFO | SA_ONSTACK,
	};
	static uint8_t signal_stack[1 << 16];
	const stack_t stack = { .ss_sp = signal_stack,
				.ss_size = sizeof(signal_stack) };
	unsigned int i;

	cpuid_policy_init(&policy, 1, 1 << 20);
	avx512 = policy.avx512;
	sigaltstack(&stack, NULL);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
	map(DATA_BASE, DATA_SIZE, PROT_READ | PROT_WRITE);
	map(ARENA_BASE, ARENA_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
	memcpy((void *)(uint64_t)CODE_BASE, &mxcsr, sizeof(mxcsr));
}

/* A component in its initial state need not have been written. */
static void fill_initial(struct machine *m)
{
	uint64_t bv;

	memcpy(&bv, m->xsave + 512, sizeof(bv));
	if (!(bv & 1)) {
		memset(m->xsave, 0, 24);
		m->xsave[0] = 0x7f;
		m->xsave[1] = 3;
		memset(m->xsave + 32, 0, 128);
	}
	if (!(bv & 2))
		memset(m->xsave + 160, 0, 256);
	if (!(bv & 4))
		memset(m->xsave + 576, 0, 256);
	for (unsigned int i = 0; i < 3; i++)
		if (!(bv >> avx512_components[i].number & 1))
			memset(m->xsave + avx512_components[i].offset, 0,
			       avx512_components[i].size);
}

/* Between this processor's layout and that of struct machine. */
static void move_area(uint8_t *ours, uint8_t *theirs, bool to_host)
{
	uint8_t *from = to_host ? ours : theirs, *to = to_host ? theirs : ours;
	unsigned int i;

	memcpy(to, from, X86_XSAVE_YMM + 256);
	for (i = 0; i < 3 && avx512; i++) {
		const struct component *c = &avx512_components[i];
		uint8_t *there = theirs + cpuid_host(0xd, c->number).ebx;

		if (to_host)
			memcpy(there, ours + c->offset, c->size);
		else
			memcpy(ours + c->offset, there, c->size);
	}
}

void on_host_run(const struct sample *s, const struct machine *in,
		 struct machine *out)
{
	void *data = (void *)(uint64_t)DATA_BASE;
	void *entry = (void *)(uint64_t)(CODE_BASE + 64);

	arena->in = *in;
	move_area(arena->in.xsave, arena->area_in, true);
	memset(arena->area_out, 0, sizeof(arena->area_out));
	arena->out.vector = NO_VECTOR;
	memcpy(data, in->data, DATA_SIZE);
	emit_at = entry;
	emit_entry();
	emit(s->bytes, s->length);
	emit_exit();
	((void (*)(void))entry)();
	move_area(arena->out.xsave, arena->area_out, false);
	*out = arena->out;
	memcpy(out->data, data, DATA_SIZE);
	fill_initial(out);
}
