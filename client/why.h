/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `headroom why`: what holds a job's memory. */

#include "verbs.h"

int hr_why_verb(const struct hr_verb_info *verb, const struct hr_options *o); /* an exit status */
