/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "jobs.h"

/*
 * What a person is shown of a job is worked out here from what the daemon says of it, row by row: a job that
 * is held stands still, so that it has no pace and no time left, but a time since when and one until when.
 * Since when is asked of the events that are kept; where they no longer reach back so far it is left out.
 * JSON has the daemon's numbers as they are.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "clock.h"
#include "exit.h"
#include "output.h"
#include "run.h"
#include "saved.h"
#include "think/sample.h"
#include "think/units.h"

/* ---- rows ---- */

#define MOMENT_SIZE (HR_OUTPUT_TIME_SIZE + HR_TEXT_SIZE_MAX + 16)

struct job_row { /* texts: "" for nothing */
        struct hr_call_job job;
        char left[HR_TEXT_SIZE_MAX], pace[96], limit[192], own_limit[HR_TEXT_SIZE_MAX];
        char since[MOMENT_SIZE], held_since[MOMENT_SIZE], held_until[MOMENT_SIZE], next[200];
        char reason[512]; /* of the table: what is held says since when */
};
#define JOB(member) offsetof(struct job_row, job.member)
#define ROW(member) offsetof(struct job_row, member)

static const struct hr_field job_fields[] = {
        {"job", "JOB", NULL, HR_TYPE_TEXT, JOB(job), 0},
        {"name", "NAME", NULL, HR_TYPE_TEXT, JOB(name), 0},
        {"user", "USER", NULL, HR_TYPE_TEXT, JOB(user), 0},
        {"uid", NULL, NULL, HR_TYPE_NUMBER, JOB(uid), 0},
        {"kind", NULL, NULL, HR_TYPE_TEXT, JOB(kind), 0},
        {"cgroup", NULL, NULL, HR_TYPE_TEXT, JOB(cgroup), 0},
        {"unit", NULL, NULL, HR_TYPE_TEXT, JOB(unit), 0},
        {"leader_pid", NULL, NULL, HR_TYPE_PID, JOB(leader_pid), 0},
        {"stage", "STAGE", NULL, HR_TYPE_STAGE, JOB(stage), 0},
        {"frozen", NULL, NULL, HR_TYPE_FLAG, JOB(frozen), 0},
        {"used_bytes", "USED", NULL, HR_TYPE_BYTES, JOB(used_bytes), 0},
        {"cache_bytes", NULL, NULL, HR_TYPE_BYTES, JOB(cache_bytes), 0},
        {"limit_bytes", "LIMIT", NULL, HR_TYPE_BYTES, JOB(limit_bytes), 0},
        {NULL, "%", NULL, HR_TYPE_LEVEL, JOB(ratio_permyriad), 0},
        {"limit_source", NULL, NULL, HR_TYPE_TEXT, JOB(limit_source), 0},
        {"own_limit_bytes", NULL, NULL, HR_TYPE_BYTES, JOB(own_limit_bytes), 0},
        {"headroom_bytes", NULL, NULL, HR_TYPE_BYTES, JOB(headroom_bytes), 0},
        {"growth_bytes_per_second", NULL, NULL, HR_TYPE_RATE, JOB(growth_bytes_per_second), 0},
        {"seconds_to_limit", NULL, NULL, HR_TYPE_SECONDS, JOB(left_min_usec), 0},
        {NULL, "LEFT", NULL, HR_TYPE_CHARS, ROW(left), 0},
        {"peak_bytes", NULL, NULL, HR_TYPE_BYTES, JOB(peak_bytes), 0},
        {"policy", "POLICY", NULL, HR_TYPE_TEXT, JOB(policy), 0},
        {"reason", NULL, NULL, HR_TYPE_TEXT, JOB(reason), 0},
        {NULL, "REASON", NULL, HR_TYPE_CHARS, ROW(reason), HR_WIDE},
};
static const struct hr_table job_table = {job_fields, ELEMENTSOF(job_fields), sizeof(struct job_row), true};

/* One job, in the order in which a person asks: which, how is it, how full, by what, where, and what now. */
static const struct hr_field detail_fields[] = {
        {NULL, NULL, "job", HR_TYPE_TEXT, JOB(job), 0},
        {NULL, NULL, "name", HR_TYPE_TEXT, JOB(name), 0},
        {NULL, NULL, "user", HR_TYPE_TEXT, JOB(user), 0},
        {NULL, NULL, "stage", HR_TYPE_STAGE, JOB(stage), 0},
        {NULL, NULL, "since", HR_TYPE_CHARS, ROW(since), 0},
        {NULL, NULL, "held since", HR_TYPE_CHARS, ROW(held_since), 0},
        {NULL, NULL, "held until", HR_TYPE_CHARS, ROW(held_until), 0},
        {NULL, NULL, "reason", HR_TYPE_TEXT, JOB(reason), 0},
        {NULL, NULL, "used", HR_TYPE_BYTES, JOB(used_bytes), 0},
        {NULL, NULL, "limit", HR_TYPE_CHARS, ROW(limit), 0},
        {NULL, NULL, "headroom", HR_TYPE_BYTES, JOB(headroom_bytes), 0},
        {NULL, NULL, "own limit", HR_TYPE_CHARS, ROW(own_limit), 0},
        {NULL, NULL, "pace", HR_TYPE_CHARS, ROW(pace), 0},
        {NULL, NULL, "peak", HR_TYPE_BYTES, JOB(peak_bytes), 0},
        {NULL, NULL, "file cache", HR_TYPE_BYTES, JOB(cache_bytes), 0},
        {NULL, NULL, "policy", HR_TYPE_TEXT, JOB(policy), 0},
        {NULL, NULL, "locked", HR_TYPE_FLAG, JOB(locked), 0},
        {NULL, NULL, "kind", HR_TYPE_TEXT, JOB(kind), 0},
        {NULL, NULL, "cgroup", HR_TYPE_TEXT, JOB(cgroup), 0},
        {NULL, NULL, "unit", HR_TYPE_TEXT, JOB(unit), 0},
        {NULL, NULL, "leader", HR_TYPE_PID, JOB(leader_pid), 0},
        {NULL, NULL, "type next", HR_TYPE_CHARS, ROW(next), 0},
};
static const struct hr_table detail_table = {
        detail_fields, ELEMENTSOF(detail_fields), sizeof(struct job_row), false};

static const struct hr_field limit_fields[] = {
        {"job", "JOB", NULL, HR_TYPE_TEXT, JOB(job), 0},
        {"name", "NAME", NULL, HR_TYPE_TEXT, JOB(name), 0},
        {"own_limit_bytes", "OWN LIMIT", NULL, HR_TYPE_BYTES, JOB(own_limit_bytes), 0},
        {"limit_bytes", "LIMIT", NULL, HR_TYPE_BYTES, JOB(limit_bytes), 0},
        {"used_bytes", "USED", NULL, HR_TYPE_BYTES, JOB(used_bytes), 0},
        {NULL, "%", NULL, HR_TYPE_LEVEL, JOB(ratio_permyriad), 0},
        {"limit_source", "SET BY", NULL, HR_TYPE_TEXT, JOB(limit_source), HR_WIDE},
};
/* Of struct job_row, whose first member a struct hr_call_job is. */
static const struct hr_table limit_table = {
        limit_fields, ELEMENTSOF(limit_fields), sizeof(struct hr_call_job), true};

/* "2026-11-22 10:55:45 (3 min ago)", or of a deadline "... at most (in 3 min)" */
static void format_moment(char *buf, uint64_t usec, uint64_t now_usec)
{
        char time[HR_OUTPUT_TIME_SIZE], away[HR_TEXT_SIZE_MAX];
        uint64_t seconds = (MAX(usec, now_usec) - MIN(usec, now_usec)) / HR_USEC_PER_SEC;

        hr_units_format_time(away, seconds * HR_USEC_PER_SEC);
        snprintf(buf, MOMENT_SIZE, usec > now_usec ? "%s at most (in %s)" : "%s (%s ago)",
                hr_output_time(time, usec), away);
}

/* When it came into its stage, by the newest of its events that tells of another one. 0: they do not say. */
static uint64_t find_since(const struct hr_call_list *events, const struct hr_call_job *job)
{
        for (size_t i = events->count; i-- > 0;) {
                const struct hr_call_event *e = &events->events[i];

                if (strcmp(e->job, job->job) != 0)
                        continue;
                if (strcmp(e->stage, e->previous_stage) != 0 || strcmp(e->action, "watch") == 0)
                        return strcmp(e->stage, job->stage) == 0 ? e->time_usec : 0;
        }
        return 0;
}

static void make_left(struct job_row *row)
{
        const struct hr_call_job *job = &row->job;
        char rate[HR_TEXT_SIZE_MAX];

        if (job->frozen) {
                snprintf(row->left, sizeof(row->left), "held");
                snprintf(row->pace, sizeof(row->pace), "none, it is held");
                return;
        }
        if (job->left_min_usec != HR_USEC_NEVER)
                hr_units_format_estimate(row->left, job->left_min_usec, job->left_max_usec);
        if (job->growth_bytes_per_second == 0) /* what is shared may be filled by others */
                snprintf(row->pace, sizeof(row->pace), "not growing%s%s%s", *row->left ? "; others do, " : "",
                        row->left, *row->left ? " left" : "");
        else
                snprintf(row->pace, sizeof(row->pace), "growing %s/s%s%s%s",
                        hr_units_format_bytes(rate, job->growth_bytes_per_second), *row->left ? ", " : "",
                        row->left, *row->left ? " left" : "");
}

static void make_limit(struct job_row *row)
{
        const struct hr_call_job *job = &row->job;
        char limit[HR_TEXT_SIZE_MAX], level[HR_TEXT_SIZE_MAX];
        bool own = strcmp(job->limit_source, "own") == 0, host = strcmp(job->limit_source, "host") == 0;

        if (!own && job->own_limit_bytes == HR_BYTES_NONE)
                snprintf(row->own_limit, sizeof(row->own_limit), "none");
        else if (!own)
                hr_units_format_bytes(row->own_limit, job->own_limit_bytes);
        if (job->limit_bytes == HR_BYTES_NONE) {
                snprintf(row->limit, sizeof(row->limit), "none");
                return;
        }
        snprintf(row->limit, sizeof(row->limit), "%s, %s full, %s%s",
                hr_units_format_bytes(limit, job->limit_bytes),
                hr_units_format_level(level, job->ratio_permyriad),
                own    ? "its own"
                : host ? "the memory of this host"
                       : "of the group ",
                own || host ? "" : job->limit_source);
}

static void make_times(struct job_row *row, const struct hr_call_list *events)
{
        uint64_t now_usec = hr_clock_realtime_usec(), since_usec = find_since(events, &row->job);
        uint64_t until_usec = row->job.frozen ? row->job.deadline_usec : 0;
        char since[HR_OUTPUT_TIME_SIZE], until[HR_OUTPUT_TIME_SIZE];

        if (since_usec > 0)
                format_moment(row->job.frozen ? row->held_since : row->since, since_usec, now_usec);
        if (until_usec > 0)
                format_moment(row->held_until, until_usec, now_usec);
        if (!row->job.frozen)
                since_usec = 0;
        snprintf(row->reason, sizeof(row->reason), "%s%s%s%s%s%s", since_usec > 0 ? "since " : "",
                since_usec > 0 ? hr_output_time(since, since_usec) : "",
                since_usec > 0 && until_usec > 0 ? ", " : "", until_usec > 0 ? "at most until " : "",
                until_usec > 0 ? hr_output_time(until, until_usec) : "",
                since_usec > 0 || until_usec > 0 ? "; " : "");
        /* That it is watched, its columns say better. */
        if (strncmp(row->job.reason, "watched as ", strlen("watched as ")) != 0)
                strncat(row->reason, row->job.reason, sizeof(row->reason) - strlen(row->reason) - 1);
}

/* What to type: the daemon's own hint while it still fits, else what such a job can be told. */
static void make_next(struct job_row *row, const struct hr_call_list *events)
{
        const struct hr_call_job *job = &row->job;

        for (size_t i = events->count; i-- > 0;) {
                const struct hr_call_event *e = &events->events[i];
                const char *hint = strstr(e->hint, "headroom ");

                if (strcmp(e->job, job->job) != 0 || !hint)
                        continue;
                if (e->limit_bytes != job->own_limit_bytes || strcmp(job->stage, "ok") == 0 ||
                        (strcmp(e->stage, "hold") == 0) != job->frozen)
                        break;
                snprintf(row->next, sizeof(row->next), "%s", hint);
                return;
        }
        if (job->frozen)
                snprintf(row->next, sizeof(row->next),
                        "headroom resume %s, headroom interrupt %s, or headroom kill %s", job->job, job->job,
                        job->job);
        else
                snprintf(row->next, sizeof(row->next), "headroom events %s", job->job);
}

static void make_row(struct job_row *row, const struct hr_call_job *job, const struct hr_call_list *events)
{
        row->job = *job;
        make_left(row);
        make_limit(row);
        make_times(row, events);
        make_next(row, events);
}

/* ---- status and limit ---- */

static int show_totals(struct hr_call *call)
{
        uint64_t jobs, used_bytes, held;
        char text[HR_TEXT_SIZE_MAX];
        int r;

        r = hr_call_totals(call, &jobs, &used_bytes, &held);
        if (r != 0)
                return hr_ask_failed(call, r);
        if (jobs == 0)
                puts("no jobs are watched; start one with: headroom run --limit 8G -- COMMAND");
        else
                printf("no jobs of yours; of all users: %" PRIu64 " job%s, %s used, %" PRIu64 " held\n", jobs,
                        jobs == 1 ? "" : "s", hr_units_format_bytes(text, used_bytes), held);
        return HR_EXIT_DONE;
}

/* Do the events say more of them than the jobs do? Not to a program, nor of jobs that run along. */
static bool wants_events(const struct hr_call_list *jobs, enum hr_format format)
{
        for (size_t i = 0; i < jobs->count && format == HR_FORMAT_COLUMNS; i++)
                if (jobs->jobs[i].frozen)
                        return true;
        return format == HR_FORMAT_DETAIL;
}

/* Those that were ended by their checkpoint: they take no memory, and wait to be started again. */
static void read_saved(struct hr_call *call, struct hr_call_list *events, struct hr_saved_list *ret)
{
        if (!hr_saved_any())
                return;
        if (events->count == 0 && !events->reply)
                (void)hr_call_events(call, events); /* without them: those alone that somebody waited for */
        (void)hr_saved_read(call, events, ret);     /* no memory: the jobs that run are shown */
}

static void make_saved_row(struct job_row *row, const struct hr_saved *s)
{
        *row = (struct job_row){.job = {.job = s->job,
                                        .name = s->name,
                                        .uid = geteuid(),
                                        .stage = "saved",
                                        .policy = s->policy,
                                        .reason = row->reason,
                                        .limit_bytes = s->has_limit ? s->limit_bytes : HR_BYTES_NONE,
                                        .own_limit_bytes = s->has_limit ? s->limit_bytes : HR_BYTES_NONE,
                                        .headroom_bytes = HR_BYTES_NONE,
                                        .left_min_usec = HR_USEC_NEVER,
                                        .left_max_usec = HR_USEC_NEVER}};
        snprintf(row->reason, sizeof(row->reason), "%s%sgo on: headroom resume %s", s->path ? s->path : "",
                s->path ? "; " : "", s->job);
        snprintf(row->left, sizeof(row->left), "-");
}

int hr_jobs_status(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        const char *job = o->argument_count > 0 ? o->arguments[0] : "";
        enum hr_format format = hr_ask_json(o) ? HR_FORMAT_JSON : *job ? HR_FORMAT_DETAIL : HR_FORMAT_COLUMNS;
        HR_CLEANUP(hr_saved_list_done) struct hr_saved_list saved = {0};
        _list_ struct hr_call_list list = {0}, events = {0};
        _free_ struct job_row *rows = NULL;
        _call_ struct hr_call *call = NULL;
        int r;

        r = hr_ask_connect(o, &call);
        if (r != 0)
                return r;
        r = hr_call_status(call, job, &list);
        if (r != 0)
                return hr_ask_failed_on(call, r, job);
        if (wants_events(&list, format))
                (void)hr_call_events(call, &events); /* else it is not known since when, and left out */
        if (*job == '\0')
                read_saved(call, &events, &saved);
        if (list.count + saved.count == 0 && format != HR_FORMAT_JSON)
                return show_totals(call);
        rows = hr_ask_rows(list.count + saved.count, sizeof(*rows));
        if (!rows)
                return HR_EXIT_FAILED;
        for (size_t i = 0; i < list.count; i++)
                make_row(&rows[i], &list.jobs[i], &events);
        for (size_t i = 0; i < saved.count; i++)
                make_saved_row(&rows[list.count + i], saved.all[i]);
        hr_output_rows(format == HR_FORMAT_DETAIL ? &detail_table : &job_table, rows,
                list.count + saved.count, format);
        return HR_EXIT_DONE;
}

static int show_limit(struct hr_call *call, const char *job, bool json)
{
        _list_ struct hr_call_list list = {0};
        int r;

        r = hr_call_status(call, job, &list);
        if (r != 0)
                return hr_ask_failed_on(call, r, job);
        hr_output_rows(&limit_table, list.rows, list.count, json ? HR_FORMAT_JSON : HR_FORMAT_COLUMNS);
        return HR_EXIT_DONE;
}

int hr_jobs_limit(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        _answer_ struct hr_call_answer answer = {0};
        _call_ struct hr_call *call = NULL;
        uint64_t limit_bytes = HR_BYTES_NONE;
        int r;

        if (o->argument_count > 1) {
                r = hr_options_parse_size("limit", o->arguments[1], &limit_bytes);
                if (r != 0)
                        return r;
        }
        r = hr_ask_connect(o, &call);
        if (r != 0)
                return r;
        if (o->argument_count == 1)
                return show_limit(call, o->arguments[0], hr_ask_json(o));
        r = hr_call_set_limit(call, o->arguments[0], limit_bytes, &answer);
        if (r != 0)
                return hr_ask_failed_on(call, r, o->arguments[0]);
        if (hr_ask_json(o))
                return show_limit(call, o->arguments[0], true);
        hr_output_text(answer.message);
        return HR_EXIT_DONE;
}

/* ---- what is done to one job ---- */

int hr_jobs_act(const struct hr_verb_info *verb, const struct hr_options *o)
{
        _answer_ struct hr_call_answer answer = {0};
        _call_ struct hr_call *call = NULL;
        int r;

        r = hr_ask_connect(o, &call);
        if (r != 0)
                return r;
        r = hr_call_act(call, verb->name, o->arguments[0], &answer);
        return r != 0 ? hr_ask_failed_on(call, r, o->arguments[0])
                      : hr_ask_show_deed(o, verb->name, o->arguments[0], answer.message);
}

/* --limit of attach and resume. */
static int take_limit(const struct hr_options *o, uint64_t *ret_bytes)
{
        if (!hr_options_has(o, HR_OPTION_LIMIT))
                return 0;
        return hr_options_parse_size("limit", o->value[HR_OPTION_LIMIT], ret_bytes);
}

/* A job that was ended by its checkpoint, in our place: its directory, environment and command, and maybe
 * more room. */
static int start_again(const struct hr_saved *s, const struct hr_options *o, uint64_t limit_bytes)
{
        bool given = hr_options_has(o, HR_OPTION_LIMIT);
        const char *retried = getenv("HEADROOM_RETRIED"); /* by `run`, or the daemon's helper */
        struct hr_options run = {.given = HR_OPTION_BIT(HR_OPTION_NAME) |
                                          (o->given & HR_OPTION_BIT(HR_OPTION_DETACH)) |
                                          (s->fuse ? HR_OPTION_BIT(HR_OPTION_FUSE) : 0),
                .has_limit = given || s->has_limit,
                .limit_bytes = given ? limit_bytes : s->limit_bytes,
                .arguments = s->command,
                .resumes = s->file,
                .retried = retried ? (unsigned)strtoul(retried, NULL, 10) : 0};

        if (chdir(s->directory) < 0) {
                hr_output_say(HR_STYLE_PLAIN, "%s can't go on: its directory %s: %s", s->job, s->directory,
                        strerror(errno));
                return HR_EXIT_FAILED;
        }
        if (s->path && access(s->path, R_OK) < 0) {
                hr_output_say(HR_STYLE_PLAIN, "%s can't go on: its checkpoint %s: %s", s->job, s->path,
                        strerror(errno));
                return HR_EXIT_FAILED;
        }
        run.value[HR_OPTION_SOCKET] = o->value[HR_OPTION_SOCKET];
        run.value[HR_OPTION_NAME] = s->name;
        run.value[HR_OPTION_POLICY] = *s->policy ? s->policy : NULL;
        run.value[HR_OPTION_CHECKPOINT] = *s->checkpoint ? s->checkpoint : NULL;
        for (size_t i = 0; s->command[i]; i++)
                run.argument_count++;
        char *socket = getenv("HEADROOM_SOCKET"); /* of now: where it was found saved */
        socket = socket ? strdup(socket) : NULL;
        clearenv();
        for (size_t i = 0; s->environment && s->environment[i]; i++)
                putenv(s->environment[i]);
        if (socket)
                setenv("HEADROOM_SOCKET", socket, true);
        free(socket);
        if (s->path)
                setenv("HEADROOM_RESUME", s->path, true);
        hr_output_say(HR_STYLE_PLAIN, "%s (%s) goes on%s%s as a new job", s->job, s->name,
                s->path ? " from " : "", s->path ? s->path : "");
        if (!given && s->has_limit)
                hr_output_say(HR_STYLE_PLAIN,
                        "its limit is what it was; more room: headroom resume JOB --limit SIZE");
        return hr_run(NULL, &run);
}

/* From CRIU's image: the daemon's to do. */
static int restore(struct hr_call *call, const char *id, const struct hr_options *o, uint64_t limit_bytes)
{
        _answer_ struct hr_call_answer answer = {0};
        int r = hr_call_restore(call, id, hr_options_has(o, HR_OPTION_LIMIT), limit_bytes,
                hr_options_has(o, HR_OPTION_RM), &answer);

        if (r == HR_EXIT_NO_JOB)
                return r;
        return r != 0 ? hr_ask_failed(call, r) : hr_ask_show_deed(o, "resume", id, answer.message);
}

/* The word is no job that runs: one that was saved? HR_EXIT_NO_JOB: neither. */
static int resume_saved(struct hr_call *call, const struct hr_options *o, uint64_t limit_bytes)
{
        HR_CLEANUP(hr_saved_list_done) struct hr_saved_list saved = {0};
        _list_ struct hr_call_list events = {0};
        struct hr_saved *s;

        (void)hr_call_events(call, &events); /* without them: those alone that somebody waited for */
        if (hr_saved_read(call, &events, &saved) < 0)
                return HR_EXIT_NO_JOB;
        s = hr_saved_find(&saved, o->arguments[0]);
        if (s && hr_saved_is_image(s)) {
                int r = restore(call, s->job, o, limit_bytes);
                if (r == HR_EXIT_NO_JOB || (r == HR_EXIT_DONE && hr_options_has(o, HR_OPTION_RM)))
                        (void)unlink(s->file); /* it was removed for its age, or just now */
                return r;
        }
        if (s)
                return start_again(s, o, limit_bytes);
        /* One that nobody kept a record of: started by another program, or from another machine's home. */
        return hr_units_is_job_id(o->arguments[0]) ? restore(call, o->arguments[0], o, limit_bytes)
                                                   : HR_EXIT_NO_JOB;
}

int hr_jobs_resume(const struct hr_verb_info *verb, const struct hr_options *o)
{
        _answer_ struct hr_call_answer answer = {0};
        uint64_t limit_bytes = HR_BYTES_NONE;
        _call_ struct hr_call *call = NULL;
        int r;

        r = take_limit(o, &limit_bytes);
        if (r == 0)
                r = hr_ask_connect(o, &call);
        if (r != 0)
                return r;
        r = hr_call_resume(call, o->arguments[0], hr_options_has(o, HR_OPTION_LIMIT), limit_bytes, &answer);
        if (r == HR_EXIT_NO_JOB) {
                int status = resume_saved(call, o, limit_bytes);
                if (status != HR_EXIT_NO_JOB)
                        return status;
        }
        return r != 0 ? hr_ask_failed_on(call, r, o->arguments[0])
                      : hr_ask_show_deed(o, verb->name, o->arguments[0], answer.message);
}

int hr_jobs_attach(const struct hr_verb_info *verb, const struct hr_options *o)
{
        const char *name = o->value[HR_OPTION_NAME], *policy = o->value[HR_OPTION_POLICY];
        _answer_ struct hr_call_answer answer = {0};
        uint64_t limit_bytes = HR_BYTES_NONE;
        _call_ struct hr_call *call = NULL;
        int r;

        r = hr_verbs_check_name(name);
        if (r == 0)
                r = take_limit(o, &limit_bytes);
        if (r == 0)
                r = hr_ask_connect(o, &call);
        if (r != 0)
                return r;
        r = hr_call_attach(call, o->arguments[0], name ? name : "", hr_options_has(o, HR_OPTION_LIMIT),
                limit_bytes, policy ? policy : "", &answer);
        if (r != 0)
                return hr_ask_failed(call, r);
        if (hr_ask_json(o))
                return hr_ask_show_deed(o, verb->name, answer.job, answer.message);
        puts(answer.job); /* alone, so that a script may keep it */
        if (*answer.message)
                hr_output_say(HR_STYLE_PLAIN, "%s", answer.message);
        return HR_EXIT_DONE;
}
