/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The configuration's files: headroom.conf, then headroom.conf.d/ *.conf in order of name. Read at start by
 * main, and on SIGHUP by a thread of its own, since a disk may let it wait: the deciding thread takes the
 * result when it is whole.
 */

#include "think/config.h"

/*
 * Reads PATH and PATH.d (both may be missing when `required` is false). Every problem goes to report.
 * *ret_problems: errors and warnings. 0, -errno; -EINVAL when the configuration can't be used.
 */
int hr_config_files_read(const char *path, bool required, uint64_t host_total_bytes, hr_problem_fn report,
        void *userdata, int *ret_problems, struct hr_config **ret);

int hr_reload_init(void);
int hr_reload_fd(void); /* eventfd: readable when a reload has ended */
int hr_reload_start(const char *path, uint64_t host_total_bytes); /* -EBUSY: one is under way */
/* NULL: it could not be used, and text says why (the first problem). text is "" or a warning otherwise. */
struct hr_config *hr_reload_take(char *text, size_t size);
