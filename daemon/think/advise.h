/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The limit to ask for next time, from the peaks of runs before. Pure. */

#include "think/macros.h"

struct hr_advise_run {
        uint64_t peak_bytes;
        bool is_lower_bound; /* it was cut off: it needed so much at least */
};

enum hr_advise_sure { HR_ADVISE_LOW, HR_ADVISE_MEDIUM, HR_ADVISE_HIGH };

struct hr_advice {
        uint64_t limit_bytes; /* 1.2 x p95, rounded up as a person would say it */
        uint64_t p95_bytes;   /* of what the runs needed */
        uint64_t most_bytes;  /* the highest peak */
        uint32_t run_count, lower_bound_count;
        bool is_lower_bound; /* so many were cut off that p95 is one too: it may need more */
        enum hr_advise_sure sure;
};

/*
 * Sorts the runs. The 95th percentile is that of the Kaplan-Meier estimate, for which a run that was cut off
 * at a peak says only that it needed more than that. -ENODATA: there is no run.
 */
int hr_advise(struct hr_advise_run *runs, size_t count, struct hr_advice *ret);
const char *hr_advise_sure_name(enum hr_advise_sure sure); /* "low" "medium" "high" */
