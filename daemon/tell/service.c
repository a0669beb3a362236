/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/service.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "tell/message.h"
#include "tell/pending.h"
#include "fd.h"
#include "think/cmdline.h"
#include "think/parse.h"

#ifndef HR_VERSION
#define HR_VERSION "0" /* the Makefile knows */
#endif

/*
 * A call arrives at on_method, which finds out who calls and hands it to one function of the table. That
 * function either answers at once, from the cards and the kept events, or makes an hr_command and lets the
 * call wait in tell/pending.
 *
 * Rights, in this order: is the job visible (resolve), does the verb exist for its owner (a locked job), and,
 * for a job that was attached, is every process in its cgroup still the caller's.
 */

#define TEXT_MAX 600

#define STATUS_AGE_USEC (250 * HR_USEC_PER_MSEC) /* younger than this it is told again; chosen, not tuned */

struct hr_service {
        struct hr_exchange *exchange;
        struct hr_view view;
        uint64_t looked_usec; /* when jobs were looked at for a status */

        struct hr_pending *pending;
        struct hr_archive *archive; /* borrowed; NULL: there is no record */
        struct hr_liaison *liaison; /* borrowed; NULL: the jobs' socket is not served */
        uint32_t metrics_jobs;
        uint64_t start_usec;   /* CLOCK_REALTIME */
        struct hr_event *kept; /* ring that grows up to kept_max */
        uint32_t kept_max, kept_room, kept_count, kept_next;
};

static void command_freep(struct hr_command **c)
{
        hr_command_free(*c);
}
#define _command_ HR_CLEANUP(command_freep)

/* ---- requests ---- */

static int put(char *to, size_t size, const char *text, const char *what, sd_bus_error *e)
{
        char sentence[TEXT_MAX];
        size_t length = strlen(text);

        if (length < size) {
                memcpy(to, text, length + 1);
                return 0;
        }
        snprintf(sentence, sizeof(sentence), "The %s is too long: at most %zu bytes.", what, size - 1);
        return hr_message_set_error(e, -EINVAL, sentence);
}

static int put_name(char *to, const char *text, sd_bus_error *e)
{
        if (text[0] != '\0' && hr_units_check_name(text) < 0)
                return hr_message_set_error(e, -EINVAL,
                        "A job's name begins with a letter, has letters, digits and ._-@ only, and does not "
                        "look like "
                        "an id.");
        return put(to, HR_NAME_MAX, text, "name", e);
}

static int put_limit(struct hr_command *c, bool has_limit, uint64_t limit_bytes, sd_bus_error *e)
{
        if (has_limit && limit_bytes == 0)
                return hr_message_set_error(
                        e, -EINVAL, "A limit of 0 would kill the job: say \"max\" for no limit.");
        c->has_limit = has_limit;
        c->limit_bytes = has_limit ? limit_bytes : HR_BYTES_NONE;
        return 0;
}

/* Finds the job and makes the command, when the caller may do that to it. */
static int job_command(struct hr_service *s, struct hr_peer *p, const char *word, enum hr_verb verb,
        struct hr_command **ret, sd_bus_error *e)
{
        char text[TEXT_MAX] = "";
        struct hr_card *card;
        int r;

        r = hr_resolve_job(&s->view, &p->caller, word, &card, text, sizeof(text));
        if (r < 0)
                return hr_message_set_error(e, r, text);

        if (card->locked && !p->caller.admin && (verb == HR_VERB_DETACH || verb == HR_VERB_POLICY_JOB)) {
                snprintf(text, sizeof(text), "%s is locked by the configuration: only root can do that.",
                        card->id);
                return hr_message_set_error(e, -EPERM, text);
        }
        if (card->attached && card->kind != HR_KIND_PROCESS && p->caller.uid != 0 && verb != HR_VERB_FOLLOW) {
                r = hr_resolve_owns_cgroup(&s->view, p->caller.uid, card->cgroup ? card->cgroup : "");
                /* An empty or vanished group has nobody to harm, but its limit would wait for the next one in
                 * it. */
                if (r == -EPERM || (r < 0 && (verb == HR_VERB_LIMIT || verb == HR_VERB_RESUME))) {
                        snprintf(text, sizeof(text),
                                "%s has processes that are not yours: only root can do that.", card->id);
                        return hr_message_set_error(e, -EPERM, text);
                }
        }
        r = hr_pending_command(&p->caller, verb, card, ret);
        return r < 0 ? hr_message_set_error(e, r, NULL) : 0;
}

/* ---- methods that command ---- */

/* Kept as long as the job is on record, and given to whoever asks: no longer than `headroom run` writes it.
 */
static char *cut_command(const char *command)
{
        _free_ char *owned = NULL;
        const char *text = hr_message_text(command, &owned);
        size_t length = text ? strnlen(text, HR_CMDLINE_MAX - 1) : 0;

        return text ? strndup(text, length) : NULL;
}

static int method_run(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        const char *name, *policy, *checkpoint, *command;
        _command_ struct hr_command *c = NULL;
        int has_limit, fuse, detached, reaps, r;
        uint64_t limit_bytes;
        uint32_t pid, retried;
        pid_t parent;

        r = sd_bus_message_read(m, "usbtssbbsub", &pid, &name, &has_limit, &limit_bytes, &policy, &checkpoint,
                &fuse, &detached, &command, &retried, &reaps);
        if (r < 0)
                return r;
        if (pid <= 1 || pid > INT32_MAX || p->caller.pid <= 0 ||
                hr_resolve_parent(&s->view, (pid_t)pid, &parent) < 0 || parent != p->caller.pid ||
                (p->caller.uid != 0 && hr_resolve_owns_process(&s->view, p->caller.uid, (pid_t)pid) < 0))
                return hr_message_set_error(e, -EPERM, "The process to run is not a child of the caller.");

        if ((r = hr_pending_command(&p->caller, HR_VERB_RUN, NULL, &c)) < 0 ||
                (r = put_name(c->name, name, e)) < 0 ||
                (r = put(c->policy, sizeof(c->policy), policy, "policy's name", e)) < 0 ||
                (r = put(c->checkpoint, sizeof(c->checkpoint), checkpoint, "checkpoint method", e)) < 0 ||
                (r = put_limit(c, has_limit, limit_bytes, e)) < 0)
                return r;
        c->pid = (pid_t)pid;
        c->fuse = fuse;
        c->detached = detached;
        c->retried = retried;
        c->reaper = reaps ? p->caller.pid : 0;
        c->peer_command = cut_command(command);
        if (!c->peer_command)
                return -ENOMEM;
        return hr_pending_submit(s->pending, p, m, &c, e);
}

static int method_attach(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        HR_CLEANUP(hr_target_clear) struct hr_target target = {0};
        _command_ struct hr_command *c = NULL;
        const char *word, *name, *policy;
        char text[TEXT_MAX] = "";
        uint64_t limit_bytes;
        int has_limit, r;

        r = sd_bus_message_read(m, "ssbts", &word, &name, &has_limit, &limit_bytes, &policy);
        if (r < 0)
                return r;
        if ((r = hr_pending_command(&p->caller, HR_VERB_ATTACH, NULL, &c)) < 0 ||
                (r = put_name(c->name, name, e)) < 0 ||
                (r = put(c->policy, sizeof(c->policy), policy, "policy's name", e)) < 0 ||
                (r = put_limit(c, has_limit, limit_bytes, e)) < 0)
                return r;
        r = hr_resolve_target(&s->view, &p->caller, word, &target, text, sizeof(text));
        if (r == -ENOENT)
                r = -ESRCH; /* no job is missing here, but what it was to be made from */
        if (r < 0)
                return hr_message_set_error(e, r, text);
        c->pid = target.pid;
        c->cgroup = TAKE_PTR(target.cgroup);
        c->unit = TAKE_PTR(target.unit);
        return hr_pending_submit(s->pending, p, m, &c, e);
}

static int method_set_limit(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        _command_ struct hr_command *c = NULL;
        uint64_t limit_bytes;
        const char *word;
        int r;

        r = sd_bus_message_read(m, "st", &word, &limit_bytes);
        if (r < 0 || (r = job_command(s, p, word, HR_VERB_LIMIT, &c, e)) < 0 ||
                (r = put_limit(c, true, limit_bytes, e)) < 0)
                return r;
        return hr_pending_submit(s->pending, p, m, &c, e);
}

static int method_set_policy(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        _command_ struct hr_command *c = NULL;
        const char *word, *policy;
        int r;

        r = sd_bus_message_read(m, "ss", &word, &policy);
        if (r < 0 || (r = job_command(s, p, word, HR_VERB_POLICY_JOB, &c, e)) < 0 ||
                (r = put(c->policy, sizeof(c->policy), policy, "policy's name", e)) < 0)
                return r;
        return hr_pending_submit(s->pending, p, m, &c, e);
}

static int method_act(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        static const struct {
                const char *name;
                enum hr_verb verb;
        } verbs[] = {
                {"detach", HR_VERB_DETACH},
                {"trim", HR_VERB_TRIM},
                {"checkpoint", HR_VERB_CHECKPOINT},
                {"hold", HR_VERB_HOLD},
                {"interrupt", HR_VERB_INTERRUPT},
                {"kill", HR_VERB_KILL},
        };
        _command_ struct hr_command *c = NULL;
        const char *name, *word;
        int r;

        r = sd_bus_message_read(m, "ss", &name, &word);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                if (strcmp(verbs[i].name, name) != 0)
                        continue;
                r = job_command(s, p, word, verbs[i].verb, &c, e);
                return r < 0 ? r : hr_pending_submit(s->pending, p, m, &c, e);
        }
        return hr_message_set_error(
                e, -EINVAL, "The verbs are detach, trim, checkpoint, hold, interrupt and kill.");
}

static int method_resume(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        _command_ struct hr_command *c = NULL;
        uint64_t limit_bytes;
        const char *word;
        int has_limit, r;

        r = sd_bus_message_read(m, "sbt", &word, &has_limit, &limit_bytes);
        if (r < 0 || (r = job_command(s, p, word, HR_VERB_RESUME, &c, e)) < 0 ||
                (r = put_limit(c, has_limit, limit_bytes, e)) < 0)
                return r;
        return hr_pending_submit(s->pending, p, m, &c, e);
}

/* Of a job that runs no more: whose it is, the image says, and the helper reads that. */
static int method_restore(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        _command_ struct hr_command *c = NULL;
        uint64_t limit_bytes;
        const char *word;
        int has_limit, removes, r;

        r = sd_bus_message_read(m, "sbtb", &word, &has_limit, &limit_bytes, &removes);
        if (r < 0)
                return r;
        if (!hr_units_is_job_id(word))
                return hr_message_set_error(
                        e, -EINVAL, "A saved image is named by the id of its job, such as j17.");
        if ((r = hr_pending_command(&p->caller, HR_VERB_RESTORE, NULL, &c)) < 0 ||
                (r = put(c->job, sizeof(c->job), word, "job's id", e)) < 0 ||
                (r = put_limit(c, has_limit, limit_bytes, e)) < 0)
                return r;
        c->removes = removes;
        return hr_pending_submit(s->pending, p, m, &c, e);
}

static int method_policies(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        _command_ struct hr_command *c = NULL;
        const char *policy;
        int r;

        r = sd_bus_message_read(m, "s", &policy);
        if (r < 0 || (r = hr_pending_command(&p->caller, HR_VERB_POLICIES, NULL, &c)) < 0 ||
                (r = put(c->policy, sizeof(c->policy), policy, "policy's name", e)) < 0)
                return r;
        return hr_pending_submit(s->pending, p, m, &c, e);
}

static int method_set_policy_key(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        _command_ struct hr_command *c = NULL;
        const char *policy, *key, *value;
        int r;

        r = sd_bus_message_read(m, "sss", &policy, &key, &value);
        if (r < 0)
                return r;
        if (!p->caller.admin)
                return hr_message_set_error(e, -EPERM, "Only root can change a policy.");
        if (strlen(key) > 64 || strlen(value) > 512 || strpbrk(key, "=\n") || strchr(value, '\n'))
                return hr_message_set_error(e, -EINVAL, "No policy has such a key or value.");
        if ((r = hr_pending_command(&p->caller, HR_VERB_POLICY_SET, NULL, &c)) < 0 ||
                (r = put(c->policy, sizeof(c->policy), policy, "policy's name", e)) < 0)
                return r;
        if (asprintf(&c->request, "%s=%s", key, value) < 0) {
                c->request = NULL;
                return -ENOMEM;
        }
        return hr_pending_submit(s->pending, p, m, &c, e);
}

static int method_doctor(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        _command_ struct hr_command *c = NULL;
        int r = hr_pending_command(&p->caller, HR_VERB_DOCTOR, NULL, &c);

        return r < 0 ? r : hr_pending_submit(s->pending, p, m, &c, e);
}

static int method_breakdown(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        _command_ struct hr_command *c = NULL;
        const char *word;
        int r;

        r = sd_bus_message_read(m, "s", &word);
        if (r < 0)
                return r;
        r = job_command(s, p, word, HR_VERB_BREAKDOWN, &c, e);
        return r < 0 ? r : hr_pending_submit(s->pending, p, m, &c, e);
}

static int method_follow(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        _command_ struct hr_command *c = NULL;
        const char *word;
        int r;

        r = sd_bus_message_read(m, "s", &word);
        if (r < 0 || (r = job_command(s, p, word, HR_VERB_FOLLOW, &c, e)) < 0)
                return r;
        c->limit_bytes = 1;
        r = hr_pending_submit(s->pending, p, m, &c, e);
        if (r >= 0)
                p->subscribed = true; /* now, for no event between the answer and this may be missed */
        return r;
}

/* ---- methods that only look ---- */

/*
 * A card may be as old as a job's rest is long. So the jobs are looked at first, unless that was a moment ago
 * or so much waits already that the answer must do with what is there.
 */
static int method_status(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        _command_ struct hr_command *c = NULL;
        char text[TEXT_MAX] = "";
        struct hr_card *one = NULL;
        uint64_t now = hr_clock_usec();
        const char *word;
        int r;

        r = sd_bus_message_read(m, "s", &word);
        if (r < 0)
                return r;
        if (word[0] != '\0') {
                r = hr_resolve_job(&s->view, &p->caller, word, &one, text, sizeof(text));
                if (r < 0)
                        return hr_message_set_error(e, r, text);
        }
        if (now >= s->looked_usec + STATUS_AGE_USEC &&
                hr_pending_command(&p->caller, HR_VERB_LOOK, one, &c) >= 0) {
                HR_CLEANUP(sd_bus_error_free) sd_bus_error full = SD_BUS_ERROR_NULL;

                s->looked_usec = now;
                if (hr_pending_submit(s->pending, p, m, &c, &full) >= 0)
                        return 1;
        }
        return hr_pending_status(s->pending, &p->caller, one ? one->id : "", m);
}

static int method_why(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        char text[TEXT_MAX] = "";
        struct hr_card *card;
        const char *word;
        int r;

        r = sd_bus_message_read(m, "s", &word);
        if (r < 0)
                return r;
        r = hr_resolve_job(&s->view, &p->caller, word, &card, text, sizeof(text));
        if (r < 0)
                return hr_message_set_error(e, r, text);
        if (!s->liaison)
                return hr_message_set_error(
                        e, -EOPNOTSUPP, "The jobs' socket is not served: see the journal.");
        r = hr_liaison_why(s->liaison, card, m);
        return r == -EBUSY ? hr_message_set_error(e, r, "Too many wait for such an answer; try again.") : r;
}

static int method_totals(
        struct hr_service *s, struct hr_peer *p HR_UNUSED, sd_bus_message *m, sd_bus_error *e HR_UNUSED)
{
        uint32_t jobs_count = 0, held_count = 0;
        uint64_t used_bytes = 0;

        for (uint32_t i = 0; i < hr_exchange_slots(s->exchange); i++) {
                struct hr_card *card = hr_exchange_card(s->exchange, i);
                struct hr_status status;

                if (!card)
                        continue;
                hr_card_read(card, &status);
                jobs_count++;
                held_count += status.stage == HR_STAGE_HOLD;
                used_bytes = hr_add(used_bytes, status.used_bytes);
        }
        return hr_message_reply_totals(m, jobs_count, used_bytes, held_count);
}

static void read_host(const struct hr_service *s, struct hr_metrics *m)
{
        char path[PATH_MAX], text[4096]; /* the numbers that are wanted stand in its first half */
        struct hr_meminfo info;

        snprintf(path, sizeof(path), "%s/meminfo", s->view.proc_path);
        _close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
        m->has_host = n > 0 && hr_parse_meminfo(text, (size_t)n, &info) == 0;
        if (!m->has_host)
                return; /* absent is more honest than 0 */
        m->host_total_bytes = info.total_bytes;
        m->host_available_bytes = info.available_bytes;
        m->host_swap_free_bytes = info.swap_free_bytes;
}

char *hr_service_metrics(struct hr_service *s, const struct hr_caller *caller, enum hr_metrics_format format)
{
        struct hr_metrics m;
        char *text = NULL;
        size_t size = 0;

        if (hr_metrics_init(&m, s->metrics_jobs) < 0)
                return NULL;
        m.version = HR_VERSION;
        m.start_usec = s->start_usec;
        hr_exchange_read_counts(s->exchange, &m.counts);
        read_host(s, &m);
        for (uint32_t i = 0; i < hr_exchange_slots(s->exchange); i++) {
                struct hr_card *card = hr_exchange_card(s->exchange, i);
                struct hr_status status;

                if (!card)
                        continue;
                hr_card_read(card, &status);
                hr_metrics_add(&m, card->id, card->user ? card->user : "", &status,
                        !caller || hr_resolve_visible(caller, card));
        }
        FILE *out = open_memstream(&text, &size);
        if (out)
                hr_metrics_write(&m, format, out);
        if (!out || fclose(out) != 0) {
                free(text);
                text = NULL;
        }
        hr_metrics_done(&m);
        return text;
}

static int method_metrics(
        struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e HR_UNUSED)
{
        int open, r = sd_bus_message_read(m, "b", &open);

        if (r < 0)
                return r;
        _free_ char *text =
                hr_service_metrics(s, &p->caller, open ? HR_METRICS_OPENMETRICS : HR_METRICS_PROMETHEUS);
        return text ? hr_message_reply_text(m, text) : -ENOMEM;
}

static const struct hr_event *kept_event(const struct hr_service *s, uint32_t back) /* 1: the newest */
{
        return &s->kept[(s->kept_next + s->kept_room - back) % s->kept_room];
}

static bool sees_event(const struct hr_peer *p, const struct hr_event *event)
{
        return p->caller.admin || p->caller.uid == event->uid;
}

static int method_events(
        struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e HR_UNUSED)
{
        HR_CLEANUP(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        uint32_t wanted, back = 0;
        int r;

        r = sd_bus_message_read(m, "u", &wanted);
        if (r >= 0)
                r = hr_message_begin_events(m, &reply);
        if (r < 0)
                return r;
        /* Back to the oldest one that is wanted, then forward. */
        for (uint32_t seen = 0; back < s->kept_count && (wanted == 0 || seen < wanted); back++)
                seen += sees_event(p, kept_event(s, back + 1));
        for (; back > 0 && r >= 0; back--)
                if (sees_event(p, kept_event(s, back)))
                        r = hr_message_append_event(reply, kept_event(s, back), true);
        return r < 0 ? r : hr_message_send_array(reply);
}

/* ---- methods about jobs that have ended ---- */

static int ask_archive(struct hr_service *s, struct hr_peer *p, struct hr_archive_request *request,
        sd_bus_message *m, sd_bus_error *e)
{
        int r = -EOPNOTSUPP;

        request->uid = p->caller.uid;
        request->admin = p->caller.admin;
        if (s->archive)
                r = hr_archive_ask(s->archive, request, m);
        if (r == -EBUSY)
                return hr_message_set_error(e, r, "Too many wait for such an answer; try again.");
        if (r == -EOPNOTSUPP)
                return hr_message_set_error(
                        e, r, "No record of jobs is kept: the daemon's journal says why.");
        return r;
}

static int method_record(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        struct hr_archive_request request = {.question = HR_ARCHIVE_STORY};
        int r = sd_bus_message_read(m, "s", &request.word);

        return r < 0 ? r : ask_archive(s, p, &request, m, e);
}

static int method_history(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        struct hr_archive_request request = {.question = HR_ARCHIVE_HISTORY};
        int r = sd_bus_message_read(m, "ttsssu", &request.since_usec, &request.until_usec, &request.user,
                &request.name, &request.outcome, &request.count_max);

        if (r < 0)
                return r;
        request.count_max = MIN(request.count_max, (uint32_t)HR_BUS_HISTORY_MAX);
        return ask_archive(s, p, &request, m, e);
}

static int method_advise(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        struct hr_archive_request request = {.question = HR_ARCHIVE_ADVICE};
        int r = sd_bus_message_read(m, "ss", &request.name, &request.command);

        return r < 0 ? r : ask_archive(s, p, &request, m, e);
}

/* Whether the job is the caller's, the record knows: its card may be gone by now. */
static int method_ended(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e)
{
        struct hr_told told = {.kind = HR_TOLD_EXIT, .uid = p->caller.uid, .admin = p->caller.admin};
        int64_t status, number;
        const char *job;
        int r;

        r = sd_bus_message_read(m, "sxx", &job, &status, &number);
        if (r < 0)
                return r;
        if (!hr_units_is_job_id(job) || strlen(job) >= sizeof(told.job) || status < -1 || status > 255 ||
                number < 0 || number > 64)
                return hr_message_set_error(e, -EINVAL, NULL);
        snprintf(told.job, sizeof(told.job), "%s", job);
        told.exit_status = (int32_t)status;
        told.signal = (int32_t)number;
        hr_exchange_told(s->exchange, &told);
        return hr_message_reply_empty(m);
}

static int method_subscribe(
        struct hr_service *s HR_UNUSED, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e HR_UNUSED)
{
        p->subscribed = true;
        return hr_message_reply_empty(m);
}

/* ---- the table ---- */

static const struct {
        const char *name;
        int (*run)(struct hr_service *s, struct hr_peer *p, sd_bus_message *m, sd_bus_error *e);
} methods[] = {
        {"Run", method_run},
        {"Attach", method_attach},
        {"Status", method_status},
        {"Totals", method_totals},
        {"SetLimit", method_set_limit},
        {"SetPolicy", method_set_policy},
        {"Act", method_act},
        {"Resume", method_resume},
        {"Restore", method_restore},
        {"Policies", method_policies},
        {"SetPolicyKey", method_set_policy_key},
        {"Doctor", method_doctor},
        {"Events", method_events},
        {"Why", method_why},
        {"Breakdown", method_breakdown},
        {"Metrics", method_metrics},
        {"Record", method_record},
        {"History", method_history},
        {"Advise", method_advise},
        {"Ended", method_ended},
        {"Subscribe", method_subscribe},
        {"Follow", method_follow},
};

static int on_method(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
        struct hr_peer *p = userdata;
        const char *member = sd_bus_message_get_member(m);
        int r;

        if (p->name) { /* the system bus itself: who is it that calls through it? */
                r = hr_peers_sender(p->peers, m, &p);
                if (r < 0)
                        return hr_message_set_error(e, r == -EAGAIN ? r : -EPERM, NULL);
        }
        for (size_t i = 0; i < ELEMENTSOF(methods); i++) {
                if (strcmp(methods[i].name, member) != 0)
                        continue;
                r = methods[i].run(p->peers->service, p, m, e);
                if (r < 0 && !sd_bus_error_is_set(e))
                        hr_message_set_error(e, r, NULL);
                return r < 0 ? r : 1;
        }
        return 0;
}

static int get_version(sd_bus *bus HR_UNUSED, const char *path HR_UNUSED, const char *interface HR_UNUSED,
        const char *property HR_UNUSED, sd_bus_message *reply, void *userdata HR_UNUSED,
        sd_bus_error *e HR_UNUSED)
{
        return sd_bus_message_append(reply, "s", HR_VERSION);
}

/* Everybody may call: on_method and its functions decide, not sd-bus. */
#define METHOD(name, in, out) SD_BUS_METHOD(name, in, out, on_method, SD_BUS_VTABLE_UNPRIVILEGED)

const sd_bus_vtable hr_service_vtable[] = {
        SD_BUS_VTABLE_START(0),
        METHOD("Run", "usbtssbbsub", "tsss"),
        METHOD("Attach", "ssbts", "ss"),
        METHOD("Status", "s", "a" HR_BUS_STATUS_STRUCT),
        METHOD("Totals", "", "utu"),
        METHOD("SetLimit", "st", "ts"),
        METHOD("SetPolicy", "ss", "s"),
        METHOD("Act", "ss", "s"),
        METHOD("Resume", "sbt", "s"),
        METHOD("Restore", "sbtb", "s"),
        METHOD("Policies", "s", "s"),
        METHOD("SetPolicyKey", "sss", "s"),
        METHOD("Doctor", "", "a(ssss)"),
        METHOD("Events", "u", "a" HR_BUS_EVENT_STRUCT),
        METHOD("Why", "s", "a" HR_BUS_HOLDER_STRUCT "ttuus"),
        METHOD("Breakdown", "s", "a" HR_BUS_PART_STRUCT),
        METHOD("Metrics", "b", "s"),
        METHOD("Record", "s", HR_BUS_RECORD_STRUCT "a" HR_BUS_POINT_STRUCT "a" HR_BUS_DEED_STRUCT),
        METHOD("History", "ttsssu", "ta" HR_BUS_RECORD_STRUCT),
        METHOD("Advise", "ss", "tttuubsb"),
        METHOD("Ended", "sxx", ""),
        METHOD("Subscribe", "", ""),
        METHOD("Follow", "s", ""),
        SD_BUS_SIGNAL("Event", HR_BUS_EVENT_FIELDS, 0),
        SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};

/* ---- kept events ---- */

void hr_service_keep(struct hr_service *s, const struct hr_event *event)
{
        /* Grows while it is full and has not come round: then the oldest is at the start, and the order
         * stays. */
        if (s->kept_count == s->kept_room && s->kept_room < s->kept_max) {
                uint32_t room = MIN(MAX(16U, 2 * s->kept_room), s->kept_max);
                struct hr_event *larger = s->kept_next == s->kept_room || s->kept_room == 0
                                                  ? reallocarray(s->kept, room, sizeof(*larger))
                                                  : NULL;

                if (larger) {
                        s->kept = larger;
                        s->kept_room = room;
                }
        }
        if (s->kept_room == 0)
                return;
        s->kept_next %= s->kept_room;
        s->kept[s->kept_next++] = *event;
        s->kept_count = MIN(s->kept_count + 1, s->kept_room);
}

/* ---- the service ---- */

int hr_service_new(struct hr_exchange *x, const struct hr_bus_options *options, struct hr_peers *peers,
        struct hr_service **ret)
{
        struct hr_service *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->exchange = x;
        s->kept_max = options->events_kept;
        s->metrics_jobs = options->metrics_jobs;
        s->start_usec = hr_clock_realtime_usec();
        s->view = (struct hr_view){
                .exchange = x,
                .proc_path = options->proc_path,
                .cgroup_path = options->cgroup_path,
                .memory_controller = options->memory_controller,
        };
        r = hr_pending_new(x, &s->view, peers, &s->pending);
        if (r < 0) {
                free(s);
                return r;
        }
        *ret = s;
        return 0;
}

void hr_service_archive(struct hr_service *s, struct hr_archive *archive)
{
        s->archive = archive;
}

void hr_service_consult(struct hr_service *s, struct hr_liaison *liaison)
{
        s->liaison = liaison;
}

const struct hr_view *hr_service_view(const struct hr_service *s)
{
        return &s->view;
}

void hr_service_answer(struct hr_service *s)
{
        hr_pending_answer(s->pending);
}

void hr_service_forget(struct hr_service *s, struct hr_peer *p)
{
        hr_pending_forget(s->pending, p);
}

struct hr_service *hr_service_free(struct hr_service *s)
{
        if (!s)
                return NULL;
        hr_pending_free(s->pending);
        free(s->kept);
        free(s);
        return NULL;
}
