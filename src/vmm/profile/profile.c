/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A profile from its wish to its file; see profile.h.
 */
#include "vmm/profile/profile.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/profile/sum.h"

static int load_symbols(struct profile *profile, const char *kernel,
			struct vmm_error *error)
{
	struct vmm_error unused;
	const char *path = profile->config->symbols;

	/* A kernel without names is no error unless they were asked for. */
	profile->symbols = path ? symbols_load(path, error) :
				  symbols_load(kernel, &unused);
	return path && !profile->symbols ? -1 : 0;
}

int profile_open(struct profile *profile, const struct profile_config *config,
		 const struct engine *engine, const char *kernel,
		 struct vmm_error *error)
{
	profile->config = config;
	if (!config->path && !config->perf_map)
		return 0;
	if (!engine->profile)
		return vmm_error_set(error, "engine %s has no profile; choose "
				     "one that has by --engine soft",
				     engine->name);
	if (config->path &&
	    outfile_open(&profile->file, "profile", config->path, error))
		return -1;
	if (load_symbols(profile, kernel, error))
		return -1;
	profile->engine = engine;
	return 0;
}

int profile_start(struct profile *profile, struct vm *vm,
		  struct vmm_error *error)
{
	int rc = 0;

	profile->vm = vm;
	if (!profile->engine)
		return 0;
	for (unsigned int i = 0; i < vm->cpu_count && !rc; i++)
		rc = profile->engine->profile->start(vm->cpu[i]);
	return rc ? vmm_error_set(error, "no memory for a profile: %s",
				  strerror(-rc)) : 0;
}

void profile_enter(const struct profile *profile, struct sampler *sampler,
		   struct x86_cpu *cpu)
{
	int rc;

	if (!profile->engine || !profile->config->path)
		return;
	rc = sampler_start(sampler, PROFILE_HZ, profile->engine->profile->sample,
			   cpu);
	if (rc)
		host_log(HOST_LOG_WARN, "profile: no samples of processor %u: "
			 "%s", cpu->id, strerror(-rc));
}

void profile_leave(const struct profile *profile, struct sampler *sampler)
{
	if (profile->engine && profile->config->path)
		sampler_stop(sampler);
}

static bool is_json(const char *path)
{
	size_t length = strlen(path);

	return length > 5 && !strcmp(path + length - 5, ".json");
}

static int write_profile(struct profile *profile,
			 struct vmm_error *error)
{
	const char *path = profile->config->path;
	struct profile_sum sum;
	char *text = NULL;
	int rc;

	if (!profile_sum_up(profile, &sum))
		text = is_json(path) ? profile_json(profile, &sum) :
				       profile_text(profile, &sum);
	profile_sum_free(&sum);
	if (!text)
		return vmm_error_set(error, "profile %s: out of memory", path);
	rc = outfile_write(&profile->file, text, strlen(text), error);
	free(text);
	return rc;
}

int profile_write(struct profile *profile, struct vmm_error *error)
{
	int rc = 0;

	if (!profile->engine)
		return 0;
	if (profile->config->perf_map)
		rc = perfmap_write(profile, error);
	if (profile->config->path && write_profile(profile, error))
		rc = -1;
	return rc;
}

void profile_close(struct profile *profile)
{
	outfile_close(&profile->file);
	symbols_free(profile->symbols);
	profile->symbols = NULL;
}
