/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Owns the event loop of the deciding thread and the table of jobs. A wake-up is: sense, think, act, tell.
 * Makes no call that may block, and allocates only when a job comes.
 */

#include <systemd/sd-event.h>

#include "clock.h"
#include "act/freezer.h"
#include "act/helper.h"
#include "exchange.h"
#include "job.h"
#include "sense/discover.h"
#include "sense/limits.h"
#include "sense/psi.h"
#include "think/config.h"

struct hr_manager_options {
        const struct hr_hierarchy *hierarchy;
        struct hr_config *config;     /* taken over */
        struct hr_exchange *exchange; /* borrowed, outlives the manager */
        struct hr_helper *helper;     /* taken over */
        const char *config_path;      /* for a reload; NULL: none */
        const char *runtime_dir, *state_dir;
        bool user;    /* not root: no foreign process is touched */
        bool managed; /* by systemd, which releases held jobs after a stop; else we do */
        uint64_t host_total_bytes;
};

struct hr_pending {
        uint64_t token; /* 0: free */
        enum hr_helper_op op;
        struct hr_command *command; /* waits for the answer; NULL: nobody does */
        char job[HR_ID_MAX];
        uint32_t slot;
        uint64_t bytes;
        const char *hook; /* the kind of hook: "notice" "hold" "end" "checkpoint"; NULL: none */
};
#define HR_PENDING_MAX 1024

struct hr_manager {
        sd_event *event;
        sd_event_source *command_source, *helper_source, *discover_source, *psi_source, *limits_source,
                *reload_source, *freezer_source;
        struct hr_hierarchy hierarchy;
        struct hr_config *config;
        struct hr_exchange *exchange;
        struct hr_helper *helper;
        struct hr_freezer_thread *freezer;
        const char *config_path;
        char runtime_dir[512], state_dir[512];
        bool user, managed, stopping;
        uint64_t host_total_bytes;

        struct hr_job **jobs; /* by slot, jobs_max of them */
        uint32_t jobs_max, slots_used, job_count;
        struct hr_domain *domains;
        struct hr_domain *host_domain; /* NULL: the guard is off */
        struct hr_host host;
        struct hr_psi psi;
        struct hr_proc_table *table;
        struct hr_discover *discover;
        struct hr_limits *limits;       /* NULL: nobody tells of new limits */
        uint64_t next_id, next_id_kept; /* the next free number; the one that is on disk */
        uint64_t helper_retry_usec;
        int criu_result; /* of its probe: 0: it works; -EAGAIN: not known yet */
        char criu_text[240];
        bool criu_tracks;    /* and memory can be written ahead */
        uint64_t sweep_usec; /* when images are looked through for old ones */

        struct hr_pending pending[HR_PENDING_MAX];
        uint64_t last_token;
        uint64_t next_usec;                   /* when the next look is due; HR_USEC_NEVER: none is */
        uint64_t samples;                     /* for doctor */
        uint64_t allocated_bytes;             /* by the whole host, when it was read last */
        uint64_t table_usec, table_cost_usec; /* of the last pass over /proc: when, and how long it took */
};

int hr_manager_new(const struct hr_manager_options *options, struct hr_manager **ret);
struct hr_manager *hr_manager_free(struct hr_manager *m);
int hr_manager_run(struct hr_manager *m); /* until SIGTERM or SIGINT; 0 or -errno */

/* ---- between the files of the deciding thread: manager, ladder, enact, errands, shared, verbs, watch ----
 */

#define HR_JOBS_FOREACH(m, job)                                    \
        for (uint32_t slot_ = 0; slot_ < (m)->slots_used; slot_++) \
                for (struct hr_job *job = (m)->jobs[slot_]; job; job = NULL)

/* manager.c */
/* Takes a job in. leader etc. as in state; the record is made here. *ret may be NULL. */
int hr_manager_add(struct hr_manager *m, struct hr_state *state, const char *action, const char *outcome,
        struct hr_job **ret);
void hr_manager_remove(struct hr_manager *m, struct hr_job *job); /* its record too; the card is retired */
void hr_manager_schedule(struct hr_manager *m);                   /* notes when whoever is first is due */
struct hr_job *hr_manager_job(struct hr_manager *m, uint32_t slot, const char *id); /* NULL: it has ended */
uint64_t hr_manager_new_id(struct hr_manager *m);
int hr_manager_resolve_policy(
        struct hr_manager *m, struct hr_job *job, const char *name, const char *checkpoint);
int hr_manager_watch_wire(struct hr_manager *m, struct hr_job *job); /* its descriptor is new: poll it */
/* A line of the daemon's own, told by the recorder. outcome: "error" "warning" "info". */
void hr_manager_say(struct hr_manager *m, const char *outcome, const char *format, ...) HR_PRINTF(3, 4);

/* ladder.c: one wake-up of one job */
void hr_ladder_look(struct hr_manager *m, struct hr_job *job, uint64_t now_usec, bool full);
/* Somebody asks what it uses: looks at it, unless that would cost more than its looks may. */
void hr_ladder_refresh(struct hr_manager *m, struct hr_job *job, uint64_t now_usec);
/* Puts off the looks that are due at jobs which can't have filled their room: one read for all of them. */
void hr_ladder_spare(struct hr_manager *m, uint64_t now_usec);
void hr_ladder_end(struct hr_manager *m, struct hr_job *job);
/* Of a job that has ended: what its unit tells of that. */
void hr_ladder_exit(struct hr_manager *m, const struct hr_helper_answer *answer);
/* Those of its group that are new; the first time, before it was ever looked at, none is. */
void hr_ladder_count_oom_kills(struct hr_manager *m, struct hr_job *job);
void hr_ladder_tell(struct hr_manager *m, struct hr_job *job, enum hr_stage stage, enum hr_stage previous,
        const char *action, const char *outcome, const char *reason);
/* For the events alone: the stage stays, and so does the reason that status shows. */
void hr_ladder_mention(
        struct hr_manager *m, struct hr_job *job, const char *action, uint64_t took_usec, const char *reason);
void hr_ladder_note(struct hr_job *job, const char *reason); /* the reason that status shows */
void hr_ladder_hook(struct hr_manager *m, struct hr_job *job, const char *path, const char *kind,
        enum hr_stage stage, const char *reason, uint64_t timeout_usec);
void hr_ladder_publish(
        struct hr_job *job, const struct hr_sample *sample, const struct hr_decision *decision);

/* enact.c: a decision is carried out */
void hr_enact(struct hr_manager *m, struct hr_job *job, const struct hr_sample *sample,
        const struct hr_decision *d);
bool hr_enact_wants_rest_wire(const struct hr_manager *m, const struct hr_job *job, uint64_t now_usec);
void hr_enact_wire(
        struct hr_manager *m, struct hr_job *job, const struct hr_sample *sample, uint64_t now_usec);
bool hr_enact_brakes(const struct hr_job *job, uint64_t now_usec); /* its tripwire rang, and slows it down */
/* May its limit be raised for a moment. Of a tree, which the kernel does not limit, always. */
bool hr_enact_may_stand_back(const struct hr_manager *m, const struct hr_job *job);
/* One of those who were asked to trim has answered. */
void hr_enact_trimmed(struct hr_job *job, uint64_t bytes);
/* The helper has set its limit. False: it is as before, what was written meanwhile counts. */
bool hr_enact_limited(struct hr_manager *m, struct hr_job *job, uint64_t bytes, bool by_owner);
/* What became of the helper's write to memory.high. */
void hr_enact_high_written(struct hr_manager *m, struct hr_job *job, uint64_t bytes, int result);
/* Everything that is set on it is taken off; it runs, or will in a moment (job->thawing). */
void hr_enact_nothing(struct hr_manager *m, struct hr_job *job);
/* The first look at a freeze under way; the event that it is complete comes through a queue of the kernel's,
 * after 0.1 to 0.5 ms (Linux 6.18). */
#define HR_FROZEN_LOOK_USEC 100U
/* Does it stand still? The first time is told. */
void hr_enact_check_frozen(struct hr_manager *m, struct hr_job *job);
/* False for a while after a freeze has failed. */
bool hr_enact_can_freeze(const struct hr_job *job, uint64_t now_usec);
/* It was recorded as frozen: whatever was under way when that was written is carried out once more. One that
 * was braked, or was being thawed, waits for hr_enact_let_go_on: until the loop runs, nobody would watch it.
 */
void hr_enact_adopted(struct hr_manager *m, struct hr_job *job);
void hr_enact_let_go_on(struct hr_manager *m, struct hr_job *job);
/* Answers of the freezer thread. look: at the jobs that they are about, which may end them. */
void hr_enact_answers(struct hr_manager *m, bool look);
/* The job goes: nobody is left frozen behind it. */
void hr_enact_forget(struct hr_manager *m, struct hr_job *job);

/* errands.c: what the helper does for us */
int hr_errands_start(struct hr_manager *m);
size_t hr_errands_under_way(const struct hr_manager *m, enum hr_helper_op op); /* how many of them */
/* 0, or -errno and nobody will answer. job or command: who waits; hook: its kind, a literal. */
int hr_errands_ask(struct hr_manager *m, struct hr_helper_request *request, struct hr_job *job,
        struct hr_command *command, const char *hook);

/* images.c: jobs that are saved by CRIU */
void hr_images_probe(struct hr_manager *m);
void hr_images_probed(struct hr_manager *m, const struct hr_helper_answer *answer);
void hr_images_tick(struct hr_manager *m, uint64_t now_usec, uint64_t *next_usec);
/* Why CRIU can't save such a job, as far as it is known without looking at its processes; NULL: it may. */
const char *hr_images_refusal(const struct hr_manager *m, const struct hr_job *job);
/* How it is saved: as its policy says; where that is by CRIU, which can't take it, by its own code if it has
 * some. */
enum hr_method hr_images_method(const struct hr_manager *m, const struct hr_job *job);
/* If it is to be saved by CRIU, and it is time for that: could it be, as it is now? Long before it matters.
 */
void hr_images_look(struct hr_manager *m, struct hr_job *job, uint64_t now_usec);
void hr_images_looked(struct hr_manager *m, struct hr_job *job, const struct hr_helper_answer *answer);
/* The job stands still: it is saved. */
void hr_images_dump(struct hr_manager *m, struct hr_job *job);
void hr_images_dumped(struct hr_manager *m, struct hr_job *job, const struct hr_helper_answer *answer);
/* The job runs: its memory is written ahead of that. */
void hr_images_predump(struct hr_manager *m, struct hr_job *job);
void hr_images_predumped(struct hr_manager *m, struct hr_job *job, const struct hr_helper_answer *answer);
/* What was written ahead goes. */
void hr_images_forget(struct hr_manager *m, const struct hr_job *job);
/*
 * While memory is written ahead, before each look: may the job be frozen? Then CRIU does not begin before
 * *ret_pass is closed; the caller owns it, -1: it has done its part, or none was asked for. False: CRIU has
 * the job just now, and it stands still.
 */
bool hr_images_may_freeze(struct hr_manager *m, struct hr_job *job, int *ret_pass);
/* It runs on and comes to its hold level: CRIU, if it has not got hold of it yet, is ended, and the job may
 * be frozen. */
void hr_images_take_back(struct hr_manager *m, struct hr_job *job);
/* It is going to be frozen: what was not begun won't be. */
void hr_images_prevent(struct hr_manager *m, struct hr_job *job);
/* CRIU is at a job that was just adopted: nobody touches it until it is done. False: it is not. */
bool hr_images_adopt(struct hr_manager *m, struct hr_job *job);
/* What a daemon before us had written ahead of it is known again. */
void hr_images_adopt_predump(struct hr_manager *m, struct hr_job *job);
int hr_images_restore(struct hr_manager *m, struct hr_command *command);

/* consult.c: what a job's own processes are asked, and say */
/* usec: of CHECKPOINT, until when (CLOCK_REALTIME); else for how long. False: nobody will answer. */
bool hr_consult_ask(
        struct hr_manager *m, const struct hr_job *job, enum hr_talk_request request, uint64_t usec);
void hr_consult_heard(struct hr_manager *m, const struct hr_reply *reply);

/* shared.c: limits that jobs share */
void hr_shared_start(struct hr_manager *m); /* hears of limits that somebody writes above a job */
void hr_shared_attach(struct hr_manager *m, struct hr_job *job);
void hr_shared_refresh(struct hr_manager *m, struct hr_job *job); /* again, if a limit has come above it */
void hr_shared_detach(struct hr_manager *m, struct hr_job *job);
/* Processes that the kernel's OOM killer struck since a tree is watched, in the cgroup that it is in: its
 * own, or others. 0: none, or not known. */
uint64_t hr_shared_oom_kills(struct hr_manager *m, const struct hr_job *job);
void hr_shared_sample(struct hr_manager *m, struct hr_domain *d, uint64_t now_usec);

/* verbs.c: what peers ask for, and what the helper answers to that */
void hr_verbs_dispatch(struct hr_manager *m, struct hr_command *command);
void hr_verbs_placed(struct hr_manager *m, struct hr_command *command, const struct hr_helper_answer *answer);
void hr_verbs_restored(
        struct hr_manager *m, struct hr_command *command, const struct hr_helper_answer *answer);
void hr_verbs_known(struct hr_manager *m, struct hr_command *command, const struct hr_helper_answer *answer);
/* A job that is to be detached has been thawed, or could not be (r), or has ended (-ESRCH). With 0 it is gone
 * after this. */
void hr_verbs_thawed(struct hr_manager *m, struct hr_job *job, int r);
void hr_verbs_forget(struct hr_manager *m, struct hr_job *job); /* it goes: who waits for it is answered */
void hr_verbs_limited(struct hr_manager *m, struct hr_command *command, struct hr_job *job,
        const struct hr_helper_answer *answer);
void hr_verbs_mapped(struct hr_manager *m, struct hr_command *command, const struct hr_helper_answer *answer);

/* watch.c: cgroups that appear, and [match] rules */
int hr_watch_start(struct hr_manager *m);
int hr_watch_reload(struct hr_manager *m); /* the rules are new: everything is looked at again */
void hr_watch_known(struct hr_manager *m, const struct hr_helper_answer *answer); /* whose a new cgroup is */
/* The rule for a job that somebody asked us to watch, by where it was and by where it is now. NULL: none. */
const struct hr_match *hr_watch_rule(
        struct hr_manager *m, const struct hr_helper_answer *answer, const struct hr_placement *placement);
/* What the rule gives such a job: policy, unless one was asked for, limit_max, lock. */
void hr_watch_obey(const struct hr_match *match, bool policy_asked, struct hr_state *state);
/* The limit that the rule gives a job, if any. */
void hr_watch_limit(struct hr_manager *m, struct hr_job *job, const struct hr_match *match);
void hr_watch_tick(struct hr_manager *m, uint64_t now_usec, uint64_t *next_usec);
