/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper.h"

/*
 * `run --detach` is two processes: the one that was called, which only waits for the other's word and exits
 * with it, and the keeper, which starts the job and stays. It may be killed: then the job goes on, and how it
 * ended is not known. A daemon that is down when the job ends is told when it is back, as long as its record
 * still hears of it.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ask.h"
#include "exit.h"
#include "fd.h"

#define WAIT_USEC (2 * HR_USEC_PER_SEC)
#define TRIES 300 /* one every two seconds: ten minutes, as the record does (tell/record) */
#define PAUSE_SECONDS 2

bool hr_keeper_begin(int *ret_report_fd, int *ret_status)
{
        int fds[2], status = HR_EXIT_NOT_STARTED;
        pid_t pid;

        *ret_report_fd = -1;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return true;
        pid = fork();
        if (pid < 0) {
                hr_close(fds[0]);
                hr_close(fds[1]);
                return true;
        }
        if (pid == 0) {
                hr_close(fds[0]);
                *ret_report_fd = fds[1];
                return true;
        }
        hr_close(fds[1]);
        while (read(fds[0], &status, sizeof(status)) < 0 && errno == EINTR)
                ;
        hr_close(fds[0]);
        *ret_status = status;
        return false;
}

void hr_keeper_report(int report_fd, int status)
{
        ssize_t n HR_UNUSED;

        fflush(NULL);                                  /* what it is to read is there before it exits */
        n = write(report_fd, &status, sizeof(status)); /* it was killed: nobody waits for this */
}

void hr_keeper_stay(pid_t pid, const char *job, const char *socket)
{
        const struct timespec pause = {.tv_sec = PAUSE_SECONDS};
        _close_ int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        int status, by;
        pid_t ended;

        setsid(); /* a child that was just forked leads no group: can't fail */
        prctl(PR_SET_NAME, "headroom-keeper");
        if (chdir("/") < 0 || null_fd < 0)
                return;
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                dup2(null_fd, fd); /* of two valid descriptors: can't fail */
        null_fd = hr_close(null_fd);
        close_range(STDERR_FILENO + 1, ~0U, 0);
        do /* also for what has escaped from a process tree */
                ended = waitpid(-1, &status, 0);
        while (ended != pid && (ended >= 0 || errno == EINTR));
        if (ended < 0)
                return;
        by = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        for (int i = 0; i < TRIES; i++) {
                _call_ struct hr_call *call = NULL;

                if (hr_call_connect(socket, WAIT_USEC, &call, NULL) == 0 &&
                        hr_call_ended(call, job, by > 0 ? -1 : WEXITSTATUS(status), by) == 0)
                        return;
                nanosleep(&pause, NULL);
        }
}
