/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The memory of the machine, from /proc/meminfo through a kept descriptor, and its pressure. */

#include "sense/group.h"

struct hr_host {
        int meminfo_fd;
        struct hr_meminfo last; /* last good values */
        uint64_t bad_count; /* values that made no sense (earlyoom left at 1.5 % free on one absurd SwapFree)
                             */
        bool bad_told;
};
#define HR_HOST_INIT             \
        {                        \
                .meminfo_fd = -1 \
        }

int hr_host_open(const struct hr_hierarchy *h, struct hr_host *ret);
void hr_host_close(struct hr_host *host);
/* The last good values are returned when those read make no sense. Never fails after a first good read. */
int hr_host_read(struct hr_host *host, struct hr_meminfo *ret);
