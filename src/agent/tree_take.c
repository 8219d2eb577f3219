/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes a tree from somebody who may mean harm; see tree.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/tree.h"

#define NS_PER_S 1000000000u

/* `error` as it is, or why, with a name that is made harmless. */
static int refuse(struct tree_taker *taker, int error, const char *name,
		  const char *why)
{
	char shown[AGENT_NAME_MAX + 1];
	size_t i = 0;

	for (; name[i] && i < sizeof(shown) - 1; i++)
		shown[i] = name[i] >= ' ' && name[i] < 0x7f ? name[i] : '?';
	shown[i] = '\0';
	snprintf(taker->error, sizeof(taker->error), "%s: %s", shown,
		 why ? why : strerror(error));
	return error;
}

static int no_sense(struct tree_taker *taker)
{
	return refuse(taker, EPROTO, "the sender", "speaks no sense");
}

/* --- where to ---------------------------------------------------------------- */

static int open_folder(struct tree_taker *taker, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	taker->level[0] = (struct tree_level){ .folder = fd };
	return fd < 0 ? refuse(taker, errno, path, NULL) : 0;
}

int tree_open(struct tree_taker *taker, const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];
	struct stat status;

	taker->file = -1;
	taker->level[0].folder = -1;
	if (!stat(path, &status) && S_ISDIR(status.st_mode)) {
		snprintf(taker->top, sizeof(taker->top), "%s", name);
		return open_folder(taker, path);
	}
	if (slash && !slash[1])
		return refuse(taker, ENOENT, path, NULL);
	taker->named = true;
	snprintf(taker->top, sizeof(taker->top), "%s",
		 slash ? slash + 1 : path);
	if (!slash)
		return open_folder(taker, ".");
	if ((size_t)(slash - path) + 2 > sizeof(parent))
		return refuse(taker, ENAMETOOLONG, path, NULL);
	snprintf(parent, sizeof(parent), "%.*s",
		 (int)(slash - path) + (slash == path), path);
	return open_folder(taker, parent);
}

/* --- entries ------------------------------------------------------------------ */

static bool name_is_fine(const char *name, size_t size)
{
	return size && size <= AGENT_NAME_MAX && !memchr(name, '/', size) &&
	       !memchr(name, '\0', size) && strncmp(name, ".", size) &&
	       strncmp(name, "..", size);
}

/*
 * The entry's own words; `name` is where it goes here: at the top what whoever
 * asked has said. False: no sense.
 */
static bool read_entry(struct tree_taker *taker, const struct frame *frame,
		       struct tree_entry *entry, char name[AGENT_NAME_MAX + 1],
		       const char **target)
{
	const char *said = (const char *)frame->data + TREE_ENTRY;
	size_t size;

	if (frame->size < TREE_ENTRY || (!taker->depth && taker->begun))
		return false;
	size = strnlen(said, frame->size - TREE_ENTRY);
	*entry = (struct tree_entry){
		.mode = frame_get32(frame->data) & taker->modes,
		.size = frame_get64(frame->data + 4),
		.seconds = (int64_t)frame_get64(frame->data + 12),
		.nanoseconds = frame_get32(frame->data + 20) % NS_PER_S,
	};
	*target = said + size;
	if (!taker->depth) {
		strcpy(name, taker->top);
		return true;
	}
	if (!name_is_fine(said, size))
		return false;
	memcpy(name, said, size);
	name[size] = '\0';
	return true;
}

static void times_of(const struct tree_entry *entry, struct timespec times[2])
{
	times[0] = (struct timespec){ .tv_nsec = UTIME_OMIT };
	times[1] = (struct timespec){ .tv_sec = entry->seconds,
				      .tv_nsec = entry->nanoseconds };
}

static int here(const struct tree_taker *taker)
{
	return taker->level[taker->depth].folder;
}

static int begin_folder(struct tree_taker *taker, const char *name,
			const struct tree_entry *entry)
{
	bool top = !taker->depth;
	bool made = false;
	int fd, flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

	if (taker->depth + 1 == AGENT_DEPTH_MAX)
		return refuse(taker, EPROTO, name, "too deep");
	if (strcmp(name, ".")) {
		made = !mkdirat(here(taker), name, 0700);
		if (!made && errno != EEXIST)
			return refuse(taker, errno, name, NULL);
	}
	if (!top || !taker->named)
		flags |= O_NOFOLLOW;
	fd = openat(here(taker), name, flags);
	if (fd < 0)
		return refuse(taker, errno, name, NULL);
	taker->level[++taker->depth] = (struct tree_level){
		.folder = fd,
		.made = made,
		.entry = *entry,
	};
	return 0;
}

static int end_folder(struct tree_taker *taker)
{
	struct tree_level *level = &taker->level[taker->depth];
	struct timespec times[2];

	if (!taker->depth)
		return no_sense(taker);
	if (level->made) {
		times_of(&level->entry, times);
		if (fchmod(level->folder, level->entry.mode) ||
		    futimens(level->folder, times))
			return refuse(taker, errno, "a folder", NULL);
	}
	close(level->folder);
	taker->depth--;
	return 0;
}

/* In place of what has that name, but for a folder. */
static int begin_file(struct tree_taker *taker, const char *name,
		      const struct tree_entry *entry)
{
	const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY |
			  O_NONBLOCK;
	int fd;

	taker->entry = *entry;
	/* What whoever asked has named is written to, whatever it is. */
	if (!taker->depth && taker->named)
		fd = openat(here(taker), name, flags | O_TRUNC, 0600);
	else if (unlinkat(here(taker), name, 0) && errno != ENOENT)
		return refuse(taker, errno, name, NULL);
	else
		fd = openat(here(taker), name, flags | O_EXCL | O_NOFOLLOW,
			    0600);
	if (fd < 0)
		return refuse(taker, errno, name, NULL);
	fcntl(fd, F_SETFL, 0); /* a pipe that was named is waited for */
	taker->file = fd;
	return 0;
}

static int end_file(struct tree_taker *taker)
{
	struct timespec times[2];
	struct stat status;
	int fd = taker->file;
	int rc = 0;

	if (fd < 0)
		return 0;
	taker->file = -1;
	times_of(&taker->entry, times);
	if (!fstat(fd, &status) && S_ISREG(status.st_mode) &&
	    (fchmod(fd, taker->entry.mode) || futimens(fd, times)))
		rc = errno;
	if (close(fd) && !rc)
		rc = errno;
	return rc ? refuse(taker, rc, "a file", NULL) : 0;
}

static int take_data(struct tree_taker *taker, const struct frame *frame)
{
	for (uint32_t done = 0; done < frame->size;) {
		ssize_t n = write(taker->file, frame->data + done,
				  frame->size - done);

		if (n < 0 && errno != EINTR)
			return refuse(taker, errno, "a file", NULL);
		if (n > 0)
			done += (uint32_t)n;
	}
	return 0;
}

static int make_link(struct tree_taker *taker, const char *name,
		     const struct tree_entry *entry, const char *target,
		     size_t size)
{
	char text[PATH_MAX];
	struct timespec times[2];

	/* The first of all is what was asked for, and no link. */
	if (!taker->depth || size < 2 || size > sizeof(text) ||
	    memchr(target + 1, '\0', size - 1))
		return no_sense(taker);
	memcpy(text, target + 1, size - 1);
	text[size - 1] = '\0';
	if (unlinkat(here(taker), name, 0) && errno != ENOENT)
		return refuse(taker, errno, name, NULL);
	times_of(entry, times);
	if (symlinkat(text, here(taker), name) ||
	    utimensat(here(taker), name, times, AT_SYMLINK_NOFOLLOW))
		return refuse(taker, errno, name, NULL);
	return 0;
}

/* --- frames ------------------------------------------------------------------- */

static int take_entry(struct tree_taker *taker, const struct frame *frame)
{
	const char *end = (const char *)frame->data + frame->size;
	char name[AGENT_NAME_MAX + 1];
	struct tree_entry entry;
	const char *target;

	if (!read_entry(taker, frame, &entry, name, &target))
		return no_sense(taker);
	taker->begun = true;
	switch (frame->type) {
	case AGENT_TREE_FOLDER:
		return begin_folder(taker, name, &entry);
	case AGENT_TREE_FILE:
		return begin_file(taker, name, &entry);
	default:
		return make_link(taker, name, &entry, target,
				 (size_t)(end - target));
	}
}

int tree_take(struct tree_taker *taker, const struct frame *frame)
{
	int rc;

	if (taker->ended)
		return no_sense(taker);
	if (frame->type == AGENT_TREE_DATA)
		return taker->file < 0 ? no_sense(taker) :
					 take_data(taker, frame);
	if (frame->type == AGENT_TREE_SKIPPED) {
		taker->skipped++;
		if (taker->tell_skipped)
			taker->tell_skipped(frame->data, frame->size);
		return 0;
	}
	rc = end_file(taker);
	if (rc)
		return rc;
	switch (frame->type) {
	case AGENT_TREE_FOLDER:
	case AGENT_TREE_FILE:
	case AGENT_TREE_LINK:
		return take_entry(taker, frame);
	case AGENT_TREE_UP:
		return end_folder(taker);
	case AGENT_TREE_END:
		taker->ended = true;
		return taker->depth || !taker->begun ? no_sense(taker) : 0;
	default:
		return no_sense(taker);
	}
}

void tree_close(struct tree_taker *taker)
{
	if (taker->file >= 0)
		close(taker->file);
	taker->file = -1;
	for (;; taker->depth--) {
		if (taker->level[taker->depth].folder >= 0)
			close(taker->level[taker->depth].folder);
		taker->level[taker->depth].folder = -1;
		if (!taker->depth)
			break;
	}
}
