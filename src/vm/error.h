/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Error values of the freestanding rooms: the negative of these, the same
 * numbers as Linux's errno so that a hosted caller can print them.
 */
#ifndef LODGE_VM_ERROR_H
#define LODGE_VM_ERROR_H

enum vm_error {
	VM_ENOENT = 2,
	VM_EIO = 5,
	VM_E2BIG = 7,
	VM_EAGAIN = 11,
	VM_ENOMEM = 12,
	VM_EFAULT = 14,
	VM_EBUSY = 16,
	VM_EEXIST = 17,
	VM_EINVAL = 22,
	VM_ENOSPC = 28,
	VM_ERANGE = 34,
	VM_EBADMSG = 74,
	VM_EOVERFLOW = 75,
	VM_ENOTSUP = 95,
};

#endif
