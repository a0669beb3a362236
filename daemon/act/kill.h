/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ends the whole job at once. */

#include "act/target.h"

/*
 * cgroup.kill where there is one (kernel 5.14), else SIGKILL to every process, and then thawed: a task frozen
 * by the v1 freezer or stopped by a signal dies, in the first case, only then. 0, -errno.
 */
int hr_kill(const struct hr_target *t);
