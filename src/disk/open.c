/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and making images: which driver, which files, what they stand on.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "disk/address.h"
#include "disk/crypt/under.h"
#include "disk/driver.h"
#include "disk/file.h"

#define DEPTH_MAX 64  /* images of a chain */
#define HEAD	  512 /* bytes that a probe sees */

static const struct disk_driver *const drivers[] = {
	&disk_raw,
	&disk_qcow2,
	&disk_luks,
	&disk_vdi,
	&disk_vhd,
	&disk_vmdk,
	&disk_vhdx,
};

#define DRIVERS (sizeof(drivers) / sizeof(drivers[0]))

/* --- cache modes ------------------------------------------------------------ */

static const char *const caches[] = {
	[DISK_CACHE_WRITEBACK] = "writeback",
	[DISK_CACHE_NONE] = "none",
	[DISK_CACHE_WRITETHROUGH] = "writethrough",
	[DISK_CACHE_UNSAFE] = "unsafe",
};

const char *disk_cache_name(enum disk_cache cache)
{
	return caches[cache];
}

bool disk_cache_find(const char *name, enum disk_cache *cache)
{
	for (size_t i = 0; i < sizeof(caches) / sizeof(caches[0]); i++) {
		*cache = (enum disk_cache)i;
		if (!strcmp(name, caches[i]))
			return true;
	}
	return false;
}

/* --- which driver ----------------------------------------------------------- */

const struct disk_driver *disk_driver_at(unsigned int index)
{
	return index < DRIVERS ? drivers[index] : NULL;
}

const struct disk_driver *disk_driver_find(const char *name)
{
	for (size_t i = 0; i < DRIVERS; i++)
		if (!strcmp(drivers[i]->name, name))
			return drivers[i];
	return NULL;
}

/* Whether `word` is one of `words`, which have a space between. */
static bool has_word(const char *words, const char *word)
{
	size_t length = strlen(word);

	while (words && *words) {
		size_t end = strcspn(words, " ");

		if (end == length && !strncasecmp(words, word, length))
			return true;
		words += end + (words[end] == ' ');
	}
	return false;
}

const struct disk_driver *disk_driver_by_path(const char *path)
{
	const char *name = strrchr(path, '/');
	const char *suffix = strrchr(name ? name : path, '.');

	if (disk_is_address(path))
		return NULL; /* its last part may be a socket's */
	for (size_t i = 0; suffix && i < DRIVERS; i++)
		if (has_word(drivers[i]->suffixes, suffix))
			return drivers[i];
	return NULL;
}

/* The driver whose images begin as this one does; NULL: none. */
static const struct disk_driver *probe(struct disk_node *file)
{
	uint8_t head[HEAD] = { 0 };
	size_t size = file->size < HEAD ? file->size : HEAD;

	if (disk_read_bytes(file, 0, head, size))
		return NULL;
	for (size_t i = 0; i < DRIVERS; i++)
		if (drivers[i]->probe && drivers[i]->probe(head, size))
			return drivers[i];
	return NULL;
}

/* Whether the file's end says that it is the driver's: its begin may be what
 * a guest wrote. */
static bool ends_as(const struct disk_driver *driver, struct disk_node *file)
{
	uint8_t foot[HEAD];
	uint64_t size = file->size;

	return driver->footer && size >= HEAD &&
	       !disk_read_bytes(file, size - HEAD, foot, HEAD) &&
	       driver->probe(foot, HEAD);
}

static int unknown_format(const char *format, struct disk_error *error)
{
	char names[160] = "";

	for (size_t i = 0; i < DRIVERS; i++) {
		size_t have = strlen(names);

		snprintf(names + have, sizeof(names) - have, "%s%s",
			 i ? ", " : "", drivers[i]->name);
	}
	return disk_error_set(error, -EINVAL,
			      "unknown format \"%s\"; there are %s", format,
			      names);
}

static int choose_driver(const struct disk_driver **driver,
			 struct disk_node *file, const struct disk_open *how,
			 struct disk_error *error)
{
	const struct disk_driver *like = probe(file);
	const char *say = how->format_option ? how->format_option : "format=";

	*driver = how->format ? disk_driver_find(how->format)
			      : disk_driver_by_path(how->path);
	if (how->format && !*driver)
		return unknown_format(how->format, error);
	if (!*driver)
		*driver = &disk_raw;
	if (*driver == &disk_raw && like && !how->format)
		return disk_error_set(error, -EINVAL, "looks like a %s image; "
				      "say %s%s, or %sraw to take it as it is",
				      like->title, say, like->name, say);
	if (*driver == &disk_raw || *driver == like || ends_as(*driver, file))
		return 0;
	if (like)
		return disk_error_set(error, -EINVAL, "is no %s image but looks "
				      "like a %s one; say %s%s",
				      (*driver)->title, like->title, say,
				      like->name);
	return disk_error_set(error, -EINVAL, "is no %s image; say %sraw if it "
			      "is a raw one", (*driver)->title, say);
}

/* --- nodes ------------------------------------------------------------------ */

int disk_node_init(struct disk_node *node, const struct disk_driver *driver,
		   struct disk_node *file, const struct disk_open *how)
{
	node->name = strdup(how->path);
	if (!node->name)
		return -ENOMEM;
	node->driver = driver;
	node->file = file;
	node->readonly = how->readonly;
	disk_ranges_init(&node->ranges);
	disk_join_init(&node->flushes);
	return 0;
}

/* Whether the format that the user says has to lie in a LUKS volume there. */
static bool lies_under(struct disk_node *file, const struct disk_open *how)
{
	const struct disk_driver *driver =
		how->format ? disk_driver_find(how->format)
			    : disk_driver_by_path(how->path);

	return driver && driver != &disk_raw && !driver->encrypts &&
	       probe(file) == &disk_luks && !ends_as(driver, file);
}

int disk_open_on(struct disk_node **node, struct disk_node *file,
		 const struct disk_open *how, struct disk_error *error)
{
	const struct disk_driver *driver = NULL;
	struct disk_node *under = NULL;
	int result = 0;

	*node = NULL;
	if (lies_under(file, how)) {
		result = disk_crypt_under_open(&under, file, how, error);
		file = under;
	}
	if (!result)
		result = choose_driver(&driver, file, how, error);
	if (!result) {
		file->grows = driver != &disk_raw && !how->readonly;
		result = driver->open(node, file, how, error);
	}
	if (!result && under)
		(*node)->encrypted = true;
	else if (under)
		disk_crypt_under_leave(under);
	return result;
}

int disk_open(struct disk_node **node, const struct disk_open *how,
	      struct disk_error *error)
{
	struct disk_node *file;
	int result = disk_is_address(how->path)
			     ? disk_address_open(&file, how, error)
			     : disk_file_open(&file, how, error);

	*node = NULL;
	if (result)
		return result;
	result = disk_open_on(node, file, how, error);
	if (result)
		disk_close(file);
	return result;
}

void disk_close(struct disk_node *node)
{
	if (!node)
		return;
	if (node->driver->flush && !node->readonly && !node->driver->leaf)
		node->driver->flush(node);
	if (node->driver->close)
		node->driver->close(node);
	disk_close(node->backing);
	disk_close(node->file);
	disk_ranges_destroy(&node->ranges);
	disk_join_destroy(&node->flushes);
	free(node->name);
	free(node->parent);
	free(node);
}

void disk_node_abandon(struct disk_node *node)
{
	node->file = NULL;
	node->readonly = true; /* nothing to flush */
	disk_close(node);
}

const struct disk_secret *disk_secret_below(const struct disk_node *node,
					    const struct disk_secret *secret)
{
	return node->encrypted && secret && secret->next ? secret->next
							 : secret;
}

/* --- backing files ---------------------------------------------------------- */

/* Whether the real path lies in the real folder `folder`. */
static bool lies_in(const char *path, const char *folder)
{
	char real[PATH_MAX];
	size_t length;

	if (!realpath(folder, real))
		return false;
	length = strlen(real);
	if (length == 1) /* the root has all */
		return true;
	return !strncmp(path, real, length) && path[length] == '/';
}

/* The folder of `path`, to `folder` of PATH_MAX bytes. */
static void folder_of(char *folder, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		snprintf(folder, PATH_MAX, ".");
	else
		snprintf(folder, PATH_MAX, "%.*s",
			 slash == path ? 1 : (int)(slash - path), path);
}

static bool may_open(const char *real, const char *folder,
		     const struct disk_open *how)
{
	for (unsigned int i = 0; i < how->folder_count; i++)
		if (lies_in(real, how->folders[i]))
			return true;
	return lies_in(real, folder);
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* Not in the chain already. */
static int check_chain(const char *real, const struct disk_open *how,
		       struct disk_error *error)
{
	for (; how; how = how->above)
		if (same_file(how->path, real))
			return disk_error_set(error, -ELOOP, "stands on itself "
					      "by backing file %s; rebase it",
					      real);
	return 0;
}

/* The real path of a file that an image names, which may be opened. `what`
 * that is, for messages. */
static int find_named(char real[PATH_MAX], const struct disk_node *file,
		      const char *path, const struct disk_open *how,
		      const char *what, struct disk_error *error)
{
	char folder[PATH_MAX], named[PATH_MAX];

	folder_of(folder, file->name);
	if (!strncmp(path, "file:", 5))
		path += 5;
	if (snprintf(named, sizeof(named), "%s%s%s",
		     *path == '/' ? "" : folder, *path == '/' ? "" : "/",
		     path) >= (int)sizeof(named) ||
	    !realpath(named, real))
		return disk_error_set(error, -ENOENT, "its %s file %s is "
				      "missing; bring it back, or rebase",
				      what, path);
	if (!may_open(real, folder, how))
		return disk_error_set(error, -EPERM, "its %s file %s lies "
				      "outside of its folder; move it there, "
				      "or rebase", what, real);
	return check_chain(real, how, error);
}

static int check_depth(const struct disk_open *how, struct disk_error *error)
{
	unsigned int depth = 1;

	for (; how; how = how->above)
		depth++;
	return depth <= DEPTH_MAX
		       ? 0
		       : disk_error_set(error, -ELOOP, "stands on more than %d "
					"images; commit or rebase some",
					DEPTH_MAX);
}

/* An address that an image names is that of a server which learns of it, or
 * has anything: the user has to have named it, too. */
static int check_address(const char *address, const struct disk_open *how,
			 struct disk_error *error)
{
	bool named = how->named && !strcmp(how->named, address);

	for (unsigned int i = 0; i < how->folder_count && !named; i++)
		named = !strcmp(how->folders[i], address);
	if (!named)
		return disk_error_set(error, -EPERM, "stands on %s; if you "
				      "trust that, say so with --folder, or "
				      "folder= of a disk", address);
	for (const struct disk_open *up = how; up; up = up->above)
		if (!strcmp(up->path, address))
			return disk_error_set(error, -ELOOP, "stands on itself "
					      "by %s; rebase it", address);
	return 0;
}

int disk_open_backing(struct disk_node **backing, const struct disk_node *file,
		      const char *path, const char *format,
		      const struct disk_open *how, struct disk_error *error)
{
	struct disk_open below = *how;
	struct disk_error why;
	char real[PATH_MAX];
	int result;

	*backing = NULL;
	if (how->alone)
		return 0;
	result = check_depth(how, error);
	if (!result && disk_is_address(path))
		result = check_address(path, how, error);
	else if (!result)
		result = find_named(real, file, path, how, "backing", error);
	if (result)
		return result;
	below.path = disk_is_address(path) ? path : real;
	below.secret = disk_secret_below(file, how->secret);
	below.format = format;
	below.format_option = "--backing-format ";
	below.readonly = true;
	below.above = how;
	result = disk_open(backing, &below, &why);
	if (!result)
		return 0;
	/* Down a long chain only the last one's reason is told. */
	return strlen(below.path) + strlen(why.text) + 24 < sizeof(why.text)
		       ? disk_error_set(error, result,
					"its backing file %s: %s", below.path,
					why.text)
		       : disk_error_set(error, result, "%s", why.text);
}

int disk_open_data(struct disk_node **data, const struct disk_node *file,
		   const char *path, const struct disk_open *how,
		   struct disk_error *error)
{
	struct disk_open beside = *how;
	struct disk_error why;
	char real[PATH_MAX];
	int result = find_named(real, file, path, how, "data", error);

	*data = NULL;
	if (result)
		return result;
	beside.path = real;
	result = disk_file_open(data, &beside, &why);
	if (result)
		return disk_error_set(error, result, "its data file %s: %s",
				      real, why.text);
	(*data)->grows = !how->readonly;
	return 0;
}

/* --- making ----------------------------------------------------------------- */

const char *disk_create_option(const struct disk_create *how, const char *name)
{
	size_t length = strlen(name);

	for (unsigned int i = 0; i < how->option_count; i++)
		if (!strncmp(how->options[i], name, length) &&
		    how->options[i][length] == '=')
			return how->options[i] + length + 1;
	return NULL;
}

uint64_t disk_create_size(const struct disk_create *how, const char *name,
			  uint64_t fallback)
{
	static const char units[] = "kKmMgG";
	const char *text = disk_create_option(how, name), *unit;
	unsigned int shift = 0;
	uint64_t value;
	char *end;

	if (!text)
		return fallback;
	value = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		shift = 10 * (unsigned int)((unit - units) / 2 + 1);
		end++;
	}
	return *end || *text < '0' || *text > '9' || value >> (63 - shift)
		       ? 0
		       : value << shift;
}

static bool knows_option(const struct disk_driver *driver, const char *option)
{
	size_t length = strcspn(option, "=");

	for (const struct disk_option *o = driver->options; o && o->name; o++)
		if (strlen(o->name) == length && option[length] &&
		    !strncmp(o->name, option, length))
			return true;
	return false;
}

/* The driver of an image to be made, which can be so. */
static int choose_maker(const struct disk_driver **driver,
			const struct disk_create *how,
			struct disk_error *error)
{
	*driver = how->format ? disk_driver_find(how->format)
			      : disk_driver_by_path(how->path);
	if (how->format && !*driver)
		return unknown_format(how->format, error);
	if (!*driver)
		*driver = &disk_raw;
	if (!(*driver)->create)
		return disk_error_set(error, -ENOTSUP, "%s images cannot be "
				      "made", (*driver)->title);
	if (how->backing && !(*driver)->backing)
		return disk_error_set(error, -EINVAL, "%s images know no "
				      "backing file; take qcow2",
				      (*driver)->title);
	if (how->secret && *driver == &disk_raw)
		return disk_error_set(error, -EINVAL, "raw images cannot be "
				      "encrypted; take luks or qcow2");
	if (how->size % 512 || (!how->size && !how->backing))
		return disk_error_set(error, -EINVAL, "a size of %llu bytes; "
				      "give a multiple of 512",
				      (unsigned long long)how->size);
	for (unsigned int i = 0; i < how->option_count; i++)
		if (!knows_option(*driver, how->options[i]) &&
		    !(how->secret && !(*driver)->encrypts &&
		      knows_option(&disk_luks, how->options[i])))
			return disk_error_set(error, -EINVAL, "unknown option "
					      "\"%s\" of %s images; see lodge "
					      "help disk", how->options[i],
					      (*driver)->title);
	return 0;
}

int disk_create_backing(struct disk_node **backing,
			const struct disk_node *file, const char *format,
			const struct disk_create *how,
			struct disk_error *error)
{
	const struct disk_secret *secret = how->backing_secret;
	struct disk_open above = { .path = how->path,
				   .sealed = true,
				   .folders = how->folders,
				   .folder_count = how->folder_count,
				   .named = how->backing };
	struct disk_secret own = { 0 };
	int result;

	if (!secret && how->secret)
		secret = how->secret->next;
	own.next = secret;
	above.secret = secret && file->encrypted ? &own : secret;
	result = disk_open_backing(backing, file, how->backing, format, &above,
				   error);
	if (result == -EACCES && !secret)
		return disk_error_set(error, result, "its backing file %s is "
				      "encrypted; name the file of its "
				      "passphrase: --backing-secret FILE",
				      how->backing);
	if (result == -ENOENT && !disk_is_address(how->backing))
		return disk_error_set(error, result, "its backing file %s is "
				      "missing; it is found from the new "
				      "image's folder", how->backing);
	return result;
}

/* The backing file is there and sound, and gives its size when none is said. */
static int create_on(const struct disk_driver *driver, struct disk_node *file,
		     const struct disk_create *how, struct disk_error *error)
{
	struct disk_create sized = *how;
	struct disk_node *backing, *under;
	int result;

	if (how->backing) {
		result = disk_create_backing(&backing, file,
					     how->backing_format, how, error);
		if (result)
			return result;
		if (!sized.size)
			sized.size = backing->size;
		if (!sized.backing_format)
			sized.backing_format = backing->driver->name;
		disk_close(backing);
	}
	if (!how->secret || driver->encrypts)
		return driver->create(file, &sized, error);
	result = disk_crypt_under_make(&under, file, how, error);
	if (result)
		return result;
	under->grows = true;
	result = driver->create(under, &sized, error);
	disk_crypt_under_leave(under);
	return result;
}

int disk_create_on(struct disk_node *file, const struct disk_create *how,
		   struct disk_error *error)
{
	const struct disk_driver *driver;
	int result = choose_maker(&driver, how, error);

	return result ? result : create_on(driver, file, how, error);
}

int disk_create(const struct disk_create *how, struct disk_error *error)
{
	const struct disk_open at = { .path = how->path };
	const bool address = disk_is_address(how->path);
	const struct disk_driver *driver;
	struct disk_node *file;
	int result = choose_maker(&driver, how, error);

	if (!result)
		result = address ? disk_address_make(&file, &at, error)
				 : disk_file_make(&file, how->path, error);
	if (result)
		return result;
	result = create_on(driver, file, how, error);
	if (!result && !address)
		result = disk_file_keep(file, error);
	if (result && address)
		disk_remove(file);
	disk_close(file);
	return result;
}
