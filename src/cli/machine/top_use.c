/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/machine/top_use.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/daemon/api.h"
#include "cli/machine/kept.h"
#include "host/linux/process_use.h"
#include "vm/host.h"
#include "vmm/control/remote.h"

#define NS_PER_S 1000000000ull

static uint64_t bytes_of(const json_t *object, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(object, name));
}

static struct use *add(struct uses *uses, const json_t *status)
{
	struct use *more = reallocarray(uses->use, uses->count + 1,
					sizeof(*more)), *use;

	if (!more)
		return NULL;
	uses->use = more;
	use = &more[uses->count++];
	*use = (struct use){ .at = host_monotonic_ns() };
	snprintf(use->name, sizeof(use->name), "%s",
		 json_string_value(json_object_get(status, "name")));
	snprintf(use->state, sizeof(use->state), "%s",
		 json_string_value(json_object_get(status, "state")));
	use->pid = json_integer_value(json_object_get(status, "pid"));
	use->cpus = json_integer_value(json_object_get(status, "cpus"));
	use->memory = json_integer_value(json_object_get(status, "memory"));
	use->seconds = json_number_value(json_object_get(status, "seconds"));
	return use;
}

static void count_nets(struct use *use, const json_t *nets)
{
	const json_t *net, *received, *sent;
	size_t i;

	json_array_foreach(nets, i, net) {
		received = json_object_get(net, "received");
		sent = json_object_get(net, "sent");
		use->count[RECEIVED] += bytes_of(received, "bytes");
		use->count[SENT] += bytes_of(sent, "bytes");
	}
}

/* --- here --------------------------------------------------------------------------- */

static void read_process(struct use *use)
{
	struct process_use found;

	process_use((pid_t)use->pid, &found);
	use->count[CPU] = found.cpu_ns;
	use->count[MEMORY] = found.memory;
	use->count[READ] = found.read;
	use->count[WRITTEN] = found.written;
}

static void take(void *ctx, const json_t *status)
{
	struct use *use = add(ctx, status);

	if (!use)
		return;
	read_process(use);
	count_nets(use, json_object_get(status, "nets"));
}
/* --- elsewhere ---------------------------------------------------------------------- */

/* A row of kept_list(). One that has ended meanwhile is left out. */
static void ask(struct api_client *client, struct uses *uses,
		const json_t *row)
{
	struct vmm_error unused;
	json_t *figures;
	char path[400];
	struct use *use;
	int status;

	api_vm_path(path, sizeof(path),
		    json_string_value(json_object_get(row, "name")),
		    "/figures");
	figures = api_call(client, "GET", path, NULL, &status, &unused);
	use = json_object_get(figures, "pid") ? add(uses, row) : NULL;
	if (use) {
		use->count[CPU] = (uint64_t)(
			NS_PER_S * json_real_value(json_object_get(
					   figures, "cpu_seconds")));
		use->count[MEMORY] = bytes_of(figures, "memory");
		use->count[READ] = bytes_of(figures, "read_bytes");
		use->count[WRITTEN] = bytes_of(figures, "written_bytes");
		count_nets(use, json_object_get(figures, "networks"));
	}
	json_decref(figures);
}

static int ask_all(struct uses *uses, struct vmm_error *error)
{
	json_t *list = json_array(), *running = json_array();
	struct api_client client;
	const json_t *row;
	size_t i;
	int rc = api_open(&client, API_IF_KEPT, error);

	if (!rc) {
		rc = kept_list(&client, running, list, error);
		json_array_foreach(list, i, row)
			if (json_object_get(row, "pid"))
				ask(&client, uses, row);
		api_close(&client);
	}
	json_decref(running);
	json_decref(list);
	return rc < 0 ? -1 : 0;
}

/* --- rates -------------------------------------------------------------------------- */

static const struct use *find(const struct uses *uses, long long pid)
{
	for (size_t i = 0; i < uses->count; i++)
		if (uses->use[i].pid == pid)
			return &uses->use[i];
	return NULL;
}

/* Since the look before; of one that is new, since its beginning. */
static void set_rates(struct use *use, const struct use *before)
{
	double seconds = before ? (double)(use->at - before->at) / NS_PER_S :
				  use->seconds;

	for (int i = 0; i < FIGURES && seconds > 0; i++) {
		uint64_t was = before ? before->count[i] : 0;

		if (use->count[i] > was)
			use->rate[i] = (double)(use->count[i] - was) /
				       seconds;
	}
	use->rate[CPU] /= NS_PER_S;
	use->rate[MEMORY] = (double)use->count[MEMORY];
}

int uses_look(struct uses *uses, struct vmm_error *error)
{
	struct uses before = *uses;
	int rc;

	*uses = (struct uses){ 0 };
	rc = elsewhere() ? ask_all(uses, error) :
			   remote_each(take, uses, error);
	for (size_t i = 0; i < uses->count; i++)
		set_rates(&uses->use[i], find(&before, uses->use[i].pid));
	uses_free(&before);
	return rc;
}

void uses_free(struct uses *uses)
{
	free(uses->use);
	*uses = (struct uses){ 0 };
}
