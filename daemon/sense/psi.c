/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sense/psi.h"

/*
 * One trigger per descriptor (accounting/psi.rst, "Monitoring for pressure thresholds"): opened, armed by one
 * write that includes the NUL, polled for EPOLLPRI, gone with the descriptor. A second write gives EBUSY, so
 * to change it is to open anew.
 *
 * The kernel may start a new trigger's window from zero and then takes all stall time since boot for growth:
 * the first event can be false. It is judged by whether the total has moved since it was armed; later events
 * are taken as they are, since the total in the file is brought up to date only every 2 s and a true event
 * may be ahead of it.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#define PRESSURE_SIZE 512

static int read_total(int fd, uint64_t *ret_usec)
{
        struct hr_pressure pressure;
        char text[PRESSURE_SIZE];
        size_t size;
        int r = hr_sense_read_fd(fd, text, sizeof(text), &size);

        if (r == 0)
                r = hr_parse_pressure(text, size, &pressure);
        if (r != 0)
                return r;
        *ret_usec = pressure.some_total_usec;
        return 0;
}

int hr_psi_open(const struct hr_hierarchy *h, uint64_t stall_usec, uint64_t window_usec, struct hr_psi *ret)
{
        char path[sizeof(h->proc) + 32], line[64];
        struct hr_psi p = HR_PSI_INIT;
        _close_ int fd = -1;
        int n, r;

        if (h->fixture)
                return -EOPNOTSUPP;
        n = snprintf(path, sizeof(path), "%s/pressure/memory", h->proc);
        if (n < 0 || (size_t)n >= sizeof(path))
                return -ENAMETOOLONG;
        fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? -EOPNOTSUPP : -errno;
        r = read_total(fd, &p.some_total_usec); /* -EOPNOTSUPP here with psi=0 */
        if (r != 0)
                return r < 0 ? r : -EOPNOTSUPP;
        n = snprintf(line, sizeof(line), "some %" PRIu64 " %" PRIu64, stall_usec, window_usec);
        if (write(fd, line, (size_t)n + 1) < 0)
                return -errno;
        p.fd = TAKE_FD(fd);
        *ret = p;
        return 0;
}

void hr_psi_close(struct hr_psi *p)
{
        hr_close(p->fd);
        *p = (struct hr_psi)HR_PSI_INIT;
}

int hr_psi_read(struct hr_psi *p, bool *ret_real)
{
        uint64_t total;
        int r = read_total(p->fd, &total);

        if (r != 0)
                return r;
        *ret_real = p->proven || total > p->some_total_usec;
        p->proven = true;
        p->some_total_usec = total;
        return 0;
}
