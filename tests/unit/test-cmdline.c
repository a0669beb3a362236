/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "think/cmdline.h"

#include <stdio.h>
#include <string.h>

#include "test.h"
#include "think/units.h"

static const struct {
        const char *name;
        const char *words[4];
        const char *spelled;
        bool typed;
} rows[] = {
        {"plain", {"python3", "a.py", "--n=3"}, "python3 a.py --n=3", true},
        {"blanks", {"sh", "-c", "a; b"}, "sh -c 'a; b'", true},
        {"empty", {"x", "", "y"}, "x '' y", true},
        {"quote", {"it's"}, "'it'\"'\"'s'", true},
        {"quotes alone", {"''"}, "''\"'\"''\"'\"''", true},
        {"letters", {"é"}, "'é'", true},
        {"control", {"a\x1b[2J"}, "'a\\x1b[2J'", false},
        {"turned round", {"a\u202eb"}, "'a\\xe2\\x80\\xaeb'", false},
        {"no text", {"\xff"}, "'\\xff'", false},
};

static void spells(void **state HR_UNUSED)
{
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char line[HR_CMDLINE_MAX] = "";

                for (size_t k = 0; k < ELEMENTSOF(rows[i].words) && rows[i].words[k]; k++)
                        hr_cmdline_add(line, rows[i].words[k]);
                if (strcmp(line, rows[i].spelled) != 0 || hr_cmdline_can_be_typed(line) != rows[i].typed)
                        fail_msg("%s: %s", rows[i].name, line);
        }
}

/* What a lying client may have had put on record: nobody is told to type it. */
static void lies(void **state HR_UNUSED)
{
        static const char *const texts[] = {"", " ", "a ", " a", "a  b", "a; b", "a|b", "$(a)", "`a`", "a &",
                "a > b", "'a", "a'", "'a'b", "'a';b", "'a'\"b\"", "'a'\"'\"b", "\"a\"", "a\nb", "~/a", "a #b",
                "*", "a\\b", "\u202e"};

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (hr_cmdline_can_be_typed(texts[i]))
                        fail_msg("it could be typed: %s", texts[i]);
}

static void cuts(void **state HR_UNUSED)
{
        static char word[2 * HR_CMDLINE_MAX];

        for (size_t shift = 0; shift < 4; shift++) {
                char line[HR_CMDLINE_MAX + 1] = "", escaped[2 * HR_CMDLINE_MAX];

                line[HR_CMDLINE_MAX] = 'x'; /* must stay */
                memset(word, 'a', shift);
                for (size_t at = shift; at + 4 < sizeof(word); at += 2)
                        memcpy(word + at, "é", 3);
                hr_cmdline_add(line, word);
                hr_cmdline_add(line, "more");
                assert_int_equal(line[HR_CMDLINE_MAX], 'x');
                assert_in_range(strlen(line), HR_CMDLINE_MAX - 8, HR_CMDLINE_MAX - 1);
                assert_string_equal(
                        hr_units_escape(escaped, sizeof(escaped), line), line); /* no half character */
                assert_false(hr_cmdline_can_be_typed(line));
        }
        char line[HR_CMDLINE_MAX] = "";
        for (unsigned i = 0; i < 5000; i++)
                hr_cmdline_add(line, i % 2 ? "it's" : "é");
        assert_in_range(strlen(line), HR_CMDLINE_MAX - 8, HR_CMDLINE_MAX - 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(spells),
                cmocka_unit_test(lies),
                cmocka_unit_test(cuts),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
