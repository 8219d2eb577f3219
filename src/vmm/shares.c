/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/shares.h"

#include <stdio.h>

int shares_open(struct shares *shares, const struct machine_share *given,
		unsigned int count, unsigned int cpus, struct vmm_error *error)
{
	struct share_error why;

	shares->count = 0;
	for (unsigned int i = 0; i < count; i++) {
		const struct share_config config = {
			.folder = given[i].folder,
			.readonly = given[i].readonly,
			.believe = given[i].believe,
			.cpus = cpus,
		};

		shares->given[i] = given[i];
		if (share_open(&shares->share[i], &config, &why)) {
			shares_close(shares);
			return vmm_error_set(error, "%s", why.text);
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

json_t *shares_inspect(const struct shares *shares)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < shares->count; i++) {
		const struct machine_share *given = &shares->given[i];

		json_array_append_new(
			list,
			json_pack("{sssssssbsi}", "folder", given->folder,
				  "at", given->at, "tag", given->tag,
				  "readonly", (int)given->readonly, "server",
				  (int)share_server(shares->share[i])));
	}
	return list;
}

void shares_close(struct shares *shares)
{
	for (unsigned int i = 0; i < shares->count; i++)
		share_close(shares->share[i]);
	shares->count = 0;
}
