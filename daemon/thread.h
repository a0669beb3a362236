/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <pthread.h>

/* A thread with a small stack that takes no signal: those go through the deciding thread's loop. 0, -errno.
 */
int hr_thread_start(size_t stack_bytes, void *(*run)(void *), void *userdata, pthread_t *ret);

/*
 * The calling thread goes before busy jobs: on cgroup v1 nothing else brakes one that fills 2 GB/s. What it
 * starts is ordinary again. Without rights, or where the kernel gives real time to no group: by its nice
 * value alone. priority: 1 is the lowest.
 */
void hr_thread_prefer(int priority);
#define HR_THREAD_FREEZER 1
#define HR_THREAD_DECIDING 2 /* it looks, and lets limits stand back, while others are being frozen */
