/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What verbs do first and last: they reach the daemon, and say why it could not be done and what to type. */

#include "call.h"
#include "options.h"

#define _call_ HR_CLEANUP(hr_call_freep)
#define _list_ HR_CLEANUP(hr_call_list_done)
#define _answer_ HR_CLEANUP(hr_call_answer_done)

static inline bool hr_ask_json(const struct hr_options *o)
{
        return hr_options_has(o, HR_OPTION_JSON);
}

int hr_ask_connect(const struct hr_options *o, struct hr_call **ret); /* 0, or said: HR_EXIT_UNREACHABLE */

/* Says why a call failed; returns its status. */
int hr_ask_failed(const struct hr_call *call, int status);
/* The same of a call about a job: where there is none of that name, with the one that was meant, or how the
 * one that had it ended. */
int hr_ask_failed_on(struct hr_call *call, int status, const char *job);

/* Room for so many rows, and at least one, to be freed; NULL: no memory, said. */
void *hr_ask_rows(size_t count, size_t row_size);

/* The daemon's sentence on what was done to a job; in JSON with what was asked for. Returns HR_EXIT_DONE. */
int hr_ask_show_deed(const struct hr_options *o, const char *verb, const char *job, const char *message);
