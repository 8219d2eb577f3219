/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/option.h"
#include "vmm/machine.h"

#define GAP 2 /* between columns */

struct cell {
	enum table_tone tone;
	char *text;
};

struct table {
	const struct table_column *column;
	unsigned int columns;
	struct cell *cell;
	size_t cells, room;
};

static void *checked(void *memory)
{
	if (memory)
		return memory;
	cli_error("out of memory");
	exit(MACHINE_FAILED);
}

struct table *table_new(const struct table_column *column,
			unsigned int columns)
{
	struct table *table = checked(calloc(1, sizeof(*table)));

	table->column = column;
	table->columns = columns;
	return table;
}

void table_free(struct table *table)
{
	for (size_t i = 0; i < table->cells; i++)
		free(table->cell[i].text);
	free(table->cell);
	free(table);
}

void table_cell(struct table *table, enum table_tone tone, const char *format,
		...)
{
	va_list args;
	char *text = NULL;

	if (table->cells == table->room) {
		table->room = table->room ? 2 * table->room : 64;
		table->cell = checked(realloc(table->cell,
					      table->room *
						      sizeof(*table->cell)));
	}
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	table->cell[table->cells++] = (struct cell){ tone, checked(text) };
}

/* --- widths ---------------------------------------------------------------------- */

/* Characters of UTF-8: all that begin one. */
static unsigned int width_of(const char *text)
{
	unsigned int n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* As wide as each is; the sum with the gaps. */
static unsigned int measure(const struct table *table, unsigned int *width)
{
	unsigned int sum = GAP * (table->columns - 1);

	for (unsigned int c = 0; c < table->columns; c++) {
		width[c] = width_of(table->column[c].title);
		if (table->column[c].usual > width[c])
			width[c] = table->column[c].usual;
		for (size_t i = c; i < table->cells; i += table->columns)
			if (width_of(table->cell[i].text) > width[c])
				width[c] = width_of(table->cell[i].text);
		sum += width[c];
	}
	return sum;
}

/* How far the columns can be cut. */
static unsigned int least_of(const struct table *table,
			     const unsigned int *width)
{
	unsigned int sum = 0, shown = 0;

	for (unsigned int c = 0; c < table->columns; c++) {
		unsigned int least = table->column[c].least;

		sum += least && least < width[c] ? least : width[c];
		shown += width[c] > 0;
	}
	return sum + (shown ? GAP * (shown - 1) : 0);
}

/* Leaves out columns, whose width is then 0, until the rest can fit. */
static void leave_out(const struct table *table, unsigned int *width,
		      unsigned int *sum, unsigned int limit)
{
	for (unsigned int c = table->columns; c-- > 1;) {
		if (least_of(table, width) <= limit)
			return;
		if (!table->column[c].spare)
			continue;
		*sum -= width[c] + GAP;
		width[c] = 0;
	}
}

/* The widest of those that may be cut, a character at a time. */
static void narrow(const struct table *table, unsigned int *width,
		   unsigned int sum, unsigned int limit)
{
	leave_out(table, width, &sum, limit);
	while (sum > limit) {
		unsigned int widest = table->columns;

		for (unsigned int c = 0; c < table->columns; c++)
			if (table->column[c].least &&
			    width[c] > table->column[c].least &&
			    (widest == table->columns ||
			     width[c] > width[widest]))
				widest = c;
		if (widest == table->columns)
			return;
		width[widest]--;
		sum--;
	}
}

/* --- printing -------------------------------------------------------------------- */

static const char *const tones[] = {
	[TABLE_PLAIN] = "",	   [TABLE_GOOD] = "\x1b[32m",
	[TABLE_WARN] = "\x1b[33m", [TABLE_BAD] = "\x1b[31m",
	[TABLE_DIM] = "\x1b[2m",   [TABLE_HEAD] = "\x1b[1m",
};

/* The first `width` characters, with dots when there are more. */
static void print_text(const struct table_look *look, const char *text,
		       unsigned int width)
{
	unsigned int left = width_of(text) > width && width > 3 ? width - 3 :
								  width;
	const char *end = text;

	while (*end && (left || ((unsigned char)*end & 0xc0) == 0x80)) {
		left -= ((unsigned char)*end & 0xc0) != 0x80;
		end++;
	}
	fprintf(look->to, "%.*s%s", (int)(end - text), text,
		*end && width > 3 ? "..." : "");
}

static void print_cell(const struct table_look *look,
		       const struct table_column *column, const char *text,
		       enum table_tone tone, unsigned int width, bool last)
{
	const bool colours = look->colours && *tones[tone];
	unsigned int used = width_of(text);
	int fill = used < width ? (int)(width - used) : 0;

	fprintf(look->to, "%*s%s", column->right ? fill : 0, "",
		colours ? tones[tone] : "");
	print_text(look, text, width);
	fprintf(look->to, "%s%*s", colours ? "\x1b[0m" : "",
		last		? 0 :
		column->right	? GAP :
				  fill + GAP,
		"");
}

/* A line of texts; NULL for `row`: the titles. */
static void print_row(const struct table *table,
		      const struct table_look *look, unsigned int *width,
		      const struct cell *row)
{
	unsigned int last = 0;

	for (unsigned int c = 0; c < table->columns; c++)
		if (width[c] && (!row || *row[c].text))
			last = c;
	for (unsigned int c = 0; c <= last; c++)
		if (width[c])
			print_cell(look, &table->column[c],
				   row ? row[c].text : table->column[c].title,
				   row ? row[c].tone : TABLE_HEAD, width[c],
				   c == last);
	fputs(look->end, look->to);
}

void table_print(struct table *table, const struct table_look *look)
{
	unsigned int *width = checked(calloc(table->columns, sizeof(*width)));
	size_t rows = table->cells / table->columns;
	unsigned int sum = measure(table, width);

	if (look->width)
		narrow(table, width, sum, look->width);
	if (rows && !look->goes_on)
		print_row(table, look, width, NULL);
	for (size_t i = 0; i < rows && (!look->rows || i < look->rows); i++)
		print_row(table, look, width,
			  &table->cell[i * table->columns]);
	free(width);
}

static bool wants_colours(void)
{
	const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(none && *none) && terminal &&
	       strcmp(terminal, "dumb");
}

struct table_look table_stdout(bool wide)
{
	struct table_look look = { .to = stdout, .end = "\n",
				   .colours = wants_colours() };
	struct winsize size;

	if (!wide && isatty(STDOUT_FILENO) &&
	    !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		look.width = size.ws_col;
	return look;
}

void table_show(struct table *table, bool wide)
{
	const struct table_look look = table_stdout(wide);

	table_print(table, &look);
	table_free(table);
}

enum table_tone table_state(const char *state)
{
	static const struct {
		const char *state;
		enum table_tone tone;
	} states[] = {
		{ "running", TABLE_GOOD },   { "paused", TABLE_WARN },
		{ "starting", TABLE_WARN },  { "stopping", TABLE_WARN },
		{ "waiting", TABLE_WARN },   { "deleting", TABLE_WARN },
		{ "silent", TABLE_BAD },     { "stopped", TABLE_DIM },
	};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (!strcmp(state, states[i].state))
			return states[i].tone;
	return TABLE_PLAIN;
}
