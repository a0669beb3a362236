/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Asking systemd. Waits for its answers: only the helper and the release call it. */

#include <sys/types.h>

#include "think/macros.h"

bool hr_unit_systemd_runs(void); /* as sd_booted(3) */

/*
 * A delegated scope `name` in `slice` ("" for the manager's default) with pid in it. user: by the caller's
 * own manager. Returns 0 once systemd says it is done, -errno (text gets systemd's own words).
 */
int hr_unit_make_scope(bool user, const char *name, const char *slice, const char *description, pid_t pid,
        char *text, size_t text_size);
/* MemoryMax= of a unit, until it ends or the host restarts. limit_bytes HR_BYTES_NONE: infinity. */
int hr_unit_set_limit(bool user, const char *unit, uint64_t limit_bytes, char *text, size_t text_size);
/* How the main process of a service ended, as a wait status; it is given two seconds to be noticed. -ENODATA:
 * it runs, or systemd has forgotten it, which it does at once with what did not fail and nobody enabled. */
int hr_unit_ending(bool user, const char *unit);
/* The job that is queued for a unit: "stop", "restart", "start"... or "" where there is none. */
int hr_unit_queued_job(bool user, const char *unit, char *ret_type, size_t size);
