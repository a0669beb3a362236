/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Between the jobs' own processes (tell/channel) and the daemon: says which job a peer belongs to, passes the
 * deciding thread's questions on and the answers back, and asks what holds the memory, for the owner's eyes
 * alone. Bus thread only.
 */

#include <systemd/sd-bus.h>

#include "tell/channel.h"
#include "tell/resolve.h"

struct hr_liaison;

struct hr_liaison_options {
        struct hr_exchange *exchange;
        const struct hr_view *view; /* borrowed */
        sd_event *event;
        const char *path; /* of the jobs' socket */
        bool user;
        /* An event of the bus thread's own, for subscribers that may see the job. */
        void (*tell)(void *userdata, const struct hr_event *event);
        void *userdata;
};

/* As hr_channel_new. */
int hr_liaison_new(const struct hr_liaison_options *options, struct hr_liaison **ret);
struct hr_liaison *hr_liaison_free(struct hr_liaison *l); /* returns NULL; accepts NULL */

void hr_liaison_ask(struct hr_liaison *l);                                 /* the questions that have come */
void hr_liaison_event(struct hr_liaison *l, const struct hr_event *event); /* what happened to a job */
uint64_t hr_liaison_take_refused(struct hr_liaison *l);                    /* as hr_channel_take_refused */

/* Answers `Why` of a job, now or when its processes have answered. Takes a reference of the call. -EBUSY: too
 * many wait already; -errno. */
int hr_liaison_why(struct hr_liaison *l, const struct hr_card *card, sd_bus_message *call);
