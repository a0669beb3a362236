/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ask.h"

/*
 * The daemon's sentence says what is wrong; what to type next is added here, since the client knows its
 * verbs. A job that is not there may have ended, which the kept events know, or be misspelled.
 */

#include <string.h>

#include "exit.h"
#include "output.h"
#include "think/words.h"

int hr_ask_connect(const struct hr_options *o, struct hr_call **ret)
{
        _free_ char *tried = NULL;

        if (hr_call_connect(o->value[HR_OPTION_SOCKET], HR_CALL_WAIT_USEC, ret, &tried) == 0)
                return 0;
        return hr_call_say_unreachable(tried, "");
}

int hr_ask_failed(const struct hr_call *call, int status)
{
        hr_output_say(HR_STYLE_PLAIN, "%s", hr_call_message(call));
        return status;
}

/* The last job in the kept events that was called so; NULL: none. */
static const char *find_ended(const struct hr_call_list *events, const char *word)
{
        for (size_t i = events->count; i-- > 0;)
                if (strcmp(events->events[i].job, word) == 0 || strcmp(events->events[i].name, word) == 0)
                        return events->events[i].job;
        return NULL;
}

static const struct hr_call_job *find_near(const struct hr_call_list *jobs, const char *word)
{
        const struct hr_call_job *nearest = NULL;
        unsigned best = HR_WORDS_FAR;

        for (size_t i = 0; i < jobs->count; i++)
                if (hr_words_nearer(word, jobs->jobs[i].name, &best) ||
                        hr_words_nearer(word, jobs->jobs[i].unit, &best))
                        nearest = &jobs->jobs[i];
        return nearest;
}

int hr_ask_failed_on(struct hr_call *call, int status, const char *job)
{
        _list_ struct hr_call_list jobs = {0}, events = {0};
        _free_ char *message = NULL;
        const struct hr_call_job *near;
        const char *ended;

        if (status != HR_EXIT_NO_JOB)
                return hr_ask_failed(call, status);
        message = strdup(hr_call_message(call)); /* the next calls bring their own */
        if (!message || hr_call_status(call, "", &jobs) != 0 || hr_call_events(call, &events) != 0) {
                hr_output_say(HR_STYLE_PLAIN, "%s", message ? message : "there is no such job");
                return status;
        }
        ended = find_ended(&events, job);
        near = find_near(&jobs, job);
        if (ended)
                hr_output_say(HR_STYLE_PLAIN, "%s\nit has ended; what happened to it: headroom why %s",
                        message, ended);
        else if (near)
                hr_output_say(HR_STYLE_PLAIN, "%s\ndid you mean %s (%s)? headroom status shows the jobs",
                        message, *near->name ? near->name : near->unit, near->job);
        else
                hr_output_say(HR_STYLE_PLAIN, "%s\n%s", message,
                        jobs.count > 0
                                ? "headroom status shows the jobs"
                                : "no job of yours is watched; start one with: headroom run --limit 8G "
                                  "-- COMMAND");
        return status;
}

/* ---- what is shown ---- */

void *hr_ask_rows(size_t count, size_t row_size)
{
        void *rows = calloc(MAX(count, (size_t)1), row_size);

        if (!rows)
                hr_output_say(HR_STYLE_PLAIN, "out of memory");
        return rows;
}

struct deed {
        const char *job, *verb, *message;
};
#define DEED(member) offsetof(struct deed, member)

static const struct hr_field deed_fields[] = {
        {"job", NULL, NULL, HR_TYPE_TEXT, DEED(job), 0},
        {"verb", NULL, NULL, HR_TYPE_TEXT, DEED(verb), 0},
        {"message", NULL, NULL, HR_TYPE_TEXT, DEED(message), 0},
};
static const struct hr_table deed_table = {deed_fields, ELEMENTSOF(deed_fields), sizeof(struct deed), false};

int hr_ask_show_deed(const struct hr_options *o, const char *verb, const char *job, const char *message)
{
        struct deed deed = {job, verb, message};

        if (hr_ask_json(o))
                hr_output_rows(&deed_table, &deed, 1, HR_FORMAT_JSON);
        else if (*message)
                hr_output_text(message);
        return HR_EXIT_DONE;
}
