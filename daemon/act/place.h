/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where `run` puts a job: never out from under a limit or another manager. Called in the helper alone, since
 * systemd and the kernel may let it wait.
 */

#include "act/target.h"
#include "exchange.h"

#define HR_PATH_MAX 1024 /* longer cgroup paths are not taken for jobs of ours */

struct hr_placement {
        enum hr_kind kind;
        enum hr_freezer freezer;
        char cgroup[HR_PATH_MAX];    /* in the memory hierarchy; "" for a process tree */
        char control[HR_PATH_MAX];   /* in the unified or the freezer hierarchy; "" where there is none */
        char unit[HR_NAME_MAX + 32]; /* the scope that holds it, or "" */
        char why[200];               /* why this kind: one clause, for doctor and the record */
        bool owned;                  /* the memory group is ours: knobs may be written */
};

/* Moves pid; on failure of the better place takes the next one, and says so in why. Never fails: a process
 * tree needs nothing. user_daemon: we are not root, and talk to the user's own manager. */
void hr_place(const struct hr_hierarchy *h, bool user_daemon, pid_t pid, uid_t uid, const char *id,
        const char *name, uint64_t limit_bytes, struct hr_placement *ret);
/* A place for a job that comes back from its image: pid, which waits to become it, is moved to where a login
 * of its owner would put it, or without systemd beside its old cgroup. ret->owned is false where there is
 * none. */
void hr_place_restored(const struct hr_hierarchy *h, pid_t pid, uid_t uid, const char *old_cgroup,
        const char *id, const char *name, uint64_t limit_bytes, struct hr_placement *ret);
/* The cgroup that pid is in, in the memory hierarchy, or "". */
void hr_place_of(const struct hr_hierarchy *h, pid_t pid, char *path, size_t size);
/* What the job's owner should know of its place: one sentence, or "". */
void hr_place_advise(bool user_daemon, uid_t uid, const struct hr_placement *p, char *text, size_t size);
/* Takes the groups away again once they are empty. */
void hr_place_remove(const struct hr_hierarchy *h, const struct hr_placement *p);
