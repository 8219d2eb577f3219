/* SPDX-License-Identifier: Apache-2.0 */
#include "firecracker/api.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define MIB  ((json_int_t)1 << 20)
#define PAGE 4096
#define HTTP_PART_MAX 256

struct call {
	struct fc_api *api;
	const char *id;	 /* the last part of the path; NULL: none */
	json_t *body;	 /* checked; NULL: none */
	json_t *result;	 /* NULL: 204 */
	struct fc_fault *fault;
};

enum when {
	ANY,
	BEFORE, /* the start */
	AFTER,
};

struct route {
	const char *method;
	const char *path; /* with / at its end: an id follows */
	enum when when;
	int kind; /* of the body; -1: none, -2: any */
	int (*handle)(struct call *call);
};

static const char *text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static json_int_t number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* --- before the start ------------------------------------------------------------------ */

static void replace(json_t **place, json_t *with)
{
	json_decref(*place);
	*place = json_incref(with);
}

static int put_boot_source(struct call *call)
{
	replace(&call->api->config.boot_source, call->body);
	return 0;
}

static int check_id(const struct call *call, const char *member)
{
	if (!strcmp(text(call->body, member), call->id))
		return 0;
	return fc_fault(call->fault, "%s: the path has %.64s, the body %.64s",
			member, call->id, text(call->body, member));
}

static int put_drive(struct call *call)
{
	return check_id(call, "drive_id") ?
		       -1 :
		       fc_config_put_drive(&call->api->config, call->body,
					   call->fault);
}

static int put_net(struct call *call)
{
	return check_id(call, "iface_id") ?
		       -1 :
		       fc_config_put_net(&call->api->config, call->body,
					 call->fault);
}

/* What is not said is as it was. */
static int patch_machine(struct call *call)
{
	json_t *machine = json_copy(call->api->config.machine);
	json_int_t cpus;
	const char *name;
	json_t *value;
	int rc = 0;

	json_object_foreach(call->body, name, value)
		if (!json_is_null(value))
			json_object_set(machine, name, value);
	cpus = number(machine, "vcpu_count");
	if (json_is_true(json_object_get(machine, "smt")) && cpus > 1 &&
	    cpus % 2)
		rc = fc_fault(call->fault, "vcpu_count: with smt give 1 or an "
			      "even number");
	else
		replace(&call->api->config.machine, machine);
	json_decref(machine);
	return rc;
}

static int put_machine(struct call *call)
{
	struct fc_config fresh;
	json_t *before = call->api->config.machine;
	int rc;

	if (fc_config_init(&fresh)) {
		fc_config_fini(&fresh);
		return fc_fault(call->fault, "out of memory");
	}
	call->api->config.machine = json_incref(fresh.machine);
	fc_config_fini(&fresh);
	rc = patch_machine(call);
	if (!rc) {
		json_decref(before);
		return 0;
	}
	json_decref(call->api->config.machine);
	call->api->config.machine = before;
	return rc;
}

static int get_machine(struct call *call)
{
	call->result = json_incref(call->api->config.machine);
	return 0;
}

static int put_vsock(struct call *call)
{
	replace(&call->api->config.vsock, call->body);
	return 0;
}

/* The guest has one in any case. */
static int put_entropy(struct call *call)
{
	replace(&call->api->config.entropy, call->body);
	return 0;
}

static int put_serial(struct call *call)
{
	replace(&call->api->config.serial, call->body);
	return 0;
}

static int put_logger(struct call *call)
{
	const char *path = text(call->body, "log_path");
	int fd = path ? call->api->ops->open(call->api->ctx, path) : 0;

	if (fd < 0)
		return fc_fault(call->fault, "log_path: %.200s: %s", path,
				strerror(-fd));
	if (path)
		call->api->ops->log(call->api->ctx, fd);
	replace(&call->api->config.logger, call->body);
	return 0;
}

static int put_metrics(struct call *call)
{
	const char *path = text(call->body, "metrics_path");
	int fd;

	if (call->api->config.metrics)
		return fc_fault(call->fault, "metrics go to %.200s already",
				text(call->api->config.metrics,
				     "metrics_path"));
	fd = call->api->ops->open(call->api->ctx, path);
	if (fd < 0)
		return fc_fault(call->fault, "metrics_path: %.200s: %s", path,
				strerror(-fd));
	close(fd);
	replace(&call->api->config.metrics, call->body);
	return 0;
}

/* --- the machine ------------------------------------------------------------------------- */

static int ask(struct call *call, json_t *request)
{
	json_t *result = call->api->ops->ask(call->api->ctx, request,
					     call->fault);

	json_decref(result);
	return result ? 0 : -1;
}

/* What the guest is to have, in place of what it is to give. */
static int set_balloon(struct call *call, json_int_t mib)
{
	json_int_t size = (json_int_t)fc_memory(&call->api->config) - mib * MIB;

	if (size < MIB)
		return fc_fault(call->fault, "amount_mib: the guest has %lld "
				"MiB in all, give less",
				(long long)number(call->api->config.machine,
						  "mem_size_mib"));
	return ask(call, json_pack("{ss sI}", "command", "balloon", "size",
				   size));
}

static int put_balloon(struct call *call)
{
	replace(&call->api->config.balloon, call->body);
	return 0;
}

static int check_balloon(struct call *call)
{
	return call->api->config.balloon ?
		       0 :
		       fc_fault(call->fault, "no balloon was configured: PUT "
				"/balloon before InstanceStart");
}

static int get_balloon(struct call *call)
{
	if (check_balloon(call))
		return -1;
	call->result = json_incref(call->api->config.balloon);
	return 0;
}

static int patch_balloon(struct call *call)
{
	json_int_t mib = number(call->body, "amount_mib");

	if (check_balloon(call) ||
	    (call->api->started && set_balloon(call, mib)))
		return -1;
	return json_object_set_new(call->api->config.balloon, "amount_mib",
				   json_integer(mib));
}

/* Firecracker's names for what the control socket has. */
static const struct {
	const char *name, *from;
} statistics[] = {
	{ "swap_in", "swapped_in" },
	{ "swap_out", "swapped_out" },
	{ "major_faults", "major_faults" },
	{ "minor_faults", "minor_faults" },
	{ "free_memory", "free" },
	{ "total_memory", "total" },
	{ "available_memory", "available" },
	{ "disk_caches", "caches" },
	{ "hugetlb_allocations", "hugepages_allocated" },
	{ "hugetlb_failures", "hugepages_failed" },
};

static int check_statistics(struct call *call)
{
	if (check_balloon(call))
		return -1;
	return number(call->api->config.balloon, "stats_polling_interval_s") ?
		       0 :
		       fc_fault(call->fault, "statistics were not enabled: PUT "
				"/balloon with stats_polling_interval_s before "
				"InstanceStart");
}

static int get_statistics(struct call *call)
{
	const json_int_t all = (json_int_t)fc_memory(&call->api->config);
	json_int_t target, actual;
	const json_t *told;
	json_t *result;

	if (check_statistics(call))
		return -1;
	result = call->api->ops->ask(call->api->ctx,
				     json_pack("{ss}", "command", "balloon"),
				     call->fault);
	if (!result)
		return -1;
	target = all - number(result, "target");
	actual = all - number(result, "size");
	told = json_object_get(result, "statistics");
	call->result = json_pack("{sI sI sI sI}", "target_pages",
				 target / PAGE, "actual_pages", actual / PAGE,
				 "target_mib", target / MIB, "actual_mib",
				 actual / MIB);
	for (size_t i = 0; i < sizeof(statistics) / sizeof(statistics[0]);
	     i++) {
		json_t *value = json_object_get(told, statistics[i].from);

		if (value)
			json_object_set(call->result, statistics[i].name,
					value);
	}
	json_decref(result);
	return 0;
}

/* The guest is asked whenever somebody wants to know. */
static int patch_statistics(struct call *call)
{
	json_int_t seconds = number(call->body, "stats_polling_interval_s");

	if (check_statistics(call))
		return -1;
	if (!seconds)
		return fc_fault(call->fault, "stats_polling_interval_s: "
				"statistics cannot be turned off");
	return json_object_set_new(call->api->config.balloon,
				   "stats_polling_interval_s",
				   json_integer(seconds));
}

static int patch_drive(struct call *call)
{
	json_t *drive = fc_find(call->api->config.drives, "drive_id", call->id,
				NULL);
	const char *path = text(call->body, "path_on_host");
	json_t *limiter = json_object_get(call->body, "rate_limiter");

	if (check_id(call, "drive_id"))
		return -1;
	if (!drive)
		return fc_fault(call->fault, "there is no drive %.64s",
				call->id);
	if (path && strcmp(path, text(drive, "path_on_host")))
		return fc_fault(call->fault, "path_on_host: lodge does not "
				"change the file of a disk while the machine "
				"runs; lodge attach plugs in another disk");
	if (!json_is_object(limiter))
		return 0;
	if (ask(call, json_pack("{ss ss sI sI}", "command", "limit", "disk",
				text(drive, "path_on_host"), "iops",
				(json_int_t)fc_rate(limiter, "ops"), "bps",
				(json_int_t)fc_rate(limiter, "bandwidth"))))
		return -1;
	return json_object_set(drive, "rate_limiter", limiter);
}

/* Of one direction, where the client says something of it. */
static void add_rates(json_t *request, const json_t *limiter, const char *pps,
		      const char *bps)
{
	if (!json_is_object(limiter))
		return;
	json_object_set_new(request, pps, json_integer((json_int_t)fc_rate(
						  limiter, "ops")));
	json_object_set_new(request, bps, json_integer((json_int_t)fc_rate(
						  limiter, "bandwidth")));
}

static int patch_net(struct call *call)
{
	static const char *const limiters[] = { "rx_rate_limiter",
						"tx_rate_limiter" };
	char place[8];
	json_t *request, *net;
	size_t index = 0;

	net = fc_find(call->api->config.nets, "iface_id", call->id, &index);
	if (check_id(call, "iface_id"))
		return -1;
	if (!net)
		return fc_fault(call->fault, "there is no interface %.64s",
				call->id);
	snprintf(place, sizeof(place), "%zu", index);
	request = json_pack("{ss ss}", "command", "limit-net", "net", place);
	add_rates(request, json_object_get(call->body, limiters[0]), "pps-in",
		  "bps-in");
	add_rates(request, json_object_get(call->body, limiters[1]), "pps-out",
		  "bps-out");
	if (ask(call, request))
		return -1;
	for (int i = 0; i < 2; i++)
		if (json_is_object(json_object_get(call->body, limiters[i])))
			json_object_set(net, limiters[i],
					json_object_get(call->body,
							limiters[i]));
	return 0;
}

static int patch_vm(struct call *call)
{
	bool pause = !strcasecmp(text(call->body, "state"), "Paused");

	if (ask(call, json_pack("{ss}", "command",
				pause ? "pause" : "resume")))
		return -1;
	call->api->paused = pause;
	return 0;
}

int fc_api_start(struct fc_api *api, struct fc_fault *fault)
{
	struct call call = { .api = api, .fault = fault };
	json_int_t mib = number(api->config.balloon, "amount_mib");

	if (!api->config.boot_source)
		return fc_fault(fault, "nothing is there to boot: PUT "
				"/boot-source first");
	if (api->ops->start(api->ctx, &api->config, fault))
		return -1;
	api->started = true;
	return mib ? set_balloon(&call, mib) : 0;
}

int fc_api_flush(struct fc_api *api, struct fc_fault *fault)
{
	const char *path = text(api->config.metrics, "metrics_path");
	struct timespec now;
	char line[160];
	int fd, length, rc = 0;

	if (!path)
		return fc_fault(fault, "metrics go nowhere: PUT /metrics "
				"first");
	clock_gettime(CLOCK_REALTIME, &now);
	length = snprintf(line, sizeof(line), "{\"utc_timestamp_ms\":%lld,"
			  "\"api_server\":{\"requests\":%llu,"
			  "\"refused\":%llu}}\n",
			  (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000,
			  (unsigned long long)api->requests,
			  (unsigned long long)api->refused);
	fd = api->ops->open(api->ctx, path);
	if (fd < 0)
		rc = fc_fault(fault, "metrics_path: %.200s: %s", path,
			      strerror(-fd));
	else if (write(fd, line, (size_t)length) != length)
		rc = fc_fault(fault, "metrics_path: %.200s: %s", path,
			      strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

static int put_action(struct call *call)
{
	const char *what = text(call->body, "action_type");
	struct fc_api *api = call->api;

	if (!strcasecmp(what, "FlushMetrics"))
		return fc_api_flush(api, call->fault);
	if (!strcasecmp(what, "InstanceStart") && api->started)
		return fc_fault(call->fault, "the machine was started already");
	if (!strcasecmp(what, "InstanceStart"))
		return fc_api_start(api, call->fault);
	if (!api->started)
		return fc_fault(call->fault, "the machine was not started yet: "
				"action_type InstanceStart first");
	/* A guest without a driver for its keyboard has a power button. */
	return ask(call, json_pack("{ss s[{ss}]}", "command", "keys", "input",
				   "key", "ctrl-alt-delete")) ?
		       ask(call, json_pack("{ss}", "command", "stop")) :
		       0;
}

static int get_info(struct call *call)
{
	const struct fc_api *api = call->api;

	call->result = json_pack("{ss ss ss ss}", "app_name", "Firecracker",
				 "id", api->id, "state",
				 !api->started ? "Not started" :
				 api->paused   ? "Paused" :
						 "Running",
				 "vmm_version", FC_VERSION);
	return 0;
}

static int get_version(struct call *call)
{
	call->result = json_pack("{ss}", "firecracker_version", FC_VERSION);
	return 0;
}

static int get_config(struct call *call)
{
	call->result = fc_config_json(&call->api->config);
	return 0;
}

static int not_there(struct call *call)
{
	return fc_fault(call->fault, "lodge does not have that");
}

static const struct route routes[] = {
	{ "GET", "/", ANY, -1, get_info },
	{ "GET", "/version", ANY, -1, get_version },
	{ "GET", "/vm/config", ANY, -1, get_config },
	{ "GET", "/machine-config", ANY, -1, get_machine },
	{ "PUT", "/machine-config", BEFORE, FC_MACHINE, put_machine },
	{ "PATCH", "/machine-config", BEFORE, FC_PARTIAL_MACHINE,
	  patch_machine },
	{ "PUT", "/boot-source", BEFORE, FC_BOOT_SOURCE, put_boot_source },
	{ "PUT", "/drives/", BEFORE, FC_DRIVE, put_drive },
	{ "PATCH", "/drives/", AFTER, FC_PARTIAL_DRIVE, patch_drive },
	{ "PUT", "/network-interfaces/", BEFORE, FC_NET, put_net },
	{ "PATCH", "/network-interfaces/", AFTER, FC_PARTIAL_NET, patch_net },
	{ "PUT", "/vsock", BEFORE, FC_VSOCK, put_vsock },
	{ "PUT", "/entropy", BEFORE, FC_ENTROPY, put_entropy },
	{ "PUT", "/serial", BEFORE, FC_SERIAL, put_serial },
	{ "PUT", "/logger", BEFORE, FC_LOGGER, put_logger },
	{ "PUT", "/metrics", BEFORE, FC_METRICS, put_metrics },
	{ "GET", "/balloon", ANY, -1, get_balloon },
	{ "PUT", "/balloon", BEFORE, FC_BALLOON, put_balloon },
	{ "PATCH", "/balloon", ANY, FC_BALLOON_UPDATE, patch_balloon },
	{ "GET", "/balloon/statistics", AFTER, -1, get_statistics },
	{ "PATCH", "/balloon/statistics", ANY, FC_BALLOON_STATS,
	  patch_statistics },
	{ "PUT", "/actions", ANY, FC_ACTION, put_action },
	{ "PATCH", "/vm", AFTER, FC_VM, patch_vm },
	{ "PATCH", "/balloon/hinting/", ANY, -2, not_there },
	{ "GET", "/balloon/hinting/", ANY, -1, not_there },
	{ "PUT", "/cpu-config", ANY, -2, not_there },
	{ "GET", "/mmds", ANY, -1, not_there },
	{ "PUT", "/mmds", ANY, -2, not_there },
	{ "PATCH", "/mmds", ANY, -2, not_there },
	{ "PUT", "/mmds/config", ANY, -2, not_there },
	{ "PUT", "/pmem/", ANY, -2, not_there },
	{ "PATCH", "/pmem/", ANY, -2, not_there },
	{ "GET", "/hotplug/memory", ANY, -1, not_there },
	{ "PUT", "/hotplug/memory", ANY, -2, not_there },
	{ "PATCH", "/hotplug/memory", ANY, -2, not_there },
	{ "PUT", "/snapshot/create", ANY, -2, not_there },
	{ "PUT", "/snapshot/load", ANY, -2, not_there },
};

#define ROUTES (sizeof(routes) / sizeof(routes[0]))

/* --- one request ------------------------------------------------------------------------- */

static const struct route *find_route(const char *method, const char *path,
				      const char **id)
{
	for (size_t i = 0; i < ROUTES; i++) {
		size_t length = strlen(routes[i].path);
		bool named = length > 1 && routes[i].path[length - 1] == '/';

		*id = named ? path + length : NULL;
		if (strcmp(routes[i].method, method))
			continue;
		if (named ? !strncmp(routes[i].path, path, length) && **id &&
				    !strchr(*id, '/') :
			    !strcmp(routes[i].path, path))
			return &routes[i];
	}
	return NULL;
}

static int check_when(const struct route *route, const struct fc_api *api,
		      struct fc_fault *fault)
{
	if (route->when == BEFORE && api->started)
		return fc_fault(fault, "this is not possible after the machine "
				"has started");
	if (route->when == AFTER && !api->started)
		return fc_fault(fault, "this is possible after InstanceStart "
				"only");
	return 0;
}

static int read_body(struct call *call, const struct route *route,
		     const char *body, size_t size)
{
	json_error_t why;

	if (route->kind == -2)
		return 0;
	if (route->kind == -1)
		return size ? fc_fault(call->fault, "a GET request has no "
				       "body") : 0;
	call->body = json_loadb(body, size, JSON_REJECT_DUPLICATES, &why);
	if (!call->body)
		return fc_fault(call->fault, "the body is not JSON: %.100s",
				why.text);
	return fc_check((enum fc_kind)route->kind, call->body, call->fault);
}

static int serve(struct call *call, const char *method, const char *path,
		 const char *body, size_t size)
{
	const struct route *route = find_route(method, path, &call->id);

	if (!route)
		return fc_fault(call->fault, "there is no %.8s %.200s", method,
				path);
	if (check_when(route, call->api, call->fault) ||
	    read_body(call, route, body, size))
		return -1;
	return route->handle(call);
}

static void refuse(struct fc_api *api, const struct fc_fault *fault,
		   int status, struct fc_answer *answer)
{
	api->refused++;
	answer->status = status;
	answer->body = json_pack("{ss}", "fault_message", fault->text);
	/* What the client wrote may be no UTF-8. */
	if (!answer->body)
		answer->body = json_pack("{ss}", "fault_message",
					 "the request is not UTF-8");
}

void fc_api_answer(struct fc_api *api, const char *method, const char *path,
		   const char *body, size_t size, struct fc_answer *answer)
{
	struct fc_fault fault = { "" };
	struct call call = { .api = api, .fault = &fault };

	*answer = (struct fc_answer){ .status = 204 };
	api->requests++;
	if (serve(&call, method, path, body, size)) {
		json_decref(call.result);
		refuse(api, &fault, 400, answer);
	} else if (call.result) {
		answer->status = 200;
		answer->body = call.result;
	}
	json_decref(call.body);
}

void fc_api_bad(struct fc_api *api, int status, struct fc_answer *answer)
{
	const struct fc_fault fault = { "the request cannot be read" };

	*answer = (struct fc_answer){ 0 };
	api->requests++;
	refuse(api, &fault, status, answer);
}

/* --- a whole configuration ------------------------------------------------------------------ */

static int load_one(struct fc_api *api, const char *part, const char *id,
		    json_t *value, struct fc_fault *fault)
{
	struct fc_fault why = { "" };
	struct call call = { .api = api, .fault = &why };
	char path[HTTP_PART_MAX];
	const struct route *route;
	int rc;

	snprintf(path, sizeof(path), "/%s%s%s", part, id ? "/" : "",
		 id ? id : "");
	route = find_route("PUT", path, &call.id);
	if (!route || route->kind < 0 || route->handle == put_action)
		return fc_fault(fault, "%.60s: lodge does not have that", part);
	call.body = json_incref(value);
	rc = fc_check((enum fc_kind)route->kind, value, &why) ||
	     route->handle(&call);
	json_decref(call.body);
	return rc ? fc_fault(fault, "%.60s: %.300s", part, why.text) : 0;
}

static int load_list(struct fc_api *api, const char *part, const char *member,
		     const json_t *list, struct fc_fault *fault)
{
	json_t *value;
	size_t i;

	json_array_foreach(list, i, value) {
		const char *id = text(value, member);

		if (!id)
			return fc_fault(fault, "%s: missing field %s", part,
					member);
		if (load_one(api, part, id, value, fault))
			return -1;
	}
	return json_is_array(list) ? 0 : fc_fault(fault, "%s: give a list",
						  part);
}

int fc_api_load(struct fc_api *api, const json_t *config,
		struct fc_fault *fault)
{
	const char *part;
	json_t *value;
	int rc = 0;

	if (!json_is_object(config))
		return fc_fault(fault, "the configuration is to be a JSON "
				"object");
	json_object_foreach((json_t *)config, part, value) {
		if (!strcmp(part, "drives"))
			rc = load_list(api, part, "drive_id", value, fault);
		else if (!strcmp(part, "network-interfaces"))
			rc = load_list(api, part, "iface_id", value, fault);
		else if (!json_is_null(value))
			rc = load_one(api, part, NULL, value, fault);
		if (rc)
			return rc;
	}
	return 0;
}

int fc_api_init(struct fc_api *api, const char *id,
		const struct fc_machine_ops *ops, void *ctx)
{
	*api = (struct fc_api){ .ops = ops, .ctx = ctx };
	snprintf(api->id, sizeof(api->id), "%s", id);
	return fc_config_init(&api->config);
}

void fc_api_fini(struct fc_api *api)
{
	fc_config_fini(&api->config);
}
