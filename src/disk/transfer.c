/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/transfer.h"

#include <errno.h>
#include <stddef.h>

_Static_assert(sizeof(struct span) == sizeof(struct iovec) &&
		       offsetof(struct span, size) ==
			       offsetof(struct iovec, iov_len),
	       "a span is an iovec");

int disk_iov(struct iovec *iov, struct disk_vec vec, uint64_t length)
{
	int count = 0;

	for (unsigned int i = 0; i < vec.spans && length; i++) {
		size_t size = vec.span[i].size;

		if (vec.skip >= size) {
			vec.skip -= size;
			continue;
		}
		size -= vec.skip;
		if (size > length)
			size = length;
		iov[count].iov_base = (char *)vec.span[i].data + vec.skip;
		iov[count].iov_len = size;
		vec.skip = 0;
		length -= size;
		if (++count == DISK_SPANS_AT_ONCE)
			break;
	}
	return count;
}

int disk_transfer(int fd, uint64_t offset, uint64_t length,
		  struct disk_vec vec, bool write)
{
	while (length) {
		struct iovec iov[DISK_SPANS_AT_ONCE];
		int count = disk_iov(iov, vec, length);
		ssize_t n = write ? pwritev(fd, iov, count, (off_t)offset)
				  : preadv(fd, iov, count, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO; /* the file has shrunk */
		offset += (uint64_t)n;
		length -= (uint64_t)n;
		vec = disk_vec_from(vec, (size_t)n);
	}
	return 0;
}
