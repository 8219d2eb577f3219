/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw disk images: a file or block device as a struct block. What the page
 * cache holds is read at once; the rest goes to a few threads of the image's
 * own, which start when first needed.
 */
#ifndef LODGE_HOST_LINUX_BLOCK_FILE_H
#define LODGE_HOST_LINUX_BLOCK_FILE_H

#include "vm/block.h"

/* Why an image was refused: one line without its path. */
struct block_error {
	char text[160];
};

/*
 * Opens and locks `path`: for others to read as well with `readonly`, else
 * for us alone. `any_format` takes an image that looks like another format's
 * as it is. -1 with `error`. block_close() closes it.
 */
int block_file_open(struct block **block, const char *path, bool readonly,
		    bool any_format, struct block_error *error);

#endif
