/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of an error on its way to the user.
 */
#include "vmm/error.h"

#include <stdarg.h>
#include <stdio.h>

int vmm_error_set(struct vmm_error *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return -1;
}
