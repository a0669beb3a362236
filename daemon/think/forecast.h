/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How fast a group fills and how long is left. Pure; doubles are allowed here and nowhere else.
 *
 * A history is a ring of (time, used) points, thinned so that it spans at least three of the group's own steps:
 * files read one by one make a staircase, and a slope over one second cries wolf at the first step.
 */

#include "think/sample.h"

#define HR_HISTORY_POINTS 48

struct hr_history {
        uint16_t head, count;  /* ring */
        uint64_t time_usec[HR_HISTORY_POINTS];
        uint64_t used_bytes[HR_HISTORY_POINTS];
        uint64_t last_time_usec, last_used_bytes; /* the newest sample, whether kept as a point or not */
        uint64_t step_bytes;        /* largest step seen: growth between two rests */
        uint64_t climb_from_bytes;  /* where the climb that is under way began */
        uint64_t rest_since_usec;   /* since when it has not risen; 0: it rises */
        uint64_t step_start_usec[4]; /* when the last steps began: their spacing is the job's own pace */
        uint8_t step_count;          /* of the array above, at most 4 */
};

/* Adds a sample. Time that goes back or stands still replaces the newest point. All zero is a valid empty history. */
void hr_history_add(struct hr_history *h, uint64_t time_usec, uint64_t used_bytes);

struct hr_forecast {
        uint64_t growth_bytes_per_second; /* robust slope over the window; 0: flat or falling */
        uint64_t recent_bytes_per_second; /* between the two newest samples; 0: flat or falling */
        uint64_t left_min_usec;           /* to the limit at the higher of the two paces that count */
        uint64_t left_max_usec;           /* at the lower */
        bool rising;                      /* newest sample above the one before by more than noise (64 KiB and 0.01 % of used) */
        bool step_will_not_fit;
};

/* limit_bytes may be HR_BYTES_NONE (left: never). At or above the limit while rising: left 0. */
void hr_forecast(const struct hr_history *h, uint64_t limit_bytes, struct hr_forecast *ret);
