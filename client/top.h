/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `top`: the jobs, live, and keys to act on them. */

#include "verbs.h"

int hr_top_verb(const struct hr_verb_info *verb, const struct hr_options *o); /* an exit status */
