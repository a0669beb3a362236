/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Of a detached job: a process of ours that stays its parent, for the kernel tells nobody else its exit
 * status. */

#include <stdbool.h>
#include <sys/types.h>

/*
 * Forks. Returns true in the keeper, with the descriptor to report over, where all goes on; false in the
 * process that was called, once the keeper has reported or ended: *ret_status is what to exit with. Where
 * nothing can be forked: true, without a keeper (-1).
 */
bool hr_keeper_begin(int *ret_report_fd, int *ret_status);

/* The process that was called exits with this status. */
void hr_keeper_report(int report_fd, int status);

/*
 * Reported: lets go of the terminal, of every descriptor and of its directory, waits for the job's first
 * process, a child, and tells the daemon at `socket` how it ended, once that can be reached.
 */
void hr_keeper_stay(pid_t pid, const char *job, const char *socket);
