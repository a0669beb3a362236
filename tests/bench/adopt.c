/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Writes the records that a daemon leaves of jobs of its own, for the next one to take over: a thousand jobs
 * are then watched as `headroom run` has them watched (their knobs are the daemon's), without a thousand
 * scopes of systemd, which take minutes in an emulated guest.
 *
 *   adopt RUNTIME_DIR GROUP COUNT     GROUP/job-1 ... GROUP/job-COUNT, below the unified hierarchy's mount
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "state.h"

int main(int argc, char **argv)
{
        char path[600];

        if (argc != 4) {
                fprintf(stderr, "adopt RUNTIME_DIR GROUP COUNT\n");
                return 2;
        }
        snprintf(path, sizeof(path), "%s/jobs", argv[1]);
        if ((mkdir(argv[1], 0755) < 0 && errno != EEXIST) || (mkdir(path, 0700) < 0 && errno != EEXIST)) {
                fprintf(stderr, "adopt: %s: %s\n", path, strerror(errno));
                return EXIT_FAILURE;
        }
        for (unsigned i = 1; i <= (unsigned)strtoul(argv[3], NULL, 10); i++) {
                struct hr_state s = {
                        .armed = HR_ARMED_NOTHING,
                        .policy = "default",
                        .user = "root",
                        .limit_max_bytes = HR_BYTES_NONE,
                        .own_limit_bytes = HR_BYTES_NONE,
                        .placement = {.kind = HR_KIND_CGROUP2,
                                .freezer = HR_FREEZER_CGROUP2,
                                .why = "of the bench",
                                .owned = true},
                };
                _close_ int fd = -1;
                snprintf(s.id, sizeof(s.id), "j%u", i);
                snprintf(s.name, sizeof(s.name), "job-%u", i);
                snprintf(s.placement.cgroup, sizeof(s.placement.cgroup), "%s/job-%u", argv[2], i);
                snprintf(s.placement.control, sizeof(s.placement.control), "%s/job-%u", argv[2], i);
                int r = hr_state_create(argv[1], &s, &fd);
                if (r < 0) {
                        fprintf(stderr, "adopt: %s: %s\n", s.id, strerror(-r));
                        return EXIT_FAILURE;
                }
        }
        return EXIT_SUCCESS;
}
