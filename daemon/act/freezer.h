/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A thread that freezes and thaws cgroups for the deciding thread, which must not wait: the write takes the
 * kernel's cgroup lock, and others hold that for tens of milliseconds (47 freezes in a row took 1.9 s while
 * systemd made and removed scopes). What is asked is done in the order in which it is asked, so a freeze and
 * a thaw of one job never overtake one another.
 *
 * All but the thread itself is for one thread, the deciding one. Nothing here waits, but hr_freezer_drain.
 */

#include "act/target.h"
#include "exchange.h"

#define HR_FREEZER_REQUESTS_MAX 1024 /* under way at once; power of two; chosen, not tuned */

struct hr_freezer_request {
        enum hr_freezer freezer; /* HR_FREEZER_CGROUP2 or HR_FREEZER_CGROUP1 */
        int control_fd;          /* the cgroup's directory; borrowed: it may be closed at once */
        bool freeze;             /* else thaw */
        uint32_t slot;           /* slot and id come back in the answer */
        char id[HR_ID_MAX];
};

struct hr_freezer_answer {
        uint32_t ticket, slot;
        char id[HR_ID_MAX];
        bool freeze;
        int result; /* 0: written (a freeze is complete later); -errno; -ECANCELED: it was not carried out */
};

struct hr_freezer_thread;

int hr_freezer_new(struct hr_freezer_thread **ret); /* takes requests; nobody carries them out yet */
int hr_freezer_start(struct hr_freezer_thread *f);  /* once */

/* *ret_ticket: what its answer will carry. -EAGAIN: too many are under way; -ESHUTDOWN: drained; -errno: no
 * descriptor. */
int hr_freezer_ask(
        struct hr_freezer_thread *f, const struct hr_freezer_request *request, uint32_t *ret_ticket);
/* True: it will not be carried out; its answer is -ECANCELED. False: it has begun, or is over. */
bool hr_freezer_cancel(struct hr_freezer_thread *f, uint32_t ticket);
bool hr_freezer_next(struct hr_freezer_thread *f, struct hr_freezer_answer *ret); /* false: none waits */
int hr_freezer_fd(const struct hr_freezer_thread *f); /* readable when an answer waits */

/* Waits until all that was asked is carried out, and ends the thread. Answers can be taken after it. */
void hr_freezer_drain(struct hr_freezer_thread *f);
/* Drains it. Returns NULL; accepts NULL. */
struct hr_freezer_thread *hr_freezer_free(struct hr_freezer_thread *f);
