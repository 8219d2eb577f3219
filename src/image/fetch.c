/* SPDX-License-Identifier: Apache-2.0 */
#include "image/fetch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "disk/driver.h"
#include "disk/partition.h"
#include "host/linux/extension.h"
#include "host/linux/json_file.h"
#include "image/download.h"

#define LIST_MAX   ((uint64_t)4 << 20) /* bytes of a list of checksums */
#define SOURCES_MAX 1000

/* A download's file, and how it is called. */
struct partial {
	int folder, fd;
	char name[32], record[40];
	const char *url;
};

static int fail(struct disk_error *error, const char *what, int code)
{
	disk_error_set(error, code, "%s: %s", what, strerror(-code));
	return -1;
}

/* --- the catalogue ------------------------------------------------------------ */

static bool take_text(char *to, size_t size, const json_t *entry,
		      const char *name)
{
	const char *text = json_string_value(json_object_get(entry, name));

	to[0] = '\0';
	if (text && strlen(text) < size)
		strcpy(to, text);
	return !text || strlen(text) < size;
}

static bool take_entry(struct fetch_source *s, const json_t *entry)
{
	char checksum[CHECKSUM_MAX];

	if (!take_text(s->name, sizeof(s->name), entry, "name") ||
	    !take_text(s->title, sizeof(s->title), entry, "title") ||
	    !take_text(s->url, sizeof(s->url), entry, "url") ||
	    !take_text(s->sums, sizeof(s->sums), entry, "sums") ||
	    !take_text(checksum, sizeof(checksum), entry, "checksum") ||
	    !take_text(s->format, sizeof(s->format), entry, "format") ||
	    !take_text(s->firmware, sizeof(s->firmware), entry, "firmware"))
		return false;
	return image_name_valid(s->name) && *s->url && *s->format &&
	       (*checksum ? checksum_parse(checksum, s->checksum) :
			    *s->sums != '\0');
}

int fetch_catalogue(const char *path, struct fetch_source **list,
		    struct disk_error *error)
{
	json_t *json = json_load_file(path, 0, NULL);
	size_t count = json_array_size(json), i;
	const json_t *entry;
	int result = (int)count;

	*list = NULL;
	if (!json_is_array(json) || count > SOURCES_MAX) {
		disk_error_set(error, -EINVAL, "%s: is no catalogue", path);
		json_decref(json);
		return -1;
	}
	*list = calloc(count + 1, sizeof(**list));
	json_array_foreach(json, i, entry) {
		if (*list && take_entry(&(*list)[i], entry))
			continue;
		disk_error_set(error, -EINVAL, "%s: entry %zu is not whole",
			       path, i + 1);
		result = -1;
		break;
	}
	json_decref(json);
	if (result < 0) {
		free(*list);
		*list = NULL;
	}
	return result;
}

/* --- what is there of a download --------------------------------------------------- */

/* FNV-1a: files of different URLs have different names. */
static uint64_t hash(const char *text)
{
	uint64_t n = 0xcbf29ce484222325u;

	for (; *text; text++)
		n = (n ^ (uint8_t)*text) * 0x100000001b3u;
	return n;
}

static int open_folder(struct store *store)
{
	return data_open(store->path, "downloads");
}

static int open_partial(struct store *store, const char *url,
			struct partial *partial, struct disk_error *error)
{
	partial->url = url;
	partial->fd = -1;
	partial->folder = open_folder(store);
	if (partial->folder < 0)
		return fail(error, store->path, partial->folder);
	snprintf(partial->name, sizeof(partial->name), "%016llx",
		 (unsigned long long)hash(url));
	snprintf(partial->record, sizeof(partial->record), "%s.json",
		 partial->name);
	partial->fd = openat(partial->folder, partial->name,
			     O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (partial->fd < 0)
		return fail(error, store->path, -errno);
	if (!flock(partial->fd, LOCK_EX | LOCK_NB))
		return 0;
	close(partial->fd);
	partial->fd = -1;
	disk_error_set(error, -EBUSY, "another lodge gets it right now; wait "
		       "for that");
	return -1;
}

/* Of one that has nothing nothing is left in any case. */
static void close_partial(struct partial *partial, bool forget)
{
	if (partial->fd >= 0 && !lseek(partial->fd, 0, SEEK_END))
		forget = true;
	if (forget && partial->fd >= 0) {
		unlinkat(partial->folder, partial->name, 0);
		unlinkat(partial->folder, partial->record, 0);
	}
	if (partial->fd >= 0)
		close(partial->fd);
	if (partial->folder >= 0)
		close(partial->folder);
}

static void note_validator(struct download *download)
{
	const struct partial *partial = download->ctx;
	json_t *json = json_pack("{ssss}", "url", download->url, "validator",
				 download->validator);

	if (json)
		json_file_write(json, partial->folder, partial->record);
	json_decref(json);
}

static void read_validator(struct download *download,
			   const struct partial *partial)
{
	json_t *json = json_file_read(partial->folder, partial->record);
	const char *url = json_string_value(json_object_get(json, "url"));

	if (url && !strcmp(url, download->url))
		take_text(download->validator, sizeof(download->validator),
			  json, "validator");
	json_decref(json);
}

uint64_t fetch_prune(struct store *store)
{
	int folder = open_folder(store);
	DIR *dir = folder < 0 ? NULL : fdopendir(folder);
	struct dirent *entry;
	struct stat status;
	uint64_t bytes = 0;

	while (dir && (entry = readdir(dir))) {
		int fd = openat(folder, entry->d_name, O_RDONLY | O_CLOEXEC);

		if (fd >= 0 && *entry->d_name != '.' && !fstat(fd, &status) &&
		    !flock(fd, LOCK_EX | LOCK_NB) &&
		    !unlinkat(folder, entry->d_name, 0))
			bytes += (uint64_t)status.st_blocks * 512;
		if (fd >= 0)
			close(fd);
	}
	if (dir)
		closedir(dir);
	return bytes;
}

/* --- steps ----------------------------------------------------------------------- */

static void *extension(const char *symbol, struct disk_error *error)
{
	char why[sizeof(error->text)];
	void *address = extension_symbol("pull", symbol, why, sizeof(why));

	if (!address)
		disk_error_set(error, -ENOTSUP, "%s", why);
	return address;
}

static int download(const struct fetch *fetch, const struct partial *partial,
		    uint64_t limit, struct disk_error *error)
{
	download_getter *get = (download_getter *)extension("download_get",
							    error);
	struct download how = {
		.url = partial->url,
		.fd = partial->fd,
		.limit = limit,
		.stall = fetch->stall,
		.begun = partial->folder >= 0 ? note_validator : NULL,
		.ctx = (void *)partial,
	};
	struct disk_error why;
	struct disk_job job = { 0 };
	int err;

	if (!get)
		return -1;
	if (partial->folder >= 0)
		read_validator(&how, partial);
	fetch->step(fetch->ctx, "downloading", &job);
	err = get(&how, &job, &why);
	fetch->step(fetch->ctx, NULL, &job);
	if (err)
		disk_error_set(error, err, "%.160s: %.140s", partial->url,
			       why.text);
	return err ? -1 : 0;
}

/* The last part of a URL's path. */
static void file_of(const char *url, char *name, size_t size)
{
	size_t length = strcspn(url, "?#");
	const char *at = url + length;

	while (at > url && at[-1] != '/')
		at--;
	snprintf(name, size, "%.*s", (int)(url + length - at), at);
}

/* The checksum that is expected, from the list when it is there. */
static int expect(const struct fetch *fetch, char checksum[CHECKSUM_MAX],
		  struct disk_error *error)
{
	const struct fetch_source *source = fetch->source;
	struct partial list = { .folder = -1, .url = source->sums };
	char name[256];
	char *text;
	off_t size;
	bool found = false;

	if (*source->checksum || !*source->sums) {
		strcpy(checksum, source->checksum);
		return 0;
	}
	list.fd = memfd_create("sums", MFD_CLOEXEC);
	if (list.fd < 0)
		return fail(error, source->sums, -errno);
	if (download(fetch, &list, LIST_MAX, error)) {
		close(list.fd);
		return -1;
	}
	size = lseek(list.fd, 0, SEEK_END);
	text = calloc(1, (size_t)size + 1);
	file_of(source->url, name, sizeof(name));
	if (text && pread(list.fd, text, (size_t)size, 0) == size)
		found = checksum_find(text, name, checksum);
	free(text);
	close(list.fd);
	if (found)
		return 0;
	disk_error_set(error, -ENOENT, "%.120s: has no checksum of %.60s; "
		       "pull it by its address with --checksum", source->sums,
		       name);
	return -1;
}

/* -1 with `error`: it is not what it should be. `checksum`: what it is. */
static int verify(const struct fetch *fetch, const struct partial *partial,
		  char checksum[CHECKSUM_MAX], struct disk_error *error)
{
	char is[CHECKSUM_MAX];
	struct disk_job job = { 0 };
	off_t size = lseek(partial->fd, 0, SEEK_END);
	int err;

	atomic_store(&job.total, size > 0 ? (uint64_t)size : 0);
	fetch->step(fetch->ctx, "checking", &job);
	err = checksum_file(partial->fd, checksum, is, &job);
	fetch->step(fetch->ctx, NULL, &job);
	if (err)
		return fail(error, partial->url, err);
	if (!*checksum || !strcmp(is, checksum)) {
		strcpy(checksum, is);
		return 0;
	}
	disk_error_set(error, -EBADMSG, "%.120s: has the checksum %.24s... and "
		       "not %.24s...; it was not kept, try again later",
		       partial->url, is, checksum);
	return 1;
}

static bool is_packed(const char *url)
{
	char name[256];
	size_t length;

	file_of(url, name, sizeof(name));
	length = strlen(name);
	return length > 4 && (!strcasecmp(name + length - 3, ".xz") ||
			      !strcasecmp(name + length - 4, ".zst"));
}

static int unpack(const struct fetch *fetch, const struct partial *partial,
		  int folder, const char *disk, struct disk_error *error)
{
	download_unpacker *work = (download_unpacker *)extension(
		"download_unpack", error);
	struct disk_error why;
	struct disk_job job = { 0 };
	int to, err;

	if (!work)
		return -1;
	atomic_store(&job.total,
		     (uint64_t)lseek(partial->fd, 0, SEEK_END));
	lseek(partial->fd, 0, SEEK_SET);
	to = openat(folder, disk, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		    0600);
	if (to < 0)
		return fail(error, disk, -errno);
	fetch->step(fetch->ctx, "unpacking", &job);
	err = work(partial->fd, to, FETCH_UNPACKED_MAX, &job, &why);
	fetch->step(fetch->ctx, NULL, &job);
	close(to);
	if (err)
		disk_error_set(error, err, "%.160s: %.140s", partial->url,
			       why.text);
	return err ? -1 : 0;
}

/*
 * Looks at the disk: of the format that it is said to be, and all of it in its
 * own file, whatever a server would like it to show.
 */
static int look(const struct store_draft *draft, struct image_record *record,
		bool guessed, struct disk_error *error)
{
	char path[FOLDER_PATH_MAX + 256];
	/* By its ending, a raw one must not look like another format. */
	const struct disk_open how = { .path = path,
				       .format = guessed ? NULL :
							   record->format,
				       .readonly = true, .alone = true };
	struct disk_node *node;
	json_t *info;
	bool whole, fits;

	snprintf(path, sizeof(path), "%s/%s", draft->path, record->disk);
	if (disk_open(&node, &how, error))
		return -1;
	info = disk_info(node);
	whole = !json_object_get(info, "backing") &&
		!json_object_get(info, "data_file");
	json_decref(info);
	record->size = node->size;
	fits = !disk_partitions_fit(node, error);
	disk_close(node);
	if (!fits)
		return -1;
	if (whole)
		return 0;
	disk_error_set(error, -EINVAL, "the image stands on another file; it "
		       "was not kept");
	return -1;
}

static int put_into(const struct fetch *fetch, struct partial *partial,
		    struct store_draft *draft, struct image_record *record,
		    struct disk_error *error)
{
	const struct fetch_source *source = fetch->source;

	*record = (struct image_record){ .created = time(NULL) };
	strcpy(record->name, fetch->name);
	strcpy(record->system, source->title);
	strcpy(record->format, source->format);
	strcpy(record->firmware, source->firmware);
	strcpy(record->source, source->url);
	snprintf(record->disk, sizeof(record->disk), "disk.%s",
		 source->format);
	if (is_packed(source->url)) {
		if (unpack(fetch, partial, draft->folder, record->disk, error))
			return -1;
	} else if (renameat(partial->folder, partial->name, draft->folder,
			    record->disk)) {
		return fail(error, fetch->name, -errno);
	}
	return look(draft, record, source->guessed, error);
}

int fetch_image(struct store *store, const struct fetch *fetch,
		struct disk_error *error)
{
	char checksum[CHECKSUM_MAX];
	struct image_record record;
	struct store_draft draft;
	struct partial partial = { -1, -1, "", "", NULL };
	int err;

	if (store_may_make(store, fetch->name, fetch->replace, error) ||
	    expect(fetch, checksum, error))
		return -1;
	err = open_partial(store, fetch->source->url, &partial, error);
	if (!err)
		err = download(fetch, &partial, FETCH_SIZE_MAX, error);
	if (!err)
		err = verify(fetch, &partial, checksum, error);
	if (err || store_begin(store, &draft, error)) {
		close_partial(&partial, err > 0);
		return -1;
	}
	err = put_into(fetch, &partial, &draft, &record, error);
	strcpy(record.checksum, checksum);
	if (err)
		store_abandon(&draft);
	else
		err = store_finish(&draft, &record, fetch->replace, error);
	/* In the store, or of no use. */
	close_partial(&partial, true);
	return err;
}
