/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Firecracker API without a socket and without a machine: what is taken,
 * what is refused in which words, the arguments that it becomes, and what the
 * machine is asked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake/test.h"
#include "firecracker/api.h"

static struct fc_api api;
static struct fc_answer answer;
static char args[2048];	 /* of the start */
static char asked[512];	 /* the last request */
static const char *wrong; /* what is refused; NULL: nothing */
static const char *result = "{}";

static int start(void *ctx, const struct fc_config *config,
		 struct fc_fault *fault)
{
	char **words;

	if (wrong)
		return fc_fault(fault, "%s", wrong);
	words = fc_config_args(config, "t");
	args[0] = '\0';
	for (size_t i = 0; words[i]; i++) {
		strcat(args, i ? " " : "");
		strcat(args, words[i]);
	}
	fc_args_free(words);
	return 0;
}

static json_t *ask_it(void *ctx, json_t *request, struct fc_fault *fault)
{
	char *text = json_dumps(request, JSON_COMPACT | JSON_SORT_KEYS);

	snprintf(asked, sizeof(asked), "%s", text);
	free(text);
	json_decref(request);
	if (!wrong)
		return json_loads(result, 0, NULL);
	fc_fault(fault, "%s", wrong);
	return NULL;
}

static int open_it(void *ctx, const char *path)
{
	return dup(STDERR_FILENO);
}

static void log_to(void *ctx, int fd)
{
	close(fd);
}

static const struct fc_machine_ops ops = { start, ask_it, open_it, log_to };

static int setup(void **state)
{
	wrong = NULL;
	result = "{}";
	args[0] = asked[0] = '\0';
	return fc_api_init(&api, "one", &ops, NULL);
}

static int teardown(void **state)
{
	json_decref(answer.body);
	answer.body = NULL;
	fc_api_fini(&api);
	return 0;
}

static int ask(const char *method, const char *path, const char *body)
{
	json_decref(answer.body);
	fc_api_answer(&api, method, path, body, strlen(body), &answer);
	return answer.status;
}

static void put(const char *path, const char *body)
{
	if (ask("PUT", path, body) != 204)
		fail_msg("PUT %s %s: %s", path, body,
			 json_string_value(json_object_get(answer.body,
							   "fault_message")));
	assert_null(answer.body);
}

static void refused(const char *method, const char *path, const char *body,
		    const char *words)
{
	const char *text;

	assert_int_equal(ask(method, path, body), 400);
	text = json_string_value(json_object_get(answer.body,
						 "fault_message"));
	assert_non_null(text);
	if (!strstr(text, words))
		fail_msg("%s %s %s: \"%s\" lacks \"%s\"", method, path, body,
			 text, words);
}

#define KERNEL "{\"kernel_image_path\":\"/dev/null\"}"
#define START  "{\"action_type\":\"InstanceStart\"}"

static const char *member(const char *name)
{
	return json_string_value(json_object_get(answer.body, name));
}

static void its_documentation_s_sequence(void **state)
{
	put("/logger", "{\"log_path\":\"/tmp/l\",\"level\":\"Debug\","
	    "\"show_level\":true,\"show_log_origin\":true}");
	put("/boot-source", "{\"kernel_image_path\":\"/dev/null\",\"boot_args\""
	    ":\"console=ttyS0 reboot=k panic=1 pci=off\"}");
	put("/drives/rootfs", "{\"drive_id\":\"rootfs\",\"path_on_host\":"
	    "\"/dev/null\",\"is_root_device\":true,\"is_read_only\":false}");
	put("/network-interfaces/net1", "{\"iface_id\":\"net1\",\"guest_mac\":"
	    "\"06:00:AC:10:00:02\",\"host_dev_name\":\"tap0\"}");
	assert_int_equal(ask("GET", "/", ""), 200);
	assert_string_equal(member("state"), "Not started");
	assert_string_equal(member("id"), "one");
	put("/actions", START);
	assert_string_equal(
		args, "lodge-vm --name=t --kernel=/dev/null --append="
		"console=ttyS0 reboot=k panic=1 i8042.nopnp root=/dev/vda rw "
		"--cpus=1 "
		"--memory=128M --disk=/dev/null,format=raw,serial=rootfs,"
		"cache=unsafe --net=tap=tap0,mac=06:00:AC:10:00:02 --no-agent "
		"--no-reboot");
	assert_int_equal(ask("GET", "/", ""), 200);
	assert_string_equal(member("state"), "Running");
}

static void all_that_there_is(void **state)
{
	put("/boot-source", "{\"kernel_image_path\":\"/dev/null\",\"boot_args\""
	    ":\" pci=off  a pci=offx \",\"initrd_path\":\"/dev/zero\"}");
	put("/drives/b", "{\"drive_id\":\"b\",\"path_on_host\":\"/dev/zero\","
	    "\"is_root_device\":false,\"is_read_only\":true,\"cache_type\":"
	    "\"Writeback\",\"io_engine\":\"Async\",\"rate_limiter\":{"
	    "\"bandwidth\":{\"size\":1000,\"refill_time\":100},\"ops\":{"
	    "\"size\":5,\"refill_time\":1000,\"one_time_burst\":9}}}");
	put("/drives/a", "{\"drive_id\":\"a\",\"path_on_host\":\"/dev/null\","
	    "\"is_root_device\":true,\"is_read_only\":true,"
	    "\"partuuid\":\"0eaa91a0-01\"}");
	put("/network-interfaces/n", "{\"iface_id\":\"n\",\"host_dev_name\":"
	    "\"t\",\"mtu\":1400,\"rx_rate_limiter\":{\"ops\":{\"size\":1,"
	    "\"refill_time\":3000}},\"tx_rate_limiter\":null}");
	put("/machine-config", "{\"vcpu_count\":4,\"mem_size_mib\":300,"
	    "\"smt\":true,\"cpu_template\":\"None\",\"huge_pages\":\"None\","
	    "\"track_dirty_pages\":true}");
	put("/vsock", "{\"guest_cid\":7,\"uds_path\":\"/tmp/v\","
	    "\"vsock_id\":\"1\"}");
	put("/entropy", "{}");
	put("/serial", "{\"serial_out_path\":\"/tmp/o\"}");
	put("/balloon", "{\"amount_mib\":44,\"deflate_on_oom\":true,"
	    "\"stats_polling_interval_s\":1}");
	put("/actions", START);
	assert_string_equal(
		args, "lodge-vm --name=t --kernel=/dev/null "
		"--initrd=/dev/zero --append=a pci=offx i8042.nopnp "
		"root=PARTUUID=0eaa91a0-01 ro --cpus=4 --memory=300M "
		"--disk=/dev/null,format=raw,serial=a,cache=unsafe,readonly "
		"--disk=/dev/zero,format=raw,serial=b,readonly,bps=10000b,"
		"iops=5 --net=tap=t,mtu=1400,pps-in=1 --vsock=7,path=/tmp/v "
		"--serial=file:/tmp/o --no-reboot");
	assert_string_equal(asked, "{\"command\":\"balloon\",\"size\":"
				   "268435456}");
	assert_int_equal(ask("GET", "/vm/config", ""), 200);
	assert_int_equal(json_array_size(json_object_get(answer.body,
							 "drives")), 2);
}

static void a_running_machine(void **state)
{
	put("/drives/d", "{\"drive_id\":\"d\",\"path_on_host\":\"/dev/null\","
	    "\"is_root_device\":false}");
	put("/network-interfaces/n", "{\"iface_id\":\"n\",\"host_dev_name\":"
	    "\"t\"}");
	put("/balloon", "{\"amount_mib\":0,\"deflate_on_oom\":false,"
	    "\"stats_polling_interval_s\":1}");
	put("/boot-source", KERNEL);
	put("/actions", START);
	assert_string_equal(asked, "");
	assert_int_equal(ask("PATCH", "/vm", "{\"state\":\"Paused\"}"), 204);
	assert_string_equal(asked, "{\"command\":\"pause\"}");
	ask("GET", "/", "");
	assert_string_equal(member("state"), "Paused");
	assert_int_equal(ask("PATCH", "/vm", "{\"state\":\"Resumed\"}"), 204);
	assert_int_equal(ask("PATCH", "/drives/d", "{\"drive_id\":\"d\","
			     "\"rate_limiter\":{\"ops\":{\"size\":7,"
			     "\"refill_time\":1000}}}"), 204);
	assert_string_equal(asked, "{\"bps\":0,\"command\":\"limit\",\"disk\":"
				   "\"/dev/null\",\"iops\":7}");
	assert_int_equal(ask("PATCH", "/network-interfaces/n",
			     "{\"iface_id\":\"n\",\"tx_rate_limiter\":{"
			     "\"bandwidth\":{\"size\":9,\"refill_time\":1000}"
			     "}}"), 204);
	assert_string_equal(asked, "{\"bps-out\":9,\"command\":\"limit-net\","
				   "\"net\":\"0\",\"pps-out\":0}");
	assert_int_equal(ask("PATCH", "/balloon", "{\"amount_mib\":28}"), 204);
	assert_string_equal(asked, "{\"command\":\"balloon\",\"size\":"
				   "104857600}");
	result = "{\"target\":104857600,\"size\":130023424,\"statistics\":{"
		 "\"free\":5}}";
	assert_int_equal(ask("GET", "/balloon/statistics", ""), 200);
	assert_int_equal(json_integer_value(json_object_get(
				 answer.body, "target_mib")), 28);
	assert_int_equal(json_integer_value(json_object_get(
				 answer.body, "actual_pages")), 1024);
	assert_int_equal(json_integer_value(json_object_get(
				 answer.body, "free_memory")), 5);
	put("/actions", "{\"action_type\":\"SendCtrlAltDel\"}");
	assert_string_equal(asked, "{\"command\":\"keys\",\"input\":[{\"key\":"
				   "\"ctrl-alt-delete\"}]}");
	wrong = "no";
	refused("PUT", "/actions", "{\"action_type\":\"SendCtrlAltDel\"}",
		"no");
	assert_string_equal(asked, "{\"command\":\"stop\"}");
	refused("PATCH", "/vm", "{\"state\":\"Paused\"}", "no");
	refused("PATCH", "/balloon", "{\"amount_mib\":128}", "128 MiB in all");
	refused("PATCH", "/drives/d", "{\"drive_id\":\"d\",\"path_on_host\":"
		"\"/dev/zero\"}", "does not change the file");
	refused("PATCH", "/drives/e", "{\"drive_id\":\"e\"}", "no drive e");
	refused("PUT", "/boot-source", KERNEL, "after the machine");
	refused("PUT", "/actions", START, "started already");
}

static void what_is_refused_before(void **state)
{
	static const char drive[] = "{\"drive_id\":\"a\",\"path_on_host\":"
				    "\"/dev/null\",\"is_root_device\":true}";

	refused("PUT", "/actions", START, "PUT /boot-source first");
	refused("PUT", "/boot-source", "", "not JSON");
	refused("PUT", "/boot-source", "{", "not JSON");
	refused("PUT", "/boot-source", "[]", "JSON object");
	refused("PUT", "/boot-source", "{}", "missing field kernel_image");
	refused("PUT", "/boot-source", "{\"kernel\":1}", "unknown field kernel");
	refused("PUT", "/boot-source", "{\"kernel_image_path\":\"/no/such\"}",
		"/no/such: No such file");
	refused("PUT", "/boot-source", "{\"kernel_image_path\":null}",
		"kernel_image_path: give a text");
	refused("PUT", "/boot-source", "{\"kernel_image_path\":\"/dev/null\","
		"\"kernel_image_path\":\"/dev/null\"}", "not JSON");
	refused("PUT", "/drives/b", drive, "the path has b, the body a");
	put("/drives/a", drive);
	refused("PUT", "/drives/c", "{\"drive_id\":\"c\",\"path_on_host\":"
		"\"/dev/null\",\"is_root_device\":true}", "a is the root");
	refused("PUT", "/drives/a", "{\"drive_id\":\"a\",\"is_root_device\":"
		"true,\"socket\":\"x\"}", "socket: lodge does not have");
	refused("PUT", "/drives/a/b", drive, "there is no PUT /drives/a/b");
	refused("PUT", "/drives/", drive, "there is no");
	refused("PUT", "/machine-config", "{\"vcpu_count\":33,"
		"\"mem_size_mib\":128}", "from 1 to 32");
	refused("PUT", "/machine-config", "{\"vcpu_count\":3,\"smt\":true,"
		"\"mem_size_mib\":128}", "even number");
	refused("PUT", "/machine-config", "{\"vcpu_count\":1,"
		"\"mem_size_mib\":128,\"cpu_template\":\"T2\"}", "T2: lodge");
	refused("PUT", "/machine-config", "{\"vcpu_count\":1}", "mem_size_mib");
	assert_int_equal(ask("GET", "/machine-config", ""), 200);
	assert_int_equal(json_integer_value(json_object_get(
				 answer.body, "vcpu_count")), 1);
	refused("GET", "/", "x", "no body");
	refused("PATCH", "/vm", "{\"state\":\"Paused\"}", "InstanceStart only");
	refused("PUT", "/vsock", "{\"guest_cid\":2,\"uds_path\":\"x\"}",
		"from 3");
	refused("PUT", "/network-interfaces/n", "{\"iface_id\":\"n\","
		"\"host_dev_name\":\"t\",\"guest_mac\":\"06:00:00:00:00:0g\"}",
		"guest_mac");
	refused("PUT", "/network-interfaces/n", "{\"iface_id\":\"n\","
		"\"host_dev_name\":\"t,x\",\"rx_rate_limiter\":{\"ops\":{}}}",
		"missing field size");
	refused("GET", "/balloon", "", "no balloon");
	refused("PUT", "/actions", "{\"action_type\":\"FlushMetrics\"}",
		"PUT /metrics first");
	refused("PUT", "/actions", "{\"action_type\":\"Fly\"}",
		"InstanceStart, FlushMetrics, SendCtrlAltDel");
	refused("PUT", "/snapshot/load", "{}", "lodge does not have that");
	refused("PUT", "/mmds", "{}", "lodge does not have that");
	refused("DELETE", "/", "", "there is no DELETE /");
	refused("PUT", "/\xff", "{}", "not UTF-8");
	put("/boot-source", KERNEL);
	wrong = "the tap is busy";
	refused("PUT", "/actions", START, "the tap is busy");
	wrong = NULL;
	put("/actions", START);
}

static int load(const char *text, struct fc_fault *fault)
{
	json_t *config = json_loads(text, 0, NULL);
	int rc = fc_api_load(&api, config, fault);

	json_decref(config);
	return rc;
}

static void a_whole_configuration(void **state)
{
	struct fc_fault fault;

	assert_int_equal(load("{\"boot-source\":" KERNEL ",\"drives\":[{"
			      "\"drive_id\":\"a\",\"path_on_host\":"
			      "\"/dev/null\",\"is_root_device\":true}],"
			      "\"machine-config\":{\"vcpu_count\":2,"
			      "\"mem_size_mib\":64},\"network-interfaces\":[],"
			      "\"vsock\":null}", &fault), 0);
	assert_int_equal(fc_memory(&api.config), 64 << 20);
	assert_int_equal(load("{\"drives\":[{}]}", &fault), -1);
	assert_string_equal(fault.text, "drives: missing field drive_id");
	assert_int_equal(load("{\"drives\":{}}", &fault), -1);
	assert_int_equal(load("{\"mmds-config\":{}}", &fault), -1);
	assert_string_equal(fault.text, "mmds-config: lodge does not have "
					"that");
	assert_int_equal(load("{\"actions\":" START "}", &fault), -1);
	assert_int_equal(load("{\"boot-source\":{}}", &fault), -1);
	assert_string_equal(fault.text, "boot-source: missing field "
					"kernel_image_path");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(its_documentation_s_sequence),
		TEST(all_that_there_is),
		TEST(a_running_machine),
		TEST(what_is_refused_before),
		TEST(a_whole_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
