/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The record of jobs, in one SQLite database. Written here, by the recorder thread alone; read by tell/query,
 * in one other thread, over a connection of its own that can't write. The two own SQLite. Both may wait for
 * the disk; nobody else does.
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
 *           outcome      hr_record_outcome's words; cause (enum hr_cause), fused: what it is made of
 *           exit_status, signal   of its first process, by the word of `headroom run`
 *           reason       of its last event; held_by: what held the memory, by its own word
 *           stage        the furthest; events_left_out: events above EVENTS_MAX
 *           samples      a curve of at most HR_CURVE_POINTS_MAX points: a byte 1, then for each four
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
 * "detached". status -1: not known. fused: allocations failed above a limit of Headroom's; with status 1 and
 * a job that says nothing that is taken for a MemoryError. One that is said counts unless the job returned 0.
 * *ret_censored: was it cut off, so that its peak is a lower bound? */
const char *hr_record_outcome(enum hr_cause cause, bool fused, int status, int signal, bool *ret_censored);

/* ---- for tell/query ---- */

uint64_t hr_record_hash(const char *text); /* command_hash */
bool hr_record_is_damage(int code);        /* of SQLite */
