/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mode "user" without its library: the stack and the card are the test's,
 * the thread between them is the real one. Nothing here depends on how long
 * something takes; a wait that has no end fails by the limit of the test.
 */
#include "net/user.h"

#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake/test.h"
#include "host/linux/extension.h"

#define SIZE  1000u
#define MANY  3000u /* more than the ring has room for */
#define BATCH 32u

struct user_stack {
	void (*deliver)(void *ctx, const void *frame, size_t size);
	void *ctx;
	struct pollfd fd[2];
};

static struct user_stack stack;
static struct net *net;
static struct net_config config = { .mtu = 1500 };
static int host[2]; /* a pipe: what the host has for the guest */

/* What the stack was given. */
static unsigned int inputs, flushed, largest;
static bool in_order;
static sem_t input_given, may_go_on;
static _Atomic bool held; /* it waits for the latter */

/* What the card was given. */
static sem_t taken, refused, again;
static _Atomic unsigned int rooms; /* frames that it has room for */
static uint8_t last[SIZE];

/* --- the stack --------------------------------------------------------------- */

static struct user_stack *
open_stack(const struct user_plan *plan,
	   void (*deliver)(void *ctx, const void *frame, size_t size),
	   void *ctx)
{
	stack.deliver = deliver;
	stack.ctx = ctx;
	return &stack;
}

static void close_stack(struct user_stack *s)
{
}

static void input(struct user_stack *s, const void *frame, size_t size)
{
	uint32_t number;

	memcpy(&number, (const uint8_t *)frame + 14, sizeof(number));
	in_order &= size == SIZE && number == inputs;
	inputs++;
	if (inputs - flushed > largest)
		largest = inputs - flushed;
	sem_post(&input_given);
	if (held)
		sem_wait(&may_go_on);
}

static void flush(struct user_stack *s)
{
	flushed = inputs;
}

static struct pollfd *wait_for(struct user_stack *s, unsigned int *count,
			       int *timeout)
{
	/* What was held back is gone before anything is waited for. */
	in_order &= flushed == inputs;
	s->fd[1] = (struct pollfd){ .fd = host[0], .events = POLLIN };
	*count = 2;
	*timeout = -1;
	return s->fd;
}

/* A byte of the host's is a frame for the guest. */
static void serve(struct user_stack *s, int result)
{
	uint8_t frame[SIZE] = { 0 };

	if (result > 0 && s->fd[1].revents &&
	    read(host[0], frame + 20, 1) == 1)
		s->deliver(s->ctx, frame, SIZE);
}

static const struct user_stack_ops ops = {
	.open = open_stack,
	.close = close_stack,
	.input = input,
	.flush = flush,
	.wait = wait_for,
	.serve = serve,
};

void *extension_symbol(const char *name, const char *symbol, char *error,
		       size_t size)
{
	assert_string_equal(name, "user-net");
	return (void *)&ops;
}

/* Of parts that no test here comes to. */
const char *net_word(const struct net_config *of, const char *name)
{
	return NULL;
}

int address_taken(const struct net_publish *publish,
		  const struct sockaddr_storage *at, struct net_error *error);
int address_taken(const struct net_publish *publish,
		  const struct sockaddr_storage *at, struct net_error *error)
{
	abort();
}

/* --- the card ------------------------------------------------------------------ */

static bool receive(struct nic *nic, const struct nic_frame *frame)
{
	if (!rooms) {
		sem_post(&refused);
		return false;
	}
	rooms--;
	nic_frame_read(frame, 0, last, SIZE);
	sem_post(&taken);
	return true;
}

static void tell(struct nic *nic)
{
}

static void try_again(struct nic *nic)
{
	sem_post(&again);
}

static void set_link(struct nic *nic, bool up)
{
}

static const struct nic_ops nic_ops = {
	.receive = receive,
	.flush = tell,
	.again = try_again,
	.link = set_link,
	.announce = tell,
};

static struct nic nic = { .ops = &nic_ops };

static int setup(void **state)
{
	const struct user_plan plan = { 0 };
	struct net_error error;

	inputs = flushed = largest = 0;
	in_order = true;
	held = false;
	rooms = 1000;
	sem_init(&input_given, 0, 0);
	sem_init(&may_go_on, 0, 0);
	sem_init(&taken, 0, 0);
	sem_init(&refused, 0, 0);
	sem_init(&again, 0, 0);
	assert_return_code(pipe2(host, O_CLOEXEC), 0);
	assert_int_equal(user_net_open(&net, &config, &plan, &error), 0);
	nic_connect(&nic, net);
	return 0;
}

static int teardown(void **state)
{
	nic_part(&nic);
	net->ops->close(net);
	close(host[0]);
	close(host[1]);
	return 0;
}

/* --- the guest ------------------------------------------------------------------- */

static bool send_one(uint32_t number)
{
	static uint8_t data[SIZE];
	const struct span span = { data, SIZE };
	const struct nic_frame frame = { .span = &span, .spans = 1,
					 .size = SIZE };

	memcpy(data + 14, &number, sizeof(number));
	return net->ops->send(net, 0, &frame);
}

static void wait_inputs(unsigned int count)
{
	while (count--)
		sem_wait(&input_given);
}

/* Each once, in its turn, and no more at once than there are descriptors for. */
static void to_stack(void **state)
{
	net->ops->start(net);
	for (uint32_t i = 0; i < 500; i++)
		assert_true(send_one(i));
	net->ops->flush(net, 0);
	wait_inputs(500);
	/* It sleeps, or is about to: one that comes then wakes it. */
	for (uint32_t i = 0; i < 50; i++) {
		assert_true(send_one(500 + i));
		net->ops->flush(net, 0);
		wait_inputs(1);
	}
	nic_part(&nic);
	assert_true(in_order);
	assert_int_equal(inputs, 550);
	assert_int_equal(flushed, 550);
	assert_true(largest <= BATCH);
	nic_connect(&nic, net);
}

/* Frames stay until the stack has sent them; who has no room is called. */
static void full(void **state)
{
	uint32_t count = 0, rest;

	held = true;
	net->ops->start(net);
	while (count < MANY && send_one(count))
		count++;
	assert_in_range(count, BATCH, MANY - 1);
	net->ops->flush(net, 0);
	held = false;
	sem_post(&may_go_on);
	sem_wait(&again);
	for (rest = count; rest < count + 100; rest++)
		assert_true(send_one(rest));
	net->ops->flush(net, 0);
	wait_inputs(rest);
	nic_part(&nic);
	assert_true(in_order);
	nic_connect(&nic, net);
}

/* The ring goes round, in pieces of any number. */
static void round_and_round(void **state)
{
	uint32_t sent = 0;

	net->ops->start(net);
	for (unsigned int i = 1; i < 120; i++) {
		for (unsigned int j = 0; j < i; j++)
			assert_true(send_one(sent++));
		net->ops->flush(net, 0);
		wait_inputs(i);
	}
	nic_part(&nic);
	assert_true(in_order);
	assert_int_equal(inputs, sent);
	nic_connect(&nic, net);
}

static void to_card(void **state)
{
	net->ops->start(net);
	for (uint8_t i = 1; i < 40; i++) {
		assert_int_equal(write(host[1], &i, 1), 1);
		sem_wait(&taken);
		assert_int_equal(last[20], i);
	}
	/* What it has no room for waits, and the host's sockets with it. */
	rooms = 0;
	assert_int_equal(write(host[1], "abc", 3), 3);
	sem_wait(&refused);
	rooms = 1000;
	for (unsigned int i = 0; i < 3; i++) {
		net->ops->room(net);
		sem_wait(&taken);
	}
	assert_int_equal(last[20], 'c');
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(to_stack),
		TEST(full),
		TEST(round_and_round),
		TEST(to_card),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
