/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /tmp/perf-PID.map, by which perf(1) names code that was made at run time
 * (Linux, tools/perf/Documentation/jit-interface.txt): a line "START SIZE
 * name" for each piece, numbers in hexadecimal.
 */
#include "vmm/profile/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void put_code(const struct profile *profile, FILE *file,
		     const struct profile_code *code)
{
	uint64_t offset = 0;
	const char *name = symbols_find(profile->symbols, code->linear,
					&offset);

	fprintf(file, "%" PRIx64 " %" PRIx32 " ", code->exec, code->size);
	if (name)
		fprintf(file, "guest:%s+0x%" PRIx64 "\n", name, offset);
	else
		fprintf(file, "guest:0x%" PRIx64 "\n", code->linear);
}

int perfmap_write(const struct profile *profile, struct vmm_error *error)
{
	char path[64];
	FILE *file;
	int fd, rc;

	snprintf(path, sizeof(path), "/tmp/perf-%ld.map", (long)getpid());
	/* Whoever had this process number before may have left one. */
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!file) {
		rc = errno;
		if (fd >= 0)
			close(fd);
		return vmm_error_set(error, "perf map %s: %s", path,
				     strerror(rc));
	}
	for (unsigned int i = 0; i < profile->vm->cpu_count; i++) {
		const struct engine_profile *one =
			profile->engine->profile->get(profile->vm->cpu[i]);

		for (unsigned int j = 0; j < one->codes; j++)
			if (one->code[j].size)
				put_code(profile, file, &one->code[j]);
	}
	if (fclose(file))
		return vmm_error_set(error, "perf map %s: %s", path,
				     strerror(errno));
	return 0;
}
