/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Test device; see testdev.h. Everything is reachable in every size.
 */
#include "chip/testdev.h"

#include "vm/bytes.h"
#include "vm/error.h"

static void testdev_write_exit(void *device, uint64_t offset,
			       unsigned int size, uint64_t value)
{
	struct testdev *testdev = device;

	if (offset || testdev->vm->request != VM_RUN)
		return;
	atomic_store(&testdev->vm->exit_code, (uint32_t)value << 1 | 1);
	vm_ask(testdev->vm, VM_POWER_OFF);
}

static uint64_t testdev_read_scratch(void *device, uint64_t offset,
				     unsigned int size)
{
	const struct testdev *testdev = device;
	uint64_t value = 0;

	memcpy(&value, testdev->scratch + offset, size);
	return value;
}

static void testdev_write_scratch(void *device, uint64_t offset,
				  unsigned int size, uint64_t value)
{
	struct testdev *testdev = device;

	memcpy(testdev->scratch + offset, &value, size);
}

static uint64_t testdev_read_memory(void *device, uint64_t offset,
				    unsigned int size)
{
	const struct testdev *testdev = device;
	uint64_t value = 0;

	memcpy(&value, testdev->memory + offset, size);
	return value;
}

static void testdev_write_memory(void *device, uint64_t offset,
				 unsigned int size, uint64_t value)
{
	struct testdev *testdev = device;

	memcpy(testdev->memory + offset, &value, size);
}

static uint64_t testdev_read_line(void *device, uint64_t offset,
				  unsigned int size)
{
	const struct testdev *testdev = device;

	return (testdev->level >> offset) & 1;
}

static void testdev_set_line(struct testdev *testdev, unsigned int line,
			     bool level)
{
	struct irq irq = testdev->lines;

	irq.line = line;
	if (level)
		testdev->level |= 1u << line;
	else
		testdev->level &= ~(1u << line);
	irq_set(&irq, level);
}

static void testdev_write_line(void *device, uint64_t offset,
			       unsigned int size, uint64_t value)
{
	testdev_set_line(device, (unsigned int)offset, value != 0);
}

static void testdev_reset(void *device)
{
	struct testdev *testdev = device;
	unsigned int i;

	for (i = 0; i < TESTDEV_LINE_COUNT; i++)
		if (testdev->level & (1u << i))
			testdev_set_line(testdev, i, false);
	memset(testdev->scratch, 0, sizeof(testdev->scratch));
}

static int testdev_check(const void *object)
{
	const struct testdev *testdev = object;

	return testdev->level >> TESTDEV_LINE_COUNT ? -VM_EBADMSG : 0;
}

static const struct field testdev_fields[] = {
	FIELD_ARRAY(struct testdev, FIELD_U8, scratch, TESTDEV_PORT_COUNT),
	FIELD(struct testdev, FIELD_U32, level),
	FIELD_ARRAY(struct testdev, FIELD_U8, memory, TESTDEV_MMIO_SIZE),
};

static const struct state_class testdev_state = {
	.name = "testdev",
	.version = 1,
	.size = sizeof(struct testdev),
	.fields = testdev_fields,
	.field_count = sizeof(testdev_fields) / sizeof(testdev_fields[0]),
	.check = testdev_check,
};

const struct device_class testdev_class = {
	.name = "testdev",
	.reset = testdev_reset,
	.state = &testdev_state,
};

static const struct bus_ops testdev_exit_ops = {
	.write = testdev_write_exit,
	.max_size = 4,
};

static const struct bus_ops testdev_scratch_ops = {
	.read = testdev_read_scratch,
	.write = testdev_write_scratch,
	.max_size = 4,
};

static const struct bus_ops testdev_line_ops = {
	.read = testdev_read_line,
	.write = testdev_write_line,
	.max_size = 1,
};

static const struct bus_ops testdev_memory_ops = {
	.read = testdev_read_memory,
	.write = testdev_write_memory,
	.max_size = 8,
};

int testdev_init(struct testdev *testdev, struct vm *vm,
		 const struct irq *lines)
{
	int err;

	memset(testdev, 0, sizeof(*testdev));
	testdev->vm = vm;
	testdev->lines = *lines;
	err = bus_add(&vm->pio, TESTDEV_EXIT, 4, "testdev-exit",
		      &testdev_exit_ops, testdev);
	if (!err)
		err = bus_add(&vm->pio, TESTDEV_PORTS, TESTDEV_PORT_COUNT,
			      "testdev", &testdev_scratch_ops, testdev);
	if (!err)
		err = bus_add(&vm->pio, TESTDEV_LINES, TESTDEV_LINE_COUNT,
			      "testdev-lines", &testdev_line_ops, testdev);
	if (!err)
		err = bus_add(&vm->mmio, TESTDEV_MMIO, TESTDEV_MMIO_SIZE,
			      "testdev-memory", &testdev_memory_ops, testdev);
	if (err)
		return err;
	return vm_add_device(vm, &testdev_class, testdev);
}
