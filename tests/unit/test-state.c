/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The record of a job: what is written is read back, whatever its paths hold; what is damaged is refused,
 * whole. A test's fields are named by its own table, so that one that the record forgets is seen.
 */

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "state.h"

#define TEXT_MAX (64 * 1024)

static void sample(struct hr_state *s)
{
        memset(s, 0, sizeof(*s));
        s->armed = (struct hr_armed){
                .frozen = true,
                .high = true,
                .stage = HR_STAGE_HOLD,
                .phase = 3,
                .owner_held = true,
                .fuse_soft_bytes = HR_BYTES_NONE,
                .limit_before_bytes = 400 * HR_MIB,
                .high_before_bytes = 300 * HR_MIB,
                .stood_back_bytes = 350 * HR_MIB,
                .retried = 2,
                .guard_bytes = 320 * HR_MIB,
                .deadline_realtime_usec = 1700000000000000,
                .peak_bytes = 388 * HR_MIB,
        };
        (void)snprintf(s->id, sizeof(s->id), "j17");
        (void)snprintf(s->name, sizeof(s->name), "analyse");
        (void)snprintf(s->policy, sizeof(s->policy), "batch");
        (void)snprintf(s->checkpoint, sizeof(s->checkpoint), "hook:/usr/local/bin/save it");
        s->uid = 1000;
        s->gid = 100;
        s->leader = 4242;
        s->leader_start_ticks = 987654321;
        s->reaper = 4241;
        s->reaper_start_ticks = 987654320;
        s->fuse = true;
        s->attached = true;
        s->own_limit_bytes = HR_BYTES_NONE;
        s->placement.kind = HR_KIND_CGROUP1;
        s->placement.freezer = HR_FREEZER_CGROUP1;
        s->placement.owned = true;
        (void)snprintf(s->placement.cgroup, sizeof(s->placement.cgroup), "/user.slice/headroom/j17");
        (void)snprintf(s->placement.control, sizeof(s->placement.control), "/headroom/j17");
        (void)snprintf(s->placement.unit, sizeof(s->placement.unit), "headroom-j17.scope");
        (void)snprintf(s->placement.why, sizeof(s->placement.why), "below the caller's own group");
}

static void expect_same(const char *name, const struct hr_state *got, const struct hr_state *wanted)
{
#define SAME_TEXT(member) EXPECT_STR(name, got->member, wanted->member)
#define SAME(member) EXPECT_UINT(name, (uint64_t)got->member, (uint64_t)wanted->member)
        SAME(armed.frozen);
        SAME(armed.fused);
        SAME(armed.high);
        SAME(armed.limit);
        SAME(armed.stage);
        SAME(armed.phase);
        SAME(armed.owner_held);
        SAME(armed.interrupted);
        SAME(armed.fuse_soft_bytes);
        SAME(armed.limit_before_bytes);
        SAME(armed.high_before_bytes);
        SAME(armed.stood_back_bytes);
        SAME(armed.retried);
        SAME(armed.guard_bytes);
        SAME(armed.deadline_realtime_usec);
        SAME(armed.peak_bytes);
        SAME_TEXT(id);
        SAME_TEXT(name);
        SAME_TEXT(policy);
        SAME_TEXT(checkpoint);
        SAME(uid);
        SAME(gid);
        SAME(leader);
        SAME(leader_start_ticks);
        SAME(reaper);
        SAME(reaper_start_ticks);
        SAME(fuse);
        SAME(locked);
        SAME(attached);
        SAME(matched);
        SAME(own_limit_bytes);
        SAME(placement.kind);
        SAME(placement.freezer);
        SAME(placement.owned);
        SAME_TEXT(placement.cgroup);
        SAME_TEXT(placement.control);
        SAME_TEXT(placement.unit);
        SAME_TEXT(placement.why);
}

/* Formats, parses from a block that ends with the text, and compares. */
static void round_trip(const char *name, const struct hr_state *s)
{
        static char text[TEXT_MAX];
        struct hr_state back;

        int size = hr_state_format(s, text, sizeof(text));
        EXPECT_TRUE(name, size > HR_STATE_ARMED_SIZE);
        EXPECT_UINT(name, strlen(text), (uint64_t)size);
        _free_ char *exact = test_exact(text, (size_t)size);
        EXPECT_INT(name, hr_state_parse(exact, (size_t)size, &back), 0);
        expect_same(name, &back, s);

        /* It must fit, and never runs over. */
        for (size_t room = 0; room <= (size_t)size; room += 1 + room / 16) {
                _free_ char *small = malloc(room + 1);
                assert_non_null(small);
                EXPECT_INT(name, hr_state_format(s, small, room), -ENOBUFS);
        }
}

static void there_and_back(void **state HR_UNUSED)
{
        struct hr_state s;

        sample(&s);
        round_trip("sample", &s);

        memset(&s, 0, sizeof(s));
        (void)snprintf(s.id, sizeof(s.id), "j1");
        round_trip("nothing set", &s);

        sample(&s);
        s.uid = s.gid = UINT32_MAX;
        s.leader = INT32_MAX;
        s.leader_start_ticks = s.own_limit_bytes = UINT64_MAX;
        s.armed = (struct hr_armed){true, true, true, true, HR_STAGE_KILL, UINT32_MAX, true, true, UINT64_MAX,
                UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT32_MAX, UINT64_MAX};
        s.fuse = s.locked = s.attached = s.matched = true;
        s.placement.freezer = HR_FREEZER_STOP;
        s.placement.kind = HR_KIND_PROCESS;
        round_trip("all at their largest", &s);
}

static void hostile(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *path;
        } rows[] = {
                {"newline", "/a\nuid=0\nb"},
                {"newlines only", "\n\n\n"},
                {"carriage return", "/a\r"},
                {"backslash", "/a\\b\\x0a\\"},
                {"what systemd escapes", "/machine-a\\x2db.scope"},
                {"equals sign", "/a=b=\n=c"},
                {"a key", "uid=0"},
                {"spaces", "  /a b  "},
                {"tab and bell", "/\t\a\x7f"},
                {"terminal", "/\x1b[2J\x1b]0;x\a"},
                {"invalid UTF-8", "/\xff\xfe\xc3(\xc3"},
                {"overlong", "/\xc0\xaf\xe0\x80\xaf"},
                {"surrogate", "/\xed\xa0\x80"},
                {"UTF-8", "/données/日本/🙂"},
                {"C1 and bidi", "/\xc2\x9b\xe2\x80\xae"},
                {"the armed line", "headroom 1 0 0 0 0"},
                {"empty", ""},
        };

        TEST_ROWS(row, rows)
        {
                struct hr_state s;
                sample(&s);
                (void)snprintf(s.placement.cgroup, sizeof(s.placement.cgroup), "%s", row->path);
                (void)snprintf(s.placement.control, sizeof(s.placement.control), "%s", row->path);
                (void)snprintf(s.placement.unit, sizeof(s.placement.unit), "%s", row->path);
                (void)snprintf(s.placement.why, sizeof(s.placement.why), "%s", row->path);
                (void)snprintf(s.checkpoint, sizeof(s.checkpoint), "hook:%s", row->path);
                (void)snprintf(s.name, sizeof(s.name), "%s", row->path);
                round_trip(row->name, &s);
        }

        struct hr_state s;
        sample(&s);
        memset(s.placement.cgroup, '\n',
                sizeof(s.placement.cgroup) - 1); /* four times as long when escaped */
        memset(s.placement.control, '\xff', sizeof(s.placement.control) - 1);
        round_trip("as long as can be", &s);

        struct test_random r = test_random_new("hostile");
        for (int i = 0; i < 2000; i++) {
                size_t length = test_random_next(&r) % (sizeof(s.placement.cgroup) - 1);
                memset(s.placement.cgroup, 0, sizeof(s.placement.cgroup));
                for (size_t k = 0; k < length; k++)
                        s.placement.cgroup[k] = (char)(1 + test_random_next(&r) % 255);
                static char text[TEXT_MAX];
                struct hr_state back;
                int size = hr_state_format(&s, text, sizeof(text));
                assert_true(size > 0);
                assert_int_equal(hr_state_parse(text, (size_t)size, &back), 0);
                assert_string_equal(back.placement.cgroup, s.placement.cgroup);
        }
}

static void cut_off(void **state HR_UNUSED)
{
        static char text[TEXT_MAX];
        struct hr_state s, back, before;

        sample(&s);
        memset(&before, 0x55, sizeof(before));
        int size = hr_state_format(&s, text, sizeof(text));
        for (int n = 0; n < size; n++) {
                back = before;
                _free_ char *exact = test_exact(text, (size_t)n);
                if (n > 0 && text[n - 1] == '\n' && memmem(text, (size_t)n, "\nowned=", 7))
                        continue; /* what stands below came later: as an older daemon wrote it */
                if (hr_state_parse(exact, (size_t)n, &back) >= 0)
                        fail_msg("cut off after %d of %d bytes, and taken", n, size);
                assert_memory_equal(&back, &before, sizeof(back)); /* untouched on failure */
        }
}

static void damaged(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *find, *replace; /* find: the first occurrence */
                int error;                         /* 0: taken */
        } rows[] = {
                {"as it is", "uid=1000", "uid=1000", 0},
                {"the version of a later daemon", "headroom 1 ", "headroom 2 ", -EPROTONOSUPPORT},
                {"version 0", "headroom 1 ", "headroom 0 ", -EPROTONOSUPPORT},
                {"another file", "headroom 1 ", "headache 1 ", -EBADMSG},
                {"no number in the armed line", "headroom 1 1", "headroom 1 x", -EBADMSG},
                {"a sign in the armed line", "headroom 1 1", "headroom 1 -", -EBADMSG},
                {"an unknown stage", " 4 3 1 0 ", " 7 3 1 0 ", -EBADMSG},
                {"a stage of the ladder", " 4 3 1 0 ", " 6 3 1 0 ", 0},
                {"text after the armed line", "  \n", " x\n", -EBADMSG},
                {"no newline after it", "  \n", "   ", -EBADMSG},
                {"a negative number", "uid=1000", "uid=-100", -EBADMSG},
                {"a root uid by wrapping", "uid=1000", "uid=4294967296", -ERANGE},
                {"a pid by wrapping", "leader=4242", "leader=4294967297", -ERANGE},
                {"a pid below zero", "leader=4242", "leader=-1", -EBADMSG},
                {"larger than 64 bits", "leader_start_ticks=987654321",
                        "leader_start_ticks=98765432109876543210", -ERANGE},
                {"trailing letters", "uid=1000", "uid=1000a", -EBADMSG},
                {"an empty number", "uid=1000", "uid=", -EBADMSG},
                {"hexadecimal", "uid=1000", "uid=0x10", -EBADMSG},
                {"a key is missing", "uid=1000\n", "", -EBADMSG},
                {"one that came later is missing", "reaper=4241\n", "", 0},
                {"a key is there twice", "uid=1000\n", "uid=1000\nuid=0\n", -EBADMSG},
                {"a line without an equals sign", "uid=1000", "uid 1000", -EBADMSG},
                {"no id", "id=j17", "id=x17", -EBADMSG},
                {"an id with a path", "id=j17", "id=j1/../../x", -EBADMSG},
                {"a long id", "id=j17", "id=j12345678901234567", -ENAMETOOLONG},
                {"a name that does not fit", "name=analyse",
                        "name=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                        -ENAMETOOLONG},
                {"an escape cut off", "policy=batch", "policy=\\x4", -EBADMSG},
                {"an unknown escape", "policy=batch", "policy=\\n", -EBADMSG},
                {"a kind that is none", "kind=1", "kind=3", -EBADMSG},
                {"a freezer that is none", "freezer=2", "freezer=4", -EBADMSG},
        };
        static char text[TEXT_MAX], changed[TEXT_MAX];
        struct hr_state s, back;

        sample(&s);
        int size = hr_state_format(&s, text, sizeof(text));
        TEST_ROWS(row, rows)
        {
                char *at = strstr(text, row->find);
                assert_non_null(at);
                int n = snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - text), text, row->replace,
                        at + strlen(row->find));
                _free_ char *exact = test_exact(changed, (size_t)n);
                EXPECT_INT(row->name, hr_state_parse(exact, (size_t)n, &back), row->error);
        }
        for (int i = 0; i < size; i++) { /* a NUL anywhere */
                memcpy(changed, text, (size_t)size);
                changed[i] = '\0';
                assert_true(hr_state_parse(changed, (size_t)size, &back) < 0);
        }

        /* Any byte turned over: refused, or another sound record; a sanitizer looks on. */
        struct test_random r = test_random_new("damaged");
        for (int i = 0; i < 20000; i++) {
                _free_ char *exact = test_exact(text, (size_t)size);
                for (uint64_t k = 1 + test_random_next(&r) % 4; k > 0; k--)
                        exact[test_random_next(&r) % (size_t)size] = (char)test_random_next(&r);
                if (hr_state_parse(exact, (size_t)size, &back) == 0)
                        assert_true(back.armed.stage < HR_STAGE_COUNT &&
                                    back.placement.kind < HR_KIND_COUNT && hr_units_is_job_id(back.id));
        }
}

/* The armed line has grown four times since version 1: an upgrade forgets no held job. */
static void of_an_older_daemon(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *cut;
                uint64_t high_before_bytes, stood_back_bytes;
                uint32_t retried;
        } rows[] = {
                {"before the guard", " 335544320", 300 * HR_MIB, 350 * HR_MIB, 2},
                {"before the limit stood back", " 367001600 2 335544320", 300 * HR_MIB, HR_BYTES_NONE, 0},
                {"before others' memory.high was kept", " 314572800 367001600 2 335544320", HR_BYTES_NONE,
                        HR_BYTES_NONE, 0},
        };
        static char text[TEXT_MAX];
        struct hr_state s, back;

        sample(&s);
        TEST_ROWS(row, rows)
        {
                int size = hr_state_format(&s, text, sizeof(text));
                char *at = strstr(text, row->cut);
                assert_non_null(at);
                memset(at, ' ', strlen(row->cut));
                EXPECT_INT(row->name, hr_state_parse(text, (size_t)size, &back), 0);
                EXPECT_UINT(row->name, back.armed.peak_bytes, s.armed.peak_bytes);
                EXPECT_UINT(row->name, back.armed.high_before_bytes, row->high_before_bytes);
                EXPECT_UINT(row->name, back.armed.stood_back_bytes, row->stood_back_bytes);
                EXPECT_UINT(row->name, back.armed.retried, row->retried);
                EXPECT_UINT(row->name, back.armed.guard_bytes, HR_BYTES_NONE);
        }
}

/* ---- in a directory ---- */

struct dir {
        char path[64];
};

static void dir_init(struct dir *d)
{
        char jobs[80];

        (void)snprintf(d->path, sizeof(d->path), "/tmp/test-state-XXXXXX");
        assert_non_null(mkdtemp(d->path));
        (void)snprintf(jobs, sizeof(jobs), "%s/jobs", d->path);
        assert_int_equal(mkdir(jobs, 0700), 0);
}

static void dir_deinit(struct dir *d)
{
        char command[128];

        (void)snprintf(command, sizeof(command), "rm -r %s", d->path);
        assert_int_equal(system(command), 0);
}

static bool there(const struct dir *d, const char *name)
{
        char path[128];

        (void)snprintf(path, sizeof(path), "%s/jobs/%s", d->path, name);
        return access(path, F_OK) == 0;
}

static void put(const struct dir *d, const char *name, const char *text, size_t size)
{
        char path[128];

        (void)snprintf(path, sizeof(path), "%s/jobs/%s", d->path, name);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(text, 1, size, f), size);
        assert_int_equal(fclose(f), 0);
}

struct found {
        size_t count;
        struct hr_state last;
};

static void find(const struct hr_state *s, void *userdata)
{
        struct found *f = userdata;

        f->count++;
        f->last = *s;
}

static void arms_in_place(void **state HR_UNUSED)
{
        struct dir d;
        struct hr_state s;
        struct found f = {};
        struct stat before, after;
        int fd = -1;

        dir_init(&d);
        sample(&s);
        assert_int_equal(hr_state_create(d.path, &s, &fd), 0);
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_false(there(&d, "j17.new"));
        assert_int_equal(fstat(fd, &before), 0);
        assert_int_equal(before.st_mode & 0777, 0600);

        /* Longest after shortest and the other way round: nothing of the one before shows through. */
        for (int i = 0; i < 4; i++) {
                s.armed = i % 2 ? (struct hr_armed){.stage = HR_STAGE_OK}
                                : (struct hr_armed){true, true, true, true, HR_STAGE_KILL, UINT32_MAX, true,
                                          true, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
                                          UINT64_MAX, UINT32_MAX, UINT64_MAX};
                assert_int_equal(hr_state_arm(fd, &s.armed), 0);
                assert_int_equal(hr_state_each(d.path, true, find, &f), 0);
                expect_same("armed", &f.last, &s);
        }
        assert_int_equal(f.count, 4);
        assert_int_equal(fstat(fd, &after), 0);
        assert_int_equal(after.st_size, before.st_size);
        assert_int_equal(after.st_ino, before.st_ino);
        assert_int_equal(close(fd), 0);

        fd = hr_state_open(d.path, "j17"); /* as one who adopts it */
        assert_true(fd >= 0);
        s.armed.peak_bytes = 7;
        assert_int_equal(hr_state_arm(fd, &s.armed), 0);
        assert_int_equal(hr_state_each(d.path, true, find, &f), 0);
        expect_same("adopted", &f.last, &s);
        assert_int_equal(close(fd), 0);
        assert_int_equal(hr_state_arm(fd, &s.armed), -EBADF);

        assert_int_equal(hr_state_remove(d.path, "j17"), 0);
        assert_int_equal(hr_state_remove(d.path, "j17"), -ENOENT);
        assert_int_equal(hr_state_open(d.path, "j17"), -ENOENT);
        dir_deinit(&d);
}

static void replaces(void **state HR_UNUSED)
{
        struct dir d;
        struct hr_state s;
        struct found f = {};
        int fd = -1;

        dir_init(&d);
        sample(&s);
        for (int i = 0; i < 2; i++) {
                (void)snprintf(s.name, sizeof(s.name), "name%d", i);
                assert_int_equal(hr_state_create(d.path, &s, &fd), 0);
                assert_int_equal(close(fd), 0);
        }
        assert_int_equal(hr_state_each(d.path, true, find, &f), 0);
        assert_int_equal(f.count, 1);
        assert_string_equal(f.last.name, "name1");
        dir_deinit(&d);

        fd = 77;
        assert_int_equal(hr_state_create(d.path, &s, &fd), -ENOENT); /* the directory is gone */
        assert_int_equal(fd, 77);
        assert_int_equal(hr_state_each(d.path, true, find, &f), 0);
}

static void sets_aside(void **state HR_UNUSED)
{
        static char text[TEXT_MAX];
        struct dir d;
        struct hr_state s;
        struct found f = {};

        dir_init(&d);
        sample(&s);
        int size = hr_state_format(&s, text, sizeof(text));
        put(&d, "j17", text, (size_t)size);
        put(&d, "j18", text, (size_t)size); /* it says that it is j17 */
        put(&d, "j19", text, (size_t)size - 1);
        put(&d, "j20", "", 0);
        put(&d, "j21.new", text, 10);
        put(&d, "notes", "x", 1);
        _free_ char *huge = calloc(1, TEXT_MAX);
        assert_non_null(huge);
        memset(huge, ' ', TEXT_MAX);
        memcpy(huge, text, (size_t)size);
        put(&d, "j22", huge, TEXT_MAX);

        assert_int_equal(hr_state_each(d.path, false, find, &f), 4); /* who tells nobody leaves them */
        assert_true(there(&d, "j18") && there(&d, "j19") && there(&d, "j20") && there(&d, "j22"));
        f.count = 0;
        assert_int_equal(hr_state_each(d.path, true, find, &f), 4);
        assert_int_equal(f.count, 1);
        assert_string_equal(f.last.id, "j17");
        assert_true(there(&d, "j17") && there(&d, "j21.new") && there(&d, "notes"));
        assert_true(
                there(&d, "j18.bad") && there(&d, "j19.bad") && there(&d, "j20.bad") && there(&d, "j22.bad"));
        assert_false(there(&d, "j18") || there(&d, "j19") || there(&d, "j20") || there(&d, "j22"));

        assert_int_equal(hr_state_each(d.path, true, find, &f), 0); /* told once */
        assert_int_equal(f.count, 2);
        dir_deinit(&d);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(there_and_back),
                cmocka_unit_test(hostile),
                cmocka_unit_test(cut_off),
                cmocka_unit_test(damaged),
                cmocka_unit_test(of_an_older_daemon),
                cmocka_unit_test(arms_in_place),
                cmocka_unit_test(replaces),
                cmocka_unit_test(sets_aside),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
