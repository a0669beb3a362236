/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The client's side of the bus (daemon/tell/interface.h): the one owner of sd-bus in the client. One typed
 * function for each method. They return 0, or an enum hr_exit that is not 0: then hr_call_message says why,
 * in a sentence.
 */

#include <systemd/sd-event.h>

#include "think/macros.h"

struct hr_call;

/*
 * Connects to the daemon: at `socket`, else at $HEADROOM_SOCKET, else the system's, else the user's. Returns
 * 0 or HR_EXIT_UNREACHABLE; *ret_tried then says which were tried and why each failed (to be freed, may be
 * NULL for want of memory). ret_tried may be NULL. wait_usec bounds each greeting (never above
 * HR_CALL_WAIT_USEC), and how long it is tried again where a daemon closes the connection at once.
 */
int hr_call_connect(const char *socket, uint64_t wait_usec, struct hr_call **ret, char **ret_tried);
struct hr_call *hr_call_free(struct hr_call *call); /* returns NULL; accepts NULL */
static inline void hr_call_freep(struct hr_call **call)
{
        hr_call_free(*call);
}
/* What to type so that one of the sockets that were tried is served; to be freed. Negative: no memory. */
int hr_call_describe_start(const char *tried, char **ret);
/* Says on stderr which sockets were tried, what to type so that one of them is served, and `more` ("" or
 * ",\nor ..."). Returns HR_EXIT_UNREACHABLE. */
int hr_call_say_unreachable(const char *tried, const char *more);
#define HR_CALL_WAIT_USEC (5 * HR_USEC_PER_SEC) /* chosen, not tuned */

void hr_call_set_wait(
        struct hr_call *call, uint64_t usec); /* how long each answer is waited for; 30 s at first */
const char *hr_call_message(const struct hr_call *call); /* why the last call failed */
const char *hr_call_socket(const struct hr_call *call);  /* the path that answered */

/* Is the daemon on the system bus, under its name? 1, 0, or -errno: there is no such bus to ask. */
int hr_call_on_system_bus(void);

/* ---- what comes back: strings belong to the list, and go with it ---- */

struct hr_call_job {
        const char *job, *name, *user, *kind, *cgroup, *unit, *stage, *limit_source, *policy, *reason;
        uint64_t uid, leader_pid;
        bool frozen, locked;
        uint64_t used_bytes, cache_bytes, limit_bytes, own_limit_bytes, peak_bytes;
        uint64_t growth_bytes_per_second, left_min_usec, left_max_usec, deadline_usec;
        uint64_t headroom_bytes;  /* limit less used; HR_BYTES_NONE: no limit */
        uint32_t ratio_permyriad; /* used of the limit */
};

struct hr_call_event {
        const char *job, *name, *stage, *previous_stage, *reason, *action, *outcome, *hint;
        uint64_t time_usec, uid, used_bytes, limit_bytes, deadline_usec;
        int64_t exit_status; /* -1: not known */
        int64_t took_usec;   /* -1: it is of none */
};

struct hr_call_check { /* one line of doctor */
        const char *item, *state, *detail, *remedy;
};

struct hr_call_holder { /* "", 0: not known */
        const char *name, *file;
        uint64_t pid, bytes, count, line;
};

struct hr_call_part { /* pid 0: of several; bytes HR_BYTES_NONE: not known */
        const char *kind, *name;
        uint64_t pid, bytes;
};

struct hr_call_record { /* of an ended job; signal 0: none; exit_status -1: not known */
        const char *job, *name, *command, *user, *kind, *cgroup, *unit, *policy, *peak_source, *outcome,
                *reason, *held_by, *stage;
        uint64_t uid, start_usec, end_usec, limit_bytes, peak_bytes, signal, left_out_count;
        int64_t exit_status;
        bool censored;   /* peak_bytes is a lower bound */
        bool fused;      /* Headroom's fuse was armed at its end */
        bool said_error; /* one of its processes said that it ends by a MemoryError */
};

struct hr_call_point {
        uint64_t time_usec, used_bytes, cache_bytes, limit_bytes;
};

struct hr_call_deed {
        const char *stage, *previous_stage, *action, *outcome, *reason;
        uint64_t time_usec, used_bytes, limit_bytes;
};

struct hr_call_list { /* owns what the rows point into; all zero is empty */
        void *reply;
        union {
                void *rows;
                struct hr_call_job *jobs;
                struct hr_call_check *checks;
                struct hr_call_event *events;
                struct hr_call_holder *holders;
                struct hr_call_part *parts;
                struct hr_call_record *records;
                struct hr_call_point *points;
                struct hr_call_deed *deeds;
        };
        size_t count;
};
void hr_call_list_done(struct hr_call_list *list);

struct hr_call_why {
        struct hr_call_list holders;
        uint64_t garbage_bytes, malloc_bytes; /* HR_BYTES_NONE: not known */
        uint64_t asked_count, answered_count;
        const char *sentence; /* the list's */
};
void hr_call_why_done(struct hr_call_why *why);

/* What became of an ended job. */
struct hr_call_story {
        void *reply; /* what all point into */
        struct hr_call_record record;
        struct hr_call_list points, deeds;
};
void hr_call_story_done(struct hr_call_story *story);

struct hr_call_filter { /* "": any */
        const char *user, *name, *outcome;
        uint64_t since_usec, until_usec;
};

struct hr_call_advice {
        void *reply;
        uint64_t limit_bytes, p95_bytes, most_bytes, run_count, lower_bound_count;
        bool is_lower_bound, by_name;
        const char *sure; /* the reply's */
};
void hr_call_advice_done(struct hr_call_advice *advice);

/* An answer of one or two words; owned strings, "" where there is none. All zero is empty. */
struct hr_call_answer {
        char *job, *kind, *message;
        uint64_t bytes;
};
void hr_call_answer_done(struct hr_call_answer *answer);

/* ---- methods ---- */

struct hr_call_run {
        pid_t pid;
        const char *name, *policy, *checkpoint, *command; /* "" where not given */
        bool has_limit, fuse, detached, reaps;            /* reaps: see daemon/tell/interface.h */
        uint64_t limit_bytes;
        uint32_t retried; /* how often it was started again by itself */
};
/* job, kind, message; bytes: how often the policy starts it again by itself from here */
int hr_call_run(struct hr_call *call, const struct hr_call_run *run, struct hr_call_answer *ret);
int hr_call_attach(struct hr_call *call, const char *target, const char *name, bool has_limit,
        uint64_t limit_bytes, const char *policy, struct hr_call_answer *ret);       /* job, message */
int hr_call_status(struct hr_call *call, const char *job, struct hr_call_list *ret); /* jobs; "" for all */
int hr_call_totals(struct hr_call *call, uint64_t *ret_jobs, uint64_t *ret_used_bytes, uint64_t *ret_held);
int hr_call_set_limit(
        struct hr_call *call, const char *job, uint64_t limit_bytes, struct hr_call_answer *ret);
int hr_call_set_policy(struct hr_call *call, const char *job, const char *policy, struct hr_call_answer *ret);
int hr_call_act(struct hr_call *call, const char *verb, const char *job, struct hr_call_answer *ret);
/* A job that CRIU saved goes on from its image as a new one. Takes as long as reading the image does. */
int hr_call_restore(struct hr_call *call, const char *id, bool has_limit, uint64_t limit_bytes, bool removes,
        struct hr_call_answer *ret);
int hr_call_resume(struct hr_call *call, const char *job, bool has_limit, uint64_t limit_bytes,
        struct hr_call_answer *ret);
int hr_call_policies(
        struct hr_call *call, const char *name, struct hr_call_answer *ret); /* the text as message */
/* The text as message. */
int hr_call_metrics(struct hr_call *call, bool openmetrics, struct hr_call_answer *ret);
int hr_call_doctor(struct hr_call *call, struct hr_call_list *ret); /* checks */
int hr_call_events(struct hr_call *call, struct hr_call_list *ret); /* all that are kept */

/* Of ended jobs. HR_EXIT_NO_JOB: none is on record. */
int hr_call_story(struct hr_call *call, const char *job, struct hr_call_story *ret);
/* Pages of records, the newest first: while one is read, the daemon looks for the next. *ret_count of them
 * are to be done with, also after a failure; *ret_more: there would be more than `room`. */
int hr_call_history(struct hr_call *call, const struct hr_call_filter *filter, struct hr_call_list *pages,
        size_t room, size_t *ret_count, bool *ret_more);
#define HR_CALL_HISTORY_PAGE 2000 /* records in each, about */
int hr_call_advise(struct hr_call *call, const char *name, const char *command, struct hr_call_advice *ret);
/* exit_status -1: not known; signal 0: none. */
int hr_call_ended(struct hr_call *call, const char *job, int exit_status, int signal);

/* What holds a job's memory, by its own processes' word. */
int hr_call_why(struct hr_call *call, const char *job, struct hr_call_why *ret);
/* What it is, by the kernel's word: parts. */
int hr_call_breakdown(struct hr_call *call, const char *job, struct hr_call_list *ret);

/* ---- events as they happen ---- */

typedef void (*hr_call_event_fn)(const struct hr_call_event *event, void *userdata);
typedef void (*hr_call_lost_fn)(void *userdata); /* the daemon is gone: free the call later, not in here */

/*
 * From now on events come to on_event from the loop: of all jobs, or with `job` as its `run`, which tells the
 * daemon that they are shown. First come those kept that are newer than since_usec, at most the last kept_max
 * of them (0: none), then each new one, none twice and none left out. Once for each connection.
 */
int hr_call_follow(struct hr_call *call, sd_event *loop, const char *job, uint64_t since_usec,
        size_t kept_max, hr_call_event_fn on_event, hr_call_lost_fn on_lost, void *userdata);
/* Hands over those that have arrived, without waiting. */
void hr_call_drain(struct hr_call *call);
