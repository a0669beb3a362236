/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <pwd.h>
#include <sys/stat.h>
#include <utmpx.h>

#include "fd.h"
#include "tell/journal.h"
#include "tell/recorder.h"
#include "tell/terminal.h"

/*
 * What reaches the log and the owner's terminal. The log is stderr, caught in a file; the terminal is a
 * pseudo terminal of ours, which a utmp file of ours calls the login of the user who runs the test.
 */

static struct hr_event example(const char *action, const char *reason)
{
        struct hr_event e = {.job = "j17",
                .name = "analysis",
                .uid = geteuid(),
                .stage = HR_STAGE_HOLD,
                .previous_stage = HR_STAGE_NOTICE,
                .limit_bytes = HR_BYTES_NONE,
                .outcome = "done",
                .hint = "headroom resume j17 --limit 9G",
                .exit_status = -1};

        snprintf(e.action, sizeof(e.action), "%s", action);
        snprintf(e.reason, sizeof(e.reason), "%s", reason);
        return e;
}

/* Records the events and returns what was logged. */
static char *record(const struct hr_event *events, size_t count)
{
        const struct hr_recorder_options options = {.journal = false, .tell_terminals = false};
        FILE *log = tmpfile();
        int saved = dup(STDERR_FILENO);
        struct hr_recorder *r = NULL;
        struct hr_exchange *x = NULL;
        char *text = calloc(1, 100000);

        assert_true(log && saved >= 0 && text);
        hr_journal_init(false);
        assert_int_equal(hr_exchange_new(1, &x), 0);
        assert_true(dup2(fileno(log), STDERR_FILENO) >= 0);
        assert_int_equal(hr_recorder_start(x, &options, &r), 0);
        for (size_t i = 0; i < count; i++)
                hr_exchange_event(x, &events[i]);
        hr_recorder_stop(r);
        assert_true(dup2(saved, STDERR_FILENO) >= 0);
        hr_close(saved);
        hr_exchange_free(x);
        rewind(log);
        assert_true(fread(text, 1, 99999, log) < 99999);
        fclose(log);
        return text;
}

static void test_repeated(void **state HR_UNUSED)
{
        struct hr_event events[] = {example("freeze", "first"), example("freeze", "second"),
                example("freeze", "third"), example("thaw", "other"), example("freeze", "fourth")};
        char *text = record(events, ELEMENTSOF(events));

        assert_string_equal(text, "headroomd: j17 (analysis): freeze done: first\n"
                                  "headroomd: j17 (analysis): thaw done: other\n"
                                  "headroomd: j17: freeze done: 3 more like this, the last: fourth\n");
        free(text);
}

static void test_many_kinds(void **state HR_UNUSED) /* more than are remembered: none is lost */
{
        struct hr_event events[200];
        unsigned lines = 0;
        char *text;

        for (unsigned i = 0; i < ELEMENTSOF(events); i++) {
                events[i] = example("freeze", "reason");
                snprintf(events[i].job, sizeof(events[i].job), "j%u", i);
        }
        text = record(events, ELEMENTSOF(events));
        for (const char *at = text; (at = strchr(at, '\n')); at++)
                lines++;
        assert_int_equal(lines, ELEMENTSOF(events));
        free(text);
}

static void test_wanted(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *action, *outcome;
                enum hr_stage stage, previous_stage;
                bool has_run, wanted;
        } rows[] = {
                {"stage change", "freeze", "done", HR_STAGE_HOLD, HR_STAGE_OK, false, true},
                {"within a stage", "freeze", "done", HR_STAGE_HOLD, HR_STAGE_HOLD, false, false},
                {"a run shows it", "freeze", "done", HR_STAGE_HOLD, HR_STAGE_OK, true, false},
                {"only observed", "freeze", "observed", HR_STAGE_HOLD, HR_STAGE_OK, false, false},
                {"the end", "end", "", HR_STAGE_OK, HR_STAGE_OK, false, true},
        };

        TEST_ROWS(row, rows)
        {
                struct hr_event e = example(row->action, "");

                snprintf(e.outcome, sizeof(e.outcome), "%s", row->outcome);
                e.stage = row->stage;
                e.previous_stage = row->previous_stage;
                e.has_run = row->has_run;
                EXPECT_INT(row->name, hr_terminal_wants(&e), row->wanted);
        }
}

static void test_terminal(void **state HR_UNUSED)
{
        char utmp[] = "/tmp/headroom-test-utmp-XXXXXX", tty[128], seen[1024] = "", filler[4096];
        static const char line[] = "headroom: j17 (analysis): held at 97 %; headroom resume j17 --limit 9G\r";
        const struct passwd *me = getpwuid(geteuid());
        struct hr_event e = example("freeze", "held at 97 %");
        struct utmpx record_of_us = {.ut_type = USER_PROCESS, .ut_pid = getpid(), .ut_id = "hr"};
        int master = -1, slave = -1, file = mkstemp(utmp);

        assert_true(file >= 0);
        if (!me || openpty(&master, &slave, tty, NULL, NULL) < 0) {
                unlink(utmp);
                print_message("SKIP: no pseudo terminal or no name\n");
                skip();
        }
        snprintf(record_of_us.ut_user, sizeof(record_of_us.ut_user), "%.31s", me->pw_name);
        snprintf(record_of_us.ut_line, sizeof(record_of_us.ut_line), "%.31s", tty + strlen("/dev/"));
        assert_int_equal(utmpxname(utmp), 0);
        setutxent();
        assert_non_null(pututxline(&record_of_us));
        endutxent();

        assert_int_equal(fchmod(slave, 0600), 0); /* mesg n */
        assert_int_equal(hr_terminal_tell(&e), 0);
        assert_int_equal(fchmod(slave, 0620), 0); /* mesg y */
        assert_int_equal(hr_terminal_tell(&e), 1);
        for (size_t n = 0; !strstr(seen, line) && n < sizeof(seen) - 1;) { /* it may come in pieces */
                struct pollfd p = {.fd = master, .events = POLLIN};

                assert_int_equal(poll(&p, 1, 5000), 1);
                ssize_t got = read(master, seen + n, sizeof(seen) - 1 - n);
                assert_true(got > 0);
                n += (size_t)got;
        }
        assert_non_null(strstr(seen, line));

        e.uid = geteuid() + 1; /* somebody else's */
        assert_int_equal(hr_terminal_tell(&e), 0);

        /* A terminal that nobody reads takes no line, and keeps nobody waiting. */
        e.uid = geteuid();
        memset(filler, 'x', sizeof(filler));
        fcntl(slave, F_SETFL, O_NONBLOCK);
        while (write(slave, filler, sizeof(filler)) > 0)
                ;
        unsigned told = 1;
        for (int i = 0; i < 1000 && told > 0; i++) /* the kernel makes some room when it moves what it has */
                told = hr_terminal_tell(&e);
        assert_int_equal(told, 0);
        hr_close(master);
        hr_close(slave);
        hr_close(file);
        unlink(utmp);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_repeated),
                cmocka_unit_test(test_many_kinds),
                cmocka_unit_test(test_wanted),
                cmocka_unit_test(test_terminal),
        };

        return cmocka_run_group_tests_name("recorder", tests, NULL, NULL);
}
