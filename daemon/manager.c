/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "act/checkpoint.h"
#include "act/release.h"
#include "reload.h"

/*
 * The loop. Events come from tripwires, freezers, leaders' pidfds, peers' commands and the helper's answers;
 * between them one timer is set to whoever is due first, jobs and shared domains alike. Every handler reads
 * the time once and ends by setting the timer again.
 *
 * Jobs live in a table by slot, which is their card's slot too. What is asked of the helper is remembered in
 * a small table by token, with the job or the command that waits for it; either may be gone when the answer
 * comes.
 */

#define IDS_AHEAD \
        16 /* the number on disk is this far ahead, so that ids are never used again after a crash */
#define HELPER_RETRY_USEC (1 * HR_USEC_PER_SEC)

uint64_t hr_now_usec(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * HR_USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t hr_now_realtime_usec(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t)ts.tv_sec * HR_USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

void hr_manager_say(struct hr_manager *m, const char *outcome, const char *format, ...)
{
        struct hr_event e = {.time_usec = hr_now_realtime_usec(), .exit_status = -1};
        va_list ap;
        va_start(ap, format);
        vsnprintf(e.reason, sizeof(e.reason), format, ap);
        va_end(ap);
        snprintf(e.action, sizeof(e.action), "daemon");
        snprintf(e.outcome, sizeof(e.outcome), "%s", outcome);
        hr_exchange_event(m->exchange, &e);
}

/* ---- the table ---- */

struct hr_job *hr_manager_job(struct hr_manager *m, uint32_t slot, const char *id)
{
        struct hr_job *job = slot < m->slots_used ? m->jobs[slot] : NULL;
        return job && strcmp(job->id, id) == 0 ? job : NULL;
}

static void keep_next_id(struct hr_manager *m, uint64_t id)
{
        static struct hr_helper_request q;
        memset(&q, 0, sizeof(q));
        q.op = HR_HELPER_NEXT_ID;
        q.bytes = id;
        if (hr_manager_ask_helper(m, &q, NULL, NULL, NULL) == 0) /* else it is tried again with the next id */
                m->next_id_kept = id;
}

uint64_t hr_manager_new_id(struct hr_manager *m)
{
        uint64_t id = m->next_id++;
        if (m->next_id + IDS_AHEAD / 2 >= m->next_id_kept)
                keep_next_id(m, m->next_id + IDS_AHEAD);
        return id;
}

int hr_manager_resolve_policy(
        struct hr_manager *m, struct hr_job *job, const char *name, const char *checkpoint)
{
        struct hr_checkpoint_method method;
        const struct hr_policy *p = hr_config_policy(m->config, name);
        if (!p)
                return -ENOENT;
        bool own = job->own_policy || checkpoint[0] || job->fuse_from_start;
        if (!own) {
                job->policy = p;
                return 0;
        }
        if (checkpoint[0]) {
                int r = hr_config_parse_method(checkpoint, &method);
                if (r < 0)
                        return r;
        } else {
                method = job->own_policy ? job->own_policy->checkpoint_method : p->checkpoint_method;
        }
        if (!job->own_policy)
                job->own_policy = malloc(sizeof(*job->own_policy));
        if (!job->own_policy)
                return -ENOMEM;
        *job->own_policy = *p;
        job->own_policy->checkpoint_method = method;
        if (job->fuse_from_start && p->fuse == HR_FUSE_NO)
                job->own_policy->fuse = HR_FUSE_AUTO;
        job->policy = job->own_policy;
        return 0;
}

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

static bool has_limit(struct hr_manager *m, const char *path)
{
        struct hr_group g = HR_GROUP_INIT;
        struct hr_group_limits limits;
        bool limited = hr_group_open(&m->hierarchy, path, &g) == 0 &&
                       hr_group_read_limits(&g, &limits) == 0 && limits.limit_bytes != HR_BYTES_NONE;
        hr_group_close(&g);
        return limited;
}

/* The cgroups above it that have a limit, the nearest first, and the host. A tree's first one is the one that
 * it is in. */
void hr_manager_attach_domains(struct hr_manager *m, struct hr_job *job)
{
        char path[HR_PATH_MAX] = "";
        char name[400], text[4096];
        size_t size;

        while (job->domain_count > 0)
                drop_domain(m, job->domains[--job->domain_count]);
        if (job->group.path) {
                snprintf(path, sizeof(path), "%s", job->group.path);
                char *slash = strrchr(path, '/');
                if (slash)
                        *slash = '\0';
        } else if (m->hierarchy.memory_version > 0 && job->card->leader > 0) {
                snprintf(name, sizeof(name), "%s/%d/cgroup", m->hierarchy.proc, (int)job->card->leader);
                if (hr_sense_read_at(AT_FDCWD, name, text, sizeof(text), &size) == 0)
                        (void)hr_parse_proc_cgroup(text, size,
                                m->hierarchy.memory_version == 2 ? NULL : "memory", path, sizeof(path));
        }
        while (path[0] && strcmp(path, "/") != 0) {
                if (has_limit(m, path))
                        add_domain(m, job, path);
                char *slash = strrchr(path, '/');
                if (!slash)
                        break;
                *slash = '\0';
        }
        if (m->config->host_guard)
                add_domain(m, job, NULL);
}

static struct hr_card *make_card(const struct hr_job *job, const struct hr_state *s)
{
        struct hr_card *card = calloc(1, sizeof(*card));
        if (!card)
                return NULL;
        struct passwd *pw = getpwuid(
                s->uid); /* only when a job comes; nss may read files, never the network for root's jobs */
        char number[16];
        snprintf(number, sizeof(number), "%u", (unsigned)s->uid);
        snprintf(card->id, sizeof(card->id), "%s", s->id);
        card->kind = job->kind;
        card->uid = s->uid;
        card->leader = s->leader;
        card->locked = s->locked;
        card->attached = s->attached;
        card->name = strdup(s->name);
        card->user = strdup(pw ? pw->pw_name : number);
        card->cgroup = strdup(s->placement.cgroup);
        card->unit = strdup(s->placement.unit);
        if (!card->name || !card->user || !card->cgroup || !card->unit)
                return hr_card_free(card);
        return card;
}

/* ---- events of a job ---- */

static int on_wire(sd_event_source *source, int fd HR_UNUSED, uint32_t revents HR_UNUSED, void *userdata)
{
        struct hr_job *job = userdata;
        struct hr_manager *m = job->manager;
        bool tripped = false;

        int r = hr_tripwire_read(&job->wire, &job->group, &tripped);
        if (r != 0) { /* gone, or broken: no spinning; the look finds out which */
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
                job->wire.armed_bytes = HR_BYTES_NONE;
        } else if (tripped && job->kind == HR_KIND_CGROUP1) {
                job->wire.armed_bytes = HR_BYTES_NONE; /* a threshold is armed anew for each crossing */
        }
        job->silenced = tripped;
        hr_ladder_look(m, job, hr_now_usec(), true);
        hr_manager_schedule(m);
        return 0;
}

int hr_manager_watch_wire(struct hr_manager *m, struct hr_job *job)
{
        job->wire_source = sd_event_source_disable_unref(job->wire_source);
        if (job->wire.fd < 0)
                return 0;
        int r = sd_event_add_io(
                m->event, &job->wire_source, job->wire.fd, job->wire.poll_events, on_wire, job);
        if (r >= 0)
                (void)sd_event_source_set_priority(job->wire_source, SD_EVENT_PRIORITY_IMPORTANT);
        return r;
}

static int on_cgroup_events(sd_event_source *source, int fd, uint32_t revents HR_UNUSED, void *userdata)
{
        struct hr_job *job = userdata;
        struct hr_manager *m = job->manager;
        char text[256];
        size_t size;
        bool populated = true, frozen = false;

        int r = hr_sense_read_fd(fd, text, sizeof(text), &size);
        if (r == 0)
                r = hr_parse_cgroup_events(text, size, &populated, &frozen);
        if (r == HR_SENSE_GONE || (r == 0 && !populated)) {
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
                hr_ladder_end(m, job);
        } else {
                hr_ladder_look(m, job, hr_now_usec(), true);
        }
        hr_manager_schedule(m);
        return 0;
}

static int on_leader(sd_event_source *source, int fd HR_UNUSED, uint32_t revents HR_UNUSED, void *userdata)
{
        struct hr_job *job = userdata;
        struct hr_manager *m = job->manager;
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF); /* readable for ever once it has ended */
        hr_ladder_look(m, job, hr_now_usec(), true); /* may end the job: it is not touched after this */
        hr_manager_schedule(m);
        return 0;
}

static int watch_events(struct hr_manager *m, struct hr_job *job)
{
        int r = hr_manager_watch_wire(m, job);
        if (r >= 0 && job->events_fd >= 0 && !m->hierarchy.fixture)
                r = sd_event_add_io(
                        m->event, &job->events_source, job->events_fd, EPOLLPRI, on_cgroup_events, job);
        if (r >= 0 && job->leader_pidfd >= 0)
                r = sd_event_add_io(
                        m->event, &job->leader_source, job->leader_pidfd, EPOLLIN, on_leader, job);
        return r < 0 ? r : 0;
}

/* ---- coming and going ---- */

int hr_manager_add(struct hr_manager *m, struct hr_state *state, const char *action, const char *outcome,
        struct hr_job **ret)
{
        struct hr_job_options options = {.state = state, .hierarchy = &m->hierarchy, .table = m->table};
        struct hr_job *job;
        struct hr_sample sample;
        struct hr_decision nothing = {.look_again_usec = HR_USEC_NEVER};
        char reason[HR_REASON_MAX], limit[HR_TEXT_SIZE_MAX], why[200];

        int r = hr_job_open(&options, &job);
        if (r != 0)
                return r;
        job->manager = m;
        r = hr_manager_resolve_policy(m, job, state->policy, state->checkpoint);
        if (r == -ENOENT) {
                hr_manager_say(m, "warning", "%s: policy %s is gone from the configuration, default is used",
                        state->id, state->policy);
                r = hr_manager_resolve_policy(m, job, "default", state->checkpoint);
        }
        if (r == 0)
                job->card = make_card(job, state);
        if (r == 0 && !job->card)
                r = -ENOMEM;
        if (r == 0)
                r = hr_exchange_publish(m->exchange, job->card);
        if (r < 0) {
                hr_card_free(job->card);
                hr_job_free(job);
                return r;
        }
        m->jobs[job->card->slot] = job;
        m->slots_used = MAX(m->slots_used, job->card->slot + 1);
        m->job_count++;

        /* The way in stays open. What can't be looked at counts as such: hands off. */
        if (state->attached)
                job->observe_only =
                        job->kind == HR_KIND_PROCESS
                                ? hr_process_is_way_in(m->hierarchy.proc, state->leader, why, sizeof(why)) !=
                                          0
                                : hr_group_is_way_in(m->hierarchy.proc, &job->group, why, sizeof(why)) != 0;
        uint64_t now = hr_now_usec();
        job->moved_usec = job->populated_usec = now;
        job->state.stage = state->armed.stage;
        if (state->armed.frozen) {
                bool ending = state->armed.phase == HR_PHASE_INTERRUPT ||
                              state->armed.phase == HR_PHASE_TERMINATE || state->armed.phase == HR_PHASE_KILL;
                job->state.phase = ending ? (enum hr_phase)state->armed.phase : HR_PHASE_HELD;
                job->state.owner_held = state->armed.owner_held;
                job->state.fused = state->armed.fused;
                uint64_t left = hr_sub(state->armed.deadline_realtime_usec, hr_now_realtime_usec());
                job->state.deadline_usec =
                        state->armed.deadline_realtime_usec > 0 ? now + MAX(left, HR_USEC_PER_SEC) : 0;
                if (job->freezer == HR_FREEZER_STOP && job->tree)
                        for (size_t i = 0; i < job->tree->member_count && i < HR_MEMBERS_MAX; i++)
                                job->stopped[job->stopped_count++] = job->tree->members[i].pid;
        }
        job->state.interrupted = state->armed.interrupted;
        job->peak_bytes = state->armed.peak_bytes;
        job->wire.armed_bytes = HR_BYTES_NONE;
        job->record_fd = strcmp(outcome, "adopted") == 0 ? hr_state_open(m->runtime_dir, job->id) : -1;
        if (job->record_fd < 0)
                r = hr_state_create(m->runtime_dir, state, &job->record_fd);
        if (r < 0)
                hr_manager_say(m, "error",
                        "%s: no record could be made below %s (%s): if headroomd ends while the job is held, "
                        "it will not be known again",
                        job->id, m->runtime_dir, strerror(-r));
        hr_manager_attach_domains(m, job);
        (void)watch_events(m, job); /* without events the timer alone watches it */

        (void)hr_job_sense(job, now, true);
        hr_job_sample(job, now, &sample);
        nothing.stage = job->state.stage;
        hr_units_escape(why, sizeof(why), job->why);
        snprintf(reason, sizeof(reason), "watched as %s (%s), limit %s, policy %s", hr_kind_name(job->kind),
                why, hr_units_format_bytes(limit, job->own_limit_bytes), job->policy->name);
        hr_ladder_tell(m, job, job->state.stage, job->state.stage, action, outcome, reason);
        hr_ladder_publish(job, &sample, &nothing);
        job->next_usec = now;
        hr_manager_schedule(m);
        if (ret)
                *ret = job;
        return 0;
}

void hr_manager_remove(struct hr_manager *m, struct hr_job *job)
{
        uint32_t slot = job->card->slot;
        (void)hr_state_remove(m->runtime_dir, job->id); /* ENOENT: there never was one */
        for (size_t i = 0; i < job->domain_count; i++) {
                if (job->domains[i]->turn == job)
                        job->domains[i]->turn = NULL;
        }
        while (job->domain_count > 0)
                drop_domain(m, job->domains[--job->domain_count]);
        for (size_t i = 0; i < HR_PENDING_MAX; i++)
                if (m->pending[i].token != 0 && m->pending[i].slot == slot &&
                        strcmp(m->pending[i].job, job->id) == 0)
                        m->pending[i].job[0] = '\0';
        hr_exchange_retire(m->exchange, job->card);
        m->jobs[slot] = NULL;
        m->job_count--;
        while (m->slots_used > 0 && !m->jobs[m->slots_used - 1])
                m->slots_used--;
        hr_job_free(job);
}

/* ---- the helper ---- */

int hr_manager_ask_helper(struct hr_manager *m, struct hr_helper_request *request, struct hr_job *job,
        struct hr_command *command, const char *hook)
{
        struct hr_pending *p = NULL;
        for (size_t i = 0; i < HR_PENDING_MAX && !p; i++)
                if (m->pending[(m->last_token + i) % HR_PENDING_MAX].token == 0)
                        p = &m->pending[(m->last_token + i) % HR_PENDING_MAX];
        if (!p || !m->helper)
                return -EBUSY;
        request->token = ++m->last_token;
        int r = hr_helper_send(m->helper, request);
        if (r < 0)
                return r;
        *p = (struct hr_pending){.token = request->token,
                .command = command,
                .slot = UINT32_MAX,
                .bytes = request->bytes,
                .hook = hook};
        if (job) {
                p->slot = job->card->slot;
                snprintf(p->job, sizeof(p->job), "%s", job->id);
        }
        return 0;
}

static void hook_answered(struct hr_manager *m, struct hr_job *job, const struct hr_pending *p,
        const struct hr_helper_answer *a)
{
        char text[96];
        enum hr_save save = hr_checkpoint_judge_hook(a->result, text, sizeof(text));
        if (strcmp(p->hook, "checkpoint") == 0) {
                job->save = save;
                snprintf(job->save_text, sizeof(job->save_text), "%s", text);
                job->next_usec = 0;
                return;
        }
        if (save == HR_SAVE_FAILED) {
                char reason[HR_REASON_MAX];
                snprintf(reason, sizeof(reason), "on_%s: %s", p->hook, text);
                hr_ladder_tell(m, job, job->state.stage, job->state.stage, "hook", "failed", reason);
        }
}

/* A file proves a signal's checkpoint when it is newer than the signal and has not changed between two looks.
 */
static void file_answered(struct hr_job *job, const struct hr_helper_answer *a)
{
        job->file_busy = false;
        if (job->save != HR_SAVE_RUNNING || a->result < 0)
                return;
        uint64_t age = hr_sub(hr_now_realtime_usec(), a->time_usec);
        if (a->time_usec >= job->save_since_usec && a->bytes > 0 && a->bytes == job->save_size_bytes &&
                age >= HR_USEC_PER_SEC / 2) {
                char size[HR_TEXT_SIZE_MAX];
                job->save = HR_SAVE_PROVEN;
                snprintf(job->save_text, sizeof(job->save_text),
                        "the checkpoint file is new and has settled at %s",
                        hr_units_format_bytes(size, a->bytes));
                job->next_usec = 0;
        }
        job->save_size_bytes = a->time_usec >= job->save_since_usec ? a->bytes : 0;
}

static void job_answered(struct hr_manager *m, struct hr_job *job, const struct hr_pending *p,
        const struct hr_helper_answer *a)
{
        switch (a->op) {
        case HR_HELPER_HOOK:
                hook_answered(m, job, p, a);
                break;
        case HR_HELPER_FILE:
                file_answered(job, a);
                break;
        case HR_HELPER_RECLAIM:
                job->trim_busy = false;
                job->trim_done = true;
                job->trimmed_bytes = a->result == 0 ? a->bytes : 0;
                job->next_usec = 0;
                break;
        case HR_HELPER_HIGH:
                job->high_busy = false;
                if (a->result < 0)
                        job->wire.armed_bytes = HR_BYTES_NONE;
                break;
        case HR_HELPER_WIRE:
                job->high_busy = false;
                if (a->fd < 0)
                        break; /* the timer looks */
                job->wire_source =
                        sd_event_source_disable_unref(job->wire_source); /* before its descriptor is closed */
                hr_tripwire_close(&job->wire);
                job->wire =
                        (struct hr_tripwire){.fd = a->fd, .poll_events = EPOLLIN, .armed_bytes = p->bytes};
                (void)hr_manager_watch_wire(m, job); /* without it: the timer alone */
                break;
        case HR_HELPER_PSS:
                job->pss_busy = false;
                if (a->result == 0) {
                        job->pss_bytes = a->bytes;
                        job->pss_bound_bytes = p->bytes;
                        job->next_usec = 0;
                }
                break;
        case HR_HELPER_LIMIT:
                hr_verbs_limited(m, p->command, job, a);
                break;
        default:
                break;
        }
}

static void answered(struct hr_manager *m, const struct hr_helper_answer *a)
{
        for (size_t i = 0; i < HR_PENDING_MAX; i++) {
                struct hr_pending p = m->pending[i];
                if (p.token != a->token || p.token == 0)
                        continue;
                m->pending[i].token = 0;
                struct hr_job *job = p.job[0] ? hr_manager_job(m, p.slot, p.job) : NULL;
                if (!job)
                        hr_close(a->fd);
                if (job)
                        job_answered(m, job, &p, a);
                else if (a->op == HR_HELPER_PLACE && p.command)
                        hr_verbs_placed(m, p.command, a);
                else if (p.command)
                        hr_verbs_limited(m, p.command, NULL, a);
                return;
        }
}

static int on_helper(
        sd_event_source *source HR_UNUSED, int fd HR_UNUSED, uint32_t revents HR_UNUSED, void *userdata);

static int start_helper(struct hr_manager *m)
{
        if (!m->helper) {
                int r = hr_helper_start(&m->hierarchy, m->user, m->runtime_dir, m->state_dir, &m->helper);
                if (r < 0)
                        return r;
        }
        return sd_event_add_io(m->event, &m->helper_source, hr_helper_fd(m->helper), EPOLLIN, on_helper, m);
}

/* It died: everything that waits for it is answered, and it is started again. */
static void helper_died(struct hr_manager *m)
{
        m->helper_source = sd_event_source_disable_unref(m->helper_source);
        m->helper = hr_helper_stop(m->helper);
        hr_manager_say(m, "error",
                "the helper process died; it is started again, hooks and limit changes under way have "
                "failed");
        for (size_t i = 0; i < HR_PENDING_MAX; i++)
                if (m->pending[i].token != 0) {
                        struct hr_pending *p = &m->pending[i];
                        struct hr_helper_answer a = {.token = p->token, .result = -EIO, .fd = -1};
                        a.op = p->command
                                       ? (p->command->verb == HR_VERB_RUN ? HR_HELPER_PLACE : HR_HELPER_LIMIT)
                               : p->hook ? HR_HELPER_HOOK
                                         : HR_HELPER_BYE;
                        answered(m, &a);
                        p->token = 0;
                }
        HR_JOBS_FOREACH (m, job)
                job->trim_busy = job->high_busy = job->pss_busy = job->file_busy = job->limit_busy = false;
        m->helper_retry_usec = hr_now_usec() + HELPER_RETRY_USEC;
}

static int on_helper(
        sd_event_source *source HR_UNUSED, int fd HR_UNUSED, uint32_t revents HR_UNUSED, void *userdata)
{
        static struct hr_helper_answer a;
        struct hr_manager *m = userdata;
        int r;
        for (int i = 0; i < 64; i++) { /* a burst, then others have their turn */
                r = hr_helper_receive(m->helper, &a);
                if (r <= 0)
                        break;
                answered(m, &a);
        }
        if (r == -EPIPE)
                helper_died(m);
        hr_manager_schedule(m);
        return 0;
}

/* ---- what is shared ---- */

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

static void sample_domain(struct hr_manager *m, struct hr_domain *d, uint64_t now_usec)
{
        hr_domain_sample(d, now_usec, m->config->fill_rate_bytes_per_second, m->config->poll_min_usec,
                m->config->poll_max_usec);
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

/* ---- the timer ---- */

void hr_manager_schedule(struct hr_manager *m)
{
        uint64_t next = m->helper ? HR_USEC_NEVER : m->helper_retry_usec;
        HR_JOBS_FOREACH (m, job)
                next = MIN(next, job->next_usec);
        if (m->job_count > 0)
                for (struct hr_domain *d = m->domains; d; d = d->next)
                        next = MIN(next, d->next_usec);
        hr_watch_tick(m, 0, &next);
        if (next == m->timer_usec)
                return;
        m->timer_usec = next;
        if (next == HR_USEC_NEVER) {
                (void)sd_event_source_set_enabled(m->timer, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time(m->timer, MAX(next, 1U));
        (void)sd_event_source_set_enabled(m->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source HR_UNUSED, uint64_t usec HR_UNUSED, void *userdata)
{
        struct hr_manager *m = userdata;
        uint64_t now = hr_now_usec(), unused = HR_USEC_NEVER;

        m->wakeups++;
        m->timer_usec = HR_USEC_NEVER; /* it has gone off: whoever is due at 0 must not be taken for what it
                                          is set to */
        if (!m->helper && now >= m->helper_retry_usec && start_helper(m) < 0)
                m->helper_retry_usec = now + 10 * HELPER_RETRY_USEC;
        for (struct hr_domain *d = m->domains; d; d = d->next)
                if (now >= d->next_usec)
                        sample_domain(m, d, now);
        HR_JOBS_FOREACH (m, job)
                if (now >= job->next_usec)
                        hr_ladder_look(m, job, now, false);
        hr_watch_tick(m, now, &unused);
        hr_manager_schedule(m);
        return 0;
}

/* ---- other events ---- */

static int on_command(sd_event_source *source HR_UNUSED, int fd, uint32_t revents HR_UNUSED, void *userdata)
{
        struct hr_manager *m = userdata;
        uint64_t count;
        (void)!read(fd, &count, sizeof(count)); /* EAGAIN: it was counted already */
        for (struct hr_command *c = hr_exchange_next_command(m->exchange); c;
                c = hr_exchange_next_command(m->exchange))
                hr_verbs_dispatch(m, c);
        hr_manager_schedule(m);
        return 0;
}

static int on_pressure(sd_event_source *source, int fd HR_UNUSED, uint32_t revents HR_UNUSED, void *userdata)
{
        struct hr_manager *m = userdata;
        bool real = false;
        if (hr_psi_read(&m->psi, &real) != 0)
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF); /* the timer guards the host alone */
        if (real && m->host_domain && m->job_count > 0) {
                sample_domain(m, m->host_domain, hr_now_usec());
                hr_manager_schedule(m);
        }
        return 0;
}

static int on_stop(
        sd_event_source *source HR_UNUSED, const struct signalfd_siginfo *si HR_UNUSED, void *userdata)
{
        struct hr_manager *m = userdata;
        m->stopping = true;
        (void)sd_notify(0, "STOPPING=1");
        return sd_event_exit(m->event, 0);
}

static int on_hangup(
        sd_event_source *source HR_UNUSED, const struct signalfd_siginfo *si HR_UNUSED, void *userdata)
{
        struct hr_manager *m = userdata;
        int r = hr_reload_start(m->config_path, m->host_total_bytes);
        if (r < 0)
                hr_manager_say(m, "error", "the configuration was not read again: %s", strerror(-r));
        return 0;
}

static int on_reloaded(
        sd_event_source *source HR_UNUSED, int fd HR_UNUSED, uint32_t revents HR_UNUSED, void *userdata)
{
        struct hr_manager *m = userdata;
        char text[HR_REASON_MAX];
        struct hr_config *fresh = hr_reload_take(text, sizeof(text));
        if (!fresh) {
                hr_manager_say(m, "error", "the configuration was not changed: %s", text);
                return 0;
        }
        struct hr_config *old = m->config;
        m->config = fresh;
        HR_JOBS_FOREACH (m, job) {
                char name[HR_NAME_MAX];
                snprintf(name, sizeof(name), "%s", job->policy->name);
                if (hr_manager_resolve_policy(m, job, name, "") < 0) {
                        hr_manager_say(m, "warning",
                                "%s: policy %s is gone from the configuration, default is used", job->id,
                                name);
                        (void)hr_manager_resolve_policy(m, job, "default", "");
                }
        }
        hr_config_free(old);
        HR_JOBS_FOREACH (m, job)
                hr_ladder_look(
                        m, job, hr_now_usec(), true); /* judged and shown by it at once, also one at rest */
        int r = hr_watch_reload(m);
        if (r < 0)
                hr_manager_say(
                        m, "error", "[match] rules don't work: new cgroups can't be seen (%s)", strerror(-r));
        hr_manager_say(m, "info", "configuration read again%s%s", text[0] ? ": " : "", text);
        hr_manager_schedule(m);
        return 0;
}

/* ---- life ---- */

static void adopt(const struct hr_state *state, void *userdata)
{
        struct hr_manager *m = userdata;
        struct hr_state copy = *state;
        int r = hr_manager_add(m, &copy, "watch", "adopted", NULL);
        if (r == 0)
                return;
        (void)hr_state_remove(m->runtime_dir, state->id);
        if (r < 0)
                hr_manager_say(m, "error", "%s (%s) could not be taken over: %s", state->id, state->name,
                        strerror(-r));
        else
                hr_manager_say(m, "info", "%s (%s) ended while headroomd was down", state->id, state->name);
}

static int add_sources(struct hr_manager *m)
{
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGHUP);
        int r = sigprocmask(SIG_BLOCK, &mask, NULL) < 0 ? -errno : 0;
        if (r >= 0)
                r = sd_event_add_time(m->event, &m->timer, CLOCK_MONOTONIC, HR_USEC_NEVER, 1, on_timer, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_io(m->event, &m->command_source, hr_exchange_command_fd(m->exchange),
                        EPOLLIN, on_command, m);
        if (r >= 0)
                r = sd_event_add_signal(m->event, NULL, SIGTERM, on_stop, m);
        if (r >= 0)
                r = sd_event_add_signal(m->event, NULL, SIGINT, on_stop, m);
        if (r >= 0)
                r = sd_event_add_signal(m->event, NULL, SIGHUP, on_hangup, m);
        if (r >= 0)
                r = sd_event_add_io(m->event, &m->reload_source, hr_reload_fd(), EPOLLIN, on_reloaded, m);
        if (r >= 0)
                r = start_helper(m);
        if (r >= 0)
                r = sd_event_set_watchdog(m->event, true);
        if (r < 0)
                return r;
        m->psi = (struct hr_psi)HR_PSI_INIT;
        /* 150 ms in 2 s, which an ordinary user may ask for too; without PSI the timer guards the host alone.
         */
        if (m->config->host_guard &&
                hr_psi_open(&m->hierarchy, 150 * HR_USEC_PER_MSEC, 2 * HR_USEC_PER_SEC, &m->psi) == 0)
                (void)sd_event_add_io(m->event, &m->psi_source, m->psi.fd, EPOLLPRI, on_pressure, m);
        return 0;
}

static uint64_t read_next_id(const struct hr_manager *m)
{
        char path[600], text[32];
        size_t size;
        uint64_t id;
        snprintf(path, sizeof(path), "%s/next-id", m->state_dir);
        if (hr_sense_read_at(AT_FDCWD, path, text, sizeof(text), &size) != 0 ||
                hr_parse_number(text, size, &id) < 0)
                return 1;
        return MAX(id, 1U);
}

static void manager_freep(struct hr_manager **m)
{
        hr_manager_free(*m);
}

int hr_manager_new(const struct hr_manager_options *o, struct hr_manager **ret)
{
        HR_CLEANUP(manager_freep) struct hr_manager *m = calloc(1, sizeof(*m));
        if (!m)
                return -ENOMEM;
        m->hierarchy = *o->hierarchy;
        m->config = o->config;
        m->exchange = o->exchange;
        m->helper = o->helper;
        m->config_path = o->config_path;
        m->user = o->user;
        m->managed = o->managed;
        m->host_total_bytes = o->host_total_bytes;
        m->host = (struct hr_host)HR_HOST_INIT;
        snprintf(m->runtime_dir, sizeof(m->runtime_dir), "%s", o->runtime_dir);
        snprintf(m->state_dir, sizeof(m->state_dir), "%s", o->state_dir);
        m->timer_usec = HR_USEC_NEVER;
        m->jobs_max = m->config->jobs_max;
        m->jobs = calloc(m->jobs_max, sizeof(*m->jobs));
        if (!m->jobs)
                return -ENOMEM;
        m->next_id = m->next_id_kept = read_next_id(m);
        int r = hr_host_open(&m->hierarchy, &m->host);
        if (r == 0)
                r = hr_proc_table_new(m->hierarchy.proc, &m->table);
        if (r == 0)
                r = hr_reload_init();
        if (r == 0)
                r = sd_event_new(&m->event);
        if (r >= 0)
                r = add_sources(m);
        if (r < 0)
                return r;
        int bad = hr_state_each(m->runtime_dir, adopt, m);
        if (bad != 0)
                hr_manager_say(m, "error",
                        "%s/jobs: %d records could not be read and were set aside as *.bad", m->runtime_dir,
                        bad);
        /* Ids of adopted jobs are taken, whatever the file says. */
        HR_JOBS_FOREACH (m, job)
                m->next_id = MAX(m->next_id, strtoull(job->id + 1, NULL, 10) + 1);
        r = hr_watch_start(m);
        if (r < 0)
                hr_manager_say(
                        m, "error", "[match] rules don't work: new cgroups can't be seen (%s)", strerror(-r));
        hr_manager_schedule(m);
        *ret = TAKE_PTR(m);
        return 0;
}

struct hr_manager *hr_manager_free(struct hr_manager *m)
{
        if (!m)
                return NULL;
        HR_JOBS_FOREACH (m, job) {
                while (job->domain_count > 0)
                        drop_domain(m, job->domains[--job->domain_count]);
                hr_exchange_retire(m->exchange, job->card);
                hr_job_free(job);
        }
        if (m->next_id_kept > m->next_id)
                keep_next_id(m, m->next_id); /* in peace nothing is left out */
        free(m->jobs);
        hr_psi_close(&m->psi);
        hr_host_close(&m->host);
        hr_proc_table_free(m->table);
        sd_event_source_disable_unref(m->timer);
        sd_event_source_disable_unref(m->command_source);
        sd_event_source_disable_unref(m->helper_source);
        sd_event_source_disable_unref(m->discover_source);
        sd_event_source_disable_unref(m->psi_source);
        sd_event_source_disable_unref(m->reload_source);
        hr_discover_free(m->discover);
        hr_helper_stop(m->helper);
        hr_config_free(m->config);
        sd_event_unref(m->event);
        free(m);
        return NULL;
}

int hr_manager_run(struct hr_manager *m)
{
        int r = sd_event_loop(m->event);
        /* Under systemd, what is held stays held: ExecStopPost= knows whether this is the end or a restart.
         */
        if (!m->managed)
                (void)hr_release_all(&m->hierarchy, m->runtime_dir, true);
        return r < 0 ? r : 0;
}
