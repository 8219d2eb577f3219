/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge disk export: an image served to other programs by NBD.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/disk/tool.h"
#include "disk/driver.h"
#include "disk/nbd/nbd.h"
#include "host/linux/signals.h"
#include "vmm/listener.h"
#include "vmm/machine.h"

#define NAME_MAX_BYTES 256

static void note_left(void *ctx)
{
	const int *left = ctx;

	eventfd_write(*left, 1);
}

/* Prints where it is, for clients to copy. */
static void print_address(const struct tool *tool,
			  const struct listener *listener)
{
	const char *name = tool->name ? tool->name : "";
	char where[LISTENER_NAME_MAX], uri[LISTENER_NAME_MAX + NAME_MAX_BYTES];

	listener_name(listener, where);
	if (listener->file.fd >= 0)
		snprintf(uri, sizeof(uri), "nbd+unix:///%s?socket=%s", name,
			 where);
	else
		snprintf(uri, sizeof(uri), "nbd://%s/%s", where, name);
	if (tool->json)
		tool_print_json(json_pack("{ss}", "uri", uri));
	else
		printf("%s\n", uri);
	fflush(stdout);
}

/* Until a signal, or the last client's leave when that is to be the end. */
static void wait_for_end(const struct tool *tool, int signals, int left)
{
	struct pollfd fds[2] = { { .fd = signals, .events = POLLIN },
				 { .fd = tool->once ? left : -1,
				   .events = POLLIN } };

	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
}

static int serve(struct tool *tool, struct disk_node *node,
		 const struct listener *listener)
{
	int signals = signals_open(NULL, NULL), left = eventfd(0, EFD_CLOEXEC);
	const struct nbd_export export = { .node = node,
					   .name = tool->name ? tool->name : "",
					   .description = node->name,
					   .readonly = tool->readonly,
					   .left = note_left,
					   .ctx = &left };
	struct nbd_server *server = NULL;
	int error = signals < 0 || left < 0
			    ? -errno
			    : nbd_server_create(&server, &export, listener->fd);

	if (error) {
		cli_error("%s: %s", tool->command, strerror(-error));
	} else {
		print_address(tool, listener);
		wait_for_end(tool, signals, left);
		nbd_server_destroy(server);
		error = disk_flush(node);
		if (error)
			cli_error("%s: %s: %s", tool->command, node->name,
				  strerror(-error));
	}
	if (signals >= 0)
		close(signals);
	if (left >= 0)
		close(left);
	return error ? MACHINE_FAILED : MACHINE_OK;
}

static int listen_and_serve(struct tool *tool, struct disk_node *node)
{
	struct listener listener = LISTENER_NONE;
	struct vmm_error error;
	int status = MACHINE_USAGE;

	if (listener_open(&listener, tool->command, tool->listen,
			  SOMAXCONN, &error)) {
		cli_error("%s", error.text);
		return MACHINE_FAILED;
	}
	if (!listener_is_local(&listener) && !tool->insecure)
		cli_error("%s: %s: others could read%s the disk: NBD has no "
			  "password here; say --insecure in a network that "
			  "you trust", tool->command, tool->listen,
			  tool->readonly ? "" : " and write");
	else
		status = serve(tool, node, &listener);
	listener_close(&listener);
	return status;
}

static int run_export(struct tool *tool)
{
	struct disk_open how = tool_open_how(tool, tool->word[0]);
	struct disk_node *node;
	int status;

	if (!tool->listen) {
		cli_error("%s: give --listen unix:PATH or --listen PORT",
			  tool->command);
		return MACHINE_USAGE;
	}
	how.readonly = tool->readonly;
	node = tool_open(tool, &how);
	if (!node)
		return MACHINE_FAILED;
	status = listen_and_serve(tool, node);
	disk_close(node);
	return status;
}

static int take_listen(void *config, const char *value)
{
	((struct tool *)config)->listen = value;
	return 0;
}

static int take_name(void *config, const char *value)
{
	struct tool *tool = config;

	tool->name = value;
	if (strlen(value) < NAME_MAX_BYTES)
		return 0;
	cli_error("%s: --name: at most %d bytes", tool->command,
		  NAME_MAX_BYTES - 1);
	return -1;
}

static int take_readonly(void *config, const char *value)
{
	((struct tool *)config)->readonly = true;
	return 0;
}

static int take_once(void *config, const char *value)
{
	((struct tool *)config)->once = true;
	return 0;
}

static int take_insecure(void *config, const char *value)
{
	((struct tool *)config)->insecure = true;
	return 0;
}

static const struct option_spec export_options[] = {
	{ .name = "listen",
	  .value = "WHERE",
	  .help = "unix:PATH, PORT of this computer, or ADDRESS:PORT",
	  .take = take_listen },
	{ .name = "name",
	  .value = "NAME",
	  .help = "what clients ask for (the empty name)",
	  .take = take_name },
	{ .name = "readonly",
	  .help = "clients cannot write",
	  .take = take_readonly },
	{ .name = "once",
	  .help = "end when the last client has left",
	  .take = take_once },
	{ .name = "insecure",
	  .help = "also on an address that others can reach: NBD has no\n"
		  "password here",
	  .take = take_insecure },
	TOOL_FORMAT,
	TOOL_FOLDER,
	TOOL_JSON,
	TOOL_SECRET,
};

const struct disk_command disk_command_export = {
	.command = {
		.name = "export",
		.synopsis = "[OPTIONS] PATH",
		.summary = "serve an image to other programs by NBD",
		.about = "Serves a disk, whatever its format, by the Network Block "
			 "Device protocol until\ninterrupted; prints the address that "
			 "clients connect to.",
		.examples = "lodge disk export disk.qcow2 --listen unix:disk.sock",
		.words = "file",
		.words_min = 1,
		.words_max = 1,
		.options = export_options,
		.option_count = OPTION_COUNT(export_options),
	},
	.run = run_export,
};
