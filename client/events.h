/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `headroom events [JOB]`: what happened, and with --follow what happens. */

#include "verbs.h"

int hr_events_verb(const struct hr_verb_info *verb, const struct hr_options *o); /* an exit status */
