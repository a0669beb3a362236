/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "think/account.h"
#include "think/forecast.h"

/*
 * A sample has two sizes. The small one is one pread of memory.current; it is enough as long as usage, cache
 * included, is below the next threshold and has not moved by more than 1/64 of the limit since the large one.
 * The large one reads memory.stat too, and is what the history gets: growth is judged on memory that can't be
 * dropped.
 */

#define LIMITS_AGE_USEC \
        (5 * HR_USEC_PER_SEC) /* somebody else may have changed the limit; events tell sooner */
/* From where a job may come to its limit in the second or two between two daemons: that of trim; chosen, not
 * tuned. A pause that it did not need costs it as long. */
#define GUARD_PERCENT 80
#define PSS_PATIENCE_USEC HR_USEC_PER_SEC /* reading it took 430 ms for 32 processes that share 1 GiB */

struct hr_job *hr_job_free(struct hr_job *job)
{
        if (!job)
                return NULL;
        sd_event_source_disable_unref(job->wire_source);
        sd_event_source_disable_unref(job->leader_source);
        sd_event_source_disable_unref(job->events_source);
        hr_tripwire_close(&job->wire);
        hr_group_close(&job->group);
        if (job->tree)
                hr_tree_close(job->tree);
        free(job->tree);
        hr_close(job->leader_pidfd);
        hr_close(job->control_fd);
        hr_close(job->events_fd);
        hr_close(job->record_fd);
        free(job->control);
        free(job->outer);
        free(job->why);
        if (job->stopped)
                munmap(job->stopped, HR_MEMBERS_MAX * sizeof(pid_t));
        free(job->own_policy);
        free(job);
        return NULL;
}
static void job_freep(struct hr_job **job)
{
        hr_job_free(*job);
}

static int open_control(struct hr_job *job, const struct hr_hierarchy *h, const struct hr_placement *p)
{
        char path[PATH_MAX];
        const char *mount = p->freezer == HR_FREEZER_CGROUP1 ? h->freezer : h->unified;
        if ((size_t)snprintf(path, sizeof(path), "%s%s", mount, p->control) >= sizeof(path))
                return -ENAMETOOLONG;
        job->control_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (job->control_fd < 0)
                return errno == ENOENT || errno == ENODEV ? HR_SENSE_GONE : -errno;
        if (p->freezer == HR_FREEZER_CGROUP2)
                job->events_fd = openat(job->control_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        job->control = strdup(p->control);
        return job->control ? 0 : -ENOMEM;
}

static int open_tree(struct hr_job *job, const struct hr_job_options *o)
{
        const struct hr_state *s = o->state;
        job->tree = calloc(1, sizeof(*job->tree));
        if (!job->tree)
                return -ENOMEM;
        int r = hr_tree_open(o->hierarchy->proc, s->leader, s->leader_start_ticks, job->tree);
        if (r < 0) {
                free(TAKE_PTR(job->tree));
                return r == -ESRCH ? HR_SENSE_GONE : r;
        }
        job->tree->reaper = s->reaper;
        job->tree->reaper_start_ticks = s->reaper_start_ticks;
        if (hr_proc_table_scan(o->table) >= 0)
                (void)hr_tree_update(
                        o->hierarchy->proc, job->tree, o->table); /* the first look takes in who was missed */
        return 0;
}

int hr_job_open(const struct hr_job_options *o, struct hr_job **ret)
{
        const struct hr_state *s = o->state;
        const struct hr_placement *p = &s->placement;
        HR_CLEANUP(job_freep) struct hr_job *job = calloc(1, sizeof(*job));
        int r;

        if (!job)
                return -ENOMEM;
        job->group = (struct hr_group)HR_GROUP_INIT;
        job->wire = (struct hr_tripwire)HR_TRIPWIRE_INIT;
        job->leader_pidfd = job->control_fd = job->events_fd = job->record_fd = -1;
        job->proc_path = o->hierarchy->proc;
        job->table = o->table;
        snprintf(job->id, sizeof(job->id), "%s", s->id);
        job->uid = s->uid;
        job->gid = s->gid;
        job->kind = p->kind;
        job->freezer = p->freezer;
        job->owned = p->owned;
        job->matched = s->matched;
        job->armed = s->armed;
        job->fuse_from_start = s->fuse;
        job->limit_max_bytes = s->limit_max_bytes;
        job->host = o->host;
        job->leader_start_ticks = s->leader_start_ticks;
        job->own_limit_bytes = HR_BYTES_NONE;
        job->swap_max_bytes = HR_BYTES_NONE;
        job->why = strdup(p->why);
        if (!job->why)
                return -ENOMEM;

        r = p->control[0] ? open_control(job, o->hierarchy, p) : 0;
        if (r != 0)
                return r;
        if (job->kind == HR_KIND_PROCESS) {
                r = open_tree(job, o);
                job->own_limit_bytes = s->own_limit_bytes;
        } else {
                r = hr_group_open(o->hierarchy, p->cgroup, &job->group);
                if (r == 0)
                        (void)hr_tripwire_open(
                                o->hierarchy, &job->group, &job->wire); /* without it: the timer alone */
        }
        if (r != 0)
                return r == -ENOENT ? HR_SENSE_GONE : r;
        if (s->leader > 0 &&
                job->events_fd < 0) /* cgroup.events tells the end of the whole job, and sooner */
                job->leader_pidfd = hr_process_open(o->hierarchy->proc, s->leader, s->leader_start_ticks);
        if (job->freezer == HR_FREEZER_STOP) {
                /* Touched only when it is used: most jobs are never stopped by signals. */
                job->stopped = mmap(NULL, HR_MEMBERS_MAX * sizeof(pid_t), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (job->stopped == MAP_FAILED) {
                        job->stopped = NULL;
                        return -ENOMEM;
                }
        }
        job->can_reclaim =
                job->kind == HR_KIND_CGROUP2 && faccessat(job->group.dir_fd, "memory.reclaim", W_OK, 0) == 0;
        *ret = TAKE_PTR(job);
        return 0;
}

void hr_job_target(struct hr_job *job, struct hr_target *ret)
{
        *ret = (struct hr_target){
                .proc_path = job->proc_path,
                .table = job->table,
                .kind = job->kind,
                .group = job->kind == HR_KIND_PROCESS ? NULL : &job->group,
                .tree = job->tree,
                .freezer = job->freezer,
                .control_fd = job->control_fd,
                .leader = job->card ? job->card->leader : 0,
                .owner = job->uid,
                .stopped = job->stopped,
                .stopped_count = &job->stopped_count,
        };
}

void hr_job_state(const struct hr_job *job, struct hr_state *ret)
{
        memset(ret, 0, sizeof(*ret));
        ret->armed = job->armed;
        snprintf(ret->id, sizeof(ret->id), "%s", job->id);
        snprintf(ret->name, sizeof(ret->name), "%s", job->card->name);
        snprintf(ret->policy, sizeof(ret->policy), "%s", job->policy->name);
        if (job->own_policy)
                hr_config_spell_method(ret->checkpoint, &job->own_policy->checkpoint_method);
        snprintf(ret->user, sizeof(ret->user), "%s", job->card->user);
        ret->uid = job->uid;
        ret->gid = job->gid;
        ret->leader = job->card->leader;
        ret->leader_start_ticks = job->leader_start_ticks;
        ret->reaper = job->tree ? job->tree->reaper : 0;
        ret->reaper_start_ticks = job->tree ? job->tree->reaper_start_ticks : 0;
        ret->fuse = job->fuse_from_start;
        ret->limit_max_bytes = job->limit_max_bytes;
        ret->locked = job->card->locked;
        ret->attached = job->card->attached;
        ret->matched = job->matched;
        ret->own_limit_bytes = job->kind == HR_KIND_PROCESS ? job->own_limit_bytes : HR_BYTES_NONE;
        ret->placement.kind = job->kind;
        ret->placement.freezer = job->freezer;
        ret->placement.owned = job->owned;
        snprintf(ret->placement.cgroup, sizeof(ret->placement.cgroup), "%s",
                job->group.path ? job->group.path : "");
        snprintf(ret->placement.control, sizeof(ret->placement.control), "%s",
                job->control ? job->control : "");
        snprintf(ret->placement.unit, sizeof(ret->placement.unit), "%s", job->card->unit);
        snprintf(ret->placement.why, sizeof(ret->placement.why), "%s", job->why);
}

uint64_t hr_job_guard(const struct hr_job *job)
{
        bool ours = !job->policy->observe && !job->observe_only && job->freezer != HR_FREEZER_NONE;
        return ours && job->own_limit_bytes != HR_BYTES_NONE ? job->own_limit_bytes / 100 * GUARD_PERCENT
                                                             : HR_BYTES_NONE;
}

int hr_job_arm(struct hr_job *job)
{
        if (job->record_fd < 0)
                return 0; /* told when it could not be made: the job is watched all the same */
        job->armed.stage = job->state.stage;
        job->armed.phase = job->state.phase;
        job->armed.owner_held = job->state.owner_held;
        job->armed.interrupted = job->state.interrupted;
        job->armed.peak_bytes = job->peak_bytes;
        job->armed.guard_bytes = hr_job_guard(job);
        return hr_state_arm(job->record_fd, &job->armed);
}

/* ---- sense ---- */

static int read_limits(struct hr_job *job, uint64_t now_usec)
{
        struct hr_group_limits limits;
        if (hr_job_stands_back(job) ||
                (job->limits_usec != 0 && now_usec < job->limits_usec + LIMITS_AGE_USEC))
                return 0;
        int r = hr_group_read_limits(&job->group, &limits);
        if (r != 0)
                return r;
        struct hr_meminfo unused;
        (void)hr_host_read(job->host, &unused); /* its free swap; with the guard off nobody else reads it */
        job->limits_usec = MAX(now_usec, 1U);
        job->own_limit_bytes = limits.limit_bytes;
        job->swap_max_bytes = job->kind == HR_KIND_CGROUP2 ? limits.swap_max_bytes : limits.memsw_bytes;
        return 0;
}

/*
 * What is shared is counted once for each process in the bound; the PSS says how much that was. Until it is
 * known, a family whose bound alone crosses the next threshold is not judged: a pool that shares its data
 * would look as if it had grown manifold at once.
 */
static int sense_tree(struct hr_job *job, uint64_t now_usec)
{
        struct hr_usage usage;
        if (now_usec >= job->limits_usec + LIMITS_AGE_USEC)
                job->limits_usec =
                        now_usec; /* its own is ours to enforce; those above it are looked at anew */
        int r = hr_tree_read_usage(job->proc_path, job->tree, &usage);
        if (r != 0)
                return r;
        uint64_t bound = hr_account_used(HR_KIND_PROCESS, &usage, &job->cache_bytes);
        job->current_bytes = bound;
        job->swap_bytes = usage.swap_bytes;
        bool fresh = job->pss_bytes > 0 && bound < job->pss_bound_bytes + job->pss_bound_bytes / 8;
        uint64_t threshold = job->threshold_bytes > 0 ? job->threshold_bytes : job->own_limit_bytes / 2;
        if (fresh || job->tree->member_count < 2 || bound < threshold) {
                job->pss_since_usec = 0;
        } else {
                if (job->pss_since_usec == 0)
                        job->pss_since_usec = now_usec;
                if (now_usec < job->pss_since_usec + PSS_PATIENCE_USEC)
                        return -EAGAIN;
        }
        bool of_use = fresh || (job->pss_bytes > 0 && job->tree->member_count > 1);
        job->used_bytes = of_use && bound > 0 ? hr_sub(job->pss_bytes + bound, job->pss_bound_bytes) : bound;
        return 0;
}

static bool moved(const struct hr_job *job, uint64_t current_bytes)
{
        return hr_policy_moved(job->own_limit_bytes, job->full_current_bytes, current_bytes);
}

/* Of its own group the limit is ours to set; for [match] rules an event tells (limits_usec: 0). */
static bool may_be_limited_anew(const struct hr_job *job, uint64_t now_usec)
{
        if (job->owned || (job->matched && job->limits_usec > 0))
                return false;
        return now_usec >= job->limits_usec + LIMITS_AGE_USEC;
}

int hr_job_sense(struct hr_job *job, uint64_t now_usec, bool full)
{
        struct hr_usage usage;
        uint64_t current;
        int r;

        job->small = false;
        if (job->kind == HR_KIND_PROCESS) {
                r = sense_tree(job, now_usec);
                if (r != 0)
                        return r;
        } else {
                if (!full) {
                        r = hr_group_read_current(&job->group, &current);
                        if (r != 0)
                                return r;
                        if (current + job->swap_bytes < job->threshold_bytes && !moved(job, current) &&
                                !may_be_limited_anew(job, now_usec)) {
                                job->small = true;
                                job->current_bytes = current;
                                job->sampled_usec = now_usec;
                                hr_history_add(&job->history, now_usec, job->used_bytes);
                                return 0;
                        }
                }
                r = read_limits(job, now_usec);
                if (r == 0)
                        r = hr_group_read_usage(&job->group, &usage);
                if (r != 0)
                        return r;
                job->used_bytes = hr_account_used(job->kind, &usage, &job->cache_bytes);
                job->current_bytes = usage.current_bytes;
                job->swap_bytes = usage.swap_bytes;
        }
        if (moved(job, job->current_bytes)) {
                job->moved_usec = now_usec;
                job->full_current_bytes = job->current_bytes;
        } else {
                job->small = job->kind == HR_KIND_PROCESS; /* it has only one size of sample */
        }
        job->peak_bytes = MAX(job->peak_bytes, job->used_bytes);
        job->sampled_usec = now_usec;
        hr_history_add(&job->history, now_usec, job->used_bytes);
        return 0;
}

void hr_job_sample(struct hr_job *job, uint64_t now_usec, struct hr_sample *ret)
{
        struct hr_forecast f;

        memset(ret, 0, sizeof(*ret));
        ret->time_usec = now_usec;
        ret->used_bytes = job->used_bytes;
        ret->cache_bytes = job->cache_bytes;

        uint64_t swap_free = job->host ? job->host->last.swap_free_bytes : 0;
        uint64_t limit = job->kind == HR_KIND_PROCESS ? job->own_limit_bytes
                         : job->kind == HR_KIND_CGROUP2
                                 ? hr_account_limit(job->own_limit_bytes, job->swap_max_bytes,
                                           job->swap_bytes, swap_free)
                                 : hr_account_limit1(job->own_limit_bytes, job->swap_max_bytes,
                                           job->swap_bytes, swap_free);
        hr_forecast(&job->history, limit, &f);
        struct hr_candidate *own = &ret->candidates[ret->candidate_count++];
        *own = (struct hr_candidate){
                .source = HR_SOURCE_OWN,
                .used_bytes = job->used_bytes,
                .cache_bytes = job->cache_bytes,
                .limit_bytes = limit,
                .turn = true,
        };
        hr_forecast_fill(&f, own);
        for (size_t i = 0; i < job->domain_count; i++) {
                struct hr_domain *d = job->domains[i];
                struct hr_candidate *c = &ret->candidates[ret->candidate_count++];
                *c = d->now;
                c->turn = d->turn == job;
        }
}
