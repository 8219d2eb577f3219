/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge token: who may use the API of lodged from elsewhere; lodge audit: who
 * asked it for what.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/machine/managed.h"
#include "cli/machine/target.h"
#include "cli/option.h"
#include "cli/table.h"
#include "vmm/machine.h"

#define PAGE	  1000
#define PATH_SIZE 400

struct token_args {
	char **word;
	int words;
	bool json, wide, certificate;
	const char *role;
	long long seconds;
	json_t *grants;
	long lines;
};

/* --- options ---------------------------------------------------------------------- */

static int take_json(void *config, const char *value)
{
	((struct token_args *)config)->json = true;
	return 0;
}

static int take_wide(void *config, const char *value)
{
	((struct token_args *)config)->wide = true;
	return 0;
}

static int take_certificate(void *config, const char *value)
{
	((struct token_args *)config)->certificate = true;
	return 0;
}

static int take_role(void *config, const char *value)
{
	((struct token_args *)config)->role = value;
	return 0;
}

/* VM=ROLE */
static int take_grant(void *config, const char *value)
{
	struct token_args *args = config;
	const char *sign = strrchr(value, '=');

	if (!sign || sign == value || !sign[1]) {
		cli_error("token create: --grant %s: give MACHINE=viewer or "
			  "MACHINE=operator", value);
		return -1;
	}
	if (!args->grants)
		args->grants = json_array();
	json_array_append_new(args->grants,
			      json_pack("{ss% ss}", "vm", value,
					(size_t)(sign - value), "role",
					sign + 1));
	return 0;
}

static int take_expires(void *config, const char *value)
{
	static const struct {
		char letter;
		long seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	struct token_args *args = config;
	char *end;
	long count = strtol(value, &end, 10);

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (end > value && count > 0 && count < 100000000 &&
		    *end == units[i].letter && !end[1])
			args->seconds = count * units[i].seconds;
	if (args->seconds)
		return 0;
	cli_error("token create: --expires %s: give a time such as 90d, 12h, "
		  "30m or 60s", value);
	return -1;
}

static int take_lines(void *config, const char *value)
{
	struct token_args *args = config;
	char *end;

	args->lines = strtol(value, &end, 10);
	if (end > value && !*end && args->lines > 0 && args->lines <= PAGE)
		return 0;
	cli_error("audit: --lines %s: give a number from 1 to %d", value,
		  PAGE);
	return -1;
}

/* --- printing --------------------------------------------------------------------- */

static const char *text_of(const json_t *json, const char *name)
{
	const char *text = json_string_value(json_object_get(json, name));

	return text ? text : "";
}

static void print_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	printf("\n");
}

static const char *time_of(const json_t *json, const char *name,
			   char text[CLI_TIME])
{
	const json_t *value = json_object_get(json, name);

	return cli_time(text, (int64_t)json_number_value(value));
}

/* "web=operator db=viewer" */
static char *join_grants(const json_t *grants)
{
	char *text = strdup("");
	const json_t *grant;
	size_t i;

	json_array_foreach(grants, i, grant) {
		const char *name = text_of(grant, "name");
		char *more = NULL;

		if (!text || asprintf(&more, "%s%s%s=%s", text, i ? " " : "",
				      *name ? name : text_of(grant, "vm"),
				      text_of(grant, "role")) < 0)
			more = NULL;
		free(text);
		text = more;
	}
	return text;
}

static void add_token(struct table *table, const json_t *token)
{
	char *grants = join_grants(json_object_get(token, "grants"));
	char text[CLI_TIME];

	table_cell(table, TABLE_PLAIN, "%s", text_of(token, "name"));
	table_cell(table, TABLE_PLAIN, "%s",
		   json_is_true(json_object_get(token, "certificate")) ?
			   "certificate" : "token");
	table_cell(table, TABLE_PLAIN, "%s", text_of(token, "role"));
	table_cell(table, TABLE_PLAIN, "%s",
		   json_object_get(token, "expires") ?
			   time_of(token, "expires", text) : "never");
	table_cell(table, TABLE_PLAIN, "%s", grants ? grants : "");
	free(grants);
}

static void print_tokens(const json_t *list, bool wide)
{
	static const struct table_column columns[] = {
		{ .title = "NAME", .least = 8 },
		{ .title = "KIND", .spare = true },
		{ .title = "ROLE" },
		{ .title = "EXPIRES" },
		{ .title = "GRANTS", .least = 8 },
	};
	struct table *table = table_new(columns, OPTION_COUNT(columns));
	const json_t *token;
	size_t i;

	json_array_foreach(list, i, token)
		add_token(table, token);
	table_show(table, wide);
	if (!json_array_size(list))
		cli_hint("no tokens; lodge token create NAME makes one");
}

static json_t *ask(struct api_client *client, const char *command,
		   const char *method, const char *path, json_t *body)
{
	struct vmm_error error;
	int status;
	json_t *answer = api_call(client, method, path, body, &status, &error);

	if (!answer)
		cli_error("%s: %s", command, error.text);
	return answer;
}

/* --- verbs ------------------------------------------------------------------------ */

struct token_verb {
	struct command command;
	int (*run)(struct api_client *client, struct token_args *args);
};

static int run_create(struct api_client *client, struct token_args *args)
{
	json_t *body = json_pack("{ss ss* sb}", "name", args->word[0], "role",
				 args->role, "certificate", args->certificate);
	json_t *answer;

	if (args->grants)
		json_object_set(body, "grants", args->grants);
	if (args->seconds)
		json_object_set_new(body, "seconds",
				    json_integer(args->seconds));
	answer = ask(client, "token create", "POST", "/v1/tokens", body);
	if (!answer)
		return MACHINE_FAILED;
	if (args->json)
		print_json(answer);
	else if (!args->certificate)
		printf("%s\n", text_of(answer, "token"));
	json_decref(answer);
	return MACHINE_OK;
}

static int run_list(struct api_client *client, struct token_args *args)
{
	json_t *all = json_array();
	json_int_t after = 0;

	do {
		char path[PATH_SIZE];
		json_t *answer;

		snprintf(path, sizeof(path), "/v1/tokens?limit=%d&after=%lld",
			 PAGE, (long long)after);
		answer = ask(client, "token list", "GET", path, NULL);
		if (!answer) {
			json_decref(all);
			return MACHINE_FAILED;
		}
		json_array_extend(all, json_object_get(answer, "tokens"));
		after = json_integer_value(json_object_get(answer, "next"));
		json_decref(answer);
	} while (after);
	if (args->json)
		print_json(all);
	else
		print_tokens(all, args->wide);
	json_decref(all);
	return MACHINE_OK;
}

static int revoke_one(void *ctx, const char *name)
{
	char path[PATH_SIZE];
	json_t *answer;

	api_path(path, sizeof(path), "/v1/tokens/", name, "");
	answer = ask(ctx, "token revoke", "DELETE", path, NULL);
	json_decref(answer);
	return answer ? MACHINE_OK : MACHINE_FAILED;
}

static int run_revoke(struct api_client *client, struct token_args *args)
{
	return target_each(args->words, args->word, args->json, "revoked",
			   revoke_one, client);
}

static const struct option_spec create_options[] = {
	{ "role", "ROLE", "viewer, operator or admin, on everything", false,
	  take_role },
	{ "grant", "MACHINE=ROLE", "a role on one machine (repeatable)", true,
	  take_grant },
	{ "expires", "TIME", "how long it holds, such as 90d (for ever)",
	  false, take_expires },
	{ "certificate", NULL,
	  "for a client's certificate with this common name", false,
	  take_certificate },
	{ "json", NULL, "print JSON", false, take_json },
};

static const struct option_spec list_options[] = {
	{ "json", NULL, "print a JSON list", false, take_json },
	{ "wide", NULL, "cut nothing to the terminal's width", false,
	  take_wide },
};

static const struct option_spec revoke_options[] = {
	{ "json", NULL, "print JSON", false, take_json },
};

static const struct token_verb verb_create = {
	.command = {
		.name = "create",
		.synopsis = "NAME [OPTIONS]",
		.summary = "make a token, and print it once",
		.about = "Makes a token and prints it, this once: lodged keeps "
			 "a hash of it. Whoever\nhas it may use the API as its "
			 "role says.",
		.examples = "lodge token create ci --role operator --expires "
			    "90d >ci.token\n"
			    "lodge token create ops --grant web=operator",
		.options = create_options,
		.option_count = OPTION_COUNT(create_options),
		.words_min = 1,
		.words_max = 1,
		.missing = "a token's name",
	},
	.run = run_create,
};

static const struct token_verb verb_list = {
	.command = {
		.name = "list",
		.synopsis = "[OPTIONS]",
		.summary = "list tokens",
		.about = "Lists tokens and what they may.",
		.examples = "lodge token list",
		.options = list_options,
		.option_count = OPTION_COUNT(list_options),
	},
	.run = run_list,
};

static const struct token_verb verb_revoke = {
	.command = {
		.name = "revoke",
		.synopsis = "[--json] NAME...",
		.summary = "end tokens",
		.about = "Ends tokens, at once.",
		.examples = "lodge token revoke ci",
		.options = revoke_options,
		.option_count = OPTION_COUNT(revoke_options),
		.words_min = 1,
		.words_max = COMMAND_MANY,
		.missing = "a token's name",
	},
	.run = run_revoke,
};

static const struct command *const verbs[] = {
	&verb_create.command,
	&verb_list.command,
	&verb_revoke.command,
};

static int run_token(const struct command_context *context, int argc,
		     char **argv)
{
	struct token_args args = { .word = argv + 1 };
	const struct command *verb;
	struct api_client client;
	int status;

	verb = command_verb(&command_token, argc, argv, &status);
	if (!verb)
		return status;
	status = command_take(&command_token, verb, argc - 1, argv + 1, &args,
			      &args.words);
	if (status < 0) {
		status = managed_open(&client, "token", API_START);
		/* It is the verb's first member. */
		if (status == MACHINE_OK)
			status = ((const struct token_verb *)verb)->run(
				&client, &args);
		api_close(&client);
	}
	json_decref(args.grants);
	return status;
}

const struct command command_token = {
	.name = "token",
	.synopsis = "VERB [OPTIONS]",
	.summary = "say who may use lodged from elsewhere",
	.about = "Tokens: what clients of lodged's API show that are not its "
		 "own user, at\nlodged --listen.",
	.examples = "lodge token create ci --role operator\n"
		    "lodge token list",
	.verbs = verbs,
	.verb_count = OPTION_COUNT(verbs),
	.run = run_token,
};

/* --- audit ------------------------------------------------------------------------ */

static void add_line(struct table *table, const json_t *line)
{
	const char *who = text_of(line, "who");
	long long status =
		json_integer_value(json_object_get(line, "status"));
	char text[CLI_TIME];

	table_cell(table, TABLE_PLAIN, "%s", time_of(line, "time", text));
	table_cell(table, TABLE_PLAIN, "%s", *who ? who : "nobody");
	table_cell(table, TABLE_PLAIN, "%s", text_of(line, "from"));
	table_cell(table, status < 400 ? TABLE_PLAIN : TABLE_BAD, "%lld",
		   status);
	table_cell(table, TABLE_PLAIN, "%s %s", text_of(line, "method"),
		   text_of(line, "path"));
	table_cell(table, TABLE_PLAIN, "%s", text_of(line, "detail"));
}

/* In JSON an object a line, for there may be many. */
static void print_audit(const json_t *list, const struct token_args *args)
{
	static const struct table_column columns[] = {
		{ .title = "TIME" },
		{ .title = "WHO", .least = 6 },
		{ .title = "FROM", .spare = true },
		{ .title = "STATUS", .right = true },
		{ .title = "REQUEST", .least = 12 },
		{ .title = "DETAIL", .least = 8, .spare = true },
	};
	struct table *table = table_new(columns, OPTION_COUNT(columns));
	const json_t *line;
	size_t i;

	json_array_foreach(list, i, line) {
		add_line(table, line);
		if (!args->json)
			continue;
		json_dumpf(line, stdout, JSON_COMPACT);
		printf("\n");
	}
	if (args->json)
		table_free(table);
	else
		table_show(table, args->wide);
}

static int run_audit(const struct command_context *context, int argc,
		     char **argv)
{
	struct token_args args = { .lines = 100 };
	struct api_client client;
	json_t *answer = NULL;
	char path[PATH_SIZE];
	int status, words;

	status = command_take(NULL, &command_audit, argc, argv, &args, &words);
	if (status >= 0)
		return status;
	status = managed_open(&client, "audit", API_START);
	snprintf(path, sizeof(path), "/v1/audit?limit=%ld", args.lines);
	if (status == MACHINE_OK)
		answer = ask(&client, "audit", "GET", path, NULL);
	api_close(&client);
	if (!answer)
		return MACHINE_FAILED;
	print_audit(json_object_get(answer, "audit"), &args);
	json_decref(answer);
	return MACHINE_OK;
}

static const struct option_spec audit_options[] = {
	{ "lines", "N", "the last N lines (100)", false, take_lines },
	{ "json", NULL, "print a JSON object a line", false, take_json },
	{ "wide", NULL, "cut nothing to the terminal's width", false,
	  take_wide },
};

const struct command command_audit = {
	.name = "audit",
	.synopsis = "[OPTIONS]",
	.summary = "tell who asked lodged for what",
	.about = "Tells who asked lodged to change something, from where, and "
		 "how it answered;\nand who was refused. The last 100000 "
		 "requests are kept.",
	.examples = "lodge audit --lines 20",
	.options = audit_options,
	.option_count = OPTION_COUNT(audit_options),
	.run = run_audit,
};
