/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One watched job: its handles, its history, what the ladder knows of it, and what is set on it. Its
 * functions sense and act; the manager decides when.
 */

#include <systemd/sd-event.h>

#include "act/target.h"
#include "domain.h"
#include "exchange.h"
#include "sense/tripwire.h"
#include "state.h"
#include "think/policy.h"

#define HR_JOB_DOMAINS_MAX (HR_CANDIDATES_MAX - 1)

struct hr_manager;

struct hr_job {
        struct hr_manager *manager;
        const char *proc_path; /* both borrowed */
        struct hr_proc_table *table;
        struct hr_card *card; /* what others read; owned by the exchange once published */
        char id[HR_ID_MAX];
        uid_t uid;
        gid_t gid;

        /* how it is watched */
        enum hr_kind kind;
        struct hr_group group; /* cgroup kinds */
        struct hr_tripwire wire;
        struct hr_tree *tree; /* process kind; owned */
        uint64_t leader_start_ticks;
        int leader_pidfd;          /* -1 also where events_fd tells more */
        int control_fd, events_fd; /* of the cgroup that freezes: its directory, its cgroup.events */
        enum hr_freezer freezer;
        char *control; /* its path; owned, may be NULL */
        char *why;     /* why this kind; owned */
        bool owned;    /* our own group: knobs may be written, and it is removed after the end */
        bool matched;
        bool observe_only; /* the way in */
        bool can_reclaim;
        pid_t *stopped; /* HR_FREEZER_STOP; owned */
        size_t stopped_count;
        sd_event_source *wire_source, *leader_source, *events_source;
        struct hr_domain *domains[HR_JOB_DOMAINS_MAX];
        size_t domain_count;

        /* what it is judged by */
        const struct hr_policy *policy; /* the configuration's, or own_policy */
        struct hr_policy *own_policy;   /* a copy with what `run` asked for; owned, NULL: none */
        bool fuse_from_start;
        uint64_t limit_max_bytes;  /* of its [match]: in place of the policy's; HR_BYTES_NONE: none */
        struct hr_host *host;      /* borrowed: its swap is a job's too */
        uint64_t own_limit_bytes;  /* as set: memory.max, or what the daemon enforces on a tree */
        uint64_t close_up_usec;    /* its limit, which stands back, is not tried again before */
        uint64_t overtaking_bytes; /* what we wrote while the helper was at its limit; 0: nothing */
        bool outran;               /* it came to stand above its limit, which stood back, and that was told */
        uint64_t granted_from_bytes; /* its limit before a reserve was granted for its handlers; 0: none is */
        uint64_t swap_max_bytes;
        uint64_t limits_usec; /* when they were read */

        /* what was seen */
        struct hr_history history;
        struct hr_policy_state state;
        uint64_t sampled_usec, populated_usec;
        uint64_t born_usec;  /* since when it is watched, CLOCK_MONOTONIC */
        uint64_t point_usec; /* when its next point is due, for its record */
        bool unseen;         /* it ended while no daemon ran */
        uint64_t moved_usec; /* when usage moved last */
        uint64_t used_bytes, cache_bytes, current_bytes, swap_bytes, peak_bytes;
        bool shows_growth;           /* its card tells of a pace, which must not outlive it */
        bool small;                  /* the last sample was the small one: nothing has moved */
        uint64_t full_current_bytes; /* memory.current when memory.stat was read last */
        uint64_t threshold_bytes;    /* of used: below it nothing is decided */
        uint64_t reach_bytes;        /* of used: here a limit that it shares may be at its next threshold */
        uint64_t tripped_usec;       /* when the tripwire rang last */
        uint64_t next_usec;          /* next look, CLOCK_MONOTONIC */
        uint64_t wall_usec;       /* next look only because it could have filled half of its room by then, */
        uint64_t rest_usec;       /* and for any other reason */
        uint64_t credit_bytes;    /* that half; 0: it is looked at in any case */
        uint64_t allocated_bytes; /* what the host had allocated by then, or a little before */
        uint64_t cost_usec;       /* of the last sample of a tree */
        uint64_t high_usec;       /* v1: when a threshold was asked for last */
        uint64_t rest_wire_usec;  /* when a tripwire for its rest was armed last, or that was tried */
        bool silenced;            /* the tripwire fired for cache: quiet until the timer */
        bool wire_due;            /* it fills too fast for a tripwire; armed when it has calmed down */
        bool high_busy, trim_busy, limit_busy, pss_busy; /* the helper is at it */
        uint64_t pss_bytes, pss_bound_bytes; /* last PSS, and the bound when it was read; 0: none */
        uint64_t pss_since_usec;             /* a PSS is awaited before anything is judged; 0: not */

        /* what came in */
        enum hr_ask ask;
        enum hr_save save;
        char save_text[200];
        enum hr_method save_method; /* of the last save: the policy's, or in its place channel */
        uint64_t criu_look_usec;    /* when it was looked at whether CRIU could take it; 0: never */
        char criu_refusal[160];     /* why it could not; "": it could, or that is not known */
        enum hr_save predump;       /* memory that is written ahead by CRIU */
        uint64_t seized_usec;       /* since when CRIU has it standing still; 0: it has not */
        bool seized_told;
        bool predump_adopted; /* by a helper before ours: nobody will answer */
        char predump_text[200];
        uint64_t save_since_usec; /* CLOCK_REALTIME, for checkpoint_file */
        uint64_t save_size_bytes; /* of checkpoint_file, when it was looked at last */
        bool file_busy;
        bool trim_done;
        uint64_t trimmed_bytes;
        uint32_t can_trim_count, can_save_count; /* its processes that answer on the jobs' socket */
        uint64_t trim_until_usec; /* they are asked to trim, and answer by then; 0: they are not */
        char saved_path[256];     /* where the last checkpoint is, as it said; "": not known */
        bool has_run;             /* a `headroom run` shows its events */
        bool ended_by_owner;      /* interrupted or killed by his word: it is not started again */

        /* what is set on it */
        struct hr_armed armed;
        int record_fd;
        bool frozen;                 /* complete, by the kernel's word; false while a thaw is under way */
        bool thawing;                /* armed.frozen still stands, until the thaw has been carried out */
        bool goes_on;                /* adopted while it was braked: thawed at the first look */
        uint32_t freeze_busy;        /* freezes and thaws under way, in the freezer thread */
        uint32_t freeze_ticket;      /* of the last of them */
        bool freeze_fresh;           /* that is a freeze, of a job that ran: without it, it runs */
        uint64_t freeze_usec;        /* when it was asked for; 0: it is complete and told, or there is none */
        uint64_t freeze_failed_usec; /* when one failed last; 0: never */
        struct hr_command *limiting; /* a limit asked for while the helper sets another; NULL: none */
        struct hr_command *leaving;  /* detach, answered once it is thawed; NULL: none */

        char *outer;              /* of a tree: the cgroup that it is in; owned; NULL: none, or not known */
        uint64_t outer_oom_kills; /* that the kernel counted there before it was watched */
        uint64_t oom_kills_seen;  /* of its group's, since before it was watched */
        uint64_t oom_kills;
};

/* Everything closed and freed but the card. */
struct hr_job *hr_job_free(struct hr_job *job);

struct hr_job_options {
        const struct hr_state *state; /* what it is; armed is taken over as it stands */
        const struct hr_hierarchy *hierarchy;
        struct hr_proc_table *table;
        struct hr_host *host;
};
/* Opens what is needed to watch it. 0, HR_SENSE_GONE, -errno. Events are added by the manager. */
int hr_job_open(const struct hr_job_options *options, struct hr_job **ret);

void hr_job_target(struct hr_job *job, struct hr_target *ret);
/* What is recorded of it. */
void hr_job_state(const struct hr_job *job, struct hr_state *ret);

/*
 * Reads the job. full: all counters; else one pread, and the rest only where usage is above the next
 * threshold or has moved. Returns 0, HR_SENSE_GONE when nobody is left, -errno; -EAGAIN: what a tree uses is
 * not known before its PSS is, the last values stay.
 */
int hr_job_sense(struct hr_job *job, uint64_t now_usec, bool full);
/* The sample that the ladder judges: the own limit first, then what is shared. */
void hr_job_sample(struct hr_job *job, uint64_t now_usec, struct hr_sample *ret);

/* By our word: it stands still, or is about to. */
static inline bool hr_job_is_held(const struct hr_job *job)
{
        return job->armed.frozen && !job->thawing;
}

/* Its limit in the kernel is higher than own_limit_bytes, for its freeze. */
static inline bool hr_job_stands_back(const struct hr_job *job)
{
        return job->armed.stood_back_bytes != HR_BYTES_NONE;
}

/* From which use on it is braked while there is no daemon; HR_BYTES_NONE: never. */
uint64_t hr_job_guard(const struct hr_job *job);
/* Records what is about to be set, then nothing else: -errno means it must not be set. */
int hr_job_arm(struct hr_job *job);
