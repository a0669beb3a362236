/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include <errno.h>

#include "think/advise.h"

/* The limit for next time: percentiles that can be counted by hand, with runs that were cut off among them.
 */

#define RUNS_MAX 40

static void test_advice(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                int peaks[RUNS_MAX]; /* MiB; negative: cut off there; 0 ends */
                uint64_t p95_mib, limit_mib;
                bool is_lower_bound;
                enum hr_advise_sure sure;
        } rows[] = {
                {"one run", {100}, 100, 120, false, HR_ADVISE_LOW},
                {"unsorted", {30, 50, 10, 40, 20}, 50, 60, false, HR_ADVISE_MEDIUM},
                {"one cut off", {-100}, 100, 120, true, HR_ADVISE_LOW},
                {"the highest was cut off", {10, 10, 10, 10, 10, -100}, 100, 120, true, HR_ADVISE_LOW},
                /* 1 - 1/3 = 2/3 after 10; 20 is no step; then 0 at 30. */
                {"one in the middle was cut off", {10, -20, 30}, 30, 36, false, HR_ADVISE_LOW},
                {"finished before cut off at the same", {50, -50, 50, 50, 50, 50}, 50, 60, true,
                        HR_ADVISE_LOW},
                /* 20 runs: after the 19th, 5 % need more. */
                {"one of twenty is an outlier",
                        {10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 900}, 10,
                        12, false, HR_ADVISE_HIGH},
                {"two of twenty",
                        {10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 90, 900}, 90,
                        110, false, HR_ADVISE_HIGH},
                {"rounded up to 10 MiB", {101}, 101, 130, false, HR_ADVISE_LOW},
                {"rounded up to 64 MiB", {1000}, 1000, 1216, false, HR_ADVISE_LOW},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct hr_advise_run runs[RUNS_MAX];
                struct hr_advice a;
                size_t count = 0;

                for (; count < RUNS_MAX && rows[i].peaks[count] != 0; count++)
                        runs[count] = (struct hr_advise_run){
                                (uint64_t)abs(rows[i].peaks[count]) * HR_MIB, rows[i].peaks[count] < 0};
                EXPECT_INT(rows[i].name, hr_advise(runs, count, &a), 0);
                EXPECT_INT(rows[i].name, a.p95_bytes / HR_MIB, rows[i].p95_mib);
                EXPECT_INT(rows[i].name, a.limit_bytes / HR_MIB, rows[i].limit_mib);
                EXPECT_INT(rows[i].name, a.is_lower_bound, rows[i].is_lower_bound);
                EXPECT_INT(rows[i].name, a.sure, rows[i].sure);
                EXPECT_INT(rows[i].name, a.run_count, count);
        }
}

static void test_nothing(void **state HR_UNUSED)
{
        struct hr_advice a;

        assert_int_equal(hr_advise(NULL, 0, &a), -ENODATA);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_advice),
                cmocka_unit_test(test_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
