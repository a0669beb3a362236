/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/*
 * Which limits are shared by which jobs, and on whom a shortage is laid: on one job at a time, the one that
 * weighs and grows most, and on the same one as long as it lasts.
 */

static struct hr_domain *find_domain(struct hr_manager *m, const char *path)
{
        for (struct hr_domain *d = m->domains; d; d = d->next)
                if (!d->gone && d->path && strcmp(d->path, path) == 0)
                        return d;
        return NULL;
}

static void drop_domain(struct hr_manager *m, struct hr_domain *d)
{
        if (--d->references > 0)
                return;
        for (struct hr_domain **at = &m->domains; *at; at = &(*at)->next)
                if (*at == d) {
                        *at = d->next;
                        break;
                }
        if (d == m->host_domain)
                m->host_domain = NULL;
        hr_domain_free(d);
}

static void add_domain(struct hr_manager *m, struct hr_job *job, const char *path)
{
        struct hr_domain *d = path ? find_domain(m, path) : m->host_domain;
        if (job->domain_count == HR_JOB_DOMAINS_MAX - (path ? 1 : 0)) /* the host keeps its place */
                return;
        if (!d) {
                if (hr_domain_open(&m->hierarchy, path, &m->host, m->config->host_reserve_bytes, &d) != 0)
                        return; /* it can't be read, so it can't be judged: doctor says which controllers are
                                   missing */
                d->next = m->domains;
                m->domains = d;
                if (!path)
                        m->host_domain = d;
        }
        d->references++;
        job->domains[job->domain_count++] = d;
}

void hr_shared_detach(struct hr_manager *m, struct hr_job *job)
{
        while (job->domain_count > 0) {
                struct hr_domain *d = job->domains[--job->domain_count];
                if (d->turn == job)
                        d->turn = NULL;
                drop_domain(m, d);
        }
}

static void go_up(char *path)
{
        char *slash = strrchr(path, '/');
        path[slash ? slash - path : 0] = '\0';
}

/* The nearest cgroup that may limit it beside its own: of a tree, the one that it is in. "": there is none.
 */
static void first_above(struct hr_manager *m, struct hr_job *job, char *path, size_t path_size)
{
        char name[400], text[4096];
        size_t size;

        path[0] = '\0';
        if (job->group.path) {
                snprintf(path, path_size, "%s", job->group.path);
                go_up(path);
        } else if (m->hierarchy.memory_version > 0 && job->card->leader > 0) {
                snprintf(name, sizeof(name), "%s/%d/cgroup", m->hierarchy.proc, (int)job->card->leader);
                if (hr_sense_read_at(AT_FDCWD, name, text, sizeof(text), &size) == 0)
                        (void)hr_parse_proc_cgroup(text, size,
                                m->hierarchy.memory_version == 2 ? NULL : "memory", path, path_size);
        }
}

/* path, or the first above it, that has a limit. */
static bool find_limited(struct hr_manager *m, char *path)
{
        for (; path[0] && strcmp(path, "/") != 0; go_up(path)) {
                struct hr_group_limits limits;
                if (hr_group_read_limits_at(&m->hierarchy, path, &limits) == 0 &&
                        limits.limit_bytes != HR_BYTES_NONE)
                        return true;
        }
        return false;
}

/* The cgroups above it that have a limit, the nearest first, and the host. */
void hr_shared_attach(struct hr_manager *m, struct hr_job *job)
{
        char path[HR_PATH_MAX];

        hr_shared_detach(m, job);
        first_above(m, job, path, sizeof(path));
        if (job->tree && !job->outer && path[0] &&
                hr_group_read_oom_kills_at(&m->hierarchy, path, &job->outer_oom_kills) == 0)
                job->outer = strdup(path); /* without memory: not known */
        if (m->limits)
                for (char *up = strdupa(path); *up && strcmp(up, "/") != 0; go_up(up))
                        hr_limits_watch(m->limits, up);
        for (; find_limited(m, path); go_up(path))
                add_domain(m, job, path);
        if (m->config->host_guard)
                add_domain(m, job, NULL);
}

uint64_t hr_shared_oom_kills(struct hr_manager *m, const struct hr_job *job)
{
        uint64_t kills;

        if (!job->outer || hr_group_read_oom_kills_at(&m->hierarchy, job->outer, &kills) != 0)
                return 0;
        return hr_sub(kills, job->outer_oom_kills);
}

static bool shares(const struct hr_job *job, const char *path)
{
        for (size_t i = 0; i < job->domain_count; i++)
                if (job->domains[i]->path && !job->domains[i]->gone &&
                        strcmp(job->domains[i]->path, path) == 0)
                        return true;
        return false;
}

/* An administrator may limit a scope or a slice at any time. One that is lifted limits nobody as it is. */
void hr_shared_refresh(struct hr_manager *m, struct hr_job *job)
{
        char path[HR_PATH_MAX];
        size_t count = 0;

        for (first_above(m, job, path, sizeof(path)); find_limited(m, path); go_up(path))
                if (!shares(job, path) && ++count + job->domain_count < HR_JOB_DOMAINS_MAX) {
                        hr_shared_attach(m, job);
                        memset(job->state.wall + 1, 0, sizeof(job->state.wall) - sizeof(job->state.wall[0]));
                        return;
                }
}

static bool is_below(const char *path, const char *top)
{
        size_t n = strlen(top);
        return strncmp(path, top, n) == 0 && path[n] == '/';
}

/* Of a tree it is not known which cgroups its processes are in by now. */
static void limit_written(const char *path, void *userdata)
{
        struct hr_manager *m = userdata;

        for (struct hr_domain *d = m->domains; d; d = d->next)
                if (d->path && strcmp(d->path, path) == 0)
                        d->limits_usec = d->next_usec = 0;
        HR_JOBS_FOREACH (m, job)
                if (!job->group.path || is_below(job->group.path, path))
                        job->limits_usec = job->next_usec = 0;
}

static int on_limits(sd_event_source *source, int fd HR_UNUSED, uint32_t revents HR_UNUSED, void *userdata)
{
        struct hr_manager *m = userdata;

        if (hr_limits_dispatch(m->limits, limit_written, m) < 0)
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        hr_manager_schedule(m);
        return 0;
}

void hr_shared_start(struct hr_manager *m)
{
        if (m->hierarchy.memory_version == 0 || hr_limits_new(&m->hierarchy, &m->limits) < 0)
                return;
        if (sd_event_add_io(m->event, &m->limits_source, hr_limits_fd(m->limits), EPOLLIN, on_limits, m) < 0)
                m->limits = hr_limits_free(m->limits);
}

/* Whom the shortage is laid on: the one that weighs and grows most; the same one as long as it lasts. */
static void give_turn(struct hr_manager *m, struct hr_domain *d, uint64_t now_usec)
{
        uint32_t ratio = hr_domain_ratio(d);
        if (ratio < HR_DOMAIN_RELAX_PERMYRIAD)
                d->turn = NULL;
        if (ratio < HR_DOMAIN_SHORT_PERMYRIAD)
                return;
        /* One that is being ended frees its memory soon: the next one waits for that, for its whole turn. */
        if (d->turn && now_usec < d->turn_usec + d->turn->policy->turn_usec * 2)
                return;
        struct hr_job *best = NULL;
        uint64_t best_weight = 0;
        HR_JOBS_FOREACH (m, job) {
                bool in_it = false;
                for (size_t i = 0; i < job->domain_count; i++)
                        in_it |= job->domains[i] == d;
                struct hr_sample sample;
                hr_job_sample(job, now_usec, &sample);
                uint64_t weight = hr_policy_weight(&sample);
                if (in_it && !job->observe_only && !job->policy->observe && job != d->turn &&
                        weight >= best_weight) {
                        best = job;
                        best_weight = weight;
                }
        }
        if (best) {
                d->turn = best;
                d->turn_usec = now_usec;
        }
}

void hr_shared_sample(struct hr_manager *m, struct hr_domain *d, uint64_t now_usec)
{
        uint64_t bad_before = m->host.bad_count;
        hr_domain_sample(d, now_usec, m->config->fill_rate_bytes_per_second, m->config->poll_min_usec,
                m->config->poll_max_usec);
        if (m->host.bad_count > bad_before)
                hr_exchange_count(m->exchange, HR_FIGURE_BAD_VALUES, m->host.bad_count - bad_before);
        uint32_t ratio = hr_domain_ratio(d);
        if (ratio < HR_DOMAIN_RELAX_PERMYRIAD && !d->turn)
                return;
        give_turn(m, d, now_usec);
        /* All look: each may have a notice to hear; the one whose turn it is acts. */
        HR_JOBS_FOREACH (m, job)
                for (size_t i = 0; i < job->domain_count; i++)
                        if (job->domains[i] == d &&
                                (job == d->turn || now_usec >= job->sampled_usec + HR_USEC_PER_SEC / 4))
                                job->next_usec = now_usec;
}
