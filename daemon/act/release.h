/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Lets go of every job that is held or armed, by the records that a daemon left: fuse armed, the tripwire and
 * a limit that Headroom had set taken off, then thawed. A frozen job never stays frozen for want of a daemon.
 */

#include "sense/group.h"

/*
 * Does nothing (returns 0) while a daemon has the runtime directory's lock, unless forced by its owner
 * itself. Returns how many were let go, or -errno.
 */
int hr_release_all(const struct hr_hierarchy *h, const char *runtime_dir, bool mine);

/* After the service ended (ExecStopPost=): at once if its unit is being stopped, else a timer that releases
 * in 60 s. */
int hr_release_after_stop(const struct hr_hierarchy *h, bool user, const char *runtime_dir);

/* The lock of a runtime directory: a descriptor to keep, -EWOULDBLOCK if another daemon has it. */
int hr_release_lock(const char *runtime_dir);
