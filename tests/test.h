/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What every test includes first. cmocka wants the first five headers before its own, in this order: sorting
 * them breaks the build.
 *
 * A table test is an array of rows whose first member is `const char *name`, walked by TEST_ROWS. Its checks
 * are EXPECT_...(row->name, got, wanted), which print the row's name with both values and fail the test.
 */

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <inttypes.h>
#include <cmocka.h>
/* clang-format on */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "think/macros.h"

#define TEST_ROWS(row, table) \
        for (const __typeof__((table)[0]) *row = (table); row < (table) + ELEMENTSOF(table); row++)

#define EXPECT_INT(name, got, wanted) \
        test_expect_int((name), #got, (long long)(got), (long long)(wanted), __FILE__, __LINE__)
#define EXPECT_UINT(name, got, wanted) test_expect_uint((name), #got, (got), (wanted), __FILE__, __LINE__)
#define EXPECT_STR(name, got, wanted) test_expect_str((name), #got, (got), (wanted), __FILE__, __LINE__)
#define EXPECT_TRUE(name, got) EXPECT_INT((name), !!(got), 1)
#define EXPECT_FALSE(name, got) EXPECT_INT((name), !!(got), 0)
/* got is within [least, most], both included. */
#define EXPECT_WITHIN(name, got, least, most) \
        test_expect_within((name), #got, (got), (least), (most), __FILE__, __LINE__)

static inline void test_expect_int(
        const char *name, const char *what, long long got, long long wanted, const char *file, int line)
{
        if (got == wanted)
                return;
        print_error("row \"%s\": %s is %lld, not %lld\n", name, what, got, wanted);
        _fail(file, line);
}

static inline void test_expect_uint(
        const char *name, const char *what, uint64_t got, uint64_t wanted, const char *file, int line)
{
        if (got == wanted)
                return;
        print_error("row \"%s\": %s is %" PRIu64 ", not %" PRIu64 "\n", name, what, got, wanted);
        _fail(file, line);
}

static inline void test_expect_str(
        const char *name, const char *what, const char *got, const char *wanted, const char *file, int line)
{
        if (strcmp(got, wanted) == 0)
                return;
        print_error("row \"%s\": %s is \"%s\", not \"%s\"\n", name, what, got, wanted);
        _fail(file, line);
}

static inline void test_expect_within(const char *name, const char *what, uint64_t got, uint64_t least,
        uint64_t most, const char *file, int line)
{
        if (got >= least && got <= most)
                return;
        print_error("row \"%s\": %s is %" PRIu64 ", not in %" PRIu64 " to %" PRIu64 "\n", name, what, got,
                least, most);
        _fail(file, line);
}

/* A copy that ends exactly where its block does, so that a sanitizer sees one byte read too many. free() it.
 */
static inline char *test_exact(const char *text, size_t size)
{
        char *copy = malloc(size ? size : 1);

        assert_non_null(copy);
        memcpy(copy, text, size);
        return copy;
}

/* Numbers from a seed: the same on every machine. Print the seed first; TEST_SEED=N repeats a run. */
struct test_random {
        uint64_t state;
};

static inline struct test_random test_random_new(const char *test)
{
        const char *given = getenv("TEST_SEED");
        uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);

        print_message("%s: TEST_SEED=%" PRIu64 "\n", test, seed);
        return (struct test_random){seed};
}

static inline uint64_t test_random_next(struct test_random *r) /* splitmix64 */
{
        uint64_t z = (r->state += 0x9E3779B97F4A7C15ULL);

        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
        return z ^ (z >> 31);
}

/* Of all sizes alike: small numbers, numbers with few bits, and full ones. */
static inline uint64_t test_random_size(struct test_random *r)
{
        return test_random_next(r) >> (test_random_next(r) % 64);
}
