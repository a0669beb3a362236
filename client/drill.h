/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `headroom drill`: a rehearsal on this machine as it is configured. */

#include "verbs.h"

int hr_drill_verb(const struct hr_verb_info *verb, const struct hr_options *o);

/* What the drill runs as its job: fills memory up to so many bytes, bytes a second; arguments as in main. */
#define HR_DRILL_BOMB "drill-bomb"
int hr_drill_bomb(char **arguments);
