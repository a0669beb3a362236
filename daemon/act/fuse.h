/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The fuse: a soft RLIMIT_DATA just above what a process has, so that its next large allocation fails. Python
 * raises MemoryError at that line; `finally`, `atexit` and the program's own saving run. It does not see
 * growth in memory that is mapped already, or shared. C++ and node abort on it: hence only for Python unless
 * the policy says yes.
 */

#include "act/target.h"

/*
 * Arms it in every member that is Python (every: in all). reserve_bytes: room above VmData. *ret_soft: the
 * soft limit that the first member had, for the record. Returns how many were armed, or -errno if none for an
 * error.
 */
int hr_fuse_arm(const struct hr_target *t, uint64_t reserve_bytes, bool every, uint64_t *ret_soft);
/* RLIMIT_DATA of `run --fuse`: a twentieth below the limit, for what is no data; chosen, not tuned. */
static inline uint64_t hr_fuse_from_start(uint64_t limit_bytes)
{
        return limit_bytes - limit_bytes / 20;
}
/* The same for a job that is about to begin: a share of its limit, whatever it has now (its own program is
 * yet to come). */
int hr_fuse_arm_from_start(const struct hr_target *t, uint64_t limit_bytes, uint64_t *ret_soft);
/* Sets the soft limit back in every member, to soft (at most their hard limit). Returns how many, or -errno.
 */
int hr_fuse_lift(const struct hr_target *t, uint64_t soft);
/* Is there a member that it could be armed in? */
bool hr_fuse_possible(const struct hr_target *t, bool every);
