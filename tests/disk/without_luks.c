/* SPDX-License-Identifier: Apache-2.0 */
#include "trial.h"

const bool trial_has_luks = false;
