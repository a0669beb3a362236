/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Tells when somebody writes a limit of a cgroup: inotify on its limit files, which reports writes on both
 * versions (cgroupfs is a file system like others there). Without it a limit above a job is seen only when it
 * is read again.
 */

#include "sense/group.h"

struct hr_limits;

int hr_limits_new(const struct hr_hierarchy *h, struct hr_limits **ret);
struct hr_limits *hr_limits_free(struct hr_limits *l); /* returns NULL; accepts NULL */
int hr_limits_fd(const struct hr_limits *l);           /* readable when one was written */

/* From now on path is watched, until its cgroup is gone; again is harmless. Allocates. What can't be watched
 * (the root has no limit, the system no watches left) is seen late. */
void hr_limits_watch(struct hr_limits *l, const char *path);

/* Calls back for each that was written; -errno: no more will be told. */
typedef void (*hr_limits_fn)(const char *path, void *userdata);
int hr_limits_dispatch(struct hr_limits *l, hr_limits_fn written, void *userdata);
