/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "act/checkpoint.h"
#include "act/freeze.h"
#include "act/fuse.h"
#include "act/kill.h"
#include "act/limit.h"
#include "act/signal.h"
#include "think/account.h"

/*
 * Carries out a decision on one job, and moves its tripwire.
 *
 * The order is that of the HR_ACT_ bits: what brakes comes first, what lets go comes last, so that a signal
 * is queued and a fuse armed before the job runs again. What is set is recorded before it is set.
 */

/* A freeze waits for the kernel's lock: 121 ms were seen (Linux 6.18, 40 busy processes on 2 processors). */
#define STAND_BACK_USEC (300 * HR_USEC_PER_MSEC)
#define FREEZE_AGAIN_USEC (60 * HR_USEC_PER_SEC) /* one that could not be frozen; chosen, not tuned */
#define THAW_AGAIN_USEC HR_USEC_PER_SEC          /* one that could not be thawed; chosen, not tuned */
/* How long its processes may take to give back garbage; chosen: a collection of 100 million objects takes 10
 * s. */
#define TRIM_USEC (10 * HR_USEC_PER_SEC)
#define RECLAIM_SHARE 10 /* trim asks for a tenth of what is in use */
#define PAGE_BYTES 4096
/* A tripwire is not armed nearer above usage than this, or this share of the limit, if that is less. */
#define WIRE_ROOM_BYTES (512 * HR_KIB)
#define WIRE_ROOM_SHARE 256
/* v2: the brake begins 2 % of the limit before the hold level, and nobody rests above it for longer than a
 * second. At 2 % over memory.high a task sleeps 25 ms for each 256 KiB, at 1 % not at all (Linux 6.1,
 * mm/memcontrol.c: less than 10 ms are not slept). */
#define BRAKE2_SHARE 50
#define BRAKE2_USEC HR_USEC_PER_SEC
/* v1's cgroup.event_control waits for a grace period of RCU: median 16 ms, up to 324 (Linux 6.18, 2 busy
 * processors). */
#define WIRE1_LEFT_USEC (1 * HR_USEC_PER_SEC) /* not with the limit so near, */
/* nor so soon after it moved: it may only have waited for a processor */
#define WIRE1_MOVED_USEC (100 * HR_USEC_PER_MSEC)
#define WIRES_AT_ONCE \
        8 /* a `run` must find room in the helper's socket, and a child free; chosen, not tuned */

/*
 * Freezing and thawing a cgroup is the freezer thread's to do, since it may wait; a tree is stopped on the
 * spot.
 *
 *   armed.frozen  on record, and by our word: from before the freeze is asked for until the thaw is done
 *   thawing       the thaw is asked for, and not yet done
 *   frozen        it stands still, and no thaw is under way: what is read of it is still true when we write
 *   freeze_busy   how many of our requests are under way; the answer to the last one settles the above, for
 *                 what came before it has been overtaken by another wish
 */

static bool is_gone(int r)
{
        return r == -ENODEV || r == -ENOENT;
}

/* The ladder goes on without: a brake is over, a hold is none. */
static void freeze_failed(struct hr_manager *m, struct hr_job *job, int r)
{
        char text[HR_REASON_MAX];

        job->armed.frozen = false;
        job->frozen = false;
        job->freeze_usec = 0;
        if (r != -ESRCH) /* all of a tree that its owner has stopped: the freezer is as good as ever */
                job->freeze_failed_usec = MAX(hr_clock_usec(), 1U);
        if (job->state.phase == HR_PHASE_BRAKE) {
                job->state.deadline_usec = 1;
        } else if (job->state.phase == HR_PHASE_HELD) {
                job->state.phase = HR_PHASE_WATCH;
                job->state.deadline_usec = 0;
                job->state.owner_held = job->state.raising = false;
        }
        (void)hr_job_arm(job); /* a stale "frozen" is thawed once more, which harms nobody */
        if (r == -ESRCH)
                snprintf(text, sizeof(text), "it could not be frozen: all its processes are stopped already");
        else
                snprintf(text, sizeof(text), "it could not be frozen by %s: %s",
                        hr_freezer_name(job->freezer), strerror(-r));
        if (!is_gone(r)) /* else its end is told in a moment */
                hr_ladder_tell(m, job, job->state.stage, job->state.stage, "freeze", "failed", text);
}

static void thaw_done(struct hr_manager *m, struct hr_job *job, int r)
{
        job->thawing = false;
        if (r < 0 && !is_gone(r)) {
                char text[HR_REASON_MAX];
                snprintf(text, sizeof(text), "it could not be thawed by %s: %s",
                        hr_freezer_name(job->freezer), strerror(-r));
                hr_ladder_tell(m, job, job->state.stage, job->state.stage, "thaw", "failed", text);
                return; /* still recorded as frozen, and tried again at the next look */
        }
        job->armed.frozen = false;
        job->frozen = false;
        job->freeze_usec = 0;
        (void)hr_job_arm(job); /* it runs: a stale "frozen" is thawed once more, which harms nobody */
}

static int ask_freezer(struct hr_manager *m, struct hr_job *job, bool freeze)
{
        struct hr_freezer_request q = {.freezer = job->freezer,
                .control_fd = job->control_fd,
                .freeze = freeze,
                .slot = job->card->slot};
        memcpy(q.id, job->id, sizeof(q.id));
        return hr_freezer_ask(m->freezer, &q, &job->freeze_ticket);
}

/* 0: done; -EINPROGRESS: the answer comes; else -errno. */
static int freeze_or_thaw(struct hr_manager *m, struct hr_job *job, const struct hr_target *t, bool freeze)
{
        int r = job->freezer == HR_FREEZER_STOP ? -EOPNOTSUPP : ask_freezer(m, job, freeze);
        if (r == 0) {
                job->freeze_fresh = freeze && job->freeze_busy == 0;
                job->freeze_busy++;
                return -EINPROGRESS;
        }
        if (job->freeze_busy > 0) /* it must not overtake what is under way */
                return r;
        return freeze ? hr_freeze(t) : hr_thaw(t);
}

static void act_freeze(struct hr_manager *m, struct hr_job *job, const struct hr_target *t)
{
        bool ran = !job->armed.frozen;

        if (job->predump == HR_SAVE_RUNNING)
                hr_images_prevent(m, job);
        job->armed.frozen = true;
        job->thawing = false;
        job->frozen = false;
        job->freeze_usec = hr_clock_usec();
        int r = hr_job_arm(job);
        if (r == 0)
                r = freeze_or_thaw(m, job, t, true);
        job->freeze_fresh &= ran;
        if (r < 0 && r != -EINPROGRESS)
                freeze_failed(m, job, r);
}

static void act_thaw(struct hr_manager *m, struct hr_job *job, const struct hr_target *t)
{
        int r = 0;
        if (job->freeze_busy == 1 && job->freeze_fresh && hr_freezer_cancel(m->freezer, job->freeze_ticket)) {
                job->freeze_busy = 0; /* it has run all the time */
        } else {
                job->frozen = false;
                job->thawing = true;
                r = freeze_or_thaw(m, job, t, false);
        }
        if (r != -EINPROGRESS)
                thaw_done(m, job, r);
}

void hr_enact_check_frozen(struct hr_manager *m, struct hr_job *job)
{
        struct hr_target t;
        char text[HR_REASON_MAX], time[HR_TEXT_SIZE_MAX];

        if (!job->armed.frozen || job->freeze_busy > 0)
                return;
        hr_job_target(job, &t);
        (void)hr_freeze_complete(&t, &job->frozen); /* unknown counts as not yet */
        if (!job->frozen || job->freeze_usec == 0)
                return;
        uint64_t usec = hr_sub(hr_clock_usec(), TAKE_VALUE(job->freeze_usec));
        if (usec < 10 * HR_USEC_PER_MSEC)
                snprintf(time, sizeof(time), "%" PRIu64 ".%" PRIu64 " ms", usec / HR_USEC_PER_MSEC,
                        usec % HR_USEC_PER_MSEC / 100);
        else if (usec < 10 * HR_USEC_PER_SEC)
                snprintf(time, sizeof(time), "%" PRIu64 " ms", (usec + 500) / HR_USEC_PER_MSEC);
        else
                hr_units_format_time(time, usec);
        snprintf(text, sizeof(text), "stands still after %s", time);
        hr_ladder_mention(m, job, "frozen", MAX(usec, 1U), text);
}

bool hr_enact_can_freeze(const struct hr_job *job, uint64_t now_usec)
{
        return job->freezer != HR_FREEZER_NONE &&
               (job->freeze_failed_usec == 0 || now_usec >= job->freeze_failed_usec + FREEZE_AGAIN_USEC);
}

/* True: look at it. */
static bool settle(struct hr_manager *m, struct hr_job *job, const struct hr_freezer_answer *a)
{
        if (a->result == -ECANCELED)
                return false; /* counted and settled when it was canceled */
        job->freeze_busy--;
        if (a->ticket != job->freeze_ticket)
                return false;
        if (a->freeze) {
                if (a->result < 0) {
                        freeze_failed(m, job, a->result);
                        return true;
                }
                /* Its tasks need a processor to stop on: theirs may be the one that a look would take. */
                job->next_usec = hr_clock_usec() + HR_FROZEN_LOOK_USEC;
                return false;
        }
        thaw_done(m, job, a->result);
        bool runs = !job->armed.frozen;
        if (!runs) /* not over and over */
                job->next_usec = hr_clock_usec() + THAW_AGAIN_USEC;
        if (!job->leaving)
                return runs;
        hr_verbs_thawed(m, job, runs ? 0 : a->result);
        return false;
}

void hr_enact_answers(struct hr_manager *m, bool look)
{
        struct hr_freezer_answer a;
        while (hr_freezer_next(m->freezer, &a)) {
                struct hr_job *job = hr_manager_job(m, a.slot, a.id);
                if (job && settle(m, job, &a) && look)
                        hr_ladder_look(m, job, hr_clock_usec(), true);
        }
}

void hr_enact_forget(struct hr_manager *m, struct hr_job *job)
{
        if (!job->armed.frozen || job->owned || job->control_fd < 0)
                return;
        /* It is empty, and others may use it again. Nobody waits for the answer. */
        struct hr_target t;
        hr_job_target(job, &t);
        (void)freeze_or_thaw(m, job, &t, false);
}

/* What may block on a group is the helper's to do. */
static int ask_helper(struct hr_manager *m, struct hr_job *job, enum hr_helper_op op, uint64_t bytes)
{
        static struct hr_helper_request q;
        memset(&q, 0, sizeof(q));
        q.op = op;
        q.bytes = bytes;
        snprintf(q.placement.cgroup, sizeof(q.placement.cgroup), "%s", job->group.path);
        return hr_errands_ask(m, &q, job, NULL, NULL);
}

static int ask_high(struct hr_manager *m, struct hr_job *job, uint64_t bytes)
{
        int r = ask_helper(m, job, HR_HELPER_HIGH, bytes);
        job->high_busy = r == 0;
        return r;
}

/*
 * memory.high to max at once, which never blocks. What somebody else had set there may reclaim when it comes
 * back: the helper's to write, and until it stands the record keeps it (armed.high).
 */
static void clear_high(struct hr_manager *m, struct hr_job *job)
{
        if (hr_limit_lift_high(&job->group) < 0)
                return;
        job->wire.armed_bytes = HR_BYTES_NONE;
        job->armed.high = job->armed.high_before_bytes != HR_BYTES_NONE;
        if (job->armed.high && !job->high_busy)
                (void)ask_high(m, job, job->armed.high_before_bytes); /* else at the next look */
}

/* The tripwire away: a job that is let go above it would crawl. */
static void lift_wire(struct hr_manager *m, struct hr_job *job)
{
        bool coming_back = job->high_busy && job->wire.armed_bytes == HR_BYTES_NONE;
        if (job->armed.high && !coming_back)
                clear_high(m, job);
}

void hr_enact_high_written(struct hr_manager *m, struct hr_job *job, uint64_t bytes, int result)
{
        bool wanted = job->wire.armed_bytes == bytes;
        bool came_back = !wanted && bytes == job->armed.high_before_bytes;

        if (wanted && result < 0)
                job->wire.armed_bytes = HR_BYTES_NONE; /* the timer looks */
        else if (came_back)
                job->armed.high = result < 0;
        else if (!wanted)
                clear_high(m, job); /* lifted while this was on its way: it came too late */
}

static void act_fuse(
        struct hr_manager *m, struct hr_job *job, const struct hr_target *t, const struct hr_sample *sample)
{
        int binding = hr_account_binding(sample); /* where the room is least */
        const struct hr_candidate *c = &sample->candidates[MAX(binding, 0)];
        uint64_t room = binding < 0 ? 0 : hr_sub(c->limit_bytes, c->used_bytes);
        uint64_t soft = HR_BYTES_NONE;

        bool again = job->armed.fused; /* what was there before the first fuse is what is set back */
        job->armed.fused = true;
        if (hr_job_arm(job) < 0)
                return;
        int r = hr_fuse_arm(t, hr_policy_fuse_reserve(room), job->policy->fuse == HR_FUSE_YES, &soft);
        if (r <= 0) {
                char text[HR_REASON_MAX];
                snprintf(text, sizeof(text), "no fuse: %s",
                        r < 0 ? strerror(-r) : "none of its processes is Python");
                hr_ladder_tell(m, job, job->state.stage, job->state.stage, "fuse",
                        r < 0 ? "failed" : "passed over", text);
        }
        job->armed.fused = again || r > 0;
        job->state.fused = job->armed.fused;
        if (!again)
                job->armed.fuse_soft_bytes = soft;
}

/* One that was asked for from the start moves with the limit, and is never taken off while there is one. */
static void act_unfuse(struct hr_job *job, const struct hr_target *t)
{
        bool stays = job->fuse_from_start && job->own_limit_bytes != HR_BYTES_NONE;
        (void)hr_fuse_lift(t, stays ? hr_fuse_from_start(job->own_limit_bytes)
                                    : job->armed.fuse_soft_bytes); /* members that are gone need none */
        job->armed.fused = stays;
        job->state.fused = stays;
}

/* Its own processes are asked for garbage, and the kernel for what is cold. */
static void act_trim(struct hr_manager *m, struct hr_job *job)
{
        job->trimmed_bytes = 0;
        if (job->can_trim_count > 0 && hr_consult_ask(m, job, HR_TALK_TRIM, TRIM_USEC))
                job->trim_until_usec = hr_clock_usec() + TRIM_USEC + HR_USEC_PER_SEC;
        job->trim_busy = job->can_reclaim && ask_helper(m, job, HR_HELPER_RECLAIM,
                                                     MAX(job->current_bytes / RECLAIM_SHARE, HR_MIB)) == 0;
}

void hr_enact_trimmed(struct hr_job *job, uint64_t bytes)
{
        job->trimmed_bytes += bytes;
        job->trim_done = !job->trim_busy && job->trim_until_usec == 0;
        if (job->trim_done)
                job->next_usec = 0;
}

static void act_raise(struct hr_manager *m, struct hr_job *job, uint64_t bytes)
{
        static struct hr_helper_request q;
        struct hr_state state;
        if (job->kind == HR_KIND_PROCESS) {
                job->own_limit_bytes = bytes;
                job->ask = HR_ASK_ROOM;
                return;
        }
        if (job->limit_busy)
                return;
        memset(&q, 0, sizeof(q));
        hr_job_state(job, &state);
        q.op = HR_HELPER_LIMIT;
        q.bytes = bytes;
        q.placement = state.placement;
        /* else it stays held, and the owner is asked after all */
        job->limit_busy = hr_errands_ask(m, &q, job, NULL, NULL) == 0;
}

static void act_save(struct hr_manager *m, struct hr_job *job, const struct hr_target *t)
{
        const struct hr_policy *p = job->policy;
        job->save = HR_SAVE_RUNNING;
        job->save_text[0] = '\0';
        /* As file systems stamp: 5 of 1000 files written at once were older than the fine clock said. */
        job->save_since_usec = hr_clock_read_usec(CLOCK_REALTIME_COARSE);
        job->save_size_bytes = 0;
        job->save_method = hr_images_method(m, job);
        if (job->save_method == HR_METHOD_CHANNEL) {
                job->saved_path[0] = '\0';
                if (hr_consult_ask(m, job, HR_TALK_CHECKPOINT,
                            hr_clock_realtime_usec() + p->checkpoint_deadline_usec))
                        return;
                job->save = HR_SAVE_FAILED;
                snprintf(job->save_text, sizeof(job->save_text), "it can't be asked just now");
        } else if (job->save_method == HR_METHOD_CRIU)
                hr_images_dump(m, job);
        else if (job->save_method == HR_METHOD_HOOK)
                hr_ladder_hook(m, job, p->checkpoint_method.path, "checkpoint", job->state.stage,
                        "checkpoint", p->checkpoint_deadline_usec);
        else
                job->save = hr_checkpoint_signal(t, &p->checkpoint_method, p->checkpoint_file[0] != '\0',
                        job->save_text, sizeof(job->save_text));
}

static bool may_grant(const struct hr_manager *m, const struct hr_job *job, uint64_t more)
{
        return job->owned && job->kind != HR_KIND_PROCESS && job->own_limit_bytes != HR_BYTES_NONE &&
               job->granted_from_bytes == 0 &&
               hr_sub(m->host.last.available_bytes, more) > m->config->host_reserve_bytes;
}

bool hr_enact_may_stand_back(const struct hr_manager *m, const struct hr_job *job)
{
        return job->kind == HR_KIND_PROCESS || hr_job_stands_back(job) || may_grant(m, job, 0);
}

/* Raising, or lowering to what is above usage, reclaims nothing, so it can't block. */
static int write_limit(struct hr_job *job, uint64_t bytes)
{
        char text[HR_TEXT_SIZE_MAX];
        snprintf(text, sizeof(text), "%" PRIu64, bytes);
        if (job->limit_busy)
                job->overtaking_bytes = bytes;
        return hr_cgroup_write(job->group.dir_fd,
                job->kind == HR_KIND_CGROUP2 ? "memory.max" : "memory.limit_in_bytes", text);
}

/* Recorded before it is written: a release sets the limit back to what it was before any of ours. */
static int arm_limit(struct hr_job *job)
{
        if (!job->armed.limit)
                job->armed.limit_before_bytes = job->own_limit_bytes;
        job->armed.limit = true;
        return hr_job_arm(job);
}

/*
 * Room for its handlers: an allocation that was under way when it was frozen is in VmData already, so no fuse
 * stops it, and a traceback needs memory too.
 */
static void grant_reserve(struct hr_manager *m, struct hr_job *job)
{
        char text[HR_TEXT_SIZE_MAX], reason[HR_REASON_MAX];
        uint64_t limit = job->own_limit_bytes;
        /* Above what it has come to since, cache included: below that the kernel would reclaim in our thread.
         */
        uint64_t used = MAX(job->used_bytes, job->current_bytes);
        uint64_t from = hr_job_stands_back(job) ? MAX(limit, used) : limit;
        uint64_t more = MIN(hr_add(from, hr_policy_last_room(limit)), job->policy->limit_max_bytes);

        if (more <= limit || !may_grant(m, job, more - limit) || arm_limit(job) < 0 ||
                write_limit(job, more) < 0)
                return; /* it has to do with the room that it has */
        job->granted_from_bytes = limit;
        job->own_limit_bytes = more;
        job->armed.stood_back_bytes = HR_BYTES_NONE;
        snprintf(reason, sizeof(reason), "%s more than its limit, for its own handlers to end it in order",
                hr_units_format_bytes(text, more - limit));
        hr_ladder_tell(m, job, job->state.stage, job->state.stage, "reserve", "done", reason);
}

/* What a job may fill while it waits for its freeze. */
static uint64_t reach(const struct hr_manager *m)
{
        return m->config->fill_rate_bytes_per_second / HR_USEC_PER_SEC * STAND_BACK_USEC;
}

/* It may come to its own limit before it stands still: at the wall, or braked on its way there. */
static bool may_outrun(const struct hr_manager *m, const struct hr_job *job, const struct hr_candidate *own)
{
        return job->state.wall[0].peak_bytes > 0 ||
               (own->rising && hr_sub(own->limit_bytes, own->used_bytes) < reach(m));
}

/*
 * A freeze takes milliseconds, in which a job fills as many MiB where nothing brakes it (v1), and the last of
 * a small limit where memory.high does: its limit in the kernel stands back until it stands still. What it is
 * judged by stays as it is.
 */
static void stand_back(struct hr_manager *m, struct hr_job *job)
{
        uint64_t room = hr_sub(m->host.last.available_bytes, m->config->host_reserve_bytes);
        uint64_t from = MAX(job->own_limit_bytes, job->current_bytes);
        bool before = hr_job_stands_back(job);

        if ((before && !job->limit_busy && !job->outran) || !may_grant(m, job, 0))
                return; /* else the helper is about to close it up, or it has used up what it got */
        job->armed.stood_back_bytes = job->own_limit_bytes;
        job->outran = false;
        if ((!before && arm_limit(job) < 0) || write_limit(job, hr_add(from, MIN(reach(m), room))) < 0)
                job->armed.stood_back_bytes = before ? job->own_limit_bytes : HR_BYTES_NONE;
}

/*
 * Past the hold level what is left may be less than it fills until the next look, or than any climb that
 * could be told from noise: at the limit itself nothing climbs, and the kernel kills.
 */
static bool is_climbing(const struct hr_job *job, const struct hr_candidate *own)
{
        bool runs = !job->armed.frozen && job->state.phase <= HR_PHASE_SAVE;
        return runs && job->state.wall[0].peak_bytes > 0 && own->rising && !job->policy->observe &&
               !job->observe_only;
}

/*
 * Only of one that stands still is the usage that was read still true when the limit is written; below usage,
 * the kernel would reclaim in our thread, and kill. One that runs is left room, and the helper does it, who
 * drops cache first. One that came to stand above its limit keeps what it has.
 */
static void close_up(struct hr_manager *m, struct hr_job *job)
{
        uint64_t limit = job->own_limit_bytes, current = 0;
        char text[HR_TEXT_SIZE_MAX], reason[HR_REASON_MAX];
        bool refused = hr_clock_usec() < job->close_up_usec;

        if (!hr_job_stands_back(job) || job->limit_busy || hr_group_read_current(&job->group, &current) != 0)
                return;
        if (job->frozen && current < limit) {
                if (write_limit(job, limit) == 0) {
                        job->armed.stood_back_bytes = HR_BYTES_NONE;
                        job->outran = false;
                }
        } else if (!refused && !(job->frozen && job->outran) &&
                   (job->frozen ? job->used_bytes < limit
                                : hr_account_least_limit(job->used_bytes) <= limit)) {
                act_raise(m, job, limit); /* and then it is set, and no longer stands back */
        } else if (job->frozen && !job->outran) {
                job->outran = true;
                (void)write_limit(job, hr_account_least_limit(current)); /* else more room still stands */
                snprintf(reason, sizeof(reason),
                        "it outran its freeze and stands above its limit; it keeps the %s that it has",
                        hr_units_format_bytes(text, current));
                hr_ladder_tell(m, job, job->state.stage, job->state.stage, "reserve", "done", reason);
        }
}

/* What the helper has set: false where it was overtaken, and what we wrote since stands again. */
bool hr_enact_limited(struct hr_manager *m, struct hr_job *job, uint64_t bytes, bool by_owner)
{
        uint64_t ours = TAKE_VALUE(job->overtaking_bytes);

        job->limit_busy = false;
        if (ours == 0)
                return true;
        if (!by_owner && bytes < ours)
                return write_limit(job, ours) < 0;
        act_raise(m, job, bytes); /* who came last is not known */
        return true;
}

/* It lives on, and well below: the reserve was for its end. */
static void take_reserve_back(struct hr_manager *m, struct hr_job *job)
{
        if (job->granted_from_bytes == 0 || job->state.phase != HR_PHASE_WATCH || job->limit_busy ||
                job->used_bytes > job->granted_from_bytes / 10 * 9)
                return;
        act_raise(m, job, job->granted_from_bytes); /* which counts until that stands */
}

void hr_enact(
        struct hr_manager *m, struct hr_job *job, const struct hr_sample *sample, const struct hr_decision *d)
{
        const struct hr_candidate *own = &sample->candidates[0];
        struct hr_target t;
        uint32_t a = d->actions;

        take_reserve_back(m, job);
        hr_job_target(job, &t);
        /* Before its limit is closed up: the helper, who does that beside cache, would come after it. */
        if (a & HR_ACT_INTERRUPT || (a & HR_ACT_THAW && hr_signal_pending(&t)))
                grant_reserve(m, job);
        bool freezes = hr_job_is_held(job) && !job->frozen;
        if (is_climbing(job, own) || (freezes && may_outrun(m, job, own)))
                stand_back(m, job);
        else if (job->frozen == job->armed.frozen && !(a & (HR_ACT_FREEZE | HR_ACT_STAND_BACK)))
                close_up(m, job); /* no freeze is under way or asked for, nor a thaw */
        if (a == 0)
                return;
        if (a & HR_ACT_FREEZE && !hr_job_is_held(job)) {
                if (may_outrun(m, job, own))
                        stand_back(m, job);
                act_freeze(m, job, &t);
        }
        if (a & HR_ACT_RAISE)
                act_raise(m, job, d->raise_bytes);
        if (a & HR_ACT_STAND_BACK)
                stand_back(m, job);
        if (a & HR_ACT_TRIM)
                act_trim(m, job);
        if (a & HR_ACT_PREDUMP)
                hr_images_predump(m, job);
        if (a & HR_ACT_FORGET)
                hr_images_forget(m, job);
        if (a & HR_ACT_SAVE)
                act_save(m, job, &t);
        if (a & HR_ACT_FUSE)
                act_fuse(m, job, &t, sample);
        if (a & HR_ACT_UNFUSE && job->armed.fused)
                act_unfuse(job, &t);
        if (a & (HR_ACT_INTERRUPT | HR_ACT_TERMINATE))
                hr_signal_drop_stops(&t);
        if (a & HR_ACT_INTERRUPT)
                (void)hr_signal_all(&t, SIGINT, false);
        if (a & HR_ACT_TERMINATE)
                (void)hr_signal_all(&t, SIGTERM, false);
        /* Not with the freeze: until that is complete, it is the brake. */
        if (a & (HR_ACT_THAW | HR_ACT_INTERRUPT))
                lift_wire(m, job);
        if (a & HR_ACT_THAW && hr_job_is_held(job)) {
                close_up(m, job);
                act_thaw(m, job, &t);
        }
        if (a & HR_ACT_KILL) {
                (void)hr_kill(&t); /* again in a second, as long as anybody is left */
                if (job->freezer == HR_FREEZER_CGROUP1 && hr_job_is_held(job))
                        act_thaw(m, job, &t); /* a freeze under way would come after that of the kill */
        }
}

/* ---- the tripwire ---- */

/* What stands in memory.high and is not ours is somebody's own brake: respected, and put back. */
static void note_high_of_others(struct hr_job *job)
{
        uint64_t now;
        bool ours_unknown = job->armed.high && job->wire.armed_bytes == HR_BYTES_NONE; /* adopted */
        uint64_t ours = job->armed.high ? job->wire.armed_bytes : job->armed.high_before_bytes;
        if (!ours_unknown && hr_group_read_high(&job->group, &now) == 0 && now != ours)
                job->armed.high_before_bytes = now;
}

static void write_wire2(struct hr_manager *m, struct hr_job *job, uint64_t high, bool near)
{
        char text[HR_TEXT_SIZE_MAX];

        note_high_of_others(job);
        if (job->armed.high_before_bytes <= high) { /* theirs wakes us as well, and comes first */
                lift_wire(m, job);
                return;
        }
        job->armed.high = true;
        if (hr_job_arm(job) < 0)
                return;
        snprintf(text, sizeof(text), "%" PRIu64, high);
        int r = near ? ask_high(m, job, high) /* it may reclaim, and so block */
                     : hr_cgroup_write(job->group.dir_fd, "memory.high", text);
        if (r == 0)
                job->wire.armed_bytes = high;
        else
                job->rest_wire_usec = 0; /* tried again */
}

/* Registering waits for a grace period of the kernel (16 ms, up to 324): the helper's to do. Until then the
 * timer looks. */
static void write_wire1(struct hr_manager *m, struct hr_job *job, uint64_t threshold)
{
        job->high_busy = hr_errands_under_way(m, HR_HELPER_WIRE) < WIRES_AT_ONCE &&
                         ask_helper(m, job, HR_HELPER_WIRE, threshold) == 0;
        if (job->high_busy)
                job->wire.armed_bytes = HR_BYTES_NONE;
        else
                job->rest_wire_usec = 0; /* tried again; the old one stands */
}

static bool can_have_wire(const struct hr_manager *m, const struct hr_job *job)
{
        if (job->kind == HR_KIND_PROCESS || m->hierarchy.fixture)
                return false;
        return job->kind == HR_KIND_CGROUP1 || (job->owned && job->wire.fd >= 0);
}

static bool is_at_rest(const struct hr_job *job, uint64_t now_usec)
{
        return (job->kind == HR_KIND_CGROUP1 || job->current_bytes >= HR_POLICY_REST_WIRE2_BYTES) &&
               job->state.phase == HR_PHASE_WATCH && job->state.stage == HR_STAGE_OK &&
               now_usec >= job->moved_usec + HR_POLICY_REST_USEC;
}

/* Once for each rest: where it can't be armed the timer goes on looking. */
bool hr_enact_wants_rest_wire(const struct hr_manager *m, const struct hr_job *job, uint64_t now_usec)
{
        return job->own_limit_bytes != HR_BYTES_NONE && is_at_rest(job, now_usec) &&
               job->rest_wire_usec < job->moved_usec && can_have_wire(m, job) && !job->high_busy;
}

/* Where it is to ring, in memory.current; HR_BYTES_NONE: nowhere, or too near: the timer looks. */
static uint64_t wire_wanted(const struct hr_job *job, const struct hr_candidate *own, bool rests)
{
        uint64_t limit = job->own_limit_bytes, at = job->threshold_bytes, room = WIRE_ROOM_BYTES;
        /* usage counts cache (and on v1 kernel memory), and not what is swapped out */
        uint64_t apart = hr_sub(job->current_bytes + job->swap_bytes, job->used_bytes);
        uint32_t hold = job->policy->level_permyriad[HR_STAGE_HOLD];

        if (job->kind == HR_KIND_CGROUP2 && hold != HR_PERMYRIAD_OFF && at != HR_BYTES_NONE &&
                hr_ratio_permyriad(at, own->limit_bytes) >= hold)
                at = hr_sub(at, own->limit_bytes / BRAKE2_SHARE);
        if (job->kind == HR_KIND_CGROUP2) /* v1's brakes nobody, and costs a grace period of the kernel */
                at = MIN(at, job->reach_bytes);
        if (rests)
                at = MIN(at, hr_policy_rest_wire(limit, job->used_bytes));
        if (at == HR_BYTES_NONE)
                return at;
        at = hr_sub(at + apart, job->swap_bytes);
        if (limit != HR_BYTES_NONE) {
                at = MIN(at, limit - limit / 100);
                room = MIN(room, limit / WIRE_ROOM_SHARE);
        }
        at -= at % PAGE_BYTES; /* as the kernel reads it back */
        return at < job->current_bytes + room ? HR_BYTES_NONE : at;
}

bool hr_enact_brakes(const struct hr_job *job, uint64_t now_usec)
{
        return job->kind == HR_KIND_CGROUP2 && job->wire.armed_bytes <= job->used_bytes &&
               now_usec < job->tripped_usec + BRAKE2_USEC;
}

/* Moves it to the next threshold. It is a wake-up call, not a resting place. */
void hr_enact_wire(
        struct hr_manager *m, struct hr_job *job, const struct hr_sample *sample, uint64_t now_usec)
{
        const struct hr_candidate *own = &sample->candidates[0];
        bool v2 = job->kind == HR_KIND_CGROUP2;
        uint64_t want = HR_BYTES_NONE;

        job->wire_due = false;
        if (job->armed.frozen && !job->frozen)
                return; /* being frozen: the tripwire brakes it until it stands; or being thawed */
        if (!can_have_wire(m, job) || job->high_busy)
                return;
        bool runs = (job->state.phase == HR_PHASE_WATCH || job->state.phase == HR_PHASE_SAVE) &&
                    !job->armed.frozen;
        bool rests = is_at_rest(job, now_usec);
        if (rests)
                job->rest_wire_usec = now_usec;
        if (runs && !job->silenced)
                want = wire_wanted(job, own, rests);
        if (want == HR_BYTES_NONE && runs && own->rising && hr_enact_brakes(job, now_usec))
                return; /* on its way to the hold level */
        if (want == HR_BYTES_NONE) {
                if (v2)
                        lift_wire(m, job);
                return;
        }
        uint64_t armed = job->wire.armed_bytes;
        uint64_t off = armed > want ? armed - want : want - armed;
        /* 0.2 %, or a bit early on a long way: not worth a write. It moves a little in its rest too. */
        uint64_t early = hr_sub(armed, job->current_bytes) / (rests ? 1 : 16);
        if (armed != HR_BYTES_NONE && (off <= want / 500 || (armed < want && off <= early)))
                return;
        if (v2) {
                write_wire2(m, job, want, want < job->current_bytes + want / 50);
        } else if (own->left_min_usec < WIRE1_LEFT_USEC ||
                   now_usec < MAX(job->moved_usec, job->high_usec) + WIRE1_MOVED_USEC) {
                job->wire.armed_bytes = HR_BYTES_NONE; /* it would be there first: the timer looks */
                job->wire_due = true;
        } else {
                write_wire1(m, job, want);
                job->high_usec = now_usec;
        }
}

void hr_enact_adopted(struct hr_manager *m, struct hr_job *job)
{
        struct hr_target t;
        hr_job_target(job, &t);
        hr_freeze_adopt(&t);
        if (job->state.phase == HR_PHASE_WATCH) {
                job->goes_on = true;
        } else if (!hr_images_adopt(m, job)) { /* it has the job frozen and thawed as it needs */
                act_freeze(m, job, &t);
        }
}

void hr_enact_let_go_on(struct hr_manager *m, struct hr_job *job)
{
        struct hr_target t;

        if (!job->goes_on)
                return;
        job->goes_on = false;
        hr_job_target(job, &t);
        lift_wire(m, job);
        act_thaw(m, job, &t);
}

void hr_enact_nothing(struct hr_manager *m, struct hr_job *job)
{
        struct hr_target t;
        hr_job_target(job, &t);
        if (job->armed.fused)
                (void)hr_fuse_lift(&t, job->armed.fuse_soft_bytes);
        job->armed.fused = false;
        lift_wire(m, job);
        close_up(m, job);
        if (hr_job_is_held(job))
                act_thaw(m, job, &t);
        (void)hr_job_arm(job);
}
