/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "fd.h"
#include "tell/query.h"
#include "tell/record.h"

/* The record of jobs, on real files: what is written is read back, and whatever befalls the file, it goes on.
 */

#define NOW UINT64_C(1800000000000000) /* CLOCK_REALTIME, 2027 */

static char directory[64];
static char said[4000];

static void say(int priority HR_UNUSED, const char *text, void *userdata HR_UNUSED)
{
        size_t length = strlen(said);

        snprintf(said + length, sizeof(said) - length, "%s\n", text);
}

static int remove_one(
        const char *path, const struct stat *st HR_UNUSED, int type HR_UNUSED, struct FTW *f HR_UNUSED)
{
        return remove(path);
}

static int set_up(void **state HR_UNUSED)
{
        snprintf(directory, sizeof(directory), "/tmp/headroom-record-XXXXXX");
        said[0] = '\0';
        return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state HR_UNUSED)
{
        return nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct hr_record *start(uint64_t age_usec, uint64_t size_bytes)
{
        struct hr_record_options o = {
                .directory = directory, .age_usec = age_usec, .size_bytes = size_bytes, .say = say};
        struct hr_record *r = NULL;

        assert_int_equal(hr_record_new(&o, &r), 0);
        return r;
}

static struct hr_record *start_default(void)
{
        return start(HR_USEC_NEVER, 256 * HR_MIB);
}

static void begin(
        struct hr_record *r, const char *job, const char *name, uid_t uid, bool adopted, uint64_t time)
{
        char command[] = "python3 a.py", cgroup[] = "/g", unit[] = "";
        struct hr_birth b = {.uid = uid,
                .kind = HR_KIND_CGROUP2,
                .adopted = adopted,
                .time_usec = time,
                .limit_bytes = HR_GIB,
                .command = adopted ? NULL : command,
                .cgroup = cgroup,
                .unit = unit};

        snprintf(b.job, sizeof(b.job), "%s", job);
        snprintf(b.name, sizeof(b.name), "%s", name);
        snprintf(b.user, sizeof(b.user), "u%u", (unsigned)uid);
        snprintf(b.policy, sizeof(b.policy), "default");
        hr_record_birth(r, &b);
}

static struct hr_event event(const char *job, const char *action, uint64_t time)
{
        struct hr_event e = {.time_usec = time,
                .limit_bytes = HR_GIB,
                .used_bytes = 300 * HR_MIB,
                .kernel_peak_bytes = HR_BYTES_NONE,
                .exit_status = -1,
                .outcome = "done",
                .reason = "because"};

        snprintf(e.job, sizeof(e.job), "%s", job);
        snprintf(e.action, sizeof(e.action), "%s", action);
        return e;
}

static void end(struct hr_record *r, const char *job, enum hr_cause cause, uint64_t time)
{
        struct hr_event e = event(job, "end", time);

        e.cause = cause;
        hr_record_event(r, &e);
}

static void tell_exit(struct hr_record *r, const char *job, uid_t uid, int status, int signal)
{
        struct hr_told t = {.kind = HR_TOLD_EXIT, .uid = uid, .exit_status = status, .signal = signal};

        snprintf(t.job, sizeof(t.job), "%s", job);
        hr_record_told(r, &t);
}

static void whole(struct hr_record *r, const char *job, uint64_t time)
{
        begin(r, job, "work", 1000, false, time);
        end(r, job, HR_CAUSE_UNKNOWN, time + HR_USEC_PER_SEC);
        hr_record_commit(r, time + HR_USEC_PER_SEC);
}

static struct hr_query *reader(void)
{
        struct hr_query *r = NULL;

        assert_int_equal(hr_query_new(directory, &r), 0);
        return r;
}

static size_t count(uid_t uid, bool admin, const char *outcome)
{
        struct hr_query_filter f = {.uid = uid,
                .admin = admin,
                .until_usec = HR_USEC_NEVER,
                .user = "",
                .name = "",
                .outcome = outcome,
                .count_max = 100000};
        struct hr_query *r = reader();
        struct hr_query_row *rows = NULL;
        uint64_t next = 0;
        size_t n = 0;

        assert_int_equal(hr_query_history(r, &f, &rows, &n, &next), 0);
        for (size_t i = 0; i < n; i++)
                hr_query_row_done(&rows[i]);
        free(rows);
        hr_query_free(r);
        return n;
}

static void read_story(const char *word, uid_t uid, bool admin, struct hr_query_story *ret)
{
        struct hr_query *r = reader();

        assert_int_equal(hr_query_story(r, uid, admin, word, ret), 0);
        hr_query_free(r);
}

static void test_story(void **state HR_UNUSED)
{
        struct hr_record *r = start_default();
        struct hr_query *read = reader();
        struct hr_query_story s;
        struct hr_told t = {.job = "j1", .kind = HR_TOLD_HOLDER, .uid = 1000, .text = "frames holds it"};

        begin(r, "j1", "work", 1000, false, NOW);
        for (unsigned i = 0; i < 1000; i++) {
                struct hr_point p = {.job = "j1",
                        .time_usec = NOW + i * HR_USEC_PER_SEC,
                        .used_bytes = (i == 777 ? 900 : i) * HR_MIB,
                        .cache_bytes = i * HR_KIB,
                        .limit_bytes = HR_GIB};
                hr_record_point(r, &p);
        }
        struct hr_event e = event("j1", "notice", NOW + 900 * HR_USEC_PER_SEC);
        e.stage = HR_STAGE_NOTICE;
        hr_record_event(r, &e);
        hr_record_told(r, &t);
        hr_record_commit(r, NOW);
        assert_int_equal(hr_query_story(read, 1000, false, "j1", &s), -ENOENT); /* it runs */
        end(r, "j1", HR_CAUSE_OWN_LIMIT, NOW + 1000 * HR_USEC_PER_SEC);
        hr_record_commit(r, NOW);
        read_story("work", 1000, false, &s);
        assert_string_equal(s.row.job, "j1");
        assert_string_equal(s.row.command, "python3 a.py");
        assert_string_equal(s.row.outcome, "own_limit");
        assert_string_equal(s.row.held_by, "frames holds it");
        assert_string_equal(s.row.stage, "notice");
        assert_true(s.row.censored);
        assert_int_equal(s.row.peak_bytes, 999 * HR_MIB);
        assert_int_equal(s.event_count, 2);
        assert_true(s.point_count > 50 && s.point_count <= HR_CURVE_POINTS_MAX);
        assert_true(s.points[s.point_count - 1].time_usec > NOW + 950 * HR_USEC_PER_SEC); /* to its end */
        uint64_t most = 0;
        for (size_t i = 0; i < s.point_count; i++) {
                assert_true(i == 0 || s.points[i].time_usec > s.points[i - 1].time_usec);
                assert_int_equal(s.points[i].limit_bytes, HR_GIB);
                most = MAX(most, s.points[i].used_bytes);
        }
        assert_int_equal(most, 999 * HR_MIB);
        hr_query_story_done(&s);
        /* Somebody else sees nothing of it, root all. */
        assert_int_equal(hr_query_story(read, 1001, false, "j1", &s), -ENOENT);
        assert_int_equal(hr_query_story(read, 0, true, "j1", &s), 0);
        hr_query_story_done(&s);
        assert_int_equal(count(1001, false, ""), 0);
        assert_int_equal(count(1000, false, "own_limit"), 1);
        assert_int_equal(count(0, true, "finished"), 0);
        hr_query_free(read);
        hr_record_free(r);
        assert_string_equal(said, "");
        /* Command lines stand in it. */
        struct stat st;
        char path[100];
        snprintf(path, sizeof(path), "%s/" HR_RECORD_FILE, directory);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_outcome(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                enum hr_cause cause;
                bool fused;
                int status, signal;
                const char *outcome;
                bool censored;
        } rows[] = {
                {"finished", HR_CAUSE_UNKNOWN, false, 0, 0, "finished", false},
                {"failed", HR_CAUSE_UNKNOWN, false, 3, 0, "failed", false},
                {"signal", HR_CAUSE_UNKNOWN, false, -1, 9, "signal", true},
                {"fused, status 1", HR_CAUSE_UNKNOWN, true, 1, 0, "memory_error", true},
                {"fused, another status", HR_CAUSE_UNKNOWN, true, 2, 0, "failed", false},
                {"fused, would have said so", HR_CAUSE_ITSELF, true, 1, 0, "failed", false},
                {"said", HR_CAUSE_MEMORY_ERROR, false, 1, 0, "memory_error", true},
                {"said, by a child of a shell", HR_CAUSE_MEMORY_ERROR, false, 2, 0, "memory_error", true},
                {"said, status not known", HR_CAUSE_MEMORY_ERROR, false, -1, 0, "memory_error", true},
                {"said, and finished", HR_CAUSE_MEMORY_ERROR, true, 0, 0, "finished", false},
                {"said, and shot", HR_CAUSE_MEMORY_ERROR, false, -1, 9, "signal", true},
                {"not known", HR_CAUSE_UNKNOWN, false, -1, 0, "ended", false},
                {"interrupted, and finished", HR_CAUSE_INTERRUPTED, false, 0, 0, "interrupted", true},
                {"our kill", HR_CAUSE_KILLED, false, -1, 9, "killed", true},
                {"own limit", HR_CAUSE_OWN_LIMIT, false, -1, 9, "own_limit", true},
                {"host", HR_CAUSE_HOST, false, -1, 9, "host_full", true},
                {"a tree, and the kernel killed there", HR_CAUSE_BELOW, false, -1, 9, "host_full", true},
                {"a tree, and another was killed", HR_CAUSE_BELOW, false, -1, 15, "signal", true},
                {"a tree, and a child was killed", HR_CAUSE_BELOW, false, 3, 0, "failed", false},
                {"unseen", HR_CAUSE_UNSEEN, false, -1, 0, "unseen", true},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                bool censored;

                EXPECT_STR(rows[i].name,
                        hr_record_outcome(
                                rows[i].cause, rows[i].fused, rows[i].status, rows[i].signal, &censored),
                        rows[i].outcome);
                EXPECT_INT(rows[i].name, censored, rows[i].censored);
        }
}

static uint64_t realtime(void)
{
        struct timespec t;

        clock_gettime(CLOCK_REALTIME, &t);
        return (uint64_t)t.tv_sec * HR_USEC_PER_SEC;
}

static void test_exit(
        void **state HR_UNUSED) /* before its end and after it; of others' jobs it is not heard */
{
        struct hr_record *r = start_default();
        struct hr_query_story s;
        uint64_t now = realtime();

        begin(r, "j1", "early", 1000, false, now);
        tell_exit(r, "j1", 1001, 7, 0);
        tell_exit(r, "j1", 1000, 3, 0);
        end(r, "j1", HR_CAUSE_UNKNOWN, now);
        begin(r, "j2", "late", 1000, false, now);
        end(r, "j2", HR_CAUSE_UNKNOWN, now);
        tell_exit(r, "j2", 1001, 7, 0);
        tell_exit(r, "j2", 1000, -1, 15);
        hr_record_commit(r, now);
        read_story("early", 1000, false, &s);
        assert_int_equal(s.row.exit_status, 3);
        assert_string_equal(s.row.outcome, "failed");
        hr_query_story_done(&s);
        read_story("late", 1000, false, &s);
        assert_int_equal(s.row.exit_status, -1);
        assert_int_equal(s.row.signal, 15);
        assert_string_equal(s.row.outcome, "signal");
        hr_query_story_done(&s);
        hr_record_free(r);
}

static void tell_word(struct hr_record *r, const char *job, enum hr_told_kind kind)
{
        struct hr_told t = {.kind = kind, .admin = true, .exit_status = -1};

        snprintf(t.job, sizeof(t.job), "%s", job);
        snprintf(t.text, sizeof(t.text), "a.py line 3");
        hr_record_told(r, &t);
}

/* The word of a job's process, its exit status and its end come in any order; a word that the end does not
 * follow is none of it. */
static void test_memory_error(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *order; /* e: its end; m: the word; t: the promise; 0, 1: the exit status */
                uint64_t later_usec;      /* of the end, after all that comes before it */
                bool fused;
                const char *outcome;
                bool said;
        } rows[] = {
                {"word, end, status", "me1", 0, false, "memory_error", true},
                {"end, word, status", "em1", 0, false, "memory_error", true},
                {"end, status, word", "e1m", 0, false, "memory_error", true},
                {"word, status, end", "m1e", 0, true, "memory_error", true},
                {"end, word", "em", 0, false, "memory_error", true},
                {"a lie", "me0", 0, true, "finished", true},
                {"a lie, heard late", "e0m", 0, true, "finished", true},
                {"it went on", "me1", 120 * HR_USEC_PER_SEC, false, "failed", false},
                {"nothing said", "e1", 0, true, "memory_error", false},
                {"promised, and not said", "te1", 0, true, "failed", false},
                {"promised, and said late", "te1m", 0, true, "memory_error", true},
        };
        struct hr_record *r = start_default();
        uint64_t now = realtime();

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct hr_query_story s;
                char job[8], name[8];

                snprintf(job, sizeof(job), "j%zu", i + 1);
                snprintf(name, sizeof(name), "job%zu", i + 1);
                begin(r, job, name, 1000, false, now);
                for (const char *c = rows[i].order; *c; c++) {
                        struct hr_event e = event(job, "end", now + rows[i].later_usec);
                        e.fused = rows[i].fused;
                        if (*c == 'e')
                                hr_record_event(r, &e);
                        else if (*c == 'm' || *c == 't')
                                tell_word(r, job, *c == 'm' ? HR_TOLD_MEMORY_ERROR : HR_TOLD_TELLS);
                        else
                                tell_exit(r, job, 1000, *c - '0', 0);
                }
                hr_record_commit(r, now);
                read_story(name, 1000, false, &s);
                EXPECT_STR(rows[i].name, s.row.outcome, rows[i].outcome);
                EXPECT_INT(rows[i].name, s.row.said_error, rows[i].said);
                EXPECT_INT(rows[i].name, s.row.fused, rows[i].fused);
                EXPECT_STR(rows[i].name, s.row.reason,
                        rows[i].said ? "because; it said: MemoryError at a.py line 3" : "because");
                hr_query_story_done(&s);
        }
        hr_record_free(r);
}

static void test_crash(
        void **state HR_UNUSED) /* the daemon is killed; one job ends meanwhile, one is adopted */
{
        struct hr_record *r = start_default(), *after;
        struct hr_query_story s;

        begin(r, "j1", "gone", 1000, false, NOW);
        begin(r, "j2", "stays", 1000, false, NOW);
        hr_record_commit(r, NOW);
        after = start_default(); /* the first one is never asked again */
        begin(after, "j2", "stays", 1000, true, NOW + HR_USEC_PER_SEC);
        struct hr_event e = event("j1", "end", NOW + HR_USEC_PER_SEC);
        e.cause = HR_CAUSE_UNSEEN;
        e.uid = 1000;
        hr_record_event(after, &e);
        end(after, "j2", HR_CAUSE_UNKNOWN, NOW + 2 * HR_USEC_PER_SEC);
        hr_record_commit(after, NOW);
        read_story("gone", 1000, false, &s);
        assert_string_equal(s.row.outcome, "unseen");
        assert_string_equal(s.row.command, "python3 a.py");
        assert_true(s.row.censored);
        hr_query_story_done(&s);
        read_story("stays", 1000, false, &s);
        assert_string_equal(s.row.outcome, "ended");
        assert_string_equal(s.row.command, "python3 a.py");
        assert_int_equal(s.row.start_usec, NOW);
        hr_query_story_done(&s);
        assert_int_equal(count(0, true, ""), 2);
        hr_record_free(after);
        hr_record_free(r);
}

static char *path_of(const char *name)
{
        static char path[100];

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        return path;
}

static void spoil(size_t from, size_t size)
{
        _close_ int fd = open(path_of(HR_RECORD_FILE), O_WRONLY);
        char noise[4096];

        memset(noise, 0x5a, sizeof(noise));
        assert_true(fd >= 0);
        for (size_t at = from; at < from + size; at += sizeof(noise))
                assert_int_equal(pwrite(fd, noise, sizeof(noise), (off_t)at), sizeof(noise));
}

static void test_damaged(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                size_t from, size;
        } rows[] = {{"its head", 0, 4096}, {"all of it", 0, 65536}, {"its inside", 4096, 32768}};

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct hr_record *r = start_default();

                for (unsigned k = 0; k < 50; k++)
                        whole(r, ((char[16]){'j', (char)('1' + k / 10), (char)('0' + k % 10), 0}), NOW);
                hr_record_free(r);
                spoil(rows[i].from, rows[i].size);
                said[0] = '\0';
                r = start_default();
                whole(r, "j9", NOW);
                EXPECT_INT(rows[i].name, count(0, true, ""), 1);
                EXPECT_INT(rows[i].name, strstr(said, "moved to") != NULL, true);
                EXPECT_INT(rows[i].name, access(path_of(HR_RECORD_FILE ".damaged"), F_OK), 0);
                hr_record_free(r);
                (void)unlink(path_of(HR_RECORD_FILE));
        }
}

static void test_version(void **state HR_UNUSED) /* of a version to come: kept aside, not touched */
{
        struct hr_record *r = start_default();

        whole(r, "j1", NOW);
        hr_record_free(r);
        _close_ int fd = open(path_of(HR_RECORD_FILE), O_WRONLY);
        unsigned char version[4] = {0, 0, 0, 99}; /* user_version: 4 bytes at 60, in SQLite's file format */
        assert_int_equal(pwrite(fd, version, 4, 60), 4);
        r = start_default();
        whole(r, "j2", NOW);
        assert_int_equal(count(0, true, ""), 1);
        assert_non_null(strstr(said, "another version"));
        hr_record_free(r);
}

static void test_gone(void **state HR_UNUSED) /* taken away while it is in use */
{
        struct hr_record *r = start_default();

        begin(r, "j1", "runs", 1000, false, NOW);
        hr_record_commit(r, NOW);
        assert_int_equal(unlink(path_of(HR_RECORD_FILE)), 0);
        (void)unlink(path_of(HR_RECORD_FILE "-wal"));
        (void)unlink(path_of(HR_RECORD_FILE "-shm"));
        whole(r, "j2", NOW); /* lost with the file */
        assert_non_null(strstr(said, "is gone"));
        end(r, "j1", HR_CAUSE_UNKNOWN, NOW + 2 * HR_USEC_PER_SEC);
        hr_record_commit(r, NOW);
        assert_int_equal(count(0, true, ""), 1);
        hr_record_free(r);
}

static void test_nowhere(
        void **state HR_UNUSED) /* no directory: said once, tried again, and then all is well */
{
        char away[80];
        struct hr_record *r;
        uint64_t now = realtime();

        snprintf(away, sizeof(away), "%s-away", directory);
        assert_int_equal(rename(directory, away), 0);
        r = start_default();
        begin(r, "j1", "runs", 1000, false, now);
        whole(r, "j2", now);
        whole(r, "j3", now);
        assert_non_null(strstr(said, "no record of jobs can be kept"));
        assert_null(strstr(strstr(said, "no record") + 1, "no record"));
        assert_int_equal(rename(away, directory), 0);
        whole(r, "j4", now + 1000 * HR_USEC_PER_SEC);
        assert_non_null(strstr(said, "2 that ended meanwhile are not in it"));
        end(r, "j1", HR_CAUSE_UNKNOWN, now + 1001 * HR_USEC_PER_SEC);
        hr_record_commit(r, now + 1001 * HR_USEC_PER_SEC);
        assert_int_equal(count(0, true, ""), 2);
        hr_record_free(r);
}

static void test_full(void **state HR_UNUSED) /* a write fails, as on a full disk: counted, tried again */
{
        struct hr_record *r = start_default();
        struct rlimit before, small;
        uint64_t now = realtime();

        whole(r, "j1", now);
        hr_record_free(r);
        (void)signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        small = before;
        small.rlim_cur = 16384; /* less than the shared index of the log takes */
        r = start_default();
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        whole(r, "j2", now);
        for (unsigned i = 0; i < 20; i++)
                whole(r, ((char[16]){'j', '5', (char)('a' + i), 0}), now);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_non_null(strstr(said, "can't be written"));
        whole(r, "j3", now + 1000 * HR_USEC_PER_SEC);
        assert_true(count(0, true, "") >= 2);
        assert_non_null(strstr(said, "is kept again"));
        hr_record_free(r);
}

static void test_bounds(void **state HR_UNUSED)
{
        const uint64_t day = 24 * 3600 * HR_USEC_PER_SEC;
        struct hr_record *r = start(30 * day, 256 * HR_MIB);
        uint64_t now = realtime();
        char job[16];
        struct stat st;

        for (unsigned i = 0; i < 90; i++) { /* one each day */
                snprintf(job, sizeof(job), "j%u", i + 1);
                whole(r, job, now - (90 - i) * day);
        }
        hr_record_free(r);
        r = start(30 * day, 256 * HR_MIB);
        assert_in_range(count(0, true, ""), 29, 31);
        hr_record_free(r);

        r = start(HR_USEC_NEVER, 1 * HR_MIB);
        begin(r, "j900", "work", 1001, false, now); /* of somebody with one job, who must not lose it */
        end(r, "j900", HR_CAUSE_UNKNOWN, now);
        for (unsigned i = 0; i < 4000; i++) {
                snprintf(job, sizeof(job), "j%u", 1000 + i);
                whole(r, job, now + i * 2 * HR_USEC_PER_SEC);
        }
        size_t kept = count(0, true, "");
        hr_record_free(r);
        assert_int_equal(stat(path_of(HR_RECORD_FILE), &st), 0);
        assert_true(st.st_size < (off_t)(3 * HR_MIB / 2));
        assert_in_range(kept, 300, 3900);
        struct hr_query_story s; /* the newest are there */
        read_story("j4999", 0, true, &s);
        hr_query_story_done(&s);
        read_story("j900", 1001, false, &s);
        hr_query_story_done(&s);
}

static void test_pages(void **state HR_UNUSED) /* jobs that ended at one time are on one page: none is lost */
{
        static const uint64_t seconds[] = {1, 2, 2, 2, 2, 3};
        struct hr_record *r = start_default();
        struct hr_query_filter f = {.admin = true,
                .until_usec = HR_USEC_NEVER,
                .user = "",
                .name = "",
                .outcome = "",
                .count_max = 2};
        struct hr_query *read = reader();
        size_t counts[4], pages = 0;
        char job[16];

        for (unsigned i = 0; i < ELEMENTSOF(seconds); i++) {
                snprintf(job, sizeof(job), "j%u", i + 1);
                whole(r, job, NOW + seconds[i] * HR_USEC_PER_SEC);
        }
        for (size_t n; f.until_usec > 0 && pages < ELEMENTSOF(counts); counts[pages++] = n) {
                struct hr_query_row *rows = NULL;

                assert_int_equal(hr_query_history(read, &f, &rows, &n, &f.until_usec), 0);
                for (size_t i = 0; i < n; i++)
                        hr_query_row_done(&rows[i]);
                free(rows);
        }
        assert_int_equal(pages, 2);
        assert_int_equal(counts[0], 5); /* the newest, and the four */
        assert_int_equal(counts[1], 1);
        hr_query_free(read);
        hr_record_free(r);
}

static void test_large_rows(void **state HR_UNUSED) /* an answer has a bound, whatever stands in a row */
{
        struct hr_record *r = start_default();
        struct hr_query_filter f = {.admin = true,
                .until_usec = HR_USEC_NEVER,
                .user = "",
                .name = "",
                .outcome = "",
                .count_max = 2000};
        struct hr_query *read = reader();
        struct hr_query_row *rows = NULL;
        static char command[4096], cgroup[] = "/g", unit[] = "";
        size_t n = 0, all = 0;

        memset(command, 'x', sizeof(command) - 1);
        for (unsigned i = 0; i < 600; i++) {
                struct hr_birth b = {.time_usec = NOW, .command = command, .cgroup = cgroup, .unit = unit};

                snprintf(b.job, sizeof(b.job), "j%u", i + 1);
                hr_record_birth(r, &b);
                end(r, b.job, HR_CAUSE_UNKNOWN, NOW + i * HR_USEC_PER_SEC);
        }
        hr_record_commit(r, NOW);
        do {
                assert_int_equal(hr_query_history(read, &f, &rows, &n, &f.until_usec), 0);
                assert_true(n * sizeof(command) <= HR_QUERY_PAGE_BYTES + sizeof(command));
                all += n;
                for (size_t i = 0; i < n; i++)
                        hr_query_row_done(&rows[i]);
                free(rows);
        } while (f.until_usec > 0);
        assert_int_equal(all, 600);
        hr_query_free(read);
        hr_record_free(r);
}

static void test_hostile(void **state HR_UNUSED)
{
        static const char *const texts[] = {
                "'; DROP TABLE jobs;--", "\xff\xfe\x80", "\033[2J\n", "%s%n", "\"", ""};
        struct hr_record *r = start_default();

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                char job[16], *copies[3] = {strdup(texts[i]), strdup(texts[i]), strdup(texts[i])};
                struct hr_birth b = {
                        .time_usec = NOW, .command = copies[0], .cgroup = copies[1], .unit = copies[2]};
                struct hr_query_story s;

                snprintf(job, sizeof(job), "j%zu", i + 1);
                memcpy(b.job, job, sizeof(b.job));
                snprintf(b.name, sizeof(b.name), "%s", texts[i]);
                snprintf(b.user, sizeof(b.user), "%s", texts[i]);
                hr_record_birth(r, &b);
                struct hr_event e = event(job, "end", NOW);
                snprintf(e.reason, sizeof(e.reason), "%s", texts[i]);
                hr_record_event(r, &e);
                hr_record_commit(r, NOW);
                read_story(job, 0, true, &s);
                EXPECT_STR(texts[i], s.row.command, texts[i]);
                EXPECT_STR(texts[i], s.row.name, texts[i]);
                EXPECT_STR(texts[i], s.row.reason, texts[i]);
                hr_query_story_done(&s);
                for (size_t k = 0; k < ELEMENTSOF(copies); k++)
                        free(copies[k]);
        }
        assert_int_equal(count(0, true, ""), ELEMENTSOF(texts));
        hr_record_free(r);
}

static void test_many_events(void **state HR_UNUSED) /* of one job: bounded, its end is kept */
{
        struct hr_record *r = start_default();
        struct hr_query_story s;

        begin(r, "j1", "busy", 1000, false, NOW);
        for (unsigned i = 0; i < 1000; i++) {
                struct hr_event e = event("j1", "trim", NOW + i);
                hr_record_event(r, &e);
        }
        end(r, "j1", HR_CAUSE_UNKNOWN, NOW + 5000);
        hr_record_commit(r, NOW);
        read_story("j1", 1000, false, &s);
        assert_in_range(s.event_count, 100, 300);
        assert_string_equal(s.events[s.event_count - 1].action, "end");
        assert_int_equal(s.row.left_out_count, 1001 - s.event_count);
        hr_query_story_done(&s);
        hr_record_free(r);
}

static void test_peaks(void **state HR_UNUSED)
{
        static struct hr_query_peak peaks[HR_QUERY_PEAKS_MAX];
        struct hr_record *r = start_default();
        struct hr_query *read;
        size_t n = 0;

        whole(r, "j1", NOW);
        begin(r, "j2", "work", 1000, false, NOW);
        end(r, "j2", HR_CAUSE_OWN_LIMIT, NOW + 1);
        begin(r, "j3", "other", 1001, false, NOW);
        end(r, "j3", HR_CAUSE_UNKNOWN, NOW + 2);
        begin(r, "j4", "work", 1000, false, NOW); /* it runs */
        hr_record_commit(r, NOW);
        read = reader();
        assert_int_equal(hr_query_peaks(read, 1000, false, "work", true, peaks, &n), 0);
        assert_int_equal(n, 2);
        assert_int_equal(peaks[0].peak_bytes, 300 * HR_MIB);
        assert_int_equal(peaks[0].is_lower_bound + peaks[1].is_lower_bound, 1);
        assert_int_equal(hr_query_peaks(read, 1000, false, "python3 a.py", false, peaks, &n), 0);
        assert_int_equal(n, 2);
        assert_int_equal(hr_query_peaks(read, 0, true, "python3 a.py", false, peaks, &n), 0);
        assert_int_equal(n, 3);
        assert_int_equal(hr_query_peaks(read, 1000, false, "python3 b.py", false, peaks, &n), 0);
        assert_int_equal(n, 0);
        hr_query_free(read);
        hr_record_free(r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_story),
                cmocka_unit_test(test_outcome),
                TEST(test_memory_error),
                TEST(test_exit),
                TEST(test_crash),
                TEST(test_damaged),
                TEST(test_version),
                TEST(test_gone),
                TEST(test_nowhere),
                TEST(test_full),
                TEST(test_bounds),
                TEST(test_pages),
                TEST(test_large_rows),
                TEST(test_hostile),
                TEST(test_many_events),
                TEST(test_peaks),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
