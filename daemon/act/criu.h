/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Checkpoints of a whole job by CRIU. It runs in a process of its own, which neither the daemon nor the
 * helper may take along when they end: CRIU that is killed while it holds a job kills the job. Under systemd
 * that is a transient service, which has neither our sandbox nor our bounds, for a restored job would inherit
 * them; elsewhere a child in a session of its own. It is this very program, `headroomd --criu=WORD:...`.
 */

#include "act/image.h"

/* What it says at its end: one write of this, on its standard output. */
struct hr_criu_report {
        uint32_t magic;
        int result; /* 0; -EOPNOTSUPP: not possible, nothing was touched; -errno */
        char text[200];
        uint64_t bytes; /* of the image */
        pid_t leader;   /* restore: */
        uint64_t leader_start_ticks;
        struct hr_placement placement;
        struct hr_image image; /* as it was recorded */
};

/* For the helper's children: each waits for the end of what it starts. */
void hr_criu_probe(const char *program, struct hr_criu_report *ret);
/* The job stands still. image->dir is made if need be; "" stands for image->index. */
void hr_criu_dump(struct hr_image *image, struct hr_criu_report *ret);
/* caller: who asks. limit_bytes: of the new job `id`; 0: what it was. */
void hr_criu_restore(const char *index, const char *old_id, const char *id, uid_t caller,
        uint64_t limit_bytes, bool removes, struct hr_criu_report *ret);
/* Is CRIU at the job of this lock? */
bool hr_criu_is_busy(const char *lock);
/* Waits until it is not; false: it still is. */
bool hr_criu_wait(const char *lock, uint64_t patience_usec);

/* In the process of its own. Returns the exit status. */
int hr_criu_main(const char *argument);
