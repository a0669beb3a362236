/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What came from outside, for people and as JSON; invalid, overlong and cut off UTF-8 among it. */

#include "test.h"

#include "client/text.h"

static void test_write(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *text, *escaped, *json;
        } rows[] = {
                {"empty", "", "", "\"\""},
                {"plain", "a b", "a b", "\"a b\""},
                {"quoted", "a\"b\\c", "a\"b\\c", "\"a\\\"b\\\\c\""},
                {"only a quote", "\"", "\"", "\"\\\"\""},
                {"UTF-8", "bär \xe4\xb8\xad \xf0\x9f\x98\x80", "bär \xe4\xb8\xad \xf0\x9f\x98\x80",
                        "\"bär \xe4\xb8\xad \xf0\x9f\x98\x80\""},
                {"control", "a\033[1m\x7f", "a\\x1b[1m\\x7f", "\"a\\u001b[1m\\u007f\""},
                {"newline", "a\nb", "a\\x0ab", "\"a\\u000ab\""},
                {"control of C1",
                        "a\xc2\x9b"
                        "1m",
                        "a\\xc2\\x9b1m", "\"a\\u009b1m\""},
                {"invalid",
                        "a\xff\xfe"
                        "b",
                        "a\\xff\\xfeb", "\"a\\ufffd\\ufffdb\""},
                {"cut off", "a\xe4\xb8", "a\\xe4\\xb8", "\"a\\ufffd\\ufffd\""},
                {"overlong", "\xc0\x80", "\\xc0\\x80", "\"\\ufffd\\ufffd\""},
        };

        TEST_ROWS(row, rows)
        {
                _free_ char *text = NULL;
                size_t size;
                FILE *f = open_memstream(&text, &size);

                assert_non_null(f);
                hr_text_write_escaped(f, row->text, false);
                fputc('\n', f);
                hr_text_write_json(f, row->text);
                fclose(f);
                *strchr(text, '\n') = '\0';
                EXPECT_STR(row->name, text, row->escaped);
                EXPECT_STR(row->name, text + strlen(text) + 1, row->json);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_write),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
