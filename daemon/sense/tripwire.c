/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sense/tripwire.h"

/*
 * v2 (cgroup-v2.rst, memory.events.local): the descriptor is ready for EPOLLPRI once the file has changed
 * since it was last read from the start, so each event is consumed by one pread at 0. That the "high" counter
 * grew is the trip; low, max and oom events come through the same file. After rmdir the descriptor is ready
 * for ever and its read gives ENODEV.
 *
 * v1 (cgroup-v1/memory.rst, "Memory thresholds"): one eventfd for one threshold. It counts a crossing in
 * either direction, and once at rmdir; usage is compared every 128 pages or so. It does not fire if the usage
 * is above the threshold already when it is registered: hr_tripwire_arm1 looks afterwards and fires it by
 * hand, so that a crossing between the caller's sample and the registration isn't lost. Closing the last copy
 * of the eventfd takes the threshold away. Whether the cgroup is away is asked of its usage file, never
 * guessed from the event.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define EVENTS_SIZE 512

static int read_events(int fd, struct hr_memory_events *ret)
{
        char text[EVENTS_SIZE];
        size_t size;
        int r = hr_sense_read_fd(fd, text, sizeof(text), &size);

        return r != 0 ? r : hr_parse_memory_events(text, size, ret);
}

int hr_tripwire_open(const struct hr_hierarchy *h, const struct hr_group *g, struct hr_tripwire *ret)
{
        struct hr_tripwire t = HR_TRIPWIRE_INIT;
        struct hr_memory_events events;
        _close_ int fd = -1;
        int r;

        if (h->fixture)
                return -EOPNOTSUPP;
        if (g->kind == HR_KIND_CGROUP1) {
                t.poll_events = EPOLLIN;
                *ret = t;
                return 0;
        }
        fd = openat(g->dir_fd, "memory.events.local", O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
                uint64_t bytes;
                int error = errno;

                if (error == ENODEV || pread(g->current_fd, &bytes, 1, 0) < 0)
                        return HR_SENSE_GONE;
                return error == ENOENT ? -EOPNOTSUPP : -error; /* before 5.2 */
        }
        r = read_events(fd, &events);
        if (r != 0)
                return r;
        t.fd = TAKE_FD(fd);
        t.poll_events = EPOLLPRI;
        t.high_count = events.high;
        t.oom_kill_count = events.oom_kill;
        *ret = t;
        return 0;
}

void hr_tripwire_close(struct hr_tripwire *t)
{
        hr_close(t->fd);
        *t = (struct hr_tripwire)HR_TRIPWIRE_INIT;
}

/* HR_SENSE_GONE, or 0 and the usage; a value that makes no sense is 0. */
static int usage_now(const struct hr_group *g, uint64_t *ret_bytes)
{
        char text[32];
        ssize_t n = pread(g->current_fd, text, sizeof(text), 0);

        if (n < 0)
                return errno == ENODEV ? HR_SENSE_GONE : -errno;
        if (hr_parse_number(text, (size_t)n, ret_bytes) < 0 || !hr_sense_plausible(*ret_bytes))
                *ret_bytes = 0;
        return 0;
}

int hr_tripwire_arm1(struct hr_tripwire *t, const struct hr_group *g, uint64_t threshold_bytes)
{
        _close_ int event_fd = -1, control_fd = -1;
        char line[64];
        uint64_t bytes = 0;
        int n, r;

        if (g->kind != HR_KIND_CGROUP1)
                return -EOPNOTSUPP;
        event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (event_fd < 0)
                return -errno;
        control_fd = openat(g->dir_fd, "cgroup.event_control", O_WRONLY | O_CLOEXEC);
        if (control_fd < 0) {
                int error = errno;

                return usage_now(g, &bytes) == HR_SENSE_GONE ? HR_SENSE_GONE : -error;
        }
        n = snprintf(line, sizeof(line), "%d %d %" PRIu64, event_fd, g->current_fd, threshold_bytes);
        if (write(control_fd, line, (size_t)n) != n) {
                int error = errno;

                return usage_now(g, &bytes) == HR_SENSE_GONE ? HR_SENSE_GONE : -error;
        }
        r = usage_now(g, &bytes);
        if (r != 0)
                return r;
        if (bytes >= threshold_bytes && eventfd_write(event_fd, 1) < 0)
                return -errno;
        hr_close(t->fd);
        t->fd = TAKE_FD(event_fd);
        t->poll_events = EPOLLIN;
        t->armed_bytes = threshold_bytes;
        return 0;
}

static int read1(struct hr_tripwire *t, const struct hr_group *g, bool *ret_tripped)
{
        eventfd_t count = 0;
        uint64_t bytes;
        int r;

        if (t->fd >= 0 && eventfd_read(t->fd, &count) < 0 && errno != EAGAIN)
                return -errno;
        r = usage_now(g, &bytes);
        if (r != 0)
                return r;
        *ret_tripped = count > 0;
        return 0;
}

static int read2(struct hr_tripwire *t, bool *ret_tripped)
{
        struct hr_memory_events events;
        int r = read_events(t->fd, &events);

        if (r != 0)
                return r;
        *ret_tripped = events.high > t->high_count;
        t->high_count = events.high;
        t->oom_kill_count = events.oom_kill;
        return 0;
}

int hr_tripwire_read(struct hr_tripwire *t, const struct hr_group *g, bool *ret_tripped)
{
        return g->kind == HR_KIND_CGROUP1 ? read1(t, g, ret_tripped) : read2(t, ret_tripped);
}
