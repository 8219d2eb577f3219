/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what a guest may send as its agent: bytes in frames, taken as a tree
 * of files into a folder of their own, and as reasons for people. Beside that
 * folder nothing may come to be.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/tree.h"
#include "fuzz_device.h"
#include "vmm/guest/agent.h"

static char base[] = "/tmp/lodge-fuzz-XXXXXX";

/* All that is in a folder, and then itself; links are not followed. */
static void clear(int parent, const char *name, bool itself)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	const struct dirent *entry;
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (!list)
		return;
	fchmod(fd, 0700);
	while ((entry = readdir(list))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (unlinkat(fd, entry->d_name, 0))
			clear(fd, entry->d_name, true);
	}
	closedir(list);
	if (itself)
		unlinkat(parent, name, AT_REMOVEDIR);
}

/* The base holds the one folder "to", and what is in it may be anything. */
static void check(void)
{
	DIR *list = opendir(base);
	unsigned int count = 0;

	if (!list)
		abort();
	while (readdir(list))
		count++;
	closedir(list);
	if (count != 3)
		abort();
}

static void leave(void)
{
	clear(AT_FDCWD, base, true);
}

static void make_base(void)
{
	if (!mkdtemp(base))
		abort();
	atexit(leave);
}

/* Two bytes of each frame choose its type and size; then they are as said. */
static bool next_frame(const uint8_t **data, size_t *size, struct frame *frame)
{
	static const uint8_t types[] = {
		AGENT_TREE_FOLDER, AGENT_TREE_UP,      AGENT_TREE_FILE,
		AGENT_TREE_DATA,   AGENT_TREE_LINK,    AGENT_TREE_SKIPPED,
		AGENT_TREE_END,	   AGENT_FAILED,
	};

	if (*size < 2)
		return false;
	frame->type = types[(*data)[0] % sizeof(types)];
	frame->size = (*data)[1];
	*data += 2;
	*size -= 2;
	if (frame->size > *size)
		frame->size = (uint32_t)*size;
	frame->data = *data;
	*data += frame->size;
	*size -= frame->size;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tree_taker taker;
	char text[AGENT_TEXT_MAX], to[sizeof(base) + 4];
	struct frame frame;

	if (strstr(base, "XXXXXX"))
		make_base();
	snprintf(to, sizeof(to), "%s/to", base);
	if (mkdir(to, 0700))
		abort();
	memset(&taker, 0, sizeof(taker));
	taker.modes = 0777;
	if (tree_open(&taker, to, "top"))
		abort();
	while (next_frame(&data, &size, &frame)) {
		agent_failure(&frame, text);
		for (const char *at = text; *at; at++)
			if (*at < ' ' || *at > '~')
				abort();
		if (tree_take(&taker, &frame))
			break;
	}
	tree_close(&taker);
	check();
	clear(AT_FDCWD, to, true);
	return 0;
}
