/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/rbd/address.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Cuts the next word off *at, in place, without the backslashes: up to one of
 * `ends`, which is *end then; 0: the text has ended.
 */
static const char *next_word(char **at, const char *ends, char *end)
{
	char *word = *at, *from = word, *to = word;

	while (*from && !strchr(ends, *from)) {
		if (*from == '\\' && from[1])
			from++;
		*to++ = *from++;
	}
	*end = *from;
	*at = *from ? from + 1 : from;
	*to = '\0';
	return word;
}

static int bad(struct disk_error *error)
{
	return disk_error_set(error, -EINVAL, "is no address of an RBD image: "
			      "write rbd:POOL/IMAGE[@SNAPSHOT][:id=USER]"
			      "[:conf=FILE]");
}

static int parse_image(struct rbd_address *address, char **at, char *end,
		       struct disk_error *error)
{
	address->pool = next_word(at, "/", end);
	if (*end != '/' || !*address->pool)
		return bad(error);
	address->image = next_word(at, "/@:", end);
	if (*end == '/') {
		address->space = address->image;
		address->image = next_word(at, "@:", end);
	}
	if (*end == '@') {
		address->snapshot = next_word(at, ":", end);
		if (!*address->snapshot)
			return bad(error);
	}
	return *address->image ? 0 : bad(error);
}

static int parse_option(struct rbd_address *address, char **at, char *end,
			struct disk_error *error)
{
	const char *name = next_word(at, "=:", end), *value;

	if (*end != '=' || !*name)
		return disk_error_set(error, -EINVAL, "option \"%s\" has no "
				      "value; write :%s=VALUE", name, name);
	value = next_word(at, ":", end);
	if (!strcmp(name, "key"))
		return disk_error_set(error, -EINVAL, "others see a key that is "
				      "in a command; give :keyfile=FILE or "
				      ":keyring=FILE");
	if (address->options == RBD_OPTIONS_MAX)
		return disk_error_set(error, -EINVAL, "more than %d options",
				      RBD_OPTIONS_MAX);
	address->option[address->options].name = name;
	address->option[address->options++].value = value;
	return 0;
}

int rbd_address_parse(struct rbd_address *address, const char *path,
		      struct disk_error *error)
{
	char *at, end;
	int result;

	*address = (struct rbd_address){ .text = strdup(path) };
	if (!address->text)
		return disk_error_set(error, -ENOMEM, "out of memory");
	at = address->text + strlen("rbd:");
	result = parse_image(address, &at, &end, error);
	while (!result && end == ':')
		result = parse_option(address, &at, &end, error);
	return result;
}

void rbd_address_free(struct rbd_address *address)
{
	free(address->text);
}

const char *rbd_address_option(const struct rbd_address *address,
			       const char *name)
{
	for (unsigned int i = address->options; i--;)
		if (!strcmp(address->option[i].name, name))
			return address->option[i].value;
	return NULL;
}
