/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firmware files; see rom.h. A machine's variables are mapped shared from
 * their file: what the guest has written is in it whenever this process
 * ends.
 */
#include "vmm/boot/rom.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define IMAGE_MIN 0x10000u
#define IMAGE_MAX 0x1000000u
#define PAGE	  4096u
#define VGA_MAX	  0x10000u

#define RESET_VECTOR 16u /* bytes at the end of an image */

/* PI specification, volume 3: a firmware volume's signature, and its place. */
#define VOLUME_MARK "_FVH"
#define VOLUME_AT   0x28u

/* Debian, Ubuntu; Fedora; Arch. The first that is there is taken. */
static const char *const bios_paths[] = {
	"/usr/share/seabios/bios-256k.bin",
	"/usr/share/seabios/bios.bin",
};

static const char vga_path[] = "/usr/share/seabios/vgabios-stdvga.bin";

static const struct {
	const char *code, *vars;
} uefi_paths[] = {
	{ "/usr/share/OVMF/OVMF_CODE_4M.fd",
	  "/usr/share/OVMF/OVMF_VARS_4M.fd" },
	{ "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd" },
	{ "/usr/share/edk2/ovmf/OVMF_CODE.fd",
	  "/usr/share/edk2/ovmf/OVMF_VARS.fd" },
	{ "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
	  "/usr/share/edk2/x64/OVMF_VARS.4m.fd" },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_there(const char *path)
{
	return !access(path, F_OK);
}

/* False: the end of the image, where the reset vector is, is blank. */
static bool has_code(const struct image *image)
{
	const uint8_t *vector = image->data + image->size - RESET_VECTOR;

	return memcmp(vector, vector + 1, RESET_VECTOR - 1) ||
	       (vector[0] && vector[0] != 0xff);
}

static int open_image(struct rom_files *rom, const char *path,
		      struct vmm_error *error)
{
	if (image_open(&rom->image, "firmware", path, error))
		return -1;
	if (rom->image.size < IMAGE_MIN || rom->image.size > IMAGE_MAX ||
	    rom->image.size % PAGE)
		return vmm_error_set(error,
				     "firmware %s: %llu bytes are no firmware "
				     "image; it has 64 KiB to 16 MiB in whole "
				     "pages", path,
				     (unsigned long long)rom->image.size);
	if (!has_code(&rom->image))
		return vmm_error_set(error,
				     "firmware %s: has no code where a "
				     "processor starts; give an image for PCs, "
				     "such as %s", path, bios_paths[0]);
	return 0;
}

/* Of the same package; without it a BIOS writes to the serial port alone. */
static int open_vga(struct rom_files *rom, struct vmm_error *error)
{
	if (!is_there(vga_path))
		return 0;
	if (image_open(&rom->vga, "VGA BIOS", vga_path, error))
		return -1;
	if (rom->vga.size > VGA_MAX)
		return vmm_error_set(error, "VGA BIOS %s: %llu bytes are too "
					    "many", vga_path,
				     (unsigned long long)rom->vga.size);
	return 0;
}

static int open_bios(struct rom_files *rom, struct vmm_error *error)
{
	if (open_vga(rom, error))
		return -1;
	for (unsigned int i = 0; i < COUNT(bios_paths); i++)
		if (is_there(bios_paths[i]))
			return open_image(rom, bios_paths[i], error);
	return vmm_error_set(error, "firmware bios: none in %s; install the "
				    "package seabios", bios_paths[0]);
}

/* --- variables -------------------------------------------------------------- */

static int map_private(struct rom_files *rom, struct vmm_error *error)
{
	void *map = mmap(NULL, rom->template.size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE, rom->template.fd, 0);

	if (map == MAP_FAILED)
		return vmm_error_set(error, "%s: cannot map: %s",
				     rom->template.path, strerror(errno));
	rom->vars = map;
	rom->vars_size = (uint32_t)rom->template.size;
	return 0;
}

/* A new file is the template's copy; it appears whole or not at all. */
static int make_vars(const struct rom_files *rom, const char *path,
		     struct vmm_error *error)
{
	char part[4096];
	ssize_t n = -1;
	int fd;

	if ((size_t)snprintf(part, sizeof(part), "%s.part", path) >=
	    sizeof(part))
		return vmm_error_set(error, "UEFI variables %s: the name is "
					    "too long", path);
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0) {
		n = write(fd, rom->template.data, rom->template.size);
		if (fsync(fd) || close(fd) ||
		    n != (ssize_t)rom->template.size)
			n = -1;
	}
	if (n < 0 || (link(part, path) && errno != EEXIST)) {
		vmm_error_set(error, "UEFI variables %s: cannot make it: %s",
			      path, strerror(errno));
		unlink(part);
		return -1;
	}
	unlink(part);
	return 0;
}

/*
 * Firmware that was killed while it tidied up has its volume in a spare block
 * alone, and mends that.
 */
static bool has_volume(const uint8_t *vars, uint32_t size)
{
	for (uint32_t at = 0; at < size; at += PAGE)
		if (!memcmp(vars + at + VOLUME_AT, VOLUME_MARK,
			    sizeof(VOLUME_MARK) - 1))
			return true;
	return false;
}

static int map_file(struct rom_files *rom, const char *path,
		    struct vmm_error *error)
{
	struct stat status;
	void *map;

	if (!is_there(path) && make_vars(rom, path, error))
		return -1;
	rom->vars_fd = open(path, O_RDWR | O_CLOEXEC);
	if (rom->vars_fd < 0 || fstat(rom->vars_fd, &status))
		return vmm_error_set(error, "UEFI variables %s: %s", path,
				     strerror(errno));
	if ((uint64_t)status.st_size != rom->template.size)
		return vmm_error_set(error,
				     "UEFI variables %s: %llu bytes, this "
				     "firmware keeps %llu; move the file away "
				     "to start afresh", path,
				     (unsigned long long)status.st_size,
				     (unsigned long long)rom->template.size);
	if (flock(rom->vars_fd, LOCK_EX | LOCK_NB))
		return vmm_error_set(error, "UEFI variables %s: another "
					    "machine uses them", path);
	map = mmap(NULL, rom->template.size, PROT_READ | PROT_WRITE,
		   MAP_SHARED, rom->vars_fd, 0);
	if (map == MAP_FAILED)
		return vmm_error_set(error, "UEFI variables %s: cannot map: "
					    "%s", path, strerror(errno));
	rom->vars = map;
	rom->vars_size = (uint32_t)rom->template.size;
	if (has_volume(rom->vars, rom->vars_size))
		return 0;
	return vmm_error_set(error, "UEFI variables %s: there are none in it; "
			     "move the file away to start afresh", path);
}

static int open_uefi(struct rom_files *rom, const struct rom_config *config,
		     struct vmm_error *error)
{
	unsigned int i = 0;

	while (i < COUNT(uefi_paths) && !(is_there(uefi_paths[i].code) &&
					  is_there(uefi_paths[i].vars)))
		i++;
	if (i == COUNT(uefi_paths))
		return vmm_error_set(error, "firmware uefi: none in %s; "
					    "install the package ovmf",
				     uefi_paths[0].code);
	if (open_image(rom, uefi_paths[i].code, error) ||
	    image_open(&rom->template, "UEFI variables", uefi_paths[i].vars,
		       error))
		return -1;
	if (rom->template.size % PAGE || rom->template.size > IMAGE_MAX)
		return vmm_error_set(error, "UEFI variables %s: not whole "
					    "pages", uefi_paths[i].vars);
	return config->vars ? map_file(rom, config->vars, error) :
			      map_private(rom, error);
}

int rom_open(struct rom_files *rom, const struct rom_config *config,
	     struct vmm_error *error)
{
	int rc = 0;

	*rom = (struct rom_files){ .vars_fd = -1 };
	if (config->kind == ROM_BIOS)
		rc = open_bios(rom, error);
	else if (config->kind == ROM_UEFI)
		rc = open_uefi(rom, config, error);
	else if (config->kind == ROM_FILE)
		rc = open_image(rom, config->path, error);
	rom->firmware = (struct board_firmware){
		.image = rom->image.data,
		.size = rom->image.size,
		.vars = rom->vars,
		.vars_size = rom->vars_size,
		.boot_menu = config->boot_menu,
		.serial_console = config->serial_console,
	};
	return rc;
}

void rom_close(struct rom_files *rom)
{
	if (rom->vars)
		munmap(rom->vars, rom->vars_size);
	if (rom->vars_fd > 0)
		close(rom->vars_fd);
	image_close(&rom->image);
	image_close(&rom->vga);
	image_close(&rom->template);
	rom->vars = NULL;
	rom->vars_fd = -1;
}
