/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run/share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/option.h"

#define SECOND 1000000000u
#define RUN    "run: --share"
#define MOMENT 1u /* a tick of the guest's clock */

static int bad(const char *what, const char *value, const char *why)
{
	cli_error("%s %s: %s", what, value, why);
	return -1;
}

static int take_tag(struct machine_share *share, const char *what,
		    const char *value, const char *tag)
{
	if (!*tag || strlen(tag) > SHARE_TAG_MAX || strchr(tag, ':'))
		return bad(what, value, "a tag has 1 to 36 characters, and no "
			   ":");
	snprintf(share->tag, sizeof(share->tag), "%s", tag);
	return 0;
}

static int take_word(struct machine_share *share, const char *what,
		     const char *value, const char *word)
{
	if (!strcmp(word, "readonly"))
		share->readonly = true;
	else if (!strcmp(word, "cache=auto"))
		share->believe = SECOND;
	else if (!strcmp(word, "cache=none"))
		share->believe = 0;
	else if (!strncmp(word, "tag=", 4))
		return take_tag(share, what, value, word + 4);
	else
		return bad(what, value, "its options are readonly, cache=none, "
			   "cache=auto and tag=NAME");
	return 0;
}

static int check(const struct machine_share *share, const char *what,
		 const char *value)
{
	if (!*share->folder || !share->at)
		return bad(what, value, "give FOLDER:GUESTFOLDER[,readonly], "
			   "such as .:/src");
	if (share->at[0] != '/' || !share->at[1])
		return bad(what, value, "the guest's folder is a path from / "
			   "on, and not / itself");
	if (strlen(share->at) > SHARES_AT_MAX)
		return bad(what, value, "the guest's folder has 200 characters "
			   "at most");
	return 0;
}

/* Only the last ":/" is none of the folder's name. */
int share_parse(const char *what, const char *value,
		struct machine_share *share)
{
	char *folder = strdup(value), *colon = NULL, *word, *rest = NULL;
	int rc = 0;

	if (!folder)
		return bad(what, value, "out of memory");
	*share = (struct machine_share){
		.folder = folder,
		.believe = MOMENT,
	};
	for (char *at = folder; (at = strstr(at, ":/")); at++)
		colon = at;
	if (colon) {
		*colon = '\0';
		share->at = strtok_r(colon + 1, ",", &rest);
	}
	while (!rc && share->at && (word = strtok_r(NULL, ",", &rest)))
		rc = take_word(share, what, value, word);
	if (!rc)
		rc = check(share, what, value);
	if (rc)
		free(folder);
	return rc;
}

int share_take(struct cli_shares *shares, const char *value)
{
	struct machine_share *share = &shares->share[shares->count];
	const char *why = NULL;

	if (shares->count == BOARD_SHARES_MAX)
		return bad(RUN, value, "there are 8 already, which is all");
	if (share_parse(RUN, value, share))
		return -1;
	if (!*share->tag)
		snprintf(share->tag, sizeof(share->tag), "share%u",
			 shares->count);
	for (unsigned int i = 0; i < shares->count && !why; i++) {
		if (!strcmp(shares->share[i].at, share->at))
			why = "two have that place in the guest";
		else if (!strcmp(shares->share[i].tag, share->tag))
			why = "two have that tag";
	}
	if (why) {
		free((char *)share->folder);
		return bad(RUN, value, why);
	}
	shares->count++;
	return 0;
}

void share_free(struct cli_shares *shares)
{
	for (unsigned int i = 0; i < shares->count; i++)
		free((char *)shares->share[i].folder);
}
