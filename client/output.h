/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The one writer: tables for people and JSON for programs out of the same field table, and messages on
 * stderr. Whatever came from outside is escaped here. Colours are decided here: on a terminal, without
 * NO_COLOR.
 */

#include "think/macros.h"

enum hr_style { HR_STYLE_PLAIN, HR_STYLE_BOLD, HR_STYLE_YELLOW, HR_STYLE_RED };
/* How loud a stage is; plain where there is no such stage. */
enum hr_style hr_output_stage_style(const char *stage);

enum hr_type {
        HR_TYPE_TEXT,    /* const char *; NULL and "": "-", in JSON null and "" */
        HR_TYPE_CHARS,   /* the same, as a char array in the row */
        HR_TYPE_STAGE,   /* as TEXT, in its stage's style */
        HR_TYPE_FLAG,    /* bool */
        HR_TYPE_NUMBER,  /* uint64_t; 0 is a number */
        HR_TYPE_PID,     /* uint64_t; 0: none known, null */
        HR_TYPE_BYTES,   /* uint64_t; HR_BYTES_NONE: "none", null */
        HR_TYPE_RATE,    /* uint64_t bytes per second */
        HR_TYPE_SECONDS, /* uint64_t microseconds, JSON whole seconds; HR_USEC_NEVER: "never", null */
        HR_TYPE_TIME,    /* uint64_t usec of CLOCK_REALTIME: local time, JSON RFC 3339 in UTC; 0: "-", null */
        HR_TYPE_LEVEL,   /* uint32_t, 1/10000 */
        HR_TYPE_STATUS,  /* int64_t; -1: "-", null */
};

struct hr_field {
        const char *key;   /* in JSON; NULL: not there */
        const char *title; /* column heading; NULL: no column */
        const char *label; /* "label: value" where one row is shown in detail; NULL: not there */
        enum hr_type type;
        size_t offset;  /* in the row */
        unsigned width; /* of the column, at least; HR_WIDE: a text of any length. Those stand last. */
};
#define HR_WIDE UINT32_MAX

struct hr_table {
        const struct hr_field *fields;
        size_t field_count;
        size_t row_size;
        bool heading; /* a line of titles above the columns */
};

enum hr_format {
        /* A line for each row. On a terminal that is too narrow for that nothing is lost: columns go on lines
         * below, wide texts are broken between words, the second under the first as "→ text"; only a long
         * name is cut. */
        HR_FORMAT_COLUMNS,
        HR_FORMAT_DETAIL,     /* "label: value" lines; what has no value is left out */
        HR_FORMAT_JSON,       /* an array of objects, always */
        HR_FORMAT_JSON_LINES, /* an object a line: for a stream, which has no end */
};

/* Writes count rows to stdout. Errors of writing are found by hr_output_finish. */
void hr_output_rows(const struct hr_table *table, const void *rows, size_t count, enum hr_format format);

#define HR_OUTPUT_TIME_SIZE 40
char *hr_output_time(char *buf, uint64_t realtime_usec); /* as in the tables: local time. Returns buf. */

/* Text from the daemon on stdout: its lines, control characters escaped, with a last newline. */
void hr_output_text(const char *text);

/* One "headroom: ..." message on stderr, written at once; further lines are indented. 0 or -errno. */
int hr_output_say(enum hr_style style, const char *format, ...) HR_PRINTF(2, 3);

/* Before anything is written. A pipe or a file takes what it gets in large pieces. */
void hr_output_begin(void);
/* Flushes stdout. 0 or -errno, said on stderr. */
int hr_output_finish(void);
