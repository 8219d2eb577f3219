/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/error.h"

#include <stdarg.h>
#include <stdio.h>

int disk_error_set(struct disk_error *error, int code, const char *format, ...)
{
	va_list args;

	if (!error)
		return code;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return code;
}
