/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A pressure-stall trigger on /proc/pressure/memory or a cgroup's memory.pressure (accounting/psi.rst).
 * Without CAP_SYS_RESOURCE only windows that are multiples of 2 s are allowed; the first event right after
 * arming can be false, which hr_psi_read finds out by `total`.
 */

#include "sense/group.h"

struct hr_psi {
        int fd;                   /* poll for EPOLLPRI; -1: none */
        uint64_t some_total_usec; /* when it was armed */
        bool proven;              /* the first event has come: only that one is doubted */
};
#define HR_PSI_INIT      \
        {                \
                .fd = -1 \
        }

/* "some STALL WINDOW". -EOPNOTSUPP in a fixture or where the kernel has no PSI; -errno. */
int hr_psi_open(const struct hr_hierarchy *h, uint64_t stall_usec, uint64_t window_usec, struct hr_psi *ret);
void hr_psi_close(struct hr_psi *p);
/* Consumes an event; *ret_real is false for the false one after arming. */
int hr_psi_read(struct hr_psi *p, bool *ret_real);
