/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of a network as golden files: one for each kind, in the folder
 * that is the first argument. With a second one they are written anew.
 */
#include "net/fabric.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "fake/test.h"

static const char *folder;
static bool write_anew;

static struct fabric_port port[2];

static void make_port(unsigned int i, uint32_t ip4)
{
	static const uint8_t mac[NIC_MAC] = { 0x52, 0x54, 0, 0x12, 0x34, 0 };
	char text[48];

	snprintf(port[i].tap, IFNAMSIZ, "lt00000000000%u", i);
	snprintf(port[i].machine, sizeof(port[i].machine), "machine%u", i);
	memcpy(port[i].mac, mac, NIC_MAC);
	port[i].mac[5] = (uint8_t)i;
	port[i].ip4 = ip4;
	snprintf(text, sizeof(text), "fe80::5054:ff:fe12:340%u", i);
	inet_pton(AF_INET6, text, &port[i].local6);
	snprintf(text, sizeof(text), "fd00:7::5054:ff:fe12:340%u", i);
	inet_pton(AF_INET6, text, &port[i].ip6);
}

static struct fabric make(enum network_kind kind)
{
	struct fabric fabric;
	struct network network;
	struct network_change change = { 0 };
	struct net_error error;

	network_init(&network, "lab");
	assert_int_equal(network_set(&network, &change, "subnet",
				     "10.7.0.0/24", &error), 0);
	assert_int_equal(network_set(&network, &change, "subnet",
				     "fd00:7::/64", &error), 0);
	assert_int_equal(network_set(&network, &change, "backing", "bridge",
				     &error), 0);
	if (kind == NETWORK_NAT)
		assert_int_equal(network_set(&network, &change, "allow",
					     "other", &error), 0);
	network.kind = kind;
	assert_int_equal(network_complete(&network, &change, &error), 0);
	fabric_name(&fabric, &network, "/nowhere");
	make_port(0, 0x0a070010);
	make_port(1, 0);
	fabric.port = port;
	fabric.ports = 2;
	return fabric;
}

/* A command a line. */
static void write_golden(const char *path, const json_t *rules)
{
	FILE *file = fopen(path, "w");
	const json_t *one;
	size_t i;

	assert_non_null(file);
	fprintf(file, "{\"nftables\": [");
	json_array_foreach(json_object_get(rules, "nftables"), i, one) {
		fprintf(file, "%s\n", i ? "," : "");
		json_dumpf(one, file, 0);
	}
	fprintf(file, "\n]}\n");
	fclose(file);
}

static void check(const char *name, json_t *rules)
{
	char path[512];
	json_t *golden;

	snprintf(path, sizeof(path), "%s/%s.json", folder, name);
	if (write_anew)
		write_golden(path, rules);
	golden = json_load_file(path, 0, NULL);
	assert_non_null(golden);
	assert_true(json_equal(golden, rules));
	json_decref(golden);
	json_decref(rules);
}

static void test_kinds(void **state)
{
	for (unsigned int i = 0; i < NETWORK_KINDS; i++) {
		struct fabric fabric = make((enum network_kind)i);

		check(network_kinds[i], fabric_rules(&fabric, NULL));
	}
}

/* By address, port and name; a direction that is closed, one that is open. */
static void test_rules(void **state)
{
	struct fabric fabric = make(NETWORK_NAT);

	fabric.rules = json_pack(
		"{s[sssss]s[s]s[s]}", "machine0",
		"out allow tcp example.org 443", "out deny any 10.0.0.0/8",
		"out allow udp fd00::/8 1000-2000", "in allow icmp",
		"in allow any machine1.internal", "machine1",
		"in allow tcp any 22", "elsewhere", "in allow");
	assert_non_null(fabric.rules);
	check("rules", fabric_rules(&fabric, NULL));
	json_decref(fabric.rules);
}

static void test_no_rules(void **state)
{
	struct fabric fabric = make(NETWORK_NAT);

	check("none", fabric_no_rules(&fabric));
}

static unsigned int commands(const json_t *rules, const char *verb,
			     const char *name)
{
	const json_t *one, *kind;
	unsigned int count = 0;
	const char *key;
	size_t i;

	json_array_foreach(json_object_get(rules, "nftables"), i, one)
		json_object_foreach(json_object_get(one, verb), key, kind) {
			const char *its = json_string_value(
				json_object_get(kind, "name"));

			count += its && !strcmp(name, its);
		}
	return count;
}

static unsigned int deletions(const json_t *rules, const char *name)
{
	return commands(rules, "delete", name);
}

/* Who has left is forgotten; others' things are not touched. */
static void test_forgotten(void **state)
{
	static const char present[] =
		"{'nftables': [{'metainfo': {}}, 7, {'chain': null},"
		"{'chain': {'family': 'bridge', 'table': 'T', 'name': 'from-x'}},"
		"{'chain': {'family': 'bridge', 'table': 'T', 'name': "
		"'from-lt000000000000'}},"
		"{'chain': {'family': 'bridge', 'table': 'T', 'hook': 'a',"
		"'name': 'prerouting'}},"
		"{'counter': {'family': 'bridge', 'table': 'T', 'name': 'x-ip'}},"
		"{'set': {'family': 'bridge', 'table': 'T', 'name': 'flows4'}},"
		"{'set': {'family': 'inet', 'table': 'T', 'name': 'flows6'}},"
		"{'counter': {'family': 'bridge', 'table': 'U', 'name': 'y-ip'}}"
		"]}";
	struct fabric fabric = make(NETWORK_NAT);
	char text[sizeof(present) + 256] = "";
	json_t *json, *rules;
	size_t at = 0;

	for (const char *c = present; *c; c++)
		if (*c == '\'')
			text[at++] = '"';
		else if (*c == 'T')
			at += (size_t)sprintf(text + at, "%s", fabric.table);
		else
			text[at++] = *c;
	json = json_loads(text, 0, NULL);
	assert_non_null(json);
	rules = fabric_rules(&fabric, json);
	assert_int_equal(commands(rules, "add", "flows4"), 0);
	assert_int_equal(commands(rules, "add", "flows6"), 1);
	assert_int_equal(deletions(rules, "from-x"), 1);
	assert_int_equal(deletions(rules, "x-ip"), 1);
	assert_int_equal(deletions(rules, "y-ip"), 0);
	assert_int_equal(deletions(rules, "prerouting"), 0);
	assert_int_equal(deletions(rules, "from-lt000000000000"), 0);
	json_decref(rules);
	json_decref(json);
}

/* Two stores, two networks, two cards: nothing has the same name. */
static void test_names(void **state)
{
	struct fabric a = make(NETWORK_NAT), b, c;
	struct network other = a.network;
	char one[IFNAMSIZ], two[IFNAMSIZ];

	fabric_name(&b, &a.network, "/elsewhere");
	strcpy(other.name, "lab2");
	fabric_name(&c, &other, "/nowhere");
	assert_string_not_equal(a.bridge, b.bridge);
	assert_string_not_equal(a.bridge, c.bridge);
	assert_string_not_equal(a.table, c.table);
	assert_string_not_equal(a.folder, b.folder);
	assert_memory_equal(a.bridge, FABRIC_PREFIX "lab-", 7);
	fabric_tap(&a, port[0].mac, one);
	fabric_tap(&b, port[0].mac, two);
	assert_string_not_equal(one, two);
	fabric_tap(&a, port[1].mac, two);
	assert_string_not_equal(one, two);
	fabric_tap(&a, port[0].mac, two);
	assert_string_equal(one, two);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_no_rules),
		cmocka_unit_test(test_forgotten),
		cmocka_unit_test(test_names),
	};

	if (argc < 2)
		return 2;
	folder = argv[1];
	write_anew = argc > 2;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
