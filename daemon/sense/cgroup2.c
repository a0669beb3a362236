/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sense/group.h"

/*
 * The memory controller of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst, "Memory Interface Files").
 * Called through hr_cgroup2_ops by sense/group.c only.
 *
 * All counters are of the cgroup with those below it. memory.stat is up to 3 KiB on a 6.1 kernel and grows
 * with each release, so 8 KiB are kept for it on the stack. memory.swap.current is missing without swap
 * accounting; memory.peak before 5.19. A limit that no machine could reach is no limit.
 */

#include <errno.h>

#define STAT_SIZE 8192

static int cgroup2_read_usage(struct hr_group *g, struct hr_usage *ret)
{
        char text[STAT_SIZE];
        struct hr_usage usage = *ret;
        size_t size;
        int r = hr_sense_read_fd(g->stat_fd, text, sizeof(text), &size);

        if (r == 0)
                r = hr_parse_stat2(text, size, &usage);
        if (r != 0)
                return r;
        if (g->swap_fd >= 0) {
                r = hr_sense_read_fd(g->swap_fd, text, 64, &size);
                if (r == 0)
                        r = hr_parse_number(text, size, &usage.swap_bytes);
                if (r != 0)
                        return r;
        }
        *ret = usage;
        return 0;
}

static int cgroup2_read_limits(struct hr_group *g, struct hr_group_limits *ret)
{
        struct hr_group_limits limits = {.memsw_bytes = HR_BYTES_NONE};
        const struct hr_limit_file files[] = {
                {"memory.max", &limits.limit_bytes, false}, {"memory.high", &limits.high_bytes, false},
                {"memory.swap.max", &limits.swap_max_bytes, true}, /* without CONFIG_SWAP */
        };

        int r = hr_sense_read_limits_at(g->dir_fd, files, ELEMENTSOF(files));

        if (r == 0)
                *ret = limits;
        return r;
}

static int cgroup2_read_peak(struct hr_group *g, uint64_t *ret)
{
        int r = hr_sense_read_number_at(g->dir_fd, "memory.peak", ret);

        return r == -ENOENT ? -ENODATA : r;
}

static int cgroup2_read_oom_kills(struct hr_group *g, uint64_t *ret)
{
        struct hr_memory_events events;
        char text[512];
        size_t size;
        int r = hr_sense_read_at(g->dir_fd, "memory.events", text, sizeof(text), &size);

        if (r == 0)
                r = hr_parse_memory_events(text, size, &events);
        if (r != 0)
                return r == -ENOENT ? -ENODATA : r;
        *ret = events.oom_kill;
        return 0;
}

static int cgroup2_read_populated(struct hr_group *g, bool *ret)
{
        bool populated, frozen;
        char text[256];
        size_t size;
        int r = hr_sense_read_at(g->dir_fd, "cgroup.events", text, sizeof(text), &size);

        if (r == 0)
                r = hr_parse_cgroup_events(text, size, &populated, &frozen);
        if (r != 0)
                return r;
        *ret = populated;
        return 0;
}

const struct hr_group_ops hr_cgroup2_ops = {
        .current_file = "memory.current",
        .stat_file = "memory.stat",
        .swap_file = "memory.swap.current",
        .read_usage = cgroup2_read_usage,
        .read_limits = cgroup2_read_limits,
        .read_peak = cgroup2_read_peak,
        .read_oom_kills = cgroup2_read_oom_kills,
        .read_populated = cgroup2_read_populated,
};
