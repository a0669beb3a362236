/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Signals, through pidfds only. */

#include "act/target.h"

/*
 * One process, which must still belong to the job: the pidfd is opened, then membership is looked at, then
 * the signal goes out. only_with_handler: not to a process that has no handler for it (SigCgt in its status),
 * for the signal would kill it. 0: sent; 1: left out for want of a handler; -ESRCH, -EPERM, -errno.
 */
int hr_signal_one(const struct hr_target *t, pid_t pid, int sig, bool only_with_handler);
/* Every process of the job. Returns how many it was sent to, or -errno if to none for an error. */
int hr_signal_all(const struct hr_target *t, int sig, bool only_with_handler);
/* Does one of these wait for this process. A ctrl-Z that it ignores would not wait. */
#define HR_SIGNAL_BIT(sig) (1ULL << ((sig)-1))
bool hr_signal_waits(const struct hr_target *t, pid_t pid, uint64_t signals);
/*
 * A ctrl-Z that waits in a held job would stop it before it can obey a later SIGINT or SIGTERM: SIGCONT takes
 * it back where one waits. Who is stopped already is not continued.
 */
void hr_signal_drop_stops(const struct hr_target *t);
/* Does a signal that would end or interrupt it (INT, TERM, HUP, QUIT, KILL) wait for any process of a held
 * job? */
bool hr_signal_pending(const struct hr_target *t);
