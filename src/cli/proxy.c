/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge proxy: our standard input and output as a connection to a TCP port of
 * a guest, by its agent; for ssh(1) and its ProxyCommand.
 */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/exec.h"
#include "cli/option.h"
#include "vmm/machine.h"

#define CHUNK	 65536
#define PORT_MAX 65535

struct proxy {
	unsigned int timeout;
	struct agent agent;
	uint8_t data[CHUNK];
};

static int take_timeout(void *config, const char *value)
{
	return exec_take_timeout("proxy", value,
				 &((struct proxy *)config)->timeout);
}

static const struct option_spec options[] = {
	{ "timeout", "SECONDS",
	  "how long to wait for a guest that still starts (60)", false,
	  take_timeout },
};

static bool write_all(int fd, const uint8_t *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
	return true;
}

static void pass(struct proxy *proxy, int from, int to)
{
	ssize_t n;

	do
		n = read(from, proxy->data, sizeof(proxy->data));
	while (n > 0 ? write_all(to, proxy->data, (size_t)n) :
		       n < 0 && errno == EINTR);
}

/* A process for each way; it is over when the guest's end is. */
static int pass_both(struct proxy *proxy)
{
	const struct frame_in *in = &proxy->agent.in;
	const int fd = proxy->agent.fd;
	pid_t sender = fork();

	if (!sender) {
		pass(proxy, STDIN_FILENO, fd);
		shutdown(fd, SHUT_WR);
		_exit(0);
	}
	if (sender < 0) {
		cli_error("proxy: %s", strerror(errno));
		return MACHINE_FAILED;
	}
	if (write_all(STDOUT_FILENO, in->bytes + in->start,
		      in->used - in->start))
		pass(proxy, fd, STDOUT_FILENO);
	kill(sender, SIGKILL);
	waitpid(sender, NULL, 0);
	return MACHINE_OK;
}

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

static int proxy_with(struct proxy *proxy, const char *name, uint16_t port)
{
	const struct agent_patience patience = { proxy->timeout,
						 exec_tell_wait };
	struct vmm_error error;
	int status = MACHINE_FAILED;

	if (agent_open(&proxy->agent, name, &patience, &error)) {
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

static void help(void)
{
	printf("usage: lodge proxy [OPTIONS] NAME PORT\n\n"
	       "Connects our standard input and output to a TCP port of the "
	       "guest of a running\nmachine (127.0.0.1 there), without a "
	       "network (see lodge help agent). For ssh:\n\n"
	       "  ssh -o ProxyCommand='lodge proxy NAME 22' lodge@NAME\n\n");
	option_print(options, 1);
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
	int status = MACHINE_USAGE, words;
	uint16_t port;

	if (!proxy)
		return MACHINE_FAILED;
	proxy->timeout = EXEC_TIMEOUT;
	switch (option_parse_words("proxy", options, 1, argc, argv, proxy,
				   &words)) {
	case OPTION_HELP:
		help();
		status = MACHINE_OK;
		break;
	case OPTION_BAD:
		break;
	case OPTION_GO_ON:
		if (words == 2 && parse_port(argv[1], &port))
			status = proxy_with(proxy, argv[0], port);
		else
			cli_error("proxy: give a machine's name and a port; "
				  "see lodge help proxy");
		break;
	}
	free(proxy);
	return status;
}

const struct command command_proxy = {
	.name = "proxy",
	.summary = "connect to a TCP port of a machine's guest",
	.run = run,
	.help = help,
};
