/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents of YAML 1.1 (with the core schema of 1.2 for plain words: only
 * true, false, null and whole numbers are more than text) as JSON, by libyaml:
 * the extension "yaml".
 */
#ifndef LODGE_CLI_YAML_H
#define LODGE_CLI_YAML_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

#define YAML_SIZE_MAX ((size_t)1 << 20)

/*
 * The documents of a text: a list of objects with the document's "value", the
 * "line" on which it begins, and "lines", which has that of each key by its
 * path ("disks.0.path"). NULL: `why` has one line, which begins with the number
 * of the text's. Aliases and tags are not taken.
 */
typedef json_t *yaml_reader(const char *text, size_t size, char *why,
			    size_t why_size);

/* Writes a list of objects, a document each. 0, or -1: the file fails. */
typedef int yaml_writer(FILE *out, const json_t *list);

yaml_reader yaml_read;
yaml_writer yaml_write;

#endif
