/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "think/advise.h"

#include <errno.h>

/*
 * Kaplan-Meier (1958) over peaks in place of times: sorted, finished runs before those that were cut off at
 * the same peak, the share that needs more than a peak falls at each finished run by one of those that are
 * still counted. The percentile is the first peak where at most 5 % need more. If those that were cut off
 * stand highest, it is never reached: then the highest peak is the best that is known, and a lower bound.
 *
 * How sure: 5 and 20 runs are chosen, not tuned: with 20 the 95th percentile lies within them.
 */

#define TAIL_PERMYRIAD 500
#define SURE_RUNS 20
#define FAIR_RUNS 5

static bool before(const struct hr_advise_run *a, const struct hr_advise_run *b)
{
        if (a->peak_bytes != b->peak_bytes)
                return a->peak_bytes < b->peak_bytes;
        return !a->is_lower_bound && b->is_lower_bound;
}

/* A heap sort: in place, and no callback into a library. */
static void sift(struct hr_advise_run *runs, size_t root, size_t count)
{
        for (size_t child = 2 * root + 1; child < count; root = child, child = 2 * root + 1) {
                if (child + 1 < count && before(&runs[child], &runs[child + 1]))
                        child++;
                if (!before(&runs[root], &runs[child]))
                        return;
                struct hr_advise_run swap = runs[root];
                runs[root] = runs[child];
                runs[child] = swap;
        }
}

static void sort(struct hr_advise_run *runs, size_t count)
{
        for (size_t i = count / 2; i-- > 0;)
                sift(runs, i, count);
        for (size_t end = count; end-- > 1;) {
                struct hr_advise_run swap = runs[0];
                runs[0] = runs[end];
                runs[end] = swap;
                sift(runs, 0, end);
        }
}

static uint64_t round_up(uint64_t bytes)
{
        uint64_t unit = bytes >= 100 * HR_GIB   ? HR_GIB
                        : bytes >= 10 * HR_GIB  ? 512 * HR_MIB
                        : bytes >= HR_GIB       ? 64 * HR_MIB
                        : bytes >= 100 * HR_MIB ? 10 * HR_MIB
                                                : HR_MIB;

        return (hr_add(bytes, unit - 1) / unit) * unit;
}

int hr_advise(struct hr_advise_run *runs, size_t count, struct hr_advice *ret)
{
        struct hr_advice a = {.run_count = (uint32_t)count};
        double more = 1; /* the share that needs more */
        bool reached = false;

        if (count == 0)
                return -ENODATA;
        sort(runs, count);
        for (size_t i = 0; i < count; i++) {
                a.lower_bound_count += runs[i].is_lower_bound;
                if (reached || runs[i].is_lower_bound)
                        continue;
                more *= 1 - 1 / (double)(count - i);
                if (more * HR_PERMYRIAD_ALL <= TAIL_PERMYRIAD + 1e-6) {
                        a.p95_bytes = runs[i].peak_bytes;
                        reached = true;
                }
        }
        a.most_bytes = runs[count - 1].peak_bytes;
        a.is_lower_bound = !reached;
        if (!reached)
                a.p95_bytes = a.most_bytes;
        a.limit_bytes = round_up(MAX(hr_add(a.p95_bytes, a.p95_bytes / 5), HR_MIB));
        a.sure = a.is_lower_bound || count < FAIR_RUNS ? HR_ADVISE_LOW
                 : count < SURE_RUNS                   ? HR_ADVISE_MEDIUM
                                                       : HR_ADVISE_HIGH;
        *ret = a;
        return 0;
}

const char *hr_advise_sure_name(enum hr_advise_sure sure)
{
        return sure == HR_ADVISE_HIGH ? "high" : sure == HR_ADVISE_MEDIUM ? "medium" : "low";
}
