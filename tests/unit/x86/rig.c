/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test bench of rig.h: descriptor tables, page tables, modes.
 */
#include "rig.h"

#define CODE (X86_ATTR_P | X86_ATTR_S | X86_TYPE_CODE | X86_TYPE_WRITE)
#define DATA (X86_ATTR_P | X86_ATTR_S | X86_TYPE_WRITE)
#define A    X86_TYPE_ACCESSED
#define BIG  (X86_ATTR_G | X86_ATTR_DB)
#define DPL(n) ((n) << X86_ATTR_DPL_SHIFT)

static struct cpuid_policy policy;

uint64_t rig_peek(struct x86_cpu *cpu, uint64_t at, unsigned int size)
{
	uint64_t v = 0;

	assert_int_equal(memory_read(&cpu->vm->memory, gpa(at), &v, size), 0);
	return v;
}

void rig_poke(struct x86_cpu *cpu, uint64_t at, uint64_t v, unsigned int size)
{
	assert_int_equal(memory_write(&cpu->vm->memory, gpa(at), &v, size), 0);
}

uint64_t rig_descriptor(uint32_t base, uint32_t limit, unsigned int attr)
{
	if (attr & X86_ATTR_G)
		limit >>= 12;
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
	       (uint64_t)(attr & 0xff) << 40 |
	       (uint64_t)(limit >> 16 & 0xf) << 48 |
	       (uint64_t)(attr >> 8 & 0xf) << 52 | (uint64_t)(base >> 24) << 56;
}

void rig_set_gdt(struct x86_cpu *cpu, unsigned int selector, uint64_t desc)
{
	rig_poke(cpu, RIG_GDT + (selector & ~7u), desc, 8);
}

void rig_gate(struct x86_cpu *cpu, uint64_t at, unsigned int type,
	      unsigned int dpl, uint16_t selector, uint64_t offset,
	      unsigned int extra)
{
	uint64_t low = (offset & 0xffff) | (uint64_t)selector << 16 |
		       (uint64_t)extra << 32 |
		       (uint64_t)(type | dpl << 5 | 0x80) << 40 |
		       (offset >> 16 & 0xffff) << 48;

	rig_poke(cpu, at, low, 8);
	if (cpu->mode & X86_MODE_LONG)
		rig_poke(cpu, at + 8, offset >> 32, 8);
}

void rig_idt(struct x86_cpu *cpu, unsigned int vector, unsigned int type,
	     unsigned int dpl, uint16_t selector, uint64_t offset,
	     unsigned int ist)
{
	unsigned int size = cpu->mode & X86_MODE_LONG ? 16 : 8;

	rig_gate(cpu, RIG_IDT + vector * size, type, dpl, selector, offset,
		 ist);
}

static void build_gdt(struct x86_cpu *cpu)
{
	static const struct {
		uint8_t selector;
		uint32_t base, limit;
		unsigned int attr;
	} entry[] = {
		{ RIG_CODE32, 0, UINT32_MAX, CODE | BIG },
		{ RIG_DATA32, 0, UINT32_MAX, DATA | BIG },
		{ RIG_USER_CODE32, 0, UINT32_MAX, CODE | BIG | DPL(3) },
		{ RIG_USER_DATA32, 0, UINT32_MAX, DATA | BIG | DPL(3) },
		{ RIG_CODE16, 0, 0xffff, CODE },
		{ RIG_DATA16, 0, 0xffff, DATA },
		{ RIG_CONFORMING, 0, UINT32_MAX, CODE | BIG | X86_TYPE_EXPAND },
		{ RIG_CODE1, 0, UINT32_MAX, CODE | BIG | DPL(1) },
		{ RIG_DATA1, 0, UINT32_MAX, DATA | BIG | DPL(1) },
		{ RIG_CODE64, 0, UINT32_MAX, CODE | X86_ATTR_L | X86_ATTR_G },
		{ RIG_USER_CODE64, 0, UINT32_MAX,
		  CODE | X86_ATTR_L | X86_ATTR_G | DPL(3) },
		{ RIG_TSS_SEL, RIG_TSS, 0x1ff, X86_ATTR_P | X86_SYS_TSS32 },
		{ RIG_TSS2_SEL, RIG_TSS2, 0x1ff, X86_ATTR_P | X86_SYS_TSS32 },
		{ RIG_LDT_SEL, RIG_LDT, 0xff, X86_ATTR_P | X86_SYS_LDT },
		{ RIG_ABSENT, 0, 0xffff, DATA & ~X86_ATTR_P },
		{ RIG_DOWN, 0, 0xfff, DATA | X86_ATTR_DB | X86_TYPE_EXPAND },
		{ RIG_EXEC_ONLY, 0, 0xffff, CODE & ~X86_TYPE_WRITE },
		{ RIG_READ_ONLY, 0, 0xffff, DATA & ~X86_TYPE_WRITE },
	};

	for (unsigned int i = 0; i < sizeof(entry) / sizeof(entry[0]); i++)
		rig_set_gdt(cpu, entry[i].selector,
			    rig_descriptor(entry[i].base, entry[i].limit,
					   entry[i].attr));
}

int rig_setup(void **state)
{
	static struct rig rig;

	fake_host_reset();
	memset(&rig, 0, sizeof(rig));
	vm_init(&rig.vm, "rig");
	if (memory_init(&rig.vm.memory, RIG_RAM, 0) ||
	    memory_add(&rig.vm.memory, MEMORY_RAM, gpa(0), RIG_RAM, "ram"))
		return -1;
	policy.physical_bits = 40;
	rig.cpu = x86_cpu_create(&rig.vm, 0, &policy);
	rig.vm.cpu[0] = rig.cpu;
	*state = &rig;
	return rig.cpu ? 0 : -1;
}

int rig_teardown(void **state)
{
	struct rig *rig = *state;

	x86_cpu_destroy(rig->cpu);
	vm_fini(&rig->vm);
	return fake_live() ? -1 : 0;
}

static struct x86_segment segment(struct x86_cpu *cpu, uint16_t selector)
{
	struct x86_descriptor desc = {
		.low = rig_peek(cpu, RIG_GDT + (selector & ~7u), 8),
	};
	struct x86_segment s;

	x86_unpack_descriptor(&desc, selector, &s);
	s.attr |= s.attr & X86_ATTR_S ? A : 0;
	return s;
}

static void load_all(struct x86_cpu *cpu, uint16_t cs, uint16_t data)
{
	for (unsigned int i = 0; i <= X86_GS; i++)
		cpu->state.seg[i] = segment(cpu, i == X86_CS ? cs : data);
}

static struct x86_cpu *start(void **state)
{
	struct x86_cpu *cpu = ((struct rig *)*state)->cpu;

	for (unsigned int at = 0; at < 0x20000; at += 8)
		rig_poke(cpu, at, 0, 8);
	x86_cpu_reset(cpu);
	atomic_store(&cpu->request, 0);
	cpu->state.rip = RIG_CODE;
	cpu->state.gpr[X86_RSP] = RIG_STACK0;
	return cpu;
}

struct x86_cpu *rig_real(void **state)
{
	struct x86_cpu *cpu = start(state);

	x86_load_real_segment(cpu, X86_CS, 0);
	cpu->state.idtr.limit = 0x3ff;
	x86_cpu_state_changed(cpu);
	return cpu;
}

/* Protected mode at CPL 0, with a TSS; update is the caller's. */
static struct x86_cpu *start_protected(void **state)
{
	struct x86_cpu *cpu = start(state);
	struct x86_state *s = &cpu->state;

	build_gdt(cpu);
	s->gdtr = (struct x86_table){ RIG_GDT, RIG_GDT_END - 1 };
	s->idtr = (struct x86_table){ RIG_IDT, 0x7ff };
	s->cr0 |= X86_CR0_PE;
	x86_null_segment(&s->ldtr, 0);
	s->tr = segment(cpu, RIG_TSS_SEL);
	s->tr.attr |= X86_TSS_BUSY;
	rig_poke(cpu, RIG_GDT + RIG_TSS_SEL + 5,
		 X86_ATTR_P | X86_SYS_TSS32_BUSY, 1);
	rig_poke(cpu, RIG_TSS + 4, RIG_STACK0, 4);
	rig_poke(cpu, RIG_TSS + 8, RIG_DATA32, 4);
	rig_poke(cpu, RIG_TSS + 12, RIG_STACK1, 4);
	rig_poke(cpu, RIG_TSS + 16, RIG_DATA1 | 1, 4);
	return cpu;
}

static void set_privilege(struct x86_cpu *cpu, unsigned int cpl)
{
	if (cpl == 3) {
		load_all(cpu, RIG_USER_CODE32 | 3, RIG_USER_DATA32 | 3);
		cpu->state.gpr[X86_RSP] = RIG_STACK3;
	} else if (cpl == 1) {
		load_all(cpu, RIG_CODE1 | 1, RIG_DATA1 | 1);
		cpu->state.gpr[X86_RSP] = RIG_STACK1;
	} else {
		load_all(cpu, RIG_CODE32, RIG_DATA32);
	}
}

struct x86_cpu *rig_protected(void **state, unsigned int cpl)
{
	struct x86_cpu *cpu = start_protected(state);

	set_privilege(cpu, cpl);
	x86_cpu_state_changed(cpu);
	return cpu;
}

struct x86_cpu *rig_vm86(void **state, unsigned int iopl)
{
	struct x86_cpu *cpu = start_protected(state);

	cpu->state.rflags |= X86_FLAG_VM | iopl << 12;
	for (unsigned int i = 0; i <= X86_GS; i++)
		x86_load_real_segment(cpu, i, (uint16_t)(0x100 + i));
	cpu->state.rip = 0x100;
	cpu->state.gpr[X86_RSP] = 0x800;
	x86_cpu_state_changed(cpu);
	return cpu;
}

static struct x86_cpu *start_long(void **state)
{
	struct x86_cpu *cpu = start_protected(state);
	struct x86_state *s = &cpu->state;

	rig_poke(cpu, RIG_TABLES, (RIG_TABLES + 0x1000) | 7, 8);
	rig_poke(cpu, RIG_TABLES + 0x1000, (RIG_TABLES + 0x2000) | 7, 8);
	rig_poke(cpu, RIG_TABLES + 0x2000, 0x87, 8); /* 2 MiB, user */
	s->cr3 = RIG_TABLES;
	s->cr4 = X86_CR4_PAE;
	s->cr0 |= X86_CR0_PG | X86_CR0_WP;
	s->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE;
	s->idtr.limit = 0xfff;
	rig_poke(cpu, RIG_TSS + 4, RIG_STACK0, 8);
	rig_poke(cpu, RIG_TSS + 12, RIG_STACK1, 8);
	rig_poke(cpu, RIG_TSS + 0x24, RIG_IST1, 8);
	return cpu;
}

struct x86_cpu *rig_compat(void **state, unsigned int cpl)
{
	struct x86_cpu *cpu = start_long(state);

	set_privilege(cpu, cpl);
	x86_cpu_state_changed(cpu);
	return cpu;
}

struct x86_cpu *rig_long(void **state, unsigned int cpl)
{
	struct x86_cpu *cpu = start_long(state);

	set_privilege(cpu, cpl);
	cpu->state.seg[X86_CS] = segment(
		cpu, cpl == 3 ? RIG_USER_CODE64 | 3 : RIG_CODE64);
	x86_cpu_state_changed(cpu);
	return cpu;
}

enum x86_result rig_run(struct x86_cpu *cpu, x86_handler *slow,
			const struct x86_insn *insn)
{
	enum x86_result r;

	cpu->block_rip = cpu->state.rip;
	cpu->next_rip = cpu->state.rip + insn->length;
	r = slow(cpu, insn);
	if (r != X86_FAULT) {
		cpu->state.rip = cpu->next_rip;
		x86_update_mode(cpu);
	}
	return r;
}
