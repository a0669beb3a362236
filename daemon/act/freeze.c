/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "act/freeze.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "act/signal.h"

/*
 * Three freezers, chosen when the job comes and independent of how its memory is counted:
 *
 *   cgroup2   "1" to cgroup.freeze; done when cgroup.events says frozen 1 (cgroup-v2.rst)
 *   cgroup1   "FROZEN" to freezer.state; done when it reads FROZEN (cgroup-v1/freezer-subsystem.rst)
 *   stop      SIGSTOP to every member, again and again until a pass finds nobody new. Those that were stopped
 *             already (their owner's ctrl-Z) are left out and never continued by us.
 *
 * A frozen cgroup is frozen for ever if nobody thaws it: the caller records it before it calls here.
 */

#define STOP_PASSES_MAX 32 /* a job that forks faster than this is caught by the next sample */

static bool is_stopped_by_us(const struct hr_target *t, pid_t pid)
{
        for (size_t i = 0; i < *t->stopped_count; i++)
                if (t->stopped[i] == pid)
                        return true;
        return false;
}

struct stop_pass {
        const struct hr_target *target;
        size_t found;
};

static int stop_one(pid_t pid, void *userdata)
{
        struct stop_pass *pass = userdata;
        const struct hr_target *t = pass->target;
        struct hr_pid_stat stat;

        if (is_stopped_by_us(t, pid) || *t->stopped_count >= HR_MEMBERS_MAX)
                return 0;
        if (hr_process_stat(t->proc_path, pid, &stat) != 0 || stat.state == 'T' || stat.state == 't' ||
                stat.state == 'Z')
                return 0;
        if (hr_signal_one(t, pid, SIGSTOP, false) == 0) {
                t->stopped[(*t->stopped_count)++] = pid;
                pass->found++;
        }
        return 0;
}

static int stop_tree(const struct hr_target *t)
{
        for (int i = 0; i < STOP_PASSES_MAX; i++) {
                struct stop_pass pass = {.target = t};
                int r = hr_target_each(t, stop_one, &pass);
                if (r < 0)
                        return r;
                if (pass.found == 0)
                        break;
        }
        return *t->stopped_count > 0 ? 0 : -ESRCH;
}

/* Somebody else's SIGCONT (a shell's fg) undoes ours: who runs is stopped again, and who is new too. One that
 * has not yet taken the first SIGSTOP looks the same: it stays on the list of those that are ours to
 * continue. */
static int stop_again(const struct hr_target *t)
{
        for (size_t i = 0; i < *t->stopped_count; i++) {
                struct hr_pid_stat stat;
                if (hr_process_stat(t->proc_path, t->stopped[i], &stat) == 0 && stat.state != 'T')
                        (void)hr_signal_one(t, t->stopped[i], SIGSTOP, false); /* else it has just died */
        }
        return stop_tree(t);
}

/* A SIGCONT takes a ctrl-Z away that waits: it is given back, as the other freezers would let it. */
static void continue_one(const struct hr_target *t, pid_t pid)
{
        bool ctrl_z = hr_signal_waits(t, pid, HR_SIGNAL_BIT(SIGTSTP));

        (void)hr_signal_one(t, pid, SIGCONT, false); /* it may have died: nothing is left to do then */
        if (ctrl_z)
                (void)hr_signal_one(t, pid, SIGTSTP, false);
}

static int continue_tree(const struct hr_target *t)
{
        for (size_t i = 0; i < *t->stopped_count; i++)
                continue_one(t, t->stopped[i]);
        *t->stopped_count = 0;
        return 0;
}

static int adopt_one(pid_t pid, void *userdata)
{
        const struct hr_target *t = userdata;
        struct hr_pid_stat stat;
        if (*t->stopped_count < HR_MEMBERS_MAX && hr_process_stat(t->proc_path, pid, &stat) == 0 &&
                stat.state == 'T')
                t->stopped[(*t->stopped_count)++] = pid;
        return 0;
}

void hr_freeze_adopt(const struct hr_target *t)
{
        if (t->freezer == HR_FREEZER_STOP)
                (void)hr_target_each(t, adopt_one, (void *)t); /* who can't be found now is no longer there */
}

int hr_freeze_cgroup(enum hr_freezer freezer, int control_fd, bool freeze)
{
        if (freezer == HR_FREEZER_CGROUP2)
                return hr_cgroup_write(control_fd, "cgroup.freeze", freeze ? "1" : "0");
        if (freezer == HR_FREEZER_CGROUP1)
                return hr_cgroup_write(control_fd, "freezer.state", freeze ? "FROZEN" : "THAWED");
        return -EOPNOTSUPP;
}

int hr_freeze(const struct hr_target *t)
{
        return t->freezer == HR_FREEZER_STOP ? stop_tree(t)
                                             : hr_freeze_cgroup(t->freezer, t->control_fd, true);
}

int hr_thaw(const struct hr_target *t)
{
        return t->freezer == HR_FREEZER_STOP ? continue_tree(t)
                                             : hr_freeze_cgroup(t->freezer, t->control_fd, false);
}

int hr_freeze_complete(const struct hr_target *t, bool *ret)
{
        char buf[256];
        size_t size;
        bool populated;
        int r;

        switch (t->freezer) {
        case HR_FREEZER_CGROUP2:
                r = hr_sense_read_at(t->control_fd, "cgroup.events", buf, sizeof(buf), &size);
                return r != 0 ? r : hr_parse_cgroup_events(buf, size, &populated, ret);
        case HR_FREEZER_CGROUP1:
                r = hr_sense_read_at(t->control_fd, "freezer.state", buf, sizeof(buf), &size);
                if (r == 0)
                        *ret = size >= 6 && memcmp(buf, "FROZEN", 6) == 0;
                return r;
        case HR_FREEZER_STOP:
                (void)stop_again(t);
                *ret = *t->stopped_count > 0; /* signals are taken at the next return to user space */
                return 0;
        case HR_FREEZER_NONE:
                break;
        }
        return -EOPNOTSUPP;
}

const char *hr_freezer_name(enum hr_freezer f)
{
        static const char *const names[] = {
                [HR_FREEZER_NONE] = "none",
                [HR_FREEZER_CGROUP2] = "cgroup.freeze",
                [HR_FREEZER_CGROUP1] = "freezer",
                [HR_FREEZER_STOP] = "SIGSTOP",
        };
        return names[f];
}
