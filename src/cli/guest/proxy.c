/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge proxy: our standard input and output as a connection to a TCP port of
 * a guest, by its agent; for ssh(1) and its ProxyCommand.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/guest/exec.h"
#include "cli/guest/ssh_guest.h"
#include "cli/machine/managed.h"
#include "cli/option.h"
#include "vmm/machine.h"

/* What came behind the answer, which a frame's buffer holds, at the least. */
#define FLOW_BYTES sizeof(((struct frame_in *)0)->bytes)
#define PORT_MAX   65535

/* Bytes [start, used) wait to be written. */
struct flow {
	int from, to;
	bool over; /* nothing more comes */
	size_t start, used;
	uint8_t data[FLOW_BYTES];
};

struct proxy {
	unsigned int timeout;
	const char *user; /* NULL: not for ssh */
	struct agent agent;
	struct flow out, back;
};

static int take_timeout(void *config, const char *value)
{
	return exec_take_timeout("proxy", value,
				 &((struct proxy *)config)->timeout);
}

static int take_ssh(void *config, const char *value)
{
	if (!ssh_user_valid(value)) {
		cli_error("proxy: --ssh %s: is no account's name", value);
		return -1;
	}
	((struct proxy *)config)->user = value;
	return 0;
}

static const struct option_spec options[] = {
	{ "ssh", "USER", "first do what lodge ssh does for this account",
	  false, take_ssh },
	{ "timeout", "SECONDS",
	  "how long to wait for a guest that still starts (60)", false,
	  take_timeout },
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

/* --- both ways --------------------------------------------------------------- */

/* A pipe that takes some takes as much as this. */
static void write_some(struct flow *flow)
{
	size_t size = flow->used - flow->start;
	ssize_t n = write(flow->to, flow->data + flow->start,
			  size < PIPE_BUF ? size : PIPE_BUF);

	if (n > 0)
		flow->start += (size_t)n;
	else if (errno != EAGAIN && errno != EINTR)
		flow->over = true; /* nobody takes what is left */
	if (flow->over || flow->start == flow->used)
		flow->start = flow->used = 0;
}

static void read_some(struct flow *flow)
{
	ssize_t n = read(flow->from, flow->data, sizeof(flow->data));

	if (n > 0)
		flow->used = (size_t)n;
	else if (!n || (errno != EAGAIN && errno != EINTR))
		flow->over = true;
}

/* What it waits for: to write first what it has read. */
static struct pollfd wait_of(const struct flow *flow)
{
	if (flow->used)
		return (struct pollfd){ flow->to, POLLOUT, 0 };
	return (struct pollfd){ flow->over ? -1 : flow->from, POLLIN, 0 };
}

static bool ended(const struct flow *flow)
{
	return flow->over && !flow->used;
}

/* One process for both, so that none is left alone; until the guest's end. */
static int pass_both(struct proxy *proxy)
{
	const struct frame_in *in = &proxy->agent.in;
	struct flow *out = &proxy->out, *back = &proxy->back;

	out->from = STDIN_FILENO;
	out->to = back->from = proxy->agent.fd;
	back->to = STDOUT_FILENO;
	back->used = in->used - in->start;
	memcpy(back->data, in->bytes + in->start, back->used);
	while (!ended(back)) {
		bool went = ended(out);
		struct pollfd ready[] = { wait_of(out), wait_of(back) };

		if (poll(ready, 2, -1) < 0 && errno != EINTR)
			return MACHINE_FAILED;
		if (ready[0].revents)
			out->used ? write_some(out) : read_some(out);
		if (ready[1].revents)
			back->used ? write_some(back) : read_some(back);
		if (ended(out) && !went)
			shutdown(out->to, SHUT_WR);
	}
	return MACHINE_OK;
}

/* --- the guest ---------------------------------------------------------------- */

static int connect_to(struct proxy *proxy, uint16_t port,
		      struct vmm_error *error)
{
	struct frame frame;
	uint8_t number[2];

	frame_put16(number, port);
	if (agent_send(&proxy->agent, AGENT_CONNECT, number, sizeof(number),
		       error) ||
	    agent_receive(&proxy->agent, &frame, error))
		return -1;
	return frame.type == AGENT_STARTED ?
		       0 : agent_refuse(&proxy->agent, &frame, error);
}

static int prepare_ssh(const struct proxy *proxy, const char *name)
{
	struct ssh_guest guest = {
		.command = "proxy",
		.machine = name,
		.user = proxy->user,
		.timeout = proxy->timeout,
	};

	if (!proxy->user)
		return 0;
	return ssh_guest_open(&guest) ? -1 : ssh_guest_prepare(&guest);
}

static int proxy_with(struct proxy *proxy, const char *name, uint16_t port)
{
	const struct agent_patience patience = { proxy->timeout,
						 exec_tell_wait };
	struct vmm_error error;
	int status = MACHINE_FAILED;

	if (prepare_ssh(proxy, name))
		return status;
	if (agent_open(&proxy->agent, name, &patience, &error)) {
		managed_explain(name, &error);
		cli_error("proxy: %s", error.text);
		return status;
	}
	if (connect_to(proxy, port, &error))
		cli_error("proxy: port %u: %s", port, error.text);
	else
		status = pass_both(proxy);
	agent_close(&proxy->agent);
	return status;
}

static bool parse_port(const char *text, uint16_t *port)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	*port = (uint16_t)value;
	return isdigit((unsigned char)*text) && !*end && value &&
	       value <= PORT_MAX;
}

static int run(const struct command_context *context, int argc, char **argv)
{
	struct proxy *proxy = calloc(1, sizeof(*proxy));
	int status, words;
	uint16_t port;

	if (!proxy)
		return MACHINE_FAILED;
	proxy->timeout = EXEC_TIMEOUT;
	status = command_options(&command_proxy, argc, argv,
				 proxy, &words);
	if (status < 0 && words == 2 && parse_port(argv[1], &port)) {
		status = proxy_with(proxy, argv[0], port);
	} else if (status < 0) {
		cli_error("proxy: give a machine's name and a port; see lodge "
			  "help proxy");
		status = MACHINE_USAGE;
	}
	free(proxy);
	return status;
}

const struct command command_proxy = {
	.name = "proxy",
	.summary = "connect to a TCP port of a machine's guest",
	.run = run,
	.synopsis = "[OPTIONS] NAME PORT",
	.about = "Connects our standard input and output to a TCP port of the guest of a running\n"
		 "machine (127.0.0.1 there), without a network (see lodge help agent). lodge ssh --config\n"
		 "prints settings of ssh that use it.",
	.examples = "lodge proxy web 80",
	.options = options,
	.option_count = OPTIONS,
	.words = "running -",
	.words_max = COMMAND_MANY,
};
