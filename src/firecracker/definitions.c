/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The definitions of Firecracker's specification as tables. What lodge does
 * not have is refused by name, and what makes no difference to it is taken.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "firecracker/config.h"

#define ID_MAX	 64
#define PATH_MAX_ 1024
#define ARGS_MAX 2000 /* of a kernel's command line */
#define MIB_MAX	 1048576
#define TEBI	 ((json_int_t)1 << 40)

enum type {
	TEXT,	 /* max: its length */
	NAME,	 /* letters, digits, - and _ */
	READ,	 /* a file that can be read */
	NUMBER,
	FLAG,
	LIMITER, /* of bytes and operations */
	WORD,	 /* one of `words`; those behind "" are known and refused */
	ABSENT,	 /* known and refused */
};

struct member {
	const char *name;
	enum type type;
	bool required;
	json_int_t min, max;
	const char *const *words;
};

int fc_fault(struct fc_fault *fault, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return -1;
}

static const char *const caches[] = { "Unsafe", "Writeback", NULL };
static const char *const engines[] = { "Sync", "Async", NULL };
static const char *const templates[] = { "None", "", "C3", "T2", "T2S",
					 "T2CL", "T2A", "V1N1", NULL };
static const char *const pages[] = { "None", "Transparent", "", "2M", NULL };
static const char *const levels[] = { "Error", "Warning", "Info", "Debug",
				      "Trace", "Off", NULL };
static const char *const actions[] = { "InstanceStart", "FlushMetrics",
				       "SendCtrlAltDel", NULL };
static const char *const states[] = { "Paused", "Resumed", NULL };

static const struct member boot_source[] = {
	{ "kernel_image_path", READ, true, 1, PATH_MAX_, NULL },
	{ "initrd_path", READ, false, 1, PATH_MAX_, NULL },
	{ "boot_args", TEXT, false, 0, ARGS_MAX, NULL },
	{ NULL, TEXT, false, 0, 0, NULL },
};

static const struct member drive[] = {
	{ "drive_id", NAME, true, 1, ID_MAX, NULL },
	{ "is_root_device", FLAG, true, 0, 0, NULL },
	{ "path_on_host", READ, true, 1, PATH_MAX_, NULL },
	{ "is_read_only", FLAG, false, 0, 0, NULL },
	{ "partuuid", TEXT, false, 1, ID_MAX, NULL },
	{ "cache_type", WORD, false, 0, 0, caches },
	{ "io_engine", WORD, false, 0, 0, engines },
	{ "rate_limiter", LIMITER, false, 0, 0, NULL },
	{ "socket", ABSENT, false, 0, 0, NULL },
	{ NULL, TEXT, false, 0, 0, NULL },
};

static const struct member partial_drive[] = {
	{ "drive_id", NAME, true, 1, ID_MAX, NULL },
	{ "path_on_host", READ, false, 1, PATH_MAX_, NULL },
	{ "rate_limiter", LIMITER, false, 0, 0, NULL },
	{ NULL, TEXT, false, 0, 0, NULL },
};

static const struct member net[] = {
	{ "iface_id", NAME, true, 1, ID_MAX, NULL },
	{ "host_dev_name", TEXT, true, 1, 15, NULL },
	{ "guest_mac", TEXT, false, 17, 17, NULL },
	{ "mtu", NUMBER, false, 68, 65535, NULL },
	{ "rx_rate_limiter", LIMITER, false, 0, 0, NULL },
	{ "tx_rate_limiter", LIMITER, false, 0, 0, NULL },
	{ NULL, TEXT, false, 0, 0, NULL },
};

static const struct member partial_net[] = {
	{ "iface_id", NAME, true, 1, ID_MAX, NULL },
	{ "rx_rate_limiter", LIMITER, false, 0, 0, NULL },
	{ "tx_rate_limiter", LIMITER, false, 0, 0, NULL },
	{ NULL, TEXT, false, 0, 0, NULL },
};

#define MACHINE_MEMBERS(required)                                \
	{ "vcpu_count", NUMBER, required, 1, 32, NULL },         \
	{ "mem_size_mib", NUMBER, required, 4, MIB_MAX, NULL },  \
	{ "smt", FLAG, false, 0, 0, NULL },                      \
	{ "track_dirty_pages", FLAG, false, 0, 0, NULL },        \
	{ "cpu_template", WORD, false, 0, 0, templates },        \
	{ "huge_pages", WORD, false, 0, 0, pages },              \
	{ NULL, TEXT, false, 0, 0, NULL }

static const struct member machine[] = { MACHINE_MEMBERS(true) };
static const struct member partial_machine[] = { MACHINE_MEMBERS(false) };

static const struct member balloon[] = {
	{ "amount_mib", NUMBER, true, 0, MIB_MAX, NULL },
	{ "deflate_on_oom", FLAG, true, 0, 0, NULL },
	{ "stats_polling_interval_s", NUMBER, false, 0, 65535, NULL },
	{ "free_page_hinting", FLAG, false, 0, 0, NULL },
	{ "free_page_reporting", FLAG, false, 0, 0, NULL },
	{ NULL, TEXT, false, 0, 0, NULL },
};

static const struct member balloon_update[] = {
	{ "amount_mib", NUMBER, true, 0, MIB_MAX, NULL },
	{ NULL, TEXT, false, 0, 0, NULL },
};

static const struct member balloon_stats[] = {
	{ "stats_polling_interval_s", NUMBER, true, 0, 65535, NULL },
	{ NULL, TEXT, false, 0, 0, NULL },
};

static const struct member vsock[] = {
	{ "guest_cid", NUMBER, true, 3, 0xFFFFFFFE, NULL },
	{ "uds_path", TEXT, true, 1, 100, NULL },
	{ "vsock_id", NAME, false, 1, ID_MAX, NULL },
	{ NULL, TEXT, false, 0, 0, NULL },
};

static const struct member entropy[] = {
	{ "rate_limiter", LIMITER, false, 0, 0, NULL },
	{ NULL, TEXT, false, 0, 0, NULL },
};

static const struct member serial[] = {
	{ "serial_out_path", TEXT, false, 1, PATH_MAX_, NULL },
	{ "rate_limiter", ABSENT, false, 0, 0, NULL },
	{ NULL, TEXT, false, 0, 0, NULL },
};

static const struct member logger[] = {
	{ "log_path", TEXT, false, 1, PATH_MAX_, NULL },
	{ "level", WORD, false, 0, 0, levels },
	{ "show_level", FLAG, false, 0, 0, NULL },
	{ "show_log_origin", FLAG, false, 0, 0, NULL },
	{ "module", TEXT, false, 0, PATH_MAX_, NULL },
	{ NULL, TEXT, false, 0, 0, NULL },
};

static const struct member metrics[] = {
	{ "metrics_path", TEXT, true, 1, PATH_MAX_, NULL },
	{ NULL, TEXT, false, 0, 0, NULL },
};

static const struct member action[] = {
	{ "action_type", WORD, true, 0, 0, actions },
	{ NULL, TEXT, false, 0, 0, NULL },
};

static const struct member vm[] = {
	{ "state", WORD, true, 0, 0, states },
	{ NULL, TEXT, false, 0, 0, NULL },
};

static const struct member *const definitions[] = {
	[FC_BOOT_SOURCE] = boot_source,
	[FC_DRIVE] = drive,
	[FC_PARTIAL_DRIVE] = partial_drive,
	[FC_NET] = net,
	[FC_PARTIAL_NET] = partial_net,
	[FC_MACHINE] = machine,
	[FC_PARTIAL_MACHINE] = partial_machine,
	[FC_BALLOON] = balloon,
	[FC_BALLOON_UPDATE] = balloon_update,
	[FC_BALLOON_STATS] = balloon_stats,
	[FC_VSOCK] = vsock,
	[FC_ENTROPY] = entropy,
	[FC_SERIAL] = serial,
	[FC_LOGGER] = logger,
	[FC_METRICS] = metrics,
	[FC_ACTION] = action,
	[FC_VM] = vm,
};

/* --- values ------------------------------------------------------------------------ */

static int check_text(const struct member *member, const json_t *value,
		      struct fc_fault *fault)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	const char *text = json_string_value(value);
	json_int_t length = (json_int_t)json_string_length(value);

	if (!text || length < member->min || length > member->max ||
	    strlen(text) != (size_t)length || strpbrk(text, "\n\r"))
		return fc_fault(fault, "%s: give a text of %lld to %lld "
				"characters", member->name,
				(long long)member->min,
				(long long)member->max);
	if (member->type == NAME && strspn(text, chars) != (size_t)length)
		return fc_fault(fault, "%s: give letters, digits, - and _",
				member->name);
	if (member->type == READ && access(text, R_OK))
		return fc_fault(fault, "%s: %.200s: %m", member->name, text);
	return 0;
}

static int check_word(const struct member *member, const json_t *value,
		      struct fc_fault *fault)
{
	const char *text = json_string_value(value);
	bool refused = false;
	char all[120] = "";

	for (const char *const *word = member->words; *word; word++) {
		refused |= !**word;
		if (text && !refused && !strcasecmp(text, *word))
			return 0;
		if (text && refused && !strcmp(text, *word))
			return fc_fault(fault, "%s %s: lodge does not have "
					"that; leave it out", member->name,
					text);
		if (!refused)
			snprintf(all + strlen(all), sizeof(all) - strlen(all),
				 "%s%s", *all ? ", " : "", *word);
	}
	return fc_fault(fault, "%s: give one of %s", member->name, all);
}

static int check_bucket(const char *name, const json_t *bucket,
			struct fc_fault *fault)
{
	static const char *const members[] = { "size", "refill_time",
					       "one_time_burst" };
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)bucket, key, value) {
		int i;

		for (i = 0; i < 3 && strcmp(members[i], key); i++)
			;
		if (i == 3)
			return fc_fault(fault, "%s: unknown field %.60s", name,
					key);
		if (!json_is_integer(value) || json_integer_value(value) < 0 ||
		    json_integer_value(value) > TEBI)
			return fc_fault(fault, "%s: %s: give a number from 0 "
					"on", name, key);
	}
	for (int i = 0; i < 2; i++)
		if (!json_object_get(bucket, members[i]))
			return fc_fault(fault, "%s: missing field %s", name,
					members[i]);
	return json_is_object(bucket) ? 0 : fc_fault(fault, "%s: give an "
						     "object", name);
}

static int check_limiter(const struct member *member, const json_t *value,
			 struct fc_fault *fault)
{
	const char *key;
	json_t *bucket;

	if (!json_is_object(value))
		return fc_fault(fault, "%s: give an object", member->name);
	json_object_foreach((json_t *)value, key, bucket) {
		if (strcmp(key, "bandwidth") && strcmp(key, "ops"))
			return fc_fault(fault, "%s: unknown field %.60s",
					member->name, key);
		if (!json_is_null(bucket) && check_bucket(key, bucket, fault))
			return -1;
	}
	return 0;
}

static int check_number(const struct member *member, const json_t *value,
			struct fc_fault *fault)
{
	if (json_is_integer(value) &&
	    json_integer_value(value) >= member->min &&
	    json_integer_value(value) <= member->max)
		return 0;
	return fc_fault(fault, "%s: give a number from %lld to %lld",
			member->name, (long long)member->min,
			(long long)member->max);
}

static int check_value(const struct member *member, const json_t *value,
		       struct fc_fault *fault)
{
	switch (member->type) {
	case NUMBER:
		return check_number(member, value, fault);
	case FLAG:
		return json_is_boolean(value) ?
			       0 :
			       fc_fault(fault, "%s: give true or false",
					member->name);
	case LIMITER:
		return check_limiter(member, value, fault);
	case WORD:
		return check_word(member, value, fault);
	case ABSENT:
		return fc_fault(fault, "%s: lodge does not have that; leave "
				"it out", member->name);
	default:
		return check_text(member, value, fault);
	}
}

int fc_check(enum fc_kind kind, const json_t *object, struct fc_fault *fault)
{
	const struct member *members = definitions[kind], *member;
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return fc_fault(fault, "the body is to be a JSON object");
	json_object_foreach((json_t *)object, name, value) {
		for (member = members; member->name; member++)
			if (!strcmp(member->name, name))
				break;
		if (!member->name)
			return fc_fault(fault, "unknown field %.60s", name);
		/* Clients write null for what they leave out. */
		if ((!json_is_null(value) || member->required) &&
		    check_value(member, value, fault))
			return -1;
	}
	for (member = members; member->name; member++)
		if (member->required && !json_object_get(object, member->name))
			return fc_fault(fault, "missing field %s",
					member->name);
	return 0;
}
