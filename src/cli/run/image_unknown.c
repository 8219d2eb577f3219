/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said of an image that is not there.
 */
#include <stdlib.h>

#include "cli/image/image.h"
#include "cli/option.h"

void image_unknown(struct store *store, const char *name)
{
	const char *names[256], *like = NULL;
	struct store_image *list;
	int count = store_list(store, &list, NULL);
	size_t n = 0;

	for (int i = 0; i < count && n < 256; i++)
		names[n++] = list[i].record.name;
	if (n)
		like = cli_nearest(name, names, n, sizeof(names[0]));
	if (like)
		cli_error("there is no image %s; did you mean %s?", name, like);
	else
		cli_error("there is no image %s; lodge image list shows those "
			  "that are, lodge image build debian makes one", name);
	free(list);
}
