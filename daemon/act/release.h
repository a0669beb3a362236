/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Lets go of every job that is held or armed, by the records that a daemon left: fuse armed, the tripwire and
 * a limit that Headroom had set taken off, then thawed. A frozen job never stays frozen for want of a daemon.
 *
 * And for the moment between two daemons: what is near its limit is frozen until the next one is there, or it
 * is let go with the rest.
 */

#include "sense/group.h"

#define HR_RELEASE_USEC (60 * HR_USEC_PER_SEC) /* how long a daemon may be gone */

/* At the end of a daemon that keeps the lock. How many were let go, or -errno. */
int hr_release_own(const struct hr_hierarchy *h, const char *runtime_dir);

/*
 * Of the daemon that held the lock last; a number that no other has, 0: there was none. Who guards a runtime
 * directory asks while, or just after, its own daemon had it.
 */
uint64_t hr_release_stamp(const char *runtime_dir);
/*
 * After HR_RELEASE_USEC. Nothing is done (0) where a daemon has the lock, nor where another has had it since
 * the one of that stamp: that one has a guard of its own, who waits as long. Of daemons that crash again and
 * again, the first one's must not let jobs go in the moment between two of them.
 */
int hr_release_late(const struct hr_hierarchy *h, const char *runtime_dir, uint64_t stamp);

/*
 * The daemon of that stamp has just ended: freezes every job that uses armed.guard_bytes or more, on record
 * first; the next daemon lets it go on and looks. Nothing is done where that one is there already. How many
 * are frozen, or -errno.
 */
int hr_release_brake(const struct hr_hierarchy *h, const char *runtime_dir, uint64_t stamp);

/* After the service ended (ExecStopPost=): at once if its unit is being stopped, else a timer that releases
 * in 60 s. */
int hr_release_after_stop(const struct hr_hierarchy *h, bool user, const char *runtime_dir);

/* The lock of a runtime directory, for a daemon: a descriptor to keep, -EWOULDBLOCK if another daemon has it.
 */
int hr_release_lock(const char *runtime_dir);
