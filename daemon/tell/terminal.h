/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The login terminals of a job's owner, for jobs whose events no `headroom run` shows. Recorder thread only.
 */

#include "exchange.h"

/* Is this an event that goes to terminals: a stage change or the ending of a job without a run, really done.
 */
bool hr_terminal_wants(const struct hr_event *event);

/* One line on each of the owner's terminals that takes messages (mesg y). Never waits for a terminal. Returns
 * how many. */
unsigned hr_terminal_tell(const struct hr_event *event);
