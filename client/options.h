/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The command line: options by one table, sizes, and the words that a mistyped one may have meant. */

#include "think/macros.h"

enum hr_option {
        HR_OPTION_SOCKET,
        HR_OPTION_JSON,
        HR_OPTION_HELP,
        HR_OPTION_VERSION,
        HR_OPTION_NAME,
        HR_OPTION_LIMIT,
        HR_OPTION_POLICY,
        HR_OPTION_CHECKPOINT,
        HR_OPTION_FUSE,
        HR_OPTION_DETACH,
        HR_OPTION_UNWATCHED,
        HR_OPTION_FOLLOW,
        HR_OPTION_NO_PYTHON_HOOK,
        HR_OPTION_OPENMETRICS,
        HR_OPTION_OUTPUT,
        HR_OPTION_INTERVAL,
        HR_OPTION_SINCE,
        HR_OPTION_UNTIL,
        HR_OPTION_USER,
        HR_OPTION_OUTCOME,
        HR_OPTION_HTML,
        HR_OPTION_RM,
        HR_OPTION_COUNT,
};
#define HR_OPTION_BIT(option) (1U << (option))
#define HR_OPTIONS_GLOBAL                                                                                  \
        (HR_OPTION_BIT(HR_OPTION_SOCKET) | HR_OPTION_BIT(HR_OPTION_JSON) | HR_OPTION_BIT(HR_OPTION_HELP) | \
                HR_OPTION_BIT(HR_OPTION_VERSION))

struct hr_option_info {
        const char *name;     /* "limit", without its dashes */
        const char *argument; /* "SIZE"; NULL: takes none */
        const char *help;
};
extern const struct hr_option_info hr_options_table[HR_OPTION_COUNT];

/* What was given. All zero is the empty one; every pointer is borrowed from argv. */
struct hr_options {
        uint32_t given;                     /* bits of enum hr_option */
        const char *value[HR_OPTION_COUNT]; /* the last one given, else NULL */
        bool has_limit;
        uint64_t limit_bytes; /* HR_BYTES_NONE: max */
        char **arguments;     /* what is no option; NULL-ended */
        const char
                *resumes; /* run: the record of the saved job that goes on by it, to be removed; NULL: none */
        int argument_count;
        unsigned retried; /* run: how often it was started again by itself */
};

static inline bool hr_options_has(const struct hr_options *o, enum hr_option option)
{
        return o->given & HR_OPTION_BIT(option);
}

/*
 * Takes the options out of arguments (NULL-ended, rewritten in place), on top of what *o holds already.
 * `allowed`: bits of those that `verb` (for messages; NULL: none yet) knows. stop_at_first: the first word
 * that is no option ends them (run's command has options of its own). "--" always ends them, and is dropped.
 * Returns 0 or HR_EXIT_USAGE.
 */
int hr_options_parse(
        struct hr_options *o, char **arguments, uint32_t allowed, bool stop_at_first, const char *verb);

/* A size from the command line, a percentage being of the host's memory. What was accepted is echoed in full
 * on stderr, named by `what` ("limit"), and more than the host has is remarked on. Returns 0 or
 * HR_EXIT_USAGE. */
int hr_options_parse_size(const char *what, const char *text, uint64_t *ret_bytes);
/* The same without the echo: for who says it in a line of its own. */
int hr_options_read_size(const char *what, const char *text, uint64_t *ret_bytes);

uint64_t hr_options_host_bytes(void); /* the host's memory; 0: not known */

/* Words as a shell takes them back, for "did you mean": quoted where needed, cut where there are very many.
 * To be freed; NULL for want of memory. */
char *hr_options_spell(char *const *words);
