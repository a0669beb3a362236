/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "act/freezer.h"
#include "fd.h"

/*
 * The freezer thread on directories of ours. In each, cgroup.freeze and freezer.state are one pipe with a
 * name, which all of them share: what is read from it is what was written, in that order. A thread that has
 * not been started holds everything up.
 */

#define DIRECTORIES 3

struct scene {
        char path[64];
        int dirs[DIRECTORIES], pipe;
        struct hr_freezer_thread *freezer;
};

static void in_dir(const struct scene *s, char *buf, size_t size, int n, const char *name)
{
        snprintf(buf, size, "%s/%d%s%s", s->path, n, name[0] ? "/" : "", name);
}

static int set_up(void **state)
{
        struct scene *s = calloc(1, sizeof(*s));
        char fifo[80], path[120];

        assert_non_null(s);
        snprintf(s->path, sizeof(s->path), "/tmp/test-freezer-XXXXXX");
        assert_non_null(mkdtemp(s->path));
        snprintf(fifo, sizeof(fifo), "%s/pipe", s->path);
        assert_int_equal(mkfifo(fifo, 0600), 0);
        s->pipe = open(fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        assert_true(s->pipe >= 0);
        for (int i = 0; i < DIRECTORIES; i++) {
                in_dir(s, path, sizeof(path), i, "");
                assert_int_equal(mkdir(path, 0700), 0);
                s->dirs[i] = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
                assert_true(s->dirs[i] >= 0);
                in_dir(s, path, sizeof(path), i, "cgroup.freeze");
                assert_int_equal(link(fifo, path), 0);
                in_dir(s, path, sizeof(path), i, "freezer.state");
                assert_int_equal(link(fifo, path), 0);
        }
        assert_int_equal(hr_freezer_new(&s->freezer), 0);
        *state = s;
        return 0;
}

static int tear_down(void **state)
{
        struct scene *s = *state;
        char path[120];

        hr_freezer_free(s->freezer);
        for (int i = 0; i < DIRECTORIES; i++) {
                hr_close(s->dirs[i]);
                in_dir(s, path, sizeof(path), i, "cgroup.freeze");
                unlink(path);
                in_dir(s, path, sizeof(path), i, "freezer.state");
                unlink(path);
                in_dir(s, path, sizeof(path), i, "");
                rmdir(path);
        }
        hr_close(s->pipe);
        snprintf(path, sizeof(path), "%s/pipe", s->path);
        unlink(path);
        rmdir(s->path);
        free(s);
        return 0;
}

/* Returns the ticket. */
static uint32_t ask(const struct scene *s, enum hr_freezer freezer, int n, bool freeze)
{
        struct hr_freezer_request q = {
                .freezer = freezer, .control_fd = s->dirs[n], .freeze = freeze, .slot = (uint32_t)n};
        uint32_t ticket;

        snprintf(q.id, sizeof(q.id), "j%d", n);
        assert_int_equal(hr_freezer_ask(s->freezer, &q, &ticket), 0);
        return ticket;
}

static struct hr_freezer_answer next(const struct scene *s)
{
        struct pollfd p = {.fd = hr_freezer_fd(s->freezer), .events = POLLIN};
        struct hr_freezer_answer a;

        while (!hr_freezer_next(s->freezer, &a))
                assert_int_equal(poll(&p, 1, 10000), 1);
        return a;
}

static void expect_written(const struct scene *s, const char *wanted)
{
        char text[4096] = "";

        if (read(s->pipe, text, sizeof(text) - 1) < 0)
                assert_int_equal(errno, EAGAIN);
        assert_string_equal(text, wanted);
}

static unsigned count_descriptors(void)
{
        DIR *dir = opendir("/proc/self/fd");
        unsigned count = 0;

        assert_non_null(dir);
        while (readdir(dir))
                count++;
        closedir(dir);
        return count;
}

static void test_order(void **state)
{
        static const struct {
                const char *name;
                enum hr_freezer freezer;
                int n;
                bool freeze;
        } rows[] = {
                {"freeze", HR_FREEZER_CGROUP2, 0, true},
                {"another, v1", HR_FREEZER_CGROUP1, 1, true},
                {"thaw of the first", HR_FREEZER_CGROUP2, 0, false},
                {"and again", HR_FREEZER_CGROUP2, 0, true},
                {"thaw, v1", HR_FREEZER_CGROUP1, 1, false},
                {"a third", HR_FREEZER_CGROUP2, 2, false},
        };
        struct scene *s = *state;
        uint32_t tickets[ELEMENTSOF(rows)];

        assert_int_equal(hr_freezer_start(s->freezer), 0);
        TEST_ROWS(row, rows)
        tickets[row - rows] = ask(s, row->freezer, row->n, row->freeze);
        TEST_ROWS(row, rows)
        {
                char id[HR_ID_MAX];
                struct hr_freezer_answer a = next(s);
                snprintf(id, sizeof(id), "j%d", row->n);
                EXPECT_INT(row->name, a.result, 0);
                EXPECT_UINT(row->name, a.ticket, tickets[row - rows]);
                EXPECT_UINT(row->name, a.slot, (uint32_t)row->n);
                EXPECT_INT(row->name, a.freeze, row->freeze);
                EXPECT_STR(row->name, a.id, id);
        }
        expect_written(s, "1FROZEN01THAWED0");
}

static void test_failures(void **state)
{
        struct scene *s = *state;
        char path[120];

        in_dir(s, path, sizeof(path), 1, "cgroup.freeze");
        assert_int_equal(unlink(path), 0);
        assert_int_equal(mkdir(path, 0700), 0);
        in_dir(s, path, sizeof(path), 2, "cgroup.freeze");
        assert_int_equal(unlink(path), 0);
        assert_int_equal(hr_freezer_start(s->freezer), 0);
        ask(s, HR_FREEZER_CGROUP2, 1, true);
        ask(s, HR_FREEZER_CGROUP2, 2, true);
        ask(s, HR_FREEZER_STOP, 0, true);
        ask(s, HR_FREEZER_CGROUP2, 0, true);
        assert_int_equal(next(s).result, -EISDIR);
        assert_int_equal(next(s).result, -ENOENT); /* as of a group that is gone */
        assert_int_equal(next(s).result, -EOPNOTSUPP);
        assert_int_equal(next(s).result, 0); /* it goes on past all of them */
        expect_written(s, "1");
        in_dir(s, path, sizeof(path), 1, "cgroup.freeze");
        assert_int_equal(rmdir(path), 0);
}

static void test_full(void **state)
{
        struct scene *s = *state;
        struct hr_freezer_request q = {.freezer = HR_FREEZER_STOP, .control_fd = s->dirs[0]};
        uint32_t ticket = 0;

        for (int round = 0; round < 3; round++) {
                unsigned before = count_descriptors();

                for (int i = 0; i < HR_FREEZER_REQUESTS_MAX; i++)
                        assert_int_equal(hr_freezer_ask(s->freezer, &q, &ticket), 0);
                if (round == 0) { /* else it is at work already */
                        assert_int_equal(hr_freezer_ask(s->freezer, &q, &ticket), -EAGAIN);
                        assert_int_equal(count_descriptors(), before + HR_FREEZER_REQUESTS_MAX);
                        assert_int_equal(hr_freezer_start(s->freezer), 0);
                }
                for (uint32_t i = 0; i < HR_FREEZER_REQUESTS_MAX; i++)
                        assert_int_equal(next(s).ticket, ticket + 1 - HR_FREEZER_REQUESTS_MAX + i);
                assert_int_equal(count_descriptors(), before);
        }
}

static void test_no_descriptors(void **state)
{
        struct scene *s = *state;
        struct hr_freezer_request q = {.freezer = HR_FREEZER_CGROUP2, .control_fd = -1};
        struct rlimit before, none;
        uint32_t ticket = 7;

        assert_int_equal(hr_freezer_ask(s->freezer, &q, &ticket), -EBADF);
        q.control_fd = s->dirs[0];
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = before;
        none.rlim_cur = 3;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        int r = hr_freezer_ask(s->freezer, &q, &ticket);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_true(r == -EMFILE || r == -EINVAL);
        assert_int_equal(ticket, 7);
        assert_int_equal(hr_freezer_start(s->freezer), 0); /* neither stands in the way of the next */
        ask(s, HR_FREEZER_CGROUP2, 0, true);
        assert_int_equal(next(s).result, 0);
        expect_written(s, "1");
}

static void test_job_gone(void **state) /* and its descriptor's number is somebody else's */
{
        struct scene *s = *state;
        char path[120];
        int number = s->dirs[0];

        in_dir(s, path, sizeof(path), 1, "cgroup.freeze");
        assert_int_equal(unlink(path), 0);
        close(open(path, O_WRONLY | O_CREAT, 0600)); /* a file of its own */
        ask(s, HR_FREEZER_CGROUP2, 0, true);
        hr_close(s->dirs[0]);
        assert_int_equal(dup2(s->dirs[1], number), number);
        assert_int_equal(hr_freezer_start(s->freezer), 0);
        assert_int_equal(next(s).result, 0);
        expect_written(s, "1");
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, 0);
}

static void test_cancel(void **state)
{
        struct scene *s = *state;
        uint32_t first = ask(s, HR_FREEZER_CGROUP2, 0, true);
        uint32_t second = ask(s, HR_FREEZER_CGROUP1, 1, true);

        assert_true(hr_freezer_cancel(s->freezer, first));
        assert_false(hr_freezer_cancel(s->freezer, first));
        assert_false(hr_freezer_cancel(s->freezer, second + 1)); /* not asked yet */
        assert_int_equal(hr_freezer_start(s->freezer), 0);
        assert_int_equal(next(s).result, -ECANCELED);
        assert_int_equal(next(s).result, 0);
        assert_false(hr_freezer_cancel(s->freezer, first));
        assert_false(hr_freezer_cancel(s->freezer, second));
        expect_written(s, "FROZEN");
}

static void test_cancel_at_any_moment(void **state) /* either it is written, or it is canceled */
{
        struct scene *s = *state;
        struct test_random random = test_random_new("cancel");
        unsigned canceled = 0;

        assert_int_equal(hr_freezer_start(s->freezer), 0);
        for (int i = 0; i < 3000; i++) {
                uint32_t ticket = ask(s, HR_FREEZER_CGROUP2, i % DIRECTORIES, true);
                for (volatile uint64_t spin = test_random_next(&random) % 20000; spin > 0; spin--)
                        ;
                bool was_canceled = hr_freezer_cancel(s->freezer, ticket);
                struct hr_freezer_answer a = next(s);
                assert_int_equal(a.ticket, ticket);
                assert_int_equal(a.result, was_canceled ? -ECANCELED : 0);
                expect_written(s, was_canceled ? "" : "1");
                canceled += was_canceled;
        }
        print_message("%u of 3000 were canceled\n", canceled);
}

static void test_drain(void **state) /* all that was asked is done, and nothing is asked after it */
{
        struct scene *s = *state;
        struct hr_freezer_request q = {.freezer = HR_FREEZER_CGROUP2, .control_fd = s->dirs[0]};
        struct hr_freezer_answer a;
        uint32_t ticket;
        unsigned before = count_descriptors();

        assert_int_equal(hr_freezer_start(s->freezer), 0);
        for (int i = 0; i < 100; i++)
                ask(s, HR_FREEZER_CGROUP2, 0, i % 2 == 0);
        hr_freezer_drain(s->freezer);
        hr_freezer_drain(s->freezer);
        assert_int_equal(hr_freezer_ask(s->freezer, &q, &ticket), -ESHUTDOWN);
        for (int i = 0; i < 100; i++) {
                assert_true(hr_freezer_next(s->freezer, &a));
                assert_int_equal(a.result, 0);
        }
        assert_false(hr_freezer_next(s->freezer, &a));
        assert_int_equal(count_descriptors(), before);
}

static void test_never_started(void **state)
{
        struct scene *s = *state;
        unsigned before = count_descriptors();

        for (int i = 0; i < 10; i++)
                ask(s, HR_FREEZER_CGROUP2, 0, true);
        s->freezer = hr_freezer_free(s->freezer);
        assert_int_equal(count_descriptors(), before - 2); /* its two eventfds */
        expect_written(s, "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_order),
                TEST(test_failures),
                TEST(test_full),
                TEST(test_no_descriptors),
                TEST(test_job_gone),
                TEST(test_cancel),
                TEST(test_cancel_at_any_moment),
                TEST(test_drain),
                TEST(test_never_started),
        };
        struct rlimit limit;

        /* A full ring has as many descriptors as an ordinary process may have. */
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &limit); /* refused: a test says so */
        }
        return cmocka_run_group_tests_name("freezer", tests, NULL, NULL);
}
