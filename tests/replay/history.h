/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A recorded history, and what was used at any time of it: straight between its points. */

#include "think/forecast.h"
#include "think/policy.h"

#define POINTS_MAX 2000

struct point {
        uint64_t usec, used_bytes, cache_bytes;
};

struct file {
        char name[64];
        struct point points[POINTS_MAX];
        size_t count;
};

/* A line of three numbers, later than the one before it. */
static inline bool add_point(struct file *f, const char *line)
{
        struct point *p = &f->points[f->count];
        int end = -1;

        if (f->count == POINTS_MAX ||
                sscanf(line, "%" SCNu64 " %" SCNu64 " %" SCNu64 "%n", &p->usec, &p->used_bytes,
                        &p->cache_bytes, &end) != 3 ||
                line[end] != '\0' || (f->count > 0 && p->usec <= p[-1].usec))
                return false;
        f->count++;
        return true;
}

static inline uint64_t between(uint64_t a, uint64_t b, double part)
{
        return (uint64_t)((double)a + part * ((double)b - (double)a));
}

static inline struct point at(const struct file *f, uint64_t usec)
{
        size_t low = 0, high = f->count - 1;

        if (usec <= f->points[0].usec)
                return f->points[0];
        if (usec >= f->points[high].usec)
                return f->points[high];
        while (high - low > 1) {
                size_t middle = low + (high - low) / 2;
                if (f->points[middle].usec <= usec)
                        low = middle;
                else
                        high = middle;
        }
        const struct point *a = &f->points[low], *b = a + 1;
        double part = (double)(usec - a->usec) / (double)(b->usec - a->usec);
        return (struct point){usec, between(a->used_bytes, b->used_bytes, part),
                between(a->cache_bytes, b->cache_bytes, part)};
}

/* When used passes a threshold next, after `from` and before `until`; else until. */
static inline uint64_t crossing(const struct file *f, uint64_t from, uint64_t until, uint64_t threshold)
{
        if (threshold == HR_BYTES_NONE || at(f, from).used_bytes >= threshold)
                return until;
        for (size_t i = 0; i < f->count; i++) {
                uint64_t end = MIN(f->points[i].usec, until);
                if (end <= from)
                        continue;
                if (at(f, end).used_bytes >= threshold) {
                        uint64_t low = from, high = end; /* it rises between the two, straight */
                        while (high - low > 1) {
                                uint64_t middle = low + (high - low) / 2;
                                if (at(f, middle).used_bytes >= threshold)
                                        high = middle;
                                else
                                        low = middle;
                        }
                        return high;
                }
                if (end == until)
                        break;
                from = end;
        }
        return until;
}

/* One look: the sample of a job with one limit, as the daemon makes it. */
static inline struct hr_sample make_sample(
        struct hr_history *h, uint64_t now, const struct point *p, uint64_t limit_bytes)
{
        struct hr_forecast f;

        hr_history_add(h, now, p->used_bytes);
        hr_forecast(h, limit_bytes, &f);
        struct hr_sample sample = {.time_usec = now,
                .used_bytes = p->used_bytes,
                .cache_bytes = p->cache_bytes,
                .candidate_count = 1,
                .candidates[0] = {
                        .source = HR_SOURCE_OWN,
                        .used_bytes = p->used_bytes,
                        .cache_bytes = p->cache_bytes,
                        .limit_bytes = limit_bytes,
                        .turn = true,
                }};
        hr_forecast_fill(&f, &sample.candidates[0]);
        return sample;
}

/* When it is looked at next: as plan() in daemon/ladder.c, of a job with one limit. Keep them alike. */
static inline uint64_t plan_look(const struct hr_config *c, const struct hr_policy *policy,
        const struct hr_policy_state *state, const struct hr_decision *decision,
        const struct hr_candidate *own, bool unbraked, uint64_t now, uint64_t rest_pause)
{
        uint64_t rate = MAX(c->fill_rate_bytes_per_second / HR_USEC_PER_SEC, 1U);
        uint64_t pause = c->poll_max_usec;

        uint32_t wall_level = policy->level_permyriad[HR_STAGE_HOLD];
        uint64_t wall = wall_level == HR_PERMYRIAD_OFF ? own->limit_bytes
                                                       : own->limit_bytes / HR_PERMYRIAD_ALL * wall_level;
        if (own->used_bytes >= wall)
                wall = own->limit_bytes;
        if (unbraked || own->used_bytes >= wall)
                pause = MIN(pause, hr_sub(wall, own->used_bytes) / rate / 2);
        if (own->left_min_usec != HR_USEC_NEVER)
                pause = MIN(pause, MAX(own->left_min_usec / 16, 20 * HR_USEC_PER_MSEC));
        if (state->phase == HR_PHASE_WATCH)
                pause = MIN(pause, rest_pause);
        else if (state->phase == HR_PHASE_BRAKE)
                pause = MIN(pause, 2 * HR_USEC_PER_MSEC);
        else
                pause = MIN(pause, 250 * HR_USEC_PER_MSEC);
        if (policy->observe)
                pause = MAX(pause, HR_USEC_PER_SEC);
        pause = MIN(MAX(pause, c->poll_min_usec), c->poll_max_usec);
        return MAX(MIN(now + pause, decision->look_again_usec), now + c->poll_min_usec);
}
