/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What became of an ended job: `why` of one that is on record. */

#include "call.h"
#include "options.h"

#define HR_STORY_NEXT_MAX 3

/* In a person's words. */
struct hr_story_words {
        char headline[120]; /* how it ended */
        char sense[400];    /* what that means, with numbers */
        struct {
                char why[120], command[5000]; /* what to do now: what for, and what to type */
        } next[HR_STORY_NEXT_MAX];
        size_t next_count;
};
void hr_story_explain(const struct hr_call_story *story, struct hr_story_words *ret);

/* Shows it, or writes its page with --html. Returns an exit status. */
int hr_story_show(const struct hr_call_story *story, const struct hr_options *o);
