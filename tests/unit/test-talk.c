/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The lines of the job's socket: what is taken, what is refused, and what comes out of it. */

#include "test.h"

#include <errno.h>

#include "think/talk.h"

/* Parses a copy that ends where its block does; strings of *ret live until the next call. */
static int parse(const char *line, size_t size, struct hr_talk *ret)
{
        static char *copy;

        free(copy);
        copy = test_exact(line, size);
        return hr_talk_parse(copy, size, ret);
}

static void good_lines(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *line;
                struct hr_talk wanted;
        } rows[] = {
                {"hello, plain", "hello headroom/1\n", {.word = HR_TALK_HELLO}},
                {"hello, all", "hello headroom/1 trim checkpoint why\n",
                        {.word = HR_TALK_HELLO, .abilities = 7}},
                {"hello, one", "hello headroom/1 why\n", {.word = HR_TALK_HELLO, .abilities = 4}},
                {"hello, twice the same", "hello headroom/1 trim trim\n",
                        {.word = HR_TALK_HELLO, .abilities = 1}},
                {"hello, a promise", "hello headroom/1 trim memory-error\n",
                        {.word = HR_TALK_HELLO, .abilities = 1 | HR_TALK_TELLS_MEMORY_ERROR}},
                {"hello, unknown words", "hello headroom/1 fly trim\n",
                        {.word = HR_TALK_HELLO, .abilities = 1}},
                {"hello, two spaces", "hello headroom/1  trim \n", {.word = HR_TALK_HELLO, .abilities = 1}},
                {"trimmed", "trimmed 1048576\n", {.word = HR_TALK_TRIMMED, .bytes = HR_MIB}},
                {"trimmed nothing", "trimmed 0\n", {.word = HR_TALK_TRIMMED}},
                {"leading zeros", "trimmed 0012\n", {.word = HR_TALK_TRIMMED, .bytes = 12}},
                {"the largest number", "trimmed 9223372036854775807\n",
                        {.word = HR_TALK_TRIMMED, .bytes = HR_TALK_NUMBER_MAX}},
                {"path", "checkpointed /a/b.pkl\n", {.word = HR_TALK_CHECKPOINTED, .text = "/a/b.pkl"}},
                {"path, encoded", "checkpointed /a%20b%25%0a%FF\n",
                        {.word = HR_TALK_CHECKPOINTED, .text = "/a b%\n\xff"}},
                {"path, UTF-8", "checkpointed /\xc3\xbc\xe2\x82\xac\xf0\x9f\x90\x8d\n",
                        {.word = HR_TALK_CHECKPOINTED, .text = "/\xc3\xbc\xe2\x82\xac\xf0\x9f\x90\x8d"}},
                {"need", "need 90\n", {.word = HR_TALK_NEED, .usec = 90 * HR_USEC_PER_SEC}},
                {"need, a part", "need 2.5\n", {.word = HR_TALK_NEED, .usec = 2500 * HR_USEC_PER_MSEC}},
                {"need, digits that don't count", "need 0.12345678901234567890123\n",
                        {.word = HR_TALK_NEED, .usec = 123456}},
                {"need, the most", "need 3600.0\n", {.word = HR_TALK_NEED, .usec = HR_TALK_NEED_MAX_USEC}},
                {"failed", "failed disk full: 100% of /a b\n",
                        {.word = HR_TALK_FAILED, .text = "disk full: 100% of /a b"}},
                {"failed, no reason", "failed\n", {.word = HR_TALK_FAILED}},
                {"failed, empty reason", "failed \n", {.word = HR_TALK_FAILED}},
                {"holds", "holds 1073741824 3 17 df%20x /home/a/b.py\n",
                        {.word = HR_TALK_HOLDS,
                                .bytes = HR_GIB,
                                .count = 3,
                                .line = 17,
                                .text = "df x",
                                .file = "/home/a/b.py"}},
                {"holds, unknown", "holds 5 0 0 - -\n", {.word = HR_TALK_HOLDS, .bytes = 5}},
                {"holds, a name of one stroke", "holds 5 0 0 %2d -x\n",
                        {.word = HR_TALK_HOLDS, .bytes = 5, .text = "-", .file = "-x"}},
                {"spare", "spare 10 20\n", {.word = HR_TALK_SPARE, .garbage_bytes = 10, .malloc_bytes = 20}},
                {"spare, unknown", "spare -1 -1\n",
                        {.word = HR_TALK_SPARE,
                                .garbage_bytes = HR_BYTES_NONE,
                                .malloc_bytes = HR_BYTES_NONE}},
                {"status", "status\n", {.word = HR_TALK_STATUS}},
                {"memory error", "memory-error 31 a%20b.py\n",
                        {.word = HR_TALK_MEMORY_ERROR, .line = 31, .file = "a b.py"}},
                {"memory error, somewhere", "memory-error 0 -\n", {.word = HR_TALK_MEMORY_ERROR}},
                {"unknown word", "sing a song %zz\n", {.word = HR_TALK_UNKNOWN}},
                {"empty", "\n", {.word = HR_TALK_UNKNOWN}},
                {"a space", " \n", {.word = HR_TALK_UNKNOWN}},
                {"indented", " trimmed 0\n", {.word = HR_TALK_UNKNOWN}},
                {"capitals", "TRIMMED 0\n", {.word = HR_TALK_UNKNOWN}},
                {"beginning of a word", "trim 0\n", {.word = HR_TALK_UNKNOWN}},
                {"another version", "hello headroom/2 trim\n", {.word = HR_TALK_UNKNOWN}},
                {"another version that begins alike", "hello headroom/12 trim\n", {.word = HR_TALK_UNKNOWN}},
                {"hello to somebody else", "hello\n", {.word = HR_TALK_UNKNOWN}},
        };

        TEST_ROWS(row, rows)
        {
                struct hr_talk got;

                EXPECT_INT(row->name, parse(row->line, strlen(row->line), &got), 0);
                EXPECT_INT(row->name, got.word, row->wanted.word);
                EXPECT_UINT(row->name, got.abilities, row->wanted.abilities);
                EXPECT_UINT(row->name, got.bytes, row->wanted.bytes);
                EXPECT_UINT(row->name, got.usec, row->wanted.usec);
                EXPECT_UINT(row->name, got.count, row->wanted.count);
                EXPECT_UINT(row->name, got.line, row->wanted.line);
                EXPECT_UINT(row->name, got.garbage_bytes, row->wanted.garbage_bytes);
                EXPECT_UINT(row->name, got.malloc_bytes, row->wanted.malloc_bytes);
                EXPECT_STR(row->name, got.text, row->wanted.text ? row->wanted.text : "");
                EXPECT_STR(row->name, got.file, row->wanted.file ? row->wanted.file : "");
        }
}

static void bad_lines(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *line;
                size_t size; /* 0: strlen */
                int wanted;
        } rows[] = {
                {"no newline", "trimmed 5", 0, -EBADMSG},
                {"NUL", "trimmed 5\0\n", 11, -EBADMSG},
                {"NUL in an unknown line", "sing\0\n", 6, -EBADMSG},
                {"two lines", "status\nstatus\n", 0, -EBADMSG},
                {"carriage return", "status\r\n", 0, -EBADMSG},
                {"tabulator", "failed a\tb\n", 0, -EBADMSG},
                {"escape code", "failed \x1b[31m\n", 0, -EBADMSG},
                {"DEL", "failed \x7f\n", 0, -EBADMSG},
                {"a control character of eight bits", "failed \xc2\x9b\n", 0, -EBADMSG},
                {"separator of lines", "failed \xe2\x80\xa8\n", 0, -EBADMSG},
                {"no UTF-8", "failed \xff\n", 0, -EBADMSG},
                {"UTF-8 cut off", "failed \xe2\x82\n", 0, -EBADMSG},
                {"UTF-8, too long a form", "failed \xc0\xaf\n", 0, -EBADMSG},
                {"UTF-8, surrogate", "failed \xed\xa0\x80\n", 0, -EBADMSG},
                {"beyond Unicode", "failed \xf4\x90\x80\x80\n", 0, -EBADMSG},
                {"no number", "trimmed\n", 0, -EBADMSG},
                {"empty number", "trimmed \n", 0, -EBADMSG},
                {"negative", "trimmed -1\n", 0, -EBADMSG},
                {"plus", "trimmed +1\n", 0, -EBADMSG},
                {"hexadecimal", "trimmed 0x10\n", 0, -EBADMSG},
                {"unit", "trimmed 5M\n", 0, -EBADMSG},
                {"a field too many", "trimmed 5 5\n", 0, -EBADMSG},
                {"two spaces", "trimmed  5\n", 0, -EBADMSG},
                {"space behind", "trimmed 5 \n", 0, -EBADMSG},
                {"too large", "trimmed 9223372036854775808\n", 0, -ERANGE},
                {"far too large", "trimmed 99999999999999999999999999\n", 0, -ERANGE},
                {"relative path", "checkpointed a/b\n", 0, -EBADMSG},
                {"no path", "checkpointed\n", 0, -EBADMSG},
                {"empty path", "checkpointed \n", 0, -EBADMSG},
                {"path with a space", "checkpointed /a b\n", 0, -EBADMSG},
                {"path whose stroke is encoded", "checkpointed %2fa\n", 0, -EBADMSG},
                {"encoded NUL", "checkpointed /a%00\n", 0, -EBADMSG},
                {"encoding cut off", "checkpointed /a%\n", 0, -EBADMSG},
                {"encoding half cut off", "checkpointed /a%4\n", 0, -EBADMSG},
                {"no encoding", "checkpointed /a%g0\n", 0, -EBADMSG},
                {"need too much", "need 3601\n", 0, -ERANGE},
                {"need a little too much", "need 3600.000001\n", 0, -ERANGE},
                {"need, a point behind", "need 1.\n", 0, -EBADMSG},
                {"need, a point before", "need .5\n", 0, -EBADMSG},
                {"need, exponent", "need 1e3\n", 0, -EBADMSG},
                {"need less than nothing", "need -5\n", 0, -EBADMSG},
                {"memory error, a field too few", "memory-error 3\n", 0, -EBADMSG},
                {"memory error, no line", "memory-error - a.py\n", 0, -EBADMSG},
                {"memory error, a field too many", "memory-error 3 a.py b\n", 0, -EBADMSG},
                {"holds, a field too few", "holds 5 0 0 -\n", 0, -EBADMSG},
                {"holds, empty name", "holds 5 0 0  -\n", 0, -EBADMSG},
                {"holds, a field too many", "holds 5 0 0 - - -\n", 0, -EBADMSG},
                {"spare, one", "spare -1\n", 0, -EBADMSG},
                {"spare, less than -1", "spare -2 -1\n", 0, -EBADMSG},
                {"spare, -1 and more", "spare -10 -1\n", 0, -EBADMSG},
                {"status with a field", "status now\n", 0, -EBADMSG},
        };

        TEST_ROWS(row, rows)
        {
                struct hr_talk got = {.bytes = 99};

                EXPECT_INT(row->name, parse(row->line, row->size ? row->size : strlen(row->line), &got),
                        row->wanted);
                EXPECT_UINT(row->name, got.bytes, 99); /* untouched on failure */
        }
}

static void length(void **state HR_UNUSED)
{
        char line[HR_TALK_LINE_MAX + 1];
        struct hr_talk got;

        assert_int_equal(parse("", 0, &got), -EBADMSG);
        memset(line, 'a', sizeof(line));
        memcpy(line, "failed ", 7);
        line[HR_TALK_LINE_MAX] = '\n';
        assert_int_equal(parse(line, HR_TALK_LINE_MAX + 1, &got), -EMSGSIZE);
        line[HR_TALK_LINE_MAX - 1] = '\n';
        assert_int_equal(parse(line, HR_TALK_LINE_MAX, &got), 0);
        assert_int_equal(strlen(got.text), HR_TALK_LINE_MAX - 8);
}

static void greeting(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *data;
                bool wanted;
        } rows[] = {
                {"nothing", "", true},
                {"its first letter", "h", true},
                {"all but the version", "hello headroom/", true},
                {"without newline", "hello headroom/1", true},
                {"whole", "hello headroom/1\n", true},
                {"with more", "hello headroom/1 trim\ntrimmed", true},
                {"another letter", "x", false},
                {"what systemd writes", "some 200000 2000000", false},
                {"another version", "hello headroom/2", false},
                {"a later version", "hello headroom/10", false},
                {"newline too early", "hello\n", false},
        };

        TEST_ROWS(row, rows)
        {
                char *copy = test_exact(row->data, strlen(row->data));

                EXPECT_INT(row->name, hr_talk_may_be_hello(copy, strlen(row->data)), row->wanted);
                free(copy);
        }
        assert_false(hr_talk_may_be_hello("\0", 1));
        assert_false(hr_talk_may_be_hello("hello headroom/1\0", 17));
}

static void said(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                struct hr_talk_status status;
                const char *wanted;
        } rows[] = {
                {"all known", {HR_STAGE_NOTICE, 300, 400, 2999999}, "status notice 300 400 2\n"},
                {"no limit", {HR_STAGE_OK, 0, HR_BYTES_NONE, HR_USEC_NEVER}, "status ok 0 -1 -1\n"},
                {"large", {HR_STAGE_KILL, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 1},
                        "status kill 18446744073709551615 9223372036854775807 18446744073709\n"},
        };
        char buf[HR_TALK_SAY_MAX];

        TEST_ROWS(row, rows)
        {
                EXPECT_STR(row->name, hr_talk_say_status(buf, &row->status), row->wanted);
        }
        assert_string_equal(hr_talk_say_welcome(buf, "j17"), "welcome headroom/1 j17\n");
        assert_string_equal(hr_talk_say_pressure(buf, HR_STAGE_HOLD), "pressure hold\n");
        assert_string_equal(hr_talk_say_request(buf, HR_TALK_TRIM, 0), "trim\n");
        assert_string_equal(hr_talk_say_request(buf, HR_TALK_WHY, 0), "why\n");
        assert_string_equal(
                hr_talk_say_request(buf, HR_TALK_CHECKPOINT, 1763812345999999), "checkpoint 1763812345\n");
}

/* Any bytes but NUL, encoded one by one, come back. */
static void encoded_comes_back(void **state HR_UNUSED)
{
        struct test_random random = test_random_new("talk");

        for (int i = 0; i < 5000; i++) {
                char wanted[128] = "/", line[512] = "checkpointed /";
                size_t n = test_random_next(&random) % (sizeof(wanted) - 1), end = strlen(line);
                struct hr_talk got;

                for (size_t j = 1; j < n; j++) {
                        unsigned char byte = (unsigned char)(1 + test_random_next(&random) % 255);

                        wanted[j] = (char)byte;
                        end += (size_t)sprintf(
                                line + end, byte > ' ' && byte < 0x7f && byte != '%' ? "%c" : "%%%02X", byte);
                }
                line[end++] = '\n';
                assert_int_equal(parse(line, end, &got), 0);
                assert_string_equal(got.text, wanted);
        }
}

/* Lines with random slips: never a read too many, never a field beyond its bound. */
static void any_line(void **state HR_UNUSED)
{
        static const char *const lines[] = {"hello headroom/1 trim why\n", "trimmed 77\n",
                "checkpointed /a%20b\n", "need 3.5\n", "failed \xc3\xbc\n", "holds 9 8 7 x y\n",
                "spare -1 6\n", "status\n"};
        struct test_random random = test_random_new("talk");

        for (int i = 0; i < 50000; i++) {
                const char *line = lines[test_random_next(&random) % ELEMENTSOF(lines)];
                size_t size = strlen(line);
                char changed[64];
                struct hr_talk got;

                memcpy(changed, line, size);
                for (uint64_t slips = test_random_next(&random) % 4; slips > 0; slips--)
                        changed[test_random_next(&random) % size] = (char)test_random_next(&random);
                size -= test_random_next(&random) % 8 == 0 ? test_random_next(&random) % size : 0;
                if (parse(changed, size, &got) < 0)
                        continue;
                assert_true(got.word < HR_TALK_WORD_COUNT);
                assert_true(got.usec <= HR_TALK_NEED_MAX_USEC);
                assert_true(got.bytes <= HR_TALK_NUMBER_MAX);
                assert_true(strlen(got.text) < size && strlen(got.file) < size);
                assert_true(got.word != HR_TALK_CHECKPOINTED || got.text[0] == '/');
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(good_lines),
                cmocka_unit_test(bad_lines),
                cmocka_unit_test(length),
                cmocka_unit_test(greeting),
                cmocka_unit_test(said),
                cmocka_unit_test(encoded_comes_back),
                cmocka_unit_test(any_line),
        };

        return cmocka_run_group_tests_name("talk", tests, NULL, NULL);
}
