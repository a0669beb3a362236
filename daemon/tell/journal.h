/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The one owner of sd-journal. Levels: ERR: we failed; WARNING: something was ignored; NOTICE: we acted on a
 * job; INFO: start, stop, reload. Without a journal each line goes to stderr as "headroomd: TEXT".
 */

#include "exchange.h"

void hr_journal_init(bool journal); /* before any thread starts */

/* A line of the daemon's own. May block: never from the deciding thread once it decides (it posts events). */
void hr_journal_line(int priority, const char *format, ...) HR_PRINTF(2, 3);
/* One event of a job, with MESSAGE_ID and HR_JOB=, HR_NAME=, HR_STAGE=, HR_PREVIOUS_STAGE=, HR_USED_BYTES=,
 * HR_LIMIT_BYTES=, HR_ACTION=, HR_OUTCOME=, HR_UID=. Never the command line. */
void hr_journal_event(const struct hr_event *event);
