/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/figures.h"

#include <stdlib.h>
#include <string.h>

#include "manage/vm/link.h"
#include "manage/vm/vm.h"

struct figure {
	struct figures *all;
	char run[PROCESS_RUN_MAX + 1];
	struct link *link; /* NULL: it has answered, or does not */
	json_t *told;	   /* NULL: nothing */
};

struct figures {
	void (*done)(void *ctx);
	void *ctx;
	size_t waiting, count;
	struct figure figure[];
};

static void answered(void *ctx, const json_t *result, const char *wrong)
{
	struct figure *figure = ctx;
	struct figures *all = figure->all;

	figure->told = json_deep_copy(result);
	link_close(figure->link);
	figure->link = NULL;
	if (!--all->waiting)
		all->done(all->ctx);
}

static void broken(void *ctx)
{
	answered(ctx, NULL, NULL);
}

static void ask(struct figures *all, const struct vm *vm)
{
	struct figure *figure = &all->figure[all->count];

	/* A process of that name that is not known to be the machine's. */
	if (vm->process.pidfd < 0 || !vm->checked)
		return;
	figure->all = all;
	memcpy(figure->run, vm->row.run, sizeof(figure->run));
	figure->link = link_open(vm->manager->loop, vm->row.name, broken,
				 figure);
	if (!figure->link)
		return;
	all->count++;
	all->waiting++;
	link_ask(figure->link,
		 json_pack("{siss}", "id", 1, "command", "figures"), answered,
		 figure);
}

struct figures *figures_ask(struct manager *manager, const struct vm *vm,
			    void (*done)(void *ctx), void *ctx)
{
	size_t count = vm ? 1 : manager->count;
	struct figures *all = calloc(1, sizeof(*all) +
						count * sizeof(*all->figure));

	if (!all)
		return NULL;
	all->done = done;
	all->ctx = ctx;
	for (size_t i = 0; i < count; i++)
		ask(all, vm ? vm : manager->vm[i]);
	return all;
}

bool figures_wait(const struct figures *figures)
{
	return figures->waiting;
}

const json_t *figures_of(const struct figures *figures, const struct vm *vm)
{
	for (size_t i = 0; i < figures->count; i++)
		if (!strcmp(figures->figure[i].run, vm->row.run))
			return figures->figure[i].told;
	return NULL;
}

void figures_free(struct figures *figures)
{
	for (size_t i = 0; figures && i < figures->count; i++) {
		link_close(figures->figure[i].link);
		json_decref(figures->figure[i].told);
	}
	free(figures);
}
