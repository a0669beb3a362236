/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "act/freeze.h"
#include "act/release.h"
#include "reload.h"

/*
 * The loop. Events come from tripwires, freezers, leaders' pidfds, peers' commands and the helper's answers;
 * between them it waits until whoever is first is due, jobs and shared domains alike. Every handler reads
 * the time once and ends by working that out again.
 *
 * Jobs live in a table by slot, which is their card's slot too.
 */

#define COMMANDS_USEC HR_USEC_PER_MSEC /* then others have their turn: a doctor takes 0.3 ms; chosen */
#define SHORT_WAIT_USEC \
        (20 * HR_USEC_PER_MSEC) /* a millisecond late is less than a twentieth of any longer */
#define IDS_AHEAD \
        16 /* the number on disk is this far ahead, so that ids are never used again after a crash */

void hr_manager_say(struct hr_manager *m, const char *outcome, const char *format, ...)
{
        struct hr_event e = {.time_usec = hr_clock_realtime_usec(), .exit_status = -1};
        va_list ap;
        va_start(ap, format);
        hr_units_vformat_text(e.reason, sizeof(e.reason), format, ap);
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
        if (hr_errands_ask(m, &q, NULL, NULL, NULL) == 0) /* else it is tried again with the next id */
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
        bool own = job->own_policy || checkpoint[0] || job->fuse_from_start ||
                   job->limit_max_bytes != HR_BYTES_NONE;
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
        if (job->limit_max_bytes != HR_BYTES_NONE)
                job->own_policy->limit_max_bytes = job->limit_max_bytes;
        if (job->fuse_from_start && p->fuse == HR_FUSE_NO)
                job->own_policy->fuse = HR_FUSE_AUTO;
        job->policy = job->own_policy;
        return 0;
}

static struct hr_card *make_card(const struct hr_job *job, const struct hr_state *s)
{
        struct hr_card *card = calloc(1, sizeof(*card));
        if (!card)
                return NULL;
        snprintf(card->id, sizeof(card->id), "%s", s->id);
        card->kind = job->kind;
        card->uid = s->uid;
        card->leader = s->leader;
        card->locked = s->locked;
        card->attached = s->attached;
        card->name = strdup(s->name);
        card->user = strdup(s->user);
        card->cgroup = strdup(s->placement.cgroup);
        card->unit = strdup(s->placement.unit);
        if (!card->name || !card->user || !card->cgroup || !card->unit)
                return hr_card_free(card);
        /* Whoever asks before the first sample sees this. */
        struct hr_status first = {.stage = s->armed.stage,
                .frozen = s->armed.frozen,
                .peak_bytes = s->armed.peak_bytes,
                .limit_bytes = job->own_limit_bytes,
                .own_limit_bytes = job->own_limit_bytes,
                .headroom_bytes = job->own_limit_bytes,
                .left_min_usec = HR_USEC_NEVER,
                .left_max_usec = HR_USEC_NEVER};
        snprintf(first.limit_source, sizeof(first.limit_source), "%s",
                job->own_limit_bytes == HR_BYTES_NONE ? "none" : "own");
        snprintf(first.policy, sizeof(first.policy), "%s", job->policy->name);
        hr_card_write(card, &first);
        return card;
}

/* What its record begins with. Without memory for it the job is watched all the same. */
static void announce(struct hr_manager *m, const struct hr_job *job, const struct hr_state *s, bool adopted)
{
        struct hr_birth *b = calloc(1, sizeof(*b));

        if (!b)
                return;
        snprintf(b->job, sizeof(b->job), "%s", s->id);
        snprintf(b->name, sizeof(b->name), "%s", s->name);
        snprintf(b->user, sizeof(b->user), "%s", s->user);
        snprintf(b->policy, sizeof(b->policy), "%s", job->policy->name);
        b->uid = s->uid;
        b->leader = s->leader;
        b->kind = job->kind;
        b->adopted = adopted;
        b->time_usec = hr_clock_realtime_usec();
        b->limit_bytes = job->own_limit_bytes;
        b->command = s->command ? strdup(s->command) : NULL;
        b->cgroup = strdup(s->placement.cgroup);
        b->unit = strdup(s->placement.unit);
        if (!b->cgroup || !b->unit || (s->command && !b->command)) {
                hr_birth_free(b);
                return;
        }
        hr_exchange_birth(m->exchange, b);
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
                job->wire.armed_bytes = HR_BYTES_NONE; /* a threshold is armed anew for each crossing, */
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF); /* and this one heard no more */
        }
        job->silenced = tripped;
        uint64_t now = hr_clock_usec();
        if (tripped)
                job->tripped_usec = now;
        if (tripped && job->rest_wire_usec >= job->moved_usec) /* even if only cache came, and was dropped */
                job->moved_usec = now;
        hr_ladder_look(m, job, now, true);
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
                hr_ladder_look(m, job, hr_clock_usec(), true);
        }
        hr_manager_schedule(m);
        return 0;
}

static int on_leader(sd_event_source *source, int fd HR_UNUSED, uint32_t revents HR_UNUSED, void *userdata)
{
        struct hr_job *job = userdata;
        struct hr_manager *m = job->manager;
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF); /* readable for ever once it has ended */
        hr_ladder_look(m, job, hr_clock_usec(), true); /* may end the job: it is not touched after this */
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
        struct hr_job_options options = {
                .state = state, .hierarchy = &m->hierarchy, .table = m->table, .host = &m->host};
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
        if (state->attached && job->tree)
                for (size_t i = 0; i < job->tree->member_count; i++)
                        job->observe_only |= hr_process_is_way_in(m->hierarchy.proc,
                                                     job->tree->members[i].pid, why, sizeof(why)) != 0;
        else if (state->attached)
                job->observe_only = hr_group_is_way_in(m->hierarchy.proc, &job->group, why, sizeof(why)) != 0;
        uint64_t now = hr_clock_usec();
        job->moved_usec = job->populated_usec = job->born_usec = now;
        job->state.stage = state->armed.stage;
        if (state->armed.frozen) {
                bool ending = state->armed.phase == HR_PHASE_INTERRUPT ||
                              state->armed.phase == HR_PHASE_TERMINATE || state->armed.phase == HR_PHASE_KILL;
                bool let_go = state->armed.phase == HR_PHASE_WATCH || state->armed.phase == HR_PHASE_SAVE;
                job->state.phase = ending   ? (enum hr_phase)state->armed.phase
                                   : let_go ? HR_PHASE_WATCH /* it was being thawed */
                                            : HR_PHASE_HELD;
                job->state.owner_held = state->armed.owner_held;
                uint64_t left = hr_sub(state->armed.deadline_realtime_usec, hr_clock_realtime_usec());
                /* The deadline of a brake, or of a limit being raised, was ours and not its owner's. */
                bool own = ending || (state->armed.phase == HR_PHASE_HELD && left > job->policy->grace_usec);
                job->state.deadline_usec =
                        let_go ? 0 : now + (own ? MAX(left, HR_USEC_PER_SEC) : job->policy->hold_max_usec);
        }
        job->state.fused = state->armed.fused;
        job->state.interrupted = state->armed.interrupted;
        job->peak_bytes = state->armed.peak_bytes;
        job->wire.armed_bytes = HR_BYTES_NONE;
        if (hr_job_stands_back(job))
                job->own_limit_bytes = job->armed.stood_back_bytes;
        job->record_fd = strcmp(outcome, "adopted") == 0 ? hr_state_open(m->runtime_dir, job->id) : -1;
        if (job->record_fd < 0)
                r = hr_state_create(m->runtime_dir, state, &job->record_fd);
        if (r < 0)
                hr_manager_say(m, "error",
                        "%s: no record could be made below %s (%s): if headroomd ends while the job is held, "
                        "it will not be known again",
                        job->id, m->runtime_dir, strerror(-r));
        hr_shared_attach(m, job);
        (void)watch_events(m, job); /* without events the timer alone watches it */
        if (strcmp(outcome, "adopted") == 0)
                hr_images_adopt_predump(m, job);
        if (state->armed.frozen)
                hr_enact_adopted(m, job);

        hr_ladder_count_oom_kills(m, job);
        (void)hr_job_sense(job, now, true);
        hr_job_sample(job, now, &sample);
        nothing.stage = job->state.stage;
        hr_units_escape(why, sizeof(why), job->why);
        snprintf(reason, sizeof(reason), "watched as %s (%s), limit %s, policy %s", hr_kind_name(job->kind),
                why, hr_units_format_bytes(limit, job->own_limit_bytes), job->policy->name);
        announce(m, job, state, strcmp(outcome, "adopted") == 0);
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
        hr_verbs_forget(m, job);
        hr_enact_forget(m, job);
        hr_images_forget(m, job);
        (void)hr_state_remove(m->runtime_dir, job->id); /* ENOENT: there never was one */
        hr_shared_detach(m, job);
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

/* ---- the time ---- */

void hr_manager_schedule(struct hr_manager *m)
{
        uint64_t next = m->helper ? HR_USEC_NEVER : m->helper_retry_usec;
        HR_JOBS_FOREACH (m, job)
                next = MIN(next, job->next_usec);
        if (m->job_count > 0)
                for (struct hr_domain *d = m->domains; d; d = d->next)
                        next = MIN(next, d->next_usec);
        hr_watch_tick(m, 0, &next);
        hr_images_tick(m, 0, &next);
        m->next_usec = next;
}

static void tick(struct hr_manager *m, uint64_t now)
{
        uint64_t unused = HR_USEC_NEVER;

        hr_exchange_count(m->exchange, HR_FIGURE_WAKEUPS, 1);
        if (!m->helper && now >= m->helper_retry_usec && hr_errands_start(m) < 0)
                m->helper_retry_usec = now + 10 * HR_USEC_PER_SEC;
        for (struct hr_domain *d = m->domains; d; d = d->next)
                if (now >= d->next_usec)
                        hr_shared_sample(m, d, now);
        hr_ladder_spare(m, now);
        HR_JOBS_FOREACH (m, job)
                if (now >= job->next_usec)
                        hr_ladder_look(m, job, now, false);
        hr_watch_tick(m, now, &unused);
        hr_images_tick(m, now, &unused);
        hr_manager_schedule(m);
}

/* ---- other events ---- */

static int on_command(sd_event_source *source HR_UNUSED, int fd, uint32_t revents HR_UNUSED, void *userdata)
{
        struct hr_manager *m = userdata;
        struct hr_reply reply;
        struct hr_command *c;
        uint64_t one = 1, begun = hr_clock_usec();

        while (hr_exchange_next_reply(m->exchange, &reply))
                hr_consult_heard(m, &reply);
        do {
                c = hr_exchange_next_command(m->exchange);
                if (c)
                        hr_verbs_dispatch(m, c);
        } while (c && hr_clock_usec() < begun + COMMANDS_USEC);
        if (c)
                (void)!write(fd, &one, sizeof(one)); /* there may be more; EAGAIN: it is readable */
        hr_manager_schedule(m);
        return 0;
}

static int on_freezer(
        sd_event_source *source HR_UNUSED, int fd HR_UNUSED, uint32_t revents HR_UNUSED, void *userdata)
{
        struct hr_manager *m = userdata;
        hr_enact_answers(m, true);
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
                hr_shared_sample(m, m->host_domain, hr_clock_usec());
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
                        m, job, hr_clock_usec(), true); /* judged and shown by it at once, also one at rest */
        int r = hr_watch_reload(m);
        if (r < 0)
                hr_manager_say(
                        m, "error", "[match] rules don't work: new cgroups can't be seen (%s)", strerror(-r));
        hr_manager_say(m, "info", "configuration read again%s%s", text[0] ? ": " : "", text);
        hr_manager_schedule(m);
        return 0;
}

/* ---- life ---- */

/* Its group is gone with it: what is known of it stands in the file. */
static void tell_unseen(struct hr_manager *m, const struct hr_state *state)
{
        struct hr_event e = {.time_usec = hr_clock_realtime_usec(),
                .uid = state->uid,
                .stage = HR_STAGE_OK,
                .previous_stage = state->armed.stage,
                .used_bytes = state->armed.peak_bytes,
                .limit_bytes = state->own_limit_bytes,
                .cause = HR_CAUSE_UNSEEN,
                .kernel_peak_bytes = HR_BYTES_NONE,
                .exit_status = -1};

        memcpy(e.job, state->id, sizeof(e.job));
        memcpy(e.name, state->name, sizeof(e.name));
        snprintf(e.action, sizeof(e.action), "end");
        snprintf(e.outcome, sizeof(e.outcome), "unseen");
        snprintf(e.reason, sizeof(e.reason), "ended while headroomd was down");
        hr_exchange_event(m->exchange, &e);
}

static void adopt(const struct hr_state *state, void *userdata)
{
        struct hr_manager *m = userdata;
        struct hr_state copy = *state;
        struct hr_job *job;
        bool populated = true;
        int r = hr_manager_add(m, &copy, "watch", "adopted", &job);
        if (r == 0 && job->kind != HR_KIND_PROCESS && hr_group_read_populated(&job->group, &populated) >= 0)
                job->unseen = !populated;
        if (r == 0)
                return;
        if (r < 0) { /* its record stays: whoever comes next, or the release, still knows that it is held */
                hr_manager_say(m, "error", "%s (%s) could not be taken over: %s", state->id, state->name,
                        strerror(-r));
                return;
        }
        (void)hr_state_remove(m->runtime_dir, state->id);
        tell_unseen(m, state);
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
                r = hr_errands_start(m);
        if (r >= 0)
                r = hr_freezer_start(m->freezer);
        if (r >= 0)
                r = sd_event_add_io(
                        m->event, &m->freezer_source, hr_freezer_fd(m->freezer), EPOLLIN, on_freezer, m);
        if (r >= 0)
                r = sd_event_set_watchdog(m->event, true);
        if (r < 0)
                return r;
        hr_shared_start(m); /* without it the timer alone sees new limits above a job */
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
        m->next_usec = HR_USEC_NEVER;
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
                r = hr_freezer_new(&m->freezer);
        if (r == 0)
                r = sd_event_new(&m->event);
        if (r >= 0)
                r = add_sources(m);
        if (r < 0)
                return r;
        hr_images_probe(m);
        int bad = hr_state_each(m->runtime_dir, true, adopt, m);
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
                hr_shared_detach(m, job);
                hr_exchange_retire(m->exchange, job->card);
                hr_job_free(job);
        }
        if (m->next_id_kept > m->next_id)
                keep_next_id(m, m->next_id); /* in peace nothing is left out */
        free(m->jobs);
        hr_psi_close(&m->psi);
        hr_host_close(&m->host);
        hr_proc_table_free(m->table);
        sd_event_source_disable_unref(m->command_source);
        sd_event_source_disable_unref(m->helper_source);
        sd_event_source_disable_unref(m->discover_source);
        sd_event_source_disable_unref(m->psi_source);
        sd_event_source_disable_unref(m->limits_source);
        sd_event_source_disable_unref(m->reload_source);
        sd_event_source_disable_unref(m->freezer_source);
        hr_freezer_free(m->freezer);
        hr_discover_free(m->discover);
        hr_limits_free(m->limits);
        hr_helper_stop(m->helper);
        hr_config_free(m->config);
        sd_event_unref(m->event);
        free(m);
        return NULL;
}

/* libsystemd 252 rounds its waits up to milliseconds: a short one is waited for outside of it. */
static void wait_short(struct hr_manager *m, uint64_t wait_usec)
{
        struct pollfd fd = {.fd = sd_event_get_fd(m->event), .events = POLLIN};
        struct timespec time = {.tv_nsec = (long)(wait_usec * 1000)};

        (void)ppoll(&fd, 1, &time, NULL); /* whatever comes of it, what is there is looked at now */
}

/* The time of the next look is the wait's own: a timer would have to be set and read at each, two calls more.
 */
static int run_once(struct hr_manager *m)
{
        uint64_t wait = m->next_usec == HR_USEC_NEVER ? UINT64_MAX : hr_sub(m->next_usec, hr_clock_usec());
        int r = sd_event_prepare(m->event);

        if (r == 0 && wait < SHORT_WAIT_USEC) {
                wait_short(m, wait);
                wait = 0;
        }
        if (r == 0)
                r = sd_event_wait(m->event, wait);
        if (r > 0)
                r = sd_event_dispatch(m->event);
        uint64_t now = hr_clock_usec();

        if (r >= 0 && now >= m->next_usec && !m->stopping)
                tick(m, now);
        return r;
}

int hr_manager_run(struct hr_manager *m)
{
        int r = 0;

        while (r >= 0 && sd_event_get_state(m->event) != SD_EVENT_FINISHED)
                r = run_once(m);
        hr_freezer_drain(m->freezer);
        hr_enact_answers(m, false);
        /* Under systemd, what is held stays held: ExecStopPost= knows whether this is the end or a restart.
         */
        if (!m->managed)
                (void)hr_release_own(&m->hierarchy, m->runtime_dir);
        return r < 0 ? r : 0;
}
