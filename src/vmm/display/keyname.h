/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys by name ("esc", "f2", "ctrl-alt-delete").
 */
#ifndef LODGE_VMM_DISPLAY_KEYNAME_H
#define LODGE_VMM_DISPLAY_KEYNAME_H

#include <stdbool.h>

#include "chip/key.h"

/* False: no such key. Capitals count as small letters. */
bool keyname_parse(const char *name, struct keystroke *stroke);

#endif
