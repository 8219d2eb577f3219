/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the API behind HTTP: methods, paths, arguments and bodies, on a
 * manager whose machines cannot start. An input is a row of requests: each a
 * choice of a good one of its kind and changes to its bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz_device.h"
#include "host/linux/loop.h"
#include "manage/api/api.h"
#include "manage/registry/flush.h"

#define REQUESTS 16
#define VMS_MAX	 32

static const struct {
	const char *method, *path, *arg, *body;
} good[] = {
	{ "GET", "/v1", "", "" },
	{ "GET", "/metrics", "", "" },
	{ "GET", "/v1/vms", "limit=2", "" },
	{ "GET", "/v1/vms", "after=a", "" },
	{ "GET", "/v1/vms", "label=a=b", "" },
	{ "GET", "/v1/vms/a", "", "" },
	{ "GET", "/v1/jobs/1", "wait=0", "" },
	{ "GET", "/v1/jobs", "after=1", "" },
	{ "GET", "/v1/tokens", "after=1", "" },
	{ "GET", "/v1/audit", "since=1", "" },
	{ "POST", "/v1/tokens", "", "{\"name\":\"t\",\"role\":\"viewer\"}" },
	{ "POST", "/v1/tokens", "",
	  "{\"name\":\"u\",\"seconds\":9,\"certificate\":true,\"grants\":"
	  "[{\"vm\":\"a\",\"role\":\"operator\"}]}" },
	{ "DELETE", "/v1/tokens/t", "", "" },
	{ "DELETE", "/v1/jobs/1", "", "" },
	{ "GET", "/v1/events", "since=1", "" },
	{ "POST", "/v1/vms", "", "{\"name\":\"a\",\"config\":{\"cpus\":1}}" },
	{ "POST", "/v1/vms", "",
	  "{\"name\":\"b\",\"config\":{\"memory\":4194304,\"labels\":{\"a\":"
	  "\"b\"},\"restart\":\"always\",\"disks\":[{\"path\":\"/d\",\"bus\":"
	  "\"nvme\",\"queues\":2}]}}" },
	{ "POST", "/v1/vms", "",
	  "{\"name\":\"c\",\"config\":{\"kernel\":\"/k\",\"append\":\"x\","
	  "\"networks\":[{\"mode\":\"user\",\"mtu\":1400}],\"publish\":"
	  "[\"1:2\"],\"usb\":true,\"autostart_order\":3}}" },
	{ "PATCH", "/v1/vms/a", "", "{\"config\":{\"cpus\":2,\"memory\":null}}" },
	{ "PATCH", "/v1/vms/b", "", "{\"name\":\"a\"}" },
	{ "POST", "/v1/vms/a/stop", "wait=0",
	  "{\"force\":true,\"timeout\":3,\"then\":\"force\"}" },
	{ "POST", "/v1/vms/a/reset", "", "" },
	{ "DELETE", "/v1/vms/a", "wait=0", "" },
	{ "DELETE", "/v1/vms/b", "", "" },
};

#define GOOD (sizeof(good) / sizeof(good[0]))

struct fuzz {
	const uint8_t *data;
	size_t size;
	unsigned int answers;
};

static uint8_t next(struct fuzz *fuzz)
{
	if (!fuzz->size)
		return 0;
	fuzz->size--;
	return *fuzz->data++;
}

/* Up to three bytes of a text, which stays one. */
static void change(struct fuzz *fuzz, char *text, size_t room)
{
	static const char words[] = "{}[]\":,0-e.\\u/%=&nt";

	for (unsigned int n = next(fuzz) & 3; n; n--) {
		size_t length = strlen(text);
		size_t at = length ? next(fuzz) % (length + 1) : 0;
		uint8_t byte = next(fuzz);

		if (byte & 0x80)
			byte = (uint8_t)words[byte % (sizeof(words) - 1)];
		if (at == length && length + 1 < room)
			text[length + 1] = '\0';
		if (at < length || length + 1 < room)
			text[at] = (char)(byte ? byte : ' ');
	}
}

static void answered(void *ctx)
{
	((struct fuzz *)ctx)->answers++;
}

static void forget(struct api_call *call)
{
	json_decref(call->answer);
	free(call->text);
}

/* What waits for the disk is answered. */
static void keep(struct fuzz *fuzz, struct api *api)
{
	while (api->held) {
		flush_wait(registry_flush(api->manager->registry));
		loop_step(api->manager->loop);
	}
}

static void ask(struct fuzz *fuzz, struct api *api)
{
	unsigned int which = next(fuzz) % GOOD;
	struct api_call call = { .answered = answered, .ctx = fuzz,
				 .peer.local = true };
	char body[512];

	snprintf(call.method, sizeof(call.method), "%s", good[which].method);
	snprintf(call.path, sizeof(call.path), "%s", good[which].path);
	snprintf(call.arg[0], sizeof(call.arg[0]), "%s", good[which].arg);
	snprintf(body, sizeof(body), "%s", good[which].body);
	call.args = 1;
	change(fuzz, call.path, sizeof(call.path));
	change(fuzz, call.arg[0], sizeof(call.arg[0]));
	change(fuzz, body, sizeof(body));
	change(fuzz, call.if_match, sizeof(call.if_match));
	change(fuzz, call.if_none_match, sizeof(call.if_none_match));
	change(fuzz, call.key, sizeof(call.key));
	/* At times a client from elsewhere, who is nobody. */
	call.peer.local = (next(fuzz) & 15) != 15;
	change(fuzz, call.bearer, TOKEN_TEXT_SIZE);
	call.body = body;
	call.body_size = strlen(body);
	fuzz->answers = 0;
	api_handle(api, &call);
	keep(fuzz, api);
	if (!fuzz->answers)
		api_cancel(&call);
	/* An answer, with a body that tells what it is. */
	if (fuzz->answers > 1 ||
	    (fuzz->answers && !!call.text != (call.status != 304)))
		abort();
	if (fuzz->answers && call.problem != (call.status >= 400))
		abort();
	forget(&call);
}

static void empty(struct fuzz *fuzz, struct api *api)
{
	while (api->manager->count) {
		struct api_call call = { .method = "DELETE",
					 .answered = answered, .ctx = fuzz,
					 .peer.local = true };
		char name[64] = "";
		struct api_call list = { .method = "GET", .path = "/v1/vms",
					 .answered = answered, .ctx = fuzz,
					 .peer.local = true };
		const json_t *vm;

		api_handle(api, &list);
		vm = json_array_get(json_object_get(list.answer, "vms"), 0);
		snprintf(name, sizeof(name), "%s", json_string_value(
			json_object_get(vm, "id")));
		snprintf(call.path, sizeof(call.path), "/v1/vms/%s", name);
		forget(&list);
		api_handle(api, &call);
		keep(fuzz, api);
		forget(&call);
	}
}

static char folder[64];

static void clear_away(void)
{
	char line[96];

	snprintf(line, sizeof(line), "rm -rf '%s'", folder);
	if (system(line))
		fprintf(stderr, "%s stays\n", folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct manager manager;
	static struct loop *loop;
	static struct api api;
	struct fuzz fuzz = { .data = data, .size = size };
	struct problem problem;

	if (!loop) {
		/* In memory, where there is such a folder: no disk waits. */
		snprintf(folder, sizeof(folder), "%s/lodge-XXXXXX",
			 access("/dev/shm", W_OK) ? P_tmpdir : "/dev/shm");
		if (!mkdtemp(folder) || loop_create(&loop) ||
		    manager_open(&manager, loop, folder, "/bin/false", "/bin/false",
				 &problem) ||
		    api_init(&api, &manager, &problem))
			abort();
		atexit(clear_away);
	}
	for (unsigned int i = 0; i < REQUESTS && fuzz.size; i++)
		ask(&fuzz, &api);
	empty(&fuzz, &api);
	return 0;
}
