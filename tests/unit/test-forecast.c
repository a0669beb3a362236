/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Lives of groups, played sample by sample: which of them grow, at what pace, and how soon growth is seen and
 * forgotten. Sizes here are in MB of 10^6 bytes, times in seconds.
 */

#include "test.h"

#include <math.h>

#include "think/forecast.h"

#define MB 1000000.0
#define LIMIT_MB 8000.0

struct life {
        struct hr_history history;
        struct hr_forecast forecast;
        double time, used; /* of the newest sample */
        double limit;
};

static void sample(struct life *l, double seconds_later, double used)
{
        l->time += seconds_later;
        l->used = used;
        hr_history_add(&l->history, (uint64_t)llround(1e9 + l->time * 1e6), (uint64_t)(used * MB));
        hr_forecast(&l->history, (uint64_t)((l->limit > 0 ? l->limit : LIMIT_MB) * MB), &l->forecast);

        /* What holds at any time. */
        const struct hr_forecast *f = &l->forecast;
        assert_true(f->left_min_usec <= f->left_max_usec);
        assert_true(
                f->growth_bytes_per_second > 0 || f->left_max_usec == HR_USEC_NEVER || f->left_max_usec == 0);
        assert_true(l->history.count <= HR_HISTORY_POINTS && l->history.step_count <= HR_HISTORY_STEPS);
        for (size_t i = 1; i < l->history.count; i++) {
                assert_true(l->history.time_usec[i] > l->history.time_usec[i - 1]);
                assert_true(l->history.mark_bytes[i] >= l->history.mark_bytes[i - 1]);
        }
}

static void stay(struct life *l, double seconds, double spacing)
{
        for (double end = l->time + seconds - spacing / 2; l->time < end;)
                sample(l, spacing, l->used);
}

static void rise(struct life *l, double seconds, double spacing, double pace)
{
        for (double end = l->time + seconds - spacing / 2; l->time < end;)
                sample(l, spacing, l->used + pace * spacing);
}

static double growth(const struct life *l)
{
        return (double)l->forecast.growth_bytes_per_second / MB;
}

#define EXPECT_ABOUT(name, got, wanted) \
        EXPECT_WITHIN((name), (uint64_t)((got)*1000), (uint64_t)((wanted)*900), (uint64_t)((wanted)*1100))

static void empty(void **state HR_UNUSED)
{
        struct life l = {};

        hr_forecast(&l.history, 1000, &l.forecast);
        assert_int_equal(l.forecast.growth_bytes_per_second, 0);
        assert_int_equal(l.forecast.left_min_usec, HR_USEC_NEVER);
        assert_int_equal(l.forecast.left_max_usec, HR_USEC_NEVER);
        assert_false(l.forecast.rising || l.forecast.step_will_not_fit);

        sample(&l, 0, 100);
        assert_int_equal(l.forecast.growth_bytes_per_second, 0);
        assert_int_equal(l.forecast.left_min_usec, HR_USEC_NEVER);
        assert_false(l.forecast.rising);
}

static void ramp(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                double spacing, pace, seconds;
        } rows[] = {
                {"20 MB/s each second", 1, 20, 10},
                {"20 MB/s at 100 ms", 0.1, 20, 10},
                {"500 MB/s at 10 ms", 0.01, 500, 6},
                {"50 MB/s at 1 ms", 0.001, 50, 8},
                {"1 MB/s each second", 1, 1, 10},
                {"100 kB/s each 10 s", 10, 0.1, 100},
                {"10 kB/s each 10 s", 10, 0.01, 500},
                {"a day at 20 kB/s", 10, 0.02, 86400},
        };

        TEST_ROWS(row, rows)
        {
                struct life l = {};
                sample(&l, 0, 100);
                rise(&l, row->seconds, row->spacing, row->pace);
                EXPECT_ABOUT(row->name, growth(&l), row->pace);
                EXPECT_ABOUT(
                        row->name, (double)l.forecast.left_max_usec / 1e6, (LIMIT_MB - l.used) / row->pace);

                /* And forgotten: within a few seconds, or two samples. */
                stay(&l, MAX(5.0, 5 * row->spacing), row->spacing);
                if (row->pace * row->spacing > 0.2) /* less is below the noise, and looks like small steps */
                        EXPECT_UINT(row->name, l.forecast.growth_bytes_per_second, 0);
                EXPECT_FALSE(row->name, l.forecast.rising);
        }
}

/* A pace is right within three samples, however quiet the group was before. */
static void sudden(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                double quiet, quiet_spacing, spacing, pace;
        } rows[] = {
                {"2 GB/s after minutes at 10 s", 300, 10, 0.001, 2000},
                {"2 GB/s from the start", 0, 1, 0.001, 2000},
                {"10 GB/s at 1 ms", 60, 1, 0.001, 10000},
                {"300 MB/s at 10 ms", 3600, 10, 0.01, 300},
        };

        TEST_ROWS(row, rows)
        {
                struct life l = {};
                sample(&l, 0, 1000);
                stay(&l, row->quiet, row->quiet_spacing);
                EXPECT_FALSE(row->name, l.forecast.rising);
                EXPECT_UINT(row->name, l.forecast.left_min_usec, HR_USEC_NEVER);
                for (int i = 0; i < 3; i++)
                        sample(&l, row->spacing, l.used + row->spacing * row->pace);
                EXPECT_TRUE(row->name, l.forecast.rising);
                EXPECT_ABOUT(row->name, (double)l.forecast.recent_bytes_per_second / MB, row->pace);
                EXPECT_ABOUT(
                        row->name, (double)l.forecast.left_min_usec / 1e6, (LIMIT_MB - l.used) / row->pace);
                EXPECT_UINT(row->name, l.forecast.left_max_usec, HR_USEC_NEVER); /* it may be a step */
        }
}

/* A job that fits is left in peace. */
static void rose_and_stays(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                double to, spacing, pace, noise;
        } rows[] = {
                {"to 83 % at 100 MB/s", 0.83, 0.1, 100, 0},
                {"to 96 % at 100 MB/s", 0.96, 0.1, 100, 0},
                {"to 96 % at 2 GB/s", 0.96, 0.001, 2000, 0},
                {"to 96 % slowly", 0.96, 1, 20, 0},
                {"to 96 %, each 10 s", 0.96, 10, 20, 0},
                {"to 96 %, then wavers by 0.5 %", 0.96, 0.1, 100, 40},
                {"to 99 %, then wavers by 0.2 %", 0.99, 0.1, 100, 16},
        };

        TEST_ROWS(row, rows)
        {
                struct life l = {};
                sample(&l, 0, 100);
                rise(&l, (LIMIT_MB * row->to - 100) / row->pace, row->spacing, row->pace);
                double top = l.used;
                for (double end = l.time + 600, settled = l.time + MAX(5.0, 3 * row->spacing);
                        l.time < end;) {
                        sample(&l, row->spacing < 0.1 ? 0.1 : row->spacing,
                                top - row->noise / 2 * (1 + sin(l.time * 7)));
                        if (l.time < settled)
                                continue;
                        EXPECT_UINT(row->name, l.forecast.growth_bytes_per_second, 0);
                        EXPECT_UINT(row->name, l.forecast.left_min_usec, HR_USEC_NEVER);
                        EXPECT_FALSE(row->name, l.forecast.step_will_not_fit);
                }
        }
}

static double uniform(struct test_random *random) /* -1 to 1 */
{
        return (double)(test_random_next(random) >> 11) / 4503599627370496.0 - 1;
}

/* Not growing, whatever the noise; a few samples pass before it is known as noise. */
static void flat(void **state HR_UNUSED)
{
        struct test_random random = test_random_new("forecast flat");
        static const struct {
                const char *name;
                double spacing, noise;
                bool normal;
        } rows[] = {
                {"still", 1, 0, false},
                {"1 % each 10 s", 10, 60, false},
                {"1 % each second", 1, 60, false},
                {"1 % at 50 ms", 0.05, 60, false},
                {"10 % each second", 1, 600, false},
                {"normal, each second", 1, 40, true},
                {"normal, at 100 ms", 0.1, 40, true},
                {"pages", 1, 0.02, false},
        };

        TEST_ROWS(row, rows)
        {
                for (int run = 0; run < 20; run++) {
                        struct life l = {};
                        sample(&l, 0, 6000);
                        for (int i = 0; i < 2000; i++) {
                                double n = uniform(&random);
                                if (row->normal)
                                        n = (n + uniform(&random) + uniform(&random) + uniform(&random)) /
                                            1.15;
                                sample(&l, row->spacing, 6000 + row->noise * n);
                                if (i >= 40)
                                        EXPECT_UINT(row->name, l.forecast.growth_bytes_per_second, 0);
                        }
                }
        }
}

static void sawtooth(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                double period, spacing, height;
        } rows[] = {
                {"each 20 s", 20, 0.1, 2000},
                {"each 2 s", 2, 0.05, 2000},
                {"each 2 s, seen each second", 2, 1.3, 2000},
                {"each 2 minutes", 120, 1, 6000},
        };

        TEST_ROWS(row, rows)
        {
                struct life l = {};
                sample(&l, 0, 1000);
                for (double end = 900; l.time < end;) {
                        double phase = fmod(l.time + row->spacing, row->period) / row->period;
                        sample(&l, row->spacing, 1000 + row->height * phase + 5 * sin(l.time * 77));
                        if (l.time < 4 * row->period)
                                continue;
                        EXPECT_UINT(row->name, l.forecast.growth_bytes_per_second, 0);
                        EXPECT_FALSE(row->name, l.forecast.step_will_not_fit);
                }
        }
}

/* A leak below a sawtooth is seen once it has gained more than the teeth are high. */
static void leaking_sawtooth(void **state HR_UNUSED)
{
        struct life l = {};

        sample(&l, 0, 1000);
        while (l.time < 600) {
                sample(&l, 0.1, 1000 + 400 * fmod(l.time, 2) / 2 + 5 * l.time);
                if (l.time > 200)
                        EXPECT_ABOUT("5 MB/s below teeth of 400 MB", growth(&l), 5);
        }
}

static void staircase(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                double step, climb, rest, spacing, falls_back;
        } rows[] = {
                {"300 MB in 1 s each 20 s", 300, 1, 19, 0.25, 0},
                {"300 MB in 0.2 s each 20 s, seen each second", 300, 0.2, 19.8, 1, 0},
                {"100 MB in 0.1 s each second", 100, 0.1, 0.9, 0.01, 0},
                {"500 MB in 5 s each minute", 500, 5, 55, 1, 0},
                {"with a third that falls back", 300, 1, 9, 0.1, 100},
        };

        TEST_ROWS(row, rows)
        {
                struct life l = {};
                double pace = (row->step - row->falls_back) / (row->climb + row->rest);
                sample(&l, 0, 200);
                stay(&l, row->rest, row->spacing);
                for (int step = 1; l.used + row->step < LIMIT_MB; step++) {
                        double base = l.used;
                        double end = l.time + row->climb + row->rest - row->spacing / 2;
                        for (double begin = l.time; l.time < end;) {
                                double part = (l.time + row->spacing - begin) / row->climb;
                                sample(&l, row->spacing,
                                        base + (part < 1.001 ? row->step * part
                                                             : row->step - row->falls_back));
                                /* The first step alone is no growth, if it is short. */
                                if (step <= 2 && row->climb < 1.5)
                                        EXPECT_WITHIN(row->name, l.forecast.growth_bytes_per_second, 0,
                                                (uint64_t)(pace * 1.1 * MB));
                                if (step >= 5)
                                        EXPECT_ABOUT(row->name, growth(&l), pace);
                        }
                        double room = LIMIT_MB - l.used - row->falls_back, net = row->step - row->falls_back;
                        if (step >= 3 && room > 1.25 * net)
                                EXPECT_FALSE(row->name, l.forecast.step_will_not_fit);
                        if (step >= 3 && room < 1.15 * net)
                                EXPECT_TRUE(row->name, l.forecast.step_will_not_fit);
                }
                /* Over: forgotten after half as long again as its own rest. */
                stay(&l, 1.5 * row->rest + 4, row->spacing);
                EXPECT_UINT(row->name, l.forecast.growth_bytes_per_second, 0);
                EXPECT_FALSE(row->name, l.forecast.step_will_not_fit);
        }
}

/* What says that growth will last: that it has, in both halves of the time that it would take to the limit.
 */
static void lasting(void **state HR_UNUSED)
{
        struct life l = {.limit = 1000};

        sample(&l, 0, 0);
        rise(&l, 9, 0.1, 20); /* young, 820 MB to go */
        assert_int_not_equal(l.forecast.growth_bytes_per_second, 0);
        assert_false(l.forecast.lasting);
        rise(&l, 18, 0.1, 20); /* 540 of 1000: 23 s are left, it has grown for 27 */
        assert_false(l.forecast.lasting);
        rise(&l, 2, 0.1, 20); /* 580: 21 s are left, and a quarter of that more is less than 29 */
        assert_true(l.forecast.lasting);
        stay(&l, 5, 0.1);
        assert_false(l.forecast.lasting);

        /* The limit may be near: less than ten seconds of growth are no growth that lasts. */
        l = (struct life){.limit = 1000};
        sample(&l, 0, 0);
        rise(&l, 9, 0.1, 90);
        assert_false(l.forecast.lasting);
        rise(&l, 1.5, 0.1, 90);
        assert_true(l.forecast.lasting);

        /* A burst long ago does not make old what grows since a moment ago, at the pace of both together. */
        l = (struct life){.limit = 1000};
        sample(&l, 0, 0);
        rise(&l, 1, 0.1, 400);
        stay(&l, 59, 0.5);
        rise(&l, 8, 0.1, 8);
        EXPECT_ABOUT("after the burst", growth(&l), 8);
        assert_false(l.forecast.lasting);

        /* Steps with their rests are growth. */
        l = (struct life){.limit = 1000};
        sample(&l, 0, 0);
        for (int i = 0; i < 9; i++) {
                rise(&l, 0.5, 0.1, 140);
                stay(&l, 6.5, 0.25);
        }
        assert_true(l.forecast.lasting);
        l.limit = 0;
        sample(&l, 0.1, l.used);
        assert_false(l.forecast.lasting); /* 8000 MB are far */
}

/* The first load of data is no pattern; the drift between two files doesn't hide the files. */
static void mixed_steps(void **state HR_UNUSED)
{
        struct life l = {};

        sample(&l, 0, 100);
        stay(&l, 10, 1);
        rise(&l, 2, 0.1, 2500); /* 5 GB, loaded once */
        for (int i = 0; i < 8; i++) {
                stay(&l, 5, 0.1);
                rise(&l, 0.2, 0.1, 50);
        }
        assert_false(l.forecast.step_will_not_fit);
        EXPECT_ABOUT("10 MB each 5.2 s", growth(&l), 10 / 5.2);

        memset(&l, 0, sizeof(l));
        sample(&l, 0, 100);
        stay(&l, 10, 1);
        for (int i = 0; i < 12; i++) {
                rise(&l, 1, 0.1, 500);
                for (int j = 0; j < 19; j++) {
                        rise(&l, 1, 0.5, 0.5);
                        if (i >= 4)
                                EXPECT_ABOUT("500 MB each 20 s, and drift", growth(&l), (500 + 9.5) / 20);
                }
        }
}

/* A staircase that turns into a runaway: the recent pace shows it at once, and growth follows. */
static void runaway(void **state HR_UNUSED)
{
        struct life l = {};

        sample(&l, 0, 100);
        for (int i = 0; i < 8; i++) {
                rise(&l, 0.5, 0.1, 200);
                stay(&l, 9.5, 0.1);
        }
        EXPECT_ABOUT("before", growth(&l), 10);
        rise(&l, 0.2, 0.001, 2000);
        EXPECT_ABOUT("at once", (double)l.forecast.left_min_usec / 1e6, (LIMIT_MB - l.used) / 2000);
        rise(&l, 2, 0.001, 2000);
        assert_true(growth(&l) > 300);
        EXPECT_ABOUT("later", (double)l.forecast.left_min_usec / 1e6, (LIMIT_MB - l.used) / 2000);
}

/* What was given back is forgotten in time, and ground visited under a larger limit proves nothing. */
static void gave_back(void **state HR_UNUSED)
{
        struct life l = {};

        sample(&l, 0, 100);
        rise(&l, 60, 1, 100);
        sample(&l, 1, 500);
        rise(&l, 60, 1, 10);
        EXPECT_UINT("visited ground", l.forecast.left_min_usec, HR_USEC_NEVER);
        l.limit = 5000;
        rise(&l, 2, 1, 10);
        EXPECT_ABOUT("a smaller limit", (double)l.forecast.left_min_usec / 1e6, (5000 - l.used) / 10);
        l.limit = 0;
        rise(&l, 360, 1, 10);
        EXPECT_ABOUT("after two epochs", growth(&l), 10);
}

static void at_the_limit(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                double limit, before, used;
                uint64_t wanted;
                bool rising;
        } rows[] = {
                {"at it, rising", 1000, 900, 1000, 0, true},
                {"above it, rising", 1000, 900, 1200, 0, true},
                {"at it, still", 1000, 1000, 1000, HR_USEC_NEVER, false},
                {"above it, falling", 1000, 1200, 1100, HR_USEC_NEVER, false},
                {"below noise", 1000, 900, 900.1, HR_USEC_NEVER, false},
                {"above noise", 1e9, 900, 900.2, 0, true},
        };

        TEST_ROWS(row, rows)
        {
                struct life l = {.limit = row->limit};
                sample(&l, 0, row->before);
                sample(&l, 1, row->used);
                EXPECT_INT(row->name, l.forecast.rising, row->rising);
                if (row->limit < 1e9)
                        EXPECT_UINT(row->name, l.forecast.left_min_usec, row->wanted);
        }

        struct life l = {};
        sample(&l, 0, 100);
        rise(&l, 20, 1, 100);
        hr_forecast(&l.history, HR_BYTES_NONE, &l.forecast);
        EXPECT_ABOUT("no limit: the pace is known all the same", growth(&l), 100);
        assert_int_equal(l.forecast.left_min_usec, HR_USEC_NEVER);
        assert_int_equal(l.forecast.left_max_usec, HR_USEC_NEVER);
        assert_false(l.forecast.step_will_not_fit);
}

/* Two samples in the middle of one allocation say nothing of a job's pace. */
static void told_by_what_was_gained_lately(void **state HR_UNUSED)
{
        struct hr_candidate c = {.limit_bytes = HR_BYTES_NONE};
        struct life l = {};

        sample(&l, 0, 100);
        stay(&l, 60, 10);
        sample(&l, 0.05, 101);
        sample(&l, 0.001, 102);
        EXPECT_ABOUT("a millisecond", (double)l.forecast.recent_bytes_per_second / MB, 1000);
        hr_forecast_fill(&l.forecast, &c);
        EXPECT_ABOUT("what is told", (double)c.growth_bytes_per_second / MB, 2);
        sample(&l, 0.5, 602);
        hr_forecast_fill(&l.forecast, &c);
        EXPECT_ABOUT("of a second", (double)c.growth_bytes_per_second / MB, 502);
}

static void time_goes_back(void **state HR_UNUSED)
{
        struct life l = {};

        sample(&l, 10, 100);
        sample(&l, 1, 200);
        uint64_t at = l.history.last_time_usec;
        sample(&l, -5, 400); /* replaces: 300 MB in the same second */
        assert_int_equal(l.history.last_time_usec, at);
        EXPECT_ABOUT("replaced", (double)l.forecast.recent_bytes_per_second / MB, 300);
        sample(&l, 0, 100);
        assert_int_equal(l.forecast.recent_bytes_per_second, 0);
        assert_false(l.forecast.rising);
}

/* Any series at all: nothing overflows, and what sample() asserts holds. */
static void anything(void **state HR_UNUSED)
{
        struct test_random random = test_random_new("forecast anything");

        for (int run = 0; run < 300; run++) {
                struct hr_history h = {};
                struct hr_forecast f;
                uint64_t time = 0;
                unsigned shift = (unsigned)(test_random_next(&random) % 60);
                for (int i = 0; i < 500; i++) {
                        time += test_random_next(&random) >> (24 + test_random_next(&random) % 40);
                        hr_history_add(&h, time, test_random_next(&random) >> shift);
                        hr_forecast(&h, test_random_size(&random), &f);
                        assert_true(f.left_min_usec <= f.left_max_usec);
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(empty),
                cmocka_unit_test(ramp),
                cmocka_unit_test(sudden),
                cmocka_unit_test(rose_and_stays),
                cmocka_unit_test(flat),
                cmocka_unit_test(sawtooth),
                cmocka_unit_test(leaking_sawtooth),
                cmocka_unit_test(staircase),
                cmocka_unit_test(lasting),
                cmocka_unit_test(mixed_steps),
                cmocka_unit_test(runaway),
                cmocka_unit_test(gave_back),
                cmocka_unit_test(at_the_limit),
                cmocka_unit_test(told_by_what_was_gained_lately),
                cmocka_unit_test(time_goes_back),
                cmocka_unit_test(anything),
        };

        return cmocka_run_group_tests_name("forecast", tests, NULL, NULL);
}
