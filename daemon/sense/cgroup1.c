/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sense/group.h"

/*
 * The memory controller of cgroup v1 (Documentation/admin-guide/cgroup-v1/memory.rst). Called through
 * hr_cgroup1_ops by sense/group.c only.
 *
 * memory.usage_in_bytes counts the groups below as well; of memory.stat it is the total_ twins that do. The
 * limit without one is the largest number of whole pages in a long, 9223372036854771712 with 4 KiB pages and
 * less with larger ones: everything that no machine could reach is taken for it. memory.kmem.usage_in_bytes
 * is missing where kernel memory is not accounted (cgroup.memory=nokmem), the memsw files without
 * swapaccount=1. There is no cgroup.events: whether anybody lives in a group is found by looking for the
 * first process. oom_kill in memory.oom_control counts kills in this very group, not in those below it.
 */

#include <errno.h>

#define STAT_SIZE 8192 /* up to 4 KiB seen */

static int cgroup1_read_usage(struct hr_group *g, struct hr_usage *ret)
{
        char text[STAT_SIZE];
        struct hr_usage usage = *ret;
        size_t size;
        int r = hr_sense_read_fd(g->stat_fd, text, sizeof(text), &size);

        if (r == 0)
                r = hr_parse_stat1(text, size, &usage, NULL);
        if (r != 0)
                return r;
        r = hr_sense_read_number_at(g->dir_fd, "memory.kmem.usage_in_bytes", &usage.kernel_bytes);
        if (r == -ENOENT)
                usage.kernel_bytes = 0;
        else if (r != 0)
                return r;
        *ret = usage;
        return 0;
}

static int cgroup1_read_limits(struct hr_group *g, struct hr_group_limits *ret)
{
        struct hr_group_limits limits = {.swap_max_bytes = HR_BYTES_NONE, .high_bytes = HR_BYTES_NONE};
        const struct hr_limit_file files[] = {
                {"memory.limit_in_bytes", &limits.limit_bytes, false},
                {"memory.memsw.limit_in_bytes", &limits.memsw_bytes, true},
        };

        int r = hr_sense_read_limits_at(g->dir_fd, files, ELEMENTSOF(files));

        if (r == 0)
                *ret = limits;
        return r;
}

static int cgroup1_read_peak(struct hr_group *g, uint64_t *ret)
{
        int r = hr_sense_read_number_at(g->dir_fd, "memory.max_usage_in_bytes", ret);

        return r == -ENOENT ? -ENODATA : r;
}

static int cgroup1_read_oom_kills(struct hr_group *g, uint64_t *ret)
{
        char text[256];
        size_t size;
        int r = hr_sense_read_at(g->dir_fd, "memory.oom_control", text, sizeof(text), &size);

        if (r == 0)
                r = hr_parse_oom_control(text, size, ret);
        return r == -ENOENT ? -ENODATA : r;
}

static int found(pid_t pid, void *userdata)
{
        (void)pid;
        (void)userdata;
        return 1;
}

static int cgroup1_read_populated(struct hr_group *g, bool *ret)
{
        uint64_t bytes;
        int r = hr_group_each_pid(g, found, NULL);

        if (r < 0)
                return r;
        if (r == 0) { /* nobody, or no group any more: only the memory files tell */
                int gone = hr_group_read_current(g, &bytes);

                if (gone != 0)
                        return gone;
        }
        *ret = r > 0;
        return 0;
}

const struct hr_group_ops hr_cgroup1_ops = {
        .current_file = "memory.usage_in_bytes",
        .stat_file = "memory.stat",
        .swap_file = NULL,
        .read_usage = cgroup1_read_usage,
        .read_limits = cgroup1_read_limits,
        .read_peak = cgroup1_read_peak,
        .read_oom_kills = cgroup1_read_oom_kills,
        .read_populated = cgroup1_read_populated,
};
