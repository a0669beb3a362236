/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the record of jobs costs: record DIRECTORY [COUNT]. Fills DIRECTORY/record.db, unless it is there
 * (record-fill.py makes one sooner), with COUNT (1000000) ended jobs of 1000 users and 5000 commands over 90
 * days, each with a curve of 16 points and two events, through the recorder's own functions; then times what
 * `why`, `history --since today` and `advise` ask, the first time with a connection of its own each; then
 * what a point and an event cost the deciding thread. The highest of several.
 */

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "exchange.h"
#include "tell/interface.h"
#include "tell/query.h"
#include "tell/record.h"
#include "think/advise.h"

#define DAY (24 * 3600 * HR_USEC_PER_SEC)
#define TRIES 20

static uint64_t clock_nsec(clockid_t id)
{
        struct timespec t;

        clock_gettime(id, &t);
        return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static void say(int priority HR_UNUSED, const char *text, void *userdata HR_UNUSED)
{
        fprintf(stderr, "%s\n", text);
}

static void fill(const char *directory, uint64_t count, uint64_t now)
{
        struct hr_record_options o = {
                .directory = directory, .age_usec = HR_USEC_NEVER, .size_bytes = 64 * HR_GIB, .say = say};
        struct hr_record *r = NULL;

        if (hr_record_new(&o, &r) < 0)
                exit(EXIT_FAILURE);
        for (uint64_t i = 0; i < count; i++) {
                uint64_t start = now - 90 * DAY + 90 * DAY / count * i;
                char command[64], cgroup[] = "/user.slice/user-1000.slice/headroom.scope",
                                  unit[] = "headroom.scope";
                struct hr_birth b = {.uid = (uid_t)(1000 + i % 1000),
                        .kind = HR_KIND_CGROUP2,
                        .time_usec = start,
                        .limit_bytes = 8 * HR_GIB,
                        .command = command,
                        .cgroup = cgroup,
                        .unit = unit};
                struct hr_event e = {.time_usec = start,
                        .limit_bytes = 8 * HR_GIB,
                        .used_bytes = (1024 + i % 4096) * HR_MIB,
                        .kernel_peak_bytes = HR_BYTES_NONE,
                        .exit_status = -1,
                        .action = "watch",
                        .outcome = "started",
                        .reason = "watched as cgroup2 (in a scope of its own), limit 8 GiB, policy default"};

                snprintf(command, sizeof(command), "python3 analyse-%u.py --all", (unsigned)(i % 5000));
                snprintf(b.job, sizeof(b.job), "j%llu", (unsigned long long)(i + 1));
                snprintf(b.name, sizeof(b.name), "analyse-%u", (unsigned)(i % 5000));
                snprintf(b.user, sizeof(b.user), "user%u", (unsigned)(i % 1000));
                snprintf(b.policy, sizeof(b.policy), "default");
                memcpy(e.job, b.job, sizeof(e.job));
                hr_record_birth(r, &b);
                for (unsigned k = 0; k < 16; k++) {
                        struct hr_point p = {.time_usec = start + k * HR_USEC_PER_SEC,
                                .used_bytes = k * 64 * HR_MIB,
                                .cache_bytes = k * HR_MIB,
                                .limit_bytes = 8 * HR_GIB};
                        memcpy(p.job, b.job, sizeof(p.job));
                        hr_record_point(r, &p);
                }
                hr_record_event(r, &e);
                e.time_usec = start + 16 * HR_USEC_PER_SEC;
                snprintf(e.action, sizeof(e.action), "end");
                hr_record_event(r, &e);
                if (i % 1000 == 999)
                        (void)hr_record_commit(r, start);
        }
        hr_record_free(r);
}

enum what { WHY, TODAY, ADVISE };

static double ask(
        const char *directory, enum what what, bool admin, uint64_t count, uint64_t now, size_t *ret_rows)
{
        static struct hr_query_peak peaks[HR_QUERY_PEAKS_MAX];
        static struct hr_advise_run runs[HR_QUERY_PEAKS_MAX];
        struct hr_query_filter f = {.uid = 1500,
                .admin = admin,
                .since_usec = now - now % DAY,
                .until_usec = HR_USEC_NEVER,
                .user = "",
                .name = "",
                .outcome = "",
                .count_max = HR_BUS_HISTORY_MAX};
        struct hr_query *r = NULL;
        struct hr_query_row *rows = NULL;
        struct hr_query_story story;
        struct hr_advice advice;
        uint64_t begin, took, worst = 0;
        char job[32];

        for (unsigned i = 0; i < TRIES; i++) {
                size_t n = 0;
                int error = hr_query_new(directory, &r);

                begin = clock_nsec(CLOCK_MONOTONIC);
                snprintf(job, sizeof(job), "j%llu",
                        (unsigned long long)(501 + i * (count / TRIES / 1000 * 1000)));
                if (error == 0 && what == WHY) {
                        error = hr_query_story(r, 1500, admin, job, &story);
                        n = error == 0 ? story.event_count : 0;
                        if (error == 0)
                                hr_query_story_done(&story);
                } else if (error == 0 && what == TODAY) {
                        do { /* page by page, as the client does */
                                size_t page = 0;
                                error = hr_query_history(r, &f, &rows, &page, &f.until_usec);
                                if (error < 0)
                                        break;
                                for (size_t k = 0; k < page; k++)
                                        hr_query_row_done(&rows[k]);
                                free(TAKE_PTR(rows));
                                n += page;
                        } while (f.until_usec > 0);
                        f.until_usec = HR_USEC_NEVER;
                } else if (error == 0) {
                        error = hr_query_peaks(
                                r, 1500, admin, "python3 analyse-500.py --all", false, peaks, &n);
                        for (size_t k = 0; error == 0 && k < n; k++)
                                runs[k] =
                                        (struct hr_advise_run){peaks[k].peak_bytes, peaks[k].is_lower_bound};
                        if (error == 0)
                                error = hr_advise(runs, n, &advice);
                }
                took = clock_nsec(CLOCK_MONOTONIC) - begin;
                worst = MAX(worst, took);
                hr_query_free(r);
                if (error < 0) {
                        fprintf(stderr, "record: %s\n", strerror(-error));
                        exit(EXIT_FAILURE);
                }
                *ret_rows = n;
        }
        return (double)worst / 1e6;
}

/* Rings that are emptied meanwhile: what the deciding thread pays. */
static void cost(void)
{
        struct hr_point p = {.job = "j17"};
        struct hr_exchange *x = NULL;
        uint64_t begin, took = 0;

        if (hr_exchange_new(16, &x) < 0)
                exit(EXIT_FAILURE);
        for (unsigned round = 0; round < 1000; round++) {
                begin = clock_nsec(CLOCK_THREAD_CPUTIME_ID);
                for (unsigned i = 0; i < 1000; i++)
                        hr_exchange_point(x, &p);
                took += clock_nsec(CLOCK_THREAD_CPUTIME_ID) - begin;
                while (hr_exchange_next_point(x, &p))
                        ;
        }
        printf("a point costs the deciding thread %.0f ns\n", (double)took / 1e6);
        hr_exchange_free(x);
}

int main(int argc, char **argv)
{
        static const char *const names[] = {"why", "history --since today", "advise"};
        uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000, begin;
        uint64_t now = clock_nsec(CLOCK_REALTIME) / 1000;
        char path[600];
        struct stat st = {0};

        if (argc < 2 || count < 20000) {
                fputs("usage: record DIRECTORY [COUNT, at least 20000]\n", stderr);
                return 2;
        }
        snprintf(path, sizeof(path), "%s/" HR_RECORD_FILE, argv[1]);
        begin = clock_nsec(CLOCK_MONOTONIC);
        if (stat(path, &st) < 0)
                fill(argv[1], count, now);
        snprintf(path, sizeof(path), "%s/" HR_RECORD_FILE, argv[1]);
        (void)stat(path, &st);
        printf("%llu jobs on record, made in %.1f s (%.0f us each), %.0f MiB on disk\n",
                (unsigned long long)count, (double)(clock_nsec(CLOCK_MONOTONIC) - begin) / 1e9,
                (double)(clock_nsec(CLOCK_MONOTONIC) - begin) / 1e3 / (double)count,
                (double)st.st_size / 1048576);
        for (enum what what = WHY; what <= ADVISE; what++)
                for (int admin = 0; admin < 2; admin++) {
                        size_t rows = 0;
                        double msec = ask(argv[1], what, admin, count, now, &rows);
                        printf("%s, %s: at most %.1f ms, %zu rows\n", names[what], admin ? "root" : "a user",
                                msec, rows);
                }
        cost();
        return 0;
}
