/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge-firecracker: one machine that is described and driven through the
 * Firecracker API at a Unix socket. It takes the options of the program
 * firecracker that clients give.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "firecracker/http.h"
#include "firecracker/machine.h"
#include "firecracker/server.h"
#include "host/linux/program.h"
#include "host/linux/signals.h"
#include "vm/host.h"
#include "vmm/runtime.h"

#define FLUSH_NS  60000000000ull
#define CONFIG_MAX ((size_t)1 << 20)

enum {
	OPT_API_SOCK = 256,
	OPT_ID,
	OPT_CONFIG,
	OPT_NO_API,
	OPT_LOG,
	OPT_LEVEL,
	OPT_METRICS,
	OPT_BODY,
	OPT_VERSION,
	OPT_HELP,
	OPT_FLAG, /* makes no difference here */
	OPT_TEXT, /* the same with a value */
};

static const struct option options[] = {
	{ "api-sock", required_argument, NULL, OPT_API_SOCK },
	{ "id", required_argument, NULL, OPT_ID },
	{ "config-file", required_argument, NULL, OPT_CONFIG },
	{ "no-api", no_argument, NULL, OPT_NO_API },
	{ "log-path", required_argument, NULL, OPT_LOG },
	{ "level", required_argument, NULL, OPT_LEVEL },
	{ "metrics-path", required_argument, NULL, OPT_METRICS },
	{ "http-api-max-payload-size", required_argument, NULL, OPT_BODY },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "no-seccomp", no_argument, NULL, OPT_FLAG },
	{ "boot-timer", no_argument, NULL, OPT_FLAG },
	{ "show-level", no_argument, NULL, OPT_FLAG },
	{ "show-log-origin", no_argument, NULL, OPT_FLAG },
	{ "enable-pci", no_argument, NULL, OPT_FLAG },
	{ "module", required_argument, NULL, OPT_TEXT },
	{ "mmds-size-limit", required_argument, NULL, OPT_TEXT },
	{ "start-time-us", required_argument, NULL, OPT_TEXT },
	{ "start-time-cpu-us", required_argument, NULL, OPT_TEXT },
	{ "parent-cpu-time-us", required_argument, NULL, OPT_TEXT },
	{ NULL, 0, NULL, 0 },
};

struct program {
	const char *socket, *id, *config, *log, *level, *metrics;
	bool no_api;
	size_t body_max;
	struct loop *loop;
	struct fc_api api;
	struct fc_machine machine;
	struct fc_server server;
	bool watched; /* the machine's end */
	int signals, status;
};

static void usage(FILE *to)
{
	fprintf(to,
		"usage: lodge firecracker --api-sock PATH [OPTIONS]\n\n"
		"One machine, described and driven by clients of the "
		"Firecracker API at a Unix\nsocket; see docs/firecracker.md. "
		"Its serial console is on standard input and output.\n\n"
		"  --api-sock PATH       the socket "
		"(/run/firecracker.socket)\n"
		"  --id NAME             of the machine (anonymous-instance)\n"
		"  --config-file FILE    its configuration as JSON; it is "
		"started at once\n"
		"  --no-api              no socket, with --config-file\n"
		"  --log-path FILE       what is said, in place of standard "
		"error\n"
		"  --level LEVEL         of the log; taken for clients' sake\n"
		"  --metrics-path FILE   where FlushMetrics writes\n"
		"  --http-api-max-payload-size BYTES\n"
		"                        of a request's body (51200)\n"
		"  --version             print the version\n"
		"  --help                print this\n\n"
		"example:\n"
		"  lodge firecracker --api-sock /tmp/fc.sock\n");
}

static int fail(const char *what)
{
	fprintf(stderr, "lodge: firecracker: %s\n", what);
	return 1;
}

/* --- options ---------------------------------------------------------------------------- */

static int take_option(struct program *program, int option)
{
	switch (option) {
	case OPT_API_SOCK:
		program->socket = optarg;
		return -1;
	case OPT_ID:
		program->id = optarg;
		return -1;
	case OPT_CONFIG:
		program->config = optarg;
		return -1;
	case OPT_NO_API:
		program->no_api = true;
		return -1;
	case OPT_LOG:
		program->log = optarg;
		return -1;
	case OPT_LEVEL:
		program->level = optarg;
		return -1;
	case OPT_METRICS:
		program->metrics = optarg;
		return -1;
	case OPT_BODY:
		program->body_max = strtoul(optarg, NULL, 10);
		return -1;
	case OPT_VERSION:
		printf("Firecracker v%s (lodge %s)\n", FC_VERSION,
		       LODGE_VERSION);
		return 0;
	case OPT_HELP:
		usage(stdout);
		return 0;
	case OPT_FLAG:
	case OPT_TEXT:
		return -1;
	default:
		return 2;
	}
}

/* An exit status; -1: go on. */
static int take_options(struct program *program, int argc, char **argv)
{
	int option, status = -1;

	while (status < 0 &&
	       (option = getopt_long(argc, argv, "", options, NULL)) != -1)
		status = take_option(program, option);
	if (status >= 0)
		return status;
	if (optind < argc) {
		usage(stderr);
		return 2;
	}
	if (!runtime_name_valid(program->id))
		return fail("--id: give 1 to 63 letters, digits and - _ ."), 2;
	if (program->no_api && !program->config)
		return fail("--no-api: goes with --config-file"), 2;
	if (!program->body_max || program->body_max > CONFIG_MAX)
		return fail("--http-api-max-payload-size: give 1 to 1048576"),
		       2;
	return -1;
}

/* --- the end ----------------------------------------------------------------------------- */

static void ended(void *ctx, uint32_t events)
{
	struct program *program = ctx;

	loop_remove(program->loop, program->machine.pidfd);
	if (program->machine.words >= 0)
		loop_remove(program->loop, program->machine.words);
	program->status = fc_machine_end(&program->machine);
	loop_stop(program->loop);
}

static void said(void *ctx, uint32_t events)
{
	struct program *program = ctx;

	if (!fc_machine_hear(&program->machine))
		loop_remove(program->loop, program->machine.words);
}

/* After an answer there may be a machine. */
static void answered(void *ctx)
{
	struct program *program = ctx;

	if (program->watched || program->machine.pidfd < 0)
		return;
	program->watched = true;
	loop_add(program->loop, program->machine.pidfd, LOOP_READ, ended,
		 program);
	loop_add(program->loop, program->machine.words, LOOP_READ, said,
		 program);
}

static void signal_came(void *ctx, uint32_t events)
{
	struct program *program = ctx;
	struct signalfd_siginfo info;

	if (read(program->signals, &info, sizeof(info)) != sizeof(info))
		return;
	/* Its end is ours. */
	fc_machine_stop(&program->machine);
	if (!program->watched)
		loop_stop(program->loop);
}

static int watch_signals(struct program *program)
{
	signal(SIGPIPE, SIG_IGN);
	program->signals = signals_open(NULL, NULL);
	return program->signals < 0 ? program->signals :
				      loop_add(program->loop, program->signals,
					       LOOP_READ, signal_came, program);
}

static void flush(void *ctx)
{
	struct program *program = ctx;
	struct fc_fault fault;

	if (program->api.config.metrics && program->api.started)
		fc_api_flush(&program->api, &fault);
	loop_set_deadline(program->loop, host_monotonic_ns() + FLUSH_NS);
}

/* --- what options say ---------------------------------------------------------------------- */

/* As a client would put it. */
static int put(struct program *program, const char *part, json_t *value)
{
	json_t *config = json_pack("{so}", part, value);
	struct fc_fault fault = { "the option is not UTF-8" };
	int rc = config ? fc_api_load(&program->api, config, &fault) : -1;

	json_decref(config);
	return rc ? fail(fault.text) : 0;
}

static int load_config(struct program *program)
{
	struct fc_fault fault;
	json_error_t why;
	json_t *config = json_load_file(program->config,
					JSON_REJECT_DUPLICATES, &why);
	int rc;

	if (!config) {
		fprintf(stderr, "lodge: firecracker: %s, line %d: %s\n",
			program->config, why.line, why.text);
		return 1;
	}
	rc = fc_api_load(&program->api, config, &fault);
	json_decref(config);
	if (!rc)
		rc = fc_api_start(&program->api, &fault);
	if (rc)
		return fail(fault.text);
	answered(program);
	return 0;
}

static int prepare(struct program *program)
{
	if ((program->log || program->level) &&
	    put(program, "logger", json_pack("{ss* ss*}", "log_path",
					     program->log, "level",
					     program->level)))
		return 1;
	if (program->metrics &&
	    put(program, "metrics", json_pack("{ss}", "metrics_path",
					      program->metrics)))
		return 1;
	return program->config ? load_config(program) : 0;
}

/* --- all together --------------------------------------------------------------------------- */

static int serve(struct program *program)
{
	struct vmm_error error;

	program->server.loop = program->loop;
	program->server.api = &program->api;
	program->server.body_max = program->body_max;
	program->server.answered = answered;
	program->server.ctx = program;
	program->server.socket.fd = -1;
	if (prepare(program))
		return 1;
	if (!program->no_api &&
	    fc_server_open(&program->server, program->socket, &error)) {
		fc_machine_stop(&program->machine);
		return fail(error.text);
	}
	loop_on_deadline(program->loop, flush, program);
	flush(program);
	loop_run(program->loop);
	fc_server_close(&program->server);
	return program->status;
}

int main(int argc, char **argv)
{
	struct program program = {
		.socket = "/run/firecracker.socket",
		.id = "anonymous-instance",
		.body_max = HTTP_BODY_MAX,
	};
	char path[PATH_MAX];
	int status = take_options(&program, argc, argv);

	if (status >= 0)
		return status;
	if (!program_beside(path, "lodge-vm"))
		return fail("the program lodge-vm is not beside this one");
	fc_machine_init(&program.machine, path, program.id);
	if (loop_create(&program.loop) || watch_signals(&program) ||
	    fc_api_init(&program.api, program.id, &fc_machine_ops,
			&program.machine))
		return fail("the host is out of descriptors or memory");
	status = serve(&program);
	fc_api_fini(&program.api);
	loop_destroy(program.loop);
	return status;
}
