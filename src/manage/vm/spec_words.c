/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/vm/spec_words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "image/store.h"
#include "net/address.h"
#include "vmm/nearest.h"

static int check_publish(const json_t *config, struct problem *problem)
{
	const json_t *list = json_object_get(config, "publish"), *item;
	struct net_publish publish;
	size_t i;

	json_array_foreach(list, i, item)
		if (!address_parse_publish(json_string_value(item), &publish))
			return problem_set(problem, 400, "bad-config",
					   "config.publish: %.80s: give "
					   "[HOST:]PORT:GUESTPORT[/udp], such "
					   "as 8080:80",
					   json_string_value(item));
	return 0;
}

static int check_display(const json_t *config, struct problem *problem)
{
	const char *text =
		json_string_value(json_object_get(config, "display"));

	if (!text || !strcmp(text, "none") || !strcmp(text, "std") ||
	    (!strncmp(text, "vnc=", 4) && text[4]))
		return 0;
	return problem_set(problem, 400, "bad-config", "config.display: "
			   "%.80s: give none, std or vnc=ADDRESS", text);
}

/* "network=lab": its mode is in front of the sign. */
static bool is_mode(const char *text)
{
	static const char *const modes[] = { "user", "tap", "bridge", "socket",
					     "vhost-user", "switch", "network",
					     "none" };
	size_t length = strcspn(text, "=");

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strlen(modes[i]) == length &&
		    !strncmp(modes[i], text, length))
			return true;
	return false;
}

static int check_networks(const json_t *config, struct problem *problem)
{
	const json_t *list = json_object_get(config, "networks"), *item, *mac;
	const char *mode;
	uint8_t address[NIC_MAC];
	size_t i;

	json_array_foreach(list, i, item) {
		mode = json_string_value(json_object_get(item, "mode"));
		if (!is_mode(mode))
			return problem_set(problem, 400, "bad-config",
					   "config.networks: %.80s: give user, "
					   "tap, bridge, socket, vhost-user, "
					   "switch, network or none", mode);
		mac = json_object_get(item, "mac");
		if (!mac || (json_is_string(mac) &&
			     address_parse_mac(json_string_value(mac),
					       address)))
			continue;
		return problem_set(problem, 400, "bad-config",
				   "config.networks: mac %.80s: give the "
				   "address of one card, such as "
				   "52:54:00:12:34:56",
				   json_is_string(mac) ?
					   json_string_value(mac) : "");
	}
	return 0;
}

static int refuse_image(struct store *store, const char *name,
			struct problem *problem)
{
	const char *names[256], *like = NULL;
	struct store_image *list = NULL;
	int count = store_list(store, &list, NULL), rc;
	size_t n = 0;

	for (int i = 0; i < count && n < 256; i++)
		names[n++] = list[i].record.name;
	if (n)
		like = nearest_word(name, names, n, sizeof(names[0]));
	rc = like ? problem_set(problem, 400, "bad-config", "config.image: "
				"there is no image %.80s; did you mean %s?",
				name, like) :
		    problem_set(problem, 400, "bad-config", "config.image: "
				"there is no image %.80s; lodge image list "
				"shows those that are, lodge image build "
				"debian makes one", name);
	free(list);
	return rc;
}

/* One that cannot be read now is found out at the start. */
static int check_image(const json_t *config, struct problem *problem)
{
	const char *name = json_string_value(json_object_get(config, "image"));
	struct store_image image;
	struct disk_error error;
	struct store store;
	int rc = 0;

	if (!name || store_open(&store, &error))
		return 0;
	if (store_find(&store, name, &image, &error) > 0)
		rc = refuse_image(&store, name, problem);
	store_close(&store);
	return rc;
}

int spec_check_words(const json_t *config, struct problem *problem)
{
	return check_publish(config, problem) ||
			       check_display(config, problem) ||
			       check_networks(config, problem) ||
			       check_image(config, problem) ?
		       -1 :
		       0;
}
