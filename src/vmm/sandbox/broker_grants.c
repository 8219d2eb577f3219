/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine may open: paths as text, since whoever granted them wrote
 * them, and symbolic links are followed by the broker as they would have been
 * by them. The machine cannot make any.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/driver.h"
#include "disk/moved.h"
#include "vmm/sandbox/broker_impl.h"

#define HEAD_SIZE  (64u << 10)
#define HEAD_VHDX  (4u << 20) /* what it stands on is named further in */
#define NAME_LEAST 3
#define QCOW2_HEADER	104
#define QCOW2_DATA_FILE 0x44415441u
#define ENTRIES	   4096 /* of a folder that are looked at */
#define DEPTH	   16

/* What may be read by everybody, and a C library reads. */
static const char *const common[] = {
	"/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/", "/etc/ld.so.cache",
	"/etc/resolv.conf", "/etc/hosts", "/etc/host.conf",
	"/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services",
	"/etc/localtime", "/usr/share/zoneinfo/", "/dev/null",
	"/dev/urandom", "/run/systemd/resolve/",
};

static bool begins(const char *path, const char *with)
{
	return !strncmp(path, with, strlen(with));
}

/* No way up: what begins right stays there. */
static bool climbs(const char *path)
{
	for (const char *at = path; (at = strstr(at, "/..")); at += 3)
		if (!at[3] || at[3] == '/')
			return true;
	return false;
}

static bool covers(const struct grant *grant, const char *path)
{
	size_t length = strlen(grant->path);

	if (!strcmp(grant->path, path))
		return true;
	if (strncmp(path, grant->path, length) || climbs(path + length))
		return false;
	return grant->what & BROKER_PREFIX ||
	       (grant->what & BROKER_BELOW && path[length] == '/') ||
	       (grant->what & BROKER_NUMBERED &&
		!path[length + strspn(path + length, "0123456789")]);
}

unsigned int grants_of(const struct grants *grants, const char *path)
{
	unsigned int what = 0;
	struct stat st;

	for (size_t i = 0; i < grants->count; i++)
		if (covers(&grants->list[i], path))
			what |= grants->list[i].what;
	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
		if (begins(path, common[i]) && !climbs(path) &&
		    !stat(path, &st) && st.st_mode & S_IROTH)
			what |= BROKER_READ;
	return what;
}

bool grants_lead(const struct grants *grants, const char *path, bool next)
{
	size_t length = strlen(path);

	while (length && path[length - 1] == '/')
		length--;
	for (size_t i = 0; i < grants->count; i++) {
		const char *rest = grants->list[i].path + length;

		if (!strncmp(grants->list[i].path, path, length) &&
		    (!*rest || (*rest == '/' &&
				(!next || !strchr(rest + 1, '/')))))
			return true;
	}
	return false;
}

/* --- what an image names --------------------------------------------------------- */

/* The begin of a file; NULL: it is none, or there is no memory. */
static char *read_head(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	char *head = NULL;
	ssize_t n = -1;

	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode))
		head = malloc(HEAD_VHDX);
	if (head)
		n = pread(fd, head, HEAD_SIZE, 0);
	if (n >= 8 && !memcmp(head, "vhdxfile", 8))
		n = pread(fd, head, HEAD_VHDX, 0);
	if (fd >= 0)
		close(fd);
	if (n >= 0) {
		*size = (size_t)n;
		return head;
	}
	free(head);
	return NULL;
}

/* As bytes, or as UTF-16 in either order. */
static bool is_named(const char *head, size_t size, const char *name)
{
	const size_t length = strlen(name);
	char wide[2 * NAME_MAX + 2] = { 0 };

	if (length < NAME_LEAST || length > NAME_MAX)
		return false;
	if (memmem(head, size, name, length))
		return true;
	for (size_t i = 0; i < length; i++)
		wide[2 * i + 1] = name[i];
	/* With the zero before each, or without the first. */
	return memmem(head, size, wide + 1, 2 * length - 1);
}

static void add(struct grants *grants, unsigned int what, const char *path,
		unsigned int depth);

/* Those of a folder that the image names. */
static void add_named_in(struct grants *grants, unsigned int what,
			 const char *folder, const char *head, size_t size,
			 unsigned int depth)
{
	char found[PATH_MAX];
	struct dirent *entry;
	size_t looked = 0;
	DIR *dir = opendir(folder);

	while (dir && looked++ < ENTRIES && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' ||
		    !is_named(head, size, entry->d_name) ||
		    (size_t)snprintf(found, sizeof(found), "%s/%s", folder,
				     entry->d_name) >= sizeof(found))
			continue;
		if (!grants_of(grants, found))
			add(grants, what, found, depth + 1);
	}
	if (dir)
		closedir(dir);
}

static bool is_folder(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static uint64_t big_endian(const char *at, unsigned int bytes)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < bytes; i++)
		value = value << 8 | (uint8_t)at[i];
	return value;
}

/* A file that an image in `own` names so, when it is in `folder` or below. */
static void add_named_so(struct grants *grants, unsigned int what,
			 const char *own, const char *folder, const char *text,
			 size_t length, unsigned int depth)
{
	char name[PATH_MAX], real[PATH_MAX], base[PATH_MAX];
	const bool whole = *text == '/';

	if (length >= PATH_MAX ||
	    (size_t)snprintf(name, sizeof(name), "%s%s%.*s", whole ? "" : own,
			     whole ? "" : "/", (int)length, text) >=
		    sizeof(name) ||
	    !realpath(name, real) || !realpath(folder, base))
		return;
	if (!strncmp(real, base, strlen(base)) &&
	    real[strlen(base)] == '/' && !grants_of(grants, real))
		add(grants, what, real, depth + 1);
}

/*
 * What a qcow2 image stands on (the header), and a file of its own with its data
 * (an extension of the header: type, length, 8 bytes each).
 */
static void add_of_qcow2(struct grants *grants, unsigned int what,
			 const char *own, const char *folder, const char *head,
			 size_t size, unsigned int depth)
{
	const uint64_t at = big_endian(head + 8, 8);
	const uint64_t length = big_endian(head + 16, 4);
	const bool extended = big_endian(head + 4, 4) >= 3;
	uint64_t next = extended ? big_endian(head + 100, 4) : size, bytes;

	if (at && at < size && length && length <= size - at)
		add_named_so(grants, what, own, folder, head + at, length,
			     depth);
	for (; next + 8 <= size; next += 8 + (bytes + 7) / 8 * 8) {
		const uint64_t type = big_endian(head + next, 4);

		bytes = big_endian(head + next + 4, 4);
		if (!type || bytes > size - next - 8)
			break;
		if (type == QCOW2_DATA_FILE && bytes)
			add_named_so(grants, what, own, folder,
				     head + next + 8, bytes, depth);
	}
}

/* VMDK, VHD, VHDX: those of other formats may say what their guest wrote. */
static bool names_others(const char *head, size_t size)
{
	static const char *const begins_with[] = {
		"KDMV", "# Disk DescriptorFile", "conectix", "vhdxfile",
	};

	for (size_t i = 0; i < sizeof(begins_with) / sizeof(*begins_with); i++)
		if (size >= strlen(begins_with[i]) &&
		    !memcmp(head, begins_with[i], strlen(begins_with[i])))
			return true;
	return false;
}

/* What an image in `own` names that is in `folder`. */
static void add_of_folder(struct grants *grants, unsigned int what,
			  const char *own, const char *folder,
			  const char *head, size_t size, unsigned int depth)
{
	if (size >= QCOW2_HEADER && !memcmp(head, "QFI\xfb", 4))
		add_of_qcow2(grants, what, own, folder, head, size, depth);
	else if (names_others(head, size))
		add_named_in(grants, what, folder, head, size, depth);
}

/* Beside it, or in folders that were named too. */
static void add_named(struct grants *grants, unsigned int what,
		      const char *path, unsigned int depth)
{
	char own[PATH_MAX], folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	const size_t count = grants->count;
	size_t size;
	char *head = read_head(path, &size);

	if (!head || !slash)
		return;
	snprintf(own, sizeof(own), "%.*s",
		 slash == path ? 1 : (int)(slash - path), path);
	add_of_folder(grants, what, own, own, head, size, depth);
	for (size_t i = 0; i < count; i++) {
		if (!(grants->list[i].what & BROKER_CHAIN) ||
		    !is_folder(grants->list[i].path))
			continue;
		snprintf(folder, sizeof(folder), "%s", grants->list[i].path);
		add_of_folder(grants, what, own, folder, head, size, depth);
	}
	free(head);
}

/* That path alone; NULL: no memory, or too many. */
static struct grant *add_one(struct grants *grants, unsigned int what,
			     const char *path)
{
	struct grant *list;
	char *copy;

	for (size_t i = 0; i < grants->count; i++) {
		if (strcmp(grants->list[i].path, path))
			continue;
		grants->list[i].what |= what;
		return &grants->list[i];
	}
	if (grants->count >= BROKER_GRANTS_MAX)
		return NULL;
	list = realloc(grants->list, (grants->count + 1) * sizeof(*list));
	copy = strdup(path);
	if (list)
		grants->list = list;
	if (!list || !copy) {
		free(copy);
		return NULL;
	}
	list[grants->count] = (struct grant){ what, copy };
	return &list[grants->count++];
}

static void add(struct grants *grants, unsigned int what, const char *path,
		unsigned int depth)
{
	char real[PATH_MAX];

	if (depth > DEPTH || !add_one(grants, what, path))
		return;
	/* By its own name as well, which /proc tells of an open file. */
	if (realpath(path, real))
		add_one(grants, what, real);
	if (what & BROKER_CHAIN && !is_folder(path))
		add_named(grants, (what & ~(BROKER_WRITE | BROKER_MAKE)) |
				  BROKER_READ, path, depth);
}

/* --- images of servers -------------------------------------------------------------- */

bool broker_is_address(const char *name)
{
	return strstr(name, "://") || !strncmp(name, "rbd:", 4);
}

/* Ceph's own files: where they are by default, and those that are named;
 * a backslash before a character takes it as it is. */
static void add_rbd(struct grants *grants, const char *name)
{
	static const char *const options[] = { ":conf=", ":keyring=",
					       ":keyfile=" };
	char path[PATH_MAX];

	add(grants, BROKER_READ | BROKER_BELOW, "/etc/ceph", 0);
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		const char *at = strstr(name, options[i]);
		size_t length = 0;

		for (at = at ? at + strlen(options[i]) : "";
		     *at && *at != ':' && length < sizeof(path) - 1; at++) {
			at += *at == '\\' && at[1];
			path[length++] = *at;
		}
		path[length] = '\0';
		if (*path == '/')
			add(grants, BROKER_READ, path, 0);
	}
}

static void add_address(struct grants *grants, const char *name)
{
	const char *sock = strstr(name, "socket=");

	grants->internet = true;
	if (!strncmp(name, "rbd:", 4))
		add_rbd(grants, name);
	else if (sock)
		add(grants, BROKER_CONNECT, sock + 7, 0);
}

void grants_add(struct grants *grants, unsigned int what, const char *path)
{
	if (what & BROKER_INTERNET)
		grants->internet = true;
	else if (what & BROKER_BARE)
		grants->bare = true;
	else if (what & BROKER_ADDRESS)
		add_address(grants, path);
	else
		add(grants, what, path, 0);
}

/* --- requests --------------------------------------------------------------------- */

bool broker_names_others(const char *path, const char *format)
{
	const struct disk_driver *driver = format ? disk_driver_find(format) :
						    disk_driver_by_path(path);

	return driver && driver != &disk_raw;
}

/* Paths, and what an address may be reached by. */
static void take_text(struct grants *grants, const char *text,
		      const char *format)
{
	const bool chain = broker_names_others(text, format) ||
			   is_folder(text);

	if (*text == '/')
		grants_add(grants, BROKER_READ | BROKER_WRITE | BROKER_MAKE |
				   BROKER_CONNECT |
				   (chain ? BROKER_CHAIN : 0), text);
	else if (broker_is_address(text))
		grants_add(grants, BROKER_ADDRESS, text);
}

static void take_value(struct grants *grants, const json_t *value,
		       const char *format)
{
	const char *name;
	json_t *item;
	size_t i;

	if (json_is_string(value))
		take_text(grants, json_string_value(value), format);
	json_array_foreach(value, i, item)
		take_value(grants, item, format);
	json_object_foreach((json_t *)value, name, item)
		if (strcmp(name, "id"))
			take_value(grants, item, format);
}

/* Of a folder to share its server gets more than the machine. */
static bool take_share(struct grants *grants, const json_t *request)
{
	const char *device =
		json_string_value(json_object_get(request, "device"));
	const char *folder =
		json_string_value(json_object_get(request, "folder"));
	const bool readonly =
		json_is_true(json_object_get(request, "readonly"));

	if (!device || strcmp(device, "share"))
		return false;
	if (folder && *folder == '/')
		add_one(grants, BROKER_SHARE |
				(readonly ? 0 : BROKER_SHARE_WRITE), folder);
	return true;
}

/* Images are named as those above them name them: beside them. */
static void take_backing(struct grants *grants, const char *name)
{
	const size_t count = grants->count;

	for (size_t i = 0; i < count && name && *name != '/'; i++) {
		const char *image = grants->list[i].path;
		const char *slash = strrchr(image, '/');
		char path[PATH_MAX];

		if (grants->list[i].what & BROKER_CHAIN && slash &&
		    (size_t)snprintf(path, sizeof(path), "%.*s/%s",
				     (int)(slash - image), image, name) <
			    sizeof(path) && !access(path, F_OK))
			add(grants, BROKER_READ | BROKER_CHAIN, path, 0);
	}
}

/* It writes to what a disk stands on, and goes on with that. */
static void take_commit(struct grants *grants)
{
	for (size_t i = 0; i < grants->count; i++) {
		struct grant *grant = &grants->list[i];

		if (!(grant->what & BROKER_CHAIN))
			continue;
		grant->what |= BROKER_WRITE | BROKER_MAKE;
		if (grants->moves && !is_folder(grant->path))
			moved_note(grants->moves, grant->path, NULL);
	}
}

void grants_take_request(struct grants *grants, const char *line,
			 size_t length)
{
	json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES,
				     NULL);
	const char *command =
		json_string_value(json_object_get(request, "command"));

	const char *format =
		json_string_value(json_object_get(request, "format"));
	const char *backing_format =
		json_string_value(json_object_get(request, "backing-format"));
	const char *target =
		json_string_value(json_object_get(request, "target"));

	if (take_share(grants, request)) {
		json_decref(request);
		return;
	}
	/* Twice: a folder may be named behind the image. */
	take_value(grants, request, format ? format : backing_format);
	take_value(grants, request, format ? format : backing_format);
	take_backing(grants,
		     json_string_value(json_object_get(request, "backing")));
	if (grants->moves && command && target && !strcmp(command, "mirror"))
		moved_note(grants->moves, target, format);
	if (command && !strcmp(command, "commit"))
		take_commit(grants);
	json_decref(request);
}
