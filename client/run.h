/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `headroom run`: starts a job, has it watched, and behaves in the terminal as the command alone would. */

#include "verbs.h"

/* Returns the job's status, or an enum hr_exit. */
int hr_run(const struct hr_verb_info *verb, const struct hr_options *o);
