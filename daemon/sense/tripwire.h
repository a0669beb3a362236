/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The event that says "usage crossed a threshold". v2: memory.events.local of a cgroup whose memory.high is
 * the threshold (EPOLLPRI; EPOLLERR comes with every kernfs notification and is normal). v1: an eventfd
 * registered through cgroup.event_control on memory.usage_in_bytes. memory.high itself is written by
 * act/limit.
 */

#include "sense/group.h"

struct hr_tripwire {
        int fd;                  /* to be polled for poll_events; -1: none */
        uint32_t poll_events;    /* EPOLLPRI or EPOLLIN */
        uint64_t armed_bytes;    /* HR_BYTES_NONE: not armed. v2: what act/limit wrote, kept by the caller */
        uint64_t high_count;     /* v2: the last "high" counter seen */
        uint64_t oom_kill_count; /* v2: the last "oom_kill" counter seen */
};
#define HR_TRIPWIRE_INIT                               \
        {                                              \
                .fd = -1, .armed_bytes = HR_BYTES_NONE \
        }

/* v2: opens memory.events.local. v1: nothing yet (fd stays -1 until armed). -EOPNOTSUPP in a fixture. */
int hr_tripwire_open(const struct hr_hierarchy *h, const struct hr_group *g, struct hr_tripwire *ret);
void hr_tripwire_close(struct hr_tripwire *t);

/*
 * v1: registers a threshold; t->fd becomes a new eventfd (the old one is closed, and with it the old
 * threshold), so the caller polls anew. v2: -EOPNOTSUPP.
 */
int hr_tripwire_arm1(struct hr_tripwire *t, const struct hr_group *g, uint64_t threshold_bytes);

/* Consumes the event. *ret_tripped: the threshold was crossed (v2: "high" grew; v1: the eventfd counted).
 * HR_SENSE_GONE when the cgroup is away: stop polling (a v1 eventfd also fires at rmdir). Counters that go
 * backwards are taken as they are, without a trip. */
int hr_tripwire_read(struct hr_tripwire *t, const struct hr_group *g, bool *ret_tripped);
