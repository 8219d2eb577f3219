/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge apply and export: machines as documents of a YAML file. A document has
 * the settings of the API's "config", sizes as texts such as 2G if one likes,
 * and the machine's name. Nothing is changed before all documents of all files
 * were looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/machine/group.h"
#include "cli/machine/managed.h"
#include "cli/machine/target.h"
#include "cli/option.h"
#include "cli/yaml.h"
#include "host/linux/extension.h"
#include "vmm/machine.h"

#define FILES_MAX 64
#define WHY_SIZE  400
#define GIB	  ((json_int_t)1 << 30)
#define MIB	  ((json_int_t)1 << 20)

struct apply {
	const char *file[FILES_MAX];
	unsigned int files;
	bool dry_run, lost, failed;
	struct api_client client;
	json_t *wishes;
	json_t *told; /* for --json: a list; else NULL */
};

/* A wish: "name", "config", "file", "lines"; later "plan" and "was". */

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

/* --- files ------------------------------------------------------------------------ */

/* All of it, to be freed; NULL after cli_error(). */
static char *read_text(const char *path, size_t *size)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
	char *text = file ? malloc(YAML_SIZE_MAX + 1) : NULL;
	bool bad;

	if (!text) {
		cli_error("apply: %s: %s", path, strerror(errno));
		return NULL;
	}
	*size = fread(text, 1, YAML_SIZE_MAX + 1, file);
	bad = ferror(file);
	if (file != stdin)
		fclose(file);
	if (!bad && *size <= YAML_SIZE_MAX)
		return text;
	cli_error("apply: %s: %s", path, bad ? "cannot be read" :
					       "is larger than 1 MiB");
	free(text);
	return NULL;
}

static json_int_t line_at(const json_t *lines, const char *path)
{
	return json_integer_value(json_object_get(lines, path));
}

/* "FILE:LINE: what"; the line is that of `key`, else the document's. */
static void complain(const json_t *wish, const char *key, const char *what)
{
	json_int_t line = line_at(json_object_get(wish, "lines"), key);

	cli_error("apply: %s:%lld: %s", text_of(wish, "file"),
		  line ? line :
			 json_integer_value(json_object_get(wish, "line")),
		  what);
}

/* --- what a document says ------------------------------------------------------------- */

static json_t *whole_path(const char *text)
{
	char *path = target_path(text);
	json_t *value = json_string(path ? path : text);

	free(path);
	return value;
}

/* Paths are the file's: from its folder on, which is the working folder. */
static void find_paths(json_t *config)
{
	static const char *const single[] = { "kernel", "initrd", "uefi_vars",
					      "cloud_init" };
	static const char *const lists[] = { "disks", "cdroms", "floppies" };
	const char *firmware = text_of(config, "firmware");
	json_t *item;
	size_t k;

	for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++)
		if (*text_of(config, single[i]))
			json_object_set_new(config, single[i],
					    whole_path(text_of(config,
							       single[i])));
	if (strchr(firmware, '/'))
		json_object_set_new(config, "firmware", whole_path(firmware));
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		json_array_foreach(json_object_get(config, lists[i]), k, item)
			if (*text_of(item, "path") &&
			    strcmp(text_of(item, "path"), "none"))
				json_object_set_new(
					item, "path",
					whole_path(text_of(item, "path")));
	json_array_foreach(json_object_get(config, "ssh_keys"), k, item)
		if (json_is_string(item))
			json_array_set_new(json_object_get(config, "ssh_keys"),
					   k,
					   whole_path(json_string_value(item)));
}

/* "./site:/srv,readonly": the folder in front is the file's as well. */
static void find_shares(json_t *config)
{
	json_t *list = json_object_get(config, "shares"), *item;
	size_t i;

	json_array_foreach(list, i, item) {
		const char *text = json_string_value(item);
		const char *colon = text ? strchr(text, ':') : NULL;
		char *folder, *whole, *line = NULL;

		if (!colon)
			continue;
		folder = strndup(text, (size_t)(colon - text));
		whole = folder ? target_path(folder) : NULL;
		if (whole && asprintf(&line, "%s%s", whole, colon) >= 0)
			json_array_set_new(list, i, json_string(line));
		free(line);
		free(whole);
		free(folder);
	}
}

/* Sizes as texts become bytes. */
static int find_sizes(json_t *wish, json_t *config)
{
	static const char *const names[] = { "memory", "disk_size" };
	char what[WHY_SIZE];
	uint64_t bytes;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *text = text_of(config, names[i]);

		if (!*text)
			continue;
		if (!cli_parse_bytes(text, true, &bytes)) {
			snprintf(what, sizeof(what), "%s: %.40s: give a size "
				 "such as 512M or 2G", names[i], text);
			complain(wish, names[i], what);
			return -1;
		}
		json_object_set_new(config, names[i],
				    json_integer((json_int_t)bytes));
	}
	return 0;
}

/* A setting that is null is not there. */
static void drop_nulls(json_t *config)
{
	const char *name;
	json_t *value;
	void *next;

	json_object_foreach_safe(config, next, name, value)
		if (json_is_null(value))
			json_object_del(config, name);
}

static bool is_twice(const struct apply *apply, const char *name)
{
	const json_t *wish;
	size_t i;

	json_array_foreach(apply->wishes, i, wish)
		if (!strcmp(text_of(wish, "name"), name))
			return true;
	return false;
}

/* The document as a wish, whose reference is taken. */
static void add_wish(struct apply *apply, const char *file, json_t *document)
{
	json_t *config = json_object_get(document, "value");
	const char *name = text_of(config, "name");
	char what[WHY_SIZE] = "";

	json_object_set_new(document, "file", json_string(file));
	json_object_set_new(document, "name", json_string(name));
	if (!json_is_object(config))
		snprintf(what, sizeof(what),
			 "a machine is NAME: VALUE lines; see lodge export");
	else if (!*name)
		snprintf(what, sizeof(what), "name: is missing, or no text");
	else if (is_twice(apply, name))
		snprintf(what, sizeof(what), "name: %.80s is there twice",
			 name);
	if (*what) {
		complain(document, "name", what);
		apply->failed = true;
		return;
	}
	json_object_del(config, "name");
	drop_nulls(config);
	find_paths(config);
	find_shares(config);
	if (find_sizes(document, config))
		apply->failed = true;
	json_object_set(document, "config", config);
	json_array_append(apply->wishes, document);
}

/* Goes to the folder of the file; the former one, or -1. */
static int enter_folder(const char *path)
{
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];

	snprintf(folder, sizeof(folder), "%.*s",
		 slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	if (here < 0 || !chdir(folder))
		return here;
	close(here);
	return -1;
}

static void read_file(struct apply *apply, yaml_reader *reader,
		      const char *path)
{
	json_t *list = NULL, *document;
	char why[WHY_SIZE] = "";
	size_t size, i;
	char *text = read_text(path, &size);
	int here;

	apply->lost |= !text;
	if (!text)
		return;
	list = reader(text, size, why, sizeof(why));
	free(text);
	if (!list) {
		cli_error("apply: %s:%s", path, why);
		apply->failed = true;
		return;
	}
	here = enter_folder(path);
	json_array_foreach(list, i, document)
		add_wish(apply, path, document);
	if (here >= 0 && fchdir(here))
		apply->failed = true;
	if (here >= 0)
		close(here);
	json_decref(list);
}

static int read_files(struct apply *apply)
{
	yaml_reader *reader;
	char why[WHY_SIZE];

	reader = (yaml_reader *)extension_symbol("yaml", "yaml_read", why,
						 sizeof(why));
	if (!reader) {
		cli_error("apply: %s", why);
		return MACHINE_FAILED;
	}
	for (unsigned int i = 0; i < apply->files; i++)
		read_file(apply, reader, apply->file[i]);
	if (apply->failed || apply->lost)
		return apply->lost ? MACHINE_FAILED : MACHINE_USAGE;
	if (json_array_size(apply->wishes))
		return MACHINE_OK;
	cli_error("apply: there is no machine in %s", apply->file[0]);
	return MACHINE_USAGE;
}

/* --- differences ------------------------------------------------------------------------ */

/* RFC 7396: what makes `new` of `old`. */
static json_t *change_of(const json_t *old, const json_t *new)
{
	json_t *change = json_object(), *value;
	const char *name;

	json_object_foreach((json_t *)old, name, value)
		if (!json_object_get(new, name))
			json_object_set_new(change, name, json_null());
	json_object_foreach((json_t *)new, name, value) {
		json_t *was = json_object_get(old, name);

		if (json_is_object(value) && json_is_object(was) &&
		    !json_equal(value, was))
			json_object_set_new(change, name,
					    change_of(was, value));
		else if (!was || !json_equal(value, was))
			json_object_set(change, name, value);
	}
	return change;
}

static bool is_size(const char *name)
{
	return !strcmp(name, "memory") || !strcmp(name, "disk_size");
}

/* "2G" where that is what it is. */
static json_t *short_size(json_int_t bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld%c",
		 (long long)(bytes % GIB ? bytes / MIB : bytes / GIB),
		 bytes % GIB ? 'M' : 'G');
	return json_string(text);
}

static void print_value(const char *name, const json_t *value)
{
	json_t *size = is_size(name) && json_is_integer(value) ?
			       short_size(json_integer_value(value)) :
			       NULL;

	if (size)
		printf("%s", json_string_value(size));
	else if (json_is_string(value))
		printf("%s", json_string_value(value));
	else
		json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(size);
}

/* A line for each setting that changes. */
static void print_change(const json_t *old, const json_t *new)
{
	json_t *change = change_of(old, new), *value;
	const char *name;

	json_object_foreach(change, name, value) {
		printf("  %s: ", name);
		if (json_object_get(old, name))
			print_value(name, json_object_get(old, name));
		else
			printf("(none)");
		printf(" -> ");
		if (json_object_get(new, name))
			print_value(name, json_object_get(new, name));
		else
			printf("(none)");
		printf("\n");
	}
	json_decref(change);
}

/* --- applying ---------------------------------------------------------------------------- */

/* The line of a refusal is that of the setting that it names. */
static void complain_of(const json_t *wish, const char *detail)
{
	static const char prefix[] = "config.";
	char key[64] = "";

	if (!strncmp(detail, prefix, sizeof(prefix) - 1)) {
		detail += sizeof(prefix) - 1;
		snprintf(key, sizeof(key), "%.*s", (int)strcspn(detail, ":"),
			 detail);
	}
	complain(wish, key, detail);
}

/* One request for a wish; its answer, or NULL after complain(). */
static json_t *ask(struct apply *apply, const json_t *wish, bool dry)
{
	const json_t *was = json_object_get(wish, "was");
	json_t *config = json_object_get(wish, "config"), *body;
	const char *more = dry ? "?dry_run=true" : "";
	struct vmm_error error;
	char path[400];
	json_t *answer;
	int status;

	if (was) {
		api_vm_path(path, sizeof(path), text_of(wish, "name"), more);
		body = json_pack("{so}", "config",
				 change_of(json_object_get(was, "config"),
					   config));
	} else {
		snprintf(path, sizeof(path), "/v1/vms%s", more);
		body = json_pack("{ss sO}", "name", text_of(wish, "name"),
				 "config", config);
	}
	answer = api_call(&apply->client, was ? "PATCH" : "POST", path, body,
			  &status, &error);
	if (!answer)
		complain_of(wish, error.text);
	return answer;
}

/* What lodged would say to it. */
static int look(struct apply *apply, json_t *wish)
{
	json_t *was = managed_find(&apply->client, text_of(wish, "name"));
	json_t *answer;

	if (was)
		json_object_set_new(wish, "was", was);
	answer = ask(apply, wish, true);
	json_decref(answer);
	return answer ? 0 : -1;
}

static int act(struct apply *apply, const json_t *wish)
{
	const json_t *was = json_object_get(wish, "was");
	const json_t *old = json_object_get(was, "config");
	const json_t *new = json_object_get(wish, "config");
	bool same = was && json_equal(old, new);
	const char *name = text_of(wish, "name");
	json_t *answer;

	if (!same && !apply->dry_run) {
		answer = ask(apply, wish, false);
		if (!answer)
			return -1;
		json_decref(answer);
	}
	if (apply->told) {
		json_array_append_new(apply->told, json_pack(
			"{ss ss sb}", "name", name, "outcome",
			same ? "unchanged" : was ? "changed" : "made",
			"dry_run", (int)apply->dry_run));
		return 0;
	}
	printf("%s: %s%s\n", name, apply->dry_run && !same ? "would be " : "",
	       same ? "is so already" : was ? "changed" : "made");
	if (was && !same)
		print_change(old, new);
	return 0;
}

static int apply_all(struct apply *apply)
{
	json_t *wish;
	size_t i;

	json_array_foreach(apply->wishes, i, wish)
		apply->failed |= look(apply, wish) != 0;
	if (apply->failed)
		return MACHINE_USAGE;
	json_array_foreach(apply->wishes, i, wish)
		apply->failed |= act(apply, wish) != 0;
	if (apply->told)
		target_print_json(apply->told);
	return apply->failed ? MACHINE_FAILED : MACHINE_OK;
}

static int take_file(void *config, const char *value)
{
	struct apply *apply = config;

	if (apply->files == FILES_MAX) {
		cli_error("apply: more than %d files", FILES_MAX);
		return -1;
	}
	apply->file[apply->files++] = value;
	return 0;
}

static int take_dry_run(void *config, const char *value)
{
	((struct apply *)config)->dry_run = true;
	return 0;
}

static int take_json(void *config, const char *value)
{
	struct apply *apply = config;

	if (!apply->told)
		apply->told = json_array();
	return 0;
}

static const struct option_spec apply_options[] = {
	{ "file", "FILE",
	  "YAML, or - for standard input; also -f; repeats", true,
	  take_file },
	{ "dry-run", NULL, "tell what would be made and changed", false,
	  take_dry_run },
	{ "json", NULL, "print a JSON list: name, outcome, dry_run", false,
	  take_json },
};

static void show_file(void)
{
	printf("\nA file:\n"
	       "  name: web\n"
	       "  image: debian\n"
	       "  memory: 2G\n"
	       "  publish: [\"8080:80\"]\n"
	       "  labels: {tier: front}\n"
	       "  ---\n"
	       "  name: db\n"
	       "  image: debian\n");
}

static int run_apply(const struct command_context *context, int argc,
		     char **argv)
{
	struct apply apply = { .client.fd = -1 };
	static char long_file[] = "--file";
	int words = 0, status;

	for (int i = 0; i < argc; i++)
		if (!strcmp(argv[i], "-f"))
			argv[i] = long_file;
	status = command_options(&command_apply, argc, argv, &apply, &words);
	if (status >= 0)
		return status;
	if (words || !apply.files) {
		cli_error(words ? "apply: name files with -f %s" :
				  "apply: a file is missing: -f FILE",
			  argv[0]);
		return MACHINE_USAGE;
	}
	apply.wishes = json_array();
	status = read_files(&apply);
	if (status == MACHINE_OK)
		status = managed_open(&apply.client, "apply", API_START);
	if (status == MACHINE_OK)
		status = apply_all(&apply);
	json_decref(apply.told);
	api_close(&apply.client);
	json_decref(apply.wishes);
	return status;
}

const struct command command_apply = {
	.name = "apply",
	.summary = "make and change kept machines as a file says",
	.run = run_apply,
	.synopsis = "-f FILE... [--dry-run] [--json]",
	.about = "Makes kept machines, and changes those that there are, until "
		 "they are as the files\nsay; one that runs has it from its "
		 "next start on. A file has a document for each\nmachine, with "
		 "its name and settings as lodge export writes them. Nothing is\n"
		 "changed when one of them is wrong.",
	.examples = "lodge apply -f web.yaml\n"
		    "lodge apply -f web.yaml --dry-run",
	.options = apply_options,
	.option_count = OPTION_COUNT(apply_options),
	.words_max = COMMAND_MANY,
	.more = show_file,
};

/* --- export --------------------------------------------------------------------------------- */

/* The name first, sizes short. */
static json_t *document_of(const json_t *vm)
{
	const json_t *config = json_object_get(vm, "config");
	json_t *document = json_object(), *value;
	const char *name;

	json_object_set(document, "name", json_object_get(vm, "name"));
	json_object_foreach((json_t *)config, name, value)
		if (is_size(name))
			json_object_set_new(
				document, name,
				short_size(json_integer_value(value)));
		else
			json_object_set(document, name, value);
	return document;
}

/* The machines as documents; NULL after cli_error(). */
static json_t *documents_of(struct api_client *client, const json_t *names)
{
	json_t *list = json_array();
	struct vmm_error error;
	const json_t *name;
	char path[400];
	json_t *vm;
	int status;
	size_t i;

	json_array_foreach(names, i, name) {
		api_vm_path(path, sizeof(path), json_string_value(name), "");
		vm = api_call(client, "GET", path, NULL, &status, &error);
		if (!vm) {
			cli_error("export: %s", error.text);
			json_decref(list);
			return NULL;
		}
		json_array_append_new(list, document_of(vm));
		json_decref(vm);
	}
	return list;
}

static int write_yaml(const json_t *list)
{
	char why[WHY_SIZE];
	yaml_writer *writer = (yaml_writer *)extension_symbol(
		"yaml", "yaml_write", why, sizeof(why));

	if (!writer)
		cli_error("export: %s", why);
	else if (!writer(stdout, list))
		return MACHINE_OK;
	else
		cli_error("export: %s", strerror(errno));
	return MACHINE_FAILED;
}

static int export_all(struct api_client *client, const struct group *which)
{
	int status = which->label || which->all ?
			     group_names(client, "export", which->label,
					 which->names) :
			     MACHINE_OK;
	json_t *list = status == MACHINE_OK ?
			       documents_of(client, which->names) : NULL;

	if (!list)
		return MACHINE_FAILED;
	if (which->json)
		target_print_json(list);
	else
		status = write_yaml(list);
	json_decref(list);
	return status;
}

static int run_export(const struct command_context *context, int argc,
		      char **argv)
{
	static const struct group_verb verb = { .command = &command_export };
	struct group which = { .verb = &verb, .names = json_array() };
	struct api_client client = { .fd = -1 };
	int status = group_take_words(&which, argc, argv);

	if (status < 0)
		status = managed_open(&client, "export", API_START);
	if (status == MACHINE_OK && client.fd >= 0)
		status = export_all(&client, &which);
	api_close(&client);
	json_decref(which.names);
	return status;
}

static const struct option_spec export_options[] = {
	GROUP_WHICH,
	{ "json", NULL, "print them as JSON", false, group_take_json },
};

const struct command command_export = {
	.name = "export",
	.summary = "print kept machines as YAML",
	.run = run_export,
	.synopsis = "NAME...|--label NAME[=VALUE]|--all",
	.about = "Prints kept machines as YAML documents for lodge apply.",
	.examples = "lodge export web >web.yaml\n"
		    "lodge export --all >machines.yaml",
	.options = export_options,
	.option_count = OPTION_COUNT(export_options),
	.words = "kept",
	.words_max = COMMAND_MANY,
};
