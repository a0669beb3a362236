/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The configuration: one table of keys drives parsing, ranges, defaults, --dump-config, the commented sample
 * and the check of the manual. Pure: takes the text of a file, never a path. inih splits it, through a line
 * reader of ours (the shipped one cuts a line at 199 bytes and takes the rest for a new key).
 */

#include <stdio.h>

#include "think/sample.h"
#include "think/units.h"

enum hr_method {
        HR_METHOD_NONE,
        HR_METHOD_SIGNAL,        /* signal:USR1, to every process of the job that has a handler */
        HR_METHOD_SIGNAL_LEADER, /* signal:B:USR1, to the leader alone (Slurm's spelling) */
        HR_METHOD_HOOK,          /* hook:/path */
        HR_METHOD_CHANNEL,       /* channel: the job's own code, over the jobs' socket */
        HR_METHOD_CRIU,          /* criu: the whole job, while it is held; nothing in it takes part */
};

struct hr_checkpoint_method {
        enum hr_method method;
        int signal;
        char path[256];
};
/* "none", "signal:USR1", "signal:B:USR1", "hook:/abs/path", "channel", "criu". -EINVAL, -ENAMETOOLONG. */
int hr_config_parse_method(const char *text, struct hr_checkpoint_method *ret);
/* Spells it back; buf of 272 bytes. */
char *hr_config_spell_method(char *buf, const struct hr_checkpoint_method *method);

/* How often a job that was ended by its checkpoint is started again, and with how much more room. */
struct hr_retry {
        uint32_t count;           /* 0: it is not */
        uint32_t factor_permille; /* its limit, times this: 1000 to 16000 */
};
#define HR_RETRY_COUNT_MAX 100

enum hr_fuse_mode { HR_FUSE_AUTO, HR_FUSE_YES, HR_FUSE_NO }; /* auto: members that are Python */

/* Where a section stands, for messages; 0 and "": built in. */
struct hr_place {
        unsigned line;
        char file[256]; /* cut off where it is longer */
};

struct hr_policy {
        struct hr_place place;
        char name[HR_NAME_MAX];
        bool observe;                             /* the whole ladder to the events, nothing done */
        uint32_t level_permyriad[HR_STAGE_COUNT]; /* notice trim checkpoint hold interrupt(on: 0, or OFF) kill
                                                   */
        uint64_t notice_time_usec;  /* notice when the limit is this near in time; 0: not by time */
        uint32_t margin_permyriad;  /* a stage is left this far below its level ... */
        uint64_t settle_usec;       /* ... held this long */
        uint64_t cooldown_usec;     /* at most one trim and one checkpoint in this time */
        uint64_t horizon_usec;      /* notice and trim speak only if the limit is nearer than this */
        uint64_t reach_usec;        /* hold acts only if the limit is nearer than this */
        uint64_t grace_usec;        /* from SIGINT to SIGTERM, and from SIGTERM to the kill */
        uint64_t hold_timeout_usec; /* 0: not to hold */
        uint64_t hold_max_usec;
        uint64_t turn_usec; /* in a shared shortage: before a second job is held for it */
        struct hr_checkpoint_method checkpoint_method;
        uint64_t checkpoint_deadline_usec;
        char checkpoint_file[256]; /* proof of a signal's checkpoint: newer, and settled */
        char criu_dir[256];        /* where its images are; "": the daemon's state directory */
        uint64_t criu_free_bytes;  /* what a dump must leave free there */
        uint64_t criu_keep_usec;   /* how long an image is kept */
        bool criu_predump;         /* write memory ahead, at the trim level, while the job runs */
        enum hr_fuse_mode fuse;
        bool elastic;             /* raise the limit before holding, up to limit_max */
        uint64_t limit_max_bytes; /* HR_BYTES_NONE: no room is given by itself */
        struct hr_retry retry;
        char on_notice[256], on_hold[256], on_end[256];
        uint64_t hook_timeout_usec;
};

struct hr_match {
        struct hr_place place; /* its policy key, or else its heading */
        char name[HR_NAME_MAX];
        char unit[128], cgroup[256], user[64], group[64]; /* globs; empty: not tested */
        char policy[HR_NAME_MAX];                         /* "observe" unless named */
        uint64_t limit_bytes;                             /* HR_BYTES_NONE: left as it is */
        uint64_t limit_max_bytes;                         /* HR_BYTES_NONE: the policy's stands */
        bool lock;
};

#define HR_POLICIES_MAX 64
#define HR_MATCHES_MAX 256

struct hr_config {
        struct hr_place daemon_place, host_place;
        uint64_t host_total_bytes; /* what percentages refer to; 0: not known, they are refused */
        /* [daemon] */
        uint32_t jobs_max;
        uint64_t poll_min_usec, poll_max_usec;
        uint64_t fill_rate_bytes_per_second; /* the fastest that one job is expected to fill memory */
        bool lock_memory;
        bool tell_terminals;
        uint32_t events_kept;
        char metrics_file[256]; /* "": none is written */
        uint64_t metrics_interval_usec;
        uint32_t metrics_jobs;      /* series of single jobs, at most */
        uint64_t record_age_usec;   /* HR_USEC_NEVER: whatever its age */
        uint64_t record_size_bytes; /* of the record of ended jobs */
        char criu[256];             /* the program */
        /* [host] */
        bool host_guard;
        uint64_t host_reserve_bytes; /* the host counts as full when only this is left */
        uint64_t limit_cap_bytes;    /* owners may set limits up to this; root any */

        struct hr_policy *policies; /* in file order after the built-in default, batch, observe; owned */
        size_t policy_count;
        struct hr_match *matches;
        size_t match_count;
};

/* Built-in defaults and policies. host_total_bytes: what percentages refer to. 0 or -ENOMEM. */
int hr_config_new(uint64_t host_total_bytes, struct hr_config **ret);
struct hr_config *hr_config_free(struct hr_config *c); /* returns NULL; accepts NULL */
static inline void hr_config_freep(struct hr_config **c)
{
        hr_config_free(*c);
}

enum hr_problem_level {
        HR_PROBLEM_WARNING, /* unknown or repeated key or section: an error in --check-config, else ignored */
        HR_PROBLEM_ERROR,   /* the file can't be used */
};
struct hr_problem {
        enum hr_problem_level level;
        const char *file;
        unsigned line; /* from 1 */
        const char
                *text; /* one line: key, value and the accepted range; what came from the file is escaped */
};
typedef void (*hr_problem_fn)(const struct hr_problem *problem, void *userdata);

/*
 * Reads one file's text on top of *c (call it for headroom.conf, then for each drop-in). Every problem is
 * reported. CRLF, a missing last newline and a UTF-8 mark at the start are accepted; a NUL, a line of more
 * than HR_CONFIG_LINE_MAX bytes, a value outside its range and a match without a test are errors. Returns the
 * number of errors and warnings found (0: clean), or -ENOMEM. After an error *c is half changed: throw it
 * away.
 */
#define HR_CONFIG_LINE_MAX 190
int hr_config_parse(struct hr_config *c, const char *file, const char *text, size_t size,
        hr_problem_fn report, void *userdata, unsigned *ret_errors);

/* After the last file: do matches name policies that exist, are the levels in order. As above. */
int hr_config_check(const struct hr_config *c, hr_problem_fn report, void *userdata);

const struct hr_policy *hr_config_policy(const struct hr_config *c, const char *name); /* NULL: none */

/*
 * The first match in file order that fits; NULL: none. Any text may be "" or NULL where it is not known: a
 * test on it doesn't fit then, not even "*". In cgroup a wildcard doesn't match a slash; a backslash is a
 * backslash.
 */
const struct hr_match *hr_config_match(
        const struct hr_config *c, const char *unit, const char *cgroup, const char *user, const char *group);

/* Writes the whole configuration as a file that hr_config_parse takes back to the same values. Calls
 * write(line) for each line, newline included. One policy alone with hr_config_dump_policy. */
typedef void (*hr_line_fn)(const char *line, void *userdata);
void hr_config_dump(const struct hr_config *c, hr_line_fn write, void *userdata);
void hr_config_dump_policy(const struct hr_policy *p, hr_line_fn write, void *userdata);
/* The commented sample: every key with its default, range and a line of explanation. */
void hr_config_sample(hr_line_fn write, void *userdata);
/* Each key of the table, for the check of the manual: write("policy.notice\n"). */
void hr_config_keys(hr_line_fn write, void *userdata);
/*
 * Sets one key of a policy in a running configuration ("hold_timeout", "5min"). On error *p is as it was and
 * text gets one line, escaped: -ENOENT (no such key), -ERANGE (also: the levels would cross), -EINVAL,
 * -EUCLEAN (no unit), -ENODATA (a percentage of what isn't known), -EOPNOTSUPP, -ENAMETOOLONG, -EILSEQ (a
 * control character, or a ; that would begin a comment in a file).
 */
int hr_config_set_policy_key(struct hr_policy *p, const char *key, const char *value,
        uint64_t host_total_bytes, char *text, size_t text_size);
