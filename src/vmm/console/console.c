/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console's outside: output of the guest's UART or port to a descriptor,
 * input from one to the guest. See console.h for who runs what.
 */
#include "vmm/console/console.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "host/linux/terminal.h"
#include "vm/host.h"
#include "vmm/console/fd.h"
#include "vmm/console/ring.h"

#define INPUT_MAX   16384u
#define READ_MAX    512u
#define RING_HIGH   (RING_SIZE / 2) /* processors stop above */
#define RING_LOW    (RING_SIZE / 8) /* and go on below */
#define FLUSH_NS    1000000	    /* output waits for company this long */

static_assert(CONSOLE_KEPT <= RING_SIZE / 2, "and as much comes in a flush");

struct console {
	enum console_kind kind;
	char what[80];
	bool waits; /* as configured */
	struct console_fds fds;
	struct uart_sink sink;
	struct loop *loop;
	const struct console_ops *ops;
	void *ctx;

	/* Output. */
	int timer; /* timerfd that calls flush() */
	_Atomic bool flush_due;
	bool waiting; /* the loop watches fds.out */
	_Atomic bool broken;
	_Atomic bool lossless; /* processors wait, rather than output is lost */
	_Atomic bool short_of_room; /* the stream refused some */
	struct ring ring;
	/* The last that the guest said, wherever it went. */
	uint8_t last[CONSOLE_LAST];
	uint64_t said;

	/* Processors that wait for room. */
	_Atomic bool full;
	bool released;
	pthread_mutex_t lock;
	pthread_cond_t room;

	/* Input, on its way to the guest. */
	struct keys keys;
	bool reading; /* the loop watches fds.in */
	bool paused;
	bool hung; /* while paused: to be read to its end later */
	bool ended; /* a client's input: it may read on */
	unsigned int input_count;
	uint8_t input[INPUT_MAX];
};

/* --- output ------------------------------------------------------------ */

static void schedule_flush(struct console *console)
{
	const struct itimerspec soon = { .it_value.tv_nsec = FLUSH_NS };

	if (!atomic_exchange(&console->flush_due, true))
		timerfd_settime(console->timer, 0, &soon, NULL);
}

/* The UART's sink: device lock held, any thread. */
static void transmit(void *ctx, const uint8_t *data, unsigned int count)
{
	struct console *console = ctx;

	for (unsigned int i = 0; i < count; i++)
		console->last[console->said++ % CONSOLE_LAST] = data[i];
	if (atomic_load(&console->broken))
		return;
	ring_put(&console->ring, data, count);
	if (atomic_load(&console->lossless) &&
	    ring_used(&console->ring) > RING_HIGH &&
	    !atomic_exchange(&console->full, true))
		console->ops->full(console->ctx);
	/* After `full` is set: a flush that follows always sees it. */
	schedule_flush(console);
}

/* The stream's; any thread, one at a time. */
static unsigned int stream_write(void *ctx, const uint8_t *data,
				 unsigned int count)
{
	struct console *console = ctx;
	bool drops = !console->waits && !atomic_load(&console->lossless);
	uint32_t limit = console->waits ? RING_HIGH : RING_SIZE;
	uint32_t used = ring_used(&console->ring);
	uint32_t room = used < limit ? limit - used : 0;
	uint32_t taken = count < room ? count : room;

	if (console->kind == CONSOLE_NONE || atomic_load(&console->broken))
		return count;
	if (taken)
		transmit(console, data, taken);
	if (taken == count || drops)
		return count;
	atomic_store(&console->short_of_room, true);
	/* After that: a flush that follows always sees it. */
	schedule_flush(console);
	return taken;
}

/* The guest takes input again. Any thread, locks of the VM held. */
static void input_ready(void *ctx)
{
	struct console *console = ctx;

	loop_wake(console->loop);
}

static void give_room(struct console *console)
{
	if ((ring_used(&console->ring) <= RING_LOW ||
	     atomic_load(&console->broken)) &&
	    atomic_exchange(&console->short_of_room, false))
		console->ops->room(console->ctx);
	if (!atomic_load(&console->full) ||
	    (atomic_load(&console->lossless) &&
	     ring_used(&console->ring) > RING_LOW))
		return;
	pthread_mutex_lock(&console->lock);
	atomic_store(&console->full, false);
	pthread_cond_broadcast(&console->room);
	pthread_mutex_unlock(&console->lock);
}

static void output_failed(struct console *console, int error)
{
	atomic_store(&console->broken, true);
	ring_drop(&console->ring, ring_used(&console->ring));
	console->ops->failed(console->ctx, error);
}

static void flush(struct console *console);

static void output_writable(void *ctx, uint32_t events)
{
	struct console *console = ctx;

	loop_remove(console->loop, console->fds.out);
	console->waiting = false;
	flush(console);
}

/*
 * Writes what the ring holds until the descriptor takes no more. 0 when
 * all is written, else a positive errno.
 */
static int drain(struct console *console)
{
	const uint8_t *data;
	uint32_t count;

	while ((count = ring_peek(&console->ring, &data))) {
		ssize_t n = console_fds_write(&console->fds, data, count);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		ring_drop(&console->ring, (uint32_t)n);
	}
	return 0;
}

/* The client does not read any more; what it still sent is taken. */
static void client_deaf(struct console *console)
{
	if (console->waiting)
		loop_remove(console->loop, console->fds.out);
	console->waiting = false;
	console_fds_close_out(&console->fds);
	atomic_store(&console->lossless, false);
}

/* For a client to come: the end of what was written. */
static void keep_last(struct console *console)
{
	uint32_t used = ring_used(&console->ring);

	if (used > CONSOLE_KEPT)
		ring_drop(&console->ring, used - CONSOLE_KEPT);
}

static void flush(struct console *console)
{
	int error = 0;

	if (console->kind != CONSOLE_SOCKET || console->fds.out >= 0)
		error = drain(console);
	if (error && error != EAGAIN && console->kind == CONSOLE_SOCKET) {
		client_deaf(console);
		error = 0;
	}
	if (console->kind == CONSOLE_SOCKET && console->fds.out < 0 &&
	    !console->waits)
		keep_last(console);
	if (error == EAGAIN) {
		if (!console->waiting &&
		    !loop_add(console->loop, console->fds.out, LOOP_WRITE,
			      output_writable, console))
			console->waiting = true;
	} else if (error) {
		output_failed(console, error);
	}
	give_room(console);
}

static void timer_passed(void *ctx, uint32_t events)
{
	struct console *console = ctx;
	uint64_t passed;

	if (read(console->timer, &passed, sizeof(passed)) < 0)
		return;
	atomic_store(&console->flush_due, false);
	flush(console);
}

/* --- processors that wait ---------------------------------------------- */

void console_wait_room(struct console *console)
{
	if (!atomic_load(&console->full))
		return;
	pthread_mutex_lock(&console->lock);
	while (atomic_load(&console->full) && !console->released)
		pthread_cond_wait(&console->room, &console->lock);
	pthread_mutex_unlock(&console->lock);
}

static void set_released(struct console *console, bool released)
{
	pthread_mutex_lock(&console->lock);
	console->released = released;
	pthread_cond_broadcast(&console->room);
	pthread_mutex_unlock(&console->lock);
}

void console_release(struct console *console)
{
	set_released(console, true);
}

void console_hold(struct console *console)
{
	set_released(console, false);
}

/* --- input ------------------------------------------------------------- */

static void input_readable(void *ctx, uint32_t events);

static int start_reading(struct console *console)
{
	int rc = loop_add(console->loop, console->fds.in, LOOP_READ,
			  input_readable, console);

	console->reading = !rc;
	console->paused = console->hung = console->ended = false;
	return rc;
}

static void stop_reading(struct console *console)
{
	if (console->reading)
		loop_remove(console->loop, console->fds.in);
	console->reading = false;
}

/* A terminal is always read, for its command keys; other input can wait. */
static void pause_reading(struct console *console, bool paused)
{
	if (console->hung && !paused)
		start_reading(console);
	if (!console->reading || console->paused == paused || console->ended)
		return;
	console->paused = paused;
	loop_change(console->loop, console->fds.in, paused ? 0 : LOOP_READ);
}

/* The client is gone: the next one's turn. */
static void client_left(struct console *console)
{
	stop_reading(console);
	client_deaf(console);
	console_fds_close_in(&console->fds);
	loop_change(console->loop, console->fds.listener.fd, LOOP_READ);
	if (console->ops->peer)
		console->ops->peer(console->ctx, false);
	flush(console);
}

/* `gone`: it does not read either. */
static void input_ended(struct console *console, bool gone)
{
	if (console->kind != CONSOLE_SOCKET) {
		stop_reading(console);
	} else if (gone || console->fds.out < 0) {
		client_left(console);
	} else {
		console->ended = true;
		loop_change(console->loop, console->fds.in, 0);
	}
}

static void push_input(struct console *console)
{
	unsigned int taken = 0;

	while (taken < console->input_count) {
		unsigned int n = console->ops->receive(
			console->ctx, console->input + taken,
			console->input_count - taken);

		if (!n)
			break;
		taken += n;
	}
	console->input_count -= taken;
	memmove(console->input, console->input + taken, console->input_count);
	pause_reading(console, !console->fds.in_terminal &&
			       console->input_count > INPUT_MAX - READ_MAX);
}

static void bell(struct console *console)
{
	console_fds_write(&console->fds, (const uint8_t *)"\a", 1);
}

static void print_keys(void)
{
	const char *line;

	fprintf(stderr, "\nlodge: keys\n");
	for (unsigned int n = 0; (line = keys_help(n)); n++)
		fprintf(stderr, "  %s\n", line);
}

static void type(struct console *console, uint8_t byte)
{
	if (console->input_count < INPUT_MAX)
		console->input[console->input_count++] = byte;
	else
		bell(console);
}

static void take_byte(struct console *console, uint8_t byte)
{
	enum key_action action = KEY_BYTE;

	if (console->fds.in_terminal)
		action = keys_take(&console->keys, byte);
	switch (action) {
	case KEY_BYTE:
		type(console, byte);
		break;
	case KEY_CTRL_A:
		type(console, KEYS_CTRL_A);
		break;
	case KEY_PENDING:
		break;
	case KEY_HELP:
		print_keys();
		break;
	case KEY_UNKNOWN:
		bell(console);
		break;
	default:
		console->ops->key(console->ctx, action);
	}
}

static void input_readable(void *ctx, uint32_t events)
{
	struct console *console = ctx;
	uint8_t data[READ_MAX];
	ssize_t n;

	/* One that is not read is told of for its hang-up alone. */
	if (console->ended) {
		client_left(console);
		return;
	}
	if (console->paused) {
		stop_reading(console);
		console->hung = true;
		return;
	}
	n = read(console->fds.in, data, sizeof(data));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		input_ended(console, n < 0 || events & LOOP_HUP);
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		take_byte(console, data[i]);
	push_input(console);
}

void console_woken(struct console *console)
{
	if (console->input_count)
		push_input(console);
}

/* --- clients of a socket ----------------------------------------------- */

static void client_came(void *ctx, uint32_t events)
{
	struct console *console = ctx;

	if (console_fds_accept(&console->fds))
		return;
	loop_change(console->loop, console->fds.listener.fd, 0);
	if (start_reading(console)) {
		client_left(console);
		return;
	}
	atomic_store(&console->lossless, true);
	if (console->ops->peer)
		console->ops->peer(console->ctx, true);
	flush(console);
}

int console_leave(struct console *console, const char *path,
		  struct vmm_error *error)
{
	int rc;

	if (unix_socket_listen(&console->fds.listener, console->what, path,
			       error))
		return -1;
	rc = loop_add(console->loop, console->fds.listener.fd, LOOP_READ,
		      client_came, console);
	if (rc) {
		unix_socket_close(&console->fds.listener);
		return vmm_error_set(error, "%s: %s", console->what,
				     strerror(-rc));
	}
	drain(console);
	stop_reading(console);
	console->kind = CONSOLE_SOCKET;
	console->keys = (struct keys){ 0 };
	client_deaf(console);
	console_fds_close_in(&console->fds);
	console->fds.in_terminal = console->fds.blocking = false;
	terminal_restore();
	if (console->ops->peer)
		console->ops->peer(console->ctx, false);
	flush(console);
	return 0;
}

/* --- opening and closing ------------------------------------------------ */

int console_open(struct console **out, const struct console_config *config,
		 struct vmm_error *error)
{
	struct console *console = calloc(1, sizeof(*console));

	*out = NULL;
	if (!console)
		return vmm_error_set(error, "console: out of memory");
	snprintf(console->what, sizeof(console->what), "%s",
		 config->what ? config->what : "serial console");
	console->kind = config->kind;
	console->waits = config->waits;
	console->lossless = config->kind == CONSOLE_STDIO ||
			    config->kind == CONSOLE_FILE;
	console->timer = -1;
	pthread_mutex_init(&console->lock, NULL);
	pthread_cond_init(&console->room, NULL);
	if (console_fds_open(&console->fds, config, console->what, error)) {
		free(console);
		return -1;
	}
	console->sink = (struct uart_sink){
		.transmit = transmit,
		.ready = input_ready,
		.ctx = console,
	};
	*out = console;
	return 0;
}

/* Waits for the descriptor to take the rest, but not for ever. */
static void drain_until(struct console *console, uint64_t end)
{
	while (!atomic_load(&console->broken) && drain(console) == EAGAIN &&
	       host_monotonic_ns() < end) {
		struct pollfd out = {
			.fd = console->fds.out,
			.events = POLLOUT,
		};

		poll(&out, 1, 50);
	}
}

void console_tell_last(const struct console *console)
{
	uint64_t at = console->said > CONSOLE_LAST ?
			      console->said - CONSOLE_LAST : 0;
	bool begins = true;

	if (console->kind != CONSOLE_SOCKET || !console->said)
		return;
	fprintf(stderr, "lodge: the last on its serial console:\n");
	for (; at < console->said; at++) {
		uint8_t byte = console->last[at % CONSOLE_LAST];

		if (begins)
			fprintf(stderr, "  | ");
		begins = byte == '\n';
		if (byte >= ' ' || byte == '\n' || byte == '\t')
			fputc(byte, stderr);
	}
	if (!begins)
		fputc('\n', stderr);
}

void console_close(struct console *console, uint64_t deadline_ns)
{
	if (!console)
		return;
	if (console->loop) {
		stop_reading(console);
		if (console->waiting)
			loop_remove(console->loop, console->fds.out);
		if (console->fds.listener.fd >= 0)
			loop_remove(console->loop, console->fds.listener.fd);
		if (console->timer >= 0) {
			loop_remove(console->loop, console->timer);
			drain_until(console, deadline_ns);
			close(console->timer);
		}
	}
	terminal_restore();
	console_fds_close(&console->fds);
	pthread_cond_destroy(&console->room);
	pthread_mutex_destroy(&console->lock);
	free(console);
}

const struct uart_sink *console_sink(struct console *console)
{
	return console->kind == CONSOLE_NONE ? NULL : &console->sink;
}

struct stream console_stream(struct console *console)
{
	return (struct stream){
		.write = stream_write,
		.ready = input_ready,
		.ctx = console,
	};
}

bool console_has_peer(const struct console *console)
{
	return console->kind != CONSOLE_SOCKET;
}

static int start_input(struct console *console)
{
	int rc;

	if (console->kind == CONSOLE_SOCKET)
		return loop_add(console->loop, console->fds.listener.fd,
				LOOP_READ, client_came, console);
	if (console->fds.in < 0)
		return 0;
	if (console->fds.in_terminal) {
		rc = terminal_raw(console->fds.in);
		if (rc)
			return rc;
	}
	rc = start_reading(console);
	/* A closed standard input is no input. */
	return rc == -EBADF ? 0 : rc;
}

int console_start(struct console *console, struct loop *loop,
		  const struct console_ops *ops, void *ctx,
		  struct vmm_error *error)
{
	int rc;

	console->loop = loop;
	console->ops = ops;
	console->ctx = ctx;
	if (console->kind == CONSOLE_NONE)
		return 0;
	console->timer = timerfd_create(CLOCK_MONOTONIC,
					TFD_CLOEXEC | TFD_NONBLOCK);
	if (console->timer < 0)
		return vmm_error_set(error, "%s: %s", console->what,
				     strerror(errno));
	rc = loop_add(loop, console->timer, LOOP_READ, timer_passed, console);
	if (!rc)
		rc = console_fds_start(&console->fds);
	if (!rc)
		rc = start_input(console);
	if (rc)
		return vmm_error_set(error, "%s: %s", console->what,
				     strerror(-rc));
	return 0;
}

bool console_size(const struct console *console, unsigned int *cols,
		  unsigned int *rows)
{
	struct winsize size;

	if (!console->fds.in_terminal ||
	    ioctl(console->fds.in, TIOCGWINSZ, &size) || !size.ws_col ||
	    !size.ws_row)
		return false;
	*cols = size.ws_col;
	*rows = size.ws_row;
	return true;
}

bool console_interactive(const struct console *console)
{
	return console->fds.in_terminal;
}

const char *console_pty_name(const struct console *console)
{
	return console->kind == CONSOLE_PTY ? console->fds.pty_name : NULL;
}
