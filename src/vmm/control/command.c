/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of the control protocol, on the loop's thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "board/board.h"
#include "device/frame.h"
#include "vmm/display/codepage.h"
#include "vmm/control/impl.h"
#include "vmm/disks.h"
#include "vmm/drives.h"
#include "vmm/guest/guest_agent.h"
#include "vmm/nets.h"
#include "vmm/shares.h"
#include "vmm/pause.h"
#include "vmm/sandbox/isolate.h"
#include "vmm/stall.h"
#include "vmm/vsock_unix.h"

#define NS_PER_S 1e9

json_t *control_status_json(const struct control_machine *machine)
{
	const struct control_target *target = &machine->target;
	struct vm *vm = board_vm(target->board);
	uint64_t run = host_monotonic_ns() - target->start;
	const char *reason = stall_reason(target->stall);
	json_t *balloon = control_balloon_json(target), *status;

	status = json_pack(
		"{sssssisIsfsisOsOsOsososossss*ss*ss*so}", "name", machine->name, "engine",
		target->engine, "cpus", (int)vm->cpu_count, "memory",
		(json_int_t)target->memory, "seconds", (double)run / NS_PER_S,
		"pid", (int)getpid(), "memory_target",
		json_object_get(balloon, "target"), "memory_size",
		json_object_get(balloon, "size"), "memory_touched",
		json_object_get(balloon, "touched"), "drives",
		drives_inspect(target->drives), "disks",
		disks_json(target->disks), "nets",
		nets_inspect(target->nets, target->board), "state",
		reason ? "paused" : "running", "reason", reason, "identity",
		target->identity, "account", target->account, "guest",
		guest_agent_json(target->agent));
	json_decref(balloon);
	json_object_set_new(status, "shares", control_shares(target));
	json_object_set_new(status, "sandbox", isolate_json());
	return status;
}

static void do_status(struct control_machine *machine, const json_t *request,
		      struct control_reply *reply)
{
	if (!(machine->target.pause->held) &&
	    guest_agent_ask(machine->target.agent))
		reply->later = CONTROL_STATUS;
	else
		reply->result = control_status_json(machine);
}

/* Counters alone, without a word to the guest: for those who ask often. */
static void do_figures(struct control_machine *machine, const json_t *request,
		       struct control_reply *reply)
{
	const struct control_target *target = &machine->target;

	reply->result = json_pack("{so so}", "disks",
				  disks_figures(target->disks), "nets",
				  nets_inspect(target->nets, target->board));
}

static void do_inspect(struct control_machine *machine, const json_t *request,
		       struct control_reply *reply)
{
	reply->result = control_inspect(&machine->target);
}

/* --- power ------------------------------------------------------------------ */

static void do_stop(struct control_machine *machine, const json_t *request,
		    struct control_reply *reply)
{
	struct board *board = machine->target.board;
	const json_t *force = json_object_get(request, "force");

	if (force && !json_is_boolean(force)) {
		control_refuse(reply, "bad-request",
			       "\"force\" is true or false");
		return;
	}
	if (json_is_true(force)) {
		vm_ask(board_vm(board), VM_STOP);
	} else if (machine->target.pause->held & PAUSE_USER) {
		control_refuse(reply, "paused", "%s is paused, so its guest "
			       "sees no button; lodge resume it, or stop it "
			       "with --force", machine->name);
		return;
	} else {
		board_power_button(board);
	}
	reply->result = json_object();
}

json_t *control_state(const struct control_machine *machine)
{
	const char *reason = stall_reason(machine->target.stall);

	return json_pack("{ssss*}", "state", reason ? "paused" : "running",
			 "reason", reason);
}

/* Holds the processors, or lets them go; then says what is so. */
static void hold(struct control_machine *machine, bool hold,
		 struct control_reply *reply)
{
	pause_hold(machine->target.pause, PAUSE_USER, hold);
	reply->result = control_state(machine);
}

/* Answers once the reason is another than the one that the client knows. */
static void do_watch(struct control_machine *machine, const json_t *request,
		     struct control_reply *reply)
{
	const json_t *known = json_object_get(request, "reason");
	const char *reason = stall_reason(machine->target.stall);

	if (known && !json_is_string(known)) {
		control_refuse(reply, "bad-request", "\"reason\" is a text");
		return;
	}
	if (strcmp(reason ? reason : "", known ? json_string_value(known) : "")) {
		reply->result = control_state(machine);
		return;
	}
	snprintf(machine->told, sizeof(machine->told), "%s",
		 reason ? reason : "");
	reply->later = CONTROL_STATE;
}

static void do_pause(struct control_machine *machine, const json_t *request,
		     struct control_reply *reply)
{
	hold(machine, true, reply);
}

static void do_resume(struct control_machine *machine, const json_t *request,
		      struct control_reply *reply)
{
	hold(machine, false, reply);
}

static void do_reset(struct control_machine *machine, const json_t *request,
		     struct control_reply *reply)
{
	vm_ask(board_vm(machine->target.board), VM_RESET);
	reply->result = json_object();
}

/* --- screen ----------------------------------------------------------------- */

struct picture {
	uint32_t width, height;
	uint32_t *pixels; /* NULL: no memory */
};

static size_t picture_size(const struct picture *picture)
{
	return (size_t)picture->width * picture->height *
	       sizeof(*picture->pixels);
}

/* Held: the device lock. */
static void copy_frame(void *ctx, const struct frame *frame)
{
	struct picture *picture = ctx;

	picture->width = frame->width;
	picture->height = frame->height;
	picture->pixels = malloc(picture_size(picture));
	if (picture->pixels)
		memcpy(picture->pixels, frame->pixels, picture_size(picture));
}

/* A memory file with the pixels, or a negative errno. */
static int picture_file(const struct picture *picture)
{
	int fd = memfd_create("screenshot", MFD_CLOEXEC);
	size_t size = picture_size(picture), done = 0;
	int rc = fd < 0 ? -errno : 0;

	while (!rc && done < size) {
		ssize_t n = write(fd, (const char *)picture->pixels + done,
				  size - done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			rc = n ? -errno : -EIO;
	}
	if (rc && fd >= 0)
		close(fd);
	return rc ? rc : fd;
}

static void refuse_no_display(struct control_machine *machine,
			      struct control_reply *reply)
{
	control_refuse(reply, "no-display",
		       "%s has no display; run it with --display std",
		       machine->name);
}

/* The rows, each ended by a newline, without the blanks at their ends. */
static json_t *rows_of(const struct frame_text *text)
{
	const uint8_t *row = text->code;
	char *all = malloc(text->rows * (text->columns * CODEPAGE_BYTES + 1) +
			   1);
	size_t used = 0;
	json_t *result;

	if (!all)
		return NULL;
	for (uint32_t y = 0; y < text->rows; y++, row += text->columns) {
		uint32_t count = text->columns;

		while (count && (row[count - 1] == ' ' || !row[count - 1]))
			count--;
		for (uint32_t x = 0; x < count; x++)
			used += codepage_utf8(row[x], all + used);
		all[used++] = '\n';
	}
	result = json_stringn(all, used);
	free(all);
	return result;
}

static void answer_text(struct control_machine *machine,
			struct control_reply *reply)
{
	struct frame_text text;

	if (!board_text(machine->target.board, &text))
		refuse_no_display(machine, reply);
	else if (!text.columns)
		control_refuse(reply, "no-text",
			       "%s shows graphics and no text; take a picture",
			       machine->name);
	else
		reply->result = json_pack("{sisiso}", "columns",
					  (int)text.columns, "rows",
					  (int)text.rows, "text",
					  rows_of(&text));
}

static void do_screenshot(struct control_machine *machine,
			  const json_t *request, struct control_reply *reply)
{
	struct picture picture = { 0 };
	int fd;

	if (json_is_true(json_object_get(request, "text"))) {
		answer_text(machine, reply);
		return;
	}
	if (!board_draw(machine->target.board, copy_frame, &picture)) {
		refuse_no_display(machine, reply);
		return;
	}
	fd = picture.pixels ? picture_file(&picture) : -ENOMEM;
	free(picture.pixels);
	if (fd < 0) {
		control_refuse(reply, "failed", "no memory for the picture");
		return;
	}
	reply->fd = fd;
	reply->result = json_pack("{sisiss}", "width", (int)picture.width,
				  "height", (int)picture.height, "format",
				  "xrgb8888");
}

/* --- keys ------------------------------------------------------------------- */

struct strokes {
	struct keystroke stroke[TYPING_MAX];
	unsigned int count;
};

/* False with a refusal. */
static bool add_stroke(struct strokes *strokes, const struct keystroke *stroke,
		       struct control_reply *reply)
{
	if (strokes->count == TYPING_MAX) {
		control_refuse(reply, "bad-request",
			       "more than %d keystrokes at a time",
			       TYPING_MAX);
		return false;
	}
	strokes->stroke[strokes->count++] = *stroke;
	return true;
}

static bool add_text(struct strokes *strokes, const char *text,
		     struct control_reply *reply)
{
	struct keystroke stroke;

	for (; *text; text++) {
		if (!key_of_char(*text, &stroke)) {
			control_refuse(reply, "bad-request",
				       "a US keyboard does not type character "
				       "0x%02x", (unsigned char)*text);
			return false;
		}
		if (!add_stroke(strokes, &stroke, reply))
			return false;
	}
	return true;
}

/* {"text": "..."} or {"key": "..."} */
static bool add_item(struct strokes *strokes, const json_t *item,
		     struct control_reply *reply)
{
	const char *text = json_string_value(json_object_get(item, "text"));
	const char *key = json_string_value(json_object_get(item, "key"));
	struct keystroke stroke;

	if (text && !key)
		return add_text(strokes, text, reply);
	if (!key || text) {
		control_refuse(reply, "bad-request",
			       "\"input\" is a list of {\"text\": ...} and "
			       "{\"key\": ...}");
		return false;
	}
	if (keyname_parse(key, &stroke))
		return add_stroke(strokes, &stroke, reply);
	control_refuse(reply, "bad-request", "no key \"%.40s\"", key);
	return false;
}

static void type(struct control_machine *machine, const json_t *input,
		 struct strokes *strokes, struct control_reply *reply)
{
	const json_t *item;
	size_t i;

	json_array_foreach(input, i, item)
		if (!add_item(strokes, item, reply))
			return;
	if (!strokes->count) {
		control_refuse(reply, "bad-request",
			       "\"input\" has nothing to type");
		return;
	}
	typing_start(machine->typing, strokes->stroke, strokes->count);
	reply->later = CONTROL_TYPING;
}

static void do_keys(struct control_machine *machine, const json_t *request,
		    struct control_reply *reply)
{
	struct strokes *strokes;

	if (typing_busy(machine->typing)) {
		control_refuse(reply, "busy",
			       "other keys are being typed; try again");
		return;
	}
	strokes = malloc(sizeof(*strokes));
	if (!strokes) {
		control_refuse(reply, "failed", "out of memory");
		return;
	}
	strokes->count = 0;
	type(machine, json_object_get(request, "input"), strokes, reply);
	free(strokes);
}

/* --- sockets ---------------------------------------------------------------- */

static void do_connect(struct control_machine *machine, const json_t *request,
		       struct control_reply *reply)
{
	const json_t *number = json_object_get(request, "port");
	json_int_t port = json_integer_value(number);
	struct vsock_unix *vsock = machine->target.vsock;

	if (!json_is_integer(number) || port < 0 || port >= UINT32_MAX) {
		control_refuse(reply, "bad-request",
			       "\"port\" is a number of a guest's port");
		return;
	}
	if (!vsock) {
		control_refuse(reply, "no-vsock",
			       "%s has no sockets to its guest; run it without "
			       "--no-agent", machine->name);
		return;
	}
	reply->fd = vsock_unix_call(vsock, (uint32_t)port);
	if (reply->fd >= 0)
		reply->result = json_object();
	else
		control_refuse(reply, "failed", "cannot connect to the guest: "
			       "%s", strerror(-reply->fd));
}

bool control_number(const json_t *request, const char *name, bool *there,
		    uint64_t *number, struct control_reply *reply)
{
	const json_t *value = json_object_get(request, name);

	*there = value;
	*number = (uint64_t)json_integer_value(value);
	if (!value || (json_is_integer(value) && json_integer_value(value) >= 0))
		return true;
	control_refuse(reply, "bad-request", "\"%s\" is a number", name);
	return false;
}

/* --- the list --------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*run)(struct control_machine *machine, const json_t *request,
		    struct control_reply *reply);
} commands[] = {
	{ "status", do_status },
	{ "inspect", do_inspect },
	{ "figures", do_figures },
	{ "balloon", control_balloon },
	{ "screenshot", do_screenshot },
	{ "keys", do_keys },
	{ "attach", control_attach },
	{ "detach", control_detach },
	{ "insert", control_insert },
	{ "eject", control_eject },
	{ "connect", do_connect },
	{ "mirror", control_mirror },
	{ "commit", control_commit },
	{ "rebase", control_rebase },
	{ "job", control_job },
	{ "job-end", control_job_end },
	{ "limit", control_limit },
	{ "watch", do_watch },
	{ "limit-net", control_limit_net },
	{ "pause", do_pause },
	{ "resume", do_resume },
	{ "stop", do_stop },
	{ "reset", do_reset },
};

void control_command(struct control_machine *machine, const char *command,
		     const json_t *request, struct control_reply *reply)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, command))
			continue;
		commands[i].run(machine, request, reply);
		if (!reply->code && !reply->later && !reply->result)
			control_refuse(reply, "failed", "out of memory");
		return;
	}
	control_refuse(reply, "unknown-command", "no command \"%.40s\"",
		       command);
}
