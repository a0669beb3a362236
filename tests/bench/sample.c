/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What one look at one cgroup job below its next threshold costs, against a bare pread of the same
 * descriptor.
 *
 *   sample GROUP CONTROL          measures; prints "RATIO LOOK_NSEC PREAD_NSEC"
 *   sample GROUP CONTROL LOOKS    looks so often and does nothing else: for strace, which counts the calls
 *
 * GROUP is a path below the memory hierarchy's mount, CONTROL the cgroup below the unified one whose
 * cgroup.events tells the end, "" for none. The daemon's own objects do the looking: hr_job_sense, the
 * judgement that nothing has changed, and the plan for the next look. Both are timed in turns of some
 * milliseconds, and the ratio is that of each turn's pair, its median printed: what else runs here hits both.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "manager.h"

#define TURNS 301
#define LOOKS 2000        /* in a turn */
#define APART_USEC 10000U /* between two looks, in the job's time */

static struct hr_manager manager;
static uint64_t job_usec = HR_USEC_PER_SEC;

static int fail(const char *what, int r)
{
        fprintf(stderr, "sample: %s: %s\n", what, r < 0 ? strerror(-r) : "it is gone");
        return EXIT_FAILURE;
}

static uint64_t now_nsec(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static int open_job(const char *group, const char *control, struct hr_job **ret)
{
        struct hr_state state = {.id = "j1", .name = "bench", .policy = "default", .armed = HR_ARMED_NOTHING};
        struct hr_job_options options = {
                .state = &state, .hierarchy = &manager.hierarchy, .host = &manager.host};
        struct hr_job *job;
        int r = hr_hierarchy_find("", &manager.hierarchy);

        manager.host = (struct hr_host)HR_HOST_INIT;

        if (r == 0)
                r = hr_config_new(0, &manager.config);
        if (r < 0)
                return r;
        state.placement.owned = true; /* as `run` makes it */
        state.placement.kind = manager.hierarchy.memory_version == 2 ? HR_KIND_CGROUP2 : HR_KIND_CGROUP1;
        state.placement.freezer = control[0] ? HR_FREEZER_CGROUP2 : HR_FREEZER_NONE;
        snprintf(state.placement.cgroup, sizeof(state.placement.cgroup), "%s", group);
        snprintf(state.placement.control, sizeof(state.placement.control), "%s", control);
        r = hr_job_open(&options, &job);
        if (r != 0)
                return r;
        job->manager = &manager;
        job->policy = hr_config_policy(manager.config, "default");
        r = hr_job_sense(job, job_usec, true);
        if (r != 0)
                return r;
        job->threshold_bytes = job->own_limit_bytes; /* it is far below */
        *ret = job;
        return 0;
}

static void look(struct hr_job *job, unsigned count)
{
        for (unsigned i = 0; i < count; i++) {
                job_usec += APART_USEC;
                hr_ladder_look(&manager, job, job_usec, false);
        }
}

static void read_bare(const struct hr_job *job, unsigned count)
{
        char text[32];

        for (unsigned i = 0; i < count; i++)
                if (pread(job->group.current_fd, text, sizeof(text), 0) <= 0)
                        abort(); /* its process lives as long as we do */
}

static int by_size(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static double median(double *values)
{
        qsort(values, TURNS, sizeof(*values), by_size);
        return values[TURNS / 2];
}

int main(int argc, char **argv)
{
        static double ratio[TURNS], looked[TURNS], bare[TURNS];
        struct hr_job *job;

        if (argc < 3) {
                fprintf(stderr, "sample GROUP CONTROL [LOOKS]\n");
                return 2;
        }
        int r = open_job(argv[1], argv[2], &job);
        if (r != 0)
                return fail(argv[1], r);
        if (argc > 3) {
                look(job, (unsigned)strtoul(argv[3], NULL, 10));
                return EXIT_SUCCESS;
        }
        for (size_t i = 0; i < TURNS; i++) {
                uint64_t start = now_nsec();
                look(job, LOOKS);
                uint64_t middle = now_nsec();
                read_bare(job, LOOKS);
                uint64_t end = now_nsec();

                looked[i] = (double)(middle - start) / LOOKS;
                bare[i] = (double)(end - middle) / LOOKS;
                ratio[i] = looked[i] / bare[i];
        }
        if (!job->small)
                return fail("the looks were not the small ones", -EINVAL);
        printf("%.2f %.0f %.0f\n", median(ratio), median(looked), median(bare));
        return EXIT_SUCCESS;
}
