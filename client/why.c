/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "why.h"

/*
 * Of a job that runs. One that has ended is on record: client/story.
 *
 * Two sources. The job's own processes name variables, with what a collection of garbage would free and what
 * malloc keeps: only those that can be asked (Python under the hook), and only while the job runs. The kernel
 * tells what the memory of any process is: heap, stacks, files, shared memory.
 */

#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "exit.h"
#include "output.h"
#include "story.h"
#include "think/units.h"

struct why_row {
        const char *kind, *name, *file; /* file NULL: none is known */
        uint64_t bytes, count, line, pid;
        char where[200];
};
#define ROW(member) offsetof(struct why_row, member)

static const struct hr_field fields[] = {
        {"kind", "KIND", NULL, HR_TYPE_TEXT, ROW(kind), 0},
        {"name", "NAME", NULL, HR_TYPE_TEXT, ROW(name), 0},
        {"bytes", "SIZE", NULL, HR_TYPE_BYTES, ROW(bytes), 0},
        {"count", NULL, NULL, HR_TYPE_PID, ROW(count), 0},
        {"pid", "PID", NULL, HR_TYPE_PID, ROW(pid), 0},
        {"file", NULL, NULL, HR_TYPE_TEXT, ROW(file), 0},
        {"line", NULL, NULL, HR_TYPE_PID, ROW(line), 0},
        {NULL, "WHERE", NULL, HR_TYPE_CHARS, ROW(where), HR_WIDE},
};
static const struct hr_table table = {fields, ELEMENTSOF(fields), sizeof(struct why_row), true};

static void make_variable(struct why_row *row, const struct hr_call_holder *h)
{
        *row = (struct why_row){.kind = "variable",
                .name = *h->name ? h->name : "(no name)",
                .file = h->file,
                .bytes = h->bytes,
                .count = h->count,
                .line = h->line,
                .pid = h->pid};
        if (*h->file && h->line > 0)
                snprintf(row->where, sizeof(row->where), "%s:%llu", h->file, (unsigned long long)h->line);
        else
                snprintf(row->where, sizeof(row->where), "%s", h->file);
}

/* Of a job that is one process its rows have said all. A sum of several, or how many there are that can't be
 * looked at, has no pid. */
static size_t add_parts(struct why_row *rows, const struct hr_call_list *parts)
{
        size_t count = 0, processes = 0;

        for (size_t i = 0; i < parts->count; i++)
                processes += strcmp(parts->parts[i].kind, "process") == 0;
        for (size_t i = 0; i < parts->count; i++) {
                const struct hr_call_part *p = &parts->parts[i];

                if (strcmp(p->kind, "process") != 0 || processes > 1)
                        rows[count++] = (struct why_row){
                                .kind = p->kind, .name = p->name, .bytes = p->bytes, .pid = p->pid};
        }
        return count;
}

static size_t add_spare(struct why_row *rows, const char *kind, const char *name, uint64_t bytes)
{
        if (bytes == HR_BYTES_NONE)
                return 0;
        *rows = (struct why_row){.kind = kind, .name = name, .bytes = bytes};
        return 1;
}

/* One source is enough: what the other lacks is said. 0, or an exit status, said as well. */
static int ask_both(
        struct hr_call *call, const char *job, struct hr_call_why *ret_why, struct hr_call_list *ret_parts)
{
        int said = hr_call_why(call, job, ret_why), mapped;

        if (said == HR_EXIT_NO_JOB)
                return said; /* not said: it may be on record */
        if (said != 0 && said != HR_EXIT_FAILED)
                return hr_ask_failed_on(call, said, job);
        if (said != 0) {
                *ret_why = (struct hr_call_why){
                        .garbage_bytes = HR_BYTES_NONE, .malloc_bytes = HR_BYTES_NONE, .sentence = ""};
                hr_ask_failed(call, said);
        }
        mapped = hr_call_breakdown(call, job, ret_parts);
        if (mapped != 0)
                hr_ask_failed_on(call, mapped, job);
        return mapped != 0 && (said != 0 || ret_why->holders.count == 0) ? mapped : 0;
}

/* No such job runs. */
static int tell_ended(struct hr_call *call, const char *job, const struct hr_options *o)
{
        HR_CLEANUP(hr_call_story_done) struct hr_call_story story = {0};
        _free_ char *message = strdup(hr_call_message(call));
        int r = hr_call_story(call, job, &story);

        if (r == 0)
                return hr_story_show(&story, o);
        if (r != HR_EXIT_NO_JOB)
                hr_output_say(HR_STYLE_PLAIN, "%s", hr_call_message(call));
        hr_output_say(HR_STYLE_PLAIN,
                "%s\nheadroom status shows the jobs, headroom history those that have ended",
                message ? message : "there is no such job");
        return HR_EXIT_NO_JOB;
}

int hr_why_verb(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        enum hr_format format = hr_ask_json(o) ? HR_FORMAT_JSON : HR_FORMAT_COLUMNS;
        HR_CLEANUP(hr_call_why_done) struct hr_call_why why = {0};
        _list_ struct hr_call_list parts = {0};
        _call_ struct hr_call *call = NULL;
        _free_ struct why_row *rows = NULL;
        const char *job = o->arguments[0];
        size_t count = 0;
        int r;

        r = hr_ask_connect(o, &call);
        if (r != 0)
                return r;
        r = ask_both(call, job, &why, &parts);
        if (r == HR_EXIT_NO_JOB && why.holders.count == 0 && parts.count == 0)
                return tell_ended(call, job, o);
        if (r != 0)
                return r;
        if (o->value[HR_OPTION_HTML]) {
                hr_output_say(HR_STYLE_PLAIN,
                        "%s runs: its page can be written once it has ended; headroom why %s shows what "
                        "holds its "
                        "memory now",
                        job, job);
                return HR_EXIT_FAILED;
        }
        rows = hr_ask_rows(why.holders.count + 2 + parts.count, sizeof(*rows));
        if (!rows)
                return HR_EXIT_FAILED;
        for (size_t i = 0; i < why.holders.count; i++)
                make_variable(&rows[count++], &why.holders.holders[i]);
        count += add_spare(&rows[count], "garbage", "(what a collection would free)", why.garbage_bytes);
        count += add_spare(&rows[count], "malloc", "(kept, and not in use)", why.malloc_bytes);
        count += add_parts(&rows[count], &parts);
        if (format != HR_FORMAT_JSON && *why.sentence)
                hr_output_say(HR_STYLE_BOLD, "%s: %s", job, why.sentence);
        if (format == HR_FORMAT_JSON || count > 0)
                hr_output_rows(&table, rows, count, format);
        return HR_EXIT_DONE;
}
