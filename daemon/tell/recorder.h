/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The recorder thread: takes events from the exchange and writes them to the journal (tell/journal), and to
 * the owner's login terminals where no `headroom run` shows them (tell/terminal), and keeps the record of
 * jobs (tell/record) and the page of metrics in its file (tell/metrics). It may wait for a disk or for
 * journald; nobody waits for it. The same message for a job at most once a minute; what was left out is
 * counted.
 */

#include "exchange.h"

struct hr_recorder;

struct hr_recorder_options {
        bool journal; /* there is a journal socket: else lines go to stderr */
        bool tell_terminals;
        char metrics_file[256]; /* what the exchange's page is written into; "": nowhere. Goes at the stop. */
        /* For the record of jobs; directory NULL: none is kept. Must stay as long as the recorder. */
        const char *directory, *proc_path;
        uint64_t record_age_usec, record_size_bytes;
};

int hr_recorder_start(
        struct hr_exchange *x, const struct hr_recorder_options *options, struct hr_recorder **ret);
/* Writes what is still queued (at most 2 s), ends the thread. Accepts NULL; returns NULL, or r: it waits for
 * a disk that does not answer, and uses the exchange still. */
struct hr_recorder *hr_recorder_stop(struct hr_recorder *r);
