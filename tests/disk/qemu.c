/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/host.h"

#define PROGRAM "qemu-img"
#define SECRET	"secret,id=s,data=" TRIAL_PASSPHRASE

/* qemu-img check's exit status. */
enum { SOUND = 0, DAMAGED = 2, LEAKS = 3, NO_CHECK = 63 };

extern char **environ;

/* Its exit status; what it says goes to `log`. In `folder`, since it looks for
 * data files where it is started. */
static int run(char *const argv[], const char *folder, const char *log)
{
	posix_spawn_file_actions_t files;
	int status = -1;
	pid_t pid;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 1, log,
					 O_CREAT | O_TRUNC | O_WRONLY, 0644);
	posix_spawn_file_actions_adddup2(&files, 1, 2);
	posix_spawn_file_actions_addchdir_np(&files, folder);
	if (!posix_spawnp(&pid, PROGRAM, &files, NULL, argv, environ))
		waitpid(pid, &status, 0);
	posix_spawn_file_actions_destroy(&files);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool qemu_knows(const struct trial_kind *kind)
{
	char *const argv[] = { PROGRAM, "--version", NULL };

	return kind->qemu && !run(argv, "/", "/dev/null");
}

static bool refuse(const char *what, const char *log)
{
	char line[512];
	FILE *file = fopen(log, "re");

	fprintf(stderr, "qemu-img does not %s:\n", what);
	while (file && fgets(line, sizeof(line), file))
		fputs(line, stderr);
	if (file)
		fclose(file);
	return false;
}

/*
 * Whether all that it finds is clusters in use once that are not marked so,
 * which is what a loss amid a change of snapshots leaves: count and mark are in
 * two places. It calls that an error, but it is none to anybody: such clusters
 * are copied before they are written.
 */
static bool unmarked_only(const char *log)
{
	char line[512];
	FILE *file = fopen(log, "re");
	bool good = file;

	while (good && fgets(line, sizeof(line), file))
		good = strncmp(line, "ERROR", 5) ||
		       (strstr(line, "OFLAG_COPIED") &&
			strstr(line, "refcount=1\n"));
	if (file)
		fclose(file);
	return good;
}

/* The bytes of the raw file `path`. */
static bool compare(const struct trial *trial, const char *path)
{
	uint8_t bytes[128 * MODEL_SECTOR];
	uint64_t first = 0, sectors = trial->model->sectors;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool good = fd >= 0;

	while (good && first < sectors) {
		uint64_t left = (sectors - first) * MODEL_SECTOR;
		ssize_t got = pread(fd, bytes,
				    left < sizeof(bytes) ? left : sizeof(bytes),
				    (off_t)(first * MODEL_SECTOR));

		if (got < (ssize_t)MODEL_SECTOR)
			break; /* shorter then */
		good = model_check(trial->model, first,
				   (uint64_t)got / MODEL_SECTOR, bytes, true);
		first += (uint64_t)got / MODEL_SECTOR;
	}
	if (fd >= 0)
		close(fd);
	return good;
}

bool qemu_accepts(const struct trial *trial, const char *folder)
{
	const char *name = strrchr(trial->path, '/') + 1;
	char image[PATH_MAX], log[PATH_MAX], raw[PATH_MAX], from[2 * PATH_MAX];
	bool luks = !strcmp(trial->kind->format, "luks");
	/* A log is replayed by those only that may write. */
	bool vhdx = !strcmp(trial->kind->format, "vhdx");
	char *const check[] = { PROGRAM, "check", "-q", "--object", SECRET,
				"--image-opts", from, vhdx ? "-r" : NULL, "all",
				NULL };
	char *const repair[] = { PROGRAM, "check", "-q", "--object", SECRET,
				 "--image-opts", from, "-r", "all", NULL };
	char *const convert[] = { PROGRAM, "convert", "-O", "raw", "--object",
				  SECRET, "--image-opts", from, raw, NULL };
	const char *key = "";
	int status;

	snprintf(image, sizeof(image), "%s/%s", folder, name);
	snprintf(log, sizeof(log), "%s/qemu.log", folder);
	snprintf(raw, sizeof(raw), "%s/qemu.raw", folder);
	if (trial->kind->encrypted)
		key = luks ? ",key-secret=s" : ",encrypt.key-secret=s";
	snprintf(from, sizeof(from), "driver=%s,%sfile.filename=%s%s",
		 trial->kind->qemu, trial->kind->under ? "file." : "", image,
		 trial->kind->under
			 ? ",file.driver=luks,file.key-secret=s" : key);
	status = luks ? NO_CHECK : run(check, folder, log);
	if (status == DAMAGED && unmarked_only(log))
		status = run(repair, folder, log);
	if (status != SOUND && status != LEAKS && status != NO_CHECK)
		return refuse("find it sound", log);
	if (run(convert, folder, log))
		return refuse("read it", log);
	return compare(trial, raw) || refuse("see what was flushed", log);
}
