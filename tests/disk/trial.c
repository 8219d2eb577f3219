/* SPDX-License-Identifier: Apache-2.0 */
#include "trial.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/driver.h"
#include "fake/random.h"
#include "vm/host.h"

static const struct disk_secret secret = {
	.data = TRIAL_PASSPHRASE, .size = sizeof(TRIAL_PASSPHRASE) - 1
};

/* A format in a LUKS volume. */
#define UNDER(NAME, FORMAT, QEMU, ...)                                  \
	{ .name = NAME, .format = FORMAT, .qemu = QEMU, .under = true,  \
	  .encrypted = true, .least = 1024, .most = 4096, __VA_ARGS__ }

#define QCOW2(NAME, ...)                                              \
	{ .name = NAME, .format = "qcow2", .qemu = "qcow2",           \
	  .snapshots = true, .chance = true, .least = 96, .most = 1024, \
	  __VA_ARGS__ }

const struct trial_kind trial_kinds[] = {
	{ .name = "raw", .format = "raw", .qemu = "raw", .least = 64,
	  .most = 512 },
	QCOW2("qcow2"),
	QCOW2("qcow2-v2", .options = { "compat=v2" }),
	QCOW2("qcow2-lazy", .options = { "lazy_refcounts=on" }),
	QCOW2("qcow2-l2", .options = { "extended_l2=on" }),
	QCOW2("qcow2-16", .options = { "refcount_bits=16" }),
	QCOW2("qcow2-64", .options = { "refcount_bits=64" }),
	QCOW2("qcow2-1", .options = { "refcount_bits=1" }),
	QCOW2("qcow2-zstd", .options = { "compression_type=zstd" }),
	QCOW2("qcow2-backing", .backing = "raw"),
	QCOW2("qcow2-backing-l2", .options = { "extended_l2=on" },
	      .backing = "qcow2"),
	QCOW2("qcow2-luks", .encrypted = true,
	      .options = { "iterations=1000" }),
	{ .name = "qcow2-data", .format = "qcow2", .qemu = "qcow2",
	  .options = { "data_file=data.raw" }, .chance = true, .least = 96,
	  .most = 1024 },
	{ .name = "qcow2-data-raw", .format = "qcow2", .qemu = "qcow2",
	  .options = { "data_file=data.raw", "data_file_raw=on" },
	  .chance = true, .least = 96, .most = 1024 },
	{ .name = "vmdk", .format = "vmdk", .qemu = "vmdk", .least = 256,
	  .most = 4096 },
	{ .name = "vmdk-split", .format = "vmdk", .qemu = "vmdk",
	  .options = { "subformat=twoGbMaxExtentSparse", "extent_size=1M" },
	  .least = 256, .most = 4096 },
	{ .name = "vmdk-split-flat", .format = "vmdk", .qemu = "vmdk",
	  .options = { "subformat=twoGbMaxExtentFlat", "extent_size=256K" },
	  .least = 256, .most = 1024 },
	{ .name = "vmdk-flat", .format = "vmdk", .qemu = "vmdk",
	  .options = { "subformat=monolithicFlat" }, .least = 256,
	  .most = 1024 },
	{ .name = "vmdk-backing", .format = "vmdk", .qemu = "vmdk",
	  .backing = "vmdk", .least = 256, .most = 2048 },
	{ .name = "vhdx", .format = "vhdx", .qemu = "vhdx",
	  .options = { "block_size=1M" }, .least = 1024, .most = 8192 },
	{ .name = "vhdx-fixed", .format = "vhdx", .qemu = "vhdx",
	  .options = { "subformat=fixed", "block_size=1M" }, .least = 1024,
	  .most = 4096 },
	{ .name = "vhdx-backing", .format = "vhdx",
	  .options = { "block_size=1M" }, .backing = "vhdx", .least = 1024,
	  .most = 8192 },
	{ .name = "vhd", .format = "vhd", .qemu = "vpc", .least = 1024,
	  .most = 8192 },
	{ .name = "vhd-fixed", .format = "vhd", .qemu = "vpc", .least = 256,
	  .most = 2048 },
	{ .name = "vhd-backing", .format = "vhd", .qemu = NULL,
	  .backing = "vhd", .least = 1024, .most = 8192 },
	{ .name = "vdi", .format = "vdi", .qemu = "vdi", .late = true,
	  .least = 1024, .most = 8192 },
	{ .name = "vdi-static", .format = "vdi", .qemu = "vdi", .late = true,
	  .options = { "static=on" }, .least = 1024, .most = 4096 },
	{ .name = "vdi-small", .format = "vdi", .options = { "block_size=4K" },
	  .least = 256, .most = 8192 },
	{ .name = "vdi-small-static", .format = "vdi",
	  .options = { "block_size=4K", "static=on" }, .least = 256,
	  .most = 4096 },
	{ .name = "luks1", .format = "luks", .qemu = "luks", .noisy = true,
	  .encrypted = true,
	  .options = { "version=1", "iterations=1000" }, .least = 64,
	  .most = 512 },
	{ .name = "luks2", .format = "luks", .noisy = true, .unit = 4096,
	  .encrypted = true,
	  .options = { "pbkdf=pbkdf2", "iterations=1000" }, .least = 64,
	  .most = 512 },
	UNDER("luks-vdi", "vdi", "vdi", .late = true,
	      .options = { "version=1", "iterations=1000" }),
	UNDER("luks-vhd", "vhd", "vpc",
	      .options = { "version=1", "iterations=1000" }),
	UNDER("luks-vmdk", "vmdk", "vmdk",
	      .options = { "version=1", "iterations=1000" }),
	UNDER("luks-vhdx", "vhdx", "vhdx",
	      .options = { "version=1", "iterations=1000",
			   "block_size=1M" }),
	UNDER("luks2-vhdx", "vhdx", NULL,
	      .options = { "pbkdf=pbkdf2", "iterations=1000",
			   "block_size=1M" }),
};

const unsigned int trial_kind_count =
	sizeof(trial_kinds) / sizeof(trial_kinds[0]);

/* --- shapes ----------------------------------------------------------------- */

static void add_option(struct trial *trial, const char *name, uint64_t value,
		       const char *word)
{
	char *to = trial->option[trial->option_count];

	if (word)
		snprintf(to, sizeof(trial->option[0]), "%s=%s", name, word);
	else
		snprintf(to, sizeof(trial->option[0]), "%s=%" PRIu64, name,
			 value);
	trial->options[trial->option_count++] = to;
}

static bool has_option(const struct trial *trial, const char *name)
{
	for (unsigned int i = 0; i < trial->option_count; i++)
		if (!strncmp(trial->options[i], name, strlen(name)))
			return true;
	return false;
}

/* What a qcow2 image is besides what its kind says. */
static void choose_qcow2(struct trial *trial)
{
	bool parts = has_option(trial, "extended_l2");
	unsigned int bits = parts ? 14 + random_below(4) : 9 + random_below(9);
	bool old = has_option(trial, "compat");

	if (bits == 17)
		bits = 21;
	add_option(trial, "cluster_size", 1ull << bits, NULL);
	if (old)
		return;
	if (!has_option(trial, "refcount_bits"))
		add_option(trial, "refcount_bits", 1ull << random_below(7),
			   NULL);
	if (!has_option(trial, "compression_type") && random_below(2))
		add_option(trial, "compression_type", 0, "zstd");
	if (!parts && bits >= 14 && random_below(2))
		add_option(trial, "extended_l2", 0, "on");
	if (!trial->kind->backing && !random_below(4))
		add_option(trial, "preallocation", 0,
			   random_below(2) ? "metadata" : "falloc");
}

/* Bytes, of so many KiB. */
static uint64_t choose_size(const struct trial_kind *kind)
{
	unsigned int unit = kind->unit ? kind->unit : MODEL_SECTOR;
	unsigned int span = (kind->most - kind->least) * 1024 / unit;

	return kind->least * 1024ull + (uint64_t)unit * random_below(span);
}

static uint64_t most_bytes(const struct trial_kind *kind)
{
	return kind->most * 1024ull;
}

void trial_init(struct trial *trial, const struct trial_kind *kind,
		const char *folder, uint64_t seed)
{
	memset(trial, 0, sizeof(*trial));
	trial->kind = kind;
	trial->folder = folder;
	trial->seed = seed;
	random_state = seed * 0x9e3779b97f4a7c15ull | 1;
	snprintf(trial->path, sizeof(trial->path), "%s/disk.%s", folder,
		 kind->format);
	for (unsigned int i = 0; kind->options[i]; i++)
		trial->options[trial->option_count++] = kind->options[i];
	if (kind->chance)
		choose_qcow2(trial);
	trial->size = choose_size(kind);
	if (kind->backing)
		trial->base_size = choose_size(kind);
	trial->model = model_create(trial->size, most_bytes(kind));
}

void trial_fini(struct trial *trial)
{
	disk_close(trial->image);
	for (unsigned int i = 0; i < TRIAL_MOMENTS; i++)
		free(trial->moment[i].stamp);
	model_free(trial->model);
}

void trial_print(const struct trial *trial)
{
	fprintf(stderr, "%s, seed %" PRIu64 ": %" PRIu64 " bytes",
		trial->kind->name, trial->seed, trial->size);
	for (unsigned int i = 0; i < trial->option_count; i++)
		fprintf(stderr, ", %s", trial->options[i]);
	if (trial->base_size)
		fprintf(stderr, ", on %" PRIu64 " bytes", trial->base_size);
	fprintf(stderr, "\n");
}

/* --- images ----------------------------------------------------------------- */

static const struct disk_secret *secret_of(const struct trial *trial)
{
	return trial->kind->encrypted ? &secret : NULL;
}

static struct disk_node *open_at(const struct trial *trial, const char *path,
				 const char *format)
{
	const struct disk_open how = { .path = path, .format = format,
				       .secret = secret_of(trial) };
	struct disk_error error;
	struct disk_node *image;

	if (!disk_open(&image, &how, &error))
		return image;
	fprintf(stderr, "opening %s: %s\n", path, error.text);
	return NULL;
}

struct disk_node *trial_open(const struct trial *trial)
{
	return open_at(trial, trial->path, trial->kind->format);
}

static bool create(const struct disk_create *how)
{
	struct disk_error error;

	if (!disk_create(how, &error))
		return true;
	fprintf(stderr, "creating %s: %s\n", how->path, error.text);
	return false;
}

static bool create_base(struct trial *trial, const char *path)
{
	const struct disk_create how = { .path = path,
					 .format = trial->kind->backing,
					 .size = trial->base_size };
	uint64_t sectors = trial->base_size / MODEL_SECTOR;
	struct model *model = trial->model;
	uint8_t bytes[MODEL_SECTOR];
	struct disk_node *node;

	node = create(&how) ? open_at(trial, path, how.format) : NULL;
	for (uint64_t i = 0; node && i < sectors; i++) {
		uint32_t stamp = random_below(3) ? ++model->stamp : 0;

		model_fill(bytes, i, stamp);
		bug_on(disk_write_bytes(node, i * MODEL_SECTOR, bytes,
					MODEL_SECTOR));
		if (i >= model->sectors)
			continue;
		model->sector[i].now = stamp;
		model->sector[i].flushed = stamp;
	}
	disk_close(node);
	return node;
}

/* Zeros as bytes, where there is anything. */
static bool clear(struct trial *trial)
{
	struct disk_node *node = trial_open(trial);
	int error = node ? disk_write_zeros(node, 0, node->size) : -1;

	disk_close(node);
	return !error;
}

bool trial_create(struct trial *trial)
{
	struct disk_create how = { .path = trial->path,
				   .format = trial->kind->format,
				   .size = trial->size,
				   .options = trial->options,
				   .option_count = trial->option_count,
				   .secret = secret_of(trial) };
	char base[sizeof(trial->path) + 16], name[32];

	if (trial->kind->backing) {
		snprintf(name, sizeof(name), "base.%s", trial->kind->backing);
		snprintf(base, sizeof(base), "%s/%s", trial->folder, name);
		if (!create_base(trial, base))
			return false;
		how.backing = name;
		how.backing_format = trial->kind->backing;
	}
	return create(&how) && (!trial->kind->noisy || clear(trial));
}

/* --- checking --------------------------------------------------------------- */

static void say_line(void *ctx, const char *line)
{
	fprintf(stderr, "check: %s\n", line);
}

bool trial_is_sound(struct disk_node *image, bool exact)
{
	struct disk_check check = { 0 };
	struct disk_error error;
	int result = disk_check(image, false, &check, &error);

	if (result == -ENOTSUP)
		return true;
	if (!result && !check.corruptions && !(exact && check.leaks))
		return true;
	check = (struct disk_check){ .say = say_line };
	result = disk_check(image, false, &check, &error);
	fprintf(stderr, "%" PRIu64 " corruptions, %" PRIu64 " leaks%s%s\n",
		check.corruptions, check.leaks, result ? ", " : "",
		result ? error.text : "");
	return false;
}

void trial_reopen(struct trial *trial)
{
	struct model *model = trial->model;

	/* The end of others flushes what their drivers hold back. */
	if (!trial->image->driver->flush)
		bug_on(disk_flush(trial->image));
	disk_close(trial->image);
	for (uint64_t i = 0; i < model->sectors; i++)
		model_flushed(model, i);
	trial->image = trial_open(trial);
	if (!trial->image || !trial_is_sound(trial->image, true))
		trial->failed = true;
}
