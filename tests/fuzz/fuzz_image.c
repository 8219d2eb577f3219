/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what images are described by: OVA archives, the records of the store
 * and of its machines, the catalogue, VMDK's descriptor, partition tables, and
 * the ssh keys and user data that a first boot is given. Inputs change a good
 * one of their kind: a byte, a word, a line doubled, the end cut.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "disk/file.h"
#include "disk/partition.h"
#include "disk/vmdk/vmdk.h"
#include "fuzz_device.h"
#include "image/fetch.h"
#include "image/ova.h"
#include "image/record.h"
#include "image/seed.h"

#define ROOM  (64u << 10)
#define BLOCK 512u

struct text {
	uint8_t bytes[ROOM];
	size_t size;
};

/* --- good ones -------------------------------------------------------------- */

static const char record[] =
	"{\"name\":\"debian\",\"system\":\"Debian 12\",\"disk\":\"disk.qcow2\","
	"\"kernel\":\"vmlinuz\",\"initrd\":\"initrd\",\"format\":\"qcow2\","
	"\"size\":2147483648,\"append\":\"root=/dev/vda1\",\"firmware\":\"any\""
	",\"source\":\"https://example.org/a\",\"checksum\":\"sha256:00\","
	"\"created\":1700000000}";
static const char catalogue[] =
	"[{\"name\":\"debian\",\"url\":\"https://example.org/d.qcow2\","
	"\"sums\":\"https://example.org/SHA512SUMS\",\"format\":\"qcow2\","
	"\"system\":\"Debian 12\",\"firmware\":\"any\",\"user\":\"debian\"},"
	"{\"name\":\"alpine\",\"url\":\"https://example.org/a.qcow2\","
	"\"sums\":\"https://example.org/SHA512SUMS\",\"format\":\"qcow2\"}]";
static const char descriptor[] =
	"# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
	"createType=\"twoGbMaxExtentSparse\"\n\n# Extent description\n"
	"RW 4192256 SPARSE \"disk-s001.vmdk\"\n"
	"RW 2048 FLAT \"disk-f002.vmdk\" 0\nRW 16 ZERO\n\n"
	"# The Disk Data Base\nddb.adapterType = \"ide\"\n";
static const char keys[] =
	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDmP0000000000000000000000000000 "
	"me@here\n# a comment\nssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ== you\n";

static void put_text(struct text *text, const char *words)
{
	text->size = strlen(words);
	memcpy(text->bytes, words, text->size);
}

/* A header of tar, with its sum. */
static void put_member(struct text *text, const char *name, size_t size)
{
	uint8_t *block = text->bytes + text->size;
	unsigned int sum = 0;

	memset(block, 0, BLOCK);
	snprintf((char *)block, 100, "%s", name);
	snprintf((char *)block + 124, 12, "%011zo", size);
	memset(block + 148, ' ', 8);
	block[156] = '0';
	for (unsigned int i = 0; i < BLOCK; i++)
		sum += block[i];
	snprintf((char *)block + 148, 8, "%06o", sum);
	memset(block + BLOCK, 'x', size);
	text->size += BLOCK + (size + BLOCK - 1) / BLOCK * BLOCK;
}

static void put_archive(struct text *text)
{
	put_member(text, "machine.ovf", 700);
	put_member(text, "disk.vmdk", 3000);
	memset(text->bytes + text->size, 0, 2 * BLOCK);
	text->size += 2 * BLOCK;
}

/* A GPT under its MBR, or an MBR with two partitions. */
static void put_partitions(struct text *text, bool gpt)
{
	uint8_t *bytes = text->bytes;

	memset(bytes, 0, ROOM);
	text->size = ROOM;
	bytes[510] = 0x55;
	bytes[511] = 0xaa;
	bytes[450] = gpt ? 0xee : 0x83;
	bytes[454] = 1;
	bytes[458] = 64;
	bytes[466] = gpt ? 0 : 0x05;
	memcpy(bytes + BLOCK, "EFI PART", 8);
	bytes[BLOCK + 72] = 2;
	bytes[BLOCK + 80] = 128;
	bytes[BLOCK + 84] = 128;
	bytes[2 * BLOCK] = 1;
	bytes[2 * BLOCK + 40] = 99;
}

/* --- changes ---------------------------------------------------------------- */

static void change(struct text *text, struct words *words)
{
	unsigned int how = (unsigned int)next_word(words, 1) % 6;
	size_t at = next_word(words, 2) % (text->size ? text->size : 1);
	size_t length = 1 + next_word(words, 1) % 64;

	if (length > text->size - at)
		length = text->size - at;
	if (how == 0)
		text->bytes[at] = (uint8_t)next_word(words, 1);
	else if (how == 1)
		for (size_t i = 0; i < length && i < 8; i++)
			text->bytes[at + i] = (uint8_t)next_word(words, 1);
	else if (how == 2)
		memset(text->bytes + at, '9', length);
	else if (how == 3)
		memset(text->bytes + at, 0xff, length);
	else if (how == 4)
		text->size = at;
	else if (text->size + length <= ROOM) { /* once more */
		memmove(text->bytes + at + length, text->bytes + at,
			text->size - at);
		text->size += length;
	}
}

/* --- what is done with them ------------------------------------------------- */

/* A file of the bytes, by a path. */
static int make_file(const struct text *text, char path[64])
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, text->bytes, text->size) !=
			      (ssize_t)text->size)
		abort();
	snprintf(path, 64, "/proc/self/fd/%d", fd);
	return fd;
}

static void try_archive(const char *path)
{
	static int folder = -1;
	char name[] = P_tmpdir "/lodge-fuzz-XXXXXX";
	struct disk_error error;

	if (folder < 0) {
		if (!mkdtemp(name))
			abort();
		folder = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rmdir(name); /* what is made in it fails from then on */
	}
	ova_extract(path, folder, "disk", &error);
}

static void try_record(const struct text *text)
{
	struct image_record made;
	struct disk_error error;
	json_t *json = json_loadb((const char *)text->bytes, text->size, 0,
				  NULL);

	if (json && !image_record_unpack(&made, json, &error)) {
		json_t *again = image_record_pack(&made);

		if (!image_name_valid(made.name))
			abort();
		json_decref(again);
	}
	json_decref(json);
}

static void try_catalogue(const char *path)
{
	struct fetch_source *list = NULL;
	struct disk_error error;

	if (fetch_catalogue(path, &list, &error) >= 0)
		free(list);
}

static void try_descriptor(const struct text *text)
{
	struct vmdk_descriptor made = { 0 };
	struct disk_error error;

	vmdk_descriptor_read(&made, (const char *)text->bytes, text->size,
			     &error);
	vmdk_descriptor_free(&made);
}

static void try_partitions(const struct text *text)
{
	struct disk_node *node;

	if (disk_memory_open(&node, NULL))
		abort();
	if (text->size)
		disk_write_bytes(node, 0, text->bytes, text->size);
	disk_partitions_end(node);
	disk_close(node);
}

static void try_seed(const struct text *text, const char *path)
{
	struct seed seed = { .instance = "i", .host = "h", .user = "u",
			     .user_data = (const char *)text->bytes,
			     .user_data_size = text->size };
	struct disk_error error;
	size_t size;

	seed_read_keys(&seed, path, &error);
	free(seed_make(&seed, &size));
	seed_free_keys(&seed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct text text;
	struct words words = { data, size };
	unsigned int kind = (unsigned int)next_word(&words, 1) % 7;
	char path[64];
	int fd;

	text.size = 0;
	if (kind == 0)
		put_archive(&text);
	else if (kind < 3)
		put_partitions(&text, kind == 1);
	else
		put_text(&text, kind == 3   ? record
				: kind == 4 ? catalogue
				: kind == 5 ? descriptor
					    : keys);
	for (unsigned int i = 0; i < 16 && words.left; i++)
		change(&text, &words);
	fd = make_file(&text, path);
	if (kind == 0)
		try_archive(path);
	else if (kind < 3)
		try_partitions(&text);
	else if (kind == 3)
		try_record(&text);
	else if (kind == 4)
		try_catalogue(path);
	else if (kind == 5)
		try_descriptor(&text);
	else
		try_seed(&text, path);
	close(fd);
	return 0;
}
