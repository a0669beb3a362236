/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What must outlive the daemon: one small file for each job in the runtime directory (a tmpfs, kept over
 * restarts).
 *
 * The first HR_STATE_ARMED_SIZE bytes say what is set on the job at this moment: a line of fixed width,
 * written in place *before* anything is set, without an allocation or a new page. Below it stands what never
 * changes, as key=value lines, with \xHH for what is no plain text. The first word is the version of the
 * format.
 */

#include "act/place.h"
#include "exchange.h"

#define HR_STATE_VERSION 1
#define HR_STATE_ARMED_SIZE 256

struct hr_armed {
        bool frozen, fused, high, limit; /* set by us: freezer, RLIMIT_DATA, memory.high, memory limit */
        enum hr_stage stage;
        uint32_t phase; /* enum hr_phase */
        bool owner_held, interrupted;
        uint64_t fuse_soft_bytes;        /* RLIMIT_DATA before */
        uint64_t high_before_bytes;      /* memory.high as others set it; HR_BYTES_NONE: they did not */
        uint64_t stood_back_bytes;       /* its limit, while that in the kernel stands back; else
                                            HR_BYTES_NONE */
        uint64_t limit_before_bytes;     /* the own limit before Headroom set one; HR_BYTES_NONE: none */
        uint64_t deadline_realtime_usec; /* of the phase; 0: none */
        uint64_t peak_bytes;
        uint32_t retried; /* how often it was started again by itself */
        /* Without a daemon it is braked from this use on (act/release); HR_BYTES_NONE: never. */
        uint64_t guard_bytes;
};

#define HR_ARMED_NOTHING                                     \
        ((struct hr_armed){.fuse_soft_bytes = HR_BYTES_NONE, \
                .high_before_bytes = HR_BYTES_NONE,          \
                .stood_back_bytes = HR_BYTES_NONE,           \
                .limit_before_bytes = HR_BYTES_NONE,         \
                .guard_bytes = HR_BYTES_NONE})

struct hr_state {
        struct hr_armed armed;
        char id[HR_ID_MAX], name[HR_NAME_MAX], policy[HR_NAME_MAX], checkpoint[272];
        char user[HR_NAME_MAX]; /* the owner's name, found out when the job came */
        uid_t uid;
        gid_t gid;
        pid_t leader;
        uint64_t leader_start_ticks;
        pid_t reaper; /* as in sense/proctree; 0: none */
        uint64_t reaper_start_ticks;
        bool fuse, locked, attached, matched;
        uint64_t limit_max_bytes; /* of its [match]; HR_BYTES_NONE: none */
        /* of a process tree, which the daemon itself enforces; else HR_BYTES_NONE */
        uint64_t own_limit_bytes;
        struct hr_placement placement;
        const char *command; /* for the record of jobs, borrowed; NULL: not known. Not in the file */
};

/* Makes DIR/jobs/ID, whole or not at all. *ret_fd: for hr_state_arm. */
int hr_state_create(const char *dir, const struct hr_state *state, int *ret_fd);
/* Rewrites the armed line in place: one pwrite. */
int hr_state_arm(int fd, const struct hr_armed *armed);
int hr_state_remove(const char *dir, const char *id);
/* Calls back for each readable record. Returns the count of damaged ones; set_aside: these are moved to
 * ID.bad, for a daemon that tells of it. */
typedef void (*hr_state_fn)(const struct hr_state *state, void *userdata);
int hr_state_each(const char *dir, bool set_aside, hr_state_fn each, void *userdata);
/* Opens the record of an adopted job for hr_state_arm. */
int hr_state_open(const char *dir, const char *id);

/* The text forms, for tests. */
int hr_state_format(const struct hr_state *state, char *buf, size_t size);
int hr_state_parse(const char *text, size_t size, struct hr_state *ret);
