/* SPDX-License-Identifier: Apache-2.0 */
#include "image/build.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FACTS_LINE_MAX 1024
#define LOCK_FD	       3

/* In the child: the recipe, which ends with us whatever ends us. */
static _Noreturn void become_recipe(const struct build *build,
				    const struct store_draft *draft,
				    const sigset_t *mask, pid_t parent)
{
	char size[32];
	int null = open("/dev/null", O_RDONLY);

	if (prctl(PR_SET_PDEATHSIG, SIGTERM) || getppid() != parent)
		_exit(126);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	/* The draft's lock is the recipe's as well; of all else it gets nothing.
	 * APT has its hooks write to descriptors by number, in a shell that
	 * knows none above 9. */
	if (dup2(draft->folder, LOCK_FD) < 0)
		_exit(126);
	fcntl(LOCK_FD, F_SETFD, 0);
	close_range(LOCK_FD + 1, ~0u, 0);
	if (build->agent)
		setenv("LODGE_AGENT", build->agent, 1);
	snprintf(size, sizeof(size), "%" PRIu64, build->size);
	execl(build->recipe, build->recipe, draft->path, size, build->suite,
	      build->packages, (char *)NULL);
	fprintf(stderr, "image: %s: %s\n", build->recipe, strerror(errno));
	_exit(127);
}

/*
 * Waits for the recipe; a signal that is to end us ends it, and then the
 * caller goes the way of a failure. They are blocked in `mask`.
 */
static int wait_for(pid_t child, const sigset_t *mask)
{
	int status = 0, signal_number;
	pid_t done;

	for (;;) {
		done = waitpid(child, &status, WNOHANG);
		if (done == child)
			break;
		if (done < 0 && errno != EINTR)
			return -1;
		/* SIGCHLD is one of them. */
		if (!sigwait(mask, &signal_number) && signal_number != SIGCHLD)
			kill(child, SIGTERM);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int run_recipe(const struct build *build,
		      const struct store_draft *draft,
		      struct disk_error *error)
{
	sigset_t mask, before;
	pid_t self = getpid(), child;
	int status;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, &before);
	fflush(NULL);
	child = fork();
	if (!child)
		become_recipe(build, draft, &before, self);
	if (child < 0) {
		disk_error_set(error, -errno, "cannot start %s: %s",
			       build->recipe, strerror(errno));
		sigprocmask(SIG_SETMASK, &before, NULL);
		return -1;
	}
	status = wait_for(child, &mask);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return status ? 1 : 0;
}

static void take_fact(struct image_record *record, char *line)
{
	static const struct {
		const char *name;
		size_t offset, size;
	} facts[] = {
		{ "system", offsetof(struct image_record, system),
		  sizeof(record->system) },
		{ "append", offsetof(struct image_record, append),
		  sizeof(record->append) },
	};
	char *value = strchr(line, '=');

	line[strcspn(line, "\n")] = '\0';
	if (!value)
		return;
	*value++ = '\0';
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		if (!strcmp(line, facts[i].name))
			snprintf((char *)record + facts[i].offset,
				 facts[i].size, "%s", value);
}

/* What the recipe left, as a record. */
static int describe(const struct build *build, const struct store_draft *draft,
		    struct image_record *record, struct disk_error *error)
{
	int fd = openat(draft->folder, "facts", O_RDONLY | O_CLOEXEC);
	FILE *facts = fd < 0 ? NULL : fdopen(fd, "r");
	char line[FACTS_LINE_MAX];
	struct stat status;

	*record = (struct image_record){
		.disk = "disk.raw",
		.kernel = "kernel",
		.initrd = "initrd",
		.format = "raw",
		.firmware = "any",
		.created = time(NULL),
	};
	if (!facts || fstatat(draft->folder, record->disk, &status, 0)) {
		disk_error_set(error, -EIO, "%s left no image", build->recipe);
		if (facts)
			fclose(facts);
		return -1;
	}
	while (fgets(line, sizeof(line), facts))
		take_fact(record, line);
	fclose(facts);
	unlinkat(draft->folder, "facts", 0);
	record->size = (uint64_t)status.st_size;
	snprintf(record->name, sizeof(record->name), "%s", build->name);
	snprintf(record->source, sizeof(record->source), "%s", build->source);
	return 0;
}

int build_image(struct store *store, const struct build *build,
		struct disk_error *error)
{
	struct image_record record;
	struct store_draft draft;
	int err;

	if (store_may_make(store, build->name, build->replace, error) ||
	    store_begin(store, &draft, error))
		return -1;
	err = run_recipe(build, &draft, error);
	if (!err)
		err = describe(build, &draft, &record, error);
	if (err) {
		store_abandon(&draft);
		return err;
	}
	return store_finish(&draft, &record, build->replace, error);
}
