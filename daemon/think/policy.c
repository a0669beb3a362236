/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "think/policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * One function for each phase, in a table; each looks at the input, says what to do, and names the next
 * phase.
 *
 *   WATCH ──90 % growing, method──▶ BRAKE ─▶ SAVE ──▶ WATCH
 *     │                                        │ 97 % again
 *     └──97 % growing───────────────▶ HELD ◀───┘
 *                                      │ time over, owner, host full
 *                        BRAKE ─▶ INTERRUPT ─▶ TERMINATE ─▶ KILL
 *
 * From HELD, INTERRUPT and TERMINATE a job comes back to WATCH as soon as there is room.
 *
 * The wall. A job seen past the hold level for the first time is looked at once more a moment later, and
 * held only if it has climbed in between, above all that it had used there before: one that rises to 97.5 %
 * and stays there, or moves up and down there, is not touched. Where nothing brakes it (no memory.high) and
 * at its pace it would be through the wall before that look, it is held at once.
 */

#define LOOK_USEC \
        (2 * HR_USEC_PER_MSEC) /* to the second look; chosen: freezing took 14 to 40 ms, polls 3 us */
#define WALL_SHARE 32          /* a rise that counts, of the room left: in a second, 32 s to the limit */
#define WALL_WINDOW_USEC (1 * HR_USEC_PER_SEC)
#define UNBRAKED_USEC \
        (20 * HR_USEC_PER_MSEC) /* nearer than this without a brake: no second look; half a freeze */
#define BRAKE_USEC                                                                              \
        (5 * HR_USEC_PER_SEC) /* limit nearer than this: brake before saving; chosen, not tuned \
                               */
#define FREEZE_PATIENCE_USEC (1 * HR_USEC_PER_SEC) /* a task in D state may never freeze: go on without */
#define ROOM_SETTLE_USEC (1 * HR_USEC_PER_SEC)     /* room must last this long before a held job is let go */
#define RAISE_PATIENCE_USEC \
        (3 * HR_USEC_PER_SEC)      /* a limit not raised by then won't be; writes took up to 1.7 s */
#define ENDING_WALL_PERMYRIAD 9950 /* closer than any hold: it has been told to end, and needs the room */
#define KILL_AGAIN_USEC (1 * HR_USEC_PER_SEC)
#define HOST_FULL_PERMYRIAD 9000 /* below, its numbers stand there only for want of another limit */
#define MOVED_SHARE 64           /* chosen, not tuned; so is what counts where there is no limit: */
#define UNLIMITED_MOVED_BYTES (16 * HR_MIB)
#define REST_LEAST_USEC (50 * HR_USEC_PER_MSEC)
#define LAST_ROOM_BYTES (16 * HR_MIB) /* a 60 MiB job died in its traceback with 1.8 MiB left */
#define LAST_ROOM_SHARE 50            /* 2 % of the limit where that is more; chosen, not tuned */
#define FUSE_LEAST_BYTES HR_MIB       /* chosen, not tuned */
#define NOISE_BYTES (64 * HR_KIB)     /* per-CPU charge batches of the kernel make usage jump by this much */

struct step {
        struct hr_policy_state *state;
        const struct hr_policy_input *in;
        const struct hr_policy *policy;
        struct hr_decision *out;
        const struct hr_candidate *binding; /* the candidate that is worst off; NULL: no limit at all */
        uint32_t ratio;                     /* of binding */
};

static void HR_PRINTF(5, 6) note(
        struct step *s, enum hr_stage stage, const char *action, const char *outcome, const char *format, ...)
{
        struct hr_decision *out = s->out;
        if (out->note_count == HR_NOTES_MAX)
                return; /* four things told of one step are enough */
        struct hr_note *n = &out->notes[out->note_count++];
        n->stage = stage;
        n->previous = s->state->stage;
        n->action = action;
        n->outcome = outcome;
        va_list ap;
        va_start(ap, format);
        hr_units_vformat_text(n->reason, sizeof(n->reason), format, ap);
        va_end(ap);
}

/* "growing 20.0 MiB/s, 1 to 3 min left at this pace". Of a job that stands still, or is being stopped, a pace
 * says nothing. */
static const char *pace(const struct step *s, char *buf, size_t size)
{
        const struct hr_candidate *c = s->binding;
        char rate[HR_TEXT_SIZE_MAX], left[HR_TEXT_SIZE_MAX];

        buf[0] = '\0';
        if (c->growth_bytes_per_second == 0 || s->in->frozen || (s->out->actions & HR_ACT_FREEZE))
                return buf;
        hr_units_format_bytes(rate, c->growth_bytes_per_second);
        /* Not proven yet: what is told of its pace is told of the time as well. */
        uint64_t most = c->left_max_usec != HR_USEC_NEVER
                                ? c->left_max_usec
                                : hr_sub(c->limit_bytes, c->used_bytes) /
                                          MAX(c->growth_bytes_per_second / HR_USEC_PER_SEC, 1U);
        if (c->left_min_usec == HR_USEC_NEVER)
                snprintf(buf, size, ", growing %s/s", rate);
        else
                snprintf(buf, size, ", growing %s/s, %s left at this pace%s", rate,
                        hr_units_format_estimate(left, c->left_min_usec, MAX(most, c->left_min_usec)),
                        c->step_will_not_fit ? ", no room for another step like the last" : "");
        return buf;
}

/* "388.0 MiB of 400 MiB used (97.0 %), growing 20.0 MiB/s, less than a second left at this pace" */
static const char *numbers(const struct step *s, char *buf, size_t size)
{
        const struct hr_candidate *c = s->binding;
        char used[HR_TEXT_SIZE_MAX], limit[HR_TEXT_SIZE_MAX], level[HR_TEXT_SIZE_MAX], growth[140];
        if (!c) {
                snprintf(buf, size, "%s used, no limit",
                        hr_units_format_bytes(used, s->in->sample->used_bytes));
                return buf;
        }
        hr_units_format_bytes(used, c->used_bytes);
        hr_units_format_bytes(limit, c->limit_bytes);
        hr_units_format_level(level, s->ratio);
        const char *whose = c->source == HR_SOURCE_ANCESTOR   ? "the limit shared with others: "
                            : c->source != HR_SOURCE_HOST     ? ""
                            : s->ratio >= HOST_FULL_PERMYRIAD ? "the host is full, not your limit: "
                                                              : "the host's memory: ";
        snprintf(buf, size, "%s%s of %s used (%s)%s", whose, used, limit, level,
                pace(s, growth, sizeof(growth)));
        return buf;
}
#define NUMBERS(s) numbers((s), (char[240]){0}, 240)

/* How long a job at its hold level may take to answer a trim: 8 to 24 ms were seen (600 MiB in cycles). One
 * that has no garbage fills its room meanwhile. */
#define TRIM_FIRST_USEC (30 * HR_USEC_PER_MSEC)
#define TRIM_PAID_USEC (300 * HR_USEC_PER_MSEC)
#define TRIM_LOOK_USEC (5 * HR_USEC_PER_MSEC)
#define SHARED_ROOM_BYTES (4 * HR_MIB) /* 2.3 MiB were too few for two Python processes that save */
#define SHARED_SOONER_PERMYRIAD 150    /* and not below 95.5 %: a job that rests at 95 % is left in peace */

static bool level_on(const struct step *s, enum hr_stage stage)
{
        return s->policy->level_permyriad[stage] != HR_PERMYRIAD_OFF;
}

/* What the numbers are of; a limit that is none leaves it as it is. */
static void bind(struct step *s, const struct hr_candidate *c)
{
        if (c->limit_bytes == HR_BYTES_NONE)
                return;
        s->binding = c;
        s->ratio = hr_ratio_permyriad(c->used_bytes, c->limit_bytes);
}

/*
 * Where a stage begins, in bytes. A job that is held for its own limit gets a reserve for its end; a limit
 * that is shared is not ours to raise, so that under a small one it is held a little sooner, with the room
 * that a traceback and a small file take.
 */
static uint64_t level_bytes(const struct hr_policy *policy, const struct hr_candidate *c, enum hr_stage stage)
{
        uint64_t level = policy->level_permyriad[stage], limit = c->limit_bytes;
        uint64_t at = limit / HR_PERMYRIAD_ALL * level + limit % HR_PERMYRIAD_ALL * level / HR_PERMYRIAD_ALL;

        if (stage != HR_STAGE_HOLD || c->source == HR_SOURCE_OWN)
                return at;
        uint64_t soonest = hr_sub(at, limit / HR_PERMYRIAD_ALL * SHARED_SOONER_PERMYRIAD);
        return MIN(at, MAX(soonest, hr_sub(limit, SHARED_ROOM_BYTES)));
}

static bool past(const struct step *s, const struct hr_candidate *c, enum hr_stage stage)
{
        return level_on(s, stage) && c->limit_bytes != HR_BYTES_NONE &&
               c->used_bytes >= level_bytes(s->policy, c, stage);
}

static bool growing(const struct hr_candidate *c)
{
        return c->rising || c->growth_bytes_per_second > 0;
}

static struct hr_wall *wall_of(const struct step *s, const struct hr_candidate *c)
{
        return &s->state->wall[c - s->in->sample->candidates];
}

/*
 * Does it climb into its limit: on new ground past the hold level, by a 32nd of the room that is left, within
 * about a second, and the limit within reach at that pace. What moves below its own peak there is left in
 * peace.
 */
static bool at_the_wall(struct step *s, const struct hr_candidate *c)
{
        struct hr_wall *w = wall_of(s, c);
        uint64_t now = s->in->now_usec;

        if (!past(s, c, HR_STAGE_HOLD) || c->used_bytes < w->rehold_bytes)
                return false;
        if (c->used_bytes >= c->limit_bytes && c->rising)
                return true;
        if (w->peak_bytes == 0) {
                w->peak_bytes = w->base_bytes = MAX(c->used_bytes, 1);
                w->since_usec = now;
                if (growing(c))
                        s->out->look_again_usec = MIN(s->out->look_again_usec, now + LOOK_USEC);
                return !s->in->means.braked && c->rising && c->left_min_usec <= UNBRAKED_USEC;
        }
        uint64_t headroom = hr_sub(c->limit_bytes, c->used_bytes);
        uint64_t risen = hr_sub(c->used_bytes, w->base_bytes);
        uint64_t elapsed = hr_sub(now, w->since_usec);
        w->peak_bytes = MAX(w->peak_bytes, c->used_bytes);
        if (risen > MAX(NOISE_BYTES, headroom / WALL_SHARE) && growing(c)) {
                uint64_t left =
                        elapsed *
                        (headroom / risen + 1); /* as much again, this often, till the limit: at most 33 */
                if (MIN(left, c->left_min_usec) <= s->policy->reach_usec)
                        return true;
        }
        if (elapsed >= WALL_WINDOW_USEC) {
                w->base_bytes = w->peak_bytes;
                w->since_usec = now;
        }
        return false;
}

static void forget_walls(struct step *s)
{
        uint32_t level = s->policy->level_permyriad[HR_STAGE_HOLD];
        for (size_t i = 0; i < s->in->sample->candidate_count; i++) {
                const struct hr_candidate *c = &s->in->sample->candidates[i];
                struct hr_wall *w = &s->state->wall[i];
                bool none = c->limit_bytes == HR_BYTES_NONE || level == HR_PERMYRIAD_OFF;
                uint64_t hold = none ? 0 : level_bytes(s->policy, c, HR_STAGE_HOLD);
                uint64_t point = c->limit_bytes / 100;
                /* One point below the level, so that noise at the level does not start it anew each time. */
                if (none || c->used_bytes + point < hold)
                        w->peak_bytes = 0;
                if (none || c->used_bytes + point * s->policy->margin_permyriad / 100 < hold)
                        w->rehold_bytes = 0;
        }
}

static void begin_walls_anew(struct step *s, bool rehold_too)
{
        for (size_t i = 0; i < HR_CANDIDATES_MAX; i++) {
                s->state->wall[i].peak_bytes = 0;
                if (rehold_too)
                        s->state->wall[i].rehold_bytes = 0;
        }
}

static bool is_shared(const struct hr_candidate *c)
{
        return c->source == HR_SOURCE_HOST || c->source == HR_SOURCE_ANCESTOR;
}

/* A shared limit's stages past notice go to one job at a time. */
static bool may_act_on(const struct hr_candidate *c)
{
        return !is_shared(c) || c->turn;
}

/* Files read one by one: it grows by steps of one size, and another one has no room. Growth that is proven
 * has a longest time that is left: two steps of a start-up are no pattern yet. */
static bool at_last_step(const struct hr_candidate *c)
{
        return c->step_will_not_fit && c->left_max_usec != HR_USEC_NEVER;
}

/*
 * Near by the clock, below the level. Both ends of the range must be near, so that one steep step does not
 * cry wolf; and growth must have lasted for longer than is left, or most that is told would be of programs
 * that load their data and are done: of 15 under twice the memory that they came to use, 12 were told so
 * without this rule, none with it (tests/replay/test-foresight). Near is the last step, too, whenever it
 * comes.
 */
static bool near_in_time(const struct step *s, const struct hr_candidate *c)
{
        const struct hr_policy *p = s->policy;
        bool soon = c->growth_bytes_per_second > 0 && c->lasting && c->left_max_usec <= p->notice_time_usec;

        return level_on(s, HR_STAGE_NOTICE) && p->notice_time_usec > 0 && (soon || at_last_step(c)) &&
               hr_ratio_permyriad(c->used_bytes, c->limit_bytes) >= 2000;
}

/* The stage that one limit alone would ask for. */
static enum hr_stage wanted(struct step *s, const struct hr_candidate *c)
{
        const struct hr_policy *p = s->policy;
        bool shared = is_shared(c);

        if (c->limit_bytes == HR_BYTES_NONE)
                return HR_STAGE_OK;
        if (may_act_on(c)) {
                if (past(s, c, HR_STAGE_KILL) && c->rising && !s->in->means.can_freeze && !shared)
                        return HR_STAGE_KILL;
                if (at_the_wall(s, c))
                        return HR_STAGE_HOLD;
                if (past(s, c, HR_STAGE_CHECKPOINT) && growing(c) && c->left_min_usec <= p->horizon_usec)
                        return HR_STAGE_CHECKPOINT;
                if (past(s, c, HR_STAGE_TRIM) && growing(c) && c->left_min_usec <= p->horizon_usec)
                        return HR_STAGE_TRIM;
        }
        if (past(s, c, HR_STAGE_NOTICE) && growing(c) && c->left_min_usec <= p->horizon_usec)
                return HR_STAGE_NOTICE;
        if (!shared && near_in_time(s, c)) /* the host is judged by level */
                return HR_STAGE_NOTICE;
        return HR_STAGE_OK;
}

static void enter(struct step *s, enum hr_phase phase, enum hr_stage stage, uint64_t deadline_usec)
{
        s->state->phase = phase;
        s->state->stage = stage;
        s->state->phase_since_usec = s->in->now_usec;
        s->state->below_since_usec = 0;
        s->state->deadline_usec = deadline_usec;
}

static bool over(const struct step *s, uint64_t deadline_usec)
{
        return deadline_usec > 0 && s->in->now_usec >= deadline_usec;
}

/* ---- entering what comes after WATCH ---- */

static bool fuse_wanted(const struct step *s)
{
        return s->in->means.can_fuse && s->policy->fuse != HR_FUSE_NO;
}

static void enter_kill(struct step *s, const char *why)
{
        note(s, HR_STAGE_KILL, "kill", "started", "the whole job is ended: %s", why);
        s->out->actions |= HR_ACT_KILL;
        s->state->interrupted = true;
        enter(s, HR_PHASE_KILL, HR_STAGE_KILL, s->in->now_usec + KILL_AGAIN_USEC);
}

static void send_interrupt(struct step *s)
{
        char grace[HR_TEXT_SIZE_MAX];
        bool fuse = fuse_wanted(s);
        s->out->actions |= HR_ACT_INTERRUPT | HR_ACT_THAW | (fuse ? HR_ACT_FUSE : 0);
        s->state->fused |= fuse;
        s->state->interrupted = true;
        if (TAKE_VALUE(s->state->image)) /* its handlers run */
                s->state->saved = false;
        note(s, HR_STAGE_INTERRUPT, "interrupt", "started",
                "SIGINT sent%s; SIGTERM follows in %s if it has not ended; %s",
                fuse ? ", with a fuse that turns the next large allocation into a MemoryError" : "",
                hr_units_format_time(grace, s->policy->grace_usec), NUMBERS(s));
        enter(s, HR_PHASE_INTERRUPT, HR_STAGE_INTERRUPT, s->in->now_usec + s->policy->grace_usec);
}

static void enter_brake(struct step *s, enum hr_phase after, enum hr_stage stage)
{
        s->state->after_brake = after;
        s->out->actions |= HR_ACT_FREEZE;
        enter(s, HR_PHASE_BRAKE, stage, s->in->now_usec + FREEZE_PATIENCE_USEC);
}

static void tell_passed_over(struct step *s, enum hr_stage stage, const char *action, const char *why)
{
        if (s->state->told_passed & (1 << stage))
                return;
        s->state->told_passed |= 1 << stage;
        note(s, s->state->stage, action, "passed over", "%s; %s", why, NUMBERS(s));
}

/* The hold is over, or must not be: by interrupt where it is on, else by kill where that is on; else false.
 */
static bool enter_ending(struct step *s, const char *why)
{
        bool ends = level_on(s, HR_STAGE_INTERRUPT) || level_on(s, HR_STAGE_KILL);
        if (ends && s->state->image) {
                /* Its handlers would change files that the image expects as they are. */
                char text[160];
                snprintf(text, sizeof(text), "%s; its image is complete", why);
                enter_kill(s, text);
        } else if (level_on(s, HR_STAGE_INTERRUPT)) {
                note(s, HR_STAGE_INTERRUPT, "interrupt", "asked", "%s", why);
                if (s->in->means.can_freeze && !s->in->frozen && fuse_wanted(s))
                        enter_brake(s, HR_PHASE_INTERRUPT, HR_STAGE_INTERRUPT);
                else
                        send_interrupt(s);
        } else if (level_on(s, HR_STAGE_KILL)) {
                enter_kill(s, why);
        } else {
                tell_passed_over(s, HR_STAGE_INTERRUPT, "interrupt", "the policy has interrupt and kill off");
                return false;
        }
        return true;
}

static bool cooled_down(const struct step *s, uint64_t last_usec)
{
        return last_usec == 0 || over(s, last_usec + s->policy->cooldown_usec);
}

/* It is saved when it stands still. */
static void want_held_save(struct step *s, enum hr_after_save after)
{
        s->state->held_save = HR_HELD_SAVE_WAITS;
        s->state->after_save = after;
        s->state->phase_since_usec = s->in->now_usec;
}

static void enter_hold(struct step *s, bool by_owner)
{
        const struct hr_policy *p = s->policy;
        char time[HR_TEXT_SIZE_MAX], text[HR_TEXT_SIZE_MAX];
        uint64_t now = s->in->now_usec;
        bool host = s->binding && s->binding->source == HR_SOURCE_HOST;
        bool raise = !by_owner && p->elastic && s->in->means.room_bytes > 0 && s->in->means.can_freeze &&
                     s->binding && s->binding->source == HR_SOURCE_OWN;

        bool saves = !by_owner && !raise && s->in->means.saves_held && s->in->means.can_save &&
                     s->in->means.can_freeze && level_on(s, HR_STAGE_CHECKPOINT) && !s->state->image &&
                     cooled_down(s, s->state->save_usec);
        bool ends = saves && (p->hold_timeout_usec == 0 || host);

        if (!by_owner && !raise && !ends) {
                if (!s->in->means.can_freeze) {
                        tell_passed_over(s, HR_STAGE_HOLD, "freeze", s->in->means.no_freeze);
                        enter_ending(s, "it grows and can't be held");
                        return;
                }
                if (p->hold_timeout_usec == 0) {
                        tell_passed_over(s, HR_STAGE_HOLD, "freeze", "its policy does not hold");
                        enter_ending(s, s->state->saved ? "its checkpoint is proven" : "no room is left");
                        return;
                }
                if (host) {
                        enter_ending(s, "the host is full, and holding a job frees nothing");
                        return;
                }
        }
        s->out->actions |= HR_ACT_FREEZE;
        s->state->owner_held = by_owner;
        s->state->held_short_usec = 0;
        if (raise) {
                s->out->actions |= HR_ACT_RAISE;
                s->out->raise_bytes = s->in->means.room_bytes;
                s->state->raising = true;
                note(s, HR_STAGE_HOLD, "limit", "started", "held for a moment to raise its limit to %s; %s",
                        hr_units_format_bytes(text, s->in->means.room_bytes), NUMBERS(s));
        } else if (by_owner) {
                note(s, HR_STAGE_HOLD, "freeze", "done", "held as asked, for at most %s; %s",
                        hr_units_format_time(time, p->hold_max_usec), NUMBERS(s));
        } else if (ends) {
                note(s, HR_STAGE_HOLD, "freeze", "done", "held to be saved by CRIU and ended: %s; %s",
                        host ? "holding a job frees nothing of a full host" : "its policy does not hold",
                        NUMBERS(s));
        } else {
                note(s, HR_STAGE_HOLD, "freeze", "done",
                        "held just before its limit, nothing is lost; %s; waits at most %s", NUMBERS(s),
                        hr_units_format_time(
                                time, s->in->shortage ? p->hold_timeout_usec : p->hold_max_usec));
        }
        enter(s, HR_PHASE_HELD, HR_STAGE_HOLD, hr_add(now, raise ? RAISE_PATIENCE_USEC : p->hold_max_usec));
        if (saves)
                want_held_save(s, ends ? HR_AFTER_SAVE_END : HR_AFTER_SAVE_HOLD);
}

static void start_save(struct step *s)
{
        char method[272], time[HR_TEXT_SIZE_MAX];
        const struct hr_checkpoint_method own_code = {.method = HR_METHOD_CHANNEL};
        s->out->actions |= HR_ACT_SAVE | HR_ACT_THAW;
        s->state->save_usec = s->in->now_usec;
        s->state->save_spent = true;
        note(s, HR_STAGE_CHECKPOINT, "checkpoint", "started", "checkpoint by %s, within %s; %s",
                hr_config_spell_method(
                        method, s->in->means.in_place ? &own_code : &s->policy->checkpoint_method),
                hr_units_format_time(time, s->policy->checkpoint_deadline_usec), NUMBERS(s));
        enter(s, HR_PHASE_SAVE, HR_STAGE_CHECKPOINT, s->in->now_usec + s->policy->checkpoint_deadline_usec);
}

/* What has been left may be done, and told, again at the next crossing. */
static void forget_above(struct hr_policy_state *state, enum hr_stage stage)
{
        if (stage < HR_STAGE_CHECKPOINT)
                state->save_spent = false;
        if (stage < HR_STAGE_TRIM)
                state->trim_spent = state->predump_spent = false;
        state->told_passed &= (1 << (stage + 1)) - 1;
}

/* The stage that the level alone says, for the hysteresis to go on from. */
static enum hr_stage stage_by_level(const struct step *s)
{
        enum hr_stage stage = HR_STAGE_OK;
        for (enum hr_stage e = HR_STAGE_NOTICE; e <= HR_STAGE_CHECKPOINT; e++)
                if (s->binding && past(s, s->binding, e))
                        stage = e;
        bool saves = s->in->means.can_save && !s->in->means.saves_held;
        return stage == HR_STAGE_CHECKPOINT && !saves ? HR_STAGE_TRIM : stage;
}

static void let_go(struct step *s)
{
        s->state->owner_held = false;
        s->state->raising = false;
        s->state->held_save = HR_HELD_SAVE_NONE;
        if (TAKE_VALUE(s->state->image)) /* it goes on from there, and changes files: of another moment now */
                s->state->saved = false;
        begin_walls_anew(s, false);
        if (!s->binding || !past(s, s->binding, HR_STAGE_CHECKPOINT))
                forget_above(s->state, stage_by_level(s));
        enter(s, HR_PHASE_WATCH, stage_by_level(s), 0);
}

static void thaw_with_room(struct step *s, const char *why)
{
        s->out->actions |= HR_ACT_THAW | (s->state->fused ? HR_ACT_UNFUSE : 0);
        s->state->fused = false;
        begin_walls_anew(s, true);
        note(s, stage_by_level(s), "thaw", "done", "goes on: %s; %s", why, NUMBERS(s));
        let_go(s);
}

static void thaw_without_room(struct step *s, const char *why)
{
        bool fuse = fuse_wanted(s);
        s->out->actions |= HR_ACT_THAW | (fuse ? HR_ACT_FUSE : 0);
        s->state->fused |= fuse;
        /* Held again half way to the limit, not at once: it was told to go on. Where no kernel ends it at its
         * limit it gets room to end by itself, which its own answers to us don't use up. */
        const struct hr_candidate *c = s->binding;
        if (c && c->limit_bytes != HR_BYTES_NONE) {
                uint64_t left = hr_sub(c->limit_bytes, c->used_bytes), room = left / 2;
                if (fuse) /* what the fuse leaves it, and half as much for what it had mapped before */
                        room = MAX(room, hr_policy_fuse_reserve(left) / 2 * 3);
                if (s->in->means.soft_limit && c->source == HR_SOURCE_OWN)
                        room = MAX(room, hr_policy_last_room(c->limit_bytes));
                wall_of(s, c)->rehold_bytes = hr_add(c->used_bytes, room);
        }
        note(s, stage_by_level(s), "thaw", "done", "goes on without more room: %s%s; %s", why,
                fuse ? "; its next large allocation becomes a MemoryError" : "", NUMBERS(s));
        let_go(s);
}

/* ---- the phases ---- */

/* Nothing may be done: the ladder runs by level, to the events alone. */
static void observe(struct step *s, enum hr_stage want)
{
        static const char *const actions[HR_STAGE_COUNT] = {
                [HR_STAGE_OK] = "watch",
                [HR_STAGE_NOTICE] = "notice",
                [HR_STAGE_TRIM] = "trim",
                [HR_STAGE_CHECKPOINT] = "checkpoint",
                [HR_STAGE_HOLD] = "freeze",
                [HR_STAGE_INTERRUPT] = "interrupt",
                [HR_STAGE_KILL] = "kill",
        };
        if (want <= s->state->stage)
                return;
        note(s, want, actions[want], "observed", "%s", NUMBERS(s));
        enter(s, HR_PHASE_WATCH, want, 0);
}

/* A job that lives by its trims would be told of each crossing, every few seconds for hours. */
static bool is_quiet(const struct step *s)
{
        const struct hr_policy_state *state = s->state;
        return state->paid_told_usec > 0 && !over(s, state->paid_told_usec + s->policy->cooldown_usec);
}

static void climb(struct step *s, enum hr_stage want);

/* A stage is passed over: what stands below it and is on. */
static void climb_below(struct step *s, enum hr_stage stage)
{
        while (--stage > HR_STAGE_OK)
                if (level_on(s, stage)) {
                        climb(s, stage);
                        return;
                }
}

static void start_trim(struct step *s)
{
        s->state->trim_spent = true;
        s->state->trim_usec = s->in->now_usec;
        s->out->actions |= HR_ACT_TRIM;
        if (!is_quiet(s))
                note(s, HR_STAGE_TRIM, "trim", "started", "%s; %s", s->in->means.trim_by, NUMBERS(s));
}

/*
 * One that is held can't give back its garbage. Where its limit may stand back, its own processes get a
 * moment for their answer first: more of it, where a trim has paid before.
 */
static bool lets_it_trim(struct step *s)
{
        struct hr_policy_state *state = s->state;
        uint64_t patience = state->paid_told_usec > 0 ? TRIM_PAID_USEC : TRIM_FIRST_USEC;

        if (!s->in->means.can_stand_back || s->binding->source != HR_SOURCE_OWN ||
                !level_on(s, HR_STAGE_TRIM))
                return false;
        if (s->in->means.can_trim && !state->trim_spent && cooled_down(s, state->trim_usec))
                start_trim(s);
        else if (!s->in->means.trim_is_asked)
                return false;
        if (over(s, state->trim_usec + patience))
                return false;
        s->out->actions |= HR_ACT_STAND_BACK;
        s->out->look_again_usec = MIN(s->out->look_again_usec, s->in->now_usec + TRIM_LOOK_USEC);
        return true;
}

/* CRIU takes a moment to start; what it has not written by the hold, the dump waits for. Chosen, not tuned.
 */
#define PREDUMP_LEFT_USEC (2 * HR_USEC_PER_SEC)

/*
 * What it holds is written ahead while it runs, when what it could give back has been given back: the dump of
 * the held job then writes only what has changed since.
 */
static void write_ahead(struct step *s)
{
        struct hr_policy_state *state = s->state;
        const struct hr_means *means = &s->in->means;
        const char *why_not = NULL;

        if (!s->policy->criu_predump || !means->saves_held || !means->can_save ||
                !level_on(s, HR_STAGE_CHECKPOINT) || state->predump_spent || state->predumped ||
                means->trims || s->out->actions & HR_ACT_TRIM || !cooled_down(s, state->predump_usec))
                return;
        if (!means->can_predump)
                why_not = "the kernel does not track changes of memory";
        else if (s->binding->source == HR_SOURCE_HOST)
                why_not = "the host is full";
        else if (s->binding->left_max_usec < PREDUMP_LEFT_USEC)
                why_not = "its limit is too near for that";
        if (why_not && means->can_predump && !past(s, s->binding, HR_STAGE_CHECKPOINT))
                return; /* which may yet change */
        state->predump_spent = true;
        if (why_not) {
                note(s, state->stage, "predump", "passed over", "its memory is not written ahead: %s; %s",
                        why_not, NUMBERS(s));
                return;
        }
        state->predump_usec = s->in->now_usec;
        state->predumped = true;
        s->out->actions |= HR_ACT_PREDUMP;
        note(s, state->stage, "predump", "started", "CRIU writes its memory ahead while it runs; %s",
                NUMBERS(s));
}

/* It has room again: what was written ahead only takes room on the disk. */
static void forget_predump(struct step *s)
{
        struct hr_policy_state *state = s->state;

        if (!state->predumped || state->phase != HR_PHASE_WATCH || state->stage >= HR_STAGE_TRIM ||
                s->in->predump == HR_SAVE_RUNNING)
                return;
        state->predumped = false;
        s->out->actions |= HR_ACT_FORGET;
        note(s, state->stage, "predump", "removed", "what was written ahead is not needed any more; %s",
                NUMBERS(s));
}

static void climb(struct step *s, enum hr_stage want)
{
        struct hr_policy_state *state = s->state;
        bool up = want > state->stage;

        if (want > HR_STAGE_NOTICE && state->stage < HR_STAGE_NOTICE && level_on(s, HR_STAGE_NOTICE)) {
                if (!is_quiet(s))
                        note(s, HR_STAGE_NOTICE, "notice", "done", "%s", NUMBERS(s));
                enter(s, HR_PHASE_WATCH, HR_STAGE_NOTICE, 0);
        }
        switch (want) {
        case HR_STAGE_NOTICE:
                if (up) {
                        if (!is_quiet(s))
                                note(s, want, "notice", "done", "%s", NUMBERS(s));
                        enter(s, HR_PHASE_WATCH, want, 0);
                }
                break;
        case HR_STAGE_TRIM:
                if (state->trim_spent || !cooled_down(s, state->trim_usec)) {
                        /* once for each crossing */
                } else if (!s->in->means.can_trim) {
                        tell_passed_over(s, want, "trim", "there is nothing that could be reclaimed");
                } else {
                        start_trim(s);
                }
                if (up)
                        enter(s, HR_PHASE_WATCH, want, 0);
                write_ahead(s);
                break;
        case HR_STAGE_CHECKPOINT:
                if (!s->in->means.can_save) {
                        tell_passed_over(s, want, "checkpoint", s->in->means.no_save);
                        climb_below(s, want);
                } else if (s->in->means.saves_held) {
                        tell_passed_over(s, want, "checkpoint", "CRIU saves it when it is held");
                        climb_below(s, want);
                } else if (!state->save_spent && cooled_down(s, state->save_usec)) {
                        if (s->in->means.can_freeze && s->binding->left_min_usec < BRAKE_USEC)
                                enter_brake(s, HR_PHASE_SAVE, want);
                        else
                                start_save(s);
                } else if (up) {
                        enter(s, HR_PHASE_WATCH, want, 0);
                }
                break;
        case HR_STAGE_HOLD:
                if (lets_it_trim(s))
                        break;
                enter_hold(s, false);
                if (state->phase == HR_PHASE_WATCH)
                        climb_below(s, want);
                break;
        case HR_STAGE_KILL:
                if (level_on(s, HR_STAGE_HOLD))
                        tell_passed_over(s, HR_STAGE_HOLD, "freeze", s->in->means.no_freeze);
                /* Its handlers first: the kernel would end it no sooner than we. */
                if (level_on(s, HR_STAGE_INTERRUPT))
                        enter_ending(s, "it grows past the kill level and can't be frozen");
                else
                        enter_kill(s, "it grows past the kill level and can't be frozen");
                break;
        default:
                break;
        }
}

/* A stage is left when usage is a margin below its level, held for the settle time. */
static void descend(struct step *s)
{
        struct hr_policy_state *state = s->state;
        enum hr_stage by =
                state->stage == HR_STAGE_INTERRUPT ? HR_STAGE_HOLD : state->stage; /* it has no level */
        if (state->stage == HR_STAGE_OK)
                return;
        /* A stage that is off, and was entered by the owner's word or before it was, is left at any level. */
        bool low = s->ratio + s->policy->margin_permyriad < s->policy->level_permyriad[by];
        /* Notice may have come by time, far below its level: then it is left when the time is long again. */
        if (state->stage == HR_STAGE_NOTICE && s->binding &&
                (s->binding->left_max_usec <= s->policy->notice_time_usec ||
                        (s->policy->notice_time_usec > 0 && at_last_step(s->binding))))
                low = false;
        if (!low) {
                state->below_since_usec = 0;
                return;
        }
        if (state->below_since_usec == 0)
                state->below_since_usec = s->in->now_usec;
        if (!over(s, state->below_since_usec + s->policy->settle_usec)) {
                s->out->look_again_usec =
                        MIN(s->out->look_again_usec, state->below_since_usec + s->policy->settle_usec);
                return;
        }
        enum hr_stage down = HR_STAGE_OK;
        for (enum hr_stage e = HR_STAGE_NOTICE; e < state->stage; e++)
                if (level_on(s, e) && s->ratio + s->policy->margin_permyriad >= s->policy->level_permyriad[e])
                        down = e;
        forget_above(state, down);
        note(s, down, "watch", "done", "%s", NUMBERS(s));
        if (state->fused) {
                s->out->actions |= HR_ACT_UNFUSE;
                state->fused = false;
        }
        enter(s, HR_PHASE_WATCH, down, 0);
}

/*
 * A trim that brought the job well below its level is over at once, and may be done again at the next
 * crossing: a job may live by it. What it gave back is told once in a cool-down, with what went untold.
 */
static void tell_trimmed(struct step *s)
{
        struct hr_policy_state *state = s->state;
        char bytes[HR_TEXT_SIZE_MAX], all[HR_TEXT_SIZE_MAX], more[HR_TEXT_SIZE_MAX + 48] = "";
        bool paid = state->phase == HR_PHASE_WATCH && state->stage <= HR_STAGE_TRIM && s->binding &&
                    s->ratio + s->policy->margin_permyriad < s->policy->level_permyriad[HR_STAGE_TRIM];

        if (paid && is_quiet(s)) {
                state->paid_count++;
                state->paid_bytes += s->in->trimmed_bytes;
        } else {
                if (state->paid_count > 0)
                        snprintf(more, sizeof(more), ", and %s in %u trims before",
                                hr_units_format_bytes(all, state->paid_bytes), state->paid_count);
                struct step of_own = *s; /* what is shared may be fuller now, and is not what it is about */
                bind(&of_own, &s->in->sample->candidates[0]);
                note(s, state->stage, "trim", "done", "gave back %s%s; %s",
                        hr_units_format_bytes(bytes, s->in->trimmed_bytes), more, NUMBERS(&of_own));
                state->paid_count = 0;
                state->paid_bytes = 0;
                state->paid_told_usec = paid ? s->in->now_usec : 0;
        }
        if (!paid)
                return;
        state->trim_usec = 0;
        state->below_since_usec = 0;
        enum hr_stage down =
                s->ratio + s->policy->margin_permyriad < s->policy->level_permyriad[HR_STAGE_NOTICE]
                        ? HR_STAGE_OK
                        : HR_STAGE_NOTICE;
        forget_above(state, down);
        enter(s, HR_PHASE_WATCH, MIN(state->stage, down), 0);
}

/* The outcome of a trim or a checkpoint comes once, in whatever phase: it may outlast the stage that asked
 * for it. */
static void tell_outcomes(struct step *s)
{
        enum hr_save save = s->in->save;
        const char *text = s->in->save_text[0]      ? s->in->save_text
                           : save == HR_SAVE_PROVEN ? "it is saved"
                                                    : "no proof came";

        if (s->in->trim_done)
                tell_trimmed(s);

        if (save == HR_SAVE_PROVEN) {
                s->state->saved = true;
                s->state->image = s->state->held_save == HR_HELD_SAVE_RUNS;
                note(s, s->state->stage, "checkpoint", "proven", "%s; %s", text, NUMBERS(s));
        } else if (save == HR_SAVE_FAILED) {
                note(s, s->state->stage, "checkpoint", "failed", "%s; %s", text, NUMBERS(s));
        } else if (save == HR_SAVE_ASKED) {
                note(s, s->state->stage, "checkpoint", "asked", "%s; %s", text, NUMBERS(s));
        }
        if (s->in->predump == HR_SAVE_PROVEN) {
                note(s, s->state->stage, "predump", "done", "%s; %s", s->in->predump_text, NUMBERS(s));
        } else if (s->in->predump == HR_SAVE_FAILED) {
                s->state->predumped = false;
                note(s, s->state->stage, "predump", "failed", "its memory was not written ahead: %s; %s",
                        s->in->predump_text, NUMBERS(s));
        }
}

static void phase_watch(struct step *s)
{
        enum hr_stage want = HR_STAGE_OK;
        for (size_t i = 0; i < s->in->sample->candidate_count; i++) {
                const struct hr_candidate *c = &s->in->sample->candidates[i];
                enum hr_stage w = wanted(s, c);
                if (w > want) {
                        want = w;
                        bind(s, c);
                }
        }
        if (s->policy->observe || s->in->means.observe_only)
                observe(s, want);
        else if (want > HR_STAGE_OK)
                climb(s, want);
        if (s->state->phase == HR_PHASE_WATCH)
                descend(s);
}

static void phase_brake(struct step *s)
{
        bool late = over(s, s->state->deadline_usec);
        if (!s->in->frozen && !late)
                return;
        if (s->state->after_brake == HR_PHASE_INTERRUPT)
                send_interrupt(s);
        else
                start_save(s);
}

static void phase_save(struct step *s)
{
        struct hr_policy_state *state = s->state;
        enum hr_save save = s->in->save;
        bool late = over(s, state->deadline_usec);

        if (save == HR_SAVE_RUNNING && !late) {
                /* It saves while it grows: at the wall it is held, and a hook may finish its work on it. */
                for (size_t i = 0; i < s->in->sample->candidate_count; i++)
                        if (may_act_on(&s->in->sample->candidates[i]) &&
                                at_the_wall(s, &s->in->sample->candidates[i])) {
                                s->binding = &s->in->sample->candidates[i];
                                s->ratio =
                                        hr_ratio_permyriad(s->binding->used_bytes, s->binding->limit_bytes);
                                enter_hold(s, false);
                                return;
                        }
                return;
        }
        note(s, HR_STAGE_CHECKPOINT, "checkpoint", "asked", "no proof came before the deadline; %s",
                NUMBERS(s));
        enter(s, HR_PHASE_WATCH, HR_STAGE_CHECKPOINT, 0);
}

#define HELD_SAVE_LOOK_USEC (250 * HR_USEC_PER_MSEC)
#define STAND_STILL_USEC (30 * HR_USEC_PER_SEC) /* a task that waits for a disk freezes only then; chosen */

/*
 * True: it is being saved, and nothing else is done to it. What comes after that depends on why it was held.
 */
static bool held_save(struct step *s)
{
        struct hr_policy_state *state = s->state;
        bool late = over(s, state->phase_since_usec + STAND_STILL_USEC), was_running;

        if (state->held_save == HR_HELD_SAVE_NONE)
                return false;
        if (state->held_save == HR_HELD_SAVE_WAITS && s->in->frozen) {
                s->out->actions |= HR_ACT_SAVE;
                state->held_save = HR_HELD_SAVE_RUNS;
                state->predumped = false; /* used up by it */
                state->save_usec = s->in->now_usec;
                note(s, HR_STAGE_HOLD, "checkpoint", "started", "saved by CRIU while it is held; %s",
                        NUMBERS(s));
                return true;
        }
        if (state->held_save == HR_HELD_SAVE_WAITS && !late) {
                s->out->look_again_usec = MIN(s->out->look_again_usec, s->in->now_usec + HELD_SAVE_LOOK_USEC);
                return true;
        }
        if (state->held_save == HR_HELD_SAVE_RUNS && s->in->save == HR_SAVE_RUNNING) {
                s->out->look_again_usec = MIN(s->out->look_again_usec, s->in->now_usec + HELD_SAVE_LOOK_USEC);
                state->held_short_usec += hr_sub(s->in->now_usec, state->step_usec);
                return true;
        }
        was_running = state->held_save == HR_HELD_SAVE_RUNS;
        state->held_save = HR_HELD_SAVE_NONE;
        if (!was_running)
                note(s, HR_STAGE_HOLD, "checkpoint", "failed", "it does not stand still; %s", NUMBERS(s));
        if (state->after_save == HR_AFTER_SAVE_GO) {
                s->out->actions |= HR_ACT_THAW;
                note(s, stage_by_level(s), "thaw", "done", "goes on: it was held to be saved; %s",
                        NUMBERS(s));
                let_go(s);
                return true;
        }
        return state->after_save == HR_AFTER_SAVE_END &&
               enter_ending(
                       s, state->image ? "its policy ends it when it is saved" : "it could not be saved");
}

static void phase_held(struct step *s)
{
        struct hr_policy_state *state = s->state;
        const struct hr_policy *p = s->policy;
        uint64_t now = s->in->now_usec;

        if (held_save(s))
                return;
        if (s->in->signal_pending) {
                thaw_without_room(s, "a signal waits for it, so that it can obey");
                return;
        }
        if (s->in->shortage && !state->owner_held) {
                state->held_short_usec += state->step_usec > 0 ? hr_sub(now, state->step_usec) : 0;
                if (state->held_short_usec >= p->hold_timeout_usec) {
                        if (enter_ending(s, "nobody answered in the hold time, and others need the memory"))
                                return;
                }
                s->out->look_again_usec = MIN(s->out->look_again_usec, now + HR_USEC_PER_SEC);
        }
        if (s->in->yield && !state->owner_held &&
                enter_ending(s, "another job would have to be held for the same shortage"))
                return;
        if (state->raising && over(s, state->deadline_usec)) {
                state->raising = false;
                if (p->hold_timeout_usec > 0) {
                        char time[HR_TEXT_SIZE_MAX];
                        note(s, HR_STAGE_HOLD, "freeze", "done",
                                "its limit could not be raised, so it is held, nothing is lost; %s; waits at "
                                "most %s",
                                NUMBERS(s),
                                hr_units_format_time(
                                        time, s->in->shortage ? p->hold_timeout_usec : p->hold_max_usec));
                        state->deadline_usec = hr_add(now, p->hold_max_usec);
                } else if (enter_ending(s, "its limit could not be raised, and its policy does not hold")) {
                        return;
                } else {
                        thaw_without_room(
                                s, "its limit could not be raised, and its policy neither holds nor ends it");
                        return;
                }
        }
        if (state->raising && s->in->means.room_bytes > 0) { /* asked again where the helper was at another */
                s->out->actions |= HR_ACT_RAISE;
                s->out->raise_bytes = s->in->means.room_bytes;
        }
        if (over(s, state->deadline_usec)) {
                if (!enter_ending(s, "the longest time that a job may be held is over"))
                        thaw_without_room(s, "the longest time that a job may be held is over");
                return;
        }
        bool room = !state->owner_held && s->binding &&
                    s->ratio + p->margin_permyriad < p->level_permyriad[HR_STAGE_HOLD];
        if (!room && s->binding && !state->owner_held)
                state->below_since_usec = 0;
        else if (room && state->below_since_usec == 0)
                state->below_since_usec = now;
        if (room && over(s, state->below_since_usec + ROOM_SETTLE_USEC))
                thaw_with_room(s, "there is room again");
        else if (room)
                s->out->look_again_usec = MIN(s->out->look_again_usec, now + ROOM_SETTLE_USEC);
}

/* INTERRUPT and TERMINATE: it has been told to end, and runs to obey. */
static void phase_ending(struct step *s)
{
        struct hr_policy_state *state = s->state;
        uint32_t notice = s->policy->level_permyriad[HR_STAGE_NOTICE];
        if (notice == HR_PERMYRIAD_OFF)
                notice = s->policy->level_permyriad[HR_STAGE_HOLD] / 2; /* chosen: well below any level */

        bool room = s->ratio + s->policy->margin_permyriad < notice;
        if (!room)
                state->below_since_usec = 0;
        else if (state->below_since_usec == 0)
                state->below_since_usec = s->in->now_usec;
        if (room && over(s, state->below_since_usec + ROOM_SETTLE_USEC)) {
                s->out->actions |= HR_ACT_UNFUSE | HR_ACT_THAW;
                state->fused = false;
                note(s, HR_STAGE_OK, "watch", "done", "it survived its interrupt and has room again; %s",
                        NUMBERS(s));
                let_go(s);
                return;
        }
        if (room) { /* or it frees what it has on its way out */
                s->out->look_again_usec =
                        MIN(s->out->look_again_usec, state->below_since_usec + ROOM_SETTLE_USEC);
                return;
        }
        if (over(s, state->deadline_usec)) {
                char grace[HR_TEXT_SIZE_MAX];
                if (state->phase == HR_PHASE_INTERRUPT) {
                        s->out->actions |= HR_ACT_TERMINATE | HR_ACT_THAW;
                        note(s, HR_STAGE_INTERRUPT, "terminate", "started",
                                "SIGTERM sent, SIGINT was not enough; the kill follows in %s; %s",
                                hr_units_format_time(grace, s->policy->grace_usec), NUMBERS(s));
                        enter(s, HR_PHASE_TERMINATE, HR_STAGE_INTERRUPT,
                                s->in->now_usec + s->policy->grace_usec);
                } else if (level_on(s, HR_STAGE_KILL)) {
                        enter_kill(s, "it ignored SIGINT and SIGTERM");
                } else {
                        s->out->actions |= HR_ACT_THAW; /* nothing comes any more that it could wait for */
                        note(s, HR_STAGE_INTERRUPT, "kill", "passed over",
                                "it ignored SIGINT and SIGTERM, and the policy has kill off");
                        state->deadline_usec = 0;
                }
                return;
        }
        /*
         * Its handlers grow into the wall: it waits frozen for what comes next, instead of dying there. With
         * a fuse they can't, and are left to their work.
         */
        if (state->deadline_usec > 0 && !state->fused && !s->in->frozen && s->in->means.can_freeze &&
                s->binding && s->binding->rising && s->ratio >= ENDING_WALL_PERMYRIAD &&
                s->binding->source == HR_SOURCE_OWN)
                s->out->actions |= HR_ACT_FREEZE;
}

static void phase_kill(struct step *s)
{
        if (!over(s, s->state->deadline_usec))
                return;
        s->out->actions |= HR_ACT_KILL; /* one that was forked meanwhile */
        s->state->deadline_usec = s->in->now_usec + KILL_AGAIN_USEC;
}

/* ---- what the owner asks ---- */

/* Returns true where the answer is the whole step. */
static bool answer(struct step *s)
{
        struct hr_policy_state *state = s->state;
        bool held = state->phase == HR_PHASE_HELD;

        bool saving = state->held_save == HR_HELD_SAVE_RUNS && s->in->save == HR_SAVE_RUNNING;
        if (s->in->means.observe_only || (saving && s->in->ask != HR_ASK_KILL) ||
                (state->phase == HR_PHASE_KILL && s->in->ask != HR_ASK_KILL))
                return false; /* nothing may be done to it; or nothing else can be done for it */
        switch (s->in->ask) {
        case HR_ASK_NOTHING:
                return false;
        case HR_ASK_TRIM:
                s->out->actions |= HR_ACT_TRIM;
                note(s, state->stage, "trim", "started", "as asked; %s", NUMBERS(s));
                return true;
        case HR_ASK_CHECKPOINT:
                if (s->in->means.saves_held && s->in->means.can_save && s->in->means.can_freeze &&
                        (held || state->phase == HR_PHASE_WATCH)) {
                        if (!held)
                                enter_hold(s, true);
                        want_held_save(s, held ? HR_AFTER_SAVE_HOLD : HR_AFTER_SAVE_GO);
                        s->out->look_again_usec = MIN(s->out->look_again_usec, s->in->now_usec + LOOK_USEC);
                } else if (state->phase == HR_PHASE_WATCH && s->in->means.can_save)
                        start_save(s);
                else if (state->phase == HR_PHASE_WATCH)
                        note(s, state->stage, "checkpoint", "passed over", "%s", s->in->means.no_save);
                return true;
        case HR_ASK_HOLD:
                if (held)
                        state->owner_held = true;
                else if (s->in->means.can_freeze)
                        enter_hold(s, true);
                else
                        note(s, state->stage, "freeze", "passed over", "%s", s->in->means.no_freeze);
                return true;
        case HR_ASK_RESUME:
                if (held &&
                        s->ratio + s->policy->margin_permyriad < s->policy->level_permyriad[HR_STAGE_HOLD])
                        thaw_with_room(s, "its owner said so");
                else if (held || s->in->frozen)
                        thaw_without_room(s, "its owner said so");
                return true;
        case HR_ASK_ROOM:
                begin_walls_anew(s, true);
                if (held || s->in->frozen) {
                        thaw_with_room(s, state->raising ? "its limit was raised, as the policy allows"
                                                         : "its limit was raised");
                } else if (state->fused) {
                        s->out->actions |= HR_ACT_UNFUSE;
                        state->fused = false;
                }
                return true;
        case HR_ASK_INTERRUPT:
                if (state->phase != HR_PHASE_INTERRUPT && state->phase != HR_PHASE_TERMINATE &&
                        state->phase != HR_PHASE_KILL)
                        send_interrupt(s);
                return true;
        case HR_ASK_KILL:
                enter_kill(s, "its owner said so");
                return true;
        }
        return false;
}

static void (*const phases[HR_PHASE_COUNT])(struct step *s) = {
        [HR_PHASE_WATCH] = phase_watch,
        [HR_PHASE_BRAKE] = phase_brake,
        [HR_PHASE_SAVE] = phase_save,
        [HR_PHASE_HELD] = phase_held,
        [HR_PHASE_INTERRUPT] = phase_ending,
        [HR_PHASE_TERMINATE] = phase_ending,
        [HR_PHASE_KILL] = phase_kill,
};

void hr_policy_step(
        struct hr_policy_state *state, const struct hr_policy_input *input, struct hr_decision *ret)
{
        struct step s = {.state = state, .in = input, .policy = input->policy, .out = ret};
        memset(ret, 0, sizeof(*ret));
        ret->look_again_usec = HR_USEC_NEVER;

        for (size_t i = 0; i < input->sample->candidate_count; i++) {
                const struct hr_candidate *c = &input->sample->candidates[i];
                if (c->limit_bytes == HR_BYTES_NONE)
                        continue;
                uint32_t ratio = hr_ratio_permyriad(c->used_bytes, c->limit_bytes);
                if (!s.binding || ratio > s.ratio) {
                        s.binding = c;
                        s.ratio = ratio;
                }
        }
        forget_walls(&s);
        tell_outcomes(&s);
        bool done = state->phase == HR_PHASE_SAVE && input->save != HR_SAVE_NONE &&
                    input->save != HR_SAVE_RUNNING;
        if (done)
                enter(&s, HR_PHASE_WATCH, HR_STAGE_CHECKPOINT, 0);
        if (!answer(&s) && !done)
                phases[state->phase](&s);
        /* It runs in these phases: a thaw that failed is tried again. */
        if (input->frozen && (state->phase == HR_PHASE_WATCH || state->phase == HR_PHASE_SAVE))
                ret->actions |= HR_ACT_THAW;
        forget_predump(&s);
        state->step_usec = input->now_usec;

        ret->stage = state->stage;
        ret->deadline_usec = state->phase == HR_PHASE_WATCH ? 0 : state->deadline_usec;
        if (state->deadline_usec > 0)
                ret->look_again_usec = MIN(ret->look_again_usec, state->deadline_usec);
}

uint64_t hr_policy_extend_save(
        struct hr_policy_state *state, const struct hr_policy *policy, uint64_t now_usec, uint64_t need_usec)
{
        if (state->phase != HR_PHASE_SAVE)
                return 0;
        uint64_t most = state->save_usec + MAX(policy->checkpoint_deadline_usec, policy->hold_timeout_usec);
        state->deadline_usec = MAX(state->deadline_usec, MIN(hr_add(now_usec, need_usec), most));
        return state->deadline_usec;
}

uint64_t hr_policy_next_threshold(
        const struct hr_policy *policy, const struct hr_wall *wall, const struct hr_candidate *c)
{
        uint64_t used_bytes = c->used_bytes;
        if (c->limit_bytes == HR_BYTES_NONE)
                return HR_BYTES_NONE;
        uint64_t next = HR_BYTES_NONE;
        for (enum hr_stage e = HR_STAGE_NOTICE; e < HR_STAGE_COUNT; e++) {
                if (policy->level_permyriad[e] == HR_PERMYRIAD_OFF || e == HR_STAGE_INTERRUPT)
                        continue;
                uint64_t at = level_bytes(policy, c, e);
                if (at > used_bytes)
                        next = MIN(next, at);
        }
        /* Past the wall: half way to the limit each time, so that each further half is looked at. */
        if (policy->level_permyriad[HR_STAGE_HOLD] != HR_PERMYRIAD_OFF &&
                used_bytes >= level_bytes(policy, c, HR_STAGE_HOLD))
                next = MIN(next, used_bytes + hr_sub(c->limit_bytes, used_bytes) / 2);
        if (wall->rehold_bytes > used_bytes)
                next = MIN(next, wall->rehold_bytes);
        return next;
}

bool hr_policy_moved(uint64_t limit_bytes, uint64_t before_bytes, uint64_t now_bytes)
{
        uint64_t least = limit_bytes == HR_BYTES_NONE ? UNLIMITED_MOVED_BYTES : limit_bytes / MOVED_SHARE;

        return now_bytes > hr_add(before_bytes, least) || before_bytes > hr_add(now_bytes, least);
}

uint64_t hr_policy_rest_pause(uint64_t rest_usec, bool has_wire)
{
        return MAX(rest_usec / (has_wire && rest_usec >= HR_POLICY_REST_USEC ? 1 : 4), REST_LEAST_USEC);
}

uint64_t hr_policy_rest_wire(uint64_t limit_bytes, uint64_t used_bytes)
{
        return limit_bytes == HR_BYTES_NONE ? HR_BYTES_NONE : used_bytes + limit_bytes / MOVED_SHARE * 2;
}

uint64_t hr_policy_fuse_reserve(uint64_t room_bytes)
{
        return MAX(room_bytes / 4, FUSE_LEAST_BYTES);
}

uint64_t hr_policy_last_room(uint64_t limit_bytes)
{
        return MAX(LAST_ROOM_BYTES, limit_bytes / LAST_ROOM_SHARE);
}

uint64_t hr_policy_weight(const struct hr_sample *sample)
{
        uint64_t growth = sample->candidate_count > 0 ? sample->candidates[0].growth_bytes_per_second : 0;
        return hr_add(sample->used_bytes, growth * 60); /* what it will weigh in a minute */
}
