/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words and host keys in what a guest printed; see ssh_look.h.
 */
#include "cli/guest/ssh_look.h"

#include <stdio.h>
#include <string.h>

void ssh_look_add(struct ssh_look *look, const uint8_t *data, size_t size)
{
	size_t room = SSH_LOOK_OUTPUT - look->size;

	if (size > room)
		size = room;
	memcpy(look->output + look->size, data, size);
	look->size += size;
	look->output[look->size] = '\0';
}

/* "TYPE BASE64 ..." of letters that these have. */
static bool keep_key(struct ssh_look *look, const char *line)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	char accepted[80];
	size_t type, base;

	snprintf(accepted, sizeof(accepted), "%s-@.", letters);
	type = strspn(line, accepted);
	if (!type || line[type] != ' ' || look->keys == SSH_LOOK_KEYS ||
	    (strncmp(line, "ssh-", 4) && strncmp(line, "ecdsa-", 6)))
		return false;
	snprintf(accepted, sizeof(accepted), "%s+/=", letters);
	base = strspn(line + type + 1, accepted);
	if (!base || type + base + 2 > sizeof(look->key[0]))
		return false;
	snprintf(look->key[look->keys++], sizeof(look->key[0]), "%.*s",
		 (int)(type + 1 + base), line);
	return true;
}

void ssh_look_read(struct ssh_look *look)
{
	char *rest, *line;

	for (line = strtok_r(look->output, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		if (!strcmp(line, "installed"))
			look->installed = true;
		else if (!strcmp(line, "listens"))
			look->listens = true;
		else if (!strcmp(line, "boots"))
			look->boots = true;
		else
			keep_key(look, line);
	}
}
