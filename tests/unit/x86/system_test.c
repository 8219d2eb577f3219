/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System instructions: the rules of control and debug registers, privilege
 * checks, flags, descriptor-table registers, ports and their permission
 * bitmap, halt.
 */
#include "rig.h"

static struct cpuid_policy policy;

/* --- bench ---------------------------------------------------------------- */

static uint8_t tpr;
static uint16_t port_at;
static unsigned int port_size;
static uint32_t port_value;

static uint8_t get_tpr(void *apic)
{
	return tpr;
}

static void set_tpr(void *apic, uint8_t v)
{
	tpr = v;
}

static void set_base(void *apic, uint64_t base)
{
}

static const struct x86_apic_ops apic_ops = {
	.get_tpr = get_tpr,
	.set_tpr = set_tpr,
	.set_base = set_base,
};

static uint64_t port_read(void *device, uint64_t offset, unsigned int size)
{
	port_at = (uint16_t)offset;
	port_size = size;
	return 0x44332211;
}

static void port_write(void *device, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	port_at = (uint16_t)offset;
	port_size = size;
	port_value = (uint32_t)value;
}

static const struct bus_ops port_ops = {
	.read = port_read,
	.write = port_write,
	.max_size = 4,
};

/* Gives the processor everything that a policy can offer. */
static struct x86_cpu *rich(struct x86_cpu *cpu)
{
	policy = (struct cpuid_policy){
		.physical_bits = 40,
		.xcr0 = 7,
		.pcid = true,
		.smep = true,
		.smap = true,
		.pku = true,
		.umip = true,
		.fsgsbase = true,
		.rdtscp = true,
		.nx = true,
		.page_1g = true,
		.xsaves = true,
		.rdpid = true,
		.invpcid = true,
		.xsave = true,
		.xgetbv1 = true,
	};
	cpu->cpuid = &policy;
	return cpu;
}

#define CODE(...) (const uint8_t[]){ __VA_ARGS__ }, \
		  sizeof((const uint8_t[]){ __VA_ARGS__ })

static enum x86_result run(struct x86_cpu *cpu, x86_handler *slow,
			   const uint8_t *bytes, unsigned int size)
{
	struct x86_insn insn;

	assert_int_equal(x86_decode(&insn, bytes, size, cpu->mode), size);
	return rig_run(cpu, slow, &insn);
}

#define RUN(cpu, slow, ...) run(cpu, slow, CODE(__VA_ARGS__))
#define RUNS(cpu, slow, ...) \
	assert_int_equal(RUN(cpu, slow, __VA_ARGS__), X86_NEXT)

static enum x86_result mov_cr(struct x86_cpu *cpu, unsigned int cr,
			      uint64_t v)
{
	cpu->state.gpr[X86_RAX] = v;
	if (cr == 8)
		return RUN(cpu, x86_mov_cr, 0x44, 0x0f, 0x22, 0xc0);
	return RUN(cpu, x86_mov_cr, 0x0f, 0x22, (uint8_t)(0xc0 | cr << 3));
}

static enum x86_result read_cr(struct x86_cpu *cpu, unsigned int cr)
{
	return RUN(cpu, x86_mov_cr, 0x0f, 0x20, (uint8_t)(0xc0 | cr << 3));
}

static enum x86_result mov_dr(struct x86_cpu *cpu, unsigned int dr,
			      uint64_t v)
{
	cpu->state.gpr[X86_RAX] = v;
	return RUN(cpu, x86_mov_dr, 0x0f, 0x23, (uint8_t)(0xc0 | dr << 3));
}

static void assert_gp(struct x86_cpu *cpu, enum x86_result r)
{
	assert_fault(cpu, r, X86_GP, 0);
	assert_true(cpu->fault.has_error);
}

static void assert_ud(struct x86_cpu *cpu, enum x86_result r)
{
	assert_fault(cpu, r, X86_UD, 0);
	assert_false(cpu->fault.has_error);
}

/* --- control registers ---------------------------------------------------- */

static void cr0_combinations(void **state)
{
	struct x86_cpu *cpu = rich(rig_protected(state, 0));
	uint64_t base = X86_CR0_PE | X86_CR0_ET;

	assert_int_equal(mov_cr(cpu, 0, base), X86_NEXT);
	assert_gp(cpu, mov_cr(cpu, 0, X86_CR0_PG));
	assert_gp(cpu, mov_cr(cpu, 0, base | X86_CR0_NW));
	assert_int_equal(cpu->state.cr0, base);
	assert_int_equal(mov_cr(cpu, 0, base | X86_CR0_NW | X86_CR0_CD),
			 X86_NEXT);
	/* ET stays, undefined bits go. */
	assert_int_equal(mov_cr(cpu, 0, X86_CR0_PE | 0x0ffa8000), X86_NEXT);
	assert_int_equal(cpu->state.cr0, base);
	assert_int_equal(mov_cr(cpu, 0, base | X86_CR0_TS), X86_NEXT);
	assert_true(cpu->mode & X86_MODE_FPU_OFF);
	RUNS(cpu, x86_clts, 0x0f, 0x06);
	assert_false(cpu->mode & X86_MODE_FPU_OFF);
	assert_int_equal(read_cr(cpu, 0), X86_NEXT);
	assert_int_equal(cpu->state.gpr[X86_RAX], base);
}

static void into_and_out_of_long_mode(void **state)
{
	struct x86_cpu *cpu = rich(rig_protected(state, 0));
	uint64_t base = X86_CR0_PE | X86_CR0_ET;

	cpu->state.efer = X86_EFER_LME;
	cpu->state.cr3 = RIG_TABLES;
	assert_gp(cpu, mov_cr(cpu, 0, base | X86_CR0_PG)); /* no PAE */
	assert_int_equal(cpu->state.efer, X86_EFER_LME);
	assert_int_equal(mov_cr(cpu, 4, X86_CR4_PAE), X86_NEXT);
	assert_int_equal(mov_cr(cpu, 0, base | X86_CR0_PG), X86_NEXT);
	assert_int_equal(cpu->state.efer, X86_EFER_LME | X86_EFER_LMA);
	assert_true(cpu->mode & X86_MODE_LONG);
	assert_false(cpu->mode & X86_MODE_CODE64);
	assert_gp(cpu, mov_cr(cpu, 4, 0));
	/* In 64-bit code there is no way back. */
	cpu->state.seg[X86_CS].attr |= X86_ATTR_L;
	cpu->state.seg[X86_CS].attr &= (uint16_t)~X86_ATTR_DB;
	x86_update_mode(cpu);
	assert_true(cpu->mode & X86_MODE_CODE64);
	assert_gp(cpu, mov_cr(cpu, 0, base));
	assert_gp(cpu, mov_cr(cpu, 0, base | X86_CR0_PG | 1ull << 32));
	cpu->state.seg[X86_CS].attr &= (uint16_t)~X86_ATTR_L;
	x86_update_mode(cpu);
	assert_int_equal(mov_cr(cpu, 0, base), X86_NEXT);
	assert_int_equal(cpu->state.efer, X86_EFER_LME);
	assert_false(cpu->mode & X86_MODE_LONG);
	/* A 16-bit TSS or a 64-bit CS stops the way in. */
	cpu->state.tr.attr = X86_ATTR_P | 3;
	assert_gp(cpu, mov_cr(cpu, 0, base | X86_CR0_PG));
	cpu->state.tr.attr = X86_ATTR_P | 11;
	cpu->state.seg[X86_CS].attr |= X86_ATTR_L;
	assert_gp(cpu, mov_cr(cpu, 0, base | X86_CR0_PG));
}

static void pae_pointers_are_checked(void **state)
{
	struct x86_cpu *cpu = rich(rig_protected(state, 0));

	rig_poke(cpu, RIG_TABLES, 0x3, 8);
	cpu->state.cr3 = RIG_TABLES;
	assert_int_equal(mov_cr(cpu, 4, X86_CR4_PAE), X86_NEXT);
	assert_gp(cpu, mov_cr(cpu, 0, X86_CR0_PE | X86_CR0_PG));
	assert_false(cpu->state.cr0 & X86_CR0_PG);
	rig_poke(cpu, RIG_TABLES, 0x1, 8);
	assert_int_equal(mov_cr(cpu, 0, X86_CR0_PE | X86_CR0_PG), X86_NEXT);
}

static void cr4_rules(void **state)
{
	struct x86_cpu *cpu = rich(rig_protected(state, 0));

	assert_gp(cpu, mov_cr(cpu, 4, X86_CR4_PCIDE)); /* not long */
	assert_gp(cpu, mov_cr(cpu, 4, 1u << 12));	/* LA57 */
	assert_gp(cpu, mov_cr(cpu, 4, X86_CR4_VME));
	assert_int_equal(mov_cr(cpu, 4, X86_CR4_SMEP | X86_CR4_OSFXSR),
			 X86_NEXT);
	assert_true(cpu->mode & X86_MODE_SSE);
	policy.smep = false;
	assert_gp(cpu, mov_cr(cpu, 4, X86_CR4_SMEP));

	cpu = rich(rig_long(state, 0));
	cpu->state.cr3 |= 8;
	assert_gp(cpu, mov_cr(cpu, 4, X86_CR4_PAE | X86_CR4_PCIDE));
	cpu->state.cr3 &= ~8ull;
	assert_int_equal(mov_cr(cpu, 4, X86_CR4_PAE | X86_CR4_PCIDE),
			 X86_NEXT);
	/* With PCIDE, paging cannot go. */
	cpu->state.seg[X86_CS].attr &= (uint16_t)~X86_ATTR_L;
	x86_update_mode(cpu);
	assert_gp(cpu, mov_cr(cpu, 0, X86_CR0_PE));
}

static void cr8_is_the_tpr(void **state)
{
	struct x86_cpu *cpu = rich(rig_long(state, 0));

	cpu->apic.ops = &apic_ops;
	assert_int_equal(mov_cr(cpu, 8, 9), X86_NEXT);
	assert_int_equal(tpr, 0x90);
	atomic_store(&cpu->request, 0);
	assert_int_equal(mov_cr(cpu, 8, 3), X86_NEXT);
	assert_int_equal(atomic_load(&cpu->request), X86_REQ_INTR);
	assert_gp(cpu, mov_cr(cpu, 8, 16));
	RUNS(cpu, x86_mov_cr, 0x44, 0x0f, 0x20, 0xc0);
	assert_int_equal(cpu->state.gpr[X86_RAX], 3);
	cpu->apic.ops = NULL;
}

static void control_needs_privilege(void **state)
{
	struct x86_cpu *cpu = rich(rig_protected(state, 3));

	assert_gp(cpu, read_cr(cpu, 0));
	assert_gp(cpu, mov_cr(cpu, 0, 1));
	assert_ud(cpu, mov_cr(cpu, 1, 1));
	assert_ud(cpu, mov_cr(cpu, 5, 1));
	assert_gp(cpu, mov_dr(cpu, 0, 1));
	assert_gp(cpu, RUN(cpu, x86_clts, 0x0f, 0x06));
	assert_gp(cpu, RUN(cpu, x86_invd, 0x0f, 0x09));
	assert_gp(cpu, RUN(cpu, x86_hlt, 0xf4));
	assert_gp(cpu, RUN(cpu, x86_rdmsr, 0x0f, 0x32));
	assert_gp(cpu, RUN(cpu, x86_wrmsr, 0x0f, 0x30));
	assert_gp(cpu, RUN(cpu, x86_rdpmc, 0x0f, 0x33));
	assert_gp(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01, 0x10)); /* LGDT */
	assert_gp(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01, 0x38));
	assert_gp(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01, 0xf0)); /* LMSW */
	cpu->state.cr4 |= X86_CR4_OSXSAVE;
	assert_gp(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01, 0xd1));
}

/* --- debug registers ------------------------------------------------------ */

static void debug_registers(void **state)
{
	struct x86_cpu *cpu = rich(rig_protected(state, 0));
	struct x86_state *s = &cpu->state;

	assert_int_equal(mov_dr(cpu, 0, 0x12345678), X86_NEXT);
	assert_int_equal(s->dr[0], 0x12345678);
	assert_int_equal(mov_dr(cpu, 6, 0), X86_NEXT);
	assert_int_equal(s->dr[6], 0xffff0ff0);
	assert_int_equal(mov_dr(cpu, 4, 0xffffffff), X86_NEXT);
	assert_int_equal(s->dr[6], 0xffffefff);
	assert_int_equal(mov_dr(cpu, 7, 1), X86_NEXT);
	assert_int_equal(s->dr[7], 0x401);
	assert_true(cpu->mode & X86_MODE_TRACE);
	assert_int_equal(mov_dr(cpu, 5, 0xffffdfff), X86_NEXT);
	assert_int_equal(s->dr[7], 0xffff07ff);
	s->cr4 |= X86_CR4_DE;
	assert_ud(cpu, mov_dr(cpu, 4, 0));
	/* GD: the access itself is trapped. */
	assert_int_equal(mov_dr(cpu, 7, 0x2000), X86_NEXT);
	assert_fault(cpu, mov_dr(cpu, 0, 0), X86_DB, 0);
	assert_int_equal(cpu->fault.address, 0x2000);
	assert_int_equal(s->dr[0], 0x12345678);

	cpu = rich(rig_long(state, 0));
	assert_gp(cpu, mov_dr(cpu, 7, 1ull << 32));
	assert_gp(cpu, mov_dr(cpu, 6, 1ull << 32));
	assert_int_equal(mov_dr(cpu, 3, 0xffff800000000000), X86_NEXT);
}

/* --- group 0F 01 ---------------------------------------------------------- */

static void descriptor_table_registers(void **state)
{
	struct x86_cpu *cpu = rich(rig_protected(state, 0));
	struct x86_state *s = &cpu->state;

	s->gpr[X86_RBX] = 0x8000;
	rig_poke(cpu, 0x8000, 0x12345678abcd, 6);
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0x13); /* LGDT [EBX] */
	assert_int_equal(s->gdtr.limit, 0xabcd);
	assert_int_equal(s->gdtr.base, 0x12345678);
	RUNS(cpu, x86_group_0f01, 0x66, 0x0f, 0x01, 0x1b); /* LIDT, 16-bit */
	assert_int_equal(s->idtr.base, 0x345678);
	s->gpr[X86_RBX] = 0x8100;
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0x03); /* SGDT */
	assert_int_equal(rig_peek(cpu, 0x8100, 8), 0x12345678abcd);

	cpu = rich(rig_long(state, 0));
	s->gpr[X86_RBX] = 0x8000;
	rig_poke(cpu, 0x8000, 0x5fff, 2);
	rig_poke(cpu, 0x8002, 0xffff888000001000, 8);
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0x13);
	assert_int_equal(s->gdtr.base, 0xffff888000001000);
	rig_poke(cpu, 0x8002, 0x8000000000000000, 8);
	assert_gp(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01, 0x13));
	s->gpr[X86_RBX] = 0x8100;
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0x03);
	assert_int_equal(rig_peek(cpu, 0x8102, 8), 0xffff888000001000);
}

static void machine_status_word(void **state)
{
	struct x86_cpu *cpu = rich(rig_real(state));
	struct x86_state *s = &cpu->state;

	s->gpr[X86_RAX] = 0xffff0009;
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0xf0); /* LMSW AX */
	assert_int_equal(s->cr0 & 0xf, 9);
	s->gpr[X86_RAX] = 0;
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0xf0);
	assert_int_equal(s->cr0 & 0xf, 1); /* PE stays */
	s->gpr[X86_RAX] = 0xaaaaaaaa;
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0xe0); /* SMSW AX */
	assert_int_equal(s->gpr[X86_RAX], 0xaaaa0011);
}

static void umip(void **state)
{
	struct x86_cpu *cpu = rich(rig_protected(state, 3));

	cpu->state.gpr[X86_RBX] = 0x8000;
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0x03);
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0xe0);
	cpu->state.cr4 |= X86_CR4_UMIP;
	assert_gp(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01, 0x03));
	assert_gp(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01, 0x0b));
	assert_gp(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01, 0xe0));
}

static void extended_control_register(void **state)
{
	struct x86_cpu *cpu = rich(rig_long(state, 0));
	struct x86_state *s = &cpu->state;

	s->gpr[X86_RCX] = 0;
	assert_ud(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01, 0xd0));
	s->cr4 |= X86_CR4_OSXSAVE;
	s->gpr[X86_RDX] = 0;
	for (unsigned int v = 0; v < 16; v++) {
		bool ok = v == 1 || v == 3 || v == 7;

		s->gpr[X86_RAX] = v;
		if (ok)
			RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0xd1);
		else
			assert_gp(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01,
					   0xd1));
	}
	assert_int_equal(s->xcr0, 7);
	assert_true(cpu->mode & X86_MODE_AVX);
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0xd0);
	assert_int_equal(s->gpr[X86_RAX], 7);
	s->gpr[X86_RCX] = 1; /* what is in use */
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0xd0);
	assert_int_equal(s->gpr[X86_RAX], 7);
	s->gpr[X86_RCX] = 2;
	assert_gp(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01, 0xd0));
}

static void access_flag_instructions(void **state)
{
	struct x86_cpu *cpu = rich(rig_long(state, 0));

	cpu->state.cr4 |= X86_CR4_SMAP;
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0xcb); /* STAC */
	assert_true(cpu->state.rflags & X86_FLAG_AC);
	assert_ptr_equal(cpu->tlb, &cpu->tlbs[X86_TLB_SUPER_AC]);
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0xca);
	assert_ptr_equal(cpu->tlb, &cpu->tlbs[X86_TLB_SUPER]);
	cpu = rich(rig_long(state, 3));
	assert_ud(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01, 0xcb));
}

static void key_rights(void **state)
{
	struct x86_cpu *cpu = rich(rig_long(state, 3));
	struct x86_state *s = &cpu->state;

	s->cr4 |= X86_CR4_PKE;
	s->gpr[X86_RAX] = 0x1234567880000001;
	s->gpr[X86_RCX] = s->gpr[X86_RDX] = (uint64_t)1 << 32;
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0xef); /* WRPKRU */
	assert_int_equal(x86_pkru(s), 0x80000001);
	s->gpr[X86_RAX] = 0;
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0xee); /* RDPKRU */
	assert_int_equal(s->gpr[X86_RAX], 0x80000001);
	assert_int_equal(s->gpr[X86_RDX], 0);
	s->gpr[X86_RDX] = 1;
	assert_gp(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01, 0xef));
	s->gpr[X86_RCX] = 1;
	assert_gp(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01, 0xee));
}

static void what_does_not_exist(void **state)
{
	/* MONITOR MWAIT VMLAUNCH VMRUN XEND, RDPKRU without PKE, MONITORX CLZERO ... */
	const uint8_t modrm[] = { 0xc8, 0xc9, 0xc2, 0xd8, 0xd5, 0xee, 0xfa,
				  0xfc, 0xc0, 0xff };
	struct x86_cpu *cpu = rich(rig_long(state, 0));

	for (unsigned int i = 0; i < sizeof(modrm); i++)
		assert_ud(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01,
				   modrm[i]));
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0xc1); /* VMCALL: -ENOSYS */
	assert_int_equal(cpu->state.gpr[X86_RAX], (uint64_t)-1000);
	assert_ud(cpu, RUN(cpu, x86_rdrand, 0x0f, 0xc7, 0xf0));
	cpu = rich(rig_long(state, 3));
	assert_ud(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01, 0xc1));
}

static void time_stamp(void **state)
{
	struct x86_cpu *cpu = rich(rig_protected(state, 3));
	struct x86_state *s = &cpu->state;

	s->gpr[X86_RAX] = s->gpr[X86_RDX] = UINT64_MAX;
	s->tsc_aux = 42;
	RUNS(cpu, x86_rdtsc, 0x0f, 0x31);
	assert_int_equal(s->gpr[X86_RAX] >> 32, 0);
	assert_int_equal(s->gpr[X86_RDX] >> 32, 0);
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0xf9);
	assert_int_equal(s->gpr[X86_RCX], 42);
	RUNS(cpu, x86_rdpid, 0xf3, 0x0f, 0xc7, 0xfb);
	assert_int_equal(s->gpr[X86_RBX], 42);
	s->cr4 |= X86_CR4_TSD;
	assert_gp(cpu, RUN(cpu, x86_rdtsc, 0x0f, 0x31));
	assert_gp(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01, 0xf9));
	policy.rdtscp = false;
	assert_ud(cpu, RUN(cpu, x86_group_0f01, 0x0f, 0x01, 0xf9));
}

static bool reads_at(struct x86_cpu *cpu, uint64_t linear)
{
	return x86_tlb_hit(x86_tlb_at(cpu, linear, X86_TLB_READ)->tag, linear,
			   1);
}

static void invalidations(void **state)
{
	struct x86_cpu *cpu = rich(rig_long(state, 0));
	struct x86_state *s = &cpu->state;
	uint64_t v;

	assert_int_equal(x86_read(cpu, 0x8000, &v, 8), X86_NEXT);
	assert_true(reads_at(cpu, 0x8000));
	s->gpr[X86_RBX] = 0x8000;
	RUNS(cpu, x86_group_0f01, 0x0f, 0x01, 0x3b); /* INVLPG [RBX] */
	assert_false(reads_at(cpu, 0x8000));
	/* INVPCID RAX, [RBX] */
	rig_poke(cpu, 0x8000, 0, 8);
	rig_poke(cpu, 0x8008, 0x1234, 8);
	for (s->gpr[X86_RAX] = 0; s->gpr[X86_RAX] < 4; s->gpr[X86_RAX]++)
		RUNS(cpu, x86_invpcid, 0x66, 0x0f, 0x38, 0x82, 0x03);
	assert_gp(cpu, RUN(cpu, x86_invpcid, 0x66, 0x0f, 0x38, 0x82, 0x03));
	s->gpr[X86_RAX] = 0;
	rig_poke(cpu, 0x8008, 0x8000000000000000, 8);
	assert_gp(cpu, RUN(cpu, x86_invpcid, 0x66, 0x0f, 0x38, 0x82, 0x03));
	s->gpr[X86_RAX] = 1;
	rig_poke(cpu, 0x8000, 5, 8); /* a PCID without PCIDE */
	assert_gp(cpu, RUN(cpu, x86_invpcid, 0x66, 0x0f, 0x38, 0x82, 0x03));
	s->gpr[X86_RAX] = 2;
	RUNS(cpu, x86_invpcid, 0x66, 0x0f, 0x38, 0x82, 0x03);
	rig_poke(cpu, 0x8000, 0x1000, 8);
	assert_gp(cpu, RUN(cpu, x86_invpcid, 0x66, 0x0f, 0x38, 0x82, 0x03));
}

/* --- flags ---------------------------------------------------------------- */

static void interrupt_flag(void **state)
{
	struct x86_cpu *cpu = rich(rig_protected(state, 0));
	struct x86_state *s = &cpu->state;

	RUNS(cpu, x86_sti, 0xfb);
	assert_true(s->rflags & X86_FLAG_IF);
	assert_int_equal(s->int_shadow, 1);
	s->int_shadow = 0;
	RUNS(cpu, x86_sti, 0xfb);
	assert_int_equal(s->int_shadow, 0);
	RUNS(cpu, x86_cli, 0xfa);
	assert_false(s->rflags & X86_FLAG_IF);

	cpu = rich(rig_protected(state, 3));
	assert_gp(cpu, RUN(cpu, x86_cli, 0xfa));
	assert_gp(cpu, RUN(cpu, x86_sti, 0xfb));
	s->rflags |= X86_FLAG_IOPL;
	RUNS(cpu, x86_cli, 0xfa);
	cpu = rich(rig_vm86(state, 2));
	assert_gp(cpu, RUN(cpu, x86_cli, 0xfa));
	cpu = rich(rig_vm86(state, 3));
	RUNS(cpu, x86_sti, 0xfb);
}

/* POPF of `v` where the flags were `old`. */
static uint64_t popf(struct x86_cpu *cpu, uint64_t old, uint64_t v)
{
	uint64_t sp = cpu->state.gpr[X86_RSP];
	unsigned int size = cpu->mode & X86_MODE_CODE64 ? 8 : 4;

	rig_poke(cpu, sp, v, size);
	cpu->state.rflags = old;
	RUNS(cpu, x86_popf, 0x9d);
	assert_int_equal(cpu->state.gpr[X86_RSP], sp + size);
	return cpu->state.rflags;
}

static void popf_by_privilege(void **state)
{
	const uint64_t all = 0x3f7fd5, arith = X86_FLAGS_ARITH;
	const uint64_t always = arith | X86_FLAG_TF | X86_FLAG_DF |
				X86_FLAG_NT | X86_FLAG_AC | X86_FLAG_ID | 2;
	struct x86_cpu *cpu = rich(rig_protected(state, 0));

	cpu->state.gpr[X86_RSP] = 0x8800;
	assert_int_equal(popf(cpu, 2, all),
			 always | X86_FLAG_IF | X86_FLAG_IOPL);
	assert_int_equal(popf(cpu, 2 | X86_FLAG_IOPL | X86_FLAG_IF, 0), 2);
	cpu = rich(rig_protected(state, 3));
	cpu->state.gpr[X86_RSP] = 0x8800;
	assert_int_equal(popf(cpu, 2 | X86_FLAG_IF, 0), 2 | X86_FLAG_IF);
	assert_int_equal(popf(cpu, 2, all), always);
	assert_int_equal(popf(cpu, 2 | X86_FLAG_IOPL, X86_FLAG_IF),
			 2 | X86_FLAG_IOPL | X86_FLAG_IF);
	cpu = rich(rig_long(state, 0));
	cpu->state.gpr[X86_RSP] = 0x8800;
	assert_int_equal(popf(cpu, 2, all),
			 always | X86_FLAG_IF | X86_FLAG_IOPL);
}

static void popf_of_16_bits(void **state)
{
	struct x86_cpu *cpu = rich(rig_protected(state, 0));
	struct x86_state *s = &cpu->state;

	s->gpr[X86_RSP] = 0x8800;
	rig_poke(cpu, 0x8800, 0xffff, 4);
	s->rflags = 2 | X86_FLAG_AC | X86_FLAG_ID;
	RUNS(cpu, x86_popf, 0x66, 0x9d);
	assert_int_equal(s->rflags, 0x7fd7 | X86_FLAG_AC | X86_FLAG_ID);
	assert_int_equal(s->gpr[X86_RSP], 0x8802);
}

static void pushf(void **state)
{
	struct x86_cpu *cpu = rich(rig_protected(state, 0));

	cpu->state.gpr[X86_RSP] = 0x8800;
	cpu->state.rflags |= X86_FLAG_RF | X86_FLAG_AC | X86_FLAG_CF;
	RUNS(cpu, x86_pushf, 0x9c);
	assert_int_equal(rig_peek(cpu, 0x87fc, 4), 0x40003);
	cpu = rich(rig_vm86(state, 0));
	assert_gp(cpu, RUN(cpu, x86_pushf, 0x9c));
	assert_gp(cpu, RUN(cpu, x86_popf, 0x9d));
	cpu = rich(rig_vm86(state, 3));
	RUNS(cpu, x86_pushf, 0x9c);
}

static void halt(void **state)
{
	struct x86_cpu *cpu = rich(rig_protected(state, 0));

	assert_int_equal(RUN(cpu, x86_hlt, 0xf4), X86_STOP);
	assert_int_equal(cpu->state.activity, X86_HALTED);
	assert_int_equal(cpu->state.rip, RIG_CODE + 1);
}

/* --- ports ---------------------------------------------------------------- */

static void with_port(struct x86_cpu *cpu)
{
	assert_int_equal(bus_add(&cpu->vm->pio, 0, 0x10000, "port",
				 &port_ops, cpu), 0);
}

static void port_sizes(void **state)
{
	struct x86_cpu *cpu = rich(rig_long(state, 0));
	uint64_t *rax = &cpu->state.gpr[X86_RAX];

	with_port(cpu);
	cpu->state.gpr[X86_RDX] = 0x1234;
	*rax = UINT64_MAX;
	RUNS(cpu, x86_in, 0xec);
	assert_int_equal(*rax, 0xffffffffffffff11);
	assert_int_equal(port_at, 0x1234);
	RUNS(cpu, x86_in, 0x66, 0xed);
	assert_int_equal(*rax, 0xffffffffffff2211);
	RUNS(cpu, x86_in, 0xe5, 0x80);
	assert_int_equal(*rax, 0x44332211);
	assert_int_equal(port_at, 0x80);
	*rax = 0x55667788;
	RUNS(cpu, x86_out, 0xe6, 0xf0);
	assert_int_equal(port_value, 0x88);
	assert_int_equal(port_at, 0xf0);
	RUNS(cpu, x86_out, 0xef);
	assert_int_equal(port_value, 0x55667788);
	assert_int_equal(port_size, 4);
	assert_int_equal(cpu->stat_pio, 5);
	/* A device that ends the run is heeded at once. */
	atomic_store(&cpu->vm->request, VM_RESET);
	assert_int_equal(RUN(cpu, x86_out, 0xee), X86_STOP);
	atomic_store(&cpu->vm->request, VM_RUN);
}

static void permission_bitmap(void **state)
{
	struct x86_cpu *cpu = rich(rig_protected(state, 3));
	struct x86_state *s = &cpu->state;

	with_port(cpu);
	s->gpr[X86_RDX] = 0x45;
	rig_poke(cpu, RIG_TSS + 102, 0x68, 2);
	rig_poke(cpu, RIG_TSS + 0x68 + 8, 0x10, 1); /* port 0x44 denied */
	RUNS(cpu, x86_in, 0xec);
	s->gpr[X86_RDX] = 0x44;
	assert_gp(cpu, RUN(cpu, x86_in, 0xec));
	s->gpr[X86_RDX] = 0x43; /* a word that touches it */
	assert_gp(cpu, RUN(cpu, x86_in, 0x66, 0xed));
	RUNS(cpu, x86_in, 0xec);
	/* Across a byte of the bitmap. */
	rig_poke(cpu, RIG_TSS + 0x68 + 8, 0, 1);
	rig_poke(cpu, RIG_TSS + 0x68 + 9, 1, 1); /* port 0x48 denied */
	s->gpr[X86_RDX] = 0x45;
	assert_gp(cpu, RUN(cpu, x86_in, 0xed));
	/* Beyond the limit. */
	s->tr.limit = 0x68 + 8;
	s->gpr[X86_RDX] = 0x40;
	assert_gp(cpu, RUN(cpu, x86_in, 0xec));
	s->tr.limit = 0x67 - 1;
	assert_gp(cpu, RUN(cpu, x86_in, 0xec));
	/* IOPL opens all ports, but not to virtual-8086 code. */
	s->rflags |= X86_FLAG_IOPL;
	RUNS(cpu, x86_in, 0xec);
	s->rflags |= X86_FLAG_VM;
	x86_update_mode(cpu);
	assert_gp(cpu, RUN(cpu, x86_in, 0xec));
}

static void port_strings(void **state)
{
	struct x86_cpu *cpu = rich(rig_protected(state, 0));
	struct x86_state *s = &cpu->state;

	with_port(cpu);
	s->gpr[X86_RDX] = 0x60;
	s->gpr[X86_RCX] = 2;
	s->gpr[X86_RDI] = 0x8000;
	RUNS(cpu, x86_ins, 0xf3, 0x6d); /* REP INSD */
	assert_int_equal(s->rip, RIG_CODE);
	assert_int_equal(s->gpr[X86_RCX], 1);
	assert_int_equal(s->gpr[X86_RDI], 0x8004);
	assert_int_equal(rig_peek(cpu, 0x8000, 4), 0x44332211);
	RUNS(cpu, x86_ins, 0xf3, 0x6d);
	assert_int_equal(s->rip, RIG_CODE + 2);
	assert_int_equal(s->gpr[X86_RCX], 0);
	s->rip = RIG_CODE;
	RUNS(cpu, x86_ins, 0xf3, 0x6d);
	assert_int_equal(s->gpr[X86_RDI], 0x8008);
	/* OUTSW downwards, with a segment override. */
	s->rflags |= X86_FLAG_DF;
	s->seg[X86_FS].base = 0x100;
	s->gpr[X86_RSI] = 0x8000;
	rig_poke(cpu, 0x8100, 0xbeef, 2);
	RUNS(cpu, x86_outs, 0x64, 0x66, 0x6f);
	assert_int_equal(port_value, 0xbeef);
	assert_int_equal(s->gpr[X86_RSI], 0x7ffe);
}

static void port_string_faults_read_nothing(void **state)
{
	struct x86_cpu *cpu = rich(rig_long(state, 0));

	with_port(cpu);
	port_at = 0;
	cpu->state.gpr[X86_RDX] = 0x60;
	cpu->state.gpr[X86_RDI] = 0x300000; /* not mapped */
	assert_fault(cpu, RUN(cpu, x86_ins, 0x6c), X86_PF, X86_PF_W);
	assert_int_equal(port_at, 0);
}

static void port_breakpoints(void **state)
{
	struct x86_cpu *cpu = rich(rig_long(state, 0));
	struct x86_state *s = &cpu->state;

	with_port(cpu);
	s->dr[2] = 0x60;
	s->dr[7] = 0x400 | 1 << 4 | 2 << 24; /* DR2: I/O, one byte */
	s->gpr[X86_RDX] = 0x5f;
	RUNS(cpu, x86_out, 0xef);
	assert_int_equal(cpu->debug_hits, 0); /* CR4.DE is clear */
	s->cr4 |= X86_CR4_DE;
	RUNS(cpu, x86_out, 0xef);
	assert_int_equal(cpu->debug_hits, 4);
	cpu->debug_hits = 0;
	RUNS(cpu, x86_out, 0xee);
	assert_int_equal(cpu->debug_hits, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

/* PAUSE again and again lets others run, when there are others. */
static void pauses_yield(void **state)
{
	struct x86_cpu *cpu = rig_long(state, 3);

	for (unsigned int cpus = 1; cpus <= 2; cpus++) {
		cpu->vm->cpu_count = cpus;
		fake_host_reset();
		for (unsigned int i = 0; i < 1000; i++) {
			cpu->state.rip = RIG_CODE;
			rig_poke(cpu, RIG_CODE, 0x90f3, 2);
			assert_int_equal(x86_step(cpu), X86_BRANCH);
			assert_int_equal(cpu->state.rip, RIG_CODE + 2);
		}
		if (cpus == 1)
			assert_int_equal(fake_yields(), 0);
		else
			assert_in_range(fake_yields(), 1, 100);
	}
	cpu->vm->cpu_count = 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(cr0_combinations),
		TEST(into_and_out_of_long_mode),
		TEST(pae_pointers_are_checked),
		TEST(cr4_rules),
		TEST(cr8_is_the_tpr),
		TEST(control_needs_privilege),
		TEST(debug_registers),
		TEST(descriptor_table_registers),
		TEST(machine_status_word),
		TEST(umip),
		TEST(extended_control_register),
		TEST(access_flag_instructions),
		TEST(key_rights),
		TEST(what_does_not_exist),
		TEST(time_stamp),
		TEST(invalidations),
		TEST(interrupt_flag),
		TEST(popf_by_privilege),
		TEST(popf_of_16_bits),
		TEST(pushf),
		TEST(halt),
		TEST(pauses_yield),
		TEST(port_sizes),
		TEST(permission_bitmap),
		TEST(port_strings),
		TEST(port_string_faults_read_nothing),
		TEST(port_breakpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
