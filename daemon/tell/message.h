/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What goes out on the bus: one typed function for each reply and signal of tell/interface.h. They send; 0 or
 * more is success. Text that is not plain ASCII is escaped on the way: a D-Bus string must be UTF-8 and a
 * terminal must survive it.
 */

#include <systemd/sd-bus.h>

#include "tell/channel.h"
#include "tell/query.h"
#include "think/advise.h"

/* `text` itself where it is printable ASCII, else an escaped copy in *owned (free it). NULL: no memory. */
const char *hr_message_text(const char *text, char **owned);

int hr_message_reply_empty(sd_bus_message *call);
int hr_message_reply_run(
        sd_bus_message *call, uint64_t retries, const char *job, const char *kind, const char *message);
int hr_message_reply_attach(sd_bus_message *call, const char *job, const char *message);
int hr_message_reply_limit(sd_bus_message *call, uint64_t limit_bytes, const char *message);
int hr_message_reply_text(
        sd_bus_message *call, const char *text); /* a message, or policies with their newlines */
int hr_message_reply_totals(
        sd_bus_message *call, uint32_t jobs_count, uint64_t used_bytes, uint32_t held_count);
int hr_message_reply_doctor(
        sd_bus_message *call, const char *lines); /* "item\tstate\tdetail\tremedy\n" ... */
int hr_message_reply_why(sd_bus_message *call, const struct hr_channel_answer *a, const char *sentence);
int hr_message_reply_breakdown(sd_bus_message *call, const struct hr_breakdown *b);
int hr_message_reply_story(sd_bus_message *call, const struct hr_query_story *story);
/* next_usec: where the next page begins; 0: that was the last. */
int hr_message_reply_history(
        sd_bus_message *call, const struct hr_query_row *rows, size_t count, uint64_t next_usec);
int hr_message_reply_advice(sd_bus_message *call, const struct hr_advice *a, bool by_name);
int hr_message_reply_error(sd_bus_message *call, int error, const char *text); /* error: -errno */

/* Long answers, filled one by one: begin, append, send. */
int hr_message_begin_status(sd_bus_message *call, sd_bus_message **ret);
int hr_message_append_status(sd_bus_message *reply, const struct hr_card *card);
int hr_message_begin_events(sd_bus_message *call, sd_bus_message **ret);
int hr_message_append_event(sd_bus_message *message, const struct hr_event *event, bool as_struct);
int hr_message_send_array(sd_bus_message *reply);

/* destination: NULL on a peer-to-peer connection. */
int hr_message_signal_event(sd_bus *bus, const char *destination, const struct hr_event *event);

/* The D-Bus error that stands for a negative errno; text may be "". Returns error. */
int hr_message_set_error(sd_bus_error *e, int error, const char *text);
