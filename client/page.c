/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "page.h"

/*
 * HTML and SVG without a script, a font or a picture of somebody else's: it can be mailed. Everything that
 * came from outside goes through `text`. The page may load nothing, and says so to the browser
 * (Content-Security-Policy), in case something was overlooked.
 *
 * The drawing: use as a line over an area, cache as a hatched area on top of it, the limit as a dashed line;
 * below, the stages as bands, each with a pattern of its own, and what was done as numbered marks, which the
 * table beneath explains. The key names what is drawn, and nothing else. Colours follow the reader's light or
 * dark; nothing is told by colour alone.
 *
 * The narrower the window, the smaller the drawing and the larger its letters within it (see `head`). What
 * fits between its neighbours only while letters are small is `tight`, and left out of a narrow window; a
 * wide one has no use for all the room at the left that large letters need.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "output.h"
#include "story.h"
#include "text.h"
#include "think/sample.h"
#include "think/units.h"

/* Of the drawing, in its own units. */
#define WIDTH 720
#define LEFT 146
#define RIGHT 690
#define TOP 24
#define BOTTOM 260
#define BAND_TOP 292
#define BAND_HEIGHT 34
#define MARK_Y 284
#define HEIGHT 366
#define GRID_MAX 5
#define OPTION_MAX 24 /* letters that fit a line of any window */
/* How wide a bold letter is, about: 0.7 of its size, which is 12, and up to 28 in a narrow window. */
#define LETTER 9
#define LETTER_NARROW 20

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

/* An option's letters, 0 where none begins: "--" at the end of a line would be another word. */
static size_t option_size(const char *text, const char *at)
{
        size_t n = strspn(at, "-");
        bool begins = at == text || at[-1] == ' ' || at[-1] == '(';

        n += begins && n > 0
                     ? strspn(at + n, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
                     : 0;
        return begins && n <= OPTION_MAX ? n : 0;
}

/*
 * A number stays on the line of its unit, but in a command, which may be copied; an option is not broken at
 * its hyphens.
 */
static void write_text(FILE *f, const char *t, bool is_prose)
{
        _free_ char *safe = NULL;
        size_t size = 0, option = 0;
        FILE *to = open_memstream(&safe, &size);

        if (!to)
                return;
        hr_text_write_escaped(to, t, false);
        if (fclose(to) != 0)
                return;
        for (const char *c = safe; *c; c++) {
                if (option == 0 && (option = option_size(safe, c)) > 0)
                        fputs("<span class=option>", f);
                switch (*c) {
                case ' ':
                        fputs(is_prose && c > safe && is_digit(c[-1]) && !is_digit(c[1]) ? "&nbsp;" : " ", f);
                        break;
                case '&':
                        fputs("&amp;", f);
                        break;
                case '<':
                        fputs("&lt;", f);
                        break;
                case '>':
                        fputs("&gt;", f);
                        break;
                case '"':
                        fputs("&quot;", f);
                        break;
                case '\'':
                        fputs("&#39;", f);
                        break;
                default:
                        fputc(*c, f);
                }
                if (option > 0 && --option == 0)
                        fputs("</span>", f);
        }
}

static void text(FILE *f, const char *t)
{
        write_text(f, t, true);
}

/* ---- the scale ---- */

struct scale {
        uint64_t start_usec, span_usec, top_bytes;
        uint64_t grid_bytes; /* from line to line */
};

/* 1, 2 or 5 times a power of ten of the largest unit that fits, so that GRID_MAX lines or fewer reach it. */
static uint64_t round_grid(uint64_t most_bytes)
{
        static const unsigned steps[] = {1, 2, 5, 10, 20, 50, 100, 200};
        uint64_t unit = HR_KIB;

        while (most_bytes / 1024 >= unit)
                unit *= 1024;
        for (size_t i = 0; i < ELEMENTSOF(steps); i++)
                if (most_bytes / steps[i] / GRID_MAX < unit)
                        return unit * steps[i];
        return 500 * unit;
}

static struct scale find_scale(const struct hr_call_story *s)
{
        struct scale c = {.start_usec = s->record.start_usec};
        uint64_t end = s->record.end_usec, limit = s->record.limit_bytes, most = s->record.peak_bytes;

        for (size_t i = 0; i < s->points.count; i++) {
                const struct hr_call_point *p = &s->points.points[i];

                c.start_usec = MIN(c.start_usec, p->time_usec);
                end = MAX(end, p->time_usec);
                most = MAX(most, p->used_bytes);
        }
        /* A limit far above says little, and would flatten the rest. */
        if (limit != HR_BYTES_NONE && limit < 8 * MAX(most, HR_MIB))
                most = MAX(most, limit);
        c.top_bytes = MAX(hr_add(most, most / 20), HR_MIB);
        c.grid_bytes = round_grid(c.top_bytes);
        c.span_usec = MAX(hr_sub(end, c.start_usec), 1U);
        return c;
}

static double x_of(const struct scale *c, uint64_t usec)
{
        double at = (double)hr_sub(usec, c->start_usec) / (double)c->span_usec;
        return LEFT + (RIGHT - LEFT) * MIN(at, 1.0);
}

static double y_of(const struct scale *c, uint64_t bytes)
{
        double at = (double)bytes / (double)c->top_bytes;
        return BOTTOM - (BOTTOM - TOP) * MIN(at, 1.0);
}

/* ---- the drawing ---- */

static void draw_grid(FILE *f, const struct scale *c)
{
        char words[HR_TEXT_SIZE_MAX];

        for (uint64_t bytes = 0; bytes <= c->top_bytes; bytes += c->grid_bytes) {
                double y = y_of(c, bytes);

                fprintf(f,
                        "<line class=grid x1=%d x2=%d y1=%.1f y2=%.1f /><text x=%d y=%.1f dy=.35em "
                        "text-anchor=end>%s</text>\n",
                        LEFT, RIGHT, y, y, LEFT - 12, y, hr_units_format_bytes(words, bytes));
        }
        for (unsigned i = 0; i <= 4; i++) {
                uint64_t usec = c->span_usec / 4 * i;

                fprintf(f, "<text%s x=%.1f y=%d text-anchor=%s>%s</text>\n", i % 2 ? " class=tight" : "",
                        x_of(c, c->start_usec + usec), HEIGHT - 8,
                        i == 0   ? "start"
                        : i == 4 ? "end"
                                 : "middle",
                        i == 0 ? "0" : hr_units_format_time(words, usec));
        }
}

static void draw_area(FILE *f, const struct scale *c, const struct hr_call_list *points, bool cache)
{
        const struct hr_call_point *p = points->points;

        fprintf(f, "<path class=%s d=\"M%.1f %.1f", cache ? "cache" : "used", x_of(c, p[0].time_usec),
                cache ? y_of(c, p[0].used_bytes) : (double)BOTTOM);
        for (size_t i = 0; i < points->count; i++)
                fprintf(f, " L%.1f %.1f", x_of(c, p[i].time_usec),
                        y_of(c, p[i].used_bytes + (cache ? p[i].cache_bytes : 0)));
        if (cache)
                for (size_t i = points->count; i-- > 0;)
                        fprintf(f, " L%.1f %.1f", x_of(c, p[i].time_usec), y_of(c, p[i].used_bytes));
        else
                fprintf(f, " L%.1f %d", x_of(c, p[points->count - 1].time_usec), BOTTOM);
        fputs(" Z\"/>\n", f);
}

/* Is there a limit on it? */
static bool draw_lines(FILE *f, const struct scale *c, const struct hr_call_list *points)
{
        const struct hr_call_point *p = points->points;
        bool open = false, any = false;

        fputs("<path class=line d=\"", f);
        for (size_t i = 0; i < points->count; i++)
                fprintf(f, "%c%.1f %.1f ", i == 0 ? 'M' : 'L', x_of(c, p[i].time_usec),
                        y_of(c, p[i].used_bytes));
        fputs("\"/>\n<path class=limit d=\"", f);
        for (size_t i = 0; i < points->count; i++) { /* in steps: it is what it was until it is changed */
                bool shown = p[i].limit_bytes != HR_BYTES_NONE && p[i].limit_bytes <= c->top_bytes;

                if (shown && !open)
                        fprintf(f, "M%.1f %.1f ", x_of(c, p[i].time_usec), y_of(c, p[i].limit_bytes));
                else if (shown)
                        fprintf(f, "H%.1f V%.1f ", x_of(c, p[i].time_usec), y_of(c, p[i].limit_bytes));
                open = shown;
                any |= shown;
        }
        if (open)
                fprintf(f, "H%d", RIGHT);
        fputs("\"/>\n", f);
        return any;
}

/* The bit of its stage, 0 where nothing is drawn. */
static unsigned draw_band(FILE *f, const struct scale *c, const char *stage, uint64_t from, uint64_t to)
{
        int known = hr_stage_from_name(stage);
        double x = x_of(c, from), wide = x_of(c, to) - x;
        size_t letters = strlen(stage) + 1;

        if (known <= HR_STAGE_OK || wide <= 0)
                return 0;
        wide = MAX(wide, 2.0);
        fprintf(f,
                "<rect class=band x=%.1f y=%d width=%.1f height=%d "
                "fill=\"url(#s%d)\"><title>%s</title></rect>\n",
                x, BAND_TOP, wide, BAND_HEIGHT, known, stage);
        if (wide > (double)(LETTER * letters))
                fprintf(f, "<text class=\"stage%s\" x=%.1f y=%d dy=.35em text-anchor=middle>%s</text>\n",
                        wide > (double)(LETTER_NARROW * letters) ? "" : " tight", x + wide / 2,
                        BAND_TOP + BAND_HEIGHT / 2, stage);
        return 1U << known;
}

/* Has its number room after the one before it, and before the last one, which is always told? */
static bool has_room(double x, double before, double last, double room)
{
        return x - before >= room && (x >= last || last - x >= room);
}

/* Every stage that it was in, and a numbered mark for each thing that was done; the bits of the stages. */
static unsigned draw_deeds(FILE *f, const struct scale *c, const struct hr_call_story *s)
{
        const struct hr_call_deed *d = s->deeds.deeds;
        const char *stage = "ok";
        uint64_t since = c->start_usec;
        double letters = s->deeds.count < 100 ? 2.5 : 3.5; /* of a number, and a gap */
        double line = 0, number = 0, narrow = 0;           /* where the one before is */
        double last = s->deeds.count > 0 ? x_of(c, d[s->deeds.count - 1].time_usec) : 0;
        unsigned stages = 0;

        for (size_t i = 0; i < s->deeds.count; i++)
                if (strcmp(d[i].stage, stage) != 0) {
                        stages |= draw_band(f, c, stage, since, d[i].time_usec);
                        stage = d[i].stage;
                        since = d[i].time_usec;
                }
        stages |= draw_band(f, c, stage, since, c->start_usec + c->span_usec);
        for (size_t i = 0; i < s->deeds.count; i++) {
                double x = x_of(c, d[i].time_usec);
                bool is_narrow;

                if (x - line >= 4) { /* else they would run into one */
                        fprintf(f, "<line class=mark x1=%.1f x2=%.1f y1=%d y2=%d />\n", x, x, TOP,
                                BAND_TOP - 2);
                        line = x;
                }
                if (!has_room(x, number, last, letters * LETTER))
                        continue;
                number = x;
                is_narrow = has_room(x, narrow, last, letters * LETTER_NARROW);
                if (is_narrow)
                        narrow = x;
                fprintf(f, "<text class=\"number%s\" x=%.1f y=%d text-anchor=middle>%zu</text>\n",
                        is_narrow ? "" : " tight", x, MARK_Y, i + 1);
        }
        return stages;
}

static const char patterns[] =
        "<defs>\n"
        "<pattern id=hatch width=6 height=6 patternUnits=userSpaceOnUse><path class=ink d=\"M0 6 L6 0\"/>"
        "</pattern>\n"
        "<pattern id=s1 width=9 height=9 patternUnits=userSpaceOnUse><circle class=dot cx=4.5 cy=4.5 r=1.8 />"
        "</pattern>\n"
        "<pattern id=s2 width=8 height=8 patternUnits=userSpaceOnUse><path class=ink d=\"M0 4 H8\"/>"
        "</pattern>\n"
        "<pattern id=s3 width=8 height=8 patternUnits=userSpaceOnUse><path class=ink d=\"M4 0 V8\"/>"
        "</pattern>\n"
        "<pattern id=s4 width=8 height=8 patternUnits=userSpaceOnUse><path class=ink d=\"M-1 1 L1 -1 M0 8 L8 "
        "0 "
        "M7 9 L9 7\"/></pattern>\n"
        "<pattern id=s5 width=10 height=10 patternUnits=userSpaceOnUse><path class=ink d=\"M0 0 L10 10 M0 10 "
        "L10 0\"/></pattern>\n"
        "<pattern id=s6 width=6 height=6 patternUnits=userSpaceOnUse><path class=ink d=\"M0 3 H6 M3 0 V6\"/>"
        "</pattern>\n"
        "</defs>\n";

/* Each as it is drawn. */
static void write_key(
        FILE *f, bool has_points, bool has_cache, bool has_limit, bool has_deeds, unsigned stages)
{
        const struct {
                bool is_drawn;
                const char *shape, *words;
        } rows[] = {
                {has_points, "<path class=used d=\"M0 2H32V16H0Z\"/><path class=line d=\"M0 2H32\"/>",
                        "used"},
                {has_cache, "<path class=cache d=\"M0 0H32V16H0Z\"/>", "cache, which the kernel can drop"},
                {has_limit, "<path class=limit d=\"M0 8H32\"/>", "its limit"},
                {has_deeds, "<path class=mark d=\"M16 0V16\"/>", "what was done, by its number"},
        };
        static const char item[] = "<li><svg viewBox=\"0 0 32 16\" aria-hidden=true>";

        fputs("<ul class=key>\n", f);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rows[i].is_drawn)
                        fprintf(f, "%s%s</svg>%s\n", item, rows[i].shape, rows[i].words);
        for (int i = HR_STAGE_NOTICE; i < HR_STAGE_COUNT; i++)
                if (stages & 1U << i)
                        fprintf(f,
                                "%s<path class=band d=\"M1 1H31V15H1Z\" fill=\"url(#s%d)\"/></svg>stage "
                                "%s\n",
                                item, i, hr_stage_name(i));
        fputs("</ul>\n", f);
}

static void draw(FILE *f, const struct hr_call_story *s)
{
        struct scale c = find_scale(s);
        bool has_points = s->points.count > 0, has_cache = false, has_limit = false;
        unsigned stages;

        fprintf(f, "<svg viewBox=\"0 0 %d %d\" role=img aria-label=\"memory over time\">\n%s", WIDTH, HEIGHT,
                patterns);
        draw_grid(f, &c);
        if (has_points) {
                draw_area(f, &c, &s->points, false);
                for (size_t i = 0; i < s->points.count; i++) /* more than its line is wide */
                        has_cache |= s->points.points[i].cache_bytes > c.top_bytes / 100;
                if (has_cache)
                        draw_area(f, &c, &s->points, true);
                has_limit = draw_lines(f, &c, &s->points);
        }
        stages = draw_deeds(f, &c, s);
        fputs("</svg>\n", f);
        write_key(f, has_points, has_cache, has_limit, s->deeds.count > 0, stages);
}

/* ---- the page ---- */

static const char head[] =
        "<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src "
        "'unsafe-inline'\">\n"
        "<meta name=viewport content=\"width=device-width, initial-scale=1\">\n"
        "<meta name=color-scheme content=\"light dark\">\n"
        "<style>\n"
        ":root{--ink:#1a1a1a;--paper:#fff;--soft:#666;--rule:#ddd;--used:#0b5cad;--limit:#a3330b}\n"
        "@media(prefers-color-scheme:dark){:root{--ink:#eee;--paper:#161616;--soft:#aaa;--rule:#3a3a3a;"
        "--used:#7db8f0;--limit:#ffa37a}}\n"
        "body{margin:0 auto;padding:1rem;max-width:50rem;background:var(--paper);color:var(--ink);"
        "font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}\n"
        "h1{font-size:1.4rem;line-height:1.25;margin:0 0 .5rem}h2{font-size:1.1rem;margin:1.5rem 0 .5rem}\n"
        "code,pre{font-family:ui-monospace,monospace;font-size:.9rem;white-space:pre-wrap}\n"
        "pre{margin:.2rem 0 .8rem;padding:.5rem;border:1px solid var(--rule)}\n"
        ".option{white-space:nowrap}@media screen{dd,pre{max-height:14rem;overflow-y:auto}}\n"
        "dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:.5rem 0}"
        "dt{color:var(--soft)}dd{margin:0}\n"
        "svg{width:100%;height:auto;display:block}\n"
        "svg text{fill:var(--ink);font:12px system-ui,sans-serif;paint-order:stroke;stroke:var(--paper);"
        "stroke-width:.3em}svg .stage,svg .number{font-weight:bold}\n"
        ".grid,.line,.limit,.mark,.band{vector-effect:non-scaling-stroke}\n"
        ".grid{stroke:var(--rule)}.used{fill:var(--used);fill-opacity:.25}.cache{fill:url(#hatch)}\n"
        ".line{fill:none;stroke:var(--used);stroke-width:2}\n"
        ".limit{fill:none;stroke:var(--limit);stroke-width:2;stroke-dasharray:8 4}\n"
        ".ink{fill:none;stroke:var(--soft);stroke-width:1.5}.dot{fill:var(--soft)}\n"
        ".band{stroke:var(--ink)}.mark{stroke:var(--soft);stroke-dasharray:1 3}\n"
        ".key{list-style:none;margin:.5rem 0;padding:0;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;"
        "font-size:.85rem;color:var(--soft)}.key "
        "svg{display:inline-block;width:2rem;height:1rem;vertical-align:middle;margin-right:.4rem}\n"
        "table{border-collapse:collapse;width:100%;font-size:.9rem}\n"
        "th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-top:1px solid "
        "var(--rule)}th,td{white-space:nowrap}td:last-child{white-space:normal}\n"
        "@media(min-width:44.01rem){svg[role]{width:calc(100% + 4rem);margin-left:-4rem}}\n"
        "@media(max-width:44rem){svg text{font-size:17px}.tight{display:none}thead{display:none}"
        "tr{display:block;padding:.4rem 0;border-top:1px solid "
        "var(--rule)}td{display:inline;border:0;padding:0 "
        ".5rem 0 0}td:last-child{display:block}}\n"
        "@media(max-width:32rem){svg text{font-size:25px}dl{display:block}dd{margin-bottom:.5rem}}\n"
        "@media(max-width:22rem){svg text{font-size:28px}}\n"
        "</style>\n";

static void pair(FILE *f, const char *key, const char *value)
{
        if (!*value)
                return;
        fprintf(f, "<dt>%s</dt><dd>", key);
        write_text(f, value, strcmp(key, "command") != 0);
        fputs("</dd>\n", f);
}

static void write_facts(FILE *f, const struct hr_call_record *r)
{
        char words[2 * HR_TEXT_SIZE_MAX + 64], took[HR_TEXT_SIZE_MAX], peak[HR_TEXT_SIZE_MAX],
                limit[HR_TEXT_SIZE_MAX];
        char start[HR_OUTPUT_TIME_SIZE], end[HR_OUTPUT_TIME_SIZE], when[2 * HR_OUTPUT_TIME_SIZE + 64];

        fputs("<dl>\n", f);
        pair(f, "command", r->command);
        snprintf(when, sizeof(when), "%s to %s (%s)", hr_output_time(start, r->start_usec),
                hr_output_time(end, r->end_usec),
                hr_units_format_time(took, hr_sub(r->end_usec, r->start_usec)));
        pair(f, "time", when);
        snprintf(words, sizeof(words), "%s%s of %s", r->censored ? "at least " : "",
                hr_units_format_bytes(peak, r->peak_bytes),
                r->limit_bytes == HR_BYTES_NONE ? "no limit" : hr_units_format_bytes(limit, r->limit_bytes));
        pair(f, "peak", words);
        pair(f, "what held it", r->held_by);
        pair(f, "furthest stage", r->stage);
        pair(f, "policy", r->policy);
        pair(f, "user", r->user);
        pair(f, "at the end", r->reason);
        fputs("</dl>\n", f);
}

/* The time of day, and which day, where there were several. */
static void write_deeds(FILE *f, const struct hr_call_list *deeds, uint64_t left_out_count)
{
        char used[HR_TEXT_SIZE_MAX], clock[32];
        struct tm tm, first = {0};
        bool days = false;

        for (size_t i = 0; i < deeds->count; i++) {
                time_t seconds = (time_t)(deeds->deeds[i].time_usec / HR_USEC_PER_SEC);

                localtime_r(&seconds, i == 0 ? &first : &tm);
                days |= i > 0 && (tm.tm_yday != first.tm_yday || tm.tm_year != first.tm_year);
        }

        fputs("<h2>What was "
              "done</h2>\n<table><thead><tr><th>#<th>time<th>stage<th>used<th>what<th>why</thead>"
              "<tbody>\n",
                f);
        for (size_t i = 0; i < deeds->count; i++) {
                const struct hr_call_deed *d = &deeds->deeds[i];
                time_t seconds = (time_t)(d->time_usec / HR_USEC_PER_SEC);

                localtime_r(&seconds, &tm);
                strftime(clock, sizeof(clock), days ? "%m-%d %H:%M:%S" : "%H:%M:%S", &tm);
                fprintf(f, "<tr><td><b>%zu</b><td>%s<td>", i + 1, clock);
                text(f, d->stage);
                fprintf(f, "<td>%s<td>", hr_units_format_bytes(used, d->used_bytes));
                text(f, d->action);
                fputc(' ', f);
                text(f, d->outcome);
                fputs("<td>", f);
                text(f, d->reason);
                fputc('\n', f);
        }
        fputs("</tbody></table>\n", f);
        if (left_out_count > 0)
                fprintf(f, "<p>%" PRIu64 " more, before the last, are not on record.</p>\n", left_out_count);
}

void hr_page_write(FILE *f, const struct hr_call_story *s)
{
        struct hr_story_words w;

        hr_story_explain(s, &w);
        fputs(head, f);
        fputs("<title>", f);
        text(f, s->record.job);
        fputs(" (", f);
        text(f, s->record.name);
        fputs(")</title>\n</head>\n<body>\n<h1>", f);
        text(f, s->record.job);
        fputs(" (", f);
        text(f, s->record.name);
        fputs("): ", f);
        text(f, w.headline);
        fputs("</h1>\n", f);
        if (*w.sense) {
                fputs("<p>", f);
                text(f, w.sense);
                fputs("</p>\n", f);
        }
        draw(f, s);
        write_facts(f, &s->record);
        if (w.next_count > 0)
                fputs("<h2>What to do now</h2>\n", f);
        for (size_t i = 0; i < w.next_count; i++) {
                text(f, w.next[i].why);
                fputs(":<pre>", f);
                write_text(f, w.next[i].command, false);
                fputs("</pre>\n", f);
        }
        write_deeds(f, &s->deeds, s->record.left_out_count);
        fputs("</body>\n</html>\n", f);
}

/* Not readable by others: the command line stands in it. What is no plain file is written as it is. */
int hr_page_save(const struct hr_call_story *story, const char *path)
{
        _free_ char *part = NULL;
        struct stat st;
        bool plain = stat(path, &st) < 0 || S_ISREG(st.st_mode);
        FILE *f;
        int fd, r = 0;

        if (asprintf(&part, "%s%s", path, plain ? ".part" : "") < 0) {
                part = NULL;
                return -ENOMEM;
        }
        if (plain)
                (void)unlink(part); /* of a crash; or somebody waits there to read along, as in /tmp */
        fd = open(part, O_WRONLY | O_CLOEXEC | (plain ? O_CREAT | O_EXCL : 0), 0600);
        if (fd < 0)
                return -errno;
        f = fdopen(fd, "w");
        if (!f) {
                hr_close(fd);
                return -ENOMEM;
        }
        hr_page_write(f, story);
        if (ferror(f))
                r = -EIO;
        if (fclose(f) != 0 && r == 0)
                r = -errno;
        if (r == 0 && plain && rename(part, path) < 0)
                r = -errno;
        if (r < 0 && plain)
                (void)unlink(part);
        return r;
}
