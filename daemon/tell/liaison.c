/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/liaison.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "tell/message.h"

/*
 * What holds the memory is asked when a job gets its notice and before its checkpoint, and for whoever calls
 * `Why`; the answer becomes one sentence, which is kept to be said again when the job is held, for then it
 * can't answer. The names of variables and files in it are the owner's: it goes to subscribers that may see
 * the job, and into its record, which is for the same eyes; never into the journal.
 */

#define WHY_USEC (3 * HR_USEC_PER_SEC) /* a person waits */
#define CALLS_MAX 32                   /* callers that wait; chosen, not tuned */
#define CALLS_PER_BUS 2
#define SAID_MAX 64           /* jobs whose sentence is kept, the oldest goes; chosen, not tuned */
#define WORTH_SAYING_SHARE 20 /* a holder of less than a 20th of the memory explains nothing */

struct said {
        char job[HR_ID_MAX];
        char text[HR_REASON_MAX];
};

struct waiting {
        char job[HR_ID_MAX];
        sd_bus_message *call; /* owned; NULL: free */
};

struct hr_liaison {
        struct hr_exchange *exchange;
        const struct hr_view *view;
        struct hr_channel *channel;
        void (*tell)(void *userdata, const struct hr_event *event);
        void *userdata;
        struct waiting waiting[CALLS_MAX];
        struct said said[SAID_MAX];
        size_t said_next;
};

/* ---- what the channel asks ---- */

static int job_of(void *userdata, pid_t pid, uid_t uid, char job[HR_ID_MAX])
{
        struct hr_liaison *l = userdata;
        struct hr_card *card = hr_resolve_pid(l->view, pid);

        if (!card)
                return -ENOENT;
        if (uid != card->uid && uid != 0) /* what it runs by sudo is of the job too */
                return -EPERM;
        memcpy(job, card->id, HR_ID_MAX);
        return 0;
}

static int status_of(void *userdata, const char *job, struct hr_talk_status *ret)
{
        struct hr_liaison *l = userdata;
        struct hr_card *card = hr_resolve_id(l->view, job);
        struct hr_status s;

        if (!card)
                return -ENOENT;
        hr_card_read(card, &s);
        *ret = (struct hr_talk_status){.stage = s.stage,
                .used_bytes = s.used_bytes,
                .limit_bytes = s.limit_bytes,
                .left_usec = s.left_min_usec};
        return 0;
}

/* ---- what holds the memory ---- */

static const char *base_name(const char *path)
{
        const char *slash = strrchr(path, '/');
        return slash && slash[1] ? slash + 1 : path;
}

static bool make_sentence(char *buf, size_t size, const struct hr_channel_answer *a, uint64_t used_bytes)
{
        const struct hr_channel_holder *h = &a->holders[0];
        char name[64], file[64], bytes[HR_TEXT_SIZE_MAX], where[96] = "", many[64] = "";

        if (a->holders_count == 0 || h->name[0] == '\0' || h->bytes < used_bytes / WORTH_SAYING_SHARE)
                return false;
        hr_units_escape(name, sizeof(name), h->name);
        hr_units_escape(file, sizeof(file), base_name(h->file));
        if (file[0] && h->line > 0)
                snprintf(where, sizeof(where), " in %s line %llu", file, (unsigned long long)h->line);
        else if (file[0])
                snprintf(where, sizeof(where), " in %s", file);
        if (h->count > 1)
                snprintf(many, sizeof(many), " in %llu objects", (unsigned long long)h->count);
        snprintf(buf, size, "%s%s holds %s%s; %s%s", name, where, hr_units_format_bytes(bytes, h->bytes),
                many,
                h->count > 1 ? "handle one file at a time, or drop each when done: del " : "when done: del ",
                name);
        return true;
}

static struct said *find_said(struct hr_liaison *l, const char *job)
{
        for (size_t i = 0; i < SAID_MAX; i++)
                if (l->said[i].job[0] && strcmp(l->said[i].job, job) == 0)
                        return &l->said[i];
        return NULL;
}

static void keep_said(struct hr_liaison *l, const char *job, const char *text)
{
        struct said *s = find_said(l, job);

        if (!s) {
                s = &l->said[l->said_next++ % SAID_MAX];
                snprintf(s->job, sizeof(s->job), "%s", job);
        }
        snprintf(s->text, sizeof(s->text), "%s", text);
}

static void tell_sentence(struct hr_liaison *l, const struct hr_card *card, const char *text)
{
        struct hr_event e = {.uid = card->uid, .has_run = true, .exit_status = -1};
        struct hr_status s;

        hr_card_read(card, &s);
        e.time_usec = hr_clock_realtime_usec();
        memcpy(e.job, card->id, sizeof(e.job));
        snprintf(e.name, sizeof(e.name), "%s", card->name);
        e.stage = e.previous_stage = s.stage;
        e.used_bytes = s.used_bytes;
        e.limit_bytes = s.own_limit_bytes;
        snprintf(e.action, sizeof(e.action), "why");
        snprintf(e.outcome, sizeof(e.outcome), "done");
        snprintf(e.reason, sizeof(e.reason), "%s", text);
        l->tell(l->userdata, &e);
}

static void heard_why(struct hr_liaison *l, const struct hr_channel_answer *a)
{
        struct hr_card *card = hr_resolve_id(l->view, a->job);
        char text[HR_REASON_MAX] = "";
        struct hr_status s = {0};
        bool asked_by_person = false;

        if (card)
                hr_card_read(card, &s);
        bool worth = make_sentence(text, sizeof(text), a, s.used_bytes);
        for (size_t i = 0; i < CALLS_MAX; i++) {
                struct waiting *w = &l->waiting[i];

                if (!w->call || strcmp(w->job, a->job) != 0)
                        continue;
                asked_by_person = true;
                (void)hr_message_reply_why(
                        w->call, a, text); /* the caller has gone: nobody is left to tell */
                w->call = sd_bus_message_unref(w->call);
        }
        if (!worth || !card)
                return;
        keep_said(l, a->job, text);
        struct hr_told told = {.kind = HR_TOLD_HOLDER, .uid = card->uid, .exit_status = -1};
        memcpy(told.job, card->id, sizeof(told.job));
        memcpy(told.text, text, sizeof(told.text));
        hr_exchange_told(l->exchange, &told);
        if (!asked_by_person)
                tell_sentence(l, card, text);
}

int hr_liaison_why(struct hr_liaison *l, const struct hr_card *card, sd_bus_message *call)
{
        static const struct hr_channel_answer nothing = {
                .garbage_bytes = HR_BYTES_NONE, .malloc_bytes = HR_BYTES_NONE};
        struct waiting *place = NULL;
        size_t own = 0;

        for (size_t i = 0; i < CALLS_MAX; i++) {
                if (!l->waiting[i].call)
                        place = &l->waiting[i];
                else
                        own += sd_bus_message_get_bus(l->waiting[i].call) == sd_bus_message_get_bus(call);
        }
        if (!place || own >= CALLS_PER_BUS)
                return -EBUSY;
        struct said *said = find_said(l, card->id);
        struct hr_status s;
        hr_card_read(card, &s);
        int asked = s.frozen ? 0 : hr_channel_ask_why(l->channel, card->id, WHY_USEC);
        if (asked == 0) /* what it said last, if it did */
                return hr_message_reply_why(call, &nothing, said ? said->text : "");
        if (asked < 0 && asked != -EALREADY)
                return asked;
        memcpy(place->job, card->id, sizeof(place->job));
        place->call = sd_bus_message_ref(call);
        return 0;
}

/* ---- answers ---- */

static void answered(void *userdata, const struct hr_channel_answer *a)
{
        struct hr_liaison *l = userdata;
        struct hr_reply reply = {0};

        memcpy(reply.job, a->job, sizeof(reply.job));
        switch (a->kind) {
        case HR_CHANNEL_PEERS:
                reply.kind = HR_REPLY_PEERS;
                reply.can_trim_count = a->can_count[HR_TALK_TRIM] + a->plain_count;
                reply.can_save_count = a->can_count[HR_TALK_CHECKPOINT];
                break;
        case HR_CHANNEL_TRIMMED:
                reply.kind = HR_REPLY_TRIMMED;
                reply.asked_count = a->asked_count;
                reply.answered_count = a->answered_count;
                reply.bytes = a->bytes;
                break;
        case HR_CHANNEL_CHECKPOINTED:
                reply.kind = HR_REPLY_SAVED;
                if (snprintf(reply.text, sizeof(reply.text), "%s", a->text) >= (int)sizeof(reply.text)) {
                        reply.kind = HR_REPLY_FAILED;
                        snprintf(reply.text, sizeof(reply.text), "the path that it named is too long");
                }
                break;
        case HR_CHANNEL_NEED:
                reply.kind = HR_REPLY_NEED;
                reply.need_usec = a->need_usec;
                break;
        case HR_CHANNEL_FAILED:
                reply.kind = HR_REPLY_FAILED;
                hr_units_escape(reply.text, sizeof(reply.text), a->text);
                break;
        case HR_CHANNEL_WHY:
                heard_why(l, a);
                return;
        default:
                return;
        }
        (void)hr_exchange_reply(l->exchange, &reply); /* full: what waits for it has a deadline */
}

/* By the channel's word it is of the job, and by that alone: the card may be gone by now. */
static void said(void *userdata, const char *job, pid_t pid, const struct hr_talk *t)
{
        struct hr_liaison *l = userdata;
        struct hr_told told = {.kind = HR_TOLD_MEMORY_ERROR, .admin = true, .exit_status = -1};
        struct hr_card *card = hr_resolve_id(l->view, job);
        char file[64];

        if (t->word == HR_TALK_HELLO) {
                if (!(t->abilities & HR_TALK_TELLS_MEMORY_ERROR) || !card || card->leader != pid)
                        return;
                told.kind = HR_TOLD_TELLS;
        }
        snprintf(told.job, sizeof(told.job), "%s", job);
        hr_units_escape(file, sizeof(file), base_name(t->file));
        if (file[0] && t->line > 0)
                snprintf(told.text, sizeof(told.text), "%s line %llu", file, (unsigned long long)t->line);
        else
                snprintf(told.text, sizeof(told.text), "%s", file);
        hr_exchange_told(l->exchange, &told);
}

/* ---- questions and events ---- */

static void nobody(struct hr_liaison *l, const struct hr_question *q)
{
        struct hr_reply reply = {.kind = q->request == HR_TALK_TRIM ? HR_REPLY_TRIMMED : HR_REPLY_FAILED};

        memcpy(reply.job, q->job, sizeof(reply.job));
        snprintf(reply.text, sizeof(reply.text), "none of its processes can be asked any more");
        (void)hr_exchange_reply(l->exchange, &reply);
}

void hr_liaison_ask(struct hr_liaison *l)
{
        struct hr_question q;

        while (hr_exchange_next_question(l->exchange, &q)) {
                int r = 0;
                if (q.leave) {
                        hr_channel_job_gone(l->channel, q.job);
                        continue;
                }
                if (q.request == HR_TALK_TRIM)
                        r = hr_channel_ask_trim(l->channel, q.job, q.until_usec);
                else if (q.request == HR_TALK_CHECKPOINT && q.grant)
                        r = hr_channel_grant(l->channel, q.job, q.until_usec) < 0; /* it has just answered */
                else if (q.request == HR_TALK_CHECKPOINT)
                        r = hr_channel_ask_checkpoint(l->channel, q.job, q.leader, q.until_usec);
                if (r <= 0 && r != -EALREADY && !q.grant)
                        nobody(l, &q);
        }
}

void hr_liaison_event(struct hr_liaison *l, const struct hr_event *event)
{
        bool climbs = event->stage > event->previous_stage && strcmp(event->outcome, "observed") != 0;
        bool asks = climbs && (event->stage == HR_STAGE_NOTICE || event->stage == HR_STAGE_CHECKPOINT);
        struct said *said = find_said(l, event->job);
        struct hr_card *card;

        if (event->job[0] == '\0')
                return;
        if (strcmp(event->action, "end") == 0 || strcmp(event->action, "detach") == 0) {
                hr_channel_job_gone(l->channel, event->job);
                if (said)
                        said->job[0] = '\0';
                return;
        }
        if (event->stage != event->previous_stage)
                (void)hr_channel_pressure(l->channel, event->job, event->stage);
        if (asks)
                (void)hr_channel_ask_why(
                        l->channel, event->job, WHY_USEC); /* nobody to ask: nothing to say */
        card = said && strcmp(event->action, "freeze") == 0 && strcmp(event->outcome, "done") == 0
                       ? hr_resolve_id(l->view, event->job)
                       : NULL;
        if (card)
                tell_sentence(l, card, said->text);
}

uint64_t hr_liaison_take_refused(struct hr_liaison *l)
{
        return hr_channel_take_refused(l->channel);
}

/* ---- the liaison ---- */

int hr_liaison_new(const struct hr_liaison_options *o, struct hr_liaison **ret)
{
        struct hr_liaison *l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->exchange = o->exchange;
        l->view = o->view;
        l->tell = o->tell;
        l->userdata = o->userdata;
        struct hr_channel_options options = {
                .event = o->event,
                .path = o->path,
                .user = o->user,
                .job_of = job_of,
                .status_of = status_of,
                .answered = answered,
                .said = said,
                .userdata = l,
        };
        int r = hr_channel_new(&options, &l->channel);
        if (r < 0) {
                free(l);
                return r;
        }
        *ret = l;
        return 0;
}

struct hr_liaison *hr_liaison_free(struct hr_liaison *l)
{
        if (!l)
                return NULL;
        hr_channel_free(l->channel);
        for (size_t i = 0; i < CALLS_MAX; i++)
                sd_bus_message_unref(l->waiting[i].call);
        free(l);
        return NULL;
}
