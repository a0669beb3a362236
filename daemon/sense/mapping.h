/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the memory of a job's processes is: /proc/PID/smaps, summed by kind, and the PSS of each process.
 * Milliseconds for each, seconds for large ones, and it may wait for a process that changes its own mappings:
 * only in the helper.
 */

#include "sense/group.h"

/* Those of a cgroup and of the cgroups below it, the first `room` of them; *ret_more: how many did not fit.
 * inode: of the cgroup, as struct hr_group has it. HR_SENSE_GONE: it is away, or another one. */
int hr_mapping_list(const struct hr_hierarchy *h, const char *cgroup, uint64_t inode, pid_t *pids,
        size_t room, uint32_t *ret_count, uint32_t *ret_more);

#define HR_MAPPING_PIDS_MAX 512
#define HR_MAPPING_TEXT_MAX \
        (32 * HR_MIB) /* read in all. Chosen: 40 processes of NumPy's size, 0.8 MiB each */

/*
 * Reads at most HR_MAPPING_PIDS_MAX processes, those that use most first, for about patience_usec. What is
 * above HR_MAPPING_TEXT_MAX is not told apart (rest_bytes); what can't be read, or not in time, is counted in
 * unread_count. HR_SENSE_GONE: none of them is there any more.
 */
int hr_mapping_read(const char *proc_path, const pid_t *pids, size_t count, uint64_t patience_usec,
        struct hr_breakdown *ret);
