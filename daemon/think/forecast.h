/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How fast a group fills and how long is left. Pure; doubles are allowed here and nowhere else.
 *
 * What counts is new ground: growth is the pace of the group's high mark. A history keeps the mark as a line
 * of (time, bytes) points, thinned where it is straight, and the last steps of it: files read one by one make
 * a staircase, and a slope over one second cries wolf at the first step.
 */

#include "think/sample.h"

#define HR_HISTORY_POINTS 48
#define HR_HISTORY_STEPS 8

struct hr_history_step {
        uint64_t start_usec, end_usec;
        uint64_t from_bytes; /* the mark when it began */
};

/* For forecast.c alone; all zero is a valid empty history. */
struct hr_history {
        uint16_t count, step_count; /* of the arrays below, oldest first */
        bool climbing;              /* a step is under way */
        uint64_t time_usec[HR_HISTORY_POINTS];
        uint64_t mark_bytes[HR_HISTORY_POINTS];
        struct hr_history_step steps[HR_HISTORY_STEPS]; /* finished ones */
        struct hr_history_step climb;                   /* the one under way, or the last */
        uint64_t climb_end_bytes;                       /* the mark at its end_usec */
        uint64_t last_time_usec, last_used_bytes;       /* the newest sample */
        uint64_t before_time_usec, before_used_bytes;   /* the one before; the newest itself if it is alone */
        uint64_t epoch_usec;                            /* the mark and the swing are kept for two epochs */
        uint64_t epoch_high_bytes[2], epoch_swing_bytes[2]; /* of this epoch and of the last */
};

/* Adds a sample. Time that goes back or stands still replaces the newest sample. */
void hr_history_add(struct hr_history *h, uint64_t time_usec, uint64_t used_bytes);

struct hr_forecast {
        uint64_t growth_bytes_per_second; /* robust slope over the window; 0: flat or falling */
        uint64_t recent_bytes_per_second; /* between the two newest samples; 0: flat or falling */
        uint64_t lately_bytes_per_second; /* new ground within the last second; 0: none, or not rising */
        /* To the limit at the higher of the two paces, and at the lower. The recent pace counts only on new
         * ground; growth is 0 until it is proven, and left_max is then never. */
        uint64_t left_min_usec, left_max_usec;
        /* It has grown so for at least left_max_usec: what has grown for a second says little about the next
         * minute. */
        bool lasting;
        /* Newest sample above the one before by more than noise (64 KiB and 0.01 % of used), or, where
         * samples are too close for that, a new mark within the last 20 ms. */
        bool rising;
        /* The group fills in steps of about one size, and the room is less than 1.2 x that. */
        bool step_will_not_fit;
};

/* limit_bytes may be HR_BYTES_NONE (left: never). At or above the limit while rising: left 0. */
void hr_forecast(const struct hr_history *h, uint64_t limit_bytes, struct hr_forecast *ret);

/* What a forecast says of one limit, into its candidate; the rest of it is left as it is. Growth that is not
 * proven yet is shown by what was gained lately: two samples may stand in the middle of one allocation. */
void hr_forecast_fill(const struct hr_forecast *f, struct hr_candidate *c);
