/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The memory of the machine, from /proc/meminfo through a kept descriptor, and its pressure. */

#include "sense/group.h"

struct hr_host {
        int meminfo_fd;
        int vmstat_fd; /* -1: it can't be read here */
        unsigned processor_count;
        struct hr_meminfo last; /* last good values */
        uint64_t bad_count; /* values that made no sense (earlyoom left at 1.5 % free on one absurd SwapFree)
                             */
        bool bad_told;
};
#define HR_HOST_INIT                              \
        {                                         \
                .meminfo_fd = -1, .vmstat_fd = -1 \
        }

int hr_host_open(const struct hr_hierarchy *h, struct hr_host *ret);
void hr_host_close(struct hr_host *host);
/* The last good values are returned when those read make no sense. Never fails after a first good read. */
int hr_host_read(struct hr_host *host, struct hr_meminfo *ret);
/*
 * How many bytes were allocated on this machine since boot, for whatever. Only grows, and no cgroup's usage
 * can grow by more than this does: what is charged was allocated first, but for charges that move with a
 * process (v1, where somebody asked for it). -ENODATA: not known here; -errno.
 */
int hr_host_read_allocated(const struct hr_host *host, uint64_t *ret_bytes);
