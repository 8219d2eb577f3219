/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of RBD images: their parts, and what is none.
 */
#include "disk/rbd/address.h"

#include <errno.h>
#include <string.h>

#include "fake/test.h"

static struct disk_error error;

static void expect(const char *text, const char *pool, const char *space,
		   const char *image, const char *snapshot)
{
	struct rbd_address address;

	assert_int_equal(rbd_address_parse(&address, text, &error), 0);
	assert_string_equal(address.pool, pool);
	assert_string_equal(address.image, image);
	assert_string_equal(address.space ? address.space : "-", space);
	assert_string_equal(address.snapshot ? address.snapshot : "-",
			    snapshot);
	rbd_address_free(&address);
}

static void parts(void **state)
{
	expect("rbd:p/i", "p", "-", "i", "-");
	expect("rbd:p/i@s", "p", "-", "i", "s");
	expect("rbd:p/n/i", "p", "n", "i", "-");
	expect("rbd:p/n/i@s:id=x", "p", "n", "i", "s");
	expect("rbd:p/i:conf=/etc/c@d/x.conf", "p", "-", "i", "-");
}

static void backslashes(void **state)
{
	expect("rbd:a\\/b/c\\@d\\:e\\\\f", "a/b", "-", "c@d:e\\f", "-");
	expect("rbd:p/n\\/i@s\\:t", "p", "-", "n/i", "s:t");
	expect("rbd:p/i\\", "p", "-", "i\\", "-");
}

static void options(void **state)
{
	struct rbd_address address;

	assert_int_equal(rbd_address_parse(&address,
					   "rbd:p/i:id=a:mon_host=h\\:1,k\\:2:"
					   "id=b\\=c:conf=/x=y", &error), 0);
	assert_int_equal(address.options, 4);
	assert_string_equal(rbd_address_option(&address, "id"), "b=c");
	assert_string_equal(rbd_address_option(&address, "mon_host"),
			    "h:1,k:2");
	assert_string_equal(rbd_address_option(&address, "conf"), "/x=y");
	assert_null(rbd_address_option(&address, "pool"));
	rbd_address_free(&address);
}

static void what_is_none(void **state)
{
	static const char *const bad[] = {
		"rbd:",	     "rbd:p",	  "rbd:/i",	"rbd:p/",
		"rbd:p/@s",  "rbd:p/i@",  "rbd:p/n/",	"rbd:p/i:",
		"rbd:p/i:x", "rbd:p/i:=", "rbd:p/i:x=1:", "rbd:p/i:key=secret",
		"rbd:\\/i",
	};
	struct rbd_address address;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(rbd_address_parse(&address, bad[i], &error),
				 -EINVAL);
		rbd_address_free(&address);
	}
}

static void too_many_options(void **state)
{
	char text[8 + 4 * (RBD_OPTIONS_MAX + 1)] = "rbd:p/i";
	struct rbd_address address;

	for (unsigned int i = 0; i < RBD_OPTIONS_MAX; i++)
		strcat(text, ":a=");
	assert_int_equal(rbd_address_parse(&address, text, &error), 0);
	assert_int_equal(address.options, RBD_OPTIONS_MAX);
	rbd_address_free(&address);
	strcat(text, ":a=");
	assert_int_equal(rbd_address_parse(&address, text, &error), -EINVAL);
	rbd_address_free(&address);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts),
		cmocka_unit_test(backslashes),
		cmocka_unit_test(options),
		cmocka_unit_test(what_is_none),
		cmocka_unit_test(too_many_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
