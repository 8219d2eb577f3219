/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/shares.h"

#include <stdio.h>

int shares_open_one(struct share **share, const struct machine_share *given,
		    unsigned int cpus, struct vmm_error *error)
{
	const struct share_config config = {
		.folder = given->folder,
		.readonly = given->readonly,
		.believe = given->believe,
		.cpus = cpus,
	};
	struct share_error why;

	return share_open(share, &config, &why) ?
		       vmm_error_set(error, "%s", why.text) : 0;
}

int shares_open(struct shares *shares, const struct machine_share *given,
		unsigned int count, unsigned int cpus, struct vmm_error *error)
{
	shares->count = 0;
	for (unsigned int i = 0; i < count; i++) {
		shares->given[i] = given[i];
		if (shares_open_one(&shares->share[i], &given[i], cpus,
				    error)) {
			shares_close(shares);
			return -1;
		}
		snprintf(shares->word[i], sizeof(shares->word[i]),
			 "lodge.share=%s:%s:%s", given[i].readonly ? "ro" : "rw",
			 given[i].tag, given[i].at);
		shares->words[i] = shares->word[i];
		shares->count++;
	}
	return 0;
}

void shares_devices(const struct shares *shares, struct board_share *share)
{
	for (unsigned int i = 0; i < shares->count; i++)
		share[i] = (struct board_share){
			.share = shares->share[i],
			.tag = shares->given[i].tag,
		};
}

json_t *shares_json(const struct machine_share *given, struct share *share,
		    bool attached)
{
	return json_pack("{sssssssbsbsi}", "folder", given->folder, "at",
			 given->at, "tag", given->tag, "readonly",
			 (int)given->readonly, "attached", (int)attached,
			 "server", (int)share_server(share));
}

json_t *shares_inspect(const struct shares *shares)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < shares->count; i++)
		json_array_append_new(list, shares_json(&shares->given[i],
							shares->share[i],
							false));
	return list;
}

void shares_close(struct shares *shares)
{
	for (unsigned int i = 0; i < shares->count; i++)
		share_close(shares->share[i]);
	shares->count = 0;
}
