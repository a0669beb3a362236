/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Text to numbers and back; what the spellers write, the parsers take back without loss. */

#include "test.h"

#include <errno.h>
#include <signal.h>

#include "think/units.h"

#define HOST (64 * HR_GIB)
#define POISON 0x5EED5EED5EED5EEDULL

static void parse_size(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *text;
                int r;
                uint64_t bytes;
        } rows[] = {
                {"zero", "0", 0, 0},
                {"zero with a unit", "0B", 0, 0},
                {"max", "max", 0, HR_BYTES_NONE},
                {"binary", "8G", 0, 8 * HR_GIB},
                {"binary, in full", "8GiB", 0, 8 * HR_GIB},
                {"decimal", "8GB", 0, 8000000000},
                {"bytes", "1073741825B", 0, 1073741825},
                {"mebi", "512M", 0, 512 * HR_MIB},
                {"kibi", "4K", 0, 4096},
                {"kilo", "4KB", 0, 4000},
                {"tera", "2T", 0, 2048 * HR_GIB},
                {"lower case", "8g", 0, 8 * HR_GIB},
                {"lower case, in full", "8gib", 0, 8 * HR_GIB},
                {"lower case, decimal", "8gb", 0, 8000000000},
                {"a blank between", "400 MiB", 0, 400 * HR_MIB},
                {"fraction", "1.5G", 0, HR_GIB + HR_GIB / 2},
                {"fraction that floats don't have", "0.1GB", 0, 100000000},
                {"fraction is cut", "0.3K", 0, 307},
                {"long fraction", "1.50000000000000000000000000000000G", 0, HR_GIB + HR_GIB / 2},
                {"percent", "80%", 0, HOST * 8 / 10},
                {"percent with a fraction", "12.5 %", 0, HOST / 8},
                {"all", "100%", 0, HOST},
                {"the largest", "18446744073709551614B", 0, UINT64_MAX - 1},
                {"would read as none", "18446744073709551615B", -ERANGE, 0},
                {"too many bytes", "18446744073709551616B", -ERANGE, 0},
                {"too large by its unit", "16E", -ERANGE, 0},
                {"15 EiB", "15E", 0, 15 * (HR_GIB << 30)},
                {"huge", "99999999999999999999999999999999999999999999G", -ERANGE, 0},
                {"more than the host", "101%", -ERANGE, 0},
                {"bare", "8", -EUCLEAN, 0},
                {"bare, with a fraction", "8.5", -EUCLEAN, 0},
                {"bare and huge", "99999999999999999999999999999999", -EUCLEAN, 0},
                {"empty", "", -EINVAL, 0},
                {"negative", "-1G", -EINVAL, 0},
                {"sign", "+1G", -EINVAL, 0},
                {"no number", "G", -EINVAL, 0},
                {"no such unit", "8X", -EINVAL, 0},
                {"unit twice", "8GG", -EINVAL, 0},
                {"cut off after the point", "8.G", -EINVAL, 0},
                {"point first", ".5G", -EINVAL, 0},
                {"two points", "1.5.5G", -EINVAL, 0},
                {"comma", "1,5G", -EINVAL, 0},
                {"hex", "0x8G", -EINVAL, 0},
                {"exponent", "1e3G", -EINVAL, 0},
                {"part of a byte", "1.5B", -EINVAL, 0},
                {"trailing", "8G ", -EINVAL, 0},
                {"leading", " 8G", -EINVAL, 0},
                {"two sizes", "8G 8G", -EINVAL, 0},
                {"percent twice", "8%%", -EINVAL, 0},
                {"capital max", "MAX", -EINVAL, 0},
                {"infinity", "inf", -EINVAL, 0},
        };

        TEST_ROWS(row, rows)
        {
                uint64_t bytes = POISON;
                EXPECT_INT(row->name, hr_units_parse_size(row->text, HOST, &bytes), row->r);
                EXPECT_UINT(row->name, bytes, row->r < 0 ? POISON : row->bytes);
        }

        uint64_t bytes = POISON;
        assert_int_equal(hr_units_parse_size("80%", 0, &bytes), -ENODATA);
        assert_int_equal(hr_units_parse_size("x%", 0, &bytes), -EINVAL);
        assert_int_equal(bytes, POISON);
}

static void parse_level(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *text;
                int r;
                uint32_t permyriad;
        } rows[] = {
                {"plain", "70%", 0, 7000},
                {"blank", "70 %", 0, 7000},
                {"fraction", "97.5%", 0, 9750},
                {"two digits", "97.55%", 0, 9755},
                {"cut", "97.559%", 0, 9755},
                {"zero", "0%", 0, 0},
                {"all", "100%", 0, 10000},
                {"all, with zeros", "100.00%", 0, 10000},
                {"off", "off", 0, HR_PERMYRIAD_OFF},
                {"above", "100.001%", -ERANGE, 0},
                {"far above", "4294967295%", -ERANGE, 0},
                {"huge", "184467440737095516160%", -ERANGE, 0},
                {"bare", "70", -EUCLEAN, 0},
                {"bare zero", "0", -EUCLEAN, 0},
                {"empty", "", -EINVAL, 0},
                {"negative", "-5%", -EINVAL, 0},
                {"sign alone", "%", -EINVAL, 0},
                {"trailing", "70% ", -EINVAL, 0},
                {"a size", "70M", -EINVAL, 0},
                {"twice", "70%70%", -EINVAL, 0},
        };

        TEST_ROWS(row, rows)
        {
                uint32_t permyriad = 4711;
                EXPECT_INT(row->name, hr_units_parse_level(row->text, &permyriad), row->r);
                EXPECT_UINT(row->name, permyriad, row->r < 0 ? 4711 : row->permyriad);
        }
}

static void parse_time(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *text;
                int r;
                uint64_t usec;
        } rows[] = {
                {"seconds", "10s", 0, 10000000},
                {"milliseconds", "500ms", 0, 500000},
                {"microseconds", "7us", 0, 7},
                {"minutes", "15min", 0, 900000000},
                {"minutes, short", "15m", 0, 900000000},
                {"hours", "2h", 0, 7200000000},
                {"days", "3d", 0, 259200000000},
                {"a sum", "1h 30min", 0, 5400000000},
                {"a sum without blanks", "1h30min", 0, 5400000000},
                {"blanks everywhere", "1 h  30 min", 0, 5400000000},
                {"fraction", "1.5s", 0, 1500000},
                {"zero", "0", 0, 0},
                {"zero with a unit", "0s", 0, 0},
                {"never", "never", 0, HR_USEC_NEVER},
                {"would read as never", "18446744073709551615us", -ERANGE, 0},
                {"never as a sum", "18446744073709551614us 1us", -ERANGE, 0},
                {"a sum that overflows", "18446744073709551614us 1h", -ERANGE, 0},
                {"huge", "999999999999999999999999d", -ERANGE, 0},
                {"huge, then rubbish", "999999999999999999999999d x", -EINVAL, 0},
                {"bare", "10", -EUCLEAN, 0},
                {"bare at the end", "1h 30", -EUCLEAN, 0},
                {"bare zero at the end", "1h 0", -EUCLEAN, 0},
                {"empty", "", -EINVAL, 0},
                {"negative", "-1s", -EINVAL, 0},
                {"trailing blank", "1s ", -EINVAL, 0},
                {"no such unit", "1y", -EINVAL, 0},
                {"capital", "1S", -EINVAL, 0},
                {"unit alone", "s", -EINVAL, 0},
                {"zero and rubbish", "0 x", -EINVAL, 0},
        };

        TEST_ROWS(row, rows)
        {
                uint64_t usec = POISON;
                EXPECT_INT(row->name, hr_units_parse_time(row->text, &usec), row->r);
                EXPECT_UINT(row->name, usec, row->r < 0 ? POISON : row->usec);
        }
}

static void parse_bool(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *text;
                int r;
                bool value;
        } rows[] = {
                {"yes", "yes", 0, true},
                {"no", "no", 0, false},
                {"true", "true", 0, true},
                {"false", "false", 0, false},
                {"on", "on", 0, true},
                {"off", "off", 0, false},
                {"1", "1", 0, true},
                {"0", "0", 0, false},
                {"empty", "", -EINVAL, false},
                {"capital", "Yes", -EINVAL, false},
                {"cut off", "ye", -EINVAL, false},
                {"trailing", "yes ", -EINVAL, false},
                {"number", "2", -EINVAL, false},
        };

        TEST_ROWS(row, rows)
        {
                bool value = !row->value;
                EXPECT_INT(row->name, hr_units_parse_bool(row->text, &value), row->r);
                EXPECT_INT(row->name, value, row->r < 0 ? !row->value : row->value);
        }
}

static void format_bytes(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                uint64_t bytes;
                const char *wanted, *spelled;
        } rows[] = {
                {"zero", 0, "0 B", "0"},
                {"bytes", 512, "512 B", "512B"},
                {"exact", 400 * HR_MIB, "400 MiB", "400M"},
                {"not exact", 388 * HR_MIB + 1, "388.0 MiB", "406847489B"},
                {"half", HR_GIB + HR_GIB / 2, "1.5 GiB", "1536M"},
                {"rounded", 1900 * HR_KIB, "1.9 MiB", "1900K"},
                {"rounded into the next unit", HR_GIB - 1, "1.0 GiB", "1073741823B"},
                {"no whole KiB", HR_GIB + 1, "1.0 GiB", "1073741825B"},
                {"exact EiB", 4 * (HR_GIB << 30), "4 EiB", "4E"},
                {"the largest", UINT64_MAX - 1, "16.0 EiB", "18446744073709551614B"},
                {"none", HR_BYTES_NONE, "max", "max"},
        };
        char buf[HR_TEXT_SIZE_MAX];

        TEST_ROWS(row, rows)
        {
                EXPECT_STR(row->name, hr_units_format_bytes(buf, row->bytes), row->wanted);
                EXPECT_STR(row->name, hr_units_spell_bytes(buf, row->bytes), row->spelled);
        }
}

static void format_time(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                uint64_t usec;
                const char *wanted, *spelled;
        } rows[] = {
                {"zero", 0, "0 s", "0"},
                {"microseconds", 999, "999 us", "999us"},
                {"milliseconds", 350999, "350 ms", "350999us"},
                {"a second", 1000000, "1 s", "1s"},
                {"short", 1999999, "1.9 s", "1999999us"},
                {"seconds", 12900000, "12 s", "12900ms"},
                {"a minute", 60000000, "1 min", "1min"},
                {"minutes", 200000000, "3 min 20 s", "200s"},
                {"hours", 7500000000, "2 h 5 min", "125min"},
                {"hours and seconds", 7205000000, "2 h", "7205s"},
                {"days", 259200000000, "3 d", "3d"},
                {"days and hours", 270000000000, "3 d 3 h", "75h"},
                {"the longest", UINT64_MAX - 1, "213503982 d 8 h", "18446744073709551614us"},
                {"never", HR_USEC_NEVER, "never", "never"},
        };
        char buf[HR_TEXT_SIZE_MAX];

        TEST_ROWS(row, rows)
        {
                EXPECT_STR(row->name, hr_units_format_time(buf, row->usec), row->wanted);
                EXPECT_STR(row->name, hr_units_spell_time(buf, row->usec), row->spelled);
        }
}

#define SECOND HR_USEC_PER_SEC
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

static void format_estimate(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                uint64_t least, most;
                const char *wanted;
        } rows[] = {
                {"nothing left", 0, 0, "less than a second"},
                {"milliseconds", 17000, 198000, "less than a second"},
                {"milliseconds, no end known", 17000, HR_USEC_NEVER, "less than a second"},
                {"milliseconds to a minute", 447000, 72 * SECOND, "up to 1 min"},
                {"milliseconds to a second", 447000, 1300000, "up to 1 s"},
                {"seconds, both the same", 4200000, 4400000, "about 4 s"},
                {"seconds", 1600000, 9300000, "2 to 9 s"},
                {"steps of five seconds", 13 * SECOND, 41 * SECOND, "15 to 40 s"},
                {"nearly a minute", 58 * SECOND, 62 * SECOND, "about 1 min"},
                {"minutes", 54 * SECOND, 170 * SECOND, "55 s to 3 min"},
                {"minutes, said once", 61 * SECOND, 180 * SECOND, "1 to 3 min"},
                {"half minutes", 85 * SECOND, 100 * SECOND, "about 1 min 30 s"},
                {"half minutes, a range", 85 * SECOND, 5 * MINUTE, "1 min 30 s to 5 min"},
                {"two half minutes", 85 * SECOND, 150 * SECOND, "1 min 30 s to 2 min 30 s"},
                {"steps of five minutes", 22 * MINUTE, 39 * MINUTE, "20 to 40 min"},
                {"minutes, no end known", 62 * SECOND, HR_USEC_NEVER, "1 min or more"},
                {"hours", 100 * MINUTE, 5 * HOUR + 1, "1 h 30 min to 5 h"},
                {"hours, said once", 4 * HOUR, 7 * HOUR, "4 to 7 h"},
                {"a day", 23 * HOUR + 40 * MINUTE, 25 * HOUR, "about 1 d"},
                {"days", 26 * HOUR, 80 * HOUR, "1 to 3 d"},
                {"the wrong way round", 3 * MINUTE, MINUTE, "about 3 min"},
                {"the longest", HR_USEC_NEVER - 1, HR_USEC_NEVER - 1, "about 213503982 d"},
                {"never", HR_USEC_NEVER, HR_USEC_NEVER, "never"},
        };
        char buf[HR_TEXT_SIZE_MAX];

        TEST_ROWS(row, rows)
        EXPECT_STR(row->name, hr_units_format_estimate(buf, row->least, row->most), row->wanted);
}

static void format_level(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                uint32_t permyriad;
                const char *wanted, *spelled;
        } rows[] = {
                {"zero", 0, "0.0 %", "0%"},
                {"whole", 9700, "97.0 %", "97%"},
                {"tenth", 9750, "97.5 %", "97.5%"},
                {"hundredth", 9705, "97.0 %", "97.05%"},
                {"not yet full", 9999, "99.9 %", "99.99%"},
                {"over", 12345, "123.4 %", "123.45%"},
                {"off", HR_PERMYRIAD_OFF, "off", "off"},
        };
        char buf[HR_TEXT_SIZE_MAX];

        TEST_ROWS(row, rows)
        {
                EXPECT_STR(row->name, hr_units_format_level(buf, row->permyriad), row->wanted);
                EXPECT_STR(row->name, hr_units_spell_level(buf, row->permyriad), row->spelled);
        }
}

static void round_trip(void **state HR_UNUSED)
{
        struct test_random random = test_random_new("units round trip");

        for (int i = 0; i < 200000; i++) {
                char buf[HR_TEXT_SIZE_MAX];
                uint64_t n = test_random_size(&random), back = ~n;
                uint64_t factor = test_random_next(&random) % 4096 + 1;
                uint32_t level = (uint32_t)(n % (HR_PERMYRIAD_ALL + 1)), level_back = 0;

                if (i % 2 && n < UINT64_MAX / (HR_MIB * factor))
                        n *= HR_MIB * factor;
                assert_int_equal(hr_units_parse_size(hr_units_spell_bytes(buf, n), HOST, &back), 0);
                EXPECT_UINT(buf, back, n);
                assert_int_equal(hr_units_parse_time(hr_units_spell_time(buf, n), &back), 0);
                EXPECT_UINT(buf, back, n);
                assert_int_equal(hr_units_parse_level(hr_units_spell_level(buf, level), &level_back), 0);
                EXPECT_UINT(buf, level_back, level);

                /* What is made for people is taken back as well, and nearly the same. */
                if (n == HR_BYTES_NONE)
                        continue;
                if (hr_units_parse_size(hr_units_format_bytes(buf, n), HOST, &back) ==
                        0) /* else "16.0 EiB" */
                        EXPECT_WITHIN(buf, back, n - n / 19, hr_add(n, n / 19 + 1));
                assert_int_equal(hr_units_parse_time(hr_units_format_time(buf, n), &back), 0);
                EXPECT_WITHIN(buf, back, n / 2, n);
                assert_true(strlen(buf) < HR_TEXT_SIZE_MAX);
        }
}

static void parse_anything(void **state HR_UNUSED)
{
        static const char alphabet[] = "0123456789.% -+kKmMgGiIbBsmhdn\t\xff";
        struct test_random random = test_random_new("units parse anything");

        for (int i = 0; i < 200000; i++) {
                char text[24];
                size_t size = test_random_next(&random) % sizeof(text);
                for (size_t j = 0; j < size; j++)
                        text[j] = alphabet[test_random_next(&random) % (sizeof(alphabet) - 1)];
                text[size == sizeof(text) ? size - 1 : size] = '\0';

                char *exact = test_exact(text, size + 1);
                uint64_t n = POISON;
                uint32_t level = 4711;
                assert_true(hr_units_parse_size(exact, HOST, &n) == 0 || n == POISON);
                n = POISON;
                assert_true(hr_units_parse_time(exact, &n) == 0 || n == POISON);
                assert_true(hr_units_parse_level(exact, &level) == 0 || level == 4711);
                (void)hr_units_check_name(exact);
                (void)hr_units_signal_from_name(exact);
                free(exact);
        }
}

static void check_name(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *text;
                int r;
                bool is_id;
        } rows[] = {
                {"plain", "analyse", 0, false},
                {"all kinds", "A-b_c.d@9", 0, false},
                {"one letter", "j", 0, false},
                {"an id", "j17", -EINVAL, true},
                {"an id with a zero", "j017", -EINVAL, true},
                {"an id and more", "j17x", 0, false},
                {"capital", "J17", 0, false},
                {"63 bytes", "a23456789012345678901234567890123456789012345678901234567890123", 0, false},
                {"64 bytes", "a234567890123456789012345678901234567890123456789012345678901234", -EINVAL,
                        false},
                {"empty", "", -EINVAL, false},
                {"digit first", "7up", -EINVAL, false},
                {"dash first", "-x", -EINVAL, false},
                {"blank", "a b", -EINVAL, false},
                {"slash", "a/b", -EINVAL, false},
                {"newline", "a\n", -EINVAL, false},
                {"not ASCII", "\xc3\xa4", -EINVAL, false},
                {"not ASCII, later", "a\xc3\xa4", -EINVAL, false},
        };

        TEST_ROWS(row, rows)
        {
                EXPECT_INT(row->name, hr_units_check_name(row->text), row->r);
                EXPECT_INT(row->name, hr_units_is_job_id(row->text), row->is_id);
        }
}

static void HR_PRINTF(3, 4) format_text(char *buf, size_t size, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        hr_units_vformat_text(buf, size, format, ap);
        va_end(ap);
}

static void cut_text(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                size_t size;
                const char *text, *wanted;
        } rows[] = {
                {"fits", 20, "left at this pace", "left at this pace"},
                {"just fits", 18, "left at this pace", "left at this pace"},
                {"cut in a word", 17, "left at this pace", "left at this…"},
                {"cut after a word", 16, "left at this pace", "left at this…"},
                {"cut at a blank", 17, "left at this  pac", "left at this…"},
                {"one long word", 12, "/a/very/long/path", "/a/very/…"},
                {"a late long word", 12, "it /very/long/path", "it /very…"},
                {"within a character", 12, "aaaaaaa\xe4\xb8\xad\xe4\xb8\xad", "aaaaaaa…"},
                {"after a character", 14, "aaaaaaa\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad",
                        "aaaaaaa\xe4\xb8\xad…"},
                {"room for the dots alone", 4, "abcd", "…"},
                {"no room for them", 3, "abcd", ""},
                {"no room", 1, "abcd", ""},
                {"nothing", 1, "", ""},
        };
        char buf[32];

        TEST_ROWS(row, rows)
        {
                memset(buf, 'x', sizeof(buf));
                format_text(buf, row->size, "%s", row->text);
                EXPECT_STR(row->name, buf, row->wanted);
                EXPECT_INT(row->name, buf[row->size], 'x');
        }
}

static void escape(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                size_t size;
                const char *text, *wanted;
        } rows[] = {
                {"plain", 64, "python3", "python3"},
                {"empty", 64, "", ""},
                {"blank and quotes stay", 64, "a \"b\" 'c'", "a \"b\" 'c'"},
                {"hostile name", 64, "foo) Z ", "foo) Z "},
                {"newline", 64, "a\nb", "a\\x0ab"},
                {"escape code", 64, "\033[31m", "\\x1b[31m"},
                {"DEL", 64, "\x7f", "\\x7f"},
                {"backslash", 64, "a\\x0a", "a\\x5cx0a"},
                {"UTF-8 stays", 64, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
                        "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
                {"lone byte", 64,
                        "a\xff"
                        "b",
                        "a\\xffb"},
                {"lone continuation", 64, "\x80", "\\x80"},
                {"overlong slash", 64, "\xc0\xaf", "\\xc0\\xaf"},
                {"overlong, three bytes", 64, "\xe0\x80\xaf", "\\xe0\\x80\\xaf"},
                {"surrogate", 64, "\xed\xa0\x80", "\\xed\\xa0\\x80"},
                {"above Unicode", 64, "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
                {"cut off character", 64, "a\xe2\x82", "a\\xe2\\x82"},
                {"C1 control", 64,
                        "\xc2\x9b"
                        "31m",
                        "\\xc2\\x9b31m"},
                {"turns the text", 64, "\xe2\x80\xae", "\\xe2\\x80\\xae"},
                {"fits exactly", 4, "abc", "abc"},
                {"cut", 4, "abcd", "abc"},
                {"cut before a character", 4, "ab\xc3\xa4", "ab"},
                {"cut before an escape", 6, "ab\n", "ab"},
                {"escape fits", 7, "ab\n", "ab\\x0a"},
                {"room for the NUL", 1, "abc", ""},
        };

        TEST_ROWS(row, rows)
        {
                char *buf = malloc(row->size);
                assert_non_null(buf);
                EXPECT_STR(row->name, hr_units_escape(buf, row->size, row->text), row->wanted);
                free(buf);
        }
        char untouched = 'x';
        hr_units_escape(&untouched, 0, "abc");
        assert_int_equal(untouched, 'x');
}

static void signals(void **state HR_UNUSED)
{
        const struct {
                const char *name, *text;
                int wanted;
        } rows[] = {
                {"plain", "USR1", SIGUSR1},
                {"in full", "SIGTERM", SIGTERM},
                {"first realtime", "RTMIN", SIGRTMIN},
                {"realtime", "RTMIN+3", SIGRTMIN + 3},
                {"realtime, in full", "SIGRTMIN+10", SIGRTMIN + 10},
                {"from the end", "RTMAX-1", SIGRTMAX - 1},
                {"beyond the end", "RTMIN+99", -EINVAL},
                {"long offset", "RTMIN+100", -EINVAL},
                {"wrong sign", "RTMIN-1", -EINVAL},
                {"cut off", "RTMIN+", -EINVAL},
                {"trailing", "RTMIN+3x", -EINVAL},
                {"empty", "", -EINVAL},
                {"prefix alone", "SIG", -EINVAL},
                {"prefix twice", "SIGSIGTERM", -EINVAL},
                {"number", "10", -EINVAL},
                {"small", "usr1", -EINVAL},
                {"blank", "USR1 ", -EINVAL},
        };

        TEST_ROWS(row, rows)
        EXPECT_INT(row->name, hr_units_signal_from_name(row->text), row->wanted);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(parse_size),
                cmocka_unit_test(parse_level),
                cmocka_unit_test(parse_time),
                cmocka_unit_test(parse_bool),
                cmocka_unit_test(format_bytes),
                cmocka_unit_test(format_time),
                cmocka_unit_test(format_estimate),
                cmocka_unit_test(format_level),
                cmocka_unit_test(round_trip),
                cmocka_unit_test(parse_anything),
                cmocka_unit_test(check_name),
                cmocka_unit_test(cut_text),
                cmocka_unit_test(escape),
                cmocka_unit_test(signals),
        };

        return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
