/* SPDX-License-Identifier: Apache-2.0
 *
 * 32-bit guests run without paging until they build tables of their own.
 */
#include "lib.h"

void map_init(void);

void map_init(void)
{
}
