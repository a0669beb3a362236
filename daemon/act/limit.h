/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Limits and what else is written into memory cgroups: the owner of libcgroup (v1, and v2 without systemd).
 * Everything here may reclaim, and so block for seconds: only the helper calls it, but for
 * hr_limit_lift_high.
 */

#include "act/target.h"

/*
 * v2: drops what can be dropped until usage is below limit_bytes, since the kernel, told to set memory.max
 * below usage, reclaims 16 times and then kills (Linux mm/memcontrol.c, memory_max_write), also one that
 * stands still. -EBUSY: it is not enough, the limit must stay as it is. Before Linux 5.19 nothing is done. 0,
 * -errno.
 */
int hr_limit_make_room(const char *memory_mount, const char *path, uint64_t limit_bytes);
/* memory.max of a v2 group, with room made first. limit_bytes HR_BYTES_NONE: max. 0, -errno as above. */
int hr_limit_write2(const char *memory_mount, const char *path, uint64_t limit_bytes);
/* memory.limit_in_bytes of a v1 group through libcgroup; where memsw is bounded, in the order that the kernel
 * takes. */
int hr_limit_write1(const char *memory_mount, const char *path, uint64_t limit_bytes);
/* memory.high of our own v2 group; HR_BYTES_NONE: max. */
int hr_limit_write_high(const char *memory_mount, const char *path, uint64_t high_bytes);
/*
 * Asks the kernel to reclaim what is cold: memory.reclaim (v2, kernel 5.19), memory.force_empty's milder
 * brother does not exist on v1: there the limit is lowered to used for a moment only by the kernel's own
 * reclaim, so v1 is -EOPNOTSUPP. *ret_bytes: how far memory.current fell.
 */
int hr_limit_reclaim(const char *memory_mount, const char *path, uint64_t bytes, uint64_t *ret_bytes);

/* memory.high to max: reclaims nothing, so never blocks, and the deciding thread may do it itself. */
int hr_limit_lift_high(const struct hr_group *g);

/*
 * Makes a group for a job below `parent` (a path in the memory hierarchy) with libcgroup, sets its limit, and
 * moves pid into it. v1 and v2. 0, -errno.
 */
int hr_limit_make_group(const char *path, uint64_t limit_bytes, int memory_version, pid_t pid);
/* The same in v1's freezer hierarchy. */
int hr_limit_make_freezer(const char *path, pid_t pid);
int hr_limit_remove_group(const char *path, const char *controller);
