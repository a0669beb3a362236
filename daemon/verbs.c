/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "act/freeze.h"
#include "act/fuse.h"
#include "doctor.h"
#include "think/account.h"

/*
 * What peers ask for. The bus thread has judged who may ask; here it is done, or refused with a reason and
 * the way out. One function for each verb, in a table. A verb that needs the helper is answered when the
 * helper has answered.
 */

static void HR_PRINTF(4, 5)
        answer(struct hr_manager *m, struct hr_command *c, int result, const char *format, ...)
{
        va_list ap;
        va_start(ap, format);
        hr_units_vformat_text(c->message, sizeof(c->message), format, ap);
        va_end(ap);
        c->result = result;
        hr_exchange_answer(m->exchange, c);
}

static const char *named(const struct hr_job *job, char *buf, size_t size)
{
        snprintf(buf, size, "%s (%s)", job->id, job->card->name);
        return buf;
}
#define NAMED(job) named((job), (char[HR_ID_MAX + HR_NAME_MAX + 4]){0}, HR_ID_MAX + HR_NAME_MAX + 4)

/* ---- run and attach ---- */

static bool name_taken(struct hr_manager *m, const char *name)
{
        HR_JOBS_FOREACH (m, job)
                if (strcmp(job->card->name, name) == 0)
                        return true;
        return false;
}

/* A policy that was asked for must exist; what was asked for must be possible. 0, or answered. */
static int check_wishes(struct hr_manager *m, struct hr_command *c)
{
        struct hr_checkpoint_method method;
        if (c->policy[0] && !hr_config_policy(m->config, c->policy)) {
                answer(m, c, -EINVAL, "there is no policy %s; headroom policy list shows them", c->policy);
                return -EINVAL;
        }
        int r = c->checkpoint[0] ? hr_config_parse_method(c->checkpoint, &method) : 0;
        if (r < 0) {
                answer(m, c, -EINVAL,
                        "checkpoint method %s: %s; takes none, channel, criu, signal:USR1, signal:B:USR1 "
                        "or hook:/path",
                        c->checkpoint, r == -EOPNOTSUPP ? "not in this version" : "not understood");
                return r;
        }
        if (c->checkpoint[0] && method.method == HR_METHOD_CRIU && m->criu_result < 0) {
                answer(m, c, -EOPNOTSUPP, "checkpoint method criu: %s; headroom doctor shows it",
                        m->criu_text);
                return -EOPNOTSUPP;
        }
        if (c->has_limit && c->uid != 0 && c->limit_bytes != HR_BYTES_NONE &&
                c->limit_bytes > m->config->limit_cap_bytes) {
                char cap[HR_TEXT_SIZE_MAX];
                answer(m, c, -EPERM, "the administrator allows limits up to %s",
                        hr_units_format_bytes(cap, m->config->limit_cap_bytes));
                return -EPERM;
        }
        if (m->job_count >= m->jobs_max) {
                answer(m, c, -ENOSPC, "headroomd watches %u jobs already, its jobs_max", m->jobs_max);
                return -ENOSPC;
        }
        return 0;
}

static void verb_run(struct hr_manager *m, struct hr_command *c, struct hr_job *none HR_UNUSED)
{
        static struct hr_helper_request q;
        struct hr_pid_status status;

        if (check_wishes(m, c) < 0)
                return;
        /* The child belongs to the caller, or the caller is root: the bus thread knows the caller, the kernel
         * the child. */
        if (hr_process_status(m->hierarchy.proc, c->pid, &status) != 0 ||
                (c->uid != 0 && status.uid_real != c->uid)) {
                answer(m, c, -EPERM, "process %d is not yours", (int)c->pid);
                return;
        }
        memset(&q, 0, sizeof(q));
        q.op = HR_HELPER_PLACE;
        q.uid = c->uid;
        q.gid = c->gid;
        q.pid = c->pid;
        q.bytes = c->has_limit ? c->limit_bytes : HR_BYTES_NONE;
        snprintf(c->answer_job, sizeof(c->answer_job), "j%" PRIu64, hr_manager_new_id(m));
        snprintf(q.id, sizeof(q.id), "%s", c->answer_job);
        snprintf(q.name, sizeof(q.name), "%s", c->name);
        int r = hr_errands_ask(m, &q, NULL, c, NULL);
        if (r < 0)
                answer(m, c, r, "headroomd's helper takes no more just now (%s); try again", strerror(-r));
}

/* What the administrator's rules give a job that was asked for. The rule, or NULL. */
static const struct hr_match *follow_rule(struct hr_manager *m, const struct hr_command *c,
        const struct hr_helper_answer *a, struct hr_state *s)
{
        const struct hr_match *match = hr_watch_rule(m, a, &s->placement);
        if (!match)
                return NULL;
        hr_watch_obey(match, c->policy[0] != '\0', s);
        if (s->placement.kind == HR_KIND_PROCESS && !c->has_limit)
                s->own_limit_bytes = match->limit_bytes;
        return match;
}

void hr_verbs_placed(struct hr_manager *m, struct hr_command *c, const struct hr_helper_answer *a)
{
        struct hr_state state = {0};
        struct hr_pid_stat stat = {0}, reaper;
        struct hr_job *job;
        const struct hr_match *match;

        if (a->result < 0) {
                answer(m, c, a->result, "the job could not be placed: %s", strerror(-a->result));
                return;
        }
        snprintf(state.id, sizeof(state.id), "%s", c->answer_job);
        snprintf(state.name, sizeof(state.name), "%s", c->name);
        snprintf(state.policy, sizeof(state.policy), "%s", c->policy[0] ? c->policy : "default");
        snprintf(state.checkpoint, sizeof(state.checkpoint), "%s", c->checkpoint);
        snprintf(state.user, sizeof(state.user), "%s", a->user);
        state.uid = c->uid;
        state.gid = c->gid;
        state.leader = c->pid;
        state.fuse = c->fuse;
        state.own_limit_bytes = c->has_limit ? c->limit_bytes : HR_BYTES_NONE;
        state.placement = a->placement;
        state.limit_max_bytes = HR_BYTES_NONE;
        state.command = c->peer_command;
        state.armed = HR_ARMED_NOTHING;
        state.armed.limit = c->has_limit && a->placement.owned;
        state.armed.retried = c->retried;
        match = follow_rule(m, c, a, &state);
        struct hr_pid_status status; /* its parent waits for it, so the pid can't have become another's;
                                        root's daemon looks again */
        if (c->uid != 0 &&
                (hr_process_status(m->hierarchy.proc, c->pid, &status) != 0 || status.uid_real != c->uid)) {
                answer(m, c, -EPERM, "process %d is not yours", (int)c->pid);
                return;
        }
        if (hr_process_stat(m->hierarchy.proc, c->pid, &stat) == 0)
                state.leader_start_ticks = stat.start_ticks;
        if (state.placement.kind == HR_KIND_PROCESS && c->reaper > 0 && stat.ppid == c->reaper &&
                hr_process_stat(m->hierarchy.proc, c->reaper, &reaper) == 0) {
                state.reaper = c->reaper;
                state.reaper_start_ticks = reaper.start_ticks;
        }
        int r = hr_manager_add(m, &state, "watch", "started", &job);
        if (r != 0) {
                answer(m, c, r < 0 ? r : -ESRCH, "the job could not be watched: %s",
                        r < 0 ? strerror(-r) : "it ended at once");
                return;
        }
        job->has_run = !c->detached;
        if (c->fuse && c->has_limit) {
                struct hr_target t;
                uint64_t soft;
                hr_job_target(job, &t);
                /* From the start: an allocation that does not fit the limit fails at its line, whatever the
                 * policy says. */
                job->armed.fused = true;
                if (hr_job_arm(job) == 0 && hr_fuse_arm_from_start(&t, c->limit_bytes, &soft) > 0)
                        job->armed.fuse_soft_bytes = soft;
                else
                        job->armed.fused = false;
                job->state.fused = job->armed.fused;
        }
        if (match && !c->has_limit)
                hr_watch_limit(m, job, match);
        c->answer_bytes = job->own_limit_bytes;
        c->answer_retries = (uint32_t)hr_sub(job->policy->retry.count, job->armed.retried);
        /* what its owner should know of the place, and of a wish that was not granted, or nothing */
        if (match && match->lock && c->policy[0] && strcmp(c->policy, job->policy->name) != 0)
                answer(m, c, 0, "policy %s, not %s: the administrator's [match %s] is locked%s%s",
                        job->policy->name, c->policy, match->name, a->text[0] ? "; " : "", a->text);
        else
                answer(m, c, 0, "%s", a->text);
}

/* ---- a job that comes back from its image ---- */

static void verb_restore(struct hr_manager *m, struct hr_command *c, struct hr_job *none HR_UNUSED)
{
        HR_JOBS_FOREACH (m, job)
                if (strcmp(job->id, c->job) == 0) {
                        answer(m, c, -EBUSY, "%s runs; it can go on from its image only when it has ended",
                                NAMED(job));
                        return;
                }
        if (check_wishes(m, c) < 0)
                return;
        snprintf(c->answer_job, sizeof(c->answer_job), "j%" PRIu64, hr_manager_new_id(m));
        int r = hr_images_restore(m, c);
        if (r < 0)
                answer(m, c, r, "headroomd's helper takes no more just now (%s); try again", strerror(-r));
}

void hr_verbs_restored(struct hr_manager *m, struct hr_command *c, const struct hr_helper_answer *a)
{
        const struct hr_image *i = &a->image;
        struct hr_state s = {0};
        struct hr_job *job;
        char limit[HR_TEXT_SIZE_MAX];

        if (a->result == -ENOENT) {
                answer(m, c, -ENOENT, "There is no job \"%s\", and there is no saved image of it.", c->job);
                return;
        }
        if (a->result < 0) { /* without CRIU it was tried too: only so is it known that there is an image */
                bool here = m->criu_result < 0 && a->result == -EIO;
                answer(m, c, a->result, "%s can't go on: %s", c->job,
                        here         ? m->criu_text
                        : a->text[0] ? a->text
                                     : strerror(-a->result));
                return;
        }
        snprintf(s.id, sizeof(s.id), "%s", c->answer_job);
        snprintf(s.name, sizeof(s.name), "%s", i->name);
        snprintf(s.policy, sizeof(s.policy), "%s",
                hr_config_policy(m->config, i->policy) ? i->policy : "default");
        snprintf(s.checkpoint, sizeof(s.checkpoint), "%s", i->checkpoint);
        snprintf(s.user, sizeof(s.user), "%s", i->user);
        s.uid = i->uid;
        s.gid = i->gid;
        s.leader = a->leader;
        s.leader_start_ticks = a->leader_start_ticks;
        s.own_limit_bytes = HR_BYTES_NONE;
        s.limit_max_bytes = HR_BYTES_NONE;
        s.placement = a->placement;
        s.armed = HR_ARMED_NOTHING;
        s.armed.limit = i->limit_bytes != HR_BYTES_NONE;
        s.armed.retried = i->retried + 1; /* whoever asked: it is bounded in any case */
        int r = hr_manager_add(m, &s, "watch", "restored", &job);
        if (r != 0) {
                answer(m, c, r < 0 ? r : -ESRCH, "%s goes on, but can't be watched: %s", c->job,
                        r < 0 ? strerror(-r) : "it has ended already");
                return;
        }
        answer(m, c, 0, "%s goes on as %s (%s), limit %s; its image is %s", c->job, s.id, s.name,
                hr_units_format_bytes(limit, job->own_limit_bytes), c->removes ? "removed" : "kept");
}

/* A name that is free: the one wished for, or the id if it is taken by another (names need not be unique, ids
 * are). */
static void attach_name(
        struct hr_manager *m, const struct hr_command *c, const char *fallback, char *buf, size_t size)
{
        size_t n = 0;
        if (c->name[0]) {
                snprintf(buf, size, "%s", c->name);
                return;
        }
        for (const char *p = fallback; *p && n + 1 < size; p++) {
                bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
                bool other = (*p >= '0' && *p <= '9') || strchr("._-@", *p);
                if (letter || (other && n > 0))
                        buf[n++] = *p;
        }
        buf[n] = '\0';
        if (hr_units_check_name(buf) < 0 || name_taken(m, buf))
                snprintf(buf, size, "attached");
}

static bool is_watched(struct hr_manager *m, const char *cgroup, pid_t pid, char *id, size_t size)
{
        HR_JOBS_FOREACH (m, job)
                if ((cgroup && job->group.path && strcmp(job->group.path, cgroup) == 0) ||
                        (!cgroup && pid == job->card->leader)) {
                        snprintf(id, size, "%s", job->id);
                        return true;
                }
        return false;
}

static void attach_group(struct hr_manager *m, const struct hr_command *c, struct hr_state *s)
{
        char full[PATH_MAX];
        s->placement.kind = m->hierarchy.memory_version == 2 ? HR_KIND_CGROUP2 : HR_KIND_CGROUP1;
        snprintf(s->placement.cgroup, sizeof(s->placement.cgroup), "%s", c->cgroup);
        snprintf(s->placement.unit, sizeof(s->placement.unit), "%.90s", c->unit ? c->unit : "");
        snprintf(s->placement.why, sizeof(s->placement.why), "attached where it stands");
        s->placement.freezer = HR_FREEZER_STOP;
        snprintf(full, sizeof(full), "%s%s/cgroup.freeze", m->hierarchy.memory, c->cgroup);
        if (s->placement.kind == HR_KIND_CGROUP2 && access(full, W_OK) == 0) {
                s->placement.freezer = HR_FREEZER_CGROUP2;
                snprintf(s->placement.control, sizeof(s->placement.control), "%s", c->cgroup);
        }
}

static void verb_limit(struct hr_manager *m, struct hr_command *c, struct hr_job *job);

/* The caller's own, or for root the owner of what is attached: the job is his. */
static void verb_attach(struct hr_manager *m, struct hr_command *c, struct hr_job *none HR_UNUSED)
{
        static struct hr_helper_request q;
        struct hr_pid_status status;

        if (check_wishes(m, c) < 0)
                return;
        memset(&q, 0, sizeof(q));
        q.op = HR_HELPER_WHO;
        q.uid = c->uid;
        q.gid = c->gid;
        q.pid = c->cgroup ? 0 : c->pid;
        if (!c->cgroup) {
                if (hr_process_status(m->hierarchy.proc, c->pid, &status) != 0) {
                        answer(m, c, -ESRCH, "there is no process %d", (int)c->pid);
                        return;
                }
                q.uid = status.uid_real;
                q.gid = status.gid;
        }
        int r = hr_errands_ask(m, &q, NULL, c, NULL);
        if (r < 0)
                answer(m, c, r, "headroomd's helper takes no more just now (%s); try again", strerror(-r));
}

void hr_verbs_known(struct hr_manager *m, struct hr_command *c, const struct hr_helper_answer *a)
{
        struct hr_state s = {0};
        struct hr_pid_stat stat = {0};
        struct hr_job *job;
        char id[HR_ID_MAX];

        if (a->result < 0) {
                answer(m, c, a->result, "its owner could not be found out: %s", strerror(-a->result));
                return;
        }
        if (is_watched(m, c->cgroup, c->pid, id, sizeof(id))) {
                answer(m, c, -EEXIST, "it is watched already, as %s; headroom status %s", id, id);
                return;
        }
        snprintf(s.id, sizeof(s.id), "j%" PRIu64, hr_manager_new_id(m));
        snprintf(s.policy, sizeof(s.policy), "%s", c->policy[0] ? c->policy : "default");
        s.uid = a->uid;
        s.gid = a->gid;
        snprintf(s.user, sizeof(s.user), "%s", a->user);
        s.attached = true;
        s.own_limit_bytes = c->has_limit ? c->limit_bytes : HR_BYTES_NONE;
        s.limit_max_bytes = HR_BYTES_NONE;
        s.armed = HR_ARMED_NOTHING;
        const struct hr_match *match;
        if (c->cgroup) {
                const char *base = strrchr(c->cgroup, '/');
                attach_name(m, c, c->unit ? c->unit : base ? base + 1 : c->cgroup, s.name, sizeof(s.name));
                attach_group(m, c, &s);
        } else {
                struct hr_pid_status
                        status; /* the pid may have become another's while its owner was looked up */
                if (hr_process_stat(m->hierarchy.proc, c->pid, &stat) != 0 ||
                        hr_process_status(m->hierarchy.proc, c->pid, &status) != 0 ||
                        status.uid_real != a->uid || (c->uid != 0 && c->uid != a->uid)) {
                        answer(m, c, -ESRCH, "there is no process %d of yours", (int)c->pid);
                        return;
                }
                attach_name(m, c, stat.name, s.name, sizeof(s.name));
                s.leader = c->pid;
                s.leader_start_ticks = stat.start_ticks;
                s.placement.kind = HR_KIND_PROCESS;
                s.placement.freezer = HR_FREEZER_STOP;
                snprintf(s.placement.why, sizeof(s.placement.why),
                        "attached by its pid, left where it stands");
        }
        match = follow_rule(m, c, a, &s);
        int r = hr_manager_add(m, &s, "watch", "started", &job);
        if (r != 0) {
                answer(m, c, r < 0 ? r : -ENOENT, "%s can't be watched: %s",
                        c->cgroup ? c->cgroup : "the process", r < 0 ? strerror(-r) : "it is gone");
                return;
        }
        snprintf(c->answer_job, sizeof(c->answer_job), "%s", job->id);
        if (c->has_limit && c->cgroup &&
                !job->observe_only) { /* set like any other limit, and answered then */
                c->slot = job->card->slot;
                snprintf(c->job, sizeof(c->job), "%s", job->id);
                verb_limit(m, c, job); /* the verb stays what it is: the reply has its shape */
                return;
        }
        if (match && !c->has_limit)
                hr_watch_limit(m, job, match);
        if (job->observe_only)
                answer(m, c, 0,
                        "%s is only observed: it holds the way in to this machine (sshd, a login, a service "
                        "manager or the like)",
                        NAMED(job));
        else
                answer(m, c, 0, "%s is watched as %s, policy %s", NAMED(job), hr_kind_name(job->kind),
                        job->policy->name);
}

void hr_verbs_thawed(struct hr_manager *m, struct hr_job *job, int r)
{
        struct hr_command *c = TAKE_PTR(job->leaving);
        char name[HR_ID_MAX + HR_NAME_MAX + 4];
        named(job, name, sizeof(name));
        if (r == -ESRCH) {
                answer(m, c, 0, "%s has ended", name);
                return;
        }
        if (r < 0) {
                answer(m, c, -EIO, "%s is frozen and could not be thawed; it stays watched", name);
                return;
        }
        hr_ladder_tell(
                m, job, HR_STAGE_OK, job->state.stage, "detach", "done", "no longer watched, as asked");
        hr_manager_remove(m, job);
        answer(m, c, 0, "%s is no longer watched; it goes on as it is", name);
}

static void verb_detach(struct hr_manager *m, struct hr_command *c, struct hr_job *job)
{
        if (job->leaving) {
                answer(m, c, -EBUSY, "%s is being detached already", NAMED(job));
                return;
        }
        hr_enact_nothing(m, job);
        job->leaving = c;
        if (!job->thawing) /* else it is answered when that is done */
                hr_verbs_thawed(m, job, job->armed.frozen ? -EIO : 0);
}

/* ---- limits ---- */

/* Would this limit help, and may it be set? 0, or answered. */
static int check_limit(struct hr_manager *m, struct hr_command *c, struct hr_job *job)
{
        char a[HR_TEXT_SIZE_MAX], b[HR_TEXT_SIZE_MAX], what[64];
        uint64_t want = c->limit_bytes;

        if (c->uid != 0 && want > m->config->limit_cap_bytes) {
                answer(m, c, -EPERM, "%s: the administrator allows limits up to %s", NAMED(job),
                        hr_units_format_bytes(a, m->config->limit_cap_bytes));
                return -EPERM;
        }
        if (c->uid != 0 && !m->user && !job->owned && job->kind != HR_KIND_PROCESS &&
                want > job->own_limit_bytes) {
                answer(m, c, -EPERM, "%s: its limit of %s was set by others, and may only be lowered",
                        NAMED(job), hr_units_format_bytes(a, job->own_limit_bytes));
                return -EPERM;
        }
        (void)hr_job_sense(
                job, hr_clock_usec(), true); /* if it has just ended, setting the limit will say so */
        /* The kernel counts cache too, but drops it; below what can't be dropped it kills at once. */
        uint64_t least = hr_account_least_limit(hr_sub(job->used_bytes, job->swap_bytes));
        if (want < least) {
                answer(m, c, -EINVAL,
                        "%s uses %s: a limit of %s would end it at once; %s is the least that would do",
                        NAMED(job), hr_units_format_bytes(a, job->used_bytes),
                        hr_units_format_bytes(what, want), hr_units_spell_bytes(b, least));
                return -EINVAL;
        }
        return 0;
}

#define HR_SHARED_FULL_PERMYRIAD 9500 /* chosen: a job that goes on would be held again at once */

/* For a held job: a larger own limit is no help where something else binds. */
static int check_binding(struct hr_manager *m, struct hr_command *c, struct hr_job *job)
{
        struct hr_sample sample;
        char a[HR_TEXT_SIZE_MAX], b[HR_TEXT_SIZE_MAX];

        hr_job_sample(job, hr_clock_usec(), &sample);
        for (size_t i = 1; i < sample.candidate_count; i++) {
                const struct hr_candidate *k = &sample.candidates[i];
                if (k->limit_bytes == HR_BYTES_NONE ||
                        hr_ratio_permyriad(k->used_bytes, k->limit_bytes) < HR_SHARED_FULL_PERMYRIAD)
                        continue;
                answer(m, c, -EBUSY,
                        "a larger limit would not help %s: %s is full (%s of %s); free memory there, or "
                        "headroom interrupt %s",
                        NAMED(job), k->source == HR_SOURCE_HOST ? "the host" : job->domains[i - 1]->path,
                        hr_units_format_bytes(a, k->used_bytes), hr_units_format_bytes(b, k->limit_bytes),
                        job->id);
                return -EBUSY;
        }
        return 0;
}

static void limit_set(struct hr_manager *m, struct hr_command *c, struct hr_job *job, uint64_t bytes)
{
        char a[HR_TEXT_SIZE_MAX], reason[HR_REASON_MAX];
        uint64_t before = job->own_limit_bytes;
        bool is_as_before = !c && bytes == before;

        if (job->owned && !job->armed.limit) { /* a release takes off what was set by us */
                job->armed.limit = true;
                job->armed.limit_before_bytes = before;
        }
        job->granted_from_bytes = 0; /* whoever sets a limit means it */
        job->armed.stood_back_bytes = HR_BYTES_NONE;
        (void)hr_job_arm(job); /* told when the record was made, if it could not be */
        job->outran = false;
        job->own_limit_bytes = bytes;
        job->limits_usec = 0;
        if (!is_as_before) { /* else it is what everybody was told all the time */
                snprintf(reason, sizeof(reason), "limit set to %s", hr_units_format_bytes(a, bytes));
                hr_ladder_tell(m, job, job->state.stage, job->state.stage, "limit", "done", reason);
        }
        bool held = job->armed.frozen;
        job->ask = bytes > before || (c && c->verb == HR_VERB_RESUME) ? HR_ASK_ROOM : HR_ASK_NOTHING;
        hr_ladder_look(m, job, hr_clock_usec(), true); /* may end the job: it is not touched after this */
        if (c) {
                c->answer_bytes = bytes;
                answer(m, c, 0, "%s: limit %s%s", c->job, a, held ? ", it goes on" : "");
        }
}

static void verb_limit(struct hr_manager *m, struct hr_command *c, struct hr_job *job)
{
        static struct hr_helper_request q;
        struct hr_state state;
        uint64_t before = job->own_limit_bytes;

        if (check_limit(m, c, job) < 0 || (c->verb == HR_VERB_RESUME && check_binding(m, c, job) < 0))
                return;
        if (job->kind == HR_KIND_PROCESS) {
                job->own_limit_bytes = c->limit_bytes; /* in the record first, which is written anew for it */
                hr_job_state(job, &state);
                int fd = -1;
                if (hr_state_create(m->runtime_dir, &state, &fd) ==
                        0) { /* else the old record stands: the limit holds till a restart */
                        hr_close(job->record_fd);
                        job->record_fd = fd;
                }
                job->own_limit_bytes = before;
                limit_set(m, c, job, c->limit_bytes); /* the command is the bus thread's again after this */
                return;
        }
        if (job->limit_busy && job->limiting) {
                answer(m, c, -EBUSY, "%s: its limit is being changed just now; try again", NAMED(job));
                return;
        }
        if (job->limit_busy) { /* its turn comes when that stands */
                job->limiting = c;
                return;
        }
        memset(&q, 0, sizeof(q));
        hr_job_state(job, &state);
        q.op = HR_HELPER_LIMIT;
        q.bytes = c->limit_bytes;
        q.placement = state.placement;
        int r = hr_errands_ask(m, &q, job, c, NULL);
        if (r < 0)
                answer(m, c, r, "headroomd's helper takes no more just now (%s); try again", strerror(-r));
        else
                job->limit_busy = true;
}

#define CLOSE_UP_AGAIN_USEC HR_USEC_PER_SEC /* chosen: each try is an errand of the helper */

static void limit_refused(
        struct hr_manager *m, struct hr_command *c, struct hr_job *job, const struct hr_helper_answer *a)
{
        char reason[HR_REASON_MAX];

        if (!c && hr_job_stands_back(job)) { /* its old limit: tried again */
                job->close_up_usec = hr_clock_usec() + CLOSE_UP_AGAIN_USEC;
                return;
        }
        if (!c)
                job->granted_from_bytes = 0; /* the reserve stays its own */
        snprintf(reason, sizeof(reason), "its limit could not be set: %s",
                a->text[0] ? a->text : strerror(-a->result));
        hr_ladder_tell(m, job, job->state.stage, job->state.stage, "limit", "failed", reason);
        if (c)
                answer(m, c, a->result, "%s: %s", NAMED(job), reason);
}

void hr_verbs_limited(
        struct hr_manager *m, struct hr_command *c, struct hr_job *job, const struct hr_helper_answer *a)
{
        char id[HR_ID_MAX];

        if (!job) {
                if (c)
                        answer(m, c, -ESRCH, "%s ended while its limit was being set", c->job);
                return;
        }
        uint32_t slot = job->card->slot;
        snprintf(id, sizeof(id), "%s", job->id);
        if (a->result < 0) {
                job->limit_busy = false;
                job->overtaking_bytes = 0;
                limit_refused(m, c, job, a);
        } else if (hr_enact_limited(m, job, a->bytes, c != NULL)) {
                limit_set(m, c, job, a->bytes);
        }
        job = hr_manager_job(m, slot, id);
        if (job && job->limiting && !job->limit_busy)
                verb_limit(m, TAKE_PTR(job->limiting), job);
}

void hr_verbs_forget(struct hr_manager *m, struct hr_job *job)
{
        if (job->leaving)
                hr_verbs_thawed(m, job, -ESRCH);
        struct hr_command *c = TAKE_PTR(job->limiting);
        if (c)
                answer(m, c, -ESRCH, "%s has ended", c->job);
}

/* ---- what the owner asks of the ladder ---- */

static const struct {
        enum hr_verb verb;
        enum hr_ask ask;
} asks[] = {
        {HR_VERB_TRIM, HR_ASK_TRIM},
        {HR_VERB_CHECKPOINT, HR_ASK_CHECKPOINT},
        {HR_VERB_HOLD, HR_ASK_HOLD},
        {HR_VERB_RESUME, HR_ASK_RESUME},
        {HR_VERB_INTERRUPT, HR_ASK_INTERRUPT},
        {HR_VERB_KILL, HR_ASK_KILL},
};

static void verb_ask(struct hr_manager *m, struct hr_command *c, struct hr_job *job)
{
        struct hr_status status;
        char name[HR_ID_MAX + HR_NAME_MAX + 4];
        named(job, name, sizeof(name));
        if (job->observe_only) {
                answer(m, c, -EPERM, "%s is only observed: it holds the way in to this machine", name);
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(asks); i++)
                if (asks[i].verb == c->verb)
                        job->ask = asks[i].ask;
        job->ended_by_owner |= c->verb == HR_VERB_INTERRUPT || c->verb == HR_VERB_KILL;
        hr_ladder_note(job, "");
        hr_ladder_look(m, job, hr_clock_usec(), true);
        job = hr_manager_job(m, c->slot, c->job);
        if (job)
                hr_card_read(job->card, &status);
        answer(m, c, 0, "%s: %s", name,
                !job ? "it has ended"
                : job->seized_usec > 0 && job->ask != HR_ASK_NOTHING
                        ? "as soon as CRIU lets go of it, which writes its memory ahead"
                : status.reason[0] ? status.reason
                                   : "nothing was to be done");
}

/* CRIU is at it: whatever is done to the job now could end it. It may hang for good: then that is what is
 * left. */
static bool is_being_saved(struct hr_manager *m, struct hr_command *c, struct hr_job *job)
{
        if (job->save != HR_SAVE_RUNNING || job->state.held_save != HR_HELD_SAVE_RUNS ||
                c->verb == HR_VERB_KILL)
                return false;
        answer(m, c, -EBUSY,
                "%s is being saved by CRIU, which must not be disturbed; try again in a moment, or "
                "end it unsaved: headroom kill %s",
                NAMED(job), job->id);
        return true;
}

static void verb_checkpoint(struct hr_manager *m, struct hr_command *c, struct hr_job *job)
{
        enum hr_method method = hr_images_method(m, job);
        if (method == HR_METHOD_NONE || (method == HR_METHOD_CHANNEL && job->can_save_count == 0))
                answer(m, c, -EINVAL,
                        "%s can't save itself: its own code offers no checkpoint (headroom-job(7)); or start "
                        "it with --checkpoint signal:USR1 or hook:/path, or name one in policy %s",
                        NAMED(job), job->policy->name);
        else if (job->save == HR_SAVE_RUNNING)
                answer(m, c, -EBUSY, "%s: a checkpoint is under way", NAMED(job));
        else if (method == HR_METHOD_CRIU && hr_images_refusal(m, job))
                answer(m, c, -EOPNOTSUPP, "%s: %s", NAMED(job), hr_images_refusal(m, job));
        else if (method == HR_METHOD_CRIU)
                verb_ask(m, c, job);
        else if (job->armed.frozen)
                answer(m, c, -EBUSY, "%s is held and can't save itself now; headroom resume %s first",
                        NAMED(job), job->id);
        else
                verb_ask(m, c, job);
}

static void verb_hold(struct hr_manager *m, struct hr_command *c, struct hr_job *job)
{
        if (job->freezer == HR_FREEZER_NONE)
                answer(m, c, -EOPNOTSUPP,
                        "%s can't be held: there is no freezer for it; headroom doctor says why", NAMED(job));
        else
                verb_ask(m, c, job);
}

static void verb_resume(struct hr_manager *m, struct hr_command *c, struct hr_job *job)
{
        for (size_t i = 0; i < job->domain_count; i++) { /* a limit above it may just have been raised */
                job->domains[i]->limits_usec = 0;
                hr_shared_sample(m, job->domains[i], hr_clock_usec());
        }
        if (!job->armed.frozen)
                answer(m, c, -EBUSY, "%s is not held; to change its limit: headroom limit %s SIZE",
                        NAMED(job), job->id);
        else if (c->has_limit)
                verb_limit(m, c, job);
        else
                verb_ask(m, c, job);
}

static void verb_policy_job(struct hr_manager *m, struct hr_command *c, struct hr_job *job)
{
        int r = hr_manager_resolve_policy(m, job, c->policy, "");
        if (r == -ENOENT) {
                answer(m, c, -EINVAL, "there is no policy %s; headroom policy list shows them", c->policy);
                return;
        }
        if (r < 0) {
                answer(m, c, r, "%s: %s", NAMED(job), strerror(-r));
                return;
        }
        struct hr_state state;
        hr_job_state(job, &state);
        job->record_fd = hr_close(job->record_fd);
        (void)hr_state_create(m->runtime_dir, &state,
                &job->record_fd); /* said at the start if the directory can't be written */
        char name[HR_ID_MAX + HR_NAME_MAX + 4];
        named(job, name, sizeof(name));
        hr_ladder_look(
                m, job, hr_clock_usec(), true); /* shown and judged by it at once; it may end the job */
        answer(m, c, 0, "%s: policy %s", name, c->policy);
}

static void verb_follow(struct hr_manager *m, struct hr_command *c, struct hr_job *job)
{
        job->has_run = c->limit_bytes != 0;
        answer(m, c, 0, "%s", "");
}

/* ---- what it uses now ---- */

static void verb_look(struct hr_manager *m, struct hr_command *c, struct hr_job *none HR_UNUSED)
{
        uint64_t now = hr_clock_usec();

        HR_JOBS_FOREACH (m, job)
                hr_ladder_refresh(m, job, now);
        answer(m, c, 0, "%s", "");
}

/* ---- what its memory is ---- */

#define BREAKDOWN_USEC (5 * HR_USEC_PER_SEC) /* chosen, not tuned: 100 GB of small pages take about one */

static void verb_breakdown(struct hr_manager *m, struct hr_command *c, struct hr_job *job)
{
        static struct hr_helper_request q;

        memset(&q, 0, sizeof(q));
        q.op = HR_HELPER_MAP;
        q.deadline_usec = BREAKDOWN_USEC;
        if (job->kind == HR_KIND_PROCESS) {
                size_t count = job->tree->member_count;
                q.pid_count = (uint32_t)MIN(count, (size_t)HR_HELPER_PIDS_MAX);
                q.more_count = (uint32_t)count - q.pid_count;
                for (size_t i = 0; i < q.pid_count; i++)
                        q.pids[i] = job->tree->members[i].pid;
        } else {
                snprintf(q.placement.cgroup, sizeof(q.placement.cgroup), "%s", job->group.path);
                q.inode = job->group.inode;
        }
        int r = hr_errands_ask(m, &q, NULL, c, NULL);
        if (r < 0)
                answer(m, c, r, "headroomd's helper takes no more just now (%s); try again", strerror(-r));
}

void hr_verbs_mapped(struct hr_manager *m, struct hr_command *c, const struct hr_helper_answer *a)
{
        static const struct {
                int error;
                const char *text;
        } errors[] = {
                {-ESRCH, "it has ended"},
                {-ETIMEDOUT, "that takes longer than 5 s now; try again"},
                {-EBUSY, "too many are looked at just now; try again"},
        };
        const char *text = strerror(-a->result);

        for (size_t i = 0; i < ELEMENTSOF(errors); i++)
                if (errors[i].error == a->result)
                        text = errors[i].text;
        if (a->result == 0)
                c->breakdown = malloc(sizeof(*c->breakdown));
        if (!c->breakdown) {
                answer(m, c, a->result < 0 ? a->result : -ENOMEM, "%s: what its memory is can't be read: %s",
                        c->job, a->result < 0 ? text : strerror(ENOMEM));
                return;
        }
        *c->breakdown = a->breakdown;
        answer(m, c, 0, "%s", "");
}

/* ---- what is asked of the daemon itself ---- */

static void write_line(const char *line, void *userdata)
{
        fputs(line, userdata);
}

static void verb_policies(struct hr_manager *m, struct hr_command *c, struct hr_job *none HR_UNUSED)
{
        size_t size;
        FILE *out = open_memstream(&c->text, &size);
        bool found = c->policy[0] == '\0';
        if (!out) {
                answer(m, c, -ENOMEM, "out of memory");
                return;
        }
        for (size_t i = 0; i < m->config->policy_count; i++)
                if (c->policy[0] == '\0' || strcmp(c->policy, m->config->policies[i].name) == 0) {
                        hr_config_dump_policy(&m->config->policies[i], write_line, out);
                        found = true;
                }
        fclose(out);
        if (found)
                answer(m, c, 0, "%s", "");
        else
                answer(m, c, -EINVAL, "there is no policy %s; headroom policy list shows them", c->policy);
}

static void verb_policy_set(struct hr_manager *m, struct hr_command *c, struct hr_job *none HR_UNUSED)
{
        char text[240] = "";
        char *equals = c->request ? strchr(c->request, '=') : NULL;
        struct hr_policy *p = (struct hr_policy *)hr_config_policy(m->config, c->policy);

        if (!p || !equals) {
                answer(m, c, -EINVAL, "there is no policy %s; headroom policy list shows them", c->policy);
                return;
        }
        *equals = '\0';
        int r = hr_config_set_policy_key(p, c->request, equals + 1, m->host_total_bytes, text, sizeof(text));
        if (r < 0) {
                answer(m, c, -EINVAL, "%s", text);
                return;
        }
        HR_JOBS_FOREACH (m, job)
                if (strcmp(job->policy->name, p->name) == 0)
                        (void)hr_manager_resolve_policy(m, job, p->name, "");
        answer(m, c, 0, "policy %s: %s = %s until headroomd is reloaded or restarted", c->policy, c->request,
                equals + 1);
}

static void verb_doctor(struct hr_manager *m, struct hr_command *c, struct hr_job *none HR_UNUSED)
{
        size_t size;
        FILE *out = open_memstream(&c->text, &size);
        if (!out) {
                answer(m, c, -ENOMEM, "out of memory");
                return;
        }
        hr_doctor_write(m, c->uid, out);
        fclose(out);
        answer(m, c, 0, "%s", "");
}

/* ---- dispatch ---- */

static const struct {
        void (*run)(struct hr_manager *m, struct hr_command *c, struct hr_job *job);
        bool needs_job;
} verbs[HR_VERB_COUNT] = {
        [HR_VERB_RUN] = {verb_run, false},
        [HR_VERB_ATTACH] = {verb_attach, false},
        [HR_VERB_DETACH] = {verb_detach, true},
        [HR_VERB_LIMIT] = {verb_limit, true},
        [HR_VERB_POLICY_JOB] = {verb_policy_job, true},
        [HR_VERB_TRIM] = {verb_ask, true},
        [HR_VERB_CHECKPOINT] = {verb_checkpoint, true},
        [HR_VERB_HOLD] = {verb_hold, true},
        [HR_VERB_RESUME] = {verb_resume, true},
        [HR_VERB_RESTORE] = {verb_restore, false},
        [HR_VERB_INTERRUPT] = {verb_ask, true},
        [HR_VERB_KILL] = {verb_ask, true},
        [HR_VERB_POLICIES] = {verb_policies, false},
        [HR_VERB_POLICY_SET] = {verb_policy_set, false},
        [HR_VERB_DOCTOR] = {verb_doctor, false},
        [HR_VERB_FOLLOW] = {verb_follow, true},
        [HR_VERB_BREAKDOWN] = {verb_breakdown, true},
        [HR_VERB_LOOK] = {verb_look, false},
};

static bool changes(enum hr_verb verb)
{
        return verb != HR_VERB_FOLLOW && verb != HR_VERB_BREAKDOWN && verb != HR_VERB_LOOK;
}

void hr_verbs_dispatch(struct hr_manager *m, struct hr_command *c)
{
        struct hr_job *job = hr_manager_job(m, c->slot, c->job);
        if (c->verb >= HR_VERB_COUNT || !verbs[c->verb].run)
                answer(m, c, -EOPNOTSUPP, "headroomd does not know this verb");
        else if (verbs[c->verb].needs_job && !job)
                answer(m, c, -ENOENT, "%s has ended", c->job);
        else if (job && changes(c->verb) && is_being_saved(m, c, job))
                return;
        else
                verbs[c->verb].run(m, c, job);
}
