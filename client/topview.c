/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "topview.h"

/*
 * The jobs are kept by id, each with a ring of what it used, a sample a second; `shown` is the order in which
 * they stand. Whatever a line is made of is ASCII (hr_topview_clean) or one of the glyphs below, so that a
 * character is a column, and no line is ever wider than the screen.
 *
 * Columns are a table. Those that fit are taken by their rank, each at its least width; what room is left
 * goes to those that can use it, in the order of `shares`. Lines at the bottom go one by one where the screen
 * is low: the keys, the reason, the message (which then takes the line of another), last the titles.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

struct hr_topview_history {
        uint64_t second;                    /* of the last sample */
        uint64_t bytes[HR_TOPVIEW_SAMPLES]; /* of a second at its remainder; HR_BYTES_NONE: not known */
};

static const char *const sort_names[HR_TOPVIEW_SORT_COUNT] = {
        [HR_TOPVIEW_LEFT] = "time left",
        [HR_TOPVIEW_USED] = "used",
        [HR_TOPVIEW_GROWTH] = "growth",
        [HR_TOPVIEW_NAME] = "name",
};

/* ---- jobs ---- */

char *hr_topview_clean(char *buf, size_t size, const char *text)
{
        size_t n = 0;

        for (const char *c = text; *c && n + 2 < size; c++) {
                if (*c == '\n') {
                        if (c[1]) {
                                buf[n++] = ';';
                                buf[n++] = ' ';
                        }
                } else if (((unsigned char)*c & 0xc0) == 0x80 && c > text && (unsigned char)c[-1] >= 0x80) {
                        continue; /* of a character that has its "?" */
                } else {
                        buf[n++] = *c >= 0x20 && *c < 0x7f ? *c : '?';
                }
        }
        buf[n] = '\0';
        return buf;
}

static void free_jobs(struct hr_topview_job *jobs, size_t count)
{
        for (size_t i = 0; i < count; i++)
                free(jobs[i].history);
        free(jobs);
}

void hr_topview_done(struct hr_topview *view)
{
        free_jobs(view->jobs, view->count);
        free(view->shown);
        *view = (struct hr_topview){0};
}

/* j9 before j10. */
static int compare_ids(const struct hr_topview_job *a, const struct hr_topview_job *b)
{
        size_t m = strlen(a->job), n = strlen(b->job);

        return m != n ? (m > n) - (m < n) : strcmp(a->job, b->job);
}

static int compare_by_id(const void *a, const void *b)
{
        return compare_ids(a, b);
}

static int compare_numbers(uint64_t a, uint64_t b)
{
        return (a > b) - (a < b);
}

static int compare_shown(const void *left, const void *right, void *userdata)
{
        const struct hr_topview_job *a = *(struct hr_topview_job *const *)left;
        const struct hr_topview_job *b = *(struct hr_topview_job *const *)right;
        enum hr_topview_sort sort = *(enum hr_topview_sort *)userdata;
        int r = 0;

        if (sort == HR_TOPVIEW_USED)
                r = compare_numbers(b->used_bytes, a->used_bytes);
        if (sort == HR_TOPVIEW_GROWTH)
                r = compare_numbers(b->growth_bytes_per_second, a->growth_bytes_per_second);
        if (sort == HR_TOPVIEW_NAME)
                r = strcasecmp(a->name, b->name);
        if (sort == HR_TOPVIEW_LEFT) {
                r = compare_numbers(
                        a->frozen ? 0 : hr_add(a->left_usec, 1), b->frozen ? 0 : hr_add(b->left_usec, 1));
                r = r != 0 ? r : compare_numbers(b->ratio_permyriad, a->ratio_permyriad);
        }
        return r != 0 ? r : compare_ids(a, b);
}

static void select_at(struct hr_topview *view, size_t at)
{
        view->at = MIN(at, (size_t)hr_sub(view->shown_count, 1));
        if (view->shown_count > 0)
                snprintf(view->selected, sizeof(view->selected), "%s", view->shown[view->at]->job);
}

/* Which are shown, in which order, and where the selected one is now. */
static void arrange(struct hr_topview *view)
{
        size_t at = view->at;

        view->shown_count = 0;
        for (size_t i = 0; i < view->count; i++) {
                struct hr_topview_job *job = &view->jobs[i];

                if (!*view->filter || strcasestr(job->name, view->filter) ||
                        strcasestr(job->user, view->filter))
                        view->shown[view->shown_count++] = job;
        }
        if (view->shown_count > 1)
                qsort_r(view->shown, view->shown_count, sizeof(*view->shown), compare_shown, &view->sort);
        for (size_t i = 0; i < view->shown_count; i++)
                if (strcmp(view->shown[i]->job, view->selected) == 0)
                        at = i;
        select_at(view, at);
}

static void record(struct hr_topview_history *h, uint64_t second, uint64_t bytes)
{
        /* What was not seen is not known. */
        for (uint64_t s = MAX(h->second + 1, hr_sub(second, HR_TOPVIEW_SAMPLES - 1)); s < second; s++)
                h->bytes[s % HR_TOPVIEW_SAMPLES] = HR_BYTES_NONE;
        h->bytes[second % HR_TOPVIEW_SAMPLES] = bytes;
        h->second = second;
}

static struct hr_topview_history *new_history(void)
{
        struct hr_topview_history *h = calloc(1, sizeof(*h));

        for (size_t i = 0; h && i < HR_TOPVIEW_SAMPLES; i++)
                h->bytes[i] = HR_BYTES_NONE;
        return h;
}

int hr_topview_update(struct hr_topview *view, struct hr_topview_job *jobs, size_t count, uint64_t second)
{
        struct hr_topview_job **shown = calloc(MAX(count, (size_t)1), sizeof(*shown));

        /* Those that are new; the others' are theirs once nothing can fail. */
        if (count > 1)
                qsort(jobs, count, sizeof(*jobs), compare_by_id);
        for (size_t i = 0; shown && i < count; i++) {
                if (view->count > 0 &&
                        bsearch(&jobs[i], view->jobs, view->count, sizeof(*jobs), compare_by_id))
                        continue;
                jobs[i].history = new_history();
                if (!jobs[i].history) {
                        free(shown);
                        shown = NULL;
                }
        }
        if (!shown) {
                free_jobs(jobs, count);
                return -ENOMEM;
        }
        for (size_t i = 0; i < count; i++) {
                struct hr_topview_job *old = NULL;

                if (!jobs[i].history)
                        old = bsearch(&jobs[i], view->jobs, view->count, sizeof(*jobs), compare_by_id);
                if (old)
                        jobs[i].history = TAKE_PTR(old->history);
                if (jobs[i].history) /* none: an id that came twice */
                        record(jobs[i].history, second, jobs[i].used_bytes);
        }
        free_jobs(view->jobs, view->count);
        free(view->shown);
        view->jobs = jobs;
        view->count = count;
        view->shown = shown;
        view->second = second;
        arrange(view);
        return 0;
}

void hr_topview_sort_next(struct hr_topview *view)
{
        view->sort = (view->sort + 1) % HR_TOPVIEW_SORT_COUNT;
        arrange(view);
}

void hr_topview_filter(struct hr_topview *view, const char *text)
{
        hr_topview_clean(view->filter, sizeof(view->filter), text);
        arrange(view);
}

void hr_topview_move(struct hr_topview *view, long by)
{
        size_t back = by < 0 ? (size_t)-by : 0, forth = by > 0 ? (size_t)by : 0;

        select_at(view, hr_sub(view->at, back) + forth);
}

const struct hr_topview_job *hr_topview_selected(const struct hr_topview *view)
{
        return view->shown_count > 0 ? view->shown[view->at] : NULL;
}

/* ---- cells ---- */

char *hr_topview_format_bytes(char *buf, uint64_t bytes)
{
        static const char units[] = "BKMGTPE";
        uint64_t unit = 1, whole, rest;
        size_t i = 0;

        if (bytes == HR_BYTES_NONE)
                return strcpy(buf, "none");
        while (i + 1 < sizeof(units) - 1 && bytes / unit >= 1024) {
                unit *= 1024;
                i++;
        }
        whole = bytes / unit;
        rest = bytes % unit;
        /* Rounded down: what is below its limit does not read as if it were there. */
        if (rest == 0 || whole >= 100)
                snprintf(buf, HR_TEXT_SIZE_MAX, "%" PRIu64 "%c", whole, units[i]);
        else if (whole >= 10)
                snprintf(buf, HR_TEXT_SIZE_MAX, "%" PRIu64 ".%u%c", whole,
                        (unsigned)(rest / (unit / 1024) * 10 / 1024), units[i]);
        else
                snprintf(buf, HR_TEXT_SIZE_MAX, "%" PRIu64 ".%02u%c", whole,
                        (unsigned)(rest / (unit / 1024) * 100 / 1024), units[i]);
        return buf;
}

char *hr_topview_format_left(char *buf, uint64_t usec)
{
        uint64_t seconds = usec / HR_USEC_PER_SEC, days = seconds / 86400;

        if (usec == HR_USEC_NEVER)
                return strcpy(buf, "-");
        if (seconds == 0)
                return strcpy(buf, "<1s");
        if (seconds < 60)
                snprintf(buf, HR_TEXT_SIZE_MAX, "%us", (unsigned)seconds);
        else if (seconds < 3600)
                snprintf(buf, HR_TEXT_SIZE_MAX, "%um%02us", (unsigned)seconds / 60, (unsigned)seconds % 60);
        else if (days == 0)
                snprintf(buf, HR_TEXT_SIZE_MAX, "%uh%02um", (unsigned)seconds / 3600,
                        (unsigned)seconds / 60 % 60);
        else if (days < 100)
                snprintf(buf, HR_TEXT_SIZE_MAX, "%ud%02uh", (unsigned)days, (unsigned)(seconds / 3600 % 24));
        else if (days < 10000)
                snprintf(buf, HR_TEXT_SIZE_MAX, "%ud", (unsigned)days);
        else
                strcpy(buf, ">9999d");
        return buf;
}

static char *append(char *end, const char *text)
{
        return stpcpy(end, text);
}

char *hr_topview_bar(char *buf, uint32_t ratio_permyriad, unsigned width, bool utf8)
{
        static const char *const parts[] = {
                "\u2591", "\u258f", "\u258e", "\u258d", "\u258c", "\u258b", "\u258a", "\u2589", "\u2588"};
        uint64_t eighths = (uint64_t)MIN(ratio_permyriad, HR_PERMYRIAD_ALL) * width * 8 / HR_PERMYRIAD_ALL;
        char *end = buf;

        if (eighths == 0 && ratio_permyriad > 0 && width > 0)
                eighths = 1;
        *buf = '\0';
        for (unsigned i = 0; i < width; i++) {
                uint64_t here = MIN(hr_sub(eighths, 8 * (uint64_t)i), (uint64_t)8);

                if (utf8)
                        end = append(end, parts[here]);
                else
                        end = append(end, here == 8 ? "#" : here > 0 ? "+" : ".");
        }
        return buf;
}

char *hr_topview_spark(
        char *buf, const struct hr_topview_history *history, uint64_t second, unsigned width, bool utf8)
{
        static const char *const glyphs[] = {
                "\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588"};
        static const char *const signs[] = {"_", ".", ":", "-", "=", "+", "*", "#"};
        /* A cell stands for so many seconds, and for the same ones as long as it is seen. */
        uint64_t each = width > 0 ? (HR_TOPVIEW_SAMPLES - 1) / width + 1 : 1, last_cell = second / each;
        uint64_t cells[HR_TOPVIEW_WIDTH_MAX], least = HR_BYTES_NONE, most = 0, range;
        char *end = buf;

        *buf = '\0';
        for (unsigned i = 0; i < width; i++) {
                uint64_t from = hr_sub(last_cell, width - 1 - i) * each;
                bool early = last_cell < width - 1 - i;

                cells[i] = HR_BYTES_NONE;
                for (uint64_t s = from; s < from + each && !early && history; s++) {
                        uint64_t bytes = history->bytes[s % HR_TOPVIEW_SAMPLES];

                        if (s > history->second || s + HR_TOPVIEW_SAMPLES <= history->second ||
                                bytes == HR_BYTES_NONE)
                                continue;
                        cells[i] = cells[i] == HR_BYTES_NONE ? bytes : MAX(cells[i], bytes);
                }
                if (cells[i] == HR_BYTES_NONE)
                        continue;
                least = MIN(least, cells[i]);
                most = MAX(most, cells[i]);
        }
        /* The whole height is an eighth of it at least, and 1 MiB: noise looks like what it is; chosen. */
        range = MAX(hr_sub(most, least), MAX(most / 8, HR_MIB));
        for (unsigned i = 0; i < width; i++) {
                uint64_t level =
                        cells[i] == HR_BYTES_NONE ? 0 : (cells[i] - least) / MAX(range / 7, (uint64_t)1);

                level = MIN(level, (uint64_t)7);
                end = append(end, cells[i] == HR_BYTES_NONE ? " " : utf8 ? glyphs[level] : signs[level]);
        }
        return buf;
}

/* ---- lines ---- */

/* Text of so many columns, a byte each unless it is said, as far as there is room. */
static void put_columns(struct hr_topview_line *l, unsigned room, const char *text, unsigned columns)
{
        size_t n = strlen(text);

        if (l->columns >= room || l->size + n >= sizeof(l->text))
                return;
        if (n == columns) { /* each is a byte, and it may be cut */
                n = MIN(n, (size_t)(room - l->columns));
                columns = (unsigned)n;
        } else if (columns > room - l->columns) {
                return;
        }
        memcpy(l->text + l->size, text, n);
        l->size += n;
        l->text[l->size] = '\0';
        l->columns += columns;
}

static void put(struct hr_topview_line *l, unsigned room, const char *text)
{
        put_columns(l, room, text, (unsigned)strlen(text));
}

static void HR_PRINTF(3, 4) put_format(struct hr_topview_line *l, unsigned room, const char *format, ...)
{
        char text[HR_TOPVIEW_CELL_SIZE];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        put(l, room, text);
}

static void put_blanks(struct hr_topview_line *l, unsigned room, unsigned count)
{
        for (unsigned i = 0; i < count; i++)
                put(l, room, " ");
}

/* A part that is shown whole or not at all. */
static void put_part(struct hr_topview_line *l, unsigned room, const char *separator, const char *text)
{
        if (l->columns > 0 && l->columns + strlen(separator) + strlen(text) > room)
                return;
        if (l->columns > 0)
                put(l, room, separator);
        put(l, room, text);
}

static void begin(struct hr_topview_line *l, enum hr_topview_look look)
{
        l->text[0] = '\0';
        l->size = 0;
        l->columns = 0;
        l->look = look;
        l->span_at = l->span_size = 0;
        l->span_style = HR_STYLE_PLAIN;
}

enum column { JOB, NAME, USER, STAGE, BAR, PERCENT, USED, LIMIT, GROWTH, LEFT, SPARK, COLUMN_COUNT };

/* In the order in which they stand. rank: 0 is the last to go. */
static const struct {
        const char *title;
        unsigned least, rank;
        bool right;
} columns[COLUMN_COUNT] = {
        [JOB] = {"JOB", 3, 0, false},
        [NAME] = {"NAME", 6, 2, false},
        [USER] = {"USER", 6, 8, false},
        [STAGE] = {"STAGE", 10, 3, false},
        [BAR] = {"FILL", 6, 6, false},
        [PERCENT] = {"%", 4, 4, true},
        [USED] = {"USED", 5, 5, true},
        [LIMIT] = {"LIMIT", 5, 7, true},
        [GROWTH] = {"GROWTH", 7, 9, true},
        [LEFT] = {"LEFT", 6, 1, true},
        [SPARK] = {"3 MIN", 6, 10, true},
};

static const struct {
        enum column column;
        unsigned most; /* columns, in this round */
} shares[] = {
        {NAME, 12},
        {SPARK, 10},
        {BAR, 10},
        {USER, 10},
        {NAME, 20},
        {SPARK, 30},
        {BAR, 20},
        {NAME, 40},
        {USER, 16},
        {SPARK, 60},
        {BAR, 40},
};

#define MESSAGE_LINES_MAX 3 /* where the screen is not low; chosen, not tuned */
#define MARK 1              /* column that tells which is selected, without colours */

struct layout {
        unsigned width[COLUMN_COUNT]; /* 0: not shown */
};

static void lay_out(const struct hr_topview *view, unsigned width, struct layout *ret)
{
        unsigned used = MARK, most[COLUMN_COUNT] = {[BAR] = UINT32_MAX, [SPARK] = UINT32_MAX}, job = 0;
        bool several = false;

        *ret = (struct layout){0};
        for (size_t i = 0; i < view->count; i++) {
                const struct hr_topview_job *j = &view->jobs[i];

                job = MAX(job, (unsigned)strlen(j->job));
                most[NAME] = MAX(most[NAME], (unsigned)strlen(j->name));
                most[USER] = MAX(most[USER], (unsigned)strlen(j->user));
                several |= strcmp(j->user, view->jobs[0].user) != 0;
        }
        for (unsigned rank = 0; rank < COLUMN_COUNT; rank++)
                for (unsigned c = 0; c < COLUMN_COUNT; c++) {
                        unsigned least = c == JOB ? MAX(columns[c].least, job) : columns[c].least;
                        unsigned gap = used > MARK ? 1 : 0;

                        if (columns[c].rank != rank || (c == USER && !several))
                                continue;
                        if (used + gap + least > width && rank > 0)
                                continue;
                        ret->width[c] = least;
                        used += gap + least;
                }
        for (size_t i = 0; i < ELEMENTSOF(shares); i++) {
                enum column c = shares[i].column;
                unsigned wanted = (unsigned)hr_sub(MIN(shares[i].most, most[c]), ret->width[c]);

                if (ret->width[c] == 0 || used >= width)
                        continue;
                wanted = MIN(wanted, width - used);
                ret->width[c] += wanted;
                used += wanted;
        }
}

/* What stands in a cell; returns its columns. */
static unsigned make_cell(char *buf, const struct hr_topview *view, const struct hr_topview_frame *frame,
        const struct hr_topview_job *job, enum column c, unsigned width)
{
        const char *text = NULL;

        buf[0] = '\0';
        switch (c) {
        case JOB:
                text = job->job;
                break;
        case NAME:
                text = *job->name ? job->name : "-";
                break;
        case USER:
                text = job->user;
                break;
        case STAGE:
                text = job->stage;
                break;
        case BAR:
                if (job->limit_bytes == HR_BYTES_NONE) {
                        text = "-";
                        break;
                }
                hr_topview_bar(buf, job->ratio_permyriad, width, frame->utf8);
                return width;
        case PERCENT:
                if (job->limit_bytes == HR_BYTES_NONE)
                        text = "-";
                else
                        snprintf(buf, HR_TEXT_SIZE_MAX, "%u%%", MIN(job->ratio_permyriad / 100, 999U));
                break;
        case USED:
                hr_topview_format_bytes(buf, job->used_bytes);
                break;
        case LIMIT:
                hr_topview_format_bytes(buf, job->limit_bytes);
                break;
        case GROWTH:
                if (job->frozen || job->growth_bytes_per_second == 0)
                        text = "-";
                else
                        strcat(hr_topview_format_bytes(
                                       buf, MIN(job->growth_bytes_per_second, HR_BYTES_NONE - 1)),
                                "/s");
                break;
        case LEFT:
                if (job->frozen)
                        text = "held";
                else
                        hr_topview_format_left(buf, job->left_usec);
                break;
        case SPARK:
                hr_topview_spark(buf, job->history, view->second, width, frame->utf8);
                return width;
        case COLUMN_COUNT:
                break;
        }
        if (text)
                snprintf(buf, HR_TOPVIEW_CELL_SIZE, "%s", text);
        if (strlen(buf) > width) {
                buf[width] = '\0';
                if (width > 1 && c == NAME)
                        buf[width - 1] = '~';
        }
        return (unsigned)strlen(buf);
}

/* A line of the table; of its titles where job is NULL. */
static void put_row(struct hr_topview_line *l, const struct hr_topview *view,
        const struct hr_topview_frame *frame, const struct layout *layout, const struct hr_topview_job *job)
{
        bool selected = job && job == hr_topview_selected(view), first = true;
        char cell[HR_TOPVIEW_CELL_SIZE];

        begin(l, !job ? HR_TOPVIEW_HEADING : selected ? HR_TOPVIEW_SELECTED : HR_TOPVIEW_PLAIN);
        put(l, frame->width, selected ? ">" : " ");
        for (unsigned c = 0; c < COLUMN_COUNT; c++) {
                unsigned width = layout->width[c], size, pad;

                if (width == 0)
                        continue;
                if (!first)
                        put(l, frame->width, " ");
                first = false;
                if (job) {
                        size = make_cell(cell, view, frame, job, c, width);
                } else {
                        size = (unsigned)snprintf(cell, width + 1, "%s", columns[c].title);
                        size = MIN(size, width);
                }
                pad = width - size;
                put_blanks(l, frame->width, columns[c].right ? pad : 0);
                if (job && c == STAGE && job->style != HR_STYLE_PLAIN) {
                        l->span_at = l->size;
                        l->span_style = job->style;
                }
                put_columns(l, frame->width, cell, size);
                if (l->span_style != HR_STYLE_PLAIN && c == STAGE)
                        l->span_size = l->size - l->span_at;
                put_blanks(l, frame->width, columns[c].right ? 0 : pad);
        }
        if (selected)
                put_blanks(l, frame->width, frame->width - l->columns);
}

static void put_header(
        struct hr_topview_line *l, const struct hr_topview *view, const struct hr_topview_frame *frame)
{
        char text[160], a[HR_TEXT_SIZE_MAX], b[HR_TEXT_SIZE_MAX];
        uint64_t used_bytes = 0, held = 0;

        for (size_t i = 0; i < view->count; i++) {
                used_bytes = hr_add(used_bytes, view->jobs[i].used_bytes);
                held += view->jobs[i].frozen;
        }
        begin(l, HR_TOPVIEW_HEADING);
        if (frame->lost)
                put_part(l, frame->width, "", "NO DAEMON");
        snprintf(text, sizeof(text), "%zu job%s", view->count, view->count == 1 ? "" : "s");
        put_part(l, frame->width, ": ", text);
        snprintf(text, sizeof(text), "%" PRIu64 " held", held);
        put_part(l, frame->width, ", ", text);
        snprintf(text, sizeof(text), "%s used",
                hr_topview_format_bytes(a, MIN(used_bytes, HR_BYTES_NONE - 1)));
        put_part(l, frame->width, ", ", text);
        if (frame->host_bytes > 0) {
                snprintf(text, sizeof(text), "host %s of %s",
                        hr_topview_format_bytes(a, frame->host_used_bytes),
                        hr_topview_format_bytes(b, frame->host_bytes));
                put_part(l, frame->width, "; ", text);
        }
        snprintf(text, sizeof(text), "by %s", sort_names[view->sort]);
        put_part(l, frame->width, "; ", text);
        if (*view->filter) {
                snprintf(text, sizeof(text), "filter %s: %zu", view->filter, view->shown_count);
                put_part(l, frame->width, "; ", text);
        }
        if (frame->all_count > view->count) {
                snprintf(text, sizeof(text), "%" PRIu64 " of all users", frame->all_count);
                put_part(l, frame->width, "; ", text);
        }
}

/* The n-th line of text that is broken at blanks; "" past its end. */
static void put_wrapped(struct hr_topview_line *l, unsigned room, const char *text, unsigned n)
{
        for (unsigned i = 0; *text; i++) {
                const char *next;
                size_t size = hr_text_first_line(text, room, &next);

                if (i == n)
                        put_format(l, room, "%.*s", (int)size, text);
                text = next;
        }
}

static const char *const help[] = {
        "up, down, j, k    select; also page up, page down, home, end",
        "s                 sort by: time left, used, growth, name",
        "/                 show those whose name or user has this in it; Esc: all",
        "h                 hold: freeze it where it is, state kept",
        "r                 resume it, with a new limit or without",
        "t                 trim: have it give back memory",
        "c                 checkpoint: have its work saved",
        "i                 interrupt: end it so that it can save",
        "q                 quit",
        "",
        "LEFT is the time to the limit, at its present growth; the last column is",
        "what it used in the last three minutes.",
};

/* The line where there are no jobs to show. */
static void put_none(struct hr_topview_line *l, const struct hr_topview *view,
        const struct hr_topview_frame *frame, unsigned n)
{
        char text[256];

        begin(l, HR_TOPVIEW_PLAIN);
        if (view->count > 0)
                snprintf(text, sizeof(text), "no job's name or user has %s in it; Esc shows all",
                        view->filter);
        else if (frame->lost)
                snprintf(text, sizeof(text), "no jobs are known");
        else
                snprintf(text, sizeof(text), "%s; start one with: headroom run --limit 8G -- COMMAND",
                        frame->all_count > 0 ? "no jobs of yours" : "no jobs are watched");
        put_wrapped(l, frame->width, text, n);
}

static const char *const keys[] = {"s:sort", "/:filter", "h:hold", "r:resume", "t:trim", "c:checkpoint",
        "i:interrupt", "q:quit", "?:help"};

/* The keys that fit, the last two before all others. */
static void put_keys(struct hr_topview_line *l, unsigned room)
{
        unsigned kept = (unsigned)(strlen(" q:quit ?:help"));

        begin(l, HR_TOPVIEW_HEADING);
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                bool last = i + 2 >= ELEMENTSOF(keys);

                if (last || l->columns + 1 + strlen(keys[i]) + kept <= room)
                        put_part(l, room, " ", keys[i]);
        }
}

/* How many lines a text takes, up to so many. */
static unsigned count_lines(const char *text, unsigned room, unsigned most)
{
        unsigned n = 0;

        while (*text && n < most) {
                (void)hr_text_first_line(text, room, &text);
                n++;
        }
        return n;
}

/* The n-th of so many lines of the message, the last one cut. */
static void put_message(
        struct hr_topview_line *l, const struct hr_topview_frame *frame, unsigned n, unsigned count)
{
        if (!frame->question) {
                begin(l, HR_TOPVIEW_LOUD);
                if (count > 1)
                        put_wrapped(l, frame->width, frame->message, n);
                else
                        put(l, frame->width, frame->message);
                return;
        }
        begin(l, HR_TOPVIEW_PROMPT);
        put(l, frame->width, frame->question);
        /* Where it is long, its end is what is being typed. */
        if (l->columns + strlen(frame->typed) + 1 > frame->width) {
                size_t keep = MIN(strlen(frame->typed), (size_t)(frame->width / 2));

                l->columns = (unsigned)hr_sub(frame->width, keep + 1);
                l->size = MIN(l->size, (size_t)l->columns);
                l->columns = (unsigned)l->size;
                put(l, frame->width, frame->typed + strlen(frame->typed) - keep);
                return;
        }
        put(l, frame->width, frame->typed);
}

void hr_topview_draw(struct hr_topview *view, const struct hr_topview_frame *given, hr_topview_emit_fn emit,
        void *userdata)
{
        const struct hr_topview_job *selected = hr_topview_selected(view);
        struct hr_topview_frame limited = *given, *frame = &limited;
        bool asks = frame->question || *frame->message;
        struct hr_topview_line line;
        unsigned row = 0, rows, titles, reason, message, key;
        struct layout layout;

        frame->width = MIN(frame->width, (unsigned)HR_TOPVIEW_WIDTH_MAX);
        key = frame->height >= 6;
        reason = frame->height >= 16 ? 2 : frame->height >= 5;
        message = frame->height >= 4 || (asks && frame->height >= 2);
        if (frame->height >= 16 && !frame->question)
                message = MAX(count_lines(frame->message, frame->width, MESSAGE_LINES_MAX), 1U);
        titles = frame->height >= 4;
        rows = (unsigned)hr_sub(frame->height, 1 + titles + reason + message + key);
        /* The selected one is seen, and no line stays empty that has a job to show. */
        if (rows > 0 && !frame->help) {
                view->first = MIN(view->first, (size_t)hr_sub(view->shown_count, rows));
                view->first = MIN(view->first, view->at);
                view->first = MAX(view->first, (size_t)hr_sub(view->at + 1, rows));
        }
        lay_out(view, frame->width, &layout);
        if (frame->height > 0) {
                put_header(&line, view, frame);
                emit(row++, &line, userdata);
        }
        if (titles) {
                if (frame->help)
                        begin(&line, HR_TOPVIEW_PLAIN);
                else
                        put_row(&line, view, frame, &layout, NULL);
                emit(row++, &line, userdata);
        }
        for (unsigned i = 0; i < rows; i++) {
                if (frame->help) {
                        begin(&line, HR_TOPVIEW_PLAIN);
                        put(&line, frame->width, i < ELEMENTSOF(help) ? help[i] : "");
                } else if (view->shown_count == 0) {
                        put_none(&line, view, frame, i);
                } else if (view->first + i < view->shown_count) {
                        put_row(&line, view, frame, &layout, view->shown[view->first + i]);
                } else {
                        begin(&line, HR_TOPVIEW_PLAIN);
                }
                emit(row++, &line, userdata);
        }
        for (unsigned i = 0; i < reason; i++) {
                char text[sizeof(selected->job) + sizeof(selected->name) + sizeof(selected->reason) + 8];

                begin(&line, HR_TOPVIEW_PLAIN);
                if (selected && !frame->help) {
                        snprintf(text, sizeof(text), "%s%s%s: %s", selected->job, *selected->name ? " " : "",
                                selected->name, *selected->reason ? selected->reason : "nothing to report");
                        put_wrapped(&line, frame->width, text, i);
                }
                emit(row++, &line, userdata);
        }
        for (unsigned i = 0; i < message; i++) {
                put_message(&line, frame, i, message);
                emit(row++, &line, userdata);
        }
        if (key) {
                put_keys(&line, frame->width);
                emit(row++, &line, userdata);
        }
}
