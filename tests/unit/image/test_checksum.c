/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checksums: how they may be written, the lists of distributions, files. The
 * digests are those of FIPS 180-4's examples ("abc", a million of "a").
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake/test.h"
#include "image/checksum.h"

#define ABC_256 \
	"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC_512                                                            \
	"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" \
	"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
#define MILLION_256 \
	"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static char sum[CHECKSUM_MAX];

static void ways_to_write_one(void **state)
{
	static const char *const bad[] = {
		"", "sha256:", "sha256:" ABC_512, "sha512:" ABC_256,
		"md5:" ABC_256, ABC_256 "0", ABC_256 " ", " " ABC_256,
		"sha256:" ABC_256 "x", "0x" ABC_256, ABC_256 ABC_512,
	};
	char text[80] = ABC_256;

	assert_true(checksum_parse(ABC_256, sum));
	assert_string_equal(sum, "sha256:" ABC_256);
	assert_true(checksum_parse("SHA256:" ABC_256, sum));
	assert_string_equal(sum, "sha256:" ABC_256);
	assert_true(checksum_parse("sha512:" ABC_512, sum));
	assert_string_equal(sum, "sha512:" ABC_512);
	text[0] = 'B';
	assert_true(checksum_parse(text, sum));
	assert_string_equal(sum, "sha256:" ABC_256);
	text[20] = 'g';
	assert_false(checksum_parse(text, sum));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(checksum_parse(bad[i], sum));
}

static void lists(void **state)
{
	const char *gnu = MILLION_256 "  other.img\n" ABC_256 " *disk.img\r\n";
	const char *bsd = "# disk.img: 3 bytes\nSHA256 (disk.img) = " ABC_256
			  "\nSHA256 (disk.img.xz) = " MILLION_256 "\n";

	assert_true(checksum_find(gnu, "disk.img", sum));
	assert_string_equal(sum, "sha256:" ABC_256);
	assert_false(checksum_find(gnu, "disk", sum));
	assert_false(checksum_find(gnu, "disk.img.xz", sum));
	assert_true(checksum_find(bsd, "disk.img.xz", sum));
	assert_string_equal(sum, "sha256:" MILLION_256);
	assert_true(checksum_find(bsd, "disk.img", sum));
	assert_string_equal(sum, "sha256:" ABC_256);
	assert_true(checksum_find(ABC_512 "  ./disk.img", "disk.img", sum));
	assert_string_equal(sum, "sha512:" ABC_512);
	assert_true(checksum_find(ABC_512 "\n", "any", sum));
	assert_string_equal(sum, "sha512:" ABC_512);
}

static void lists_that_are_none(void **state)
{
	char *line = malloc(5000);

	assert_false(checksum_find("", "disk.img", sum));
	assert_false(checksum_find("<html>disk.img</html>", "disk.img", sum));
	assert_false(checksum_find("0  disk.img\n", "disk.img", sum));
	assert_false(checksum_find("SHA256 (disk.img) = \n", "disk.img", sum));
	assert_false(checksum_find("SHA256 (disk.img", "disk.img", sum));
	assert_false(checksum_find("SHA256 (", "", sum));
	memset(line, 'a', 4999);
	line[4999] = '\0';
	assert_false(checksum_find(line, "disk.img", sum));
	free(line);
}

static void files(void **state)
{
	struct disk_job job = { 0 };
	FILE *file = tmpfile();
	char piece[1000];

	assert_non_null(file);
	fputs("abc", file);
	fflush(file);
	assert_int_equal(checksum_file(fileno(file), "sha256:", sum, &job), 0);
	assert_string_equal(sum, "sha256:" ABC_256);
	assert_int_equal(checksum_file(fileno(file), "sha512:", sum, &job), 0);
	assert_string_equal(sum, "sha512:" ABC_512);
	assert_int_equal(ftruncate(fileno(file), 0), 0);
	rewind(file);
	memset(piece, 'a', sizeof(piece));
	for (unsigned int i = 0; i < 1000; i++)
		fwrite(piece, sizeof(piece), 1, file);
	fflush(file);
	assert_int_equal(checksum_file(fileno(file), "sha256:", sum, &job), 0);
	assert_string_equal(sum, "sha256:" MILLION_256);
	assert_int_equal(job.done, 1000000);
	atomic_store(&job.cancel, true);
	assert_int_equal(checksum_file(fileno(file), "sha256:", sum, &job),
			 -ECANCELED);
	fclose(file);
	assert_int_equal(checksum_file(-1, "sha256:", sum,
				       &(struct disk_job){ 0 }), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ways_to_write_one),
		cmocka_unit_test(lists),
		cmocka_unit_test(lists_that_are_none),
		cmocka_unit_test(files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
