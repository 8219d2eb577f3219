/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request at a time, waited for: whoever asks for the start of a machine
 * waits for it in any case.
 */
#include "firecracker/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/host.h"
#include "vmm/runtime.h"

#define NS_PER_MS   1000000ull
#define START_MS    60000 /* until a machine answers */
#define ANSWER_MS   30000
#define LOOK_MS	    2
#define LINE_MAX_   65536

void fc_machine_init(struct fc_machine *machine, const char *program,
		     const char *name)
{
	*machine = (struct fc_machine){ .pidfd = -1, .words = -1,
					.control = -1 };
	snprintf(machine->program, sizeof(machine->program), "%s", program);
	snprintf(machine->name, sizeof(machine->name), "%s", name);
}

static uint64_t now_ms(void)
{
	return host_monotonic_ns() / NS_PER_MS;
}

/* --- what it says ----------------------------------------------------------------------- */

static void keep_line(struct fc_machine *machine, char c)
{
	if (machine->line_ended)
		machine->said_size = 0;
	machine->line_ended = c == '\n';
	if (!machine->line_ended &&
	    machine->said_size + 1 < sizeof(machine->said))
		machine->said[machine->said_size++] = c;
	machine->said[machine->said_size] = '\0';
}

bool fc_machine_hear(struct fc_machine *machine)
{
	char bytes[1024];
	ssize_t n = machine->words < 0 ? 0 : read(machine->words, bytes,
						  sizeof(bytes));

	for (ssize_t i = 0; i < n; i++)
		keep_line(machine, bytes[i]);
	/* Whoever reads no log has none. */
	if (n > 0 && write(STDERR_FILENO, bytes, (size_t)n) < 0)
		return true;
	return n > 0 || (n < 0 && errno == EAGAIN);
}

/* --- the process ------------------------------------------------------------------------ */

static void become(const struct fc_machine *machine, char **args, int words,
		   pid_t parent)
{
	sigset_t none;

	/* Whoever kills us means the machine. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		return;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	dup2(words, STDERR_FILENO);
	syscall(SYS_close_range, 3, ~0u, 0);
	execv(machine->program, args);
	dprintf(STDERR_FILENO, "lodge: cannot execute %s: %s\n",
		machine->program, strerror(errno));
}

static int spawn(struct fc_machine *machine, char **args,
		 struct fc_fault *fault)
{
	pid_t parent = getpid();
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return fc_fault(fault, "pipe: %s", strerror(errno));
	machine->pid = fork();
	if (!machine->pid) {
		become(machine, args, ends[1], parent);
		_exit(127);
	}
	close(ends[1]);
	machine->words = ends[0];
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	machine->said_size = 0;
	machine->said[0] = '\0';
	machine->pidfd = machine->pid < 0 ?
				 -1 :
				 (int)syscall(SYS_pidfd_open, machine->pid, 0);
	if (machine->pid > 0 && machine->pidfd >= 0)
		return 0;
	fc_fault(fault, "the machine's process cannot be made: %s",
		 strerror(errno));
	close(machine->words);
	machine->words = -1;
	if (machine->pid > 0) {
		kill(machine->pid, SIGKILL);
		waitpid(machine->pid, NULL, 0);
	}
	machine->pid = 0;
	return -1;
}

int fc_machine_end(struct fc_machine *machine)
{
	int status = 0;

	while (fc_machine_hear(machine) && machine->said_size)
		if (poll(&(struct pollfd){ machine->words, POLLIN, 0 }, 1, 0) <=
		    0)
			break;
	waitpid(machine->pid, &status, 0);
	if (machine->control >= 0)
		close(machine->control);
	close(machine->words);
	close(machine->pidfd);
	machine->control = machine->words = machine->pidfd = -1;
	machine->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) :
				   128 + WTERMSIG(status);
}

void fc_machine_stop(struct fc_machine *machine)
{
	if (machine->pid > 0)
		kill(machine->pid, SIGTERM);
}

/* --- the control socket ------------------------------------------------------------------ */

/* Whether the machine has ended. */
static bool has_ended(const struct fc_machine *machine)
{
	struct pollfd end = { machine->pidfd, POLLIN, 0 };

	return poll(&end, 1, 0) > 0;
}

/* A line until `deadline`, without its end, to be freed; NULL: none came. */
static char *read_line(struct fc_machine *machine, uint64_t deadline)
{
	char *line = malloc(LINE_MAX_);
	size_t size = 0;

	while (line && size < LINE_MAX_ - 1) {
		struct pollfd ready[] = {
			{ machine->control, POLLIN, 0 },
			{ machine->words, POLLIN, 0 },
		};
		uint64_t now = now_ms();

		if (now >= deadline ||
		    poll(ready, 2, (int)(deadline - now)) <= 0)
			break;
		if (ready[1].revents && !fc_machine_hear(machine) &&
		    has_ended(machine))
			break;
		if (!ready[0].revents)
			continue;
		/* One answer at a time: nothing follows a line. */
		ssize_t n = recv(machine->control, line + size,
				 LINE_MAX_ - 1 - size, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		size += n > 0 ? (size_t)n : 0;
		if (size && line[size - 1] == '\n') {
			line[size - 1] = '\0';
			return line;
		}
	}
	free(line);
	return NULL;
}

static int send_line(struct fc_machine *machine, const json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT), *line = NULL;
	int rc = -1;

	if (text && asprintf(&line, "%s\n", text) >= 0) {
		ssize_t size = (ssize_t)strlen(line);

		rc = send(machine->control, line, (size_t)size,
			  MSG_NOSIGNAL) == size ? 0 : -1;
	}
	free(line);
	free(text);
	return rc;
}

/* The result of an answer, or NULL with `fault`. */
static json_t *take_answer(const char *line, struct fc_fault *fault)
{
	json_t *answer = line ? json_loads(line, 0, NULL) : NULL;
	json_t *result = json_incref(json_object_get(answer, "result"));
	const char *message = json_string_value(json_object_get(
		json_object_get(answer, "error"), "message"));

	if (!result)
		fc_fault(fault, "%s", message ? message :
			 "the machine does not answer");
	json_decref(answer);
	return result;
}

static json_t *machine_ask(void *ctx, json_t *request, struct fc_fault *fault)
{
	struct fc_machine *machine = ctx;
	json_t *result = NULL;
	char *line = NULL;

	json_object_set_new(request, "id", json_integer(1));
	if (machine->control >= 0 && !send_line(machine, request))
		line = read_line(machine, now_ms() + ANSWER_MS);
	result = take_answer(line, fault);
	/* What comes late would be the answer to another request. */
	if (!line && machine->control >= 0) {
		close(machine->control);
		machine->control = -1;
	}
	free(line);
	json_decref(request);
	return result;
}

/* Until it greets, which it does when the guest runs. */
static int reach(struct fc_machine *machine, int folder)
{
	uint64_t deadline = now_ms() + START_MS;
	char *hello;

	while (machine->control < 0) {
		struct pollfd end[] = {
			{ machine->pidfd, POLLIN, 0 },
			{ machine->words, POLLIN, 0 },
		};

		machine->control = runtime_connect(folder, machine->name);
		if (machine->control >= 0)
			break;
		if (poll(end, 2, LOOK_MS) > 0 && end[1].revents)
			fc_machine_hear(machine);
		if (end[0].revents || now_ms() >= deadline)
			return -1;
	}
	hello = read_line(machine, deadline);
	free(hello);
	return hello ? 0 : -1;
}

static int machine_start(void *ctx, const struct fc_config *config,
			 struct fc_fault *fault)
{
	struct fc_machine *machine = ctx;
	static const char head[] = "lodge: ";
	struct vmm_error error;
	int folder = runtime_open(&error), rc = -1;
	char **args;

	if (folder < 0)
		return fc_fault(fault, "%s", error.text);
	args = fc_config_args(config, machine->name);
	if (!args)
		fc_fault(fault, "out of memory");
	else
		rc = spawn(machine, args, fault);
	fc_args_free(args);
	if (!rc && reach(machine, folder)) {
		const char *said = machine->said;

		fc_machine_stop(machine);
		fc_machine_end(machine);
		if (!strncmp(said, head, sizeof(head) - 1))
			said += sizeof(head) - 1;
		rc = fc_fault(fault, "the machine did not start: %s",
			      *said ? said : "it ended without a word");
	}
	close(folder);
	return rc;
}

/* A file, or a pipe that somebody reads or will. */
static int machine_open(void *ctx, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK |
				    O_CLOEXEC | O_NOCTTY, 0600);

	return fd < 0 ? -errno : fd;
}

static void machine_log(void *ctx, int fd)
{
	dup2(fd, STDERR_FILENO);
	close(fd);
}

const struct fc_machine_ops fc_machine_ops = {
	.start = machine_start,
	.ask = machine_ask,
	.open = machine_open,
	.log = machine_log,
};
