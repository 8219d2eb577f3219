/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API's images: those of lodge image, of the same user. What takes long is
 * done by that program; see task.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/store.h"
#include "manage/api/impl.h"
#include "manage/registry/uses.h"

#define ARGS_MAX 16
#define PAGE	 100
#define PAGE_MAX 1000

/* --- those that there are ----------------------------------------------------------- */

static json_t *image_json(const struct store_image *image)
{
	const struct image_record *record = &image->record;

	if (image->damaged)
		return json_pack("{ss sb}", "name", record->name, "damaged",
				 1);
	return json_pack("{ss sb ss ss sI ss ss sI}", "name", record->name,
			 "damaged", 0, "system", record->system, "format",
			 record->format, "size", (json_int_t)record->size,
			 "firmware", record->firmware, "source",
			 record->source, "created",
			 (json_int_t)record->created);
}

static void list_images(struct api_call *call)
{
	const char *after = api_arg(call, "after");
	struct store_image *image = NULL;
	json_t *list, *answer;
	struct problem problem;
	struct disk_error error;
	struct store store;
	int count;
	long limit;

	if (api_number(call, "limit", 1, PAGE_MAX, PAGE, &limit, &problem)) {
		api_refuse(call, &problem);
		return;
	}
	if (store_open(&store, &error)) {
		problem_set(&problem, 500, "images", "%s", error.text);
		api_refuse(call, &problem);
		return;
	}
	count = store_list(&store, &image, &error);
	store_close(&store);
	list = json_array();
	answer = json_pack("{so}", "images", list);
	for (int i = 0; i < count; i++) {
		if (after && strcmp(image[i].record.name, after) <= 0)
			continue;
		if (json_array_size(list) == (size_t)limit) {
			json_object_set_new(answer, "next", json_string(after));
			break;
		}
		after = image[i].record.name;
		json_array_append_new(list, image_json(&image[i]));
	}
	free(image);
	api_answer(call, 200, answer);
}

/* --- making one --------------------------------------------------------------------- */

struct words {
	const char *arg[ARGS_MAX];
	unsigned int count;
};

static void add(struct words *words, const char *word)
{
	if (words->count + 1 < ARGS_MAX)
		words->arg[words->count++] = word;
}

static const struct {
	const char *member, *option;
	bool flag, pulls, imports;
} settings[] = {
	{ "name", "--name", false, true, true },
	{ "checksum", "--checksum", false, true, false },
	{ "format", "--format", false, true, true },
	{ "unchecked", "--unchecked", true, true, false },
	{ "uefi", "--uefi", true, true, true },
	{ "replace", "--replace", true, true, true },
};

static int take_settings(const json_t *body, bool pulls, struct words *words,
			 struct problem *problem)
{
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		const json_t *value = json_object_get(body,
						      settings[i].member);
		const char *text = json_string_value(value);

		if (!value)
			continue;
		if (!(pulls ? settings[i].pulls : settings[i].imports))
			return problem_set(problem, 400, "bad-member", "%s: is "
					   "of images that servers have alone",
					   settings[i].member);
		if (settings[i].flag ? !json_is_boolean(value) :
				       !text || !*text || *text == '-' ||
					       strlen(text) !=
						       json_string_length(value))
			return problem_set(problem, 400, "bad-member",
					   "%s: give %s", settings[i].member,
					   settings[i].flag ? "true or false" :
							      "a text");
		if (settings[i].flag && !json_is_true(value))
			continue;
		add(words, settings[i].option);
		if (!settings[i].flag)
			add(words, text);
	}
	return 0;
}

static int take_words(const json_t *body, struct words *words,
		      struct problem *problem)
{
	const json_t *source = json_object_get(body, "source");
	const json_t *file = json_object_get(body, "file");
	const char *text = json_string_value(source ? source : file);

	if (!source == !file || !text || !*text || *text == '-' ||
	    strlen(text) != json_string_length(source ? source : file))
		return problem_set(problem, 400, "bad-member", "give either "
				   "source, a name of the catalogue or an "
				   "address, or file, a path");
	if (file && *text != '/')
		return problem_set(problem, 400, "bad-member",
				   "file: give an absolute path");
	add(words, "lodge");
	add(words, "image");
	add(words, source ? "pull" : "import");
	add(words, text);
	return take_settings(body, source != NULL, words, problem);
}

static void make_image(struct api_call *call)
{
	static const char *const members[] = { "source",   "file",
					       "name",	   "checksum",
					       "format",   "unchecked",
					       "uefi",	   "replace",
					       NULL };
	struct problem problem;
	json_t *body = api_body(call, members, &problem);
	struct words words = { .count = 0 };
	struct job *job = NULL;
	const char *name;

	if (body && !take_words(body, &words, &problem)) {
		name = json_string_value(json_object_get(body, "name"));
		job = task_begin(&call->api->tasks, words.arg[2],
				 name ? name : words.arg[3], words.arg,
				 &problem);
	}
	json_decref(body);
	api_answer_job(call, job, &problem);
}

/* By kept machines, also such as were never started. */
static int check_uses(struct api_call *call, const char *name,
		      struct problem *problem)
{
	json_t *list = uses_list(
		registry_uses(call->api->manager->registry), USES_IMAGES,
		name), *use;
	char names[240] = "";
	size_t i, used = 0;

	json_array_foreach(list, i, use)
		if (used + REGISTRY_NAME_MAX + 8 < sizeof(names))
			used += (size_t)snprintf(
				names + used, sizeof(names) - used, "%s%s",
				used ? ", " : "",
				json_string_value(
					json_object_get(use, "vm_name")));
	if (used && used + REGISTRY_NAME_MAX + 8 >= sizeof(names))
		snprintf(names + used, sizeof(names) - used, " ...");
	json_decref(list);
	return used ? problem_set(problem, 409, "in-use", "image %.64s is used "
				  "by machines that are kept: %s; lodge rm or "
				  "lodge edit them first", name, names) : 0;
}

static void remove_image(struct api_call *call)
{
	const char *const words[] = { "lodge", "image", "remove",
				      call->part[2], NULL };
	struct problem problem;
	struct disk_error error;
	struct store_image image;
	struct job *job = NULL;
	struct store store;

	if (!image_name_valid(call->part[2]) || store_open(&store, &error)) {
		problem_set(&problem, 404, "no-such-image", "there is no image "
			    "%.80s; lodge image list shows them",
			    call->part[2]);
		api_refuse(call, &problem);
		return;
	}
	if (store_find(&store, call->part[2], &image, &error) > 0)
		problem_set(&problem, 404, "no-such-image", "%s", error.text);
	else if (!check_uses(call, call->part[2], &problem))
		job = task_begin(&call->api->tasks, "remove", call->part[2],
				 words, &problem);
	store_close(&store);
	api_answer_job(call, job, &problem);
}

const struct api_route api_image_routes[] = {
	{ "GET", "/v1/images", ROLE_VIEWER, list_images },
	{ "POST", "/v1/images", ROLE_ADMIN, make_image },
	{ "DELETE", "/v1/images/{image}", ROLE_ADMIN, remove_image },
	{ 0 },
};
