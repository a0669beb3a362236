/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Stops a job where it is, and lets it go on. The memory back end does not matter. Never waits for the job;
 * of a cgroup the write may wait for the kernel's lock, so the deciding thread leaves it to act/freezer.
 */

#include "act/target.h"

/* 0: asked for (cgroups freeze asynchronously: see hr_freeze_complete); -errno. */
int hr_freeze(const struct hr_target *t);
int hr_thaw(const struct hr_target *t);
/* The same of a cgroup, by its directory: HR_FREEZER_CGROUP2 or HR_FREEZER_CGROUP1. Any thread. */
int hr_freeze_cgroup(enum hr_freezer freezer, int control_fd, bool freeze);
/* After a restart: takes every stopped process of the job for one that we stopped. */
void hr_freeze_adopt(const struct hr_target *t);
/* *ret: every task has stopped. By SIGSTOP, whoever was continued by others is stopped again. 0,
 * HR_SENSE_GONE or -errno. */
int hr_freeze_complete(const struct hr_target *t, bool *ret);

const char *hr_freezer_name(enum hr_freezer f); /* "cgroup.freeze", "freezer", "SIGSTOP", "none" */
