/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge top: what running machines use, of their computer and of what is behind
 * their cards.
 *
 * On a terminal the list is shown anew until q; for anything else once.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/daemon/elsewhere.h"
#include "cli/machine/target.h"
#include "cli/machine/top_use.h"
#include "cli/table.h"
#include "host/linux/terminal.h"
#include "vm/host.h"
#include "vmm/machine.h"

#define NS_PER_S     1000000000ull
#define INTERVAL     2.0 /* seconds */
#define INTERVAL_MIN 0.2
#define INTERVAL_MAX 3600.0
#define ONCE_S	     0.5 /* over which a list for programs is measured */
#define CTRL_C	     3
#define CTRL_Z	     26
#define NONE	     "no machine runs; lodge run starts one"
#define ABOVE	     2 /* lines above the table's heading */
#define SMALL	     5 /* lines of a terminal that has no room for those */

struct top {
	bool json, wide;
	double interval;
	int sort; /* a figure, or -1: by name */
	bool help;
	struct uses now;
};

/* --- figures ---------------------------------------------------------------------- */

static int by_name(const void *a, const void *b, void *ctx)
{
	return strcmp(((const struct use *)a)->name,
		      ((const struct use *)b)->name);
}

static int by_figure(const void *a, const void *b, void *ctx)
{
	const int figure = *(const int *)ctx;
	double one = ((const struct use *)a)->rate[figure];
	double other = ((const struct use *)b)->rate[figure];

	return one > other ? -1 : one < other ? 1 : by_name(a, b, NULL);
}

static void sort(struct top *top)
{
	if (top->now.count)
		qsort_r(top->now.use, top->now.count, sizeof(struct use),
			top->sort < 0 ? by_name : by_figure, &top->sort);
}

/* Looks, and forgets the look before. 0, or -1 after cli_error(). */
static int look(struct top *top)
{
	struct vmm_error error;
	int rc = uses_look(&top->now, &error);

	sort(top);
	if (rc)
		cli_error("top: %s", error.text);
	return rc;
}

/* --- telling ------------------------------------------------------------------------ */

static void add_rate(struct table *table, double rate)
{
	char text[CLI_BYTES];

	table_cell(table, rate < 1 ? TABLE_DIM : TABLE_PLAIN, "%s",
		   rate < 1 ? "0" : cli_bytes(text, (uint64_t)rate));
}

static void add_use(struct table *table, const struct use *use)
{
	char resident[CLI_BYTES], memory[CLI_BYTES], age[CLI_AGE];
	double all = 100 * use->rate[CPU];

	table_cell(table, TABLE_PLAIN, "%s", use->name);
	table_cell(table, table_state(use->state), "%s", use->state);
	table_cell(table, all > 90.0 * (double)use->cpus ? TABLE_WARN :
							  TABLE_PLAIN,
		   "%.1f", all);
	table_cell(table, TABLE_PLAIN, "%lld", use->cpus);
	table_cell(table, TABLE_PLAIN, "%s",
		   cli_bytes(resident, use->count[MEMORY]));
	table_cell(table, TABLE_PLAIN, "%s",
		   cli_bytes(memory, (uint64_t)use->memory));
	for (int i = READ; i < FIGURES; i++)
		add_rate(table, use->rate[i]);
	table_cell(table, TABLE_PLAIN, "%s", cli_age(age, use->seconds));
}

static void print_table(const struct top *top, const struct table_look *look)
{
	static const struct table_column columns[] = {
		{ .title = "NAME", .least = 12 },
		{ .title = "STATE", .spare = true },
		{ .title = "CPU%", .right = true },
		{ .title = "CPUS", .right = true, .spare = true },
		{ .title = "USES", .right = true, .spare = true },
		{ .title = "MEMORY", .right = true, .spare = true },
		{ .title = "READ/S", .right = true, .spare = true },
		{ .title = "WRITTEN/S", .right = true, .spare = true },
		{ .title = "RECEIVED/S", .right = true, .spare = true },
		{ .title = "SENT/S", .right = true, .spare = true },
		{ .title = "RUNS FOR", .spare = true },
	};
	struct table *table = table_new(columns, OPTION_COUNT(columns));

	for (size_t i = 0; i < top->now.count; i++)
		add_use(table, &top->now.use[i]);
	table_print(table, look);
	table_free(table);
}

static void print_json(const struct top *top)
{
	json_t *list = json_array();

	for (size_t i = 0; i < top->now.count; i++) {
		const struct use *use = &top->now.use[i];

		json_array_append_new(list, json_pack(
			"{ss ss sI sf sI sI sI sf sf sf sf sf}", "name",
			use->name, "state", use->state, "pid",
			(json_int_t)use->pid, "cpu_percent",
			100 * use->rate[CPU], "cpus", (json_int_t)use->cpus,
			"memory", (json_int_t)use->memory, "memory_used",
			(json_int_t)use->count[MEMORY], "disk_read",
			use->rate[READ], "disk_written", use->rate[WRITTEN],
			"net_received", use->rate[RECEIVED], "net_sent",
			use->rate[SENT], "seconds", use->seconds));
	}
	target_print_json(list);
	json_decref(list);
}

static void rest(double seconds)
{
	struct timespec time = { (time_t)seconds,
				 (long)((seconds - (double)(time_t)seconds) *
					NS_PER_S) };

	while (nanosleep(&time, &time) && errno == EINTR)
		;
}

static int tell_once(struct top *top)
{
	struct table_look look_at = table_stdout(top->wide);

	if (look(top))
		return MACHINE_FAILED;
	if (top->now.count) {
		rest(ONCE_S);
		if (look(top))
			return MACHINE_FAILED;
	}
	if (top->json)
		print_json(top);
	else
		print_table(top, &look_at);
	if (!top->json && !top->now.count)
		cli_hint(NONE);
	return fflush(stdout) ? MACHINE_FAILED : MACHINE_OK;
}

/* --- on a terminal -------------------------------------------------------------------- */

/* Signals reach no other place; a process has one terminal. */
static volatile sig_atomic_t ending;

static void signal_came(int number)
{
	if (number != SIGWINCH)
		ending = 1;
}

static void watch_signals(void)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGWINCH };
	struct sigaction action = { .sa_handler = signal_came };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &action, NULL);
}

/* Another screen, which goes again, without a cursor. */
static void begin_screen(void)
{
	fputs("\x1b[?1049h\x1b[?25l", stdout);
}

static void end_screen(void)
{
	fputs("\x1b[?25h\x1b[?1049l", stdout);
	fflush(stdout);
}

static void print_head(const struct top *top, unsigned int width)
{
	static const char *const sorts[] = { "processor time", "memory",
					     "disk reads", "disk writes",
					     "received", "sent" };
	char memory[CLI_BYTES], of[40] = " of a processor", line[200];
	uint64_t resident = 0;
	double cpus = 0;

	for (size_t i = 0; i < top->now.count; i++) {
		cpus += top->now.use[i].rate[CPU];
		resident += top->now.use[i].count[MEMORY];
	}
	if (!elsewhere())
		snprintf(of, sizeof(of), " of %ld processors",
			 sysconf(_SC_NPROCESSORS_ONLN));
	snprintf(line, sizeof(line),
		 "lodge top: %zu machine%s, %.1f %%%s, %s memory; by %s (h: "
		 "keys)", top->now.count, top->now.count == 1 ? "" : "s",
		 100 * cpus, of, cli_bytes(memory, resident),
		 top->sort < 0 ? "name" : sorts[top->sort]);
	printf("%.*s\x1b[K\r\n%.*s\x1b[K\r\n", (int)width, line, (int)width,
	       top->help ? "sort by: c processor, m memory, r w disk, n s "
			   "network, a name; q ends" : "");
}

static void draw(const struct top *top)
{
	struct table_look look_at = table_stdout(false);
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	unsigned int above;

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	look_at.end = "\x1b[K\r\n";
	/* A last line is left, for its end would scroll the others away. */
	above = size.ws_row > SMALL ? ABOVE : 0;
	look_at.rows = size.ws_row > above + 2u ? size.ws_row - above - 2u : 1;
	/* A line that is as wide as the terminal wraps on some. */
	look_at.width = size.ws_col > 1 ? size.ws_col - 1u : 1;
	fputs("\x1b[H", stdout);
	if (above)
		print_head(top, look_at.width);
	print_table(top, &look_at);
	if (top->now.count > look_at.rows)
		printf("%zu more", top->now.count - look_at.rows);
	fputs(top->now.count ? "\x1b[K\x1b[J" : NONE "\x1b[K\x1b[J", stdout);
	fflush(stdout);
}

/* Ctrl-Z: the shell has its own screen until it lets us go on. */
static void hold(void)
{
	terminal_restore();
	end_screen();
	raise(SIGSTOP);
	begin_screen();
	terminal_raw_whole(STDIN_FILENO);
}

/* False: to end. */
static bool take_key(struct top *top, char key)
{
	static const char keys[] = "cmrwns";
	const char *at = key ? strchr(keys, key) : NULL;

	if (at)
		top->sort = (int)(at - keys);
	else if (key == 'd')
		top->sort = READ;
	else if (key == 'a')
		top->sort = -1;
	else if (key == 'h' || key == '?')
		top->help = !top->help;
	else if (key == CTRL_Z)
		hold();
	return key != 'q' && key != CTRL_C;
}

/* Until the next look is due; false: to end. */
static bool wait_key(struct top *top, uint64_t until)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	uint64_t now = host_monotonic_ns();
	char key;
	int n;

	if (now >= until)
		return !ending;
	n = poll(&in, 1, (int)((until - now) / 1000000) + 1);
	if (n > 0 && read(STDIN_FILENO, &key, 1) != 1)
		return false;
	if (n > 0 && !take_key(top, key))
		return false;
	/* A key or another size of the terminal. */
	if (n) {
		sort(top);
		draw(top);
	}
	return !ending;
}

static int show(struct top *top)
{
	int status = MACHINE_OK;
	bool on = true;

	watch_signals();
	begin_screen();
	terminal_raw_whole(STDIN_FILENO);
	while (on) {
		uint64_t until = host_monotonic_ns() +
				 (uint64_t)(top->interval * NS_PER_S);

		if (look(top)) {
			status = MACHINE_FAILED;
			break;
		}
		draw(top);
		while (on && host_monotonic_ns() < until)
			on = wait_key(top, until);
	}
	terminal_restore();
	end_screen();
	return status;
}

/* --- the command -------------------------------------------------------------------------- */

static int take_json(void *config, const char *value)
{
	((struct top *)config)->json = true;
	return 0;
}

static int take_wide(void *config, const char *value)
{
	((struct top *)config)->wide = true;
	return 0;
}

static int take_sort(void *config, const char *value)
{
	static const char *const names[] = { "cpu", "memory", "read",
					     "written", "received", "sent" };
	struct top *top = config;

	top->sort = -1;
	for (int i = 0; i < FIGURES; i++)
		if (!strcmp(names[i], value))
			top->sort = i;
	if (top->sort >= 0 || !strcmp(value, "name"))
		return 0;
	cli_error("top: --sort %s: give cpu, memory, read, written, received, "
		  "sent or name", value);
	return -1;
}

static int take_interval(void *config, const char *value)
{
	struct top *top = config;
	char *end;

	top->interval = strtod(value, &end);
	if (*value && !*end && top->interval >= INTERVAL_MIN &&
	    top->interval <= INTERVAL_MAX)
		return 0;
	cli_error("top: --interval %s: give seconds from 0.2 to 3600", value);
	return -1;
}

static const struct option_spec options[] = {
	{ "sort", "cpu|memory|read|written|received|sent|name",
	  "what comes first (cpu)", false, take_sort },
	{ "interval", "SECONDS", "between two looks (2)", false,
	  take_interval },
	{ "wide", NULL, "cut nothing to the terminal's width, and tell once",
	  false, take_wide },
	{ "json", NULL, "print a JSON list, once", false, take_json },
};

static int run(const struct command_context *context, int argc, char **argv)
{
	struct top top = { .interval = INTERVAL, .sort = CPU };
	int words, status;

	status = command_take(NULL, &command_top, argc, argv, &top, &words);
	if (status >= 0)
		return status;
	if (top.json || top.wide || !isatty(STDOUT_FILENO) ||
	    !isatty(STDIN_FILENO))
		status = tell_once(&top);
	else
		status = show(&top);
	uses_free(&top.now);
	return status;
}

const struct command command_top = {
	.name = "top",
	.synopsis = "[OPTIONS]",
	.summary = "show what running machines use, as it changes",
	.about = "Shows what running machines use of this computer: processor "
		 "time, memory, bytes a second from and to disks and the "
		 "network, as lists that are shown anew until q. A machine's "
		 "helpers count as the machine. The keys c, m, "
		 "d (or r, w), n (or s) and a sort by processor time, memory, "
		 "disk, network and name; h lists them. Without a terminal, or "
		 "for --json, once.",
	.examples = "lodge top\n"
		    "lodge top --sort memory --interval 5\n"
		    "lodge top --json",
	.options = options,
	.option_count = OPTION_COUNT(options),
	.run = run,
};
