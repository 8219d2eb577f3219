/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configurations: what is taken, what is refused by name, and the arguments
 * that they become.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake/test.h"
#include "manage/vm/spec.h"

static struct problem problem;

static int check(const char *text)
{
	json_t *config = json_loads(text, 0, NULL);
	int rc;

	assert_non_null(config);
	memset(&problem, 0, sizeof(problem));
	rc = spec_check(config, &problem);
	json_decref(config);
	return rc;
}

static void refused(const char *text, const char *words)
{
	assert_int_equal(check(text), -1);
	assert_int_equal(problem.status, 400);
	if (!strstr(problem.text, words))
		fail_msg("\"%s\" lacks \"%s\"", problem.text, words);
}

static void good_ones_are_taken(void **state)
{
	assert_int_equal(check("{}"), 0);
	assert_int_equal(check("{\"image\":\"debian\",\"cpus\":64,"
			       "\"user\":\"me\",\"disk_size\":1048576}"), 0);
	assert_int_equal(check("{\"kernel\":\"/k\",\"firmware\":\"none\"}"), 0);
	assert_int_equal(check("{\"firmware\":\"/fw.bin\"}"), 0);
	assert_int_equal(check("{\"labels\":{\"a.b\":\"\"},\"restart\":"
			       "\"on-failure\",\"autostart\":true}"), 0);
	assert_int_equal(check("{\"cpu_shares\":10000,\"cpu_limit\":150,"
			       "\"cpu_set\":\"0-3,6,9-9\",\"memory_limit\":"
			       "603979776,\"pids_limit\":100}"), 0);
	assert_int_equal(check("{\"disks\":[{\"path\":\"/a\",\"bus\":\"nvme\","
			       "\"iops\":5,\"readonly\":true}]}"), 0);
}

static void bad_ones_are_named(void **state)
{
	refused("[]", "config: give an object");
	refused("{\"cpuz\":1}", "did you mean cpus?");
	refused("{\"cpus\":0}", "config.cpus: give a number from 1 to 64");
	refused("{\"cpus\":\"1\"}", "config.cpus");
	refused("{\"memory\":5000000}", "config.memory");
	refused("{\"engine\":\"fast\"}", "auto, kvm, soft");
	refused("{\"kernel\":\"k\"}", "an absolute path");
	refused("{\"image\":\"--serial=none\"}", "config.image");
	refused("{\"image\":\"a\",\"kernel\":\"/k\"}", "config.kernel");
	refused("{\"user\":\"a\"}", "goes with an image");
	refused("{\"kernel\":\"/k\",\"firmware\":\"bios\"}", "firmware none");
	refused("{\"labels\":{\"a b\":\"\"}}", "config.labels");
	refused("{\"restart\":\"perhaps\"}", "never, on-failure, always");
	refused("{\"autostart\":1}", "true or false");
	refused("{\"disks\":{}}", "config.disks");
	refused("{\"disks\":[{}]}", "config.disks");
	refused("{\"disks\":[{\"path\":\"/a\",\"buz\":\"nvme\"}]}",
		"config.disks");
	refused("{\"disks\":[{\"path\":\"/a\",\"serial\":\"a,readonly\"}]}",
		"config.disks");
	refused("{\"networks\":[{\"mode\":\"user,restrict\"}]}",
		"config.networks");
	refused("{\"networks\":[{\"mode\":\"user\",\"a=b\":true}]}",
		"config.networks");
	refused("{\"publish\":\"8080:80\"}", "config.publish");
	refused("{\"append\":\"\"}", "config.append");
	refused("{\"cpu_shares\":0}", "config.cpu_shares: give a number from 1");
	refused("{\"cpu_set\":\"3-1\"}", "processors such as 0-3,6");
	refused("{\"cpu_set\":\"1,\"}", "config.cpu_set");
	refused("{\"cpu_set\":\"-1\"}", "config.cpu_set");
	refused("{\"cpu_set\":\"99999999999999999999\"}", "config.cpu_set");
	refused("{\"memory_limit\":536870912}", "give 576M or more");
	refused("{\"image\":\"a\",\"memory_limit\":536870912}",
		"give 1088M or more");
}

static char *joined(const char *text)
{
	static char line[1024];
	json_t *config = json_loads(text, 0, NULL);
	struct spec_args args = { 0 };

	assert_int_equal(spec_check(config, &problem), 0);
	spec_arg(&args, "run");
	assert_int_equal(spec_args(&args, config), 0);
	assert_null(args.arg[args.count]);
	line[0] = '\0';
	for (size_t i = 0; i < args.count; i++) {
		strcat(line, i ? " " : "");
		strcat(line, args.arg[i]);
	}
	spec_args_free(&args);
	json_decref(config);
	return line;
}

static void they_become_arguments(void **state)
{
	assert_string_equal(joined("{}"), "run");
	assert_string_equal(joined("{\"image\":\"debian\",\"memory\":1073741824,"
				   "\"usb\":true,\"labels\":{\"a\":\"b\"}}"),
			    "run debian --memory=1024M --usb");
	assert_string_equal(joined("{\"disk_bps\":5000,\"disk_iops\":7,"
				   "\"cpu_shares\":5,\"cpu_set\":\"1\"}"),
			    "run --disk-bps=5000b --disk-iops=7");
	assert_string_equal(joined("{\"usb\":false,\"append\":\"-- x\"}"),
			    "run --append=-- x");
	assert_string_equal(
		joined("{\"disks\":[{\"path\":\"/a,b\",\"bus\":\"nvme\","
		       "\"queues\":2,\"readonly\":true,\"copy-on-read\":"
		       "false},{\"path\":\"/c\"}]}"),
		"run --disk=/a,,b,bus=nvme,queues=2,readonly --disk=/c");
	assert_string_equal(joined("{\"disks\":[{\"path\":\"/a\",\"bps\":4096,"
				   "\"iops\":5}]}"),
			    "run --disk=/a,bps=4096b,iops=5");
	assert_string_equal(joined("{\"networks\":[{\"mode\":\"user\",\"mtu\":"
				   "1400}],\"publish\":[\"1:2\",\"3:4/udp\"]}"),
			    "run --net=user,mtu=1400 --publish=1:2 "
			    "--publish=3:4/udp");
	assert_string_equal(
		joined("{\"networks\":[{\"mode\":\"network=lab\"},{\"mode\":"
		       "\"socket=/a-b/c\"}],\"shares\":[\"/a:/b,readonly\"]}"),
		"run --net=network=lab --net=socket=/a-b/c "
		"--share=/a:/b,readonly");
}

static char *changed(const char *from, const char *with)
{
	static char line[256];
	json_t *config = json_loads(from, 0, NULL);
	json_t *change = json_loads(with, 0, NULL);
	json_t *result = spec_change(config, change, &problem);
	char *text = result ? json_dumps(result, JSON_COMPACT | JSON_SORT_KEYS) :
			      NULL;

	snprintf(line, sizeof(line), "%s", text ? text : "refused");
	free(text);
	json_decref(result);
	json_decref(change);
	json_decref(config);
	return line;
}

static void a_change_is_merged(void **state)
{
	assert_string_equal(changed("{\"cpus\":1,\"memory\":4194304}",
				    "{\"cpus\":2,\"memory\":null}"),
			    "{\"cpus\":2}");
	assert_string_equal(changed("{\"labels\":{\"a\":\"1\",\"b\":\"2\"}}",
				    "{\"labels\":{\"a\":null,\"c\":\"3\"}}"),
			    "{\"labels\":{\"b\":\"2\",\"c\":\"3\"}}");
	assert_string_equal(changed("{\"cpus\":1}", "{\"cpus\":100}"),
			    "refused");
	assert_string_equal(changed("{}", "7"), "refused");
	assert_string_equal(changed("{}", "{\"cpuz\":null}"), "refused");
	assert_non_null(strstr(problem.text, "did you mean cpus?"));
}

static void labels_choose(void **state)
{
	json_t *config = json_loads("{\"labels\":{\"a\":\"1\",\"ab\":\"\"}}", 0,
				    NULL);

	assert_true(spec_has_label(config, "a"));
	assert_true(spec_has_label(config, "a=1"));
	assert_true(spec_has_label(config, "ab="));
	assert_false(spec_has_label(config, "a=2"));
	assert_false(spec_has_label(config, "b"));
	assert_false(spec_has_label(config, ""));
	json_decref(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_ones_are_taken),
		cmocka_unit_test(bad_ones_are_named),
		cmocka_unit_test(they_become_arguments),
		cmocka_unit_test(a_change_is_merged),
		cmocka_unit_test(labels_choose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
