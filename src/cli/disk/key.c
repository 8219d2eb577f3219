/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge disk encrypt, key: encrypted images and their passphrases.
 */
#include <string.h>

#include "cli/disk/tool.h"
#include "disk/driver.h"
#include "disk/secret.h"
#include "vmm/machine.h"

/* --- encrypt ---------------------------------------------------------------- */

static int run_encrypt(struct tool *tool)
{
	const struct disk_driver *driver = disk_driver_by_path(tool->word[1]);

	if (!tool->secret_to) {
		cli_error("%s: give the new passphrase's file by --secret",
			  tool->command);
		return MACHINE_USAGE;
	}
	if (!tool->to)
		tool->to = driver && strcmp(driver->name, "raw") ? driver->name
								 : "luks";
	return disk_command_convert.run(tool);
}

static int take_new_secret(void *config, const char *value)
{
	((struct tool *)config)->secret_to = value;
	return 0;
}

static const struct option_spec encrypt_options[] = {
	{ .name = "from",
	  .value = "FORMAT",
	  .help = "what SOURCE is (as its name's ending says)",
	  .take = tool_take_from },
	{ .name = "to",
	  .value = "FORMAT",
	  .help = "what TARGET is to be: luks or qcow2 (as its name's\n"
		  "ending says, else luks)",
	  .take = tool_take_to },
	{ .name = "secret",
	  .value = "FILE",
	  .help = "a file with TARGET's passphrase, or fd:N",
	  .take = take_new_secret },
	TOOL_OPTION,
	TOOL_FOLDER,
	TOOL_JSON,
};

const struct disk_command disk_command_encrypt = {
	.command = {
		.name = "encrypt",
		.synopsis = "[OPTIONS] SOURCE TARGET",
		.summary = "copy an image into an encrypted one",
		.about = "Makes TARGET with the content of SOURCE: a LUKS volume, "
			 "which cryptsetup opens,\ntoo, or a qcow2 image.",
		.examples = "lodge disk encrypt --secret passphrase.txt disk.img disk.luks",
		.words = "file",
		.words_min = 2,
		.words_max = 2,
		.options = encrypt_options,
		.option_count = OPTION_COUNT(encrypt_options),
	},
	.run = run_encrypt,
};

/* --- key -------------------------------------------------------------------- */

static int change(struct tool *tool, struct disk_node *node, bool add)
{
	struct disk_error error;
	struct disk_secret *secret = disk_secret_read(tool->word[2], &error);
	int result;

	if (!secret)
		return tool_fail(tool, node->name, &error);
	result = add ? disk_add_key(node, secret, &error)
		     : disk_remove_key(node, secret, &error);
	disk_secret_free(secret);
	if (result)
		return tool_fail(tool, node->name, &error);
	if (tool->json)
		return tool_print_json(json_pack("{ss ss}", "path", node->name,
						 "key",
						 add ? "added" : "removed"));
	return MACHINE_OK;
}

static int run_key(struct tool *tool)
{
	const bool add = !strcmp(tool->word[0], "add");
	struct disk_open how = tool_open_how(tool, tool->word[1]);
	struct disk_node *node;
	int status;

	if (!add && strcmp(tool->word[0], "remove")) {
		cli_error("%s: usage: lodge %s add|remove PATH FILE",
			  tool->command, tool->command);
		return MACHINE_USAGE;
	}
	how.readonly = false;
	how.alone = true;
	node = tool_open(tool, &how);
	if (!node)
		return MACHINE_FAILED;
	status = change(tool, node, add);
	disk_close(node);
	return status;
}

static const struct option_spec key_options[] = {
	TOOL_SECRET,
	TOOL_FORMAT,
	TOOL_JSON,
};

const struct disk_command disk_command_key = {
	.command = {
		.name = "key",
		.synopsis = "[OPTIONS] add|remove PATH FILE",
		.summary = "add or remove a passphrase of an encrypted image",
		.about = "Adds the passphrase in FILE to those that open the image, or "
			 "removes it; the last\none stays. --secret says one that "
			 "opens it now.",
		.examples = "lodge disk key add --secret old.txt disk.luks new.txt",
		.words = "file",
		.words_min = 3,
		.words_max = 3,
		.options = key_options,
		.option_count = OPTION_COUNT(key_options),
	},
	.run = run_key,
};
