/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list as people read it: a heading, then a line for each row, columns as
 * wide as what is in them. On a terminal that is narrower, cells that may be
 * cut are, with "..." at their end, or columns are left out; and states have colours unless NO_COLOR is
 * set. A program that reads along gets all, plain.
 */
#ifndef LODGE_CLI_TABLE_H
#define LODGE_CLI_TABLE_H

#include <stdbool.h>
#include <stdio.h>

enum table_tone {
	TABLE_PLAIN,
	TABLE_GOOD,
	TABLE_WARN,
	TABLE_BAD,
	TABLE_DIM,
	TABLE_HEAD,
};

struct table_column {
	const char *title;
	bool right;	    /* aligned there */
	unsigned int least; /* how narrow it may be cut; 0: never */
	bool spare; /* left out where even that does not fit, the last first */
	unsigned int usual; /* as wide as this where there is room */
};

struct table_look {
	FILE *to;
	unsigned int width; /* of a line; 0: as long as it gets */
	unsigned int rows;  /* at most; 0: all */
	bool colours;
	bool goes_on; /* another table that had the heading */
	const char *end; /* of a line */
};

struct table;

/* The columns stay the caller's. Ends the program without memory. */
struct table *table_new(const struct table_column *column,
			unsigned int columns);

/* The next cell, from left to right and row by row. */
void table_cell(struct table *table, enum table_tone tone, const char *format,
		...) __attribute__((format(printf, 3, 4)));

/* The rows that are whole; nothing without any. */
void table_print(struct table *table, const struct table_look *look);
void table_free(struct table *table);

/* How it is on standard output; `wide`: nothing is cut. */
struct table_look table_stdout(bool wide);

/* Prints it there, and forgets it. */
void table_show(struct table *table, bool wide);

/* The tone of a machine's state. */
enum table_tone table_state(const char *state);

#endif
