/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The memory of a job over time, thinned as it comes, and as the bytes that its record keeps (tell/record.h).
 */

#include "exchange.h"

#define HR_CURVE_POINTS_MAX 120
#define HR_CURVE_BLOB_MAX (1 + HR_CURVE_POINTS_MAX * 4 * 10)

struct hr_curve {                /* all zero is empty */
        struct hr_point *points; /* owned; grows: most jobs are short, or rest */
        size_t count, room;
        uint64_t spacing_usec;
        uint64_t cache_peak_bytes, used_peak_bytes; /* of all that was added */
};

void hr_curve_add(struct hr_curve *c, const struct hr_point *p); /* without memory it gets coarser */
void hr_curve_done(struct hr_curve *c);

/* Writes at most HR_CURVE_BLOB_MAX bytes, and returns how many. */
size_t hr_curve_encode(const struct hr_curve *c, unsigned char *blob);
/* points has room for HR_CURVE_POINTS_MAX. What does not read as a curve ends it there. Returns how many. */
size_t hr_curve_decode(const unsigned char *blob, size_t size, struct hr_point *points);
/* The same, to add more. False: no memory, it is as it was. */
bool hr_curve_restore(struct hr_curve *c, const unsigned char *blob, size_t size);
