/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A debugger on the KVM engine, over the host's own /dev/kvm, whatever that
 * is: breakpoints, steps, watched data, and what stays the guest's.
 */
#include "test.h"

#include <errno.h>
#include <string.h>

#include "engine/kvm/kvm.h"
#include "kvm_machine.h"
#include "x86/reg.h"

enum label { COUNTS, STORES, OUTS, PUSHES, LABELS };

static struct x86_debug debug; /* what is waited for */
static struct kvm_machine machine;
static uint64_t label[LABELS];
static bool emulated; /* a KVM without hardware */

static void open_guest(const struct kvm_guest *guest)
{
	machine_build(&machine, &engine_kvm, guest);
	memset(&debug, 0, sizeof(debug));
}

/* guest_steps, somewhere in its loop. */
static int open_steps(void **state)
{
	open_guest(&guest_steps);
	machine_run(&machine, GUEST_COUNT, 1);
	for (unsigned int i = 0; i < LABELS; i++)
		label[i] = machine_word(&machine, GUEST_RESULT + 8 * i);
	return engine_kvm.get_state(machine.cpu);
}

static int open_traps(void **state)
{
	open_guest(&guest_traps);
	return 0;
}

static int close_guest(void **state)
{
	machine_destroy(&machine);
	return 0;
}

static void add_break(uint64_t at, bool mark)
{
	debug.at[debug.breaks++] = (struct x86_break){
		.linear = at,
		.memory = gpa(at),
		.mark = mark,
	};
}

static void add_watch(uint64_t at, uint64_t size, bool read, bool write)
{
	debug.watch[debug.watches++] = (struct x86_watch){ at, size, read,
							   write };
}

static int check(void)
{
	char why[120] = "";
	int err = engine_kvm.debug_check(machine.cpu, &debug, why,
					 sizeof(why));

	assert_int_equal(!err, !why[0]);
	return err;
}

/* Runs until the debugger is told; RIP and RBX are current then. */
static void go(bool step, enum engine_stop why)
{
	engine_kvm.debug(machine.cpu, &debug, step);
	engine_kvm.run(machine.cpu, &machine.exit);
	assert_int_equal(machine.exit.reason, ENGINE_DEBUG);
	assert_int_equal(machine.exit.stop, why);
	assert_int_equal(engine_kvm.get_state(machine.cpu), 0);
}

static uint64_t rip(void)
{
	return machine.cpu->state.rip;
}

static uint64_t rbx(void)
{
	return machine.cpu->state.gpr[X86_RBX];
}

static void go_to_break(uint64_t at)
{
	go(false, ENGINE_STOP_BREAK);
	assert_int_equal(rip(), at);
	assert_int_equal(machine.exit.address, at);
}

/* Bochs traps too early at each fault of nested paging. */
static void step(void)
{
	uint64_t before = rip();

	for (unsigned int i = 0; i < 5 && rip() == before; i++)
		go(true, ENGINE_STOP_STEP);
	assert_int_not_equal(rip(), before);
}

static void step_to(uint64_t at)
{
	step();
	assert_int_equal(rip(), at);
}

/* Round the loop. */
static void step_until(uint64_t at)
{
	for (unsigned int i = 0; i < 10 && rip() != at; i++)
		step();
	assert_int_equal(rip(), at);
}

/* Emulations of KVM lack one or the other. */
static void need_check(void)
{
	int err = check();

	if (err == -ENOTSUP)
		skip();
	assert_int_equal(err, 0);
}

/* At a breakpoint again and again, and over it. */
static void breaks(bool mark)
{
	uint64_t before, code;

	add_break(label[STORES], mark);
	need_check();
	code = machine_word(&machine, label[STORES]);
	for (unsigned int i = 0; i < 3; i++) {
		go_to_break(label[STORES]);
		assert_int_equal(machine_word(&machine, label[STORES]), code);
		before = rbx();
		go_to_break(label[STORES]);
		assert_int_equal(rbx(), before);
		assert_int_equal(machine_word(&machine, GUEST_COUNT),
				 before - 1);
		step_to(label[OUTS]);
		assert_int_equal(machine_word(&machine, GUEST_COUNT), before);
		go_to_break(label[STORES]);
		assert_int_equal(rbx(), before + 1);
		/* The state may be put back meanwhile. */
		assert_int_equal(engine_kvm.put_state(machine.cpu), 0);
		step_to(label[OUTS]);
	}
	engine_kvm.debug(machine.cpu, NULL, false);
	machine_run(&machine, GUEST_COUNT,
		    machine_word(&machine, GUEST_COUNT) + 10);
	assert_int_equal(machine_word(&machine, label[STORES]), code);
}

static void marked_code_stops(void **state)
{
	breaks(true);
}

static void debug_registers_stop(void **state)
{
	breaks(false);
}

static void many_marks_are_possible(void **state)
{
	for (unsigned int i = 0; i < X86_BREAKS_MAX - 2; i++)
		add_break(label[PUSHES] + 100 + i, true);
	add_break(label[PUSHES], true);
	add_break(label[PUSHES], true); /* one byte, twice */
	if (check() == -ENOSPC) /* none of them is a mark here */
		skip();
	go_to_break(label[PUSHES]);
	debug.breaks = 0;
	go(true, ENGINE_STOP_STEP);
	assert_int_not_equal(machine_word(&machine, label[PUSHES]) & 0xff,
			     0xcc);
}

static void steps_are_single(void **state)
{
	step_until(label[COUNTS]);
	for (unsigned int i = 0; i < 3; i++) {
		step_to(label[STORES]);
		step_to(label[OUTS]);
		step_to(label[PUSHES]);
		step_to(label[PUSHES] + 1);
		step_to(label[PUSHES] + 2);
		assert_int_equal(machine.cpu->state.gpr[X86_RCX] & X86_FLAG_TF,
				 0);
		assert_int_equal(machine.cpu->state.rflags & X86_FLAG_TF, 0);
		step_to(label[COUNTS]);
	}
}

/* A kick in the middle of a step does not make it two. */
static void kicks_do_not_disturb_steps(void **state)
{
	step_until(label[OUTS]);
	engine_kvm.debug(machine.cpu, &debug, true);
	engine_kvm.kick(machine.cpu);
	engine_kvm.run(machine.cpu, &machine.exit);
	assert_int_equal(machine.exit.reason, ENGINE_KICKED);
	engine_kvm.run(machine.cpu, &machine.exit);
	assert_int_equal(machine.exit.reason, ENGINE_DEBUG);
	assert_int_equal(engine_kvm.get_state(machine.cpu), 0);
	assert_int_equal(rip(), label[PUSHES]);
}

static void watched_data_stops(void **state)
{
	add_watch(GUEST_COUNT, 8, false, true);
	need_check();
	for (unsigned int i = 0; i < 3; i++) {
		go(false, ENGINE_STOP_WATCH);
		assert_int_equal(rip(), label[OUTS]);
		assert_int_equal(machine.exit.address, GUEST_COUNT);
		assert_int_equal(machine_word(&machine, GUEST_COUNT), rbx());
	}
	debug.watches = 0;
	step_until(label[STORES]);
	/* A step that touches it is told as that. */
	add_watch(GUEST_COUNT - 6, 8, true, true);
	assert_int_equal(check(), 0);
	go(true, ENGINE_STOP_WATCH);
	assert_int_equal(machine.exit.address, GUEST_COUNT - 6);
}

static void registers_run_out(void **state)
{
	for (unsigned int i = 0; i < KVM_SLOTS; i++)
		add_break(label[PUSHES] + 100 + i, false);
	need_check();
	add_break(label[PUSHES] + 300, false);
	assert_int_equal(check(), -ENOSPC);
	debug.breaks = 0;
	add_watch(GUEST_COUNT, 4 * 8, false, true);
	need_check();
	debug.watches = 0;
	/* 1, 2, 4, 8 and 1 */
	add_watch(GUEST_COUNT + 1, 16, false, true);
	assert_int_equal(check(), -ENOSPC);
}

/* INT3 and TF of the guest's own, while the debugger uses both. */
static void exceptions_are_the_guests(void **state)
{
	uint64_t count, one = 1;

	if (emulated) /* whose single steps are not the manuals' */
		memory_write(&machine.vm->memory, gpa(GUEST_DONE), &one, 8);
	add_break(GUEST_RESULT + 0x100, true);
	add_break(GUEST_RESULT + 0x200, false);
	need_check();
	engine_kvm.debug(machine.cpu, &debug, false);
	machine_run(&machine, GUEST_COUNT, 100);
	count = machine_word(&machine, GUEST_COUNT);
	assert_in_range(machine_word(&machine, GUEST_BREAKS), count,
			count + 1);
	if (emulated)
		return;
	assert_in_range(machine_word(&machine, GUEST_TRAPS), count, count + 1);
	assert_int_equal(machine_word(&machine, GUEST_DR6), 0xffff4ff0);
}

/* Steps through the guest's own exceptions, each instruction by itself. */
static void steps_enter_handlers(void **state)
{
	if (emulated)
		skip();
	for (unsigned int i = 0; i < 200; i++)
		step();
	assert_in_range(machine_word(&machine, GUEST_COUNT), 3, 20);
	assert_in_range(machine_word(&machine, GUEST_TRAPS), 3, 20);
	assert_int_equal(machine_word(&machine, GUEST_DR6), 0xffff4ff0);
}

int main(void)
{
#define STEPS(name) cmocka_unit_test_setup_teardown(name, open_steps, \
						    close_guest)
#define TRAPS(name) cmocka_unit_test_setup_teardown(name, open_traps, \
						    close_guest)
	const struct CMUnitTest tests[] = {
		STEPS(marked_code_stops),
		STEPS(debug_registers_stop),
		STEPS(many_marks_are_possible),
		STEPS(steps_are_single),
		STEPS(kicks_do_not_disturb_steps),
		STEPS(watched_data_stops),
		STEPS(registers_run_out),
		TRAPS(exceptions_are_the_guests),
		TRAPS(steps_enter_handlers),
	};
	char why[200];

	if (!machine_has_kvm())
		return 0;
	emulated = engine_kvm.probe(why, sizeof(why)) > 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
