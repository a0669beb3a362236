/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The ladder, look by look. A row is a job's life: what is seen at each look, and what must come of it, as
 * one line: "PHASE STAGE ACTIONS NOTES", with "-" for none; NOTES are action:outcome pairs. The limit is
 * 10000 MiB, so that a permyriad is a MiB and a pace is permyriads a second. A freeze is complete at the next
 * look unless the look says otherwise.
 */

#include "test.h"

#include "think/policy.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers" /* a look says what is special about it */

#define LIMIT (10000 * HR_MIB)
#define HOST_LIMIT (40000 * HR_MIB)
#define LOOKS_MAX 24

/* ---- one job ---- */

enum { /* what differs from a job that can be frozen, trimmed and fused, in a group with a tripwire, without a
          method */
        CAN_SAVE = 1 << 0,
        NO_FREEZE = 1 << 1,
        NO_TRIM = 1 << 2,
        NO_FUSE = 1 << 3,
        UNBRAKED = 1 << 4,
        WAY_IN = 1 << 5,
        ROOM = 1 << 6,
        STANDS_BACK = 1 << 7, /* its own processes can be asked, and its limit raised meanwhile */
        BY_CRIU = 1 << 8,     /* saved while it is held */
        SOFT = 1 << 9,        /* its limit is kept by us alone */
        UNTRACKED = 1 << 10,  /* and nothing can be written ahead of what CRIU saves */
};

enum { /* what differs in a look */
        PENDING = 1 << 0,
        YIELD = 1 << 1,
        SHORTAGE = 1 << 2,
        TRIMMED = 1 << 3,
        STUCK = 1 << 4,  /* the freeze is not complete */
        TURN = 1 << 5,   /* the host's shortage may be laid on this job */
        SHARED = 1 << 6, /* what is given as the host's is an ancestor's */
        BUSY = 1 << 7,   /* a trim is under way: none can be begun */
        YOUNG = 1 << 8,  /* it has not grown for as long as is left */
        LAST = 1 << 9,   /* it grows in steps, and another one does not fit */
};

struct look {
        uint64_t after_msec;
        uint32_t level;     /* used, in 1/10000 of the limit */
        uint64_t pace;      /* MiB/s; 0: not growing */
        const char *wanted; /* NULL: anything */
        unsigned flags;
        enum hr_ask ask;
        enum hr_save save;
        uint32_t host; /* level of the host; 0: the host is not a candidate */
        uint64_t host_pace;
        enum hr_save predump;
};

struct job {
        struct hr_policy policy;
        struct hr_policy_state state;
        struct hr_policy_input in;
        struct hr_sample sample;
        struct hr_decision decision;
        uint64_t now_usec, level_before, host_before;
        bool frozen; /* asked to be */
        char line[400];
};

static void set_keys(const char *name, struct hr_policy *p, const char *keys)
{
        char copy[300], text[300], *save = NULL;

        (void)snprintf(copy, sizeof(copy), "%s", keys);
        for (char *key = strtok_r(copy, " ", &save); key; key = strtok_r(NULL, " ", &save)) {
                char *value = strchr(key, '=');
                assert_non_null(value);
                *value = '\0';
                EXPECT_INT(name, hr_config_set_policy_key(p, key, value + 1, 0, text, sizeof(text)), 0);
        }
}

static void job_init(struct job *j, const char *name, const char *policy, const char *keys, unsigned means)
{
        HR_CLEANUP(hr_config_freep) struct hr_config *c = NULL;

        memset(j, 0, sizeof(*j));
        assert_int_equal(hr_config_new(0, &c), 0);
        j->policy = *hr_config_policy(c, policy ? policy : "default");
        set_keys(name, &j->policy, keys ? keys : "");
        if (means & CAN_SAVE)
                set_keys(name, &j->policy, "checkpoint_method=signal:USR1");
        j->now_usec = 1000 * HR_USEC_PER_SEC;
        j->in.policy = &j->policy;
        j->in.sample = &j->sample;
        j->in.means = (struct hr_means){
                .observe_only = means & WAY_IN,
                .can_freeze = !(means & (NO_FREEZE | WAY_IN)),
                .can_trim = !(means & NO_TRIM),
                .trim_by = "reclaims what is cold",
                .can_stand_back = means & STANDS_BACK,
                .soft_limit = means & SOFT,
                .can_save = means & (CAN_SAVE | BY_CRIU),
                .saves_held = means & BY_CRIU,
                .can_predump = !(means & UNTRACKED),
                .can_fuse = !(means & NO_FUSE),
                .braked = !(means & UNBRAKED),
                .room_bytes = means & ROOM ? LIMIT + LIMIT / 4 : 0,
                .no_save = "no method is set",
                .no_freeze = "there is no freezer",
        };
}

static struct hr_candidate candidate(
        enum hr_source source, uint32_t level, uint64_t before, uint64_t pace, uint64_t limit)
{
        uint64_t left = pace == 0
                                ? HR_USEC_NEVER
                                : hr_sub(limit, level * (limit / 10000)) * HR_USEC_PER_SEC / (pace * HR_MIB);

        return (struct hr_candidate){
                .source = source,
                .used_bytes = level * (limit / 10000),
                .limit_bytes = limit,
                .growth_bytes_per_second = pace * HR_MIB,
                .left_min_usec = left,
                .left_max_usec = left,
                .lasting = pace > 0,
                .rising = level > before && before > 0,
                .turn = source == HR_SOURCE_OWN,
        };
}

static void describe(struct job *j)
{
        static const char *const phases[HR_PHASE_COUNT] = {
                "watch", "brake", "save", "held", "interrupt", "terminate", "kill"};
        static const char *const actions[] = {"freeze", "raise", "trim", "save", "fuse", "unfuse",
                "interrupt", "terminate", "thaw", "kill", "stand back", "predump", "forget"};
        const struct hr_decision *d = &j->decision;
        char did[120] = "", notes[240] = "";

        for (size_t i = 0; i < ELEMENTSOF(actions); i++)
                if (d->actions & (1U << i)) {
                        strcat(did, did[0] ? "+" : "");
                        strcat(did, actions[i]);
                }
        for (size_t i = 0; i < d->note_count; i++) {
                size_t n = strlen(notes);
                (void)snprintf(notes + n, sizeof(notes) - n, "%s%s:%s", n ? "," : "", d->notes[i].action,
                        d->notes[i].outcome);
        }
        (void)snprintf(j->line, sizeof(j->line), "%s %s %s %s", phases[j->state.phase],
                hr_stage_name(d->stage), did[0] ? did : "-", notes[0] ? notes : "-");
}

/* What holds after any look, whatever it saw. */
static void check(const char *name, const struct job *j)
{
        const struct hr_decision *d = &j->decision;

        EXPECT_INT(name, d->stage, j->state.stage);
        EXPECT_TRUE(name, d->note_count <= HR_NOTES_MAX);
        for (size_t i = 0; i < d->note_count; i++) {
                EXPECT_TRUE(name, d->notes[i].action && d->notes[i].outcome);
                EXPECT_WITHIN(name, strlen(d->notes[i].reason), 10, sizeof(d->notes[i].reason) - 1);
                if (j->in.frozen)
                        EXPECT_FALSE(name, strstr(d->notes[i].reason, "growing"));
        }
        EXPECT_FALSE(name, (d->actions & HR_ACT_FREEZE) && (d->actions & HR_ACT_THAW));
        if (j->in.means.observe_only || (j->policy.observe && j->in.ask == HR_ASK_NOTHING))
                EXPECT_UINT(name, d->actions, 0);
        if (!j->in.means.can_freeze)
                EXPECT_FALSE(name, d->actions & HR_ACT_FREEZE);
        if (j->state.phase == HR_PHASE_HELD || j->state.phase == HR_PHASE_BRAKE)
                EXPECT_TRUE(name, j->frozen);
        if (j->state.phase == HR_PHASE_WATCH || j->state.phase == HR_PHASE_SAVE)
                EXPECT_FALSE(name, j->frozen);
        if (j->frozen && j->state.phase != HR_PHASE_KILL) /* somebody comes to end it */
                EXPECT_TRUE(name, j->state.deadline_usec > 0 && d->look_again_usec <= j->state.deadline_usec);
        if (d->actions & HR_ACT_PREDUMP) /* of a job that runs, and goes on to */
                EXPECT_TRUE(name,
                        j->state.phase == HR_PHASE_WATCH && !j->frozen && !(d->actions & HR_ACT_FORGET));
        if (d->actions & HR_ACT_RAISE)
                EXPECT_UINT(name, d->raise_bytes, j->in.means.room_bytes);
}

static void look(struct job *j, const char *name, const struct look *l)
{
        j->now_usec += l->after_msec * HR_USEC_PER_MSEC;
        j->sample.time_usec = j->now_usec;
        j->sample.candidate_count = 1;
        j->sample.candidates[0] = candidate(HR_SOURCE_OWN, l->level, j->level_before, l->pace, LIMIT);
        j->sample.candidates[0].lasting &= !(l->flags & YOUNG);
        j->sample.candidates[0].step_will_not_fit = l->flags & LAST;
        j->sample.used_bytes = j->sample.candidates[0].used_bytes;
        if (l->host > 0) {
                struct hr_candidate *c = &j->sample.candidates[j->sample.candidate_count++];
                *c = candidate(l->flags & SHARED ? HR_SOURCE_ANCESTOR : HR_SOURCE_HOST, l->host,
                        j->host_before, l->host_pace, HOST_LIMIT);
                c->turn = l->flags & TURN;
        }
        j->level_before = l->level;
        j->host_before = l->host;
        j->in.now_usec = j->now_usec;
        j->in.frozen = j->frozen && !(l->flags & STUCK);
        j->in.signal_pending = l->flags & PENDING;
        j->in.yield = l->flags & YIELD;
        j->in.shortage = l->flags & SHORTAGE;
        j->in.trim_done = l->flags & TRIMMED;
        j->in.trimmed_bytes = HR_MIB;
        j->in.ask = l->ask;
        j->in.save = l->save;
        (void)snprintf(j->in.save_text, sizeof(j->in.save_text), "%s",
                l->save == HR_SAVE_FAILED ? "exit status 1" : "");
        j->in.predump = l->predump;
        (void)snprintf(j->in.predump_text, sizeof(j->in.predump_text), "5 MiB");
        bool can_trim = j->in.means.can_trim;
        j->in.means.can_trim &= !(l->flags & BUSY);
        j->in.means.trims = j->in.means.trim_is_asked = l->flags & BUSY;

        hr_policy_step(&j->state, &j->in, &j->decision);

        j->in.means.can_trim = can_trim;
        if (j->decision.actions & HR_ACT_FREEZE)
                j->frozen = true;
        if (j->decision.actions & (HR_ACT_THAW | HR_ACT_KILL))
                j->frozen = false;
        describe(j);
        check(name, j);
}

/* ---- lives ---- */

struct life {
        const char *name, *policy, *keys;
        unsigned means;
        struct look looks[LOOKS_MAX];
};

static void walk(const struct life *rows, size_t count)
{
        for (const struct life *row = rows; row < rows + count; row++) {
                struct job j;
                job_init(&j, row->name, row->policy, row->keys, row->means);
                for (size_t i = 0; i < LOOKS_MAX && row->looks[i].level > 0; i++) {
                        char name[160];
                        (void)snprintf(name, sizeof(name), "%s, look %zu", row->name, i + 1);
                        look(&j, name, &row->looks[i]);
                        if (row->looks[i].wanted)
                                EXPECT_STR(name, j.line, row->looks[i].wanted);
                }
        }
}
#define WALK(rows) walk((rows), ELEMENTSOF(rows))

#define MIN_ 60000 /* a minute, in ms */
#define HOUR_ 3600000

static void climbs(void **state HR_UNUSED)
{
        static const struct life rows[] = {
                {"a slow ramp meets each stage once",
                        .looks = {{1000, 6999, 10, "watch ok - -"},
                                {100, 7000, 10, "watch notice - notice:done"},
                                {100, 7001, 10, "watch notice - -"}, {1000, 7999, 10, "watch notice - -"},
                                {100, 8000, 10, "watch trim trim trim:started"},
                                {100, 8001, 10, "watch trim - -"}, {MIN_, 8600, 10, "watch trim - -"},
                                {MIN_, 9000, 10, "watch trim - checkpoint:passed over"},
                                {100, 9001, 10, "watch trim - -"}, {1000, 9699, 10, "watch trim - -"},
                                {100, 9700, 10, "watch trim - -"},
                                {100, 9712, 10, "held hold freeze freeze:done"},
                                {1000, 9712, 0, "held hold - -"}}},
                {"one that jumps is told of notice too",
                        .looks = {{1000, 1000, 10, "watch ok - -"},
                                {1000, 8500, 10, "watch trim trim notice:done,trim:started"}}},
                {"one that jumps, without trim", .means = NO_TRIM,
                        .looks = {{1000, 1000, 10, "watch ok - -"},
                                {1000, 8500, 10, "watch trim - notice:done,trim:passed over"},
                                {1000, 8501, 10, "watch trim - -"}}},
                {"a trim under way is not passed over",
                        .looks = {{1000, 8000, 10, "watch trim trim notice:done,trim:started"},
                                {100, 8001, 10, "watch trim - -", BUSY},
                                {100, 8002, 10, "watch trim - trim:done", TRIMMED},
                                {100, 8003, 10, "watch trim - -"}}},
                {"a trim that paid may be done again at once, and is told of once in a cool-down",
                        .looks = {{1000, 8000, 10, "watch trim trim notice:done,trim:started"},
                                {100, 3000, 0, "watch ok - trim:done", TRIMMED},
                                {2000, 7100, 10, "watch notice - -"}, {2000, 8100, 10, "watch trim trim -"},
                                {100, 3000, 0, "watch ok - -", TRIMMED},
                                {2000, 8600, 10, "watch trim trim -"},
                                {100, 7100, 0, "watch notice - -", TRIMMED},
                                {MIN_, 8100, 10, "watch trim trim trim:started"},
                                {100, 3000, 0, "watch ok - trim:done", TRIMMED}}},
                {"one that did not pay is spent until the stage is left",
                        .looks = {{1000, 8000, 10, "watch trim trim notice:done,trim:started"},
                                {100, 7900, 0, "watch trim - trim:done", TRIMMED},
                                {MIN_, 8100, 10, "watch trim - -"}}},
                {"one that jumps to its wall is asked for its garbage before it is held",
                        .means = STANDS_BACK,
                        .looks = {{1000, 9500, 2000,
                                          "watch trim trim notice:done,checkpoint:passed over,trim:started"},
                                {20, 9702, 2000, NULL, BUSY},
                                {2, 9790, 2000, "watch trim stand back -", BUSY},
                                {5, 9900, 2000, "watch trim stand back -", BUSY},
                                {3, 3000, 0, "watch ok - trim:done", TRIMMED}, {1000, 9600, 2000, NULL},
                                {100, 9720, 5000, NULL, BUSY},
                                {5, 9990, 5000, "watch trim stand back -", BUSY},
                                {250, 10400, 5000, "held hold freeze freeze:done", BUSY}}},
                {"notice by time",
                        .looks = {{1000, 1900, 500, "watch ok - -"}, /* below a fifth nobody is told */
                                {1000, 3999, 100, "watch ok - -"},   /* 60.01 s */
                                {1000, 4000, 100, "watch notice - notice:done"},
                                {1000, 4100, 100, "watch notice - -"},
                                {20000, 4100, 10,
                                        "watch notice - -"}, /* 590 s: left when this has lasted 10 s */
                                {9999, 4100, 10, "watch notice - -"},
                                {1, 4100, 10, "watch ok - watch:done"}}},
                {"notice by time, of growth that has lasted",
                        .looks = {{1000, 4000, 500, "watch ok - -", YOUNG}, /* 12 s */
                                {1000, 6900, 500, "watch ok - -", YOUNG},
                                {1000, 6950, 500, "watch notice - notice:done"},
                                {10001, 6960, 500, "watch notice - -", YOUNG}, /* told once */
                                {10001, 6970, 500, "watch notice - -"}}},
                {"notice at the level, however short it has grown",
                        .looks = {{1000, 7000, 500, "watch notice - notice:done", YOUNG}}},
                {"notice before the last step, whenever it comes",
                        .looks = {{1000, 1900, 1, "watch ok - -", LAST}, {1000, 5000, 1, "watch ok - -"},
                                {1000, 5000, 0, "watch ok - -", LAST}, /* it has stopped to grow */
                                {1000, 5000, 1, "watch notice - notice:done", LAST}, /* in 83 min */
                                {60000, 5000, 1, "watch notice - -", LAST}, {1, 5000, 1, "watch notice - -"},
                                {9999, 5000, 1, "watch notice - -"}, {1, 5000, 1, "watch ok - watch:done"}}},
                {"notice by time switched off: not for the last step either", .keys = "notice_time=0",
                        .looks = {{1000, 5000, 1, "watch ok - -", LAST}}},
                {"notice by time switched off", .keys = "notice_time=0",
                        .looks = {{1000, 4000, 1000, "watch ok - -"}, {1000, 6900, 1000, "watch ok - -"}}},
                {"beyond the horizon nothing is said",
                        .looks = {{MIN_, 7300, 1, "watch ok - -"}, /* 2700 s */
                                {MIN_, 8100, 1, "watch ok - -"},   /* 1900 s */
                                {MIN_, 8200, 1, "watch trim trim notice:done,trim:started"}}},
                {"at the wall without growth since",
                        .looks = {{1000, 9600, 100,
                                          "watch trim trim notice:done,checkpoint:passed over,trim:started"},
                                {100, 9750, 1500, NULL},
                                {2, 9750, 1500, "watch trim - -"}, /* the forecast alone proves nothing */
                                {2, 9750, 100, "watch trim - -"}, {1000, 9750, 0, "watch trim - -"},
                                {HOUR_, 9750, 0, "watch trim - -"}}},
                {"at the wall, out of reach",
                        .looks = {{1000, 9700, 1, NULL}, {10000, 9705, 1, "watch trim - -"},
                                {10000, 9710, 1, "watch trim - -"}, {600000, 9969, 1, "watch trim - -"},
                                {1000, 9970, 1, "held hold freeze freeze:done"}}},
                {"the second look comes at once", .looks = {{1000, 9500, 2000, NULL}, {100, 9702, 2000, NULL},
                                                          {2, 9714, 2000, "held hold freeze freeze:done"}}},
                {"without a brake, through the wall before the second look", .means = UNBRAKED,
                        .looks = {{1000, 9500, 2000, NULL},
                                {100, 9990, 5000, "held hold freeze freeze:done"}}},
                {"without a brake, time for a second look", .means = UNBRAKED,
                        .looks = {{1000, 9500, 2000, NULL}, {100, 9702, 100, "watch trim - -"},
                                {2, 9712, 100, "held hold freeze freeze:done"}}},
                {"with one that is braked, twice in any case",
                        .looks = {{1000, 9500, 2000, NULL}, {100, 9990, 5000, "watch trim - -"},
                                {2, 9991, 5000, "held hold freeze freeze:done"}}},
                {"at the limit itself while rising",
                        .looks = {{1000, 9500, 2000, NULL},
                                {100, 10000, 5000, "held hold freeze freeze:done"}}},
        };
        WALK(rows);

        struct job j;
        job_init(&j, "second look", NULL, NULL, 0);
        look(&j, "second look", &(struct look){1000, 9500, 100, NULL});
        look(&j, "second look", &(struct look){1000, 9710, 100, NULL});
        EXPECT_WITHIN("second look", j.decision.look_again_usec, j.now_usec + 1, j.now_usec + 10000);
}

static void in_peace(void **state HR_UNUSED)
{
        static const struct life rows[] = {
                {"a day at 83 %",
                        .looks = {{1000, 8300, 0, "watch ok - -"}, {HOUR_, 8300, 0, "watch ok - -"},
                                {HOUR_, 8310, 0, "watch ok - -"}, {HOUR_, 8290, 0, "watch ok - -"}}},
                {"rises to 96 % and stays",
                        .looks = {{1000, 6900, 200, "watch notice - notice:done"}, {1000, 9600, 200, NULL},
                                {1000, 9600, 0, "watch trim - -"}, {HOUR_, 9600, 0, "watch trim - -"},
                                {HOUR_, 9610, 1, "watch trim - -"}, {HOUR_, 9600, 0, "watch trim - -"}}},
                {"rises to 97.5 % and stays, with small changes",
                        .looks = {{1000, 9600, 200, NULL}, {1000, 9750, 0, "watch trim - -"},
                                {1000, 9740, 0, "watch trim - -"}, {1000, 9750, 0, "watch trim - -"},
                                {HOUR_, 9750, 0, "watch trim - -"}}},
                {"at the limit, flat",
                        .looks = {{1000, 9600, 200, NULL}, {1000, 10000, 0, NULL, .ask = HR_ASK_RESUME},
                                {1000, 10000, 0, "watch trim - -"}, {HOUR_, 10000, 0, "watch trim - -"}}},
        };
        WALK(rows);

        struct job j;
        job_init(&j, "no limit", NULL, NULL, 0);
        for (size_t count = 0; count < 2; count++) {
                j.sample.candidate_count = count;
                j.sample.candidates[0] = (struct hr_candidate){.source = HR_SOURCE_OWN,
                        .limit_bytes = HR_BYTES_NONE,
                        .used_bytes = UINT64_MAX / 2,
                        .rising = true,
                        .growth_bytes_per_second = HR_GIB,
                        .turn = true};
                hr_policy_step(&j.state, &j.in, &j.decision);
                EXPECT_INT("no limit", j.decision.stage, HR_STAGE_OK);
                EXPECT_UINT("no limit", j.decision.actions, 0);
        }
}

static void leaves(void **state HR_UNUSED)
{
        static const struct life rows[] = {
                {"5 points below, held 10 s",
                        .looks = {{1000, 7000, 10, "watch notice - notice:done"},
                                {MIN_, 6500, 0, "watch notice - -"}, /* not below */
                                {MIN_, 6499, 0, "watch notice - -"}, {9999, 6499, 0, "watch notice - -"},
                                {1, 6499, 0, "watch ok - watch:done"}, {MIN_, 6000, 0, "watch ok - -"}}},
                {"it must be held",
                        .looks = {{1000, 7000, 10, "watch notice - notice:done"},
                                {1000, 6400, 0, "watch notice - -"}, {9000, 6500, 0, "watch notice - -"},
                                {1000, 6400, 0, "watch notice - -"}, {9000, 6400, 0, "watch notice - -"},
                                {1000, 6400, 0, "watch ok - watch:done"}}},
                {"around the level it speaks once",
                        .looks = {{1000, 7000, 10, "watch notice - notice:done"},
                                {1000, 6900, 0, "watch notice - -"}, {20000, 7050, 10, "watch notice - -"},
                                {20000, 6600, 0, "watch notice - -"}, {20000, 7050, 10, "watch notice - -"}}},
                {"again after it was left",
                        .looks = {{1000, 7000, 10, "watch notice - notice:done"}, {1000, 6400, 0, NULL},
                                {10000, 6400, 0, "watch ok - watch:done"},
                                {1000, 7000, 10, "watch notice - notice:done"}}},
                {"stage by stage, and trimmed anew",
                        .looks = {{1000, 8000, 10, "watch trim trim notice:done,trim:started"},
                                {1000, 7499, 0, NULL}, {10000, 7499, 0, "watch notice - watch:done"},
                                {50000, 8000, 10, "watch trim trim trim:started"}, {1000, 6000, 0, NULL},
                                {10000, 6000, 0, "watch ok - watch:done"}}},
                {"trimmed at most once in the cool-down",
                        .looks = {{1000, 8000, 10, "watch trim trim notice:done,trim:started"},
                                {1000, 7499, 0, NULL}, {10000, 7499, 0, "watch notice - watch:done"},
                                {10000, 8000, 10, "watch trim - -"}, {38000, 8100, 10, "watch trim - -"},
                                {2000, 8110, 10, "watch trim trim trim:started"}}},
                {"saved at most once in the cool-down", .means = CAN_SAVE,
                        .looks = {{1000, 8500, 10, NULL},
                                {1000, 9000, 10, "save checkpoint save+thaw checkpoint:started"},
                                {1000, 9000, 0, "watch checkpoint - checkpoint:proven",
                                        .save = HR_SAVE_PROVEN},
                                {1000, 8400, 0, NULL}, {10000, 8400, 0, "watch trim - watch:done"},
                                {10000, 9000, 10, "watch checkpoint - -"},
                                {30000, 9010, 10, "watch checkpoint - -"},
                                {9000, 9100, 10, "save checkpoint save+thaw checkpoint:started"}}},
                {"what was passed over is told at each crossing",
                        .looks = {{1000, 8500, 10, NULL},
                                {1000, 9000, 10, "watch trim - checkpoint:passed over"},
                                {1000, 8900, 0, NULL}, {10000, 8900, 0, NULL},
                                {1000, 9000, 10, "watch trim - -"}, {1000, 7400, 0, NULL},
                                {10000, 7400, 0, "watch notice - watch:done"},
                                {MIN_, 9000, 10, "watch trim trim checkpoint:passed over,trim:started"}}},
                {"a stage switched off is left: by the owner's word", .keys = "checkpoint=off",
                        .means = CAN_SAVE,
                        .looks = {{1000, 3000, 0, "watch ok - -"},
                                {1000, 3000, 0, "save checkpoint save+thaw checkpoint:started",
                                        .ask = HR_ASK_CHECKPOINT},
                                {1000, 3000, 0, "watch checkpoint - checkpoint:proven",
                                        .save = HR_SAVE_PROVEN},
                                {1000, 3000, 0, "watch checkpoint - -"},
                                {10000, 3000, 0, "watch ok - watch:done"}}},
        };
        WALK(rows);

        struct job j; /* as the daemon adopts one that ran on after its interrupt */
        job_init(&j, "adopted", NULL, NULL, 0);
        j.state.stage = HR_STAGE_INTERRUPT;
        look(&j, "adopted", &(struct look){1000, 3000, 0, NULL});
        look(&j, "adopted", &(struct look){10000, 3000, 0, NULL});
        EXPECT_STR("adopted", j.line, "watch ok - watch:done");
}

static void saves(void **state HR_UNUSED)
{
        static const struct life rows[] = {
                {"slow: without a brake", .means = CAN_SAVE,
                        .looks = {{1000, 8500, 10, NULL},
                                {1000, 9000, 10, "save checkpoint save+thaw checkpoint:started"},
                                {1000, 9010, 10, "save checkpoint - -", .save = HR_SAVE_RUNNING},
                                {1000, 9020, 10, "watch checkpoint - checkpoint:proven",
                                        .save = HR_SAVE_PROVEN},
                                {1000, 9030, 10, "watch checkpoint - -"},
                                {MIN_, 9500, 10, "watch checkpoint - -"}}},
                {"fast: brake, look, save", .means = CAN_SAVE,
                        .looks = {{1000, 8500, 300, NULL}, {1000, 9000, 300, "brake checkpoint freeze -"},
                                {2, 9001, 300, "brake checkpoint - -", STUCK},
                                {2, 9001, 0, "save checkpoint save+thaw checkpoint:started"},
                                {1000, 9010, 10, "save checkpoint - -", .save = HR_SAVE_RUNNING}}},
                {"the brake does not bite", .means = CAN_SAVE,
                        .looks = {{1000, 8500, 300, NULL}, {1000, 9000, 300, "brake checkpoint freeze -"},
                                {999, 9001, 300, "brake checkpoint - -", STUCK},
                                {1, 9001, 0, "save checkpoint save+thaw checkpoint:started", STUCK}}},
                {"fast, without a freezer", .means = CAN_SAVE | NO_FREEZE,
                        .looks = {{1000, 8500, 300, NULL},
                                {1000, 9000, 300, "save checkpoint save+thaw checkpoint:started"}}},
                {"not without growth", .means = CAN_SAVE,
                        .looks = {{1000, 9300, 0, "watch ok - -"}, {1000, 9300, 0, "watch ok - -"}}},
                {"failed", .means = CAN_SAVE,
                        .looks = {{1000, 8500, 10, NULL}, {1000, 9000, 10, NULL},
                                {1000, 9010, 10, "watch checkpoint - checkpoint:failed",
                                        .save = HR_SAVE_FAILED},
                                {1000, 9020, 10, "watch checkpoint - -"}}}, /* once for each crossing */
                {"asked, no proof", .means = CAN_SAVE,
                        .looks = {{1000, 8500, 10, NULL}, {1000, 9000, 10, NULL},
                                {1000, 9010, 10, "watch checkpoint - checkpoint:asked",
                                        .save = HR_SAVE_ASKED}}},
                {"the deadline passes", .means = CAN_SAVE,
                        .looks = {{1000, 8500, 10, NULL}, {1000, 9000, 10, NULL},
                                {119999, 9010, 0, "save checkpoint - -", .save = HR_SAVE_RUNNING},
                                {1, 9010, 0, "watch checkpoint - checkpoint:asked", .save = HR_SAVE_RUNNING},
                                {1000, 9010, 0, "watch checkpoint - checkpoint:proven",
                                        .save = HR_SAVE_PROVEN}}}, /* late */
                {"held at the wall while it saves", .means = CAN_SAVE,
                        .looks = {{1000, 8500, 10, NULL}, {1000, 9000, 10, NULL},
                                {1000, 9700, 100, "save checkpoint - -", .save = HR_SAVE_RUNNING},
                                {2, 9712, 100, "held hold freeze freeze:done", .save = HR_SAVE_RUNNING},
                                {1000, 9712, 0, "held hold - checkpoint:failed", .save = HR_SAVE_FAILED},
                                {1000, 9712, 0, "held hold - -"}}},
                {"saved, then held, then room: saved again at the next crossing", .means = CAN_SAVE,
                        .looks = {{1000, 8500, 10, NULL}, {1000, 9000, 10, NULL},
                                {1000, 9010, 10, NULL, .save = HR_SAVE_PROVEN}, {MIN_, 9700, 100, NULL},
                                {2, 9712, 100, "held hold freeze freeze:done"},
                                {1000, 7500, 0, "watch notice thaw thaw:done", .ask = HR_ASK_ROOM},
                                {MIN_, 9000, 10, "save checkpoint save+thaw checkpoint:started"}}},
                {"an answer that comes together with a verb is not lost", .means = CAN_SAVE,
                        .looks = {{1000, 8500, 10, NULL}, {1000, 9000, 10, NULL},
                                {1000, 9010, 10, "watch checkpoint trim checkpoint:proven,trim:started",
                                        .ask = HR_ASK_TRIM, .save = HR_SAVE_PROVEN}}},
                {"another's shortage does not touch one that saves", .means = CAN_SAVE,
                        .looks = {{1000, 8500, 10, NULL, .host = 9600}, {1000, 9000, 10, NULL, .host = 9650},
                                {1000, 9010, 10, "save checkpoint - -", .save = HR_SAVE_RUNNING, .host = 9800,
                                        .host_pace = 900},
                                {1000, 9020, 10, "save checkpoint - -", .save = HR_SAVE_RUNNING, .host = 9900,
                                        .host_pace = 900}}},
                {"the method switched off", .keys = "checkpoint=off", .means = CAN_SAVE,
                        .looks = {{1000, 8500, 10, NULL}, {1000, 9000, 10, "watch trim - -"},
                                {1000, 9600, 10, "watch trim - -"}}},
                {"no method and trim off", .keys = "trim=off",
                        .looks = {{1000, 8500, 10, "watch notice - notice:done"},
                                {1000, 9000, 10, "watch notice - checkpoint:passed over"}}},
        };
        WALK(rows);
}

/* The looks that bring a job with the default policy to its hold. */
#define TO_HOLD                                              \
        {1000, 9500, 100, NULL}, {1000, 9700, 100, NULL},    \
        {                                                    \
                2, 9712, 100, "held hold freeze freeze:done" \
        }

static void holds(void **state HR_UNUSED)
{
        static const struct life rows[] = {
                {"room comes back and lasts",
                        .looks = {TO_HOLD, {1000, 9201, 0, "held hold - -"}, {1000, 9199, 0, "held hold - -"},
                                {999, 9199, 0, "held hold - -"}, {1, 9199, 0, "watch trim thaw thaw:done"}}},
                {"room that does not last",
                        .looks = {TO_HOLD, {1000, 9199, 0, "held hold - -"}, {999, 9300, 0, "held hold - -"},
                                {999, 9199, 0, "held hold - -"}, {999, 9199, 0, "held hold - -"},
                                {1, 9199, 0, "watch trim thaw thaw:done"}}},
                {"nobody short: three days", .looks = {TO_HOLD, {HOUR_, 9712, 0, "held hold - -"},
                                                     {71 * HOUR_ - 1, 9712, 0, "held hold - -"},
                                                     {1, 9712, 0,
                                                             "interrupt interrupt fuse+interrupt+thaw "
                                                             "interrupt:asked,interrupt:started"}}},
                {"hold_timeout runs only while others are short",
                        .looks = {TO_HOLD, {10 * MIN_, 9712, 0, "held hold - -"},
                                {10 * MIN_, 9712, 0, "held hold - -", SHORTAGE},
                                {HOUR_, 9712, 0, "held hold - -"},
                                {5 * MIN_ - 1, 9712, 0, "held hold - -", SHORTAGE},
                                {1, 9712, 0,
                                        "interrupt interrupt fuse+interrupt+thaw "
                                        "interrupt:asked,interrupt:started",
                                        SHORTAGE}}},
                {"its turn is over", .looks = {TO_HOLD, {1000, 9712, 0,
                                                                "interrupt interrupt fuse+interrupt+thaw "
                                                                "interrupt:asked,interrupt:started",
                                                                YIELD}}},
                {"one that its owner holds yields to nobody",
                        .looks = {{1000, 3000, 0, NULL},
                                {1, 3000, 0, "held hold freeze freeze:done", .ask = HR_ASK_HOLD},
                                {HOUR_, 3000, 0, "held hold - -", YIELD | SHORTAGE},
                                {72 * HOUR_, 3000, 0,
                                        "interrupt interrupt fuse+interrupt+thaw "
                                        "interrupt:asked,interrupt:started"}}},
                {"a signal waits for it",
                        .looks = {TO_HOLD, {1000, 9712, 0, "watch trim fuse+thaw thaw:done", PENDING},
                                {1, 9712, 0, "watch trim - -"}}},
                {"a signal waits, without a fuse", .means = NO_FUSE,
                        .looks = {TO_HOLD, {1000, 9712, 0, "watch trim thaw thaw:done", PENDING}}},
                {"resumed: held again half way",
                        .looks = {TO_HOLD,
                                {1000, 9700, 0, "watch trim fuse+thaw thaw:done", .ask = HR_ASK_RESUME},
                                {100, 9800, 100, "watch trim - -"}, {100, 9849, 100, "watch trim - -"},
                                {100, 9850, 100, "watch trim - -"},
                                {2, 9856, 100, "held hold freeze freeze:done"}}},
                {"resumed with hardly any room: not held before its fuse blows", .means = UNBRAKED,
                        .looks = {{1000, 9500, 100, NULL}, {250, 9998, 5000, "held hold freeze freeze:done"},
                                {1000, 9998, 0, "watch trim fuse+thaw thaw:done", .ask = HR_ASK_RESUME},
                                {100, 9999, 5000, "watch trim - -"},
                                {2, 10000, 5000, "held hold freeze freeze:done"}}},
                {"a tree, resumed above its limit: room to end", .means = SOFT,
                        .looks = {{1000, 9500, 100, NULL}, {100, 9700, 5000, NULL},
                                {100, 10100, 5000, "held hold freeze freeze:done"},
                                {1000, 10100, 0, "watch trim fuse+thaw thaw:done", .ask = HR_ASK_RESUME},
                                {100, 10200, 100, "watch trim - -"}, {100, 10299, 100, "watch trim - -"},
                                {2, 10301, 100, "held hold freeze freeze:done"}}},
                {"the limit was raised",
                        .looks = {TO_HOLD, {1000, 6000, 0, "watch ok thaw thaw:done", .ask = HR_ASK_ROOM},
                                {1000, 6000, 0, "watch ok - -"}}},
                {"room takes the fuse off again",
                        .looks = {TO_HOLD,
                                {1000, 9712, 0, "watch trim fuse+thaw thaw:done", .ask = HR_ASK_RESUME},
                                {1000, 6000, 0, "watch trim unfuse -", .ask = HR_ASK_ROOM}}},
                {"leaving a stage takes the fuse off again",
                        .looks = {TO_HOLD,
                                {1000, 9712, 0, "watch trim fuse+thaw thaw:done", .ask = HR_ASK_RESUME},
                                {1000, 6000, 0, "watch trim - -"},
                                {10000, 6000, 0, "watch ok unfuse watch:done"}}},
                {"the fuse switched off", .keys = "fuse=no",
                        .looks = {TO_HOLD,
                                {1000, 9712, 0, "watch trim thaw thaw:done", .ask = HR_ASK_RESUME}}},
                {"a thaw that failed is tried again",
                        .looks = {TO_HOLD, {1000, 6000, 0, "watch ok thaw thaw:done", .ask = HR_ASK_ROOM}}},
                {"hold switched off", .keys = "hold=off",
                        .looks = {{1000, 9500, 100, NULL}, {1000, 9700, 100, "watch trim - -"},
                                {2, 9710, 100, "watch trim - -"}, {1000, 9990, 100, "watch trim - -"}}},
                {"no freezer: passed over, interrupted", .means = NO_FREEZE,
                        .looks = {{1000, 9500, 100, NULL}, {100, 9700, 100, "watch trim - -"},
                                {2, 9712, 100,
                                        "interrupt interrupt fuse+interrupt+thaw freeze:passed "
                                        "over,interrupt:asked,interrupt:started"}}},
                {"no freezer: past the kill level it is interrupted first", .means = NO_FREEZE,
                        .looks = {{1000, 9500, 100, NULL},
                                {1000, 9800, 100,
                                        "interrupt interrupt fuse+interrupt+thaw "
                                        "freeze:passed over,interrupt:asked,interrupt:started"},
                                {30000, 9900, 0, "terminate interrupt terminate+thaw terminate:started"},
                                {30000, 9900, 0, "kill kill kill kill:started"}}},
                {"no freezer, interrupt switched off: killed by level", .means = NO_FREEZE,
                        .keys = "interrupt=off",
                        .looks = {{1000, 9500, 100, NULL},
                                {1000, 9800, 100, "kill kill kill freeze:passed over,kill:started"}}},
                {"no freezer: not killed while it rests", .means = NO_FREEZE,
                        .looks = {{1000, 9500, 100, NULL}, {1000, 9600, 0, NULL},
                                {1000, 9600, 0, "watch trim - -"}}},
                {"no freezer, kill switched off", .means = NO_FREEZE, .keys = "kill=off",
                        .looks = {{1000, 9500, 100, NULL}, {1000, 9800, 100, "watch trim - -"},
                                {2, 9810, 100,
                                        "interrupt interrupt fuse+interrupt+thaw freeze:passed "
                                        "over,interrupt:asked,interrupt:started"}}},
                {"batch does not hold", .policy = "batch",
                        .looks = {{1000, 9500, 100, NULL}, {1000, 9700, 100, NULL},
                                {2, 9712, 100, "brake interrupt freeze freeze:passed over,interrupt:asked"},
                                {2, 9712, 0, "interrupt interrupt fuse+interrupt+thaw interrupt:started"}}},
                {"batch without a fuse needs no brake", .policy = "batch", .means = NO_FUSE,
                        .looks = {{1000, 9500, 100, NULL}, {1000, 9700, 100, NULL},
                                {2, 9712, 100,
                                        "interrupt interrupt interrupt+thaw freeze:passed "
                                        "over,interrupt:asked,interrupt:started"}}},
                {"nothing is left to do: told once", .policy = "batch", .keys = "interrupt=off kill=off",
                        .looks = {{1000, 9500, 100, NULL}, {1000, 9700, 100, NULL},
                                {2, 9712, 100, "watch trim - freeze:passed over,interrupt:passed over"},
                                {2, 9713, 100, "watch trim - -"}, {2, 9724, 100, "watch trim - -"}}},
                {"nothing ends it: held to the end, then let go", .keys = "interrupt=off kill=off",
                        .looks = {TO_HOLD, {HOUR_, 9712, 0, "held hold - interrupt:passed over", SHORTAGE},
                                {1000, 9712, 0, "held hold - -", SHORTAGE},
                                {1000, 9712, 0, "held hold - -", SHORTAGE | YIELD},
                                {72 * HOUR_, 9712, 0, "watch trim fuse+thaw thaw:done"}}},
                {"interrupt switched off: killed at the end of the hold", .keys = "interrupt=off",
                        .looks = {TO_HOLD, {72 * HOUR_, 9712, 0, "kill kill kill kill:started"}}},
        };
        WALK(rows);

        struct job j;
        job_init(&j, "a thaw that failed", NULL, NULL, 0);
        j.frozen = true;
        look(&j, "a thaw that failed", &(struct look){1000, 3000, 0, NULL});
        EXPECT_STR("a thaw that failed", j.line, "watch ok thaw -");
}

static void elastic(void **state HR_UNUSED)
{
        static const struct life rows[] = {
                {"raised before it is held", .keys = "elastic=yes", .means = ROOM,
                        .looks = {{1000, 9500, 100, NULL}, {1000, 9700, 100, NULL},
                                {2, 9712, 100, "held hold freeze+raise limit:started"},
                                {100, 7761, 0, "watch notice thaw thaw:done", .ask = HR_ASK_ROOM}}},
                {"no room is left", .keys = "elastic=yes", .looks = {TO_HOLD}},
                {"not elastic", .means = ROOM, .looks = {TO_HOLD}},
                {"the raise fails: held, and the owner is asked", .keys = "elastic=yes", .means = ROOM,
                        .looks = {{1000, 9500, 100, NULL}, {1000, 9700, 100, NULL},
                                {2, 9712, 100, "held hold freeze+raise limit:started"},
                                {2000, 9712, 0, "held hold raise -"},
                                {2000, 9712, 0, "held hold - freeze:done"},
                                {HOUR_, 9712, 0, "held hold - -"}}},
                {"batch is given the room too", .policy = "batch", .keys = "elastic=yes", .means = ROOM,
                        .looks = {{1000, 9500, 100, NULL}, {1000, 9700, 100, NULL},
                                {2, 9712, 100, "held hold freeze+raise limit:started"},
                                {100, 7761, 0, "watch notice thaw thaw:done", .ask = HR_ASK_ROOM}}},
                {"batch, and the raise fails", .policy = "batch", .keys = "elastic=yes", .means = ROOM,
                        .looks = {{1000, 9500, 100, NULL}, {1000, 9700, 100, NULL}, {2, 9712, 100, NULL},
                                {4000, 9712, 0,
                                        "interrupt interrupt fuse+interrupt+thaw "
                                        "interrupt:asked,interrupt:started"}}},
                {"it can't be held: interrupted", .keys = "elastic=yes", .means = ROOM | NO_FREEZE,
                        .looks = {{1000, 9500, 100, NULL}, {100, 9700, 100, NULL},
                                {2, 9712, 100,
                                        "interrupt interrupt fuse+interrupt+thaw freeze:passed "
                                        "over,interrupt:asked,interrupt:started"}}},
                {"an ancestor binds: the own limit is left alone", .keys = "elastic=yes", .means = ROOM,
                        .looks = {{1000, 3000, 0, NULL, SHARED | TURN, .host = 9600, .host_pace = 100},
                                {1000, 3100, 0, NULL, SHARED | TURN, .host = 9700, .host_pace = 100},
                                {2, 3200, 0, "held hold freeze freeze:done", SHARED | TURN, .host = 9713,
                                        .host_pace = 100}}},
        };
        WALK(rows);
}

static void ends(void **state HR_UNUSED)
{
#define TO_INTERRUPT                                                                                \
        TO_HOLD,                                                                                    \
        {                                                                                           \
                72 * HOUR_, 9712, 0,                                                                \
                        "interrupt interrupt fuse+interrupt+thaw interrupt:asked,interrupt:started" \
        }
#define TO_INTERRUPT_UNFUSED                                                                                \
        TO_HOLD,                                                                                            \
        {                                                                                                   \
                72 * HOUR_, 9712, 0, "interrupt interrupt interrupt+thaw interrupt:asked,interrupt:started" \
        }
        static const struct life rows[] = {
                {"SIGINT, SIGTERM, kill, each with its grace",
                        .looks = {TO_INTERRUPT, {29999, 9712, 0, "interrupt interrupt - -"},
                                {1, 9712, 0, "terminate interrupt terminate+thaw terminate:started"},
                                {29999, 9712, 0, "terminate interrupt - -"},
                                {1, 9712, 0, "kill kill kill kill:started"}, {999, 9712, 0, "kill kill - -"},
                                {1, 9712, 0, "kill kill kill -"}, {1000, 9712, 0, "kill kill kill -"},
                                {1000, 100, 0, "kill kill kill -"}}},
                {"it survived its interrupt",
                        .looks = {TO_INTERRUPT, {100, 6500, 0, "interrupt interrupt - -"},
                                {100, 6499, 0, "interrupt interrupt - -"},
                                {999, 6499, 0, "interrupt interrupt - -"},
                                {1, 6499, 0, "watch ok unfuse+thaw watch:done"},
                                {MIN_, 6499, 0, "watch ok - -"}}},
                {"it frees some on its way out, and takes more",
                        .looks = {TO_INTERRUPT, {100, 3000, 0, "interrupt interrupt - -"},
                                {500, 6500, 0, "interrupt interrupt - -"},
                                {600, 3000, 0, "interrupt interrupt - -"},
                                {1000, 3000, 0, "watch ok unfuse+thaw watch:done"}}},
                {"it survived its SIGTERM",
                        .looks = {TO_INTERRUPT,
                                {30000, 9000, 0, "terminate interrupt terminate+thaw terminate:started"},
                                {100, 3000, 0, "terminate interrupt - -"},
                                {1000, 3000, 0, "watch ok unfuse+thaw watch:done"}}},
                {"and is interrupted again at the next crossing",
                        .looks = {TO_INTERRUPT, {100, 6000, 0, NULL},
                                {1000, 6000, 0, "watch ok unfuse+thaw watch:done"}, {MIN_, 9700, 100, NULL},
                                {2, 9712, 100, "held hold freeze freeze:done"}}},
                {"its handlers grow, with a fuse: left to their work",
                        .looks = {TO_INTERRUPT, {100, 9960, 100, "interrupt interrupt - -"}}},
                {"its handlers grow into the wall", .keys = "fuse=no",
                        .looks = {TO_INTERRUPT_UNFUSED, {100, 9900, 100, "interrupt interrupt - -"},
                                {100, 9950, 100, "interrupt interrupt freeze -"},
                                {1000, 9950, 0, "interrupt interrupt - -"},
                                {29000, 9950, 0, "terminate interrupt terminate+thaw terminate:started"},
                                {100, 9960, 100, "terminate interrupt freeze -"},
                                {30000, 9960, 0, "kill kill kill kill:started"}}},
                {"kill switched off: let go, and left to its owner", .keys = "kill=off fuse=no",
                        .looks = {TO_INTERRUPT_UNFUSED, {30000, 9712, 0, NULL},
                                {100, 9950, 100, "terminate interrupt freeze -"},
                                {30000, 9950, 0, "terminate interrupt thaw kill:passed over"},
                                {1000, 9960, 100, "terminate interrupt - -"},
                                {HOUR_, 9960, 0, "terminate interrupt - -"},
                                {1000, 3000, 0, "terminate interrupt - -"},
                                {1000, 3000, 0, "watch ok unfuse+thaw watch:done"}}},
                {"grace of nothing", .keys = "grace=0",
                        .looks = {TO_INTERRUPT,
                                {1, 9712, 0, "terminate interrupt terminate+thaw terminate:started"},
                                {1, 9712, 0, "kill kill kill kill:started"}}},
        };
        WALK(rows);
}

static void shared(void **state HR_UNUSED)
{
        static const struct life rows[] = {
                {"the host fills, and it is not this job's turn",
                        .looks = {{1000, 3000, 0, "watch ok - -", .host = 6900, .host_pace = 100},
                                {1000, 3000, 0, "watch notice - notice:done", .host = 7500, .host_pace = 100},
                                {1000, 3000, 0, "watch notice - -", .host = 8500, .host_pace = 100},
                                {1000, 3000, 0, "watch notice - -", .host = 9800, .host_pace = 500},
                                {2, 3000, 0, "watch notice - -", .host = 9900, .host_pace = 500}}},
                {"its turn: without waiting, not held",
                        .looks = {{1000, 3000, 0, "watch trim trim notice:done,trim:started", TURN,
                                          .host = 8500, .host_pace = 100},
                                {1000, 3000, 0, NULL, TURN, .host = 9700, .host_pace = 400},
                                {2, 3000, 0, "brake interrupt freeze interrupt:asked", TURN, .host = 9713,
                                        .host_pace = 400},
                                {2, 3000, 0, "interrupt interrupt fuse+interrupt+thaw interrupt:started",
                                        TURN, .host = 9713}}},
                {"a full host at rest", .looks = {{1000, 3000, 0, "watch ok - -", TURN, .host = 9900},
                                                {HOUR_, 3000, 0, "watch ok - -", TURN, .host = 9900}}},
                {"the host's time alone is no notice",
                        .looks = {{1000, 3000, 0, "watch ok - -", TURN, .host = 6000, .host_pace = 2000}}},
                {"an ancestor, its turn: held",
                        .looks = {{1000, 3000, 0, NULL, SHARED | TURN, .host = 9600, .host_pace = 100},
                                {1000, 3100, 0, NULL, SHARED | TURN, .host = 9700, .host_pace = 100},
                                {2, 3200, 0, "held hold freeze freeze:done", SHARED | TURN, .host = 9713,
                                        .host_pace = 100}}},
                {"an ancestor, not its turn",
                        .looks = {{1000, 3000, 0, NULL, SHARED, .host = 9600, .host_pace = 100},
                                {1000, 3100, 0, NULL, SHARED, .host = 9700, .host_pace = 100},
                                {2, 3200, 0, "watch notice - -", SHARED, .host = 9713, .host_pace = 100}}},
                {"no freezer: a shared limit kills nobody by level", .means = NO_FREEZE,
                        .looks = {{1000, 3000, 0, NULL, SHARED, .host = 9600, .host_pace = 100},
                                {1000, 3100, 0, "watch notice - -", SHARED, .host = 9900, .host_pace = 100}}},
                {"both limits at the wall, at rest",
                        .looks = {{1000, 9750, 0, "watch ok - -", TURN, .host = 9750},
                                {10, 9750, 0, "watch ok - -", TURN, .host = 9750},
                                {10, 9750, 0, "watch ok - -", TURN, .host = 9750}}},
                {"the own wall after the host's",
                        .looks = {{1000, 9000, 0, "watch ok - -", TURN, .host = 9750},
                                {10, 9700, 100, NULL, TURN, .host = 9750},
                                {2, 9712, 100, "held hold freeze freeze:done", TURN, .host = 9750}}},
                {"the own limit is the worse one",
                        .looks = {{1000, 9500, 100, NULL, .host = 8000},
                                {1000, 9700, 100, NULL, .host = 8000},
                                {2, 9712, 100, "held hold freeze freeze:done", .host = 8000}}},
        };
        WALK(rows);
}

static void observes(void **state HR_UNUSED)
{
#define WHOLE_LADDER                                                                                  \
        {1000, 6999, 10, "watch ok - -"}, {1000, 7000, 10, "watch notice - notice:observed"},         \
                {1000, 7500, 10, "watch notice - -"}, {1000, 8000, 10, "watch trim - trim:observed"}, \
                {1000, 9000, 10, "watch checkpoint - checkpoint:observed"},                           \
        {                                                                                             \
                1000, 9700, 10, "watch checkpoint - -"                                                \
        }
        static const struct life rows[] = {
                {"observe", .policy = "observe", .means = CAN_SAVE | ROOM, .keys = "elastic=yes",
                        .looks = {WHOLE_LADDER, {100, 9710, 100, "watch hold - freeze:observed"},
                                {100, 9990, 100, "watch hold - -"}, {100, 10000, 100, "watch hold - -"},
                                {1000, 5000, 0, "watch hold - -"}, {10000, 5000, 0, "watch ok - watch:done"},
                                {1000, 7000, 10, "watch notice - notice:observed"}}},
                {"the way in", .means = WAY_IN,
                        .looks = {WHOLE_LADDER, {100, 9710, 100, "watch hold - freeze:observed"},
                                {100, 9900, 100, "watch kill - kill:observed"},
                                {100, 9950, 100, "watch kill - -"}}},
                {"an observed job in peace", .policy = "observe",
                        .looks = {{1000, 8300, 0, "watch ok - -"}, {HOUR_, 9600, 0, "watch ok - -"}}},
        };
        WALK(rows);

        for (enum hr_ask ask = HR_ASK_NOTHING; ask <= HR_ASK_KILL; ask++) {
                struct job j;
                job_init(&j, "the way in, asked", NULL, NULL, WAY_IN | CAN_SAVE);
                look(&j, "the way in, asked", &(struct look){1000, 9000, 100, NULL, .ask = ask});
                look(&j, "the way in, asked", &(struct look){1000, 9900, 100, NULL, .ask = ask});
        }
}

/* ---- the owner's verbs, in each phase ---- */

static void asked(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                enum hr_phase phase;
                bool frozen;
                enum hr_ask ask;
                const char *wanted;
        } rows[] = {
#define PHASE(phase, frozen, ask, wanted) {#phase " " #ask, HR_PHASE_##phase, frozen, HR_ASK_##ask, wanted}
                PHASE(WATCH, false, NOTHING, "watch trim - -"),
                PHASE(WATCH, false, TRIM, "watch trim trim trim:started"),
                PHASE(WATCH, false, CHECKPOINT, "save checkpoint save+thaw checkpoint:started"),
                PHASE(WATCH, false, HOLD, "held hold freeze freeze:done"),
                PHASE(WATCH, false, RESUME, "watch trim - -"),
                PHASE(WATCH, false, ROOM, "watch trim - -"),
                PHASE(WATCH, false, INTERRUPT, "interrupt interrupt fuse+interrupt+thaw interrupt:started"),
                PHASE(WATCH, false, KILL, "kill kill kill kill:started"),

                PHASE(BRAKE, true, NOTHING, "save checkpoint save+thaw checkpoint:started"),
                PHASE(BRAKE, true, TRIM, "brake trim trim trim:started"),
                PHASE(BRAKE, true, CHECKPOINT, "brake trim - -"), /* it is on its way */
                PHASE(BRAKE, true, HOLD, "held hold freeze freeze:done"),
                PHASE(BRAKE, true, RESUME, "watch trim fuse+thaw thaw:done"),
                PHASE(BRAKE, true, ROOM, "watch trim thaw thaw:done"),
                PHASE(BRAKE, true, INTERRUPT, "interrupt interrupt fuse+interrupt+thaw interrupt:started"),
                PHASE(BRAKE, true, KILL, "kill kill kill kill:started"),

                PHASE(SAVE, false, NOTHING, "save trim - -"),
                PHASE(SAVE, false, TRIM, "save trim trim trim:started"),
                PHASE(SAVE, false, CHECKPOINT, "save trim - -"), /* one is under way */
                PHASE(SAVE, false, HOLD, "held hold freeze freeze:done"),
                PHASE(SAVE, false, RESUME, "save trim - -"),
                PHASE(SAVE, false, ROOM, "save trim - -"),
                PHASE(SAVE, false, INTERRUPT, "interrupt interrupt fuse+interrupt+thaw interrupt:started"),
                PHASE(SAVE, false, KILL, "kill kill kill kill:started"),

                PHASE(HELD, true, NOTHING, "held trim - -"),
                PHASE(HELD, true, TRIM, "held trim trim trim:started"),
                PHASE(HELD, true, CHECKPOINT, "held trim - -"), /* it can't answer */
                PHASE(HELD, true, HOLD, "held trim - -"),
                PHASE(HELD, true, RESUME, "watch trim thaw thaw:done"), /* at 80 % there is room again */
                PHASE(HELD, true, ROOM, "watch trim thaw thaw:done"),
                PHASE(HELD, true, INTERRUPT, "interrupt interrupt fuse+interrupt+thaw interrupt:started"),
                PHASE(HELD, true, KILL, "kill kill kill kill:started"),

                PHASE(INTERRUPT, false, NOTHING, "interrupt trim - -"),
                PHASE(INTERRUPT, false, TRIM, "interrupt trim trim trim:started"),
                PHASE(INTERRUPT, false, CHECKPOINT, "interrupt trim - -"),
                PHASE(INTERRUPT, false, HOLD, "held hold freeze freeze:done"),
                PHASE(INTERRUPT, true, RESUME, "watch trim fuse+thaw thaw:done"),
                PHASE(INTERRUPT, true, ROOM, "watch trim thaw thaw:done"),
                PHASE(INTERRUPT, false, RESUME, "interrupt trim - -"),
                PHASE(INTERRUPT, false, INTERRUPT, "interrupt trim - -"), /* a second one breaks a finally */
                PHASE(INTERRUPT, false, KILL, "kill kill kill kill:started"),

                PHASE(TERMINATE, false, TRIM, "terminate trim trim trim:started"),
                PHASE(TERMINATE, false, HOLD, "held hold freeze freeze:done"),
                PHASE(TERMINATE, true, RESUME, "watch trim fuse+thaw thaw:done"),
                PHASE(TERMINATE, true, ROOM, "watch trim thaw thaw:done"),
                PHASE(TERMINATE, false, INTERRUPT, "terminate trim - -"),
                PHASE(TERMINATE, false, KILL, "kill kill kill kill:started"),

                PHASE(KILL, true, TRIM, "kill trim - -"), /* nothing stops it */
                PHASE(KILL, true, CHECKPOINT, "kill trim - -"),
                PHASE(KILL, true, HOLD, "kill trim - -"),
                PHASE(KILL, true, RESUME, "kill trim - -"),
                PHASE(KILL, true, ROOM, "kill trim - -"),
                PHASE(KILL, true, INTERRUPT, "kill trim - -"),
                PHASE(KILL, true, KILL, "kill kill kill kill:started"),
        };

        TEST_ROWS(row, rows)
        {
                struct job j;
                job_init(&j, row->name, NULL, NULL, CAN_SAVE);
                j.state = (struct hr_policy_state){
                        .phase = row->phase,
                        .after_brake = HR_PHASE_SAVE,
                        .stage = HR_STAGE_TRIM,
                        .deadline_usec = j.now_usec + 30 * HR_USEC_PER_SEC,
                };
                j.frozen = row->frozen;
                look(&j, row->name,
                        &(struct look){1, 8000, 0, NULL, .ask = row->ask,
                                .save = row->phase == HR_PHASE_SAVE ? HR_SAVE_RUNNING : HR_SAVE_NONE});
                EXPECT_STR(row->name, j.line, row->wanted);
        }

        static const struct life lives[] = {
                {"held by its owner, without a freezer", .means = NO_FREEZE,
                        .looks = {{1000, 3000, 0, NULL},
                                {1, 3000, 0, "watch ok - freeze:passed over", .ask = HR_ASK_HOLD}}},
                {"asked to save, without a method",
                        .looks = {{1000, 3000, 0, NULL},
                                {1, 3000, 0, "watch ok - checkpoint:passed over", .ask = HR_ASK_CHECKPOINT}}},
                {"held by its owner: room does not let it go",
                        .looks = {{1000, 3000, 0, NULL},
                                {1, 3000, 0, "held hold freeze freeze:done", .ask = HR_ASK_HOLD},
                                {HOUR_, 1000, 0, "held hold - -"},
                                {1, 1000, 0, "watch ok thaw thaw:done", .ask = HR_ASK_RESUME}}},
                {"held at the wall, then by its owner",
                        .looks = {TO_HOLD, {1000, 9712, 0, "held hold - -", .ask = HR_ASK_HOLD},
                                {1000, 5000, 0, "held hold - -"}, {10000, 5000, 0, "held hold - -"}}},
                {"interrupted low: one SIGINT, and left alone",
                        .looks = {{1000, 3000, 0, NULL},
                                {1, 3000, 0, "interrupt interrupt fuse+interrupt+thaw interrupt:started",
                                        .ask = HR_ASK_INTERRUPT},
                                {10, 3000, 0, "interrupt interrupt - -"},
                                {1000, 3000, 0, "watch ok unfuse+thaw watch:done"}}},
        };
        WALK(lives);
}

/* ---- the reasons ---- */

static void reasons(void **state HR_UNUSED)
{
        struct job j;

        job_init(&j, "reasons", NULL, NULL, 0);
        look(&j, "reasons", &(struct look){1000, 7000, 100, NULL});
        assert_int_equal(j.decision.notes[0].stage, HR_STAGE_NOTICE);
        assert_int_equal(j.decision.notes[0].previous, HR_STAGE_OK);
        assert_string_equal(j.decision.notes[0].reason,
                "6.8 GiB of 9.8 GiB used (70.0 %), growing 100 MiB/s, about 30 s left at this pace");
        look(&j, "reasons", &(struct look){1000, 9000, 100, NULL});
        assert_non_null(strstr(j.decision.notes[0].reason, "no method is set"));

        job_init(&j, "reasons", NULL, NULL, 0);
        look(&j, "reasons", &(struct look){1000, 3000, 0, NULL, .host = 9700, .host_pace = 100});
        assert_non_null(strstr(j.decision.notes[0].reason, "the host is full, not your limit"));

        job_init(&j, "held", NULL, NULL, 0); /* what stands still has no pace, whatever its history says */
        look(&j, "held", &(struct look){1000, 9700, 100, NULL});
        look(&j, "held", &(struct look){2, 9712, 100, "held hold freeze freeze:done"});
        assert_string_equal(j.decision.notes[0].reason,
                "held just before its limit, nothing is lost; 9.5 GiB of 9.8 GiB used (97.1 %); waits at "
                "most 3 d");
        look(&j, "held", &(struct look){1000, 9712, 100, NULL, .ask = HR_ASK_RESUME});
        assert_null(strstr(j.decision.notes[0].reason, "pace"));
}

#define of(s, used, limit)                                                  \
        (struct hr_candidate)                                               \
        {                                                                   \
                .source = (s), .used_bytes = (used), .limit_bytes = (limit) \
        }

/* ---- thresholds and weights ---- */

static void thresholds(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                uint32_t used; /* permyriad of LIMIT */
                const char *keys;
                uint32_t rehold;
                uint32_t wanted; /* the same; 0: none */
        } rows[] = {
                {"nothing used", 0, "", 0, 7000},
                {"below notice", 6999, "", 0, 7000},
                {"at notice", 7000, "", 0, 8000},
                {"at trim", 8000, "", 0, 9000},
                {"at checkpoint", 9000, "", 0, 9700},
                {"at hold: half way, or kill", 9700, "", 0, 9800},
                {"past kill: half way", 9800, "", 0, 9900},
                {"half way again", 9900, "", 0, 9950},
                {"notice off", 0, "notice=off", 0, 8000},
                {"all off", 5000, "notice=off trim=off checkpoint=off hold=off kill=off", 0, 0},
                {"past all, hold off", 9900, "hold=off", 0, 0},
                {"resumed", 9750, "", 9790, 9790},
                {"resumed above", 9750, "", 9990, 9800},
        };

        TEST_ROWS(row, rows)
        {
                struct job j;
                job_init(&j, row->name, NULL, row->keys, 0);
                j.state.wall[0].rehold_bytes = row->rehold * HR_MIB;
                EXPECT_UINT(row->name,
                        hr_policy_next_threshold(
                                &j.policy, &j.state.wall[0], &of(HR_SOURCE_OWN, row->used * HR_MIB, LIMIT)),
                        row->wanted ? row->wanted * HR_MIB : HR_BYTES_NONE);
                EXPECT_UINT(row->name,
                        hr_policy_next_threshold(&j.policy, &j.state.wall[0],
                                &of(HR_SOURCE_OWN, row->used * HR_MIB, HR_BYTES_NONE)),
                        HR_BYTES_NONE);
        }

        struct job j;
        struct test_random r = test_random_new("thresholds");
        job_init(&j, "random", NULL, NULL, 0);
        for (int i = 0; i < 100000; i++) { /* never behind, never past the limit, odd limits too */
                uint64_t limit = test_random_size(&r) >> 1, used = test_random_size(&r) >> 1;
                uint64_t next = hr_policy_next_threshold(
                        &j.policy, &j.state.wall[0], &of(HR_SOURCE_OWN, used, limit));
                if (next != HR_BYTES_NONE)
                        assert_true(next >= used && (next <= limit || used >= limit));
                else
                        assert_true(used >= limit / 10000 * 7000);
        }
}

/* A limit that is shared leaves room for the end of a job: 4 MiB, but not below 95.5 %. */
static void shared_room(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                enum hr_source source;
                uint64_t limit, wanted; /* MiB, a hundredth of it */
        } rows[] = {
                {"its own", HR_SOURCE_OWN, 100, 9700},
                {"a small slice", HR_SOURCE_ANCESTOR, 100, 9600},
                {"a tiny slice", HR_SOURCE_ANCESTOR, 50, 4775},
                {"a large slice", HR_SOURCE_ANCESTOR, 400, 38800},
                {"the host", HR_SOURCE_HOST, 100, 9600},
        };

        TEST_ROWS(row, rows)
        {
                struct hr_wall wall = {0};
                struct hr_policy p;
                struct job j;
                job_init(&j, row->name, NULL, NULL, 0);
                p = j.policy;
                uint64_t limit = row->limit * HR_MIB;
                uint64_t next =
                        hr_policy_next_threshold(&p, &wall, &of(row->source, limit / 10000 * 9500, limit));
                EXPECT_UINT(row->name, (next + HR_MIB / 200) * 100 / HR_MIB, row->wanted);
        }
}

/* A checkpoint that asks for more time gets what a hold would wait, in all. */
static void extends(void **state HR_UNUSED)
{
        struct job j;
        job_init(&j, "extends", NULL, "checkpoint_deadline=2min hold_timeout=15min", 0);
        uint64_t begin = j.now_usec, minute = 60 * HR_USEC_PER_SEC;

        assert_int_equal(
                hr_policy_extend_save(&j.state, &j.policy, begin, minute), 0); /* none is under way */
        j.state.phase = HR_PHASE_SAVE;
        j.state.save_usec = begin;
        j.state.deadline_usec = begin + 2 * minute;
        EXPECT_UINT("less", hr_policy_extend_save(&j.state, &j.policy, begin, minute), begin + 2 * minute);
        EXPECT_UINT("more", hr_policy_extend_save(&j.state, &j.policy, begin + minute, 5 * minute),
                begin + 6 * minute);
        EXPECT_UINT("too much", hr_policy_extend_save(&j.state, &j.policy, begin + minute, 60 * minute),
                begin + 15 * minute);
        EXPECT_UINT("for ever", hr_policy_extend_save(&j.state, &j.policy, begin, UINT64_MAX),
                begin + 15 * minute);
}

static void weights(void **state HR_UNUSED)
{
        struct hr_sample s = {.used_bytes = HR_GIB};

        assert_int_equal(hr_policy_weight(&s), HR_GIB);
        s.candidate_count = 1;
        s.candidates[0].growth_bytes_per_second = HR_GIB;
        assert_int_equal(hr_policy_weight(&s), 61 * HR_GIB);
}

static void rests(void **state HR_UNUSED)
{
        assert_false(hr_policy_moved(64 * HR_MIB, 10 * HR_MIB, 11 * HR_MIB));
        assert_true(hr_policy_moved(64 * HR_MIB, 10 * HR_MIB, 11 * HR_MIB + 1));
        assert_false(hr_policy_moved(64 * HR_MIB, 10 * HR_MIB, 9 * HR_MIB));
        assert_true(hr_policy_moved(64 * HR_MIB, 10 * HR_MIB, 9 * HR_MIB - 1));
        assert_false(hr_policy_moved(HR_BYTES_NONE, 0, 16 * HR_MIB));
        assert_true(hr_policy_moved(HR_BYTES_NONE, 0, 17 * HR_MIB));
        assert_int_equal(hr_policy_rest_pause(0, true), 50 * HR_USEC_PER_MSEC);
        assert_int_equal(hr_policy_rest_pause(8 * HR_USEC_PER_SEC, true), 2 * HR_USEC_PER_SEC);
        assert_int_equal(hr_policy_rest_pause(12 * HR_USEC_PER_SEC, true), 12 * HR_USEC_PER_SEC);
        assert_int_equal(hr_policy_rest_pause(12 * HR_USEC_PER_SEC, false), 3 * HR_USEC_PER_SEC);
        assert_int_equal(hr_policy_rest_wire(64 * HR_MIB, 10 * HR_MIB), 12 * HR_MIB);
        assert_true(hr_policy_rest_wire(HR_BYTES_NONE, 10 * HR_MIB) == HR_BYTES_NONE);
}

/* ---- random lives ---- */

static uint64_t below(struct test_random *r, uint64_t n)
{
        return test_random_next(r) % n;
}

static void saves_held(void **state HR_UNUSED)
{
        static const struct life rows[] = {
                {"it is saved once it is held, and its owner is asked", .means = BY_CRIU,
                        .looks = {{1000, 9500, 10,
                                          "watch trim trim notice:done,checkpoint:passed over,trim:started"},
                                {1000, 9700, 10, NULL}, {100, 9712, 10, "held hold freeze freeze:done"},
                                {10, 9712, 0, "held hold - -", STUCK},
                                {10, 9712, 0, "held hold save checkpoint:started"},
                                {1000, 9712, 0, "held hold - -", .save = HR_SAVE_RUNNING},
                                {1000, 9712, 0, "held hold - checkpoint:proven", .save = HR_SAVE_PROVEN},
                                {1000, 9712, 0, "held hold - -"},
                                {1000, 9712, 0, "kill kill kill kill:started", .ask = HR_ASK_KILL}}},
                {"nobody touches it while it is saved, but to end it", .means = BY_CRIU,
                        .keys = "hold_max=2s",
                        .looks = {{1000, 9500, 10, NULL}, {1000, 9700, 10, NULL}, {100, 9712, 10, NULL},
                                {10, 9712, 0, "held hold save checkpoint:started"},
                                {10, 9712, 0, "held hold - -", PENDING, .save = HR_SAVE_RUNNING},
                                {10, 9712, 0, "held hold - -", .ask = HR_ASK_RESUME, .save = HR_SAVE_RUNNING},
                                {10, 9712, 0, "held hold - -", YIELD | SHORTAGE, .save = HR_SAVE_RUNNING},
                                {MIN_, 5000, 0, "held hold - -", .save = HR_SAVE_RUNNING},
                                {10, 9712, 0, "kill kill kill kill:started", .ask = HR_ASK_KILL,
                                        .save = HR_SAVE_RUNNING}}},
                {"one that could not be saved is held as any", .means = BY_CRIU,
                        .looks = {{1000, 9500, 10, NULL}, {1000, 9700, 10, NULL}, {100, 9712, 10, NULL},
                                {10, 9712, 0, "held hold save checkpoint:started"},
                                {1000, 9712, 0, "held hold - checkpoint:failed", .save = HR_SAVE_FAILED},
                                {1000, 9712, 0, "held hold - -"}}},
                {"without a hold it is ended where it stands", .means = BY_CRIU, .keys = "hold_timeout=0",
                        .looks = {{1000, 9500, 10, NULL}, {1000, 9700, 10, NULL},
                                {100, 9712, 10, "held hold freeze freeze:done"},
                                {10, 9712, 0, "held hold save checkpoint:started"},
                                {1000, 9712, 0, "kill kill kill checkpoint:proven,kill:started",
                                        .save = HR_SAVE_PROVEN}}},
                {"and interrupted where that failed", .means = BY_CRIU, .keys = "hold_timeout=0",
                        .looks = {{1000, 9500, 10, NULL}, {1000, 9700, 10, NULL}, {100, 9712, 10, NULL},
                                {10, 9712, 0, "held hold save checkpoint:started"},
                                {1000, 9712, 0,
                                        "interrupt interrupt fuse+interrupt+thaw "
                                        "checkpoint:failed,interrupt:asked,interrupt:started",
                                        .save = HR_SAVE_FAILED}}},
                {"asked for while it runs, it is held for that alone", .means = BY_CRIU,
                        .looks = {{1000, 5000, 0, "watch ok - -"},
                                {1000, 5000, 0, "held hold freeze freeze:done", .ask = HR_ASK_CHECKPOINT},
                                {10, 5000, 0, "held hold save checkpoint:started"},
                                {1000, 5000, 0, "held hold - -", .save = HR_SAVE_RUNNING},
                                {1000, 5000, 0, "watch ok thaw checkpoint:proven,thaw:done",
                                        .save = HR_SAVE_PROVEN}}},
        };
        WALK(rows);
}

static void writes_ahead(void **state HR_UNUSED)
{
#define AHEAD .means = BY_CRIU, .keys = "criu_predump=yes"
        static const struct life rows[] = {
                {"not unless it is asked for", .means = BY_CRIU,
                        .looks = {{1000, 8000, 10, "watch trim trim notice:done,trim:started"},
                                {1000, 8001, 10, "watch trim - trim:done", TRIMMED},
                                {1000, 8002, 10, "watch trim - -"}}},
                {"after the trim, once, and the dump uses it up", AHEAD,
                        .looks = {{1000, 8000, 10, "watch trim trim notice:done,trim:started"},
                                {1000, 8001, 10, "watch trim - -", BUSY},
                                {1000, 8002, 10, "watch trim predump trim:done,predump:started", TRIMMED},
                                {1000, 8003, 10, "watch trim - -", .predump = HR_SAVE_RUNNING},
                                {1000, 8004, 10, "watch trim - predump:done", .predump = HR_SAVE_PROVEN},
                                {1000, 9000, 10, "watch trim - checkpoint:passed over"},
                                {HOUR_, 9001, 10, "watch trim - -"}, {1000, 9700, 10, NULL},
                                {100, 9712, 10, "held hold freeze freeze:done"},
                                {10, 9712, 0, "held hold save checkpoint:started"},
                                {1000, 9712, 0, "held hold - checkpoint:proven", .save = HR_SAVE_PROVEN},
                                {1000, 7000, 0, "held hold - -"},
                                {2000, 7000, 0, "watch notice thaw thaw:done"}}},
                {"one that was given room", AHEAD,
                        .looks = {{1000, 8000, 10, NULL}, {1000, 8001, 10, NULL, TRIMMED},
                                {1000, 8004, 10, "watch trim - predump:done", .predump = HR_SAVE_PROVEN},
                                {1000, 4000, 0, "watch trim - -"},
                                {11000, 4000, 0, "watch ok forget watch:done,predump:removed"},
                                {1000, 4000, 0, "watch ok - -"}}},
                {"not before it is written", AHEAD,
                        .looks = {{1000, 8000, 10, NULL}, {1000, 8001, 10, NULL, TRIMMED},
                                {1000, 4000, 0, "watch trim - -", .predump = HR_SAVE_RUNNING},
                                {11000, 4000, 0, "watch ok - watch:done", .predump = HR_SAVE_RUNNING},
                                {1000, 4000, 0, "watch ok forget predump:done,predump:removed",
                                        .predump = HR_SAVE_PROVEN}}},
                {"one that failed costs nothing", AHEAD,
                        .looks = {{1000, 8000, 10, NULL}, {1000, 8001, 10, NULL, TRIMMED},
                                {1000, 8002, 10, "watch trim - predump:failed", .predump = HR_SAVE_FAILED},
                                {1000, 8003, 10, "watch trim - -"}, {1000, 9700, 10, NULL},
                                {100, 9712, 10, "held hold freeze freeze:done"},
                                {10, 9712, 0, "held hold save checkpoint:started"}}},
                {"too late for it", AHEAD,
                        .looks = {{1000, 8000, 1500, NULL},
                                {100, 8002, 1500, "watch trim - trim:done", TRIMMED},
                                {100, 9004, 1500, "watch trim - checkpoint:passed over,predump:passed over"},
                                {100, 9005, 10, "watch trim - -"}}},
                {"it only seemed to be too late", AHEAD,
                        .looks = {{1000, 8000, 1500, NULL},
                                {100, 8002, 1500, "watch trim - trim:done", TRIMMED},
                                {100, 8003, 10, "watch trim predump predump:started"}}},
                {"nothing to be trimmed", .means = BY_CRIU | NO_TRIM, .keys = "criu_predump=yes",
                        .looks = {{1000, 8000, 10,
                                "watch trim predump notice:done,trim:passed over,predump:started"}}},
                {"a kernel that can't", .means = BY_CRIU | NO_TRIM | UNTRACKED, .keys = "criu_predump=yes",
                        .looks = {{1000, 8000, 10,
                                          "watch trim - notice:done,trim:passed over,predump:passed over"},
                                {1000, 8000, 10, "watch trim - -"}}},
                {"with another method it is nothing", .means = CAN_SAVE | NO_TRIM, .keys = "criu_predump=yes",
                        .looks = {{1000, 8000, 10, "watch trim - notice:done,trim:passed over"}}},
                {"nor where it is not saved", .means = BY_CRIU | NO_TRIM,
                        .keys = "criu_predump=yes checkpoint=off",
                        .looks = {{1000, 8000, 10, "watch trim - notice:done,trim:passed over"}}},
        };
        WALK(rows);
}

static void random_lives(void **state HR_UNUSED)
{
        static const char *const keys[] = {"", "", "interrupt=off", "kill=off", "interrupt=off kill=off",
                "hold=off", "hold_timeout=0", "notice=off trim=off", "checkpoint=off", "grace=0",
                "elastic=yes", "fuse=no", "margin=0%", "criu_predump=yes", "criu_predump=yes hold_timeout=0"};
        static const char *const policies[] = {"default", "default", "batch", "observe"};
        struct test_random r = test_random_new("random_lives");

        for (int life = 0; life < 400; life++) {
                char name[80];
                struct job j;
                unsigned means = (unsigned)below(&r, 1 << 10) & (unsigned)test_random_next(&r);
                const char *policy = policies[below(&r, ELEMENTSOF(policies))],
                           *key = keys[below(&r, ELEMENTSOF(keys))];
                uint64_t most_usec = 0;
                double level = 1 + (double)below(&r, 9000);
                bool flat = life % 8 == 0;

                job_init(&j, "random", policy, key, means);
                for (int i = 0; i < 250; i++) {
                        struct look l = {.after_msec = below(&r, 4) ? below(&r, 50) : below(&r, 200000)};
                        (void)snprintf(name, sizeof(name), "life %d (%s, %s, %#x), look %d", life, policy,
                                key, means, i);
                        if (flat) { /* a job that does not grow, wherever it is */
                                j.level_before = 0;
                                l.level = (uint32_t)level;
                        } else {
                                if (!j.in.frozen)
                                        level += ((double)below(&r, 2001) - 960) / 4;
                                level = below(&r, 60) == 0 ? 1 + (double)below(&r, 9000) : level;
                                level = level < 1 ? 1 : level > 10000 ? 10000 : level;
                                l.level = (uint32_t)level;
                                l.pace = below(&r, 3) ? below(&r, 2000) : 0;
                                l.flags = (unsigned)(test_random_next(&r) & test_random_next(&r) &
                                                     test_random_next(&r)) &
                                          0xff;
                                l.host = below(&r, 2) ? 5000 + (uint32_t)below(&r, 5001) : 0;
                                l.host_pace = below(&r, 2000);
                                l.save = below(&r, 4) ? HR_SAVE_RUNNING
                                                      : (enum hr_save)below(&r, HR_SAVE_FAILED + 1);
                                l.predump = (enum hr_save)below(&r, HR_SAVE_FAILED + 1);
                                if (!(j.policy.observe) && below(&r, 12) == 0)
                                        l.ask = (enum hr_ask)below(&r, HR_ASK_KILL);
                        }
                        enum hr_phase before = j.state.phase;
                        bool could_be_frozen = j.in.means.can_freeze;
                        look(&j, name, &l);
                        most_usec = MAX(most_usec, j.decision.deadline_usec);

                        if (flat)
                                EXPECT_STR(name, j.line, "watch ok - -");
                        /* None that can be frozen is killed for a level. */
                        if (j.state.phase == HR_PHASE_KILL && before == HR_PHASE_WATCH && could_be_frozen)
                                EXPECT_UINT(
                                        name, j.policy.level_permyriad[HR_STAGE_INTERRUPT], HR_PERMYRIAD_OFF);
                        if (j.state.phase == HR_PHASE_KILL)
                                break;
                }
                /* Left alone, it doesn't stay frozen: within three days and the graces it runs or is killed.
                 */
                uint64_t end = j.now_usec + 73 * UINT64_C(3600) * HR_USEC_PER_SEC;
                while (j.frozen && j.now_usec < end)
                        look(&j, name, &(struct look){10000, (uint32_t)level, 0, NULL});
                EXPECT_FALSE(name, j.frozen);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(climbs),
                cmocka_unit_test(in_peace),
                cmocka_unit_test(leaves),
                cmocka_unit_test(saves),
                cmocka_unit_test(saves_held),
                cmocka_unit_test(writes_ahead),
                cmocka_unit_test(holds),
                cmocka_unit_test(elastic),
                cmocka_unit_test(ends),
                cmocka_unit_test(shared),
                cmocka_unit_test(observes),
                cmocka_unit_test(asked),
                cmocka_unit_test(reasons),
                cmocka_unit_test(thresholds),
                cmocka_unit_test(shared_room),
                cmocka_unit_test(extends),
                cmocka_unit_test(weights),
                cmocka_unit_test(rests),
                cmocka_unit_test(random_lives),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
