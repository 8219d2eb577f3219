/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration before the start, and lodge-vm's words for it.
 */
#include "firecracker/config.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define ARGS_MAX   (32 + FC_DRIVES + FC_NETS)
#define SERIAL_MAX 20 /* characters of a virtio disk's serial number */
#define MIB	   ((uint64_t)1 << 20)

/* Where a client says nothing, as Firecracker has it. */
static const char boot_args[] =
	"reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux "
	"i8042.dumbkbd swiotlb=noforce";

int fc_config_init(struct fc_config *config)
{
	*config = (struct fc_config){
		.machine = json_pack("{sisisbsb}", "vcpu_count", 1,
				     "mem_size_mib", 128, "smt", 0,
				     "track_dirty_pages", 0),
		.drives = json_array(),
		.nets = json_array(),
	};
	return config->machine && config->drives && config->nets ? 0 : -1;
}

void fc_config_fini(struct fc_config *config)
{
	json_decref(config->boot_source);
	json_decref(config->balloon);
	json_decref(config->vsock);
	json_decref(config->entropy);
	json_decref(config->serial);
	json_decref(config->logger);
	json_decref(config->metrics);
	json_decref(config->machine);
	json_decref(config->drives);
	json_decref(config->nets);
	*config = (struct fc_config){ 0 };
}

static const char *text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

json_t *fc_find(const json_t *list, const char *member, const char *id,
		size_t *index)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		if (strcmp(text(item, member), id))
			continue;
		if (index)
			*index = i;
		return item;
	}
	return NULL;
}

static int put(json_t *list, const char *member, json_t *item, size_t max,
	       struct fc_fault *fault)
{
	size_t index;

	if (fc_find(list, member, text(item, member), &index))
		json_array_set(list, index, item);
	else if (json_array_size(list) == max)
		return fc_fault(fault, "%s: there are %zu already, as many as "
				"there may be", member, max);
	else
		json_array_append(list, item);
	return 0;
}

static bool is_root(const json_t *drive)
{
	return json_is_true(json_object_get(drive, "is_root_device"));
}

int fc_config_put_drive(struct fc_config *config, json_t *drive,
			struct fc_fault *fault)
{
	const char *id = text(drive, "drive_id");
	const json_t *other;
	size_t i;

	json_array_foreach(config->drives, i, other)
		if (is_root(drive) && is_root(other) &&
		    strcmp(text(other, "drive_id"), id))
			return fc_fault(fault, "is_root_device: drive %s is "
					"the root device already",
					text(other, "drive_id"));
	return put(config->drives, "drive_id", drive, FC_DRIVES, fault);
}

int fc_config_put_net(struct fc_config *config, json_t *net,
		      struct fc_fault *fault)
{
	const char *mac = text(net, "guest_mac");
	unsigned int byte[6], n = 0;
	const json_t *other;
	size_t i;

	if (mac && (sscanf(mac, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0],
			   &byte[1], &byte[2], &byte[3], &byte[4], &byte[5],
			   &n) != 6 || mac[n]))
		return fc_fault(fault, "guest_mac: give an address such as "
				"06:00:00:00:00:01");
	json_array_foreach(config->nets, i, other) {
		if (!strcmp(text(other, "iface_id"), text(net, "iface_id")))
			continue;
		if (!strcmp(text(other, "host_dev_name"),
			    text(net, "host_dev_name")))
			return fc_fault(fault, "host_dev_name: %s is that of "
					"%s already",
					text(net, "host_dev_name"),
					text(other, "iface_id"));
		if (mac && text(other, "guest_mac") &&
		    !strcasecmp(text(other, "guest_mac"), mac))
			return fc_fault(fault, "guest_mac: %s is that of %s "
					"already", mac,
					text(other, "iface_id"));
	}
	return put(config->nets, "iface_id", net, FC_NETS, fault);
}

json_t *fc_config_json(const struct fc_config *config)
{
	return json_pack("{sO sO sO sO* sO* sO* sO* sO* sO*}", "drives",
			 config->drives, "network-interfaces", config->nets,
			 "machine-config", config->machine, "boot-source",
			 config->boot_source, "balloon", config->balloon,
			 "vsock", config->vsock, "entropy", config->entropy,
			 "logger", config->logger, "metrics", config->metrics);
}

uint64_t fc_memory(const struct fc_config *config)
{
	return (uint64_t)json_integer_value(json_object_get(
		       config->machine, "mem_size_mib")) * MIB;
}

uint64_t fc_rate(const json_t *limiter, const char *bucket)
{
	const json_t *object = json_object_get(limiter, bucket);
	uint64_t size = (uint64_t)json_integer_value(
		json_object_get(object, "size"));
	uint64_t ms = (uint64_t)json_integer_value(
		json_object_get(object, "refill_time"));

	/* None of either is no limit. */
	if (!size || !ms)
		return 0;
	return size * 1000 / ms ? size * 1000 / ms : 1;
}

/* --- arguments ------------------------------------------------------------------------ */

struct args {
	char *arg[ARGS_MAX + 1];
	size_t count;
	bool failed;
};

__attribute__((format(printf, 2, 3)))
static void add(struct args *args, const char *format, ...)
{
	va_list values;

	va_start(values, format);
	if (args->count == ARGS_MAX ||
	    vasprintf(&args->arg[args->count], format, values) < 0)
		args->failed = true;
	else
		args->count++;
	va_end(values);
}

/* Commas are written twice. */
static void put_path(FILE *out, const char *path)
{
	for (; *path; path++)
		fprintf(out, *path == ',' ? ",," : "%c", *path);
}

static void put_rates(FILE *out, const json_t *limiter, const char *bytes,
		      const char *count)
{
	uint64_t bps = fc_rate(limiter, "bandwidth");
	uint64_t ops = fc_rate(limiter, "ops");

	if (bps)
		fprintf(out, ",%s=%llub", bytes, (unsigned long long)bps);
	if (ops)
		fprintf(out, ",%s=%llu", count, (unsigned long long)ops);
}

/* What was written to `out`, as one argument. */
static void add_option(struct args *args, const char *option, FILE *out,
		       char **words)
{
	if (!out || fclose(out) || !*words)
		args->failed = true;
	else
		add(args, "--%s=%s", option, *words);
	free(*words);
}

static void add_drive(struct args *args, const json_t *drive)
{
	char *words = NULL;
	size_t size;
	FILE *out = open_memstream(&words, &size);
	const char *cache = text(drive, "cache_type");

	if (out) {
		put_path(out, text(drive, "path_on_host"));
		fprintf(out, ",format=raw,serial=%.*s", SERIAL_MAX,
			text(drive, "drive_id"));
		if (!cache || strcasecmp(cache, "Writeback"))
			fprintf(out, ",cache=unsafe");
		if (json_is_true(json_object_get(drive, "is_read_only")))
			fprintf(out, ",readonly");
		put_rates(out, json_object_get(drive, "rate_limiter"), "bps",
			  "iops");
	}
	add_option(args, "disk", out, &words);
}

static void add_net(struct args *args, const json_t *net)
{
	char *words = NULL;
	size_t size;
	FILE *out = open_memstream(&words, &size);

	if (out) {
		fprintf(out, "tap=%s", text(net, "host_dev_name"));
		if (text(net, "guest_mac"))
			fprintf(out, ",mac=%s", text(net, "guest_mac"));
		if (json_is_integer(json_object_get(net, "mtu")))
			fprintf(out, ",mtu=%lld",
				(long long)json_integer_value(
					json_object_get(net, "mtu")));
		put_rates(out, json_object_get(net, "rx_rate_limiter"),
			  "bps-in", "pps-in");
		put_rates(out, json_object_get(net, "tx_rate_limiter"),
			  "bps-out", "pps-out");
	}
	add_option(args, "net", out, &words);
}

/*
 * The client's, without pci=off: the machine's devices are on PCI, which
 * Firecracker's are not unless it is told so. Then the keyboard, of which ACPI
 * tells only with a display, for SendCtrlAltDel; and the root device.
 */
static void add_append(struct args *args, const struct fc_config *config)
{
	const char *at = text(config->boot_source, "boot_args");
	char *words = NULL;
	size_t size, i;
	FILE *out = open_memstream(&words, &size);
	const json_t *drive;

	for (at = at ? at : boot_args; out && *at;) {
		size_t length = strcspn(at, " ");

		if (length && (length != 7 || strncmp(at, "pci=off", 7)))
			fprintf(out, "%s%.*s", ftell(out) ? " " : "",
				(int)length, at);
		at += length + strspn(at + length, " ");
	}
	if (out)
		fprintf(out, "%si8042.nopnp", ftell(out) ? " " : "");
	json_array_foreach(config->drives, i, drive) {
		const char *uuid = text(drive, "partuuid");

		if (out && is_root(drive))
			fprintf(out, " root=%s%s %s",
				uuid ? "PARTUUID=" : "/dev/vda",
				uuid ? uuid : "",
				json_is_true(json_object_get(
					drive, "is_read_only")) ? "ro" : "rw");
	}
	add_option(args, "append", out, &words);
}

/*
 * Where the client names none and the root device's driver is a module of the
 * kernel: the file initrd-root beside it (of the default guest's kernel), which
 * loads that and goes on to the root device.
 */
static void add_initrd(struct args *args, const struct fc_config *config)
{
	const char *given = text(config->boot_source, "initrd_path");
	const char *kernel = text(config->boot_source, "kernel_image_path");
	const char *slash = strrchr(kernel, '/');
	char path[PATH_MAX];
	const json_t *drive;
	bool root = false;
	size_t i;

	if (given) {
		add(args, "--initrd=%s", given);
		return;
	}
	json_array_foreach(config->drives, i, drive)
		root |= is_root(drive);
	snprintf(path, sizeof(path), "%.*sinitrd-root",
		 slash ? (int)(slash - kernel) + 1 : 0, kernel);
	if (root && !access(path, R_OK))
		add(args, "--initrd=%s", path);
}

/* The root device is the guest's first. */
static void add_drives(struct args *args, const struct fc_config *config)
{
	const json_t *drive;
	size_t i;

	for (int root = 1; root >= 0; root--)
		json_array_foreach(config->drives, i, drive)
			if (is_root(drive) == root)
				add_drive(args, drive);
}

static void add_nets(struct args *args, const struct fc_config *config)
{
	const json_t *net;
	size_t i;

	if (!json_array_size(config->nets))
		add(args, "--net=none");
	json_array_foreach(config->nets, i, net)
		add_net(args, net);
}

char **fc_config_args(const struct fc_config *config, const char *name)
{
	const char *out = text(config->serial, "serial_out_path");
	struct args *args = calloc(1, sizeof(*args));

	if (!args)
		return NULL;
	add(args, "lodge-vm");
	add(args, "--name=%s", name);
	add(args, "--kernel=%s", text(config->boot_source,
				      "kernel_image_path"));
	add_initrd(args, config);
	add_append(args, config);
	add(args, "--cpus=%lld", (long long)json_integer_value(
				 json_object_get(config->machine,
						 "vcpu_count")));
	add(args, "--memory=%lluM",
	    (unsigned long long)(fc_memory(config) / MIB));
	add_drives(args, config);
	add_nets(args, config);
	if (config->vsock)
		add(args, "--vsock=%lld,path=%s",
		    (long long)json_integer_value(
			    json_object_get(config->vsock, "guest_cid")),
		    text(config->vsock, "uds_path"));
	else
		add(args, "--no-agent");
	if (out)
		add(args, "--serial=file:%s", out);
	/* A guest's reset is the end, as with Firecracker. */
	add(args, "--no-reboot");
	if (!args->failed)
		return args->arg;
	fc_args_free(args->arg);
	return NULL;
}

void fc_args_free(char **args)
{
	for (size_t i = 0; args && args[i]; i++)
		free(args[i]);
	/* They are the first member of what was allocated. */
	free(args);
}
