/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A process tree without a cgroup of its own: leader and descendants, held as pidfds. Who was once a member
 * stays one until it dies, also when its parent died before it. Its use is the sum of RssAnon + RssShmem +
 * VmSwap: a cheap upper bound of the PSS, which act/helper reads away from the deciding thread.
 */

#include "sense/group.h"

struct hr_member {
        pid_t pid;
        int pidfd;
        uint64_t start_ticks; /* with the pid, its identity over a restart of the daemon */
};

#define HR_MEMBERS_MAX 4096

struct hr_tree {
        pid_t leader;
        pid_t reaper; /* the job's own subreaper, whose children are members (but HR_WITNESS_NAME) and which
                         is none itself; whoever opened the tree sets it; 0: there is none */
        uint64_t reaper_start_ticks;
        struct hr_member *members; /* room for HR_MEMBERS_MAX, touched as used; owned */
        size_t member_count;
        bool overflow; /* there are more: told once */
        uint64_t last_used_bytes;
        uint64_t bad_count;
};

/* A table of all processes of the host, for one or many trees: filled by one pass over /proc, in room kept
 * from start. */
struct hr_proc_table;
int hr_proc_table_new(const char *proc_path, struct hr_proc_table **ret);
struct hr_proc_table *hr_proc_table_free(struct hr_proc_table *t);
int hr_proc_table_scan(
        struct hr_proc_table *t); /* no allocation: getdents64 and kept buffers; at most 65536 processes */

/* Leader by pid. -ESRCH: no such process. start_ticks 0: whoever has the pid now, else must match (-ESRCH).
 */
int hr_tree_open(const char *proc_path, pid_t leader, uint64_t start_ticks, struct hr_tree *ret);
void hr_tree_close(struct hr_tree *t);
/* Takes in new descendants (of any member and of the reaper) from the table, lets go of the dead.
 * HR_SENSE_GONE: nobody is left. */
int hr_tree_update(const char *proc_path, struct hr_tree *t, const struct hr_proc_table *table);
/* Adds a process that another found (adoption after a restart). */
int hr_tree_add(const char *proc_path, struct hr_tree *t, pid_t pid, uint64_t start_ticks);
/* Sums the members' status files. HR_SENSE_GONE: nobody is left. */
int hr_tree_read_usage(const char *proc_path, struct hr_tree *t, struct hr_usage *ret);

/* One process. All return HR_SENSE_GONE when it is away. */
int hr_process_open(const char *proc_path, pid_t pid, uint64_t start_ticks); /* pidfd, -errno */
/* How it ended, though it is no child: while nobody has waited for it, and from Linux 6.15 on also after
 * that. *ret_status -1: by *ret_signal. -ENODATA: it runs, or is not known. */
int hr_process_ending(const char *proc_path, int pidfd, pid_t pid, int32_t *ret_status, int32_t *ret_signal);
int hr_process_status(const char *proc_path, pid_t pid, struct hr_pid_status *ret);
int hr_process_stat(const char *proc_path, pid_t pid, struct hr_pid_stat *ret);
/* Is it a Python interpreter: /proc/PID/exe's base name begins with "python", or libpython is its exe.
 * Without the right to read exe: by the name in stat. */
bool hr_process_is_python(const char *proc_path, pid_t pid);
/* The PSS of pids, in bytes (milliseconds each: only in the helper). Those that are away count nothing. */
int hr_process_pss(const char *proc_path, const pid_t *pids, size_t count, uint64_t *ret_bytes);

/*
 * The way in stays open: is one of these never to be frozen, signalled or killed? PID 1, headroomd itself,
 * sshd, a user manager, (dbus-daemon, dbus-broker), systemd-journald, systemd-logind, slurmstepd, a notebook
 * server (its name or command line begins with jupyter), a getty or login. 1 and its name in ret_name if so,
 * 0 if not.
 */
int hr_process_is_way_in(const char *proc_path, pid_t pid, char *ret_name, size_t size);
/* For a whole group (cgroup.procs of it and below); cgroups named session-*.scope, user@*.service, init.scope
 * count as such. */
int hr_group_is_way_in(const char *proc_path, const struct hr_group *g, char *ret_name, size_t size);
