/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "output.h"

/*
 * A caller describes its rows once, field by field, and the writer makes columns, a detailed view or JSON of
 * them, so that the three can't drift apart. Cells are made twice for columns, once to measure and once to
 * write: that spares a copy of everything, and a thousand jobs are written in a few milliseconds.
 *
 * What came from outside may hold anything. For people, control characters and invalid UTF-8 become \xHH, and
 * a backslash stays, since the daemon has escaped what it read once already; in JSON they become \u00HH and
 * U+FFFD.
 *
 * Styles are applied in styled() alone, which knows whether the descriptor is a terminal. Messages go out in
 * one write(2), so that lines of a job on the same terminal do not cut through them. Running out of memory
 * shows a cell as "?".
 */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "think/sample.h"
#include "think/units.h"

#define LEAST_LAST_COLUMN \
        16 /* characters: narrower than this a reason is not worth cutting; chosen, not tuned */

static const char *const style_codes[] = {
        [HR_STYLE_PLAIN] = "",
        [HR_STYLE_BOLD] = "\033[1m",
        [HR_STYLE_YELLOW] = "\033[1;33m",
        [HR_STYLE_RED] = "\033[1;31m",
};

enum hr_style hr_output_stage_style(const char *stage)
{
        static const enum hr_style styles[HR_STAGE_COUNT] = {
                [HR_STAGE_NOTICE] = HR_STYLE_BOLD,
                [HR_STAGE_TRIM] = HR_STYLE_YELLOW,
                [HR_STAGE_CHECKPOINT] = HR_STYLE_YELLOW,
                [HR_STAGE_HOLD] = HR_STYLE_RED,
                [HR_STAGE_INTERRUPT] = HR_STYLE_RED,
                [HR_STAGE_KILL] = HR_STYLE_RED,
        };
        int number = hr_stage_from_name(stage);

        return number < 0 ? HR_STYLE_PLAIN : styles[number];
}

static bool is_coloured(int fd)
{
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

        return !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0) && isatty(fd);
}

static void styled(FILE *f, int fd, enum hr_style style, const char *text)
{
        if (style != HR_STYLE_PLAIN && is_coloured(fd))
                fprintf(f, "%s%s\033[0m", style_codes[style], text);
        else
                fputs(text, f);
}

/* Bytes of the UTF-8 character at s: 1 to 4, or 0 where it is none, cut off, overlong or a surrogate. RFC
 * 3629. */
static size_t character(const char *s)
{
        const unsigned char *u = (const unsigned char *)s;
        size_t n;

        if (u[0] < 0x80)
                return 1;
        n = u[0] >= 0xc2 && u[0] <= 0xdf   ? 2
            : (u[0] & 0xf0) == 0xe0        ? 3
            : u[0] >= 0xf0 && u[0] <= 0xf4 ? 4
                                           : 0;
        for (size_t i = 1; i < n; i++)
                if ((u[i] & 0xc0) != 0x80)
                        return 0;
        if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) || (u[0] == 0xf0 && u[1] < 0x90) ||
                (u[0] == 0xf4 && u[1] > 0x8f))
                return 0;
        return n;
}

/* C0, DEL, and C1, which some terminals obey as well. */
static bool is_control(const char *s)
{
        const unsigned char *u = (const unsigned char *)s;

        return u[0] < 0x20 || u[0] == 0x7f || (u[0] == 0xc2 && u[1] < 0xa0);
}

static void write_escaped(FILE *f, const char *text, bool keep_newlines)
{
        while (*text) {
                size_t n = character(text);

                if (n > 0 && (!is_control(text) || (keep_newlines && *text == '\n'))) {
                        fwrite(text, 1, n, f);
                        text += n;
                        continue;
                }
                for (n = MAX(n, 1U); n > 0; n--, text++)
                        fprintf(f, "\\x%02x", (unsigned char)*text);
        }
}

static void write_json_string(FILE *f, const char *text)
{
        fputc('"', f);
        while (*text) {
                size_t n = character(text);

                if (n == 0) {
                        fputs("\\ufffd", f);
                        text++;
                } else if (n == 1 && is_control(text)) {
                        fprintf(f, "\\u%04x", (unsigned)*text++);
                } else {
                        if (*text == '"' || *text == '\\')
                                fputc('\\', f);
                        fwrite(text, 1, n, f);
                        text += n;
                }
        }
        fputc('"', f);
}

/* Characters, each taken as one column: names are ASCII, reasons nearly so. */
static size_t width_of(const char *text)
{
        size_t width = 0;

        for (; *text; text++)
                width += (*text & 0xc0) != 0x80;
        return width;
}

/* Cuts text that is wider than `width` to one character less, which leaves room for an ellipsis: true then.
 */
static bool cut(char *text, size_t width)
{
        size_t seen = 0;

        if (width_of(text) <= width)
                return false;
        for (; *text; text++)
                if ((*text & 0xc0) != 0x80 && ++seen == width)
                        break;
        *text = '\0';
        return true;
}

/* ---- cells ---- */

static uint64_t number_of(const struct hr_field *field, const void *row)
{
        return *(const uint64_t *)((const char *)row + field->offset);
}

static const char *text_of(const struct hr_field *field, const void *row)
{
        return *(const char *const *)((const char *)row + field->offset);
}

static bool is_number(enum hr_type type)
{
        return type != HR_TYPE_TEXT && type != HR_TYPE_STAGE && type != HR_TYPE_TIME && type != HR_TYPE_FLAG;
}

static void write_time(FILE *f, uint64_t usec, bool json)
{
        time_t seconds = (time_t)(usec / HR_USEC_PER_SEC);
        char text[40];
        struct tm tm;

        if (!(json ? gmtime_r(&seconds, &tm) : localtime_r(&seconds, &tm))) {
                fputs(json ? "null" : "?", f); /* a year beyond what fits into an int */
                return;
        }
        strftime(text, sizeof(text), json ? "%Y-%m-%dT%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &tm);
        if (json)
                fprintf(f, "\"%s.%06uZ\"", text, (unsigned)(usec % HR_USEC_PER_SEC));
        else
                fputs(text, f);
}

static void write_json_value(FILE *f, const struct hr_field *field, const void *row)
{
        const void *cell = (const char *)row + field->offset;

        switch (field->type) {
        case HR_TYPE_TEXT:
        case HR_TYPE_STAGE:
                if (text_of(field, row))
                        write_json_string(f, text_of(field, row));
                else
                        fputs("null", f);
                return;
        case HR_TYPE_FLAG:
                fputs(*(const bool *)cell ? "true" : "false", f);
                return;
        case HR_TYPE_SECONDS:
                if (number_of(field, row) == HR_USEC_NEVER)
                        fputs("null", f);
                else
                        fprintf(f, "%" PRIu64,
                                hr_add(number_of(field, row), HR_USEC_PER_SEC / 2) / HR_USEC_PER_SEC);
                return;
        case HR_TYPE_TIME:
                if (number_of(field, row) == 0)
                        fputs("null", f);
                else
                        write_time(f, number_of(field, row), true);
                return;
        case HR_TYPE_LEVEL:
                fprintf(f, "%" PRIu32, *(const uint32_t *)cell);
                return;
        case HR_TYPE_STATUS:
                if (*(const int64_t *)cell == -1)
                        fputs("null", f);
                else
                        fprintf(f, "%" PRId64, *(const int64_t *)cell);
                return;
        case HR_TYPE_PID:
                if (number_of(field, row) == 0) {
                        fputs("null", f);
                        return;
                }
                break;
        case HR_TYPE_BYTES:
                if (number_of(field, row) == HR_BYTES_NONE) {
                        fputs("null", f);
                        return;
                }
                break;
        case HR_TYPE_NUMBER:
        case HR_TYPE_RATE:
                break;
        }
        fprintf(f, "%" PRIu64, number_of(field, row));
}

static void write_text_value(FILE *f, const struct hr_field *field, const void *row)
{
        const void *cell = (const char *)row + field->offset;
        char text[HR_TEXT_SIZE_MAX];

        switch (field->type) {
        case HR_TYPE_TEXT:
        case HR_TYPE_STAGE:
                if (text_of(field, row) && *text_of(field, row))
                        write_escaped(f, text_of(field, row), false);
                else
                        fputc('-', f);
                return;
        case HR_TYPE_FLAG:
                fputs(*(const bool *)cell ? "yes" : "no", f);
                return;
        case HR_TYPE_BYTES:
                fputs(number_of(field, row) == HR_BYTES_NONE
                                ? "none"
                                : hr_units_format_bytes(text, number_of(field, row)),
                        f);
                return;
        case HR_TYPE_RATE:
                fprintf(f, "%s/s", hr_units_format_bytes(text, number_of(field, row)));
                return;
        case HR_TYPE_SECONDS:
                fputs(number_of(field, row) == HR_USEC_NEVER
                                ? "-"
                                : hr_units_format_time(text, number_of(field, row)),
                        f);
                return;
        case HR_TYPE_TIME:
                if (number_of(field, row) == 0)
                        fputc('-', f);
                else
                        write_time(f, number_of(field, row), false);
                return;
        case HR_TYPE_LEVEL:
                fprintf(f, "%" PRIu32 ".%" PRIu32, *(const uint32_t *)cell / 100,
                        *(const uint32_t *)cell % 100 / 10);
                return;
        case HR_TYPE_STATUS:
                if (*(const int64_t *)cell == -1)
                        fputc('-', f);
                else
                        fprintf(f, "%" PRId64, *(const int64_t *)cell);
                return;
        case HR_TYPE_PID:
                if (number_of(field, row) == 0) {
                        fputc('-', f);
                        return;
                }
                break;
        case HR_TYPE_NUMBER:
                break;
        }
        fprintf(f, "%" PRIu64, number_of(field, row));
}

/* What cells are written to: one stream for a whole table, since opening one clears 8 KiB. */
struct scratch {
        FILE *stream;
        char *text;
        size_t size;
};
static void scratch_done(struct scratch *s)
{
        if (s->stream)
                fclose(s->stream);
        free(s->text);
}
#define _scratch_ HR_CLEANUP(scratch_done)

/* A cell for people, its title where row is NULL; good until the next one. NULL for want of memory. */
static char *text_cell(struct scratch *s, const struct hr_field *field, const void *row)
{
        if (!s->stream)
                s->stream = open_memstream(&s->text, &s->size);
        if (!s->stream)
                return NULL;
        rewind(s->stream);
        if (row)
                write_text_value(s->stream, field, row);
        else
                fputs(field->title, s->stream);
        fputc('\0', s->stream);
        return fflush(s->stream) == 0 ? s->text : NULL;
}

/* ---- tables ---- */

static const void *row_at(const struct hr_table *table, const void *rows, size_t i)
{
        return (const char *)rows + i * table->row_size;
}

static void write_object(const struct hr_table *table, const void *row)
{
        const char *separator = "{";

        for (size_t i = 0; i < table->field_count; i++) {
                const struct hr_field *field = &table->fields[i];

                if (!field->key)
                        continue;
                printf("%s\"%s\": ", separator, field->key);
                write_json_value(stdout, field, row);
                separator = ", ";
        }
        putchar('}');
}

static void write_json(const struct hr_table *table, const void *rows, size_t count)
{
        putchar('[');
        for (size_t i = 0; i < count; i++) {
                fputs(i == 0 ? "\n" : ",\n", stdout);
                write_object(table, row_at(table, rows, i));
        }
        puts(count > 0 ? "\n]" : "]");
}

static void write_detail(const struct hr_table *table, const void *row)
{
        _scratch_ struct scratch scratch = {0};
        size_t width = 0;

        for (size_t i = 0; i < table->field_count; i++)
                if (table->fields[i].label)
                        width = MAX(width, strlen(table->fields[i].label));
        for (size_t i = 0; i < table->field_count; i++) {
                const struct hr_field *field = &table->fields[i];
                const char *text;

                if (!field->label)
                        continue;
                text = text_cell(&scratch, field, row);
                printf("%s:%*s", field->label, (int)(width - strlen(field->label) + 2), "");
                styled(stdout, STDOUT_FILENO,
                        field->type == HR_TYPE_STAGE ? hr_output_stage_style(text_of(field, row))
                                                     : HR_STYLE_PLAIN,
                        text ? text : "?");
                putchar('\n');
        }
}

/* How wide the terminal on stdout is; 0: it is none, or has not said. */
static size_t terminal_width(void)
{
        struct winsize size;

        return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

#define COLUMNS_MAX 16

static void write_columns(const struct hr_table *table, const void *rows, size_t count)
{
        const struct hr_field *columns[COLUMNS_MAX];
        size_t widths[COLUMNS_MAX], n = 0, before = 0, terminal = terminal_width();
        _scratch_ struct scratch scratch = {0};

        for (size_t i = 0; i < table->field_count && n < COLUMNS_MAX; i++)
                if (table->fields[i].title)
                        columns[n++] = &table->fields[i];
        for (size_t c = 0; c < n; c++) {
                widths[c] = MAX(table->heading ? strlen(columns[c]->title) : 0, columns[c]->width);
                for (size_t i = 0; i < count && c + 1 < n; i++) {
                        const char *text = text_cell(&scratch, columns[c], row_at(table, rows, i));

                        widths[c] = MAX(widths[c], width_of(text ? text : "?"));
                }
                before += c + 1 < n ? widths[c] + 2 : 0;
        }
        for (size_t i = table->heading ? 0 : 1; i < count + 1; i++) { /* line 0 is the heading */
                for (size_t c = 0; c < n; c++) {
                        const void *row = i > 0 ? row_at(table, rows, i - 1) : NULL;
                        char *text = text_cell(&scratch, columns[c], row);
                        bool last = c + 1 == n, right = is_number(columns[c]->type), is_cut;
                        enum hr_style style = HR_STYLE_PLAIN;
                        int pad;

                        is_cut = last && text && terminal > 0 &&
                                 cut(text, MAX(hr_sub(terminal, before), (uint64_t)LEAST_LAST_COLUMN));
                        if (!row)
                                style = HR_STYLE_BOLD;
                        else if (columns[c]->type == HR_TYPE_STAGE)
                                style = hr_output_stage_style(text_of(columns[c], row));
                        pad = (int)hr_sub(widths[c], width_of(text ? text : "?"));
                        printf("%*s", right ? pad : 0, "");
                        styled(stdout, STDOUT_FILENO, style, text ? text : "?");
                        printf("%*s%s", last ? 0 : right ? 2 : pad + 2, "", is_cut ? "…" : "");
                }
                putchar('\n');
        }
}

void hr_output_rows(const struct hr_table *table, const void *rows, size_t count, enum hr_format format)
{
        switch (format) {
        case HR_FORMAT_COLUMNS:
                write_columns(table, rows, count);
                return;
        case HR_FORMAT_DETAIL:
                for (size_t i = 0; i < count; i++)
                        write_detail(table, row_at(table, rows, i));
                return;
        case HR_FORMAT_JSON:
                write_json(table, rows, count);
                return;
        case HR_FORMAT_JSON_LINES:
                for (size_t i = 0; i < count; i++) {
                        write_object(table, row_at(table, rows, i));
                        putchar('\n');
                }
                return;
        }
}

void hr_output_text(const char *text)
{
        size_t size = strlen(text);

        write_escaped(stdout, text, true);
        if (size > 0 && text[size - 1] != '\n')
                putchar('\n');
}

/* ---- messages ---- */

static int write_all(int fd, const char *text, size_t size)
{
        while (size > 0) {
                ssize_t n = write(fd, text, size);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0) {
                        text += n;
                        size -= (size_t)n;
                }
        }
        return 0;
}

int hr_output_say(enum hr_style style, const char *format, ...)
{
        _free_ char *text = NULL, *escaped = NULL, *line = NULL;
        size_t size = 0;
        va_list ap;
        FILE *f;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                return -ENOMEM;
        }
        f = open_memstream(&escaped, &size);
        if (!f)
                return -ENOMEM;
        fputs("headroom: ", f);
        for (char *rest = text, *part; (part = strsep(&rest, "\n"));) {
                if (part != text && *part)
                        fputs("\n          ", f); /* below the text of the first line */
                write_escaped(f, part, false);
        }
        if (fclose(f) != 0)
                return -ENOMEM;
        f = open_memstream(&line, &size);
        if (!f)
                return -ENOMEM;
        styled(f, STDERR_FILENO, style, escaped);
        fputc('\n', f);
        if (fclose(f) != 0)
                return -ENOMEM;
        return write_all(STDERR_FILENO, line, size);
}

int hr_output_finish(void)
{
        int r = ferror(stdout) ? -EIO : 0;

        if (fflush(stdout) != 0)
                r = -errno;
        if (r < 0)
                hr_output_say(HR_STYLE_PLAIN, "can't write the output: %s", strerror(-r));
        return r;
}
