/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/api/problem.h"

#include <stdarg.h>
#include <stdio.h>

int problem_set(struct problem *problem, int status, const char *code,
		const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(problem->text, sizeof(problem->text), format, args);
	va_end(args);
	problem->status = status;
	problem->code = code;
	return -1;
}
