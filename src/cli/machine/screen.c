/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands for a machine's display and keyboard: screenshot, keys.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/machine/target.h"
#include "cli/option.h"
#include "cli/picture.h"
#include "host/linux/extension.h"
#include "vmm/display/keyname.h"
#include "vmm/machine.h"

#define PATIENCE 30 /* seconds for an answer */

/* --- screenshot ------------------------------------------------------------- */

static int write_picture(const json_t *result, int fd, const char *path)
{
	json_int_t width = json_integer_value(json_object_get(result, "width"));
	json_int_t height =
		json_integer_value(json_object_get(result, "height"));
	picture_writer *write;
	char why[200];
	int rc = -EPROTO;

	write = (picture_writer *)extension_symbol("picture", "picture_write",
						   why, sizeof(why));
	if (!write) {
		cli_error("screenshot: %s: %s", path, why);
		return -ENOTSUP;
	}
	if (fd >= 0 && width > 0 && height > 0 && width <= PICTURE_SIDE_MAX &&
	    height <= PICTURE_SIDE_MAX)
		rc = write(path, fd, (unsigned int)width,
			   (unsigned int)height);
	if (rc)
		cli_error("screenshot: %s: %s", path, strerror(-rc));
	return rc;
}

static bool is_text(const char *path)
{
	size_t length = strlen(path);

	return !strcmp(path, "-") ||
	       (length > 4 && !strcmp(path + length - 4, ".txt"));
}

static int write_text(const json_t *result, const char *path)
{
	const char *text = json_string_value(json_object_get(result, "text"));
	FILE *out = strcmp(path, "-") ? fopen(path, "we") : stdout;
	int rc = 0;

	if (!out)
		rc = -errno;
	else if (!text)
		rc = -EPROTO;
	else if (fputs(text, out) == EOF || fflush(out))
		rc = -errno;
	if (out && out != stdout && fclose(out) && !rc)
		rc = -errno;
	if (rc)
		cli_error("screenshot: %s: %s", path, strerror(-rc));
	return rc;
}

static int run_screenshot(const struct command_context *context, int argc,
			  char **argv)
{
	struct target target;
	int status;
	int fd = -1, rc = -1;
	json_t *result;
	bool text;

	if (target_take(&target, &command_screenshot, argc, argv, &status))
		return status;
	text = is_text(target.word[1]);
	if (target.json && !strcmp(target.word[1], "-")) {
		target_close(&target);
		cli_error("screenshot: --json tells of a file; without it - "
			  "prints the text");
		return MACHINE_USAGE;
	}
	result = target_call(&target, "screenshot",
			     text ? json_pack("{sb}", "text", 1) : NULL,
			     PATIENCE, &fd);
	if (result)
		rc = text ? write_text(result, target.word[1]) :
			    write_picture(result, fd, target.word[1]);
	if (fd >= 0)
		close(fd);
	json_decref(result);
	target_close(&target);
	if (!rc && target.json)
		target_print_word("file", target.word[1]);
	return rc ? MACHINE_FAILED : MACHINE_OK;
}

const struct command command_screenshot = {
	.name = "screenshot",
	.summary = "save what a machine's display shows",
	.run = run_screenshot,
	.synopsis = "[--json] NAME FILE.png|FILE.txt|-",
	.about = "Writes what a machine's display shows: as a PNG image, or, of a text mode, the\n"
		 "text, in UTF-8; - prints it.",
	.examples = "lodge screenshot web screen.png\n"
		    "lodge screenshot web -",
	.options = target_json_option,
	.option_count = 1,
	.words = "running file",
	.words_min = 2,
	.words_max = 2,
	.missing = "a machine's name|a file",
};

/* --- keys ------------------------------------------------------------------- */

static json_t *input_of(char **word, int words)
{
	static const char mark[] = "text:";
	json_t *input = json_array();
	struct keystroke stroke;

	for (int i = 0; i < words; i++) {
		const char *text = word[i];
		const char *kind = "text";

		if (!strncmp(text, mark, strlen(mark)))
			text += strlen(mark);
		else if (keyname_parse(text, &stroke))
			kind = "key";
		json_array_append_new(input, json_pack("{ss}", kind, text));
	}
	return input;
}

static int run_keys(const struct command_context *context, int argc,
		    char **argv)
{
	struct target target;
	int status;
	json_t *result;

	if (target_take(&target, &command_keys, argc, argv, &status))
		return status;
	result = target_call(&target, "keys",
			     json_pack("{so}", "input",
				       input_of(target.word + 1,
						target.words - 1)),
			     0, NULL);
	json_decref(result);
	target_close(&target);
	if (result && target.json)
		target_print_word("machine", target.word[0]);
	return result ? MACHINE_OK : MACHINE_FAILED;
}

const struct command command_keys = {
	.name = "keys",
	.summary = "type on a machine's keyboard",
	.run = run_keys,
	.synopsis = "[--json] NAME TEXT|KEY...",
	.about = "Types on a machine's keyboard, one argument after another, as fast as the guest\n"
		 "reads. An argument that names a key is that key: enter, esc, tab, backspace,\n"
		 "up, down, left, right, home, end, pageup, pagedown, insert, delete, f1 to f12,\n"
		 "space, print, pause, menu, capslock, numlock, with others held as in\n"
		 "ctrl-alt-delete (ctrl, shift, alt, altgr, meta). Any other is typed as on a US\n"
		 "keyboard; so is what follows \"text:\".",
	.examples = "lodge keys web root enter\n"
		    "lodge keys web ctrl-alt-delete",
	.options = target_json_option,
	.option_count = 1,
	.words = "running -",
	.words_min = 2,
	.words_max = COMMAND_MANY,
	.missing = "a machine's name|what to type",
};
