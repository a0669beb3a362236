/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tell/metrics.h"

/* What Prometheus is told: facts in, text out; and the file that it goes into. */

static struct hr_status status(enum hr_stage stage, uint64_t used_mib, uint64_t limit_mib, const char *policy)
{
        struct hr_status s = {
                .stage = stage,
                .frozen = stage == HR_STAGE_HOLD,
                .used_bytes = used_mib * HR_MIB,
                .cache_bytes = HR_MIB,
                .limit_bytes = limit_mib == 0 ? HR_BYTES_NONE : limit_mib * HR_MIB,
                .headroom_bytes = limit_mib == 0 ? HR_BYTES_NONE : (limit_mib - used_mib) * HR_MIB,
                .left_min_usec = HR_USEC_NEVER,
        };

        s.own_limit_bytes = s.limit_bytes;
        snprintf(s.policy, sizeof(s.policy), "%s", policy);
        return s;
}

static char *write_text(const struct hr_metrics *m, enum hr_metrics_format format)
{
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);

        assert_non_null(out);
        hr_metrics_write(m, format, out);
        assert_int_equal(fclose(out), 0);
        return text;
}

/* Is it a line of the text, whole? */
static bool has_line(const char *text, const char *line)
{
        size_t size = strlen(line);

        for (const char *at = text; (at = strstr(at, line)); at++)
                if ((at == text || at[-1] == '\n') && at[size] == '\n')
                        return true;
        return false;
}

static void fill(struct hr_metrics *m, size_t jobs_max)
{
        struct hr_status ok = status(HR_STAGE_OK, 10, 0, "default");
        struct hr_status notice = status(HR_STAGE_NOTICE, 75, 100, "default");
        struct hr_status held = status(HR_STAGE_HOLD, 194, 200, "batch");

        notice.left_min_usec = 90 * HR_USEC_PER_SEC + 1;
        assert_int_equal(hr_metrics_init(m, jobs_max), 0);
        m->version = "1.2";
        m->start_usec = 1700000000 * HR_USEC_PER_SEC + 999999;
        m->counts.figures[HR_FIGURE_OOM_KILLS] = 3;
        m->counts.figures[HR_FIGURE_DROPPED_BUS] = 5;
        m->counts.figures[HR_FIGURE_BAD_VALUES] = 7;
        m->counts.entries[0][HR_STAGE_HOLD] = 2;
        m->counts.entries[1][HR_STAGE_HOLD] = 1;
        m->counts.deeds[0] = (struct hr_deed){"freeze", "done", 2};
        m->counts.deeds[1] = (struct hr_deed){"fuse", "passed over", 4};
        m->counts.deed_count = 2;
        hr_metrics_add(m, "j1", "ana", &ok, true);
        hr_metrics_add(m, "j2", "ana", &notice, true);
        hr_metrics_add(m, "j3", "o\"t\\t\no\x01", &held, true);
}

static void test_values(void **state HR_UNUSED)
{
        static const char *const lines[] = {
                "headroom_build_info{version=\"1.2\"} 1",
                "headroom_start_time_seconds 1700000000",
                "headroom_jobs{stage=\"ok\"} 1",
                "headroom_jobs{stage=\"notice\"} 1",
                "headroom_jobs{stage=\"trim\"} 0",
                "headroom_jobs{stage=\"hold\"} 1",
                "headroom_frozen_jobs 1",
                "headroom_policy_jobs{policy=\"default\"} 2",
                "headroom_policy_jobs{policy=\"batch\"} 1",
                "headroom_jobs_used_bytes 292552704",
                "headroom_jobs_cache_bytes 3145728",
                "headroom_jobs_limit_bytes 314572800", /* one has none */
                "headroom_stage_entries_total{stage=\"hold\",mode=\"act\"} 2",
                "headroom_stage_entries_total{stage=\"hold\",mode=\"observe\"} 1",
                "headroom_stage_entries_total{stage=\"kill\",mode=\"act\"} 0",
                "headroom_actions_total{action=\"freeze\",outcome=\"done\"} 2",
                "headroom_actions_total{action=\"freeze\",outcome=\"failed\"} 0", /* there before its first */
                "headroom_actions_total{action=\"fuse\",outcome=\"passed over\"} 4",
                "headroom_oom_kills_total 3",
                "headroom_dropped_events_total{reader=\"recorder\"} 0",
                "headroom_dropped_events_total{reader=\"bus\"} 5",
                "headroom_bad_sensor_values_total 7",
                "headroom_job_used_bytes{job=\"j2\",user=\"ana\"} 78643200",
                "headroom_job_limit_bytes{job=\"j2\",user=\"ana\"} 104857600",
                "headroom_job_headroom_bytes{job=\"j2\",user=\"ana\"} 26214400",
                "headroom_job_time_to_limit_seconds{job=\"j2\",user=\"ana\"} 90",
                "headroom_job_stage{job=\"j2\",user=\"ana\"} 1",
                "headroom_job_frozen{job=\"j3\",user=\"o\\\"t\\\\t\\no?\"} 1",
        };
        static const char *const absent[] = {
                "headroom_job_limit_bytes{job=\"j1\"",         /* it has none */
                "headroom_job_time_to_limit_seconds{job=\"j3", /* it does not grow */
                "headroom_host_available_bytes ",              /* not read: no number is made up */
        };
        struct hr_metrics m;
        fill(&m, 10);
        char *text = write_text(&m, HR_METRICS_PROMETHEUS);

        for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                EXPECT_INT(lines[i], has_line(text, lines[i]), true);
        for (size_t i = 0; i < ELEMENTSOF(absent); i++)
                EXPECT_INT(absent[i], strstr(text, absent[i]) != NULL && strstr(text, absent[i])[-1] == '\n',
                        false);
        assert_null(strstr(text, "# EOF"));
        free(text);
        m.has_host = true;
        m.host_available_bytes = 5;
        text = write_text(&m, HR_METRICS_PROMETHEUS);
        assert_true(has_line(text, "headroom_host_available_bytes 5"));
        free(text);
        hr_metrics_done(&m);
}

/* Every sample stands below the heading of its family, each family once; only the headings differ. */
static void test_formats(void **state HR_UNUSED)
{
        struct hr_metrics m;
        fill(&m, 10);
        char *plain = write_text(&m, HR_METRICS_PROMETHEUS), *open = write_text(&m, HR_METRICS_OPENMETRICS);

        for (char *text = plain; text; text = text == plain ? open : NULL) {
                char family[80] = "", *copy = strdup(text), *rest = copy, *line;

                while ((line = strsep(&rest, "\n")) && *line) {
                        char name[80];

                        if (sscanf(line, "# HELP %79s", name) == 1) {
                                char heading[100];
                                snprintf(heading, sizeof(heading), "# TYPE %s ", name);
                                assert_non_null(strstr(text, heading));
                                assert_null(strstr(strstr(text, heading) + 1, heading));
                                snprintf(family, sizeof(family), "%s", name);
                        } else if (*line != '#') {
                                EXPECT_INT(line, strncmp(line, family, strlen(family)), 0);
                        }
                }
                free(copy);
        }
        assert_true(has_line(plain, "# TYPE headroom_oom_kills_total counter"));
        assert_true(has_line(plain, "# TYPE headroom_build_info gauge"));
        assert_true(has_line(open, "# TYPE headroom_oom_kills counter"));
        assert_true(has_line(open, "# TYPE headroom_build info"));
        assert_true(has_line(open, "# UNIT headroom_jobs_used_bytes bytes"));
        assert_string_equal(open + strlen(open) - strlen("\n# EOF\n"), "\n# EOF\n");
        free(plain);
        free(open);
        hr_metrics_done(&m);
}

/* However many jobs there are, the series of single ones are those of the largest, and of those that may be
 * seen. */
static void test_bounds(void **state HR_UNUSED)
{
        struct hr_metrics m;
        unsigned found = 0;

        assert_int_equal(hr_metrics_init(&m, 3), 0);
        for (unsigned i = 1; i <= 100; i++) {
                unsigned used = i * 37 % 101; /* each once, in no order */
                struct hr_status s = status(HR_STAGE_OK, used, 200, i % 2 ? "default" : "batch");
                char id[HR_ID_MAX];

                snprintf(id, sizeof(id), "j%u", used);
                hr_metrics_add(&m, id, "ana", &s, used != 99);
        }
        char *text = write_text(&m, HR_METRICS_PROMETHEUS);
        for (const char *at = text; (at = strstr(at, "\nheadroom_job_used_bytes{")); at++)
                found++;
        assert_int_equal(found, 3);
        assert_non_null(strstr(text, "headroom_job_used_bytes{job=\"j100\""));
        assert_non_null(strstr(text, "headroom_job_used_bytes{job=\"j98\""));
        assert_non_null(strstr(text, "headroom_job_used_bytes{job=\"j97\""));
        assert_true(has_line(text, "headroom_jobs{stage=\"ok\"} 100"));
        assert_true(has_line(text, "headroom_policy_jobs{policy=\"batch\"} 50"));
        free(text);
        hr_metrics_done(&m);

        assert_int_equal(hr_metrics_init(&m, 0), 0);
        struct hr_status s = status(HR_STAGE_OK, 1, 2, "default");
        hr_metrics_add(&m, "j1", "ana", &s, true);
        text = write_text(&m, HR_METRICS_PROMETHEUS);
        assert_null(strstr(text, "headroom_job_"));
        free(text);
        hr_metrics_done(&m);

        assert_int_equal(hr_metrics_init(&m, SIZE_MAX), 0); /* a bound of its own */
        assert_int_equal(m.jobs_max, HR_METRICS_JOBS_MAX);
        hr_metrics_done(&m);
}

static void test_counts(void **state HR_UNUSED)
{
        struct hr_event e = {.job = "j1", .stage = HR_STAGE_NOTICE, .action = "notice", .outcome = "done"};
        struct hr_event line = {.action = "say", .outcome = "error"}; /* of the daemon itself: no job's */
        struct hr_exchange *x = NULL;
        struct hr_counts c;

        assert_int_equal(hr_exchange_new(1, &x), 0);
        hr_exchange_event(x, &e);
        hr_exchange_event(x, &e);
        e.previous_stage = HR_STAGE_NOTICE; /* it stays there */
        hr_exchange_event(x, &e);
        snprintf(e.outcome, sizeof(e.outcome), "observed");
        e.stage = HR_STAGE_HOLD;
        hr_exchange_event(x, &e);
        hr_exchange_event(x, &line);
        hr_exchange_count(x, HR_FIGURE_BAD_VALUES, 2);
        hr_exchange_count(x, HR_FIGURE_BAD_VALUES, 3);
        hr_exchange_read_counts(x, &c);
        assert_int_equal(c.entries[0][HR_STAGE_NOTICE], 2);
        assert_int_equal(c.entries[0][HR_STAGE_HOLD], 0);
        assert_int_equal(c.entries[1][HR_STAGE_HOLD], 1);
        assert_int_equal(c.deed_count, 2);
        assert_string_equal(c.deeds[0].action, "notice");
        assert_int_equal(c.deeds[0].count, 3);
        assert_string_equal(c.deeds[1].outcome, "observed");
        assert_int_equal(c.figures[HR_FIGURE_BAD_VALUES], 5);
        assert_int_equal(c.figures[HR_FIGURE_DROPPED_BUS], 0);

        /* Nobody reads: what finds no room is counted, and so is what it told. */
        for (unsigned i = 0; i < 1000; i++) {
                snprintf(e.action, sizeof(e.action), "a%u", i % 200);
                hr_exchange_event(x, &e);
        }
        hr_exchange_read_counts(x, &c);
        assert_int_equal(c.figures[HR_FIGURE_DROPPED_BUS], 1005 - 256);
        assert_int_equal(c.figures[HR_FIGURE_DROPPED_RECORD], 1005 - 256);
        assert_int_equal(c.deed_count, HR_DEEDS_MAX + 1); /* bounded; the rest is told as one */
        assert_string_equal(c.deeds[HR_DEEDS_MAX].action, "other");
        uint64_t all = 0;
        for (size_t i = 0; i < c.deed_count; i++)
                all += c.deeds[i].count;
        assert_int_equal(all, 1004);
        hr_exchange_free(x);
}

static void test_page(
        void **state HR_UNUSED) /* the newest is what the recorder gets; none is lost in memory */
{
        struct hr_exchange *x = NULL;

        assert_int_equal(hr_exchange_new(1, &x), 0);
        assert_null(hr_exchange_take_page(x));
        hr_exchange_put_page(x, strdup("old"));
        hr_exchange_put_page(x, strdup("new"));
        char *page = hr_exchange_take_page(x);
        assert_string_equal(page, "new");
        free(page);
        assert_null(hr_exchange_take_page(x));
        hr_exchange_put_page(x, strdup("left"));
        hr_exchange_free(x);
}

static void test_store(void **state HR_UNUSED)
{
        char directory[] = "/tmp/headroom-metrics-XXXXXX", path[80], beside[84], other[80], text[16] = "";
        struct stat st;

        assert_non_null(mkdtemp(directory));
        snprintf(path, sizeof(path), "%s/headroom.prom", directory);
        snprintf(beside, sizeof(beside), "%s.new", path);
        snprintf(other, sizeof(other), "%s/other", directory);
        mode_t before = umask(077);
        assert_int_equal(hr_metrics_store(path, "first\n"), 0);
        umask(before);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0644);
        ino_t inode = st.st_ino;

        /* What lies beside it is replaced, and where it points to stays as it is. */
        assert_int_equal(symlink(other, beside), 0);
        assert_int_equal(hr_metrics_store(path, "second\n"), 0);
        assert_int_equal(access(other, F_OK), -1);
        assert_int_equal(access(beside, F_OK), -1);
        assert_int_equal(stat(path, &st), 0);
        assert_int_not_equal(st.st_ino, inode); /* another file, in its place */
        int fd = open(path, O_RDONLY);
        assert_int_equal(read(fd, text, sizeof(text)), 7);
        close(fd);
        assert_string_equal(text, "second\n");
        unlink(path);

        snprintf(other, sizeof(other), "%s/none/headroom.prom", directory);
        assert_int_equal(hr_metrics_store(other, "x"), -ENOENT);
        assert_int_equal(mkdir(path, 0755), 0); /* can't be replaced: what was beside it is gone as well */
        assert_true(hr_metrics_store(path, "x") < 0);
        assert_int_equal(access(beside, F_OK), -1);
        rmdir(path);
        assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_formats),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_counts),
                cmocka_unit_test(test_page),
                cmocka_unit_test(test_store),
        };

        return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
