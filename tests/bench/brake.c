/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The simplest brake that there can be, to compare the daemon's with: reads one usage file without a pause,
 * and freezes as soon as it stands at a level.
 *
 *   brake USAGE_FILE CONTROL_DIRECTORY LEVEL_BYTES
 *
 * Prints the usage in bytes once the group is frozen, the nanoseconds from the read that saw the level until
 * then, and the pace of the job in bytes a second, over the last tenth before the level.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"

static int fail(const char *what)
{
        fprintf(stderr, "brake: %s: %s\n", what, strerror(errno));
        return EXIT_FAILURE;
}

static bool read_at(int fd, char *text, size_t size)
{
        ssize_t n = pread(fd, text, size - 1, 0);

        text[n > 0 ? n : 0] = '\0';
        return n > 0;
}

static uint64_t now_nsec(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
        char text[256];

        if (argc != 4) {
                fprintf(stderr, "brake USAGE_FILE CONTROL_DIRECTORY LEVEL_BYTES\n");
                return 2;
        }
        uint64_t level = strtoull(argv[3], NULL, 10);
        _close_ int usage = open(argv[1], O_RDONLY | O_CLOEXEC);
        _close_ int control = open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
        _close_ int freeze = openat(control, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
        _close_ int events = openat(control, "cgroup.events", O_RDONLY | O_CLOEXEC);
        if (usage < 0 || freeze < 0 || events < 0)
                return fail(usage < 0 ? argv[1] : argv[2]);
        uint64_t used, first_nsec = 0, first_bytes = 0;
        do {
                if (!read_at(usage, text, sizeof(text)))
                        return fail(argv[1]);
                used = strtoull(text, NULL, 10);
                if (first_nsec == 0 && used >= level - level / 10) {
                        first_nsec = now_nsec();
                        first_bytes = used;
                }
        } while (used < level);
        uint64_t seen_nsec = now_nsec();
        if (write(freeze, "1", 1) != 1)
                return fail("cgroup.freeze");
        do {
                if (!read_at(events, text, sizeof(text)))
                        return fail("cgroup.events");
        } while (!strstr(text, "frozen 1"));
        uint64_t frozen_nsec = now_nsec();
        if (!read_at(usage, text, sizeof(text)))
                return fail(argv[1]);
        double pace = seen_nsec > first_nsec
                              ? (double)(used - first_bytes) * 1e9 / (double)(seen_nsec - first_nsec)
                              : 0;
        printf("%llu %llu %.0f\n", strtoull(text, NULL, 10), (unsigned long long)(frozen_nsec - seen_nsec),
                pace);
        return EXIT_SUCCESS;
}
