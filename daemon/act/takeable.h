/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Can CRIU take this job, and is what it brought back what was taken? Both are asked of /proc.
 *
 * A restore opens files by their names, as root. Whoever owned the job may have put a link to somebody else's
 * file in place of one of them meanwhile. So it is written down, while the job stands still, which files its
 * processes have open, by their identity; and before a restored process runs, it is held against that.
 */

#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "think/macros.h"

#define HR_TAKEABLE_PIDS_MAX 4096

enum hr_taken {
        HR_TAKEN_NOTHING, /* nothing to remember: memory, a pipe of its own, /dev/null */
        HR_TAKEN_FILE,    /* a file with a name: its identity is remembered */
        HR_TAKEN_DELETED, /* one whose name is gone: CRIU makes it anew beside where it was */
        HR_TAKEN_PIPE,    /* is its other end the job's as well? */
        HR_TAKEN_SOCKET,  /* the same */
        HR_TAKEN_PROCESS, /* /proc/PID/...: there again with its process, if that is the job's as well */
        HR_TAKEN_REFUSED, /* CRIU can't take it, or it would not be safe */
};
/* Of one descriptor: link is what /proc/PID/fd/N reads, st what it stands for. text: why it is refused. */
enum hr_taken hr_takeable_judge(const char *link, const struct stat *st, char *text, size_t text_size);

/*
 * Looks at the processes of a job that stands still. pids: with the leader first. files gets the identities,
 * one line each. 0; -EOPNOTSUPP: CRIU can't take it, and text says why; -EAGAIN: the same, but it may be over
 * in a moment (a connection that is just being closed); -errno.
 */
int hr_takeable_look(const pid_t *pids, size_t count, uid_t owner, FILE *files, char *text, size_t text_size);

/* Is what stands in `files` still there, under the same names? 0; -ESTALE, and text names the first that is
 * not. Before a restore: what it would open, it may open. */
int hr_takeable_check_names(FILE *files, char *text, size_t text_size);
/*
 * The files that standard output and error go to, opened anew as the job had them, at their end: others may
 * have written there since (`headroom run` does), while CRIU takes back only files of the same size. paths:
 * without their first slash, as CRIU has them. The count of both; -ESTALE as above.
 */
#define HR_TAKEABLE_OUTPUTS_MAX 8
int hr_takeable_open_outputs(FILE *files, int fds[HR_TAKEABLE_OUTPUTS_MAX],
        char paths[HR_TAKEABLE_OUTPUTS_MAX][1024], char *text, size_t text_size);
/* The same of the restored processes themselves, which do not run yet. */
int hr_takeable_check_processes(FILE *files, char *text, size_t text_size);
/* Is none of the job's pids in use? 0; -EEXIST, and text says by whom. */
int hr_takeable_check_pids(FILE *files, char *text, size_t text_size);
