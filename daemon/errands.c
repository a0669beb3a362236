/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "act/checkpoint.h"

/*
 * What the helper is asked to do, and what becomes of its answers. Each request is remembered in a small
 * table by its token, with the job or the command that waits for it; either may be gone when the answer
 * comes.
 */

#define HELPER_RETRY_USEC (1 * HR_USEC_PER_SEC)

int hr_errands_ask(struct hr_manager *m, struct hr_helper_request *request, struct hr_job *job,
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
                .op = request->op,
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

size_t hr_errands_under_way(const struct hr_manager *m, enum hr_helper_op op)
{
        size_t count = 0;

        for (size_t i = 0; i < HR_PENDING_MAX; i++)
                count += m->pending[i].token != 0 && m->pending[i].op == op;
        return count;
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

/* Its own code says that it has saved: there must be something, and no older than the request. */
static void saved_answered(struct hr_job *job, const struct hr_helper_answer *a)
{
        char size[HR_TEXT_SIZE_MAX], path[64];
        bool is_there = a->result == 0 && a->bytes > 0;
        job->save = is_there && a->time_usec + HR_USEC_PER_SEC >= job->save_since_usec ? HR_SAVE_PROVEN
                                                                                       : HR_SAVE_FAILED;
        hr_units_escape(path, sizeof(path), job->saved_path);
        if (job->save == HR_SAVE_PROVEN)
                snprintf(job->save_text, sizeof(job->save_text), "%s in %s",
                        hr_units_format_bytes(size, a->bytes), path);
        else
                snprintf(job->save_text, sizeof(job->save_text), "it named %s, which is %s", path,
                        !is_there ? "missing or empty" : "older than the request");
        job->next_usec = 0;
}

/* A file proves a signal's checkpoint when it is newer than the signal and has not changed between two looks.
 */
static void file_answered(struct hr_job *job, const struct hr_helper_answer *a)
{
        job->file_busy = false;
        if (job->save != HR_SAVE_RUNNING)
                return;
        if (job->save_method == HR_METHOD_CHANNEL) {
                saved_answered(job, a);
                return;
        }
        if (a->result < 0)
                return;
        uint64_t age = hr_sub(hr_clock_realtime_usec(), a->time_usec);
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
                hr_enact_trimmed(job, a->result == 0 ? a->bytes : 0);
                break;
        case HR_HELPER_HIGH:
                job->high_busy = false;
                hr_enact_high_written(m, job, p->bytes, a->result);
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
                if (hr_manager_watch_wire(m, job) < 0)
                        job->wire.armed_bytes = HR_BYTES_NONE; /* the timer alone */
                break;
        case HR_HELPER_PSS:
                job->pss_busy = false;
                if (a->result == 0) {
                        job->pss_bytes = a->bytes;
                        job->pss_bound_bytes = p->bytes;
                        job->next_usec = 0;
                }
                break;
        case HR_HELPER_DUMP:
                hr_images_dumped(m, job, a);
                break;
        case HR_HELPER_LOOK:
                hr_images_looked(m, job, a);
                break;
        case HR_HELPER_PREDUMP:
                hr_images_predumped(m, job, a);
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
                if (a->op == HR_HELPER_MAP)
                        hr_verbs_mapped(m, p.command, a);
                else if (a->op == HR_HELPER_CRIU)
                        hr_images_probed(m, a);
                else if (a->op == HR_HELPER_RESTORE)
                        hr_verbs_restored(m, p.command, a);
                else if (a->op == HR_HELPER_EXIT)
                        hr_ladder_exit(m, a);
                else if (job)
                        job_answered(m, job, &p, a);
                else if (a->op == HR_HELPER_PLACE && p.command)
                        hr_verbs_placed(m, p.command, a);
                else if (a->op == HR_HELPER_WHO && p.command)
                        hr_verbs_known(m, p.command, a);
                else if (a->op == HR_HELPER_WHO && !p.command)
                        hr_watch_known(m, a);
                else if (p.command)
                        hr_verbs_limited(m, p.command, NULL, a);
                return;
        }
}

static int on_helper(
        sd_event_source *source HR_UNUSED, int fd HR_UNUSED, uint32_t revents HR_UNUSED, void *userdata);

int hr_errands_start(struct hr_manager *m)
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
                        a.op = p->op;
                        answered(m, &a);
                        p->token = 0;
                }
        HR_JOBS_FOREACH (m, job)
                job->trim_busy = job->high_busy = job->pss_busy = job->file_busy = job->limit_busy = false;
        m->helper_retry_usec = hr_clock_usec() + HELPER_RETRY_USEC;
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
