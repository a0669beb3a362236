/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>

int hr_thread_start(size_t stack_bytes, void *(*run)(void *), void *userdata, pthread_t *ret)
{
        sigset_t all, before;
        pthread_attr_t attr;

        int error = pthread_attr_init(&attr);
        if (error != 0)
                return -error;
        sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited by the thread */
        error = pthread_attr_setstacksize(&attr, stack_bytes);
        if (error == 0)
                error = pthread_create(ret, &attr, run, userdata);
        if (error == EINVAL) /* thread-local storage (of a sanitizer) does not fit into it */
                error = pthread_create(ret, NULL, run, userdata);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        (void)pthread_attr_destroy(&attr);
        return -error;
}

void hr_thread_prefer(int priority)
{
        const struct sched_param p = {.sched_priority = priority};
        (void)sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &p);
}
