/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/curve.h"

#include <stdlib.h>

/*
 * Points closer than the spacing are merged, the higher stays; when there are too many, of each two
 * neighbours the higher one stays and the spacing doubles. The peak is always on it.
 */

#define POINTS_LEAST ((size_t)8)

static void thin(struct hr_curve *c)
{
        size_t kept = 0;

        for (size_t i = 0; i + 1 < c->count; i += 2)
                c->points[kept++] = c->points[i].used_bytes >= c->points[i + 1].used_bytes ? c->points[i]
                                                                                           : c->points[i + 1];
        c->count = kept;
        c->spacing_usec = hr_sub(c->points[kept - 1].time_usec, c->points[0].time_usec) / HR_CURVE_POINTS_MAX;
}

static bool grow(struct hr_curve *c, size_t room)
{
        struct hr_point *more;

        room = MIN(room, (size_t)HR_CURVE_POINTS_MAX);
        more = reallocarray(c->points, room, sizeof(*more));
        if (!more)
                return false;
        c->points = more;
        c->room = room;
        return true;
}

void hr_curve_add(struct hr_curve *c, const struct hr_point *p)
{
        struct hr_point *last = c->count > 0 ? &c->points[c->count - 1] : NULL;

        c->used_peak_bytes = MAX(c->used_peak_bytes, p->used_bytes);
        c->cache_peak_bytes = MAX(c->cache_peak_bytes, p->cache_bytes);
        /* One of an event may come before an older one of a look: the curve goes forward all the same. */
        if (last && (p->time_usec <= last->time_usec || p->time_usec - last->time_usec < c->spacing_usec)) {
                uint64_t time = last->time_usec; /* else it would run ahead of those that follow */

                if (p->used_bytes >= last->used_bytes)
                        *last = *p;
                last->time_usec = time;
                return;
        }
        if (c->count == c->room && c->room < HR_CURVE_POINTS_MAX)
                (void)grow(c, MAX(2 * c->room, POINTS_LEAST)); /* else it is thinned at this size */
        if (c->room == 0)
                return;
        if (c->count == c->room)
                thin(c);
        c->points[c->count++] = *p;
}

/* ---- as bytes ---- */

static size_t put_number(unsigned char *to, uint64_t value)
{
        size_t n = 0;

        for (; value >= 0x80; value >>= 7)
                to[n++] = (unsigned char)(value | 0x80);
        to[n++] = (unsigned char)value;
        return n;
}

static void to_numbers(const struct hr_point *p, uint64_t out[4])
{
        out[0] = p->time_usec / 1000;
        out[1] = p->used_bytes / 1024;
        out[2] = p->cache_bytes / 1024;
        out[3] = p->limit_bytes == HR_BYTES_NONE ? 0 : p->limit_bytes / 1024;
}

size_t hr_curve_encode(const struct hr_curve *c, unsigned char *blob)
{
        uint64_t before[4] = {0}, now[4];
        size_t n = 0;

        blob[n++] = 1;
        for (size_t i = 0; i < c->count; i++) {
                to_numbers(&c->points[i], now);
                for (size_t k = 0; k < 4; k++) {
                        int64_t by = (int64_t)(now[k] - before[k]);
                        n += put_number(blob + n, ((uint64_t)by << 1) ^ (uint64_t)(by >> 63));
                        before[k] = now[k];
                }
        }
        return n;
}

/* What does not read as a curve ends it there. */
size_t hr_curve_decode(const unsigned char *blob, size_t size, struct hr_point *points)
{
        uint64_t now[4] = {0};
        size_t count = 0, at = 1;

        if (size == 0 || blob[0] != 1)
                return 0;
        while (at < size && count < HR_CURVE_POINTS_MAX) {
                for (size_t k = 0; k < 4; k++) {
                        uint64_t value = 0;
                        unsigned shift = 0;

                        do {
                                if (at >= size || shift > 63)
                                        return count;
                                value |= (uint64_t)(blob[at] & 0x7f) << shift;
                                shift += 7;
                        } while (blob[at++] & 0x80);
                        now[k] += (value >> 1) ^ (0 - (value & 1));
                }
                points[count++] = (struct hr_point){.time_usec = now[0] * 1000,
                        .used_bytes = now[1] * 1024,
                        .cache_bytes = now[2] * 1024,
                        .limit_bytes = now[3] == 0 ? HR_BYTES_NONE : now[3] * 1024};
        }
        return count;
}

bool hr_curve_restore(struct hr_curve *c, const unsigned char *blob, size_t size)
{
        if (!grow(c, HR_CURVE_POINTS_MAX))
                return false;
        c->count = hr_curve_decode(blob, size, c->points);
        return true;
}

void hr_curve_done(struct hr_curve *c)
{
        free(c->points);
        *c = (struct hr_curve){0};
}
