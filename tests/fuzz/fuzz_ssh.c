/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what a guest may print when lodge ssh looks at it: of host keys nothing
 * may be kept that is more than one entry of a known_hosts file.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/guest/ssh_look.h"
#include "fuzz_device.h"

static void check_key(const char *key)
{
	const char *space = strchr(key, ' ');

	if (!space || (strncmp(key, "ssh-", 4) && strncmp(key, "ecdsa-", 6)) ||
	    !space[1] || strchr(space + 1, ' '))
		abort();
	for (; *key; key++)
		if (*key < ' ' || *key > '~' || strchr("#\"'\\*?,|!", *key))
			abort();
}

/* A byte below that of the words is one of them, another one is itself. */
static void add(struct ssh_look *look, uint8_t byte)
{
	static const char *const words[] = {
		"ssh-ed25519 ", "ecdsa-sha2-nistp256 ", "AAAAC3Nz", "\n",
		"listens\n", "installed\n", "boots\n", " ", "=", "#", "\"",
		"ssh-rsa AAAA\n", "\r", ",", "!", "*",
	};

	if (byte < sizeof(words) / sizeof(words[0]))
		ssh_look_add(look, (const uint8_t *)words[byte],
			     strlen(words[byte]));
	else
		ssh_look_add(look, &byte, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ssh_look look;

	memset(&look, 0, sizeof(look));
	for (size_t i = 0; i < size; i++)
		add(&look, data[i] & 0x80 ? data[i] & 0x1f : data[i]);
	ssh_look_read(&look);
	if (look.keys > SSH_LOOK_KEYS || look.size > SSH_LOOK_OUTPUT)
		abort();
	for (unsigned int i = 0; i < look.keys; i++)
		check_key(look.key[i]);
	return 0;
}
