/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM's device list and requests.
 */
#include "vm/vm.h"

#include <string.h>

#include "fake/host.h"
#include "fake/test.h"
#include "vm/error.h"

static struct vm vm;
static char heard[64];

static void put(char c)
{
	heard[strlen(heard)] = c;
}

static void reset(void *device)
{
	put(*(char *)device);
}

static void fini(void *device)
{
	put((char)(*(char *)device - 'a' + 'A'));
}

static void part(void *device)
{
	put((char)(*(char *)device - 'a' + '1'));
}

static const struct device_class ab = {
	.name = "ab",
	.reset = reset,
	.fini = fini,
};
static const struct device_class parting = {
	.name = "parting",
	.part = part,
	.fini = fini,
};
static const struct device_class quiet = { .name = "quiet" };

static int setup(void **state)
{
	fake_host_reset();
	memset(heard, 0, sizeof(heard));
	vm_init(&vm, "test");
	return 0;
}

static void goes_through_devices(void **state)
{
	char a = 'a', b = 'b';

	assert_int_equal(memory_init(&vm.memory, 1 << 20, 0), 0);
	assert_int_equal(vm_add_device(&vm, &ab, &a), 0);
	assert_int_equal(vm_add_device(&vm, &quiet, NULL), 0);
	assert_int_equal(vm_add_device(&vm, &ab, &b), 0);
	assert_int_equal(vm.device[0].instance, 0);
	assert_int_equal(vm.device[1].instance, 0);
	assert_int_equal(vm.device[2].instance, 1);
	vm_reset_devices(&vm);
	vm_fini(&vm);
	assert_string_equal(heard, "abBA");
	assert_int_equal(fake_live(), 0);
}

/* Parts end last first, others stay, numbers are used again. */
static void units_come_and_go(void **state)
{
	char a = 'a', b = 'b', c = 'c', d = 'd';
	unsigned int first, second;

	assert_int_equal(vm_add_device(&vm, &ab, &a), 0);
	first = vm_begin_unit(&vm);
	assert_int_equal(vm_add_device(&vm, &ab, &b), 0);
	assert_int_equal(vm_add_device(&vm, &quiet, NULL), 0);
	vm_end_unit(&vm);
	second = vm_begin_unit(&vm);
	assert_int_not_equal(first, second);
	assert_int_equal(vm_add_device(&vm, &ab, &c), 0);
	vm_end_unit(&vm);
	assert_int_equal(vm.device[3].instance, 2);
	vm_remove_unit(&vm, first);
	assert_string_equal(heard, "B");
	assert_int_equal(vm.device_count, 2);
	vm_begin_unit(&vm);
	assert_int_equal(vm_add_device(&vm, &ab, &d), 0);
	vm_end_unit(&vm);
	assert_int_equal(vm.device[2].instance, 1);
	vm_remove_unit(&vm, second);
	vm_remove_unit(&vm, second);
	vm_reset_devices(&vm);
	assert_string_equal(heard, "BCad");
	vm_fini(&vm);
	assert_string_equal(heard, "BCadDA");
}

/* All are left by the host's threads before the first one goes. */
static void all_part_first(void **state)
{
	char a = 'a', b = 'b', c = 'c', d = 'd';
	unsigned int unit;

	assert_int_equal(vm_add_device(&vm, &parting, &a), 0);
	unit = vm_begin_unit(&vm);
	assert_int_equal(vm_add_device(&vm, &parting, &b), 0);
	assert_int_equal(vm_add_device(&vm, &parting, &c), 0);
	vm_end_unit(&vm);
	assert_int_equal(vm_add_device(&vm, &parting, &d), 0);
	vm_remove_unit(&vm, unit);
	assert_string_equal(heard, "23CB");
	vm_fini(&vm);
	assert_string_equal(heard, "23CB14DA");
}

static void refuses_too_many(void **state)
{
	unsigned int i;

	for (i = 0; i < VM_DEVICES_MAX; i++)
		assert_int_equal(vm_add_device(&vm, &quiet, NULL), 0);
	assert_int_equal(vm_add_device(&vm, &quiet, NULL), -VM_ENOSPC);
	vm_fini(&vm); /* without memory, too */
}

static void asked(void *ctx, enum vm_request request)
{
	put((char)('0' + request));
}

static void keeps_the_first_request(void **state)
{
	vm_ask(&vm, VM_STOP);
	assert_int_equal(vm.request, VM_STOP);
	vm.request = VM_RUN;
	vm.asked = asked;
	vm_ask(&vm, VM_RESET);
	vm_ask(&vm, VM_POWER_OFF);
	vm_ask(&vm, VM_RESET);
	assert_int_equal(vm.request, VM_RESET);
	assert_string_equal(heard, "22");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(goes_through_devices, setup),
		cmocka_unit_test_setup(units_come_and_go, setup),
		cmocka_unit_test_setup(all_part_first, setup),
		cmocka_unit_test_setup(refuses_too_many, setup),
		cmocka_unit_test_setup(keeps_the_first_request, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
