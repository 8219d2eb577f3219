/* SPDX-License-Identifier: Apache-2.0 */
/* An engine that runs nothing: for what a board is, not what it does. */
#ifndef LODGE_FAKE_IDLE_ENGINE_H
#define LODGE_FAKE_IDLE_ENGINE_H

#include "engine/engine.h"

extern const struct engine engine_idle;

#endif
