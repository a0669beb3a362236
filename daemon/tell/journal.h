/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The one owner of sd-journal. Levels: ERR: we failed; WARNING: something was ignored; NOTICE: we acted on a
 * job; INFO: start, stop, reload. Without a journal each line goes to stderr as "headroomd: TEXT".
 */

#include "exchange.h"

/* MESSAGE_ID by what was done: random, and what administrators filter by, so never changed. */
#define HR_MESSAGE_WATCH "f7712f69072e4a38947f58579347a969"      /* a job is watched, or no longer */
#define HR_MESSAGE_NOTICE "6da16082c3374185b6baa07e19c2a048"     /* its owner was warned */
#define HR_MESSAGE_TRIM "80c4296ea87643a4923fc96f9d81e259"       /* asked to give back memory */
#define HR_MESSAGE_CHECKPOINT "b26d4c3513df4359836a01b99e5ce9f1" /* its state was to be saved */
#define HR_MESSAGE_HOLD "c526f14c03bb4987813b9f5b68d7311d"       /* frozen, thawed, or its fuse armed */
#define HR_MESSAGE_INTERRUPT "70e91b119e2047aaa832ce633d4d34aa"  /* interrupted, terminated, killed */
#define HR_MESSAGE_LIMIT "030284c3df8a49ceaf1473d063902823"      /* a limit or policy was changed */
#define HR_MESSAGE_END "96c63eb9be3843fe96a0a8daa0088bf0"        /* it ended, or was lost */
#define HR_MESSAGE_OTHER "a3b5f89fa4be4dc2a29336e61515bdae"      /* an action that is not listed */

void hr_journal_init(bool journal); /* before any thread starts */

/* A line of the daemon's own. May block: never from the deciding thread once it decides (it posts events). */
void hr_journal_line(int priority, const char *format, ...) HR_PRINTF(2, 3);
/* One event of a job, with MESSAGE_ID and HR_JOB=, HR_NAME=, HR_STAGE=, HR_PREVIOUS_STAGE=, HR_USED_BYTES=,
 * HR_LIMIT_BYTES=, HR_ACTION=, HR_OUTCOME=, HR_UID=. Never the command line. */
void hr_journal_event(const struct hr_event *event);
