/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Firecracker API, from the bytes of a client on: requests out of an
 * input, cut into pieces as it says, over a machine that starts and answers
 * as it says. No input opens a file.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firecracker/api.h"
#include "firecracker/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What inputs are made of: requests with a body, or pieces without. */
static const struct {
	const char *first, *body; /* NULL: `first` is all */
} words[] = {
	{ "PUT /boot-source", "{\"kernel_image_path\":\"/dev/null\"}" },
	{ "PUT /drives/a", "{\"drive_id\":\"a\",\"path_on_host\":\"/dev/null\","
	  "\"is_root_device\":true}" },
	{ "PUT /network-interfaces/n", "{\"iface_id\":\"n\",\"host_dev_name\":"
	  "\"t\",\"guest_mac\":\"06:00:00:00:00:01\"}" },
	{ "PUT /machine-config", "{\"vcpu_count\":2,\"mem_size_mib\":64}" },
	{ "PUT /balloon", "{\"amount_mib\":5,\"deflate_on_oom\":true,"
	  "\"stats_polling_interval_s\":1}" },
	{ "PUT /vsock", "{\"guest_cid\":3,\"uds_path\":\"/tmp/v\"}" },
	{ "PUT /metrics", "{\"metrics_path\":\"m\"}" },
	{ "PUT /actions", "{\"action_type\":\"InstanceStart\"}" },
	{ "PUT /actions", "{\"action_type\":\"SendCtrlAltDel\"}" },
	{ "PATCH /vm", "{\"state\":\"Paused\"}" },
	{ "PATCH /drives/a", "{\"drive_id\":\"a\",\"rate_limiter\":{\"ops\":{"
	  "\"size\":1,\"refill_time\":1}}}" },
	{ "PATCH /network-interfaces/n", "{\"iface_id\":\"n\"}" },
	{ "PATCH /balloon", "{\"amount_mib\":7}" },
	{ "GET /vm/config", "" },
	{ "GET /balloon/statistics", "" },
	{ "GET / HTTP/1.1\r\n", NULL },
	{ "PUT /drives/b HTTP/1.1\r\ncontent-length: 20\r\n\r\n", NULL },
	{ "\r\n", NULL },
};

#define WORDS (sizeof(words) / sizeof(words[0]))

static unsigned int turn;

static int start(void *ctx, const struct fc_config *config,
		 struct fc_fault *fault)
{
	char **args = fc_config_args(config, "fuzz");
	size_t count = 0;

	while (args && args[count])
		if (strlen(args[count]) > 16384)
			abort();
		else
			count++;
	fc_args_free(args);
	return turn++ % 4 ? 0 : fc_fault(fault, "it does not start");
}

static json_t *ask(void *ctx, json_t *request, struct fc_fault *fault)
{
	if (!json_object_get(request, "command"))
		abort();
	json_decref(request);
	if (turn++ % 3)
		return json_pack("{sIsIs{si}}", "target", (json_int_t)1,
				 "size", (json_int_t)2, "statistics", "free",
				 3);
	fc_fault(fault, "it does not answer");
	return NULL;
}

static int open_none(void *ctx, const char *path)
{
	return -EACCES;
}

static void log_to(void *ctx, int fd)
{
	abort();
}

static const struct fc_machine_ops ops = { start, ask, open_none, log_to };

static void answer_one(struct fc_api *api, struct http_reader *reader)
{
	struct fc_answer answer;

	if (reader->state == HTTP_BAD)
		fc_api_bad(api, reader->status, &answer);
	else
		fc_api_answer(api, reader->method, reader->path, reader->body,
			      reader->body_size, &answer);
	if ((answer.status == 204) == (answer.body != NULL) ||
	    (answer.status >= 400 &&
	     !json_object_get(answer.body, "fault_message")))
		abort();
	json_decref(answer.body);
	http_next(reader);
}

static void feed(struct fc_api *api, struct http_reader *reader,
		 const char *bytes, size_t size)
{
	while (size) {
		size_t used = http_take(reader, bytes, size);

		if (!used && reader->state < HTTP_READY)
			abort();
		bytes += used;
		size -= used;
		if (reader->state >= HTTP_READY)
			answer_one(api, reader);
	}
}

static void feed_word(struct fc_api *api, struct http_reader *reader,
		      size_t which)
{
	const char *body = words[which].body;
	char text[512];

	if (body)
		snprintf(text, sizeof(text), "%s HTTP/1.1\r\n"
			 "Content-Length: %zu\r\n\r\n%s",
			 words[which].first, strlen(body), body);
	else
		snprintf(text, sizeof(text), "%s", words[which].first);
	feed(api, reader, text, strlen(text));
}

/* A byte below 64 is a word of ours, others tell how many bytes follow. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_reader reader;
	struct fc_api api;

	turn = size ? data[0] : 0;
	if (fc_api_init(&api, "fuzz", &ops, NULL))
		abort();
	http_init(&reader, 4096);
	while (size) {
		uint8_t what = *data++;
		size_t n = what < 64 ? 0 : what - 64u;

		size--;
		n = n > size ? size : n;
		if (what < 64)
			feed_word(&api, &reader, what % WORDS);
		else
			feed(&api, &reader, (const char *)data, n);
		data += n;
		size -= n;
	}
	http_fini(&reader);
	fc_api_fini(&api);
	return 0;
}
