/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "act/checkpoint.h"
#include "act/freeze.h"
#include "act/fuse.h"
#include "act/signal.h"
#include "think/account.h"

/*
 * One wake-up of one job: sense, think, act, tell; then the tripwire is moved and the next look is planned.
 */

#define BUSY_LOOK_USEC (250 * HR_USEC_PER_MSEC)  /* while a checkpoint runs, or a verdict is awaited */
#define SEIZED_LOOK_USEC (10 * HR_USEC_PER_MSEC) /* CRIU has it, for 0.2 s and more; chosen, not tuned */
#define SEIZED_LONG_USEC (30 * HR_USEC_PER_SEC)  /* what its owner must hear of; chosen, not tuned */
#define OBSERVE_LOOK_USEC (1 * HR_USEC_PER_SEC)  /* nothing will be done: no hurry */
/* systemd may be busy: as long as `run` waits to be placed. */
#define START_AGAIN_USEC (120 * HR_USEC_PER_SEC)
#define UNTOLD_LOOK_USEC (10 * HR_USEC_PER_SEC)
#define FOREIGN_LOOK_USEC (60 * HR_USEC_PER_SEC)
#define CALM_LOOK_USEC (10 * HR_USEC_PER_MSEC)
#define COST_FACTOR 50 /* a tree's samples may take 2 % of a core */
/* Reading what the whole host has allocated (24 us) costs as much as this many looks; chosen, not tuned. */
#define SPARE_LEAST_COUNT 16
/* Points for the record: at most ten a second, and the older a job the fewer, some hundred in three days. */
#define POINT_LEAST_USEC (100 * HR_USEC_PER_MSEC)
#define POINT_AGE_SHARE 64

static void fill_event(struct hr_job *job, enum hr_stage stage, enum hr_stage previous, const char *action,
        const char *outcome, const char *reason, struct hr_event *e)
{
        memset(e, 0, sizeof(*e));
        e->time_usec = hr_clock_realtime_usec();
        snprintf(e->job, sizeof(e->job), "%s", job->id);
        snprintf(e->name, sizeof(e->name), "%s", job->card->name);
        e->uid = job->uid;
        e->used_bytes = job->used_bytes;
        e->limit_bytes = job->own_limit_bytes;
        e->deadline_usec = job->armed.deadline_realtime_usec;
        e->has_run = job->has_run;
        e->exit_status = -1;
        e->stage = stage;
        e->previous_stage = previous;
        snprintf(e->action, sizeof(e->action), "%s", action);
        snprintf(e->outcome, sizeof(e->outcome), "%s", outcome);
        snprintf(e->reason, sizeof(e->reason), "%s", reason);
}

/* A limit to suggest: half as much again, as a person would say it. */
static const char *suggest_limit(uint64_t limit_bytes, char *buf)
{
        uint64_t more = limit_bytes + limit_bytes / 2;
        uint64_t unit = more >= 10 * HR_GIB   ? HR_GIB
                        : more >= HR_GIB      ? 256 * HR_MIB
                        : more >= 64 * HR_MIB ? 10 * HR_MIB
                                              : HR_MIB;
        return hr_units_spell_bytes(buf, (more + unit - 1) / unit * unit);
}

static void fill_hint(const struct hr_job *job, struct hr_event *e)
{
        char more[HR_TEXT_SIZE_MAX];
        bool own = job->own_limit_bytes != HR_BYTES_NONE;

        if (job->policy->observe || job->observe_only || strcmp(e->outcome, "done") != 0)
                return;
        if (e->stage == HR_STAGE_HOLD && strcmp(e->action, "freeze") == 0) {
                bool room = own && job->state.phase == HR_PHASE_HELD && !job->state.owner_held;
                snprintf(e->hint, sizeof(e->hint),
                        "answer: headroom resume %s%s%s, headroom interrupt %s, or headroom kill %s", job->id,
                        room ? " --limit " : "", room ? suggest_limit(job->own_limit_bytes, more) : "",
                        job->id, job->id);
        } else if (e->stage == HR_STAGE_NOTICE && own && strcmp(e->action, "notice") == 0) {
                snprintf(e->hint, sizeof(e->hint), "more room: headroom limit %s %s", job->id,
                        suggest_limit(job->own_limit_bytes, more));
        }
}

/* What was told of it last stands on its card alone: a thousand jobs have a thousand of these. */
void hr_ladder_note(struct hr_job *job, const char *reason)
{
        struct hr_status s;
        hr_card_read(job->card, &s);
        snprintf(s.reason, sizeof(s.reason), "%s", reason);
        hr_card_write(job->card, &s);
}

/* A point of the curve that its record shows; the recorder adds one for each event. */
static void send_point(struct hr_manager *m, struct hr_job *job, uint64_t now_usec)
{
        struct hr_point p = {.time_usec = hr_clock_realtime_usec(),
                .used_bytes = job->used_bytes,
                .cache_bytes = job->cache_bytes,
                .limit_bytes = job->own_limit_bytes};

        memcpy(p.job, job->id, sizeof(p.job));
        hr_exchange_point(m->exchange, &p);
        job->point_usec =
                now_usec + MAX(POINT_LEAST_USEC, hr_sub(now_usec, job->born_usec) / POINT_AGE_SHARE);
}

static void send_event(struct hr_manager *m, struct hr_job *job, enum hr_stage stage, enum hr_stage previous,
        const char *action, const char *outcome, uint64_t took_usec, const char *reason)
{
        struct hr_event e;
        fill_event(job, stage, previous, action, outcome, reason, &e);
        e.took_usec = took_usec;
        fill_hint(job, &e);
        hr_exchange_event(m->exchange, &e);
}

void hr_ladder_tell(struct hr_manager *m, struct hr_job *job, enum hr_stage stage, enum hr_stage previous,
        const char *action, const char *outcome, const char *reason)
{
        hr_ladder_note(job, reason);
        send_event(m, job, stage, previous, action, outcome, 0, reason);
}

void hr_ladder_mention(
        struct hr_manager *m, struct hr_job *job, const char *action, uint64_t took_usec, const char *reason)
{
        send_event(m, job, job->state.stage, job->state.stage, action, "done", took_usec, reason);
}

void hr_ladder_hook(struct hr_manager *m, struct hr_job *job, const char *path, const char *kind,
        enum hr_stage stage, const char *reason, uint64_t timeout_usec)
{
        static struct hr_helper_request q; /* 6 KiB; one thread; sent by copy */
        if (path[0] == '\0')
                return;
        memset(&q, 0, sizeof(q));
        q.op = HR_HELPER_HOOK;
        q.deadline_usec = timeout_usec;
        q.uid = job->uid;
        q.gid = job->gid;
        q.pid = job->card->leader;
        snprintf(q.id, sizeof(q.id), "%s", job->id);
        snprintf(q.name, sizeof(q.name), "%s", job->card->name);
        snprintf(q.path, sizeof(q.path), "%s", path);
        snprintf(q.stage, sizeof(q.stage), "%s", strcmp(kind, "end") == 0 ? "end" : hr_stage_name(stage));
        snprintf(q.reason, sizeof(q.reason), "%s", reason);
        q.used_bytes = job->used_bytes;
        q.limit_bytes = job->own_limit_bytes;
        q.checkpoint = strcmp(kind, "checkpoint") == 0;
        q.job_deadline_usec =
                q.checkpoint ? hr_clock_realtime_usec() + timeout_usec : job->armed.deadline_realtime_usec;
        int r = hr_errands_ask(m, &q, job, NULL, kind);
        if (r < 0 && q.checkpoint) {
                job->save = HR_SAVE_FAILED;
                snprintf(job->save_text, sizeof(job->save_text), "the hook could not be started (%s)",
                        strerror(-r));
        } else if (r < 0) {
                hr_ladder_tell(m, job, job->state.stage, job->state.stage, "hook", "failed",
                        "the hook could not be started: the helper is busy");
        }
}

/* `headroom resume` of a saved job, as its owner. */
static void start_again(struct hr_manager *m, struct hr_job *job, uint64_t limit_bytes)
{
        static struct hr_helper_request q;
        memset(&q, 0, sizeof(q));
        q.op = HR_HELPER_HOOK;
        q.deadline_usec = START_AGAIN_USEC;
        q.uid = job->uid;
        q.gid = job->gid;
        snprintf(q.id, sizeof(q.id), "%s", job->id);
        snprintf(q.name, sizeof(q.name), "%s", job->card->name);
        snprintf(q.stage, sizeof(q.stage), "end");
        q.limit_bytes = limit_bytes;
        q.retried = job->armed.retried + 1;
        if (hr_errands_ask(m, &q, NULL, NULL, "retry") < 0)
                hr_ladder_tell(m, job, job->state.stage, job->state.stage, "retry", "failed",
                        "it could not be started again: the helper is busy");
}

/* ---- think: what can be done to it ---- */

static void fill_means(
        struct hr_manager *m, struct hr_job *job, const struct hr_sample *sample, struct hr_means *ret)
{
        const struct hr_policy *p = job->policy;
        const struct hr_candidate *own = &sample->candidates[0];

        memset(ret, 0, sizeof(*ret));
        ret->observe_only = job->observe_only;
        ret->can_freeze = hr_enact_can_freeze(job, sample->time_usec) && !job->observe_only;
        ret->no_freeze = job->freezer == HR_FREEZER_NONE ? "there is no freezer for it"
                                                         : "it could not be frozen a moment ago";
        ret->can_trim =
                (job->can_reclaim || job->can_trim_count > 0) && !job->trim_busy && job->trim_until_usec == 0;
        ret->trim_is_asked = job->trim_until_usec > 0;
        ret->trims = job->trim_busy || ret->trim_is_asked;
        ret->can_stand_back = job->can_trim_count > 0 && hr_enact_may_stand_back(m, job);
        ret->trim_by = job->can_trim_count == 0 ? "reclaims what is cold"
                       : job->can_reclaim       ? "is asked for its garbage, and what is cold is reclaimed"
                                                : "is asked for its garbage";
        enum hr_method method = hr_images_method(m, job);
        const char *refusal = method == HR_METHOD_CRIU ? hr_images_refusal(m, job) : NULL;
        ret->saves_held = method == HR_METHOD_CRIU;
        ret->in_place = method != p->checkpoint_method.method;
        ret->can_save =
                method == HR_METHOD_CHANNEL ? job->can_save_count > 0 : method != HR_METHOD_NONE && !refusal;
        ret->can_predump = m->criu_tracks;
        ret->no_save = "it can't save itself: no checkpoint method is set (--checkpoint, or the policy's "
                       "checkpoint_method), and its own code offers none (headroom-job(7))";
        if (refusal)
                ret->no_save = refusal;
        ret->braked =
                job->wire.fd >= 0 && job->kind == HR_KIND_CGROUP2 && job->owned && !m->hierarchy.fixture;
        ret->soft_limit = job->kind == HR_KIND_PROCESS;
        /* Asked of the processes only where the answer may be used. */
        if (p->fuse != HR_FUSE_NO && own->limit_bytes != HR_BYTES_NONE &&
                job->state.phase != HR_PHASE_WATCH) {
                struct hr_target t;
                hr_job_target(job, &t);
                ret->can_fuse = hr_fuse_possible(&t, p->fuse == HR_FUSE_YES);
        } else {
                ret->can_fuse = p->fuse != HR_FUSE_NO;
        }
        if (p->elastic && job->own_limit_bytes < p->limit_max_bytes) {
                uint64_t more = MIN(job->own_limit_bytes + job->own_limit_bytes / 4, p->limit_max_bytes);
                uint64_t by = more - job->own_limit_bytes;
                bool host_has = hr_sub(m->host.last.available_bytes, by) > m->config->host_reserve_bytes;
                ret->room_bytes = host_has ? more : 0;
        }
}

static void fill_input(struct hr_manager *m, struct hr_job *job, uint64_t now_usec,
        const struct hr_sample *sample, struct hr_policy_input *in)
{
        memset(in, 0, sizeof(*in));
        in->now_usec = now_usec;
        in->policy = job->policy;
        in->sample = sample;
        in->frozen = job->frozen;
        in->ask = job->ask;
        in->save = job->save;
        snprintf(in->save_text, sizeof(in->save_text), "%s", job->save_text);
        in->predump = job->predump;
        snprintf(in->predump_text, sizeof(in->predump_text), "%s", job->predump_text);
        in->trim_done = job->trim_done;
        in->trimmed_bytes = job->trimmed_bytes;
        fill_means(m, job, sample, &in->means);
        for (size_t i = 0; i < job->domain_count; i++) {
                struct hr_domain *d = job->domains[i];
                bool is_short = hr_domain_ratio(d) >= HR_DOMAIN_FULL_PERMYRIAD;
                in->shortage |= is_short;
                in->yield |= is_short && d->turn == job && d->now.rising &&
                             now_usec >= d->turn_usec + job->policy->turn_usec;
        }
        if (job->state.phase == HR_PHASE_HELD) {
                struct hr_target t;
                hr_job_target(job, &t);
                in->signal_pending = hr_signal_pending(&t);
        }
}

/* ---- when to look again ---- */

/* How fast a job may fill its room at the worst, in a microsecond. */
static uint64_t fill_rate(const struct hr_manager *m)
{
        return MAX(m->config->fill_rate_bytes_per_second / HR_USEC_PER_SEC, 1U);
}

/* Its tripwire rings before its limit, which may have been lowered since it was armed. */
static bool has_wire(const struct hr_job *job)
{
        uint64_t armed = job->wire.armed_bytes, limit = job->own_limit_bytes;

        return armed != HR_BYTES_NONE && armed > job->current_bytes &&
               (limit == HR_BYTES_NONE || armed <= limit - limit / 100);
}

/* Half of the room before its hold level, or above that before its limit. HR_BYTES_NONE: nothing to guard, or
 * a tripwire does. */
static uint64_t half_of_room(const struct hr_job *job, uint64_t used_bytes, uint64_t limit_bytes)
{
        uint32_t level = job->policy->level_permyriad[HR_STAGE_HOLD];

        if (limit_bytes == HR_BYTES_NONE || job->policy->observe || job->observe_only)
                return HR_BYTES_NONE;
        if (has_wire(job))
                return HR_BYTES_NONE;
        uint64_t wall = level == HR_PERMYRIAD_OFF ? limit_bytes : limit_bytes / HR_PERMYRIAD_ALL * level;
        return (used_bytes >= wall ? hr_sub(limit_bytes, used_bytes) : wall - used_bytes) / 2;
}

/* With a tripwire the events come; without one the wall must not be passed between two looks. */
static uint64_t pause_to_wall(
        const struct hr_manager *m, const struct hr_job *job, uint64_t room_bytes, uint64_t now_usec)
{
        if (room_bytes == HR_BYTES_NONE)
                return m->config->poll_max_usec;
        /* One that has long lived close to its limit is looked at each 10 ms, not each 1 ms: 0.1 % of a core.
         */
        uint64_t calm = MIN(hr_sub(now_usec, job->moved_usec) / 1000, CALM_LOOK_USEC);
        return MAX(room_bytes / fill_rate(m), calm);
}

/* Its tripwire rings as soon as it moves. */
static bool is_left_to_wire(const struct hr_job *job)
{
        uint64_t armed = job->wire.armed_bytes, limit = job->own_limit_bytes;

        return job->rest_wire_usec >= job->moved_usec && limit != HR_BYTES_NONE && has_wire(job) &&
               armed <= hr_policy_rest_wire(limit, hr_policy_rest_wire(limit, job->full_current_bytes));
}

/* Where nothing tells that the last of a group has gone, it is looked at for that; where nothing tells of a
 * new limit, for that. */
static uint64_t pause_at_rest(const struct hr_job *job, uint64_t now_usec)
{
        uint64_t pause = is_left_to_wire(job)
                                 ? HR_USEC_NEVER
                                 : hr_policy_rest_pause(hr_sub(now_usec, job->moved_usec), has_wire(job));

        if (job->events_fd < 0 && job->kind != HR_KIND_PROCESS)
                return MIN(pause, UNTOLD_LOOK_USEC);
        return job->owned || job->matched ? pause : MIN(pause, FOREIGN_LOOK_USEC);
}

/* A task that waits for a disk freezes only then: a quarter of the time that it takes already. */
static uint64_t pause_of_freeze(const struct hr_job *job, uint64_t now_usec)
{
        uint64_t waited = hr_sub(now_usec, job->state.phase_since_usec);
        return MIN(MAX(HR_FROZEN_LOOK_USEC, waited / 4), BUSY_LOOK_USEC);
}

static uint64_t align(const struct hr_manager *m, uint64_t now_usec, uint64_t pause_usec)
{
        pause_usec = MIN(MAX(pause_usec, m->config->poll_min_usec), m->config->poll_max_usec);
        uint64_t next = now_usec + pause_usec;
        /* Jobs at rest are looked at together, one wake-up for a thousand; many jobs at all times. */
        if (pause_usec >= 2 * HR_USEC_PER_SEC)
                return next - next % MAX(HR_USEC_PER_SEC, hr_power_of_two(pause_usec / 16));
        return m->job_count < SPARE_LEAST_COUNT ? next : next - next % hr_power_of_two(pause_usec / 2);
}

static void set_next(const struct hr_manager *m, struct hr_job *job, uint64_t now_usec, uint64_t credit_bytes,
        uint64_t wall_pause_usec, uint64_t rest_pause_usec)
{
        job->wall_usec = align(m, now_usec, wall_pause_usec);
        job->rest_usec = align(m, now_usec, rest_pause_usec);
        job->next_usec = MIN(job->wall_usec, job->rest_usec);
        /* The processes of a tree can come to share what was there before. */
        job->credit_bytes = job->kind == HR_KIND_PROCESS ? 0 : credit_bytes;
        job->allocated_bytes = m->allocated_bytes;
}

static void plan(struct hr_manager *m, struct hr_job *job, const struct hr_sample *sample,
        const struct hr_decision *d, uint64_t now_usec)
{
        const struct hr_candidate *own = &sample->candidates[0];
        uint64_t least = MAX(job->policy->observe || job->observe_only ? OBSERVE_LOOK_USEC : 0,
                job->cost_usec * COST_FACTOR);
        uint64_t rest = m->config->poll_max_usec, room = HR_BYTES_NONE;

        if (own->limit_bytes != HR_BYTES_NONE && job->state.phase != HR_PHASE_HELD) {
                room = half_of_room(job, own->used_bytes, own->limit_bytes);
                if (own->left_min_usec != HR_USEC_NEVER)
                        rest = MAX(own->left_min_usec / 16, 20 * HR_USEC_PER_MSEC);
        }
        if (job->state.phase == HR_PHASE_WATCH) {
                rest = MIN(rest, pause_at_rest(job, now_usec));
        } else if (job->freeze_busy > 0) { /* the answer brings the next look */
                rest = BUSY_LOOK_USEC;
                room = HR_BYTES_NONE;
        } else if (job->state.phase == HR_PHASE_BRAKE || (job->armed.frozen && !job->frozen)) {
                rest = pause_of_freeze(job, now_usec);
                room = HR_BYTES_NONE;
        } else {
                rest = MIN(rest, job->state.phase == HR_PHASE_HELD ? HR_USEC_PER_SEC : BUSY_LOOK_USEC);
        }
        set_next(m, job, now_usec, room, MAX(pause_to_wall(m, job, room, now_usec), least), MAX(rest, least));
        uint64_t again = MAX(d->look_again_usec, now_usec + m->config->poll_min_usec);
        job->rest_usec = MIN(job->rest_usec, again);
        job->next_usec = MIN(job->next_usec, again);
}

/*
 * Nobody can have taken more than all together have. A job that could have filled its room by now, and needs
 * no look for another reason, is spared it as long as the host has not allocated so much since the last one.
 */
void hr_ladder_spare(struct hr_manager *m, uint64_t now_usec)
{
        size_t count = 0;

        HR_JOBS_FOREACH (m, job)
                count += now_usec >= job->next_usec && job->next_usec == job->wall_usec;
        if (count < SPARE_LEAST_COUNT || hr_host_read_allocated(&m->host, &m->allocated_bytes) != 0)
                return;
        HR_JOBS_FOREACH (m, job) {
                uint64_t left = hr_sub(job->credit_bytes, hr_sub(m->allocated_bytes, job->allocated_bytes));
                if (now_usec < job->next_usec || job->next_usec != job->wall_usec || left == 0)
                        continue;
                job->wall_usec = align(m, now_usec, pause_to_wall(m, job, left, now_usec));
                job->next_usec = MIN(job->wall_usec, job->rest_usec);
        }
}

/* ---- tell ---- */

void hr_ladder_publish(struct hr_job *job, const struct hr_sample *sample, const struct hr_decision *d)
{
        struct hr_status s;
        int binding = hr_account_binding(sample);
        const struct hr_candidate *c = binding >= 0 ? &sample->candidates[binding] : &sample->candidates[0];

        hr_card_read(job->card, &s); /* what was told last stays */
        s.stage = d->stage;
        s.frozen = hr_job_is_held(job);
        s.used_bytes = job->used_bytes;
        s.cache_bytes = job->cache_bytes;
        s.peak_bytes = job->peak_bytes;
        s.limit_bytes = c->limit_bytes;
        s.own_limit_bytes = job->own_limit_bytes;
        s.headroom_bytes =
                c->limit_bytes == HR_BYTES_NONE ? HR_BYTES_NONE : hr_sub(c->limit_bytes, c->used_bytes);
        s.growth_bytes_per_second = sample->candidates[0].growth_bytes_per_second;
        job->shows_growth = s.growth_bytes_per_second > 0;
        s.left_min_usec = s.frozen ? HR_USEC_NEVER : c->left_min_usec;
        s.left_max_usec = s.frozen ? HR_USEC_NEVER : c->left_max_usec;
        s.deadline_usec = job->armed.deadline_realtime_usec;
        const char *source = "none";
        if (binding >= 0 && c->source == HR_SOURCE_OWN)
                source = "own";
        else if (binding >= 0 && c->source == HR_SOURCE_HOST)
                source = "host";
        else if (binding > 0)
                source = job->domains[binding - 1]->path;
        size_t length = strlen(source); /* a long path: its tail says more */
        snprintf(s.limit_source, sizeof(s.limit_source), "%s",
                length < sizeof(s.limit_source) ? source : source + length - sizeof(s.limit_source) + 1);
        snprintf(s.policy, sizeof(s.policy), "%s", job->policy->name);
        hr_card_write(job->card, &s);
}

static void run_hooks(struct hr_manager *m, struct hr_job *job, const struct hr_note *n)
{
        const struct hr_policy *p = job->policy;
        if (p->observe || job->observe_only || strcmp(n->outcome, "passed over") == 0)
                return;
        if (strcmp(n->action, "notice") == 0 ||
                (strcmp(n->action, "trim") == 0 && strcmp(n->outcome, "started") == 0))
                hr_ladder_hook(m, job, p->on_notice, "notice", n->stage, n->reason, p->hook_timeout_usec);
        else if (strcmp(n->action, "freeze") == 0 && strcmp(n->outcome, "done") == 0)
                hr_ladder_hook(m, job, p->on_hold, "hold", n->stage, n->reason, p->hook_timeout_usec);
}

static void tell(
        struct hr_manager *m, struct hr_job *job, const struct hr_sample *sample, const struct hr_decision *d)
{
        for (size_t i = 0; i < d->note_count; i++) {
                const struct hr_note *n = &d->notes[i];
                hr_ladder_tell(m, job, n->stage, n->previous, n->action, n->outcome, n->reason);
                run_hooks(m, job, n);
        }
        hr_ladder_publish(job, sample, d);
}

/* ---- the wake-up ---- */

static void check_file(struct hr_manager *m, struct hr_job *job)
{
        static struct hr_helper_request q;
        enum hr_method method = job->save_method;
        bool signals = method == HR_METHOD_SIGNAL || method == HR_METHOD_SIGNAL_LEADER;
        bool said = method == HR_METHOD_CHANNEL && job->saved_path[0] != '\0';
        if (job->save != HR_SAVE_RUNNING || !(signals || said) || job->file_busy)
                return;
        memset(&q, 0, sizeof(q));
        q.op = HR_HELPER_FILE;
        q.uid = job->uid;
        q.gid = job->gid;
        if (said)
                snprintf(q.path, sizeof(q.path), "%s", job->saved_path);
        else
                hr_checkpoint_expand(job->policy->checkpoint_file, job->id, job->card->name, job->card->user,
                        q.path, sizeof(q.path));
        job->file_busy = hr_errands_ask(m, &q, job, NULL, NULL) == 0;
}

/* The sum of a tree's processes counts shared memory once for each: the PSS is asked for where it would
 * matter. */
static void check_pss(struct hr_manager *m, struct hr_job *job)
{
        static struct hr_helper_request q;
        bool asks = job->pss_since_usec > 0 || job->used_bytes >= job->threshold_bytes;
        if (job->kind != HR_KIND_PROCESS || job->pss_busy || !asks || job->tree->member_count < 2)
                return;
        if (job->pss_bound_bytes > 0 && job->current_bytes < job->pss_bound_bytes + job->pss_bound_bytes / 50)
                return; /* hardly more than when it was read last */
        memset(&q, 0, sizeof(q));
        q.op = HR_HELPER_PSS;
        q.bytes = job->current_bytes;
        for (size_t i = 0; i < job->tree->member_count && q.pid_count < HR_HELPER_PIDS_MAX; i++)
                q.pids[q.pid_count++] = job->tree->members[i].pid;
        job->pss_busy = hr_errands_ask(m, &q, job, NULL, NULL) == 0;
}

static uint64_t bad_values(const struct hr_job *job)
{
        return job->group.bad_count + (job->tree ? job->tree->bad_count : 0);
}

static int read_sensors(struct hr_manager *m, struct hr_job *job, uint64_t now_usec, bool full)
{
        int r;
        if (job->kind == HR_KIND_PROCESS) {
                uint64_t before = hr_clock_usec();
                /* Who is new may wait a little; how much the known ones use may not. */
                if (m->table_usec == 0 || now_usec >= m->table_usec + m->table_cost_usec * COST_FACTOR) {
                        r = hr_proc_table_scan(m->table);
                        if (r < 0)
                                return r;
                        m->table_usec = now_usec;
                        m->table_cost_usec = hr_sub(hr_clock_usec(), before);
                        before += m->table_cost_usec;
                }
                r = hr_tree_update(m->hierarchy.proc, job->tree, m->table);
                if (r == 0)
                        r = hr_job_sense(job, now_usec, full);
                job->cost_usec = hr_sub(hr_clock_usec(), before);
                return r;
        }
        if (job->events_fd < 0 && now_usec >= job->populated_usec + HR_USEC_PER_SEC) {
                bool populated = true;
                job->populated_usec = now_usec;
                r = hr_group_read_populated(&job->group, &populated);
                if (r != 0 || !populated)
                        return r != 0 ? r : HR_SENSE_GONE;
        }
        m->samples++;
        return hr_job_sense(job, now_usec, full);
}

static int sense(struct hr_manager *m, struct hr_job *job, uint64_t now_usec, bool full)
{
        uint64_t before = bad_values(job);
        int r = read_sensors(m, job, now_usec, full);
        uint64_t bad_count = hr_sub(bad_values(job), before) + (r < 0 && r != -EAGAIN);

        if (bad_count > 0)
                hr_exchange_count(m->exchange, HR_FIGURE_BAD_VALUES, bad_count);
        return r;
}

/* Where nothing could have changed, nothing is judged: most looks at a thousand jobs at rest end here. */
static bool at_rest(const struct hr_job *job, bool full)
{
        if (full || job->ask != HR_ASK_NOTHING || job->state.phase != HR_PHASE_WATCH ||
                job->state.stage != HR_STAGE_OK || job->shows_growth || job->save != HR_SAVE_NONE ||
                job->predump != HR_SAVE_NONE || job->state.predumped || job->trim_done ||
                job->sampled_usec == 0 || job->wire_due ||
                job->state.wall[0].peak_bytes > 0) /* a second look at the wall is due */
                return false;
        for (size_t i = 0; i < job->domain_count; i++)
                if (hr_domain_ratio(job->domains[i]) >= 5000)
                        return false;
        return job->small;
}

/* Where something may have to be decided next: of its own limit, and of those that it shares, if it alone
 * grows. */
static void plan_thresholds(struct hr_job *job, const struct hr_sample *sample)
{
        job->reach_bytes = HR_BYTES_NONE;
        for (size_t i = 0; i < sample->candidate_count; i++) {
                const struct hr_candidate *c = &sample->candidates[i];
                uint64_t at = hr_policy_next_threshold(job->policy, &job->state.wall[i], c);
                if (i == 0)
                        job->threshold_bytes = at;
                else if (at != HR_BYTES_NONE)
                        job->reach_bytes = MIN(job->reach_bytes, job->used_bytes + (at - c->used_bytes));
        }
}

/* It may have reached what it shares: that is judged on values of this moment too. */
static void look_at_shared(struct hr_manager *m, struct hr_job *job, uint64_t now_usec)
{
        if (job->reach_bytes != 0 && job->used_bytes < job->reach_bytes)
                return;
        for (size_t i = 0; i < job->domain_count; i++)
                hr_shared_sample(m, job->domains[i], now_usec);
}

/*
 * CRIU has it standing still, or is about to. One that comes to its hold level meanwhile does not stand
 * still. One that stands still for long would be gone with a CRIU that is killed in the middle: that is its
 * owner's to decide.
 */
static void wait_for_criu(struct hr_manager *m, struct hr_job *job, uint64_t now_usec)
{
        uint32_t level = job->policy->level_permyriad[HR_STAGE_HOLD];
        char text[HR_REASON_MAX], time[HR_TEXT_SIZE_MAX];

        if (job->seized_usec == 0) {
                job->seized_usec = now_usec;
                job->seized_told = false;
        }
        int r = sense(m, job, now_usec, true);
        if (r == HR_SENSE_GONE) {
                hr_ladder_end(m, job);
                return;
        }
        bool braked = job->kind == HR_KIND_CGROUP2 && job->wire.armed_bytes <= job->current_bytes;
        bool full = job->own_limit_bytes != HR_BYTES_NONE &&
                    hr_ratio_permyriad(job->used_bytes, job->own_limit_bytes) >= level;
        if (r == 0 && (braked || full)) /* its tripwire is moved in a look alone */
                hr_images_take_back(m, job);
        uint64_t waited = hr_sub(now_usec, job->seized_usec);
        if (waited >= SEIZED_LONG_USEC && !job->seized_told) {
                job->seized_told = true;
                snprintf(text, sizeof(text),
                        "CRIU has kept it from running for %s to write its memory ahead; "
                        "if it does not let go: headroom kill %s",
                        hr_units_format_time(time, SEIZED_LONG_USEC), job->id);
                hr_ladder_tell(m, job, job->state.stage, job->state.stage, "predump", "stuck", text);
        }
        uint64_t room = half_of_room(job, job->used_bytes, job->own_limit_bytes);
        uint64_t pause = MIN(MAX(waited / 8, SEIZED_LOOK_USEC), BUSY_LOOK_USEC);
        job->next_usec =
                now_usec + MAX(MIN(pause, pause_to_wall(m, job, room, now_usec)), m->config->poll_min_usec);
}

void hr_ladder_look(struct hr_manager *m, struct hr_job *job, uint64_t now_usec, bool full)
{
        struct hr_sample sample;
        struct hr_policy_input in;
        struct hr_decision d;
        _close_ int pass = -1;

        if (job->leaving) { /* detached as soon as it is thawed: nothing is done to it any more */
                job->next_usec = now_usec + BUSY_LOOK_USEC;
                return;
        }
        hr_enact_let_go_on(m, job);
        /* It stands still, and must not be touched but to end it. */
        if (!hr_images_may_freeze(m, job, &pass) && job->ask != HR_ASK_KILL) {
                wait_for_criu(m, job, now_usec);
                return;
        }
        job->seized_usec = 0;
        hr_enact_check_frozen(m, job); /* what is read after it is of one that stands still */
        full |= job->limits_usec == 0; /* somebody has written one */
        full |= hr_enact_wants_rest_wire(m, job, now_usec); /* reckoned from what it uses now */
        int r = sense(m, job, now_usec, full);
        if (r == HR_SENSE_GONE) {
                hr_ladder_end(m, job);
                return;
        }
        if (r == -EAGAIN) { /* the answer brings the next look */
                check_pss(m, job);
                job->next_usec = now_usec + BUSY_LOOK_USEC;
                return;
        }
        if (r == 0 && now_usec >= job->point_usec)
                send_point(m, job, now_usec);
        if (r < 0) { /* it can't be read just now: the last good values stay, the next look comes */
                job->next_usec = now_usec + HR_USEC_PER_SEC;
                return;
        }
        hr_images_look(m, job, now_usec);
        if (at_rest(job, full)) {
                uint64_t room = half_of_room(job, job->used_bytes, job->own_limit_bytes);
                set_next(m, job, now_usec, room, pause_to_wall(m, job, room, now_usec),
                        pause_at_rest(job, now_usec));
                return;
        }
        if (job->trim_until_usec > 0 && now_usec >= job->trim_until_usec) { /* no answer is one too */
                job->trim_until_usec = 0;
                hr_enact_trimmed(job, 0);
        }
        job->silenced &= job->used_bytes < MIN(job->threshold_bytes, job->reach_bytes) &&
                         !hr_enact_brakes(job, now_usec);
        look_at_shared(m, job, now_usec);
        check_file(m, job);
        hr_job_sample(job, now_usec, &sample);
        fill_input(m, job, now_usec, &sample, &in);
        hr_policy_step(&job->state, &in, &d);
        job->ask = HR_ASK_NOTHING;
        job->trim_done = false;
        bool given_up = job->state.phase == HR_PHASE_WATCH && in.save == HR_SAVE_RUNNING &&
                        now_usec >= job->state.save_usec + job->policy->checkpoint_deadline_usec;
        if (job->save != HR_SAVE_RUNNING || given_up)
                job->save = HR_SAVE_NONE;
        if (job->predump != HR_SAVE_RUNNING)
                job->predump = HR_SAVE_NONE;
        job->armed.deadline_realtime_usec =
                d.deadline_usec > 0 ? hr_clock_realtime_usec() + hr_sub(d.deadline_usec, now_usec) : 0;
        hr_enact(m, job, &sample, &d);
        if (d.note_count > 0 || job->armed.guard_bytes != hr_job_guard(job))
                (void)hr_job_arm(job); /* the stage and its deadline, for whoever comes after us */
        tell(m, job, &sample, &d);
        if (job->freeze_usec > 0) /* a tree stands at once */
                hr_enact_check_frozen(m, job);

        plan_thresholds(job, &sample);
        check_pss(m, job);
        hr_enact_wire(m, job, &sample, now_usec);
        job->silenced = false;
        plan(m, job, &sample, &d, now_usec);
        if (job->limits_usec == now_usec) { /* what was just decided did not wait for this */
                hr_shared_refresh(m, job);
                hr_ladder_count_oom_kills(m, job);
        }
        if (job->ask != HR_ASK_NOTHING) /* raised on the spot */
                job->next_usec = now_usec;
}

void hr_ladder_refresh(struct hr_manager *m, struct hr_job *job, uint64_t now_usec)
{
        if (now_usec >= job->sampled_usec + job->cost_usec * COST_FACTOR)
                hr_ladder_look(m, job, now_usec, false);
}

/* ---- the end ---- */

/* Whose limit was it? At its own the group's peak stands within a page or so of it. */
static enum hr_cause find_cause(const struct hr_job *job, uint64_t kernel_peak_bytes, uint64_t outer_kills)
{
        uint64_t limit = job->own_limit_bytes, peak = job->peak_bytes;

        if (kernel_peak_bytes != HR_BYTES_NONE)
                peak = MAX(peak, kernel_peak_bytes);
        if (job->oom_kills > 0)
                return limit != HR_BYTES_NONE && peak >= limit - limit / 64 ? HR_CAUSE_OWN_LIMIT
                                                                            : HR_CAUSE_HOST;
        if (job->unseen)
                return HR_CAUSE_UNSEEN;
        if (job->state.phase == HR_PHASE_KILL || job->ask == HR_ASK_KILL)
                return HR_CAUSE_KILLED;
        if (job->state.interrupted)
                return HR_CAUSE_INTERRUPTED;
        return outer_kills > 0 ? HR_CAUSE_BELOW : HR_CAUSE_UNKNOWN;
}

/* Its owner's, without the reserve that its handlers had: what it is told by, and what comes next is reckoned
 * from. */
static uint64_t limit_asked(const struct hr_job *job)
{
        return job->granted_from_bytes > 0 ? job->granted_from_bytes : job->own_limit_bytes;
}

/* Its last event, with what its record needs. */
static void send_end(struct hr_manager *m, struct hr_job *job, uint64_t outer_kills, const char *outcome,
        const char *reason)
{
        struct hr_event e;

        fill_event(job, HR_STAGE_OK, job->state.stage, "end", outcome, reason, &e);
        e.limit_bytes = limit_asked(job);
        e.fused = job->armed.fused || job->state.fused;
        e.kernel_peak_bytes = HR_BYTES_NONE;
        if (job->kind != HR_KIND_PROCESS)
                (void)hr_group_read_peak(&job->group, &e.kernel_peak_bytes); /* gone: our own samples do */
        e.cause = find_cause(job, e.kernel_peak_bytes, outer_kills);
        if (job->leader_pidfd >= 0) /* not known: its parent may tell, or its unit */
                (void)hr_process_ending(
                        job->proc_path, job->leader_pidfd, job->card->leader, &e.exit_status, &e.exit_signal);
        hr_exchange_event(m->exchange, &e);
}

static void describe_end(
        const struct hr_job *job, uint64_t outer_kills, char *buf, size_t size, const char **ret_outcome)
{
        char used[HR_TEXT_SIZE_MAX], limit[HR_TEXT_SIZE_MAX];
        hr_units_format_bytes(used, job->peak_bytes);
        hr_units_format_bytes(limit, limit_asked(job));
        *ret_outcome = "done";
        if (job->oom_kills > 0) {
                *ret_outcome = "lost";
                snprintf(buf, size,
                        "the kernel's OOM killer struck %" PRIu64 " of its processes; peak %s, limit %s",
                        job->oom_kills, used, limit);
        } else if (job->state.phase == HR_PHASE_KILL) {
                snprintf(buf, size, "ended by the kill; peak %s, limit %s", used, limit);
        } else if (job->state.interrupted) {
                snprintf(buf, size, "ended after it was interrupted%s; peak %s, limit %s",
                        job->state.saved ? ", its checkpoint is proven" : "", used, limit);
        } else if (job->unseen) {
                *ret_outcome = "unseen";
                snprintf(
                        buf, size, "ended while headroomd was down; peak at least %s, limit %s", used, limit);
        } else if (outer_kills > 0) {
                snprintf(buf, size,
                        "ended, not by Headroom; the kernel's OOM killer struck in its cgroup meanwhile; "
                        "peak %s, "
                        "limit %s",
                        used, limit);
        } else {
                snprintf(buf, size, "ended, not by Headroom; peak %s, limit %s", used, limit);
        }
}

/* It was ended, and its work is kept: where, for whoever starts it again. The reason is the path alone. */
static void tell_saved(struct hr_manager *m, struct hr_job *job)
{
        char path[256], reason[HR_REASON_MAX];

        if (job->saved_path[0])
                snprintf(path, sizeof(path), "%s", job->saved_path);
        else
                hr_checkpoint_expand(job->policy->checkpoint_file, job->id, job->card->name, job->card->user,
                        path, sizeof(path));
        hr_units_escape(reason, sizeof(reason), path[0] ? path : "by its hook");
        hr_ladder_tell(m, job, HR_STAGE_OK, job->state.stage, "saved", "done", reason);
}

/*
 * Started again by itself, from its checkpoint and with more room, as often as its policy says: by its `run`,
 * or where nobody waits for it, by the helper, as its owner.
 */
static void retry(struct hr_manager *m, struct hr_job *job)
{
        const struct hr_policy *p = job->policy;
        char text[HR_TEXT_SIZE_MAX], reason[HR_REASON_MAX];
        uint64_t limit = limit_asked(job);
        uint64_t cap = MIN(p->limit_max_bytes, job->uid == 0 ? HR_BYTES_NONE : m->config->limit_cap_bytes);
        struct hr_event e;

        if (p->retry.count == 0 || job->ended_by_owner || limit == HR_BYTES_NONE)
                return;
        uint64_t more = limit / 1000 * p->retry.factor_permille;
        more = MIN((more + HR_MIB - 1) / HR_MIB * HR_MIB, cap);
        bool spent = job->armed.retried >= p->retry.count;
        bool refused = more < limit || (more == limit && p->retry.factor_permille > 1000);
        if (spent)
                snprintf(reason, sizeof(reason), "it is not started again: that was done %u times",
                        job->armed.retried);
        else if (refused)
                snprintf(reason, sizeof(reason),
                        "it is not started again: the administrator allows it no more than %s",
                        hr_units_format_bytes(text, cap));
        else
                snprintf(reason, sizeof(reason), "it is started again, %u of %u, with a limit of %s",
                        job->armed.retried + 1, p->retry.count, hr_units_format_bytes(text, more));
        fill_event(job, job->state.stage, job->state.stage, "retry", spent || refused ? "refused" : "started",
                reason, &e);
        if (!spent && !refused)
                e.limit_bytes = more;
        hr_exchange_event(m->exchange, &e);
        if (!spent && !refused && !job->has_run)
                start_again(m, job, more);
}

/* A group may have seen some before it was watched. */
void hr_ladder_count_oom_kills(struct hr_manager *m, struct hr_job *job)
{
        uint64_t kills = job->wire.oom_kill_count;

        if (job->kind == HR_KIND_PROCESS)
                return;
        if (hr_group_read_oom_kills(&job->group, &kills) != 0) /* gone: as the tripwire saw it last */
                kills = MAX(kills, job->oom_kills);
        if (job->limits_usec > 0 && kills > job->oom_kills_seen)
                hr_exchange_count(m->exchange, HR_FIGURE_OOM_KILLS, kills - job->oom_kills_seen);
        job->oom_kills_seen = MAX(job->oom_kills_seen, kills);
}

/* systemd is the parent of a service's processes, and tells how the main one ended. */
static void ask_unit(struct hr_manager *m, struct hr_job *job)
{
        static struct hr_helper_request q;
        const char *unit = job->card->unit;
        size_t n = strlen(unit);

        if (job->owned || job->kind == HR_KIND_PROCESS || n < 8 || strcmp(unit + n - 8, ".service") != 0)
                return;
        memset(&q, 0, sizeof(q));
        q.op = HR_HELPER_EXIT;
        q.uid = job->uid;
        memcpy(q.id, job->id, sizeof(q.id));
        snprintf(q.name, sizeof(q.name), "%s", job->card->name);
        snprintf(q.placement.unit, sizeof(q.placement.unit), "%s", unit);
        (void)hr_errands_ask(m, &q, NULL, NULL, NULL); /* busy: its exit status stays unknown */
}

/* The job is gone, and ended before: for its record. */
void hr_ladder_exit(struct hr_manager *m, const struct hr_helper_answer *a)
{
        struct hr_event e = {.time_usec = hr_clock_realtime_usec(),
                .uid = a->uid,
                .has_run = true, /* of no interest on a terminal */
                .limit_bytes = HR_BYTES_NONE,
                .kernel_peak_bytes = HR_BYTES_NONE};

        if (a->result < 0)
                return; /* the unit is forgotten, or runs again */
        e.exit_signal = WIFSIGNALED(a->result) ? WTERMSIG(a->result) : 0;
        e.exit_status = e.exit_signal > 0 ? -1 : WEXITSTATUS(a->result);
        memcpy(e.job, a->id, sizeof(e.job));
        memcpy(e.name, a->name, sizeof(e.name));
        snprintf(e.action, sizeof(e.action), "exit");
        snprintf(e.outcome, sizeof(e.outcome), "done");
        snprintf(e.reason, sizeof(e.reason), "its unit says that its first process ended %s %d",
                e.exit_signal > 0 ? "by signal" : "with status",
                e.exit_signal > 0 ? e.exit_signal : e.exit_status);
        hr_exchange_event(m->exchange, &e);
}

void hr_ladder_end(struct hr_manager *m, struct hr_job *job)
{
        static struct hr_helper_request q;
        struct hr_state state;
        char reason[HR_REASON_MAX];
        const char *outcome;
        uint64_t kills;

        if (job->kind != HR_KIND_PROCESS && hr_group_read_oom_kills(&job->group, &kills) == 0)
                job->oom_kills = MAX(job->oom_kills, kills);
        else
                job->oom_kills = MAX(job->oom_kills, job->wire.oom_kill_count);
        hr_ladder_count_oom_kills(m, job);
        uint64_t outer_kills = hr_shared_oom_kills(m, job); /* of a tree: read once, for all that is told */
        describe_end(job, outer_kills, reason, sizeof(reason), &outcome);
        job->armed.deadline_realtime_usec = 0;
        job->used_bytes = job->peak_bytes; /* of the end, the peak is what is worth telling */
        bool ended_by_us = job->state.interrupted || job->state.image;
        if (job->state.saved && ended_by_us && job->oom_kills == 0) {
                retry(m, job); /* first: who waits for it tells of the other as that allows */
                tell_saved(m, job);
        }
        send_end(m, job, outer_kills, outcome, reason);
        ask_unit(m, job);
        hr_ladder_hook(
                m, job, job->policy->on_end, "end", job->state.stage, reason, job->policy->hook_timeout_usec);
        if (job->owned) {
                memset(&q, 0, sizeof(q));
                hr_job_state(job, &state);
                q.op = HR_HELPER_REMOVE;
                q.placement = state.placement;
                (void)hr_errands_ask(m, &q, NULL, NULL, NULL); /* an empty group left behind harms nobody */
        }
        hr_manager_remove(m, job);
}
