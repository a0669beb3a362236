/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The record of jobs, in one SQLite database: the one owner of SQLite. Written by the recorder thread alone
 * (struct hr_record); read by one other thread over a connection of its own that can't write (struct
 * hr_record_reader). Both may wait for the disk; nobody else does.
 *
 * Schema, version 1 (PRAGMA user_version). Times are microseconds of CLOCK_REALTIME, sizes bytes; NULL: none,
 * or not known.
 *
 *   jobs    number       PRIMARY KEY, in the order of their coming
 *           job, name, user, uid, kind, cgroup, unit, policy       as in `status`
 *           command      escaped; command_hash: FNV-1a of it, for the index
 *           start_usec, end_usec (NULL: it runs), last_usec (of what was written last)
 *           limit_bytes  the own limit at the end
 *           peak_bytes, peak_source ("kernel" "samples"), censored 1: a lower bound, for it was cut off
 *           outcome      hr_record_outcome's words; cause, fused: what it is made of
 *           exit_status, signal   of its first process, by the word of `headroom run`
 *           reason       of its last event; held_by: what held the memory, by its own word
 *           stage        the furthest; events_left_out: events above EVENTS_MAX
 *           samples      a curve of at most HR_RECORD_POINTS_MAX points: a byte 1, then for each four
 * numbers, each as its difference to the one before, zigzag, LEB128: milliseconds, and KiB of used, cache,
 *                        limit (0: none)
 *   events  number, time_usec, stage, previous_stage, action, outcome, reason, used_bytes, limit_bytes
 *
 * Rows without end_usec that are found at start belong to jobs that ended unseen, unless they are adopted.
 * A database that is damaged, of another version or gone is moved aside to record.db.damaged, said, and
 * begun anew. One that can't be written is tried again each minute; the jobs that end meanwhile are counted
 * and said.
 */

#include "exchange.h"

#define HR_RECORD_FILE "record.db"
#define HR_RECORD_POINTS_MAX 120
#define HR_RECORD_PAGE_BYTES                                                          \
        HR_MIB /* of texts that a history gives at once; 2000 ordinary jobs have less \
                */

/* ---- writing: the recorder thread ---- */

struct hr_record;

struct hr_record_options {
        const char *directory; /* of state; exists */
        const char *proc_path; /* for the command line of a job that nobody named; NULL: it stays unknown */
        uint64_t age_usec;     /* HR_USEC_NEVER: kept whatever its age */
        uint64_t size_bytes;
        /* A line for the journal. */
        void (*say)(int priority, const char *text, void *userdata);
        void *userdata;
};

/* -ENOMEM alone: a database that can't be had is said, and tried again. */
int hr_record_new(const struct hr_record_options *options, struct hr_record **ret);
struct hr_record *hr_record_free(struct hr_record *r); /* writes the rest; returns NULL; accepts NULL */

void hr_record_birth(struct hr_record *r, const struct hr_birth *b);
void hr_record_point(struct hr_record *r, const struct hr_point *p);
void hr_record_event(struct hr_record *r, const struct hr_event *e);
void hr_record_told(struct hr_record *r, const struct hr_told *t);
/* After each batch of the above: what was written is there for readers. now_usec: CLOCK_REALTIME. Returns
 * after how long to call it again though nothing came; HR_USEC_NEVER. */
uint64_t hr_record_commit(struct hr_record *r, uint64_t now_usec);

/* "finished" "failed" "memory_error" "interrupted" "killed" "own_limit" "host_full" "signal" "ended" "unseen"
 * "detached". status -1: not known. *ret_censored: was it cut off, so that its peak is a lower bound? */
const char *hr_record_outcome(
        enum hr_cause cause, bool memory_error, int status, int signal, bool *ret_censored);

/* ---- reading: one thread ---- */

/* Strings are never NULL, and go with the row. */
struct hr_record_row {
        char *texts; /* owned: what they all point into */
        const char *job, *name, *command, *user, *kind, *cgroup, *unit, *policy, *peak_source, *outcome,
                *reason, *held_by, *stage;
        uint64_t uid, start_usec, end_usec, limit_bytes, peak_bytes, left_out_count;
        int64_t exit_status, signal; /* -1, 0: not known, none */
        bool censored;
};
void hr_record_row_done(struct hr_record_row *row);

struct hr_record_event_row {
        uint64_t time_usec, used_bytes, limit_bytes;
        char *stage, *previous_stage, *action, *outcome, *reason; /* owned */
};

struct hr_record_story {
        struct hr_record_row row;
        struct hr_record_event_row *events; /* owned, in order */
        size_t event_count;
        struct hr_point points[HR_RECORD_POINTS_MAX];
        size_t point_count;
};
void hr_record_story_done(struct hr_record_story *s);

/* Who asks: sees his own jobs, or with admin all. */
struct hr_record_reader;
int hr_record_reader_new(const char *directory, struct hr_record_reader **ret);
struct hr_record_reader *hr_record_reader_free(struct hr_record_reader *r); /* returns NULL; accepts NULL */

struct hr_record_filter {
        uid_t uid;
        bool admin;
        uint64_t since_usec, until_usec;   /* of the end: since <= end < until */
        const char *user, *name, *outcome; /* "": any */
        uint32_t count_max; /* and those that ended in the same microsecond as the last of them */
};
/* The ended jobs that fit, the newest first, fewer where their texts reach HR_RECORD_PAGE_BYTES; *ret_rows is
 * to be freed row by row, and itself. 0, -EUCLEAN (the database is damaged, which the recorder finds out
 * too), -ENODATA: there is none, -errno. */
int hr_record_history(struct hr_record_reader *r, const struct hr_record_filter *filter,
        struct hr_record_row **ret_rows, size_t *ret_count);
/* The newest ended job of that id or name. As above, and -ENOENT. */
int hr_record_story(
        struct hr_record_reader *r, uid_t uid, bool admin, const char *word, struct hr_record_story *ret);

#define HR_RECORD_PEAKS_MAX 1000 /* the newest runs; older ones tell of other data. Chosen, not tuned */
struct hr_record_peak {
        uint64_t peak_bytes;
        bool is_lower_bound;
};
/* Of the jobs of that command line, or (by_name) of that name; peaks has room for HR_RECORD_PEAKS_MAX. */
int hr_record_peaks(struct hr_record_reader *r, uid_t uid, bool admin, const char *word, bool by_name,
        struct hr_record_peak *peaks, size_t *ret_count);
