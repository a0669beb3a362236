/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Something that several jobs share and that can run out: a cgroup with a limit above them, or the host.
 * Sampled once for all of them. One job at a time has its turn: the shortage is laid on it alone.
 */

#include "sense/host.h"
#include "think/forecast.h"

struct hr_job;

struct hr_domain {
        struct hr_domain *next; /* the manager's list */
        enum hr_source source;
        char *path; /* of the ancestor; NULL: the host; owned */
        unsigned references;
        struct hr_group group; /* ancestor */
        struct hr_host *host;  /* always: an ancestor's swap needs it too; borrowed */
        uint64_t host_reserve_bytes;
        struct hr_history history;
        struct hr_candidate now; /* as it was last sampled */
        uint64_t sampled_usec, limits_usec, next_usec;
        uint64_t swap_max_bytes, limit_bytes;
        struct hr_job *turn; /* whom the shortage is laid on; NULL: nobody */
        uint64_t turn_usec;  /* since when */
        bool gone;
};

#define HR_DOMAIN_SHORT_PERMYRIAD 8000 /* from here on one job has its turn: the trim level */
#define HR_DOMAIN_FULL_PERMYRIAD 9000  /* from here on hold_timeout runs; chosen, not tuned */
#define HR_DOMAIN_RELAX_PERMYRIAD 7500 /* below this the shortage is over */

int hr_domain_open(const struct hr_hierarchy *h, const char *path, struct hr_host *host,
        uint64_t host_reserve_bytes, struct hr_domain **ret);
struct hr_domain *hr_domain_free(struct hr_domain *d);
/* Reads it, unless it was read in this very wake-up; sets `now` and when it wants to be read again. Never
 * waits. */
void hr_domain_sample(struct hr_domain *d, uint64_t now_usec, uint64_t fill_rate_bytes_per_second,
        uint64_t poll_min_usec, uint64_t poll_max_usec);
uint32_t hr_domain_ratio(const struct hr_domain *d);
