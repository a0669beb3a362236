/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Slips of the pen find the word that was meant; other words find none. */

#include "test.h"

#include "think/words.h"

static void distance(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *a, *b;
                unsigned wanted;
        } rows[] = {
                {"the same", "status", "status", 0},
                {"both empty", "", "", 0},
                {"one empty", "", "run", 3},
                {"changed", "statis", "status", 1},
                {"left out", "staus", "status", 1},
                {"added", "statuss", "status", 1},
                {"swapped", "statsu", "status", 1},
                {"swapped at the start", "tsatus", "status", 1},
                {"two slips", "sttsu", "status", 2},
                {"capitals", "Hold", "hold", 0},
                {"all of it", "abc", "xyz", 3},
                {"beginning", "stat", "status", 2},
                {"bytes that are no letters", "\xff\xfe", "run", 3},
                {"the longest", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", 1},
                {"too long", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "run",
                        HR_WORDS_FAR},
        };

        TEST_ROWS(row, rows)
        {
                EXPECT_UINT(row->name, hr_words_distance(row->a, row->b), row->wanted);
                EXPECT_UINT(row->name, hr_words_distance(row->b, row->a), row->wanted);
        }
}

static void nearest(void **state HR_UNUSED)
{
        static const char *const words[] = {
                "", "a", "run", "hold", "kill", "trim", "limit", "status", "events"};
        static const struct {
                const char *name, *word, *wanted; /* "": none */
        } rows[] = {
                {"itself", "hold", "hold"},
                {"one slip", "hodl", "hold"},
                {"one slip in a short word", "rn", "run"},
                {"two slips in a long word", "evnst", "events"},
                {"two slips in a short word", "ruby", ""},
                {"three slips", "stzxxs", ""},
                {"the nearer of two", "hild", "hold"},
                {"nothing like it", "python3", ""},
                {"empty", "", ""},
                {"one letter", "x", ""},
                {"one letter, in capitals", "A", "a"},
                {"a path", "/usr/bin/status", ""},
        };

        TEST_ROWS(row, rows)
        {
                const char *found = "";
                unsigned best = HR_WORDS_FAR;

                for (size_t i = 0; i < ELEMENTSOF(words); i++)
                        if (hr_words_nearer(row->word, words[i], &best))
                                found = words[i];
                EXPECT_STR(row->name, found, row->wanted);
        }
}

/* A distance: none to itself alone, the same both ways, at least what the lengths differ by. */
static void any_words(void **state HR_UNUSED)
{
        struct test_random random = test_random_new("words");

        for (int i = 0; i < 20000; i++) {
                char words[2][HR_WORDS_MAX + 4];

                for (size_t w = 0; w < 2; w++) {
                        size_t size = test_random_next(&random) % sizeof(words[0]);

                        for (size_t j = 0; j < size; j++)
                                words[w][j] = (char)('a' + test_random_next(&random) % 3);
                        words[w][MIN(size, sizeof(words[0]) - 1)] = '\0';
                }
                char *a = test_exact(words[0], strlen(words[0]) + 1),
                     *b = test_exact(words[1], strlen(words[1]) + 1);
                size_t n = strlen(a), m = strlen(b);
                unsigned distance = hr_words_distance(a, b);

                if (n > HR_WORDS_MAX || m > HR_WORDS_MAX) {
                        EXPECT_UINT(a, distance, HR_WORDS_FAR);
                } else {
                        EXPECT_WITHIN(a, distance, n > m ? n - m : m - n, MAX(n, m));
                        EXPECT_UINT(a, hr_words_distance(b, a), distance);
                        EXPECT_INT(a, distance == 0, strcmp(a, b) == 0);
                }
                free(a);
                free(b);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(distance),
                cmocka_unit_test(nearest),
                cmocka_unit_test(any_words),
        };

        return cmocka_run_group_tests_name("words", tests, NULL, NULL);
}
