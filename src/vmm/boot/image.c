/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mapped boot files.
 */
#include "vmm/boot/image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The file's status, when it is something that can be mapped. */
static int image_stat(int fd, const char *what, const char *path,
		      struct stat *status, struct vmm_error *error)
{
	if (fstat(fd, status))
		return vmm_error_set(error, "%s %s: %s", what, path,
				     strerror(errno));
	if (S_ISDIR(status->st_mode))
		return vmm_error_set(error,
				     "%s %s: is a directory; name the file in "
				     "it", what, path);
	if (!S_ISREG(status->st_mode))
		return vmm_error_set(error,
				     "%s %s: is no regular file; copy it to "
				     "one first", what, path);
	if (!status->st_size)
		return vmm_error_set(error,
				     "%s %s: is empty; make or copy it again",
				     what, path);
	return 0;
}

int image_open(struct image *image, const char *what, const char *path,
	       struct vmm_error *error)
{
	struct stat status;
	void *data;
	/* O_NONBLOCK: a FIFO is refused below instead of waited for. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	*image = (struct image){ 0 };
	if (fd < 0 && errno == ENOENT)
		return vmm_error_set(error,
				     "%s %s: no such file; check the path",
				     what, path);
	if (fd < 0)
		return vmm_error_set(error, "%s %s: %s", what, path,
				     strerror(errno));
	if (image_stat(fd, what, path, &status, error)) {
		close(fd);
		return -1;
	}
	data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd,
		    0);
	if (data == MAP_FAILED) {
		vmm_error_set(error, "%s %s: %s", what, path, strerror(errno));
		close(fd);
		return -1;
	}
	*image = (struct image){
		.path = path,
		.data = data,
		.size = (uint64_t)status.st_size,
		.fd = fd,
	};
	return 0;
}

bool image_map(const struct image *image, void *to, const void *from,
	       uint64_t size)
{
	uint64_t offset = (uintptr_t)from - (uintptr_t)image->data;

	if (!image->data || offset >= image->size ||
	    size > image->size - offset)
		return false;
	return mmap(to, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, image->fd,
		    (off_t)offset) != MAP_FAILED;
}

void image_forget(const struct image *image)
{
	if (image->data)
		madvise((void *)(uintptr_t)image->data, image->size,
			MADV_DONTNEED);
}

void image_close(struct image *image)
{
	if (!image->data)
		return;
	munmap((void *)(uintptr_t)image->data, image->size);
	close(image->fd);
	*image = (struct image){ 0 };
}

int image_check(const struct image *image, struct vmm_error *error)
{
	struct stat status;

	if (!image->data)
		return 0;
	if (fstat(image->fd, &status) ||
	    (uint64_t)status.st_size != image->size)
		return vmm_error_set(error,
				     "%s: changed its size while the guest "
				     "ran; start the guest again",
				     image->path);
	return 0;
}

#define ISO_VOLUME 0x8001 /* the name of the first volume descriptor */

int image_check_iso(const char *path, struct vmm_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char name[5] = "";
	struct stat status;
	bool iso;

	if (fd < 0)
		return 0;
	iso = fstat(fd, &status) || S_ISDIR(status.st_mode) ||
	      (pread(fd, name, sizeof(name), ISO_VOLUME) == sizeof(name) &&
	       !memcmp(name, "CD001", sizeof(name)));
	close(fd);
	if (iso)
		return 0;
	return vmm_error_set(error, "cdrom %s: no ISO 9660 image; give a .iso "
				    "file, or use --disk for other images",
			     path);
}
