/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What settings say that the options of lodge run take as a text: looked at
 * when they are given, so that nobody hears of a slip at the next start only.
 * A configuration that is kept already is not looked at again.
 */
#ifndef LODGE_MANAGE_VM_SPEC_WORDS_H
#define LODGE_MANAGE_VM_SPEC_WORDS_H

#include <jansson.h>

#include "manage/api/problem.h"

/*
 * Of a configuration that spec_check() took, or a change of one: 0, or -1 with
 * `problem`, which names the setting.
 */
int spec_check_words(const json_t *config, struct problem *problem);

#endif
