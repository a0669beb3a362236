/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "events.h"

/*
 * The events that the daemon keeps, and those that come. With --follow they go on over a restart of the
 * daemon: it is connected to anew each second, and asked for those that are newer than the last one shown.
 *
 * A JOB is turned into its id by the daemon, as everywhere; one that has ended is known by the events alone,
 * by its id or its name. Events are sorted out here. A job that is followed is followed to its end.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-event.h>

#include "ask.h"
#include "exit.h"
#include "output.h"

/* ---- rows ---- */

struct event_row {
        struct hr_call_event event;
        char change[48]; /* "notice→trim" */
};
#define EVENT(member) offsetof(struct event_row, event.member)

static const struct hr_field event_fields[] = {
        {"time", "TIME", NULL, HR_TYPE_TIME, EVENT(time_usec), 19},
        {"job", "JOB", NULL, HR_TYPE_TEXT, EVENT(job), 4},
        {"name", "NAME", NULL, HR_TYPE_TEXT, EVENT(name), 10},
        {"uid", NULL, NULL, HR_TYPE_NUMBER, EVENT(uid), 0},
        {NULL, "STAGE", NULL, HR_TYPE_CHARS, offsetof(struct event_row, change), 15},
        {"stage", NULL, NULL, HR_TYPE_TEXT, EVENT(stage), 0},
        {"previous_stage", NULL, NULL, HR_TYPE_TEXT, EVENT(previous_stage), 0},
        {"used_bytes", NULL, NULL, HR_TYPE_BYTES, EVENT(used_bytes), 0},
        {"limit_bytes", NULL, NULL, HR_TYPE_BYTES, EVENT(limit_bytes), 0},
        {"action", "ACTION", NULL, HR_TYPE_TEXT, EVENT(action), 10},
        {"outcome", "OUTCOME", NULL, HR_TYPE_TEXT, EVENT(outcome), 8},
        {"reason", "REASON", NULL, HR_TYPE_TEXT, EVENT(reason), HR_WIDE},
        {"hint", NULL, NULL, HR_TYPE_TEXT, EVENT(hint), 0},
        {"deadline", NULL, NULL, HR_TYPE_TIME, EVENT(deadline_usec), 0},
        {"exit_status", NULL, NULL, HR_TYPE_STATUS, EVENT(exit_status), 0},
        {"took_microseconds", NULL, NULL, HR_TYPE_STATUS, EVENT(took_usec), 0},
};
static const struct hr_table event_table = {
        event_fields, ELEMENTSOF(event_fields), sizeof(struct event_row), false};

static void make_row(struct event_row *row, const struct hr_call_event *event)
{
        row->event = *event;
        if (strcmp(event->stage, event->previous_stage) == 0)
                snprintf(row->change, sizeof(row->change), "%.20s", event->stage);
        else
                snprintf(
                        row->change, sizeof(row->change), "%.20s→%.20s", event->previous_stage, event->stage);
}

/* ---- of which job ---- */

struct filter {
        const char *word; /* as it was typed; NULL: of all */
        char id[32];      /* of the job that it names; "": of one that has ended, by its id or name */
};

static bool fits(const struct filter *filter, const struct hr_call_event *event)
{
        if (!filter->word)
                return true;
        if (*filter->id)
                return strcmp(event->job, filter->id) == 0;
        return strcmp(event->job, filter->word) == 0 || strcmp(event->name, filter->word) == 0;
}

/* Finds the job that is meant: 0 with its id, or without where it has ended; else an exit status, said. */
static int resolve(struct hr_call *call, const struct hr_options *o, struct filter *ret)
{
        _list_ struct hr_call_list jobs = {0}, events = {0};
        struct filter filter = {.word = o->argument_count > 0 ? o->arguments[0] : NULL};
        int r;

        *ret = filter;
        if (!filter.word)
                return 0;
        r = hr_call_status(call, filter.word, &jobs);
        if (r == 0 && jobs.count == 1) {
                snprintf(ret->id, sizeof(ret->id), "%s", jobs.jobs->job);
                return 0;
        }
        if (r != HR_EXIT_NO_JOB)
                return hr_ask_failed(call, r);
        r = hr_call_events(call, &events);
        for (size_t i = 0; r == 0 && i < events.count; i++)
                if (fits(&filter, &events.events[i]))
                        return 0;
        return r != 0 ? hr_ask_failed(call, r) : hr_ask_failed_on(call, HR_EXIT_NO_JOB, filter.word);
}

/* ---- those that are kept ---- */

static int show_kept(struct hr_call *call, const struct filter *filter, enum hr_format format)
{
        _list_ struct hr_call_list list = {0};
        _free_ struct event_row *rows = NULL;
        size_t count = 0;
        int r;

        r = hr_call_events(call, &list);
        if (r != 0)
                return hr_ask_failed(call, r);
        rows = hr_ask_rows(list.count, sizeof(*rows));
        if (!rows)
                return HR_EXIT_FAILED;
        for (size_t i = 0; i < list.count; i++)
                if (fits(filter, &list.events[i]))
                        make_row(&rows[count++], &list.events[i]);
        hr_output_rows(&event_table, rows, count, format);
        return HR_EXIT_DONE;
}

/* ---- those that come ---- */

#define KEPT_SHOWN 10 /* of those that happened before --follow began; of one job all. Chosen, not tuned */
#define RETRY_USEC HR_USEC_PER_SEC /* to a daemon that is gone */

struct follower {
        const struct hr_options *o;
        struct filter filter;
        enum hr_format format;
        sd_event *loop;
        struct hr_call *call; /* owned */
        sd_event_source *retry;
        bool lost;          /* said so */
        uint64_t last_usec; /* of the newest event that came */
};

static void follower_done(struct follower *f)
{
        hr_call_free(f->call);
        sd_event_source_unref(f->retry);
        sd_event_unref(f->loop);
}

/* Nothing more comes of this job: ids are never used again. */
static bool is_last(const struct hr_call_event *event)
{
        return strcmp(event->action, "end") == 0 || strcmp(event->action, "detach") == 0;
}

static void on_event(const struct hr_call_event *event, void *userdata)
{
        struct follower *f = userdata;
        struct event_row row;

        f->last_usec = MAX(f->last_usec, event->time_usec);
        if (!fits(&f->filter, event))
                return;
        make_row(&row, event);
        hr_output_rows(&event_table, &row, 1, f->format);
        if (fflush(stdout) != 0)
                sd_event_exit(f->loop, HR_EXIT_FAILED); /* nobody reads any more; hr_output_finish says why */
        else if (f->filter.word && is_last(event))
                sd_event_exit(f->loop, HR_EXIT_DONE);
}

static void retry_soon(struct follower *f)
{
        /* Neither can fail on a timer that exists. */
        sd_event_source_set_time_relative(f->retry, RETRY_USEC);
        sd_event_source_set_enabled(f->retry, SD_EVENT_ONESHOT);
}

static void on_lost(void *userdata)
{
        struct follower *f = userdata;

        hr_output_say(HR_STYLE_PLAIN, "the daemon is gone; waiting for it to come back (ctrl-C ends this)");
        f->lost = true;
        retry_soon(f);
}

static int follow(struct follower *f)
{
        bool back = f->lost;
        size_t kept_max = back || f->filter.word ? SIZE_MAX : KEPT_SHOWN;
        int r;

        r = hr_call_follow(f->call, f->loop, NULL, f->last_usec, kept_max, on_event, on_lost, f);
        if (r == 0 && back)
                hr_output_say(HR_STYLE_PLAIN, "the daemon is back");
        f->lost = r != 0 && back;
        return r;
}

static int on_retry(sd_event_source *source HR_UNUSED, uint64_t usec HR_UNUSED, void *userdata)
{
        struct follower *f = userdata;

        f->call = hr_call_free(f->call);
        if (hr_call_connect(f->o->value[HR_OPTION_SOCKET], RETRY_USEC, &f->call, NULL) != 0 || follow(f) != 0)
                retry_soon(f);
        return 0;
}

/* Takes the call. Until ctrl-C, the end of the job, or until nobody reads. */
static int follow_all(struct hr_call *call, const struct hr_options *o, const struct filter *filter)
{
        HR_CLEANUP(follower_done)
        struct follower f = {.o = o,
                .filter = *filter,
                .format = hr_ask_json(o) ? HR_FORMAT_JSON_LINES : HR_FORMAT_COLUMNS,
                .call = call};
        int r;

        r = sd_event_new(&f.loop);
        if (r >= 0)
                r = sd_event_add_time_relative(
                        f.loop, &f.retry, CLOCK_MONOTONIC, RETRY_USEC, 0, on_retry, &f);
        if (r >= 0)
                r = sd_event_source_set_enabled(f.retry, SD_EVENT_OFF);
        if (r < 0) {
                hr_output_say(HR_STYLE_PLAIN, "can't follow events: %s", strerror(-r));
                return HR_EXIT_FAILED;
        }
        r = follow(&f);
        if (r != 0)
                return hr_ask_failed(f.call, r);
        r = sd_event_loop(f.loop);
        if (r >= 0)
                return r;
        hr_output_say(HR_STYLE_PLAIN, "can't follow events any longer: %s", strerror(-r));
        return HR_EXIT_FAILED;
}

int hr_events_verb(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        bool follows = hr_options_has(o, HR_OPTION_FOLLOW);
        _call_ struct hr_call *call = NULL;
        struct filter filter;
        int r;

        r = hr_ask_connect(o, &call);
        if (r == 0)
                r = resolve(call, o, &filter);
        if (r != 0)
                return r;
        if (follows && (!filter.word || *filter.id))
                return follow_all(TAKE_PTR(call), o, &filter);
        return show_kept(call, &filter,
                !hr_ask_json(o) ? HR_FORMAT_COLUMNS
                : follows       ? HR_FORMAT_JSON_LINES
                                : HR_FORMAT_JSON);
}
