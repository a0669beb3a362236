/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the actuators need to know of a job: how its processes are found, and how it is stopped. Filled in by
 * the job that owns the descriptors; an actuator keeps nothing.
 */

#include "sense/group.h"
#include "sense/proctree.h"

enum hr_freezer {
        HR_FREEZER_NONE,
        HR_FREEZER_CGROUP2, /* cgroup.freeze of the unified hierarchy, beside v1 memory too */
        HR_FREEZER_CGROUP1, /* freezer.state of our own group */
        HR_FREEZER_STOP,    /* SIGSTOP over the tree until no new member appears */
};

struct hr_target {
        const char *proc_path;
        enum hr_kind kind;
        struct hr_group *group;      /* cgroup kinds, else NULL */
        struct hr_tree *tree;        /* process kind, else NULL */
        struct hr_proc_table *table; /* for a fresh look at the tree */
        enum hr_freezer freezer;
        int control_fd; /* the cgroup directory that freezes and kills; -1: none */
        pid_t leader;
        uid_t owner; /* of a tree: who is somebody else's (sudo below it) is not touched, unless root owns the
                        job */
        pid_t *stopped; /* HR_FREEZER_STOP: whom we stopped, to continue only those; room for HR_MEMBERS_MAX
                         */
        size_t *stopped_count;
};

/* Every process of the job, at this moment. Stops when the callback returns non-zero, and returns that. */
int hr_target_each(const struct hr_target *t, hr_pid_fn each, void *userdata);

/* Writes a short text into a file of a cgroup, at once or not at all. 0, -errno. */
int hr_cgroup_write(int dir_fd, const char *name, const char *text);
