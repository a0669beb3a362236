/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "verbs.h"

/*
 * Every verb but `run`. The table at the end says of each how it is spelled, what it takes and who handles
 * it.
 *
 * A handler checks its words, asks the daemon, and writes: results on stdout, as text or with --json as an
 * array of objects out of the same field table, messages on stderr. It returns the exit status; a call that
 * failed has a status and a sentence of its own. JOB is resolved by the daemon, which knows whom it may tell
 * of which jobs.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>

#include "call.h"
#include "exit.h"
#include "fd.h"
#include "output.h"
#include "run.h"
#include "think/config.h"
#include "think/units.h"

#define _call_ HR_CLEANUP(hr_call_freep)
#define _list_ HR_CLEANUP(hr_call_list_done)
#define _answer_ HR_CLEANUP(hr_call_answer_done)

static bool is_json(const struct hr_options *o)
{
        return hr_options_has(o, HR_OPTION_JSON);
}

static int connect_daemon(const struct hr_options *o, struct hr_call **ret)
{
        _free_ char *tried = NULL;

        if (hr_call_connect(o->value[HR_OPTION_SOCKET], HR_CALL_WAIT_USEC, ret, &tried) == 0)
                return 0;
        return hr_call_say_unreachable(tried, "");
}

/* Says why a call failed; returns its status. */
static int failed(const struct hr_call *call, int status)
{
        hr_output_say(HR_STYLE_PLAIN, "%s", hr_call_message(call));
        return status;
}

/* ---- status and limit ---- */

#define JOB(member) offsetof(struct hr_call_job, member)

static const struct hr_field job_fields[] = {
        {"job", "JOB", "job", HR_TYPE_TEXT, JOB(job), 0},
        {"name", "NAME", "name", HR_TYPE_TEXT, JOB(name), 0},
        {"user", "USER", "user", HR_TYPE_TEXT, JOB(user), 0},
        {"uid", NULL, NULL, HR_TYPE_NUMBER, JOB(uid), 0},
        {"kind", NULL, "kind", HR_TYPE_TEXT, JOB(kind), 0},
        {"cgroup", NULL, "cgroup", HR_TYPE_TEXT, JOB(cgroup), 0},
        {"unit", NULL, "unit", HR_TYPE_TEXT, JOB(unit), 0},
        {"leader_pid", NULL, "leader", HR_TYPE_PID, JOB(leader_pid), 0},
        {"stage", "STAGE", "stage", HR_TYPE_STAGE, JOB(stage), 0},
        {"frozen", NULL, "frozen", HR_TYPE_FLAG, JOB(frozen), 0},
        {NULL, NULL, "until", HR_TYPE_TIME, JOB(deadline_usec), 0},
        {"used_bytes", "USED", "used", HR_TYPE_BYTES, JOB(used_bytes), 0},
        {"cache_bytes", NULL, "cache", HR_TYPE_BYTES, JOB(cache_bytes), 0},
        {"limit_bytes", "LIMIT", "limit", HR_TYPE_BYTES, JOB(limit_bytes), 0},
        {NULL, "%", "used %", HR_TYPE_LEVEL, JOB(ratio_permyriad), 0},
        {"limit_source", NULL, "limit set by", HR_TYPE_TEXT, JOB(limit_source), 0},
        {"own_limit_bytes", NULL, "own limit", HR_TYPE_BYTES, JOB(own_limit_bytes), 0},
        {"headroom_bytes", NULL, "headroom", HR_TYPE_BYTES, JOB(headroom_bytes), 0},
        {"growth_bytes_per_second", NULL, "growth", HR_TYPE_RATE, JOB(growth_bytes_per_second), 0},
        {"seconds_to_limit", "LEFT", "time to limit", HR_TYPE_SECONDS, JOB(left_min_usec), 0},
        {NULL, NULL, "at most", HR_TYPE_SECONDS, JOB(left_max_usec), 0},
        {"peak_bytes", NULL, "peak", HR_TYPE_BYTES, JOB(peak_bytes), 0},
        {"policy", "POLICY", "policy", HR_TYPE_TEXT, JOB(policy), 0},
        {NULL, NULL, "locked", HR_TYPE_FLAG, JOB(locked), 0},
        {"reason", "REASON", "reason", HR_TYPE_TEXT, JOB(reason), 0},
};
static const struct hr_table job_table = {
        job_fields, ELEMENTSOF(job_fields), sizeof(struct hr_call_job), true};

static const struct hr_field limit_fields[] = {
        {"job", "JOB", NULL, HR_TYPE_TEXT, JOB(job), 0},
        {"name", "NAME", NULL, HR_TYPE_TEXT, JOB(name), 0},
        {"own_limit_bytes", "OWN LIMIT", NULL, HR_TYPE_BYTES, JOB(own_limit_bytes), 0},
        {"limit_bytes", "LIMIT", NULL, HR_TYPE_BYTES, JOB(limit_bytes), 0},
        {"used_bytes", "USED", NULL, HR_TYPE_BYTES, JOB(used_bytes), 0},
        {NULL, "%", NULL, HR_TYPE_LEVEL, JOB(ratio_permyriad), 0},
        {"limit_source", "SET BY", NULL, HR_TYPE_TEXT, JOB(limit_source), 0},
};
static const struct hr_table limit_table = {
        limit_fields, ELEMENTSOF(limit_fields), sizeof(struct hr_call_job), true};

static int show_totals(struct hr_call *call)
{
        uint64_t jobs, used_bytes, held;
        char text[HR_TEXT_SIZE_MAX];
        int r;

        r = hr_call_totals(call, &jobs, &used_bytes, &held);
        if (r != 0)
                return failed(call, r);
        if (jobs == 0)
                puts("no jobs are watched; start one with: headroom run --limit 8G -- COMMAND");
        else
                printf("no jobs of yours; of all users: %" PRIu64 " job%s, %s used, %" PRIu64 " held\n", jobs,
                        jobs == 1 ? "" : "s", hr_units_format_bytes(text, used_bytes), held);
        return HR_EXIT_DONE;
}

static int verb_status(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        const char *job = o->argument_count > 0 ? o->arguments[0] : "";
        _list_ struct hr_call_list list = {0};
        _call_ struct hr_call *call = NULL;
        int r;

        r = connect_daemon(o, &call);
        if (r != 0)
                return r;
        r = hr_call_status(call, job, &list);
        if (r != 0)
                return failed(call, r);
        if (list.count == 0 && !is_json(o))
                return show_totals(call);
        hr_output_rows(&job_table, list.rows, list.count,
                is_json(o) ? HR_FORMAT_JSON
                : *job     ? HR_FORMAT_DETAIL
                           : HR_FORMAT_COLUMNS);
        return HR_EXIT_DONE;
}

static int show_limit(struct hr_call *call, const char *job, bool json)
{
        _list_ struct hr_call_list list = {0};
        int r;

        r = hr_call_status(call, job, &list);
        if (r != 0)
                return failed(call, r);
        hr_output_rows(&limit_table, list.rows, list.count, json ? HR_FORMAT_JSON : HR_FORMAT_COLUMNS);
        return HR_EXIT_DONE;
}

static int verb_limit(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
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
        r = connect_daemon(o, &call);
        if (r != 0)
                return r;
        if (o->argument_count == 1)
                return show_limit(call, o->arguments[0], is_json(o));
        r = hr_call_set_limit(call, o->arguments[0], limit_bytes, &answer);
        if (r != 0)
                return failed(call, r);
        if (is_json(o))
                return show_limit(call, o->arguments[0], true);
        hr_output_text(answer.message);
        return HR_EXIT_DONE;
}

/* ---- what is done to one job ---- */

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

/* The daemon's sentence; in JSON with what was asked for. */
static int show_deed(const struct hr_options *o, const char *verb, const char *job, const char *message)
{
        struct deed deed = {job, verb, message};

        if (is_json(o))
                hr_output_rows(&deed_table, &deed, 1, HR_FORMAT_JSON);
        else if (*message)
                hr_output_text(message);
        return HR_EXIT_DONE;
}

static int verb_act(const struct hr_verb_info *verb, const struct hr_options *o)
{
        _answer_ struct hr_call_answer answer = {0};
        _call_ struct hr_call *call = NULL;
        int r;

        r = connect_daemon(o, &call);
        if (r != 0)
                return r;
        r = hr_call_act(call, verb->name, o->arguments[0], &answer);
        return r != 0 ? failed(call, r) : show_deed(o, verb->name, o->arguments[0], answer.message);
}

/* --limit of attach and resume. */
static int take_limit(const struct hr_options *o, uint64_t *ret_bytes)
{
        if (!hr_options_has(o, HR_OPTION_LIMIT))
                return 0;
        return hr_options_parse_size("limit", o->value[HR_OPTION_LIMIT], ret_bytes);
}

static int verb_resume(const struct hr_verb_info *verb, const struct hr_options *o)
{
        _answer_ struct hr_call_answer answer = {0};
        uint64_t limit_bytes = HR_BYTES_NONE;
        _call_ struct hr_call *call = NULL;
        int r;

        r = take_limit(o, &limit_bytes);
        if (r == 0)
                r = connect_daemon(o, &call);
        if (r != 0)
                return r;
        r = hr_call_resume(call, o->arguments[0], hr_options_has(o, HR_OPTION_LIMIT), limit_bytes, &answer);
        return r != 0 ? failed(call, r) : show_deed(o, verb->name, o->arguments[0], answer.message);
}

static int verb_attach(const struct hr_verb_info *verb, const struct hr_options *o)
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
                r = connect_daemon(o, &call);
        if (r != 0)
                return r;
        r = hr_call_attach(call, o->arguments[0], name ? name : "", hr_options_has(o, HR_OPTION_LIMIT),
                limit_bytes, policy ? policy : "", &answer);
        if (r != 0)
                return failed(call, r);
        if (is_json(o))
                return show_deed(o, verb->name, answer.job, answer.message);
        puts(answer.job); /* alone, so that a script may keep it */
        if (*answer.message)
                hr_output_say(HR_STYLE_PLAIN, "%s", answer.message);
        return HR_EXIT_DONE;
}

/* ---- policies ---- */

struct setting {
        const char *policy, *key, *value;
};
#define SETTING(member) offsetof(struct setting, member)

static const struct hr_field setting_fields[] = {
        {"policy", NULL, NULL, HR_TYPE_TEXT, SETTING(policy), 0},
        {"key", NULL, NULL, HR_TYPE_TEXT, SETTING(key), 0},
        {"value", NULL, NULL, HR_TYPE_TEXT, SETTING(value), 0},
};
static const struct hr_table setting_table = {
        setting_fields, ELEMENTSOF(setting_fields), sizeof(struct setting), false};
static const struct hr_field policy_fields[] = {
        {"policy", "POLICY", NULL, HR_TYPE_TEXT, SETTING(policy), 0},
};
static const struct hr_table policy_table = {
        policy_fields, ELEMENTSOF(policy_fields), sizeof(struct setting), false};

static char *trim_space(char *text)
{
        size_t size;

        text += strspn(text, " \t\r");
        size = strlen(text);
        while (size > 0 && strchr(" \t\r", text[size - 1]))
                text[--size] = '\0';
        return text;
}

/*
 * Takes the daemon's configuration text apart, in place: [policy NAME] heads, key = value lines. Fills rows
 * with the heads or with the keys (at most `room`), and returns how many.
 */
static size_t split_policies(char *text, bool heads, struct setting *rows, size_t room)
{
        const char *policy = "";
        size_t count = 0;
        char *line;

        while ((line = strsep(&text, "\n"))) {
                char *value, *end;

                line = trim_space(line);
                end = strrchr(line, ']');
                if (strncmp(line, "[policy ", 8) == 0 && end) {
                        *end = '\0';
                        policy = trim_space(line + 8);
                        if (heads && count < room)
                                rows[count++] = (struct setting){policy, "", ""};
                        continue;
                }
                value = strchr(line, '=');
                if (heads || !value || strchr("#;[", *line) || count >= room)
                        continue;
                *value++ = '\0';
                rows[count++] = (struct setting){policy, trim_space(line), trim_space(value)};
        }
        return count;
}

static int show_policies(const struct hr_options *o, const char *name, bool heads)
{
        _answer_ struct hr_call_answer answer = {0};
        _free_ struct setting *rows = NULL;
        _call_ struct hr_call *call = NULL;
        size_t room = 1, count;
        int r;

        r = connect_daemon(o, &call);
        if (r != 0)
                return r;
        r = hr_call_policies(call, name, &answer);
        if (r != 0)
                return failed(call, r);
        if (!heads && !is_json(o)) {
                hr_output_text(answer.message);
                return HR_EXIT_DONE;
        }
        for (const char *c = answer.message; *c; c++)
                room += *c == '\n';
        rows = calloc(room, sizeof(*rows));
        if (!rows) {
                hr_output_say(HR_STYLE_PLAIN, "out of memory");
                return HR_EXIT_FAILED;
        }
        count = split_policies(answer.message, heads, rows, room);
        hr_output_rows(heads ? &policy_table : &setting_table, rows, count,
                is_json(o) ? HR_FORMAT_JSON : HR_FORMAT_COLUMNS);
        return HR_EXIT_DONE;
}

static int policy_list(const struct hr_options *o, char **words HR_UNUSED)
{
        return show_policies(o, "", true);
}

static int policy_show(const struct hr_options *o, char **words)
{
        return show_policies(o, words[0], false);
}

static int policy_set(const struct hr_options *o, char **words)
{
        _answer_ struct hr_call_answer answer = {0};
        _call_ struct hr_call *call = NULL;
        int r;

        r = connect_daemon(o, &call);
        if (r != 0)
                return r;
        r = hr_call_set_policy(call, words[0], words[1], &answer);
        return r != 0 ? failed(call, r) : show_deed(o, "policy", words[0], answer.message);
}

struct problem {
        char *file, *text;
        const char *level;
        uint64_t line;
};
#define PROBLEM(member) offsetof(struct problem, member)
#define PROBLEMS_MAX 1000 /* of one file; chosen, not tuned */

struct problems {
        struct problem rows[PROBLEMS_MAX];
        size_t count;
};

static void problems_freep(struct problems **p)
{
        for (size_t i = 0; *p && i < (*p)->count; i++) {
                free((*p)->rows[i].file);
                free((*p)->rows[i].text);
        }
        free(*p);
}

static const struct hr_field problem_fields[] = {
        {"file", NULL, NULL, HR_TYPE_TEXT, PROBLEM(file), 0},
        {"line", NULL, NULL, HR_TYPE_NUMBER, PROBLEM(line), 0},
        {"level", NULL, NULL, HR_TYPE_TEXT, PROBLEM(level), 0},
        {"text", NULL, NULL, HR_TYPE_TEXT, PROBLEM(text), 0},
};
static const struct hr_table problem_table = {
        problem_fields, ELEMENTSOF(problem_fields), sizeof(struct problem), false};

static void keep_problem(const struct hr_problem *problem, void *userdata)
{
        struct problems *p = userdata;
        struct problem *row = &p->rows[p->count];

        if (p->count == PROBLEMS_MAX)
                return;
        row->file = strdup(problem->file ? problem->file : "");
        row->text = strdup(problem->text ? problem->text : "");
        row->level = problem->level == HR_PROBLEM_ERROR ? "error" : "warning";
        row->line = problem->line;
        p->count++;
}

#define FILE_MAX (1024U * 1024) /* a configuration is a few KiB */

/* A whole file; *ret_text is to be freed. */
static int read_file(const char *path, char **ret_text, size_t *ret_size)
{
        _free_ char *text = malloc(FILE_MAX + 1);
        _close_ int fd = -1;
        size_t size = 0;

        if (!text)
                return -ENOMEM;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        while (size <= FILE_MAX) {
                ssize_t n = read(fd, text + size, FILE_MAX + 1 - size);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        break;
                size += n > 0 ? (size_t)n : 0;
        }
        if (size > FILE_MAX)
                return -EFBIG;
        *ret_text = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}

/* A file by itself, without a daemon. A drop-in that leans on other files may miss a policy of theirs. */
static int policy_check(const struct hr_options *o, char **words)
{
        HR_CLEANUP(problems_freep) struct problems *problems = calloc(1, sizeof(*problems));
        HR_CLEANUP(hr_config_freep) struct hr_config *config = NULL;
        _free_ char *text = NULL;
        unsigned errors = 0;
        size_t size = 0;
        int r, checked;

        r = problems ? read_file(words[0], &text, &size) : -ENOMEM;
        if (r < 0) {
                hr_output_say(HR_STYLE_PLAIN, "can't read %s: %s", words[0], strerror(-r));
                return HR_EXIT_FAILED;
        }
        r = hr_config_new(hr_options_host_bytes(), &config);
        if (r >= 0)
                r = hr_config_parse(config, words[0], text, size, keep_problem, problems, &errors);
        checked = r >= 0 && errors == 0 ? hr_config_check(config, keep_problem, problems) : 0;
        if (r < 0 || checked < 0) {
                hr_output_say(
                        HR_STYLE_PLAIN, "can't check %s: %s", words[0], strerror(r < 0 ? -r : -checked));
                return HR_EXIT_FAILED;
        }
        if (is_json(o)) {
                hr_output_rows(&problem_table, problems->rows, problems->count, HR_FORMAT_JSON);
        } else {
                for (size_t i = 0; i < problems->count; i++)
                        hr_output_say(HR_STYLE_PLAIN, "%s:%" PRIu64 ": %s: %s", problems->rows[i].file,
                                problems->rows[i].line, problems->rows[i].level, problems->rows[i].text);
                if (problems->count == 0)
                        printf("%s is good: %zu policies (with the built-in ones), %zu matches\n", words[0],
                                config->policy_count, config->match_count);
        }
        return r > 0 || checked > 0 || problems->count > 0 ? HR_EXIT_FAILED : HR_EXIT_DONE;
}

static const struct {
        const char *name, *usage;
        int words;
        int (*handler)(const struct hr_options *o, char **words);
} policy_verbs[] = {
        {"list", "", 0, policy_list},
        {"show", " NAME", 1, policy_show},
        {"set", " JOB NAME", 2, policy_set},
        {"check", " FILE", 1, policy_check},
};

static int verb_policy(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        for (size_t i = 0; i < ELEMENTSOF(policy_verbs); i++) {
                if (strcmp(policy_verbs[i].name, o->arguments[0]) != 0)
                        continue;
                if (o->argument_count - 1 == policy_verbs[i].words)
                        return policy_verbs[i].handler(o, o->arguments + 1);
                hr_output_say(HR_STYLE_PLAIN, "usage: headroom policy %s%s", policy_verbs[i].name,
                        policy_verbs[i].usage);
                return HR_EXIT_USAGE;
        }
        hr_output_say(HR_STYLE_PLAIN, "policy knows no %s: use list, show NAME, set JOB NAME or check FILE",
                o->arguments[0]);
        return HR_EXIT_USAGE;
}

/* ---- events ---- */

#define EVENT(member) offsetof(struct event_row, member)

struct event_row {
        struct hr_call_event event;
        const char *change; /* "notice→trim", in text */
        char text[48];
};

static const struct hr_field event_fields[] = {
        {"time", "TIME", NULL, HR_TYPE_TIME, EVENT(event.time_usec), 19},
        {"job", "JOB", NULL, HR_TYPE_TEXT, EVENT(event.job), 4},
        {"name", "NAME", NULL, HR_TYPE_TEXT, EVENT(event.name), 10},
        {"uid", NULL, NULL, HR_TYPE_NUMBER, EVENT(event.uid), 0},
        {NULL, "STAGE", NULL, HR_TYPE_TEXT, EVENT(change), 15},
        {"stage", NULL, NULL, HR_TYPE_TEXT, EVENT(event.stage), 0},
        {"previous_stage", NULL, NULL, HR_TYPE_TEXT, EVENT(event.previous_stage), 0},
        {"used_bytes", NULL, NULL, HR_TYPE_BYTES, EVENT(event.used_bytes), 0},
        {"limit_bytes", NULL, NULL, HR_TYPE_BYTES, EVENT(event.limit_bytes), 0},
        {"action", "ACTION", NULL, HR_TYPE_TEXT, EVENT(event.action), 10},
        {"outcome", "OUTCOME", NULL, HR_TYPE_TEXT, EVENT(event.outcome), 8},
        {"reason", "REASON", NULL, HR_TYPE_TEXT, EVENT(event.reason), 0},
        {"hint", NULL, NULL, HR_TYPE_TEXT, EVENT(event.hint), 0},
        {"deadline", NULL, NULL, HR_TYPE_TIME, EVENT(event.deadline_usec), 0},
        {"exit_status", NULL, NULL, HR_TYPE_STATUS, EVENT(event.exit_status), 0},
};
static const struct hr_table event_table = {
        event_fields, ELEMENTSOF(event_fields), sizeof(struct event_row), false};

/* As a row; a row that is moved afterwards must be made again, for `change` points into it. */
static void make_event_row(struct event_row *row, const struct hr_call_event *event)
{
        row->event = *event;
        if (strcmp(event->stage, event->previous_stage) == 0)
                snprintf(row->text, sizeof(row->text), "%.20s", event->stage);
        else
                snprintf(row->text, sizeof(row->text), "%.20s→%.20s", event->previous_stage, event->stage);
        row->change = row->text;
}

static int show_events(struct hr_call *call, bool json)
{
        _list_ struct hr_call_list list = {0};
        _free_ struct event_row *rows = NULL;
        int r;

        r = hr_call_events(call, &list);
        if (r != 0)
                return failed(call, r);
        rows = calloc(list.count + 1, sizeof(*rows));
        if (!rows) {
                hr_output_say(HR_STYLE_PLAIN, "out of memory");
                return HR_EXIT_FAILED;
        }
        for (size_t i = 0; i < list.count; i++)
                make_event_row(&rows[i], &list.events[i]);
        hr_output_rows(&event_table, rows, list.count, json ? HR_FORMAT_JSON : HR_FORMAT_COLUMNS);
        return HR_EXIT_DONE;
}

#define KEPT_SHOWN 10              /* of those that happened before --follow began; chosen, not tuned */
#define RETRY_USEC HR_USEC_PER_SEC /* to a daemon that is gone */

struct follower {
        const struct hr_options *o;
        sd_event *loop;
        struct hr_call *call; /* owned */
        sd_event_source *retry;
        bool lost;          /* said so */
        uint64_t last_usec; /* of the newest event shown */
};

static void follower_done(struct follower *f)
{
        hr_call_free(f->call);
        sd_event_source_unref(f->retry);
        sd_event_unref(f->loop);
}

static void on_event(const struct hr_call_event *event, void *userdata)
{
        struct follower *f = userdata;
        struct event_row row;

        f->last_usec = MAX(f->last_usec, event->time_usec);
        make_event_row(&row, event);
        hr_output_rows(&event_table, &row, 1, is_json(f->o) ? HR_FORMAT_JSON_LINES : HR_FORMAT_COLUMNS);
        if (fflush(stdout) != 0)
                sd_event_exit(f->loop, HR_EXIT_FAILED); /* nobody reads any more; hr_output_finish says why */
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
        int r;

        r = hr_call_follow(
                f->call, f->loop, NULL, f->last_usec, back ? SIZE_MAX : KEPT_SHOWN, on_event, on_lost, f);
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

static int verb_events(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        HR_CLEANUP(follower_done) struct follower f = {.o = o};
        _call_ struct hr_call *call = NULL;
        int r;

        r = connect_daemon(o, &call);
        if (r != 0)
                return r;
        if (!hr_options_has(o, HR_OPTION_FOLLOW))
                return show_events(call, is_json(o));
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
        f.call = TAKE_PTR(call);
        r = follow(&f);
        if (r != 0)
                return failed(f.call, r);
        r = sd_event_loop(f.loop); /* until ctrl-C, or nobody reads */
        return r < 0 ? HR_EXIT_FAILED : r;
}

/* ---- doctor ---- */

#define CHECK(member) offsetof(struct hr_call_check, member)

static const struct hr_field check_fields[] = {
        {"item", "ITEM", NULL, HR_TYPE_TEXT, CHECK(item), 0},
        {"state", "STATE", NULL, HR_TYPE_TEXT, CHECK(state), 0},
        {"detail", "DETAIL", NULL, HR_TYPE_TEXT, CHECK(detail), 0},
        {"remedy", "REMEDY", NULL, HR_TYPE_TEXT, CHECK(remedy), 0},
};
static const struct hr_table check_table = {
        check_fields, ELEMENTSOF(check_fields), sizeof(struct hr_call_check), true};

/* Without a daemon that is the finding. */
static int verb_doctor(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        enum hr_format format = is_json(o) ? HR_FORMAT_JSON : HR_FORMAT_COLUMNS;
        _list_ struct hr_call_list list = {0};
        _call_ struct hr_call *call = NULL;
        _free_ char *tried = NULL;
        int r;

        if (hr_call_connect(o->value[HR_OPTION_SOCKET], HR_CALL_WAIT_USEC, &call, &tried) != 0) {
                struct hr_call_check check = {"daemon", "missing", tried ? tried : "no socket answers",
                        "sudo systemctl start headroomd, or headroomd --user &"};

                hr_output_rows(&check_table, &check, 1, format);
                return HR_EXIT_UNREACHABLE;
        }
        r = hr_call_doctor(call, &list);
        if (r != 0)
                return failed(call, r);
        hr_output_rows(&check_table, list.rows, list.count, format);
        return HR_EXIT_DONE;
}

/* ---- help, and the table ---- */

static int verb_help(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        const struct hr_verb_info *about = NULL;

        if (o->argument_count > 0) {
                about = hr_verbs_find(o->arguments[0]);
                if (!about)
                        return hr_verbs_unknown(o->arguments[0]);
        }
        hr_verbs_help(about);
        return HR_EXIT_DONE;
}

#define BIT HR_OPTION_BIT
#define NAMING (BIT(HR_OPTION_NAME) | BIT(HR_OPTION_LIMIT) | BIT(HR_OPTION_POLICY))

static const struct hr_verb_info verbs[] = {
        {"run", "-- COMMAND [ARG...]", "start a job and have its memory watched",
                "headroom run --limit 8G -- python3 analyse.py",
                NAMING | BIT(HR_OPTION_CHECKPOINT) | BIT(HR_OPTION_FUSE) | BIT(HR_OPTION_DETACH) |
                        BIT(HR_OPTION_UNWATCHED),
                1, -1, true, hr_run},
        {"attach", "PID|CGROUP|UNIT", "watch what runs already", "headroom attach 4711 --limit 8G", NAMING, 1,
                1, false, verb_attach},
        {"detach", "JOB", "watch it no longer; it runs on", "headroom detach j17", 0, 1, 1, false, verb_act},
        {"status", "[JOB]", "show the jobs, or one in detail (the default verb)", "headroom status --json", 0,
                0, 1, false, verb_status},
        {"limit", "JOB [SIZE|max]", "show a job's memory limit, or set it", "headroom limit j17 12G", 0, 1, 2,
                false, verb_limit},
        {"policy", "list | show NAME | set JOB NAME | check FILE", "what is done at which level",
                "headroom policy set j17 batch", 0, 1, 3, false, verb_policy},
        {"trim", "JOB", "have it give back memory that it does not need", "headroom trim j17", 0, 1, 1, false,
                verb_act},
        {"checkpoint", "JOB", "have its work saved now, by its policy's method", "headroom checkpoint j17", 0,
                1, 1, false, verb_act},
        {"hold", "JOB", "freeze it where it is, state kept", "headroom hold j17", 0, 1, 1, false, verb_act},
        {"resume", "JOB", "let a held job go on, with more room by --limit",
                "headroom resume j17 --limit 12G", BIT(HR_OPTION_LIMIT), 1, 1, false, verb_resume},
        {"interrupt", "JOB", "end it so that it can save: SIGINT, then SIGTERM", "headroom interrupt j17", 0,
                1, 1, false, verb_act},
        {"kill", "JOB", "end it at once, unsaved", "headroom kill j17", 0, 1, 1, false, verb_act},
        {"events", "", "what happened, and what was done about it", "headroom events --follow",
                BIT(HR_OPTION_FOLLOW), 0, 0, false, verb_events},
        {"doctor", "", "what works on this machine, and how to get the rest", "headroom doctor", 0, 0, 0,
                false, verb_doctor},
        {"help", "[VERB]", "this help, or a verb's", "headroom help run", 0, 0, 1, false, verb_help},
};

const struct hr_verb_info *hr_verbs_find(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (strcmp(verbs[i].name, name) == 0)
                        return &verbs[i];
        return NULL;
}

const struct hr_verb_info *hr_verbs_default(void)
{
        return hr_verbs_find("status");
}

int hr_verbs_unknown(const char *name)
{
        const char *nearest = NULL;
        unsigned best = HR_OPTIONS_NEAR + 1;

        if (hr_units_is_job_id(name)) {
                hr_output_say(HR_STYLE_PLAIN, "%s is a job, not a verb: did you mean headroom status %s?",
                        name, name);
                return HR_EXIT_USAGE;
        }
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                unsigned distance = hr_options_distance(name, verbs[i].name);

                if (distance < best) {
                        best = distance;
                        nearest = verbs[i].name;
                }
        }
        if (nearest)
                hr_output_say(HR_STYLE_PLAIN, "unknown verb %s: did you mean headroom %s?", name, nearest);
        else
                hr_output_say(HR_STYLE_PLAIN, "unknown verb %s: headroom --help lists them", name);
        return HR_EXIT_USAGE;
}

static void print_usage(FILE *f, const struct hr_verb_info *verb)
{
        fprintf(f, "headroom %s", verb->name);
        for (size_t i = 0; i < HR_OPTION_COUNT; i++) {
                const struct hr_option_info *info = &hr_options_table[i];

                if (verb->options & BIT(i))
                        fprintf(f, " [--%s%s%s]", info->name, info->argument ? " " : "",
                                info->argument ? info->argument : "");
        }
        fprintf(f, "%s%s", *verb->usage ? " " : "", verb->usage);
}

int hr_verbs_check(const struct hr_verb_info *verb, const struct hr_options *o)
{
        _free_ char *usage = NULL;
        size_t size = 0;
        FILE *f;

        for (int i = 0; i < o->argument_count && !verb->has_command; i++) {
                if (*o->arguments[i])
                        continue;
                hr_output_say(HR_STYLE_PLAIN,
                        "%s: one of its words is empty: is a variable of the script not set?", verb->name);
                return HR_EXIT_USAGE;
        }
        if (o->argument_count >= verb->least && (verb->most < 0 || o->argument_count <= verb->most))
                return 0;
        f = open_memstream(&usage, &size);
        if (f) {
                print_usage(f, verb);
                fclose(f);
        }
        hr_output_say(HR_STYLE_PLAIN, "%s %s\nusage: %s", verb->name,
                o->argument_count < verb->least ? "lacks a word" : "has a word too many",
                usage ? usage : verb->usage);
        return HR_EXIT_USAGE;
}

int hr_verbs_check_name(const char *name)
{
        if (!name || hr_units_check_name(name) == 0)
                return 0;
        hr_output_say(HR_STYLE_PLAIN,
                "name %s can't be used: it begins with a letter, then letters, digits and . _ - @, below %d "
                "characters, "
                "and is not like an id (j17)",
                name, HR_NAME_MAX);
        return HR_EXIT_USAGE;
}

static void print_options(uint32_t options)
{
        for (size_t i = 0; i < HR_OPTION_COUNT; i++) {
                const struct hr_option_info *info = &hr_options_table[i];
                int used;

                if (!(options & BIT(i)))
                        continue;
                used = printf("  --%s%s%s", info->name, info->argument ? " " : "",
                        info->argument ? info->argument : "");
                printf("%*s%s\n", MAX(24 - used, 1), "", info->help);
        }
}

void hr_verbs_help(const struct hr_verb_info *verb)
{
        if (verb) {
                printf("usage: ");
                print_usage(stdout, verb);
                printf("\n\n%s\n\n", verb->help);
                print_options(verb->options | HR_OPTIONS_GLOBAL);
                printf("\nexample: %s\nmanual: man headroom\n", verb->example);
                return;
        }
        puts("usage: headroom [VERB] [OPTION...] [WORD...]\n\n"
             "Keeps analysis jobs off the OOM killer: watches their memory, warns in time, saves or holds "
             "them.\n");
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                printf("  %-12s%s\n", verbs[i].name, verbs[i].help);
        puts("");
        print_options(HR_OPTIONS_GLOBAL);
        puts("\nJOB is an id (j17), a name, a unit, or the number of a process of the job.\n"
             "headroom VERB --help tells more; manual: man headroom");
}
