/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/pending.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "tell/message.h"

/*
 * Calls that wait for the deciding thread. The command carries a pending call's number, not its address, so
 * that nothing dangles when peer, bus or service end before the answer comes; the answer is turned into a
 * reply by its verb's row.
 *
 * Who follows a job is kept here as well, for that ends with the peer, and the deciding thread must be told:
 * when the last follower has gone, a FOLLOW that says "off" is sent on nobody's behalf.
 */

#define PENDING_MAX 256 /* as many as the exchange has under way */
#define UNFOLLOW_MAX 64 /* jobs whose follower left while the exchange was full */

struct pending {
        uintptr_t number;     /* 0: free */
        struct hr_peer *peer; /* NULL: gone */
        sd_bus_message *call;
};

struct hr_pending {
        const struct hr_view *view;
        struct hr_exchange *exchange;
        struct hr_peers *peers;
        uintptr_t last_number;
        struct pending calls[PENDING_MAX];
        char unfollow[UNFOLLOW_MAX][HR_ID_MAX];
};

static void command_freep(struct hr_command **c)
{
        hr_command_free(*c);
}
#define _command_ HR_CLEANUP(command_freep)

int hr_pending_command(const struct hr_caller *caller, enum hr_verb verb, const struct hr_card *card,
        struct hr_command **ret)
{
        struct hr_command *c = hr_command_new();

        if (!c)
                return -ENOMEM;
        c->verb = verb;
        c->uid = caller->uid;
        c->gid = caller->gid;
        if (card) {
                c->slot = card->slot;
                memcpy(c->job, card->id, sizeof(c->job));
        }
        *ret = c;
        return 0;
}

/* ---- commands ---- */

int hr_pending_submit(struct hr_pending *q, struct hr_peer *p, sd_bus_message *m, struct hr_command **command,
        sd_bus_error *e)
{
        struct hr_command *c = *command;
        struct pending *place = NULL;
        int r;

        for (size_t i = 0; i < PENDING_MAX && !place; i++)
                if (q->calls[i].number == 0)
                        place = &q->calls[i];
        if (!place || p->pending_count >= HR_PEER_PENDING_MAX)
                return hr_message_set_error(e, -EAGAIN, NULL);

        c->cookie = (void *)(q->last_number + 1);
        r = hr_exchange_command(q->exchange, c);
        if (r < 0)
                return hr_message_set_error(e, r, NULL);
        TAKE_PTR(*command);
        p->pending_count++;
        *place = (struct pending){.number = ++q->last_number, .peer = p, .call = sd_bus_message_ref(m)};
        return 1;
}

/* ---- answers ---- */

int hr_pending_status(
        struct hr_pending *q, const struct hr_caller *caller, const char *id, sd_bus_message *call)
{
        HR_CLEANUP(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        struct hr_card *one = id[0] ? hr_resolve_id(q->view, id) : NULL;

        if (id[0] && !one)
                return hr_message_reply_error(
                        call, -ENOENT, "It has just ended; headroom why shows its end.");
        int r = hr_message_begin_status(call, &reply);
        if (one && r >= 0)
                r = hr_message_append_status(reply, one);
        for (uint32_t i = 0; !one && r >= 0 && i < hr_exchange_slots(q->exchange); i++) {
                struct hr_card *card = hr_exchange_card(q->exchange, i);

                if (card && hr_resolve_visible(caller, card))
                        r = hr_message_append_status(reply, card);
        }
        return r < 0 ? r : hr_message_send_array(reply);
}

static int answer_run(struct hr_pending *q, struct pending *p, const struct hr_command *c)
{
        const struct hr_card *card = hr_resolve_id(q->view, c->answer_job);

        return hr_message_reply_run(p->call, c->answer_retries, c->answer_job,
                hr_kind_name(card ? card->kind : HR_KIND_PROCESS), c->message);
}

static int answer_attach(struct hr_pending *q HR_UNUSED, struct pending *p, const struct hr_command *c)
{
        return hr_message_reply_attach(p->call, c->answer_job, c->message);
}

static int answer_limit(struct hr_pending *q HR_UNUSED, struct pending *p, const struct hr_command *c)
{
        return hr_message_reply_limit(p->call, c->answer_bytes, c->message);
}

static int answer_message(struct hr_pending *q HR_UNUSED, struct pending *p, const struct hr_command *c)
{
        _free_ char *owned = NULL;
        const char *text = hr_message_text(c->message, &owned);

        return text ? hr_message_reply_text(p->call, text) : -ENOMEM;
}

static int answer_policies(struct hr_pending *q HR_UNUSED, struct pending *p, const struct hr_command *c)
{
        return hr_message_reply_text(p->call, c->text ? c->text : "");
}

static int answer_doctor(struct hr_pending *q HR_UNUSED, struct pending *p, const struct hr_command *c)
{
        return hr_message_reply_doctor(p->call, c->text ? c->text : "");
}

static int answer_breakdown(struct hr_pending *q HR_UNUSED, struct pending *p, const struct hr_command *c)
{
        static const struct hr_breakdown nothing = {0};

        return hr_message_reply_breakdown(p->call, c->breakdown ? c->breakdown : &nothing);
}

static int answer_follow(
        struct hr_pending *q HR_UNUSED, struct pending *p, const struct hr_command *c HR_UNUSED)
{
        return hr_message_reply_empty(p->call);
}

static int answer_status(struct hr_pending *q, struct pending *p, const struct hr_command *c)
{
        return hr_pending_status(q, &p->peer->caller, c->job, p->call);
}

static int (*const answers[HR_VERB_COUNT])(
        struct hr_pending *, struct pending *, const struct hr_command *) = {
        [HR_VERB_RUN] = answer_run,
        [HR_VERB_ATTACH] = answer_attach,
        [HR_VERB_DETACH] = answer_message,
        [HR_VERB_LIMIT] = answer_limit,
        [HR_VERB_POLICY_JOB] = answer_message,
        [HR_VERB_TRIM] = answer_message,
        [HR_VERB_CHECKPOINT] = answer_message,
        [HR_VERB_HOLD] = answer_message,
        [HR_VERB_RESUME] = answer_message,
        [HR_VERB_RESTORE] = answer_message,
        [HR_VERB_INTERRUPT] = answer_message,
        [HR_VERB_KILL] = answer_message,
        [HR_VERB_POLICIES] = answer_policies,
        [HR_VERB_POLICY_SET] = answer_message,
        [HR_VERB_DOCTOR] = answer_doctor,
        [HR_VERB_FOLLOW] = answer_follow,
        [HR_VERB_BREAKDOWN] = answer_breakdown,
        [HR_VERB_LOOK] = answer_status,
};

/* ---- followers ---- */

static bool followed(const struct hr_pending *q, const char *job)
{
        for (size_t i = 0; i < HR_BUS_PEERS_MAX; i++)
                for (size_t k = 0; q->peers->all[i] && k < HR_PEER_FOLLOWS_MAX; k++)
                        if (strcmp(q->peers->all[i]->follows[k], job) == 0)
                                return true;
        return false;
}

/* Tells the deciding thread that no `run` shows this job any more. */
static int post_unfollow(struct hr_pending *q, const char *job)
{
        const struct hr_card *card = hr_resolve_id(q->view, job);
        _command_ struct hr_command *c = NULL;
        const struct hr_caller nobody = {.admin = true};
        int r;

        if (!card || followed(q, job))
                return 0;
        r = hr_pending_command(&nobody, HR_VERB_FOLLOW, card, &c);
        if (r < 0)
                return r;
        c->limit_bytes = 0;
        r = hr_exchange_command(q->exchange, c);
        if (r >= 0)
                TAKE_PTR(c);
        return r;
}

static void unfollow(struct hr_pending *q, const char *job)
{
        if (post_unfollow(q, job) >= 0)
                return;
        for (size_t i = 0; i < UNFOLLOW_MAX; i++)
                if (q->unfollow[i][0] == '\0') {
                        memcpy(q->unfollow[i], job, HR_ID_MAX); /* again when an answer has made room */
                        return;
                }
}

static void retry_unfollow(struct hr_pending *q)
{
        for (size_t i = 0; i < UNFOLLOW_MAX; i++)
                if (q->unfollow[i][0] != '\0' && post_unfollow(q, q->unfollow[i]) >= 0)
                        q->unfollow[i][0] = '\0';
}

static void remember_follow(struct hr_pending *q, struct hr_peer *p, const char *job)
{
        size_t place = HR_PEER_FOLLOWS_MAX;

        for (size_t i = 0; p && i < HR_PEER_FOLLOWS_MAX; i++) {
                if (strcmp(p->follows[i], job) == 0)
                        return;
                if (p->follows[i][0] == '\0')
                        place = i;
        }
        if (place == HR_PEER_FOLLOWS_MAX)
                unfollow(q, job); /* the peer is gone, or follows too many: nobody would take it back later */
        else
                memcpy(p->follows[place], job, HR_ID_MAX);
}

void hr_pending_forget(struct hr_pending *q, struct hr_peer *p)
{
        for (size_t i = 0; i < PENDING_MAX; i++)
                if (q->calls[i].peer == p) {
                        q->calls[i].peer = NULL;
                        q->calls[i].call = sd_bus_message_unref(q->calls[i].call);
                }
        for (size_t i = 0; i < HR_PEER_FOLLOWS_MAX; i++)
                if (p->follows[i][0] != '\0')
                        unfollow(q, p->follows[i]);
}

static void send_answer(struct hr_pending *q, struct pending *pending, const struct hr_command *c)
{
        sd_bus_message *call = pending->call;
        int r;

        pending->peer->pending_count--;
        r = c->result < 0 ? hr_message_reply_error(call, c->result, c->message)
                          : answers[c->verb](q, pending, c);
        if (r < 0)
                r = hr_message_reply_error(call, r, NULL);
        if (r < 0)
                pending->peer->doomed = true; /* it would wait for ever */
        hr_peer_replied(pending->peer);
}

void hr_pending_answer(struct hr_pending *q)
{
        for (;;) {
                _command_ struct hr_command *c = hr_exchange_next_answer(q->exchange);

                if (!c)
                        break;
                if (c->cookie) {
                        for (size_t i = 0; i < PENDING_MAX; i++) {
                                struct pending *pending = &q->calls[i];

                                if (pending->number != (uintptr_t)c->cookie)
                                        continue;
                                if (c->verb == HR_VERB_FOLLOW && c->result >= 0)
                                        remember_follow(q, pending->peer, c->job);
                                if (pending->peer)
                                        send_answer(q, pending, c);
                                sd_bus_message_unref(pending->call);
                                *pending = (struct pending){0};
                        }
                }
        }
        retry_unfollow(q);
}

/* ---- the table ---- */

int hr_pending_new(
        struct hr_exchange *x, const struct hr_view *view, struct hr_peers *peers, struct hr_pending **ret)
{
        struct hr_pending *q = calloc(1, sizeof(*q));

        if (!q)
                return -ENOMEM;
        q->exchange = x;
        q->view = view;
        q->peers = peers;
        /* Not the numbers of a table that was there before, whose answers may still come. */
        q->last_number = (uintptr_t)hr_clock_usec();
        *ret = q;
        return 0;
}

struct hr_pending *hr_pending_free(struct hr_pending *q)
{
        if (!q)
                return NULL;
        for (size_t i = 0; i < PENDING_MAX; i++)
                sd_bus_message_unref(q->calls[i].call);
        free(q);
        return NULL;
}
