/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "output.h"

/*
 * A caller describes its rows once, field by field, and the writer makes columns, a detailed view or JSON of
 * them, so that the three can't drift apart. Cells are made twice for columns, once to measure and once to
 * write: that spares a copy of everything, and a thousand jobs are written in a few milliseconds.
 *
 * Columns are written a line a row, unless a terminal is too narrow for that: then they are folded. The
 * narrow ones stand side by side as far as there is room, those left over below them; wide texts stand beside
 * them where that leaves room to read, else below. Programs that read a table get a line a row always.
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

#include "text.h"
#include "think/sample.h"
#include "think/units.h"

/* Of folded tables, in columns of the terminal; chosen, not tuned. */
#define INDENT 4      /* of what stands below its row */
#define BESIDE_MIN 40 /* narrower than this, a wide text goes below */
#define LONG_NAME 20  /* longer names are cut: the row's id says whose it is */
#define SHORT_NAME 12 /* the same, where that keeps the narrow columns on one line */
#define LEAST 12      /* however narrow the terminal, texts are not broken into less */

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

/* ---- cells ---- */

static uint64_t number_of(const struct hr_field *field, const void *row)
{
        return *(const uint64_t *)((const char *)row + field->offset);
}

static const char *text_of(const struct hr_field *field, const void *row)
{
        const char *cell = (const char *)row + field->offset;

        return field->type == HR_TYPE_CHARS ? cell : *(const char *const *)cell;
}

static bool is_number(enum hr_type type)
{
        return type != HR_TYPE_TEXT && type != HR_TYPE_CHARS && type != HR_TYPE_STAGE &&
               type != HR_TYPE_TIME && type != HR_TYPE_FLAG;
}

static bool to_calendar(uint64_t usec, bool utc, struct tm *ret)
{
        time_t seconds = (time_t)(usec / HR_USEC_PER_SEC);

        return utc ? gmtime_r(&seconds, ret) : localtime_r(&seconds, ret); /* NULL: a year that is no int */
}

char *hr_output_time(char *buf, uint64_t realtime_usec)
{
        struct tm tm;

        if (to_calendar(realtime_usec, false, &tm))
                strftime(buf, HR_OUTPUT_TIME_SIZE, "%Y-%m-%d %H:%M:%S", &tm);
        else
                snprintf(buf, HR_OUTPUT_TIME_SIZE, "?");
        return buf;
}

static void write_json_time(FILE *f, uint64_t usec)
{
        char text[HR_OUTPUT_TIME_SIZE];
        struct tm tm;

        if (!to_calendar(usec, true, &tm)) {
                fputs("null", f);
                return;
        }
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
        fprintf(f, "\"%s.%06uZ\"", text, (unsigned)(usec % HR_USEC_PER_SEC));
}

static void write_json_value(FILE *f, const struct hr_field *field, const void *row)
{
        const void *cell = (const char *)row + field->offset;

        switch (field->type) {
        case HR_TYPE_TEXT:
        case HR_TYPE_CHARS:
        case HR_TYPE_STAGE:
                if (text_of(field, row))
                        hr_text_write_json(f, text_of(field, row));
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
                        write_json_time(f, number_of(field, row));
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
        char text[HR_TEXT_SIZE_MAX], time[HR_OUTPUT_TIME_SIZE];

        switch (field->type) {
        case HR_TYPE_TEXT:
        case HR_TYPE_CHARS:
        case HR_TYPE_STAGE:
                if (text_of(field, row) && *text_of(field, row))
                        hr_text_write_escaped(f, text_of(field, row), false);
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
                fputs(number_of(field, row) == 0 ? "-" : hr_output_time(time, number_of(field, row)), f);
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

/* Is there anything to be said of it? */
static bool has_value(const struct hr_field *field, const void *row)
{
        switch (field->type) {
        case HR_TYPE_TEXT:
        case HR_TYPE_CHARS:
        case HR_TYPE_STAGE:
                return text_of(field, row) && *text_of(field, row);
        case HR_TYPE_PID:
        case HR_TYPE_TIME:
                return number_of(field, row) != 0;
        case HR_TYPE_SECONDS:
                return number_of(field, row) != HR_USEC_NEVER;
        case HR_TYPE_FLAG:
                return *(const bool *)((const char *)row + field->offset);
        default:
                return true;
        }
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
        const char *separator = "{\"";

        for (size_t i = 0; i < table->field_count; i++) {
                const struct hr_field *field = &table->fields[i];

                if (!field->key)
                        continue;
                fputs(separator, stdout);
                fputs(field->key, stdout);
                fputs("\": ", stdout);
                write_json_value(stdout, field, row);
                separator = ", \"";
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

/* How wide the terminal on stdout is; 0: it is none, or has not said. */
static size_t terminal_width(void)
{
        struct winsize size;

        return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static void begin_line(size_t indent)
{
        printf("\n%*s", (int)indent, "");
}

/* Text from column `left` on, where the cursor is, up to the terminal's width; further lines begin there too.
 * width 0: one line. */
static void write_wrapped(char *text, size_t left, size_t width, enum hr_style style)
{
        size_t room = width > 0 ? MAX(hr_sub(width, left), (uint64_t)LEAST) : SIZE_MAX;

        while (*text) {
                const char *next;
                size_t size = hr_text_first_line(text, room, &next);
                char end = text[size];

                text[size] = '\0';
                styled(stdout, STDOUT_FILENO, style, text);
                text[size] = end;
                text += next - text;
                if (*text)
                        begin_line(left);
        }
}

static enum hr_style style_of(const struct hr_field *field, const void *row)
{
        return !row                           ? HR_STYLE_BOLD
               : field->type == HR_TYPE_STAGE ? hr_output_stage_style(text_of(field, row))
                                              : HR_STYLE_PLAIN;
}

static void write_detail(const struct hr_table *table, const void *row)
{
        size_t terminal = terminal_width(), width = 0;
        _scratch_ struct scratch scratch = {0};

        for (size_t i = 0; i < table->field_count; i++)
                if (table->fields[i].label && has_value(&table->fields[i], row))
                        width = MAX(width, strlen(table->fields[i].label));
        for (size_t i = 0; i < table->field_count; i++) {
                const struct hr_field *field = &table->fields[i];
                char unknown[] = "?", *text;

                if (!field->label || !has_value(field, row))
                        continue;
                text = text_cell(&scratch, field, row);
                printf("%s:%*s", field->label, (int)(width - strlen(field->label) + 2), "");
                write_wrapped(text ? text : unknown, width + 3, terminal, style_of(field, row));
                putchar('\n');
        }
}

/* ---- columns ---- */

#define COLUMNS_MAX 16

struct columns {
        const struct hr_table *table;
        const void *rows;
        size_t terminal; /* 0: none */
        size_t count, narrow_count;
        struct column {
                const struct hr_field *field;
                size_t width;
                bool below; /* folded: begins a line below */
        } columns[COLUMNS_MAX];
        bool beside; /* folded: the wide texts stand beside the narrow columns */
        size_t left; /* where they begin */
        struct scratch scratch;
        char unknown[2]; /* "?": for want of memory */
};

/* A cell; that of the heading where row is NULL. Good until the next one. */
static char *cell_of(struct columns *c, size_t column, const void *row)
{
        char *text = text_cell(&c->scratch, c->columns[column].field, row);

        return text ? text : strcpy(c->unknown, "?");
}

/* How wide each column is; the last one only for a terminal. Returns how wide they are together. */
static size_t measure(struct columns *c, size_t count)
{
        size_t sum = 0;

        for (size_t i = 0; i < c->count; i++) {
                struct column *column = &c->columns[i];
                bool wanted = i + 1 < c->count || c->terminal > 0;

                column->width = c->table->heading ? strlen(column->field->title) : 0;
                if (column->field->width != HR_WIDE)
                        column->width = MAX(column->width, column->field->width);
                for (size_t k = 0; k < count && wanted; k++)
                        column->width = MAX(
                                column->width, hr_text_width(cell_of(c, i, row_at(c->table, c->rows, k))));
                sum += column->width + (i > 0 ? 2 : 0);
        }
        return sum;
}

/* Blanks that are due before the next text of a line, if one comes. */
static void pad_to(size_t *due, size_t more)
{
        for (more += *due; more > 0; more--)
                putchar(' ');
        *due = 0;
}

/* The cells of the first `count` columns, as far as each goes on the line that the one before stands on.
 * Returns the blanks that are due. */
static size_t write_cells(struct columns *c, size_t count, const void *row)
{
        size_t due = 0;

        for (size_t i = 0; i < count; i++) {
                const struct column *column = &c->columns[i];
                bool last = i + 1 == c->count, is_cut = false;
                char *text = cell_of(c, i, row);
                size_t pad;

                if (column->below) {
                        due = 0;
                        begin_line(INDENT);
                }
                if (!last)
                        is_cut = hr_text_cut(text, column->width);
                pad = hr_sub(column->width, hr_text_width(text) + is_cut);
                pad_to(&due, is_number(column->field->type) ? pad : 0);
                styled(stdout, STDOUT_FILENO, style_of(column->field, row), text);
                fputs(is_cut ? "…" : "", stdout);
                due = 2 + (is_number(column->field->type) ? 0 : pad);
        }
        return due;
}

static void write_lines(struct columns *c, size_t count)
{
        for (size_t i = c->table->heading ? 0 : 1; i < count + 1; i++) { /* line 0 is the heading */
                write_cells(c, c->count, i > 0 ? row_at(c->table, c->rows, i - 1) : NULL);
                putchar('\n');
        }
}

/* Puts the narrow columns on lines, names that are longer than this cut. Returns how wide the last line is,
 * with the blanks after it; *ret_lines is how many there are. */
static size_t lay_out(struct columns *c, size_t name_max, size_t *ret_lines)
{
        size_t used = 0;

        *ret_lines = 1;
        for (size_t i = 0; i < c->narrow_count; i++) {
                struct column *column = &c->columns[i];

                if (column->field->type == HR_TYPE_TEXT) /* what was named by others, and may be long */
                        column->width = MIN(column->width, MAX(name_max, column->field->width));
                column->below = i > 0 && used + column->width > c->terminal;
                *ret_lines += column->below;
                used = (column->below ? INDENT : used) + column->width + 2;
        }
        return used;
}

/* Which narrow column goes below, and where the wide texts stand. */
static void fold(struct columns *c)
{
        size_t lines, used = lay_out(c, LONG_NAME, &lines);

        if (lines > 1)
                used = lay_out(c, SHORT_NAME, &lines);
        c->beside = c->narrow_count == 0 || used + BESIDE_MIN <= c->terminal;
        c->left = c->beside ? used : INDENT;
}

/* A heading of wide texts stands only above them. */
static void write_folded_heading(struct columns *c)
{
        size_t due = write_cells(c, c->narrow_count, NULL);

        for (size_t i = c->narrow_count; i < c->count && c->beside; i++) {
                pad_to(&due, 0);
                fputs(i > c->narrow_count ? " → " : "", stdout);
                styled(stdout, STDOUT_FILENO, HR_STYLE_BOLD, c->columns[i].field->title);
        }
        putchar('\n');
}

static void write_folded_row(struct columns *c, const void *row)
{
        size_t due = write_cells(c, c->narrow_count, row);
        bool begun = false;

        for (size_t i = c->narrow_count; i < c->count; i++) {
                bool further = i > c->narrow_count;

                if (!has_value(c->columns[i].field, row))
                        continue;
                if (c->beside && !begun)
                        pad_to(&due, 0);
                else
                        begin_line(c->left);
                begun = true;
                fputs(further ? "→ " : "", stdout);
                write_wrapped(cell_of(c, i, row), c->left + (further ? 2 : 0), c->terminal, HR_STYLE_PLAIN);
        }
        putchar('\n');
}

static void write_columns(const struct hr_table *table, const void *rows, size_t count)
{
        struct columns c = {.table = table, .rows = rows, .terminal = terminal_width()};

        for (size_t i = 0; i < table->field_count && c.count < COLUMNS_MAX; i++) {
                const struct hr_field *field = &table->fields[i];

                if (!field->title)
                        continue;
                c.columns[c.count++].field = field;
                c.narrow_count += field->width != HR_WIDE;
        }
        if (measure(&c, count) <= c.terminal || c.terminal == 0) {
                write_lines(&c, count);
        } else {
                fold(&c);
                if (table->heading)
                        write_folded_heading(&c);
                for (size_t i = 0; i < count; i++)
                        write_folded_row(&c, row_at(table, rows, i));
        }
        scratch_done(&c.scratch);
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

        hr_text_write_escaped(stdout, text, true);
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
                hr_text_write_escaped(f, part, false);
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

void hr_output_begin(void)
{
        static char buffer[128 * 1024];

        if (!isatty(STDOUT_FILENO))
                (void)setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
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
