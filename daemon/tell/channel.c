/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/channel.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "fd.h"
#include "tell/listen.h"

/*
 * A list of jobs, each with the list of its peers and at most one of each request under way.
 *
 * A peer is NEW until its first bytes say what it is: PLAIN for ever (systemd's protocol: what it writes is
 * thrown away), or, with a hello, it TALKS. All read into one buffer; a peer keeps only the half line that is
 * left over, in a block of its own, which few ever need. What is sent goes to the socket or nowhere: a peer
 * whose small socket buffer is full is closed, so that there is no queue.
 *
 * Two places only where things end, for lists are walked everywhere else:
 *   sweep     closes the peers that are `doomed`, and forgets jobs with nothing left; the last step of
 *             every entry from outside;
 *   on_timer  the one timer, set to whatever is due first: a request's answer (due at its deadline, or when
 *             nobody is waited for any more), news of a job, a peer's or the listener's end of a pause.
 *
 * Rates: each thing that a peer makes us do costs it time; it may run up a debt of PEER_BURST_USEC and is
 * then not listened to until half of that is worked off. So a flood costs a bounded number of wake-ups, and
 * is held in the flooder's own socket. The listener has the same.
 */

/* Chosen, not tuned; costs measured as time, so that 1 s / cost is the rate that is kept up for ever. */
#define PEER_BURST_USEC (4 * HR_USEC_PER_SEC)
#define WAKE_COST_USEC (50 * HR_USEC_PER_MSEC)   /* 20 a second, 80 at once */
#define STATUS_COST_USEC (50 * HR_USEC_PER_MSEC) /* with its wake-up 10 a second */
#define BYTE_COST_USEC UINT64_C(64)              /* 15 KiB a second, 62 KiB at once */
#define ACCEPT_BURST_USEC (256 * HR_USEC_PER_MSEC)
#define ACCEPT_COST_USEC HR_USEC_PER_MSEC
/* Who waits to be accepted waits so many milliseconds at most; when it is full, connect() waits in turn, or
 * fails with EAGAIN on a non-blocking socket. */
#define ACCEPT_BACKLOG 256
#define ACCEPT_PAUSE_USEC HR_USEC_PER_SEC /* when descriptors or memory have run out */

#define SEND_BYTES (16 * 1024) /* doubled by the kernel; some 40 of our short lines by its accounting */

enum manner { NEW, PLAIN, TALKS };

struct peer {
        struct peer *next;
        struct job *job;
        sd_event_source *io;
        char *half;         /* a line's beginning, owned */
        uint64_t debt_usec; /* the time at which its debt is worked off */
        const char *doomed; /* why it is to be closed, as in "process 12 ..."; NULL: it is not */
        int fd;
        pid_t pid;
        uid_t uid;
        uint16_t half_size;
        uint8_t manner;
        uint8_t abilities, waits; /* bit n: request n: it can answer, it has yet to */
        uint8_t owes;             /* answers to checkpoint; above 1: the next is to an older request */
        uint8_t holds_count;      /* lines of its answer to why */
        bool paused;
};

struct request {
        struct hr_channel_answer *answer; /* as far as it has come, owned; NULL: not under way */
        uint64_t deadline_usec;           /* 0: complete */
        uint32_t waiting_count;
};

struct job {
        struct job *next;
        struct hr_channel *channel;
        struct peer *peers;
        uint32_t peers_count;
        char id[HR_ID_MAX];
        struct request requests[HR_TALK_REQUEST_COUNT];
        pid_t leader; /* of the checkpoint under way */
        uint64_t need_until_usec;
        uint64_t news_usec, told_usec; /* when news are due (HR_USEC_NEVER: none), and were told last */
        bool peers_news, need_news;
        bool crowded; /* a peer was turned away */
        bool gone;    /* nothing is to be told of it any more */
};

struct hr_channel {
        struct hr_channel_options options;
        struct hr_listen socket;
        sd_event_source *listen, *timer;
        uint64_t wake_usec; /* what the timer is set to */
        uint64_t accept_debt_usec;
        uint64_t accept_usec; /* until when nobody is accepted; 0: the listener is on */
        struct job *jobs;
        uint32_t peers_count;
        uint64_t refused_count;
        bool untidy; /* for sweep */
        char input[2 * HR_TALK_LINE_MAX];
};

static const char hung_up[] = "hung up";

static uint64_t now_usec(const struct hr_channel *c, clockid_t clock)
{
        uint64_t now = 0;

        (void)sd_event_now(c->options.event, clock, &now); /* fails only for a clock that there is not */
        return now;
}

static void wake_at(struct hr_channel *c, uint64_t usec)
{
        if (usec >= c->wake_usec)
                return;
        c->wake_usec = usec;
        (void)sd_event_source_set_time(
                c->timer, usec); /* these two fail only for a source that there is not */
        (void)sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

static struct job *find_job(const struct hr_channel *c, const char *id)
{
        struct job *job = c->jobs;

        while (job && strcmp(job->id, id) != 0)
                job = job->next;
        return job;
}

/* ---- what is due to the deciding thread ---- */

static void news(struct job *job, bool *which)
{
        *which = true;
        if (job->news_usec != HR_USEC_NEVER)
                return;
        job->news_usec = MAX(job->told_usec + HR_CHANNEL_NEWS_USEC, now_usec(job->channel, CLOCK_MONOTONIC));
        wake_at(job->channel, job->news_usec);
}

static void complete(struct job *job, enum hr_talk_request request)
{
        job->requests[request].deadline_usec = 0;
        wake_at(job->channel, 0);
}

HR_PRINTF(3, 4) static void fail(struct job *job, pid_t pid, const char *format, ...)
{
        struct hr_channel_answer *a = job->requests[HR_TALK_CHECKPOINT].answer;
        va_list args;

        a->kind = HR_CHANNEL_FAILED;
        a->pid = pid;
        va_start(args, format);
        vsnprintf(a->text, sizeof(a->text), format, args);
        va_end(args);
        complete(job, HR_TALK_CHECKPOINT);
}

static void release(struct peer *p, enum hr_talk_request request)
{
        p->waits &= (uint8_t) ~(1U << request);
        if (--p->job->requests[request].waiting_count == 0)
                complete(p->job, request);
}

static void tell(struct job *job, struct hr_channel_answer *a)
{
        const struct hr_channel_options *o = &job->channel->options;

        memcpy(a->job, job->id, sizeof(a->job));
        o->answered(o->userdata, a);
}

static void tell_answer(struct job *job, enum hr_talk_request request)
{
        struct request *r = &job->requests[request];
        _free_ struct hr_channel_answer *a = r->answer;

        if (a->kind == HR_CHANNEL_CHECKPOINTED && r->waiting_count > 0)
                fail(job, 0, "%u of %u processes had not answered before the deadline",
                        (unsigned)r->waiting_count, (unsigned)a->asked_count);
        *r = (struct request){0};
        for (struct peer *p = job->peers; p; p = p->next)
                p->waits &= (uint8_t) ~(1U << request);
        tell(job, a);
}

static void tell_news(struct job *job, uint64_t now)
{
        struct hr_channel_answer a = {.kind = HR_CHANNEL_PEERS};

        job->news_usec = HR_USEC_NEVER;
        job->told_usec = now;
        if (TAKE_VALUE(job->peers_news)) {
                a.peers_count = job->peers_count;
                for (struct peer *p = job->peers; p; p = p->next) {
                        a.plain_count += p->manner != TALKS;
                        for (unsigned i = 0; i < HR_TALK_REQUEST_COUNT; i++)
                                a.can_count[i] += p->abilities >> i & 1U;
                }
                tell(job, &a);
        }
        if (TAKE_VALUE(job->need_news) && job->requests[HR_TALK_CHECKPOINT].deadline_usec > 0) {
                a = (struct hr_channel_answer){
                        .kind = HR_CHANNEL_NEED, .need_usec = hr_sub(job->need_until_usec, now)};
                tell(job, &a);
        }
}

/* ---- the end of peers ---- */

static void doom(struct peer *p, const char *why)
{
        if (p->doomed)
                return;
        p->doomed = why;
        p->job->channel->untidy = true;
        if (why != hung_up)
                p->job->channel->refused_count++;
}

static struct peer *peer_free(struct peer *p)
{
        if (!p)
                return NULL;
        sd_event_source_disable_unref(p->io);
        hr_close(p->fd);
        free(p->half);
        free(p);
        return NULL;
}

static void peer_freep(struct peer **p)
{
        peer_free(*p);
}

/* Takes p off its job. */
static void peer_leaves(struct peer *p)
{
        struct job *job = p->job;

        if (p->waits & 1U << HR_TALK_CHECKPOINT && job->requests[HR_TALK_CHECKPOINT].deadline_usec > 0)
                fail(job, p->pid, "process %d %s before it had answered", (int)p->pid, p->doomed);
        for (unsigned i = 0; i < HR_TALK_REQUEST_COUNT; i++)
                if (p->waits & 1U << i)
                        release(p, i);
        job->peers_count--;
        job->channel->peers_count--;
        news(job, &job->peers_news);
        peer_free(p);
}

/* Also while it is too early for the next, or one that comes and goes would be told each time. */
static bool has_news(struct job *job)
{
        uint64_t next_usec = job->told_usec + HR_CHANNEL_NEWS_USEC;

        if (job->gone || job->news_usec != HR_USEC_NEVER)
                return !job->gone;
        if (now_usec(job->channel, CLOCK_MONOTONIC) >= next_usec)
                return false;
        wake_at(job->channel, next_usec);
        return true;
}

static void sweep(struct hr_channel *c)
{
        if (!TAKE_VALUE(c->untidy))
                return;
        for (struct job **j = &c->jobs, *job; (job = *j);) {
                for (struct peer **i = &job->peers, *p; (p = *i);) {
                        if (!p->doomed) {
                                i = &p->next;
                                continue;
                        }
                        *i = p->next;
                        peer_leaves(p);
                }
                if (job->peers || has_news(job)) {
                        j = &job->next;
                        continue;
                }
                *j = job->next;
                for (unsigned i = 0; i < HR_TALK_REQUEST_COUNT; i++)
                        free(job->requests[i].answer);
                free(job);
        }
}

/* ---- to a peer ---- */

static void say(struct peer *p, const char *line)
{
        ssize_t size = (ssize_t)strlen(line), n;
        int unread = 0;

        if (p->doomed)
                return;
        /* A plain peer that has not read yet is readable already, which is all that it waits for. */
        if (p->manner == PLAIN && ioctl(p->fd, SIOCOUTQ, &unread) >= 0 && unread > 0)
                return;
        n = send(p->fd, line, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n != size)
                doom(p, n < 0 && errno != EAGAIN ? hung_up : "did not read what it was told");
}

int hr_channel_pressure(struct hr_channel *c, const char *id, enum hr_stage stage)
{
        struct job *job = find_job(c, id);
        char line[HR_TALK_SAY_MAX];
        int count = 0;

        hr_talk_say_pressure(line, stage);
        for (struct peer *p = job ? job->peers : NULL; p; p = p->next)
                if (p->manner == TALKS) {
                        say(p, line);
                        count++;
                }
        sweep(c);
        return count;
}

/* deadline_usec: CLOCK_MONOTONIC; said_usec: the same for the peers, CLOCK_REALTIME. */
static int ask(struct hr_channel *c, struct job *job, enum hr_talk_request request, uint64_t deadline_usec,
        uint64_t said_usec)
{
        static const enum hr_channel_kind kinds[] = {
                [HR_TALK_TRIM] = HR_CHANNEL_TRIMMED,
                [HR_TALK_CHECKPOINT] = HR_CHANNEL_CHECKPOINTED,
                [HR_TALK_WHY] = HR_CHANNEL_WHY,
        };
        struct request r = {.deadline_usec = MAX(deadline_usec, 1U)};
        char line[HR_TALK_SAY_MAX];
        uint32_t asked = 0;

        if (!job)
                return 0;
        if (job->requests[request].answer)
                return -EALREADY;
        r.answer = calloc(1, sizeof(*r.answer));
        if (!r.answer)
                return -ENOMEM;
        r.answer->kind = kinds[request];
        if (request == HR_TALK_WHY)
                r.answer->garbage_bytes = r.answer->malloc_bytes = HR_BYTES_NONE;

        hr_talk_say_request(line, request, said_usec);
        for (struct peer *p = job->peers; p; p = p->next) {
                bool talks = p->manner == TALKS;

                if (p->doomed || (talks ? !(p->abilities & 1U << request) : request != HR_TALK_TRIM))
                        continue;
                asked++;
                say(p, line); /* one that can't be told is waited for as well, until sweep */
                if (!talks)
                        continue;
                r.waiting_count++;
                p->waits |= (uint8_t)(1U << request);
                if (request == HR_TALK_CHECKPOINT)
                        p->owes += p->owes < UINT8_MAX;
                if (request == HR_TALK_WHY)
                        p->holds_count = 0;
        }
        if (asked == 0) {
                free(r.answer);
                return 0;
        }
        r.answer->asked_count = asked;
        job->requests[request] = r;
        wake_at(c, r.deadline_usec);
        sweep(c);
        return (int)asked;
}

int hr_channel_ask_trim(struct hr_channel *c, const char *id, uint64_t timeout_usec)
{
        uint64_t deadline = hr_add(now_usec(c, CLOCK_MONOTONIC), timeout_usec);

        return ask(c, find_job(c, id), HR_TALK_TRIM, deadline, 0);
}

int hr_channel_ask_why(struct hr_channel *c, const char *id, uint64_t timeout_usec)
{
        uint64_t deadline = hr_add(now_usec(c, CLOCK_MONOTONIC), timeout_usec);

        return ask(c, find_job(c, id), HR_TALK_WHY, deadline, 0);
}

static uint64_t to_monotonic(const struct hr_channel *c, uint64_t realtime_usec)
{
        return hr_add(now_usec(c, CLOCK_MONOTONIC), hr_sub(realtime_usec, now_usec(c, CLOCK_REALTIME)));
}

int hr_channel_ask_checkpoint(struct hr_channel *c, const char *id, pid_t leader, uint64_t deadline_usec)
{
        struct job *job = find_job(c, id);

        if (job && job->crowded)
                return -EUSERS;
        if (job && !job->requests[HR_TALK_CHECKPOINT].answer) {
                job->leader = leader;
                job->need_until_usec = 0;
        }
        return ask(c, job, HR_TALK_CHECKPOINT, to_monotonic(c, deadline_usec), deadline_usec);
}

int hr_channel_grant(struct hr_channel *c, const char *id, uint64_t deadline_usec)
{
        struct job *job = find_job(c, id);
        struct request *r = job ? &job->requests[HR_TALK_CHECKPOINT] : NULL;

        if (!r || !r->answer || r->deadline_usec == 0)
                return -ENOENT;
        r->deadline_usec = to_monotonic(c, deadline_usec);
        wake_at(c, r->deadline_usec);
        return 0;
}

/* ---- from a peer ---- */

static void charge(struct peer *p, uint64_t cost_usec)
{
        struct hr_channel *c = p->job->channel;
        uint64_t now = now_usec(c, CLOCK_MONOTONIC);

        p->debt_usec = MAX(p->debt_usec, now) + cost_usec;
        if (p->paused || p->debt_usec <= now + PEER_BURST_USEC)
                return;
        p->paused = true;
        (void)sd_event_source_set_enabled(p->io, SD_EVENT_OFF); /* can't fail for what is there */
        wake_at(c, p->debt_usec - PEER_BURST_USEC / 2);
}

/* Whom it speaks for is looked at again: the process may be gone, and its number another's. */
static bool still_in_job(struct peer *p)
{
        const struct hr_channel_options *o = &p->job->channel->options;
        char id[HR_ID_MAX] = "";

        if (o->job_of(o->userdata, p->pid, p->uid, id) >= 0 && strcmp(id, p->job->id) == 0)
                return true;
        doom(p, "was no longer in the job");
        return false;
}

/* The answer that p is asked for, to be filled in; NULL: what it says does not count. last: it ends with
 * this. */
static struct hr_channel_answer *awaited(struct peer *p, enum hr_talk_request request, bool last)
{
        struct request *r = &p->job->requests[request];
        bool older = request == HR_TALK_CHECKPOINT && p->owes > 1;

        if (request == HR_TALK_CHECKPOINT && last && p->owes > 0)
                p->owes--;
        if (older || !(p->waits & 1U << request) || r->deadline_usec == 0 || !still_in_job(p))
                return NULL;
        if (last) {
                r->answer->answered_count++;
                release(p, request);
        }
        return r->answer;
}

static void said(struct peer *p, const struct hr_talk *t)
{
        const struct hr_channel_options *o = &p->job->channel->options;

        o->said(o->userdata, p->job->id, p->pid, t);
}

static void on_hello(struct peer *p, const struct hr_talk *t)
{
        char line[HR_TALK_SAY_MAX];

        p->manner = TALKS;
        p->abilities = (uint8_t)t->abilities;
        said(p, t);
        say(p, hr_talk_say_welcome(line, p->job->id));
        news(p->job, &p->job->peers_news);
}

static void on_trimmed(struct peer *p, const struct hr_talk *t)
{
        struct hr_channel_answer *a = awaited(p, HR_TALK_TRIM, true);

        if (a)
                a->bytes = hr_add(a->bytes, t->bytes);
}

static void on_checkpointed(struct peer *p, const struct hr_talk *t)
{
        struct hr_channel_answer *a = awaited(p, HR_TALK_CHECKPOINT, true);

        if (!a || (a->answered_count > 1 && p->pid != p->job->leader))
                return;
        a->pid = p->pid;
        snprintf(a->text, sizeof(a->text), "%s", t->text);
}

static void on_need(struct peer *p, const struct hr_talk *t)
{
        uint64_t until = now_usec(p->job->channel, CLOCK_MONOTONIC) + t->usec;

        if (!awaited(p, HR_TALK_CHECKPOINT, false) || until <= p->job->need_until_usec)
                return;
        p->job->need_until_usec = until;
        news(p->job, &p->job->need_news);
}

static void on_failed(struct peer *p, const struct hr_talk *t)
{
        if (awaited(p, HR_TALK_CHECKPOINT, true))
                fail(p->job, p->pid, "%s", t->text[0] != '\0' ? t->text : "it gave no reason");
}

static void on_holds(struct peer *p, const struct hr_talk *t)
{
        struct hr_channel_answer *a = awaited(p, HR_TALK_WHY, false);
        struct hr_channel_holder *h;
        size_t i, file_size = strlen(t->file);

        if (!a)
                return;
        if (p->holds_count++ == HR_TALK_HOLDERS_MAX) {
                doom(p, "named too many holders");
                return;
        }
        i = a->holders_count;
        if (i < HR_TALK_HOLDERS_MAX)
                a->holders_count++;
        else if (a->holders[--i].bytes >= t->bytes)
                return;
        for (; i > 0 && a->holders[i - 1].bytes < t->bytes; i--)
                a->holders[i] = a->holders[i - 1];
        h = &a->holders[i];
        *h = (struct hr_channel_holder){.pid = p->pid, .bytes = t->bytes, .count = t->count, .line = t->line};
        snprintf(h->name, sizeof(h->name), "%s", t->text);
        snprintf(h->file, sizeof(h->file), "%s", t->file + hr_sub(file_size, sizeof(h->file) - 1));
}

static void add_known(uint64_t *sum, uint64_t bytes)
{
        if (bytes != HR_BYTES_NONE)
                *sum = *sum == HR_BYTES_NONE ? bytes : hr_add(*sum, bytes);
}

static void on_spare(struct peer *p, const struct hr_talk *t)
{
        struct hr_channel_answer *a = awaited(p, HR_TALK_WHY, true);

        if (!a)
                return;
        add_known(&a->garbage_bytes, t->garbage_bytes);
        add_known(&a->malloc_bytes, t->malloc_bytes);
}

static void on_status(struct peer *p, const struct hr_talk *t HR_UNUSED)
{
        const struct hr_channel_options *o = &p->job->channel->options;
        struct hr_talk_status status = {0};
        char line[HR_TALK_SAY_MAX];

        charge(p, STATUS_COST_USEC);
        if (o->status_of(o->userdata, p->job->id, &status) >= 0)
                say(p, hr_talk_say_status(line, &status));
}

/* Whom it speaks for is not looked at again: it was of the job when it came, and is about to be gone. */
static void on_memory_error(struct peer *p, const struct hr_talk *t)
{
        said(p, t);
}

static void take_line(struct peer *p, char *line, size_t size)
{
        static void (*const handlers[HR_TALK_WORD_COUNT])(struct peer * p, const struct hr_talk *t) = {
                [HR_TALK_HELLO] = on_hello,
                [HR_TALK_TRIMMED] = on_trimmed,
                [HR_TALK_CHECKPOINTED] = on_checkpointed,
                [HR_TALK_NEED] = on_need,
                [HR_TALK_FAILED] = on_failed,
                [HR_TALK_HOLDS] = on_holds,
                [HR_TALK_SPARE] = on_spare,
                [HR_TALK_STATUS] = on_status,
                [HR_TALK_MEMORY_ERROR] = on_memory_error,
        };
        struct hr_talk t;

        if (hr_talk_parse(line, size, &t) < 0)
                doom(p, "said what is not headroom/1");
        else if (handlers[t.word])
                handlers[t.word](p, &t);
}

static void drop_half(struct peer *p)
{
        free(p->half);
        p->half = NULL;
        p->half_size = 0;
}

/* p->half and behind it `size` new bytes are in the channel's buffer. */
static void take_lines(struct peer *p, char *at, size_t size)
{
        char *end;

        while (!p->doomed && (end = memchr(at, '\n', size))) {
                size_t n = (size_t)(end - at) + 1;

                take_line(p, at, n);
                at += n;
                size -= n;
        }
        drop_half(p);
        if (p->doomed || size == 0)
                return;
        if (size >= HR_TALK_LINE_MAX) {
                doom(p, "said too long a line");
                return;
        }
        p->half = malloc(size);
        if (!p->half) {
                doom(p, "could not be listened to");
                return;
        }
        memcpy(p->half, at, size);
        p->half_size = (uint16_t)size;
}

static void take_input(struct peer *p)
{
        char *input = p->job->channel->input;
        ssize_t n = recv(p->fd, input + p->half_size, HR_TALK_LINE_MAX, MSG_DONTWAIT);
        size_t size;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                doom(p, hung_up);
                return;
        }
        charge(p, WAKE_COST_USEC + (uint64_t)n * BYTE_COST_USEC);
        size = p->half_size + (size_t)n;
        if (p->half_size > 0)
                memcpy(input, p->half, p->half_size);
        if (p->manner == NEW && !hr_talk_may_be_hello(input, size)) {
                p->manner = PLAIN;
                drop_half(p);
        }
        if (p->manner != PLAIN)
                take_lines(p, input, size);
}

static int on_io(sd_event_source *s HR_UNUSED, int fd HR_UNUSED, uint32_t revents HR_UNUSED, void *userdata)
{
        struct peer *p = userdata;
        struct hr_channel *c = p->job->channel;

        take_input(p);
        sweep(c);
        return 0;
}

/* ---- connections ---- */

static bool has_room(const struct hr_channel *c, const struct job *job, uid_t uid)
{
        uint32_t of_user = 0;

        for (const struct job *j = c->jobs; j; j = j->next)
                for (const struct peer *p = j->peers; p; p = p->next)
                        of_user += p->uid == uid;
        return c->peers_count < HR_CHANNEL_PEERS_MAX && of_user < HR_CHANNEL_PEERS_PER_USER &&
               job->peers_count < HR_CHANNEL_PEERS_PER_JOB;
}

static struct job *get_job(struct hr_channel *c, const char *id)
{
        struct job *job = find_job(c, id);

        if (job)
                return job;
        job = calloc(1, sizeof(*job));
        if (!job)
                return NULL;
        job->channel = c;
        memcpy(job->id, id, sizeof(job->id));
        job->news_usec = HR_USEC_NEVER;
        job->next = c->jobs;
        c->jobs = job;
        c->untidy = true; /* nobody may come in after all */
        return job;
}

static int admit(struct hr_channel *c, int connection)
{
        const struct hr_channel_options *o = &c->options;
        _close_ int fd = connection;
        HR_CLEANUP(peer_freep) struct peer *p = NULL;
        struct ucred cred;
        socklen_t size = sizeof(cred);
        char id[HR_ID_MAX] = "";
        int small = SEND_BYTES, r;
        struct job *job;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0 ||
                setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) < 0)
                return -errno;
        r = cred.pid > 0 ? o->job_of(o->userdata, cred.pid, cred.uid, id) : -ENOENT;
        if (r < 0)
                return r;
        job = get_job(c, id);
        if (!job)
                return -ENOMEM;
        if (!has_room(c, job, cred.uid)) {
                job->crowded = true;
                return -EUSERS;
        }
        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        *p = (struct peer){.job = job, .fd = TAKE_FD(fd), .pid = cred.pid, .uid = cred.uid};
        if ((r = sd_event_add_io(o->event, &p->io, p->fd, EPOLLIN, on_io, p)) < 0 ||
                (r = sd_event_source_set_description(p->io, "job-peer")) < 0)
                return r;
        p->next = job->peers;
        job->peers = TAKE_PTR(p);
        job->peers_count++;
        c->peers_count++;
        news(job, &job->peers_news);
        return 0;
}

static void pause_accept(struct hr_channel *c, uint64_t until_usec)
{
        c->accept_usec = until_usec;
        (void)sd_event_source_set_enabled(c->listen, SD_EVENT_OFF); /* can't fail for what is there */
        wake_at(c, until_usec);
}

static int on_listen(sd_event_source *s HR_UNUSED, int fd, uint32_t revents HR_UNUSED, void *userdata)
{
        struct hr_channel *c = userdata;
        uint64_t now = now_usec(c, CLOCK_MONOTONIC);
        int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        c->accept_debt_usec = MAX(c->accept_debt_usec, now) + ACCEPT_COST_USEC;
        if (connection >= 0) {
                if (admit(c, connection) < 0)
                        c->refused_count++;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                pause_accept(c, now + ACCEPT_PAUSE_USEC); /* it would wake us again at once */
        }                                                 /* anything else concerns that connection alone */
        if (c->accept_usec == 0 && c->accept_debt_usec > now + ACCEPT_BURST_USEC)
                pause_accept(c, c->accept_debt_usec - ACCEPT_BURST_USEC / 2);
        sweep(c);
        return 0;
}

static int on_timer(sd_event_source *s HR_UNUSED, uint64_t usec HR_UNUSED, void *userdata)
{
        struct hr_channel *c = userdata;
        uint64_t now = now_usec(c, CLOCK_MONOTONIC);

        c->wake_usec = HR_USEC_NEVER;
        if (c->accept_usec > 0 && now >= c->accept_usec) {
                c->accept_usec = 0;
                if (sd_event_source_set_enabled(c->listen, SD_EVENT_ON) < 0)
                        pause_accept(c, now + ACCEPT_PAUSE_USEC); /* no memory in the kernel's epoll */
        } else if (c->accept_usec > 0) {
                wake_at(c, c->accept_usec);
        }
        for (struct job *job = c->jobs; job; job = job->next) {
                for (struct peer *p = job->peers; p; p = p->next) {
                        if (!p->paused)
                                continue;
                        p->paused = p->debt_usec > now + PEER_BURST_USEC / 2;
                        if (p->paused)
                                wake_at(c, p->debt_usec - PEER_BURST_USEC / 2);
                        else if (sd_event_source_set_enabled(p->io, SD_EVENT_ON) < 0)
                                doom(p, "could not be listened to");
                }
                if (now >= job->news_usec)
                        tell_news(job, now);
                else
                        wake_at(c, job->news_usec);
                for (unsigned i = 0; i < HR_TALK_REQUEST_COUNT; i++) {
                        if (job->requests[i].answer && now >= job->requests[i].deadline_usec)
                                tell_answer(job, i);
                        else if (job->requests[i].answer)
                                wake_at(c, job->requests[i].deadline_usec);
                }
        }
        c->untidy = true; /* a job whose last news these were */
        sweep(c);
        return 0;
}

/* ---- the channel ---- */

void hr_channel_job_gone(struct hr_channel *c, const char *id)
{
        struct job *job = find_job(c, id);

        if (!job)
                return;
        for (struct peer *p = job->peers; p; p = p->next) /* how it ended may be the last that it said */
                if (!p->doomed)
                        take_input(p);
        for (unsigned i = 0; i < HR_TALK_REQUEST_COUNT; i++) {
                free(job->requests[i].answer);
                job->requests[i] = (struct request){0};
        }
        for (struct peer *p = job->peers; p; p = p->next) {
                p->waits = 0;
                doom(p, hung_up);
        }
        job->gone = c->untidy = true;
        sweep(c);
}

uint64_t hr_channel_take_refused(struct hr_channel *c)
{
        return TAKE_VALUE(c->refused_count);
}

static void channel_freep(struct hr_channel **c)
{
        hr_channel_free(*c);
}

int hr_channel_new(const struct hr_channel_options *options, struct hr_channel **ret)
{
        HR_CLEANUP(channel_freep) struct hr_channel *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->options = *options;
        c->options.path = NULL; /* the socket has its own copy */
        c->options.event = sd_event_ref(options->event);
        c->wake_usec = HR_USEC_NEVER;
        c->socket = HR_LISTEN_NONE;
        if ((r = hr_listen_open(options->path, options->user ? 0600 : 0666, &c->socket)) < 0 ||
                (r = listen(c->socket.fd, ACCEPT_BACKLOG) < 0 ? -errno : 0) < 0 ||
                (r = sd_event_add_io(options->event, &c->listen, c->socket.fd, EPOLLIN, on_listen, c)) < 0 ||
                (r = sd_event_source_set_description(c->listen, "job-listen")) < 0 ||
                (r = sd_event_add_time(
                         options->event, &c->timer, CLOCK_MONOTONIC, 0, HR_USEC_PER_MSEC, on_timer, c)) < 0 ||
                (r = sd_event_source_set_enabled(c->timer, SD_EVENT_OFF)) < 0 ||
                (r = sd_event_source_set_description(c->timer, "job-due")) < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

struct hr_channel *hr_channel_free(struct hr_channel *c)
{
        if (!c)
                return NULL;
        while (c->jobs)
                hr_channel_job_gone(c, c->jobs->id);
        hr_listen_close(&c->socket);
        sd_event_source_disable_unref(c->listen);
        sd_event_source_disable_unref(c->timer);
        sd_event_unref(c->options.event);
        free(c);
        return NULL;
}
