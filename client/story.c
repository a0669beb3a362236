/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "story.h"

/*
 * One screen: how it ended, what that means, its curve, what was done when, and what to type now. The same in
 * JSON, whole. A timeline that is longer than a screen is cut in its middle: how it began and how it ended
 * tell most.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ask.h"
#include "exit.h"
#include "history.h"
#include "output.h"
#include "page.h"
#include "text.h"
#include "think/cmdline.h"
#include "think/units.h"

#define SHOWN_FIRST 3 /* of a long timeline */
#define SHOWN_LAST 9
#define CURVE_WIDTH 60

/* ---- in words ---- */

static bool is(const struct hr_call_story *s, const char *outcome)
{
        return strcmp(s->record.outcome, outcome) == 0;
}

static void HR_PRINTF(3, 4) add_next(struct hr_story_words *w, const char *why, const char *format, ...)
{
        va_list ap;

        if (w->next_count == HR_STORY_NEXT_MAX)
                return;
        snprintf(w->next[w->next_count].why, sizeof(w->next[0].why), "%s", why);
        va_start(ap, format);
        vsnprintf(w->next[w->next_count].command, sizeof(w->next[0].command), format, ap);
        va_end(ap);
        w->next_count++;
}

static bool has_deed(const struct hr_call_story *s, const char *action, const char *outcome)
{
        for (size_t i = 0; i < s->deeds.count; i++)
                if (strcmp(s->deeds.deeds[i].action, action) == 0 &&
                        strcmp(s->deeds.deeds[i].outcome, outcome) == 0)
                        return true;
        return false;
}

/* Half as much again as what it had, or as it needed at least. */
static uint64_t more_room(const struct hr_call_record *r)
{
        uint64_t had = MAX(r->limit_bytes == HR_BYTES_NONE ? 0 : r->limit_bytes, r->peak_bytes);
        uint64_t more = hr_add(had, had / 2);
        uint64_t unit = more >= 10 * HR_GIB ? HR_GIB : more >= HR_GIB ? 256 * HR_MIB : 10 * HR_MIB;

        return hr_add(more, unit - 1) / unit * unit;
}

/* Said by it or not, under our fuse or not: one that is neither is none. */
static void explain_memory_error(const struct hr_call_record *r, char *buf, size_t size)
{
        const char *small =
                r->limit_bytes == HR_BYTES_NONE ? "" : " Its limit was too small for what it wanted.";

        if (!r->said_error)
                snprintf(buf, size,
                        "It returned 1 under its fuse, which refuses an allocation that does not fit: most "
                        "likely that was an uncaught MemoryError, and its output names the line.%s",
                        small);
        else if (r->fused)
                snprintf(buf, size,
                        "Headroom's fuse refused it an allocation that did not fit; it said so itself, and "
                        "its "
                        "output names the line.%s",
                        small);
        else
                snprintf(buf, size,
                        "It said so itself, and its output names the line. It was not Headroom's fuse that "
                        "refused the allocation: a limit from elsewhere did (ulimit -v or -d, the host's "
                        "overcommit), or there is no such amount.");
}

static void explain_sense(const struct hr_call_story *s, char *buf, size_t size)
{
        const struct hr_call_record *r = &s->record;
        char peak[HR_TEXT_SIZE_MAX], limit[HR_TEXT_SIZE_MAX];

        hr_units_format_bytes(peak, r->peak_bytes);
        hr_units_format_bytes(limit, r->limit_bytes);
        if (is(s, "own_limit"))
                snprintf(buf, size,
                        "It needed more than its limit of %s, and the kernel killed it there. Under a policy "
                        "that may "
                        "act, Headroom would have held it before.",
                        limit);
        else if (is(s, "memory_error"))
                explain_memory_error(r, buf, size);
        else if (is(s, "interrupted"))
                snprintf(buf, size,
                        "It came too near to what it may use, or somebody asked for it: it got SIGINT, "
                        "to save itself and end. The timeline says which.");
        else if (is(s, "killed"))
                snprintf(buf, size,
                        "It did not end when it was asked to, could not be held, or somebody asked for "
                        "it. The timeline says which.");
        else if (is(s, "host_full"))
                snprintf(buf, size,
                        "Not its own limit was full, but what it shares with others: it was not the "
                        "only one that used memory.");
        else if (is(s, "signal") && r->signal == 9 && strcmp(r->kind, "process") == 0)
                snprintf(buf, size,
                        "Headroom did not send it, and no kill for want of memory was counted in the cgroup "
                        "that "
                        "the process tree was in, if that could be looked at: the kernel's log knows.");
        else if (is(s, "signal"))
                snprintf(buf, size,
                        "Headroom did not send it, and no limit was full: somebody did, or the job itself.");
        else if (is(s, "unseen"))
                snprintf(buf, size, "No daemon watched it then, so its peak may have been higher.");
        else if (is(s, "ended"))
                snprintf(buf, size,
                        "By itself, or by somebody: its exit status is not known. The kernel tells that to "
                        "its "
                        "parent alone, which was no headroom run, or one that was killed.");
        else if (is(s, "failed"))
                snprintf(buf, size, "By itself: no limit stopped it. Its own output says why.");
        else
                buf[0] = '\0';
}

void hr_story_explain(const struct hr_call_story *s, struct hr_story_words *w)
{
        const struct hr_call_record *r = &s->record;
        const char *command = hr_cmdline_can_be_typed(r->command) ? r->command : "COMMAND";
        char more[HR_TEXT_SIZE_MAX];
        bool retried = has_deed(s, "retry", "started"), saved = !retried && has_deed(s, "saved", "done");
        bool short_of_it = is(s, "own_limit") || (is(s, "memory_error") && (r->fused || !r->said_error)) ||
                           is(s, "interrupted") || is(s, "killed");

        *w = (struct hr_story_words){0};
        hr_history_describe_end(r, w->headline, sizeof(w->headline));
        explain_sense(s, w->sense, sizeof(w->sense));
        hr_units_spell_bytes(more, more_room(r));
        if (retried) /* what was saved is its successor's, and so is the name */
                add_next(
                        w, "it was started again by itself; what became of that", "headroom why %s", r->name);
        if (saved)
                add_next(w, "go on from its checkpoint, with more room", "headroom resume %s --limit %s",
                        r->job, more);
        if (short_of_it && !retried)
                add_next(w, saved ? "or from the start" : "again, with more room",
                        "headroom run --limit %s -- %s", more, command);
        if (is(s, "own_limit") && strcmp(r->policy, "observe") == 0)
                add_next(w, "have it held before the wall", "headroom run --limit %s --policy default -- %s",
                        more, command);
        if (is(s, "host_full")) {
                add_next(w, "see who uses the memory", "headroom top");
                add_next(w, "again, with a limit of its own: it is held there, and the host has room",
                        "headroom run --limit %s -- %s", more, command);
        }
        if (is(s, "signal") && r->signal == 9)
                add_next(w, "what the kernel did", "journalctl -k --grep 'oom|Killed process'");
        if (is(s, "finished") || is(s, "ended") || is(s, "unseen"))
                add_next(w, "next time, with a limit by what it used", "headroom run --limit auto -- %s",
                        command);
        if (is(s, "failed") || is(s, "signal"))
                add_next(w, "once that is mended", "headroom run --limit auto -- %s", command);
        if (is(s, "detached"))
                add_next(w, "watch it again", "headroom attach PID --name %s", r->name);
}

/* ---- on a screen ---- */

struct deed_row {
        struct hr_call_deed deed;
        char time[HR_OUTPUT_TIME_SIZE], what[64], used[HR_TEXT_SIZE_MAX];
};

static const struct hr_field deed_fields[] = {
        {NULL, "TIME", NULL, HR_TYPE_CHARS, offsetof(struct deed_row, time), 0},
        {NULL, "STAGE", NULL, HR_TYPE_STAGE, offsetof(struct deed_row, deed.stage), 0},
        {NULL, "USED", NULL, HR_TYPE_CHARS, offsetof(struct deed_row, used), 0},
        {NULL, "WHAT", NULL, HR_TYPE_CHARS, offsetof(struct deed_row, what), 0},
        {NULL, "WHY", NULL, HR_TYPE_TEXT, offsetof(struct deed_row, deed.reason), HR_WIDE},
};
static const struct hr_table deed_table = {
        deed_fields, ELEMENTSOF(deed_fields), sizeof(struct deed_row), true};

static void make_deed(struct deed_row *row, const struct hr_call_deed *d)
{
        time_t seconds = (time_t)(d->time_usec / HR_USEC_PER_SEC);
        struct tm tm;

        row->deed = *d;
        localtime_r(&seconds, &tm);
        strftime(row->time, sizeof(row->time), "%H:%M:%S", &tm);
        snprintf(row->what, sizeof(row->what), "%s%s%s", d->action, *d->outcome ? " " : "", d->outcome);
        hr_units_format_bytes(row->used, d->used_bytes);
}

static int show_deeds(const struct hr_call_story *s)
{
        size_t count = s->deeds.count, shown = 0;
        bool cut = count > SHOWN_FIRST + SHOWN_LAST;
        _free_ struct deed_row *rows = hr_ask_rows(count, sizeof(*rows));
        char more[64];

        if (!rows)
                return HR_EXIT_FAILED;
        for (size_t i = 0; i < count; i++) {
                if (cut && i == SHOWN_FIRST) {
                        snprintf(more, sizeof(more), "... %zu more: headroom why %.20s --json",
                                count - SHOWN_FIRST - SHOWN_LAST, s->record.job);
                        rows[shown++].deed = (struct hr_call_deed){.stage = "", .reason = more};
                }
                if (!cut || i < SHOWN_FIRST || i >= count - SHOWN_LAST)
                        make_deed(&rows[shown++], &s->deeds.deeds[i]);
        }
        putchar('\n');
        hr_output_rows(&deed_table, rows, shown, HR_FORMAT_COLUMNS);
        return HR_EXIT_DONE;
}

/* The highest use in each of CURVE_WIDTH equal times, as a bar; a time without a point is as the one before.
 */
static void show_curve(const struct hr_call_story *s)
{
        static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
        const struct hr_call_point *p = s->points.points;
        size_t count = s->points.count;
        uint64_t most[CURVE_WIDTH] = {0}, top = 1, span;
        char text[HR_TEXT_SIZE_MAX], took[HR_TEXT_SIZE_MAX];

        if (count < 3 || p[count - 1].time_usec <= p[0].time_usec)
                return;
        span = p[count - 1].time_usec - p[0].time_usec;
        for (size_t i = 0; i < count; i++) {
                uint64_t at = hr_sub(p[i].time_usec, p[0].time_usec) / (span / CURVE_WIDTH + 1);

                at = MIN(at, (uint64_t)CURVE_WIDTH - 1);
                most[at] = MAX(most[at], p[i].used_bytes);
                top = MAX(top, p[i].used_bytes);
        }
        printf("used: ");
        for (size_t i = 0; i < CURVE_WIDTH; i++) {
                if (most[i] == 0 && i > 0)
                        most[i] = most[i - 1];
                fputs(bars[most[i] / (top / 8 + 1)], stdout);
        }
        printf(" up to %s in %s\n", hr_units_format_bytes(text, top), hr_units_format_time(took, span));
}

static int show_screen(const struct hr_call_story *s)
{
        const struct hr_call_record *r = &s->record;
        char start[HR_OUTPUT_TIME_SIZE], end[HR_OUTPUT_TIME_SIZE], took[HR_TEXT_SIZE_MAX];
        char peak[HR_TEXT_SIZE_MAX], limit[HR_TEXT_SIZE_MAX];
        struct hr_story_words w;

        hr_story_explain(s, &w);
        printf("%s (", r->job);
        hr_text_write_escaped(stdout, r->name, false);
        printf("): %s\n", w.headline);
        if (*w.sense)
                printf("%s\n", w.sense);
        printf("\n");
        if (*r->command) {
                fputs("command: ", stdout);
                hr_text_write_escaped(stdout, r->command, false);
                putchar('\n');
        }
        printf("from %s to %s, %s\n", hr_output_time(start, r->start_usec), hr_output_time(end, r->end_usec),
                hr_units_format_time(took, hr_sub(r->end_usec, r->start_usec)));
        printf("peak: %s%s of %s; it went as far as %s; policy %s\n", r->censored ? "at least " : "",
                hr_units_format_bytes(peak, r->peak_bytes),
                r->limit_bytes == HR_BYTES_NONE ? "no limit" : hr_units_format_bytes(limit, r->limit_bytes),
                r->stage, r->policy);
        if (r->said_error) { /* the timeline has it without the job's own word */
                fputs("its end: ", stdout);
                hr_text_write_escaped(stdout, r->reason, false);
                putchar('\n');
        }
        if (*r->held_by) {
                fputs("what held it: ", stdout);
                hr_text_write_escaped(stdout, r->held_by, false);
                putchar('\n');
        }
        show_curve(s);
        int status = show_deeds(s);
        if (w.next_count > 0)
                puts("\nwhat to do now:");
        for (size_t i = 0; i < w.next_count; i++) {
                printf("  %s:\n    ", w.next[i].why);
                hr_text_write_escaped(stdout, w.next[i].command, false);
                putchar('\n');
        }
        return status;
}

/* ---- for programs ---- */

static void json_text(const char *key, const char *text)
{
        printf("  \"%s\": ", key);
        hr_text_write_json(stdout, text);
        puts(",");
}

static void json_size(const char *before, const char *key, uint64_t value, const char *after)
{
        if (value == HR_BYTES_NONE)
                printf("%s\"%s\": null%s", before, key, after);
        else
                printf("%s\"%s\": %" PRIu64 "%s", before, key, value, after);
}

static void json_time(const char *before, const char *key, uint64_t usec, const char *after)
{
        time_t seconds = (time_t)(usec / HR_USEC_PER_SEC);
        char text[40];
        struct tm tm;

        gmtime_r(&seconds, &tm);
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
        printf("%s\"%s\": \"%s.%06uZ\"%s", before, key, text, (unsigned)(usec % HR_USEC_PER_SEC), after);
}

static void json_lists(const struct hr_call_story *s)
{
        printf("  \"samples\": [");
        for (size_t i = 0; i < s->points.count; i++) {
                const struct hr_call_point *p = &s->points.points[i];

                json_time(i > 0 ? ",\n    {" : "\n    {", "time", p->time_usec, ", ");
                json_size("", "used_bytes", p->used_bytes, ", ");
                json_size("", "cache_bytes", p->cache_bytes, ", ");
                json_size("", "limit_bytes", p->limit_bytes, "}");
        }
        printf("\n  ],\n  \"events\": [");
        for (size_t i = 0; i < s->deeds.count; i++) {
                const struct hr_call_deed *d = &s->deeds.deeds[i];
                const struct {
                        const char *key, *text;
                } texts[] = {{"stage", d->stage}, {"previous_stage", d->previous_stage},
                        {"action", d->action}, {"outcome", d->outcome}, {"reason", d->reason}};

                json_time(i > 0 ? ",\n    {" : "\n    {", "time", d->time_usec, ", ");
                for (size_t k = 0; k < ELEMENTSOF(texts); k++) {
                        printf("\"%s\": ", texts[k].key);
                        hr_text_write_json(stdout, texts[k].text);
                        fputs(", ", stdout);
                }
                json_size("", "used_bytes", d->used_bytes, ", ");
                json_size("", "limit_bytes", d->limit_bytes, "}");
        }
        puts("\n  ]");
}

static int show_json(const struct hr_call_story *s)
{
        const struct hr_call_record *r = &s->record;
        struct hr_story_words w;

        hr_story_explain(s, &w);
        puts("[\n{");
        json_text("job", r->job);
        json_text("name", r->name);
        json_text("user", r->user);
        printf("  \"uid\": %" PRIu64 ",\n", r->uid);
        json_text("command", r->command);
        json_text("kind", r->kind);
        json_text("cgroup", r->cgroup);
        json_text("unit", r->unit);
        json_text("policy", r->policy);
        json_time("  ", "start", r->start_usec, ",\n");
        json_time("  ", "end", r->end_usec, ",\n");
        printf("  \"duration_seconds\": %" PRIu64 ",\n",
                hr_sub(r->end_usec, r->start_usec) / HR_USEC_PER_SEC);
        json_text("outcome", r->outcome);
        if (r->exit_status >= 0)
                printf("  \"exit_status\": %" PRId64 ",\n", r->exit_status);
        else
                puts("  \"exit_status\": null,");
        if (r->signal > 0)
                printf("  \"signal\": %" PRIu64 ",\n", r->signal);
        else
                puts("  \"signal\": null,");
        json_size("  ", "peak_bytes", r->peak_bytes, ",\n");
        printf("  \"peak_is_lower_bound\": %s,\n", r->censored ? "true" : "false");
        json_text("peak_source", r->peak_source);
        json_size("  ", "limit_bytes", r->limit_bytes, ",\n");
        json_text("furthest_stage", r->stage);
        json_text("reason", r->reason);
        json_text("held_by", r->held_by);
        printf("  \"fuse_armed\": %s,\n", r->fused ? "true" : "false");
        printf("  \"memory_error_said\": %s,\n", r->said_error ? "true" : "false");
        json_text("headline", w.headline);
        json_text("explanation", w.sense);
        printf("  \"next\": [");
        for (size_t i = 0; i < w.next_count; i++) {
                printf("%s{\"why\": ", i > 0 ? ", " : "");
                hr_text_write_json(stdout, w.next[i].why);
                printf(", \"command\": ");
                hr_text_write_json(stdout, w.next[i].command);
                putchar('}');
        }
        puts("],");
        printf("  \"events_left_out\": %" PRIu64 ",\n", r->left_out_count);
        json_lists(s);
        puts("}\n]");
        return HR_EXIT_DONE;
}

int hr_story_show(const struct hr_call_story *story, const struct hr_options *o)
{
        if (o->value[HR_OPTION_HTML]) {
                int r = hr_page_save(story, o->value[HR_OPTION_HTML]);

                if (r < 0) {
                        hr_output_say(HR_STYLE_PLAIN, "%s can't be written: %s", o->value[HR_OPTION_HTML],
                                strerror(-r));
                        return HR_EXIT_FAILED;
                }
                hr_output_say(HR_STYLE_PLAIN, "%s is written", o->value[HR_OPTION_HTML]);
                return HR_EXIT_DONE;
        }
        return hr_ask_json(o) ? show_json(story) : show_screen(story);
}
