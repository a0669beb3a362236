/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reads the record of jobs (tell/record.h), for one thread, which waits for the disk. */

#include "tell/curve.h"

/* Strings are never NULL, and go with the row. */
struct hr_query_row {
        char *texts; /* owned: what they all point into */
        const char *job, *name, *command, *user, *kind, *cgroup, *unit, *policy, *peak_source, *outcome,
                *reason, *held_by, *stage;
        uint64_t uid, start_usec, end_usec, limit_bytes, peak_bytes, left_out_count;
        int64_t exit_status, signal; /* -1, 0: not known, none */
        bool censored;
        bool fused;      /* a fuse of Headroom's was armed at its end */
        bool said_error; /* one of its processes said that it ends by a MemoryError */
};
void hr_query_row_done(struct hr_query_row *row);

struct hr_query_event {
        uint64_t time_usec, used_bytes, limit_bytes;
        char *stage, *previous_stage, *action, *outcome, *reason; /* owned */
};

struct hr_query_story {
        struct hr_query_row row;
        struct hr_query_event *events; /* owned, in order */
        size_t event_count;
        struct hr_point points[HR_CURVE_POINTS_MAX];
        size_t point_count;
};
void hr_query_story_done(struct hr_query_story *s);

/* uid is who asks: sees his own jobs, or with admin all. */
struct hr_query;
int hr_query_new(const char *directory, struct hr_query **ret);
struct hr_query *hr_query_free(struct hr_query *q); /* returns NULL; accepts NULL */

struct hr_query_filter {
        uid_t uid;
        bool admin;
        uint64_t since_usec, until_usec;   /* of the end: since <= end < until */
        const char *user, *name, *outcome; /* "": any */
        uint32_t count_max; /* and those that ended in the same microsecond as the last of them */
};
#define HR_QUERY_PAGE_BYTES HR_MIB /* of texts; 2000 ordinary jobs have less */
/* The ended jobs that fit, the newest first, fewer where their texts reach HR_QUERY_PAGE_BYTES; *ret_rows is
 * to be freed row by row, and itself. *ret_next_usec: the `until` of those that are left; 0: none is. 0,
 * -EUCLEAN (the database is damaged, which the recorder finds out too), -ENODATA: there is none, -errno. */
int hr_query_history(struct hr_query *q, const struct hr_query_filter *filter, struct hr_query_row **ret_rows,
        size_t *ret_count, uint64_t *ret_next_usec);
/* The newest ended job of that id or name. As above, and -ENOENT. */
int hr_query_story(struct hr_query *q, uid_t uid, bool admin, const char *word, struct hr_query_story *ret);

#define HR_QUERY_PEAKS_MAX 1000 /* the newest runs; older ones tell of other data. Chosen, not tuned */
struct hr_query_peak {
        uint64_t peak_bytes;
        bool is_lower_bound;
};
/* Of the jobs of that command line, or (by_name) of that name; peaks has room for HR_QUERY_PEAKS_MAX. */
int hr_query_peaks(struct hr_query *q, uid_t uid, bool admin, const char *word, bool by_name,
        struct hr_query_peak *peaks, size_t *ret_count);
