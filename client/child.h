/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The job's first process: a child that waits, then is the command, and says why where it can't be. */

#include <sys/types.h>

#include "signals.h"

#define HR_CHILD_ID_MAX 32

enum hr_child_step { HR_CHILD_EXEC, HR_CHILD_LOG, HR_CHILD_INPUT };

struct hr_child {
        char **command;
        bool own_group; /* it has a process group of its own */
        bool detached;  /* it has a session of its own, empty input, and output that stays */
        bool logs;      /* detached: its output goes to the log in any case, for ours is the daemon's */
        pid_t pid;
        int go_fd;
        int exec_fd; /* readable once it runs, or can't; -1 once that was heard */
        bool failed; /* it can't: */
        struct hr_child_failure {
                enum hr_child_step step;
                int error;
        } failure;
        bool ended;
        int wait_status; /* of waitpid, once it has ended */
};
#define HR_CHILD_INIT ((struct hr_child){.go_fd = -1, .exec_fd = -1})

/* Forks it; `before` is what it gets back of our signals. 0 or -errno. */
int hr_child_fork(struct hr_child *child, const struct hr_signals_before *before);

/* Lets it begin; `id` names its file of output. Without this, it ends when we do. */
void hr_child_go(struct hr_child *child, const char *id);

/* Waits until it runs, or has said why it can't: `failed`. */
void hr_child_hear(struct hr_child *child);

/* Says on stderr why the job of this name failed to begin; the exit status for that. */
int hr_child_say_failure(const struct hr_child *child, const char *name, const char *id);

/* Is this output one that does not stay: a terminal's, or a pipe's? */
bool hr_child_output_goes(int fd);

void hr_child_done(struct hr_child *child);
