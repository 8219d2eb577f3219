/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/boot/modules.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_one(struct modules *modules, const char *text,
		    struct vmm_error *error)
{
	struct module *module = &modules->module[modules->count];
	size_t length = access(text, F_OK) ? strcspn(text, " ") : strlen(text);

	module->path = strndup(text, length);
	if (!module->path)
		return vmm_error_set(error, "out of memory");
	/* From here on modules_close() knows it. */
	modules->boot[modules->count++].name = text;
	return image_open(&module->image, "module", module->path, error);
}

int modules_open(struct modules *modules, const char *const *text,
		 unsigned int count, struct vmm_error *error)
{
	*modules = (struct modules){ 0 };
	if (!count)
		return 0;
	modules->module = calloc(count, sizeof(*modules->module));
	modules->boot = calloc(count, sizeof(*modules->boot));
	if (!modules->module || !modules->boot)
		return vmm_error_set(error, "out of memory");
	for (unsigned int i = 0; i < count; i++) {
		if (open_one(modules, text[i], error))
			return -1;
		modules->boot[i].data = modules->module[i].image.data;
		modules->boot[i].size = modules->module[i].image.size;
	}
	return 0;
}

void modules_close(struct modules *modules)
{
	for (unsigned int i = 0; i < modules->count; i++) {
		image_close(&modules->module[i].image);
		free(modules->module[i].path);
	}
	free(modules->module);
	free(modules->boot);
	*modules = (struct modules){ 0 };
}

int modules_check(const struct modules *modules, struct vmm_error *error)
{
	for (unsigned int i = 0; i < modules->count; i++)
		if (image_check(&modules->module[i].image, error))
			return -1;
	return 0;
}
