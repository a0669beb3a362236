/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Answers what peers ask of the record of jobs, from a thread of its own that may wait for the disk: the bus
 * thread, which also brings owners' answers and jobs' checkpoints, does not. Used by the bus thread.
 */

#include <systemd/sd-bus.h>

#include "tell/peer.h"

struct hr_archive;

/* peers: who asks, with the loop; must outlive it. directory: where the record is; copied. */
int hr_archive_new(struct hr_peers *peers, const char *directory, struct hr_archive **ret);
/* Ends the thread; calls that wait are not answered. Returns NULL; accepts NULL. */
struct hr_archive *hr_archive_free(struct hr_archive *a);

enum hr_archive_question {
        HR_ARCHIVE_STORY,   /* Record: word */
        HR_ARCHIVE_HISTORY, /* History: since, until, user, name, outcome, count */
        HR_ARCHIVE_ADVICE,  /* Advise: name, command */
};

struct hr_archive_request {
        enum hr_archive_question question;
        uid_t uid;
        bool admin;
        const char *word, *name, *command, *user, *outcome; /* copied; NULL: "" */
        uint64_t since_usec, until_usec;
        uint32_t count_max;
};
/* Takes a reference of the call, and answers it. -EBUSY: too many wait already; -ENOMEM. */
int hr_archive_ask(struct hr_archive *a, const struct hr_archive_request *request, sd_bus_message *call);
