/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodged: keeps machines and serves the API. Its socket is lodged.api in the
 * runtime folder (vmm/runtime.h), or the one that systemd hands over
 * (sd_listen_fds(3)); what it keeps is in the data folder (host/linux/data.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "host/linux/data.h"
#include "host/linux/loop.h"
#include "host/linux/notify.h"
#include "host/linux/program.h"
#include "host/linux/signals.h"
#include "manage/api/api.h"
#include "manage/http/http.h"
#include "manage/manager.h"
#include "vmm/listener.h"
#include "vmm/runtime.h"
#include "vmm/unix_socket.h"

#define SYSTEMD_FD 3
#define LISTEN_QUEUE 64
#define IDLE_MS	   60000 /* after which a private one may end */

#define RESTART	    "systemctl restart lodged"
#define RESTART_OWN "systemctl --user restart lodged"

struct daemon {
	struct loop *loop;
	struct manager manager;
	struct api api;
	struct http *http;
	struct unix_socket socket;
	struct listener remote;
	struct http_tls tls;
	const char *listen; /* where; NULL: nowhere */
	unsigned int rate;
	int listener, signals;
	int ready; /* descriptor to be told, or -1 */
	bool private, socket_is_systemds;
	struct timer idle;
	char folder[DATA_PATH_MAX], program[PATH_MAX];
	char vm_program[PATH_MAX];
};

static void usage(FILE *to)
{
	fprintf(to, "usage: lodged [OPTIONS]\n\n"
		"Keeps machines and serves the API of docs/daemon.md; lodge "
		"starts one when it\nis needed.\n\n"
		"  --private             end when no machine runs and nobody "
		"asks\n"
		"  --ready FD            write to FD when it serves\n"
		"  --listen ADDRESS:PORT serve at this address too, by TLS, for "
		"clients with a\n"
		"                        token (lodge token)\n"
		"  --cert FILE           its certificate, and those up to the "
		"authority, in PEM\n"
		"  --key FILE            its private key\n"
		"  --client-ca FILE      clients have to have a certificate of "
		"this authority\n"
		"  --rate N              requests a second of each token "
		"(100; 0: no limit)\n"
		"  --version             print the version\n"
		"  --help                print this\n");
}

/* One line to whoever started us, and to the log. */
static int fail(struct daemon *daemon, const char *what)
{
	fprintf(stderr, "lodged: %s\n", what);
	if (daemon->ready >= 0)
		dprintf(daemon->ready, "%s\n", what);
	return 1;
}

static int take_rate(struct daemon *daemon, const char *word)
{
	char *end;

	daemon->rate = (unsigned int)strtoul(word, &end, 10);
	if (!*end && end != word && *word != '-')
		return 0;
	fprintf(stderr, "lodged: --rate %s: give a number\n", word);
	return -1;
}

static bool is_remote_whole(const struct daemon *daemon)
{
	const struct http_tls *tls = &daemon->tls;

	return daemon->listen ?
		       tls->certificate && tls->key :
		       !tls->certificate && !tls->key && !tls->client_ca;
}

/* The status to end with, or -1 to go on. */
static int take_options(struct daemon *daemon, int argc, char **argv)
{
	static const struct option options[] = {
		{ "private", no_argument, NULL, 'p' },
		{ "ready", required_argument, NULL, 'r' },
		{ "listen", required_argument, NULL, 'l' },
		{ "cert", required_argument, NULL, 'c' },
		{ "key", required_argument, NULL, 'k' },
		{ "client-ca", required_argument, NULL, 'a' },
		{ "rate", required_argument, NULL, 't' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case 'p':
			daemon->private = true;
			break;
		case 'r':
			daemon->ready = atoi(optarg);
			fcntl(daemon->ready, F_SETFD, FD_CLOEXEC);
			break;
		case 'l':
			daemon->listen = optarg;
			break;
		case 'c':
			daemon->tls.certificate = optarg;
			break;
		case 'k':
			daemon->tls.key = optarg;
			break;
		case 'a':
			daemon->tls.client_ca = optarg;
			break;
		case 't':
			if (take_rate(daemon, optarg))
				return 2;
			break;
		case 'v':
			printf("lodged %s\n", LODGE_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			fprintf(stderr, "lodged: %s: %s; see lodged --help\n",
				argv[optind - 1], option == ':' ?
				"its value is missing" : "unknown option");
			return 2;
		}
	}
	if (optind != argc) {
		fprintf(stderr, "lodged: unexpected argument \"%s\"; see "
			"lodged --help\n", argv[optind]);
		return 2;
	}
	if (!is_remote_whole(daemon)) {
		fprintf(stderr, "lodged: --listen, --cert and --key go "
			"together\n");
		return 2;
	}
	return -1;
}

/* Where things are: 0 or -1 after fail(). */
static int find_places(struct daemon *daemon)
{
	if (data_path(daemon->folder) || data_make(daemon->folder))
		return fail(daemon, "its data folder cannot be made; set HOME "
				    "or XDG_DATA_HOME to one of your own");
	if (!program_beside(daemon->program, "lodge") ||
	    !program_beside(daemon->vm_program, "lodge-vm"))
		return fail(daemon, "the programs lodge and lodge-vm are not "
				    "beside lodged");
	return 0;
}

/* Tells who listens there, as a process to end. */
static int fail_taken(struct daemon *daemon, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred who = { 0 };
	socklen_t size = sizeof(who);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char line[400];

	if (strlen(path) < sizeof(address.sun_path))
		strcpy(address.sun_path, path);
	if (fd >= 0 &&
	    !connect(fd, (struct sockaddr *)&address, sizeof(address)))
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size);
	if (fd >= 0)
		close(fd);
	if (who.pid)
		snprintf(line, sizeof(line), "%.200s: in use by process %d, "
			 "another lodged; end that first (its machines go on)",
			 path, (int)who.pid);
	else
		snprintf(line, sizeof(line), "%.200s: in use", path);
	return fail(daemon, line);
}

/* A socket of systemd's, or our own. */
static int open_listener(struct daemon *daemon)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	const struct timespec pause = { .tv_nsec = MANAGER_TRY_NS };
	char path[RUNTIME_PATH_MAX];
	struct vmm_error error;
	int folder;

	if (pid && fds && atoi(pid) == getpid() && atoi(fds) == 1) {
		daemon->listener = SYSTEMD_FD;
		fcntl(SYSTEMD_FD, F_SETFD, FD_CLOEXEC);
		fcntl(SYSTEMD_FD, F_SETFL, O_NONBLOCK);
		daemon->socket_is_systemds = true;
		unsetenv("LISTEN_PID");
		unsetenv("LISTEN_FDS");
		return 0;
	}
	folder = runtime_open(&error);
	if (folder < 0)
		return fail(daemon, error.text);
	close(folder);
	runtime_path(path, "lodged", "api");
	for (int i = 0; i < MANAGER_TRIES; i++) {
		if (!unix_socket_listen(&daemon->socket, "api socket", path,
					&error)) {
			daemon->listener = daemon->socket.fd;
			return 0;
		}
		nanosleep(&pause, NULL);
	}
	return access(path, F_OK) ? fail(daemon, error.text) :
				    fail_taken(daemon, path);
}

/* The files are tried here, so that what is wrong has a name. */
static int open_remote(struct daemon *daemon)
{
	const char *const files[] = { daemon->tls.certificate,
				      daemon->tls.key,
				      daemon->tls.client_ca };
	struct vmm_error error;
	char line[400];

	if (!daemon->listen)
		return 0;
	for (unsigned int i = 0; i < 3; i++) {
		if (!files[i] || !access(files[i], R_OK))
			continue;
		snprintf(line, sizeof(line), "%.300s: %s", files[i],
			 strerror(errno));
		return fail(daemon, line);
	}
	if (listener_open(&daemon->remote, "--listen", daemon->listen,
			  LISTEN_QUEUE, &error))
		return fail(daemon, error.text);
	daemon->tls.listener = daemon->remote.fd;
	return 0;
}

static void signal_came(void *ctx, uint32_t events)
{
	struct daemon *daemon = ctx;
	struct signalfd_siginfo info;

	if (read(daemon->signals, &info, sizeof(info)) == sizeof(info))
		http_stop(daemon->http);
}

static int watch_signals(struct daemon *daemon)
{
	signal(SIGPIPE, SIG_IGN);
	daemon->signals = signals_open(NULL, NULL);
	return daemon->signals < 0 ? daemon->signals :
				     loop_add(daemon->loop, daemon->signals,
					      LOOP_READ, signal_came, daemon);
}

static void look_idle(void *ctx)
{
	struct daemon *daemon = ctx;

	if (!daemon->api.clients && !manager_running(&daemon->manager))
		http_stop(daemon->http);
	else
		timer_set(&daemon->manager.timers, &daemon->idle, IDLE_MS);
}

static int serve(struct daemon *daemon)
{
	struct problem problem;

	if (loop_create(&daemon->loop) || watch_signals(daemon))
		return fail(daemon, "no event loop: the host is out of "
				    "descriptors or memory");
	if (find_places(daemon) || open_listener(daemon) ||
	    open_remote(daemon))
		return 1;
	if (manager_open(&daemon->manager, daemon->loop, daemon->folder,
			 daemon->program, daemon->vm_program, &problem))
		return fail(daemon, problem.text);
	if (api_init(&daemon->api, &daemon->manager, &problem)) {
		manager_close(&daemon->manager);
		return fail(daemon, problem.text);
	}
	daemon->api.access.rate = daemon->rate;
	if (daemon->socket_is_systemds)
		daemon->api.ended_by = getuid() ? RESTART_OWN : RESTART;
	daemon->http = http_open(daemon->loop, &daemon->api, daemon->listener,
				 &daemon->tls);
	if (!daemon->http) {
		manager_close(&daemon->manager);
		return fail(daemon, daemon->listen ?
			    "cannot serve TLS: --cert, --key or --client-ca "
			    "is no such thing, or the key is another's" :
			    "cannot serve HTTP: out of memory");
	}
	daemon->idle.fire = look_idle;
	daemon->idle.ctx = daemon;
	if (daemon->private)
		timer_set(&daemon->manager.timers, &daemon->idle, IDLE_MS);
	if (daemon->ready >= 0) {
		dprintf(daemon->ready, *daemon->manager.note ? "ok %s\n" :
							      "ok%s\n",
			daemon->manager.note);
		close(daemon->ready);
		daemon->ready = -1;
	}
	notify_manager("READY=1");
	http_run(daemon->http);
	notify_manager("STOPPING=1");
	http_close(daemon->http);
	api_close(&daemon->api);
	manager_close(&daemon->manager);
	return 0;
}

int main(int argc, char **argv)
{
	struct daemon daemon = { .listener = -1, .signals = -1, .ready = -1,
				 .socket.fd = -1, .rate = ACCESS_RATE,
				 .remote = LISTENER_NONE,
				 .tls.listener = -1 };
	int status = take_options(&daemon, argc, argv);

	/* For programs that we start: they are to work here. */
	unsetenv("LODGE_HOST");

	if (status < 0) {
		status = serve(&daemon);
		unix_socket_close(&daemon.socket);
		listener_close(&daemon.remote);
		loop_destroy(daemon.loop);
	}
	return status;
}
