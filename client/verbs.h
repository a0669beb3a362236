/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The table of verbs: it drives dispatch, --help and `headroom VERB --help`. */

#include "options.h"

struct hr_verb_info {
        const char *name;
        const char *usage;   /* what follows the name and the options */
        const char *help;    /* one line */
        const char *example; /* a whole command */
        uint32_t options;    /* bits of enum hr_option, besides the global ones */
        int least, most;     /* how many arguments; most -1: any number */
        bool has_command;    /* the first argument ends the options: the rest is a command of its own */
        int (*handler)(const struct hr_verb_info *verb, const struct hr_options *o); /* an exit status */
};

const struct hr_verb_info *hr_verbs_find(const char *name); /* NULL: none */
const struct hr_verb_info *hr_verbs_default(void);          /* what a bare `headroom` does */
/* Says that words[0] is no verb, and what may be meant by all of them (NULL-ended). HR_EXIT_USAGE. */
int hr_verbs_unknown(char *const *words);
/* The same of an option that `verb` does not know, but others do; verb NULL: it stands before any. `words`:
 * the option, and what follows it. */
int hr_verbs_other_option(enum hr_option option, char *const *words, const char *verb);
int hr_verbs_check(const struct hr_verb_info *verb,
        const struct hr_options *o);                 /* number of arguments: 0 or HR_EXIT_USAGE */
int hr_verbs_check_name(const char *name);           /* of a new job; NULL: none given. 0 or HR_EXIT_USAGE */
void hr_verbs_help(const struct hr_verb_info *verb); /* on stdout; NULL: of the whole client */
