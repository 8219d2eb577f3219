/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge net: the networks that machines are joined by.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/machine/managed.h"
#include "cli/machine/target.h"
#include "cli/option.h"
#include "cli/table.h"
#include "net/fabric.h"
#include "net/switch/connect.h"
#include "net/switch/serve.h"
#include "vmm/machine.h"

#define SET_MAX 64

struct args {
	char **word;
	int words;
	bool json, wide;
	struct net_word set[SET_MAX]; /* properties */
	unsigned int sets;
};

struct part {
	struct command command;
	int (*run)(struct network_store *store, struct args *args);
};

/* --- options ------------------------------------------------------------------- */

static int take_json(void *config, const char *value)
{
	((struct args *)config)->json = true;
	return 0;
}

static int take_wide(void *config, const char *value)
{
	((struct args *)config)->wide = true;
	return 0;
}

static int take(void *config, const char *property, const char *value)
{
	struct args *args = config;

	if (args->sets == SET_MAX) {
		cli_error("net: more than %d options", SET_MAX);
		return -1;
	}
	args->set[args->sets++] = (struct net_word){ property, value };
	return 0;
}

#define TAKE(property)                                                 \
	static int take_##property(void *config, const char *value)     \
	{                                                               \
		return take(config, #property, value);                  \
	}

TAKE(kind)
TAKE(subnet)
TAKE(dhcp)
TAKE(domain)
TAKE(mtu)
TAKE(backing)
TAKE(uplink)
TAKE(vlan)
TAKE(vxlan)
TAKE(peer)
TAKE(allow)
TAKE(rule)
TAKE(clear)

static const struct option_spec properties[] = {
	{ "kind", "nat|isolated|routed",
	  "nat (default): to the outside by this computer's address;\n"
	  "isolated: to nobody else; routed: by their own addresses", false,
	  take_kind },
	{ "subnet", "CIDR",
	  "its addresses, one of IPv4 and one of IPv6 (/64); without,\n"
	  "some that are free", true, take_subnet },
	{ "dhcp", "FIRST-LAST",
	  "addresses that machines are given, on (default) or off", false,
	  take_dhcp },
	{ "domain", "NAME", "of the machines' names: MACHINE.NAME (internal)",
	  false, take_domain },
	{ "mtu", "BYTES", "of its cards", false, take_mtu },
	{ "backing", "switch|bridge",
	  "switch (default): a process of yours, no privileges; bridge:\n"
	  "of the kernel's, for root; routed, uplink and vxlan need it", false,
	  take_backing },
	{ "uplink", "INTERFACE", "the bridge is joined to it", false,
	  take_uplink },
	{ "vlan", "TAG", "with this tag there, 1 to 4094; of a switch: the tag of\n"
	  "cards that name none", false, take_vlan },
	{ "vxlan", "NUMBER", "the bridge is joined to an overlay", false,
	  take_vxlan },
	{ "peer", "ADDRESS", "of another host of it; repeats", true,
	  take_peer },
	{ "allow", "NETWORK", "its machines may reach this one's; repeats; "
	  "none: no\nnetwork's", true, take_allow },
	{ "json", NULL, "print JSON", false, take_json },
};

#define PROPERTIES (sizeof(properties) / sizeof(properties[0]))
#define JSON_OPTION (&properties[PROPERTIES - 1])

static const struct option_spec rule_options[] = {
	{ "rule", "RULE",
	  "\"DIRECTION ACTION [PROTOCOL [WHOM [PORT[-PORT]]]]\": in or out;\n"
	  "allow or deny; any, tcp, udp or icmp; an address, a network, a\n"
	  "DNS name or any. The first that fits counts; a direction with\n"
	  "rules none of which fits is closed", true, take_rule },
	{ "clear", NULL, "takes the machine's rules away", false, take_clear },
	{ "json", NULL, "print JSON", false, take_json },
};

/* --- printing ------------------------------------------------------------------- */

static void add_user(void *ctx, const char *machine, const char *mac)
{
	json_array_append_new(ctx, json_pack("{ss ss}", "machine", machine,
					     "mac", mac));
}

/* What there is of it while machines use it. */
static void describe_bridge(json_t *json, struct network_store *store,
			    const struct network *network)
{
	json_t *drops = fabric_drops(store, network);
	struct fabric fabric;

	if (!drops)
		return;
	fabric_name(&fabric, network, store->path);
	json_object_set_new(json, "bridge", json_string(fabric.bridge));
	json_object_set_new(json, "dropped", drops);
}

static json_t *describe(struct network_store *store,
			const struct network *network)
{
	int folder = network_store_folder(store, network->name);
	json_t *users = json_array(), *json, *state;

	json = network->created < 0 ? json_pack("{ss}", "name", network->name)
				    : network_pack(network);
	json_object_del(json, "version");
	json_object_set_new(json, "damaged",
			    json_boolean(network->created < 0));
	network_store_users(store, network->name, add_user, users);
	json_object_set_new(json, "users", users);
	if (network->created >= 0 && network->backing == NETWORK_BRIDGE)
		describe_bridge(json, store, network);
	if (network->created >= 0)
		json_object_set_new(json, "rules", rules_load(folder));
	state = folder < 0 ? NULL : connect_state(folder);
	json_object_set_new(json, "switch", state ? state : json_null());
	if (folder >= 0)
		close(folder);
	return json;
}

static void print_json(json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(json);
}

static void print_texts(const json_t *list, const char *between)
{
	const json_t *value;
	size_t i;

	json_array_foreach(list, i, value)
		printf("%s%s", i ? between : "", json_string_value(value));
}

static const char *text_of(const json_t *json, const char *name)
{
	const char *text = json_string_value(json_object_get(json, name));

	return text ? text : "";
}

/* "dropped    3 in, 2 mac of one": how many, why, of which machine. */
static void print_drops(const json_t *drops, const char *machine)
{
	const json_t *value;
	const char *name;

	json_object_foreach((json_t *)drops, name, value)
		if (json_is_object(value))
			print_drops(value, name);
		else if (json_integer_value(value))
			printf("%-10s %lld %s%s%s\n", "dropped",
			       (long long)json_integer_value(value), name,
			       machine ? ", of " : "", machine ? machine : "");
}

static long long number_of(const json_t *json, const char *name)
{
	return json_integer_value(json_object_get(json, name));
}

static void print_port(const json_t *port)
{
	const json_t *sent = json_object_get(port, "sent");
	const json_t *received = json_object_get(port, "received");

	printf("%-10s %s: ", "port", text_of(port, "machine"));
	print_texts(json_object_get(port, "addresses"), ", ");
	if (number_of(port, "vlan"))
		printf(", vlan %lld", number_of(port, "vlan"));
	if (number_of(port, "shortcuts"))
		printf(", shortcuts %lld", number_of(port, "shortcuts"));
	printf("\n  sent     %lld frames, %lld bytes; %lld refused, %lld too "
	       "many for all,\n           %lld to other tags\n"
	       "  received %lld frames, %lld bytes; %lld "
	       "dropped\n", number_of(sent, "frames"),
	       number_of(sent, "bytes"), number_of(port, "refused"),
	       number_of(port, "stormed"), number_of(port, "strange"),
	       number_of(received, "frames"),
	       number_of(received, "bytes"), number_of(port, "dropped"));
	print_drops(json_object_get(port, "rules"), text_of(port, "machine"));
}

static void print_network(const json_t *json)
{
	static const char *const texts[] = { "kind", "backing", "dhcp",
					     "domain", "uplink",
					     "bridge" };
	static const char *const numbers[] = { "mtu", "vlan", "vxlan" };
	const json_t *user, *port;
	json_t *rules;
	const char *name;
	size_t i;

	printf("%-10s %s\n", "name", text_of(json, "name"));
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (*text_of(json, texts[i]))
			printf("%-10s %s\n", texts[i], text_of(json, texts[i]));
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		long long n = number_of(json, numbers[i]);

		if (n)
			printf("%-10s %lld\n", numbers[i], n);
	}
	printf("%-10s ", "subnets");
	print_texts(json_object_get(json, "subnets"), ", ");
	if (json_array_size(json_object_get(json, "peers")))
		printf("\n%-10s ", "peers");
	print_texts(json_object_get(json, "peers"), ", ");
	if (json_array_size(json_object_get(json, "allow")))
		printf("\n%-10s ", "allow");
	print_texts(json_object_get(json, "allow"), ", ");
	printf("\n");
	json_array_foreach(json_object_get(json, "users"), i, user)
		printf("%-10s %s (%s)\n", "machine", text_of(user, "machine"),
		       text_of(user, "mac"));
	json_object_foreach(json_object_get(json, "rules"), name, rules)
		json_array_foreach(rules, i, user)
			printf("%-10s %s: %s\n", "rule", name,
			       json_string_value(user));
	print_drops(json_object_get(json, "dropped"), NULL);
	json_array_foreach(json_object_get(json_object_get(json, "switch"),
					   "ports"), i, port)
		print_port(port);
}

/* 0, or the exit status after cli_error(). */
static int find(struct network_store *store, const char *name,
		struct network *network)
{
	const char *names[256], *like = NULL;
	struct network *list = NULL;
	struct net_error error, why;
	int count, found = network_store_find(store, name, network, &error);
	size_t n = 0;

	if (!found)
		return 0;
	count = found > 0 ? network_store_list(store, &list, &why) : 0;
	for (int i = 0; i < count && n < 256; i++)
		names[n++] = list[i].name;
	if (n)
		like = cli_nearest(name, names, n, sizeof(names[0]));
	if (like)
		cli_error("there is no network %s; did you mean %s?", name,
			  like);
	else
		cli_error("%s", error.text);
	free(list);
	return MACHINE_FAILED;
}

static int failed(const char *part, const struct net_error *error)
{
	cli_error("net %s: %s", part, error->text);
	return MACHINE_FAILED;
}

static int check_name(const char *part, const char *name)
{
	if (network_name_valid(name))
		return MACHINE_OK;
	cli_error("net %s: %s: give 1 to %d letters, digits and - _ . with no "
		  ". or - first", part, name, NETWORK_NAME_MAX);
	return MACHINE_USAGE;
}

/* --- parts ------------------------------------------------------------------------ */

/* What the options say, to the network. */
static int apply(struct network *network, const struct args *args,
		 struct net_error *error)
{
	struct network_change change = { 0 };

	for (unsigned int i = 0; i < args->sets; i++)
		if (network_set(network, &change, args->set[i].name,
				args->set[i].value, error))
			return -1;
	return network_complete(network, &change, error);
}

/* The record may be anyone's; its machines are not. */
static void tell_privilege(const char *part, const struct network *network)
{
	struct net_error why;

	if (network->backing != NETWORK_BRIDGE || fabric_permitted())
		return;
	fabric_refuse(network->name, &why);
	cli_error("net %s: %s is kept, but you cannot run a machine on it: %s",
		  part, network->name, why.text);
}

static int run_create(struct network_store *store, struct args *args)
{
	struct network network;
	struct net_error error;

	network_init(&network, args->word[0]);
	if (apply(&network, args, &error)) {
		cli_error("net create: %s", error.text);
		return MACHINE_USAGE;
	}
	if (network_store_add(store, &network, &error))
		return failed("create", &error);
	tell_privilege("create", &network);
	if (args->json)
		print_json(describe(store, &network));
	return MACHINE_OK;
}

static const struct part part_create = {
	.command = {
		.name = "create",
		.synopsis = "NAME [OPTIONS]",
		.summary = "make a network",
		.about = "Makes a network; lodge run --net network=NAME joins it.",
		.examples = "lodge net create lab\n"
			    "lodge net create lab --kind isolated --subnet 10.1.0.0/24",
		.options = properties,
		.option_count = PROPERTIES,
		.words_min = 1,
		.words_max = 1,
		.missing = "a network's name",
	},
	.run = run_create,
};

static void add_row(struct table *table, const json_t *json)
{
	json_t *subnets = json_object_get(json, "subnets"), *subnet;
	char text[400] = "";
	size_t i;

	table_cell(table, TABLE_PLAIN, "%s", text_of(json, "name"));
	if (json_is_true(json_object_get(json, "damaged"))) {
		table_cell(table, TABLE_BAD, "damaged");
		table_cell(table, TABLE_PLAIN, "%s", "");
		table_cell(table, TABLE_PLAIN, "%s", "");
		table_cell(table, TABLE_BAD, "delete it and make it again");
		return;
	}
	json_array_foreach(subnets, i, subnet)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "%s%s", i ? ", " : "", json_string_value(subnet));
	table_cell(table, TABLE_PLAIN, "%s", text_of(json, "kind"));
	table_cell(table, TABLE_PLAIN, "%s", text_of(json, "backing"));
	table_cell(table, TABLE_PLAIN, "%zu",
		   json_array_size(json_object_get(json, "users")));
	table_cell(table, TABLE_PLAIN, "%s", text);
}

static void print_list(const json_t *all, bool wide)
{
	static const struct table_column columns[] = {
		{ .title = "NAME", .least = 8 },
		{ .title = "KIND" },
		{ .title = "BACKING" },
		{ .title = "MACHINES", .right = true },
		{ .title = "SUBNETS", .least = 8 },
	};
	struct table *table = table_new(columns, OPTION_COUNT(columns));
	const json_t *json;
	size_t i;

	json_array_foreach(all, i, json)
		add_row(table, json);
	table_show(table, wide);
	if (!json_array_size(all))
		cli_hint("no networks; lodge net create NAME makes one");
}

static const struct option_spec list_options[] = {
	{ "json", NULL, "print a JSON list", false, take_json },
	{ "wide", NULL, "cut nothing to the terminal's width", false,
	  take_wide },
};

static int run_list(struct network_store *store, struct args *args)
{
	json_t *all = json_array();
	struct network *list;
	struct net_error error;
	int count = network_store_list(store, &list, &error);

	if (count < 0) {
		json_decref(all);
		return failed("list", &error);
	}
	for (int k = 0; k < count; k++)
		json_array_append_new(all, describe(store, &list[k]));
	free(list);
	if (args->json) {
		print_json(all);
		return MACHINE_OK;
	}
	print_list(all, args->wide);
	json_decref(all);
	return MACHINE_OK;
}

static const struct part part_list = {
	.command = {
		.name = "list",
		.synopsis = "[OPTIONS]",
		.summary = "list your networks",
		.about = "Lists your networks.",
		.examples = "lodge net list",
		.options = list_options,
		.option_count = OPTION_COUNT(list_options),
	},
	.run = run_list,
};

static int run_show(struct network_store *store, struct args *args)
{
	struct network network;
	json_t *json;
	int status = find(store, args->word[0], &network);

	if (status)
		return status;
	json = describe(store, &network);
	if (args->json)
		print_json(json_incref(json));
	else
		print_network(json);
	json_decref(json);
	return MACHINE_OK;
}

static const struct part part_show = {
	.command = {
		.name = "show",
		.synopsis = "[--json] NAME",
		.summary = "tell about a network",
		.about = "Tells about a network, and which machines use it.",
		.examples = "lodge net show lab",
		.options = JSON_OPTION,
		.option_count = 1,
		.words_min = 1,
		.words_max = 1,
		.missing = "a network's name",
		.words = "network",
	},
	.run = run_show,
};

static int run_edit(struct network_store *store, struct args *args)
{
	struct network network;
	struct net_error error;
	int status = find(store, args->word[0], &network);

	if (status)
		return status;
	if (apply(&network, args, &error)) {
		cli_error("net edit: %s", error.text);
		return MACHINE_USAGE;
	}
	if (network_store_replace(store, &network, &error))
		return failed("edit", &error);
	tell_privilege("edit", &network);
	if (args->json)
		print_json(describe(store, &network));
	return MACHINE_OK;
}

static const struct part part_edit = {
	.command = {
		.name = "edit",
		.synopsis = "NAME [OPTIONS]",
		.summary = "change a network that nobody uses",
		.about = "Changes what the options say of a network that no machine "
			   "uses.",
		.examples = "lodge net edit lab --domain lab.example",
		.options = properties,
		.option_count = PROPERTIES,
		.words_min = 1,
		.words_max = 1,
		.missing = "a network's name",
		.words = "network",
	},
	.run = run_edit,
};

static int delete_one(void *ctx, const char *name)
{
	struct network_store *store = ctx;
	struct net_error error;
	struct network network;
	int status = check_name("delete", name);

	if (status != MACHINE_OK)
		return status;
	if (network_store_find(store, name, &network, &error) == 0 &&
	    managed_is_used("net delete", "networks", name))
		return MACHINE_FAILED;
	if (!network_store_remove(store, name, &error))
		return MACHINE_OK;
	if (network_store_find(store, name, &network,
			       &(struct net_error){ "" }) == 1)
		return find(store, name, &network);
	return failed("delete", &error);
}

static int run_delete(struct network_store *store, struct args *args)
{
	return target_each(args->words, args->word, args->json, "deleted",
			   delete_one, store);
}

static const struct part part_delete = {
	.command = {
		.name = "delete",
		.synopsis = "[--json] NAME...",
		.summary = "take networks away",
		.about = "Takes networks away that no machine uses.",
		.examples = "lodge net delete lab",
		.options = JSON_OPTION,
		.option_count = 1,
		.words_min = 1,
		.words_max = COMMAND_MANY,
		.missing = "a network's name",
		.words = "network",
	},
	.run = run_delete,
};

static void print_rules(const json_t *list, bool json)
{
	const json_t *text;
	size_t i;

	if (json) {
		print_json(list ? json_copy((json_t *)list) : json_array());
		return;
	}
	json_array_foreach(list, i, text)
		printf("%s\n", json_string_value(text));
}

static int show_rules(struct network_store *store, const struct args *args)
{
	int folder = network_store_folder(store, args->word[0]);
	json_t *all = rules_load(folder);

	print_rules(json_object_get(all, args->word[1]), args->json);
	json_decref(all);
	if (folder >= 0)
		close(folder);
	return MACHINE_OK;
}

/* A list of what the options say; NULL after cli_error(). */
static json_t *take_rules(const struct args *args)
{
	json_t *list = json_array();
	struct net_error error;
	struct rule rule;

	for (unsigned int i = 0; i < args->sets; i++) {
		if (!strcmp(args->set[i].name, "clear"))
			continue;
		if (rule_parse(&rule, args->set[i].value, &error)) {
			cli_error("net rules: %s", error.text);
			json_decref(list);
			return NULL;
		}
		json_array_append_new(list, json_string(args->set[i].value));
	}
	return list;
}

static void tell_switch(struct network_store *store, const char *name)
{
	int folder = network_store_folder(store, name);

	if (folder < 0)
		return;
	connect_rules(folder);
	close(folder);
}

static int run_rules(struct network_store *store, struct args *args)
{
	struct network network;
	struct net_error error;
	int status = find(store, args->word[0], &network);
	json_t *list;

	if (status)
		return status;
	if (!args->sets)
		return show_rules(store, args);
	list = take_rules(args);
	if (!list)
		return MACHINE_USAGE;
	if (fabric_set_rules(store, network.name, args->word[1], list, &error))
		status = failed("rules", &error);
	else if (network.backing == NETWORK_SWITCH)
		tell_switch(store, network.name);
	if (!status && args->json)
		print_rules(list, true);
	json_decref(list);
	return status;
}

static const struct part part_rules = {
	.command = {
		.name = "rules",
		.synopsis = "NAME MACHINE [--rule RULE]... [--clear] [--json]",
		.summary = "say what a machine may reach",
		.about = "Says what a machine of a network may reach, and who it; or "
			   "shows that.",
		.examples = "lodge net rules lab web --rule \"in allow tcp any 80\"\n"
			    "lodge net rules lab web --clear",
		.options = rule_options,
		.option_count = OPTION_COUNT(rule_options),
		.words_min = 2,
		.words_max = 2,
		.missing = "a network's name|a machine's name",
		.words = "network vm",
	},
	.run = run_rules,
};

static void tell_ready(void)
{
	printf("ready\n");
	fflush(stdout);
	/* Who started it waits for no more than that. */
	if (!freopen("/dev/null", "w", stdout) ||
	    !freopen("/dev/null", "w", stderr))
		_exit(MACHINE_FAILED);
}

static int run_serve(struct network_store *store, struct args *args)
{
	struct net_error error;

	if (!switch_serve(store, args->word[0], tell_ready, &error))
		return MACHINE_OK;
	return failed("serve", &error);
}

static const struct part part_serve = {
	.command = {
		.name = "serve",
		.synopsis = "NAME",
		.summary = "be the switch of a network",
		.about = "Is the switch of a network until its last machine ends; "
			   "the first one starts\nit.",
		.examples = "lodge net serve lab",
		.words_min = 1,
		.words_max = 1,
		.missing = "a network's name",
		.words = "network",
	},
	.run = run_serve,
};

/* --- the command -------------------------------------------------------------------- */

static const struct command *const verbs[] = {
	&part_create.command, &part_list.command,   &part_show.command,
	&part_edit.command,   &part_delete.command, &part_rules.command,
	&part_serve.command,
};

static int run_net(const struct command_context *context, int argc,
		   char **argv)
{
	struct args args = { .word = argv + 1 };
	const struct command *verb;
	struct network_store store;
	struct net_error error;
	int status;

	verb = command_verb(&command_net, argc, argv, &status);
	if (!verb)
		return status;
	status = command_take(&command_net, verb, argc - 1, argv + 1, &args,
			      &args.words);
	if (status >= 0)
		return status;
	if (args.words && check_name(verb->name, args.word[0]))
		return MACHINE_USAGE;
	if (network_store_open(&store, &error)) {
		cli_error("net: %s", error.text);
		return MACHINE_FAILED;
	}
	fabric_sweep();
	/* It is the part's first member. */
	status = ((const struct part *)verb)->run(&store, &args);
	network_store_close(&store);
	return status;
}

const struct command command_net = {
	.name = "net",
	.synopsis = "VERB [OPTIONS]",
	.summary = "make, list and delete networks between machines",
	.about = "The networks that join machines: lodge run --net "
		 "network=NAME.",
	.examples = "lodge net create lab --subnet 10.1.0.0/24\n"
		    "lodge run debian --net network=lab",
	.verbs = verbs,
	.verb_count = OPTION_COUNT(verbs),
	.run = run_net,
};
