/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `history` and `advise`: what is on record of jobs that have ended, and what to ask for next time. */

#include "call.h"
#include "verbs.h"

int hr_history_verb(const struct hr_verb_info *verb, const struct hr_options *o);
int hr_advise_verb(const struct hr_verb_info *verb, const struct hr_options *o);

/* Of `command` (NULL-ended words), or of `name` where that command line has no run on record. `name` NULL: as
 * `run` would call it. 0, or an exit status; not said. */
int hr_advise_ask(struct hr_call *call, const char *name, char *const *command, struct hr_call_advice *ret);
/* "1.2 x 4.1 GiB, ... of 7 runs ...". */
void hr_advise_describe(const struct hr_call_advice *advice, char *buf, size_t size);

/* "killed by signal 9 (SIGKILL)": how it ended, in a person's words. */
void hr_history_describe_end(const struct hr_call_record *record, char *buf, size_t size);
