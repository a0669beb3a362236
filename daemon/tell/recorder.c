/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/recorder.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "tell/journal.h"
#include "tell/metrics.h"
#include "tell/record.h"
#include "tell/terminal.h"
#include "thread.h"

/*
 * A thread that takes events and writes them down. It may wait; when it does, its ring fills up, and what
 * found no place is counted and said.
 *
 * What was said lately is remembered by job, action, outcome and stage in a small table: the same again
 * within a minute is only counted, and the count goes out with the next one that is said, or by itself after
 * the minute. A full table forgets the oldest entry.
 */

#define STACK_BYTES (512 * 1024) /* SQLite wants more than the rest */
#define QUIET_USEC (60 * HR_USEC_PER_SEC)
#define SAID_MAX 128 /* chosen, not tuned */
#define STOP_SECONDS 2

struct said {
        uint64_t time_usec; /* CLOCK_MONOTONIC when it was last written; 0: free */
        uint64_t left_out_count;
        struct hr_event event; /* the last one that was left out, or the one written */
};

struct hr_recorder {
        struct hr_exchange *exchange;
        bool tell_terminals;
        char metrics_file[256];
        int metrics_error; /* of the last write, which was said; 0: it went well */
        struct hr_record_options record_options;
        struct hr_record *record; /* NULL: none is kept */
        pthread_t thread;
        bool started;
        int stop_fd;
        struct said said[SAID_MAX];
};

static bool same(const struct hr_event *a, const struct hr_event *b)
{
        return a->stage == b->stage && a->previous_stage == b->previous_stage &&
               strcmp(a->job, b->job) == 0 && strcmp(a->action, b->action) == 0 &&
               strcmp(a->outcome, b->outcome) == 0;
}

static void say_left_out(struct said *s)
{
        if (s->left_out_count > 0)
                hr_journal_line(LOG_NOTICE, "%s: %s%s%s: %llu more like this, the last: %s", s->event.job,
                        s->event.action, s->event.outcome[0] ? " " : "", s->event.outcome,
                        (unsigned long long)s->left_out_count, s->event.reason);
        s->left_out_count = 0;
}

static void record(struct hr_recorder *r, const struct hr_event *event, uint64_t now)
{
        struct said *place = &r->said[0];

        for (size_t i = 0; i < SAID_MAX; i++) {
                struct said *s = &r->said[i];

                if (s->time_usec != 0 && same(&s->event, event)) {
                        place = s;
                        break;
                }
                if (s->time_usec < place->time_usec)
                        place = s;
        }
        if (place->time_usec != 0 && same(&place->event, event) && now - place->time_usec < QUIET_USEC) {
                place->left_out_count++;
                place->event = *event;
                return;
        }
        say_left_out(place);
        *place = (struct said){.time_usec = now, .event = *event};
        hr_journal_event(event);
        if (r->tell_terminals && hr_terminal_wants(event))
                hr_terminal_tell(event);
}

/* Says what was left out and has not come again for a minute. Returns when to look next, or HR_USEC_NEVER. */
static uint64_t settle(struct hr_recorder *r, uint64_t now, bool all)
{
        uint64_t next = HR_USEC_NEVER;

        for (size_t i = 0; i < SAID_MAX; i++) {
                struct said *s = &r->said[i];

                if (s->left_out_count == 0)
                        continue;
                if (all || now - s->time_usec >= QUIET_USEC) {
                        say_left_out(s);
                        s->time_usec = now;
                } else {
                        next = MIN(next, s->time_usec + QUIET_USEC);
                }
        }
        return next;
}

static void store_page(struct hr_recorder *r)
{
        _free_ char *page = hr_exchange_take_page(r->exchange);

        if (!page || !r->metrics_file[0])
                return;
        int error = hr_metrics_store(r->metrics_file, page);
        if (error < 0 && error != r->metrics_error)
                hr_journal_line(LOG_WARNING,
                        "metrics can't be written to %s (%s): metrics_file in headroom.conf names it, its "
                        "directory must exist and be writable for headroomd",
                        r->metrics_file, strerrordesc_np(-error));
        else if (error == 0 && r->metrics_error < 0)
                hr_journal_line(LOG_INFO, "metrics are written to %s again", r->metrics_file);
        r->metrics_error = error;
}

static void say_of_record(int priority, const char *text, void *userdata HR_UNUSED)
{
        hr_journal_line(priority, "%s", text);
}

/* What came for the record before the next event. */
static void drain_record(struct hr_recorder *r)
{
        struct hr_birth *birth;
        struct hr_point point;
        struct hr_told told;

        while ((birth = hr_exchange_next_birth(r->exchange))) {
                if (r->record)
                        hr_record_birth(r->record, birth);
                hr_birth_free(birth);
        }
        while (hr_exchange_next_point(r->exchange, &point))
                if (r->record)
                        hr_record_point(r->record, &point);
        while (hr_exchange_next_told(r->exchange, &told))
                if (r->record)
                        hr_record_told(r->record, &told);
}

/* Returns after how long to drain again though nothing woke us, or HR_USEC_NEVER. */
static uint64_t drain(struct hr_recorder *r)
{
        uint64_t dropped_count;
        struct hr_event event;
        struct hr_line line;

        while (hr_exchange_next_line(r->exchange, &line))
                hr_journal_line(line.priority, "%s", line.text);
        while (drain_record(r), hr_exchange_next_record(r->exchange, &event)) {
                drain_record(r); /* its birth was there before it */
                if (r->record)
                        hr_record_event(r->record, &event);
                record(r, &event, hr_clock_usec());
        }
        dropped_count = hr_exchange_take_dropped(r->exchange, true);
        if (dropped_count > 0)
                hr_journal_line(LOG_WARNING,
                        "%llu events were not recorded: they came faster than they could be written.",
                        (unsigned long long)dropped_count);
        store_page(r);
        return r->record ? hr_record_commit(r->record, hr_clock_realtime_usec()) : HR_USEC_NEVER;
}

static void *run(void *userdata)
{
        struct hr_recorder *r = userdata;
        struct pollfd fds[] = {
                {.fd = hr_exchange_record_fd(r->exchange), .events = POLLIN},
                {.fd = r->stop_fd, .events = POLLIN},
        };

        uint64_t pause = HR_USEC_NEVER;

        pthread_setname_np(pthread_self(), "headroom-record");
        if (r->record_options.directory && hr_record_new(&r->record_options, &r->record) < 0)
                hr_journal_line(LOG_ERR, "no record of jobs is kept: out of memory");
        while (!(fds[1].revents & POLLIN)) {
                uint64_t now = hr_clock_usec(), next = settle(r, now, false);
                uint64_t wait = MIN(pause, next == HR_USEC_NEVER ? HR_USEC_NEVER : hr_sub(next, now));
                int timeout_ms = wait == HR_USEC_NEVER ? -1 : (int)(wait / HR_USEC_PER_MSEC + 1);

                if (poll(fds, ELEMENTSOF(fds), timeout_ms) < 0 && errno != EINTR)
                        break;
                pause = drain(r);
        }
        drain(r);
        settle(r, hr_clock_usec(), true);
        if (r->metrics_file[0])
                (void)unlink(r->metrics_file); /* figures of a daemon that is gone would be read for ever */
        r->record = hr_record_free(r->record);
        return NULL;
}

static void recorder_stopp(struct hr_recorder **r)
{
        hr_recorder_stop(*r);
}

int hr_recorder_start(
        struct hr_exchange *x, const struct hr_recorder_options *options, struct hr_recorder **ret)
{
        HR_CLEANUP(recorder_stopp) struct hr_recorder *r = calloc(1, sizeof(*r));
        int error;

        if (!r)
                return -ENOMEM;
        r->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (r->stop_fd < 0)
                return -errno;
        r->exchange = x;
        r->tell_terminals = options->tell_terminals;
        snprintf(r->metrics_file, sizeof(r->metrics_file), "%s", options->metrics_file);
        r->record_options = (struct hr_record_options){.directory = options->directory,
                .proc_path = options->proc_path,
                .age_usec = options->record_age_usec,
                .size_bytes = options->record_size_bytes,
                .say = say_of_record};
        error = hr_thread_start(STACK_BYTES, run, r, &r->thread);
        if (error < 0)
                return error;
        r->started = true;
        *ret = TAKE_PTR(r);
        return 0;
}

struct hr_recorder *hr_recorder_stop(struct hr_recorder *r)
{
        uint64_t one = 1;

        if (!r)
                return NULL;
        if (r->started) {
                struct timespec until;

                if (write(r->stop_fd, &one, sizeof(one)) != sizeof(one))
                        abort(); /* an eventfd of our own that has never been written */
                clock_gettime(CLOCK_REALTIME, &until);
                until.tv_sec += STOP_SECONDS;
                if (pthread_timedjoin_np(r->thread, NULL, &until) != 0) {
                        pthread_cancel(
                                r->thread); /* it waits for a full journal: that is where it is cancelled */
                        until.tv_sec += STOP_SECONDS;
                        if (pthread_timedjoin_np(r->thread, NULL, &until) != 0)
                                return r; /* it waits for a disk, which nothing ends */
                }
        }
        hr_close(r->stop_fd);
        free(r);
        return NULL;
}
