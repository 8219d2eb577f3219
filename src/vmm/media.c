/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/media.h"

#include <errno.h>
#include <string.h>

#include "disk/live/live.h"
#include "disk/partition.h"
#include "disk/secret.h"
#include "vm/host.h"

static bool kernel_is_multiboot(const struct image *kernel)
{
	/* Multiboot 0.6.96, 3.1.1: in the first 8 KiB, 4-byte aligned. */
	uint64_t end = kernel->size < 8192 ? kernel->size : 8192;
	uint32_t word[3];

	for (uint64_t at = 0; at + sizeof(word) <= end; at += 4) {
		memcpy(word, kernel->data + at, sizeof(word));
		if (word[0] == 0x1badb002 && !(word[0] + word[1] + word[2]))
			return true;
	}
	return false;
}

/* board_boot.map: large parts of kernel and initrd need no copy. */
static bool map_image(void *ctx, void *to, const void *from, uint64_t size)
{
	struct media *media = ctx;
	struct host_ram *ram = media->ram;

	if (!image_map(&media->kernel, to, from, size) &&
	    !image_map(&media->initrd, to, from, size))
		return false;
	host_ram_overlaid(ram, (uint64_t)((uint8_t *)to - ram->base), size);
	return true;
}

static int open_images(struct media *media, struct vmm_error *error)
{
	const struct machine_config *config = media->config;

	if (rom_open(&media->rom, &config->firmware, error))
		return -1;
	if (!config->kernel)
		return 0;
	if (image_open(&media->kernel, "kernel", config->kernel, error))
		return -1;
	if (config->initrd &&
	    image_open(&media->initrd, "initrd", config->initrd, error))
		return -1;
	if (modules_open(&media->modules, config->module,
			 config->module_count, error))
		return -1;
	if (config->initrd && !kernel_is_multiboot(&media->kernel) &&
	    image_check_initrd(&media->initrd, error))
		return -1;
	media->boot = (struct board_boot){
		.kind = BOOT_AUTO,
		.kernel = media->kernel.data,
		.kernel_size = media->kernel.size,
		.initrd = media->initrd.data,
		.initrd_size = media->initrd.size,
		.module = media->modules.boot,
		.module_count = media->modules.count,
		.append = config->append,
		.map = map_image,
		.map_ctx = media,
	};
	return 0;
}

/* The line of an error begins with `what` and the path. */
static int open_image(struct block **block, const char *what,
		      const struct machine_disk *disk, struct vmm_error *error)
{
	const char *folders[MACHINE_FOLDERS + 1];
	struct disk_open how = {
		.path = disk->path,
		.format = disk->format,
		.readonly = disk->readonly,
		.cache = disk->cache,
		.copies = disk->copy_on_read,
		.folders = folders,
	};
	struct disk_secret *secret = NULL;
	unsigned int secrets = 0;
	struct disk_error why;
	int result = 0;

	if (disk->folder)
		folders[how.folder_count++] = disk->folder;
	for (int i = 0; i < MACHINE_FOLDERS && disk->more[i]; i++)
		folders[how.folder_count++] = disk->more[i];
	while (secrets < MACHINE_SECRETS && disk->secret[secrets])
		secrets++;
	if (secrets) {
		secret = disk_secret_read_all(disk->secret, secrets, &why);
		result = secret ? 0 : -EINVAL;
	}
	how.secret = secret;
	if (!result)
		result = disk_block_open(block, &how, &why);
	disk_secret_free(secret);
	if (result)
		return vmm_error_set(error, "%s %s: %s", what, disk->path,
				     why.text);
	result = disk_block_limit(*block, &disk->limits);
	if (!result)
		return 0;
	block_close(*block);
	*block = NULL;
	return vmm_error_set(error, "%s %s: %s", what, disk->path,
			     strerror(-result));
}

int media_open_disk(struct block **block, const struct machine_disk *disk,
		    struct vmm_error *error)
{
	struct disk_error why;
	int result = open_image(block, "disk", disk, error);

	if (!result && disk_partitions_fit(disk_live_image(*block), &why))
		host_log(HOST_LOG_WARN, "disk %s: %s", disk->path, why.text);
	return result;
}

int media_open_cd(struct block **block, const char *path,
		  struct vmm_error *error)
{
	const struct machine_disk cd = {
		.path = path,
		.format = "raw",
		.readonly = true,
	};

	if (image_check_iso(path, error))
		return -1;
	return open_image(block, "cdrom", &cd, error);
}

int media_open_floppy(struct block **block, const char *path, bool readonly,
		      struct vmm_error *error)
{
	const struct machine_disk floppy = {
		.path = path,
		.format = "raw",
		.readonly = readonly,
	};
	uint64_t size;

	if (open_image(block, "floppy", &floppy, error))
		return -1;
	size = (*block)->size;
	if (board_floppy_type(size))
		return 0;
	block_close(*block);
	*block = NULL;
	return vmm_error_set(error, "floppy %s: no floppy disk has %llu bytes; "
			     "give an image of 160K, 180K, 320K, 360K, 720K, "
			     "1200K, 1440K or 2880K", path,
			     (unsigned long long)size);
}

static int open_floppies(struct media *media, struct vmm_error *error)
{
	for (unsigned int i = 0; i < media->config->floppy_count; i++) {
		const struct machine_disk *disk = &media->config->floppy[i];

		if (disk->path &&
		    media_open_floppy(&media->floppy[i], disk->path,
				      disk->readonly, error))
			return -1;
	}
	return 0;
}

static int open_disk(struct block **block, const struct machine_disk *disk,
		     struct vmm_error *error)
{
	if (!disk->path) /* an empty drive */
		return 0;
	if (disk->cd)
		return media_open_cd(block, disk->path, error);
	return media_open_disk(block, disk, error);
}

static int open_disks(struct media *media, struct vmm_error *error)
{
	for (unsigned int i = 0; i < media->config->disk_count; i++)
		if (open_disk(&media->disk[i], &media->config->disk[i], error))
			return -1;
	if (open_floppies(media, error))
		return -1;
	media->rom.firmware.boot_order = media->boot_order;
	media->rom.firmware.boot_order_size =
		boot_order_write(media->boot_order, media->config);
	return 0;
}

int media_open(struct media *media, const struct machine_config *config,
	       struct vmm_error *error)
{
	media->config = config;
	return open_images(media, error) ? -1 : open_disks(media, error);
}

void media_close(struct media *media)
{
	for (unsigned int i = 0; i < BOARD_DISKS_MAX; i++)
		block_close(media->disk[i]);
	for (unsigned int i = 0; i < BOARD_FLOPPIES_MAX; i++)
		block_close(media->floppy[i]);
	rom_close(&media->rom);
	image_close(&media->kernel);
	image_close(&media->initrd);
	modules_close(&media->modules);
}

void media_set_ram(struct media *media, struct host_ram *ram)
{
	media->ram = ram;
}

void media_forget(const struct media *media)
{
	image_forget(&media->kernel);
	image_forget(&media->initrd);
}

int media_check(const struct media *media, struct vmm_error *error)
{
	if (image_check(&media->kernel, error) ||
	    image_check(&media->initrd, error))
		return -1;
	return modules_check(&media->modules, error);
}
