/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks as records: what they may say, and a store of them that several
 * use at once and that survives being killed at any step.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake/test.h"
#include "net/network_store.h"

#define KILLS 60

static char folder[64];
static struct network_store store;
static struct net_error error;
static const uint8_t mac[NIC_MAC] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

static int setup(void **state)
{
	snprintf(folder, sizeof(folder), "%s/lodge-XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(folder));
	setenv("XDG_DATA_HOME", folder, 1);
	assert_int_equal(network_store_open(&store, &error), 0);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	network_store_close(&store);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

/* A network of "PROPERTY=VALUE" words: what network_complete() says. */
static int make(struct network *network, const char *name, const char *words)
{
	struct network_change change = { 0 };
	char copy[300], *word, *rest;

	network_init(network, name);
	snprintf(copy, sizeof(copy), "%s", words);
	for (word = strtok_r(copy, " ", &rest); word;
	     word = strtok_r(NULL, " ", &rest)) {
		char *value = strchr(word, '=');

		*value++ = '\0';
		if (network_set(network, &change, word, value, &error))
			return -1;
	}
	return network_complete(network, &change, &error);
}

static int add(const char *name, const char *words)
{
	struct network network;

	return make(&network, name, words) ? -1 :
	       network_store_add(&store, &network, &error);
}

static void test_properties(void **state)
{
	static const struct {
		const char *words, *said;
	} wrong[] = {
		{ "kind=flat", "kind flat: give nat, isolated or routed" },
		{ "subnet=10.1.0.1/24", "subnet 10.1.0.1/24: give a network" },
		{ "subnet=10.1.0.0/30", "of /8 to /29" },
		{ "subnet=fd00::/48", "give a network of /64" },
		{ "subnet=10.1.0.0/24 subnet=10.2.0.0/24", "has one of IPv4" },
		{ "subnet=10.1.0.0/24 dhcp=10.2.0.5-10.2.0.9",
		  "dhcp 10.2.0.5-10.2.0.9: give addresses of 10.1.0.0/24" },
		{ "subnet=10.1.0.0/24 dhcp=10.1.0.2-10.1.0.9", "first two" },
		{ "subnet=10.1.0.0/24 dhcp=10.1.0.9-10.1.0.255", "addresses of" },
		{ "subnet=10.1.0.0/24 dhcp=10.1.0.9-10.1.0.8", "FIRST-LAST" },
		{ "subnet=fd00::/64 dhcp=on", "no addresses to lease" },
		{ "domain=-x", "domain -x" },
		{ "domain=a..b", "domain a..b" },
		{ "domain=a.", "domain a." },
		{ "mtu=67", "mtu 67: give 68 to 65535" },
		{ "backing=hub", "give switch or bridge" },
		{ "kind=routed backing=switch", "kind routed: needs --backing" },
		{ "vlan=5 backing=bridge", "vlan 5: say on which interface" },
		{ "vlan=4095", "vlan 4095: give" },
		{ "vxlan=16777216", "vxlan 16777216: give" },
		{ "peer=10.0.0.1", "goes with --vxlan" },
		{ "vxlan=7 peer=here", "peer here: give the address" },
		{ "colour=red", "a network has no colour" },
	};
	struct network network;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(make(&network, "x", wrong[i].words), -1);
		assert_non_null(strstr(error.text, wrong[i].said));
	}
	assert_int_equal(make(&network, "x", "subnet=10.1.0.0/24"), 0);
	assert_int_equal(network.dhcp_first, 0x0a010010);
	assert_int_equal(network.dhcp_last, 0x0a0100fe);
	assert_int_equal(make(&network, "x", "subnet=10.1.0.8/29"), 0);
	assert_int_equal(network.dhcp_first, 0x0a01000b);
	assert_int_equal(network.dhcp_last, 0x0a01000e);
	assert_int_equal(make(&network, "x", "vxlan=7 peer=10.0.0.1"), 0);
	assert_int_equal(network.backing, NETWORK_BRIDGE);
}

static void test_record(void **state)
{
	static const char words[] =
		"kind=isolated subnet=10.7.0.0/16 subnet=fd00:7::/64 "
		"dhcp=10.7.1.0-10.7.1.255 domain=Lab.example mtu=9000 "
		"uplink=eth0 vlan=12 vxlan=77 peer=192.0.2.1 peer=2001:db8::1";
	struct network a, b, c;
	json_t *json;

	assert_int_equal(make(&a, "lab", words), 0);
	assert_string_equal(a.domain, "lab.example");
	a.created = 1700000000;
	json = network_pack(&a);
	assert_int_equal(network_unpack(&b, json, &error), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	json_object_set_new(json, "version", json_integer(2));
	assert_int_equal(network_unpack(&c, json, &error), -1);
	json_decref(json);
	assert_int_equal(network_unpack(&c, NULL, &error), -1);
}

static void test_store(void **state)
{
	struct network network, *list;

	assert_int_equal(add("lab", "subnet=10.1.0.0/16"), 0);
	assert_int_equal(add("lab", "subnet=10.2.0.0/16"), -1);
	assert_non_null(strstr(error.text, "there is a network lab"));
	assert_int_equal(add("near", "subnet=10.1.7.0/24"), -1);
	assert_non_null(strstr(error.text, "network lab has 10.1.0.0/16"));
	/* Found ones are neither each other's. */
	assert_int_equal(add("one", ""), 0);
	assert_int_equal(add("two", ""), 0);
	assert_int_equal(network_store_list(&store, &list, &error), 3);
	assert_true(list[1].has4 && list[1].has6 && list[1].dhcp);
	assert_int_not_equal(list[1].net4, list[2].net4);
	assert_memory_not_equal(&list[1].net6, &list[2].net6, 8);
	/* A change that would meet another. */
	assert_int_equal(make(&network, "two", "subnet=10.1.3.0/24"), 0);
	assert_int_equal(network_store_replace(&store, &network, &error), -1);
	assert_int_equal(make(&network, "two", "subnet=10.9.3.0/24"), 0);
	assert_int_equal(network_store_replace(&store, &network, &error), 0);
	free(list);
	assert_int_equal(network_store_find(&store, "two", &network, &error),
			 0);
	assert_int_equal(network.net4, 0x0a090300);
	assert_int_equal(network_store_remove(&store, "lab", &error), 0);
	assert_int_equal(network_store_find(&store, "lab", &network, &error),
			 1);
	assert_int_equal(network_store_remove(&store, "lab", &error), -1);
	assert_int_equal(add("lab", "subnet=10.1.7.0/24"), 0);
}

static void test_damaged(void **state)
{
	char path[160];
	struct network network, *list;
	FILE *file;

	assert_int_equal(add("lab", ""), 0);
	snprintf(path, sizeof(path), "%s/lodge/networks/lab/network.json",
		 folder);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs("{\"version\": 1, \"name\": \"lab\", \"kind\": 7}", file);
	fclose(file);
	assert_int_equal(network_store_find(&store, "lab", &network, &error),
			 -1);
	assert_int_equal(network_store_list(&store, &list, &error), 1);
	assert_int_equal(list[0].created, -1);
	free(list);
	assert_int_equal(network_store_remove(&store, "lab", &error), 0);
	assert_int_equal(add("lab", ""), 0);
}

static void count_users(void *ctx, const char *machine, const char *text)
{
	assert_string_equal(machine, "vm.one");
	assert_string_equal(text, "52:54:00:12:34:56");
	++*(int *)ctx;
}

static int users(void)
{
	int count = 0;

	network_store_users(&store, "lab", count_users, &count);
	return count;
}

static void test_users(void **state)
{
	struct network network;
	struct network_use use;
	int ready[2], status;
	pid_t child;
	char byte;

	assert_int_equal(add("lab", ""), 0);
	assert_int_equal(network_use_begin(&store, "lap", "vm", mac, &network,
					   &use, &error), -1);
	assert_int_equal(users(), 0);
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (!child) {
		network_store_close(&store);
		network_store_open(&store, &error);
		status = network_use_begin(&store, "lab", "vm.one", mac,
					   &network, &use, &error);
		write(ready[1], status ? "n" : "y", 1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(byte, 'y');
	assert_int_equal(users(), 1);
	assert_int_equal(network_store_remove(&store, "lab", &error), -1);
	assert_non_null(strstr(error.text, "machine vm.one uses network lab"));
	assert_int_equal(network_store_find(&store, "lab", &network, &error),
			 0);
	assert_int_equal(network_store_replace(&store, &network, &error), -1);
	assert_int_equal(network_use_begin(&store, "lab", "two", mac, &network,
					   &use, &error), -1);
	assert_non_null(strstr(error.text, "machine vm.one has it"));
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	assert_int_equal(users(), 0);
	assert_int_equal(network_use_begin(&store, "lab", "vm.one", mac,
					   &network, &use, &error), 0);
	assert_int_equal(users(), 1);
	network_use_end(&use);
	assert_int_equal(users(), 0);
	assert_int_equal(network_store_remove(&store, "lab", &error), 0);
	close(ready[0]);
	close(ready[1]);
}

/* Adds and removes for ever. */
static _Noreturn void churn(unsigned int seed)
{
	char name[16];

	network_store_close(&store);
	if (network_store_open(&store, &error))
		_exit(1);
	for (unsigned int i = seed;; i++) {
		snprintf(name, sizeof(name), "n%u", i % 3);
		if (i & 1)
			add(name, "");
		else
			network_store_remove(&store, name, &error);
	}
}

/* Two at once, killed at any step: what there is, is whole. */
static void test_kills(void **state)
{
	for (unsigned int i = 0; i < KILLS; i++) {
		struct network *list;
		pid_t child[2];
		int count, status;

		for (unsigned int k = 0; k < 2; k++) {
			child[k] = fork();
			if (!child[k])
				churn(i + k);
		}
		usleep(500 + i * 137 % 3000);
		for (unsigned int k = 0; k < 2; k++) {
			kill(child[k], SIGKILL);
			waitpid(child[k], &status, 0);
			assert_true(WIFSIGNALED(status));
		}
		count = network_store_list(&store, &list, &error);
		assert_in_range(count, 0, 3);
		for (int k = 0; k < count; k++) {
			char text[NETWORK_SUBNET];

			assert_true(list[k].created > 0);
			for (int m = 0; m < k; m++)
				assert_false(network_overlap(&list[k], &list[m],
							     text));
		}
		free(list);
	}
	for (unsigned int i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", i);
		network_store_remove(&store, name, &error);
		assert_int_equal(add(name, ""), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_properties),
		cmocka_unit_test(test_record),
		cmocka_unit_test_setup_teardown(test_store, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_users, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kills, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
