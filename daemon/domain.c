/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain.h"

#include <errno.h>
#include <string.h>

#include "think/account.h"

/*
 * The host's limit is its memory and swap less the reserve; what counts as used there is what is not
 * available. An ancestor is read as a job's own group is. The time to the next sample is what the shared
 * memory that is left before the wall lasts at the worst fill rate: of one job for each two processors, since
 * they share the way to memory.
 */

#define LIMITS_AGE_USEC \
        (5 * HR_USEC_PER_SEC) /* a limit that was raised is seen within this; chosen, not tuned */
#define WALL_PERMYRIAD 9700
#define LOOK_MOST_USEC (60 * HR_USEC_PER_SEC) /* many jobs may wait for what is seen here */
#define LOOK_LEAST_USEC \
        (2 * HR_USEC_PER_MSEC) /* a look at the host takes 30 us; jobs' tripwires ring sooner */

int hr_domain_open(const struct hr_hierarchy *h, const char *path, struct hr_host *host,
        uint64_t host_reserve_bytes, struct hr_domain **ret)
{
        struct hr_domain *d = calloc(1, sizeof(*d));
        if (!d)
                return -ENOMEM;
        d->group = (struct hr_group)HR_GROUP_INIT;
        d->source = path ? HR_SOURCE_ANCESTOR : HR_SOURCE_HOST;
        d->host = host;
        d->host_reserve_bytes = host_reserve_bytes;
        d->now.limit_bytes = HR_BYTES_NONE;
        if (path) {
                d->path = strdup(path);
                int r = d->path ? hr_group_open(h, path, &d->group) : -ENOMEM;
                if (r != 0) {
                        hr_domain_free(d);
                        return r;
                }
        }
        *ret = d;
        return 0;
}

struct hr_domain *hr_domain_free(struct hr_domain *d)
{
        if (!d)
                return NULL;
        hr_group_close(&d->group);
        free(d->path);
        free(d);
        return NULL;
}

static int read_host(struct hr_domain *d)
{
        struct hr_meminfo m;
        int r = hr_host_read(d->host, &m);
        if (r != 0)
                return r;
        uint64_t swap_used = hr_sub(m.swap_total_bytes, m.swap_free_bytes);
        d->now.used_bytes = hr_sub(m.total_bytes, m.available_bytes) + swap_used;
        d->now.cache_bytes = hr_sub(m.available_bytes, m.free_bytes);
        d->now.limit_bytes = hr_sub(m.total_bytes + m.swap_total_bytes, d->host_reserve_bytes);
        return 0;
}

static int read_ancestor(struct hr_domain *d, uint64_t now_usec)
{
        struct hr_usage usage;
        struct hr_meminfo m = {0};
        int r = hr_group_read_usage(&d->group, &usage);
        if (r != 0)
                return r;
        if (now_usec >= d->limits_usec + LIMITS_AGE_USEC || d->limits_usec == 0) {
                struct hr_group_limits limits;
                r = hr_group_read_limits(&d->group, &limits);
                if (r != 0)
                        return r;
                d->limits_usec = now_usec;
                d->limit_bytes = limits.limit_bytes;
                d->swap_max_bytes =
                        d->group.kind == HR_KIND_CGROUP2 ? limits.swap_max_bytes : limits.memsw_bytes;
        }
        (void)hr_host_read(d->host, &m); /* without it: no swap to add */
        d->now.used_bytes = hr_account_used(d->group.kind, &usage, &d->now.cache_bytes);
        d->now.limit_bytes = d->group.kind == HR_KIND_CGROUP2
                                     ? hr_account_limit(d->limit_bytes, d->swap_max_bytes, usage.swap_bytes,
                                               m.swap_free_bytes)
                                     : hr_account_limit1(d->limit_bytes, d->swap_max_bytes, usage.swap_bytes,
                                               m.swap_free_bytes);
        return 0;
}

void hr_domain_sample(struct hr_domain *d, uint64_t now_usec, uint64_t fill_rate_bytes_per_second,
        uint64_t poll_min_usec, uint64_t poll_max_usec)
{
        uint64_t most_usec = MIN(poll_max_usec, LOOK_MOST_USEC);
        struct hr_forecast f;

        if (d->gone || d->sampled_usec == now_usec)
                return;
        int r = d->path ? read_ancestor(d, now_usec) : read_host(d);
        if (r != 0) { /* gone, or unreadable: it limits nobody until it can be read */
                d->gone = d->path != NULL && r == HR_SENSE_GONE;
                d->now.limit_bytes = HR_BYTES_NONE;
                d->next_usec = d->gone ? HR_USEC_NEVER : now_usec + most_usec;
                return;
        }
        d->sampled_usec = now_usec;
        hr_history_add(&d->history, now_usec, d->now.used_bytes);
        hr_forecast(&d->history, d->now.limit_bytes, &f);
        d->now.source = d->source;
        hr_forecast_fill(&f, &d->now);
        d->now.growth_bytes_per_second = MAX(f.growth_bytes_per_second, f.recent_bytes_per_second);

        uint64_t wall = d->now.limit_bytes == HR_BYTES_NONE
                                ? HR_BYTES_NONE
                                : d->now.limit_bytes / HR_PERMYRIAD_ALL * WALL_PERMYRIAD;
        uint64_t left = hr_sub(wall, d->now.used_bytes), jobs = MAX(d->host->processor_count / 2, 1U);
        uint64_t pause = wall == HR_BYTES_NONE
                                 ? most_usec
                                 : left / MAX(fill_rate_bytes_per_second / HR_USEC_PER_SEC, 1U) / jobs;
        d->next_usec = now_usec + MIN(MAX(pause, MAX(poll_min_usec, LOOK_LEAST_USEC)), most_usec);
}

uint32_t hr_domain_ratio(const struct hr_domain *d)
{
        return d->now.limit_bytes == HR_BYTES_NONE
                       ? 0
                       : hr_ratio_permyriad(d->now.used_bytes, d->now.limit_bytes);
}
