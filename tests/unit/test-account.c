/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What counts as used and which limit binds. The trap throughout: counters that are read one after another
 * disagree, so no sum here may wrap.
 */

#include "test.h"

#include <errno.h>

#include "think/account.h"

static void used(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                enum hr_kind kind;
                struct hr_usage usage;
                uint64_t used, cache;
        } rows[] = {
                {"v2, empty", HR_KIND_CGROUP2, {}, 0, 0},
                {"v2, a healthy reader of files at its limit", HR_KIND_CGROUP2,
                        {.current_bytes = 400 * HR_MIB,
                                .inactive_file_bytes = 200 * HR_MIB,
                                .active_file_bytes = 150 * HR_MIB,
                                .slab_reclaimable_bytes = 10 * HR_MIB},
                        40 * HR_MIB, 360 * HR_MIB},
                {"v2, a maker of files: slab is droppable", HR_KIND_CGROUP2,
                        {.current_bytes = 150 * HR_MIB, .slab_reclaimable_bytes = 125 * HR_MIB}, 25 * HR_MIB,
                        125 * HR_MIB},
                {"v2, shmem stays in", HR_KIND_CGROUP2,
                        {.current_bytes = 100 * HR_MIB, .shmem_bytes = 90 * HR_MIB}, 100 * HR_MIB, 0},
                {"v2, swap counts", HR_KIND_CGROUP2,
                        {.current_bytes = 300 * HR_MIB, .swap_bytes = 200 * HR_MIB}, 500 * HR_MIB, 0},
                {"v2, kernel memory is wanted", HR_KIND_CGROUP2, {.current_bytes = 100, .kernel_bytes = 50},
                        100, 0},
                {"v2, parts exceed the whole", HR_KIND_CGROUP2,
                        {.current_bytes = 100,
                                .active_file_bytes = 80,
                                .inactive_file_bytes = 80,
                                .swap_bytes = 7},
                        7, 100},
                {"v2, absurd parts", HR_KIND_CGROUP2,
                        {.current_bytes = 100,
                                .active_file_bytes = UINT64_MAX,
                                .inactive_file_bytes = UINT64_MAX,
                                .slab_reclaimable_bytes = UINT64_MAX,
                                .swap_bytes = UINT64_MAX},
                        UINT64_MAX, 100},
                {"v1, cache and kernel off", HR_KIND_CGROUP1,
                        {.current_bytes = 1000,
                                .kernel_bytes = 100,
                                .inactive_file_bytes = 200,
                                .active_file_bytes = 300,
                                .swap_bytes = 5},
                        405, 500},
                {"v1, kernel exceeds the whole", HR_KIND_CGROUP1,
                        {.current_bytes = 100, .kernel_bytes = 200, .active_file_bytes = 10, .swap_bytes = 1},
                        1, 0},
                {"v1, slab isn't known there", HR_KIND_CGROUP1,
                        {.current_bytes = 100, .slab_reclaimable_bytes = 50}, 100, 0},
                {"process, anon and swap", HR_KIND_PROCESS,
                        {.current_bytes = 100, .swap_bytes = 20, .active_file_bytes = 50}, 120, 0},
        };

        TEST_ROWS(row, rows)
        {
                uint64_t cache = 4711;
                EXPECT_UINT(row->name, hr_account_used(row->kind, &row->usage, &cache), row->used);
                EXPECT_UINT(row->name, cache, row->cache);
                EXPECT_UINT(row->name, hr_account_used(row->kind, &row->usage, NULL), row->used);
        }
}

static void limit(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                uint64_t limit, swap_max, swap_used, swap_free, wanted;
        } rows[] = {
                {"no limit", HR_BYTES_NONE, 10, 10, 10, HR_BYTES_NONE},
                {"no swap on the host", 100, HR_BYTES_NONE, 0, 0, 100},
                {"swap forbidden", 100, 0, 0, 50, 100},
                {"swap.max binds", 100, 20, 5, 50, 120},
                {"the host's swap binds", 100, 200, 5, 50, 155},
                {"swap without bound", 100, HR_BYTES_NONE, 5, 50, 155},
                {"memory.max is 0", 0, HR_BYTES_NONE, 0, 0, 0},
                {"absurd swap", 100, HR_BYTES_NONE, UINT64_MAX, UINT64_MAX, HR_BYTES_NONE},
                {"nearly no limit", UINT64_MAX - 1, HR_BYTES_NONE, 5, 5, HR_BYTES_NONE},
        };

        TEST_ROWS(row, rows)
        EXPECT_UINT(row->name, hr_account_limit(row->limit, row->swap_max, row->swap_used, row->swap_free),
                row->wanted);
}

static void limit1(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                uint64_t limit, memsw, swap_used, swap_free, wanted;
        } rows[] = {
                {"neither", HR_BYTES_NONE, HR_BYTES_NONE, 5, 5, HR_BYTES_NONE},
                {"memory only", 100, HR_BYTES_NONE, 5, 50, 155},
                {"memory and swap only", HR_BYTES_NONE, 150, 5, 50, 150},
                {"memsw binds", 100, 120, 5, 50, 120},
                {"the host's swap binds", 100, 300, 5, 50, 155},
                {"no swap at all", 100, 300, 0, 0, 100},
        };

        TEST_ROWS(row, rows)
        EXPECT_UINT(row->name, hr_account_limit1(row->limit, row->memsw, row->swap_used, row->swap_free),
                row->wanted);
}

#define CANDIDATE(s, used, limit)                                                     \
        {                                                                             \
                .source = HR_SOURCE_##s, .used_bytes = (used), .limit_bytes = (limit) \
        }

static void binding(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                struct hr_sample sample;
                int wanted;
        } rows[] = {
                {"no candidate", {.candidate_count = 0}, -1},
                {"no limit", {.candidate_count = 1, .candidates = {CANDIDATE(OWN, 5, HR_BYTES_NONE)}}, -1},
                {"a source without a limit", {.candidate_count = 1, .candidates = {CANDIDATE(NONE, 5, 10)}},
                        -1},
                {"own", {.candidate_count = 1, .candidates = {CANDIDATE(OWN, 5, 10)}}, 0},
                {"the host is fuller",
                        {.candidate_count = 3,
                                .candidates = {CANDIDATE(OWN, 50, 100), CANDIDATE(ANCESTOR, 10, 100),
                                        CANDIDATE(HOST, 60, 100)}},
                        2},
                {"equal: the job's own",
                        {.candidate_count = 2,
                                .candidates = {CANDIDATE(OWN, 50, 100), CANDIDATE(HOST, 500, 1000)}},
                        0},
                {"equal, in another order",
                        {.candidate_count = 2,
                                .candidates = {CANDIDATE(HOST, 500, 1000), CANDIDATE(ANCESTOR, 50, 100)}},
                        1},
                {"equal ancestors: the nearest",
                        {.candidate_count = 2,
                                .candidates = {CANDIDATE(ANCESTOR, 5, 10), CANDIDATE(ANCESTOR, 50, 100)}},
                        0},
                {"the ancestor is emptier, but has less room",
                        {.candidate_count = 2,
                                .candidates = {CANDIDATE(OWN, 8000, 10000), CANDIDATE(ANCESTOR, 10, 100)}},
                        1},
                {"a byte less room",
                        {.candidate_count = 2,
                                .candidates = {CANDIDATE(OWN, 800000, 1000000),
                                        CANDIDATE(ANCESTOR, 800001, 1000000)}},
                        1},
                {"unlimited ones are passed over",
                        {.candidate_count = 2,
                                .candidates = {CANDIDATE(OWN, 800000, HR_BYTES_NONE),
                                        CANDIDATE(ANCESTOR, 0, 1000000)}},
                        1},
                {"a limit of 0 is reached",
                        {.candidate_count = 2,
                                .candidates = {CANDIDATE(OWN, 99, 100), CANDIDATE(ANCESTOR, 0, 0)}},
                        1},
                {"a count too large isn't believed",
                        {.candidate_count = 1000, .candidates = {CANDIDATE(OWN, 99, 100)}}, 1},
        };

        TEST_ROWS(row, rows)
        EXPECT_INT(row->name, hr_account_binding(&row->sample), row->wanted);
}

static void least_limit(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                uint64_t used, wanted;
        } rows[] = {
                {"nothing used", 0, HR_MIB},
                {"a byte", 1, 2 * HR_MIB},
                {"the mebibyte decides", 10 * HR_MIB, 11 * HR_MIB},
                {"2 % decide", 1000 * HR_MIB, 1020 * HR_MIB},
                {"rounded up", 1000 * HR_MIB + 1, 1021 * HR_MIB},
                {"absurd", UINT64_MAX, HR_BYTES_NONE},
                {"nearly absurd", UINT64_MAX - HR_MIB, HR_BYTES_NONE},
        };

        TEST_ROWS(row, rows)
        EXPECT_UINT(row->name, hr_account_least_limit(row->used), row->wanted);
}

static void ratio(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                uint64_t used, limit;
                uint32_t wanted;
        } rows[] = {
                {"empty", 0, 100, 0},
                {"none", 100, HR_BYTES_NONE, 0},
                {"half", 50, 100, 5000},
                {"cut, not rounded", 99999, 100000, 9999},
                {"full", 100, 100, HR_PERMYRIAD_ALL},
                {"over", 150, 100, 15000},
                {"limit 0", 0, 0, HR_PERMYRIAD_ALL},
                {"no overflow", UINT64_MAX - 2, UINT64_MAX - 1, 9999},
                {"never the word for off", UINT64_MAX, 1, HR_PERMYRIAD_OFF - 1},
        };

        TEST_ROWS(row, rows)
        EXPECT_UINT(row->name, hr_ratio_permyriad(row->used, row->limit), row->wanted);
}

static void names(void **state HR_UNUSED)
{
        for (int i = 0; i < HR_KIND_COUNT; i++)
                assert_int_equal(hr_kind_from_name(hr_kind_name((enum hr_kind)i)), i);
        for (int i = 0; i < HR_STAGE_COUNT; i++)
                assert_int_equal(hr_stage_from_name(hr_stage_name((enum hr_stage)i)), i);
        assert_string_equal(hr_stage_name(HR_STAGE_CHECKPOINT), "checkpoint");
        assert_string_equal(hr_kind_name(HR_KIND_COUNT), "?");
        assert_int_equal(hr_stage_from_name("OK"), -EINVAL);
        assert_int_equal(hr_kind_from_name(""), -EINVAL);
        assert_int_equal(hr_kind_from_name("?"), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(used),
                cmocka_unit_test(limit),
                cmocka_unit_test(limit1),
                cmocka_unit_test(binding),
                cmocka_unit_test(least_limit),
                cmocka_unit_test(ratio),
                cmocka_unit_test(names),
        };

        return cmocka_run_group_tests_name("account", tests, NULL, NULL);
}
