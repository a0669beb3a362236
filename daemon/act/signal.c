/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "act/signal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>

/*
 * A pid may be used again between the look and the kill; a pidfd can't. Members of a tree are held as pidfds
 * already. In a cgroup the pidfd is opened first and the membership is read after: if the pid is still listed
 * then, the pidfd is of that process.
 */

static int send(int pidfd, int sig)
{
        return pidfd_send_signal(pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

static bool has_handler(const struct hr_target *t, pid_t pid, int sig)
{
        struct hr_pid_status status;
        return hr_process_status(t->proc_path, pid, &status) == 0 && (status.sig_caught & HR_SIGNAL_BIT(sig));
}

static int is_pid(pid_t pid, void *userdata)
{
        return pid == *(pid_t *)userdata;
}

int hr_signal_one(const struct hr_target *t, pid_t pid, int sig, bool only_with_handler)
{
        if (only_with_handler && !has_handler(t, pid, sig))
                return 1;
        if (t->tree) {
                for (size_t i = 0; i < t->tree->member_count; i++)
                        if (t->tree->members[i].pid == pid)
                                return send(t->tree->members[i].pidfd, sig);
                return -ESRCH;
        }
        _close_ int pidfd = pidfd_open(pid, 0);
        if (pidfd < 0)
                return -errno;
        int r = hr_target_each(t, is_pid, &pid);
        if (r <= 0)
                return r < 0 ? r : -ESRCH;
        return send(pidfd, sig);
}

struct sending {
        const struct hr_target *target;
        int sig, sent, error;
        bool only_with_handler;
};

static int send_each(pid_t pid, void *userdata)
{
        struct sending *s = userdata;
        if (s->only_with_handler && !has_handler(s->target, pid, s->sig))
                return 0;
        /* The list was read this instant; opening each pid here and looking again would be n squared. */
        _close_ int pidfd = pidfd_open(pid, 0);
        int r = pidfd < 0 ? -errno : send(pidfd, s->sig);
        if (r == 0)
                s->sent++;
        else if (r != -ESRCH)
                s->error = r;
        return 0;
}

int hr_signal_all(const struct hr_target *t, int sig, bool only_with_handler)
{
        struct sending s = {.target = t, .sig = sig, .only_with_handler = only_with_handler};
        int r = hr_target_each(t, send_each, &s);
        if (r < 0)
                return r;
        return s.sent > 0 ? s.sent : s.error;
}

bool hr_signal_waits(const struct hr_target *t, pid_t pid, uint64_t signals)
{
        struct hr_pid_status status;
        return hr_process_status(t->proc_path, pid, &status) == 0 &&
               (status.sig_pending | status.sig_shared_pending) & signals;
}

static int drop_stop(pid_t pid, void *userdata)
{
        const struct hr_target *t = userdata;
        const uint64_t stops = HR_SIGNAL_BIT(SIGTSTP) | HR_SIGNAL_BIT(SIGTTIN) | HR_SIGNAL_BIT(SIGTTOU);
        if (hr_signal_waits(t, pid, stops))
                (void)hr_signal_one(t, pid, SIGCONT, false); /* it may be gone: nobody is left to stop then */
        return 0;
}

void hr_signal_drop_stops(const struct hr_target *t)
{
        (void)hr_target_each(t, drop_stop, (void *)t); /* whoever can't be listed can't be signalled either */
}

static int is_signalled(pid_t pid, void *userdata)
{
        const struct hr_target *t = userdata;
        /* A kill needs no thawing but in v1's freezer; elsewhere it is the end already, the kernel's OOM
         * killer's maybe. */
        const uint64_t ending = HR_SIGNAL_BIT(SIGINT) | HR_SIGNAL_BIT(SIGTERM) | HR_SIGNAL_BIT(SIGHUP) |
                                HR_SIGNAL_BIT(SIGQUIT) |
                                (t->freezer == HR_FREEZER_CGROUP1 ? HR_SIGNAL_BIT(SIGKILL) : 0);
        struct hr_pid_status status;
        if (hr_process_status(t->proc_path, pid, &status) != 0)
                return 0;
        uint64_t waits = (status.sig_pending | status.sig_shared_pending) & ending & ~status.sig_ignored &
                         ~status.sig_blocked;
        return waits != 0;
}

bool hr_signal_pending(const struct hr_target *t)
{
        return hr_target_each(t, is_signalled, (void *)t) > 0;
}
