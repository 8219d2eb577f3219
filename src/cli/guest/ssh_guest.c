/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a guest ready for ssh(1): one command in it, as the account that is
 * to be logged in to, tells how far its start is, takes the key and prints the
 * host keys. It is run again until all is there. What it prints is a guest's:
 * of its host keys we keep what looks like one, under the machine's name.
 */
#include "cli/guest/ssh_guest.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/guest/exec.h"
#include "cli/guest/ssh_look.h"
#include "cli/option.h"
#include "image/seed.h"
#include "image/ssh_key.h"
#include "vm/host.h"

#define PAUSE_MS    200
#define TELL_NS	    1000000000ull
#define SETTLE_NS   3000000000ull /* an account may come after the server */
#define NS_PER_S    1000000000ull
#define NS_PER_MS   1000000ull

/*
 * The last line of the keys that are there may be without a newline. While
 * /run/lodge-keys is there, a first boot writes to the same file
 * (guests/debian/files/usr/lib/lodge/first-boot).
 */
static const char script[] =
	"PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n"
	"for p in sshd dropbear tinysshd; do\n"
	" command -v $p >/dev/null 2>&1 && echo installed\n"
	"done\n"
	"grep -qs ':0016 0*:0000 0A' /proc/net/tcp /proc/net/tcp6 &&"
	" echo listens\n"
	"[ ! -e /run/nologin ] || echo boots\n"
	"[ ! -e /run/lodge-keys ] || { echo boots; exit 0; }\n"
	"[ -n \"$LODGE_KEY\" ] || exit 0\n"
	"umask 077\n"
	"f=$HOME/.ssh/authorized_keys\n"
	"grep -qsxF -e \"$LODGE_KEY\" \"$f\" || {\n"
	" mkdir -p \"$HOME/.ssh\" || exit 1\n"
	" [ ! -s \"$f\" ] || [ -z \"$(tail -c 1 \"$f\")\" ] || echo >>\"$f\"\n"
	" printf '%s\\n' \"$LODGE_KEY\" >>\"$f\" || exit 1\n"
	"}\n"
	"cat /etc/ssh/ssh_host_*_key.pub 2>/dev/null\n"
	"exit 0\n";

struct waiting {
	struct ssh_guest *guest;
	char line[1100]; /* our public key */
	uint64_t start, deadline;
	/* When the server listened first and the account was missed, and why. */
	uint64_t without;
	char why[AGENT_TEXT_MAX];
	bool told;
	struct agent agent;
	struct ssh_look look;
};

bool ssh_user_valid(const char *user)
{
	size_t length = strlen(user);

	return length && length < SSH_USER_MAX && *user != '-' &&
	       strspn(user, "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
		       length;
}

/* --- a command in the guest ------------------------------------------------------ */

/* Its last word of what went wrong. */
static void keep_reason(struct ssh_look *look, const struct frame *frame)
{
	size_t size = frame->size;

	while (size && frame->data[size - 1] == '\n')
		size--;
	agent_printable(look->refused, sizeof(look->refused), frame->data,
			size);
}

/* 1: that was the last; 0; -1 with `error`. */
static int take_frame(struct waiting *w, const struct frame *frame,
		      struct vmm_error *error)
{
	struct ssh_look *look = &w->look;

	switch (frame->type) {
	case AGENT_STARTED:
		look->account = true;
		return 0;
	case AGENT_OUTPUT:
		ssh_look_add(look, frame->data, frame->size);
		return 0;
	case AGENT_ERRORS:
		keep_reason(look, frame);
		return 0;
	case AGENT_EXITED:
		if (frame->size == 1 && !frame->data[0])
			look->refused[0] = '\0';
		else if (!look->refused[0])
			strcpy(look->refused, "its shell failed");
		return 1;
	case AGENT_FAILED:
		/* No such account, if nothing else. */
		agent_failure(frame, look->refused);
		return 1;
	default:
		return agent_refuse(&w->agent, frame, error);
	}
}

static int send_request(struct waiting *w, const char *user, const char *key,
			struct vmm_error *error)
{
	static const char *const words[] = { "sh", "-c", script };
	struct agent *agent = &w->agent;
	char variable[sizeof(w->line) + 16];
	int rc = 0;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && !rc; i++)
		rc = agent_send(agent, AGENT_WORD, words[i], strlen(words[i]),
				error);
	snprintf(variable, sizeof(variable), "LODGE_KEY=%s", key);
	if (!rc)
		rc = agent_send(agent, AGENT_VARIABLE, variable,
				strlen(variable), error);
	if (!rc && user)
		rc = agent_send(agent, AGENT_USER, user, strlen(user), error);
	if (!rc)
		rc = agent_send(agent, AGENT_EXEC, NULL, 0, error);
	return rc ? rc : agent_send(agent, AGENT_INPUT, NULL, 0, error);
}

/* As `user`; NULL: root, who only looks. 0, or -1 with `error`. */
static int look_as(struct waiting *w, const char *user, struct vmm_error *error)
{
	uint64_t now = host_monotonic_ns();
	uint64_t left = w->deadline > now ? w->deadline - now : 0;
	const struct agent_patience patience = {
		(unsigned int)(left / NS_PER_S) + 1,
		w->told ? NULL : exec_tell_wait,
	};
	struct frame frame;
	int rc;

	w->look = (struct ssh_look){ 0 };
	rc = agent_open(&w->agent, w->guest->machine, &patience, error);
	if (!rc)
		rc = send_request(w, user, user ? w->line : "", error);
	while (!rc) {
		rc = agent_receive(&w->agent, &frame, error);
		if (!rc)
			rc = take_frame(w, &frame, error);
	}
	agent_close(&w->agent);
	return rc < 0 ? -1 : 0;
}

/* --- what it printed -------------------------------------------------------------- */

/* Whole or as it was. An older one stays when the guest told none. */
static int write_known(const struct ssh_guest *guest, const struct ssh_look *look)
{
	char draft[PATH_MAX + 32];
	bool good;
	FILE *out;
	int fd;

	snprintf(draft, sizeof(draft), "%s.%d", guest->known_hosts,
		 (int)getpid());
	fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	out = fd < 0 ? NULL : fdopen(fd, "w");
	good = out;
	for (unsigned int i = 0; i < look->keys && good; i++)
		good = fprintf(out, "%s %s\n", guest->machine,
			       look->key[i]) > 0;
	if (out && fclose(out))
		good = false;
	if (good && !rename(draft, guest->known_hosts))
		return 0;
	cli_error("%s: %s cannot be written", guest->command,
		  guest->known_hosts);
	unlink(draft);
	return -1;
}

/* --- waiting ---------------------------------------------------------------------- */

/* What the guest still lacks; NULL: nothing. */
static const char *lacks(const struct ssh_look *look, const char *user)
{
	return !look->listens ? "the ssh server" :
	       !look->account ? "the account" :
	       look->boots && strcmp(user, "root") ? "the end of the boot" :
						     NULL;
}

/* That waiting is of no use: -1 after cli_error(). */
static int check(struct waiting *w)
{
	const struct ssh_guest *guest = w->guest;
	const struct ssh_look *look = &w->look;
	uint64_t now = host_monotonic_ns();

	if (!look->listens && !look->installed) {
		cli_error("%s: the guest of %s has no ssh server: install one "
			  "there, such as openssh-server; lodge shell %s needs "
			  "none", guest->command, guest->machine,
			  guest->machine);
		return -1;
	}
	if (look->account && look->refused[0]) {
		cli_error("%s: the account %s in the guest of %s takes no key: "
			  "%s", guest->command, guest->user, guest->machine,
			  look->refused);
		return -1;
	}
	if (!look->listens || look->account || look->boots)
		return 0;
	if (!w->without)
		w->without = now;
	if (now - w->without < SETTLE_NS && now < w->deadline)
		return 0;
	cli_error("%s: the guest of %s refuses the account %s: %s; name "
		  "another one with --user", guest->command, guest->machine,
		  guest->user, w->why);
	return -1;
}

static int wait_for(struct waiting *w, const char *what)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MS * NS_PER_MS };
	const struct ssh_guest *guest = w->guest;
	uint64_t now = host_monotonic_ns();

	if (now >= w->deadline) {
		cli_error("%s: waited %u s in vain for %s in the guest of %s; "
			  "--timeout SECONDS waits longer", guest->command,
			  guest->timeout, what, guest->machine);
		return -1;
	}
	if (!w->told && now >= w->start + TELL_NS) {
		cli_error("waiting for %s in the guest of %s", what,
			  guest->machine);
		w->told = true;
	}
	nanosleep(&pause, NULL);
	return 0;
}

/* One look, as root when the account is not there. */
static int look_around(struct waiting *w)
{
	struct vmm_error error;
	int rc = look_as(w, w->guest->user, &error);

	if (!rc && !w->look.account) {
		strcpy(w->why, w->look.refused);
		rc = look_as(w, NULL, &error);
		w->look.account = false;
	}
	if (rc) {
		cli_error("%s: %s", w->guest->command, error.text);
		return -1;
	}
	return 0;
}

static int wait_until_ready(struct waiting *w)
{
	const char *what;

	for (;;) {
		if (look_around(w))
			return -1;
		ssh_look_read(&w->look);
		if (check(w))
			return -1;
		what = lacks(&w->look, w->guest->user);
		if (!what)
			return 0;
		if (wait_for(w, what))
			return -1;
	}
}

/* --- the whole --------------------------------------------------------------------- */

int ssh_guest_open(struct ssh_guest *guest)
{
	struct disk_error error;
	struct store store;
	int rc;

	if (store_open(&store, &error)) {
		cli_error("%s: %s", guest->command, error.text);
		return -1;
	}
	rc = ssh_key_find(&store, guest->key, &error);
	if (rc)
		cli_error("%s: %s", guest->command, error.text);
	snprintf(guest->known_hosts, sizeof(guest->known_hosts),
		 "%s/ssh/%s.known_hosts", store.path, guest->machine);
	store_close(&store);
	return rc;
}

/* The key's public half, without its newline. */
static int read_line(struct waiting *w)
{
	char path[PATH_MAX + 8];
	struct disk_error error;
	struct seed seed = { 0 };
	int rc;

	snprintf(path, sizeof(path), "%s.pub", w->guest->key);
	rc = seed_read_keys(&seed, path, &error);
	if (rc)
		cli_error("%s: %s", w->guest->command, error.text);
	else
		snprintf(w->line, sizeof(w->line), "%s", seed.key[0]);
	seed_free_keys(&seed);
	return rc;
}

int ssh_guest_prepare(struct ssh_guest *guest)
{
	struct waiting *w = calloc(1, sizeof(*w));
	int rc;

	if (!w) {
		cli_error("%s: out of memory", guest->command);
		return -1;
	}
	w->guest = guest;
	w->start = host_monotonic_ns();
	w->deadline = w->start + guest->timeout * NS_PER_S;
	rc = read_line(w);
	if (!rc)
		rc = wait_until_ready(w);
	if (!rc && w->look.keys)
		rc = write_known(guest, &w->look);
	guest->known = !rc && w->look.keys;
	free(w);
	return rc;
}
