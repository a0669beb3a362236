/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What time it is. think/ is told, and does not include this. */

#include <time.h>

#include "think/macros.h"

static inline uint64_t hr_clock_read_usec(clockid_t clock)
{
        struct timespec ts;

        clock_gettime(clock, &ts); /* of a clock that every kernel has: can't fail */
        return (uint64_t)ts.tv_sec * HR_USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

static inline uint64_t hr_clock_usec(void) /* CLOCK_MONOTONIC */
{
        return hr_clock_read_usec(CLOCK_MONOTONIC);
}

static inline uint64_t hr_clock_realtime_usec(void)
{
        return hr_clock_read_usec(CLOCK_REALTIME);
}
