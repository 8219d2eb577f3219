/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a machine could not be started or run, as one line for the user: the
 * thing by its name, what is wrong with it, and where it helps the mend.
 */
#ifndef LODGE_VMM_ERROR_H
#define LODGE_VMM_ERROR_H

struct vmm_error {
	char text[400];
};

/* Fills `error`; gives -1, so that a caller can return it. */
int vmm_error_set(struct vmm_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
