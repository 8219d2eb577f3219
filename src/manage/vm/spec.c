/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings as a table: what each may be, and the option of lodge run that it
 * becomes. What only the machine's process can tell, such as whether a disk
 * exists, is found out at the start.
 */
#include "manage/vm/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/nearest.h"

#define TEXT_MAX_  4096
#define LIST_MAX   64
#define MIB	   ((json_int_t)1 << 20)
#define TIB	   ((json_int_t)1 << 40)
#define CPUS_MAX   8192 /* of a host */
#define BESIDE_MIN (64 * MIB) /* what a process has beside its guest */
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" \
		   "0123456789-_."

struct setting;

struct kind {
	const char *wanted; /* "a number" */
	bool (*fits)(const struct setting *setting, const json_t *value);
	void (*give)(struct spec_args *args, const struct setting *setting,
		     const json_t *value);
};

struct setting {
	const char *name;
	const struct kind *kind;
	const char *option; /* of lodge run; "": the word; NULL: none */
	json_int_t min, max;
	const char *const *words; /* one of these; NULL behind the last */
};

/* --- arguments ---------------------------------------------------------------- */

static void add(struct spec_args *args, char *text)
{
	if (args->count + 2 > args->room) {
		size_t room = args->room ? 2 * args->room : 32;
		char **more = realloc(args->arg, room * sizeof(*more));

		if (more) {
			args->arg = more;
			args->room = room;
		}
	}
	if (!text || args->count + 2 > args->room) {
		args->failed = true;
		free(text);
		return;
	}
	args->arg[args->count++] = text;
	args->arg[args->count] = NULL;
}

void spec_arg(struct spec_args *args, const char *text)
{
	add(args, strdup(text));
}

/* As one argument, so that no value is taken for an option. */
void spec_arg_pair(struct spec_args *args, const char *option,
		   const char *value)
{
	char *text;

	add(args, asprintf(&text, "--%s=%s", option, value) < 0 ? NULL : text);
}

void spec_args_free(struct spec_args *args)
{
	for (size_t i = 0; i < args->count; i++)
		free(args->arg[i]);
	free(args->arg);
	*args = (struct spec_args){ 0 };
}

/* --- kinds of values ------------------------------------------------------------ */

static bool is_word(const struct setting *setting, const char *text)
{
	for (const char *const *word = setting->words; word && *word; word++)
		if (!strcmp(*word, text))
			return true;
	return !setting->words;
}

static bool text_fits(const struct setting *setting, const json_t *value)
{
	const char *text = json_string_value(value);

	return text && *text && strlen(text) == json_string_length(value) &&
	       strlen(text) < TEXT_MAX_ && is_word(setting, text);
}

static void text_give(struct spec_args *args, const struct setting *setting,
		      const json_t *value)
{
	if (*setting->option)
		spec_arg_pair(args, setting->option, json_string_value(value));
	else
		spec_arg(args, json_string_value(value));
}

static bool path_fits(const struct setting *setting, const json_t *value)
{
	return text_fits(setting, value) && *json_string_value(value) == '/';
}

/* The name of an image: what is no option. */
static bool name_fits(const struct setting *setting, const json_t *value)
{
	return text_fits(setting, value) && *json_string_value(value) != '-';
}

static bool firmware_fits(const struct setting *setting, const json_t *value)
{
	return text_fits(setting, value) || path_fits(&(struct setting){ 0 },
						      value);
}

static bool number_fits(const struct setting *setting, const json_t *value)
{
	return json_is_integer(value) &&
	       json_integer_value(value) >= setting->min &&
	       json_integer_value(value) <= setting->max;
}

static void number_give(struct spec_args *args, const struct setting *setting,
			const json_t *value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld",
		 (long long)json_integer_value(value));
	spec_arg_pair(args, setting->option, text);
}

/* A number without a unit would not be bytes to lodge run. */
static void bytes_give(struct spec_args *args, const struct setting *setting,
		       const json_t *value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lldb",
		 (long long)json_integer_value(value));
	spec_arg_pair(args, setting->option, text);
}

static bool memory_fits(const struct setting *setting, const json_t *value)
{
	return number_fits(setting, value) &&
	       json_integer_value(value) % MIB == 0;
}

static void memory_give(struct spec_args *args, const struct setting *setting,
			const json_t *value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lldM",
		 (long long)(json_integer_value(value) / MIB));
	spec_arg_pair(args, setting->option, text);
}

/* One processor or a range, and what is behind it. */
static bool take_range(const char **at)
{
	long first, last;
	char *end;

	if (**at < '0' || **at > '9')
		return false;
	first = last = strtol(*at, &end, 10);
	if (*end == '-' && end[1] >= '0' && end[1] <= '9')
		last = strtol(end + 1, &end, 10);
	*at = end;
	return first <= last && last < CPUS_MAX;
}

/* "0-3,6" */
static bool set_fits(const struct setting *setting, const json_t *value)
{
	const char *at = json_string_value(value);

	if (!text_fits(setting, value) || strlen(at) >= 128)
		return false;
	while (take_range(&at)) {
		if (!*at)
			return true;
		if (*at++ != ',')
			return false;
	}
	return false;
}

static bool flag_fits(const struct setting *setting, const json_t *value)
{
	return json_is_boolean(value);
}

static void flag_give(struct spec_args *args, const struct setting *setting,
		      const json_t *value)
{
	char text[32];

	snprintf(text, sizeof(text), "--%s", setting->option);
	if (json_is_true(value))
		spec_arg(args, text);
}

static bool texts_fit(const struct setting *setting, const json_t *value)
{
	const json_t *item;
	size_t i;

	json_array_foreach(value, i, item)
		if (!text_fits(setting, item))
			return false;
	return json_is_array(value) && json_array_size(value) <= LIST_MAX;
}

static void texts_give(struct spec_args *args, const struct setting *setting,
		       const json_t *value)
{
	const json_t *item;
	size_t i;

	json_array_foreach(value, i, item)
		text_give(args, setting, item);
}

static bool paths_fit(const struct setting *setting, const json_t *value)
{
	const json_t *item;
	size_t i;

	json_array_foreach(value, i, item)
		if (!path_fits(setting, item))
			return false;
	return json_is_array(value) && json_array_size(value) <= LIST_MAX;
}

static bool labels_fit(const struct setting *setting, const json_t *value)
{
	const char *name;
	json_t *text;

	json_object_foreach((json_t *)value, name, text) {
		const char *word = json_string_value(text);

		if (!*name || strlen(name) > 63 || !word ||
		    strlen(word) > 255 || strspn(name, NAME_CHARS) != strlen(name))
			return false;
	}
	return json_is_object(value) && json_object_size(value) <= LIST_MAX;
}

/* --- lists of things with options ------------------------------------------------- */

/* What may come first: a path is any text, "network=lab" has no comma. */
#define HEAD_CHARS NAME_CHARS "=/:"

/* The member that each has, then NAME=VALUE or NAME. */
static const char *head_of(const struct setting *setting)
{
	return setting->words[0];
}

static bool option_fits(const char *name, const json_t *value)
{
	const char *text = json_string_value(value);

	if (!*name || strlen(name) > 31 || strspn(name, NAME_CHARS) != strlen(name))
		return false;
	if (!strcmp(name, "folder") && json_is_array(value))
		return texts_fit(&(struct setting){ 0 }, value);
	return json_is_boolean(value) || json_is_integer(value) ||
	       (text && *text && strlen(text) < TEXT_MAX_ &&
		!strchr(text, ','));
}

static bool thing_fits(const struct setting *setting, const json_t *thing)
{
	const char *head = json_string_value(
		json_object_get(thing, head_of(setting)));
	bool path = !strcmp(head_of(setting), "path");
	const char *name;
	json_t *value;

	if (!head || !*head || strlen(head) >= TEXT_MAX_ ||
	    (!path && strspn(head, HEAD_CHARS) != strlen(head)))
		return false;
	json_object_foreach((json_t *)thing, name, value)
		if (strcmp(name, head_of(setting)) &&
		    (!is_word(setting, name) || !option_fits(name, value)) &&
		    (path || !option_fits(name, value)))
			return false;
	return true;
}

static bool things_fit(const struct setting *setting, const json_t *value)
{
	const json_t *thing;
	size_t i;

	json_array_foreach(value, i, thing)
		if (!thing_fits(setting, thing))
			return false;
	return json_is_array(value) && json_array_size(value) <= LIST_MAX;
}

/* Commas in a path are written twice. */
static void put_head(FILE *out, const char *text)
{
	for (; *text; text++)
		fprintf(out, *text == ',' ? ",," : "%c", *text);
}

/* "base" tells what a layer stands on with others; it names that itself. */
static void put_option(FILE *out, const char *name, const json_t *value)
{
	const json_t *item;
	size_t i;

	if (!strcmp(name, "base")) {
		fprintf(out, ",shared-base");
		return;
	}
	json_array_foreach(value, i, item)
		put_option(out, name, item);
	if (json_is_true(value))
		fprintf(out, ",%s", name);
	else if (json_is_integer(value))
		fprintf(out, ",%s=%lld%s", name,
			(long long)json_integer_value(value),
			strncmp(name, "bps", 3) ? "" : "b");
	else if (json_is_string(value))
		fprintf(out, ",%s=%s", name, json_string_value(value));
}

static void things_give(struct spec_args *args, const struct setting *setting,
			const json_t *value)
{
	const json_t *thing;
	size_t i;

	json_array_foreach(value, i, thing) {
		char *text = NULL;
		const char *name;
		json_t *option;
		size_t size;
		FILE *out = open_memstream(&text, &size);

		if (!out) {
			args->failed = true;
			return;
		}
		put_head(out, json_string_value(
				 json_object_get(thing, head_of(setting))));
		json_object_foreach((json_t *)thing, name, option)
			if (strcmp(name, head_of(setting)))
				put_option(out, name, option);
		if (fclose(out) || !text)
			args->failed = true;
		else
			spec_arg_pair(args, setting->option, text);
		free(text);
	}
}

/* --- the table ---------------------------------------------------------------------- */

static const struct kind text_kind = { "a text", text_fits, text_give };
static const struct kind name_kind = { "a name", name_fits, text_give };
static const struct kind path_kind = { "an absolute path", path_fits,
				       text_give };
static const struct kind firmware_kind = {
	"none, bios, uefi or an absolute path", firmware_fits, text_give };
static const struct kind number_kind = { "a number", number_fits,
					 number_give };
static const struct kind bytes_kind = { "bytes", number_fits, bytes_give };
static const struct kind memory_kind = {
	"bytes, whole MiB,", memory_fits, memory_give };
static const struct kind set_kind = { "processors such as 0-3,6", set_fits,
				      NULL };
static const struct kind flag_kind = { "true or false", flag_fits, flag_give };
static const struct kind texts_kind = { "a list of texts", texts_fit,
					texts_give };
static const struct kind paths_kind = { "a list of absolute paths", paths_fit,
					texts_give };
static const struct kind things_kind = { "a list of objects", things_fit,
					 things_give };
static const struct kind labels_kind = {
	"names of 1 to 63 letters, digits and - _ . with texts of at most 255 "
	"characters", labels_fit, NULL };

static const char *const firmwares[] = { "none", "bios", "uefi", NULL };
static const char *const engines[] = { "auto", "kvm", "soft", NULL };
static const char *const bites[] = { "reset", "poweroff", "pause", "none",
				     NULL };
static const char *const policies[] = { "never", "on-failure", "always",
					NULL };
static const char *const disk_words[] = {
	"path", "format", "bus", "cache", "iops", "bps", "burst", "readonly",
	"copy-on-read", "serial", "secret", "queues", "folder", "base",
	NULL };
static const char *const cd_words[] = { "path", "bus", NULL };
static const char *const floppy_words[] = { "path", "readonly", NULL };
static const char *const net_words[] = { "mode", NULL };

static const struct setting settings[] = {
	{ .name = "image", .kind = &name_kind, .option = "" },
	{ .name = "kernel", .kind = &path_kind, .option = "kernel" },
	{ .name = "initrd", .kind = &path_kind, .option = "initrd" },
	{ .name = "append", .kind = &text_kind, .option = "append" },
	{ .name = "firmware", .kind = &firmware_kind, .option = "firmware",
	  .words = firmwares },
	{ .name = "uefi_vars", .kind = &path_kind, .option = "uefi-vars" },
	{ .name = "user", .kind = &name_kind, .option = "user" },
	{ .name = "ssh_keys", .kind = &paths_kind, .option = "ssh-key" },
	{ .name = "cloud_init", .kind = &path_kind, .option = "cloud-init" },
	{ .name = "disk_size", .kind = &memory_kind, .option = "disk-size",
	  .min = MIB, .max = 1024 * TIB },
	{ .name = "cpus", .kind = &number_kind, .option = "cpus",
	  .min = 1, .max = 64 },
	{ .name = "memory", .kind = &memory_kind, .option = "memory",
	  .min = 4 * MIB, .max = TIB },
	{ .name = "engine", .kind = &text_kind, .option = "engine",
	  .words = engines },
	{ .name = "disks", .kind = &things_kind, .option = "disk",
	  .words = disk_words },
	{ .name = "cdroms", .kind = &things_kind, .option = "cdrom",
	  .words = cd_words },
	{ .name = "floppies", .kind = &things_kind, .option = "floppy",
	  .words = floppy_words },
	{ .name = "networks", .kind = &things_kind, .option = "net",
	  .words = net_words },
	{ .name = "publish", .kind = &texts_kind, .option = "publish" },
	{ .name = "shares", .kind = &texts_kind, .option = "share" },
	{ .name = "display", .kind = &text_kind, .option = "display" },
	{ .name = "usb", .kind = &flag_kind, .option = "usb" },
	{ .name = "cpu_shares", .kind = &number_kind, .min = 1, .max = 10000 },
	{ .name = "cpu_limit", .kind = &number_kind, .min = 1, .max = 100000 },
	{ .name = "cpu_set", .kind = &set_kind },
	{ .name = "memory_limit", .kind = &memory_kind,
	  .min = 4 * MIB, .max = 2 * TIB },
	{ .name = "pids_limit", .kind = &number_kind,
	  .min = 32, .max = 1000000 },
	{ .name = "disk_shares", .kind = &number_kind, .min = 1, .max = 1000 },
	{ .name = "disk_bps", .kind = &bytes_kind, .option = "disk-bps",
	  .min = 4096, .max = TIB },
	{ .name = "disk_iops", .kind = &number_kind, .option = "disk-iops",
	  .min = 1, .max = 1000000000 },
	{ .name = "watchdog", .kind = &text_kind, .option = "watchdog",
	  .words = bites },
	{ .name = "labels", .kind = &labels_kind },
	{ .name = "restart", .kind = &text_kind,
	  .words = policies },
	{ .name = "template", .kind = &flag_kind },
	{ .name = "temporary", .kind = &flag_kind },
	{ .name = "autostart", .kind = &flag_kind },
	{ .name = "autostart_order", .kind = &number_kind,
	  .min = 0, .max = 1000000 },
	{ .name = "autostart_delay", .kind = &number_kind,
	  .min = 0, .max = 3600 },
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

static const struct setting *find(const char *name)
{
	for (size_t i = 0; i < SETTINGS; i++)
		if (!strcmp(settings[i].name, name))
			return &settings[i];
	return NULL;
}

/* "4 MiB", whose bytes nobody wants to count. */
static void size_text(char *text, size_t size, json_int_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	unsigned int unit = 0;

	for (bytes >>= 10; bytes >= 1024 && bytes % 1024 == 0 && unit < 3;
	     bytes >>= 10)
		unit++;
	snprintf(text, size, "%lld %s", (long long)bytes, units[unit]);
}

static int refuse_size(const struct setting *setting, struct problem *problem)
{
	char min[32], max[32];

	size_text(min, sizeof(min), setting->min);
	size_text(max, sizeof(max), setting->max);
	return problem_set(problem, 400, "bad-config",
			   "config.%s: give %s from %s to %s", setting->name,
			   setting->kind->wanted, min, max);
}

static int refuse(const struct setting *setting, struct problem *problem)
{
	char words[200] = "";

	for (const char *const *word = setting->words; word && *word; word++)
		snprintf(words + strlen(words), sizeof(words) - strlen(words),
			 "%s%s", *words ? ", " : "", *word);
	if (setting->kind == &memory_kind || setting->kind == &bytes_kind)
		return refuse_size(setting, problem);
	if (setting->kind == &number_kind)
		return problem_set(problem, 400, "bad-config",
				   "config.%s: give %s from %lld to %lld",
				   setting->name, setting->kind->wanted,
				   (long long)setting->min,
				   (long long)setting->max);
	if (setting->kind == &text_kind && setting->words)
		return problem_set(problem, 400, "bad-config",
				   "config.%s: give one of %s", setting->name,
				   words);
	if (setting->kind == &things_kind)
		return problem_set(problem, 400, "bad-config",
				   "config.%s: give a list of objects with "
				   "%s%s%s", setting->name, words,
				   setting->words[1] ? "" : " and its options",
				   "; texts have no comma");
	return problem_set(problem, 400, "bad-config", "config.%s: give %s",
			   setting->name, setting->kind->wanted);
}

static int refuse_name(const char *name, struct problem *problem)
{
	const char *like = nearest_word(name, &settings[0].name, SETTINGS,
					sizeof(settings[0]));

	return problem_set(problem, 400, "bad-config",
			   "config.%.60s: there is no such setting%s%s%s",
			   name, like ? "; did you mean " : "",
			   like ? like : "", like ? "?" : "");
}

static bool has(const json_t *config, const char *name)
{
	return json_object_get(config, name);
}

unsigned int spec_cpus(const json_t *config)
{
	json_int_t cpus = json_integer_value(json_object_get(config, "cpus"));

	return cpus > 0 ? (unsigned int)cpus : 1;
}

uint64_t spec_memory(const json_t *config)
{
	json_int_t memory =
		json_integer_value(json_object_get(config, "memory"));

	/* As lodge run has it. */
	return (uint64_t)(memory > 0		  ? memory :
			  has(config, "image") ? 1024 * MIB :
						 512 * MIB);
}

static int check_memory(const json_t *config, struct problem *problem)
{
	json_int_t limit = json_integer_value(
		json_object_get(config, "memory_limit"));
	json_int_t memory = (json_int_t)spec_memory(config);

	if (!limit || limit >= memory + BESIDE_MIN)
		return 0;
	return problem_set(problem, 400, "bad-config", "config.memory_limit: "
			   "the guest has %lld MiB and its process wants %lld "
			   "MiB more at least; give %lldM or more",
			   (long long)(memory / MIB),
			   (long long)(BESIDE_MIN / MIB),
			   (long long)((memory + BESIDE_MIN) / MIB));
}

/* What goes with what. */
static int check_whole(const json_t *config, struct problem *problem)
{
	static const char *const with_image[] = { "user", "ssh_keys",
						  "cloud_init", "disk_size" };
	const char *firmware =
		json_string_value(json_object_get(config, "firmware"));

	if (has(config, "image") && has(config, "kernel"))
		return problem_set(problem, 400, "bad-config",
				   "config.kernel: does not go with image; "
				   "give one of them");
	if (has(config, "kernel") && firmware && strcmp(firmware, "none"))
		return problem_set(problem, 400, "bad-config",
				   "config.kernel: is for firmware none");
	for (unsigned int i = 0; i < 4; i++)
		if (has(config, with_image[i]) && !has(config, "image"))
			return problem_set(problem, 400, "bad-config",
					   "config.%s: goes with an image",
					   with_image[i]);
	return check_memory(config, problem);
}

int spec_check(const json_t *config, struct problem *problem)
{
	const char *name;
	json_t *value;

	if (!json_is_object(config))
		return problem_set(problem, 400, "bad-config",
				   "config: give an object");
	json_object_foreach((json_t *)config, name, value) {
		const struct setting *setting = find(name);

		if (!setting)
			return refuse_name(name, problem);
		if (!setting->kind->fits(setting, value))
			return refuse(setting, problem);
	}
	return check_whole(config, problem);
}

/* RFC 7396, for the members that are objects as well. */
static void merge(json_t *into, const json_t *change)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)change, name, value) {
		json_t *old = json_object_get(into, name);

		if (json_is_null(value))
			json_object_del(into, name);
		else if (json_is_object(value) && json_is_object(old))
			merge(old, value);
		else
			json_object_set(into, name, value);
	}
}

json_t *spec_change(const json_t *config, const json_t *change,
		    struct problem *problem)
{
	json_t *changed, *value;
	const char *name;

	if (!json_is_object(change)) {
		problem_set(problem, 400, "bad-config",
			    "config: give an object");
		return NULL;
	}
	json_object_foreach((json_t *)change, name, value) {
		if (find(name))
			continue;
		refuse_name(name, problem);
		return NULL;
	}
	changed = json_deep_copy(config);
	merge(changed, change);
	if (!spec_check(changed, problem))
		return changed;
	json_decref(changed);
	return NULL;
}

/* --- what lodged itself wants to know --------------------------------------------- */

enum spec_restart spec_restart(const json_t *config)
{
	const char *word =
		json_string_value(json_object_get(config, "restart"));

	for (int i = 0; word && policies[i]; i++)
		if (!strcmp(policies[i], word))
			return (enum spec_restart)i;
	return SPEC_RESTART_NEVER;
}

bool spec_autostart(const json_t *config, json_int_t *order)
{
	*order = json_integer_value(json_object_get(config,
						    "autostart_order"));
	return json_is_true(json_object_get(config, "autostart"));
}

json_int_t spec_autostart_delay(const json_t *config)
{
	return json_integer_value(json_object_get(config, "autostart_delay"));
}

bool spec_has_label(const json_t *config, const char *label)
{
	const json_t *labels = json_object_get(config, "labels");
	const char *equals = strchr(label, '=');
	char name[64];
	const char *value;

	snprintf(name, sizeof(name), "%.*s",
		 equals ? (int)(equals - label) : 63, label);
	value = json_string_value(json_object_get(labels, name));
	return value && (!equals || !strcmp(value, equals + 1));
}

int spec_args(struct spec_args *args, const json_t *config)
{
	for (size_t i = 0; i < SETTINGS; i++) {
		const json_t *value =
			json_object_get(config, settings[i].name);

		if (value && settings[i].option)
			settings[i].kind->give(args, &settings[i], value);
	}
	return args->failed ? -1 : 0;
}
