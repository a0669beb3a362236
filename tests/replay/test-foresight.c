/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How good the forecast is, held against real programs (recorded/, made by programs.py): what was told of
 * them, and what came of them. Each record is lived through several times, under limits that are chosen from
 * what happened; a life is looked at as the daemon would look.
 *
 * Lives that hit. The programs that the kernel killed at their limit, at that one and at 85, 70 and 55 % of
 * it: growth brings them there at T. Warned in time: the first word comes at least 30 s before T, or three of
 * the job's steps before, whichever is later. A step is a turn of the program's loop: a file that is read, a
 * batch of keys. A ramp that has none would have that of a look.
 *
 * That asks little of one that takes many small steps. So it is held against a stricter ruler too: three
 * steps that show, of 1 % of the limit or more, else 30 s; and where it grows for less than 90 s in all, a
 * third of that. It can't be told sooner: at an even pace 70 % of its limit, the level that speaks, is
 * reached when three tenths of its time are left.
 *
 * Error of the time left: asked when half of the time from the start of growth to T is gone, of what growth
 * alone says.
 *
 * Lives that fit. The programs that ended by themselves or were stopped, at 1.1, 1.3, 1.5 and 2 times the
 * most that they used. False is a notice by time, told below the notice level, of a job that never comes to
 * that level. (What is told at the level is what the policy orders.) Those that repeat themselves are played
 * on for a day: their record, from where they do, over and over. At 1.5 times a program that loads its data
 * at a steady pace stops just short of the level, and nothing tells it from one that goes on: that is shown
 * apart.
 *
 * Nothing was tuned on those that are held back: a third of the first 43, and all of the 35 after them, which
 * were chosen before any was recorded. Asserted of both shares, each by itself: 95 % of the lives are warned
 * in time, and 95 % by the stricter ruler; a median error of 25 % at most; no more than one false notice in
 * 100 job-hours, without those at 1.5 times and with them.
 *
 * Four lives of one program are kin. Of the 32 programs held back that hit, 30 are warned under all four
 * limits: one doubles a table of a third of its limit in one piece, and one fills its limit in five steps, no
 * pattern yet that could be told at the third last. And the job-hours are those of the programs that repeat
 * themselves: counted by lives, at 1.5 times 7 of 17 held back are told falsely, at the other limits none.
 * With FORESIGHT=1 in the environment each life is shown.
 */

#include "test.h"

#include <glob.h>

#include "history.h"

#define RECORDS_MAX 80
#define PLAYED_USEC (24 * 3600 * HR_USEC_PER_SEC)
#define LEAD_USEC (30 * HR_USEC_PER_SEC)
#define LIVES_MAX 400
#define LOOK_MOST_USEC (60 * HR_USEC_PER_SEC)

struct record {
        struct file file;
        bool held_back, killed;
        uint64_t limit_bytes;  /* 0: none */
        uint64_t begins_usec;  /* its growth */
        uint64_t step_usec;    /* a turn of its loop, on the average */
        uint64_t repeats_usec; /* from there on it does the same again and again; 0: it does not */
};

struct share { /* of the records */
        size_t records, hits, warned, usefully, fits, told, false_count;
        double errors[LIVES_MAX], hours;
        size_t error_count, blind; /* blind: nothing was forecast when half of the time was gone */
};

struct foresight {
        struct record *records;
        size_t count;
        struct hr_config *config;
        struct share share[2];      /* tuned, held back */
        struct share two_thirds[2]; /* of lives that fit, at 1.5 times, the limit that is hardest to tell */
};

static bool shown(void)
{
        return getenv("FORESIGHT") != NULL;
}

/* ---- reading ---- */

static void read_record(const char *path, struct record *r)
{
        char line[200], word[24];
        const char *base = strrchr(path, '/');
        FILE *f = fopen(path, "re");
        unsigned number = 0;
        bool share = false, what = false;

        if (!f)
                fail_msg("%s can't be read", path);
        (void)snprintf(r->file.name, sizeof(r->file.name), "%s", base ? base + 1 : path);
        r->file.name[strcspn(r->file.name, ".")] = '\0';
        while (fgets(line, sizeof(line), f)) {
                number++;
                line[strcspn(line, "\n")] = '\0';
                if (sscanf(line, "# share %23s", word) == 1) {
                        r->held_back = strcmp(word, "held-back") == 0;
                        share = r->held_back || strcmp(word, "tuned") == 0;
                } else if (sscanf(line, "# what %23s", word) == 1) {
                        r->killed = strcmp(word, "killed") == 0;
                        what = r->killed || strcmp(word, "ended") == 0 || strcmp(word, "stopped") == 0;
                } else if (line[0] == '#') {
                        (void)(sscanf(line, "# limit %" SCNu64, &r->limit_bytes) == 1 ||
                                sscanf(line, "# begins %" SCNu64, &r->begins_usec) == 1 ||
                                sscanf(line, "# step %" SCNu64, &r->step_usec) == 1 ||
                                sscanf(line, "# repeats %" SCNu64, &r->repeats_usec) == 1);
                } else if (!add_point(&r->file, line)) {
                        fail_msg("%s:%u: no point, or one too many: %s", path, number, line);
                }
        }
        (void)fclose(f);
        if (!share || !what || r->file.count < 10 ||
                (r->killed && (r->limit_bytes == 0 || r->step_usec == 0)))
                fail_msg("%s: lacks its share, what became of it, its limit, its step, or points", path);
}

/* ---- a life ---- */

struct life {
        struct hr_policy policy;
        struct hr_history history;
        struct hr_policy_state state;
        struct hr_policy_input in;
        struct hr_sample sample;
        struct hr_decision decision;
        const struct record *record;
        uint64_t limit_bytes, moved_usec, moved_bytes;
        uint64_t told_usec; /* the first word of any stage; 0: none */
        size_t early;       /* notices below the notice level */
};

static void begin(struct life *l, const struct foresight *f, const struct record *r, uint64_t limit_bytes)
{
        memset(l, 0, sizeof(*l));
        l->record = r;
        l->limit_bytes = limit_bytes;
        l->policy = *hr_config_policy(f->config, "default");
        l->in = (struct hr_policy_input){.policy = &l->policy,
                .sample = &l->sample,
                .means = {.can_freeze = true,
                        .can_trim = true,
                        .trim_by = "reclaims what is cold",
                        .can_fuse = true,
                        .braked = true,
                        .no_save = "no method is set",
                        .no_freeze = ""}};
}

static struct point look(struct life *l, uint64_t now, uint64_t place)
{
        struct point p = at(&l->record->file, place);

        if (hr_policy_moved(l->limit_bytes, l->moved_bytes, p.used_bytes)) {
                l->moved_bytes = p.used_bytes;
                l->moved_usec = now;
        }
        l->sample = make_sample(&l->history, now, &p, l->limit_bytes);
        l->in.now_usec = now;
        hr_policy_step(&l->state, &l->in, &l->decision);
        for (size_t i = 0; i < l->decision.note_count; i++) {
                const struct hr_note *n = &l->decision.notes[i];
                uint32_t level = hr_ratio_permyriad(p.used_bytes, l->limit_bytes);

                if (strcmp(n->action, "watch") == 0)
                        continue;
                if (l->told_usec == 0)
                        l->told_usec = MAX(now, 1U);
                if (strcmp(n->action, "notice") == 0 && level < l->policy.level_permyriad[HR_STAGE_NOTICE])
                        l->early++;
                if (shown())
                        print_message("      %.1f s %s: %s\n", (double)now / 1e6, n->action, n->reason);
        }
        if (l->decision.actions & HR_ACT_THAW)
                l->in.frozen = false;
        return p;
}

static bool is_at_rest(const struct life *l, uint64_t now)
{
        return l->sample.candidates[0].used_bytes >= HR_POLICY_REST_WIRE2_BYTES &&
               l->state.phase == HR_PHASE_WATCH && l->state.stage == HR_STAGE_OK &&
               now >= l->moved_usec + HR_POLICY_REST_USEC;
}

static uint64_t next_look(const struct life *l, const struct foresight *f, uint64_t now)
{
        uint64_t pause = is_at_rest(l, now) ? HR_USEC_NEVER : hr_policy_rest_pause(now - l->moved_usec, true);
        return plan_look(
                f->config, &l->policy, &l->state, &l->decision, &l->sample.candidates[0], false, now, pause);
}

/* Where its tripwire stands. */
static uint64_t wire_at(const struct life *l, uint64_t now)
{
        const struct hr_candidate *own = &l->sample.candidates[0];
        uint64_t at = hr_policy_next_threshold(&l->policy, &l->state.wall[0], own);

        return is_at_rest(l, now) ? MIN(at, hr_policy_rest_wire(l->limit_bytes, own->used_bytes)) : at;
}

/* When the last three steps began before `end`; UINT64_MAX: it has no such steps. A step is a rise of 1 % of
 * the limit or more, at four times the pace of the whole or more, of the most that was used. */
static uint64_t third_last_step(const struct record *r, uint64_t limit_bytes, uint64_t end)
{
        uint64_t starts[3] = {UINT64_MAX, UINT64_MAX, UINT64_MAX}, high = 0;
        const struct file *f = &r->file;
        double whole = (double)at(f, end).used_bytes / (double)(end + 1);
        uint64_t from_usec = 0, from_bytes = 0;
        bool rising = false;

        for (size_t i = 1; i < f->count && f->points[i - 1].usec < end; i++) {
                const struct point *a = &f->points[i - 1], *b = &f->points[i];
                high = MAX(high, a->used_bytes);
                bool steep = b->used_bytes > high &&
                             (double)(b->used_bytes - high) > 4 * whole * (double)(b->usec - a->usec);
                if (steep && !rising) {
                        from_usec = a->usec;
                        from_bytes = high;
                }
                if (rising && !steep && high - from_bytes >= limit_bytes / 100) {
                        starts[0] = starts[1];
                        starts[1] = starts[2];
                        starts[2] = from_usec;
                }
                rising = steep;
        }
        return starts[0];
}

/* Under a limit that it hits at `end`. */
static void live_to_the_limit(struct foresight *f, const struct record *r, uint64_t limit_bytes, uint64_t end)
{
        static struct life l;
        struct share *s = &f->share[r->held_back];
        uint64_t begins = r->begins_usec, half = begins + (end - begins) / 2;
        double error = 1;
        bool asked = false;

        begin(&l, f, r, limit_bytes);
        if (shown())
                print_message("  %s, limit %.0f MB, hit at %.1f s\n", r->file.name, (double)limit_bytes / 1e6,
                        (double)end / 1e6);
        for (uint64_t now = r->file.points[0].usec; now < end;) {
                struct point p = look(&l, now, now);
                struct hr_forecast forecast;

                if (now >= half && !asked) {
                        hr_forecast(&l.history, limit_bytes, &forecast);
                        asked = true;
                        uint64_t pace = forecast.growth_bytes_per_second;
                        if (pace > 0) {
                                double left = (double)hr_sub(limit_bytes, p.used_bytes) / (double)pace;
                                error = left / ((double)(end - now) / 1e6) - 1;
                        }
                        s->blind += pace == 0;
                        s->errors[s->error_count++] = error < 0 ? -error : error;
                        if (shown())
                                print_message("      at half: %.1f s left, said %" PRIu64
                                              " B/s, %.1f to %.1f "
                                              "s; error %+.0f %%\n",
                                        (double)(end - now) / 1e6, pace, (double)forecast.left_min_usec / 1e6,
                                        (double)forecast.left_max_usec / 1e6, error * 100);
                }
                if (l.told_usec > 0 && asked)
                        break;
                uint64_t next = next_look(&l, f, now);
                if (next > half && !asked)
                        next = MAX(half, now + 1);
                now = MAX(crossing(&r->file, now, next, wire_at(&l, now)), now + HR_USEC_PER_MSEC);
        }
        uint64_t third = third_last_step(r, limit_bytes, end), told = 0;
        uint64_t shows = third < UINT64_MAX ? end - third : 0;
        uint64_t wanted = MIN(LEAD_USEC, 3 * r->step_usec);
        uint64_t useful = MIN(shows > 0 ? MIN(LEAD_USEC, shows) : LEAD_USEC, (end - begins) / 3);

        if (l.told_usec > 0)
                told = end - l.told_usec;
        s->hits++;
        s->warned += told >= wanted;
        s->usefully += told >= useful;
        if (shown())
                print_message("      %s: told %.1f s before, %.1f are wanted, %.1f by the stricter ruler\n",
                        told < wanted   ? "LATE"
                        : told < useful ? "SHORT"
                                        : "warned",
                        (double)told / 1e6, (double)wanted / 1e6, (double)useful / 1e6);
}

static void live_in_peace(struct foresight *f, const struct record *r, uint64_t limit_bytes, struct share *s)
{
        static struct life l;
        uint64_t end = r->file.points[r->file.count - 1].usec, peak = 0, now = r->file.points[0].usec;
        uint64_t whole = r->repeats_usec > 0 ? PLAYED_USEC : end;

        begin(&l, f, r, limit_bytes);
        for (size_t i = 0; i < r->file.count; i++)
                peak = MAX(peak, r->file.points[i].used_bytes);
        if (shown())
                print_message("  %s, limit %.0f MB, fits\n", r->file.name, (double)limit_bytes / 1e6);
        while (now <= whole) {
                uint64_t place =
                        now <= end ? now
                                   : r->repeats_usec + (now - r->repeats_usec) % (end - r->repeats_usec);
                (void)look(&l, now, place);
                if (l.state.phase == HR_PHASE_HELD || l.state.phase >= HR_PHASE_INTERRUPT)
                        fail_msg("%s: it fits, and was held", r->file.name);
                /* Its tripwire would ring, which isn't played over the repeats: it is looked at more often.
                 */
                uint64_t next = MIN(next_look(&l, f, now), now + LOOK_MOST_USEC);
                now = MAX(next, now + HR_USEC_PER_MSEC);
        }
        bool never = hr_ratio_permyriad(peak, limit_bytes) < l.policy.level_permyriad[HR_STAGE_NOTICE];
        s->fits++;
        s->told += l.told_usec > 0;
        s->false_count += never ? l.early : 0;
        s->hours += (double)whole / 3.6e9;
        if (shown() && never && l.early > 0)
                print_message("      FALSE\n");
}

/* ---- all of them ---- */

static int by_size(const void *a, const void *b)
{
        const double *x = a, *y = b;
        return (*x > *y) - (*x < *y);
}

static double median(struct share *s)
{
        qsort(s->errors, s->error_count, sizeof(s->errors[0]), by_size);
        return s->error_count ? s->errors[s->error_count / 2] : 1;
}

static void live_all(struct foresight *f)
{
        static const unsigned hit_percent[] = {100, 85, 70, 55}, fit_percent[] = {110, 130, 200};

        for (size_t i = 0; i < f->count; i++) {
                const struct record *r = &f->records[i];
                uint64_t end = r->file.points[r->file.count - 1].usec, peak = 0;

                f->share[r->held_back].records++;
                for (size_t k = 0; k < r->file.count; k++)
                        peak = MAX(peak, r->file.points[k].used_bytes);
                if (r->killed)
                        for (size_t k = 0; k < ELEMENTSOF(hit_percent); k++) {
                                uint64_t limit = r->limit_bytes / 100 * hit_percent[k];
                                live_to_the_limit(
                                        f, r, limit, crossing(&r->file, r->file.points[0].usec, end, limit));
                        }
                else {
                        for (size_t k = 0; k < ELEMENTSOF(fit_percent); k++)
                                live_in_peace(f, r, peak / 100 * fit_percent[k], &f->share[r->held_back]);
                        live_in_peace(f, r, peak / 2 * 3, &f->two_thirds[r->held_back]);
                }
        }
}

static void report(const char *name, struct share *s)
{
        print_message(
                "%s: %zu programs\n"
                "  %zu lives that hit their limit: %zu warned in time (%.1f %%), %zu by the stricter ruler "
                "(%.1f %%)\n"
                "  time left, at half: median error %.0f %%, nothing said in %zu\n"
                "  %zu lives that fit, %.1f job-hours: told of %zu, false %zu\n",
                name, s->records, s->hits, s->warned, 100.0 * (double)s->warned / (double)s->hits,
                s->usefully, 100.0 * (double)s->usefully / (double)s->hits, 100 * median(s), s->blind,
                s->fits, s->hours, s->told, s->false_count);
}

static void enough_records(void **state)
{
        struct foresight *f = *state;

        report("tuned", &f->share[0]);
        report("held back", &f->share[1]);
        for (size_t i = 0; i < 2; i++)
                print_message("%s, at 1.5 times what they used: %zu false in %zu lives, %.1f job-hours\n",
                        i ? "held back" : "tuned", f->two_thirds[i].false_count, f->two_thirds[i].fits,
                        f->two_thirds[i].hours);
        assert_true(f->share[0].records >= 25 && f->share[0].hits >= 50 && f->share[0].fits >= 40);
        assert_true(f->share[1].records >= 40 && f->share[1].hits >= 120 && f->share[1].fits >= 40);
}

static void warned_in_time(void **state)
{
        struct foresight *f = *state;

        for (size_t i = 0; i < 2; i++)
                EXPECT_WITHIN(i ? "held back" : "tuned", f->share[i].warned * 100, f->share[i].hits * 95,
                        UINT64_MAX);
}

static void warned_usefully(void **state)
{
        struct foresight *f = *state;

        for (size_t i = 0; i < 2; i++)
                EXPECT_WITHIN(i ? "held back" : "tuned", f->share[i].usefully * 100, f->share[i].hits * 95,
                        UINT64_MAX);
}

static void time_left(void **state)
{
        struct foresight *f = *state;

        for (size_t i = 0; i < 2; i++)
                EXPECT_WITHIN(i ? "held back" : "tuned", (uint64_t)(median(&f->share[i]) * 1000), 0, 250);
}

/* At most one in 100 job-hours, without those at 1.5 times and with them. */
static void false_notices(void **state)
{
        struct foresight *f = *state;

        for (size_t i = 0; i < 2; i++) {
                const struct share *s = &f->share[i], *hard = &f->two_thirds[i];

                EXPECT_WITHIN(i ? "held back" : "tuned", s->false_count, 0, (uint64_t)(s->hours / 100));
                EXPECT_WITHIN(i ? "held back, all told" : "tuned, all told",
                        s->false_count + hard->false_count, 0, (uint64_t)((s->hours + hard->hours) / 100));
        }
}

int main(int argc, char *argv[])
{
        static struct foresight f;
        glob_t found = {};

        if (argc < 2 && glob("tests/replay/recorded/*.txt", 0, NULL, &found) != 0) {
                print_error("tests/replay/recorded/*.txt: nothing there; run from the top of the tree\n");
                return 1;
        }
        char **paths = argc < 2 ? found.gl_pathv : argv + 1;
        f.count = argc < 2 ? found.gl_pathc : (size_t)argc - 1;
        f.records = calloc(f.count, sizeof(*f.records));
        if (!f.records || f.count > RECORDS_MAX || hr_config_new(0, &f.config) != 0)
                return 1;
        for (size_t i = 0; i < f.count; i++)
                read_record(paths[i], &f.records[i]);
        live_all(&f);

        const struct CMUnitTest tests[] = {
                cmocka_unit_test_prestate(enough_records, &f),
                cmocka_unit_test_prestate(warned_in_time, &f),
                cmocka_unit_test_prestate(warned_usefully, &f),
                cmocka_unit_test_prestate(time_left, &f),
                cmocka_unit_test_prestate(false_notices, &f),
        };
        int r = cmocka_run_group_tests_name("foresight", tests, NULL, NULL);
        f.config = hr_config_free(f.config);
        free(f.records);
        globfree(&found);
        return r;
}
