/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which job a word means, and what its caller may do with it. Reads /proc and the cgroup tree; changes
 * nothing. For the bus thread: cards stay valid until it reaps.
 */

#include "exchange.h"

/* Who asks. */
struct hr_caller {
        uid_t uid; /* effective, when the connection was made */
        gid_t gid;
        pid_t pid;  /* 0: not known */
        bool admin; /* root; for a --user daemon its user */
};

/* Where to look. */
struct hr_view {
        struct hr_exchange *exchange;
        const char *proc_path; /* the first four as in struct hr_bus_options */
        const char *cgroup_path;
        const char *memory_controller;
};

bool hr_resolve_visible(const struct hr_caller *caller, const struct hr_card *card);

/*
 * Finds the job by id, name, unit or a pid in it, among those that the caller may see. A pid that is in jobs
 * one inside the other means the innermost. -ENOENT: none; -EPERM: somebody else's; -ENOTUNIQ: several. text
 * gets a sentence on failure.
 */
int hr_resolve_job(const struct hr_view *v, const struct hr_caller *caller, const char *word,
        struct hr_card **ret, char *text, size_t text_size);

struct hr_card *hr_resolve_id(const struct hr_view *v, const char *id); /* NULL: none */
/* Whose process it is: of jobs one inside the other the innermost. NULL: in none, or gone. */
struct hr_card *hr_resolve_pid(const struct hr_view *v, pid_t pid);

/*
 * Is every process in the cgroup and below it this user's? Root's callers need not ask.
 * 0; -EPERM: one is not, or it can't be told; -ENODATA: there is no process in it; -ENOENT: no such cgroup.
 */
int hr_resolve_owns_cgroup(const struct hr_view *v, uid_t uid, const char *cgroup);

/* Is the process this user's? 0, -EPERM, -ESRCH. */
int hr_resolve_owns_process(const struct hr_view *v, uid_t uid, pid_t pid);

/* The parent. 0, -ESRCH. */
int hr_resolve_parent(const struct hr_view *v, pid_t pid, pid_t *ret);

/* What `attach` is told to watch. */
struct hr_target {
        pid_t pid;    /* or 0 and ... */
        char *cgroup; /* ... a path that begins with "/"; owned */
        char *unit;   /* its unit or NULL; owned */
};
void hr_target_clear(struct hr_target *t);

/*
 * A number is a pid; a word without "/" that ends in .service, .scope or .slice a unit; else a cgroup's path,
 * below the mount or absolute with it. Checks the caller's right as well. -EINVAL, -ESRCH, -ENOENT, -EPERM,
 * -ENOTUNIQ, -ENOMEM; text gets a sentence on failure.
 */
int hr_resolve_target(const struct hr_view *v, const struct hr_caller *caller, const char *word,
        struct hr_target *ret, char *text, size_t text_size);
