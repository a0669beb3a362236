/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The ladder: what is to be done with one job, from what was measured of it and what its policy says. Pure:
 * time and text come in as arguments, so a week of a job's life replays in milliseconds.
 *
 * The rule above all others: a job that fits is left in peace. A level alone proves nothing; the stages past
 * trim need growth as well, seen after the level was crossed, and the limit within reach at that pace.
 */

#include "think/config.h"
#include "think/sample.h"

/* What the deciding thread does to the job, in this order. */
enum {
        HR_ACT_FREEZE = 1 << 0,
        HR_ACT_RAISE = 1 << 1, /* the limit, to decision.raise_bytes (elastic) */
        HR_ACT_TRIM = 1 << 2,  /* ask for garbage, reclaim what is cold */
        HR_ACT_SAVE = 1 << 3,  /* start the checkpoint method */
        HR_ACT_FUSE = 1 << 4,  /* RLIMIT_DATA just above what is in use */
        HR_ACT_UNFUSE = 1 << 5,
        HR_ACT_INTERRUPT = 1 << 6, /* SIGINT, queued before it thaws */
        HR_ACT_TERMINATE = 1 << 7, /* SIGTERM */
        HR_ACT_THAW = 1 << 8,
        HR_ACT_KILL = 1 << 9,
        HR_ACT_STAND_BACK = 1 << 10, /* the limit in the kernel, until the job is well below it or held */
        HR_ACT_PREDUMP = 1 << 11,    /* write its memory ahead of the dump */
        HR_ACT_FORGET = 1 << 12,     /* what was written ahead goes */
};

/* What the owner asked for, or what came true, since the step before. */
enum hr_ask {
        HR_ASK_NOTHING,
        HR_ASK_TRIM,
        HR_ASK_CHECKPOINT,
        HR_ASK_HOLD,
        HR_ASK_RESUME, /* without more room */
        HR_ASK_ROOM,   /* the limit was raised */
        HR_ASK_INTERRUPT,
        HR_ASK_KILL,
};

enum hr_save {
        HR_SAVE_NONE, /* none is under way */
        HR_SAVE_RUNNING,
        HR_SAVE_PROVEN, /* an answer, an exit status, a file that is newer and has settled */
        HR_SAVE_ASKED,  /* asked for, no proof came */
        HR_SAVE_FAILED,
};

struct hr_means {
        bool observe_only; /* the way in, or a match without a policy: nothing may be done to it */
        bool can_freeze;
        bool can_trim;
        bool trim_is_asked;  /* its own processes are asked, and have not answered */
        bool trims;          /* that, or the kernel reclaims */
        bool can_stand_back; /* its own processes can be asked, and its limit may stand back meanwhile */
        bool can_save;       /* a method, and what it needs */
        bool saves_held;     /* the method takes a job that stands still (CRIU), and can't be stopped */
        bool in_place;       /* it is channel, in place of the policy's */
        bool can_predump;    /* and of one that runs it can write the memory ahead */
        bool can_fuse;
        bool braked; /* crossing the wall throttles the job (v2's memory.high): there is time to look twice */
        bool soft_limit;     /* its own limit is kept by us alone (a process tree): passing it ends nothing */
        uint64_t room_bytes; /* elastic: the own limit may be raised to this; 0: it may not */
        const char *trim_by; /* what a trim does, for the note; never NULL where can_trim is true */
        const char *no_save; /* why not, for the note; never NULL where can_save is false */
        const char *no_freeze;
};

struct hr_policy_input {
        uint64_t now_usec; /* CLOCK_MONOTONIC */
        const struct hr_policy *policy;
        const struct hr_sample *sample;
        struct hr_means means;
        bool frozen;         /* by us, and complete */
        bool signal_pending; /* a signal waits for the held job */
        bool yield;          /* its turn is over: another would have to be held for the same shortage */
        bool shortage;       /* the host or a shared ancestor is short: hold_timeout runs */
        enum hr_ask ask;
        enum hr_save save;
        char save_text[200]; /* of the outcome: "exit status 1", a path ... */
        enum hr_save predump;
        char predump_text[200];
        bool trim_done;
        uint64_t trimmed_bytes;
};

/* What the ladder waits for. */
enum hr_phase {
        HR_PHASE_WATCH,     /* runs free: ok, notice, trim */
        HR_PHASE_BRAKE,     /* being frozen, to look, and then to save or to interrupt */
        HR_PHASE_SAVE,      /* runs, and a checkpoint is under way */
        HR_PHASE_HELD,      /* frozen; the owner is asked */
        HR_PHASE_INTERRUPT, /* SIGINT was sent */
        HR_PHASE_TERMINATE, /* SIGTERM was sent */
        HR_PHASE_KILL,
        HR_PHASE_COUNT,
};

/* A save that is done to a job while it is held, and what comes after it. */
enum hr_held_save {
        HR_HELD_SAVE_NONE,
        HR_HELD_SAVE_WAITS, /* for the job to stand still */
        HR_HELD_SAVE_RUNS,  /* until it is over, nobody touches the job */
};
enum hr_after_save {
        HR_AFTER_SAVE_HOLD, /* its owner is asked, as of any held job */
        HR_AFTER_SAVE_GO,   /* it was held for this alone */
        HR_AFTER_SAVE_END,  /* its policy does not hold, or holding it would free nothing */
};

/* What was seen of one limit past the hold level. */
struct hr_wall {
        uint64_t peak_bytes;   /* the most that was used there; 0: it is not past the level */
        uint64_t base_bytes;   /* that peak when the window began in which a rise is looked for */
        uint64_t since_usec;   /* when it began */
        uint64_t rehold_bytes; /* resumed without room: held again only above this; 0: not so */
};

struct hr_policy_state {
        enum hr_phase phase, after_brake;
        enum hr_stage stage;
        uint64_t phase_since_usec;
        uint64_t below_since_usec; /* since when it has been low enough to leave the stage; 0: it is not */
        uint64_t deadline_usec;    /* when the phase ends by itself; 0: never */
        uint64_t step_usec;        /* of the step before, 0: none */
        uint64_t held_short_usec;  /* held while what is shared was short */
        uint64_t trim_usec, save_usec;          /* the last; 0: none */
        uint64_t predump_usec;                  /* the same */
        uint64_t paid_told_usec;                /* when a trim that paid was told last; 0: never */
        uint32_t paid_count;                    /* trims that paid since, untold */
        uint64_t paid_bytes;                    /* what these gave back */
        struct hr_wall wall[HR_CANDIDATES_MAX]; /* one for each candidate of the sample, in its order */
        bool trim_spent, save_spent;            /* once for each crossing */
        bool predump_spent;                     /* the same */
        bool predumped;                         /* memory is, or is being, written ahead of a dump */
        bool owner_held;
        bool fused;
        bool saved; /* a proven checkpoint exists */
        bool image; /* and it is of this very moment: it has stood still since */
        enum hr_held_save held_save;
        enum hr_after_save after_save;
        bool raising;
        bool interrupted;    /* it was told to end, by us */
        uint8_t told_passed; /* bit n: that stage n was passed over has been told in this crossing */
};

#define HR_NOTES_MAX 4
struct hr_note {
        enum hr_stage stage, previous;
        const char *action, *outcome; /* literals */
        char reason[240];
};

struct hr_decision {
        enum hr_stage stage;
        uint32_t actions; /* HR_ACT_* */
        uint64_t raise_bytes;
        uint64_t look_again_usec; /* CLOCK_MONOTONIC, at the latest; HR_USEC_NEVER: when the timer says */
        uint64_t deadline_usec;   /* of the phase, for the person who waits; 0: none */
        size_t note_count;
        struct hr_note notes[HR_NOTES_MAX];
};

/* state all zero is a job that has just come. Never fails. */
void hr_policy_step(
        struct hr_policy_state *state, const struct hr_policy_input *input, struct hr_decision *ret);

/*
 * A checkpoint under way asks for more time. It gets no more, in all, than a hold would wait. Returns its new
 * deadline on the clock of now_usec, which is never sooner than the old one; 0: none is under way.
 */
uint64_t hr_policy_extend_save(
        struct hr_policy_state *state, const struct hr_policy *policy, uint64_t now_usec, uint64_t need_usec);

/*
 * The next level of used_bytes at which something may have to be decided, of one limit and its wall: where
 * the tripwire goes. HR_BYTES_NONE: above all levels.
 */
uint64_t hr_policy_next_threshold(
        const struct hr_policy *policy, const struct hr_wall *wall, const struct hr_candidate *c);

/*
 * A job is at rest once its memory has not moved, by a 64th of its limit, for this long. Then its tripwire
 * stands a 32nd above what it uses, if no threshold comes first: the kernel tells as soon as it moves, and
 * until then it needs no look. Chosen, not tuned.
 */
#define HR_POLICY_REST_USEC (10 * HR_USEC_PER_SEC)
/* v2 brakes whoever passes its tripwire, the less the higher that stands: one huge page too much is not slept
 * for from here on (64 f^2 s for 64 pages, f the part that is too much; Linux 6.1, mm/memcontrol.c). */
#define HR_POLICY_REST_WIRE2_BYTES (512 * HR_MIB)
bool hr_policy_moved(uint64_t limit_bytes, uint64_t before_bytes, uint64_t now_bytes);
/* Until it is looked at again, by the time since it moved last: a quarter, so that a young job's pace is
 * learnt soon; of one at rest with a tripwire at its next threshold the whole. */
uint64_t hr_policy_rest_pause(uint64_t rest_usec, bool has_wire);
uint64_t hr_policy_rest_wire(
        uint64_t limit_bytes, uint64_t used_bytes); /* of used; HR_BYTES_NONE: no limit */

/* What a job may still map under its fuse, of the room that is left: its handlers' own small allocations. */
uint64_t hr_policy_fuse_reserve(uint64_t room_bytes);

/* What a job needs to end by itself once it is out of room: a traceback, a handler that saves. */
uint64_t hr_policy_last_room(uint64_t limit_bytes);

/* Who goes first when what is shared runs out: the one that weighs and grows most. */
uint64_t hr_policy_weight(const struct hr_sample *sample);
