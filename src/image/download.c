/* SPDX-License-Identifier: Apache-2.0 */
#include "image/download.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define INTERRUPTED "interrupted; the same command goes on there"
#define TRIES_MAX     5 /* that bring nothing, one after another */
#define REDIRECTS_MAX 10
#define CONNECT_S     30
#define PAUSE_MS      200 /* before the second try; then twice as long */

/* One answer of the server, from its first header on. */
struct transfer {
	struct download *download;
	struct disk_job *job;
	CURL *curl;
	char etag[DOWNLOAD_VALIDATOR], date[DOWNLOAD_VALIDATOR];
	uint64_t range_start;
	bool ranged;	  /* the answer has a Content-Range */
	bool begun;	  /* its first byte came */
	uint64_t at;	  /* the file's end */
	int err;	  /* of our own doing: ends the transfer */
	char own[64];	  /* and why */
	char why[CURL_ERROR_SIZE];
};

/* --- headers ---------------------------------------------------------------- */

/* The value of header `name` in a line, without blanks around; false. */
static bool header(const char *line, size_t size, const char *name, char *to)
{
	size_t length = strlen(name);

	if (size <= length || strncasecmp(line, name, length))
		return false;
	for (line += length, size -= length; size && *line == ' '; size--)
		line++;
	while (size && strchr(" \r\n", line[size - 1]))
		size--;
	if (size >= DOWNLOAD_VALIDATOR)
		size = 0;
	memcpy(to, line, size);
	to[size] = '\0';
	return true;
}

static size_t take_header(char *line, size_t one, size_t size, void *ctx)
{
	struct transfer *t = ctx;
	char range[DOWNLOAD_VALIDATOR];

	if (size > 5 && !strncmp(line, "HTTP/", 5)) { /* after a redirect */
		t->etag[0] = t->date[0] = '\0';
		t->ranged = false;
	}
	header(line, size, "ETag:", t->etag);
	header(line, size, "Last-Modified:", t->date);
	if (header(line, size, "Content-Range:", range))
		t->ranged = sscanf(range, "bytes %" SCNu64 "-",
				   &t->range_start) == 1;
	return size;
}

/* --- the content ------------------------------------------------------------ */

static void stop(struct transfer *t, int err, const char *why)
{
	t->err = err;
	snprintf(t->own, sizeof(t->own), "%s", why);
}

static bool begin_anew(struct transfer *t)
{
	t->at = 0;
	if (!ftruncate(t->download->fd, 0))
		return true;
	stop(t, -errno, strerror(errno));
	return false;
}

/* At an answer's first byte: does it go on, or begin anew? */
static bool begin(struct transfer *t)
{
	struct download *download = t->download;
	const char *validator = *t->etag == '"' ? t->etag : t->date;
	curl_off_t length = -1;
	long status = 0;

	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(t->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T,
			  &length);
	t->begun = true;
	if (status == 206 && (!t->ranged || t->range_start != t->at)) {
		stop(t, -EPROTO, "the server sends another part than it was "
		     "asked for");
		download->validator[0] = '\0';
		return false;
	}
	if (status != 206) {
		if (!begin_anew(t))
			return false;
		snprintf(download->validator, sizeof(download->validator),
			 "%s", validator);
		if (download->begun)
			download->begun(download);
	}
	atomic_store(&t->job->total,
		     length > 0 ? t->at + (uint64_t)length : 0);
	if (length > 0 && (uint64_t)length > download->limit - t->at) {
		stop(t, -EFBIG, "is larger than may be");
		return false;
	}
	return true;
}

static size_t take_data(char *data, size_t one, size_t size, void *ctx)
{
	struct transfer *t = ctx;
	size_t done = 0;

	if (!t->begun && !begin(t))
		return 0;
	if (size > t->download->limit - t->at) {
		stop(t, -EFBIG, "is larger than may be");
		return 0;
	}
	while (done < size) {
		ssize_t n = pwrite(t->download->fd, data + done, size - done,
				   (off_t)t->at);

		if (n < 0) {
			stop(t, -errno, strerror(errno));
			return 0;
		}
		done += (size_t)n;
		t->at += (uint64_t)n;
	}
	atomic_store(&t->job->done, t->at);
	return size;
}

static int look(void *ctx, curl_off_t down_total, curl_off_t down,
		curl_off_t up_total, curl_off_t up)
{
	struct transfer *t = ctx;

	if (!atomic_load(&t->job->cancel))
		return 0;
	stop(t, -ECANCELED, INTERRUPTED);
	return 1;
}

/* --- tries ---------------------------------------------------------------------- */

static struct curl_slist *set_up(struct transfer *t)
{
	const struct download *download = t->download;
	struct curl_slist *headers = NULL;
	char line[DOWNLOAD_VALIDATOR + 16], range[32];
	CURL *curl = t->curl;

	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_URL, download->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR,
			 strncasecmp(download->url, "https:", 6) ?
				 "http,https" : "https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
	curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "lodge");
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)download->stall);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, t->why);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	if (t->at) {
		snprintf(range, sizeof(range), "%" PRIu64 "-", t->at);
		snprintf(line, sizeof(line), "If-Range: %s",
			 download->validator);
		curl_easy_setopt(curl, CURLOPT_RANGE, range);
		headers = curl_slist_append(NULL, line);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	}
	return headers;
}

static bool passes(CURLcode code, long status)
{
	switch (code) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_PARTIAL_FILE:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		return true;
	case CURLE_HTTP_RETURNED_ERROR:
		return status >= 500 || status == 429 || status == 416;
	default:
		return false;
	}
}

/* One request; 0, -EAGAIN: another may do, or what it failed of. */
static int try_once(struct transfer *t)
{
	struct curl_slist *headers;
	long status = 0;
	CURLcode code;

	t->begun = false;
	t->why[0] = '\0';
	headers = set_up(t);
	code = curl_easy_perform(t->curl);
	curl_slist_free_all(headers);
	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	if (t->err)
		return t->err;
	if (!code) /* an empty file has no first byte */
		return !t->begun && !begin(t) ? t->err : 0;
	if (!*t->why)
		snprintf(t->why, sizeof(t->why), "%s",
			 curl_easy_strerror(code));
	if (status == 404 || status == 410)
		snprintf(t->why, sizeof(t->why), "there is no such file (%ld); "
			 "if it has moved, pull its new address with "
			 "--checksum", status);
	if (status == 416) /* what is here is longer than what is there */
		begin_anew(t);
	return passes(code, status) ? -EAGAIN : -EIO;
}

/* False: it was told to end. */
static bool pause_for(struct disk_job *job, unsigned int tries)
{
	const struct timespec tick = { .tv_nsec = 50000000 };
	unsigned int ticks = (PAUSE_MS << (tries - 1)) / 50;

	while (ticks-- && !atomic_load(&job->cancel))
		nanosleep(&tick, NULL);
	return !atomic_load(&job->cancel);
}

static int get(struct transfer *t)
{
	unsigned int tries = 0;
	uint64_t best = t->at; /* what begins anew each time gets nowhere */
	int result;

	for (;;) {
		result = try_once(t);
		if (result != -EAGAIN)
			break;
		tries = t->at > best ? 1 : tries + 1;
		best = t->at > best ? t->at : best;
		if (tries >= TRIES_MAX) {
			strncat(t->why, "; the same command tries it again",
				sizeof(t->why) - strlen(t->why) - 1);
			return -EIO;
		}
		if (!pause_for(t->job, tries)) {
			stop(t, -ECANCELED, INTERRUPTED);
			return t->err;
		}
		if (!*t->download->validator && !begin_anew(t))
			return t->err;
	}
	return result;
}

int download_get(struct download *download, struct disk_job *job,
		 struct disk_error *error)
{
	off_t end = lseek(download->fd, 0, SEEK_END);
	struct transfer t = {
		.download = download,
		.job = job,
		.curl = curl_easy_init(),
		.at = end > 0 ? (uint64_t)end : 0,
	};
	int result;

	if (!t.curl)
		return disk_error_set(error, -ENOMEM, "no memory");
	if (t.at && !*download->validator)
		begin_anew(&t);
	result = t.err ? t.err : get(&t);
	curl_easy_cleanup(t.curl);
	t.why[strcspn(t.why, "\r\n")] = '\0';
	if (result)
		disk_error_set(error, result, "%s", t.err ? t.own : t.why);
	return result;
}
