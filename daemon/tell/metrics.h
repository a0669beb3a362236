/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What Prometheus is told: counters since the start of the daemon, gauges of now. Formatting is pure: facts
 * in, text out. Each family is a row of a table, so that both formats and the manual can't drift apart.
 *
 * Labels are bounded: words of the code (stage, action, outcome), policies of the configuration, and for the
 * series of single jobs, of which there are at most as many as the configuration allows, the id and the user.
 * No command line, no name that a user chose, no variable.
 */

#include <stdio.h>

#include "exchange.h"

enum hr_metrics_format {
        HR_METRICS_PROMETHEUS, /* text format 0.0.4, which the textfile collector and promtool read */
        HR_METRICS_OPENMETRICS,
};

#define HR_METRICS_POLICIES_MAX 64 /* as many as the configuration can have */
#define HR_METRICS_JOBS_MAX 1000   /* series of single jobs: what metrics_jobs may be at most */

struct hr_metrics_job {
        char id[HR_ID_MAX];
        const char *user; /* borrowed; "" where it is not known */
        enum hr_stage stage;
        bool frozen;
        uint64_t used_bytes, limit_bytes, headroom_bytes; /* HR_BYTES_NONE: no limit */
        uint64_t left_usec;                               /* HR_USEC_NEVER: never */
};

struct hr_metrics {
        const char *version;
        uint64_t start_usec; /* CLOCK_REALTIME */
        struct hr_counts counts;
        bool has_host; /* the next three were read */
        uint64_t host_total_bytes, host_available_bytes, host_swap_free_bytes;

        /* of all jobs: hr_metrics_add */
        uint64_t stage_jobs[HR_STAGE_COUNT], frozen_jobs;
        uint64_t used_bytes, cache_bytes, limit_bytes; /* limit_bytes: of those that have one of their own */
        struct {
                char name[HR_NAME_MAX];
                uint64_t jobs;
        } policies[HR_METRICS_POLICIES_MAX];
        size_t policy_count;

        /* single jobs, those that use most; owned, NULL: none */
        struct hr_metrics_job *jobs;
        size_t job_count, jobs_max;
};

/* jobs_max: how many single jobs are kept, at most HR_METRICS_JOBS_MAX. 0 or -ENOMEM. */
int hr_metrics_init(struct hr_metrics *m, size_t jobs_max);
void hr_metrics_done(struct hr_metrics *m);
/* Takes a job into the sums and, if visible and among those that use most, into the single ones. user is
 * borrowed until hr_metrics_done. */
void hr_metrics_add(
        struct hr_metrics *m, const char *id, const char *user, const struct hr_status *status, bool visible);

/* Writes it all. Errors of writing are the stream's. */
void hr_metrics_write(const struct hr_metrics *m, enum hr_metrics_format format, FILE *out);

/*
 * Puts the text into the file at once or not at all: written beside it, renamed into place, readable by all.
 * What a crash left there is replaced; a symbolic link there is not followed. May wait for the disk. 0 or
 * -errno.
 */
int hr_metrics_store(const char *path, const char *text);
