/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A program of the owner's, run by the helper: never with our privileges, never in the job's cgroup. */

#include "act/helper.h"

/*
 * In a fresh child of the helper: becomes the owner (groups, gid, uid; limits, nice, oom_score_adj, signal
 * mask and environment set back) and executes request->path. Returns only on failure: -ENOENT, -EACCES,
 * -errno.
 */
int hr_hook_exec(const struct hr_helper_request *request);

/* Becomes the owner, for whatever looks at files on his behalf: a root-squashed or private home is his alone
 * to read. */
int hr_hook_become_owner(const struct hr_helper_request *request);
