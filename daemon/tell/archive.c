/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/archive.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "fd.h"
#include "thread.h"
#include "tell/message.h"
#include "tell/query.h"
#include "think/advise.h"

/*
 * Two lists under one lock: what is asked, and what has been found. A call is touched by the bus thread
 * alone; the other sees only words and rows.
 */

#define STACK_BYTES (512 * 1024) /* SQLite wants so much, and a curve */
#define STOP_SECONDS 2
#define ASKED_MAX 32 /* calls that wait; chosen, not tuned */
#define ASKED_PER_USER 8

struct asked {
        struct asked *next;
        struct hr_archive_request request; /* its words are owned, below */
        char *words[5];
        sd_bus_message *call; /* owned */

        int result; /* 0 or -errno */
        struct hr_query_row *rows;
        size_t row_count;
        uint64_t next_usec; /* where the next page of history begins; 0: there is none */
        struct hr_query_story story;
        struct hr_advice advice;
        bool by_name;
};

struct hr_archive {
        struct hr_peers *peers;
        struct hr_query *reader; /* of the thread */
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t wake;
        bool started, stop;
        struct asked *first, **last; /* asked, in order */
        struct asked *found;
        struct asked *current; /* in work */
        int done_fd;
        sd_event_source *source;
};

static struct asked *asked_free(struct asked *q)
{
        for (size_t i = 0; i < ELEMENTSOF(q->words); i++)
                free(q->words[i]);
        for (size_t i = 0; i < q->row_count; i++)
                hr_query_row_done(&q->rows[i]);
        free(q->rows);
        hr_query_story_done(&q->story);
        sd_bus_message_unref(q->call);
        free(q);
        return NULL;
}

/* ---- the thread ---- */

static int find_advice(struct hr_query *reader, struct asked *q)
{
        const struct hr_archive_request *o = &q->request;
        static struct hr_query_peak peaks[HR_QUERY_PEAKS_MAX]; /* one thread */
        static struct hr_advise_run runs[HR_QUERY_PEAKS_MAX];
        size_t count = 0;
        int r = o->command[0] ? hr_query_peaks(reader, o->uid, o->admin, o->command, false, peaks, &count)
                              : 0;

        if (r == 0 && count == 0 && o->name[0]) {
                q->by_name = true;
                r = hr_query_peaks(reader, o->uid, o->admin, o->name, true, peaks, &count);
        }
        if (r < 0)
                return r;
        for (size_t i = 0; i < count; i++)
                runs[i] = (struct hr_advise_run){peaks[i].peak_bytes, peaks[i].is_lower_bound};
        return count == 0 ? -ENOENT : hr_advise(runs, count, &q->advice);
}

static void find(struct hr_query *reader, struct asked *q)
{
        const struct hr_archive_request *o = &q->request;
        struct hr_query_filter filter = {.uid = o->uid,
                .admin = o->admin,
                .since_usec = o->since_usec,
                .until_usec = o->until_usec,
                .user = o->user,
                .name = o->name,
                .outcome = o->outcome,
                .count_max = o->count_max};

        switch (o->question) {
        case HR_ARCHIVE_STORY:
                q->result = hr_query_story(reader, o->uid, o->admin, o->word, &q->story);
                break;
        case HR_ARCHIVE_HISTORY:
                q->result = hr_query_history(reader, &filter, &q->rows, &q->row_count, &q->next_usec);
                break;
        case HR_ARCHIVE_ADVICE:
                q->result = find_advice(reader, q);
                break;
        }
}

static void *run(void *userdata)
{
        struct hr_archive *a = userdata;
        uint64_t one = 1;

        pthread_setname_np(pthread_self(), "headroom-archiv");
        pthread_mutex_lock(&a->lock);
        for (;;) {
                while (!a->stop && !a->first)
                        pthread_cond_wait(&a->wake, &a->lock);
                if (a->stop)
                        break;
                struct asked *q = a->first;
                a->first = q->next;
                if (!a->first)
                        a->last = &a->first;
                a->current = q;
                pthread_mutex_unlock(&a->lock);
                find(a->reader, q);
                pthread_mutex_lock(&a->lock);
                a->current = NULL;
                q->next = a->found;
                a->found = q;
                (void)!write(a->done_fd, &one, sizeof(one)); /* EAGAIN: it is readable already */
        }
        pthread_mutex_unlock(&a->lock);
        return NULL;
}

/* ---- the bus thread ---- */

static int reply(struct asked *q)
{
        const char *text = NULL;

        if (q->result == -ENODATA)
                text = "No record of jobs is kept: the daemon's journal says why.";
        else if (q->result == -EUCLEAN)
                text = "The record of jobs is damaged; it is begun anew when the next job comes.";
        else if (q->result == -EIO)
                text = "The record of jobs can't be read just now: the daemon's journal may say why.";
        else if (q->result == -ENOENT && q->request.question == HR_ARCHIVE_ADVICE)
                text = "No run of it is on record.";
        if (q->result < 0)
                return hr_message_reply_error(q->call, q->result == -ENODATA ? -EOPNOTSUPP : q->result, text);
        if (q->request.question == HR_ARCHIVE_STORY)
                return hr_message_reply_story(q->call, &q->story);
        if (q->request.question == HR_ARCHIVE_HISTORY)
                return hr_message_reply_history(q->call, q->rows, q->row_count, q->next_usec);
        return hr_message_reply_advice(q->call, &q->advice, q->by_name);
}

static int on_done(sd_event_source *source HR_UNUSED, int fd, uint32_t revents HR_UNUSED, void *userdata)
{
        struct hr_archive *a = userdata;
        struct asked *q;
        uint64_t count;

        (void)!read(fd, &count, sizeof(count));
        pthread_mutex_lock(&a->lock);
        q = TAKE_PTR(a->found);
        pthread_mutex_unlock(&a->lock);
        while (q) {
                struct asked *next = q->next;

                hr_peers_replied(a->peers, sd_bus_message_get_bus(q->call), reply(q));
                asked_free(q);
                q = next;
        }
        return 0;
}

static bool is_of_same_peer(sd_bus_message *a, sd_bus_message *b)
{
        const char *one = sd_bus_message_get_sender(a), *other = sd_bus_message_get_sender(b);

        return sd_bus_message_get_bus(a) == sd_bus_message_get_bus(b) &&
               strcmp(one ? one : "", other ? other : "") == 0;
}

/* One of a peer: answers are large, and wait until it reads them. */
static bool has_place(struct hr_archive *a, uid_t uid, sd_bus_message *call)
{
        size_t all = 0, of_user = 0, of_peer = 0;
        const struct asked *lists[] = {a->first, a->found, a->current};

        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                for (const struct asked *q = lists[i]; q; q = i < 2 ? q->next : NULL) {
                        all++;
                        of_user += q->request.uid == uid;
                        of_peer += is_of_same_peer(q->call, call);
                }
        return all < ASKED_MAX && of_user < ASKED_PER_USER && of_peer == 0;
}

int hr_archive_ask(struct hr_archive *a, const struct hr_archive_request *request, sd_bus_message *call)
{
        const char *const words[] = {
                request->word, request->name, request->command, request->user, request->outcome};
        struct asked *q = calloc(1, sizeof(*q));
        int r = 0;

        if (!q)
                return -ENOMEM;
        q->request = *request;
        for (size_t i = 0; i < ELEMENTSOF(words); i++) {
                q->words[i] = strdup(words[i] ? words[i] : "");
                if (!q->words[i])
                        r = -ENOMEM;
        }
        q->request.word = q->words[0];
        q->request.name = q->words[1];
        q->request.command = q->words[2];
        q->request.user = q->words[3];
        q->request.outcome = q->words[4];
        pthread_mutex_lock(&a->lock);
        if (r == 0 && !has_place(a, request->uid, call))
                r = -EBUSY;
        if (r == 0) {
                q->call = sd_bus_message_ref(call);
                *a->last = q;
                a->last = &q->next;
                pthread_cond_signal(&a->wake);
        }
        pthread_mutex_unlock(&a->lock);
        if (r < 0)
                asked_free(q);
        return r;
}

/* ---- life ---- */

static void archive_freep(struct hr_archive **a)
{
        hr_archive_free(*a);
}

int hr_archive_new(struct hr_peers *peers, const char *directory, struct hr_archive **ret)
{
        HR_CLEANUP(archive_freep) struct hr_archive *a = calloc(1, sizeof(*a));
        int r;

        if (!a)
                return -ENOMEM;
        a->peers = peers;
        a->last = &a->first;
        pthread_mutex_init(&a->lock, NULL);
        pthread_cond_init(&a->wake, NULL);
        a->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (a->done_fd < 0)
                return -errno;
        if ((r = hr_query_new(directory, &a->reader)) < 0 ||
                (r = sd_event_add_io(peers->event, &a->source, a->done_fd, EPOLLIN, on_done, a)) < 0 ||
                (r = sd_event_source_set_description(a->source, "archive")) < 0 ||
                (r = hr_thread_start(STACK_BYTES, run, a, &a->thread)) < 0)
                return r;
        a->started = true;
        *ret = TAKE_PTR(a);
        return 0;
}

struct hr_archive *hr_archive_free(struct hr_archive *a)
{
        if (!a)
                return NULL;
        if (a->started) {
                pthread_mutex_lock(&a->lock);
                a->stop = true;
                pthread_cond_signal(&a->wake);
                pthread_mutex_unlock(&a->lock);
                struct timespec until;
                clock_gettime(CLOCK_REALTIME, &until);
                until.tv_sec += STOP_SECONDS;
                if (pthread_timedjoin_np(a->thread, NULL, &until) != 0)
                        return NULL; /* it waits for a disk that does not answer, and uses all this */
        }
        for (struct asked *q = a->first, *next; q; q = next) {
                next = q->next;
                asked_free(q);
        }
        for (struct asked *q = a->found, *next; q; q = next) {
                next = q->next;
                asked_free(q);
        }
        sd_event_source_disable_unref(a->source);
        hr_query_free(a->reader);
        hr_close(a->done_fd);
        pthread_cond_destroy(&a->wake);
        pthread_mutex_destroy(&a->lock);
        free(a);
        return NULL;
}
