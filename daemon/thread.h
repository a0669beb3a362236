/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Threads that must not wait for a processor. */

#include <sched.h>

/*
 * The calling thread goes before busy jobs: on cgroup v1 nothing else brakes one that fills 2 GB/s. What it
 * starts is ordinary again. Without rights, or where the kernel gives real time to no group: by its nice
 * value alone. priority: 1 is the lowest.
 */
static inline void hr_thread_prefer(int priority)
{
        const struct sched_param p = {.sched_priority = priority};
        (void)sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &p);
}
#define HR_THREAD_FREEZER 1
#define HR_THREAD_DECIDING 2 /* it looks, and lets limits stand back, while others are being frozen */
