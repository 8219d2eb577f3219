/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engines that this program has, and the choice between them.
 */
#include "engine/engine.h"

#include <stdio.h>
#include <string.h>

const struct engine *const engines[] = {
	&engine_kvm,
	&engine_soft,
	NULL,
};

static const struct engine *engine_named(const char *name)
{
	for (unsigned int i = 0; engines[i]; i++)
		if (!strcmp(engines[i]->name, name))
			return engines[i];
	return NULL;
}

/* The first that the host can run; `why` collects what is wrong with those
 * before it. */
static const struct engine *engine_auto(char *why, size_t size)
{
	char reason[160];

	why[0] = '\0';
	for (unsigned int i = 0; engines[i]; i++) {
		if (!engines[i]->probe(reason, sizeof(reason))) {
			if (!why[0])
				snprintf(why, size,
					 "%s is the best this host offers",
					 engines[i]->name);
			return engines[i];
		}
		snprintf(why, size, "%s: %s", engines[i]->name, reason);
	}
	return NULL;
}

const struct engine *engine_choose(const char *name, char *why, size_t size)
{
	const struct engine *engine;

	if (!strcmp(name, "auto"))
		return engine_auto(why, size);
	engine = engine_named(name);
	if (!engine) {
		snprintf(why, size,
			 "no engine '%s'; there are auto, kvm and soft", name);
		return NULL;
	}
	switch (engine->probe(why, size)) {
	case 0:
		snprintf(why, size, "asked for");
		return engine;
	case 1: /* badly, as `why` tells; but the user insists */
		return engine;
	default:
		return NULL;
	}
}
