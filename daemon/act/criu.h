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
        bool tracks;  /* probe: the kernel tells which memory has changed, so that it can be written ahead */
        pid_t leader; /* restore: */
        uint64_t leader_start_ticks;
        struct hr_placement placement;
        struct hr_image image; /* as it was recorded */
};

/* For the helper's children: each waits for the end of what it starts. */
void hr_criu_probe(const char *program, struct hr_criu_report *ret);
/* The job runs, and nothing is done to it: could CRIU take it? -EOPNOTSUPP: as it is now, it could not. */
void hr_criu_look(struct hr_image *image, struct hr_criu_report *ret);
/* The job stands still. image->dir is made if need be; "" stands for image->index. */
void hr_criu_dump(struct hr_image *image, struct hr_criu_report *ret);
/*
 * The job runs: its memory is written ahead, and the next dump writes only what has changed since. CRIU stops
 * it for a moment to see what it has. For as long as it may, it holds HR_CRIU_PASS locked, which is removed
 * after that; whoever wants to freeze the job meanwhile locks and removes it first, and nothing is begun any
 * more. A dump, whatever becomes of it, uses up what was written ahead: the kernel's marks are its own then.
 */
void hr_criu_predump(struct hr_image *image, struct hr_criu_report *ret);
/* What was written ahead goes, when nobody writes it any more. */
void hr_criu_forget(struct hr_image *image);
#define HR_CRIU_PASS "%s.pass" /* of image->lock; made by whoever asks for it */
/* caller: who asks. limit_bytes: of the new job `id`; 0: what it was. */
void hr_criu_restore(const char *index, const char *old_id, const char *id, uid_t caller,
        uint64_t limit_bytes, bool removes, struct hr_criu_report *ret);
/* Is CRIU at the job of this lock? */
bool hr_criu_is_busy(const char *lock);
/* Waits until it is not; false: it still is. */
bool hr_criu_wait(const char *lock, uint64_t patience_usec);

/* How long the tasks stood still, from CRIU's "stats-dump". -EBADMSG. */
int hr_criu_parse_stats(const unsigned char *data, size_t size, uint64_t *ret_usec);

/* In the process of its own. Returns the exit status. */
int hr_criu_main(const char *argument);
