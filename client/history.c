/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "history.h"

/*
 * Ended jobs come from the daemon in pages, the newest first; here they are turned round, so that the newest
 * stands last, above the prompt. Times are typed as people say them: today, 2h, an ISO date.
 *
 * A limit to ask for is worked out by the daemon; here it is said with its grounds, and how sure it is.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "clock.h"
#include "exit.h"
#include "name.h"
#include "output.h"
#include "think/cmdline.h"
#include "think/units.h"
#include "think/words.h"

#define SHOWN_MAX 100000 /* of one answer; page by page */

/* ---- times ---- */

/* Midnight, so many days ago, by the local clock. */
static uint64_t midnight(uint64_t now_usec, int days_ago)
{
        time_t seconds = (time_t)(now_usec / HR_USEC_PER_SEC);
        struct tm tm;

        localtime_r(&seconds, &tm);
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        tm.tm_mday -= days_ago;
        tm.tm_isdst = -1;
        return (uint64_t)mktime(&tm) * HR_USEC_PER_SEC;
}

/* "2026-05-01", "2026-05-01T14:30", "2026-05-01 14:30:05", with a Z in UTC. */
static int parse_date(const char *text, uint64_t *ret_usec)
{
        static const char *const forms[] = {
                "%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"};

        for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
                struct tm tm = {.tm_isdst = -1};
                const char *end = strptime(text, forms[i], &tm);
                struct tm given = tm;
                time_t seconds;

                if (!end || (*end && strcmp(end, "Z") != 0))
                        continue;
                seconds = *end ? timegm(&tm) : mktime(&tm);
                if (seconds < 0 || tm.tm_mday != given.tm_mday || tm.tm_mon != given.tm_mon)
                        return -EINVAL; /* the 31st of February */
                *ret_usec = (uint64_t)seconds * HR_USEC_PER_SEC;
                return 0;
        }
        return -EINVAL;
}

static int parse_moment(const char *option, const char *text, uint64_t fallback, uint64_t *ret_usec)
{
        uint64_t now = hr_clock_realtime_usec(), ago;

        if (!text)
                *ret_usec = fallback;
        else if (strcmp(text, "today") == 0)
                *ret_usec = midnight(now, 0);
        else if (strcmp(text, "yesterday") == 0)
                *ret_usec = midnight(now, 1);
        else if (strcmp(text, "now") == 0)
                *ret_usec = now;
        else if (hr_units_parse_time(text, &ago) == 0 && ago != HR_USEC_NEVER)
                *ret_usec = hr_sub(now, ago);
        else if (parse_date(text, ret_usec) < 0) {
                hr_output_say(HR_STYLE_PLAIN,
                        "--%s %s is not a time: write today, yesterday, 2h, 3d, 2026-05-01 or "
                        "2026-05-01T14:30",
                        option, text);
                return HR_EXIT_USAGE;
        }
        return 0;
}

/* ---- history ---- */

static const char *const outcomes[] = {"finished", "failed", "memory_error", "interrupted", "killed",
        "own_limit", "host_full", "signal", "ended", "unseen", "detached"};

struct history_row {
        struct hr_call_record record;
        uint64_t duration_usec;
        char how[80];
};
#define RECORD(member) offsetof(struct history_row, record.member)

static const struct hr_field history_fields[] = {
        {"job", "JOB", NULL, HR_TYPE_TEXT, RECORD(job), 0},
        {"name", "NAME", NULL, HR_TYPE_TEXT, RECORD(name), 0},
        {"user", "USER", NULL, HR_TYPE_TEXT, RECORD(user), 0},
        {"uid", NULL, NULL, HR_TYPE_NUMBER, RECORD(uid), 0},
        {"start", NULL, NULL, HR_TYPE_TIME, RECORD(start_usec), 0},
        {"end", "ENDED", NULL, HR_TYPE_TIME, RECORD(end_usec), 19},
        {"duration_seconds", "TOOK", NULL, HR_TYPE_SECONDS, offsetof(struct history_row, duration_usec), 0},
        {"peak_bytes", "PEAK", NULL, HR_TYPE_BYTES, RECORD(peak_bytes), 0},
        {"peak_is_lower_bound", NULL, NULL, HR_TYPE_FLAG, RECORD(censored), 0},
        {"peak_source", NULL, NULL, HR_TYPE_TEXT, RECORD(peak_source), 0},
        {"limit_bytes", "LIMIT", NULL, HR_TYPE_BYTES, RECORD(limit_bytes), 0},
        {"outcome", NULL, NULL, HR_TYPE_TEXT, RECORD(outcome), 0},
        {"exit_status", NULL, NULL, HR_TYPE_STATUS, RECORD(exit_status), 0},
        {"signal", NULL, NULL, HR_TYPE_PID, RECORD(signal), 0},
        {"furthest_stage", NULL, NULL, HR_TYPE_TEXT, RECORD(stage), 0},
        {"policy", NULL, NULL, HR_TYPE_TEXT, RECORD(policy), 0},
        {"kind", NULL, NULL, HR_TYPE_TEXT, RECORD(kind), 0},
        {"cgroup", NULL, NULL, HR_TYPE_TEXT, RECORD(cgroup), 0},
        {"unit", NULL, NULL, HR_TYPE_TEXT, RECORD(unit), 0},
        {"command", NULL, NULL, HR_TYPE_TEXT, RECORD(command), 0},
        {"reason", NULL, NULL, HR_TYPE_TEXT, RECORD(reason), 0},
        {"held_by", NULL, NULL, HR_TYPE_TEXT, RECORD(held_by), 0},
        {"fuse_armed", NULL, NULL, HR_TYPE_FLAG, RECORD(fused), 0},
        {"memory_error_said", NULL, NULL, HR_TYPE_FLAG, RECORD(said_error), 0},
        {NULL, "HOW", NULL, HR_TYPE_CHARS, offsetof(struct history_row, how), HR_WIDE},
};
static const struct hr_table history_table = {
        history_fields, ELEMENTSOF(history_fields), sizeof(struct history_row), true};

void hr_history_describe_end(const struct hr_call_record *r, char *buf, size_t size)
{
        static const struct {
                const char *outcome, *text;
        } texts[] = {
                {"finished", "finished"},
                {"memory_error", "ended by a MemoryError"},
                {"interrupted", "interrupted by Headroom"},
                {"killed", "killed by Headroom"},
                {"own_limit", "killed by the kernel at its own limit"},
                {"host_full", "killed by the kernel: the host, or a limit above it, was full"},
                {"ended", "ended, nobody told how"},
                {"unseen", "ended while headroomd was down"},
                {"detached", "no longer watched, as asked"},
        };
        const char *signal = sigabbrev_np((int)r->signal);

        snprintf(buf, size, "%s", r->outcome);
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (strcmp(texts[i].outcome, r->outcome) == 0)
                        snprintf(buf, size, "%s", texts[i].text);
        if (strcmp(r->outcome, "failed") == 0)
                snprintf(buf, size, "failed with status %" PRId64, r->exit_status);
        if (strcmp(r->outcome, "signal") == 0)
                snprintf(buf, size, "ended by somebody's signal %" PRIu64 " (SIG%s)", r->signal,
                        signal ? signal : "RT");
}

static int check_outcome(const char *word)
{
        const char *nearest = NULL;
        unsigned best = HR_WORDS_FAR;

        if (!word)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(outcomes); i++) {
                if (strcmp(outcomes[i], word) == 0)
                        return 0;
                if (hr_words_nearer(word, outcomes[i], &best))
                        nearest = outcomes[i];
        }
        if (nearest)
                hr_output_say(
                        HR_STYLE_PLAIN, "no outcome is called %s: did you mean --outcome %s?", word, nearest);
        else
                hr_output_say(HR_STYLE_PLAIN,
                        "no outcome is called %s; they are: finished failed memory_error interrupted killed\n"
                        "own_limit host_full signal ended unseen detached",
                        word);
        return HR_EXIT_USAGE;
}

#define PAGES_MAX (SHOWN_MAX / HR_CALL_HISTORY_PAGE)

static int show_history(
        const struct hr_options *o, const struct hr_call_list *pages, size_t page_count, size_t count)
{
        _free_ struct history_row *rows = hr_ask_rows(count, sizeof(*rows));
        size_t at = 0;

        if (!rows)
                return HR_EXIT_FAILED;
        for (size_t p = page_count; p-- > 0;)
                for (size_t i = pages[p].count; i-- > 0;) {
                        struct history_row *row = &rows[at++];
                        row->record = pages[p].records[i];
                        row->duration_usec = hr_sub(row->record.end_usec, row->record.start_usec);
                        if (!hr_ask_json(o))
                                hr_history_describe_end(&row->record, row->how, sizeof(row->how));
                }
        if (count > 0 || hr_ask_json(o))
                hr_output_rows(
                        &history_table, rows, count, hr_ask_json(o) ? HR_FORMAT_JSON : HR_FORMAT_COLUMNS);
        else
                hr_output_say(HR_STYLE_PLAIN, "no job that ended then is on record");
        return HR_EXIT_DONE;
}

int hr_history_verb(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        static struct hr_call_list pages[PAGES_MAX]; /* freed with the process: they are what is shown */
        struct hr_call_filter filter = {.user = o->value[HR_OPTION_USER] ? o->value[HR_OPTION_USER] : "",
                .name = o->value[HR_OPTION_NAME] ? o->value[HR_OPTION_NAME] : "",
                .outcome = o->value[HR_OPTION_OUTCOME] ? o->value[HR_OPTION_OUTCOME] : ""};
        _call_ struct hr_call *call = NULL;
        size_t page_count = 0, count = 0;
        bool more = false;
        int r;

        r = parse_moment("since", o->value[HR_OPTION_SINCE], 0, &filter.since_usec);
        if (r == 0)
                r = parse_moment("until", o->value[HR_OPTION_UNTIL], INT64_MAX, &filter.until_usec);
        if (r == 0)
                r = check_outcome(o->value[HR_OPTION_OUTCOME]);
        if (r == 0)
                r = hr_ask_connect(o, &call);
        if (r == 0) {
                r = hr_call_history(call, &filter, pages, PAGES_MAX, &page_count, &more);
                r = r != 0 ? hr_ask_failed(call, r) : 0;
        }
        for (size_t i = 0; i < page_count; i++)
                count += pages[i].count;
        if (r == 0 && more)
                hr_output_say(HR_STYLE_PLAIN,
                        "only the newest %zu are shown: --since and --until narrow it down", count);
        if (r == 0)
                r = show_history(o, pages, page_count, count);
        for (size_t i = 0; i < page_count; i++)
                hr_call_list_done(&pages[i]);
        return r;
}

/* ---- advise ---- */

static void spell(char line[static HR_CMDLINE_MAX], char *const *command)
{
        line[0] = '\0';
        for (size_t i = 0; command[i]; i++)
                hr_cmdline_add(line, command[i]);
}

int hr_advise_ask(struct hr_call *call, const char *name, char *const *command, struct hr_call_advice *ret)
{
        char line[HR_CMDLINE_MAX], derived[HR_NAME_MAX];

        spell(line, command);
        if (!name)
                name = hr_name_derive(derived, command);
        return hr_call_advise(call, name, line, ret);
}

void hr_advise_describe(const struct hr_call_advice *a, char *buf, size_t size)
{
        char p95[HR_TEXT_SIZE_MAX], cut[96] = "";

        if (a->lower_bound_count > 0)
                snprintf(cut, sizeof(cut), ", %" PRIu64 " of them cut off", a->lower_bound_count);
        snprintf(buf, size,
                "1.2 x the 95th percentile of its peaks, %s%s, from %" PRIu64 " run%s%s; sure: %s%s",
                a->is_lower_bound ? "at least " : "", hr_units_format_bytes(p95, a->p95_bytes), a->run_count,
                a->run_count == 1 ? "" : "s", cut, a->sure,
                a->is_lower_bound ? ", for those that were cut off would have needed more" : "");
}

struct advise_row {
        struct hr_call_advice advice;
        const char *basis, *what;
};
#define ADVICE(member) offsetof(struct advise_row, advice.member)

static const struct hr_field advise_fields[] = {
        {"what", NULL, NULL, HR_TYPE_TEXT, offsetof(struct advise_row, what), 0},
        {"basis", NULL, NULL, HR_TYPE_TEXT, offsetof(struct advise_row, basis), 0},
        {"limit_bytes", NULL, NULL, HR_TYPE_BYTES, ADVICE(limit_bytes), 0},
        {"p95_bytes", NULL, NULL, HR_TYPE_BYTES, ADVICE(p95_bytes), 0},
        {"highest_peak_bytes", NULL, NULL, HR_TYPE_BYTES, ADVICE(most_bytes), 0},
        {"runs", NULL, NULL, HR_TYPE_NUMBER, ADVICE(run_count), 0},
        {"runs_cut_off", NULL, NULL, HR_TYPE_NUMBER, ADVICE(lower_bound_count), 0},
        {"is_lower_bound", NULL, NULL, HR_TYPE_FLAG, ADVICE(is_lower_bound), 0},
        {"sure", NULL, NULL, HR_TYPE_TEXT, ADVICE(sure), 0},
};
static const struct hr_table advise_table = {
        advise_fields, ELEMENTSOF(advise_fields), sizeof(struct advise_row), false};

int hr_advise_verb(const struct hr_verb_info *verb, const struct hr_options *o)
{
        HR_CLEANUP(hr_call_advice_done) struct hr_call_advice advice = {0};
        _free_ char *words = hr_options_spell(o->arguments);
        _call_ struct hr_call *call = NULL;
        char why[300], limit[HR_TEXT_SIZE_MAX], spelled[HR_TEXT_SIZE_MAX], line[HR_CMDLINE_MAX];
        bool is_name = o->argument_count == 1 && hr_units_check_name(o->arguments[0]) == 0;
        int r;

        /* What follows the first word is the command's own; but no job is called so. */
        if (o->argument_count == 2 && strcmp(o->arguments[1], "--json") == 0 &&
                hr_units_check_name(o->arguments[0]) == 0) {
                struct hr_options named = *o;

                named.given |= HR_OPTION_BIT(HR_OPTION_JSON);
                named.argument_count = 1;
                named.arguments[1] = NULL;
                return hr_advise_verb(verb, &named);
        }
        spell(line, o->arguments);
        r = hr_ask_connect(o, &call);
        if (r != 0)
                return r;
        /* One word may be the name of jobs, or a command without arguments. */
        r = hr_advise_ask(call, is_name ? o->arguments[0] : NULL, o->arguments, &advice);
        if (r == HR_EXIT_NO_JOB) {
                hr_output_say(HR_STYLE_PLAIN,
                        "no run of %s is on record: run it once with a generous limit, headroom run --limit "
                        "80%% "
                        "-- COMMAND;\nheadroom history shows what is on record",
                        line);
                return HR_EXIT_NO_JOB;
        }
        if (r != 0)
                return hr_ask_failed(call, r);
        if (hr_ask_json(o)) {
                struct advise_row row = {
                        .advice = advice, .basis = advice.by_name ? "name" : "command", .what = line};
                hr_output_rows(&advise_table, &row, 1, HR_FORMAT_JSON);
                return HR_EXIT_DONE;
        }
        hr_advise_describe(&advice, why, sizeof(why));
        hr_units_format_bytes(limit, advice.limit_bytes);
        hr_units_spell_bytes(spelled, advice.limit_bytes);
        printf("%s%s: %s\nnext time: headroom run --limit %s -- %s\n",
                advice.is_lower_bound ? "at least " : "", limit, why, spelled,
                advice.by_name && is_name ? "COMMAND"
                : words                   ? words
                                          : "COMMAND");
        return HR_EXIT_DONE;
}
