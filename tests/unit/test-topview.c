/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What `headroom top` shows: order, selection, bars, sparklines, and that no screen is ever garbled. */

#include "test.h"

#include <locale.h>

#include "client/text.h"
#include "client/topview.h"
#include "think/sample.h"

#define NEVER HR_USEC_NEVER
#define SECOND HR_USEC_PER_SEC

struct given {
        const char *job, *name, *user;
        uint64_t used_bytes, limit_bytes, growth_bytes_per_second, left_usec;
        bool frozen;
};

static int give_in(struct hr_topview *view, const struct given *rows, size_t count, uint64_t second)
{
        struct hr_topview_job *jobs = calloc(MAX(count, (size_t)1), sizeof(*jobs));

        assert_non_null(jobs);
        for (size_t i = 0; i < count; i++) {
                struct hr_topview_job *j = &jobs[i];

                hr_topview_clean(j->job, sizeof(j->job), rows[i].job);
                hr_topview_clean(j->name, sizeof(j->name), rows[i].name);
                hr_topview_clean(j->user, sizeof(j->user), rows[i].user);
                strcpy(j->stage, rows[i].frozen ? "hold" : "ok");
                j->style = rows[i].frozen ? HR_STYLE_RED : HR_STYLE_PLAIN;
                strcpy(j->reason, "because of this and that, which takes more than one line on a screen");
                j->frozen = rows[i].frozen;
                j->used_bytes = rows[i].used_bytes;
                j->limit_bytes = rows[i].limit_bytes;
                j->growth_bytes_per_second = rows[i].growth_bytes_per_second;
                j->left_usec = rows[i].left_usec;
                j->ratio_permyriad = hr_ratio_permyriad(rows[i].used_bytes, rows[i].limit_bytes);
        }
        return hr_topview_update(view, jobs, count, second);
}

static const struct given some[] = {
        {"j10", "ten", "ana", 50 * HR_MIB, 100 * HR_MIB, HR_MIB, 50 * SECOND, false},
        {"j9", "nine", "ana", 60 * HR_MIB, 100 * HR_MIB, HR_MIB, 50 * SECOND, false},
        {"j2", "free", "ben", 0, HR_BYTES_NONE, 0, NEVER, false},
        {"j3", "Over", "ben", 300 * HR_MIB, 100 * HR_MIB, UINT64_MAX, 0, false},
        {"j4", "held", "ana", 97 * HR_MIB, 100 * HR_MIB, 0, NEVER, true},
        {"j5", "still", "cyd", 90 * HR_MIB, 100 * HR_MIB, 0, NEVER, false},
};

static void shown_order(const struct hr_topview *view, char *ret, size_t size)
{
        *ret = '\0';
        for (size_t i = 0; i < view->shown_count; i++)
                snprintf(
                        ret + strlen(ret), size - strlen(ret), "%s%s", i > 0 ? " " : "", view->shown[i]->job);
}

static void order(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                unsigned presses; /* of s */
                const char *filter, *wanted;
        } rows[] = {
                {"time left, then fill, then id", 0, "", "j4 j3 j9 j10 j5 j2"},
                {"used", 1, "", "j3 j4 j5 j9 j10 j2"},
                {"growth", 2, "", "j3 j9 j10 j2 j4 j5"},
                {"name, whatever its case", 3, "", "j2 j4 j9 j3 j5 j10"},
                {"and round again", 4, "", "j4 j3 j9 j10 j5 j2"},
                {"filter by user", 0, "ana", "j4 j9 j10"},
                {"filter by name, whatever its case", 0, "oVe", "j3"},
                {"filter by either", 0, "en", "j3 j10 j2"},
                {"none", 0, "nobody", ""},
                {"bytes that are none", 0, "\xff\x1b", ""},
        };

        TEST_ROWS(row, rows)
        {
                struct hr_topview view = {0};
                char text[200];

                assert_int_equal(give_in(&view, some, ELEMENTSOF(some), 1000), 0);
                for (unsigned i = 0; i < row->presses; i++)
                        hr_topview_sort_next(&view);
                hr_topview_filter(&view, row->filter);
                shown_order(&view, text, sizeof(text));
                EXPECT_STR(row->name, text, row->wanted);
                hr_topview_done(&view);
        }
}

static const char *selected(const struct hr_topview *view)
{
        const struct hr_topview_job *job = hr_topview_selected(view);

        return job ? job->job : "none";
}

/* What is selected stays so wherever it moves, for a key acts on it. */
static void selection(void **state HR_UNUSED)
{
        struct given later[ELEMENTSOF(some)];
        struct hr_topview view = {0};

        EXPECT_STR("empty", selected(&view), "none");
        hr_topview_move(&view, 3);
        assert_int_equal(give_in(&view, some, ELEMENTSOF(some), 1), 0);
        EXPECT_STR("first", selected(&view), "j4");
        hr_topview_move(&view, -1);
        EXPECT_STR("not above the first", selected(&view), "j4");
        hr_topview_move(&view, 2);
        EXPECT_STR("third", selected(&view), "j9");
        memcpy(later, some, sizeof(some));
        later[1].left_usec = NEVER;
        assert_int_equal(give_in(&view, later, ELEMENTSOF(later), 2), 0);
        EXPECT_STR("it has moved", selected(&view), "j9");
        hr_topview_sort_next(&view);
        EXPECT_STR("sorted otherwise", selected(&view), "j9");
        hr_topview_filter(&view, "ben");
        EXPECT_STR("filtered out: what stands there", selected(&view), "j2");
        hr_topview_filter(&view, "nobody");
        EXPECT_STR("none", selected(&view), "none");
        hr_topview_filter(&view, "");
        EXPECT_STR("back", selected(&view), "j2");
        hr_topview_move(&view, 100);
        assert_int_equal(give_in(&view, some, 2, 3), 0);
        EXPECT_STR("it has ended", selected(&view), "j10");
        assert_int_equal(give_in(&view, some, 0, 4), 0);
        EXPECT_STR("all have ended", selected(&view), "none");
        hr_topview_done(&view);
}

static void cells(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                uint64_t value;
                const char *bytes, *left; /* NULL: not looked at */
        } rows[] = {
                {"none", UINT64_MAX, "none", "-"},
                {"0", 0, "0B", "<1s"},
                {"1", 1, "1B", NULL},
                {"1023 bytes", 1023, "1023B", NULL},
                {"exact", 8 * HR_GIB, "8G", NULL},
                {"not rounded up", 400 * HR_MIB - 1, "399M", NULL},
                {"two digits", 24 * HR_MIB + 400 * HR_KIB, "24.3M", NULL},
                {"one digit", HR_GIB + HR_GIB / 2, "1.50G", NULL},
                {"just below the next", HR_GIB - 1, "1023M", NULL},
                {"nearly all", UINT64_MAX - 1, "15.9E", ">9999d"},
                {"below a second", 999999, NULL, "<1s"},
                {"seconds", 59 * SECOND, NULL, "59s"},
                {"minutes", 200 * SECOND, NULL, "3m20s"},
                {"hours", 7500 * SECOND, NULL, "2h05m"},
                {"days", 3 * 86400 * SECOND, NULL, "3d00h"},
                {"many days", 1000 * 86400 * SECOND, NULL, "1000d"},
        };

        TEST_ROWS(row, rows)
        {
                char text[HR_TEXT_SIZE_MAX];

                if (row->bytes)
                        EXPECT_STR(row->name, hr_topview_format_bytes(text, row->value), row->bytes);
                if (row->left)
                        EXPECT_STR(row->name, hr_topview_format_left(text, row->value), row->left);
        }
}

/* However large, they fit their columns. */
static void cells_fit(void **state HR_UNUSED)
{
        struct test_random random = test_random_new("topview cells");
        char text[HR_TEXT_SIZE_MAX];

        for (int i = 0; i < 100000; i++) {
                uint64_t value = test_random_size(&random);

                EXPECT_WITHIN("bytes", strlen(hr_topview_format_bytes(text, value)), 2, 5);
                EXPECT_WITHIN("left", strlen(hr_topview_format_left(text, value)), 1, 6);
        }
}

static void bars(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                uint32_t permyriad;
                unsigned width;
                bool utf8;
                const char *wanted;
        } rows[] = {
                {"empty", 0, 4, false, "...."},
                {"a trace", 1, 4, false, "+..."},
                {"half", 5000, 4, false, "##.."},
                {"nearly full", 9999, 4, false, "###+"},
                {"full", 10000, 4, false, "####"},
                {"over", 30000, 4, false, "####"},
                {"off the scale", UINT32_MAX, 4, false, "####"},
                {"no room", 5000, 0, false, ""},
                {"half, blocks", 5000, 4, true, "██░░"},
                {"nearly full, blocks", 9999, 2, true, "█▉"},
                {"a trace, blocks", 1, 2, true, "▏░"},
        };

        TEST_ROWS(row, rows)
        {
                char text[HR_TOPVIEW_CELL_SIZE];

                EXPECT_STR(
                        row->name, hr_topview_bar(text, row->permyriad, row->width, row->utf8), row->wanted);
        }
}

/* One job that used so much, a sample a second, the first at second 1000; -1: it was not looked at. */
static void sparks(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                int mib[9];
                size_t count;
                unsigned width;
                bool utf8;
                const char *wanted;
        } rows[] = {
                {"one", {100}, 1, 180, false, "_"},
                {"rising", {100, 200, 300, 400, 500, 600, 700, 800}, 8, 180, false, "_.:-=+*#"},
                {"rising, blocks", {100, 200, 300, 400, 500, 600, 700, 800}, 8, 180, true, "▁▂▃▄▅▆▇█"},
                {"falling", {800, 100}, 2, 180, false, "#_"},
                {"noise", {800, 801, 800}, 3, 180, false, "___"},
                {"nothing at all", {0, 0}, 2, 180, false, "__"},
                {"a gap", {0, -1, -1, 800}, 4, 180, false, "_  #"},
                {"more than one to a cell", {100, 200, 300, 400, 500, 600, 700, 800}, 8, 90, false, "_:=#"},
        };

        TEST_ROWS(row, rows)
        {
                struct hr_topview view = {0};
                char text[HR_TOPVIEW_CELL_SIZE], *begin = text;

                for (size_t i = 0; i < row->count; i++) {
                        struct given given = {
                                "j1", "one", "ana", (uint64_t)row->mib[i] * HR_MIB, 1, 0, NEVER, false};

                        if (row->mib[i] >= 0)
                                assert_int_equal(give_in(&view, &given, 1, 1000 + i), 0);
                }
                hr_topview_spark(text, view.jobs[0].history, view.second, row->width, row->utf8);
                begin += strspn(begin, " ");
                EXPECT_STR(row->name, begin, row->wanted);
                EXPECT_UINT(row->name, hr_text_width(text), row->width);
                hr_topview_done(&view);
        }
}

/* What was seen three minutes ago is forgotten, also where nothing was seen since. */
static void sparks_forget(void **state HR_UNUSED)
{
        struct given given = {"j1", "one", "ana", HR_GIB, HR_GIB, 0, NEVER, false};
        char text[HR_TOPVIEW_CELL_SIZE];
        struct hr_topview view = {0};

        for (uint64_t second = 0; second < 1000; second++)
                assert_int_equal(give_in(&view, &given, 1, second), 0);
        hr_topview_spark(text, view.jobs[0].history, view.second, 180, false);
        EXPECT_UINT("all of it", strspn(text, "_"), 180);
        assert_int_equal(give_in(&view, &given, 1, 100000), 0);
        hr_topview_spark(text, view.jobs[0].history, view.second, 180, false);
        EXPECT_UINT("a long pause", strspn(text, " "), 179);
        hr_topview_done(&view);
}

static void clean(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *text, *wanted;
        } rows[] = {
                {"plain", "analyse.py", "analyse.py"},
                {"escape codes", "a\033[31mb\tc\177", "a?[31mb?c?"},
                {"escaped by the daemon", "a\\x1b[31m", "a\\x1b[31m"},
                {"lines", "one\ntwo\n", "one; two"},
                {"a character of two columns", "x\xe5\xad\x97y", "x?y"},
                {"an accent of its own", "e\xcc\x81", "e?"},
                {"no UTF-8", "\xff\xfe\x80z", "??z"},
                {"a lone follower", "\x80z", "?z"},
                {"empty", "", ""},
                {"cut", "012345678901234567890123456789", "012345678901234567"},
        };

        TEST_ROWS(row, rows)
        {
                char *text = test_exact(row->text, strlen(row->text) + 1), small[20];

                EXPECT_STR(row->name, hr_topview_clean(small, sizeof(small), text), row->wanted);
                free(text);
        }
}

/* ---- screens ---- */

struct screen {
        const char *name;
        unsigned width, height, rows, prompts;
        bool utf8, has_selected;
        char lines[60][HR_TOPVIEW_CELL_SIZE];
};

static void emit(unsigned row, const struct hr_topview_line *line, void *userdata)
{
        struct screen *s = userdata;

        EXPECT_UINT(s->name, row, s->rows);
        EXPECT_UINT(s->name, strlen(line->text), line->size);
        EXPECT_UINT(s->name, hr_text_width(line->text), line->columns);
        EXPECT_WITHIN(s->name, line->columns, 0, s->width);
        EXPECT_WITHIN(s->name, line->span_at + line->span_size, 0, line->size);
        for (const char *c = line->text; *c; c++)
                EXPECT_TRUE(s->name, (*c >= 0x20 && *c < 0x7f) || (s->utf8 && (unsigned char)*c >= 0x80));
        if (line->look == HR_TOPVIEW_SELECTED) {
                s->has_selected = true;
                EXPECT_UINT(s->name, line->columns, s->width);
        }
        s->prompts += line->look == HR_TOPVIEW_PROMPT;
        strcpy(s->lines[s->rows++], line->text);
}

static void draw(struct hr_topview *view, struct screen *s, struct hr_topview_frame frame)
{
        s->width = frame.width;
        s->height = frame.height;
        s->utf8 = frame.utf8;
        s->rows = s->prompts = 0;
        s->has_selected = false;
        frame.message = frame.message ? frame.message : "";
        hr_topview_draw(view, &frame, emit, s);
        EXPECT_UINT(s->name, s->rows, s->height);
}

/* Each size, whatever is shown: as many lines as there are, none too wide, the selected one among them. */
static void any_size(void **state HR_UNUSED)
{
        static const char long_text[] =
                "a message that is so long that it takes several lines on a screen of any usual width, or is "
                "cut where there is no room for so many lines";
        struct given many[70];
        struct hr_topview view = {0};
        char names[ELEMENTSOF(many)][80];
        struct screen screen = {.name = "any size"};

        for (size_t i = 0; i < ELEMENTSOF(many); i++) {
                many[i] = some[i % ELEMENTSOF(some)];
                snprintf(names[i], sizeof(names[i]), "j%zu", i * i * i * i);
                many[i].job = names[i];
                many[i].name = i % 7 == 0 ? "" : i % 5 == 0 ? long_text : "\033[2J\xe5\xad\x97name";
        }
        assert_int_equal(give_in(&view, many, ELEMENTSOF(many), 1000), 0);
        for (unsigned width = 0; width <= 200; width++) {
                for (unsigned height = 0; height <= 50; height += height < 20 ? 1 : 15) {
                        struct hr_topview_frame frame = {.width = width,
                                .height = height,
                                .utf8 = (width + height) % 2,
                                .host_bytes = 32 * HR_GIB,
                                .host_used_bytes = 5 * HR_GIB,
                                .all_count = 1000};

                        draw(&view, &screen, frame);
                        EXPECT_INT(screen.name, screen.has_selected, height >= 2);
                        hr_topview_move(&view, height % 3 == 0 ? 13 : -4);
                        frame.message = long_text;
                        frame.lost = true;
                        draw(&view, &screen, frame);
                        frame.question = "how much of it, to be asked at length? ";
                        frame.typed = "something typed";
                        draw(&view, &screen, frame);
                        EXPECT_UINT(screen.name, screen.prompts, height >= 2);
                        frame.question = NULL;
                        frame.help = true;
                        draw(&view, &screen, frame);
                }
        }
        hr_topview_done(&view);
}

/* What a person sees at the sizes that matter. */
static void columns(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                unsigned width;
                size_t count; /* of some[] */
                const char *title, *first;
        } rows[] = {
                {"as wide as most", 80, 2,
                        " JOB NAME   STAGE      FILL          %  USED LIMIT  GROWTH   LEFT          3 MIN",
                        ">j9  nine   ok         ######....  60%   60M  100M    1M/s    50s              _"},
                {"several users", 80, 6,
                        " JOB NAME   USER   STAGE      FILL       %  USED LIMIT  GROWTH   LEFT      3 MIN",
                        ">j4  held   ana    hold       ######+  97%   97M  100M       -   held          _"},
                {"half of it", 40, 2, " JOB NAME   STAGE         %  USED   LEFT",
                        ">j9  nine   ok          60%   60M    50s"},
                {"a third", 26, 2, " JOB NAME      %   LEFT", ">j9  nine    60%    50s   "},
                {"narrow", 20, 2, " JOB NAME     LEFT", ">j9  nine      50s  "},
                {"too narrow", 3, 2, " JO", ">j9"},
        };
        struct screen screen;

        TEST_ROWS(row, rows)
        {
                struct hr_topview view = {0};

                screen.name = row->name;
                assert_int_equal(give_in(&view, some, row->count, 1000), 0);
                draw(&view, &screen, (struct hr_topview_frame){.width = row->width, .height = 24});
                EXPECT_STR(row->name, screen.lines[1], row->title);
                EXPECT_STR(row->name, screen.lines[2], row->first);
                hr_topview_done(&view);
        }
}

/* No limit, over 100 %, never, held: each reads as what it is. */
static void odd_rows(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                unsigned line;
                const char *wanted;
        } rows[] = {
                {"held", 2,
                        ">j4  held   ana    hold       ######+  97%   97M  100M       -   held          _"},
                {"over, and growing beyond measure", 3,
                        " j3  Over   ben    ok         ####### 300%  300M  100M 15.9E/s    <1s          _"},
                {"never", 6,
                        " j5  still  cyd    ok         ######+  90%   90M  100M       -      -          _"},
                {"no limit, nothing used", 7,
                        " j2  free   ben    ok         -          -    0B  none       -      -          _"},
        };
        struct screen screen = {.name = "odd rows"};
        struct hr_topview view = {0};

        assert_int_equal(give_in(&view, some, ELEMENTSOF(some), 1000), 0);
        draw(&view, &screen, (struct hr_topview_frame){.width = 80, .height = 24});
        TEST_ROWS(row, rows)
        {
                EXPECT_STR(row->name, screen.lines[row->line], row->wanted);
        }
        hr_topview_done(&view);
}

static void words(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                size_t count;
                const char *filter;
                uint64_t all_count;
                bool lost, help;
                unsigned line;
                const char *wanted;
        } rows[] = {
                {"header", 6, "", 6, false, false, 0,
                        "6 jobs, 1 held, 597M used; host 2G of 8G; by time left"},
                {"one job", 1, "", 1, false, false, 0,
                        "1 job, 0 held, 50M used; host 2G of 8G; by time left"},
                {"filtered", 6, "ana", 9, false, false, 0,
                        "6 jobs, 1 held, 597M used; host 2G of 8G; by time left; filter ana: 3; 9 of all "
                        "users"},
                {"no daemon", 0, "", 0, true, false, 0,
                        "NO DAEMON: 0 jobs, 0 held, 0B used; host 2G of 8G; by time left"},
                {"no jobs", 0, "", 0, false, false, 2,
                        "no jobs are watched; start one with: headroom run --limit 8G -- COMMAND"},
                {"others' jobs", 0, "", 3, false, false, 2,
                        "no jobs of yours; start one with: headroom run --limit 8G -- COMMAND"},
                {"none of that name", 6, "nobody", 6, false, false, 2,
                        "no job's name or user has nobody in it; Esc shows all"},
                {"reason", 6, "", 6, false, false, 20,
                        "j4 held: because of this and that, which takes more than one line on a screen"},
                {"keys", 0, "", 0, false, false, 23,
                        "s:sort /:filter h:hold r:resume t:trim c:checkpoint i:interrupt q:quit ?:help"},
                {"help", 6, "", 6, false, true, 5,
                        "h                 hold: freeze it where it is, state kept"},
        };
        struct screen screen;

        TEST_ROWS(row, rows)
        {
                struct hr_topview_frame frame = {.width = 100,
                        .height = 24,
                        .host_bytes = 8 * HR_GIB,
                        .host_used_bytes = 2 * HR_GIB,
                        .all_count = row->all_count,
                        .lost = row->lost,
                        .help = row->help};
                struct hr_topview view = {0};

                screen.name = row->name;
                assert_int_equal(give_in(&view, some, row->count, 1000), 0);
                hr_topview_filter(&view, row->filter);
                draw(&view, &screen, frame);
                EXPECT_STR(row->name, screen.lines[row->line], row->wanted);
                hr_topview_done(&view);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(order),
                cmocka_unit_test(selection),
                cmocka_unit_test(cells),
                cmocka_unit_test(cells_fit),
                cmocka_unit_test(bars),
                cmocka_unit_test(sparks),
                cmocka_unit_test(sparks_forget),
                cmocka_unit_test(clean),
                cmocka_unit_test(any_size),
                cmocka_unit_test(columns),
                cmocka_unit_test(odd_rows),
                cmocka_unit_test(words),
        };

        setlocale(LC_CTYPE, "C.UTF-8"); /* for hr_text_width, which measures what was made */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
