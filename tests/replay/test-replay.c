/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Recorded memory histories through forecast and policy over virtual time: see README for the format and for
 * what is expected of a history. Each case of each file is a test of its own.
 */

#include "test.h"

#include <glob.h>

#include "think/account.h"
#include "think/forecast.h"
#include "history.h"
#include "think/policy.h"

#define CASES_MAX 64
#define EXPECTS_MAX 12

struct replay_case {
        struct file *file;
        char name[120];
        unsigned line;
        uint64_t limit_bytes, freeze_usec;
        const char *policy_name;
        bool method, unbraked;
        char keys[EXPECTS_MAX][80], expects[EXPECTS_MAX][100];
        size_t key_count, expect_count;
};

/* ---- reading ---- */

static void read_header(struct replay_case *c, const char *path, unsigned line, const char *text)
{
        char word[80];

        if (sscanf(text, "set %79s", word) == 1) {
                assert_true(c->key_count < EXPECTS_MAX);
                (void)snprintf(c->keys[c->key_count++], sizeof(c->keys[0]), "%s", word);
        } else if (sscanf(text, "freeze %" SCNu64, &c->freeze_usec) == 1) {
                c->freeze_usec *= HR_USEC_PER_MSEC;
        } else if (strcmp(text, "no-method") == 0) {
                c->method = false;
        } else if (strcmp(text, "unbraked") == 0) {
                c->unbraked = true;
        } else if (strcmp(text, "policy batch") == 0 || strcmp(text, "policy observe") == 0) {
                c->policy_name = strcmp(text, "policy batch") == 0 ? "batch" : "observe";
        } else if (strncmp(text, "expect ", 7) == 0) {
                assert_true(c->expect_count < EXPECTS_MAX);
                (void)snprintf(c->expects[c->expect_count++], sizeof(c->expects[0]), "%s", text + 7);
        } else {
                fail_msg("%s:%u: not understood: %s", path, line, text);
        }
}

/* Appends the file's cases. */
static size_t read_file(const char *path, struct file *ret, struct replay_case *cases, size_t count)
{
        char line[200];
        unsigned number = 0;
        struct replay_case *c = NULL;
        const char *base = strrchr(path, '/');
        FILE *f = fopen(path, "re");

        if (!f)
                fail_msg("%s can't be read", path);
        (void)snprintf(ret->name, sizeof(ret->name), "%s", base ? base + 1 : path);
        while (fgets(line, sizeof(line), f)) {
                uint64_t limit;

                number++;
                line[strcspn(line, "\n")] = '\0';
                if (sscanf(line, "# limit %" SCNu64, &limit) == 1) {
                        assert_true(count < CASES_MAX && ret->count == 0);
                        c = &cases[count++];
                        *c = (struct replay_case){.file = ret,
                                .limit_bytes = limit,
                                .line = number,
                                .policy_name = "default",
                                .method = true,
                                .freeze_usec = 20 * HR_USEC_PER_MSEC};
                        (void)snprintf(
                                c->name, sizeof(c->name), "%s:%u, limit %" PRIu64, ret->name, number, limit);
                        continue;
                }
                if (line[0] == '#') {
                        /* Of a record as it was made, and nothing to be played: what it came to, and when. */
                        if (c && strncmp(line, "# at ", 5) != 0 && strncmp(line, "# what ", 7) != 0)
                                read_header(c, path, number, line + 2);
                        continue;
                }
                if (!add_point(ret, line))
                        fail_msg("%s:%u: no point, or one too many: %s", path, number, line);
        }
        (void)fclose(f);
        if (!c || ret->count < 2)
                fail_msg("%s: no case, or no points", path);
        return count;
}

/* ---- the life ---- */

struct life {
        const struct replay_case *rc;
        struct hr_config *config;
        struct hr_policy policy;
        struct hr_history history;
        struct hr_policy_state state;
        struct hr_policy_input in;
        struct hr_sample sample;
        struct hr_decision decision;

        char stages[200];
        char said[600]; /* "action:outcome " each */
        size_t note_count, look_count;
        uint64_t notice_usec, hold_usec, limit_usec; /* 0: it did not come to that */
        uint64_t held_bytes;                         /* when the freeze was complete */
        uint64_t saving_usec;
};

static void look(struct life *l, uint64_t now, const struct point *p)
{
        l->sample = make_sample(&l->history, now, p, l->rc->limit_bytes);
        l->in.now_usec = now;
        l->in.save = l->state.phase != HR_PHASE_SAVE           ? HR_SAVE_NONE
                     : now >= l->saving_usec + HR_USEC_PER_SEC ? HR_SAVE_PROVEN
                                                               : HR_SAVE_RUNNING;
        enum hr_stage before = l->state.stage;

        hr_policy_step(&l->state, &l->in, &l->decision);

        l->look_count++;
        for (size_t i = 0; i < l->decision.note_count; i++) {
                const struct hr_note *n = &l->decision.notes[i];
                size_t used = strlen(l->said);
                (void)snprintf(l->said + used, sizeof(l->said) - used, "%s:%s ", n->action, n->outcome);
                l->note_count++;
                if (strcmp(n->action, "notice") == 0 && l->notice_usec == 0)
                        l->notice_usec = now;
                if (getenv("REPLAY_VERBOSE"))
                        print_message("    %8.3f s  %s %s %s: %s\n", (double)now / 1e6,
                                hr_stage_name(n->stage), n->action, n->outcome, n->reason);
        }
        if (l->state.stage != before) {
                size_t used = strlen(l->stages);
                (void)snprintf(
                        l->stages + used, sizeof(l->stages) - used, " %s", hr_stage_name(l->state.stage));
        }
        if (l->decision.actions & HR_ACT_SAVE)
                l->saving_usec = now;
        if (l->decision.actions & HR_ACT_THAW)
                l->in.frozen = false;
}

static void live(struct life *l, const struct replay_case *c)
{
        const struct file *f = c->file;
        char text[300];
        uint64_t born = f->points[0].usec, end = f->points[f->count - 1].usec;
        uint64_t freeze_usec;

        memset(l, 0, sizeof(*l));
        l->rc = c;
        assert_int_equal(hr_config_new(0, &l->config), 0);
        l->policy = *hr_config_policy(l->config, c->policy_name);
        if (c->method)
                assert_int_equal(hr_config_set_policy_key(&l->policy, "checkpoint_method", "signal:USR1", 0,
                                         text, sizeof(text)),
                        0);
        for (size_t i = 0; i < c->key_count; i++) {
                char key[80];
                (void)snprintf(key, sizeof(key), "%s", c->keys[i]);
                char *value = strchr(key, '=');
                if (!value)
                        fail_msg("%s: set %s: no value", c->name, key);
                *value = '\0';
                EXPECT_INT(c->name,
                        hr_config_set_policy_key(&l->policy, key, value + 1, 0, text, sizeof(text)), 0);
        }
        l->in.policy = &l->policy;
        l->in.sample = &l->sample;
        l->in.means = (struct hr_means){.can_freeze = true,
                .can_trim = true,
                .trim_by = "reclaims what is cold",
                .can_save = c->method,
                .can_fuse = true,
                .braked = !c->unbraked,
                .no_save = "no method is set",
                .no_freeze = ""};
        (void)snprintf(l->stages, sizeof(l->stages), "ok");

        for (uint64_t now = born; now <= end;) {
                struct point p = at(f, now);
                look(l, now, &p);
                if (p.used_bytes >= c->limit_bytes && l->limit_usec == 0)
                        l->limit_usec = now;
                if (l->state.phase >= HR_PHASE_INTERRUPT)
                        return; /* what it did then is not in the record */
                if (l->decision.actions & HR_ACT_FREEZE) {
                        freeze_usec = now + c->freeze_usec;
                        if (l->state.phase == HR_PHASE_HELD) {
                                l->hold_usec = now;
                                l->held_bytes = at(f, freeze_usec).used_bytes;
                                return;
                        }
                        /* Braked: it grows till the freeze is complete, is looked at, and goes on. */
                        struct point q = at(f, freeze_usec);
                        l->in.frozen = true;
                        look(l, freeze_usec, &q);
                        assert_false(l->in.frozen);
                        if (l->state.phase >= HR_PHASE_INTERRUPT)
                                return;
                        now = freeze_usec;
                }
                uint64_t next = plan_look(l->config, &l->policy, &l->state, &l->decision,
                        &l->sample.candidates[0], c->unbraked, now, hr_policy_rest_pause(now - born, false));
                uint64_t threshold = hr_policy_next_threshold(&l->policy, &l->state.wall[0],
                        &(struct hr_candidate){.used_bytes = p.used_bytes, .limit_bytes = c->limit_bytes});
                if (!c->unbraked)
                        next = crossing(f, now, next, threshold);
                now = MAX(next, now + HR_USEC_PER_MSEC);
        }
}

/* ---- what was expected ---- */

static size_t count_said(const char *said, const char *what)
{
        size_t n = 0, length = strlen(what);

        for (const char *p = said; *p; p += strcspn(p, " ") + 1)
                if (strncmp(p, what, length) == 0 && p[length] == ' ')
                        n++;
        return n;
}

static void expect(const struct life *l, const char *text)
{
        const char *name = l->rc->name;
        char word[80];
        unsigned number;
        double seconds, percent;

        if (strncmp(text, "stages ", 7) == 0) {
                EXPECT_STR(name, l->stages, text + 7);
        } else if (strcmp(text, "frozen") == 0) {
                EXPECT_TRUE(name, l->hold_usec > 0);
        } else if (strcmp(text, "never-frozen") == 0) {
                EXPECT_UINT(name, l->hold_usec, 0);
        } else if (sscanf(text, "speaks %u", &number) == 1) {
                EXPECT_WITHIN(name, l->note_count, 0, number);
        } else if (sscanf(text, "says %79s %u", word, &number) == 2) {
                EXPECT_UINT(word, count_said(l->said, word), number);
        } else if (sscanf(text, "lead %lf", &seconds) == 1) {
                uint64_t wall = l->hold_usec ? l->hold_usec : l->limit_usec;
                EXPECT_TRUE(name, wall > 0 && l->notice_usec > 0);
                EXPECT_WITHIN(name, wall - l->notice_usec, (uint64_t)(seconds * 1e6), HR_USEC_NEVER);
        } else if (sscanf(text, "held-at %lf %%", &percent) == 1) {
                EXPECT_WITHIN(name, hr_ratio_permyriad(l->held_bytes, l->rc->limit_bytes), 1,
                        (uint64_t)(percent * 100));
        } else if (sscanf(text, "looks %u", &number) == 1) {
                EXPECT_WITHIN(name, l->look_count, 0, number);
        } else if (strncmp(text, "at-end ", 7) == 0) {
                EXPECT_STR(name, hr_stage_name(l->state.stage), text + 7);
        } else {
                fail_msg("%s: expect %s: not understood", name, text);
        }
}

static void replay(void **state)
{
        static struct life l;
        const struct replay_case *c = *state;

        live(&l, c);
        l.config = hr_config_free(l.config);
        print_message("    %s: %s; %zu looks, %zu notes (%s)\n", c->name, l.stages, l.look_count,
                l.note_count, l.said);
        if (l.hold_usec > 0)
                print_message("    held at %.3f s, %u permyriad, %.3f s after notice\n",
                        (double)l.hold_usec / 1e6, hr_ratio_permyriad(l.held_bytes, c->limit_bytes),
                        l.notice_usec ? (double)(l.hold_usec - l.notice_usec) / 1e6 : 0.0);
        if (c->expect_count == 0)
                fail_msg("%s: nothing is expected of it", c->name);
        for (size_t i = 0; i < c->expect_count; i++)
                expect(&l, c->expects[i]);
}

int main(int argc, char *argv[])
{
        static struct replay_case cases[CASES_MAX];
        struct CMUnitTest tests[CASES_MAX] = {};
        size_t count = 0;
        glob_t found = {};

        if (argc < 2 && glob("tests/replay/histories/*.txt", 0, NULL, &found) != 0) {
                print_error("tests/replay/histories: nothing there; run from the top of the tree\n");
                return 1;
        }
        char **paths = argc < 2 ? found.gl_pathv : argv + 1;
        size_t files = argc < 2 ? found.gl_pathc : (size_t)argc - 1;
        struct file *read = calloc(files, sizeof(*read));
        if (!read)
                return 1;
        for (size_t i = 0; i < files; i++)
                count = read_file(paths[i], &read[i], cases, count);
        for (size_t i = 0; i < count; i++)
                tests[i] = (struct CMUnitTest){
                        .name = cases[i].name, .test_func = replay, .initial_state = &cases[i]};
        int r = _cmocka_run_group_tests("replay", tests, count, NULL, NULL);
        free(read);
        globfree(&found);
        return r;
}
