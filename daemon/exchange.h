/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where the deciding thread meets the others, without either waiting for the other.
 *
 *   cards     one for each watched job: what never changes (owned strings) and a status that the deciding
 *             thread rewrites under a sequence lock. The bus thread reads them at any time.
 *   events    what happened, deciding thread -> bus thread and -> recorder thread: two bounded rings;
 *             when one is full the event is dropped and counted there.
 *   births    a job that comes, points  how much it uses, deciding thread -> recorder thread, for the record
 *             of jobs (tell/record); dropped when full.
 *   lines     what the bus thread has to say of itself, told  what peers say of a job, bus thread -> recorder
 *             thread.
 *   commands  what peers ask for, bus thread -> deciding thread, and back with the answer filled in.
 *   questions what a job's own processes are to be asked, deciding thread -> bus thread.
 *   replies   what they said, bus thread -> deciding thread.
 *   counts    what has happened since the start, counted where it happens; any thread reads them.
 *   page      a text that the recorder thread is to write into a file, bus thread -> recorder thread.
 *
 * Each ring has one writer and one reader and takes no lock. The deciding thread never frees what another
 * thread allocated: answered commands and retired cards go back to the bus thread, which frees them.
 */

#include <stdatomic.h>
#include <sys/types.h>

#include "think/sample.h"
#include "think/talk.h"
#include "think/units.h"

#define HR_ID_MAX 16      /* "j17" with its NUL */
#define HR_REASON_MAX 240 /* one line, valid UTF-8, without control characters */

/* ---- cards ---- */

struct hr_status {
        enum hr_stage stage;
        bool frozen;
        uint64_t used_bytes, cache_bytes, peak_bytes;
        uint64_t limit_bytes;     /* the binding one, HR_BYTES_NONE: none */
        uint64_t own_limit_bytes; /* the job's own */
        uint64_t headroom_bytes;  /* below the binding limit, whoever fills it; HR_BYTES_NONE: no limit */
        uint64_t growth_bytes_per_second;
        uint64_t left_min_usec, left_max_usec; /* HR_USEC_NEVER: never */
        uint64_t deadline_usec; /* CLOCK_REALTIME when the stage that waits ends; 0: it does not wait */
        char limit_source[96];  /* "own", "host", "none" or the ancestor's path, its tail if longer */
        char policy[HR_NAME_MAX];
        char reason[HR_REASON_MAX];
};

struct hr_card {
        uint32_t slot; /* index in the table */
        char id[HR_ID_MAX];
        enum hr_kind kind;
        uid_t uid;     /* owner */
        pid_t leader;  /* 0: none known */
        bool locked;   /* match with lock = yes: the owner can't detach it nor change its policy */
        bool attached; /* adopted, not started by run: the owner's right is looked at again at each verb */
        char *name, *user, *cgroup,
                *unit; /* owned; "" where there is none; as they are: escape at the exit */

        atomic_uint sequence;    /* odd: being written */
        struct hr_status status; /* through hr_card_read and hr_card_write only */
};

struct hr_card *hr_card_free(struct hr_card *card); /* returns NULL; accepts NULL */
void hr_card_write(
        struct hr_card *card, const struct hr_status *status);        /* deciding thread only; never waits */
void hr_card_read(const struct hr_card *card, struct hr_status *ret); /* any thread; retries while written */

/* ---- events ---- */

/* What the daemon itself knows of an end. */
enum hr_cause {
        HR_CAUSE_UNKNOWN,     /* by itself, or by somebody: only its exit status tells */
        HR_CAUSE_INTERRUPTED, /* by us, so that it can save itself */
        HR_CAUSE_KILLED,      /* by us, at once */
        HR_CAUSE_OWN_LIMIT,   /* the kernel, for the job's own limit */
        HR_CAUSE_HOST,        /* the kernel, for a limit above it or the host */
        HR_CAUSE_UNSEEN,      /* while no daemon ran */
        HR_CAUSE_BELOW, /* a tree, below whose cgroup the kernel killed something: if it got SIGKILL, it */
        /* What the record makes of UNKNOWN, by the word of the job's processes: */
        HR_CAUSE_MEMORY_ERROR, /* by itself: one said that it ends by a MemoryError */
        HR_CAUSE_ITSELF,       /* by itself: its first process would have said so, and did not */
        HR_CAUSE_COUNT,
};

struct hr_event {
        uint64_t time_usec; /* CLOCK_REALTIME */
        char job[HR_ID_MAX];
        char name[HR_NAME_MAX];
        uid_t uid; /* the job's owner */
        enum hr_stage stage, previous_stage;
        uint64_t used_bytes, limit_bytes;
        uint64_t deadline_usec; /* CLOCK_REALTIME, 0: none */
        char action[24];        /* "watch" "notice" "trim" "checkpoint" "freeze" "thaw" "fuse" "interrupt"
                                   "terminate" "frozen" "kill" "limit" "hook" "end" "exit" "lost" ... */
        char outcome[32]; /* "done" "started" "asked" "proven" "failed" "observed" "passed over" "refused" ...
                           */
        char reason[HR_REASON_MAX]; /* what happened, with numbers */
        char hint[120];             /* the exact command to answer with, or "" */
        bool has_run; /* a `headroom run` follows this job: the recorder needs not seek the owner's terminals
                       */
        uint64_t took_usec;         /* of "frozen": from the decision until it stood still; else 0 */
        int32_t exit_status;        /* of "end" and "exit" where known, else -1 */
        int32_t exit_signal;        /* of the same: > 0: it ended by that */
        enum hr_cause cause;        /* of "end" */
        bool fused;                 /* of "end": allocations failed above a limit of their own */
        uint64_t kernel_peak_bytes; /* of "end": as the kernel counts, cache included; HR_BYTES_NONE: not
                                       known */
};

/* ---- for the record of jobs ---- */

/* A job that comes. */
struct hr_birth {
        char job[HR_ID_MAX], name[HR_NAME_MAX], user[HR_NAME_MAX], policy[HR_NAME_MAX];
        uid_t uid;
        pid_t leader; /* 0: none known */
        enum hr_kind kind;
        bool adopted; /* it was there before this daemon */
        uint64_t time_usec, limit_bytes;
        char *command, *cgroup, *unit; /* owned; command NULL: not known */
};
struct hr_birth *hr_birth_free(struct hr_birth *b); /* returns NULL; accepts NULL */

/* What it uses at a moment (CLOCK_REALTIME). */
struct hr_point {
        char job[HR_ID_MAX];
        uint64_t time_usec, used_bytes, cache_bytes, limit_bytes;
};

/* What is said of a job by its owner's programs. */
enum hr_told_kind {
        HR_TOLD_EXIT,         /* its first process ended: exit_status, or signal */
        HR_TOLD_HOLDER,       /* what held the memory: text */
        HR_TOLD_MEMORY_ERROR, /* one of its processes ends by an uncaught MemoryError: text, where, or "" */
        HR_TOLD_TELLS,        /* its first process will say that, where it comes to it */
};
struct hr_told {
        char job[HR_ID_MAX];
        enum hr_told_kind kind;
        uid_t uid;                   /* who says so: heard of his own jobs alone, */
        bool admin;                  /* or of any */
        int32_t exit_status, signal; /* exit_status -1: by the signal */
        char text[HR_REASON_MAX];
};

/* ---- commands ---- */

enum hr_verb {
        HR_VERB_RUN,    /* pid waits to be exec'ed; place it and watch it */
        HR_VERB_ATTACH, /* target_kind and cgroup, or pid */
        HR_VERB_DETACH,
        HR_VERB_LIMIT,      /* limit_bytes */
        HR_VERB_POLICY_JOB, /* policy: another policy for this job */
        HR_VERB_TRIM,
        HR_VERB_CHECKPOINT,
        HR_VERB_HOLD,
        HR_VERB_RESUME, /* limit_bytes or HR_BYTES_NONE with has_limit false */
        HR_VERB_INTERRUPT,
        HR_VERB_KILL,
        HR_VERB_POLICIES,   /* text of all policies (policy == "") or one, in text */
        HR_VERB_POLICY_SET, /* root: policy, key and value in text as "key=value" */
        HR_VERB_DOCTOR,     /* lines "item\tstate\tdetail\tremedy\n" in text */
        HR_VERB_FOLLOW,     /* a run has come back: has_run of this job on (limit_bytes 1) or off (0) */
        HR_VERB_RESTORE,   /* a saved image of `job`, which runs no more, becomes a new one: limit; removes */
        HR_VERB_BREAKDOWN, /* what its processes' memory is, in breakdown */
        HR_VERB_LOOK,      /* jobs at rest are looked at, so that their cards are of this moment */
        HR_VERB_COUNT,
};

struct hr_command {
        /* Set by the bus thread. */
        void *cookie; /* its own business */
        enum hr_verb verb;
        uid_t uid; /* the caller, effective */
        gid_t gid;
        pid_t pid;     /* RUN: the waiting child; ATTACH: the leader, or 0 */
        uint32_t slot; /* of the job that it is about; UINT32_MAX: none */
        char job[HR_ID_MAX];
        char name[HR_NAME_MAX], policy[HR_NAME_MAX];
        char checkpoint[272];
        bool has_limit, fuse, detached, removes;
        uint64_t limit_bytes;
        uint32_t retried; /* RUN: how often it was started again by itself */
        pid_t reaper;  /* RUN: the subreaper of its process tree; 0: there is none that is the job's alone */
        char *cgroup;  /* ATTACH: path below the memory hierarchy's mount, or NULL; owned by the command */
        char *unit;    /* ATTACH: unit name or NULL; owned */
        char *request; /* POLICY_SET: "key=value"; owned, or NULL */
        char *peer_command; /* RUN: for the record: the command line, escaped; owned, or NULL */

        /* Filled in by the deciding thread. */
        int result; /* 0 or -errno: -ENOENT no such job, -EPERM, -EINVAL, -EBUSY, -ENOSPC too many jobs, ...
                     */
        char answer_job[HR_ID_MAX];
        uint64_t answer_bytes;
        uint32_t answer_retries; /* RUN: how often it may be started again by itself from here */
        char message[512];       /* one sentence for the person who asked, also (and above all) on failure */
        char *text;              /* malloc()ed long answer or NULL; owned by the command */
        struct hr_breakdown *breakdown; /* BREAKDOWN: the same */
};
struct hr_command *hr_command_new(void);
struct hr_command *hr_command_free(struct hr_command *c); /* returns NULL; accepts NULL */

/* ---- a job's own processes ---- */

/* What they are to be asked, over the jobs' socket. */
struct hr_question {
        char job[HR_ID_MAX];
        enum hr_talk_request request;
        bool leave;          /* none: its connections are closed; they may come back */
        bool grant;          /* CHECKPOINT: the one that is under way may take until then */
        pid_t leader;        /* CHECKPOINT: whose path is preferred */
        uint64_t until_usec; /* CHECKPOINT: CLOCK_REALTIME; else how long an answer is waited for */
};

enum hr_reply_kind { HR_REPLY_PEERS, HR_REPLY_TRIMMED, HR_REPLY_SAVED, HR_REPLY_NEED, HR_REPLY_FAILED };

struct hr_reply {
        char job[HR_ID_MAX];
        enum hr_reply_kind kind;
        uint32_t can_trim_count, can_save_count; /* PEERS: how many answer to it, plain ones included */
        uint32_t asked_count, answered_count;    /* TRIMMED */
        uint64_t bytes;                          /* TRIMMED: by their own word */
        uint64_t need_usec;                      /* NEED: more, from now */
        char text[256];                          /* SAVED: the path, as said; FAILED: why, escaped */
};

/* ---- counts ---- */

enum hr_figure {
        HR_FIGURE_OOM_KILLS,      /* processes of watched jobs that the kernel's OOM killer struck */
        HR_FIGURE_BAD_VALUES,     /* values and reads of sensors that made no sense or failed */
        HR_FIGURE_DROPPED_BUS,    /* events for which the bus thread had no room */
        HR_FIGURE_DROPPED_RECORD, /* events and lines for which the recorder thread had none */
        HR_FIGURE_WAKEUPS,        /* of the deciding thread's timer */
        HR_FIGURE_COUNT,
};

#define HR_DEEDS_MAX 96 /* chosen, not tuned: the code knows some fifty */

/* What was done, or not: an event's action and outcome, which are words of the code, never of a user. */
struct hr_deed {
        char action[24], outcome[32];
        uint64_t count;
};

struct hr_counts {
        uint64_t figures[HR_FIGURE_COUNT];
        uint64_t entries[2][HR_STAGE_COUNT];    /* of a stage; [1]: only observed, nothing was done */
        struct hr_deed deeds[HR_DEEDS_MAX + 1]; /* the last: all for which there is no room, "other" */
        size_t deed_count;
};

/* ---- the meeting place ---- */

struct hr_line {
        int priority; /* of syslog(3) */
        char text[400];
};

struct hr_exchange;

int hr_exchange_new(uint32_t jobs_max, struct hr_exchange **ret);
struct hr_exchange *hr_exchange_free(struct hr_exchange *x); /* after all threads have ended */

/* Deciding thread. None of these waits, allocates or fails but as said. */
int hr_exchange_publish(struct hr_exchange *x,
        struct hr_card *card); /* takes card; sets its slot; -ENOSPC: full, not taken */
void hr_exchange_retire(
        struct hr_exchange *x, struct hr_card *card); /* takes it out; the bus thread frees it */
void hr_exchange_event(struct hr_exchange *x,
        const struct hr_event *event); /* to both rings; dropped and counted when full */
void hr_exchange_count(struct hr_exchange *x, enum hr_figure figure, uint64_t by);
struct hr_command *hr_exchange_next_command(
        struct hr_exchange *x); /* NULL: none; now the deciding thread's */
void hr_exchange_answer(struct hr_exchange *x, struct hr_command *c); /* gives it back, filled in */
/* Takes the birth; without room it is freed, and that job leaves no record. */
void hr_exchange_birth(struct hr_exchange *x, struct hr_birth *birth);
/* A copy of 48 bytes; wakes nobody before the ring is half full. */
void hr_exchange_point(struct hr_exchange *x, const struct hr_point *point);
/* Full: false, and nobody will answer. */
bool hr_exchange_question(struct hr_exchange *x, const struct hr_question *question);
/* After the commands: those clear the eventfd. */
bool hr_exchange_next_reply(struct hr_exchange *x, struct hr_reply *ret);
int hr_exchange_command_fd(const struct hr_exchange *x); /* eventfd, readable when a command or reply waits */

/* Bus thread. */
struct hr_card *hr_exchange_card(
        struct hr_exchange *x, uint32_t slot); /* NULL: empty; valid until the next hr_exchange_reap */
uint32_t hr_exchange_slots(const struct hr_exchange *x); /* slots ever used: iterate below this */
int hr_exchange_command(struct hr_exchange *x, struct hr_command *c); /* takes c; -EAGAIN: full, not taken */
struct hr_command *hr_exchange_next_answer(struct hr_exchange *x);    /* NULL: none; now the bus thread's */
bool hr_exchange_next_bus_event(struct hr_exchange *x, struct hr_event *ret);
bool hr_exchange_next_question(struct hr_exchange *x, struct hr_question *ret);
bool hr_exchange_reply(struct hr_exchange *x, const struct hr_reply *reply); /* false: full, not taken */
void hr_exchange_line(struct hr_exchange *x, int priority, const char *format, ...)
        HR_PRINTF(3, 4); /* for the journal; dropped and counted when full */
void hr_exchange_told(struct hr_exchange *x, const struct hr_told *told); /* dropped and counted when full */
void hr_exchange_reap(struct hr_exchange *x); /* frees retired cards: only between two requests */
int hr_exchange_bus_fd(
        const struct hr_exchange *x); /* eventfd, readable when answers, events or retired cards wait */

/* Takes the page (malloc()ed, with its newlines), in place of one that was not fetched. */
void hr_exchange_put_page(struct hr_exchange *x, char *page);

/* Any thread. */
void hr_exchange_read_counts(const struct hr_exchange *x, struct hr_counts *ret);

/* Recorder thread. */
char *hr_exchange_take_page(struct hr_exchange *x); /* NULL: none; to be freed */
bool hr_exchange_next_record(struct hr_exchange *x, struct hr_event *ret);
bool hr_exchange_next_line(struct hr_exchange *x, struct hr_line *ret);
struct hr_birth *hr_exchange_next_birth(struct hr_exchange *x); /* NULL: none; now the recorder's */
bool hr_exchange_next_point(struct hr_exchange *x, struct hr_point *ret);
bool hr_exchange_next_told(struct hr_exchange *x, struct hr_told *ret);
int hr_exchange_record_fd(const struct hr_exchange *x);
/* How many were dropped since the last call. */
uint64_t hr_exchange_take_dropped(struct hr_exchange *x, bool recorder);
