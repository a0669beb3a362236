/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What `headroom top` shows, without a terminal: jobs in, lines out. No clock, environment or I/O: what time
 * it is and how large the screen is, it is told.
 */

#include "output.h"
#include "think/units.h"

#define HR_TOPVIEW_SAMPLES 180   /* seconds that are kept of a job */
#define HR_TOPVIEW_WIDTH_MAX 400 /* columns; a wider screen stays empty at its right */
#define HR_TOPVIEW_ID_SIZE 24
#define HR_TOPVIEW_TYPED_SIZE 48 /* of what is typed, with its NUL */

enum hr_topview_sort {
        HR_TOPVIEW_LEFT, /* held first, since they wait for an answer; then shortest; then fullest */
        HR_TOPVIEW_USED,
        HR_TOPVIEW_GROWTH,
        HR_TOPVIEW_NAME,
        HR_TOPVIEW_SORT_COUNT,
};

struct hr_topview_history;

struct hr_topview_job { /* texts by hr_topview_clean */
        char job[HR_TOPVIEW_ID_SIZE], name[HR_NAME_MAX], user[36], stage[16], reason[512];
        enum hr_style style; /* of the stage */
        bool frozen;
        uint64_t used_bytes, limit_bytes /* HR_BYTES_NONE: none */, growth_bytes_per_second;
        uint64_t left_usec; /* HR_USEC_NEVER: never */
        uint32_t ratio_permyriad;
        struct hr_topview_history *history; /* the view's */
};

struct hr_topview { /* all zero is empty */
        struct hr_topview_job *jobs;
        size_t count;
        struct hr_topview_job **shown; /* those that the filter lets through, in order */
        size_t shown_count;
        size_t at, first; /* in shown: the selected one, and the topmost line */
        char selected[HR_TOPVIEW_ID_SIZE];
        enum hr_topview_sort sort;
        char filter[HR_TOPVIEW_TYPED_SIZE];
        uint64_t second; /* of the last sample */
};
void hr_topview_done(struct hr_topview *view);

/* ASCII in one line: control characters and what is no ASCII become "?", line ends "; ". Cuts. Returns buf.
 */
char *hr_topview_clean(char *buf, size_t size, const char *text);

/*
 * Takes the jobs (malloc()ed; their histories NULL) as they are in this second, which does not go back. The
 * selection stays with its job wherever that stands now; where it has ended, with the place. 0, or -ENOMEM:
 * jobs are freed, the view is as before.
 */
int hr_topview_update(struct hr_topview *view, struct hr_topview_job *jobs, size_t count, uint64_t second);
void hr_topview_sort_next(struct hr_topview *view);
void hr_topview_filter(struct hr_topview *view, const char *text); /* of name or user; "": all */
void hr_topview_move(struct hr_topview *view, long by); /* the selection, as far as there are lines */
const struct hr_topview_job *hr_topview_selected(const struct hr_topview *view); /* NULL: none */

/* ---- cells: written into buf, which they return ---- */

char *hr_topview_format_bytes(char *buf, uint64_t bytes); /* at most 5 columns: "388M", "24.3M", "8G" */
char *hr_topview_format_left(char *buf, uint64_t usec);   /* at most 6: "42s", "3m20s", "-" for never */
#define HR_TOPVIEW_CELL_SIZE (HR_TOPVIEW_WIDTH_MAX * 3 + 1)
/* Exactly so many columns (at most HR_TOPVIEW_WIDTH_MAX); full only where nothing is left. */
char *hr_topview_bar(char *buf, uint32_t ratio_permyriad, unsigned width, bool utf8);
/* The same: the last HR_TOPVIEW_SAMPLES up to `second`, scaled from the least to the most. */
char *hr_topview_spark(
        char *buf, const struct hr_topview_history *history, uint64_t second, unsigned width, bool utf8);

/* ---- lines ---- */

enum hr_topview_look {
        HR_TOPVIEW_PLAIN,
        HR_TOPVIEW_HEADING,
        HR_TOPVIEW_SELECTED,
        HR_TOPVIEW_LOUD,   /* the message */
        HR_TOPVIEW_PROMPT, /* the cursor stands at its end */
};

struct hr_topview_line {
        char text[HR_TOPVIEW_CELL_SIZE];
        size_t size;      /* bytes of it */
        unsigned columns; /* never more than the screen has */
        enum hr_topview_look look;
        size_t span_at, span_size; /* bytes that are in a style of their own */
        enum hr_style span_style;
};

struct hr_topview_frame {
        unsigned width, height;
        bool utf8, help, lost;                /* lost: there is no daemon now */
        uint64_t host_used_bytes, host_bytes; /* 0: not known */
        uint64_t all_count;                   /* jobs of all users */
        const char *message;                  /* "": none */
        const char *question, *typed;         /* instead of the message; NULL: nothing is asked */
};

typedef void (*hr_topview_emit_fn)(unsigned row, const struct hr_topview_line *line, void *userdata);
/* Emits each line of the screen once, from the top; scrolls so that the selected one is among them. */
void hr_topview_draw(struct hr_topview *view, const struct hr_topview_frame *frame, hr_topview_emit_fn emit,
        void *userdata);
