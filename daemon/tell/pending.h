/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The calls that wait for the deciding thread's answer, and who follows which job. Bus thread only. */

#include "tell/peer.h"

struct hr_pending;

int hr_pending_new(
        struct hr_exchange *x, const struct hr_view *view, struct hr_peers *peers, struct hr_pending **ret);
struct hr_pending *hr_pending_free(struct hr_pending *q); /* returns NULL; accepts NULL */

/* A command with what is known of its caller and, unless NULL, the job. */
int hr_pending_command(const struct hr_caller *caller, enum hr_verb verb, const struct hr_card *card,
        struct hr_command **ret);

/* Sends the command and lets the call wait. Takes *command, or sets e and leaves it. */
int hr_pending_submit(struct hr_pending *q, struct hr_peer *p, sd_bus_message *call,
        struct hr_command **command, sd_bus_error *e);

/* Replies to call with the status of the job of this id, or for "" of all that the caller may see. */
int hr_pending_status(
        struct hr_pending *q, const struct hr_caller *caller, const char *id, sd_bus_message *call);

void hr_pending_answer(struct hr_pending *q);                       /* sends the answers that have come */
void hr_pending_forget(struct hr_pending *q, struct hr_peer *peer); /* the peer goes */
