/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `headroom policy list | show NAME | set JOB NAME | check FILE`. */

#include "verbs.h"

int hr_policies_verb(const struct hr_verb_info *verb, const struct hr_options *o); /* an exit status */
